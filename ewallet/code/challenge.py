"""The verifier's question: made by the verifier, read and checked by the holder's side.

A *challenge* asks for a code, a *request* for licenses and fields. Both are short CWTs of the verifier's own
key (service *verify*), each with its own `typ`, shown as text `EWQ`. An answer repeats the SHA-256 of the
question's signed bytes (`cnonce`) and is addressed to its venue; it is consumed once.

| claim | meaning |
|---|---|
| 1 | the verifier's URI |
| 4, 6 | end and beginning, seconds |
| `nonce` | 16 random bytes |
| `scene` | scene that it asks in |
| `venue` | URI of the place |
| `attributes` | challenge: attributes asked for, sorted |
| `licenses` | request: [[type codes, fields], ...] |
| `about` | request, optional: {`purpose`, `organization`, `matter`, `case`}: what it is for |
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ewallet.errors import Malformed, Refused
from ewallet.formats import cose, text
from ewallet.moments import seconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from ewallet.keys import PublicKey, Signer
    from ewallet.trust.entries import Entity
    from ewallet.trust.scenes import Scene
    from ewallet.trust.trust import Trust

CHALLENGE_TYP: Final = "application/ewallet-challenge+cwt"
REQUEST_TYP: Final = "application/ewallet-request+cwt"

LIFE: Final = 60
"""Seconds that a question can be answered."""
MAX_LIFE: Final = 600
NONCE_SIZE: Final = 16
MAX_WANTED: Final = 16
"""Licenses in one request: the longest joint matter known asks for nine."""
MAX_ABOUT: Final = 200
"""Characters of each line that the holder reads about a request."""
_ABOUT: Final = "about"
_ATTRIBUTES, _LICENSES, _NONCE, _SCENE, _VENUE = "attributes", "licenses", "nonce", "scene", "venue"
_COMMON: Final[frozenset[int | str]] = frozenset((cose.ISS, cose.EXP, cose.IAT, _NONCE, _SCENE, _VENUE))
_PROFILES: Final = {
    typ: cose.Profile(typ=typ, required=_COMMON | {extra})
    for typ, extra in ((CHALLENGE_TYP, _ATTRIBUTES), (REQUEST_TYP, _LICENSES))
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One kind of license that a request asks for.

    Attributes:
        types: type codes, any of which will do.
        fields: face fields to disclose.
    """

    types: tuple[str, ...]
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a request is for: signed words of the asker, shown to the holder beside its listed name.

    Attributes:
        purpose: why, in one sentence.
        organization: which office or branch of the asker.
        matter: id of the service item.
        case: case number.
    """

    purpose: str = ""
    organization: str = ""
    matter: str = ""
    case: str = ""

    def __post_init__(self) -> None:
        for value in (self.purpose, self.organization, self.matter, self.case):
            if len(value) > MAX_ABOUT or not value.isprintable():
                raise ValueError(f"one printable line of at most {MAX_ABOUT} characters")

    def to_claim(self) -> dict[str, str]:
        """What was said, by key."""
        told = {
            "case": self.case,
            "matter": self.matter,
            "organization": self.organization,
            "purpose": self.purpose,
        }
        return {key: value for key, value in told.items() if value}

    @classmethod
    def of_claim(cls, claim: object) -> About:
        """The words of a claim; none for a request that says nothing.

        Raises:
            Malformed: of another form.
        """
        if claim is None:
            return cls()
        known = {"purpose", "organization", "matter", "case"}
        if type(claim) is not dict or not claim or not claim.keys() <= known:
            raise Malformed("words about a request of another form")
        if not all(type(value) is str and value for value in claim.values()):
            raise Malformed("words about a request of another form")
        try:
            return cls(**claim)
        except ValueError as error:
            raise Malformed("words about a request of another form") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """A question as its maker keeps it, until it is answered or over.

    Attributes:
        text: what is shown to the holder, `EWQ`.
        digest: SHA-256 of its signed bytes: what an answer repeats.
        issuer: URI of the verifier.
        venue: URI of the place.
        scene: scene that it asks in.
        attributes: attributes of a pass asked for.
        iat: when it was made, seconds since 1970.
        exp: the second from which it is over.
    """

    text: str
    digest: bytes
    issuer: str
    venue: str
    scene: str
    attributes: frozenset[str]
    iat: int
    exp: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A question for licenses; attributes as in `Challenge`, and what is wanted."""

    text: str
    digest: bytes
    issuer: str
    venue: str
    scene: str
    licenses: tuple[Wanted, ...]
    about: About
    iat: int
    exp: int

    @property
    def attributes(self) -> frozenset[str]:
        """Attributes of a pass asked for: none."""
        return frozenset()

    @property
    def types(self) -> frozenset[str]:
        """All license types that it asks for."""
        return frozenset(code for wanted in self.licenses for code in wanted.types)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnverifiedQuestion:
    """A question as scanned: form checked, nothing verified.

    Attributes:
        cwt: the token.
        text: as scanned.
    """

    cwt: cose.UnverifiedCwt
    text: str

    @property
    def is_request(self) -> bool:
        """Whether it asks for licenses."""
        return self.cwt.typ == REQUEST_TYP


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedChallenge:
    """A challenge that the holder may answer: its asker is listed and may ask this.

    Attributes:
        digest: what the answer repeats.
        asker: who asks, from the trust lists: show its name.
        venue: where.
        scene: in which scene.
        attributes: what is asked for.
        ends_at: the second from which it is over.
    """

    digest: bytes
    asker: Entity
    venue: str
    scene: Scene
    attributes: frozenset[str]
    ends_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedRequest:
    """A request for licenses that the holder may answer; attributes as in `CheckedChallenge`."""

    digest: bytes
    asker: Entity
    venue: str
    scene: Scene
    licenses: tuple[Wanted, ...]
    about: About
    ends_at: int


