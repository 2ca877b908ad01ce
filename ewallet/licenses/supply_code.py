"""The supply code: shown on the holder's phone, it lets one window retrieve one license.

Text `EWU`: a CWT of the device key that the license is bound to. It tells where to ask (the issuing
authority) and for which type, and names neither license nor holder: the authority finds the binding by the
device key. It is the holder's consent for whoever scans it, for minutes and for one case; the authority keeps
what it was used for (`ewallet.licenses.sharing`).

`prepare` gives the bytes that the device key signs, `assemble` takes the signature as phone keystores give it
(raw or DER): the device key never leaves its device. `make_supply_code` does both with a key at hand.

| claim | meaning |
|---|---|
| 3 | URI of the issuing authority |
| 4, 6 | end and beginning, seconds, at most 300 apart |
| 8 | device key, point compressed |
| `nonce` | 16 random bytes |
| `type` | type code of the license |
| `recipient` | optional: URI of the only one who may use it |
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ewallet.errors import KeyMaterialError, Malformed, Refused
from ewallet.formats import cose, text
from ewallet.formats.sdcwt import Prepared
from ewallet.keys import PublicKey
from ewallet.moments import seconds
from ewallet.wire import encode_cbor

if TYPE_CHECKING:
    from datetime import datetime

    from ewallet.keys import Signer

TYP: Final = "application/ewallet-supply+cwt"

LIFE: Final = 120
"""Seconds that a code is shown and may be used."""
MAX_LIFE: Final = 300
SKEW: Final = 60
"""Seconds that the phone's clock may be ahead."""
NONCE_SIZE: Final = 16

_COSE_KEY: Final = 1
_NONCE, _TYPE, _RECIPIENT = "nonce", "type", "recipient"
_REQUIRED: Final[frozenset[int | str]] = frozenset((cose.AUD, cose.EXP, cose.IAT, cose.CNF, _NONCE, _TYPE))
_PROFILE: Final = cose.Profile(typ=TYP, required=_REQUIRED, limit=2048)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnverifiedSupplyCode:
    """A supply code as scanned: form checked, signature and time not.

    Attributes:
        cwt: the token.
        unverified_key: the key that it names.
    """

    cwt: cose.UnverifiedCwt
    unverified_key: PublicKey


@dataclass(frozen=True, slots=True, kw_only=True)
class SupplyCode:
    """A supply code whose signature and time hold; which license its device holds, the register knows.

    Attributes:
        authority: URI of the issuing authority.
        type: type code of the license.
        recipient: URI of the only one who may use it; empty: whoever may retrieve.
        key: the device key that signed it.
        digest: of its signed bytes: what is spent.
        iat: when it was made, seconds since 1970.
        exp: the second from which it is over.
    """

    authority: str
    type: str
    recipient: str
    key: PublicKey
    digest: bytes
    iat: int
    exp: int


def prepare(
    device_key: PublicKey,
    *,
    authority: str,
    type: str,  # noqa: A002 - the word of the field
    recipient: str = "",
    now: datetime,
    life: int = LIFE,
) -> Prepared:
    """A supply code up to its signature: `.to_be_signed`, then `assemble`.

    Args:
        device_key: the key that the license is bound to.
        authority: URI of the issuing authority: `iss` of the holder credential.
        type: type code of the license.
        recipient: URI, on the trust lists, of the only one who may use it; empty: whoever may retrieve.
        now: the holder's time.
        life: seconds that it may be used, at most 300.

    Raises:
        ValueError: no authority or type, or a life beyond 300 s.
    """
    if not 0 < life <= MAX_LIFE:
        raise ValueError(f"a supply code lives for at most {MAX_LIFE} seconds")
    if not (authority and type):
        raise ValueError("a supply code names authority and type")
    at = seconds(now)
    claims: dict[int | str, Any] = {
        cose.AUD: authority,
        cose.EXP: at + life,
        cose.IAT: at,
        cose.CNF: {_COSE_KEY: device_key.to_cose_compressed()},
        _NONCE: os.urandom(NONCE_SIZE),
        _TYPE: type,
    }
    if recipient:
        claims[_RECIPIENT] = recipient
    protected = encode_cbor({cose.ALG: device_key.suite.cose_alg, cose.KID: device_key.kid, cose.TYP: TYP})
    payload = encode_cbor(claims)
    return Prepared(
        to_be_signed=cose.signed_bytes(protected, payload),
        protected=protected,
        payload=payload,
        holder_key=device_key,
    )


