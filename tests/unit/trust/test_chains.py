"""A listed CA certificate leads to the entity's keys; a listed leaf stays what it was."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ewallet.errors import Refused
from ewallet.formats import sdjwt
from ewallet.formats.statuslist import StatusReference
from ewallet.keys import PublicKey, SigningKey
from ewallet.trust import Service, Trust, lists
from ewallet.trust.image import image_of_list
from ewallet.trust.lote import from_document, to_document, to_json
from ewallet.verify.policy import Policy
from ewallet.verify.replay import MemoryGuard
from ewallet.verify.sources import StatusDirectory
from ewallet.verify.verifier import Verifier
from tests.province import START, World
from tests.unit.keys.test_x509 import CA_USE, name, swap_key

NOW = START + timedelta(hours=1)


def certificate(subject, key, issuer, issuer_key, *, ca=False, uri=""):
    use = CA_USE if ca else CA_USE | {"digital_signature": True, "key_cert_sign": False}
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(START - timedelta(days=1))
        .not_valid_after(START + timedelta(days=365))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**use), critical=True)
    )
    if uri:
        names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(issuer_key, SHA256()).public_bytes(Encoding.DER)


def chain(suite, uri):
    """Leaf and CA certificate."""
    leaf_key, ca_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    made = [
        certificate("leaf", leaf_key, "authority", ca_key, uri=uri),
        certificate("authority", ca_key, "authority", ca_key, ca=True),
    ]
    if suite == "SM2SM3":
        leaf, authority = (SigningKey.generate(suite) for _ in range(2))
        made = [swap_key(made[0], authority, leaf), swap_key(made[1], authority, authority)]
    return made


@pytest.fixture
def world(tmp_path):
    return World(tmp_path, ("31", "32"))


def listed_with(world, authority, der, change=lambda listing: listing):
    listing = world.consortium.listings["31"]
    grant = world.consortium.everything("31", start=START)
    listing = lists.with_service(
        listing,
        authority.uri,
        Service.LICENSES,
        key=PublicKey.from_x509(der),
        certificate=der,
        grants=(grant,),
        now=START,
    )
    again = from_document(to_json(to_document(change(listing))))
    return Trust(image_of_list(again, signed_at=START))


@pytest.mark.parametrize("suite", ["ES256", "SM2SM3"])
def test_a_leaf_leads_to_the_entity_that_lists_its_authority(world, suite):
    market = world.authority(services=(Service.STATUS,))
    leaf, authority = chain(suite, market.uri)
    trust = listed_with(world, market, authority)
    (found,) = trust.chained(Service.LICENSES, [leaf], iss=market.uri, now=NOW)
    assert (found.key, found.entity.uri) == (PublicKey.from_x509(leaf), market.uri)
    assert trust.chained(Service.LICENSES, [leaf, authority], iss=market.uri, now=NOW) == (found,)
    trust.decide(found, type="11310000", region="310115", signed_at=NOW, now=NOW)
    assert trust.require(Service.LICENSES, kid=found.key.kid, iss=market.uri, now=NOW, chain=[leaf]) == (
        found,
    )
    with pytest.raises(Refused, match=r"issuer\.key_unknown"):
        trust.require(Service.LICENSES, kid=found.key.kid, iss=market.uri, now=NOW)


@pytest.mark.parametrize("suite", ["ES256", "SM2SM3"])
def test_what_does_not_lead_there_finds_nothing(world, suite):
    market = world.authority(services=(Service.STATUS,))
    leaf, authority = chain(suite, market.uri)
    foreign, _ = chain(suite, market.uri)
    other_name, same_authority = chain(suite, "https://sh.ewallet.example/a/other")
    trust = listed_with(world, market, authority)
    year = timedelta(days=400)
    for service, certificates, iss, now in (
        (Service.LICENSES, [foreign], market.uri, NOW),
        (Service.LICENSES, [leaf[:-1] + bytes((leaf[-1] ^ 1,))], market.uri, NOW),
        (Service.LICENSES, [leaf], "https://sh.ewallet.example/a/other", NOW),
        (Service.STATUS, [leaf], market.uri, NOW),
        (Service.LICENSES, [leaf], market.uri, NOW + year),
        (Service.LICENSES, [authority], market.uri, NOW),
        (Service.LICENSES, [b"junk"], market.uri, NOW),
        (Service.LICENSES, [], market.uri, NOW),
    ):
        assert trust.chained(service, certificates, iss=iss, now=now) == ()
    renamed = listed_with(world, market, same_authority)
    assert renamed.chained(Service.LICENSES, [other_name], iss=market.uri, now=NOW) == ()


def test_a_compromised_authority_ends_its_leaves(world):
    market = world.authority(services=(Service.STATUS,))
    leaf, authority = chain("ES256", market.uri)
    kid = PublicKey.from_x509(authority).kid

    def compromise(listing):
        return lists.compromised(listing, market.uri, Service.LICENSES, kid=kid, since=START, now=NOW)

    trust = listed_with(world, market, authority, compromise)
    (found,) = trust.chained(Service.LICENSES, [leaf], iss=market.uri, now=NOW)
    with pytest.raises(Refused, match=r"issuer\.key_not_valid_then"):
        trust.decide(found, type="11310000", region="310115", signed_at=NOW, now=NOW)


def test_a_leaf_that_is_listed_itself_leads_to_no_other(world):
    market = world.authority(services=(Service.STATUS,))
    leaf, _ = chain("ES256", market.uri)
    trust = listed_with(world, market, leaf)
    key = PublicKey.from_x509(leaf)
    (found,) = trust.keys(Service.LICENSES, kid=key.kid, iss=market.uri)
    assert (found.key, found.authority) == (key, b"")
    assert trust.chained(Service.LICENSES, [leaf], iss=market.uri, now=NOW) == ()


@pytest.mark.parametrize("listed", [True, False], ids=["listed", "foreign"])
def test_a_document_that_carries_its_chain_at_a_counter(world, tmp_path, listed):
    market = world.authority(services=(Service.STATUS,))
    leaf_key, ca_key, other_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
    leaf = certificate("leaf", leaf_key, "authority", ca_key, uri=market.uri)
    ca = certificate("authority", ca_key, "authority", ca_key, ca=True)
    other = certificate("authority", other_key, "authority", other_key, ca=True)
    trust = listed_with(world, market, ca if listed else other)
    pem = leaf_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    at = int(NOW.timestamp())
    token = sdjwt.issue(
        {"iss": market.uri, "iat": at, "authority": "示例机关", "area": "310115", "name": "示例"},
        disclosable=["name"],
        signer=SigningKey.from_pem(pem, None),
        typ=sdjwt.DOCUMENT_CREDENTIAL,
        vct="https://ewallet.example/vct/11100000MB0143028R001/1",
        status=StatusReference(idx=1, uri=market.status_prefix + "1"),
        x5c=[leaf],
    )
    verifier = Verifier(
        trust=trust,
        policy=Policy.content(province="31"),
        status=StatusDirectory(tmp_path),
        replay=MemoryGuard(started=START),
    )
    found = verifier.verify(token, now=NOW)
    # Genuine through the chain; what is not at hand here is only its status list.
    assert found.reason.code == ("status.unavailable" if listed else "issuer.key_unknown"), found.checks
    assert (found.facts is not None) == listed
