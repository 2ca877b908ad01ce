"""A Typst template and data become a PDF/A-3b; a PDF gives back its pages, its text and what is attached.

Typst draws, pdfium reads (extras `print` and `scan`); both load when first needed. Nothing here knows what a
license is: the faces are in `ewallet.licenses`.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from ewallet.errors import ConfigError, Malformed, MissingExtra, PrintError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from PIL.Image import Image

Relationship = Literal["source", "data", "alternative", "supplement"]

PDF_STANDARD: Final = "a-3b"
"""PDF/A-3 level B (ISO 19005-3): an archive format that may carry its own credential as an attachment."""

MAX_PDF: Final = 32 * 1024 * 1024
"""A foreign PDF above this is not opened: a printed copy has some 100 kB."""

MAX_PAGES: Final = 40
"""Pages of a foreign PDF that are looked at."""

MAX_PIXELS: Final = 120_000_000
"""Pixels of one rendered page: an A2 page at 400 dpi lies below."""

_POINTS_PER_INCH: Final = 72


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A file inside a PDF.

    Attributes:
        name: file name.
        content: its bytes.
        mime: media type.
        relationship: what it is to the page (ISO 32000-2 clause 7.11.3, `AFRelationship`).
        description: one sentence for who opens the list of attachments.
    """

    name: str
    content: bytes
    mime: str
    relationship: Relationship
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Font:
    """A font file that pages may be set with.

    Attributes:
        path: the file (TrueType or OpenType, one face).
        characters: the code points that it draws.
    """

    path: Path
    characters: frozenset[int]

    @classmethod
    def load(cls, path: Path) -> Font:
        """Read which characters a font file draws.

        Raises:
            ConfigError: the file is no font of one face, or has no Unicode table.
        """
        return _load_font(path.resolve())

    @property
    def family(self) -> str:
        """The family name under which templates select it.

        Raises:
            ConfigError: the typesetter does not take the file.
        """
        for info in _typst_fonts((self.path.parent,)).fonts():
            if info.path is not None and Path(info.path).resolve() == self.path:
                return str(info.family)
        raise ConfigError("the typesetter does not take this font", file=str(self.path))


def missing_characters(text: str, fonts: Sequence[Font]) -> tuple[str, ...]:
    """The characters of a text that none of the fonts draws, each once, in order.

    Line ends and spaces need no glyph. Control characters count as missing: no face has them.
    """
    lacking = (
        char for char in text if char not in "\n " and not any(ord(char) in font.characters for font in fonts)
    )
    return tuple(dict.fromkeys(lacking))


def typeset(
    template: Path,
    data: Mapping[str, Any],
    *,
    fonts: Sequence[Font],
    created: datetime,
    attachments: Sequence[Attachment] = (),
) -> bytes:
    """Set a page.

    The template reads `json(bytes(sys.inputs.data))`: the given data with two additions, `fonts` (family
    names, first one first) and `created` (`{year, month, day}`). Attachments are joined to the document
    without the template's help.

    Args:
        template: a `.typ` file; it may import files of its own folder.
        data: JSON values.
        fonts: what the page is set with; nothing else is used.
        created: date of the document: the same input gives the same bytes.
        attachments: files to embed.

    Returns:
        The PDF/A-3b.

    Raises:
        PrintError: the template does not compile; the message names the place.
        MissingExtra: typst is not installed (extra `print`).
    """
    typst = _typst()
    given = dict(data)
    given["fonts"] = [font.family for font in fonts]
    given["created"] = {"year": created.year, "month": created.month, "day": created.day}
    given["attachments"] = [
        {
            "name": attachment.name,
            "content": list(attachment.content),
            "mime": attachment.mime,
            "relationship": attachment.relationship,
            "description": attachment.description,
        }
        for attachment in attachments
    ]
    main = f'{_PREAMBLE}#include "{template.name}"\n'.encode()
    folders = tuple(dict.fromkeys(font.path.parent for font in fonts))
    try:
        compiler = typst.Compiler(root=template.parent, font_paths=_typst_fonts(folders))
        pdf = compiler.compile(
            main,
            format="pdf",
            sys_inputs={"data": json.dumps(given, ensure_ascii=False)},
            pdf_standards=[PDF_STANDARD],
            timestamp=created,
        )
    except (typst.TypstError, RuntimeError, OSError) as error:
        raise PrintError(f"{template.name}: {getattr(error, 'message', error)}") from error
    if not isinstance(pdf, bytes):
        raise PrintError(f"{template.name}: no document came out")
    return pdf


