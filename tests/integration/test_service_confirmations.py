"""Four eyes over HTTP: one key is never both pairs of eyes; and bulk jobs that any process can tell."""

from __future__ import annotations

import json
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from hashlib import sha256
from importlib import resources

import pytest

from ewallet.licenses.confirmations import LIFE, Act, Confirmations
from ewallet.licenses.lifecycle import Case, EventKind
from tests.agency import record
from tests.services import BUSINESS, Land, clock

pytest.importorskip("fastapi", reason="the extra 'service' is not installed")

FOOD = "food-business-permit"


@pytest.fixture(scope="module")
def land(tmp_path_factory):
    made = Land(tmp_path_factory.mktemp("land"))
    place = made.place("31")
    # A type of this authority's own that wants two officers to issue, too.
    types = place / "types"
    types.mkdir()
    plain = (resources.files("ewallet.licenses") / "catalog" / f"{FOOD}.toml").read_text()
    assert 'four_eyes = ["revoke"' in plain
    (types / f"{FOOD}.toml").write_text(
        plain.replace('four_eyes = ["revoke"', 'four_eyes = ["issue", "revoke"')
    )
    about = place / "authority.toml"
    about.write_text('catalog = ["types"]\n' + about.read_text())
    yield made
    made.close()


@pytest.fixture(scope="module")
def service(land):
    return land.serve("31")


class Office:
    """Calls of the agency's systems."""

    def __init__(self, land, service):
        self.land, self.service = land, service

    def call(self, path, body, name="clerks"):
        return self.service.call("POST", path, body, key=self.land.keys[f"31/{name}"])

    def license(self, n):
        return self.land.issue("31", n)[0].license.identifier

    def revoke(self, identifier, number, name="clerks", **changes):
        case = {"number": number, "matter": "M-1", "operator": "clerk-1", **changes.pop("case", {})}
        body = {"identifier": identifier, "reason": "by the law", "case": case, **changes}
        return self.call("/v1/licenses/revoke", body, name)

    def waiting(self, name="supervisors"):
        found = self.call("/v1/confirmations", {}, name)
        assert found.status == 200, found.body
        return {each["pending"]: each for each in found.json["confirmations"]}

    def confirm(self, pending, name="supervisors", **changes):
        """As an honest system does: the digest is made of what its officer was shown."""
        shown = self.waiting().get(pending, {"content": {}})["content"]
        body = {"pending": pending, "digest": digest(shown), "operator": "clerk-2", **changes}
        return self.call("/v1/confirmations/confirm", body, name)

    def state(self, identifier):
        return self.call("/v1/licenses/show", {"identifier": identifier}).json["state"]

    def events(self, number):
        found = self.service.call("GET", "/v1/events?after=0", key=self.land.keys["31/auditor"]).json
        return [each for each in found["events"] if each["case"]["number"] == number]


def digest(content) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return sha256(text.encode()).hexdigest()


@pytest.fixture(scope="module")
def office(land, service):
    return Office(land, service)


# --- the way of a call --------------------------------------------------------------------------------------


def test_a_revocation_waits_until_another_partner_confirms_it(land, office):
    named = office.license(1)
    first = office.revoke(named, "R-1")
    assert first.status == 202, first.body
    assert set(first.json) == {"pending", "expires"}
    assert office.state(named) == "valid"
    shown = office.waiting()[first.json["pending"]]
    assert shown["digest"] == digest(shown["content"])
    assert shown["content"]["act"] == "revoke"
    assert (shown["content"]["identifier"], shown["content"]["partner"]) == (named, "clerks")

    again = office.revoke(named, "R-1")
    assert (again.status, again.json) == (202, first.json)
    other = office.revoke(named, "R-1", reason="another")
    assert other.status == 409

    done = office.confirm(first.json["pending"])
    assert (done.status, done.json["identifier"]) == (200, named)
    assert office.state(named) == "revoked"
    [event] = office.events("R-1")
    assert event["case"]["operator"] == "clerk-1"
    assert event["case"]["second_operator"] == "clerk-2"
    assert event["detail"] == {"partners": ["clerks", "supervisors"]}
    assert first.json["pending"] not in office.waiting()

    assert office.revoke(named, "R-1").status == 200
    assert office.revoke(named, "R-1", kind="withdrawn").status == 409
    assert len(office.events("R-1")) == 1


