"""Asking for a license that somebody else issued: the ask, the holder's consent, the answer's statement.

All are CWTs with their own `typ`: an *ask* is signed by a listed verifier and travels between provinces; a
*consent* is signed by a device that the license is bound to; a *statement* is signed by the issuer and says
to whom which annotated copy was handed out, for what, until when.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from datetime import date
from enum import IntEnum
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from ewallet.errors import KeyMaterialError, Malformed, Refused
from ewallet.formats import cose
from ewallet.keys import PublicKey
from ewallet.moments import seconds
from ewallet.trust.entries import Service

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from ewallet.keys import Signer
    from ewallet.trust.entries import ListedKey
    from ewallet.trust.trust import Trust

ASK_TYP: Final = "application/ewallet-ask+cwt"
CONSENT_TYP: Final = "application/ewallet-consent+cwt"
COPY_TYP: Final = "application/ewallet-copy+cwt"

ASK_LIFE: Final = 120
"""Seconds that an ask may travel."""
CONSENT_LIFE: Final = 86_400
"""Seconds that a consent may be used: a matter that takes longer asks again."""
_NONCE: Final = 16

_ASK: Final = cose.Profile(
    typ=ASK_TYP, required=frozenset((cose.ISS, cose.AUD, cose.EXP, cose.IAT, "nonce", "ask")), limit=16_384
)
_CONSENT: Final = cose.Profile(
    typ=CONSENT_TYP,
    required=frozenset(
        (cose.AUD, cose.EXP, cose.IAT, "nonce", "identifier", "matter", "case", "purpose", "key")
    ),
    limit=2048,
)
_COPY: Final = cose.Profile(
    typ=COPY_TYP,
    exp_required=True,
    required=frozenset(
        (
            cose.ISS,
            cose.AUD,
            cose.EXP,
            cose.IAT,
            "identifier",
            "purpose",
            "fields",
            "pdf",
            "license",
            "uri",
            "idx",
        )
    ),
    limit=65_536,
)


class Code(IntEnum):
    """Answer codes of sharing services in the field."""

    OK = 0
    NOT_FOUND = 10
    NOT_AUTHENTICATED = 11
    FIELD_MISSING = 12
    UNKNOWN_TYPE = 13
    CANCELLED = 21
    EXPIRED = 22
    RESTRICTED = 23
    NO_PERMISSION = 100
    WRONG_TYPE = 113


WORDS: Final[Mapping[Code, tuple[str, str]]] = {
    Code.OK: ("成功", "OK"),
    Code.NOT_FOUND: ("未找到该证照", "No such license"),
    Code.NOT_AUTHENTICATED: ("调用方未通过认证", "The asker was not authenticated"),
    Code.FIELD_MISSING: ("缺少必填项", "A required field is missing"),
    Code.UNKNOWN_TYPE: ("未知的证照类型", "Unknown license type"),
    Code.CANCELLED: ("证照已注销", "The license was cancelled"),
    Code.EXPIRED: ("证照已过有效期", "The license has expired"),
    Code.RESTRICTED: ("证照使用受限", "The license is restricted"),
    Code.NO_PERMISSION: ("无权限调用", "No permission"),
    Code.WRONG_TYPE: ("证照类型代码不符", "The license is of another type"),
}
"""Words of the codes, zh and en."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Ask:
    """What somebody asks for: a license by its holder or number, or what a supply code lets retrieve.

    Attributes:
        type: type code, Shanghai's code or short name; empty with a supply code, as what follows.
        holder: number of the holder; empty where the license number is given.
        number: license number; empty where the holder is given.
        recipient: URI under which the trust lists name who receives the copy.
        organization: its name, as it stands on the copy.
        operator: who acts there.
        position: window or device.
        matter: code of the service item.
        matter_name: its name.
        case: case number there.
        purpose: why, as it stands on the copy.
        region: area code, or two digits of the province, where the license was issued.
        until: last day of the copy's use.
        basis: id of a legal basis; empty with a consent.
        consent: the holder's consent; empty with a legal basis.
        code: supply code (`ewallet.licenses.supply_code`): stands for `type`, `holder`, `number`, `region`,
            `basis` and `consent`, which are empty then.
    """

    type: str = ""
    holder: str = ""
    number: str = ""
    recipient: str
    organization: str
    operator: str
    position: str
    matter: str
    matter_name: str
    case: str
    purpose: str
    region: str = ""
    until: date
    basis: str = ""
    consent: bytes = b""
    code: str = ""

    def missing(self) -> str:
        """The first required field that is empty, or one too many beside a supply code; empty if none."""
        for name in _ALWAYS:
            if not getattr(self, name):
                return name
        if self.code:
            more = [name for name in _WITHOUT_CODE if getattr(self, name)]
            return f"code: or {more[0]}, not both" if more else ""
        for name in ("type", "region"):
            if not getattr(self, name):
                return name
        return "" if self.holder or self.number else "holder"

    def to_claim(self) -> dict[str, Any]:
        """The ask as CBOR data; an ask without a code has no such member, as older services know it."""
        given = {item.name: getattr(self, item.name) for item in fields(self)}
        if not self.code:
            del given["code"]
        return {**given, "until": self.until.isoformat()}

    @classmethod
    def from_claim(cls, claim: Mapping[str, Any]) -> Ask:
        """The ask from CBOR data.

        Raises:
            Malformed: not of this form.
        """
        names = {item.name for item in fields(cls)}
        if not isinstance(claim, dict) or set(claim) | {"code"} != names or claim.get("code") == "":
            raise Malformed("an ask of another form")
        if type(claim["consent"]) is not bytes or not all(
            type(claim[name]) is str for name in set(claim) - {"consent"}
        ):
            raise Malformed("an ask with values of other types")
        try:
            until = date.fromisoformat(claim["until"])
        except ValueError as error:
            raise Malformed("an ask without an end date") from error
        return cls(**{**claim, "until": until})