def _make(
    extra: Mapping[int | str, Any],
    signer: Signer,
    typ: str,
    *,
    issuer: str,
    venue: str,
    scene: str,
    now: datetime,
    life: int,
) -> dict[str, Any]:
    if not 0 < life <= MAX_LIFE:
        raise ValueError(f"a question lives for at most {MAX_LIFE} seconds")
    begin = seconds(now)
    token = cose.issue_cwt(
        {
            cose.ISS: issuer,
            cose.EXP: begin + life,
            cose.IAT: begin,
            _NONCE: os.urandom(NONCE_SIZE),
            _SCENE: scene,
            _VENUE: venue,
            **extra,
        },
        signer,
        typ=typ,
    )
    return {
        "text": text.encode(text.QUESTION, token),
        "digest": cose.parse_cwt(token, _PROFILES[typ]).digest,
        "issuer": issuer,
        "venue": venue,
        "scene": scene,
        "iat": begin,
        "exp": begin + life,
    }


def make_challenge(
    signer: Signer,
    *,
    issuer: str,
    venue: str,
    scene: str,
    attributes: Iterable[str] = (),
    now: datetime,
    life: int = LIFE,
) -> Challenge:
    """Makes a challenge.

    Args:
        signer: the verifier's key.
        issuer: the verifier's URI, that the trust lists name.
        venue: URI of the place.
        scene: id of the scene.
        attributes: names of attributes asked for.
        now: the verifier's time.
        life: seconds until it is over.
    """
    wanted = sorted(set(attributes))
    made = _make(
        {_ATTRIBUTES: wanted},
        signer,
        CHALLENGE_TYP,
        issuer=issuer,
        venue=venue,
        scene=scene,
        now=now,
        life=life,
    )
    return Challenge(**made, attributes=frozenset(wanted))


def make_request(
    signer: Signer,
    *,
    issuer: str,
    venue: str,
    scene: str,
    licenses: Iterable[Wanted],
    about: About | None = None,
    now: datetime,
    life: int = LIFE,
) -> Request:
    """Makes a request for licenses; arguments as `make_challenge`, and what it is for."""
    wanted, told = tuple(licenses), about or About()
    if not 0 < len(wanted) <= MAX_WANTED or not all(each.types for each in wanted):
        raise ValueError("a request names what it wants")
    extra: dict[int | str, Any] = {_LICENSES: [[list(each.types), list(each.fields)] for each in wanted]}
    if told.to_claim():
        extra[_ABOUT] = told.to_claim()
    made = _make(extra, signer, REQUEST_TYP, issuer=issuer, venue=venue, scene=scene, now=now, life=life)
    return Request(**made, licenses=wanted, about=told)


def parse_question(scanned: str) -> UnverifiedQuestion:
    """Reads a challenge or a request: form only.

    Raises:
        Refused: `code.*` for the text, `credential.malformed`, `algorithm.not_allowed`.
    """
    prefix, data = text.decode(scanned)
    if prefix != text.QUESTION:
        raise Malformed("not a question", "code.unreadable")
    try:
        cwt = cose.parse_cwt(data, _PROFILES[CHALLENGE_TYP])
    except Malformed:
        cwt = cose.parse_cwt(data, _PROFILES[REQUEST_TYP])
    _check_form(cwt.unverified_claims, _ATTRIBUTES if cwt.typ == CHALLENGE_TYP else _LICENSES)
    return UnverifiedQuestion(cwt=cwt, text=scanned)


def _check_form(claims: Mapping[Any, Any], extra: str) -> None:
    optional = {_ABOUT} if extra == _LICENSES else set()
    if set(claims) - optional != {*_COMMON, extra}:
        raise Malformed("claims of another question")
    About.of_claim(claims.get(_ABOUT))
    if type(claims[_NONCE]) is not bytes or len(claims[_NONCE]) != NONCE_SIZE:
        raise Malformed("a nonce of another size")
    if type(claims[_SCENE]) is not str or type(claims[_VENUE]) is not str:
        raise Malformed("scene or venue is no text")
    if claims[cose.EXP] - claims[cose.IAT] > MAX_LIFE:
        raise Malformed("a question that lives too long")
    if extra == _ATTRIBUTES:
        asked = claims[_ATTRIBUTES]
        if not _texts(asked) or asked != sorted(set(asked)):
            raise Malformed("attributes of another form")
    else:
        _wanted(claims[_LICENSES])


