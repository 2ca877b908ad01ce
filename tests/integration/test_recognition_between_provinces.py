"""Licenses of each province at counters of the others: recognized, mapped, refused, undecided, in words."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from itertools import permutations
from pathlib import Path

import pytest

from ewallet.cli import cli
from ewallet.cli.exits import Exit
from ewallet.licenses.catalog import Catalog
from ewallet.licenses.issuer import Authority, Issuer
from ewallet.licenses.numbers import uscc
from ewallet.licenses.register import Register
from ewallet.trust.authoring import PROVINCES, Consortium
from ewallet.trust.bundle import write_bundle
from ewallet.trust.distribution import TrustStore
from ewallet.trust.entries import Service
from ewallet.trust.mappings import builtin_rules
from ewallet.trust.scenes import DATA
from ewallet.trust.statements import load_proofs, state_all
from ewallet.verify.policy import Policy
from ewallet.verify.replay import MemoryGuard
from ewallet.verify.sources import StatusDirectory
from ewallet.verify.verifier import Verifier

START = datetime(2026, 5, 1, 4, tzinfo=UTC)
NOW = START + timedelta(hours=2)
LATER = NOW + timedelta(hours=12)
FOUR = ("31", "32", "33", "34")
AREAS = {"31": "310115", "32": "320500", "33": "330106", "34": "340104"}
TABLE = json.loads((DATA / "mappings.json").read_text("utf-8"))
BUSINESS = next(entry for entry in TABLE["types"] if entry["id"] == "business-license")
CATALOG = Path(__file__).parents[2] / "ewallet" / "licenses" / "catalog"


def local_catalog(code: str, place: Path) -> Catalog:
    """The business license as a province writes it: its own field names and type version."""
    lines = (CATALOG / "business-license.toml").read_text("utf-8").splitlines()
    for number, line in enumerate(lines):
        word, _, value = line.partition(" = ")
        if word not in ("rule", "template", "type", "kind", "mask"):
            common = value.strip('"')
            local = BUSINESS["fields"].get(common, {}).get(code, common)
            lines[number] = line.replace(f'"{common}"', f'"{local}"')
    version = BUSINESS["provinces"][code]["version"]
    text = "\n".join(lines).replace("version = 1", f"version = {version}", 1) + "\n"
    place.mkdir()
    (place / "business-license.toml").write_text(text, encoding="utf-8")
    shutil.copy(CATALOG / "codes.toml", place)
    return Catalog.load(place, builtin=False)


def record(code: str) -> dict[str, str]:
    body = f"91{AREAS[code]}MA1K00001"
    common = {
        "uscc": body + uscc.check_character(body),
        "name": "样例（测试）有限公司",
        "company_type": "有限责任公司",
        "legal_representative": "王喆",
        "registered_capital": "100万元人民币",
        "established_on": "2019-03-05",
        "valid_until": "long-term",
        "address": "样例路1号",
        "scope": "食品销售。",
        "issued_on": "2026-05-01",
    }
    return {BUSINESS["fields"][key].get(code, key): value for key, value in common.items()}


class Delta:
    def __init__(self, place: Path) -> None:
        self.place = place
        self.consortium = Consortium.sandbox(FOUR, now=START)
        self.files, self.issuers, self.issued = {}, {}, {}
        for code in FOUR:
            self.found(code)
        rules = builtin_rules(FOUR, start=START, until=START + timedelta(days=365))
        kept = [rule for rule in rules if rule["id"] != "33-34-business-license"]
        self.consortium.set_rules(kept, now=START)
        self.publish(START)

    def found(self, code: str) -> None:
        zh, en, _ = PROVINCES[code]
        listed = self.consortium.add_authority(
            code,
            "market",
            names={"zh": f"{zh}市场监管局（示例）", "en": f"{en} market regulator (example)"},
            now=START,
        )
        body = f"11{AREAS[code]}MB2F00001"
        issuer = Issuer(
            signer=listed.signer(Service.LICENSES),
            status_signer=listed.signer(Service.STATUS),
            catalog=local_catalog(code, self.place / f"catalog-{code}"),
            register=Register.open(f"sqlite:///{self.place / code}.sqlite", migrate=True),
            authority=Authority(
                uri=listed.uri,
                name=listed.names["zh"],
                name_en=listed.names["en"],
                uscc=body + uscc.check_character(body),
                area=AREAS[code],
                status_base=listed.status_prefix,
                base="https://ewallet.example",
            ),
        )
        issued = issuer.issue(record(code), type=BUSINESS["provinces"][code]["type"], now=START)
        self.issuers[code], self.issued[code] = issuer, issued
        self.files[code] = self.place / f"{code}.sdjwt"
        self.files[code].write_text(issued.document)

    def publish(self, now: datetime) -> None:
        for issuer in self.issuers.values():
            issuer.register.publish_status(self.place / "status", issuer.status_signer, now=now, ttl=86_400)
        shutil.rmtree(self.place / "bundle", ignore_errors=True)
        repository = self.consortium.publish(self.place / "published", now=now)
        write_bundle(self.place / "bundle", repository=repository, status=self.place / "status")

    def explain(self, capsys, source: str, target: str, lang: str, *, now: datetime = NOW) -> tuple[int, str]:
        code = cli.main(
            [
                *("trust", "explain", str(self.files[source]), "--at", target, "--lang", lang),
                *("--trust", str(self.place / "bundle"), "--now", now.isoformat()),
            ],
            standalone_mode=False,
        )
        return code, capsys.readouterr().out

    def close(self) -> None:
        for issuer in self.issuers.values():
            issuer.register.close()


@pytest.fixture(scope="module")
def delta(tmp_path_factory):
    made = Delta(tmp_path_factory.mktemp("delta"))
    yield made
    made.close()


PAIRS = [pair for pair in permutations(FOUR, 2) if pair != ("33", "34")]


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_recognized_and_mapped(delta, capsys, source, target):
    code, zh = delta.explain(capsys, source, target, "zh")
    assert code == Exit.ACCEPTED, zh
    assert f"按双方认可的规则 {source}-{target}-business-license" in zh
    assert f"在{PROVINCES[target][0]}可用。" in zh
    code, en = delta.explain(capsys, source, target, "en")
    mapped = en.partition("Mapped fields: ")[2].splitlines()[0].split(", ")
    assert BUSINESS["fields"]["legal_representative"].get(target, "legal_representative") in mapped
    assert f"Accepted in {PROVINCES[target][1]}." in en


def test_at_home_no_rule_is_needed(delta, capsys):
    code, told = delta.explain(capsys, "31", "31", "zh")
    assert code == Exit.ACCEPTED
    assert "上海市本地证照，无需互认。" in told


def test_undecided_without_a_rule(delta, capsys):
    code, zh = delta.explain(capsys, "33", "34", "zh")
    assert code == Exit.UNDECIDED
    assert "浙江省市场监管局（示例）" in zh  # the issuing province's facts, for the manual path
    assert "recognition.no_rule" in zh
    _, en = delta.explain(capsys, "33", "34", "en")
    assert "Follow the manual path." in en


def test_undecided_with_old_lists(delta, capsys):
    code, told = delta.explain(capsys, "31", "32", "en", now=START + timedelta(days=3))
    assert code == Exit.UNDECIDED
    assert "trust.stale" in told


def test_refused_where_the_issuer_is_stopped(delta, capsys):
    consortium = delta.consortium
    consortium.brake(
        {"entity": consortium.authorities["https://js.ewallet.example/a/market"].uri},
        reason="exercise",
        now=NOW,
    )
    delta.publish(NOW)
    code, told = delta.explain(capsys, "32", "31", "zh")
    assert code == Exit.REJECTED
    assert "issuer.suspended" in told
    code, _ = delta.explain(capsys, "34", "31", "zh")
    assert code == Exit.ACCEPTED  # everything else keeps working
    consortium.lift_brake(now=NOW)
    delta.publish(NOW)
    assert delta.explain(capsys, "32", "31", "zh")[0] == Exit.ACCEPTED


def test_a_license_outlives_the_key_that_signed_it_where_its_existence_was_stated(tmp_path):
    """A real license: stated at issuing, its key stolen later. Only the statement keeps it alive."""
    delta = Delta(tmp_path)
    registry = delta.consortium.add_authority(
        "32",
        "registry",
        names={"zh": "登记（示例）", "en": "registry"},
        services=(Service.REGISTER,),
        now=START,
    )
    signer = registry.signer(Service.REGISTER)
    documents = [delta.issued[code].document for code in ("31", "32")]
    proofs = tmp_path / "proofs"
    assert state_all(documents[:1], proofs, signer=signer, iss=registry.uri, now=NOW) == 1
    assert state_all(documents, proofs, signer=signer, iss=registry.uri, now=LATER) == 1
    for code in ("31", "32"):
        uri = f"https://{PROVINCES[code][2]}.ewallet.example/a/market"
        kid = delta.consortium.authorities[uri].signer(Service.LICENSES).public_key.kid
        delta.consortium.compromise(uri, Service.LICENSES, kid=kid, since=LATER, now=LATER)
    delta.publish(LATER)
    trust = TrustStore.open(tmp_path / "state").refresh(tmp_path / "bundle", LATER)

    def verify(document, statements):
        verifier = Verifier(
            trust=trust,
            policy=Policy.content(province="31"),
            status=StatusDirectory(tmp_path / "status"),
            replay=MemoryGuard(started=NOW),
            proofs=statements,
        )
        found = verifier.verify(document, now=LATER)
        return found.reason.code if found.reason else ""

    assert verify(documents[0], None) == "issuer.proof_missing"
    assert verify(documents[0], load_proofs(proofs)) == ""
    assert verify(documents[1], load_proofs(proofs)) == "issuer.proof_missing"  # stated too late
    delta.close()
