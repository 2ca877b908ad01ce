"""Scenes: what may be asked, shown and kept at a kind of place, as data that wallet and verifier share.

One schema serves both the scenes of the trust lists (`policy/scenes.json`, signed by the consortium) and the
policy of one counter (`policy.json`): a policy names its scene, adds its venue, and may only be stricter.
Every key has its own direction of "stricter", stated once in `_FIELDS`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from ewallet.errors import ConfigError, Malformed
from ewallet.wire import decode_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

DATA: Final = Path(__file__).parent / "data"
"""Data files of this package."""

KINDS: Final = ("person", "enterprise", "international", "senior", "minor")
"""Kinds of passes."""

ASSURANCE: Final = ("low", "substantial", "high")
"""Levels of assurance, lowest first. Paper codes are always low."""

FORMS: Final = ("rotating", "paper", "display", "license")
"""What may be shown: rotating code, paper code, an enterprise's display code, a license presentation."""

SPENDS: Final = ("code", "day", "entry")
"""What an accepted code uses up: that code, the holder's day at this scene, the holder's entry."""

ATTRIBUTES: Final = (
    "masked_name",
    "age_over_14",
    "age_over_18",
    "age_over_60",
    "age_over_65",
    "resident",
    "district",
    "enterprise_name",
    "uscc",
    "portrait_digest",
)
"""Attributes that a pass can carry."""

