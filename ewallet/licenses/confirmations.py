"""Four eyes between systems: an act that its type gives to two officers waits until another one confirms it.

Who asks and who confirms are two partners and two officers, so that no single key is both pairs of eyes.

1. The act is tried with its one officer. What is wrong with it is said at once; what needs no second officer
   is done; only if nothing else stands against it, it waits.
2. What waits is kept as a whole, under its case number, for a day.
3. Another partner is shown the content and confirms its digest: what it has seen is what is done.
4. The act is done with both officers, as any act is: under its case number once, and refused if the state of
   the license does not allow it any more. Then its content is deleted; who asked and who confirmed stays.
"""

from __future__ import annotations

import json
import secrets
from base64 import b64decode
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import func, insert, select, update

from ewallet.errors import (
    Conflict,
    NotAllowed,
    NotFound,
    NotWaiting,
    RecordError,
    RegisterError,
    SameOfficer,
    SecondOfficerNeeded,
)
from ewallet.licenses import tables
from ewallet.licenses.issuing import issued_before
from ewallet.licenses.lifecycle import Case, EventKind, State, same_officer
from ewallet.licenses.printed import PrintOrder
from ewallet.licenses.register import encode_images
from ewallet.moments import seconds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection

    from ewallet.licenses.issuer import Issued, Issuer
    from ewallet.licenses.license import License

LIFE: Final = timedelta(hours=24)
"""How long an act waits; then it is asked for again, or not at all."""

MAX_WAITING: Final = 1000
"""Acts of one partner that may wait at a time."""

_CLAIM: Final = timedelta(seconds=60)
"""A confirmation that has not ended by then has lost its process; another call takes it up."""

WAITING, CONFIRMING = "waiting", "confirming"
DONE, REJECTED, FAILED, EXPIRED = "done", "rejected", "failed", "expired"