def test_a_license_is_issued_by_two(office):
    body = {
        "type": FOOD,
        "record": record(FOOD, 1),
        "printed": {"originals": 1},
        "case": {"number": "I-1", "operator": "clerk-1"},
    }
    first = office.call("/v1/licenses", body)
    assert first.status == 202
    content = office.waiting()[first.json["pending"]]["content"]
    assert content["record"] == record(FOOD, 1)
    assert content["printed"] == {"originals": 1, "duplicates": 0, "stock": []}
    done = office.confirm(first.json["pending"])
    assert (done.status, done.json["again"], len(done.json["printed"])) == (201, False, 1)
    again = office.call("/v1/licenses", body)
    assert (again.status, again.json["again"]) == (200, True)
    assert again.json["identifier"] == done.json["identifier"]
    assert office.call("/v1/licenses", {**body, "record": record(FOOD, 2)}).status == 409


def test_a_wrong_record_is_refused_at_once_and_never_waits(office):
    wrong = {**record(FOOD, 3), "uscc": "1"}
    body = {"type": FOOD, "record": wrong, "case": {"number": "I-2", "operator": "clerk-1"}}
    found = office.call("/v1/licenses", body)
    assert (found.status, found.json["field"]) == (422, "uscc")
    assert all(each["content"]["case"]["number"] != "I-2" for each in office.waiting().values())


def test_a_correction_shows_its_changes_and_makes_a_version(office):
    named = office.license(2)
    body = {
        "identifier": named,
        "reason": "typo",
        "changes": {"address": "上海市黄浦区样例路2号"},
        "case": {"operator": "clerk-1"},
    }
    key = office.land.keys["31/clerks"]
    first = office.service.call("POST", "/v1/licenses/correct", body, key=key, Idempotency_Key="K-1")
    assert first.status == 202
    content = office.waiting()[first.json["pending"]]["content"]
    assert content["changes"] == {"address": "上海市黄浦区样例路2号"}
    done = office.confirm(first.json["pending"])
    assert (done.status, done.json["version"]) == (200, 2)


def test_a_rejection_is_told_to_who_asked(office):
    named = office.license(3)
    pending = office.revoke(named, "R-3").json["pending"]
    body = {"pending": pending, "operator": "clerk-2", "reason": "the hearing is missing"}
    rejected = office.call("/v1/confirmations/reject", body, "supervisors")
    assert (rejected.status, rejected.json["state"]) == (200, "rejected")
    told = office.revoke(named, "R-3")
    assert (told.status, told.json["state"], told.json["because"]) == (
        409,
        "rejected",
        "the hearing is missing",
    )
    assert office.confirm(pending, digest="0" * 64).status == 409
    assert office.state(named) == "valid"
    anew = office.revoke(named, "R-3", reason="after the hearing")
    assert anew.status == 202
    withdrawn = {"pending": anew.json["pending"], "operator": "clerk-1", "reason": "not needed"}
    assert office.call("/v1/confirmations/reject", withdrawn, "clerks").status == 200


def test_what_is_no_longer_allowed_is_a_conflict_and_gone(land, office):
    named = office.license(4)
    pending = office.revoke(named, "R-4").json["pending"]
    both = {"operator": "a", "second_operator": "b"}
    assert office.revoke(named, "R-4b", "agency", case=both, kind="withdrawn").status == 200
    late = office.confirm(pending)
    assert (late.status, late.json["state"]) == (409, "withdrawn")
    assert pending not in office.waiting()
    again = office.confirm(pending, digest="0" * 64)
    assert (again.status, again.json["state"]) == (409, "failed")
    assert "withdrawn" in again.json["because"]


