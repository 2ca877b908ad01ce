"""Intake: an agency's export becomes checked records; the one place where values are put into exact form.

Exports are CSV with Chinese headers, in UTF-8 (with or without a byte order mark) or GB18030, or JSON Lines.
Dates come in the forms that people write. Each row is checked alone: a bad one is reported with its row,
column and reason, and stops nothing else.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import csv
import json
import re
import unicodedata
from dataclasses import dataclass, field
from datetime import date
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from ewallet.errors import ConfigError, RecordError
from ewallet.licenses.catalog import MAX_IMAGE, Catalog, Field, FieldType, LicenseType
from ewallet.licenses.license import LONG_TERM

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path
    from typing import TextIO


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row that is ready to be issued.

    Attributes:
        row: its place in the file, counted from 1, the header being row 1 of a CSV.
        record: field key -> value in exact form.
        images: content of image fields, by key.
        other: text of the columns that the type does not know, by header (a paper number, a remark).
    """

    row: int
    record: dict[str, str]
    images: dict[str, bytes] = field(default_factory=dict)
    other: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject:
    """A row that cannot be issued.

    Attributes:
        row: its place in the file.
        column: header of the column at fault; empty for the row as a whole.
        reason: what is wrong, without the value.
    """

    row: int
    column: str
    reason: str


def read_export(path: Path, type_: str | LicenseType, catalog: Catalog) -> tuple[list[Row], list[Reject]]:
    """Reads a whole export.

    Args:
        path: CSV, or JSON Lines where the name ends in `.jsonl`.
        type_: the type, or its short name or code.
        catalog: where the type is looked up.

    Returns:
        The rows that can be issued and those that cannot, each in the order of the file.

    Raises:
        ConfigError: the file as a whole cannot be read: neither UTF-8 nor GB18030, no header, a required
            column is missing.
    """
    rows: list[Row] = []
    rejects: list[Reject] = []
    for item in iter_export(path, type_, catalog):
        if isinstance(item, Row):
            rows.append(item)
        else:
            rejects.append(item)
    return rows, rejects


def iter_export(
    path: Path,
    type_: str | LicenseType,
    catalog: Catalog,
    *,
    wanted: Callable[[int], bool] = lambda _: True,
) -> Iterator[Row | Reject]:
    """The rows of an export, one at a time; arguments and errors as `read_export`.

    `wanted` is asked with each row's number before the row is looked at: processes share a file by it.
    """
    license_type = type_ if isinstance(type_, LicenseType) else catalog[type_]
    encoding = detect_encoding(path)
    with path.open(encoding=encoding, newline="") as stream:
        if path.name.endswith(".jsonl"):
            yield from _json_rows(stream, license_type, wanted)
        else:
            yield from _csv_rows(stream, license_type, str(path), wanted)


def detect_encoding(path: Path) -> str:
    """`utf-8-sig` if the file is UTF-8 throughout, else `gb18030`.

    Text in GB18030 is almost never UTF-8 by chance: one wrong byte in the whole file decides.

    Raises:
        ConfigError: it is neither.
    """
    for encoding in ("utf-8-sig", "gb18030"):
        decoder = codecs.getincrementaldecoder(encoding)()
        try:
            with path.open("rb") as stream:
                while chunk := stream.read(1 << 20):
                    decoder.decode(chunk)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            continue
        return encoding
    raise ConfigError("neither UTF-8 nor GB18030", file=str(path))


def _csv_rows(
    stream: TextIO, type_: LicenseType, file: str, wanted: Callable[[int], bool]
) -> Iterator[Row | Reject]:
    reader = csv.reader(stream)
    try:
        header = next(reader)
    except (StopIteration, csv.Error) as error:
        raise ConfigError("no header", file=file, line=1) from error
    columns = _columns(header, type_, file)
    known = {at for at, _ in columns}
    others = [(at, name.strip()) for at, name in enumerate(header) if at not in known]
    number = 1
    while True:
        number += 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if wanted(number):
                yield Reject(row=number, column="", reason=f"not a row of CSV: {error}")
            continue
        if not wanted(number):
            continue
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) > len(header):
            yield Reject(row=number, column="", reason="more cells than headers")
            continue
        given = {spec.key: cells[at] for at, spec in columns if at < len(cells)}
        labels = {spec.key: header[at] for at, spec in columns}
        found = _row(number, given, type_, labels)
        if isinstance(found, Row):
            found.other.update((name, cells[at].strip()) for at, name in others if at < len(cells))
        yield found


