"""Writes the vectors of the formats: `tests/vectors/formats.json`, one fault per case.

Everything is put together by hand, so that each fault can be made; signatures are deterministic (RFC 6979),
so that the same script writes the same file. The keys are published here and worth nothing.

Run: `python scripts/make_vectors.py`.
"""

from __future__ import annotations

import json
import zlib
from base64 import b64encode, urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

from cbor2 import CBORSimpleValue, CBORTag, dumps
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from ewallet.wire import b64u_encode, encode_cbor

OUT = Path(__file__).resolve().parent.parent / "tests" / "vectors" / "formats.json"
NOW = 1_767_225_700
ISS = "https://sh.ewallet.example/a/market"
AUDIENCE = "https://js.ewallet.example/v/counter-1"
NONCE = "n-0S6_WzA2Mj"
CNONCE = bytes.fromhex("00112233445566778899aabbccddeeff")
VCT = "https://sh.ewallet.example/vct/disability-card/1"
LIST = "https://sh.ewallet.example/status/3"
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
REDACTED = CBORSimpleValue(59)
SEAL = "application/ewallet-seal+cwt"


class Key:
    """A published test key that signs deterministically."""

    def __init__(self, secret: int) -> None:
        self.private = ec.derive_private_key(secret, ec.SECP256R1())
        numbers = self.private.public_key().public_numbers()
        self.x, self.y = (value.to_bytes(32, "big") for value in (numbers.x, numbers.y))
        self.cose = {1: 2, -1: 1, -2: self.x, -3: self.y}
        self.kid = sha256(encode_cbor(self.cose)).digest()[:8]
        self.jwk = {"kty": "EC", "crv": "P-256", "x": b64u_encode(self.x), "y": b64u_encode(self.y)}

    def sign(self, message: bytes) -> bytes:
        """Raw r ‖ s."""
        algorithm = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
        r, s = decode_dss_signature(self.private.sign(message, algorithm))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")


ISSUER, DEVICE, OTHER = (Key(int.from_bytes(sha256(name).digest(), "big")) for name in (b"a", b"b", b"c"))
CASES: list[dict[str, Any]] = []


def case(name: str, form: str, data: bytes | str, reason: str | None, fault: str, **rest: Any) -> None:
    """Adds a case; `reason` None: it is accepted."""
    given = {"input": data} if isinstance(data, str) else {"input_hex": data.hex()}
    outcome = {"expect": "accept"} if reason is None else {"expect": "reject", "reason": reason}
    CASES.append({"name": name, "format": form, "fault": fault, **outcome, **rest, **given})


# --- COSE ---------------------------------------------------------------------------------------------------


def twin(signature: bytes) -> bytes:
    """The other signature that verifies: (r, n - s)."""
    return signature[:32] + (ORDER - int.from_bytes(signature[32:], "big")).to_bytes(32, "big")


def sign1(
    protected: bytes, payload: bytes, key: Key = ISSUER, *, unprotected: bytes = b"\xa0", other: bool = False
) -> bytes:
    """A tagged COSE_Sign1 of any header and payload; `other`: with the twin signature."""
    signature = key.sign(dumps(["Signature1", protected, b"", payload]))
    signature = twin(signature) if other else signature
    return b"\xd2\x84" + dumps(protected) + unprotected + dumps(payload) + dumps(signature)


def header(typ: Any = SEAL, *, alg: Any = -9, **_: Any) -> bytes:
    """A protected header in our own order."""
    return encode_cbor({1: alg, 4: ISSUER.kid, 16: typ})


CLAIMS: dict[Any, Any] = {1: ISS, 4: NOW + 86_400, 6: NOW - 3600, "area": "310115"}


EXTRA = b"\x65extra"
"""A key that sorts behind the others."""


def raw_map(*pairs: tuple[bytes, bytes]) -> bytes:
    """A CBOR map of encoded keys and values, in the order given."""
    return bytes((0xA0 + len(pairs),)) + b"".join(key + value for key, value in pairs)


