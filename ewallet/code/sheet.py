"""The paper code on paper: a card, or one large sheet for people who see badly."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from ewallet.code.paper import parse_paper
from ewallet.code.passes import SCENES
from ewallet.errors import PrintError
from ewallet.formats import cose
from ewallet.formats.qr import MIN_PAPER_MODULE_MM, QUIET_ZONE, matrix, qr_svg
from ewallet.formats.typeset import missing_characters, typeset
from ewallet.moments import day_of, instant

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from ewallet.formats.typeset import Font
    from ewallet.trust.scenes import Scene

TEMPLATE: Final = Path(__file__).parent / "sheets" / "paper.typ"

CARD_MODULE_MM: Final = 0.6
LARGE_MODULE_MM: Final = 1.3

Size = Literal["card", "large"]


def print_paper(
    scanned: str,
    *,
    issuer_name: str,
    scenes: Mapping[str, Scene],
    fonts: Sequence[Font],
    size: Size = "card",
    now: datetime,
) -> bytes:
    """Sets the sheet of a paper code, drawn only from what the code says.

    Args:
        scanned: the code, text `EWP`.
        issuer_name: name of the authority, as people know it.
        scenes: scenes by id, for their names.
        fonts: what it is set with.
        size: `card` (ISO/IEC 7810 ID-1) or `large` (A5).
        now: date of the document.

    Returns:
        The PDF/A-3b.

    Raises:
        PrintError: a character that no font draws, or a code too large for a card.
        MissingExtra: typst is not installed (extra `print`).
    """
    claims = parse_paper(scanned).unverified_claims
    module = LARGE_MODULE_MM if size == "large" else CARD_MODULE_MM
    side = (len(matrix(scanned, medium="paper")) + 2 * QUIET_ZONE) * module
    if size == "card" and side > 52:
        raise PrintError(
            f"the code is {side:.0f} mm wide at {MIN_PAPER_MODULE_MM} mm a module: print it large"
        )
    last_day = day_of(instant(claims[cose.EXP] - 1))
    names = [scenes[each].names.get("zh", each) if each in scenes else each for each in claims[SCENES]]
    data = {
        "size": size,
        "title": "随申码（纸质）",
        "name": claims["name"],
        "scenes_label": "可用于：",
        "scenes": "、".join(names),
        "until_label": "有效期至：",
        "until": f"{last_day.year}年{last_day.month}月{last_day.day}日",
        "warning": "须核对本人或其证件，遗失请报失。",
        "issuer": issuer_name,
        "side": side,
        "code": qr_svg(scanned, medium="paper", module_mm=module),
    }
    text = "".join(str(value) for key, value in data.items() if key != "code")
    missing = missing_characters(text, fonts)
    if missing:
        raise PrintError(f"no font draws {' '.join(f'U+{ord(char):04X}' for char in missing)}")
    return typeset(TEMPLATE, data, fonts=fonts, created=now.replace(microsecond=0))
