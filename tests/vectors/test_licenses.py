"""The vectors of `licenses.json`: licenses at a counter, each with its reason."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ewallet.keys import SigningKey
from ewallet.reasons import REASONS, Outcome
from ewallet.trust.authoring import Consortium
from ewallet.trust.distribution import TrustStore
from ewallet.trust.entries import Grant, Service
from ewallet.verify.policy import Policy
from ewallet.verify.replay import MemoryGuard
from ewallet.verify.sources import StatusDirectory, path_of
from ewallet.verify.verifier import Verifier
from ewallet.wire import b64u_decode

DATA = json.loads((Path(__file__).parent / "licenses.json").read_text(encoding="utf-8"))
NOW = datetime.fromtimestamp(DATA["now"], UTC)
KEYS = {name: SigningKey.from_jwk(jwk) for name, jwk in DATA["keys"].items()}
LISTED = NOW - timedelta(days=90)


@pytest.fixture(scope="module")
def counter(tmp_path_factory):
    """Makes a verifier for a case: the lists as the file describes them."""
    place = tmp_path_factory.mktemp("licenses")
    for uri, token in DATA["status_lists"].items():
        file = place / "status" / path_of(uri)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b64u_decode(token))

    def lists(now):
        consortium = Consortium.sandbox(("31", "32"), now=now - timedelta(hours=1))
        for issuer in DATA["issuers"]:
            consortium.add_authority(
                "31",
                issuer["label"],
                names={"zh": "示例机关", "en": "Example authority"},
                services=[Service(service) for service in issuer["keys"]],
                signers={Service(service): KEYS[name] for service, name in issuer["keys"].items()},
                grant=Grant(
                    types=frozenset(issuer["types"]),
                    regions=frozenset(issuer["regions"]),
                    scenes=frozenset(("*",)),
                    assurance="high",
                    start=int(LISTED.timestamp()),
                ),
                now=now - timedelta(hours=1),
                start=LISTED,
            )
        directory = place / f"lists-{now:%Y%m%d}"
        consortium.publish(directory / "repository", now=now)
        return TrustStore.open(directory / "state").refresh(directory, now)

    made = {}

    def make(case, now):
        if now not in made:
            made[now] = lists(now)
        scene = case.get("scene", "counter")
        narrow = {"venue": DATA["venue"], **case.get("narrow", {})}
        if scene == "metro-lists":  # an old list is refused for its own time, not for the scene's
            scene = "counter"
        trust = made[now]
        policy = Policy.of(
            trust.scenes[scene].narrowed({"scene": scene, **narrow}),
            province=case.get("province", DATA["province"]),
            fields={"*": frozenset(case.get("wanted", ()))},
        )
        return Verifier(
            trust=trust,
            policy=policy,
            status=StatusDirectory(place / "status"),
            replay=MemoryGuard(started=now - timedelta(hours=1)),
        )

    return make


@pytest.mark.parametrize("case", DATA["cases"], ids=lambda case: case["name"])
def test_case(counter, case):
    now = NOW + timedelta(seconds=case.get("after", 0))
    [(form, content)] = case["scan"].items()
    scanned = bytes.fromhex(content) if form == "bytes" else content
    found = counter(case, now).verify(scanned, now=now)
    got = found.reason.code if found.reason else None
    if case["reason"] == "*":
        assert found.outcome is Outcome.REJECTED
        return
    assert got == case["reason"], found.checks[-1]
    if case["reason"] is None:
        [license_] = found.licenses
        shown = {key: value for key, value in license_.fields.items() if not key.startswith("holder_")}
        assert shown == case["fields"]
        if "version" in case:
            assert license_.version == case["version"]
    else:
        assert found.outcome is REASONS[got].outcome


def test_names_are_unique_and_every_fault_is_told():
    names = [case["name"] for case in DATA["cases"]]
    assert len(set(names)) == len(names) > 35
    assert all(case["what"].startswith("none") == (case["reason"] is None) for case in DATA["cases"])
