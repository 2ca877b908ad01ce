"""Asks, consents and statements: each good for exactly what it says."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from hashlib import sha256

import pytest

from ewallet.errors import Refused
from ewallet.keys import SigningKey
from ewallet.licenses.asking import (
    Ask,
    Code,
    make_ask,
    make_consent,
    read_consent,
    verify_ask,
    verify_statement,
)
from ewallet.licenses.render import Faces
from ewallet.licenses.sharing import LegalBasis, Supplier, UseLog
from ewallet.moments import day_of
from ewallet.trust.entries import Service
from tests.town import NOW, RECORDS, Town

LAW = LegalBasis(
    id="law",
    zh="示例条例",
    en="Example act",
    types=frozenset(("business-license",)),
    matters=frozenset(("*",)),
)
PURPOSE = "办理示例事项"


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    made = Town(tmp_path_factory.mktemp("town"))
    made.held = made.hold("business-license")
    made.trust = made.publish()
    office = made.offices["31/market"]
    made.uses = UseLog(office.register)
    made.supplier = Supplier(issuer=office.issuer, faces=Faces.builtin(), uses=made.uses, bases={"law": LAW})
    yield made
    made.close()


def ask(town, **changes) -> Ask:
    given = Ask(
        type="business-license",
        holder=RECORDS["business-license"]["uscc"],
        recipient=town.verifying.uri,
        organization="示例政务大厅",
        operator="clerk-1",
        position="https://sh.ewallet.example/v/1",
        matter="M-1",
        matter_name="示例事项",
        case="C-1",
        purpose=PURPOSE,
        region="31",
        until=day_of(NOW) + timedelta(days=5),
        basis="law",
    )
    return replace(given, **changes)


def consent(town, device=None, **changes) -> bytes:
    given = {
        "identifier": town.held.issued.license.identifier,
        "recipient": town.verifying.uri,
        "matter": "M-1",
        "case": "C-1",
        "purpose": PURPOSE,
        "now": NOW,
        **changes,
    }
    return make_consent(device or town.held.device, **given)


def supply(town, asked: Ask):
    key = town.verifying.signer(Service.VERIFY).public_key
    listed = town.trust.keys(Service.VERIFY, kid=key.kid, iss=town.verifying.uri)
    return town.supplier.supply(asked, listed, town.trust, now=NOW)


def sent(town, *, signer=None, issuer="", to="", now=NOW, **changes) -> bytes:
    office = town.offices["31/market"].listed
    return make_ask(
        ask(town, **changes),
        signer or town.verifying.signer(Service.VERIFY),
        issuer=issuer or town.verifying.uri,
        to=to or office.uri,
        now=now,
    )


def reason(work) -> str:
    with pytest.raises(Refused) as refused:
        work()
    return refused.value.reason


def test_an_ask_is_verified_by_the_lists(town):
    market = town.offices["31/market"].listed.uri
    checked = verify_ask(sent(town), town.trust, to=market, now=NOW)
    assert checked.asker.entity.uri == town.verifying.uri
    assert checked.ask == ask(town)
    foreign = town.offices["32/market"].listed.uri
    for token, expected in (
        (sent(town, to="https://sh.ewallet.example/a/other"), "code.audience"),
        (sent(town, signer=SigningKey.generate()), "verifier.unknown"),
        (sent(town, now=NOW - timedelta(minutes=10)), "code.expired"),
        (sent(town, now=NOW + timedelta(minutes=10)), "code.from_future"),
        (sent(town, recipient=foreign), "verifier.not_granted"),
        (sent(town, issuer=foreign), "verifier.unknown"),
    ):
        assert reason(lambda token=token: verify_ask(token, town.trust, to=market, now=NOW)) == expected


def test_a_consent_is_good_for_one_device_and_a_day(town):
    read = read_consent(consent(town), now=NOW)
    assert read.key == town.held.device.public_key
    token = bytearray(consent(town))
    token[-1] ^= 1
    assert reason(lambda: read_consent(bytes(token), now=NOW)) == "signature.holder"
    assert reason(lambda: read_consent(consent(town), now=NOW + timedelta(hours=2))) == "code.expired"
    with pytest.raises(ValueError, match="at most a day"):
        consent(town, life=2 * 86400)


def test_what_is_supplied_is_stated_and_recorded(town):
    shared = supply(town, ask(town, basis="", consent=consent(town)))
    assert shared.code is Code.OK
    said = verify_statement(
        shared.statement, town.trust, recipient=town.verifying.uri, pdf=shared.pdf, now=NOW
    )
    assert said.fields["name"] == RECORDS["business-license"]["name"]
    assert said.pdf == sha256(shared.pdf).digest()
    for changes, expected in (
        ({"recipient": "https://sh.ewallet.example/a/other"}, "code.audience"),
        ({"pdf": shared.pdf + b" "}, "disclosure.mismatch"),
        ({"now": NOW + timedelta(days=30)}, "credential.expired"),
    ):
        given = {"recipient": town.verifying.uri, "pdf": shared.pdf, "now": NOW, **changes}
        assert reason(lambda given=given: verify_statement(shared.statement, town.trust, **given)) == expected
    license_key = town.supplier.license_key(town.held.issued.license.identifier)
    assert [(use.case, use.ground) for use in town.uses.uses(license_key)] == [("C-1", "consent")]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"operator": ""}, Code.FIELD_MISSING),
        ({"basis": ""}, Code.FIELD_MISSING),
        ({"until": day_of(NOW) - timedelta(days=1)}, Code.FIELD_MISSING),
        ({"until": day_of(NOW) + timedelta(days=1000)}, Code.FIELD_MISSING),
        ({"type": "nothing"}, Code.UNKNOWN_TYPE),
        ({"basis": "other"}, Code.NO_PERMISSION),
        ({"type": "resident-id"}, Code.NOT_FOUND),
        ({"holder": RECORDS["business-license"]["uscc"][:-1]}, Code.NOT_FOUND),
        ({"consent": b"junk"}, Code.NO_PERMISSION),
        ({}, Code.OK),
    ],
)
def test_every_answer_has_its_code(town, changes, code):
    shared = supply(town, ask(town, **changes))
    assert shared.code is code
    assert bool(shared.pdf) is (code is Code.OK)


def test_a_consent_covers_what_it_names_and_one_case(town):
    other = SigningKey.generate()
    for token in (
        consent(town, device=other),
        consent(town, recipient="https://sh.ewallet.example/a/other"),
        consent(town, purpose="other"),
        consent(town, case="C-2"),
    ):
        assert supply(town, ask(town, basis="", consent=token)).code is Code.NO_PERMISSION


def test_nobody_who_is_not_listed_is_served(town):
    assert town.supplier.supply(ask(town), (), town.trust, now=NOW).code is Code.NOT_AUTHENTICATED
