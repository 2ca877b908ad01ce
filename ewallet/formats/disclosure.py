"""Which claims can be disclosed one by one: paths into a set of claims, for SD-JWT and SD-CWT alike.

A path is the key of a claim, or a tuple of keys and array positions from the top. `None` in a tuple stands
for every element of an array. Naming a claim and something inside it makes the inner disclosure depend on
the outer one (RFC 9901, 4.2.6, recursive disclosures).
"""

from __future__ import annotations

import os
from functools import lru_cache
from itertools import chain, repeat
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Step = str | int | None
Path = str | int | tuple[Step, ...]

SALT_SIZE: Final = 16
"""128 bits, as RFC 9901 (9.3) and the SD-CWT draft ask for."""


class Branch(dict[Step, "Branch"]):
    """A tree of paths.

    Attributes:
        chosen: a path ends here.
    """

    __slots__ = ("chosen",)

    def __init__(self) -> None:
        super().__init__()
        self.chosen = False

    def element(self, position: int) -> Branch | None:
        """The branch of an array position, or else the one that stands for every element."""
        found = self.get(position)
        return self.get(None) if found is None else found


def tree(paths: Iterable[Path]) -> Branch:
    """The paths as a tree.

    Raises:
        ValueError: an empty path.
    """
    return _tree_of(paths) if type(paths) is tuple else _grow(paths)


@lru_cache(maxsize=256)
def _tree_of(paths: tuple[Path, ...]) -> Branch:
    # An issuer names the same paths for a hundred thousand licenses of a type; nobody changes a tree.
    return _grow(paths)


def _grow(paths: Iterable[Path]) -> Branch:
    root = Branch()
    for path in paths:
        steps = path if isinstance(path, tuple) else (path,)
        if not steps:
            raise ValueError("an empty path")
        branch = root
        for step in steps:
            branch = branch.setdefault(step, Branch())
        branch.chosen = True
    return root


def salts(at_once: int) -> Iterator[bytes]:
    """Fresh salts without end, the first `at_once` from one call of the system."""
    return chain.from_iterable(map(_drawn, chain((at_once,), repeat(16))))


def _drawn(count: int) -> list[bytes]:
    drawn = os.urandom(count * SALT_SIZE)
    return [drawn[start : start + SALT_SIZE] for start in range(0, len(drawn), SALT_SIZE)]