def test_its_time_is_over(land, office):
    issuer = land.open("31")
    named = office.license(5)
    case = Case(number="R-5", operator="clerk-1")
    act = Act(kind=EventKind.REVOKE, identifier=named, reason="by the law", case=case)
    early = clock() - LIFE + timedelta(seconds=1)
    pending = Confirmations(issuer).do(act, by="clerks", now=early)
    issuer.register.close()
    time.sleep(1.5)
    body = {"pending": pending.id, "digest": pending.digest.hex(), "operator": "clerk-2"}
    late = office.call("/v1/confirmations/confirm", body, "supervisors")
    assert (late.status, late.json["state"]) == (410, "expired")
    assert office.state(named) == "valid"
    fresh = office.revoke(named, "R-5")
    assert fresh.status == 202
    assert fresh.json["pending"] != pending.id


def test_content_that_nobody_confirms_is_deleted_by_the_service(land):
    """Without any call: the regular work of a process does it."""
    issuer = land.open("32")
    issued, _, _ = land.issue("32", 6)
    case = Case(number="R-6", operator="clerk-1")
    act = Act(kind=EventKind.REVOKE, identifier=issued.license.identifier, reason="r", case=case)
    Confirmations(issuer).do(act, by="clerks", now=clock() - LIFE)
    issuer.register.close()
    land.serve("32")
    for _ in range(100):
        with sqlite3.connect(land.place("32") / "register.sqlite") as connection:
            [(state, content)] = connection.execute("SELECT state, content FROM confirmation").fetchall()
        connection.close()
        if state != "waiting":
            break
        time.sleep(0.05)
    assert (state, content) == ("expired", None)


# --- who may not --------------------------------------------------------------------------------------------


def test_a_second_operator_counts_from_a_partner_that_attests_only(office):
    named = office.license(10)
    both = {"operator": "clerk-1", "second_operator": "clerk-2"}
    refused = office.revoke(named, "A-1", case=both)
    assert (refused.status, refused.json["field"]) == (422, "case.second_operator")
    # Refused as well where the type asks for one officer only: nothing false gets into the record.
    body = {"identifier": named, "reason": "r", "case": {"number": "A-2", **both}}
    assert office.call("/v1/licenses/suspend", body).status == 422
    assert office.state(named) == "valid"
    same = {"operator": "clerk-1", "second_operator": "Clerk-1"}
    assert office.revoke(named, "A-3", "agency", case=same).status == 409
    assert office.revoke(named, "A-4", "agency", case=both).status == 200
    assert office.state(named) == "revoked"


def test_a_partner_that_attests_waits_too_if_it_names_nobody(office):
    named = office.license(11)
    found = office.revoke(named, "A-5", "agency")
    assert found.status == 202
    assert office.confirm(found.json["pending"], "agency").status == 403
    assert office.confirm(found.json["pending"]).status == 200


def test_one_key_is_not_both_pairs_of_eyes(office):
    """Somebody has stolen a key of an issuer: it asks, and nothing more."""
    named = office.license(12)
    pending = office.revoke(named, "A-6").json["pending"]
    for changes in ({}, {"operator": "somebody else"}, {"operator": "clerk-1"}, {"digest": "0" * 64}):
        assert office.confirm(pending, "clerks", **changes).status == 403
    assert office.state(named) == "valid"
    assert pending in office.waiting()


def test_one_officer_with_two_keys_is_one_officer(office):
    named = office.license(13)
    pending = office.revoke(named, "A-7").json["pending"]
    for operator in ("clerk-1", "CLERK-1 ", "ｃｌｅｒｋ-1"):
        assert office.confirm(pending, operator=operator).status == 403
    for operator in ("", " ", "clerk-1\u200b", "x" * 201):
        assert office.confirm(pending, operator=operator).status == 422
    assert office.state(named) == "valid"


@pytest.mark.parametrize(("name", "status"), [("window", 403), ("auditor", 403), ("nobody", 403)])
def test_other_roles_confirm_and_reject_nothing(office, name, status):
    named = office.license({"window": 14, "auditor": 15, "nobody": 16}[name])
    pending = office.revoke(named, f"A-8-{name}").json["pending"]
    assert office.confirm(pending, name).status == status
    body = {"pending": pending, "operator": "clerk-9", "reason": "r"}
    assert office.call("/v1/confirmations/reject", body, name).status == status
    listed = office.call("/v1/confirmations", {}, name).status
    assert listed == (200 if name == "auditor" else 403)
    assert pending in office.waiting()
    assert office.service.call("POST", "/v1/confirmations", {}).status == 401


