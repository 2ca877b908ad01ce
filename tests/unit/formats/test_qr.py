import io

import pytest
from PIL import Image

from ewallet.errors import Malformed
from ewallet.formats import qr, text

SHORT = text.encode("EWC", bytes(range(100)))
LONG = text.encode("EWS", bytes(range(256)) + bytes(100))


@pytest.mark.parametrize("medium", ["screen", "paper"])
@pytest.mark.parametrize("content", [SHORT, LONG])
def test_a_drawn_code_reads_back(medium, content):
    assert qr.read_image(qr.qr_image(content, medium=medium)) == [content]
    assert qr.read_image(qr.qr_png(content, medium=medium, box=4)) == [content]


def test_the_quiet_zone_is_kept():
    picture = qr.qr_image(SHORT, box=3).convert("L")
    border = qr.QUIET_ZONE * 3
    frame = [picture.crop(box).getextrema() for box in (
        (0, 0, picture.width, border),
        (0, picture.height - border, picture.width, picture.height),
        (0, 0, border, picture.height),
        (picture.width - border, 0, picture.width, picture.height),
    )]  # fmt: skip
    assert frame == [(255, 255)] * 4
    assert picture.getpixel((border, border)) == 0


def test_the_text_is_packed_in_alphanumeric_mode():
    # Version 13-L holds 619 alphanumeric characters but only 425 bytes (ISO/IEC 18004 table 7).
    content = text.encode("EWC", bytes(380))
    assert 600 < len(content) <= 619
    assert len(qr.matrix(content)) == 17 + 4 * 13


def test_paper_takes_more_error_correction_than_a_screen():
    assert len(qr.matrix(LONG, medium="paper")) > len(qr.matrix(LONG, medium="screen"))


def test_the_svg_has_its_real_size_and_refuses_small_modules():
    drawn = qr.qr_svg(SHORT, medium="paper", module_mm=0.6)
    assert f'width="{qr.print_size_mm(SHORT):.3f}mm"' in drawn
    with pytest.raises(ValueError, match="paper"):
        qr.qr_svg(SHORT, medium="paper", module_mm=0.5)


def test_all_codes_of_a_picture_are_returned():
    left, right = qr.qr_image(SHORT, box=4), qr.qr_image(LONG, box=4)
    sheet = Image.new("L", (left.width + right.width, max(left.height, right.height)), 255)
    sheet.paste(left, (0, 0))
    sheet.paste(right, (left.width, 0))
    assert set(qr.read_image(sheet)) == {SHORT, LONG}


def test_a_path_reads_like_its_bytes(tmp_path):
    path = tmp_path / "code.png"
    path.write_bytes(qr.qr_png(SHORT))
    assert qr.read_image(path) == [SHORT]


def test_a_picture_without_code_gives_nothing():
    assert qr.read_image(Image.new("L", (50, 50), 255)) == []


@pytest.mark.parametrize("content", [b"", b"no picture", qr.qr_png(SHORT)[:200]])
def test_what_is_no_picture_is_unreadable(content):
    with pytest.raises(Malformed) as caught:
        qr.read_image(content)
    assert caught.value.reason == "code.unreadable"


def test_too_large_a_picture_is_not_decoded(monkeypatch):
    buffer = io.BytesIO()
    Image.new("1", (200, 200)).save(buffer, "PNG")
    monkeypatch.setattr(qr, "MAX_PIXELS", 100)
    with pytest.raises(Malformed):
        qr.read_image(buffer.getvalue())


def test_what_does_not_fit_is_the_callers_error():
    with pytest.raises(ValueError, match="fit"):
        qr.matrix("A" * 5000)
