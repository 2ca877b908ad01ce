from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ewallet.formats.statuslist import StatusReference
from ewallet.licenses import normal
from ewallet.licenses.catalog import Catalog
from ewallet.licenses.differences import (
    EDITIONS,
    Edition,
    Result,
    compare,
    differences,
    of_claims,
    of_face,
    of_license,
    of_seal,
)
from ewallet.licenses.license import Holder, License, face_digest
from ewallet.licenses.seal import Role, Seal, critical_fields

TYPE = Catalog.builtin()["business-license"]
FACE = {
    "uscc": "91310115MA1K4ABC5X",
    "name": "上海喆祎（普通合伙）",
    "company_type": "有限责任公司",
    "legal_representative": "王喆𬭎",
    "registered_capital": "1000万元",
    "established_on": "2019-03-08",
    "valid_until": "long-term",
    "address": "上海市浦东新区张江路1234弄56号",
    "scope": "食品销售；餐饮服务。",
    "issued_on": "2026-11-23",
}
STEM = "1.2.156.3005.2.11100000MB0143028R001.11310115MB2F3069XM.91310115MA1K4ABC5X"


def license_(version=1, **face):
    values = FACE | face
    return License(
        type_code=TYPE.code,
        type_key=TYPE.key,
        type_version=1,
        identifier=f"{STEM}.{version:03d}.0",
        number=values["uscc"],
        version=version,
        replaces=None,
        authority="https://sh.ewallet.example/a/market",
        authority_name="上海市浦东新区市场监督管理局",
        area="310115",
        holders=(Holder(name=values["name"], code=values["uscc"], kind="001"),),
        face=tuple((key, value) for key, value in values.items() if value),
        valid_from=date(2019, 3, 8),
        valid_until=None,
        issued_on=date(2026, 11, 23),
        issued_at=1_795_400_000,
        salt=bytes(16),
        digest_name="sha256",
        face_digest=bytes(32),
        document_status=StatusReference(idx=1, uri="https://sh.ewallet.example/s/1"),
    )


def seal_of(record):
    return Seal(
        iss=record.authority,
        area=record.area,
        identifier=record.identifier,
        version=record.version,
        role=Role.ORIGINAL,
        number=1,
        of=1,
        stock="",
        salt=bytes(16),
        face_digest=face_digest(record.face, bytes(16)),
        fields=critical_fields(TYPE, record.fields),
        issued_at=1_795_400_000,
        expires=None,
        status=record.document_status,
    )


REGISTER = of_license(license_(), TYPE)


def as_printed(**changes):
    """The face as a person reads it from the paper."""
    typed = {spec.zh: spec.display(FACE[spec.key]) for spec in TYPE.face_fields}
    return {"证照标识": f"{STEM}.001.0", "版本": "第1版"} | typed | changes


def results(a, b):
    return {each.key: each.result for each in differences(a, b)}


def one(b, key):
    (found,) = (each for each in differences(REGISTER, b) if each.key == key)
    return found


def test_a_face_as_printed_agrees_with_the_register():
    compared = compare(REGISTER, of_face(as_printed(), TYPE))
    assert compared.clean
    assert compared.edition is Edition.SAME
    assert len(compared.fields) == len(TYPE.face_fields)


@pytest.mark.parametrize(
    ("label", "written", "rules"),
    [
        ("名称", "上海喆祎(普通合伙)", ("width",)),
        ("名称", "上海 喆祎（普通合伙）", ("width", "space")),
        ("名称", "上海喆祎〔普通合伙〕", ("width", "space", "brackets")),
        ("注册资本", "人民币壹仟万元整", ("numerals",)),
        ("注册资本", "10,000,000元", ("numerals",)),
        ("成立日期", "2019/3/8", ("date",)),
        ("成立日期", "二〇一九年三月八日", ("date",)),
        ("营业期限", "长期有效", ("date",)),
        ("统一社会信用代码", "91310115ma1k4abc5x", ("case",)),
    ],
)
def test_an_explicit_rule_makes_two_writings_one(label, written, rules):
    found = one(
        of_face(as_printed(**{label: written}), TYPE), next(s.key for s in TYPE.fields if s.zh == label)
    )
    assert found.result is Result.NORMALIZED
    assert set(found.rules) <= set(rules)
    assert found.rules


def test_exactly_the_altered_field_is_named():
    compared = compare(REGISTER, of_face(as_printed(法定代表人="李四"), TYPE))
    assert [each.key for each in compared.disagreeing] == ["legal_representative"]
    assert compared.edition is Edition.CONTENT_DIFFERS
    assert compared.disagreeing[0].sensitive


@pytest.mark.parametrize(
    ("value", "result"),
    [("", Result.MISSING), (None, Result.UNREADABLE), ("三一", Result.DIFFERENT)],
)
def test_nothing_empty_or_unreadable_is_skipped(value, result):
    assert one(of_face(as_printed(名称=value), TYPE), "name").result is result


def test_a_field_that_is_not_there_at_all_is_missing():
    typed = as_printed()
    del typed["经营范围"]
    assert one(of_face(typed, TYPE), "scope").result is Result.MISSING


