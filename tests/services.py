"""Two provinces with their services as real processes on loopback: lists, registers, keys, partners."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ewallet.keys import SigningKey
from ewallet.licenses import binding
from ewallet.licenses.deployment import Deployment
from ewallet.licenses.lifecycle import Case
from ewallet.licenses.register import Register
from ewallet.service.doors import Role, add_partner
from ewallet.trust.authoring import Consortium
from ewallet.trust.entries import Grant, Service
from tests.agency import CATALOG, record
from tests.town import uscc_number

AREAS = {"31": "310115", "32": "320500"}
PASSWORD = "made up for a test"
BASE = "https://ewallet.example"
BUSINESS = "business-license"
BASES = """
[[basis]]
id = "one-network"
zh = "示例条例第一条"
en = "Example regulation, article 1"
types = ["business-license"]
matters = ["M-1"]
"""


def clock() -> datetime:
    return datetime.now(UTC)


def free_port() -> int:
    """A port that nobody listens on now: two services must know each other's before they start."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def call(url: str, method: str, path: str, data: Any = None, *, key: str = "", **headers: str) -> Answer:
    """One call; dictionaries are sent as JSON."""
    parts = urlsplit(url)
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    body = data
    if isinstance(data, dict):
        body, sent["Content-Type"] = json.dumps(data).encode(), "application/json"
    if key:
        sent["Authorization"] = f"Bearer {key}"
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=20)
    try:
        connection.request(method, path, body, sent)
        response = connection.getresponse()
        found = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, found, response.read())
    finally:
        connection.close()


@dataclass
class Running:
    """A service process."""

    process: subprocess.Popen[str]
    url: str
    log: Path

    def call(self, method: str, path: str, data: Any = None, **parts: Any) -> Answer:
        return call(self.url, method, path, data, **parts)

    def stop(self, *, kill: bool = False) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
        code = self.process.wait(timeout=20)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return code


