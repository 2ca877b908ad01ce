"""Opens a counter: a gate bundle, its policy and a place to remember things make a `Verifier`."""

from __future__ import annotations

import os
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from ewallet.errors import ConfigError, TrustError
from ewallet.verify.policy import Policy
from ewallet.verify.replay import FileGuard
from ewallet.verify.sources import status_source
from ewallet.verify.verifier import Verifier

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from ewallet.trust.trust import Trust

POLICY_FILE: Final = "policy.json"
STATUS_FOLDER: Final = "status"


def open_bundle(place: Path, *, state: Path) -> Path:
    """The directory of a bundle; a zip is unpacked once, into a directory named by its digest.

    Raises:
        TrustError: `trust.invalid`: not a bundle.
    """
    if not place.is_file():
        return place
    from ewallet.trust.bundle import Bundle  # noqa: PLC0415 (only for a zip)

    digest = sha256(place.read_bytes()).hexdigest()[:16]
    unpacked = state / "bundles" / digest
    if not unpacked.is_dir():
        fresh = state / "bundles" / f"{digest}.{os.getpid()}"
        fresh.mkdir(parents=True)
        Bundle.open(place, unpack=fresh)
        fresh.replace(unpacked)
    return unpacked


def first_root_file(bundle: Path, root: Path | None = None) -> Path:
    """The file of the first root: the pinned one, or the bundle's own."""
    return root if root is not None else bundle / "repository" / "metadata" / "1.root.json"


def anchor(bundle: Path, root: Path | None = None) -> str:
    """Thumbprint of the first root that a bundle (or the pinned root) carries: SHA-256, hex.

    Raises:
        TrustError: `trust.invalid`: there is no such file.
    """
    first = first_root_file(bundle, root)
    try:
        return sha256(first.read_bytes()).hexdigest()
    except OSError as error:
        raise TrustError("trust.invalid", f"{first} cannot be read") from error


def open_trust(
    bundle: Path,
    *,
    state: Path,
    now: datetime,
    root: Path | None = None,
    warn: Callable[[TrustError], None] | None = None,
    anchored: Callable[[str], None] | None = None,
) -> Trust:
    """The verified lists of a bundle, kept in a state directory of their own for each first root.

    Args:
        bundle: directory of a gate bundle.
        state: where verified lists are kept, so that older ones are noticed.
        now: the time of the check.
        root: pins the first root; None: the bundle's own is taken as the anchor.
        warn: told why the bundle's lists were refused, where the last good ones serve on.
        anchored: told the thumbprint of a first root that is taken from the bundle for the first time: an
            operator compares it with the published one.

    Raises:
        TrustError: the lists cannot be used, and none were kept before.
    """
    from ewallet.trust.distribution import TrustStore  # noqa: PLC0415 (a static import would load TUF early)

    thumbprint = anchor(bundle, root)
    place = state / "trust" / thumbprint[:16]
    new = root is None and not place.exists()
    store = TrustStore.open(place, root=first_root_file(bundle, root))
    trust, refusal = store.load(bundle, now)
    if new and anchored is not None:
        anchored(thumbprint)
    if refusal is not None and warn is not None:
        warn(refusal)
    return trust


def open_verifier(
    bundle: Path,
    *,
    state: Path,
    now: datetime,
    root: Path | None = None,
    status: str | Path | None = None,
    policy: Path | None = None,
    proofs: Path | None = None,
    warn: Callable[[TrustError], None] | None = None,
    anchored: Callable[[str], None] | None = None,
) -> Verifier:
    """A verifier for one counter, from a gate bundle.

    Args:
        bundle: directory or zip with `repository/`, `status/` and `policy.json` (`docs/trust.md`).
        state: where the replay guard and the verified lists are kept.
        now: the time of the check.
        root: pins the first root of the lists.
        status: another directory or mirror of status lists.
        policy: another policy file.
        proofs: directory of register statements, for keys that were compromised.
        warn: as in `open_trust`.
        anchored: as in `open_trust`.

    Raises:
        TrustError: the lists cannot be used.
        ConfigError: there is no policy, or it is wider than its scene.
    """
    bundle = open_bundle(bundle, state=state)
    trust = open_trust(bundle, state=state, now=now, root=root, warn=warn, anchored=anchored)
    file = policy if policy is not None else bundle / POLICY_FILE
    if not file.is_file():
        raise ConfigError("there is no policy: name one", file=str(file))
    state.mkdir(parents=True, exist_ok=True)
    return Verifier(
        trust=trust,
        policy=Policy.load(file, trust.scenes),
        status=status_source(status if status is not None else bundle / STATUS_FOLDER),
        replay=FileGuard(state / "replay.sqlite"),
        proofs=None if proofs is None else _statements(proofs),
    )


def _statements(directory: Path) -> dict[bytes, tuple[bytes, ...]]:
    from ewallet.trust.statements import load_proofs  # noqa: PLC0415 (rare)

    return load_proofs(directory)
