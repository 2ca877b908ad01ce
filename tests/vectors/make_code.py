"""Writes `code.json`: codes at gates, one fault for each case, with the reason that it must get.

Usable from other languages: keys, lists in words, what is scanned, when, and what must come out. Signatures
are fresh at every run, keys and everything else are not. Run: `python tests/vectors/make_code.py`.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from cbor2 import dumps

from ewallet.code import possession
from ewallet.code.authority import CodeAuthority
from ewallet.code.challenge import make_challenge
from ewallet.code.paper import make_paper
from ewallet.code.passes import Pass
from ewallet.code.rotating import show
from ewallet.formats import cose, sdcwt, text
from ewallet.formats.statuslist import StatusReference
from ewallet.keys import SigningKey
from ewallet.moments import seconds
from ewallet.trust.scenes import builtin_scenes
from ewallet.trust.statements import make_statement
from ewallet.wire import encode_cbor

TARGET = Path(__file__).resolve().parent / "code.json"
NOW = datetime(2026, 3, 2, 4, 20, 5, tzinfo=UTC)
VENUE = "https://sh.ewallet.example/v/1"
OTHER_VENUE = "https://sh.ewallet.example/v/2"
ISSUER = "https://sh.ewallet.example/a/codes"
WITNESS = "https://js.ewallet.example/a/register"
P256_N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
NAMES = ("codes", "verify", "licenses", "witness", "stranger", "device", "device2", "device3", "venue2")
KEYS = {name: SigningKey("ES256", sha256(f"ewallet test key {name}".encode()).digest()) for name in NAMES}
EDWARDS = SigningKey("Ed25519", sha256(b"ewallet test key edwards").digest())


def at(offset: float) -> datetime:
    return NOW + timedelta(seconds=offset)


def passes(scenes=("library",), device="device", signer="codes", now=NOW, **wanted: Any) -> Pass:
    authority = CodeAuthority(signer=KEYS[signer], name=ISSUER, secret=sha256(b"secret").digest())
    key = KEYS[device]
    proof = possession.prove(key, authority=ISSUER, nonce=authority.challenge(now))
    given = {"subject": "p-1", "kind": "person", "attributes": {"resident": True}, **wanted}
    return authority.issue_passes([(key.public_key, proof)], scenes=scenes, now=now, **given)[0]


def code(made: Pass, offset: float = 0, *, device="device", audience=VENUE, **more: Any) -> str:
    return show(made, KEYS[device], audience=audience, now=at(offset), **more)


# --- codes put together by hand, as no honest holder would ------------------------------------------------


def header(credential: bytes, extra: bytes = b"", members: int = 3) -> bytes:
    return bytes([0xA0 + members, 0x01]) + dumps(-9) + b"\x0d" + credential + b"\x10\x19\x01\x26" + extra


def token(protected: bytes, payload: bytes, device="device", unprotected: bytes = b"\xa0") -> bytes:
    signature = KEYS[device].sign(cose.signed_bytes(protected, payload))
    return cose.assemble(protected, payload, signature, unprotected)


def by_hand(credential: bytes, claims: Any, **parts: Any) -> str:
    payload = claims if isinstance(claims, bytes) else encode_cbor(claims)
    return text.encode(text.CODE, token(header(credential), payload, **parts))


def bare(made: Pass) -> bytes:
    """The pass without disclosures."""
    return cose.assemble(
        encode_cbor(dict(made.parsed.sign1.protected)), made.parsed.sign1.payload, made.parsed.sign1.signature
    )


def resigned(made: Pass, signer: SigningKey, protected: dict[Any, Any] | None = None) -> bytes:
    key = signer.public_key
    head = encode_cbor(protected or {1: key.suite.cose_alg, 4: key.kid, 16: 293})
    payload = made.parsed.sign1.payload
    return cose.assemble(head, payload, signer.sign(cose.signed_bytes(head, payload)))


def signature_at(data: bytes) -> int:
    return len(data) - 64


def twin(shown: str) -> str:
    data = text.decode(shown)[1]
    s = int.from_bytes(data[-32:], "big")
    return text.encode(text.CODE, data[:-32] + (P256_N - s).to_bytes(32, "big"))


def flipped(shown: str, position: int) -> str:
    data = bytearray(text.decode(shown)[1])
    data[position] ^= 1
    return text.encode(text.CODE, bytes(data))


def license_credential() -> bytes:
    claims = {
        cose.ISS: ISSUER, cose.SUB: "x", cose.IAT: seconds(NOW) - 60, cose.EXP: seconds(NOW) + 86400,
        "authority": "示例机关", "area": "310115", "holder_index": 0,
    }  # fmt: skip
    return sdcwt.issue(
        claims, disclosable=(), signer=KEYS["licenses"], holder_key=KEYS["device"].public_key,
        vct="https://sh.ewallet.example/vct/310101360000100/1",
        status=StatusReference(idx=1, uri="https://sh.ewallet.example/status/codes/1"),
    )  # fmt: skip


# --- cases ------------------------------------------------------------------------------------------------

CASES: list[dict[str, Any]] = []


def step(scan: Any, offset: float, reason: str | None, **more: Any) -> dict[str, Any]:
    return {"scan": scan, "now": seconds(at(offset)), "reason": reason, **more}


def case(name: str, *steps: dict[str, Any], **more: Any) -> None:
    CASES.append({"name": name, "scene": "library", "guard": "memory", **more, "steps": list(steps)})


def one(name: str, scan: Any, reason: str | None, offset: float = 0, **more: Any) -> None:
    case(name, step(scan, offset, reason), **more)


def good_and_damaged(made: Pass) -> None:
    shown = code(made)
    data = text.decode(shown)[1]
    one("good", shown, None)
    one("good-with-attribute", code(made, disclose=["resident"]), None)
    one("good-for-the-scene", code(made, audience="library"), None)
    for name, position, reason in (
        ("first-byte", 0, "credential.malformed"),
        ("pass-signature", len(data) - 64 - 2 - 1 - 60, "signature.issuer"),
        ("device-signature", signature_at(data) + 5, "signature.holder"),
        ("last-byte", len(data) - 1, "signature.holder"),
    ):
        one(f"flipped-{name}", flipped(shown, position), reason)
    for name, wrong, reason in (
        ("lower-case", shown.lower(), "code.unreadable"),
        ("lower-case-body", shown[:3] + shown[3:].lower(), "code.not_canonical"),
        ("space-inside", shown[:40] + " " + shown[40:], "code.not_canonical"),
        ("space-before", " " + shown, "code.unreadable"),
        ("trailing-characters", shown + "==", "code.not_canonical"),
        ("impossible-length", _impossible(shown), "code.not_canonical"),
        ("pad-bits", _pad_bits(), "code.not_canonical"),
        ("too-long", shown + "A" * 4096, "code.too_long"),
        ("another-prefix", "EWZ" + shown[3:], "code.version_unknown"),
        ("not-ours", "https://sh.ewallet.example/", "code.unreadable"),
        ("trailing-bytes", text.encode(text.CODE, data + b"\x00"), "credential.malformed"),
    ):
        one(name, wrong, reason)
    one("two-in-one-picture", [shown, code(passes(device="device2"), device="device2")], "code.ambiguous")


def _impossible(shown: str) -> str:
    while len(shown[3:]) % 8 not in (1, 3, 6):
        shown += "A"
    return shown


def _pad_bits() -> str:
    return "EWC" + "AB"  # one byte, and a bit of nothing


def forms(made: Pass) -> None:
    plain = bare(made)
    now = seconds(NOW)
    claims = {cose.AUD: VENUE, cose.IAT: now}
    one("by-hand", by_hand(plain, claims), None)
    one("junk-unprotected", by_hand(plain, claims, unprotected=b"\xa1\x18\x63\x01"), "credential.malformed")
    inner = plain.replace(b"\xa0\x58", b"\xa1\x18\x63\x01\x58", 1)
    one("junk-unprotected-in-pass", by_hand(inner, claims), "credential.malformed")
    float_iat = b"\xa2\x03" + encode_cbor(VENUE) + b"\x06\xfb" + b"\x41\xda\x69\x44\x3d\x40\x00\x00"
    one("float-iat", by_hand(plain, float_iat), "credential.malformed")
    one("negative-iat", by_hand(plain, {**claims, cose.IAT: -1}), "credential.malformed")
    one("no-iat", by_hand(plain, {cose.AUD: VENUE}), "credential.malformed")
    one("no-audience", by_hand(plain, {cose.IAT: now}), "credential.malformed")
    one("own-end", by_hand(plain, {**claims, cose.EXP: now + 9999}), "credential.malformed")
    one(
        "unsorted-claims",
        by_hand(plain, b"\xa2\x06" + encode_cbor(now) + b"\x03" + encode_cbor(VENUE)),
        "credential.malformed",
    )
    twice = b"\xa3\x03" + encode_cbor(VENUE) + b"\x06" + encode_cbor(now) + b"\x06" + encode_cbor(now)
    one("duplicate-key", by_hand(plain, twice), "credential.malformed")
    early = by_hand(plain, {**claims, cose.IAT: made.issued_at - 1})
    one("before-its-pass", early, "credential.malformed", offset=made.issued_at + 5 - now)
    one("bare-pass", text.encode(text.CODE, made.credential), "holder.binding_missing")
    wrong_alg = b"\xa3\x01" + dumps(-19) + b"\x0d" + plain + b"\x10\x19\x01\x26"
    payload = encode_cbor(claims)
    one("device-alg", text.encode(text.CODE, token(wrong_alg, payload)), "algorithm.not_allowed")
    cose_key = encode_cbor({-1: {1: 2, -1: 1, -2: KEYS["stranger"].public_key.raw[:32], -3: True}})
    with_key = header(plain, cose_key[1:], members=4)
    one(
        "key-in-the-message",
        text.encode(text.CODE, token(with_key, payload, device="stranger")),
        "credential.malformed",
    )
    one("unknown-crit", text.encode(text.CODE, token(_critical(plain), payload)), "credential.malformed")


def _critical(credential: bytes) -> bytes:
    return b"\xa4\x01" + dumps(-9) + b"\x02\x81\x18\x63" + b"\x0d" + credential + b"\x10\x19\x01\x26"


def keys_and_services(made: Pass) -> None:
    claims = {cose.AUD: VENUE, cose.IAT: seconds(NOW)}
    codes = KEYS["codes"].public_key
    one("other-holder", by_hand(bare(made), claims, device="device2"), "signature.holder")
    one("unlisted-authority", by_hand(resigned(made, KEYS["stranger"]), claims), "issuer.unknown")
    forged = resigned(made, KEYS["stranger"], {1: -9, 4: codes.kid, 16: 293})
    one("known-kid-other-key", by_hand(forged, claims), "signature.issuer")
    suite = resigned(made, EDWARDS, {1: -19, 4: codes.kid, 16: 293})
    one("known-kid-other-suite", by_hand(suite, claims), "algorithm.not_allowed")
    for service in ("verify", "licenses"):
        one(f"pass-by-the-{service}-key", by_hand(resigned(made, KEYS[service]), claims), "issuer.service")
    shown = license_credential()
    license_text = text.encode(text.CODE, sdcwt.present(shown, KEYS["device"], audience=VENUE, now=NOW))
    one("license-as-code", license_text, "credential.malformed")
    data = text.decode(code(made))[1]
    one("code-as-license", text.encode(text.LICENSE, data), "credential.malformed")
    paper = make_paper(
        KEYS["codes"], issuer=ISSUER, kind="person", masked_name="张*", scenes=[builtin_scenes()["library"]],
        status=StatusReference(idx=1, uri="https://sh.ewallet.example/status/codes/1"),
        now=NOW, until=NOW + timedelta(days=30),
    )  # fmt: skip
    one("paper-at-a-rotating-gate", paper, "code.static", scene="metro", guard="file")
    one("paper-as-code", "EWC" + paper[3:], "credential.malformed")


def times_and_places(made: Pass) -> None:
    shown = code(made)
    one("at-the-edge-old", shown, None, 30)
    one("too-old", shown, "code.expired", 31)
    one("at-the-edge-ahead", shown, None, -10)
    one("from-the-future", shown, "code.from_future", -11)
    one("other-venue", shown, "code.audience", venue=OTHER_VENUE)
    metro = passes(("metro",))
    one("scene-not-in-the-pass", code(metro), "policy.scene")
    end = made.ends_at
    last = text.encode(text.CODE, token(header(bare(made)), encode_cbor({cose.AUD: VENUE, cose.IAT: end})))
    CASES.append(
        {
            "name": "made-at-the-end-of-its-pass", "scene": "library", "guard": "memory",
            "steps": [{"scan": last, "now": end, "reason": "pass.expired"}],
        }
    )  # fmt: skip
    late = show(made, KEYS["device"], audience=VENUE, now=datetime.fromtimestamp(end - 5, UTC))
    CASES.append(
        {
            "name": "read-at-the-end-of-its-pass", "scene": "library", "guard": "memory",
            "steps": [
                {"scan": late, "now": end - 1, "reason": None, "lists": "next-day"},
                {"scan": late, "now": end, "reason": "pass.expired", "lists": "next-day"},
            ],
        }
    )  # fmt: skip


def replays(made: Pass) -> None:
    shown = code(made, audience="library")
    case("replay", step(shown, 0, None), step(shown, 1, "code.replayed"))
    case("twin-signature", step(shown, 0, None), step(twin(shown), 1, "code.replayed"))
    case("two-times-in-one-window", step(shown, 0, None), step(code(made, 10), 11, "code.replayed"))
    case("earlier-code-later", step(code(made, 10), 10, None), step(shown, 11, "code.replayed"))
    case("after-the-gap", step(shown, 0, None), step(code(made, 40), 40, None))
    elsewhere = {"venue": OTHER_VENUE}
    case(
        "other-gate-shared-guard",
        step(shown, 0, None),
        step(shown, 1, "code.replayed", **elsewhere),
        guard="shared",
    )
    restart = {"restart": True}
    case(
        "after-a-restart-file", step(shown, 0, None), step(shown, 1, "code.replayed", **restart), guard="file"
    )
    case("after-a-restart-memory", step(shown, 0, None), step(shown, 1, "replay.unavailable", **restart))
    one("guard-unreachable", shown, "replay.unavailable", guard="unreachable")
    one("refused-does-not-spend", flipped(shown, -1), "signature.holder")
    case("refused-then-good", step(flipped(shown, -1), 0, "signature.holder"), step(shown, 1, None))
    first, second = (passes(("park",), device=device) for device in ("device", "device2"))
    case(
        "two-passes-one-day",
        step(code(first), 0, None),
        step(code(second, 60, device="device2"), 60, "code.replayed"),
        scene="park", guard="file",
    )  # fmt: skip


def challenges() -> None:
    made = passes(("hospital",), attributes={"masked_name": "张*", "resident": True})
    asked = make_challenge(
        KEYS["verify"], issuer=ISSUER, venue=VENUE, scene="hospital", attributes=["masked_name"], now=NOW
    )
    other = make_challenge(
        KEYS["verify"], issuer=ISSUER, venue=OTHER_VENUE, scene="hospital", attributes=[], now=NOW
    )

    class Asked:
        digest = asked.digest

    class Other:
        digest = other.digest

    answer = code(made, 1, challenge=Asked, disclose=["masked_name"])
    more = code(made, 1, challenge=Asked, disclose=["masked_name", "resident"])
    parts = {"scene": "hospital", "challenge": _plain(asked)}
    one("challenge-answered", answer, None, 2, **parts)
    case(
        "challenge-answered-twice",
        step(answer, 2, None),
        step(code(made, 45, challenge=Asked), 46, "code.challenge"),
        **parts,
    )
    one("challenge-of-another-gate", code(made, 1, challenge=Other), "code.challenge", 2, **parts)
    one("challenge-not-answered", code(made, 1), "code.challenge", 2, **parts)
    one("challenge-expired", code(made, 58, challenge=Asked), "code.challenge", 61, **parts)
    one("challenge-not-asked", answer, "code.challenge", 2, scene="hospital")
    one("challenge-more-than-asked", more, "policy.scene", 2, **parts)
    to_scene = code(passes(), 1, challenge=Asked, audience="library")
    one("challenge-answered-to-the-scene", to_scene, "code.audience", 2, challenge=_plain(asked))
    for name, question, reason in (
        ("question-good", asked.text, None),
        ("question-unlisted", _question("stranger"), "verifier.unknown"),
        ("question-by-the-codes-key", _question("codes"), "verifier.unknown"),
        ("question-beyond-the-scene", _question("verify", attributes=["district"]), "verifier.not_granted"),
        ("question-unknown-scene", _question("verify", scene="moon"), "verifier.not_granted"),
        ("question-flipped", _flip_question(asked.text), "verifier.unknown"),
    ):
        CASES.append({"name": name, "question": question, "now": seconds(NOW), "reason": reason})
    CASES.append(
        {"name": "question-expired", "question": asked.text, "now": seconds(at(60)), "reason": "code.expired"}
    )


def _question(signer: str, **more: Any) -> str:
    given = {"issuer": ISSUER, "venue": VENUE, "scene": "hospital", **more}
    return make_challenge(KEYS[signer], **given, now=NOW).text


def _flip_question(question: str) -> str:
    data = bytearray(text.decode(question)[1])
    data[-1] ^= 1
    return text.encode(text.QUESTION, bytes(data))


def _plain(asked: Any) -> dict[str, Any]:
    return {
        "text": asked.text, "digest": asked.digest.hex(), "issuer": asked.issuer, "venue": asked.venue,
        "scene": asked.scene, "attributes": sorted(asked.attributes), "iat": asked.iat, "exp": asked.exp,
    }  # fmt: skip


def lists_change(made: Pass) -> None:
    """What the lists say later counts for a pass whose signature was checked before."""
    shown, again = code(made), code(made, 60)
    case(
        "cached-pass-after-a-brake", step(shown, 0, None), step(again, 60, "issuer.suspended", lists="brake")
    )
    hot = {"hot": [made.id]}
    case(
        "cached-pass-on-the-hot-list",
        step(shown, 0, None),
        step(again, 60, "pass.revoked", lists="hot"),
        **hot,
    )
    digest = made.parsed.digest
    since = seconds(at(-300))
    for name, when, reason in (
        ("without-proof", None, "issuer.proof_missing"),
        ("proof-too-late", since, "issuer.proof_missing"),
        ("proof-in-time", since - 1, None),
    ):
        proofs = [] if when is None else [_proof(digest, when)]
        one(f"compromised-later-{name}", shown, reason, compromised_from=since, proofs=proofs)
    early = made.issued_at - 60
    proofs = [_proof(digest, early - 60)]
    one(
        "compromised-before-the-pass",
        shown,
        "issuer.key_not_valid_then",
        compromised_from=early,
        proofs=proofs,
    )
    other = [_proof(sha256(b"another object").digest(), since - 1)]
    one("compromised-proof-of-another", shown, "issuer.proof_missing", compromised_from=since, proofs=other)


def _proof(digest: bytes, when: int) -> dict[str, str]:
    now = datetime.fromtimestamp(when, UTC)
    statement = make_statement(digest, signer=KEYS["witness"], iss=WITNESS, now=now)
    return {"digest": digest.hex(), "statement": statement.hex()}


def jwks() -> dict[str, Any]:
    return {name: {**key.public_key.to_jwk(), "d": key.unsafe_to_jwk()["d"]} for name, key in KEYS.items()}


def main() -> None:
    made = passes(now=NOW)
    good_and_damaged(made)
    forms(made)
    keys_and_services(made)
    times_and_places(made)
    replays(made)
    challenges()
    lists_change(made)
    document = {
        "format": 1,
        "description": (
            "Identity codes at gates (docs/format.md, docs/trust.md). Each case has a fresh gate: its "
            "scene (as shipped), venue, guard, and lists that name the authority. `reason` null: accepted. "
            "The keys are for tests only; their secrets are published here."
        ),
        "now": seconds(NOW),
        "venue": VENUE,
        "authority": {
            "uri": ISSUER,
            "services": {"codes": "codes", "verify": "verify", "licenses": "licenses"},
        },
        "witness": {"uri": WITNESS, "services": {"register": "witness"}},
        "keys": jwks(),
        "cases": CASES,
    }
    TARGET.write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(f"{len(CASES)} cases in {TARGET}\n")


if __name__ == "__main__":
    main()
