"""No call waits for ever for a database: a server that has stopped, or a network that swallows what is sent.

PostgreSQL's own `statement_timeout` is kept by the server, so a server that stands still keeps nobody to it.
Here the client counts: when its time is over, the connection is closed and the call fails as after a loss of
the connection. Whether a commit whose answer was not waited for counts, only the database knows.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import event

if TYPE_CHECKING:
    from collections.abc import Generator

    from sqlalchemy import Engine

PATIENCE: Final = 5.0
"""Seconds that a service waits for one statement or commit."""


def limit_waiting(engine: Engine, seconds: float = PATIENCE) -> None:
    """Lets each statement and commit of an engine's new connections take so long at most.

    Without effect on SQLite, where a busy timeout does that.

    Args:
        engine: an engine that has no connection yet.
        seconds: of waiting for the server.
    """
    if engine.dialect.name != "postgresql":
        return
    connection = _connection(seconds)

    @event.listens_for(engine, "do_connect")
    def connecting(_: object, __: object, given: list[Any], named: dict[str, Any]) -> Any:
        return connection.connect(*given, **named)


def _connection(seconds: float) -> Any:
    import psycopg  # noqa: PLC0415 (an extra)

    class Impatient(psycopg.Connection[Any]):
        """A connection that is closed when its server lets it wait too long."""

        def wait(self, gen: Any, *given: Any, **named: Any) -> Any:
            try:
                return super().wait(_within(gen, seconds), *given, **named)
            except _TooLongError as error:
                self.pgconn.finish()  # says nothing to the server: it would not listen
                raise psycopg.OperationalError("the server does not answer in time") from error

    return Impatient


class _TooLongError(Exception):
    pass


def _within(steps: Generator[Any, Any, Any], seconds: float) -> Generator[Any, Any, Any]:
    """Takes the steps of the driver, until the time is over."""
    until = time.monotonic() + seconds
    try:
        wanted = next(steps)
        while True:
            ready = yield wanted
            if not ready and time.monotonic() > until:  # the driver looks up ten times in a second
                raise _TooLongError
            wanted = steps.send(ready)
    except StopIteration as end:
        return end.value
