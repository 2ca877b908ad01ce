"""Calls of objections: raise one against a copy that was retrieved, answer it, close it; trails travel.

Every message is signed with a key of the service *objections*. A message goes to the other side at once; if
that does not answer, the trail is kept and `POST /v1/objections/send` sends it again.
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool

from ewallet.errors import Conflict, NotFound, Refused, RegisterError
from ewallet.licenses.asking import read_statement
from ewallet.service.http import Problem, answer, member, read_object
from ewallet.service.issuing import problem_of
from ewallet.service.peers import address, send
from ewallet.service.retrieving import decoded
from ewallet.trust import objections
from ewallet.trust.objections import Disputed, Result, verify_trail

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request as Call
    from starlette.responses import Response

    from ewallet.keys import Signer
    from ewallet.licenses.trails import Trails
    from ewallet.service.settings import Settings
    from ewallet.trust.objections import Trail
    from ewallet.trust.trust import Trust
    from ewallet.verify.terminal import Terminal


@dataclass(frozen=True, slots=True, kw_only=True)
class Objections:
    """The calls of objections.

    Attributes:
        terminal: holds the trust lists.
        settings: how the process was started.
        trails: where they are kept.
    """

    terminal: Terminal
    settings: Settings
    trails: Trails

    async def start(self, call: Call) -> Response:
        """POST /v1/objections: against one field of a license that was retrieved, by its statement."""
        data = await read_object(call)
        statement = decoded(member(data, "statement", str), "statement")
        field, text = member(data, "field", str), member(data, "text", str, default="")
        evidence = decoded(member(data, "evidence", str), "evidence")
        return answer(await _worked(lambda: self._start(statement, field, evidence, text)), 201)

    def _start(self, statement: bytes, field: str, evidence: bytes, text: str) -> dict[str, Any]:
        trust, now = self._trust(), self.settings.now()
        said = read_statement(statement, trust, now=now)
        if field not in said.fields:
            raise Problem(422, "the license has no such field", field="field")
        disputed = Disputed(
            license=said.license,
            issuer=said.issuer,
            status_uri=said.status_uri,
            status_idx=said.status_idx,
            field=field,
            evidence=sha256(evidence).digest(),
        )
        first = objections.raise_objection(
            disputed, to=said.issuer, signer=self._signer(), iss=self.settings.issuer, now=now, text=text
        )
        return self._keep_and_send((first,), said.issuer, trust)

    async def answer(self, call: Call) -> Response:
        """POST /v1/objections/answer: upheld, rejected or corrected, by the issuing province."""
        data = await read_object(call)
        case, text = _case(data), member(data, "text", str, default="")
        try:
            result = Result(member(data, "result", str))
        except ValueError as error:
            raise Problem(422, "result: upheld, rejected or corrected", field="result") from error
        return answer(await _worked(lambda: self._next(case, text, result)))

    async def close(self, call: Call) -> Response:
        """POST /v1/objections/close: by who raised it, or the issuing province."""
        data = await read_object(call)
        case, text = _case(data), member(data, "text", str, default="")
        return answer(await _worked(lambda: self._next(case, text, None)))

    def _next(self, case: bytes, text: str, result: Result | None) -> dict[str, Any]:
        trust, now, signer = self._trust(), self.settings.now(), self._signer()
        trail = self.trails.trail(case)
        given: dict[str, Any] = {"signer": signer, "iss": self.settings.issuer, "now": now, "text": text}
        message = (
            objections.close(trail, **given) if result is None else objections.answer(trail, result, **given)
        )
        whole = (*trail, message)
        checked = verify_trail(trust, whole, now=now)
        return self._keep_and_send(whole, _other(checked, self.settings.issuer), trust)

    async def receive(self, call: Call) -> Response:
        """POST /v1/objections/trails: a trail from another authority; its signatures are its key."""
        data = await read_object(call)
        given = member(data, "trail", list)
        if not 0 < len(given) <= objections.MAX_TRAIL or not all(type(each) is str for each in given):
            raise Problem(422, "trail: messages, base64", field="trail")
        tokens = tuple(decoded(each, "trail") for each in given)
        return answer(await _worked(lambda: self._receive(tokens)), 201)

    def _receive(self, tokens: tuple[bytes, ...]) -> dict[str, Any]:
        checked = verify_trail(self._trust(), tokens, now=self.settings.now())
        own = self.settings.issuer
        if own != checked.disputed.issuer and all(
            own not in (each.entity, each.to) for each in checked.messages
        ):
            raise Problem(403, "this objection is for others")
        self.trails.keep(checked.case, tokens)
        return _told(checked)

    async def send(self, call: Call) -> Response:
        """POST /v1/objections/send: sends a trail once more."""
        case = _case(await read_object(call))

        def again() -> dict[str, Any]:
            trust = self._trust()
            tokens = self.trails.trail(case)
            checked = verify_trail(trust, tokens, now=self.settings.now())
            return self._keep_and_send(tokens, _other(checked, self.settings.issuer), trust)

        return answer(await _worked(again))

    async def show(self, call: Call) -> Response:
        """GET /v1/objections: all trails, and the notices that are to be published for open ones."""
        del call
        return answer(await _worked(self._all))

    def _all(self) -> dict[str, Any]:
        trust, now = self._trust(), self.settings.now()
        found = [verify_trail(trust, self.trails.trail(case), now=now) for case in self.trails.cases()]
        notices = [
            each.notice() for each in found if each.open and each.disputed.issuer == self.settings.issuer
        ]
        return {"objections": [_told(each) for each in found], "notices": notices}

    def _keep_and_send(self, tokens: tuple[bytes, ...], to: str, trust: Trust) -> dict[str, Any]:
        checked = verify_trail(trust, tokens, now=self.settings.now())
        self.trails.keep(checked.case, tokens)
        sent = to == self.settings.issuer
        if not sent:
            where = address(to, self.settings.peers, "/v1/objections/trails")
            try:
                sent = "case" in send(where, {"trail": [b64encode(each).decode() for each in tokens]})
            except Problem:
                sent = False  # it is kept, and can be sent again
        return {**_told(checked), "sent": sent}

    def _signer(self) -> Signer:
        if self.settings.objection_signer is None:
            raise Problem(409, "this service has no key for objections")
        return self.settings.objection_signer

    def _trust(self) -> Trust:
        verifier = self.terminal.verifier
        if verifier is None:
            raise Problem(503, "there are no trust lists", reason=self.terminal.problem)
        return verifier.trust


def _other(trail: Trail, own: str) -> str:
    """The other side of a trail: who raised it, or the issuer."""
    raised = trail.messages[0].entity
    return trail.disputed.issuer if raised == own else raised


def _case(data: dict[str, Any]) -> bytes:
    try:
        case = bytes.fromhex(member(data, "case", str))
    except ValueError as error:
        raise Problem(422, "case: 32 hex digits", field="case") from error
    if len(case) != 16:
        raise Problem(422, "case: 32 hex digits", field="case")
    return case


def _told(trail: Trail) -> dict[str, Any]:
    return {
        "case": trail.case.hex(),
        "issuer": trail.disputed.issuer,
        "field": trail.disputed.field,
        "open": trail.open,
        "result": trail.result.value if trail.result else None,
        "messages": [
            {
                "act": each.act.value,
                "at": each.at.isoformat(),
                "entity": each.entity,
                "to": each.to,
                "result": each.result.value if each.result else None,
                "text": each.text,
            }
            for each in trail.messages
        ],
    }


async def _worked(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return await run_in_threadpool(work)
    except Refused as refused:
        if refused.reason.startswith(("trust.", "clock.")):
            raise Problem(503, "this cannot be decided now", reason=refused.reason) from refused
        raise Problem(403, refused.detail, reason=refused.reason) from refused
    except (NotFound, Conflict, RegisterError) as error:
        raise problem_of(error) from error
