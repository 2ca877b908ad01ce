"""`ewallet print`, `compare`, `recall`, `reconcile`, `stock`: one content on screen and on paper."""

from __future__ import annotations

import csv
import json
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from ewallet.cli.exits import Exit, report
from ewallet.cli.verify_command import default_language, moment, state_directory
from ewallet.errors import ConfigError, NotFound, Refused
from ewallet.reasons import REASONS

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from ewallet.licenses.catalog import LicenseType
    from ewallet.licenses.differences import Comparison, Difference, Form
    from ewallet.licenses.issuer import Issuer
    from ewallet.licenses.printed import PrintedCopy
    from ewallet.licenses.register import Register
    from ewallet.licenses.render import Annotation

_FILE: Final = click.Path(path_type=Path, dir_okay=False, exists=True)
_DIR: Final = click.Path(path_type=Path, file_okay=False)

now_option = click.option("--now", "now_text", help="The time, instead of the clock's.")
lang_option = click.option("--lang", type=click.Choice(["zh", "en"]), help="Language of the answer.")
authority_option = click.option(
    "--authority", type=_FILE, help="The authority's file (authority.toml): register, keys, types."
)
register_option = click.option("--register", "url", help="The register: a file or a URL.")


def _url(authority: Path | None, url: str | None) -> tuple[str, tuple[Path, ...]]:
    """Register and type directories that the options name."""
    if url:
        return url, ()
    if authority is None:
        raise click.UsageError("name a register: --register URL or --authority FILE")
    from ewallet.licenses.deployment import Deployment  # noqa: PLC0415 (loads the issuing side)

    deployment = Deployment.load(authority)
    return deployment.register, deployment.catalog


def _register(authority: Path | None, url: str | None) -> Register:
    from ewallet.licenses.register import Register  # noqa: PLC0415 (loads SQLAlchemy)

    return Register.open(_url(authority, url)[0])


# --- print --------------------------------------------------------------------------------------------------


@click.command("print")
@click.argument("identifier")
@click.option("--authority", type=_FILE, required=True, help="The authority's file (authority.toml).")
@click.option("--out", type=_DIR, default=Path(), help="Directory for the PDFs.")
@click.option("--again", is_flag=True, help="Draw sheets again that were printed before.")
@click.option("--duplicates", type=click.IntRange(1, 99), help="Order so many duplicates first.")
@click.option("--office", help="Take the stock numbers of ordered sheets from this office's paper.")
@click.option("--printer", help="Note the sheets as printed, on this printer.")
@click.option("--faces", type=_DIR, help="Directory with the deployment's own templates.")
@click.option("--font", "fonts", type=_FILE, multiple=True, help="Supplementary font for rare characters.")
@click.option("--rare", is_flag=True, help="Take rare characters from the font of the extra 'fonts'.")
@click.option("--preprinted", is_flag=True, help="The paper has frame, title and labels already.")
@click.option(
    "--edition",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the edition statement of the newest version here.",
)
@click.option("--purpose", help="Draw an annotated copy: what it is handed out for.")
@click.option("--maker", help="Annotated copy: who makes it.")
@click.option("--until", type=click.DateTime(["%Y-%m-%d"]), help="Annotated copy: last day of its use.")
@now_option
def print_(
    identifier: str,
    authority: Path,
    out: Path,
    again: bool,  # noqa: FBT001 (a flag of the command line)
    duplicates: int | None,
    office: str | None,
    printer: str | None,
    faces: Path | None,
    fonts: tuple[Path, ...],
    rare: bool,  # noqa: FBT001 (same)
    preprinted: bool,  # noqa: FBT001 (same)
    edition: Path | None,
    purpose: str | None,
    maker: str | None,
    until: datetime | None,
    now_text: str | None,
) -> int:
    """Print the copies of a license that are waiting: one PDF/A-3 for each sheet.

    IDENTIFIER is that of any version; the newest one is printed. Without --printer the sheets are only drawn
    and stay "to print".
    """
    from ewallet.licenses.deployment import Deployment  # noqa: PLC0415
    from ewallet.licenses.printed import CopyState  # noqa: PLC0415
    from ewallet.licenses.render import Content, Faces, rare_font, render  # noqa: PLC0415

    now = moment(now_text)
    annotation = _annotation(purpose, maker, until, now)
    issuer = Deployment.load(authority).open()
    license_ = issuer.register.current(identifier)
    if duplicates:
        _order(issuer, license_.identifier, duplicates, office, now)
    wanted = {CopyState.TO_PRINT}
    if again or annotation is not None:
        wanted |= {CopyState.PRINTED, CopyState.HANDED_OUT}
    copies = [
        copy
        for copy in issuer.register.copies(license_.identifier)
        if copy.version == license_.version and copy.state in wanted
    ]
    if edition is not None:
        edition.write_bytes(_edition(issuer, license_.identifier, now))
        if not copies:
            return Exit.ACCEPTED
    if not copies:
        return report("no sheet of this license is waiting to be printed", "see --again", Exit.REJECTED)
    if rare:
        fonts = (*fonts, rare_font())
    drawn_with = Faces.load(faces, supplementary=fonts) if faces else Faces.builtin(supplementary=fonts)
    content = Content.of(license_, issuer.catalog[license_.type_key])
    out.mkdir(parents=True, exist_ok=True)
    for copy in copies:
        pdf = render(content, copy, faces=drawn_with, annotation=annotation, preprinted=preprinted)
        path = out / _file_name(copy, annotated=annotation is not None)
        path.write_bytes(pdf)
        if printer and copy.state is CopyState.TO_PRINT and annotation is None:
            issuer.move_copy(license_, copy, CopyState.PRINTED, reason="printed", printer=printer, now=now)
        print(f"{path}  {copy.role.name.lower()} {copy.number}/{copy.of}  {copy.stock}".rstrip())
    return Exit.ACCEPTED


