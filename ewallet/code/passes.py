"""Passes: what a code authority says about the holder of one device key, for at most a day.

A pass is an SD-CWT of the authority with its own `vct`. It names nobody: a random id, the device key, kind,
scenes, level of assurance, and digests of the attributes that its scenes may ask for. Numbers stand for kinds
and levels, and claim keys are one letter, because all of it is drawn in a picture (format.md, "Identity
code").

| claim | meaning |
|---|---|
| 2 | random pass id, text |
| 4, 6 | end and beginning, whole hours |
| 8 | device key, point compressed |
| 11 | `urn:ewallet:pass:1` |
| `a` | level of assurance: 1 low, 2 substantial, 3 high |
| `d` | delegation: [role, until] |
| `e` | what a scene limited by day or entry spends: [pseudonym, event, start, end] |
| `k` | kind of the subject: 1 person, 2 enterprise, 3 international, 4 senior, 5 minor |
| `s` | scenes, sorted |
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from ewallet.errors import Malformed, Refused
from ewallet.formats import cose, sdcwt, text
from ewallet.moments import instant, seconds
from ewallet.wire import b64u_decode, decode_cbor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from ewallet.keys import PublicKey
    from ewallet.trust.scenes import Scene

VCT: Final = "urn:ewallet:pass:1"

LEVEL: Final = "a"
DELEGATION: Final = "d"
ENTRY: Final = "e"
KIND: Final = "k"
SCENES: Final = "s"
SUBJECT: Final = "subject"
"""Disclosure: masked name of whom a delegated pass is about."""
ACTOR: Final = "actor"
"""Disclosure: masked name of who acts."""

NAMES: Final = frozenset(("masked_name", "enterprise_name"))
"""A scene that may ask for one of these may be told the masked names of a delegation."""

KINDS: Final = MappingProxyType({"person": 1, "enterprise": 2, "international": 3, "senior": 4, "minor": 5})
LEVELS: Final = MappingProxyType({"low": 1, "substantial": 2, "high": 3})
_KIND_NAMES: Final = {number: name for name, number in KINDS.items()}
_LEVEL_NAMES: Final = {number: name for name, number in LEVELS.items()}

ROLES: Final = ("guardian", "child", "agent", "legal-representative", "employee")
"""As what somebody acts for the subject of a pass."""

ID_SIZE: Final = 9
"""Bytes of a pass id: 72 random bits, twelve characters."""
MAX_LIFE: Final = 24 * 3600
HOUR: Final = 3600

PROFILE: Final = sdcwt.Profile(
    vct=frozenset((VCT,)),
    open_claims=frozenset((cose.SUB, sdcwt.VCT, LEVEL, DELEGATION, ENTRY, KIND, SCENES)),
    required=frozenset((cose.SUB, cose.IAT, cose.EXP, sdcwt.VCT, LEVEL, KIND, SCENES)),
)
_OPEN: Final = frozenset(
    (cose.SUB, cose.EXP, cose.IAT, cose.CNF, sdcwt.VCT, LEVEL, DELEGATION, ENTRY, KIND, SCENES)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What a scene limited by day or entry spends.

    Attributes:
        pseudonym: 16 bytes, equal in all of one person's passes for this event and period, and nowhere else.
        event: the event, or the scene's id where a day is spent.
        start: first second of the period, since 1970.
        end: the second from which it is over.
    """

    pseudonym: bytes
    event: str
    start: int
    end: int

    def to_claim(self) -> list[Any]:
        """The claim `e`."""
        return [self.pseudonym, self.event, self.start, self.end]


@dataclass(frozen=True, slots=True, kw_only=True)
class ActingFor:
    """The open part of a delegation: as what, until when (seconds since 1970)."""

    role: str
    until: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PassFacts:
    """What a pass says, once its authority's signature was verified.

    Attributes:
        id: its random id.
        kind: kind of the subject.
        scenes: scenes that it may be shown in.
        assurance: level of assurance.
        issued_at: beginning, seconds since 1970.
        ends_at: end.
        entry: what a scene limited by day or entry spends.
        acting: role of who acts, where that is not the subject.
        attributes: what was disclosed, by name; `subject` and `actor` left out.
        subject_name: masked name of the subject of a delegated pass, if disclosed.
        actor_name: masked name of who acts, if disclosed.
        device_key: the key that must sign codes.
        digest: digest over the signed bytes: names the pass.
        key: the authority's key.
    """

    id: str
    kind: str
    scenes: frozenset[str]
    assurance: str
    issued_at: int
    ends_at: int
    entry: Entry | None
    acting: ActingFor | None
    attributes: Mapping[str, Any]
    subject_name: str
    actor_name: str
    device_key: PublicKey
    digest: bytes
    key: PublicKey

    @property
    def hot_entry(self) -> bytes:
        """How a hot list names this pass."""
        return hot_entry(self.id)


