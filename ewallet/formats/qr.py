"""Text to QR picture and back.

Drawing picks the alphanumeric mode, an error correction for the medium, and keeps the quiet zone of four
modules that ISO/IEC 18004 clause 6.3.8 demands. Reading gives back every code that a picture holds: a counter
must see when two codes lie on one sheet. Pillow, qrcode and zxing-cpp load when first needed.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from ewallet.errors import Malformed, MissingExtra

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL.Image import Image

    Picture = Image | bytes | str | Path

Medium = Literal["screen", "paper", "card"]

QUIET_ZONE: Final = 4
"""Light modules on each side (ISO/IEC 18004 clause 6.3.8)."""

MIN_PAPER_MODULE_MM: Final = 0.6
"""The least module size on paper: five dots at 200 dpi, so that an office scanner still resolves it."""

MAX_PIXELS: Final = 120_000_000
"""A picture above this is not decoded: an A2 sheet at 400 dpi lies below, a decompression bomb above."""

_ALPHANUMERIC: Final = frozenset("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:")
# Modules that error correction M costs over L: a screen of this many characters or fewer can afford it.
_SCREEN_M_LIMIT: Final = 300


def matrix(text: str, *, medium: Medium = "screen") -> list[list[bool]]:
    """The modules of the QR code of a text, True for dark, without quiet zone.

    Args:
        text: what to encode; texts of codes are packed in alphanumeric mode.
        medium: `screen` takes error correction L (M for short texts), since at one size a picture with
            fewer, larger modules reads better; `paper` takes M, since paper gets dirty; `card` takes L: the
            code has the whole side of a card, and the largest modules win.

    Raises:
        ValueError: the text does not fit into a QR code.
    """
    import qrcode  # noqa: PLC0415 - loads Pillow: only who draws pays
    from qrcode.exceptions import DataOverflowError  # noqa: PLC0415
    from qrcode.util import MODE_8BIT_BYTE, MODE_ALPHA_NUM, QRData  # noqa: PLC0415

    low = medium == "card" or (medium == "screen" and len(text) > _SCREEN_M_LIMIT)
    level = qrcode.ERROR_CORRECT_L if low else qrcode.ERROR_CORRECT_M
    mode = MODE_ALPHA_NUM if _ALPHANUMERIC.issuperset(text) else MODE_8BIT_BYTE
    code: Any = qrcode.QRCode(error_correction=level, border=0)
    code.add_data(QRData(text.encode(), mode=mode))
    try:
        code.make(fit=True)
    except (ValueError, DataOverflowError) as error:
        raise ValueError("the text does not fit into a QR code") from error
    return [[bool(module) for module in row] for row in code.get_matrix()]


def qr_image(text: str, *, medium: Medium = "screen", box: int = 8) -> Image:
    """Draw a text as a QR code.

    Args:
        text: what to encode.
        medium: see `matrix`.
        box: pixels per module.

    Returns:
        A Pillow image (mode `1`), quiet zone included.
    """
    from PIL import Image  # noqa: PLC0415

    modules = matrix(text, medium=medium)
    size = len(modules) + 2 * QUIET_ZONE
    picture = Image.new("1", (size, size), 1)
    for y, row in enumerate(modules, QUIET_ZONE):
        for x, dark in enumerate(row, QUIET_ZONE):
            if dark:
                picture.putpixel((x, y), 0)
    return picture.resize((size * box, size * box), Image.Resampling.NEAREST)


def qr_png(text: str, *, medium: Medium = "screen", box: int = 8) -> bytes:
    """Draw a text as a QR code and give the PNG file's bytes."""
    buffer = io.BytesIO()
    qr_image(text, medium=medium, box=box).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def qr_svg(text: str, *, medium: Medium = "screen", module_mm: float = MIN_PAPER_MODULE_MM) -> str:
    """Draw a text as an SVG with its real size in millimetres, quiet zone included.

    Args:
        text: what to encode.
        medium: see `matrix`.
        module_mm: side of one module; below `MIN_PAPER_MODULE_MM` is refused for paper.

    Raises:
        ValueError: modules too small for paper, or a text that does not fit.
    """
    if medium != "screen" and module_mm < MIN_PAPER_MODULE_MM:
        raise ValueError(f"modules of {module_mm} mm: paper needs {MIN_PAPER_MODULE_MM} mm")
    modules = matrix(text, medium=medium)
    size = len(modules) + 2 * QUIET_ZONE
    runs = "".join(
        f"M{start + QUIET_ZONE} {y}h{length}v1h-{length}z"
        for y, row in enumerate(modules, QUIET_ZONE)
        for start, length in _dark_runs(row)
    )
    side = f"{size * module_mm:.3f}mm"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{side}" height="{side}" viewBox="0 0 {size} {size}" '
        f'shape-rendering="crispEdges"><path fill="#fff" d="M0 0h{size}v{size}H0z"/><path d="{runs}"/></svg>'
    )


def print_size_mm(text: str, *, medium: Medium = "paper", module_mm: float = MIN_PAPER_MODULE_MM) -> float:
    """Side of the printed QR code of a text in millimetres, quiet zone included."""
    return (len(matrix(text, medium=medium)) + 2 * QUIET_ZONE) * module_mm


def read_image(picture: Picture) -> list[str]:
    """Read all QR codes of a picture.

    Args:
        picture: a Pillow image, the bytes of a picture file, or its path.

    Returns:
        The texts, each once, in the order found; empty if there is none.

    Raises:
        Malformed: `code.unreadable` if it is no picture or too large a one.
        MissingExtra: zxing-cpp is not installed (extra `scan`).
    """
    try:
        import zxingcpp  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise MissingExtra("scan", "reading codes from pictures") from error
    image = _grey(picture)
    found = zxingcpp.read_barcodes(image, formats=zxingcpp.BarcodeFormats(zxingcpp.BarcodeFormat.QRCode))
    return list(dict.fromkeys(code.text for code in found if code.text))


def read_pdf(pdf: bytes | Path, *, dpi: float = 200) -> list[str]:
    """Read all QR codes of all pages of a PDF, each page rendered to a picture first.

    Args:
        pdf: the file's bytes or its path.
        dpi: resolution of the picture; 200 gives a 0.6 mm module nearly five pixels.

    Raises:
        Malformed: `code.unreadable` if it is no PDF.
        MissingExtra: pypdfium2 or zxing-cpp is not installed (extra `scan`).
    """
    from ewallet.formats.typeset import render_pdf  # noqa: PLC0415 - loads pdfium: only who reads pays

    texts = [text for page in render_pdf(pdf, dpi) for text in read_image(page)]
    return list(dict.fromkeys(texts))


def _grey(picture: Picture) -> Image:
    from PIL import Image  # noqa: PLC0415

    if isinstance(picture, Image.Image):
        return picture.convert("L")
    content = picture if isinstance(picture, bytes) else Path(picture).read_bytes()
    try:
        with Image.open(io.BytesIO(content)) as opened:
            if opened.width * opened.height > MAX_PIXELS:
                raise Malformed("the picture is too large", "code.unreadable")
            return opened.convert("L")
    except (OSError, Image.DecompressionBombError, SyntaxError, ValueError) as error:
        raise Malformed("not a picture", "code.unreadable") from error


def _dark_runs(row: Sequence[bool]) -> list[tuple[int, int]]:
    """Start and length of each run of dark modules."""
    runs: list[tuple[int, int]] = []
    for x, dark in enumerate(row):
        if not dark:
            continue
        if runs and sum(runs[-1]) == x:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((x, 1))
    return runs
