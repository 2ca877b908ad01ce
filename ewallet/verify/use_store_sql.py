"""A log of uses in PostgreSQL: one chain for all processes and machines of a counter.

A writer holds a lock of the database while it links its records to the last one. The database refuses to
change or delete a record, for everybody but its administrator: against whom the chain and the receipts are.

A key that is destroyed is deleted and its table is vacuumed at once, so that the next key may be written over
it. Write-ahead logs and backups still have it as long as they are kept: docs/guides/operating.md.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from ewallet.databases import PATIENCE, limit_waiting
from ewallet.errors import ConfigError, MissingExtra, UseLogError
from ewallet.verify.use_store import START

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sqlalchemy import Connection, Engine

    from ewallet.verify.use_store import Row

_LOCK: Final = 0x65775F757365  # "ew_use": the advisory lock of who appends

_TABLES: Final = """
create table if not exists use_entry (n bigint primary key, content bytea not null, hash bytea not null);
create table if not exists use_secret (n bigint primary key, until bigint not null, value bytea not null);
create index if not exists use_secret_until on use_secret (until);
create or replace function use_entry_stays() returns trigger language plpgsql as
    'begin raise exception ''records are never changed or deleted''; end';
create or replace trigger use_entry_kept before update or delete or truncate on use_entry
    execute function use_entry_stays();
"""

_LAST: Final = text("select n, hash from use_entry order by n desc limit 1")
_ENTRIES: Final = text("select n, content, hash from use_entry order by n")
_ADD: Final = text("""
with made as (
    select * from unnest(
        cast(:numbers as bigint[]), cast(:contents as bytea[]), cast(:hashes as bytea[]),
        cast(:untils as bigint[]), cast(:keys as bytea[])
    ) as made (n, content, hash, until, value)
), kept as (insert into use_entry select n, content, hash from made)
insert into use_secret select n, until, value from made
""")
"""One statement for a batch: a writer that others wait for goes to the database as seldom as it can."""


class SqlStore:
    """In a PostgreSQL database.

    Args:
        url: its URL; tables are made where missing.

    Raises:
        ConfigError: not the URL of a PostgreSQL database.
        MissingExtra: the driver is not installed.
        UseLogError: it does not answer.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._engine = _engine(url)
        limit_waiting(self._engine, PATIENCE)
        try:
            with self._engine.begin() as connection:
                _lock(connection)  # two processes that start at once make one table
                connection.execute(text(_TABLES))
        except SQLAlchemyError as error:
            raise UseLogError("the log cannot be opened") from error

    def close(self) -> None:
        """See `UseStore.close`."""
        self._engine.dispose()

    @contextmanager
    def appending(self) -> Iterator[tuple[int, bytes, Callable[[Sequence[Row]], None]]]:
        """See `UseStore.appending`."""
        try:
            with self._engine.begin() as connection:

                def write(rows: Sequence[Row]) -> None:
                    columns = map(list, zip(*rows, strict=True))
                    names = ("numbers", "contents", "hashes", "untils", "keys")
                    connection.execute(_ADD, dict(zip(names, columns, strict=True)))

                _lock(connection)
                last = connection.execute(_LAST).first()
                yield (*((last[0], bytes(last[1])) if last else (0, START)), write)
        except SQLAlchemyError as error:
            raise UseLogError("the log cannot be written") from error

    def entries(self) -> Iterator[tuple[int, bytes, bytes]]:
        """See `UseStore.entries`."""
        for n, content, digest in self._read(_ENTRIES):
            yield n, bytes(content), bytes(digest)

    def entry(self, number: int) -> bytes | None:
        """See `UseStore.entry`."""
        return self._one("select content from use_entry where n = :number", number)

    def key(self, number: int) -> bytes | None:
        """See `UseStore.key`."""
        return self._one("select value from use_secret where n = :number", number)

    def keys(self) -> dict[int, bytes]:
        """See `UseStore.keys`."""
        return {n: bytes(value) for n, value in self._read(text("select n, value from use_secret"))}

    def _one(self, query: str, number: int) -> bytes | None:
        rows = self._read(text(query).bindparams(number=number))
        return bytes(rows[0][0]) if rows else None

    def _read(self, query: Any) -> Sequence[Any]:
        try:
            with self._engine.connect() as connection:
                return connection.execute(query).all()
        except SQLAlchemyError as error:
            raise UseLogError("the log cannot be read") from error

    def expire(self, at: int) -> int:
        """See `UseStore.expire`."""
        try:
            with self._engine.begin() as connection:
                done = connection.execute(text("delete from use_secret where until <= :at"), {"at": at})
            if done.rowcount:
                self._vacuum()
        except SQLAlchemyError as error:
            raise UseLogError("the log cannot be written") from error
        return done.rowcount

    def _vacuum(self) -> None:
        """Takes as long as it takes: on a connection of its own, for which nobody waits."""
        engine = _engine(self._url).execution_options(isolation_level="AUTOCOMMIT")
        try:
            with engine.connect() as connection:
                connection.execute(text("vacuum use_secret"))
        finally:
            engine.dispose()


def _lock(connection: Connection) -> None:
    connection.execute(text("select pg_advisory_xact_lock(:name)"), {"name": _LOCK})


def _engine(url: str) -> Engine:
    try:
        place = make_url(url)
        if place.get_backend_name() not in ("postgresql", "postgres"):
            raise ConfigError("a file, or the URL of a PostgreSQL database", file="--log")
        return create_engine(
            place.set(drivername="postgresql+psycopg"),
            pool_pre_ping=True,
            pool_timeout=PATIENCE,
            connect_args={"connect_timeout": 2, "options": f"-c lock_timeout={PATIENCE:g}s"},
        )
    except (ArgumentError, NoSuchModuleError) as error:
        raise ConfigError("not the URL of a database", file="--log") from error
    except ModuleNotFoundError as missing:
        raise MissingExtra("postgres", "a log of uses in PostgreSQL") from missing
