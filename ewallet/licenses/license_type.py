"""License types as values: fields, holders, validity, and what a record of a type must be."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Final

from ewallet.errors import RecordError
from ewallet.licenses.license import LONG_TERM, Holder
from ewallet.licenses.numbers import PARTS, disability_card, resident_id, uscc

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_TEXT: Final = 2000
"""Characters of a field: the longest scope of business seen has some 1,500."""

MAX_IMAGE: Final = 20 * 1024
"""Bytes of a portrait (JPEG): what field practice allows."""

RESERVED: Final = frozenset(
    {"iss", "sub", "iat", "nbf", "exp", "cnf", "vct", "status", "authority", "area", "holder_index"}
    | {"identifier", "version", "face_digest", "face_salt", "permits", "_sd", "_sd_alg", "..."}
)
"""Claim names of a credential: no field may have one."""

HOLDER_KINDS: Final = frozenset(
    {
        "001",
        "099",
        "111",
        "114",
        "115",
        "118",
        "119",
        "120",
        "122",
        "411",
        "412",
        "413",
        "414",
        "511",
        "516",
        "551",
        "552",
        "999",
    }
)
"""Holder code types of GB/T 36903."""

EVENTS: Final = frozenset(
    {
        "issue",
        "amend",
        "renew",
        "annotate",
        "suspend",
        "restore",
        "revoke",
        "withdraw",
        "cancel",
        "transfer_out",
        "transfer_in",
        "reissue",
        "correct",
        "unbind",
        "print",
        "copy",
        "permit",
    }
)
"""Events that a type may mark as needing four eyes: what an officer decides. Others cannot be marked, so that
no mark is without effect: a holder binds a phone within the ten minutes of a nonce, and time alone lapses."""


class FieldType(StrEnum):
    """What a field holds. Its value is always text, in one exact form."""

    TEXT = "text"
    LINES = "lines"
    DATE = "date"
    END = "end"
    CODE = "code"
    NUMBER = "number"
    INTEGER = "integer"
    IMAGE = "image"


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field of a type.

    Attributes:
        key: claim name.
        zh: label on the face.
        en: English label.
        type: what it holds.
        required: must be there and not empty.
        face: stands on the face, and so in credentials; the others stay in the register.
        seal: critical: stands in the seal of a printed copy.
        mask: how it is masked in the seal: empty, `resident_id`, `name` or `tail`.
        sensitive: personal; never in logs and never in a seal unmasked.
        columns: headers under which exports carry it, the label included.
        rule: a rule of `ewallet.licenses.numbers`, or empty.
        pattern: a regular expression for the whole value, or empty.
        codes: code and (zh, en) labels, for `code` fields.
        contains: part of the number -> field that must agree with it.
        max_length: most characters.
        check: the validator of `rule`.
    """

    key: str
    zh: str
    en: str
    type: FieldType = FieldType.TEXT
    required: bool = False
    face: bool = True
    seal: bool = False
    mask: str = ""
    sensitive: bool = False
    columns: tuple[str, ...] = ()
    rule: str = ""
    pattern: str = ""
    codes: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    contains: Mapping[str, str] = field(default_factory=dict)
    max_length: int = MAX_TEXT
    check: Callable[[str], str] | None = None

    def display(self, value: str, lang: str = "zh") -> str:
        """The value as a face shows it: codes by their label, dates in Chinese form."""
        if self.type is FieldType.CODE:
            labels = self.codes.get(value)
            return value if labels is None else labels[0 if lang == "zh" else 1]
        if self.type in (FieldType.DATE, FieldType.END):
            if value == LONG_TERM:
                return "长期" if lang == "zh" else "long-term"
            if lang == "zh":
                year, month, day = value.split("-")
                return f"{year}年{int(month)}月{int(day)}日"
        return value

    def masked(self, value: str) -> str:
        """The value as it may stand in a seal or on a screen, by the field's mask."""
        return MASKS[self.mask](value)

    def checked(self, value: str) -> str:
        """The value, when it is in the exact form that the field demands.

        Raises:
            RecordError: it is not; names the field, never the value.
        """
        try:
            return _CHECKS[self.type](self, value)
        except RecordError as error:
            raise RecordError(error.problem, field=self.key) from error


def _mask_name(value: str) -> str:
    return value[:1] + "*" * (len(value) - 1)


def _mask_tail(value: str) -> str:
    return "*" * max(len(value) - 4, 0) + value[-4:]


MASKS: Final[dict[str, Callable[[str], str]]] = {
    "": str,
    "resident_id": resident_id.masked,
    "disability_card": disability_card.masked,
    "name": _mask_name,
    "tail": _mask_tail,
}

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufffe\uffff]")
_CONTROL_IN_LINES: Final = re.compile(
    r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufffe\uffff]"
)


