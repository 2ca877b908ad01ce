"""Codes from a listed authority at gates with trust lists: the verifier, the gate loop, the command."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from ewallet.cli.code_commands import draw_in_terminal
from ewallet.cli.gate import Gate
from ewallet.code.authority import Event
from ewallet.code.challenge import check_challenge
from ewallet.code.delegation import Delegation
from ewallet.code.names import mask_name
from ewallet.code.paper import make_paper
from ewallet.code.rotating import answer, show
from ewallet.errors import Malformed, Refused
from ewallet.formats.statuslist import StatusList, StatusReference, issue_cwt
from ewallet.keys import SigningKey
from ewallet.trust.entries import Grant, Service
from ewallet.verify.replay import FileGuard, MemoryGuard, double_entries, read_log
from ewallet.verify.sources import path_of
from tests.office import NOW, VENUE, City, reason_of


@pytest.fixture(scope="module")
def city(tmp_path_factory):
    return City(tmp_path_factory.mktemp("city"))


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def test_a_code_is_accepted_once(city):
    ((made, key),) = city.office.passes(attributes={"resident": True})
    gate = city.verifier()
    shown = show(made, key, audience=VENUE, now=NOW, disclose=["resident"])
    found = gate.verify(shown, now=later(2))
    assert reason_of(found) == "ACCEPTED"
    assert found.subject.attributes == {"resident": True}
    assert reason_of(gate.verify(shown, now=later(3))) == "code.replayed"
    assert reason_of(gate.verify(shown, now=later(60))) == "code.expired"
    again = show(made, key, audience=VENUE, now=later(30))
    assert reason_of(gate.verify(again, now=later(30))) == "code.replayed"
    fresh = show(made, key, audience=VENUE, now=later(40))
    assert reason_of(gate.verify(fresh, now=later(41))) == "ACCEPTED"


def test_ten_passes_of_one_person_enter_once_a_day(city):
    gate = city.verifier("park")
    answers = []
    for number, (made, key) in enumerate(city.office.passes(10, scenes=["park"])):
        shown = show(made, key, audience=VENUE, now=later(number))
        answers.append(reason_of(gate.verify(shown, now=later(number))))
    assert answers == ["ACCEPTED"] + ["code.replayed"] * 9


def test_an_event_refuses_outside_its_period(city):
    whole = NOW.replace(minute=0, second=0)
    event = Event(name="opening", start=whole + timedelta(hours=1), end=whole + timedelta(hours=2))
    ((made, key),) = city.office.passes(scenes=["event"], event=event, attributes={"age_over_18": True})
    shown = show(made, key, audience=VENUE, now=NOW)
    gate = city.verifier("event", hot_required=True)
    assert reason_of(gate.verify(shown, now=NOW)) == "pass.expired"
    inside = NOW + timedelta(hours=1)
    shown = show(made, key, audience=VENUE, now=inside)
    assert reason_of(gate.verify(shown, now=inside)) == "ACCEPTED"


def test_a_challenge_is_checked_answered_and_consumed(city):
    ((made, key),) = city.office.passes(
        scenes=["police-check"], attributes={"masked_name": "张*", "resident": True}
    )
    gate = city.verifier("police-check")
    asked = city.ask("police-check", ("masked_name",))
    checked = check_challenge(asked.text, city.trust, now=later(1))
    assert checked.asker.uri == city.listed.uri
    assert checked.attributes == {"masked_name"}
    with pytest.raises(Refused, match=r"verifier\.not_granted"):
        answer(made, key, challenge=checked, disclose=["resident"], now=later(2))
    given = answer(made, key, challenge=checked, disclose=["masked_name"], now=later(2))
    assert reason_of(gate.verify(given, now=later(3), answering=asked)) == "ACCEPTED"
    assert reason_of(gate.verify(given, now=later(4), answering=asked)) in ("code.challenge", "code.replayed")
    other = city.ask("police-check", ("masked_name",))
    assert reason_of(gate.verify(given, now=later(4), answering=other)) == "code.challenge"
    with pytest.raises(ValueError, match="challenge"):
        gate.verify(given, now=later(4))
    with pytest.raises(Refused, match=r"code\.expired"):
        check_challenge(asked.text, city.trust, now=later(61))
    with pytest.raises(Refused, match=r"code\.expired"):
        answer(made, key, challenge=checked, disclose=[], now=later(61))


def test_an_unlisted_asker_and_one_beyond_its_grant_are_refused(city, tmp_path):
    stranger = city.ask("hotel", signer=SigningKey.generate())
    with pytest.raises(Refused, match=r"verifier\.unknown"):
        check_challenge(stranger.text, city.trust, now=NOW)
    beyond = city.ask("hotel", ("district",))
    with pytest.raises(Refused, match=r"verifier\.not_granted"):
        check_challenge(beyond.text, city.trust, now=NOW)
    nowhere = city.ask("moon")
    with pytest.raises(Refused, match=r"verifier\.not_granted"):
        check_challenge(nowhere.text, city.trust, now=NOW)
    with pytest.raises(Refused, match=r"code\.from_future"):
        check_challenge(city.ask("hotel", now=later(120)).text, city.trust, now=NOW)

    narrow = Grant(scenes=frozenset(("hotel",)), venues=frozenset((VENUE,)), attributes=frozenset())
    hotel = city.world.authority("31", "hotel", services=(Service.VERIFY,), grant=narrow)
    trust = city.publish(at=NOW - timedelta(minutes=30))
    parts = {"issuer": hotel.uri, "signer": hotel.signer(Service.VERIFY)}
    assert check_challenge(city.ask("hotel", **parts).text, trust, now=NOW).venue == VENUE
    for wrong in ({"venue": VENUE + "0"}, {"attributes": ("masked_name",)}):
        with pytest.raises(Refused, match=r"verifier\.not_granted"):
            check_challenge(city.ask("hotel", **{**parts, **wrong}).text, trust, now=NOW)


def test_a_revoked_pass_is_refused_from_the_next_hot_list(tmp_path):
    city = City(tmp_path)
    ((made, key),) = city.office.passes(phone="lost")
    shown = show(made, key, audience=VENUE, now=NOW)
    assert reason_of(city.verifier().verify(shown, now=NOW)) == "ACCEPTED"
    city.office.authority.lose_phone("p-1", "lost", now=NOW)
    hot = city.office.authority.hot_list(now=NOW)
    city.world.consortium.set_hot("31", hot, now=NOW)
    city.publish(at=NOW)
    assert reason_of(city.verifier().verify(shown, now=NOW)) == "pass.revoked"


def test_a_shared_guard_stops_the_other_gate(city, tmp_path):
    guard = FileGuard(tmp_path / "guard")
    ((made, key),) = city.office.passes()
    shown = show(made, key, audience="library", now=NOW)
    east = city.verifier(guard=guard, venue="https://sh.ewallet.example/v/east")
    west = city.verifier(guard=guard, venue="https://sh.ewallet.example/v/west")
    assert reason_of(east.verify(shown, now=NOW)) == "ACCEPTED"
    assert reason_of(west.verify(shown, now=NOW)) == "code.replayed"
    guard.close()
    assert reason_of(west.verify(show(made, key, audience="library", now=later(50)), now=later(50))) == (
        "replay.unavailable"
    )
    restarted = city.verifier(guard=MemoryGuard(started=later(1)))
    assert reason_of(restarted.verify(shown, now=later(2))) == "replay.unavailable"


def run(*arguments: str, given: str = "", **parts):
    return subprocess.run(
        [sys.executable, "-m", "ewallet", *arguments],
        input=given, capture_output=True, text=True, check=False, timeout=120, **parts,
    )  # fmt: skip


def test_the_command_issues_shows_and_runs_a_gate(tmp_path):
    now = datetime.now(UTC)
    city = City(tmp_path / "city", now=now - timedelta(hours=1))
    city.publish(at=now - timedelta(seconds=5))
    bundle = city.bundle(tmp_path / "bundle", {"scene": "library", "venue": VENUE, "province": "31"})
    (tmp_path / "password").write_text("correct horse\n")
    city.listed.signer(Service.CODES).save(tmp_path / "codes.pem", "correct horse")
    secret = ("--password-file", str(tmp_path / "password"))
    made = run(
        "code", "issue", "--key", str(tmp_path / "codes.pem"), "--name", city.listed.uri,
        "--wallet", str(tmp_path / "wallet"), "--wallet-password-file", str(tmp_path / "password"),
        "--subject", "p-1", "--scene", "library", "--attribute", "resident=true", "--count", "3", *secret,
    )  # fmt: skip
    assert (made.returncode, made.stderr) == (0, "")
    assert "software keys" in made.stdout
    png = tmp_path / "code.png"
    arguments = ("code", "show", "--wallet", str(tmp_path / "wallet"), "--scene", "library", *secret)
    shown = run(*arguments, "--venue", VENUE, "--disclose", "resident", "--png", str(png))
    assert shown.returncode == 0, shown.stderr
    text = shown.stdout.strip()
    assert text.startswith("EWC")
    assert png.stat().st_size > 200
    refused = run(*arguments, "--venue", VENUE, "--disclose", "masked_name")
    assert (refused.returncode, refused.stderr.splitlines()[0][:19]) == (1, "error: policy.scene")
    health = tmp_path / "health"
    gate = run(
        "gate", "--trust", str(bundle), "--state", str(tmp_path / "state"), "--health", str(health),
        "--name", "east", given=f"{text}\r\n{text}\nnonsense\n\n{text[:-1]}A",
    )  # fmt: skip
    assert gate.returncode == 0, gate.stderr
    lines = [json.loads(line) for line in gate.stdout.splitlines()]
    assert [line["reason"] for line in lines[:3]] == [None, "code.replayed", "code.unreadable"]
    assert lines[0]["subject"]["attributes"] == {"resident": True}
    assert lines[0]["spent"][0]["kind"] == "code"
    assert lines[3]["outcome"] == "REJECTED"
    (accepted,) = read_log(gate.stdout.splitlines())
    assert (accepted.gate, accepted.spending.gap) == ("east", 40)
    west = replace(accepted, gate="west", accepted_at=accepted.accepted_at + 9)
    ((first, second),) = double_entries([[accepted], [west]])
    assert (first.gate, second.gate) == ("east", "west")
    with pytest.raises(Malformed):
        read_log(['{"outcome": "ACCEPTED"}'])
    assert health.read_text().startswith(str(now.year))


def test_a_gate_loads_a_new_bundle_and_survives_a_bad_one(tmp_path):
    city = City(tmp_path / "city")
    bundle = city.bundle(tmp_path / "bundle", {"scene": "library", "venue": VENUE, "province": "31"})
    here = Gate(
        bundle, root=None, policy=None, state=tmp_path / "state",
        guard=MemoryGuard(started=NOW - timedelta(minutes=5)), name="g", health=None, ask=None,
    )  # fmt: skip
    here.load(NOW)
    assert here.tick(NOW) == []
    ((made, key),) = city.office.passes()
    shown = show(made, key, audience=VENUE, now=NOW)
    assert here.decide(shown, NOW)["outcome"] == "ACCEPTED"
    assert here.decide(shown, NOW)["reason"] == "code.replayed"
    policy = bundle / "policy.json"
    policy.write_text(json.dumps({"scene": "library", "venue": VENUE + "9", "province": "31"}))
    (loaded,) = here.tick(NOW)
    assert loaded["event"] == "loaded"
    assert here.decide(shown, NOW)["reason"] == "code.audience"
    policy.write_text("{")
    (refused,) = here.tick(NOW)
    assert refused["event"] == "refused"
    assert here.decide(shown, NOW)["reason"] == "code.audience"


def test_a_gate_asks_and_takes_the_answer(tmp_path):
    city = City(tmp_path / "city")
    bundle = city.bundle(tmp_path / "bundle", {"scene": "police-check", "venue": VENUE, "province": "31"})

    def ask(scene, now):
        return city.ask(scene.id, now=now)

    here = Gate(
        bundle, root=None, policy=None, state=tmp_path / "state",
        guard=city.guard("shared"), name="g", health=None, ask=ask,
    )  # fmt: skip
    here.load(NOW)
    (line,) = here.tick(NOW)
    checked = check_challenge(line["question"], city.trust, now=NOW)
    ((made, key),) = city.office.passes(scenes=["police-check"])
    given = answer(made, key, challenge=checked, disclose=[], now=NOW)
    assert here.decide(given, NOW)["outcome"] == "ACCEPTED"
    (renewed,) = here.tick(NOW)
    assert renewed["question"] != line["question"]
    assert here.decide(given, NOW)["reason"] == "code.challenge"
    assert city.listed.signer(Service.VERIFY).public_key.kid


def test_the_code_in_the_terminal_is_square():
    rows = draw_in_terminal("EWC" + "A" * 100).splitlines()
    assert abs(len(rows) * 2 - len(rows[0])) <= 1
    assert set("".join(rows)) <= set("█▀▄ ")


def test_an_enterprise_acts_through_a_person_with_a_role(city):
    delegation = Delegation(
        role="employee",
        actor="p-7",
        subject_name="示例餐饮有限公司",
        actor_name="赵*",
        scenes=frozenset(("enterprise-service",)),
        until=NOW + timedelta(days=30),
    )
    ((made, key),) = city.office.passes(
        subject="e-1",
        kind="enterprise",
        scenes=["enterprise-service"],
        attributes={"enterprise_name": "示例餐饮有限公司", "uscc": "91310000MA1FL0000X"},
        delegation=delegation,
    )
    shown = show(made, key, audience=VENUE, now=NOW, disclose=["uscc", "subject", "actor"])
    found = city.verifier("enterprise-service").verify(shown, now=NOW)
    assert reason_of(found) == "ACCEPTED"
    assert found.subject.kind == "enterprise"
    assert found.subject.attributes["uscc"] == "91310000MA1FL0000X"
    assert found.actor.role == "employee"


def test_a_foreigner_shows_a_business_card(city):
    ((made, key),) = city.office.passes(
        subject="f-1",
        kind="international",
        scenes=["business-card"],
        attributes={"masked_name": mask_name("Jane van der Example"), "resident": True},
    )
    shown = show(made, key, audience="business-card", now=NOW, disclose=["masked_name"])
    found = city.verifier("business-card").verify(shown, now=NOW)
    assert reason_of(found) == "ACCEPTED"
    assert found.subject.attributes == {"masked_name": "J*** v** d** E******"}


def test_a_paper_code_counts_once_a_day_and_is_revoked_alone(tmp_path):
    city = City(tmp_path)
    key, uri = city.listed.signer(Service.CODES), city.listed.uri
    status_uri = f"{city.listed.status_prefix}1"
    statuses = StatusList(size=64)
    folder = tmp_path / "status"

    def publish(now):
        token = issue_cwt(
            statuses,
            city.listed.signer(Service.STATUS),
            uri=status_uri,
            now=now,
            ttl=3600,
            exp=now + timedelta(days=1),
        )
        file = folder / path_of(status_uri)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(token)

    def sheet(idx):
        return make_paper(
            key,
            issuer=uri,
            kind="senior",
            masked_name="王*芳",
            scenes=[city.trust.scenes["park"]],
            status=StatusReference(idx=idx, uri=status_uri),
            now=NOW - timedelta(minutes=1),
            until=NOW + timedelta(days=200),
        )

    publish(NOW)
    one, other = sheet(1), sheet(2)
    gate = city.verifier("park")
    found = gate.verify(one, now=NOW)
    assert reason_of(found) == "ACCEPTED"
    assert {notice.code for notice in found.notices} >= {"compare.person", "assurance.low"}
    assert reason_of(gate.verify(one, now=later(600))) == "code.replayed"
    statuses.set(1, 1)
    publish(later(700))
    fresh = city.verifier("park")
    assert reason_of(fresh.verify(one, now=later(701))) == "pass.revoked"
    assert reason_of(fresh.verify(other, now=later(701))) == "ACCEPTED"
