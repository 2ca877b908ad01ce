"""Points in time: aware UTC in the API, whole seconds on the wire, days in Asia/Shanghai on the face."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, timezone
from typing import Final

SHANGHAI: Final = timezone(timedelta(hours=8), "Asia/Shanghai")
"""China has used UTC+8 without summer time since 1991; license dates before are days, not instants."""


def seconds(moment: datetime) -> int:
    """Whole seconds since 1970 of an aware moment, rounded down.

    Raises:
        ValueError: the moment has no time zone: a naive time would silently mean the machine's own.
    """
    if moment.tzinfo is None:
        raise ValueError("a moment needs a time zone: use datetime.now(UTC)")
    return int(moment.timestamp() // 1)


def instant(since_epoch: int) -> datetime:
    """The aware UTC moment of whole seconds since 1970."""
    return datetime.fromtimestamp(since_epoch, UTC)


def day_start(day: date) -> datetime:
    """The first moment of a day in Asia/Shanghai, as UTC."""
    return datetime.combine(day, time.min, SHANGHAI).astimezone(UTC)


def day_end(day: date) -> datetime:
    """The first moment after a day in Asia/Shanghai, as UTC: valid strictly before it."""
    return day_start(day) + timedelta(days=1)


def day_of(moment: datetime) -> date:
    """The day in Asia/Shanghai that a moment lies in."""
    return moment.astimezone(SHANGHAI).date()
