"""ML-DSA-65 (FIPS 204) by `cryptography`; only ever half of a hybrid key."""

from __future__ import annotations

from secrets import token_bytes
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey, MLDSA65PublicKey

from ewallet.errors import KeyMaterialError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ewallet.keys.suites import Suite


def check_public(_: Suite, raw: bytes) -> None:
    """Every string of the right size is a public key."""
    MLDSA65PublicKey.from_public_bytes(raw)


def decompress(suite: Suite, x: bytes, *, odd: bool) -> bytes:  # noqa: ARG001  the form has no meaning here
    """This suite has no compressed points."""
    raise KeyMaterialError(f"{suite.name}: a public key has one form only")


def verifier(suite: Suite, raw: bytes) -> Callable[[bytes, bytes], bool]:
    """A closure over the backend's key; the context is the suite's name, so that nothing else fits."""
    backend, context = MLDSA65PublicKey.from_public_bytes(raw).verify, suite.name.encode()

    def verify(signature: bytes, message: bytes) -> bool:
        try:
            backend(signature, message, context)
        except InvalidSignature:
            return False
        return True

    return verify


def generate(suite: Suite) -> bytes:
    """A fresh seed."""
    return token_bytes(suite.secret_size)


def public_of(_: Suite, secret: bytes) -> bytes:
    """The public key of a seed."""
    return MLDSA65PrivateKey.from_seed_bytes(secret).public_key().public_bytes_raw()


def signer(suite: Suite, secret: bytes) -> Callable[[bytes], bytes]:
    """Signs with the suite's name as context."""
    backend, context = MLDSA65PrivateKey.from_seed_bytes(secret).sign, suite.name.encode()

    def sign(message: bytes) -> bytes:
        return backend(message, context)

    return sign
