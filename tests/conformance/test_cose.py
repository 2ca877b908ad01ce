"""COSE_Sign1 and CWT: the working group's examples and RFC 8392 appendix A."""

import json
from datetime import UTC, datetime

import pytest

from ewallet.errors import Refused
from ewallet.formats import cose
from ewallet.keys import PublicKey
from ewallet.wire import b64u_encode

FOREIGN = cose.Profile(typ=None, own=False, exp_required=False)
PROFILES = {
    # The one published message with `alg` outside the protected header; refused under every other profile.
    "sign-pass-01": cose.Profile(typ=None, own=False, exp_required=False, algorithm_unprotected=True),
    "sign-pass-03": cose.Profile(typ=None, own=False, exp_required=False, untagged=True),
}
SEVERAL = "COSE_Sign with several signers, which no format here uses"
NOT_APPLICABLE = {
    "ecdsa-01": SEVERAL,
    "ecdsa-02": SEVERAL,
    "ecdsa-03": SEVERAL,
    "ecdsa-04": SEVERAL,
    "eddsa-01": SEVERAL,
    "eddsa-02": SEVERAL,
    "ecdsa-sig-03": "ES512 is no suite here",
    "ecdsa-sig-04": "ES512 is no suite here",
    "eddsa-sig-02": "Ed448 is no suite here",
    "A_4": "COSE_Mac0",
    "A_5": "COSE_Encrypt0",
}


def key_of(case) -> PublicKey:
    key = dict(case["input"]["sign0"]["key"])
    for name in ("x", "y"):
        if f"{name}_hex" in key:
            key[name] = b64u_encode(bytes.fromhex(key[f"{name}_hex"]))
    return PublicKey.from_jwk({name: key[name] for name in ("kty", "crv", "x", "y") if name in key})


def run(name, case) -> bytes:
    sign0 = case["input"]["sign0"]
    external = bytes.fromhex(sign0.get("external", ""))
    parsed = cose.parse(
        bytes.fromhex(case["output"]["cbor"]), PROFILES.get(name, FOREIGN), external_aad=external
    )
    cose.verify(parsed, key_of(case))
    return parsed.payload


def test_cose_vectors(vectors_dir, vector_counts):
    passed, skipped, total = 0, {}, 0
    for path in sorted((vectors_dir / "cose").rglob("*.json")):
        total += 1
        name, case = path.stem, json.loads(path.read_text())
        if name in NOT_APPLICABLE:
            # What is not ours is refused, whatever it is.
            with pytest.raises(Refused):
                cose.verify(
                    cose.parse(bytes.fromhex(case["output"]["cbor"]), FOREIGN),
                    PublicKey.from_jwk(P256),
                )
            skipped[NOT_APPLICABLE[name]] = skipped.get(NOT_APPLICABLE[name], 0) + 1
        elif case.get("fail"):
            with pytest.raises(Refused):
                run(name, case)
            passed += 1
        else:
            plain = case["input"].get("plaintext")
            expected = plain.encode() if plain else bytes.fromhex(case["input"]["plaintext_hex"])
            assert run(name, case) == expected, name
            passed += 1
    vector_counts("COSE_Sign1 and CWT", passed=passed, total=total, not_applicable=skipped)


P256 = {
    "kty": "EC",
    "crv": "P-256",
    "x": "usWxHK2PmfnHKwXPS54m0kTcGJ90UiglWiGahtagnv8",
    "y": "IBOL-C3BttVivg-lSreASjpkttcsz-1rb7btKLv8EX4",
}


def test_alg_outside_the_protected_header_is_refused_elsewhere(vectors_dir):
    case = json.loads((vectors_dir / "cose/sign1-tests/sign-pass-01.json").read_text())
    with pytest.raises(Refused) as caught:
        cose.parse(bytes.fromhex(case["output"]["cbor"]), FOREIGN)
    assert caught.value.reason == "algorithm.not_allowed"


def test_cwt_of_rfc_8392(vectors_dir):
    case = json.loads((vectors_dir / "cose/CWT/A_3.json").read_text())
    token = bytes.fromhex(case["output"]["cbor"])
    # Valid from 1443944944 to 1444064944.
    facts = cose.verify_cwt(token, key_of(case), FOREIGN, now=datetime.fromtimestamp(1444000000, UTC))
    assert facts.claims == {
        1: "coap://as.example.com",
        2: "erikw",
        3: "coap://light.example.com",
        4: 1444064944,
        5: 1443944944,
        6: 1443944944,
        7: bytes.fromhex("0b71"),
    }
    for late in (1444064944, 1700000000):
        with pytest.raises(Refused) as caught:
            cose.verify_cwt(token, key_of(case), FOREIGN, now=datetime.fromtimestamp(late, UTC))
        assert caught.value.reason == "credential.expired"
