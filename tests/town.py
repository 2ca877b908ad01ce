"""A town at its counters: authorities that issue licenses into registers, holders' phones, real lists.

A simulator for tests of the relying side: everything is issued, signed, published and verified as in life.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import NullPool, create_engine

from ewallet.keys import SigningKey
from ewallet.licenses import binding
from ewallet.licenses.catalog import Catalog
from ewallet.licenses.issuer import Authority, Issuer
from ewallet.licenses.numbers import food_permit, resident_id, uscc
from ewallet.licenses.presenting import present
from ewallet.licenses.register import Register
from ewallet.trust.authoring import Consortium
from ewallet.trust.distribution import TrustStore
from ewallet.trust.entries import Service
from ewallet.verify.policy import Policy
from ewallet.verify.replay import FileGuard, MemoryGuard
from ewallet.verify.replay_sql import SqlGuard
from ewallet.verify.sources import StatusDirectory
from ewallet.verify.verifier import Verifier

if TYPE_CHECKING:
    from ewallet.licenses.issuer import Issued
    from ewallet.trust.authoring import Authority as Listed
    from ewallet.trust.trust import Trust
    from ewallet.verify.result import Verification

NOW = datetime(2026, 3, 2, 4, 20, 5, tzinfo=UTC)
"""12:20 in Shanghai."""

START = NOW - timedelta(hours=2)
VENUE = "https://sh.ewallet.example/v/1"
BASE = "https://ewallet.example"
AREAS = {"31": "310115", "32": "320500"}


def resident_number(born: str, *, sex: int = 2, region: str = "310115") -> str:
    """A made-up resident number: its order code is 99x."""
    body = f"{region}{born.replace('-', '')}99{sex}"
    return body + resident_id.check_character(body)


def uscc_number(body: str = "91310115MA1K0TEXT") -> str:
    """A made-up unified social credit code."""
    return body + uscc.check_character(body)


MOTHER, FATHER = resident_number("1995-04-12", sex=2), resident_number("1994-08-03", sex=1)
BOSS = resident_number("1980-01-15", sex=1)

RECORDS: dict[str, dict[str, str]] = {
    "business-license": {
        "uscc": uscc_number(),
        "name": "上海示例餐饮有限公司",
        "company_type": "有限责任公司",
        "legal_representative": "范示例",
        "registered_capital": "人民币壹拾万元整",
        "established_on": "2020-05-06",
        "valid_until": "long-term",
        "address": "上海市浦东新区范例大道1号",
        "scope": "餐饮服务；食品销售。",
        "issued_on": "2026-03-01",
    },
    "resident-id": {
        "name": "范示例",
        "sex": "1",
        "ethnic_group": "01",
        "born_on": "1980-01-15",
        "address": "上海市浦东新区范例大道2号",
        "resident_id": BOSS,
        "issued_on": "2020-01-01",
        "valid_until": "2040-01-01",
    },
    "mother": {
        "name": "宋示例",
        "sex": "2",
        "ethnic_group": "01",
        "born_on": "1995-04-12",
        "address": "上海市浦东新区范例大道3号",
        "resident_id": MOTHER,
        "issued_on": "2020-01-01",
        "valid_until": "2040-01-01",
    },
    "father": {
        "name": "钱示例",
        "sex": "1",
        "ethnic_group": "01",
        "born_on": "1994-08-03",
        "address": "上海市浦东新区范例大道3号",
        "resident_id": FATHER,
        "issued_on": "2020-01-01",
        "valid_until": "2040-01-01",
    },
    "birth-certificate": {
        "certificate_number": "Z310000001",
        "child_name": "钱小例",
        "sex": "2",
        "born_on": "2026-02-20",
        "place": "上海市浦东新区",
        "facility": "上海示例妇幼保健院",
        "mother_name": "宋示例",
        "mother_id": MOTHER,
        "father_name": "钱示例",
        "father_id": FATHER,
        "issued_on": "2026-02-25",
    },
    "marriage-certificate": {
        "certificate_number": "J310115-2020-000001",
        "issued_on": "2020-05-20",
        "name_1": "钱示例",
        "sex_1": "1",
        "nationality_1": "中国",
        "born_on_1": "1994-08-03",
        "resident_id_1": FATHER,
        "name_2": "宋示例",
        "sex_2": "2",
        "nationality_2": "中国",
        "born_on_2": "1995-04-12",
        "resident_id_2": MOTHER,
    },
    "social-security-card": {
        "name": "宋示例",
        "resident_id": MOTHER,
        "card_number": "A00000001",
        "issued_on": "2024-01-01",
        "valid_until": "2034-01-01",
    },
    "driving-license": {
        "resident_id": BOSS,
        "name": "范示例",
        "sex": "1",
        "nationality": "中国",
        "address": "上海市浦东新区范例大道2号",
        "born_on": "1980-01-15",
        "first_issued_on": "2006-03-10",
        "license_class": "C1",
        "valid_from": "2026-03-10",
        "valid_until": "2036-03-10",
        "file_number": "310000000001",
        "points": "0",
        "license_state": "A",
        "generated_on": "2026-03-01",
        "issued_on": "2026-03-01",
    },
    "food-business-permit": {
        "operator": "上海示例餐饮有限公司",
        "uscc": uscc_number(),
        "legal_representative": "范示例",
        "address": "上海市浦东新区范例大道1号",
        "place": "上海市浦东新区范例大道1号",
        "business_form": "餐饮服务经营者",
        "items": "热食类食品制售",
        "permit_number": food_permit.with_check("JY2310115000000"),
        "issued_on": "2026-03-01",
        "valid_until": "2031-02-28",
    },
}
"""Plainly made-up records; `mother` and `father` are resident IDs."""


@dataclass
class Office:
    """An issuing authority with its register."""

    listed: Listed
    issuer: Issuer
    register: Register


@dataclass
class Held:
    """A license on a phone: both holder credentials and the device key that they name."""

    issued: Issued
    sd_jwt: str
    sd_cwt: bytes
    device: SigningKey

    def show(
        self,
        *disclose: str,
        audience: str = VENUE,
        nonce: bytes | None = None,
        now: datetime = NOW,
        json=False,
    ) -> str:
        """A presentation, `EWL` or SD-JWT+KB."""
        credential = self.sd_jwt if json else self.sd_cwt
        return present(credential, self.device, audience=audience, nonce=nonce, disclose=disclose, now=now)


@dataclass
class Town:
    """Shanghai, and Jiangsu next door.

    Attributes:
        directory: where everything is published.
        suite: suite of all keys.
    """

    directory: Path
    suite: str = "ES256"
    catalog: Catalog = field(default_factory=Catalog.builtin)
    offices: dict[str, Office] = field(default_factory=dict)
    rounds: int = 0

    def __post_init__(self) -> None:
        self.consortium = Consortium.sandbox(("31", "32"), now=START, suite=self.suite)
        self.verifying = self.consortium.add_authority(
            "31",
            "hall",
            names={"zh": "示例政务大厅", "en": "Example service hall"},
            services=(Service.VERIFY, Service.RECEIPTS),
            now=START,
        )
        for province in ("31", "32"):
            self.open_office(province)

    def open_office(self, province: str, label: str = "market", **parts: Any) -> Office:
        """Lists an authority that may issue every type of its province."""
        names = {"zh": f"示例{label}", "en": f"Example {label}"}
        parts.setdefault("services", (Service.LICENSES, Service.STATUS))
        parts.setdefault("start", NOW - timedelta(days=30))
        listed = self.consortium.add_authority(province, label, names=names, now=START, **parts)
        return self.office_of(listed, f"{province}/{label}")

    def office_of(self, listed: Listed, key: str) -> Office:
        """An office with a register in memory, for an authority that may or may not be listed."""
        register = Register.open(f"sqlite:///{self.directory / key.replace('/', '-')}.sqlite", migrate=True)
        issuer = Issuer(
            signer=listed.signer(Service.LICENSES),
            status_signer=listed.signer(Service.STATUS),
            catalog=self.catalog,
            register=register,
            authority=Authority(
                uri=listed.uri,
                name=listed.names["zh"],
                name_en=listed.names["en"],
                uscc=uscc_number(f"11{AREAS[listed.province]}MB2F00001"),
                area=AREAS[listed.province],
                status_base=listed.status_prefix,
                base=BASE,
            ),
        )
        self.offices[key] = Office(listed=listed, issuer=issuer, register=register)
        return self.offices[key]

    def issue(
        self, record: str, *, office: str = "31/market", now: datetime = START, printed=None, **changes: str
    ) -> Issued:
        """Issues one of `RECORDS`, with changes."""
        type_ = "resident-id" if record in ("mother", "father") else record
        return self.offices[office].issuer.issue(
            {**RECORDS[record], **changes}, type=type_, printed=printed, now=now
        )

    def bind(
        self, issued: Issued, *, office: str = "31/market", holder: int = 0, now: datetime = START
    ) -> Held:
        """A holder's app claims a license."""
        issuer, device = self.offices[office].issuer, SigningKey.generate(self.suite)
        proof = binding.prove(device, authority=issuer.authority.uri, nonce=issuer.challenge(now))
        given = issuer.bind(issued.license, holder, device.public_key, proof, now=now)
        return Held(issued=issued, sd_jwt=given.sd_jwt, sd_cwt=given.sd_cwt, device=device)

    def hold(self, record: str, **parts: Any) -> Held:
        """Issues and binds at once."""
        office = parts.pop("office", "31/market")
        return self.bind(self.issue(record, office=office, **parts), office=office)

    def publish(self, now: datetime = NOW) -> Trust:
        """Publishes lists and status; the lists as a counter sees them."""
        self.rounds += 1
        self.publish_status(now)
        self.consortium.publish(self.directory / "repository", now=now)
        return TrustStore.open(self.directory / f"state{self.rounds}").refresh(self.directory, now)

    def publish_status(self, now: datetime = NOW) -> None:
        """Signs all status lists anew."""
        for office in self.offices.values():
            office.register.publish_status(
                self.directory / "status", office.issuer.status_signer, now=now, ttl=3600, everything=True
            )

    def verifier(
        self,
        scene: str = "counter",
        *,
        trust: Trust | None = None,
        province: str = "31",
        fields: Any = None,
        proofs: Any = None,
        **narrow: Any,
    ) -> Verifier:
        """A counter with a fresh guard that has been awake for an hour."""
        lists = trust or self.publish()
        narrowed = lists.scenes[scene].narrowed({"scene": scene, "venue": VENUE, **narrow})
        guard = MemoryGuard(started=NOW - timedelta(hours=1))
        if narrowed.guard != "memory":
            self.rounds += 1
            place = self.directory / f"guard{self.rounds}"
            guard = FileGuard(place) if narrowed.guard == "file" else _shared(place)
        return Verifier(
            trust=lists,
            policy=Policy.of(narrowed, province=province, fields=fields),
            status=StatusDirectory(self.directory / "status"),
            replay=guard,
            proofs=proofs,
        )

    def close(self) -> None:
        """Closes the registers."""
        for office in self.offices.values():
            office.register.close()


def _shared(place: Path) -> SqlGuard:
    guard = SqlGuard(create_engine(f"sqlite:///{place}", poolclass=NullPool))
    guard.create()
    return guard


def reason_of(found: Verification) -> str:
    """Reason code of a verification, or its outcome where there is none."""
    return found.reason.code if found.reason else found.outcome.value
