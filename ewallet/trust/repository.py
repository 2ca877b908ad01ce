"""The consortium's repository while it is being written: roles, files, signatures, publishing.

Authoring works on a draft: a change stages the role that it concerns (next version, no signatures), signers
add theirs, and publishing demands every threshold before it writes a file. Publishing writes new files first
and the timestamp last, so that a reader at any moment sees one consistent state.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.api.serialization.json import JSONSerializer

from ewallet.errors import ConfigError
from ewallet.moments import seconds
from ewallet.trust.distribution import write_durably
from ewallet.trust.shape import delegation_problems, path_problems, root_problems
from ewallet.trust.tuf_keys import ONLINE, TufSigner, tuf_key
from ewallet.trust.update import BEACON

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from pathlib import Path

    from ewallet.keys import PublicKey, Signer

PERIODS: Final[dict[str, timedelta]] = {
    "root": timedelta(days=365),
    "targets": timedelta(days=90),
    "snapshot": timedelta(days=7),
    "timestamp": timedelta(days=7),
    "brake": timedelta(days=7),
    "province": timedelta(days=30),
    "hot": timedelta(hours=36),
}
"""How long each role's signature lasts."""

SPEC: Final = "1.0.31"
_JSON: Final = JSONSerializer(compact=True)


def period(role: str) -> timedelta:
    """How long a role's signature lasts."""
    if role in PERIODS:
        return PERIODS[role]
    return PERIODS["hot" if role.endswith("-hot") else "province"]


def _problem(problem: str) -> ConfigError:
    return ConfigError(problem, file="repository")