def cwt_cases() -> None:
    """Strict CBOR and COSE, on a seal."""

    def add(name: str, data: bytes, reason: str | None, fault: str, **rest: Any) -> None:
        case(name, "cwt", data, reason, fault, **{"profile": "seal"} | rest)

    def claims(name: str, changes: dict[Any, Any], reason: str | None, fault: str, **rest: Any) -> None:
        changed = {key: value for key, value in {**CLAIMS, **changes}.items() if value is not ...}
        add(name, sign1(header(), encode_cbor(changed)), reason, fault, **rest)

    payload = encode_cbor(CLAIMS)
    good = sign1(header(), payload)
    digest = sha256(dumps(["Signature1", header(), b"", payload])).hexdigest()
    add("cwt-good", good, None, "none", digest=digest)
    add("cwt-twin", sign1(header(), payload, other=True), None, "(r, n-s): same object", digest=digest)
    add("cwt-alg-7", sign1(header(alg=-7), payload), None, "none: the older number of the same suite")
    malformed = "credential.malformed"
    open_pairs = [(encode_cbor(key), encode_cbor(value)) for key, value in CLAIMS.items()]
    twice = raw_map(open_pairs[0], open_pairs[0], *open_pairs[1:])
    add("cbor-duplicate-key", sign1(header(), twice), malformed, "iss stands twice")
    nested = raw_map(*open_pairs, (EXTRA, b"\xa2\x01\x02\x01\x03"))
    add("cbor-duplicate-key-nested", sign1(header(), nested), malformed, "a key twice in a nested map")
    add(
        "cbor-duplicate-key-in-header",
        sign1(b"\xa3\x01\x28\x01\x28\x10" + dumps(SEAL), payload),
        malformed,
        "alg twice in the protected header",
    )
    add("cbor-trailing-token", good + b"\x00", malformed, "a byte after the token")
    add("cbor-trailing-payload", sign1(header(), payload + b"\x00"), malformed, "a byte after the claims")
    add("cbor-trailing-header", sign1(header() + b"\x00", payload), malformed, "a byte after the header")
    add("cbor-truncated", good[:-1], malformed, "the last byte is missing")
    inner = b"".join(key + value for key, value in open_pairs)
    add("cbor-indefinite-map", sign1(header(), b"\xbf" + inner + b"\xff"), malformed, "indefinite map")
    chunked = raw_map((b"\x01", b"\x7f\x61a\x61b\xff"), *open_pairs[1:])
    add("cbor-indefinite-text", sign1(header(), chunked), malformed, "text in chunks")
    listed = raw_map(*open_pairs, (EXTRA, b"\x9f\x01\xff"))
    add("cbor-indefinite-array", sign1(header(), listed), malformed, "indefinite array")
    longer = raw_map((b"\x18\x01", open_pairs[0][1]), *open_pairs[1:])
    add("cbor-non-minimal-key", sign1(header(), longer), malformed, "key 1 written in two bytes")
    add(
        "cbor-non-minimal-key-of-others",
        sign1(header(), longer),
        None,
        "none: foreign tokens may be written less tightly",
        profile="foreign",
    )
    time = raw_map(*open_pairs[:1], (b"\x04", b"\x1b" + (NOW + 86_400).to_bytes(8, "big")), *open_pairs[2:])
    add("cbor-non-minimal-integer", sign1(header(), time), malformed, "exp written in nine bytes")
    head = b"\xd2\x84\x59\x00" + good[3:]
    add("cbor-non-minimal-length", head, malformed, "length of the header written in three bytes")
    swapped = raw_map(open_pairs[1], open_pairs[0], *open_pairs[2:])
    add("cbor-keys-out-of-order", sign1(header(), swapped), malformed, "4 before 1")
    length_first = raw_map(*open_pairs[:3], (b"\x20", b"\x00"), (b"\x19\xff\xff", b"\x00"), open_pairs[3])
    add("cbor-length-first-order", sign1(header(), length_first), malformed, "order of RFC 7049: -1, 65535")
    deep = raw_map(*open_pairs, (EXTRA, b"\x81" * 8 + b"\x00"))
    add("cbor-too-deep", sign1(header(), deep), malformed, "nine levels")
    add("cbor-too-long", good, malformed, "more bytes than the profile allows", limit=100)
    add(
        "cbor-big-number",
        sign1(header(), raw_map(*open_pairs, (EXTRA, b"\xc2\x41\x01"))),
        malformed,
        "tag 2",
    )
    add("cbor-date", sign1(header(), raw_map(*open_pairs, (EXTRA, b"\xc1\x00"))), malformed, "tag 1")
    add("cbor-shared", sign1(header(), raw_map(*open_pairs, (EXTRA, b"\xd8\x1c\x80"))), malformed, "tag 28")
    add("cbor-self-described", b"\xd9\xd9\xf7" + good, malformed, "tag 55799 before the token")
    add(
        "cbor-map-key-bool", sign1(header(), raw_map(*open_pairs, (b"\xf4", b"\x00"))), malformed, "key false"
    )
    add(
        "cbor-map-key-bytes",
        sign1(header(), raw_map(*open_pairs[:3], (b"\x41a", b"\x00"), open_pairs[3])),
        malformed,
        "key h'61'",
    )
    add("cbor-not-utf8", sign1(header(), raw_map(*open_pairs, (EXTRA, b"\x61\xff"))), malformed, "text FF")
    add("cbor-undefined", sign1(header(), raw_map(*open_pairs, (EXTRA, b"\xf7"))), malformed, "undefined")
    add("cwt-no-tag", good[1:], malformed, "no tag 18")
    add("cwt-other-tag", b"\xd1" + good[1:], malformed, "tag 17")
    add("cwt-no-map", sign1(header(), b"\x80"), malformed, "the claims are an array")
    add("cwt-detached", b"\xd2\x84" + dumps(header()) + b"\xa0\xf6" + good[-66:], malformed, "no payload")

    never = "algorithm.not_allowed"
    add(
        "cwt-crit", sign1(encode_cbor({1: -9, 2: [99], 16: SEAL, 99: 1}), payload), malformed, "crit names 99"
    )
    add(
        "cwt-crit-of-others",
        sign1(encode_cbor({1: -9, 2: [99], 16: SEAL, 99: 1}), payload),
        malformed,
        "crit names 99",
        profile="foreign",
    )
    add("cwt-crit-unprotected", sign1(header(), payload, unprotected=b"\xa1\x02\x81\x01"), malformed, "crit")
    add("cwt-alg-in-both", sign1(header(), payload, unprotected=b"\xa1\x01\x28"), never, "alg in both maps")
    bare = encode_cbor({4: ISSUER.kid, 16: SEAL})
    add("cwt-alg-unprotected", sign1(bare, payload, unprotected=b"\xa1\x01\x28"), never, "alg unprotected")
    add("cwt-alg-missing", sign1(bare, payload), never, "no alg")
    add("cwt-alg-text", sign1(header(alg="none"), payload), never, "alg is text")
    add("cwt-alg-ed25519", sign1(header(alg=-19), payload), never, "alg of another suite")
    add("cwt-alg-mldsa", sign1(header(alg=-48), payload), never, "-48, once meant for SM2")
    add("cwt-typ-other", sign1(header("application/ewallet-paper+cwt"), payload), malformed, "another typ")
    add("cwt-typ-missing", sign1(encode_cbor({1: -9, 4: ISSUER.kid}), payload), malformed, "no typ")
    add("cwt-typ-number", sign1(header(293), payload), malformed, "typ of an SD-CWT")
    add(
        "cwt-unprotected-kid",
        sign1(header(), payload, unprotected=b"\xa1\x04\x41a"),
        malformed,
        "kid in the unprotected map of our own",
    )
    add("cwt-other-signer", sign1(header(), payload, OTHER), "signature.issuer", "signed by another key")
    add("cwt-signature-empty", good[:-66] + b"\x40", "signature.issuer", "signature of no bytes")
    add("cwt-signature-flipped", good[:-1] + bytes((good[-1] ^ 1,)), "signature.issuer", "one bit")
    zero = good[:-64] + bytes(64)
    add("cwt-signature-zero", zero, "signature.issuer", "r and s are zero")
    add("cwt-iss-not-owner", good, "issuer.key_unknown", "iss is not the key's owner", issuer=ISS + "2")

    claims("cwt-exp-missing", {4: ...}, malformed, "no exp")
    claims("cwt-exp-past", {4: NOW}, "credential.expired", "exp is now")
    claims("cwt-exp-next", {4: NOW + 1}, None, "none: one second left")
    claims("cwt-nbf-future", {5: NOW + 61}, "code.from_future", "nbf beyond the skew of 60 s")
    claims("cwt-nbf-within-skew", {5: NOW + 60}, None, "none: within the skew")
    claims("cwt-iat-future", {6: NOW + 61}, "code.from_future", "iat beyond the skew of 60 s")
    claims("cwt-exp-before-iat", {4: NOW + 5, 6: NOW + 5}, malformed, "it ends as it begins")
    claims("cwt-time-negative", {6: -1}, malformed, "iat is negative")
    claims("cwt-time-huge", {4: 2**60}, malformed, "exp beyond 2^53")
    claims("cwt-time-float", {4: float(NOW + 86_400)}, malformed, "exp is no whole number")
    claims("cwt-time-text", {4: "2026-12-31"}, malformed, "exp is text")
    claims("cwt-time-bool", {6: True}, malformed, "iat is true")
    claims("cwt-time-null", {6: None}, malformed, "iat is null")
    claims("cwt-iss-number", {1: 1}, malformed, "iss is a number")
    for name, encoded in (("nan", "f97e00"), ("infinity", "f97c00")):
        changed = raw_map(open_pairs[0], (b"\x04", bytes.fromhex(encoded)), *open_pairs[2:])
        for profile in ("seal", "foreign"):
            add(
                f"cwt-time-{name}-{profile}",
                sign1(header(), changed),
                malformed,
                f"exp: {name}",
                profile=profile,
            )


