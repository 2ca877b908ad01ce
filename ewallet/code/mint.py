"""Makes passes that differ only in id, device key and salts, at little more than the cost of a signature.

What all passes of a batch share is encoded once. The result is byte for byte what `ewallet.formats.sdcwt`
would issue for the same claims, ids and salts; a test compares them.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from ewallet.code import passes
from ewallet.code.passes import ID_SIZE, Pass
from ewallet.code.portrait import portrait_digest
from ewallet.formats import cose, sdcwt
from ewallet.formats.disclosure import SALT_SIZE
from ewallet.wire import b64u_encode, cbor_bytes, cbor_head, encode_cbor

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ewallet.keys import PublicKey, Signer

_PORTRAIT: Final = "portrait_digest"
_SHA256: Final = -16
_SALT_HEAD: Final = b"\x83\x50"
"""Array of three, byte string of 16: how a disclosed claim begins."""
_REDACTED: Final = b"\xf8\x3b"
"""simple(59), the key under which the digests stand; it sorts behind all others."""


class Mint:
    """One batch of passes.

    Args:
        signer: the authority's key.
        template: the claims that all passes share; integer keys `exp` and `iat`, text keys of our own.
        carried: what can be disclosed, by name; for `portrait_digest` the picture's file.
    """

    def __init__(self, signer: Signer, template: Mapping[int | str, Any], carried: Mapping[str, Any]) -> None:
        self._signer = signer
        suite = signer.public_key.suite
        header: dict[int, Any] = {cose.ALG: suite.cose_alg, cose.KID: signer.public_key.kid}
        header[cose.TYP] = sdcwt.SD_CWT
        if suite.sd_alg_cose != _SHA256:
            header[sdcwt.SD_ALG] = suite.sd_alg_cose
        self._protected = encode_cbor(header)
        self._digest = suite.digest
        # Deterministic order: 2 (id), 4, 6, 8 (device key), 11 (type), then our own keys, then the digests.
        times = {key: template[key] for key in (cose.EXP, cose.IAT)}
        own = {key: value for key, value in template.items() if key not in times}
        members = len(template) + 3 + bool(carried)
        self._before = cbor_head(5, members) + encode_cbor(cose.SUB)
        self._between = encode_cbor(times)[1:] + encode_cbor(cose.CNF)
        self._after = encode_cbor({sdcwt.VCT: passes.VCT, **own})[1:]
        self._portrait = carried.get(_PORTRAIT)
        self._tails = [
            encode_cbor(value) + encode_cbor(name) for name, value in carried.items() if name != _PORTRAIT
        ]

    def strike(self, key: PublicKey) -> tuple[str, Pass]:
        """One pass for one device key, with a fresh id and fresh salts.

        Raises:
            SignerError: the signing device refused.
        """
        pass_id = b64u_encode(os.urandom(ID_SIZE))
        disclosures = self._disclosures()
        payload = b"".join(
            (
                self._before,
                cbor_head(3, len(pass_id)),
                pass_id.encode(),
                self._between,
                b"\xa1\x01",
                _cose_key(key),
                self._after,
                self._digests(disclosures),
            )
        )
        signature = self._signer.sign(cose.signed_bytes(self._protected, payload))
        shown = b"\xa1\x11" + cose.cose_array(disclosures) if disclosures else b"\xa0"
        return pass_id, Pass(cose.assemble(self._protected, payload, signature, shown))

    def _disclosures(self) -> list[bytes]:
        tails = self._tails
        if self._portrait is not None:
            fresh = encode_cbor(portrait_digest(self._portrait)) + encode_cbor(_PORTRAIT)
            tails = [*tails, fresh]
        if not tails:
            return []
        salts = os.urandom(SALT_SIZE * len(tails))
        return [
            cbor_bytes(_SALT_HEAD + salts[at * SALT_SIZE : (at + 1) * SALT_SIZE] + tail)
            for at, tail in enumerate(tails)
        ]

    def _digests(self, disclosures: list[bytes]) -> bytes:
        if not disclosures:
            return b""
        # Sorted, so that the order tells nothing about the claims.
        digests = sorted(self._digest(disclosure) for disclosure in disclosures)
        return _REDACTED + cbor_head(4, len(digests)) + b"".join(b"\x58\x20" + digest for digest in digests)


_COMPRESSED: Final = {True: b"\x22\xf5", False: b"\x22\xf4"}


def _cose_key(key: PublicKey) -> bytes:
    """The COSE_Key, point compressed; the usual case without the general encoder."""
    suite, raw = key.suite, key.raw
    if suite.name == "ES256":
        return b"\xa4\x01\x02\x20\x01\x21\x58\x20" + raw[:32] + _COMPRESSED[bool(raw[-1] & 1)]
    return encode_cbor(sdcwt.compact_key(key))
