"""An answer as data: what `ewallet verify --json` prints and the service sends."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ewallet.verify.result import NOTICES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ewallet.verify.result import LicenseFacts, Party, Verification


def to_json(found: Verification) -> dict[str, Any]:
    """An answer as data.

    Keys: `outcome`, `reason` (null when accepted) with `sentence` and `advice` in `zh` and `en`, `kind`,
    `layers` (genuine, in force, accepted here: passed, failed, open or null), `checks` (the steps walked),
    `notices`, `subject`, `actor`, `licenses`, `at`. Nothing about the object is said unless its genuine layer
    passed. Values may be bytes: write it with `to_text`.
    """
    facts = found.facts
    return {
        "outcome": found.outcome.value,
        "reason": found.reason.code if found.reason else None,
        "sentence": {"zh": found.reason.zh, "en": found.reason.en} if found.reason else None,
        "advice": {"zh": found.reason.advice_zh, "en": found.reason.advice_en} if found.reason else None,
        "kind": found.kind.value,
        "layers": {layer.value: result.value if result else None for layer, result in found.layers().items()},
        "checks": [
            {"step": check.step, "name": check.name, "result": check.result.value, "detail": check.detail}
            for check in found.checks
        ],
        "notices": [
            {
                "code": notice.code,
                "zh": NOTICES[notice.code][0],
                "en": NOTICES[notice.code][1],
                "detail": notice.detail,
            }
            for notice in found.notices
        ],
        "subject": _party(facts.subject) if facts else None,
        "actor": _party(facts.actor) if facts else None,
        "licenses": [_license(each) for each in facts.licenses] if facts else [],
        "at": found.at.isoformat(),
    }


def to_text(data: Mapping[str, Any]) -> str:
    """Data of an answer as one line of JSON: bytes as hex, Chinese as it is."""
    return json.dumps(data, ensure_ascii=False, default=_plain)


def _plain(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


def _party(party: Party | None) -> dict[str, Any] | None:
    if party is None:
        return None
    return {"id": party.id, "kind": party.kind, "role": party.role, "attributes": dict(party.attributes)}


def _license(each: LicenseFacts) -> dict[str, Any]:
    return {
        "type": each.type,
        "type_version": each.type_version,
        "issuer": each.issuer,
        "issuer_names": dict(each.issuer_names),
        "province": each.province,
        "area": each.area,
        "identifier": each.identifier,
        "version": each.version,
        "status": each.status,
        "fields": dict(each.fields),
        "issued_at": each.issued_at.isoformat(),
        "local": None if each.local is None else dict(each.local.fields),
    }
