"""Formats against the raw primitive: what all checks together cost on top of one signature.

Each figure is the median, over paired rounds, of (time of the operation) / (time of the raw primitive of
`cryptography`), both measured in the same round. Rounds are far shorter than a millisecond, so that few of
them are interrupted by whatever else runs. All checks are on; credentials carry ten disclosures.
Run alone: `python -m benchmarks.bench_formats`.
"""

from __future__ import annotations

import gc
import json
import statistics
import sys
from datetime import UTC, datetime, timedelta
from itertools import cycle
from time import perf_counter
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from ewallet.formats import cose, jose, sdcwt, sdjwt, statuslist
from ewallet.formats.statuslist import StatusList, StatusReference
from ewallet.keys import SigningKey

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = datetime.now(UTC).replace(microsecond=0)
T = int(NOW.timestamp())
ISS = "https://sh.ewallet.example/a/market"
REFERENCE = StatusReference(idx=77_777, uri="https://sh.ewallet.example/status/3")
OPEN = {"area": "310115", "authority": "上海市浦东新区市场监督管理局"}
FIELDS = {
    "name": "上海喆示例餐饮有限公司",
    "number": "91310115MA1K0EXAM0",
    "legal_representative": "某某某",
    "capital": "伍佰万元整",
    "established": "2020-03-01",
    "address": "上海市浦东新区示例路1号",
    "scope": "餐饮服务；食品销售",
    "kind": "有限责任公司",
    "version": 1,
    "face_salt": "00112233445566778899aabbccddeeff",
}
VCT = "https://sh.ewallet.example/vct/business-license/1"
CNONCE = b"0123456789abcdef"
AUDIENCE = "https://js.ewallet.example/v/counter-1"
TURNS = 40


def paired(
    operation: Callable[[], object], raw: Callable[[], object], *, rounds: int, loops: int
) -> tuple[float, float, float]:
    """Median ratio, and the median times of both in microseconds."""
    ratios, ours, theirs = [], [], []
    for _ in range(20):
        operation()
        raw()
    gc.disable()
    try:
        for _ in range(rounds * TURNS):
            begin = perf_counter()
            for _ in range(loops):
                raw()
            middle = perf_counter()
            for _ in range(loops):
                operation()
            end = perf_counter()
            ratios.append((end - middle) / (middle - begin))
            ours.append((end - middle) / loops * 1e6)
            theirs.append((middle - begin) / loops * 1e6)
    finally:
        gc.enable()
    return statistics.median(ratios), statistics.median(ours), statistics.median(theirs)


def operations() -> dict[str, tuple[Callable[[], object], str, float]]:
    """Name -> (operation, raw primitive that it is compared with, target)."""
    issuer, device = SigningKey.generate("ES256"), SigningKey.generate("ES256")
    key = issuer.public_key
    registered = {1: ISS, 2: "urn:uuid:0f0e", 4: T + 86_400, 6: T - 60}
    named = {"iss": ISS, "sub": "urn:uuid:0f0e", "exp": T + 86_400, "iat": T - 60}

    cwt_profile = cose.Profile(typ="application/ewallet-seal+cwt")
    cwt = cose.issue_cwt({**registered, **OPEN, **FIELDS}, issuer, typ="application/ewallet-seal+cwt")
    jwt_profile = jose.Profile(typ="ewallet+jwt")
    jwt = jose.issue_jwt({**named, **OPEN, **FIELDS}, issuer, typ="ewallet+jwt")

    def issue_sd_jwt() -> str:
        return sdjwt.issue(
            {**named, **OPEN, **FIELDS},
            disclosable=FIELDS,
            signer=issuer,
            holder_key=device.public_key,
            decoys=6,
            vct=VCT,
            status=REFERENCE,
        )

    def issue_sd_cwt() -> bytes:
        return sdcwt.issue(
            {**registered, **OPEN, **FIELDS},
            disclosable=FIELDS,
            signer=issuer,
            holder_key=device.public_key,
            decoys=6,
            vct=VCT,
            status=REFERENCE,
        )

    document_profile = sdjwt.Profile(typ=sdjwt.DOCUMENT_CREDENTIAL, key_binding=False)
    document = sdjwt.issue(
        {**named, **OPEN, **FIELDS},
        disclosable=FIELDS,
        signer=issuer,
        typ=sdjwt.DOCUMENT_CREDENTIAL,
        decoys=6,
        vct=VCT,
        status=REFERENCE,
    )
    holder_profile = sdjwt.Profile(vct=frozenset((VCT,)))
    sd_jwt_kb = sdjwt.present(
        issue_sd_jwt(), device, audience=AUDIENCE, nonce="n-0", now=NOW, disclose=FIELDS
    )
    sd_cwt_profile = sdcwt.Profile(vct=frozenset((VCT,)))
    sd_kbt = _presented_by(issuer, device)

    def verify_sd_jwt_kb() -> Any:
        return sdjwt.verify(
            sd_jwt_kb, key, holder_profile, now=NOW, audience=AUDIENCE, nonce="n-0", issuer=ISS
        )

    def verify_sd_kbt() -> Any:
        return sdcwt.verify_kbt(
            sd_kbt,
            key,
            sd_cwt_profile,
            now=NOW,
            audience=AUDIENCE,
            cnonce=CNONCE,
            issuer=ISS,
        )

    # More holders than any cache of keys remembers: each presentation brings a key never seen before.
    crowd = cycle([_presented_by(issuer, SigningKey.generate("ES256")) for _ in range(400)])

    def verify_sd_kbt_of_a_stranger() -> Any:
        return sdcwt.verify_kbt(
            next(crowd), key, sd_cwt_profile, now=NOW, audience=AUDIENCE, cnonce=CNONCE, issuer=ISS
        )

    assert len(verify_sd_jwt_kb().disclosed) == len(verify_sd_kbt().credential.disclosed) == 10
    return {
        "CWT verify": (lambda: cose.verify_cwt(cwt, key, cwt_profile, now=NOW, issuer=ISS), "verify", 1.35),
        "JWT verify": (lambda: jose.verify_jwt(jwt, key, jwt_profile, now=NOW, issuer=ISS), "verify", 1.35),
        "SD-JWT verify": (
            lambda: sdjwt.verify(document, key, document_profile, now=NOW, issuer=ISS),
            "verify",
            1.6,
        ),
        "SD-JWT + KB verify": (verify_sd_jwt_kb, "verify", 2.9),
        "SD-CWT + SD-KBT verify": (verify_sd_kbt, "verify", 2.9),
        "SD-CWT + SD-KBT verify, holder's key never seen": (verify_sd_kbt_of_a_stranger, "verify", 2.9),
        "SD-JWT issue": (issue_sd_jwt, "sign", 3.8),
        "SD-CWT issue": (issue_sd_cwt, "sign", 3.2),
    }


