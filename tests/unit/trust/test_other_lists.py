"""Lists as JWS, a JWKS and a VICAL: read when somebody says what they may mean, and never otherwise."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from cbor2 import CBORTag, dumps

from ewallet.errors import Malformed, Refused
from ewallet.formats import cose
from ewallet.keys import SigningKey
from ewallet.moments import instant
from ewallet.trust.certificates import dates_of, self_signed
from ewallet.trust.entries import Service
from ewallet.trust.lote import to_document
from ewallet.trust.other_lists import Scope, trust_from_jwks, trust_from_vical
from ewallet.trust.publishing import sign_list, verify_list
from tests.province import DAY, HOUR, START, World

MDL = "org.iso.18013.5.1.mDL"


def scope(**parts):
    whole = {
        "entity": "https://old.example/issuer",
        "names": {"zh": "示例", "en": "example"},
        "province": "31",
        "service": Service.LICENSES,
        "types": frozenset(("t1",)),
        "regions": frozenset(("31",)),
        "until": START + 10 * DAY,
    }
    return Scope(**{**whole, **parts})


def decide(trust, key, *, type_code="t1", region="310115", at=START, now=START):
    try:
        trust.freshness(now)
        listed = trust.require(Service.LICENSES, kid=key.kid, iss="https://old.example/issuer", now=now)
        trust.decide(listed[0], type=type_code, region=region, signed_at=at, now=now)
    except Refused as refusal:
        return refusal.reason
    return ""


class TestJwks:
    @pytest.fixture
    def key(self):
        return SigningKey.generate("ES256").public_key

    def test_counts_within_what_the_caller_says(self, key):
        trust = trust_from_jwks(json.dumps({"keys": [key.to_jwk()]}).encode(), scope(), now=START)
        assert decide(trust, key) == ""
        assert decide(trust, key, type_code="t2") == "issuer.type_not_granted"
        assert decide(trust, key, region="320500") == "issuer.region"
        assert decide(trust, key, at=START - HOUR) == "issuer.key_not_valid_then"
        assert decide(trust, key, now=START + 2 * DAY) == "trust.stale"
        assert decide(trust, SigningKey.generate("ES256").public_key) == "issuer.key_unknown"

    @pytest.mark.parametrize("data", [b"{}", b"[]", b'{"keys": []}', b'{"keys": [{"kty": "RSA"}]}'])
    def test_other_forms(self, data):
        with pytest.raises(Malformed):
            trust_from_jwks(data, scope(), now=START)


class TestVical:
    @pytest.fixture
    def provider(self):
        return SigningKey.generate("ES256")

    @pytest.fixture
    def certificate(self):
        self.signer = SigningKey.generate("Ed25519")
        return self_signed(self.signer, "https://old.example/issuer", START)

    def vical(self, provider, certificate, doc_type=MDL):
        document = {
            "version": "1.0",
            "vicalProvider": "example",
            "date": CBORTag(0, "2026-05-01T00:00:00Z"),
            "certificateInfos": [
                {
                    "certificate": certificate,
                    "serialNumber": CBORTag(2, b"\1" * 9),
                    "ski": b"\0" * 20,
                    "docType": [doc_type],
                }
            ],
        }
        return cose.sign(dumps(document), provider, typ=None)

    def test_counts_for_the_types_that_are_mapped(self, provider, certificate):
        data = self.vical(provider, certificate)
        trust = trust_from_vical(data, provider.public_key, scope(types={MDL: "t1"}), now=START)
        assert decide(trust, self.signer.public_key) == ""
        assert decide(trust, self.signer.public_key, type_code=MDL) == "issuer.type_not_granted"

    def test_the_provider_signs(self, provider, certificate):
        data = self.vical(SigningKey.generate("ES256"), certificate)
        with pytest.raises(Refused) as caught:
            trust_from_vical(data, provider.public_key, scope(types={MDL: "t1"}), now=START)
        assert caught.value.reason == "signature.issuer"

    def test_nothing_is_taken_that_nobody_mapped(self, provider, certificate):
        data = self.vical(provider, certificate, doc_type="org.example.other")
        with pytest.raises(Malformed):
            trust_from_vical(data, provider.public_key, scope(types={MDL: "t1"}), now=START)
        with pytest.raises(TypeError):
            trust_from_vical(data, provider.public_key, scope(), now=START)

    def test_the_certificates_dates_hold(self, provider, certificate):
        start, end = dates_of(certificate)
        assert (instant(start), end - start) == (START, 3650 * 86400 + 1)
        data = self.vical(provider, certificate)
        trust = trust_from_vical(data, provider.public_key, scope(types={MDL: "t1"}), now=START)
        early = START - timedelta(seconds=1)
        assert decide(trust, self.signer.public_key, at=early) == "issuer.key_not_valid_then"


@pytest.mark.parametrize("suite", ["ES256", "SM2SM3", "Ed25519"])
def test_a_list_as_jws(tmp_path, suite):
    world = World(tmp_path, ("31", "32"))
    world.authority("31", "market")
    listing = world.consortium.listings["31"]
    key = SigningKey.generate(suite)
    token = sign_list(listing, key)
    assert verify_list(token, key.public_key, now=START) == listing
    assert to_document(verify_list(token, key.public_key, now=START)) == to_document(listing)
    with pytest.raises(Refused) as caught:
        verify_list(token, key.public_key, now=START + 30 * DAY)
    assert caught.value.reason == "trust.stale"
    with pytest.raises(Refused):
        verify_list(token, SigningKey.generate(suite).public_key, now=START)
