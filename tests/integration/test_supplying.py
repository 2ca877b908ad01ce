"""Retrieving over HTTP by supply code and by typed number, inside a province and across two."""

from __future__ import annotations

import socket
from base64 import b64decode, b64encode
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from ewallet.formats import text
from ewallet.keys import SigningKey
from ewallet.licenses import binding
from ewallet.licenses.asking import Ask as Asked
from ewallet.licenses.asking import make_ask, make_consent
from ewallet.licenses.supply_code import make_supply_code
from ewallet.moments import day_of
from ewallet.trust.entries import Service
from tests.agency import CATALOG, TWO, record
from tests.services import BUSINESS, Land, clock, free_port

pytest.importorskip("fastapi", reason="the extra 'service' is not installed")

TYPE = CATALOG[BUSINESS].code
NUMBERS = iter(range(1, 1000))


@pytest.fixture(scope="module")
def land(tmp_path_factory):
    made = Land(tmp_path_factory.mktemp("land"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def pair(land):
    land.publish_status()
    ports = {"31": free_port(), "32": free_port()}
    return tuple(
        land.serve(
            here,
            *("--port", str(ports[here])),
            *("--peer", f"https://{name}.ewallet.example/=http://127.0.0.1:{ports[there]}"),
        )
        for here, there, name in (("31", "32", "js"), ("32", "31", "sh"))
    )


@pytest.fixture(scope="module")
def held(land):
    """A license of Jiangsu, on a phone."""
    return land.issue("32", 7)


def body(**given):
    return {
        "organization": "示例政务大厅",
        "operator": "clerk-1",
        "position": "https://sh.ewallet.example/v/1",
        "matter": "M-1",
        "matter_name": "示例事项",
        "case": f"S-{next(NUMBERS)}",
        "purpose": "办理示例事项",
        "until": (day_of(clock()) + timedelta(days=10)).isoformat(),
        **given,
    }


def shown(land, device, province="32", *, ago=0, **given):
    parts = {"authority": land.market[province].uri, "type": TYPE, **given}
    return make_supply_code(device, now=clock() - timedelta(seconds=ago), **parts)


def consent(land, issued, device, sent, **given):
    parts = {name: sent[name] for name in ("matter", "case", "purpose")}
    parts |= {"identifier": issued.license.identifier, "recipient": land.hall.uri, **given}
    return b64encode(make_consent(device, now=clock(), **parts)).decode()


def retrieve(land, service, sent, name="31/window"):
    return service.call("POST", "/v1/retrieve", sent, key=land.keys[name])


# --- by code ------------------------------------------------------------------------------------------------


def test_a_scanned_code_fetches_a_copy_from_another_province(land, pair, held):
    shanghai, jiangsu = pair
    issued, device, _ = held
    scanned = shown(land, device)
    sent = body(code=scanned)
    found = retrieve(land, shanghai, sent)
    assert (found.status, found.json["code"]) == (200, 0), found.body
    assert found.json["from"] == land.market["32"].uri
    assert found.json["local"]["fields"]["local_name"] == record(BUSINESS, 7)["name"]
    assert b64decode(found.json["pdf"]).startswith(b"%PDF-")
    # the answer was lost: the same case may come again; no other, and nobody else
    assert retrieve(land, shanghai, sent).json["code"] == 0
    for service, other, name in (
        (shanghai, body(code=scanned), "31/window"),
        (jiangsu, sent, "32/window"),
    ):
        again = retrieve(land, service, other, name)
        assert (again.status, again.json["code"], again.json["reason"]) == (403, 100, "code.replayed")
        assert "pdf" not in again.json
    # the holder sees who used it, and on what ground
    proof = make_consent(
        device,
        identifier=issued.license.identifier,
        recipient=land.market["32"].uri,
        matter="",
        case="",
        purpose="uses",
        now=clock(),
    )
    uses = jiangsu.call("POST", "/v1/uses", {"proof": b64encode(proof).decode()}).json["uses"]
    mine = [each for each in uses if each["case"] == sent["case"]]
    assert [(each["recipient"], each["ground"]) for each in mine] == [(land.hall.uri, "code")] * 2


def test_a_code_of_its_own_authority_is_answered_at_home(land, pair):
    shanghai, _ = pair
    _, device, _ = land.issue("31", 8)
    found = retrieve(land, shanghai, body(code=shown(land, device, "31") + "\r\n"))
    assert (found.json["code"], found.json.get("from")) == (0, None), found.body


def test_of_many_windows_at_one_time_one_case_gets_the_copy(land, pair, held):
    shanghai, _ = pair
    scanned = shown(land, held[1])
    with ThreadPoolExecutor(4) as pool:
        answers = list(
            pool.map(lambda n: retrieve(land, shanghai, body(code=scanned, case=f"T-{n}")), range(4))
        )
    assert sorted(each.json["code"] for each in answers) == [0, 100, 100, 100]


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        ({"recipient": "https://sh.ewallet.example/a/hall"}, (0, None)),
        ({"recipient": "https://js.ewallet.example/a/market"}, (100, "code.audience")),
        ({"ago": 121}, (100, "code.expired")),
        ({"ago": -90}, (100, "code.from_future")),
        ({"type": CATALOG["food-business-permit"].code}, (100, "holder.binding_missing")),
        ({"authority": "https://sh.ewallet.example/a/hall"}, (10, None)),  # listed, but issues nothing
        ({"authority": "https://sh.ewallet.example/a/market"}, (100, "holder.binding_missing")),
        ({"authority": "https://nowhere.example/a/market"}, (10, None)),
    ],
)
def test_a_code_is_refused_with_its_reason(land, pair, held, changes, answer):
    found = retrieve(land, pair[0], body(code=shown(land, held[1], **changes)))
    assert (found.json["code"], found.json.get("reason")) == answer, found.body
    assert ("pdf" in found.json) is (answer[0] == 0)