def _presented_by(issuer: SigningKey, device: SigningKey) -> bytes:
    credential = sdcwt.issue(
        {1: ISS, 2: "urn:uuid:0f0e", 4: T + 86_400, 6: T - 60, **OPEN, **FIELDS},
        disclosable=FIELDS,
        signer=issuer,
        holder_key=device.public_key,
        decoys=6,
        vct=VCT,
        status=REFERENCE,
    )
    return sdcwt.present(credential, device, audience=AUDIENCE, cnonce=CNONCE, now=NOW, disclose=FIELDS)


def raw_primitives() -> dict[str, Callable[[], object]]:
    """ES256 of `cryptography`, DER signatures as it likes them, over 600 bytes."""
    private = ec.generate_private_key(ec.SECP256R1())
    public, algorithm, message = private.public_key(), ec.ECDSA(hashes.SHA256()), bytes(600)
    signature = private.sign(message, algorithm)
    return {
        "verify": lambda: public.verify(signature, message, algorithm),
        "sign": lambda: private.sign(message, algorithm),
    }


def lookup_microseconds() -> float:
    """One status lookup in a loaded list of 2**20 entries."""
    issuer = SigningKey.generate("ES256")
    entries = StatusList(bits=2, size=statuslist.MAX_ENTRIES)
    entries.update((idx * 97 % entries.size, idx % 4) for idx in range(10_000))
    token = statuslist.issue_cwt(
        entries, issuer, uri=REFERENCE.uri, now=NOW, ttl=3600, exp=NOW + timedelta(days=1)
    )
    loaded = statuslist.verify(token, issuer.public_key, uri=REFERENCE.uri, now=NOW)
    get, idx, loops = loaded.entries.get, REFERENCE.idx, 20_000
    times = []
    for _ in range(9):
        begin = perf_counter()
        for _ in range(loops):
            get(idx)
        times.append((perf_counter() - begin) / loops * 1e6)
    return statistics.median(times)


def measure(*, rounds: int = 41) -> list[dict[str, Any]]:
    """All figures as rows: operation, ratio, target, microseconds of both sides."""
    raw = raw_primitives()
    rows: list[dict[str, Any]] = []
    for name, (operation, primitive, target) in operations().items():
        loops = 2 if primitive == "verify" else 5
        ratio, ours, theirs = paired(operation, raw[primitive], rounds=rounds, loops=loops)
        rows.append(
            {
                "operation": name,
                "against": f"raw ES256 {primitive}",
                "ratio": round(ratio, 3),
                "target": target,
                "us": round(ours, 1),
                "raw_us": round(theirs, 1),
            }
        )
    rows.append({"operation": "status lookup", "us": round(lookup_microseconds(), 3), "target_us": 1.0})
    return rows


def main() -> int:
    """Prints the rows; exit 1 if a target is missed."""
    rows = measure(rounds=int(sys.argv[1]) if len(sys.argv) > 1 else 41)
    for row in rows:
        print(json.dumps(row, ensure_ascii=False))
    missed = [
        row
        for row in rows
        if row.get("ratio", 0) > row.get("target", 1) or row["us"] > row.get("target_us", row["us"])
    ]
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
