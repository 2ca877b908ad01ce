"""Number of a birth certificate: a letter and nine digits.

>>> validate("X310123456")
'X310123456'
>>> is_valid("x310123456")
False
"""

from __future__ import annotations

import re
from typing import Final

from ewallet.errors import RecordError

_FORM: Final = re.compile(r"[A-Z][0-9]{9}", re.ASCII)


def validate(number: str) -> str:
    """The number itself, when its form holds.

    Raises:
        RecordError: it does not.
    """
    if _FORM.fullmatch(number) is None:
        raise RecordError("not a letter and 9 digits")
    return number


def is_valid(number: str) -> bool:
    """Whether the form holds."""
    return _FORM.fullmatch(number) is not None
