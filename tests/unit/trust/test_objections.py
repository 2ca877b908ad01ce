"""Objections: the trail is whole, each step is done by who may, and the notice says nobody's name."""

from __future__ import annotations

import json

import pytest

from ewallet.errors import Malformed, Refused
from ewallet.trust import objections
from ewallet.trust.entries import Service
from ewallet.trust.objections import Disputed, Result, export_trail, import_trail, verify_trail
from tests.province import HOUR, START, World

STATUS = "https://sh.ewallet.example/status/market/1"


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path, ("31", "32"))
    for province, label in (("31", "market"), ("31", "desk"), ("32", "hall"), ("32", "desk")):
        made.authority(province, label)
    made.publish()
    return made


@pytest.fixture
def trust(world):
    return world.trust()


class Case:
    """An objection of a Jiangsu hall against a Shanghai license."""

    def __init__(self, world):
        self.world = world
        self.at = START
        self.trail = [
            objections.raise_objection(
                Disputed(
                    license=bytes(32),
                    issuer=world.authorities["31", "market"].uri,
                    status_uri=STATUS,
                    status_idx=7,
                    field="address",
                    evidence=b"\1" * 32,
                ),
                to=world.authorities["32", "desk"].uri,
                **self.by("32", "hall"),
            )
        ]

    def by(self, province, label):
        authority = self.world.authorities[province, label]
        self.at += HOUR / 60
        return {"signer": authority.signer(Service.OBJECTIONS), "iss": authority.uri, "now": self.at}

    def forward(self):
        to = self.world.authorities["31", "desk"].uri
        self.trail.append(objections.forward(self.trail, to=to, **self.by("32", "desk")))

    def answer(self, province="31", label="desk", result=Result.CORRECTED):
        self.trail.append(objections.answer(self.trail, result, **self.by(province, label)))

    def close(self, province="32", label="hall"):
        self.trail.append(objections.close(self.trail, **self.by(province, label)))


@pytest.fixture
def case(world):
    return Case(world)


def reason(trust, trail):
    try:
        verify_trail(trust, trail, now=START + HOUR)
    except Refused as refusal:
        return refusal.reason
    return ""


def test_a_whole_trail(trust, case):
    case.forward()
    case.answer()
    found = verify_trail(trust, case.trail, now=START + HOUR)
    assert found.open
    assert found.result is Result.CORRECTED
    case.close()
    found = verify_trail(trust, case.trail, now=START + HOUR)
    assert [message.act.value for message in found.messages] == ["raise", "forward", "answer", "close"]
    assert found.notice() is None


def test_while_open_the_license_has_a_notice(world, trust, case):
    found = verify_trail(trust, case.trail, now=START + HOUR)
    notice = found.notice()
    assert notice == {
        "uri": STATUS,
        "idx": 7,
        "kind": "objection",
        "field": "address",
        "since": "2026-05-01T00:01:00Z",
    }
    world.consortium.notice(
        "31", uri=notice["uri"], idx=notice["idx"], kind="objection", field=notice["field"], now=START
    )
    world.publish(at=START + HOUR)
    assert [item.field for item in world.trust().notices(STATUS, 7)] == ["address"]
    assert "hall" not in json.dumps(notice)


def test_only_who_holds_it_forwards(trust, case):
    to = case.world.authorities["31", "desk"].uri
    case.trail.append(objections.forward(case.trail, to=to, **case.by("32", "hall")))
    assert reason(trust, case.trail) == "issuer.service"


def test_only_the_issuing_province_answers(trust, case):
    case.answer("32", "desk")
    assert reason(trust, case.trail) == "issuer.region"


def test_a_stranger_does_not_close(trust, case):
    case.close("32", "desk")
    assert reason(trust, case.trail) == "issuer.region"


def test_nothing_follows_the_end(trust, case):
    case.close()
    case.forward()
    assert reason(trust, case.trail) == "credential.malformed"


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_no_message_can_be_lost(trust, case, lost):
    case.forward()
    case.answer()
    case.close()
    del case.trail[lost]
    assert reason(trust, case.trail) == "credential.malformed"


def test_no_message_of_another_case_can_be_slipped_in(world, trust, case):
    other = Case(world)
    other.forward()
    assert reason(trust, [case.trail[0], other.trail[1]]) == "credential.malformed"


def test_only_a_key_for_objections_speaks(world, trust, case):
    hall = world.authorities["32", "hall"]
    case.trail.append(
        objections.close(case.trail, signer=hall.signer(Service.LICENSES), iss=hall.uri, now=START + HOUR / 2)
    )
    assert reason(trust, case.trail) == "issuer.service"


def test_the_trail_goes_to_the_archive_and_back(trust, case):
    case.forward()
    data = json.dumps(export_trail(case.trail)).encode()
    assert list(import_trail(data)) == case.trail
    assert verify_trail(trust, import_trail(data), now=START + HOUR).open
    with pytest.raises(Malformed):
        import_trail(b"{}")
