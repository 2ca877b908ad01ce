"""Proof of possession: a device shows that it holds the key that passes shall be bound to.

The authority gives a nonce; the device signs (authority, nonce, key) in a form that is no COSE structure, so
that no proof is a code and no code is a proof. Nonces are made with a key, not stored: 8 bytes of time, 8
random bytes, 16 bytes of HMAC. A proof that is used twice yields passes for the same device key only.
"""

from __future__ import annotations

import hmac
import os
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from ewallet.errors import KeyMaterialError, Refused
from ewallet.keys import raw_signature
from ewallet.moments import seconds
from ewallet.wire import encode_cbor

if TYPE_CHECKING:
    from datetime import datetime

    from ewallet.keys import PublicKey, Signer

NONCE_SIZE: Final = 32
NONCE_LIFE: Final = 600
"""Seconds that a nonce can be answered: a slow phone with a hundred keys."""
_CONTEXT: Final = b"ewallet-possession-v1\x00"


def make_nonce(secret: bytes, *, now: datetime) -> bytes:
    """A nonce for proofs, good for ten minutes.

    Args:
        secret: HMAC key of the authority.
        now: the authority's time.
    """
    head = seconds(now).to_bytes(8, "big") + os.urandom(8)
    return head + _tag(secret, head)


def _tag(secret: bytes, head: bytes) -> bytes:
    return hmac.digest(secret, b"ewallet-nonce-v1" + head, sha256)[:16]


def to_be_signed(authority: str, nonce: bytes, key: PublicKey) -> bytes:
    """What a device signs: context and deterministic CBOR of [authority, nonce, thumbprint of the key]."""
    return _CONTEXT + encode_cbor([authority, nonce, key.thumbprint()])


def prove(device: Signer, *, authority: str, nonce: bytes) -> bytes:
    """The proof of a device: nonce and signature.

    Args:
        device: the device key.
        authority: name of the authority, as the nonce came with it.
        nonce: the authority's.
    """
    return nonce + device.sign(to_be_signed(authority, nonce, device.public_key))


def check_proof(proof: bytes, key: PublicKey, *, authority: str, secret: bytes, now: datetime) -> None:
    """Checks a proof.

    Args:
        proof: nonce and signature, raw or DER.
        key: the device key that it is about.
        authority: name of this authority.
        secret: HMAC key that the nonce was made with.
        now: the authority's time.

    Raises:
        Refused: `signature.holder`, or `code.expired` for an old nonce.
    """
    nonce, signature = proof[:NONCE_SIZE], proof[NONCE_SIZE:]
    if len(nonce) != NONCE_SIZE or not hmac.compare_digest(nonce[16:], _tag(secret, nonce[:16])):
        raise Refused("signature.holder", "a nonce that this authority did not give")
    age = seconds(now) - int.from_bytes(nonce[:8], "big")
    if not 0 <= age <= NONCE_LIFE:
        raise Refused("code.expired", "the nonce is too old")
    try:
        raw = raw_signature(signature, key.suite)
    except KeyMaterialError as error:
        raise Refused("signature.holder", "not a signature") from error
    if not key.verify(raw, to_be_signed(authority, nonce, key)):
        raise Refused("signature.holder", "not signed by the key that it is about")
