"""PDFs as a forger would hand them in: the demo's own files, altered."""

from __future__ import annotations

import io
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from ewallet.formats.typeset import attachments, render_pdf
from ewallet.reasons import Outcome
from ewallet.verify.counter import open_verifier
from ewallet.verify.pdf import verify_pdf

pypdf = pytest.importorskip("pypdf", reason="notice: pypdf is not installed; it makes the altered files")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("pdfs") / "demo-out"
    subprocess.run(
        [sys.executable, "-m", "ewallet", "demo", "--out", str(out)], check=True, capture_output=True
    )
    return out


@pytest.fixture
def verified(demo, tmp_path):
    now = datetime.now(UTC)
    verifier = open_verifier(demo / "trust", state=tmp_path, now=now)
    return lambda data: verify_pdf(verifier, data, now=now)


def reason(found):
    return found.reason.code if found.reason else None


def rebuilt(pages: list[bytes], files: dict[str, bytes]) -> bytes:
    """A new PDF from pages of others and attachments of others."""
    writer = pypdf.PdfWriter()
    for page in pages:
        for each in pypdf.PdfReader(io.BytesIO(page)).pages:
            writer.add_page(each)
    for name, data in files.items():
        writer.add_attachment(name, data)
    target = io.BytesIO()
    writer.write(target)
    return target.getvalue()


def picture_page(picture: Image.Image, like: bytes) -> bytes:
    """A page that is nothing but a picture, in the size of another."""
    width = float(pypdf.PdfReader(io.BytesIO(like)).pages[0].mediabox.width)
    target = io.BytesIO()
    picture.save(target, "PDF", resolution=picture.width / width * 72)
    return target.getvalue()


def test_the_genuine_file_is_accepted_with_the_face_compared(demo, verified):
    found = verified((demo / "food-business-permit-1.pdf").read_bytes())
    assert found.outcome is Outcome.ACCEPTED
    assert found.checks[-1].name == "face"
    assert found.licenses[0].fields["legal_representative"]  # unmasked: from the credential


def test_the_page_of_one_license_with_the_credential_of_another(demo, verified):
    one, other = ((demo / f"food-business-permit-{n}.pdf").read_bytes() for n in (1, 2))
    assert reason(verified(rebuilt([one], attachments(other)))) == "printed.differs"


def test_a_picture_laid_over_one_field(demo, verified):
    """Seal, credential and text layer are genuine; only what a person sees was changed."""
    original = (demo / "food-business-permit-1.pdf").read_bytes()
    patch = Image.new("RGB", (600, 60), "white")
    ImageDraw.Draw(patch).text((10, 8), "ANOTHER OPERATOR", fill="black", font_size=40)
    drawn = io.BytesIO()
    patch.save(drawn, "PDF", resolution=200)
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(original))
    overlay = pypdf.PdfReader(io.BytesIO(drawn.getvalue())).pages[0]
    target = io.BytesIO()
    writer.write(target)
    assert reason(verified(target.getvalue())) is None  # written anew, nothing changed
    page = writer.pages[0]
    height = float(page.mediabox.height)
    page.merge_transformed_page(overlay, pypdf.Transformation().translate(160, height - 165))
    target = io.BytesIO()
    writer.write(target)
    found = verified(target.getvalue())
    assert reason(found) == "printed.differs"
    assert "operator" in found.checks[-1].detail
    assert found.facts is not None  # what was signed is shown instead


def test_a_page_that_is_only_a_picture_is_not_the_file_that_was_issued(demo, verified):
    original = (demo / "food-business-permit-1.pdf").read_bytes()
    [page] = render_pdf(original, dpi=200)
    assert (
        reason(verified(rebuilt([picture_page(page, original)], attachments(original)))) == "printed.differs"
    )


def test_the_seal_cut_off(demo, verified):
    original = (demo / "food-business-permit-1.pdf").read_bytes()
    [page] = render_pdf(original, dpi=100)
    ImageDraw.Draw(page).rectangle((page.width // 2, 0, page.width, page.height), fill="white")
    found = verified(rebuilt([picture_page(page, original)], attachments(original)))
    assert "seal.unreadable" in {notice.code for notice in found.notices}


def test_a_scan_without_the_credential_is_what_paper_gives(demo, verified):
    original = (demo / "food-business-permit-1.pdf").read_bytes()
    [page] = render_pdf(original, dpi=200)
    found = verified(picture_page(page, original))
    assert found.outcome is Outcome.ACCEPTED
    assert "copy.possible" in {notice.code for notice in found.notices}


def test_two_credentials_or_none_at_all(demo, verified):
    one, other = ((demo / f"food-business-permit-{n}.pdf").read_bytes() for n in (1, 2))
    both = {**attachments(one), **{f"x-{name}": data for name, data in attachments(other).items()}}
    assert verified(rebuilt([one], both)).outcome is Outcome.REJECTED
    blank = io.BytesIO()
    Image.new("RGB", (200, 200), "white").save(blank, "PDF")
    assert reason(verified(blank.getvalue())) == "code.unreadable"


@pytest.mark.parametrize("data", [b"", b"%PDF-1.7", b"%PDF-" + bytes(500), b"\xff" * 100])
def test_what_is_no_pdf(verified, data):
    assert verified(data).outcome is Outcome.REJECTED


def test_a_truncated_file(demo, verified):
    original = (demo / "food-business-permit-1.pdf").read_bytes()
    for cut in (100, len(original) // 2, len(original) - 20):
        assert verified(original[:cut]).outcome is not Outcome.UNDECIDED
