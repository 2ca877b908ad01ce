"""What one counter accepts: a scene of the trust lists, narrowed; never wider."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ewallet.errors import ConfigError, Malformed
from ewallet.trust.scenes import ANY, Scene, policy_from_json
from ewallet.wire import decode_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PROVINCES: Final = frozenset(("31", "32", "33", "34"))
"""Shanghai, Jiangsu, Zhejiang, Anhui: first two digits of GB/T 2260 area codes."""

MAX_POLICY: Final = 64 * 1024
"""Bytes of a policy file: a hundredfold of a long one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What is accepted here.

    Attributes:
        scene: the rules of the place, after narrowing; its `venue` names this counter or gate.
        province: two digits of the province that the counter stands in: other provinces' licenses need a
            recognition rule to it.
        fields: face fields that a license must disclose here, by type code; `*` for every type.
    """

    scene: Scene
    province: str
    fields: Mapping[str, frozenset[str]]

    def __post_init__(self) -> None:
        if not self.scene.venue:
            raise ValueError("a policy names its venue")
        if self.province not in PROVINCES:
            raise ValueError("a policy names its province by two digits")

    @classmethod
    def of(cls, scene: Scene, *, province: str, fields: Mapping[str, frozenset[str]] | None = None) -> Policy:
        """The policy of a scene that has been narrowed with `Scene.narrowed`."""
        return cls(scene=scene, province=province, fields=fields or {})

    @classmethod
    def content(cls, *, province: str, venue: str = "urn:ewallet:content") -> Policy:
        """Checks content only, as an archive or a back office does: documents and seals, never a presence.

        A genuine, current document is accepted with the notice that presence was not checked.
        """
        scene = Scene(id="content", forms=frozenset(("license",)), types=ANY, presence=False, venue=venue)
        return cls(scene=scene, province=province, fields={})

    @classmethod
    def from_json(
        cls, data: bytes | str, scenes: Mapping[str, Scene], *, file: str = "policy.json"
    ) -> Policy:
        """Reads a `policy.json`: `province`, `fields`, and the keys of a narrowed scene.

        Args:
            data: content of the file.
            scenes: the scenes of the trust lists.
            file: its name, for messages.

        Raises:
            ConfigError: not of this form, an unknown scene, or wider than the scene allows.
        """
        import json  # noqa: PLC0415  (only to hand the rest of the object on)

        try:
            whole = decode_json(data, limit=MAX_POLICY)
        except Malformed as error:
            raise ConfigError(error.detail, file=file) from error
        if not isinstance(whole, dict):
            raise ConfigError("a policy is a JSON object", file=file)
        province = whole.pop("province", None)
        fields = whole.pop("fields", {})
        if province not in PROVINCES:
            raise ConfigError("a policy names its province: 31, 32, 33 or 34", file=file)
        if not isinstance(fields, dict) or not all(
            isinstance(keys, list) and all(isinstance(key, str) for key in keys) for keys in fields.values()
        ):
            raise ConfigError("fields: lists of field keys by type code", file=file)
        scene = policy_from_json(json.dumps(whole), scenes, file=file)
        return cls(
            scene=scene,
            province=province,
            fields={code: frozenset(keys) for code, keys in fields.items()},
        )

    @classmethod
    def load(cls, path: Path, scenes: Mapping[str, Scene]) -> Policy:
        """Reads a policy file.

        Raises:
            ConfigError: it cannot be read, or as `from_json`.
        """
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ConfigError(error.strerror or "cannot be read", file=str(path)) from error
        return cls.from_json(data, scenes, file=str(path))

    def demanded_fields(self, type_code: str) -> frozenset[str]:
        """Face fields that a license of a type must disclose here."""
        return self.fields.get(type_code, frozenset()) | self.fields.get("*", frozenset())
