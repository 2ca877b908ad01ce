"""Metadata as systems in the field exchange it (GB/T 36903-2018 as implemented): pinyin keys, in and out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ewallet.errors import RecordError
from ewallet.licenses import intake
from ewallet.licenses.lifecycle import FIELD_CODES, State
from ewallet.licenses.numbers import identifier as identifiers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ewallet.licenses.catalog import Catalog, LicenseType
    from ewallet.licenses.license import License

_LONG_TERM: Final = "长期"
_JOIN: Final = "、"
_OWN: Final = "KZ_"
"""Prefix of a type's own fields."""

_REQUIRED: Final = ("ZZLXDM", "ZZBH", "ZZBS", "CZZT")


def to_metadata(license_: License, type_: LicenseType, state: State) -> dict[str, str]:
    """A license as metadata.

    Args:
        license_: the version.
        type_: its type.
        state: its state now.

    Returns:
        Pinyin keys in the order of the standard, then `KZ_` and the label of each field.
    """
    holders = license_.holders
    parts = identifiers.parse(license_.identifier)
    found = {
        "ZZMC": type_.zh,
        "ZZLXDM": license_.type_code,
        "ZZBH": license_.number,
        "ZZBS": license_.identifier,
        "ZZBFJG": license_.authority_name,
        "ZZBFJGDM": parts.issuer,
        "ZZBFRQ": license_.issued_on.isoformat(),
        "ZZYXQQSRQ": license_.valid_from.isoformat(),
        "ZZYXQJZRQ": license_.valid_until.isoformat() if license_.valid_until else _LONG_TERM,
        "CZZT": _JOIN.join(holder.name for holder in holders),
        "CZZTDM": _JOIN.join(holder.code for holder in holders),
        "CZZTDMLXDM": _JOIN.join(holder.kind for holder in holders),
        "certificateAreaCode": license_.area,
        "certificate_version": str(license_.version),
        "ZZZT": FIELD_CODES[state],
    }
    for key, value in license_.face:
        spec = type_.by_key[key]
        found[f"{_OWN}{spec.zh}"] = spec.display(value)
    return found


def from_metadata(given: Mapping[str, str], catalog: Catalog) -> tuple[LicenseType, dict[str, str]]:
    """Metadata of another system as a record of a type, ready to be issued or compared.

    Args:
        given: metadata; the type's own fields under `KZ_` and their label or key.
        catalog: where the type is looked up.

    Returns:
        The type and its checked record.

    Raises:
        RecordError: a key is missing, the identifier does not check, or a field is wrong: which, and why.
        NotFound: the catalog has no such type.
    """
    for key in _REQUIRED:
        if not given.get(key):
            raise RecordError("missing", field=key)
    try:
        parts = identifiers.parse(given["ZZBS"])
    except RecordError as error:
        raise RecordError(error.problem, field="ZZBS") from error
    type_ = catalog[given["ZZLXDM"]]
    if catalog.get(parts.type_code) is not type_:
        raise RecordError("the identifier is of another type", field="ZZBS")
    labels = {name: spec.key for spec in type_.fields for name in (*spec.columns, spec.key)}
    own = {
        labels[key.removeprefix(_OWN)]: value
        for key, value in given.items()
        if key.startswith(_OWN) and key.removeprefix(_OWN) in labels
    }
    rule = type_.validity
    own.setdefault(type_.number, given["ZZBH"])
    for key, name in ((rule.issued, "ZZBFRQ"), (rule.start, "ZZYXQQSRQ"), (rule.until, "ZZYXQJZRQ")):
        if key and given.get(name):
            own.setdefault(key, given[name])
    names, codes = given["CZZT"].split(_JOIN), given.get("CZZTDM", "").split(_JOIN)
    for source, name, code in zip(type_.holders, names, codes, strict=False):
        own.setdefault(source.name, name)
        if source.code and code:
            own.setdefault(source.code, code)
    images = {key: own.pop(key) for key in (type_.portrait,) if key and key in own}
    record = {**intake.normalize(own, type_), **images}
    return type_, type_.check(record)
