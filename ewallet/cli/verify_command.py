"""`ewallet verify`: texts, pictures, PDFs and credentials, one answer each."""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from ewallet.cli.bulk import count, files_in, is_folder, lines_of, with_progress
from ewallet.cli.exits import Exit, report
from ewallet.errors import ConfigError, EwalletError, TrustError
from ewallet.reasons import REASONS, Layer, Outcome
from ewallet.verify.report import to_json, to_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ewallet.verify.result import LicenseFacts, Verification
    from ewallet.verify.verifier import Verifier

_EXITS: Final = {
    Outcome.ACCEPTED: Exit.ACCEPTED,
    Outcome.REJECTED: Exit.REJECTED,
    Outcome.UNDECIDED: Exit.UNDECIDED,
}
_MARKS: Final = {Outcome.ACCEPTED: "✓", Outcome.REJECTED: "✗", Outcome.UNDECIDED: "?"}
_WORDS: Final = {
    Outcome.ACCEPTED: ("通过", "ACCEPTED"),
    Outcome.REJECTED: ("不通过", "REJECTED"),
    Outcome.UNDECIDED: ("无法判定", "UNDECIDED"),
}
_LAYERS: Final = {
    Layer.GENUINE: ("真实", "genuine"),
    Layer.IN_FORCE: ("有效", "in force"),
    Layer.ACCEPTED_HERE: ("此处可用", "accepted here"),
}
_PICTURES: Final = frozenset((".png", ".jpg", ".jpeg", ".bmp", ".webp"))
_MAX_FILE: Final = 32 * 1024 * 1024


def state_directory() -> Path:
    """Where a user's verifier remembers things: `$XDG_STATE_HOME/ewallet` or `~/.local/state/ewallet`."""
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "ewallet"


def moment(text: str | None) -> datetime:
    """`--now` as an aware time; the clock without it.

    Raises:
        click.UsageError: not an ISO 8601 time with zone, nor seconds since 1970.
    """
    if text is None:
        return datetime.now(UTC)
    try:
        if text.isdigit():
            return datetime.fromtimestamp(int(text), UTC)
        found = datetime.fromisoformat(text)
    except (ValueError, OverflowError) as error:
        raise click.UsageError("--now takes 2026-11-23T08:00:00Z or seconds since 1970") from error
    if found.tzinfo is None:
        raise click.UsageError("--now needs a time zone, such as 2026-11-23T08:00:00Z")
    return found.astimezone(UTC)


def default_language() -> str:
    """`zh` where the environment speaks Chinese, else `en`."""
    spoken = os.environ.get("LC_ALL") or os.environ.get("LC_MESSAGES") or os.environ.get("LANG") or ""
    return "zh" if spoken.lower().startswith("zh") else "en"


@click.command()
@click.argument("things", nargs=-1, required=True, metavar="TEXT|FILE|FOLDER|- ...")
@click.option(
    "--trust",
    "bundle",
    required=True,
    type=click.Path(path_type=Path, exists=True),
    help="Gate bundle: a directory or zip.",
)
@click.option(
    "--root", type=click.Path(path_type=Path), help="Pin the first root of the trust lists to this file."
)
@click.option("--status", help="Directory or mirror (URL) of status lists; default: in the bundle.")
@click.option(
    "--policy", type=click.Path(path_type=Path), help="Policy of this counter; default: in the bundle."
)
@click.option(
    "--state", type=click.Path(path_type=Path), help="Replay guard and trust state; default: the user's."
)
@click.option(
    "--proofs",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Register statements, for keys that were compromised.",
)
@click.option("--now", "now_text", help="Verify for this moment instead of the clock.")
@click.option("--lang", type=click.Choice(["zh", "en"]), help="Language of the answer.")
@click.option("--json", "as_json", is_flag=True, help="One line of JSON for each answer.")
def verify(
    things: tuple[str, ...],
    bundle: Path,
    root: Path | None,
    status: str | None,
    policy: Path | None,
    state: Path | None,
    proofs: Path | None,
    now_text: str | None,
    lang: str | None,
    as_json: bool,  # noqa: FBT001 (a flag of the command line)
) -> int:
    """Verify codes, seals, pictures, PDFs and credentials.

    Each TEXT or FILE gets one answer; a FOLDER one for each file in it, a text file with several lines one
    for each line, and '-' reads one code per line. Exit: 0 all accepted, 1 one rejected, 3 one undecided (and
    none rejected), 2 usage, 4 environment.
    """
    from ewallet.verify.counter import open_verifier  # noqa: PLC0415 (loads the lists)

    now = moment(now_text)
    language = lang or default_language()
    try:
        verifier = open_verifier(
            bundle,
            state=state or state_directory(),
            now=now,
            root=root,
            status=status,
            policy=policy,
            proofs=proofs,
            warn=lambda refusal: print(f"warning: the lists were refused: {refusal}", file=sys.stderr),
            anchored=lambda root: print(f"note: anchored to the first root {root}", file=sys.stderr),
        )
    except ConfigError as error:
        return report(str(error), "name a policy with --policy FILE", Exit.USAGE)
    except TrustError as error:
        return _unusable(error, language, as_json=as_json)
    if verifier.policy.scene.challenge:
        return report(
            "this place asks first: a code must answer a question", "see 'ewallet gate'", Exit.USAGE
        )
    worst = Exit.ACCEPTED
    for name, found in with_progress(_answers(verifier, things, now_text), total=count(things)):
        print(_json_line(name, found) if as_json else _words(name, found, language), flush=True)
        worst = _worse(worst, _EXITS[found.outcome])
    return worst