def _check_text(spec: Field, value: str) -> str:
    if len(value) > spec.max_length:
        raise RecordError(f"more than {spec.max_length} characters")
    bad = _CONTROL_IN_LINES if spec.type is FieldType.LINES else _CONTROL
    if bad.search(value) or value != value.strip():
        raise RecordError("control characters, or space at an end")
    if spec.check is not None:
        spec.check(value)
    if spec.pattern and re.fullmatch(spec.pattern, value, re.ASCII if value.isascii() else 0) is None:
        raise RecordError("not in the form that the type demands")
    return value


def _check_date(_: Field, value: str) -> str:
    try:
        if len(value) == 10:
            date.fromisoformat(value)
            return value
    except ValueError:
        pass
    raise RecordError("not a day as YYYY-MM-DD")


def _check_end(spec: Field, value: str) -> str:
    return value if value == LONG_TERM else _check_date(spec, value)


def _check_code(spec: Field, value: str) -> str:
    if value not in spec.codes:
        raise RecordError("not a code of the list")
    return value


def _check_integer(_: Field, value: str) -> str:
    if not value.isascii() or not value.isdigit() or (value[0] == "0" and value != "0") or len(value) > 15:
        raise RecordError("not a whole number")
    return value


def _check_image(_: Field, value: str) -> str:
    # The value of an image is the digest of its bytes; the bytes themselves are checked at the door.
    if re.fullmatch(r"[0-9a-f]{64}", value, re.ASCII) is None:
        raise RecordError("not the digest of an image")
    return value


