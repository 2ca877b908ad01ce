"""Ed25519 (RFC 8032) by `cryptography`."""

from __future__ import annotations

from secrets import token_bytes
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ewallet.errors import KeyMaterialError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ewallet.keys.suites import Suite

_P: Final = 2**255 - 19
_SIGN: Final = 2**255 - 1
# y of the eight points of small order: under such a key one signature fits every message.
_ORDER_8: Final = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_SMALL_ORDER: Final = frozenset({0, 1, _P - 1, _ORDER_8, _P - _ORDER_8})


def check_public(suite: Suite, raw: bytes) -> None:
    """Refuses y out of range and points of small order; whether it is on the curve, the backend finds."""
    y = int.from_bytes(raw, "little") & _SIGN
    if y >= _P or y in _SMALL_ORDER:
        raise KeyMaterialError(f"{suite.name}: not a usable public key")


def decompress(suite: Suite, x: bytes, *, odd: bool) -> bytes:  # noqa: ARG001  the form has no meaning here
    """This suite has no compressed points."""
    raise KeyMaterialError(f"{suite.name}: a public key has one form only")


def verifier(_: Suite, raw: bytes) -> Callable[[bytes, bytes], bool]:
    """A closure over the backend's key."""
    backend = Ed25519PublicKey.from_public_bytes(raw).verify

    def verify(signature: bytes, message: bytes) -> bool:
        try:
            backend(signature, message)
        except InvalidSignature:
            return False
        return True

    return verify


def generate(suite: Suite) -> bytes:
    """A fresh seed."""
    return token_bytes(suite.secret_size)


def public_of(_: Suite, secret: bytes) -> bytes:
    """The public key of a seed."""
    return Ed25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()


def signer(_: Suite, secret: bytes) -> Callable[[bytes], bytes]:
    """Signs deterministically, as RFC 8032 says."""
    return Ed25519PrivateKey.from_private_bytes(secret).sign
