"""SD-CWT and its key binding token (IETF SPICE draft "Selective Disclosure CBOR Web Tokens", April 2026).

An issuer signs claims of which some stand in the token as digests only. The holder shows it inside an SD-KBT,
signed by the device key that the token names, together with the disclosures that it chooses. A digest runs
over the disclosure encoded as CBOR byte string, head included.

Claims keep their CWT keys: integers of the registry, text otherwise. `parse` and `parse_kbt` give unverified
values; `verify` and `verify_kbt` give facts, or raise `Refused`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, MutableSet, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from cbor2 import CBORSimpleValue, CBORTag, dumps, frozendict

from ewallet.errors import KeyMaterialError, Malformed, Refused
from ewallet.formats import cose
from ewallet.formats.cose import AUD, CNF, EXP, IAT, ISS, NBF, Sign1
from ewallet.formats.disclosure import SALT_SIZE, Branch, Path, Step, salts, tree
from ewallet.formats.statuslist import StatusReference
from ewallet.keys import SUITES, PublicKey, raw_signature
from ewallet.moments import seconds
from ewallet.wire import (
    REDACTED_KEYS,
    cbor_bytes,
    cbor_head,
    check_deterministic,
    decode_cbor,
    encode_cbor,
    encode_key,
    first_item,
    first_items,
)

if TYPE_CHECKING:
    from datetime import datetime

    from ewallet.keys import Signer

SD_CWT: Final = 293
"""`typ` of an SD-CWT (CoAP content format of `application/sd-cwt`)."""
SD_KBT: Final = 294
"""`typ` of a key binding token (`application/kb+cwt`)."""

KCWT: Final = 13
SD_CLAIMS: Final = 17
SD_ALG: Final = 170
VCT: Final = 11
CNONCE: Final = 39
STATUS: Final = 65535

REDACTED_ELEMENT: Final = 60
NEVER_REDACTED: Final = frozenset((ISS, AUD, EXP, NBF, IAT, cose.CTI, CNF, CNONCE))
"""Claims that a verifier needs before it looks at disclosures (draft, "SD-CWT Claim Requirements")."""

MAX_DISCLOSURES: Final = 1024
"""Far above any license; keeps the work for hostile input small."""

_SHA256: Final = -16
_ELEMENT_TAGS: Final = frozenset((REDACTED_ELEMENT,))
_SIGN1_TAGS: Final = frozenset((cose.SIGN1_TAG,))
_SD_CLAIMS_ONLY: Final = frozenset((SD_CLAIMS,))
_PLAIN: Final = frozenset((int, str, bytes, bool, type(None), float))
_PLAIN_OWN: Final = _PLAIN - {float}
_KEY_TYPES: Final = frozenset((int, str))


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile(cose.Profile):
    """What an SD-CWT of one purpose must look like; see also `cose.Profile`.

    Attributes:
        vct: the types of credential that are accepted; None: any, or none.
        open_claims: claims that must not come from a disclosure, beside `NEVER_REDACTED`.
        holder_required: refuses a token without `cnf`.
    """

    typ: int | str | None = SD_CWT
    vct: frozenset[str] | None = None
    open_claims: frozenset[int | str] = frozenset()
    holder_required: bool = True


# --- Issuing ------------------------------------------------------------------------------------------------


def _sha256(data: bytes) -> bytes:
    return sha256(data).digest()


def _digests(digest: Callable[[bytes], bytes], items: Sequence[bytes]) -> list[bytes]:
    if digest is _sha256:
        return [sha256(item).digest() for item in items]
    return [digest(item) for item in items]


def compact_key(key: PublicKey) -> dict[int, Any]:
    """A COSE_Key with the point compressed (RFC 9053, 7.1.1): 32 bytes less in a QR code."""
    full = key.to_cose()
    y = full.get(-3)
    return {**full, -3: bool(y[-1] & 1)} if isinstance(y, bytes) else full


class _Redactor:
    """Replaces chosen claims by digests and collects the disclosures."""

    def __init__(self, digest: Callable[[bytes], bytes], expected: int) -> None:
        self.digest = digest
        self.salts = salts(expected)
        self.encoded: list[bytes] = []

    def add(self, content: bytes) -> bytes:
        encoded = cbor_bytes(content)
        self.encoded.append(encoded)
        return self.digest(encoded)

    def claims(self, claims: Mapping[Any, Any], branch: Branch, decoys: int = 0) -> dict[Any, Any]:
        hashed: list[bytes] = []
        drawn = self.salts
        out: dict[Any, Any] = {}
        for key, value in claims.items():
            below = branch.get(key)
            if below is None:
                out[key] = value
                continue
            inner = self.value(value, below) if below else value
            if below.chosen:
                encoded = cbor_bytes(b"\x83\x50" + next(drawn) + encode_cbor(inner) + encode_key(key))
                hashed.append(encoded)
            else:
                out[key] = inner
        hashed += [b"\x52\x81\x50" + next(drawn) for _ in range(decoys)]
        if hashed:
            self.encoded += hashed
            # Sorted, so that the order tells nothing about the claims.
            out[REDACTED_KEYS] = sorted(_digests(self.digest, hashed))
        return out

    def value(self, value: Any, branch: Branch) -> Any:
        if not branch:
            return value
        if isinstance(value, Mapping):
            return self.claims(value, branch)
        if isinstance(value, list | tuple):
            return [self.element(item, branch.element(position)) for position, item in enumerate(value)]
        raise ValueError("a path leads into a value that has no parts")

    def element(self, item: Any, branch: Branch | None) -> Any:
        if branch is None:
            return item
        inner = self.value(item, branch)
        if not branch.chosen:
            return inner
        digest = self.add(b"\x82\x50" + next(self.salts) + encode_cbor(inner))
        return CBORTag(REDACTED_ELEMENT, digest)


@lru_cache(maxsize=1024)
def _protected(alg: int, kid: bytes, typ: int | str | None, sd_alg: int) -> bytes:
    header: dict[Any, Any] = {cose.ALG: alg, cose.KID: kid, cose.TYP: typ}
    if sd_alg != _SHA256:  # the default is left out
        header[SD_ALG] = sd_alg
    return encode_cbor(header)


def issue(
    claims: Mapping[int | str, Any],
    *,
    disclosable: Collection[Path],
    signer: Signer,
    holder_key: PublicKey | None = None,
    decoys: int = 0,
    vct: str | None = None,
    status: StatusReference | None = None,
    compact: bool = False,
) -> bytes:
    """Issues an SD-CWT with all its disclosures, for the holder.

    Args:
        claims: what to certify, `iss`, `iat`, `exp` ... included, under CWT keys.
        disclosable: paths of the claims and array elements that are disclosed one by one
            (`ewallet.formats.disclosure`); a path that is not there is left out.
        signer: the issuer's.
        holder_key: the device key that must sign presentations (`cnf`).
        decoys: how many digests to add that stand for nothing, so that the number of claims does not show.
        vct: type of the credential, claim 11.
        status: where its status stands, claim 65535.
        compact: compresses the holder's key: smaller in a QR code, slower to check.

    Returns:
        The tagged COSE_Sign1, `typ` 293, disclosures under header 17.

    Raises:
        ValueError: a claim is disclosable that never may be, or a path leads nowhere.
        SignerError: the signing device refused.
    """
    paths = tree(tuple(disclosable))
    if not NEVER_REDACTED.isdisjoint(paths):
        raise ValueError("iss, aud, exp, nbf, iat, cti, cnf and cnonce are never redacted")
    whole = dict(claims)
    if holder_key is not None:
        whole[CNF] = {1: compact_key(holder_key) if compact else holder_key.to_cose()}
    if vct is not None:
        whole[VCT] = vct
    if status is not None:
        whole[STATUS] = status.to_claim()
    key = signer.public_key
    redactor = _Redactor(
        _sha256 if key.suite.hash == "sha256" else key.suite.digest, len(disclosable) + decoys
    )
    payload = encode_cbor(redactor.claims(whole, paths, decoys))
    protected = _protected(key.suite.cose_alg, key.kid, SD_CWT, key.suite.sd_alg_cose)
    signature = signer.sign(cose.signed_bytes(protected, payload))
    return cose.assemble(protected, payload, signature, _unprotected(redactor.encoded))


def _unprotected(encoded_disclosures: Sequence[bytes]) -> bytes:
    if not encoded_disclosures:
        return b"\xa0"
    return b"\xa1\x11" + cose.cose_array(encoded_disclosures)


# --- Reading ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class UnverifiedSdCwt:
    """An SD-CWT as received: form checked, nothing verified.

    Attributes:
        sign1: the message.
        unverified_claims: its payload, with digests in place of what is redacted.
        disclosures: the encoded disclosures that came with it, heads left off.
        hashed: the same as CBOR byte strings: what the digests run over.
    """

    sign1: Sign1
    unverified_claims: Mapping[Any, Any]
    disclosures: tuple[bytes, ...]
    hashed: tuple[bytes, ...]

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
        """SHA-256 of the bytes that the issuer signed: names the credential whatever is disclosed."""
        return self.sign1.digest


@dataclass(frozen=True, slots=True, kw_only=True)
class SdCwt:
    """Verified facts of an SD-CWT.

    Attributes:
        claims: open and disclosed claims together; what was not disclosed is not there.
        disclosed: paths of what came from disclosures; the key alone for a claim at the top.
        holder_key: the device key that must sign presentations; None without `cnf`.
        signed: the bytes that the issuer signed.
        vct: type of the credential.
        status: where its status stands.
        key: the key that signed.
    """

    claims: Mapping[Any, Any]
    disclosed: tuple[Path, ...]
    holder_key: PublicKey | None
    signed: bytes = field(repr=False)
    vct: str | None
    status: StatusReference | None
    key: PublicKey

    @property
    def digest(self) -> bytes:
        """SHA-256 of the bytes that the issuer signed."""
        return sha256(self.signed).digest()


def parse(data: bytes, profile: Profile) -> UnverifiedSdCwt:
    """Reads an SD-CWT under a profile; checks form and headers only.

    Raises:
        Refused: `credential.malformed`, `algorithm.not_allowed`.
    """
    read = first_item if profile.own else decode_cbor
    value = read(data, limit=profile.limit, tags=_SIGN1_TAGS)
    if type(value) is CBORTag:
        parts = value.value
    elif profile.untagged:
        parts = value
    else:
        raise Malformed("no COSE_Sign1 tag")
    token = _from_parts(parts, profile)
    if profile.own and _encoded(parts, token.hashed) != data:
        raise Malformed("not the deterministic CBOR encoding, or something after it")
    return token


def _encoded(parts: Any, hashed: tuple[bytes, ...]) -> bytes:
    return cose.assemble(parts[0], parts[2], parts[3], _unprotected(hashed))


def _from_parts(parts: Any, profile: Profile) -> UnverifiedSdCwt:
    sign1 = cose.sign1_from_parts(parts, profile, open_labels=_SD_CLAIMS_ONLY)
    claims = decode_cbor(
        sign1.payload, limit=profile.limit, tags=_ELEMENT_TAGS, own=profile.own, redacted=True
    )
    if type(claims) is not dict:
        raise Malformed("the claims are no map")
    cose.check_claim_form(claims, profile)
    nbf = claims.get(NBF)
    if nbf is not None and nbf > claims.get(IAT, nbf):
        raise Malformed("valid before it was issued")
    if profile.holder_required and CNF not in claims:
        raise Malformed("cnf is missing")
    listed = _disclosures(sign1.unprotected)
    return UnverifiedSdCwt(
        sign1=sign1,
        unverified_claims=claims,
        disclosures=listed,
        hashed=tuple([cbor_bytes(item) for item in listed]),
    )


def _disclosures(unprotected: Mapping[Any, Any]) -> tuple[bytes, ...]:
    if SD_CLAIMS not in unprotected:
        return ()
    listed = unprotected[SD_CLAIMS]
    if type(listed) not in (list, tuple) or not 0 < len(listed) <= MAX_DISCLOSURES:
        raise Malformed("sd_claims is empty or no array")
    if set(map(type, listed)) != {bytes}:
        raise Malformed("a disclosure that is no byte string")
    return tuple(listed)


def _contents(token: UnverifiedSdCwt, profile: Profile) -> list[Any]:
    """The disclosures decoded: arrays of salt, value and key, of salt and value, or of salt alone."""
    disclosures = token.disclosures
    if profile.own:
        contents = first_items(disclosures, tags=_ELEMENT_TAGS)
        # Each is at least as long as its shortest encoding, so all together are only if each is.
        if dumps(contents) != cbor_head(4, len(contents)) + b"".join(disclosures):
            raise Malformed("not the deterministic CBOR encoding")
    else:
        contents = [decode_cbor(item, tags=_ELEMENT_TAGS, redacted=True) for item in disclosures]
    if set(map(type, contents)) != {list} or not {1, 2, 3}.issuperset(map(len, contents)):
        raise Malformed("a disclosure in another form")
    return contents


def _check_salts(salts: Collection[Any]) -> None:
    drawn = set(salts)
    if set(map(type, drawn)) != {bytes} or min(map(len, drawn)) < SALT_SIZE:
        raise Malformed("a salt that is none, or too short")
    if len(drawn) != len(salts):
        raise Refused("disclosure.mismatch", "a salt is used twice")


def _disclose(
    token: UnverifiedSdCwt, profile: Profile
) -> tuple[Mapping[Any, Any], tuple[Path, ...], Mapping[Path, bytes]]:
    """The claims with what was disclosed, the paths, and the digest of each path (empty if not walked).

    Raises:
        Refused: `disclosure.mismatch`, `credential.malformed`, `algorithm.not_allowed`.
    """
    digest = _digest_of(token.sign1.protected)
    closed = NEVER_REDACTED | profile.open_claims if profile.open_claims else NEVER_REDACTED
    waiting: dict[bytes, Any] = {}
    if token.disclosures:
        contents = _contents(token, profile)
        digests = _digests(digest, token.hashed)
        if profile.own and set(map(len, contents)) == {3}:
            flat = _disclose_flat(token, digests, contents, closed)
            if flat is not None:
                return flat
        if not all(type(content[0]) is bytes for content in contents):
            raise Malformed("a salt that is none")
        _check_salts([content[0] for content in contents])
        if profile.own:
            check_deterministic(contents, redacted=True)
        waiting = dict(zip(digests, contents, strict=True))
        if len(waiting) != len(contents):
            raise Refused("disclosure.mismatch", "a disclosure is there twice")
    walk = _Disclosed(waiting, closed)
    merged = walk.claims(token.unverified_claims, ())
    if waiting:
        raise Refused("disclosure.mismatch", "a disclosure that nothing refers to")
    return merged, tuple(walk.origin), walk.origin


def _disclose_flat(
    token: UnverifiedSdCwt, digests: list[bytes], contents: list[Any], closed: frozenset[int | str]
) -> tuple[Mapping[Any, Any], tuple[Path, ...], Mapping[Path, bytes]] | None:
    """The same for the common case: only claims at the top are redacted, and none has parts.

    In our own encoding simple(59) is the last key of its map, F8 3B, and its digests end the payload. If that
    is the first place where these bytes are, and no redacted element (D8 3C) comes before it, then nothing is
    redacted inside. None: not that case, or something is wrong, and the walk will tell what.
    """
    claims, payload = token.unverified_claims, token.sign1.payload
    last = next(reversed(claims), None)
    listed = claims.get(last)
    if type(last) is not CBORSimpleValue or type(listed) is not list:
        return None
    salts_, values, keys = zip(*contents, strict=True)
    if (
        not _PLAIN_OWN.issuperset(map(type, values))
        or not _KEY_TYPES.issuperset(map(type, keys))
        or set(map(type, (*salts_, *listed))) != {bytes}
        or set(map(len, listed)) != {32}
    ):
        return None
    at = len(payload) - 34 * len(listed) - len(cbor_head(4, len(listed))) - 2
    if payload.find(b"\xf8\x3b") != at or payload.find(b"\xd8\x3c", 0, at) >= 0:
        return None
    names, known, present, drawn = set(keys), set(listed), set(digests), set(salts_)
    if (
        len(known) != len(listed)
        or not present <= known
        or not len(names) == len(present) == len(drawn) == len(contents)
        or min(map(len, drawn)) < SALT_SIZE
        or not closed.isdisjoint(names)
        or not names.isdisjoint(claims)
    ):
        return None
    merged = dict(claims)
    del merged[last]
    merged.update(zip(keys, values, strict=True))
    return merged, keys, {}


class _Disclosed:
    """Walks through claims and puts disclosures where their digests stand."""

    def __init__(self, waiting: dict[bytes, Any], closed: frozenset[int | str]) -> None:
        self.waiting = waiting
        self.closed = closed
        self.seen: set[bytes] = set()
        self.origin: dict[Path, bytes] = {}

    def claims(self, claims: Mapping[Any, Any], path: tuple[Step, ...]) -> dict[Any, Any]:
        out = {}
        digests: Any = ()
        for key, value in claims.items():
            if type(key) is CBORSimpleValue:
                digests = value
            else:
                out[key] = value if type(value) in _PLAIN else self.value(value, (*path, key))
        if digests == ():
            return out
        if type(digests) not in (list, tuple):
            raise Malformed("redacted claim keys are no array")
        for digest in digests:
            content = self.take(digest)
            if content is None or len(content) == 1:
                continue
            if len(content) != 3:
                raise Refused("disclosure.mismatch", "an array element where a claim belongs")
            _, value, key = content
            if type(key) not in (int, str):
                raise Malformed("a disclosed claim without a proper key")
            if key in out:
                raise Refused("disclosure.mismatch", "a claim is both open and disclosed")
            if not path and key in self.closed:
                raise Refused("disclosure.mismatch", "a claim that is never redacted is disclosed")
            where = (*path, key)
            self.origin[where if path else key] = digest
            out[key] = value if type(value) in _PLAIN else self.value(value, where)
        return out

    def value(self, value: Any, path: tuple[Step, ...]) -> Any:
        kind = type(value)
        if kind is dict or kind is frozendict:
            return self.claims(value, path)
        if kind is list or kind is tuple:
            return list(self.elements(value, path))
        if kind is CBORTag:
            raise Malformed("a redacted element outside an array")
        return value

    def elements(self, values: list[Any], path: tuple[Step, ...]) -> Iterator[Any]:
        for position, value in enumerate(values):
            if type(value) is not CBORTag:
                yield value if type(value) in _PLAIN else self.value(value, (*path, position))
                continue
            content = self.take(value.value)
            if content is None or len(content) == 1:
                continue
            if len(content) != 2:
                raise Refused("disclosure.mismatch", "a claim where an array element belongs")
            where = (*path, position)
            self.origin[where] = value.value
            yield content[1] if type(content[1]) in _PLAIN else self.value(content[1], where)

    def take(self, digest: Any) -> Any:
        if type(digest) is not bytes or len(digest) != 32:
            raise Malformed("a digest of another form")
        if digest in self.seen:
            raise Refused("disclosure.mismatch", "a digest stands in two places")
        self.seen.add(digest)
        return self.waiting.pop(digest, None)


def _digest_of(protected: Mapping[Any, Any]) -> Callable[[bytes], bytes]:
    sd_alg = protected.get(SD_ALG, _SHA256)
    if sd_alg == _SHA256 and type(sd_alg) is int:
        return _sha256
    suite = SUITES["SM2SM3"]
    if sd_alg == suite.sd_alg_cose:
        return suite.digest
    raise Refused("algorithm.not_allowed", "unknown sd_alg")


def holder_key(claims: Mapping[Any, Any]) -> PublicKey | None:
    """The device key of `cnf` (RFC 8747, 3.2); None if there is no `cnf`.

    Raises:
        Malformed: `cnf` holds no COSE_Key that can be used.
    """
    cnf = claims.get(CNF)
    if cnf is None:
        return None
    cose_key = cnf.get(1) if isinstance(cnf, Mapping) else None
    if not isinstance(cose_key, Mapping):
        raise Malformed("cnf without a COSE_Key")
    try:
        if (
            len(cose_key) == 4
            and _POINT.issuperset(cose_key)
            and type(cose_key[1]) is type(cose_key[-1]) is int
        ):
            return _point(cose_key[1], cose_key[-1], cose_key[-2], cose_key[-3])
        return PublicKey.from_cose(cose_key)
    except (KeyMaterialError, TypeError) as error:
        raise Malformed("cnf holds a key that cannot be used") from error


_POINT: Final = frozenset((1, -1, -2, -3))


@lru_cache(maxsize=128, typed=True)
def _point(kty: int, crv: int, x: Any, y: Any) -> PublicKey:
    # A code rotates every few seconds, its key does not: checking and preparing a key is a tenth of the work.
    return PublicKey.from_cose({1: kty, -1: crv, -2: x, -3: y})


SeenSignatures = MutableSet[tuple[PublicKey, bytes]]
"""Signatures that were verified before: (key, digest of the signed bytes). Only the signature is remembered:
times, disclosures and grants are checked every time. The caller bounds it, and empties it with new lists."""


def verify(
    token: bytes | UnverifiedSdCwt,
    key: PublicKey,
    profile: Profile,
    *,
    now: datetime,
    issuer: str | None = None,
    seen: SeenSignatures | None = None,
) -> SdCwt:
    """Verifies an SD-CWT and its disclosures; says nothing about who shows it (see `verify_kbt`).

    1. form and headers; 2. the issuer's algorithm and signature; 3. `iss` and certificate; 4. times;
    5. type; 6. every disclosure belongs to one digest, and every digest stands once.

    Args:
        token: the bytes, or what `parse` gave under the same profile.
        key: the issuer's key, found by the caller.
        profile: what the token must look like.
        now: the time of the check (aware).
        issuer: whose key it is: `iss` must be this.
        seen: signatures verified before.

    Raises:
        Refused: `credential.malformed`, `algorithm.not_allowed`, `signature.issuer`, `issuer.key_unknown`,
            `credential.expired`, `code.from_future`, `disclosure.mismatch`.
    """
    parsed = token if isinstance(token, UnverifiedSdCwt) else parse(token, profile)
    sign1, claims = parsed.sign1, parsed.unverified_claims
    if seen is None:
        cose.verify(sign1, key)
    elif (key, sign1.digest) not in seen:
        cose.verify(sign1, key)
        seen.add((key, sign1.digest))
    moment = seconds(now)
    cose.check_issuer(claims.get(ISS), issuer)
    cose.check_chain(sign1, key, claims.get(ISS), moment)
    cose.check_times(claims, moment, skew=profile.skew)
    merged, paths, _ = _disclose(parsed, profile)
    vct = merged.get(VCT)
    if profile.vct is not None and vct not in profile.vct:
        raise Malformed("another type of credential")
    status = merged.get(STATUS)
    return SdCwt(
        claims=merged,
        disclosed=paths,
        holder_key=holder_key(claims),
        signed=sign1.signed,
        vct=vct if type(vct) is str else None,
        status=None if status is None else StatusReference.from_claim(status),
        key=key,
    )


# --- Presenting ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A key binding token that lacks its signature.

    Attributes:
        to_be_signed: the bytes that the device key signs (it hashes them itself).
        protected: encoded protected header.
        payload: encoded payload.
        holder_key: the key that must sign.
    """

    to_be_signed: bytes
    protected: bytes
    payload: bytes
    holder_key: PublicKey

    def assemble(self, signature: bytes) -> bytes:
        """The finished SD-KBT.

        Args:
            signature: of `to_be_signed`, raw r ‖ s or DER, as phone keystores give it.

        Raises:
            Refused: `signature.holder`: it is not by the key that the credential names.
        """
        raw = raw_signature(signature, self.holder_key.suite)
        if not self.holder_key.verify(raw, self.to_be_signed):
            raise Refused("signature.holder", "not signed by the key in cnf")
        return cose.assemble(self.protected, self.payload, raw)


