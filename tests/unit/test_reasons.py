"""The table of reasons holds what the code can produce, each with a vector or a test that produces it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from ewallet.reasons import REASONS
from ewallet.verify.result import NOTICES

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [path for path in (ROOT / "ewallet").rglob("*.py") if path.name != "reasons.py"]
TEXT = "\n".join(path.read_text(encoding="utf-8") for path in SOURCES)
TESTS = "\n".join(
    path.read_text(encoding="utf-8")
    for path in (ROOT / "tests").rglob("*")
    if path.suffix in {".py", ".json"} and path.name not in {"test_reasons.py", "test_result.py"}
)


@pytest.mark.parametrize("code", sorted(REASONS))
def test_each_reason_is_produced_and_shown_by_a_test_or_vector(code):
    assert f'"{code}"' in TEXT, "nothing produces it: take it out of the table"
    assert f'"{code}"' in TESTS, "no vector and no test produces it"


def test_no_other_reason_is_raised():
    raised = set(re.findall(r'(?:Refused|TrustError)\(\s*"([a-z_.]+)"', TEXT))
    raised |= set(re.findall(r'Malformed\([^()]*?,\s*"([a-z_.]+)"\)', TEXT))
    assert raised
    assert raised <= set(REASONS)


def test_no_other_notice_is_given():
    noted = set(re.findall(r'\.note\("([a-z_.]+)"', TEXT)) | set(
        re.findall(r'Notice\(code="([a-z_.]+)"', TEXT)
    )
    assert noted <= set(NOTICES)


def test_vectors_name_reasons_of_the_table():
    seen = 0
    for path in (ROOT / "tests" / "vectors").rglob("*.json"):
        for reason in re.findall(r'"reason":\s*"([^"]+)"', path.read_text(encoding="utf-8")):
            assert reason in REASONS or reason == "*", f"{path.name}: {reason}"
            seen += 1
        json.loads(path.read_text(encoding="utf-8"))
    assert seen > 50