@lru_cache(maxsize=4096)
def hot_entry(pass_id: str) -> bytes:
    """How a hot list names a pass: its id as bytes.

    Raises:
        Malformed: not a pass id.
    """
    return b64u_decode(pass_id)


def _entry(value: Any, issued_at: int, ends_at: int) -> Entry | None:
    if value is None:
        return None
    if type(value) is not list or len(value) != 4:
        raise Malformed("an entry of another form")
    pseudonym, event, start, end = value
    if (
        type(pseudonym) is not bytes
        or len(pseudonym) != 16
        or type(event) is not str
        or type(start) is not int
        or type(end) is not int
        or not 0 <= start < end <= cose.LATEST
    ):
        raise Malformed("an entry of another form")
    if ends_at > end or issued_at >= end:
        raise Malformed("a pass that outlasts the period of its entry")
    return Entry(pseudonym=pseudonym, event=event, start=start, end=end)


def _acting(value: Any) -> ActingFor | None:
    if value is None:
        return None
    if type(value) is not list or len(value) != 2 or value[0] not in ROLES or type(value[1]) is not int:
        raise Malformed("a delegation of another form")
    return ActingFor(role=value[0], until=value[1])


def check_form(claims: Mapping[Any, Any]) -> None:
    """What the claims of a pass must be, whoever signed them.

    Raises:
        Refused: `credential.malformed`, also for what is no pass.
    """
    if claims.get(sdcwt.VCT) != VCT:
        raise Malformed("not a pass")
    if not all(key in _OPEN for key in claims if type(key) in (int, str)):
        raise Malformed("a claim that does not belong into a pass")
    if type(claims[KIND]) is not int or claims[KIND] not in _KIND_NAMES:
        raise Malformed("an unknown kind of pass")
    if type(claims[LEVEL]) is not int or claims[LEVEL] not in _LEVEL_NAMES:
        raise Malformed("an unknown level of assurance")
    if len(b64u_decode(claims[cose.SUB])) != ID_SIZE:
        raise Malformed("a pass id of another size")
    scenes = claims[SCENES]
    if type(scenes) is not list or not scenes or not all(type(scene) is str for scene in scenes):
        raise Malformed("scenes of another form")
    if scenes != sorted(set(scenes)):
        raise Malformed("scenes out of order")
    if ENTRY in claims and len(scenes) != 1:
        raise Malformed("an entry belongs to one scene")
    iat, exp = claims[cose.IAT], claims[cose.EXP]
    if iat % HOUR or exp % HOUR or exp - iat > MAX_LIFE:
        raise Malformed("a pass lives for whole hours, at most 24")


def facts_of(verified: sdcwt.SdCwt) -> PassFacts:
    """The facts of a pass whose signature was verified under `PROFILE`.

    Raises:
        Refused: `credential.malformed`.
    """
    shown: dict[str, Any] = {}
    for name in verified.disclosed:
        if type(name) is not str:
            raise Malformed("a disclosure that does not belong into a pass")
        shown[name] = verified.claims[name]
    return _facts(verified.claims, digest=verified.digest, key=verified.key, shown=shown)


_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


def _facts(
    claims: Mapping[Any, Any], *, digest: bytes, key: PublicKey, shown: dict[str, Any] | None = None
) -> PassFacts:
    entry = _entry(claims.get(ENTRY), claims[cose.IAT], claims[cose.EXP])
    acting = _acting(claims.get(DELEGATION))
    if acting is not None and claims[cose.EXP] > acting.until:
        raise Malformed("a pass that outlasts its delegation")
    return PassFacts(
        id=claims[cose.SUB],
        kind=_KIND_NAMES[claims[KIND]],
        scenes=frozenset(claims[SCENES]),
        assurance=_LEVEL_NAMES[claims[LEVEL]],
        issued_at=claims[cose.IAT],
        ends_at=claims[cose.EXP],
        entry=entry,
        acting=acting,
        subject_name=_name(shown.pop(SUBJECT, "")) if shown else "",
        actor_name=_name(shown.pop(ACTOR, "")) if shown else "",
        attributes=MappingProxyType(shown) if shown else _NOTHING,
        device_key=_device_key(claims),
        digest=digest,
        key=key,
    )


