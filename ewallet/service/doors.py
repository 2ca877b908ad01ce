"""Who may call what: API keys (kept as hashes) and client certificates, roles, and how often.

A key has 256 random bits, so a plain SHA-256 of it is as good as a slow hash: there is nothing to guess.
Mutual TLS ends at the proxy in front (`ewallet.service.proxies`). A certificate counts by its digest, whoever
has issued it. A partner that has a key and certificates needs both: neither alone opens anything.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import time
from collections import OrderedDict
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from ewallet.errors import ConfigError, Conflict, KeyMaterialError, Malformed, NotFound
from ewallet.service.http import Problem
from ewallet.service.proxies import CERTIFICATE, certificate_of_header
from ewallet.wire import b64u_encode, decode_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from starlette.requests import Request

    from ewallet.service.proxies import Certificate

PREFIX: Final = "ewk_"
_MAX_FILE: Final = 4 * 1024 * 1024
_KNOWN: Final = 10_000
"""Callers whose pace is remembered; the one that has been quiet for longest is forgotten first."""
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


class Role(StrEnum):
    """What a partner may do."""

    ISSUER = "issuer"
    VERIFIER = "verifier"
    AUDITOR = "auditor"
    ADMINISTRATOR = "administrator"


OPEN_RATE: Final = 1200
"""Calls in a minute of one address that need no key: another province's platform is one address."""

COUNTER: Final = frozenset(Role)
"""Verify, ask, state: every role."""
ISSUE: Final = frozenset((Role.ISSUER,))
READ: Final = frozenset((Role.ISSUER, Role.AUDITOR))
SHARE: Final = frozenset((Role.VERIFIER, Role.ISSUER))
WATCH: Final = frozenset((Role.AUDITOR, Role.ADMINISTRATOR))


@dataclass(frozen=True, slots=True, kw_only=True)
class Partner:
    """Somebody with a key, a client certificate, or both.

    Attributes:
        name: short name, for logs.
        roles: what it may do.
        digest: SHA-256 of its key, hex; empty: it has none.
        entity: URI under which the trust lists name it; empty if they do not.
        rate: calls in a minute.
        certificates: SHA-256 of its client certificates in DER, hex: two while one replaces the other.
        attests_second_officer: its own system has a second officer confirm, so that a call's
            `second_operator` counts. Without it another partner confirms (`ewallet.licenses.confirmations`).
    """

    name: str
    roles: frozenset[Role]
    digest: str = ""
    entity: str = ""
    rate: int = 600
    certificates: tuple[str, ...] = ()
    attests_second_officer: bool = False


def _digest(key: str) -> str:
    return sha256(key.encode()).hexdigest()


def new_key() -> str:
    """A new API key: shown once, never stored."""
    return PREFIX + b64u_encode(secrets.token_bytes(32))


def load_partners(file: Path) -> tuple[Partner, ...]:
    """Reads the file of partners.

    Raises:
        ConfigError: the file is not of this form.
    """
    try:
        whole = decode_json(file.read_bytes(), limit=_MAX_FILE)
    except OSError as error:
        raise ConfigError(error.strerror or "cannot be read", file=str(file)) from error
    except Malformed as error:
        raise ConfigError(error.detail, file=str(file)) from error
    rows = whole.get("partners") if isinstance(whole, dict) else None
    if not isinstance(rows, list) or whole.get("format") != 1:
        raise ConfigError("not a list of partners", file=str(file))
    found: list[Partner] = []
    taken: set[str] = set()
    for row in rows:
        try:
            partner = _partner(row)
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError("a partner of another form", file=str(file)) from error
        known_by = [*partner.certificates, *((partner.digest,) if partner.digest else ())]
        if partner.rate < 1 or not known_by:
            raise ConfigError(f"{partner.name}: no rate, or neither key nor certificate", file=str(file))
        if len(set(known_by)) < len(known_by) or taken & set(known_by):
            raise ConfigError(f"{partner.name}: a key or a certificate twice", file=str(file))
        taken.update(known_by)
        found.append(partner)
    return tuple(found)


