"""The holder's side: a pass and its device key make codes.

`prepare` gives the bytes that the device key signs, `assemble` takes the signature as phone keystores give it
(raw or DER): the device key never leaves its device. `show` does both with a key at hand.

A wallet shows no more than the scene allows, and answers only challenges that it has checked
(`ewallet.code.challenge`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ewallet.code.passes import ACTOR, NAMES, SUBJECT
from ewallet.errors import Refused
from ewallet.formats import cose, sdcwt, text
from ewallet.moments import seconds
from ewallet.wire import encode_cbor

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from ewallet.code.challenge import CheckedChallenge
    from ewallet.code.passes import Pass
    from ewallet.formats.sdcwt import Prepared
    from ewallet.keys import Signer
    from ewallet.trust.scenes import Scene

PARTIES: Final = frozenset((SUBJECT, ACTOR))
INTERVAL: Final = 10
"""Seconds between two codes on a display."""


def audience_of(scene: Scene, *, venue: str = "") -> str:
    """What a code of this scene is addressed to: the venue, or the scene where its rule allows.

    Raises:
        Refused: `code.audience`: the scene's codes name their venue, and none is given.
    """
    if venue:
        return venue
    if scene.audience == "scene":
        return scene.id
    raise Refused("code.audience", "codes of this scene name their venue")


def check_showing(shown: Pass, scene: Scene, *, disclose: Collection[str], now: datetime) -> None:
    """What a wallet checks before it shows a code: never more than the scene allows.

    Raises:
        Refused: `pass.expired`; `policy.scene`: scene not in the pass, kind not taken, no rotating codes
            there, or more disclosed than the scene may ask for.
    """
    if not shown.covers(now):
        raise Refused("pass.expired", "the pass has not begun or has ended")
    if scene.id not in shown.scenes or shown.kind not in scene.kinds or "rotating" not in scene.forms:
        raise Refused("policy.scene", "the pass is not for this scene")
    if (scene.spends == "code") != (shown.entry is None):
        raise Refused("policy.scene", "the pass does not fit what the scene spends")
    if not disclosable(shown, scene).issuperset(disclose):
        raise Refused("policy.scene", "more than the scene may ask for")


def disclosable(shown: Pass, scene: Scene) -> frozenset[str]:
    """Attributes of a pass that may be disclosed in a scene; the names of parties go with its own."""
    allowed = set(scene.attributes)
    if allowed & NAMES:
        allowed |= PARTIES
    return frozenset(allowed & shown.attributes.keys())


def prepare(
    shown: Pass,
    *,
    audience: str,
    now: datetime,
    challenge: CheckedChallenge | None = None,
    disclose: Collection[str] = (),
) -> Prepared:
    """The code up to its signature: `.to_be_signed`, then `assemble`.

    Args:
        shown: the pass.
        audience: venue or scene (`audience_of`).
        now: the holder's time; becomes `iat`.
        challenge: the question that it answers, checked.
        disclose: names of attributes.

    Raises:
        Refused: `pass.expired`.
        ValueError: an attribute that the pass does not carry.
    """
    moment = seconds(now)
    if not shown.issued_at <= moment < shown.ends_at:
        raise Refused("pass.expired", "the pass has not begun or has ended")
    cnonce = None if challenge is None else challenge.digest
    if disclose:
        return sdcwt.prepare(
            shown.credential, audience=audience, now=now, cnonce=cnonce, disclose=tuple(disclose)
        )
    claims: dict[int | str, Any] = {cose.AUD: audience, cose.IAT: moment}
    if cnonce is not None:
        claims[sdcwt.CNONCE] = cnonce
    payload = encode_cbor(claims)
    protected = shown.bare_header
    return sdcwt.Prepared(
        to_be_signed=cose.signed_bytes(protected, payload),
        protected=protected,
        payload=payload,
        holder_key=shown.device_key,
    )


def assemble(prepared: Prepared, signature: bytes) -> str:
    """The code as text.

    Args:
        prepared: from `prepare`.
        signature: of `prepared.to_be_signed`, raw or DER.

    Raises:
        Refused: `signature.holder`: not by the device key of the pass.
    """
    return text.encode(text.CODE, prepared.assemble(signature))


def show(
    shown: Pass,
    device: Signer,
    *,
    audience: str,
    now: datetime,
    challenge: CheckedChallenge | None = None,
    disclose: Collection[str] = (),
) -> str:
    """A code as text, with the device key at hand.

    Args:
        shown: the pass.
        device: its device key.
        audience: venue or scene (`audience_of`).
        now: the holder's time.
        challenge: the question that it answers, checked.
        disclose: names of attributes.

    Raises:
        Refused: `pass.expired`; `signature.holder`: another key than the pass names.
        ValueError: an attribute that the pass does not carry.
        SignerError: the device refused.
    """
    if device.public_key != shown.device_key:
        raise Refused("signature.holder", "another key than the pass names")
    prepared = prepare(shown, audience=audience, now=now, challenge=challenge, disclose=disclose)
    # The key is known to be the right one: its signature is not verified once more.
    signature = device.sign(prepared.to_be_signed)
    return text.encode(text.CODE, cose.assemble(prepared.protected, prepared.payload, signature))


def answer(
    shown: Pass,
    device: Signer,
    *,
    challenge: CheckedChallenge,
    disclose: Collection[str],
    now: datetime,
) -> str:
    """Answers a checked challenge: addressed to its venue, bound to its digest.

    Args:
        shown: the pass.
        device: its device key.
        challenge: the question, checked against the trust lists and shown to the holder.
        disclose: what the holder agrees to disclose: at most what was asked.
        now: the holder's time.

    Raises:
        Refused: as `check_showing` and `show`; `verifier.not_granted`: more than was asked;
            `code.expired`: the question is over.
    """
    if not challenge.attributes.issuperset(set(disclose) - PARTIES):
        raise Refused("verifier.not_granted", "more than was asked")
    if seconds(now) >= challenge.ends_at:
        raise Refused("code.expired", "the question is over")
    check_showing(shown, challenge.scene, disclose=disclose, now=now)
    return show(shown, device, audience=challenge.venue, now=now, challenge=challenge, disclose=disclose)
