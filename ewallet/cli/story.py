"""How the demo keeps its account: numbered steps, what was expected, what came, and how long it took."""

from __future__ import annotations

import json
import time
import unicodedata
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ewallet.verify.result import Verification

_WIDTH = 101
_GREEN, _RED, _DIM, _OFF = "\x1b[32m", "\x1b[31m", "\x1b[2m", "\x1b[0m"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An outcome and its reason, as expected or as got."""

    outcome: str
    reason: str | None = None

    def to_json(self) -> dict[str, str | None]:
        """The form that it has in `report.json`."""
        return {"outcome": self.outcome, "reason": self.reason}

    def __str__(self) -> str:
        return self.outcome if self.reason is None else f"{self.outcome} {self.reason}"


ACCEPTED = Answer(outcome="ACCEPTED")


def answer_of(found: Verification) -> Answer:
    """The answer of a verification."""
    return Answer(outcome=found.outcome.value, reason=found.reason.code if found.reason else None)


@dataclass(slots=True)
class Story:
    """The steps told so far."""

    lang: str
    color: bool
    steps: list[dict[str, Any]] = field(default_factory=list)

    def head(self) -> None:
        """Prints the table's head."""
        zh = self.lang == "zh"
        self._row("步" if zh else "#", "内容" if zh else "what", "结果" if zh else "got", "ms", mark=" ")
        print("─" * _WIDTH)

    def tell(self, step: int, zh: str, en: str, expected: Answer, act: Callable[[], Answer]) -> Answer:
        """Acts, compares with what is expected, and prints one line.

        Args:
            step: number of the step.
            zh: what happens, in Chinese.
            en: the same in English.
            expected: what must come.
            act: does it and answers.
        """
        begin = time.perf_counter()
        got = act()
        ms = (time.perf_counter() - begin) * 1000
        self.steps.append(
            {
                "step": step,
                "input": en,
                "expected": expected.to_json(),
                "got": got.to_json(),
                "ms": round(ms, 3),
            }
        )
        good = got == expected
        mark = "✓" if good else "✗"
        if self.color:
            mark = f"{_GREEN if good else _RED}{mark}{_OFF}"
        self._row(str(step), zh if self.lang == "zh" else en, str(got), f"{ms:.1f}", mark=mark)
        if not good:
            self.say(f"应得 {expected}", f"expected {expected}")
        return got

    def say(self, zh: str, en: str) -> None:
        """Prints a line that belongs to the step before."""
        line = f"       {zh if self.lang == 'zh' else en}"
        print(f"{_DIM}{line}{_OFF}" if self.color else line)

    def _row(self, step: str, what: str, got: str, ms: str, *, mark: str) -> None:
        print(f"{mark} {_fit(step, 3)}{_fit(what, 58)} {_fit(got, 30)} {ms:>6}", flush=True)

    @property
    def good(self) -> bool:
        """Whether there are steps, and each got what it expected."""
        return bool(self.steps) and all(step["expected"] == step["got"] for step in self.steps)

    def write(self, path: Path) -> None:
        """Writes `report.json`."""
        path.write_text(json.dumps(self.steps, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def _fit(text: str, width: int) -> str:
    """A text cut or filled to a width of terminal columns (Chinese characters take two)."""
    if _width(text) > width:
        while _width(text) > width - 1:
            text = text[:-1]
        text += "…"
    return text + " " * (width - _width(text))
