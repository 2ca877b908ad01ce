"""The commands for codes that do not rotate, and large pictures for people who see badly."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import click
import pytest
from PIL import Image

from ewallet.cli import cli
from ewallet.cli.code_commands import draw_in_terminal
from ewallet.code.display import parse_display, verify_display
from ewallet.code.paper import parse_paper, verify_paper
from ewallet.formats.qr import QUIET_ZONE, matrix, read_image
from ewallet.formats.typeset import page_sizes_mm, page_texts, render_pdf
from ewallet.keys import SigningKey
from ewallet.licenses.catalog import Catalog
from ewallet.licenses.supply_code import read_supply_code

ISSUER = "https://sh.ewallet.example/a/codes"
STATUS = "https://sh.ewallet.example/status/codes/1"


@pytest.fixture
def key():
    return SigningKey.generate()


@pytest.fixture
def run(tmp_path, capsys, key):
    """Runs a `code` command with the authority's key: exit code and what it printed."""
    (tmp_path / "password").write_text("correct horse\n")
    key.save(tmp_path / "codes.pem", "correct horse")
    signed = {
        "--key": tmp_path / "codes.pem", "--password-file": tmp_path / "password",
        "--issuer": ISSUER, "--status-uri": STATUS, "--status-idx": 3,
    }  # fmt: skip

    def call(name, *words):
        given = [str(word) for pair in signed.items() for word in pair]
        code = cli.main(["code", name, *given, *map(str, words)], standalone_mode=False)
        return int(code or 0), capsys.readouterr()

    return call


PAPER = ("--issuer-name", "上海市示例大数据中心", "--masked-name", "王*芳", "--scene", "hospital")


def test_a_paper_code_as_card_and_large_sheet(run, key, tmp_path):
    card, large = tmp_path / "card.pdf", tmp_path / "large.pdf"
    code, out = run("paper", *PAPER, "--scene", "library", "--days", "30", "--card", card, "--large", large)
    assert (code, out.err) == (0, "")
    text = out.out.strip()
    now = datetime.now(UTC)
    facts = verify_paper(parse_paper(text), key.public_key, issuer=ISSUER, now=now)
    assert (facts.name, facts.kind, facts.scenes) == ("王*芳", "senior", {"hospital", "library"})
    assert (facts.status.uri, facts.status.idx) == (STATUS, 3)
    assert facts.ends_at - facts.issued_at == 30 * 86400
    for file in (card, large):
        (page,) = render_pdf(file, dpi=200)
        assert read_image(page) == [text]
        assert "王*芳" in page_texts(file)[0]
    assert page_sizes_mm(card)[0][0] < 90
    assert page_sizes_mm(large)[0][0] > 140


@pytest.mark.parametrize("words", [("--scene", "metro"), ("--masked-name", ""), ("--kind", "enterprise")])
def test_paper_that_does_not_fit_is_refused_and_nothing_written(run, tmp_path, words):
    code, out = run("paper", *PAPER, *words, "--card", tmp_path / "card.pdf")
    assert code == 2
    assert out.err.startswith("error: ")
    assert not out.out
    assert not (tmp_path / "card.pdf").exists()


def test_a_name_that_no_font_draws_is_refused(run, tmp_path):
    code, out = run("paper", *PAPER, "--masked-name", "王\U0001f600", "--card", tmp_path / "card.pdf")
    assert (code, out.out) == (2, "")
    assert "U+1F600" in out.err
    assert not (tmp_path / "card.pdf").exists()


def test_a_display_code_as_text_png_and_svg(run, key, tmp_path):
    png, svg = tmp_path / "display.png", tmp_path / "display.svg"
    facts = ("--uscc", "91310000MA1FL1234Q", "--name", "示例餐饮有限公司")
    code, out = run("display", *facts, "--png", png, "--svg", svg)
    assert (code, out.err) == (0, "")
    text = out.out.strip()
    shown = verify_display(parse_display(text), key.public_key, issuer=ISSUER, now=datetime.now(UTC))
    assert (shown.uscc, shown.name, shown.status.idx) == ("91310000MA1FL1234Q", "示例餐饮有限公司", 3)
    assert timedelta(seconds=shown.ends_at - shown.issued_at) == timedelta(days=365)
    assert read_image(png) == [text]
    assert svg.read_text().startswith("<svg ")
    code, out = run("display", *facts, "--png", png, "--large")
    assert code == 0
    with Image.open(png) as picture:
        assert picture.width == (len(matrix(out.out.strip(), medium="paper")) + 2 * QUIET_ZONE) * 24


def test_a_display_code_wants_a_number_that_is_right(run):
    code, out = run("display", "--uscc", "91310000MA1FL1234X", "--name", "示例")
    assert (code, out.out) == (2, "")
    assert "1234X" not in out.err


def test_a_supply_code_of_a_device_key(tmp_path, capsys, key):
    (tmp_path / "password").write_text("correct horse\n")
    key.save(tmp_path / "device.pem", "correct horse")
    signed = ["--key", str(tmp_path / "device.pem"), "--password-file", str(tmp_path / "password")]
    issuer, hall = "https://sh.ewallet.example/a/market", "https://sh.ewallet.example/a/hall"
    words = ["--authority", issuer, "--type", "business-license", "--recipient", hall, "--life", "60"]
    picture = tmp_path / "code.png"
    command = ["code", "supply", *signed, *words]
    assert int(cli.main([*command, "--png", str(picture)], standalone_mode=False) or 0) == 0
    text = capsys.readouterr().out.strip()
    assert read_image(picture) == [text]
    found = read_supply_code(text, now=datetime.now(UTC))
    assert (found.authority, found.recipient, found.key) == (issuer, hall, key.public_key)
    assert (found.type, found.exp - found.iat) == (Catalog.builtin()["business-license"].code, 60)
    with pytest.raises(click.BadParameter):
        cli.main([*command, "--life", "301"], standalone_mode=False)


def test_the_large_drawing_has_four_times_the_area():
    text = "EWC" + "A" * 100
    small, large = (draw_in_terminal(text, large=each).splitlines() for each in (False, True))
    side = len(matrix(text)) + 2 * QUIET_ZONE
    assert (len(small[0]), len(large[0]), len(large)) == (side, 2 * side, side)
    assert set("".join(large)) == set("█ ")


def test_show_large(tmp_path, capsys, key):
    password, wallet = tmp_path / "password", tmp_path / "wallet"
    password.write_text("correct horse\n")
    key.save(tmp_path / "codes.pem", "correct horse")

    def call(*words):
        given = [*map(str, words), "--password-file", str(password)]
        return int(cli.main(["code", *given], standalone_mode=False) or 0), capsys.readouterr()

    call(
        "issue", "--key", tmp_path / "codes.pem", "--wallet", wallet, "--wallet-password-file", password,
        "--subject", "p-1", "--scene", "library", "--count", 1,
    )  # fmt: skip
    png = tmp_path / "code.png"
    words = ("show", "--wallet", wallet, "--scene", "library", "--venue", "https://x.example/v", "--large")
    code, out = call(*words, "--png", png)
    assert code == 0
    text = out.out.strip()
    assert read_image(png) == [text]
    assert out.err.rstrip("\n") == draw_in_terminal(text, large=True)
    with Image.open(png) as picture:
        assert picture.width == (len(matrix(text)) + 2 * QUIET_ZONE) * 24
