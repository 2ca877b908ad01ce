"""The verification: one walk of numbered steps, three outcomes.

    1  form              the bytes are one of our objects, exactly
    2  kind              this counter takes this kind of object
    3  moment            audience, answer and time of what the holder's device signed
    4  lists             the trust lists are usable at this time
    5  issuer            the key is listed, for this service, under this issuer
    6  signatures        issuer's signature, disclosures, the holder's signature
    7  grant             the issuer might sign this type for this region at that time
    8  pass              the pass was not revoked within its day
    9  validity          the license is in its term
    10 status            the license (or copy) is neither suspended, revoked nor superseded
    11 policy            the counter's own rules: scene, kind, assurance, type, fields, province
    12 recognition       a rule between the two provinces, for another province's license
    13 replay            this code was not used before; spends it

Steps 1 to 8 are the layer *genuine*, 9 and 10 *in force*, 11 to 13 *accepted here*. What is false whatever
the lists say (1 to 3) rejects first; after that the first step that cannot be decided ends the walk as
UNDECIDED. Step 13 comes last and spends only when everything else accepts. The code below carries the same
numbers.

An answer to a request may be several presentations: each walks steps 1 to 12, then all together fit what was
asked for (step 11) and are spent together (step 13), or none is.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeVar

from ewallet.code import passes
from ewallet.code.challenge import Request, parse_question
from ewallet.errors import Refused
from ewallet.formats import sdcwt, sdjwt, statuslist, text
from ewallet.moments import day_end, day_of, day_start, instant, seconds
from ewallet.reasons import REASONS, Layer, Outcome
from ewallet.trust.entries import Service
from ewallet.verify.claims import (
    DOCUMENT,
    HOLDER_CWT,
    HOLDER_JWT,
    certificates,
    read_cbor,
    read_json,
    read_seal,
)
from ewallet.verify.lists import StatusLists
from ewallet.verify.replay import challenge_spending, code_spending, entry_spending
from ewallet.verify.requests import Shown, asked_fields, fit
from ewallet.verify.result import (
    Check,
    Facts,
    Kind,
    LicenseFacts,
    Notice,
    Party,
    StepResult,
    Verification,
)
from ewallet.wire import MAX_CREDENTIAL, b64u_decode, b64u_encode, decode_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from ewallet.code.challenge import Challenge
    from ewallet.formats.cose import UnverifiedCwt
    from ewallet.trust.entries import ListedKey
    from ewallet.trust.trust import Trust
    from ewallet.verify.claims import LicenseClaims
    from ewallet.verify.policy import Policy
    from ewallet.verify.replay import ReplayGuard, Spending
    from ewallet.verify.sources import StatusSource

    Scanned = str | bytes | Sequence[str]

MAX_SEEN: Final = 65_536
"""Issuer signatures remembered: the passes of a busy hour at one gate; about 10 MB."""

SKEW: Final = 60
"""Seconds that an issuer's clock may be ahead of this one."""

_T = TypeVar("_T")

_GUARDS: Final = ("memory", "file", "shared")

_STATIC_KINDS: Final = {text.PAPER: Kind.PAPER, text.DISPLAY: Kind.DISPLAY, text.SEAL: Kind.SEAL}

_NAMES: Final = {
    1: ("form", Layer.GENUINE),
    2: ("kind", Layer.GENUINE),
    3: ("moment", Layer.GENUINE),
    4: ("lists", Layer.GENUINE),
    5: ("issuer", Layer.GENUINE),
    6: ("signatures", Layer.GENUINE),
    7: ("grant", Layer.GENUINE),
    8: ("pass", Layer.GENUINE),
    9: ("validity", Layer.IN_FORCE),
    10: ("status", Layer.IN_FORCE),
    11: ("policy", Layer.ACCEPTED_HERE),
    12: ("recognition", Layer.ACCEPTED_HERE),
    13: ("replay", Layer.ACCEPTED_HERE),
}

_PASSED: Final = {
    step: Check(step=step, name=name, layer=layer, result=StepResult.PASSED)
    for step, (name, layer) in _NAMES.items()
}
"""A step that passed says nothing else: one value for all walks."""