@dataclass
class Land:
    """Shanghai and Jiangsu: one market regulator each, that issues, verifies and shares; a service hall."""

    directory: Path
    suite: str = "ES256"
    running: list[Running] = field(default_factory=list)
    phones: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        now = clock()
        self.start = now - timedelta(days=1)
        self.consortium = Consortium.sandbox(("31", "32"), now=self.start, suite=self.suite)
        self.market = {province: self._market(province, now) for province in AREAS}
        self.hall = self.consortium.add_authority(
            "31",
            "hall",
            names={"zh": "示例政务大厅", "en": "Example service hall"},
            services=(Service.VERIFY,),
            now=now,
            start=self.start,
        )
        narrow = Grant(
            types=frozenset(("310100000000000",)),
            regions=frozenset(("31",)),
            start=int(self.start.timestamp()),
        )
        self.hotel = self.consortium.add_authority(
            "31",
            "hotel",
            names={"zh": "示例旅馆", "en": "Example hotel"},
            services=(Service.VERIFY,),
            grant=narrow,
            now=now,
            start=self.start,
        )
        self.consortium.set_rules([self._rule("31", "32", now), self._rule("32", "31", now)], now=now)
        self.bundle = self.directory / "bundle"
        self.publish()
        self.keys: dict[str, str] = {}
        for province in AREAS:
            self._deploy(province)

    def _market(self, province: str, now: datetime) -> Any:
        services = (Service.LICENSES, Service.STATUS, Service.VERIFY, Service.RECEIPTS, Service.OBJECTIONS)
        names = {"zh": f"示例市场监管局{province}", "en": f"Example market regulator {province}"}
        return self.consortium.add_authority(
            province, "market", names=names, services=services, now=now, start=self.start
        )

    def _rule(self, source: str, target: str, now: datetime) -> dict[str, Any]:
        type_ = CATALOG[BUSINESS]
        ends = {"type": type_.code, "version": str(type_.version)}
        return {
            "id": f"{source}-{target}-{BUSINESS}",
            "from": {"province": source, **ends},
            "to": {"province": target, **ends},
            "relation": "exact",
            "conditions": [],
            "field_map": [{"from": each.key, "to": f"local_{each.key}"} for each in type_.face_fields],
            "scenes": ["*"],
            "valid": {
                "from": (now - timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ"),
                "until": (now + timedelta(days=30)).strftime("%Y-%m-%dT%H:%M:%SZ"),
            },
        }

    def publish(self) -> None:
        self.consortium.publish(self.bundle / "repository", now=clock())

    def publish_status(self) -> None:
        for province in AREAS:
            issuer = self.open(province)
            issuer.register.publish_status(
                self.bundle / "status", issuer.status_signer, now=clock(), ttl=86400
            )
            issuer.register.close()

    def place(self, province: str) -> Path:
        return self.directory / province

    def _deploy(self, province: str) -> None:
        place, listed = self.place(province), self.market[province]
        place.mkdir()
        for name, service in (
            ("licenses", Service.LICENSES),
            ("status", Service.STATUS),
            ("verify", Service.VERIFY),
            ("receipts", Service.RECEIPTS),
            ("objections", Service.OBJECTIONS),
        ):
            listed.signer(service).save(place / f"{name}.pem", PASSWORD)
        (place / "password").write_text(PASSWORD + "\n")
        register = os.environ.get("EWALLET_TEST_REGISTER", "register.sqlite")
        about = {
            "uri": listed.uri,
            "name": listed.names["zh"],
            "name_en": listed.names["en"],
            "uscc": uscc_number(f"11{AREAS[province]}MB2F00001"),
            "area": AREAS[province],
            "status_base": listed.status_prefix,
            "base": BASE,
        }
        lines = [
            f'register = "{register}"',
            'licenses_key = "licenses.pem"',
            'status_key = "status.pem"',
            'password_file = "password"',
            "[authority]",
            *(f'{key} = "{value}"' for key, value in about.items()),
        ]
        (place / "authority.toml").write_text("\n".join(lines) + "\n")
        (place / "bases.toml").write_text(BASES)
        venue = f"{self.consortium.base(province)}v/1"
        policy = {"format": 1, "province": province, "scene": "counter", "venue": venue}
        (place / "policy.json").write_text(json.dumps(policy))
        Register.open(f"sqlite:///{place / 'register.sqlite'}", migrate=True).close()
        for name, role, entity in (
            ("agency", Role.ISSUER, listed.uri),
            ("window", Role.VERIFIER, self.hall.uri if province == "31" else listed.uri),
            ("hotel", Role.VERIFIER, self.hotel.uri),
            ("nobody", Role.VERIFIER, ""),
            ("auditor", Role.AUDITOR, ""),
            # Two systems of the agency that have no second officer of their own.
            ("clerks", Role.ISSUER, listed.uri),
            ("supervisors", Role.ISSUER, listed.uri),
        ):
            self.keys[f"{province}/{name}"] = add_partner(
                place / "partners.json",
                name=name,
                roles=[role],
                entity=entity,
                rate=100_000,
                attests_second_officer=name == "agency",
            )

    def open(self, province: str) -> Any:
        return Deployment.load(self.place(province) / "authority.toml").open()

    def issue(self, province: str, number: int = 1, **parts: Any) -> Any:
        """A license straight into the register, and a phone that it is bound to."""
        issuer = self.open(province)
        try:
            now = clock() - timedelta(minutes=1)  # tests present some seconds back: never before this
            given = {"record": record(BUSINESS, number), "case": Case(operator="o-1"), **parts}
            issued = issuer.issue(given.pop("record"), type=BUSINESS, now=now, **given)
            device = SigningKey.generate(self.suite)
            proof = binding.prove(device, authority=issuer.authority.uri, nonce=issuer.challenge(now))
            held = issuer.bind(issued.license, 0, device.public_key, proof, now=now)
            return issued, device, held
        finally:
            issuer.register.close()

    def serve(self, province: str, *options: str, agency: bool = True, guard: str = "file") -> Running:
        """Starts a service of a province."""
        place, listed = self.place(province), self.market[province]
        arguments = [
            *(sys.executable, "-m", "ewallet", "serve", "--port", "0", "--trust", str(self.bundle)),
            *("--policy", str(place / "policy.json"), "--state", str(place / "state"), "--guard", guard),
            *("--verify-key", str(place / "verify.pem"), "--verify-as", listed.uri),
            *("--partners", str(place / "partners.json"), "--open-counter"),
        ]
        if agency:
            arguments += ["--issue", str(place / "authority.toml"), "--bases", str(place / "bases.toml")]
            arguments += ["--receipts-key", str(place / "receipts.pem")]
            arguments += ["--objections-key", str(place / "objections.pem")]
        return self.start_process([*arguments, *options], place)

    def start_process(self, arguments: list[str], place: Path) -> Running:
        log = place / f"log-{len(self.running)}"
        with log.open("w") as errors:
            process = subprocess.Popen(
                arguments,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env={**os.environ, "EWALLET_KEY_PASSWORD": PASSWORD},
            )
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        started = Running(process, url, log)
        self.running.append(started)
        assert url.startswith("http://"), log.read_text()
        return started

    def close(self) -> None:
        for each in self.running:
            each.stop(kill=True)
