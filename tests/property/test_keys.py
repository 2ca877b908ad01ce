"""Keys under any input: round trips, no flipped bit verifies, nothing foreign raises what it should not."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ewallet.errors import KeyMaterialError
from ewallet.keys import HYBRID, SUITES, PublicKey, SigningKey, der, keyfile, raw_signature

SIGNING = ["ES256", "Ed25519", "SM2SM3"]
KEYS = {name: SigningKey.generate(name) for name in [*SIGNING, HYBRID.name]}
names = st.sampled_from(SIGNING)


@given(name=st.sampled_from([*SIGNING, HYBRID.name]), message=st.binary(max_size=300), bit=st.integers(0))
@settings(max_examples=60, deadline=None)
def test_one_flipped_bit_never_verifies(name, message, bit):
    key = KEYS[name]
    signature = key.sign(message)
    assert key.public_key.verify(signature, message)
    place = bit % (8 * len(signature))
    flipped = (int.from_bytes(signature, "big") ^ 1 << place).to_bytes(len(signature), "big")
    assert not key.public_key.verify(flipped, message)


@given(name=st.sampled_from(list(SUITES)), signature=st.binary(max_size=120), message=st.binary(max_size=40))
@settings(deadline=None)
def test_verify_answers_any_bytes(name, signature, message):
    key = KEYS[name].public_key if name in KEYS else P384
    assert key.verify(signature, message) is False
    assert (
        key.verify(signature.ljust(key.suite.signature_size, b"\1")[: key.suite.signature_size], message)
        is False
    )


P384 = PublicKey(
    "ES384",
    bytes.fromhex(
        "aa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a385502f25dbf55296c3a545e3872760ab7"
        "3617de4a96262c6f5d9e98bf9292dc29f8f41dbd289a147ce9da3113b5f0b8c00a60b1ce1d7e819d7a431d7c90ea0e5f"
    ),
)


@given(name=names, secret=st.binary(min_size=32, max_size=32))
@settings(max_examples=40, deadline=None)
def test_any_key_survives_every_form(name, secret):
    try:
        key = SigningKey(name, secret)
    except KeyMaterialError:
        return
    public = key.public_key
    assert PublicKey.from_jwk(public.to_jwk()) == public
    assert PublicKey.from_cose(public.to_cose()) == public
    assert PublicKey.from_cose(public.to_cose_compressed()) == public
    assert PublicKey.from_der(public.to_der()) == public
    assert keyfile.read_private_der(keyfile.private_der(public.suite, secret, public.raw)) == (
        public.suite,
        secret,
    )


foreign = st.recursive(
    st.none() | st.booleans() | st.integers(-70000, 70000) | st.text(max_size=50) | st.binary(max_size=70),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)


@given(
    key=st.dictionaries(
        st.sampled_from(["kty", "crv", "x", "y", "alg", "use", "key_ops", "d", 1, 3, 4, -1, -2, -3, -4]),
        foreign,
    ),
    base=st.sampled_from([{}, *(KEYS[name].public_key.to_jwk() for name in SIGNING)]),
    cose=st.sampled_from([{}, *(KEYS[name].public_key.to_cose() for name in SIGNING)]),
)
@settings(max_examples=300)
def test_foreign_keys_are_read_or_refused(key, base, cose):
    for read, given_ in ((PublicKey.from_jwk, {**base, **key}), (PublicKey.from_cose, {**cose, **key})):
        try:
            assert read(given_).suite.name in SUITES
        except KeyMaterialError:
            continue


@given(data=st.binary(max_size=200))
def test_foreign_der_is_read_or_refused(data):
    suite = SUITES["ES256"]
    for read in (
        PublicKey.from_der,
        PublicKey.from_x509,
        keyfile.read_private_der,
        der.read_signature,
        lambda given_: keyfile.decrypt(given_, b"pw"),
        lambda given_: raw_signature(given_ + b"\0" * 70, suite),
        PublicKey.from_pem,
    ):
        with pytest.raises(KeyMaterialError):
            read(data)


@given(r=st.integers(0, 2**256 - 1), s=st.integers(0, 2**256 - 1))
def test_signatures_survive_der(r, s):
    assert der.read_signature(der.write_signature(r, s)) == (r, s)
