"""Matters: what they need, what waives it, and the two stories end to end."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ewallet.errors import ConfigError, NotFound, RecordError
from ewallet.licenses.catalog import Catalog
from ewallet.licenses.lifecycle import Case
from ewallet.moments import instant
from ewallet.reasons import Outcome
from ewallet.verify.coverage import Finding, Why, accept, cover
from ewallet.verify.matters import LEVELS, Matters
from ewallet.verify.result import Check, Facts, Kind, LicenseFacts, Verification
from tests.town import BOSS, FATHER, MOTHER, NOW, RECORDS, Town, uscc_number

CATALOG = Catalog.builtin()
MATTERS = Matters.builtin(CATALOG)


def ids(entries):
    return [each.material.id for each in entries]


def verification(
    type_key, fields, *, kind=Kind.PRESENTATION, outcome=Outcome.ACCEPTED, identifier="", version=1
):
    """A verification as the verifier would answer it."""
    from ewallet.reasons import REASONS, Layer
    from ewallet.verify.result import StepResult

    facts = LicenseFacts(
        type=CATALOG[type_key].code,
        type_version="1",
        issuer="https://sh.ewallet.example/a/market",
        issuer_names={"zh": "示例", "en": "Example"},
        province="31",
        area="310115",
        identifier=identifier,
        version=version,
        fields=fields,
        issued_at=NOW,
    )
    step = Check(step=1, name="form", layer=Layer.GENUINE, result=StepResult.PASSED)
    reason = {
        Outcome.ACCEPTED: None,
        Outcome.REJECTED: REASONS["license.revoked"],
        Outcome.UNDECIDED: REASONS["status.stale"],
    }[outcome]
    return Verification(
        outcome=outcome,
        reason=reason,
        checks=(step,),
        kind=kind,
        facts=Facts(kind=kind, licenses=(facts,)),
        at=NOW,
    )


# --- the data that the package ships ------------------------------------------------------------------------


def test_there_are_at_least_eight_matters_and_two_joint_ones():
    assert len([each for each in MATTERS if not each.parts]) >= 8
    assert {each.id for each in MATTERS if each.parts} == {"newborn", "open-restaurant"}
    for each in MATTERS:
        assert each.names["zh"]
        assert each.names["en"]
        assert each.materials


def test_every_demand_for_paper_is_cited_and_of_a_rank_that_can_demand_it():
    demands = [need.physical for each in MATTERS for need in each.needs if need.physical]
    assert demands
    for physical in demands:
        assert physical.law
        assert physical.article
        assert physical.level in LEVELS
        assert physical.confirmed or physical.note["zh"]


def test_nobody_is_asked_for_what_the_city_itself_issued():
    for each in MATTERS:
        covered = cover(each, [], now=NOW)
        for asked in covered.needed:
            assert not asked.material.retrieved_from


def test_a_joint_matter_asks_for_what_is_shared_once():
    newborn = MATTERS["newborn"]
    wanted = [need.material.id for each in newborn.members for need in each.needs]
    assert wanted.count("birth-certificate") == len(newborn.members)
    assert ids_of(newborn).count("birth-certificate") == 1
    assert len(ids_of(newborn)) == len(set(ids_of(newborn))) < len(wanted)


def ids_of(matter):
    return [each.id for each in matter.materials]


def test_an_unknown_matter():
    with pytest.raises(NotFound):
        MATTERS["no-such-thing"]


def test_a_demand_ends_on_its_day():
    """Marriage: the booklet was asked for until the regulation was revised."""
    marriage = MATTERS["marriage-registration"]
    before = cover(marriage, [], now=datetime(2025, 5, 9, 4, tzinfo=UTC))
    since = cover(marriage, [], now=datetime(2025, 5, 10, 4, tzinfo=UTC))
    assert "household-register" in ids(before.on_paper)
    assert "household-register" in ids(since.waived)
    assert "applicant-id" in ids(since.on_paper)
    # the day is the day in Shanghai: at 16:30 UTC on the 9th it is the 10th there
    assert "household-register" in ids(
        cover(marriage, [], now=datetime(2025, 5, 9, 16, 30, tzinfo=UTC)).waived
    )


# --- a wrong file is refused with its line ------------------------------------------------------------------

GOOD = """format = 1
zh = "示例"
en = "Example"
authority_zh = "示例机关"
authority_en = "Example authority"
result_zh = "示例"
result_en = "Example"

