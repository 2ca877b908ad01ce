"""Catalog: what types of license exist, as TOML that a domain expert reads and writes.

One file for each type (`catalog/*.toml`) and one for lists of codes (`codes.toml`). A deployment adds a
directory of its own. A wrong file is refused with file, line and what is wrong with it.
"""

from __future__ import annotations

import re
import tomllib
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

from ewallet.errors import ConfigError, NotFound
from ewallet.licenses.license_type import (
    ALWAYS_DISCLOSABLE,
    EVENTS,
    HOLDER_KINDS,
    MASKS,
    MAX_IMAGE,
    MAX_TEXT,
    RESERVED,
    Field,
    FieldType,
    HolderSource,
    LicenseType,
    Match,
    PrintedForm,
    Validity,
)
from ewallet.licenses.numbers import PARTS, PERSONAL, VALIDATORS, identifier

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from importlib.resources.abc import Traversable
    from pathlib import Path

__all__ = [
    "ALWAYS_DISCLOSABLE",
    "MAX_IMAGE",
    "MAX_TEXT",
    "Catalog",
    "Field",
    "FieldType",
    "HolderSource",
    "LicenseType",
    "Match",
    "PrintedForm",
    "Validity",
]


class Catalog:
    """All types that an authority, a printer or a counter knows."""

    __slots__ = ("_by_code", "_by_key", "codes")

    def __init__(
        self, types: Iterable[LicenseType], codes: Mapping[str, Mapping[str, tuple[str, str]]]
    ) -> None:
        self._by_key = {item.key: item for item in types}
        self._by_code = {item.code: item for item in self._by_key.values()}
        for item in self._by_key.values():
            if item.shanghai:
                self._by_code.setdefault(item.shanghai, item)
        self.codes = codes

    @classmethod
    def builtin(cls) -> Catalog:
        """The types that come with this package."""
        return cls._read((resources.files("ewallet.licenses") / "catalog",))

    @classmethod
    def load(cls, *directories: Path, builtin: bool = True) -> Catalog:
        """The built-in types and those of further directories; a later file of one name replaces the earlier.

        Raises:
            ConfigError: a file is wrong: its name, the line, and what is wrong.
        """
        places: list[Traversable] = [resources.files("ewallet.licenses") / "catalog"] if builtin else []
        for directory in directories:
            if not directory.is_dir():
                raise ConfigError("not a directory", file=str(directory))
            places.append(directory)
        return cls._read(tuple(places))

    @classmethod
    def _read(cls, places: tuple[Traversable, ...]) -> Catalog:
        codes: dict[str, Mapping[str, tuple[str, str]]] = {}
        files: dict[str, Traversable] = {}
        for place in places:
            for item in sorted(place.iterdir(), key=lambda found: found.name):
                if item.name == "codes.toml":
                    codes |= _Reader(item).codes()
                elif item.name.endswith(".toml"):
                    files[item.name] = item
        readers = {name: _Reader(item) for name, item in files.items()}
        types = {name: reader.license_type(codes) for name, reader in readers.items()}
        _check_together(readers, types)
        return cls(types.values(), codes)

    def __getitem__(self, name: str) -> LicenseType:
        """The type of a short name or code.

        Raises:
            NotFound: the catalog has none.
        """
        found = self._by_key.get(name) or self._by_code.get(name)
        if found is None:
            raise NotFound("the catalog has no such type")
        return found

    def get(self, name: str) -> LicenseType | None:
        """The type of a short name or code; None: the catalog has none."""
        return self._by_key.get(name) or self._by_code.get(name)

    def __iter__(self) -> Iterator[LicenseType]:
        return iter(self._by_key.values())

    def __len__(self) -> int:
        return len(self._by_key)


