"""Binding: a holder's device proves that it holds the key that holder credentials shall name.

The issuer gives a nonce; the device signs (authority, nonce, key) in a form that is neither COSE nor JOSE, so
that no proof is a credential and no credential a proof. Nonces are made with the register's secret, live ten
minutes, and are spent in the transaction that binds.
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
"""Seconds that a nonce can be answered: a holder may have to unlock the phone and confirm."""

_CONTEXT: Final = b"ewallet-bind-v1\x00"
_NONCE_CONTEXT: Final = b"ewallet-bind-nonce-v1\x00"


def make_nonce(secret: bytes, *, now: datetime) -> bytes:
    """A nonce: 8 bytes of time, 8 random bytes, 16 bytes of HMAC-SHA-256 with the register's secret."""
    head = seconds(now).to_bytes(8, "big") + os.urandom(8)
    return head + _tag(secret, head)


def _tag(secret: bytes, head: bytes) -> bytes:
    return hmac.digest(secret, _NONCE_CONTEXT + head, sha256)[:16]


def to_be_signed(authority: str, nonce: bytes, key: PublicKey) -> bytes:
    """What the device signs: a context and deterministic CBOR of [authority, nonce, key thumbprint]."""
    return _CONTEXT + encode_cbor([authority, nonce, key.thumbprint()])


def prove(device: Signer, *, authority: str, nonce: bytes) -> bytes:
    """The device's proof: the nonce and its signature.

    Args:
        device: the device key.
        authority: URI of the issuing authority.
        nonce: what `Issuer.challenge` gave.
    """
    return nonce + device.sign(to_be_signed(authority, nonce, device.public_key))


def check_proof(proof: bytes, key: PublicKey, *, authority: str, secret: bytes, now: datetime) -> bytes:
    """The nonce of a proof that holds; whether it was used before is the register's matter.

    Raises:
        Refused: `signature.holder`: not our nonce, or not signed with the key; `code.expired`: too old.
    """
    nonce, signature = proof[:NONCE_SIZE], proof[NONCE_SIZE:]
    if len(nonce) != NONCE_SIZE or not hmac.compare_digest(nonce[16:], _tag(secret, nonce[:16])):
        raise Refused("signature.holder", "a nonce that this register did not give")
    age = seconds(now) - int.from_bytes(nonce[:8], "big")
    if not 0 <= age <= NONCE_LIFE:
        raise Refused("code.expired", "the nonce is too old")
    try:
        raw = raw_signature(signature, key.suite)
    except KeyMaterialError as error:
        raise Refused("signature.holder", "not a signature") from error
    if not key.verify(raw, to_be_signed(authority, nonce, key)):
        raise Refused("signature.holder", "the proof is not signed with the device key")
    return nonce