def prepare(
    credential: bytes,
    *,
    audience: str,
    now: datetime,
    cnonce: bytes | None = None,
    disclose: Collection[Path] = (),
) -> Prepared:
    """Makes the key binding token of a presentation, up to its signature.

    Args:
        credential: the SD-CWT as issued, with all its disclosures (one of our own).
        audience: for whom: `aud`.
        now: becomes `iat`.
        cnonce: what the verifier asked to repeat.
        disclose: paths to disclose, as named at issuing; whatever they depend on comes along.

    Raises:
        ValueError: a path that this credential cannot disclose.
        Malformed: the credential is none of ours, or names no holder key.
    """
    parsed = parse(credential, _AS_ISSUED)
    device = holder_key(parsed.unverified_claims)
    if device is None:
        raise Malformed("the credential names no holder key")
    sign1 = parsed.sign1
    chosen = _choose(parsed, disclose)
    shown = cose.assemble(_encoded_protected(sign1), sign1.payload, sign1.signature, _unprotected(chosen))
    protected = _kbt_protected(device.suite.cose_alg, shown)
    claims: dict[int | str, Any] = {AUD: audience, IAT: seconds(now)}
    if cnonce is not None:
        claims[CNONCE] = cnonce
    payload = encode_cbor(claims)
    return Prepared(
        to_be_signed=cose.signed_bytes(protected, payload),
        protected=protected,
        payload=payload,
        holder_key=device,
    )


