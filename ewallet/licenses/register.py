"""Register: every license, version, event, copy, device and status entry; all of a transaction or none.

SQLite (write-ahead log) serves one machine, PostgreSQL more than one; domestic databases that speak
PostgreSQL's protocol work through the same URL. This module knows tables and transactions; what may happen to
a license is decided in `ewallet.licenses.issuer`.
"""

from __future__ import annotations

import json
import os
from base64 import b64decode, b64encode
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Self

from sqlalchemy import bindparam, create_engine, event, insert, inspect, select, update
from sqlalchemy.engine import make_url
from sqlalchemy.exc import (
    ArgumentError,
    IntegrityError,
    InterfaceError,
    NoSuchModuleError,
    OperationalError,
    SQLAlchemyError,
)
from sqlalchemy.exc import TimeoutError as NoConnection

from ewallet.databases import limit_waiting
from ewallet.errors import Conflict, MissingExtra, NotFound, RegisterError
from ewallet.formats.statuslist import StatusReference
from ewallet.licenses import status, tables
from ewallet.licenses.license import Holder, License
from ewallet.licenses.lifecycle import Case, Event, EventKind, State
from ewallet.licenses.printed import CopyState, PrintedCopy
from ewallet.licenses.seal import Role
from ewallet.moments import day_end, seconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from sqlalchemy import URL, Connection, Engine, Table
    from sqlalchemy.sql.elements import ColumnElement

    from ewallet.keys import Signer

_BUSY: Final = 60.0
"""Seconds that a writer waits for another one on SQLite: a bulk job commits a thousand licenses at a time."""

_OUT_OF_REACH: Final = (OperationalError, InterfaceError, NoConnection)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A license as it stands now.

    Attributes:
        id: number in the register.
        type_code: its type.
        number: license number.
        serial: serial of its identifiers.
        holder: the holders' kinds and codes, as one key.
        state: state now.
        version: newest version.
        revision: grows with every event.
        authority: URI of the issuing authority.
    """

    id: int
    type_code: str
    number: str
    serial: str
    holder: str
    state: State
    version: int
    revision: int
    authority: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A device that a holder has bound.

    Attributes:
        id: number in the register.
        holder_index: which holder.
        thumbprint: of the device key (RFC 9679).
        version: license version that its credentials are of.
        bound_at: seconds since 1970.
        expires_at: end of its credentials.
        ended_at: when the binding ended; None while it lives.
        ended_because: why.
    """

    id: int
    holder_index: int
    thumbprint: bytes
    version: int
    bound_at: int
    expires_at: int
    ended_at: int | None
    ended_because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reserved:
    """Numbers set aside for a batch: gaps are harmless, doubles impossible.

    Attributes:
        first_id: first of as many row numbers as were asked for.
        slots: shard number and reference of each status entry.
    """

    first_id: int
    slots: tuple[tuple[int, StatusReference], ...]


