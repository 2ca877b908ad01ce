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
from typing import TYPE_CHECKING, Any, Final

from ewallet.errors import Malformed, Refused
from ewallet.formats import cose
from ewallet.moments import instant, seconds
from ewallet.trust.entries import Service

if TYPE_CHECKING:
    from collections.abc import Iterable
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


# --- for a whole register -----------------------------------------------------------------------------------


def digest_of(credential: str | bytes) -> bytes:
    """Digest of the signed bytes of a credential as issued: what a statement names.

    Args:
        credential: SD-JWT (disclosures may follow; they are not part of what was signed), or COSE_Sign1.

    Raises:
        Malformed: neither.
    """
    if isinstance(credential, bytes):
        profile = cose.Profile(typ=None, own=False, untagged=True, exp_required=False)
        return cose.parse(credential, profile).digest
    signed, _, signature = credential.partition("~")[0].rpartition(".")
    if not signature or signed.count(".") != 1:
        raise Malformed("not an SD-JWT")
    return sha256(signed.encode("ascii")).digest()


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
