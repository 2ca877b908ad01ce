"""Gathers what calls wait for a disk or a network to do, and does it in one go.

While one batch is at work in its thread, the calls that arrive make the next one. A lone call waits for
nobody. Where calls come closely, a batch that could start waits a moment for those on their way: what a batch
costs, whatever its size, is then shared by more.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_T = TypeVar("_T")
_R = TypeVar("_R")

MOST: Final = 256
"""Items of one batch: a bound for how long the first of them waits for the last."""

PAUSE: Final = 0.003
"""Seconds that a batch waits for more when the one before had several items."""


class Gathering(Generic[_T, _R]):
    """One kind of work, for all calls of a process.

    Args:
        work: does a batch, in a thread: one result for each item, in their order. What it raises, every item
            of the batch gets.
        name: of the thread.
    """

    def __init__(self, work: Callable[[Sequence[_T]], Sequence[_R]], *, name: str) -> None:
        self._work = work
        self._pool = ThreadPoolExecutor(1, name)
        self._waiting: list[tuple[_T, asyncio.Future[_R]]] = []
        self._running: asyncio.Task[None] | None = None

    async def do(self, item: _T) -> _R:
        """Has an item done.

        A call that is cancelled meanwhile gets no answer; its item is done all the same.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[_R] = loop.create_future()
        self._waiting.append((item, done))
        if self._running is None:
            self._running = loop.create_task(self._run(loop))
        return await done

    async def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            several = False
            while self._waiting:
                if several:
                    await asyncio.sleep(PAUSE)
                batch, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
                items = [item for item, _ in batch]
                several = len(items) > 1
                try:
                    results = await loop.run_in_executor(self._pool, self._work, items)
                except Exception as error:  # noqa: BLE001 (whatever it is, it is the callers' to handle)
                    for _, done in batch:
                        if not done.done():
                            done.set_exception(error)
                else:
                    for (_, done), result in zip(batch, results, strict=True):
                        if not done.done():
                            done.set_result(result)
        finally:
            self._running = None
