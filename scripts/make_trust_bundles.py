"""Writes `tests/vectors/trust/bundles/`: the faulty lists of the tests as files, for readers in any language.

Run from the project's directory: `python -m scripts.make_trust_bundles`. Each case is a sequence of offers
to one store that starts empty: a repository as zip, the time, and the reason for which it must be refused
(empty: it must be taken). The keys are made for this and forgotten.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ewallet.errors import TrustError
from ewallet.trust.bundle import pack
from ewallet.trust.distribution import TrustStore
from ewallet.trust.times import time_text
from tests.province import World
from tests.unit.trust.test_lists_fail_closed import CASES

if TYPE_CHECKING:
    from datetime import datetime

    from ewallet.trust.trust import Trust

OUT = Path("tests/vectors/trust/bundles")
WANTED = (
    "older-version",
    "same-version-other-bytes",
    "same-version-other-snapshot",
    "expired",
    "future-by-two-days",
    "two-of-four",
    "root-by-two-of-four",
    "four-signatures-of-one-province",
    "key-id-used-twice",
    "one-key-under-two-ids",
    "extra-key-ids-of-one-province",
    "root-version-skipped",
    "mixed-and-matched",
    "truncated-file",
)


def main() -> None:
    """Runs the cases of the tests and keeps what is offered to the stores."""
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    take = TrustStore.refresh
    cases: list[dict[str, Any]] = []
    steps: list[dict[str, str]] = []

    def keep(store: TrustStore, source: Path, now: datetime) -> Trust:
        name = f"{cases[-1]['id']}-{len(steps) + 1}.zip"
        pack(source, OUT / name)
        step = {"bundle": name, "now": time_text(now), "reason": ""}
        steps.append(step)
        try:
            return take(store, source, now)
        except TrustError as refusal:
            step["reason"] = refusal.reason
            raise

    TrustStore.refresh = keep  # type: ignore[method-assign, assignment]
    for name in WANTED:
        with tempfile.TemporaryDirectory() as place:
            world = World(Path(place))
            world.authority("31", "market")
            world.authority("32", "market")
            steps = []
            cases.append({"id": name, "steps": steps})
            CASES[name](world)
    text = json.dumps({"format": 1, "cases": cases}, indent=1)
    (OUT / "cases.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
