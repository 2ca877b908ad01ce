"""Holders' devices: holder credentials for a device key, and how a binding ends.

A thousand phones at once are bound like one: proofs first, then one question to the register, then
signatures, then one transaction.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam, delete, select, update

from ewallet.errors import Conflict, EwalletError, NotAllowed, NotFound
from ewallet.formats.statuslist import INVALID, VALID
from ewallet.licenses import binding, credentials, tables, witnessing
from ewallet.licenses.lifecycle import Case, EventKind, State, next_state
from ewallet.licenses.register import event_row, insert_rows, set_slots
from ewallet.licenses.rows import DEVICE, Rows, slot_row
from ewallet.moments import seconds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from ewallet.formats.statuslist import StatusReference
    from ewallet.keys import PublicKey
    from ewallet.licenses.catalog import LicenseType
    from ewallet.licenses.issuer import Issuer
    from ewallet.licenses.license import License
    from ewallet.licenses.register import Entry

_GRACE: Final = 60
"""Seconds that a spent nonce is kept beyond its life: clocks of two machines differ."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class HolderCredentials:
    """What a bound device receives.

    Attributes:
        sd_jwt: SD-JWT VC, to be presented with a KB-JWT.
        sd_cwt: SD-CWT, to be presented as an SD-KBT.
        holder_index: which holder they belong to.
        expires_at: their end, seconds since 1970.
    """

    sd_jwt: str
    sd_cwt: bytes
    holder_index: int
    expires_at: int


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class BindRequest:
    """One device that asks for holder credentials.

    Attributes:
        license: identifier of any version of the license.
        holder_index: which holder, from 0.
        device_key: the device's public key.
        proof: `binding.prove` over the issuer's nonce.
        replacing: thumbprints of devices that end with this.
    """

    license: str
    holder_index: int
    device_key: PublicKey
    proof: bytes
    replacing: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Made:
    """A request with its credentials signed."""

    place: int
    request: BindRequest
    entry: Entry
    nonce: bytes
    device_id: int
    slots: tuple[tuple[int, StatusReference], tuple[int, StatusReference]]
    found: HolderCredentials
    statements: tuple[dict[str, Any], ...] = ()

    @property
    def key(self) -> tuple[int, int]:
        return self.entry.id, self.request.holder_index


def bind_many(
    issuer: Issuer, requests: Sequence[BindRequest], *, now: datetime
) -> list[HolderCredentials | EwalletError]:
    """Binds a batch; what is wrong with one request stops no other. See `Issuer.bind`."""
    results: list[HolderCredentials | EwalletError | None] = [None] * len(requests)
    proven: dict[int, bytes] = {}
    secret = issuer.register.secret()
    for place, request in enumerate(requests):
        try:
            proven[place] = binding.check_proof(
                request.proof, request.device_key, authority=issuer.authority.uri, secret=secret, now=now
            )
        except EwalletError as error:
            results[place] = error
    with issuer.register.reading() as connection:
        known = issuer.register.newest_of(connection, sorted({requests[n].license for n in proven}))
    groups: dict[str, dict[int, tuple[Entry, License]]] = {}
    for place in proven:
        try:
            entry, license_ = _bindable(issuer, requests[place], known, now)
        except EwalletError as error:
            results[place] = error
        else:
            groups.setdefault(entry.type_code, {})[place] = entry, license_
    for code, group in groups.items():
        made = _sign(issuer, issuer.catalog[code], requests, proven, group, now=now)
        _commit(issuer, made, results, now)
    return [result for result in results if result is not None]


def _bindable(
    issuer: Issuer, request: BindRequest, known: Mapping[str, tuple[Entry, License]], now: datetime
) -> tuple[Entry, License]:
    found = known.get(request.license)
    if found is None or found[0].authority != issuer.authority.uri:
        raise NotFound("this authority has no such license")
    entry, license_ = found
    next_state(EventKind.BIND, entry.state)
    if not 0 <= request.holder_index < len(license_.holders):
        raise NotFound("the license has no such holder")
    if license_.ends_at is not None and seconds(license_.ends_at) <= seconds(now):
        raise NotAllowed("bind", "ended")
    return entry, license_


def _sign(
    issuer: Issuer,
    type_: LicenseType,
    requests: Sequence[BindRequest],
    proven: Mapping[int, bytes],
    group: Mapping[int, tuple[Entry, License]],
    *,
    now: datetime,
) -> list[_Made]:
    reserved = issuer.register.reserve(
        rows=len(group),
        slots=2 * len(group),
        authority=issuer.authority.uri,
        type_code=type_.code,
        base=issuer.authority.status_base,
        now=now,
    )
    slots = iter(reserved.slots)
    made = []
    for position, (place, (entry, license_)) in enumerate(group.items()):
        request = requests[place]
        first, second = next(slots), next(slots)
        common: dict[str, Any] = {
            "base": issuer.authority.base,
            "holder_index": request.holder_index,
            "device_key": request.device_key,
            "now": now,
        }
        found = HolderCredentials(
            sd_jwt=credentials.make_holder_jwt(license_, type_, issuer.signer, status=first[1], **common),
            sd_cwt=credentials.make_holder_cwt(license_, type_, issuer.signer, status=second[1], **common),
            holder_index=request.holder_index,
            expires_at=credentials.holder_end(license_, now=now),
        )
        made.append(
            _Made(
                place=place,
                request=request,
                entry=entry,
                nonce=proven[place],
                device_id=reserved.first_id + position,
                slots=(first, second),
                found=found,
            )
        )
    return _witnessed(issuer, made, now)


