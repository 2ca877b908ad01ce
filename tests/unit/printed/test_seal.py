from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ewallet import wire
from ewallet.errors import Malformed, Refused
from ewallet.formats import cose, text
from ewallet.keys import SigningKey
from ewallet.licenses import seal as seals
from ewallet.licenses.seal import Role, make_seal, parse_seal, verify_seal

NOW = datetime(2026, 11, 23, 5, tzinfo=UTC)
SHAPES = list(
    product(
        (None, 1_900_000_000),
        ("", "沪A-1"),
        ("https://sh.ewallet.example/s/1", "https://cdn.example/s/1", "urn:x"),
        (None, "another form"),
    )
)


@pytest.fixture
def sealed(content, make_copy):
    return make_copy(content).seal


@pytest.fixture
def seal(sealed):
    return parse_seal(sealed).unverified


def test_what_is_sealed_comes_back(seal, sealed, authority):
    assert verify_seal(parse_seal(sealed), authority.public_key, now=NOW) == seal
    assert seal.fields == {"name": "上海喆祎堃昇𬭎信息科技有限公司", "legal_representative": "王**"}
    assert seal.status.uri == "https://sh.ewallet.example/status/licenses/1"


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_round_trips(seal, authority, shape):
    expires, stock, uri, identifier = shape
    shaped = replace(
        seal,
        expires=expires,
        stock=stock,
        role=Role.DUPLICATE,
        number=2,
        of=3,
        status=replace(seal.status, uri=uri),
        identifier=identifier or seal.identifier,
    )
    assert verify_seal(parse_seal(make_seal(shaped, authority)), authority.public_key, now=NOW) == shaped


def test_the_identifier_is_packed(seal):
    packed = seals.pack_identifier(seal.identifier)
    assert isinstance(packed, bytes)
    assert len(packed) < 42
    assert seals.unpack_identifier(packed, seal.version) == seal.identifier


@given(st.binary(max_size=60))
def test_no_packed_identifier_crashes(packed):
    try:
        identifier = seals.unpack_identifier(packed, 1)
    except Malformed:
        return
    assert seals.pack_identifier(identifier) == packed


def test_another_key_is_refused(sealed):
    with pytest.raises(Refused) as caught:
        verify_seal(parse_seal(sealed), SigningKey.generate("ES256").public_key, now=NOW)
    assert caught.value.reason == "signature.issuer"


def test_no_changed_bit_verifies(sealed, authority):
    _, data = text.decode(sealed)
    for bit in range(len(data) * 8):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(Refused):
            verify_seal(parse_seal(text.encode("EWS", bytes(changed))), authority.public_key, now=NOW)


def test_a_seal_from_the_future_is_refused(sealed, authority):
    with pytest.raises(Refused) as caught:
        verify_seal(parse_seal(sealed), authority.public_key, now=NOW - timedelta(days=1))
    assert caught.value.reason == "code.from_future"


def test_an_ended_license_has_a_genuine_seal_that_has_ended(seal, authority):
    ended = replace(seal, expires=int(NOW.timestamp()))
    facts = verify_seal(parse_seal(make_seal(ended, authority)), authority.public_key, now=NOW)
    facts.check_dates(NOW - timedelta(seconds=1))
    with pytest.raises(Refused) as caught:
        facts.check_dates(NOW)
    assert caught.value.reason == "license.expired"


def test_another_kind_of_code_is_no_seal():
    with pytest.raises(Malformed) as caught:
        parse_seal(text.encode("EWP", b"abc"))
    assert caught.value.reason == "code.unreadable"


@pytest.mark.parametrize(
    "change",
    [
        {"a": "310115"},
        {"a": 1_000_000},
        {"v": 0},
        {"v": True},
        {"c": [0, 2, 1]},
        {"c": [2, 1, 1]},
        {"c": [0, 1]},
        {"n": ""},
        {"s": bytes(15)},
        {"h": bytes(31)},
        {"f": {"name": 1}},
        {"f": {str(n): "" for n in range(7)}},
        {"t": [1]},
        {"t": [1, 2]},
        {"t": [-1, "/s"]},
        {"t": [1, "https://sh.ewallet.example/s/1"]},
        {"i": b"\x00"},
        {"i": 5},
        {"x": 1},
    ],
)
def test_claims_out_of_form_are_refused(sealed, authority, change):
    claims = dict(parse_seal(sealed).cwt.unverified_claims) | change
    with pytest.raises(Malformed):
        parse_seal(text.encode("EWS", cose.issue_cwt(claims, authority, typ=seals.TYP)))


@pytest.mark.parametrize("missing", ["a", "i", "v", "c", "s", "h", "f", "t", 1, 6])
def test_a_missing_claim_is_refused(sealed, authority, missing):
    claims = dict(parse_seal(sealed).cwt.unverified_claims)
    del claims[missing]
    with pytest.raises(Malformed):
        parse_seal(text.encode("EWS", cose.issue_cwt(claims, authority, typ=seals.TYP)))


def test_the_makers_mistakes_are_his_errors(seal, authority):
    with pytest.raises(ValueError, match="critical"):
        make_seal(replace(seal, fields={str(n): "" for n in range(7)}), authority)
    with pytest.raises(ValueError, match="salt"):
        make_seal(replace(seal, salt=b""), authority)


def test_a_seal_of_a_company_stays_below_500_bytes(sealed):
    assert len(wire.b32decode(sealed[3:])) < 500


def test_a_photocopy_is_never_claimed_to_be_an_original():
    assert "复印" in seals.PHOTOCOPY_NOTICE["zh"]
    assert "photocopy" in seals.PHOTOCOPY_NOTICE["en"]