class Register:
    """The register of one deployment. Thread-safe; open one for each process."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._writing = engine.execution_options(ewallet_writes=True)
        self._shards: dict[int, status.Shard] = {}
        self.shard_size = status.SHARD_SIZE

    @classmethod
    def open(cls, url: str | Path, *, migrate: bool = False, patience: float | None = None) -> Register:
        """Opens a register; an empty database gets its tables.

        Args:
            url: path of a SQLite file, or a URL (`sqlite:///...`, `postgresql://...`).
            migrate: bring the tables of an older version up to date first (after a backup).
            patience: seconds that a statement may wait for a PostgreSQL server; None: for ever.

        Raises:
            RegisterError: not reachable, or its tables are of another version.
            MissingExtra: the driver is not installed.
        """
        text = str(url)
        if "://" not in text:
            text = f"sqlite:///{text}"
        try:
            parsed = make_url(text)
            if parsed.drivername in ("postgresql", "postgres"):
                parsed = parsed.set(drivername="postgresql+psycopg")
            engine = _engine(parsed, patience)
        except (ArgumentError, NoSuchModuleError) as error:
            raise RegisterError("not the URL of a register") from error
        except ModuleNotFoundError as error:
            raise MissingExtra("postgres", "a register on PostgreSQL") from error
        if parsed.get_backend_name() == "sqlite":
            _prepare_sqlite(engine)
        register = cls(engine)
        try:
            register._ready(migrate=migrate)
        except SQLAlchemyError as error:
            raise RegisterError("the register cannot be opened") from error
        return register

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes all connections."""
        self._engine.dispose()

    def _ready(self, *, migrate: bool) -> None:
        with self._engine.connect() as connection:
            found = inspect(connection).has_table("alembic_version")
            head = (
                connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
                if found
                else None
            )
        if head == tables.HEAD:
            return
        if head is not None and head > tables.HEAD:
            raise RegisterError(f"the tables are of version {head}: a newer ewallet made them")
        if head is not None and not migrate:
            raise RegisterError(f"the tables are of version {head}: migrate to {tables.HEAD}")
        with self.writing() as connection:
            _migrate(connection)
            if head is None:
                connection.execute(
                    insert(tables.setting), [{"name": "nonce-secret", "value": os.urandom(32)}]
                )
                connection.execute(
                    insert(tables.counter), [{"name": name, "value": 0} for name in ("row", "event", "shard")]
                )

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that writes: all of it is committed, or nothing.

        Raises:
            Conflict: a rule that the database keeps would be broken.
            RegisterError: the database failed.
        """
        try:
            with self._writing.begin() as connection:
                yield connection
        except IntegrityError as error:
            raise Conflict(_meaning(error)) from error
        except _OUT_OF_REACH as error:
            raise RegisterError("the register is busy or out of reach") from error

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that reads one consistent state."""
        try:
            with self._engine.connect() as connection:
                yield connection
        except _OUT_OF_REACH as error:
            raise RegisterError("the register is busy or out of reach") from error

    def secret(self) -> bytes:
        """The register's own secret, with which nonces are made."""
        with self.reading() as connection:
            found = connection.execute(
                select(tables.setting.c.value).where(tables.setting.c.name == "nonce-secret")
            ).scalar_one()
        return bytes(found)

    # --- Numbers and status entries ------------------------------------------------------------------------

    def reserve(
        self, *, rows: int, slots: int, authority: str, type_code: str, base: str, now: datetime
    ) -> Reserved:
        """Sets aside row numbers and status entries, in a transaction of its own.

        Signing happens outside of transactions, and a credential names its status entry: so entries are
        numbered first. What a crash leaves unused is never used again.

        Args:
            rows: row numbers.
            slots: status entries.
            authority: URI of the issuing authority.
            type_code: type of the licenses.
            base: address below which the authority's lists live.
            now: decides the quarter.
        """
        quarter = status.quarter_of(now)
        with self.writing() as connection:
            # Taken even for no rows: the counter's lock lets one writer at a time look for the last shard, so
            # that two never begin the same one.
            first = number(connection, "row", max(rows, 1))
            taken = tuple(
                self._take(
                    connection, slots, authority=authority, type_code=type_code, quarter=quarter, base=base
                )
            )
        return Reserved(first_id=first, slots=taken)

    def _take(
        self, connection: Connection, count: int, *, authority: str, type_code: str, quarter: str, base: str
    ) -> Iterator[tuple[int, StatusReference]]:
        table = tables.shard.c
        while count:
            row = connection.execute(
                select(tables.shard)
                .where(table.authority == authority, table.type_code == type_code, table.quarter == quarter)
                .order_by(table.number.desc())
                .limit(1)
                .with_for_update()
            ).one_or_none()
            if row is None or row.used >= row.size:
                self._add_shard(
                    connection,
                    authority=authority,
                    type_code=type_code,
                    quarter=quarter,
                    base=base,
                    place=0 if row is None else row.number + 1,
                )
                continue
            shard = status.Shard(id=row.id, uri=row.uri, size=row.size, seed=bytes(row.seed))
            taken = min(count, row.size - row.used)
            connection.execute(update(tables.shard).where(table.id == row.id).values(used=row.used + taken))
            for position in range(row.used, row.used + taken):
                yield shard.id, StatusReference(idx=shard.index(position), uri=shard.uri)
            count -= taken

    def _add_shard(
        self, connection: Connection, *, authority: str, type_code: str, quarter: str, base: str, place: int
    ) -> None:
        shard_id = number(connection, "shard", 1)
        connection.execute(
            insert(tables.shard).values(
                id=shard_id,
                authority=authority,
                type_code=type_code,
                quarter=quarter,
                number=place,
                uri=f"{base.rstrip('/')}/{quarter[2:]}{shard_id:03x}",
                size=self.shard_size,
                seed=os.urandom(16),
                used=0,
                revision=1,
                published_revision=0,
                published_at=0,
            )
        )

    def reference(self, connection: Connection, shard_id: int, idx: int) -> StatusReference:
        """The reference of a status entry."""
        shard = self._shards.get(shard_id)
        if shard is None:
            row = connection.execute(select(tables.shard).where(tables.shard.c.id == shard_id)).one()
            shard = status.Shard(id=row.id, uri=row.uri, size=row.size, seed=bytes(row.seed))
            self._shards[shard_id] = shard
        return StatusReference(idx=idx, uri=shard.uri)

    def publish_status(
        self,
        directory: Path,
        signer: Signer,
        *,
        now: datetime,
        life: timedelta = status.LIFE,
        ttl: int = status.TTL,
        everything: bool = False,
    ) -> tuple[Path, ...]:
        """Signs the lists that changed or whose time is half over, and puts them into a directory.

        Only those: one change re-signs one list, whatever the size of the register.

        Args:
            directory: root of what is served; a list lies at host and path of its address.
            signer: key of the service *status lists*.
            now: time of signing.
            life: until a list's `exp`.
            ttl: seconds that a verifier may keep one.
            everything: sign all lists.

        Returns:
            The files written.
        """
        table = tables.shard.c
        with self.reading() as connection:
            rows = connection.execute(
                select(
                    table.id,
                    table.uri,
                    table.size,
                    table.revision,
                    table.published_revision,
                    table.published_at,
                )
            ).all()
        files: list[Path] = []
        for row in rows:
            if not everything and not status.due(
                revision=row.revision,
                published_revision=row.published_revision,
                published_at=row.published_at,
                now=now,
                life=life,
                ttl=ttl,
            ):
                continue
            with self.reading() as connection:
                revision = connection.execute(select(table.revision).where(table.id == row.id)).scalar_one()
                changed = connection.execute(
                    select(tables.slot.c.idx, tables.slot.c.value).where(
                        tables.slot.c.shard == row.id, tables.slot.c.value != 0
                    )
                ).all()
            pairs = ((idx, value) for idx, value in changed)
            files += status.write_list(
                directory, row.uri, pairs, size=row.size, signer=signer, now=now, life=life, ttl=ttl
            )
            # Written down after the files are in place: a crash between the two signs once more.
            with self.writing() as connection:
                connection.execute(
                    update(tables.shard)
                    .where(table.id == row.id, table.published_revision <= revision)
                    .values(published_revision=revision, published_at=seconds(now))
                )
        return tuple(files)

    # --- Reading -------------------------------------------------------------------------------------------

    def entry(self, identifier: str) -> Entry:
        """The license that an identifier (of any of its versions) belongs to.

        Raises:
            NotFound: none.
        """
        with self.reading() as connection:
            return entry_of(connection, identifier)

    def license(self, identifier: str) -> License:
        """The version that an identifier names.

        Raises:
            NotFound: none.
        """
        with self.reading() as connection:
            row = connection.execute(_VERSIONS.where(tables.version.c.identifier == identifier)).one_or_none()
            if row is None:
                raise NotFound("the register has no such license")
            return self._license(connection, row)

    def current(self, identifier: str) -> License:
        """The newest version of the license that an identifier (of any version) belongs to.

        Raises:
            NotFound: none.
        """
        with self.reading() as connection:
            return self.newest(connection, entry_of(connection, identifier))

    def newest(self, connection: Connection, entry: Entry) -> License:
        """The newest version of a license, inside a transaction."""
        row = connection.execute(_NEWEST, {"of": entry.id, "newest": entry.version}).one()
        return self._license(connection, row)

    def newest_of(
        self, connection: Connection, identifiers: Sequence[str]
    ) -> dict[str, tuple[Entry, License]]:
        """License and newest version for each of many identifiers that the register has."""
        found = {}
        for start in range(0, len(identifiers), _AT_ONCE):
            wanted = list(identifiers[start : start + _AT_ONCE])
            for row in connection.execute(_NEWEST_OF, {"wanted": wanted}):
                found[row.named] = (_entry(row), self._license(connection, row))
        return found

    def find(
        self, *, type_code: str = "", number: str = "", holder: str = "", living: bool = True
    ) -> list[License]:
        """Newest versions of the licenses with a number or of a holder.

        Args:
            type_code: of this type only.
            number: license number.
            holder: code of a holder.
            living: leave out those that ended.
        """
        table = tables.license_.c
        wanted: list[ColumnElement[bool]] = []
        if type_code:
            wanted.append(table.type_code == type_code)
        if number:
            wanted.append(table.number == number)
        if holder:
            wanted.append(table.holder.contains(holder, autoescape=True))
        if living:
            wanted.append(table.state.in_((State.VALID.value, State.SUSPENDED.value)))
        if not (number or holder):
            raise ValueError("a number or a holder is needed")
        with self.reading() as connection:
            rows = connection.execute(
                _VERSIONS.where(tables.version.c.version == table.version, *wanted).order_by(table.id)
            ).all()
            return [self._license(connection, row) for row in rows]

    def versions(self, identifier: str) -> tuple[License, ...]:
        """All versions of a license, the first one first.

        Raises:
            NotFound: no such license.
        """
        with self.reading() as connection:
            entry = entry_of(connection, identifier)
            rows = connection.execute(
                _VERSIONS.where(tables.version.c.license_id == entry.id).order_by(tables.version.c.version)
            ).all()
            return tuple(self._license(connection, row) for row in rows)

    def record(self, identifier: str) -> dict[str, str]:
        """The whole record of a version, with what does not stand on the face.

        Raises:
            NotFound: none.
        """
        with self.reading() as connection:
            found = connection.execute(
                select(tables.version.c.face, tables.version.c.rest).where(
                    tables.version.c.identifier == identifier
                )
            ).one_or_none()
        if found is None:
            raise NotFound("the register has no such license")
        record: dict[str, str] = json.loads(found.face) | json.loads(found.rest)
        return record

    def history(self, identifier: str) -> tuple[Event, ...]:
        """Every event of a license, the first one first.

        Raises:
            NotFound: no such license.
        """
        with self.reading() as connection:
            entry = entry_of(connection, identifier)
            rows = connection.execute(
                select(tables.event).where(tables.event.c.license_id == entry.id).order_by(tables.event.c.id)
            ).all()
        return tuple(_event(row) for row in rows)

    def in_force(self, identifier: str, day: date) -> License | None:
        """The version that was in force at the end of a day; None: none was.

        In force means: issued by then, not suspended or ended by then, and the day lies in its validity.

        Raises:
            NotFound: no such license.
        """
        before = seconds(day_end(day))
        state, version = None, 0
        for item in self.history(identifier):
            if item.at < before:
                state, version = item.state, item.version
        if state is not State.VALID:
            return None
        found = self.versions(identifier)[version - 1]
        if found.valid_from > day or (found.valid_until is not None and found.valid_until < day):
            return None
        return found

    def copies(self, identifier: str) -> tuple[PrintedCopy, ...]:
        """The printed copies of a license, all versions, in the order of their orders.

        Raises:
            NotFound: no such license.
        """
        with self.reading() as connection:
            entry = entry_of(connection, identifier)
            return tuple(found for _, found in self.copies_of(connection, entry))

    def copies_of(self, connection: Connection, entry: Entry) -> list[tuple[int, PrintedCopy]]:
        """Row number and copy, inside a transaction."""
        rows = connection.execute(
            select(tables.copy, tables.version.c.identifier)
            .join(
                tables.version,
                (tables.version.c.license_id == tables.copy.c.license_id)
                & (tables.version.c.version == tables.copy.c.version),
            )
            .where(tables.copy.c.license_id == entry.id)
            .order_by(tables.copy.c.id)
        ).all()
        return [
            (
                row.id,
                PrintedCopy(
                    identifier=row.identifier,
                    version=row.version,
                    role=Role(row.role),
                    number=row.number,
                    of=row._mapping[tables.copy.c.of],  # noqa: SLF001 - the documented access by column
                    stock=row.stock or "",
                    state=CopyState(row.state),
                    seal=row.seal,
                    status=self.reference(connection, row.shard, row.idx),
                    printed_at=row.printed_at,
                    printer=row.printer,
                ),
            )
            for row in rows
        ]

    def devices(self, identifier: str) -> tuple[Device, ...]:
        """The devices that were ever bound to a license.

        Raises:
            NotFound: no such license.
        """
        with self.reading() as connection:
            entry = entry_of(connection, identifier)
            return devices_of(connection, entry.id)

    def bound_to(self, thumbprint: bytes, *, type_code: str) -> list[tuple[Entry, License, Device]]:
        """Licenses of a type that a device key is bound to, in their newest versions, ended or not.

        A binding that was ended is none; one whose credentials are past their time is: the caller decides.

        Args:
            thumbprint: of the device key (RFC 9679).
            type_code: type of the licenses.
        """
        device, table = tables.device.c, tables.license_.c
        with self.reading() as connection:
            devices = connection.execute(
                select(tables.device)
                .where(device.thumbprint == thumbprint, device.ended_at.is_(None))
                .order_by(device.id)
            ).all()
            named = table.id.in_([row.license_id for row in devices])
            entries = {
                row.id: _entry(row)
                for row in connection.execute(
                    select(tables.license_).where(named, table.type_code == type_code)
                )
            }
            return [
                (entries[row.license_id], self.newest(connection, entries[row.license_id]), _device(row))
                for row in devices
                if row.license_id in entries
            ]

    def status_value(self, reference: StatusReference) -> int:
        """The value of a status entry as the register knows it.

        Raises:
            NotFound: no such entry.
        """
        with self.reading() as connection:
            found = connection.execute(
                select(tables.slot.c.value)
                .join(tables.shard, tables.shard.c.id == tables.slot.c.shard)
                .where(tables.shard.c.uri == reference.uri, tables.slot.c.idx == reference.idx)
            ).scalar_one_or_none()
        if found is None:
            raise NotFound("the register has no such status entry")
        return int(found)

    def feed(self, *, after: int = 0, limit: int = 1000) -> tuple[Event, ...]:
        """The events after a number, in the order of commits and without gaps: the outbox.

        A city library keeps the number of the last event that it has taken; asking again gives the same.
        """
        with self.reading() as connection:
            rows = connection.execute(
                select(tables.event).where(tables.event.c.id > after).order_by(tables.event.c.id).limit(limit)
            ).all()
        return tuple(_event(row) for row in rows)

    def position(self, consumer: str) -> int:
        """The last event that a consumer of the feed has confirmed."""
        with self.reading() as connection:
            found = connection.execute(
                select(tables.consumer.c.position).where(tables.consumer.c.name == consumer)
            ).scalar_one_or_none()
        return 0 if found is None else int(found)

    def confirm(self, consumer: str, position: int) -> None:
        """Notes that a consumer has everything up to an event; never goes back.

        Raises:
            NotFound: there is no such event yet.
        """
        with self.writing() as connection:
            last = connection.execute(
                select(tables.counter.c.value).where(tables.counter.c.name == "event")
            ).scalar_one()
            if position > last:
                raise NotFound("the feed has no such event yet")
            known = connection.execute(
                select(tables.consumer.c.position).where(tables.consumer.c.name == consumer)
            ).scalar_one_or_none()
            if known is None:
                connection.execute(insert(tables.consumer).values(name=consumer, position=position))
            else:
                connection.execute(
                    update(tables.consumer)
                    .where(tables.consumer.c.name == consumer, tables.consumer.c.position < position)
                    .values(position=position)
                )

    def identifier_of(self, license_id: int, version: int) -> str:
        """The identifier of a version, for an event of the feed.

        Raises:
            NotFound: none.
        """
        with self.reading() as connection:
            found = connection.execute(
                select(tables.version.c.identifier).where(
                    tables.version.c.license_id == license_id, tables.version.c.version == version
                )
            ).scalar_one_or_none()
        if found is None:
            raise NotFound("the register has no such version")
        return str(found)

    def _license(self, connection: Connection, row: Sequence[Any]) -> License:
        """A license from a row that begins with `_OF_LICENSE`: unpacked at once, since a thousand come."""
        type_code, type_key, number_, authority, type_version, identifier, version, replaces = row[:8]
        authority_name, area, holders, face, images, valid_from, valid_until, issued_on = row[8:16]
        issued_at, salt, digest_name, digest, document, shard, idx = row[16:23]
        return License(
            type_code=type_code,
            type_key=type_key,
            type_version=type_version,
            identifier=identifier,
            number=number_,
            version=version,
            replaces=replaces,
            authority=authority,
            authority_name=authority_name,
            area=area,
            holders=tuple(map(Holder.from_claim, json.loads(holders))),
            face=tuple(json.loads(face).items()),
            images={key: b64decode(value) for key, value in json.loads(images).items()} if images else {},
            valid_from=date.fromisoformat(valid_from),
            valid_until=date.fromisoformat(valid_until) if valid_until else None,
            issued_on=date.fromisoformat(issued_on),
            issued_at=issued_at,
            salt=bytes(salt),
            digest_name=digest_name,
            face_digest=bytes(digest),
            document_status=self.reference(connection, shard, idx),
            document=document,
        )