# --- SD-CWT and SD-KBT --------------------------------------------------------------------------------------

SALT = bytes(range(16))


def salted(number: int, *rest: Any) -> bytes:
    """A disclosure with its own salt."""
    return encode_cbor([bytes((number,)) + SALT[1:], *rest])


def digest_of(disclosure: bytes) -> bytes:
    """The hash runs over the byte string, head included."""
    return sha256(dumps(disclosure)).digest()


PASS: dict[Any, Any] = {
    1: ISS,
    2: "urn:uuid:2",
    4: NOW + 86_400,
    6: NOW - 3600,
    8: {1: DEVICE.cose},
    11: VCT,
}
NAME = salted(1, "示例", "name")
GRADE = salted(2, 2, "grade")
SD_HEADER = encode_cbor({1: -9, 4: ISSUER.kid, 16: 293})


def sd_cwt(
    disclosures: list[bytes],
    claims: dict[Any, Any] | None = None,
    *,
    digests: list[bytes] | None = None,
    protected: bytes = SD_HEADER,
    unprotected: bytes | None = None,
    key: Key = ISSUER,
) -> bytes:
    """A credential; by default its digests are those of the disclosures shown, and of one not shown."""
    hidden = digest_of(salted(200, "hidden", "other"))
    listed = sorted([*map(digest_of, disclosures), hidden]) if digests is None else digests
    payload = encode_cbor({**(PASS if claims is None else claims), REDACTED: listed})
    shown = b"\xa0" if not disclosures else b"\xa1\x11" + dumps(disclosures)
    return sign1(protected, payload, key, unprotected=shown if unprotected is None else unprotected)


def kbt(
    credential: bytes,
    changes: dict[Any, Any] | None = None,
    *,
    key: Key = DEVICE,
    typ: Any = 294,
    alg: Any = -9,
    unprotected: bytes = b"\xa0",
    extra: dict[Any, Any] | None = None,
) -> bytes:
    """A key binding token around a credential."""
    claims = {3: AUDIENCE, 6: NOW - 5, 39: CNONCE, **(changes or {})}
    payload = encode_cbor({name: value for name, value in claims.items() if value is not ...})
    members = [(b"\x01", dumps(alg)), (b"\x0d", credential), (b"\x10", dumps(typ))]
    members += [(encode_cbor(name), encode_cbor(value)) for name, value in (extra or {}).items()]
    return sign1(raw_map(*members), payload, key, unprotected=unprotected)


