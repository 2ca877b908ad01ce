"""`ewallet matter`: what a service needs, what waives it, and what the shown licenses cover."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from ewallet.cli.bulk import is_file
from ewallet.cli.exits import Exit, report
from ewallet.cli.verify_command import default_language, moment, state_directory, verify_file
from ewallet.errors import ConfigError, NotFound, TrustError
from ewallet.moments import day_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

    from ewallet.licenses.catalog import Catalog
    from ewallet.verify.coverage import Coverage, Source
    from ewallet.verify.matters import Material, Matter, Matters, Physical
    from ewallet.verify.result import Verification

WAIVED: Final = "免"
"""The mark of the published guides: nobody has to bring it."""

_WORDS: Final = {
    "authority": ("办理部门", "done by"),
    "basis": ("依据", "basis"),
    "days": ("承诺工作日", "working days"),
    "result": ("办理结果", "result"),
    "materials": ("申请材料", "materials"),
    "retrieved": ("窗口自行调取", "the office fetches it"),
    "license": ("出示电子证照即可", "an e-license covers it"),
    "field": ("由电子证照信息代替", "a field of an e-license covers it"),
    "physical": ("须交验实体证件", "the physical one is demanded by"),
    "unconfirmed": ("引用条款待部署单位确认", "the citation is for the deployment to confirm"),
    "bring": ("需提交", "to be handed in"),
    "waived": ("免于提交", "waived"),
    "covered": ("电子证照已覆盖", "covered"),
    "needed": ("仍需", "still needed"),
    "on_paper": ("法律要求实体", "demanded on paper"),
    "form": ("表单预填", "filled in"),
    "reviews": ("审查要点", "review"),
    "met": ("符合", "met"),
    "not-met": ("不符合", "not met"),
    "needs-a-person": ("需人工判断", "needs a person"),
    "differs": ("来源不一致，请人工确认", "the sources differ: a person decides"),
}


def _word(key: str, lang: str) -> str:
    return _WORDS[key][0 if lang == "zh" else 1]


@click.group()
def matter() -> None:
    """What a service needs, and what waives it."""


_directory = click.option(
    "--matters",
    "directories",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Directory of a deployment's own matters; may be repeated.",
)
_language = click.option("--lang", type=click.Choice(["zh", "en"]), help="Language of the answer.")


def _load(directories: tuple[Path, ...]) -> tuple[Catalog, Matters]:
    from ewallet.licenses.catalog import Catalog  # noqa: PLC0415 (reads the catalog)
    from ewallet.verify.matters import Matters  # noqa: PLC0415

    catalog = Catalog.builtin()
    return catalog, Matters.load(*directories, catalog=catalog)


@matter.command("list")
@_directory
@_language
def list_(directories: tuple[Path, ...], lang: str | None) -> int:
    """List the matters."""
    language = lang or default_language()
    for each in _load(directories)[1]:
        joint = f"  ({len(each.members)})" if each.members else ""
        print(f"{each.id:<30} {each.names[language]}{joint}")
    return Exit.ACCEPTED


@matter.command()
@click.argument("name")
@_directory
@click.option("--now", "now_text", help="The guide of this moment instead of today's.")
@_language
def show(name: str, directories: tuple[Path, ...], now_text: str | None, lang: str | None) -> int:
    """Print the guide of a matter, with the mark 免 where nothing has to be brought."""
    catalog, matters = _load(directories)
    try:
        found = matters[name]
    except NotFound as error:
        return report(str(error), "see 'ewallet matter list'", Exit.USAGE)
    for line in guide(found, catalog, day_of(moment(now_text)), lang or default_language()):
        print(line)
    return Exit.ACCEPTED


def guide(found: Matter, catalog: Catalog, day: date, lang: str) -> Iterator[str]:
    """The guide of a matter, line by line.

    Args:
        found: the matter.
        catalog: for the names of license types.
        day: the day in Shanghai; demands of law begin and end.
        lang: zh or en.
    """
    yield found.names[lang]
    for single in found.single:
        indent = "  " if found.members else ""
        if found.members:
            yield f"· {single.names[lang]}"
        yield f"{indent}  {_word('authority', lang)}: {single.authority[lang]}"
        if single.basis:
            yield f"{indent}  {_word('basis', lang)}: {'；'.join(single.basis)}"
        if single.days:
            yield f"{indent}  {_word('days', lang)}: {single.days}"
        yield f"{indent}  {_word('result', lang)}: {single.result[lang]}"
    yield f"{_word('materials', lang)}:"
    demands = {
        need.material.id: need.physical
        for single in found.single
        for need in single.needs
        if need.physical is not None and need.physical.holds(day)
    }
    for place, material in enumerate(found.materials, 1):
        physical = demands.get(material.id)
        mark, how = _how(material, physical, catalog, lang)
        yield f"  {mark} {place}. {material.names[lang]}: {how}"
    if found.note:
        yield found.note[lang]


def _how(material: Material, physical: Physical | None, catalog: Catalog, lang: str) -> tuple[str, str]:
    if physical is not None:
        return "　", f"{_word('physical', lang)} {_citation(physical, lang)}"
    if material.types:
        names = [getattr(catalog[code], lang) for code in material.types]
        return WAIVED, f"{_word('field' if material.by_field else 'license', lang)} ({'、'.join(names)})"
    if material.retrieved_from:
        return WAIVED, f"{_word('retrieved', lang)} ({material.retrieved_from[lang]})"
    hint = f" ({material.hint[lang]})" if material.hint else ""
    return "　", _word("bring", lang) + hint


def _citation(physical: Physical, lang: str) -> str:
    until = f" ~ {physical.end}" if physical.end else ""
    doubt = "" if physical.confirmed else f"; {_word('unconfirmed', lang)}"
    return f"《{physical.law}》{physical.article} ({physical.begin}{until}{doubt})"


@matter.command()
@click.argument("directories", nargs=-1, type=click.Path(path_type=Path))
def check(directories: tuple[Path, ...]) -> int:
    """Check directories of matters: file, line and reason of the first mistake."""
    try:
        _, matters = _load(directories)
    except ConfigError as error:
        return report(str(error), "", Exit.REJECTED)
    print(f"{len(matters)} matters, {len(matters.materials)} materials: good")
    for found in matters:
        for need in (need for need in found.needs if need.physical and not need.physical.confirmed):
            print(f"notice: {found.id}: the citation for {need.material.id} is for the deployment to confirm")
    return Exit.ACCEPTED


@matter.command()
@click.argument("name")
@click.argument("things", nargs=-1, metavar="TEXT|FILE ...")
@click.option("--trust", "bundle", required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--policy", type=click.Path(path_type=Path), help="Policy of this counter.")
@click.option("--state", type=click.Path(path_type=Path), help="Replay guard and trust state.")
@click.option("--now", "now_text", help="Verify for this moment instead of the clock.")
@_directory
@_language
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def cover(
    name: str,
    things: tuple[str, ...],
    bundle: Path,
    policy: Path | None,
    state: Path | None,
    now_text: str | None,
    directories: tuple[Path, ...],
    lang: str | None,
    as_json: bool,  # noqa: FBT001 (a flag of the command line)
) -> int:
    """Verify what is shown and tell what it covers of a matter.

    Exit: 0 nothing is left to bring, 1 something is, 2 usage, 3 the lists cannot be used, 4 environment.
    """
    from ewallet.verify.counter import open_verifier  # noqa: PLC0415 (loads the lists)
    from ewallet.verify.coverage import cover as covering  # noqa: PLC0415

    now = moment(now_text)
    _, matters = _load(directories)
    try:
        found = matters[name]
        verifier = open_verifier(bundle, state=state or state_directory(), now=now, policy=policy)
    except NotFound as error:
        return report(str(error), "see 'ewallet matter list'", Exit.USAGE)
    except ConfigError as error:
        return report(str(error), "name a policy with --policy FILE", Exit.USAGE)
    except TrustError as error:
        return report(error.detail or error.reason, "refresh the lists", Exit.UNDECIDED)
    if things and verifier.policy.scene.challenge:
        return report("this place asks first: show it a question's answer", "see 'ewallet serve'", Exit.USAGE)
    answers = []
    for thing in things:
        file = is_file(thing)
        answers.append(verify_file(verifier, Path(thing), now) if file else verifier.verify(thing, now=now))
        _say_refused(thing, answers[-1])
    coverage = covering(found, answers, now=now)
    language = lang or default_language()
    print(json.dumps(to_json(coverage), ensure_ascii=False) if as_json else words(coverage, language))
    return Exit.REJECTED if coverage.needed or coverage.on_paper else Exit.ACCEPTED


def _say_refused(thing: str, found: Verification) -> None:
    if found.reason is not None:
        print(f"notice: {thing[:40]}: {found.outcome} {found.reason.code}", file=sys.stderr)


def words(coverage: Coverage, lang: str) -> str:
    """A coverage as a clerk reads it."""
    from ewallet.verify.coverage import WHY  # noqa: PLC0415

    side = 0 if lang == "zh" else 1
    lines = [coverage.matter.names[lang]]
    for key in ("waived", "covered"):
        lines.extend(
            f"  {WAIVED} {each.material.names[lang]}: {WHY[each.why][side]}"
            for each in getattr(coverage, key)
        )
    for each in coverage.needed:
        missing = f" ({', '.join(each.fields)})" if each.fields else ""
        lines.append(f"  ☐ {each.material.names[lang]}: {WHY[each.why][side]}{missing}")
    for paper in coverage.on_paper:
        cited = "; ".join(_citation(physical, lang) for physical in paper.demands.values())
        lines.append(f"  ☐ {paper.material.names[lang]}: {_word('physical', lang)} {cited}")
    if coverage.form:
        lines.append(f"{_word('form', lang)}:")
    for filled in coverage.form:
        value = filled.value or _word("differs", lang)
        lines.append(f"  {filled.names[lang]}: {value}  ← {_source_words(filled.source)}")
    if coverage.reviews:
        lines.append(f"{_word('reviews', lang)}:")
    lines.extend(f"  {each.review.names[lang]}: {_word(each.finding, lang)}" for each in coverage.reviews)
    return "\n".join(lines)


def _source_words(source: Source) -> str:
    version = "" if source.version is None else f" v{source.version}"
    return f"{source.identifier or source.type}{version} {source.field} {source.at:%Y-%m-%d %H:%M}Z"


def _source_json(source: Source | None) -> dict[str, Any] | None:
    if source is None:
        return None
    return {
        "material": source.material,
        "type": source.type,
        "identifier": source.identifier,
        "issuer": source.issuer,
        "field": source.field,
        "version": source.version,
        "at": source.at.isoformat(),
    }


def to_json(coverage: Coverage) -> dict[str, Any]:
    """A coverage as data: what `--json` prints."""

    def settled(key: str) -> list[dict[str, Any]]:
        return [
            {
                "material": each.material.id,
                "why": each.why,
                "matters": each.matters,
                "source": _source_json(each.source),
            }
            for each in getattr(coverage, key)
        ]

    return {
        "matter": coverage.matter.id,
        "at": coverage.at.isoformat(),
        "waived": settled("waived"),
        "covered": settled("covered"),
        "needed": [
            {"material": each.material.id, "why": each.why, "matters": each.matters, "fields": each.fields}
            for each in coverage.needed
        ],
        "on_paper": [
            {
                "material": each.material.id,
                "matters": each.matters,
                "demands": {
                    key: {"law": physical.law, "article": physical.article, "confirmed": physical.confirmed}
                    for key, physical in each.demands.items()
                },
                "source": _source_json(each.source),
            }
            for each in coverage.on_paper
        ],
        "form": [
            {
                "key": each.key,
                "names": dict(each.names),
                "value": each.value,
                "source": _source_json(each.source),
                "differing": [_source_json(other) for other in each.differing],
            }
            for each in coverage.form
        ],
        "reviews": [
            {
                "matter": each.matter,
                "id": each.review.id,
                "names": dict(each.review.names),
                "finding": each.finding,
                "sources": [_source_json(source) for source in each.sources],
            }
            for each in coverage.reviews
        ],
    }
