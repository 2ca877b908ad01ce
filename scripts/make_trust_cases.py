"""Writes `ewallet/trust/data/conformance.json`: one world, many questions, the reasons they must get.

The reasons are stated here by hand; the tests check that our own decision gives them.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from ewallet.moments import seconds
from ewallet.trust.authoring import Authority, Consortium
from ewallet.trust.entries import Grant, Service
from ewallet.trust.scenes import DATA
from ewallet.trust.statements import make_statement
from ewallet.trust.times import time_text
from ewallet.wire import b64u_encode

if TYPE_CHECKING:
    from ewallet.keys import PublicKey

START = datetime(2026, 5, 1, tzinfo=UTC)
NOW = START + timedelta(days=10)
DAY = timedelta(days=1)
TYPE, OTHER = "310100717000200", "310101360000100"


def main() -> None:
    """Makes the world, asks the questions, writes the file."""
    consortium = Consortium.sandbox(("31", "32"), now=START)
    add = consortium.add_authority
    everything = tuple(Service)
    names = {"zh": "示例机关", "en": "Example authority"}
    market = add("31", "market", names=names, services=everything, now=START)
    registry = add("32", "registry", names=names, services=everything, now=START)
    narrow = add(
        "31",
        "narrow",
        names=names,
        grant=Grant(types=frozenset((TYPE,)), regions=frozenset(("310115",)), start=seconds(START)),
        now=START,
    )
    eager = add(
        "31",
        "eager",
        names=names,
        grant=Grant(types=frozenset(("*",)), regions=frozenset(("32",)), start=seconds(START)),
        now=START,
    )
    gone, paused, stolen, braked = (
        add("31", label, names=names, now=START) for label in ("gone", "paused", "stolen", "braked")
    )
    old_key = {item.uri: item.signer(Service.LICENSES).public_key for item in consortium.authorities.values()}
    consortium.rotate_key(market.uri, Service.LICENSES, now=START + 2 * DAY)
    consortium.withdraw(gone.uri, Service.LICENSES, now=START + 2 * DAY)
    consortium.suspend(paused.uri, Service.LICENSES, now=START + 2 * DAY)
    consortium.compromise(
        stolen.uri, Service.LICENSES, kid=old_key[stolen.uri].kid, since=START + 3 * DAY, now=START + 4 * DAY
    )
    consortium.brake({"entity": braked.uri}, reason="exercise", now=NOW - DAY)
    consortium.renew(NOW)
    digest = sha256(b"a license").digest()

    def statement(witness: Authority, at: datetime, about: bytes = digest) -> str:
        token = make_statement(about, signer=witness.signer(Service.REGISTER), iss=witness.uri, now=at)
        return b64u_encode(token)

    cases = []

    def case(
        name: str,
        zh: str,
        en: str,
        reason: str,
        issuer: Authority = market,
        *,
        signed_at: datetime = START + DAY,
        key: PublicKey | None = None,
        **parts: Any,
    ) -> None:
        question = {
            "service": "licenses",
            "iss": issuer.uri,
            "kid": b64u_encode((key or old_key[issuer.uri]).kid),
            "type": TYPE,
            "region": "310115",
            "signed_at": time_text(signed_at),
            "now": time_text(NOW),
            "digest": b64u_encode(digest),
            "proofs": [],
            **parts,
        }
        cases.append({"id": name, "zh": zh, "en": en, "reason": reason, "question": question})

    case("granted", "在授权之内", "within its grant", "")
    case("old-key-then", "轮换前由旧密钥签发", "signed by the old key before the rotation", "")
    case(
        "old-key-later",
        "轮换后仍用旧密钥",
        "signed by the old key after the rotation",
        "issuer.key_not_valid_then",
        signed_at=START + 3 * DAY,
    )
    case(
        "before-the-window",
        "早于密钥启用",
        "signed before the key's window",
        "issuer.key_not_valid_then",
        signed_at=START - DAY,
    )
    case(
        "unknown-issuer",
        "机关不在名单",
        "an issuer that no list names",
        "issuer.unknown",
        iss="https://x.example/",
    )
    case(
        "foreign-key",
        "密钥属于别的机关",
        "the key of another authority",
        "issuer.key_unknown",
        key=old_key[registry.uri],
    )
    case(
        "pass-key",
        "用身份码密钥签证照",
        "a pass key signs a license",
        "issuer.service",
        key=market.signer(Service.CODES).public_key,
    )
    case(
        "other-type",
        "类型未授权",
        "a type that is not granted",
        "issuer.type_not_granted",
        narrow,
        type=OTHER,
    )
    case(
        "other-district",
        "地区未授权",
        "a district that is not granted",
        "issuer.region",
        narrow,
        region="310104",
    )
    case(
        "beyond-the-province",
        "授权超出本省",
        "a grant beyond its province",
        "issuer.region",
        eager,
        region="320500",
    )
    case("withdrawn-before", "撤销之前签发", "signed before the withdrawal", "", gone)
    case(
        "withdrawn-after",
        "撤销之后签发",
        "signed after the withdrawal",
        "issuer.withdrawn",
        gone,
        signed_at=START + 3 * DAY,
    )
    case("suspended", "暂停期间出示", "shown while suspended", "issuer.suspended", paused)
    case("braked", "刹停期间出示", "shown while the brake is on", "issuer.suspended", braked)
    case("compromised", "密钥泄露，无证明", "compromised, no proof", "issuer.proof_missing", stolen)
    case(
        "proven",
        "密钥泄露，有泄露前的证明",
        "compromised, proof from before",
        "",
        stolen,
        proofs=[statement(registry, START + 2 * DAY)],
    )
    case(
        "proven-too-late",
        "证明晚于泄露",
        "compromised, proof from after",
        "issuer.proof_missing",
        stolen,
        proofs=[statement(registry, START + 3 * DAY)],
    )
    case(
        "proof-of-another",
        "证明的是另一份证照",
        "proof for another license",
        "issuer.proof_missing",
        stolen,
        proofs=[statement(registry, START + 2 * DAY, sha256(b"another").digest())],
    )
    case(
        "signed-after-the-theft",
        "泄露之后签发",
        "signed after the compromise",
        "issuer.key_not_valid_then",
        stolen,
        signed_at=START + 3 * DAY + timedelta(hours=1),
    )
    case("stale", "名单过旧", "lists older than 36 hours", "trust.stale", now=time_text(NOW + 2 * DAY))
    case("clock", "时钟落后", "a clock behind the lists", "clock.unsure", now=time_text(NOW - DAY))
    files = consortium.repository.files
    world = {
        "signed_at": time_text(NOW),
        "until": time_text(NOW + 7 * DAY),
        "policy": {path: json.loads(data) for path, data in files.items() if path.startswith("policy/")},
        "roles": {
            role: {path: json.loads(data) for path, data in files.items() if path.startswith(f"{role}/")}
            for role in ("31", "31-hot", "32", "32-hot", "brake")
        },
    }
    document = {"format": 1, "world": world, "cases": cases}
    text = json.dumps(document, ensure_ascii=False, indent=1, sort_keys=True)
    (DATA / "conformance.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