def _device_key(claims: Mapping[Any, Any]) -> PublicKey:
    """The device key; one that was seen before is not decompressed and prepared once more."""
    try:
        named = claims[cose.CNF][1]
        return _known_key(named[1], named[-1], named[-2], named.get(-3))
    except (KeyError, TypeError, IndexError) as error:
        raise Malformed("cnf without a COSE_Key") from error


@lru_cache(maxsize=4096)
def _known_key(kty: int, crv: int, x: bytes, y: bool | bytes | None) -> PublicKey:  # noqa: FBT001 - COSE_Key
    members = {1: kty, -1: crv, -2: x} if y is None else {1: kty, -1: crv, -2: x, -3: y}
    found = sdcwt.holder_key({cose.CNF: {1: members}})
    assert found is not None
    return found


def _name(value: Any) -> str:
    if type(value) is not str:
        raise Malformed("a name that is no text")
    return value


class Pass:
    """A pass as its holder keeps it: the SD-CWT with all its disclosures.

    Args:
        credential: the bytes that the authority issued.

    Raises:
        Malformed: not a pass.
    """

    __slots__ = ("__dict__", "credential")

    def __init__(self, credential: bytes) -> None:
        self.credential = credential

    def __repr__(self) -> str:
        return "Pass(...)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pass) and other.credential == self.credential

    def __hash__(self) -> int:
        return hash(self.credential)

    @cached_property
    def parsed(self) -> sdcwt.UnverifiedSdCwt:
        """The pass, its signature not verified: the holder got it from the authority itself."""
        parsed = sdcwt.parse(self.credential, PROFILE)
        check_form(parsed.unverified_claims)
        return parsed

    @cached_property
    def device_key(self) -> PublicKey:
        """The key that signs codes of this pass."""
        key = sdcwt.holder_key(self.parsed.unverified_claims)
        if key is None:
            raise Malformed("a pass without a device key")
        return key

    @cached_property
    def bare_header(self) -> bytes:
        """Protected header of a code that discloses nothing: equal in all of them, so made once."""
        return sdcwt.prepare(self.credential, audience="", now=instant(self.issued_at)).protected

    @cached_property
    def attributes(self) -> Mapping[str, Any]:
        """What this pass can disclose, by name (`subject` and `actor` among it)."""
        return MappingProxyType(
            {
                str(path[0]): decode_cbor(disclosure, own=True)[1]
                for path, disclosure in sdcwt.origins(self.parsed).items()
            }
        )

    @property
    def id(self) -> str:
        """Its random id."""
        return str(self.parsed.unverified_claims[cose.SUB])

    @property
    def kind(self) -> str:
        """Kind of the subject."""
        return _KIND_NAMES[self.parsed.unverified_claims[KIND]]

    @property
    def assurance(self) -> str:
        """Level of assurance."""
        return _LEVEL_NAMES[self.parsed.unverified_claims[LEVEL]]

    @property
    def scenes(self) -> tuple[str, ...]:
        """Scenes that it may be shown in."""
        return tuple(self.parsed.unverified_claims[SCENES])

    @property
    def issued_at(self) -> int:
        """Beginning, seconds since 1970."""
        return int(self.parsed.unverified_claims[cose.IAT])

    @property
    def ends_at(self) -> int:
        """End, seconds since 1970."""
        return int(self.parsed.unverified_claims[cose.EXP])

    @property
    def entry(self) -> Entry | None:
        """What a scene limited by day or entry spends."""
        return _entry(self.parsed.unverified_claims.get(ENTRY), self.issued_at, self.ends_at)

    @property
    def acting(self) -> ActingFor | None:
        """Role of who acts, where that is not the subject."""
        return _acting(self.parsed.unverified_claims.get(DELEGATION))

    def covers(self, now: datetime) -> bool:
        """Whether it can be shown at `now`."""
        return self.issued_at <= seconds(now) < self.ends_at


