"""The commands print, compare, recall, reconcile and stock, as a clerk runs them."""

import json
from dataclasses import replace

import pytest
from click.testing import CliRunner

from ewallet.cli import cli
from ewallet.cli.exits import Exit
from ewallet.cli.verify_command import moment
from ewallet.errors import Conflict
from ewallet.formats import qr, typeset
from ewallet.keys import SigningKey
from ewallet.licenses import render as rendering
from ewallet.licenses.catalog import Catalog
from ewallet.licenses.deployment import Deployment
from ewallet.licenses.edition import verify_edition
from ewallet.licenses.printed import CopyState, PrintOrder
from ewallet.licenses.render import Content, Faces, render

NOW = "2026-11-23T04:00:00Z"
NEXT_DAY = "2026-11-24T04:00:00Z"
RECORD = {
    "uscc": "91310115MA0000001Y", "name": "上海喆祎信息科技有限公司", "company_type": "有限责任公司",
    "legal_representative": "王喆𬭎", "registered_capital": "1000万元", "established_on": "2019-03-08",
    "valid_until": "long-term", "address": "上海市浦东新区张江路1号", "scope": "食品销售。",
    "issued_on": "2026-11-23",
}  # fmt: skip
AUTHORITY = """\
register = "register.db"
licenses_key = "licenses.pem"
status_key = "status.pem"
password_file = "password"
[authority]
uri = "https://sh.ewallet.example/a/market"
name = "上海市浦东新区市场监督管理局"
name_en = "Pudong Market Supervision"
uscc = "11310115MB2F3069XM"
area = "310115"
status_base = "https://sh.ewallet.example/status/market"
base = "https://sh.ewallet.example"
"""


@pytest.fixture(scope="module")
def keys():
    return SigningKey.generate("ES256"), SigningKey.generate("ES256")


@pytest.fixture
def authority(tmp_path, keys):
    for name, key in zip(("licenses.pem", "status.pem"), keys, strict=True):
        key.save(tmp_path / name, "open sesame")
    (tmp_path / "password").write_text("open sesame\n")
    path = tmp_path / "authority.toml"
    path.write_text(AUTHORITY, encoding="utf-8")
    return path


@pytest.fixture
def office(authority):
    return Deployment.load(authority).open()


@pytest.fixture
def issued(office):
    order = PrintOrder(duplicates=1, stock=("SH-0001", "SH-0002"))
    return office.issue(RECORD, type="business-license", printed=order, now=moment(NOW))


def run(*arguments, now=NOW):
    given = [str(each) for each in arguments]
    timed = given[:1] != ["stock"] or given[1] in ("hand-out", "spoil")
    result = CliRunner().invoke(cli, [*given, *(["--now", now] if timed else [])], standalone_mode=False)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.return_value, result.output


@pytest.fixture
def printed(authority, issued, tmp_path):
    code, _ = run("print", issued.license.identifier, "--authority", authority, "--out", tmp_path / "pdf",
                  "--printer", "P1")  # fmt: skip
    assert code == Exit.ACCEPTED
    return sorted((tmp_path / "pdf").glob("*.pdf"))


def test_printing_draws_each_sheet_and_notes_it(printed, issued, office, authority):
    assert [path.name.rsplit("-", 1)[1] for path in printed] == ["duplicate1.pdf", "original1.pdf"]
    copies = office.register.copies(issued.license.identifier)
    assert {copy.state for copy in copies} == {CopyState.PRINTED}
    assert {copy.printer for copy in copies} == {"P1"}
    assert qr.read_pdf(printed[1]) == [issued.printed[0].seal]
    code, output = run("print", issued.license.identifier, "--authority", authority)
    assert code == Exit.REJECTED
    assert "no sheet" in output


def test_an_annotated_copy_is_drawn_beside_the_plain_one(printed, issued, authority, tmp_path):
    out = tmp_path / "annotated"
    says = ("--purpose", "办理食品经营许可", "--maker", "政务服务中心", "--until", "2026-12-23")
    code, _ = run("print", issued.license.identifier, "--authority", authority, "--out", out, *says)
    assert code == Exit.ACCEPTED
    assert len(list(out.glob("*-annotated.pdf"))) == len(printed)


def test_the_edition_statement_names_the_sheets(printed, issued, office, authority, tmp_path):
    path = tmp_path / "edition"
    assert run("print", issued.license.identifier, "--authority", authority, "--edition", path)[0] == 0
    edition = verify_edition(path.read_bytes(), office.signer.public_key, now=moment(NOW))
    assert [copy.stock for copy in edition.copies] == ["SH-0001", "SH-0002"]
    assert printed


def test_duplicates_are_ordered_with_paper_of_the_office(issued, authority, tmp_path):
    assert (
        run("stock", "hand-out", "SH-0001", "SH-0009", "--office", "Pudong", "--authority", authority)[0] == 0
    )
    assert run("stock", "spoil", "SH-0003", "--reason", "jam", "--authority", authority)[0] == 0
    wanted = ("--out", tmp_path / "pdf", "--duplicates", "1", "--office", "Pudong")
    code, output = run("print", issued.license.identifier, "--authority", authority, *wanted)
    assert code == Exit.ACCEPTED
    assert "SH-0004" in output
    code, output = run("stock", "account", "--authority", authority)
    assert "used 3  spoiled 1  left 5" in output
    assert run("stock", "spoil", "SH-0999", "--reason", "jam", "--authority", authority)[0] == Exit.REJECTED
    with pytest.raises(Conflict):
        run("stock", "hand-out", "SH-0005", "SH-0010", "--office", "Minhang", "--authority", authority)


