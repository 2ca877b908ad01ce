"""Guards are opened by their names, and what cannot be opened is told at the start."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ewallet.errors import ConfigError, Refused
from ewallet.verify.guards import open_guard
from ewallet.verify.replay import code_spending

NOW = datetime(2026, 3, 2, 4, 20, 5, tzinfo=UTC)


def opened(place: str, tmp_path):
    return open_guard(place, state=tmp_path / "state", name="test", now=NOW)


@pytest.mark.parametrize(("place", "level"), [("memory", "memory"), ("file", "file"), ("sql", "shared")])
def test_each_guard_counts_a_code_once(place, level, tmp_path):
    guard = opened(f"sqlite:///{tmp_path / 'guard.sqlite'}" if place == "sql" else place, tmp_path)
    assert guard.level == level
    code = [code_spending(b"p", iat=int(NOW.timestamp()) + 20, min_gap=40)]
    guard.spend(code, now=NOW)
    with pytest.raises(Refused) as refused:
        guard.spend(code, now=NOW)
    assert refused.value.reason == "code.replayed"
    guard.spend((), now=NOW)  # a question whether it answers spends nothing
    if place == "sql":
        guard._engine.dispose()
    elif place == "file":
        guard.close()


@pytest.mark.parametrize("place", ["", "redis", "nothing://here", "sqlite+nothing://"])
def test_an_unknown_guard_is_a_wrong_setting(place, tmp_path):
    with pytest.raises(ConfigError):
        opened(place, tmp_path)


def test_a_database_that_does_not_answer_says_so(tmp_path):
    with pytest.raises(Refused) as refused:
        opened(f"sqlite:///{tmp_path}/no/such/directory/guard.sqlite", tmp_path)
    assert refused.value.reason == "replay.unavailable"
