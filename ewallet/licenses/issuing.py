"""How a license is born: orders are checked, looked up, signed and committed, a batch at a time.

Signing happens between the transaction that sets numbers aside and the one that writes, so that no lock is
held while a signing device works.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select

from ewallet.errors import Conflict, EwalletError, RecordError, SecondOfficerNeeded
from ewallet.formats.statuslist import VALID as _VALID
from ewallet.licenses import credentials, tables, witnessing
from ewallet.licenses.license import SALT_SIZE, Holder, License, face_digest
from ewallet.licenses.lifecycle import Case, EventKind, State, same_officer
from ewallet.licenses.numbers import identifier as identifiers
from ewallet.licenses.printed import PrintedCopy, PrintOrder, seal_copy
from ewallet.licenses.register import encode_images, entry_of, event_row
from ewallet.licenses.rows import COPY, DOCUMENT, Rows, slot_row
from ewallet.licenses.seal import Role
from ewallet.moments import seconds

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import date, datetime

    from sqlalchemy import Connection

    from ewallet.formats.statuslist import StatusReference
    from ewallet.licenses.issuer import Issuer
    from ewallet.licenses.license_type import LicenseType


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Order:
    """One license that is to be issued.

    Attributes:
        record: field key -> value in exact form.
        holders: who holds it; empty: as the record says.
        printed: what is printed with it; None: nothing.
        images: content of image fields.
        case: who acts, in what matter.
        reason: why.
        replaces: identifier of another authority's license that this one takes over (transfer in).
        row: place in the bulk job that it comes from; 0: none.
        permits: rows of the permits that a comprehensive license wraps.
    """

    record: Mapping[str, str]
    holders: tuple[Holder, ...] = ()
    printed: PrintOrder | None = None
    images: Mapping[str, bytes] = field(default_factory=dict)
    case: Case = field(default_factory=Case)
    reason: str = ""
    replaces: str = ""
    row: int = 0
    permits: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Issued:
    """What came of an order.

    Attributes:
        license: the license as recorded.
        document: its document credential.
        printed: the copies to be printed, their seals made.
        again: the same case was recorded before: nothing new was made.
    """

    license: License
    document: str
    printed: tuple[PrintedCopy, ...]
    again: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Draft:
    """An order that has been checked."""

    order: Order
    values: dict[str, str]
    face: tuple[tuple[str, str], ...]
    holders: tuple[Holder, ...]
    holder: str
    number: str
    start: date
    until: date | None
    issued_on: date
    content: bytes
    face_text: str
    rest_text: str


Sheet = tuple[Role, int, int, str]
"""Role, number, of how many, stock number."""

_SERIAL: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_SERIAL_LENGTH: Final = 16
"""80 random bits: no two serials meet, and none tells anything."""


def make_draft(order: Order, type_: LicenseType, today: date) -> Draft:
    """Checks an order: the record and its term."""
    kind = kind_of(order)
    values = type_.check(order.record)
    start, until, issued_on = type_.term(values)
    if until is not None and until < today:
        raise RecordError("the license has ended already", field=type_.validity.until)
    if issued_on > today:
        raise RecordError("issued in the future", field=type_.validity.issued)
    holders = order.holders or type_.holders_of(values)
    check_images(type_, values, order.images)
    face = tuple((spec.key, values[spec.key]) for spec in type_.face_fields if spec.key in values)
    face_text, rest_text = to_json(dict(face)), rest_of(type_, values)
    return Draft(
        order=order,
        values=values,
        face=face,
        holders=holders,
        holder=holder_key(holders, values[type_.number]),
        number=values[type_.number],
        start=start,
        until=until,
        issued_on=issued_on,
        content=sha256(
            "\n".join(
                (kind.value, type_.code, face_text, rest_text, repr(order.printed), order.replaces)
            ).encode()
        ).digest(),
        face_text=face_text,
        rest_text=rest_text,
    )


def kind_of(order: Order) -> EventKind:
    """How the license of an order is born."""
    return EventKind.TRANSFER_IN if order.replaces else EventKind.ISSUE


def look_up(
    issuer: Issuer,
    drafts: Mapping[int, Draft],
    results: list[Issued | EwalletError | None],
    type_: LicenseType,
    job: str,
) -> None:
    """What the register already says about the drafts: cases, job rows, live licenses, matching ones."""
    with issuer.register.reading() as connection:
        _known_jobs(issuer, connection, drafts, results, job)
        _known_cases(issuer, connection, drafts, results)
        _known_matches(issuer, connection, drafts, results, type_)
        if not type_.several:
            _known_soles(connection, drafts, results, type_)


def _known_jobs(
    issuer: Issuer,
    connection: Connection,
    drafts: Mapping[int, Draft],
    results: list[Issued | EwalletError | None],
    job: str,
) -> None:
    rows = {draft.order.row: place for place, draft in drafts.items() if draft.order.row}
    if not job or not rows:
        return
    table = tables.job.c
    done = connection.execute(
        select(table.row, table.license_id).where(table.job == job, table.row.in_(list(rows)))
    ).all()
    for row, license_id in done:
        results[rows[row]] = issued_before(issuer, connection, license_id)


def _known_cases(
    issuer: Issuer,
    connection: Connection,
    drafts: Mapping[int, Draft],
    results: list[Issued | EwalletError | None],
) -> None:
    cases: dict[str, int] = {}
    for place, draft in drafts.items():
        number = draft.order.case.number
        if not number or results[place] is not None:
            continue
        if cases.setdefault(issuer.case_key(number), place) != place:
            results[place] = Conflict("this case number stands twice in the batch")
    if not cases:
        return
    table = tables.event.c
    found = connection.execute(
        select(table.case_key, table.content, table.license_id).where(table.case_key.in_(list(cases)))
    ).all()
    for case_key, content, license_id in found:
        place = cases[case_key]
        if bytes(content) == drafts[place].content:
            results[place] = issued_before(issuer, connection, license_id)
        else:
            results[place] = Conflict("another content was recorded under this case number")


def _known_soles(
    connection: Connection,
    drafts: Mapping[int, Draft],
    results: list[Issued | EwalletError | None],
    type_: LicenseType,
) -> None:
    soles: dict[str, int] = {}
    for place, draft in drafts.items():
        if results[place] is None and soles.setdefault(sole_of(type_, draft.holder), place) != place:
            results[place] = Conflict("the batch holds two licenses of this type for one holder")
    found = connection.execute(
        select(tables.license_.c.sole).where(tables.license_.c.sole.in_(list(soles)))
    ).scalars()
    for sole in found:
        results[soles[sole]] = Conflict("a license of this type lives for this holder already")


def _known_matches(
    issuer: Issuer,
    connection: Connection,
    drafts: Mapping[int, Draft],
    results: list[Issued | EwalletError | None],
    type_: LicenseType,
) -> None:
    for match in type_.matches:
        other = issuer.catalog[match.type_key]
        holders = {draft.holder for place, draft in drafts.items() if results[place] is None}
        faces = _faces_of(connection, other.code, holders)
        for place, draft in drafts.items():
            face = faces.get(draft.holder)
            if face is None or results[place] is not None:
                continue
            for here, there in match.fields.items():
                if draft.values.get(here, "") != face.get(there, ""):
                    results[place] = RecordError(f"differs from the {other.en.lower()}", field=here)
                    break


def issued_before(issuer: Issuer, connection: Connection, license_id: int) -> Issued:
    """A license as it stands, for a case or row that was done before; inside a transaction."""
    row = connection.execute(select(tables.license_).where(tables.license_.c.id == license_id)).one()
    first = connection.execute(
        select(tables.version.c.identifier).where(
            tables.version.c.license_id == license_id, tables.version.c.version == row.version
        )
    ).scalar_one()
    entry = entry_of(connection, first)
    license_ = issuer.register.newest(connection, entry)
    copies = tuple(
        copy for _, copy in issuer.register.copies_of(connection, entry) if copy.version == entry.version
    )
    return Issued(license=license_, document=license_.document or "", printed=copies, again=True)


def make_batch(
    issuer: Issuer, drafts: Sequence[Draft], type_: LicenseType, job: str, now: datetime
) -> list[Issued | EwalletError]:
    """Signs and commits a batch; if another process came first with one of them, each one alone."""
    made, rows = _sign(issuer, drafts, type_, job, now)
    rows.statement = witnessing.state(issuer, rows.signed, now=now)
    try:
        with issuer.register.writing() as connection:
            rows.write(connection)
    except Conflict as conflict:
        if len(drafts) == 1:
            return [_lost_race(issuer, drafts[0], conflict)]
        return [make_batch(issuer, [draft], type_, job, now)[0] for draft in drafts]
    return list(made)


def _sign(
    issuer: Issuer, drafts: Sequence[Draft], type_: LicenseType, job: str, now: datetime
) -> tuple[list[Issued], Rows]:
    """Signs a batch of new licenses; the rows are what is to be committed."""
    sheets = [draft.order.printed.sheets() if draft.order.printed else () for draft in drafts]
    copies = sum(map(len, sheets))
    reserved = issuer.register.reserve(
        rows=len(drafts) + copies,
        slots=len(drafts) + copies,
        authority=issuer.authority.uri,
        type_code=type_.code,
        base=issuer.authority.status_base,
        now=now,
    )
    slots = iter(reserved.slots)
    next_id = reserved.first_id
    taken = _taken_serials(issuer, drafts, type_)
    at = seconds(now)
    made = []
    rows = Rows()
    for draft, ordered in zip(drafts, sheets, strict=True):
        license_id, next_id = next_id, next_id + 1
        kind = kind_of(draft.order)
        serial = draft.number if type_.serial == "number" and draft.number not in taken else random_serial()
        rows.license_.append(
            {
                "id": license_id,
                "type_code": type_.code,
                "type_key": type_.key,
                "authority": issuer.authority.uri,
                "number": draft.number,
                "serial": serial,
                "holder": draft.holder,
                "sole": None if type_.several else sole_of(type_, draft.holder),
                "state": State.VALID.value,
                "version": 1,
                "revision": 1,
            }
        )
        issued = make_version(
            issuer,
            rows,
            draft,
            type_,
            license_id=license_id,
            version=1,
            serial=serial,
            replaces=draft.order.replaces or None,
            sheets=ordered,
            first_copy=next_id,
            slots=slots,
            now=now,
        )
        next_id += len(ordered)
        rows.event.append(
            event_row(
                license_id=license_id,
                version=1,
                kind=kind,
                state=State.VALID,
                at=at,
                reason=draft.order.reason,
                case=draft.order.case,
                authority=issuer.authority.uri,
                content=draft.content,
                detail={"replaces": draft.order.replaces} if draft.order.replaces else None,
            )
        )
        if draft.order.row:
            rows.job.append({"job": job, "row": draft.order.row, "license_id": license_id})
        made.append(issued)
    return made, rows


def _taken_serials(issuer: Issuer, drafts: Sequence[Draft], type_: LicenseType) -> set[str]:
    """Numbers that already are the serial of a license that ended: its identifiers stay its own."""
    if type_.serial != "number":
        return set()
    numbers = [draft.number for draft in drafts]
    table = tables.license_.c
    with issuer.register.reading() as connection:
        found = connection.execute(
            select(table.serial).where(table.type_code == type_.code, table.number.in_(numbers))
        ).scalars()
        return set(found) | {number for number, times in Counter(numbers).items() if times > 1}


def make_version(
    issuer: Issuer,
    rows: Rows,
    draft: Draft,
    type_: LicenseType,
    *,
    license_id: int,
    version: int,
    serial: str,
    replaces: str | None,
    sheets: Sequence[Sheet],
    first_copy: int,
    slots: Iterator[tuple[int, StatusReference]],
    now: datetime,
    value: int = _VALID,
) -> Issued:
    """Signs one version with its copies and adds their rows."""
    suite = issuer.signer.public_key.suite
    salt = os.urandom(SALT_SIZE)
    shard, reference = next(slots)
    license_ = License(
        type_code=type_.code,
        type_key=type_.key,
        type_version=type_.version,
        identifier=identifiers.make(type_.code, issuer.authority.uscc, serial, version),
        number=draft.number,
        version=version,
        replaces=replaces,
        authority=issuer.authority.uri,
        authority_name=issuer.authority.name,
        area=issuer.authority.area,
        holders=draft.holders,
        face=draft.face,
        images=draft.order.images,
        valid_from=draft.start,
        valid_until=draft.until,
        issued_on=draft.issued_on,
        issued_at=seconds(now),
        salt=salt,
        digest_name=suite.hash,
        face_digest=face_digest(draft.face, salt, suite.digest),
        document_status=reference,
    )
    document = credentials.make_document(license_, type_, issuer.signer, base=issuer.authority.base, now=now)
    license_ = license_.signed(document)
    rows.version.append(_version_row(issuer, license_, draft, license_id, shard))
    rows.signed.append((license_id, version, document))
    rows.slot.append(slot_row((shard, reference), license_id, version, kind=DOCUMENT, ref=0, value=value))
    copies = tuple(
        make_copy(
            issuer,
            rows,
            license_,
            type_,
            sheet,
            license_id=license_id,
            copy_id=first_copy + place,
            slot=next(slots),
            now=now,
            value=value,
        )
        for place, sheet in enumerate(sheets)
    )
    rows.permit += [{"license_id": license_id, **permit} for permit in draft.order.permits]
    return Issued(license=license_, document=document, printed=copies)


def _version_row(
    issuer: Issuer, license_: License, draft: Draft, license_id: int, shard: int
) -> dict[str, Any]:
    return {
        "license_id": license_id,
        "version": license_.version,
        "identifier": license_.identifier,
        "replaces": license_.replaces,
        "type_version": license_.type_version,
        "authority_name": license_.authority_name,
        "area": license_.area,
        "face": draft.face_text,
        "rest": draft.rest_text,
        "holders": to_json([holder.to_claim() for holder in draft.holders]),
        "images": encode_images(license_.images),
        "valid_from": license_.valid_from.isoformat(),
        "valid_until": license_.valid_until.isoformat() if license_.valid_until else None,
        "issued_on": license_.issued_on.isoformat(),
        "issued_at": license_.issued_at,
        "salt": license_.salt,
        "digest_name": license_.digest_name,
        "face_digest": license_.face_digest,
        "document": license_.document,
        "key_id": issuer.signer.public_key.kid,
        "shard": shard,
        "idx": license_.document_status.idx,
    }


def make_copy(
    issuer: Issuer,
    rows: Rows,
    license_: License,
    type_: LicenseType,
    sheet: Sheet,
    *,
    license_id: int,
    copy_id: int,
    slot: tuple[int, StatusReference],
    now: datetime,
    value: int,
) -> PrintedCopy:
    """Seals one sheet and adds its rows."""
    role, number, of, stock = sheet
    shard, reference = slot
    copy = seal_copy(
        license_,
        issuer.signer,
        role=role,
        number=number,
        of=of,
        stock=stock,
        critical=critical_fields(license_, type_),
        salt=os.urandom(SALT_SIZE),
        status=reference,
        issued_at=seconds(now),
    )
    rows.slot.append(slot_row(slot, license_id, license_.version, kind=COPY, ref=copy_id, value=value))
    rows.signed.append((license_id, license_.version, copy.seal))
    rows.copy.append(
        {
            "id": copy_id,
            "license_id": license_id,
            "version": license_.version,
            "role": int(role),
            "number": number,
            "of": of,
            "stock": stock or None,
            "state": copy.state.value,
            "seal": copy.seal,
            "shard": shard,
            "idx": reference.idx,
            "printed_at": None,
            "printer": "",
        }
    )
    return copy


def _lost_race(issuer: Issuer, draft: Draft, conflict: Conflict) -> Issued | EwalletError:
    """Another process recorded the same case between our look and our write: then its license is ours."""
    results: list[Issued | EwalletError | None] = [None]
    with issuer.register.reading() as connection:
        _known_cases(issuer, connection, {0: draft}, results)
    return conflict if results[0] is None else results[0]


def random_serial() -> str:
    """A serial that tells nothing: 16 characters without I, L, O and U."""
    bits = int.from_bytes(os.urandom(_SERIAL_LENGTH * 5 // 8), "big")
    return "".join(_SERIAL[bits >> 5 * place & 31] for place in range(_SERIAL_LENGTH))


def critical_fields(license_: License, type_: LicenseType) -> dict[str, str]:
    """The fields that the seal repeats, masked as the type says."""
    face = license_.fields
    return {spec.key: spec.masked(face[spec.key]) for spec in type_.seal_fields if spec.key in face}


def holder_key(holders: Sequence[Holder], number: str) -> str:
    """The holders as one key; a holder without a number of its own is told apart by the license's."""
    return "|".join(sorted(f"{holder.kind}:{holder.code or '~' + number}" for holder in holders))