_AS_ISSUED: Final = Profile(exp_required=False)


def _encoded_protected(sign1: Sign1) -> bytes:
    return encode_cbor(dict(sign1.protected))


def _kbt_protected(alg: int, credential: bytes) -> bytes:
    # Three members in order: the algorithm, the SD-CWT as it is, and type 294.
    return b"\xa3\x01" + dumps(alg) + b"\x0d" + credential + b"\x10\x19\x01\x26"


def _choose(parsed: UnverifiedSdCwt, disclose: Collection[Path]) -> list[bytes]:
    if not disclose:
        return []
    wanted = {path if isinstance(path, tuple) else (path,) for path in disclose}
    origin = origins(parsed)
    for path in wanted:
        if not any(_matches(path, found) for found in origin):
            raise ValueError("a path that this credential cannot disclose")
    chosen = [
        encoded
        for found, encoded in origin.items()
        if any(_matches(path, found) or _matches(path[: len(found)], found) for path in wanted)
    ]
    return [cbor_bytes(item) for item in chosen]


def _matches(wanted: tuple[Step, ...], found: tuple[Step, ...]) -> bool:
    return len(wanted) == len(found) and all(
        want == have or (want is None and type(have) is int) for want, have in zip(wanted, found, strict=True)
    )


def origins(parsed: UnverifiedSdCwt) -> dict[tuple[Step, ...], bytes]:
    """Where each disclosure of a credential belongs: path -> disclosure (decoys are left out).

    Raises:
        Refused: `disclosure.mismatch`, `credential.malformed`.
    """
    _, paths, origin = _disclose(parsed, _AS_ISSUED)
    if not origin and len(paths) == len(parsed.disclosures):
        return {(path,): item for path, item in zip(paths, parsed.disclosures, strict=True)}  # type: ignore[misc]
    digest = _digest_of(parsed.sign1.protected)
    encoded = dict(zip(map(digest, parsed.hashed), parsed.disclosures, strict=True))
    return {path if isinstance(path, tuple) else (path,): encoded[name] for path, name in origin.items()}


