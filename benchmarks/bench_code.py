"""Identity codes against the raw signatures that they contain, in the same run.

Each figure is the median of paired ratios: one round times the raw operation and ours back to back, so that
a busy machine slows both. Run: `python benchmarks/bench_code.py [rounds]`.
"""

from __future__ import annotations

import json
import multiprocessing
import statistics
import sys
import tempfile
import time
import tracemalloc
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ewallet.code.authority import CodeAuthority
from ewallet.code.passes import forget_known, parse_code
from ewallet.code.rotating import show
from ewallet.reasons import Outcome
from ewallet.verify.policy import Policy
from ewallet.verify.replay import MemoryGuard, code_spending
from ewallet.verify.sources import StatusDirectory
from ewallet.verify.verifier import Verifier
from tests.office import NOW, VENUE, City

ROUNDS = 25
BATCH = 60


def timed(call, items) -> float:
    """Seconds of this thread's own processor time for each item: other work on the machine counts less."""
    begin = time.thread_time()
    for item in items:
        call(item)
    return (time.thread_time() - begin) / len(items)


def paired(raw, ours, rounds: int) -> tuple[float, float, float]:
    """Median microseconds of the raw operation and of ours, and the median ratio of pairs."""
    raws, owns = [], []
    for turn in range(rounds + 2):
        one, other = raw(), ours()
        if turn >= 2:
            raws.append(one)
            owns.append(other)
    ratios = [own / one for own, one in zip(owns, raws, strict=True)]
    return statistics.median(raws) * 1e6, statistics.median(owns) * 1e6, statistics.median(ratios)


class Bench:
    def __init__(self, suite: str, directory: Path, rounds: int) -> None:
        self.suite, self.rounds = suite, rounds
        self.city = City(directory / suite, suite=suite)
        self.pairs = self.city.office.passes(BATCH, scenes=["metro"])
        self.codes = [show(made, key, audience="metro", now=NOW) for made, key in self.pairs]
        policy = self.city.trust.scenes["metro"].narrowed({"scene": "metro", "venue": VENUE, "guard": "file"})
        self.policy = Policy.of(policy, province="31")
        self.signatures = []
        for code in self.codes:
            parsed = parse_code(code)
            inner, outer = parsed.kbt.credential.sign1, parsed.kbt.sign1
            self.signatures.append((inner.signature, inner.signed, outer.signature, outer.signed))

    def verifier(self) -> Verifier:
        class Guard(MemoryGuard):
            level = "file"  # the scene asks for more than memory; the target is stated with memory

        guard = Guard(started=NOW - timedelta(minutes=5))
        return Verifier(
            trust=self.city.trust, policy=self.policy, status=StatusDirectory(Path()), replay=guard
        )

    def fresh(self) -> tuple[float, float, float]:
        issuer = self.city.office.key.public_key

        def raw() -> float:
            keys = [
                key.public_key.__class__(key.public_key.suite, key.public_key.raw) for _, key in self.pairs
            ]
            items = list(zip(self.signatures, keys, strict=True))

            def both(item) -> None:
                (inner, signed, outer, outer_signed), key = item
                assert issuer.verify(inner, signed)
                assert key.verify(outer, outer_signed)

            return timed(both, items)

        def ours() -> float:
            verifier = self.verifier()
            forget_known()
            answers = []
            return_value = timed(lambda code: answers.append(verifier.verify(code, now=NOW)), self.codes)
            assert all(answer.outcome is Outcome.ACCEPTED for answer in answers)
            return return_value

        return paired(raw, ours, self.rounds)

    def seen(self) -> tuple[float, float, float]:
        later = NOW + timedelta(seconds=60)
        again = [show(made, key, audience="metro", now=later) for made, key in self.pairs]
        devices = [key.public_key for _, key in self.pairs]
        signed = [(parse_code(code).kbt.sign1, key) for code, key in zip(again, devices, strict=True)]

        def raw() -> float:
            return timed(lambda item: item[1].verify(item[0].signature, item[0].signed), signed)

        def ours() -> float:
            verifier = self.verifier()
            for code in self.codes:
                verifier.verify(code, now=NOW)
            answers = []
            spent = timed(lambda code: answers.append(verifier.verify(code, now=later)), again)
            assert all(answer.outcome is Outcome.ACCEPTED for answer in answers)
            return spent

        return paired(raw, ours, self.rounds)

    def refused(self, kind: str) -> tuple[float, float, float]:
        when = NOW + timedelta(seconds=120) if kind == "expired" else NOW
        codes = self.codes
        if kind == "audience":
            codes = [show(made, key, audience="https://x.example/v", now=NOW) for made, key in self.pairs]
        if kind == "garbage":
            codes = ["EWC" + "A" * len(code[3:]) for code in self.codes]
        verifier = self.verifier()
        inner = [(signed[0], signed[1]) for signed in self.signatures]
        key = self.city.office.key.public_key

        def raw() -> float:
            return timed(lambda item: key.verify(*item), inner)

        def ours() -> float:
            forget_known()
            answers = []
            spent = timed(lambda code: answers.append(verifier.verify(code, now=when)), codes)
            assert all(answer.outcome is Outcome.REJECTED for answer in answers)
            return spent

        return paired(raw, ours, self.rounds)

    def making(self) -> tuple[float, float, float]:
        message = bytes(400)

        def raw() -> float:
            return timed(lambda item: item[1].sign(message), self.pairs)

        def ours() -> float:
            return timed(lambda item: show(item[0], item[1], audience="metro", now=NOW), self.pairs)

        return paired(raw, ours, self.rounds)

    def issuing(self) -> tuple[float, float, float]:
        signer = self.city.office.key
        keys = [key.public_key for _, key in self.pairs]
        authority = CodeAuthority(signer=signer)
        message = bytes(200)

        def raw() -> float:
            return timed(lambda _: signer.sign(message), keys)

        def ours() -> float:
            begin = time.thread_time()
            authority.issue_proven(keys, subject="p", kind="person", scenes=["metro"], attributes={}, now=NOW)
            return (time.thread_time() - begin) / len(keys)

        return paired(raw, ours, self.rounds)