def sd_cwt_cases() -> None:
    """Disclosures and key binding."""
    binding = {"audience": AUDIENCE, "cnonce": CNONCE.hex()}

    def credential(name: str, data: bytes, reason: str | None, fault: str, **rest: Any) -> None:
        case(name, "sd-cwt", data, reason, fault, **{"profile": "pass"} | rest)

    def presented(name: str, data: bytes, reason: str | None, fault: str, **rest: Any) -> None:
        case(name, "sd-kbt", data, reason, fault, **{"profile": "pass"} | binding | rest)

    bad, form = "disclosure.mismatch", "credential.malformed"
    good = sd_cwt([NAME, GRADE])
    facts = {"1": ISS, "name": "示例", "grade": 2}
    credential("sd-cwt-good", good, None, "none", claims=facts)
    credential("sd-cwt-nothing-disclosed", sd_cwt([]), None, "none")
    credential(
        "sd-cwt-other-order",
        sd_cwt([GRADE, NAME], digests=sorted([digest_of(NAME), digest_of(GRADE)])),
        None,
        "none: disclosures may come in any order",
    )
    decoy = salted(9)
    credential("sd-cwt-decoy", sd_cwt([NAME, decoy]), None, "none: a decoy disclosed stands for nothing")
    credential(
        "sd-cwt-unreferenced", sd_cwt([NAME], digests=[digest_of(GRADE)]), bad, "no digest for a disclosure"
    )
    credential(
        "sd-cwt-bare-hash",
        sd_cwt([NAME], digests=[sha256(NAME).digest()]),
        bad,
        "hash over the array without the head of the byte string",
    )
    credential(
        "sd-cwt-twice", sd_cwt([NAME, NAME], digests=[digest_of(NAME)]), bad, "one disclosure attached twice"
    )
    credential(
        "sd-cwt-digest-twice",
        sd_cwt([NAME], digests=[digest_of(NAME)] * 2),
        bad,
        "one digest stands twice",
    )
    for number in (1, 3, 4, 5, 6, 7, 8, 39):
        value = {8: {1: OTHER.cose}, 7: b"x", 39: b"x", 1: ISS, 3: AUDIENCE}.get(number, NOW)
        without = {key: item for key, item in PASS.items() if key != number}
        profile = "pass-lenient"
        credential(
            f"sd-cwt-redacted-{number}",
            sd_cwt([salted(3, value, number)], without),
            bad,
            f"claim {number} is never redacted",
            profile=profile,
        )
    credential("sd-cwt-given-name", sd_cwt([salted(3, "x", "given_name")]), None, "none: an ordinary claim")
    credential("sd-cwt-address", sd_cwt([salted(3, {"city": "x"}, "address")]), None, "none: has parts")
    credential(
        "sd-cwt-open-and-disclosed",
        sd_cwt([NAME], {**PASS, "name": "open"}),
        bad,
        "name is open and disclosed",
    )
    same = encode_cbor([NAME[2:18], 2, "grade"])
    credential("sd-cwt-salt-twice", sd_cwt([NAME, same]), bad, "one salt in two disclosures")
    credential(
        "sd-cwt-salt-short", sd_cwt([encode_cbor([b"short", 2, "grade"])]), form, "a salt of five bytes"
    )
    credential("sd-cwt-salt-text", sd_cwt([encode_cbor(["x" * 16, 2, "grade"])]), form, "a salt that is text")
    credential("sd-cwt-four-items", sd_cwt([salted(3, 1, "a", "b")]), form, "a disclosure of four items")
    credential("sd-cwt-no-array", sd_cwt([encode_cbor({1: 2})]), form, "a disclosure that is a map")
    credential("sd-cwt-key-bool", sd_cwt([salted(3, 1, True)]), form, "the disclosed key is true")  # noqa: FBT003
    credential("sd-cwt-element-as-claim", sd_cwt([salted(3, 1)]), bad, "an array element among claims")
    credential(
        "sd-cwt-trailing-disclosure", sd_cwt([NAME + b"\x00"]), form, "a byte after the disclosure's array"
    )
    credential(
        "sd-cwt-non-minimal-disclosure",
        sd_cwt([NAME[:-5] + b"\x78\x04name"]),
        form,
        "a length in the disclosure written in two bytes",
    )
    credential("sd-cwt-empty-sd-claims", sd_cwt([], unprotected=b"\xa1\x11\x80"), form, "empty sd_claims")
    credential(
        "sd-cwt-unprotected-other",
        sd_cwt([NAME], unprotected=b"\xa2\x04\x41a\x11" + dumps([NAME])),
        form,
        "kid beside sd_claims",
    )
    credential("sd-cwt-digest-short", sd_cwt([], digests=[bytes(31)]), form, "a digest of 31 bytes")
    credential("sd-cwt-digests-no-array", sd_cwt([], {**PASS, REDACTED: 1}, digests=1), form, "a number")  # type: ignore[arg-type]
    md5 = encode_cbor({1: -9, 4: ISSUER.kid, 16: 293, 170: -15})
    credential("sd-cwt-sd-alg", sd_cwt([NAME], protected=md5), "algorithm.not_allowed", "unknown sd_alg")
    element = salted(3, "a")
    arrays = {**PASS, "list": [CBORTag(60, digest_of(element)), "b", CBORTag(60, bytes(32))]}
    credential(
        "sd-cwt-array",
        sd_cwt([element], arrays, digests=[]),
        None,
        "none: an element disclosed, one not",
        claims={"list": ["a", "b"]},
    )
    wrong = {**PASS, "list": [CBORTag(60, digest_of(NAME))]}
    credential("sd-cwt-claim-as-element", sd_cwt([NAME], wrong, digests=[]), bad, "a claim in an array")
    outside = {**PASS, "list": CBORTag(60, digest_of(element))}
    credential("sd-cwt-element-outside", sd_cwt([element], outside, digests=[]), form, "tag 60 in no array")
    child = salted(4, "示例市", "city")
    parent = salted(5, {"street": "1", REDACTED: [digest_of(child)]}, "address")
    credential(
        "sd-cwt-nested",
        sd_cwt([child, parent], digests=[digest_of(parent)]),
        None,
        "none: the child before its parent",
        claims={"address": {"street": "1", "city": "示例市"}},
    )
    credential(
        "sd-cwt-child-alone", sd_cwt([child], digests=[digest_of(parent)]), bad, "a child without its parent"
    )
    credential("sd-cwt-nbf-after-iat", sd_cwt([NAME], {**PASS, 5: NOW - 3599}), form, "nbf later than iat")
    without = {key: item for key, item in PASS.items() if key != 8}
    credential("sd-cwt-cnf-missing", sd_cwt([NAME], without), form, "no cnf")
    off = {**DEVICE.cose, -3: bytes(32)}
    credential("sd-cwt-cnf-off-curve", sd_cwt([NAME], {**PASS, 8: {1: off}}), form, "the key is no point")
    credential("sd-cwt-vct", sd_cwt([NAME], {**PASS, 11: VCT + "0"}), form, "another type of credential")
    credential("sd-cwt-expired", sd_cwt([NAME], {**PASS, 4: NOW}), "credential.expired", "exp is now")

    presented("kbt-good", kbt(good), None, "none", claims=facts)
    small = {**DEVICE.cose, -3: bool(DEVICE.y[-1] & 1)}
    presented("kbt-compressed-key", kbt(sd_cwt([], {**PASS, 8: {1: small}})), None, "none: y as a bit")
    presented("kbt-missing", good, "holder.binding_missing", "a bare credential")
    presented("kbt-audience", kbt(good, {3: AUDIENCE + "0"}), "code.audience", "for somebody else")
    presented("kbt-audience-missing", kbt(good, {3: ...}), form, "no aud")
    presented("kbt-nonce", kbt(good, {39: bytes(16)}), "code.challenge", "another nonce")
    presented("kbt-nonce-missing", kbt(good, {39: ...}), "code.challenge", "no nonce, though one was asked")
    presented("kbt-nonce-unasked", kbt(good), "code.challenge", "a nonce, though none was asked", cnonce=None)
    presented("kbt-too-old", kbt(good, {6: NOW - 31}), "code.expired", "31 s old")
    presented("kbt-just-in-time", kbt(good, {6: NOW - 30}), None, "none: 30 s old")
    presented("kbt-future", kbt(good, {6: NOW + 11}), "code.from_future", "11 s ahead")
    presented("kbt-just-ahead", kbt(good, {6: NOW + 10}), None, "none: 10 s ahead")
    presented("kbt-iat-missing", kbt(good, {6: ...}), form, "no iat")
    presented("kbt-other-key", kbt(good, key=OTHER), "signature.holder", "signed by another key")
    presented("kbt-issuer-key", kbt(good, key=ISSUER), "signature.holder", "signed by the issuer's key")
    presented("kbt-alg", kbt(good, alg=-19), "algorithm.not_allowed", "alg is not the key's")
    presented("kbt-typ", kbt(good, typ=293), "credential.malformed", "another typ")
    presented("kbt-iss", kbt(good, {1: ISS}), form, "a key binding names no issuer")
    presented("kbt-sub", kbt(good, {2: "x"}), form, "a key binding names no subject")
    presented("kbt-unprotected", kbt(good, unprotected=b"\xa1\x04\x41a"), form, "an unprotected header")
    presented("kbt-header", kbt(good, extra={20: 1}), form, "a header that our own does not have")
    presented("kbt-trailing", kbt(good) + b"\x00", form, "a byte after the token")
    presented("kbt-inner-no-tag", kbt(good[1:]), form, "kcwt without its tag")
    young = sd_cwt([NAME], {**PASS, 6: NOW - 4})
    presented("kbt-before-credential", kbt(young), form, "signed before its credential")
    ended = sd_cwt([NAME], {**PASS, 4: NOW - 5})
    presented("kbt-after-credential", kbt(ended), "credential.expired", "signed at the credential's end")
    presented(
        "kbt-other-issuer", kbt(sd_cwt([NAME], key=OTHER)), "signature.issuer", "credential of another key"
    )
    body = kbt(good)
    spot = body.index(NAME)
    presented(
        "kbt-disclosure-changed",
        body[: spot + 20] + bytes((body[spot + 20] ^ 1,)) + body[spot + 21 :],
        bad,
        "a disclosure was changed after both signed",
    )


