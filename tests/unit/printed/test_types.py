"""Every built-in type is drawn, read back and complete."""

import io
from datetime import date

import pytest
from PIL import Image, ImageFilter
from stdnum.iso7064 import mod_37_36

from ewallet.formats import qr, typeset
from ewallet.formats.statuslist import StatusReference
from ewallet.licenses.catalog import Catalog, FieldType
from ewallet.licenses.license import face_digest
from ewallet.licenses.printed import CopyState, PrintedCopy
from ewallet.licenses.render import Content, face_fields, render
from ewallet.licenses.seal import Role, Seal, critical_fields, make_seal

CATALOG = Catalog.builtin()
NUMBERS = {
    "uscc": "91310115MA1K4ABC5X",
    "resident_id": "310115199003071234",
    "disability_card": "31011519900307123423",
}


def sample(spec, type_):
    if spec.type is FieldType.CODE:
        return min(spec.codes)
    person = "111" in type_.holders[0].kinds
    words = {
        FieldType.DATE: "2026-11-23",
        FieldType.END: "2031-11-22",
        FieldType.INTEGER: "12",
        FieldType.IMAGE: "ab" * 32,
        FieldType.NUMBER: NUMBERS.get(spec.rule, "JY13101150123456"),
        FieldType.LINES: "食品销售；餐饮服务；技术服务、技术开发；" * 6,
    }
    if spec.type in words:
        return words[spec.type]
    if "name" in spec.key or "operator" in spec.key:
        return "王喆𬭎" if person else "上海喆祎堃昇𬭎信息科技有限公司"
    return "上海市浦东新区张江路1234弄56号7幢8层901室" if "address" in spec.key else "沪A1234567"


def portrait():
    buffer = io.BytesIO()
    Image.new("RGB", (240, 300), (200, 215, 230)).save(buffer, "JPEG")
    return buffer.getvalue()


def content_of(type_):
    values = {spec.key: sample(spec, type_) for spec in type_.face_fields}
    serial = "91310115MA1K4ABC5X" if type_.serial == "number" else "K7Q2M9X4T8R1"
    body = f"{type_.code}.11310115MB2F3069XM.{serial}.001"
    check = mod_37_36.calc_check_digit(body.replace(".", ""))
    content = Content(
        type_key=type_.key,
        type_code=type_.code,
        title=type_.zh,
        identifier=f"1.2.156.3005.2.{body}.{check}",
        number=values[type_.number],
        version=1,
        authority="上海市浦东新区市场监督管理局",
        area="310115",
        holders=(("王喆𬭎", "310115199003071234", "111"),),
        valid_from=date(2026, 11, 23),
        valid_until=date(2031, 11, 22),
        issued_on=date(2026, 11, 23),
        fields=face_fields(type_, values),
        number_key=type_.number,
        images={type_.portrait: portrait()} if type_.portrait else {},
        template=type_.printed.template,
        sizes=type_.printed.sizes,
        credential="eyJhbGciOiJFUzI1NiJ9.e30.c2lnbmF0dXJl~",
    )
    return content, critical_fields(type_, values)


def sealed(content, critical, authority):
    salt = bytes(range(16))
    seal = Seal(
        iss="https://sh.ewallet.example/a/market",
        area=content.area,
        identifier=content.identifier,
        version=1,
        role=Role.ORIGINAL,
        number=1,
        of=1,
        stock="SH2026-00000017",
        salt=salt,
        face_digest=face_digest(content.face, salt),
        fields=critical,
        issued_at=1_795_400_000,
        expires=1_995_400_000,
        status=StatusReference(idx=913344, uri="https://sh.ewallet.example/status/licenses/2026-1"),
    )
    return PrintedCopy(
        identifier=content.identifier,
        version=1,
        role=seal.role,
        number=1,
        of=1,
        stock=seal.stock,
        state=CopyState.TO_PRINT,
        seal=make_seal(seal, authority),
        status=seal.status,
    )


def degraded(page):
    grey = page.convert("L").point(lambda value: 60 + value * 130 // 255)
    turned = grey.rotate(3, Image.Resampling.BICUBIC, expand=True, fillcolor=150)
    buffer = io.BytesIO()
    turned.filter(ImageFilter.GaussianBlur(0.8)).save(buffer, "JPEG", quality=40)
    return buffer.getvalue()


@pytest.mark.parametrize("key", sorted(each.key for each in CATALOG))
def test_a_type_is_drawn_complete_at_its_size_and_its_seal_reads(key, authority, faces):
    type_ = CATALOG[key]
    content, critical = content_of(type_)
    copy = sealed(content, critical, authority)
    pdf = render(content, copy, faces=faces)

    for size in typeset.page_sizes_mm(pdf):
        assert size == pytest.approx(type_.printed.sizes["original"], abs=0.01)
    drawn = "".join("".join(typeset.page_texts(pdf)).split())
    for each in content.fields:
        if not each.picture:
            assert "".join(each.label.split()) in drawn, each.key
            assert "".join(each.shown.split()) in drawn, each.key
    for dpi in (150, 300):
        page = typeset.render_pdf(pdf, dpi=dpi)[-1]
        assert qr.read_image(page) == [copy.seal]
        assert qr.read_image(degraded(page)) == [copy.seal]


def test_no_sensitive_value_is_in_a_seal_unmasked():
    for type_ in CATALOG:
        content, critical = content_of(type_)
        values = dict(content.face)
        for spec in type_.seal_fields:
            if spec.sensitive:
                assert critical[spec.key] != values[spec.key], (type_.key, spec.key)


def test_a_long_critical_value_is_cut_in_the_seal():
    type_ = CATALOG["business-license"]
    content, _ = content_of(type_)
    values = dict(content.face) | {"name": "名" * 60}
    cut = critical_fields(type_, values)["name"]
    assert cut == "名" * 39 + "…"
