"""Issuer: every verb of an issuing authority. Each happens as a whole, in one transaction, or not at all.

What a verb may do in which state stands in `ewallet.licenses.lifecycle`; rows and transactions are in
`ewallet.licenses.register`; how a license is born in `ewallet.licenses.issuing`, how devices are bound in
`ewallet.licenses.devices`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select, update

from ewallet.errors import Conflict, EwalletError, NotFound, RecordError
from ewallet.formats import statuslist
from ewallet.licenses import binding, credentials, devices, tables, witnessing
from ewallet.licenses.copies import take_back
from ewallet.licenses.devices import BindRequest, HolderCredentials
from ewallet.licenses.issuing import (
    Draft,
    Issued,
    Order,
    Sheet,
    check_images,
    critical_fields,
    holder_key,
    issued_before,
    kind_of,
    look_up,
    make_batch,
    make_copy,
    make_draft,
    make_version,
    rest_of,
    sole_of,
    to_json,
    two_officers,
)
from ewallet.licenses.lifecycle import Case, EventKind, State, next_state
from ewallet.licenses.numbers import identifier as identifiers
from ewallet.licenses.printed import CopyState, PrintedCopy, PrintOrder
from ewallet.licenses.printed import next_state as next_copy_state
from ewallet.licenses.register import (
    Entry,
    Register,
    entry_of,
    event_row,
    insert_events,
    set_slots,
    step,
)
from ewallet.licenses.rows import DOCUMENT, Rows, slot_row, touch_shards
from ewallet.moments import day_of, seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from ewallet.keys import PublicKey, Signer
    from ewallet.licenses.catalog import Catalog, LicenseType
    from ewallet.licenses.license import Holder, License
    from ewallet.trust.statements import Witness

__all__ = [
    "MAX_DEVICES",
    "Authority",
    "BindRequest",
    "HolderCredentials",
    "Issued",
    "Issuer",
    "Order",
    "critical_fields",
]

MAX_DEVICES: Final = 5
"""Devices that one holder may bind to one license at a time."""

_VALID, _INVALID = statuslist.VALID, statuslist.INVALID
_SUSPENDED, _SUPERSEDED = statuslist.SUSPENDED, statuslist.SUPERSEDED
_ENDINGS: Final = {
    State.WITHDRAWN: EventKind.WITHDRAW,
    State.CANCELLED: EventKind.CANCEL,
    State.REVOKED: EventKind.REVOKE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """An issuing authority.

    Attributes:
        uri: its URI, `iss` of what it signs; the entity that owns the key in the trust list.
        name: Chinese name, as on the face.
        name_en: English name.
        uscc: its unified social credit code, a part of identifiers.
        area: six-digit area code.
        status_base: address below which its status lists live: a status prefix of its entity.
        base: URI of the deployment, under which types have their names (`<base>/vct/...`).
    """

    uri: str
    name: str
    name_en: str
    uscc: str
    area: str
    status_base: str
    base: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Given:
    """What comes with a change beside the fields."""

    printed: PrintOrder | None
    images: Mapping[str, bytes]
    case: Case
    reason: str
    change: Callable[[Connection, Entry], None] | None = None
    detail: Mapping[str, object] = field(default_factory=dict)


class Issuer:
    """An issuing authority at work. Thread-safe as far as its signers are; open one for each process."""

    def __init__(
        self,
        *,
        signer: Signer,
        status_signer: Signer,
        catalog: Catalog,
        register: Register,
        authority: Authority,
        max_devices: int = MAX_DEVICES,
        witness: Witness | None = None,
    ) -> None:
        """Puts an authority together.

        Args:
            signer: key for license credentials and seals, service *licenses*.
            status_signer: key for status lists, service *status lists*; never the same key.
            catalog: the types it knows.
            register: where everything is kept.
            authority: who it is.
            max_devices: devices that one holder may bind at a time.
            witness: states for everything signed that it exists; another entity. None: nothing is stated,
                and after a compromise of the key nothing of it can be proven to be genuine.
        """
        if witness is not None and witness.iss == authority.uri:
            raise ValueError("an authority does not witness its own credentials")
        if signer.public_key == status_signer.public_key:
            raise ValueError("one key serves one service: licenses and status lists need two")
        self.signer = signer
        self.status_signer = status_signer
        self.catalog = catalog
        self.register = register
        self.authority = authority
        self.max_devices = max_devices
        self.witness = witness
        self._secret = register.secret()

    # --- Birth -----------------------------------------------------------------------

    def issue(
        self,
        record: Mapping[str, str],
        *,
        type: str | LicenseType,  # noqa: A002 - the word of the field
        holders: Sequence[Holder] = (),
        printed: PrintOrder | None = None,
        images: Mapping[str, bytes] | None = None,
        case: Case | None = None,
        reason: str = "",
        now: datetime,
    ) -> Issued:
        """Issues a license: record, event, status entries and, if asked for, printed copies, or nothing.

        Args:
            record: field key -> value in exact form (`ewallet.licenses.intake` makes it).
            type: the type, or its short name or code.
            holders: who holds it; empty: as the record says.
            printed: what is printed with it.
            images: content of image fields (JPEG).
            case: who acts, in what matter; the same case number gives the same license again.
            reason: why.
            now: the time (aware).

        Raises:
            RecordError: the record is wrong: which field, and why.
            Conflict: a license of this type lives for the holder; the case number stands for another content.
            SecondOfficerNeeded: the type wants two officers.
        """
        order = Order(
            record=record,
            holders=tuple(holders),
            printed=printed,
            images=images or {},
            case=case or Case(),
            reason=reason,
        )
        return _or_raise(self.issue_many([order], type=type, now=now)[0])

    def transfer_in(
        self,
        record: Mapping[str, str],
        *,
        type: str | LicenseType,  # noqa: A002 - the word of the field
        replaces: str,
        reason: str,
        printed: PrintOrder | None = None,
        case: Case | None = None,
        now: datetime,
    ) -> Issued:
        """Issues a license that takes over one which another authority has transferred out.

        Args:
            record: as for `issue`.
            type: as for `issue`.
            replaces: identifier of the license that was transferred out.
            reason: why.
            printed: what is printed with it.
            case: who acts, in what matter.
            now: the time (aware).

        Raises:
            RecordError: the record or the replaced identifier is wrong.
            Conflict: see `issue`.
        """
        identifiers.validate(replaces)
        order = Order(record=record, printed=printed, case=case or Case(), reason=reason, replaces=replaces)
        return _or_raise(self.issue_many([order], type=type, now=now)[0])

    def issue_many(
        self,
        orders: Sequence[Order],
        *,
        type: str | LicenseType,  # noqa: A002 - the word of the field
        job: str = "",
        now: datetime,
    ) -> list[Issued | EwalletError]:
        """Issues a batch; what is wrong with one order stops no other.

        Args:
            orders: what to issue, of one type.
            type: the type, or its short name or code.
            job: name of the bulk job; rows of it that were done before are left out (`again`).
            now: the time (aware).

        Returns:
            For each order the license, or the error that `issue` would raise.
        """
        type_ = self.catalog[type] if isinstance(type, str) else type
        results: list[Issued | EwalletError | None] = [None] * len(orders)
        drafts: dict[int, Draft] = {}
        today = day_of(now)
        for place, order in enumerate(orders):
            try:
                drafts[place] = make_draft(order, type_, today)
            except EwalletError as error:
                results[place] = error
        look_up(self, drafts, results, type_, job)
        for place, draft in drafts.items():
            if results[place] is None:
                try:
                    two_officers(type_, kind_of(draft.order), draft.order.case, "new")
                except EwalletError as error:
                    results[place] = error
        todo = {place: draft for place, draft in drafts.items() if results[place] is None}
        if todo:
            for place, result in zip(
                todo, make_batch(self, list(todo.values()), type_, job, now), strict=True
            ):
                results[place] = result
        return [result for result in results if result is not None]

    # --- New versions -----------------------------------------------------------------------

    def amend(
        self,
        license: License | str,  # noqa: A002 - the word of the field
        changes: Mapping[str, str],
        *,
        reason: str,
        printed: PrintOrder | None = None,
        images: Mapping[str, bytes] | None = None,
        case: Case | None = None,
        now: datetime,
        change: Callable[[Connection, Entry], None] | None = None,
        detail: Mapping[str, object] | None = None,
    ) -> Issued:
        """Changes fields: version n+1 replaces version n, which is superseded at the same instant.

        Args:
            license: the newest version, as the officer has read it.
            changes: field key -> new value; an empty value takes a field away.
            reason: why.
            printed: what is printed anew.
            images: content of image fields that change.
            case: who acts, in what matter.
            now: the time (aware).
            change: what else happens to the register in the same transaction.
            detail: what else the event says.

        Raises:
            NotFound: no such license.
            NotAllowed: its state does not allow it, or the type wants two officers.
            Conflict: it is not the newest version, or another officer was first.
            RecordError: the changed record is wrong, or the change is one of holder or number.
        """
        given = _Given(
            printed=printed,
            images=images or {},
            case=case or Case(),
            reason=reason,
            change=change,
            detail=detail or {},
        )
        return self._next(EventKind.AMEND, license, changes, given, now=now)

    def renew(
        self,
        license: License | str,  # noqa: A002 - the word of the field
        changes: Mapping[str, str],
        *,
        reason: str,
        printed: PrintOrder | None = None,
        images: Mapping[str, bytes] | None = None,
        case: Case | None = None,
        now: datetime,
    ) -> Issued:
        """Renews a license, also one that merely lapsed: a new version with a new term; see `amend`."""
        given = _Given(printed=printed, images=images or {}, case=case or Case(), reason=reason)
        return self._next(EventKind.RENEW, license, changes, given, now=now)

    def correct(
        self,
        license: License | str,  # noqa: A002 - the word of the field
        changes: Mapping[str, str],
        *,
        reason: str,
        printed: PrintOrder | None = None,
        images: Mapping[str, bytes] | None = None,
        case: Case | None = None,
        now: datetime,
    ) -> Issued:
        """Corrects a mistake by an event of its own: the wrong version stays in the history; see `amend`."""
        given = _Given(printed=printed, images=images or {}, case=case or Case(), reason=reason)
        return self._next(EventKind.CORRECT, license, changes, given, now=now)

    def _next(
        self,
        kind: EventKind,
        license_: License | str,
        changes: Mapping[str, str],
        given: _Given,
        *,
        now: datetime,
    ) -> Issued:
        case = given.case
        named = _identifier(license_)
        content = _content(kind, named, dict(changes), given.printed)
        with self.register.reading() as connection:
            again = self._again(connection, case, content)
            if again is not None:
                return again
            entry = entry_of(connection, named)
            old = self.register.newest(connection, entry)
        if old.identifier != named:
            raise Conflict("a newer version of this license exists")
        self._own(entry)
        type_ = self.catalog[entry.type_code]
        state = next_state(kind, entry.state)
        draft = self._changed(type_, entry, old, changes, given=given, content=content, now=now)
        two_officers(type_, kind, case, entry.state.value)
        return self._commit_next(kind, entry, old, draft, given=given, state=state, type_=type_, now=now)

    def _changed(
        self,
        type_: LicenseType,
        entry: Entry,
        old: License,
        changes: Mapping[str, str],
        *,
        given: _Given,
        content: bytes,
        now: datetime,
    ) -> Draft:
        record = {**self.register.record(old.identifier), **changes}
        record = {key: value for key, value in record.items() if value}
        kept = {key: value for key, value in old.images.items() if key in record}
        order = Order(
            record=record,
            printed=given.printed,
            images={**kept, **given.images},
            case=given.case,
            reason=given.reason,
        )
        values = type_.check(record)
        start, until, issued_on = type_.term(values)
        if until is not None and until < day_of(now):
            raise RecordError("the license has ended already", field=type_.validity.until)
        holders = type_.holders_of(values)
        number = values[type_.number]
        if number != entry.number or holder_key(holders, number) != entry.holder:
            raise RecordError("an amendment changes neither number nor holder", field=type_.number)
        check_images(type_, values, order.images)
        face = tuple((spec.key, values[spec.key]) for spec in type_.face_fields if spec.key in values)
        return Draft(
            order=order,
            values=values,
            face=face,
            face_text=to_json(dict(face)),
            rest_text=rest_of(type_, values),
            holders=holders,
            holder=entry.holder,
            number=number,
            start=start,
            until=until,
            issued_on=issued_on,
            content=content,
        )

    def _commit_next(
        self,
        kind: EventKind,
        entry: Entry,
        old: License,
        draft: Draft,
        *,
        given: _Given,
        state: State,
        type_: LicenseType,
        now: datetime,
    ) -> Issued:
        sheets = draft.order.printed.sheets() if draft.order.printed else ()
        reserved = self.register.reserve(
            rows=len(sheets),
            slots=1 + len(sheets),
            authority=self.authority.uri,
            type_code=type_.code,
            base=self.authority.status_base,
            now=now,
        )
        rows = Rows()
        issued = make_version(
            self,
            rows,
            draft,
            type_,
            license_id=entry.id,
            version=entry.version + 1,
            serial=entry.serial,
            replaces=old.identifier,
            sheets=sheets,
            first_copy=reserved.first_id,
            slots=iter(reserved.slots),
            now=now,
            value=_SUSPENDED if state is State.SUSPENDED else _VALID,
        )
        rows.event.append(
            event_row(
                license_id=entry.id,
                version=entry.version + 1,
                kind=kind,
                state=state,
                at=seconds(now),
                reason=draft.order.reason,
                case=draft.order.case,
                authority=self.authority.uri,
                content=draft.content,
                detail={
                    "replaces": old.identifier,
                    "changed": sorted(_differences(dict(old.face), dict(draft.face))),
                    **given.detail,
                },
            )
        )
        rows.statement = witnessing.state(self, rows.signed, now=now)
        with self.register.writing() as connection:
            sole = None if type_.several or not state.lives else sole_of(type_, entry.holder)
            step(connection, entry, version=entry.version + 1, state=state.value, sole=sole)
            set_slots(
                connection,
                _SUPERSEDED,
                where=[tables.slot.c.license_id == entry.id],
                old=(_VALID, _SUSPENDED, *((_INVALID,) if entry.state is State.LAPSED else ())),
            )
            take_back(connection, entry.id, keeping=entry.version + 1)
            if given.change is not None:
                given.change(connection, entry)
            rows.event += self._reviews(connection, type_, entry, draft, now)
            rows.write(connection)
            touch_shards(connection, rows)
        return issued

    def _reviews(
        self, connection: Connection, type_: LicenseType, entry: Entry, draft: Draft, now: datetime
    ) -> list[dict[str, Any]]:
        """Dependants of a license that changed: each gets an event that it needs review."""
        rows = []
        for other in self.catalog:
            for match in other.matches:
                if match.type_key != type_.key:
                    continue
                for license_id, version, state, face in _living(connection, other.code, entry.holder):
                    wrong = [
                        here
                        for here, there in match.fields.items()
                        if face.get(here, "") != draft.values.get(there, "")
                    ]
                    if wrong:
                        rows.append(
                            event_row(
                                license_id=license_id,
                                version=version,
                                kind=EventKind.REVIEW,
                                state=State(state),
                                at=seconds(now),
                                reason=f"the {type_.en.lower()} of the holder changed",
                                case=Case(),
                                authority=self.authority.uri,
                                content=b"",
                                detail={"fields": wrong},
                            )
                        )
        return rows

    # --- States -----------------------------------------------------------------------

    def annotate(
        self,
        license: License | str,  # noqa: A002 - the word of the field
        *,
        text: str,
        reason: str,
        case: Case | None = None,
        now: datetime,
    ) -> License:
        """Notes an endorsement or a yearly review; the face stays as it is.

        Raises:
            NotFound, NotAllowed, Conflict: see `amend`.
        """
        return self.act(EventKind.ANNOTATE, license, reason=reason, case=case, now=now, detail={"text": text})

    def suspend(
        self,
        license: License | str,  # noqa: A002 - the word of the field
        *,
        reason: str,
        case: Case | None = None,
        now: datetime,
    ) -> License:
        """Suspends a license: all of its status entries say so; see `amend` for what is raised."""
        return self.act(EventKind.SUSPEND, license, reason=reason, case=case, now=now)

    def restore(
        self,
        license: License | str,  # noqa: A002 - the word of the field
        *,
        reason: str,
        case: Case | None = None,
        now: datetime,
    ) -> License:
        """Ends a suspension; see `amend` for what is raised."""
        return self.act(EventKind.RESTORE, license, reason=reason, case=case, now=now)

    def revoke(
        self,
        license: License | str,  # noqa: A002 - the word of the field
        *,
        reason: str,
        kind: State = State.REVOKED,
        case: Case | None = None,
        now: datetime,
    ) -> License:
        """Ends a license for good.

        Args:
            license: any version of it.
            reason: why.
            kind: the legal kind: `State.REVOKED`, `State.WITHDRAWN` or `State.CANCELLED`.
            case: who acts, in what matter.
            now: the time (aware).

        Raises:
            ValueError: another kind.
            NotFound, NotAllowed, Conflict: see `amend`.
        """
        if kind not in _ENDINGS:
            raise ValueError("a license ends as revoked, withdrawn or cancelled")
        return self.act(_ENDINGS[kind], license, reason=reason, case=case, now=now)

    def transfer_out(
        self,
        license: License | str,  # noqa: A002 - the word of the field
        *,
        to: str,
        reason: str,
        case: Case | None = None,
        now: datetime,
    ) -> License:
        """Ends a license here because another authority takes it over; that one calls `transfer_in`.

        Args:
            license: any version of it.
            to: URI of the authority that takes over.
            reason: why.
            case: who acts, in what matter.
            now: the time (aware).

        Raises:
            NotFound, NotAllowed, Conflict: see `amend`.
        """
        return self.act(EventKind.TRANSFER_OUT, license, reason=reason, case=case, now=now, detail={"to": to})

    def lapse_due(self, *, now: datetime, limit: int = 1000) -> tuple[str, ...]:
        """Marks licenses whose last day is over as lapsed.

        Returns:
            Their identifiers; empty when none is left.
        """
        table = tables.version.c
        with self.register.reading() as connection:
            found = connection.execute(
                select(table.identifier)
                .join(
                    tables.license_,
                    (tables.license_.c.id == table.license_id) & (tables.license_.c.version == table.version),
                )
                .where(
                    tables.license_.c.authority == self.authority.uri,
                    tables.license_.c.state.in_((State.VALID.value, State.SUSPENDED.value)),
                    table.valid_until < day_of(now).isoformat(),
                )
                .limit(limit)
            ).scalars()
            due = list(found)
        for identifier in due:
            self.act(EventKind.LAPSE, identifier, reason="its last day is over", case=None, now=now)
        return tuple(due)

    def act(
        self,
        kind: EventKind,
        license: License | str,  # noqa: A002 - the word of the field
        *,
        reason: str,
        case: Case | None,
        now: datetime,
        detail: Mapping[str, object] | None = None,
        change: Callable[[Connection, Entry], None] | None = None,
    ) -> License:
        """Records an event that makes no new version; the named verbs are made of it.

        Args:
            kind: what happens; decides the state after it.
            license: any version of the license.
            reason: why.
            case: who acts, in what matter.
            now: the time (aware).
            detail: what else belongs to the event.
            change: what else happens to the register in the same transaction.

        Returns:
            The newest version.

        Raises:
            NotFound, NotAllowed, Conflict: see `amend`.
        """
        case = case or Case()
        named = _identifier(license)
        content = _content(kind, named, {} if detail is None else dict(detail))
        with self.register.writing() as connection:
            again = self._again(connection, case, content)
            if again is not None:
                return again.license
            entry = entry_of(connection, named)
            self._own(entry)
            type_ = self.catalog[entry.type_code]
            state = next_state(kind, entry.state)
            two_officers(type_, kind, case, entry.state.value)
            sole = sole_of(type_, entry.holder) if state.lives and not type_.several else None
            step(connection, entry, state=state.value, sole=sole)
            if change is not None:
                change(connection, entry)
            self._project(connection, entry, state)
            insert_events(
                connection,
                [
                    event_row(
                        license_id=entry.id,
                        version=entry.version,
                        kind=kind,
                        state=state,
                        at=seconds(now),
                        reason=reason,
                        case=case,
                        authority=self.authority.uri,
                        content=content,
                        detail=detail,
                    )
                ],
            )
            return self.register.newest(connection, entry)

    def _project(self, connection: Connection, entry: Entry, state: State) -> None:
        """What a change of state means for the license's status entries."""
        if state is entry.state:
            return
        mine = [tables.slot.c.license_id == entry.id]
        if state is State.SUSPENDED:
            set_slots(connection, _SUSPENDED, where=mine, old=(_VALID,))
        elif state is State.VALID:
            set_slots(connection, _VALID, where=mine, old=(_SUSPENDED,))
        else:
            set_slots(connection, _INVALID, where=mine)
            take_back(connection, entry.id, keeping=None)

    def _again(self, connection: Connection, case: Case, content: bytes) -> Issued | None:
        if not case.number:
            return None
        table = tables.event.c
        row = connection.execute(
            select(table.content, table.license_id).where(table.case_key == self.case_key(case.number))
        ).one_or_none()
        if row is None:
            return None
        if bytes(row.content) != content:
            raise Conflict("another content was recorded under this case number")
        return issued_before(self, connection, row.license_id)

    def case_key(self, number: str) -> str:
        """A case number as the register keeps it: authorities count for themselves."""
        return f"{self.authority.uri} {number}"

    def _own(self, entry: Entry) -> None:
        if entry.authority != self.authority.uri:
            raise NotFound("this authority has no such license")

    # --- Key rotation -----------------------------------------------------------------------

    def resign_due(self, *, now: datetime, limit: int = 1000) -> int:
        """Signs documents of living licenses anew that another key has signed; call until it returns 0.

        The old documents stay valid as long as their key is: rotating a key breaks nothing, and this moves
        the register to the new one in bulk.

        Returns:
            How many were signed.
        """
        table = tables.version.c
        with self.register.reading() as connection:
            rows = connection.execute(
                select(table.identifier, tables.license_.c.type_code)
                .join(
                    tables.license_,
                    (tables.license_.c.id == table.license_id) & (tables.license_.c.version == table.version),
                )
                .where(
                    tables.license_.c.authority == self.authority.uri,
                    tables.license_.c.state.in_((State.VALID.value, State.SUSPENDED.value)),
                    table.key_id != self.signer.public_key.kid,
                )
                .order_by(table.license_id)
                .limit(limit)
            ).all()
        by_type: dict[str, list[str]] = {}
        for identifier, type_code in rows:
            by_type.setdefault(type_code, []).append(identifier)
        return sum(self._resign(self.catalog[code], found, now) for code, found in by_type.items())

    def _resign(self, type_: LicenseType, found: Sequence[str], now: datetime) -> int:
        reserved = self.register.reserve(
            rows=0,
            slots=len(found),
            authority=self.authority.uri,
            type_code=type_.code,
            base=self.authority.status_base,
            now=now,
        )
        with self.register.reading() as connection:
            entries = [entry_of(connection, identifier) for identifier in found]
            licenses = [self.register.newest(connection, entry) for entry in entries]
        signed = []
        for entry, license_, (shard, reference) in zip(entries, licenses, reserved.slots, strict=True):
            fresh = replace(license_, document_status=reference)
            document = credentials.make_document(fresh, type_, self.signer, base=self.authority.base, now=now)
            signed.append((entry, license_, shard, reference, document))
        table = tables.version.c
        rows = Rows()
        stated = [(entry.id, entry.version, document) for entry, _, _, _, document in signed]
        rows.statement = witnessing.state(self, stated, now=now)
        with self.register.writing() as connection:
            for entry, license_, shard, reference, document in signed:
                next_state(EventKind.RESIGN, entry.state)
                step(connection, entry)
                value = _SUSPENDED if entry.state is State.SUSPENDED else _VALID
                connection.execute(
                    update(tables.version)
                    .where(table.license_id == entry.id, table.version == entry.version)
                    .values(
                        document=document,
                        key_id=self.signer.public_key.kid,
                        shard=shard,
                        idx=reference.idx,
                    )
                )
                rows.slot.append(
                    slot_row((shard, reference), entry.id, entry.version, kind=DOCUMENT, ref=0, value=value)
                )
                rows.event.append(
                    event_row(
                        license_id=entry.id,
                        version=entry.version,
                        kind=EventKind.RESIGN,
                        state=entry.state,
                        at=seconds(now),
                        reason="the authority's key changed",
                        case=Case(),
                        authority=self.authority.uri,
                        content=b"",
                        detail={"old_status": license_.document_status.to_claim()["status_list"]},
                    )
                )
            rows.write(connection)
            touch_shards(connection, rows)
        return len(signed)

    # --- Printed copies -----------------------------------------------------------------------

    def print_copies(
        self,
        license: License | str,  # noqa: A002 - the word of the field
        order: PrintOrder,
        *,
        reason: str,
        case: Case | None = None,
        now: datetime,
    ) -> tuple[PrintedCopy, ...]:
        """Orders printed copies of the newest version.

        Raises:
            NotFound, NotAllowed, Conflict: see `amend`; Conflict also for a stock number that was used.
        """
        return self._print(
            EventKind.PRINT, license, order.sheets(), lost=None, reason=reason, case=case, now=now
        )

    def reissue(
        self,
        license: License | str,  # noqa: A002 - the word of the field
        lost: PrintedCopy,
        *,
        stock: str = "",
        reason: str,
        case: Case | None = None,
        now: datetime,
    ) -> PrintedCopy:
        """Replaces a lost copy: the lost one is withdrawn, a new one of its role and number is made.

        Args:
            license: any version of it.
            lost: the copy that was lost.
            stock: stock number of the new sheet.
            reason: why.
            case: who acts, in what matter.
            now: the time (aware).

        Raises:
            NotFound, NotAllowed, Conflict: see `amend`.
        """
        sheets = ((lost.role, lost.number, lost.of, stock),)
        return self._print(EventKind.REISSUE, license, sheets, lost=lost, reason=reason, case=case, now=now)[
            0
        ]

    def _print(
        self,
        kind: EventKind,
        license_: License | str,
        sheets: Sequence[Sheet],
        *,
        lost: PrintedCopy | None,
        reason: str,
        case: Case | None,
        now: datetime,
    ) -> tuple[PrintedCopy, ...]:
        case = case or Case()
        named = _identifier(license_)
        detail: dict[str, object] = {"sheets": [[int(role), n, of, stock] for role, n, of, stock in sheets]}
        if lost is not None:
            detail["lost"] = lost.status.to_claim()["status_list"]
        content = _content(kind, named, detail)
        with self.register.reading() as connection:
            again = self._again(connection, case, content)
            if again is not None:
                return tuple(
                    copy
                    for copy in again.printed
                    if any((copy.role, copy.number) == sheet[:2] for sheet in sheets)
                )
            entry = entry_of(connection, named)
            current = self.register.newest(connection, entry)
        self._own(entry)
        type_ = self.catalog[entry.type_code]
        next_state(kind, entry.state)
        two_officers(type_, kind, case, entry.state.value)
        reserved = self.register.reserve(
            rows=len(sheets),
            slots=len(sheets),
            authority=self.authority.uri,
            type_code=type_.code,
            base=self.authority.status_base,
            now=now,
        )
        rows = Rows()
        copies = tuple(
            make_copy(
                self,
                rows,
                current,
                type_,
                sheet,
                license_id=entry.id,
                copy_id=reserved.first_id + n,
                slot=slot,
                now=now,
                value=_VALID,
            )
            for n, (sheet, slot) in enumerate(zip(sheets, reserved.slots, strict=True))
        )
        rows.event.append(
            event_row(
                license_id=entry.id,
                version=entry.version,
                kind=kind,
                state=entry.state,
                at=seconds(now),
                reason=reason,
                case=case,
                authority=self.authority.uri,
                content=content,
                detail=detail,
            )
        )
        rows.statement = witnessing.state(self, rows.signed, now=now)
        with self.register.writing() as connection:
            step(connection, entry)
            if lost is not None:
                self._mark_copy(connection, entry, lost, CopyState.LOST)
            rows.write(connection)
        return copies

    def move_copy(
        self,
        license: License | str,  # noqa: A002 - the word of the field
        copy: PrintedCopy,
        state: CopyState,
        *,
        reason: str,
        printer: str = "",
        case: Case | None = None,
        now: datetime,
    ) -> PrintedCopy:
        """Notes what happened to a sheet: printed, handed out, recalled, returned, lost, destroyed.

        Args:
            license: any version of the license.
            copy: the sheet.
            state: its new state.
            reason: why.
            printer: which printer made it.
            case: who acts, in what matter.
            now: the time (aware).

        Raises:
            NotFound: no such sheet.
            NotAllowed: its state does not allow it.
        """
        next_copy_state(copy, state)
        values: dict[str, object] = {}
        if state is CopyState.PRINTED:
            values = {"printed_at": seconds(now), "printer": printer}

        def change(connection: Connection, entry: Entry) -> None:
            self._mark_copy(connection, entry, copy, state, **values)

        detail = {"copy": copy.status.to_claim()["status_list"], "to": state.value}
        self.act(EventKind.COPY, license, reason=reason, case=case, now=now, detail=detail, change=change)
        moved = [found for found in self.register.copies(_identifier(license)) if found.status == copy.status]
        return moved[0]

    def _mark_copy(
        self, connection: Connection, entry: Entry, copy: PrintedCopy, state: CopyState, **values: object
    ) -> None:
        table = tables.copy.c
        row = connection.execute(
            select(tables.copy)
            .join(tables.shard, tables.shard.c.id == table.shard)
            .where(
                table.license_id == entry.id,
                table.idx == copy.status.idx,
                tables.shard.c.uri == copy.status.uri,
            )
        ).one_or_none()
        if row is None:
            raise NotFound("the register has no such copy")
        next_copy_state(replace(copy, state=CopyState(row.state)), state)
        connection.execute(update(tables.copy).where(table.id == row.id).values(state=state.value, **values))
        if state in (CopyState.RECALLED, CopyState.LOST, CopyState.DESTROYED, CopyState.RETURNED):
            set_slots(
                connection,
                _INVALID,
                where=[tables.slot.c.shard == row.shard, tables.slot.c.idx == row.idx],
            )

    # --- Holders' devices -----------------------------------------------------------------------

    def challenge(self, now: datetime) -> bytes:
        """A nonce for `binding.prove`, good for ten minutes and one binding."""
        return binding.make_nonce(self._secret, now=now)

    def bind(
        self,
        license: License | str,  # noqa: A002 - the word of the field
        holder_index: int,
        device_key: PublicKey,
        proof: bytes,
        *,
        now: datetime,
        replacing: Iterable[bytes] = (),
    ) -> HolderCredentials:
        """Makes holder credentials for a device key.

        Who asks was identified by the caller; the proof shows only that the device holds the key. A key that
        is bound already gets fresh credentials, and the old ones end: that is how they are renewed.

        Args:
            license: any version; the newest is bound.
            holder_index: which holder, from 0.
            device_key: the device's public key.
            proof: `binding.prove` over this issuer's nonce.
            now: the time (aware).
            replacing: thumbprints of devices that end with this (a new phone for an old one).

        Raises:
            Refused: `signature.holder`, `code.expired`: the proof does not hold.
            NotFound: no such license or holder.
            NotAllowed: the license is not valid, or too many devices are bound.
            Conflict: the nonce was used before.
        """
        request = BindRequest(
            license=_identifier(license),
            holder_index=holder_index,
            device_key=device_key,
            proof=proof,
            replacing=tuple(replacing),
        )
        result = self.bind_many([request], now=now)[0]
        if isinstance(result, EwalletError):
            raise result
        return result

    def bind_many(
        self, requests: Sequence[BindRequest], *, now: datetime
    ) -> list[HolderCredentials | EwalletError]:
        """Binds a batch; what is wrong with one request stops no other. See `bind`."""
        return devices.bind_many(self, requests, now=now)

    def unbind(
        self,
        license: License | str,  # noqa: A002 - the word of the field
        thumbprint: bytes,
        *,
        reason: str,
        case: Case | None = None,
        now: datetime,
    ) -> License:
        """Ends a device's binding: a lost phone. Its credentials are revoked, the license lives on.

        Args:
            license: any version of it.
            thumbprint: of the device key.
            reason: why.
            case: who acts, in what matter.
            now: the time (aware).

        Raises:
            NotFound: no such license, or no such living device.
            Conflict: see `amend`.
        """

        def change(connection: Connection, entry: Entry) -> None:
            devices.unbind(connection, entry, thumbprint, reason=reason, at=seconds(now))

        detail = {"device": thumbprint.hex()}
        return self.act(
            EventKind.UNBIND, license, reason=reason, case=case, now=now, detail=detail, change=change
        )