[[material]]
id = "business-license"
"""

WRONG = [
    (GOOD.replace("format = 1", "format = 2"), 1, "unknown format"),
    (GOOD.replace('zh = "示例"\n', "", 1), 1, "'zh' is missing"),
    (GOOD + 'ids = "x"\n', 11, "unknown key 'ids'"),
    (GOOD.replace("business-license", "no-such"), 10, "no material 'no-such'"),
    (GOOD + '[material.physical]\nlaw = "某办法"\narticle = "第一条"\nlevel = "rule"\n', 14, "only a law"),
    (GOOD + '[material.physical]\nlevel = "law"\nfrom = 2020-01-01\n', 11, "'law' is missing"),
    (
        GOOD
        + '[material.physical]\nlaw = "某法"\narticle = "第一条"\nlevel = "law"\nfrom = 2020-01-01\n'
        + "until = 2019-01-01\nconfirmed = true\n",
        16,
        "'until' is not after",
    ),
    (GOOD + '[[form]]\nkey = "x"\nzh = "x"\nen = "x"\nfrom = ["business-license.nose"]\n', 15, "no material"),
    (GOOD + '[[form]]\nkey = "x"\nzh = "x"\nen = "x"\nfrom = ["name"]\n', 15, "material.field"),
    (GOOD + '[[review]]\nid = "x"\nzh = "x"\nen = "x"\nrule = "guess"\n', 15, "no rule 'guess'"),
    (GOOD + '[[review]]\nid = "x"\nzh = "x"\nen = "x"\nrule = "present"\n', 11, "needs 'left'"),
    (
        GOOD + '[[review]]\nid = "x"\nzh = "x"\nen = "x"\nrule = "person"\nyears = 3\n',
        11,
        "takes no 'years'",
    ),
    (GOOD + '\n[[material]]\nid = "business-license"\n', 13, "stands here twice"),
    (GOOD + '\n[[part]]\nmatter = "newborn"\n', 4, "unknown key 'authority_zh'"),
    ('format = 1\nzh = "x"\nen = "x"\n[[part]]\nmatter = "newborn"\n', 5, "no single matter"),
    ('format = 1\nzh = "x"\nen = "x"\n', 1, "has materials, or parts"),
    (
        'format = 1\nzh = "x"\nen = "x"\n[[part]]\nmatter = "shop-sign"\nafter = ["fire-safety-check"]\n',
        6,
        "does not stand before",
    ),
    ("format = \n", 1, "not TOML"),
]


@pytest.mark.parametrize(("text", "line", "problem"), WRONG)
def test_a_wrong_matter_is_refused_with_file_line_and_reason(tmp_path, text, line, problem):
    (tmp_path / "example.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        Matters.load(tmp_path, catalog=CATALOG)
    assert problem in caught.value.problem
    assert caught.value.file.endswith("example.toml")
    assert caught.value.line == line


MATERIAL = 'format = 1\n[[material]]\nid = "x"\nzh = "x"\nen = "x"\n'


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ('types = ["no-such"]\n', "no type 'no-such'"),
        ('types = ["resident-id"]\nfields = ["nose"]\n', "no field 'nose'"),
        ('types = ["resident-id"]\n', "an e-license covers by fields"),
        ('covers = "all"\n', "license or field"),
        ('same = { name = "y.name" }\n', "no material shows"),
        ('authority_zh = "x"\n', "'authority_en' is missing"),
        ('id2 = "x"\n', "unknown key"),
        ('[[material]]\nid = "x"\nzh = "x"\nen = "x"\n', "stands here twice"),
    ],
)
def test_a_wrong_material_is_refused(tmp_path, more, problem):
    (tmp_path / "materials.toml").write_text(MATERIAL + more)
    with pytest.raises(ConfigError, match=r"materials\.toml") as caught:
        Matters.load(tmp_path, catalog=CATALOG)
    assert problem in caught.value.problem


def test_a_deployment_adds_and_replaces(tmp_path):
    (tmp_path / "shop-sign.toml").write_text(GOOD)
    (tmp_path / "own.toml").write_text(GOOD)
    found = Matters.load(tmp_path, catalog=CATALOG)
    assert found["shop-sign"].names["en"] == "Example"
    assert found["own"].materials
    with pytest.raises(ConfigError):
        Matters.load(tmp_path / "missing", catalog=CATALOG)


# --- what covers and what does not --------------------------------------------------------------------------

BUSINESS = RECORDS["business-license"]
PERMIT = MATTERS["food-business-permit"]


@pytest.mark.parametrize("outcome", [Outcome.REJECTED, Outcome.UNDECIDED])
def test_what_was_not_accepted_covers_nothing_and_fills_nothing(outcome):
    found = cover(PERMIT, [verification("business-license", BUSINESS, outcome=outcome)], now=NOW)
    assert not found.covered
    assert not found.form
    assert {each.material.id: each.why for each in found.needed}["business-license"] is Why.NOT_ACCEPTED


@pytest.mark.parametrize("kind", [Kind.SEAL, Kind.CODE, Kind.PAPER, Kind.DISPLAY])
def test_a_seal_or_a_code_covers_nothing(kind):
    assert not cover(PERMIT, [verification("business-license", BUSINESS, kind=kind)], now=NOW).covered


def test_fields_that_were_not_disclosed_are_named():
    fewer = {key: value for key, value in BUSINESS.items() if key not in ("address", "uscc", "scope")}
    found = cover(PERMIT, [verification("business-license", fewer)], now=NOW)
    asked = {each.material.id: each for each in found.needed}
    assert asked["business-license"].why is Why.FIELDS_MISSING
    assert asked["business-license"].fields == ("address", "uscc")
    assert asked["business-scope"].fields == ("scope",)
    # whose ID it should be cannot be told: the license that would tell covers nothing
    other = cover(
        PERMIT,
        [verification("business-license", fewer), verification("resident-id", RECORDS["resident-id"])],
        now=NOW,
    )
    assert {each.material.id: each.why for each in other.needed}["legal-representative-id"] is Why.UNMATCHED


def test_another_persons_license_covers_nothing():
    shown = [verification("business-license", BUSINESS), verification("resident-id", RECORDS["father"])]
    found = cover(PERMIT, shown, now=NOW)
    assert {each.material.id: each.why for each in found.needed}[
        "legal-representative-id"
    ] is Why.OTHER_HOLDER


def test_two_licenses_that_differ_decide_nothing():
    other = {**BUSINESS, "uscc": uscc_number("91310115MA1K1TEXT")}
    found = cover(
        PERMIT, [verification("business-license", BUSINESS), verification("business-license", other)], now=NOW
    )
    assert {each.material.id: each.why for each in found.needed}["business-license"] is Why.SEVERAL
    twice = [verification("business-license", BUSINESS)] * 2
    assert "business-license" in ids(cover(PERMIT, twice, now=NOW).covered)


def test_forms_tell_their_sources_and_leave_a_difference_to_a_person():
    birth = {**RECORDS["birth-certificate"], "mother_name": "宋某"}
    found = cover(
        MATTERS["birth-registration"],
        [verification("birth-certificate", birth), verification("resident-id", RECORDS["mother"], version=3)],
        now=NOW,
    )
    form = {each.key: each for each in found.form}
    assert form["mother_id"].value == MOTHER
    assert form["mother_id"].source.field == "resident_id"
    assert form["mother_id"].source.version == 3
    assert form["mother_id"].source.at == NOW
    assert form["mother_name"].value == ""
    assert form["mother_name"].differing[0].material == "birth-certificate"
    assert {each.review.id: each.finding for each in found.reviews}["mother-name-agrees"] is Finding.NOT_MET


@pytest.mark.parametrize(
    ("born", "finding"),
    [
        ("1961-03-02", Finding.MET),
        ("1961-03-03", Finding.NOT_MET),
        ("unknown", Finding.PERSON),
        (None, Finding.PERSON),
    ],
)
def test_an_age_is_decided_over_a_verified_field(born, finding):
    fields = {**RECORDS["resident-id"]}
    if born is None:
        del fields["born_on"]
    else:
        fields["born_on"] = born
    found = cover(MATTERS["senior-card"], [verification("resident-id", fields)], now=NOW)
    [reviewed] = found.reviews
    assert reviewed.finding is finding
    assert bool(reviewed.sources) == (born is not None)


def test_a_term_that_has_ended_is_not_met():
    shown = [verification("business-license", {**BUSINESS, "valid_until": "2026-03-01"})]
    findings = {each.review.id: each.finding for each in cover(PERMIT, shown, now=NOW).reviews}
    assert findings["term-ahead"] is Finding.NOT_MET
    findings = {
        each.review.id: each.finding
        for each in cover(PERMIT, [verification("business-license", BUSINESS)], now=NOW).reviews
    }
    assert findings["term-ahead"] is Finding.MET
    assert findings["layout-fits"] is Finding.PERSON


# --- the window ---------------------------------------------------------------------------------------------


def test_nothing_is_accepted_while_something_is_missing_and_nothing_is_taken_that_nobody_asked_for():
    found = cover(PERMIT, [], now=NOW)
    with pytest.raises(RecordError, match="still needed"):
        accept(found, number="C-1", now=NOW)
    everything = [each.material.id for each in (*found.needed, *found.on_paper)]
    with pytest.raises(RecordError, match="nobody asks"):
        accept(found, number="C-1", received=[*everything, "household-register"], now=NOW)
    with pytest.raises(RecordError, match="waits for a person"):
        accept(found, number="C-1", received=everything, now=NOW)
    checked = [each.review.id for each in found.reviews]
    assert accept(found, number="C-1", received=everything, checked=checked, now=NOW).tasks


def test_what_is_not_met_is_not_accepted_whoever_checked_it():
    young = [verification("resident-id", RECORDS["resident-id"])]
    found = cover(MATTERS["senior-card"], young, now=NOW)
    with pytest.raises(RecordError, match="not met"):
        accept(found, number="C-1", checked=["sixty-five"], now=NOW)


# --- the stories --------------------------------------------------------------------------------------------


def test_a_newborn(town: Town):
    """Five matters at once: licenses from two phones, one booklet on paper, the hospital's record fetched."""
    birth = town.hold("birth-certificate")
    wedding = town.hold("marriage-certificate")
    held = [
        (birth, ["certificate_number", "child_name", "born_on", "mother_id", "mother_name", "father_id"]),
        (wedding, ["certificate_number", "resident_id_1", "resident_id_2"]),
        (town.hold("mother"), ["name", "resident_id"]),
        (town.hold("father"), ["name", "resident_id"]),
        (town.hold("social-security-card"), ["name", "resident_id", "card_number"]),
    ]
    counter = town.verifier()
    answers = [counter.verify(each.show(*fields), now=NOW) for each, fields in held]
    assert [each.outcome for each in answers] == [Outcome.ACCEPTED] * 5
    found = cover(MATTERS["newborn"], answers, now=NOW)
    assert set(ids(found.covered)) == {
        "birth-certificate",
        "marriage-certificate",
        "mother-id",
        "father-id",
        "mother-social-security-card",
    }
    assert ids(found.waived) == ["hospital-discharge-record"]
    assert ids(found.on_paper) == ["household-register"]
    assert found.on_paper[0].demands["birth-registration"].law == "中华人民共和国户口登记条例"
    assert ids(found.needed) == ["bank-account"]
    form = {each.key: each.value for each in found.form}
    assert form["child_name"] == "钱小例"
    assert form["mother_id"] == MOTHER
    assert form["father_name"] == "钱示例"
    case = accept(
        found,
        number="310115-2026-1",
        received=["household-register", "bank-account"],
        checked=["register-choice", "insured"],
        now=NOW,
    )
    assert len({task.authority["en"] for task in case.tasks}) == 4
    first = case.ready(())
    police = next(task for task in case.tasks if task.matters == ("birth-registration",))
    card = next(task for task in case.tasks if "newborn-social-security-card" in task.matters)
    assert police in first
    assert card not in first
    assert card in case.ready({police.id})
    assert police.form["father_name"] == "钱示例"
    assert "mother_card_number" not in police.form  # an authority gets its own form only
    everything = {task.id for task in case.tasks}
    assert case.hand_out(everything - {card.id}) is None
    handed = case.hand_out(everything)
    assert handed is not None
    assert set(handed.results) == {each.id for each in MATTERS["newborn"].members}


