"""COSE_Sign1 and CWT: what the functions promise beyond the vectors."""

from datetime import UTC, datetime, timedelta

import pytest

from ewallet.errors import Malformed, Refused
from ewallet.formats import cose
from ewallet.keys import SigningKey

NOW = datetime(2026, 1, 1, tzinfo=UTC)
T = int(NOW.timestamp())
SEAL = cose.Profile(typ="application/ewallet-seal+cwt")


@pytest.fixture(scope="module", params=["ES256", "Ed25519"])
def signer(request):
    return SigningKey.generate(request.param)


def test_detached_payload_and_external_data(signer):
    data = cose.sign(b"content", signer, typ="x", detached=True, external_aad=b"aad")
    profile = cose.Profile(typ="x", own=False)
    parsed = cose.parse(data, profile, detached_payload=b"content", external_aad=b"aad")
    cose.verify(parsed, signer.public_key)
    assert parsed.kid == signer.public_key.kid
    for payload, aad in ((b"Content", b"aad"), (b"content", b""), (b"", b"aad")):
        with pytest.raises(Refused) as caught:
            cose.verify(
                cose.parse(data, profile, detached_payload=payload, external_aad=aad), signer.public_key
            )
        assert caught.value.reason == "signature.issuer"
    with pytest.raises(Malformed):
        cose.parse(data, profile)
    with pytest.raises(Malformed):
        cose.parse(cose.sign(b"content", signer, typ="x"), profile, detached_payload=b"content")


def test_further_headers_are_signed(signer):
    data = cose.sign(b"content", signer, typ="x", headers={"note": 1}, unprotected={5: b"iv"})
    parsed = cose.parse(data, cose.Profile(typ="x", own=False))
    assert parsed.protected["note"] == 1
    assert parsed.unprotected[5] == b"iv"
    cose.verify(parsed, signer.public_key)
    with pytest.raises(Malformed):
        cose.parse(data, cose.Profile(typ="x"))


def test_a_parsed_token_says_that_it_is_unverified(signer):
    token = cose.issue_cwt({1: "https://a.example", 4: T + 1, 6: T, "x": [1]}, signer, typ=SEAL.typ)
    parsed = cose.parse_cwt(token, SEAL)
    assert parsed.unverified_claims["x"] == [1]
    assert (parsed.iss, parsed.typ, parsed.kid) == ("https://a.example", SEAL.typ, signer.public_key.kid)
    facts = cose.verify_cwt(parsed, signer.public_key, SEAL, now=NOW, issuer="https://a.example")
    assert facts.claims == parsed.unverified_claims
    assert facts.digest == parsed.digest
    assert facts.key == signer.public_key


def test_required_claims(signer):
    token = cose.issue_cwt({4: T + 1, 6: T}, signer, typ=SEAL.typ)
    with pytest.raises(Malformed):
        cose.parse_cwt(token, cose.Profile(typ=SEAL.typ, required=frozenset({1})))


def test_a_critical_header_that_is_understood(signer):
    data = cose.sign(b"content", signer, typ="x", headers={2: [16]})
    cose.verify(cose.parse(data, cose.Profile(typ="x", own=False)), signer.public_key)
    for labels in ([16, 99], [], [13], "x", [True]):
        wrong = cose.sign(b"content", signer, typ="x", headers={2: labels})
        with pytest.raises(Malformed):
            cose.parse(wrong, cose.Profile(typ="x", own=False))


def test_now_needs_a_time_zone(signer):
    token = cose.issue_cwt({4: T + 1, 6: T}, signer, typ=SEAL.typ)
    with pytest.raises(ValueError, match="time zone"):
        cose.verify_cwt(token, signer.public_key, SEAL, now=NOW.replace(tzinfo=None))


def test_the_end_is_exclusive(signer):
    token = cose.issue_cwt({4: T + 10, 6: T}, signer, typ=SEAL.typ)
    cose.verify_cwt(token, signer.public_key, SEAL, now=NOW + timedelta(seconds=9.9))
    with pytest.raises(Refused):
        cose.verify_cwt(token, signer.public_key, SEAL, now=NOW + timedelta(seconds=10))
