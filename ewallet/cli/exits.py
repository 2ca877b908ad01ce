"""Exit codes and the form of error lines, the same for every command."""

from __future__ import annotations

import sys
from enum import IntEnum


class Exit(IntEnum):
    """What the exit code of `ewallet` means."""

    ACCEPTED = 0
    REJECTED = 1
    USAGE = 2
    UNDECIDED = 3
    ENVIRONMENT = 4


def report(error: str, hint: str, code: Exit) -> Exit:
    """Write `error:` and `hint:` lines to standard error; return the code."""
    print(f"error: {error}", file=sys.stderr)
    if hint:
        print(f"hint:  {hint}", file=sys.stderr)
    return code