def test_a_stranger_and_a_forger_get_nothing(land, pair, held):
    shanghai, _ = pair
    stranger = shown(land, SigningKey.generate())
    assert retrieve(land, shanghai, body(code=stranger)).json["reason"] == "holder.binding_missing"
    data = bytearray(text.decode(shown(land, held[1]))[1])
    data[-1] ^= 1
    forged = retrieve(land, shanghai, body(code=text.encode("EWU", bytes(data))))
    assert forged.json["reason"] == "signature.holder"
    junk = retrieve(land, shanghai, body(code="https://example.invalid/"))
    assert (junk.json["code"], junk.json["reason"]) == (100, "code.unreadable")


def test_who_scans_must_be_listed_for_the_type(land, pair, held):
    shanghai, _ = pair
    sent = body(code=shown(land, held[1]))
    assert retrieve(land, shanghai, sent, "31/nobody").json["code"] == 11
    assert retrieve(land, shanghai, sent, "31/hotel").json["code"] == 100
    assert retrieve(land, shanghai, sent).json["code"] == 0  # neither of them has spent it


@pytest.mark.parametrize(
    "more",
    [{"consent": "AAAA"}, {"basis": "one-network"}, {"type": BUSINESS}, {"region": "32"}, {"number": "x"}],
    ids=lambda more: next(iter(more)),
)
def test_a_code_and_what_it_stands_for_are_not_both_given(land, pair, held, more):
    found = retrieve(land, pair[0], body(code=shown(land, held[1]), **more))
    assert (found.status, found.json["code"]) == (422, 12)
    assert next(iter(more)) in found.json["detail"]


def test_an_address_that_a_code_names_is_not_called_unless_listed(land, pair, held):
    """Anybody can write any address into a code."""
    with socket.create_server(("127.0.0.1", 0)) as trap:
        trap.settimeout(0.5)
        port = trap.getsockname()[1]
        scanned = shown(land, held[1], authority=f"http://127.0.0.1:{port}/a/market")
        assert retrieve(land, pair[0], body(code=scanned)).json["code"] == 10
        with pytest.raises(TimeoutError):
            trap.accept()


def test_a_supplier_checks_for_itself_what_a_signed_ask_carries(land, pair, held):
    """The asker's own service may have looked at nothing."""
    _, jiangsu = pair
    signer, given = land.hall.signer(Service.VERIFY), body()
    given["until"] = day_of(clock())
    for scanned, reason in (
        (shown(land, held[1], ago=200), "code.expired"),
        (shown(land, held[1], authority=land.market["31"].uri), "code.audience"),
        (shown(land, held[1], recipient=land.hotel.uri), "code.audience"),
        (shown(land, SigningKey.generate()), "holder.binding_missing"),
        ("EWUAAAA", "credential.malformed"),
    ):
        asked = Asked(recipient=land.hall.uri, code=scanned, **given)
        token = make_ask(asked, signer, issuer=land.hall.uri, to=land.market["32"].uri, now=clock())
        found = jiangsu.call("POST", "/v1/supply", {"ask": b64encode(token).decode()}).json
        assert (found["code"], found["reason"]) == (100, reason), found