def present(
    credential: bytes,
    device: Signer,
    *,
    audience: str,
    now: datetime,
    cnonce: bytes | None = None,
    disclose: Collection[Path] = (),
) -> bytes:
    """Makes a presentation with a device key at hand: `prepare`, sign, `assemble`."""
    prepared = prepare(credential, audience=audience, now=now, cnonce=cnonce, disclose=disclose)
    return prepared.assemble(device.sign(prepared.to_be_signed))


# --- Key binding token: reading and verifying ---------------------------------------------------------------

_KBT_OWN: Final = cose.Profile(typ=SD_KBT, exp_required=False)
_KBT_OTHER: Final = cose.Profile(typ=SD_KBT, own=False, exp_required=False)
_KBT_CLAIMS: Final = frozenset((AUD, IAT, CNONCE))


@dataclass(frozen=True, slots=True, kw_only=True)
class UnverifiedKbt:
    """A key binding token as received: form checked, nothing verified.

    Attributes:
        sign1: the token that the device key should have signed.
        credential: the SD-CWT inside.
        unverified_claims: `aud`, `iat`, `cnonce`.
    """

    sign1: Sign1
    credential: UnverifiedSdCwt
    unverified_claims: Mapping[Any, Any]

    @property
    def kid(self) -> bytes | None:
        """Key identifier of the credential's issuer, a hint only."""
        return self.credential.kid

    @property
    def iss(self) -> str | None:
        """The issuer that the credential names."""
        return self.credential.iss

    @property
    def unverified_audience(self) -> str:
        """For whom it says it was made."""
        return str(self.unverified_claims[AUD])

    @property
    def unverified_iat(self) -> int:
        """When it says it was signed."""
        return int(self.unverified_claims[IAT])

    @property
    def digest(self) -> bytes:
        """SHA-256 of the bytes that the device signed: names this one presentation."""
        return self.sign1.digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Presentation:
    """Verified facts of a presentation.

    Attributes:
        credential: what the issuer certified and the holder disclosed.
        audience: for whom it was made.
        issued_at: when the device signed, seconds since 1970.
        cnonce: what it repeats of the verifier's question.
        signed: the bytes that the device signed.
    """

    credential: SdCwt
    audience: str
    issued_at: int
    cnonce: bytes | None
    signed: bytes = field(repr=False)

    @property
    def digest(self) -> bytes:
        """SHA-256 of the bytes that the device signed."""
        return sha256(self.signed).digest()


