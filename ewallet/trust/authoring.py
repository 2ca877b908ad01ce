"""A whole consortium in one hand: for trying out, for the demo and for tests.

It holds the keys of every province and signs on everyone's behalf, which no deployment does: there, each
operator keeps its own keys and signs drafts (`ewallet.trust.ceremony`). What it publishes is the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from secrets import token_hex
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from ewallet.keys import SigningKey
from ewallet.moments import seconds
from ewallet.trust import lists
from ewallet.trust.certificates import self_signed
from ewallet.trust.entries import Entity, Grant, Service, Status
from ewallet.trust.image import BRAKE, GRANTS, RECOGNITION, SCENES, SUSPENSIONS
from ewallet.trust.lote import ProvinceList, to_document, to_json
from ewallet.trust.recognition import rule_digest
from ewallet.trust.repository import PERIODS, Repository
from ewallet.trust.scenes import Scene, builtin_scenes, scenes_to_json
from ewallet.trust.times import time_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from ewallet.keys import PublicKey, Signer

PROVINCES: Final[dict[str, tuple[str, str, str]]] = {
    "31": ("上海市", "Shanghai", "sh"),
    "32": ("江苏省", "Jiangsu", "js"),
    "33": ("浙江省", "Zhejiang", "zj"),
    "34": ("安徽省", "Anhui", "ah"),
}
"""Province code: names zh and en, and its label in example URIs."""

HOT_PADDING: Final = 64
"""Entries to which a hot list is padded, so that its length says little."""


@dataclass(slots=True, kw_only=True)
class Authority:
    """An authority of the sandbox with its secrets.

    Attributes:
        uri: its `iss`.
        names: zh and en.
        province: two digits.
        status_prefix: where its status lists live.
        signers: its present key for each service.
    """

    uri: str
    names: Mapping[str, str]
    province: str
    status_prefix: str
    signers: dict[Service, Signer] = field(repr=False, default_factory=dict)

    def signer(self, service: Service) -> Signer:
        """Its present key for a service."""
        return self.signers[service]


class Consortium:
    """A consortium whose keys are all here.

    Attributes:
        provinces: two-digit codes.
        repository: the repository being written.
        listings: each province's list as it is now.
        signers: `(role, owner, signer)` of everybody.
        domain: under which example URIs stand.
    """

    def __init__(self, provinces: Sequence[str], *, now: datetime, suite: str, domain: str) -> None:
        """Use `sandbox`."""
        self.provinces = tuple(provinces)
        self.domain = domain
        self.suite = suite
        self.signers: list[tuple[str, str, Signer]] = []
        self.online = {name: SigningKey.generate(suite) for name in ("snapshot", "timestamp")}
        self.repository = Repository.create(
            root_keys={code: self._key("root", code) for code in provinces},
            targets_keys={code: self._key("targets", code) for code in provinces},
            snapshot_key=self.online["snapshot"].public_key,
            timestamp_key=self.online["timestamp"].public_key,
            now=now,
        )
        self.listings: dict[str, ProvinceList] = {}
        self.authorities: dict[str, Authority] = {}
        self._rules: list[Mapping[str, Any]] = []
        self._approved: dict[str, list[str]] = {code: [] for code in provinces}
        self._notices: dict[str, list[dict[str, Any]]] = {code: [] for code in provinces}
        self._hot: dict[str, frozenset[bytes]] = {code: frozenset() for code in provinces}
        self._brake: list[dict[str, Any]] = []
        self._suspensions: list[dict[str, Any]] = []
        self.set_scenes(builtin_scenes(), now=now)
        self.set_bounds(self.bounds(), now=now)
        self._write_rules(now)
        self._delegate(now)

    @classmethod
    def sandbox(
        cls,
        provinces: Sequence[str] = ("31", "32"),
        *,
        now: datetime,
        suite: str = "ES256",
        domain: str = "ewallet.example",
    ) -> Consortium:
        """A consortium of provinces without authorities, ready to publish.

        Args:
            provinces: codes of `PROVINCES`.
            now: the time.
            suite: suite of all its keys.
            domain: example domain: province 31 has its URIs under `https://sh.<domain>/`.
        """
        return cls(provinces, now=now, suite=suite, domain=domain)

    def _key(self, role: str, owner: str) -> PublicKey:
        signer = SigningKey.generate(self.suite)
        self.signers.append((role, owner, signer))
        return signer.public_key

    def _delegate(self, now: datetime) -> None:
        for code in self.provinces:
            keys = [self._key(code, code) for _ in range(3)]
            self.repository.delegate(code, keys, threshold=2, now=now)
            hot = [self._key(f"{code}-hot", code)]
            self.repository.delegate(f"{code}-hot", hot, threshold=1, now=now)
        brakes = {code: self._key("brake", code) for code in self.provinces}
        self.repository.delegate("brake", brakes, threshold=2, now=now)
        for code in self.provinces:
            zh, en, _ = PROVINCES[code]
            self.listings[code] = ProvinceList(
                province=code,
                names=MappingProxyType({"zh": zh, "en": en}),
                base=self.base(code),
                sequence=0,
                issued=now,
                next_update=now + PERIODS["province"],
                entities=(),
            )
            self._write_list(code, now)
            self._write_province_files(code, now)
            self.set_hot(code, (), now=now)
        self._write_brake(now)

    def base(self, province: str) -> str:
        """URI under which everything of a province stands."""
        return f"https://{PROVINCES[province][2]}.{self.domain}/"

    # --- the consortium's files -----------------------------------------------------------------------------

    def set_scenes(self, scenes: Mapping[str, Scene], *, now: datetime) -> None:
        """Replaces the common scenes."""
        self.repository.set_file(SCENES, to_json(scenes_to_json(scenes)), now)

    def bounds(self) -> dict[str, Any]:
        """Bounds that let every province grant everything within its own region."""
        return {
            code: {
                "names": {"zh": PROVINCES[code][0], "en": PROVINCES[code][1]},
                "bases": [self.base(code)],
                "services": {service.value: {"types": ["*"], "regions": [code]} for service in Service},
            }
            for code in self.provinces
        }

    def set_bounds(self, bounds: Mapping[str, Any], *, now: datetime) -> None:
        """Replaces `policy/grants.json`."""
        self.repository.set_file(GRANTS, to_json({"format": 1, "provinces": dict(bounds)}), now)

    def set_rules(
        self,
        rules: Iterable[Mapping[str, Any]],
        *,
        now: datetime,
        approve: bool = True,
    ) -> None:
        """Replaces the recognition rules.

        Args:
            rules: rules as JSON data.
            now: the time.
            approve: both provinces of each rule put it on their own lists.
        """
        self._rules = list(rules)
        self._write_rules(now)
        for rule in self._rules if approve else ():
            for side in ("from", "to"):
                self.approve(rule[side]["province"], rule_digest(rule), now=now)

    def _write_rules(self, now: datetime) -> None:
        self.repository.set_file(RECOGNITION, to_json({"format": 1, "rules": self._rules}), now)

    def approve(self, province: str, digest: str, *, now: datetime) -> None:
        """A province puts a rule's digest on its own list."""
        if digest not in self._approved[province]:
            self._approved[province].append(digest)
        self._write_province_files(province, now)

    def revoke_approval(self, province: str, digest: str, *, now: datetime) -> None:
        """A province takes a rule off its own list: it stops counting, both ways of signing untouched."""
        self._approved[province].remove(digest)
        self._write_province_files(province, now)

    def set_suspensions(self, entries: Iterable[Mapping[str, Any]], *, now: datetime) -> None:
        """Replaces the consortium's suspensions: entries as `suspension` makes them, with or without end."""
        self._suspensions = [dict(entry) for entry in entries]
        document = {"format": 1, "entries": self._suspensions}
        self.repository.set_file(SUSPENSIONS, to_json(document), now)

    # --- a province's lists ---------------------------------------------------------------------------------

    def add_authority(
        self,
        province: str,
        label: str,
        *,
        names: Mapping[str, str],
        services: Iterable[Service] = (Service.LICENSES, Service.STATUS),
        grant: Grant | None = None,
        grants: Mapping[Service, Grant] | None = None,
        signers: Mapping[Service, Signer] | None = None,
        uscc: str = "",
        now: datetime,
        start: datetime | None = None,
    ) -> Authority:
        """Adds an authority with one key for each service.

        Args:
            province: two digits.
            label: its part of the URI: `market` gives `https://sh.<domain>/a/market`.
            names: zh and en.
            services: what it does.
            grant: what every service may do; default: everything in the province.
            grants: instead of `grant`, for some services.
            signers: keys that exist already; others are made.
            uscc: its unified social credit code.
            now: the time.
            start: from when its keys are valid; default `now`.
        """
        uri = f"{self.base(province)}a/{label}"
        prefix = f"{self.base(province)}status/{label}/"
        authority = Authority(uri=uri, names=dict(names), province=province, status_prefix=prefix)
        listing = lists.with_entity(
            self.listings[province],
            Entity(
                uri=uri,
                names=MappingProxyType(dict(names)),
                province=province,
                uscc=uscc,
                status_prefixes=(prefix,),
            ),
        )
        everything = grant or self.everything(province, start=start or now)
        for service in services:
            signer = (signers or {}).get(service) or SigningKey.generate(self.suite)
            authority.signers[service] = signer
            listing = lists.with_service(
                listing,
                uri,
                service,
                key=signer.public_key,
                certificate=certificate_for(signer, uri, now),
                grants=((grants or {}).get(service, everything),),
                now=now,
                start=start,
            )
        self.listings[province] = listing
        self.authorities[uri] = authority
        self._write_list(province, now)
        return authority

    def everything(self, province: str, *, start: datetime) -> Grant:
        """A grant of all that the bounds allow in a province."""
        wide = frozenset(("*",))
        return Grant(
            types=wide,
            regions=frozenset((province,)),
            assurance="high",
            scenes=wide,
            attributes=wide,
            venues=wide,
            start=seconds(start),
        )

    def rotate_key(
        self, uri: str, service: Service, *, now: datetime, signer: Signer | None = None
    ) -> Signer:
        """Gives a service a new key; the old one's window closes."""
        authority = self.authorities[uri]
        fresh = signer or SigningKey.generate(self.suite)
        self._change(
            authority.province,
            lists.rotated(
                self.listings[authority.province],
                uri,
                service,
                key=fresh.public_key,
                certificate=certificate_for(fresh, uri, now),
                now=now,
            ),
            now,
        )
        authority.signers[service] = fresh
        return fresh

    def compromise(self, uri: str, service: Service, *, kid: bytes, since: datetime, now: datetime) -> None:
        """Marks a key as having been in other hands since a time."""
        province = self.authorities[uri].province
        listing = lists.compromised(self.listings[province], uri, service, kid=kid, since=since, now=now)
        self._change(province, listing, now)

    def suspend(
        self, uri: str, service: Service, *, now: datetime, effective: datetime | None = None
    ) -> None:
        """Suspends a service."""
        self._state(uri, service, Status.SUSPENDED, effective or now, now)

    def restore(
        self, uri: str, service: Service, *, now: datetime, effective: datetime | None = None
    ) -> None:
        """Ends a suspension."""
        self._state(uri, service, Status.GRANTED, effective or now, now)

    def withdraw(
        self,
        uri: str,
        service: Service,
        *,
        now: datetime,
        effective: datetime | None = None,
        proof_needed: bool = False,
    ) -> None:
        """Withdraws a service; with `proof_needed` where backdating is to be feared."""
        self._state(uri, service, Status.WITHDRAWN, effective or now, now, proof_needed=proof_needed)

    def _state(
        self,
        uri: str,
        service: Service,
        status: Status,
        effective: datetime,
        now: datetime,
        *,
        proof_needed: bool = False,
    ) -> None:
        province = self.authorities[uri].province
        listing = lists.with_state(
            self.listings[province],
            uri,
            service,
            status,
            effective=effective,
            now=now,
            proof_needed=proof_needed,
        )
        self._change(province, listing, now)

    def _change(self, province: str, listing: ProvinceList, now: datetime) -> None:
        self.listings[province] = listing
        self._write_list(province, now)

    def _write_list(self, code: str, now: datetime) -> None:
        listing = self.listings[code]
        self.listings[code] = listing = replace(
            listing,
            sequence=listing.sequence + 1,
            issued=now,
            next_update=now + PERIODS["province"],
        )
        self.repository.set_file(f"{code}/list.json", to_json(to_document(listing)), now)

    def _write_province_files(self, code: str, now: datetime) -> None:
        approved = {"format": 1, "approved": sorted(self._approved[code])}
        notices = {"format": 1, "entries": self._notices[code]}
        self.repository.set_file(f"{code}/recognition.json", to_json(approved), now)
        self.repository.set_file(f"{code}/notices.json", to_json(notices), now)

    def notice(self, province: str, *, uri: str, idx: int, kind: str, field: str = "", now: datetime) -> None:
        """Publishes a notice about a license, by its status reference."""
        entry = {"uri": uri, "idx": idx, "kind": kind, "field": field, "since": time_text(now)}
        self._notices[province].append(entry)
        self._write_province_files(province, now)

    def clear_notices(self, province: str, *, uri: str, idx: int, now: datetime) -> None:
        """Takes the notices about a license back."""
        self._notices[province] = [
            entry for entry in self._notices[province] if (entry["uri"], entry["idx"]) != (uri, idx)
        ]
        self._write_province_files(province, now)

    def set_hot(self, province: str, passes: Iterable[bytes], *, now: datetime) -> None:
        """Replaces the hot list of a province: identifiers of revoked passes, padded with random ones."""
        self._hot[province] = frozenset(passes)
        document = hot_document(self._hot[province], now)
        self.repository.set_file(f"{province}-hot/hot.json", to_json(document), now)

    def brake(
        self, target: Mapping[str, str], *, reason: str, now: datetime, until: datetime | None = None
    ) -> None:
        """Adds a brake entry of at most seven days.

        Args:
            target: any of `entity`, `key` (thumbprint, hex), `type`, `province`, `service`: all must fit.
            reason: in words.
            now: the time.
            until: its end; default in seven days.
        """
        self._brake.append(suspension(target, reason=reason, now=now, until=until or now + timedelta(days=7)))
        self._write_brake(now)

    def lift_brake(self, *, now: datetime) -> None:
        """Takes all brake entries back."""
        self._brake.clear()
        self._write_brake(now)

    def _write_brake(self, now: datetime) -> None:
        self.repository.set_file(BRAKE, to_json({"format": 1, "entries": self._brake}), now)

    # --- signing and publishing -----------------------------------------------------------------------------

    def renew(self, now: datetime) -> None:
        """Issues lists, hot lists and brake anew, as their operators do before they end."""
        for code in self.provinces:
            self._write_list(code, now)
            self.set_hot(code, self._hot[code], now=now)
        self.repository.stage("brake", now)
        self.repository.stage("targets", now)

    def publish(self, directory: Path, *, now: datetime) -> Path:
        """Signs everything that is staged with everyone's keys and publishes it; the directory."""
        self.repository.sign_all(self.signers)
        self.repository.publish(
            directory, now, snapshot=self.online["snapshot"], timestamp=self.online["timestamp"]
        )
        return directory

    def first_root(self) -> bytes:
        """Bytes of the root as signed now (the first one, as long as it was never changed)."""
        return bytes(self.repository.roles["root"].to_bytes())


def suspension(
    target: Mapping[str, str], *, reason: str, now: datetime, until: datetime | None
) -> dict[str, Any]:
    """One entry of the brake or of the consortium's suspensions (those may have no end)."""
    entry: dict[str, Any] = {"target": dict(target), "reason": reason, "from": time_text(now)}
    if until is not None:
        entry["until"] = time_text(until)
    return entry


def hot_document(passes: frozenset[bytes], now: datetime) -> dict[str, Any]:
    """The hot list as it is published: sorted, padded to a multiple of `HOT_PADDING`."""
    size = 16 if not passes else len(next(iter(passes)))
    short = -len(passes) % HOT_PADDING or (HOT_PADDING if not passes else 0)
    entries = [entry.hex() for entry in passes] + [token_hex(size) for _ in range(short)]
    return {
        "format": 1,
        "issued": time_text(now),
        "until": time_text(now + PERIODS["hot"]),
        "passes": sorted(entries),
    }


def certificate_for(signer: Signer, uri: str, now: datetime) -> bytes:
    """A self-signed certificate where the list's schema has no other place for the key; empty otherwise."""
    return self_signed(signer, uri, now) if signer.public_key.to_jwk()["kty"] != "EC" else b""
