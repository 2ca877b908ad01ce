from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from stdnum.cn import uscc
from stdnum.iso7064 import mod_37_36

from ewallet.formats.statuslist import StatusReference
from ewallet.keys import SigningKey
from ewallet.licenses.catalog import Catalog
from ewallet.licenses.issuer import Authority, Issuer
from ewallet.licenses.license import face_digest
from ewallet.licenses.printed import CopyState, PrintedCopy
from ewallet.licenses.register import Register
from ewallet.licenses.render import Content, FaceField, Faces
from ewallet.licenses.seal import Role, Seal, make_seal

ISSUER = "https://sh.ewallet.example/a/market"
FIELDS = (
    ("name", "名称", "上海喆祎堃昇𬭎信息科技有限公司"),
    ("company_type", "类型", "有限责任公司（自然人投资或控股）"),
    ("legal_representative", "法定代表人", "王喆𬭎"),
    ("capital", "注册资本", "人民币壹仟万元整"),
    ("established_on", "成立日期", "2019年3月8日"),
    ("address", "住所", "上海市浦东新区张江路1234弄56号7幢8层901室"),
    ("remark", "备注", ""),
    ("scope", "经营范围", "食品销售；餐饮服务；技术服务。"),
)


def identifier(version=1):
    body = f"11100000MB0143028R001.11310115MB2F3069XM.91310115MA1K4ABC5X.{version:03d}"
    return f"1.2.156.3005.2.{body}.{mod_37_36.calc_check_digit(body.replace('.', ''))}"


@pytest.fixture(scope="session")
def authority():
    return SigningKey.generate("ES256")


@pytest.fixture(scope="session")
def faces():
    return Faces.builtin()


@pytest.fixture(scope="session")
def content():
    return Content(
        type_key="business-license",
        type_code="11100000MB0143028R001",
        title="营业执照",
        identifier=identifier(),
        number="91310115MA1K4ABC5X",
        version=1,
        authority="上海市浦东新区市场监督管理局",
        area="310115",
        holders=(("上海喆祎堃昇𬭎信息科技有限公司", "91310115MA1K4ABC5X", "001"),),
        valid_from=date(2026, 11, 23),
        valid_until=None,
        issued_on=date(2026, 11, 23),
        fields=tuple(FaceField(key=k, label=label, value=v, shown=v) for k, label, v in FIELDS),
        number_key="uscc",
        template="business-license",
        sizes={"original": (420.0, 297.0), "duplicate": (297.0, 210.0)},
        credential="eyJhbGciOiJFUzI1NiJ9.e30.c2lnbmF0dXJl~",
    )


@pytest.fixture(scope="session")
def make_copy(authority):
    def make(content, *, role=Role.ORIGINAL, number=1, of=1, stock="SH2026-00000017", **changes):
        salt = bytes(range(16))
        seal = Seal(
            iss=ISSUER,
            area=content.area,
            identifier=content.identifier,
            version=content.version,
            role=role,
            number=number,
            of=of,
            stock=stock,
            salt=salt,
            face_digest=face_digest(content.face, salt),
            fields={"name": content.fields[0].value, "legal_representative": "王**"},
            issued_at=int(datetime(2026, 11, 23, 4, tzinfo=UTC).timestamp()),
            expires=None,
            status=StatusReference(idx=913344, uri="https://sh.ewallet.example/status/licenses/1"),
        )
        copy = PrintedCopy(
            identifier=seal.identifier,
            version=seal.version,
            role=role,
            number=number,
            of=of,
            stock=stock,
            state=CopyState.TO_PRINT,
            seal=make_seal(seal, authority),
            status=seal.status,
        )
        return replace(copy, **changes)

    return make


NOW = datetime(2026, 11, 23, 4, tzinfo=UTC)
RECORD = {
    "uscc": "91310115MA1K4ABC5X",
    "name": "上海喆祎堃昇信息科技有限公司",
    "company_type": "有限责任公司",
    "legal_representative": "王喆𬭎",
    "registered_capital": "1000万元",
    "established_on": "2019-03-08",
    "valid_until": "long-term",
    "address": "上海市浦东新区张江路1234弄56号",
    "scope": "食品销售；餐饮服务。",
    "issued_on": "2026-11-23",
}


def valid_uscc(place):
    """A made-up credit code of a made-up company, right in its form and check character."""
    body = f"91310115MA{place:07d}"
    return body + uscc.calc_check_digit(body)


@pytest.fixture(scope="session")
def catalog():
    return Catalog.builtin()


@pytest.fixture
def register(tmp_path):
    with Register.open(tmp_path / "register.db") as opened:
        yield opened


@pytest.fixture
def issuer(register, authority, catalog):
    return Issuer(
        signer=authority,
        status_signer=SigningKey.generate("ES256"),
        catalog=catalog,
        register=register,
        authority=Authority(
            uri=ISSUER,
            name="上海市浦东新区市场监督管理局",
            name_en="Pudong Market Supervision",
            uscc="11310115MB2F3069XM",
            area="310115",
            status_base="https://sh.ewallet.example/status/market",
            base="https://sh.ewallet.example",
        ),
    )


@pytest.fixture
def issue(issuer):
    def make(*, place=1, now=NOW, printed=None, **changes):
        record = RECORD | {"uscc": valid_uscc(place)} | changes
        return issuer.issue(record, type="business-license", printed=printed, now=now)

    return make