def parse_kbt(data: bytes, profile: Profile) -> UnverifiedKbt:
    """Reads an SD-KBT and the SD-CWT inside; checks form and the order of times only.

    Args:
        data: the token.
        profile: what the credential inside must look like; the token itself follows its `own`.

    Raises:
        Refused: `credential.malformed`, `algorithm.not_allowed`; `holder.binding_missing` for a bare SD-CWT;
            `credential.expired` if it was signed at or after the end of its credential.
    """
    read = first_item if profile.own else decode_cbor
    value = read(data, limit=profile.limit, tags=_SIGN1_TAGS)
    if type(value) is not CBORTag:
        raise Malformed("no COSE_Sign1 tag")
    parts = value.value
    if type(parts) is not tuple or len(parts) != 4 or type(parts[0]) is not bytes:
        raise Malformed("not four members")
    _refuse_bare(parts[0])
    header = read(parts[0], limit=profile.limit, tags=_SIGN1_TAGS)
    if type(header) is not dict:
        raise Malformed("the protected header is no map")
    outer = _KBT_OWN if profile.own else _KBT_OTHER
    sign1 = cose.sign1_from_parts(parts, outer, header=header)
    inner = header.get(KCWT)
    if type(inner) is not CBORTag:
        raise Malformed("kcwt is missing or has no tag")
    credential = _from_parts(inner.value, profile)
    # Ours has no other header, in this order, and nothing unprotected.
    if profile.own and (
        parts[0] != _kbt_protected(sign1.alg, _encoded(inner.value, credential.hashed))
        or data != cose.assemble(parts[0], parts[2], parts[3])
    ):
        raise Malformed("not the deterministic CBOR encoding, or something after it")
    claims = decode_cbor(sign1.payload, limit=profile.limit, own=profile.own)
    if type(claims) is not dict:
        raise Malformed("the claims are no map")
    _check_kbt_claims(claims, outer)
    _check_order(claims, credential.unverified_claims)
    return UnverifiedKbt(sign1=sign1, credential=credential, unverified_claims=claims)


