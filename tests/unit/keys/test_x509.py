"""Certificate chains: SM2 by our own path, ES256 by `cryptography`; what does not hold is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from ewallet.errors import KeyMaterialError
from ewallet.keys import SigningKey, der, keyfile
from ewallet.keys.suites import SM2SM3
from ewallet.keys.x509 import verify_chain

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


CA_USE = {
    "digital_signature": False,
    "content_commitment": False,
    "key_encipherment": False,
    "data_encipherment": False,
    "key_agreement": False,
    "key_cert_sign": True,
    "crl_sign": True,
    "encipher_only": False,
    "decipher_only": False,
}


def certificate(subject, issuer, key, issuer_key, *, ca, path=None, use=None, critical=None, days=365):
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=path), critical=True)
        .add_extension(
            x509.KeyUsage(
                **(use or (CA_USE if ca else CA_USE | {"digital_signature": True, "key_cert_sign": False}))
            ),
            critical=True,
        )
    )
    if critical:
        builder = builder.add_extension(
            x509.UnrecognizedExtension(x509.ObjectIdentifier(critical), b"\x05\x00"), critical=True
        )
    return builder.sign(issuer_key, SHA256())


def encoded(*certificates):
    return [item.public_bytes(Encoding.DER) for item in certificates]


def p256_chain(**changes):
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(3)]
    return [
        certificate("leaf", "middle", keys[0], keys[1], ca=False, **changes.get("leaf", {})),
        certificate(
            "middle", "root", keys[1], keys[2], **{"ca": True, "path": 0, **changes.get("middle", {})}
        ),
        certificate("root", "root", keys[2], keys[2], ca=True, **changes.get("root", {})),
    ], keys


def swap_key(data, key, subject_key):
    """The certificate with another key in it, signed with SM2."""
    outer = der.single(data)
    fields = []
    body = outer.inner()
    while body.tag is not None:
        fields.append(body.raw())
    algorithm = der.item(der.SEQUENCE, der.item(der.OID, bytes.fromhex("2a811ccf55018375")))
    fields[2] = algorithm
    fields[6] = keyfile.public_der(SM2SM3, subject_key.public_key.raw)
    tbs = der.item(der.SEQUENCE, *fields)
    signature = key.sign(tbs)
    numbers = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    return der.item(der.SEQUENCE, tbs, algorithm, der.bit_string(der.write_signature(*numbers)))


def sm2_chain(**changes):
    plain, _ = p256_chain(**changes)
    keys = [SigningKey.generate("SM2SM3") for _ in range(3)]
    issuers = [keys[1], keys[2], keys[2]]
    return [
        swap_key(data, issuer, key) for data, issuer, key in zip(encoded(*plain), issuers, keys, strict=True)
    ], keys


@pytest.fixture
def published(vectors_dir):
    def read(file):
        text = (vectors_dir / "sm2" / "x509" / f"{file}.pem").read_bytes()
        return keyfile.pem_blocks(text)[0][1]

    return read


def test_published_sm2_chain_of_three_levels(published):
    chain = [published("leaf"), published("intermediate")]
    key = verify_chain(chain, anchors=[published("root")], now=NOW)
    assert key.suite.name == "SM2SM3"
    assert verify_chain([*chain, published("root")], anchors=[published("root")], now=NOW) == key


@pytest.mark.parametrize("leaf", ["leaf_empty_id", "leaf_other_id"])
def test_certificates_signed_under_another_identifier_are_refused(published, leaf):
    with pytest.raises(KeyMaterialError, match="signature"):
        verify_chain([published(leaf), published("intermediate")], anchors=[published("root")], now=NOW)


@pytest.mark.parametrize("year", [2023, 2050])
def test_published_chain_outside_its_dates(published, year):
    with pytest.raises(KeyMaterialError):
        verify_chain(
            [published("leaf"), published("intermediate")],
            anchors=[published("root")],
            now=datetime(year, 1, 1, 12, tzinfo=UTC),
        )


def test_missing_and_foreign_links(published):
    root, leaf = published("root"), published("leaf")
    other, _ = sm2_chain()
    for chain, anchors in (
        ([leaf], [root]),
        ([leaf, published("intermediate")], [other[2]]),
        ([leaf, other[1]], [root]),
        ([published("intermediate")], [root]),
        ([leaf] * 5, [root]),
        ([], [root]),
        ([b"\x30\x00"], [root]),
    ):
        with pytest.raises(KeyMaterialError):
            verify_chain(chain, anchors=anchors, now=NOW)
    with pytest.raises(ValueError):
        verify_chain([leaf], anchors=[], now=NOW)
    with pytest.raises(ValueError):
        verify_chain([leaf], anchors=[root], now=NOW.replace(tzinfo=None))


def make(kind, **changes):
    if kind == "sm2":
        chain, keys = sm2_chain(**changes)
        return chain, keys[0].public_key.raw
    chain, keys = p256_chain(**changes)
    numbers = keys[0].public_key().public_numbers()
    return encoded(*chain), numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")


@pytest.mark.parametrize("kind", ["sm2", "p256"])
def test_made_chain_holds_and_every_flipped_bit_of_the_signed_part_breaks_it(kind):
    chain, raw = make(kind)
    assert verify_chain(chain[:2], anchors=chain[2:], now=NOW).raw == raw
    size = len(chain[0])
    for position in range(0, size, 7):
        broken = bytearray(chain[0])
        broken[position] ^= 1 << position % 8
        with pytest.raises(KeyMaterialError):
            verify_chain([bytes(broken), chain[1]], anchors=chain[2:], now=NOW)


FAULTS = {
    "middle is no CA": {"middle": {"ca": False, "path": None, "use": CA_USE}},
    "middle may not sign certificates": {
        "middle": {"use": CA_USE | {"key_cert_sign": False, "digital_signature": True}}
    },
    "root allows no intermediate": {"root": {"path": 0}},
    "leaf may not sign": {"leaf": {"use": CA_USE | {"key_cert_sign": False, "key_agreement": True}}},
    "critical extension unknown, leaf": {"leaf": {"critical": "1.3.6.1.4.1.99999.1"}},
    "critical extension unknown, middle": {"middle": {"critical": "1.3.6.1.4.1.99999.1"}},
    "leaf expired": {"leaf": {"days": 0}},
    "middle expired": {"middle": {"days": 0}},
}


@pytest.mark.parametrize("kind", ["sm2", "p256"])
@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_refused(kind, fault):
    chain, _ = make(kind, **FAULTS[fault])
    with pytest.raises(KeyMaterialError):
        verify_chain(chain[:2], anchors=chain[2:], now=NOW + timedelta(hours=1))
