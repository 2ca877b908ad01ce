"""The project's own vectors of the formats: every case does what it says, for the reason that it names."""

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ewallet import wire
from ewallet.errors import Refused
from ewallet.formats import cose, sdcwt, sdjwt, statuslist
from ewallet.formats.statuslist import StatusReference
from ewallet.keys import PublicKey

ROOT = Path(__file__).resolve().parent.parent.parent
DATA = json.loads((ROOT / "tests/vectors/formats.json").read_text())
NOW = datetime.fromtimestamp(DATA["now"], UTC)
KEY = PublicKey.from_jwk(DATA["keys"]["issuer"])
MODULES = {"cwt": cose, "sd-cwt": sdcwt, "sd-kbt": sdcwt, "sd-jwt": sdjwt}


def profile(case):
    rules = dict(DATA["profiles"][case["profile"]])
    if "limit" in case:
        rules["limit"] = case["limit"]
    if "vct" in rules:
        rules["vct"] = frozenset(rules["vct"])
    return MODULES[case["format"]].Profile(**rules)


def run(case):
    """What a verifier finds: an object with `claims` and `digest`, a status, or bytes."""
    data = bytes.fromhex(case["input_hex"]) if "input_hex" in case else case["input"]
    form, issuer = case["format"], case.get("issuer", DATA["issuer"])
    if form == "cwt":
        return cose.verify_cwt(data, KEY, profile(case), now=NOW, issuer=issuer)
    if form == "sd-cwt":
        return sdcwt.verify(data, KEY, profile(case), now=NOW, issuer=None)
    if form == "sd-kbt":
        nonce = case.get("cnonce")
        return sdcwt.verify_kbt(
            data,
            KEY,
            profile(case),
            now=NOW,
            issuer=issuer,
            audience=case["audience"],
            cnonce=nonce and bytes.fromhex(nonce),
        ).credential
    if form == "sd-jwt":
        return sdjwt.verify(
            data,
            KEY,
            profile(case),
            now=NOW,
            issuer=issuer if "lenient" not in case["profile"] else None,
            audience=case.get("audience"),
            nonce=case.get("nonce"),
        )
    if form in ("status-cwt", "status-jwt"):
        token = statuslist.verify(data, KEY, uri=case["uri"], now=NOW)
        return token.lookup(StatusReference(idx=case["idx"], uri=case["uri"]), now=NOW)
    return {"base64url": wire.b64u_decode, "base32": wire.b32decode}[form](data)


@pytest.mark.parametrize("case", DATA["cases"], ids=lambda case: case["name"])
def test_case(case):
    if case["expect"] == "reject":
        with pytest.raises(Refused) as caught:
            run(case)
        assert caught.value.reason == case["reason"], caught.value.detail
        return
    found = run(case)
    for name, value in case.get("claims", {}).items():
        assert found.claims[int(name) if name.isdigit() else name] == value
    if "digest" in case:
        assert found.digest.hex() == case["digest"]
    if "value" in case:
        assert found == case["value"]


def test_a_twin_signature_is_the_same_object():
    by_name = {case["name"]: case for case in DATA["cases"]}
    for name in ("cwt", "sd-jwt"):
        good, twin = by_name[f"{name}-good"], by_name[f"{name}-twin"]
        assert (good.get("input") or good["input_hex"]) != (twin.get("input") or twin["input_hex"])
        assert run(good).digest == run(twin).digest


def test_the_script_writes_the_file(tmp_path):
    """The vectors come from the script that is kept here, byte for byte."""
    out = tmp_path / "formats.json"
    code = (
        "import runpy, pathlib\n"
        f"module = runpy.run_path({str(ROOT / 'scripts/make_vectors.py')!r})\n"
        f"module['main'].__globals__['OUT'] = pathlib.Path({str(out)!r})\n"
        "module['main']()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, capture_output=True)
    assert out.read_bytes() == (ROOT / "tests/vectors/formats.json").read_bytes()
