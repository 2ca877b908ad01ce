"""Counts of this process, in the text form that Prometheus reads."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
"""Seconds: upper bounds of the histogram."""


class Metrics:
    """Calls by route and status, their durations, and outcomes of verifications.

    Routes are templates, never addresses: the number of series is bounded, and nothing personal is in them.
    """

    def __init__(self) -> None:
        self._calls: dict[tuple[str, str, int], int] = {}
        self._times: dict[str, list[int]] = {}
        self._sums: dict[str, float] = {}
        self._outcomes: dict[tuple[str, str], int] = {}

    def count(self, method: str, route: str, status: int, took: float) -> None:
        """Notes one call."""
        key = (method, route, status)
        self._calls[key] = self._calls.get(key, 0) + 1
        buckets = self._times.setdefault(route, [0] * (len(_BOUNDS) + 1))
        buckets[bisect_left(_BOUNDS, took)] += 1
        self._sums[route] = self._sums.get(route, 0.0) + took

    def outcome(self, outcome: str, reason: str) -> None:
        """Notes one verification."""
        key = (outcome, reason)
        self._outcomes[key] = self._outcomes.get(key, 0) + 1

    def text(self) -> str:
        """All counts, in the Prometheus text format 0.0.4."""
        return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        yield "# TYPE ewallet_calls_total counter"
        for (method, route, status), count in sorted(self._calls.items()):
            yield f'ewallet_calls_total{{method="{method}",route="{route}",status="{status}"}} {count}'
        yield "# TYPE ewallet_verifications_total counter"
        for (outcome, reason), count in sorted(self._outcomes.items()):
            yield f'ewallet_verifications_total{{outcome="{outcome}",reason="{reason}"}} {count}'
        yield "# TYPE ewallet_call_seconds histogram"
        for route, buckets in sorted(self._times.items()):
            total = 0
            for bound, count in zip((*_BOUNDS, "+Inf"), buckets, strict=True):
                total += count
                yield f'ewallet_call_seconds_bucket{{route="{route}",le="{bound}"}} {total}'
            yield f'ewallet_call_seconds_sum{{route="{route}"}} {self._sums[route]:.6f}'
            yield f'ewallet_call_seconds_count{{route="{route}"}} {total}'
