"""Requests for licenses: asked within a grant, as DCQL, and whether the answers fit.

A counter, or a listed social verifier such as a hotel or a bank, asks for licenses and fields and says what
it is for. The question is a signed CWT (`ewallet.code.challenge`), shown as a QR code; its query can be
written and read as DCQL (OpenID for Verifiable Presentations 1.0, section 6). What fits is exact: every
license that was asked for, each with every field that was asked for and not one more.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ewallet.code.challenge import LIFE, MAX_WANTED, Wanted, make_request
from ewallet.errors import Malformed, Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from ewallet.code.challenge import About, Request
    from ewallet.keys import Signer
    from ewallet.licenses.catalog import Catalog
    from ewallet.trust.scenes import Scene
    from ewallet.trust.trust import Trust
    from ewallet.verify.matters import Matter

FORMAT: Final = "dc+sd-jwt"
"""Credential format identifier of the holder credential (SD-JWT VC). The wallet may answer with its SD-CWT
twin: the same license, the same fields, in a form that fits a QR code."""

_VCT: Final = re.compile(r".+/vct/(?P<type>[0-9A-Z]{3,40})/[0-9]{1,4}")
_ID: Final = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What one presentation of an answer shows.

    Attributes:
        type: type code of the license.
        disclosed: names of all claims that it discloses.
    """

    type: str
    disclosed: frozenset[str]


def ask(
    signer: Signer,
    trust: Trust,
    *,
    issuer: str,
    scene: Scene,
    licenses: Iterable[Wanted],
    about: About,
    now: datetime,
    life: int = LIFE,
) -> Request:
    """Asks for licenses: only what the asker's own grant and the scene allow leaves the counter.

    Args:
        signer: the asker's key, listed for *verify*.
        trust: the lists: they say what it may ask for.
        issuer: the asker's URI.
        scene: the counter's scene, with its venue.
        licenses: what is wanted.
        about: what it is for; a purpose is required.
        now: the time.
        life: seconds until the question is over.

    Raises:
        Refused: `verifier.unknown`, `verifier.not_granted`: the holder's side would refuse it too.
        ValueError: no purpose, no venue, nothing wanted.
    """
    wanted = tuple(licenses)
    if not about.purpose:
        raise ValueError("a request says what it is for")
    types = frozenset(code for each in wanted for code in each.types)
    [listed, *_] = trust.verifier_key(kid=signer.public_key.kid, iss=issuer, now=now)
    trust.decide_verifier(listed, venue=scene.venue, scene=scene.id, types=types, now=now)
    if "*" not in scene.types and not types <= scene.types:
        raise Refused("verifier.not_granted", "more than the scene may ask for")
    return make_request(
        signer,
        issuer=issuer,
        venue=scene.venue,
        scene=scene.id,
        licenses=wanted,
        about=about,
        now=now,
        life=life,
    )


# --- do the answers fit -------------------------------------------------------------------------------------


def asked_fields(licenses: Iterable[Wanted], type_code: str) -> frozenset[str]:
    """All fields that were asked for of licenses of a type."""
    return frozenset(field for each in licenses if type_code in each.types for field in each.fields)


def fit(licenses: Sequence[Wanted], shown: Sequence[Shown]) -> None:
    """Checks that presentations are what was asked for: all of it, and nothing else.

    Args:
        licenses: what was wanted.
        shown: what the presentations show, in any order.

    Raises:
        Refused: `policy.type`: a license nobody asked for, or one is missing; `policy.scene`: more is
            disclosed than was asked for; `policy.field_missing`: less.
    """
    for each in shown:
        wanted = [item for item in licenses if each.type in item.types]
        if not wanted:
            raise Refused("policy.type", "a license that was not asked for")
        if not any(each.disclosed <= frozenset(item.fields) for item in wanted):
            raise Refused("policy.scene", "it discloses more than was asked for")
        if not any(each.disclosed == frozenset(item.fields) for item in wanted):
            fields = min((frozenset(item.fields) - each.disclosed for item in wanted), key=len)
            raise Refused("policy.field_missing", "not disclosed: " + ", ".join(sorted(fields)))
    if not _matched(list(licenses), list(shown)):
        raise Refused("policy.type", "not every license that was asked for was shown")


def _matched(licenses: list[Wanted], shown: list[Shown]) -> bool:
    """Whether each presentation can stand for a wish of its own, and no wish is left (augmenting paths)."""
    if len(licenses) != len(shown):
        return False
    taken: dict[int, int] = {}

    def find(wish: int, tried: set[int]) -> bool:
        for place, each in enumerate(shown):
            fits = each.type in licenses[wish].types and each.disclosed == frozenset(licenses[wish].fields)
            if fits and place not in tried:
                tried.add(place)
                if place not in taken or find(taken[place], tried):
                    taken[place] = wish
                    return True
        return False

    return all(find(wish, set()) for wish in range(len(licenses)))