def test_a_sheet_agrees_with_everything_made_from_the_same_record(printed, issued, authority, tmp_path):
    credential = tmp_path / "license.sdjwt"
    credential.write_text(issued.document)
    seal = tmp_path / "seal.png"
    seal.write_bytes(qr.qr_png(issued.printed[0].seal))
    for other in (
        credential,
        seal,
        issued.printed[1].seal,
        f"register:{issued.license.identifier}",
        printed[0],
    ):
        code, output = run("compare", printed[1], other, "--authority", authority, "--lang", "en")
        assert code == Exit.UNDECIDED, output  # all agrees, but no signature was checked
        assert "one edition" in output
        assert "photocopy" in output
        assert "not checked" in output


def test_a_typed_face_that_agrees_needs_no_signature(issued, authority, tmp_path):
    typed = {
        spec.zh: spec.display(RECORD[spec.key]) for spec in Catalog.builtin()["business-license"].face_fields
    }
    path = tmp_path / "face.json"
    path.write_text(json.dumps(typed, ensure_ascii=False), encoding="utf-8")
    register = f"register:{issued.license.identifier}"
    assert run("compare", register, path, "--authority", authority)[0] == Exit.ACCEPTED
    path.write_text(json.dumps(typed | {"名称": "别的"}, ensure_ascii=False), encoding="utf-8")
    code, output = run("compare", register, path, "--authority", authority, "--json")
    assert code == Exit.REJECTED
    answer = json.loads(output)
    assert [each["key"] for each in answer["fields"] if each["result"] == "different"] == ["name"]


def test_an_edited_page_is_named_and_drawn_afresh(printed, issued, office, tmp_path, monkeypatch):
    monkeypatch.setattr(rendering, "check_seal", lambda *_: None)
    content = Content.of(issued.license, office.catalog["business-license"])
    fields = tuple(
        replace(each, value="李四", shown="李四") if each.key == "legal_representative" else each
        for each in content.fields
    )
    forged = tmp_path / "forged.pdf"
    forged.write_bytes(render(replace(content, fields=fields), issued.printed[0], faces=Faces.builtin()))
    monkeypatch.undo()
    fresh = tmp_path / "fresh.pdf"
    code, output = run("compare", forged, "--fresh", fresh, "--lang", "en")
    assert code == Exit.REJECTED
    assert "≠ 法定代表人  (picture, text)" in output
    assert typeset.page_texts(fresh) == typeset.page_texts(printed[1])
    assert run("compare", printed[1])[0] == Exit.UNDECIDED


def test_a_seal_pasted_from_another_license_is_refused(issued, office, tmp_path, monkeypatch):
    other = office.issue(
        RECORD | {"uscc": "91310115MA00000022", "name": "别的公司"}, type="business-license",
        printed=PrintOrder(), now=moment(NOW),
    )  # fmt: skip
    monkeypatch.setattr(rendering, "check_seal", lambda *_: None)
    content = Content.of(issued.license, office.catalog["business-license"])
    pasted = tmp_path / "pasted.pdf"
    pasted.write_bytes(render(content, other.printed[0], faces=Faces.builtin()))
    code, output = run("compare", pasted, "--lang", "en")
    assert code == Exit.REJECTED
    assert "printed.differs" in output


def test_old_paper_is_listed_until_it_is_back(printed, issued, office, authority, tmp_path):
    assert printed
    assert run("recall", "--authority", authority)[0] == Exit.ACCEPTED
    office.amend(issued.license, {"name": "新名"}, reason="x", printed=PrintOrder(), now=moment(NOW))
    newest = f"register:{office.register.current(issued.license.identifier).identifier}"
    code, output = run("compare", printed[1], newest, "--authority", authority, "--lang", "en")
    assert code == Exit.REJECTED
    assert "older edition" in output
    code, output = run("recall", "--authority", authority)
    assert code == Exit.REJECTED
    assert "SH-0001" in output
    assert "v1 -> v2" in output
    code, output = run("recall", "--authority", authority, "--mark", "SH-0001=returned", "--csv")
    assert "SH-0001" not in output
    assert "SH-0002" in output
    assert run("recall", "--authority", authority, "--mark", "SH-0002=lost")[0] == Exit.ACCEPTED
    assert tmp_path


def test_reviews_are_listed_and_their_notices_written(authority, issued, tmp_path):
    notices = tmp_path / "notices.json"
    code, output = run("recall", "--authority", authority, "--reviews", "--notices", notices)
    assert (code, output) == (Exit.ACCEPTED, "")
    assert json.loads(notices.read_text()) == {"format": 1, "entries": []}
    assert issued


def test_reconciling_tells_by_its_exit_code_and_writes_reports(printed, authority, tmp_path):
    out = tmp_path / "report"
    code, output = run("reconcile", "--authority", authority, "--out", out, "--lang", "en")
    assert code == Exit.ACCEPTED, output
    assert printed
    assert (out / "findings.jsonl").read_text() == ""
    export = tmp_path / "list.csv"
    export.write_text(f"统一社会信用代码,名称\n{RECORD['uscc']},别的\n", encoding="gb18030")
    listed = ("--export", export, "--type", "business-license", "--out", out, "--lang", "zh")
    code, output = run("reconcile", "--authority", authority, *listed)
    assert code == Exit.REJECTED
    assert "字段内容不一致" in output
    assert json.loads((out / "findings.jsonl").read_text())["field"] == "name"
    assert "<svg" in (out / "report.html").read_text(encoding="utf-8")


def test_an_empty_register_is_undecided(tmp_path):
    assert run("reconcile", "--register", tmp_path / "empty.db")[0] == Exit.UNDECIDED