def _check_together(readers: Mapping[str, _Reader], types: Mapping[str, LicenseType]) -> None:
    by_key = {item.key: item for item in types.values()}
    seen: dict[str, str] = {}
    for name, item in types.items():
        reader = readers[name]
        if item.code in seen:
            raise reader.wrong(f"the code stands in {seen[item.code]} too", "code")
        seen[item.code] = name
        for position, match in enumerate(item.matches):
            other = by_key.get(match.type_key)
            path = f"match.{position}"
            if other is None:
                raise reader.wrong(f"no type {match.type_key!r}", f"{path}.type")
            for there in match.fields.values():
                if there not in other.by_key:
                    raise reader.wrong(f"{match.type_key} has no field {there!r}", f"{path}.fields")


# --- Reading TOML -----------------------------------------------------------------------------------------

_HEADER: Final = re.compile(r"\s*(\[\[?)\s*([A-Za-z0-9_.-]+)\s*\]\]?\s*(?:#.*)?")
_KEY: Final = re.compile(r"\s*([A-Za-z0-9_-]+)\s*=")
_FIELD_KEYS: Final = frozenset(
    {
        "key",
        "zh",
        "en",
        "type",
        "required",
        "face",
        "seal",
        "mask",
        "sensitive",
        "columns",
        "rule",
        "pattern",
        "codes",
        "contains",
        "max_length",
    }
)
_TOP_KEYS: Final = frozenset(
    {
        "code",
        "shanghai",
        "version",
        "zh",
        "en",
        "authority",
        "assumed_code",
        "number",
        "serial",
        "several",
        "four_eyes",
        "comprehensive",
        "holder",
        "validity",
        "match",
        "print",
        "field",
    }
)
_KEY_FORM: Final = re.compile(r"[a-z][a-z0-9_]{0,39}", re.ASCII)


