"""Retrieving from another authority: what it answers is checked against what was asked."""

from __future__ import annotations

from base64 import b64decode
from datetime import timedelta
from types import SimpleNamespace

import pytest

from ewallet.errors import Refused

pytest.importorskip("fastapi", reason="the extra 'service' is not installed")

from ewallet.licenses.asking import Ask, Code, verify_ask
from ewallet.licenses.render import Faces
from ewallet.licenses.sharing import LegalBasis, Supplier, UseLog
from ewallet.licenses.supply_code import make_supply_code
from ewallet.moments import day_of
from ewallet.service import retrieving
from ewallet.service.retrieving import Exchange, said
from ewallet.trust.entries import Service
from tests.town import NOW, Town

LAW = LegalBasis(id="law", zh="示例", en="Example", types=frozenset(("*",)), matters=frozenset(("*",)))


@pytest.fixture
def town(tmp_path):
    made = Town(tmp_path)
    made.held = made.hold("business-license")
    made.issue("food-business-permit")
    made.trust = made.publish()
    office = made.offices["31/market"]
    uses = UseLog(office.register)
    made.supplier = Supplier(issuer=office.issuer, faces=Faces.builtin(), uses=uses, bases={"law": LAW})
    terminal = SimpleNamespace(verifier=SimpleNamespace(trust=made.trust, policy=made.verifier().policy))
    settings = SimpleNamespace(
        signer=made.verifying.signer(Service.VERIFY), issuer=made.verifying.uri, peers={}, now=lambda: NOW
    )
    made.exchange = Exchange(terminal=terminal, settings=settings, guard=None, uses=uses)
    yield made
    made.close()


def ask(town, **parts) -> Ask:
    given = {
        "recipient": town.verifying.uri,
        "organization": "示例政务大厅",
        "operator": "clerk-1",
        "position": "https://sh.ewallet.example/v/1",
        "matter": "M-1",
        "matter_name": "示例事项",
        "case": "C-1",
        "purpose": "办理示例事项",
        "until": day_of(NOW) + timedelta(days=1),
    }
    return Ask(**given, **parts)


@pytest.mark.parametrize("honest", [True, False])
def test_an_authority_cannot_answer_a_code_with_another_type(town, monkeypatch, honest):
    owner = town.offices["31/market"].listed.uri
    other = ask(
        town,
        type="food-business-permit",
        number=_number(town, "food-business-permit"),
        region="31",
        basis="law",
    )

    def answer(where, data):
        assert where == "https://sh.ewallet.example/v1/supply"
        checked = verify_ask(b64decode(data["ask"]), town.trust, to=owner, now=NOW)
        asked = checked.ask if honest else other
        return said(town.supplier.supply(asked, (checked.asker,), town.trust, now=NOW))

    monkeypatch.setattr(retrieving, "send", answer)
    scanned = make_supply_code(
        town.held.device, authority=owner, type=town.catalog["business-license"].code, now=NOW
    )
    if honest:
        found = town.exchange._retrieve(ask(town, code=scanned))
        assert (found["code"], found["from"]) == (Code.OK, owner)
        return
    with pytest.raises(Refused) as refused:
        town.exchange._retrieve(ask(town, code=scanned))
    assert refused.value.reason == "disclosure.mismatch"


def _number(town, type_: str) -> str:
    register = town.offices["31/market"].register
    code = town.catalog[type_].code
    [found] = register.find(type_code=code, holder=town.held.issued.license.holders[0].code)
    return str(found.number)