class _Walk:
    """The steps walked so far, and what may be said about the object by now."""

    __slots__ = ("answer", "facts", "kind", "notices", "now", "spending", "step", "steps")

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.answer: Shown | None = None
        self.spending: list[Spending] = []
        self.step = 1
        self.steps: list[int] = []
        self.kind = Kind.UNKNOWN
        self.facts: Facts | None = None
        self.notices: list[Notice] = []

    def enter(self, step: int) -> None:
        """The step before has passed; the next one begins."""
        self.steps.append(self.step)
        self.step = step

    def note(self, code: str, detail: str = "") -> None:
        self.notices.append(Notice(code=code, detail=detail))

    def _passed(self) -> list[Check]:
        return [_PASSED[step] for step in self.steps]

    def accepted(self) -> Verification:
        self.steps.append(self.step)
        return Verification(
            outcome=Outcome.ACCEPTED,
            reason=None,
            checks=tuple(self._passed()),
            notices=tuple(self.notices),
            kind=self.kind,
            facts=self.facts,
            at=self.now,
        )

    def ended(self, refused: Refused) -> Verification:
        reason = REASONS[refused.reason]
        name, layer = _NAMES[self.step]
        result = StepResult.FAILED if reason.outcome is Outcome.REJECTED else StepResult.OPEN
        last = Check(step=self.step, name=name, layer=layer, result=result, detail=refused.detail)
        return Verification(
            outcome=reason.outcome,
            reason=reason,
            checks=(*self._passed(), last),
            notices=tuple(self.notices),
            kind=self.kind,
            facts=self.facts,
            at=self.now,
        )


class Unspent:
    """What has passed every step but the last: not accepted before what it uses up is spent.

    `Verifier.verify` does it all. This is for who gathers the spendings of many callers and spends them in
    one go (`ewallet.verify.replay.spend_each`), such as the HTTP service.

    Attributes:
        spendings: to be spent, all or nothing, in the guard of the verifier.
    """

    __slots__ = ("_walk", "spendings")

    def __init__(self, walk: _Walk) -> None:
        self._walk = walk
        self.spendings: Sequence[Spending] = walk.spending

    def concluded(self, refused: Refused | None) -> Verification:
        """The answer.

        Args:
            refused: how the guard refused the spendings; None: they are spent.
        """
        return self._walk.accepted() if refused is None else self._walk.ended(refused)