_l, _v = tables.license_.c, tables.version.c
_OF_LICENSE: Final = (
    *(_l.type_code, _l.type_key, _l.number, _l.authority, _v.type_version, _v.identifier, _v.version),
    *(_v.replaces, _v.authority_name, _v.area, _v.holders, _v.face, _v.images, _v.valid_from),
    *(_v.valid_until, _v.issued_on, _v.issued_at, _v.salt, _v.digest_name, _v.face_digest, _v.document),
    *(_v.shard, _v.idx),
)
_VERSIONS: Final = select(*_OF_LICENSE).join_from(
    tables.version, tables.license_, tables.license_.c.id == tables.version.c.license_id
)
_NEWEST: Final = _VERSIONS.where(
    tables.version.c.license_id == bindparam("of"), tables.version.c.version == bindparam("newest")
)
_named = tables.version.alias("named")
_NEWEST_OF: Final = (
    select(
        *_OF_LICENSE,
        _l.id,
        _l.serial,
        _l.holder,
        _l.state,
        _l.revision,
        _named.c.identifier.label("named"),
    )
    .select_from(_named)
    .join(tables.license_, tables.license_.c.id == _named.c.license_id)
    .join(
        tables.version,
        (tables.version.c.license_id == tables.license_.c.id)
        & (tables.version.c.version == tables.license_.c.version),
    )
    .where(_named.c.identifier.in_(bindparam("wanted", expanding=True)))
)
_AT_ONCE: Final = 500
"""Identifiers in one question: databases limit the parameters of a statement."""


