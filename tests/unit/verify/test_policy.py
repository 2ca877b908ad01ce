"""A policy names its scene and may only be narrower."""

from __future__ import annotations

import json

import pytest

from ewallet.errors import ConfigError
from ewallet.trust.scenes import builtin_scenes
from ewallet.verify.policy import Policy

GOOD = {"format": 1, "scene": "library", "venue": "https://sh.ewallet.example/v/1", "province": "31"}


def read(**changes):
    return Policy.from_json(json.dumps({**GOOD, **changes}), builtin_scenes())


def test_a_policy_takes_the_scene_and_its_own_limits():
    policy = read(window_past=10, fields={"*": ["name"], "T": ["number"]})
    assert policy.scene.id == "library"
    assert policy.scene.window_past == 10
    assert policy.scene.venue == GOOD["venue"]
    assert policy.demanded_fields("T") == {"name", "number"}
    assert policy.demanded_fields("other") == {"name"}


@pytest.mark.parametrize(
    "changes",
    [
        {"scene": "moon"},
        {"venue": ""},
        {"province": "44"},
        {"province": None},
        {"window_past": 300},
        {"min_assurance": "none"},
        {"forms": ["rotating", "license"]},
        {"attributes": ["portrait_digest"]},
        {"unknown": 1},
        {"fields": ["name"]},
        {"fields": {"*": "name"}},
        {"forms": []},
    ],
    ids=str,
)
def test_what_is_wrong_or_wider_is_refused(changes):
    with pytest.raises(ConfigError):
        read(**changes)


@pytest.mark.parametrize("data", ["", "[]", '{"scene":1,"scene":1}', "{", "null"])
def test_what_is_no_policy_is_refused(data):
    with pytest.raises(ConfigError):
        Policy.from_json(data, builtin_scenes())


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"policy\.json"):
        Policy.load(tmp_path / "policy.json", builtin_scenes())


def test_content_takes_licenses_without_presence_and_nothing_else():
    scene = Policy.content(province="31").scene
    assert scene.forms == {"license"}
    assert not scene.presence
