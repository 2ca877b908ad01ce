"""Fetching the lists, checking them, and keeping the last good state.

`tuf.ngclient` checks signatures, thresholds, versions, hashes and ends, with the caller's `now` as reference
time. Around it stand the rules that are ours:

1. the time beacon: a signed time more than 24 hours ahead of `now` is `clock.unsure` and is not kept;
2. shares: no province holds more key ids in a role than its share, and no key has two ids;
3. paths: each role signs in its own flat directory only;
4. one version number, one content: anything else is `trust.equivocation`, and both files are kept;
5. a high-water mark kept elsewhere notices a state that was put back;
6. what was verified is kept in two slots, written to the disk before it counts, and loads without TUF.

A refusal leaves the last good state in place; it serves until it is stale.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import quote

from ewallet.errors import Malformed, TrustError
from ewallet.trust.sources import open_source
from ewallet.trust.trust import Trust
from ewallet.wire import decode_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from ewallet.trust.sources import Source

MAX_ROOT: Final = 512_000
MAX_TIMESTAMP: Final = 16_384
MAX_STATE: Final = 64 << 20
_SLOTS: Final = ("slot-a", "slot-b")


class Mark(Protocol):
    """A high-water mark kept where the state is not: another disk, a venue guard, a TPM counter."""

    def read(self) -> tuple[int, int] | None:
        """`(root version, timestamp version)` last written; None if never."""

    def write(self, mark: tuple[int, int]) -> None:
        """Keeps a newer mark."""


class FileMark:
    """A high-water mark in a file, best on another disk than the state."""

    def __init__(self, path: Path) -> None:
        """Takes the file's path."""
        self._path = path

    def read(self) -> tuple[int, int] | None:
        """See `Mark`. An unreadable mark is `trust.invalid`: it must not mean "none"."""
        try:
            root, timestamp = decode_json(self._path.read_bytes(), limit=200)
        except FileNotFoundError:
            return None
        except (Malformed, TypeError, ValueError) as error:
            raise TrustError("trust.invalid", "the high-water mark cannot be read") from error
        return int(root), int(timestamp)

    def write(self, mark: tuple[int, int]) -> None:
        """See `Mark`."""
        write_durably(self._path, json.dumps(mark).encode())


