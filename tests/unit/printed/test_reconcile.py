import csv
import io
import json
import os
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update
from stdnum.cn import uscc

from ewallet.errors import ConfigError, RegisterError
from ewallet.licenses import reconcile as reconciling
from ewallet.licenses import tables
from ewallet.licenses.issuer import Order
from ewallet.licenses.lifecycle import Case, State
from ewallet.licenses.printed import CopyState, PrintOrder
from ewallet.licenses.reconcile import KINDS, Finding, Kind, Summary, reconcile, reconcile_export
from ewallet.licenses.reports import csv_lines, html_report, json_lines, text_summary

NOW = datetime(2026, 11, 23, 4, tzinfo=UTC)
COUNT = 60
BASE = {
    "company_type": "有限责任公司", "legal_representative": "王喆𬭎", "registered_capital": "1000万元",
    "established_on": "2019-03-08", "valid_until": "long-term", "address": "上海市浦东新区张江路1号",
    "scope": "食品销售。", "issued_on": "2026-11-23",
}  # fmt: skip


def number(place):
    body = f"91310115MA{place:07d}"
    return body + uscc.calc_check_digit(body)


@pytest.fixture
def url(tmp_path):
    return tmp_path / "register.db"


@pytest.fixture
def licenses(issuer):
    """Licenses with printed and handed out originals."""
    orders = [
        Order(
            record=BASE | {"uscc": number(n), "name": f"上海测试{n}公司"},
            printed=PrintOrder(stock=(f"SH-{n:04d}",)),
        )
        for n in range(COUNT)
    ]
    made = issuer.issue_many(orders, type="business-license", now=NOW)
    with issuer.register.writing() as connection:
        connection.execute(
            update(tables.copy).values(state=CopyState.HANDED_OUT.value, printed_at=int(NOW.timestamp()))
        )
    return [each.license for each in made]


def ran(url, **options):
    found = []
    summary = reconcile(url, now=NOW, findings=found.append, **options)
    return summary, {(each.number, each.kind, each.field) for each in found}


def compared(url, export, **options):
    found = []
    summary = reconcile_export(url, export, "business-license", now=NOW, findings=found.append, **options)
    return summary, {(each.number, each.kind, each.field) for each in found}


def change(register, table, license_, **values):
    with register.writing() as connection:
        wanted = select(tables.version.c.license_id).where(tables.version.c.identifier == license_.identifier)
        column = table.c.id if table is tables.license_ else table.c.license_id
        connection.execute(update(table).where(column == wanted.scalar_subquery()).values(**values))


