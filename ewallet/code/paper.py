"""Paper codes, for people without a phone: a CWT without a device key, for at most a year.

Anybody can copy paper. So its level is always low, its scenes are few, whoever accepts it compares with the
person, and each sheet has its own status entry: a lost one is revoked alone.

| claim | meaning |
|---|---|
| 1 | the authority |
| 2 | random id, text |
| 4, 6 | end and beginning |
| 65535 | status reference |
| `k` | kind, as in passes |
| `name` | masked name |
| `portrait` | salted digest of the portrait (`ewallet.code.portrait`), or absent |
| `s` | scenes, sorted |
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ewallet.code.passes import ID_SIZE, KIND, KINDS, SCENES
from ewallet.code.portrait import check_digest, portrait_digest
from ewallet.errors import Malformed, RecordError, Refused
from ewallet.formats import cose, text
from ewallet.formats.statuslist import CLAIM_STATUS, StatusReference
from ewallet.moments import seconds
from ewallet.wire import b64u_encode

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from ewallet.keys import PublicKey, Signer
    from ewallet.trust.scenes import Scene

TYP: Final = "application/ewallet-paper+cwt"
MAX_LIFE: Final = 366 * 86400
ASSURANCE: Final = "low"
"""Level of every paper code."""

_NAME, _PORTRAIT = "name", "portrait"
_REQUIRED: Final[frozenset[int | str]] = frozenset(
    (cose.ISS, cose.SUB, cose.EXP, cose.IAT, CLAIM_STATUS, KIND, _NAME, SCENES)
)
_PROFILE: Final = cose.Profile(typ=TYP, required=_REQUIRED)
_KIND_NAMES: Final = {number: name for name, number in KINDS.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperFacts:
    """What a verified paper code says.

    Attributes:
        id: its random id.
        kind: kind of the person.
        name: masked name: compare with the person.
        portrait: salted digest of the portrait; empty without.
        scenes: where it may be used.
        status: its own status entry.
        issued_at: beginning, seconds since 1970.
        ends_at: end.
        digest: digest over the signed bytes.
    """

    id: str
    kind: str
    name: str
    portrait: bytes
    scenes: frozenset[str]
    status: StatusReference
    issued_at: int
    ends_at: int
    digest: bytes


def make_paper(
    signer: Signer,
    *,
    issuer: str,
    kind: str,
    masked_name: str,
    scenes: Iterable[Scene],
    status: StatusReference,
    portrait: bytes | None = None,
    now: datetime,
    until: datetime,
) -> str:
    """Makes a paper code.

    Args:
        signer: the code authority's key.
        issuer: the authority's URI.
        kind: kind of the person.
        masked_name: masked name.
        scenes: scenes, each of which takes paper and this kind.
        status: its own entry of a status list.
        portrait: the portrait's file, with the person's consent; None: a code without.
        now: the authority's time.
        until: its end, at most a year away.

    Raises:
        RecordError: a scene that takes no paper, no name, or too long a life.
        SignerError: the signing device refused.
    """
    chosen = sorted({scene.id: scene for scene in scenes}.items())
    if not chosen or any("paper" not in scene.forms or kind not in scene.kinds for _, scene in chosen):
        raise RecordError("a scene that does not take paper of this kind", field="scenes")
    if not masked_name:
        raise RecordError("a paper code carries a masked name", field="masked_name")
    begin, end = seconds(now), seconds(until)
    if not begin < end <= begin + MAX_LIFE:
        raise RecordError("a paper code lives for at most a year", field="until")
    claims: dict[int | str, Any] = {
        cose.ISS: issuer,
        cose.SUB: b64u_encode(os.urandom(ID_SIZE)),
        cose.EXP: end,
        cose.IAT: begin,
        CLAIM_STATUS: status.to_claim(),
        KIND: KINDS[kind],
        _NAME: masked_name,
        SCENES: [scene for scene, _ in chosen],
    }
    if portrait is not None:
        claims[_PORTRAIT] = portrait_digest(portrait)
    return text.encode(text.PAPER, cose.issue_cwt(claims, signer, typ=TYP))


def parse_paper(scanned: str) -> cose.UnverifiedCwt:
    """Reads a paper code: form only.

    Raises:
        Refused: `code.*` for the text, `credential.malformed`, `algorithm.not_allowed`.
    """
    prefix, data = text.decode(scanned)
    if prefix != text.PAPER:
        raise Malformed("not a paper code", "code.unreadable")
    parsed = cose.parse_cwt(data, _PROFILE)
    _check_form(parsed.unverified_claims)
    return parsed


def _check_form(claims: Mapping[Any, Any]) -> None:
    if not set(claims) <= _REQUIRED | {_PORTRAIT}:
        raise Malformed("a claim that does not belong into a paper code")
    if type(claims[KIND]) is not int or claims[KIND] not in _KIND_NAMES:
        raise Malformed("an unknown kind")
    scenes = claims[SCENES]
    if type(scenes) is not list or not scenes or not all(type(scene) is str for scene in scenes):
        raise Malformed("scenes of another form")
    if type(claims[_NAME]) is not str or not claims[_NAME]:
        raise Malformed("a name of another form")
    if claims[cose.EXP] - claims[cose.IAT] > MAX_LIFE:
        raise Malformed("a paper code that lives too long")
    StatusReference.from_claim(claims[CLAIM_STATUS])
    if _PORTRAIT in claims:
        check_digest(claims[_PORTRAIT])


def verify_paper(
    parsed: cose.UnverifiedCwt, key: PublicKey, *, issuer: str | None = None, now: datetime
) -> PaperFacts:
    """Verifies signature, issuer and times of a paper code; its status is asked by the caller.

    Args:
        parsed: from `parse_paper`.
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
    return PaperFacts(
        id=claims[cose.SUB],
        kind=_KIND_NAMES[claims[KIND]],
        name=claims[_NAME],
        portrait=claims.get(_PORTRAIT, b""),
        scenes=frozenset(claims[SCENES]),
        status=StatusReference.from_claim(claims[CLAIM_STATUS]),
        issued_at=claims[cose.IAT],
        ends_at=claims[cose.EXP],
        digest=verified.digest,
    )


def check_paper_scene(facts: PaperFacts, scene: Scene) -> None:
    """Whether a scene takes this paper.

    Raises:
        Refused: `code.static` (no paper there), `policy.scene`, `policy.assurance`, `policy.field_missing`
            (the scene demands attributes that paper does not carry).
    """
    if "paper" not in scene.forms:
        raise Refused("code.static", "paper is not taken here")
    if scene.id not in facts.scenes or facts.kind not in scene.kinds:
        raise Refused("policy.scene", "the paper is not for this scene")
    if scene.min_assurance != ASSURANCE:
        raise Refused("policy.assurance", "paper is of low assurance")
    carried = {"masked_name"} | ({"portrait_digest"} if facts.portrait else set())
    if not scene.demanded <= carried:
        raise Refused("policy.field_missing", "paper does not carry what the scene demands")
