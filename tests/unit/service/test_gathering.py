"""What calls wait for is done in batches, and each gets its own answer."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime, timedelta

import pytest

from ewallet.errors import UseLogError
from ewallet.service.gathering import MOST, Gathering
from ewallet.service.spending import Till
from ewallet.verify.replay import FileGuard, MemoryGuard, code_spending

NOW = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)


def test_what_arrives_while_a_batch_is_at_work_makes_the_next_one():
    batches: list[list[int]] = []
    began, free = threading.Event(), threading.Event()

    def work(items):
        batches.append(list(items))
        began.set()
        free.wait(5)
        return [item * 10 for item in items]

    async def main():
        gathering = Gathering(work, name="test")
        first = asyncio.create_task(gathering.do(1))
        await asyncio.to_thread(began.wait, 5)
        others = [asyncio.create_task(gathering.do(n)) for n in range(2, 7)]
        await asyncio.sleep(0)
        free.set()
        assert await asyncio.gather(first, *others) == [10, 20, 30, 40, 50, 60]
        assert await gathering.do(7) == 70  # and it starts again after a pause

    asyncio.run(main())
    assert batches == [[1], [2, 3, 4, 5, 6], [7]]


def test_what_a_batch_raises_all_of_it_get_and_the_next_goes_on():
    def work(items):
        if 0 in items:
            raise UseLogError("no room")
        return items

    async def main():
        gathering = Gathering(work, name="test")
        found = await asyncio.gather(*(gathering.do(n) for n in (0, 1)), return_exceptions=True)
        assert [type(each) for each in found] == [UseLogError, UseLogError]
        assert await gathering.do(2) == 2

    asyncio.run(main())


def test_a_caller_that_went_away_disturbs_nobody():
    done: list[int] = []
    free = threading.Event()

    def work(items):
        free.wait(5)
        done.extend(items)
        return items

    async def main():
        gathering = Gathering(work, name="test")
        gone, stays = (asyncio.create_task(gathering.do(n)) for n in (1, 2))
        await asyncio.sleep(0.01)
        gone.cancel()
        free.set()
        assert await stays == 2
        with pytest.raises(asyncio.CancelledError):
            await gone

    asyncio.run(main())
    assert sorted(done) == [1, 2]  # what was begun is done, whoever waits for it


def test_batches_are_bounded():
    sizes: list[int] = []

    def work(items):
        sizes.append(len(items))
        return items

    async def main():
        gathering = Gathering(work, name="test")
        assert await asyncio.gather(*(gathering.do(n) for n in range(1000))) == list(range(1000))

    asyncio.run(main())
    assert max(sizes) == MOST
    assert sum(sizes) == 1000


class Slow:
    """A guard of somebody's own, that knows only how to spend."""

    durable, level = True, "shared"

    def __init__(self):
        self.inner = MemoryGuard(started=NOW - timedelta(minutes=5))
        self.threads: set[str] = set()

    def spend(self, spendings, *, now):
        self.threads.add(threading.current_thread().name)
        self.inner.spend(spendings, now=now)


@pytest.mark.parametrize("kind", ["memory", "file", "own"])
def test_a_code_that_many_show_at_once_counts_once(kind, tmp_path):
    guard = {
        "memory": lambda: MemoryGuard(started=NOW - timedelta(minutes=5)),
        "file": lambda: FileGuard(tmp_path / "guard"),
        "own": Slow,
    }[kind]()
    spending = [code_spending(b"a", iat=int(NOW.timestamp()), min_gap=40)]

    async def main():
        till = Till(guard)
        return await asyncio.gather(*(till.spend(spending, NOW) for _ in range(50)))

    found = asyncio.run(main())
    assert found.count(None) == 1
    assert {each.reason for each in found if each is not None} == {"code.replayed"}
    if kind == "own":
        assert threading.main_thread().name not in guard.threads  # the loop never waits for a network
    if kind == "file":
        guard.close()
