"""SD-JWT (RFC 9901) and SD-JWT VC, with and without a key binding JWT.

An issuer signs claims of which some stand in the token as digests only; disclosures follow after `~`. The
holder leaves out what it does not want to show and, where the profile asks for it, signs a KB-JWT over the
rest with the device key that the token names.

`parse` gives an unverified value; `verify` gives facts, or raises `Refused`. Reading allows what RFC 9901
allows and no second spelling of it: the names of members are compared as they stand, disclosures decode in
one way, and each digest stands once.
"""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Callable, Collection, Iterator, Mapping, MutableSet, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from itertools import chain, repeat
from json.encoder import encode_basestring
from os import urandom
from typing import TYPE_CHECKING, Any, Final

from ewallet.errors import KeyMaterialError, Malformed, Refused
from ewallet.formats import jose
from ewallet.formats.cose import check_issuer
from ewallet.formats.disclosure import Branch, Path, Step, tree
from ewallet.formats.jose import Jws, ascii_bytes, encode_json
from ewallet.formats.statuslist import StatusReference
from ewallet.keys import SUITES, PublicKey, raw_signature
from ewallet.moments import seconds
from ewallet.wire import b64u_decode, b64u_encode, decode_json_arrays

if TYPE_CHECKING:
    from datetime import datetime

    from ewallet.keys import Signer

HOLDER_CREDENTIAL: Final = "dc+sd-jwt"
"""`typ` of an SD-JWT VC: always presented with key binding."""
DOCUMENT_CREDENTIAL: Final = "ewallet-document+sd-jwt"
"""`typ` of the credential that goes with a document: it proves content, never presence."""
KB_JWT: Final = "kb+jwt"

NEVER_REDACTED: Final = frozenset(("iss", "nbf", "exp", "iat", "cnf", "vct", "status"))
"""Claims that a verifier needs before it looks at disclosures (SD-JWT VC, "Registered JWT Claims")."""

MAX_DISCLOSURES: Final = 1024
"""Far above any license; keeps the work for hostile input small."""

_NOT_NESTED: Final = frozenset((int, str, bool, type(None), float))
_RESERVED: Final = frozenset(("_sd", "..."))
_LENGTHS: Final = frozenset((2, 3))
_TO_URL: Final = bytes.maketrans(b"+/", b"-_")


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile(jose.Profile):
    """What an SD-JWT of one purpose must look like; see also `jose.Profile`.

    Attributes:
        key_binding: True: a KB-JWT is required; False: it must have none.
        vct: the types of credential that are accepted; None: any, or none.
        open_claims: claims that must not come from a disclosure, beside `NEVER_REDACTED`.
    """

    typ: str | None = HOLDER_CREDENTIAL
    key_binding: bool = True
    vct: frozenset[str] | None = None
    open_claims: frozenset[str] = frozenset()


# --- Issuing ------------------------------------------------------------------------------------------------


def _sha256(data: bytes) -> bytes:
    return sha256(data).digest()


def _digests(digest: Callable[[bytes], bytes], items: Sequence[bytes]) -> list[bytes]:
    if digest is _sha256:
        return [sha256(item).digest() for item in items]
    return [digest(item) for item in items]


def _digest_text(digest: bytes) -> str:
    return b2a_base64(digest, newline=False).translate(_TO_URL).rstrip(b"=").decode("ascii")


def _digest_texts(digests: list[bytes]) -> list[str]:
    """Several digests of 32 bytes at once: with one zero byte between them each makes 44 characters."""
    text = b2a_base64(b"\0".join(digests) + b"\0", newline=False).translate(_TO_URL).decode("ascii")
    return [text[start : start + 43] for start in range(0, len(digests) * 44, 44)]


def _json_text(value: Any) -> str:
    return encode_basestring(value) if type(value) is str else encode_json(value).decode()


