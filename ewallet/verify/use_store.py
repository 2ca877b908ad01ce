"""Where a log of uses is kept: entries that are never changed, and the keys of what is personal in them.

A store keeps order and durability; what an entry says and how the chain is made is the log's own
(`ewallet.verify.receipts`).
"""

from __future__ import annotations

import sqlite3
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from ewallet.errors import UseLogError
from ewallet.verify.sqlite_files import begin_immediate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

START: Final = bytes(32)
"""What the first record is linked to."""


class Row(NamedTuple):
    """One record as a store keeps it.

    Attributes:
        number: its place, 1 first.
        content: its bytes.
        hash: its link in the chain.
        until: the second from which its key is destroyed.
        key: under which what is personal in it can be read.
    """

    number: int
    content: bytes
    hash: bytes
    until: int
    key: bytes


if TYPE_CHECKING:
    Appending = AbstractContextManager[tuple[int, bytes, Callable[[Sequence[Row]], None]]]


class UseStore(Protocol):
    """Keeps the entries of one chain. Every method raises `UseLogError` if it cannot do what it says."""

    def appending(self) -> Appending:
        """One writer at a time: number and hash of the last record, and what writes rows after it.

        What was written is on the disk when the context ends; after an exception nothing of it is kept.
        """
        ...

    def entries(self) -> Iterator[tuple[int, bytes, bytes]]:
        """Number, content and hash of all records, the oldest first."""
        ...

    def entry(self, number: int) -> bytes | None:
        """Content of a record."""
        ...

    def keys(self) -> dict[int, bytes]:
        """The keys that still exist, by number."""
        ...

    def key(self, number: int) -> bytes | None:
        """The key of a record, if it still exists."""
        ...

    def expire(self, at: int) -> int:
        """Destroys the keys whose time has come; how many."""
        ...

    def close(self) -> None:
        """Lets go of the file or the connections."""
        ...


_TABLES: Final = """
create table if not exists entry (n integer primary key, content blob not null, hash blob not null);
create table if not exists secret (n integer primary key, until integer not null, value blob not null);
create index if not exists secret_until on secret (until);
create trigger if not exists entry_kept before delete on entry
begin select raise(abort, 'records are never deleted'); end;
create trigger if not exists entry_same before update on entry
begin select raise(abort, 'records are never changed'); end;
"""


class FileStore:
    """One SQLite file, for the processes of one machine.

    Args:
        path: the file; its directory must exist.

    Raises:
        UseLogError: it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        try:
            self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._database.execute("pragma secure_delete=on")  # overwrite what is deleted
            # No second copy of a key stays in a log file.
            self._database.execute("pragma journal_mode=truncate")
            self._database.execute("pragma synchronous=full")
            self._database.executescript(_TABLES)
        except sqlite3.Error as error:
            raise UseLogError("the log cannot be opened") from error

    def close(self) -> None:
        """See `UseStore.close`."""
        self._database.close()

    @contextmanager
    def appending(self) -> Iterator[tuple[int, bytes, Callable[[Sequence[Row]], None]]]:
        """See `UseStore.appending`."""
        database = self._database
        with self._lock:
            try:
                begin_immediate(database)
                last = database.execute("select n, hash from entry order by n desc limit 1").fetchone()
                yield (*(last or (0, START)), self._write)
                database.execute("commit")
            except sqlite3.Error as error:
                raise UseLogError("the log cannot be written") from error
            finally:
                if database.in_transaction:
                    database.execute("rollback")

    def _write(self, rows: Sequence[Row]) -> None:
        self._database.executemany(
            "insert into entry values (?, ?, ?)", [(row.number, row.content, row.hash) for row in rows]
        )
        self._database.executemany(
            "insert into secret values (?, ?, ?)", [(row.number, row.until, row.key) for row in rows]
        )

    def entries(self) -> Iterator[tuple[int, bytes, bytes]]:
        """See `UseStore.entries`."""
        try:
            yield from self._database.execute("select n, content, hash from entry order by n").fetchall()
        except sqlite3.Error as error:
            raise UseLogError("the log cannot be read") from error

    def entry(self, number: int) -> bytes | None:
        """See `UseStore.entry`."""
        return self._one("select content from entry where n = ?", number)

    def key(self, number: int) -> bytes | None:
        """See `UseStore.key`."""
        return self._one("select value from secret where n = ?", number)

    def _one(self, query: str, number: int) -> bytes | None:
        try:
            row = self._database.execute(query, (number,)).fetchone()
        except sqlite3.Error as error:
            raise UseLogError("the log cannot be read") from error
        return None if row is None else row[0]

    def keys(self) -> dict[int, bytes]:
        """See `UseStore.keys`."""
        try:
            return dict(self._database.execute("select n, value from secret").fetchall())
        except sqlite3.Error as error:
            raise UseLogError("the log cannot be read") from error

    def expire(self, at: int) -> int:
        """See `UseStore.expire`."""
        with self._lock:
            try:
                return self._database.execute("delete from secret where until <= ?", (at,)).rowcount
            except sqlite3.Error as error:
                raise UseLogError("the log cannot be written") from error
