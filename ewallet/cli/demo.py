"""`ewallet demo`: the main job, end to end, on embedded data and fresh keys."""

from __future__ import annotations

import json
import shutil
import sys
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from ewallet.cli.exits import Exit, report
from ewallet.cli.story import ACCEPTED, Answer, Story, answer_of
from ewallet.cli.verify_command import default_language
from ewallet.code import possession, rotating
from ewallet.code.authority import CodeAuthority
from ewallet.errors import EwalletError
from ewallet.formats import text
from ewallet.formats.qr import qr_image, read_image
from ewallet.formats.typeset import render_pdf
from ewallet.keys import SigningKey
from ewallet.licenses import binding
from ewallet.licenses.catalog import Catalog
from ewallet.licenses.intake import read_export
from ewallet.licenses.issuer import Authority, Issuer
from ewallet.licenses.lifecycle import Case
from ewallet.licenses.presenting import present
from ewallet.licenses.printed import PrintOrder
from ewallet.licenses.register import Register
from ewallet.licenses.render import Content, Faces, render
from ewallet.trust.authoring import Authority as Listed
from ewallet.trust.authoring import Consortium
from ewallet.trust.entries import Service
from ewallet.verify.counter import open_verifier
from ewallet.wire import b64u_encode

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ewallet.code.passes import Pass
    from ewallet.licenses.devices import HolderCredentials
    from ewallet.licenses.intake import Row
    from ewallet.licenses.issuer import Issued
    from ewallet.verify.result import LicenseFacts
    from ewallet.verify.verifier import Verifier

GATE: Final = "https://sh.ewallet.example/v/1"
COUNTER: Final = "https://js.ewallet.example/v/1"
"""A counter with a gate in Shanghai, and a counter in Jiangsu."""

BASE: Final = "https://ewallet.example"
BUSINESS, FOOD, DISABILITY = "business-license", "food-business-permit", "disability-card"
EXPORTS: Final = {
    BUSINESS: "business_licenses.csv",
    FOOD: "food_permits.csv",
    DISABILITY: "disability_cards.csv",
}
AREA: Final = "310115"

_STATUS_TTL: Final = 7 * 86400
"""Seconds: the demo's lists are published once, and stay usable for another shell."""


def _clock() -> datetime:
    return datetime.now(UTC)


@contextmanager
def agency_exports() -> Iterator[Path]:
    """The directory of the example exports: inside the package, or in the project's `examples/agency`."""
    packaged = files("ewallet.cli") / "agency"
    if packaged.is_dir():
        with as_file(packaged) as directory:
            yield directory
    else:
        yield Path(__file__).resolve().parents[2] / "examples" / "agency"


@click.command()
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path("demo-out"))
@click.option("--lang", type=click.Choice(["zh", "en"]), help="Language of the story.")
def demo(out: Path, lang: str | None) -> int:
    """Run the main job end to end: issue, print, show, verify, recognize.

    Writes credentials, printed copies, codes, a gate bundle and report.json. Exit 0 only if every step got
    what it expected.
    """
    if out.exists() and any(out.iterdir()):
        if not (out / "report.json").is_file():
            return report(f"{out} is not empty", "name another directory with --out", Exit.USAGE)
        shutil.rmtree(out)
    story = Story(lang=lang or default_language(), color=sys.stdout.isatty())
    with agency_exports() as exports:
        _Demo(out, exports, story).run()
    story.write(out / "report.json")
    print()
    story.say(
        f"一切都在 {out}/。另开终端核验：ewallet verify --trust {out}/trust {out}/*.pdf",
        f"Everything is in {out}/. In another shell: ewallet verify --trust {out}/trust {out}/*.pdf",
    )
    return Exit.ACCEPTED if story.good else Exit.REJECTED


class _Agency:
    """An issuing authority of the demo: its entry on the list, its register, its issuer."""

    def __init__(self, listed: Listed, *, name: str, uscc: str, register: Path, catalog: Catalog) -> None:
        self.listed = listed
        self.register = Register.open(f"sqlite:///{register}", migrate=True)
        self.issuer = Issuer(
            signer=listed.signer(Service.LICENSES),
            status_signer=listed.signer(Service.STATUS),
            catalog=catalog,
            register=self.register,
            authority=Authority(
                uri=listed.uri,
                name=name,
                name_en=listed.names["en"],
                uscc=uscc,
                area=AREA,
                status_base=listed.status_prefix,
                base=BASE,
            ),
        )

    def publish(self, directory: Path) -> None:
        """Signs the status lists that changed."""
        self.register.publish_status(directory, self.issuer.status_signer, now=_clock(), ttl=_STATUS_TTL)