def _annotation(
    purpose: str | None, maker: str | None, until: datetime | None, now: datetime
) -> Annotation | None:
    if not (purpose or maker or until):
        return None
    if not (purpose and maker and until):
        raise click.UsageError("an annotated copy needs --purpose, --maker and --until")
    from ewallet.licenses.render import Annotation  # noqa: PLC0415

    return Annotation(purpose=purpose, maker=maker, made_at=now, until=until.date())


def _edition(issuer: Issuer, identifier: str, now: datetime) -> bytes:
    from ewallet.formats import sdjwt  # noqa: PLC0415
    from ewallet.licenses.edition import make_edition  # noqa: PLC0415
    from ewallet.licenses.sheet import DOCUMENT_PROFILE  # noqa: PLC0415

    license_ = issuer.register.license(identifier)
    copies = [copy for copy in issuer.register.copies(identifier) if copy.version == license_.version]
    digest = sdjwt.parse(license_.document or "", DOCUMENT_PROFILE).digest
    return make_edition(license_, copies, issuer.signer, document_digest=digest, now=now)


def _order(issuer: Issuer, identifier: str, duplicates: int, office: str | None, now: datetime) -> None:
    from ewallet.licenses.copies import free_stock  # noqa: PLC0415
    from ewallet.licenses.printed import PrintOrder  # noqa: PLC0415

    stock = free_stock(issuer.register, duplicates, office=office) if office else ()
    order = PrintOrder(originals=0, duplicates=duplicates, stock=stock)
    issuer.print_copies(identifier, order, reason="ordered at the counter", now=now)


def _file_name(copy: PrintedCopy, *, annotated: bool) -> str:
    mark = "-annotated" if annotated else ""
    return f"{copy.identifier}-{copy.role.name.lower()}{copy.number}{mark}.pdf"


# --- compare ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Side:
    """One of the two things that are compared, as far as it can be read without the other."""

    name: str
    type_code: str
    form: Callable[[LicenseType], Form]
    check: tuple[str, ...] = ()
    pdf: Any = None


