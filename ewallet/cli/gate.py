"""The gate: a long-running loop around one `Verifier`."""

from __future__ import annotations

import json
import os
import select
import termios
import tty
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from ewallet.errors import ConfigError, EwalletError
from ewallet.verify import guards
from ewallet.verify.counter import POLICY_FILE, STATUS_FOLDER, open_trust
from ewallet.verify.policy import Policy
from ewallet.verify.replay import FileGuard, MemoryGuard
from ewallet.verify.sources import status_source
from ewallet.verify.verifier import Verifier
from ewallet.wire import MAX_TEXT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from ewallet.code.challenge import Challenge
    from ewallet.errors import TrustError
    from ewallet.trust.scenes import Scene
    from ewallet.verify.replay import ReplayGuard, Spending
    from ewallet.verify.result import Verification

TICK: Final = 1.0
"""Seconds between two looks at the bundle, and between two signs of life."""
_READ: Final = 65_536


class _Noting:
    """A guard that remembers what its last act spent, for the gate's log."""

    def __init__(self, inner: ReplayGuard) -> None:
        self._inner = inner
        self.spent: list[Spending] = []

    @property
    def durable(self) -> bool:
        return self._inner.durable

    @property
    def level(self) -> str:
        return self._inner.level

    def spend(self, spendings: Sequence[Spending], *, now: datetime) -> None:
        self._inner.spend(spendings, now=now)
        self.spent = list(spendings)


def open_guard(url: str, state: Path, *, now: datetime) -> ReplayGuard:
    """The guard that a gate is told to use: `file`, `memory`, `redis://...`, or an SQL URL.

    Raises:
        Refused: `replay.unavailable`.
        ConfigError: no such guard.
        MissingExtra: its driver is not installed.
    """
    if url == "memory":
        return MemoryGuard(started=now)
    if url == "file":
        return FileGuard(state / "replay.sqlite")
    if url.startswith(("redis://", "rediss://", "unix://")):
        from ewallet.verify.replay_redis import RedisGuard, connect  # noqa: PLC0415 (an extra)

        return RedisGuard(connect(url), name="ewallet")
    return guards.open_guard(url, state=state, name="ewallet", now=now)


def questioner(key_file: Path, password: str, issuer: str) -> Callable[[Scene, datetime], Challenge]:
    """What makes this gate's questions.

    Raises:
        ConfigError: no URI of the verifier.
    """
    from ewallet.code.challenge import make_challenge  # noqa: PLC0415 (challenge mode only)
    from ewallet.keys import SigningKey  # noqa: PLC0415 (challenge mode only)

    if not issuer:
        raise ConfigError("questions name their verifier: give --issuer URI", file=str(key_file))
    signer = SigningKey.load(key_file, password)

    def ask(scene: Scene, now: datetime) -> Challenge:
        return make_challenge(
            signer, issuer=issuer, venue=scene.venue, scene=scene.id, attributes=scene.demanded, now=now
        )

    return ask