def write(path, licenses, *, encoding="utf-8", changes=None, drop=(), extra=(), state="有效"):
    rows = []
    for license_ in licenses:
        if license_.number in drop:
            continue
        face = {"统一社会信用代码": license_.number, "名称": license_.fields["name"], "法定代表人": "王喆𬭎",
                "成立日期": "2019年3月8日", "注册资本": "人民币壹仟万元整", "证照状态": state}  # fmt: skip
        rows.append(face | (changes or {}).get(license_.number, {}))
    rows += extra
    with path.open("w", encoding=encoding, newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_a_clean_register_is_clean(url, licenses):
    summary, found = ran(url)
    assert found == set()
    assert (summary.checked, summary.findings, summary.clean) == (COUNT, 0, True)
    assert sum(day["licenses"] for day in summary.days.values()) == COUNT


def test_an_empty_register_is_not_called_clean(url, register):
    summary, _ = ran(url)
    assert register is not None
    assert (summary.checked, summary.clean) == (0, False)


def test_exactly_the_planted_faults_are_found(url, licenses, issuer):
    register, planted = issuer.register, set()

    def plant(license_, kind, where=""):
        planted.add((license_.number, kind, where))

    change(register, tables.copy, licenses[1], printed_at=int((NOW + timedelta(days=1)).timestamp()))
    plant(licenses[1], Kind.PRINTED_LATE, "SH-0001")
    with register.reading() as connection:
        foreign = connection.execute(
            select(tables.copy.c.seal).where(tables.copy.c.stock == "SH-0002")
        ).scalar_one()
    change(register, tables.copy, licenses[3], seal=foreign)
    plant(licenses[3], Kind.COPY_DIFFERS, "SH-0003")
    change(register, tables.copy, licenses[4], seal="EWSA")
    plant(licenses[4], Kind.COPY_DIFFERS, "SH-0004")
    change(register, tables.slot, licenses[5], value=1)
    plant(licenses[5], Kind.STATUS_ENTRY, "SH-0005")
    change(register, tables.license_, licenses[6], state=State.REVOKED.value)
    plant(licenses[6], Kind.COPY_IN_FORCE, "SH-0006")
    plant(licenses[6], Kind.STATUS_ENTRY, "SH-0006")
    change(register, tables.version, licenses[7], face=json.dumps({"name": "别的"}))
    plant(licenses[7], Kind.FACE_DIGEST)
    plant(licenses[7], Kind.COPY_DIFFERS, "SH-0007")
    issuer.amend(licenses[8], {"name": "新名"}, reason="x", now=NOW)  # the paper was not ordered anew
    plant(licenses[8], Kind.PAPER_MISSING)
    issuer.amend(licenses[9], {"name": "新名"}, reason="x", printed=PrintOrder(stock=("SH-9009",)), now=NOW)
    with register.writing() as connection:
        connection.execute(
            update(tables.copy).where(tables.copy.c.stock == "SH-0009").values(state="handed-out")
        )
    plant(licenses[9], Kind.COPY_OUTDATED, "SH-0009")

    summary, found = ran(url)
    assert found == planted
    assert summary.findings == len(planted)
    assert summary.kinds == Counter(kind.value for _, kind, _ in planted)
    assert ran(url, processes=2)[1] == planted


def test_a_sheet_not_printed_by_the_next_day_is_late(url, issuer):
    issuer.issue(
        BASE | {"uscc": number(1), "name": "甲"}, type="business-license", printed=PrintOrder(), now=NOW
    )
    assert ran(url)[1] == set()
    late = []
    reconcile(url, now=NOW + timedelta(days=1), findings=late.append)
    assert [each.kind for each in late] == [Kind.PRINTED_LATE]


def test_a_type_may_demand_paper(url, issuer):
    issuer.issue(BASE | {"uscc": number(1), "name": "甲"}, type="business-license", now=NOW)
    assert ran(url)[1] == set()
    assert ran(url, paper_types=["business-license"])[1] == {(number(1), Kind.PAPER_MISSING, "")}


def test_what_the_issuer_does_itself_leaves_nothing_to_find(url, licenses, issuer):
    officers = Case(number="c", operator="a", second_operator="b")
    issuer.revoke(licenses[0], reason="x", case=officers, now=NOW)
    issuer.suspend(licenses[1], reason="x", now=NOW)
    issuer.amend(licenses[2], {"name": "新名"}, reason="x", printed=PrintOrder(), now=NOW)
    original = issuer.register.copies(licenses[3].identifier)[0]
    issuer.reissue(licenses[3], original, reason="lost", now=NOW)
    assert ran(url)[1] == set()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_an_agreeing_list_is_clean_whatever_its_writing(url, licenses, tmp_path, encoding):
    summary, found = compared(url, write(tmp_path / "list.csv", licenses, encoding=encoding))
    assert found == set()
    assert (summary.checked, summary.rows, summary.clean) == (COUNT, COUNT, True)
    assert "经营范围" in summary.not_compared
    assert "名称" not in summary.not_compared


def test_exactly_the_planted_drift_is_found(url, licenses, issuer, tmp_path):
    issuer.suspend(licenses[2], reason="x", now=NOW)
    officers = Case(number="c", operator="a", second_operator="b")
    issuer.revoke(licenses[3], reason="x", case=officers, now=NOW)
    export = write(
        tmp_path / "list.csv",
        licenses,
        changes={
            licenses[5].number: {"法定代表人": "李四"},
            licenses[6].number: {"名称": "", "注册资本": "2000万元"},
            licenses[7].number: {"成立日期": "2019/03/08", "注册资本": "１０００万元"},
        },
        drop={licenses[3].number, licenses[4].number},
        extra=[
            {"统一社会信用代码": number(900), "名称": "别处"},
            {"统一社会信用代码": licenses[1].number, "名称": "重复"},
            {"统一社会信用代码": "", "名称": "没有编号"},
        ],
    )
    planted = {
        (licenses[2].number, Kind.STATUS_DIFFERS, ""),
        (licenses[4].number, Kind.MISSING_THERE, ""),
        (licenses[5].number, Kind.FIELD_DIFFERS, "legal_representative"),
        (licenses[6].number, Kind.FIELD_DIFFERS, "name"),
        (licenses[6].number, Kind.FIELD_DIFFERS, "registered_capital"),
        (number(900), Kind.MISSING_HERE, ""),
        (licenses[1].number, Kind.TWICE_THERE, ""),
        ("", Kind.ROW_UNREADABLE, ""),
    }
    assert compared(url, export)[1] == planted
    assert compared(url, export, processes=2)[1] == planted


def test_a_list_without_the_license_number_is_refused(url, register, tmp_path):
    path = tmp_path / "list.csv"
    path.write_text("名称\n甲\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="统一社会信用代码"):
        compared(url, path)
    assert register is not None


def test_progress_is_told(url, licenses):
    told = []
    ran(url, progress=lambda done, total: told.append((done, total)))
    assert told[-1][0] == told[-1][1]
    assert licenses


# --- Reports ------------------------------------------------------------------------------------------------

FINDING = Finding(
    kind=Kind.FIELD_DIFFERS,
    type_key="business-license",
    number="=1+1",
    area="310115",
    day="2026-11-23",
    field="name",
    row=7,
)


def summary_of(findings):
    summary = Summary(
        started_at=NOW, compared_with="<list>.csv", rows=9, not_compared=("经营范围",), took=1.5
    )
    summary.count(Counter({("business-license", "310115", "2026-11-23"): 9}), findings)
    return summary


def test_lines_for_programs():
    as_json, as_csv = io.StringIO(), io.StringIO()
    json_lines(as_json)(FINDING)
    csv_lines(as_csv)(FINDING)
    assert json.loads(as_json.getvalue())["kind"] == "field-differs"
    header, row = list(csv.reader(io.StringIO(as_csv.getvalue())))
    assert dict(zip(header, row, strict=True))["number"] == "'=1+1"  # no spreadsheet runs it


@pytest.mark.parametrize(("lang", "word"), [("zh", "字段内容不一致"), ("en", "A field differs")])
def test_the_page_is_self_contained_and_escapes_what_is_foreign(lang, word):
    page = html_report(summary_of([FINDING]), lang)
    assert "<list>" not in page
    assert "&lt;list&gt;.csv" in page
    assert "http" not in page
    assert "<script" not in page
    assert page.count("<svg") == 4
    assert word in page
    assert word in text_summary(summary_of([FINDING]), lang)


def test_a_clean_page_says_so():
    assert "未发现问题" in html_report(summary_of([]))
    assert "未发现问题" in text_summary(summary_of([]))
    assert "没有可核对" in text_summary(Summary(started_at=NOW, compared_with="register"))


def test_every_kind_has_its_sentence_in_both_languages():
    assert set(KINDS) == set(Kind)
    assert all(zh and en for zh, en in KINDS.values())


def _dies(_task):
    os._exit(1)


def test_a_process_that_dies_is_said_and_not_waited_for(url, licenses, monkeypatch):
    monkeypatch.setattr(reconciling, "_check_slice", _dies)
    with pytest.raises(RegisterError, match="ended before"):
        ran(url, processes=2)
    assert licenses
