"""An agency's export: encodings, dates as people write them, and rows that are reported and stop nothing."""

import base64
import json
from datetime import date
from hashlib import sha256
from pathlib import Path

import pytest

from ewallet.errors import ConfigError, RecordError
from ewallet.licenses.intake import (
    Reject,
    detect_encoding,
    iter_export,
    normalize,
    parse_day,
    read_export,
    read_image,
)
from tests.agency import CATALOG, record

AGENCY = Path(__file__).resolve().parents[3] / "examples" / "agency"
HEADER = "统一社会信用代码,企业名称,类型,法定代表人,成立日期,营业期限至,住所,经营范围,登记日期"
GOOD = "91310000MA1FL9A050,样例,公司,王喆,2019-03-05,长期,样例路1号,零售,2026-11-20"
JPEG = b"\xff\xd8\xff\xe0" + b"x" * 20 + b"\xff\xd9"


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2026-11-23", date(2026, 11, 23)),
        ("2026/11/23", date(2026, 11, 23)),
        ("2026.1.3", date(2026, 1, 3)),
        ("20261123", date(2026, 11, 23)),
        ("2026年11月23日", date(2026, 11, 23)),
        ("2026 年 1 月 3 日", date(2026, 1, 3)),
        ("二〇二六年十一月二十三日", date(2026, 11, 23)),
        ("二○二六年十月十日", date(2026, 10, 10)),
        ("贰零贰陆年壹拾月叁拾日", date(2026, 10, 30)),
        ("一九〇〇年二月廿八日", date(1900, 2, 28)),
        ("二零二六年〇七月卅日", date(2026, 7, 30)),
        ("２０２６－１１－２３", date(2026, 11, 23)),
        (" 2026-11-23 00:00:00 ", date(2026, 11, 23)),
        ("2026-11-23T08:15:30.5", date(2026, 11, 23)),
    ],
)
def test_days_as_people_write_them(text, day):
    assert parse_day(text) == day


@pytest.mark.parametrize(
    "text",
    [
        "",
        "昨天",
        "2026-13-01",
        "2026-02-29",
        "26-11-23",
        "11/23/2026",
        "2026-11",
        "45000",
        "二〇二六年十三月一日",
    ],
)
def test_what_is_no_day(text):
    with pytest.raises(RecordError):
        parse_day(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("长期", "long-term"),
        ("长期有效", "long-term"),
        ("永久", "long-term"),
        ("2031-11-19", "2031-11-19"),
        ("2024-03-12至2044-03-11", "2044-03-11"),
        ("2024年3月12日 至 长期", "long-term"),
        ("2024.03.12～2044.03.11", "2044-03-11"),
        ("", None),
    ],
)
def test_ends_as_people_write_them(text, value):
    assert normalize({"valid_until": text}, CATALOG["business-license"]).get("valid_until") == value


def test_a_term_that_runs_backwards():
    with pytest.raises(RecordError, match="before"):
        normalize({"valid_until": "2044-03-11至2024-03-12"}, CATALOG["business-license"])


def test_values_are_normalized_once():
    card = CATALOG["disability-card"]
    found = normalize(
        {
            "name": " 陈　喆\u200b ",
            "sex": "男",
            "ethnic_group": "汉族",
            "category": "肢体残疾",
            "grade": "二级",
            "resident_id": "'３１０１０１１９０００１０１００１x".replace("x", "1"),
            "card_number": '="31010119000101001142"',
        },
        card,
    )
    assert found == {
        "name": "陈 喆",
        "sex": "1",
        "ethnic_group": "01",
        "category": "4",
        "grade": "2",
        "resident_id": "310101190001010011",
        "card_number": "31010119000101001142",
    }
    assert normalize({"name": "𬭎﨑（喆）"}, card) == {"name": "𬭎﨑（喆）"}
    with pytest.raises(RecordError) as caught:
        normalize({"sex": "不详"}, card)
    assert caught.value.field == "sex"
    lines = normalize({"scope": " 零售。 \r\n\r\n 批发。\t"}, CATALOG["business-license"])
    assert lines == {"scope": "零售。\n批发。"}


