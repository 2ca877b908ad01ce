"""Life cycle: one table says which event is allowed in which state, and where it leads."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from ewallet.errors import NotAllowed


class State(StrEnum):
    """The state that a license is in."""

    VALID = "valid"
    SUSPENDED = "suspended"
    WITHDRAWN = "withdrawn"
    CANCELLED = "cancelled"
    REVOKED = "revoked"
    LAPSED = "lapsed"
    TRANSFERRED = "transferred"

    @property
    def lives(self) -> bool:
        """Whether the license still exists: it is valid, or could be again."""
        return self in (State.VALID, State.SUSPENDED)


FIELD_CODES: Final = {
    State.VALID: "01",
    State.SUSPENDED: "02",
    State.WITHDRAWN: "03",
    State.CANCELLED: "04",
    State.LAPSED: "05",
    State.TRANSFERRED: "06",
    State.REVOKED: "07",
}
"""Codes of the states as sharing services in the field write them (`ZZZT`)."""


class EventKind(StrEnum):
    """What can happen to a license."""

    ISSUE = "issue"
    TRANSFER_IN = "transfer_in"
    AMEND = "amend"
    RENEW = "renew"
    CORRECT = "correct"
    ANNOTATE = "annotate"
    SUSPEND = "suspend"
    RESTORE = "restore"
    WITHDRAW = "withdraw"
    CANCEL = "cancel"
    REVOKE = "revoke"
    LAPSE = "lapse"
    TRANSFER_OUT = "transfer_out"
    REISSUE = "reissue"
    RESIGN = "resign"
    BIND = "bind"
    UNBIND = "unbind"
    PRINT = "print"
    COPY = "copy"
    PERMIT = "permit"
    REVIEW = "review"


_VALID, _SUSPENDED = State.VALID, State.SUSPENDED

TRANSITIONS: Final[dict[EventKind, dict[State, State]]] = {
    EventKind.AMEND: {_VALID: _VALID},
    EventKind.RENEW: {_VALID: _VALID, State.LAPSED: _VALID},
    EventKind.CORRECT: {_VALID: _VALID, _SUSPENDED: _SUSPENDED},
    EventKind.ANNOTATE: {_VALID: _VALID, _SUSPENDED: _SUSPENDED},
    EventKind.SUSPEND: {_VALID: _SUSPENDED},
    EventKind.RESTORE: {_SUSPENDED: _VALID},
    EventKind.WITHDRAW: {_VALID: State.WITHDRAWN, _SUSPENDED: State.WITHDRAWN},
    EventKind.CANCEL: {_VALID: State.CANCELLED, _SUSPENDED: State.CANCELLED, State.LAPSED: State.CANCELLED},
    EventKind.REVOKE: {_VALID: State.REVOKED, _SUSPENDED: State.REVOKED},
    EventKind.LAPSE: {_VALID: State.LAPSED, _SUSPENDED: State.LAPSED},
    EventKind.TRANSFER_OUT: {_VALID: State.TRANSFERRED},
    EventKind.REISSUE: {_VALID: _VALID},
    EventKind.RESIGN: {_VALID: _VALID, _SUSPENDED: _SUSPENDED},
    EventKind.BIND: {_VALID: _VALID},
    EventKind.UNBIND: {state: state for state in State},
    EventKind.PRINT: {_VALID: _VALID},
    EventKind.COPY: {state: state for state in State},
    EventKind.PERMIT: {_VALID: _VALID, _SUSPENDED: _SUSPENDED},
    EventKind.REVIEW: {_VALID: _VALID, _SUSPENDED: _SUSPENDED},
}
"""Event -> state before -> state after. What is not here is refused; a license is born by `issue` or
`transfer_in` and nothing brings back one that ended, but the renewal of one that merely lapsed."""


def next_state(kind: EventKind, state: State) -> State:
    """The state after an event.

    Raises:
        NotAllowed: the state does not allow the event; says which state.
    """
    after = TRANSITIONS.get(kind, {}).get(state)
    if after is None:
        raise NotAllowed(kind.value, state.value)
    return after


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Who acts, and in what matter.

    Attributes:
        number: case number; the same one with the same content gives the same result again.
        matter: code or name of the service item.
        operator: who acts.
        second_operator: who confirms, where the type wants four eyes.
        partners: through which systems the two acted, where that is known; goes into the event.
    """

    number: str = ""
    matter: str = ""
    operator: str = ""
    second_operator: str = ""
    partners: tuple[str, ...] = ()


def same_officer(one: str, other: str) -> bool:
    """Whether two names are one officer's: case, width, spaces and invisible characters make no other.

    >>> same_officer("Clerk-1", "ｃｌｅｒｋ-1 "), same_officer("clerk-1", "clerk-2")
    (True, False)
    """
    return _bare(one) == _bare(other)


def _bare(name: str) -> str:
    plain = unicodedata.normalize("NFKC", name).casefold()
    return "".join(each for each in plain if each.isprintable() and not each.isspace())


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened to a license; never changed, never deleted.

    Attributes:
        id: number in the feed, without gaps, in the order of commits.
        license_id: number of the license in the register.
        version: version after the event.
        kind: what happened.
        state: state after it.
        at: seconds since 1970.
        reason: why.
        case: who acted, in what matter.
        detail: what else belongs to it (replaced identifier, device, permit ...), as JSON values.
    """

    id: int
    license_id: int
    version: int
    kind: EventKind
    state: State
    at: int
    reason: str
    case: Case
    detail: dict[str, object]