def test_a_counter_says_what_the_code_is_for(land, pair, held):
    found = pair[0].call("POST", "/v1/verify", {"text": shown(land, held[1])}).json
    assert (found["outcome"], found["reason"]) == ("REJECTED", "code.supply")
    assert "调取" in str(found["sentence"])


# --- by typed number ----------------------------------------------------------------------------------------


def test_a_typed_number_finds_a_license_by_law_and_with_consent(land, pair, held):
    shanghai, _ = pair
    issued, device, _ = held
    typed = {"type": BUSINESS, "number": issued.license.number, "region": "32"}
    by_law = body(**typed, basis="one-network")
    sent = body(**typed)
    agreed = {**sent, "consent": consent(land, issued, device, sent)}
    for asked in (by_law, agreed):
        found = retrieve(land, shanghai, asked)
        assert (found.status, found.json["code"]) == (200, 0), found.body
        assert found.json["local"]["fields"]["local_name"] == record(BUSINESS, 7)["name"]


def test_a_typed_number_opens_nothing_by_itself(land, pair, held):
    shanghai, _ = pair
    issued, device, _ = held
    other, _, _ = land.issue("32", 9)
    typed = {"type": BUSINESS, "number": issued.license.number, "region": "32"}
    assert retrieve(land, shanghai, body(**typed)).json["code"] == 12  # neither consent nor law
    # The service that asks for the hotel may ask for more than the hotel itself.
    beyond = retrieve(land, shanghai, body(**typed, basis="one-network"), "31/hotel")
    assert (beyond.json["code"], beyond.json["detail"]) == (100, "beyond what the recipient may ask for")
    assert retrieve(land, shanghai, body(**typed, basis="one-network", matter="M-2")).json["code"] == 100
    wrong = {**typed, "type": "food-business-permit", "basis": "one-network"}
    assert retrieve(land, shanghai, body(**wrong)).json["code"] == 113
    part = {**typed, "number": issued.license.number[:-1], "basis": "one-network"}
    assert retrieve(land, shanghai, body(**part)).json["code"] == 10
    # the consent is for another license than the number typed
    sent = body(**{**typed, "number": other.license.number})
    mixed = {**sent, "consent": consent(land, issued, device, sent)}
    assert retrieve(land, shanghai, mixed).json["code"] == 100
    # and for another recipient
    sent = body(**typed)
    elsewhere = {**sent, "consent": consent(land, issued, device, sent, recipient=land.hotel.uri)}
    assert retrieve(land, shanghai, elsewhere).json["code"] == 100


# --- states -------------------------------------------------------------------------------------------------


def expired(land, province, number):
    """A license that ended yesterday, on a phone."""
    issuer, before = land.open(province), clock() - timedelta(days=3)
    try:
        given = record(BUSINESS, number) | {
            "issued_on": (day_of(before) - timedelta(days=1)).isoformat(),
            "valid_until": (day_of(before) + timedelta(days=2)).isoformat(),
        }
        issued = issuer.issue(given, type=BUSINESS, now=before)
        device = SigningKey.generate()
        proof = binding.prove(device, authority=issuer.authority.uri, nonce=issuer.challenge(before))
        issuer.bind(issued.license, 0, device.public_key, proof, now=before)
        return issued, device
    finally:
        issuer.register.close()


@pytest.mark.parametrize("province", ["31", "32"])
def test_a_license_past_its_last_day_is_answered_as_expired(land, pair, province):
    """At home by `/v1/retrieve` itself, from elsewhere by `/v1/supply`."""
    issued, device = expired(land, province, 20)
    by_law = body(type=BUSINESS, number=issued.license.number, region=province, basis="one-network")
    for sent in (by_law, body(code=shown(land, device, province))):
        found = retrieve(land, pair[0], sent)
        assert (found.status, found.json["code"], found.json["zh"]) == (410, 22, "证照已过有效期"), found.body
        assert "pdf" not in found.json


@pytest.mark.parametrize("province", ["31", "32"])
def test_a_code_of_a_license_that_is_not_in_force(land, pair, province):
    issued, device, _ = land.issue(province, 30)
    for act, code in (("suspend", 23), ("restore", 0), ("revoke", 21)):
        issuer = land.open(province)
        getattr(issuer, act)(issued.license, reason="test", case=TWO, now=clock())
        issuer.register.close()
        found = retrieve(land, pair[0], body(code=shown(land, device, province)))
        assert found.json["code"] == code, found.body
