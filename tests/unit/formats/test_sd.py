"""SD-CWT and SD-JWT: issuing, choosing, presenting; what the functions promise beyond the vectors."""

import subprocess
import sys
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from ewallet.errors import Malformed, Refused
from ewallet.formats import sdcwt, sdjwt
from ewallet.formats.statuslist import StatusReference
from ewallet.keys import SigningKey, sm2
from ewallet.wire import decode_cbor

NOW = datetime(2026, 1, 1, tzinfo=UTC)
T = int(NOW.timestamp())
ISS = "https://sh.ewallet.example/a/market"
ISSUER, DEVICE, OTHER = SigningKey.generate(), SigningKey.generate(), SigningKey.generate("Ed25519")
KEY = ISSUER.public_key
RECORD = {"name": '喆𠮷"\\\n\u2028', "list": ["a", "b"], "address": {"city": "上海", "street": "1"}}
PATHS = ["name", ("list", None), "address", ("address", "city")]


def cwt(**rest):
    arguments = {"disclosable": PATHS, "signer": ISSUER, "holder_key": DEVICE.public_key} | rest
    return sdcwt.issue({1: ISS, 4: T + 60, 6: T, **RECORD}, **arguments)


def jwt(**rest):
    arguments = {"disclosable": PATHS, "signer": ISSUER, "holder_key": DEVICE.public_key} | rest
    return sdjwt.issue({"iss": ISS, "exp": T + 60, "iat": T, **RECORD}, **arguments)


def der(raw: bytes) -> bytes:
    return encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))


@pytest.mark.parametrize("form", [bytes, der])
def test_a_phone_signs_what_was_prepared(form):
    prepared = sdcwt.prepare(cwt(), audience="v", now=NOW, disclose=["name"])
    token = prepared.assemble(form(DEVICE.sign(prepared.to_be_signed)))
    facts = sdcwt.verify_kbt(token, KEY, sdcwt.Profile(), now=NOW, audience="v")
    assert facts.credential.disclosed == ("name",)
    ready = sdjwt.prepare(jwt(), audience="v", nonce="n", now=NOW, disclose=["name"])
    text = ready.assemble(form(DEVICE.sign(ready.to_be_signed)))
    shown = sdjwt.verify(text, KEY, sdjwt.Profile(), now=NOW, audience="v", nonce="n")
    assert shown.claims["name"] == RECORD["name"]


def test_a_signature_by_another_key_is_caught_before_it_is_shown():
    prepared = sdcwt.prepare(cwt(), audience="v", now=NOW)
    ready = sdjwt.prepare(jwt(), audience="v", nonce="n", now=NOW)
    for each in (prepared, ready):
        with pytest.raises(Refused) as caught:
            each.assemble(ISSUER.sign(each.to_be_signed))
        assert caught.value.reason == "signature.holder"


def test_several_names_may_mean_one_verifier():
    token = sdcwt.present(cwt(), DEVICE, audience="venue", now=NOW)
    for audience in ("venue", {"venue", "scene"}, ["scene", "venue"]):
        sdcwt.verify_kbt(token, KEY, sdcwt.Profile(), now=NOW, audience=audience)
    # A name is not a set of its letters, and no name at all accepts nothing.
    for audience in ("venue-2", "", (), {"v", "e"}):
        with pytest.raises(Refused):
            sdcwt.verify_kbt(token, KEY, sdcwt.Profile(), now=NOW, audience=audience)


def test_key_binding_needs_audience_and_nonce():
    token = sdjwt.present(jwt(), DEVICE, audience="v", nonce="n", now=NOW)
    with pytest.raises(TypeError):
        sdjwt.verify(token, KEY, sdjwt.Profile(), now=NOW)


@pytest.mark.parametrize("path", ["nothing", ("list", 7), ("address", "zip"), ("name", "x")])
def test_what_is_not_there_cannot_be_disclosed(path):
    with pytest.raises(ValueError, match="cannot disclose"):
        sdcwt.present(cwt(), DEVICE, audience="v", now=NOW, disclose=[path])
    with pytest.raises(ValueError, match="cannot disclose"):
        sdjwt.present(jwt(), DEVICE, audience="v", nonce="n", now=NOW, disclose=[path])


