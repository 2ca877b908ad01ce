"""Comprehensive license (one industry, one license): wraps permits of several authorities.

Every permit keeps its own authority, end and state, and its own credential, which verifies alone. The state
of the whole is derived from them and explained; whoever needs one permit only asks for that one.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import insert, select, update

from ewallet.errors import Conflict, NotAllowed, NotFound, RecordError
from ewallet.licenses import tables
from ewallet.licenses.issuer import Issued, Issuer, Order
from ewallet.licenses.lifecycle import Case, EventKind, State
from ewallet.licenses.register import Entry, entry_of
from ewallet.moments import day_of, instant, seconds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from ewallet.licenses.license import License
    from ewallet.licenses.printed import PrintOrder
    from ewallet.licenses.register import Register

TYPE_KEY: Final = "comprehensive-license"

_ACTS: Final[dict[str, dict[State, State]]] = {
    "suspend": {State.VALID: State.SUSPENDED},
    "restore": {State.SUSPENDED: State.VALID},
    "revoke": {State.VALID: State.REVOKED, State.SUSPENDED: State.REVOKED},
}
"""What may be done to one permit in which state."""

_WORDS: Final = {
    State.VALID: ("有效", "valid"),
    State.SUSPENDED: ("暂停", "suspended"),
    State.REVOKED: ("吊销", "revoked"),
    State.LAPSED: ("届满", "ended"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PermitKind:
    """A permit that an industry needs or may have.

    Attributes:
        key: short name inside the license.
        zh: name.
        en: English name.
        authority: which kind of authority grants it.
        optional: whether a business may do without.
    """

    key: str
    zh: str
    en: str
    authority: str
    optional: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Permit:
    """One permit inside a comprehensive license.

    Attributes:
        key: short name inside the license (`PermitKind.key`).
        name: name as on the face.
        authority: URI of the authority that granted it.
        authority_name: its name.
        number: its number.
        identifier: its own e-license identifier; empty if it has none.
        valid_until: its last day; None: no end.
        document: its own document credential, which verifies alone; empty if it has none.
        state: its state, the end not considered.
        since: since when it is in this state, seconds since 1970; 0 for a permit that is not recorded yet.
        reason: why.
    """

    key: str
    name: str
    authority: str
    authority_name: str
    number: str
    identifier: str = ""
    valid_until: date | None = None
    document: str = ""
    state: State = State.VALID
    since: int = 0
    reason: str = ""

    def state_on(self, day: date) -> State:
        """Its state on a day: one whose last day is over has ended."""
        ended = self.valid_until is not None and self.valid_until < day
        return State.LAPSED if ended and self.state is not State.REVOKED else self.state


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """The state of a comprehensive license, derived from its permits.

    Attributes:
        state: `valid` while the license and at least one permit that its industry demands are in force.
        complete: whether every permit is in force.
        zh: the explanation.
        en: the explanation in English.
        permits: the permits.
    """

    state: State
    complete: bool
    zh: str
    en: str
    permits: tuple[Permit, ...]


@cache
def industries() -> Mapping[str, tuple[PermitKind, ...]]:
    """The permits of each industry, from `industries.toml`."""
    text = (resources.files("ewallet.licenses") / "industries.toml").read_text(encoding="utf-8")
    return {
        key: tuple(PermitKind(**permit) for permit in table["permit"])
        for key, table in tomllib.loads(text).items()
    }


def check_permits(industry: str, permits: Sequence[Permit]) -> None:
    """Whether these permits make a license of an industry.

    Raises:
        RecordError: an unknown industry, a permit that does not belong to it or stands twice, one missing.
    """
    kinds = {kind.key: kind for kind in industries().get(industry, ())}
    if not kinds:
        raise RecordError("no such industry", field="industry")
    keys = [permit.key for permit in permits]
    if len(set(keys)) != len(keys) or not kinds.keys() >= set(keys):
        raise RecordError("a permit that the industry does not have, or one twice", field="permits_text")
    missing = [kind.en for kind in kinds.values() if not kind.optional and kind.key not in keys]
    if missing:
        raise RecordError(f"the industry demands: {', '.join(missing)}", field="permits_text")


def issue(
    issuer: Issuer,
    record: Mapping[str, str],
    permits: Sequence[Permit],
    *,
    reason: str = "",
    printed: PrintOrder | None = None,
    case: Case | None = None,
    now: datetime,
) -> Issued:
    """Issues a comprehensive license around permits, in one transaction.

    Args:
        issuer: the authority that issues the whole.
        record: its fields, without `permits_text`, which is made here.
        permits: what it wraps.
        reason: why.
        printed: what is printed with it.
        case: who acts, in what matter.
        now: the time (aware).

    Raises:
        RecordError: the permits do not make a license of the industry; see `Issuer.issue`.
        Conflict: see `Issuer.issue`.
    """
    check_permits(record.get("industry", ""), permits)
    rows = [_row(permit, seconds(now)) for permit in permits]
    order = Order(
        record={**record, "permits_text": _text(permits)},
        printed=printed,
        case=case or Case(),
        reason=reason,
        permits=tuple(rows),
    )
    result = issuer.issue_many([order], type=TYPE_KEY, now=now)[0]
    if not isinstance(result, Issued):
        raise result
    return result


def put_permit(
    issuer: Issuer,
    license_: License,
    permit: Permit,
    *,
    reason: str,
    case: Case | None = None,
    now: datetime,
) -> Issued:
    """Adds a permit, or puts a new one in the place of another: a new version of the whole.

    Args:
        issuer: the authority that issued the whole.
        license_: its newest version.
        permit: the permit; one of the same key is replaced.
        reason: why.
        case: who acts, in what matter.
        now: the time (aware).

    Raises:
        RecordError: the industry has no such permit.
        NotAllowed, Conflict: see `Issuer.amend`.
    """
    kept = [item for item in permits_of(issuer.register, license_.identifier) if item.key != permit.key]
    permits = sorted((*kept, permit), key=lambda item: item.key)
    check_permits(license_.fields["industry"], permits)

    def change(connection: Connection, entry: Entry) -> None:
        table = tables.permit.c
        row = _row(permit, seconds(now))
        changed = connection.execute(
            update(tables.permit)
            .where(table.license_id == entry.id, table.key == permit.key)
            .values(**{key: value for key, value in row.items() if key != "key"})
        )
        if not changed.rowcount:
            connection.execute(insert(tables.permit).values(license_id=entry.id, **row))

    return issuer.amend(
        license_,
        {"permits_text": _text(permits)},
        reason=reason,
        case=case,
        now=now,
        change=change,
        detail={"permit": permit.key, "number": permit.number},
    )


def act_on_permit(
    issuer: Issuer,
    license_: License | str,
    key: str,
    act: str,
    *,
    reason: str,
    case: Case | None = None,
    now: datetime,
) -> License:
    """Suspends, restores or revokes one permit; the others and the whole go on.

    Args:
        issuer: the authority that issued the whole.
        license_: any version of it.
        key: which permit.
        act: `suspend`, `restore` or `revoke`.
        reason: why.
        case: who acts, in what matter.
        now: the time (aware).

    Raises:
        ValueError: another act.
        NotFound: no such license, or no such permit in it.
        NotAllowed: the permit's state does not allow it.
    """
    if act not in _ACTS:
        raise ValueError("a permit is suspended, restored or revoked")

    def change(connection: Connection, entry: Entry) -> None:
        table = tables.permit.c
        row = connection.execute(
            select(table.state).where(table.license_id == entry.id, table.key == key).with_for_update()
        ).one_or_none()
        if row is None:
            raise NotFound("the license has no such permit")
        after = _ACTS[act].get(State(row.state))
        if after is None:
            raise NotAllowed(f"{act} permit", row.state)
        connection.execute(
            update(tables.permit)
            .where(table.license_id == entry.id, table.key == key)
            .values(state=after.value, since=seconds(now), reason=reason)
        )

    return issuer.act(
        EventKind.PERMIT,
        license_,
        reason=reason,
        case=case,
        now=now,
        detail={"permit": key, "act": act},
        change=change,
    )


def permits_of(register: Register, identifier: str) -> tuple[Permit, ...]:
    """The permits of a comprehensive license.

    Raises:
        NotFound: no such license.
    """
    table = tables.permit
    with register.reading() as connection:
        entry = entry_of(connection, identifier)
        rows = connection.execute(
            select(table).where(table.c.license_id == entry.id).order_by(table.c.key)
        ).all()
    return tuple(_permit(row) for row in rows)


def whole_state(register: Register, identifier: str, *, now: datetime) -> Whole:
    """The derived state of the whole, with its explanation.

    Args:
        register: where it is recorded.
        identifier: of any of its versions.
        now: the time (aware).

    Raises:
        NotFound: no such license.
    """
    with register.reading() as connection:
        own = entry_of(connection, identifier).state
    day = day_of(now)
    industry = register.current(identifier).fields["industry"]
    needed = {kind.key for kind in industries().get(industry, ()) if not kind.optional}
    permits = permits_of(register, identifier)
    out = [permit for permit in permits if permit.state_on(day) is not State.VALID]
    if own is not State.VALID:
        return Whole(
            state=own,
            complete=False,
            zh=f"整体{_WORDS.get(own, (own.value,) * 2)[0]}",
            en=f"the whole is {own.value}",
            permits=permits,
        )
    running = needed - {permit.key for permit in out}
    state = State.VALID if running else State.SUSPENDED
    return Whole(
        state=state,
        complete=not out,
        zh=_explained(out, day, zh=True, valid=bool(running)),
        en=_explained(out, day, zh=False, valid=bool(running)),
        permits=permits,
    )


def covers(register: Register, identifier: str, key: str, *, now: datetime) -> tuple[bool, str]:
    """Whether the license covers one permit now, and why not: the answer for who needs only that one.

    Raises:
        NotFound: no such license.
    """
    with register.reading() as connection:
        own = entry_of(connection, identifier).state
    if own is not State.VALID:
        return False, f"the whole is {own.value}"
    for permit in permits_of(register, identifier):
        if permit.key == key:
            state = permit.state_on(day_of(now))
            return state is State.VALID, "" if state is State.VALID else _since(permit, state, zh=False)
    return False, "the license has no such permit"


def _explained(out: Sequence[Permit], day: date, *, zh: bool, valid: bool) -> str:
    word = (
        ("有效" if zh else "valid")
        if valid
        else ("无有效的必备许可" if zh else "no required permit in force")
    )
    if not out:
        return word
    parts = [_since(permit, permit.state_on(day), zh=zh) for permit in out]
    return f"{word}（除外：{'；'.join(parts)}）" if zh else f"{word} except {'; '.join(parts)}"


def _since(permit: Permit, state: State, *, zh: bool) -> str:
    if state is State.LAPSED and permit.valid_until is not None:
        day = permit.valid_until.isoformat()
        return f"{permit.name}，有效期至{day}" if zh else f"{permit.name}, ended on {day}"
    day = day_of(instant(permit.since)).isoformat()
    word = _WORDS[state][0 if zh else 1]
    return f"{permit.name}，自{day}起{word}" if zh else f"{permit.name}, {word} since {day}"


def _text(permits: Sequence[Permit]) -> str:
    ordered = sorted(permits, key=lambda item: item.key)
    return "\n".join(f"{permit.name} {permit.number}（{permit.authority_name}）" for permit in ordered)


def _row(permit: Permit, at: int) -> dict[str, Any]:
    if permit.state is not State.VALID:
        raise Conflict("a permit that is not valid cannot be wrapped")
    return {
        "key": permit.key,
        "name": permit.name,
        "authority": permit.authority,
        "authority_name": permit.authority_name,
        "number": permit.number,
        "identifier": permit.identifier,
        "valid_until": permit.valid_until.isoformat() if permit.valid_until else None,
        "state": permit.state.value,
        "since": at,
        "reason": permit.reason,
        "document": permit.document,
    }


def _permit(row: Any) -> Permit:
    return Permit(
        key=row.key,
        name=row.name,
        authority=row.authority,
        authority_name=row.authority_name,
        number=row.number,
        identifier=row.identifier,
        valid_until=date.fromisoformat(row.valid_until) if row.valid_until else None,
        document=row.document,
        state=State(row.state),
        since=row.since,
        reason=row.reason,
    )
