"""COSE_Sign1 (RFC 9052, 4.2) and CWT (RFC 8392) with one signature by one known key.

The bytes that were signed are kept as received (`Sign1.signed`): signatures run over them, and digests that
name an object too (`digest`), because ECDSA signatures and unprotected headers can be altered by anybody.

`parse` and `parse_cwt` give unverified values; `verify` and `verify_cwt` give facts, or raise `Refused`.
The suite belongs to the key: `alg` may only repeat it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from cbor2 import CBORTag, frozendict

from ewallet.errors import Malformed, Refused
from ewallet.moments import seconds
from ewallet.wire import MAX_CREDENTIAL, cbor_bytes, cbor_head, decode_cbor, encode_cbor, first_item

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from ewallet.keys import PublicKey, Signer

# Header labels (IANA COSE Header Parameters).
ALG: Final = 1
CRIT: Final = 2
KID: Final = 4
TYP: Final = 16
X5CHAIN: Final = 33

# Claim keys (IANA CWT Claims).
ISS: Final = 1
SUB: Final = 2
AUD: Final = 3
EXP: Final = 4
NBF: Final = 5
IAT: Final = 6
CTI: Final = 7
CNF: Final = 8

SIGN1_TAG: Final = 18
LATEST: Final = 2**53
"""No time lies beyond: the largest number that JSON and floating-point readers keep exactly."""

_SIGN1_HEAD: Final = b"\xd2\x84"
_CONTEXT: Final = b"\x84\x6aSignature1"
_TAGS: Final = frozenset((SIGN1_TAG,))
_UNDERSTOOD: Final = frozenset((ALG, 3, KID, 13, TYP, 170))


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What a COSE_Sign1 or CWT of one purpose must look like.

    Attributes:
        typ: the exact `typ` header (RFC 9596); None: the token must carry none.
        own: one of our own formats: deterministic encoding, tag 18, empty unprotected map, whole times.
        untagged: accepts the array without tag 18.
        algorithm_unprotected: takes `alg` from the unprotected map (a published vector needs it; never ours).
        exp_required: refuses a token without `exp`.
        required: further claims that must be present.
        skew: how many seconds `nbf` and `iat` may lie ahead of `now`.
        limit: most bytes of the token.
    """

    typ: int | str | None
    own: bool = True
    untagged: bool = False
    algorithm_unprotected: bool = False
    exp_required: bool = True
    required: frozenset[int | str] = frozenset()
    skew: int = 60
    limit: int = MAX_CREDENTIAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Sign1:
    """A COSE_Sign1 as received: form checked, signature not.

    Attributes:
        protected: protected header.
        unprotected: unprotected header: anybody may have changed it.
        payload: the signed content.
        signature: raw signature.
        signed: the bytes under the signature (`Sig_structure`, RFC 9052, 4.4).
        alg: algorithm that the message claims.
        kid: key identifier, a hint only; None if absent or not bytes.
        typ: type of the object.
    """

    protected: Mapping[Any, Any]
    unprotected: Mapping[Any, Any]
    payload: bytes
    signature: bytes
    signed: bytes
    alg: int
    kid: bytes | None
    typ: int | str | None

    @property
    def digest(self) -> bytes:
        """SHA-256 of the signed bytes: names the object, whatever happens to its signature."""
        return sha256(self.signed).digest()


@lru_cache(maxsize=1024)
def _protected(alg: int, kid: bytes | None, typ: int | str | None) -> bytes:
    header: dict[Any, Any] = {ALG: alg}
    if kid is not None:
        header[KID] = kid
    if typ is not None:
        header[TYP] = typ
    return encode_cbor(header)


def signed_bytes(protected: bytes, payload: bytes, external_aad: bytes = b"") -> bytes:
    """`Sig_structure` of a COSE_Sign1 (RFC 9052, 4.4) from the encoded protected header."""
    return _CONTEXT + cbor_bytes(protected) + cbor_bytes(external_aad) + cbor_bytes(payload)


def assemble(
    protected: bytes, payload: bytes | None, signature: bytes, unprotected: bytes = b"\xa0"
) -> bytes:
    """The tagged COSE_Sign1 of encoded parts; `payload` None: detached."""
    content = b"\xf6" if payload is None else cbor_bytes(payload)
    return _SIGN1_HEAD + cbor_bytes(protected) + unprotected + content + cbor_bytes(signature)