@click.command()
@click.argument("a")
@click.argument("b", required=False)
@click.option("--trust", "bundle", type=click.Path(path_type=Path, exists=True), help="Gate bundle.")
@register_option
@authority_option
@click.option("--catalog", "directories", type=_DIR, multiple=True, help="Directory of further types.")
@click.option("--type", "type_key", help="Type of a typed face that names no identifier.")
@click.option("--faces", type=_DIR, help="Directory with the deployment's own templates.")
@click.option("--fresh", type=click.Path(path_type=Path, dir_okay=False), help="Write the page drawn afresh.")
@click.option("--state", type=_DIR, help="Trust state; default: the user's.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@now_option
@lang_option
def compare(
    a: str,
    b: str | None,
    bundle: Path | None,
    url: str | None,
    authority: Path | None,
    directories: tuple[Path, ...],
    type_key: str | None,
    faces: Path | None,
    fresh: Path | None,
    state: Path | None,
    as_json: bool,  # noqa: FBT001 (a flag of the command line)
    now_text: str | None,
    lang: str | None,
) -> int:
    """Compare two forms of a license field by field, or a PDF with what it should show.

    A and B are each a PDF, a picture with a seal, a seal's text, a document credential (.sdjwt), a typed face
    (.json: label to value), or `register:IDENTIFIER`. With one PDF alone its page is compared with a page
    drawn afresh from its own credential.

    Exit: 0 they agree, 1 they differ or one is not genuine, 3 signatures were not checked (no --trust).
    """
    now, language = moment(now_text), lang or default_language()
    try:
        with ExitStack() as opened:
            register = opened.enter_context(_register(authority, url)) if url or authority else None
            sides = [_side(each, register) for each in (a, b) if each]
            type_ = _type(sides, directories, type_key)
            genuine = _genuine(sides, bundle, state, now, language)
            if genuine is Exit.REJECTED:
                return Exit.REJECTED
            page = [found for each in sides if each.pdf for found in _page(each.pdf, type_, faces, fresh)]
            compared = _compared(sides, type_, register)
    except Refused as refused:
        reason = REASONS[refused.reason]
        return report(
            f"{refused.reason}: {reason.sentence(language)}", reason.advice(language), Exit.REJECTED
        )
    _tell(compared, page, language, as_json=as_json, checked=bundle is not None)
    if page or (compared is not None and not compared.clean):
        return Exit.REJECTED
    return genuine


def _compared(sides: list[_Side], type_: LicenseType, register: Register | None) -> Comparison | None:
    from ewallet.licenses.differences import compare as compare_forms  # noqa: PLC0415

    if len(sides) == 1:
        return None
    first, second = (each.form(type_) for each in sides)
    current = None
    named = first.identifier or second.identifier
    if register is not None and named:
        current = register.current(named).version
    return compare_forms(first, second, current=current)


def _side(given: str, register: Register | None) -> _Side:
    if given.startswith("register:"):
        return _from_register(given.removeprefix("register:"), register)
    path = Path(given)
    if given.startswith("EWS"):
        return _from_seal(given)
    if not path.is_file():
        raise click.UsageError(f"there is no file {given}")
    if path.suffix.lower() == ".json":
        return _from_face(path)
    data = path.read_bytes()
    if data.startswith(b"%PDF-"):
        return _from_pdf(data)
    if path.suffix.lower() == ".sdjwt":
        return _from_credential(data.decode("ascii", "replace").strip())
    from ewallet.formats.qr import read_image  # noqa: PLC0415 (Pillow and the reader)

    seals = [text for text in read_image(path) if text.startswith("EWS")]
    if len(seals) != 1:
        raise Refused("code.unreadable", f"{len(seals)} seals in the picture where one is needed")
    return _from_seal(seals[0])


def _from_register(identifier: str, register: Register | None) -> _Side:
    from ewallet.licenses.differences import of_license  # noqa: PLC0415

    if register is None:
        raise click.UsageError("name the register: --register URL or --authority FILE")
    license_ = register.license(identifier)
    return _Side(
        name="register", type_code=license_.type_code, form=lambda type_: of_license(license_, type_)
    )


def _from_seal(text: str) -> _Side:
    from ewallet.licenses.differences import of_parsed_seal  # noqa: PLC0415
    from ewallet.licenses.seal import parse_seal  # noqa: PLC0415

    parsed = parse_seal(text)
    return _Side(
        name="seal",
        type_code=_type_code(parsed.unverified.identifier),
        form=lambda type_: of_parsed_seal(parsed, type_),
        check=(text,),
    )


def _from_credential(text: str) -> _Side:
    from ewallet.licenses.differences import of_claims  # noqa: PLC0415
    from ewallet.licenses.sheet import unverified_claims  # noqa: PLC0415

    claims = unverified_claims(text)
    return _Side(
        name="credential",
        type_code=_type_code(str(claims.get("identifier", ""))),
        form=lambda type_: of_claims(claims, type_),
        check=(text,),
    )


def _from_face(path: Path) -> _Side:
    from ewallet.licenses.differences import of_face  # noqa: PLC0415
    from ewallet.wire import decode_json  # noqa: PLC0415

    typed = decode_json(path.read_bytes())
    if not isinstance(typed, dict) or not all(
        value is None or isinstance(value, str) for value in typed.values()
    ):
        raise ConfigError("a typed face is an object of texts", file=str(path))
    named = typed.get("证照标识") or typed.get("identifier") or ""
    return _Side(name="face", type_code=_type_code(named), form=lambda type_: of_face(typed, type_))


def _from_pdf(data: bytes) -> _Side:
    from ewallet.licenses.differences import of_claims  # noqa: PLC0415
    from ewallet.licenses.sheet import read_sheet, unverified_claims  # noqa: PLC0415

    sheet = read_sheet(data)
    if sheet.credential is None:
        if len(sheet.seals) != 1:
            raise Refused("code.unreadable", "the PDF has neither a credential nor one readable seal")
        return _from_seal(sheet.seals[0])
    claims = unverified_claims(sheet.credential)
    return _Side(
        name="pdf",
        type_code=_type_code(str(claims.get("identifier", ""))),
        form=lambda type_: of_claims(claims, type_, name="pdf", paper=True),
        check=(sheet.credential, *sheet.seals),
        pdf=(sheet, claims),
    )


def _type_code(identifier: str) -> str:
    return identifier.removeprefix("1.2.156.3005.2.").split(".")[0]


def _type(sides: list[_Side], directories: tuple[Path, ...], type_key: str | None) -> LicenseType:
    from ewallet.licenses.catalog import Catalog  # noqa: PLC0415

    catalog = Catalog.load(*directories)
    for name in (*(each.type_code for each in sides), type_key or ""):
        found = catalog.get(name) if name else None
        if found is not None:
            return found
    raise click.UsageError("the type is not known here: name it with --type, or its directory with --catalog")


def _genuine(sides: list[_Side], bundle: Path | None, state: Path | None, now: datetime, lang: str) -> Exit:
    """Signatures of everything signed; differences of forged things mean nothing."""
    signed = [text for each in sides for text in each.check]
    if bundle is None:
        return Exit.UNDECIDED if signed else Exit.ACCEPTED
    from ewallet.verify.counter import open_verifier  # noqa: PLC0415 (loads the lists)

    verifier = open_verifier(bundle, state=state or state_directory(), now=now)
    for text in signed:
        found = verifier.verify(text, now=now)
        if found.facts is None:
            reason = found.reason
            print(
                f"✗ {reason.code if reason else ''}  {reason.sentence(lang) if reason else ''}",
                file=sys.stderr,
            )
            return Exit.REJECTED
        if found.reason is not None:
            print(f"! {found.reason.code} {found.reason.sentence(lang)}", file=sys.stderr)
    return Exit.ACCEPTED


def _page(pdf: Any, type_: LicenseType, faces: Path | None, fresh: Path | None) -> list[Difference]:
    """The page of a PDF beside the page drawn afresh from its credential."""
    from ewallet.licenses.render import Content, Faces  # noqa: PLC0415
    from ewallet.licenses.sheet import examine  # noqa: PLC0415

    sheet, claims = pdf
    content = Content.of_claims(claims, type_, sheet.credential)
    examination = examine(sheet, content, faces=Faces.load(faces) if faces else Faces.builtin())
    if fresh is not None:
        fresh.write_bytes(examination.fresh)
    return list(examination.differences)


_SAY: Final = {
    "page_clean": ("页面与其签名内容一致。", "The page shows what was signed."),
    "page": ("页面被改动：", "The page was altered:"),
    "unchecked": ("未核验签名（未给出 --trust）。", "Signatures were not checked (no --trust)."),
}


def _tell(
    compared: Comparison | None, page: list[Difference], lang: str, *, as_json: bool, checked: bool
) -> None:
    from ewallet.licenses.differences import EDITIONS, Result  # noqa: PLC0415
    from ewallet.licenses.seal import PHOTOCOPY_NOTICE  # noqa: PLC0415

    place = 0 if lang == "zh" else 1
    notices = [PHOTOCOPY_NOTICE[lang], *([] if checked else [_SAY["unchecked"][place]])]
    if as_json:
        answer = {
            "edition": compared.edition.value if compared else None,
            "fields": [_plain(each) for each in compared.fields] if compared else [],
            "page": [_plain(each) for each in page],
            "notices": notices,
        }
        print(json.dumps(answer, ensure_ascii=False))
        return
    if compared is not None:
        print(f"{compared.a} / {compared.b}: {EDITIONS[compared.edition][place]}")
        for each in compared.fields:
            mark = "=" if each.result.agrees else "≠"
            how = f" ({', '.join(each.rules)})" if each.rules else ""
            shown = "" if each.result is Result.EQUAL else f"  {each.a or '—'} | {each.b or '—'}"
            print(f"  {mark} {each.label}  {each.result.value}{how}{shown}")
    if page:
        reason = REASONS["printed.differs"]
        print(f"✗ {reason.code}  {reason.sentence(lang)} {_SAY['page'][place]}")
        for each in page:
            print(f"  ≠ {each.label}  ({', '.join(each.rules)})")
    elif compared is None:
        print(_SAY["page_clean"][place])
    for notice in notices:
        print(f"! {notice}")


def _plain(each: Difference) -> dict[str, Any]:
    return {
        "key": each.key,
        "label": each.label,
        "result": each.result.value,
        "rules": list(each.rules),
        "a": each.a,
        "b": each.b,
    }


# --- recall -------------------------------------------------------------------------------------------------


@click.command()
@authority_option
@register_option
@click.option("--license", "identifier", default="", help="Of this license only (any version).")
@click.option("--type", "type_code", default="", help="Of this type code only.")
@click.option("--lost", is_flag=True, help="Also the sheets reported lost.")
@click.option("--mark", multiple=True, metavar="STOCK=STATE", help="Note a sheet: returned, lost, destroyed.")
@click.option("--reason", default="recall", show_default=True, help="Why, for --mark.")
@click.option("--reviews", is_flag=True, help="List permits to look at since another license changed.")
@click.option(
    "--notices",
    type=click.Path(path_type=Path, dir_okay=False),
    help="With --reviews: write their entries of notices.json here.",
)
@click.option("--csv", "as_csv", is_flag=True, help="CSV instead of lines.")
@now_option
def recall(
    authority: Path | None,
    url: str | None,
    identifier: str,
    type_code: str,
    lost: bool,  # noqa: FBT001 (a flag of the command line)
    mark: tuple[str, ...],
    reason: str,
    reviews: bool,  # noqa: FBT001 (same)
    notices: Path | None,
    as_csv: bool,  # noqa: FBT001 (same)
    now_text: str | None,
) -> int:
    """List the sheets that must be taken back, and note what became of them.

    Exit: 0 nothing is outstanding, 1 something is.
    """
    from ewallet.licenses.copies import recall_list  # noqa: PLC0415

    if reviews:
        return _reviews(authority, url, notices)
    if mark:
        _mark(authority, mark, reason, moment(now_text))
    rows = csv.writer(sys.stdout)
    outstanding = 0
    with _register(authority, url) as register:
        for sheet in recall_list(register, identifier=identifier, type_code=type_code, lost=lost):
            outstanding += 1
            cells = (
                sheet.sheet.value,
                sheet.stock or "-",
                f"{sheet.role.name.lower()} {sheet.copy}/{sheet.of}",
                sheet.number,
                f"v{sheet.version} -> v{sheet.current}",
                sheet.state,
                sheet.identifier,
            )
            if as_csv:
                rows.writerow(cells)
            else:
                print("  ".join(cells))
    return Exit.REJECTED if outstanding else Exit.ACCEPTED


def _reviews(authority: Path | None, url: str | None, notices: Path | None) -> Exit:
    from ewallet.licenses.dependants import review_notices, under_review  # noqa: PLC0415

    found = 0
    with _register(authority, url) as register:
        for each in under_review(register):
            found += 1
            print(
                f"{each.type_code}  {each.number}  {', '.join(each.fields)}  {each.identifier}  {each.reason}"
            )
        if notices is not None:
            entries = {"format": 1, "entries": review_notices(register)}
            notices.write_text(json.dumps(entries, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return Exit.REJECTED if found else Exit.ACCEPTED


def _mark(authority: Path | None, marks: tuple[str, ...], reason: str, now: datetime) -> None:
    from ewallet.licenses.copies import copy_with_stock  # noqa: PLC0415
    from ewallet.licenses.deployment import Deployment  # noqa: PLC0415
    from ewallet.licenses.printed import CopyState  # noqa: PLC0415

    if authority is None:
        raise click.UsageError("--mark changes the register: it needs --authority FILE")
    issuer = Deployment.load(authority).open()
    for each in marks:
        stock, separator, state = each.partition("=")
        if not separator or state not in {"returned", "lost", "destroyed"}:
            raise click.UsageError("--mark takes STOCK=returned, STOCK=lost or STOCK=destroyed")
        copy = copy_with_stock(issuer.register, stock)
        issuer.move_copy(copy.identifier, copy, CopyState(state), reason=reason, now=now)


# --- reconcile ----------------------------------------------------------------------------------------------


@click.command()
@authority_option
@register_option
@click.option("--export", type=_FILE, help="An agency's own list, to compare the register with.")
@click.option("--type", "type_key", help="Type of the list's rows.")
@click.option("--paper", "paper_types", multiple=True, help="Type of which every license must have paper.")
@click.option("--out", type=_DIR, help="Directory for findings.jsonl, findings.csv and report.html.")
@click.option("--processes", default=1, show_default=True, type=click.IntRange(1, 64))
@click.option("--quiet", is_flag=True, help="No progress bar.")
@now_option
@lang_option
def reconcile(
    authority: Path | None,
    url: str | None,
    export: Path | None,
    type_key: str | None,
    paper_types: tuple[str, ...],
    out: Path | None,
    processes: int,
    quiet: bool,  # noqa: FBT001 (a flag of the command line)
    now_text: str | None,
    lang: str | None,
) -> int:
    """Compare the register with itself, or with an agency's own list.

    Exit: 0 clean, 1 findings, 3 nothing was there to check.
    """
    from ewallet.licenses import reconcile as runs  # noqa: PLC0415
    from ewallet.licenses import reports  # noqa: PLC0415

    if export is not None and not type_key:
        raise click.UsageError("--export needs --type")
    language = lang or default_language()
    register, catalog = _url(authority, url)
    with ExitStack() as opened:
        writers: list[reports.FindingsWriter] = []
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
            lines = opened.enter_context((out / "findings.jsonl").open("w", encoding="utf-8"))
            table = opened.enter_context((out / "findings.csv").open("w", encoding="utf-8-sig", newline=""))
            writers += [reports.json_lines(lines), reports.csv_lines(table)]

        def take(finding: runs.Finding) -> None:
            for write in writers:
                write(finding)

        bar = None if quiet or not sys.stderr.isatty() else _bar
        now = moment(now_text)
        if export is not None and type_key:
            summary = runs.reconcile_export(
                register, export, type_key, now=now, findings=take, catalog=catalog, processes=processes,
                progress=bar,
            )  # fmt: skip
        else:
            summary = runs.reconcile(
                register, now=now, findings=take, catalog=catalog, paper_types=paper_types,
                processes=processes, progress=bar,
            )  # fmt: skip
    if out is not None:
        (out / "report.html").write_text(reports.html_report(summary, language), encoding="utf-8")
    print(reports.text_summary(summary, language))
    if not summary.checked and not summary.findings:
        return Exit.UNDECIDED
    return Exit.ACCEPTED if summary.clean else Exit.REJECTED


def _bar(done: int, total: int) -> None:
    width = 40
    filled = width * done // max(total, 1)
    end = "\n" if done == total else ""
    print(
        f"\r[{'#' * filled}{'.' * (width - filled)}] {100 * done // max(total, 1):3d}%",
        end=end,
        file=sys.stderr,
    )


# --- stock --------------------------------------------------------------------------------------------------


@click.group()
def stock() -> None:
    """Hand out security paper, note spoiled sheets, and account for all of it."""


@stock.command("hand-out")
@click.argument("first")
@click.argument("last")
@click.option("--office", required=True, help="Who gets the paper.")
@click.option("--operator", default="", help="Who hands it out.")
@authority_option
@register_option
@now_option
def hand_out(
    first: str,
    last: str,
    office: str,
    operator: str,
    authority: Path | None,
    url: str | None,
    now_text: str | None,
) -> int:
    """Note that an office was given the sheets FIRST to LAST."""
    from ewallet.licenses.copies import hand_out_stock  # noqa: PLC0415

    with _register(authority, url) as register:
        try:
            found = hand_out_stock(
                register, first, last, office=office, operator=operator, now=moment(now_text)
            )
        except ValueError as error:
            raise click.UsageError(str(error)) from error
    print(f"{found.first} - {found.last}  {found.sheets}  {found.office}")
    return Exit.ACCEPTED


@stock.command()
@click.argument("number")
@click.option("--reason", required=True, help="Why it may never carry a license.")
@click.option("--operator", default="", help="Who noted it.")
@authority_option
@register_option
@now_option
def spoil(
    number: str,
    reason: str,
    operator: str,
    authority: Path | None,
    url: str | None,
    now_text: str | None,
) -> int:
    """Note a sheet as spoiled."""
    from ewallet.licenses.copies import spoil_stock  # noqa: PLC0415

    with _register(authority, url) as register:
        try:
            spoil_stock(register, number, reason=reason, operator=operator, now=moment(now_text))
        except NotFound as error:
            return report(str(error), "see 'ewallet stock account'", Exit.REJECTED)
        except ValueError as error:
            raise click.UsageError(str(error)) from error
    print(f"{number}  spoiled")
    return Exit.ACCEPTED


@stock.command()
@click.option("--office", default="", help="Of this office only.")
@authority_option
@register_option
def account(office: str, authority: Path | None, url: str | None) -> int:
    """Show what became of every range: sheets, used, spoiled, left."""
    from ewallet.licenses.copies import stock_account  # noqa: PLC0415

    with _register(authority, url) as register:
        for each in stock_account(register, office=office):
            print(
                f"{each.first} - {each.last}  {each.office}  sheets {each.sheets}  used {each.used}  "
                f"spoiled {each.spoiled}  left {each.free}"
            )
    return Exit.ACCEPTED
