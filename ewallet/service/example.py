"""An example town: lists, an office that issues licenses and passes, and a phone's calls to it.

It makes the counter page and the holder page usable together on one machine. Everything in it is made up, its
keys live in memory, and it gives licenses to whoever asks: it is never part of a real service.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.routing import Mount, Route

from ewallet.code.authority import CodeAuthority
from ewallet.errors import EwalletError
from ewallet.keys import PublicKey
from ewallet.licenses.catalog import Catalog
from ewallet.licenses.issuer import Authority, Issuer
from ewallet.licenses.register import Register
from ewallet.service.app import create_app
from ewallet.service.doors import Role, add_partner
from ewallet.service.http import Problem, answer, member, read_object
from ewallet.service.settings import Settings, clock
from ewallet.trust.authoring import Consortium
from ewallet.trust.bundle import write_bundle
from ewallet.trust.entries import Service
from ewallet.trust.mappings import builtin_rules
from ewallet.wire import b64u_encode

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from fastapi import FastAPI
    from starlette.requests import Request
    from starlette.responses import Response

    from ewallet.licenses.issuing import Issued
    from ewallet.trust.authoring import Authority as Listed

VENUE: Final = "https://sh.ewallet.example/v/1"
BASE: Final = "https://ewallet.example"
HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)

_TTL: Final = 7 * 86400
_PHONES: Final = 3
"""Phones that hold the licenses at a time; each reload of the holder page is a new phone."""
_PLACES: Final = ("counter", "government-hall", "library", "hospital")
"""Scenes whose codes the example phone can show."""

_PERSON: Final = {
    "masked_name": "范**",
    "resident": True,
    "age_over_14": True,
    "age_over_60": False,
    "age_over_65": False,
}
_ENTERPRISE: Final = {"enterprise_name": "上海样例食品有限公司", "uscc": "91310101MA9X000018"}

_CARD: Final = {
    "name": "范例一",
    "sex": "1",
    "ethnic_group": "01",
    "born_on": "1900-01-10",
    "resident_id": "310101190001100113",
    "category": "4",
    "grade": "2",
    "card_number": "31010119000110011342",
}
_BUSINESS: Final = {
    "uscc": "91310101MA9X000018",
    "name": "上海样例食品有限公司",
    "company_type": "有限责任公司",
    "legal_representative": "范例一",
    "registered_capital": "壹佰万元人民币",
    "established_on": "2019-03-05",
    "valid_until": "long-term",
    "address": "上海市黄浦区样例路1号",
    "scope": "食品销售；食品互联网销售。",
}


def _day(now: datetime, *, years: int = 0) -> str:
    day = (now + 8 * HOUR).date()
    return day.replace(year=day.year + years, day=min(day.day, 28)).isoformat()


def portrait() -> bytes:
    """A drawn face of nobody, JPEG."""
    from PIL import Image, ImageDraw  # noqa: PLC0415 (only the example draws)

    picture = Image.new("RGB", (240, 300), "#d9e4ec")
    pen = ImageDraw.Draw(picture)
    pen.ellipse((30, 210, 210, 420), fill="#2b5f86")
    pen.rectangle((104, 180, 136, 235), fill="#e7bd98")
    pen.ellipse((68, 58, 172, 206), fill="#f0cba8")
    pen.chord((60, 40, 180, 170), 180, 360, fill="#2d2622")
    pen.ellipse((92, 118, 104, 132), fill="#2d2622")
    pen.ellipse((136, 118, 148, 132), fill="#2d2622")
    pen.arc((96, 138, 144, 178), 20, 160, fill="#a2543f", width=4)
    out = BytesIO()
    # Small enough for a presentation that is shown as one code.
    picture.resize((80, 100)).save(out, "JPEG", quality=40, optimize=True)
    return out.getvalue()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    """A license of the example's person or enterprise."""

    owner: str
    issued: Issued


