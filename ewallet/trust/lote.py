"""Province lists as ETSI TS 119 602 documents (lists of trusted entities, JSON binding).

What the standard has no member for stands in extensions `{"uri", "critical", "value"}`:

| extension | where | says |
|---|---|---|
| `urn:ewallet:ext:province:1` | scheme | two digits of the province |
| `urn:ewallet:ext:status-prefixes:1` | entity | where its status lists live |
| `urn:ewallet:ext:uscc:1` | entity | its unified social credit code (not critical) |
| `urn:ewallet:ext:scope:1` | service | grants: types, regions, scenes, attributes, venues, from, until ... |
| `urn:ewallet:ext:key-windows:1` | service | for each key: from, until, compromised_from |
| `urn:ewallet:ext:recorded:1` | service, history | when a state was recorded; is proof needed after it |

An unknown extension marked critical voids its service (or entity, or list). The schema's key form knows EC
keys only, so Ed25519 keys are listed as X.509 certificates.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from binascii import Error as BinasciiError
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from ewallet.errors import KeyMaterialError, Malformed
from ewallet.keys import PublicKey
from ewallet.moments import instant
from ewallet.trust.entries import SERVICE_NAMES, Entity, Grant, Service, State, Status, Window
from ewallet.trust.times import time_seconds, time_text
from ewallet.wire import b64u_encode, decode_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

MAX_LIST: Final = 16 << 20
"""Bytes of one province list: about 8,000 services."""

PROVINCE_EXT: Final = "urn:ewallet:ext:province:1"
STATUS_EXT: Final = "urn:ewallet:ext:status-prefixes:1"
USCC_EXT: Final = "urn:ewallet:ext:uscc:1"
SCOPE_EXT: Final = "urn:ewallet:ext:scope:1"
WINDOWS_EXT: Final = "urn:ewallet:ext:key-windows:1"
RECORDED_EXT: Final = "urn:ewallet:ext:recorded:1"

_STATUS_URIS: Final[dict[Status, str]] = {
    Status.GRANTED: "http://uri.etsi.org/TrstSvc/TrustedList/Svcstatus/granted",
    Status.SUSPENDED: "urn:ewallet:status:suspended",
    Status.WITHDRAWN: "http://uri.etsi.org/TrstSvc/TrustedList/Svcstatus/withdrawn",
}
_STATUSES: Final = {uri: status for status, uri in _STATUS_URIS.items()}
_SERVICES: Final = {service.uri: service for service in Service}


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceKey:
    """A key of a service.

    Attributes:
        key: the public key.
        window: when it may sign.
        certificate: DER of a certificate that carries it; needed for keys that the schema's JWK form lacks.
    """

    key: PublicKey
    window: Window
    certificate: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedService:
    """One service of an authority, with all its keys and its history.

    Attributes:
        service: what it is.
        keys: present and past keys.
        grants: what it may do; past grants stay, closed.
        states: its history, oldest first; never empty.
        void: why it cannot be used; empty otherwise.
    """

    service: Service
    keys: tuple[ServiceKey, ...]
    grants: tuple[Grant, ...]
    states: tuple[State, ...]
    void: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedEntity:
    """An authority with its services.

    Attributes:
        entity: who it is.
        services: at most one of each kind.
    """

    entity: Entity
    services: tuple[ListedService, ...]

    def service(self, service: Service) -> ListedService | None:
        """Its service of one kind, or None."""
        return next((item for item in self.services if item.service is service), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvinceList:
    """The list of one province.

    Attributes:
        province: two digits.
        names: of the province, `zh` and `en`.
        base: URI of the list's home.
        sequence: number of the issue.
        issued: when it was issued.
        next_update: when it ends.
        entities: its authorities.
    """

    province: str
    names: Mapping[str, str]
    base: str
    sequence: int
    issued: datetime
    next_update: datetime
    entities: tuple[ListedEntity, ...]

    def entity(self, uri: str) -> ListedEntity | None:
        """The authority of a URI, or None."""
        return next((item for item in self.entities if item.entity.uri == uri), None)


# --- writing ------------------------------------------------------------------------------------------------


def _texts(names: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"lang": lang, "value": text} for lang, text in sorted(names.items())]


def _uri(uri: str) -> list[dict[str, str]]:
    return [{"lang": "en", "uriValue": uri}]


def _extension(uri: str, value: Any, *, critical: bool = True) -> dict[str, Any]:
    return {"uri": uri, "critical": critical, "value": value}


def _window(window: Window) -> dict[str, str]:
    out = {"from": time_text(window.start)}
    if window.until is not None:
        out["until"] = time_text(window.until)
    if window.compromised_from is not None:
        out["compromised_from"] = time_text(window.compromised_from)
    return out


def _grant(grant: Grant) -> dict[str, Any]:
    out: dict[str, Any] = {
        name: sorted(getattr(grant, name))
        for name in ("types", "regions", "scenes", "attributes", "venues")
        if getattr(grant, name)
    }
    if grant.assurance:
        out["assurance"] = grant.assurance
    out["from"] = time_text(grant.start)
    if grant.until is not None:
        out["until"] = time_text(grant.until)
    return out


def _identity(keys: Iterable[ServiceKey]) -> dict[str, Any]:
    jwks, certificates = [], []
    for item in keys:
        if item.certificate:
            certificates.append({"val": b64encode(item.certificate).decode()})
        else:
            jwk = item.key.to_jwk()
            if jwk["kty"] != "EC":
                raise KeyMaterialError("a key without a place in the schema is listed with a certificate")
            jwks.append({**jwk, "use": "sig", "kid": b64u_encode(item.key.kid)})
    out: dict[str, Any] = {}
    if jwks:
        out["PublicKeyValues"] = jwks
    if certificates:
        out["X509Certificates"] = certificates
    return out


def _recorded(state: State) -> dict[str, Any]:
    value: dict[str, Any] = {"recorded": time_text(state.recorded)}
    if state.proof_needed:
        value["proof_needed"] = True
    return _extension(RECORDED_EXT, value)


def _service(item: ListedService) -> dict[str, Any]:
    zh, en = SERVICE_NAMES[item.service]
    names = _texts({"zh": zh, "en": en})
    *past, current = item.states
    out: dict[str, Any] = {
        "ServiceInformation": {
            "ServiceName": names,
            "ServiceDigitalIdentity": _identity(item.keys),
            "ServiceTypeIdentifier": item.service.uri,
            "ServiceStatus": _STATUS_URIS[current.status],
            "StatusStartingTime": time_text(current.effective),
            "ServiceInformationExtensions": [
                _extension(SCOPE_EXT, [_grant(grant) for grant in item.grants]),
                _extension(WINDOWS_EXT, {b64u_encode(key.key.kid): _window(key.window) for key in item.keys}),
                _recorded(current),
            ],
        }
    }
    if past:
        out["ServiceHistory"] = [
            {
                "ServiceName": names,
                "ServiceDigitalIdentity": {"OtherIds": [item.service.uri]},
                "ServiceTypeIdentifier": item.service.uri,
                "ServiceStatus": _STATUS_URIS[state.status],
                "StatusStartingTime": time_text(state.effective),
                "ServiceInformationExtensions": [_recorded(state)],
            }
            for state in reversed(past)
        ]
    return out


def _entity(item: ListedEntity) -> dict[str, Any]:
    entity = item.entity
    extensions = [_extension(STATUS_EXT, list(entity.status_prefixes))]
    if entity.uscc:
        extensions.append(_extension(USCC_EXT, entity.uscc, critical=False))
    return {
        "TrustedEntityInformation": {
            "TEName": _texts(entity.names),
            "TEAddress": {
                "TEPostalAddress": [
                    {
                        "lang": "en",
                        "StreetAddress": entity.names.get("en", entity.uri),
                        "StateOrProvince": entity.province,
                        "Country": "CN",
                    }
                ],
                "TEElectronicAddress": _uri(entity.uri),
            },
            "TEInformationURI": _uri(entity.uri),
            "TEInformationExtensions": extensions,
        },
        "TrustedEntityServices": [_service(service) for service in item.services],
    }


def to_document(listing: ProvinceList) -> dict[str, Any]:
    """The list document of a province (TS 119 602, JSON binding).

    Raises:
        KeyMaterialError: a key that needs a certificate and has none.
    """
    document: dict[str, Any] = {
        "ListAndSchemeInformation": {
            "LoTEVersionIdentifier": 1,
            "LoTESequenceNumber": listing.sequence,
            "LoTEType": "urn:ewallet:lote:province:1",
            "SchemeOperatorName": _texts(listing.names),
            "SchemeInformationURI": _uri(listing.base),
            "StatusDeterminationApproach": "urn:ewallet:lote:approach:granted-by-province",
            "SchemeTerritory": "CN",
            "ListIssueDateTime": time_text(listing.issued),
            "NextUpdate": time_text(listing.next_update),
            "SchemeExtensions": [_extension(PROVINCE_EXT, listing.province)],
        }
    }
    if listing.entities:
        document["TrustedEntitiesList"] = [_entity(item) for item in listing.entities]
    return {"LoTE": document}


def to_json(document: Mapping[str, Any]) -> bytes:
    """A document as it is published: UTF-8, keys sorted, so that the same list is the same bytes."""
    return json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


# --- reading ------------------------------------------------------------------------------------------------


class _Void(Exception):
    """A critical extension that is not understood."""


def _need(value: Any, kind: type, what: str) -> Any:
    if type(value) is not kind:
        raise Malformed(f"{what} has the wrong form")
    return value


def _member(holder: Mapping[str, Any], key: str, kind: type) -> Any:
    return _need(holder.get(key), kind, key)


def _optional_moment(holder: Mapping[str, Any], key: str) -> int | None:
    return None if key not in holder else time_seconds(holder[key], key)


def _extensions(holder: Mapping[str, Any], key: str, known: frozenset[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for item in _need(holder.get(key, []), list, key):
        uri = _member(_need(item, dict, key), "uri", str)
        if uri in found:
            raise Malformed("an extension twice")
        if uri in known:
            found[uri] = item.get("value")
        elif item.get("critical") is not False:  # left out means critical: the safe reading
            raise _Void(uri)
    return found


def _texts_of(value: Any, what: str) -> Mapping[str, str]:
    items = _need(value, list, what)
    return MappingProxyType({_member(item, "lang", str): _member(item, "value", str) for item in items})


def _strings(value: Any, what: str) -> frozenset[str]:
    items = _need(value, list, what)
    if not all(type(item) is str and item for item in items):
        raise Malformed(f"{what} has the wrong form")
    return frozenset(items)


_GRANT_KEYS: Final = frozenset(
    ("types", "regions", "scenes", "attributes", "venues", "assurance", "from", "until")
)


def _grant_of(row: Any) -> Grant:
    row = _need(row, dict, "grant")
    if not set(row) <= _GRANT_KEYS:
        raise _Void("a grant with a key that is not understood")
    sets = {
        name: _strings(row.get(name, []), name)
        for name in ("types", "regions", "scenes", "attributes", "venues")
    }
    return Grant(
        **sets,
        assurance=_need(row.get("assurance", ""), str, "assurance"),
        start=time_seconds(row.get("from"), "from"),
        until=_optional_moment(row, "until"),
    )


def _keys_of(identity: Mapping[str, Any], windows: Mapping[str, Any]) -> tuple[ServiceKey, ...]:
    found: list[tuple[PublicKey, bytes]] = []
    try:
        for jwk in _need(identity.get("PublicKeyValues", []), list, "PublicKeyValues"):
            members = ("kty", "crv", "x", "y")
            found.append((PublicKey.from_jwk({name: jwk[name] for name in members if name in jwk}), b""))
        for entry in _need(identity.get("X509Certificates", []), list, "X509Certificates"):
            der = b64decode(_member(entry, "val", str), validate=True)
            found.append((PublicKey.from_x509(der), der))
    except (KeyMaterialError, KeyError, TypeError, BinasciiError) as error:
        raise _Void("a key that is not understood") from error
    if set(windows) != {b64u_encode(key.kid) for key, _ in found} or len(windows) != len(found):
        raise Malformed("keys and key windows do not fit")
    keys = []
    for key, der in found:
        row = _need(windows[b64u_encode(key.kid)], dict, "window")
        if not set(row) <= {"from", "until", "compromised_from"}:
            raise _Void("a key window with a key that is not understood")
        window = Window(
            start=time_seconds(row.get("from"), "from"),
            until=_optional_moment(row, "until"),
            compromised_from=_optional_moment(row, "compromised_from"),
        )
        keys.append(ServiceKey(key=key, window=window, certificate=der))
    return tuple(keys)


def _state_of(row: Mapping[str, Any], extensions: Mapping[str, Any]) -> State:
    status = _STATUSES.get(row.get("ServiceStatus", ""))
    recorded = _need(extensions.get(RECORDED_EXT), dict, "recorded")
    if status is None:
        raise _Void("a status that is not understood")
    return State(
        status=status,
        effective=time_seconds(row.get("StatusStartingTime"), "StatusStartingTime"),
        recorded=time_seconds(recorded.get("recorded"), "recorded"),
        proof_needed=_need(recorded.get("proof_needed", False), bool, "proof_needed"),
    )


_SERVICE_EXTENSIONS: Final = frozenset((SCOPE_EXT, WINDOWS_EXT, RECORDED_EXT))


def _service_of(row: Any) -> ListedService | None:
    information = _member(_need(row, dict, "service"), "ServiceInformation", dict)
    service = _SERVICES.get(information.get("ServiceTypeIdentifier", ""))
    if service is None:
        return None  # a service of another system: not ours to use, and it takes nothing from ours
    try:
        extensions = _extensions(information, "ServiceInformationExtensions", _SERVICE_EXTENSIONS)
        past = [
            _state_of(entry, _extensions(entry, "ServiceInformationExtensions", frozenset((RECORDED_EXT,))))
            for entry in reversed(_need(row.get("ServiceHistory", []), list, "ServiceHistory"))
        ]
        return ListedService(
            service=service,
            keys=_keys_of(
                _member(information, "ServiceDigitalIdentity", dict),
                _need(extensions.get(WINDOWS_EXT), dict, "key windows"),
            ),
            grants=tuple(_grant_of(item) for item in _need(extensions.get(SCOPE_EXT), list, "scope")),
            states=(*past, _state_of(information, extensions)),
        )
    except _Void as reason:
        return ListedService(service=service, keys=_void_keys(row), grants=(), states=(), void=str(reason))


def _void_keys(row: Mapping[str, Any]) -> tuple[ServiceKey, ...]:
    """The keys of a void service stay findable, so that a verifier can say why they do not count."""
    keys = []
    for jwk in row["ServiceInformation"].get("ServiceDigitalIdentity", {}).get("PublicKeyValues", []):
        try:
            key = PublicKey.from_jwk({name: jwk[name] for name in ("kty", "crv", "x", "y") if name in jwk})
        except (KeyMaterialError, KeyError, TypeError, ValueError):
            continue
        keys.append(ServiceKey(key=key, window=Window(start=0, until=0)))
    return tuple(keys)


def _entity_of(row: Any, province: str) -> ListedEntity:
    information = _member(_need(row, dict, "entity"), "TrustedEntityInformation", dict)
    uris = _member(information, "TEInformationURI", list)
    uri = _member(_need(uris[0] if uris else None, dict, "TEInformationURI"), "uriValue", str)
    known = frozenset((STATUS_EXT, USCC_EXT))
    void = ""
    try:
        extensions = _extensions(information, "TEInformationExtensions", known)
    except _Void as reason:
        extensions, void = {STATUS_EXT: []}, str(reason)
    entity = Entity(
        uri=uri,
        names=_texts_of(information.get("TEName"), "TEName"),
        province=province,
        uscc=_need(extensions.get(USCC_EXT, ""), str, "uscc"),
        status_prefixes=tuple(sorted(_strings(extensions.get(STATUS_EXT), "status prefixes"))),
    )
    rows = _member(row, "TrustedEntityServices", list)
    services = [service for service in map(_service_of, rows) if service is not None]
    if len({service.service for service in services}) != len(services):
        raise Malformed("a service twice under one entity")
    if void:
        services = [
            ListedService(service=item.service, keys=item.keys, grants=(), states=(), void=void)
            for item in services
        ]
    return ListedEntity(entity=entity, services=tuple(services))


def from_document(data: bytes) -> ProvinceList:
    """Reads a list document.

    Raises:
        Malformed: not the form, or a critical extension of the whole list that is not understood.
    """
    try:
        return _list_of(data)
    except (AttributeError, KeyError, TypeError, IndexError, ValueError) as error:
        raise Malformed("not a list document") from error


def _list_of(data: bytes) -> ProvinceList:
    document = _member(_need(decode_json(data, limit=MAX_LIST), dict, "document"), "LoTE", dict)
    scheme = _member(document, "ListAndSchemeInformation", dict)
    if scheme.get("LoTEVersionIdentifier") != 1:
        raise Malformed("a list of another version")
    try:
        extensions = _extensions(scheme, "SchemeExtensions", frozenset((PROVINCE_EXT,)))
    except _Void as reason:
        raise Malformed(f"a critical extension of the list: {reason}") from reason
    province = _need(extensions.get(PROVINCE_EXT), str, "province")
    rows = _need(document.get("TrustedEntitiesList", []), list, "TrustedEntitiesList")
    entities = [_entity_of(row, province) for row in rows]
    if len({item.entity.uri for item in entities}) != len(entities):
        raise Malformed("an entity twice")
    homes = _need(scheme.get("SchemeInformationURI", []), list, "SchemeInformationURI")
    return ProvinceList(
        province=province,
        names=_texts_of(scheme.get("SchemeOperatorName"), "SchemeOperatorName"),
        base=homes[0].get("uriValue", "") if homes and isinstance(homes[0], dict) else "",
        sequence=_need(scheme.get("LoTESequenceNumber"), int, "LoTESequenceNumber"),
        issued=instant(time_seconds(scheme.get("ListIssueDateTime"), "ListIssueDateTime")),
        next_update=instant(time_seconds(scheme.get("NextUpdate"), "NextUpdate")),
        entities=tuple(entities),
    )
