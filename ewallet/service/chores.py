"""What a service does beside answering: newer lists, newer keys, status lists, the end of retention."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from starlette.concurrency import run_in_threadpool

from ewallet.errors import EwalletError
from ewallet.licenses.confirmations import Confirmations
from ewallet.service.http import LOG

if TYPE_CHECKING:
    from ewallet.licenses.issuer import Issuer
    from ewallet.service.doors import Doors
    from ewallet.service.settings import Settings
    from ewallet.verify.receipts import UseLog
    from ewallet.verify.terminal import Terminal

STATUS_TTL: Final = 300
"""Seconds that others may keep a status list before they ask again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chores:
    """The regular work of one process. Whatever fails is logged and done again at the next turn.

    Attributes:
        terminal: takes newer lists.
        doors: take the changed file of partners.
        settings: how the process was started.
        issuer: publishes the status of its licenses, and deletes what nobody has confirmed in time; None:
            nothing is issued here.
        log: destroys the keys of records whose retention has ended; None: nothing is recorded.
    """

    terminal: Terminal
    doors: Doors
    settings: Settings
    issuer: Issuer | None = None
    log: UseLog | None = None

    async def run(self) -> None:
        """Works until it is cancelled."""
        while True:
            await run_in_threadpool(self.turn)
            await asyncio.sleep(self.settings.refresh)

    def turn(self) -> None:
        """Everything once."""
        for work in (self._lists, self.doors.refresh, self._status, self._retention, self._confirmations):
            try:
                work()
            except (EwalletError, OSError) as error:
                LOG.error("%s: %s", work.__name__.strip("_"), error)

    def _lists(self) -> None:
        if not self.terminal.refresh(self.settings.now()):
            LOG.warning("the newest lists were not taken: %s", self.terminal.problem)

    def _status(self) -> None:
        """A license that was suspended by a call is suspended everywhere by the next turn."""
        place = self.settings.status or str(self.settings.bundle / "status")
        if self.issuer is None or place.startswith(("http://", "https://")):
            return
        self.issuer.register.publish_status(
            Path(place), self.issuer.status_signer, now=self.settings.now(), ttl=STATUS_TTL
        )

    def _retention(self) -> None:
        if self.log is not None:
            self.log.expire(self.settings.now())

    def _confirmations(self) -> None:
        if self.issuer is not None:
            Confirmations(self.issuer).expire(now=self.settings.now())
