"""`ewallet trust explain`: in words, why a license counts at a counter, as what, and by which rule."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from ewallet.cli.exits import Exit
from ewallet.reasons import Outcome
from ewallet.trust.authoring import PROVINCES
from ewallet.verify.counter import STATUS_FOLDER, open_trust
from ewallet.verify.policy import Policy
from ewallet.verify.replay import MemoryGuard
from ewallet.verify.sources import status_source
from ewallet.verify.verifier import Verifier

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from ewallet.trust.recognition import LocalView
    from ewallet.verify.result import Verification

_EXITS = {
    Outcome.ACCEPTED: Exit.ACCEPTED,
    Outcome.REJECTED: Exit.REJECTED,
    Outcome.UNDECIDED: Exit.UNDECIDED,
}


def explain_license(
    license_file: Path, *, province: str, bundle: Path, state: Path | None, now: datetime, lang: str
) -> Exit:
    """Verifies a license's content at a province's counter and prints the walk in words.

    Args:
        license_file: credential (`*.sdjwt`) or its text.
        province: two digits of the counter's province.
        bundle: gate bundle.
        state: trust state; None: a passing one.
        now: the time.
        lang: `zh` or `en`.

    Raises:
        TrustError: the lists cannot be used.
    """
    with TemporaryDirectory() as passing:
        trust = open_trust(bundle, state=state or Path(passing), now=now)
        verifier = Verifier(
            trust=trust,
            policy=Policy.content(province=province),
            status=status_source(bundle / STATUS_FOLDER),
            replay=MemoryGuard(started=now),
        )
        found = verifier.verify(license_file.read_text(encoding="utf-8").strip(), now=now)
    for line in sentences(found, province, lang):
        print(line)
    return _EXITS[found.outcome]


def sentences(found: Verification, province: str, lang: str) -> Iterator[str]:
    """The answer sentence by sentence."""
    zh = lang == "zh"
    place = PROVINCES.get(province, (province, province, ""))[0 if zh else 1]
    for fact in found.facts.licenses if found.facts else ():
        issuer = fact.issuer_names.get(lang, fact.issuer)
        kind = f"{fact.type} / {fact.type_version}"
        yield (
            f"由 {issuer} 签发，类型 {kind}，签发时有权签发。"
            if zh
            else f"Issued by {issuer}, type {kind}, which it might sign then."
        )
        if fact.local is not None:
            yield from _local(fact.local, place, zh=zh)
        elif fact.province == province:
            yield f"{place}本地证照，无需互认。" if zh else f"A license of {place} itself: no rule needed."
    if found.reason is not None:
        yield f"{found.reason.sentence(lang)} {found.reason.advice(lang)}（{found.reason.code}）"
        if found.checks and found.checks[-1].detail:
            yield f"  {found.checks[-1].detail}"
    else:
        yield f"在{place}可用。" if zh else f"Accepted in {place}."


def _local(view: LocalView, place: str, *, zh: bool) -> Iterator[str]:
    relation = {"exact": ("等同于", "the same as"), "narrower": ("窄于", "narrower than")}.get(
        view.relation.value, ("有条件地等同于", "conditionally the same as")
    )
    kind = f"{view.type.type} / {view.type.version}"
    if zh:
        yield f"按双方认可的规则 {view.rule}，在{place}{relation[0]}类型 {kind}。"
        yield f"已对应字段：{'、'.join(view.fields)}"
        yield f"未能对应：{'、'.join(view.unmapped) or '无'}"
    else:
        yield f"By rule {view.rule}, approved by both, it is in {place} {relation[1]} type {kind}."
        yield f"Mapped fields: {', '.join(view.fields)}"
        yield f"Not mapped: {', '.join(view.unmapped) or 'none'}"