def test_an_auditor_sees_that_something_waits_and_no_values(office):
    named = office.license(17)
    body = {
        "identifier": named,
        "reason": "typo",
        "changes": {"legal_representative": "某甲"},
        "case": {"number": "A-9", "operator": "clerk-1"},
    }
    pending = office.call("/v1/licenses/correct", body).json["pending"]
    shown = office.waiting("auditor")[pending]
    assert set(shown) == {"pending", "expires", "content"}
    assert shown["content"]["fields"] == ["legal_representative"]
    assert "某甲" not in json.dumps(shown, ensure_ascii=False)
    assert "某甲" in json.dumps(office.waiting()[pending], ensure_ascii=False)


def test_what_was_shown_is_what_is_done(land, office):
    """The digest of another content: of another call, of an earlier one, of one changed in the database."""
    named, victim = office.license(18), office.license(19)
    pending = office.revoke(named, "A-10").json["pending"]
    shown = office.waiting()[pending]["content"]
    other = office.revoke(victim, "A-11").json["pending"]
    assert office.confirm(other, digest=digest(shown)).status == 409
    for wrong in ("", "0" * 63, "F" * 64, "x" * 64):
        assert office.confirm(pending, digest=wrong).status == 422
    with sqlite3.connect(land.place("31") / "register.sqlite") as connection:
        kept = json.dumps({key: value for key, value in shown.items() if key not in ("authority", "partner")})
        changed = kept.replace(named, victim)
        connection.execute("UPDATE confirmation SET content = ? WHERE id = ?", (changed, pending))
    connection.close()
    found = office.confirm(pending, digest=digest(shown))
    assert found.status == 409
    assert "look at it again" in found.json["title"]
    assert (office.state(named), office.state(victim)) == ("valid", "valid")


def test_a_confirmation_is_no_ticket_for_later(office):
    named, other = office.license(20), office.license(21)
    pending = office.revoke(named, "A-12").json["pending"]
    body = {"pending": pending, "digest": office.waiting()[pending]["digest"], "operator": "clerk-2"}
    done = office.call("/v1/confirmations/confirm", body, "supervisors")
    assert done.status == 200
    # Its own answer once more, for an answer that was lost; nothing for anybody else, and nothing else.
    assert office.call("/v1/confirmations/confirm", body, "supervisors").json == done.json
    replayed = office.call("/v1/confirmations/confirm", {**body, "operator": "clerk-3"}, "supervisors")
    assert (replayed.status, replayed.json["state"]) == (409, "done")
    assert office.call("/v1/confirmations/confirm", body, "clerks").status == 403
    fresh = office.revoke(other, "A-13").json["pending"]
    assert office.call("/v1/confirmations/confirm", {**body, "pending": fresh}, "supervisors").status == 409
    unknown = {**body, "pending": "0" * 32}
    assert office.call("/v1/confirmations/confirm", unknown, "supervisors").status == 404
    assert len(office.events("A-12")) == 1


def test_what_waits_is_in_no_log(office):
    named = office.license(22)
    office.revoke(named, "A-14", reason="a reason that nobody logs")
    office.waiting()
    log = office.service.log.read_text()
    assert '"route": "/v1/confirmations"' in log
    assert named not in log
    assert "nobody logs" not in log


# --- processes ----------------------------------------------------------------------------------------------


def test_it_waits_through_a_restart(land, office):
    named = office.license(30)
    one = Office(land, land.serve("31"))
    pending = one.revoke(named, "P-1").json["pending"]
    one.service.stop(kill=True)
    two = Office(land, land.serve("31"))
    assert two.revoke(named, "P-1").json["pending"] == pending
    assert two.confirm(pending).status == 200
    assert two.revoke(named, "P-1").status == 200
    two.service.stop()


@pytest.fixture(scope="module")
def other(land):
    """The same systems, that call a second process."""
    return Office(land, land.serve("31"))


