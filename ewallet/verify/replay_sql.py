"""A replay guard that several gates share: an SQL database.

The rule is that of `ewallet.verify.replay`. Gates have clocks of their own, so a shared guard forgets ten
minutes later than one of a single machine. Whatever the database does not confirm is
`replay.unavailable`; what was spent in an act whose answer got lost stays spent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import BigInteger, Column, LargeBinary, MetaData, Table, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

from ewallet.moments import seconds
from ewallet.verify.replay import KEEP, SLACK, Spending, replayed, too_old_to_judge, unavailable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Connection, Engine

    from ewallet.errors import Refused

_BUCKET: Final = 10


def _tables(metadata: MetaData) -> tuple[Table, Table]:
    spent = Table(
        "replay_spent",
        metadata,
        Column("what", LargeBinary(16), primary_key=True),
        Column("after", BigInteger, nullable=False),
        Column("until", BigInteger, nullable=False, index=True),
    )
    horizon = Table(
        "replay_horizon",
        metadata,
        Column("one", BigInteger, primary_key=True, autoincrement=False),
        Column("at", BigInteger, nullable=False),
    )
    return spent, horizon


class SqlGuard:
    """In an SQL database (PostgreSQL; SQLite for tests), for any number of gates.

    One `insert ... on conflict ... where` decides: the row lock of the database makes it atomic.

    Args:
        engine: SQLAlchemy engine.
        keep: seconds that it answers for.
    """

    durable: Final = True
    level: Final = "shared"

    def __init__(self, engine: Engine, *, keep: int = KEEP) -> None:
        self._engine = engine
        self._keep = keep
        self._metadata = MetaData()
        self._spent, self._horizon = _tables(self._metadata)

    def create(self) -> None:
        """Creates the tables where missing: an empty guard says that nothing was accepted before."""
        self._metadata.create_all(self._engine)
        with self._engine.begin() as connection:
            insert = self._insert(self._horizon).values(one=1, at=0)
            connection.execute(insert.on_conflict_do_nothing())

    def close(self) -> None:
        """Closes the connections of its engine."""
        self._engine.dispose()

    def spend(self, spendings: Sequence[Spending], *, now: datetime) -> None:
        """See `ReplayGuard.spend`."""
        moment = seconds(now)
        try:
            with self._engine.begin() as connection:
                # One order for all callers: two transactions never wait for each other in a circle.
                ordered = sorted(enumerate(spendings), key=lambda each: each[1].what)
                refusals = {
                    place: refused
                    for place, item in ordered
                    if (refused := self._spend(connection, item, moment)) is not None
                }
                if refusals:
                    raise refusals[min(refusals)]  # rolls back; the caller's first decides the reason
        except SQLAlchemyError as error:
            raise unavailable("the guard's database does not answer") from error

    def _insert(self, table: Table) -> Any:
        if self._engine.dialect.name == "postgresql":
            return postgresql.insert(table)
        return sqlite.insert(table)

    def _spend(self, connection: Connection, item: Spending, moment: int) -> Refused | None:
        known = connection.execute(select(self._horizon.c.at)).scalar_one()
        horizon = max(known, moment)
        if too_old_to_judge(item, now=horizon, floor=horizon - self._keep, founded=0):
            return unavailable("it is older than what this guard remembers: is the clock right?")
        until = item.after + self._keep if item.gap else item.until
        insert = self._insert(self._spent).values(what=item.what, after=item.after, until=until)
        done = connection.execute(
            insert.on_conflict_do_update(
                index_elements=[self._spent.c.what],
                set_={"after": insert.excluded.after, "until": insert.excluded.until},
                where=self._spent.c.after <= item.at,
            ).returning(self._spent.c.what)
        )
        # A row comes back only where one was written; row counts of inserts differ between drivers.
        if done.first() is None:
            return replayed(item)
        if horizon >= known + _BUCKET:
            self._forget(connection, horizon)
        return None

    def _forget(self, connection: Connection, horizon: int) -> None:
        one = self._horizon
        connection.execute(one.update().where(one.c.at < horizon).values(at=horizon))
        connection.execute(self._spent.delete().where(self._spent.c.until <= horizon - SLACK))
