"""Status lists as one verifier holds them: fetched once, verified by the trust lists, refetched in time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ewallet.errors import Refused
from ewallet.formats import statuslist
from ewallet.moments import instant, seconds
from ewallet.trust.entries import Service

if TYPE_CHECKING:
    from datetime import datetime

    from ewallet.formats.statuslist import StatusListToken, StatusReference
    from ewallet.trust.entries import Entity
    from ewallet.trust.trust import Trust
    from ewallet.verify.sources import StatusSource

REFETCH: Final = 60
"""Seconds after which a list is asked for again: how long a revocation may go unseen with a network."""


@dataclass(slots=True)
class _Held:
    token: StatusListToken
    fetched: int


class StatusLists:
    """The status lists that a verifier has seen, under one state of the trust lists."""

    def __init__(self, source: StatusSource, trust: Trust) -> None:
        self._source = source
        self._trust = trust
        self._held: dict[str, _Held] = {}

    def value(self, reference: StatusReference, issuer: Entity, now: datetime, *, max_age: int) -> int:
        """The status of one credential.

        1. the list lies under the issuer's own prefix; 2. it is at hand; 3. a key of the same issuer, listed
        for status lists, signed it, and might; 4. it is this list, within its time and the scene's.

        Args:
            reference: the credential's own entry.
            issuer: the verified issuer of the credential.
            now: the time of the check.
            max_age: seconds since the list was signed that the scene allows.

        Raises:
            Refused: `status.unavailable`, `status.stale`; what `Trust` says of the key that signed the list
                becomes `status.unavailable`: a bad list says nothing about the license.
        """
        if not issuer.owns_status(reference.uri):  # 1
            raise Refused("status.unavailable", "the list does not lie under the issuer's prefix")
        at = seconds(now)
        held = self._held.get(reference.uri)
        if held is None or not 0 <= at - held.fetched < REFETCH:
            held = self._fetch(reference.uri, issuer, now, held)
        if at - held.token.issued_at > max_age:
            raise Refused("status.stale", "older than the scene allows")
        return held.token.lookup(reference, now=now)  # 4

    def _fetch(self, uri: str, issuer: Entity, now: datetime, held: _Held | None) -> _Held:
        data = self._source.fetch(uri)  # 2
        if data is None:
            if held is None:
                raise Refused("status.unavailable", "the list is not at hand")
            return held  # until its own end: `lookup` looks at that
        token = self._verified(data, uri, issuer, now)
        if held is not None and token.issued_at < held.token.issued_at:
            return held  # a source that went back: what was known stays known
        self._held[uri] = fresh = _Held(token=token, fetched=seconds(now))
        return fresh

    def _verified(self, data: bytes, uri: str, issuer: Entity, now: datetime) -> StatusListToken:
        parsed = statuslist.parse(data)
        try:
            candidates = self._trust.require(Service.STATUS, kid=parsed.kid, iss=issuer.uri, now=now)
            for listed in candidates[:-1]:
                try:
                    token = statuslist.verify(parsed, listed.key, uri=uri, now=now)
                except Refused:
                    continue
                break
            else:
                listed = candidates[-1]
                token = statuslist.verify(parsed, listed.key, uri=uri, now=now)
            self._trust.decide(listed, signed_at=instant(token.issued_at), now=now, digest=token.digest)
        except Refused as refused:
            if refused.reason.startswith(("status.", "trust.", "clock.")):
                raise
            raise Refused("status.unavailable", f"who signed the list: {refused.detail}") from refused
        return token
