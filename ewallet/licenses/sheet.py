"""A PDF as evidence: what it carries, and whether its page still shows what was signed.

The page of a printed copy is drawn from its own credential, so it can be drawn again: `examine` draws it
afresh and compares text layer and picture. An edited text and a picture laid over it both show; the fresh
page, not the one that came, is what a clerk should look at.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Final

from ewallet.errors import Malformed, PrintError, Refused
from ewallet.formats import qr, sdjwt, text, typeset
from ewallet.keys import SUITES
from ewallet.licenses.differences import Difference, Result
from ewallet.licenses.printed import CopyState, PrintedCopy
from ewallet.licenses.render import CREDENTIAL_SUFFIX, METADATA_NAME, Annotation, render
from ewallet.licenses.seal import parse_seal
from ewallet.wire import b64u_decode, b64u_encode, decode_json

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from PIL.Image import Image

    from ewallet.licenses.render import Content, Faces

DOCUMENT_PROFILE: Final = sdjwt.Profile(typ=sdjwt.DOCUMENT_CREDENTIAL, exp_required=False, key_binding=False)
"""What an attached credential must look like."""

SEAL_DPI: Final = 200
"""Resolution at which seals are read from a page: 0.6 mm modules get nearly five pixels."""

LOOK_DPI: Final = 100
"""Resolution at which pages are compared: a changed stroke of 6 pt text still covers several pixels."""

_CELL: Final = 6
"""Pixels of one side of a compared cell, 1.5 mm."""

_TOLERANCE: Final = 72
"""Grey levels by which one pixel may differ: another renderer's anti-aliasing stays below."""