def sign(
    payload: bytes,
    signer: Signer,
    *,
    typ: int | str | None,
    headers: Mapping[int | str, Any] | None = None,
    unprotected: Mapping[int | str, Any] | None = None,
    detached: bool = False,
    external_aad: bytes = b"",
) -> bytes:
    """Signs `payload` as tagged COSE_Sign1, with `alg`, `kid` and `typ` in the protected header.

    Args:
        payload: the content.
        signer: signs; its key's suite decides `alg`.
        typ: type of the object (RFC 9596).
        headers: further protected headers.
        unprotected: unprotected headers; our own formats have none.
        detached: leaves the payload out of the message.
        external_aad: bytes signed but not carried.

    Raises:
        SignerError: the signing device refused.
    """
    key = signer.public_key
    if headers:
        protected = encode_cbor({ALG: key.suite.cose_alg, KID: key.kid, TYP: typ, **headers})
    else:
        protected = _protected(key.suite.cose_alg, key.kid, typ)
    signature = signer.sign(signed_bytes(protected, payload, external_aad))
    return assemble(
        protected,
        None if detached else payload,
        signature,
        encode_cbor(dict(unprotected)) if unprotected else b"\xa0",
    )


def parse(
    data: bytes, profile: Profile, *, detached_payload: bytes | None = None, external_aad: bytes = b""
) -> Sign1:
    """Reads a COSE_Sign1 under a profile; checks form and headers, not the signature.

    Args:
        data: the message.
        profile: what it must look like.
        detached_payload: the content, if the message does not carry it.
        external_aad: bytes signed but not carried.

    Raises:
        Refused: `credential.malformed`, or `algorithm.not_allowed` for an `alg` that is missing, is no
            integer, or stands in the unprotected header.
    """
    if profile.own:
        value = first_item(data, limit=profile.limit, tags=_TAGS)
    else:
        value = decode_cbor(data, limit=profile.limit, tags=_TAGS)
    if type(value) is CBORTag:
        parts = value.value
    elif profile.untagged:
        parts = value
    else:
        raise Malformed("no COSE_Sign1 tag")
    sign1 = sign1_from_parts(parts, profile, detached_payload=detached_payload, external_aad=external_aad)
    if profile.own and data != assemble(parts[0], parts[2], sign1.signature):
        raise Malformed("not the deterministic CBOR encoding, or something after it")
    return sign1


def sign1_from_parts(
    parts: Any,
    profile: Profile,
    *,
    open_labels: frozenset[int] = frozenset(),
    header: Mapping[Any, Any] | None = None,
    detached_payload: bytes | None = None,
    external_aad: bytes = b"",
) -> Sign1:
    """The four decoded members of a COSE_Sign1 as a `Sign1`, headers checked (see `parse`).

    The caller of one of our own formats has still to compare the bytes with `assemble`.

    Args:
        parts: what stood inside tag 18.
        profile: what it must look like.
        open_labels: labels that our own formats allow in the unprotected map.
        header: the protected header, if the caller decoded it.
        detached_payload: the content, if the message does not carry it.
        external_aad: bytes signed but not carried.
    """
    if type(parts) not in (tuple, list) or len(parts) != 4:
        raise Malformed("not four members")
    encoded, unprotected, payload, signature = parts
    if (
        type(encoded) is not bytes
        or type(unprotected) not in (dict, frozendict)
        or type(signature) is not bytes
        or not (payload is None or type(payload) is bytes)
    ):
        raise Malformed("members of the wrong kind")
    if (payload is None) == (detached_payload is None):
        raise Malformed("the payload is detached where it should not be, or the other way round")
    content: Any = detached_payload if payload is None else payload
    # RFC 9052, 3: an empty protected header is the empty string; `A0` is read as the same thing.
    if encoded == b"\xa0" and not profile.own:
        encoded = b""
    protected = decode_header(encoded, own=profile.own) if header is None else header
    if unprotected:
        _check_unprotected(unprotected, profile, open_labels)
    alg = protected.get(ALG)
    if alg is None and profile.algorithm_unprotected:
        alg = unprotected.get(ALG)
    if type(alg) is not int:
        raise Refused("algorithm.not_allowed", "alg is missing or no integer")
    if CRIT in protected:
        _check_critical(protected, profile)
    typ = protected.get(TYP)
    if typ != profile.typ or type(typ) is not type(profile.typ):
        raise Malformed("another typ")
    kid = protected.get(KID) or unprotected.get(KID)
    return Sign1(
        protected=protected,
        unprotected=unprotected,
        payload=content,
        signature=signature,
        signed=signed_bytes(encoded, content, external_aad),
        alg=alg,
        kid=kid if type(kid) is bytes else None,
        typ=typ,
    )


