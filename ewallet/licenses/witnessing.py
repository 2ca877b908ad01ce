"""Register statements for everything that an authority signs: proof, by another entity, of when it existed.

An `Issuer` with a witness asks it before each commit, for the whole batch at once, to state the digests of
what was signed. What it states is kept in the same transaction as what it speaks about: nothing is issued
without its statement. A statement for something that was not committed then says only that a digest existed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select

from ewallet.errors import Refused, RegisterError
from ewallet.formats import text
from ewallet.licenses import tables
from ewallet.trust.statements import Witness, digest_of, read_digest, statement_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from pathlib import Path

    from ewallet.licenses.issuer import Issuer
    from ewallet.licenses.register import Register

PLACE: Final = "evidence/statements"
"""Where an archive package keeps statements: unpacked, a directory for `ewallet verify --proofs`."""

Signed = tuple[int, int, "str | bytes"]
"""License, version and what was signed: a credential as issued, or the text of a seal."""


def state(issuer: Issuer, signed: Sequence[Signed], *, now: datetime) -> list[dict[str, Any]]:
    """Rows with a statement for each signed object; none without a witness.

    Args:
        issuer: names the witness.
        signed: what was signed.
        now: the time.

    Raises:
        RegisterError: the witness states something else than it was asked.
    """
    if issuer.witness is None or not signed:
        return []
    digests = [_digest(item) for _, _, item in signed]
    statements = issuer.witness.state(digests, now=now)
    if len(statements) != len(digests):
        raise RegisterError("the witness did not state every digest")
    return [
        {"digest": digest, "license_id": license_id, "version": version, "statement": statement}
        for (license_id, version, _), digest, statement in zip(signed, digests, statements, strict=True)
        if _states(issuer.witness, statement, digest)
    ]


def _digest(item: str | bytes) -> bytes:
    if isinstance(item, str) and item.startswith(text.SEAL):
        return digest_of(text.decode(item)[1])
    return digest_of(item)


def _states(witness: Witness, statement: bytes, digest: bytes) -> bool:
    try:
        iss, stated = read_digest(statement)
    except Refused as error:
        raise RegisterError("the witness gave no statement") from error
    if (iss, stated) != (witness.iss, digest):
        raise RegisterError("the witness states something else")
    return True


def statements_of(register: Register, identifier: str) -> dict[bytes, tuple[bytes, ...]]:
    """All statements about a license by digest: for `Verifier(proofs=...)`.

    Args:
        register: where it is recorded.
        identifier: of any of its versions.

    Raises:
        NotFound: no such license.
    """
    entry = register.entry(identifier)
    table = tables.statement.c
    with register.reading() as connection:
        rows = connection.execute(
            select(table.digest, table.statement)
            .where(table.license_id == entry.id)
            .order_by(table.version, table.digest)
        ).all()
    return {bytes(row.digest): (bytes(row.statement),) for row in rows}


def statement_files(register: Register, identifier: str) -> dict[str, bytes]:
    """The statements about a license under their file names.

    Raises:
        NotFound: no such license.
    """
    return {
        statement_name(digest, statement): statement
        for digest, statements in statements_of(register, identifier).items()
        for statement in statements
    }


def hand_out(register: Register, identifiers: Iterable[str], directory: Path) -> int:
    """Writes the statements about licenses into a directory, as `ewallet verify --proofs` reads it.

    Returns:
        How many.

    Raises:
        NotFound: no such license.
    """
    directory.mkdir(parents=True, exist_ok=True)
    count = 0
    for identifier in identifiers:
        for name, statement in statement_files(register, identifier).items():
            (directory / name).write_bytes(statement)
            count += 1
    return count


__all__ = ["PLACE", "hand_out", "state", "statement_files", "statements_of"]