def _salts(at_once: int) -> Iterator[str]:
    """Salts of 144 bits: 18 bytes make 24 characters, so that one call serves a whole credential."""
    return chain.from_iterable(map(_drawn, chain((at_once,), repeat(16))))


def _drawn(count: int) -> list[str]:
    drawn = b64u_encode(urandom(18 * count))
    return [drawn[start : start + 24] for start in range(0, len(drawn), 24)]


class _Redactor:
    """Replaces chosen claims by digests and collects the disclosures."""

    def __init__(self, digest: Callable[[bytes], bytes], expected: int) -> None:
        self.digest = digest
        self.salts = _salts(expected)
        self.encoded: list[str] = []

    def add(self, content: str) -> str:
        encoded = b2a_base64(content.encode(), newline=False).translate(_TO_URL).rstrip(b"=")
        self.encoded.append(encoded.decode("ascii"))
        return _digest_text(self.digest(encoded))

    def claims(self, claims: Mapping[str, Any], branch: Branch, decoys: int = 0) -> dict[str, Any]:
        digests = []
        out: dict[str, Any] = {}
        for name, value in claims.items():
            below = branch.get(name)
            if below is None:
                out[name] = value
                continue
            inner = self.value(value, below) if below else value
            if below.chosen:
                digests.append(
                    self.add(f'["{next(self.salts)}",{encode_basestring(name)},{_json_text(inner)}]')
                )
            else:
                out[name] = inner
        if decoys:
            drawn = urandom(32 * decoys)
            digests += [
                _digest_text(self.digest(drawn[start : start + 32])) for start in range(0, len(drawn), 32)
            ]
        if digests:
            # Sorted, so that the order tells nothing about the claims.
            out["_sd"] = sorted(digests)
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
        return {"...": self.add(f'["{next(self.salts)}",{_json_text(inner)}]')}


def _refuse_reserved(value: Any) -> None:
    """`_sd` and `...` are the format's own member names, at any depth (RFC 9901, 4.1)."""
    if isinstance(value, Mapping):
        if "_sd" in value or "..." in value:
            raise ValueError("_sd and ... are reserved names")
        value = value.values()
    elif not isinstance(value, list | tuple):
        return
    for item in value:
        if type(item) not in _NOT_NESTED:
            _refuse_reserved(item)


def issue(
    claims: Mapping[str, Any],
    *,
    disclosable: Collection[Path],
    signer: Signer,
    typ: str = HOLDER_CREDENTIAL,
    holder_key: PublicKey | None = None,
    decoys: int = 0,
    vct: str | None = None,
    status: StatusReference | None = None,
    x5c: Collection[bytes] = (),
) -> str:
    """Issues an SD-JWT with all its disclosures.

    Args:
        claims: what to certify, `iss`, `iat`, `exp` ... included.
        disclosable: paths of the claims and array elements that are disclosed one by one
            (`ewallet.formats.disclosure`); a path that is not there is left out.
        signer: the issuer's.
        typ: type of the credential.
        holder_key: the device key that must sign presentations (`cnf`).
        decoys: how many digests to add that stand for nothing, so that the number of claims does not show.
        vct: type of the credential, as claim.
        status: where its status stands.
        x5c: certificates in DER, the leaf first; the leaf must name `iss`.

    Returns:
        `<JWT>~<disclosure>~...~`.

    Raises:
        ValueError: a claim is disclosable that never may be, a reserved name, a path that leads nowhere.
        SignerError: the signing device refused.
    """
    paths = tree(tuple(disclosable))
    if not NEVER_REDACTED.isdisjoint(paths):
        raise ValueError("iss, nbf, exp, iat, cnf, vct and status are never redacted")
    _refuse_reserved(claims)
    whole = dict(claims)
    if holder_key is not None:
        whole["cnf"] = {"jwk": holder_key.to_jwk()}
    if vct is not None:
        whole["vct"] = vct
    if status is not None:
        whole["status"] = status.to_claim()
    suite = signer.public_key.suite
    redactor = _Redactor(suite.digest, len(disclosable))
    payload = redactor.claims(whole, paths, decoys)
    payload["_sd_alg"] = suite.sd_alg_jose
    headers = {"x5c": [b2a_base64(item, newline=False).decode("ascii") for item in x5c]} if x5c else None
    token = jose.sign(encode_json(payload), signer, typ=typ, headers=headers)
    return "~".join((token, *redactor.encoded, ""))