def _partner(row: Any) -> Partner:
    certificates = row.get("certificates", []) if isinstance(row, dict) else None
    if not isinstance(certificates, list):
        raise TypeError("certificates are a list")
    given = {**row, "roles": frozenset(map(Role, row["roles"])), "certificates": tuple(certificates)}
    partner = Partner(**given)
    for each in (*partner.certificates, *((partner.digest,) if partner.digest else ())):
        if not _DIGEST.fullmatch(each):
            raise ValueError("not a digest")
    if type(partner.attests_second_officer) is not bool:  # the text "false" would count as yes
        raise TypeError("attests_second_officer is true or false")
    return partner


def save_partners(file: Path, partners: Iterable[Partner]) -> None:
    """Writes the file of partners, readable by its owner only."""
    rows: list[dict[str, Any]] = [
        {**asdict(each), "roles": sorted(each.roles)} for each in sorted(partners, key=lambda p: p.name)
    ]
    draft = file.with_suffix(".draft")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        json.dump({"format": 1, "partners": rows}, stream, indent=1)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(file)


def add_partner(
    file: Path,
    *,
    name: str,
    roles: Iterable[Role],
    entity: str = "",
    rate: int = 600,
    certificates: Iterable[str] = (),
    with_key: bool = True,
    attests_second_officer: bool = False,
) -> str:
    """Adds a partner.

    Args:
        file: file of partners; made where there is none.
        name: its name.
        roles: what it may do.
        entity: URI under which the trust lists name it.
        rate: calls in a minute.
        certificates: digests of its client certificates; with a key, both are needed in each call.
        with_key: whether it gets a key; without one it needs a certificate.
        attests_second_officer: see `Partner`; an issuer only.

    Returns:
        Its key: shown once; empty without one.

    Raises:
        ConfigError: the file is wrong.
        Conflict: the name or a certificate is taken.
        ValueError: neither key nor certificate, or one certificate twice; one that does not issue attests.
    """
    listed, granted = tuple(certificates), frozenset(roles)
    if attests_second_officer and Role.ISSUER not in granted:
        raise ValueError("only an issuer has officers to attest to")
    if not (listed or with_key) or len(set(listed)) < len(listed):
        raise ValueError("a partner is known by a key or by certificates, each once")
    known = load_partners(file) if file.exists() else ()
    if any(each.name == name for each in known):
        raise Conflict(f"there is a partner {name} already")
    for each in known:
        if set(each.certificates) & set(listed):
            raise Conflict(f"this is a certificate of {each.name}")
    key = new_key() if with_key else ""
    partner = Partner(
        name=name,
        roles=granted,
        digest=_digest(key) if key else "",
        entity=entity,
        rate=rate,
        certificates=listed,
        attests_second_officer=attests_second_officer,
    )
    save_partners(file, [*known, partner])
    return key


def remove_partner(file: Path, name: str) -> None:
    """Removes a partner: it gets in nowhere as soon as the services have read the file again.

    Raises:
        NotFound: there is none of that name.
    """
    known = load_partners(file)
    kept = [each for each in known if each.name != name]
    if len(kept) == len(known):
        raise NotFound(f"there is no partner {name}")
    save_partners(file, kept)


def _unknown(title: str) -> Problem:
    return Problem(401, title, headers={"WWW-Authenticate": "Bearer"}, code=11)


@dataclass(slots=True)
class _Pace:
    left: float
    at: float


