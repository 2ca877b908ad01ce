from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from ewallet.errors import Malformed, Refused
from ewallet.formats import cose, sdjwt
from ewallet.keys import SigningKey
from ewallet.licenses import edition as editions
from ewallet.licenses.edition import make_edition, verify_edition
from ewallet.licenses.printed import PrintOrder
from ewallet.licenses.render import Content, render
from ewallet.licenses.seal import parse_seal
from ewallet.licenses.sheet import examine, read_sheet

NOW = datetime(2026, 11, 23, 4, tzinfo=UTC)
DOCUMENT = sdjwt.Profile(typ=sdjwt.DOCUMENT_CREDENTIAL, exp_required=False, key_binding=False)


@pytest.fixture
def issued(issue):
    return issue(printed=PrintOrder(duplicates=1, stock=("SH-1", "SH-2")))


@pytest.fixture
def digest(issued):
    return sdjwt.parse(issued.document, DOCUMENT).digest


@pytest.fixture
def statement(issued, authority, digest):
    return make_edition(issued.license, issued.printed, authority, document_digest=digest, now=NOW)


def test_an_auditor_needs_no_register(statement, issued, authority, digest):
    edition = verify_edition(statement, authority.public_key, now=NOW)
    assert edition.identifier == issued.license.identifier
    assert [copy.stock for copy in edition.copies] == ["SH-1", "SH-2"]
    edition.check_face(issued.license.face, authority.public_key)
    edition.check_document(digest)
    for copy in issued.printed:
        assert edition.copy_of(parse_seal(copy.seal)).stock == copy.stock


def test_what_is_not_of_this_edition_is_refused(statement, authority, issue, issued):
    edition = verify_edition(statement, authority.public_key, now=NOW)
    other = issue(place=2, printed=PrintOrder())
    for check in (
        lambda: edition.check_face(other.license.face, authority.public_key),
        lambda: edition.check_document(bytes(32)),
        lambda: edition.copy_of(parse_seal(other.printed[0].seal)),
    ):
        with pytest.raises(Refused) as caught:
            check()
        assert caught.value.reason == "printed.differs"
    with pytest.raises(ValueError, match="another version"):
        make_edition(issued.license, other.printed, authority, document_digest=bytes(32), now=NOW)


def test_marks_that_contradict_the_statement_are_refused(statement, authority, issued):
    edition = verify_edition(statement, authority.public_key, now=NOW)
    altered = replace(edition, copies=tuple(replace(copy, stock="SH-9") for copy in edition.copies))
    with pytest.raises(Refused):
        altered.copy_of(parse_seal(issued.printed[0].seal))


def test_no_changed_bit_verifies(statement, authority):
    for bit in range(0, len(statement) * 8, 3):
        changed = bytearray(statement)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(Refused):
            verify_edition(bytes(changed), authority.public_key, now=NOW)


def test_another_key_and_the_future_are_refused(statement, authority):
    with pytest.raises(Refused, match=r"signature\.issuer"):
        verify_edition(statement, SigningKey.generate("ES256").public_key, now=NOW)
    with pytest.raises(Refused, match=r"code\.from_future"):
        verify_edition(statement, authority.public_key, now=NOW - timedelta(days=1))


@pytest.mark.parametrize(
    "change",
    [
        {"v": 0}, {"s": b""}, {"h": b""}, {"d": bytes(31)}, {"i": 1}, {"c": {}}, {"c": [[0, 1, 1, "x"]]},
        {"c": [[2, 1, 1, "x", bytes(32)]]}, {"c": [[0, 2, 1, "x", bytes(32)]]}, {"x": 1},
    ],
)  # fmt: skip
def test_claims_out_of_form_are_refused(statement, authority, change):
    claims = dict(editions.parse_edition(statement)[0].unverified_claims) | change
    with pytest.raises(Malformed):
        verify_edition(cose.issue_cwt(claims, authority, typ=editions.TYP), authority.public_key, now=NOW)


def test_a_sheet_is_drawn_afresh_from_its_own_credential(issued, catalog, faces, authority):
    type_ = catalog["business-license"]
    pdf = render(Content.of(issued.license, type_), issued.printed[1], faces=faces)
    sheet = read_sheet(pdf)
    verified = sdjwt.verify(sheet.credential, authority.public_key, DOCUMENT, now=NOW)
    content = Content.of_claims(verified.claims, type_, sheet.credential)
    examination = examine(sheet, content, faces=faces)
    assert examination.differences == ()
    assert content == Content.of(issued.license, type_)
    with pytest.raises(Malformed):
        Content.of_claims({"name": "x"}, type_, "")


def test_the_day_of_issue_stands_on_every_face(catalog):
    for type_ in catalog:
        assert type_.by_key[type_.validity.issued].face, type_.key
