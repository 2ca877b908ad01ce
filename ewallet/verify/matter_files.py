"""Reading matters: TOML that a domain expert writes, refused with file, line and reason where it is wrong."""

from __future__ import annotations

import re
import tomllib
from datetime import date
from typing import TYPE_CHECKING, Any, Final

from ewallet.errors import ConfigError
from ewallet.verify.matters import (
    LEVELS,
    RULES,
    FormField,
    Material,
    Matter,
    Need,
    Part,
    Physical,
    Reference,
    Review,
    Rule,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from importlib.resources.abc import Traversable
    from pathlib import Path

    from ewallet.licenses.catalog import Catalog

MATERIALS: Final = "materials.toml"
"""The file of a directory that describes materials; every other file is one matter."""

MAX_FILE: Final = 256 * 1024
"""Bytes: fifty times a long matter."""

_ID: Final = re.compile(r"[a-z][a-z0-9-]{0,59}")
_HEADER: Final = re.compile(r"\s*(\[\[?)\s*([A-Za-z0-9_.-]+)\s*\]\]?\s*(?:#.*)?")
_KEY: Final = re.compile(r"\s*([A-Za-z0-9_-]+)\s*=")
_MATERIAL: Final = frozenset(
    (
        "id",
        "zh",
        "en",
        "types",
        "fields",
        "same",
        "covers",
        "authority_zh",
        "authority_en",
        "hint_zh",
        "hint_en",
    )
)
_MATTER: Final = frozenset(
    ("format", "zh", "en", "authority_zh", "authority_en", "applicant", "basis", "days", "result_zh")
) | frozenset(("result_en", "note_zh", "note_en", "material", "form", "review", "part"))
_PHYSICAL: Final = frozenset(("law", "article", "level", "from", "until", "confirmed", "note_zh", "note_en"))
_REVIEW: Final = frozenset(("id", "zh", "en", "rule", "left", "right", "values", "years", "basis"))
_KINDS: Final = {
    str: "a text",
    int: "a number",
    bool: "true or false",
    list: "a list",
    dict: "a table",
    date: "a date",
}


class TomlFile:
    """One file with the line of each key, for messages."""

    def __init__(self, item: Traversable | Path) -> None:
        self.name = item.name
        self.file = str(item)
        try:
            data = item.read_bytes()
            if len(data) > MAX_FILE:
                raise ConfigError("larger than any matter", file=self.file)
            text = data.decode("utf-8")
            self.data: dict[str, Any] = tomllib.loads(text)
        except OSError as error:
            raise ConfigError(error.strerror or "cannot be read", file=self.file) from error
        except UnicodeDecodeError as error:
            raise ConfigError("not UTF-8", file=self.file) from error
        except tomllib.TOMLDecodeError as error:
            found = re.search(r"line (\d+)", str(error))
            line = int(found[1]) if found else None
            raise ConfigError(f"not TOML: {error}", file=self.file, line=line) from error
        self.lines = _lines_of(text)

    def wrong(self, problem: str, path: str = "") -> ConfigError:
        """The error at a place such as `material.3.physical.law`."""
        while path and path not in self.lines:
            path = path.rpartition(".")[0]
        return ConfigError(problem, file=self.file, line=self.lines.get(path, 1))

    def only(self, table: Mapping[str, Any], allowed: Iterable[str], path: str = "") -> None:
        """Refuses a key that is not understood: a rule with a slip in its name is no rule."""
        for key in table:
            if key not in allowed:
                raise self.wrong(f"unknown key '{key}'", f"{path}.{key}".lstrip("."))

    def take(
        self, table: Mapping[str, Any], key: str, kind: type, path: str = "", default: Any = None
    ) -> Any:
        """A value of one kind; `default` where it is absent, an error where that is None."""
        value = table.get(key, default)
        if value is None:
            raise self.wrong(f"'{key}' is missing", path)
        if type(value) is not kind or (kind is str and key in table and not value):
            raise self.wrong(f"'{key}' must be {_KINDS[kind]}", f"{path}.{key}".lstrip("."))
        return value

    def texts(self, table: Mapping[str, Any], key: str, path: str) -> tuple[str, ...]:
        """A list of texts, each once."""
        value = self.take(table, key, list, path, [])
        if not all(type(item) is str and item for item in value) or len(set(value)) != len(value):
            raise self.wrong(f"'{key}' must be a list of different texts", f"{path}.{key}")
        return tuple(value)

    def tables(self, key: str) -> list[tuple[str, Mapping[str, Any]]]:
        """The entries of an array of tables with their paths."""
        value = self.take(self.data, key, list, "", [])
        if not all(isinstance(item, dict) for item in value):
            raise self.wrong(f"[[{key}]] is an array of tables", key)
        return [(f"{key}.{place}", item) for place, item in enumerate(value)]

    def names(self, table: Mapping[str, Any], path: str = "") -> Mapping[str, str]:
        """The names zh and en."""
        return {lang: self.take(table, lang, str, path) for lang in ("zh", "en")}

    def optional_names(self, table: Mapping[str, Any], stem: str, path: str = "") -> Mapping[str, str]:
        """`<stem>_zh` and `<stem>_en`: both or none."""
        if f"{stem}_zh" not in table and f"{stem}_en" not in table:
            return {}
        return {lang: self.take(table, f"{stem}_{lang}", str, path) for lang in ("zh", "en")}


def _lines_of(text: str) -> dict[str, int]:
    """Path of each key to its line; enough for these flat files, not a second TOML parser."""
    lines: dict[str, int] = {}
    counts: dict[str, int] = {}
    prefix = ""
    for number, line in enumerate(text.splitlines(), 1):
        header = _HEADER.fullmatch(line)
        if header is not None:
            head, *rest = header[2].split(".")
            if header[1] == "[[":
                counts[head] = counts.get(head, -1) + 1
            place = [head, str(counts[head])] if head in counts else [head]
            prefix = ".".join([*place, *rest])
            lines.setdefault(prefix, number)
        elif (key := _KEY.match(line)) is not None:
            lines.setdefault(f"{prefix}.{key[1]}".lstrip("."), number)
    return lines


def read_materials(file: TomlFile, catalog: Catalog) -> dict[str, Material]:
    """The materials of a `materials.toml`.

    Raises:
        ConfigError: a wrong entry: file, line, reason.
    """
    file.only(file.data, ("format", "material"))
    _format(file)
    found: dict[str, Material] = {}
    for path, table in file.tables("material"):
        material = _material(file, path, table, catalog)
        if material.id in found:
            raise file.wrong(f"the material '{material.id}' stands here twice", f"{path}.id")
        found[material.id] = material
    return found


def check_matches(files: Mapping[str, TomlFile], materials: Mapping[str, Material], catalog: Catalog) -> None:
    """Whether `same` of each material names a field that another material can show."""
    for material in materials.values():
        for reference in material.same.values():
            file = files[material.id]
            path = f"{_path_of(file, material.id)}.same"
            if not _shown_by(materials.get(reference.material), reference.field, catalog):
                raise file.wrong(f"no material shows '{reference}'", path)


def _path_of(file: TomlFile, material: str) -> str:
    for path, table in file.tables("material"):
        if table.get("id") == material:
            return path
    return ""


def _shown_by(material: Material | None, field: str, catalog: Catalog) -> bool:
    return material is not None and any(field in catalog[code].by_key for code in material.types)


def _material(file: TomlFile, path: str, table: Mapping[str, Any], catalog: Catalog) -> Material:
    file.only(table, _MATERIAL, path)
    types = []
    for name in file.texts(table, "types", path):
        found = catalog.get(name)
        if found is None:
            raise file.wrong(f"the catalog has no type '{name}'", f"{path}.types")
        types.append(found.code)
    fields = file.texts(table, "fields", path)
    for code in types:
        for field in fields:
            if field not in catalog[code].by_key:
                raise file.wrong(f"{catalog[code].key} has no field '{field}'", f"{path}.fields")
    if types and not fields:
        raise file.wrong("an e-license covers by fields: name those that must be shown", path)
    covers = file.take(table, "covers", str, path, "license")
    if covers not in ("license", "field"):
        raise file.wrong("'covers' is license or field", f"{path}.covers")
    same = file.take(table, "same", dict, path, {})
    return Material(
        id=_id(file, table, path),
        names=file.names(table, path),
        types=tuple(types),
        fields=frozenset(fields),
        by_field=covers == "field",
        same={key: _reference(file, value, f"{path}.same") for key, value in same.items()},
        retrieved_from=file.optional_names(table, "authority", path),
        hint=file.optional_names(table, "hint", path),
    )


def _id(file: TomlFile, table: Mapping[str, Any], path: str) -> str:
    found: str = file.take(table, "id", str, path)
    if _ID.fullmatch(found) is None:
        raise file.wrong("an id is lower-case words joined by hyphens", f"{path}.id")
    return found


def _format(file: TomlFile) -> None:
    if file.take(file.data, "format", int) != 1:
        raise file.wrong("unknown format", "format")


def _reference(file: TomlFile, value: object, path: str) -> Reference:
    material, dot, field = value.partition(".") if isinstance(value, str) else ("", "", "")
    if not (material and dot and field):
        raise file.wrong("a field is named as material.field", path)
    return Reference(material=material, field=field)


def read_matter(file: TomlFile, materials: Mapping[str, Material], catalog: Catalog) -> Matter:
    """One matter.

    Raises:
        ConfigError: a wrong entry: file, line, reason.
    """
    data = file.data
    file.only(data, _MATTER)
    _format(file)
    names = file.names(data)
    parts = tuple(_part(file, path, table) for path, table in file.tables("part"))
    if parts:
        file.only(data, ("format", "zh", "en", "part", "note_zh", "note_en", "basis"))
    needs = tuple(_need(file, path, table, materials) for path, table in file.tables("material"))
    if not needs and not parts:
        raise file.wrong("a matter has materials, or parts")
    for place, need in enumerate(needs):
        if need.material in [each.material for each in needs[:place]]:
            raise file.wrong(f"'{need.material.id}' stands here twice", f"material.{place}.id")
    applicant = file.take(data, "applicant", str, default="person")
    if applicant not in ("person", "enterprise"):
        raise file.wrong("'applicant' is person or enterprise", "applicant")
    known = {need.material.id: need.material for need in needs}
    return Matter(
        id=_name_of(file),
        names=names,
        authority={} if parts else _both(file, data, "authority"),
        applicant=applicant,
        basis=file.texts(data, "basis", ""),
        days=file.take(data, "days", int, default=0),
        result={} if parts else _both(file, data, "result"),
        note=file.optional_names(data, "note"),
        needs=needs,
        form=tuple(_form(file, path, table, known, catalog) for path, table in file.tables("form")),
        reviews=tuple(_review(file, path, table, known, catalog) for path, table in file.tables("review")),
        parts=parts,
    )


def _name_of(file: TomlFile) -> str:
    name = file.name.removesuffix(".toml")
    if _ID.fullmatch(name) is None:
        raise file.wrong("a file of a matter is named by its id")
    return name


def _both(file: TomlFile, table: Mapping[str, Any], stem: str) -> Mapping[str, str]:
    return {lang: file.take(table, f"{stem}_{lang}", str) for lang in ("zh", "en")}


def _part(file: TomlFile, path: str, table: Mapping[str, Any]) -> Part:
    file.only(table, ("matter", "after"), path)
    return Part(matter=file.take(table, "matter", str, path), after=file.texts(table, "after", path))


def _need(file: TomlFile, path: str, table: Mapping[str, Any], materials: Mapping[str, Material]) -> Need:
    file.only(table, ("id", "physical"), path)
    found = materials.get(file.take(table, "id", str, path))
    if found is None:
        raise file.wrong(f"{MATERIALS} has no material '{table['id']}'", f"{path}.id")
    physical = None
    if "physical" in table:
        physical = _physical(file, f"{path}.physical", file.take(table, "physical", dict, path))
    return Need(material=found, physical=physical)


def _physical(file: TomlFile, path: str, table: Mapping[str, Any]) -> Physical:
    """A demand for the physical thing: without a law behind it there is none."""
    file.only(table, _PHYSICAL, path)
    level = file.take(table, "level", str, path)
    if level not in LEVELS:
        raise file.wrong(
            "only a law or an administrative regulation can demand the physical one", f"{path}.level"
        )
    begin = file.take(table, "from", date, path)
    end = file.take(table, "until", date, path) if "until" in table else None
    if end is not None and end <= begin:
        raise file.wrong("'until' is not after 'from'", f"{path}.until")
    return Physical(
        law=file.take(table, "law", str, path),
        article=file.take(table, "article", str, path),
        level=level,
        begin=begin,
        end=end,
        confirmed=file.take(table, "confirmed", bool, path),
        note=file.optional_names(table, "note", path),
    )


def _form(
    file: TomlFile, path: str, table: Mapping[str, Any], known: Mapping[str, Material], catalog: Catalog
) -> FormField:
    file.only(table, ("key", "zh", "en", "from"), path)
    sources = tuple(
        _known_reference(file, value, f"{path}.from", known, catalog)
        for value in file.texts(table, "from", path)
    )
    if not sources:
        raise file.wrong("'from' names the fields that fill this one", path)
    return FormField(key=file.take(table, "key", str, path), names=file.names(table, path), sources=sources)


def _known_reference(
    file: TomlFile, value: object, path: str, known: Mapping[str, Material], catalog: Catalog
) -> Reference:
    reference = _reference(file, value, path)
    if not _shown_by(known.get(reference.material), reference.field, catalog):
        raise file.wrong(f"no material of this matter shows '{reference}'", path)
    return reference


def _review(
    file: TomlFile, path: str, table: Mapping[str, Any], known: Mapping[str, Material], catalog: Catalog
) -> Review:
    file.only(table, _REVIEW, path)
    rule = file.take(table, "rule", str, path)
    if rule not in RULES:
        raise file.wrong(f"no rule '{rule}'; there are {', '.join(RULES)}", f"{path}.rule")
    wants = RULES[Rule(rule)]
    for key in ("left", "right", "values", "years"):
        if (key in table) != (key in wants):
            problem = "needs" if key in wants else "takes no"
            raise file.wrong(f"the rule {rule} {problem} '{key}'", path)

    def field(key: str) -> Reference | None:
        if key not in table:
            return None
        return _known_reference(file, table[key], f"{path}.{key}", known, catalog)

    return Review(
        id=_id(file, table, path),
        names=file.names(table, path),
        rule=Rule(rule),
        left=field("left"),
        right=field("right"),
        values=frozenset(file.texts(table, "values", path)),
        years=file.take(table, "years", int, path, 0),
        basis=file.take(table, "basis", str, path, ""),
    )