def decode_header(data: bytes, *, own: bool) -> Mapping[Any, Any]:
    """A protected header. Small ones are remembered: an issuer's header is the same in all its tokens.

    The map is shared between callers: it is read, never written.
    """
    return _remembered_header(data, own) if len(data) <= 256 else _header(data, own)


def _header(data: bytes, own: bool) -> Mapping[Any, Any]:  # noqa: FBT001 - private, for the cache
    if not data:
        return {}
    header = decode_cbor(data, own=own)
    if not isinstance(header, dict):
        raise Malformed("the protected header is no map")
    return header


_remembered_header = lru_cache(maxsize=1024)(_header)


def _check_unprotected(unprotected: Mapping[Any, Any], profile: Profile, open_labels: frozenset[int]) -> None:
    if ALG in unprotected and not profile.algorithm_unprotected:
        raise Refused("algorithm.not_allowed", "alg in the unprotected header")
    if CRIT in unprotected:
        raise Malformed("crit in the unprotected header")
    if profile.own and not open_labels.issuperset(unprotected):
        raise Malformed("something in the unprotected header")


def _check_critical(protected: Mapping[Any, Any], profile: Profile) -> None:
    labels = protected[CRIT]
    if profile.own or type(labels) is not list or not labels:
        raise Malformed("a crit header that does not belong here")
    if not all(type(label) is int and label in _UNDERSTOOD and label in protected for label in labels):
        raise Malformed("an unknown critical header")


def verify(sign1: Sign1, key: PublicKey, *, reason: str = "signature.issuer") -> None:
    """Checks algorithm and signature of a parsed COSE_Sign1 against a key.

    Raises:
        Refused: `algorithm.not_allowed`, or `reason`.
    """
    if sign1.alg not in key.suite.cose_accepts:
        raise Refused("algorithm.not_allowed", "alg is not the key's")
    if not key.verify(sign1.signature, sign1.signed):
        raise Refused(reason, "the signature does not verify")


# --- CWT ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class UnverifiedCwt:
    """A CWT as received: form checked, signature and times not.

    Attributes:
        sign1: the message.
        unverified_claims: what it claims.
    """

    sign1: Sign1
    unverified_claims: Mapping[Any, Any]

    @property
    def kid(self) -> bytes | None:
        """Key identifier, a hint only."""
        return self.sign1.kid

    @property
    def typ(self) -> int | str | None:
        """Type of the object."""
        return self.sign1.typ

    @property
    def iss(self) -> str | None:
        """The issuer that it names."""
        iss = self.unverified_claims.get(ISS)
        return iss if type(iss) is str else None

    @property
    def digest(self) -> bytes:
        """SHA-256 of the signed bytes."""
        return self.sign1.digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Cwt:
    """Verified facts of a CWT.

    Attributes:
        claims: its claims; do not change them.
        signed: the bytes under the signature.
        typ: type of the object.
        key: the key that signed.
    """

    claims: Mapping[Any, Any]
    signed: bytes = field(repr=False)
    typ: int | str | None
    key: PublicKey

    @property
    def digest(self) -> bytes:
        """SHA-256 of the signed bytes: names the object."""
        return sha256(self.signed).digest()


def issue_cwt(
    claims: Mapping[int | str, Any],
    signer: Signer,
    *,
    typ: int | str,
    headers: Mapping[int | str, Any] | None = None,
) -> bytes:
    """Signs claims as one of our own CWTs: deterministic, tagged, nothing unprotected.

    Args:
        claims: integer keys of the CWT registry, short text keys of our own.
        signer: signs; its key's suite decides `alg`.
        typ: exact type, such as `application/ewallet-seal+cwt`.
        headers: further protected headers.
    """
    return sign(encode_cbor(dict(claims)), signer, typ=typ, headers=headers)


def parse_cwt(data: bytes, profile: Profile) -> UnverifiedCwt:
    """Reads a CWT under a profile; checks form and headers, not signature and times.

    Raises:
        Refused: `credential.malformed`, `algorithm.not_allowed`.
    """
    sign1 = parse(data, profile)
    return UnverifiedCwt(sign1=sign1, unverified_claims=_claims(sign1.payload, profile))


