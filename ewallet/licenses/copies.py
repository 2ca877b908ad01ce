"""Printed copies in the register: what is to be taken back, and the account of the security paper.

The functions with a `connection` run inside somebody else's transaction: a license and its paper change
together or not at all. The others open their own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import exists, func, insert, select, update

from ewallet.errors import Conflict, NotFound
from ewallet.licenses import tables
from ewallet.licenses.printed import CopyState
from ewallet.licenses.seal import Role
from ewallet.moments import seconds

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from sqlalchemy import Connection
    from sqlalchemy.sql.elements import ColumnElement

    from ewallet.licenses.printed import PrintedCopy
    from ewallet.licenses.register import Register

_DIGITS: Final = re.compile(r"\d+$", re.ASCII)
_BATCH: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Outstanding:
    """A sheet that must come back.

    Attributes:
        identifier: identifier of the version on it.
        type_code: its type.
        number: license number.
        version: version on the sheet.
        current: version in force.
        state: state of the license.
        role: original or duplicate.
        copy: which of its role.
        of: how many of its role.
        stock: stock number.
        sheet: where the sheet is: recalled, or reported lost.
    """

    identifier: str
    type_code: str
    number: str
    version: int
    current: int
    state: str
    role: Role
    copy: int
    of: int
    stock: str
    sheet: CopyState


@dataclass(frozen=True, slots=True, kw_only=True)
class StockRange:
    """A range of security paper that an office was given.

    Attributes:
        first: first number.
        last: last number.
        office: who has it.
        handed_out_at: seconds since 1970.
        sheets: how many sheets.
        used: how many carry a license.
        spoiled: how many were spoiled.
    """

    first: str
    last: str
    office: str
    handed_out_at: int
    sheets: int
    used: int
    spoiled: int

    @property
    def free(self) -> int:
        """Sheets that are left."""
        return self.sheets - self.used - self.spoiled


# --- Inside transactions ------------------------------------------------------------------------------------


def take_back(connection: Connection, license_id: int, *, keeping: int | None) -> None:
    """Recall the sheets of a license; part of the transaction that makes them old.

    Sheets that were never printed are struck off instead; lost, returned and destroyed ones stay as they are.

    Args:
        connection: the transaction.
        license_id: number of the license in the register.
        keeping: the version whose sheets stay in force; None: none do, since the license ended.
    """
    table = tables.copy.c
    mine: list[ColumnElement[bool]] = [table.license_id == license_id]
    if keeping is not None:
        mine.append(table.version != keeping)
    for states, after in (
        ((CopyState.TO_PRINT,), CopyState.DESTROYED),
        ((CopyState.PRINTED, CopyState.HANDED_OUT), CopyState.RECALLED),
    ):
        connection.execute(
            update(tables.copy)
            .where(*mine, table.state.in_([state.value for state in states]))
            .values(state=after.value)
        )


def check_stock(connection: Connection, numbers: Sequence[str]) -> None:
    """Stock numbers that are about to be used must have been handed out and not be spoiled.

    A deployment that hands out no ranges (plain paper, or numbers kept elsewhere) is not asked for any; that
    a number is used once only, the table itself guarantees.

    Args:
        connection: the transaction.
        numbers: the numbers.

    Raises:
        Conflict: a number was not handed out, or is spoiled.
    """
    if not numbers:
        return
    spoiled = tables.stock_spoiled.c.stock
    for start in range(0, len(numbers), _BATCH):
        part = list(numbers[start : start + _BATCH])
        if connection.execute(select(spoiled).where(spoiled.in_(part)).limit(1)).first() is not None:
            raise Conflict("this sheet of security paper was spoiled")
    ranges = connection.execute(
        select(tables.stock_range.c.prefix, tables.stock_range.c.width, tables.stock_range.c.first,
               tables.stock_range.c.last)
    ).all()  # fmt: skip
    if not ranges:
        return
    known = [(row.prefix, row.width, row.first, row.last) for row in ranges]
    for number in numbers:
        try:
            prefix, width, place = _parts(number)
        except ValueError as error:
            raise Conflict("this stock number was never handed out") from error
        if not any(p == prefix and w == width and first <= place <= last for p, w, first, last in known):
            raise Conflict("this stock number was never handed out")


# --- Recall -------------------------------------------------------------------------------------------------


def recall_list(
    register: Register, *, identifier: str = "", type_code: str = "", lost: bool = False
) -> Iterator[Outstanding]:
    """The sheets that must come back, in the order of their licenses; streamed.

    Args:
        register: the register.
        identifier: of this license only, any version of it.
        type_code: of this type only.
        lost: also the sheets that were reported lost.
    """
    states = [CopyState.RECALLED.value, *([CopyState.LOST.value] if lost else [])]
    copy, version, license_ = tables.copy.c, tables.version.c, tables.license_.c
    wanted = (
        select(tables.copy, version.identifier, license_.number.label("license_number"), license_.type_code,
               license_.version.label("current"), license_.state.label("license_state"))
        .join(tables.version, (version.license_id == copy.license_id) & (version.version == copy.version))
        .join(tables.license_, license_.id == copy.license_id)
        .where(copy.state.in_(states))
        .order_by(copy.license_id, copy.id)
    )  # fmt: skip
    if type_code:
        wanted = wanted.where(license_.type_code == type_code)
    if identifier:
        named = select(version.license_id).where(version.identifier == identifier).scalar_subquery()
        wanted = wanted.where(copy.license_id == named)
    with register.reading() as connection:
        for row in connection.execution_options(yield_per=1000).execute(wanted):
            yield Outstanding(
                identifier=row.identifier,
                type_code=row.type_code,
                number=row.license_number,
                version=row.version,
                current=row.current,
                state=row.license_state,
                role=Role(row.role),
                copy=row.number,
                of=row._mapping[copy.of],  # noqa: SLF001 - the documented access by column
                stock=row.stock or "",
                sheet=CopyState(row.state),
            )


def copy_with_stock(register: Register, stock: str) -> PrintedCopy:
    """The sheet with a stock number.

    Raises:
        NotFound: no sheet has it.
    """
    copy, version = tables.copy.c, tables.version.c
    wanted = (
        select(version.identifier)
        .join(tables.copy, (version.license_id == copy.license_id) & (version.version == copy.version))
        .where(copy.stock == stock)
    )
    with register.reading() as connection:
        identifier = connection.execute(wanted).scalar_one_or_none()
    if identifier is None:
        raise NotFound("no printed copy has this stock number")
    return next(found for found in register.copies(identifier) if found.stock == stock)


# --- Security paper -----------------------------------------------------------------------------------------


def hand_out_stock(
    register: Register, first: str, last: str, *, office: str, operator: str = "", now: datetime
) -> StockRange:
    """Note that an office was given a range of security paper.

    Args:
        register: the register.
        first: first number: letters, then digits of a fixed width (`SH2026-00000001`).
        last: last number of the same form.
        office: who gets it.
        operator: who hands it out.
        now: the time (aware).

    Raises:
        ValueError: the numbers are not of one form, or in the wrong order.
        Conflict: a part of the range was handed out before.
    """
    prefix, width, start = _parts(first)
    prefix_last, width_last, end = _parts(last)
    if (prefix, width) != (prefix_last, width_last) or end < start:
        raise ValueError("a range has two numbers of one form, the smaller one first")
    table = tables.stock_range.c
    with register.writing() as connection:
        overlapping = select(table.id).where(
            table.prefix == prefix, table.width == width, table.first <= end, table.last >= start
        )
        if connection.execute(overlapping.limit(1)).first() is not None:
            raise Conflict("a part of this range was handed out before")
        number = connection.execute(select(func.coalesce(func.max(table.id), 0))).scalar_one() + 1
        connection.execute(
            insert(tables.stock_range).values(
                id=number,
                prefix=prefix,
                width=width,
                first=start,
                last=end,
                office=office,
                handed_out_at=seconds(now),
                operator=operator,
            )
        )
    return StockRange(
        first=first,
        last=last,
        office=office,
        handed_out_at=seconds(now),
        sheets=end - start + 1,
        used=0,
        spoiled=0,
    )


def spoil_stock(register: Register, number: str, *, reason: str, operator: str = "", now: datetime) -> None:
    """Note that a sheet of security paper was spoiled: it may never carry a license.

    A sheet that carries one already is not spoiled but withdrawn (`Issuer.move_copy`, `Issuer.reissue`).

    Raises:
        NotFound: the number was not handed out.
        Conflict: the sheet carries a license, or was spoiled before.
    """
    prefix, width, place = _parts(number)
    table = tables.stock_range.c
    with register.writing() as connection:
        handed_out = select(table.id).where(
            table.prefix == prefix, table.width == width, table.first <= place, table.last >= place
        )
        if connection.execute(handed_out).first() is None:
            raise NotFound("this stock number was never handed out")
        if connection.execute(select(tables.copy.c.id).where(tables.copy.c.stock == number)).first():
            raise Conflict("this sheet carries a license: withdraw that copy instead")
        spoiled = tables.stock_spoiled.c
        if connection.execute(select(spoiled.stock).where(spoiled.stock == number)).first() is not None:
            raise Conflict("this sheet was spoiled before")
        connection.execute(
            insert(tables.stock_spoiled).values(
                stock=number, at=seconds(now), reason=reason, operator=operator
            )
        )


def stock_account(register: Register, *, office: str = "") -> tuple[StockRange, ...]:
    """What became of every range: sheets, used, spoiled and left.

    Args:
        register: the register.
        office: of this office only.
    """
    table = tables.stock_range.c
    wanted = select(tables.stock_range).order_by(table.prefix, table.first)
    if office:
        wanted = wanted.where(table.office == office)
    with register.reading() as connection:
        found = []
        for row in connection.execute(wanted).all():
            first, last = (f"{row.prefix}{place:0{row.width}d}" for place in (row.first, row.last))
            found.append(
                StockRange(
                    first=first,
                    last=last,
                    office=row.office,
                    handed_out_at=row.handed_out_at,
                    sheets=row.last - row.first + 1,
                    used=_between(connection, tables.copy.c.stock, first, last),
                    spoiled=_between(connection, tables.stock_spoiled.c.stock, first, last),
                )
            )
        return tuple(found)


def free_stock(register: Register, count: int, *, office: str) -> tuple[str, ...]:
    """The next free numbers of an office, to be used in an order; two orders of one number collide.

    Raises:
        NotFound: the office has fewer sheets left.
    """
    table = tables.stock_range.c
    found: list[str] = []
    with register.reading() as connection:
        ranges = connection.execute(
            select(tables.stock_range).where(table.office == office).order_by(table.prefix, table.first)
        ).all()
        for row in ranges:
            for place in range(row.first, row.last + 1):
                if len(found) == count:
                    return tuple(found)
                number = f"{row.prefix}{place:0{row.width}d}"
                if not _taken(connection, number):
                    found.append(number)
    if len(found) < count:
        raise NotFound("this office has too little security paper left")
    return tuple(found)


def _taken(connection: Connection, number: str) -> bool:
    used = exists().where(tables.copy.c.stock == number)
    spoiled = exists().where(tables.stock_spoiled.c.stock == number)
    return bool(connection.execute(select(used | spoiled)).scalar_one())


def _between(connection: Connection, column: ColumnElement[str], first: str, last: str) -> int:
    # Numbers of one form have one length, so that text order is number order.
    wanted = select(func.count()).where(column >= first, column <= last, func.length(column) == len(first))
    return int(connection.execute(wanted).scalar_one())


def _parts(number: str) -> tuple[str, int, int]:
    """Prefix, width of the digits and place of a stock number.

    Raises:
        ValueError: no digits at its end.
    """
    digits = _DIGITS.search(number)
    if digits is None:
        raise ValueError("a stock number ends in digits")
    return number[: digits.start()], len(digits[0]), int(digits[0])
