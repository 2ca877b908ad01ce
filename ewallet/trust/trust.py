"""The decision: was this key, of this authority, allowed to sign this then, and may it count here now?

`Trust` is what a verified state of the lists says. It is a value: no I/O, no clock, the same answer for the
same question. `ewallet.trust.distribution` makes it from signed files; it is never made from unverified ones.

Every check that refuses raises `Refused` with one stable reason (docs/trust.md, "The decision").
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NoReturn

from ewallet.errors import KeyMaterialError, Refused, TrustError
from ewallet.moments import instant, seconds
from ewallet.trust.entries import (
    Entity,
    Grant,
    HotList,
    ListedKey,
    Notice,
    Province,
    Service,
    State,
    Status,
    Window,
)
from ewallet.trust.recognition import Recognition, Rule, rule_from_json
from ewallet.trust.scenes import ASSURANCE, Scene, scene_from_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from ewallet.trust.statements import Statement

IMAGE_FORMAT: Final = 1
"""Version of the compact form of a verified state; another one is rebuilt from the signed files."""

FRESH: Final = 36 * 3600
"""Seconds after the signed time for which lists count as fresh."""

LONGEST: Final = 7 * 86400
"""Seconds after the signed time beyond which no scene may use them; also the longest brake."""

CLOCK_TOLERANCE: Final = 60
"""Seconds that a verifier's clock may lie behind the newest signed time."""

