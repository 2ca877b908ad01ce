"""The service as a real process on loopback: verify, ask, publish, issue, share across provinces."""

from __future__ import annotations

import json
import time
from base64 import b64decode, b64encode
from dataclasses import replace
from datetime import timedelta

import pytest
from click.testing import CliRunner

from ewallet.cli import cli
from ewallet.code.challenge import Wanted, check_challenge, check_question
from ewallet.keys import SigningKey
from ewallet.licenses import binding
from ewallet.licenses.asking import make_consent
from ewallet.licenses.presenting import present
from ewallet.licenses.sharing import Use
from ewallet.licenses.sharing import UseLog as SharedUses
from ewallet.moments import day_of
from ewallet.trust.distribution import TrustStore
from ewallet.verify.answering import Card, respond
from ewallet.verify.policy import Policy
from ewallet.verify.ratings import token_digest
from ewallet.verify.receipts import UseLog, verify_receipt
from ewallet.verify.replay import MemoryGuard
from ewallet.verify.requests import to_dcql
from ewallet.verify.sources import status_source
from ewallet.verify.verifier import Verifier
from ewallet.wire import b64u_decode, b64u_encode
from tests.agency import CATALOG, record
from tests.services import BASE, BUSINESS, Answer, Land, call, clock, free_port

pytest.importorskip("fastapi", reason="the extra 'service' is not installed")

CASE = {"number": "C-1", "matter": "M-1", "operator": "clerk-1", "second_operator": "clerk-2"}


