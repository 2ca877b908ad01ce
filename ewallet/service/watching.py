"""Calls of who runs the service: health, counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from ewallet.errors import Refused, RegisterError
from ewallet.service.http import answer

if TYPE_CHECKING:
    from starlette.requests import Request as Call

    from ewallet.licenses.issuer import Issuer
    from ewallet.service.metrics import Metrics
    from ewallet.service.settings import Settings
    from ewallet.verify.replay import ReplayGuard
    from ewallet.verify.terminal import Terminal


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """The calls of operating.

    Attributes:
        terminal: the open counter.
        settings: how the process was started.
        metrics: the counts of this process.
        guard: the replay guard.
        issuer: the authority, where one works here.
    """

    terminal: Terminal
    settings: Settings
    metrics: Metrics
    guard: ReplayGuard
    issuer: Issuer | None = None

    async def health(self, call: Call) -> Response:
        """GET /healthz: 200 as long as the process answers; what it cannot do now is in `degraded`."""
        del call
        return answer(await run_in_threadpool(self._health))

    def _health(self) -> dict[str, Any]:
        state = self.terminal.describe(self.settings.now())
        try:
            self.guard.spend((), now=self.settings.now())  # nothing is spent: does it answer?
        except Refused as refused:
            state["degraded"].append(refused.reason)
        if self.issuer is not None:
            try:
                self.issuer.register.position("healthz")
            except RegisterError:
                state["degraded"].append("register.unavailable")
        return {"health": "degraded" if state["degraded"] else "ok", **state}

    async def counts(self, call: Call) -> Response:
        """GET /metrics."""
        del call
        return Response(self.metrics.text(), media_type="text/plain; version=0.0.4")