_ALWAYS: Final = (
    "recipient",
    "organization",
    "operator",
    "position",
    "matter",
    "matter_name",
    "case",
    "purpose",
)
_WITHOUT_CODE: Final = ("type", "holder", "number", "region", "consent", "basis")


# --- asks ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedAsk:
    """A verified ask.

    Attributes:
        ask: what is asked for.
        asker: the listed key that signed it.
        digest: of its signed bytes.
        iat: when it was made.
        exp: the second from which it is over.
    """

    ask: Ask
    asker: ListedKey
    digest: bytes
    iat: int
    exp: int


def make_ask(ask: Ask, signer: Signer, *, issuer: str, to: str, now: datetime) -> bytes:
    """Signs an ask, for a supplier that knows its asker by the trust lists only.

    Args:
        ask: what is asked for.
        signer: key of the service *verify* of `issuer`.
        issuer: URI of the entity that asks.
        to: URI of the issuing authority that is asked.
        now: the time.
    """
    at = seconds(now)
    return cose.issue_cwt(
        {
            cose.ISS: issuer,
            cose.AUD: to,
            cose.EXP: at + ASK_LIFE,
            cose.IAT: at,
            "nonce": os.urandom(_NONCE),
            "ask": ask.to_claim(),
        },
        signer,
        typ=ASK_TYP,
    )


def verify_ask(token: bytes, trust: Trust, *, to: str, now: datetime) -> CheckedAsk:
    """Verifies who asks, for whom.

    1. form; 2. time; 3. it is meant for this supplier; 4. a key listed for *verify* of its `iss` signed it;
    5. the recipient is the asker itself, or listed in the asker's own province.

    Raises:
        Refused: form, `code.expired`, `code.from_future`, `code.audience`, `verifier.*`, `trust.*`.
    """
    parsed = cose.parse_cwt(token, _ASK)  # 1
    claims = parsed.unverified_claims
    at, iat, exp = seconds(now), claims[cose.IAT], claims[cose.EXP]
    if at >= exp or exp - iat > ASK_LIFE:  # 2
        raise Refused("code.expired", "the ask is over")
    if iat > at + ASK_LIFE:
        raise Refused("code.from_future", "an ask from the future")
    if claims[cose.AUD] != to:  # 3
        raise Refused("code.audience", "the ask is for another authority")
    ask = Ask.from_claim(claims["ask"])
    trust.freshness(now)
    listed = _signed_by(parsed, trust, claims[cose.ISS], now)  # 4
    if ask.recipient != listed.entity.uri:  # 5
        recipient = trust.entity(ask.recipient)
        if recipient is None or recipient.province != listed.entity.province:
            raise Refused("verifier.not_granted", "asked for somebody of another province")
    return CheckedAsk(ask=ask, asker=listed, digest=parsed.digest, iat=iat, exp=exp)


