"""The shape that the consortium's roles must have: shares, key ids, paths.

TUF counts key ids and follows whatever paths a delegation names. These rules are ours, and they are checked
by every verifier, not only before publishing: a root that lets one province reach a threshold is not a root
of this consortium, whoever signed it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from ewallet.trust.tuf_keys import ONLINE, is_own_id, owner_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from securesystemslib.signer import Key
    from tuf.api.metadata import DelegatedRole, Role, Root, Targets

_PROVINCE: Final = re.compile(r"[1-9][0-9]")
_FLAT: Final = re.compile(r"[a-z0-9-]+/[a-z0-9.-]+")


def root_problems(root: Root) -> Iterator[str]:
    """What is wrong with a root: an empty iterator means nothing."""
    provinces = {owner_of(root.keys[keyid]) for keyid in root.roles["root"].keyids}
    if not root.consistent_snapshot:
        yield "consistent snapshots are required"
    for name in ("root", "targets"):
        yield from _shared_role(name, root.roles[name], root.keys)
        if root.roles[name].threshold * 2 <= len(provinces):
            yield f"{name}: the threshold is no majority of the provinces"
    for name in ("snapshot", "timestamp"):
        for keyid in root.roles[name].keyids:
            if owner_of(root.keys[keyid]) != ONLINE:
                yield f"{name}: a key that is not an online key"
            if any(keyid in role.keyids for other, role in root.roles.items() if other != name):
                yield f"{name}: its key serves another role too"
    yield from _key_ids(root.keys)


def _shared_role(name: str, role: Role, keys: Mapping[str, Key]) -> Iterator[str]:
    """One key for each province: a threshold of key ids is then a threshold of provinces."""
    owners = [owner_of(keys[keyid]) for keyid in role.keyids if keyid in keys]
    for owner in sorted(set(owners)):
        if not _PROVINCE.fullmatch(owner):
            yield f"{name}: a key without a province"
        elif owners.count(owner) > 1:
            yield f"{name}: province {owner} holds more key ids than its share"


def _key_ids(keys: Mapping[str, Key]) -> Iterator[str]:
    for keyid, key in keys.items():
        if keyid != key.keyid or not is_own_id(key):
            yield "a key under an id that is not its own"


def delegation_problems(targets: Targets) -> Iterator[str]:
    """What is wrong with the delegations of the consortium's role."""
    delegations = targets.delegations
    if delegations is None or delegations.roles is None:
        yield "no delegations by name"
        return
    yield from _key_ids(delegations.keys)
    for name, role in delegations.roles.items():
        yield from _delegated_role(name, role, delegations.keys)
    for path in targets.targets:
        if not path.startswith("policy/") or not _FLAT.fullmatch(path):
            yield f"targets: {path} is not the consortium's to sign"


def _delegated_role(name: str, role: DelegatedRole, keys: Mapping[str, Key]) -> Iterator[str]:
    province, _, hot = name.partition("-")
    owners = {owner_of(keys[keyid]) for keyid in role.keyids if keyid in keys}
    if role.paths is None or not role.terminating:
        yield f"{name}: paths must be named and the delegation terminating"
    if name == "brake":
        wanted = ["brake/*"]
        yield from _shared_role(name, role, keys)
        if role.threshold < 2:
            yield "brake: one province alone could stop the others"
    elif _PROVINCE.fullmatch(name):
        wanted = [f"{name}/*"]
        if owners != {name}:
            yield f"{name}: keys of another province"
    elif _PROVINCE.fullmatch(province) and hot == "hot":
        wanted = [f"{name}/hot.json"]
        if owners != {province}:
            yield f"{name}: keys of another province"
    else:
        yield f"{name}: a role that the consortium does not have"
        return
    if role.paths is not None and role.paths != wanted:
        yield f"{name}: signs {', '.join(role.paths)} instead of {wanted[0]}"


def path_problems(name: str, delegated: Targets, role: DelegatedRole) -> Iterator[str]:
    """What is wrong with the files that a delegated role signs."""
    if delegated.delegations is not None:
        yield f"{name}: delegates further"
    for path in delegated.targets:
        if not _FLAT.fullmatch(path):
            yield f"{name}: {path} is not a flat path"
        elif not role.is_delegated_path(path):
            yield f"{name}: signs {path} outside its directory"
