"""Make the font of the printed faces: Noto Sans SC, one weight, only the characters that licenses need.

Source: `Noto Sans SC` (variable, SIL Open Font License 1.1, reserved font name "Source") as carried by the
PyPI package `justmytype-intl-cjk`. Kept are the 8,105 characters of 通用规范汉字表, all of GBK, ASCII,
Latin-1 and Latin Extended-A (romanized names), general punctuation, number forms and CJK punctuation. The
family gets a name of its own, so that a modified font is never mistaken for the original one on a machine
that has both.

Run: `python scripts/make_font.py` (dependency group `fonts`); the result is reproducible byte for byte.
"""

from __future__ import annotations

import io
import itertools
import shutil
import sys
from importlib import resources
from pathlib import Path
from typing import Final

from fontTools import subset
from fontTools.ttLib import TTFont
from fontTools.varLib.instancer import instantiateVariableFont

FAMILY: Final = "EWallet Sans SC"
WEIGHT: Final = 400
TABLE_SIZE: Final = 8105
HERE: Final = Path(__file__).parent
TARGET: Final = HERE.parent / "ewallet" / "licenses" / "faces" / "fonts"
LATIN_AND_SIGNS: Final = (
    (0x20, 0x17F),  # Basic Latin .. Latin Extended-A
    (0x2000, 0x206F),  # general punctuation
    (0x20A0, 0x20BF),  # currency
    (0x2100, 0x218F),  # letterlike symbols, number forms
    (0x2460, 0x24FF),  # enclosed alphanumerics
    (0x2500, 0x25FF),  # lines and boxes for tables
    (0x3000, 0x303F),  # CJK punctuation
    (0xFF00, 0xFFEF),  # full-width forms
)


def gbk() -> set[int]:
    """All code points of GBK (CP936), as Python's codec has them."""
    found = set()
    for pair in itertools.product(range(0x81, 0xFF), range(0x40, 0xFF)):
        try:
            text = bytes(pair).decode("gbk")
        except UnicodeDecodeError:
            continue
        found.add(ord(text))
    return found


def beyond_gbk() -> set[int]:
    """The characters of 通用规范汉字表 that GBK lacks."""
    lines = (HERE / "beyond_gbk.txt").read_text("utf-8").splitlines()
    found = {ord(char) for line in lines if not line.startswith("#") for char in line}
    if len(found) != TABLE_SIZE - 7829 or found & gbk():
        raise SystemExit("error: beyond_gbk.txt is not the table's 276 characters outside GBK")
    return found


def rename(font: TTFont) -> None:
    """Give the family a name of its own; copyright, license and its URL stay."""
    names = font["name"]
    names.names = [record for record in names.names if record.nameID in {0, 13, 14}]
    postscript = FAMILY.replace(" ", "") + "-Regular"
    for name_id, text in (
        (1, FAMILY),
        (2, "Regular"),
        (3, postscript),
        (4, FAMILY),
        (5, "Version 1.000; from Noto Sans SC 2.004"),
        (6, postscript),
    ):
        names.setName(text, name_id, 3, 1, 0x409)


def main() -> int:
    """Write the font and its license; print what it holds."""
    package = resources.files("justmytype_intl_cjk") / "fonts" / "ofl" / "notosanssc"
    source = TTFont(io.BytesIO((package / "NotoSansSC[wght].ttf").read_bytes()), recalcTimestamp=False)
    font = instantiateVariableFont(source, {"wght": WEIGHT})
    wanted = gbk() | beyond_gbk() | {c for first, last in LATIN_AND_SIGNS for c in range(first, last + 1)}
    options = subset.Options(
        layout_features=["ccmp", "locl", "kern", "mark", "mkmk"],
        name_IDs=["*"],
        notdef_outline=True,
        hinting=False,
        recalc_timestamp=False,
    )
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=wanted)
    subsetter.subset(font)
    rename(font)
    TARGET.mkdir(parents=True, exist_ok=True)
    path = TARGET / "ewallet-sans-sc.ttf"
    font.save(path)
    with resources.as_file(package / "OFL.txt") as license_text:
        shutil.copyfile(license_text, TARGET / "OFL.txt")
    held = set(font.getBestCmap())
    lacking = sorted(c for c in (gbk() | beyond_gbk()) - held if not 0xE000 <= c <= 0xF8FF)
    print(f"{path.name}: {len(held)} characters, {path.stat().st_size} bytes")
    print("lacking of GBK and the table:", " ".join(f"U+{c:04X}" for c in lacking) or "none")
    return 0


if __name__ == "__main__":
    sys.exit(main())
