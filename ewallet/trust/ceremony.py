"""Changing the repository together: drafts that travel as files, and signatures added by each operator.

A draft is a directory: what is staged, the files it concerns, and the signatures so far. An operator gets
one, reads in words what it does (`ewallet.trust.words`, made from the files), signs with its own key and
passes it on. Copies signed in parallel are merged. Whoever publishes checks every threshold again; a draft
needs no protection on its way.
"""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata
from tuf.api.serialization.json import JSONSerializer

from ewallet.errors import ConfigError, KeyMaterialError, Malformed
from ewallet.keys import PublicKey, SigningKey
from ewallet.keys.suites import TRUST_SUITES
from ewallet.trust.authoring import hot_document
from ewallet.trust.distribution import write_durably
from ewallet.trust.entries import Service
from ewallet.trust.image import GRANTS, RECOGNITION, SCENES, SUSPENSIONS
from ewallet.trust.lote import ProvinceList, from_document, to_document, to_json
from ewallet.trust.repository import PERIODS, Repository
from ewallet.trust.scenes import builtin_scenes, scenes_to_json
from ewallet.trust.tuf_keys import ONLINE, tuf_key
from ewallet.wire import decode_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from ewallet.keys import Signer

_JSON: Final = JSONSerializer(compact=True)
_ROLE: Final = re.compile(r"root|targets|brake|[1-9][0-9](-hot)?")
ROLES_OF_A_PROVINCE: Final = ("root", "targets", "list-1", "list-2", "list-3", "hot", "brake")
ROLES_ONLINE: Final = ("snapshot", "timestamp")


# --- keys of an operator ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKeys:
    """What an operator hands to the others: its public keys by role.

    Attributes:
        owner: two digits of a province, or `online`.
        names: of the province, zh and en.
        base: URI under which its authorities stand; empty for `online`.
        keys: role to key.
    """

    owner: str
    names: Mapping[str, str]
    base: str
    keys: Mapping[str, PublicKey]


def make_keys(
    directory: Path,
    *,
    owner: str,
    names: Mapping[str, str],
    base: str,
    password: str,
    suite: str = "ES256",
) -> PublicKeys:
    """Makes an operator's key files and its `public.json`. Software keys: for trying out and for development.

    Raises:
        ConfigError: the directory holds keys already.
    """
    file = directory / "public.json"
    if file.exists():
        raise ConfigError("keys are there already", file=str(file))
    directory.mkdir(parents=True, exist_ok=True)
    keys = {}
    for role in ROLES_ONLINE if owner == ONLINE else ROLES_OF_A_PROVINCE:
        key = SigningKey.generate(suite)
        key.save(directory / f"{role}.key", password)
        keys[role] = key.public_key
    public = PublicKeys(owner=owner, names=dict(names), base=base, keys=keys)
    write_durably(file, to_json(_public_json(public)))
    return public


def _public_json(public: PublicKeys) -> dict[str, Any]:
    return {
        "format": 1,
        "owner": public.owner,
        "names": dict(public.names),
        "base": public.base,
        "keys": {
            role: {"suite": key.suite.name, "public": key.raw.hex()} for role, key in public.keys.items()
        },
    }


