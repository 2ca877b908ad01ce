"""The rating service: one rating for each receipt, totals that show nobody, and cases that must be answered.

It runs apart from the counters. A counter tells it the digest of a token, never the record; a holder gives it
the token, never a name. So the service cannot tell whose rating it is, and the counter cannot tell which one.
This is a separation of duties, not cryptography: a counter and a service that put their clocks and logs
together could. Blind signatures (RFC 9474) would end that; no library that this project depends on offers
them.

A counter sees totals only when at least `k` new ratings have come since the last ones, so that the difference
of two totals shows nobody either. A bad rating opens a case, which carries the day and what the rater wrote.
"""

from __future__ import annotations

import sqlite3
import threading
from dataclasses import dataclass
from datetime import date, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from ewallet.errors import Conflict, EwalletError, NotFound
from ewallet.moments import day_of

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path
    from typing import Self

LEAST: Final = 20
"""Default of `k`: fewer new ratings are not shown to the rated counter."""

ANSWER_DAYS: Final = 15
"""Days within which a case must be answered; a deployment's to set."""

MAX_TEXT: Final = 1000

_TABLES: Final = """
create table if not exists token (digest blob primary key, venue text not null, used integer not null);
create table if not exists total (
    venue text primary key, good integer not null, bad integer not null,
    new_good integer not null, new_bad integer not null
);
create table if not exists correction (
    number integer primary key, digest blob not null, venue text not null, opened text not null,
    text text not null, officer text, answer text, answered text
);
"""


class RatingError(EwalletError):
    """The ratings cannot be written or read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Ratings of a venue, in batches of at least `k`."""

    venue: str
    good: int
    bad: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """A case that a bad rating opened.

    Attributes:
        number: its number.
        venue: who has to answer.
        opened: the day; not the hour, which would tell who was there.
        text: what the rater wrote.
        answer: what was answered; empty: not yet.
        officer: who answered.
        answered: the day of the answer.
    """

    number: int
    venue: str
    opened: date
    text: str
    answer: str = ""
    officer: str = ""
    answered: date | None = None


