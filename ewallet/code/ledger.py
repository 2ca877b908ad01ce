"""What a code authority keeps: passes until they end, whom and which phone it stopped, what was revoked.

`MemoryLedger` is for tests and small trials; `ewallet.code.ledger_sql.SqlLedger` forgets nothing at a restart
and serves several processes.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from ewallet.errors import NotAllowed
from ewallet.moments import seconds

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

ISSUE: Final = "issue passes"
"""The event that a stopped person or phone is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedPass:
    """What the authority keeps of a pass until its end.

    Attributes:
        id: id of the pass.
        subject: the authority's identifier of whom it is about.
        actor: of who acts; equal to `subject` without delegation.
        phone: the authority's name for the phone.
        ends_at: end, seconds since 1970.
    """

    id: str
    subject: str
    actor: str
    phone: str
    ends_at: int


class Ledger(Protocol):
    """Where the authority keeps what it issued and what it stopped.

    `note`, `suspend` and `lose` about one person never overlap: no pass slips in between a suspension and
    its revocations.
    """

    def require(self, *, subject: str, actor: str, phone: str) -> None:
        """Asks before any work whether passes may be issued; `note` asks again.

        Raises:
            NotAllowed: subject or actor is suspended, or the phone is lost.
        """

    def note(self, issued: Sequence[IssuedPass]) -> None:
        """Notes a batch for one subject, actor and phone, before it is handed out.

        Raises:
            NotAllowed: as `require`; nothing is noted.
        """

    def suspend(self, subject: str, *, now: datetime) -> list[IssuedPass]:
        """Refuses a person or enterprise from now on and revokes what lives; what that is."""
        ...

    def lose(self, subject: str, phone: str, *, now: datetime) -> list[IssuedPass]:
        """Refuses a person's phone from now on and revokes what lives there; what that is.

        A phone without a name is not refused: it could be any.
        """
        ...

    def restore(self, subject: str) -> None:
        """Ends a suspension."""

    def find(self, subject: str, phone: str) -> None:
        """A lost phone is back."""

    def live(self, *, subject: str, phone: str | None, now: datetime) -> list[IssuedPass]:
        """Passes that have not ended, about a subject or shown by it; of one phone, or of all (None)."""
        ...

    def revoked(self, *, now: datetime) -> list[str]:
        """Ids of revoked passes that have not ended."""
        ...

    def forget(self, *, now: datetime) -> int:
        """Forgets passes that have ended; how many. Suspensions and lost phones stay."""
        ...


class MemoryLedger:
    """A ledger in memory, for tests and small trials: a restart forgets suspensions too."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._passes: list[IssuedPass] = []
        self._revoked: set[str] = set()
        self._suspended: set[str] = set()
        self._lost: set[tuple[str, str]] = set()

    def __len__(self) -> int:
        return len(self._passes)

    def require(self, *, subject: str, actor: str, phone: str) -> None:
        """See `Ledger.require`."""
        with self._lock:
            if {subject, actor} & self._suspended:
                raise NotAllowed(ISSUE, "suspended")
            if {(subject, phone), (actor, phone)} & self._lost:
                raise NotAllowed(ISSUE, "lost")

    def note(self, issued: Sequence[IssuedPass]) -> None:
        """See `Ledger.note`."""
        with self._lock:
            for one in issued[:1]:
                self.require(subject=one.subject, actor=one.actor, phone=one.phone)
            self._passes += issued

    def suspend(self, subject: str, *, now: datetime) -> list[IssuedPass]:
        """See `Ledger.suspend`."""
        with self._lock:
            self._suspended.add(subject)
            return self._revoke(self.live(subject=subject, phone=None, now=now))

    def lose(self, subject: str, phone: str, *, now: datetime) -> list[IssuedPass]:
        """See `Ledger.lose`."""
        with self._lock:
            if phone:
                self._lost.add((subject, phone))
            return self._revoke(self.live(subject=subject, phone=phone, now=now))

    def _revoke(self, issued: list[IssuedPass]) -> list[IssuedPass]:
        self._revoked |= {one.id for one in issued}
        return issued

    def restore(self, subject: str) -> None:
        """See `Ledger.restore`."""
        with self._lock:
            self._suspended.discard(subject)

    def find(self, subject: str, phone: str) -> None:
        """See `Ledger.find`."""
        with self._lock:
            self._lost.discard((subject, phone))

    def live(self, *, subject: str, phone: str | None, now: datetime) -> list[IssuedPass]:
        """See `Ledger.live`."""
        moment = seconds(now)
        with self._lock:
            return [
                issued
                for issued in self._passes
                if subject in (issued.subject, issued.actor)
                and issued.ends_at > moment
                and (phone is None or phone == issued.phone)
            ]

    def revoked(self, *, now: datetime) -> list[str]:
        """See `Ledger.revoked`."""
        moment = seconds(now)
        with self._lock:
            return [one.id for one in self._passes if one.id in self._revoked and one.ends_at > moment]

    def forget(self, *, now: datetime) -> int:
        """See `Ledger.forget`."""
        moment = seconds(now)
        with self._lock:
            before = len(self._passes)
            self._passes = [issued for issued in self._passes if issued.ends_at > moment]
            self._revoked &= {issued.id for issued in self._passes}
            return before - len(self._passes)