# --- Reading ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class UnverifiedSdJwt:
    """An SD-JWT as received: form checked, nothing verified.

    Attributes:
        jws: the issuer-signed part.
        unverified_claims: its payload, with digests in place of what is redacted.
        disclosures: the encoded disclosures that came with it.
        key_binding: the KB-JWT; None without.
        unverified_binding: claims of the KB-JWT.
        bound: what the KB-JWT must hash: everything before it.
    """

    jws: Jws
    unverified_claims: Mapping[str, Any]
    disclosures: tuple[bytes, ...]
    key_binding: Jws | None
    unverified_binding: Mapping[str, Any] | None
    bound: bytes

    @property
    def kid(self) -> str | None:
        """Key identifier, a hint only."""
        return self.jws.kid

    @property
    def key_id(self) -> bytes | None:
        """`kid` as the bytes of our own key identifiers; None if it is none of them."""
        try:
            return b64u_decode(self.jws.kid or "") or None
        except Malformed:
            return None

    @property
    def typ(self) -> str | None:
        """Type of the object."""
        return self.jws.typ

    @property
    def iss(self) -> str | None:
        """The issuer that it names."""
        iss = self.unverified_claims.get("iss")
        return iss if type(iss) is str else None

    @property
    def digest(self) -> bytes:
        """SHA-256 of the bytes that the issuer signed: names the credential whatever is disclosed."""
        return self.jws.digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """Verified facts of a KB-JWT.

    Attributes:
        audience: for whom it was made.
        nonce: what it repeats of the verifier's question.
        issued_at: when the device signed, seconds since 1970.
        signed: the bytes that the device signed.
    """

    audience: str
    nonce: str
    issued_at: int
    signed: bytes = field(repr=False)

    @property
    def digest(self) -> bytes:
        """SHA-256 of the bytes that the device signed."""
        return sha256(self.signed).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class SdJwt:
    """Verified facts of an SD-JWT.

    Attributes:
        claims: open and disclosed claims together; what was not disclosed is not there.
        disclosed: paths of what came from disclosures; the name alone for a claim at the top.
        holder_key: the device key that must sign presentations; None without `cnf`.
        binding: the verified key binding; None where the profile has none: content, never presence.
        signed: the bytes that the issuer signed.
        vct: type of the credential.
        status: where its status stands.
        key: the key that signed.
    """

    claims: Mapping[str, Any]
    disclosed: tuple[Path, ...]
    holder_key: PublicKey | None
    binding: Binding | None
    signed: bytes = field(repr=False)
    vct: str | None
    status: StatusReference | None
    key: PublicKey

    @property
    def digest(self) -> bytes:
        """SHA-256 of the bytes that the issuer signed."""
        return sha256(self.signed).digest()


_KB_OWN: Final = jose.Profile(typ=KB_JWT, exp_required=False)
_KB_OTHER: Final = jose.Profile(typ=KB_JWT, own=False, exp_required=False)