def test_opening_a_restaurant(town: Town):
    """Four authorities; the license and the ID are waived, the health certificates still come on paper."""
    company, person = town.hold("business-license"), town.hold("resident-id")
    counter = town.verifier()
    answers = [
        counter.verify(
            company.show("uscc", "name", "legal_representative", "address", "scope", "valid_until"), now=NOW
        ),
        counter.verify(person.show("name", "resident_id", json=False), now=NOW),
    ]
    found = cover(MATTERS["open-restaurant"], answers, now=NOW)
    assert ids(found.covered) == ["business-license", "business-scope", "legal-representative-id"]
    assert {each.material.id: each.why for each in found.covered}["business-scope"] is Why.FIELD
    assert ids(found.on_paper) == ["health-certificates"]
    assert set(ids(found.needed)) == {
        "premises-layout",
        "food-safety-rules",
        "fire-safety-statement",
        "premises-proof",
        "sign-design",
    }
    form = {each.key: each for each in found.form}
    assert form["legal_representative_id"].value == BOSS
    assert form["operator"].source.identifier == ""  # it was not disclosed, and not needed
    case = accept(
        found,
        number="310115-2026-2",
        received=[*ids(found.needed), "health-certificates"],
        checked=["scope-has-catering", "layout-fits", "exits"],
        now=NOW,
    )
    assert len(case.tasks) == 4
    assert case.hand_out({1, 2, 3, 4}) is not None