ANY: Final = frozenset(("*",))
"""Whatever the lists allow. Written out: an empty set means nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """The rules of one kind of place, or of one counter after narrowing.

    Attributes:
        id: stable name, such as `metro`.
        names: display names, `zh` and `en`.
        kinds: kinds of passes that are accepted.
        min_assurance: least level of assurance.
        forms: what may be shown (`FORMS`).
        window_past: seconds that a rotating code may be old.
        window_future: seconds that a rotating code may lie ahead.
        min_gap: seconds between two accepted codes of one pass at one guard.
        spends: what an accepted code uses up (`SPENDS`).
        challenge: a signed question of the verifier is required.
        audience: `venue`: a code names this venue; `scene`: it may name the scene instead.
        attributes: attributes of a pass that may be asked for.
        demanded: attributes that must be disclosed.
        types: license type codes that may be asked for (`*`: all that the verifier's grant allows).
        provinces: provinces whose licenses are taken (`*`: all, subject to recognition rules).
        presence: a license is taken only from its holder, with key binding; False: content may do.
        trust_max_age: seconds since the lists' signed time; beyond 36 hours the result is flagged.
        status_max_age: seconds since a status list was signed.
        hot_required: without a fresh hot list the outcome is undecided.
        hot_max_age: seconds since a hot list was signed.
        guard: `memory`, `file` or `shared`: least kind of replay guard.
        retention_days: days that use records are kept.
        venue: URI of the place, on a narrowed policy; empty on a scene.
    """

    id: str
    names: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    kinds: frozenset[str] = frozenset(("person",))
    min_assurance: str = "substantial"
    forms: frozenset[str] = frozenset(("rotating",))
    window_past: int = 30
    window_future: int = 10
    min_gap: int = 40
    spends: str = "code"
    challenge: bool = False
    audience: str = "venue"
    attributes: frozenset[str] = frozenset()
    demanded: frozenset[str] = frozenset()
    types: frozenset[str] = frozenset()
    provinces: frozenset[str] = ANY
    presence: bool = True
    trust_max_age: int = 36 * 3600
    status_max_age: int = 24 * 3600
    hot_required: bool = False
    hot_max_age: int = 36 * 3600
    guard: str = "memory"
    retention_days: int = 30
    venue: str = ""

    def __post_init__(self) -> None:
        problem = _problem(self)
        if problem:
            raise ValueError(f"scene {self.id or '?'}: {problem}")

    def narrowed(self, policy: Mapping[str, Any], *, file: str = "policy.json") -> Scene:
        """This scene as one counter applies it.

        Args:
            policy: parsed `policy.json`: `scene`, `venue` and any key of a scene, each at most as wide.
            file: name for messages.

        Raises:
            ConfigError: unknown keys, another scene, a value of the wrong form, or one that is wider.
        """
        given = dict(policy)
        if given.pop("format", 1) != 1:
            raise ConfigError("unknown format of a policy", file=file)
        if given.pop("scene", None) != self.id:
            raise ConfigError(f"not a policy of the scene {self.id}", file=file)
        try:
            changes = {key: _value(key, value) for key, value in given.items()}
            narrow = replace(self, **changes)
        except (Malformed, ValueError) as error:
            raise ConfigError(str(error), file=file) from error
        for key in changes:
            if key not in ("venue", "names") and not _FIELDS[key].stricter(
                getattr(self, key), getattr(narrow, key)
            ):
                raise ConfigError(f"{key} is wider than the scene {self.id} allows", file=file)
        return narrow

    def to_json(self) -> dict[str, Any]:
        """The scene as JSON data, sets sorted."""
        return {
            item.name: _plain(getattr(self, item.name))
            for item in fields(self)
            if not (item.name == "venue" and not self.venue)
        }


@dataclass(frozen=True, slots=True)
class _Field:
    """Form of one key: JSON schema, conversion, and what is stricter."""

    schema: Mapping[str, Any]
    stricter: Callable[[Any, Any], bool]


def _subset(wide: frozenset[str], narrow: frozenset[str]) -> bool:
    return wide == ANY or narrow <= wide


def _not_more(wide: int, narrow: int) -> bool:
    return narrow <= wide


def _not_less(wide: int, narrow: int) -> bool:
    return narrow >= wide


def _superset(wide: frozenset[str], narrow: frozenset[str]) -> bool:
    return narrow >= wide


def _later(order: tuple[str, ...]) -> Callable[[str, str], bool]:
    return lambda wide, narrow: order.index(narrow) >= order.index(wide)


def _same_or_from(loose: str) -> Callable[[str, str], bool]:
    return lambda wide, narrow: wide in (narrow, loose)


def _set_of(*allowed: str) -> dict[str, Any]:
    items: dict[str, Any] = {"enum": list(allowed)} if allowed else {"type": "string", "minLength": 1}
    return {"type": "array", "items": items, "uniqueItems": True}


def _number(most: int) -> dict[str, Any]:
    return {"type": "integer", "minimum": 0, "maximum": most}


_DAYS_7: Final = 7 * 86400
_GUARDS: Final = ("memory", "file", "shared")

_FIELDS: Final[dict[str, _Field]] = {
    "kinds": _Field(_set_of(*KINDS), _subset),
    "min_assurance": _Field({"enum": list(ASSURANCE)}, _later(ASSURANCE)),
    "forms": _Field(_set_of(*FORMS), _subset),
    "window_past": _Field(_number(300), _not_more),
    "window_future": _Field(_number(60), _not_more),
    "min_gap": _Field(_number(86400), _not_less),
    # a day and an entry are different promises: neither is stricter than the other
    "spends": _Field({"enum": list(SPENDS)}, _same_or_from("code")),
    "challenge": _Field({"type": "boolean"}, _not_less),
    "audience": _Field({"enum": ["venue", "scene"]}, _same_or_from("scene")),
    "attributes": _Field(_set_of(*ATTRIBUTES), _subset),
    "demanded": _Field(_set_of(*ATTRIBUTES), _superset),
    "types": _Field(_set_of(), _subset),
    "provinces": _Field(_set_of(), _subset),
    "presence": _Field({"type": "boolean"}, _not_less),
    "trust_max_age": _Field(_number(_DAYS_7), _not_more),
    "status_max_age": _Field(_number(_DAYS_7), _not_more),
    "hot_required": _Field({"type": "boolean"}, _not_less),
    "hot_max_age": _Field(_number(_DAYS_7), _not_more),
    "guard": _Field({"enum": list(_GUARDS)}, _later(_GUARDS)),
    "retention_days": _Field(_number(3650), _not_more),
}
_NAMES: Final = {
    "type": "object",
    "properties": {"zh": {"type": "string"}, "en": {"type": "string"}},
    "additionalProperties": False,
}


def schema() -> dict[str, Any]:
    """JSON schema (draft 7) of a scene and of a policy.

    The keys are the same; a policy adds its scene, venue and province, and the face fields that it demands
    (which `ewallet.verify.policy` reads).
    """
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "scene, or policy of one counter",
        "type": "object",
        "properties": {
            "format": {"const": 1},
            "id": {"type": "string", "pattern": "^[a-z][a-z0-9-]*$"},
            "scene": {"type": "string", "pattern": "^[a-z][a-z0-9-]*$"},
            "venue": {"type": "string", "minLength": 1},
            "province": {"type": "string", "pattern": "^[1-9][0-9]$"},
            "fields": {"type": "object", "additionalProperties": _set_of()},
            "names": _NAMES,
            **{key: dict(spec.schema) for key, spec in _FIELDS.items()},
        },
        "oneOf": [{"required": ["id"]}, {"required": ["scene", "venue"]}],
        "additionalProperties": False,
    }


def _problem(scene: Scene) -> str:
    if not scene.id:
        return "no id"
    if not scene.kinds or not scene.forms:
        return "kinds and forms may not be empty: nothing would be accepted"
    if scene.min_gap < scene.window_past + scene.window_future and "rotating" in scene.forms:
        return "min_gap is shorter than the window: one code would pass twice"
    if not scene.demanded <= scene.attributes:
        return "demanded attributes must be among those that may be asked for"
    if scene.spends != "code" and scene.guard == "memory":
        return "entry and day scenes need a guard that outlives the process"
    for key, spec in _FIELDS.items():
        if not _fits(spec.schema, getattr(scene, key)):
            return f"{key} has a value that is not allowed"
    return ""


def _fits(spec: Mapping[str, Any], value: Any) -> bool:
    if "enum" in spec:
        return value in spec["enum"]
    if spec["type"] == "array":
        return isinstance(value, frozenset) and all(_item_fits(spec["items"], item) for item in value)
    if spec["type"] == "boolean":
        return isinstance(value, bool)
    return type(value) is int and spec["minimum"] <= value <= spec["maximum"]


def _item_fits(spec: Mapping[str, Any], item: Any) -> bool:
    if "enum" in spec:
        return item in spec["enum"]
    return isinstance(item, str) and bool(item)


def _value(key: str, value: Any) -> Any:
    if key == "names":
        if not isinstance(value, dict) or not all(isinstance(name, str) for name in value.values()):
            raise Malformed("names must be texts by language")
        return MappingProxyType(dict(value))
    if key in ("id", "venue"):
        if not isinstance(value, str) or not value:
            raise Malformed(f"{key} must be a text")
        return value
    spec = _FIELDS.get(key)
    if spec is None:
        raise Malformed(f"unknown key {key[:40]!r}")
    if spec.schema.get("type") == "array":
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise Malformed(f"{key} must be a list of texts")
        if len(set(value)) != len(value):
            raise Malformed(f"{key} repeats an entry")
        value = frozenset(value)
    if not _fits(spec.schema, value):
        raise Malformed(f"{key} has a value that is not allowed")
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, frozenset):
        return sorted(value)
    return dict(value) if isinstance(value, MappingProxyType | dict) else value


def scene_from_json(data: Mapping[str, Any]) -> Scene:
    """A scene from its JSON data.

    Raises:
        Malformed: an unknown key or a value of the wrong form: a rule that is not understood is not skipped.
    """
    try:
        return Scene(**{key: _value(key, value) for key, value in data.items() if key != "format"})
    except (ValueError, TypeError) as error:
        raise Malformed(f"not a scene: {error}") from error


def scenes_from_json(data: bytes | str) -> dict[str, Scene]:
    """The scenes of a `policy/scenes.json`.

    Raises:
        Malformed: not the form `{"format": 1, "scenes": [...]}`, or an id twice.
    """
    document = decode_json(data, limit=1 << 20)
    if not isinstance(document, dict) or set(document) != {"format", "scenes"} or document["format"] != 1:
        raise Malformed("not a file of scenes")
    entries = document["scenes"]
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise Malformed("not a list of scenes")
    scenes = [scene_from_json(entry) for entry in entries]
    found = {scene.id: scene for scene in scenes}
    if len(found) != len(scenes):
        raise Malformed("a scene twice")
    return found


def scenes_to_json(scenes: Mapping[str, Scene]) -> dict[str, Any]:
    """The content of `policy/scenes.json`."""
    return {"format": 1, "scenes": [scenes[key].to_json() for key in sorted(scenes)]}


@lru_cache(maxsize=1)
def builtin_scenes() -> Mapping[str, Scene]:
    """The scenes that the package ships, as a start for a deployment's own."""
    return MappingProxyType(scenes_from_json((DATA / "scenes.json").read_bytes()))


def policy_from_json(data: bytes | str, scenes: Mapping[str, Scene], *, file: str = "policy.json") -> Scene:
    """The narrowed scene of a counter's `policy.json`.

    Args:
        data: the file's content.
        scenes: scenes of the trust lists.
        file: name for messages.

    Raises:
        ConfigError: not JSON, an unknown scene, no venue, or wider than the scene.
    """
    try:
        policy = decode_json(data)
    except Malformed as error:
        raise ConfigError(error.detail, file=file) from error
    if not isinstance(policy, dict):
        raise ConfigError("a policy is a JSON object", file=file)
    scene = scenes.get(str(policy.get("scene")))
    if scene is None:
        raise ConfigError(f"the trust lists know no scene {str(policy.get('scene'))[:40]!r}", file=file)
    if not policy.get("venue"):
        raise ConfigError("a policy names its venue", file=file)
    return scene.narrowed(policy, file=file)
