"""What one service process is started with."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from ewallet.service.proxies import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from ewallet.keys import Signer

REFRESH: Final = 30.0
"""Seconds between two looks at the lists."""


def clock() -> datetime:
    """The system's time: the only clock of the service; everything below it is told the time."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Settings of a service process.

    Attributes:
        bundle: directory of the gate bundle; what it publishes comes from there too.
        state: directory for what the service remembers.
        policy: policy file; None: the bundle's.
        root: pins the first root of the lists; None: the bundle's.
        status: directory or mirror of status lists; empty: the bundle's.
        guard: `memory`, `file`, or the URL of a Redis or an SQL database.
        name: name of this terminal, for its status bar.
        agency: file of an issuing authority (`ewallet.licenses.deployment`); None: nothing is issued here.
        partners: file of API keys; None: nobody has one.
        open_counter: the counter's calls need no key although others do.
        proxies: addresses and networks of the proxies in front, whose word about a caller counts.
        certificate_header: header in which they put the caller's certificate; empty: none is taken.
        receipt_signer: key for receipts, of the same entity; None: no receipts.
        objection_signer: key for objections, of the same entity; None: none are raised or answered.
        record: whether verifications are recorded.
        uses: where: a file, or the URL of a PostgreSQL database; empty: in `state`.
        ratings: file or URL of the rating service's database; empty: it runs elsewhere, or not at all.
        rating_service: URL of the rating service, told of receipts; empty: there is none.
        rating_key: API key for it.
        peers: addresses of other authorities' services, by the beginning of their URIs.
        bases: file of legal bases for retrieval without consent; None: there are none.
        signer: key of the service's own verifier, to ask questions; None: it asks none.
        issuer: URI under which the trust lists name that verifier.
        refresh: seconds between two looks at the lists.
        log: whether calls that went well are logged.
        now: the clock.
    """

    bundle: Path
    state: Path
    policy: Path | None = None
    root: Path | None = None
    status: str = ""
    guard: str = "file"
    name: str = ""
    agency: Path | None = None
    partners: Path | None = None
    open_counter: bool = False
    proxies: tuple[str, ...] = LOOPBACK
    certificate_header: str = ""
    peers: Mapping[str, str] = field(default_factory=dict)
    bases: Path | None = None
    signer: Signer | None = None
    issuer: str = ""
    receipt_signer: Signer | None = None
    objection_signer: Signer | None = None
    record: bool = False
    uses: str = ""
    ratings: str = ""
    rating_service: str = ""
    rating_key: str = ""
    refresh: float = REFRESH
    log: bool = True
    now: Callable[[], datetime] = clock
