"""Writes `licenses.json`: documents, presentations and seals at a counter, one fault for each case.

Usable from other languages: keys, who is listed for what, signed status lists, what is shown, when, and what
must come out. Signatures and salts are fresh at every run, everything else is not.
Run: `python tests/vectors/make_licenses.py`.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from ewallet.formats import statuslist
from ewallet.formats.statuslist import StatusList, StatusReference
from ewallet.keys import SigningKey
from ewallet.licenses import credentials
from ewallet.licenses.catalog import Catalog
from ewallet.licenses.issuer import critical_fields
from ewallet.licenses.license import Holder, License, face_digest
from ewallet.licenses.numbers import identifier
from ewallet.licenses.presenting import present
from ewallet.licenses.printed import seal_copy
from ewallet.licenses.seal import Role
from ewallet.wire import b64u_encode

TARGET = Path(__file__).resolve().parent / "licenses.json"
NOW = datetime(2026, 3, 2, 4, 20, 5, tzinfo=UTC)
ISSUER = "https://sh.ewallet.example/a/market"
NARROW = "https://sh.ewallet.example/a/narrow"
PREFIX = "https://sh.ewallet.example/status/market/"
LIST = PREFIX + "1"
VENUE = "https://sh.ewallet.example/v/1"
COUNTER = "https://js.ewallet.example/v/1"
BASE = "https://ewallet.example"
NAMES = ("licenses", "status", "narrow", "codes", "stranger", "device", "other")
KEYS = {name: SigningKey("ES256", sha256(f"ewallet test key {name}".encode()).digest()) for name in NAMES}
TYPE = Catalog.builtin()["business-license"]
USCC = "91310101MA9X000018"
FACE = (
    ("uscc", USCC),
    ("name", "上海喆示例食品有限公司"),
    ("company_type", "有限责任公司"),
    ("legal_representative", "张𬭎样例"),
    ("registered_capital", "壹佰万元人民币"),
    ("established_on", "2019-03-05"),
    ("valid_until", "2049-03-04"),
    ("address", "上海市黄浦区样例路1号"),
    ("scope", "食品销售；食品互联网销售。"),
    ("issued_on", "2026-03-01"),
)
VALID, REVOKED, SUSPENDED, SUPERSEDED, BEYOND = 11, 22, 33, 44, 5000


def license_(idx: int = VALID, **changes: Any) -> License:
    """One version of a made-up business license."""
    salt = sha256(b"face salt").digest()[:16]
    base = License(
        type_code=TYPE.code,
        type_key=TYPE.key,
        type_version=TYPE.version,
        identifier=identifier.make(TYPE.code, "11310101MB2F00001A", USCC, 1),
        number=USCC,
        version=1,
        replaces=None,
        authority=ISSUER,
        authority_name="上海市示例区市场监督管理局",
        area="310101",
        holders=(Holder(name="上海喆示例食品有限公司", code=USCC, kind="001"),),
        face=FACE,
        valid_from=date(2019, 3, 5),
        valid_until=date(2049, 3, 4),
        issued_on=date(2026, 3, 1),
        issued_at=int(NOW.timestamp()) - 3600,
        salt=salt,
        digest_name="sha256",
        face_digest=face_digest(FACE, salt),
        document_status=StatusReference(idx=idx, uri=LIST),
    )
    return replace(base, **changes)


def document(made: License, signer: str = "licenses", now: datetime = NOW) -> str:
    return credentials.make_document(made, TYPE, KEYS[signer], base=BASE, now=now - timedelta(hours=1))


def seal(idx: int = VALID, signer: str = "licenses", **changes: Any) -> str:
    made = license_(**changes)
    return seal_copy(
        made,
        KEYS[signer],
        role=Role.ORIGINAL,
        number=1,
        of=1,
        stock="SH0000001",
        critical=critical_fields(made, TYPE),
        salt=sha256(b"seal salt").digest()[:16],
        status=StatusReference(idx=idx, uri=LIST),
        issued_at=made.issued_at,
    ).seal


def holder(idx: int = VALID, device: str = "device", signer: str = "licenses") -> bytes:
    return credentials.make_holder_cwt(
        license_(),
        TYPE,
        KEYS[signer],
        base=BASE,
        holder_index=0,
        device_key=KEYS[device].public_key,
        status=StatusReference(idx=idx, uri=LIST),
        now=NOW - timedelta(hours=1),
    )


def shown(
    at: datetime = NOW, *, device: str = "device", audience: str = VENUE, disclose=("name", "uscc"), **of: Any
) -> str:
    return present(holder(**of), KEYS[device], audience=audience, nonce=None, disclose=disclose, now=at)


def forged_holder() -> str:
    """A presentation signed by another device than the credential names."""
    from ewallet.formats import sdcwt, text

    prepared = sdcwt.prepare(holder(), audience=VENUE, now=NOW, disclose=("name",))
    from ewallet.formats import cose

    signature = KEYS["other"].sign(prepared.to_be_signed)
    return text.encode(text.LICENSE, cose.assemble(prepared.protected, prepared.payload, signature))


def without_disclosure(token: str, name: str) -> str:
    from ewallet.wire import b64u_decode, decode_json

    jwt, *rest = token.split("~")
    return "~".join([jwt, *(each for each in rest if not each or decode_json(b64u_decode(each))[1] != name)])


def case(name: str, what: str, scan: Any, reason: str | None = None, **more: Any) -> dict[str, Any]:
    text = {"bytes": scan.hex()} if isinstance(scan, bytes) else {"text": scan}
    return {"name": name, "what": what, "scan": text, "reason": reason, **more}


def cases() -> list[dict[str, Any]]:
    good, sealed = document(license_()), seal()
    strange = license_(authority="https://sh.ewallet.example/a/stranger")
    far = license_(authority=NARROW)
    future = license_(valid_from=date(2026, 4, 1))
    short = license_(valid_until=date(2026, 3, 1))
    middle = good.index("~") - 20  # inside the signature
    return [
        case("document", "none", good, fields=dict(FACE), version=1),
        case("document-less", "none: one field left out", without_disclosure(good, "scope"),
             fields={key: value for key, value in FACE if key != "scope"}),
        case("document-flipped", "one character of the signature changed",
             good[:middle] + ("A" if good[middle] != "A" else "B") + good[middle + 1 :], "signature.issuer"),
        case("document-disclosure-twice", "a disclosure twice", good + good.split("~")[1] + "~", "disclosure.mismatch"),
        case("document-stranger", "an issuer that nobody lists", document(strange, "stranger"), "issuer.unknown"),
        case("document-other-key", "a key that is not the issuer's", document(license_(), "stranger"), "issuer.key_unknown"),
        case("document-status-key", "signed with the issuer's key for status lists", document(license_(), "status"), "issuer.service"),
        case("document-type", "a type that the issuer was not granted", document(replace(far, area="310115"), "narrow"), "issuer.type_not_granted"),
        case("document-region", "a region that the issuer was not granted", document(replace(license_(), area="320500")), "issuer.region"),
        case("document-early", "before its first day", document(future), "license.not_yet_valid"),
        case("document-ended", "after its last day", document(short, now=NOW - timedelta(days=30)), "license.expired"),
        case("document-revoked", "revoked", document(license_(REVOKED)), "license.revoked"),
        case("document-suspended", "suspended", document(license_(SUSPENDED)), "license.suspended"),
        case("document-superseded", "a newer version exists", document(license_(SUPERSEDED)), "license.superseded"),
        case("document-beyond", "an index beyond the list", document(license_(BEYOND)), "status.unavailable"),
        case("document-other-prefix", "a list outside the issuer's prefix",
             document(license_(document_status=StatusReference(idx=1, uri="https://else.example/status/1"))), "status.unavailable"),
        case("document-no-list", "a list that is not at hand",
             document(license_(document_status=StatusReference(idx=1, uri=PREFIX + "9"))), "status.unavailable"),
        case("document-late-list", "the list is past its time", good, "status.stale", after=8 * 86400, scene="metro-lists"),
        case("document-presence", "a document where a person must present", good, "holder.binding_missing", scene="government-hall"),
        case("document-no-licenses", "a counter that takes no licenses", good, "policy.scene", narrow={"forms": ["rotating"]}),
        case("document-other-type", "another type is wanted", good, "policy.type", narrow={"types": ["310101360000100"]}),
        case("document-field", "a field that is needed here was left out", without_disclosure(good, "scope"), "policy.field_missing", wanted=["scope"]),
        case("document-province", "another province's licenses are not taken", good, "policy.province", narrow={"provinces": ["32"]}),
        case("document-abroad", "no recognition rule", good, "recognition.no_rule", province="32"),
        case("seal", "none", sealed, fields=critical_fields(license_(), TYPE), version=1),
        case("seal-flipped", "one character changed", sealed[:60] + ("A" if sealed[60] != "A" else "B") + sealed[61:], "*"),
        case("seal-stranger", "an issuer that nobody lists", seal(signer="stranger", authority="https://sh.ewallet.example/a/stranger"), "issuer.unknown"),
        case("seal-withdrawn", "this copy was recalled or lost", seal(REVOKED), "printed.withdrawn"),
        case("seal-suspended", "the license is suspended", seal(SUSPENDED), "license.suspended"),
        case("seal-superseded", "an old edition", seal(SUPERSEDED), "printed.superseded"),
        case("seal-ended", "the license has ended", seal(valid_until=date(2026, 3, 1), issued_at=int(NOW.timestamp()) - 30 * 86400), "license.expired"),
        case("seal-presence", "a seal where a person must present", sealed, "code.static", scene="government-hall"),
        case("presentation", "none", shown(), fields={"name": FACE[1][1], "uscc": USCC}),
        case("presentation-least", "none: nothing disclosed", shown(disclose=()), fields={}),
        case("presentation-late", "made 31 s ago", shown(NOW - timedelta(seconds=31)), "code.expired"),
        case("presentation-early", "made 11 s ahead", shown(NOW + timedelta(seconds=11)), "code.from_future"),
        case("presentation-elsewhere", "made for another place", shown(audience=COUNTER), "code.audience"),
        case("presentation-other-device", "signed by another device", forged_holder(), "signature.holder"),
        case("presentation-bare", "the credential without its device", holder(), "holder.binding_missing"),
        case("presentation-revoked", "revoked", shown(idx=REVOKED), "license.revoked"),
        case("presentation-code-key", "signed by a code authority", shown(signer="codes"), "*"),
        case("presentation-as-code", "a presentation under the letters of a code", "EWC" + shown()[3:], "credential.malformed"),
    ]  # fmt: skip


def lists() -> dict[str, str]:
    entries = StatusList(bits=2, size=1024)
    entries.update([(REVOKED, 1), (SUSPENDED, 2), (SUPERSEDED, 3)])
    token = statuslist.issue_cwt(
        entries,
        KEYS["status"],
        uri=LIST,
        now=NOW - timedelta(hours=1),
        ttl=7 * 86400,
        exp=NOW + timedelta(days=7),
    )
    return {LIST: b64u_encode(token)}


def main() -> None:
    data = {
        "format": 1,
        "description": "Licenses at a counter (docs/format.md, sections 8 to 10): documents, seals and presentations. "
        "`reason` null: accepted; `*`: refused for one of several reasons. Scene `counter` of the shipped ones unless "
        "named, venue and province as given. The keys are for tests only; their secrets are published here.",
        "now": int(NOW.timestamp()),
        "venue": VENUE,
        "province": "31",
        "issuers": [
            {"uri": ISSUER, "label": "market", "types": ["*"], "regions": ["31"], "keys": {"licenses": "licenses", "status": "status"}},
            {"uri": NARROW, "label": "narrow", "types": ["310101360000100"], "regions": ["31"], "keys": {"licenses": "narrow"}},
            {"uri": "https://sh.ewallet.example/a/codes", "label": "codes", "types": [], "regions": ["31"], "keys": {"codes": "codes"}},
        ],
        "status_lists": lists(),
        "keys": {name: key.unsafe_to_jwk() for name, key in KEYS.items()},
        "cases": cases(),
    }  # fmt: skip
    TARGET.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
