import json
from datetime import UTC, datetime, timedelta

import pytest

from ewallet.licenses.catalog import FieldType
from ewallet.licenses.dependants import review_notices, under_review
from ewallet.licenses.printed import PrintOrder

NOW = datetime(2026, 11, 23, 4, tzinfo=UTC)
LATER = NOW + timedelta(days=30)
VALUES = {
    FieldType.DATE: "2026-11-23",
    FieldType.END: "2031-11-22",
    FieldType.NUMBER: "JY13101010001000",
}


@pytest.fixture
def permit(issue, issuer, catalog):
    """A business license and the food permit that must fit it."""
    license_ = issue().license
    type_ = catalog["food-business-permit"]
    (match,) = type_.matches
    record = {here: license_.fields[there] for here, there in match.fields.items()}
    for spec in type_.fields:
        if spec.key not in record and spec.required:
            record[spec.key] = VALUES.get(spec.type, min(spec.codes) if spec.codes else "示例")
    issued = issuer.issue(record, type=type_, printed=PrintOrder(), now=NOW)
    return license_, issued.license


def test_a_changed_license_puts_its_permits_under_review(permit, issuer, register):
    license_, permit_ = permit
    assert list(under_review(register)) == []
    issuer.amend(license_, {"legal_representative": "李明"}, reason="change", now=LATER)
    (found,) = under_review(register)
    assert (found.identifier, found.fields) == (permit_.identifier, ("legal_representative",))
    assert list(under_review(register, authority="https://other.example/a")) == []
    notices = review_notices(register)
    places = {(copy.status.uri, copy.status.idx) for copy in register.copies(permit_.identifier)}
    places.add((permit_.document_status.uri, permit_.document_status.idx))
    assert {(each["uri"], each["idx"]) for each in notices} == places
    assert {each["kind"] for each in notices} == {"review"}
    assert "李明" not in json.dumps(notices, ensure_ascii=False)


def test_a_new_version_or_an_annotation_settles_it(permit, issuer, register):
    license_, permit_ = permit
    amended = issuer.amend(license_, {"legal_representative": "李明"}, reason="change", now=LATER)
    issuer.annotate(permit_, text="looked at", reason="review", now=LATER)
    assert list(under_review(register)) == []
    issuer.amend(amended.license, {"legal_representative": "张明"}, reason="change", now=LATER)
    assert len(list(under_review(register))) == 1
    issuer.amend(permit_, {"legal_representative": "张明"}, reason="follows", now=LATER)
    assert list(under_review(register)) == []
    assert review_notices(register) == []
