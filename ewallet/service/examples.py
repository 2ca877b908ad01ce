"""What `/openapi.json` says of every call: one line, the body, an example, the answers."""

from __future__ import annotations

from typing import Any, Final

_PROBLEM: Final = {
    "description": "A problem in the form of RFC 9457.",
    "content": {
        "application/problem+json": {
            "schema": {
                "type": "object",
                "required": ["type", "status", "title"],
                "properties": {
                    "type": {"type": "string"},
                    "status": {"type": "integer"},
                    "title": {"type": "string"},
                },
            },
            "example": {"type": "about:blank", "status": 422, "title": "text is missing", "field": "text"},
        }
    },
}


def _answers(example: Any, *problems: int, status: int = 200, text: str = "The answer.") -> dict[int, Any]:
    return {
        status: {
            "description": text,
            "content": {"application/json": {"schema": {"type": "object"}, "example": example}},
        },
        **dict.fromkeys(problems, _PROBLEM),
    }


def _body(schema: dict[str, Any], example: Any, **others: Any) -> dict[str, Any]:
    json_form = {"schema": {"type": "object", **schema}, "example": example}
    return {"required": True, "content": {"application/json": json_form, **others}}


_TEXT: Final = {"type": "string"}
_FILE: Final = {"schema": {"type": "string", "format": "binary"}}

_ACCEPTED: Final = {
    "outcome": "ACCEPTED",
    "reason": None,
    "sentence": None,
    "advice": None,
    "kind": "document",
    "layers": {"genuine": "passed", "in force": "passed", "accepted here": "passed"},
    "checks": [{"step": 1, "name": "form", "result": "passed", "detail": ""}],
    "notices": [
        {
            "code": "presence.not_checked",
            "zh": "仅核验内容，未核验是否本人出示。",
            "en": "Content only: presence was not checked.",
            "detail": "",
        }
    ],
    "subject": None,
    "actor": None,
    "licenses": [
        {
            "type": "310100717000200",
            "type_version": "1",
            "issuer": "https://sh.ewallet.example/a/market",
            "issuer_names": {"zh": "示例市市场监督管理局", "en": "Example market regulator"},
            "province": "31",
            "area": "310115",
            "identifier": "1.2.156.3005.2...",
            "version": 1,
            "status": "valid",
            "fields": {"name": "示例餐饮有限公司"},
            "issued_at": "2026-03-02T04:00:00+00:00",
            "local": None,
        }
    ],
    "at": "2026-03-02T04:20:05+00:00",
}

VERIFY: Final[dict[str, Any]] = {
    "summary": "Verify a code, presentation, seal or document; a picture or PDF",
    "requestBody": _body(
        {
            "required": ["text"],
            "properties": {
                "text": {**_TEXT, "description": "What was scanned."},
                "answering": {**_TEXT, "description": "The question (EWQ) that this must answer."},
            },
        },
        {"text": "EWC2KCE..."},
        **dict.fromkeys(
            ("application/octet-stream", "application/pdf", "image/png", "image/jpeg", "text/plain"), _FILE
        ),
    ),
    "responses": _answers(_ACCEPTED, 400, 408, 409, 413, 415, 422, 429, 501),
}

CHALLENGE: Final[dict[str, Any]] = {
    "summary": "Make a signed question that a code must answer",
    "status": 201,
    "requestBody": _body(
        {
            "properties": {
                "attributes": {"type": "array", "items": _TEXT},
                "life": {"type": "integer", "minimum": 1, "maximum": 600},
            }
        },
        {"attributes": ["masked_name"], "life": 60},
    ),
    "responses": _answers(
        {
            "text": "EWQ2KCE...",
            "venue": "https://sh.ewallet.example/v/1",
            "scene": "counter",
            "attributes": ["masked_name"],
            "iat": 1772425205,
            "exp": 1772425265,
        },
        400,
        408,
        409,
        413,
        415,
        422,
        429,
        503,
        status=201,
        text="The question; `text` comes back as `answering`.",
    ),
}

_STATE: Final = {
    "terminal": "window 3",
    "now": "2026-03-02T04:20:05+00:00",
    "online": True,
    "degraded": [],
    "trust": {
        "signed_at": "2026-03-02T04:00:00+00:00",
        "age": 1205,
        "fresh": True,
        "root": "9f2c...",
        "provinces": ["31", "32"],
    },
    "status": {"lists": 2, "oldest": 600, "newest": 60},
    "clock": {"ok": True, "behind": 0},
    "policy": {
        "scene": "counter",
        "names": {"zh": "综合窗口", "en": "Service counter"},
        "venue": "https://sh.ewallet.example/v/1",
        "province": "31",
        "challenge": False,
        "forms": ["license", "rotating"],
    },
}
STATE: Final[dict[str, Any]] = {"summary": "What the status bar shows", "responses": _answers(_STATE)}
HEALTH: Final[dict[str, Any]] = {
    "summary": "Age of the lists, and what is degraded",
    "responses": _answers({"status": "ok", **_STATE}),
}
METRICS: Final[dict[str, Any]] = {
    "summary": "Counts for Prometheus",
    "responses": {200: {"description": "Counts.", "content": {"text/plain": {"schema": _TEXT}}}},
}

_STATIC: Final = {
    200: {"description": "The file.", "content": {"application/octet-stream": {"schema": _FILE["schema"]}}},
    304: {"description": "Not changed."},
    404: _PROBLEM,
}


def _path(example: str) -> list[dict[str, Any]]:
    return [{"name": "path", "in": "path", "required": True, "schema": _TEXT, "example": example}]


REPOSITORY: Final[dict[str, Any]] = {
    "summary": "The signed trust lists, as published",
    "parameters": _path("metadata/timestamp.json"),
    "responses": _STATIC,
}
STATUS: Final[dict[str, Any]] = {
    "summary": "The signed status lists, by host and path of their URI",
    "parameters": _path("sh.ewallet.example/status/market/1.cwt"),
    "responses": _STATIC,
}
