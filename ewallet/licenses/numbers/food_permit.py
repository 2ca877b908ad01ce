"""Number of a food business permit: `JY` and fourteen digits.

One digit for the main form of business (1 sales, 2 catering, 3 canteen), six-digit region, six-digit
sequence, check digit (GB/T 17710, MOD 11,10).

>>> number = with_check("JY2310101000017")
>>> validate(number) == number
True
>>> is_valid("JY23101010000170") and is_valid("JY23101010000171")
False
>>> form_of_business(number)
'catering'
"""

from __future__ import annotations

import re
from typing import Final

from stdnum.iso7064 import mod_11_10

from ewallet.errors import RecordError

_FORM: Final = re.compile(r"JY[1-3][0-9]{13}", re.ASCII)
_FORMS_OF_BUSINESS: Final = {"1": "sales", "2": "catering", "3": "canteen"}


def with_check(body: str) -> str:
    """A whole number from its first fifteen characters.

    Raises:
        RecordError: not the first fifteen characters of such a number.
    """
    if _FORM.fullmatch(body + "0") is None:
        raise RecordError("not the first 15 characters of a food business permit number")
    return body + str(mod_11_10.calc_check_digit(body[2:]))


def validate(number: str) -> str:
    """The number itself, when form and check digit hold.

    Raises:
        RecordError: they do not.
    """
    if _FORM.fullmatch(number) is None:
        raise RecordError("not JY and 14 digits")
    if mod_11_10.checksum(number[2:]) != 1:
        raise RecordError("the check digit of the food business permit number is wrong")
    return number


def is_valid(number: str) -> bool:
    """Whether form and check digit hold."""
    try:
        validate(number)
    except RecordError:
        return False
    return True


def form_of_business(number: str) -> str:
    """`sales`, `catering` or `canteen`."""
    return _FORMS_OF_BUSINESS[number[2]]


def region(number: str) -> str:
    """The six-digit region of the permit."""
    return number[3:9]
