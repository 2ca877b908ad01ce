"""A hybrid key: one key made of two, one signature made of both, and both must verify.

The key is the concatenation of its parts' keys in the order of the table, the signature likewise. Both parts
sign `"ewallet-hybrid-v1" 00 <suite name> 00 <message>`: half of a hybrid signature is therefore no signature
of the message by a key of the part's own suite, and a part that also serves alone cannot be used to build
one. Only trust metadata is signed this way; a signature of 3,373 bytes fits no QR code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ewallet.errors import KeyMaterialError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ewallet.keys.suites import Suite


def split(suite: Suite, data: bytes, sizes: Callable[[Suite], int]) -> Iterator[tuple[Suite, bytes]]:
    """The parts of a concatenation, each with its suite."""
    start = 0
    for part in suite.parts:
        end = start + sizes(part)
        yield part, data[start:end]
        start = end


def _public_size(part: Suite) -> int:
    return part.public_size


def _secret_size(part: Suite) -> int:
    return part.secret_size


def _signature_size(part: Suite) -> int:
    return part.signature_size


def _bound(suite: Suite, message: bytes) -> bytes:
    return b"ewallet-hybrid-v1\0" + suite.name.encode() + b"\0" + message


def check_public(suite: Suite, raw: bytes) -> None:
    """Every part must be usable."""
    for part, piece in split(suite, raw, _public_size):
        part.arithmetic.check_public(part, piece)


def decompress(suite: Suite, x: bytes, *, odd: bool) -> bytes:  # noqa: ARG001  the form has no meaning here
    """This suite has no compressed points."""
    raise KeyMaterialError(f"{suite.name}: a public key has one form only")


def verifier(suite: Suite, raw: bytes) -> Callable[[bytes, bytes], bool]:
    """True only if the parts' signatures all verify."""
    checks = [part.arithmetic.verifier(part, piece) for part, piece in split(suite, raw, _public_size)]

    def verify(signature: bytes, message: bytes) -> bool:
        if len(signature) != suite.signature_size:
            return False
        bound = _bound(suite, message)
        pieces = [piece for _, piece in split(suite, signature, _signature_size)]
        return all(check(piece, bound) for check, piece in zip(checks, pieces, strict=True))

    return verify


def generate(suite: Suite) -> bytes:
    """Fresh secrets of all parts."""
    return b"".join(part.arithmetic.generate(part) for part in suite.parts)


def public_of(suite: Suite, secret: bytes) -> bytes:
    """The parts' public keys."""
    return b"".join(
        part.arithmetic.public_of(part, piece) for part, piece in split(suite, secret, _secret_size)
    )


def signer(suite: Suite, secret: bytes) -> Callable[[bytes], bytes]:
    """Signs with all parts."""
    signers = [part.arithmetic.signer(part, piece) for part, piece in split(suite, secret, _secret_size)]

    def sign(message: bytes) -> bytes:
        bound = _bound(suite, message)
        return b"".join([sign_part(bound) for sign_part in signers])

    return sign