# --- Small parts --------------------------------------------------------------------------------------------


def _or_raise(result: Issued | EwalletError) -> Issued:
    if isinstance(result, EwalletError):
        raise result
    return result


def _identifier(license_: License | str) -> str:
    return license_ if isinstance(license_, str) else license_.identifier


def _content(
    kind: EventKind, name: str, values: Mapping[str, object], printed: PrintOrder | None = None
) -> bytes:
    """What a case number stands for: the same case with the same content is the same act."""
    text = json.dumps([kind.value, name, values, repr(printed)], sort_keys=True)
    return sha256(text.encode()).digest()


def _living(
    connection: Connection, type_code: str, holder: str
) -> list[tuple[int, int, str, dict[str, str]]]:
    """Number, version, state and face of a holder's living licenses of a type."""
    table = tables.license_.c
    rows = connection.execute(
        select(table.id, table.version, table.state, tables.version.c.face)
        .join(
            tables.version,
            (tables.version.c.license_id == table.id) & (tables.version.c.version == table.version),
        )
        .where(
            table.holder == holder,
            table.type_code == type_code,
            table.state.in_((State.VALID.value, State.SUSPENDED.value)),
        )
    ).all()
    return [(row.id, row.version, row.state, json.loads(row.face)) for row in rows]


def _differences(old: Mapping[str, str], new: Mapping[str, str]) -> set[str]:
    return {key for key in (*old, *new) if old.get(key) != new.get(key)}
