"""Lists of other systems as `Trust`: a plain JWKS, or a VICAL (ISO/IEC 18013-5:2021, annex C).

For tests and for migration. Neither says for whom and for how long its keys may sign what, so the caller says
all of it: the authority, the service, the grant, and until when the list may be used. Nothing reads such a
list by default, and nothing mixes it with a consortium's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ewallet.errors import KeyMaterialError, Malformed
from ewallet.formats import cose
from ewallet.keys import PublicKey
from ewallet.moments import instant, seconds
from ewallet.trust.certificates import dates_of
from ewallet.trust.entries import Entity, Grant, Service, State, Status, Window
from ewallet.trust.image import image_of_list
from ewallet.trust.lote import ListedEntity, ListedService, ProvinceList, ServiceKey
from ewallet.trust.trust import Trust
from ewallet.wire import decode_cbor, decode_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

MAX_VICAL: Final = 4 << 20
"""Bytes of a VICAL: one certificate is about 1 kB."""

_DATE: Final = 0
_BIGNUM: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What the caller says about a foreign list.

    Attributes:
        entity: URI that its signers use as `iss`.
        names: of that authority, zh and en.
        province: two digits that its licenses count as coming from.
        service: what its keys are for.
        types: our type codes that they may sign; for a VICAL: document type to type code.
        regions: area code prefixes.
        until: until when the list may be used.
        status_prefixes: where its status lists live.
    """

    entity: str
    names: Mapping[str, str]
    province: str
    service: Service
    types: Mapping[str, str] | frozenset[str]
    regions: frozenset[str]
    until: datetime
    status_prefixes: tuple[str, ...] = ()


def trust_from_jwks(data: bytes, scope: Scope, *, now: datetime) -> Trust:
    """A `Trust` of exactly the keys of a JWK set (RFC 7517).

    Args:
        data: the set.
        scope: what its keys may do.
        now: the time at which it was fetched: their windows open here.

    Raises:
        Malformed: no JWK set, or a key that is not usable.
    """
    document = decode_json(data, limit=1 << 20)
    rows = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(rows, list) or not rows:
        raise Malformed("not a JWK set")
    try:
        members = ("kty", "crv", "x", "y")
        keys = [PublicKey.from_jwk({name: row[name] for name in members if name in row}) for row in rows]
    except (KeyMaterialError, TypeError) as error:
        raise Malformed("a JWK set with a key that is not usable") from error
    types = frozenset(scope.types.values()) if not isinstance(scope.types, frozenset) else scope.types
    window = Window(start=seconds(now), until=seconds(scope.until))
    return _trust([(key, window, types) for key in keys], scope, now)


def trust_from_vical(data: bytes, provider: PublicKey, scope: Scope, *, now: datetime) -> Trust:
    """A `Trust` of the certificates of a VICAL whose document types the scope names.

    Args:
        data: the VICAL, a COSE_Sign1.
        provider: key of the provider, from a source that is trusted.
        scope: what the certificates' keys may do; `types` maps document types to our type codes.
        now: the time.

    Raises:
        Refused: form, signature of the provider; `trust.stale`: past its `nextUpdate`.
    """
    if isinstance(scope.types, frozenset):
        raise TypeError("a VICAL needs document types mapped to type codes")
    profile = cose.Profile(typ=None, own=False, untagged=True, exp_required=False, limit=MAX_VICAL)
    sign1 = cose.parse(data, profile)
    cose.verify(sign1, provider)
    document = decode_cbor(sign1.payload, limit=MAX_VICAL, tags=frozenset((_DATE, _BIGNUM)))
    if not isinstance(document, dict) or not isinstance(document.get("certificateInfos"), list):
        raise Malformed("not a VICAL")
    found = []
    for row in document["certificateInfos"]:
        types = frozenset(scope.types[name] for name in _doc_types(row) if name in scope.types)
        if types:
            found.append((*_certificate(row), types))
    if not found:
        raise Malformed("the VICAL lists nothing for these document types")
    return _trust(found, scope, now)


def _doc_types(row: Any) -> Sequence[str]:
    types = row.get("docType") if isinstance(row, dict) else None
    if not isinstance(types, list) or not all(isinstance(item, str) for item in types):
        raise Malformed("not an entry of a VICAL")
    return types


def _certificate(row: Mapping[str, Any]) -> tuple[PublicKey, Window]:
    der = row.get("certificate")
    if not isinstance(der, bytes):
        raise Malformed("not an entry of a VICAL")
    try:
        start, end = dates_of(der)
        return PublicKey.from_x509(der), Window(start=start, until=end)
    except KeyMaterialError as error:
        raise Malformed("a certificate that is not usable") from error


def _trust(keys: Sequence[tuple[PublicKey, Window, frozenset[str]]], scope: Scope, now: datetime) -> Trust:
    """One service has one set of grants, so keys with other types stand under services of their own."""
    entity = Entity(
        uri=scope.entity,
        names=dict(scope.names),
        province=scope.province,
        uscc="",
        status_prefixes=scope.status_prefixes,
    )
    start = min(window.start for _, window, _ in keys)
    by_types: dict[frozenset[str], list[ServiceKey]] = {}
    for key, window, types in keys:
        by_types.setdefault(types, []).append(ServiceKey(key=key, window=window))
    services = tuple(
        ListedService(
            service=scope.service,
            keys=tuple(items),
            grants=(Grant(types=types, regions=scope.regions, start=start),),
            states=(State(status=Status.GRANTED, effective=start, recorded=start),),
        )
        for types, items in by_types.items()
    )
    listing = ProvinceList(
        province=scope.province,
        names=dict(scope.names),
        base=scope.entity,
        sequence=1,
        issued=instant(seconds(now)),
        next_update=scope.until,
        entities=(ListedEntity(entity=entity, services=services),),
    )
    return Trust(image_of_list(listing, signed_at=now))
