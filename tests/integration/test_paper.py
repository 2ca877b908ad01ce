"""Paper with other people's programs, and paper when the machine dies."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from sqlalchemy import func, select

from ewallet.formats import qr, typeset
from ewallet.keys import SigningKey
from ewallet.licenses import tables
from ewallet.licenses.catalog import Catalog
from ewallet.licenses.issuer import Authority, Issuer
from ewallet.licenses.printed import PrintOrder
from ewallet.licenses.reconcile import reconcile
from ewallet.licenses.register import Register
from ewallet.licenses.render import Annotation, Content, Faces, render

ROOT = Path(__file__).resolve().parents[2]
NOW = datetime(2026, 11, 23, 4, tzinfo=UTC)

ISSUING = """
import sys
from datetime import UTC, datetime
from stdnum.cn import uscc
from ewallet.keys import SigningKey
from ewallet.licenses.catalog import Catalog
from ewallet.licenses.issuer import Authority, Issuer
from ewallet.licenses.printed import PrintOrder
from ewallet.licenses.register import Register

now, start = datetime(2026, 11, 23, 4, tzinfo=UTC), int(sys.argv[2])
issuer = Issuer(
    signer=SigningKey.generate("ES256"), status_signer=SigningKey.generate("ES256"),
    catalog=Catalog.builtin(), register=Register.open(sys.argv[1]),
    authority=Authority(
        uri="https://sh.ewallet.example/a/market", name="上海市浦东新区市场监督管理局", name_en="Market",
        uscc="11310115MB2F3069XM", area="310115",
        status_base="https://sh.ewallet.example/status/market", base="https://sh.ewallet.example",
    ),
)
for place in range(start, start + 1000):
    body = f"91310115MA{place:07d}"
    number = body + uscc.calc_check_digit(body)
    issued = issuer.issue(
        {"uscc": number, "name": f"上海测试{place}公司", "company_type": "有限责任公司",
         "legal_representative": "王喆", "registered_capital": "1000万元", "established_on": "2019-03-08",
         "valid_until": "long-term", "address": "张江路1号", "scope": "食品销售。",
         "issued_on": "2026-11-23"},
        type="business-license", now=now,
        printed=PrintOrder(duplicates=1, stock=(f"SH-{place:06d}A0", f"SH-{place:06d}B0")),
    )
    print(number, flush=True)
    if place % 3 == 0:
        issuer.amend(issued.license, {"name": "新名"}, reason="x",
                     printed=PrintOrder(stock=(f"SH-{place:06d}C0",)), now=now)
