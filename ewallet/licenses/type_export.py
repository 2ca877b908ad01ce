"""A license type for other programs: JSON Schema of records, type metadata of SD-JWT VC, and plain text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ewallet.licenses.catalog import ALWAYS_DISCLOSABLE, FieldType

if TYPE_CHECKING:
    from ewallet.licenses.catalog import Field, LicenseType

_DAY: Final = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"


def json_schema(type_: LicenseType) -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of the type's records in exact form.

    Check characters, agreement between fields and terms are beyond a schema: `LicenseType.check` decides.
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:ewallet:type:{type_.code}:{type_.version}",
        "title": type_.zh,
        "description": type_.en,
        "type": "object",
        "properties": {spec.key: _property(spec) for spec in type_.fields},
        "required": [spec.key for spec in type_.fields if spec.required],
        "additionalProperties": False,
    }


def _property(spec: Field) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string", "title": spec.zh, "description": spec.en, "minLength": 1}
    match spec.type:
        case FieldType.DATE:
            schema["format"] = "date"
        case FieldType.END:
            schema["anyOf"] = [{"const": "long-term"}, {"pattern": _DAY}]
        case FieldType.CODE:
            schema["enum"] = list(spec.codes)
        case FieldType.INTEGER:
            schema["pattern"] = "^(0|[1-9][0-9]{0,14})$"
        case FieldType.IMAGE:
            schema["pattern"] = "^[0-9a-f]{64}$"
        case _:
            schema["maxLength"] = spec.max_length
            if spec.pattern:
                schema["pattern"] = f"^(?:{spec.pattern})$"
    return schema


def type_metadata(type_: LicenseType, *, base: str) -> dict[str, Any]:
    """Type metadata of SD-JWT VC (IETF draft, "SD-JWT VC Type Metadata") for the type's credentials."""
    claims = [
        {
            "path": [spec.key],
            "sd": "always",
            "mandatory": spec.required,
            "display": [
                {"locale": "zh-CN", "label": spec.zh},
                {"locale": "en-US", "label": spec.en},
            ],
        }
        for spec in type_.face_fields
    ]
    claims += [{"path": [f"{key}_image"], "sd": "always"} for key in (type_.portrait,) if key]
    claims += [{"path": [f"holder_{n + 1}"], "sd": "always"} for n in range(len(type_.holders))]
    claims += [{"path": [name], "sd": "always"} for name in ALWAYS_DISCLOSABLE]
    claims += [{"path": [name], "sd": "never"} for name in ("authority", "area", "holder_index")]
    return {
        "vct": type_.vct(base),
        "name": type_.zh,
        "description": type_.en,
        "display": [
            {"locale": "zh-CN", "name": type_.zh},
            {"locale": "en-US", "name": type_.en},
        ],
        "claims": claims,
    }


def describe(type_: LicenseType) -> str:
    """The type in plain text, one line for each field in the order of the face."""
    rule = type_.validity
    lines = [
        f"{type_.zh}  {type_.en}",
        f"short name   {type_.key}, version {type_.version}",
        f"code         {type_.code}" + (" (assumed: enter the official one)" if type_.assumed_code else ""),
        f"Shanghai     {type_.shanghai or '-'}",
        f"defined by   {type_.authority}",
        f"number       {type_.number}; serial of the identifier: {type_.serial}",
        "holders      " + "; ".join(f"{item.name} ({'/'.join(item.kinds)})" for item in type_.holders),
        f"per holder   {'several' if type_.several else 'one live license'}",
        f"term         from {rule.start or rule.issued}, until {rule.until or 'no end'}"
        + (f", at most {rule.max_years} years" if rule.max_years else "")
        + (f", {rule.review} every {rule.reviews_every} years" if rule.reviews_every else ""),
        f"four eyes    {', '.join(sorted(type_.four_eyes)) or '-'}",
        f"printed      {type_.printed.template}, {type_.printed.sizes}",
    ]
    lines += [
        f"equals       {match.type_key}: {', '.join(f'{a} = {b}' for a, b in match.fields.items())}"
        for match in type_.matches
    ]
    lines.append("fields       r required, f on the face, s in the seal, p personal")
    lines += [f"  {_flags(spec)}  {spec.key:24} {spec.type:8} {spec.zh}  {spec.en}" for spec in type_.fields]
    return "\n".join(lines)


def _flags(spec: Field) -> str:
    marks = (("r", spec.required), ("f", spec.face), ("s", spec.seal), ("p", spec.sensitive))
    return "".join(letter if given else "-" for letter, given in marks)
