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

from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    create_engine,
    event,
    false,
    insert,
    inspect,
    make_url,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, IntegrityError, NoSuchModuleError, SQLAlchemyError

from ewallet.databases import PATIENCE, limit_waiting
from ewallet.errors import ConfigError, Conflict, EwalletError, MissingExtra, NotFound
from ewallet.moments import day_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path
    from typing import Self

    from sqlalchemy import ColumnElement, Connection, Engine, Select

LEAST: Final = 20
"""Default of `k`: fewer new ratings are not shown to the rated counter."""

ANSWER_DAYS: Final = 15
"""Days within which a case must be answered; a deployment's to set."""

MAX_TEXT: Final = 1000

_METADATA: Final = MetaData()
_NUMBER: Final = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts `integer primary key` only

_TOKEN: Final = Table(
    "rating_token",
    _METADATA,
    Column("digest", LargeBinary, primary_key=True),
    Column("venue", Text, nullable=False),
    Column("used", Boolean, nullable=False),
)
_TOTAL: Final = Table(
    "rating_total",
    _METADATA,
    Column("venue", Text, primary_key=True),
    Column("good", BigInteger, nullable=False),
    Column("bad", BigInteger, nullable=False),
    Column("new_good", BigInteger, nullable=False),
    Column("new_bad", BigInteger, nullable=False),
)
_CORRECTION: Final = Table(
    "rating_correction",
    _METADATA,
    Column("number", _NUMBER, primary_key=True),
    Column("digest", LargeBinary, nullable=False, index=True),
    Column("venue", Text, nullable=False, index=True),
    Column("opened", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("officer", Text),
    Column("answer", Text),
    Column("answered", Text),
)
_LOCK: Final = 0x65775F72617465  # "ew_rate": who makes the tables


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
    """Ratings in an SQL database: a SQLite file for one machine, PostgreSQL for several processes.

    Args:
        place: a file, or the URL of a database (`sqlite:///...`, `postgresql://...`).
        k: least number of new ratings before a counter sees totals; at least 2.

    Raises:
        RatingError: it cannot be opened.
        ConfigError: not the URL of a database.
        MissingExtra: its driver is not installed.
    """

    def __init__(self, place: str | Path, *, k: int = LEAST) -> None:
        if k < 2:
            raise ValueError("totals of one rating are that rating")
        self._k = k
        self._engine = _engine(str(place))
        self._writing = self._engine.execution_options(ewallet_writes=True)
        with self._write() as connection:
            _make_tables(connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections."""
        self._engine.dispose()

    def register(self, digest: bytes, *, venue: str) -> None:
        """Takes the digest of a token from the counter that gave the receipt; knows nothing else of it.

        Raises:
            Conflict: the digest stands here already.
            RatingError: the database does not answer.
            ValueError: no venue.
        """
        _check_words(venue)
        with self._write() as connection:
            try:
                connection.execute(insert(_TOKEN).values(digest=digest, venue=venue, used=False))
            except IntegrityError as error:
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
            RatingError: the database does not answer: whether the rating counts is not known.
            ValueError: the text is too long.
        """
        if len(text) > MAX_TEXT:
            raise ValueError(f"at most {MAX_TEXT} characters")
        _check_words(text)
        digest = token_digest(token)
        with self._write() as connection:
            # This update decides: of two at one time, one finds the row unused, the other waits and then not.
            spend = (
                update(_TOKEN).where(_TOKEN.c.digest == digest, _TOKEN.c.used == false()).values(used=True)
            )
            if connection.execute(spend).rowcount != 1:
                known = connection.execute(select(_TOKEN.c.venue).where(_TOKEN.c.digest == digest)).first()
                raise NotFound("no such token") if known is None else Conflict("this token was used before")
            venue = connection.execute(select(_TOKEN.c.venue).where(_TOKEN.c.digest == digest)).scalar_one()
            self._count(connection, venue, good=good)
            if good:
                return None
            opened = insert(_CORRECTION).values(
                digest=digest, venue=venue, opened=day_of(now).isoformat(), text=text
            )
            return int(connection.execute(opened.returning(_CORRECTION.c.number)).scalar_one())

    def _count(self, connection: Connection, venue: str, *, good: bool) -> None:
        dialect = postgresql if self._engine.dialect.name == "postgresql" else sqlite
        total = _TOTAL.c
        column = total.new_good if good else total.new_bad
        first: Any = dialect.insert(_TOTAL).values(
            venue=venue, good=0, bad=0, new_good=int(good), new_bad=int(not good)
        )
        connection.execute(
            first.on_conflict_do_update(index_elements=[total.venue], set_={column.name: column + 1})
        )
        connection.execute(
            update(_TOTAL)
            .where(total.venue == venue, total.new_good + total.new_bad >= self._k)
            .values(good=total.good + total.new_good, bad=total.bad + total.new_bad, new_good=0, new_bad=0)
        )

    def totals(self, venue: str) -> Totals | None:
        """What the rated counter sees; None while fewer than `k` have rated.

        Raises:
            RatingError: the database does not answer.
        """
        _check_words(venue)
        [row] = self._read(select(_TOTAL.c.good, _TOTAL.c.bad).where(_TOTAL.c.venue == venue)) or [(0, 0)]
        if row[0] + row[1] < self._k:
            return None
        return Totals(venue=venue, good=row[0], bad=row[1])

    # --- corrections ----------------------------------------------------------------------------------------

    def cases(self, venue: str) -> tuple[Correction, ...]:
        """The cases of a venue, oldest first.

        Raises:
            RatingError: the database does not answer.
        """
        _check_words(venue)
        return self._cases(_CORRECTION.c.venue == venue)

    def answer(self, number: int, text: str, *, officer: str, now: datetime) -> Correction:
        """Answers a case, once.

        Raises:
            NotFound: no such case.
            Conflict: it was answered.
            RatingError: the database does not answer.
            ValueError: no answer, or nobody who gives it.
        """
        if not 0 < len(text.strip()) <= MAX_TEXT or not officer.strip():
            raise ValueError("a case is answered in words, by somebody")
        _check_words(text, officer)
        if not 0 < number < 1 << 63:
            raise NotFound("no such case")
        case = _CORRECTION.c
        self._find(case.number == number)
        with self._write() as connection:
            done = connection.execute(
                update(_CORRECTION)
                .where(case.number == number, case.answer.is_(None))
                .values(answer=text, officer=officer, answered=day_of(now).isoformat())
            )
            if not done.rowcount:
                raise Conflict("this case was answered")
        return self._find(case.number == number)

    def answer_to(self, token: bytes) -> Correction:
        """The rater's own case, by the token that only the rater has.

        Raises:
            NotFound: the token opened no case.
            RatingError: the database does not answer.
        """
        return self._find(_CORRECTION.c.digest == token_digest(token))

    def overdue(self, now: datetime) -> tuple[Correction, ...]:
        """Cases that nobody has answered in time.

        Raises:
            RatingError: the database does not answer.
        """
        last = (day_of(now) - timedelta(days=ANSWER_DAYS)).isoformat()
        return self._cases(_CORRECTION.c.answer.is_(None), _CORRECTION.c.opened < last)

    def _find(self, where: ColumnElement[bool]) -> Correction:
        found = self._cases(where)
        if not found:
            raise NotFound("no such case")
        return found[0]

    def _cases(self, *where: ColumnElement[bool]) -> tuple[Correction, ...]:
        wanted = select(*(_CORRECTION.c[name] for name in _CASE)).where(*where).order_by(_CORRECTION.c.number)
        return tuple(_case(row) for row in self._read(wanted))

    # --- the database ---------------------------------------------------------------------------------------

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        """A transaction: all of it, or nothing."""
        try:
            with self._writing.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise RatingError("the database of the ratings does not answer") from error

    def _read(self, wanted: Select[Any]) -> list[Any]:
        try:
            with self._engine.connect() as connection:
                return list(connection.execute(wanted).all())
        except SQLAlchemyError as error:
            raise RatingError("the database of the ratings does not answer") from error


def _check_words(*given: str) -> None:
    if any("\0" in each for each in given):
        raise ValueError("a text without zero characters")


def _engine(place: str) -> Engine:
    try:
        url = make_url(place if "://" in place else f"sqlite:///{place}")
        if url.get_backend_name() == "sqlite":
            engine = create_engine(url)
            _prepare_sqlite(engine)
            return engine
        if url.get_backend_name() not in ("postgresql", "postgres"):
            raise ConfigError("a file, or the URL of a PostgreSQL database", file="--ratings")
        engine = create_engine(
            url.set(drivername="postgresql+psycopg"),
            pool_pre_ping=True,
            pool_timeout=PATIENCE,
            connect_args={"connect_timeout": 2},
        )
    except (ArgumentError, NoSuchModuleError) as error:
        raise ConfigError("not the URL of a database", file="--ratings") from error
    except ModuleNotFoundError as missing:
        raise MissingExtra("postgres", "ratings in PostgreSQL") from missing
    limit_waiting(engine)
    return engine


def _prepare_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def connected(dbapi: Any, _: object) -> None:
        dbapi.isolation_level = None  # the driver's own transactions begin late: we begin them, below
        dbapi.execute(f"PRAGMA busy_timeout={int(PATIENCE * 1000)}")

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        writes = connection.get_execution_options().get("ewallet_writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _make_tables(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    else:
        there = set(inspect(connection).get_table_names())
        for old in ("token", "total", "correction"):  # names in files of before there was PostgreSQL
            if old in there and f"rating_{old}" not in there:
                connection.execute(text(f"alter table {old} rename to rating_{old}"))
    _METADATA.create_all(connection)


_CASE: Final = ("number", "venue", "opened", "text", "answer", "officer", "answered")


def _case(row: tuple[int, str, str, str, str | None, str | None, str | None]) -> Correction:
    number, venue, opened, words, answer, officer, answered = row
    return Correction(
        number=number,
        venue=venue,
        opened=date.fromisoformat(opened),
        text=words,
        answer=answer or "",
        officer=officer or "",
        answered=date.fromisoformat(answered) if answered else None,
    )


def token_digest(token: bytes) -> bytes:
    """What a counter registers of a token: its SHA-256 with a context of its own."""
    return sha256(b"ewallet-rating-v1" + token).digest()
