"""A code authority, its city with trust lists, a phone and gates, in memory, for the tests of codes."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import NullPool, create_engine

from ewallet.code import possession
from ewallet.code.authority import CodeAuthority
from ewallet.code.challenge import make_challenge
from ewallet.keys import SigningKey
from ewallet.trust.bundle import write_bundle
from ewallet.trust.entries import Service
from ewallet.verify.policy import Policy
from ewallet.verify.replay import FileGuard, MemoryGuard
from ewallet.verify.replay_sql import SqlGuard
from ewallet.verify.sources import StatusDirectory
from ewallet.verify.verifier import Verifier
from tests.province import World

if TYPE_CHECKING:
    from pathlib import Path

    from ewallet.code.passes import Pass
    from ewallet.trust.trust import Trust
    from ewallet.verify.result import Verification

NOW = datetime(2026, 3, 2, 4, 20, 5, tzinfo=UTC)
"""12:20 in Shanghai."""

VENUE = "https://sh.ewallet.example/v/1"


@dataclass
class Office:
    """An authority with a key of its own."""

    suite: str = "ES256"
    key: SigningKey = None  # type: ignore[assignment]
    name: str = "https://sh.ewallet.example/a/codes"
    authority: CodeAuthority = field(init=False)

    def __post_init__(self) -> None:
        self.key = self.key or SigningKey.generate(self.suite)
        self.authority = CodeAuthority(signer=self.key, name=self.name)

    def passes(self, count: int = 1, *, now: datetime = NOW, **wanted: Any) -> list[tuple[Pass, SigningKey]]:
        """Passes with their device keys."""
        keys = [SigningKey.generate(self.suite) for _ in range(count)]
        nonce = self.authority.challenge(now)
        devices = [
            (key.public_key, possession.prove(key, authority=self.authority.name, nonce=nonce))
            for key in keys
        ]
        asked = {"subject": "p-1", "kind": "person", "scenes": ["library"], "attributes": {}, **wanted}
        return list(zip(self.authority.issue_passes(devices, **asked, now=now), keys, strict=True))


class City:
    """A city: its code authority is listed, its venues verify.

    Args:
        directory: where lists and guards are kept.
        suite: suite of all keys.
        now: when everything begins; an hour before `NOW`.
        parts: more about the code authority.
    """

    def __init__(
        self,
        directory: Path,
        *,
        suite: str = "ES256",
        now: datetime = NOW - timedelta(hours=1),
        **parts: Any,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.world = World(directory, ("31", "32"), suite=suite, now=now)
        self.listed = self.world.authority("31", "codes", **parts)
        self.office = Office(suite=suite, key=self.listed.signer(Service.CODES), name=self.listed.uri)
        self.world.publish()
        self.trust: Trust = self.world.trust()

    def publish(self, *, at: datetime) -> Trust:
        """Publishes what changed; the lists as a gate sees them then."""
        self.world.renew(at=at)
        self.trust = self.world.trust()
        return self.trust

    def policy(self, scene: str = "library", *, venue: str = VENUE, **narrowing: Any) -> Policy:
        """The policy of a gate."""
        narrow = self.trust.scenes[scene].narrowed({"scene": scene, "venue": venue, **narrowing})
        return Policy.of(narrow, province="31")

    def verifier(self, scene: str = "library", *, guard: Any = None, **narrowing: Any) -> Verifier:
        """A gate with a guard in memory, or a file where its scene asks for one."""
        policy = self.policy(scene, **narrowing)
        guard = self.guard(policy.scene.guard) if guard is None else guard
        return Verifier(
            trust=self.trust, policy=policy, status=StatusDirectory(self.directory / "status"), replay=guard
        )

    def guard(self, level: str) -> Any:
        """A guard of a level; the shared one is an SQL guard on SQLite."""
        if level == "memory":
            return MemoryGuard(started=NOW - timedelta(minutes=5))
        place = self.directory / f"guard-{len(list(self.directory.iterdir()))}"
        if level == "file":
            return FileGuard(place)
        shared = SqlGuard(create_engine(f"sqlite:///{place}", poolclass=NullPool))
        shared.create()
        return shared

    def ask(self, scene: str, attributes: tuple[str, ...] = (), *, now: datetime = NOW, **parts: Any) -> Any:
        """A challenge by the city's verify key."""
        given = {"issuer": self.listed.uri, "venue": VENUE, "scene": scene, "attributes": attributes}
        signer = parts.pop("signer", self.listed.signer(Service.VERIFY))
        return make_challenge(signer, **{**given, **parts}, now=now)

    def bundle(self, directory: Path, policy: dict[str, Any]) -> Path:
        """A gate bundle of what is published."""
        return write_bundle(directory, repository=self.world.repository, policy=policy).directory


def reason_of(found: Verification) -> str:
    """Reason code of a verification, or its outcome where there is none."""
    return found.reason.code if found.reason else found.outcome.value
