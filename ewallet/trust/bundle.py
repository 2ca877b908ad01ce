"""The gate bundle: one directory or zip with all that a gate needs to verify without a network.

```
repository/metadata/...   repository/targets/...   signed lists, scenes, hot lists, notices, brake
status/...                                         status lists by URI path
policy.json                                        what this counter accepts by default
```

It is what `--trust` takes everywhere. Nothing in it is believed because it lies there: lists are checked from
the first root on, status lists by their issuers' keys, and the policy can only narrow a signed scene.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ewallet.errors import ConfigError, TrustError
from ewallet.trust.distribution import first_root, thumbprint
from ewallet.trust.sources import DirectorySource, ZipSource

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_BUNDLE: Final = 1 << 30
"""Bytes that a bundle may unpack to: four provinces' status lists fit many times over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """An opened gate bundle.

    Attributes:
        directory: where it lies (unpacked).
        source: its repository, for `TrustStore.refresh`.
        status: directory of its status lists.
    """

    directory: Path
    source: DirectorySource
    status: Path

    @classmethod
    def open(cls, place: Path | str, *, unpack: Path | None = None) -> Bundle:
        """Opens a bundle.

        Args:
            place: the directory or zip file.
            unpack: directory into which a zip is unpacked; needed for a zip.

        Raises:
            TrustError: `trust.invalid`: not a bundle.
        """
        path = Path(place)
        if path.is_file():
            if unpack is None:
                raise TrustError("trust.invalid", "a zip bundle needs a place to be unpacked")
            _unpack(path, unpack)
            path = unpack
        if not (path / "repository" / "metadata").is_dir():
            raise TrustError("trust.invalid", "not a gate bundle: repository/metadata is missing")
        return cls(directory=path, source=DirectorySource(path), status=path / "status")

    @property
    def anchor(self) -> str:
        """Thumbprint of its first root, hex: what an operator compares with the published one."""
        return thumbprint(first_root(self.source))

    @property
    def policy_file(self) -> Path:
        """Its default policy."""
        return self.directory / "policy.json"

    def policy(self) -> bytes:
        """Content of its default policy.

        Raises:
            ConfigError: it has none: what is accepted is never guessed.
        """
        try:
            return self.policy_file.read_bytes()
        except FileNotFoundError as error:
            raise ConfigError("the bundle has no policy", file=str(self.policy_file)) from error

    def size(self) -> int:
        """Bytes of all its files."""
        return sum(file.stat().st_size for file in self.directory.rglob("*") if file.is_file())


def _unpack(file: Path, target: Path) -> None:
    ZipSource(file)  # refuses names that leave the bundle
    with zipfile.ZipFile(file) as archive:
        if sum(item.file_size for item in archive.infolist()) > MAX_BUNDLE:
            raise TrustError("trust.invalid", "the bundle is larger than any genuine one")
        archive.extractall(target)


def write_bundle(
    target: Path, *, repository: Path, policy: Mapping[str, Any] | None = None, status: Path | None = None
) -> Bundle:
    """Writes a bundle directory from a published repository.

    Only what the newest state needs is copied, besides all roots: old versions of other roles stay behind.

    Args:
        target: the new directory.
        repository: published repository; it may stand in the bundle already.
        policy: default policy.
        status: directory of status lists.
    """
    inner = target / "repository"
    if repository.resolve() != inner.resolve():
        _copy_needed(repository / "metadata", inner / "metadata")
        shutil.copytree(repository / "targets", inner / "targets", dirs_exist_ok=True)
    (target / "status").mkdir(parents=True, exist_ok=True)
    if status is not None:
        shutil.copytree(status, target / "status", dirs_exist_ok=True)
    if policy is not None:
        text = json.dumps(policy, ensure_ascii=False, indent=2, sort_keys=True)
        (target / "policy.json").write_text(text + "\n", encoding="utf-8")
    return Bundle.open(target)


def _copy_needed(metadata: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    timestamp = json.loads((metadata / "timestamp.json").read_bytes())
    version = timestamp["signed"]["meta"]["snapshot.json"]["version"]
    snapshot = f"{version}.snapshot.json"
    meta = json.loads((metadata / snapshot).read_bytes())["signed"]["meta"]
    needed = [f"{info['version']}.{name}" for name, info in meta.items()]
    roots = [file.name for file in metadata.glob("*.root.json")]
    for name in ("timestamp.json", snapshot, *needed, *roots):
        shutil.copy2(metadata / name, target / name)


def pack(bundle: Path, file: Path) -> int:
    """Packs a bundle directory into one zip; its size in bytes."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(bundle.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(bundle).as_posix())
    return file.stat().st_size
