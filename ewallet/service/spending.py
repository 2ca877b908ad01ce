"""Spends what calls have shown, in the way that the guard does it best."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool

from ewallet.service.gathering import Gathering
from ewallet.verify.replay import GatheringGuard, spend_each

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from ewallet.errors import Refused
    from ewallet.verify.replay import ReplayGuard, Spending

    Spent = tuple[Sequence[Spending], datetime]


class Till:
    """The guard of a process, beside the loop.

    A guard in memory answers at once; one that can take several presentations in one go gets them so; any
    other one is asked in a thread for each.

    Args:
        guard: the replay guard.
    """

    def __init__(self, guard: ReplayGuard) -> None:
        self._guard = guard
        self._gathering: Gathering[Spent, Refused | None] | None = (
            Gathering(self._spend, name="guard") if isinstance(guard, GatheringGuard) else None
        )

    async def spend(self, spendings: Sequence[Spending], now: datetime) -> Refused | None:
        """Spends what one presentation uses up: None, or why not."""
        if self._gathering is not None:
            return await self._gathering.do((spendings, now))
        if self._guard.level == "memory":
            return self._spend([(spendings, now)])[0]
        return (await run_in_threadpool(self._spend, [(spendings, now)]))[0]

    def _spend(self, batch: Sequence[Spent]) -> Sequence[Refused | None]:
        # They came within one batch: the newest moment of them is the guard's.
        return spend_each(
            self._guard, [spendings for spendings, _ in batch], now=max(now for _, now in batch)
        )
