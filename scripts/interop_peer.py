"""The other side of the interoperability test: reads and writes tokens with other people's software.

Runs in an environment of its own (`scripts/interop.py`), without this package: `cwt` needs another `cbor2`.
A question comes as JSON on standard input, the answer goes as JSON to standard output.
"""

from __future__ import annotations

import json
import sys
import warnings
from base64 import urlsafe_b64decode
from typing import Any

warnings.simplefilter("ignore")

import cwt  # noqa: E402
from joserfc import jwt  # noqa: E402
from joserfc.jwk import ECKey, OKPKey  # noqa: E402
from jwcrypto.jwk import JWK  # noqa: E402
from sd_jwt.common import SDObj  # noqa: E402
from sd_jwt.holder import SDJWTHolder  # noqa: E402
from sd_jwt.issuer import SDJWTIssuer  # noqa: E402
from sd_jwt.verifier import SDJWTVerifier  # noqa: E402


def cose_key(jwk: dict[str, Any], kid: bytes, alg: int) -> Any:
    """A key for `cwt`, with the algorithm that its messages name: -9 as ours, or -7 as it was before."""
    members: dict[int, Any] = {1: 2, 2: kid, 3: alg, -1: 1}
    members |= {label: raw(jwk[name]) for label, name in ((-2, "x"), (-3, "y"), (-4, "d")) if name in jwk}
    return cwt.COSEKey.new(members)


def raw(text: str) -> bytes:
    """base64url, padded as the standard library wants it."""
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def read(question: dict[str, Any]) -> dict[str, Any]:
    """What the peers find in our tokens."""
    jwk, nonce, audience = question["issuer"], question["nonce"], question["audience"]
    key = ECKey.import_key(jwk)
    issuer = JWK(**jwk)
    found = {"joserfc": jwt.decode(question["jwt"], key).claims}
    edwards = OKPKey.import_key(question["edwards"])
    found["joserfc_ed25519"] = jwt.decode(
        question["jwt_ed25519"], edwards, algorithms=["EdDSA", "Ed25519"]
    ).claims
    found["cwt"] = {
        str(name): value
        for name, value in cwt.decode(
            bytes.fromhex(question["cwt"]), cose_key(jwk, bytes.fromhex(question["kid"]), -9)
        ).items()
    }
    for name, arguments in (
        ("sd_jwt", {}),
        ("sd_jwt_kb", {"expected_aud": audience, "expected_nonce": nonce}),
    ):
        verifier = SDJWTVerifier(question[name], lambda *_: issuer, **arguments)
        found[name] = verifier.get_verified_payload()
    return found


def write(question: dict[str, Any]) -> dict[str, Any]:
    """The peers' tokens, for us to read."""
    secret, claims = question["secret"], question["claims"]
    key = ECKey.import_key(secret)
    device = JWK(**question["device_secret"])
    hidden: dict[Any, Any] = {SDObj(name): value for name, value in question["hidden"].items()}
    hidden[SDObj("list")] = [SDObj("a"), "b", SDObj("c")]
    issuer = SDJWTIssuer(
        {**claims, **hidden},
        JWK(**secret),
        JWK(**{name: value for name, value in question["device_secret"].items() if name != "d"}),
        add_decoy_claims=True,
    )
    holder = SDJWTHolder(issuer.sd_jwt_issuance)
    holder.create_presentation(
        {"name": True, "list": [True, False, False]}, question["nonce"], question["audience"], device
    )
    return {
        "joserfc": jwt.encode({"alg": "ES256"}, claims, key),
        "cwt": cwt.encode(dict(claims), cose_key(secret, b"01", -7)).hex(),
        "sd_jwt": issuer.sd_jwt_issuance,
        "sd_jwt_kb": holder.sd_jwt_presentation,
    }


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    json.dump({"read": read(asked), "written": write(asked)}, sys.stdout, default=str)
