"""Changes of a province list. Each gives a new list; none removes history.

Keys and grants are separate: rotating a key closes its window and opens another; grants and states stay as
they were. Past states are never rewritten: each change adds one, with the times it takes effect and was
recorded.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ewallet.errors import ConfigError
from ewallet.moments import seconds
from ewallet.trust.entries import Grant, Service, State, Status, Window
from ewallet.trust.lote import ListedEntity, ListedService, ProvinceList, ServiceKey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from ewallet.keys import PublicKey
    from ewallet.trust.entries import Entity


def _wrong(problem: str) -> ConfigError:
    return ConfigError(problem, file="list.json")


def with_entity(listing: ProvinceList, entity: Entity) -> ProvinceList:
    """The list with a new authority, or with new names, prefixes and code of a listed one."""
    present = listing.entity(entity.uri)
    if present is None:
        return replace(listing, entities=(*listing.entities, ListedEntity(entity=entity, services=())))
    changed = replace(present, entity=entity)
    return _with(listing, changed)


def _with(listing: ProvinceList, changed: ListedEntity) -> ProvinceList:
    return replace(
        listing,
        entities=tuple(
            changed if item.entity.uri == changed.entity.uri else item for item in listing.entities
        ),
    )


def _on_service(
    listing: ProvinceList, uri: str, service: Service, change: Callable[[ListedService], ListedService]
) -> ProvinceList:
    entity = listing.entity(uri)
    present = entity.service(service) if entity else None
    if entity is None or present is None:
        raise _wrong(f"{uri} has no service {service.value}")
    services = tuple(change(item) if item is present else item for item in entity.services)
    return _with(listing, replace(entity, services=services))


def with_service(
    listing: ProvinceList,
    uri: str,
    service: Service,
    *,
    key: PublicKey,
    grants: tuple[Grant, ...],
    now: datetime,
    start: datetime | None = None,
    certificate: bytes = b"",
) -> ProvinceList:
    """The list with a new service of a listed authority.

    Raises:
        ConfigError: no such authority, the service is there already, or the key is listed already.
    """
    entity = listing.entity(uri)
    if entity is None or entity.service(service) is not None:
        raise _wrong(f"{uri}: not listed, or has the service {service.value} already")
    _require_new(listing, key)
    begin = seconds(start or now)
    added = ListedService(
        service=service,
        keys=(ServiceKey(key=key, window=Window(start=begin), certificate=certificate),),
        grants=grants,
        states=(State(status=Status.GRANTED, effective=begin, recorded=seconds(now)),),
    )
    return _with(listing, replace(entity, services=(*entity.services, added)))


def _require_new(listing: ProvinceList, key: PublicKey) -> None:
    """One key serves one service of one authority; one `kid` means one key."""
    for item in listing.entities:
        for service in item.services:
            if any(other.key.kid == key.kid for other in service.keys):
                raise _wrong(f"the key is listed already, for {service.service.value} of {item.entity.uri}")


def rotated(
    listing: ProvinceList,
    uri: str,
    service: Service,
    *,
    key: PublicKey,
    now: datetime,
    certificate: bytes = b"",
) -> ProvinceList:
    """The list after a new key: open windows close now, the new key's window opens now."""
    _require_new(listing, key)
    at = seconds(now)

    def change(item: ListedService) -> ListedService:
        closed = tuple(
            replace(old, window=replace(old.window, until=at))
            if old.window.until is None or old.window.until > at
            else old
            for old in item.keys
        )
        fresh = ServiceKey(key=key, window=Window(start=at), certificate=certificate)
        return replace(item, keys=(*closed, fresh))

    return _on_service(listing, uri, service, change)


