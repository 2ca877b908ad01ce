"""A signer on a remote or SDF device (GM/T 0018-2012): fill in `ask_device`, and use it as any other signer.

An SDF device (`SDF_InternalSign_ECC`) takes SM3(Z || message) and returns r and s, each right-aligned in 64
bytes. A signing service in the network works the same way: send the digest, get r and s back.
Run it: `python examples/remote_signer.py` signs with a stand-in for the device.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from ewallet.errors import SignerError
from ewallet.keys import PublicKey, SigningKey, sm2

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class DeviceSigner:
    """Signs with SM2 on a device: `ask_device` gets 32 bytes of digest and returns 128 bytes of r and s."""

    def __init__(
        self, public_key: PublicKey, ask_device: Callable[[bytes], bytes], *, sessions: int = 4
    ) -> None:
        self.public_key = public_key  # from the device's certificate: PublicKey.from_x509(...)
        self.custody = "device"
        self._ask_device, self._sessions = ask_device, sessions

    def sign(self, message: bytes) -> bytes:
        """One signature, r || s, checked before it leaves."""
        digest = sm2.message_digest(self.public_key.raw, message)
        try:
            answer = self._ask_device(digest)
        except OSError as error:  # the vendor's exceptions go here
            raise SignerError("the device does not answer") from error
        signature = answer[32:64] + answer[96:128]
        # A device that was exchanged, or a broken one, is found here and not by the first counter.
        if len(answer) != 128 or not self.public_key.verify(signature, message):
            raise SignerError("the device returned a signature that does not verify")
        return signature

    def sign_many(self, messages: Iterable[bytes]) -> list[bytes]:
        """Signatures in the messages' order."""
        with ThreadPoolExecutor(self._sessions) as pool:  # the device always has the next digest at hand
            return list(pool.map(self.sign, messages))


def stand_in(scalar: int) -> Callable[[bytes], bytes]:
    """What a device does inside, for this example only: its time and its k would give the key away."""

    def internal_sign(digest: bytes) -> bytes:
        k = int.from_bytes(sm2.sm3(digest + scalar.to_bytes(32, "big")), "big") >> 1
        signature = sm2.unsafe_sign_with_nonce(scalar, digest, k) or b""
        return bytes(32) + signature[:32] + bytes(32) + signature[32:]

    return internal_sign


if __name__ == "__main__":
    scalar = 0x1234567890ABCDEF
    key = SigningKey("SM2SM3", scalar.to_bytes(32, "big"))  # here only to know the public half
    signer = DeviceSigner(key.public_key, stand_in(scalar))
    signatures = signer.sign_many([b"license 1", b"license 2"])
    print(f"{len(signatures)} signatures by {signer.public_key!r}: {signatures[0].hex()[:16]}...")