class TrustStore:
    """The lists as one verifier keeps them: a directory with two slots and the evidence of refusals."""

    def __init__(self, directory: Path, root: bytes | None, marks: tuple[Mark, ...]) -> None:
        """Use `open`."""
        self._directory = directory
        self._pinned = root
        self._marks = marks
        self._slot: str | None = None
        self._sequence = 0
        self._trust: Trust | None = None
        self._image_digest = ""
        self._timestamp_digest = ""

    @classmethod
    def open(
        cls,
        directory: Path | str,
        *,
        root: Path | bytes | None = None,
        marks: Iterable[Mark] = (),
    ) -> TrustStore:
        """Opens a state directory, made if it is not there, and loads its last good state.

        Args:
            directory: where the state is kept.
            root: first root of the repository, a file or its bytes: pins the anchor. Without it, the first
                root of the first source anchors the state, for good.
            marks: high-water marks kept elsewhere.

        Raises:
            TrustError: `trust.rollback`: a mark is newer than the state, which was put back;
                `trust.invalid`: the state is anchored to another root than the pinned one.
        """
        path = Path(directory)
        path.mkdir(parents=True, exist_ok=True)
        pinned = root.read_bytes() if isinstance(root, Path) else root
        store = cls(path, pinned, tuple(marks))
        store._load()
        return store

    # --- the kept state -------------------------------------------------------------------------------------

    def _load(self) -> None:
        heads = [(head, slot) for slot in _SLOTS if (head := self._head(slot)) is not None]
        for head, slot in sorted(heads, key=lambda item: item[0]["sequence"], reverse=True):
            if self._trust is not None and head["sequence"] == self._sequence:
                return  # nothing newer than what is loaded
            data = (self._directory / slot / "image.json").read_bytes()
            if sha256(data).hexdigest() == head.get("image"):
                break  # the newest slot that is whole; a damaged one is passed over
        else:
            return
        trust = Trust(json.loads(data))
        if self._pinned is not None and sha256(self._pinned).hexdigest() != trust.root:
            raise TrustError("trust.invalid", "the state is anchored to another root than the pinned one")
        self._sequence, self._slot = head["sequence"], slot
        self._image_digest, self._timestamp_digest = head["image"], head["timestamp"]
        self._require_not_put_back(trust)
        self._trust = trust

    def _head(self, slot: str) -> dict[str, Any] | None:
        """The head of a slot; None for one that was never finished."""
        try:
            head = decode_json((self._directory / slot / "slot.json").read_bytes(), limit=4096)
        except (OSError, Malformed):
            return None
        return head if isinstance(head, dict) and head.get("format") == 1 else None

    def _require_not_put_back(self, trust: Trust) -> None:
        for mark in self._marks:
            newest = mark.read()
            if newest is not None and newest > water_mark(trust):
                raise TrustError("trust.rollback", "the state is older than its high-water mark")

    @property
    def current(self) -> Trust:
        """The last good state.

        Raises:
            TrustError: `trust.invalid`: there is none.
        """
        if self._trust is None:
            raise TrustError("trust.invalid", "no trust lists were ever loaded")
        return self._trust

    @property
    def evidence(self) -> Path:
        """Directory of files that contradict each other, kept for a report."""
        return self._directory / "evidence"

    # --- refreshing -----------------------------------------------------------------------------------------

    def refresh(self, source: str | Path | Source, now: datetime) -> Trust:
        """Fetches, checks and keeps the lists of a source.

        Args:
            source: directory, bundle (directory or zip), URL, or a `Source`.
            now: the reference time.

        Returns:
            The new state, or the present one if nothing changed.

        Raises:
            TrustError: the lists were refused, and the present state stands: `trust.rollback` (older than
                what was seen), `trust.stale` (at their end, or the source cannot be reached),
                `trust.equivocation` (two contents of one version; kept as evidence), `clock.unsure` (signed
                more than 24 hours ahead), `trust.invalid` (anything else).
        """
        origin = open_source(source)
        if self._trust is not None and self._unchanged(origin):
            return self._trust
        with self._alone():
            self._load()  # another process may have been faster
            if self._trust is not None and self._unchanged(origin):
                return self._trust
            return self._update(origin, now)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """One process at a time writes the spare slot; readers need no lock."""
        with (self._directory / "lock").open("wb") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def _update(self, origin: Source, now: datetime) -> Trust:
        from ewallet.trust.update import Update  # noqa: PLC0415 -- TUF is loaded when something changed

        spare = self._directory / _SLOTS[self._slot == _SLOTS[0]]
        self._prepare(spare)
        anchor = self._anchor(origin)
        update = Update(
            spare, origin, anchor, now, before=self._directory / self._slot if self._slot else None
        )
        try:
            image = update.run()
        except TrustError:
            self._keep_evidence(update.evidence)
            raise
        return self._keep(spare, image)

    def load(self, source: str | Path | Source, now: datetime) -> tuple[Trust, TrustError | None]:
        """Refreshes if possible; the last good state and why it was not replaced, otherwise.

        Raises:
            TrustError: the source was refused and there is no last good state.
        """
        try:
            return self.refresh(source, now), None
        except TrustError as refusal:
            if self._trust is None:
                raise
            return self._trust, refusal

    def _unchanged(self, origin: Source) -> bool:
        """The same timestamp, byte for byte, and no newer root: nothing that is signed has changed."""
        newer_root = f"metadata/{self.current.versions['root'] + 1}.root.json"
        data = origin.read("metadata/timestamp.json", MAX_TIMESTAMP)
        return (
            data is not None
            and sha256(data).hexdigest() == self._timestamp_digest
            and origin.read(newer_root, MAX_ROOT) is None
        )

    def _anchor(self, origin: Source) -> bytes:
        if self._pinned is not None:
            return self._pinned
        if self._slot is not None:
            return (self._directory / self._slot / "anchor.json").read_bytes()
        return first_root(origin)

    def _prepare(self, spare: Path) -> None:
        """The spare slot as a copy of the present one, without a head: it does not count until it is kept."""
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(spare)
        if self._slot is None:
            (spare / "metadata").mkdir(parents=True)
            (spare / "targets").mkdir()
            return
        present = self._directory / self._slot
        shutil.copytree(present / "metadata", spare / "metadata", symlinks=True)
        (spare / "targets").mkdir()
        for file in (present / "targets").iterdir():
            copy = spare / "targets" / file.name
            try:
                copy.hardlink_to(file)  # replaced whole, never written into
            except OSError:  # a file system without links
                shutil.copy2(file, copy)

    def _keep(self, spare: Path, image: dict[str, Any]) -> Trust:
        trust = Trust(image)
        self._require_not_put_back(trust)
        data = json.dumps(image, ensure_ascii=False, separators=(",", ":")).encode()
        if len(data) > MAX_STATE:
            raise TrustError("trust.invalid", "the lists are larger than any genuine ones")
        timestamp = (spare / "metadata" / "timestamp.json").read_bytes()
        head: dict[str, Any] = {
            "format": 1,
            "sequence": self._sequence + 1,
            "image": sha256(data).hexdigest(),
            "timestamp": sha256(timestamp).hexdigest(),
        }
        write_durably(spare / "image.json", data)
        for file in (*(spare / "metadata").rglob("*.json"), spare / "anchor.json"):
            _sync(file)
        write_durably(spare / "slot.json", json.dumps(head).encode())
        self._slot, self._sequence, self._trust = spare.name, head["sequence"], trust
        self._image_digest, self._timestamp_digest = head["image"], head["timestamp"]
        for mark in self._marks:
            newest = mark.read()
            if newest is None or newest < water_mark(trust):
                mark.write(water_mark(trust))
        return trust

    def _keep_evidence(self, files: dict[str, bytes]) -> None:
        for name, data in files.items():
            place = self.evidence / f"{sha256(data).hexdigest()[:16]}.{quote(name, '')}"
            place.parent.mkdir(exist_ok=True)
            write_durably(place, data)


def water_mark(trust: Trust) -> tuple[int, int]:
    """What a high-water mark holds. The root comes first: new online keys may start their versions anew."""
    return trust.versions["root"], trust.versions["timestamp"]


def first_root(source: str | Path | Source) -> bytes:
    """The first root of a source: what anchors a state that nobody pinned.

    Raises:
        TrustError: `trust.invalid`: it has none.
    """
    data = open_source(source).read("metadata/1.root.json", MAX_ROOT)
    if data is None:
        raise TrustError("trust.invalid", "the source has no first root")
    return data


def thumbprint(root: bytes) -> str:
    """SHA-256 of a first root, hex: what an operator compares by telephone."""
    return sha256(root).hexdigest()


def write_durably(path: Path, data: bytes) -> None:
    """Replaces a file so that after a power cut it is the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    with fresh.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    fresh.replace(path)
    _sync(path.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
