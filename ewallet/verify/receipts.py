"""Use records and receipts: every use is written down, and after its retention nobody can say whose it was.

The log is a chain: each record's hash covers the one before, so that none can be changed, left out or put in
afterwards; receipts carry hashes of records to where their keepers cannot reach. Personal data enters a
record only as HMAC-SHA-256 under a key of that record alone, and what an officer wrote is encrypted under it.
When the retention of the scene ends, the key is destroyed: what is left is noise, and the chain still
verifies.

Deleting a key overwrites it in the database file. What a file system or a disk may keep of overwritten blocks
is the deployment's: an encrypted disk, or an HSM for the keys.
"""

from __future__ import annotations

import hmac
import os
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ewallet.errors import Malformed, Refused, UseLogError
from ewallet.formats import cose
from ewallet.moments import instant, seconds
from ewallet.trust.entries import Service
from ewallet.verify.explaining import ManualDecision
from ewallet.verify.use_store import START, FileStore, Row
from ewallet.wire import decode_cbor, encode_cbor

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime
    from typing import Self

    from ewallet.keys import Signer
    from ewallet.trust.entries import Entity
    from ewallet.trust.scenes import Scene
    from ewallet.trust.trust import Trust
    from ewallet.verify.result import Facts, Verification
    from ewallet.verify.use_store import UseStore

TYP: Final = "application/ewallet-receipt+cwt"
TOKEN_SIZE: Final = 32
MAX_WORD: Final = 200
"""Characters of a terminal, matter or case."""

_CONTEXT: Final = b"ewallet-use-v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """What a verification was for.

    Attributes:
        terminal: which terminal or gate.
        officer: who worked there; kept only as long as personal data.
        matter: id of the service item.
        case: case number; kept only as a keyed digest.
        purpose: why, as it was told to the holder; goes to the receipt, never to the log.
    """

    terminal: str = ""
    officer: str = ""
    matter: str = ""
    case: str = ""
    purpose: str = ""

    def __post_init__(self) -> None:
        for value in (self.terminal, self.officer, self.matter, self.case, self.purpose):
            if len(value) > MAX_WORD or not value.isprintable():
                raise ValueError(f"one printable line of at most {MAX_WORD} characters")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A record as written: what its receipt needs.

    Attributes:
        number: its place in the chain, 1 first.
        hash: its hash in the chain.
        at: when.
        until: from when on nobody can tell whose it was.
        content: the record without anything personal.
    """

    number: int
    hash: bytes
    at: datetime
    until: datetime
    content: Mapping[str, Any]


