"""Number of a marriage certificate: `J`, six-digit region of the registry, year, six-digit sequence.

>>> validate("J310101-2026-000123")
'J310101-2026-000123'
>>> is_valid("J310101-2026-123")
False
>>> registry("J310101-2026-000123"), year("J310101-2026-000123")
('310101', 2026)
"""

from __future__ import annotations

import re
from typing import Final

from ewallet.errors import RecordError

_FORM: Final = re.compile(r"J[1-9][0-9]{5}-(?:19|20)[0-9]{2}-[0-9]{6}", re.ASCII)


def validate(number: str) -> str:
    """The number itself, when its form holds.

    Raises:
        RecordError: it does not.
    """
    if _FORM.fullmatch(number) is None:
        raise RecordError("not J, 6 digits, a year and 6 digits, joined by hyphens")
    return number


def is_valid(number: str) -> bool:
    """Whether the form holds."""
    return _FORM.fullmatch(number) is not None


def registry(number: str) -> str:
    """The six-digit region of the registry."""
    return number[1:7]


def year(number: str) -> int:
    """The year of registration."""
    return int(number[8:12])