Box = tuple[float, float, float, float]
"""Left, top, right, bottom in millimetres from the upper left corner."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """What a PDF carries; nothing of it is verified.

    Attributes:
        pdf: the file.
        credential: the attached document credential; None without one.
        seals: texts of the seals on its pages.
        annotation: what its metadata say of an annotated copy.
    """

    pdf: bytes
    credential: str | None
    seals: tuple[str, ...]
    annotation: Annotation | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """A page that came beside the page drawn afresh.

    Attributes:
        fresh: the PDF drawn afresh from the signed content: what is to be shown.
        differences: what the given page shows otherwise; `rules` says how it was noticed (`text`, `picture`).
    """

    fresh: bytes
    differences: tuple[Difference, ...]


def read_sheet(pdf: bytes | Path) -> Sheet:
    """Take a PDF apart.

    Raises:
        Malformed: `code.unreadable` if it is no PDF, `credential.malformed` if it has two credentials.
    """
    content = pdf if isinstance(pdf, bytes) else pdf.read_bytes()
    files = typeset.attachments(content)
    credentials = [data for name, data in files.items() if name.endswith(CREDENTIAL_SUFFIX)]
    if len(credentials) > 1:
        raise Malformed("two credentials are attached")
    found = qr.read_pdf(content, dpi=SEAL_DPI)
    try:
        credential = credentials[0].decode("ascii") if credentials else None
    except UnicodeDecodeError as error:
        raise Malformed("the attached credential is no text") from error
    return Sheet(
        pdf=content,
        credential=credential,
        seals=tuple(each for each in found if each.startswith(text.SEAL)),
        annotation=_annotation(files.get(METADATA_NAME, b"")),
    )


def unverified_claims(credential: str) -> dict[str, Any]:
    """The claims of a document credential with its disclosures merged; the signature is not checked.

    Every disclosure must be one that the issuer-signed part names by its digest (RFC 9901, 7.1).

    Raises:
        Malformed: another form, or a disclosure that nothing signed names.
    """
    parsed = sdjwt.parse(credential, DOCUMENT_PROFILE)
    claims = dict(parsed.unverified_claims)
    named, algorithm = claims.pop("_sd", []), claims.pop("_sd_alg", "sha-256")
    hashes = [suite.digest for suite in SUITES.values() if suite.sd_alg_jose == algorithm]
    if not hashes or not isinstance(named, list):
        raise Malformed("disclosures under a digest that is not known")
    for disclosure in parsed.disclosures:
        triple = decode_json(b64u_decode(disclosure))
        if not isinstance(triple, list) or len(triple) != 3 or not isinstance(triple[1], str):
            raise Malformed("a disclosure in another form")
        if b64u_encode(hashes[0](disclosure)) not in named or triple[1] in claims:
            raise Malformed("a disclosure that nothing signed names")
        claims[triple[1]] = triple[2]
    return claims


def match_seal(seal_text: str, content: Content) -> None:
    """The seal on a page must be over the content of the attached credential.

    Raises:
        Malformed: not a seal.
        Refused: `printed.differs`: it is the seal of another license, version or face.
    """
    parsed = parse_seal(seal_text)
    seal = parsed.unverified
    if (seal.identifier, seal.version) != (content.identifier, content.version):
        raise Refused("printed.differs", "the seal belongs to another license or version")
    if not parsed.covers(content.face):
        raise Refused("printed.differs", "the seal is over another face")


def examine(sheet: Sheet, content: Content, *, faces: Faces) -> Examination:
    """Draw a sheet afresh and compare it with what came.

    Args:
        sheet: what `read_sheet` gave; it must have one seal, and that seal must match (`match_seal`).
        content: from the verified credential.
        faces: forms and fonts of the deployment.

    Raises:
        Refused: `printed.differs`: no seal, several seals, or one over another content.
        PrintError: the content cannot be drawn here.
    """
    if len(sheet.seals) != 1:
        raise Refused("printed.differs", f"{len(sheet.seals)} seals on the page where one belongs")
    match_seal(sheet.seals[0], content)
    copy = copy_of(sheet.seals[0])
    best: Examination | None = None
    for preprinted in (False, True):
        fresh = _drawn(content, copy, faces, sheet.annotation, preprinted=preprinted)
        found = Examination(fresh=fresh, differences=page_differences(sheet.pdf, fresh, content))
        if not found.differences:
            return found
        if best is None or len(found.differences) < len(best.differences):
            best = found
    if best is None:
        raise AssertionError("at least one variant is drawn")
    return best


def _drawn(
    content: Content, copy: PrintedCopy, faces: Faces, annotation: Annotation | None, *, preprinted: bool
) -> bytes:
    """The fresh page. An annotation is unsigned: one that cannot be drawn is left out, and so shows."""
    try:
        return render(content, copy, faces=faces, annotation=annotation, preprinted=preprinted)
    except PrintError:
        if annotation is None:
            raise
        return render(content, copy, faces=faces, preprinted=preprinted)


def copy_of(seal_text: str) -> PrintedCopy:
    """The sheet that a seal speaks of, as far as the seal knows it."""
    seal = parse_seal(seal_text).unverified
    return PrintedCopy(
        identifier=seal.identifier,
        version=seal.version,
        role=seal.role,
        number=seal.number,
        of=seal.of,
        stock=seal.stock,
        state=CopyState.HANDED_OUT,
        seal=seal_text,
        status=seal.status,
    )


def page_differences(given: bytes, fresh: bytes, content: Content) -> tuple[Difference, ...]:
    """Which fields two PDFs of one content show differently, by text layer and by picture.

    Args:
        given: the file that came.
        fresh: the file drawn afresh.
        content: names the fields.
    """
    if typeset.page_sizes_mm(given) != typeset.page_sizes_mm(fresh):
        return (_page("picture", "页面尺寸"),)
    noticed: dict[str, set[str]] = {}
    places: list[tuple[str, int, Box]] = []
    drawn_given, drawn_fresh = typeset.page_characters(given), typeset.page_characters(fresh)
    for page, (before, after) in enumerate(zip(drawn_fresh, drawn_given, strict=True)):
        boxes = _field_boxes(before, content)
        places += [(key, page, box) for key, box in boxes]
        for key in _text_differences(before, after, content):
            noticed.setdefault(key, set()).add("text")
    pictures = zip(typeset.render_pdf(given, LOOK_DPI), typeset.render_pdf(fresh, LOOK_DPI), strict=True)
    for page, (seen, expected) in enumerate(pictures):
        for cell in _changed_cells(seen, expected):
            hit = [key for key, where, box in places if where == page and _touch(cell, box)]
            for key in hit or ["page"]:
                noticed.setdefault(key, set()).add("picture")
    return tuple(_named(noticed, content))


def _named(noticed: dict[str, set[str]], content: Content) -> Iterable[Difference]:
    for each in content.fields:
        if each.key in noticed:
            yield Difference(
                key=each.key,
                label=each.label,
                result=Result.DIFFERENT,
                rules=tuple(sorted(noticed[each.key])),
                a=each.shown,
            )
    if "page" in noticed:
        yield Difference(
            key="page", label="字段之外", result=Result.DIFFERENT, rules=tuple(sorted(noticed["page"]))
        )


def _page(rule: str, label: str) -> Difference:
    return Difference(key="page", label=label, result=Result.DIFFERENT, rules=(rule,))


def _field_boxes(characters: list[typeset.Character], content: Content) -> list[tuple[str, Box]]:
    """Where each field's value stands on the page drawn afresh; one box for each line of it."""
    flat = "".join(each.text for each in characters)
    found: list[tuple[str, Box]] = []
    for each in content.fields:
        value = "".join(each.shown.split())
        if not value:
            continue
        label = "".join(each.label.split())
        start = flat.find(label + value)
        start = start + len(label) if start >= 0 else flat.find(value)
        if start < 0:
            continue
        found += [(each.key, box) for box in _lines(characters, start, len(value))]
    return found