def compromised(
    listing: ProvinceList, uri: str, service: Service, *, kid: bytes, since: datetime, now: datetime
) -> ProvinceList:
    """The list after a key's secret is known to have been in other hands since a time.

    The key's window closes; what it signed before counts only with a register statement from before.
    """
    found = False

    def change(item: ListedService) -> ListedService:
        nonlocal found
        keys = []
        for old in item.keys:
            if old.key.kid != kid:
                keys.append(old)
                continue
            found = True
            earlier = old.window.compromised_from
            start = seconds(since) if earlier is None else min(earlier, seconds(since))
            until = seconds(now) if old.window.until is None else min(old.window.until, seconds(now))
            keys.append(replace(old, window=replace(old.window, compromised_from=start, until=until)))
        return replace(item, keys=tuple(keys))

    changed = _on_service(listing, uri, service, change)
    if not found:
        raise _wrong(f"{uri} lists no such key for {service.value}")
    return changed


def with_state(
    listing: ProvinceList,
    uri: str,
    service: Service,
    status: Status,
    *,
    effective: datetime,
    now: datetime,
    proof_needed: bool = False,
) -> ProvinceList:
    """The list after a service was suspended, restored (granted) or withdrawn.

    Raises:
        ConfigError: the service was withdrawn before, or the state would take effect before the last one.
    """

    def change(item: ListedService) -> ListedService:
        last = item.states[-1]
        if last.status is Status.WITHDRAWN:
            raise _wrong(f"{uri}: {service.value} was withdrawn; a new authority entry is needed")
        if seconds(effective) < last.effective:
            raise _wrong(f"{uri}: a state cannot take effect before the one it follows")
        state = State(
            status=status,
            effective=seconds(effective),
            recorded=seconds(now),
            proof_needed=proof_needed,
        )
        return replace(item, states=(*item.states, state))

    return _on_service(listing, uri, service, change)


def with_grant(listing: ProvinceList, uri: str, service: Service, grant: Grant) -> ProvinceList:
    """The list with one more grant."""
    return _on_service(listing, uri, service, lambda item: replace(item, grants=(*item.grants, grant)))


def without_grant(
    listing: ProvinceList, uri: str, service: Service, *, index: int, now: datetime
) -> ProvinceList:
    """The list after a grant was closed; it stays, for what was signed before."""

    def change(item: ListedService) -> ListedService:
        if not 0 <= index < len(item.grants):
            raise _wrong(f"{uri}: {service.value} has no grant {index}")
        grants = list(item.grants)
        grants[index] = replace(grants[index], until=seconds(now))
        return replace(item, grants=tuple(grants))

    return _on_service(listing, uri, service, change)


def rewritten_history(before: ProvinceList, after: ProvinceList) -> Iterator[str]:
    """What a new list takes away from the history of the one before; empty: nothing."""
    if after.sequence <= before.sequence:
        yield "the sequence number did not grow"
    for old in before.entities:
        new = after.entity(old.entity.uri)
        if new is None:
            yield f"{old.entity.uri} was removed instead of withdrawn"
            continue
        for service in old.services:
            now_listed = new.service(service.service)
            if now_listed is None:
                yield f"{old.entity.uri}: {service.service.value} was removed instead of withdrawn"
            else:
                yield from _rewritten(f"{old.entity.uri} {service.service.value}", service, now_listed)


def _rewritten(what: str, before: ListedService, after: ListedService) -> Iterator[str]:
    if after.states[: len(before.states)] != before.states:
        yield f"{what}: its history was rewritten"
    windows = {item.key.kid: item.window for item in after.keys}
    for item in before.keys:
        window = windows.get(item.key.kid)
        if window is None:
            yield f"{what}: key {item.key.kid.hex()} was removed"
            continue
        if window.start != item.window.start:
            yield f"{what}: the window of key {item.key.kid.hex()} starts at another time"
        was, now_is = item.window.compromised_from, window.compromised_from
        if was is not None and (now_is is None or now_is > was):
            yield f"{what}: key {item.key.kid.hex()} is no longer compromised"
    if len(after.grants) < len(before.grants):
        yield f"{what}: a grant was removed instead of closed"
