"""Writes the figures of `make bench` into docs/performance.md, between the two marks.

Run: `python scripts/performance_table.py [bench-out/benchmarks.json]`.
"""

from __future__ import annotations

import json
import sys
from itertools import groupby
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.__main__ import missed  # noqa: E402 - the path comes first

PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
ABOUT = {
    "at": "measured",
    "processor": "processor",
    "cores": "cores",
    "system": "system",
    "python": "Python",
    "openssl": "",
}
TITLES = {
    "formats": "Formats",
    "peers": "The same by other people's software",
    "sm2": "Keys",
    "code": "Identity codes at a gate",
    "register": "License register",
    "reconcile": "Reconciling",
    "trust": "Trust lists",
    "service": "HTTP service",
}


def number(value: float) -> str:
    """Three digits that count, never an exponent."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def figure(row: dict[str, Any]) -> str:
    """The ratio or the value, with what it is of."""
    if "ratio" in row:
        return f"{row['ratio']:.2f} x {row['against']}"
    return f"{number(row['value'])} {row.get('unit', '')}".rstrip() if "value" in row else ""


def target(row: dict[str, Any]) -> str:
    """The target, and whether it is missed."""
    if "target_us" in row:
        wanted = f"<= {row['target_us']:g} us"
    elif "target" in row:
        wanted = f"{'>=' if row.get('more_is_better') else '<='} {row['target']:g}"
    else:
        return ""
    return f"{wanted}, **missed**" if missed(row) else wanted


def table(rows: list[dict[str, Any]]) -> list[str]:
    """One set as Markdown."""
    lines = ["| operation | figure | target | microseconds |", "|---|---|---|---|"]
    for row in rows:
        us = number(row["us"]) if "us" in row else ""
        lines.append(f"| {row['operation'].removeprefix('peer: ')} | {figure(row)} | {target(row)} | {us} |")
    return lines


def section(report: dict[str, Any]) -> str:
    """Machine and all sets."""
    about = "; ".join(f"{title} {report['machine'][name]}".strip() for name, title in ABOUT.items())
    lines = [BEGIN, "", f"{about[0].upper()}{about[1:]}.", ""]
    order = list(TITLES)
    rows = sorted(report["rows"], key=lambda row: order.index(row["set"]) if row["set"] in order else 99)
    for name, found in groupby(rows, key=lambda row: row["set"]):
        lines += [f"### {TITLES.get(name, name)}", "", *table(list(found)), ""]
    return "\n".join([*lines, END])


def main() -> int:
    """Replaces what stands between the marks."""
    source = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "bench-out" / "benchmarks.json"
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        print(f"error: {PAGE.name} has no marks for the figures", file=sys.stderr)
        return 1
    report = json.loads(source.read_text(encoding="utf-8"))
    PAGE.write_text(before + section(report) + after, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
