"""What a clerk reads, and what a clerk may decide when the machine could not.

`explain` says an answer in one sentence with one next step, in Chinese or English. After UNDECIDED a person
may decide by hand: that is written down with its reason and stays UNDECIDED, whatever was decided; it never
turns green.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ewallet.reasons import Layer, Outcome
from ewallet.verify.result import StepResult

if TYPE_CHECKING:
    from datetime import datetime

    from ewallet.verify.result import Verification

WORDS: Final[dict[Outcome, tuple[str, str]]] = {
    Outcome.ACCEPTED: ("通过", "Accepted"),
    Outcome.REJECTED: ("不通过", "Rejected"),
    Outcome.UNDECIDED: ("无法判定", "Undecided"),
}
"""The word beside the colour and the shape, zh and en."""

LAYERS: Final[dict[Layer, tuple[str, str]]] = {
    Layer.GENUINE: ("真实", "Genuine"),
    Layer.IN_FORCE: ("有效", "In force"),
    Layer.ACCEPTED_HERE: ("此处可用", "Accepted here"),
}
_RESULTS: Final = {
    StepResult.PASSED: ("是", "yes"),
    StepResult.FAILED: ("否", "no"),
    StepResult.OPEN: ("无法判定", "undecided"),
    None: ("未核验", "not reached"),
}
_GOOD: Final = ("核验通过。", "Verified.")
_GO_AHEAD: Final = ("可以办理。", "Go ahead.")
_FIRST_STEPS: Final = (
    ("compare.person", ("请先与本人核对，再办理。", "Compare with the person, then go ahead.")),
    (
        "presence.not_checked",
        (
            "仅可用于核对内容；需要本人时，请其出示动态码。",
            "Content only: where the holder must be present, ask for a live code.",
        ),
    ),
)
"""The next step after acceptance: the first notice that asks for one."""

MAX_REASON: Final = 500
"""Characters of a reason given by hand."""
MAX_OFFICER: Final = 200
"""Characters of an officer's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """An answer in words.

    Attributes:
        outcome: one word.
        sentence: why, in one sentence.
        next_step: one thing to do now.
        layers: each layer by name, and how it ended.
        notices: what to know besides.
    """

    outcome: str
    sentence: str
    next_step: str
    layers: tuple[tuple[str, str], ...]
    notices: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.outcome} · {self.sentence} → {self.next_step}"


def explain(verification: Verification, lang: str) -> Explanation:
    """An answer in words for the person at the counter.

    Args:
        verification: the answer.
        lang: zh or en.

    Raises:
        ValueError: another language.
    """
    if lang not in ("zh", "en"):
        raise ValueError("an answer is explained in zh or en")
    side = 0 if lang == "zh" else 1
    reason = verification.reason
    return Explanation(
        outcome=WORDS[verification.outcome][side],
        sentence=_GOOD[side] if reason is None else reason.sentence(lang),
        next_step=_after_acceptance(verification)[side] if reason is None else reason.advice(lang),
        layers=tuple(
            (LAYERS[layer][side], _RESULTS[end][side]) for layer, end in verification.layers().items()
        ),
        notices=tuple(notice.sentence(lang) for notice in verification.notices),
    )


def _after_acceptance(verification: Verification) -> tuple[str, str]:
    codes = {notice.code for notice in verification.notices}
    return next((step for code, step in _FIRST_STEPS if code in codes), _GO_AHEAD)


@dataclass(frozen=True, slots=True, kw_only=True)
class ManualDecision:
    """What an officer decided after UNDECIDED.

    Attributes:
        verification: the answer that could not be given.
        go_ahead: whether the officer goes ahead.
        reason: why, in the officer's words.
        officer: who decided.
        at: when.
    """

    verification: Verification
    go_ahead: bool
    reason: str
    officer: str
    at: datetime

    def __post_init__(self) -> None:
        if self.verification.outcome is not Outcome.UNDECIDED:
            raise ValueError("only what could not be decided is decided by hand")
        check_words(officer=self.officer, reason=self.reason)

    @property
    def outcome(self) -> Outcome:
        """UNDECIDED, whatever was decided: a screen shows it in orange, never in green."""
        return Outcome.UNDECIDED


def check_words(*, officer: str, reason: str) -> None:
    """Whether officer and reason say anything: signs and spaces alone name nobody and nothing.

    Raises:
        ValueError: one of them is missing, or too long.
    """
    if not _says(officer) or not officer.isprintable() or len(officer) > MAX_OFFICER:
        raise ValueError(f"officer: who decides, one line of at most {MAX_OFFICER} characters")
    if not _says(reason) or len(reason) > MAX_REASON:
        raise ValueError(f"reason: why, at most {MAX_REASON} characters")


def _says(text: str) -> bool:
    return any(map(str.isalnum, text))


def decide_by_hand(
    verification: Verification, *, go_ahead: bool, reason: str, officer: str, now: datetime
) -> ManualDecision:
    """Records an officer's decision after UNDECIDED; `UseLog.record` keeps it.

    Args:
        verification: the answer.
        go_ahead: whether the officer goes ahead by the manual path.
        reason: why.
        officer: who.
        now: when.

    Raises:
        ValueError: the answer was decided already, or reason or officer is missing.
    """
    return ManualDecision(
        verification=verification, go_ahead=go_ahead, reason=reason, officer=officer, at=now
    )
