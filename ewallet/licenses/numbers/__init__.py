"""Numbers of the field: one module for each, the same verbs everywhere.

`validate(number)` returns the number when it is in its exact form and its check character holds, and raises
`RecordError` otherwise; `is_valid(number)` answers yes or no. Nothing is trimmed, folded or upper-cased here:
that happens once, in `ewallet.licenses.intake`. Region codes are never looked up to refuse: regions are
merged and renamed, numbers stay (python-stdnum, which does the check characters, knows a dated table only).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ewallet.licenses.numbers import (
    birth_certificate,
    disability_card,
    food_permit,
    identifier,
    marriage_certificate,
    resident_id,
    uscc,
)

if TYPE_CHECKING:
    from collections.abc import Callable

VALIDATORS: Final[dict[str, Callable[[str], str]]] = {
    "uscc": uscc.validate,
    "resident_id": resident_id.validate,
    "food_permit": food_permit.validate,
    "disability_card": disability_card.validate,
    "marriage_certificate": marriage_certificate.validate,
    "birth_certificate": birth_certificate.validate,
    "identifier": identifier.validate,
}
"""What a catalog may name as the rule of a number."""

PERSONAL: Final = frozenset({"resident_id", "disability_card"})
"""Rules of numbers that contain a person's number: never part of an identifier."""


def _born_on(number: str) -> str:
    return resident_id.born_on(number).isoformat()


PARTS: Final[dict[str, dict[str, Callable[[str], str]]]] = {
    "resident_id": {"born_on": _born_on, "sex": resident_id.sex},
    "disability_card": {
        "resident_id": disability_card.resident,
        "category": disability_card.category,
        "grade": disability_card.grade,
    },
}
"""What a number says about its holder, by rule: other fields of one record must agree with it."""