# --- Inside transactions ------------------------------------------------------------------------------------


def number(connection: Connection, name: str, count: int) -> int:
    """The first of `count` new numbers of a counter; other writers wait until this transaction ends."""
    last = connection.execute(_COUNT, {"of": name, "more": count}).scalar_one()
    return int(last) - count + 1


_COUNT: Final = (
    update(tables.counter)
    .where(tables.counter.c.name == bindparam("of"))
    .values(value=tables.counter.c.value + bindparam("more"))
    .returning(tables.counter.c.value)
)


def entry_of(connection: Connection, identifier: str) -> Entry:
    """The license of an identifier, inside a transaction.

    Raises:
        NotFound: none.
    """
    row = connection.execute(_ENTRY, {"named": identifier}).one_or_none()
    if row is None:
        raise NotFound("the register has no such license")
    return _entry(row)


_ENTRY: Final = (
    select(tables.license_)
    .join(tables.version, tables.version.c.license_id == tables.license_.c.id)
    .where(tables.version.c.identifier == bindparam("named"))
)


def _entry(row: Any) -> Entry:
    return Entry(
        id=row.id,
        type_code=row.type_code,
        number=row.number,
        serial=row.serial,
        holder=row.holder,
        state=State(row.state),
        version=row.version,
        revision=row.revision,
        authority=row.authority,
    )