_CHECKS: Final[dict[FieldType, Callable[[Field, str], str]]] = {
    FieldType.TEXT: _check_text,
    FieldType.LINES: _check_text,
    FieldType.NUMBER: _check_text,
    FieldType.DATE: _check_date,
    FieldType.END: _check_end,
    FieldType.CODE: _check_code,
    FieldType.INTEGER: _check_integer,
    FieldType.IMAGE: _check_image,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class HolderSource:
    """Which fields of a record say who a holder is.

    Attributes:
        name: field of the name.
        code: field of the number; empty where holders of this type may have none.
        kinds: holder code types of GB/T 36903 that the number may be of.
        optional: the holder may be missing (a birth certificate may name one parent).
    """

    name: str
    code: str
    kinds: tuple[str, ...]
    optional: bool = False

    def kind_of(self, code: str) -> str:
        """The kind of a holder's number: the first whose rule it keeps."""
        if len(self.kinds) > 1:
            for kind in self.kinds:
                if kind in _KIND_RULES and _KIND_RULES[kind](code):
                    return kind
        return self.kinds[0]


_KIND_RULES: Final = {"001": uscc.is_valid, "111": resident_id.is_valid}


@dataclass(frozen=True, slots=True, kw_only=True)
class Validity:
    """How long a license of the type lives.

    Attributes:
        issued: field of the day of issue.
        start: field of the first day; empty: the day of issue.
        until: field of the last day; empty: no end.
        long_term: the last day may be `long-term`, or be missing.
        max_years: longest time from first to last day; 0: no limit.
        reviews_every: years between the reviews inside the term; 0: none.
        review: what the review is called.
    """

    issued: str
    start: str = ""
    until: str = ""
    long_term: bool = False
    max_years: int = 0
    reviews_every: int = 0
    review: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """Fields that must equal those of the holder's license of another type.

    Attributes:
        type_key: the other type.
        fields: field here -> field there.
    """

    type_key: str
    fields: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class PrintedForm:
    """How a type is printed.

    Attributes:
        template: name of the face template.
        sizes: role of the copy (`original`, `duplicate`) -> width and height in mm.
        copies: how many originals belong to a license (two for a marriage certificate).
    """

    template: str
    sizes: Mapping[str, tuple[float, float]]
    copies: int = 1


@dataclass(frozen=True, kw_only=True)
class LicenseType:
    """One type of license: the whole of its catalog file.

    Attributes:
        key: short name, the file's name (`business-license`).
        code: code in identifiers: national (21 characters) or of Shanghai's catalog (15 digits).
        shanghai: Shanghai's own code, where there is one beside the national.
        version: version of this catalog entry.
        zh: name.
        en: English name.
        authority: who defines the type.
        assumed_code: the code is a placeholder until the deployment enters the official one.
        fields: in the order of the face.
        number: key of the field that is the license number.
        serial: what the identifier's serial is made from: `number` or `random`.
        holders: where the holders stand in a record.
        several: whether more than one license may live for one holder.
        validity: how long it lives.
        matches: fields that must equal those of another license.
        four_eyes: events that need two officers.
        printed: how it is printed.
        comprehensive: whether it wraps permits of several authorities.
        portrait: key of its image field; empty without.
    """

    key: str
    code: str
    shanghai: str
    version: int
    zh: str
    en: str
    authority: str
    assumed_code: bool
    fields: tuple[Field, ...]
    number: str
    serial: str
    holders: tuple[HolderSource, ...]
    several: bool
    validity: Validity
    matches: tuple[Match, ...]
    four_eyes: frozenset[str]
    printed: PrintedForm
    comprehensive: bool = False

    @cached_property
    def by_key(self) -> dict[str, Field]:
        """Its fields by key."""
        return {spec.key: spec for spec in self.fields}

    @cached_property
    def face_fields(self) -> tuple[Field, ...]:
        """The fields on the face, in order."""
        return tuple(spec for spec in self.fields if spec.face)

    @cached_property
    def kept_fields(self) -> tuple[Field, ...]:
        """The fields that stay in the register and never stand in a credential."""
        return tuple(spec for spec in self.fields if not spec.face)

    @cached_property
    def seal_fields(self) -> tuple[Field, ...]:
        """The critical fields, which the seal repeats."""
        return tuple(spec for spec in self.fields if spec.seal)

    @cached_property
    def portrait(self) -> str:
        """Key of the image field; empty without one."""
        return next((spec.key for spec in self.fields if spec.type is FieldType.IMAGE), "")

    @cached_property
    def digests(self) -> int:
        """Digests in every credential of this type, decoys included: what is missing does not show."""
        images = sum(spec.type is FieldType.IMAGE for spec in self.face_fields)
        return len(self.face_fields) + images + len(self.holders) + len(ALWAYS_DISCLOSABLE)

    @cached_property
    def _agreements(self) -> tuple[tuple[Field, Callable[[str], str], str], ...]:
        return tuple(
            (spec, PARTS[spec.rule][part], other)
            for spec in self.fields
            for part, other in spec.contains.items()
        )

    def vct(self, base: str) -> str:
        """Credential type of this version of the entry: `<base>/vct/<type code>/<type version>`."""
        return f"{base}/vct/{self.code}/{self.version}"

    def check(self, record: Mapping[str, str]) -> dict[str, str]:
        """A record with all its values checked, in catalog order, empty ones left out.

        Args:
            record: field key -> value in its exact form (`ewallet.licenses.intake` makes it of what people
                write).

        Raises:
            RecordError: an unknown field, a required one missing, a value out of form, an end before its
                start or beyond the longest term.
        """
        values: dict[str, str] = {}
        for spec in self.fields:
            value = record.get(spec.key, "")
            if value:
                values[spec.key] = spec.checked(value)
            elif spec.required:
                raise RecordError("missing", field=spec.key)
        for key in record:
            if key not in self.by_key:
                raise RecordError("the type has no such field", field=key)
        for spec, part, other in self._agreements:
            if spec.key in values and other in values and part(values[spec.key]) != values[other]:
                raise RecordError(f"does not agree with '{spec.key}'", field=other)
        self.term(values)
        return values

    def term(self, values: Mapping[str, str]) -> tuple[date, date | None, date]:
        """First day, last day (None: long-term) and day of issue of a checked record.

        Raises:
            RecordError: the end is before the start, too far away, or missing where it must not be.
        """
        rule = self.validity
        issued = date.fromisoformat(values[rule.issued])
        start = date.fromisoformat(values.get(rule.start) or values[rule.issued]) if rule.start else issued
        text = values.get(rule.until, "") if rule.until else LONG_TERM
        if text in ("", LONG_TERM):
            if rule.until and not rule.long_term:
                raise RecordError("a license of this type has an end", field=rule.until)
            return start, None, issued
        until = date.fromisoformat(text)
        if until < start:
            raise RecordError("the end is before the start", field=rule.until)
        # A term of n years ends on the day before the n-th anniversary; offices that print the anniversary
        # itself are tolerated.
        if rule.max_years and (until.year - start.year, (until.month, until.day)) > (
            rule.max_years,
            (start.month, start.day),
        ):
            raise RecordError(f"longer than {rule.max_years} years", field=rule.until)
        return start, until, issued

    def reviews(self, start: date, until: date | None, day: date) -> date | None:
        """The first day after `day` on which a review inside the term is due; None: no more reviews."""
        every = self.validity.reviews_every
        if not every:
            return None
        year = start.year + every
        while (due := _anniversary(start, year)) <= day:
            year += every
        return due if until is None or due < until else None

    def holders_of(self, values: Mapping[str, str]) -> tuple[Holder, ...]:
        """The holders that a checked record names.

        Raises:
            RecordError: a holder is missing, or stands there twice.
        """
        found = []
        for source in self.holders:
            name = values.get(source.name, "")
            if not name:
                if source.optional:
                    continue
                raise RecordError("the holder is missing", field=source.name)
            code = values.get(source.code, "") if source.code else ""
            found.append(Holder(name=name, code=code, kind=source.kind_of(code)))
        codes = [holder.code for holder in found if holder.code]
        if len(set(codes)) != len(codes):
            raise RecordError("one person is named as two holders", field=self.holders[-1].code)
        return tuple(found)


ALWAYS_DISCLOSABLE: Final = ("identifier", "version", "face_digest", "face_salt")
"""Claims beside fields and holders that every credential discloses one by one."""


def _anniversary(start: date, year: int) -> date:
    try:
        return start.replace(year=year)
    except ValueError:  # 29 February
        return date(year, 3, 1)
