"""Objections: a license is disputed across provinces, in signed messages that form a trail.

An authority raises an objection for somebody, against one field of one license; it may be forwarded; an
authority of the issuing province answers; the one that raised it, or the issuing province, closes it. Each
message names the one before by the digest of its signed bytes, so the trail can neither lose nor gain a
message. While it is open, the license verifies with a notice of field and date. No message and no notice
says who asked: the trail holds authorities only.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from secrets import token_bytes
from typing import TYPE_CHECKING, Any, Final

from ewallet.errors import Malformed, Refused
from ewallet.formats import cose
from ewallet.moments import instant, seconds
from ewallet.trust.entries import Service
from ewallet.trust.times import time_text
from ewallet.wire import b64u_decode, b64u_encode, decode_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from ewallet.keys import Signer
    from ewallet.trust.trust import Trust

OBJECTION_TYP: Final = "application/ewallet-objection+cwt"
MAX_TRAIL: Final = 64
"""Messages of one trail."""

_PROFILE: Final = cose.Profile(
    typ=OBJECTION_TYP,
    exp_required=False,
    required=frozenset((cose.ISS, cose.IAT, "act", "case")),
    limit=4096,
)


class Act(StrEnum):
    """What a message does."""

    RAISE = "raise"
    FORWARD = "forward"
    ANSWER = "answer"
    CLOSE = "close"


class Result(StrEnum):
    """What the issuing province answers."""

    UPHELD = "upheld"
    REJECTED = "rejected"
    CORRECTED = "corrected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Disputed:
    """What an objection is about.

    Attributes:
        license: digest of the signed bytes of the license that was shown, 32 bytes.
        issuer: URI of its issuer.
        status_uri: its status list.
        status_idx: its place there.
        field: key of the disputed field.
        evidence: digest of what is put against it, 32 bytes; the evidence itself travels elsewhere.
    """

    license: bytes
    issuer: str
    status_uri: str
    status_idx: int
    field: str
    evidence: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One verified message.

    Attributes:
        act: what it does.
        at: when.
        entity: URI of the authority that signed it.
        to: URI of the authority that it is handed to; empty for the last one.
        result: of an answer; None otherwise.
        text: a sentence, without personal data.
        digest: of its signed bytes.
    """

    act: Act
    at: datetime
    entity: str
    to: str
    result: Result | None
    text: str
    digest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Trail:
    """A verified trail.

    Attributes:
        case: 16 bytes that name it.
        disputed: what it is about.
        messages: in order.
    """

    case: bytes
    disputed: Disputed
    messages: tuple[Message, ...]

    @property
    def open(self) -> bool:
        """Whether it was not closed."""
        return self.messages[-1].act is not Act.CLOSE

    @property
    def result(self) -> Result | None:
        """The last answer, if any."""
        answers = [message.result for message in self.messages if message.act is Act.ANSWER]
        return answers[-1] if answers else None

    def notice(self) -> dict[str, Any] | None:
        """The entry of the issuing province's `notices.json`; None once it is closed."""
        if not self.open:
            return None
        return {
            "uri": self.disputed.status_uri,
            "idx": self.disputed.status_idx,
            "kind": "objection",
            "field": self.disputed.field,
            "since": time_text(self.messages[0].at),
        }


def raise_objection(
    disputed: Disputed, *, to: str, signer: Signer, iss: str, now: datetime, text: str = ""
) -> bytes:
    """Raises an objection.

    Args:
        disputed: what it is about.
        to: URI of the authority that it is handed to.
        signer: key of the service `objections` of `iss`.
        iss: the authority that raises it.
        now: the time.
        text: a sentence, without personal data.
    """
    if len(disputed.license) != 32 or len(disputed.evidence) != 32:
        raise ValueError("digests have 32 bytes")
    claims = {
        "case": token_bytes(16),
        "license": disputed.license,
        "issuer": disputed.issuer,
        "uri": disputed.status_uri,
        "idx": disputed.status_idx,
        "field": disputed.field,
        "evidence": disputed.evidence,
    }
    return _message(Act.RAISE, claims, to=to, signer=signer, iss=iss, now=now, text=text)


def forward(
    trail: Sequence[bytes], *, to: str, signer: Signer, iss: str, now: datetime, text: str = ""
) -> bytes:
    """Hands an open objection on."""
    return _next(Act.FORWARD, trail, to=to, signer=signer, iss=iss, now=now, text=text)


def answer(
    trail: Sequence[bytes], result: Result, *, signer: Signer, iss: str, now: datetime, text: str = ""
) -> bytes:
    """Answers an objection, for the issuing province."""
    return _next(Act.ANSWER, trail, signer=signer, iss=iss, now=now, text=text, result=result.value)


def close(trail: Sequence[bytes], *, signer: Signer, iss: str, now: datetime, text: str = "") -> bytes:
    """Closes an objection."""
    return _next(Act.CLOSE, trail, signer=signer, iss=iss, now=now, text=text)


def _next(
    act: Act,
    trail: Sequence[bytes],
    *,
    signer: Signer,
    iss: str,
    now: datetime,
    to: str = "",
    text: str = "",
    **more: Any,
) -> bytes:
    last = cose.parse_cwt(trail[-1], _PROFILE)
    claims = {"case": last.unverified_claims["case"], "before": last.digest, **more}
    return _message(act, claims, to=to, signer=signer, iss=iss, now=now, text=text)