class _Reader:
    """One TOML file, with the line of each key for messages."""

    def __init__(self, item: Traversable) -> None:
        self.name = item.name
        self.file = str(item)
        try:
            text = item.read_text(encoding="utf-8")
            self.data: dict[str, Any] = tomllib.loads(text)
        except UnicodeDecodeError as error:
            raise ConfigError("not UTF-8", file=self.file) from error
        except tomllib.TOMLDecodeError as error:
            found = re.search(r"line (\d+)", str(error))
            raise ConfigError(
                f"not TOML: {error}", file=self.file, line=int(found[1]) if found else None
            ) from error
        self.lines = _lines_of(text)

    def wrong(self, problem: str, path: str = "") -> ConfigError:
        """The error at a place: `code`, `field.3.type`, `validity.until`."""
        while path and path not in self.lines:
            path = path.rpartition(".")[0]
        return ConfigError(problem, file=self.file, line=self.lines.get(path, 1))

    def take(self, table: Mapping[str, Any], key: str, kind: type, path: str, default: Any = None) -> Any:
        value = table.get(key, default)
        if value is None:
            raise self.wrong(f"'{key}' is missing", path)
        if type(value) is not kind or (kind is str and key in table and not value):
            raise self.wrong(f"'{key}' must be {_KINDS[kind]}", f"{path}.{key}".lstrip("."))
        return value

    def only(self, table: Mapping[str, Any], allowed: Iterable[str], path: str) -> None:
        for key in table:
            if key not in allowed:
                raise self.wrong(f"unknown key '{key}'", f"{path}.{key}".lstrip("."))

    def texts(self, table: Mapping[str, Any], key: str, path: str) -> tuple[str, ...]:
        value = self.take(table, key, list, path, [])
        if not all(type(item) is str and item for item in value):
            raise self.wrong(f"'{key}' must be a list of texts", f"{path}.{key}".lstrip("."))
        return tuple(value)

    def codes(self) -> dict[str, dict[str, tuple[str, str]]]:
        """Lists of codes: `[name]`, then `code = ["zh", "en"]`."""
        lists: dict[str, dict[str, tuple[str, str]]] = {}
        for name, table in self.data.items():
            if not isinstance(table, dict):
                raise self.wrong("a list of codes is a table", name)
            lists[name] = {}
            for code, labels in table.items():
                if (
                    not isinstance(labels, list)
                    or len(labels) != 2
                    or not all(type(item) is str and item for item in labels)
                ):
                    raise self.wrong(f"code '{code}' needs two labels, zh and en", f"{name}.{code}")
                lists[name][code] = (labels[0], labels[1])
        return lists

    def license_type(self, codes: Mapping[str, Mapping[str, tuple[str, str]]]) -> LicenseType:
        """The type that the file describes."""
        data = self.data
        self.only(data, _TOP_KEYS, "")
        fields = self._fields(codes)
        keys = {spec.key: spec for spec in fields}
        code = self.take(data, "code", str, "")
        if not identifier.is_type_code(code):
            raise self.wrong("not a type code: a valid USCC and 3 digits, or 15 digits", "code")
        number = self.take(data, "number", str, "")
        if number not in keys:
            raise self.wrong(f"no field '{number}'", "number")
        serial = self._serial(keys[number])
        return LicenseType(
            key=self.name.removesuffix(".toml"),
            code=code,
            shanghai=self._shanghai(),
            version=self._version(),
            zh=self.take(data, "zh", str, ""),
            en=self.take(data, "en", str, ""),
            authority=self.take(data, "authority", str, ""),
            assumed_code=self.take(data, "assumed_code", bool, "", default=False),
            fields=fields,
            number=number,
            serial=serial,
            holders=self._holders(keys),
            several=self.take(data, "several", bool, "", default=False),
            validity=self._validity(keys),
            matches=self._matches(keys),
            four_eyes=self._four_eyes(),
            printed=self._printed(),
            comprehensive=self.take(data, "comprehensive", bool, "", default=False),
        )

    def _version(self) -> int:
        version: int = self.take(self.data, "version", int, "")
        if not 1 <= version <= 999:
            raise self.wrong("a version is 1 to 999", "version")
        return version

    def _shanghai(self) -> str:
        code: str = self.take(self.data, "shanghai", str, "", "")
        if code and re.fullmatch(r"[0-9]{15}", code) is None:
            raise self.wrong("Shanghai's codes have 15 digits", "shanghai")
        return code

    def _serial(self, number: Field) -> str:
        serial: str = self.take(self.data, "serial", str, "")
        if serial not in ("number", "random"):
            raise self.wrong("'serial' is 'number' or 'random'", "serial")
        if serial == "number" and (number.rule in PERSONAL or number.sensitive):
            raise self.wrong(
                "the number contains a person's number: the identifier needs serial = 'random'", "serial"
            )
        return serial

    def _four_eyes(self) -> frozenset[str]:
        events = self.texts(self.data, "four_eyes", "")
        for event in events:
            if event not in EVENTS:
                raise self.wrong(f"no event '{event}' that an officer decides", "four_eyes")
        return frozenset(events)

    def _fields(self, codes: Mapping[str, Mapping[str, tuple[str, str]]]) -> tuple[Field, ...]:
        tables = self.take(self.data, "field", list, "")
        fields = tuple(self._field(table, f"field.{n}", codes) for n, table in enumerate(tables))
        seen: set[str] = set()
        columns: set[str] = set()
        for position, spec in enumerate(fields):
            path = f"field.{position}"
            if spec.key in seen:
                raise self.wrong(f"field '{spec.key}' stands here twice", f"{path}.key")
            seen.add(spec.key)
            for column in spec.columns:
                if column in columns:
                    raise self.wrong(f"column '{column}' belongs to two fields", f"{path}.columns")
                columns.add(column)
        if not any(spec.seal for spec in fields):
            raise self.wrong("no field is critical for the seal", "field")
        if sum(spec.seal for spec in fields) > 6:
            raise self.wrong("more than 6 fields are critical: the seal would not fit", "field")
        return fields

    def _field(self, table: Any, path: str, codes: Mapping[str, Mapping[str, tuple[str, str]]]) -> Field:
        if not isinstance(table, dict):
            raise self.wrong("a field is a table", path)
        self.only(table, _FIELD_KEYS, path)
        key = self.take(table, "key", str, path)
        if _KEY_FORM.fullmatch(key) is None:
            raise self.wrong("a key has lower-case letters, digits and _", f"{path}.key")
        if key in RESERVED or key.startswith("holder_"):
            raise self.wrong(f"'{key}' is the name of a claim of every credential", f"{path}.key")
        try:
            kind = FieldType(self.take(table, "type", str, path, "text"))
        except ValueError:
            raise self.wrong(f"'type' is one of {', '.join(FieldType)}", f"{path}.type") from None
        rule = self.take(table, "rule", str, path, "")
        if rule and rule not in VALIDATORS:
            raise self.wrong(f"'rule' is one of {', '.join(VALIDATORS)}", f"{path}.rule")
        if (kind is FieldType.NUMBER) != bool(rule):
            raise self.wrong("a field of type 'number' has a rule, others have none", f"{path}.type")
        zh = self.take(table, "zh", str, path)
        seal = self.take(table, "seal", bool, path, default=False)
        sensitive = self.take(table, "sensitive", bool, path, default=False) or rule in PERSONAL
        mask = self.take(table, "mask", str, path, "")
        if mask not in MASKS:
            raise self.wrong(f"'mask' is one of {', '.join(filter(None, MASKS))}", f"{path}.mask")
        if seal and sensitive and not mask:
            raise self.wrong("a sensitive field in the seal needs a mask", f"{path}.mask")
        face = self.take(table, "face", bool, path, default=True)
        if seal and not face:
            raise self.wrong("what is in the seal is on the face", f"{path}.seal")
        return Field(
            key=key,
            zh=zh,
            en=self.take(table, "en", str, path),
            type=kind,
            required=self.take(table, "required", bool, path, default=False),
            face=face,
            seal=seal,
            mask=mask,
            sensitive=sensitive,
            columns=(zh, *self.texts(table, "columns", path)),
            rule=rule,
            pattern=self._pattern(table, path),
            codes=self._code_list(table, path, kind, codes),
            contains=self._contains(table, path, rule),
            max_length=self.take(table, "max_length", int, path, MAX_TEXT),
            check=VALIDATORS.get(rule),
        )

    def _pattern(self, table: Mapping[str, Any], path: str) -> str:
        pattern: str = self.take(table, "pattern", str, path, "")
        try:
            re.compile(pattern)
        except re.error as error:
            raise self.wrong(f"not a regular expression: {error}", f"{path}.pattern") from None
        return pattern

    def _contains(self, table: Mapping[str, Any], path: str, rule: str) -> Mapping[str, str]:
        contains: dict[str, str] = self.take(table, "contains", dict, path, {})
        keys = {item.get("key") for item in self.data["field"] if isinstance(item, dict)}
        for part, other in contains.items():
            if part not in PARTS.get(rule, {}):
                raise self.wrong(f"a number of this rule has no part '{part}'", f"{path}.contains")
            if other not in keys:
                raise self.wrong(f"no field '{other}'", f"{path}.contains")
        return contains

    def _code_list(
        self,
        table: Mapping[str, Any],
        path: str,
        kind: FieldType,
        codes: Mapping[str, Mapping[str, tuple[str, str]]],
    ) -> Mapping[str, tuple[str, str]]:
        name = self.take(table, "codes", str, path, "")
        if (kind is FieldType.CODE) != bool(name):
            raise self.wrong(
                "a field of type 'code' names its list in 'codes', others do not", f"{path}.codes"
            )
        if name and name not in codes:
            raise self.wrong(f"no list of codes '{name}'", f"{path}.codes")
        return codes[name] if name else {}

    def _holders(self, keys: Mapping[str, Field]) -> tuple[HolderSource, ...]:
        tables = self.take(self.data, "holder", list, "")
        holders = []
        for position, table in enumerate(tables):
            path = f"holder.{position}"
            self.only(table, {"name", "code", "kind", "optional"}, path)
            source = HolderSource(
                name=self.take(table, "name", str, path),
                code=self.take(table, "code", str, path, ""),
                kinds=tuple(self.take(table, "kind", str, path).split("/")),
                optional=self.take(table, "optional", bool, path, default=False),
            )
            if not HOLDER_KINDS.issuperset(source.kinds):
                raise self.wrong("not a holder code type of GB/T 36903", f"{path}.kind")
            for part in (source.name, source.code):
                if part and part not in keys:
                    raise self.wrong(f"no field '{part}'", path)
            if not source.optional and not keys[source.name].required:
                raise self.wrong(f"field '{source.name}' names the holder: it must be required", path)
            holders.append(source)
        return tuple(holders)

    def _validity(self, keys: Mapping[str, Field]) -> Validity:
        table = self.take(self.data, "validity", dict, "")
        path = "validity"
        names = {"issued", "start", "until", "long_term", "max_years", "reviews_every", "review"}
        self.only(table, names, path)
        rule = Validity(
            issued=self.take(table, "issued", str, path),
            start=self.take(table, "start", str, path, ""),
            until=self.take(table, "until", str, path, ""),
            long_term=self.take(table, "long_term", bool, path, default=False),
            max_years=self.take(table, "max_years", int, path, 0),
            reviews_every=self.take(table, "reviews_every", int, path, 0),
            review=self.take(table, "review", str, path, ""),
        )
        for name, kind in (("issued", FieldType.DATE), ("start", FieldType.DATE), ("until", FieldType.END)):
            key = getattr(rule, name)
            if not key:
                continue
            if key not in keys:
                raise self.wrong(f"no field '{key}'", f"{path}.{name}")
            if keys[key].type is not kind:
                raise self.wrong(f"field '{key}' must have type '{kind}'", f"{path}.{name}")
        if not keys[rule.issued].required:
            raise self.wrong(
                f"field '{rule.issued}' is the day of issue: it must be required", f"{path}.issued"
            )
        return rule

    def _matches(self, keys: Mapping[str, Field]) -> tuple[Match, ...]:
        matches = []
        for position, table in enumerate(self.take(self.data, "match", list, "", [])):
            path = f"match.{position}"
            self.only(table, {"type", "fields"}, path)
            fields = self.take(table, "fields", dict, path)
            for here in fields:
                if here not in keys:
                    raise self.wrong(f"no field '{here}'", f"{path}.fields")
            matches.append(Match(type_key=self.take(table, "type", str, path), fields=dict(fields)))
        return tuple(matches)

    def _printed(self) -> PrintedForm:
        table = self.take(self.data, "print", dict, "")
        self.only(table, {"template", "original", "duplicate", "copies"}, "print")
        sizes = {}
        for role in ("original", "duplicate"):
            size = table.get(role)
            if size is None:
                continue
            if (
                not isinstance(size, list)
                or len(size) != 2
                or not all(type(side) in (int, float) and side > 0 for side in size)
            ):
                raise self.wrong(f"'{role}' is width and height in mm", f"print.{role}")
            sizes[role] = (float(size[0]), float(size[1]))
        if "original" not in sizes:
            raise self.wrong("'original' is missing", "print")
        return PrintedForm(
            template=self.take(table, "template", str, "print"),
            sizes=sizes,
            copies=self.take(table, "copies", int, "print", 1),
        )


_KINDS: Final = {str: "a text", int: "a whole number", bool: "true or false", list: "a list", dict: "a table"}


def _lines_of(text: str) -> dict[str, int]:
    """Path of each key -> its line. Enough for the flat files of a catalog; not a second TOML parser."""
    lines: dict[str, int] = {}
    counts: dict[str, int] = {}
    prefix = ""
    for number, line in enumerate(text.splitlines(), 1):
        header = _HEADER.fullmatch(line)
        if header is not None:
            prefix = header[2]
            if header[1] == "[[":
                position = counts.get(prefix, -1) + 1
                counts[prefix] = position
                lines.setdefault(prefix, number)
                prefix = f"{prefix}.{position}"
            lines.setdefault(prefix, number)
        elif (key := _KEY.match(line)) is not None:
            lines.setdefault(f"{prefix}.{key[1]}".lstrip("."), number)
    return lines
