"""Writes `sharing.json`: supply codes as a window reads them, and asks that carry one; one fault for each case.

Usable from other languages: keys, what is scanned or sent, when, and what must come out. Signatures and nonces
are fresh at every run, everything else is not. Run: `python tests/vectors/make_sharing.py`.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from cbor2 import CBORTag

from ewallet.formats import cose, text
from ewallet.keys import SigningKey
from ewallet.licenses.asking import ASK_TYP, CONSENT_TYP, Ask, make_ask
from ewallet.licenses.supply_code import TYP, make_supply_code
from ewallet.moments import seconds
from ewallet.wire import encode_cbor

TARGET = Path(__file__).resolve().parent / "sharing.json"
NOW = datetime(2026, 3, 2, 4, 20, 5, tzinfo=UTC)
AT = seconds(NOW)
ISSUER = "https://sh.ewallet.example/a/market"
HALL = "https://sh.ewallet.example/a/hall"
TYPE = "11100000MB0143028R001"
NAMES = ("device", "other", "verify")
KEYS = {name: SigningKey("ES256", sha256(f"ewallet test key {name}".encode()).digest()) for name in NAMES}
EDWARDS = SigningKey("Ed25519", sha256(b"ewallet test key edwards").digest())
COMPRESSED = KEYS["device"].public_key.to_cose_compressed()


def good(offset: int = 0, device: Any = KEYS["device"], **changes: Any) -> str:
    given = {"authority": ISSUER, "type": TYPE, "now": NOW + timedelta(seconds=offset), **changes}
    return make_supply_code(device, **given)


def raw(signer: str = "device", typ: str = TYP, drop: Any = None, **changes: Any) -> str:
    """A code put together by hand, so that each fault can be made."""
    claims: dict[Any, Any] = {
        cose.AUD: ISSUER,
        cose.EXP: AT + 120,
        cose.IAT: AT,
        cose.CNF: {1: COMPRESSED},
        "nonce": sha256(b"nonce").digest()[:16],
        "type": TYPE,
        **{
            {"aud": cose.AUD, "exp": cose.EXP, "iat": cose.IAT, "cnf": cose.CNF}.get(k, k): v
            for k, v in changes.items()
        },
    }
    claims.pop(drop, None)
    return text.encode(text.SUPPLY, cose.issue_cwt(claims, KEYS[signer], typ=typ))


def flipped(scanned: str, place: int) -> str:
    prefix, data = text.decode(scanned)
    changed = bytearray(data)
    changed[place] ^= 1
    return text.encode(prefix, bytes(changed))


def with_unprotected(scanned: str) -> str:
    from ewallet.wire import decode_cbor

    _, data = text.decode(scanned)
    protected, _, payload, signature = decode_cbor(data, tags=frozenset((18,))).value
    return text.encode(text.SUPPLY, encode_cbor(CBORTag(18, [protected, {4: b"x"}, payload, signature])))


def other_alg() -> str:
    """Signed by the device, under the number of another suite."""
    protected = encode_cbor({1: -19, 4: KEYS["device"].public_key.kid, 16: TYP})
    payload = encode_cbor(
        {3: ISSUER, 4: AT + 120, 6: AT, 8: {1: COMPRESSED}, "nonce": bytes(16), "type": TYPE}
    )
    signature = KEYS["device"].sign(cose.signed_bytes(protected, payload))
    return text.encode(text.SUPPLY, cose.assemble(protected, payload, signature))


def case(
    name: str, what: str, scan: str, reason: str | None = None, counter: str = "code.supply", **more: Any
) -> dict[str, Any]:
    return {"name": name, "what": what, "scan": scan, "reason": reason, "counter": counter, **more}


def codes() -> list[dict[str, Any]]:
    form: dict[str, Any] = {"reason": "credential.malformed", "counter": "credential.malformed"}
    plain, point = good(), KEYS["device"].public_key.to_cose()
    return [
        case("code", "none", plain, recipient=""),
        case("code-recipient", "none: for one recipient", good(recipient=HALL), recipient=HALL),
        case("code-longest", "none: 300 s", good(life=300), recipient=""),
        case("code-edwards", "none: a device key of another suite", good(device=EDWARDS), key="edwards", recipient=""),
        case("code-line-end", "none: a hand scanner's line end", plain + "\r\n", recipient=""),
        case("code-ahead", "none: the phone's clock is 60 s ahead", good(60), recipient=""),
        case("code-from-future", "the phone's clock is 61 s ahead", good(61), "code.from_future"),
        case("code-last-second", "none: in its last second", good(-119), recipient=""),
        case("code-over", "at its end", good(-120), "code.expired"),
        case("code-too-long-lived", "301 s", raw(exp=AT + 301), **form),
        case("code-backwards", "ends before it begins", raw(exp=AT - 1), **form),
        case("code-flipped-signature", "one bit of the signature changed", flipped(plain, -1), "signature.holder"),
        case("code-flipped-nonce", "one bit of the signed nonce changed",
             flipped(raw(), text.decode(raw())[1].index(sha256(b"nonce").digest()[:16])), "signature.holder"),
        case("code-other-device", "signed by another key than it names", raw("other"), "signature.holder"),
        case("code-other-alg", "alg of another suite", other_alg(), "algorithm.not_allowed"),
        case("code-point-whole", "the key with y as bytes", raw(cnf={1: point}), **form),
        case("code-key-more", "the key with a member more", raw(cnf={1: {**COMPRESSED, 2: b"x"}}), **form),
        case("code-no-point", "a key that is no point of its curve", raw(cnf={1: {**COMPRESSED, -2: b"\xff" * 32}}), **form),
        case("code-no-key", "no key", raw(drop=cose.CNF), **form),
        case("code-no-type", "no type", raw(drop="type"), **form),
        case("code-empty-type", "an empty type", raw(type=""), **form),
        case("code-empty-recipient", "an empty recipient", raw(recipient=""), **form),
        case("code-aud-list", "several authorities", raw(aud=[ISSUER]), **form),
        case("code-nonce-short", "a nonce of 15 bytes", raw(nonce=bytes(15)), **form),
        case("code-identifier", "a claim more: who it is about", raw(identifier="1.2.156.3005.2.x"), **form),
        case("code-unprotected", "something that nobody signed", with_unprotected(plain), **form),
        case("code-consent", "a consent under these letters", raw(typ=CONSENT_TYP), **form),
        case("code-lower", "small letters", plain[:3] + plain[3:].lower(), "code.not_canonical", "code.not_canonical"),
        case("code-empty", "nothing behind the letters", "EWU", "code.unreadable", "code.unreadable"),
        case("code-identity-letters", "under the letters of an identity code", "EWC" + plain[3:], "code.unreadable", "credential.malformed"),
    ]  # fmt: skip


def ask(**changes: Any) -> Ask:
    given: dict[str, Any] = {
        "recipient": HALL,
        "organization": "示例政务大厅",
        "operator": "clerk-1",
        "position": "https://sh.ewallet.example/v/1",
        "matter": "M-1",
        "matter_name": "示例事项",
        "case": "C-1",
        "purpose": "办理示例事项",
        "until": date(2026, 3, 31),
        **changes,
    }
    return Ask(**given)


def made(asked: Ask) -> str:
    return make_ask(asked, KEYS["verify"], issuer=HALL, to=ISSUER, now=NOW).hex()


def raw_ask(claim: Any) -> str:
    claims = {1: HALL, 3: ISSUER, 4: AT + 120, 6: AT, "nonce": bytes(16), "ask": claim}
    return cose.issue_cwt(claims, KEYS["verify"], typ=ASK_TYP).hex()


def asks() -> list[dict[str, Any]]:
    numbered = ask(type="business-license", number="91310101MA9X000018", region="31", basis="law")
    by_code = ask(code=good())
    claim = by_code.to_claim()

    def told(asked: Ask) -> dict[str, Any]:
        return {k: v.hex() if isinstance(v, bytes) else v for k, v in asked.to_claim().items()}

    wrong = {"reason": "credential.malformed"}
    return [
        {"name": "ask-number", "what": "none: by number, under a law", "ask": made(numbered), "reason": None, "claim": told(numbered)},
        {"name": "ask-code", "what": "none: by supply code", "ask": made(by_code), "reason": None, "claim": told(by_code)},
        {"name": "ask-code-empty", "what": "an empty code", "ask": raw_ask({**claim, "code": ""}), **wrong},
        {"name": "ask-code-bytes", "what": "the code as bytes", "ask": raw_ask({**claim, "code": b"EWU"}), **wrong},
        {"name": "ask-member-more", "what": "a member more", "ask": raw_ask({**claim, "sum": "1"}), **wrong},
        {"name": "ask-member-less", "what": "no purpose", "ask": raw_ask({k: v for k, v in claim.items() if k != "purpose"}), **wrong},
    ]  # fmt: skip


def main() -> None:
    data = {
        "format": 1,
        "description": "Supply codes and asks (docs/format.md, section 7). `codes`: what a window scans, read at `now`; `reason` is "
        "what reading must give (null: read, signed by `key` or `device`), `counter` the reason of a verifier that is shown it. "
        "`asks`: CBOR in hex, sent by `asker` to `issuer`; byte strings of `claim` in hex. The keys are for tests only; their "
        "secrets are published here.",
        "now": AT,
        "issuer": ISSUER,
        "asker": HALL,
        "type": TYPE,
        "keys": {**{name: key.unsafe_to_jwk() for name, key in KEYS.items()}, "edwards": EDWARDS.unsafe_to_jwk()},
        "codes": codes(),
        "asks": asks(),
    }  # fmt: skip
    TARGET.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
