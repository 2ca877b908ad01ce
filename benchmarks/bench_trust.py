"""Trust lists: loading a verified state of 4,000 services, lookups, memory, refreshing without change."""

from __future__ import annotations

import statistics
import tempfile
import threading
import tracemalloc
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import perf_counter, process_time
from types import MappingProxyType
from typing import Any

from ewallet.keys import SigningKey
from ewallet.trust import lists
from ewallet.trust.authoring import Consortium
from ewallet.trust.distribution import TrustStore
from ewallet.trust.entries import Entity, Service
from ewallet.trust.sources import WebSource

NOW = datetime(2026, 5, 1, tzinfo=UTC)
SERVICES = 4000
ROWS = {
    "load_ms": ("load 4,000 services from verified local state", "ms", 150.0),
    "lookup_us": ("look a key up", "us", 2.0),
    "memory_mb": ("memory of a loaded state, every key built", "MB", 50.0),
    "refresh_ms": ("refresh without change over loopback", "ms", 30.0),
    "first_ms": ("first refresh: all signatures, all keys", "ms", None),
}


def make(directory: Path, services: int = SERVICES) -> tuple[Consortium, list[tuple[str, bytes]]]:
    """A consortium of four provinces with so many license services; the questions to ask."""
    consortium = Consortium.sandbox(("31", "32", "33", "34"), now=NOW)
    questions = []
    for province in consortium.provinces:
        listing = consortium.listings[province]
        grants = (consortium.everything(province, start=NOW),)
        for number in range(services // 4):
            uri = f"{consortium.base(province)}a/{number}"
            names = MappingProxyType({"zh": f"示例机关{number}", "en": f"Example authority {number}"})
            entity = Entity(
                uri=uri, names=names, province=province, uscc="", status_prefixes=(f"{uri}/status/",)
            )
            key = SigningKey.generate("ES256").public_key
            # Built directly: adding one at a time checks each new key against all others.
            single = lists.with_entity(_empty(listing), entity)
            single = lists.with_service(single, uri, Service.LICENSES, key=key, grants=grants, now=NOW)
            questions.append((uri, key.kid))
            consortium.listings[province] = _joined(consortium.listings[province], single)
        consortium._write_list(province, NOW)  # noqa: SLF001
    consortium.publish(directory, now=NOW)
    return consortium, questions


def _empty(listing):
    return replace(listing, entities=())


def _joined(listing, single):
    return replace(listing, entities=(*listing.entities, *single.entities))


def median_ms(call, rounds: int = 7) -> float:
    """Median time of a call in milliseconds, counted while this process runs (other work may go on)."""
    times = []
    for _ in range(rounds):
        begun = process_time()
        call()
        times.append((process_time() - begun) * 1000)
    return statistics.median(times)


class Quiet(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_) -> None:
        pass


def measure(*, rounds: int = 7) -> list[dict[str, Any]]:
    """Rows for `python -m benchmarks`."""
    rows = []
    for name, value in figures(min(rounds, 15)).items():
        operation, unit, target = ROWS[name]
        row: dict[str, Any] = {"operation": operation, "value": value, "unit": unit}
        rows.append(row if target is None else {**row, "target": target})
    return rows


def figures(rounds: int) -> dict[str, float]:
    """All numbers, by name."""
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place)
        repository, state = directory / "published", directory / "state"
        _, questions = make(repository)
        found = {}
        begun = perf_counter()
        TrustStore.open(state).refresh(repository, NOW)
        found["first_ms"] = (perf_counter() - begun) * 1000
        found["load_ms"] = median_ms(lambda: TrustStore.open(state), rounds)
        found["memory_mb"] = _memory(state, questions)
        found["lookup_us"] = _lookup(state, questions)
        found["refresh_ms"] = _refresh(repository, state, rounds)
        return found


def _memory(state: Path, questions) -> float:
    """What a loaded state holds once every key has been asked for."""
    tracemalloc.start()
    trust = TrustStore.open(state).current
    for uri, kid in questions:
        trust.keys(Service.LICENSES, kid=kid, iss=uri)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return held / 1e6


def _lookup(state: Path, questions) -> float:
    trust = TrustStore.open(state).current
    for uri, kid in questions:
        trust.keys(Service.LICENSES, kid=kid, iss=uri)
    begun = perf_counter()
    for uri, kid in questions:
        trust.keys(Service.LICENSES, kid=kid, iss=uri)
    return (perf_counter() - begun) / len(questions) * 1e6


def _refresh(repository: Path, state: Path, rounds: int) -> float:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(repository)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    store = TrustStore.open(state)
    source = WebSource(f"http://127.0.0.1:{server.server_port}/")
    now = NOW + timedelta(minutes=5)
    store.refresh(source, now)
    try:
        return median_ms(lambda: store.refresh(source, now), rounds)
    finally:
        source.close()
        server.shutdown()
        server.server_close()


def main() -> None:
    """Prints each number beside its target."""
    for row in measure():
        print(row)


if __name__ == "__main__":
    main()
