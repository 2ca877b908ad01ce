"""Replay guards: what was accepted once is not accepted again.

One rule for all guards. What is spent has a name (16 bytes) and a time `at`:

- a *code*: named by its pass; accepted when `at` (its `iat`) is at least `gap` seconds after the last
  accepted one of that pass, so neither the same code nor an earlier or neighbouring one counts again;
- an *entry*: named by the pseudonym that a scene limited by entry or by day spends; once in its period;
- a *challenge*: answered once.

A guard answers only for what it can remember: it knows the newest `now` it was ever called with (its
horizon) and refuses codes older than `keep` seconds before that, so a clock that is set back does not
bring forgotten codes to life. Whatever a guard cannot know is `replay.unavailable`, never "not seen".

Spending is one atomic act over everything that one presentation spends, and the verifier's last step: a
refused code never touches a guard. Source: format.md, "Replay".
"""

from __future__ import annotations

import sqlite3
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

from ewallet.errors import Malformed, Refused
from ewallet.moments import seconds
from ewallet.verify.sqlite_files import PATIENCE, begin_immediate
from ewallet.wire import decode_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

KEEP: Final = 360
"""Seconds that a guard answers for: the widest window that a scene may have (300 s), and skew."""
AHEAD: Final = 10
"""Seconds that an accepted code may lie in the future: after a start, what lies before may have been seen."""
CAPACITY: Final = 1_000_000
"""Entries of the memory guard; beyond it refuses, since forgetting one would let it count twice."""
SLACK: Final = 600
"""Seconds that a shared guard forgets later, for the difference between its callers' clocks."""
_NEVER: Final = 2**62
_BUCKET: Final = 10


class Kind(StrEnum):
    """What is spent."""

    CODE = "code"
    ENTRY = "entry"
    CHALLENGE = "challenge"


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """One thing that an accepted presentation uses up.

    Attributes:
        kind: code, entry or challenge.
        what: its name, 16 bytes, derived from signed bytes only.
        at: seconds since 1970: the code's or challenge's `iat`, the start of an entry's period.
        gap: for a code, seconds until the next `iat` of its pass may be accepted; 0: once.
        until: for what counts once, the second from which it is refused for its own end anyway.
    """

    kind: Kind
    what: bytes
    at: int
    gap: int
    until: int

    @property
    def after(self) -> int:
        """The earliest `at` that may be accepted after this one."""
        return self.at + self.gap if self.gap else _NEVER


def _name(purpose: bytes, *parts: bytes) -> bytes:
    """A name that no other purpose and no other split into parts can have."""
    told = [b"ewallet-replay-v1 ", purpose]
    for part in parts:
        told += (len(part).to_bytes(4, "big"), part)
    return sha256(b"".join(told)).digest()[:16]


def code_spending(pass_digest: bytes, *, iat: int, min_gap: int) -> Spending:
    """A rotating code: its pass may be shown again with an `iat` of at least `min_gap` seconds later.

    Args:
        pass_digest: digest over the signed bytes of the pass.
        iat: when the code was made, seconds since 1970.
        min_gap: positive; by default of the scenes the width of the window.
    """
    if min_gap < 1:
        raise ValueError("min_gap must be positive: a code never counts twice")
    return Spending(kind=Kind.CODE, what=_name(b"code", pass_digest), at=iat, gap=min_gap, until=0)


def entry_spending(*, pseudonym: bytes, event: str, start: int, end: int) -> Spending:
    """An entry: a pseudonym counts once for its event or scene class within its period.

    Args:
        pseudonym: the authority's HMAC for this person, event and period.
        event: event or scene class that the pseudonym belongs to.
        start: first second of the period, since 1970.
        end: the second from which the period is over.
    """
    name = _name(b"entry", pseudonym, event.encode(), b"%d" % start)
    return Spending(kind=Kind.ENTRY, what=name, at=start, gap=0, until=end)


def challenge_spending(digest: bytes, *, iat: int, exp: int) -> Spending:
    """A challenge, named by the digest of its signed bytes: answered once."""
    return Spending(kind=Kind.CHALLENGE, what=_name(b"challenge", digest), at=iat, gap=0, until=exp)


@runtime_checkable
class ReplayGuard(Protocol):
    """Remembers what was accepted."""

    @property
    def durable(self) -> bool:
        """Whether it survives a restart; scenes limited by entry or day need that."""
        ...

    @property
    def level(self) -> str:
        """`memory`, `file` or `shared`: what a scene's `guard` asks for."""
        ...

    def spend(self, spendings: Sequence[Spending], *, now: datetime) -> None:
        """Spends all of `spendings` or nothing.

        Raises:
            Refused: `code.replayed`, `code.challenge` (answered before), or `replay.unavailable`.
        """
        ...