MAX_CANDIDATES: Final = 2
"""Keys that one `kid` may lead to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Brake:
    """One entry of the brake or of the consortium's suspensions.

    Attributes:
        entity: URI of the authority; empty: not by authority.
        key: RFC 9679 thumbprint of the key, hex; empty: not by key.
        type: license type code; empty: not by type.
        province: two digits; empty: any.
        service: service; empty: any.
        reason: in words.
        start: first second.
        until: first second after; None: until lifted (the consortium's only).
    """

    entity: str = ""
    key: str = ""
    type: str = ""
    province: str = ""
    service: str = ""
    reason: str
    start: int
    until: int | None

    def hits(self, listed: ListedKey, type_code: str | None, at: int) -> bool:
        """Whether it stops this key for this type at this second. An entry without a target stops nothing."""
        targets = (
            (self.entity, listed.entity.uri),
            (self.province, listed.entity.province),
            (self.service, listed.service.value),
            (self.type, type_code or ""),
        )
        named = [wanted == got for wanted, got in targets if wanted]
        if self.key:
            named.append(self.key == listed.key.thumbprint().hex())
        return bool(named) and all(named) and self.start <= at and (self.until is None or at < self.until)


class Trust:
    """One verified state of the trust lists.

    Attributes:
        signed_at: the newest time signed by the consortium's timestamp key (the time beacon).
        versions: version of each signed role.
        root: SHA-256 of the first root, hex: what a gate is anchored to.
        provinces: provinces by code, faulty ones included.
    """

    def __init__(self, image: Mapping[str, Any]) -> None:
        """Takes the compact form of a verified state (`ewallet.trust.image`), nothing else.

        Raises:
            TrustError: `trust.invalid`: another format.
        """
        if image.get("format") != IMAGE_FORMAT:
            raise TrustError("trust.invalid", "a state of another format")
        self._image = image
        self.signed_at: Final[datetime] = instant(image["signed_at"])
        self.versions: Final[Mapping[str, int]] = MappingProxyType(image["versions"])
        self.root: Final[str] = image["root"]
        self.provinces: Final[Mapping[str, Province]] = MappingProxyType(
            {
                code: Province(
                    code=code,
                    names=MappingProxyType(row["names"]),
                    version=row["version"],
                    until=row["until"],
                    fault=row["fault"],
                    detail=row["detail"],
                )
                for code, row in image["provinces"].items()
            }
        )
        rows: dict[str, list[int]] = {}
        services = image["services"]
        for position, row in enumerate(image["keys"]):
            rows.setdefault(services[row[0]][0] + row[1], []).append(position)
        self._rows = rows
        self._listed: dict[int, ListedKey] = {}
        self._entities: dict[int, Entity] = {}
        self._found: dict[tuple[str, bytes | None, str | None], tuple[ListedKey, ...]] = {}

    # --- looking up -----------------------------------------------------------------------------------------

    def keys(self, service: Service, *, kid: bytes | None, iss: str | None = None) -> tuple[ListedKey, ...]:
        """The keys that a `kid` may mean, within one service: at most two.

        Args:
            service: what the key must be listed for.
            kid: first 8 bytes of the key's thumbprint (RFC 9679); a hint only; None finds nothing.
            iss: URI of the entity that must own the key; None only where the message names none (passes).
        """
        question = (service, kid, iss)
        found = self._found.get(question)
        if found is None:
            if len(self._found) > 65_536:  # hostile kids must not fill the memory
                self._found.clear()
            found = self._found[question] = self._look_up(service, kid, iss)
        return found

    def _look_up(self, service: Service, kid: bytes | None, iss: str | None) -> tuple[ListedKey, ...]:
        if kid is None:
            return ()
        candidates = (self._key(position) for position in self._rows.get(service.value + kid.hex(), ()))
        fitting = [listed for listed in candidates if iss is None or listed.entity.uri == iss]
        # More than two under one kid: the lists are at odds, and nobody's key is tried.
        return tuple(fitting) if len(fitting) <= MAX_CANDIDATES else ()

    def _key(self, position: int) -> ListedKey:
        listed = self._listed.get(position)
        if listed is None:
            from ewallet.keys import SUITES, PublicKey  # noqa: PLC0415 -- loads with the first key

            service_row, _kid, suite, raw, *window = self._image["keys"][position]
            service, entity, grants, states, void = self._image["services"][service_row]
            listed = self._listed[position] = ListedKey(
                key=PublicKey(SUITES[suite], bytes.fromhex(raw)),
                service=Service(service),
                entity=self._entity(entity),
                window=Window(start=window[0], until=window[1], compromised_from=window[2]),
                grants=tuple(_grant(row) for row in grants),
                states=tuple(
                    State(status=Status(row[0]), effective=row[1], recorded=row[2], proof_needed=row[3])
                    for row in states
                ),
                void=void,
                authority=bytes.fromhex(window[3]) if len(window) > 3 else b"",
            )
        return listed

    def _entity(self, position: int) -> Entity:
        entity = self._entities.get(position)
        if entity is None:
            uri, province, names, uscc, prefixes = self._image["entities"][position]
            entity = self._entities[position] = Entity(
                uri=uri,
                names=MappingProxyType(names),
                province=province,
                uscc=uscc,
                status_prefixes=tuple(prefixes),
            )
        return entity

    def entity(self, uri: str) -> Entity | None:
        """The entity of a URI, or None."""
        position = self._entity_positions.get(uri)
        return None if position is None else self._entity(position)

    @cached_property
    def _entity_positions(self) -> dict[str, int]:
        return {row[0]: position for position, row in enumerate(self._image["entities"])}

    def entities(self) -> Iterable[Entity]:
        """All entities, in the order of the lists."""
        return (self._entity(position) for position in range(len(self._image["entities"])))

    def all_keys(self) -> Iterable[ListedKey]:
        """All listed keys, in the order of the lists."""
        return (self._key(position) for position in range(len(self._image["keys"])))

    @cached_property
    def scenes(self) -> Mapping[str, Scene]:
        """The consortium's scenes by id."""
        return MappingProxyType({row["id"]: scene_from_json(row) for row in self._image["scenes"]})

    def chained(
        self, service: Service, chain: Sequence[bytes], *, iss: str, now: datetime
    ) -> tuple[ListedKey, ...]:
        """The key of a certificate that a listed CA certificate of the entity leads to, or nothing.

        Window, grants and history are those of the CA's entry: compromise or withdrawal there ends all of its
        leaves. The signature on the credential is still the caller's to verify, with this key.

        Args:
            service: what the CA certificate must be listed for.
            chain: certificates that travel with the credential (`x5c`, `x5chain`), DER, the leaf first.
            iss: URI of the entity, which lists the CA certificate and which the leaf names.
            now: the moment at which the chain must hold.
        """
        from ewallet.keys.x509 import verify_chain  # noqa: PLC0415 -- only tokens with certificates pay for it
        from ewallet.trust.certificates import names_uri  # noqa: PLC0415

        for listed in self._authorities.get((service.value, iss), ()):
            try:
                key = verify_chain(chain, anchors=[listed.authority], now=now)
            except KeyMaterialError:
                continue  # an entity may list several, as when a CA renews its key
            if names_uri(chain[0], iss):
                return (replace(listed, key=key, authority=b""),)
        return ()

    @cached_property
    def _authorities(self) -> dict[tuple[str, str], list[ListedKey]]:
        found: dict[tuple[str, str], list[ListedKey]] = {}
        for position, row in enumerate(self._image["keys"]):
            if len(row) > 7:
                listed = self._key(position)
                found.setdefault((listed.service.value, listed.entity.uri), []).append(listed)
        return found

    def require(
        self,
        service: Service,
        *,
        kid: bytes | None,
        iss: str | None = None,
        now: datetime,
        chain: Sequence[bytes] = (),
    ) -> tuple[ListedKey, ...]:
        """Like `keys`, but says why there is none.

        Args:
            service: what the key must be listed for.
            kid: see `keys`.
            iss: see `keys`.
            now: the moment that is decided for.
            chain: certificates of the message, tried where no list names the key itself: see `chained`.

        Raises:
            Refused: `issuer.service` (the key is listed for something else only), `issuer.key_unknown` (the
                entity is listed, this key is not its), `issuer.unknown`; where a province's list is missing
                or at its end, so that absence proves nothing: `trust.stale` or `trust.invalid`.
        """
        found = self.keys(service, kid=kid, iss=iss)
        if not found and chain and iss is not None:
            found = self.chained(service, chain, iss=iss, now=now)
        if not found:
            self._explain_absence(service, kid, iss, now)
        return found

    def _explain_absence(
        self, service: Service, kid: bytes | None, iss: str | None, now: datetime
    ) -> NoReturn:
        entity = self.entity(iss) if iss is not None else None
        if entity is not None:
            self._require_province(entity.province, now)
        else:
            for code in self.provinces:
                self._require_province(code, now)
        others = [other for other in Service if other is not service]
        if any(self.keys(other, kid=kid, iss=iss) for other in others):
            raise Refused("issuer.service", f"the key is not listed for {service.value}")
        if entity is not None:
            raise Refused("issuer.key_unknown", "the entity does not list this key")
        raise Refused("issuer.unknown", "no list names this signer")

    # --- freshness ------------------------------------------------------------------------------------------

    def age(self, now: datetime) -> int:
        """Seconds since the signed time; negative if the clock is behind it."""
        return seconds(now) - seconds(self.signed_at)

    def freshness(self, now: datetime, *, max_age: int = FRESH) -> bool:
        """Checks that the lists are fresh enough to decide anything.

        Args:
            now: the verifier's time.
            max_age: seconds that the scene allows, at most seven days.

        Returns:
            True if they are older than 36 hours although the scene allows it: to be flagged.

        Raises:
            Refused: `clock.unsure`: the clock is more than 60 s behind the signed time; `trust.stale`: too
                old, or the brake is missing or at its end (which never means "no brake").
        """
        age = self.age(now)
        if age < -CLOCK_TOLERANCE:
            raise Refused("clock.unsure", f"the clock is {-age} s behind the lists")
        if age > min(max_age, LONGEST):
            raise Refused("trust.stale", f"the lists were signed {age} s ago")
        brake_until = self._image["brake"]["until"]
        if brake_until is None or seconds(now) >= brake_until:
            raise Refused("trust.stale", "the brake is missing or at its end")
        if seconds(now) >= self._image["until"]:
            raise Refused("trust.stale", "the consortium's lists are at their end")
        return age > FRESH

    def _require_province(self, code: str, now: datetime) -> None:
        province = self.provinces.get(code)
        if province is None:
            raise Refused("trust.invalid", "a province that is not part of the consortium")
        if province.fault:
            raise Refused(province.fault, f"list of {code}: {province.detail}")
        if seconds(now) >= province.until:
            raise Refused("trust.stale", f"the list of {code} is at its end")

    # --- the decision ---------------------------------------------------------------------------------------

    def decide(
        self,
        listed: ListedKey,
        *,
        type: str | None = None,  # noqa: A002 -- the field's word, and no built-in is meant
        region: str | None = None,
        signed_at: datetime,
        now: datetime,
        digest: bytes | None = None,
        proofs: Sequence[Statement | bytes] = (),
        scene: str | None = None,
        assurance: str | None = None,
    ) -> None:
        """Decides whether a signature by a listed key, made then, counts now.

        The steps:

        1. the province's list can be used now;
        2. the service is understood, granted, and neither withdrawn before nor suspended now;
        3. no brake and no suspension of the consortium hits it now;
        4. the key's window contains the time of signing;
        5. a compromised key, or a service withdrawn with backdating to be feared: proof that exactly this
           object existed before, from another entity's register key;
        6. a grant that was open then covers type and region, inside the province's bounds.

        Args:
            listed: the key, from `keys` or `require`; its signature was verified by the caller.
            type: license type code; required for the service `licenses`.
            region: area code, 6 digits; required for the service `licenses`.
            signed_at: when it was signed, as far as the signed object says.
            now: the moment that is decided for (a past one for an archive).
            digest: digest of the signed bytes, which statements must name.
            proofs: register statements, verified or as received.
            scene: scene that a pass is used in; it must be granted to the code authority.
            assurance: level that a pass claims; it must not exceed what is granted.

        Raises:
            Refused: with the reason.
            ValueError: a license decision without type or region.
        """
        if listed.service is Service.LICENSES and (type is None or region is None):
            raise ValueError("a license is decided for its type and region")
        then, at = seconds(signed_at), seconds(now)
        self._require_province(listed.entity.province, now)  # 1
        self._require_state(listed, then, at)  # 2
        for entry in self._brakes:  # 3
            if entry.hits(listed, type, at):
                raise Refused("issuer.suspended", f"brake: {entry.reason}")
        if not listed.window.contains(then):  # 4
            raise Refused("issuer.key_not_valid_then", "outside the key's window")
        self._require_proof(listed, then, at, digest, proofs)  # 5
        _require_grant(listed, then, type, region, scene=scene, assurance=assurance)  # 6

    def _require_state(self, listed: ListedKey, then: int, at: int) -> None:
        if listed.void:
            raise Refused("trust.invalid", f"the service is void: {listed.void}")
        state_then, state_now = listed.state_at(then), listed.state_at(at)
        if state_then is None:
            raise Refused("issuer.key_not_valid_then", "before the service was granted")
        if state_then.status is Status.WITHDRAWN:
            raise Refused("issuer.withdrawn", "withdrawn before it signed")
        if state_now is not None and state_now.status is Status.SUSPENDED:
            raise Refused("issuer.suspended", "suspended by its province")

    def _require_proof(
        self,
        listed: ListedKey,
        then: int,
        at: int,
        digest: bytes | None,
        proofs: Sequence[Statement | bytes],
    ) -> None:
        limit = listed.window.compromised_from
        if limit is not None and then >= limit:
            raise Refused("issuer.key_not_valid_then", "signed after the key was compromised")
        doubtful = [
            state.effective for state in listed.states if state.proof_needed and state.effective <= at
        ]
        limits = [moment for moment in (limit, *doubtful) if moment is not None]
        if not limits:
            return
        if digest is None or not self._proven(listed, digest, min(limits), at, proofs):
            raise Refused("issuer.proof_missing", "no statement that it existed before")

    def _proven(
        self,
        listed: ListedKey,
        digest: bytes,
        before: int,
        at: int,
        proofs: Sequence[Statement | bytes],
    ) -> bool:
        from ewallet.trust.statements import verify_statement  # noqa: PLC0415 -- rare, and it imports us

        for proof in proofs:
            try:
                statement = (
                    verify_statement(self, proof, now=instant(at)) if isinstance(proof, bytes) else proof
                )
            except Refused:
                continue  # a proof that does not hold proves nothing; another one may
            if (
                statement.digest == digest
                and seconds(statement.at) < before
                and statement.entity != listed.entity.uri
            ):
                return True
        return False

    @cached_property
    def _brakes(self) -> tuple[Brake, ...]:
        def read(row: Mapping[str, Any], cap: int | None) -> Brake:
            until = row["until"]
            if cap is not None:
                until = min(row["from"] + cap, until if until is not None else row["from"] + cap)
            return Brake(**row["target"], reason=row["reason"], start=row["from"], until=until)

        return (
            *(read(row, LONGEST) for row in self._image["brake"]["entries"]),
            *(read(row, None) for row in self._image["suspensions"]),
        )

    def brakes(self, now: datetime) -> tuple[Brake, ...]:
        """The brake entries and suspensions in effect."""
        at = seconds(now)
        return tuple(
            entry for entry in self._brakes if entry.start <= at and (entry.until is None or at < entry.until)
        )

    # --- verifiers ------------------------------------------------------------------------------------------

    def verifier_key(self, *, kid: bytes | None, iss: str, now: datetime) -> tuple[ListedKey, ...]:
        """The keys of an asker, for the holder's side.

        Raises:
            Refused: `verifier.unknown`: the lists name no such verifier; `trust.*` if they cannot tell.
        """
        try:
            return self.require(Service.VERIFY, kid=kid, iss=iss, now=now)
        except Refused as refusal:
            if refusal.reason.startswith("issuer."):
                raise Refused("verifier.unknown", refusal.detail) from refusal
            raise

    def decide_verifier(
        self,
        listed: ListedKey,
        *,
        venue: str,
        scene: str = "",
        attributes: Iterable[str] = (),
        types: Iterable[str] = (),
        now: datetime,
    ) -> None:
        """Decides whether a verifier may ask this, here, now.

        Args:
            listed: its key, from `verifier_key`; the signature was verified by the caller.
            venue: URI of the place that it names.
            scene: scene that it names; empty for a request for licenses outside any scene.
            attributes: attributes of a pass that it asks for.
            types: license types that it asks for.
            now: the holder's time.

        Raises:
            Refused: `verifier.unknown` (not listed for verifying, suspended, withdrawn, window over),
                `verifier.not_granted` (venue, scene, attribute or type beyond its grant).
        """
        if listed.service is not Service.VERIFY:
            raise Refused("verifier.unknown", "the key is listed for another service")
        try:
            self.decide(listed, signed_at=now, now=now)
        except Refused as refusal:
            if refusal.reason.startswith("issuer."):
                raise Refused("verifier.unknown", refusal.detail) from refusal
            raise
        at, asked, wanted = seconds(now), frozenset(attributes), frozenset(types)
        for grant in listed.grants:
            if (
                grant.contains(at)
                and _within(frozenset((venue,)), grant.venues)
                and (not scene or _within(frozenset((scene,)), grant.scenes))
                and _within(asked, grant.attributes)
                and _within(wanted, grant.types)
            ):
                return
        raise Refused("verifier.not_granted", "beyond what this verifier may ask")

    # --- recognition, notices, hot list ---------------------------------------------------------------------

    @cached_property
    def rules(self) -> tuple[Rule, ...]:
        """The recognition rules that both provinces have approved."""
        return tuple(rule_from_json(row) for row in self._image["rules"])

    def recognize(
        self,
        *,
        from_province: str,
        to_province: str,
        type: str,  # noqa: A002 -- as in `decide`
        type_version: str,
        scene: str,
        now: datetime,
    ) -> Recognition | None:
        """The rule by which a license of one province counts in another, or None. One hop, never chained.

        Args:
            from_province: issuing province.
            to_province: province of the counter.
            type: type code of the license.
            type_version: version of that type.
            scene: scene of the counter.
            now: the moment that is decided for.

        Raises:
            Refused: `trust.stale` or `trust.invalid`: a list that would say so cannot be used.
        """
        for code in (from_province, to_province):
            self._require_province(code, now)
        for rule in self.rules:
            if rule.applies(
                from_province=from_province,
                to_province=to_province,
                type=type,
                type_version=type_version,
                scene=scene,
                at=seconds(now),
            ):
                return Recognition(rule=rule)
        return None

    def notices(self, uri: str, idx: int) -> tuple[Notice, ...]:
        """What the issuing province wants told about the license with this status reference."""
        rows = self._image["notices"].get(uri, {}).get(str(idx), ())
        return tuple(Notice(kind=row[0], field=row[1], since=instant(row[2])) for row in rows)

    def hot(self, province: str, now: datetime, *, max_age: int = FRESH) -> HotList | None:
        """The hot list of a province; None where it is missing, too old or at its end."""
        row = self._image["hot"].get(province)
        at = seconds(now)
        if row is None or at - row["at"] > max_age or at >= row["until"] or row["at"] - at > CLOCK_TOLERANCE:
            return None
        cached = self._hot_lists.get(province)
        if cached is None:
            cached = self._hot_lists[province] = HotList(
                province=province,
                signed_at=row["at"],
                until=row["until"],
                passes=frozenset(bytes.fromhex(entry) for entry in row["passes"]),
            )
        return cached

    @cached_property
    def _hot_lists(self) -> dict[str, HotList]:
        return {}


def _within(asked: frozenset[str], granted: frozenset[str]) -> bool:
    return asked <= granted or "*" in granted


def _reaches(granted: str, claimed: str) -> bool:
    return granted in ASSURANCE and ASSURANCE.index(claimed) <= ASSURANCE.index(granted)


def _grant(row: Mapping[str, Any]) -> Grant:
    sets = {
        name: frozenset(row.get(name, ())) for name in ("types", "regions", "scenes", "attributes", "venues")
    }
    return Grant(**sets, assurance=row.get("assurance", ""), start=row.get("from", 0), until=row.get("until"))


def _require_grant(
    listed: ListedKey,
    then: int,
    type_code: str | None,
    region: str | None,
    *,
    scene: str | None,
    assurance: str | None,
) -> None:
    open_then = [grant for grant in listed.grants if grant.contains(then)]
    if not open_then:
        reason = "issuer.type_not_granted" if listed.service is Service.LICENSES else "issuer.service"
        raise Refused(reason, "no grant was open at the time of signing")
    if type_code is not None:
        open_then = [grant for grant in open_then if grant.covers_type(type_code)]
        if not open_then:
            raise Refused("issuer.type_not_granted", "the type is not granted to the issuer")
    if region is not None:
        open_then = [grant for grant in open_then if grant.covers_region(region)]
        if not open_then:
            raise Refused("issuer.region", "the region is not granted to the issuer")
    if scene is not None:
        open_then = [grant for grant in open_then if _within(frozenset((scene,)), grant.scenes)]
    if assurance is not None:
        open_then = [grant for grant in open_then if _reaches(grant.assurance, assurance)]
    if not open_then:
        raise Refused("issuer.service", "the scene or the level of assurance is not granted")


__all__ = ["FRESH", "LONGEST", "Brake", "Trust"]
