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
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ewallet.verify.counter import open_trust
from ewallet.verify.policy import Policy
from ewallet.verify.replay import MemoryGuard
from ewallet.verify.sources import StatusDirectory
from ewallet.verify.verifier import Verifier
from tests.services import Land, clock

CORES = 2
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


async def _caller(port: int, bodies: list[bytes], times: list[float]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for body in bodies:
        began = time.perf_counter()
        writer.write(
            b"POST /v1/verify HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: " + str(len(body)).encode() + b"\r\n\r\n" + body
        )
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
        assert head.startswith(b"HTTP/1.1 200"), head
        times.append(time.perf_counter() - began)
    writer.close()


async def load(port: int, bodies: list[bytes], concurrency: int) -> tuple[float, list[float]]:
    """Wall time of all calls, and the time of each."""
    times: list[float] = []
    began = time.perf_counter()
    await asyncio.gather(*(_caller(port, bodies[n::concurrency], times) for n in range(concurrency)))
    return time.perf_counter() - began, times


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
    bodies = [json.dumps({"text": document(land)}).encode()] * args.requests
    asyncio.run(load(port, bodies[: args.requests // 4], args.concurrency))
    began = cpu(service.process.pid)
    rounds = [asyncio.run(load(port, bodies, args.concurrency)) for _ in range(5)]
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
            asyncio.run(load(port, bodies, args.concurrency))
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
