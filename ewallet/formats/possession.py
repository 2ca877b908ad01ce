"""Proof of possession: a device shows that it holds the key that something shall be bound to.

The authority gives a nonce; the device signs (authority, nonce, key) behind a context, in a form that is no
COSE or JOSE structure: no proof is a credential or a code, and none can be used for another purpose. Nonces
are made with a secret, not stored: 8 bytes of time, 8 random bytes, 16 bytes of HMAC-SHA-256.
"""

from __future__ import annotations

import hmac
import os
from dataclasses import dataclass
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
"""Seconds that a nonce can be answered: a slow phone with a hundred keys, a holder who has to confirm."""


@dataclass(frozen=True, slots=True)
class Purpose:
    """One purpose of proofs.

    Attributes:
        context: first bytes of what a device signs.
        nonce_context: first bytes of what a nonce's HMAC is made over.
    """

    context: bytes
    nonce_context: bytes

    def make_nonce(self, secret: bytes, *, now: datetime) -> bytes:
        """A nonce for proofs, good for ten minutes.

        Args:
            secret: HMAC key of the authority.
            now: the authority's time.
        """
        head = seconds(now).to_bytes(8, "big") + os.urandom(8)
        return head + self._tag(secret, head)

    def _tag(self, secret: bytes, head: bytes) -> bytes:
        return hmac.digest(secret, self.nonce_context + head, sha256)[:16]

    def to_be_signed(self, authority: str, nonce: bytes, key: PublicKey) -> bytes:
        """What a device signs: context and deterministic CBOR of [authority, nonce, key thumbprint]."""
        return self.context + encode_cbor([authority, nonce, key.thumbprint()])

    def prove(self, device: Signer, *, authority: str, nonce: bytes) -> bytes:
        """The proof of a device: nonce and signature.

        Args:
            device: the device key.
            authority: name of the authority, as the nonce came with it.
            nonce: the authority's.
        """
        return nonce + device.sign(self.to_be_signed(authority, nonce, device.public_key))

    def check_proof(
        self, proof: bytes, key: PublicKey, *, authority: str, secret: bytes, now: datetime
    ) -> bytes:
        """The nonce of a proof that holds; whether it was used before is the caller's matter.

        Args:
            proof: nonce and signature, raw or DER.
            key: the device key that it is about.
            authority: name of this authority.
            secret: HMAC key that the nonce was made with.
            now: the authority's time.

        Raises:
            Refused: `signature.holder`: not our nonce, or not signed with the key; `code.expired`: too old.
        """
        nonce, signature = proof[:NONCE_SIZE], proof[NONCE_SIZE:]
        if len(nonce) != NONCE_SIZE or not hmac.compare_digest(nonce[16:], self._tag(secret, nonce[:16])):
            raise Refused("signature.holder", "a nonce that was not given here")
        age = seconds(now) - int.from_bytes(nonce[:8], "big")
        if not 0 <= age <= NONCE_LIFE:
            raise Refused("code.expired", "the nonce is too old")
        try:
            raw = raw_signature(signature, key.suite)
        except KeyMaterialError as error:
            raise Refused("signature.holder", "not a signature") from error
        if not key.verify(raw, self.to_be_signed(authority, nonce, key)):
            raise Refused("signature.holder", "the proof is not signed with the device key")
        return nonce