def _columns(header: list[str], type_: LicenseType, file: str) -> list[tuple[int, Field]]:
    known = {_squeeze(column): spec for spec in type_.fields for column in (*spec.columns, spec.key)}
    columns: list[tuple[int, Field]] = []
    seen: set[str] = set()
    for at, name in enumerate(header):
        spec = known.get(_squeeze(name))
        if spec is None:
            continue
        if spec.key in seen:
            raise ConfigError(f"two columns for '{spec.zh}'", file=file, line=1)
        seen.add(spec.key)
        columns.append((at, spec))
    missing = [spec.zh for spec in type_.fields if spec.required and spec.key not in seen]
    if missing:
        raise ConfigError(f"no column for {'、'.join(missing)}", file=file, line=1)
    return columns


def _json_rows(stream: TextIO, type_: LicenseType, wanted: Callable[[int], bool]) -> Iterator[Row | Reject]:
    known = {_squeeze(column): spec.key for spec in type_.fields for column in (*spec.columns, spec.key)}
    for number, line in enumerate(stream, 1):
        if not line.strip() or not wanted(number):
            continue
        try:
            value: Any = json.loads(line)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            yield Reject(row=number, column="", reason="not a JSON object")
            continue
        given: dict[str, str] = {}
        labels: dict[str, str] = {}
        other: dict[str, str] = {}
        for name, item in value.items():
            key = known.get(_squeeze(name))
            if item is None:
                continue
            if key is None:
                other[name] = str(item)
            else:
                given[key] = str(item)
                labels[key] = name
        found = _row(number, given, type_, labels)
        if isinstance(found, Row):
            found.other.update(other)
        yield found


def _row(
    number: int, given: Mapping[str, str], type_: LicenseType, labels: Mapping[str, str]
) -> Row | Reject:
    images: dict[str, bytes] = {}
    try:
        record = normalize(given, type_, images)
        type_.holders_of(type_.check(record))
    except RecordError as error:
        spec = type_.by_key.get(error.field)
        column = labels.get(error.field, "" if spec is None else spec.zh)
        return Reject(row=number, column=column, reason=error.problem)
    return Row(row=number, record=record, images=images)


def normalize(
    given: Mapping[str, str], type_: LicenseType, images: dict[str, bytes] | None = None
) -> dict[str, str]:
    """Values as people write them, put into exact form; what is empty is left out.

    Args:
        given: field key -> text.
        type_: says what each field holds.
        images: receives the content of image fields (given as base64); their value becomes the digest.

    Raises:
        RecordError: a value has no exact form: which field, and why.
    """
    record: dict[str, str] = {}
    for key, text in given.items():
        spec = type_.by_key.get(key)
        if spec is None:
            raise RecordError("the type has no such field", field=key)
        if spec.type is FieldType.IMAGE:
            if text.strip():
                content = read_image(text, key)
                record[key] = sha256(content).hexdigest()
                if images is not None:
                    images[key] = content
            continue
        try:
            value = _EXACT[spec.type](spec, text)
        except RecordError as error:
            raise RecordError(error.problem, field=key) from error
        if value:
            record[key] = value
    return record


# --- Exact forms ------------------------------------------------------------------------------------------

_FOLD: Final = {
    **{ord("０") + n: ord("0") + n for n in range(10)},
    **{ord("Ａ") + n: ord("A") + n for n in range(26)},
    **{ord("ａ") + n: ord("a") + n for n in range(26)},
    0x3000: 0x20,
    0xA0: 0x20,
    0xFEFF: None,
    0x200B: None,
}
"""Full-width letters and digits, ideographic and no-break space. Chinese punctuation stays as it is, and so
does every other character: normal forms of Unicode would replace rare characters in names."""

_SPACE: Final = re.compile(r"[ \t\r\n\f\v]+")


def _squeeze(text: str) -> str:
    return _SPACE.sub("", unicodedata.normalize("NFKC", text)).strip("*:").lstrip("\ufeff")


def _text(_: Field, text: str) -> str:
    return _SPACE.sub(" ", text.translate(_FOLD)).strip()


def _lines(_: Field, text: str) -> str:
    lines = (_SPACE.sub(" ", line.translate(_FOLD)).strip() for line in text.splitlines())
    return "\n".join(line for line in lines if line)


def _number(_: Field, text: str) -> str:
    # Spreadsheets keep long numbers as text by a leading apostrophe, or as ="...".
    folded = unicodedata.normalize("NFKC", text).strip().removeprefix("'")
    if folded.startswith('="') and folded.endswith('"'):
        folded = folded[2:-1]
    return _SPACE.sub("", folded).upper()


def _integer(_: Field, text: str) -> str:
    return unicodedata.normalize("NFKC", text).strip().replace(",", "").removesuffix(".0")


def _code(spec: Field, text: str) -> str:
    folded = unicodedata.normalize("NFKC", text).strip()
    if folded in spec.codes or not folded:
        return folded
    for code, (zh, en) in spec.codes.items():
        if folded in (zh, zh + "族", zh + "残疾", zh + "性", en) or folded == code.lstrip("0"):
            return code
    raise RecordError("neither a code nor a label of the list")


