"""Opens a counter: a gate bundle, its policy and a place to remember things make a `Verifier`."""

from __future__ import annotations

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


def anchor(bundle: Path, root: Path | None = None) -> str:
    """Thumbprint of the first root that a bundle (or the pinned root) carries: SHA-256, hex.

    Raises:
        TrustError: `trust.invalid`: there is no such file.
    """
    first = root if root is not None else bundle / "repository" / "metadata" / "1.root.json"
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
) -> Trust:
    """The verified lists of a bundle, kept in a state directory of their own for each first root.

    Args:
        bundle: directory of a gate bundle.
        state: where verified lists are kept, so that older ones are noticed.
        now: the time of the check.
        root: pins the first root; None: the bundle's own is taken as the anchor.
        warn: told why the bundle's lists were refused, where the last good ones serve on.

    Raises:
        TrustError: the lists cannot be used, and none were kept before.
    """
    from ewallet.trust.distribution import TrustStore  # noqa: PLC0415 (a static import would load TUF early)

    place = state / "trust" / anchor(bundle, root)[:16]
    first = root if root is not None else bundle / "repository" / "metadata" / "1.root.json"
    store = TrustStore.open(place, root=first)
    trust, refusal = store.load(bundle, now)
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
    warn: Callable[[TrustError], None] | None = None,
) -> Verifier:
    """A verifier for one counter, from a gate bundle.

    Args:
        bundle: directory with `repository/`, `status/` and `policy.json` (`docs/trust.md`).
        state: where the replay guard and the verified lists are kept.
        now: the time of the check.
        root: pins the first root of the lists.
        status: another directory or mirror of status lists.
        policy: another policy file.
        warn: as in `open_trust`.

    Raises:
        TrustError: the lists cannot be used.
        ConfigError: there is no policy, or it is wider than its scene.
    """
    trust = open_trust(bundle, state=state, now=now, root=root, warn=warn)
    file = policy if policy is not None else bundle / POLICY_FILE
    if not file.is_file():
        raise ConfigError("there is no policy: name one", file=str(file))
    state.mkdir(parents=True, exist_ok=True)
    return Verifier(
        trust=trust,
        policy=Policy.load(file, trust.scenes),
        status=status_source(status if status is not None else bundle / STATUS_FOLDER),
        replay=FileGuard(state / "replay.sqlite"),
    )