def _worse(one: Exit, other: Exit) -> Exit:
    """A refusal outweighs what could not be decided, and both outweigh acceptance."""
    order = (Exit.ACCEPTED, Exit.UNDECIDED, Exit.REJECTED)
    return max(one, other, key=order.index)


def _unusable(error: TrustError, lang: str, *, as_json: bool) -> Exit:
    """Lists that cannot be used decide nothing: that is an answer, not a crash."""
    reason = REASONS[error.reason]
    if as_json:
        print(json.dumps({"outcome": reason.outcome, "reason": reason.code, "detail": error.detail}))
    else:
        print(f"{_MARKS[reason.outcome]} {_word(reason.outcome, lang)}  {reason.code}")
        print(f"  {reason.sentence(lang)} {reason.advice(lang)}")
    return report(error.detail or reason.en, reason.advice_en, _EXITS[reason.outcome])


def _answers(
    verifier: Verifier, things: tuple[str, ...], now_text: str | None
) -> Iterator[tuple[str, Verification]]:
    for thing in things:
        if thing == "-":
            for line in sys.stdin:
                if line.strip():
                    yield "-", verifier.verify(line, now=moment(now_text))
        elif is_folder(thing):
            for path in files_in(Path(thing)):
                yield str(path), verify_file(verifier, path, moment(now_text))
        elif _is_file(thing):
            lines = lines_of(Path(thing))
            for number, line in enumerate(lines, 1):
                yield f"{thing}:{number}", verifier.verify(line, now=moment(now_text))
            if not lines:
                yield thing, verify_file(verifier, Path(thing), moment(now_text))
        else:
            yield thing[:16], verifier.verify(thing, now=moment(now_text))


def _is_file(thing: str) -> bool:
    if len(thing) > 1024:
        return False
    try:
        if Path(thing).is_file():
            return True
    except (OSError, ValueError):
        return False
    if "/" in thing or Path(thing).suffix.lower() in _PICTURES | {".pdf", ".sdjwt", ".sdcwt"}:
        raise click.UsageError(f"there is no file {thing}")
    return False


def verify_file(verifier: Verifier, path: Path, now: datetime) -> Verification:
    """Verifies a picture, a PDF, a credential file or a text file.

    Raises:
        EwalletError: the file is too large.
        MissingExtra: pictures and PDFs need the extra `scan`.
    """
    if path.stat().st_size > _MAX_FILE:
        raise EwalletError(f"{path.name} is larger than any picture, PDF or credential")
    suffix = path.suffix.lower()
    if suffix in _PICTURES:
        from ewallet.formats.qr import read_image  # noqa: PLC0415 (Pillow and the reader)

        return verifier.verify(read_image(path), now=now)
    data = path.read_bytes()
    if suffix == ".pdf" or data[:5] == b"%PDF-":
        from ewallet.verify.pdf import verify_pdf  # noqa: PLC0415 (the PDF reader)

        return verify_pdf(verifier, data, now=now)
    try:
        text = data.decode("ascii")
    except UnicodeDecodeError:
        return verifier.verify(data, now=now)
    return verifier.verify(text.strip(), now=now)


def _word(outcome: Outcome, lang: str) -> str:
    return _WORDS[outcome][0 if lang == "zh" else 1]


def _words(name: str, found: Verification, lang: str) -> str:
    """An answer as a clerk reads it: outcome, reason, next step, layers, facts, notices."""
    lines = [f"{_MARKS[found.outcome]} {_word(found.outcome, lang)}  {name}"]
    if found.reason is not None:
        lines.append(f"  {found.reason.code}: {found.reason.sentence(lang)}")
        lines.append(f"  → {found.reason.advice(lang)}")
    layers = [
        f"{_LAYERS[layer][0 if lang == 'zh' else 1]} {_layer_mark(result)}"
        for layer, result in found.layers().items()
    ]
    lines.append("  " + "   ".join(layers))
    lines.extend(f"  {line}" for line in _facts(found, lang))
    lines.extend(f"  ! {notice.sentence(lang)}" for notice in found.notices)
    return "\n".join(lines)


def _layer_mark(result: object) -> str:
    return {"passed": "✓", "failed": "✗", "open": "?"}.get(str(result), "–")


def _facts(found: Verification, lang: str) -> Iterator[str]:
    facts = found.facts
    if facts is None:
        return
    for label, party in (("subject", facts.subject), ("actor", facts.actor)):
        if party is not None:
            shown = ", ".join(f"{key}={_plain(value)}" for key, value in party.attributes.items())
            yield f"{label}: {party.kind}{f' ({party.role})' if party.role else ''} {shown}".rstrip()
    for license_ in facts.licenses:
        yield from _license(license_, lang)


def _license(license_: LicenseFacts, lang: str) -> Iterator[str]:
    names = license_.issuer_names
    yield f"{names.get(lang) or next(iter(names.values()), '')} · {license_.type}"
    if license_.identifier:
        yield license_.identifier
    for key, value in license_.fields.items():
        yield f"  {key}: {_plain(value)}"
    if license_.local is not None:
        yield f"local view: {_plain(_local(license_.local))}"


def _plain(value: Any) -> str:
    if isinstance(value, bytes):
        return value.hex()
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _local(view: Any) -> Mapping[str, Any]:
    fields: Mapping[str, Any] = dict(view.fields)
    return fields


def _json_line(name: str, found: Verification) -> str:
    return to_text({"input": name, **to_json(found)})