def test_a_license_that_ended_covers_nothing_any_more(town: Town):
    company = town.hold("business-license")
    office = town.offices["31/market"]
    office.issuer.revoke(
        company.issued.license,
        reason="example",
        case=Case(operator="officer-1", second_operator="officer-2"),
        now=NOW - timedelta(minutes=1),
    )
    answer = town.verifier().verify(company.show("uscc", "name"), now=NOW)
    assert answer.outcome is Outcome.REJECTED
    assert not cover(MATTERS["open-restaurant"], [answer], now=NOW).covered


# --- properties ---------------------------------------------------------------------------------------------

SHOWABLE = {
    "business-license": RECORDS["business-license"],
    "resident-id": RECORDS["mother"],
    "birth-certificate": RECORDS["birth-certificate"],
    "marriage-certificate": RECORDS["marriage-certificate"],
    "social-security-card": RECORDS["social-security-card"],
}


@st.composite
def shown(draw):
    key = draw(st.sampled_from(sorted(SHOWABLE)))
    fields = draw(st.sets(st.sampled_from(sorted(SHOWABLE[key]))))
    return verification(
        key,
        {name: SHOWABLE[key][name] for name in fields},
        outcome=draw(st.sampled_from(list(Outcome))),
        kind=draw(st.sampled_from([Kind.PRESENTATION, Kind.DOCUMENT, Kind.SEAL])),
    )