class Gate:
    """One gate: its bundle, its guard, its question.

    Args:
        bundle: directory of the gate bundle.
        root: pins the first root.
        policy: policy file; None: the bundle's.
        state: where verified lists are kept.
        guard: replay guard; it lives as long as the gate, whatever is loaded anew.
        name: name of this gate.
        health: file to touch; None: none.
        ask: makes questions, where the scene requires them.
    """

    def __init__(
        self,
        bundle: Path,
        *,
        root: Path | None,
        policy: Path | None,
        state: Path,
        guard: ReplayGuard,
        name: str,
        health: Path | None,
        ask: Callable[[Scene, datetime], Challenge] | None,
    ) -> None:
        self._bundle, self._root, self._state = bundle, root, state
        self._policy_file = policy if policy is not None else bundle / POLICY_FILE
        self._guard = _Noting(guard)
        self._name, self._health, self._ask = name, health, ask
        self._stamp: tuple[int, ...] = ()
        self._verifier: Verifier | None = None
        self._question: Challenge | None = None
        self.last_refusal = ""

    def load(self, now: datetime) -> None:
        """Loads bundle and policy.

        Raises:
            TrustError: lists that cannot be used, and none were kept before.
            ConfigError: the policy is wrong; or the scene requires questions and there is no key for them.
        """
        self._stamp = self._look()
        trust = open_trust(self._bundle, state=self._state, now=now, root=self._root, warn=self._warn)
        if not self._policy_file.is_file():
            raise ConfigError("there is no policy: name one", file=str(self._policy_file))
        policy = Policy.load(self._policy_file, trust.scenes)
        if policy.scene.challenge and self._ask is None:
            raise ConfigError("the scene requires questions: give --key", file=str(self._policy_file))
        self._verifier = Verifier(
            trust=trust,
            policy=policy,
            status=status_source(self._bundle / STATUS_FOLDER),
            replay=self._guard,
        )

    def _warn(self, refusal: TrustError) -> None:
        self.last_refusal = f"{refusal.reason}: {refusal.detail}"

    def _look(self) -> tuple[int, ...]:
        watched = (self._bundle / "repository" / "metadata" / "timestamp.json", self._policy_file)
        stamps = []
        for path in watched:
            try:
                stamps.append(path.stat().st_mtime_ns)
            except OSError:
                stamps.append(0)
        return tuple(stamps)

    def tick(self, now: datetime) -> list[dict[str, Any]]:
        """Looks after itself: loads what changed, renews its question, touches its health file.

        Returns:
            Lines to print: `loaded`, `refused`, `question`.
        """
        lines: list[dict[str, Any]] = []
        if self._look() != self._stamp:
            lines.append(self._reload(now))
        question = self._renew_question(now)
        if question is not None:
            lines.append(question)
        if self._health is not None:
            self._health.write_text(f"{now.isoformat()}\n")
        return lines

    def _reload(self, now: datetime) -> dict[str, Any]:
        try:
            self.load(now)
        except EwalletError as error:
            # A bad update never stops a gate: what was loaded serves on, until it is stale.
            return {"gate": self._name, "at": now.isoformat(), "event": "refused", "detail": str(error)}
        return {"gate": self._name, "at": now.isoformat(), "event": "loaded"}

    def _renew_question(self, now: datetime) -> dict[str, Any] | None:
        assert self._verifier is not None
        scene = self._verifier.policy.scene
        if not scene.challenge or self._ask is None:
            return None
        if self._question is not None and now.timestamp() < self._question.exp - 10:
            return None
        self._question = self._ask(scene, now)
        return {"gate": self._name, "at": now.isoformat(), "question": self._question.text}

    def decide(self, scanned: str, now: datetime) -> dict[str, Any]:
        """Verifies one line of the scanner; the line to print. It never raises for what was scanned."""
        assert self._verifier is not None
        self._guard.spent = []
        asked = self._question
        found = self._verifier.verify(scanned, now=now, answering=asked)
        if asked is not None and self._guard.spent:
            self._question = None
        return self._line(found)

    def _line(self, found: Verification) -> dict[str, Any]:
        line: dict[str, Any] = {
            "gate": self._name,
            "at": found.at.isoformat(),
            "outcome": found.outcome.value,
            "reason": found.reason.code if found.reason else None,
            "kind": found.kind.value,
            "notices": [notice.code for notice in found.notices],
        }
        if found.facts is not None and found.reason is None:
            line["subject"] = _party(found.facts.subject)
            line["actor"] = _party(found.facts.actor)
            line["spent"] = [
                {"kind": each.kind.value, "what": each.what.hex(), "at": each.at, "gap": each.gap}
                for each in self._guard.spent
            ]
        return line


def _party(party: Any) -> dict[str, Any] | None:
    # The id of the pass stays out of the log: the spent name is enough to find double entries.
    if party is None:
        return None
    return {"kind": party.kind, "role": party.role, "attributes": dict(party.attributes)}


def _plain(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


def _print(line: dict[str, Any]) -> None:
    print(json.dumps(line, ensure_ascii=False, default=_plain), flush=True)


def set_up_serial(port: int, baud: int) -> None:
    """Sets a serial port to raw bytes at a speed; anything else (a pipe, a file) is left as it is.

    Raises:
        ConfigError: a speed that the system does not know.
    """
    if not os.isatty(port):
        return
    speed = getattr(termios, f"B{baud}", None)
    if speed is None:
        raise ConfigError(f"no serial port runs at {baud} baud", file="--baud")
    tty.setraw(port)
    settings = termios.tcgetattr(port)
    settings[4] = settings[5] = speed
    termios.tcsetattr(port, termios.TCSANOW, settings)


def run(here: Gate, scanner: int) -> None:
    """Reads lines from a file descriptor until its end; prints a line of JSON for each.

    Args:
        here: the gate, loaded.
        scanner: standard input, a pipe or a serial port.
    """
    pending = b""
    while True:
        for line in here.tick(datetime.now(UTC)):
            _print(line)
        ready, _, _ = select.select([scanner], [], [], TICK)
        if not ready:
            continue
        data = os.read(scanner, _READ)
        if not data:
            break
        *lines, pending = (pending + data).replace(b"\r", b"\n").split(b"\n")
        for text in lines:
            _decide(here, text)
        # A line without end: keep enough to see that it is too long, and no more.
        pending = pending[: MAX_TEXT + 1]
    _decide(here, pending)


def _decide(here: Gate, text: bytes) -> None:
    if not text.strip():
        return
    now = datetime.now(UTC)
    _print(here.decide(text.decode("utf-8", "replace"), now))
    for line in here.tick(now):
        _print(line)
