"""Token Status List (IETF draft-ietf-oauth-status-list), as JWT and as CWT.

One list holds one entry of 1, 2, 4 or 8 bits for each credential, compressed with zlib. A list that cannot be
used says nothing about any credential: every fault here is `status.unavailable`, or `status.stale` for a list
that was good once. Neither ever means "revoked".
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ewallet.errors import Malformed, Refused
from ewallet.formats import cose, jose
from ewallet.moments import seconds
from ewallet.wire import b64u_decode, b64u_encode

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from ewallet.keys import PublicKey, Signer

VALID: Final = 0
INVALID: Final = 1
SUSPENDED: Final = 2
SUPERSEDED: Final = 3
"""Application specific in the draft; here: a newer version of the license or of the printed copy exists."""

MAX_ENTRIES: Final = 2**20
"""Entries of a list: the draft's own examples end here; 2 bits each inflate to 256 KiB."""

MAX_TOKEN: Final = 2 * 2**20
"""Bytes of a status list token: a list of 2**20 random 8-bit entries as base64 stays below."""

JWT_TYPE: Final = "statuslist+jwt"
CWT_TYPE: Final = "application/statuslist+cwt"

CLAIM_STATUS: Final = 65535
CLAIM_TTL: Final = 65534
CLAIM_STATUS_LIST: Final = 65533

_SHIFT: Final = {1: 3, 2: 2, 4: 1, 8: 0}  # bits of an entry -> log2 of entries in a byte


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusReference:
    """Where the status of a credential stands ("Referenced Token").

    Attributes:
        idx: position in the list.
        uri: the list.
    """

    idx: int
    uri: str

    def to_claim(self) -> dict[str, Any]:
        """The value of the `status` claim (JWT) or of claim 65535 (CWT)."""
        return {"status_list": {"idx": self.idx, "uri": self.uri}}

    @classmethod
    def from_claim(cls, value: Any) -> StatusReference:
        """Reads the value of a `status` claim.

        Raises:
            Malformed: another form, a negative or huge index, an empty address.
        """
        try:
            listed = value["status_list"]
            idx, uri = listed["idx"], listed["uri"]
        except (TypeError, KeyError, IndexError) as error:
            raise Malformed("a status claim without status_list") from error
        if type(idx) is not int or not 0 <= idx < 2**31 or type(uri) is not str or not uri:
            raise Malformed("a status reference in another form")
        return cls(idx=idx, uri=uri)


