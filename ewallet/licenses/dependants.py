"""Dependants: permits whose fields must equal another license's, after that license changed.

When a business license is amended, the register notes a review of each permit that no longer fits it, in
the same transaction. Until somebody settles it, the permit is listed here, and the province's `notices.json`
tells every verifier (docs/trust.md). A new version of the permit settles it, or an annotation that it was
looked at.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import func, select

from ewallet.licenses import tables
from ewallet.licenses.lifecycle import EventKind, State
from ewallet.moments import instant
from ewallet.trust.times import time_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ewallet.licenses.register import Register

NOTICE_KIND: Final = "review"
"""Kind of the entries in `notices.json`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnderReview:
    """A license that must be looked at.

    Attributes:
        identifier: identifier of its newest version.
        type_code: its type.
        number: license number.
        fields: which of its fields no longer fit.
        since: when the other license changed, seconds since 1970.
        reason: what changed.
    """

    identifier: str
    type_code: str
    number: str
    fields: tuple[str, ...]
    since: int
    reason: str


def under_review(register: Register, *, authority: str = "") -> Iterator[UnderReview]:
    """The licenses whose review is not settled, in the order of their licenses; streamed.

    Args:
        register: the register.
        authority: URI; of this authority only.
    """
    for row in _open_reviews(register, authority):
        yield UnderReview(
            identifier=row.identifier,
            type_code=row.type_code,
            number=row.number,
            fields=tuple(json.loads(row.detail).get("fields", ())),
            since=row.at,
            reason=row.reason,
        )


def review_notices(register: Register, *, authority: str = "") -> list[dict[str, Any]]:
    """The entries of `notices.json` for the open reviews: one for each credential, device and sheet in force.

    Args:
        register: the register.
        authority: URI; of this authority only.

    Returns:
        `{uri, idx, kind, field, since}`; the field is empty, since a notice says nothing about content.
    """
    slot, shard = tables.slot.c, tables.shard.c
    entries = []
    for row in _open_reviews(register, authority):
        with register.reading() as connection:
            found = connection.execute(
                select(shard.uri, slot.idx)
                .join(tables.shard, shard.id == slot.shard)
                .where(slot.license_id == row.license_id, slot.version == row.version)
                .order_by(shard.uri, slot.idx)
            ).all()
        entries += [
            {"uri": uri, "idx": idx, "kind": NOTICE_KIND, "field": "", "since": time_text(instant(row.at))}
            for uri, idx in found
        ]
    return entries


def _open_reviews(register: Register, authority: str) -> Iterator[Any]:
    """The newest review of each living license that nothing has settled since."""
    event, license_, version = tables.event.c, tables.license_.c, tables.version.c
    newest = (
        select(event.license_id, func.max(event.id).label("id"))
        .where(event.kind == EventKind.REVIEW.value)
        .group_by(event.license_id)
        .subquery()
    )
    later = tables.event.alias()
    wanted = (
        select(event.license_id, event.at, event.reason, event.detail, license_.type_code, license_.number,
               license_.version, version.identifier)
        .join(newest, newest.c.id == event.id)
        .join(tables.license_, license_.id == event.license_id)
        .join(tables.version, (version.license_id == license_.id) & (version.version == license_.version))
        .where(
            license_.state.in_((State.VALID.value, State.SUSPENDED.value)),
            event.version == license_.version,
            ~select(later.c.id)
            .where(
                later.c.license_id == event.license_id,
                later.c.id > event.id,
                later.c.kind == EventKind.ANNOTATE.value,
            )
            .exists(),
        )
        .order_by(event.license_id)
    )  # fmt: skip
    if authority:
        wanted = wanted.where(license_.authority == authority)
    with register.reading() as connection:
        yield from connection.execute(wanted).all()