_PREAMBLE: Final = """\
#let _given = json(bytes(sys.inputs.data))
#for a in _given.attachments {
  pdf.attach(
    a.name, bytes(a.content),
    relationship: a.relationship, mime-type: a.mime, description: a.description,
  )
}
"""


def render_pdf(pdf: bytes | Path, dpi: float = 150) -> list[Image]:
    """Render the pages of a PDF to pictures (RGB, white paper).

    Raises:
        Malformed: `code.unreadable`: not a PDF, too large, too many pages.
        MissingExtra: pypdfium2 is not installed (extra `print` or `scan`).
    """
    scale = dpi / _POINTS_PER_INCH
    pictures = []
    with _Opened(pdf) as document:
        for page in document:
            width, height = page.get_size()
            if width * scale * height * scale > MAX_PIXELS:
                raise Malformed("a page is too large", "code.unreadable")
            pictures.append(page.render(scale=scale).to_pil().convert("RGB"))
    return pictures


def page_sizes_mm(pdf: bytes | Path) -> list[tuple[float, float]]:
    """Width and height of every page in millimetres."""
    with _Opened(pdf) as document:
        return [
            (round(width / _POINTS_PER_INCH * 25.4, 2), round(height / _POINTS_PER_INCH * 25.4, 2))
            for width, height in (page.get_size() for page in document)
        ]


def page_texts(pdf: bytes | Path) -> list[str]:
    """The text layer of every page."""
    with _Opened(pdf) as document:
        return [page.get_textpage().get_text_range() for page in document]


@dataclass(frozen=True, slots=True)
class Character:
    """One character of a text layer and where it stands.

    Attributes:
        text: the character.
        box: left, top, right, bottom in millimetres from the upper left corner of the page.
    """

    text: str
    box: tuple[float, float, float, float]


def page_characters(pdf: bytes | Path) -> list[list[Character]]:
    """The characters of every page's text layer in their order, without white space."""
    with _Opened(pdf) as document:
        return [list(_characters(page)) for page in document]


def _characters(page: Any) -> Iterator[Character]:
    import pypdfium2.raw as pdfium  # noqa: PLC0415 - loaded already by the caller

    height = page.get_height()
    layer = page.get_textpage()
    high = 0
    for index in range(layer.count_chars()):
        code = pdfium.FPDFText_GetUnicode(layer, index)
        if 0xD800 <= code < 0xDC00:  # beyond the basic plane: two entries make one character
            high = code
            continue
        if 0xDC00 <= code < 0xE000:
            code = 0x10000 + ((high - 0xD800) << 10) + (code - 0xDC00)
        char = chr(code)
        if code == 0 or char.isspace():
            continue
        left, bottom, right, top = layer.get_charbox(index)
        corners = (left, height - top, right, height - bottom)
        mm_left, mm_top, mm_right, mm_bottom = (side / _POINTS_PER_INCH * 25.4 for side in corners)
        yield Character(char, (mm_left, mm_top, mm_right, mm_bottom))


def attachments(pdf: bytes | Path) -> dict[str, bytes]:
    """The embedded files of a PDF by name.

    Raises:
        Malformed: `code.unreadable` if it is no PDF, `credential.malformed` if two files have one name (which
            of the two counts would be a guess) or one cannot be read.
    """
    found: dict[str, bytes] = {}
    with _Opened(pdf) as document:
        for index in range(document.count_attachments()):
            attachment = document.get_attachment(index)
            name = attachment.get_name()
            if name in found:
                raise Malformed("two attachments have one name")
            found[name] = bytes(attachment.get_data())
    return found


