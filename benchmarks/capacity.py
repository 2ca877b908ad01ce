"""What a whole city needs: signatures, bytes, guards and gates, from measured figures and stated assumptions.

Every assumption is an option. Run: `python benchmarks/capacity.py [--persons 52400000] ...`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench_code import Bench, guard_memory

ASSUMPTIONS = {
    "persons": (52_400_000, "registered persons (2021)"),
    "enterprises": (2_240_000, "registered enterprises (2021)"),
    "active_share": (0.30, "share that shows a code on a day"),
    "passes_per_day": (12, "passes that a wallet fetches for a day: one for each venue, and some to spare"),
    "enterprise_passes": (4, "passes of an enterprise's actor on a day"),
    "shows_per_day": (4, "codes that an active person has read on a day"),
    "rush_share": (0.12, "share of a day's codes in the busiest hour"),
    "fetch_hours": (20, "hours over which wallets spread their fetching"),
    "lost_per_million": (80, "phones lost or persons suspended for each million on a day"),
    "gate_seconds": (1.5, "seconds from one person to the next at one gate"),
}


def measure(rounds: int) -> dict[str, float]:
    """Microseconds and bytes on this machine, one core."""
    with tempfile.TemporaryDirectory() as place:
        bench = Bench("ES256", Path(place), rounds)
        made = bench.pairs[0][0]
        return {
            "issue_us": bench.issuing()[1],
            "show_us": bench.making()[1],
            "verify_us": bench.fresh()[1],
            "verify_seen_us": bench.seen()[1],
            "pass_bytes": len(made.credential),
            "code_characters": len(bench.codes[0]),
            "guard_mib": guard_memory(100_000),
        }


def derive(given: argparse.Namespace, measured: dict[str, float]) -> list[tuple[str, str]]:
    """What follows, as lines of (what, how much)."""
    active = given.persons * given.active_share
    acting = given.enterprises * given.active_share
    passes = active * given.passes_per_day + acting * given.enterprise_passes
    issuing = passes / (given.fetch_hours * 3600)
    # A pass costs the authority its signature and the check of the device's proof.
    issue_cores = issuing * (measured["issue_us"] + measured["verify_seen_us"]) / 1e6
    codes = active * given.shows_per_day + acting
    rush = codes * given.rush_share / 3600
    revoked = (given.persons + given.enterprises) * given.lost_per_million / 1e6
    hot = revoked * given.passes_per_day
    per_minute = rush * 60
    return [
        ("passes a day", f"{passes:,.0f}"),
        ("signatures of the authority a second", f"{issuing:,.0f}"),
        ("cores for issuing, with the devices' proofs", f"{issue_cores:,.1f}"),
        ("bytes of passes a day", f"{passes * measured['pass_bytes'] / 1e9:,.1f} GB"),
        ("ledger while passes live, 100 bytes each", f"{passes * 100 / 1e9:,.1f} GB"),
        ("codes read a day", f"{codes:,.0f}"),
        ("codes read a second in the busiest hour", f"{rush:,.0f}"),
        ("cores for all gates in that hour", f"{rush * measured['verify_us'] / 1e6:,.1f}"),
        ("gates busy in that hour", f"{rush * given.gate_seconds:,.0f}"),
        ("codes a second that one core verifies", f"{1e6 / measured['verify_us']:,.0f}"),
        (
            "one guard for the whole city in that hour, in memory",
            f"{measured['guard_mib'] * per_minute / 100_000:,.0f} MiB",
        ),
        ("hot list at the end of a day", f"{hot:,.0f} entries, {hot * 9 / 1e6:,.1f} MB"),
        ("text of a code", f"{measured['code_characters']:.0f} characters"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, (value, meaning) in ASSUMPTIONS.items():
        parser.add_argument(
            f"--{name.replace('_', '-')}", type=type(value), default=value, help=f"{meaning} [{value}]"
        )
    parser.add_argument("--rounds", type=int, default=7, help="rounds of each measurement")
    given = parser.parse_args()
    measured = measure(given.rounds)
    print("assumed")
    for name, (_, meaning) in ASSUMPTIONS.items():
        print(f"  {getattr(given, name):>14,}  {meaning}")
    print("measured on one core of this machine")
    for name, value in measured.items():
        print(f"  {value:>14,.1f}  {name}")
    print("follows")
    for what, how_much in derive(given, measured):
        print(f"  {how_much:>24}  {what}")


if __name__ == "__main__":
    main()