class Verifier:
    """Verifies what is shown at one counter or gate.

    Args:
        trust: the verified trust lists. A refresh of the lists makes a new `Verifier` (`with_trust`).
        policy: what this counter accepts.
        status: where status lists are found.
        replay: the guard against codes used twice.
        proofs: register statements by digest of the signed bytes, for keys that were compromised.

    Raises:
        ValueError: the scene needs a guard that outlives the process, or that gates share.
    """

    def __init__(
        self,
        *,
        trust: Trust,
        policy: Policy,
        status: StatusSource,
        replay: ReplayGuard,
        proofs: Mapping[bytes, Sequence[bytes]] | None = None,
    ) -> None:
        if _GUARDS.index(replay.level) < _GUARDS.index(policy.scene.guard):
            raise ValueError(f"the scene {policy.scene.id} needs a {policy.scene.guard} guard")
        self._trust = trust
        self._policy = policy
        self._replay = replay
        self._proofs = proofs or {}
        self._lists = StatusLists(status, trust)
        self._seen: sdcwt.SeenSignatures = set()

    @property
    def trust(self) -> Trust:
        """The lists that it decides by."""
        return self._trust

    @property
    def policy(self) -> Policy:
        """What this counter accepts."""
        return self._policy

    def with_trust(self, trust: Trust, status: StatusSource) -> Verifier:
        """The same counter with refreshed lists; nothing that was cached under the old ones is kept."""
        return Verifier(
            trust=trust, policy=self._policy, status=status, replay=self._replay, proofs=self._proofs
        )

    def verify(
        self, scanned: Scanned, *, now: datetime, answering: Challenge | Request | None = None
    ) -> Verification:
        """Verifies what was scanned. Never raises for its content.

        Args:
            scanned: text of a code or credential; bytes of a credential; or all texts found in one picture.
            now: the time of the check (aware).
            answering: the question that this must answer, as this verifier asked it. A request is answered by
                one presentation for each license: a sequence, or one to a line.

        Raises:
            ValueError: `now` has no time zone, or the scene requires a challenge and none is given.
            TypeError: `scanned` is of another type.
        """
        found = self.examine(scanned, now=now, answering=answering)
        if not isinstance(found, Unspent):
            return found
        try:
            self._replay.spend(found.spendings, now=now)
        except Refused as refused:
            return found.concluded(refused)
        return found.concluded(None)

    def examine(
        self, scanned: Scanned, *, now: datetime, answering: Challenge | Request | None = None
    ) -> Verification | Unspent:
        """As `verify`, without the last step: what would be accepted but for its spendings is `Unspent`."""
        seconds(now)  # a naive time is the caller's bug, whatever was scanned
        if self._policy.scene.challenge and answering is None:
            raise ValueError(f"the scene {self._policy.scene.id} needs a challenge: pass `answering`")
        walk = _Walk(now)
        try:
            if isinstance(answering, Request):
                walk = self._answers(walk, _presentations(scanned), answering)
            else:
                self._walk(walk, scanned, answering)
        except _Ended as ended:
            return ended.walk.ended(ended.refused)
        except Refused as refused:
            return walk.ended(refused)
        except RecursionError:
            return walk.ended(Refused("credential.malformed", "nested too deeply"))
        return Unspent(walk) if walk.spending else walk.accepted()

    # --- several credentials at once ------------------------------------------------------------------------

    def _answers(self, first: _Walk, presentations: Sequence[str | bytes], asked: Request) -> _Walk:
        """Walks each presentation to step 12, then checks that together they fit; spends all, or nothing."""
        if not presentations or len(set(presentations)) != len(presentations):
            raise Refused("code.unreadable", "no presentation, or one twice")
        if len(presentations) > len(asked.licenses):
            raise Refused("policy.type", "more licenses than were asked for")
        walks = []
        for shown in presentations:
            walk = _Walk(first.now)
            try:
                self._walk(walk, shown, asked)
                _require_presentation(walk)
            except Refused as refused:
                if walk.answer is None:
                    walk.facts = None  # what nobody asked for is not kept, genuine or not
                raise _Ended(walk, refused) from refused
            walks.append(walk)
        whole = _together(walks)
        try:
            whole.enter(11)
            self._asked_within_grant(asked, whole.now)
            fit(asked.licenses, [walk.answer for walk in walks if walk.answer is not None])
            whole.enter(12)
            whole.enter(13)
            self._use_up(whole, whole.spending, asked)
        except Refused as refused:
            raise _Ended(whole, refused) from refused
        return whole

    def _asked_within_grant(self, asked: Request, now: datetime) -> None:
        """What this counter asked for, it may still ask for: grants end between question and answer."""
        question = parse_question(asked.text)
        [listed, *_] = self._trust.verifier_key(kid=question.cwt.kid, iss=asked.issuer, now=now)
        self._trust.decide_verifier(listed, venue=asked.venue, scene=asked.scene, types=asked.types, now=now)

    # --- 1 and 2: what is it --------------------------------------------------------------------------------

    def _walk(self, walk: _Walk, scanned: Scanned, answering: Challenge | Request | None) -> None:
        # 1 form
        if not isinstance(scanned, str | bytes):
            scanned = _only(scanned)
        if isinstance(scanned, bytes):
            self._bytes(walk, scanned, answering)
        elif "~" in scanned[:MAX_CREDENTIAL]:
            self._sd_jwt(walk, scanned.strip("\r\n"), answering)
        else:
            prefix, data = text.decode(scanned)
            if prefix == text.CODE:
                self._code(walk, data, answering)
            elif prefix == text.LICENSE:
                self._presentation(walk, data, answering)
            elif prefix in _STATIC_KINDS:
                self._static(walk, prefix, scanned)
            elif prefix == text.SUPPLY:
                self._supply_code(walk, scanned)
            else:
                raise Refused("code.unreadable", "a question, not an answer")

    def _bytes(self, walk: _Walk, data: bytes, answering: Challenge | Request | None) -> None:
        """Bytes without a prefix: a key binding token says by the type inside what it is."""
        if len(data) > MAX_CREDENTIAL:
            raise Refused("code.too_long", "more bytes than any credential")
        if _pass_inside(data):
            self._code(walk, data, answering)
        else:
            self._presentation(walk, data, answering)

    def _static(self, walk: _Walk, prefix: str, scanned: str) -> None:
        walk.kind = _STATIC_KINDS[prefix]
        if prefix == text.SEAL:
            self._seal(walk, scanned)
        elif prefix == text.PAPER:
            self._paper(walk, scanned)
        else:
            self._display(walk, scanned)

    def _supply_code(self, walk: _Walk, scanned: str) -> None:
        from ewallet.licenses.supply_code import parse_supply_code  # noqa: PLC0415 (rare)

        parse_supply_code(scanned)  # 1
        walk.enter(2)
        raise Refused("code.supply", "it lets a license be retrieved, and proves nothing here")

    # --- identity codes -------------------------------------------------------------------------------------

    def _code(self, walk: _Walk, data: bytes, answering: Challenge | Request | None) -> None:
        walk.kind = Kind.CODE
        scene, now = self._policy.scene, walk.now
        cnonce = None if answering is None or isinstance(answering, Request) else answering.digest
        early = passes.early_refusal(scene, cnonce=cnonce, now=now)
        try:
            code = passes.parse_code_bytes(data, early=early)  # 1
        except Refused as refused:
            if refused.reason in ("code.audience", "code.expired"):  # by its outside: that is step 3
                walk.enter(2)
                walk.enter(3)
            raise
        walk.enter(2)
        walk.enter(3)  # 3 moment
        if isinstance(answering, Request):
            raise Refused("code.challenge", "licenses were asked for, not a code")
        passes.check_code_audience(code, scene, cnonce=_cnonce(answering, now))
        try:
            passes.check_code_times(code, scene, now=now)
        except Refused as refused:
            if refused.reason == "code.from_future":
                # A clock that is known to be behind cannot say that a code comes from the future.
                self._lists_usable(walk)
            raise
        walk.enter(4)
        self._lists_usable(walk)
        walk.enter(5)
        candidates = self._trust.require(Service.CODES, kid=code.kid, now=now)
        walk.enter(6)
        listed, facts = self._by_key(
            candidates, lambda each: passes.verify_pass(code, each.key, now=now, seen=self._seen)
        )
        passes.verify_holder(code, facts)
        walk.enter(7)
        self._decide(walk, listed, signed_at=facts.issued_at, digest=facts.digest)
        walk.enter(8)
        self._not_revoked(walk, listed, facts)
        walk.facts = _code_facts(facts, scene.id, code.unverified_iat)
        walk.enter(11)
        if "rotating" not in scene.forms:
            raise Refused("policy.scene", "rotating codes are not taken here")
        passes.check_scene(facts, scene, now=now)
        _within_grant(listed, facts)
        if answering is not None and not answering.attributes.issuperset(facts.attributes):
            raise Refused("policy.scene", "it discloses more than was asked for")
        if facts.assurance == "low":
            walk.note("assurance.low")
        if facts.attributes.keys() & {"masked_name", "portrait_digest"}:
            walk.note("compare.person")
        walk.enter(13)
        spending = [code_spending(facts.digest, iat=code.unverified_iat, min_gap=scene.min_gap)]
        if facts.entry is not None:
            entry = facts.entry
            spending.append(
                entry_spending(pseudonym=entry.pseudonym, event=entry.event, start=entry.start, end=entry.end)
            )
        self._use_up(walk, spending, answering)

    def _not_revoked(self, walk: _Walk, listed: ListedKey, facts: passes.PassFacts) -> None:
        scene = self._policy.scene
        hot = self._trust.hot(listed.entity.province, walk.now, max_age=scene.hot_max_age)
        if hot is not None:
            if passes.hot_entry(facts.id) in hot:
                raise Refused("pass.revoked", "on the hot list")
        elif scene.hot_required:
            raise Refused("trust.stale", "the scene needs a fresh hot list")

    # --- static codes ---------------------------------------------------------------------------------------

    def _paper(self, walk: _Walk, scanned: str) -> None:
        from ewallet.code import paper  # noqa: PLC0415 (rare)

        scene, now = self._policy.scene, walk.now
        parsed = paper.parse_paper(scanned)  # 1
        walk.enter(2)
        if "paper" not in scene.forms:
            raise Refused("code.static", "paper is not taken here")
        if scene.challenge:
            raise Refused("code.challenge", "paper cannot answer a question")
        listed, facts = self._static_signature(
            walk, parsed, lambda each: paper.verify_paper(parsed, each.key, issuer=each.entity.uri, now=now)
        )
        self._decide(walk, listed, signed_at=facts.issued_at, digest=facts.digest)
        subject = Party(id=facts.id, kind=facts.kind, attributes={"masked_name": facts.name})
        walk.facts = Facts(kind=Kind.PAPER, subject=subject, scene=scene.id, assurance=paper.ASSURANCE)
        walk.note("assurance.low")
        walk.note("compare.person")
        walk.enter(10)
        if self._lists.value(facts.status, listed.entity, now, max_age=scene.status_max_age) != _VALID:
            raise Refused("pass.revoked", "by the status list")
        walk.enter(11)
        paper.check_paper_scene(facts, scene)
        walk.enter(13)
        if scene.spends != "code":
            # Paper carries no pseudonym: the sheet is spent for the day, so a copy counts no second time.
            start, end = seconds(day_start(day_of(now))), seconds(day_end(day_of(now)))
            entry = entry_spending(pseudonym=facts.digest, event=scene.id, start=start, end=end)
            self._use_up(walk, [entry], None)

    def _display(self, walk: _Walk, scanned: str) -> None:
        from ewallet.code import display  # noqa: PLC0415 (rare)

        scene, now = self._policy.scene, walk.now
        parsed = display.parse_display(scanned)  # 1
        walk.enter(2)
        if "display" not in scene.forms:
            raise Refused("code.static", "a display code is no presentation")
        listed, facts = self._static_signature(
            walk,
            parsed,
            lambda each: display.verify_display(parsed, each.key, issuer=each.entity.uri, now=now),
        )
        self._decide(walk, listed, signed_at=facts.issued_at, digest=facts.digest)
        public = {"enterprise_name": facts.name, "uscc": facts.uscc}
        subject = Party(id=facts.uscc, kind="enterprise", attributes=public)
        walk.facts = Facts(kind=Kind.DISPLAY, subject=subject, scene=scene.id)
        walk.note("presence.not_checked")
        walk.enter(10)
        value = self._lists.value(facts.status, listed.entity, now, max_age=scene.status_max_age)
        if value != _VALID:
            raise Refused(_LICENSE_STATUS[value], "by the status list")
        walk.enter(11)

    def _static_signature(
        self, walk: _Walk, parsed: UnverifiedCwt, check: Callable[[ListedKey], _T]
    ) -> tuple[ListedKey, _T]:
        """Steps 4 to 6 for a static code; ends at the beginning of step 7."""
        walk.enter(4)
        self._lists_usable(walk)
        walk.enter(5)
        candidates = self._trust.require(Service.CODES, kid=parsed.kid, iss=parsed.iss or "", now=walk.now)
        walk.enter(6)
        found = self._by_key(candidates, check)
        walk.enter(7)
        return found

    # --- licenses -------------------------------------------------------------------------------------------

    def _sd_jwt(self, walk: _Walk, token: str, answering: Challenge | Request | None) -> None:
        if len(token) > MAX_CREDENTIAL:
            raise Refused("code.too_long", "more characters than any credential")
        bound = not token.endswith("~")
        if not bound and _is_document(token):
            self._document(walk, token)
            return
        walk.kind = Kind.PRESENTATION
        now, venue = walk.now, self._policy.scene.venue
        parsed = sdjwt.parse(token, HOLDER_JWT)  # 1
        walk.enter(2)
        walk.enter(3)
        if answering is None:
            raise Refused("code.challenge", "a key binding JWT answers a question, and none was asked")
        nonce = b64u_encode(_cnonce(answering, now) or b"")
        window = self._policy.scene
        sdjwt.check_presentation(
            parsed,
            now=now,
            audience=venue,
            nonce=nonce,
            max_age=window.window_past,
            max_ahead=window.window_future,
        )
        walk.enter(4)
        self._lists_usable(walk)
        walk.enter(5)
        candidates = self._trust.require(
            Service.LICENSES,
            kid=parsed.key_id,
            iss=parsed.iss or "",
            now=now,
            chain=certificates(parsed.jws),
        )
        walk.enter(6)
        listed, verified = self._by_key(
            candidates,
            lambda each: sdjwt.verify(
                parsed,
                each.key,
                HOLDER_JWT,
                now=now,
                audience=venue,
                nonce=nonce,
                max_age=window.window_past,
                max_ahead=window.window_future,
                issuer=each.entity.uri,
                seen=self._seen,
            ),
        )
        assert verified.binding is not None
        claims = read_json(verified)
        binding = verified.binding
        self._license(
            walk, listed, claims, present=True, signed_at=binding.issued_at, asked=_asked(answering)
        )
        self._use_presentation(walk, binding.digest, binding.issued_at, answering)

    def _presentation(self, walk: _Walk, data: bytes, answering: Challenge | Request | None) -> None:
        walk.kind = Kind.PRESENTATION
        now, scene = walk.now, self._policy.scene
        parsed = sdcwt.parse_kbt(data, HOLDER_CWT)  # 1
        walk.enter(2)
        walk.enter(3)
        try:
            sdcwt.check_presentation(
                parsed,
                now=now,
                audience=scene.venue,
                cnonce=_cnonce(answering, now),
                max_age=scene.window_past,
                max_ahead=scene.window_future,
            )
        except Refused as refused:
            if refused.reason == "code.from_future":
                self._lists_usable(walk)
            raise
        walk.enter(4)
        self._lists_usable(walk)
        walk.enter(5)
        candidates = self._trust.require(
            Service.LICENSES,
            kid=parsed.kid,
            iss=parsed.iss or "",
            now=now,
            chain=certificates(parsed.credential.sign1),
        )
        walk.enter(6)
        listed, presented = self._by_key(
            candidates,
            lambda each: sdcwt.verify_kbt(
                parsed,
                each.key,
                HOLDER_CWT,
                now=now,
                audience=scene.venue,
                cnonce=_cnonce(answering, now),
                max_age=scene.window_past,
                max_ahead=scene.window_future,
                issuer=each.entity.uri,
                seen=self._seen,
            ),
        )
        claims = read_cbor(presented.credential)
        self._license(
            walk, listed, claims, present=True, signed_at=presented.issued_at, asked=_asked(answering)
        )
        self._use_presentation(walk, presented.digest, presented.issued_at, answering)

    def _use_presentation(
        self, walk: _Walk, digest: bytes, iat: int, answering: Challenge | Request | None
    ) -> None:
        spending = code_spending(digest, iat=iat, min_gap=self._policy.scene.min_gap)
        if isinstance(answering, Request):
            walk.spending.append(spending)  # spent together with the other presentations of the answer
            return
        walk.enter(13)
        self._use_up(walk, [spending], answering)

    def _document(self, walk: _Walk, token: str) -> None:
        walk.kind = Kind.DOCUMENT
        parsed = sdjwt.parse(token, DOCUMENT)  # 1
        walk.enter(2)
        if self._policy.scene.presence:
            raise Refused("holder.binding_missing", "a document proves content, never presence")
        walk.enter(4)
        at = self._document_time(walk)
        walk.enter(5)
        candidates = self._trust.require(
            Service.LICENSES,
            kid=parsed.key_id,
            iss=parsed.iss or "",
            now=walk.now,
            chain=certificates(parsed.jws),
        )
        walk.enter(6)
        # The credential ends with its license: its content stays genuine, and step 9 says that it ended.
        exp = parsed.unverified_claims.get("exp")
        as_of = at if exp is None or seconds(at) < exp else instant(int(exp) - 1)
        listed, verified = self._by_key(
            candidates,
            lambda each: sdjwt.verify(parsed, each.key, DOCUMENT, now=as_of, issuer=each.entity.uri),
        )
        self._license(walk, listed, read_json(verified), present=False, signed_at=None)

    def _seal(self, walk: _Walk, scanned: str) -> None:
        from ewallet.licenses import seal as seals  # noqa: PLC0415 (a gate that reads codes only needs none)

        sealed = seals.parse_seal(scanned)  # 1
        walk.enter(2)
        if self._policy.scene.presence:
            raise Refused("code.static", "a seal proves content, never presence")
        walk.enter(4)
        at = self._document_time(walk)
        walk.enter(5)
        candidates = self._trust.require(Service.LICENSES, kid=sealed.kid, iss=sealed.iss, now=walk.now)
        walk.enter(6)
        listed, seal = self._by_key(candidates, lambda each: seals.verify_seal(sealed, each.key, now=at))
        claims = read_seal(seal, sealed.digest)
        self._license(walk, listed, claims, present=False, signed_at=None)
        walk.note("copy.possible")

    def _license(
        self,
        walk: _Walk,
        listed: ListedKey,
        claims: LicenseClaims,
        *,
        present: bool,
        signed_at: int | None,
        asked: Request | None = None,
    ) -> None:
        """Steps 7 to 12 for a license, however it was shown."""
        # Content is judged at the lists' signed time where the clock is behind it; presence never is.
        policy, now = self._policy, walk.now if present else max(walk.now, self._trust.signed_at)
        if asked is not None:
            walk.answer = Shown(type=claims.type, disclosed=claims.disclosed)
            claims = claims.limited(asked_fields(asked.licenses, claims.type))
        walk.enter(7)
        self._decide(
            walk,
            listed,
            signed_at=claims.issued_at,
            digest=claims.digest,
            type_code=claims.type,
            region=claims.area,
        )
        if claims.issued_at > seconds(max(now, self._trust.signed_at)) + SKEW:
            raise Refused("code.from_future", "the credential was made in the future")
        facts = claims.to_facts(listed)
        walk.facts = _license_facts(walk.kind, facts, signed_at)
        if not present:
            walk.note("presence.not_checked")
        walk.enter(9)
        _in_term(claims, now)
        walk.enter(10)
        for notice in self._trust.notices(claims.status.uri, claims.status.idx):
            code = "license.objection" if notice.kind == "objection" else "license.review"
            walk.note(code, f"{notice.field} {notice.since:%Y-%m-%d}".strip())
        value = self._lists.value(claims.status, listed.entity, now, max_age=policy.scene.status_max_age)
        facts = replace(facts, status=_STATUS_WORDS[value])
        walk.facts = _license_facts(walk.kind, facts, signed_at)
        if value != statuslist.VALID:
            reasons = _SEAL_STATUS if walk.kind is Kind.SEAL else _LICENSE_STATUS
            raise Refused(reasons[value], "by the status list")
        walk.enter(11)
        _check_license_policy(policy, facts)
        walk.enter(12)
        if facts.province != policy.province:
            facts = self._recognized(facts, now)
            walk.facts = _license_facts(walk.kind, facts, signed_at)

    def _recognized(self, facts: LicenseFacts, now: datetime) -> LicenseFacts:
        policy = self._policy
        rule = self._trust.recognize(
            from_province=facts.province,
            to_province=policy.province,
            type=facts.type,
            type_version=facts.type_version,
            scene=policy.scene.id,
            now=now,
        )
        if rule is None:
            raise Refused("recognition.no_rule", f"{facts.province} to {policy.province}")
        local = rule.local_view(facts.fields)
        if local.unmet:
            # A rule whose condition is not shown to hold is no rule for this license: the manual path is
            # open.
            raise Refused("recognition.no_rule", "a condition of the rule does not hold or was not shown")
        return replace(facts, local=local)

    # --- what all kinds share -------------------------------------------------------------------------------

    def _lists_usable(self, walk: _Walk) -> None:
        if self._trust.freshness(walk.now, max_age=self._policy.scene.trust_max_age):
            walk.note("trust.aging")

    def _document_time(self, walk: _Walk) -> datetime:
        """The time that a document is judged at: the clock, or the lists' signed time if that is later."""
        now = max(walk.now, self._trust.signed_at)
        if self._trust.freshness(now, max_age=self._policy.scene.trust_max_age):
            walk.note("trust.aging")
        return now

    def _by_key(
        self, candidates: Sequence[ListedKey], check: Callable[[ListedKey], _T]
    ) -> tuple[ListedKey, _T]:
        """The first of at most two candidate keys under which the object verifies."""
        if len(self._seen) > MAX_SEEN:
            self._seen.clear()
        for listed in candidates[:-1]:
            try:
                return listed, check(listed)
            except Refused:
                continue
        return candidates[-1], check(candidates[-1])

    def _decide(
        self,
        walk: _Walk,
        listed: ListedKey,
        *,
        signed_at: int,
        digest: bytes,
        type_code: str | None = None,
        region: str | None = None,
    ) -> None:
        self._trust.decide(
            listed,
            type=type_code,
            region=region,
            signed_at=instant(signed_at),
            now=walk.now,
            digest=digest,
            proofs=self._proofs.get(digest, ()),
        )

    def _use_up(self, walk: _Walk, spending: list[Spending], answering: Challenge | Request | None) -> None:
        """Notes what the guard is to spend: the last step, when all others have passed."""
        if answering is not None:
            spending.append(challenge_spending(answering.digest, iat=answering.iat, exp=answering.exp))
        walk.spending = spending