def test_what_only_one_side_has_is_said():
    without = of_license(license_(registered_capital=""), TYPE)
    assert results(without, REGISTER)["registered_capital"] is Result.UNEXPECTED
    both = results(without, without)
    assert both["registered_capital"] is Result.EQUAL
    extra = differences(REGISTER, of_face(as_printed(备注="已抵押"), TYPE))[-1]
    assert (extra.key, extra.result, extra.b) == ("备注", Result.UNEXPECTED, "已抵押")


def test_a_credential_and_the_register_agree():
    claims = {**FACE, "identifier": f"{STEM}.001.0", "version": 1, "iss": "x"}
    assert compare(REGISTER, of_claims(claims, TYPE)).clean


def test_a_seal_agrees_through_mask_and_digest():
    compared = compare(REGISTER, of_seal(seal_of(license_()), TYPE))
    by_key = {each.key: each for each in compared.fields}
    assert compared.clean
    assert by_key["legal_representative"].rules == ("masked",)
    assert by_key["scope"].rules == ("digest",)
    assert by_key["scope"].result is Result.EQUAL


def test_a_seal_notices_a_change_in_a_field_that_it_does_not_carry():
    compared = compare(of_license(license_(scope="别的"), TYPE), of_seal(seal_of(license_()), TYPE))
    assert [(each.key, each.result) for each in compared.disagreeing] == [("face", Result.DIFFERENT)]


def test_a_genuine_seal_beside_an_altered_face_names_the_field():
    typed = of_face(as_printed(名称="上海别的公司"), TYPE)
    compared = compare(of_seal(seal_of(license_()), TYPE), typed)
    assert [each.key for each in compared.disagreeing] == ["name"]
    unaltered = compare(of_seal(seal_of(license_()), TYPE), of_face(as_printed(), TYPE))
    assert unaltered.clean


def test_a_typed_face_beyond_the_seal_is_left_to_the_credential():
    typed = of_face(as_printed(经营范围="食品销售;餐饮服务。"), TYPE)
    compared = compare(of_seal(seal_of(license_()), TYPE), typed)
    assert [(each.key, each.result) for each in compared.disagreeing] == [("face", Result.UNREADABLE)]
    assert not [each for each in differences(REGISTER, typed) if not each.result.agrees]


def test_a_long_value_agrees_with_its_cut_form():
    record = license_(address="上海市" + "张江路" * 20)
    compared = compare(of_license(record, TYPE), of_seal(seal_of(record), TYPE))
    assert compared.clean
    assert {each.key: each.rules for each in compared.fields}["address"] == ("cut",)


@pytest.mark.parametrize(
    ("paper", "phone", "current", "edition"),
    [
        (1, 1, None, Edition.SAME),
        (1, 1, 1, Edition.SAME),
        (1, 2, None, Edition.PAPER_OLDER),
        (2, 1, 2, Edition.PHONE_OLDER),
        (1, 1, 2, Edition.BOTH_OLD),
        (1, 2, 3, Edition.BOTH_OLD),
    ],
)
def test_older_and_newer_are_told_apart(paper, phone, current, edition):
    seal, record = of_seal(seal_of(license_(paper)), TYPE), of_license(license_(phone), TYPE)
    assert compare(seal, record, current=current).edition is edition
    assert compare(record, seal, current=current).edition is edition


def test_other_licenses_and_unnamed_editions_are_said():
    other = replace(REGISTER, identifier=REGISTER.identifier.replace("4ABC5X", "4ABD5X"))
    assert compare(REGISTER, other).edition is Edition.OTHER_LICENSE
    typed = as_printed()
    del typed["版本"], typed["证照标识"]
    unnamed = compare(REGISTER, of_face(typed, TYPE))
    assert unnamed.edition is Edition.UNKNOWN
    assert unnamed.clean


def test_every_edition_has_its_sentence_in_both_languages():
    assert set(EDITIONS) == set(Edition)
    assert all(zh and en for zh, en in EDITIONS.values())


def test_names_are_never_read_as_numbers():
    assert normal.needed_rules("三一重工", "31重工") is None
    assert normal.needed_rules("上海一二三路", "上海123路") is None


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("壹仟万", 10**7), ("三千五百", 3500), ("一亿二千万", 120_000_000), ("十", 10), ("一万亿", 10**12),
        ("1.5万", 15_000), ("12.34", "12.34"), ("壹亿零伍佰万", 105_000_000), ("三百零五", 305),
        ("1,000万", 10**7), ("万", None), ("", None), ("3千", None), ("1.2.3", None),
    ],
)  # fmt: skip
def test_numerals_count_as_people_write_them(written, value):
    assert normal.number(written) == value


@pytest.mark.parametrize("written", ["9" * 5000, "1" + "亿" * 5000, "一" * 5000, "1" + "亿" * 39])
def test_endless_amounts_cost_nothing(written):
    assert normal.needed_rules(written, "1") is None


@given(st.text(alphabet="0123456789一二十百千万亿元,.年月日（()Aa ", max_size=60), st.text(max_size=30))
def test_rules_are_symmetric_and_never_crash(a, b):
    assert (normal.needed_rules(a, b) is None) == (normal.needed_rules(b, a) is None)
    assert normal.needed_rules(a, a) == ()


def test_licenses_of_two_types_are_told_apart_and_not_compared():
    permit = of_face({"经营者名称": "甲"}, Catalog.builtin()["food-business-permit"])
    assert compare(REGISTER, permit).edition is Edition.OTHER_LICENSE
    with pytest.raises(ValueError, match="two types"):
        differences(REGISTER, permit)