# --- a matter as a request ----------------------------------------------------------------------------------


def wanted_by(matter: Matter) -> tuple[Wanted, ...]:
    """The licenses and fields that would cover a matter's materials, fill its form and decide its reviews.

    Materials that one license covers (the same types, about the same holder) are one wish.
    """
    groups: dict[tuple[Any, ...], set[str]] = {}
    group_of: dict[str, tuple[Any, ...]] = {}
    for material in matter.materials:
        if material.types:
            same = tuple(sorted((key, str(value)) for key, value in material.same.items()))
            group = group_of[material.id] = (material.types, same)
            groups.setdefault(group, set()).update(material.fields, material.same)
    for reference in _used(matter):
        if reference.material in group_of:
            groups[group_of[reference.material]].add(reference.field)
    return tuple(Wanted(types=types, fields=tuple(sorted(fields))) for (types, _), fields in groups.items())


def _used(matter: Matter) -> list[Any]:
    """Fields that forms, reviews and matches of materials look at."""
    found: list[Any] = [value for material in matter.materials for value in material.same.values()]
    for single in matter.single:
        found.extend(item.sources[0] for item in single.form)
        found.extend(side for review in single.reviews for side in (review.left, review.right) if side)
    return found


# --- DCQL ---------------------------------------------------------------------------------------------------


def to_dcql(licenses: Iterable[Wanted], catalog: Catalog, *, base: str) -> dict[str, Any]:
    """The query in DCQL.

    Args:
        licenses: what is wanted.
        catalog: knows the version of each type.
        base: URI under which the deployment's types have their names.

    Raises:
        NotFound: a type that the catalog does not have.
    """
    return {
        "credentials": [
            {
                "id": f"license_{place}",
                "format": FORMAT,
                "meta": {"vct_values": [catalog[code].vct(base) for code in each.types]},
                "claims": [{"path": [field]} for field in each.fields],
            }
            for place, each in enumerate(licenses, 1)
        ]
    }


def from_dcql(query: object, catalog: Catalog) -> tuple[Wanted, ...]:
    """The wishes of a DCQL query. What it says beyond this profile is refused, never skipped.

    Args:
        query: the parsed JSON object.
        catalog: types and fields that may be asked for.

    Raises:
        Malformed: another form, an unknown member, type or field.
    """
    table = _object(query, {"credentials"}, "a query")
    entries = table["credentials"]
    if not isinstance(entries, list) or not 0 < len(entries) <= MAX_WANTED:
        raise Malformed(f"a query asks for 1 to {MAX_WANTED} credentials")
    wanted, seen = [], set()
    for entry in entries:
        each = _object(entry, {"id", "format", "meta", "claims"}, "a credential query")
        if not isinstance(each["id"], str) or _ID.fullmatch(each["id"]) is None or each["id"] in seen:
            raise Malformed("an id is a text of its own")
        seen.add(each["id"])
        if each["format"] != FORMAT:
            raise Malformed("a credential format that this profile does not have")
        wanted.append(_wish(each, catalog))
    return tuple(wanted)


def _wish(entry: Mapping[str, Any], catalog: Catalog) -> Wanted:
    values = _object(entry["meta"], {"vct_values"}, "meta")["vct_values"]
    if not isinstance(values, list) or not values:
        raise Malformed("vct_values name the types")
    types = []
    for value in values:
        named = _VCT.fullmatch(value) if isinstance(value, str) else None
        type_ = catalog.get(named["type"]) if named is not None else None
        if type_ is None:
            raise Malformed("a type that the catalog does not have")
        types.append(type_.code)
    claims = entry["claims"]
    if not isinstance(claims, list) or not claims:
        raise Malformed("claims name the fields: a query for everything is not asked")
    fields = [_field(claim, types, catalog) for claim in claims]
    if len(set(fields)) != len(fields) or len(set(types)) != len(types):
        raise Malformed("a type or field twice")
    return Wanted(types=tuple(types), fields=tuple(fields))


def _field(claim: object, types: Sequence[str], catalog: Catalog) -> str:
    path = _object(claim, {"path"}, "a claim")["path"]
    if not isinstance(path, list) or len(path) != 1 or not isinstance(path[0], str):
        raise Malformed("a path names one field of the face")
    field: str = path[0]
    if field not in ("identifier", "version") and not all(field in catalog[code].by_key for code in types):
        raise Malformed("a field that the type does not have")
    return field


def _object(value: object, members: set[str], what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict) or set(value) != members:
        raise Malformed(f"{what} has the members {', '.join(sorted(members))}")
    return value