def _claims(payload: bytes, profile: Profile) -> Mapping[Any, Any]:
    claims = decode_cbor(payload, limit=profile.limit, own=profile.own)
    if type(claims) is not dict:
        raise Malformed("the claims are no map")
    check_claim_form(claims, profile)
    return claims


def check_claim_form(claims: Mapping[Any, Any], profile: Profile) -> None:
    """Types of registered claims and the presence of required ones.

    Raises:
        Malformed: a time that is no (finite) number, negative or huge; `iss`, `sub` not text; a required
            claim missing; `iat` or `nbf` not before `exp`.
    """
    get = claims.get
    exp, nbf, iat = get(EXP), get(NBF), get(IAT)
    for moment, key in ((exp, EXP), (nbf, NBF), (iat, IAT)):
        if moment is None:
            if key in claims:
                raise Malformed("a time that is none")
        # Comparisons with NaN are false: it is refused here too.
        elif not (
            (type(moment) is int or (type(moment) is float and not profile.own)) and 0 <= moment <= LATEST
        ):
            raise Malformed("a time that is none")
    if type(get(ISS, "")) is not str or type(get(SUB, "")) is not str:
        raise Malformed("iss or sub is no text")
    if profile.required and not profile.required <= claims.keys():
        raise Malformed("a required claim is missing")
    if exp is None:
        if profile.exp_required:
            raise Malformed("exp is missing")
    elif (iat is not None and iat >= exp) or (nbf is not None and nbf >= exp):
        raise Malformed("it ends before it begins")


def check_times(claims: Mapping[Any, Any], now: int, *, skew: int) -> None:
    """Times of a credential against the clock.

    Raises:
        Refused: `credential.expired` at or after `exp`; `code.from_future` for `nbf` or `iat` more than
            `skew` seconds ahead.
    """
    exp = claims.get(EXP)
    if exp is not None and now >= exp:
        raise Refused("credential.expired", "at or after exp")
    ahead = now + skew
    if claims.get(NBF, 0) > ahead or claims.get(IAT, 0) > ahead:
        raise Refused("code.from_future", "nbf or iat lies in the future")


def verify_cwt(
    token: bytes | UnverifiedCwt,
    key: PublicKey,
    profile: Profile,
    *,
    now: datetime,
    issuer: str | None = None,
) -> Cwt:
    """Verifies a CWT: form, algorithm, signature, issuer, times.

    Args:
        token: the bytes, or what `parse_cwt` gave under the same profile.
        key: the issuer's key, found by the caller.
        profile: what the token must look like.
        now: the time of the check (aware).
        issuer: whose key it is: `iss` must be this.

    Raises:
        Refused: `credential.malformed`, `algorithm.not_allowed`, `signature.issuer`, `issuer.key_unknown`,
            `credential.expired`, `code.from_future`.
    """
    parsed = token if isinstance(token, UnverifiedCwt) else parse_cwt(token, profile)
    sign1, claims = parsed.sign1, parsed.unverified_claims
    verify(sign1, key)
    moment = seconds(now)
    check_issuer(claims.get(ISS), issuer)
    check_chain(sign1, key, claims.get(ISS), moment)
    check_times(claims, moment, skew=profile.skew)
    return Cwt(claims=claims, signed=sign1.signed, typ=sign1.typ, key=key)


def check_issuer(iss: Any, issuer: str | None) -> None:
    """`iss` must be the owner of the key.

    Raises:
        Refused: `issuer.key_unknown`.
    """
    if issuer is not None and iss != issuer:
        raise Refused("issuer.key_unknown", "iss is not the owner of the key")


def check_chain(sign1: Sign1, key: PublicKey, iss: Any, now: int) -> None:
    """A certificate in `x5chain` (RFC 9360) must be the key's and name `iss`.

    Raises:
        Refused: `credential.malformed`, `issuer.key_unknown`.
    """
    chain = sign1.protected.get(X5CHAIN, sign1.unprotected.get(X5CHAIN))
    if chain is None:
        return
    from ewallet.formats import x509  # noqa: PLC0415 - only tokens with certificates pay for it

    certificates = [chain] if type(chain) is bytes else list(chain) if isinstance(chain, list | tuple) else []
    x509.bind(certificates, key=key, iss=iss, now=now)


def cose_array(items: Sequence[bytes]) -> bytes:
    """A CBOR array of items that are already encoded."""
    return cbor_head(4, len(items)) + b"".join(items)
