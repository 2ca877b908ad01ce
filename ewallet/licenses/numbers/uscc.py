"""Unified social credit code of organizations (GB 32100-2015).

Eighteen characters: department, kind of organization, six-digit region, nine-character organization code,
check character (MOD 31, weights 3^(i-1)). The letters I, O, S, V and Z are not used.

>>> validate("91310000MA1FL9A050")
'91310000MA1FL9A050'
>>> is_valid("91310000MA1FL9A051")
False
>>> check_character("91310000MA1FL9A05")
'0'
>>> region("91310115MA1FL9B016")
'310115'
"""

from __future__ import annotations

import re
from typing import Final

from ewallet.errors import RecordError

_FORM: Final = re.compile(r"[0-9A-HJ-NP-RTUWXY]{2}[0-9]{6}[0-9A-HJ-NP-RTUWXY]{10}", re.ASCII)
_ALPHABET: Final = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_VALUES: Final = {character: value for value, character in enumerate(_ALPHABET)}
_WEIGHTS: Final = tuple(pow(3, place, 31) for place in range(17))
_BODY: Final = re.compile(r"[0-9A-HJ-NP-RTUWXY]{2}[0-9]{6}[0-9A-HJ-NP-RTUWXY]{9}", re.ASCII)


def check_character(body: str) -> str:
    """The check character of the first seventeen.

    Raises:
        RecordError: not seventeen characters of a code.
    """
    if _BODY.fullmatch(body) is None:
        raise RecordError("not the first 17 characters of a unified social credit code")
    return _check(body)


def _check(body: str) -> str:
    # Written out: python-stdnum (with which a test compares it) cleans its input first, which costs more than
    # signing a tenth of a license, and has been done at the door.
    total = sum(weight * _VALUES[character] for weight, character in zip(_WEIGHTS, body, strict=True))
    return _ALPHABET[-total % 31]


def validate(number: str) -> str:
    """The code itself, when form and check character hold (GB 32100-2015, 4 and 5).

    Raises:
        RecordError: they do not.
    """
    if _FORM.fullmatch(number) is None:
        raise RecordError("not 18 characters of a unified social credit code")
    if _check(number[:17]) != number[17]:
        raise RecordError("the check character of the unified social credit code is wrong")
    return number


def is_valid(number: str) -> bool:
    """Whether form and check character hold."""
    try:
        validate(number)
    except RecordError:
        return False
    return True


def region(number: str) -> str:
    """The six-digit region in which the code was assigned."""
    return number[2:8]