def _signed_by(parsed: cose.UnverifiedCwt, trust: Trust, iss: Any, now: datetime) -> ListedKey:
    if type(iss) is not str:
        raise Malformed("an ask without its asker")
    for candidate in trust.verifier_key(kid=parsed.kid, iss=iss, now=now):
        if parsed.sign1.alg in candidate.key.suite.cose_accepts and candidate.key.verify(
            parsed.sign1.signature, parsed.sign1.signed
        ):
            return candidate
    raise Refused("verifier.unknown", "not signed by the verifier that it names")


# --- consent ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """A consent whose signature holds; whose device it is, the register knows.

    Attributes:
        recipient: who may receive a copy.
        identifier: of the license.
        matter: code of the service item.
        case: case number that it is for.
        purpose: why.
        key: the device key that signed it.
        digest: of its signed bytes.
    """

    recipient: str
    identifier: str
    matter: str
    case: str
    purpose: str
    key: PublicKey
    digest: bytes


def make_consent(
    device: Signer,
    *,
    identifier: str,
    recipient: str,
    matter: str,
    case: str,
    purpose: str,
    now: datetime,
    life: int = 3600,
) -> bytes:
    """The holder's consent that one recipient gets a copy of one license for one case.

    Args:
        device: a device key that the license is bound to.
        identifier: of any version of the license.
        recipient: URI of who receives the copy, as the trust lists name it.
        matter: code of the service item.
        case: case number there.
        purpose: why.
        now: the holder's time.
        life: seconds that it may be used, at most a day.
    """
    if not 0 < life <= CONSENT_LIFE:
        raise ValueError("a consent lives for at most a day")
    at = seconds(now)
    return cose.issue_cwt(
        {
            cose.AUD: recipient,
            cose.EXP: at + life,
            cose.IAT: at,
            "nonce": os.urandom(_NONCE),
            "identifier": identifier,
            "matter": matter,
            "case": case,
            "purpose": purpose,
            "key": device.public_key.to_cose(),
        },
        device,
        typ=CONSENT_TYP,
    )


def read_consent(token: bytes, *, now: datetime) -> Consent:
    """Reads a consent and checks its signature and time.

    Raises:
        Refused: form, `signature.holder`, `code.expired`, `code.from_future`.
    """
    parsed = cose.parse_cwt(token, _CONSENT)
    claims = parsed.unverified_claims
    names = ("identifier", "matter", "case", "purpose")
    if not all(type(claims[name]) is str for name in (*names, cose.AUD)) or type(claims["key"]) is not dict:
        raise Malformed("a consent of another form")
    try:
        key = PublicKey.from_cose(claims["key"])
    except KeyMaterialError as error:
        raise Malformed("a consent without its key") from error
    signed = parsed.sign1
    if signed.alg not in key.suite.cose_accepts or not key.verify(signed.signature, signed.signed):
        raise Refused("signature.holder", "the consent is not signed with its key")
    at = seconds(now)
    if at >= claims[cose.EXP] or claims[cose.EXP] - claims[cose.IAT] > CONSENT_LIFE:
        raise Refused("code.expired", "the consent is over")
    if claims[cose.IAT] > at + ASK_LIFE:
        raise Refused("code.from_future", "a consent from the future")
    return Consent(
        recipient=claims[cose.AUD],
        identifier=claims["identifier"],
        matter=claims["matter"],
        case=claims["case"],
        purpose=claims["purpose"],
        key=key,
        digest=parsed.digest,
    )


# --- statements ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class CopyStatement:
    """What the issuer says of a copy that it handed out.

    Attributes:
        issuer: URI of the issuer.
        recipient: URI of who received it.
        identifier: of the license.
        type: type code.
        type_version: version of the type.
        area: area code of the license.
        purpose: why.
        fields: the face, by key.
        pdf: SHA-256 of the annotated copy.
        license: digest of the signed bytes of the document credential.
        status_uri: its status list.
        status_idx: its place there.
        issued_at: when, seconds since 1970.
        ends_at: the second from which the copy may not be used any more.
    """

    issuer: str
    recipient: str
    identifier: str
    type: str
    type_version: str
    area: str
    purpose: str
    fields: Mapping[str, str]
    pdf: bytes
    license: bytes
    status_uri: str
    status_idx: int
    issued_at: int
    ends_at: int


def make_statement(statement: CopyStatement, signer: Signer) -> bytes:
    """Signs a statement with the issuer's key for licenses."""
    said = statement
    return cose.issue_cwt(
        {
            cose.ISS: said.issuer,
            cose.AUD: said.recipient,
            cose.EXP: said.ends_at,
            cose.IAT: said.issued_at,
            "identifier": said.identifier,
            "type": said.type,
            "type_version": said.type_version,
            "area": said.area,
            "purpose": said.purpose,
            "fields": dict(said.fields),
            "pdf": said.pdf,
            "license": said.license,
            "uri": said.status_uri,
            "idx": said.status_idx,
        },
        signer,
        typ=COPY_TYP,
    )