class KbtReader:
    """Reads tokens of one own profile, and remembers the headers that it has read.

    A holder's tokens repeat their header, which is most of them: the credential with what is disclosed. A
    header that is the same bytes was checked before; everything else goes the whole way of `parse_kbt`.

    Args:
        profile: one of our own.
        check: a further check of the credential's claims, made once for each header; raises `Refused`.
        remember: headers that are kept, about 5 kB each.
    """

    __slots__ = ("_audiences", "_check", "_known", "_profile", "_remember")

    def __init__(
        self, profile: Profile, *, check: Callable[[Mapping[Any, Any]], None], remember: int = 2048
    ) -> None:
        if not profile.own:
            raise ValueError("only our own form is exact enough to be told by its bytes")
        self._profile = profile
        self._check = check
        self._remember = remember
        self._known: dict[bytes, UnverifiedKbt] = {}
        self._audiences: dict[bytes, str] = {}

    def forget(self) -> None:
        """Forgets all headers; the next tokens go the whole way."""
        self._known.clear()
        self._audiences.clear()

    def read(self, data: bytes, *, early: Callable[[Mapping[Any, Any]], None] | None = None) -> UnverifiedKbt:
        """As `parse_kbt` and the check, with the same refusals.

        Args:
            data: the token.
            early: looks at the claims before an unknown credential inside is read, and may raise `Refused`:
                what is refused anyway costs little.
        """
        protected, payload, signature = _cut(data)
        known = self._known.get(protected)
        if known is None or data != cose.assemble(protected, payload, signature):
            return self._read_new(data, protected, payload, early)
        claims = self._claims(payload)
        _check_order(claims, known.credential.unverified_claims)
        like = known.sign1
        sign1 = Sign1(
            protected=like.protected,
            unprotected=like.unprotected,
            payload=payload,
            signature=signature,
            signed=cose.signed_bytes(protected, payload),
            alg=like.alg,
            kid=like.kid,
            typ=like.typ,
        )
        return UnverifiedKbt(sign1=sign1, credential=known.credential, unverified_claims=claims)

    def _read_new(
        self,
        data: bytes,
        protected: bytes,
        payload: bytes,
        early: Callable[[Mapping[Any, Any]], None] | None,
    ) -> UnverifiedKbt:
        if early is not None:
            try:
                claims = self._claims(payload)
            except Refused:
                pass  # not of our form: the whole way says why
            else:
                early(claims)
        read = parse_kbt(data, self._profile)
        self._check(read.credential.unverified_claims)
        if len(self._known) >= self._remember:
            self._known.clear()
        self._known[protected] = read
        return read

    def _claims(self, payload: bytes) -> dict[Any, Any]:
        """The checked claims. Tokens for one audience differ in their last four bytes, the time, only."""
        start, iat = payload[:-4], int.from_bytes(payload[-4:], "big")
        audience = self._audiences.get(start)
        if audience is not None and iat > 0xFFFF:  # below, it would have a shorter form
            return {AUD: audience, IAT: iat}
        claims = decode_cbor(payload, limit=self._profile.limit, own=True)
        if type(claims) is not dict:
            raise Malformed("the claims are no map")
        _check_kbt_claims(claims, _KBT_OWN)
        if start == b"\xa2\x03" + encode_cbor(claims[AUD]) + b"\x06\x1a":
            if len(self._audiences) >= self._remember:
                self._audiences.clear()
            self._audiences[start] = claims[AUD]
        return claims


