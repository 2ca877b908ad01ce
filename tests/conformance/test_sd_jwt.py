"""SD-JWT: the complete examples of RFC 9901, and 59 cases for its section 7."""

import json
from datetime import UTC, datetime

import pytest

from ewallet.errors import Refused
from ewallet.formats import sdjwt
from ewallet.keys import PublicKey


def profile(typ="example+sd-jwt", *, key_binding):
    return sdjwt.Profile(typ=typ, own=False, exp_required=False, key_binding=key_binding)


def test_rfc9901_examples(vectors_dir, vector_counts):
    cases = json.loads((vectors_dir / "sd-jwt/rfc9901.json").read_text())
    passed = 0
    for case in cases:
        moment = case["kb_iat"] or case["expected_payload"].get("iat", 1683000000)
        facts = sdjwt.verify(
            case["compact"],
            PublicKey.from_jwk(case["issuer_jwk"]),
            profile(typ_of(case), key_binding=case["key_binding"]),
            now=datetime.fromtimestamp(moment, UTC),
            audience=case["aud"],
            nonce=case["nonce"],
        )
        assert facts.claims == case["expected_payload"], case["name"]
        assert (facts.binding is not None) == case["key_binding"]
        if facts.binding:
            assert (facts.binding.audience, facts.binding.nonce) == (case["aud"], case["nonce"])
        passed += 1
    vector_counts("SD-JWT, RFC 9901 examples", passed=passed, total=len(cases))


def typ_of(case):
    header = case["compact"].split(".", 1)[0]
    return json.loads(sdjwt.b64u_decode(header)).get("typ")


# What each refusal is called here: by the file's own word, or by the case where that is too coarse.
REASONS = {
    "duplicate digest": "disclosure.mismatch",
    "unreferenced disclosure": "disclosure.mismatch",
    "claim collision": "disclosure.mismatch",
    "repeated disclosure": "disclosure.mismatch",
    "reserved claim name": "disclosure.mismatch",
    "array disclosure form": "disclosure.mismatch",
    "two-element-disclosure-in-sd": "disclosure.mismatch",
    "claim-name-not-string": "disclosure.mismatch",
    "_sd_alg": "algorithm.not_allowed",
    "alg-none": "algorithm.not_allowed",
    "issuer signature": "signature.issuer",
    "expired": "credential.expired",
    "expired-in-disclosure": "disclosure.mismatch",
    "key binding missing": "holder.binding_missing",
    "kb-wrong-nonce": "code.challenge",
    "kb-wrong-aud": "code.audience",
    "kb-future": "code.from_future",
    "kb-alg-none": "algorithm.not_allowed",
    "kb signature": "signature.holder",
    "kb-sd-hash-of-other-selection": "signature.holder",
    "kb-sd-hash-without-last-tilde": "signature.holder",
    "kb-disclosure-removed-after-signing": "signature.holder",
    "kb-from-other-sd-jwt": "signature.holder",
}


def test_section_7_cases(vectors_dir, vector_counts):
    data = json.loads((vectors_dir / "sd-jwt/validation.json").read_text())
    passed = 0
    for case in data["cases"]:
        arguments = {
            "now": datetime.fromtimestamp(case["now"], UTC),
            "audience": case["aud"],
            "nonce": case["nonce"],
            "max_age": data["kb_iat_window_seconds"],
        }
        if case["key_binding_required"]:
            arguments |= {"audience": case["aud"] or "https://verifier.example", "nonce": case["nonce"] or ""}
        key = PublicKey.from_jwk(data["issuer_jwk"])
        rules = profile(key_binding=case["key_binding_required"])
        if case["expect"] == "accept":
            assert sdjwt.verify(case["compact"], key, rules, **arguments).claims == case["expected_payload"]
        else:
            with pytest.raises(Refused) as caught:
                sdjwt.verify(case["compact"], key, rules, **arguments)
            expected = REASONS.get(case["name"]) or REASONS.get(case["rejected_for"], "credential.malformed")
            assert caught.value.reason == expected, case["name"]
        passed += 1
    vector_counts("SD-JWT, section 7", passed=passed, total=len(data["cases"]))


def test_key_binding_is_never_optional_for_a_caller_who_asks(vectors_dir):
    case = json.loads((vectors_dir / "sd-jwt/rfc9901.json").read_text())[0]
    with pytest.raises(Refused) as caught:
        sdjwt.parse(case["compact"], profile(key_binding=True))
    assert caught.value.reason == "holder.binding_missing"
