"""ECDSA over P-256 with SHA-256 and over P-384 with SHA-384, by `cryptography` (RFC 9053, 2.1).

Signatures are r || s of fixed size; the DER form that the backend wants is made and unmade here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ewallet.errors import KeyMaterialError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ewallet.keys.suites import Suite

_CURVES: Final = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1()}
_ALGORITHMS: Final = {"ES256": ec.ECDSA(SHA256()), "ES384": ec.ECDSA(SHA384())}

_FRESH: Final[dict[bytes, ec.EllipticCurvePublicKey]] = {}
"""Points just decompressed: whoever verifies with one next need not have it read a second time."""
_MAX_FRESH: Final = 64


def check_public(suite: Suite, raw: bytes) -> None:
    """The point must lie on the curve; with cofactor 1 that is all."""
    size = suite.public_size // 2
    assert suite.curve is not None
    if not suite.curve.contains(int.from_bytes(raw[:size], "big"), int.from_bytes(raw[size:], "big")):
        raise KeyMaterialError(f"{suite.name}: the point is not on the curve")


def decompress(suite: Suite, x: bytes, *, odd: bool) -> bytes:
    """X || Y by the backend, which takes the root four times as fast as Python."""
    encoded = (b"\x03" if odd else b"\x02") + x
    try:
        key = ec.EllipticCurvePublicKey.from_encoded_point(_CURVES[suite.name], encoded)
    except ValueError as error:
        raise KeyMaterialError(f"{suite.name}: no point of the curve has this x") from error
    raw = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)[1:]
    if len(_FRESH) >= _MAX_FRESH:
        _FRESH.clear()
    _FRESH[raw] = key
    return raw


def verifier(suite: Suite, raw: bytes) -> Callable[[bytes, bytes], bool]:
    """A closure over the backend's key: one call costs little more than the primitive."""
    # The sizes of the curves' points differ: the raw bytes alone name a fresh one.
    key = _FRESH.pop(raw, None)
    if key is None:
        key = ec.EllipticCurvePublicKey.from_encoded_point(_CURVES[suite.name], b"\x04" + raw)
    backend, algorithm = key.verify, _ALGORITHMS[suite.name]
    size, half, number = suite.signature_size, suite.signature_size // 2, int.from_bytes

    def verify(signature: bytes, message: bytes) -> bool:
        if len(signature) != size:
            return False
        der = encode_dss_signature(number(signature[:half], "big"), number(signature[half:], "big"))
        try:
            backend(der, message, algorithm)
        except InvalidSignature:
            return False
        return True

    return verify


def generate(suite: Suite) -> bytes:
    """A fresh scalar."""
    key = ec.generate_private_key(_CURVES[suite.name])
    return key.private_numbers().private_value.to_bytes(suite.secret_size, "big")


def _private(suite: Suite, secret: bytes) -> ec.EllipticCurvePrivateKey:
    scalar = int.from_bytes(secret, "big")
    assert suite.curve is not None
    if not 0 < scalar < suite.curve.n:
        raise KeyMaterialError(f"{suite.name}: the secret is out of range")
    return ec.derive_private_key(scalar, _CURVES[suite.name])


def public_of(suite: Suite, secret: bytes) -> bytes:
    """X || Y of a scalar."""
    numbers = _private(suite, secret).public_key().public_numbers()
    size = suite.public_size // 2
    return numbers.x.to_bytes(size, "big") + numbers.y.to_bytes(size, "big")


def signer(suite: Suite, secret: bytes) -> Callable[[bytes], bytes]:
    """Signs with the backend's random nonce and returns r || s."""
    backend, algorithm = _private(suite, secret).sign, _ALGORITHMS[suite.name]
    half = suite.signature_size // 2

    def sign(message: bytes) -> bytes:
        r, s = decode_dss_signature(backend(message, algorithm))
        return r.to_bytes(half, "big") + s.to_bytes(half, "big")

    return sign
