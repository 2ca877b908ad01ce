"""What the trust lists say, as values: services, entities, keys with their windows, grants and states."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from ewallet.keys import PublicKey


class Service(StrEnum):
    """What a key may be used for. One key serves one service."""

    LICENSES = "licenses"
    CODES = "codes"
    REGISTER = "register"
    STATUS = "status"
    VERIFY = "verify"
    RECEIPTS = "receipts"
    OBJECTIONS = "objections"

    @property
    def uri(self) -> str:
        """The `ServiceTypeIdentifier` in a list document."""
        return f"urn:ewallet:service:{self.value}"


SERVICE_NAMES: Final[dict[Service, tuple[str, str]]] = {
    Service.LICENSES: ("签发电子证照", "Issue licenses"),
    Service.CODES: ("签发身份码", "Issue identity codes"),
    Service.REGISTER: ("登记证明", "Register statements"),
    Service.STATUS: ("状态名单", "Status lists"),
    Service.VERIFY: ("核验", "Verify"),
    Service.RECEIPTS: ("用证回执", "Receipts"),
    Service.OBJECTIONS: ("异议处理", "Objections"),
}
"""Names of the services, zh and en."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    """One authority on a province's list.

    Attributes:
        uri: its URI: the `iss` of what it signs.
        names: `zh` and `en`.
        province: two digits.
        uscc: its unified social credit code; empty if the list gives none.
        status_prefixes: where its status lists live.
    """

    uri: str
    names: Mapping[str, str]
    province: str
    uscc: str
    status_prefixes: tuple[str, ...]

    def owns_status(self, uri: str) -> bool:
        """Whether a status list URI lies under one of the entity's own prefixes, written plainly."""
        parts = urlsplit(uri)
        plain = not (parts.query or parts.fragment or "@" in parts.netloc or "\\" in uri or "%" in uri)
        if not plain or ".." in parts.path.split("/") or "//" in parts.path:
            return False
        return any(prefix.endswith("/") and uri.startswith(prefix) for prefix in self.status_prefixes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """When a key may sign, in seconds since 1970.

    Attributes:
        start: first second.
        until: first second after; None: open.
        compromised_from: from when the key may have been in other hands; None: never.
    """

    start: int
    until: int | None = None
    compromised_from: int | None = None

    def contains(self, at: int) -> bool:
        """Whether the window is open at a second."""
        return self.start <= at and (self.until is None or at < self.until)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a service may do, for how long. Empty sets grant nothing; `*` means all that the bounds allow.

    Attributes:
        types: license type codes.
        regions: area code prefixes: `31` all of the city, `310115` one district.
        assurance: highest level of assurance of codes.
        scenes: scenes (codes: issued for; verify: asked in).
        attributes: attributes of passes that may be asked for.
        venues: URIs of places (verify).
        start: first second.
        until: first second after; None: open.
    """

    types: frozenset[str] = frozenset()
    regions: frozenset[str] = frozenset()
    assurance: str = ""
    scenes: frozenset[str] = frozenset()
    attributes: frozenset[str] = frozenset()
    venues: frozenset[str] = frozenset()
    start: int = 0
    until: int | None = None

    def contains(self, at: int) -> bool:
        """Whether the grant is open at a second."""
        return self.start <= at and (self.until is None or at < self.until)

    def covers_type(self, code: str) -> bool:
        """Whether a license type is granted."""
        return code in self.types or "*" in self.types

    def covers_region(self, area: str) -> bool:
        """Whether an area code lies in a granted region."""
        return any(area.startswith(prefix) for prefix in self.regions)


class Status(StrEnum):
    """State of a service."""

    GRANTED = "granted"
    SUSPENDED = "suspended"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """One entry of a service's append-only history.

    Attributes:
        status: the state.
        effective: second from which it holds.
        recorded: second at which it was written down.
        proof_needed: on `withdrawn`: backdating is to be feared, so that what was signed before counts only
            with proof that it existed.
    """

    status: Status
    effective: int
    recorded: int
    proof_needed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedKey:
    """A key with everything that decides what its signatures mean.

    Attributes:
        key: the public key.
        service: what it is for.
        entity: whose it is.
        window: when it may sign.
        grants: the service's grants, inside the province's bounds.
        states: the service's history, oldest first.
        void: why the service cannot be used (an extension that is not understood ...); empty otherwise.
        authority: DER of the CA certificate that the key is listed with; empty for a key that signs itself.
    """

    key: PublicKey
    service: Service
    entity: Entity
    window: Window
    grants: tuple[Grant, ...]
    states: tuple[State, ...]
    void: str = ""
    authority: bytes = b""

    def state_at(self, at: int) -> State | None:
        """The state that held at a second, as known now; None before the first."""
        current = None
        for state in self.states:
            if state.effective <= at:
                current = state
        return current


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something to be told about one license: an open objection, a dependency under review.

    Attributes:
        kind: `objection` or `review`.
        field: which field is disputed; empty for a review.
        since: when it was recorded.
    """

    kind: str
    field: str
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class HotList:
    """Passes revoked within their day, of one province.

    Attributes:
        province: two digits.
        signed_at: when it was signed.
        until: when it ends.
        passes: identifiers of revoked passes, padded with random ones.
    """

    province: str
    signed_at: int
    until: int
    passes: frozenset[bytes]

    def __contains__(self, pass_id: object) -> bool:
        return pass_id in self.passes


@dataclass(frozen=True, slots=True, kw_only=True)
class Province:
    """One province as the lists have it.

    Attributes:
        code: two digits.
        names: `zh` and `en`.
        version: version of its signed role.
        until: second at which its list ends (its role's end or `NextUpdate`, whichever is first).
        fault: reason code if its list could not be used; empty otherwise.
        detail: what was wrong with it.
    """

    code: str
    names: Mapping[str, str]
    version: int
    until: int
    fault: str = ""
    detail: str = ""