def _cut(data: bytes) -> tuple[bytes, bytes, bytes]:
    """Protected header, payload and signature as the heads of our own form say; checked by the caller."""
    protected, at = _byte_string(data, 2)
    payload, at = _byte_string(data, at + 1)
    signature, _ = _byte_string(data, at)
    return protected, payload, signature


def _byte_string(data: bytes, at: int) -> tuple[bytes, int]:
    head = data[at : at + 3]
    if head[:1] == b"\x59":
        at, size = at + 3, int.from_bytes(head[1:], "big")
    elif head[:1] == b"\x58":
        at, size = at + 2, int.from_bytes(head[1:2], "big")
    else:
        at, size = at + 1, head[0] & 0x1F if head else 0
    return data[at : at + size], at + size


def _refuse_bare(protected: bytes) -> None:
    """A credential without key binding is told apart from a broken one: the advice differs."""
    if len(protected) > 64:
        return
    try:
        header = decode_cbor(protected)
    except Malformed:
        return
    if isinstance(header, dict) and header.get(cose.TYP) == SD_CWT:
        raise Refused("holder.binding_missing", "an SD-CWT without key binding")


def _check_kbt_claims(claims: Mapping[Any, Any], outer: cose.Profile) -> None:
    cose.check_claim_form(claims, outer)
    if ISS in claims or cose.SUB in claims:
        raise Malformed("a key binding token names no issuer and no subject")
    if type(claims.get(AUD)) is not str:
        raise Malformed("aud is missing or no text")
    # The draft allows `cti` in its place; without a time there is no freshness, so we do not.
    if IAT not in claims:
        raise Malformed("iat is missing")
    if type(claims.get(CNONCE, b"")) is not bytes:
        raise Malformed("cnonce is no byte string")
    if outer.own and not _KBT_CLAIMS.issuperset(claims):
        raise Malformed("a claim that does not belong into a key binding token")


