"""The holder's side of licenses: a holder credential and its device key make a presentation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ewallet.formats import sdcwt, sdjwt, text
from ewallet.wire import b64u_encode

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from ewallet.keys import Signer


def present(
    credential: str | bytes,
    device: Signer,
    *,
    audience: str,
    nonce: bytes | None,
    disclose: Collection[str],
    now: datetime,
) -> str:
    """Shows a license: only what is named, to one verifier, signed by the device key.

    Args:
        credential: the holder credential, SD-JWT VC (text) or SD-CWT (bytes), with all its disclosures.
        device: the device key that it names.
        audience: URI of the place that it is shown to.
        nonce: digest of the question that it answers; None where nothing was asked (SD-CWT only).
        disclose: keys of the face fields to disclose.
        now: the holder's time.

    Returns:
        SD-JWT+KB for an SD-JWT VC, the text `EWL` for an SD-CWT.

    Raises:
        ValueError: a field that the credential does not have; an SD-JWT VC without a nonce.
        Refused: not a holder credential, or another device's.
        SignerError: the device refused.
    """
    if isinstance(credential, str):
        if nonce is None:
            raise ValueError("an SD-JWT VC is shown in answer to a question: its key binding needs a nonce")
        return sdjwt.present(
            credential, device, audience=audience, nonce=b64u_encode(nonce), now=now, disclose=disclose
        )
    token = sdcwt.present(credential, device, audience=audience, now=now, cnonce=nonce, disclose=disclose)
    return text.encode(text.LICENSE, token)
