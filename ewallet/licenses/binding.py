"""Binding: a holder's device proves that it holds the key that holder credentials shall name.

Nonces are made with the register's secret and spent in the transaction that binds.
"""

from __future__ import annotations

from typing import Final

from ewallet.formats.possession import NONCE_LIFE, NONCE_SIZE, Purpose

BIND: Final = Purpose(b"ewallet-bind-v1\x00", b"ewallet-bind-nonce-v1\x00")
"""The purpose: no other proof, of a pass for example, is one for binding."""

make_nonce = BIND.make_nonce
to_be_signed = BIND.to_be_signed
prove = BIND.prove
check_proof = BIND.check_proof

__all__ = ["BIND", "NONCE_LIFE", "NONCE_SIZE", "check_proof", "make_nonce", "prove", "to_be_signed"]