# --- what the steps look at ---------------------------------------------------------------------------------

_VALID: Final = statuslist.VALID
_STATUS_WORDS: Final = {
    statuslist.INVALID: "revoked",
    statuslist.SUSPENDED: "suspended",
    statuslist.SUPERSEDED: "superseded",
    statuslist.VALID: "valid",
}
_LICENSE_STATUS: Final = {
    statuslist.INVALID: "license.revoked",
    statuslist.SUSPENDED: "license.suspended",
    statuslist.SUPERSEDED: "license.superseded",
}
_SEAL_STATUS: Final = {
    statuslist.INVALID: "printed.withdrawn",
    statuslist.SUSPENDED: "license.suspended",
    statuslist.SUPERSEDED: "printed.superseded",
}


class _Ended(Exception):
    """How one presentation of several ended the walk of the answer."""

    def __init__(self, walk: _Walk, refused: Refused) -> None:
        super().__init__(refused.reason)
        self.walk = walk
        self.refused = refused


def _presentations(scanned: Scanned) -> Sequence[str | bytes]:
    """The presentations of an answer: a sequence, or one to a line."""
    if isinstance(scanned, bytes):
        return [scanned]
    if isinstance(scanned, str):
        return scanned.strip("\r\n").split("\n")
    if not all(isinstance(each, str | bytes) for each in scanned):
        raise TypeError("an answer is a text, bytes, or a sequence of both")
    return scanned