class UseLog:
    """The log of one counter or venue: one chain.

    Args:
        place: a file (SQLite, for the processes of one machine), or the URL of a PostgreSQL database, which
            several machines share.

    Raises:
        ConfigError: not a place for a log.
        MissingExtra: the database's driver is not installed.
        UseLogError: it cannot be opened.
    """

    def __init__(self, place: Path | str) -> None:
        self._store = _store(place)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file or the connections."""
        self._store.close()

    # --- writing --------------------------------------------------------------------------------------------

    def record(
        self, result: Verification | ManualDecision, *, scene: Scene, trust: Trust, use: Use, now: datetime
    ) -> Recorded:
        """Writes one use down.

        Args:
            result: the answer, or what an officer decided after UNDECIDED.
            scene: scene and venue of the counter; its retention decides how long the record can be read.
            trust: the lists that it was decided by.
            use: where and for what.
            now: the time.

        Raises:
            UseLogError: the log cannot be written: then nothing was recorded.
        """
        return self.write([entry_of(result, scene=scene, trust=trust, use=use, now=now)])[0]

    def write(self, entries: Sequence[Entry]) -> list[Recorded]:
        """Writes several uses down in one go, in their order: the disk is waited for once.

        Args:
            entries: from `entry_of`.

        Returns:
            One for each.

        Raises:
            UseLogError: the log cannot be written: then none was recorded.
        """
        made: list[Recorded] = []
        if not entries:
            return made
        with self._store.appending() as (last, link, write):
            rows: list[Row] = []
            for number, entry in enumerate(entries, last + 1):
                content = {"n": number, **entry.content}
                encoded = encode_cbor(content)
                digest = _link(rows[-1].hash if rows else link, encoded)
                until = content["until"]
                rows.append(Row(number, encoded, digest, until, entry.key))
                made.append(
                    Recorded(
                        number=number,
                        hash=digest,
                        at=instant(content["at"]),
                        until=instant(until),
                        content=content,
                    )
                )
            write(rows)
        return made

    def expire(self, now: datetime) -> int:
        """Destroys the keys of records whose retention has ended.

        Returns:
            How many.

        Raises:
            UseLogError: the log cannot be written: the keys are still there.
        """
        return self._store.expire(seconds(now))

    # --- reading --------------------------------------------------------------------------------------------

    def check(self, *, witness: tuple[int, bytes] | None = None) -> tuple[int, bytes]:
        """Verifies the whole chain.

        Args:
            witness: number and hash of a record from a receipt: it must stand in this chain.

        Returns:
            Number and hash of the last record; 0 and zeros for an empty log.

        Raises:
            UseLogError: a record was changed, left out or put in, or the witness is not in the chain.
        """
        number, digest = 0, START
        for n, content, stored in self._store.entries():
            digest = _link(digest, content)
            if n != number + 1 or digest != stored or decode_cbor(content, own=True)["n"] != n:
                raise UseLogError(f"the chain is broken at record {n}")
            number = n
            if witness is not None and witness == (n, digest):
                witness = None
        if witness is not None:
            raise UseLogError("a record that was receipted is not in the chain")
        return number, digest

    def records(self) -> Iterator[Mapping[str, Any]]:
        """All records, oldest first; personal data only as digests."""
        for _, content, _ in self._store.entries():
            yield decode_cbor(content, own=True)

    def uses_of(self, label: str, value: str) -> tuple[int, ...]:
        """Numbers of the records that speak of a value, while their keys exist: for a person who asks.

        Args:
            label: `<type code>.<field>`, `<type code>.identifier`, `subject`, `case` ...
            value: the value.
        """
        keys = self._store.keys()
        return tuple(
            content["n"]
            for content in self.records()
            if content["n"] in keys and _digest(keys[content["n"]], label, value) in content["who"]
        )

    def note(self, number: int) -> Mapping[str, str]:
        """Officer and reason of a record; empty after its retention, or if there is none.

        Raises:
            UseLogError: no such record.
        """
        content = self._store.entry(number)
        if content is None:
            raise UseLogError("no such record")
        key, sealed = self._store.key(number), decode_cbor(content, own=True).get("note")
        if key is None or sealed is None:
            return {}
        try:
            opened: Mapping[str, str] = decode_cbor(_cipher(key).decrypt(sealed[:12], sealed[12:], _CONTEXT))
        except InvalidTag as error:
            raise UseLogError("a note that was changed") from error
        return opened


def _store(place: Path | str) -> UseStore:
    if isinstance(place, str) and "://" in place:
        from ewallet.verify.use_store_sql import SqlStore  # noqa: PLC0415 (a counter of its own needs none)

        return SqlStore(place)
    return FileStore(Path(place))


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A use that is ready to be written down.

    Attributes:
        content: the record without its number; what is personal in it only under the key.
        key: the key of this record alone.
    """

    content: Mapping[str, Any]
    key: bytes


def entry_of(
    result: Verification | ManualDecision, *, scene: Scene, trust: Trust, use: Use, now: datetime
) -> Entry:
    """What is to be written about a use; arguments as for `UseLog.record`."""
    at = seconds(now)
    key = os.urandom(32)
    found = result.verification if isinstance(result, ManualDecision) else result
    content: dict[str, Any] = {
        "at": at,
        "until": at + scene.retention_days * 86400,
        "venue": scene.venue,
        "scene": scene.id,
        "terminal": use.terminal,
        "matter": use.matter,
        "kind": found.kind.value,
        "outcome": found.outcome.value,
        "reason": found.reason.code if found.reason else "",
        "types": sorted(each.type for each in found.facts.licenses) if found.facts else [],
        "lists": {name: version for name, version in trust.versions.items() if type(version) is int},
        "signed": seconds(trust.signed_at),
        "who": sorted(_digest(key, label, value) for label, value in _personal(found.facts, use)),
    }
    note = {"officer": use.officer} if use.officer else {}
    if isinstance(result, ManualDecision):
        content["manual"] = result.go_ahead
        note |= {"officer": result.officer, "reason": result.reason}
    if note:
        content["note"] = _sealed(key, note)
    return Entry(content=content, key=key)


def _link(before: bytes, content: bytes) -> bytes:
    return sha256(_CONTEXT + before + content).digest()


def _digest(key: bytes, label: str, value: str) -> bytes:
    """Keyed digest of one value; the label keeps a name from equalling a place."""
    return hmac.digest(key, encode_cbor([label, value]), sha256)


def _cipher(key: bytes) -> AESGCM:
    return AESGCM(hmac.digest(key, b"ewallet-use-note-v1", sha256))


def _sealed(key: bytes, note: Mapping[str, str]) -> bytes:
    nonce = os.urandom(12)
    return nonce + _cipher(key).encrypt(nonce, encode_cbor(dict(note)), _CONTEXT)