class Repository:
    """All signed roles and files of one consortium, with what is staged.

    Attributes:
        roles: metadata by role name, the staged version where there is one.
        files: target files by path.
        staged: names of roles that changed since publishing and need signatures.
    """

    def __init__(self, roles: dict[str, Metadata[Any]], files: dict[str, bytes]) -> None:
        """Use `create` or `load`."""
        self.roles = roles
        self.files = files
        self.staged: set[str] = set()
        self._published: dict[str, Metadata[Any]] = {}

    # --- making and opening ---------------------------------------------------------------------------------

    @classmethod
    def create(
        cls,
        *,
        root_keys: Mapping[str, PublicKey],
        targets_keys: Mapping[str, PublicKey],
        snapshot_key: PublicKey,
        timestamp_key: PublicKey,
        now: datetime,
    ) -> Repository:
        """A new consortium of the provinces that `root_keys` names; thresholds are majorities.

        Args:
            root_keys: each province's root key.
            targets_keys: each province's key for the consortium's files.
            snapshot_key: online key.
            timestamp_key: online key.
            now: the time.
        """
        root = Root(version=1, spec_version=SPEC, expires=now + PERIODS["root"], consistent_snapshot=True)
        majority = len(root_keys) // 2 + 1
        for name, keys in (("root", root_keys), ("targets", targets_keys)):
            for province, key in keys.items():
                root.add_key(tuf_key(key, owner=province), name)
            root.roles[name].threshold = majority
        root.add_key(tuf_key(snapshot_key, owner=ONLINE), "snapshot")
        root.add_key(tuf_key(timestamp_key, owner=ONLINE), "timestamp")
        targets = Targets(version=1, spec_version=SPEC, expires=now + PERIODS["targets"])
        targets.delegations = Delegations({}, {})
        snapshot = Snapshot(version=1, spec_version=SPEC, expires=now + PERIODS["snapshot"])
        timestamp = Timestamp(version=1, spec_version=SPEC, expires=now + PERIODS["timestamp"])
        roles: dict[str, Metadata[Any]] = {
            "root": Metadata(root),
            "targets": Metadata(targets),
            "snapshot": Metadata(snapshot),
            "timestamp": Metadata(timestamp),
        }
        repository = cls(roles, {})
        repository.staged = {"root", "targets"}
        return repository

    @classmethod
    def load(cls, directory: Path) -> Repository:
        """The published repository in a directory, read for writing. Signatures are not checked here.

        Raises:
            ConfigError: files are missing or have another form.
        """
        metadata, targets = directory / "metadata", directory / "targets"
        try:
            newest = max(int(file.name.split(".")[0]) for file in metadata.glob("*.root.json"))
            roles: dict[str, Metadata[Any]] = {
                "root": Metadata.from_file(str(metadata / f"{newest}.root.json")),
                "timestamp": Metadata.from_file(str(metadata / "timestamp.json")),
            }
            meta = roles["timestamp"].signed.snapshot_meta
            roles["snapshot"] = Metadata.from_file(str(metadata / f"{meta.version}.snapshot.json"))
            for name, info in roles["snapshot"].signed.meta.items():
                roles[name.removesuffix(".json")] = Metadata.from_file(
                    str(metadata / f"{info.version}.{name}")
                )
            files = {}
            for role in roles.values():
                for path, info in getattr(role.signed, "targets", {}).items():
                    folder, _, name = path.rpartition("/")
                    files[path] = (targets / folder / f"{info.hashes['sha256']}.{name}").read_bytes()
        except (OSError, ValueError, KeyError, RepositoryError) as error:
            raise ConfigError("not a published repository", file=str(directory)) from error
        repository = cls(roles, files)
        repository._published = dict(roles)
        return repository

    # --- staging --------------------------------------------------------------------------------------------

    def signed(self, role: str) -> Any:
        """The signed part of a role, staged version first."""
        if role not in self.roles:
            raise _problem(f"no role {role}")
        return self.roles[role].signed

    def stage(self, role: str, now: datetime) -> Any:
        """Makes the next version of a role, without signatures; its signed part, to be changed."""
        present = self.roles[role]
        if role not in self.staged:
            copy = Metadata.from_bytes(present.to_bytes(_JSON))
            copy.signatures.clear()
            if role in self._published:
                copy.signed.version += 1
            self.roles[role] = present = copy
            self.staged.add(role)
        present.signatures.clear()
        present.signed.expires = now + period(role)
        return present.signed

    def delegate(
        self, role: str, keys: Sequence[PublicKey] | Mapping[str, PublicKey], *, threshold: int, now: datetime
    ) -> None:
        """Adds or replaces a delegated role and its keys; concerns the consortium's role.

        Args:
            role: `31`, `31-hot` or `brake`.
            keys: keys of the province that the role names; for the brake, one key for each province.
            threshold: signatures needed.
            now: the time.
        """
        targets = self.stage("targets", now)
        delegations: Delegations = targets.delegations
        if isinstance(keys, Mapping):
            owned = [tuf_key(key, owner=province) for province, key in keys.items()]
        else:
            owned = [tuf_key(key, owner=role[:2]) for key in keys]
        pattern = (
            "brake/*" if role == "brake" else f"{role}/hot.json" if role.endswith("-hot") else f"{role}/*"
        )
        assert delegations.roles is not None
        delegations.roles[role] = DelegatedRole(
            role, [key.keyid for key in owned], threshold, terminating=True, paths=[pattern]
        )
        for key in owned:
            delegations.keys[key.keyid] = key
        used = {keyid for item in delegations.roles.values() for keyid in item.keyids}
        for keyid in set(delegations.keys) - used:
            del delegations.keys[keyid]
        if role not in self.roles:
            self.roles[role] = Metadata(Targets(version=1, spec_version=SPEC, expires=now + period(role)))
            self.staged.add(role)

    def owner(self, path: str) -> str:
        """The role that signs a path.

        Raises:
            ConfigError: no role may sign it: it would be published and never believed.
        """
        if path.startswith("policy/"):
            return "targets"
        for name, role in (self.signed("targets").delegations.roles or {}).items():
            if role.is_delegated_path(path):
                return str(name)
        raise _problem(f"{path}: no delegation covers this path")

    def set_file(self, path: str, data: bytes, now: datetime) -> str:
        """Puts a file into its role and stages the role; the role's name."""
        role = self.owner(path)
        if self.files.get(path) == data and path in self.signed(role).targets:
            return role
        signed = self.stage(role, now)
        signed.targets[path] = TargetFile.from_data(path, data, ["sha256"])
        self.files[path] = data
        return role

    # --- signing --------------------------------------------------------------------------------------------

    def sign(self, role: str, signer: Signer, *, owner: str) -> None:
        """Adds one signature to a staged role.

        Raises:
            ConfigError: the key is not one of the role's (or, for a root, of the root before).
        """
        tuf_signer = TufSigner(signer, owner=owner)
        if tuf_signer.public_key.keyid not in self._keyids(role):
            raise _problem(f"{role}: this key is not one of the role's")
        self.roles[role].sign(tuf_signer, append=True)

    @property
    def published(self) -> bool:
        """Whether anything was published before."""
        return bool(self._published)

    def takes(self, role: str, key: PublicKey, *, owner: str) -> bool:
        """Whether a role accepts a signature by this key."""
        return tuf_key(key, owner=owner).keyid in self._keyids(role)

    def _keyids(self, role: str) -> set[str]:
        keyids = set(self.delegator(role).get_delegated_role(role).keyids)
        if role == "root" and "root" in self._published:
            keyids |= set(self._published["root"].signed.roles["root"].keyids)
        return keyids

    def delegator(self, role: str) -> Any:
        """The signed part that names the keys of a role."""
        return self.signed("root" if role in ("root", "targets", "snapshot", "timestamp") else "targets")

    def missing(self, role: str) -> int:
        """How many signatures a role still needs."""
        metadata = self.roles[role]
        verdict = self.delegator(role).get_verification_result(
            role, metadata.signed_bytes, metadata.signatures
        )
        needed = int(verdict.missing)
        if role == "root" and "root" in self._published and "root" in self.staged:
            before = self._published["root"].signed.get_verification_result(
                "root", metadata.signed_bytes, metadata.signatures
            )
            needed = max(needed, int(before.missing))
        return needed

    # --- publishing -----------------------------------------------------------------------------------------

    def problems(self) -> list[str]:
        """Everything that stands against publishing."""
        found = [*root_problems(self.signed("root")), *delegation_problems(self.signed("targets"))]
        delegated = self.signed("targets").delegations.roles or {}
        for name, role in delegated.items():
            found += path_problems(name, self.signed(name), role)
        for name in sorted(self.staged - {"snapshot", "timestamp"}):
            needed = self.missing(name)
            if needed:
                found.append(f"{name}: {needed} signature(s) missing")
        return found

    def publish(self, directory: Path, now: datetime, *, snapshot: Signer, timestamp: Signer) -> None:
        """Writes everything that changed, then the snapshot, then the timestamp with its signed time.

        Args:
            directory: where `metadata/` and `targets/` stand.
            now: the time; becomes the time beacon.
            snapshot: online key.
            timestamp: online key.

        Raises:
            ConfigError: something stands against it; nothing was written.
        """
        problems = self.problems()
        if problems:
            raise _problem("; ".join(problems))
        self._snapshot(now, snapshot)
        self._timestamp(now, timestamp)
        self._write(directory)
        self._published = dict(self.roles)
        self.staged.clear()

    def _snapshot(self, now: datetime, signer: Signer) -> None:
        meta = {}
        for name, role in self.roles.items():
            if name not in ("root", "snapshot", "timestamp"):
                data = role.to_bytes(_JSON)
                meta[f"{name}.json"] = MetaFile(
                    role.signed.version, len(data), {"sha256": sha256(data).hexdigest()}
                )
        present = self.signed("snapshot")
        ending = present.expires - now < PERIODS["snapshot"] / 2
        unchanged = present.meta == meta and not ending and "snapshot" in self._published
        if unchanged and not self.missing("snapshot"):
            return
        signed = self.stage("snapshot", now)
        signed.meta = meta
        self.sign("snapshot", signer, owner=ONLINE)

    def _timestamp(self, now: datetime, signer: Signer) -> None:
        data = self.roles["snapshot"].to_bytes(_JSON)
        signed = self.stage("timestamp", now)
        signed.snapshot_meta = MetaFile(
            self.signed("snapshot").version, len(data), {"sha256": sha256(data).hexdigest()}
        )
        signed.unrecognized_fields[BEACON] = seconds(now)
        self.sign("timestamp", signer, owner=ONLINE)

    def _write(self, directory: Path) -> None:
        for role in self.roles.values():
            for path, info in getattr(role.signed, "targets", {}).items():
                folder, _, name = path.rpartition("/")
                place = directory / "targets" / folder / f"{info.hashes['sha256']}.{name}"
                if not place.exists():
                    write_durably(place, self.files[path])
        for name, role in self.roles.items():
            if name != "timestamp":
                place = directory / "metadata" / f"{role.signed.version}.{name}.json"
                if name in self.staged or not place.exists():
                    write_durably(place, role.to_bytes(_JSON))
        write_durably(directory / "metadata" / "timestamp.json", self.roles["timestamp"].to_bytes(_JSON))

    def sign_all(self, signers: Iterable[tuple[str, str, Signer]]) -> None:
        """Adds every signature that staged roles can take: `(role, owner, signer)`."""
        for role, owner, signer in signers:
            if role in self.staged:
                self.sign(role, signer, owner=owner)