@pytest.fixture(scope="module")
def land(tmp_path_factory):
    made = Land(tmp_path_factory.mktemp("land"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def license_32(land):
    """A license of Jiangsu, on a phone."""
    return land.issue("32", 7)


@pytest.fixture(scope="module")
def pair(land, license_32):
    land.publish_status()
    ports = {"31": free_port(), "32": free_port()}
    shanghai, jiangsu = (
        land.serve(
            here,
            *("--port", str(ports[here])),
            *("--peer", f"https://{name}.ewallet.example/=http://127.0.0.1:{ports[there]}"),
            *(("--ratings", str(land.place(here) / "ratings.sqlite")) if here == "31" else ()),
        )
        for here, there, name in (("31", "32", "js"), ("32", "31", "sh"))
    )
    return shanghai, jiangsu


@pytest.fixture(scope="module")
def shanghai(pair):
    return pair[0]


def key(land, name, province="31"):
    return land.keys[f"{province}/{name}"]


# --- the counter --------------------------------------------------------------------------------------------


def test_a_document_verifies_and_what_is_not_one_does_not(land, shanghai):
    issued, _, _ = land.issue("31", 1)
    land.publish_status()
    found = shanghai.call("POST", "/v1/verify", {"text": issued.document})
    assert (found.status, found.json["outcome"]) == (200, "ACCEPTED")
    assert found.headers["cache-control"] == "no-store"
    assert "default-src 'none'" in found.headers["content-security-policy"]
    as_file = shanghai.call("POST", "/v1/verify", issued.document.encode(), Content_Type="text/plain")
    assert as_file.json["outcome"] == "ACCEPTED"
    broken = shanghai.call("POST", "/v1/verify", {"text": "EWCAAAA"})
    assert broken.json["outcome"] == "REJECTED"


def test_a_presentation_counts_once(land, shanghai):
    _, device, held = land.issue("31", 2)
    land.publish_status()
    venue = shanghai.call("GET", "/v1/state").json["policy"]["venue"]
    shown = present(held.sd_cwt, device, audience=venue, nonce=None, disclose=["name"], now=clock())
    first = shanghai.call("POST", "/v1/verify", {"text": shown}).json
    again = shanghai.call("POST", "/v1/verify", {"text": shown}).json
    assert (first["outcome"], again["outcome"], again["reason"]) == ("ACCEPTED", "REJECTED", "code.replayed")
    assert again["used_at"] == first["at"]


def test_a_question_is_signed_and_its_answer_is_bound_to_it(land, shanghai):
    asked = shanghai.call("POST", "/v1/challenge", {"attributes": ["masked_name"]})
    assert asked.status == 201
    trust = TrustStore.open(land.directory / "wallet").refresh(land.bundle, clock())
    checked = check_challenge(asked.json["text"], trust, now=clock())
    assert checked.asker.uri == land.market["31"].uri
    _, device, held = land.issue("31", 3)
    land.publish_status()
    venue = asked.json["venue"]
    shown = present(held.sd_cwt, device, audience=venue, nonce=checked.digest, disclose=[], now=clock())
    wrong = shanghai.call("POST", "/v1/verify", {"text": shown, "answering": asked.json["text"][:-8]})
    assert wrong.status == 422
    found = shanghai.call("POST", "/v1/verify", {"text": shown, "answering": asked.json["text"]}).json
    assert found["outcome"] == "ACCEPTED", found


def test_the_status_bar_has_what_it_shows(shanghai):
    state = shanghai.call("GET", "/v1/state").json
    assert state["online"] is True
    assert state["degraded"] == []
    assert state["trust"]["fresh"] is True
    assert state["policy"]["scene"] == "counter"
    assert shanghai.call("GET", "/healthz").json["health"] == "ok"


# --- what is published --------------------------------------------------------------------------------------


def test_a_stranger_verifies_by_what_the_service_publishes(land, pair):
    shanghai, _ = pair
    issued, _, _ = land.issue("31", 4)
    land.publish_status()
    now = clock()
    trust = TrustStore.open(land.directory / "stranger").refresh(f"{shanghai.url}repository", now)
    verifier = Verifier(
        trust=trust,
        policy=Policy.content(province="31"),
        status=status_source(f"{shanghai.url}status"),
        replay=MemoryGuard(started=now),
    )
    assert verifier.verify(issued.document, now=clock()).outcome.value == "ACCEPTED"


def test_published_files_have_tags_and_rules_for_caches(shanghai):
    newest = shanghai.call("GET", "/repository/metadata/timestamp.json")
    assert newest.headers["cache-control"] == "public, no-cache"
    tag = newest.headers["etag"]
    assert shanghai.call("GET", "/repository/metadata/timestamp.json", If_None_Match=tag).status == 304
    root = shanghai.call("GET", "/repository/metadata/1.root.json")
    assert "immutable" in root.headers["cache-control"]
    for outside in (
        "/repository/../policy.json",
        "/repository/%2e%2e/policy.json",
        "/status/..%2fpolicy.json",
    ):
        assert shanghai.call("GET", outside).status == 404


# --- doors --------------------------------------------------------------------------------------------------


def test_a_call_needs_the_key_of_its_role(land, shanghai):
    body = {"type": BUSINESS, "record": record(BUSINESS, 90), "case": CASE}
    assert shanghai.call("POST", "/v1/licenses", body).status == 401
    assert shanghai.call("POST", "/v1/licenses", body, key="ewk_unknown").status == 401
    assert shanghai.call("POST", "/v1/licenses", body, key=key(land, "auditor")).status == 403
    assert shanghai.call("GET", "/v1/events", key=key(land, "auditor")).status == 200


def test_too_large_and_too_strange_bodies_are_refused(shanghai):
    assert shanghai.call("POST", "/v1/verify", {"text": "E" * 300_000}).status == 413
    assert shanghai.call("POST", "/v1/verify", b"{", Content_Type="application/json").status == 400
    twice = b'{"text": "a", "text": "b"}'
    assert shanghai.call("POST", "/v1/verify", twice, Content_Type="application/json").status == 400
    assert shanghai.call("POST", "/v1/verify", b"x", Content_Type="application/xml").status == 415


def test_logs_hold_routes_and_nothing_that_was_sent(land, shanghai):
    number = record(BUSINESS, 4)["uscc"]
    shanghai.call("POST", "/v1/number", {"number": number})
    shanghai.call("GET", f"/nowhere/{number}?q={number}")
    log = shanghai.log.read_text()
    assert '"route": "/v1/number"' in log
    assert number not in log


# --- an agency ----------------------------------------------------------------------------------------------


def test_an_agency_issues_amends_suspends_and_revokes(land, shanghai):
    agency = key(land, "agency")
    body = {"type": BUSINESS, "record": record(BUSINESS, 20), "case": {**CASE, "number": "C-20"}}
    first = shanghai.call("POST", "/v1/licenses", body, key=agency)
    again = shanghai.call("POST", "/v1/licenses", body, key=agency)
    assert (first.status, again.status) == (201, 200)
    assert again.json["identifier"] == first.json["identifier"]
    other = {**body, "record": record(BUSINESS, 21)}
    assert shanghai.call("POST", "/v1/licenses", other, key=agency).status == 409

    named = {"identifier": first.json["identifier"], "reason": "moved"}
    moved = {**named, "changes": {"address": "上海市黄浦区样例路2号"}, "case": {**CASE, "number": "C-21"}}
    amended = shanghai.call("POST", "/v1/licenses/amend", moved, key=agency).json
    assert amended["version"] == 2
    named["identifier"] = amended["identifier"]
    for act, number in (("suspend", "C-22"), ("restore", "C-23"), ("revoke", "C-24")):
        found = shanghai.call(
            "POST", f"/v1/licenses/{act}", {**named, "case": {**CASE, "number": number}}, key=agency
        )
        assert found.status == 200, found.body
    late = {**named, "case": {**CASE, "number": "C-25"}}
    assert shanghai.call("POST", "/v1/licenses/suspend", late, key=agency).status == 409
    shown = shanghai.call("POST", "/v1/licenses/show", {"identifier": named["identifier"]}, key=agency).json
    assert (shown["state"], shown["newest_version"]) == ("revoked", 2)
    events = shanghai.call("GET", "/v1/events?after=0", key=agency).json
    kinds = [each["kind"] for each in events["events"] if each["case"]["number"].startswith("C-2")]
    assert kinds == ["issue", "amend", "suspend", "restore", "revoke"]
    number = shanghai.call("POST", "/v1/number", {"number": record(BUSINESS, 20)["uscc"]}).json
    assert [each["in_force"] for each in number["licenses"]] == [False]


def test_a_wrong_record_names_the_field_and_never_the_value(land, shanghai):
    wrong = {**record(BUSINESS, 22), "uscc": "91310000XX"}
    body = {"type": BUSINESS, "record": wrong, "case": {**CASE, "number": "C-30"}}
    found = shanghai.call("POST", "/v1/licenses", body, key=key(land, "agency"))
    assert (found.status, found.json["field"]) == (422, "uscc")
    assert "91310000XX" not in found.body.decode()


def test_a_phone_is_bound_over_http(land, shanghai):
    issued, _, _ = land.issue("31", 23)
    agency, device = key(land, "agency"), SigningKey.generate()
    nonce = shanghai.call("POST", "/v1/bindings/nonce", key=agency).json
    proof = binding.prove(device, authority=nonce["authority"], nonce=b64u_decode(nonce["nonce"]))
    body = {
        "identifier": issued.license.identifier,
        "key": device.public_key.to_jwk(),
        "proof": b64u_encode(proof),
    }
    made = shanghai.call("POST", "/v1/bindings", body, key=agency)
    assert made.status == 201, made.body
    land.publish_status()
    venue = shanghai.call("GET", "/v1/state").json["policy"]["venue"]
    shown = present(
        b64u_decode(made.json["sd_cwt"]), device, audience=venue, nonce=None, disclose=[], now=clock()
    )
    assert shanghai.call("POST", "/v1/verify", {"text": shown}).json["outcome"] == "ACCEPTED"


def test_a_bulk_job_tells_how_far_it_is(land, shanghai):
    agency = key(land, "agency")
    rows = [json.dumps(record(BUSINESS, 200 + n)) for n in range(5)]
    rows.insert(2, json.dumps({**record(BUSINESS, 300), "uscc": "1"}))
    body = "\n".join(rows).encode()
    started = shanghai.call(
        "POST",
        f"/v1/jobs?type={BUSINESS}",
        body,
        key=agency,
        Content_Type="application/jsonl",
        X_Ewallet_Operator="clerk-1",
    )
    assert started.status == 202, started.body
    job = started.json["job"]
    for _ in range(100):
        time.sleep(0.05)
        state = shanghai.call("GET", f"/v1/jobs/{job}", key=agency).json
        if state["state"] in ("done", "failed"):
            break
    assert (state["state"], state["issued"], state["rejected"]) == ("done", 5, 1), state
    results = shanghai.call("GET", f"/v1/jobs/{job}/results.csv", key=agency)
    assert results.body.decode().count("issued") == 5
    assert "3,uscc," in shanghai.call("GET", f"/v1/jobs/{job}/rejects.csv", key=agency).body.decode()


# --- sharing ------------------------------------------------------------------------------------------------


def ask(land, **changes):
    return {
        "type": BUSINESS,
        "organization": "示例政务大厅",
        "operator": "clerk-1",
        "position": "https://sh.ewallet.example/v/1",
        "matter": "M-1",
        "matter_name": "示例事项",
        "case": "S-1",
        "purpose": "办理示例事项",
        "region": "32",
        "until": (day_of(clock()) + timedelta(days=10)).isoformat(),
        **changes,
    }


def consent(land, issued, device, **changes):
    given = {
        "identifier": issued.license.identifier,
        "recipient": land.hall.uri,
        "matter": "M-1",
        "case": "S-1",
        "purpose": "办理示例事项",
        **changes,
    }
    return b64encode(make_consent(device, **given, now=clock())).decode()


def shared_uses(land, province) -> list[Use]:
    """What an authority has recorded, the oldest first."""
    issuer = land.open(province)
    try:
        return list(reversed(SharedUses(issuer.register).since(0)))
    finally:
        issuer.register.close()


def shown_to_holder(land, service, identifier, device, province="32") -> Answer:
    """What a device that a license is bound to is told of its uses."""
    given = {"recipient": land.market[province].uri, "matter": "", "case": "", "purpose": "uses"}
    proof = make_consent(device, identifier=identifier, **given, now=clock())
    return service.call("POST", "/v1/uses", {"proof": b64encode(proof).decode()})


def test_two_provinces_share_a_license_with_consent(land, pair, license_32):
    shanghai, jiangsu = pair
    issued, device, _ = license_32
    body = ask(land, holder=record(BUSINESS, 7)["uscc"], consent=consent(land, issued, device))
    found = shanghai.call("POST", "/v1/retrieve", body, key=key(land, "window"))
    assert (found.status, found.json["code"]) == (200, 0), found.body
    assert found.json["from"] == land.market["32"].uri
    local = found.json["local"]
    assert local["rule"] == "32-31-business-license"
    assert local["fields"]["local_name"] == record(BUSINESS, 7)["name"]
    # recorded on both sides, in the same words
    [supplied], [received] = (shared_uses(land, province) for province in ("32", "31"))
    assert (supplied.side, received.side) == ("supplied", "received")
    assert replace(received, side="supplied", at=supplied.at) == replace(supplied, operator=received.operator)
    assert abs(received.at - supplied.at) <= 2
    for each in (supplied, received):
        assert (each.identifier, each.code) == (issued.license.identifier, 0)
        assert (each.case, each.purpose, each.ground) == ("S-1", "办理示例事项", "consent")
        assert (each.recipient, each.matter, each.until) == (land.hall.uri, "M-1 示例事项", body["until"])
    # and shown to the holder, by who supplied it, and to nobody else
    uses = shown_to_holder(land, jiangsu, issued.license.identifier, device).json["uses"]
    assert uses == [supplied.to_json()]
    stranger = SigningKey.generate()
    assert shown_to_holder(land, jiangsu, issued.license.identifier, stranger).status == 403
    other, other_device, _ = land.issue("32", 8)
    assert shown_to_holder(land, jiangsu, issued.license.identifier, other_device).status == 403
    assert shown_to_holder(land, jiangsu, other.license.identifier, other_device).json["uses"] == []


def test_a_refused_ask_is_no_use_and_who_asked_keeps_that_it_was_refused(land, pair, license_32):
    shanghai, jiangsu = pair
    issued, device, _ = license_32
    before = {province: shared_uses(land, province) for province in ("31", "32")}
    signed = consent(land, issued, device, case="S-0")
    body = ask(land, holder=record(BUSINESS, 7)["uscc"], consent=signed, case="S-9")
    assert shanghai.call("POST", "/v1/retrieve", body, key=key(land, "window")).json["code"] == 100
    [asked] = shared_uses(land, "31")[len(before["31"]) :]
    assert (asked.side, asked.code, asked.identifier, asked.case) == ("received", 100, "", "S-9")
    assert shared_uses(land, "32") == before["32"]
    uses = shown_to_holder(land, jiangsu, issued.license.identifier, device).json["uses"]
    assert "S-9" not in [each["case"] for each in uses]


def test_what_is_handed_out_is_a_copy_that_verifies_and_carries_no_master(land, pair, license_32):
    from ewallet.formats.typeset import attachments

    shanghai, jiangsu = pair
    issued, device, _ = license_32
    body = ask(land, holder=record(BUSINESS, 7)["uscc"], consent=consent(land, issued, device))
    found = shanghai.call("POST", "/v1/retrieve", body, key=key(land, "window")).json
    pdf = b64decode(found["pdf"])
    names = list(attachments(pdf))
    assert not [name for name in names if name.endswith(".sdjwt")]
    metadata = json.loads(attachments(pdf)[names[0]])
    assert "办理示例事项" in metadata["JZJZZSY"]
    land.publish_status()
    checked = jiangsu.call("POST", "/v1/verify", pdf, Content_Type="application/pdf").json
    assert checked["outcome"] == "ACCEPTED", checked["reason"]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"holder": "", "number": ""}, 12),
        ({"purpose": ""}, 12),
        ({"type": "no-such-type"}, 13),
        ({"holder": "91320000MA0000000X"}, 10),
        ({"basis": "no-such-law"}, 100),
        ({"basis": "one-network", "matter": "M-2"}, 100),
        ({"basis": "one-network"}, 0),
        ({"basis": "one-network", "type": "food-business-permit"}, 10),
    ],
)
def test_every_refusal_has_its_code(land, pair, license_32, changes, code):
    shanghai, _ = pair
    body = ask(land, holder=record(BUSINESS, 7)["uscc"], basis="one-network") | changes
    found = shanghai.call("POST", "/v1/retrieve", body, key=key(land, "window"))
    assert found.json["code"] == code, found.body
    assert ("pdf" in found.json) == (code == 0)