def parse(token: str | bytes, profile: Profile) -> UnverifiedSdJwt:
    """Reads an SD-JWT or SD-JWT+KB under a profile; checks form and headers only.

    Raises:
        Refused: `credential.malformed`, `algorithm.not_allowed`; `holder.binding_missing` if the profile
            asks for key binding and there is none.
    """
    data = ascii_bytes(token, separators=b".~", limit=profile.limit)
    first, *disclosures = data.split(b"~")
    if not disclosures:
        raise Malformed("no tilde: not an SD-JWT")
    last = disclosures.pop()
    if len(disclosures) > MAX_DISCLOSURES:
        raise Malformed("too many disclosures")
    jws = jose.parse_checked(first, profile)
    claims = jose.claims_of(jws, profile)
    binding = None
    binding_claims = None
    if last:
        if not profile.key_binding:
            raise Malformed("a key binding that does not belong here")
        kb_profile = _KB_OWN if profile.own else _KB_OTHER
        binding = jose.parse_checked(last, kb_profile)
        binding_claims = jose.claims_of(binding, kb_profile)
        _check_binding_form(binding_claims, claims)
    elif profile.key_binding:
        raise Refused("holder.binding_missing", "no KB-JWT")
    return UnverifiedSdJwt(
        jws=jws,
        unverified_claims=claims,
        disclosures=tuple(disclosures),
        key_binding=binding,
        unverified_binding=binding_claims,
        bound=data[: len(data) - len(last)],
    )


def _check_binding_form(binding: Mapping[str, Any], credential: Mapping[str, Any]) -> None:
    if type(binding.get("aud")) is not str or type(binding.get("nonce")) is not str:
        raise Malformed("aud or nonce of the key binding is missing or no text")
    if "iat" not in binding or type(binding.get("sd_hash")) is not str:
        raise Malformed("iat or sd_hash of the key binding is missing")
    if "cnf" not in credential:
        raise Malformed("a key binding, but no cnf")
    iat = binding["iat"]
    if iat < max(credential.get("iat", 0), credential.get("nbf", 0)):
        raise Malformed("signed before its credential")
    exp = credential.get("exp")
    if exp is not None and iat >= exp:
        raise Refused("credential.expired", "signed at or after the end of its credential")


def _disclose(
    token: UnverifiedSdJwt, profile: Profile
) -> tuple[dict[str, Any], tuple[Path, ...], Mapping[Path, str]]:
    """The claims with what was disclosed, the paths, and the digest of each path (empty if not walked).

    Raises:
        Refused: `disclosure.mismatch`, `credential.malformed`, `algorithm.not_allowed`.
    """
    digest = _digest_of(token.unverified_claims)
    closed = NEVER_REDACTED | profile.open_claims if profile.open_claims else NEVER_REDACTED
    contents = decode_json_arrays(jose.segments(token.disclosures))
    digests = _digest_texts(_digests(digest, token.disclosures))
    flat = _disclose_flat(token, digests, contents, closed)
    if flat is not None:
        return flat
    if not _LENGTHS.issuperset(map(len, contents)):
        raise Malformed("a disclosure in another form")
    waiting = dict(zip(digests, contents, strict=True))
    if len(waiting) != len(contents):
        raise Refused("disclosure.mismatch", "a disclosure is there twice")
    if len({content[0] for content in contents if type(content[0]) is str}) != len(contents):
        raise Refused("disclosure.mismatch", "a salt that is no text, or is used twice")
    walk = _Disclosed(waiting, closed)
    merged = walk.claims(token.unverified_claims, ())
    if waiting:
        raise Refused("disclosure.mismatch", "a disclosure that nothing refers to")
    return merged, tuple(walk.origin), walk.origin


