"""The vectors of `sharing.json`: supply codes as a window and as a counter read them, and signed asks."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ewallet.errors import Refused
from ewallet.keys import SigningKey
from ewallet.licenses.asking import verify_ask
from ewallet.licenses.supply_code import read_supply_code
from ewallet.reasons import Outcome
from ewallet.trust.authoring import Consortium
from ewallet.trust.distribution import TrustStore
from ewallet.trust.entries import Service
from ewallet.verify.policy import Policy
from ewallet.verify.replay import MemoryGuard
from ewallet.verify.sources import StatusDirectory
from ewallet.verify.verifier import Verifier

DATA = json.loads((Path(__file__).parent / "sharing.json").read_text(encoding="utf-8"))
NOW = datetime.fromtimestamp(DATA["now"], UTC)
KEYS = {name: SigningKey.from_jwk(jwk) for name, jwk in DATA["keys"].items()}


@pytest.fixture(scope="module")
def trust(tmp_path_factory):
    place = tmp_path_factory.mktemp("sharing")
    start = NOW - timedelta(hours=1)
    consortium = Consortium.sandbox(("31", "32"), now=start)
    consortium.add_authority(
        "31",
        DATA["asker"].rpartition("/")[2],
        names={"zh": "示例政务大厅", "en": "Example hall"},
        services=(Service.VERIFY,),
        signers={Service.VERIFY: KEYS["verify"]},
        now=start,
    )
    consortium.publish(place / "repository", now=NOW)
    return TrustStore.open(place / "state").refresh(place, NOW)


@pytest.fixture(scope="module")
def counter(trust, tmp_path_factory):
    scene = trust.scenes["counter"].narrowed({"scene": "counter", "venue": "https://sh.ewallet.example/v/1"})
    return Verifier(
        trust=trust,
        policy=Policy.of(scene, province="31"),
        status=StatusDirectory(tmp_path_factory.mktemp("status")),
        replay=MemoryGuard(started=NOW - timedelta(hours=1)),
    )


@pytest.mark.parametrize("case", DATA["codes"], ids=lambda case: case["name"])
def test_a_window_reads_a_supply_code(case):
    if case["reason"] is not None:
        with pytest.raises(Refused) as refused:
            read_supply_code(case["scan"], now=NOW)
        assert refused.value.reason == case["reason"], refused.value.detail
        return
    found = read_supply_code(case["scan"], now=NOW)
    assert (found.authority, found.type) == (DATA["issuer"], DATA["type"])
    assert found.recipient == case["recipient"]
    assert found.key == KEYS[case.get("key", "device")].public_key


@pytest.mark.parametrize("case", DATA["codes"], ids=lambda case: case["name"])
def test_a_counter_says_what_a_supply_code_is_for(counter, case):
    found = counter.verify(case["scan"], now=NOW)
    assert found.outcome is Outcome.REJECTED
    assert found.reason.code == case["counter"]


@pytest.mark.parametrize("case", DATA["asks"], ids=lambda case: case["name"])
def test_a_signed_ask(trust, case):
    token = bytes.fromhex(case["ask"])
    if case["reason"] is not None:
        with pytest.raises(Refused) as refused:
            verify_ask(token, trust, to=DATA["issuer"], now=NOW)
        assert refused.value.reason == case["reason"]
        return
    found = verify_ask(token, trust, to=DATA["issuer"], now=NOW).ask.to_claim()
    assert {k: v.hex() if isinstance(v, bytes) else v for k, v in found.items()} == case["claim"]


def test_names_are_unique_and_every_fault_is_told():
    cases = [*DATA["codes"], *DATA["asks"]]
    assert len({case["name"] for case in cases}) == len(cases) > 30
    assert all(case["what"].startswith("none") == (case["reason"] is None) for case in cases)