def step(connection: Connection, entry: Entry, **values: object) -> None:
    """Changes the row of a license, if nobody did since it was read.

    Raises:
        Conflict: somebody did.
    """
    changed = connection.execute(
        update(tables.license_)
        .where(tables.license_.c.id == entry.id, tables.license_.c.revision == entry.revision)
        .values(revision=entry.revision + 1, **values)
    )
    if changed.rowcount != 1:
        raise Conflict("another officer has changed this license since it was read")


def devices_of(connection: Connection, license_id: int) -> tuple[Device, ...]:
    """All devices of a license, inside a transaction."""
    return tuple(
        _device(row)
        for row in connection.execute(
            select(tables.device).where(tables.device.c.license_id == license_id).order_by(tables.device.c.id)
        )
    )


def _device(row: Any) -> Device:
    return Device(
        id=row.id,
        holder_index=row.holder_index,
        thumbprint=bytes(row.thumbprint),
        version=row.version,
        bound_at=row.bound_at,
        expires_at=row.expires_at,
        ended_at=row.ended_at,
        ended_because=row.ended_because,
    )


def set_slots(
    connection: Connection,
    value: int,
    *,
    where: Sequence[ColumnElement[bool]],
    old: Iterable[int] | None = None,
) -> None:
    """Changes status entries, and marks their lists for publishing.

    Args:
        connection: the transaction.
        value: the new value.
        where: which entries.
        old: only those that have one of these values.
    """
    table = tables.slot.c
    conditions = [*where, table.value != value]
    if old is not None:
        conditions.append(table.value.in_(tuple(old)))
    shards = connection.execute(select(table.shard).where(*conditions).distinct()).scalars().all()
    if not shards:
        return
    connection.execute(update(tables.slot).where(*conditions).values(value=value))
    connection.execute(
        update(tables.shard)
        .where(tables.shard.c.id.in_(sorted(shards)))
        .values(revision=tables.shard.c.revision + 1)
    )