def _disclose_flat(
    token: UnverifiedSdJwt, digests: list[str], contents: list[Any], closed: frozenset[str]
) -> tuple[dict[str, Any], tuple[Path, ...], Mapping[Path, str]] | None:
    """The same for the common case: only claims at the top are redacted, and none has parts.

    None: not that case, or something is wrong, and the walk will tell what. A name can be written with
    escapes, but then with a backslash.
    """
    claims, payload = token.unverified_claims, token.jws.payload
    listed = claims.get("_sd")
    if type(listed) is not list or set(map(len, contents)) != {3}:
        return None
    if b"\\" in payload or b"..." in payload or payload.count(b"_sd") != 1 + ("_sd_alg" in claims):
        return None
    salts, keys, values = zip(*contents, strict=True)
    if not _NOT_NESTED.issuperset(map(type, values)) or set(map(type, (*salts, *keys, *listed))) != {str}:
        return None
    names, present, known = set(keys), set(digests), set(listed)
    if (
        len(known) != len(listed)
        or not present <= known
        or not len(names) == len(present) == len(set(salts)) == len(contents)
        or not closed.isdisjoint(names)
        or not _RESERVED.isdisjoint(names)
        or not names.isdisjoint(claims)
    ):
        return None
    merged = dict(claims)
    del merged["_sd"]
    merged.pop("_sd_alg", None)
    merged.update(zip(keys, values, strict=True))
    return merged, keys, {}


class _Disclosed:
    """Walks through claims and puts disclosures where their digests stand."""

    def __init__(self, waiting: dict[str, Any], closed: frozenset[str]) -> None:
        self.waiting = waiting
        self.closed = closed
        self.seen: set[str] = set()
        self.origin: dict[Path, str] = {}

    def claims(self, claims: Mapping[str, Any], path: tuple[Step, ...]) -> dict[str, Any]:
        out = {}
        for name, value in claims.items():
            if name == "_sd" or (name == "_sd_alg" and not path):
                continue
            out[name] = value if type(value) in _NOT_NESTED else self.value(value, (*path, name))
        if "..." in out:
            raise Malformed("... where a claim belongs")
        if "_sd" in claims:
            if type(claims["_sd"]) is not list:
                raise Malformed("_sd is no array")
            for digest in claims["_sd"]:
                self.disclose(digest, out, path)
        return out

    def disclose(self, digest: Any, out: dict[str, Any], path: tuple[Step, ...]) -> None:
        content = self.take(digest)
        if content is None:
            return
        if len(content) != 3:
            raise Refused("disclosure.mismatch", "an array element where a claim belongs")
        _, name, value = content
        if type(name) is not str or name in ("_sd", "..."):
            raise Refused("disclosure.mismatch", "a disclosed claim with a reserved name, or none")
        if name in out:
            raise Refused("disclosure.mismatch", "a claim is both open and disclosed")
        if not path and name in self.closed:
            raise Refused("disclosure.mismatch", "a claim that is never redacted is disclosed")
        where = (*path, name)
        self.origin[where if path else name] = digest
        out[name] = value if type(value) in _NOT_NESTED else self.value(value, where)

    def value(self, value: Any, path: tuple[Step, ...]) -> Any:
        if type(value) is dict:
            return self.claims(value, path)
        if type(value) is list:
            return list(self.elements(value, path))
        return value

    def elements(self, values: list[Any], path: tuple[Step, ...]) -> Iterator[Any]:
        for position, value in enumerate(values):
            where = (*path, position)
            if type(value) is not dict or "..." not in value:
                yield value if type(value) in _NOT_NESTED else self.value(value, where)
                continue
            if len(value) != 1:
                raise Malformed("another member beside ...")
            content = self.take(value["..."])
            if content is None:
                continue
            if len(content) != 2:
                raise Refused("disclosure.mismatch", "a claim where an array element belongs")
            self.origin[where] = value["..."]
            yield content[1] if type(content[1]) in _NOT_NESTED else self.value(content[1], where)

    def take(self, digest: Any) -> Any:
        if type(digest) is not str:
            raise Malformed("a digest that is no text")
        if digest in self.seen:
            raise Refused("disclosure.mismatch", "a digest stands in two places")
        self.seen.add(digest)
        return self.waiting.pop(digest, None)


def _digest_of(claims: Mapping[str, Any]) -> Callable[[bytes], bytes]:
    name = claims.get("_sd_alg", "sha-256")
    if name == "sha-256":
        return _sha256
    suite = SUITES["SM2SM3"]
    if name == suite.sd_alg_jose:
        return suite.digest
    raise Refused("algorithm.not_allowed", "unknown _sd_alg")


