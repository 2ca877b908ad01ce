"""A soak: thousands of calls of all kinds to one service process, and its memory stays where it is."""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import time
from itertools import combinations, cycle
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ewallet.licenses.presenting import present
from tests.services import Land, clock

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest.importorskip("fastapi", reason="the extra 'service' is not installed")

WARM = 5_000
"""Calls before anything is measured: pools, caches and the allocator's arenas have filled by then."""
ROUNDS, ROUND = 25, 2_000
LONGEST = 40.0
"""Seconds; a machine that is slower makes fewer rounds."""
LEAST = 5
"""Rounds without which nothing is said."""
CALLERS = 8
GROWTH = 0.05

FIELDS = ("name", "address", "scope", "company_type", "legal_representative")
EVERY = (
    ("document", 6),
    ("code", 1),
    ("garbage", 3),
    ("broken", 2),
    ("challenge", 2),
    ("nowhere", 2),
    ("state", 1),
    ("list", 1),
    ("unknown key", 1),
    ("not JSON", 1),
)
"""Kinds of calls, and how many of each in twenty."""

EXPECTED = {
    "document": 200,
    "code": 200,
    "garbage": 200,
    "broken": 200,
    "challenge": 201,
    "nowhere": 404,
    "state": 200,
    "list": 200,
    "unknown key": 401,
    "not JSON": 400,
}


@pytest.fixture(scope="module")
def land(tmp_path_factory):
    made = Land(tmp_path_factory.mktemp("land"))
    made.phone = made.issue("31", 1)
    made.publish_status()
    yield made
    made.close()


class Calls:
    """Calls of all kinds in an order that is the same in every run."""

    def __init__(self, land) -> None:
        self._document, self._device, self._held = land.phone
        self._venue = f"{land.consortium.base('31')}v/1"
        self._random = random.Random(9)
        self._fields = cycle([list(some) for size in range(6) for some in combinations(FIELDS, size)])
        kinds = [kind for kind, count in EVERY for _ in range(count)]
        self._random.shuffle(kinds)
        self._kinds = cycle(kinds)

    def take(self, count: int) -> Iterator[tuple[str, bytes]]:
        """So many calls: their kinds, and the bytes to send."""
        for _ in range(count):
            kind = next(self._kinds)
            yield kind, self._bytes(kind)

    def _bytes(self, kind: str) -> bytes:
        if kind == "nowhere":
            return _request("GET", f"/nowhere/{self._random.getrandbits(64):x}?q={self._random.random()}")
        if kind == "state":
            return _request("GET", "/v1/state")
        if kind == "list":
            return _request("GET", "/repository/metadata/1.root.json")
        if kind == "challenge":
            return _request("POST", "/v1/challenge", b'{"attributes": ["masked_name"]}')
        if kind == "not JSON":
            return _request("POST", "/v1/verify", self._random.randbytes(200))
        if kind == "unknown key":
            return _request("GET", "/v1/state", key=f"ewk_{self._random.getrandbits(64):x}")
        return _request("POST", "/v1/verify", json.dumps({"text": self._text(kind)}).encode())

    def _text(self, kind: str) -> str:
        document = self._document.document
        if kind == "document":
            return document
        if kind == "broken":
            place = self._random.randrange(10, len(document) - 10)
            return f"{document[:place]}{'A' if document[place] != 'A' else 'B'}{document[place + 1 :]}"
        if kind == "garbage":
            return "EW" + "".join(self._random.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", k=300))
        return present(
            self._held.sd_cwt,
            self._device,
            audience=self._venue,
            nonce=None,
            disclose=next(self._fields),
            now=clock(),
        )


def _request(method: str, path: str, body: bytes = b"", *, key: str = "") -> bytes:
    head = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}"]
    if body:
        head.append("Content-Type: application/json")
    if key:
        head.append(f"Authorization: Bearer {key}")
    return "\r\n".join([*head, "", ""]).encode() + body


async def _caller(port: int, calls: list[tuple[str, bytes]]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for kind, sent in calls:
        writer.write(sent)
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
        assert head.startswith(b"HTTP/1.1 %d" % EXPECTED[kind]), (kind, head)
    writer.close()
    await writer.wait_closed()


def send(port: int, calls: list[tuple[str, bytes]]) -> None:
    """Sends calls over a few connections, each new for this round."""

    async def everybody() -> None:
        await asyncio.gather(*(_caller(port, calls[place::CALLERS]) for place in range(CALLERS)))

    asyncio.run(everybody())


def memory(pid: int) -> int:
    """Resident memory of a process, kB."""
    return int(Path(f"/proc/{pid}/status").read_text().split("VmRSS:")[1].split()[0])


def test_memory_stays_where_it_is_over_thousands_of_calls_of_all_kinds(land, record_property):
    service = land.serve("31", "--quiet", agency=False)
    port, pid = int(service.url.rstrip("/").rpartition(":")[2]), service.process.pid
    calls = Calls(land)
    began = time.monotonic()
    send(port, list(calls.take(WARM)))
    seen = [memory(pid)]
    while len(seen) <= ROUNDS and (len(seen) <= LEAST or time.monotonic() - began < LONGEST):
        send(port, list(calls.take(ROUND)))
        seen.append(memory(pid))
    # One page more or less says nothing: the middle of the last three against the middle of the first three.
    before, after = statistics.median(seen[:3]), statistics.median(seen[-3:])
    growth = (after - before) / before
    sent = (len(seen) - 1) * ROUND
    record_property("soak", f"{sent} calls, {before:.0f} -> {after:.0f} kB, {growth:+.1%}")
    assert sent >= 10_000
    assert growth <= GROWTH, seen
    assert "bug" not in service.log.read_text()
    assert service.stop() == 0