# --- JWS and SD-JWT -----------------------------------------------------------------------------------------


def b64(data: bytes) -> str:
    """base64url without padding."""
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def compact(header_json: str, payload_json: str, key: Key = ISSUER, *, other: bool = False) -> str:
    """A compact JWS of any header and payload."""
    signed = f"{b64(header_json.encode())}.{b64(payload_json.encode())}"
    signature = key.sign(signed.encode())
    return f"{signed}.{b64(twin(signature) if other else signature)}"


def text(value: Any) -> str:
    """Compact JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


CARD: dict[str, Any] = {
    "iss": ISS,
    "sub": "urn:uuid:2",
    "exp": NOW + 86_400,
    "iat": NOW - 3600,
    "vct": VCT,
    "cnf": {"jwk": DEVICE.jwk},
}
JWT_HEADER = {"alg": "ES256", "kid": b64(ISSUER.kid), "typ": "dc+sd-jwt"}


def shown(*content: Any) -> str:
    """A disclosure."""
    return b64(text(list(content)).encode())


def jwt_digest(disclosure: str) -> str:
    """Digest of a disclosure."""
    return b64(sha256(disclosure.encode()).digest())


J_NAME, J_GRADE = shown("salt-salt-salt-salt-01", "name", "示例"), shown("salt-salt-salt-salt-02", "grade", 2)


def sd_jwt(
    disclosures: list[str],
    changes: dict[str, Any] | None = None,
    *,
    digests: list[Any] | None = None,
    header: dict[str, Any] | None = None,
    key: Key = ISSUER,
    payload: str | None = None,
    other: bool = False,
) -> str:
    """A credential without key binding; by default one digest for each disclosure."""
    claims = {**CARD, "_sd_alg": "sha-256", **(changes or {})}
    listed = sorted(map(jwt_digest, disclosures)) if digests is None else digests
    if listed:
        claims["_sd"] = listed
    claims = {name: value for name, value in claims.items() if value is not ...}
    token = compact(text(header or JWT_HEADER), payload or text(claims), key, other=other)
    return "~".join([token, *disclosures, ""])


def kb(
    credential: str,
    changes: dict[str, Any] | None = None,
    *,
    key: Key = DEVICE,
    header: dict[str, Any] | None = None,
    over: str | None = None,
) -> str:
    """An SD-JWT+KB; `over`: what the binding hashes instead."""
    claims = {
        "aud": AUDIENCE,
        "iat": NOW - 5,
        "nonce": NONCE,
        "sd_hash": jwt_digest(credential if over is None else over),
        **(changes or {}),
    }
    claims = {name: value for name, value in claims.items() if value is not ...}
    return credential + compact(text(header or {"alg": "ES256", "typ": "kb+jwt"}), text(claims), key)


def sd_jwt_cases() -> None:
    """Strict JSON and JWS, disclosures, key binding."""
    binding = {"audience": AUDIENCE, "nonce": NONCE}

    def add(name: str, data: str, reason: str | None, fault: str, **rest: Any) -> None:
        case(name, "sd-jwt", data, reason, fault, **{"profile": "card"} | rest)

    def presented(name: str, data: str, reason: str | None, fault: str, **rest: Any) -> None:
        case(name, "sd-jwt", data, reason, fault, **{"profile": "card-holder"} | binding | rest)

    bad, form, never = "disclosure.mismatch", "credential.malformed", "algorithm.not_allowed"
    good = sd_jwt([J_NAME, J_GRADE])
    digest = sha256(good.rsplit(".", 1)[0].encode()).hexdigest()
    add("sd-jwt-good", good, None, "none", claims={"name": "示例", "grade": 2}, digest=digest)
    add(
        "sd-jwt-twin",
        sd_jwt([J_NAME, J_GRADE], other=True),
        None,
        "(r, n-s): same object",
        digest=digest,
    )
    plain = text({**CARD, "_sd_alg": "sha-256"})
    add("json-duplicate-member", sd_jwt([], payload=plain[:-1] + ',"sub":"x"}'), form, "sub twice")
    add("json-duplicate-nested", sd_jwt([], payload=plain[:-1] + ',"z":[{"a":1,"a":2}]}'), form, "nested")
    doubled = '{"alg":"ES256","typ":"dc+sd-jwt","alg":"ES256"}'
    add("json-duplicate-in-header", compact(doubled, plain) + "~", form, "alg twice")
    inner = b64(b'["salt-salt-salt-salt-03","z",{"a":1,"a":2}]')
    add("json-duplicate-in-disclosure", sd_jwt([inner]), form, "a member twice in a disclosure")
    add("json-trailing", sd_jwt([], payload=plain + "x"), form, "text after the payload")
    add("json-two-values", sd_jwt([], payload=plain + "{}"), form, "two values")
    add("json-nan", sd_jwt([], payload=plain[:-1] + ',"z":NaN}'), form, "NaN")
    add("json-infinite", sd_jwt([], payload=plain[:-1] + ',"z":1e999}'), form, "a number beyond all bounds")
    add("json-deep", sd_jwt([], payload=plain[:-1] + ',"z":' + "[" * 16 + "]" * 16 + "}"), form, "17 levels")
    add("json-surrogate", sd_jwt([], payload=plain[:-1] + ',"z":"\\ud800"}'), form, "a lone surrogate")
    add("json-array", sd_jwt([], payload="[]"), form, "the payload is an array")
    add("json-mark", sd_jwt([], payload="\ufeff" + plain), form, "a byte order mark")
    add("jws-too-long", good, form, "more characters than the profile allows", limit=100)
    add("jws-padded", good.replace(".", "=.", 1), form, "padding")
    first = good.split(".", 1)[0]
    add("jws-space", good.replace(".", " .", 1), form, "a space")
    add("jws-two-parts", good.rsplit(".", 1)[0] + "~", form, "no signature part")
    add("jws-standard-alphabet", good.replace(first, first[:-1] + "+", 1), form, "+ in base64url")
    tail = sd_jwt([])
    add("jws-pad-bits", tail[:-2] + chr(ord(tail[-2]) + 1) + "~", form, "unused bits set")
    add("jws-crit", sd_jwt([], header={**JWT_HEADER, "crit": ["exp"]}), form, "crit")
    add("jws-b64", sd_jwt([], header={**JWT_HEADER, "b64": False, "crit": ["b64"]}), form, "RFC 7797")
    none = compact(text({**JWT_HEADER, "alg": "none"}), plain).rsplit(".", 1)[0] + ".~"
    add("jws-alg-none", none, never, "alg none, no signature")
    add("jws-alg-eddsa", sd_jwt([], header={**JWT_HEADER, "alg": "EdDSA"}), never, "alg of another suite")
    add("jws-alg-hs256", sd_jwt([], header={**JWT_HEADER, "alg": "HS256"}), never, "alg HS256")
    add("jws-alg-case", sd_jwt([], header={**JWT_HEADER, "alg": "es256"}), never, "alg es256")
    add("jws-alg-missing", sd_jwt([], header={"typ": "dc+sd-jwt"}), never, "no alg")
    add("jws-typ", sd_jwt([], header={**JWT_HEADER, "typ": "JWT"}), form, "another typ")
    add("jws-typ-missing", sd_jwt([], header={"alg": "ES256"}), form, "no typ")
    document = sd_jwt([], header={**JWT_HEADER, "typ": "ewallet-document+sd-jwt"})
    add("jws-typ-document", document, form, "a document credential where a holder's belongs")
    add("jws-other-signer", sd_jwt([J_NAME], key=OTHER), "signature.issuer", "signed by another key")
    add("jws-iss-not-owner", good, "issuer.key_unknown", "iss is not the key's owner", issuer=ISS + "2")
    for name, changes, reason in (
        ("exp-missing", {"exp": ...}, form),
        ("exp-past", {"exp": NOW}, "credential.expired"),
        ("nbf-future", {"nbf": NOW + 61}, "code.from_future"),
        ("iat-future", {"iat": NOW + 61}, "code.from_future"),
        ("time-negative", {"iat": -1}, form),
        ("time-huge", {"exp": 2**60}, form),
        ("time-float", {"exp": NOW + 86_400.5}, form),
        ("time-text", {"exp": str(NOW)}, form),
        ("time-null", {"iat": None}, form),
        ("vct", {"vct": VCT + "0"}, form),
        ("sd-alg", {"_sd_alg": "sha-1"}, never),
        ("status", {"status": {"status_list": {"idx": -1, "uri": LIST}}}, form),
    ):
        add(f"sd-jwt-{name}", sd_jwt([J_NAME], changes), reason, f"{name}: {text(list(changes))}")

    add("sd-jwt-unreferenced", sd_jwt([J_NAME], digests=[jwt_digest(J_GRADE)]), bad, "no digest for it")
    add("sd-jwt-twice", sd_jwt([J_NAME, J_NAME], digests=[jwt_digest(J_NAME)]), bad, "attached twice")
    add("sd-jwt-digest-twice", sd_jwt([J_NAME], digests=[jwt_digest(J_NAME)] * 2), bad, "one digest twice")
    for reserved in ("_sd", "..."):
        add(f"sd-jwt-name-{reserved}", sd_jwt([shown("s" * 22, reserved, [])]), bad, "a reserved name")
    for closed in ("iss", "nbf", "exp", "iat", "cnf", "vct", "status"):
        value = {"cnf": {"jwk": OTHER.jwk}, "vct": VCT, "iss": ISS}.get(closed, NOW - 1)
        data = sd_jwt([shown("s" * 22, closed, value)], {closed: ...})
        add(f"sd-jwt-redacted-{closed}", data, bad, f"{closed} is never redacted", profile="card-lenient")
    for ordinary in ("given_name", "address"):
        data = sd_jwt([shown("s" * 22, ordinary, {"a": 1} if ordinary == "address" else "x")])
        add(f"sd-jwt-{ordinary}", data, None, "none: an ordinary claim")
    add("sd-jwt-open-and-disclosed", sd_jwt([J_NAME], {"name": "open"}), bad, "name is open and disclosed")
    same = shown("salt-salt-salt-salt-01", "grade", 2)
    add("sd-jwt-salt-twice", sd_jwt([J_NAME, same]), bad, "one salt in two disclosures")
    add("sd-jwt-four-items", sd_jwt([shown("s" * 22, "a", 1, 2)]), form, "four items")
    add("sd-jwt-one-item", sd_jwt([shown("s" * 22)]), form, "one item")
    add("sd-jwt-element-as-claim", sd_jwt([shown("s" * 22, "a")]), bad, "an array element among claims")
    add("sd-jwt-empty-disclosure", good + "~", form, "two tildes")
    add("sd-jwt-no-tilde", good.split("~", 1)[0], form, "no tilde")
    add("sd-jwt-sd-no-array", sd_jwt([], {"_sd": "x"}), form, "_sd is text")
    element = shown("s" * 22, "a")
    listed = {"list": [{"...": jwt_digest(element)}, "b", {"...": jwt_digest("x")}]}
    add("sd-jwt-array", sd_jwt([element], listed, digests=[]), None, "none", claims={"list": ["a", "b"]})
    beside = {"list": [{"...": jwt_digest(element), "x": 1}]}
    add("sd-jwt-array-member", sd_jwt([element], beside, digests=[]), form, "a member beside ...")
    child = shown("s" * 22, "city", "示例市")
    parent = shown("t" * 22, "address", {"_sd": [jwt_digest(child)], "street": "1"})
    add(
        "sd-jwt-nested",
        sd_jwt([child, parent], digests=[jwt_digest(parent)]),
        None,
        "none: the child before its parent",
        claims={"address": {"street": "1", "city": "示例市"}},
    )
    add("sd-jwt-child-alone", sd_jwt([child], digests=[jwt_digest(parent)]), bad, "no parent")
    add("sd-jwt-binding-unwanted", kb(good), form, "a key binding where the profile has none")

    presented("kb-good", kb(good), None, "none")
    presented("kb-missing", good, "holder.binding_missing", "no KB-JWT")
    presented("kb-audience", kb(good, {"aud": AUDIENCE + "0"}), "code.audience", "for somebody else")
    presented("kb-audience-list", kb(good, {"aud": [AUDIENCE]}), form, "aud is an array")
    presented("kb-nonce", kb(good, {"nonce": "x"}), "code.challenge", "another nonce")
    presented("kb-nonce-missing", kb(good, {"nonce": ...}), form, "no nonce")
    presented("kb-too-old", kb(good, {"iat": NOW - 301}), "code.expired", "301 s old")
    presented("kb-just-in-time", kb(good, {"iat": NOW - 300}), None, "none: 300 s old")
    presented("kb-future", kb(good, {"iat": NOW + 11}), "code.from_future", "11 s ahead")
    presented("kb-iat-missing", kb(good, {"iat": ...}), form, "no iat")
    presented("kb-other-key", kb(good, key=OTHER), "signature.holder", "signed by another key")
    presented("kb-issuer-key", kb(good, key=ISSUER), "signature.holder", "signed by the issuer's key")
    presented("kb-typ", kb(good, header={"alg": "ES256", "typ": "JWT"}), form, "another typ")
    none = kb(good, header={"alg": "none", "typ": "kb+jwt"}).rsplit(".", 1)[0] + "."
    presented("kb-alg-none", none, never, "alg none")
    only = sd_jwt([J_NAME], digests=sorted(map(jwt_digest, (J_NAME, J_GRADE))))
    presented("kb-other-selection", kb(good, over=only), "signature.holder", "hash of another selection")
    added = kb(only).replace("~", "~" + J_GRADE + "~", 1)
    presented("kb-disclosure-added", added, "signature.holder", "a disclosure added after signing")
    presented("kb-sd-hash-missing", kb(good, {"sd_hash": ...}), form, "no sd_hash")
    presented("kb-no-cnf", kb(sd_jwt([J_NAME], {"cnf": ...})), form, "no cnf")
    young = sd_jwt([J_NAME], {"iat": NOW - 4})
    presented("kb-before-credential", kb(young), form, "signed before its credential")
    ended = sd_jwt([J_NAME], {"exp": NOW - 5})
    presented("kb-after-credential", kb(ended), "credential.expired", "signed at the credential's end")


def certificate(key: Key, uri: str, *, until: int = NOW + 1000) -> str:
    """A self-signed certificate that names a URI, base64 of DER."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Example Authority")])
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.private.public_key())
        .serial_number(7)
        .not_valid_before(datetime.fromtimestamp(NOW, UTC) - timedelta(days=1))
        .not_valid_after(datetime.fromtimestamp(until, UTC))
        .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), critical=False)
        .sign(key.private, hashes.SHA256(), ecdsa_deterministic=True)
    )
    return b64encode(built.public_bytes(Encoding.DER)).decode()