def _witnessed(issuer: Issuer, made: Sequence[_Made], now: datetime) -> list[_Made]:
    signed: list[tuple[int, int, str | bytes]] = []
    for item in made:
        signed.append((item.entry.id, item.entry.version, item.found.sd_jwt))
        signed.append((item.entry.id, item.entry.version, item.found.sd_cwt))
    rows = witnessing.state(issuer, signed, now=now)
    return [replace(item, statements=tuple(rows[2 * n : 2 * n + 2])) for n, item in enumerate(made)]


def _commit(
    issuer: Issuer,
    made: Sequence[_Made],
    results: list[HolderCredentials | EwalletError | None],
    now: datetime,
) -> None:
    """One transaction; if something is wrong with one of them, each alone."""
    try:
        with issuer.register.writing() as connection:
            _write(issuer, connection, made, seconds(now))
    except EwalletError as error:
        if len(made) == 1:
            results[made[0].place] = error
            return
        for item in made:
            _commit(issuer, [item], results, now)
        return
    for item in made:
        results[item.place] = item.found


_LOCKED: Final = (
    select(tables.license_.c.id, tables.license_.c.state, tables.license_.c.version)
    .where(tables.license_.c.id.in_(bindparam("wanted", expanding=True)))
    .with_for_update()
)
_LIVING: Final = select(
    tables.device.c.id, tables.device.c.license_id, tables.device.c.holder_index, tables.device.c.thumbprint
).where(
    tables.device.c.license_id.in_(bindparam("wanted", expanding=True)), tables.device.c.ended_at.is_(None)
)


def _write(issuer: Issuer, connection: Connection, made: Sequence[_Made], at: int) -> None:
    connection.execute(delete(tables.nonce).where(tables.nonce.c.ends_at < at))
    ends_at = at + binding.NONCE_LIFE + _GRACE
    insert_rows(connection, tables.nonce, [{"nonce": item.nonce, "ends_at": ends_at} for item in made])
    wanted = sorted({item.entry.id for item in made})
    # Locked until the commit: whoever suspends or amends meanwhile waits, and then sees these entries too.
    now_is = {row.id: (row.state, row.version) for row in connection.execute(_LOCKED, {"wanted": wanted})}
    for item in made:
        if now_is.get(item.entry.id) != (State.VALID.value, item.entry.version):
            raise Conflict("another officer has changed this license since it was read")
    _end_before(issuer, connection, made, at, wanted)
    rows = Rows()
    devices = []
    for item in made:
        entry, thumbprint = item.entry, item.request.device_key.thumbprint()
        devices.append(
            {
                "id": item.device_id,
                "license_id": entry.id,
                "holder_index": item.found.holder_index,
                "thumbprint": thumbprint,
                "version": entry.version,
                "bound_at": at,
                "expires_at": item.found.expires_at,
                "ended_at": None,
                "ended_because": "",
                "live": f"{entry.id} {item.found.holder_index} {thumbprint.hex()}",
            }
        )
        rows.statement += item.statements
        for slot in item.slots:
            rows.slot.append(
                slot_row(slot, entry.id, entry.version, kind=DEVICE, ref=item.device_id, value=VALID)
            )
        rows.event.append(
            event_row(
                license_id=entry.id,
                version=entry.version,
                kind=EventKind.BIND,
                state=entry.state,
                at=at,
                reason="",
                case=Case(),
                authority=issuer.authority.uri,
                content=b"",
                detail={"holder_index": item.found.holder_index, "device": thumbprint.hex()},
            )
        )
    insert_rows(connection, tables.device, devices)
    rows.write(connection)


def _end_before(
    issuer: Issuer, connection: Connection, made: Sequence[_Made], at: int, wanted: Sequence[int]
) -> None:
    """What these bindings replace ends with them; then the devices of each holder are counted."""
    living: dict[tuple[int, int], list[tuple[int, bytes]]] = {}
    for row in connection.execute(_LIVING, {"wanted": wanted}):
        living.setdefault((row.license_id, row.holder_index), []).append((row.id, bytes(row.thumbprint)))
    more: dict[tuple[int, int], int] = {}
    ending: dict[str, list[int]] = {}
    for item in made:
        mine = living.get(item.key, [])
        thumbprint = item.request.device_key.thumbprint()
        for device_id, known in mine:
            if known == thumbprint or known in item.request.replacing:
                ending.setdefault("renewed" if known == thumbprint else "replaced", []).append(device_id)
        ended = sum(known == thumbprint or known in item.request.replacing for _, known in mine)
        more[item.key] = more.get(item.key, len(mine)) - ended + 1
        if more[item.key] > issuer.max_devices:
            raise NotAllowed(
                "bind", item.entry.state.value, f"{issuer.max_devices} devices are bound already"
            )
    for because, device_ids in ending.items():
        _end(connection, device_ids, wanted, because=because, at=at)


def _end(
    connection: Connection, device_ids: Sequence[int], licenses: Sequence[int], *, because: str, at: int
) -> None:
    connection.execute(
        update(tables.device)
        .where(tables.device.c.id.in_(device_ids))
        .values(ended_at=at, ended_because=because, live=None)
    )
    set_slots(
        connection,
        INVALID,
        where=[
            tables.slot.c.license_id.in_(licenses),
            tables.slot.c.kind == DEVICE,
            tables.slot.c.ref.in_(device_ids),
        ],
    )


def unbind(connection: Connection, entry: Entry, thumbprint: bytes, *, reason: str, at: int) -> None:
    """Ends the bindings of one device key, inside a transaction.

    Raises:
        NotFound: no such device is bound.
    """
    found = [
        row.id
        for row in connection.execute(_LIVING, {"wanted": [entry.id]})
        if bytes(row.thumbprint) == thumbprint
    ]
    if not found:
        raise NotFound("no such device is bound")
    _end(connection, found, [entry.id], because=reason, at=at)