def guard_memory(per_minute: int = 100_000, window: int = 60) -> float:
    """MiB of the memory guard after three minutes at this rate."""
    tracemalloc.start()
    start = NOW - timedelta(minutes=5)
    guard = MemoryGuard(started=start, keep=window)
    base = int(NOW.timestamp())
    for number in range(per_minute * 3):
        second = number * 60 // per_minute
        name = number.to_bytes(32, "big")
        guard.spend([code_spending(name, iat=base + second, min_gap=40)], now=NOW + timedelta(seconds=second))
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return size / 2**20


def _work(directory: str, seconds: float, ready, results) -> None:
    bench = Bench("ES256", Path(tempfile.mkdtemp(dir=directory)), 1)
    ready.wait(120)  # nobody's preparation falls into another's measurement
    done, begin, end = 0, time.process_time(), time.perf_counter() + seconds
    while time.perf_counter() < end:
        verifier = bench.verifier()
        for code in bench.codes:
            verifier.verify(code, now=NOW)
        done += len(bench.codes)
    results.put((done / (time.process_time() - begin), done / (time.perf_counter() - end + seconds)))


def processes(directory: Path, seconds: float = 3.0) -> tuple[float, float]:
    """Codes a second of two processes at once, over those of one: by processor time and by wall clock.

    By processor time tells what they share (nothing: memory and caches); by wall clock is what a gate gets,
    and falls with whatever else runs on the machine.
    """
    rates = []
    for count in (1, 2):
        results, ready = multiprocessing.Queue(), multiprocessing.Barrier(count)
        workers = [
            multiprocessing.Process(target=_work, args=(str(directory), seconds, ready, results))
            for _ in range(count)
        ]
        for worker in workers:
            worker.start()
        told = [results.get(timeout=300) for _ in range(count)]
        for worker in workers:
            worker.join()
        rates.append([sum(each[clock] for each in told) for clock in (0, 1)])
    (one_cpu, one_wall), (two_cpu, two_wall) = rates
    return two_cpu / one_cpu, two_wall / one_wall


TARGETS = {
    "verify, pass not seen": 1.6,
    "verify, pass seen": 1.6,
    "refuse garbage": 0.5,
    "refuse expired": 0.5,
    "refuse audience": 0.5,
    "make a code": 1.6,
    "issue a pass": 1.6,
}


def figures(bench: Bench) -> dict[str, tuple[float, float, float]]:
    """Operation -> microseconds of the raw primitive and of ours, and their ratio."""
    return {
        "verify, pass not seen": bench.fresh(),
        "verify, pass seen": bench.seen(),
        "refuse garbage": bench.refused("garbage"),
        "refuse expired": bench.refused("expired"),
        "refuse audience": bench.refused("audience"),
        "make a code": bench.making(),
        "issue a pass": bench.issuing(),
    }


AGAINST = {
    "verify, pass not seen": "raw verify, two signatures",
    "make a code": "raw sign",
    "issue a pass": "raw sign",
}


def measure(*, rounds: int = ROUNDS) -> list[dict[str, Any]]:
    """All figures as rows; the targets are those of ES256."""
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as place:
        for suite in ("ES256", "Ed25519", "SM2SM3"):
            turns = min(rounds, ROUNDS) if suite != "SM2SM3" else max(3, min(rounds, ROUNDS) // 5)
            for name, (raw, ours, ratio) in figures(Bench(suite, Path(place), turns)).items():
                row = {
                    "operation": f"code, {suite}: {name}",
                    "against": AGAINST.get(name, "raw verify"),
                    "ratio": round(ratio, 3),
                    "us": round(ours, 1),
                    "raw_us": round(raw, 1),
                }
                rows.append({**row, "target": TARGETS[name]} if suite == "ES256" else row)
        for clock, ratio in zip(("processor time", "wall clock"), processes(Path(place)), strict=True):
            rows.append(
                {
                    "operation": f"codes verified by two processes, by {clock}",
                    "against": "one process",
                    "ratio": round(ratio, 2),
                    "target": 1.8,
                    "more_is_better": True,
                }
            )
    rows.append(
        {
            "operation": "guard memory at 100,000 codes a minute",
            "value": round(guard_memory(), 1),
            "unit": "MiB",
            "target": 64,
        }
    )
    return rows


def main() -> None:
    rows = measure(rounds=int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS)
    for row in rows:
        print(json.dumps(row, ensure_ascii=False))
    if len(sys.argv) > 2:
        report = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "rows": rows}
        Path(sys.argv[2]).write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