def _lines(characters: list[typeset.Character], start: int, length: int) -> list[Box]:
    boxes: list[Box] = []
    position = 0
    for each in characters:
        if start <= position < start + length:
            left, top, right, bottom = each.box
            if boxes and abs(boxes[-1][3] - bottom) < (bottom - top):
                last = boxes[-1]
                boxes[-1] = (
                    min(last[0], left), min(last[1], top), max(last[2], right), max(last[3], bottom),
                )  # fmt: skip
            else:
                boxes.append(each.box)
        position += len(each.text)
    return boxes


def _text_differences(
    fresh: list[typeset.Character], given: list[typeset.Character], content: Content
) -> list[str]:
    before, after = ("".join(each.text for each in side) for side in (fresh, given))
    if before == after:
        return []
    changed = []
    for each in content.fields:
        value, label = "".join(each.shown.split()), "".join(each.label.split())
        for words in (label + value, value):
            if words and words in before:
                if after.count(words) < before.count(words):
                    changed.append(each.key)
                break
    return changed or ["page"]


def _changed_cells(seen: Image, expected: Image) -> list[Box]:
    from PIL import Image as Pictures  # noqa: PLC0415 - only who examines loads Pillow
    from PIL import ImageChops  # noqa: PLC0415

    if seen.size != expected.size:
        width, height = (side / LOOK_DPI * 25.4 for side in expected.size)
        return [(0.0, 0.0, width, height)]
    difference = ImageChops.difference(seen.convert("RGB"), expected.convert("RGB"))
    red, green, blue = difference.split()
    strongest = ImageChops.lighter(ImageChops.lighter(red, green), blue)
    marked = strongest.point([255 if level > _TOLERANCE else 0 for level in range(256)])
    columns, rows = -(-marked.width // _CELL), -(-marked.height // _CELL)
    padded = Pictures.new("L", (columns * _CELL, rows * _CELL), 0)
    padded.paste(marked, (0, 0))
    cells = padded.reduce(_CELL).tobytes()
    side = _CELL / LOOK_DPI * 25.4
    # One stray pixel in a cell is noise; two or more are ink.
    return [
        (
            index % columns * side,
            index // columns * side,
            (index % columns + 1) * side,
            (index // columns + 1) * side,
        )
        for index, level in enumerate(cells)
        if level >= 2 * 255 // _CELL**2
    ]


def _touch(a: Box, b: Box) -> bool:
    return a[0] <= b[2] and b[0] <= a[2] and a[1] <= b[3] and b[1] <= a[3]


def _annotation(metadata: bytes) -> Annotation | None:
    """The annotation that the metadata name; unsigned, it decides only how the page is drawn afresh."""
    try:
        read: Any = decode_json(metadata)
        made = datetime.fromisoformat(read["JZJZZSJ"])
        if made.tzinfo is None:
            return None
        return Annotation(
            purpose=str(read["JZJZZSY"]),
            maker=str(read["JZJZZZ"]),
            made_at=made,
            until=date.fromisoformat(read["JZJYXQJZSJ"]),
        )
    except (Malformed, KeyError, TypeError, ValueError, json.JSONDecodeError):
        return None
