import io
import json
import random
from dataclasses import replace
from datetime import UTC, date, datetime

import pypdf
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from PIL import Image, ImageFilter

from ewallet.errors import ConfigError, PrintError
from ewallet.formats import qr, typeset
from ewallet.licenses.render import Annotation, FaceField, Faces, rare_font, render
from ewallet.licenses.seal import Role

ANNOTATION = Annotation(
    purpose="办理食品经营许可",
    maker="浦东新区政务服务中心",
    made_at=datetime(2026, 11, 23, 4, tzinfo=UTC),
    until=date(2026, 12, 23),
)


def with_value(content, key, value):
    fields = tuple(
        replace(each, value=value, shown=value) if each.key == key else each for each in content.fields
    )
    return replace(content, fields=fields)


def flat(pdf):
    return "".join("".join(typeset.page_texts(pdf)).split())


@pytest.fixture(scope="module")
def original(content, make_copy, faces):
    return render(content, make_copy(content), faces=faces)


def test_the_sheet_has_its_real_size(original, content, make_copy, faces):
    assert typeset.page_sizes_mm(original) == [(420.0, 297.0)]
    duplicate = make_copy(content, role=Role.DUPLICATE, number=2, of=3)
    assert typeset.page_sizes_mm(render(content, duplicate, faces=faces)) == [(297.0, 210.0)]


def test_every_field_stands_on_the_face(original, content):
    drawn = flat(original)
    for each in content.fields:
        assert "".join(each.label.split()) in drawn
        assert each.shown in drawn
    for word in (
        content.title,
        content.number,
        content.authority,
        "2026年11月23日",
        "正本",
        "SH2026-00000017",
    ):
        assert word in drawn
    assert content.identifier.split(".")[-3] in drawn


def test_original_and_duplicate_are_told_apart(content, make_copy, faces):
    duplicate = flat(render(content, make_copy(content, role=Role.DUPLICATE, number=2, of=3), faces=faces))
    assert "副本2/3" in duplicate
    assert "正本" not in duplicate


def test_an_independent_library_finds_the_credential_and_the_metadata(original, content):
    found = pypdf.PdfReader(io.BytesIO(original))
    credential = content.credential.encode()
    assert found.attachments[content.identifier + ".sdjwt"] == [credential]
    described = json.loads(found.attachments["metadata.json"][0])
    assert described["ZZBS"] == content.identifier
    assert described["CZZTDM"] == "91310115MA1K4ABC5X"
    assert described["KZ_名称"] == content.fields[0].value
    assert found.metadata.title == f"营业执照 {content.number}"
    assert found.metadata.author == content.authority
    assert content.identifier in found.metadata["/Keywords"]
    relations = {
        each.get_object()["/F"]: each.get_object()["/AFRelationship"]
        for each in found.trailer["/Root"]["/AF"]
    }
    assert relations == {content.identifier + ".sdjwt": "/Source", "metadata.json": "/Supplement"}


def test_the_same_sheet_gives_the_same_bytes(original, content, make_copy, faces):
    copy = make_copy(content)
    assert render(content, copy, faces=faces) == render(content, copy, faces=faces)


def test_the_annotated_copy_says_so(content, make_copy, faces):
    pdf = render(content, make_copy(content), faces=faces, annotation=ANNOTATION)
    drawn = flat(pdf)
    assert drawn.count("仅供办理食品经营许可使用") > 3
    assert "制作：浦东新区政务服务中心" in drawn
    assert json.loads(typeset.attachments(pdf)["metadata.json"])["JZJYXQJZSJ"] == "2026-12-23"


def test_preprinted_paper_gets_only_the_variable_fields(content, make_copy, faces):
    pdf = render(content, make_copy(content), faces=faces, preprinted=True)
    (page,) = typeset.render_pdf(pdf, dpi=72)
    (whole,) = typeset.render_pdf(render(content, make_copy(content), faces=faces), dpi=72)
    assert page.getpixel((5, 5)) == (255, 255, 255)
    assert whole.getpixel((5, 5)) != (255, 255, 255)
    assert content.fields[0].shown in flat(pdf)
    assert "营业执照" not in flat(pdf)


@pytest.mark.parametrize("size", [(420.0, 297.0), (297.0, 210.0)])
def test_long_scopes_and_names_fit(content, make_copy, faces, size):
    long = with_value(content, "scope", "技术服务、技术开发、技术咨询；" * 60)
    long = with_value(long, "name", "上海" + "喆祎堃昇" * 9 + "公司")
    long = replace(long, sizes={"original": size})
    drawn = flat(render(long, make_copy(long), faces=faces))
    assert drawn.count("技术咨询；") == 60
    assert long.fields[0].shown in drawn


def test_what_does_not_fit_stops_the_print(content, make_copy, faces):
    huge = with_value(content, "scope", "技术服务" * 4000)
    with pytest.raises(PrintError, match="does not fit"):
        render(huge, make_copy(huge), faces=faces)


def test_a_missing_character_stops_the_print_with_its_place(content, make_copy, faces):
    rare = with_value(content, "legal_representative", "王\U0002ebf0")
    with pytest.raises(PrintError, match=r"法定代表人: no font has U\+2EBF0"):
        render(rare, make_copy(rare), faces=faces)


