"""The example that a vendor fills in runs, and finds a device that fails or signs with another key."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from ewallet.errors import SignerError
from ewallet.keys import SigningKey, sign_many, sm2

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "remote_signer.py"
pytestmark = pytest.mark.skipif(sm2.library() is None, reason="notice: no libcrypto with SM2 here")


def test_example_runs(capsys):
    runpy.run_path(str(EXAMPLE), run_name="__main__")
    assert "2 signatures by PublicKey(SM2SM3" in capsys.readouterr().out


def test_example_signs_in_order_and_finds_a_wrong_device():
    example = runpy.run_path(str(EXAMPLE))
    key = SigningKey("SM2SM3", (77).to_bytes(32, "big"))
    signer = example["DeviceSigner"](key.public_key, example["stand_in"](77))
    messages = [str(number).encode() for number in range(9)]
    assert all(map(key.public_key.verify, sign_many(signer, messages), messages))
    with pytest.raises(SignerError, match="not verify"):
        example["DeviceSigner"](key.public_key, example["stand_in"](78)).sign(b"m")
    with pytest.raises(SignerError, match="not verify"):
        example["DeviceSigner"](key.public_key, lambda digest: digest).sign(b"m")

    def gone(_):
        raise ConnectionError

    with pytest.raises(SignerError, match="does not answer"):
        example["DeviceSigner"](key.public_key, gone).sign(b"m")


def test_signers_without_a_batch_sign_one_by_one():
    class Plain:
        def __init__(self):
            self.public_key = SigningKey.generate().public_key

        def sign(self, message):
            return message * 2

    assert sign_many(Plain(), iter([b"1", b"2"])) == [b"11", b"22"]