def test_who_asks_decides_too(land, pair, license_32):
    shanghai, _ = pair
    issued, device, _ = license_32
    body = ask(land, holder=record(BUSINESS, 7)["uscc"], basis="one-network", region="31")
    assert shanghai.call("POST", "/v1/retrieve", body, key=key(land, "nobody")).json["code"] == 11
    assert shanghai.call("POST", "/v1/retrieve", body, key=key(land, "hotel")).json["code"] == 100
    stolen = ask(
        land, holder=record(BUSINESS, 7)["uscc"], consent=consent(land, issued, SigningKey.generate())
    )
    assert shanghai.call("POST", "/v1/retrieve", stolen, key=key(land, "window")).json["code"] == 100
    other_case = ask(
        land, holder=record(BUSINESS, 7)["uscc"], consent=consent(land, issued, device), case="S-2"
    )
    assert shanghai.call("POST", "/v1/retrieve", other_case, key=key(land, "window")).json["code"] == 100


def test_states_have_their_codes(land, shanghai):
    agency, window = key(land, "agency"), key(land, "window")
    issued, _, _ = land.issue("31", 40)
    body = ask(land, number=issued.license.number, basis="one-network", region="310115")
    assert shanghai.call("POST", "/v1/retrieve", body, key=window).json["code"] == 0
    wrong = {**body, "type": "food-business-permit", "basis": "one-network"}
    assert shanghai.call("POST", "/v1/retrieve", wrong, key=window).json["code"] == 113
    named = {"identifier": issued.license.identifier, "reason": "test"}
    for act, number, code in (("suspend", "C-40", 23), ("restore", "C-41", 0), ("revoke", "C-42", 21)):
        case = {**CASE, "number": number}
        assert shanghai.call("POST", f"/v1/licenses/{act}", {**named, "case": case}, key=agency).status == 200
        assert shanghai.call("POST", "/v1/retrieve", body, key=window).json["code"] == code