class _Demo:
    """The world of the demo and its thirteen steps."""

    def __init__(self, out: Path, exports: Path, story: Story) -> None:
        self.out = out
        self.exports = exports
        self.story = story
        self.trust = out / "trust"
        self.private = out / "private"
        for folder in (self.trust, self.private, out / "hostile", out / "ended"):
            folder.mkdir(parents=True, exist_ok=True)
        self.catalog = Catalog.builtin()
        self.faces = Faces.builtin()
        self.market: _Agency
        self.federation: _Agency
        self.codes: CodeAuthority
        self.issued: dict[str, list[Issued]] = {BUSINESS: [], FOOD: [], DISABILITY: []}

    # --- the stage ------------------------------------------------------------------------------------------

    def run(self) -> None:
        """All steps in order."""
        self._consortium()
        self.story.head()
        self._issue()
        self._document()
        self._seal()
        self._codes()
        self._life()
        self._across()
        self._unlisted()
        self._disability()
        for agency in (self.market, self.federation):
            agency.register.close()
        shutil.rmtree(self.private)

    def _consortium(self) -> None:
        """Two provinces, their authorities and one recognition rule, as signed lists in a gate bundle."""
        now = _clock()
        self.consortium = Consortium.sandbox(("31", "32"), now=now)
        both = (Service.LICENSES, Service.STATUS)
        started = now - timedelta(minutes=5)
        market = self.consortium.add_authority(
            "31", "market", names=_MARKET, services=both, now=now, start=started
        )
        federation = self.consortium.add_authority(
            "31", "federation", names=_FEDERATION, services=both, now=now, start=started
        )
        office = self.consortium.add_authority(
            "31",
            "codes",
            names=_OFFICE,
            services=(Service.CODES, Service.STATUS),
            now=now,
            start=now - timedelta(days=1),
        )
        self.consortium.add_authority("32", "market", names=_MARKET_32, services=both, now=now, start=started)
        self.consortium.set_rules([self._rule(now)], now=now)
        self.consortium.publish(self.trust / "repository", now=now)
        (self.trust / "policy.json").write_text(json.dumps(_POLICY, indent=1) + "\n")
        self.market = self._agency(market, _MARKET["zh"], "11310115MB2F00001")
        self.federation = self._agency(federation, _FEDERATION["zh"], "13310000500000020")
        self.codes = CodeAuthority(signer=office.signer(Service.CODES), name=office.uri)
        keys = [
            {
                **listed.signer(service).public_key.to_jwk(),
                "kid": b64u_encode(listed.signer(service).public_key.kid),
                "alg": listed.signer(service).public_key.suite.jose_alg,
                "use": "sig",
                "iss": listed.uri,
            }
            for listed, service in (
                (market, Service.LICENSES),
                (federation, Service.LICENSES),
                (office, Service.CODES),
            )
        ]
        (self.out / "issuer.jwk.json").write_text(json.dumps({"keys": keys}, indent=1) + "\n")

    def _agency(self, listed: Listed, name: str, body: str) -> _Agency:
        from ewallet.licenses.numbers import uscc  # noqa: PLC0415 (only to complete an example number)

        return _Agency(
            listed,
            name=name,
            uscc=body + uscc.check_character(body),
            register=self.private / f"{listed.uri.rsplit('/', 1)[-1]}.sqlite",
            catalog=self.catalog,
        )

    def _rule(self, now: datetime) -> dict[str, object]:
        """A Shanghai business license counts in Jiangsu as the same, under the local field names."""
        type_ = self.catalog[BUSINESS]
        ends = {"type": type_.code, "version": str(type_.version)}
        names = {"legal_representative": "representative", "address": "domicile"}
        return {
            "id": "31-32-business-license",
            "from": {"province": "31", **ends},
            "to": {"province": "32", **ends},
            "relation": "exact",
            "conditions": [],
            "field_map": [
                {"from": each.key, "to": names.get(each.key, each.key)} for each in type_.face_fields
            ],
            "scenes": ["*"],
            "valid": {
                "from": (now - timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ"),
                "until": (now + timedelta(days=365)).strftime("%Y-%m-%dT%H:%M:%SZ"),
            },
        }

    def _publish(self) -> None:
        for agency in (self.market, self.federation):
            agency.publish(self.trust / "status")

    def _verifier(self, *, policy: Path | None = None, state: str = "state") -> Verifier:
        return open_verifier(self.trust, state=self.out / state, now=_clock(), policy=policy)

    # --- 1: issue -------------------------------------------------------------------------------------------

    def _issue(self) -> None:
        for agency, key, sheets in (
            (self.market, BUSINESS, PrintOrder(originals=1, duplicates=1)),
            (self.market, FOOD, PrintOrder()),
            (self.federation, DISABILITY, PrintOrder()),
        ):
            rows, rejects = read_export(self.exports / EXPORTS[key], key, self.catalog)

            type_ = self.catalog[key]
            self.story.tell(
                1,
                f"{EXPORTS[key]}：签发{len(rows)}份{type_.zh}",
                f"{EXPORTS[key]}: issue {len(rows)} of {type_.en.lower()}",
                ACCEPTED,
                partial(self._issue_rows, agency, key, rows, sheets),
            )
            for reject in rejects:
                self.story.say(
                    f"第{reject.row}行 {reject.column}：{reject.reason}",
                    f"row {reject.row}, column {reject.column}: {reject.reason}",
                )
            if rejects:
                self.story.tell(
                    1,
                    f"{EXPORTS[key]}：一行有误，报告行、列和原因",
                    f"{EXPORTS[key]}: one bad row is reported, no other is stopped",
                    Answer(outcome="REJECTED", reason="row 8, 统一社会信用代码"),
                    partial(self._bad_rows, key),
                )
        self._publish()
        for issued in self.issued.values():
            for place, each in enumerate(issued, 1):
                self._write(each, f"{each.license.type_key}-{place}")

    def _bad_rows(self, key: str) -> Answer:
        _, rejects = read_export(self.exports / EXPORTS[key], key, self.catalog)
        return Answer(
            outcome="REJECTED", reason="; ".join(f"row {each.row}, {each.column}" for each in rejects)
        )

    def _issue_rows(self, agency: _Agency, key: str, rows: Sequence[Row], sheets: PrintOrder) -> Answer:
        try:
            for row in rows:
                issued = agency.issuer.issue(row.record, type=key, printed=sheets, now=_clock())
                self.issued[key].append(issued)
        except EwalletError as error:
            return Answer(outcome="REJECTED", reason=str(error))
        return ACCEPTED

    def _write(self, issued: Issued, name: str, folder: str = "") -> None:
        """The document credential and the printed copies of a license."""
        place = self.out / folder
        (place / f"{name}.sdjwt").write_text(issued.document + "\n")
        content = Content.of(issued.license, self.catalog[issued.license.type_code])
        for copy in issued.printed:
            tail = "" if copy.role.name == "ORIGINAL" else f"-{copy.role.name.lower()}-{copy.number}"
            (place / f"{name}{tail}.pdf").write_bytes(render(content, copy, faces=self.faces))

    # --- 2, 3: what was issued verifies ---------------------------------------------------------------------

    def _document(self) -> None:
        verifier = self._verifier()
        document = self.issued[BUSINESS][0].document
        self.story.tell(
            2,
            "文档凭证：内容核验（未核验本人）",
            "the document credential verifies as content",
            ACCEPTED,
            lambda: answer_of(verifier.verify(document, now=_clock())),
        )

    def _seal(self) -> None:
        verifier = self._verifier()
        issued = self.issued[BUSINESS][0]
        page = render_pdf((self.out / f"{BUSINESS}-1.pdf").read_bytes(), dpi=200)[0]

        def read_and_compare() -> Answer:
            seals = read_image(page)
            found = verifier.verify(seals, now=_clock())
            if found.facts is None:
                return answer_of(found)
            (self.out / "seal.txt").write_text(seals[0] + "\n")
            qr_image(seals[0], medium="paper").save(self.out / "seal.png")
            type_ = self.catalog[BUSINESS]
            masked = {
                spec.key: spec.masked(issued.license.fields[spec.key])
                for spec in type_.seal_fields
                if spec.key in issued.license.fields
            }
            same = dict(found.facts.licenses[0].fields) == masked
            return answer_of(found) if same else Answer(outcome="REJECTED", reason="fields differ")

        self.story.tell(
            3,
            "从PDF页面图像读出印章码，字段与登记一致（已遮盖）",
            "seal read from the PDF page as a picture equals the record",
            ACCEPTED,
            read_and_compare,
        )

    # --- 4 to 7: the rotating code --------------------------------------------------------------------------

    def _passes(self, count: int) -> list[tuple[Pass, SigningKey]]:
        """A phone makes device keys, proves that it holds them, and gets a pass for each."""
        now = _clock()
        phone = [SigningKey.generate() for _ in range(count)]
        nonce = self.codes.challenge(now)
        devices = [
            (key.public_key, possession.prove(key, authority=self.codes.name, nonce=nonce)) for key in phone
        ]
        passes = self.codes.issue_passes(
            devices,
            subject="example-person-1",
            kind="person",
            scenes=["counter"],
            attributes={},
            now=now,
        )
        return list(zip(passes, phone, strict=True))

    def _codes(self) -> None:
        (held, device), *_ = self._passes(8)
        gate = self._verifier()
        code = rotating.show(held, device, audience=GATE, now=_clock())
        qr_image(code).save(self.out / "code.png")
        (self.out / "code.txt").write_text(code + "\n")

        def scan(later: timedelta = timedelta(0)) -> Answer:
            return answer_of(gate.verify(read_image(self.out / "code.png"), now=_clock() + later))

        tell = self.story.tell
        tell(
            4,
            "动态码：闸机从图像读码，离线通过",
            "a rotating code at a gate without a network",
            ACCEPTED,
            scan,
        )
        tell(
            5,
            "同一个码再用一次",
            "the same code again",
            Answer(outcome="REJECTED", reason="code.replayed"),
            scan,
        )
        tell(
            6,
            "一分钟后的截图",
            "a screenshot of it, a minute later",
            Answer(outcome="REJECTED", reason="code.expired"),
            lambda: scan(timedelta(minutes=1)),
        )
        prefix, data = text.decode(rotating.show(held, device, audience=GATE, now=_clock()))
        flipped = text.encode(prefix, data[:-1] + bytes((data[-1] ^ 1,)))
        (self.out / "hostile" / "one-bit.txt").write_text(flipped + "\n")
        tell(
            7,
            "改动一个比特的码",
            "a code with one changed bit",
            Answer(outcome="REJECTED", reason="signature.holder"),
            lambda: answer_of(gate.verify(flipped, now=_clock())),
        )

    # --- 8, 9: amended and revoked --------------------------------------------------------------------------

    def _life(self) -> None:
        old = self.issued[BUSINESS][1]
        for file in self.out.glob(f"{BUSINESS}-2*"):
            file.rename(self.out / "ended" / file.name)
        amended = self.market.issuer.amend(
            old.license,
            {"address": "上海市浦东新区范例大道8号"},
            reason="address changed",
            printed=PrintOrder(originals=1, duplicates=1),
            now=_clock(),
        )
        self._write(amended, f"{BUSINESS}-2-version-2")
        ended = self.issued[BUSINESS][7]
        for file in self.out.glob(f"{BUSINESS}-8*"):
            file.rename(self.out / "ended" / file.name)
        self.market.issuer.revoke(
            ended.license,
            reason="example",
            case=Case(operator="officer-1", second_operator="officer-2"),
            now=_clock(),
        )
        self._publish()
        verifier = self._verifier()
        old_page = render_pdf((self.out / "ended" / f"{BUSINESS}-2.pdf").read_bytes(), dpi=200)[0]
        self.story.tell(
            8,
            "证照变更后，核验旧纸件",
            "the license was amended: the old paper",
            Answer(outcome="REJECTED", reason="printed.superseded"),
            lambda: answer_of(verifier.verify(read_image(old_page), now=_clock())),
        )
        self.story.tell(
            9,
            "吊销后，核验文档凭证",
            "the license was revoked",
            Answer(outcome="REJECTED", reason="license.revoked"),
            lambda: answer_of(verifier.verify(ended.document, now=_clock())),
        )

    # --- 10 to 12: across provinces -------------------------------------------------------------------------

    def _bind(self, agency: _Agency, issued: Issued) -> tuple[HolderCredentials, SigningKey]:
        """The holder's app claims the license with a device key of its own."""
        device = SigningKey.generate()
        nonce = agency.issuer.challenge(_clock())
        proof = binding.prove(device, authority=agency.listed.uri, nonce=nonce)
        return agency.issuer.bind(issued.license, 0, device.public_key, proof, now=_clock()), device

    def _across(self) -> None:
        held, device = self._bind(self.market, self.issued[BUSINESS][0])
        (self.out / f"{BUSINESS}-1.sdcwt").write_bytes(held.sd_cwt)
        self._publish()
        policy = self.out / "jiangsu-counter.policy.json"
        policy.write_text(json.dumps({**_POLICY, "province": "32", "venue": COUNTER}, indent=1) + "\n")
        counter = self._verifier(policy=policy, state="state-jiangsu")
        shown = present(
            held.sd_cwt,
            device,
            audience=COUNTER,
            nonce=None,
            disclose=["uscc", "name", "legal_representative", "address", "valid_until"],
            now=_clock(),
        )
        views: list[LicenseFacts] = []

        def at_the_counter() -> Answer:
            found = counter.verify(shown, now=_clock())
            if found.facts is not None:
                views.extend(found.facts.licenses)
            return answer_of(found)

        self.story.tell(
            10,
            "上海执照由持有人在江苏窗口出示",
            "a Shanghai license, presented by its holder in Jiangsu",
            ACCEPTED,
            at_the_counter,
        )
        if views and views[0].local is not None:
            local = views[0].local
            self.story.say(
                f"本地视图（规则 {local.rule}）：{'、'.join(local.fields)}",
                f"local view by rule {local.rule}: {', '.join(local.fields)}",
            )

    def _unlisted(self) -> None:
        unlisted = _Agency(
            Listed(
                uri=f"{self.consortium.base('31')}a/stranger",
                names={"zh": "不在名单上的机关", "en": "Unlisted authority"},
                province="31",
                status_prefix=f"{self.consortium.base('31')}status/stranger/",
                signers={Service.LICENSES: SigningKey.generate(), Service.STATUS: SigningKey.generate()},
            ),
            name="不在名单上的机关",
            uscc=self.market.issuer.authority.uscc,
            register=self.private / "stranger.sqlite",
            catalog=self.catalog,
        )
        rows, _ = read_export(self.exports / EXPORTS[BUSINESS], BUSINESS, self.catalog)
        forged = unlisted.issuer.issue(rows[0].record, type=BUSINESS, now=_clock())
        unlisted.register.close()
        (self.out / "hostile" / "unlisted-issuer.sdjwt").write_text(forged.document + "\n")
        verifier = self._verifier()
        self.story.tell(
            11,
            "签发者不在信任名单上",
            "a license from an issuer that is not listed",
            Answer(outcome="REJECTED", reason="issuer.unknown"),
            lambda: answer_of(verifier.verify(forged.document, now=_clock())),
        )
        self.story.tell(
            12,
            "同一份，但信任名单已过旧",
            "the same, with a stale trust list",
            Answer(outcome="UNDECIDED", reason="trust.stale"),
            lambda: answer_of(verifier.verify(forged.document, now=_clock() + timedelta(days=3))),
        )

    # --- 13: as little as needed ----------------------------------------------------------------------------

    def _disability(self) -> None:
        issued = self.issued[DISABILITY][0]
        held, device = self._bind(self.federation, issued)
        (self.out / f"{DISABILITY}-1.sdcwt").write_bytes(held.sd_cwt)
        self._publish()
        verifier = self._verifier()
        shown = present(
            held.sd_cwt, device, audience=GATE, nonce=None, disclose=["category", "grade"], now=_clock()
        )
        (self.out / "disability-presentation.txt").write_text(shown + "\n")

        def only_two_fields() -> Answer:
            found = verifier.verify(shown, now=_clock())
            if found.facts is None or set(found.facts.licenses[0].fields) != {"category", "grade"}:
                return Answer(outcome="REJECTED", reason="more or less than two fields")
            _, data = text.decode(shown)
            hidden = [issued.license.fields[key] for key in ("name", "card_number", "born_on")]
            hidden += [issued.license.identifier, issued.license.number]
            leaks = [value for value in hidden if value.encode() in data]
            return Answer(outcome="REJECTED", reason="a hidden value shows") if leaks else answer_of(found)

        self.story.tell(
            13,
            "残疾人证：只出示类别和等级，别的都读不到",
            "a disability card: category and grade, and nothing else",
            ACCEPTED,
            only_two_fields,
        )


_MARKET: Final = {"zh": "上海市示例区市场监督管理局", "en": "Example District Market Regulation, Shanghai"}
_FEDERATION: Final = {"zh": "上海市示例区残疾人联合会", "en": "Example District Disabled Persons' Federation"}
_OFFICE: Final = {"zh": "上海市示例身份码中心", "en": "Example Identity Code Office, Shanghai"}
_MARKET_32: Final = {"zh": "江苏省示例市场监督管理局", "en": "Example Market Regulation, Jiangsu"}
_POLICY: Final = {"format": 1, "province": "31", "scene": "counter", "venue": GATE}
