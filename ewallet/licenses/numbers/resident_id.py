"""Number of a resident (GB 11643-1999).

Eighteen characters: six-digit region, date of birth, three-digit sequence (odd: male), check character
(ISO/IEC 7064 MOD 11-2, the last may be X).

>>> validate("310101190001010011")
'310101190001010011'
>>> is_valid("310101190001010010")
False
>>> born_on("310101190001010011")
datetime.date(1900, 1, 1)
>>> sex("310101190001010011")
'1'
>>> masked("310101190001010011")
'310***********0011'
"""

from __future__ import annotations

import re
from datetime import date
from typing import Final

from stdnum.iso7064 import mod_11_2

from ewallet.errors import RecordError

_FORM: Final = re.compile(r"[1-9][0-9]{16}[0-9X]", re.ASCII)


def check_character(body: str) -> str:
    """The check character of the first seventeen digits."""
    return str(mod_11_2.calc_check_digit(body))


def validate(number: str) -> str:
    """The number itself, when form, calendar date and check character hold (GB 11643-1999, 4).

    A date of birth in the future is a matter of the record's own date: see `born_on`.

    Raises:
        RecordError: one of them does not.
    """
    if _FORM.fullmatch(number) is None:
        raise RecordError("not 18 characters of a resident number")
    born_on(number)
    if mod_11_2.checksum(number) != 1:
        raise RecordError("the check character of the resident number is wrong")
    return number


def is_valid(number: str) -> bool:
    """Whether form, calendar date and check character hold."""
    try:
        validate(number)
    except RecordError:
        return False
    return True


def born_on(number: str) -> date:
    """The date of birth inside the number.

    Raises:
        RecordError: no such day.
    """
    try:
        return date(int(number[6:10]), int(number[10:12]), int(number[12:14]))
    except ValueError as error:
        raise RecordError("the resident number contains a day that does not exist") from error


def region(number: str) -> str:
    """The six-digit region in which the number was assigned."""
    return number[:6]


def sex(number: str) -> str:
    """`1` (male) or `2` (female), as in GB/T 2261.1."""
    return "1" if int(number[16]) % 2 else "2"


def masked(number: str) -> str:
    """The number as it may stand on a screen or in a seal: three first and four last characters."""
    return number[:3] + "*" * (len(number) - 7) + number[-4:]