def test_an_objection_travels_to_the_issuer_and_back(land, pair, license_32):
    shanghai, jiangsu = pair
    issued, device, _ = license_32
    body = ask(land, holder=record(BUSINESS, 7)["uscc"], consent=consent(land, issued, device))
    window = key(land, "window")
    statement = shanghai.call("POST", "/v1/retrieve", body, key=window).json["statement"]
    evidence = b64encode(b"made-up evidence").decode()
    wrong = {"statement": statement, "field": "no_such_field", "evidence": evidence}
    assert shanghai.call("POST", "/v1/objections", wrong, key=window).status == 422
    raised = shanghai.call("POST", "/v1/objections", {**wrong, "field": "address"}, key=window)
    assert raised.status == 201, raised.body
    assert raised.json["sent"] is True
    case = {"case": raised.json["case"]}

    agency = key(land, "agency", "32")
    listed = jiangsu.call("GET", "/v1/objections", key=agency).json
    assert [each["case"] for each in listed["objections"]] == [case["case"]]
    assert [each["field"] for each in listed["notices"]] == ["address"]
    [notice] = listed["notices"]
    assert (notice["kind"], notice["uri"]) == ("objection", issued.license.document_status.uri)
    # only the authority that is asked can answer, and only who objected, or it, can close
    corrected = {**case, "result": "corrected", "text": "地址已更正"}
    sides = (land.market["31"].uri, land.market["32"].uri)
    early = shanghai.call("POST", "/v1/objections/answer", corrected, key=key(land, "agency"))
    assert early.status == 403
    assert shanghai.call("POST", "/v1/objections/answer", corrected, key=window).status == 403
    told = jiangsu.call("POST", "/v1/objections/answer", corrected, key=agency).json
    assert told["sent"] is True, told
    # the answer has come back: where the objection was raised, it stands with its words and who signed it
    [back] = shanghai.call("GET", "/v1/objections", key=key(land, "agency")).json["objections"]
    assert (back["case"], back["open"]) == (case["case"], told["open"])
    messages = [(each["act"], each["entity"], each["result"]) for each in back["messages"]]
    assert messages == [("raise", sides[0], None), ("answer", sides[1], "corrected")]
    assert back["messages"][0]["to"] == sides[1]
    assert back["messages"][1]["text"] == "地址已更正"
    closed = shanghai.call("POST", "/v1/objections/close", case, key=window).json
    assert (closed["open"], closed["result"], closed["sent"]) == (False, "corrected", True)
    listed = jiangsu.call("GET", "/v1/objections", key=agency).json
    assert listed["notices"] == []
    acts = [each["act"] for each in listed["objections"][0]["messages"]]
    assert acts == ["raise", "answer", "close"]
    again = shanghai.call("POST", "/v1/objections/send", case, key=window)  # sent twice, there once
    assert (again.status, again.json["sent"]) == (200, True)
    assert jiangsu.call("GET", "/v1/objections", key=agency).json == listed