def _personal(facts: Facts | None, use: Use) -> Iterator[tuple[str, str]]:
    """Everything about a person that a use knows, by label."""
    if use.case:
        yield "case", use.case
    if facts is None:
        return
    for role, party in (("subject", facts.subject), ("actor", facts.actor)):
        if party is not None:
            yield role, party.id
            yield from ((f"{role}.{key}", _plain(value)) for key, value in party.attributes.items())
    for each in facts.licenses:
        if each.identifier:
            yield f"{each.type}.identifier", each.identifier
        yield from ((f"{each.type}.{key}", _plain(value)) for key, value in each.fields.items())


def _plain(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


# --- receipts -----------------------------------------------------------------------------------------------

_PROFILE: Final = cose.Profile(
    typ=TYP,
    exp_required=False,
    required=frozenset((cose.ISS, cose.IAT, "n", "entry", "venue", "scene", "outcome", "lists", "rating")),
)
_CLAIMS: Final = frozenset(
    (cose.ISS, cose.IAT, "n", "entry", "venue", "scene", "outcome", "lists", "rating", "types", "about")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """A verified receipt: one line of "who used my license".

    Attributes:
        issuer: who keeps the log, from the trust lists.
        at: when the license or code was used.
        venue: where.
        scene: in which scene.
        outcome: how it ended.
        types: license types that were shown.
        about: purpose, matter and case, as far as they were told.
        lists: versions of the trust lists that it was decided by.
        number: number of the record.
        entry: hash of the record in the log's chain.
        rating: single-use token for the rating service.
    """

    issuer: Entity
    at: datetime
    venue: str
    scene: str
    outcome: str
    types: tuple[str, ...]
    about: Mapping[str, str]
    lists: Mapping[str, int]
    number: int
    entry: bytes
    rating: bytes


def make_receipt(recorded: Recorded, signer: Signer, *, issuer: str, use: Use, token: bytes) -> bytes:
    """The holder's receipt of a use.

    Args:
        recorded: the record.
        signer: key of the log's keeper, listed for *receipts*.
        issuer: its URI.
        use: what it was for.
        token: a fresh rating token (`new_token`), given to nobody else.
    """
    if len(token) != TOKEN_SIZE:
        raise ValueError("a rating token of another size")
    told = {"purpose": use.purpose, "matter": use.matter, "case": use.case}
    content = recorded.content
    claims: dict[int | str, Any] = {
        cose.ISS: issuer,
        cose.IAT: content["at"],
        "n": recorded.number,
        "entry": recorded.hash,
        "venue": content["venue"],
        "scene": content["scene"],
        "outcome": content["outcome"],
        "lists": content["lists"],
        "rating": token,
        "types": content["types"],
        "about": {key: value for key, value in told.items() if value},
    }
    return cose.issue_cwt(claims, signer, typ=TYP)


def new_token() -> bytes:
    """A fresh rating token."""
    return os.urandom(TOKEN_SIZE)


def verify_receipt(data: bytes, trust: Trust, *, now: datetime) -> Receipt:
    """Verifies a receipt on the holder's side.

    Raises:
        Refused: `credential.malformed`, `issuer.*`, `signature.issuer`, `trust.*`.
    """
    parsed = cose.parse_cwt(data, _PROFILE)
    claims = parsed.unverified_claims
    _check_form(claims)
    trust.freshness(now)
    issuer = str(claims[cose.ISS])
    failed: Refused | None = None
    for listed in trust.require(Service.RECEIPTS, kid=parsed.kid, iss=issuer, now=now):
        try:
            cose.verify_cwt(parsed, listed.key, _PROFILE, now=now, issuer=listed.entity.uri)
        except Refused as refused:
            failed = refused
            continue
        at = instant(claims[cose.IAT])
        trust.decide(listed, signed_at=at, now=now, digest=parsed.digest)
        return Receipt(
            issuer=listed.entity,
            at=at,
            venue=claims["venue"],
            scene=claims["scene"],
            outcome=claims["outcome"],
            types=tuple(claims["types"]),
            about=claims["about"],
            lists=claims["lists"],
            number=claims["n"],
            entry=claims["entry"],
            rating=claims["rating"],
        )
    assert failed is not None  # `require` never answers with nothing
    raise failed


def _check_form(claims: Mapping[Any, Any]) -> None:
    good = (
        set(claims) == _CLAIMS
        and type(claims["n"]) is int
        and claims["n"] > 0
        and all(type(claims[key]) is str for key in ("venue", "scene", "outcome"))
        and type(claims["entry"]) is bytes
        and len(claims["entry"]) == 32
        and type(claims["rating"]) is bytes
        and len(claims["rating"]) == TOKEN_SIZE
        and type(claims["types"]) is list
        and all(type(each) is str for each in claims["types"])
        and _table(claims["about"], str)
        and _table(claims["lists"], int)
    )
    if not good:
        raise Malformed("a receipt of another form")


def _table(value: object, kind: type) -> bool:
    return type(value) is dict and all(type(key) is str and type(each) is kind for key, each in value.items())