def _require_presentation(walk: _Walk) -> None:
    if walk.answer is None:
        raise Refused("holder.binding_missing", "a request is answered by its holder's device")


def _asked(answering: Challenge | Request | None) -> Request | None:
    return answering if isinstance(answering, Request) else None


def _together(walks: Sequence[_Walk]) -> _Walk:
    """One walk for an answer of several presentations, all walked to the end of the layer *in force*."""
    whole = _Walk(walks[0].now)
    whole.kind = Kind.PRESENTATION
    whole.steps = [step for step in walks[0].steps if step < 10]
    whole.step = 10
    licenses: list[LicenseFacts] = []
    for walk in walks:
        assert walk.facts is not None
        licenses.extend(walk.facts.licenses)
        whole.notices.extend(notice for notice in walk.notices if notice not in whole.notices)
        whole.spending.extend(walk.spending)
    signed = [walk.facts.signed_at for walk in walks if walk.facts is not None and walk.facts.signed_at]
    whole.facts = Facts(kind=Kind.PRESENTATION, licenses=tuple(licenses), signed_at=min(signed, default=None))
    return whole


def _only(found: Sequence[str]) -> str:
    """The one text of a picture; none or several decide nothing by themselves."""
    if not all(isinstance(each, str) for each in found):
        raise TypeError("a scan is a text, bytes, or the texts of one picture")
    if not found:
        raise Refused("code.unreadable", "no code in the picture")
    if len(set(found)) > 1:
        raise Refused("code.ambiguous", f"{len(set(found))} codes in one picture")
    return found[0]


