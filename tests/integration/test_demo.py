"""The demo as a user runs it, and what another shell says of its files afterwards."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

from ewallet.formats.qr import read_image
from ewallet.formats.typeset import attachments, missing_characters, page_texts, render_pdf
from ewallet.licenses.render import Faces

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: str, home: Path, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """`ewallet ...` as a process of its own, with a state directory of its own."""
    environment = {**os.environ, "XDG_STATE_HOME": str(home), "LANG": "C.UTF-8"}
    return subprocess.run(
        [sys.executable, "-m", "ewallet", *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=environment,
        input=stdin,
        check=False,
        timeout=120,
    )


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("demo")
    done = run("demo", "--out", str(base / "demo-out"), home=base / "home")
    assert done.returncode == 0, done.stdout + done.stderr
    return base / "demo-out"


def verify(demo: Path, *arguments: str, stdin: str | None = None):
    done = run(
        "verify",
        "--trust",
        str(demo / "trust"),
        "--json",
        *arguments,
        home=demo.parent / "shell",
        stdin=stdin,
    )
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def test_every_step_got_what_it_expected(demo):
    steps = json.loads((demo / "report.json").read_text())
    assert len(list(demo.rglob("report.json"))) == 1
    for step in steps:
        assert set(step) == {"step", "input", "expected", "got", "ms"}
        assert step["expected"] == step["got"]
        assert step["ms"] > 0
    assert {step["step"] for step in steps} == set(range(1, 14))
    by_step = {step["step"]: (step["got"]["outcome"], step["got"]["reason"]) for step in steps}
    assert by_step[5] == ("REJECTED", "code.replayed")
    assert by_step[6] == ("REJECTED", "code.expired")
    assert by_step[8] == ("REJECTED", "printed.superseded")
    assert by_step[9] == ("REJECTED", "license.revoked")
    assert by_step[11] == ("REJECTED", "issuer.unknown")
    assert by_step[12] == ("UNDECIDED", "trust.stale")


def test_another_shell_verifies_the_files(demo):
    for pattern, count in (("*.sdjwt", 20), ("*.pdf", 20)):
        found = sorted(demo.glob(pattern))
        assert len(found) >= count
        code, answers = verify(demo, *map(str, found))
        assert {answer["outcome"] for answer in answers} == {"ACCEPTED"}
        assert code == 0
        assert all(answer["licenses"][0]["province"] == "31" for answer in answers)


def test_what_ended_and_what_is_hostile_is_refused(demo):
    for folder in ("ended", "hostile"):
        found = sorted(map(str, (demo / folder).iterdir()))
        assert found
        code, answers = verify(demo, *found)
        assert {answer["outcome"] for answer in answers} == {"REJECTED"}
        assert code == 1


def test_exit_codes(demo):
    document = str(next(demo.glob("disability-card-*.sdjwt")))
    assert verify(demo, document)[0] == 0
    late = "2030-01-01T00:00:00Z"
    code, [answer] = verify(demo, "--now", late, document)
    assert (code, answer["outcome"]) == (3, "UNDECIDED")
    code, answers = verify(demo, "-", stdin=f"{(demo / 'seal.txt').read_text()}\nEWSAAAA\n")
    assert [answer["outcome"] for answer in answers] == ["ACCEPTED", "REJECTED"]
    assert code == 1
    missing = run(
        "verify", "--trust", str(demo / "trust"), "--policy", "none.json", document, home=demo.parent
    )
    assert missing.returncode == 2
    assert "\nerror:" in "\n" + missing.stderr
    assert "hint:" in missing.stderr
    assert run("verify", "--trust", str(demo / "no"), document, home=demo.parent).returncode == 2


def test_holder_credentials_prove_nothing_without_their_device(demo):
    for file in demo.glob("*.sdcwt"):
        assert verify(demo, str(file))[1][0]["reason"] == "holder.binding_missing"


def test_the_code_is_short_and_has_a_quiet_zone(demo):
    [text] = read_image(demo / "code.png")
    assert text == (demo / "code.txt").read_text().strip()
    assert len(text) <= 520
    assert re.fullmatch(r"EWC[A-Z2-7]+", text)
    from PIL import Image

    with Image.open(demo / "code.png") as opened:
        picture = opened.convert("L")
        dark = [
            x for x in range(picture.width) for y in range(picture.height) if picture.getpixel((x, y)) < 128
        ]
        box = (picture.width - max(dark) - 1, min(dark))
    assert min(box) >= 4 * 4  # four modules of at least four pixels


def test_every_chinese_character_is_drawn(demo):
    fonts = Faces.builtin().fonts
    pages = [text for pdf in demo.glob("*.pdf") for text in page_texts(pdf)]
    assert any("喆" in page for page in pages)
    assert any(ord(char) > 0xFFFF for page in pages for char in page)
    written = "".join(
        char for page in pages for char in page if unicodedata.category(char) not in {"Cc", "Cf"}
    )
    assert len(written) > 1000
    assert not missing_characters(written, fonts)


def test_the_attachment_is_the_credential(demo):
    for pdf in demo.glob("business-license-1.pdf"):
        [attached] = [data for name, data in attachments(pdf).items() if name.endswith(".sdjwt")]
        assert attached.decode().strip() == pdf.with_suffix(".sdjwt").read_text().strip()
        [seal] = read_image(render_pdf(pdf.read_bytes(), dpi=150)[0])
        assert seal == (demo / "seal.txt").read_text().strip()


def test_inspect_says_first_and_last_that_it_verified_nothing(demo):
    for thing in ("code.png", "seal.txt", "business-license-1.pdf", "business-license-1.sdcwt"):
        done = run("inspect", str(demo / thing), home=demo.parent)
        lines = done.stdout.strip().splitlines()
        assert done.returncode == 0, done.stderr
        assert lines[0].startswith("NOT VERIFIED")
        assert lines[-1].startswith("NOT VERIFIED")


def test_what_was_shown_in_the_last_step_hides_the_rest(demo):
    [document] = demo.glob("disability-card-1.sdjwt")
    shown = run("inspect", str(demo / "disability-presentation.txt"), home=demo.parent).stdout
    whole = run("inspect", str(document), home=demo.parent).stdout
    for value in re.findall(r'"(?:name|card_number|identifier)",\s*"([^"]+)"', whole):
        assert value not in shown
    disclosed = json.loads(shown.split("\n", 1)[1].rsplit("\n", 2)[0])["credential"]["disclosures"]
    assert {entry[2] for entry in disclosed} == {"category", "grade"}


def test_a_directory_with_other_things_is_left_alone(tmp_path):
    (tmp_path / "keep").write_text("x")
    done = run("demo", "--out", str(tmp_path), home=tmp_path)
    assert done.returncode == 2
    assert (tmp_path / "keep").read_text() == "x"
