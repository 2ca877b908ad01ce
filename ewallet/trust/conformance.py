"""The shipped decision cases, put to a partner's library or endpoint, with a report in words.

One world (a province's files as they would be signed) and many questions about it, each with the reason that
a verifier must give. A partner's program answers one JSON line for each line it reads; an endpoint answers a
POST. What is asked and answered is described in docs/trust.md, "Conformance".
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.request import Request, urlopen

from ewallet.errors import EwalletError, Malformed, Refused
from ewallet.moments import instant
from ewallet.trust.entries import Service
from ewallet.trust.image import RoleFiles, VerifiedFiles, make_image
from ewallet.trust.scenes import DATA
from ewallet.trust.times import time_seconds
from ewallet.trust.trust import Trust
from ewallet.wire import b64u_decode, decode_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

TIMEOUT: Final = 20.0
"""Seconds that an endpoint may take for one answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One question and its answer.

    Attributes:
        id: stable name.
        about: what it tests, zh and en.
        question: what is asked, as JSON data.
        reason: the reason that must be given; empty: it counts.
    """

    id: str
    about: tuple[str, str]
    question: Mapping[str, Any]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """How one case ended.

    Attributes:
        case: the case.
        got: the answer; None if there was none.
    """

    case: Case
    got: str | None

    @property
    def passed(self) -> bool:
        """Whether the answer is the right one."""
        return self.got == self.case.reason

    def sentence(self, lang: str) -> str:
        """One line of the report."""
        about = self.case.about[0 if lang == "zh" else 1]
        if self.passed:
            return f"✓ {self.case.id}: {about}"
        wanted, got = self.case.reason or "-", self.got if self.got is not None else "?"
        if lang == "zh":
            return f"✗ {self.case.id}：{about}。应答 {wanted}，实答 {got or '-'}"
        return f"✗ {self.case.id}: {about}. Expected {wanted}, got {got or '-'}"


def load_cases() -> tuple[dict[str, Any], tuple[Case, ...]]:
    """The world of the shipped cases, and the cases."""
    document = decode_json((DATA / "conformance.json").read_bytes(), limit=1 << 22)
    cases = tuple(
        Case(
            id=row["id"],
            about=(row["zh"], row["en"]),
            question=row["question"],
            reason=row["reason"],
        )
        for row in document["cases"]
    )
    return document["world"], cases


def world_trust(world: Mapping[str, Any]) -> Trust:
    """The `Trust` that a world stands for: its files taken as signed."""
    until = time_seconds(world["until"])
    roles = {
        name: RoleFiles(
            version=1,
            until=until,
            files={path: json.dumps(content).encode() for path, content in files.items()},
        )
        for name, files in world["roles"].items()
    }
    policy = {path: json.dumps(content).encode() for path, content in world["policy"].items()}
    return Trust(
        make_image(
            VerifiedFiles(
                signed_at=time_seconds(world["signed_at"]),
                until=until,
                root="0" * 64,
                versions={"root": 1, "timestamp": 1, "snapshot": 1, "targets": 1},
                policy=policy,
                roles=roles,
            )
        )
    )


def answer(trust: Trust, question: Mapping[str, Any]) -> str:
    """Our own answer to a question: the reason; empty if it counts."""
    now = _moment(question["now"])
    try:
        trust.freshness(now)
        listed = trust.require(
            Service(question["service"]), kid=b64u_decode(question["kid"]), iss=question["iss"], now=now
        )
        trust.decide(
            listed[0],
            type=question.get("type"),
            region=question.get("region"),
            signed_at=_moment(question["signed_at"]),
            now=now,
            digest=b64u_decode(question["digest"]),
            proofs=[b64u_decode(proof) for proof in question["proofs"]],
        )
    except Refused as refusal:
        return refusal.reason
    return ""


def _moment(text: str) -> datetime:
    return instant(time_seconds(text))


def run(answering: Callable[[Mapping[str, Any]], str | None]) -> tuple[Finding, ...]:
    """Puts every case to whatever answers: `{"world", "question"}` in, a reason out."""
    world, cases = load_cases()
    return tuple(
        Finding(case=case, got=answering({"world": world, "question": case.question})) for case in cases
    )


def by_command(command: Sequence[str]) -> tuple[Finding, ...]:
    """Puts the cases to a program: one JSON line in, one JSON line `{"reason": ...}` out, in order.

    Raises:
        EwalletError: the program cannot be started.
    """
    world, cases = load_cases()
    lines = [json.dumps({"world": world, "question": case.question}) for case in cases]
    try:
        done = subprocess.run(  # noqa: S603 -- the operator names the program
            list(command),
            input="\n".join(lines) + "\n",
            capture_output=True,
            text=True,
            timeout=TIMEOUT * len(cases),
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EwalletError("the program cannot be run, or did not end") from error
    answers = [_reason(line) for line in done.stdout.splitlines()]
    answers += [None] * (len(cases) - len(answers))
    return tuple(Finding(case=case, got=got) for case, got in zip(cases, answers, strict=False))


def by_endpoint(url: str) -> tuple[Finding, ...]:
    """Puts the cases to an HTTP endpoint, one POST each.

    Raises:
        ValueError: the URL is not http or https.
    """
    if not url.startswith(("https://", "http://")):
        raise ValueError("an endpoint is named by an http or https URL")

    def ask(case: Mapping[str, Any]) -> str | None:
        request = Request(  # noqa: S310 -- the scheme was checked above
            url, data=json.dumps(case).encode(), headers={"Content-Type": "application/json"}
        )
        try:
            with urlopen(request, timeout=TIMEOUT) as response:  # noqa: S310 -- the scheme was checked above
                return _reason(response.read(65_536).decode("utf-8", "replace"))
        except OSError:
            return None

    return run(ask)


def _reason(text: str) -> str | None:
    try:
        reason = decode_json(text)["reason"]
    except (Malformed, KeyError, TypeError):
        return None
    return reason if isinstance(reason, str) else None