def _pass_inside(data: bytes) -> bool:
    """Whether bytes are a key binding token over a pass (not over a license)."""
    try:
        passes.parse_code_bytes(data)
    except Refused:
        return False
    return True


def _is_document(token: str) -> bool:
    """Whether a token says of itself that it is a document credential: the type decides, nothing else."""
    try:
        header = decode_json(b64u_decode(token.partition(".")[0]))
    except Refused:
        return False
    return isinstance(header, dict) and header.get("typ") == sdjwt.DOCUMENT_CREDENTIAL


def _cnonce(answering: Challenge | Request | None, now: datetime) -> bytes | None:
    """What an answer must repeat.

    Raises:
        Refused: `code.challenge`: the question itself is over.
    """
    if answering is None:
        return None
    if seconds(now) >= answering.exp:
        raise Refused("code.challenge", "the question has expired")
    return answering.digest


def _in_term(claims: LicenseClaims, now: datetime) -> None:
    at = seconds(now)
    if claims.starts_at is not None and at < claims.starts_at:
        raise Refused("license.not_yet_valid", "before the first day")
    if claims.ends_at is not None and at >= claims.ends_at:
        raise Refused("license.expired", "after the last day")


def _check_license_policy(policy: Policy, facts: LicenseFacts) -> None:
    scene = policy.scene
    if "license" not in scene.forms:
        raise Refused("policy.scene", "licenses are not taken here")
    if "*" not in scene.types and facts.type not in scene.types:
        raise Refused("policy.type", "another type is needed here")
    if "*" not in scene.provinces and facts.province not in scene.provinces:
        raise Refused("policy.province", "another province's licenses are not taken here")
    missing = policy.demanded_fields(facts.type) - facts.fields.keys()
    if missing:
        raise Refused("policy.field_missing", "not disclosed: " + ", ".join(sorted(missing)))


