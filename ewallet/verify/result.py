"""What a verification answers: outcome, reason, the steps walked, and what may then be believed."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NoReturn

from ewallet.errors import Refused
from ewallet.reasons import REASONS, Layer, Outcome, Reason

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


class Kind(StrEnum):
    """What was presented."""

    CODE = "code"
    PRESENTATION = "presentation"
    DOCUMENT = "document"
    SEAL = "seal"
    PAPER = "paper"
    DISPLAY = "display"
    UNKNOWN = "unknown"


class StepResult(StrEnum):
    """How one step of the walk ended."""

    PASSED = "passed"
    FAILED = "failed"
    OPEN = "open"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One numbered step of the walk and its result.

    Attributes:
        step: number of the step in `ewallet.verify.verifier`.
        name: what it checked, a stable English phrase.
        layer: genuine, in force, accepted here.
        result: passed, failed, or open (could not be decided).
        detail: one English sentence for a log; never a personal value.
    """

    step: int
    name: str
    layer: Layer
    result: StepResult
    detail: str = ""


NOTICES: Final[dict[str, tuple[str, str]]] = {
    "presence.not_checked": ("仅核验内容，未核验是否本人出示。", "Content only: presence was not checked."),
    "compare.person": ("请与本人核对。", "Compare with the person."),
    "copy.possible": (
        "印章码只能证明内容；完全相同的复印件也带有同样的码。",
        "A seal proves content only: a perfect photocopy carries it too.",
    ),
    "trust.aging": (
        "信任名单已超过36小时，请尽快更新。",
        "The trust lists are older than 36 hours: refresh soon.",
    ),
    "license.objection": ("对该证照有异议正在处理。", "An objection to this license is open."),
    "license.review": (
        "相关证照已变更，此证照待复核。",
        "A license that this one depends on has changed: under review.",
    ),
    "page.not_compared": (
        "未能在此重绘页面进行比对，请人工核对页面内容。",
        "The page could not be drawn afresh here: compare it by eye.",
    ),
    "seal.unreadable": ("未能从页面读出印章码。", "No seal could be read from the page."),
    "assurance.low": ("身份保证等级较低。", "Low level of assurance."),
}
"""Sentences of the notices, zh and en; a notice never changes the outcome."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something to be told beside the outcome.

    Attributes:
        code: key of `NOTICES`.
        detail: which field and date, where that matters; never a personal value.
    """

    code: str
    detail: str = ""

    def sentence(self, lang: str) -> str:
        """The sentence in `zh` or `en`."""
        zh, en = NOTICES[self.code]
        text = zh if lang == "zh" else en
        return f"{text} {self.detail}" if self.detail else text


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """A person or enterprise that a code or credential speaks about.

    Attributes:
        id: random identifier of the pass or credential (never a personal number).
        kind: person, enterprise, international, senior, minor ...; empty for a license holder.
        role: for who acts: guardian, agent, legal representative ...; empty otherwise.
        attributes: what was disclosed, by key.
    """

    id: str
    kind: str = ""
    role: str = ""
    attributes: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True, kw_only=True)
class LicenseFacts:
    """What a genuine license credential, document or seal says.

    Attributes:
        type: type code.
        type_version: version of the type.
        issuer: URI of the issuer.
        issuer_names: its names by language.
        province: two digits of the issuing province.
        area: area code, 6 digits.
        authority: name of the issuing authority as on the face; empty on a seal.
        identifier: e-license identifier; empty where it was not disclosed.
        version: version of the license; None where it was not disclosed.
        fields: disclosed (on a seal: masked) face fields, by key.
        issued_at: when the credential was signed.
        holder_index: which holder presents; None for documents and seals.
        status: what the status list says: valid, revoked, suspended, superseded; empty before it was read.
        local: the local view after a recognition rule; None for a license of the own province.
    """

    type: str
    type_version: str
    issuer: str
    issuer_names: Mapping[str, str]
    province: str
    area: str
    authority: str = ""
    identifier: str
    version: int | None
    fields: Mapping[str, Any]
    issued_at: datetime
    holder_index: int | None = None
    status: str = ""
    local: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is genuine about the thing presented, whether or not it is in force or accepted here.

    Attributes:
        kind: what was presented.
        subject: whom it speaks about.
        actor: who acts, where that is somebody else.
        licenses: licenses that were presented.
        scene: scene that the code was accepted for or refused in.
        assurance: level of assurance of a code.
        signed_at: when the holder's device signed, for a code or presentation.
    """

    kind: Kind
    subject: Party | None = None
    actor: Party | None = None
    licenses: tuple[LicenseFacts, ...] = ()
    scene: str = ""
    assurance: str = ""
    signed_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """The answer of `Verifier.verify`. It has no truth value: ask for `.outcome`.

    Attributes:
        outcome: ACCEPTED, REJECTED or UNDECIDED.
        reason: why; None when accepted.
        checks: the steps walked, in order; the last one decided.
        notices: what to tell beside the outcome.
        kind: what was presented, as far as it could be told.
        facts: what is genuine; None unless the genuine layer passed.
        at: the moment that was verified for.
    """

    outcome: Outcome
    reason: Reason | None
    checks: tuple[Check, ...]
    notices: tuple[Notice, ...] = ()
    kind: Kind = Kind.UNKNOWN
    facts: Facts | None = None
    at: datetime

    def __post_init__(self) -> None:
        accepted = self.outcome is Outcome.ACCEPTED
        if accepted != (self.reason is None):
            raise ValueError("an accepted verification has no reason, every other one has")
        if accepted and (self.facts is None or not self.checks):
            raise ValueError("nothing is accepted without steps and facts")
        if self.reason is not None and self.reason.outcome is not self.outcome:
            raise ValueError(f"{self.reason.code} does not lead to {self.outcome}")

    def __bool__(self) -> NoReturn:
        raise TypeError("a Verification has no truth value: compare .outcome with Outcome.ACCEPTED")

    def require(self) -> Facts:
        """The facts, if accepted.

        Raises:
            Refused: with the reason, otherwise.
        """
        if self.outcome is not Outcome.ACCEPTED or self.facts is None:
            assert self.reason is not None
            raise Refused(self.reason.code, self.checks[-1].detail if self.checks else "")
        return self.facts

    @property
    def subject(self) -> Party | None:
        """Whom it speaks about; raises `Refused` unless accepted."""
        return self.require().subject

    @property
    def actor(self) -> Party | None:
        """Who acts, where that is somebody else; raises `Refused` unless accepted."""
        return self.require().actor

    @property
    def licenses(self) -> tuple[LicenseFacts, ...]:
        """The licenses presented; raises `Refused` unless accepted."""
        return self.require().licenses

    def layers(self) -> dict[Layer, StepResult | None]:
        """The three layers and how each ended; None for a layer that was not reached."""
        ends: dict[Layer, StepResult | None] = dict.fromkeys(
            (Layer.GENUINE, Layer.IN_FORCE, Layer.ACCEPTED_HERE)
        )
        for check in self.checks:
            if check.layer in ends and ends[check.layer] in (None, StepResult.PASSED):
                ends[check.layer] = check.result
        return ends


def refuse(code: str, checks: tuple[Check, ...], **parts: Any) -> Verification:
    """A verification that ended with a reason of the table.

    Raises:
        KeyError: the reason is not in the table.
    """
    reason = REASONS[code]
    return Verification(outcome=reason.outcome, reason=reason, checks=checks, **parts)
