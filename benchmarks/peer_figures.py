"""The peers' side of `bench_peers`: other people's software over the raw primitive of its own process.

Runs in the peers' environment (`scripts/interop.py`), without this package. Tokens and keys come as JSON on
standard input, one row for each line goes to standard output.
"""

from __future__ import annotations

import gc
import json
import statistics
import sys
import warnings
from base64 import urlsafe_b64decode
from importlib.metadata import version
from time import perf_counter
from typing import TYPE_CHECKING, Any

warnings.simplefilter("ignore")

import cwt  # noqa: E402 - warnings come first
from cryptography.hazmat.primitives import hashes  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import ec  # noqa: E402
from joserfc import jwt  # noqa: E402
from joserfc.jwk import ECKey  # noqa: E402
from jwcrypto.jwk import JWK  # noqa: E402
from pycose.keys import EC2Key  # noqa: E402
from pycose.messages import Sign1Message  # noqa: E402
from sd_jwt.common import SDObj  # noqa: E402
from sd_jwt.issuer import SDJWTIssuer  # noqa: E402
from sd_jwt.verifier import SDJWTVerifier  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

LOOPS, TURNS = 2, 12  # short, so that few are interrupted by whatever else runs

Operations = dict[tuple[str, str], "Callable[[], Any]"]


def raw_primitives() -> dict[str, Callable[[], Any]]:
    private = ec.generate_private_key(ec.SECP256R1())
    public, algorithm, message = private.public_key(), ec.ECDSA(hashes.SHA256()), bytes(600)
    signature = private.sign(message, algorithm)
    return {
        "verify": lambda: public.verify(signature, message, algorithm),
        "sign": lambda: private.sign(message, algorithm),
    }


def operations(given: dict[str, Any]) -> Operations:
    """(package, operation) -> the call."""
    return {**cose_operations(given), **jose_operations(given)}


def cose_operations(given: dict[str, Any]) -> Operations:
    members = {1: 2, 2: bytes.fromhex(given["kid"]), -1: 1}
    members |= {
        label: urlsafe_b64decode(given["issuer"][name] + "=") for label, name in ((-2, "x"), (-3, "y"))
    }
    key = cwt.COSEKey.new({**members, 3: -9})
    token = bytes.fromhex(given["cwt"])

    # pycose knows ES256 only under its older number, so it reads a message of its own.
    mine = EC2Key.generate_key(crv="P_256")
    message = Sign1Message(phdr={1: -7}, payload=bytes(600))
    message.key = mine
    encoded = message.encode()

    def by_pycose() -> None:
        read = Sign1Message.decode(encoded)
        read.key = mine
        assert read.verify_signature()

    return {
        ("cwt", "CWT verify"): lambda: cwt.decode(token, key),
        ("pycose", "COSE_Sign1 verify"): by_pycose,
    }


def jose_operations(given: dict[str, Any]) -> Operations:
    key, issuer = ECKey.import_key(given["issuer"]), JWK(**given["issuer"])
    signing = JWK.generate(kty="EC", crv="P-256")
    claims = {SDObj(name): value for name, value in given["fields"].items()}

    def verify_sd_jwt() -> None:
        assert SDJWTVerifier(given["sd_jwt"], lambda *_: issuer).get_verified_payload()

    def verify_sd_jwt_kb() -> None:
        verifier = SDJWTVerifier(given["sd_jwt_kb"], lambda *_: issuer, given["audience"], given["nonce"])
        assert verifier.get_verified_payload()

    return {
        ("joserfc", "JWT verify"): lambda: jwt.decode(given["jwt"], key),
        ("sd-jwt", "SD-JWT verify"): verify_sd_jwt,
        ("sd-jwt", "SD-JWT + KB verify"): verify_sd_jwt_kb,
        ("sd-jwt", "SD-JWT issue"): lambda: SDJWTIssuer(
            {**given["claims"], **claims}, signing, issuer, add_decoy_claims=True
        ),
    }


def paired(
    operation: Callable[[], Any], raw: Callable[[], Any], *, rounds: int
) -> tuple[float, float, float]:
    """Median ratio, and the median times of both in microseconds."""
    ratios, theirs, raws = [], [], []
    for _ in range(5):
        operation()
        raw()
    gc.disable()
    for _ in range(rounds * TURNS):
        begin = perf_counter()
        for _ in range(LOOPS):
            raw()
        middle = perf_counter()
        for _ in range(LOOPS):
            operation()
        end = perf_counter()
        ratios.append((end - middle) / (middle - begin))
        theirs.append((end - middle) / LOOPS * 1e6)
        raws.append((middle - begin) / LOOPS * 1e6)
    gc.enable()
    return statistics.median(ratios), statistics.median(theirs), statistics.median(raws)


def main() -> None:
    rounds, raw = int(sys.argv[1]), raw_primitives()
    for (package, operation), call in operations(json.load(sys.stdin)).items():
        primitive = "sign" if operation.endswith("issue") else "verify"
        ratio, us, raw_us = paired(call, raw[primitive], rounds=rounds)
        row = {
            "operation": f"peer: {package} {version(package)} {operation}",
            "against": f"raw ES256 {primitive}",
            "ratio": round(ratio, 3),
            "us": round(us, 1),
            "raw_us": round(raw_us, 1),
        }
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