def test_a_use_is_recorded_receipted_and_rated_once(land, shanghai):
    _, device, held = land.issue("31", 60)
    land.publish_status()
    now = clock()
    venue = shanghai.call("GET", "/v1/state").json["policy"]["venue"]
    shown = present(held.sd_cwt, device, audience=venue, nonce=None, disclose=["name"], now=now)
    use = {"matter": "M-1", "case": "U-1", "purpose": "办理示例事项", "officer": "clerk-1"}
    found = shanghai.call("POST", "/v1/verify", {"text": shown, "use": use}).json
    assert found["outcome"] == "ACCEPTED"
    trust = TrustStore.open(land.directory / "wallet-2").refresh(land.bundle, clock())
    receipt = verify_receipt(b64decode(found["receipt"]), trust, now=clock())
    assert (receipt.issuer.uri, receipt.about["case"]) == (land.market["31"].uri, "U-1")
    assert receipt.number == found["recorded"]
    with UseLog(land.place("31") / "state" / "uses.sqlite") as log:
        log.check(witness=(receipt.number, receipt.entry))

    token = b64u_encode(receipt.rating)
    digest = b64u_encode(token_digest(receipt.rating))
    registered = {"digest": digest, "venue": venue}
    assert shanghai.call("POST", "/v1/ratings/tokens", registered, key=key(land, "window")).status == 201
    rated = shanghai.call("POST", "/v1/ratings", {"token": token, "good": False, "text": "too slow"})
    assert rated.status == 201, rated.body
    assert shanghai.call("POST", "/v1/ratings", {"token": token, "good": True}).status == 409
    fixed = {"case": rated.json["case"], "text": "a second window", "officer": "clerk-2"}
    assert shanghai.call("POST", "/v1/ratings/corrections", fixed, key=key(land, "window")).status == 200
    mine = shanghai.call("POST", "/v1/ratings/mine", {"token": token}).json
    assert mine["answer"] == "a second window"
    totals = shanghai.call("POST", "/v1/ratings/totals", {"venue": venue}, key=key(land, "window")).json
    assert totals["totals"] is None  # one rating would be that rating


