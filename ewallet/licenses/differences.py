"""Differences: two forms of one license side by side, field by field.

Any two of: the e-license credential, the register's version, a seal, a typed or scanned face, a PDF. Each
becomes a `Form` first; `compare` says for every field whether the two agree, under which rule of `normal`,
and which of the two is older. Empty is never skipped: a field that only one side has is missing or
unexpected.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from ewallet.errors import RecordError
from ewallet.licenses import normal
from ewallet.licenses.license import face_digest
from ewallet.licenses.seal import CUT, MAX_VALUE, shortened

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from ewallet.licenses.catalog import Field, LicenseType
    from ewallet.licenses.license import License
    from ewallet.licenses.seal import Seal, UnverifiedSeal


class Result(StrEnum):
    """How two values of one field compare."""

    EQUAL = "equal"
    NORMALIZED = "equal after normalization"
    DIFFERENT = "different"
    MISSING = "missing"
    UNEXPECTED = "unexpected"
    UNREADABLE = "unreadable"
    NOT_CARRIED = "not carried"

    @property
    def agrees(self) -> bool:
        """Whether the two say the same, or one of them does not speak of the field."""
        return self in (Result.EQUAL, Result.NORMALIZED, Result.NOT_CARRIED)


class Edition(StrEnum):
    """How the editions of two forms relate."""

    SAME = "same edition"
    PAPER_OLDER = "paper older"
    PHONE_OLDER = "phone older"
    BOTH_OLD = "both old"
    CONTENT_DIFFERS = "content differs"
    OTHER_LICENSE = "another license"
    UNKNOWN = "edition unknown"


EDITIONS: Final[Mapping[Edition, tuple[str, str]]] = {
    Edition.SAME: (
        "纸质与电子为同一版本，内容一致。",
        "Paper and e-license are one edition and say the same.",
    ),
    Edition.PAPER_OLDER: (
        "纸质证照是旧版，请收回并换发。",
        "The paper is an older edition: take it back and print the new one.",
    ),
    Edition.PHONE_OLDER: (
        "电子证照是旧版，请在手机上更新。",
        "The e-license is an older edition: renew it on the phone.",
    ),
    Edition.BOTH_OLD: (
        "纸质与电子均为旧版，请查询现行版本。",
        "Both are older editions: look up the one in force.",
    ),
    Edition.CONTENT_DIFFERS: (
        "同一版本但内容不一致，以签名内容为准。",
        "One edition, but the content differs: the signed content counts.",
    ),
    Edition.OTHER_LICENSE: ("两者不是同一证照。", "The two are not the same license."),
    Edition.UNKNOWN: (
        "其中一方未载明版本，仅比较内容。",
        "One of the two names no edition: only content was compared.",
    ),
}
"""One sentence for the clerk, in Chinese and English."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """One form of a license, ready to be compared.

    Attributes:
        name: what it is, for messages: `credential`, `register`, `seal`, `face`, `pdf`.
        type_: the type of the license: which fields there are, and how they are written and masked.
        paper: whether it is (or stands for) the paper.
        identifier: empty if it does not say.
        version: 0 if it does not say.
        fields: value by key; None where the reader could not read.
        complete: whether a field that is not there is truly absent; False for a seal.
        sealed: the seal's masked and cut values stand in `fields`.
        typed: written down by a person or a scanner, so that no digest can be expected to match.
        digest: checks a whole face against this form's digest; None without one.
        extra: what stands there beyond the type's fields.
    """

    name: str
    type_: LicenseType
    paper: bool
    identifier: str = ""
    version: int = 0
    fields: Mapping[str, str | None] = field(default_factory=dict)
    complete: bool = True
    sealed: bool = False
    typed: bool = False
    digest: Callable[[Iterable[tuple[str, str]]], bool] | None = None
    extra: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One field of two forms.

    Attributes:
        key: claim name; `identifier` and `version` stand beside the type's own fields.
        label: what stands before it on the face.
        result: how the two compare.
        rules: the rules that made them equal (`normal.RULES`, `code`, `masked`, `cut`, `digest`).
        a: the value of the first; None if it has none.
        b: the value of the second.
        sensitive: personal: keep it out of logs.
    """

    key: str
    label: str
    result: Result
    rules: tuple[str, ...] = ()
    a: str | None = None
    b: str | None = None
    sensitive: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two forms side by side.

    Attributes:
        a: what the first is.
        b: what the second is.
        edition: how their editions relate.
        fields: every field, in the order of the face.
    """

    a: str
    b: str
    edition: Edition
    fields: tuple[Difference, ...]

    @property
    def disagreeing(self) -> tuple[Difference, ...]:
        """The fields that do not agree."""
        return tuple(each for each in self.fields if not each.result.agrees)

    @property
    def clean(self) -> bool:
        """Same edition (or none named) and nothing disagrees."""
        return not self.disagreeing and self.edition in (Edition.SAME, Edition.UNKNOWN)


# --- Forms --------------------------------------------------------------------------------------------------


def of_license(license_: License, type_: LicenseType) -> Form:
    """The register's version."""
    return Form(
        name="register",
        type_=type_,
        paper=False,
        identifier=license_.identifier,
        version=license_.version,
        fields=dict(license_.face),
    )


