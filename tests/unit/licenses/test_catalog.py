"""The catalog: every type is there, and a wrong file is refused with file, line and reason."""

import json
import re
import shutil
from datetime import date
from importlib import resources
from pathlib import Path

import jsonschema
import pytest

from ewallet.errors import ConfigError, NotFound, RecordError
from ewallet.licenses.catalog import Catalog, FieldType
from ewallet.licenses.numbers import PERSONAL
from ewallet.licenses.type_export import describe, json_schema, type_metadata
from tests.agency import CATALOG, record

BUILTIN = Path(str(resources.files("ewallet.licenses") / "catalog"))


def test_all_types_of_the_field_are_there():
    names = """
        营业执照 居民身份证 居住证 机动车驾驶证 机动车行驶证 食品经营许可证 公共场所卫生许可证 结婚证
        出生医学证明 社会保障卡 敬老卡 残疾人证 道路客运、货运从业资格证 道路运输经营许可证 道路运输证
        水路普通货物运输经营许可证 船舶营业运输证 内河船舶证书 行业综合许可证
    """
    assert {item.zh for item in CATALOG} >= set(names.split())


@pytest.mark.parametrize("item", list(CATALOG), ids=lambda item: item.key)
def test_every_type_keeps_the_rules_of_the_house(item):
    number = item.by_key[item.number]
    if number.rule in PERSONAL or number.sensitive:
        assert item.serial == "random"
    assert len(item.seal_fields) + 2 >= 4
    assert len(item.seal_fields) <= 6
    for spec in item.seal_fields:
        assert spec.mask or not spec.sensitive
    assert CATALOG[item.code] is item
    assert item.zh in describe(item)


@pytest.mark.parametrize("item", list(CATALOG), ids=lambda item: item.key)
def test_exports_describe_the_record(item):
    schema = json_schema(item)
    jsonschema.Draft202012Validator.check_schema(schema)
    good = record(item.key)
    jsonschema.validate(good, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**good, "surprise": "1"}, schema)
    missing = {key: value for key, value in good.items() if key != item.validity.issued}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(missing, schema)
    metadata = type_metadata(item, base="https://ewallet.example")
    assert metadata["vct"] == f"https://ewallet.example/vct/{item.code}/{item.version}"
    disclosed = [claim["path"][0] for claim in metadata["claims"] if claim["sd"] == "always"]
    assert len(disclosed) == item.digests
    assert json.loads(json.dumps(metadata)) == metadata


def _broken(tmp_path, old, new, name="disability-card"):
    text = (BUILTIN / f"{name}.toml").read_text(encoding="utf-8")
    assert old in text
    (tmp_path / f"{name}.toml").write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        Catalog.load(tmp_path)
    return caught.value


@pytest.mark.parametrize(
    ("old", "new", "line_of", "problem"),
    [
        ('serial = "random"', 'serial = "number"', "serial =", "person's number"),
        ('serial = "random"', 'serial = "none"', "serial =", "'number' or 'random'"),
        ('code = "310101360000100"', 'code = "31010136000010"', "code =", "type code"),
        ("version = 1", "version = 0", "version =", "1 to 999"),
        ("version = 1", 'version = "1"', "version =", "whole number"),
        ("version = 1", "version = 1\nsurprise = 2", "surprise =", "unknown key"),
        ('number = "card_number"', 'number = "nothing"', "number =", "no field"),
        ('four_eyes = ["revoke"', 'four_eyes = ["party"', "four_eyes =", "no event"),
        ('four_eyes = ["revoke"', 'four_eyes = ["bind"', "four_eyes =", "no event 'bind' that an officer"),
        ('four_eyes = ["revoke"', 'four_eyes = ["lapse"', "four_eyes =", "that an officer decides"),
        ('issued = "issued_on"', 'issued = "valid_until"', "issued =", "must have type"),
        ('issued = "issued_on"', 'issued = "name"', "issued =", "must have type"),
        ('kind = "111"', 'kind = "007"', "kind =", "holder code type"),
        ('codes = "sex"', 'codes = "sexes"', 'codes = "sexes"', "no list of codes"),
        ('rule = "disability_card"', 'rule = "card"', 'rule = "card"', "'rule' is one of"),
        ('key = "grade"', 'key = "iss"', 'key = "iss"', "every credential"),
        ('key = "guardian"', 'key = "category"', 'key = "category"', "twice"),
        ('key = "grade"', 'key = "Grade"', 'key = "Grade"', "lower-case"),
        ('mask = "name"', 'mask = "nose"', 'mask = "nose"', "'mask' is one of"),
        ("original = [85.6, 53.98]", "original = [85.6]", "original =", "width and height"),
        ('grade = "grade"', 'degree = "grade"', None, "no part"),
    ],
)
def test_a_wrong_file_is_refused_with_its_line(tmp_path, old, new, line_of, problem):
    error = _broken(tmp_path, old, new)
    assert problem in error.problem
    assert error.file.endswith("disability-card.toml")
    assert error.line is not None
    if line_of is not None:
        text = (tmp_path / "disability-card.toml").read_text(encoding="utf-8").splitlines()
        assert line_of in text[error.line - 1]


