"""Keys against their raw primitives, and SM2 against libcrypto's own verification, in the same rounds.

Each figure is the median over paired rounds of (time of our call) / (time of the primitive). For SM2 the
primitive is the system's libcrypto, called directly with everything prepared: key, DER signature, identifier.
The rows without `gmpy2` come from a second process in which it cannot be imported.
Run alone: `python -m benchmarks.bench_sm2`.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from time import perf_counter
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from ewallet.keys import HYBRID, PublicKey, SigningKey, der

if TYPE_CHECKING:
    from collections.abc import Callable

MESSAGE = bytes(range(256)) * 2
PLAIN = "--without-gmpy2"


def paired(
    operation: Callable[[], object], raw: Callable[[], object], *, rounds: int, loops: int
) -> tuple[float, float, float]:
    ratios, ours, theirs = [], [], []
    # Short rounds, so that few of them are interrupted by whatever else runs.
    rounds, loops = rounds * 10, max(1, loops // 10)
    for _ in range(rounds):
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
    return statistics.median(ratios), statistics.median(ours), statistics.median(theirs)


def row(name: str, against: str, figures: tuple[float, float, float], target: float | None) -> dict[str, Any]:
    ratio, ours, theirs = figures
    found = {"operation": name, "against": against, "ratio": round(ratio, 3)}
    if target is not None:
        found["target"] = target
    return {**found, "us": round(ours, 1), "raw_us": round(theirs, 1)}


def sm2_rows(rounds: int) -> list[dict[str, Any]]:
    """Verification for a known issuer key, and for a key that is seen once."""
    from ewallet.keys import sm2, sm2_tables  # noqa: PLC0415 - decides about gmpy2 when imported

    library = sm2.library()
    if library is None:
        return []
    key = SigningKey.generate("SM2SM3")
    raw, signature = key.public_key.raw, key.sign(MESSAGE)
    backend = library.public_key(raw)
    prepared = der.write_signature(
        *(int.from_bytes(part, "big") for part in (signature[:32], signature[32:]))
    )

    def primitive() -> bool:
        return library.verify(backend, prepared, MESSAGE, sm2.IDENTIFIER)

    def known() -> bool:
        return key.public_key.verify(signature, MESSAGE)

    def once() -> bool:
        return PublicKey("SM2SM3", raw).verify(signature, MESSAGE)

    fast = sm2_tables.ACCELERATED
    how = "with gmpy2" if fast else "without gmpy2"
    against = f"libcrypto {library.version >> 28}.{library.version >> 20 & 255} SM2 verify"
    rows = []
    if fast:
        sm2.FREQUENT, frequent = 1 << 60, sm2.FREQUENT  # the key must look new every time
        figures = paired(once, primitive, rounds=rounds, loops=40)
        rows.append(row("SM2 verify, key seen once", against, figures, None))
        sm2.FREQUENT = frequent
    for _ in range(60):
        assert known()
        assert primitive()
    figures = paired(known, primitive, rounds=rounds, loops=40)
    rows.append(row(f"SM2 verify, known issuer key, {how}", against, figures, 0.6 if fast else 1.1))
    return rows


def other_rows(rounds: int) -> list[dict[str, Any]]:
    """ES256 and Ed25519 over `cryptography`, and the hybrid over ES256."""
    keys = {name: SigningKey.generate(name) for name in ("ES256", "Ed25519", HYBRID.name)}
    signatures = {name: key.sign(MESSAGE) for name, key in keys.items()}
    es256 = ec.EllipticCurvePublicKey.from_encoded_point(
        ec.SECP256R1(), b"\x04" + keys["ES256"].public_key.raw
    )
    halves = signatures["ES256"][:32], signatures["ES256"][32:]
    prepared = encode_dss_signature(*(int.from_bytes(half, "big") for half in halves))
    algorithm = ec.ECDSA(SHA256())
    edwards = ed25519.Ed25519PublicKey.from_public_bytes(keys["Ed25519"].public_key.raw)

    def by_cryptography() -> None:
        es256.verify(prepared, MESSAGE, algorithm)

    def by_edwards() -> None:
        edwards.verify(signatures["Ed25519"], MESSAGE)

    def ours(name: str) -> Callable[[], bool]:
        return lambda: keys[name].public_key.verify(signatures[name], MESSAGE)

    rows = []
    for name, primitive, against, target in (
        ("ES256", by_cryptography, "raw ES256 verify", 1.1),
        ("Ed25519", by_edwards, "raw Ed25519 verify", 1.1),
        (HYBRID.name, by_cryptography, "raw ES256 verify", None),
    ):
        ours(name)()
        figures = paired(ours(name), primitive, rounds=rounds, loops=100)
        rows.append(row(f"{name} verify", against, figures, target))
    return rows


def measure(*, rounds: int = 41) -> list[dict[str, Any]]:
    """All figures as rows: operation, ratio, target, microseconds of both sides."""
    plain = subprocess.run(
        [sys.executable, "-m", "benchmarks.bench_sm2", str(rounds), PLAIN],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return [
        *other_rows(rounds),
        *sm2_rows(rounds),
        *(json.loads(line) for line in plain.stdout.splitlines()),
    ]


def main() -> int:
    """Prints the rows; exit 1 if a target is missed."""
    arguments = [argument for argument in sys.argv[1:] if argument != PLAIN]
    rounds = int(arguments[0]) if arguments else 41
    if PLAIN in sys.argv:
        sys.modules["gmpy2"] = None  # type: ignore[assignment]
        rows = sm2_rows(rounds)
    else:
        rows = measure(rounds=rounds)
    for found in rows:
        print(json.dumps(found))
    if PLAIN in sys.argv:
        return 0
    return 1 if any(found["ratio"] > found.get("target", found["ratio"]) for found in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