_ENDINGS: Final = {
    EventKind.REVOKE: State.REVOKED,
    EventKind.WITHDRAW: State.WITHDRAWN,
    EventKind.CANCEL: State.CANCELLED,
}
_VERSIONS: Final = (EventKind.AMEND, EventKind.RENEW, EventKind.CORRECT)
KINDS: Final = frozenset(
    (EventKind.ISSUE, *_VERSIONS, EventKind.ANNOTATE, EventKind.SUSPEND, EventKind.RESTORE, *_ENDINGS)
)
"""Acts that can wait."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Act:
    """A call of an officer as a whole: one of the verbs of `Issuer`, with everything that it is given.

    Attributes:
        kind: which of `KINDS`.
        case: who acts, in what matter.
        reason: why.
        identifier: of the license; empty for `issue`.
        type: short name or code of the type, for `issue`.
        values: the record of `issue`; the changes of `amend`, `renew` and `correct`.
        text: of an annotation.
        images: content of image fields (JPEG).
        printed: what is printed with it.
    """

    kind: EventKind
    case: Case
    reason: str = ""
    identifier: str = ""
    type: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    text: str = ""
    images: Mapping[str, bytes] = field(default_factory=dict)
    printed: PrintOrder | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"{self.kind.value} is no act of this kind")

    def do(self, issuer: Issuer, *, now: datetime) -> Issued | License:
        """Does it; raises what the verb raises."""
        common: dict[str, Any] = {"reason": self.reason, "case": self.case, "now": now}
        if self.kind is EventKind.ISSUE:
            return issuer.issue(
                self.values, type=self.type, printed=self.printed, images=self.images, **common
            )
        if self.kind in _VERSIONS:
            verb = getattr(issuer, self.kind.value)
            made: Issued = verb(
                self.identifier, self.values, printed=self.printed, images=self.images, **common
            )
            return made
        if self.kind in _ENDINGS:
            return issuer.revoke(self.identifier, kind=_ENDINGS[self.kind], **common)
        if self.kind is EventKind.ANNOTATE:
            return issuer.annotate(self.identifier, text=self.text, **common)
        verb = issuer.suspend if self.kind is EventKind.SUSPEND else issuer.restore
        changed: License = verb(self.identifier, **common)
        return changed


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Pending:
    """An act that waits.

    Attributes:
        id: its name.
        content: what an officer is shown, and confirms: act, authority, type, identifier, record or changes,
            text, images (SHA-256, hex), printed, reason, case, partner.
        proposed_at: seconds since 1970.
        expires_at: seconds since 1970.
    """

    id: str
    content: Mapping[str, Any]
    proposed_at: int
    expires_at: int

    @property
    def digest(self) -> bytes:
        """What is confirmed: SHA-256 of the content in canonical JSON (RFC 8785)."""
        return sha256(_canonical(self.content)).digest()


class Confirmations:
    """Acts of one authority that wait for a second officer, in the database of its register.

    Args:
        issuer: the authority at work.
        life: how long an act waits.
    """

    def __init__(self, issuer: Issuer, *, life: timedelta = LIFE) -> None:
        self._issuer = issuer
        self._authority = issuer.authority.uri
        self._life = life

    def do(self, act: Act, *, by: str, now: datetime) -> Issued | License | Pending:
        """Does an act, or keeps it until a second officer has confirmed it.

        The same call again gives the same: what waits while it waits, and the result once it is done.

        Args:
            act: the act. Naming a second officer in it says that there was one: it is up to the caller whom
                to believe that.
            by: which partner asks.
            now: the time (aware).

        Raises:
            ValueError: no operator, no case number or no partner.
            NotWaiting: this very act was rejected.
            Conflict: another act waits under this case number; too many acts of this partner wait.
            EwalletError: whatever the verb raises.
        """
        if not (by and act.case.number and act.case.operator):
            raise ValueError("an act needs a partner, a case number and an operator")
        try:
            return act.do(self._issuer, now=now)
        except SecondOfficerNeeded:
            if act.case.second_operator:
                raise
            return self._propose(act, by, now)

    def waiting(self, *, now: datetime, limit: int = MAX_WAITING) -> tuple[Pending, ...]:
        """What waits, the oldest first."""
        table = tables.confirmation.c
        with self._issuer.register.reading() as connection:
            rows = connection.execute(
                select(table.id, table.content, table.partner, table.proposed_at, table.expires_at)
                .where(
                    table.authority == self._authority,
                    table.state.in_((WAITING, CONFIRMING)),
                    table.expires_at > seconds(now),
                )
                .order_by(table.proposed_at, table.id)
                .limit(limit)
            ).all()
        return tuple(self._pending(row) for row in rows)

    def confirm(
        self, pending: str, *, digest: bytes, by: str, operator: str, now: datetime
    ) -> Issued | License:
        """Does what waits, with both officers. The same confirmation again gives the same result.

        Args:
            pending: name of what waits.
            digest: `Pending.digest` of what the officer was shown.
            by: which partner confirms.
            operator: who confirms.
            now: the time (aware).

        Raises:
            ValueError: no partner or no operator.
            NotFound: there is no such act.
            SameOfficer: it is the partner or the officer who asked.
            NotWaiting: it was decided already, its time is over, or another one is confirming it right now.
            Conflict: what waits is not what was shown.
            RecordError, NotFound, NotAllowed, Conflict: as the verb says now; the act waits no more.
            RegisterError, SignerError: nothing was done; it still waits.
        """
        if not by or not names_officer(operator):
            raise ValueError("a confirmation needs a partner and an operator")
        with self._issuer.register.writing() as connection:
            row = self._row(connection, pending)
            if by == row.partner:
                raise SameOfficer("the partner that asked does not confirm")
            if row.state == DONE:
                return self._again(connection, row, digest, by, operator)
            over = self._over(connection, row, now)
            if over is None:
                act = self._checked(row, digest, operator)
                act = self._claim(connection, row, act, now, by=by, operator=operator)
        if over is not None:
            raise over
        return self._carry_out(pending, act, now)

    def reject(self, pending: str, *, by: str, operator: str, reason: str, now: datetime) -> None:
        """Refuses what waits; who asked may withdraw it so. The very same act is not taken again.

        Args:
            pending: name of what waits.
            by: which partner.
            operator: who refuses.
            reason: why: who asked is told.
            now: the time (aware).

        Raises:
            ValueError: no partner, operator or reason.
            NotFound: there is no such act.
            NotWaiting: see `confirm`.
        """
        if not by or not names_officer(operator) or not reason:
            raise ValueError("a rejection needs a partner, an operator and a reason")
        with self._issuer.register.writing() as connection:
            row = self._row(connection, pending)
            over = NotWaiting(DONE) if row.state == DONE else self._over(connection, row, now)
            if over is None and row.state == CONFIRMING:
                over = self._left_behind(connection, row, now)
            if over is None:
                self._end(
                    connection,
                    pending,
                    REJECTED,
                    now,
                    confirmer=by,
                    second_operator=operator,
                    because=reason,
                )
        if over is not None:
            raise over

    def expire(self, *, now: datetime) -> int:
        """Deletes the content of acts whose time is over; regular work of whoever runs this.

        Returns:
            How many there were.
        """
        table = tables.confirmation.c
        due = select(table.id).where(
            table.authority == self._authority,
            table.state.in_((WAITING, CONFIRMING)),
            table.expires_at <= seconds(now),
        )
        with self._issuer.register.reading() as connection:
            names = list(connection.execute(due).scalars())
        ended = 0
        for name in names:
            with self._issuer.register.writing() as connection:
                ended += self._over(connection, self._row(connection, name), now) is not None
        return ended

    # --- asking ---------------------------------------------------------------------------------------------

    def _propose(self, act: Act, by: str, now: datetime) -> Pending:
        name = secrets.token_hex(16)
        type_code = self._type_code(act)
        kept = _kept(replace(act, type=type_code))
        pending = Pending(
            id=name,
            content=_shown(kept, self._authority, by),
            proposed_at=seconds(now),
            expires_at=seconds(now + self._life),
        )
        live = self._issuer.case_key(act.case.number)
        table = tables.confirmation.c
        try:
            with self._issuer.register.writing() as connection:
                known = connection.execute(
                    select(tables.confirmation).where(table.live == live).with_for_update()
                ).one_or_none()
                if known is not None and self._over(connection, known, now) is None:
                    return self._same(known, pending.digest)
                self._admit(connection, act, pending.digest, by)
                connection.execute(
                    insert(tables.confirmation).values(
                        id=name,
                        authority=self._authority,
                        kind=act.kind.value,
                        type_code=type_code,
                        case_number=act.case.number,
                        live=live,
                        content=json.dumps(kept, ensure_ascii=False),
                        images=encode_images(act.images),
                        digest=pending.digest,
                        partner=by,
                        proposed_at=pending.proposed_at,
                        expires_at=pending.expires_at,
                        state=WAITING,
                        confirmer="",
                        second_operator="",
                        decided_at=None,
                        because="",
                    )
                )
        except Conflict:  # the same call at the same instant, or another one under this case number
            with self._issuer.register.reading() as connection:
                known = connection.execute(
                    select(tables.confirmation).where(table.live == live)
                ).one_or_none()
            if known is None:
                raise
            return self._same(known, pending.digest)
        return pending

    def _type_code(self, act: Act) -> str:
        if act.kind is EventKind.ISSUE:
            return self._issuer.catalog[act.type].code
        return self._issuer.register.entry(act.identifier).type_code

    def _same(self, row: Any, digest: bytes) -> Pending:
        if bytes(row.digest) != digest:
            raise Conflict("another act waits under this case number")
        return self._pending(row)

    def _admit(self, connection: Connection, act: Act, digest: bytes, by: str) -> None:
        """Whether an act may begin to wait: it was not rejected, and not too many do."""
        table = tables.confirmation.c
        rejected = connection.execute(
            select(table.because).where(
                table.authority == self._authority,
                table.case_number == act.case.number,
                table.state == REJECTED,
                table.digest == digest,
            )
        ).first()
        if rejected is not None:
            raise NotWaiting(REJECTED, rejected.because)
        waiting = connection.execute(
            select(func.count())
            .select_from(tables.confirmation)
            .where(
                table.authority == self._authority,
                table.state.in_((WAITING, CONFIRMING)),
                table.partner == by,
            )
        ).scalar_one()
        if waiting >= MAX_WAITING:
            raise Conflict(f"{MAX_WAITING} acts of this partner wait already")

    # --- deciding -------------------------------------------------------------------------------------------

    def _row(self, connection: Connection, pending: str) -> Any:
        table = tables.confirmation.c
        row = connection.execute(
            select(tables.confirmation)
            .where(table.id == pending, table.authority == self._authority)
            .with_for_update()
        ).one_or_none()
        if row is None:
            raise NotFound("no such act waits")
        return row

    def _over(self, connection: Connection, row: Any, now: datetime) -> NotWaiting | None:
        """Why an act does not wait any more; None: it does. Ends one whose time is over."""
        if row.state not in (WAITING, CONFIRMING):
            return NotWaiting(row.state, row.because)
        if row.expires_at > seconds(now):
            return None
        if row.state == CONFIRMING:
            over = self._left_behind(connection, row, now)
            if over is not None:
                return over if over.state == DONE else None
        self._end(connection, row.id, EXPIRED, now)
        return NotWaiting(EXPIRED)

    def _left_behind(self, connection: Connection, row: Any, now: datetime) -> NotWaiting | None:
        """What a confirmation that did not come back has left: still at work, or done; None: nothing."""
        if row.decided_at + _CLAIM.total_seconds() > seconds(now):
            return NotWaiting(CONFIRMING)
        recorded = connection.execute(
            select(tables.event.c.id).where(tables.event.c.case_key == self._issuer.case_key(row.case_number))
        ).first()
        if recorded is None:
            return None
        self._end(connection, row.id, DONE, now)
        return NotWaiting(DONE)

    def _checked(self, row: Any, digest: bytes, operator: str) -> Act:
        """The act, if it is what was shown and another officer confirms it."""
        act = _act(row)
        if same_officer(act.case.operator, operator):
            raise SameOfficer("the officer who asked does not confirm")
        # From what is about to be done, not from what was written beside it.
        if sha256(_canonical(_shown(_kept(act), self._authority, row.partner))).digest() != digest:
            raise Conflict("what waits is not what was shown: look at it again")
        return act

    def _claim(
        self, connection: Connection, row: Any, act: Act, now: datetime, *, by: str, operator: str
    ) -> Act:
        """Notes who confirms, before it is done: after a crash it is finished in the same names."""
        if row.state == CONFIRMING:
            ours = row.confirmer == by and same_officer(row.second_operator, operator)
            if not ours and row.decided_at + _CLAIM.total_seconds() > seconds(now):
                raise NotWaiting(CONFIRMING)
            by, operator = row.confirmer, row.second_operator
        connection.execute(
            update(tables.confirmation)
            .where(tables.confirmation.c.id == row.id)
            .values(state=CONFIRMING, confirmer=by, second_operator=operator, decided_at=seconds(now))
        )
        case = replace(act.case, second_operator=operator, partners=(row.partner, by))
        return replace(act, case=case)

    def _carry_out(self, pending: str, act: Act, now: datetime) -> Issued | License:
        register = self._issuer.register
        try:
            try:
                result = act.do(self._issuer, now=now)
            except Conflict:  # somebody changed the license in between, or this act is being done: once more
                result = act.do(self._issuer, now=now)
        except (RecordError, NotFound, Conflict, NotAllowed) as error:
            with register.writing() as connection:
                self._end(connection, pending, FAILED, now, because=str(error))
            raise
        except Exception:
            with suppress(RegisterError), register.writing() as connection:
                connection.execute(
                    update(tables.confirmation)
                    .where(tables.confirmation.c.id == pending, tables.confirmation.c.state == CONFIRMING)
                    .values(state=WAITING, confirmer="", second_operator="", decided_at=None)
                )
            raise
        # It is done, whatever happens now: what is not noted here is found by its case number later.
        with suppress(RegisterError), register.writing() as connection:
            self._end(connection, pending, DONE, now)
        return result

    def _again(
        self, connection: Connection, row: Any, digest: bytes, by: str, operator: str
    ) -> Issued | License:
        """The result of a confirmation that was made before, for who made it."""
        ours = row.confirmer == by and same_officer(row.second_operator, operator)
        if not ours or bytes(row.digest) != digest:
            raise NotWaiting(DONE)
        license_id = connection.execute(
            select(tables.event.c.license_id).where(
                tables.event.c.case_key == self._issuer.case_key(row.case_number)
            )
        ).scalar_one()
        found = issued_before(self._issuer, connection, license_id)
        return found if row.kind in _MAKING else found.license

    def _end(self, connection: Connection, pending: str, state: str, now: datetime, **more: str) -> None:
        """Ends the waiting: what was asked for is deleted, who decided stays."""
        connection.execute(
            update(tables.confirmation)
            .where(
                tables.confirmation.c.id == pending, tables.confirmation.c.state.in_((WAITING, CONFIRMING))
            )
            .values(state=state, live=None, content=None, images=None, decided_at=seconds(now), **more)
        )

    def _pending(self, row: Any) -> Pending:
        return Pending(
            id=row.id,
            content=_shown(json.loads(row.content), self._authority, row.partner),
            proposed_at=row.proposed_at,
            expires_at=row.expires_at,
        )


_MAKING: Final = frozenset(kind.value for kind in (EventKind.ISSUE, *_VERSIONS))


def names_officer(operator: str) -> bool:
    """Whether something names an officer: printable text."""
    return bool(operator.strip()) and operator.isprintable()


def expires(pending: Pending) -> datetime:
    """When an act stops to wait (UTC)."""
    return datetime.fromtimestamp(pending.expires_at, UTC)


def _kept(act: Act) -> dict[str, Any]:
    printed = act.printed
    return {
        "act": act.kind.value,
        "type": act.type,
        "identifier": act.identifier,
        "record" if act.kind is EventKind.ISSUE else "changes": dict(act.values),
        "text": act.text,
        "images": {key: sha256(content).hexdigest() for key, content in act.images.items()},
        "printed": None
        if printed is None
        else {
            "originals": printed.originals,
            "duplicates": printed.duplicates,
            "stock": list(printed.stock),
        },
        "reason": act.reason,
        "case": {
            "number": act.case.number,
            "matter": act.case.matter,
            "operator": act.case.operator,
        },
    }


def _shown(kept: Mapping[str, Any], authority: str, partner: str) -> dict[str, Any]:
    return {**kept, "authority": authority, "partner": partner}


def _act(row: Any) -> Act:
    kept = json.loads(row.content)
    kind = EventKind(kept["act"])
    printed = kept["printed"]
    return Act(
        kind=kind,
        case=Case(**kept["case"]),
        reason=kept["reason"],
        identifier=kept["identifier"],
        type=kept["type"],
        values=kept["record" if kind is EventKind.ISSUE else "changes"],
        text=kept["text"],
        images={key: b64decode(value) for key, value in json.loads(row.images).items()} if row.images else {},
        printed=PrintOrder(**{**printed, "stock": tuple(printed["stock"])}) if printed else None,
    )


def _canonical(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