"""


def test_kill_9_never_leaves_a_license_without_its_paper_or_the_other_way_round(tmp_path):
    url = tmp_path / "register.db"
    Register.open(url).close()
    written = 0
    for turn, patience in enumerate((0.02, 0.11, 0.23, 0.37)):
        child = subprocess.Popen(
            [sys.executable, "-c", ISSUING, str(url), str(turn * 1000)], stdout=subprocess.PIPE, cwd=ROOT
        )
        assert child.stdout is not None
        first = child.stdout.readline()  # it is at work now
        assert first
        time.sleep(patience)
        os.kill(child.pid, signal.SIGKILL)
        written += 1 + child.stdout.read().count(b"\n")
        child.stdout.close()
        assert child.wait() == -signal.SIGKILL
    with Register.open(url) as register, register.reading() as connection:
        licenses = connection.execute(select(func.count()).select_from(tables.license_)).scalar_one()
        assert (
            licenses >= written - 4
        )  # an answer may be lost with the process, never a license after its answer
        versions = connection.execute(select(tables.version.c.license_id, tables.version.c.version)).all()
        for license_id, version in versions:
            copies = connection.execute(
                select(func.count())
                .select_from(tables.copy)
                .where(tables.copy.c.license_id == license_id, tables.copy.c.version == version)
            ).scalar_one()
            assert copies == (2 if version == 1 else 1)
        events = connection.execute(select(tables.event.c.id).order_by(tables.event.c.id)).scalars().all()
        assert events == list(range(1, len(versions) + 1))
    found = []
    assert reconcile(url, now=NOW, findings=found.append).checked == licenses
    assert found == []


# --- Other people's programs --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sheets(tmp_path_factory):
    """One sheet of each variant, drawn from a license that was issued."""
    place = tmp_path_factory.mktemp("sheets")
    issuer = Issuer(
        signer=SigningKey.generate("ES256"),
        status_signer=SigningKey.generate("ES256"),
        catalog=Catalog.builtin(),
        register=Register.open(place / "register.db"),
        authority=Authority(
            uri="https://sh.ewallet.example/a/market",
            name="上海市浦东新区市场监督管理局",
            name_en="Market",
            uscc="11310115MB2F3069XM",
            area="310115",
            status_base="https://sh.ewallet.example/status/market",
            base="https://sh.ewallet.example",
        ),
    )
    record = {
        "uscc": "91310115MA0000001Y", "name": "上海喆祎堃昇𬭎信息科技有限公司",
        "company_type": "有限责任公司",
        "legal_representative": "王喆𬭎", "registered_capital": "1000万元", "established_on": "2019-03-08",
        "valid_until": "long-term", "address": "张江路1号", "scope": "食品销售。", "issued_on": "2026-11-23",
    }  # fmt: skip
    issued = issuer.issue(record, type="business-license", printed=PrintOrder(duplicates=1), now=NOW)
    content = Content.of(issued.license, issuer.catalog["business-license"])
    annotation = Annotation(purpose="办理许可", maker="政务服务中心", made_at=NOW, until=date(2026, 12, 23))
    faces, (original, duplicate) = Faces.builtin(), issued.printed
    made = {
        "original": render(content, original, faces=faces),
        "duplicate": render(content, duplicate, faces=faces),
        "annotated": render(content, duplicate, faces=faces, annotation=annotation),
        "preprinted": render(content, original, faces=faces, preprinted=True),
    }
    for name, pdf in made.items():
        (place / f"{name}.pdf").write_bytes(pdf)
    return place, issued


def program(name):
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"notice: {name} is not installed")
    return found


def test_verapdf_finds_every_variant_to_be_pdf_a_3b(sheets):
    place, _ = sheets
    command = os.environ.get("EWALLET_VERAPDF") or shutil.which("verapdf")
    if not command:
        pytest.skip("notice: veraPDF is not installed; set EWALLET_VERAPDF to its command to check PDF/A-3b")
    files = sorted(map(str, place.glob("*.pdf")))
    done = subprocess.run(
        [*shlex.split(command), "-f", "3b", "--format", "text", *files],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["PASS"] * 4, done.stdout + done.stderr


def test_poppler_extracts_the_credential_byte_for_byte(sheets, tmp_path):
    place, issued = sheets
    subprocess.run(
        [program("pdfdetach"), "-saveall", "-o", str(tmp_path), str(place / "original.pdf")], check=True
    )
    (credential,) = tmp_path.glob("*.sdjwt")
    assert credential.read_bytes() == issued.document.encode()


@pytest.mark.parametrize("dpi", [150, 300])
def test_the_seal_reads_from_popplers_picture_of_the_page(sheets, tmp_path, dpi):
    place, issued = sheets
    target = tmp_path / "page"
    subprocess.run(
        [program("pdftoppm"), "-r", str(dpi), "-png", str(place / "original.pdf"), str(target)], check=True
    )
    (picture,) = tmp_path.glob("page*.png")
    assert qr.read_image(picture) == [issued.printed[0].seal]


def test_qpdf_finds_the_file_sound(sheets):
    place, _ = sheets
    done = subprocess.run(
        [program("qpdf"), "--check", str(place / "original.pdf")], check=False, capture_output=True
    )
    assert done.returncode == 0, done.stdout


def test_a_character_beyond_the_basic_plane_is_drawn_and_kept_as_text(sheets):
    place, _ = sheets
    assert "王喆𬭎" in "".join("".join(typeset.page_texts(place / "original.pdf")).split())
