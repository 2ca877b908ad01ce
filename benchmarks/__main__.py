"""Runs all benchmarks that answer with rows, prints one table with the machine, and writes JSON.

`python -m benchmarks [--large] [--rounds N] [--out DIR] [NAME ...]`. A row: `operation`, `ratio` to `against`
and `target`, or `value`, `unit` and `target`. Exit 1 if a target is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import ssl
import sys
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def machine() -> dict[str, str]:
    """What these figures were measured on."""
    model = ""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        lines = info.read_text().splitlines()
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "openssl": ssl.OPENSSL_VERSION,
        "processor": model or platform.processor() or platform.machine(),
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.release()}",
    }


def missed(row: dict[str, Any]) -> bool:
    """Whether a row lies beyond its target (`ratio`, `value` or `us` against `target` or `target_us`)."""
    if "target_us" in row:
        return bool(row["us"] > row["target_us"])
    if "target" not in row:
        return False
    figure = row.get("ratio", row.get("value"))
    return bool(figure < row["target"] if row.get("more_is_better") else figure > row["target"])


def line(row: dict[str, Any]) -> str:
    """One row of the table."""
    if "ratio" in row:
        figure = f"{row['ratio']:.2f} x {row.get('against', '')}"
    elif "value" in row:
        figure = f"{row['value']:.2f} {row.get('unit', '')}"
    else:
        figure = ""
    us = f"{row['us']:.1f}" if "us" in row else ""
    target = row.get("target", row.get("target_us", ""))
    return f"| {row['operation']} | {figure} | {us} | {target} | {'**missed**' if missed(row) else ''} |"


def main() -> int:
    """Runs them."""
    parser = argparse.ArgumentParser(prog="benchmarks")
    parser.add_argument("--large", action="store_true", help="also what takes minutes and gigabytes")
    parser.add_argument("--rounds", type=int, default=41, help="paired rounds of each figure")
    parser.add_argument("--out", type=Path, default=Path("bench-out"))
    parser.add_argument("only", nargs="*", help="names, such as formats")
    chosen = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for path in sorted(HERE.glob("bench_*.py")):
        name = path.stem.removeprefix("bench_")
        if chosen.only and name not in chosen.only:
            continue
        module = import_module(f"benchmarks.{path.stem}")
        print(f"measuring {name} ...", file=sys.stderr, flush=True)
        found = module.measure(rounds=chosen.rounds)
        if chosen.large and hasattr(module, "measure_large"):
            found += module.measure_large()
        rows += [{"set": name, **row} for row in found]
    about = machine()
    print("; ".join(f"{key}: {value}" for key, value in about.items()))
    print("\n| operation | figure | us | target | |\n|---|---|---|---|---|")
    print("\n".join(line(row) for row in rows))
    chosen.out.mkdir(parents=True, exist_ok=True)
    report = {"machine": about, "rows": rows}
    (chosen.out / "benchmarks.json").write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    return 1 if any(map(missed, rows)) else 0


if __name__ == "__main__":
    sys.exit(main())