def assemble(prepared: Prepared, signature: bytes) -> str:
    """The code as text.

    Args:
        prepared: from `prepare`.
        signature: of `prepared.to_be_signed`, raw or DER.

    Raises:
        Refused: `signature.holder`: not by the device key.
    """
    return text.encode(text.SUPPLY, prepared.assemble(signature))


def make_supply_code(
    device: Signer,
    *,
    authority: str,
    type: str,  # noqa: A002 - the word of the field
    recipient: str = "",
    now: datetime,
    life: int = LIFE,
) -> str:
    """A supply code as text, with the device key at hand.

    Args:
        device: the device key that the license is bound to.
        authority: URI of the issuing authority: `iss` of the holder credential.
        type: type code of the license.
        recipient: URI of the only one who may use it; empty: whoever may retrieve.
        now: the holder's time.
        life: seconds that it may be used, at most 300.

    Raises:
        ValueError: as `prepare`.
        SignerError: the device refused.
    """
    prepared = prepare(
        device.public_key, authority=authority, type=type, recipient=recipient, now=now, life=life
    )
    return assemble(prepared, device.sign(prepared.to_be_signed))


def parse_supply_code(scanned: str) -> UnverifiedSupplyCode:
    """Reads a supply code: form only.

    Raises:
        Refused: `code.*` for the text (`code.unreadable` for another kind of code),
            `credential.malformed`, `algorithm.not_allowed`.
    """
    prefix, data = text.decode(scanned)
    if prefix != text.SUPPLY:
        raise Malformed("not a supply code", "code.unreadable")
    cwt = cose.parse_cwt(data, _PROFILE)
    claims = cwt.unverified_claims
    if set(claims) - {_RECIPIENT} != _REQUIRED:
        raise Malformed("claims of another object")
    if type(claims[_NONCE]) is not bytes or len(claims[_NONCE]) != NONCE_SIZE:
        raise Malformed("a nonce of another size")
    texts = (claims[cose.AUD], claims[_TYPE], claims.get(_RECIPIENT, "-"))
    if not all(type(each) is str and each for each in texts):
        raise Malformed("authority, type or recipient is no text")
    if claims[cose.EXP] - claims[cose.IAT] > MAX_LIFE:
        raise Malformed("a supply code that lives too long")
    return UnverifiedSupplyCode(cwt=cwt, unverified_key=_key(claims[cose.CNF]))


def _key(cnf: Any) -> PublicKey:
    """The key of a confirmation claim, in its one form: point compressed."""
    if type(cnf) is not dict or set(cnf) != {_COSE_KEY} or type(cnf[_COSE_KEY]) is not dict:
        raise Malformed("a supply code without its key")
    try:
        key = PublicKey.from_cose(cnf[_COSE_KEY])
    except KeyMaterialError as error:
        raise Malformed("a supply code without its key") from error
    if encode_cbor(key.to_cose_compressed()) != encode_cbor(cnf[_COSE_KEY]):
        raise Malformed("a device key in another form")
    return key


def read_supply_code(scanned: str, *, now: datetime) -> SupplyCode:
    """Reads a supply code and checks its signature and time.

    1. form; 2. the key that it names signed it; 3. time. Whether a license is bound to that key, whether the
    authority is this one, who may use it and whether it was used: `ewallet.licenses.sharing.Supplier`.

    Args:
        scanned: text `EWU`.
        now: the time.

    Raises:
        Refused: as `parse_supply_code`; `signature.holder`, `code.expired`, `code.from_future`.
    """
    parsed = parse_supply_code(scanned)  # 1
    key, claims = parsed.unverified_key, parsed.cwt.unverified_claims
    cose.verify(parsed.cwt.sign1, key, reason="signature.holder")  # 2
    at, iat, exp = seconds(now), claims[cose.IAT], claims[cose.EXP]
    if at >= exp:  # 3
        raise Refused("code.expired", "the supply code is over")
    if iat > at + SKEW:
        raise Refused("code.from_future", "a supply code from the future")
    return SupplyCode(
        authority=claims[cose.AUD],
        type=claims[_TYPE],
        recipient=claims.get(_RECIPIENT, ""),
        key=key,
        digest=parsed.cwt.digest,
        iat=iat,
        exp=exp,
    )
