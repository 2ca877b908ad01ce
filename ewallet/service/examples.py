"""What `/openapi.json` says of every call: one line, the body, an example, the answers."""

from __future__ import annotations

from typing import Any, Final

_PROBLEM: Final[dict[str, Any]] = {
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

_USE: Final[dict[str, Any]] = {
    "type": "object",
    "description": "What it is for: goes to the record and the receipt.",
    "additionalProperties": False,
    "properties": dict.fromkeys(("officer", "matter", "case", "purpose"), _TEXT),
}

VERIFY: Final[dict[str, Any]] = {
    "summary": "Verify a code, presentation, seal or document; a picture or PDF",
    "requestBody": _body(
        {
            "required": ["text"],
            "properties": {
                "text": {**_TEXT, "description": "What was scanned."},
                "answering": {**_TEXT, "description": "The question (EWQ) that this must answer."},
                "use": _USE,
            },
        },
        {"text": "EWC2KCE..."},
        **dict.fromkeys(
            ("application/octet-stream", "application/pdf", "image/png", "image/jpeg", "text/plain"), _FILE
        ),
    ),
    "responses": _answers(_ACCEPTED, 400, 401, 403, 408, 409, 413, 415, 422, 429, 501, 503),
}

DECIDE: Final[dict[str, Any]] = {
    "summary": "Decide by hand what ended undecided, with the reason",
    "status": 201,
    "requestBody": _body(
        {
            "required": ["text", "officer", "reason", "go_ahead"],
            "properties": {
                "text": {**_TEXT, "description": "What was scanned: it must end undecided again."},
                "answering": {**_TEXT, "description": "The question (EWQ) that it answers."},
                "officer": {**_TEXT, "description": "Who decides.", "maxLength": 200},
                "reason": {**_TEXT, "description": "Why.", "maxLength": 500},
                "go_ahead": {"type": "boolean"},
                "use": _USE,
            },
        },
        {
            "text": "EWL2KCE...",
            "officer": "clerk 1",
            "reason": "no rule between the two provinces; the issuer confirmed it by telephone",
            "go_ahead": True,
            "use": {"matter": "M-1", "case": "2026-0042"},
        },
    ),
    "responses": _answers(
        {
            "decided": "by hand",
            "go_ahead": True,
            "outcome": "UNDECIDED",
            "reason": "recognition.no_rule",
            "recorded": 1204,
            "receipt": None,
            "at": "2026-03-02T04:20:05+00:00",
        },
        *(400, 401, 403, 408, 409, 413, 415, 422, 429, 503),
        status=201,
        text="Recorded; the outcome stays UNDECIDED. 409: decided by now (`found`), or no log is kept here.",
    ),
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
    "responses": _answers({"health": "ok", **_STATE}),
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

CATALOG: Final[dict[str, Any]] = {
    "summary": "The license types: codes, names, fields",
    "responses": {
        **_answers(
            {
                "types": [
                    {
                        "key": "business-license",
                        "code": "11100000MB0143028R001",
                        "version": 1,
                        "names": {"zh": "营业执照", "en": "Business license"},
                        "fields": [{"key": "name", "zh": "名称", "en": "Name", "type": "text"}],
                    }
                ]
            }
        ),
        304: {"description": "Not changed."},
    },
}

# --- agencies -----------------------------------------------------------------------------------------------

_CASE: Final = {
    "type": "object",
    "required": ["operator"],
    "additionalProperties": False,
    "properties": {
        "number": {**_TEXT, "description": "The same number with the same content gives the same again."},
        "matter": _TEXT,
        "operator": _TEXT,
        "second_operator": {**_TEXT, "description": "From a partner that attests to it: who confirmed."},
    },
}
_CASE_EXAMPLE: Final = {"number": "2026-0042", "matter": "310100-0001", "operator": "clerk-7"}
_RECORD: Final = {"type": "object", "additionalProperties": _TEXT}
_SHEETS: Final = {
    "type": "object",
    "properties": {
        "originals": {"type": "integer", "minimum": 0, "maximum": 99},
        "duplicates": {"type": "integer", "minimum": 0, "maximum": 99},
        "stock": {"type": "array", "items": _TEXT},
    },
}
_LICENSE: Final = {
    "identifier": "1.2.156.3005.2...",
    "type": "11100000MB0143028R001",
    "number": "91310000MA0000000X",
    "version": 1,
    "replaces": None,
    "area": "310115",
    "valid_from": "2026-03-02",
    "valid_until": None,
    "issued_on": "2026-03-02",
    "face": {"name": "示例餐饮有限公司"},
}
_ISSUED: Final = {**_LICENSE, "document": "eyJ...~", "again": False, "printed": []}
_WRITES: Final = (400, 401, 403, 404, 408, 409, 413, 415, 422, 429, 503)
_KEY: Final = [
    {
        "name": "Idempotency-Key",
        "in": "header",
        "required": False,
        "schema": {**_TEXT, "maxLength": 200},
        "description": "Stands for a case number where there is none.",
    }
]

_PENDING: Final = {"pending": "0b6e" * 8, "expires": "2026-03-03T04:20:05+00:00"}
_WAITS: Final = "The type wants two officers: it waits until another partner confirms it."

ISSUE: Final[dict[str, Any]] = {
    "summary": "Issue a license",
    "status": 201,
    "parameters": _KEY,
    "requestBody": _body(
        {
            "required": ["type", "record", "case"],
            "properties": {
                "type": _TEXT,
                "record": _RECORD,
                "images": {**_RECORD, "description": "JPEG of image fields, base64url."},
                "printed": _SHEETS,
                "case": _CASE,
                "reason": _TEXT,
            },
        },
        {
            "type": "business-license",
            "record": {"name": "示例餐饮有限公司"},
            "case": _CASE_EXAMPLE,
            "reason": "established",
        },
    ),
    "responses": {
        **_answers(_ISSUED, *_WRITES, status=201),
        **_answers(_ISSUED, text="Issued before."),
        **_answers(_PENDING, status=202, text=_WAITS),
    },
}
CHANGE: Final[dict[str, Any]] = {
    "summary": "Amend, renew, correct, annotate, suspend, restore or revoke a license",
    "parameters": [
        {
            "name": "act",
            "in": "path",
            "required": True,
            "schema": {
                "type": "string",
                "enum": ["amend", "renew", "correct", "annotate", "suspend", "restore", "revoke"],
            },
        },
        *_KEY,
    ],
    "requestBody": _body(
        {
            "required": ["identifier", "reason", "case"],
            "properties": {
                "identifier": _TEXT,
                "changes": {**_RECORD, "description": "For amend, renew and correct."},
                "images": _RECORD,
                "printed": _SHEETS,
                "text": {**_TEXT, "description": "For annotate."},
                "kind": {"type": "string", "enum": ["revoked", "withdrawn", "cancelled"]},
                "case": _CASE,
                "reason": _TEXT,
            },
        },
        {"identifier": "1.2.156.3005.2...", "reason": "missed inspection", "case": _CASE_EXAMPLE},
    ),
    "responses": {
        **_answers(_LICENSE, *_WRITES),
        **_answers(_PENDING, status=202, text=_WAITS),
    },
}
CONFIRMATIONS: Final[dict[str, Any]] = {
    "summary": "What waits for a second officer; values for those who may confirm only",
    "responses": _answers(
        {
            "confirmations": [
                {
                    **_PENDING,
                    "digest": "9f2c" * 16,
                    "content": {
                        "act": "revoke",
                        "type": "11100000MB0143028R001",
                        "identifier": "1.2.156.3005.2...",
                        "changes": {},
                        "text": "",
                        "images": {},
                        "printed": None,
                        "reason": "by the law",
                        "case": _CASE_EXAMPLE,
                        "authority": "https://sh.ewallet.example/a/market",
                        "partner": "market-1",
                    },
                }
            ],
            "more": False,
        },
        *(401, 403, 429, 503),
    ),
}
_DECISION: Final = {"pending": {**_TEXT, "description": "Its name."}, "operator": _TEXT}
CONFIRM: Final[dict[str, Any]] = {
    "summary": "Confirm what waits, as another partner's officer: it is done now",
    "requestBody": _body(
        {
            "required": ["pending", "digest", "operator"],
            "properties": {
                **_DECISION,
                "digest": {
                    **_TEXT,
                    "description": "SHA-256, hex, of the content shown, in canonical JSON (RFC 8785).",
                },
            },
        },
        {"pending": "0b6e" * 8, "digest": "9f2c" * 16, "operator": "clerk-9"},
    ),
    "responses": {
        **_answers(_LICENSE, *_WRITES, 410),
        **_answers(_ISSUED, status=201, text="A license was issued."),
    },
}
REJECT: Final[dict[str, Any]] = {
    "summary": "Reject what waits; who asked withdraws it so",
    "requestBody": _body(
        {
            "required": ["pending", "operator", "reason"],
            "properties": {**_DECISION, "reason": {**_TEXT, "description": "Who asked is told."}},
        },
        {"pending": "0b6e" * 8, "operator": "clerk-9", "reason": "the hearing is missing"},
    ),
    "responses": _answers({"pending": "0b6e" * 8, "state": "rejected"}, *_WRITES, 410),
}
SHOW: Final[dict[str, Any]] = {
    "summary": "A version of a license as recorded",
    "requestBody": _body(
        {"required": ["identifier"], "properties": {"identifier": _TEXT}}, {"identifier": "1.2.156.3005.2..."}
    ),
    "responses": _answers({**_LICENSE, "state": "valid", "newest_version": 1}, *_WRITES),
}
NONCE: Final[dict[str, Any]] = {
    "summary": "A nonce that a device signs to be bound",
    "status": 201,
    "responses": _answers(
        {"authority": "https://sh.ewallet.example/a/market", "nonce": "AAAA..."},
        401,
        403,
        429,
        503,
        status=201,
    ),
}
BIND: Final[dict[str, Any]] = {
    "summary": "Holder credentials for a device key",
    "status": 201,
    "requestBody": _body(
        {
            "required": ["identifier", "key", "proof"],
            "properties": {
                "identifier": _TEXT,
                "holder_index": {"type": "integer", "minimum": 0, "maximum": 999},
                "key": {"type": "object"},
                "proof": _TEXT,
            },
        },
        {
            "identifier": "1.2.156.3005.2...",
            "holder_index": 0,
            "key": {"kty": "EC", "crv": "P-256", "x": "...", "y": "..."},
            "proof": "AAAA...",
        },
    ),
    "responses": _answers({"sd_jwt": "eyJ...", "sd_cwt": "2oR..."}, *_WRITES, status=201),
}
EVENTS: Final[dict[str, Any]] = {
    "summary": "What changed, in order and without gaps: for a city library",
    "parameters": [
        {
            "name": "after",
            "in": "query",
            "schema": {"type": "integer", "minimum": 0, "maximum": 999999999999999999},
        },
        {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 1000}},
    ],
    "responses": _answers(
        {
            "events": [
                {
                    "id": 1,
                    "identifier": "1.2.156.3005.2...",
                    "version": 1,
                    "kind": "issue",
                    "state": "valid",
                    "at": 1772425205,
                    "reason": "established",
                    "case": _CASE_EXAMPLE,
                    "detail": {},
                }
            ],
            "last": 1,
        },
        401,
        403,
        422,
        429,
        503,
    ),
}
_JOB: Final = {
    "job": "9f2c...",
    "state": "running",
    "rows": 2000,
    "issued": 0,
    "again": 0,
    "rejected": 0,
    "problem": "",
    "machine": "issuing-1-4f0a2b",
    "at": 1772425205,
}
_JOB_NAME: Final = {"name": "job", "in": "path", "required": True, "schema": _TEXT}
JOB_START: Final[dict[str, Any]] = {
    "summary": "Issue an agency's export in the background",
    "status": 202,
    "parameters": [
        {"name": "type", "in": "query", "required": True, "schema": _TEXT, "example": "business-license"},
        {"name": "X-Ewallet-Operator", "in": "header", "required": True, "schema": _TEXT},
        {
            "name": "X-Ewallet-Second-Operator",
            "in": "header",
            "required": False,
            "schema": _TEXT,
            "description": "From a partner that attests to it: who confirmed, where the type wants two.",
        },
    ],
    "requestBody": {
        "required": True,
        "content": {"text/csv": {"schema": _TEXT}, "application/jsonl": {"schema": _TEXT}},
    },
    "responses": _answers(_JOB, *_WRITES, status=202, text="Taken; the same file is the same job."),
}
JOB: Final[dict[str, Any]] = {
    "summary": "How far a bulk job is",
    "parameters": [_JOB_NAME],
    "responses": _answers({**_JOB, "state": "done", "issued": 2000}, 401, 403, 404, 429, 503),
}
JOB_FILE: Final[dict[str, Any]] = {
    "summary": "results.csv or rejects.csv of a bulk job",
    "parameters": [
        _JOB_NAME,
        {
            "name": "file",
            "in": "path",
            "required": True,
            "schema": {"type": "string", "enum": ["results.csv", "rejects.csv"]},
        },
    ],
    "responses": {
        200: {"description": "The file.", "content": {"text/csv": {"schema": _TEXT}}},
        **dict.fromkeys((401, 403, 404, 409, 429, 503), _PROBLEM),
    },
}
NUMBER: Final[dict[str, Any]] = {
    "summary": "Whether a license of a typed number is in force, and nothing else",
    "requestBody": _body({"required": ["number"], "properties": {"number": _TEXT}}, {"number": "JY131..."}),
    "responses": _answers(
        {
            "status": "valid",
            "licenses": [
                {
                    "type": "310100717000200",
                    "type_key": "business-license",
                    "names": {"zh": "营业执照", "en": "Business license"},
                    "state": "valid",
                    "in_force": True,
                }
            ],
            "at": "2026-03-02T04:20:05+00:00",
        },
        *_WRITES,
    ),
}

# --- sharing ------------------------------------------------------------------------------------------------

_SHARED: Final = {
    "code": 0,
    "zh": "成功",
    "en": "OK",
    "detail": "",
    "pdf": "JVBERi0...",
    "statement": "0oRY...",
    "from": "https://js.ewallet.example/a/market",
    "local": {
        "rule": "32-31-business-license",
        "reason": None,
        "relation": "exact",
        "fields": {},
        "unmapped": [],
    },
}
_REFUSED: Final = {
    "code": 100,
    "zh": "无权限调用",
    "en": "No permission",
    "detail": "code: used for another case",
    "reason": "code.replayed",
}


def _coded(*problems: int) -> dict[int, Any]:
    """Answers with a code of the field: the status line follows the code."""
    refusal = {
        "description": "Answered with another code, or a problem.",
        "content": {
            "application/json": {"schema": {"type": "object"}, "example": _REFUSED},
            **_PROBLEM["content"],
        },
    }
    return {
        **_answers(_SHARED, *problems),
        **dict.fromkeys((401, 403, 404, 409, 410, 422), refusal),
    }


RETRIEVE: Final[dict[str, Any]] = {
    "summary": "Retrieve a license wherever it was issued, as an annotated copy",
    "requestBody": _body(
        {
            "required": [
                "organization",
                "operator",
                "position",
                "matter",
                "matter_name",
                "case",
                "purpose",
                "until",
            ],
            "properties": {
                "code": {
                    **_TEXT,
                    "description": "Supply code (EWU) from the holder's phone: stands for `type`, `region`, "
                    "`holder` or `number`, and `consent` or `basis`; none of them beside it.",
                },
                "type": {**_TEXT, "description": "Type code, or short name; required without `code`."},
                "holder": {**_TEXT, "description": "Number of the holder; or give `number`."},
                "number": {**_TEXT, "description": "License number; or give `holder`."},
                "organization": _TEXT,
                "operator": _TEXT,
                "position": {**_TEXT, "description": "URI of the window or device."},
                "matter": _TEXT,
                "matter_name": _TEXT,
                "case": _TEXT,
                "purpose": _TEXT,
                "region": {
                    **_TEXT,
                    "description": "Area code or two digits of the province of issue; not with `code`.",
                },
                "until": {"type": "string", "format": "date"},
                "consent": {**_TEXT, "description": "The holder's signed consent, base64; or give `basis`."},
                "basis": {**_TEXT, "description": "Id of a legal basis; or give `consent`."},
            },
        },
        {
            "type": "business-license",
            "holder": "91320000MA0000000X",
            "organization": "示例市政务服务中心",
            "operator": "clerk-7",
            "position": "https://sh.ewallet.example/v/1",
            "matter": "310100-0001",
            "matter_name": "食品经营许可",
            "case": "2026-0042",
            "purpose": "办理食品经营许可",
            "region": "32",
            "until": "2026-03-31",
            "consent": "0oRY...",
        },
    ),
    "responses": _coded(400, 408, 413, 415, 429, 503),
}
SUPPLY: Final[dict[str, Any]] = {
    "summary": "Answer an ask that a listed verifier signed",
    "requestBody": _body({"required": ["ask"], "properties": {"ask": _TEXT}}, {"ask": "0oRY..."}),
    "responses": _coded(400, 408, 413, 415, 429, 503),
}
USES: Final[dict[str, Any]] = {
    "summary": "Who used a license, for its holder",
    "requestBody": _body({"required": ["proof"], "properties": {"proof": _TEXT}}, {"proof": "0oRY..."}),
    "responses": _answers(
        {
            "identifier": "1.2.156.3005.2...",
            "uses": [
                {
                    "at": 1772425205,
                    "identifier": "1.2.156.3005.2...",
                    "side": "supplied",
                    "code": 0,
                    "recipient": "https://sh.ewallet.example/a/counter",
                    "organization": "示例市政务服务中心",
                    "operator": "clerk-7",
                    "position": "https://sh.ewallet.example/v/1",
                    "matter": "310100-0001 食品经营许可",
                    "case": "2026-0042",
                    "purpose": "办理食品经营许可",
                    "ground": "consent",
                    "until": "2026-03-31",
                    "trust_version": 3,
                }
            ],
            "laws": {},
        },
        *_WRITES,
    ),
}

_QUERY: Final = {
    "credentials": [
        {
            "id": "license_1",
            "format": "dc+sd-jwt",
            "meta": {"vct_values": ["https://ewallet.example/vct/11100000MB0143028R001/1"]},
            "claims": [{"path": ["name"]}],
        }
    ]
}
REQUEST: Final[dict[str, Any]] = {
    "summary": "Make a signed question for licenses and fields (DCQL)",
    "status": 201,
    "requestBody": _body(
        {
            "required": ["query", "about"],
            "properties": {
                "query": {"type": "object"},
                "about": {"type": "object", "additionalProperties": _TEXT},
                "life": {"type": "integer", "minimum": 1, "maximum": 600},
            },
        },
        {"query": _QUERY, "about": {"purpose": "办理食品经营许可", "case": "2026-0042"}},
    ),
    "responses": _answers(
        {
            "text": "EWQ2KCE...",
            "venue": "https://sh.ewallet.example/v/1",
            "scene": "counter",
            "iat": 1772425205,
            "exp": 1772425265,
        },
        *_WRITES,
        status=201,
    ),
}

# --- objections ---------------------------------------------------------------------------------------------

_TRAIL: Final = {
    "case": "00112233445566778899aabbccddeeff",
    "issuer": "https://js.ewallet.example/a/market",
    "field": "address",
    "open": True,
    "result": None,
    "messages": [
        {
            "act": "raise",
            "at": "2026-03-02T04:20:05+00:00",
            "entity": "https://sh.ewallet.example/a/market",
            "to": "https://js.ewallet.example/a/market",
            "result": None,
            "text": "the address differs from the registered one",
        }
    ],
}
_CASE_BODY: Final = {"case": {"type": "string", "pattern": "^[0-9a-f]{32}$"}, "text": _TEXT}
_CASE_SENT: Final = {"case": "00112233445566778899aabbccddeeff"}
OBJECTION: Final[dict[str, Any]] = {
    "summary": "Object to one field of a license that was retrieved",
    "status": 201,
    "requestBody": _body(
        {
            "required": ["statement", "field", "evidence"],
            "properties": {"statement": _TEXT, "field": _TEXT, "evidence": _TEXT, "text": _TEXT},
        },
        {"statement": "0oRY...", "field": "address", "evidence": "JVBERi0..."},
    ),
    "responses": _answers({**_TRAIL, "sent": True}, *_WRITES, status=201),
}
OBJECTIONS: Final[dict[str, Any]] = {
    "summary": "All objections, and the notices to be published",
    "responses": _answers({"objections": [_TRAIL], "notices": []}, 401, 403, 429, 503),
}
OBJECTION_ANSWER: Final[dict[str, Any]] = {
    "summary": "Answer an objection, for the issuing province",
    "requestBody": _body(
        {
            "required": ["case", "result"],
            "properties": {
                **_CASE_BODY,
                "result": {"type": "string", "enum": ["upheld", "rejected", "corrected"]},
            },
        },
        {**_CASE_SENT, "result": "corrected"},
    ),
    "responses": _answers({**_TRAIL, "sent": True}, *_WRITES),
}
OBJECTION_CLOSE: Final[dict[str, Any]] = {
    "summary": "Close an objection",
    "requestBody": _body({"required": ["case"], "properties": _CASE_BODY}, _CASE_SENT),
    "responses": _answers({**_TRAIL, "open": False, "sent": True}, *_WRITES),
}
OBJECTION_SEND: Final[dict[str, Any]] = {
    "summary": "Send an objection's trail once more",
    "requestBody": _body({"required": ["case"], "properties": _CASE_BODY}, _CASE_SENT),
    "responses": _answers({**_TRAIL, "sent": True}, *_WRITES),
}
TRAIL: Final[dict[str, Any]] = {
    "summary": "Take a trail from another authority",
    "status": 201,
    "requestBody": _body(
        {"required": ["trail"], "properties": {"trail": {"type": "array", "items": _TEXT}}},
        {"trail": ["0oRY..."]},
    ),
    "responses": _answers(_TRAIL, *_WRITES, status=201),
}

# --- ratings ------------------------------------------------------------------------------------------------

_TOKEN: Final = "A" * 43
_CORRECTION: Final = {"case": 1, "opened": "2026-03-02", "text": "too slow", "answer": "", "answered": None}


def _rating(
    summary: str, properties: dict[str, Any], sent: dict[str, Any], got: Any, status: int = 200
) -> Any:
    body = _body({"required": sorted(sent), "properties": properties}, sent)
    return {
        "summary": summary,
        "status": status,
        "requestBody": body,
        "responses": _answers(got, *_WRITES, status=status),
    }


RATE: Final[dict[str, Any]] = _rating(
    "Rate a service, once, with the token of a receipt",
    {"token": _TEXT, "good": {"type": "boolean"}, "text": _TEXT},
    {"token": _TOKEN, "good": True},
    {"case": None},
    201,
)
RATING_MINE: Final[dict[str, Any]] = _rating(
    "What became of a bad rating, for who gave it", {"token": _TEXT}, {"token": _TOKEN}, _CORRECTION
)
RATING_TOKEN: Final[dict[str, Any]] = _rating(
    "Tell the digest of a receipt's token",
    {"digest": _TEXT, "venue": _TEXT},
    {"digest": _TOKEN, "venue": "https://sh.ewallet.example/v/1"},
    {"registered": True},
    201,
)
RATING_TOTALS: Final[dict[str, Any]] = _rating(
    "Totals of a venue, once enough have rated",
    {"venue": _TEXT},
    {"venue": "https://sh.ewallet.example/v/1"},
    {"venue": "https://sh.ewallet.example/v/1", "totals": {"good": 40, "bad": 2}},
)
RATING_CASES: Final[dict[str, Any]] = _rating(
    "Corrections of a venue",
    {"venue": _TEXT},
    {"venue": "https://sh.ewallet.example/v/1"},
    {"venue": "https://sh.ewallet.example/v/1", "cases": [_CORRECTION]},
)
RATING_CORRECTION: Final[dict[str, Any]] = _rating(
    "Answer a correction",
    {"case": {"type": "integer"}, "text": _TEXT, "officer": _TEXT},
    {"case": 1, "text": "a second window is open now", "officer": "clerk-7"},
    {**_CORRECTION, "answer": "a second window is open now", "answered": "2026-03-03"},
)
