"""Status entries: handed out at random inside shards, published as signed lists.

A shard is one status list: at most 2^20 entries of one authority, one type and one quarter. Which index comes
next is a keyed permutation of a counter: no index is used twice, none tells when its license was issued, and
nothing but the counter is stored. The register keeps the history; a published list is its projection.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from ewallet.errors import ConfigError
from ewallet.formats import statuslist
from ewallet.moments import SHANGHAI, seconds

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from pathlib import Path

    from ewallet.keys import Signer

BITS: Final = 2
SHARD_SIZE: Final = 2**20
"""Entries of a shard: the most that a list may have; a list that is mostly zeros compresses to few bytes."""

LIFE: Final = timedelta(days=7)
"""How long a published list holds at most: what is not republished within is `status.stale`."""

TTL: Final = 24 * 3600
"""Seconds for which a signed list counts before a fresh one is needed: publish at least twice a day."""

_ROUNDS: Final = tuple(turn << 32 for turn in range(4))
"""Four rounds, each told apart by the first byte of what is hashed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """One status list as the register knows it.

    Attributes:
        id: number in the register.
        uri: its address.
        size: number of entries.
        seed: key of the permutation.
    """

    id: int
    uri: str
    size: int
    seed: bytes

    def index(self, position: int) -> int:
        """The index that the `position`-th entry of this shard gets."""
        return permute(self.seed, position, self.size)


def permute(seed: bytes, position: int, size: int) -> int:
    """A keyed permutation of 0 ... size - 1 (Feistel network over the next even number of bits).

    >>> sorted(permute(b"seed", n, 100) for n in range(100)) == list(range(100))
    True
    """
    half = max(((size - 1).bit_length() + 1) // 2, 1)
    mask = (1 << half) - 1
    keyed = _keyed(seed)
    while True:
        left, right = position >> half, position & mask
        for turn in _ROUNDS:
            mixed = keyed.copy()
            mixed.update((turn | right).to_bytes(5, "big"))
            left, right = right, left ^ (int.from_bytes(mixed.digest(), "big") & mask)
        position = left << half | right
        if position < size:
            return position


@lru_cache(maxsize=64)
def _keyed(seed: bytes) -> blake2b:
    return blake2b(key=seed, digest_size=8)


def quarter_of(now: datetime) -> str:
    """The quarter that a moment lies in: `2026q4`."""
    day = now.astimezone(SHANGHAI)
    return f"{day.year}q{(day.month + 2) // 3}"


def file_of(uri: str) -> str:
    """Where the list of a URI lies below the published directory: host and path, without suffix.

    Raises:
        ConfigError: not an https address with a plain path.
    """
    parts = urlsplit(uri)
    steps = parts.path.split("/")[1:]
    if (
        parts.scheme != "https"
        or not parts.hostname
        or not all(steps)
        or any(s.startswith(".") for s in steps)
    ):
        raise ConfigError("a status list needs a plain https address", file=uri)
    return "/".join((parts.netloc, *steps))


def write_list(
    directory: Path,
    uri: str,
    changed: Iterable[tuple[int, int]],
    *,
    size: int,
    signer: Signer,
    now: datetime,
    life: timedelta = LIFE,
    ttl: int = TTL,
) -> tuple[Path, Path]:
    """Signs one list and puts it in its place, as JWT and as CWT; each replaces the old file in one step.

    Args:
        directory: root of what a web server or CDN serves.
        uri: address of the list.
        changed: index and value of every entry that is not 0.
        size: number of entries.
        signer: key of the service *status lists*.
        now: becomes `iat`.
        life: until `exp`.
        ttl: seconds that a verifier may keep it.

    Returns:
        The two files, `.jwt` and `.cwt`.
    """
    entries = statuslist.StatusList(bits=BITS, size=size)
    entries.update(changed)
    place = directory / file_of(uri)
    place.parent.mkdir(parents=True, exist_ok=True)
    end = now + life
    jwt = statuslist.issue_jwt(entries, signer, uri=uri, now=now, ttl=ttl, exp=end)
    cwt = statuslist.issue_cwt(entries, signer, uri=uri, now=now, ttl=ttl, exp=end)
    files = place.with_name(place.name + ".jwt"), place.with_name(place.name + ".cwt")
    for file, content in zip(files, (jwt.encode(), cwt), strict=True):
        replace_file(file, content)
    return files


def replace_file(file: Path, content: bytes) -> None:
    """Writes a file so that a reader sees the old one or the new one, never a part."""
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(name, 0o644)  # noqa: PTH101 - the name is a temporary file's, not a Path
        os.replace(name, file)  # noqa: PTH105 - same
    except BaseException:
        os.unlink(name)  # noqa: PTH108 - same
        raise


def due(
    *,
    revision: int,
    published_revision: int,
    published_at: int,
    now: datetime,
    life: timedelta,
    ttl: int,
) -> bool:
    """Whether a list must be signed again: it changed, or half of the time for which it counts is over.

    A list counts until its `exp` and no longer than `ttl` seconds after it was signed, whichever comes first.
    """
    age = seconds(now) - published_at
    return revision != published_revision or age >= min(life.total_seconds(), ttl) / 2
