"""Rows that one transaction of the register inserts together."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import update

from ewallet.formats.statuslist import VALID
from ewallet.licenses import tables
from ewallet.licenses.copies import check_stock
from ewallet.licenses.register import insert_events, insert_rows

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from ewallet.formats.statuslist import StatusReference

DOCUMENT: Final = "d"
COPY: Final = "p"
DEVICE: Final = "h"
"""What a status entry belongs to: a document credential, a printed copy, a holder's device."""


@dataclass(slots=True)
class Rows:
    """Rows that one transaction inserts, and what was signed for them (`ewallet.licenses.witnessing`)."""

    license_: list[dict[str, Any]] = field(default_factory=list)
    version: list[dict[str, Any]] = field(default_factory=list)
    slot: list[dict[str, Any]] = field(default_factory=list)
    copy: list[dict[str, Any]] = field(default_factory=list)
    event: list[dict[str, Any]] = field(default_factory=list)
    job: list[dict[str, Any]] = field(default_factory=list)
    permit: list[dict[str, Any]] = field(default_factory=list)
    statement: list[dict[str, Any]] = field(default_factory=list)
    signed: list[tuple[int, int, str | bytes]] = field(default_factory=list)

    def write(self, connection: Connection) -> None:
        """Inserts all of them, the events last.

        Raises:
            Conflict: a stock number that was not handed out, or is spoiled.
        """
        check_stock(connection, [row["stock"] for row in self.copy if row["stock"]])
        for table, rows in (
            (tables.license_, self.license_),
            (tables.version, self.version),
            (tables.slot, self.slot),
            (tables.copy, self.copy),
            (tables.job, self.job),
            (tables.permit, self.permit),
            (tables.statement, self.statement),
        ):
            insert_rows(connection, table, rows)
        insert_events(connection, self.event)


def slot_row(
    slot: tuple[int, StatusReference], license_id: int, version: int, *, kind: str, ref: int, value: int
) -> dict[str, Any]:
    """A status entry as a row.

    Args:
        slot: shard and reference, as reserved.
        license_id: the license.
        version: its version.
        kind: what it belongs to.
        ref: row number of the copy or device; 0 for a document.
        value: what it begins with.
    """
    shard, reference = slot
    return {
        "shard": shard,
        "idx": reference.idx,
        "license_id": license_id,
        "version": version,
        "kind": kind,
        "ref": ref,
        "value": value,
    }


def touch_shards(connection: Connection, rows: Rows) -> None:
    """Marks lists for publishing in which a new entry begins with another value than 0."""
    shards = {row["shard"] for row in rows.slot if row["value"] != VALID}
    if shards:
        connection.execute(
            update(tables.shard)
            .where(tables.shard.c.id.in_(sorted(shards)))
            .values(revision=tables.shard.c.revision + 1)
        )
