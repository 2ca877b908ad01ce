"""Display codes: an enterprise's static code with public facts. Never a presentation of anybody.

| claim | meaning |
|---|---|
| 1 | the authority |
| 4, 6 | end and beginning |
| 65535 | status reference: asked live |
| `name` | registered name |
| `uscc` | unified social credit code |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ewallet.errors import Malformed, RecordError, Refused
from ewallet.formats import cose, text
from ewallet.formats.statuslist import CLAIM_STATUS, StatusReference
from ewallet.moments import seconds

if TYPE_CHECKING:
    from datetime import datetime

    from ewallet.keys import PublicKey, Signer

TYP: Final = "application/ewallet-display+cwt"
MAX_LIFE: Final = 5 * 366 * 86400

_NAME, _USCC = "name", "uscc"
_REQUIRED: Final[frozenset[int | str]] = frozenset((cose.ISS, cose.EXP, cose.IAT, CLAIM_STATUS, _NAME, _USCC))
_PROFILE: Final = cose.Profile(typ=TYP, required=_REQUIRED)


@dataclass(frozen=True, slots=True, kw_only=True)
class DisplayFacts:
    """What a verified display code says.

    Attributes:
        uscc: unified social credit code.
        name: registered name.
        status: its status entry.
        issued_at: beginning, seconds since 1970.
        ends_at: end.
        digest: digest over the signed bytes.
    """

    uscc: str
    name: str
    status: StatusReference
    issued_at: int
    ends_at: int
    digest: bytes


def make_display(
    signer: Signer,
    *,
    issuer: str,
    uscc: str,
    name: str,
    status: StatusReference,
    now: datetime,
    until: datetime,
) -> str:
    """Makes a display code.

    Args:
        signer: the code authority's key.
        issuer: the authority's URI.
        uscc: unified social credit code, checked by the caller.
        name: registered name.
        status: its entry of a status list.
        now: the authority's time.
        until: its end, at most five years away.

    Raises:
        RecordError: no name or code, or too long a life.
        SignerError: the signing device refused.
    """
    begin, end = seconds(now), seconds(until)
    if not name or not uscc:
        raise RecordError("a display code carries name and code", field="uscc")
    if not begin < end <= begin + MAX_LIFE:
        raise RecordError("a display code lives for at most five years", field="until")
    claims: dict[int | str, Any] = {
        cose.ISS: issuer,
        cose.EXP: end,
        cose.IAT: begin,
        CLAIM_STATUS: status.to_claim(),
        _NAME: name,
        _USCC: uscc,
    }
    return text.encode(text.DISPLAY, cose.issue_cwt(claims, signer, typ=TYP))


def parse_display(scanned: str) -> cose.UnverifiedCwt:
    """Reads a display code: form only.

    Raises:
        Refused: `code.*` for the text, `credential.malformed`, `algorithm.not_allowed`.
    """
    prefix, data = text.decode(scanned)
    if prefix != text.DISPLAY:
        raise Malformed("not a display code", "code.unreadable")
    parsed = cose.parse_cwt(data, _PROFILE)
    claims = parsed.unverified_claims
    if set(claims) != _REQUIRED or type(claims[_NAME]) is not str or type(claims[_USCC]) is not str:
        raise Malformed("claims of another form")
    StatusReference.from_claim(claims[CLAIM_STATUS])
    return parsed


def verify_display(
    parsed: cose.UnverifiedCwt, key: PublicKey, *, issuer: str | None = None, now: datetime
) -> DisplayFacts:
    """Verifies signature, issuer and times of a display code; its status is asked by the caller.

    Args:
        parsed: from `parse_display`.
        key: the authority's.
        issuer: whose key it is: `iss` must be this.
        now: the time of the check.

    Raises:
        Refused: `algorithm.not_allowed`, `signature.issuer`, `issuer.key_unknown`, `pass.expired`,
            `code.from_future`.
    """
    try:
        verified = cose.verify_cwt(parsed, key, _PROFILE, now=now, issuer=issuer)
    except Refused as refused:
        if refused.reason == "credential.expired":
            raise Refused("pass.expired", refused.detail) from refused
        raise
    claims = verified.claims
    return DisplayFacts(
        uscc=claims[_USCC],
        name=claims[_NAME],
        status=StatusReference.from_claim(claims[CLAIM_STATUS]),
        issued_at=claims[cose.IAT],
        ends_at=claims[cose.EXP],
        digest=verified.digest,
    )
