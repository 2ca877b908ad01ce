"""Who may call what: API keys (kept as hashes), roles, and how often.

A key has 256 random bits, so a plain SHA-256 of it is as good as a slow hash: there is nothing to guess.
Mutual TLS ends at the proxy in front (docs/guides/operating.md), which lets only listed certificates through;
the key still says who it is.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from collections import OrderedDict
from dataclasses import asdict, dataclass
from enum import StrEnum
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from ewallet.errors import ConfigError, Conflict, Malformed, NotFound
from ewallet.service.http import Problem
from ewallet.wire import b64u_encode, decode_json

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from starlette.requests import Request

PREFIX: Final = "ewk_"
_MAX_FILE: Final = 4 * 1024 * 1024
_KNOWN: Final = 10_000
"""Callers whose pace is remembered; the one that has been quiet for longest is forgotten first."""


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
    """Somebody with a key.

    Attributes:
        name: short name, for logs.
        roles: what it may do.
        digest: SHA-256 of its key, hex.
        entity: URI under which the trust lists name it; empty if they do not.
        rate: calls in a minute.
    """

    name: str
    roles: frozenset[Role]
    digest: str
    entity: str = ""
    rate: int = 600


def _digest(key: str) -> str:
    return sha256(key.encode()).hexdigest()


def new_key() -> str:
    """A new API key: shown once, never stored."""
    return PREFIX + b64u_encode(secrets.token_bytes(32))


def load_partners(file: Path) -> dict[str, Partner]:
    """Partners by the digest of their keys.

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
    found: dict[str, Partner] = {}
    for row in rows:
        try:
            partner = Partner(**{**row, "roles": frozenset(map(Role, row["roles"]))})
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError("a partner of another form", file=str(file)) from error
        if partner.rate < 1 or partner.digest in found:
            raise ConfigError(f"{partner.name}: no rate, or a key twice", file=str(file))
        found[partner.digest] = partner
    return found


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


def add_partner(file: Path, *, name: str, roles: Iterable[Role], entity: str = "", rate: int = 600) -> str:
    """Adds a partner.

    Returns:
        Its key: shown once.

    Raises:
        ConfigError: the file is wrong.
        Conflict: the name is taken.
    """
    known = load_partners(file) if file.exists() else {}
    if any(each.name == name for each in known.values()):
        raise Conflict(f"there is a partner {name} already")
    key = new_key()
    partner = Partner(name=name, roles=frozenset(roles), digest=_digest(key), entity=entity, rate=rate)
    save_partners(file, [*known.values(), partner])
    return key


def remove_partner(file: Path, name: str) -> None:
    """Removes a partner: its key opens nothing as soon as the services have read the file again.

    Raises:
        NotFound: there is none of that name.
    """
    known = load_partners(file)
    kept = [each for each in known.values() if each.name != name]
    if len(kept) == len(known):
        raise NotFound(f"there is no partner {name}")
    save_partners(file, kept)


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
    """

    def __init__(self, file: Path | None, *, open_counter: bool = False, anonymous: int = 60_000) -> None:
        self._file = file
        self._open_counter = open_counter or file is None
        self._changed = 0
        self._anonymous = anonymous
        self._partners: dict[str, Partner] = {}
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
            self._partners = load_partners(self._file)
            self._changed = changed

    def admit(self, call: Request, roles: frozenset[Role]) -> Partner | None:
        """Lets a call in, or not.

        Args:
            call: the call.
            roles: any of them is needed; `COUNTER` calls need none where no keys are used.

        Returns:
            Who calls; None for a counter's own page.

        Raises:
            Problem: 401 no key or an unknown one, 403 another role, 429 too often.
        """
        scheme, _, key = call.headers.get("authorization", "").partition(" ")
        if not key:
            if roles is not COUNTER or not self._open_counter:
                raise Problem(401, "an API key is needed", headers={"WWW-Authenticate": "Bearer"}, code=11)
            self._spend(call.client.host if call.client else "", self._anonymous)
            return None
        partner = self._partners.get(_digest(key)) if scheme.lower() == "bearer" else None
        if partner is None:
            raise Problem(401, "an unknown API key", headers={"WWW-Authenticate": "Bearer"}, code=11)
        call.scope["ewallet.partner"], call.scope["ewallet.entity"] = partner.name, partner.entity
        if not partner.roles & roles:
            raise Problem(403, "this key is for another role", code=100)
        self._spend(partner.name, partner.rate)
        return partner

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
