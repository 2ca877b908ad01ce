"""An issuing authority in memory or on a real database, and a made-up record of every type."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from ewallet.keys import SigningKey
from ewallet.licenses.binding import prove
from ewallet.licenses.catalog import Catalog
from ewallet.licenses.issuer import Authority, Issued, Issuer
from ewallet.licenses.lifecycle import Case
from ewallet.licenses.numbers import food_permit, resident_id, uscc
from ewallet.licenses.register import Register

NOW = datetime(2026, 11, 23, 5, 0, tzinfo=UTC)
CATALOG = Catalog.builtin()
TWO = Case(operator="officer-1", second_operator="officer-2")


def authority(name: str = "market", number: int = 1) -> Authority:
    body = f"1131000{number}MA1FL0001"
    return Authority(
        uri=f"https://sh.ewallet.example/a/{name}",
        name="上海市样例局",
        name_en="Sample Bureau",
        uscc=body + uscc.check_character(body),
        area="310000",
        status_base=f"https://sh.ewallet.example/s/{name}",
        base="https://ewallet.example",
    )


def organization(n: int) -> str:
    body = f"91310101MA{n:07}"
    return body + uscc.check_character(body)


def resident(n: int) -> str:
    body = f"310101190001{n % 28 + 1:02}{n % 1000:03}"
    return body + resident_id.check_character(body)


def _person(n: int) -> dict[str, str]:
    number = resident(n)
    return {
        "name": f"样本{n}",
        "sex": resident_id.sex(number),
        "born_on": resident_id.born_on(number).isoformat(),
        "resident_id": number,
    }


def _enterprise(n: int) -> dict[str, str]:
    return {"name": f"上海样例{n}有限公司", "uscc": organization(n)}


def record(key: str, n: int = 1) -> dict[str, str]:
    """A made-up record of a type whose numbers check."""
    return _RECORDS[key](n)


def _business(n: int) -> dict[str, str]:
    return {
        **_enterprise(n),
        "company_type": "有限责任公司",
        "legal_representative": "王喆",
        "registered_capital": "100万元人民币",
        "established_on": "2019-03-05",
        "valid_until": "long-term",
        "address": "上海市黄浦区样例路1号",
        "scope": "食品销售。\n图书零售。",
        "issued_on": "2026-11-20",
    }


def _food(n: int) -> dict[str, str]:
    return {
        "operator": f"上海样例{n}有限公司",
        "uscc": organization(n),
        "legal_representative": "王喆",
        "address": "上海市黄浦区样例路1号",
        "place": "上海市黄浦区样例路1号",
        "business_form": "食品销售经营者",
        "items": "预包装食品销售",
        "permit_number": food_permit.with_check(f"JY1310101{n:06}"),
        "issued_on": "2026-11-20",
        "valid_until": "2031-11-19",
    }


def _disability(n: int) -> dict[str, str]:
    return {
        **_person(n),
        "ethnic_group": "01",
        "category": "4",
        "grade": "2",
        "card_number": resident(n) + "42",
        "issued_on": "2026-11-18",
        "valid_until": "2036-11-17",
    }


def _marriage(n: int) -> dict[str, str]:
    found = {"certificate_number": f"J310101-2026-{n:06}", "issued_on": "2026-11-20"}
    for place, number in ((1, resident(2 * n)), (2, resident(2 * n + 1))):
        found |= {
            f"name_{place}": f"样本{place}",
            f"sex_{place}": resident_id.sex(number),
            f"nationality_{place}": "中国",
            f"born_on_{place}": resident_id.born_on(number).isoformat(),
            f"resident_id_{place}": number,
        }
    return found


def _with(make: Any, drop: tuple[str, ...] = (), **more: str) -> Any:
    def build(n: int) -> dict[str, str]:
        found = {**make(n), **{key: value.format(n=n) for key, value in more.items()}}
        return {key: value for key, value in found.items() if key not in drop}

    return build


_TERM = {"issued_on": "2026-11-20", "valid_until": "2030-11-19"}
_RECORDS = {
    "business-license": _business,
    "food-business-permit": _food,
    "disability-card": _disability,
    "resident-id": _with(_person, ethnic_group="01", address="上海市样例路{n}号", **_TERM),
    "residence-permit": _with(
        _person, ethnic_group="01", address="上海市样例路1号", registered_address="江苏省样例市", **_TERM
    ),
    "driving-license": _with(
        _person,
        nationality="中国",
        address="上海市样例路1号",
        first_issued_on="2020-05-06",
        license_class="C1",
        valid_from="2026-05-06",
        file_number="310000000001",
        points="0",
        license_state="A",
        generated_on="2026-11-23",
        **_TERM,
    ),
    "vehicle-license": _with(
        _person,
        drop=("name", "sex", "born_on", "resident_id"),
        plate="沪A{n:05}",
        vehicle_type="小型轿车",
        owner="样本",
        owner_code="310101190001010011",
        address="上海市样例路1号",
        use="非营运",
        model="样例牌",
        vin="LSAMPLE00000{n:05}",
        engine="E{n}",
        registered_on="2025-01-02",
        issued_on="2025-01-02",
        inspection_until="2027-01-31",
    ),
    "public-place-hygiene-permit": _with(
        _enterprise,
        legal_representative="王喆",
        address="上海市样例路1号",
        items="宾馆",
        permit_number="（沪）卫公证字〔2026〕第{n:04}号",
        **_TERM,
    ),
    "marriage-certificate": _marriage,
    "birth-certificate": _with(
        _person,
        drop=("name", "resident_id"),
        certificate_number="X{n:09}",
        child_name="样小本",
        place="上海市",
        facility="样例医院",
        mother_name="样本母",
        mother_id="310101190001010011",
        issued_on="2026-11-20",
        born_on="2026-11-18",
    ),
    "social-security-card": _with(_person, drop=("sex", "born_on"), card_number="A{n:08}", **_TERM),
    "senior-card": _with(
        _person,
        drop=("sex", "born_on"),
        address="上海市样例路1号",
        card_number="{n:08}",
        issued_on="2026-11-20",
    ),
    "road-transport-qualification": _with(_person, qualification="P", first_issued_on="2020-01-02", **_TERM),
    "road-transport-operation": _with(
        _enterprise, license_number="310101{n:06}", address="上海市样例路1号", scope="普通货运", **_TERM
    ),
    "road-transport-certificate": _with(
        _enterprise,
        certificate_number="310101{n:06}",
        plate="沪B{n:05}",
        operation_license="310101000001",
        vehicle_type="重型货车",
        load="20吨",
        scope="普通货运",
        issued_on="2026-11-20",
    ),
    "water-transport-operation": _with(
        _enterprise,
        license_number="交沪水{n:06}",
        address="上海市样例路1号",
        legal_representative="王喆",
        scope="国内沿海普通货船运输",
        **_TERM,
    ),
    "ship-operation-certificate": _with(
        _enterprise,
        certificate_number="沪营{n:06}",
        ship="样例{n}",
        ship_registration="310000{n:06}",
        scope="普通货物运输",
        **_TERM,
    ),
    "inland-ship-certificate": _with(
        _enterprise,
        certificate_number="NH-{n:08}",
        ship="样例{n}",
        ship_identification="CN{n:011}",
        port="上海",
        tonnage="500",
        built_on="2018-01-02",
        area_of_navigation="A级",
        **_TERM,
    ),
    "comprehensive-license": _with(
        _enterprise,
        license_number="HY2026{n:06}",
        legal_representative="王喆",
        address="上海市样例路1号",
        industry="pharmacy",
        permits_text="药品经营、食品经营、医疗器械经营",
        issued_on="2026-11-20",
    ),
}


class Agency:
    """An issuing authority with keys of its own."""

    def __init__(self, register: Register, *, suite: str = "ES256", name: str = "market") -> None:
        self.key = SigningKey.generate(suite)
        self.status_key = SigningKey.generate(suite)
        self.register = register
        self.issuer = Issuer(
            signer=self.key,
            status_signer=self.status_key,
            catalog=CATALOG,
            register=register,
            authority=authority(name),
        )

    def issue(self, key: str = "business-license", n: int = 1, **more: Any) -> Issued:
        more.setdefault("now", NOW)
        return self.issuer.issue(record(key, n), type=key, **more)

    def proof(self, device: SigningKey, now: datetime = NOW) -> bytes:
        return prove(device, authority=self.issuer.authority.uri, nonce=self.issuer.challenge(now))
