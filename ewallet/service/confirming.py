"""Calls of the second officer: what waits is confirmed or rejected by another partner than asked for it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ewallet.errors import NotFound
from ewallet.licenses.confirmations import Pending, expires, names_officer
from ewallet.service.doors import Role
from ewallet.service.http import Problem, answer, member, read_object
from ewallet.service.issuing import outcome, working

if TYPE_CHECKING:
    from starlette.requests import Request as Call
    from starlette.responses import Response

    from ewallet.licenses.confirmations import Confirmations
    from ewallet.service.settings import Settings

PAGE: Final = 200
"""Acts in one answer, the oldest first: once they are decided the next ones are shown."""

_NAME: Final = re.compile(r"[0-9a-f]{32}")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_LONGEST: Final = 200
_VALUES: Final = ("record", "changes")


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondOfficer:
    """The calls of who confirms.

    Attributes:
        confirmations: what waits.
        settings: how the process was started.
    """

    confirmations: Confirmations
    settings: Settings

    async def waiting(self, call: Call) -> Response:
        """POST /v1/confirmations: what waits. Values are shown to who may confirm them only."""
        confirms = Role.ISSUER in call.scope["ewallet.caller"].roles
        found = await working(
            lambda: self.confirmations.waiting(now=self.settings.now(), limit=PAGE + 1),
        )
        shown = [_shown(each, whole=confirms) for each in found[:PAGE]]
        return answer({"confirmations": shown, "more": len(found) > PAGE})

    async def confirm(self, call: Call) -> Response:
        """POST /v1/confirmations/confirm: does what waits, and answers as the first call would have."""
        data = await read_object(call)
        pending, operator = _pending(data), _operator(data)
        digest = member(data, "digest", str)
        if not _DIGEST.fullmatch(digest):
            raise Problem(422, "digest: SHA-256 of the content that was shown, hex", field="digest")
        by = call.scope["ewallet.caller"].name
        return outcome(
            await working(
                lambda: self.confirmations.confirm(
                    pending, digest=bytes.fromhex(digest), by=by, operator=operator, now=self.settings.now()
                )
            )
        )

    async def reject(self, call: Call) -> Response:
        """POST /v1/confirmations/reject: refuses what waits; who asked withdraws it so."""
        data = await read_object(call)
        pending, operator = _pending(data), _operator(data)
        reason = member(data, "reason", str).strip()
        if not reason or len(reason) > 10 * _LONGEST or "\0" in reason:
            raise Problem(422, f"reason: 1 to {10 * _LONGEST} characters", field="reason")
        by = call.scope["ewallet.caller"].name
        await working(
            lambda: self.confirmations.reject(
                pending, by=by, operator=operator, reason=reason, now=self.settings.now()
            )
        )
        return answer({"pending": pending, "state": "rejected"})


def _pending(data: dict[str, Any]) -> str:
    name: str = member(data, "pending", str)
    if not _NAME.fullmatch(name):
        raise Problem(404, str(NotFound("no such act waits")))
    return name


def _operator(data: dict[str, Any]) -> str:
    operator: str = member(data, "operator", str)
    if not names_officer(operator) or len(operator) > _LONGEST:
        raise Problem(422, f"operator: who confirms, 1 to {_LONGEST} printable characters", field="operator")
    return operator


def _shown(pending: Pending, *, whole: bool) -> dict[str, Any]:
    content = dict(pending.content)
    told: dict[str, Any] = {"pending": pending.id, "expires": expires(pending).isoformat()}
    if whole:
        return {**told, "digest": pending.digest.hex(), "content": content}
    # An auditor sees that something waits and which fields it is about; nothing to confirm, and no values.
    fields = sorted({key for name in _VALUES for key in content.pop(name, {})})
    for name in ("text", "images"):
        del content[name]
    return {**told, "content": {**content, "fields": fields}}
