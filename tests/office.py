"""A code authority and a phone, in memory, for the tests of codes."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ewallet.code import possession
from ewallet.code.authority import CodeAuthority
from ewallet.keys import SigningKey

if TYPE_CHECKING:
    from ewallet.code.passes import Pass

NOW = datetime(2026, 3, 2, 4, 20, 5, tzinfo=UTC)
"""12:20 in Shanghai."""

VENUE = "https://sh.ewallet.example/v/1"


@dataclass
class Office:
    """An authority with a key of its own."""

    suite: str = "ES256"
    key: SigningKey = field(init=False)
    authority: CodeAuthority = field(init=False)

    def __post_init__(self) -> None:
        self.key = SigningKey.generate(self.suite)
        self.authority = CodeAuthority(signer=self.key, name="https://sh.ewallet.example/a/codes")

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
