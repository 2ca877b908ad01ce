"""From verified list files to the compact image that `Trust` reads.

The image is plain data (JSON), so that a state that was verified once loads again without TUF, without list
documents and without a single key operation. It is made here and nowhere else, from files whose signatures
were checked; it holds what can count: what a province may not grant is cut off at the consortium's bounds.

A consortium file that cannot be read spoils the whole (`TrustError`); a province's file that cannot be read
spoils that province only, with a reason, and never reads as "no entries".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from ewallet.errors import Malformed, TrustError
from ewallet.moments import seconds
from ewallet.trust.certificates import is_authority
from ewallet.trust.entries import Grant, Service
from ewallet.trust.lote import from_document
from ewallet.trust.recognition import rule_from_json
from ewallet.trust.scenes import scenes_from_json
from ewallet.trust.times import time_seconds
from ewallet.trust.trust import IMAGE_FORMAT
from ewallet.wire import decode_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from ewallet.trust.lote import ListedEntity, ListedService, ProvinceList

MAX_FILE: Final = 16 << 20
"""Bytes of one target file."""

SCENES: Final = "policy/scenes.json"
GRANTS: Final = "policy/grants.json"
RECOGNITION: Final = "policy/recognition.json"
SUSPENSIONS: Final = "policy/suspensions.json"
BRAKE: Final = "brake/brake.json"
_TARGET_KEYS: Final = frozenset(("entity", "key", "type", "province", "service"))


@dataclass(slots=True, kw_only=True)
class RoleFiles:
    """What one delegated role gave, verified, or why it gave nothing.

    Attributes:
        version: version of its metadata; 0 where it could not be read.
        until: second at which its metadata ends.
        files: target path to content.
        fault: reason code; empty if all is well.
        detail: what was wrong.
    """

    version: int = 0
    until: int = 0
    files: dict[str, bytes] = field(default_factory=dict)
    fault: str = ""
    detail: str = ""


@dataclass(slots=True, kw_only=True)
class VerifiedFiles:
    """All verified files of one state of the repository.

    Attributes:
        signed_at: the time beacon.
        until: second at which the first of the consortium's own roles ends.
        root: SHA-256 of the first root, hex.
        versions: version of each top-level role.
        policy: the consortium's files.
        roles: provinces (`31`), their hot roles (`31-hot`), the `brake`.
    """

    signed_at: int
    until: int
    root: str
    versions: dict[str, int]
    policy: dict[str, bytes]
    roles: dict[str, RoleFiles]


def make_image(verified: VerifiedFiles) -> dict[str, Any]:
    """The image of a verified state.

    Raises:
        TrustError: `trust.invalid`: a file of the consortium cannot be read.
    """
    try:
        bounds = _bounds(_document(verified.policy, GRANTS, "provinces", dict))
        scenes = scenes_from_json(_file(verified.policy, SCENES))
        rules = _document(verified.policy, RECOGNITION, "rules", list)
        suspensions = (
            _entries(verified.policy, SUSPENSIONS, ended=False) if SUSPENSIONS in verified.policy else []
        )
        approved_by = [(rule, rule_from_json(rule)) for rule in rules]
    except Malformed as error:
        raise TrustError("trust.invalid", f"a file of the consortium: {error.detail}") from error
    image: dict[str, Any] = {
        "format": IMAGE_FORMAT,
        "signed_at": verified.signed_at,
        "until": verified.until,
        "root": verified.root,
        "versions": {
            **verified.versions,
            **{name: role.version for name, role in verified.roles.items() if role.version},
        },
        "scenes": [scene.to_json() for scene in scenes.values()],
        "suspensions": suspensions,
        "provinces": {},
        "entities": [],
        "services": [],
        "keys": [],
        "notices": {},
        "hot": {},
        "brake": _brake(verified.roles.get("brake")),
    }
    approvals: dict[str, frozenset[str]] = {}
    for code, bound in sorted(bounds.items()):
        approvals[code] = _add_province(image, code, bound, verified.roles)
    image["rules"] = [
        raw
        for raw, rule in approved_by
        if all(
            rule.digest in approvals.get(province, frozenset())
            for province in (rule.source.province, rule.target.province)
        )
    ]
    return image


# --- the consortium's files -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """What a province may grant, of `policy/grants.json`.

    Attributes:
        names: of the province.
        bases: URI prefixes of its entities.
        services: for each service, the types and regions that it may grant.
    """

    names: Mapping[str, str]
    bases: tuple[str, ...]
    services: Mapping[str, Mapping[str, frozenset[str]]]

    def cut(self, service: Service, grant: Grant) -> Grant | None:
        """The part of a grant that lies inside; None where the service may not be granted at all."""
        allowed = self.services.get(service.value)
        if allowed is None:
            return None
        types, regions = allowed["types"], allowed["regions"]
        inside = grant.types if "*" in types else types if "*" in grant.types else grant.types & types
        return Grant(
            types=inside,
            regions=frozenset(
                region for region in grant.regions if any(region.startswith(wide) for wide in regions)
            ),
            assurance=grant.assurance,
            scenes=grant.scenes,
            attributes=grant.attributes,
            venues=grant.venues,
            start=grant.start,
            until=grant.until,
        )


def _file(files: Mapping[str, bytes], path: str) -> bytes:
    if path not in files:
        raise Malformed(f"{path} is missing")
    return files[path]


def _document(files: Mapping[str, bytes], path: str, member: str, kind: type) -> Any:
    document = decode_json(_file(files, path), limit=MAX_FILE)
    if (
        not isinstance(document, dict)
        or document.get("format") != 1
        or type(document.get(member)) is not kind
    ):
        raise Malformed(f"{path} has another form")
    return document[member]


def _bounds(rows: Mapping[str, Any]) -> dict[str, Bound]:
    try:
        if not all(base.endswith("/") for row in rows.values() for base in row["bases"]):
            raise Malformed(f"{GRANTS}: a base ends in a slash")
        return {
            code: Bound(
                names=dict(row["names"]),
                bases=tuple(row["bases"]),
                services={
                    Service(name).value: {
                        "types": frozenset(allowed["types"]),
                        "regions": frozenset(
                            region for region in allowed["regions"] if region.startswith(code)
                        ),
                    }
                    for name, allowed in row["services"].items()
                },
            )
            for code, row in rows.items()
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Malformed(f"{GRANTS} has another form") from error


def _entries(files: Mapping[str, bytes], path: str, *, ended: bool) -> list[dict[str, Any]]:
    entries = []
    for row in _document(files, path, "entries", list):
        try:
            target = {key: str(value) for key, value in row["target"].items()}
            until = None if row.get("until") is None else time_seconds(row["until"])
            entry = {
                "target": target,
                "reason": str(row["reason"]),
                "from": time_seconds(row["from"]),
                "until": until,
            }
        except (KeyError, TypeError, AttributeError) as error:
            raise Malformed(f"{path} has another form") from error
        if not target or not set(target) <= _TARGET_KEYS or (ended and until is None):
            raise Malformed(f"{path}: an entry without a target or an end")
        entries.append(entry)
    return entries


def _brake(role: RoleFiles | None) -> dict[str, Any]:
    """Missing, expired or unreadable: `until` None, which every freshness check takes as stale."""
    if role is None or role.fault:
        return {"until": None, "entries": []}
    try:
        return {"until": role.until, "entries": _entries(role.files, BRAKE, ended=True)}
    except Malformed:
        return {"until": None, "entries": []}


# --- a province's files -------------------------------------------------------------------------------------


def _add_province(
    image: dict[str, Any], code: str, bound: Bound, roles: Mapping[str, RoleFiles]
) -> frozenset[str]:
    """Adds a province to the image; the rules that it approves."""
    role = roles.get(code) or RoleFiles(fault="trust.invalid", detail="the province has no role")
    row = {
        "names": dict(bound.names),
        "version": role.version,
        "until": role.until,
        "fault": role.fault,
        "detail": role.detail,
    }
    image["provinces"][code] = row
    approved: frozenset[str] = frozenset()
    if not role.fault:
        try:
            listing = from_document(_file(role.files, f"{code}/list.json"))
            if listing.province != code:
                raise Malformed("the list of another province")  # noqa: TRY301 -- one place for all faults
            approved = _approved(role.files, code)
            notices = _notices(role.files, code, bound)
        except Malformed as error:
            row.update(fault="trust.invalid", detail=error.detail)
            return frozenset()
        row["until"] = min(role.until, seconds(listing.next_update))
        _add_list(image, listing, bound)
        for uri, by_index in notices.items():
            image["notices"].setdefault(uri, {}).update(by_index)
    hot = _hot(roles.get(f"{code}-hot"), code)
    if hot is not None:
        image["hot"][code] = hot
    return approved


def _add_list(image: dict[str, Any], listing: ProvinceList, bound: Bound) -> None:
    for item in listing.entities:
        if not any(item.entity.uri.startswith(base) for base in bound.bases):
            continue  # a URI outside the province's own: it speaks for nobody
        position = len(image["entities"])
        image["entities"].append(_entity_row(item, bound))
        for service in item.services:
            _add_service(image, service, position, bound)


def _entity_row(item: ListedEntity, bound: Bound) -> list[Any]:
    entity = item.entity
    prefixes = [
        prefix for prefix in entity.status_prefixes if any(prefix.startswith(base) for base in bound.bases)
    ]
    return [entity.uri, entity.province, dict(entity.names), entity.uscc, prefixes]


def _add_service(image: dict[str, Any], item: ListedService, entity: int, bound: Bound) -> None:
    grants = [cut for grant in item.grants if (cut := bound.cut(item.service, grant)) is not None]
    position = len(image["services"])
    image["services"].append(
        [
            item.service.value,
            entity,
            [_grant_row(grant) for grant in grants],
            [
                [state.status.value, state.effective, state.recorded, state.proof_needed]
                for state in item.states
            ],
            item.void,
        ]
    )
    for key in item.keys:
        window = key.window
        image["keys"].append(
            [
                position,
                key.key.kid.hex(),
                key.key.suite.name,
                key.key.raw.hex(),
                window.start,
                window.until,
                window.compromised_from,
                *([key.certificate.hex()] if is_authority(key.certificate) else []),
            ]
        )


def _grant_row(grant: Grant) -> dict[str, Any]:
    row: dict[str, Any] = {
        name: sorted(getattr(grant, name))
        for name in ("types", "regions", "scenes", "attributes", "venues")
        if getattr(grant, name)
    }
    if grant.assurance:
        row["assurance"] = grant.assurance
    row["from"] = grant.start
    if grant.until is not None:
        row["until"] = grant.until
    return row


def _approved(files: Mapping[str, bytes], code: str) -> frozenset[str]:
    path = f"{code}/recognition.json"
    if path not in files:
        return frozenset()
    digests = _document(files, path, "approved", list)
    if not all(type(digest) is str for digest in digests):
        raise Malformed(f"{path} has another form")
    return frozenset(digests)


def _notices(files: Mapping[str, bytes], code: str, bound: Bound) -> dict[str, dict[str, list[list[Any]]]]:
    path = f"{code}/notices.json"
    found: dict[str, dict[str, list[list[Any]]]] = {}
    if path not in files:
        return found
    for row in _document(files, path, "entries", list):
        try:
            uri, idx, kind = row["uri"], row["idx"], row["kind"]
            entry = [kind, row.get("field", ""), time_seconds(row["since"])]
        except (KeyError, TypeError, AttributeError) as error:
            raise Malformed(f"{path} has another form") from error
        if type(uri) is not str or type(idx) is not int or type(entry[1]) is not str:
            raise Malformed(f"{path} has another form")
        if kind not in ("objection", "review"):
            raise Malformed(f"{path} has another form")
        if any(uri.startswith(base) for base in bound.bases):
            found.setdefault(uri, {}).setdefault(str(idx), []).append(entry)
    return found


def _hot(role: RoleFiles | None, code: str) -> dict[str, Any] | None:
    """The hot list, or None: missing and unreadable are the same to a scene that requires one."""
    if role is None or role.fault:
        return None
    path = f"{code}-hot/hot.json"
    try:
        document = decode_json(_file(role.files, path), limit=MAX_FILE)
        passes = _document(role.files, path, "passes", list)
        if passes != sorted(passes) or not all(bytes.fromhex(entry) for entry in passes):
            return None
        return {
            "at": time_seconds(document["issued"]),
            "until": min(role.until, time_seconds(document["until"])),
            "passes": passes,
        }
    except (Malformed, KeyError, TypeError, ValueError):
        return None


def image_of_list(listing: ProvinceList, *, signed_at: datetime) -> dict[str, Any]:
    """The image of one list that stands alone (`ewallet.trust.other_lists`): no rules, scenes, hot list.

    Its bounds are the list's own; it can be used until its `next_update`.
    """
    until = seconds(listing.next_update)
    bound = Bound(
        names=listing.names,
        bases=("",),
        services={
            service.value: {"types": frozenset(("*",)), "regions": frozenset(("",))} for service in Service
        },
    )
    province = {"names": dict(listing.names), "version": listing.sequence, "until": until}
    image: dict[str, Any] = {
        "format": IMAGE_FORMAT,
        "signed_at": seconds(signed_at),
        "until": until,
        "root": "",
        "versions": {listing.province: listing.sequence},
        "provinces": {listing.province: {**province, "fault": "", "detail": ""}},
        "scenes": [],
        "suspensions": [],
        "rules": [],
        "entities": [],
        "services": [],
        "keys": [],
        "notices": {},
        "hot": {},
        "brake": {"until": until, "entries": []},
    }
    _add_list(image, listing, bound)
    return image