class StatusList:
    """Entries of 1, 2, 4 or 8 bits, the first in the lowest bits of the first byte.

    Attributes:
        bits: bits of an entry.
        size: number of entries.
    """

    __slots__ = ("_data", "_mask", "_rest", "_shift", "bits", "size")

    def __init__(self, *, bits: int = 2, size: int, data: bytes | None = None) -> None:
        if bits not in _SHIFT:
            raise ValueError("entries have 1, 2, 4 or 8 bits")
        if not 0 < size <= MAX_ENTRIES:
            raise ValueError(f"a list has 1 to {MAX_ENTRIES} entries")
        self.bits = bits
        self.size = size
        self._shift = _SHIFT[bits]
        self._rest = (1 << self._shift) - 1
        self._mask = (1 << bits) - 1
        length = -(-size * bits // 8)
        if data is not None and len(data) != length:
            raise ValueError("data of another length")
        self._data = bytearray(length) if data is None else bytearray(data)

    def __len__(self) -> int:
        return self.size

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, StatusList):
            return NotImplemented
        return (self.bits, self.size, self._data) == (other.bits, other.size, other._data)

    __hash__ = None  # type: ignore[assignment]  # entries change

    def __repr__(self) -> str:
        return f"StatusList(bits={self.bits}, size={self.size})"

    def get(self, idx: int) -> int:
        """The entry at a position.

        Raises:
            Refused: `status.unavailable`: the list is shorter.
        """
        if 0 <= idx < self.size:
            return self._data[idx >> self._shift] >> (idx & self._rest) * self.bits & self._mask
        raise Refused("status.unavailable", "the status list has no such entry")

    def set(self, idx: int, value: int) -> None:
        """Changes one entry.

        Raises:
            IndexError: no such position.
            ValueError: the value needs more bits.
        """
        if not 0 <= idx < self.size:
            raise IndexError("no such entry")
        if not 0 <= value <= self._mask:
            raise ValueError(f"a value of more than {self.bits} bits")
        place = (idx & self._rest) * self.bits
        byte = idx >> self._shift
        self._data[byte] = self._data[byte] & ~(self._mask << place) & 0xFF | value << place

    def update(self, entries: Iterable[tuple[int, int]]) -> None:
        """Changes many entries, given as (position, value)."""
        for idx, value in entries:
            self.set(idx, value)

    def to_bytes(self) -> bytes:
        """The entries, packed."""
        return bytes(self._data)

    def compressed(self) -> bytes:
        """The entries as they stand in a token: DEFLATE in zlib format, best compression."""
        return zlib.compress(self._data, 9)

    @classmethod
    def from_compressed(cls, data: bytes, *, bits: int) -> StatusList:
        """Inflates a list; never makes more than `MAX_ENTRIES` entries of it.

        Raises:
            Malformed: other bits, no zlib stream, trailing bytes, or more entries than a list may have.
        """
        if type(bits) is not int or bits not in _SHIFT:
            raise Malformed("entries have 1, 2, 4 or 8 bits")
        most = MAX_ENTRIES * bits // 8
        inflater = zlib.decompressobj()
        try:
            inflated = inflater.decompress(data, most + 1)
        except zlib.error as error:
            raise Malformed("not a compressed list") from error
        if len(inflated) > most or inflater.unconsumed_tail:
            raise Malformed(f"a list of more than {MAX_ENTRIES} entries")
        if not inflater.eof or inflater.unused_data:
            raise Malformed("a compressed list that ends too early or too late")
        if not inflated:
            raise Malformed("an empty list")
        return cls(bits=bits, size=len(inflated) * 8 // bits, data=inflated)


# --- Tokens -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What a status list token must look like.

    Attributes:
        own: one of our own: deterministic CBOR, nothing unprotected, whole-number times.
        exp_required: refuses a token without `exp`.
        skew: how many seconds `iat` may lie ahead of `now`.
    """

    own: bool = True
    exp_required: bool = True
    skew: int = 60


OWN: Final = Profile()
OTHERS: Final = Profile(own=False, exp_required=False)
"""Lists of other makers, which the draft allows to live without an end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusListToken:
    """Verified facts of a status list token.

    Attributes:
        entries: the list.
        uri: its address.
        issued_at: when it was made, seconds since 1970.
        fresh_until: when it must be replaced: the earlier of `exp` and issue plus `ttl`; None: never said.
        digest: SHA-256 of the signed bytes.
        key: the key that signed.
    """

    entries: StatusList
    uri: str
    issued_at: int
    fresh_until: int | None
    digest: bytes
    key: PublicKey

    def lookup(self, reference: StatusReference, *, now: datetime) -> int:
        """The status of one credential.

        Raises:
            Refused: `status.stale` if the list is past its time; `status.unavailable` if it is another list,
                or shorter.
        """
        if reference.uri != self.uri:
            raise Refused("status.unavailable", "another status list")
        if self.fresh_until is not None and seconds(now) >= self.fresh_until:
            raise Refused("status.stale", "the status list is past its time")
        return self.entries.get(reference.idx)


def issue_jwt(
    entries: StatusList, signer: Signer, *, uri: str, now: datetime, ttl: int, exp: datetime
) -> str:
    """Signs a list as JWT (draft, "Status List Token in JWT Format").

    Args:
        entries: the list.
        signer: of the service *status lists*.
        uri: the list's address, `sub`.
        now: becomes `iat`.
        ttl: for how many seconds it may be kept before it is asked for again.
        exp: its end.
    """
    claims = {
        "exp": seconds(exp),
        "iat": seconds(now),
        "status_list": {"bits": entries.bits, "lst": b64u_encode(entries.compressed())},
        "sub": uri,
        "ttl": ttl,
    }
    return jose.issue_jwt(claims, signer, typ=JWT_TYPE)


def issue_cwt(
    entries: StatusList, signer: Signer, *, uri: str, now: datetime, ttl: int, exp: datetime
) -> bytes:
    """Signs a list as CWT (draft, "Status List Token in CWT Format"); arguments as `issue_jwt`."""
    claims: dict[int | str, Any] = {
        cose.SUB: uri,
        cose.EXP: seconds(exp),
        cose.IAT: seconds(now),
        CLAIM_TTL: ttl,
        CLAIM_STATUS_LIST: {"bits": entries.bits, "lst": entries.compressed()},
    }
    return cose.issue_cwt(claims, signer, typ=CWT_TYPE)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnverifiedStatusListToken:
    """A status list token as received.

    Attributes:
        token: the JWT or CWT, form checked.
        kid: key identifier as bytes, a hint only.
        unverified_uri: the list that it says it is.
        own: whether it was read as one of our own.
    """

    token: jose.UnverifiedJwt | cose.UnverifiedCwt
    kid: bytes | None
    unverified_uri: str
    own: bool


def parse(data: bytes | str, *, profile: Profile = OWN) -> UnverifiedStatusListToken:
    """Reads a status list token; checks form and headers only. A CWT begins with byte D2, a JWT with text.

    Raises:
        Refused: `status.unavailable`.
    """
    try:
        if isinstance(data, bytes) and data[:1] == b"\xd2":
            cwt = cose.parse_cwt(
                data,
                cose.Profile(
                    typ=CWT_TYPE, own=profile.own, exp_required=profile.exp_required, limit=MAX_TOKEN
                ),
            )
            uri = cwt.unverified_claims.get(cose.SUB)
            return UnverifiedStatusListToken(
                token=cwt, kid=cwt.kid, unverified_uri=_address(uri), own=profile.own
            )
        jwt = jose.parse_jwt(
            data,
            jose.Profile(typ=JWT_TYPE, own=profile.own, exp_required=profile.exp_required, limit=MAX_TOKEN),
        )
        return UnverifiedStatusListToken(
            token=jwt,
            kid=_kid(jwt.kid),
            unverified_uri=_address(jwt.unverified_claims.get("sub")),
            own=profile.own,
        )
    except Refused as refusal:
        raise Refused("status.unavailable", f"not a status list token: {refusal.detail}") from refusal


def _address(value: Any) -> str:
    if type(value) is not str or not value:
        raise Malformed("sub is missing")
    return value


def _kid(text: str | None) -> bytes | None:
    try:
        return b64u_decode(text) if text else None
    except Malformed:
        return None


def verify(
    token: bytes | str | UnverifiedStatusListToken,
    key: PublicKey,
    *,
    uri: str,
    now: datetime,
    profile: Profile = OWN,
) -> StatusListToken:
    """Verifies a status list token and inflates the list.

    Args:
        token: the bytes or text, or what `parse` gave under the same profile.
        key: the key of the service *status lists*, found by the caller.
        uri: the list that was asked for: `sub` must be this.
        now: the time of the check (aware).
        profile: what the token must look like.

    Raises:
        Refused: `status.stale` at or after `exp`, or `ttl` seconds after `iat`; `status.unavailable` for
            everything else: form, signature, another list, a list that inflates without end.
    """
    parsed = token if isinstance(token, UnverifiedStatusListToken) else parse(token, profile=profile)
    try:
        return _verify(parsed, key, uri, seconds(now), profile)
    except Refused as refusal:
        if refusal.reason == "status.stale":
            raise
        raise Refused("status.unavailable", f"the status list cannot be used: {refusal.detail}") from refusal


def _verify(
    parsed: UnverifiedStatusListToken, key: PublicKey, uri: str, now: int, profile: Profile
) -> StatusListToken:
    unverified = parsed.token
    claims: Mapping[Any, Any] = unverified.unverified_claims
    if isinstance(unverified, cose.UnverifiedCwt):
        cose.verify(unverified.sign1, key)
        exp, iat, ttl, listed = (
            claims.get(name) for name in (cose.EXP, cose.IAT, CLAIM_TTL, CLAIM_STATUS_LIST)
        )
    else:
        jose.verify(unverified.jws, key)
        exp, iat, ttl, listed = (claims.get(name) for name in ("exp", "iat", "ttl", "status_list"))
    if parsed.unverified_uri != uri:
        raise Malformed("another list than was asked for")
    if iat is None:
        raise Malformed("iat is missing")
    if iat > now + profile.skew:
        raise Malformed("issued in the future")
    if ttl is not None and (type(ttl) is not int or not 0 < ttl <= cose.LATEST):
        raise Malformed("ttl is no number of seconds")
    ends = [int(moment) for moment in (exp, None if ttl is None else iat + ttl) if moment is not None]
    fresh_until = min(ends, default=None)
    if fresh_until is not None and now >= fresh_until:
        raise Refused("status.stale", "the status list is past its time")
    return StatusListToken(
        entries=_entries(listed),
        uri=uri,
        issued_at=int(iat),
        fresh_until=fresh_until,
        digest=unverified.digest,
        key=key,
    )


def _entries(listed: Any) -> StatusList:
    if type(listed) is not dict:
        raise Malformed("status_list is missing")
    packed = listed.get("lst")
    if type(packed) is str:
        packed = b64u_decode(packed)
    if type(packed) is not bytes:
        raise Malformed("lst is missing")
    return StatusList.from_compressed(packed, bits=listed.get("bits", 0))