def x5c_cases() -> None:
    """A certificate that travels with a token."""
    for name, chain, reason, fault in (
        ("x5c-good", [certificate(ISSUER, ISS)], None, "none"),
        ("x5c-other-name", [certificate(ISSUER, ISS + "2")], "issuer.key_unknown", "names another issuer"),
        ("x5c-other-key", [certificate(OTHER, ISS)], "issuer.key_unknown", "carries another key"),
        ("x5c-past", [certificate(ISSUER, ISS, until=NOW - 1)], "credential.expired", "past its dates"),
        ("x5c-no-certificate", ["AAAA"], "credential.malformed", "three zero bytes"),
        ("x5c-empty", [], "credential.malformed", "an empty list"),
    ):
        data = sd_jwt([J_NAME], header={**JWT_HEADER, "x5c": chain})
        case(name, "sd-jwt", data, reason, fault, profile="card")


# --- Status lists -------------------------------------------------------------------------------------------


def status_cases() -> None:
    """Lists that are none, or not the one asked for."""
    packed = zlib.compress(bytes.fromhex("c944f9"), 9)

    def token(lst: Any = packed, *, key: Key = ISSUER, **changes: Any) -> bytes:
        claims = {"sub": LIST, "exp": NOW + 86_400, "iat": NOW - 60, "ttl": 3600, "bits": 2} | changes
        encoded = {
            2: claims["sub"],
            4: claims["exp"],
            6: claims["iat"],
            65534: claims["ttl"],
            65533: {"bits": claims["bits"], "lst": lst},
        }
        present = {name: value for name, value in encoded.items() if value is not ...}
        typ = "application/statuslist+cwt"
        return sign1(encode_cbor({1: -9, 4: ISSUER.kid, 16: typ}), encode_cbor(present), key)

    def add(name: str, data: bytes, reason: str | None, fault: str, **rest: Any) -> None:
        case(name, "status-cwt", data, reason, fault, **{"uri": LIST, "idx": 3} | rest)

    lost, stale = "status.unavailable", "status.stale"
    add("status-good", token(), None, "none", value=3)
    bomb = zlib.compress(bytes(2**18 + 1), 9)
    add("status-bomb", token(bomb), lost, "inflates to more than 2^20 entries")
    add("status-short", token(), lost, "the index lies beyond the end", idx=12)
    add("status-sub", token(sub=LIST + "0"), lost, "another list")
    add("status-signer", token(key=OTHER), lost, "signed by another key")
    add("status-exp", token(exp=NOW), stale, "exp is now")
    add("status-ttl", token(ttl=60), stale, "ttl ended now")
    add("status-exp-missing", token(exp=...), lost, "no exp")
    add("status-bits", token(bits=3), lost, "3 bits")
    add("status-zlib-trailing", token(packed + b"\x00"), lost, "a byte after the compressed list")
    add("status-zlib-short", token(packed[:-1]), lost, "the compressed list is cut off")
    add("status-zlib-none", token(b"\x00\x01"), lost, "not compressed")
    add("status-empty", token(zlib.compress(b"")), lost, "no entries")
    add("status-future", token(iat=NOW + 61), lost, "issued in the future")
    claims = {
        "sub": LIST,
        "exp": NOW + 86_400,
        "iat": NOW - 60,
        "ttl": 3600,
        "status_list": {"bits": 2, "lst": b64(packed)},
    }
    jwt = compact(text({"alg": "ES256", "kid": b64(ISSUER.kid), "typ": "statuslist+jwt"}), text(claims))
    case("status-jwt-good", "status-jwt", jwt, None, "none", uri=LIST, idx=3, value=3)
    other = compact(text({"alg": "ES256", "typ": "JWT"}), text(claims))
    case("status-jwt-typ", "status-jwt", other, lost, "another typ", uri=LIST, idx=3)


