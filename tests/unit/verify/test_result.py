"""A verification cannot say yes without grounds, and cannot be used as a truth value."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ewallet.errors import Refused
from ewallet.reasons import REASONS, Layer, Outcome
from ewallet.verify.result import NOTICES, Check, Facts, Kind, Notice, StepResult, Verification, refuse

NOW = datetime(2026, 3, 2, 4, 20, 5, tzinfo=UTC)
PASSED = Check(step=1, name="form", layer=Layer.GENUINE, result=StepResult.PASSED)


def test_truth_value_is_refused():
    found = refuse("code.expired", (PASSED,), at=NOW)
    with pytest.raises(TypeError, match="outcome"):
        bool(found)


@pytest.mark.parametrize(
    "parts",
    [
        {"outcome": Outcome.ACCEPTED, "reason": None, "checks": (), "facts": Facts(kind=Kind.CODE)},
        {"outcome": Outcome.ACCEPTED, "reason": None, "checks": (PASSED,), "facts": None},
        {"outcome": Outcome.ACCEPTED, "reason": REASONS["code.expired"], "checks": (PASSED,)},
        {"outcome": Outcome.REJECTED, "reason": None, "checks": (PASSED,)},
        {"outcome": Outcome.REJECTED, "reason": REASONS["trust.stale"], "checks": (PASSED,)},
    ],
    ids=["no steps", "no facts", "yes with a reason", "no without a reason", "reason of another outcome"],
)
def test_a_result_at_odds_with_itself_cannot_be_made(parts):
    with pytest.raises(ValueError):
        Verification(at=NOW, **parts)


def test_require_gives_facts_or_the_reason():
    facts = Facts(kind=Kind.CODE)
    accepted = Verification(outcome=Outcome.ACCEPTED, reason=None, checks=(PASSED,), facts=facts, at=NOW)
    assert accepted.require() is facts
    refused = refuse("license.revoked", (PASSED,), facts=facts, at=NOW)
    assert refused.facts is facts  # genuine, so it may be shown
    for ask in (
        refused.require,
        lambda: refused.licenses,
        lambda: refused.subject,
        lambda: refused.actor,
    ):
        with pytest.raises(Refused) as raised:
            ask()
        assert raised.value.reason == "license.revoked"


def test_layers_tell_where_the_walk_ended():
    failed = Check(step=9, name="validity", layer=Layer.IN_FORCE, result=StepResult.FAILED)
    layers = refuse("license.expired", (PASSED, failed), at=NOW).layers()
    assert layers == {
        Layer.GENUINE: StepResult.PASSED,
        Layer.IN_FORCE: StepResult.FAILED,
        Layer.ACCEPTED_HERE: None,
    }


@pytest.mark.parametrize("code", sorted(REASONS))
def test_every_reason_speaks_both_languages(code):
    reason = REASONS[code]
    assert reason.code == code
    assert reason.outcome is not Outcome.ACCEPTED
    for zh in (reason.zh, reason.advice_zh):
        assert any("\u4e00" <= char <= "\u9fff" for char in zh)
        assert zh.endswith("。")
    for en in (reason.en, reason.advice_en):
        assert en.isascii()
        assert en.endswith(".")
    assert reason.sentence("zh") == reason.zh
    assert reason.advice("en") == reason.advice_en


@pytest.mark.parametrize("code", sorted(NOTICES))
def test_every_notice_speaks_both_languages(code):
    zh, en = NOTICES[code]
    assert zh.endswith("。")
    assert en.isascii()
    assert Notice(code=code, detail="x").sentence("en") == f"{en} x"