def test_a_part_brings_what_it_depends_on():
    shown = sdjwt.select(jwt(), [("address", "city")])
    facts = sdjwt.verify(shown, KEY, sdjwt.Profile(key_binding=False), now=NOW)
    assert facts.claims["address"] == RECORD["address"]
    assert facts.claims["list"] == []
    assert "name" not in facts.claims
    only = sdjwt.verify(sdjwt.select(jwt(), ["address"]), KEY, sdjwt.Profile(key_binding=False), now=NOW)
    assert only.claims["address"] == {"street": "1"}


def test_nothing_undisclosed_is_in_what_is_shown():
    for shown in (
        sdcwt.present(cwt(), DEVICE, audience="v", now=NOW, disclose=[("list", 1)]),
        sdjwt.present(jwt(), DEVICE, audience="v", nonce="n", now=NOW, disclose=[("list", 1)]).encode(),
    ):
        assert "喆".encode() not in shown
        assert "上海".encode() not in shown


@pytest.mark.parametrize("closed", [1, 3, 4, 5, 6, 7, 8, 39])
def test_an_issuer_cannot_redact_what_a_verifier_needs(closed):
    with pytest.raises(ValueError, match="never redacted"):
        cwt(disclosable=[closed])


@pytest.mark.parametrize("closed", sorted(sdjwt.NEVER_REDACTED))
def test_an_issuer_cannot_redact_what_a_verifier_needs_in_jwt(closed):
    with pytest.raises(ValueError, match="never redacted"):
        jwt(disclosable=[closed])


@pytest.mark.parametrize("record", [{"_sd": 1}, {"a": {"...": 1}}, {"a": [{"_sd": 1}]}])
def test_reserved_names_are_a_callers_mistake(record):
    with pytest.raises(ValueError, match="reserved"):
        sdjwt.issue(record, disclosable=[], signer=ISSUER)


def test_text_that_is_no_unicode_is_a_callers_mistake():
    for hidden in ([], ["x"]):
        with pytest.raises(ValueError):
            sdjwt.issue({"x": "\ud800"}, disclosable=hidden, signer=ISSUER)
        with pytest.raises(ValueError):
            sdcwt.issue({"x": "\ud800"}, disclosable=hidden, signer=ISSUER)
    with pytest.raises(ValueError):
        sdjwt.issue({"x": float("nan")}, disclosable=["x"], signer=ISSUER)


def test_every_salt_is_fresh():
    seen = set()
    for _ in range(20):
        parsed = sdcwt.parse(cwt(decoys=3), sdcwt.Profile())
        seen |= {decode_cbor(item, tags=frozenset((60,)), redacted=True)[0] for item in parsed.disclosures}
    assert len(seen) == 20 * (1 + 2 + 1 + 1 + 3)


def test_the_number_of_digests_can_be_made_equal():
    small = sdjwt.issue({"a": 1}, disclosable=["a"], signer=ISSUER, decoys=5)
    large = sdjwt.issue({"a": 1, "b": 2, "c": 3}, disclosable=["a", "b", "c"], signer=ISSUER, decoys=3)
    profile = sdjwt.Profile(key_binding=False, exp_required=False)
    counts = {len(sdjwt.parse(token, profile).unverified_claims["_sd"]) for token in (small, large)}
    assert counts == {6}


def test_a_compressed_key_is_33_bytes_less():
    full, small = (sdcwt.parse(cwt(compact=compact), sdcwt.Profile()) for compact in (False, True))
    assert len(full.sign1.payload) - len(small.sign1.payload) == 33
    facts = sdcwt.verify(cwt(compact=True), KEY, sdcwt.Profile(), now=NOW)
    assert facts.holder_key == DEVICE.public_key