def read_public(file: Path) -> PublicKeys:
    """Reads a `public.json`.

    Raises:
        ConfigError: it has another form.
    """
    try:
        row = decode_json(file.read_bytes(), limit=1 << 18)
        return PublicKeys(
            owner=row["owner"],
            names=row["names"],
            base=row["base"],
            keys={
                role: PublicKey(TRUST_SUITES[key["suite"]], bytes.fromhex(key["public"]))
                for role, key in row["keys"].items()
            },
        )
    except (OSError, Malformed, KeyMaterialError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigError("not an operator's public keys", file=str(file)) from error


# --- the first draft ----------------------------------------------------------------------------------------


def begin(publics: Sequence[PublicKeys], online: PublicKeys, *, now: datetime) -> Repository:
    """The draft of a new consortium from everybody's public keys: all roles, common scenes, empty lists."""
    provinces = {public.owner: public for public in publics}
    if len(provinces) != len(publics) or len(provinces) < 2:
        raise ConfigError("two provinces at least, each once", file="public.json")
    repository = Repository.create(
        root_keys={code: public.keys["root"] for code, public in provinces.items()},
        targets_keys={code: public.keys["targets"] for code, public in provinces.items()},
        snapshot_key=online.keys["snapshot"],
        timestamp_key=online.keys["timestamp"],
        now=now,
    )
    repository.set_file(SCENES, to_json(scenes_to_json(builtin_scenes())), now)
    repository.set_file(RECOGNITION, to_json({"format": 1, "rules": []}), now)
    repository.set_file(SUSPENSIONS, to_json({"format": 1, "entries": []}), now)
    _write_bounds(repository, provinces, now)
    for code, public in provinces.items():
        _add_roles(repository, public, now)
        _add_first_files(repository, code, public, now)
    brakes = {code: public.keys["brake"] for code, public in provinces.items()}
    repository.delegate("brake", brakes, threshold=2, now=now)
    repository.set_file("brake/brake.json", to_json({"format": 1, "entries": []}), now)
    return repository


def join(repository: Repository, public: PublicKeys, *, now: datetime) -> None:
    """Stages the joining of one more province: root, consortium's role, delegations, bounds, empty lists."""
    code = public.owner
    root = repository.stage("root", now)
    for name in ("root", "targets"):
        root.add_key(tuf_key(public.keys[name], owner=code), name)
        root.roles[name].threshold = len(root.roles[name].keyids) // 2 + 1
    document = decode_json(repository.files[GRANTS], limit=1 << 20)
    document["provinces"][code] = _bound(code, public)
    repository.set_file(GRANTS, to_json(document), now)
    _add_roles(repository, public, now)
    targets = repository.stage("targets", now)
    brake = targets.delegations.roles["brake"]
    key = tuf_key(public.keys["brake"], owner=code)
    brake.keyids.append(key.keyid)
    targets.delegations.keys[key.keyid] = key
    repository.stage("brake", now)
    _add_first_files(repository, code, public, now)


def _bound(code: str, public: PublicKeys) -> dict[str, Any]:
    services = {service.value: {"types": ["*"], "regions": [code]} for service in Service}
    return {"names": dict(public.names), "bases": [public.base], "services": services}


def _write_bounds(repository: Repository, provinces: Mapping[str, PublicKeys], now: datetime) -> None:
    bounds = {code: _bound(code, public) for code, public in provinces.items()}
    repository.set_file(GRANTS, to_json({"format": 1, "provinces": bounds}), now)


def _add_roles(repository: Repository, public: PublicKeys, now: datetime) -> None:
    code = public.owner
    lists = [public.keys[f"list-{number}"] for number in (1, 2, 3)]
    repository.delegate(code, lists, threshold=2, now=now)
    repository.delegate(f"{code}-hot", [public.keys["hot"]], threshold=1, now=now)


def _add_first_files(repository: Repository, code: str, public: PublicKeys, now: datetime) -> None:
    listing = ProvinceList(
        province=code,
        names=MappingProxyType(dict(public.names)),
        base=public.base,
        sequence=1,
        issued=now,
        next_update=now + PERIODS["province"],
        entities=(),
    )
    repository.set_file(f"{code}/list.json", to_json(to_document(listing)), now)
    repository.set_file(f"{code}/recognition.json", to_json({"format": 1, "approved": []}), now)
    repository.set_file(f"{code}/notices.json", to_json({"format": 1, "entries": []}), now)
    repository.set_file(f"{code}-hot/hot.json", to_json(hot_document(frozenset(), now)), now)


# --- changing what is published -----------------------------------------------------------------------------


def edit_list(
    repository: Repository, province: str, change: Callable[[ProvinceList], ProvinceList], *, now: datetime
) -> ProvinceList:
    """Stages a change of a province's list as its next issue.

    Raises:
        ConfigError: no such province, or the change is not allowed.
    """
    path = f"{province}/list.json"
    if path not in repository.files:
        raise ConfigError(f"no province {province}", file=path)
    changed = change(from_document(repository.files[path]))
    changed = replace(
        changed, sequence=changed.sequence + 1, issued=now, next_update=now + PERIODS["province"]
    )
    repository.set_file(path, to_json(to_document(changed)), now)
    return changed


def edit_json(
    repository: Repository, path: str, change: Callable[[dict[str, Any]], None], *, now: datetime
) -> None:
    """Stages a change of one of the plain JSON files (brake, approvals, notices, rules ...)."""
    if path not in repository.files:
        raise ConfigError("no such file is published", file=path)
    document = decode_json(repository.files[path], limit=1 << 24)
    change(document)
    repository.set_file(path, to_json(document), now)


# --- drafts as files ----------------------------------------------------------------------------------------


def save_draft(repository: Repository, directory: Path) -> None:
    """Writes what is staged, with its files and the signatures so far."""
    if directory.exists():
        shutil.rmtree(directory)
    for role in sorted(repository.staged - set(ROLES_ONLINE)):
        write_durably(directory / "metadata" / f"{role}.json", repository.roles[role].to_bytes(_JSON))
        for path in getattr(repository.signed(role), "targets", {}):
            write_durably(directory / "targets" / path, repository.files[path])
    head = {"format": 1, "roles": sorted(repository.staged - set(ROLES_ONLINE))}
    if "snapshot" in repository.staged or not repository.published:
        for role in ROLES_ONLINE:
            write_durably(directory / "metadata" / f"{role}.json", repository.roles[role].to_bytes(_JSON))
    write_durably(directory / "draft.json", json.dumps(head).encode())


def load_draft(published: Path | None, draft: Path) -> Repository:
    """The repository as a draft would make it.

    Args:
        published: directory of the published repository; None before the first publishing.
        draft: directory of the draft.

    Raises:
        ConfigError: one of them has another form.
    """
    first = published is None or not (published / "metadata" / "timestamp.json").is_file()
    repository = Repository({}, {}) if first or published is None else Repository.load(published)
    try:
        head = decode_json((draft / "draft.json").read_bytes(), limit=1 << 16)
        if not all(_ROLE.fullmatch(role) for role in head["roles"]):
            raise ConfigError("a role that the consortium does not have", file=str(draft))
        for role in (*head["roles"], *(ROLES_ONLINE if first else ())):
            metadata: Metadata[Any] = Metadata.from_file(str(draft / "metadata" / f"{role}.json"))
            repository.roles[role] = metadata
            if role not in ROLES_ONLINE:
                repository.staged.add(role)
            for path, info in getattr(metadata.signed, "targets", {}).items():
                data = (draft / "targets" / path).read_bytes()
                info.verify_length_and_hashes(data)
                repository.files[path] = data
    except (OSError, Malformed, KeyError, TypeError, ValueError, RepositoryError) as error:
        raise ConfigError("not a draft", file=str(draft)) from error
    return repository


def sign_draft(repository: Repository, signer: Signer, *, owner: str) -> list[str]:
    """Adds an operator's signature to every staged role that takes this key.

    Returns:
        The roles that were signed; empty: the key signs nothing here.
    """
    done = []
    for role in sorted(repository.staged - set(ROLES_ONLINE)):
        if repository.takes(role, signer.public_key, owner=owner):
            repository.sign(role, signer, owner=owner)
            done.append(role)
    return done


def merge_drafts(repository: Repository, others: Iterable[Repository]) -> list[str]:
    """Takes over the signatures of other copies of the same draft.

    Returns:
        Roles whose copies differ in content: their signatures were not taken.
    """
    differing = []
    for other in others:
        for role in sorted(repository.staged & other.staged):
            mine, theirs = repository.roles[role], other.roles[role]
            if mine.signed_bytes != theirs.signed_bytes:
                differing.append(role)
                continue
            for keyid, signature in theirs.signatures.items():
                mine.signatures.setdefault(keyid, signature)
    return differing


def missing_signatures(repository: Repository) -> dict[str, int]:
    """Staged roles and how many signatures each still needs."""
    return {
        role: needed
        for role in sorted(repository.staged - set(ROLES_ONLINE))
        if (needed := repository.missing(role))
    }
