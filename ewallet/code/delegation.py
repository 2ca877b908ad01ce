"""Delegation: somebody acts for somebody else, because the authority signed it.

A guardian shows the code of a minor, a child that of an elder, an employee acts for an enterprise. The pass
says as what and until when in the open, and carries the masked names of both as disclosures: a verification
always tells who is the subject and who acts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ewallet.code.passes import ROLES
from ewallet.errors import RecordError
from ewallet.moments import seconds

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Delegation:
    """Who acts for whom, where, until when, as the authority recorded it.

    Attributes:
        role: as what the actor acts (`ewallet.code.passes.ROLES`).
        actor: the authority's own identifier of who acts; never leaves it.
        subject_name: masked name of the subject.
        actor_name: masked name of who acts.
        scenes: scenes in which the actor may act.
        until: its end.
    """

    role: str
    actor: str
    subject_name: str
    actor_name: str
    scenes: frozenset[str]
    until: datetime

    def __post_init__(self) -> None:
        if self.role not in ROLES:
            raise ValueError(f"a role is one of {', '.join(ROLES)}")
        if not self.scenes:
            raise ValueError("a delegation names its scenes")
        seconds(self.until)

    def require(self, scenes: Iterable[str], *, now: datetime) -> None:
        """Checks that it covers these scenes now.

        Raises:
            RecordError: a scene that it does not cover, or its end.
        """
        if now >= self.until:
            raise RecordError("the delegation is over", field="delegation")
        if not self.scenes.issuperset(scenes):
            raise RecordError("a scene beyond the delegation", field="delegation")
