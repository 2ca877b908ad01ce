"""Register statements: proof that a signed object existed at a time, by another entity than its issuer.

When a key is compromised, a signature by it proves nothing alone: the date inside was written by whoever
held the key. A statement over the digest of the signed bytes, made at issuing by the register key of another
entity, keeps what is genuine alive. One statement for one object.

A statement is a CWT (RFC 8392) of its own `typ`. `about` leaves the door open for other evidence (an
inclusion proof of a transparency log): an unknown kind proves nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, Protocol

from ewallet.errors import Malformed, Refused
from ewallet.formats import cose
from ewallet.moments import instant, seconds
from ewallet.trust.entries import Service
from ewallet.wire import decode_cbor

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from pathlib import Path

    from ewallet.keys import Signer
    from ewallet.trust.trust import Trust

STATEMENT_TYP: Final = "application/ewallet-statement+cwt"
_PROFILE: Final = cose.Profile(
    typ=STATEMENT_TYP,
    exp_required=False,
    required=frozenset((cose.ISS, cose.IAT, "about", "digest")),
    limit=1024,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A verified register statement.

    Attributes:
        digest: digest of the signed bytes that it speaks about.
        at: when it was made.
        entity: URI of the entity that made it.
    """

    digest: bytes
    at: datetime
    entity: str


def make_statement(digest: bytes, *, signer: Signer, iss: str, now: datetime) -> bytes:
    """States that the object with this digest exists now.

    Args:
        digest: digest of the signed bytes (Sig_structure, JWS signing input), 32 bytes.
        signer: a key listed under the service `register` of `iss`.
        iss: URI of the entity that states it: another one than the issuer of the object.
        now: the time.
    """
    if len(digest) != 32:
        raise ValueError("a digest has 32 bytes")
    claims: dict[int | str, Any] = {
        cose.ISS: iss,
        cose.IAT: seconds(now),
        "about": "existence",
        "digest": digest,
    }
    return cose.issue_cwt(claims, signer, typ=STATEMENT_TYP)


def verify_statement(trust: Trust, token: bytes, *, now: datetime) -> Statement:
    """Verifies a statement against the lists.

    A register key that was ever compromised proves nothing, not even for earlier dates: the date inside
    was written by whoever held it.

    Raises:
        Refused: form, signature, or a key that is not a register key in good standing at that time.
    """
    parsed = cose.parse_cwt(token, _PROFILE)
    iss = parsed.unverified_claims.get(cose.ISS)
    if not isinstance(iss, str):
        raise Malformed("a statement without its maker")
    for listed in trust.require(Service.REGISTER, kid=parsed.kid, iss=iss, now=now):
        try:
            verified = cose.verify_cwt(parsed, listed.key, _PROFILE, now=now)
        except Refused:
            continue
        claims = verified.claims
        digest = claims["digest"]
        if claims["about"] != "existence" or not isinstance(digest, bytes) or len(digest) != 32:
            raise Malformed("a statement about something else")
        at = instant(claims[cose.IAT])
        if listed.window.compromised_from is not None:
            raise Refused("issuer.key_not_valid_then", "a register key that was compromised")
        trust.decide(listed, signed_at=at, now=now)
        return Statement(digest=digest, at=at, entity=iss)
    raise Refused("signature.issuer", "the statement's signature does not verify")


# --- at issuing ---------------------------------------------------------------------------------------------


class Witness(Protocol):
    """Another entity than the issuer, near or far, that states at issuing what it is shown."""

    @property
    def iss(self) -> str:
        """URI of the entity."""

    def state(self, digests: Sequence[bytes], *, now: datetime) -> Sequence[bytes]:
        """One statement for each digest, in their order.

        A far one dates them itself, and raises `EwalletError` out of reach: then nothing is issued.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyWitness:
    """A witness whose key is at hand: for one machine with two entities, for the demo and for tests.

    Attributes:
        signer: a key listed under the service `register` of `iss`.
        iss: that entity: another one than the issuer.
    """

    signer: Signer
    iss: str

    def state(self, digests: Sequence[bytes], *, now: datetime) -> list[bytes]:
        """One statement for each digest."""
        return [make_statement(digest, signer=self.signer, iss=self.iss, now=now) for digest in digests]


def read_digest(token: bytes) -> tuple[str, bytes]:
    """Maker and digest that a statement names, unverified.

    Raises:
        Malformed: not a statement about existence.
    """
    claims = cose.parse_cwt(token, _PROFILE).unverified_claims
    iss, digest = claims.get(cose.ISS), claims.get("digest")
    if not isinstance(iss, str) or not isinstance(digest, bytes) or claims.get("about") != "existence":
        raise Malformed("not a statement about existence")
    return iss, digest


def statement_name(digest: bytes, token: bytes) -> str:
    """File name of a statement: digest and kid, in hex."""
    return f"{digest.hex()}.{(cose.parse_cwt(token, _PROFILE).kid or b'').hex()}.cwt"


# --- for a whole register -----------------------------------------------------------------------------------


def digest_of(credential: str | bytes) -> bytes:
    """Digest of the signed bytes of a credential as issued: what a statement names.

    Args:
        credential: SD-JWT (disclosures may follow; they are not part of what was signed), or COSE_Sign1.

    Raises:
        Malformed: neither.
    """
    if isinstance(credential, bytes):
        return _digest_of_sign1(decode_cbor(credential, tags=frozenset((cose.SIGN1_TAG,))))
    signed, _, signature = credential.partition("~")[0].rpartition(".")
    if not signature or signed.count(".") != 1:
        raise Malformed("not an SD-JWT")
    return sha256(signed.encode("ascii")).digest()


def _digest_of_sign1(value: Any) -> bytes:
    """Of any type: a statement says that something was signed, not what it is good for."""
    match getattr(value, "value", value):
        case [bytes(protected), _, bytes(payload), bytes()]:
            return sha256(cose.signed_bytes(protected, payload, b"")).digest()
    raise Malformed("not a COSE_Sign1")


def state_all(
    credentials: Iterable[str | bytes], directory: Path, *, signer: Signer, iss: str, now: datetime
) -> int:
    """States the existence of credentials, one file each, named by its digest; those that are there stay.

    Args:
        credentials: as issued.
        directory: where statements are kept: `<digest, hex>.<kid, hex>.cwt`.
        signer: a `register` key of another entity than the issuer's.
        iss: that entity.
        now: the time.

    Returns:
        How many were new.
    """
    directory.mkdir(parents=True, exist_ok=True)
    made = 0
    for credential in credentials:
        digest = digest_of(credential)
        file = directory / f"{digest.hex()}.{signer.public_key.kid.hex()}.cwt"
        if not file.exists():
            file.write_bytes(make_statement(digest, signer=signer, iss=iss, now=now))
            made += 1
    return made


def load_proofs(directory: Path) -> dict[bytes, tuple[bytes, ...]]:
    """The statements of a directory by digest, unverified: what `Verifier(proofs=...)` takes."""
    found: dict[bytes, tuple[bytes, ...]] = {}
    for file in sorted(directory.glob("*.cwt")):
        try:
            digest = bytes.fromhex(file.name.partition(".")[0])
        except ValueError:
            continue  # not one of ours
        found[digest] = (*found.get(digest, ()), file.read_bytes())
    return found