_CHINESE_DIGITS: Final = {
    character: str(value)
    for value, characters in enumerate(
        ("〇零○Ｏ", "一壹元", "二贰", "三叁", "四肆", "五伍", "六陆", "七柒", "八捌", "九玖")
    )
    for character in characters
}
_DATE: Final = re.compile(r"(\d{4})\s*[-/.年]\s*(\d{1,2})\s*[-/.月]\s*(\d{1,2})\s*日?", re.ASCII)
_COMPACT_DATE: Final = re.compile(r"(\d{4})(\d{2})(\d{2})", re.ASCII)
_CHINESE_DATE: Final = re.compile(r"(.{4})年(.{1,3})月(.{1,3})日")
_CLOCK: Final = re.compile(r"[ T]\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?$", re.ASCII)
_UNTIL: Final = re.compile(r"[至到~～—]+|--+")
_LONG_TERM_WORDS: Final = frozenset(
    {"长期", "长期有效", "永久", "永久有效", "无固定期限", "不约定期限", LONG_TERM}
)


def parse_day(text: str) -> date:
    """A day in the forms that people write.

    `2026-11-23`, `2026/11/23`, `2026.11.23`, `20261123`, `2026年11月23日`, the same in Chinese or full-width
    digits; a time of day behind it is dropped.

    >>> parse_day("二〇二六年十一月二十三日") == parse_day("2026/11/23")
    True

    Raises:
        RecordError: no such form, or no such day.
    """
    folded = _CLOCK.sub("", unicodedata.normalize("NFKC", text).strip())
    found = _DATE.fullmatch(folded) or _COMPACT_DATE.fullmatch(folded)
    try:
        if found is not None:
            return date(int(found[1]), int(found[2]), int(found[3]))
        chinese = _CHINESE_DATE.fullmatch(folded)
        if chinese is not None:
            year = int("".join(_CHINESE_DIGITS[character] for character in chinese[1]))
            return date(year, _chinese_number(chinese[2]), _chinese_number(chinese[3]))
    except (KeyError, ValueError) as error:
        raise RecordError("not a day") from error
    raise RecordError("not a day")


def _chinese_number(text: str) -> int:
    """One to ninety-nine: `七`, `十`, `十二`, `二十三`, `三十`, also `〇七`."""
    text = text.replace("拾", "十").replace("廿", "二十").replace("卅", "三十")
    tens, ten, ones = text.rpartition("十")
    if not ten:
        return int("".join(_CHINESE_DIGITS[character] for character in text))
    return int(_CHINESE_DIGITS[tens] if tens else "1") * 10 + int(_CHINESE_DIGITS[ones] if ones else "0")


def _day(_: Field, text: str) -> str:
    return parse_day(text).isoformat() if text.strip() else ""


def _end(_: Field, text: str) -> str:
    folded = unicodedata.normalize("NFKC", text).strip()
    if not folded or folded in _LONG_TERM_WORDS:
        return LONG_TERM if folded else ""
    try:
        return parse_day(folded).isoformat()
    except RecordError:
        # A whole term in one cell: from, then to.
        parts = [part.strip() for part in _UNTIL.split(folded) if part.strip()]
        if len(parts) != 2:
            raise
        first, last = parts
        start = parse_day(first)
        if last in _LONG_TERM_WORDS:
            return LONG_TERM
        end = parse_day(last)
        if end < start:
            raise RecordError("the end is before the start") from None
        return end.isoformat()


def read_image(text: str, key: str = "") -> bytes:
    """A portrait given as base64: JPEG, at most 20 kB.

    Raises:
        RecordError: not base64, not a JPEG from first to last marker, too large.
    """
    try:
        content = base64.b64decode(text.strip().partition("base64,")[2] or text.strip(), validate=True)
    except (binascii.Error, ValueError) as error:
        raise RecordError("not an image as base64", field=key) from error
    if len(content) > MAX_IMAGE:
        raise RecordError(f"an image of more than {MAX_IMAGE} bytes", field=key)
    if not content.startswith(b"\xff\xd8\xff") or not content.endswith(b"\xff\xd9"):
        raise RecordError("not a JPEG image", field=key)
    return content


def _no_image(_: Field, text: str) -> str:
    return text


_EXACT: Final[dict[FieldType, Callable[[Field, str], str]]] = {
    FieldType.TEXT: _text,
    FieldType.LINES: _lines,
    FieldType.NUMBER: _number,
    FieldType.DATE: _day,
    FieldType.END: _end,
    FieldType.CODE: _code,
    FieldType.INTEGER: _integer,
    FieldType.IMAGE: _no_image,
}