def _texts(value: Any) -> bool:
    return type(value) is list and all(type(item) is str for item in value)


def _wanted(value: Any) -> tuple[Wanted, ...]:
    if type(value) is not list or not 0 < len(value) <= MAX_WANTED:
        raise Malformed("licenses of another form")
    wanted = []
    for each in value:
        if type(each) is not list or len(each) != 2 or not all(map(_texts, each)) or not each[0]:
            raise Malformed("licenses of another form")
        wanted.append(Wanted(types=tuple(each[0]), fields=tuple(each[1])))
    return tuple(wanted)


def check_question(scanned: str, trust: Trust, *, now: datetime) -> CheckedChallenge | CheckedRequest:
    """Checks on the holder's side who asks, and whether it may ask this here.

    1. form; 2. time; 3. freshness of the lists; 4. the asker is listed for *verify* and signed it;
    5. its grant covers venue, scene, attributes and types; 6. the scene itself allows them.

    Args:
        scanned: text `EWQ`.
        trust: trust lists of the wallet.
        now: the holder's time.

    Raises:
        Refused: as `parse_question`; `code.expired`, `code.from_future`; `trust.stale`, `clock.unsure`;
            `verifier.unknown`, `verifier.not_granted`.
    """
    question = parse_question(scanned)
    claims = question.cwt.unverified_claims
    moment = seconds(now)
    if moment >= claims[cose.EXP]:
        raise Refused("code.expired", "the question is over")
    if claims[cose.IAT] > moment + LIFE:
        raise Refused("code.from_future", "a question from the future")
    trust.freshness(now)
    iss: str = claims[cose.ISS]
    listed = None
    for candidate in trust.verifier_key(kid=question.cwt.kid, iss=iss, now=now):
        if question.cwt.sign1.alg in candidate.key.suite.cose_accepts and candidate.key.verify(
            question.cwt.sign1.signature, question.cwt.sign1.signed
        ):
            listed = candidate
    if listed is None:
        raise Refused("verifier.unknown", "not signed by the verifier that it names")
    scene = trust.scenes.get(claims[_SCENE])
    if scene is None:
        raise Refused("verifier.not_granted", "a scene that the lists do not know")
    wanted = _wanted(claims[_LICENSES]) if question.is_request else ()
    attributes = frozenset(claims.get(_ATTRIBUTES, ()))
    types = frozenset(code for each in wanted for code in each.types)
    trust.decide_verifier(
        listed, venue=claims[_VENUE], scene=scene.id, attributes=attributes, types=types, now=now
    )
    if not attributes <= scene.attributes or not ("*" in scene.types or types <= scene.types):
        raise Refused("verifier.not_granted", "more than the scene may ask for")
    digest, asker, venue, ends_at = question.cwt.digest, listed.entity, claims[_VENUE], claims[cose.EXP]
    if question.is_request:
        return CheckedRequest(
            digest=digest,
            asker=asker,
            venue=venue,
            scene=scene,
            licenses=wanted,
            about=About.of_claim(claims.get(_ABOUT)),
            ends_at=ends_at,
        )
    return CheckedChallenge(
        digest=digest, asker=asker, venue=venue, scene=scene, attributes=attributes, ends_at=ends_at
    )


def check_challenge(scanned: str, trust: Trust, *, now: datetime) -> CheckedChallenge:
    """As `check_question`, for a challenge only.

    Raises:
        Refused: as `check_question`; `code.unreadable` for a request.
    """
    checked = check_question(scanned, trust, now=now)
    if not isinstance(checked, CheckedChallenge):
        raise Malformed("a request for licenses, not a challenge", "code.unreadable")
    return checked


def own_question(scanned: str, key: PublicKey) -> Challenge | Request:
    """A question as its maker kept it, read back from its text: nothing needs to be stored meanwhile.

    Args:
        scanned: text `EWQ`, as the maker's own page gives it back.
        key: the maker's own key.

    Raises:
        Refused: `code.challenge`: not signed by that key; as `parse_question` for its form.
    """
    question = parse_question(scanned)
    signed, claims = question.cwt.sign1, question.cwt.unverified_claims
    if signed.alg not in key.suite.cose_accepts or not key.verify(signed.signature, signed.signed):
        raise Refused("code.challenge", "another verifier asked this")
    common: dict[str, Any] = {
        "text": question.text,
        "digest": question.cwt.digest,
        "issuer": claims[cose.ISS],
        "venue": claims[_VENUE],
        "scene": claims[_SCENE],
        "iat": claims[cose.IAT],
        "exp": claims[cose.EXP],
    }
    if question.is_request:
        about = About.of_claim(claims.get(_ABOUT))
        return Request(**common, licenses=_wanted(claims[_LICENSES]), about=about)
    return Challenge(**common, attributes=frozenset(claims[_ATTRIBUTES]))
