"""The replay guards keep one rule."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import create_engine

from ewallet.errors import Refused
from ewallet.verify.replay import (
    Acceptance,
    FileGuard,
    MemoryGuard,
    ReplayGuard,
    challenge_spending,
    code_spending,
    double_entries,
    entry_spending,
)
from ewallet.verify.replay_sql import SqlGuard

T0 = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
S0 = int(T0.timestamp())
GAP = 40


@pytest.fixture(params=["memory", "file", "sql"])
def guard(request, tmp_path):
    if request.param == "memory":
        yield MemoryGuard(started=T0 - timedelta(minutes=5))
    elif request.param == "file":
        guard = FileGuard(tmp_path / "guard")
        yield guard
        guard.close()
    else:
        engine = create_engine(f"sqlite:///{tmp_path / 'guard.db'}")
        guard = SqlGuard(engine)
        guard.create()
        yield guard
        engine.dispose()


def code(name: bytes, offset: int):
    return code_spending(name, iat=S0 + offset, min_gap=GAP)


def reason_of(guard, spendings, now) -> str | None:
    try:
        guard.spend(spendings, now=now)
    except Refused as refused:
        return refused.reason
    return None


def test_a_code_counts_once_and_its_pass_again_after_the_gap(guard):
    assert isinstance(guard, ReplayGuard)
    assert reason_of(guard, [code(b"a", 0)], T0) is None
    assert reason_of(guard, [code(b"a", 0)], T0) == "code.replayed"
    assert reason_of(guard, [code(b"a", -5)], T0) == "code.replayed"
    assert reason_of(guard, [code(b"a", GAP - 1)], T0 + timedelta(seconds=GAP)) == "code.replayed"
    assert reason_of(guard, [code(b"b", 0)], T0) is None
    assert reason_of(guard, [code(b"a", GAP)], T0 + timedelta(seconds=GAP)) is None


def test_a_clock_set_back_brings_nothing_to_life(guard):
    assert reason_of(guard, [code(b"a", 0)], T0) is None
    later = T0 + timedelta(hours=1)
    assert reason_of(guard, [code(b"b", 3600)], later) is None
    assert reason_of(guard, [code(b"a", 0)], T0) == "replay.unavailable"


def test_a_challenge_is_answered_once_and_spends_with_the_code_or_not_at_all(guard):
    asked = challenge_spending(b"digest", iat=S0, exp=S0 + 60)
    assert reason_of(guard, [asked, code(b"a", 1)], T0) is None
    assert reason_of(guard, [code(b"b", 1), asked], T0) == "code.challenge"
    assert reason_of(guard, [code(b"b", 1)], T0) is None
    assert reason_of(guard, [challenge_spending(b"old", iat=S0 - 90, exp=S0)], T0) == "replay.unavailable"


def test_an_entry_counts_once_in_its_period(guard):
    today = entry_spending(pseudonym=b"p" * 16, event="park", start=S0 - 3600, end=S0 + 80_000)
    other = entry_spending(pseudonym=b"p" * 16, event="museum", start=S0 - 3600, end=S0 + 80_000)
    if not guard.durable:
        assert reason_of(guard, [today], T0) == "replay.unavailable"
        return
    assert reason_of(guard, [today], T0) is None
    assert reason_of(guard, [today], T0 + timedelta(hours=20)) == "code.replayed"
    assert reason_of(guard, [other], T0 + timedelta(hours=20)) is None


def test_memory_refuses_after_a_start_what_could_have_been_seen_before():
    guard = MemoryGuard(started=T0)
    assert reason_of(guard, [code(b"a", 10)], T0) == "replay.unavailable"
    assert reason_of(guard, [code(b"a", 11)], T0 + timedelta(seconds=11)) is None
    old = challenge_spending(b"q", iat=S0 - 1, exp=S0 + 60)
    assert reason_of(guard, [old], T0) == "replay.unavailable"


def test_memory_is_bounded_and_forgets():
    guard = MemoryGuard(started=T0 - timedelta(minutes=5), capacity=2)
    guard.spend([code(b"a", 0)], now=T0)
    guard.spend([code(b"b", 0)], now=T0)
    assert reason_of(guard, [code(b"c", 0)], T0) == "replay.unavailable"
    guard.spend([code(b"c", 600)], now=T0 + timedelta(seconds=600))
    assert len(guard) == 1


def test_the_file_survives_a_restart(tmp_path):
    guard = FileGuard(tmp_path / "guard")
    guard.spend([code(b"a", 0)], now=T0)
    guard.close()
    again = FileGuard(tmp_path / "guard")
    assert reason_of(again, [code(b"a", 0)], T0) == "code.replayed"
    again.close()


def test_unreachable_guards_never_say_not_seen(tmp_path):
    with pytest.raises(Refused, match=r"replay\.unavailable"):
        FileGuard(tmp_path / "missing" / "guard")
    guard = FileGuard(tmp_path / "guard")
    guard.close()
    assert reason_of(guard, [code(b"a", 0)], T0) == "replay.unavailable"
    engine = create_engine(f"sqlite:///{tmp_path / 'empty.db'}")
    assert reason_of(SqlGuard(engine), [code(b"a", 0)], T0) == "replay.unavailable"
    engine.dispose()


def test_two_logs_show_double_entries():
    entry = entry_spending(pseudonym=b"p" * 16, event="park", start=S0, end=S0 + 80_000)
    east = [Acceptance(spending=s, gate="east", accepted_at=S0) for s in (entry, code(b"a", 0))]
    west = [Acceptance(spending=s, gate="west", accepted_at=S0 + 9) for s in (entry, code(b"a", 40))]
    assert [(a.gate, b.gate, a.spending.kind) for a, b in double_entries([east, west])] == [
        ("east", "west", "entry")
    ]


def test_a_gap_of_nothing_is_a_bug_of_the_caller():
    with pytest.raises(ValueError, match="min_gap"):
        code_spending(b"a", iat=S0, min_gap=0)
