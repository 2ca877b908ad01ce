"""The same operations by other people's software, for comparison: no targets.

Peers live in an environment of their own, because some need another `cbor2`; `python scripts/interop.py`
makes it. Each ratio is to the raw primitive in the peer's own process. Peers check less than we do: unknown
`crit`, duplicate members, unreferenced disclosures and the age of a key binding pass some of them.
Run alone: `python -m benchmarks.bench_peers`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.bench_formats import AUDIENCE, FIELDS, ISS, NOW, OPEN, REFERENCE, VCT, T
from ewallet.formats import cose, jose, sdjwt
from ewallet.keys import SigningKey
from scripts import interop


def question() -> dict[str, Any]:
    """Tokens of ours like those that `bench_formats` verifies, and the keys to verify them."""
    issuer, device = SigningKey.generate("ES256"), SigningKey.generate("ES256")
    named = {"iss": ISS, "sub": "urn:uuid:0f0e", "exp": T + 86_400, "iat": T - 60}
    registered = {1: ISS, 2: "urn:uuid:0f0e", 4: T + 86_400, 6: T - 60, 7: b"\x01"}

    def issued(**how: Any) -> str:
        whole = {**named, **OPEN, **FIELDS}
        return sdjwt.issue(
            whole, disclosable=FIELDS, signer=issuer, decoys=6, vct=VCT, status=REFERENCE, **how
        )

    return {
        "issuer": issuer.public_key.to_jwk(),
        "kid": issuer.public_key.kid.hex(),
        "cwt": cose.issue_cwt(
            {**registered, **OPEN, **FIELDS}, issuer, typ="application/ewallet-seal+cwt"
        ).hex(),
        "jwt": jose.issue_jwt({**named, **OPEN, **FIELDS}, issuer, typ="ewallet+jwt"),
        "sd_jwt": issued(typ=sdjwt.DOCUMENT_CREDENTIAL),
        "sd_jwt_kb": sdjwt.present(
            issued(holder_key=device.public_key),
            device,
            audience=AUDIENCE,
            nonce="n-0",
            now=NOW,
            disclose=FIELDS,
        ),
        "audience": AUDIENCE,
        "nonce": "n-0",
        "claims": {**named, **OPEN},
        "fields": FIELDS,
    }


def measure(*, rounds: int = 41) -> list[dict[str, Any]]:
    """The peers' rows; none, with a notice, where their environment is not there."""
    if not interop.complete():
        print("notice: no environment of the peers; make it with: python scripts/interop.py", file=sys.stderr)
        return []
    done = subprocess.run(
        [interop.python(), Path(__file__).with_name("peer_figures.py"), str(rounds)],
        input=json.dumps(question()),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def main() -> None:
    """Prints the rows."""
    for row in measure(rounds=int(sys.argv[1]) if len(sys.argv) > 1 else 41):
        print(json.dumps(row, ensure_ascii=False))


if __name__ == "__main__":
    main()
