"""SM3 (GB/T 32905-2016) and HMAC-SM3 (GB/T 15852.2): Python's `hashlib` where it has SM3, else libcrypto."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_BLOCK: Final = 64
_INNER: Final = bytes(byte ^ 0x36 for byte in range(256))
_OUTER: Final = bytes(byte ^ 0x5C for byte in range(256))


def _find() -> Callable[[bytes], bytes]:
    try:
        hashlib.new("sm3")
    except ValueError:
        from ewallet.keys.libcrypto import libcrypto  # noqa: PLC0415  loaded only where it is needed

        return libcrypto().sm3

    def by_hashlib(data: bytes) -> bytes:
        return hashlib.new("sm3", data).digest()

    return by_hashlib


_found: Callable[[bytes], bytes] | None = None


def sm3(data: bytes) -> bytes:
    """The SM3 digest, 32 bytes.

    Raises:
        KeyMaterialError: neither `hashlib` nor a libcrypto of this machine has SM3.
    """
    global _found  # noqa: PLW0603  found once
    if _found is None:
        _found = _find()
    return _found(data)


def hmac_sm3(key: bytes, data: bytes) -> bytes:
    """HMAC (RFC 2104) with SM3, 32 bytes.

    Raises:
        KeyMaterialError: as `sm3`.
    """
    block = (sm3(key) if len(key) > _BLOCK else key).ljust(_BLOCK, b"\0")
    return sm3(block.translate(_OUTER) + sm3(block.translate(_INNER) + data))