def _message(
    act: Act, claims: dict[str, Any], *, to: str, signer: Signer, iss: str, now: datetime, text: str
) -> bytes:
    whole: dict[int | str, Any] = {cose.ISS: iss, cose.IAT: seconds(now), "act": act.value}
    whole.update(claims)
    if to:
        whole["to"] = to
    if text:
        whole["text"] = text
    return cose.issue_cwt(whole, signer, typ=OBJECTION_TYP)


# --- verifying ----------------------------------------------------------------------------------------------


def verify_trail(trust: Trust, tokens: Sequence[bytes], *, now: datetime) -> Trail:
    """Verifies a whole trail against the lists.

    1. every message is signed by a key that was then listed for `objections` of its `iss`;
    2. the first raises, the others follow, each naming the one before, none earlier than it;
    3. only who holds it forwards or answers it, and only the issuing province answers;
    4. who raised it or the issuing province closes it, and nothing follows.

    Raises:
        Refused: form, signature, a key that may not, or an order that does not hold.
    """
    if not 0 < len(tokens) <= MAX_TRAIL:
        raise Malformed("not a trail")
    parsed = [_verified(trust, token, now) for token in tokens]
    first, claims = parsed[0]
    if first.act is not Act.RAISE:
        raise Malformed("a trail begins with an objection")
    disputed = _disputed(claims)
    home = trust.entity(disputed.issuer)
    if home is None:
        raise Refused("issuer.unknown", "no list names the issuer of the disputed license")
    messages = [first]
    for message, more in parsed[1:]:
        last = messages[-1]
        if more.get("case") != claims["case"] or more.get("before") != last.digest:
            raise Malformed("a message that does not follow the one before")
        if message.at < last.at or last.act is Act.CLOSE:
            raise Malformed("a message out of time, or after the end")
        _require_right(trust, message, messages, home.province)
        messages.append(message)
    return Trail(case=claims["case"], disputed=disputed, messages=tuple(messages))


def _require_right(trust: Trust, message: Message, before: list[Message], home: str) -> None:
    entity = trust.entity(message.entity)
    at_home = entity is not None and entity.province == home
    holder = next(item.to for item in reversed(before) if item.to)
    if message.act is Act.RAISE:
        raise Malformed("a trail has one objection")
    if message.act in (Act.FORWARD, Act.ANSWER) and message.entity != holder:
        raise Refused("issuer.service", "the objection was handed to another authority")
    if message.act is Act.ANSWER and not at_home:
        raise Refused("issuer.region", "only the issuing province answers")
    if message.act is Act.CLOSE and not (at_home or message.entity == before[0].entity):
        raise Refused("issuer.region", "only who raised it or the issuing province closes it")


def _verified(trust: Trust, token: bytes, now: datetime) -> tuple[Message, dict[Any, Any]]:
    parsed = cose.parse_cwt(token, _PROFILE)
    iss = parsed.unverified_claims.get(cose.ISS)
    if not isinstance(iss, str):
        raise Malformed("a message without its maker")
    for listed in trust.require(Service.OBJECTIONS, kid=parsed.kid, iss=iss, now=now):
        verified = cose.verify_cwt(parsed, listed.key, _PROFILE, now=now, issuer=iss)
        claims = dict(verified.claims)
        at = instant(claims[cose.IAT])
        trust.decide(listed, signed_at=at, now=now, digest=verified.digest)
        return _read(claims, iss, at, verified.digest), claims
    raise Refused("issuer.key_unknown", "no key of the maker")


def _read(claims: dict[Any, Any], iss: str, at: datetime, digest: bytes) -> Message:
    try:
        act = Act(claims["act"])
        result = Result(claims["result"]) if act is Act.ANSWER else None
    except (KeyError, ValueError) as error:
        raise Malformed("not a message of a trail") from error
    texts = [claims.get(name, "") for name in ("to", "text")]
    if not all(isinstance(text, str) for text in texts):
        raise Malformed("not a message of a trail")
    return Message(act=act, at=at, entity=iss, to=texts[0], result=result, text=texts[1], digest=digest)


def _disputed(claims: dict[Any, Any]) -> Disputed:
    kinds = {"license": bytes, "issuer": str, "uri": str, "idx": int, "field": str, "evidence": bytes}
    if not all(type(claims.get(name)) is kind for name, kind in kinds.items()) or not claims.get("to"):
        raise Malformed("not an objection")
    return Disputed(
        license=claims["license"],
        issuer=claims["issuer"],
        status_uri=claims["uri"],
        status_idx=claims["idx"],
        field=claims["field"],
        evidence=claims["evidence"],
    )


# --- for the archive ----------------------------------------------------------------------------------------


def export_trail(tokens: Sequence[bytes]) -> dict[str, Any]:
    """A trail for an archive package: the signed messages, to be verified again at any time."""
    return {"format": 1, "kind": "objection", "messages": [b64u_encode(token) for token in tokens]}


def import_trail(data: bytes) -> tuple[bytes, ...]:
    """The messages of an exported trail; `verify_trail` says what they are worth.

    Raises:
        Malformed: another form.
    """
    document = decode_json(data, limit=1 << 20)
    rows = document.get("messages") if isinstance(document, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, str) for row in rows):
        raise Malformed("not an exported trail")
    return tuple(b64u_decode(row) for row in rows)