@runtime_checkable
class GatheringGuard(ReplayGuard, Protocol):
    """A guard that can spend for several presentations in one go: it waits once for its disk or network."""

    def spend_each(self, groups: Sequence[Sequence[Spending]], *, now: datetime) -> Sequence[Refused | None]:
        """Spends each group by itself, all of it or nothing, in their order.

        Returns:
            For each how it was refused, or None: it is spent.
        """
        ...


def spend_each(
    guard: ReplayGuard, groups: Sequence[Sequence[Spending]], *, now: datetime
) -> Sequence[Refused | None]:
    """As `GatheringGuard.spend_each`, for any guard: one after the other if it cannot do better."""
    if isinstance(guard, GatheringGuard):
        return guard.spend_each(groups, now=now)
    return [_spent(guard, group, now) for group in groups]


def _spent(guard: ReplayGuard, group: Sequence[Spending], now: datetime) -> Refused | None:
    try:
        guard.spend(group, now=now)
    except Refused as refused:
        return refused
    return None


def replayed(item: Spending) -> Refused:
    """The refusal of what was spent before."""
    if item.kind is Kind.CHALLENGE:
        return Refused("code.challenge", "this challenge was answered before")
    if item.kind is Kind.ENTRY:
        return Refused("code.replayed", "this entry was used in its period")
    return Refused("code.replayed", "this code, or one too near to it, was accepted before")


def unavailable(why: str) -> Refused:
    """The refusal of a guard that cannot know."""
    return Refused("replay.unavailable", why)


def too_old_to_judge(item: Spending, *, now: int, floor: int, founded: int) -> bool:
    """Whether a guard founded at `founded` that answers from `floor` on could have forgotten the item."""
    if item.kind is Kind.CODE:
        return item.at < floor
    return item.at < founded or item.until <= now


class MemoryGuard:
    """In the memory of one process: bounded, in time buckets, for codes and challenges.

    After a start it refuses what could have been seen before: codes made before `started` + `ahead`.
    It forgets on restart, so it takes no entries.

    Args:
        started: when this process began to answer.
        keep: seconds that it answers for; at least the age that any of its scenes accepts.
        ahead: seconds that codes may lie in the future.
        capacity: most entries held; beyond: `replay.unavailable`.
    """

    durable: Final = False
    level: Final = "memory"

    def __init__(
        self, *, started: datetime, keep: int = KEEP, ahead: int = AHEAD, capacity: int = CAPACITY
    ) -> None:
        self._lock = threading.Lock()
        self._founded = seconds(started)
        self._horizon = self._founded
        self._keep = keep
        self._first = self._founded + ahead + 1
        self._capacity = capacity
        self._size = 0
        self._buckets: dict[int, dict[bytes, int]] = {}

    def __len__(self) -> int:
        return self._size

    def spend(self, spendings: Sequence[Spending], *, now: datetime) -> None:
        """See `ReplayGuard.spend`."""
        moment = seconds(now)
        with self._lock:
            if moment > self._horizon:
                self._horizon = moment
                self._forget()
            floor = max(self._first, self._horizon - self._keep)
            for item in spendings:
                if item.kind is not Kind.CODE:
                    self._check_once(item)
                elif item.at < floor:
                    raise unavailable("it could have been accepted before this guard began to remember")
                what, at = item.what, item.at
                for bucket in self._buckets.values():
                    if bucket.get(what, at) > at:
                        raise replayed(item)
            if self._size + len(spendings) > self._capacity:
                raise unavailable("the guard is full")
            for item in spendings:
                self._note(item)

    def _check_once(self, item: Spending) -> None:
        if item.kind is Kind.ENTRY:
            raise unavailable("a guard in memory cannot answer for entries")
        if too_old_to_judge(item, now=self._horizon, floor=0, founded=self._founded):
            raise unavailable("it could have been answered before this guard began to remember")

    def _note(self, item: Spending) -> None:
        after = item.at + item.gap if item.gap else _NEVER
        number = (after + self._keep if item.gap else item.until) // _BUCKET
        bucket = self._buckets.get(number)
        if bucket is None:
            bucket = self._buckets[number] = {}
        before = len(bucket)
        bucket[item.what] = after
        self._size += len(bucket) - before

    def _forget(self) -> None:
        for number in [n for n in self._buckets if (n + 1) * _BUCKET <= self._horizon]:
            self._size -= len(self._buckets.pop(number))


_FILE_TABLES: Final = """
create table if not exists spent (
    what blob primary key, after integer not null, until integer not null
) without rowid;
create index if not exists spent_until on spent (until);
create table if not exists horizon (one integer primary key check (one = 1), at integer not null);
insert or ignore into horizon values (1, 0);
"""