def test_a_portrait_is_a_small_jpeg():
    images = {}
    given = {"portrait": base64.b64encode(JPEG).decode()}
    found = normalize(given, CATALOG["resident-id"], images)
    assert found == {"portrait": sha256(JPEG).hexdigest()}
    assert images == {"portrait": JPEG}
    assert read_image("data:image/jpeg;base64," + given["portrait"]) == JPEG
    for wrong in (b"\x89PNG", JPEG[:-1], b"\xff\xd8\xff" + b"x" * 20480 + b"\xff\xd9"):
        with pytest.raises(RecordError):
            read_image(base64.b64encode(wrong).decode())
    with pytest.raises(RecordError, match="base64"):
        read_image("no base64")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_every_encoding_of_an_export(tmp_path, encoding):
    path = tmp_path / "export.csv"
    path.write_bytes(f"{HEADER}\r\n{GOOD.replace('样例', '样例喆𬭎')}\r\n".encode(encoding))
    rows, rejects = read_export(path, "business-license", CATALOG)
    assert rejects == []
    assert rows[0].row == 2
    assert rows[0].record["name"] == "样例喆𬭎"
    assert rows[0].record["valid_until"] == "long-term"
    assert rows[0].other == {}
    assert detect_encoding(path) == ("gb18030" if encoding == "gb18030" else "utf-8-sig")


def test_a_bad_row_is_reported_and_stops_nothing(tmp_path):
    path = tmp_path / "export.csv"
    bad = [
        (GOOD.replace("A050", "A051"), "统一社会信用代码"),
        (GOOD.replace("2019-03-05", "2019-02-30"), "成立日期"),
        (GOOD.replace("样例路1号", ""), "住所"),
        (GOOD.replace("长期", "2018-01-01"), "营业期限至"),
        (GOOD + ",,,", ""),
        ("91310000MA1FL9A050", "企业名称"),
    ]
    path.write_text("\n".join([HEADER, GOOD, *(line for line, _ in bad), "", " , ", GOOD]), encoding="utf-8")
    rows, rejects = read_export(path, CATALOG["business-license"], CATALOG)
    assert [row.row for row in rows] == [2, 11]
    assert [(reject.row, reject.column) for reject in rejects] == [
        (3 + place, column) for place, (_, column) in enumerate(bad)
    ]
    assert not any("91310000" in reject.reason for reject in rejects)


def test_a_file_that_cannot_be_read_at_all(tmp_path):
    path = tmp_path / "export.csv"
    for content, problem in (
        (b"", "no header"),
        (b"\xff\xff\xff", "neither UTF-8 nor GB18030"),
        ("企业名称,类型".encode(), "no column for"),
        (f"{HEADER},名称".encode(), "two columns"),
    ):
        path.write_bytes(content)
        with pytest.raises(ConfigError, match=problem):
            read_export(path, "business-license", CATALOG)


def test_a_huge_cell_is_one_bad_row(tmp_path):
    path = tmp_path / "export.csv"
    path.write_text("\n".join([HEADER, GOOD.replace("零售", "零" * 200_000), GOOD]), encoding="utf-8")
    rows, rejects = read_export(path, "business-license", CATALOG)
    assert len(rejects) == 1
    assert [row.record["name"] for row in rows] == ["样例"]


def test_json_lines(tmp_path):
    path = tmp_path / "export.jsonl"
    good = record("business-license")
    labels = {"统一社会信用代码" if key == "uscc" else key: value for key, value in good.items()}
    path.write_text(
        "\n".join(
            [json.dumps(good), json.dumps(labels, ensure_ascii=False), "[1]", "{", "", '{"name": null}']
        ),
        encoding="utf-8",
    )
    rows, rejects = read_export(path, "business-license", CATALOG)
    assert [row.record for row in rows] == [good, good]
    assert [reject.row for reject in rejects] == [3, 4, 6]


def test_rows_are_shared_by_number(tmp_path):
    path = tmp_path / "export.csv"
    path.write_text("\n".join([HEADER, *[GOOD] * 10]), encoding="utf-8")
    found = [
        [
            item.row
            for item in iter_export(path, "business-license", CATALOG, wanted=lambda row, k=k: row % 2 == k)
        ]
        for k in range(2)
    ]
    assert found == [[2, 4, 6, 8, 10], [3, 5, 7, 9, 11]]


def test_the_example_exports():
    counts = {}
    for name, key in (
        ("business_licenses", "business-license"),
        ("food_permits", "food-business-permit"),
        ("disability_cards", "disability-card"),
    ):
        rows, rejects = read_export(AGENCY / f"{name}.csv", key, CATALOG)
        counts[name] = (len(rows), rejects)
    assert {name: found[0] for name, found in counts.items()} == {
        "business_licenses": 9,
        "food_permits": 8,
        "disability_cards": 9,
    }
    bad = [reject for found in counts.values() for reject in found[1]]
    assert [(item.row, item.column) for item in bad] == [(8, "统一社会信用代码")]
    assert isinstance(bad[0], Reject)
    assert detect_encoding(AGENCY / "food_permits.csv") == "gb18030"
    text = (AGENCY / "disability_cards.csv").read_text(encoding="utf-8")
    assert "喆" in text
    assert "𬭎" in text