# --- Codes, read --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class UnverifiedCode:
    """A code as scanned: form checked, nothing verified.

    Attributes:
        kbt: the key binding token with the pass inside.
    """

    kbt: sdcwt.UnverifiedKbt

    @property
    def kid(self) -> bytes | None:
        """Identifier of the authority's key, a hint only."""
        return self.kbt.kid

    @property
    def pass_digest(self) -> bytes:
        """Digest over the signed bytes of the pass."""
        return self.kbt.credential.digest

    @property
    def unverified_pass_id(self) -> str:
        """Id that the pass claims."""
        return str(self.kbt.credential.unverified_claims[cose.SUB])

    @property
    def unverified_iat(self) -> int:
        """When it says it was made, seconds since 1970."""
        return self.kbt.unverified_iat

    @property
    def unverified_audience(self) -> str:
        """Venue or scene that it says it was made for."""
        return self.kbt.unverified_audience

    @property
    def unverified_cnonce(self) -> bytes | None:
        """Digest of the challenge that it says it answers."""
        cnonce = self.kbt.unverified_claims.get(sdcwt.CNONCE)
        return cnonce if type(cnonce) is bytes else None


def parse_code(scanned: str) -> UnverifiedCode:
    """Reads the text of an identity code: form only.

    Args:
        scanned: text with the prefix `EWC`.

    Raises:
        Refused: `code.*` of `ewallet.formats.text.decode`, `code.unreadable` for another prefix,
            `credential.malformed`, `algorithm.not_allowed`, `holder.binding_missing`; `pass.expired` for a
            code made at or after the end of its pass.
    """
    prefix, data = text.decode(scanned)
    if prefix != text.CODE:
        raise Malformed("not an identity code", "code.unreadable")
    return parse_code_bytes(data)


_READER: Final = sdcwt.KbtReader(PROFILE, check=check_form)


def parse_code_bytes(
    data: bytes, *, early: Callable[[Mapping[Any, Any]], None] | None = None
) -> UnverifiedCode:
    """As `parse_code`, from the bytes behind the prefix.

    Args:
        data: the bytes.
        early: see `early_refusal`.
    """
    try:
        kbt = _READER.read(data, early=early)
    except Refused as refused:
        if refused.reason == "credential.expired":
            raise Refused("pass.expired", refused.detail) from refused
        raise
    return UnverifiedCode(kbt=kbt)


# --- Codes, verified: the pieces that `ewallet.verify` calls in its numbered steps --------------------------


def check_code_times(code: UnverifiedCode, scene: Scene, *, now: datetime) -> None:
    """Window of the code and end of the pass: false whatever the lists say.

    Raises:
        Refused: `code.from_future`, `pass.expired`, `code.expired`.
    """
    moment = seconds(now)
    age = moment - code.unverified_iat
    if age < -scene.window_future:
        raise Refused("code.from_future", "made in the future")
    if moment >= code.kbt.credential.unverified_claims[cose.EXP]:
        raise Refused("pass.expired", "at or after the end of the pass")
    if age > scene.window_past:
        raise Refused("code.expired", "made too long ago")


def early_refusal(
    scene: Scene, *, cnonce: bytes | None, now: datetime
) -> Callable[[Mapping[Any, Any]], None]:
    """Refuses by the outside of a code alone: made for another place, or too long ago.

    Cheap: a gate that is shown old screenshots reads no pass and verifies nothing.

    Args:
        scene: the scene as the gate narrowed it, with its venue.
        cnonce: digest of the challenge asked; None: nothing was asked.
        now: the time of the check.

    Returns:
        What `parse_code_bytes` takes as `early`; it raises `code.audience` or `code.expired`.
    """
    oldest = seconds(now) - scene.window_past

    def refuse(claims: Mapping[Any, Any]) -> None:
        if not _addressed(claims[cose.AUD], scene, cnonce):
            raise Refused("code.audience", "made for another venue or scene")
        if claims[cose.IAT] < oldest:
            raise Refused("code.expired", "made too long ago")

    return refuse


def check_code_audience(code: UnverifiedCode, scene: Scene, *, cnonce: bytes | None = None) -> None:
    """For whom it was made, and whether it answers what was asked.

    Args:
        code: the code.
        scene: the scene as the gate narrowed it, with its venue.
        cnonce: digest of the challenge asked; None: nothing was asked.

    Raises:
        Refused: `code.audience`, `code.challenge`.
    """
    if not _addressed(code.unverified_audience, scene, cnonce):
        raise Refused("code.audience", "made for another venue or scene")
    if code.unverified_cnonce != cnonce:
        raise Refused("code.challenge", "it does not answer what was asked")


