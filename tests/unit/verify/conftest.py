"""A gate in Shanghai with real lists, and a phone with passes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ewallet.code import possession
from ewallet.code.authority import CodeAuthority
from ewallet.keys import SigningKey
from ewallet.trust.authoring import Authority, Consortium
from ewallet.trust.distribution import TrustStore
from ewallet.trust.entries import Service
from ewallet.trust.trust import Trust
from ewallet.verify.policy import Policy
from ewallet.verify.replay import MemoryGuard
from ewallet.verify.sources import StatusDirectory
from ewallet.verify.verifier import Verifier
from tests.town import Town

NOW = datetime(2026, 3, 2, 4, 20, 5, tzinfo=UTC)
VENUE = "https://sh.ewallet.example/v/1"


@dataclass
class Gate:
    """Lists of two provinces, a code authority in Shanghai, and places that verify by them."""

    directory: Path
    consortium: Consortium
    codes: Authority
    office: CodeAuthority
    rounds: int = 0

    def trust(self, now: datetime = NOW) -> Trust:
        """The lists as published now."""
        self.rounds += 1
        self.consortium.publish(self.directory / "repository", now=now)
        return TrustStore.open(self.directory / f"state{self.rounds}").refresh(self.directory, now)

    def verifier(self, scene: str = "library", trust: Trust | None = None, province: str = "31", **narrow):
        """A verifier with a fresh guard that has been awake for an hour."""
        lists = trust or self.trust()
        policy = {"scene": scene, "venue": VENUE, **narrow}
        guard = MemoryGuard(started=NOW - timedelta(hours=1))
        if "guard" not in narrow and lists.scenes[scene].guard != "memory":
            raise AssertionError("name a scene that takes a memory guard")
        return Verifier(
            trust=lists,
            policy=Policy.of(lists.scenes[scene].narrowed(policy), province=province),
            status=StatusDirectory(self.directory / "status"),
            replay=guard,
        )

    def passes(self, count: int = 1, *, now: datetime = NOW, **wanted):
        """Passes with their device keys."""
        keys = [SigningKey.generate() for _ in range(count)]
        nonce = self.office.challenge(now)
        devices = [
            (key.public_key, possession.prove(key, authority=self.office.name, nonce=nonce)) for key in keys
        ]
        asked = {"subject": "p-1", "kind": "person", "scenes": ["library"], "attributes": {}, **wanted}
        return list(zip(self.office.issue_passes(devices, **asked, now=now), keys, strict=True))


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    consortium = Consortium.sandbox(("31", "32"), now=NOW - timedelta(hours=2))
    codes = consortium.add_authority(
        "31",
        "codes",
        names={"zh": "示例身份码中心", "en": "Example code authority"},
        services=(Service.CODES, Service.STATUS),
        now=NOW - timedelta(hours=2),
        start=NOW - timedelta(days=30),
    )
    office = CodeAuthority(signer=codes.signer(Service.CODES), name=codes.uri)
    return Gate(directory=tmp_path, consortium=consortium, codes=codes, office=office)


@pytest.fixture
def town(tmp_path: Path):
    found = Town(tmp_path)
    yield found
    found.close()
