"""JWS in compact form (RFC 7515) and JWT (RFC 7519) with one signature by one known key.

PyJWT writes our tokens, with the suites of this package registered as its algorithms. Reading is ours: PyJWT
takes members twice in a header, padded base64 and tokens without `exp`, and costs more than we may spend.

`parse` and `parse_jwt` give unverified values; `verify` and `verify_jwt` give facts, or raise `Refused`.
The suite belongs to the key: `alg` may only repeat it.
"""

from __future__ import annotations

import json
from binascii import Error as BinasciiError
from binascii import a2b_base64
from dataclasses import dataclass, field
from functools import cache, lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from ewallet.errors import Malformed, Refused
from ewallet.formats.cose import LATEST, check_issuer
from ewallet.moments import seconds
from ewallet.wire import MAX_CREDENTIAL, b64u_encode, decode_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from jwt.api_jws import PyJWS

    from ewallet.keys import PublicKey, Signer

_ALPHABET: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_TO_STANDARD: Final = bytes.maketrans(b"-_", b"+/")
# Last characters whose unused bits are zero, by length mod 4; one character alone is no byte.
_LAST: Final = (_ALPHABET, b"", b"AQgw", b"AEIMQUYcgkosw048")
_PADDING: Final = (b"", b"", b"==", b"=")


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What a JWS or JWT of one purpose must look like.

    Attributes:
        typ: the exact `typ` header; None: the token must carry none.
        own: one of our own formats: times are whole numbers.
        exp_required: refuses a token without `exp`.
        required: further claims that must be present.
        skew: how many seconds `nbf` and `iat` may lie ahead of `now`.
        limit: most characters of the token.
    """

    typ: str | None
    own: bool = True
    exp_required: bool = True
    required: frozenset[str] = frozenset()
    skew: int = 60
    limit: int = MAX_CREDENTIAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Jws:
    """A JWS as received: form checked, signature not.

    Attributes:
        header: protected header; do not change it.
        payload: the signed content.
        signature: raw signature.
        signed: the bytes under the signature (JWS signing input).
    """

    header: Mapping[str, Any]
    payload: bytes
    signature: bytes
    signed: bytes

    @property
    def typ(self) -> str | None:
        """Type of the object."""
        return self.header.get("typ")

    @property
    def kid(self) -> str | None:
        """Key identifier, a hint only."""
        kid = self.header.get("kid")
        return kid if type(kid) is str else None

    @property
    def digest(self) -> bytes:
        """SHA-256 of the signed bytes: names the object, whatever happens to its signature."""
        return sha256(self.signed).digest()


# --- Writing ------------------------------------------------------------------------------------------------


@cache
def _writer() -> PyJWS:
    from jwt.algorithms import Algorithm  # noqa: PLC0415 - not paid for by those who only read
    from jwt.api_jws import PyJWS  # noqa: PLC0415

    from ewallet.keys import SUITES  # noqa: PLC0415

    class SuiteAlgorithm(Algorithm):
        """Lets PyJWT sign with whatever is a `Signer`: a file, a token, a remote device."""

        def prepare_key(self, key: Any) -> Any:
            return key

        def sign(self, msg: bytes, key: Any) -> bytes:
            signature: bytes = key.sign(msg)
            return signature

        def verify(self, msg: bytes, key: Any, sig: bytes) -> bool:
            valid: bool = key.verify(sig, msg)
            return valid

        @staticmethod
        def to_jwk(key_obj: Any, as_dict: bool = False) -> Any:  # noqa: FBT001, FBT002 - PyJWT's signature
            jwk = key_obj.to_jwk()
            return jwk if as_dict else json.dumps(jwk)

        @staticmethod
        def from_jwk(jwk: Any) -> Any:
            from ewallet.keys import PublicKey  # noqa: PLC0415

            return PublicKey.from_jwk(decode_json(jwk) if isinstance(jwk, str) else jwk)

    writer = PyJWS(algorithms=[])
    for suite in SUITES.values():
        if suite.jose_alg:
            writer.register_algorithm(suite.jose_alg, SuiteAlgorithm())
    return writer


def sign(payload: bytes, signer: Signer, *, typ: str | None, headers: Mapping[str, Any] | None = None) -> str:
    """Signs `payload` as compact JWS with `alg`, `kid` and `typ`.

    Args:
        payload: the content.
        signer: signs; its key's suite decides `alg`.
        typ: type of the object.
        headers: further headers, such as `x5c`.

    Raises:
        SignerError: the signing device refused.
    """
    key = signer.public_key
    header: dict[str, Any] = {"typ": typ, "kid": b64u_encode(key.kid)}
    if headers:
        header.update(headers)
    return _writer().encode(payload, signer, key.suite.jose_alg, header)  # type: ignore[arg-type]  # any key


_COMPACT: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def encode_json(value: Any) -> bytes:
    """Compact JSON in UTF-8.

    Raises:
        ValueError: NaN, an infinite number, or text that is not Unicode (a lone surrogate).
        TypeError: a type that JSON has no form for.
    """
    return _COMPACT.encode(value).encode()


def issue_jwt(
    claims: Mapping[str, Any], signer: Signer, *, typ: str, headers: Mapping[str, Any] | None = None
) -> str:
    """Signs claims as JWT of one exact `typ`."""
    return sign(encode_json(dict(claims)), signer, typ=typ, headers=headers)


# --- Reading ------------------------------------------------------------------------------------------------


def segment(data: bytes) -> bytes:
    """Decodes one base64url segment whose characters were checked already; refuses any second spelling."""
    size = len(data) & 3
    if not data or data[-1] not in _LAST[size]:
        raise Malformed("not base64url in its only form")
    try:
        return a2b_base64(data.translate(_TO_STANDARD) + _PADDING[size])
    except BinasciiError as error:
        raise Malformed("not base64url") from error


def segments(parts: tuple[bytes, ...]) -> list[bytes]:
    """As `segment`, for many."""
    out = []
    try:
        for data in parts:
            size = len(data) & 3
            if not data or data[-1] not in _LAST[size]:
                raise Malformed("not base64url in its only form")
            out.append(a2b_base64(data.translate(_TO_STANDARD) + _PADDING[size]))
    except BinasciiError as error:
        raise Malformed("not base64url") from error
    return out


def ascii_bytes(token: str | bytes, *, separators: bytes, limit: int) -> bytes:
    """A compact token as bytes of the base64url alphabet and the separators named.

    Raises:
        Malformed: too long, or any other character.
    """
    if len(token) > limit:
        raise Malformed(f"longer than {limit} characters")
    try:
        data = token.encode("ascii") if isinstance(token, str) else bytes(token)
    except UnicodeEncodeError as error:
        raise Malformed("a character that does not belong into a token") from error
    if data.translate(None, _ALPHABET + separators):
        raise Malformed("a character that does not belong into a token")
    return data


@lru_cache(maxsize=1024)
def _small_header(data: bytes) -> Mapping[str, Any]:
    # An issuer's header is the same in all its tokens. The dict is shared: nothing here writes to it.
    return _header(data)


def _header(data: bytes) -> Mapping[str, Any]:
    header = decode_json(segment(data))
    if type(header) is not dict:
        raise Malformed("the header is no object")
    # RFC 7515, 4.1.11: we know no extension; RFC 7797 `b64` is one.
    if "crit" in header or "b64" in header:
        raise Malformed("an unknown critical header")
    if type(header.get("alg")) is not str:
        raise Refused("algorithm.not_allowed", "alg is missing or no text")
    return header


def parse(token: str | bytes, profile: Profile) -> Jws:
    """Reads a compact JWS under a profile; checks form and header, not the signature.

    Raises:
        Refused: `credential.malformed`; `algorithm.not_allowed` for an `alg` that is missing or no text.
    """
    return parse_checked(ascii_bytes(token, separators=b".", limit=profile.limit), profile)


def parse_checked(data: bytes, profile: Profile) -> Jws:
    """As `parse`, for bytes that went through `ascii_bytes`."""
    parts = data.split(b".")
    if len(parts) != 3:
        raise Malformed("not three parts")
    encoded_header, encoded_payload, encoded_signature = parts
    header = _small_header(encoded_header) if len(encoded_header) <= 512 else _header(encoded_header)
    if header.get("typ") != profile.typ:
        raise Malformed("another typ")
    return Jws(
        header=header,
        payload=segment(encoded_payload),
        signature=segment(encoded_signature) if encoded_signature else b"",
        signed=data[: len(encoded_header) + 1 + len(encoded_payload)],
    )


def verify(jws: Jws, key: PublicKey, *, reason: str = "signature.issuer") -> None:
    """Checks algorithm and signature of a parsed JWS against a key.

    Raises:
        Refused: `algorithm.not_allowed`, or `reason`.
    """
    if jws.header["alg"] not in key.suite.jose_accepts:
        raise Refused("algorithm.not_allowed", "alg is not the key's")
    if not key.verify(jws.signature, jws.signed):
        raise Refused(reason, "the signature does not verify")


# --- JWT ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class UnverifiedJwt:
    """A JWT as received: form checked, signature and times not.

    Attributes:
        jws: the message.
        unverified_claims: what it claims.
    """

    jws: Jws
    unverified_claims: Mapping[str, Any]

    @property
    def kid(self) -> str | None:
        """Key identifier, a hint only."""
        return self.jws.kid

    @property
    def digest(self) -> bytes:
        """SHA-256 of the signed bytes."""
        return self.jws.digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Jwt:
    """Verified facts of a JWT.

    Attributes:
        claims: its claims; do not change them.
        signed: the bytes under the signature.
        key: the key that signed.
    """

    claims: Mapping[str, Any]
    signed: bytes = field(repr=False)
    key: PublicKey

    @property
    def digest(self) -> bytes:
        """SHA-256 of the signed bytes: names the object."""
        return sha256(self.signed).digest()


def parse_jwt(token: str | bytes, profile: Profile) -> UnverifiedJwt:
    """Reads a JWT under a profile; checks form and header, not signature and times.

    Raises:
        Refused: `credential.malformed`, `algorithm.not_allowed`.
    """
    jws = parse(token, profile)
    return UnverifiedJwt(jws=jws, unverified_claims=claims_of(jws, profile))


def claims_of(jws: Jws, profile: Profile) -> dict[str, Any]:
    """The payload as claims: one JSON object, registered claims of the right type.

    Raises:
        Malformed: anything else, a required claim missing, or `iat` or `nbf` not before `exp`.
    """
    claims = decode_json(jws.payload, limit=profile.limit)
    if type(claims) is not dict:
        raise Malformed("the claims are no object")
    get = claims.get
    exp, nbf, iat = get("exp"), get("nbf"), get("iat")
    for moment, name in ((exp, "exp"), (nbf, "nbf"), (iat, "iat")):
        if moment is not None or name in claims:
            check_time(moment, own=profile.own)
    if type(get("iss", "")) is not str or type(get("sub", "")) is not str:
        raise Malformed("iss or sub is no text")
    if profile.required and not profile.required <= claims.keys():
        raise Malformed("a required claim is missing")
    if exp is None:
        if profile.exp_required:
            raise Malformed("exp is missing")
    elif (iat is not None and iat >= exp) or (nbf is not None and nbf >= exp):
        raise Malformed("it ends before it begins")
    return claims


def check_time(value: Any, *, own: bool) -> None:
    """A NumericDate that is finite, not negative and not huge; in our own formats a whole number.

    Raises:
        Malformed: anything else.
    """
    number = type(value) is int or (type(value) is float and not own)
    if not (number and 0 <= value <= LATEST):
        raise Malformed("a time that is none")


def check_times(claims: Mapping[str, Any], now: int, *, skew: int) -> None:
    """Times of a credential against the clock.

    Raises:
        Refused: `credential.expired` at or after `exp`; `code.from_future` for `nbf` or `iat` more than
            `skew` seconds ahead.
    """
    exp = claims.get("exp")
    if exp is not None and now >= exp:
        raise Refused("credential.expired", "at or after exp")
    ahead = now + skew
    if claims.get("nbf", 0) > ahead or claims.get("iat", 0) > ahead:
        raise Refused("code.from_future", "nbf or iat lies in the future")


def check_chain(jws: Jws, key: PublicKey, iss: Any, now: int) -> None:
    """A certificate in `x5c` (RFC 7515, 4.1.6) must be the key's and name `iss`.

    Raises:
        Refused: `credential.malformed`, `issuer.key_unknown`, `credential.expired`.
    """
    chain = jws.header.get("x5c")
    if chain is None:
        return
    from ewallet.formats import x509  # noqa: PLC0415 - only tokens with certificates pay for it

    try:
        certificates = [a2b_base64(item, strict_mode=True) for item in chain]
    except (BinasciiError, TypeError, ValueError) as error:
        raise Malformed("x5c is no list of certificates") from error
    x509.bind(certificates, key=key, iss=iss, now=now)


def verify_jwt(
    token: str | bytes | UnverifiedJwt,
    key: PublicKey,
    profile: Profile,
    *,
    now: datetime,
    issuer: str | None = None,
) -> Jwt:
    """Verifies a JWT: form, algorithm, signature, issuer, times.

    Args:
        token: the token, or what `parse_jwt` gave under the same profile.
        key: the issuer's key, found by the caller.
        profile: what the token must look like.
        now: the time of the check (aware).
        issuer: whose key it is: `iss` must be this.

    Raises:
        Refused: `credential.malformed`, `algorithm.not_allowed`, `signature.issuer`, `issuer.key_unknown`,
            `credential.expired`, `code.from_future`.
    """
    parsed = token if isinstance(token, UnverifiedJwt) else parse_jwt(token, profile)
    jws, claims = parsed.jws, parsed.unverified_claims
    verify(jws, key)
    moment = seconds(now)
    check_issuer(claims.get("iss"), issuer)
    check_chain(jws, key, claims.get("iss"), moment)
    check_times(claims, moment, skew=profile.skew)
    return Jwt(claims=claims, signed=jws.signed, key=key)