def of_claims(
    claims: Mapping[str, object], type_: LicenseType, *, name: str = "credential", paper: bool = False
) -> Form:
    """A credential's claims, disclosed ones merged (of `sdjwt.verify`, or unverified ones for a look).

    Args:
        claims: the claims.
        type_: the type that its `vct` names.
        name: what it is: `pdf` if it was attached to one.
        paper: whether it stands for paper.
    """
    version = claims.get("version")
    return Form(
        name=name,
        type_=type_,
        paper=paper,
        identifier=str(claims.get("identifier", "")),
        version=version if isinstance(version, int) else 0,
        fields={spec.key: str(claims[spec.key]) for spec in type_.face_fields if spec.key in claims},
    )


def of_seal(seal: Seal, type_: LicenseType, digest: Callable[[bytes], bytes] | None = None) -> Form:
    """A seal: a few masked fields, and the digest of the whole face.

    Args:
        seal: what it says.
        type_: the type that its identifier names.
        digest: hash of the issuer's suite; SHA-256 if not given.
    """

    def matches(face: Iterable[tuple[str, str]]) -> bool:
        made = face_digest(face, seal.salt) if digest is None else face_digest(face, seal.salt, digest)
        return made == seal.face_digest

    return Form(
        name="seal",
        type_=type_,
        paper=True,
        identifier=seal.identifier,
        version=seal.version,
        fields=dict(seal.fields),
        complete=False,
        sealed=True,
        digest=matches,
    )


def of_parsed_seal(parsed: UnverifiedSeal, type_: LicenseType) -> Form:
    """A seal as read, with the hash that its algorithm says."""
    form = of_seal(parsed.unverified, type_)
    return replace(form, digest=parsed.covers)


def of_face(
    typed: Mapping[str, str | None], type_: LicenseType, *, name: str = "face", paper: bool = True
) -> Form:
    """A typed or scanned face.

    Args:
        typed: value by key, label or column header; None for what could not be read. `identifier` and
            `version` (or 证照标识, 版本) may be among them.
        type_: the type of the license.
        name: what it is.
        paper: whether it is paper.
    """
    names = {column: spec.key for spec in type_.face_fields for column in (spec.key, spec.zh, *spec.columns)}
    fields: dict[str, str | None] = {}
    extra: dict[str, str] = {}
    edition = {"identifier": "", "version": ""}
    for written, value in typed.items():
        name_ = normal.space(written)
        meant = {"证照标识": "identifier", "版本": "version"}.get(name_, name_)
        if meant in edition:
            edition[meant] = (value or "").strip()
        elif meant in names:
            fields[names[meant]] = value
        elif value:
            extra[written] = value
    version = "".join(char for char in edition["version"] if char in "0123456789")
    return Form(
        name=name,
        type_=type_,
        paper=paper,
        identifier=edition["identifier"],
        version=int(version or 0),
        fields=fields,
        typed=True,
        extra=extra,
    )


# --- Comparison ---------------------------------------------------------------------------------------------


def differences(a: Form, b: Form) -> tuple[Difference, ...]:
    """Every field of two forms: equal, equal after normalization, different, missing, unexpected, unreadable.

    Args:
        a: what `b` is measured against.
        b: the other; a field that only `a` has is missing, one that only `b` has is unexpected.

    Returns:
        One entry for each field of the face, then for what stands beyond it.

    Raises:
        ValueError: the two are of different types, which have no fields in common.
    """
    if a.type_.code != b.type_.code:
        raise ValueError("licenses of two types have no fields in common")
    found = [_field(spec, a, b) for spec in a.type_.face_fields]
    found += [
        Difference(
            key=key, label=key, result=result, a=value if side is a else None, b=value if side is b else None
        )
        for side, result in ((a, Result.MISSING), (b, Result.UNEXPECTED))
        for key, value in side.extra.items()
        if a.extra.get(key) != b.extra.get(key)
    ]
    return tuple(_with_digest(found, a, b))


def compare(a: Form, b: Form, *, current: int | None = None) -> Comparison:
    """Two forms side by side, and how their editions relate.

    Args:
        a: what `b` is measured against.
        b: the other.
        current: the version in force, if known: tells whether both are old.
    """
    if a.type_.code != b.type_.code:
        return Comparison(a=a.name, b=b.name, edition=Edition.OTHER_LICENSE, fields=())
    fields = differences(a, b)
    agree = all(each.result.agrees for each in fields)
    return Comparison(a=a.name, b=b.name, edition=_edition(a, b, current, agree=agree), fields=fields)


