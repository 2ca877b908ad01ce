"""Fetching fresh passes in the background, before the ones that a phone holds are shown or over."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final, Protocol

from ewallet.code import possession
from ewallet.code.authority import renewal_due
from ewallet.errors import KeyMaterialError, NotAllowed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from ewallet.code.passes import Pass
    from ewallet.code.wallet import Wallet
    from ewallet.keys import PublicKey, SigningKey

AHEAD: Final = timedelta(hours=6)
BATCH: Final = 8


class Source(Protocol):
    """An app's own authenticated channel to the code authority; it stands for one person on one phone."""

    @property
    def name(self) -> str:
        """URI of the authority, which the proofs name."""
        ...

    def challenge(self) -> bytes:
        """A nonce of `CodeAuthority.challenge`."""
        ...

    def issue(self, devices: Sequence[tuple[PublicKey, bytes]]) -> Sequence[Pass]:
        """Passes for these keys, in their order.

        Raises:
            NotAllowed: the person is suspended, or the phone is lost.
        """
        ...


def renew(
    wallet: Wallet,
    source: Source,
    *,
    make_key: Callable[[], SigningKey],
    count: int = BATCH,
    ahead: timedelta = AHEAD,
    force: bool = False,
    now: datetime,
) -> int:
    """Forgets passes that are over and fetches new ones when they are due; meant for a background task.

    Due: no pass that no venue has seen lives beyond `ahead`. Whatever else goes wrong on the way, the wallet
    keeps what it holds. The caller saves it.

    Args:
        wallet: passes of one person, on this phone.
        source: the channel to the authority.
        make_key: makes a device key.
        count: how many passes to fetch.
        ahead: how long before their end; zero for scenes limited by day, whose passes end at midnight.
        force: fetch although none are due, and drop what was held: a gate called a pass revoked.
        now: the phone's time.

    Returns:
        How many passes were fetched; 0: none were due.

    Raises:
        NotAllowed: suspended, or a lost phone. The wallet is emptied: what it held is revoked, and would
            hide that fresh passes are due after a restoration.
        KeyMaterialError: the answer does not fit the keys.
    """
    wallet.forget(now=now)
    if not force and not renewal_due(wallet.unshown, now=now, ahead=ahead):
        return 0
    keys = [make_key() for _ in range(count)]
    nonce = source.challenge()
    devices = [(key.public_key, possession.prove(key, authority=source.name, nonce=nonce)) for key in keys]
    try:
        made = source.issue(devices)
    except NotAllowed:
        wallet.clear()
        raise
    if [each.device_key for each in made] != [key.public_key for key in keys]:
        raise KeyMaterialError("passes for other keys than those that asked")
    if force:
        wallet.clear()
    for each, key in zip(made, keys, strict=True):
        wallet.add(each, key)
    return len(made)
