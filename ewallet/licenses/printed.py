"""Printed copies: sheets of paper as objects with a number, a state and a status entry of their own.

A sheet is ordered together with its license, in one transaction; what happens to it afterwards is an event.
What a state allows stands in one table, `TRANSITIONS`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from ewallet.errors import NotAllowed
from ewallet.licenses.license import face_digest
from ewallet.licenses.seal import Role, Seal, make_seal, parse_seal, shortened

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ewallet.formats.statuslist import StatusReference
    from ewallet.keys import Signer
    from ewallet.licenses.license import License


class CopyState(StrEnum):
    """Where a sheet is in its life."""

    TO_PRINT = "to-print"
    PRINTED = "printed"
    HANDED_OUT = "handed-out"
    RECALLED = "recalled"
    RETURNED = "returned"
    DESTROYED = "destroyed"
    LOST = "lost"


TRANSITIONS: Final[Mapping[CopyState, frozenset[CopyState]]] = {
    CopyState.TO_PRINT: frozenset((CopyState.PRINTED, CopyState.DESTROYED)),
    CopyState.PRINTED: frozenset(
        (CopyState.HANDED_OUT, CopyState.RECALLED, CopyState.DESTROYED, CopyState.LOST)
    ),
    CopyState.HANDED_OUT: frozenset((CopyState.RECALLED, CopyState.RETURNED, CopyState.LOST)),
    CopyState.RECALLED: frozenset((CopyState.RETURNED, CopyState.LOST, CopyState.DESTROYED)),
    CopyState.RETURNED: frozenset((CopyState.DESTROYED,)),
    CopyState.LOST: frozenset((CopyState.RETURNED,)),  # found again: it comes back, never into force
    CopyState.DESTROYED: frozenset(),
}
"""Which state may follow which. Nothing leads back to a sheet in force."""

IN_FORCE: Final = frozenset((CopyState.TO_PRINT, CopyState.PRINTED, CopyState.HANDED_OUT))
"""States in which a sheet of the current version counts."""

OUTSIDE: Final = frozenset((CopyState.HANDED_OUT, CopyState.RECALLED))
"""States in which somebody else holds the sheet: what a recall list names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrintOrder:
    """What is to be printed together with a license.

    Attributes:
        originals: how many originals; a marriage certificate has two.
        duplicates: how many duplicates.
        stock: stock numbers of the sheets, originals first; empty: plain paper without numbers.
    """

    originals: int = 1
    duplicates: int = 0
    stock: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.originals < 0 or self.duplicates < 0 or self.originals + self.duplicates < 1:
            raise ValueError("an order prints at least one sheet")
        if self.stock and len(self.stock) != self.originals + self.duplicates:
            raise ValueError("as many stock numbers as sheets, or none")
        if len(set(self.stock)) != len(self.stock):
            raise ValueError("a stock number twice")

    def sheets(self) -> tuple[tuple[Role, int, int, str], ...]:
        """Role, number, of how many, and stock number of each sheet, originals first."""
        roles = [(Role.ORIGINAL, n + 1, self.originals) for n in range(self.originals)]
        roles += [(Role.DUPLICATE, n + 1, self.duplicates) for n in range(self.duplicates)]
        stock = self.stock or ("",) * len(roles)
        return tuple((*role, number) for role, number in zip(roles, stock, strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class PrintedCopy:
    """One sheet.

    Attributes:
        identifier: GB/T 36904 identifier of the license version on it.
        version: that version's number.
        role: original or duplicate.
        number: which of its role, from 1.
        of: how many of its role were made.
        stock: number of the security paper; empty for plain paper.
        state: where it is in its life.
        seal: text of its barcode, `EWS...`.
        status: its own status entry.
        printed_at: seconds since 1970; None before printing.
        printer: which printer made it; empty before printing.
    """

    identifier: str
    version: int
    role: Role
    number: int
    of: int
    stock: str
    state: CopyState
    seal: str
    status: StatusReference
    printed_at: int | None = None
    printer: str = ""

    @property
    def seal_digest(self) -> bytes:
        """SHA-256 of the seal's signed bytes: names this sheet in edition statements."""
        return parse_seal(self.seal).digest


def next_state(copy: PrintedCopy, state: CopyState) -> CopyState:
    """The state itself, if the sheet may go there.

    Raises:
        NotAllowed: it may not.
    """
    if state not in TRANSITIONS[copy.state]:
        raise NotAllowed(f"copy to {state}", str(copy.state))
    return state


def seal_copy(
    license_: License,
    signer: Signer,
    *,
    role: Role,
    number: int,
    of: int,
    stock: str,
    critical: Mapping[str, str],
    salt: bytes,
    status: StatusReference,
    issued_at: int,
) -> PrintedCopy:
    """Make one sheet's seal, and the sheet that is to be printed.

    Args:
        license_: the version on the sheet.
        signer: key of the issuing authority.
        role: original or duplicate.
        number: which of its role.
        of: how many of its role.
        stock: number of the security paper, or empty.
        critical: the fields in clear, as `seal.critical_fields` gives them.
        salt: 16 random bytes of this sheet.
        status: the sheet's own status entry.
        issued_at: seconds since 1970.
    """
    ends_at = license_.ends_at
    seal = Seal(
        iss=license_.authority,
        area=license_.area,
        identifier=license_.identifier,
        version=license_.version,
        role=role,
        number=number,
        of=of,
        stock=stock,
        salt=salt,
        face_digest=face_digest(license_.face, salt, signer.public_key.suite.digest),
        fields={key: shortened(value) for key, value in critical.items()},
        issued_at=issued_at,
        expires=None if ends_at is None else int(ends_at.timestamp()),
        status=status,
    )
    return PrintedCopy(
        identifier=license_.identifier,
        version=license_.version,
        role=role,
        number=number,
        of=of,
        stock=stock,
        state=CopyState.TO_PRINT,
        seal=make_seal(seal, signer),
        status=status,
    )