def _edition(a: Form, b: Form, current: int | None, *, agree: bool) -> Edition:
    if a.identifier and b.identifier and _stem(a.identifier) != _stem(b.identifier):
        return Edition.OTHER_LICENSE
    if not a.version or not b.version:
        return Edition.UNKNOWN if agree else Edition.CONTENT_DIFFERS
    paper, other = (a, b) if a.paper or not b.paper else (b, a)
    if paper.version != other.version:
        if current is not None and max(paper.version, other.version) < current:
            return Edition.BOTH_OLD
        return Edition.PAPER_OLDER if paper.version < other.version else Edition.PHONE_OLDER
    if not agree:
        return Edition.CONTENT_DIFFERS
    return Edition.BOTH_OLD if current is not None and paper.version < current else Edition.SAME


def _stem(identifier: str) -> str:
    """An identifier without version and check character: equal for all versions of a license."""
    return ".".join(identifier.split(".")[:-2])


_NO_RULES: Final[tuple[str, ...]] = ()


def _field(spec: Field, a: Form, b: Form) -> Difference:
    has_a, has_b = spec.key in a.fields, spec.key in b.fields
    value_a, value_b = a.fields.get(spec.key), b.fields.get(spec.key)
    result, rules = Result.EQUAL, _NO_RULES
    if (has_a and value_a is None) or (has_b and value_b is None):
        result = Result.UNREADABLE
    elif (not has_a and not a.complete) or (not has_b and not b.complete):
        result = Result.NOT_CARRIED
    elif value_a and not value_b:
        result = Result.MISSING
    elif value_b and not value_a:
        result = Result.UNEXPECTED
    elif value_a and value_b:
        result, rules = _values(spec, value_a, value_b, sealed=(a.sealed, b.sealed))
    return Difference(
        key=spec.key,
        label=spec.zh,
        result=result,
        rules=rules,
        a=value_a or None,
        b=value_b or None,
        sensitive=spec.sensitive,
    )


def _values(spec: Field, a: str, b: str, *, sealed: tuple[bool, bool]) -> tuple[Result, tuple[str, ...]]:
    if a == b:
        return Result.EQUAL, ()
    used: list[str] = []
    if sealed[0] != sealed[1]:
        whole, carried = (b, a) if sealed[0] else (a, b)
        masked = spec.masked(exact(spec, whole))
        if spec.mask:
            used.append("masked")
        if len(masked) > MAX_VALUE and carried.endswith(CUT):
            used.append("cut")
        a, b = shortened(masked), carried
    else:
        exact_a, exact_b = exact(spec, a), exact(spec, b)
        if spec.codes and (exact_a, exact_b) != (a, b) and exact_a == exact_b:
            return Result.NORMALIZED, ("code",)
    rules = normal.needed_rules(a, b)
    if rules is None:
        return Result.DIFFERENT, ()
    used += rules
    return (Result.NORMALIZED, tuple(used)) if used else (Result.EQUAL, ())


def exact(spec: Field, value: str) -> str:
    """A value as people write it, in the exact form in which it is signed, if it can be brought there."""
    bare = normal.space(normal.width(value))
    if spec.codes:
        for code, labels in spec.codes.items():
            if bare in (code, *labels):
                return code
        return value
    day = normal.day(bare)
    for candidate in (value, value.strip(), day, bare, normal.case(bare)):
        try:
            return spec.checked(candidate)
        except RecordError:
            continue
    return value


def _with_digest(found: list[Difference], a: Form, b: Form) -> list[Difference]:
    """A seal's digest speaks for the fields that it does not carry in clear.

    If the other side's whole face has that digest, every field is equal. If it has not, and what the seal
    shows agrees, then something else on the face differs; of a typed face only its writing may differ, so
    there the rest is called unreadable: the credential tells which field.
    """
    sealed, other = (a, b) if a.digest is not None else (b, a)
    if sealed.digest is None or other.digest is not None or not other.complete:
        return found
    face = [
        (spec.key, exact(spec, value))
        for spec in other.type_.face_fields
        if (value := other.fields.get(spec.key))
    ]
    if sealed.digest(face):
        return [
            Difference(
                key=each.key,
                label=each.label,
                result=Result.EQUAL if each.result is Result.NOT_CARRIED else each.result,
                rules=("digest",) if each.result is Result.NOT_CARRIED else each.rules,
                a=each.a,
                b=each.b,
                sensitive=each.sensitive,
            )
            for each in found
        ]
    if all(each.result.agrees for each in found):
        result = Result.UNREADABLE if other.typed else Result.DIFFERENT
        found.append(Difference(key="face", label="证面其他字段", result=result, rules=("digest",)))
    return found