def test_not_toml_not_utf8_and_a_code_twice(tmp_path):
    assert _broken(tmp_path, "version = 1", "version 1").line == 6
    (tmp_path / "disability-card.toml").write_bytes("名".encode("gb18030"))
    with pytest.raises(ConfigError, match="UTF-8"):
        Catalog.load(tmp_path)
    (tmp_path / "disability-card.toml").unlink()
    shutil.copy(BUILTIN / "senior-card.toml", tmp_path / "other-card.toml")
    with pytest.raises(ConfigError, match=r"stands in"):
        Catalog.load(tmp_path)
    with pytest.raises(ConfigError, match="directory"):
        Catalog.load(tmp_path / "none")


def test_a_deployment_adds_its_own_types(tmp_path):
    text = (BUILTIN / "senior-card.toml").read_text(encoding="utf-8")
    (tmp_path / "library-card.toml").write_text(
        text.replace("310100324000200", "310100324000999").replace("敬老卡", "读者证"), encoding="utf-8"
    )
    own = Catalog.load(tmp_path)
    assert own["library-card"].zh == "读者证"
    assert len(own) == len(CATALOG) + 1
    assert own.get("nothing") is None
    with pytest.raises(NotFound):
        own["nothing"]


def test_terms_and_reviews():
    permit = CATALOG["public-place-hygiene-permit"]
    start, until, issued = permit.term({"issued_on": "2026-02-28", "valid_until": "2030-02-27"})
    assert (start, until, issued) == (date(2026, 2, 28), date(2030, 2, 27), date(2026, 2, 28))
    assert permit.reviews(start, until, date(2026, 3, 1)) == date(2028, 2, 28)
    assert permit.reviews(start, until, date(2028, 2, 28)) is None
    leap = CATALOG["residence-permit"]
    assert leap.reviews(date(2024, 2, 29), None, date(2024, 3, 1)) == date(2025, 3, 1)
    assert CATALOG["business-license"].reviews(start, None, start) is None
    for wrong in ("2030-03-01", "2026-02-27"):
        with pytest.raises(RecordError):
            permit.term({"issued_on": "2026-02-28", "valid_until": wrong})
    with pytest.raises(RecordError, match="has an end"):
        permit.term({"issued_on": "2026-02-28"})


def test_values_are_shown_and_masked():
    card = CATALOG["disability-card"].by_key
    assert card["category"].display("4") == "肢体"
    assert card["category"].display("4", "en") == "body"
    assert card["valid_until"].display("long-term") == "长期"
    assert card["valid_until"].display("2036-01-02") == "2036年1月2日"
    assert card["name"].masked("陈喆") == "陈*"
    assert card["card_number"].masked("31010119000101001142") == "310***********001142"
    assert {spec.type for item in CATALOG for spec in item.fields} == set(FieldType)


def test_patterns_are_regular_expressions_that_match_something():
    for item in CATALOG:
        good = record(item.key)
        for spec in item.fields:
            if spec.pattern and spec.key in good:
                assert re.fullmatch(spec.pattern, good[spec.key])