@given(
    st.sampled_from([each.id for each in MATTERS]),
    st.lists(shown(), max_size=6),
    st.integers(min_value=0, max_value=4_000_000_000).map(instant),
)
def test_every_material_stands_in_exactly_one_list_and_values_come_from_accepted_licenses(name, answers, now):
    found = cover(MATTERS[name], answers, now=now)
    everything = [*ids(found.waived), *ids(found.covered), *ids(found.needed), *ids(found.on_paper)]
    assert sorted(everything) == sorted(ids_of(MATTERS[name]))
    told = {
        value
        for each in answers
        if each.outcome is Outcome.ACCEPTED and each.kind is not Kind.SEAL
        for value in each.facts.licenses[0].fields.values()
    }
    assert {each.value for each in found.form if each.value} <= told
    for each in found.covered:
        assert each.source is not None
    # nothing that is accepted beside what was shown makes less covered, unless it contradicts
    none = cover(MATTERS[name], [], now=now)
    assert set(ids(none.waived)) <= {*ids(found.waived), *ids(found.covered)}
    assert set(ids(none.on_paper)) == set(ids(found.on_paper))


@given(st.dates(min_value=date(1900, 1, 1), max_value=date(2100, 1, 1)))
def test_a_demand_holds_from_its_first_day_to_the_day_before_its_end(day):
    physical = next(
        need.physical
        for need in MATTERS["marriage-registration"].needs
        if need.material.id == "household-register"
    )
    assert physical.holds(day) == (date(2003, 10, 1) <= day < date(2025, 5, 10))
    assert replace(physical, end=None).holds(day) == (day >= date(2003, 10, 1))


def test_fathers_and_mothers_cards_are_told_apart():
    shown_ = [
        verification("resident-id", RECORDS["father"], identifier="F"),
        verification("resident-id", RECORDS["mother"], identifier="M"),
        verification("birth-certificate", RECORDS["birth-certificate"]),
    ]
    found = cover(MATTERS["birth-registration"], shown_, now=NOW)
    sources = {each.material.id: each.source.identifier for each in found.covered if each.source}
    assert sources["mother-id"] == "M"
    assert sources["father-id"] == "F"
    assert {each.key: each.value for each in found.form}["father_name"] == RECORDS["father"]["name"]
    assert FATHER != MOTHER
