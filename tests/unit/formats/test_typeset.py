import io
from datetime import UTC, datetime
from pathlib import Path

import pypdf
import pytest

from ewallet.errors import ConfigError, Malformed, PrintError
from ewallet.formats import qr, typeset

FONT = Path(typeset.__file__).parents[1] / "licenses" / "faces" / "fonts" / "ewallet-sans-sc.ttf"
NOW = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
TEMPLATE = """\
#let d = json(bytes(sys.inputs.data))
#set document(title: d.title, date: datetime(..d.created))
#set page(width: 100mm, height: 60mm, margin: 5mm)
#set text(font: d.fonts, lang: "zh", region: "cn", fallback: false)
#d.title
"""
CONTENT = b"\x00\xffabc"


@pytest.fixture(scope="module")
def font():
    return typeset.Font.load(FONT)


@pytest.fixture
def template(tmp_path):
    path = tmp_path / "page.typ"
    path.write_text(TEMPLATE, encoding="utf-8")
    return path


def attachment(name="a.sdjwt"):
    return typeset.Attachment(
        name=name,
        content=CONTENT,
        mime="application/sd-jwt",
        relationship="data",
        description="the credential",
    )


def made(template, font, **changes):
    given = {"fonts": [font], "created": NOW, "attachments": [attachment()]} | changes
    return typeset.typeset(template, {"title": "营业执照𬭎"}, **given)


def test_a_page_is_a_pdf_a_with_its_attachment(template, font):
    pdf = made(template, font)
    assert typeset.attachments(pdf) == {"a.sdjwt": CONTENT}
    assert typeset.page_sizes_mm(pdf) == [(100.0, 60.0)]
    assert typeset.page_texts(pdf) == ["营业执照𬭎"]
    independent = pypdf.PdfReader(io.BytesIO(pdf))
    assert independent.attachments == {"a.sdjwt": [CONTENT]}
    assert b"<pdfaid:part>3</pdfaid:part>" in pdf
    assert b"<pdfaid:conformance>B</pdfaid:conformance>" in pdf
    files = independent.trailer["/Root"]["/AF"]
    assert [f.get_object()["/AFRelationship"] for f in files] == ["/Data"]
    assert [f.get_object()["/Desc"] for f in files] == ["the credential"]


def test_the_same_input_gives_the_same_bytes(template, font):
    assert made(template, font) == made(template, font)


def test_the_rendered_page_shows_every_character(template, font):
    (page,) = typeset.render_pdf(made(template, font), dpi=150)
    assert page.size == (591, 355)
    assert page.convert("L").getextrema() == (0, 255)


def test_the_font_has_name_characters_beyond_gb2312_and_beyond_the_basic_plane(font):
    assert typeset.missing_characters("喆祎堃昇𬭎𬸦𬘓Ａ1〇，（）", [font]) == ()


def test_missing_characters_are_named_once_and_in_order(font):
    assert typeset.missing_characters("甲\U0002ebf0乙\x07\U0002ebf0", [font]) == ("\U0002ebf0", "\x07")


def test_a_template_error_names_the_file(tmp_path, font):
    broken = tmp_path / "broken.typ"
    broken.write_text("#nothing-of-that-name", encoding="utf-8")
    with pytest.raises(PrintError, match=r"broken\.typ"):
        typeset.typeset(broken, {}, fonts=[font], created=NOW)


def test_two_attachments_of_one_name_are_refused(template, font):
    writer = pypdf.PdfWriter(io.BytesIO(made(template, font)))
    writer.add_attachment("a.sdjwt", b"another")
    buffer = io.BytesIO()
    writer.write(buffer)
    with pytest.raises(Malformed):
        typeset.attachments(buffer.getvalue())


@pytest.mark.parametrize("content", [b"", b"%PDF-1.7\nnothing", b"x" * 100])
@pytest.mark.parametrize("read", [typeset.render_pdf, typeset.attachments, typeset.page_texts, qr.read_pdf])
def test_what_is_no_pdf_is_unreadable(content, read):
    with pytest.raises(Malformed) as caught:
        read(content)
    assert caught.value.reason == "code.unreadable"


@pytest.mark.parametrize("content", [b"", b"OTTO", b"\x00\x01\x00\x00\x00\x00", b"not a font at all"])
def test_what_is_no_font_is_a_configuration_error(tmp_path, content):
    path = tmp_path / "x.ttf"
    path.write_bytes(content)
    with pytest.raises(ConfigError):
        typeset.Font.load(path)
