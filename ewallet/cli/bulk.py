"""Many things at once: folders, files of lines, and a line of progress on standard error."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_T = TypeVar("_T")

_LINES_FILE: Final = 64 * 1024 * 1024
"""Bytes of a file of lines: some hundred thousand codes."""

_EVERY: Final = 0.2
"""Seconds between two updates of the line of progress."""


def is_folder(thing: str) -> bool:
    """Whether an argument names a folder."""
    try:
        return len(thing) <= 1024 and Path(thing).is_dir()
    except (OSError, ValueError):
        return False


def is_file(thing: str) -> bool:
    """Whether an argument names a file; a code is longer than a name may be, and is none."""
    try:
        return len(thing) <= 1024 and Path(thing).is_file()
    except (OSError, ValueError):
        return False


def files_in(folder: Path) -> list[Path]:
    """The files of a folder and of those below, hidden ones left out, in the order of their names."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def lines_of(path: Path) -> list[str]:
    """The lines of a text file that holds one code to a line; empty for every other file."""
    if not 0 < path.stat().st_size <= _LINES_FILE:
        return []
    with path.open("rb") as file:
        if not file.read(3).isalnum():
            return []
    try:
        lines = [line.strip() for line in path.read_text("ascii").splitlines() if line.strip()]
    except UnicodeDecodeError:
        return []
    return lines if len(lines) > 1 else []


def count(things: Iterable[str]) -> int | None:
    """How many answers there will be; None where lines come from standard input."""
    total = 0
    for thing in things:
        if thing == "-":
            return None
        if is_folder(thing):
            total += len(files_in(Path(thing)))
        elif is_file(thing):
            total += max(1, len(lines_of(Path(thing))))
        else:
            total += 1
    return total


def with_progress(answers: Iterable[_T], *, total: int | None) -> Iterator[_T]:
    """Hands answers on; with many of them a terminal sees how far it is.

    Args:
        answers: what is handed on.
        total: how many there will be; None: not known, and nothing is shown.
    """
    if total is None or total < 2 or not sys.stderr.isatty():
        yield from answers
        return
    begin = shown = time.monotonic()
    for number, answer in enumerate(answers, 1):
        if sys.stdout.isatty():
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)  # the answer takes the line
        yield answer
        now = time.monotonic()
        if now - shown >= _EVERY or number == total:
            shown = now
            rate = number / max(now - begin, 1e-6)
            print(f"\r\x1b[K{number}/{total}  {rate:.0f}/s", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