def verify_statement(
    token: bytes, trust: Trust, *, recipient: str, pdf: bytes, now: datetime
) -> CopyStatement:
    """Verifies what came with a copy: that it is this copy, handed out to this recipient.

    Args:
        token: the statement.
        trust: the trust lists.
        recipient: who received it, and checks it now.
        pdf: the copy.
        now: the time.

    Raises:
        Refused: form, `code.expired`, `code.audience`, `issuer.*`, `signature.issuer`,
            `disclosure.mismatch` (another copy).
    """
    said = read_statement(token, trust, now=now)
    if said.recipient != recipient:
        raise Refused("code.audience", "the copy was handed out to somebody else")
    if said.pdf != sha256(pdf).digest():
        raise Refused("disclosure.mismatch", "the statement is about another copy")
    return said


def read_statement(token: bytes, trust: Trust, *, now: datetime) -> CopyStatement:
    """Verifies a statement alone: who said it, and that they may.

    Raises:
        Refused: form, `code.expired`, `issuer.*`, `signature.issuer`.
    """
    parsed = cose.parse_cwt(token, _COPY)
    iss = parsed.unverified_claims[cose.ISS]
    if type(iss) is not str:
        raise Malformed("a statement without its maker")
    last: Refused = Refused("signature.issuer", "the statement's signature does not verify")
    for listed in trust.require(Service.LICENSES, kid=parsed.kid, iss=iss, now=now):
        try:
            verified = cose.verify_cwt(parsed, listed.key, _COPY, now=now)
        except Refused as refused:
            last = refused
            continue
        said = _statement(verified.claims)
        trust.decide(listed, type=said.type, region=said.area, signed_at=now, now=now)
        return said
    raise last


def _statement(claims: Mapping[Any, Any]) -> CopyStatement:
    texts = ("identifier", "type", "type_version", "area", "purpose")
    if not all(type(claims.get(name)) is str for name in (*texts, cose.AUD)):
        raise Malformed("a statement of another form")
    face = claims["fields"]
    if type(face) is not dict or not all(type(k) is str and type(v) is str for k, v in face.items()):
        raise Malformed("a statement with a face of another form")
    digests = (claims["pdf"], claims["license"])
    if not all(type(each) is bytes and len(each) == 32 for each in digests):
        raise Malformed("a statement of another form")
    if type(claims["uri"]) is not str or type(claims["idx"]) is not int:
        raise Malformed("a statement of another form")
    return CopyStatement(
        issuer=claims[cose.ISS],
        recipient=claims[cose.AUD],
        **{name: claims[name] for name in texts},
        fields=face,
        pdf=claims["pdf"],
        license=claims["license"],
        status_uri=claims["uri"],
        status_idx=claims["idx"],
        issued_at=claims[cose.IAT],
        ends_at=claims[cose.EXP],
    )