def _check_order(kbt: Mapping[Any, Any], credential: Mapping[Any, Any]) -> None:
    """A key binding token lies within its credential (draft, "Verifier Validation", step 7)."""
    iat, nbf, exp = kbt[IAT], kbt.get(NBF), kbt.get(EXP)
    begins = max(credential.get(IAT, 0), credential.get(NBF, 0))
    ends = credential.get(EXP)
    if nbf is not None and (nbf > iat or nbf < credential.get(NBF, 0)):
        raise Malformed("nbf of the key binding out of order")
    if iat < begins:
        raise Malformed("signed before its credential")
    if ends is None:
        return
    if iat >= ends or (nbf is not None and nbf >= ends):
        raise Refused("credential.expired", "signed at or after the end of its credential")
    if exp is not None and exp > ends:
        raise Malformed("it outlasts its credential")


def check_presentation(
    presented: UnverifiedKbt,
    *,
    now: datetime,
    audience: str | Collection[str],
    cnonce: bytes | None = None,
    max_age: int = 30,
    max_ahead: int = 10,
) -> None:
    """What can be told of a presentation without any key: audience, answer, time.

    Args:
        presented: what `parse_kbt` gave.
        now: the time of the check (aware).
        audience: whom it must address: one name, or several that all mean this verifier.
        cnonce: what it must repeat; None: it must repeat nothing.
        max_age: most seconds since the device signed.
        max_ahead: most seconds that the device's clock may be ahead.

    Raises:
        Refused: `code.audience`, `code.challenge`, `code.expired`, `code.from_future`.
    """
    claims = presented.unverified_claims
    addressed = claims[AUD]
    if addressed != audience and (isinstance(audience, str) or addressed not in audience):
        raise Refused("code.audience", "made for somebody else")
    if claims.get(CNONCE) != cnonce:
        raise Refused("code.challenge", "it does not answer the question that was asked")
    moment = seconds(now)
    age = moment - claims[IAT]
    exp = claims.get(EXP)
    if age > max_age or (exp is not None and moment >= exp):
        raise Refused("code.expired", "signed too long ago")
    if age < -max_ahead:
        raise Refused("code.from_future", "signed in the future")


def verify_kbt(
    token: bytes | UnverifiedKbt,
    key: PublicKey,
    profile: Profile,
    *,
    now: datetime,
    audience: str | Collection[str],
    cnonce: bytes | None = None,
    max_age: int = 30,
    max_ahead: int = 10,
    issuer: str | None = None,
    seen: SeenSignatures | None = None,
) -> Presentation:
    """Verifies a presentation: the draft's "SD-KBT and SD-CWT Verifier Validation", all steps.

    1. form of both tokens, order of their times; 2. audience, answer, window; 3. the credential (`verify`);
    4. the device's algorithm and signature, by the key in `cnf`.

    Args:
        token: the bytes, or what `parse_kbt` gave under the same profile.
        key: the issuer's key, found by the caller.
        profile: what the credential must look like.
        now: the time of the check (aware).
        audience: whom it must address: one name, or several that all mean this verifier.
        cnonce: what it must repeat; None: it must repeat nothing.
        max_age: most seconds since the device signed.
        max_ahead: most seconds that the device's clock may be ahead.
        issuer: whose key it is: `iss` must be this.
        seen: issuer signatures verified before.

    Raises:
        Refused: as `check_presentation` and `verify`; `holder.binding_missing`; `signature.holder`.
    """
    parsed = token if isinstance(token, UnverifiedKbt) else parse_kbt(token, profile)
    check_presentation(
        parsed, now=now, audience=audience, cnonce=cnonce, max_age=max_age, max_ahead=max_ahead
    )
    credential = verify(parsed.credential, key, profile, now=now, issuer=issuer, seen=seen)
    if credential.holder_key is None:
        raise Refused("holder.binding_missing", "the credential names no holder key")
    cose.verify(parsed.sign1, credential.holder_key, reason="signature.holder")
    claims = parsed.unverified_claims
    return Presentation(
        credential=credential,
        audience=claims[AUD],
        issued_at=int(claims[IAT]),
        cnonce=claims.get(CNONCE),
        signed=parsed.sign1.signed,
    )
