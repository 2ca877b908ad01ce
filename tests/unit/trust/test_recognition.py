"""Recognition: rules between four provinces, the local view, and what is said in words."""

from __future__ import annotations

from itertools import permutations

import pytest

from ewallet.errors import Malformed
from ewallet.trust.mappings import builtin_rules
from ewallet.trust.recognition import Recognition, rule_from_json
from tests.province import DAY, FOUR, START, World

RULES = builtin_rules(start=START, until=START + 365 * DAY)
BY_ID = {rule["id"]: rule for rule in RULES}
TYPES = sorted({rule["id"][6:] for rule in RULES})


def view(rule_id, /, **fields):
    return Recognition(rule=rule_from_json(BY_ID[rule_id])).local_view(fields)


def test_thirteen_types_between_four_provinces():
    assert len(TYPES) == 13
    assert len(RULES) == len(BY_ID) == 13 * 12
    for rule in RULES:
        rule_from_json(rule)


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize(("source", "target"), list(permutations(FOUR, 2)))
def test_what_a_rule_maps_the_reverse_rule_maps_back(kind, source, target):
    there, back = (
        rule_from_json(BY_ID[f"{one}-{other}-{kind}"]) for one, other in ((source, target), (target, source))
    )
    returning = {item.source: item for item in back.field_map}
    for item in there.field_map:
        again = returning[item.target]
        assert again.target == item.source
        for word, local in item.codes.items():
            assert again.codes[local] == word


def test_field_names_and_codes_become_local():
    local = view("31-34-disability-card", name="测试甲", sex="2", category="4", grade="2", guardian="测试乙")
    assert local.fields == {
        "name": "测试甲",
        "sex": "F",
        "category": "肢体残疾",
        "grade": "II",
        "guardian": "测试乙",
    }
    assert (local.type.type, local.type.version) == ("340101360000100", "1")
    assert local.unmapped == ()


def test_what_has_no_local_meaning_is_listed_and_not_invented():
    local = view("31-32-disability-card", name="测试甲", sex="9", guardian="测试乙", hobby="棋")
    assert dict(local.fields) == {"czzt": "测试甲"}
    assert local.unmapped == ("guardian", "hobby", "sex")


@pytest.mark.parametrize(
    ("fields", "unmet"),
    [
        ({"license_state": "A"}, ()),
        ({"license_state": "D"}, ("license_state",)),
        ({}, ("license_state",)),
    ],
    ids=["normal", "withheld", "not shown"],
)
def test_a_condition_must_be_shown_to_hold(fields, unmet):
    assert view("31-33-driving-license", **fields).unmet == unmet


def test_conditions_are_put_in_the_words_of_the_source():
    assert view("33-31-driving-license", license_state="正常").unmet == ()


@pytest.fixture
def trust(tmp_path):
    world = World(tmp_path)
    world.consortium.set_rules(RULES, now=START)
    world.publish()
    return world.trust()


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, True),
        ({"scene": "event"}, False),
        ({"type_version": "2"}, False),
        ({"type": "310100000000000"}, False),
        ({"now": START + 365 * DAY}, False),
        ({"to_province": "31"}, False),
    ],
    ids=["the rule", "another scene", "another version", "another type", "after its end", "at home"],
)
def test_a_rule_is_found_for_exactly_what_it_says(trust, asked, found):
    question = {
        "from_province": "31",
        "to_province": "32",
        "type": BY_ID["31-32-social-security-card"]["from"]["type"],
        "type_version": "1",
        "scene": "hospital",
        "now": START,
        **asked,
    }
    if question["now"] != START:
        trust = type(trust)({**trust._image, "provinces": lengthened(trust)})
    assert (trust.recognize(**question) is not None) is found


def lengthened(trust):
    return {code: {**row, "until": 2**40} for code, row in trust._image["provinces"].items()}


@pytest.mark.parametrize(
    "change",
    [
        {"relation": "similar"},
        {"conditions": [{"field": "x", "in": ["1"]}]},
        {"to": {"province": "31", "type": "t", "version": "1"}},
        {"field_map": [{"from": "a", "to": "c"}, {"from": "b", "to": "c"}]},
        {"surprise": 1},
        {"valid": {"from": "today", "until": "tomorrow"}},
    ],
    ids=["relation", "conditions of an exact rule", "one province", "two into one", "a new key", "times"],
)
def test_a_rule_that_is_not_understood_is_no_rule(change):
    with pytest.raises(Malformed):
        rule_from_json({**BY_ID["31-32-business-license"], **change})
