"""Times as the list files write them: UTC, whole seconds, `2026-05-01T00:00:00Z`."""

from __future__ import annotations

from datetime import UTC, datetime

from ewallet.errors import Malformed
from ewallet.moments import instant, seconds

_FORM = "%Y-%m-%dT%H:%M:%SZ"


def time_text(at: int | datetime) -> str:
    """A moment, or seconds since 1970, as text.

    >>> time_text(0)
    '1970-01-01T00:00:00Z'
    """
    moment = instant(at) if isinstance(at, int) else at.astimezone(UTC)
    return moment.strftime(_FORM)


def time_seconds(text: object, what: str = "time") -> int:
    """Seconds since 1970 of such a text.

    Raises:
        Malformed: any other form.

    >>> time_seconds("1970-01-02T00:00:00Z")
    86400
    """
    if type(text) is not str or len(text) != 20:
        raise Malformed(f"{what} is not a UTC time")
    try:
        return seconds(datetime.strptime(text, _FORM).replace(tzinfo=UTC))
    except ValueError as error:
        raise Malformed(f"{what} is not a UTC time") from error
