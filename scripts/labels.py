"""Writes `ewallet/service/static/labels.js`: names of types, fields and codes for the pages.

The pages work without a network and without a build step, so the words of the catalog lie beside them as a
module. Run it after a change of the catalog; a test fails while the file is old.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from ewallet.licenses.catalog import Catalog, Field

TARGET: Final = Path(__file__).resolve().parent.parent / "ewallet" / "service" / "static" / "labels.js"
_HEAD: Final = "// Made from the catalog by scripts/labels.py: do not edit.\n"


def _field(each: Field) -> dict[str, Any]:
    """Only what a page needs: names, what it holds, how it is masked."""
    about: dict[str, Any] = {"zh": each.zh, "en": each.en, "type": each.type.value}
    if each.mask:
        about["mask"] = each.mask
    if each.codes:
        about["codes"] = {code: list(labels) for code, labels in sorted(each.codes.items())}
    return about


def labels() -> str:
    """The module's text."""
    types = {
        type_.code: {
            "zh": type_.zh,
            "en": type_.en,
            "fields": {each.key: _field(each) for each in type_.face_fields},
        }
        for type_ in Catalog.builtin()
    }
    lines = ",\n".join(
        f"  {json.dumps(code)}: {json.dumps(about, ensure_ascii=False)}"
        for code, about in sorted(types.items())
    )
    return f"{_HEAD}export const TYPES = {{\n{lines},\n}};\n"


if __name__ == "__main__":
    TARGET.write_text(labels(), encoding="utf-8")