def _within_grant(listed: ListedKey, facts: passes.PassFacts) -> None:
    """A pass says no more than its authority was granted: scenes and level."""
    at = facts.issued_at
    for grant in listed.grants:
        if (
            grant.contains(at)
            and ("*" in grant.scenes or facts.scenes <= grant.scenes)
            and (not grant.assurance or passes.LEVELS[facts.assurance] <= passes.LEVELS[grant.assurance])
        ):
            return
    raise Refused("issuer.service", "beyond what the code authority was granted")


def _code_facts(facts: passes.PassFacts, scene: str, iat: int) -> Facts:
    attributes = dict(facts.attributes)
    if facts.acting is None:
        subject, actor = Party(id=facts.id, kind=facts.kind, attributes=attributes), None
    else:
        named = {"masked_name": facts.subject_name} if facts.subject_name else {}
        acts = {"masked_name": facts.actor_name} if facts.actor_name else {}
        subject = Party(id=facts.id, kind=facts.kind, attributes={**attributes, **named})
        actor = Party(id=facts.id, kind="person", role=facts.acting.role, attributes=acts)
    return Facts(
        kind=Kind.CODE,
        subject=subject,
        actor=actor,
        scene=scene,
        assurance=facts.assurance,
        signed_at=instant(iat),
    )


def _license_facts(kind: Kind, facts: LicenseFacts, signed_at: int | None) -> Facts:
    return Facts(kind=kind, licenses=(facts,), signed_at=None if signed_at is None else instant(signed_at))