class FileGuard:
    """In one file, for the processes of one machine; survives a restart and `kill -9`.

    The file is a SQLite database in WAL mode, every acceptance synchronised to the disk before it counts.
    A file that does not exist yet says that nothing was accepted before: deleting it, or restoring an
    older copy, is forgetting, which no guard of one machine can notice.

    Args:
        path: the file; its directory must exist.
        keep: seconds that it answers for.
        timeout: seconds to wait for another process.
    """

    durable: Final = True
    level: Final = "file"

    def __init__(self, path: Path, *, keep: int = KEEP, timeout: float = PATIENCE) -> None:
        self._keep = keep
        self._timeout = timeout
        self._lock = threading.Lock()
        try:
            self._database = sqlite3.connect(
                path, timeout=timeout, isolation_level=None, check_same_thread=False
            )
            self._database.execute("pragma journal_mode=wal")
            self._database.execute("pragma synchronous=full")
            self._database.executescript(_FILE_TABLES)
        except sqlite3.Error as error:
            raise unavailable("the guard's file cannot be opened") from error

    def close(self) -> None:
        """Closes the file; the guard cannot be used afterwards."""
        self._database.close()

    def spend(self, spendings: Sequence[Spending], *, now: datetime) -> None:
        """See `ReplayGuard.spend`."""
        [refused] = self.spend_each([spendings], now=now)
        if refused is not None:
            raise refused

    def spend_each(self, groups: Sequence[Sequence[Spending]], *, now: datetime) -> Sequence[Refused | None]:
        """See `GatheringGuard.spend_each`: one transaction, one wait for the disk."""
        try:
            with self._lock, self._transaction():
                return self._spend_each(groups, seconds(now))
        except sqlite3.Error:
            # Nothing is written, so nothing counts: not even what another of the groups was refused for.
            return [unavailable("the guard's file does not answer") for _ in groups]

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        # "immediate" takes the write lock before reading: two processes cannot both read "not seen".
        begin_immediate(self._database, self._timeout)
        try:
            yield
            self._database.execute("commit")
        finally:
            if self._database.in_transaction:  # also where the commit found no room on the disk
                self._database.execute("rollback")

    def _spend_each(self, groups: Sequence[Sequence[Spending]], moment: int) -> list[Refused | None]:
        database = self._database
        (known,) = database.execute("select at from horizon").fetchone()
        horizon = max(known, moment)
        found = [self._spend(group, horizon) for group in groups]
        if horizon >= known + _BUCKET:
            database.execute("update horizon set at = ?", (horizon,))
            database.execute("delete from spent where until <= ?", (horizon,))
        return found

    def _spend(self, spendings: Sequence[Spending], horizon: int) -> Refused | None:
        database, rows = self._database, []
        for item in spendings:
            if too_old_to_judge(item, now=horizon, floor=horizon - self._keep, founded=0):
                return unavailable("it is older than what this guard remembers: is the clock right?")
            row = database.execute("select after from spent where what = ?", (item.what,)).fetchone()
            if row is not None and item.at < row[0]:
                return replayed(item)
            rows.append((item.what, item.after, item.after + self._keep if item.gap else item.until))
        database.executemany("insert or replace into spent values (?, ?, ?)", rows)
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """One line of a gate's log: what an accepted presentation spent there.

    Attributes:
        spending: what was spent.
        gate: name of the gate.
        accepted_at: the gate's time, seconds since 1970.
    """

    spending: Spending
    gate: str
    accepted_at: int


def double_entries(logs: Iterable[Iterable[Acceptance]]) -> list[tuple[Acceptance, Acceptance]]:
    """What two guards accepted that one guard would not have, after a cut between them.

    Args:
        logs: the logs of the gates, in any order.

    Returns:
        Pairs (earlier, later) by `at`, where the later one breaks the rule of this module.
    """
    by_name: dict[bytes, list[Acceptance]] = {}
    for log in logs:
        for line in log:
            by_name.setdefault(line.spending.what, []).append(line)
    doubles = []
    for lines in by_name.values():
        lines.sort(key=lambda line: (line.spending.at, line.accepted_at, line.gate))
        counted = lines[0]
        for line in lines[1:]:
            if line.spending.at < counted.spending.after:
                doubles.append((counted, line))
            else:
                counted = line
    return doubles


def read_log(lines: Iterable[str]) -> list[Acceptance]:
    """What a gate accepted, from the lines that `ewallet gate` printed; other lines are passed over.

    Raises:
        Malformed: a line that no gate printed.
    """
    found = []
    for text in lines:
        if not text.strip():
            continue
        line = decode_json(text)
        if not isinstance(line, dict):
            raise Malformed("not a line of a gate's log")
        if line.get("outcome") == "ACCEPTED":
            found += _accepted(line)
    return found


def _accepted(line: dict[str, Any]) -> list[Acceptance]:
    try:
        at = seconds(datetime.fromisoformat(line["at"]))
        return [
            Acceptance(
                spending=Spending(
                    kind=Kind(each["kind"]),
                    what=bytes.fromhex(each["what"]),
                    at=int(each["at"]),
                    gap=int(each["gap"]),
                    until=0,
                ),
                gate=str(line["gate"]),
                accepted_at=at,
            )
            for each in line["spent"]
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise Malformed("not a line of a gate's log") from error