def holder_key(claims: Mapping[str, Any]) -> PublicKey | None:
    """The device key of `cnf` (RFC 7800, 3.2); None if there is no `cnf`.

    Raises:
        Malformed: `cnf` holds no JWK that can be used.
    """
    cnf = claims.get("cnf")
    if cnf is None:
        return None
    jwk = cnf.get("jwk") if type(cnf) is dict else None
    if type(jwk) is not dict:
        raise Malformed("cnf without a JWK")
    try:
        if jwk.keys() == _POINT:
            return _point(jwk["kty"], jwk["crv"], jwk["x"], jwk["y"])
        return PublicKey.from_jwk(jwk)
    except (KeyMaterialError, TypeError) as error:
        raise Malformed("cnf holds a key that cannot be used") from error


_POINT: Final = frozenset(("kty", "crv", "x", "y"))


@lru_cache(maxsize=128, typed=True)
def _point(kty: Any, crv: Any, x: Any, y: Any) -> PublicKey:
    # Checking and preparing a key is a tenth of the work, and a holder shows the same one again.
    return PublicKey.from_jwk({"kty": kty, "crv": crv, "x": x, "y": y})


SeenSignatures = MutableSet[tuple[PublicKey, bytes]]
"""Signatures that were verified before: (key, digest of the signed bytes); see `sdcwt.SeenSignatures`."""


def check_presentation(
    presented: UnverifiedSdJwt,
    *,
    now: datetime,
    audience: str | Collection[str],
    nonce: str,
    max_age: int = 300,
    max_ahead: int = 10,
) -> None:
    """What can be told of a key binding without any key: audience, answer, time, what it covers.

    Args:
        presented: what `parse` gave, under a profile with key binding.
        now: the time of the check (aware).
        audience: whom it must address: one name, or several that all mean this verifier.
        nonce: what it must repeat.
        max_age: most seconds since the device signed.
        max_ahead: most seconds that the device's clock may be ahead.

    Raises:
        Refused: `holder.binding_missing`, `code.audience`, `code.challenge`, `code.expired`,
            `code.from_future`, `signature.holder` if it was signed over another selection of disclosures.
    """
    claims = presented.unverified_binding
    if claims is None:
        raise Refused("holder.binding_missing", "no KB-JWT")
    addressed = claims["aud"]
    if addressed != audience and (isinstance(audience, str) or addressed not in audience):
        raise Refused("code.audience", "made for somebody else")
    if claims["nonce"] != nonce:
        raise Refused("code.challenge", "it does not answer the question that was asked")
    moment = seconds(now)
    age = moment - claims["iat"]
    if age > max_age or moment >= claims.get("exp", moment + 1):
        raise Refused("code.expired", "signed too long ago")
    if age < -max_ahead:
        raise Refused("code.from_future", "signed in the future")
    # RFC 9901, 4.3.1: the hash is the one of `_sd_alg`.
    digest = _digest_of(presented.unverified_claims)
    if claims["sd_hash"] != _digest_text(digest(presented.bound)):
        raise Refused("signature.holder", "the key binding covers another selection")