def test_a_supplementary_font_draws_what_the_first_lacks(tmp_path, content, make_copy):
    path = tmp_path / "supplement.ttf"
    path.write_bytes(one_glyph_font("\U0002ebf0"))
    rare = with_value(content, "legal_representative", "王\U0002ebf0")
    faces = Faces.builtin(supplementary=[path])
    assert "王\U0002ebf0" in flat(render(rare, make_copy(rare), faces=faces))


def test_the_extra_fonts_draws_the_rest_of_gb_18030(content, make_copy):
    rare = with_value(content, "legal_representative", "王㑃䶵")
    with pytest.raises(PrintError):
        render(rare, make_copy(rare), faces=Faces.builtin())
    faces = Faces.builtin(supplementary=[rare_font()])
    assert "王㑃䶵" in flat(render(rare, make_copy(rare), faces=faces))
    mandatory = "".join(map(chr, (*range(0x3400, 0x4DB6), *range(0x4E00, 0x9FA6))))
    assert typeset.missing_characters(mandatory, faces.fonts) == ()


def one_glyph_font(char):
    pen = TTGlyphPen(None)
    pen.moveTo((100, 0))
    pen.lineTo((500, 800))
    pen.lineTo((900, 0))
    pen.closePath()
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder([".notdef", "one"])
    builder.setupCharacterMap({ord(char): "one"})
    builder.setupGlyf({".notdef": TTGlyphPen(None).glyph(), "one": pen.glyph()})
    builder.setupHorizontalMetrics({".notdef": (1000, 0), "one": (1000, 100)})
    builder.setupHorizontalHeader(ascent=900, descent=-100)
    builder.setupNameTable(
        {"familyName": "Supplement", "styleName": "Regular", "psName": "Supplement-Regular"}
    )
    builder.setupOS2()
    builder.setupPost()
    buffer = io.BytesIO()
    builder.save(buffer)
    return buffer.getvalue()


def test_a_seal_over_another_face_is_not_printed(content, make_copy, faces):
    other = with_value(content, "name", "别的公司")
    with pytest.raises(PrintError, match="another face"):
        render(content, make_copy(other), faces=faces)
    with pytest.raises(PrintError, match="another sheet"):
        render(content, replace(make_copy(content), number=2, of=2), faces=faces)


def test_a_card_that_is_too_small_for_its_seal_stops_the_print(content, make_copy, faces):
    card = replace(content, type_key="x", template="card", sizes={"original": (40.0, 30.0)})
    with pytest.raises(PrintError, match="seal needs"):
        render(card, make_copy(card), faces=faces)


def test_a_deployments_own_template_replaces_ours(tmp_path, content, make_copy):
    (tmp_path / "mine.typ").write_text(
        "#let d = json(bytes(sys.inputs.data))\n#set document(date: datetime(..d.created))\n"
        "#set text(font: d.fonts)\n#set page(width: 100mm, height: 80mm, margin: 5mm)\nMINE #d.number",
        encoding="utf-8",
    )
    (tmp_path / "faces.toml").write_text('[business-license]\ntemplate = "mine.typ"\n', encoding="utf-8")
    faces = Faces.load(tmp_path)
    assert flat(render(content, make_copy(content), faces=faces)) == "MINE" + content.number
    other = replace(content, type_key="another", template="permit")
    assert content.title in flat(render(other, make_copy(other), faces=faces))


@pytest.mark.parametrize(
    "text",
    ["[x", "[x]\n", '[x]\ntemplate = "none.typ"', '[x]\ntemplate = "a.typ"\nmodule = 0.3', "x = 1"],
)
def test_a_wrong_form_file_is_a_configuration_error(tmp_path, text):
    (tmp_path / "a.typ").write_text("", encoding="utf-8")
    (tmp_path / "faces.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"faces\.toml"):
        Faces.load(tmp_path)


def degraded(page, seed=7):
    """As a bad scan: grey paper, 3 degrees askew, out of focus, JPEG 40."""
    noise = random.Random(seed)
    grey = page.convert("L").point(lambda v: 60 + v * 130 // 255)
    turned = grey.rotate(3, Image.Resampling.BICUBIC, expand=True, fillcolor=150)
    blurred = turned.filter(ImageFilter.GaussianBlur(0.8))
    for _ in range(200):
        blurred.putpixel(
            (noise.randrange(blurred.width), noise.randrange(blurred.height)), noise.randrange(255)
        )
    buffer = io.BytesIO()
    blurred.save(buffer, "JPEG", quality=40)
    return buffer.getvalue()


@pytest.mark.parametrize("dpi", [150, 300])
@pytest.mark.parametrize("template", ["business-license", "permit", "card"])
def test_the_seal_reads_from_the_rendered_page(content, make_copy, faces, dpi, template):
    sizes = {"business-license": (420.0, 297.0), "permit": (210.0, 297.0), "card": (85.6, 53.98)}
    drawn = replace(content, type_key="x", template=template, sizes={"original": sizes[template]})
    if template == "card":
        drawn = replace(drawn, fields=(FaceField(key="name", label="姓名", value="王喆", shown="王喆"),))
    copy = make_copy(drawn)
    page = typeset.render_pdf(render(drawn, copy, faces=faces), dpi=dpi)[-1]
    assert qr.read_image(page) == [copy.seal]
    assert qr.read_image(degraded(page)) == [copy.seal]
