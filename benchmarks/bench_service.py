"""The service on loopback: cost of one verification over HTTP against the same verification in process.

    python benchmarks/bench_service.py [--requests 2000] [--concurrency 16] [--soak 0]

Cost is wall time x cores / requests on two cores, which service and callers share; median of five rounds.
Beside it the processor time of the service's processes alone, which other work on the machine does not
distort. *Stateless*: documents, which spend nothing. *Durable*: presentations, each spent in the guard and
written to the log of uses before it is answered. One process leaves a core to the callers, who need a tenth
of it; two share the port, as a machine with two cores is run.
`--soak N` sends N requests and prints how much the service's memory has grown.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvloop

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ewallet.licenses.presenting import present
from ewallet.reasons import Outcome
from ewallet.verify.counter import open_trust
from ewallet.verify.policy import Policy
from ewallet.verify.replay import MemoryGuard
from ewallet.verify.sources import StatusDirectory
from ewallet.verify.verifier import Verifier
from tests.databases import fresh_database, postgres_server, redis_server
from tests.services import Land, clock, free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CORES = 2
ACCEPTED = b'"outcome":"ACCEPTED"'
PHONES = 16
FIELDS = ("name", "address", "scope", "company_type", "legal_representative", "established_on")
CHOICES = [list(chosen) for size in range(4) for chosen in combinations(FIELDS, size)]


def documents(land: Land, count: int) -> list[str]:
    """The document of one license, which may be verified as often as somebody likes."""
    return [land.phones[0][0].document] * count


def presentations(land: Land, count: int) -> list[str]:
    """As many different presentations, all fresh."""
    seconds = -(-count // (len(CHOICES) * PHONES))
    time.sleep(seconds + 1)  # those of the round before have other seconds
    now = clock()
    made = [
        present(
            held.sd_cwt,
            device,
            audience=f"{land.consortium.base('31')}v/1",
            nonce=None,
            disclose=fields,
            now=now - timedelta(seconds=ago),
        )
        for ago in range(seconds)
        for fields in CHOICES
        for _, device, held in land.phones
    ]
    return made[:count]


def in_process(land: Land, texts: Callable[[Land, int], list[str]], count: int) -> float:
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
        shown = texts(land, count)
        began = time.process_time()
        found = [verifier.verify(text, now=clock()) for text in shown]
        rounds.append((time.process_time() - began) / count)
        assert all(each.outcome is Outcome.ACCEPTED for each in found), found[-1]
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


@dataclass(frozen=True, kw_only=True)
class Setting:
    """How the service is run, and what it is sent."""

    name: str
    guard: str
    texts: Callable[[Land, int], list[str]]
    warm: float
    processes: int = 1
    options: tuple[str, ...] = ()
    target: float | None = None

    def run(self, land: Land, args: argparse.Namespace) -> list[dict[str, Any]]:
        """Prints this setting and gives its rows."""
        port = free_port()
        options = ("--quiet", "--shared-port", *self.options)
        started = [
            land.serve("31", "--port", str(port), *options, agency=False, guard=self.guard)
            for _ in range(self.processes)
        ]
        try:
            return self._rows(land, args, port, [each.process.pid for each in started])
        finally:
            for each in started:
                each.stop()

    def _load(self, land: Land, args: argparse.Namespace, port: int) -> tuple[float, list[float]]:
        bodies = [request(text) for text in self.texts(land, args.requests)]
        return load(port, bodies, args.concurrency)

    def _rows(self, land: Land, args: argparse.Namespace, port: int, pids: list[int]) -> list[dict[str, Any]]:
        self._load(land, args, port)
        began = sum(map(cpu, pids))
        rounds = [self._load(land, args, port) for _ in range(5)]
        own = (sum(map(cpu, pids)) - began) / (5 * args.requests)
        wall, times = sorted(rounds)[2]
        cost, ordered = wall * CORES / args.requests, sorted(times)
        middle, late = ordered[len(ordered) // 2], ordered[len(ordered) * 99 // 100]
        print(
            f"{self.name:58} {cost * 1e6:6.0f} us {cost / self.warm:5.2f} x warm; of processor "
            f"{own * 1e6:4.0f} us {own / self.warm:4.2f} x; p50 {middle * 1e3:4.1f} p99 {late * 1e3:4.1f} ms "
            f"{args.requests / wall:5.0f}/s"
        )
        rows: list[dict[str, Any]] = [
            {
                "operation": f"verify over HTTP: {self.name}",
                "against": "warm verification in process",
                "ratio": round(cost / self.warm, 2),
                "us": round(cost * 1e6, 1),
                **({"target": self.target} if self.target else {}),
            },
            {
                "operation": f"verify over HTTP: {self.name}, 99th percentile",
                "value": round(late * 1e3, 1),
                "unit": "ms",
                "target": 50,
            },
        ]
        if args.soak and self.processes == 1:
            rows.append(self._soak(land, args, port, pids[0]))
        return rows

    def _soak(self, land: Land, args: argparse.Namespace, port: int, pid: int) -> dict[str, Any]:
        before = rss(pid)
        for _ in range(args.soak // args.requests):
            self._load(land, args, port)
        growth = (rss(pid) - before) / before
        print(f"{'':58} memory {before} kB, {growth:+.1%} after {args.soak} requests")
        grown = f"memory of the service, growth over {args.soak:,} requests ({self.name})"
        return {"operation": grown, "value": round(growth * 100, 1), "unit": "%", "target": 5}


def settings(args: argparse.Namespace) -> list[dict[str, Any]]:
    """All settings, one after the other."""
    with ExitStack() as stack:
        land = Land(Path(stack.enter_context(tempfile.TemporaryDirectory())))
        stack.callback(land.close)
        land.phones = [land.issue("31", number) for number in range(1, PHONES + 1)]
        land.publish_status()
        rows: list[dict[str, Any]] = []
        for each in _settings(land, stack):
            if args.only in each.name:
                rows += each.run(land, args)
        return rows


def _settings(land: Land, stack: ExitStack) -> Iterator[Setting]:
    warm = in_process(land, documents, 1000)
    print(f"{'a document, in process, warm':58} {warm * 1e6:6.0f} us")
    stateless: dict[str, Any] = {"guard": "memory", "texts": documents, "warm": warm}
    yield Setting(name="stateless, memory guard, one process", **stateless)
    yield Setting(name="stateless, memory guard, two processes", processes=2, target=3.0, **stateless)
    warm = in_process(land, presentations, 500)
    print(f"{'a presentation, in process, warm':58} {warm * 1e6:6.0f} us")
    durable: dict[str, Any] = {"texts": presentations, "warm": warm, "target": 6.0}
    yield Setting(
        name="durable, guard and log in files, one process", guard="file", options=("--record",), **durable
    )
    yield Setting(
        name="durable, guard and log in files, two processes",
        guard="file",
        options=("--record",),
        processes=2,
        **durable,
    )
    server, redis = stack.enter_context(postgres_server()), stack.enter_context(redis_server())
    if server is None or redis is None:
        print("notice: no PostgreSQL or no Redis here: the shared settings are not measured")
        return
    redis.found()
    for name, guard in (("Redis", redis.url), ("PostgreSQL", "")):
        url = stack.enter_context(fresh_database(server))
        yield Setting(
            name=f"durable, guard in {name}, log in PostgreSQL, two processes",
            guard=guard or url.replace("postgresql://", "postgresql+psycopg://"),
            options=("--log", url),
            processes=2,
            **durable,
        )


def measure(*, rounds: int = 41) -> list[dict[str, Any]]:
    """All figures as rows; a request is no short round, so that fewer of them do."""
    return settings(argparse.Namespace(requests=max(200, 25 * rounds), concurrency=16, soak=0, only=""))


def measure_large() -> list[dict[str, Any]]:
    """The same with 50,000 requests more, and how much memory they take."""
    return settings(argparse.Namespace(requests=2000, concurrency=16, soak=52_000, only=""))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--soak", type=int, default=0)
    parser.add_argument("--only", default="", help="settings whose name has this in it")
    args = parser.parse_args()
    settings(args)


if __name__ == "__main__":
    main()
