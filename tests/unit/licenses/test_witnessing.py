"""Statements of another entity, made when something is signed."""

from __future__ import annotations

import zipfile
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from ewallet.errors import Malformed, RegisterError
from ewallet.formats import cose, sdjwt, text
from ewallet.keys import SigningKey
from ewallet.licenses import archive, seal, tables, witnessing
from ewallet.licenses.issuer import Issuer, Order
from ewallet.licenses.printed import PrintOrder
from ewallet.trust.statements import KeyWitness, digest_of, load_proofs, make_statement, read_digest
from tests.agency import CATALOG, NOW, record

LATER = NOW + timedelta(hours=1)
REGISTRY = "https://sh.ewallet.example/a/registry"


class Counting:
    """A witness that says how often it was asked, and may misbehave."""

    iss = REGISTRY

    def __init__(self, change=lambda found: found):
        self.key = SigningKey.generate()
        self.asked = []
        self.change = change

    def state(self, digests, *, now):
        self.asked.append(len(digests))
        return self.change(KeyWitness(signer=self.key, iss=self.iss).state(digests, now=now))


def witnessed(agency, witness, key=None):
    return Issuer(
        signer=key or agency.key,
        status_signer=agency.status_key,
        catalog=CATALOG,
        register=agency.register,
        authority=agency.issuer.authority,
        witness=witness,
    )


def about(agency, issued):
    return witnessing.statements_of(agency.register, issued.license.identifier)


def seal_digest(copy):
    return digest_of(text.decode(copy.seal)[1])


def test_everything_signed_is_stated_in_one_question_for_each_batch(agency):
    witness = Counting()
    issuer = witnessed(agency, witness)
    orders = [
        Order(record=record("business-license", n), printed=PrintOrder(originals=1, duplicates=1))
        for n in (1, 2)
    ]
    first, second = issuer.issue_many(orders, type="business-license", now=NOW)
    assert witness.asked == [6]
    expected = {digest_of(first.document), *map(seal_digest, first.printed)}
    found = about(agency, first)
    assert set(found) == expected
    assert not expected & set(about(agency, second))
    for digest, (statement,) in found.items():
        assert read_digest(statement) == (REGISTRY, digest)

    device = SigningKey.generate()
    bound = issuer.bind(first.license, 0, device.public_key, agency.proof(device), now=NOW)
    amended = issuer.amend(first.license, {"address": "新址"}, reason="moved", now=LATER)
    copies = issuer.print_copies(
        amended.license, PrintOrder(originals=0, duplicates=1), reason="asked", now=LATER
    )
    assert witness.asked == [6, 2, 1, len(copies)]
    expected |= {digest_of(bound.sd_jwt), digest_of(bound.sd_cwt), digest_of(amended.document)}
    assert set(about(agency, amended)) == expected | set(map(seal_digest, copies))


def test_the_digest_is_the_one_that_a_verifier_computes(agency):
    issued = witnessed(agency, Counting()).issue(
        record("business-license"), type="business-license", printed=PrintOrder(originals=1), now=NOW
    )
    profile = cose.Profile(typ=seal.TYP, exp_required=False)
    parsed = cose.parse_cwt(text.decode(issued.printed[0].seal)[1], profile)
    document = sdjwt.parse(
        issued.document,
        sdjwt.Profile(
            typ=sdjwt.DOCUMENT_CREDENTIAL,
            key_binding=False,
            exp_required=False,
            open_claims=frozenset(("authority", "area")),
        ),
    )
    assert set(about(agency, issued)) == {parsed.digest, document.digest}
    for junk in (b"", b"\x80", b"\xd2\x84\x01\x02\x03\x04"):
        with pytest.raises(Malformed):
            digest_of(junk)


def test_a_document_signed_anew_is_stated_anew(agency):
    issued = agency.issue()
    issuer = witnessed(agency, Counting(), SigningKey.generate())
    assert issuer.resign_due(now=LATER) == 1
    document = agency.register.license(issued.license.identifier).document
    assert set(about(agency, issued)) == {digest_of(document)} != {digest_of(issued.document)}


def test_without_a_witness_nothing_is_stated(agency):
    assert about(agency, agency.issue()) == {}


@pytest.mark.parametrize(
    "change",
    [
        lambda found: [],
        lambda found: [b"junk"],
        lambda found: [make_statement(bytes(32), signer=SigningKey.generate(), iss=REGISTRY, now=NOW)],
        lambda found: [
            make_statement(read_digest(found[0])[1], signer=SigningKey.generate(), iss="https://x/", now=NOW)
        ],
    ],
    ids=["none", "junk", "another-digest", "another-maker"],
)
def test_nothing_is_issued_without_the_right_statement(agency, change):
    issuer = witnessed(agency, Counting(change))
    with pytest.raises(RegisterError, match="witness"):
        issuer.issue(record("business-license"), type="business-license", now=NOW)
    with agency.register.reading() as connection:
        assert connection.execute(select(func.count()).select_from(tables.license_)).scalar() == 0


def test_an_authority_does_not_witness_itself(agency):
    with pytest.raises(ValueError, match="witness"):
        witnessed(agency, KeyWitness(signer=SigningKey.generate(), iss=agency.issuer.authority.uri))


def test_statements_leave_with_the_archive_and_for_a_counter(agency, tmp_path):
    issued = witnessed(agency, Counting()).issue(
        record("business-license"), type="business-license", printed=PrintOrder(originals=1), now=NOW
    )
    found = about(agency, issued)
    assert witnessing.hand_out(agency.register, [issued.license.identifier], tmp_path / "proofs") == 2
    assert load_proofs(tmp_path / "proofs") == found
    file = archive.write_package(
        agency.register,
        issued.license.identifier,
        tmp_path / "package.zip",
        catalog=CATALOG,
        signer=agency.key,
        now=LATER,
    )
    archive.check_package(file.read_bytes())
    with zipfile.ZipFile(file) as package:
        package.extractall(tmp_path / "out")
    assert load_proofs(tmp_path / "out" / witnessing.PLACE) == found
