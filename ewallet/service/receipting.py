"""Use records, receipts and ratings over HTTP.

A counter that keeps a log writes every verification down before it answers: an answer that cannot be
recorded is not given. The rating service runs apart (`--ratings`); the counter tells it the digest of a
receipt's token and nothing else.
"""

from __future__ import annotations

import json
import urllib.request
from base64 import b64encode
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from starlette.concurrency import run_in_threadpool

from ewallet.errors import Conflict, NotFound, UseLogError
from ewallet.reasons import Outcome
from ewallet.service.gathering import Gathering
from ewallet.service.http import LOG, Problem, answer, member, read_object
from ewallet.verify.ratings import RatingError, RatingService, token_digest
from ewallet.verify.receipts import (
    TOKEN_SIZE,
    Entry,
    Recorded,
    Use,
    UseLog,
    entry_of,
    make_receipt,
    new_token,
)
from ewallet.wire import b64u_decode, b64u_encode

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request as Call
    from starlette.responses import Response

    from ewallet.service.settings import Settings
    from ewallet.verify.receipts import Recorded
    from ewallet.verify.result import Verification
    from ewallet.verify.terminal import Terminal
    from ewallet.verify.verifier import Verifier

_PATIENCE: Final = 2.0
PRESENT: Final = frozenset(("code", "presentation"))
"""What a holder showed in person: only then is there somebody to take a receipt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """The log of a counter, and the receipts that it gives.

    Attributes:
        log: where uses are written.
        terminal: the open counter.
        settings: how the process was started.
    """

    log: UseLog
    terminal: Terminal
    settings: Settings
    _writing: Gathering[Entry, Recorded] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_writing", Gathering(self.log.write, name="uses"))

    async def record(self, found: Verification, use: Use, verifier: Verifier) -> dict[str, Any]:
        """Writes a verification down; a receipt for who was there and was accepted.

        Returns:
            `recorded` (number in the log) and `receipt` (base64, or null).

        Raises:
            Problem: 503: it cannot be written, so it does not count.
        """
        entry = entry_of(
            found, scene=verifier.policy.scene, trust=verifier.trust, use=use, now=self.settings.now()
        )
        try:
            recorded = await self._writing.do(entry)
        except UseLogError as error:
            raise Problem(
                503, "the use cannot be recorded: it does not count", reason="use.not_recorded"
            ) from error
        receipt = None
        if found.outcome is Outcome.ACCEPTED and found.kind.value in PRESENT:
            if self.settings.rating_service:  # that is a call to another service
                receipt = await run_in_threadpool(self.receipt, recorded, use, verifier)
            else:
                receipt = self.receipt(recorded, use, verifier)
        return {"recorded": recorded.number, "receipt": receipt}

    def receipt(self, recorded: Recorded, use: Use, verifier: Verifier) -> str | None:
        """A receipt of a record, base64; None where this service has no key for receipts."""
        settings = self.settings
        if settings.receipt_signer is None:
            return None
        token = new_token()
        made = make_receipt(recorded, settings.receipt_signer, issuer=settings.issuer, use=use, token=token)
        self._register(token, verifier.policy.scene.venue)
        return b64encode(made).decode()

    def _register(self, token: bytes, venue: str) -> None:
        """Tells the rating service the token's digest. If it does not answer, the receipt cannot be rated."""
        if not self.settings.rating_service:
            return
        body = json.dumps({"digest": b64u_encode(token_digest(token)), "venue": venue}).encode()
        request = urllib.request.Request(  # noqa: S310 (configured by who runs the counter)
            self.settings.rating_service.rstrip("/") + "/v1/ratings/tokens",
            body,
            {"Content-Type": "application/json", "Authorization": f"Bearer {self.settings.rating_key}"},
        )
        try:
            with urllib.request.urlopen(request, timeout=_PATIENCE):  # noqa: S310 (same)
                pass
        except OSError:
            LOG.warning("the rating service does not answer: a receipt cannot be rated")


def use_from(data: dict[str, Any], terminal: str) -> Use:
    """What a verification was for, from a call.

    Raises:
        Problem: 422.
    """
    given = member(data, "use", dict, default={})
    if set(given) - {"officer", "matter", "case", "purpose"}:
        raise Problem(422, "use: officer, matter, case, purpose", field="use")
    try:
        return Use(terminal=terminal, **{key: member(given, key, str) for key in given})
    except ValueError as error:
        raise Problem(422, f"use: {error}", field="use") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratings:
    """The calls of the rating service.

    Attributes:
        service: the ratings.
        settings: how the process was started.
    """

    service: RatingService
    settings: Settings

    async def register(self, call: Call) -> Response:
        """POST /v1/ratings/tokens: a counter tells the digest of a token."""
        data = await read_object(call)
        digest, venue = _token(data, "digest"), member(data, "venue", str)
        await _rating(lambda: self.service.register(digest, venue=venue))
        return answer({"registered": True}, 201)

    async def rate(self, call: Call) -> Response:
        """POST /v1/ratings: one rating for one token."""
        data = await read_object(call)
        token, good = _token(data, "token"), member(data, "good", bool)
        text = member(data, "text", str, default="")
        case = await _rating(lambda: self.service.rate(token, good=good, text=text, now=self.settings.now()))
        return answer({"case": case}, 201)

    async def totals(self, call: Call) -> Response:
        """POST /v1/ratings/totals: what the rated counter sees."""
        venue = member(await read_object(call), "venue", str)
        found = await _rating(lambda: self.service.totals(venue))
        shown = None if found is None else {"good": found.good, "bad": found.bad}
        return answer({"venue": venue, "totals": shown})

    async def cases(self, call: Call) -> Response:
        """POST /v1/ratings/cases: the corrections that a venue has to answer, or has answered."""
        venue = member(await read_object(call), "venue", str)
        found = await _rating(lambda: self.service.cases(venue))
        return answer({"venue": venue, "cases": [_case(each) for each in found]})

    async def correct(self, call: Call) -> Response:
        """POST /v1/ratings/corrections: answers a case."""
        data = await read_object(call)
        number, text = member(data, "case", int), member(data, "text", str)
        officer = member(data, "officer", str)
        found = await _rating(
            lambda: self.service.answer(number, text, officer=officer, now=self.settings.now())
        )
        return answer(_case(found))

    async def outcome(self, call: Call) -> Response:
        """POST /v1/ratings/mine: the rater's own case, by the token."""
        token = _token(await read_object(call), "token")
        return answer(_case(await _rating(lambda: self.service.answer_to(token))))


def _case(found: Any) -> dict[str, Any]:
    return {
        "case": found.number,
        "opened": found.opened.isoformat(),
        "text": found.text,
        "answer": found.answer,
        "answered": found.answered.isoformat() if found.answered else None,
    }


def _token(data: dict[str, Any], name: str) -> bytes:
    try:
        token = b64u_decode(member(data, name, str))
    except Exception as error:
        if isinstance(error, Problem):
            raise
        raise Problem(422, f"{name} is base64url", field=name) from error
    if len(token) != TOKEN_SIZE:
        raise Problem(422, f"{name} has {TOKEN_SIZE} bytes", field=name)
    return token


async def _rating(work: Callable[[], Any]) -> Any:
    try:
        return await run_in_threadpool(work)
    except NotFound as error:
        raise Problem(404, str(error)) from error
    except Conflict as error:
        raise Problem(409, str(error)) from error
    except RatingError as error:
        raise Problem(503, "the ratings do not answer") from error
    except ValueError as error:
        raise Problem(422, str(error)) from error