def test_licenses_are_asked_for_and_shown_within_one_request(land, shanghai):
    _, device, held = land.issue("31", 61)
    land.publish_status()
    query = to_dcql([Wanted(types=(CATALOG[BUSINESS].code,), fields=("name",))], CATALOG, base=BASE)
    about = {"purpose": "办理示例事项", "case": "R-1"}
    made = shanghai.call("POST", "/v1/request", {"query": query, "about": about})
    assert made.status == 201, made.body
    trust = TrustStore.open(land.directory / "wallet-3").refresh(land.bundle, clock())
    asked = check_question(made.json["text"], trust, now=clock())
    shown = respond(asked, [Card.read(held.sd_cwt, device)], now=clock())
    body = {"text": shown, "answering": made.json["text"]}
    assert shanghai.call("POST", "/v1/verify", body).json["outcome"] == "ACCEPTED"
    assert shanghai.call("POST", "/v1/verify", body).json["outcome"] == "REJECTED"


def test_figures_are_counted_from_records(land, shanghai, tmp_path):
    place, page = land.place("32"), tmp_path / "stats.html"
    given = ["--issue", str(place / "authority.toml"), "--check", "--html", str(page), "--json"]
    result = CliRunner().invoke(cli, ["stats", *given], standalone_mode=False)
    assert result.exception is None, result.exception
    found = json.loads(result.output)
    total = found["total"]
    assert total["shared"] >= 1
    assert total["waived"] >= 1
    assert total["waived_share"] == pytest.approx(total["waived"] / total["uses"])
    assert {line["matter"] for line in found["lines"]} >= {"M-1"}
    assert "免交率" in page.read_text()
    log = ["--log", str(land.place("31") / "state" / "uses.sqlite")]
    lines = CliRunner().invoke(cli, ["stats", *log], standalone_mode=False).output.splitlines()
    assert lines[0].startswith("day\tauthority\tmatter")
    assert any("sh.ewallet.example/v/1" in line for line in lines[1:])


def test_a_suspension_reaches_every_counter_by_itself(land, tmp_path):
    issued, _, _ = land.issue("31", 62)
    status = tmp_path / "status"
    service = land.serve("31", "--status", str(status))
    for _ in range(100):
        if service.call("POST", "/v1/verify", {"text": issued.document}).json["outcome"] == "ACCEPTED":
            break
        time.sleep(0.05)
    named = {"identifier": issued.license.identifier, "reason": "test", "case": {**CASE, "number": "C-62"}}
    assert service.call("POST", "/v1/licenses/suspend", named, key=key(land, "agency")).status == 200
    assert service.stop() == 0
    later = land.serve("31", "--status", str(status))  # its first turn signs what is due
    for _ in range(100):
        found = later.call("POST", "/v1/verify", {"text": issued.document}).json
        if found["reason"] == "license.suspended":
            break
        time.sleep(0.1)
    assert found["reason"] == "license.suspended"


def test_it_stops_gracefully(land):
    lone = land.serve("31", agency=False)
    assert call(lone.url, "GET", "/healthz").status == 200
    assert lone.stop() == 0