class ExampleTown:
    """Lists of two provinces, an office that issues, a counter.

    Args:
        directory: where lists, registers and state are kept.
        scene: scene of the counter.
        province: province of the counter.
        now: the clock.
    """

    def __init__(
        self,
        directory: Path,
        *,
        scene: str = "counter",
        province: str = "31",
        now: Callable[[], datetime] = clock,
    ) -> None:
        self.directory = directory
        self.now = now
        moment = now()
        self.consortium = Consortium.sandbox(("31", "32"), now=moment - DAY)
        self.market = self._listed("market", _MARKET, (Service.LICENSES, Service.STATUS))
        self.codes = self._listed("codes", _OFFICE, (Service.CODES, Service.STATUS))
        self.hall = self._listed("hall", _HALL, (Service.VERIFY, Service.RECEIPTS))
        rules = builtin_rules(
            self.consortium.provinces, start=moment - DAY, until=moment + timedelta(days=365)
        )
        self.consortium.set_rules(rules, now=moment - DAY)
        self.consortium.renew(moment)
        self.office = CodeAuthority(signer=self.codes.signer(Service.CODES), name=self.codes.uri)
        self.register = Register.open(f"sqlite:///{directory / 'register.sqlite'}", migrate=True)
        self.issuer = self._issuer()
        self.held = self._issue(moment)
        self._phones: deque[bytes] = deque()
        self.partners = directory / "partners.json"
        self.key = add_partner(self.partners, name="window", roles=[Role.VERIFIER], entity=self.hall.uri)
        (directory / "bases.toml").write_text(_BASES, encoding="utf-8")
        policy = {"format": 1, "province": province, "scene": scene, "venue": VENUE}
        self.bundle = directory / "bundle"
        self.publish()
        write_bundle(self.bundle, repository=self.bundle / "repository", policy=policy)

    def _listed(self, label: str, names: dict[str, str], services: tuple[Service, ...]) -> Listed:
        since = self.now() - DAY
        return self.consortium.add_authority(
            "31", label, names=names, services=services, now=since, start=since
        )

    def _issuer(self) -> Issuer:
        return Issuer(
            signer=self.market.signer(Service.LICENSES),
            status_signer=self.market.signer(Service.STATUS),
            catalog=Catalog.builtin(),
            register=self.register,
            authority=Authority(
                uri=self.market.uri,
                name=_MARKET["zh"],
                name_en=_MARKET["en"],
                uscc="11310115MB2F00001A",
                area="310115",
                status_base=self.market.status_prefix,
                base=BASE,
            ),
        )

    def _issue(self, now: datetime) -> list[_Held]:
        face = portrait()
        card = {**_CARD, "issued_on": _day(now), "valid_until": _day(now, years=10)}
        card["portrait"] = sha256(face).hexdigest()
        business = {**_BUSINESS, "issued_on": _day(now)}
        issue = self.issuer.issue
        return [
            _Held(
                owner="person",
                issued=issue(card, type="disability-card", images={"portrait": face}, now=now),
            ),
            _Held(owner="enterprise", issued=issue(business, type="business-license", now=now)),
        ]

    def publish(self) -> None:
        """Publishes lists and status lists into the bundle."""
        now = self.now()
        self.consortium.publish(self.bundle / "repository", now=now)
        self.register.publish_status(self.bundle / "status", self.issuer.status_signer, now=now, ttl=_TTL)

    def settings(self, *, name: str = "示例窗口 1", **others: Any) -> Settings:
        """Settings of a service at this town's counter."""
        given: dict[str, Any] = {
            "bundle": self.bundle,
            "state": self.directory / "state",
            "name": name,
            "signer": self.hall.signer(Service.VERIFY),
            "issuer": self.hall.uri,
            "receipt_signer": self.hall.signer(Service.RECEIPTS),
            "record": True,
            "partners": self.partners,
            "open_counter": True,
            "bases": self.directory / "bases.toml",
            "log": False,
            "now": self.now,
        }
        return Settings(**{**given, **others})

    def app(self, **others: Any) -> FastAPI:
        """The service with both pages, and the calls of the example phone under `/example`."""
        app = create_app(self.settings(**others), supplying=self.issuer)
        app.router.routes.insert(0, Mount("/example", app=self._phone_calls()))
        return app

    # --- calls of the phone ---------------------------------------------------------------------------------

    def _phone_calls(self) -> Starlette:
        async def start(_: Request) -> Response:
            return answer(await run_in_threadpool(self.start))

        async def passes(call: Request) -> Response:
            return answer(await self._done(self.issue_passes, await read_object(call)))

        async def licenses(call: Request) -> Response:
            return answer(await self._done(self.bind, await read_object(call)))

        async def problem(_: Request, error: Exception) -> Response:
            assert isinstance(error, Problem)
            return error.response()

        routes = [
            Route("/start", start),
            Route("/passes", passes, methods=["POST"]),
            Route("/licenses", licenses, methods=["POST"]),
        ]
        return Starlette(routes=routes, exception_handlers={Problem: problem})

    @staticmethod
    async def _done(act: Callable[[dict[str, Any]], dict[str, Any]], data: dict[str, Any]) -> dict[str, Any]:
        try:
            return await run_in_threadpool(act, data)
        except (EwalletError, ValueError, KeyError, TypeError) as error:
            raise Problem(422, "the example office cannot do that") from error

    def start(self) -> dict[str, Any]:
        """What a phone must know: nonces, places, who may ask for what."""
        now = self.now()
        scenes = self.office.scenes
        key = self.hall.signer(Service.VERIFY).public_key
        return {
            "authority": self.office.name,
            "nonce": self.office.challenge(now).hex(),
            "issuer": self.market.uri,
            "bind_nonces": [self.issuer.challenge(now).hex() for _ in self.held],
            "places": [
                {
                    "scene": name,
                    "names": dict(scenes[name].names),
                    "audience": name if scenes[name].audience == "scene" else VENUE,
                    "attributes": sorted(scenes[name].attributes & (_PERSON.keys() | _ENTERPRISE.keys())),
                }
                for name in _PLACES
            ],
            "verifiers": [
                {
                    "uri": self.hall.uri,
                    "name": dict(_HALL),
                    "jwk": key.to_jwk(),
                    "scenes": ["*"],
                    "attributes": ["*"],
                    "types": ["*"],
                    "venues": [VENUE],
                }
            ],
            "keepers": [
                {
                    "uri": self.hall.uri,
                    "name": dict(_HALL),
                    "jwk": self.hall.signer(Service.RECEIPTS).public_key.to_jwk(),
                }
            ],
            "scenes": {
                name: {
                    "attributes": sorted(scene.attributes),
                    "types": sorted(scene.types),
                    "names": dict(scene.names),
                }
                for name, scene in scenes.items()
            },
        }

    def issue_passes(self, data: dict[str, Any]) -> dict[str, Any]:
        """Passes of the example person, or of the enterprise with the person as its representative."""
        person = member(data, "subject", str) == "person"
        made = self.office.issue_passes(
            [
                (PublicKey.from_jwk(each["jwk"]), bytes.fromhex(each["proof"]))
                for each in member(data, "devices", list)
            ],
            subject="example-person" if person else "example-enterprise",
            kind="person" if person else "enterprise",
            scenes=_PLACES if person else ("counter", "government-hall"),
            attributes=_PERSON if person else _ENTERPRISE,
            now=self.now(),
        )
        return {"passes": [each.credential.hex() for each in made]}

    def bind(self, data: dict[str, Any]) -> dict[str, Any]:
        """The example's licenses, bound to the phone's key: one proof for each."""
        key = PublicKey.from_jwk(member(data, "jwk", dict))
        now = self.now()
        replacing = [self._phones.popleft()] if len(self._phones) == _PHONES else []
        given = []
        for held, proof in zip(self.held, member(data, "proofs", list), strict=True):
            license_ = held.issued.license
            bound = self.issuer.bind(license_, 0, key, bytes.fromhex(proof), now=now, replacing=replacing)
            given.append(
                {
                    "owner": held.owner,
                    "type": license_.type_code,
                    "identifier": license_.identifier,
                    "vct": f"{BASE}/vct/{license_.type_code}/{license_.type_version}",
                    "issuer": dict(_MARKET),
                    "fields": {name: value for name, value in license_.fields.items() if name != "portrait"},
                    "portrait": b64u_encode(license_.images["portrait"]) if license_.images else "",
                    "credential": bound.sd_cwt.hex(),
                }
            )
        self._phones.append(key.thumbprint())
        self.publish()
        return {"licenses": given}


_BASES: Final = """
[[basis]]
id = "example-inspection"
zh = "《示例市场检查办法》第七条"
en = "Example Inspection Rules, article 7"
types = ["*"]
matters = ["*"]
"""

_MARKET: Final = {"zh": "上海市示例区市场监督管理局", "en": "Example District Market Regulation, Shanghai"}
_OFFICE: Final = {"zh": "上海市示例身份码中心", "en": "Example Identity Code Office, Shanghai"}
_HALL: Final = {"zh": "上海市示例政务服务中心", "en": "Example Service Hall, Shanghai"}