def _addressed(audience: str, scene: Scene, cnonce: bytes | None) -> bool:
    # An answer names the venue that asked: `aud` of a whole scene would answer any venue's challenge.
    to_scene = scene.audience == "scene" and cnonce is None and audience == scene.id
    return to_scene or bool(scene.venue and audience == scene.venue)


def verify_pass(
    code: UnverifiedCode, key: PublicKey, *, now: datetime, seen: sdcwt.SeenSignatures | None = None
) -> PassFacts:
    """Verifies the authority's signature, times and disclosures.

    Args:
        code: the code.
        key: the authority's, from the trust lists.
        now: the time of the check.
        seen: issuer signatures verified before.

    Raises:
        Refused: `algorithm.not_allowed`, `signature.issuer`, `pass.expired`, `code.from_future`,
            `disclosure.mismatch`, `credential.malformed`.
    """
    credential = code.kbt.credential
    if credential.disclosures:
        try:
            return facts_of(sdcwt.verify(credential, key, PROFILE, now=now, seen=seen))
        except Refused as refused:
            if refused.reason == "credential.expired":
                raise Refused("pass.expired", refused.detail) from refused
            raise
    # Nothing disclosed, the usual case: the same checks without those of disclosures.
    digest = credential.digest
    if seen is None or (key, digest) not in seen:
        cose.verify(credential.sign1, key)
        if seen is not None:
            seen.add((key, digest))
    claims = credential.unverified_claims
    moment = seconds(now)
    if moment >= claims[cose.EXP]:
        raise Refused("pass.expired", "at or after the end of the pass")
    if claims[cose.IAT] > moment + PROFILE.skew:
        raise Refused("code.from_future", "the pass lies in the future")
    known = _KNOWN.get(digest)
    if known is None or known.key != key:
        known = _facts(claims, digest=digest, key=key)
        if len(_KNOWN) >= _MAX_KNOWN:
            _KNOWN.clear()
        _KNOWN[digest] = known
    return known


_KNOWN: Final[dict[bytes, PassFacts]] = {}
"""Facts of passes by the digest of their signed bytes, which determine them as long as nothing is disclosed.

Never an answer: signature, times and all else are checked by who asks, every time."""
_MAX_KNOWN: Final = 4096


def forget_known() -> None:
    """Empties what only saves time: headers read, device keys prepared, facts put together."""
    _READER.forget()
    _known_key.cache_clear()
    _KNOWN.clear()


def verify_holder(code: UnverifiedCode, facts: PassFacts) -> None:
    """Verifies the signature of the device key that the verified pass names.

    Raises:
        Refused: `algorithm.not_allowed`, `signature.holder`.
    """
    cose.verify(code.kbt.sign1, facts.device_key, reason="signature.holder")


def check_scene(facts: PassFacts, scene: Scene, *, now: datetime) -> None:
    """Whether the scene accepts this pass: scenes, kind, level, entry, what must and may be disclosed.

    Raises:
        Refused: `policy.scene` (scene not in the pass, kind, entry, more disclosed than the scene allows),
            `policy.assurance`, `policy.field_missing`, `pass.expired` (outside the period of its entry).
    """
    if scene.id not in facts.scenes:
        raise Refused("policy.scene", "the pass is not for this scene")
    if facts.kind not in scene.kinds:
        raise Refused("policy.scene", "the scene does not take this kind of pass")
    if LEVELS[facts.assurance] < LEVELS[scene.min_assurance]:
        raise Refused("policy.assurance", "the level of assurance is too low")
    if (scene.spends == "code") != (facts.entry is None):
        raise Refused("policy.scene", "the pass does not fit what the scene spends")
    if facts.entry is not None and not facts.entry.start <= seconds(now) < facts.entry.end:
        raise Refused("pass.expired", "outside the period of its entry")
    named = facts.subject_name or facts.actor_name
    if not scene.attributes.issuperset(facts.attributes) or (named and not NAMES & scene.attributes):
        raise Refused("policy.scene", "it discloses more than the scene allows")
    if not scene.demanded <= facts.attributes.keys():
        raise Refused("policy.field_missing", "an attribute that the scene demands is not disclosed")
