"""Proof of possession for passes: each pass is bound to a device key whose holder has shown that it holds it.

A proof that is used twice yields passes for the same device key only.
"""

from __future__ import annotations

from typing import Final

from ewallet.formats.possession import NONCE_LIFE, NONCE_SIZE, Purpose

PASS: Final = Purpose(b"ewallet-possession-v1\x00", b"ewallet-nonce-v1")
"""The purpose: no other proof, of a license for example, is one for passes."""

make_nonce = PASS.make_nonce
to_be_signed = PASS.to_be_signed
prove = PASS.prove
check_proof = PASS.check_proof

__all__ = ["NONCE_LIFE", "NONCE_SIZE", "PASS", "check_proof", "make_nonce", "prove", "to_be_signed"]
