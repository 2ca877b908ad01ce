"""Recognition rules between the four provinces, made from one table of how each writes the same license.

`data/mappings.json` holds, for each type, the code and version in each province, the local names of its
fields, the local values of its codes, what a province does not have, and conditions in common terms. A rule
for an ordered pair of provinces follows from two columns; nothing is chained through a third.

The table is a start for a deployment: provinces approve rules one by one, by digest.
"""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING, Any

from ewallet.trust.scenes import DATA
from ewallet.trust.times import time_text
from ewallet.wire import decode_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime


def builtin_rules(
    provinces: Sequence[str] = ("31", "32", "33", "34"), *, start: datetime, until: datetime
) -> list[dict[str, Any]]:
    """The rules of the built-in types for every ordered pair of provinces.

    Args:
        provinces: codes among the four of the table.
        start: from when the rules count.
        until: their end.
    """
    table = decode_json((DATA / "mappings.json").read_bytes(), limit=1 << 20)
    valid = {"from": time_text(start), "until": time_text(until)}
    return [
        _rule(entry, table["code_values"], source, target, valid)
        for entry in table["types"]
        for source, target in permutations(provinces, 2)
    ]


def _rule(
    entry: Mapping[str, Any], values: Mapping[str, Any], source: str, target: str, valid: Mapping[str, str]
) -> dict[str, Any]:
    conditions = [
        {"field": _local(entry, field, source), "in": _spoken(entry, values, field, source, accepted)}
        for field, accepted in entry["conditions"].items()
    ]
    return {
        "id": f"{source}-{target}-{entry['id']}",
        "from": {"province": source, **entry["provinces"][source]},
        "to": {"province": target, **entry["provinces"][target]},
        "relation": entry["relation"],
        "conditions": conditions,
        "field_map": list(_fields(entry, values, source, target)),
        "scenes": entry["scenes"],
        "valid": dict(valid),
    }


def _local(entry: Mapping[str, Any], field: str, province: str) -> str:
    return str(entry["fields"][field].get(province, field))


def _spoken(
    entry: Mapping[str, Any], values: Mapping[str, Any], field: str, province: str, accepted: Sequence[str]
) -> list[str]:
    """Common values as a province writes them."""
    family = entry["codes"].get(field)
    words = values[family][province] if family else {}
    return [words.get(value, value) for value in accepted]


def _fields(
    entry: Mapping[str, Any], values: Mapping[str, Any], source: str, target: str
) -> Iterator[dict[str, Any]]:
    missing = {*entry["absent"].get(source, ()), *entry["absent"].get(target, ())}
    for field in entry["fields"]:
        if field in missing:
            continue
        row: dict[str, Any] = {"from": _local(entry, field, source), "to": _local(entry, field, target)}
        family = entry["codes"].get(field)
        if family:
            theirs, ours = values[family][source], values[family][target]
            row["codes"] = {word: ours[common] for common, word in theirs.items() if common in ours}
        yield row
