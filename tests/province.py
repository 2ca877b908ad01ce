"""Whole provinces for tests: a consortium with its keys, what it published, gates that keep lists.

A simulator, not mocks: lists are signed, published as files and read by the real store.
"""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING

from ewallet.errors import Refused, TrustError
from ewallet.keys import SigningKey
from ewallet.trust.authoring import Consortium
from ewallet.trust.distribution import TrustStore
from ewallet.trust.entries import Service
from ewallet.trust.repository import Repository
from ewallet.trust.statements import make_statement

if TYPE_CHECKING:
    from pathlib import Path

    from ewallet.trust.trust import Trust

START = datetime(2026, 5, 1, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
FOUR = ("31", "32", "33", "34")
AREAS = {"31": "310115", "32": "320500", "33": "330106", "34": "340104"}
TYPE = "310100717000200"
EVERY_SERVICE = tuple(Service)


class World:
    """A consortium, its published directory and a clock."""

    def __init__(self, directory: Path, provinces=FOUR, *, suite="ES256", now=START) -> None:
        self.directory = directory
        self.repository = directory / "published"
        self.now = now
        self.consortium = Consortium.sandbox(provinces, now=now, suite=suite)
        self.authorities = {}

    def authority(self, province="31", label="market", **parts):
        parts.setdefault("services", EVERY_SERVICE)
        names = {"zh": f"示例机关{label}", "en": f"Example authority {label}"}
        found = self.consortium.add_authority(province, label, names=names, now=self.now, **parts)
        self.authorities[province, label] = found
        return found

    def publish(self, *, at=None) -> Path:
        self.now = at or self.now
        return self.consortium.publish(self.repository, now=self.now)

    def renew(self, *, at=None) -> Path:
        """Everybody signs anew, as operators do before their lists end."""
        self.now = at or self.now
        self.consortium.renew(self.now)
        return self.publish()

    def fork(self, name: str) -> Path:
        """A copy of what is published now."""
        place = self.directory / name
        shutil.copytree(self.repository, place)
        return place

    def gate(self, name="gate", **parts) -> TrustStore:
        return TrustStore.open(self.directory / name, **parts)

    def trust(self) -> Trust:
        """What a new gate sees now."""
        return self.gate(f"gate-{len(list(self.directory.iterdir()))}").refresh(self.repository, self.now)

    def sign_with(self, count: int, role: str) -> None:
        """Signs a staged role with only so many of its keys."""
        staged = [item for item in self.consortium.signers if item[0] == role]
        self.consortium.repository.sign_all(staged[:count])

    def force_publish(self, where: Path | None = None) -> Path:
        """Publishes what honest software would refuse to publish: what an attacker may do with its keys."""
        repository = self.consortium.repository
        repository.problems = list
        try:
            repository.publish(
                where or self.repository,
                self.now,
                snapshot=self.consortium.online["snapshot"],
                timestamp=self.consortium.online["timestamp"],
            )
        finally:
            del repository.problems
        return where or self.repository

    def publish_fork(self, place: Path, now: datetime) -> Path:
        """The online keys sign a second history, from a copy of what was published before."""
        forked = Repository.load(place)
        forked.publish(
            place,
            now,
            snapshot=self.consortium.online["snapshot"],
            timestamp=self.consortium.online["timestamp"],
        )
        return place

    def rewrite_list(self, province: str, change) -> None:
        """Lets a province sign a list document changed by hand."""
        repository = self.consortium.repository
        document = json.loads(repository.files[f"{province}/list.json"])
        change(document["LoTE"])
        repository.set_file(f"{province}/list.json", json.dumps(document).encode(), self.now)


class Signed:
    """Something that a key signed: enough of it for the decision."""

    def __init__(self, authority, service, at, *, area, type_code=TYPE) -> None:
        self.authority, self.service, self.at = authority, service, at
        self.key = authority.signer(service).public_key
        self.province, self.area, self.type = authority.province, area, type_code
        self.digest = sha256(f"{authority.uri} {at} {self.key.kid.hex()}".encode()).digest()
        self.proofs = []

    def prove(self, witness, at) -> None:
        signer = witness.signer(Service.REGISTER)
        self.proofs.append(make_statement(self.digest, signer=signer, iss=witness.uri, now=at))


def decide(trust: Trust, signed: Signed, now: datetime) -> str:
    """The reason for which it does not count; empty if it counts."""
    try:
        trust.freshness(now)
        listed = trust.require(signed.service, kid=signed.key.kid, iss=signed.authority.uri, now=now)
        trust.decide(
            listed[0],
            type=signed.type,
            region=signed.area,
            signed_at=signed.at,
            now=now,
            digest=signed.digest,
            proofs=signed.proofs,
        )
    except Refused as refusal:
        return refusal.reason
    return ""


def refused(store: TrustStore, source, now: datetime) -> str:
    """The reason for which a store refuses a source; empty if it takes it."""
    try:
        store.refresh(source, now)
    except TrustError as refusal:
        return refusal.reason
    return ""


def new_key(suite="ES256") -> SigningKey:
    return SigningKey.generate(suite)