@pytest.mark.parametrize("n", range(3))
def test_two_processes_do_it_once(office, other, n):
    named, number = office.license(31 + n), f"P-2{n}"
    with ThreadPoolExecutor(4) as pool:
        asked = list(pool.map(lambda each: each.revoke(named, number), [office, other] * 2))
    assert {each.status for each in asked} == {202}
    [pending] = {each.json["pending"] for each in asked}
    body = {"pending": pending, "digest": office.waiting()[pending]["digest"]}

    def confirm(given):
        place, operator = given
        return place.call("/v1/confirmations/confirm", {**body, "operator": operator}, "supervisors").status

    with ThreadPoolExecutor(4) as pool:
        found = list(
            pool.map(confirm, [(each, f"clerk-{who}") for who in (2, 3) for each in (office, other)])
        )
    assert 200 in found
    assert set(found) <= {200, 409}
    assert len(office.events(number)) == 1


# --- bulk jobs ----------------------------------------------------------------------------------------------


def export(type_, *numbers) -> bytes:
    return "\n".join(json.dumps(record(type_, n)) for n in numbers).encode()


def send(office, type_, body, name="clerks", **headers):
    return office.service.call(
        "POST",
        f"/v1/jobs?type={type_}",
        body,
        key=office.land.keys[f"31/{name}"],
        Content_Type="application/jsonl",
        X_Ewallet_Operator="clerk-1",
        **headers,
    )


def ended(office, job):
    for _ in range(200):
        found = office.service.call("GET", f"/v1/jobs/{job}", key=office.land.keys["31/clerks"]).json
        if found["state"] in ("done", "failed"):
            return found
        time.sleep(0.05)
    return found


def test_a_bulk_job_is_no_way_around_four_eyes(land, office):
    body = export(FOOD, 100, 101)
    alone = send(office, FOOD, body)
    assert alone.status == 409
    assert "one by one" in alone.json["title"]
    claimed = send(office, FOOD, body, X_Ewallet_Second_Operator="clerk-2")
    assert (claimed.status, claimed.json["field"]) == (422, "second_operator")
    assert send(office, FOOD, body, "agency").status == 409
    assert send(office, FOOD, body, "agency", X_Ewallet_Second_Operator="CLERK-1").status == 409
    issuer = land.open("31")
    assert issuer.register.find(number=record(FOOD, 100)["permit_number"]) == []
    issuer.register.close()
    both = send(office, FOOD, body, "agency", X_Ewallet_Second_Operator="clerk-2")
    assert both.status == 202
    done = ended(office, both.json["job"])
    assert (done["state"], done["issued"], done["rejected"]) == ("done", 2, 0), done


def test_any_process_tells_how_far_a_job_is(land, office):
    """Also one with another state directory: a second machine."""
    body = export(BUSINESS, *range(400, 410))
    job = send(office, BUSINESS, body).json["job"]
    found = ended(office, job)
    assert (found["state"], found["issued"], found["rows"]) == ("done", 10, 10)
    key = land.keys["31/clerks"]
    assert b"issued" in office.service.call("GET", f"/v1/jobs/{job}/results.csv", key=key).body

    away = Office(land, land.serve("31", "--state", str(land.directory / "another machine")))
    assert away.service.call("GET", f"/v1/jobs/{job}", key=key).json == found
    elsewhere = away.service.call("GET", f"/v1/jobs/{job}/results.csv", key=key)
    assert (elsewhere.status, elsewhere.json["machine"]) == (409, found["machine"])
    assert "where it ran" in elsewhere.json["title"]
    assert away.service.call("GET", f"/v1/jobs/{'0' * 64}/results.csv", key=key).status == 404
    assert away.service.call("GET", "/v1/jobs/x/results.csv", key=key).status == 404

    # The same export sent there: no license twice, and the files are there.
    assert send(away, BUSINESS, body).json["job"] == job
    again = ended(away, job)
    assert (again["issued"], again["again"]) == (0, 10)
    results = away.service.call("GET", f"/v1/jobs/{job}/results.csv", key=key)
    assert results.body.count(b"again") == 10
    assert office.service.call("GET", f"/v1/jobs/{job}/results.csv", key=key).status == 409
    away.service.stop()


def test_a_job_that_is_done_is_not_begun_again_by_another_process(office, other):
    body = export(BUSINESS, 420, 421)
    job = send(office, BUSINESS, body).json["job"]
    found = ended(office, job)
    assert send(other, BUSINESS, body).json == found
