"""One refresh: `tuf.ngclient` over a spare slot, our rules around it, an image as the result.

The updater's reference time is set to the caller's `now` (an attribute of the pinned TUF version, tested).
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from tuf.api import exceptions
from tuf.api.metadata import Metadata, Root, Snapshot, Targets, Timestamp
from tuf.ngclient import Updater, UpdaterConfig

from ewallet.errors import TrustError
from ewallet.moments import seconds
from ewallet.trust import tuf_keys
from ewallet.trust.distribution import MAX_ROOT, MAX_TIMESTAMP, write_durably
from ewallet.trust.image import MAX_FILE, RoleFiles, VerifiedFiles, make_image
from ewallet.trust.shape import delegation_problems, path_problems, root_problems

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

    from ewallet.trust.sources import Source

BEACON: Final = "x-ewallet-signed-at"
"""Member of the timestamp that carries the signed time, seconds since 1970."""

AHEAD: Final = 24 * 3600
"""Seconds that a signed time may lie ahead of the caller's clock."""

_WANTED: Final = ("list.json", "recognition.json", "notices.json", "catalog.json", "hot.json", "brake.json")
_REGISTERED: Final = tuf_keys.KEY_TYPE  # importing the module makes our key types known to TUF


class Update:
    """One refresh of one store.

    Attributes:
        evidence: files that contradict each other, by name; filled before `trust.equivocation` is raised.
    """

    def __init__(
        self, slot: Path, source: Source, anchor: bytes, now: datetime, *, before: Path | None
    ) -> None:
        """Takes the spare slot (a copy of the present one), the source, the first root and the time."""
        self._slot = slot
        self._source = source
        self._anchor = anchor
        self._now = now
        self._before = before
        self.evidence: dict[str, bytes] = {}
        self._fetcher, self._base = source.fetcher()

    def run(self) -> dict[str, Any]:
        """The image of the new state.

        Raises:
            TrustError: the lists are refused.
        """
        write_durably(self._slot / "anchor.json", self._anchor)
        try:
            updater = Updater(
                str(self._slot / "metadata"),
                self._base + "metadata/",
                str(self._slot / "targets"),
                self._base + "targets/",
                fetcher=self._fetcher,
                config=UpdaterConfig(root_max_length=MAX_ROOT, timestamp_max_length=MAX_TIMESTAMP),
                bootstrap=self._anchor,
            )
            trusted = updater._trusted_set  # noqa: SLF001 -- the only way to set the time; version pinned
            trusted.reference_time = self._now
            updater.refresh()
            root, timestamp = trusted.root, trusted.timestamp
            self._require_shape((*root_problems(root), *delegation_problems(trusted.targets)))
            self._require_one_content(root, timestamp, trusted.snapshot)
            signed_at = self._beacon(timestamp)
            policy = {
                path: self._target(updater, path)
                for path in trusted.targets.targets
                if path.startswith("policy/")
            }
            roles = {name: self._role(updater, name) for name in _role_names(trusted.targets)}
        except exceptions.DownloadError as error:
            raise self._not_downloaded(error) from error
        except exceptions.RepositoryError as error:
            raise self._refused(error) from error
        except (ValueError, TypeError, KeyError) as error:  # metadata of a form that TUF did not expect
            raise TrustError("trust.invalid", "metadata has another form") from error
        ends = (root.expires, timestamp.expires, trusted.snapshot.expires, trusted.targets.expires)
        return make_image(
            VerifiedFiles(
                signed_at=signed_at,
                until=min(seconds(end) for end in ends),
                root=sha256(self._anchor).hexdigest(),
                versions={
                    "root": root.version,
                    "timestamp": timestamp.version,
                    "snapshot": trusted.snapshot.version,
                    "targets": trusted.targets.version,
                },
                policy=policy,
                roles=roles,
            )
        )

    # --- refusals -------------------------------------------------------------------------------------------

    def _refused(self, error: exceptions.RepositoryError) -> TrustError:
        about = str(getattr(self._fetcher, "last", "")).rpartition("/")[2]
        if isinstance(error, exceptions.ExpiredMetadataError):
            return TrustError("trust.stale", f"{about}: at its end")
        rolled_back = isinstance(error, exceptions.BadVersionNumberError)
        if rolled_back and not about.endswith("root.json"):
            return TrustError("trust.rollback", f"{about}: older than what was seen before")
        return TrustError("trust.invalid", f"{about}: {type(error).__name__}")

    def _not_downloaded(self, error: exceptions.DownloadError) -> TrustError:
        about = str(getattr(self._fetcher, "last", "")).rpartition("/")[2]
        if isinstance(error, exceptions.DownloadLengthMismatchError):
            return TrustError("trust.invalid", f"{about}: longer than any genuine file")
        if isinstance(error, exceptions.DownloadHTTPError) and error.status_code in (403, 404):
            return TrustError("trust.invalid", f"{about}: missing")
        return TrustError("trust.stale", f"{about}: the source cannot be reached")

    def _require_shape(self, problems: tuple[str, ...]) -> None:
        if problems:
            raise TrustError("trust.invalid", problems[0])

    def _beacon(self, timestamp: Timestamp) -> int:
        signed_at = timestamp.unrecognized_fields.get(BEACON)
        if type(signed_at) is not int:
            raise TrustError("trust.invalid", "the timestamp carries no signed time")
        if signed_at > seconds(self._now) + AHEAD:
            raise TrustError("clock.unsure", "signed more than 24 hours ahead of this clock")
        before = self._load_before("timestamp")
        if before is not None and before.version < timestamp.version:
            earlier = before.unrecognized_fields.get(BEACON)
            if type(earlier) is int and earlier > signed_at and not self._online_keys_changed():
                raise TrustError("trust.rollback", "the signed time goes back")
        return signed_at

    # --- one version, one content ---------------------------------------------------------------------------

    def _read_before(self, role: str) -> bytes | None:
        if self._before is None:
            return None
        place = self._before / "metadata" / f"{quote(role, '')}.json"
        return place.read_bytes() if place.is_file() else None

    def _load_before(self, role: str) -> Any:
        data = self._read_before(role)
        return None if data is None else Metadata.from_bytes(data).signed

    def _online_keys_changed(self) -> bool:
        before = self._load_before("root")
        after = Metadata[Root].from_bytes((self._slot / "metadata" / "root.json").read_bytes()).signed
        return bool(before.roles["timestamp"].keyids != after.roles["timestamp"].keyids)

    def _require_one_content(self, root: Root, timestamp: Timestamp, snapshot: Snapshot) -> None:
        self._compare_timestamp(root, timestamp)
        if self._online_keys_changed_since_before():
            return  # after new online keys, versions may start anew (fast-forward recovery)
        old_timestamp = self._load_before("timestamp")
        if old_timestamp is None:
            return
        old, new = old_timestamp.snapshot_meta, timestamp.snapshot_meta
        if old.version == new.version and old.hashes != new.hashes:
            self._contradiction("timestamp", "two snapshots of one version")
        old_snapshot = self._load_before("snapshot")
        for name, meta in snapshot.meta.items():
            before = old_snapshot.meta.get(name)
            if before is not None and before.version == meta.version and before.hashes != meta.hashes:
                self._contradiction("snapshot", f"two contents of one version of {name}")

    def _online_keys_changed_since_before(self) -> bool:
        return self._before is not None and self._online_keys_changed()

    def _compare_timestamp(self, root: Root, timestamp: Timestamp) -> None:
        """TUF drops a timestamp of the version that it has; another content under that version matters."""
        offered = self._source.read("metadata/timestamp.json", MAX_TIMESTAMP)
        kept = self._read_before("timestamp")
        if offered is None or kept is None or offered == kept:
            return
        other = Metadata[Timestamp].from_bytes(offered)
        mine = Metadata[Timestamp].from_bytes(kept)
        if other.signed.version != mine.signed.version or other.signed_bytes == mine.signed_bytes:
            return
        root.verify_delegate("timestamp", other.signed_bytes, other.signatures)
        if other.signed.version == timestamp.version:
            self._contradiction("timestamp", "two timestamps of one version", offered)

    def _contradiction(self, role: str, detail: str, offered: bytes | None = None) -> None:
        kept = self._read_before(role)
        if offered is None:
            offered = (self._slot / "metadata" / f"{role}.json").read_bytes()
        self.evidence = {f"kept.{role}.json": kept or b"", f"offered.{role}.json": offered}
        raise TrustError("trust.equivocation", detail)

    # --- files ----------------------------------------------------------------------------------------------

    def _target(self, updater: Updater, path: str) -> bytes:
        info = updater.get_targetinfo(path)
        if info is None or info.length > MAX_FILE:
            raise TrustError("trust.invalid", f"{path}: longer than any genuine file")
        place = updater.find_cached_target(info)
        if place is None:
            # The spare slot shares its files with the present one: never write into them.
            (self._slot / "targets" / quote(path, "")).unlink(missing_ok=True)
            place = updater.download_target(info)
        with open(place, "rb") as stream:  # noqa: PTH123 -- a path text, as TUF gives it
            return stream.read()

    def _role(self, updater: Updater, name: str) -> RoleFiles:
        """A delegated role, or why it gives nothing.

        What its own signers did wrong is its own fault; bytes that are not what the snapshot names came
        wrong over the way, and refuse the whole.
        """
        try:
            updater.get_targetinfo(f"{name}/hot.json" if name.endswith("-hot") else f"{name}/any.json")
        except exceptions.LengthOrHashMismatchError:
            raise
        except exceptions.ExpiredMetadataError:
            return RoleFiles(fault="trust.stale", detail="its signed list is at its end")
        except exceptions.RepositoryError as error:
            return RoleFiles(fault="trust.invalid", detail=type(error).__name__)
        trusted = updater._trusted_set  # noqa: SLF001 -- as in `run`
        delegated = trusted[name]
        assert isinstance(delegated, Targets)
        assert trusted.targets.delegations is not None
        assert trusted.targets.delegations.roles is not None
        role = trusted.targets.delegations.roles[name]
        problem = next(path_problems(name, delegated, role), None)
        if problem is None and any(info.length > MAX_FILE for info in delegated.targets.values()):
            problem = "a file that is longer than any genuine one"
        if problem is not None:
            return RoleFiles(version=delegated.version, fault="trust.invalid", detail=problem)
        return RoleFiles(
            version=delegated.version,
            until=seconds(delegated.expires),
            files={
                path: self._target(updater, path)
                for path in delegated.targets
                if path.rpartition("/")[2] in _WANTED
            },
        )


def _role_names(targets: Targets) -> Iterator[str]:
    assert targets.delegations is not None
    assert targets.delegations.roles is not None
    yield from targets.delegations.roles