def test_an_ed25519_device():
    token = sdcwt.present(cwt(holder_key=OTHER.public_key), OTHER, audience="v", now=NOW)
    facts = sdcwt.verify_kbt(token, KEY, sdcwt.Profile(), now=NOW, audience="v")
    assert facts.credential.holder_key == OTHER.public_key


def test_a_document_proves_content_only():
    token = jwt(typ=sdjwt.DOCUMENT_CREDENTIAL, holder_key=None)
    profile = sdjwt.Profile(typ=sdjwt.DOCUMENT_CREDENTIAL, key_binding=False)
    facts = sdjwt.verify(token, KEY, profile, now=NOW, issuer=ISS)
    assert facts.binding is None
    with pytest.raises(Refused):
        sdjwt.parse(token, sdjwt.Profile())
    with pytest.raises(Malformed):
        sdjwt.prepare(token, audience="v", nonce="n", now=NOW)


def test_status_and_type_are_facts():
    reference = StatusReference(idx=7, uri="https://sh.ewallet.example/status/1")
    token = cwt(vct="https://sh.ewallet.example/vct/x/1", status=reference)
    facts = sdcwt.verify(token, KEY, sdcwt.Profile(), now=NOW)
    assert (facts.vct, facts.status) == ("https://sh.ewallet.example/vct/x/1", reference)
    text = jwt(vct="https://sh.ewallet.example/vct/x/1", status=reference)
    shown = sdjwt.verify(text, KEY, sdjwt.Profile(key_binding=False), now=NOW)
    assert (shown.vct, shown.status) == (facts.vct, reference)


def test_a_remembered_signature_saves_only_the_signature():
    seen: set = set()
    token = cwt()
    facts = sdcwt.verify(token, KEY, sdcwt.Profile(), now=NOW, seen=seen)
    assert seen == {(KEY, facts.digest)}
    # Known bytes under another key are not known.
    with pytest.raises(Refused) as caught:
        sdcwt.verify(token, DEVICE.public_key, sdcwt.Profile(), now=NOW, seen=seen)
    assert caught.value.reason == "signature.issuer"
    # The rest is checked every time.
    with pytest.raises(Refused) as caught:
        sdcwt.verify(token, KEY, sdcwt.Profile(), now=datetime.fromtimestamp(T + 60, UTC), seen=seen)
    assert caught.value.reason == "credential.expired"
    bad = sdcwt.issue({4: T + 60, 6: T}, disclosable=[], signer=OTHER, holder_key=KEY)
    with pytest.raises(Refused):
        sdcwt.verify(bad, KEY, sdcwt.Profile(), now=NOW, seen=seen)
    assert len(seen) == 1


def test_reading_never_imports_pyjwt():
    code = (
        "import sys; import ewallet; from ewallet.formats import sdjwt, sdcwt, jose, statuslist; "
        "sys.exit('jwt' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.skipif(sm2.library() is None, reason="notice: no libcrypto with SM2 here")
def test_sm2_credentials_hash_with_sm3():
    issuer, device = SigningKey.generate("SM2SM3"), SigningKey.generate("SM2SM3")
    token = cwt(signer=issuer, holder_key=device.public_key, compact=True, decoys=2)
    assert sdcwt.parse(token, sdcwt.Profile()).sign1.protected[sdcwt.SD_ALG] == -65539
    shown = sdcwt.present(token, device, audience="v", now=NOW, disclose=["name", ("address", "city")])
    facts = sdcwt.verify_kbt(shown, issuer.public_key, sdcwt.Profile(), now=NOW, audience="v")
    assert facts.credential.claims["address"] == RECORD["address"]
    text = jwt(signer=issuer, holder_key=device.public_key, decoys=2)
    ready = sdjwt.present(text, device, audience="v", nonce="n", now=NOW, disclose=["name"])
    found = sdjwt.verify(ready, issuer.public_key, sdjwt.Profile(), now=NOW, audience="v", nonce="n")
    assert found.claims["name"] == RECORD["name"]
    assert sdjwt.parse(ready, sdjwt.Profile()).unverified_claims["_sd_alg"] == "sm3"