class Doors:
    """Lets callers in.

    Args:
        file: file of partners; None: nobody has a key, and only the counter's calls are open.
        open_counter: the counter's calls are open although there are keys.
        anonymous: calls in a minute of one address without a key: a hall full of gates behind one address.
        now: the clock, for the dates of certificates.
    """

    def __init__(
        self,
        file: Path | None,
        *,
        open_counter: bool = False,
        anonymous: int = 60_000,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._file = file
        self._open_counter = open_counter or file is None
        self._changed = 0
        self._anonymous = anonymous
        self._now = now
        self._by_key: dict[str, Partner] = {}
        self._by_certificate: dict[str, Partner] = {}
        self._paces: OrderedDict[str, _Pace] = OrderedDict()
        self.refresh()

    def refresh(self) -> None:
        """Reads the file again if it has changed.

        Raises:
            ConfigError: it is wrong; those known before stay known.
        """
        if self._file is None:
            return
        try:
            changed = self._file.stat().st_mtime_ns
        except OSError as error:
            raise ConfigError(error.strerror or "cannot be read", file=str(self._file)) from error
        if changed != self._changed:
            partners = load_partners(self._file)
            self._by_key = {each.digest: each for each in partners if each.digest}
            self._by_certificate = {one: each for each in partners for one in each.certificates}
            self._changed = changed

    def admit(self, call: Request, roles: frozenset[Role]) -> Partner | None:
        """Lets a call in, or not.

        Args:
            call: the call.
            roles: any of them is needed; `COUNTER` calls need none where no keys are used.

        Returns:
            Who calls; None for a counter's own page.

        Raises:
            Problem: 401 no key or certificate, an unknown one, one outside its dates, two that do not belong
                together; 403 another role; 429 too often.
        """
        scheme, _, key = call.headers.get("authorization", "").partition(" ")
        certificate = self._certificate(call)
        if not key and certificate is None:
            if roles is not COUNTER or not self._open_counter:
                raise _unknown("an API key or a client certificate is needed")
            self._spend(call.client.host if call.client else "", self._anonymous)
            return None
        partner = self._who(key if scheme.lower() == "bearer" else "", certificate, keyed=bool(key))
        call.scope["ewallet.partner"], call.scope["ewallet.entity"] = partner.name, partner.entity
        call.scope["ewallet.caller"] = partner
        if not partner.roles & roles:
            raise Problem(403, "this partner has another role", code=100)
        self._spend(partner.name, partner.rate)
        return partner

    def _certificate(self, call: Request) -> Certificate | None:
        shown = call.scope.get(CERTIFICATE, ())
        if not shown:
            return None
        if len(shown) > 1:  # a proxy that adds its own to what the caller sent: whose is which?
            raise _unknown("more than one client certificate")
        try:
            certificate = certificate_of_header(shown[0])
        except KeyMaterialError as error:
            raise _unknown("the client certificate cannot be read") from error
        if not certificate.valid(self._now()):
            raise _unknown("the client certificate is outside its dates")
        return certificate

    def _who(self, key: str, certificate: Certificate | None, *, keyed: bool) -> Partner:
        """Who has shown this key, this certificate, or both: one partner, with all that it needs."""
        shown = self._by_certificate.get(certificate.digest) if certificate is not None else None
        if keyed:
            partner = self._by_key.get(_digest(key))
            if partner is None:
                raise _unknown("an unknown API key")
            if shown is not partner and partner.certificates:
                raise _unknown("this key counts with its client certificate only")
            # A certificate of nobody's beside a key is the proxy's business: the key says who it is.
            if shown is not None and shown is not partner:
                raise _unknown("key and client certificate are of two partners")
            return partner
        if shown is None:
            raise _unknown("an unknown client certificate")
        if shown.digest:
            raise _unknown("this client certificate counts with its API key only")
        return shown

    def admit_anybody(self, call: Request) -> None:
        """Lets in who needs no key, since what is sent is signed, or public; not too often from one address.

        Raises:
            Problem: 429.
        """
        self._spend(f"open {call.client.host if call.client else ''}", OPEN_RATE)

    def _spend(self, who: str, rate: int) -> None:
        """A bucket for each caller: it holds a minute's calls and fills evenly."""
        now = time.monotonic()
        pace = self._paces.pop(who, None) or _Pace(float(rate), now)
        pace.left = min(float(rate), pace.left + (now - pace.at) * rate / 60)
        pace.at = now
        self._paces[who] = pace
        if len(self._paces) > _KNOWN:
            self._paces.popitem(last=False)
        if pace.left < 1:
            wait = max(1, round((1 - pace.left) * 60 / rate))
            raise Problem(429, "too many calls", headers={"Retry-After": str(wait)})
        pace.left -= 1
