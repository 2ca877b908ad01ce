"""Portraits: a pass or paper code carries a salted digest, never the picture.

The picture comes from the person's own credential or from the venue's file, and is checked against the
digest. The salt is fresh for each pass: two venues cannot compare what they saw.
"""

from __future__ import annotations

import hmac
import os
from hashlib import sha256
from typing import Any, Final

from ewallet.errors import Malformed

SALT_SIZE: Final = 16
_SIZE: Final = SALT_SIZE + 32
MAX_PICTURE: Final = 20_000
"""Bytes of a portrait: what faces of licenses allow."""


def portrait_digest(picture: bytes) -> bytes:
    """Fresh salt, then SHA-256 over context, salt and the bytes of the picture file.

    Raises:
        ValueError: no picture, or a larger one than licenses carry.
    """
    if not 0 < len(picture) <= MAX_PICTURE:
        raise ValueError(f"a portrait has at most {MAX_PICTURE} bytes")
    salt = os.urandom(SALT_SIZE)
    return salt + _digest(salt, picture)


def _digest(salt: bytes, picture: bytes) -> bytes:
    return sha256(b"ewallet-portrait-v1" + salt + picture).digest()


def check_digest(value: Any) -> bytes:
    """A portrait digest as disclosed.

    Raises:
        Malformed: another form.
    """
    if type(value) is not bytes or len(value) != _SIZE:
        raise Malformed("a portrait digest of another form")
    return value


def is_portrait(value: bytes, picture: bytes) -> bool:
    """Whether a picture is the one that the digest was made of."""
    digest = check_digest(value)
    return hmac.compare_digest(digest[SALT_SIZE:], _digest(digest[:SALT_SIZE], picture))
