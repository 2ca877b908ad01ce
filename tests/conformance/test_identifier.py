"""Published and made-up numbers of the identifier set."""

import json

import pytest

from ewallet.errors import Malformed, RecordError
from ewallet.licenses.numbers import identifier, resident_id, uscc


def test_license_identifiers(vectors_dir, vector_counts):
    data = json.loads((vectors_dir / "identifier" / "gbt36904.json").read_text())
    passed = 0
    for case in data["identifiers"]:
        text = case["identifier"]
        assert identifier.is_valid(text) is (case["expect"] == "accept"), text
        body = case["type_code"] + case["issuer_code"] + case["serial"] + case["version"]
        assert identifier.check_character(body) == case["computed_check"]
        if case["expect"] == "accept":
            parts = identifier.parse(text)
            assert parts.serial == case["serial"]
            assert parts.issuer == case["issuer_code"]
            assert identifier.unpack(identifier.pack(text)) == text
        else:
            with pytest.raises(RecordError):
                identifier.pack(text)
        passed += 1
    vector_counts("identifier/gbt36904 identifiers", passed=passed, total=len(data["identifiers"]))
    refused = sum(not identifier.is_valid(case["identifier"]) for case in data["mutations"])
    assert refused == len(data["mutations"])
    vector_counts("identifier/gbt36904 mutations", passed=refused, total=len(data["mutations"]))


def test_social_credit_codes(vectors_dir, vector_counts):
    data = json.loads((vectors_dir / "identifier" / "uscc.json").read_text())
    passed = 0
    for case in data["valid"]:
        assert uscc.validate(case["code"]) == case["code"]
        assert uscc.region(case["code"]) == case["region"]
        passed += 1
    for case in data["invalid"] + data["not_canonical"]:
        assert not uscc.is_valid(case["code"]), case["why"]
        passed += 1
    vector_counts("identifier/uscc", passed=passed, total=sum(len(data[k]) for k in data if k != "rule"))


def test_resident_numbers(vectors_dir, vector_counts):
    data = json.loads((vectors_dir / "identifier" / "resident_id.json").read_text())
    passed = 0
    for case in data["valid"]:
        assert resident_id.validate(case["number"]) == case["number"]
        passed += 1
    for case in data["form_only"]:
        assert resident_id.is_valid(case["number"]) is case["form_and_check_digit_valid"]
        passed += 1
    for case in data["invalid"]:
        assert not resident_id.is_valid(case["number"]), case["why"]
        passed += 1
    vector_counts("identifier/resident_id", passed=passed, total=passed)
    assert passed == len(data["valid"]) + len(data["form_only"]) + len(data["invalid"])


def test_packed_identifier_has_one_form():
    text = "1.2.156.3005.2.310101360000100.11310000MA1FL00012.X9.001."
    text += identifier.check_character("310101360000100" + "11310000MA1FL00012" + "X9001")
    packed = identifier.pack(text)
    assert identifier.unpack(packed) == text
    for wrong in (b"", packed + b"\0", packed[:-1], bytes((packed[0] ^ 0x40,)) + packed[1:], b"\0" * 40):
        with pytest.raises(Malformed):
            identifier.unpack(wrong)
