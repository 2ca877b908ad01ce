"""The call by which an officer decides by hand what the machine could not.

The service keeps nothing between two calls: it verifies the text again, and only what ends UNDECIDED again
can be decided by hand. What is decided by now is answered as `/v1/verify` would, and recorded so: nobody
overrides it. Every call that is answered is one record; a receipt is given once.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool

from ewallet.code.challenge import own_question
from ewallet.errors import Refused, UseLogError
from ewallet.moments import seconds
from ewallet.reasons import Outcome
from ewallet.service.http import Problem, answer, member, read_object
from ewallet.service.receipting import PRESENT, use_from
from ewallet.verify.explaining import check_words, decide_by_hand
from ewallet.verify.replay import KEEP, code_spending
from ewallet.verify.report import to_json, to_text

if TYPE_CHECKING:
    from starlette.requests import Request as Call
    from starlette.responses import Response

    from ewallet.code.challenge import Challenge, Request
    from ewallet.service.metrics import Metrics
    from ewallet.service.receipting import Desk
    from ewallet.service.settings import Settings
    from ewallet.verify.explaining import ManualDecision
    from ewallet.verify.receipts import Use
    from ewallet.verify.replay import ReplayGuard
    from ewallet.verify.result import Facts, Verification
    from ewallet.verify.terminal import Terminal
    from ewallet.verify.verifier import Verifier


@dataclass(frozen=True, slots=True, kw_only=True)
class Decisions:
    """The call of decisions by hand.

    Attributes:
        terminal: the open counter.
        settings: how the process was started.
        metrics: where outcomes are counted.
        guard: one receipt for one showing.
        desk: writes decisions down; None: nothing is decided by hand here.
    """

    terminal: Terminal
    settings: Settings
    metrics: Metrics
    guard: ReplayGuard
    desk: Desk | None = None

    async def decide(self, call: Call) -> Response:
        """POST /v1/decisions: what an officer decided after UNDECIDED, with the reason."""
        data = await read_object(call)
        text, go_ahead = member(data, "text", str), member(data, "go_ahead", bool)
        officer, reason = member(data, "officer", str), member(data, "reason", str)
        try:
            check_words(officer=officer, reason=reason)
        except ValueError as error:
            raise Problem(422, str(error), field=str(error).partition(":")[0]) from error
        use = use_from(data, self.terminal.name)
        answering = self._question(member(data, "answering", str, default=""))
        desk, verifier = self.desk, self.terminal.verifier
        if desk is None:
            raise Problem(409, "this service keeps no log: nothing can be decided by hand here")
        if verifier is None:
            raise Problem(503, "there are no trust lists", reason=self.terminal.problem)

        now = self.settings.now()
        found = await run_in_threadpool(self.terminal.verify, text, now=now, answering=answering)
        if found.outcome is not Outcome.UNDECIDED:
            await self._refuse(found, desk, use, verifier)
        made = decide_by_hand(found, go_ahead=go_ahead, reason=reason, officer=officer, now=now)
        return answer(await run_in_threadpool(self._record, made, text, desk, use, verifier), 201)

    def _question(self, text: str) -> Challenge | Request | None:
        if not text:
            return None
        if self.settings.signer is None:
            raise Problem(409, "this service has no key to ask with")
        try:
            return own_question(text, self.settings.signer.public_key)
        except Refused as refused:
            raise Problem(422, "that was not asked here", reason=refused.reason) from refused

    async def _refuse(self, found: Verification, desk: Desk, use: Use, verifier: Verifier) -> None:
        """What is decided is told whole, and counts: an accepted code was used up by this very call."""
        said = to_json(found) | await desk.record(found, use, verifier)
        code = found.reason.code if found.reason else ""
        self.metrics.outcome(found.outcome.value, code)
        raise Problem(
            409,
            "this is decided by now, and nobody overrides that",
            outcome=found.outcome.value,
            reason=code or None,
            found=json.loads(to_text(said)),
        )

    def _record(
        self, made: ManualDecision, text: str, desk: Desk, use: Use, verifier: Verifier
    ) -> dict[str, Any]:
        found = made.verification
        try:
            recorded = desk.log.record(
                made, scene=verifier.policy.scene, trust=verifier.trust, use=use, now=made.at
            )
        except UseLogError as error:
            raise Problem(
                503, "the decision cannot be recorded: it does not count", reason="use.not_recorded"
            ) from error
        receipt = None
        if made.go_ahead and self._first(found, text):
            receipt = desk.receipt(recorded, use, verifier)
        assert found.reason is not None  # nothing is undecided without a reason
        return {
            "decided": "by hand",
            "go_ahead": made.go_ahead,
            "outcome": made.outcome.value,
            "reason": found.reason.code,
            "recorded": recorded.number,
            "receipt": receipt,
            "at": made.at.isoformat(),
        }

    def _first(self, found: Verification, text: str) -> bool:
        """Whether somebody genuine was there, and has no receipt for this showing yet.

        A receipt carries a token for one rating: without this, repeating the call would make ratings.
        """
        facts = found.facts
        if facts is None or facts.signed_at is None or found.kind.value not in PRESENT:
            return False
        shown = b"ewallet-by-hand-v1 " + _shown(facts, text)
        at = seconds(facts.signed_at)
        try:
            self.guard.spend([code_spending(shown, iat=at, min_gap=KEEP)], now=found.at)
        except Refused:
            return False  # given before, or nobody can tell
        return True


def _shown(facts: Facts, text: str) -> bytes:
    """What was shown, by its issuer's words: a code with other bytes of the same pass is the same."""
    if facts.subject is not None:
        return sha256(facts.subject.id.encode()).digest()
    if not facts.licenses:
        return sha256(text.encode()).digest()
    told = [
        (each.issuer, each.type, each.issued_at.isoformat(), dict(each.fields)) for each in facts.licenses
    ]
    return sha256(json.dumps(told, sort_keys=True, default=str).encode()).digest()
