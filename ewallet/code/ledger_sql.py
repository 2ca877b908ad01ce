"""The code authority's ledger in an SQL database: a restart forgets nothing, several processes share it.

PostgreSQL, or SQLite for one machine. Tables: `code_pass` (a pass until its end, and whether it is revoked),
`code_person` (suspended; without a suspension the row goes with the last pass), `code_lost_phone`. Nothing
about venues or uses: the authority never learns them.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import BigInteger, Boolean, Column, MetaData, Table, Text, false, or_, select, true
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

from ewallet.code.ledger import ISSUE, IssuedPass
from ewallet.errors import NotAllowed, RegisterError
from ewallet.moments import seconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection, Engine

_METADATA: Final = MetaData()

_PASS: Final = Table(
    "code_pass",
    _METADATA,
    Column("id", Text, primary_key=True),
    Column("subject", Text, nullable=False, index=True),
    Column("actor", Text, nullable=False, index=True),
    Column("phone", Text, nullable=False),
    Column("ends_at", BigInteger, nullable=False, index=True),
    Column("revoked", Boolean, nullable=False, default=False),
)

_PERSON: Final = Table(
    "code_person",
    _METADATA,
    Column("subject", Text, primary_key=True),
    Column("suspended", Boolean, nullable=False),
)

_LOST: Final = Table(
    "code_lost_phone",
    _METADATA,
    Column("subject", Text, primary_key=True),
    Column("phone", Text, primary_key=True),
)


class SqlLedger:
    """In an SQL database.

    Whoever issues to a person and whoever stops that person first takes the person's row: they wait for each
    other, so that a suspension revokes all that was issued before it and nothing is issued after it.

    Args:
        engine: SQLAlchemy engine, of SQLite or PostgreSQL.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def create(self) -> None:
        """Creates the tables where missing.

        Raises:
            RegisterError: the database does not answer.
        """
        with self._begin() as connection:
            _METADATA.create_all(connection)

    def close(self) -> None:
        """Closes the connections of its engine."""
        self._engine.dispose()

    def require(self, *, subject: str, actor: str, phone: str) -> None:
        """See `Ledger.require`."""
        with self._begin() as connection:
            _require(connection, (subject, actor), phone)

    def note(self, issued: Sequence[IssuedPass]) -> None:
        """See `Ledger.note`."""
        if not issued:
            return
        one = issued[0]
        rows = [
            {
                "id": each.id,
                "subject": each.subject,
                "actor": each.actor,
                "phone": each.phone,
                "ends_at": each.ends_at,
            }
            for each in issued
        ]
        with self._begin() as connection:
            # One order for all: two who issue never wait for each other in a circle.
            for person in sorted({one.subject, one.actor}):
                self._take(connection, person)
            _require(connection, (one.subject, one.actor), one.phone)
            connection.execute(_PASS.insert(), rows)

    def suspend(self, subject: str, *, now: datetime) -> list[IssuedPass]:
        """See `Ledger.suspend`."""
        with self._begin() as connection:
            self._take(connection, subject)
            connection.execute(_PERSON.update().where(_PERSON.c.subject == subject).values(suspended=True))
            return _revoke(connection, _alive(subject, None, now))

    def lose(self, subject: str, phone: str, *, now: datetime) -> list[IssuedPass]:
        """See `Ledger.lose`."""
        with self._begin() as connection:
            self._take(connection, subject)
            if phone:
                lost = self._insert(_LOST).values(subject=subject, phone=phone)
                connection.execute(lost.on_conflict_do_nothing())
            return _revoke(connection, _alive(subject, phone, now))

    def restore(self, subject: str) -> None:
        """See `Ledger.restore`."""
        with self._begin() as connection:
            connection.execute(_PERSON.update().where(_PERSON.c.subject == subject).values(suspended=False))

    def find(self, subject: str, phone: str) -> None:
        """See `Ledger.find`."""
        with self._begin() as connection:
            connection.execute(_LOST.delete().where(_LOST.c.subject == subject, _LOST.c.phone == phone))

    def live(self, *, subject: str, phone: str | None, now: datetime) -> list[IssuedPass]:
        """See `Ledger.live`."""
        with self._begin() as connection:
            return _listed(connection, _alive(subject, phone, now))

    def revoked(self, *, now: datetime) -> list[str]:
        """See `Ledger.revoked`."""
        ids = select(_PASS.c.id).where(_PASS.c.revoked == true(), _PASS.c.ends_at > seconds(now))
        with self._begin() as connection:
            return list(connection.execute(ids).scalars())

    def forget(self, *, now: datetime) -> int:
        """See `Ledger.forget`; also the rows of persons who are not suspended and have no pass left."""
        with self._begin() as connection:
            gone = connection.execute(_PASS.delete().where(_PASS.c.ends_at <= seconds(now))).rowcount
            known = select(_PASS.c.id).where(
                or_(_PASS.c.subject == _PERSON.c.subject, _PASS.c.actor == _PERSON.c.subject)
            )
            idle = _PERSON.c.suspended == false(), ~known.exists()
            connection.execute(_PERSON.delete().where(*idle))
            return gone

    @contextmanager
    def _begin(self) -> Iterator[Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise RegisterError("the ledger's database does not answer") from error

    def _insert(self, table: Table) -> Any:
        if self._engine.dialect.name == "postgresql":
            return postgresql.insert(table)
        return sqlite.insert(table)

    def _take(self, connection: Connection, person: str) -> None:
        # Writes even where nothing changes: only a write takes the row (PostgreSQL) or the file (SQLite).
        insert = self._insert(_PERSON).values(subject=person, suspended=False)
        connection.execute(
            insert.on_conflict_do_update(
                index_elements=[_PERSON.c.subject], set_={"suspended": _PERSON.c.suspended}
            )
        )


def _require(connection: Connection, persons: Iterable[str], phone: str) -> None:
    names = sorted(set(persons))
    suspended = select(_PERSON.c.subject).where(_PERSON.c.subject.in_(names), _PERSON.c.suspended == true())
    if connection.execute(suspended).first() is not None:
        raise NotAllowed(ISSUE, "suspended")
    lost = select(_LOST.c.phone).where(_LOST.c.subject.in_(names), _LOST.c.phone == phone)
    if connection.execute(lost).first() is not None:
        raise NotAllowed(ISSUE, "lost")


def _alive(subject: str, phone: str | None, now: datetime) -> list[ColumnElement[bool]]:
    of_person = or_(_PASS.c.subject == subject, _PASS.c.actor == subject)
    wanted: list[ColumnElement[bool]] = [of_person, _PASS.c.ends_at > seconds(now)]
    return wanted if phone is None else [*wanted, _PASS.c.phone == phone]


def _listed(connection: Connection, wanted: list[ColumnElement[bool]]) -> list[IssuedPass]:
    columns = _PASS.c.id, _PASS.c.subject, _PASS.c.actor, _PASS.c.phone, _PASS.c.ends_at
    return [IssuedPass(**row) for row in connection.execute(select(*columns).where(*wanted)).mappings()]


def _revoke(connection: Connection, wanted: list[ColumnElement[bool]]) -> list[IssuedPass]:
    live = _listed(connection, wanted)
    connection.execute(_PASS.update().where(*wanted).values(revoked=True))
    return live
