"""Recognition rules: what a license of one province counts as in another.

A rule is the consortium's data; it counts only while its digest is on the own list of both provinces. One
hop, never chained. Applying a rule gives the local view: fields and codes that it maps, under the local
names, and a list of what it does not map. Nothing is invented.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ewallet.errors import Malformed
from ewallet.trust.times import time_seconds

if TYPE_CHECKING:
    from collections.abc import Mapping


class Relation(StrEnum):
    """How the foreign type relates to the local one."""

    EXACT = "exact"
    NARROWER = "narrower"
    CONDITIONAL = "conditional"


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeRef:
    """A license type of one province in one version.

    Attributes:
        province: two digits.
        type: type code.
        version: version of the type.
    """

    province: str
    type: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldMap:
    """One foreign field under its local name.

    Attributes:
        source: key of the foreign field.
        target: key of the local field.
        codes: foreign value to local value; empty: the value stands as it is.
    """

    source: str
    target: str
    codes: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A condition on a field of the foreign license.

    Attributes:
        field: key of the foreign field; it must have been disclosed.
        values: values that fulfil the condition.
    """

    field: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One recognition rule.

    Attributes:
        id: stable name.
        digest: SHA-256 of its canonical JSON, hex: what provinces approve.
        source: the foreign type.
        target: the local type.
        relation: exact, narrower or conditional.
        conditions: all must hold.
        field_map: fields that have a local meaning.
        scenes: scenes in which it counts (`*`: all).
        start: first second.
        until: first second after.
    """

    id: str
    digest: str
    source: TypeRef
    target: TypeRef
    relation: Relation
    conditions: tuple[Condition, ...]
    field_map: tuple[FieldMap, ...]
    scenes: frozenset[str]
    start: int
    until: int

    def applies(
        self,
        *,
        from_province: str,
        to_province: str,
        type: str,  # noqa: A002 -- the field's word, and no built-in is meant
        type_version: str,
        scene: str,
        at: int,
    ) -> bool:
        """Whether it is the rule for this license in this place at this second."""
        return (
            self.source == TypeRef(province=from_province, type=type, version=type_version)
            and self.target.province == to_province
            and (scene in self.scenes or "*" in self.scenes)
            and self.start <= at < self.until
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalView:
    """A foreign license as the local province reads it.

    Attributes:
        type: the local type.
        relation: how the foreign type relates to it.
        rule: id of the rule.
        fields: local field to value, only what the rule maps.
        unmapped: foreign fields, or `field=` values without a local code, that have no local meaning.
        unmet: fields whose condition does not hold or was not shown; any: the rule does not count.
    """

    type: TypeRef
    relation: Relation
    rule: str
    fields: Mapping[str, Any]
    unmapped: tuple[str, ...]
    unmet: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recognition:
    """A rule found for a license.

    Attributes:
        rule: the rule.
    """

    rule: Rule

    def local_view(self, fields: Mapping[str, Any]) -> LocalView:
        """The local view of the disclosed fields.

        Args:
            fields: foreign fields by key, as disclosed.
        """
        local: dict[str, Any] = {}
        mapped: set[str] = set()
        for item in self.rule.field_map:
            if item.source not in fields:
                continue
            value = fields[item.source]
            if item.codes:
                if str(value) not in item.codes:
                    continue
                value = item.codes[str(value)]
            local[item.target] = value
            mapped.add(item.source)
        unmet = tuple(
            condition.field
            for condition in self.rule.conditions
            if str(fields.get(condition.field, "")) not in condition.values
        )
        return LocalView(
            type=self.rule.target,
            relation=self.rule.relation,
            rule=self.rule.id,
            fields=MappingProxyType(local),
            unmapped=tuple(sorted(set(fields) - mapped)),
            unmet=unmet,
        )


def canonical(rule: Mapping[str, Any]) -> bytes:
    """The canonical JSON of a rule: keys sorted, no spaces, UTF-8."""
    return json.dumps(rule, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def rule_digest(rule: Mapping[str, Any]) -> str:
    """SHA-256 of a rule's canonical JSON, hex."""
    return sha256(canonical(rule)).hexdigest()


_KEYS = {"id", "from", "to", "relation", "conditions", "field_map", "scenes", "valid"}


def rule_from_json(data: Mapping[str, Any]) -> Rule:
    """A rule from its JSON data.

    Raises:
        Malformed: a key that is not understood, or a value of the wrong form.
    """
    if set(data) != _KEYS:
        raise Malformed("not a recognition rule: keys")
    try:
        rule = Rule(
            id=_text(data["id"]),
            digest=rule_digest(data),
            source=TypeRef(**{key: _text(value) for key, value in data["from"].items()}),
            target=TypeRef(**{key: _text(value) for key, value in data["to"].items()}),
            relation=Relation(data["relation"]),
            conditions=tuple(
                Condition(field=_text(item["field"]), values=tuple(_text(value) for value in item["in"]))
                for item in data["conditions"]
            ),
            field_map=tuple(
                FieldMap(
                    source=_text(item["from"]),
                    target=_text(item["to"]),
                    codes=MappingProxyType(
                        {_text(key): _text(value) for key, value in item.get("codes", {}).items()}
                    ),
                )
                for item in data["field_map"]
            ),
            scenes=frozenset(_text(item) for item in data["scenes"]),
            start=time_seconds(data["valid"]["from"]),
            until=time_seconds(data["valid"]["until"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Malformed("not a recognition rule") from error
    if rule.source.province == rule.target.province:
        raise Malformed("a recognition rule within one province")
    if (rule.relation is Relation.CONDITIONAL) != bool(rule.conditions):
        raise Malformed("conditions and relation do not fit")
    targets = [item.target for item in rule.field_map]
    if len(set(targets)) != len(targets):
        raise Malformed("a local field is mapped twice")
    return rule


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError("a text is needed")
    return value