def sole_of(type_: LicenseType, holder: str) -> str:
    """Type and holder as one key, of which the register keeps one alive."""
    return f"{type_.code} {holder}"


to_json: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def rest_of(type_: LicenseType, values: Mapping[str, str]) -> str:
    """The fields that stay in the register, as text."""
    rest = {spec.key: values[spec.key] for spec in type_.kept_fields if spec.key in values}
    return to_json(rest) if rest else "{}"


def two_officers(type_: LicenseType, kind: EventKind, case: Case, state: str) -> None:
    """Four eyes, where the type wants them. The last of an act's checks: what else is wrong is said first.

    Raises:
        SecondOfficerNeeded: the case names fewer than two officers.
    """
    if kind.value not in type_.four_eyes:
        return
    if not case.operator or not case.second_operator or same_officer(case.operator, case.second_operator):
        raise SecondOfficerNeeded(kind.value, state)


def check_images(type_: LicenseType, values: Mapping[str, str], images: Mapping[str, bytes]) -> None:
    """An image and the digest on the face belong together.

    Raises:
        RecordError: one without the other, or another digest.
    """
    key = type_.portrait
    if not key:
        if images:
            raise RecordError("the type has no image", field=next(iter(images)))
        return
    if (key in values) != (key in images) or len(images) > 1:
        raise RecordError("an image and its digest come together", field=key)
    if key in values and sha256(images[key]).hexdigest() != values[key]:
        raise RecordError("not the digest of the image", field=key)


def _faces_of(connection: Connection, type_code: str, holders: set[str]) -> dict[str, dict[str, str]]:
    """Faces of the living licenses of a type, by holder."""
    table = tables.license_.c
    rows = connection.execute(
        select(table.holder, tables.version.c.face)
        .join(
            tables.version,
            (tables.version.c.license_id == table.id) & (tables.version.c.version == table.version),
        )
        .where(
            table.holder.in_(list(holders)),
            table.type_code == type_code,
            table.state.in_((State.VALID.value, State.SUSPENDED.value)),
        )
    ).all()
    return {row.holder: json.loads(row.face) for row in rows}