def insert_rows(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Inserts rows that carry every column, in their driver's own form.

    The statement is compiled once and the rows are handed to the driver as they are: a batch of a thousand
    licenses has five thousand rows, and looking at each value again would cost more than signing.
    """
    if rows:
        connection.exec_driver_sql(_insert_sql(connection.dialect.name, table), list(rows))


@lru_cache(maxsize=64)
def _insert_sql(dialect: str, table: Table) -> str:
    named = (":", "") if dialect == "sqlite" else ("%(", ")s")
    quoted = ", ".join(f'"{column.name}"' for column in table.columns)
    places = ", ".join(column.name.join(named) for column in table.columns)
    return " ".join(("INSERT INTO", f'"{table.name}"', f"({quoted})", "VALUES", f"({places})"))


def insert_events(connection: Connection, rows: list[dict[str, Any]]) -> int:
    """Writes events under the next numbers of the feed; the last thing in a transaction.

    The counter's row is what other writers then wait for: numbers become visible in their order.
    """
    first = number(connection, "event", len(rows))
    for position, row in enumerate(rows):
        row["id"] = first + position
    insert_rows(connection, tables.event, rows)
    return first


_to_json: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def event_row(
    *,
    license_id: int,
    version: int,
    kind: EventKind,
    state: State,
    at: int,
    reason: str,
    case: Case,
    authority: str,
    content: bytes,
    detail: Mapping[str, object] | None = None,
) -> dict[str, Any]:
    """An event as a row; `insert_events` gives it its number."""
    told = {**(detail or {}), **({"partners": case.partners} if case.partners else {})}
    return {
        "license_id": license_id,
        "version": version,
        "kind": kind.value,
        "state": state.value,
        "at": at,
        "reason": reason,
        "operator": case.operator,
        "second_operator": case.second_operator,
        "matter": case.matter,
        "case_number": case.number or None,
        "case_key": f"{authority} {case.number}" if case.number else None,
        "content": content,
        "detail": _to_json(told) if told else "{}",
    }


def _event(row: Any) -> Event:
    return Event(
        id=row.id,
        license_id=row.license_id,
        version=row.version,
        kind=EventKind(row.kind),
        state=State(row.state),
        at=row.at,
        reason=row.reason,
        case=Case(
            number=row.case_number or "",
            matter=row.matter,
            operator=row.operator,
            second_operator=row.second_operator,
        ),
        detail=json.loads(row.detail),
    )


def encode_images(images: Mapping[str, bytes]) -> str | None:
    """Images as they stand in a row."""
    if not images:
        return None
    return json.dumps({key: b64encode(content).decode("ascii") for key, content in images.items()})


# --- Databases ----------------------------------------------------------------------------------------------


def _engine(url: URL, patience: float | None) -> Engine:
    if url.get_backend_name() == "sqlite":
        return create_engine(url)
    if patience is None:
        return create_engine(url, pool_pre_ping=True)
    engine = create_engine(
        url,
        pool_pre_ping=True,
        pool_timeout=patience,
        connect_args={"connect_timeout": 2},  # the driver's least
    )
    limit_waiting(engine, patience)
    return engine


def _prepare_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def connected(dbapi: Any, _: object) -> None:
        # The driver's own transactions begin late and upgrade their lock, which fails under two writers:
        # we begin them ourselves, below.
        dbapi.isolation_level = None
        cursor = dbapi.cursor()
        for pragma in (
            f"busy_timeout={int(_BUSY * 1000)}",
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            "cache_size=-65536",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        writes = connection.get_execution_options().get("ewallet_writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _migrate(connection: Connection) -> None:
    from alembic import command  # noqa: PLC0415 - heavy, and needed once in the life of a database
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", "ewallet.licenses:migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, tables.HEAD)


def _meaning(error: IntegrityError) -> str:
    text = str(error.orig)
    for column, meaning in (
        ("confirmation", "an act waits under this case number already"),
        ("bulk_job", "another process has just taken this job"),
        ("sole", "a license of this type lives for this holder already"),
        ("case_key", "another content was recorded under this case number"),
        ("identifier", "this identifier exists already"),
        ("stock", "this stock number was used already"),
        ("live", "this key is bound already"),
        ("nonce", "this nonce was used already"),
    ):
        if column in text:
            return meaning
    return "the database refuses what would break its rules"