def verify(
    token: str | bytes | UnverifiedSdJwt,
    key: PublicKey,
    profile: Profile,
    *,
    now: datetime,
    audience: str | Collection[str] | None = None,
    nonce: str | None = None,
    max_age: int = 300,
    max_ahead: int = 10,
    issuer: str | None = None,
    seen: SeenSignatures | None = None,
) -> SdJwt:
    """Verifies an SD-JWT (RFC 9901, 7.1 and 7.3), its disclosures, and its key binding where required.

    1. form and headers; 2. audience, nonce, window and selection of the key binding; 3. the issuer's
    algorithm and signature; 4. `iss` and certificate; 5. times; 6. every disclosure belongs to one digest,
    and every digest stands once; 7. type; 8. the device's algorithm and signature, by the key in `cnf`.

    Args:
        token: the token, or what `parse` gave under the same profile.
        key: the issuer's key, found by the caller.
        profile: what the token must look like.
        now: the time of the check (aware).
        audience: whom the key binding must address; needed if the profile asks for key binding.
        nonce: what the key binding must repeat; needed likewise.
        max_age: most seconds since the device signed.
        max_ahead: most seconds that the device's clock may be ahead.
        issuer: whose key it is: `iss` must be this.
        seen: issuer signatures verified before.

    Raises:
        Refused: `credential.malformed`, `algorithm.not_allowed`, `signature.issuer`, `issuer.key_unknown`,
            `credential.expired`, `code.from_future`, `disclosure.mismatch`; with key binding also those of
            `check_presentation` and `signature.holder`.
        TypeError: key binding is required, but audience or nonce were not given.
    """
    parsed = token if isinstance(token, UnverifiedSdJwt) else parse(token, profile)
    if profile.key_binding:
        if audience is None or nonce is None:
            raise TypeError("a profile with key binding needs audience and nonce")
        check_presentation(
            parsed, now=now, audience=audience, nonce=nonce, max_age=max_age, max_ahead=max_ahead
        )
    jws, claims = parsed.jws, parsed.unverified_claims
    if seen is None:
        jose.verify(jws, key)
    elif (key, jws.digest) not in seen:
        jose.verify(jws, key)
        seen.add((key, jws.digest))
    moment = seconds(now)
    check_issuer(claims.get("iss"), issuer)
    jose.check_chain(jws, key, claims.get("iss"), moment)
    jose.check_times(claims, moment, skew=profile.skew)
    merged, paths, _ = _disclose(parsed, profile)
    vct = merged.get("vct")
    if profile.vct is not None and vct not in profile.vct:
        raise Malformed("another type of credential")
    holder = holder_key(claims)
    status = merged.get("status")
    return SdJwt(
        claims=merged,
        disclosed=paths,
        holder_key=holder,
        binding=_verify_binding(parsed, holder) if profile.key_binding else None,
        signed=jws.signed,
        vct=vct if type(vct) is str else None,
        status=None if status is None else StatusReference.from_claim(status),
        key=key,
    )


def _verify_binding(parsed: UnverifiedSdJwt, holder: PublicKey | None) -> Binding:
    jws, claims = parsed.key_binding, parsed.unverified_binding
    if jws is None or claims is None or holder is None:
        raise Refused("holder.binding_missing", "no KB-JWT, or no key for it")
    jose.verify(jws, holder, reason="signature.holder")
    return Binding(
        audience=claims["aud"], nonce=claims["nonce"], issued_at=int(claims["iat"]), signed=jws.signed
    )


