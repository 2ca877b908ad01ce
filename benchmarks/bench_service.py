"""The service on loopback: cost of one verification over HTTP against the same verification in process.

    python benchmarks/bench_service.py [--requests 4000] [--concurrency 16] [--soak 0]

Cost is wall time x cores / requests on two cores (one for the service, one for its callers), median of five
rounds; beside it the processor time of the service alone, which other work on the machine does not distort.
`--soak N` sends N requests and prints how much the service's memory has grown.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import statistics
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvloop

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ewallet.verify.counter import open_trust
from ewallet.verify.policy import Policy
from ewallet.verify.replay import MemoryGuard
from ewallet.verify.sources import StatusDirectory
from ewallet.verify.verifier import Verifier
from tests.services import Land, clock

if TYPE_CHECKING:
    from collections.abc import Iterator

CORES = 2
ACCEPTED = b'"outcome":"ACCEPTED"'
TARGETS = {"memory": 3.0, "file": 6.0}


def document(land: Land) -> str:
    return land.phone[0].document


def in_process(land: Land, texts: list[str]) -> float:
    """Seconds of one warm verification."""
    now = clock()
    trust = open_trust(land.bundle, state=land.directory / "bench", now=now)
    verifier = Verifier(
        trust=trust,
        policy=Policy.load(land.place("31") / "policy.json", trust.scenes),
        status=StatusDirectory(land.bundle / "status"),
        replay=MemoryGuard(started=now - timedelta(hours=1)),
    )
    rounds = []
    for _ in range(5):
        began = time.process_time()
        for text in texts:
            verifier.verify(text, now=clock())
        rounds.append((time.process_time() - began) / len(texts))
    return statistics.median(rounds)


class _Caller(asyncio.Protocol):
    """One connection: sends the next body of all as soon as its answer is there."""

    def __init__(self, bodies: Iterator[bytes], times: list[float]) -> None:
        self._bodies, self._times = bodies, times
        self._got, self._needed, self._began = b"", 0, 0.0
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._next()

    def _next(self) -> None:
        body = next(self._bodies, None)
        if body is None:
            self._transport.close()
            self.done.set_result(None)
            return
        self._got, self._needed = b"", 0
        self._began = time.perf_counter()
        self._transport.write(body)

    def data_received(self, data: bytes) -> None:
        self._got += data
        if not self._needed:
            end = self._got.find(b"\r\n\r\n")
            if end < 0:
                return
            at = self._got.index(b"content-length: ") + 16
            self._needed = end + 4 + int(self._got[at : self._got.index(b"\r", at)])
        if len(self._got) < self._needed:
            return
        self._times.append(time.perf_counter() - self._began)
        if not self._got.startswith(b"HTTP/1.1 200") or ACCEPTED not in self._got:
            self.done.set_exception(RuntimeError(self._got.decode()))
            self._transport.close()
            return
        self._next()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(error or ConnectionError("the service closed a connection"))


def request(text: str) -> bytes:
    """One call as it goes over the wire."""
    body = json.dumps({"text": text}).encode()
    head = "POST /v1/verify HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def _load(port: int, bodies: list[bytes], concurrency: int) -> tuple[float, list[float]]:
    times: list[float] = []
    left = iter(bodies)
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    made = [
        await loop.create_connection(lambda: _Caller(left, times), "127.0.0.1", port)
        for _ in range(concurrency)
    ]
    await asyncio.gather(*(caller.done for _, caller in made))
    return time.perf_counter() - began, times


def load(port: int, bodies: list[bytes], concurrency: int) -> tuple[float, list[float]]:
    """Wall time of all calls, and the time of each. The connections share the bodies: none idles."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_load(port, bodies, concurrency))


def cpu(pid: int) -> float:
    """Seconds of processor that a process has used."""
    used = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(used[11]) + int(used[12])) / os.sysconf("SC_CLK_TCK")


def rss(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


def setting(
    land: Land, name: str, args: argparse.Namespace, warm: float, *options: str, guard: str
) -> list[dict[str, Any]]:
    """Prints one setting and gives its rows."""
    service = land.serve("31", "--quiet", *options, agency=False, guard=guard)
    port = int(service.url.rstrip("/").rpartition(":")[2])
    bodies = [request(document(land))] * args.requests
    load(port, bodies[: args.requests // 4], args.concurrency)
    began = cpu(service.process.pid)
    rounds = [load(port, bodies, args.concurrency) for _ in range(5)]
    own = (cpu(service.process.pid) - began) / (5 * len(bodies))
    wall, times = sorted(rounds)[2]
    cost = wall * CORES / len(bodies)
    ordered = sorted(times)
    print(
        f"{name:34} {cost * 1e6:7.0f} us  {cost / warm:5.1f} x warm   "
        f"service {own * 1e6:5.0f} us of processor, {own / warm:4.1f} x warm\n{'':34} "
        f"p50 {ordered[len(ordered) // 2] * 1e3:5.1f} ms  "
        f"p99 {ordered[len(ordered) * 99 // 100] * 1e3:5.1f} ms  {len(bodies) / wall:6.0f}/s"
    )
    rows = [
        {
            "operation": f"verify over HTTP: {name}",
            "against": "warm verification in process",
            "ratio": round(cost / warm, 2),
            "target": TARGETS[guard],
            "us": round(cost * 1e6, 1),
        },
        {
            "operation": f"verify over HTTP: {name}, 99th percentile",
            "value": round(ordered[len(ordered) * 99 // 100] * 1e3, 1),
            "unit": "ms",
            "target": 50,
        },
    ]
    if args.soak:
        before = rss(service.process.pid)
        for _ in range(args.soak // args.requests):
            load(port, bodies, args.concurrency)
        after = rss(service.process.pid)
        print(f"{'':34} memory {before} -> {after} kB: {(after - before) / before:+.1%} over {args.soak}")
        growth = round((after - before) / before * 100, 1)
        grown = f"memory of the service, growth over {args.soak:,} requests"
        rows.append({"operation": grown, "value": growth, "unit": "%", "target": 5})
    service.process.send_signal(signal.SIGTERM)
    service.stop()
    return rows


def settings(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Both guards, one after the other."""
    with tempfile.TemporaryDirectory() as place:
        land = Land(Path(place))
        try:
            return _both(land, args)
        finally:
            land.close()


def _both(land: Land, args: argparse.Namespace) -> list[dict[str, Any]]:
    land.phone = land.issue("31", 1)
    land.publish_status()
    warm = in_process(land, [document(land)] * 1000)
    print(f"{'document, in process, warm':34} {warm * 1e6:7.0f} us")
    rows = setting(land, "stateless, memory guard", args, warm, guard="memory")
    args.soak = 0
    return rows + setting(land, "file guard, every use recorded", args, warm, "--record", guard="file")


def measure(*, rounds: int = 41) -> list[dict[str, Any]]:
    """All figures as rows; a request is no short round, so that fewer of them do."""
    return settings(argparse.Namespace(requests=max(200, 25 * rounds), concurrency=16, soak=0))


def measure_large() -> list[dict[str, Any]]:
    """The same with 50,000 requests more, and how much memory they take."""
    return settings(argparse.Namespace(requests=4000, concurrency=16, soak=52_000))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=4000)
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--soak", type=int, default=0)
    args = parser.parse_args()
    settings(args)


if __name__ == "__main__":
    main()
