import io
from dataclasses import replace
from datetime import UTC, date, datetime

import pypdf
import pytest
from PIL import Image

from ewallet.errors import Malformed, Refused
from ewallet.formats import typeset
from ewallet.licenses import render as rendering
from ewallet.licenses.render import Annotation, render
from ewallet.licenses.seal import Role
from ewallet.licenses.sheet import copy_of, examine, match_seal, read_sheet


def with_value(content, key, value):
    fields = tuple(
        replace(each, value=value, shown=value) if each.key == key else each for each in content.fields
    )
    return replace(content, fields=fields)


def keys(examination):
    return {each.key: each.rules for each in examination.differences}


@pytest.fixture(scope="module")
def copy(content, make_copy):
    return make_copy(content, role=Role.DUPLICATE, number=1, of=2)


@pytest.fixture(scope="module")
def honest(content, copy, faces):
    return render(content, copy, faces=faces)


@pytest.fixture
def forged(content, copy, faces, monkeypatch):
    """A page drawn from altered content that carries the honest credential and seal."""
    monkeypatch.setattr(rendering, "check_seal", lambda *_: None)
    return lambda key, value: render(with_value(content, key, value), copy, faces=faces)


def overlaid(pdf, box_mm, color):
    """The PDF with a small picture laid over it; its text layer stays as it was."""
    left, top, width, height = box_mm
    with_picture = pypdf.PdfWriter(io.BytesIO(pdf))
    page = with_picture.pages[0]
    page_height = float(page.mediabox.height)
    mask = io.BytesIO()
    scale = 72 / 25.4
    patch = Image.new("RGB", (max(int(width * scale), 1), max(int(height * scale), 1)), color)
    patch.save(mask, "PDF", resolution=72)
    stamp = pypdf.PdfReader(mask).pages[0]
    move = pypdf.Transformation().translate(left * scale, page_height - (top + height) * scale)
    page.merge_transformed_page(stamp, move)
    out = io.BytesIO()
    with_picture.write(out)
    return out.getvalue()


def test_an_honest_sheet_is_as_drawn_afresh(honest, content, copy, faces):
    sheet = read_sheet(honest)
    assert sheet.credential == content.credential
    assert sheet.seals == (copy.seal,)
    examination = examine(sheet, content, faces=faces)
    assert examination.differences == ()
    assert examination.fresh == honest


def test_the_seal_gives_the_sheet_back(copy):
    found = copy_of(copy.seal)
    assert (found.role, found.number, found.of, found.stock) == (Role.DUPLICATE, 1, 2, copy.stock)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("legal_representative", "李四"),
        ("capital", "人民币玖仟万元整"),
        ("scope", "食品销售；餐饮服务；技术服务；采矿。"),
    ],
)
def test_exactly_the_edited_field_is_named(forged, content, faces, key, value):
    examination = examine(read_sheet(forged(key, value)), content, faces=faces)
    assert set(keys(examination)) <= {key, "page"}
    assert "text" in keys(examination)[key]
    assert content.credential.encode() in typeset.attachments(examination.fresh).values()


def test_a_field_added_where_none_was_is_noticed(forged, content, faces):
    examination = examine(read_sheet(forged("remark", "已注销")), content, faces=faces)
    assert examination.differences


def test_a_picture_over_a_field_is_caught_though_the_text_stays(honest, content, faces):
    characters = typeset.page_characters(honest)[0]
    flat = "".join(each.text for each in characters)
    start = flat.index("王喆𬭎") - sum(len(each.text) - 1 for each in characters if len(each.text) > 1)
    left, top, right, bottom = characters[start].box
    altered = overlaid(honest, (left, top, right - left, bottom - top), "black")
    assert typeset.page_texts(altered) == typeset.page_texts(honest)
    assert keys(examine(read_sheet(altered), content, faces=faces)) == {"legal_representative": ("picture",)}


def test_a_picture_beside_the_fields_is_caught(honest, content, faces):
    altered = overlaid(honest, (100, 180, 20, 8), "red")
    assert keys(examine(read_sheet(altered), content, faces=faces)) == {"page": ("picture",)}


def test_an_annotated_copy_is_compared_with_an_annotated_one(content, copy, faces):
    annotation = Annotation(
        purpose="办理食品经营许可", maker="政务服务中心", made_at=datetime(2026, 11, 23, 4, tzinfo=UTC),
        until=date(2026, 12, 23),
    )  # fmt: skip
    sheet = read_sheet(render(content, copy, faces=faces, annotation=annotation))
    assert sheet.annotation == annotation
    assert examine(sheet, content, faces=faces).differences == ()


def test_a_preprinted_variant_is_recognized(content, copy, faces):
    pdf = render(content, copy, faces=faces, preprinted=True)
    assert examine(read_sheet(pdf), content, faces=faces).differences == ()


def test_a_seal_of_another_license_is_refused(content, make_copy, faces, honest):
    other = replace(content, identifier=content.identifier.replace("4ABC5X", "4ABD5X"))
    with pytest.raises(Refused) as caught:
        match_seal(make_copy(other).seal, content)
    assert caught.value.reason == "printed.differs"
    with pytest.raises(Refused):
        match_seal(make_copy(with_value(content, "name", "别的公司")).seal, content)
    with pytest.raises(Refused):
        examine(replace(read_sheet(honest), seals=()), content, faces=faces)
    with pytest.raises(Refused):
        examine(replace(read_sheet(honest), seals=("EWSA", "EWSB")), content, faces=faces)


def test_a_pdf_without_credential_says_so(tmp_path):
    buffer = io.BytesIO()
    Image.new("RGB", (100, 100), "white").save(buffer, "PDF")
    path = tmp_path / "x.pdf"
    path.write_bytes(buffer.getvalue())
    sheet = read_sheet(path)
    assert (sheet.credential, sheet.seals, sheet.annotation) == (None, (), None)


def test_two_credentials_are_refused(honest):
    writer = pypdf.PdfWriter(io.BytesIO(honest))
    writer.add_attachment("another.sdjwt", b"x.y.z~")
    buffer = io.BytesIO()
    writer.write(buffer)
    with pytest.raises(Malformed):
        read_sheet(buffer.getvalue())


def test_an_annotation_that_cannot_be_drawn_shows_as_a_difference(content, copy, faces, honest):
    forged = replace(
        read_sheet(honest),
        annotation=Annotation(
            purpose="\U0002ebf0",
            maker="x",
            made_at=datetime(2026, 11, 23, tzinfo=UTC),
            until=date(2026, 12, 1),
        ),
    )
    assert examine(forged, content, faces=faces).differences == ()
    annotation = Annotation(
        purpose="办理", maker="政务", made_at=datetime(2026, 11, 23, tzinfo=UTC), until=date(2026, 12, 1)
    )
    pdf = render(content, copy, faces=faces, annotation=annotation)
    assert examine(replace(read_sheet(pdf), annotation=forged.annotation), content, faces=faces).differences
