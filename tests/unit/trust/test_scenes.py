"""Scenes: one schema for scene and policy; a policy is never wider."""

from __future__ import annotations

import json

import jsonschema
import pytest

from ewallet.errors import ConfigError, Malformed
from ewallet.trust.scenes import (
    Scene,
    builtin_scenes,
    policy_from_json,
    scenes_from_json,
    scenes_to_json,
    schema,
)

SCENES = builtin_scenes()
VENUE = "https://sh.ewallet.example/v/1"


def validate(data):
    jsonschema.Draft7Validator(schema()).validate(data)


@pytest.mark.parametrize("scene", SCENES.values(), ids=list(SCENES))
def test_built_in_scenes_fit_the_schema_and_read_back(scene):
    validate(scene.to_json())
    again = scenes_from_json(json.dumps(scenes_to_json(SCENES)))
    assert again[scene.id] == scene


def test_the_scenes_of_the_field_are_there():
    assert {"government-hall", "metro", "hospital", "school", "library", "hotel", "park"} <= set(SCENES)
    assert {"event", "credit", "community", "police-check", "enterprise-service"} <= set(SCENES)


def policy(scene, **parts):
    data = {"scene": scene, "venue": VENUE, **parts}
    validate(data)
    return policy_from_json(json.dumps(data), SCENES)


def test_a_policy_without_changes_is_its_scene_at_a_venue():
    narrow = policy("hotel")
    assert narrow.venue == VENUE
    assert narrow.challenge


STRICTER = [
    ("government-hall", {"forms": ["license"]}),
    ("government-hall", {"min_assurance": "high"}),
    ("metro", {"window_past": 20}),
    ("metro", {"min_gap": 60}),
    ("metro", {"spends": "entry"}),
    ("metro", {"challenge": True}),
    ("metro", {"audience": "venue"}),
    ("metro", {"guard": "shared"}),
    ("metro", {"trust_max_age": 3600}),
    ("metro", {"attributes": []}),
    ("metro", {"hot_required": True}),
    ("counter", {"types": ["310100717000200"], "provinces": ["31", "32"]}),
    ("counter", {"presence": True}),
    ("hotel", {"demanded": ["age_over_18"]}),
    ("hotel", {"retention_days": 7}),
]


@pytest.mark.parametrize(("scene", "change"), STRICTER, ids=str)
def test_a_policy_may_be_stricter(scene, change):
    narrow = policy(scene, **change)
    (key, value) = next(iter(change.items()))
    assert sorted(getattr(narrow, key)) == value if isinstance(value, list) else getattr(narrow, key) == value


WIDER = [
    ("metro", {"forms": ["rotating", "paper"]}),
    ("metro", {"kinds": ["person", "enterprise"]}),
    ("hotel", {"min_assurance": "low"}),
    ("metro", {"window_past": 31}),
    ("metro", {"window_future": 11}),
    ("metro", {"min_gap": 39}),
    ("event", {"spends": "day"}),
    ("event", {"spends": "code"}),
    ("hotel", {"challenge": False}),
    ("school", {"audience": "scene"}),
    ("hotel", {"guard": "file"}),
    ("school", {"trust_max_age": 604800}),
    ("school", {"attributes": ["masked_name", "district"]}),
    ("school", {"hot_required": False}),
    ("metro", {"types": ["*"]}),
    ("hotel", {"retention_days": 181}),
]


@pytest.mark.parametrize(("scene", "change"), WIDER, ids=str)
def test_a_policy_is_never_wider(scene, change):
    with pytest.raises(ConfigError):
        policy(scene, **change)


@pytest.mark.parametrize(
    "data",
    [
        "[]",
        '{"scene": "metro"}',
        '{"scene": "moon", "venue": "x"}',
        '{"scene": "metro", "venue": "x", "surprise": 1}',
        '{"scene": "metro", "venue": "x", "challenge": 1}',
        '{"scene": "metro", "venue": "x", "window_past": true}',
        '{"scene": "metro", "venue": "x", "kinds": "person"}',
        '{"scene": "metro", "venue": "x", "kinds": []}',
        '{"scene": "metro", "venue": "x", "kinds": ["person", "person"]}',
        '{"scene": "metro", "venue": "x", "format": 2}',
    ],
)
def test_other_policies_are_refused(data):
    with pytest.raises(ConfigError):
        policy_from_json(data, SCENES)


@pytest.mark.parametrize(
    "parts",
    [
        {"kinds": frozenset()},
        {"forms": frozenset()},
        {"min_gap": 1},
        {"demanded": frozenset(("masked_name",))},
        {"spends": "entry"},
        {"window_past": 1000},
        {"guard": "none"},
    ],
)
def test_scenes_that_contradict_themselves(parts):
    with pytest.raises(ValueError, match="scene x"):
        Scene(id="x", **parts)


def test_a_scene_with_a_rule_that_is_not_understood_is_not_read():
    data = scenes_to_json(SCENES)
    data["scenes"][0]["curfew"] = True
    with pytest.raises(Malformed):
        scenes_from_json(json.dumps(data))
