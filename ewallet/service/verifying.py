"""Calls of a counter: ask, verify, say how old the lists are."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from starlette.concurrency import run_in_threadpool

from ewallet.code.challenge import LIFE, MAX_LIFE, About, make_challenge, own_question
from ewallet.errors import Malformed, MissingExtra, Refused
from ewallet.licenses.catalog import Catalog
from ewallet.reasons import Outcome
from ewallet.service.http import Problem, answer, media_type, member, read_body, read_object
from ewallet.service.receipting import use_from
from ewallet.verify.files import MAX_FILE
from ewallet.verify.receipts import Use
from ewallet.verify.report import to_json
from ewallet.verify.requests import ask, from_dcql
from ewallet.verify.verifier import Unspent

if TYPE_CHECKING:
    from datetime import datetime

    from starlette.requests import Request as Call
    from starlette.responses import Response

    from ewallet.code.challenge import Challenge, Request
    from ewallet.service.metrics import Metrics
    from ewallet.service.receipting import Desk
    from ewallet.service.settings import Settings
    from ewallet.service.spending import Till
    from ewallet.verify.result import Verification
    from ewallet.verify.terminal import Terminal

_REMEMBERED: Final = 10_000
"""Texts of which this process knows, as digests, when it accepted them: an hour of a busy gate."""

ANSWERING: Final = "x-ewallet-answering"
"""Header that names the question for a file, which has no place for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counter:
    """The calls of a counter.

    Attributes:
        terminal: the open counter.
        settings: how the process was started.
        metrics: where outcomes are counted.
        till: where codes are spent.
        desk: writes every verification down; None: nothing is recorded.
    """

    terminal: Terminal
    settings: Settings
    metrics: Metrics
    till: Till
    desk: Desk | None = None
    _accepted: OrderedDict[bytes, str] = field(default_factory=OrderedDict)

    async def verify(self, call: Call) -> Response:
        """POST /v1/verify: a text in JSON, or a picture, PDF or credential as it is."""
        now = self.settings.now()
        kind = media_type(call)
        if kind == "application/json":
            data = await read_object(call)
            text = member(data, "text", str)
            answering = self._question(member(data, "answering", str, default=""))
            use = use_from(data, self.terminal.name)
            found = await self._verified(text, now, answering)
        else:
            content, use = await self._file(call, kind), Use(terminal=self.terminal.name)
            answering = self._question(call.headers.get(ANSWERING, ""))
            try:
                found = await run_in_threadpool(
                    self.terminal.verify_file, content, now=now, answering=answering
                )
            except MissingExtra as missing:
                raise Problem(501, str(missing)) from missing
        said: dict[str, Any] = to_json(found)
        if kind == "application/json":
            self._remember(text, found, said)
        verifier = self.terminal.verifier
        if self.desk is not None and verifier is not None:
            said |= await self.desk.record(found, use, verifier)
        self.metrics.outcome(found.outcome.value, found.reason.code if found.reason else "")
        return answer(said)

    async def _verified(
        self, text: str, now: datetime, answering: Challenge | Request | None
    ) -> Verification:
        """Examines here, where it costs a fraction of a millisecond; waits for disks and networks beside."""
        examine = self.terminal.examine
        if self.terminal.remote:
            found = await run_in_threadpool(examine, text, now=now, answering=answering)
        else:
            found = examine(text, now=now, answering=answering)
        if not isinstance(found, Unspent):
            return found
        return found.concluded(await self.till.spend(found.spendings, now))

    def _remember(self, text: str, found: Verification, said: dict[str, Any]) -> None:
        """Tells when this process has accepted the very same text before: "already used at", no riddle."""
        name = sha256(text.encode()).digest()
        if found.outcome is Outcome.ACCEPTED:
            self._accepted[name] = found.at.isoformat()
            if len(self._accepted) > _REMEMBERED:
                self._accepted.popitem(last=False)
        elif found.reason is not None and found.reason.code == "code.replayed" and name in self._accepted:
            said["used_at"] = self._accepted[name]

    async def request(self, call: Call) -> Response:
        """POST /v1/request: a signed question for licenses and fields, to show as a QR code."""
        data = await read_object(call)
        settings, verifier = self.settings, self.terminal.verifier
        if settings.signer is None:
            raise Problem(409, "this service has no key to ask with")
        if verifier is None:
            raise Problem(503, "there are no trust lists", reason=self.terminal.problem)
        life = member(data, "life", int, default=LIFE)
        if not 0 < life <= MAX_LIFE:
            raise Problem(422, f"a question lives for 1 to {MAX_LIFE} seconds", field="life")
        about = member(data, "about", dict)
        try:
            wanted = from_dcql(member(data, "query", dict), Catalog.builtin())
            made = ask(
                settings.signer,
                verifier.trust,
                issuer=settings.issuer,
                scene=verifier.policy.scene,
                licenses=wanted,
                about=About.of_claim(about),
                now=settings.now(),
                life=life,
            )
        except Malformed as error:
            raise Problem(422, error.detail) from error
        except ValueError as error:
            raise Problem(422, str(error), field="about") from error
        except Refused as refused:
            raise Problem(403, refused.detail or refused.reason, reason=refused.reason) from refused
        return answer(
            {"text": made.text, "venue": made.venue, "scene": made.scene, "iat": made.iat, "exp": made.exp},
            201,
        )

    @staticmethod
    async def _file(call: Call, kind: str) -> bytes:
        if kind in ("application/octet-stream", "application/pdf", "text/plain") or kind.startswith("image/"):
            return await read_body(call, MAX_FILE)
        raise Problem(415, "JSON with text, or a picture, PDF or credential")

    def _question(self, text: str) -> Challenge | Request | None:
        if not text:
            return None
        if self.settings.signer is None:
            raise Problem(409, "this service has no key to ask with")
        try:
            return own_question(text, self.settings.signer.public_key)
        except Refused as refused:
            raise Problem(422, "that was not asked here", reason=refused.reason) from refused

    async def challenge(self, call: Call) -> Response:
        """POST /v1/challenge: a signed question to show as a QR code."""
        settings, verifier = self.settings, self.terminal.verifier
        data = await read_object(call)
        if settings.signer is None:
            raise Problem(409, "this service has no key to ask with")
        if verifier is None:
            raise Problem(503, "there are no trust lists", reason=self.terminal.problem)
        attributes = member(data, "attributes", list, default=[])
        life = member(data, "life", int, default=LIFE)
        scene = verifier.policy.scene
        if not all(type(each) is str and each in scene.attributes for each in attributes):
            raise Problem(422, "more than the scene may ask for", field="attributes")
        if not 0 < life <= MAX_LIFE:
            raise Problem(422, f"a question lives for 1 to {MAX_LIFE} seconds", field="life")
        made = make_challenge(
            settings.signer,
            issuer=settings.issuer,
            venue=scene.venue,
            scene=scene.id,
            attributes=attributes,
            now=settings.now(),
            life=life,
        )
        return answer(
            {
                "text": made.text,
                "venue": made.venue,
                "scene": made.scene,
                "attributes": sorted(made.attributes),
                "iat": made.iat,
                "exp": made.exp,
            },
            201,
        )

    async def state(self, call: Call) -> Response:
        """GET /v1/state: what the status bar shows."""
        del call
        return answer(await run_in_threadpool(self.describe))

    def describe(self) -> dict[str, Any]:
        """The state, as data."""
        return self.terminal.describe(self.settings.now())
