"""Matters: what a service needs from an applicant, what waives it, and what a counter does with it.

A *matter* (service item) is data: its materials, the form, and the elements that an officer reviews. Each
material may be waived: the city's own authority holds it and the office fetches it, or an accepted e-license
(or a field of one) covers it. The physical one is asked for only where a law or an administrative regulation
demands it, with its citation and the days from and until which it does.

A *joint* matter ("one thing") is several matters: what they share is asked once.

Sources: Shanghai decision on one-network services of 2021-06-23 (no paper where an e-license can be shown,
unless a law or an administrative regulation says otherwise); State Council order 716.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from importlib import resources
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from ewallet.errors import ConfigError, NotFound

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import date
    from importlib.resources.abc import Traversable
    from pathlib import Path

    from ewallet.licenses.catalog import Catalog
    from ewallet.verify.matter_files import TomlFile

LEVELS: Final = ("law", "administrative-regulation")
"""What can demand a physical thing; departmental rules and local habits cannot."""


class Rule(StrEnum):
    """How a review element is decided over verified fields."""

    PRESENT = "present"
    EQUAL = "equal"
    ONE_OF = "one-of"
    STILL_AHEAD = "still-ahead"
    AGE_FROM = "age-from"
    AGE_BELOW = "age-below"
    PERSON = "person"


RULES: Final[Mapping[Rule, frozenset[str]]] = MappingProxyType(
    {
        Rule.PRESENT: frozenset(("left",)),
        Rule.EQUAL: frozenset(("left", "right")),
        Rule.ONE_OF: frozenset(("left", "values")),
        Rule.STILL_AHEAD: frozenset(("left",)),
        Rule.AGE_FROM: frozenset(("left", "years")),
        Rule.AGE_BELOW: frozenset(("left", "years")),
        Rule.PERSON: frozenset(),
    }
)
"""Each rule and the keys that it takes. `person`: nothing but a person can decide it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A field of a license that covers a material: `material.field`."""

    material: str
    field: str

    def __str__(self) -> str:
        return f"{self.material}.{self.field}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """Something that matters ask for, described once and shared.

    Attributes:
        id: short name.
        names: zh and en.
        types: codes of e-license types, any of which covers it; empty: no e-license does.
        fields: face fields that the license must show to cover it.
        by_field: a field of the license says what the material would prove; False: the license is it.
        same: own field that must equal another material's: which of two ID cards is the mother's.
        retrieved_from: the city's own authority that issued it, and from whom the office fetches it; empty:
            nobody does.
        hint: what the applicant brings otherwise.
    """

    id: str
    names: Mapping[str, str]
    types: tuple[str, ...] = ()
    fields: frozenset[str] = frozenset()
    by_field: bool = False
    same: Mapping[str, Reference] = field(default_factory=dict)
    retrieved_from: Mapping[str, str] = field(default_factory=dict)
    hint: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Physical:
    """A law's demand for the physical thing.

    Attributes:
        law: name of the law or administrative regulation.
        article: its article.
        level: one of `LEVELS`.
        begin: first day on which it demands it.
        end: first day on which it no longer does; None: open.
        confirmed: the citation was checked for this use; False: the deployment has to confirm it.
        note: what to know about it, zh and en; may be empty.
    """

    law: str
    article: str
    level: str
    begin: date
    end: date | None = None
    confirmed: bool
    note: Mapping[str, str] = field(default_factory=dict)

    def holds(self, day: date) -> bool:
        """Whether it demands the physical thing on a day."""
        return self.begin <= day and (self.end is None or day < self.end)


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """A material as one matter needs it.

    Attributes:
        material: the material.
        physical: a law's demand for the physical one; None: no law demands it here.
    """

    material: Material
    physical: Physical | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FormField:
    """A field of the application form that verified fields fill.

    Attributes:
        key: its key; forms of joint matters share a key.
        names: zh and en.
        sources: verified fields, the first one shown fills it.
    """

    key: str
    names: Mapping[str, str]
    sources: tuple[Reference, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """An element of review: one condition, decided over verified fields where that is possible.

    Attributes:
        id: short name.
        names: the condition in words, zh and en.
        rule: how it is decided.
        left: the field.
        right: the field that it must equal.
        values: values that are good.
        years: for rules about age.
        basis: where the condition stands; empty: a deployment's to set.
    """

    id: str
    names: Mapping[str, str]
    rule: Rule
    left: Reference | None = None
    right: Reference | None = None
    values: frozenset[str] = frozenset()
    years: int = 0
    basis: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One matter of a joint matter, and the matters that must be done before it."""

    matter: str
    after: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Matter:
    """A service item, or several joined to one thing.

    Attributes:
        id: short name, the name of its file.
        names: zh and en.
        authority: who does it, zh and en; empty for a joint matter.
        applicant: `person` or `enterprise`.
        basis: laws that it stands on, by name and article.
        days: working days that are promised; 0: not said.
        result: what the applicant gets, zh and en; empty for a joint matter.
        note: what to know, zh and en.
        needs: its materials.
        form: fields of its form that can be filled from licenses.
        reviews: its elements of review.
        parts: of a joint matter.
        members: the matters of the parts, in the same order.
    """

    id: str
    names: Mapping[str, str]
    authority: Mapping[str, str] = field(default_factory=dict)
    applicant: str = "person"
    basis: tuple[str, ...] = ()
    days: int = 0
    result: Mapping[str, str] = field(default_factory=dict)
    note: Mapping[str, str] = field(default_factory=dict)
    needs: tuple[Need, ...] = ()
    form: tuple[FormField, ...] = ()
    reviews: tuple[Review, ...] = ()
    parts: tuple[Part, ...] = ()
    members: tuple[Matter, ...] = ()

    @property
    def single(self) -> tuple[Matter, ...]:
        """The matters that it is made of: itself, or its members."""
        return self.members or (self,)

    @property
    def materials(self) -> tuple[Material, ...]:
        """Its materials, each once, in the order in which they are first asked for."""
        found = {need.material.id: need.material for each in self.single for need in each.needs}
        return tuple(found.values())

    @property
    def types(self) -> tuple[str, ...]:
        """Codes of the license types that can cover something."""
        return tuple(dict.fromkeys(code for material in self.materials for code in material.types))