def text_cases() -> None:
    """base64url and Base32, each in one spelling."""
    for name, given, good in (
        ("base64url-good", "AAEC_w", True),
        ("base64url-empty", "", True),
        ("base64url-padded", "AAEC_w==", False),
        ("base64url-pad-bits", "AAEC_x", False),
        ("base64url-standard", "AAEC/w", False),
        ("base64url-line", "AAEC\n_w", False),
        ("base64url-length", "AAEC_", False),
    ):
        case(name, "base64url", given, None if good else "credential.malformed", "spelling")
    for name, given, good in (
        ("base32-good", "AAAQEAY", True),
        ("base32-lower", "aaaqeay", False),
        ("base32-padded", "AAAQEAY=", False),
        ("base32-pad-bits", "AAAQEAZ", False),
        ("base32-length-1", "A", False),
        ("base32-length-3", "AAA", False),
        ("base32-length-6", "AAAAAA", False),
        ("base32-digit-1", "AAAQEA1", False),
        ("base32-space", "AAAQ AY", False),
        ("base32-full-width", "ＡＡＡＱＥＡＹ", False),
    ):
        case(name, "base32", given, None if good else "credential.malformed", "spelling")


def main() -> None:
    """Writes the file."""
    for write in (cwt_cases, sd_cwt_cases, sd_jwt_cases, x5c_cases, status_cases, text_cases):
        write()
    names = [item["name"] for item in CASES]
    assert len(set(names)) == len(names), "a name twice"
    content = {
        "description": "Formats of docs/format.md, one fault per case; `reason` is what is wrong.",
        "now": NOW,
        "issuer": ISS,
        "vct": VCT,
        "keys": {"issuer": ISSUER.jwk, "device": DEVICE.jwk, "other": OTHER.jwk},
        "profiles": {
            "seal": {"typ": SEAL},
            "foreign": {"typ": SEAL, "own": False},
            "pass": {"vct": [VCT]},
            "pass-lenient": {"exp_required": False, "holder_required": False},
            "card": {"key_binding": False, "vct": [VCT]},
            "card-lenient": {"key_binding": False, "exp_required": False},
            "card-holder": {"key_binding": True, "vct": [VCT]},
        },
        "cases": CASES,
    }
    OUT.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n")
    print(f"{len(CASES)} cases in {OUT}")


if __name__ == "__main__":
    main()
