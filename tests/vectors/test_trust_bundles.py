"""The faulty lists that other languages read (`trust/bundles/cases.json`), offered to our store."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ewallet.errors import TrustError
from ewallet.moments import instant
from ewallet.trust.distribution import TrustStore
from ewallet.trust.times import time_seconds

BUNDLES = Path(__file__).parent / "trust" / "bundles"
CASES = json.loads((BUNDLES / "cases.json").read_text("utf-8"))["cases"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_every_offer_gets_its_answer(case, tmp_path):
    store = TrustStore.open(tmp_path)
    for step in case["steps"]:
        reason = ""
        try:
            store.refresh(BUNDLES / step["bundle"], instant(time_seconds(step["now"])))
        except TrustError as refusal:
            reason = refusal.reason
        assert reason == step["reason"]


def test_the_reasons_are_those_of_the_list():
    wanted = {
        row["id"]: row["reason"]
        for row in json.loads((BUNDLES.parent / "lists.json").read_text("utf-8"))["cases"]
    }
    for case in CASES:
        assert case["steps"][-1]["reason"] == wanted[case["id"]]