class Matters:
    """The matters that a deployment knows, by id."""

    def __init__(self, matters: Mapping[str, Matter], materials: Mapping[str, Material]) -> None:
        self._matters = MappingProxyType(dict(sorted(matters.items())))
        self.materials = MappingProxyType(dict(materials))

    @classmethod
    def builtin(cls, catalog: Catalog) -> Matters:
        """The matters that the package ships, as a start for a deployment's own."""
        return cls.load(catalog=catalog)

    @classmethod
    def load(cls, *directories: Path, catalog: Catalog, builtin: bool = True) -> Matters:
        """Reads matters from directories of TOML files; a later one replaces matters of the same id.

        Args:
            directories: each may hold a `materials.toml` and any number of matters.
            catalog: the license types that materials name.
            builtin: begins with the package's own.

        Raises:
            ConfigError: a file is wrong: its name, the line, and what is wrong.
        """
        from ewallet.verify import matter_files  # noqa: PLC0415 (it imports this module)

        own: tuple[Traversable, ...] = (resources.files("ewallet.verify") / "matters",) if builtin else ()
        files: dict[str, TomlFile] = {}
        materials: dict[str, Material] = {}
        described: dict[str, TomlFile] = {}
        for place in (*own, *directories):
            if not place.is_dir():
                raise ConfigError("not a directory of matters", file=str(place))
            for item in sorted(place.iterdir(), key=lambda found: found.name):
                if not item.name.endswith(".toml"):
                    continue
                file = matter_files.TomlFile(item)
                if item.name == matter_files.MATERIALS:
                    read = matter_files.read_materials(file, catalog)
                    materials |= read
                    described |= dict.fromkeys(read, file)
                else:
                    files[item.name] = file
        matter_files.check_matches(described, materials, catalog)
        matters = {
            file.name.removesuffix(".toml"): matter_files.read_matter(file, materials, catalog)
            for file in files.values()
        }
        joined = {key: _joined(each, matters, files[f"{key}.toml"]) for key, each in matters.items()}
        return cls(joined, materials)

    def __getitem__(self, name: str) -> Matter:
        """The matter of an id.

        Raises:
            NotFound: there is none.
        """
        found = self._matters.get(name)
        if found is None:
            raise NotFound(f"no matter {name[:60]!r}")
        return found

    def __iter__(self) -> Iterator[Matter]:
        return iter(self._matters.values())

    def __len__(self) -> int:
        return len(self._matters)


def _joined(matter: Matter, matters: Mapping[str, Matter], file: TomlFile) -> Matter:
    """A joint matter with its members; refuses unknown ones, and an order that never begins."""
    done: set[str] = set()
    members = []
    for place, part in enumerate(matter.parts):
        member, path = matters.get(part.matter), f"part.{place}"
        if member is None or member.parts:
            raise file.wrong(f"no single matter '{part.matter}'", f"{path}.matter")
        if part.matter in done:
            raise file.wrong(f"the matter '{part.matter}' stands here twice", f"{path}.matter")
        for before in part.after:
            if before not in done:
                raise file.wrong(f"'{before}' does not stand before this part", f"{path}.after")
        done.add(part.matter)
        members.append(member)
    return replace(matter, members=tuple(members))