# --- Presenting ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """An SD-JWT+KB that lacks the device's signature.

    Attributes:
        to_be_signed: the bytes that the device key signs (it hashes them itself).
        bound: the SD-JWT with the chosen disclosures.
        holder_key: the key that must sign.
    """

    to_be_signed: bytes
    bound: str
    holder_key: PublicKey

    def assemble(self, signature: bytes) -> str:
        """The finished SD-JWT+KB.

        Args:
            signature: of `to_be_signed`, raw r ‖ s or DER, as phone keystores give it.

        Raises:
            Refused: `signature.holder`: it is not by the key that the credential names.
        """
        raw = raw_signature(signature, self.holder_key.suite)
        if not self.holder_key.verify(raw, self.to_be_signed):
            raise Refused("signature.holder", "not signed by the key in cnf")
        return f"{self.bound}{self.to_be_signed.decode('ascii')}.{b64u_encode(raw)}"


def select(credential: str, disclose: Collection[Path]) -> str:
    """The credential with only the disclosures named, and those that they depend on; no key binding.

    Raises:
        ValueError: a path that this credential cannot disclose.
        Refused: it is no SD-JWT, or its disclosures do not fit.
    """
    return _choose(_parse_as_issued(credential), disclose)


def _parse_as_issued(credential: str) -> UnverifiedSdJwt:
    header = jose._header(credential.split(".", 1)[0].encode())  # noqa: SLF001
    return parse(credential, Profile(typ=header.get("typ"), own=False, exp_required=False, key_binding=False))


def _choose(parsed: UnverifiedSdJwt, disclose: Collection[Path]) -> str:
    token, *_ = parsed.bound.split(b"~", 1)
    if not disclose:
        return token.decode("ascii") + "~"
    wanted = {path if isinstance(path, tuple) else (path,) for path in disclose}
    found = origins(parsed)
    for path in wanted:
        if not any(_matches(path, where) for where in found):
            raise ValueError("a path that this credential cannot disclose")
    chosen = [
        encoded
        for where, encoded in found.items()
        if any(_matches(path[: len(where)], where) for path in wanted)
    ]
    return b"~".join((token, *chosen, b"")).decode("ascii")


def _matches(wanted: tuple[Step, ...], found: tuple[Step, ...]) -> bool:
    return len(wanted) == len(found) and all(
        want == have or (want is None and type(have) is int) for want, have in zip(wanted, found, strict=True)
    )


def origins(parsed: UnverifiedSdJwt) -> dict[tuple[Step, ...], bytes]:
    """Where each disclosure of a credential belongs: path -> encoded disclosure.

    Raises:
        Refused: `disclosure.mismatch`, `credential.malformed`.
    """
    _, paths, origin = _disclose(parsed, _ANY)
    if not origin and len(paths) == len(parsed.disclosures):
        return {_steps(path): item for path, item in zip(paths, parsed.disclosures, strict=True)}
    digest = _digest_of(parsed.unverified_claims)
    encoded = {_digest_text(digest(data)): data for data in parsed.disclosures}
    return {_steps(path): encoded[name] for path, name in origin.items()}


def _steps(path: Path) -> tuple[Step, ...]:
    return path if isinstance(path, tuple) else (path,)


_ANY: Final = Profile(own=False, exp_required=False)


def prepare(
    credential: str,
    *,
    audience: str,
    nonce: str,
    now: datetime,
    disclose: Collection[Path] = (),
) -> Prepared:
    """Makes an SD-JWT+KB, up to the device's signature.

    Args:
        credential: the SD-JWT as issued, with all its disclosures.
        audience: for whom: `aud`.
        nonce: what the verifier asked to repeat.
        now: becomes `iat`.
        disclose: paths to disclose, as named at issuing; whatever they depend on comes along.

    Raises:
        ValueError: a path that this credential cannot disclose.
        Refused: it is no SD-JWT, or names no holder key.
    """
    parsed = _parse_as_issued(credential)
    device = holder_key(parsed.unverified_claims)
    if device is None:
        raise Malformed("the credential names no holder key")
    bound = _choose(parsed, disclose)
    digest = _digest_of(parsed.unverified_claims)
    header = {"alg": device.suite.jose_alg, "typ": KB_JWT}
    claims = {
        "aud": audience,
        "iat": seconds(now),
        "nonce": nonce,
        "sd_hash": _digest_text(digest(bound.encode("ascii"))),
    }
    to_be_signed = f"{b64u_encode(encode_json(header))}.{b64u_encode(encode_json(claims))}"
    return Prepared(to_be_signed=to_be_signed.encode("ascii"), bound=bound, holder_key=device)


def present(
    credential: str,
    device: Signer,
    *,
    audience: str,
    nonce: str,
    now: datetime,
    disclose: Collection[Path] = (),
) -> str:
    """Makes a presentation with a device key at hand: `prepare`, sign, `assemble`."""
    prepared = prepare(credential, audience=audience, nonce=nonce, now=now, disclose=disclose)
    return prepared.assemble(device.sign(prepared.to_be_signed))
