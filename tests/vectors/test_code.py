"""The vectors of `code.json`: identity codes at gates, each with its reason."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ewallet.code.challenge import Challenge, check_question
from ewallet.errors import Refused
from ewallet.keys import SigningKey
from ewallet.reasons import REASONS, Outcome
from ewallet.trust.entries import Service
from ewallet.verify.policy import Policy
from ewallet.verify.replay import FileGuard, MemoryGuard
from ewallet.verify.sources import StatusDirectory
from ewallet.verify.verifier import Verifier
from ewallet.wire import b64u_decode
from tests.office import City

DATA = json.loads((Path(__file__).parent / "code.json").read_text(encoding="utf-8"))
NOW = datetime.fromtimestamp(DATA["now"], UTC)
KEYS = {name: SigningKey.from_jwk(jwk) for name, jwk in DATA["keys"].items()}
SERVICES = (Service.CODES, Service.VERIFY, Service.LICENSES, Service.STATUS)


class Lists:
    """The lists that the cases speak of, each made once."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.made = {}

    def city(self, name: str) -> City:
        signers = {
            Service.CODES: KEYS["codes"],
            Service.VERIFY: KEYS["verify"],
            Service.LICENSES: KEYS["licenses"],
        }
        city = City(self.directory / name, signers=signers, now=NOW - timedelta(hours=5))
        city.world.authority(
            "32", "register", services=(Service.REGISTER,), signers={Service.REGISTER: KEYS["witness"]}
        )
        return city

    def trust(self, kind: str, case: dict):
        key = f"{kind}-{case['name']}" if kind in ("hot", "compromised") else kind
        if key not in self.made:
            self.made[key] = self.make(kind, key, case)
        return self.made[key]

    def make(self, kind: str, key: str, case: dict):
        city = self.city(key)
        then = NOW - timedelta(minutes=30)
        consortium, uri = city.world.consortium, city.listed.uri
        if kind == "brake":
            consortium.brake({"entity": uri}, reason="example", now=then)
        elif kind == "hot":
            consortium.set_hot("31", [b64u_decode(each) for each in case["hot"]], now=then)
        elif kind == "compromised":
            since = datetime.fromtimestamp(case["compromised_from"], UTC)
            kid, then = KEYS["codes"].public_key.kid, NOW - timedelta(seconds=60)
            consortium.compromise(uri, Service.CODES, kid=kid, since=since, now=then)
        elif kind == "next-day":
            then = NOW + timedelta(hours=20)
        return city.publish(at=then)


@pytest.fixture(scope="module")
def lists(tmp_path_factory):
    return Lists(tmp_path_factory.mktemp("lists"))


def guard_of(case, place, *, started):
    if case["guard"] == "memory":
        return MemoryGuard(started=started)
    guard = FileGuard(place / "guard")
    if case["guard"] == "unreachable":
        guard.close()
    return guard


class Gate:
    """A gate of one case."""

    def __init__(self, case, lists, place) -> None:
        self.case, self.lists, self.place = case, lists, place
        self.guard = guard_of(case, place, started=NOW - timedelta(minutes=5))
        self.verifiers = {}

    def restart(self, now) -> None:
        self.guard = guard_of(self.case, self.place, started=now)
        self.verifiers.clear()

    def verifier(self, venue, kind):
        trust = self.lists.trust(kind, self.case)
        if venue not in self.verifiers:
            scene = trust.scenes[self.case["scene"]]
            narrow = scene.narrowed({"scene": scene.id, "venue": venue})
            proofs = {}
            for proof in self.case.get("proofs", ()):
                proofs.setdefault(bytes.fromhex(proof["digest"]), []).append(
                    bytes.fromhex(proof["statement"])
                )
            self.verifiers[venue] = Verifier(
                trust=trust,
                policy=Policy.of(narrow, province="31"),
                status=StatusDirectory(self.place),
                replay=self.guard,
                proofs=proofs,
            )
        found = self.verifiers[venue]
        return found if found.trust is trust else found.with_trust(trust, StatusDirectory(self.place))


def challenge_of(case) -> Challenge | None:
    asked = case.get("challenge")
    if asked is None:
        return None
    changes = {"digest": bytes.fromhex(asked["digest"]), "attributes": frozenset(asked["attributes"])}
    return Challenge(**{**asked, **changes})


@pytest.mark.parametrize("case", [c for c in DATA["cases"] if "steps" in c], ids=lambda c: c["name"])
def test_a_gate_answers_as_the_vector_says(case, lists, tmp_path):
    gate = Gate(case, lists, tmp_path)
    usual = "compromised" if "compromised_from" in case else "plain"
    for step in case["steps"]:
        now = datetime.fromtimestamp(step["now"], UTC)
        if step.get("restart"):
            gate.restart(now)
        venue = step.get("venue", case.get("venue", DATA["venue"]))
        verifier = gate.verifier(venue, step.get("lists", usual))
        found = verifier.verify(step["scan"], now=now, answering=challenge_of(case))
        assert (found.reason.code if found.reason else None) == step["reason"], found.checks
        wanted = REASONS[step["reason"]].outcome if step["reason"] else Outcome.ACCEPTED
        assert found.outcome is wanted


@pytest.mark.parametrize("case", [c for c in DATA["cases"] if "question" in c], ids=lambda c: c["name"])
def test_the_holder_s_side_answers_as_the_vector_says(case, lists):
    trust = lists.trust("plain", case)
    now = datetime.fromtimestamp(case["now"], UTC)
    if case["reason"] is None:
        assert check_question(case["question"], trust, now=now).asker.uri == DATA["authority"]["uri"]
        return
    with pytest.raises(Refused) as caught:
        check_question(case["question"], trust, now=now)
    assert caught.value.reason == case["reason"]


def test_no_case_stands_twice():
    names = [case["name"] for case in DATA["cases"]]
    assert len(set(names)) == len(names) >= 70
