"""Number of a disability card: the resident number, the category (1 to 7) and the grade (1 to 4).

Categories: 1 sight, 2 hearing, 3 speech, 4 body, 5 intellect, 6 mind, 7 multiple (GB/T 26341-2010).

>>> validate("31010119000101001142")
'31010119000101001142'
>>> category("31010119000101001142"), grade("31010119000101001142")
('4', '2')
>>> is_valid("31010119000101001182")
False
>>> masked("31010119000101001142")
'310***********001142'
"""

from __future__ import annotations

import re
from typing import Final

from ewallet.errors import RecordError
from ewallet.licenses.numbers import resident_id

_TAIL: Final = re.compile(r"[1-7][1-4]", re.ASCII)


def validate(number: str) -> str:
    """The number itself, when its resident number, category and grade hold.

    Raises:
        RecordError: one of them does not.
    """
    if len(number) != 20 or _TAIL.fullmatch(number[18:]) is None:
        raise RecordError("not a resident number, a category 1 to 7 and a grade 1 to 4")
    resident_id.validate(number[:18])
    return number


def is_valid(number: str) -> bool:
    """Whether resident number, category and grade hold."""
    try:
        validate(number)
    except RecordError:
        return False
    return True


def resident(number: str) -> str:
    """The holder's resident number."""
    return number[:18]


def category(number: str) -> str:
    """The category of disability, `1` to `7`."""
    return number[18]


def grade(number: str) -> str:
    """The grade of disability, `1` (profound) to `4` (mild)."""
    return number[19]


def masked(number: str) -> str:
    """The number as it may stand on a screen or in a seal."""
    return resident_id.masked(number[:18]) + number[18:]