class RatingService:
    """Ratings in one SQLite file.

    Args:
        path: the file.
        k: least number of new ratings before a counter sees totals; at least 2.

    Raises:
        RatingError: it cannot be opened.
    """

    def __init__(self, path: Path, *, k: int = LEAST) -> None:
        if k < 2:
            raise ValueError("totals of one rating are that rating")
        self._k = k
        self._lock = threading.Lock()
        try:
            self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._database.executescript(_TABLES)
        except sqlite3.Error as error:
            raise RatingError("the ratings cannot be opened") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file."""
        self._database.close()

    def register(self, digest: bytes, *, venue: str) -> None:
        """Takes the digest of a token from the counter that gave the receipt; knows nothing else of it.

        Raises:
            Conflict: the digest stands here already.
        """
        with self._lock:
            try:
                self._database.execute("insert into token values (?, ?, 0)", (digest, venue))
            except sqlite3.IntegrityError as error:
                raise Conflict("this token was registered before") from error

    def rate(self, token: bytes, *, good: bool, text: str = "", now: datetime) -> int | None:
        """Takes one rating for a token.

        Args:
            token: the token of a receipt.
            good: good or bad.
            text: what the rater wants to say, with a bad rating.
            now: the time; only its day is kept.

        Returns:
            Number of the case that a bad rating opens; None for a good one.

        Raises:
            NotFound: no such token.
            Conflict: it was used before.
            ValueError: the text is too long.
        """
        if len(text) > MAX_TEXT:
            raise ValueError(f"at most {MAX_TEXT} characters")
        digest = token_digest(token)
        with self._lock, self._database:
            self._database.execute("begin immediate")
            row = self._database.execute(
                "select venue, used from token where digest = ?", (digest,)
            ).fetchone()
            if row is None:
                raise NotFound("no such token")
            venue, used = row
            if used:
                raise Conflict("this token was used before")
            self._database.execute("update token set used = 1 where digest = ?", (digest,))
            self._count(venue, good=good)
            if good:
                return None
            opened = self._database.execute(
                "insert into correction (digest, venue, opened, text) values (?, ?, ?, ?)",
                (digest, venue, day_of(now).isoformat(), text),
            )
            return opened.lastrowid

    def _count(self, venue: str, *, good: bool) -> None:
        column = "new_good" if good else "new_bad"
        self._database.execute("insert or ignore into total values (?, 0, 0, 0, 0)", (venue,))
        self._database.execute(f"update total set {column} = {column} + 1 where venue = ?", (venue,))  # noqa: S608 (one of two names above)
        self._database.execute(
            "update total set good = good + new_good, bad = bad + new_bad, new_good = 0, new_bad = 0 "
            "where venue = ? and new_good + new_bad >= ?",
            (venue, self._k),
        )

    def totals(self, venue: str) -> Totals | None:
        """What the rated counter sees; None while fewer than `k` have rated."""
        row = self._database.execute("select good, bad from total where venue = ?", (venue,)).fetchone()
        if row is None or row[0] + row[1] < self._k:
            return None
        return Totals(venue=venue, good=row[0], bad=row[1])

    # --- corrections ----------------------------------------------------------------------------------------

    def cases(self, venue: str) -> tuple[Correction, ...]:
        """The cases of a venue, oldest first."""
        rows = self._database.execute(
            f"select {_CASE} from correction where venue = ? order by number",  # noqa: S608 (our own columns)
            (venue,),
        )
        return tuple(_case(row) for row in rows.fetchall())

    def answer(self, number: int, text: str, *, officer: str, now: datetime) -> Correction:
        """Answers a case, once.

        Raises:
            NotFound: no such case.
            Conflict: it was answered.
            ValueError: no answer, or nobody who gives it.
        """
        if not 0 < len(text.strip()) <= MAX_TEXT or not officer.strip():
            raise ValueError("a case is answered in words, by somebody")
        with self._lock:
            self._find("number = ?", number)
            done = self._database.execute(
                "update correction set answer = ?, officer = ?, answered = ? "
                "where number = ? and answer is null",
                (text, officer, day_of(now).isoformat(), number),
            )
        if not done.rowcount:
            raise Conflict("this case was answered")
        return self._find("number = ?", number)

    def answer_to(self, token: bytes) -> Correction:
        """The rater's own case, by the token that only the rater has.

        Raises:
            NotFound: the token opened no case.
        """
        return self._find("digest = ?", token_digest(token))

    def overdue(self, now: datetime) -> tuple[Correction, ...]:
        """Cases that nobody has answered in time."""
        last = (day_of(now) - timedelta(days=ANSWER_DAYS)).isoformat()
        rows = self._database.execute(
            f"select {_CASE} from correction where answer is null and opened < ? order by number",  # noqa: S608
            (last,),
        )
        return tuple(_case(row) for row in rows.fetchall())

    def _find(self, where: str, value: object) -> Correction:
        row = self._database.execute(f"select {_CASE} from correction where {where}", (value,)).fetchone()  # noqa: S608
        if row is None:
            raise NotFound("no such case")
        return _case(row)


_CASE: Final = "number, venue, opened, text, answer, officer, answered"


def _case(row: tuple[int, str, str, str, str | None, str | None, str | None]) -> Correction:
    number, venue, opened, text, answer, officer, answered = row
    return Correction(
        number=number,
        venue=venue,
        opened=date.fromisoformat(opened),
        text=text,
        answer=answer or "",
        officer=officer or "",
        answered=date.fromisoformat(answered) if answered else None,
    )


def token_digest(token: bytes) -> bytes:
    """What a counter registers of a token: its SHA-256 with a context of its own."""
    return sha256(b"ewallet-rating-v1" + token).digest()