class _Opened:
    """A PDF opened by pdfium, closed at the end; pdfium's own exceptions become `Malformed`."""

    def __init__(self, pdf: bytes | Path) -> None:
        try:
            import pypdfium2  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise MissingExtra("print", "reading PDF files") from error
        self._error: type[Exception] = pypdfium2.PdfiumError
        content = pdf if isinstance(pdf, bytes) else pdf.read_bytes()
        if len(content) > MAX_PDF:
            raise Malformed("the PDF is too large", "code.unreadable")
        try:
            self._document = pypdfium2.PdfDocument(content)
        except pypdfium2.PdfiumError as error:
            raise Malformed("not a PDF", "code.unreadable") from error

    def __enter__(self) -> Any:
        if len(self._document) > MAX_PAGES:
            self._document.close()
            raise Malformed("the PDF has too many pages", "code.unreadable")
        return self._document

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        self._document.close()
        if kind is not None and issubclass(kind, self._error):
            raise Malformed("the PDF is damaged", "code.unreadable") from error


def _typst() -> Any:
    try:
        import typst  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise MissingExtra("print", "printing") from error
    return typst


@lru_cache(maxsize=8)
def _typst_fonts(folders: tuple[Path, ...]) -> Any:
    return _typst().Fonts(
        include_system_fonts=False,  # the same input gives the same page on every machine
        include_embedded_fonts=False,
        font_paths=[str(folder) for folder in folders],
    )


@lru_cache(maxsize=16)
def _load_font(path: Path) -> Font:
    try:
        content = path.read_bytes()
        return Font(path=path, characters=frozenset(_code_points(_cmap(content))))
    except (OSError, struct.error, IndexError) as error:
        raise ConfigError("not a readable font", file=str(path)) from error
    except ValueError as error:
        raise ConfigError(str(error), file=str(path)) from error


def _cmap(font: bytes) -> bytes:
    """The best Unicode subtable of the `cmap` table (OpenType 1.9, cmap)."""
    if font[:4] not in {b"\x00\x01\x00\x00", b"OTTO", b"true"}:
        raise ValueError("not a TrueType or OpenType font of one face")
    (tables,) = struct.unpack_from(">H", font, 4)
    for index in range(tables):
        tag, _, offset, length = struct.unpack_from(">4sLLL", font, 12 + 16 * index)
        if tag == b"cmap":
            table = font[offset : offset + length]
            break
    else:
        raise ValueError("the font has no character table")
    (count,) = struct.unpack_from(">H", table, 2)
    best: tuple[int, int] | None = None
    for index in range(count):
        platform, encoding, offset = struct.unpack_from(">HHL", table, 4 + 8 * index)
        (form,) = struct.unpack_from(">H", table, offset)
        if form in {4, 12} and (platform, encoding) in {(0, 3), (0, 4), (3, 1), (3, 10)}:
            best = max(best or (0, 0), (form, offset))
    if best is None:
        raise ValueError("the font has no Unicode character table")
    return table[best[1] :]


def _code_points(subtable: bytes) -> Iterator[int]:
    (form,) = struct.unpack_from(">H", subtable, 0)
    if form == 12:
        (groups,) = struct.unpack_from(">L", subtable, 12)
        for index in range(groups):
            first, last, glyph = struct.unpack_from(">LLL", subtable, 16 + 12 * index)
            yield from range(first + (glyph == 0), last + 1)  # glyph 0 is the box
        return
    (doubled,) = struct.unpack_from(">H", subtable, 6)
    segments = doubled // 2
    ends = struct.unpack_from(f">{segments}H", subtable, 14)
    starts = struct.unpack_from(f">{segments}H", subtable, 16 + doubled)
    for first, last in zip(starts, ends, strict=True):
        yield from (code for code in range(first, last + 1) if code != 0xFFFF)
