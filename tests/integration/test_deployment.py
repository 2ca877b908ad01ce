"""examples/deployment for real: nginx before a service that is started as the unit says, and the unit itself.

Only what must differ here is replaced: paths, ports, and the name of the program.
"""

from __future__ import annotations

import http.client
import http.server
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import tomllib
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import click
import pytest

from ewallet.cli.service_commands import serve
from tests.databases import redis_server
from tests.proxy import DEPLOYMENT, needed, nginx_before
from tests.services import Land, free_port
from tests.services_tls import CertificateAuthority, save

pytest.importorskip("fastapi", reason="the extra 'service' is not installed")

from ewallet.service.doors import Role, add_partner
from ewallet.service.proxies import read_certificate

ROOT = DEPLOYMENT.parents[1]
UNIT = (DEPLOYMENT / "ewallet@.service").read_text()
CONTAINER = (DEPLOYMENT / "Containerfile").read_text()
HEADER = "X-Client-Certificate"
SECRET = "91310000SECRETQUERY"


def started_by_unit() -> list[str]:
    """The unit's command line, for instance 1."""
    text = UNIT.partition("ExecStart=")[2].partition("\nRestart=")[0]
    return shlex.split(text.replace("\\\n", " ").replace("%i", "1"))


@pytest.fixture(scope="module")
def land(tmp_path_factory):
    made = Land(tmp_path_factory.mktemp("land"))
    made.phone = made.issue("31", 1)
    made.publish_status()
    yield made
    made.close()


@pytest.fixture(scope="module")
def proxy(land):
    port = free_port()
    with nginx_before(port) as made:
        made.upstream = port
        yield made


@pytest.fixture(scope="module")
def partners(land, proxy):
    """Files of certificates: a partner, one that nobody knows, one that has expired, one of another CA."""
    now = datetime.now(UTC)
    made = {
        "bank": proxy.person("bank"),
        "unknown": proxy.person("unknown"),
        "expired": proxy.person("expired", start=now - timedelta(days=3)),
        "stranger": save(proxy.place, "stranger", *CertificateAuthority().issue("bank")),
    }
    for name in ("bank", "expired", "stranger"):
        digest = read_certificate(made[name].read_bytes().partition(b"-----BEGIN PRIVATE")[0]).digest
        add_partner(
            land.place("31") / "partners.json",
            name=name,
            roles=[Role.VERIFIER],
            entity=land.hall.uri,
            certificates=[digest],
            with_key=False,
        )
    return made


@pytest.fixture(scope="module")
def service(land, proxy, partners):
    """The process that the unit starts."""
    place = land.place("31")
    shutil.copy(land.bundle / "repository" / "metadata" / "1.root.json", place)
    with redis_server() as redis:
        if redis is None:
            pytest.skip("notice: no Redis: the unit's command line was not run")
        words = started_by_unit()
        assert words[0] == "/opt/ewallet/bin/ewallet"
        changed = {
            "8080": str(proxy.upstream),
            "redis://127.0.0.1:6379/0": redis.url,
            "https://sh.ewallet.example/a/market": land.market["31"].uri,
            "/var/lib/ewallet/bundle": str(land.bundle),
            "/var/lib/ewallet/state": str(place / "state"),
        }
        ours = [changed.get(word, word.replace("/etc/ewallet/", f"{place}/")) for word in words[1:]]
        redis.found()
        yield land.start_process([sys.executable, "-m", "ewallet", *ours], place)


def challenge(proxy, certificate=None, *headers, path="/v1/challenge"):
    return proxy.call("POST", path, {"attributes": []}, certificate=certificate, headers=list(headers))


def escaped(file: Path) -> str:
    return quote(file.read_text().partition("-----BEGIN PRIVATE")[0])


# --- partners -----------------------------------------------------------------------------------------------


def test_a_partner_gets_through_by_its_certificate_alone(land, proxy, partners, service):
    issued, _, _ = land.phone
    assert challenge(proxy, partners["bank"]).status == 201
    found = proxy.call("POST", "/v1/verify", {"text": issued.document}, certificate=partners["bank"])
    assert (found.status, found.json["outcome"]) == (200, "ACCEPTED")
    assert '"partner": "bank"' in service.log.read_text()
    assert proxy.call("GET", "/v1/events", certificate=partners["bank"]).status == 403  # another role


def test_others_stay_out(proxy, partners, service):
    assert challenge(proxy).status == 403
    assert challenge(proxy, partners["unknown"]).status == 401
    for refused_by_tls in ("expired", "stranger"):
        assert challenge(proxy, partners[refused_by_tls]).status == 400


def test_a_forged_header_does_not_count(proxy, partners, service):
    forged = escaped(partners["bank"])
    for name in (HEADER, HEADER.lower(), HEADER.replace("-", "_")):
        assert challenge(proxy, None, (name, forged)).status == 403
        assert challenge(proxy, partners["unknown"], (name, forged)).status == 401
        twice = challenge(proxy, partners["unknown"], (name, forged), (name, forged))
        assert twice.status == 401
    assert challenge(proxy, partners["bank"], (HEADER, "nonsense")).status == 201  # overwritten


@pytest.mark.parametrize(("source", "status"), [("127.0.0.2", 401), ("127.0.0.1", 201)])
def test_the_header_counts_from_the_address_of_a_proxy_only(proxy, partners, service, source, status):
    connection = http.client.HTTPConnection(
        "127.0.0.1", proxy.upstream, timeout=20, source_address=(source, 0)
    )
    try:
        headers = {"Content-Type": "application/json", HEADER: escaped(partners["bank"])}
        forwarded = {"X-Forwarded-For": "127.0.0.1"}
        connection.request("POST", "/v1/challenge", b"{}", headers | forwarded)
        assert connection.getresponse().status == status
    finally:
        connection.close()


@contextmanager
def recorder():
    """An upstream that records what reaches it."""
    seen: list[list[tuple[str, str]]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append(self.headers.items())
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port, seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_what_a_caller_says_of_itself_does_not_reach_the_service():
    with recorder() as (port, seen), nginx_before(port) as front:
        bank = front.person("bank")
        lies = [
            (HEADER, "forged"),
            (HEADER.replace("-", "_"), "forged"),
            ("X-Forwarded-For", "198.51.100.1"),
            ("X-Forwarded-Proto", "http"),
            ("X-Forwarded-For", "127.0.0.1"),
        ]
        for path in ("/repository/x", "/status/x", "/v1/uses", "/v1/state"):
            for certificate in (None, bank):
                front.call("GET", path, certificate=certificate, headers=lies)
    assert len(seen) == 7  # without a certificate, /v1/state goes nowhere
    for headers in seen:
        found = [(name.lower(), value) for name, value in headers]
        assert "forged" not in str(found)
        assert [value for name, value in found if name == "x-forwarded-for"] == ["127.0.0.1"]
        assert [value for name, value in found if name == "x-forwarded-proto"] == ["https"]
    shown = [dict(headers).get(HEADER) for headers in seen]
    assert [each is None for each in shown] == [True, False, True, False, True, False, False]
    assert {each for each in shown if each} == {shown[1]}
    assert shown[1].startswith("-----BEGIN%20CERTIFICATE-----")


# --- what is published, what is not, what is too large, what is logged --------------------------------------


def test_published_lists_come_from_the_cache(land, proxy, service):
    name = "repository/metadata/1.root.json"
    found = [proxy.call("GET", f"/{name}{query}") for query in ("", "", f"?{SECRET}")]
    assert [each.headers["x-cache"] for each in found] == ["MISS", "HIT", "HIT"]
    assert {each.body for each in found} == {(land.bundle / name).read_bytes()}
    for _ in range(2):  # the newest list is always asked for
        newest = proxy.call("GET", "/repository/metadata/timestamp.json")
        assert (newest.status, newest.headers["x-cache"]) == (200, "MISS")
    assert proxy.call("GET", "/repository/..%2fpolicy.json").status in (400, 404)


def test_only_what_is_meant_for_others_is_reachable(proxy, partners, service):
    for path in ("/metrics", "/metrics/", "//metrics", "/%6detrics", "/healthz", "/openapi.json", "/"):
        for certificate in (None, partners["bank"]):
            assert proxy.call("GET", path, certificate=certificate).status in (403, 404), path
    # signed calls need no certificate: this one is refused by the service, for its content
    found = proxy.call("POST", "/v1/uses", {"proof": "AAAA"})
    assert (found.status, found.headers["content-type"]) == (403, "application/problem+json")


def test_bodies_are_limited_twice(proxy, partners, service):
    large = proxy.call("POST", "/v1/verify", {"text": "E" * 300_000}, certificate=partners["bank"])
    assert (large.status, large.headers["content-type"]) == (413, "application/problem+json")
    announced = [("Content-Length", str(300 * 1024 * 1024)), ("Content-Type", "application/json")]
    larger = proxy.call("POST", "/v1/jobs", headers=announced, certificate=partners["bank"])
    assert (larger.status, larger.headers["content-type"]) == (413, "text/html")


def test_logs_carry_no_query(proxy, partners, service):
    announced = [("Content-Length", str(300 * 1024 * 1024))]
    for path in ("/v1/state", "/metrics", "/nowhere", "/repository/x", "/status/x", "/v1/uses"):
        proxy.call("GET", f"{path}?number={SECRET}", certificate=partners["bank"])
    proxy.call("POST", f"/v1/jobs?type={SECRET}", headers=announced, certificate=partners["bank"])
    with nginx_before(free_port()) as broken:  # nobody listens behind it
        assert broken.call("GET", f"/repository/x?number={SECRET}").status == 502
        assert SECRET not in broken.logged()
    for log in (proxy.logged(), service.log.read_text()):
        assert SECRET not in log
    assert re.search(r"GET /v1/state 200", proxy.logged())
    kept = [file for file in (proxy.place / "cache").rglob("*") if file.is_file()]
    assert kept
    assert not [file for file in kept if SECRET.encode() in file.read_bytes()]


# --- the unit -----------------------------------------------------------------------------------------------


def test_systemd_takes_the_unit(tmp_path):
    program = needed("systemd-analyze", "systemd")
    command = tmp_path / "ewallet"
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)
    unit = tmp_path / "ewallet@.service"
    for text, good in (
        (UNIT, True),
        (UNIT.replace("Restart=always", "Restart=sometimes"), False),
        (UNIT.replace("ProtectHome=", "ProtectHouse="), False),
    ):
        unit.write_text(text.replace("/opt/ewallet/bin/ewallet", str(command)))
        done = subprocess.run(
            [program, "verify", "--man=no", str(unit)],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "SYSTEMD_LOG_LEVEL": "warning"},
        )
        said = [line for line in done.stderr.splitlines() if unit.name.partition("@")[0] in line]
        assert (done.returncode == 0 and not said) is good, done.stderr


def test_the_unit_waits_long_enough_for_a_graceful_end():
    from ewallet.service.serving import GRACE

    assert int(re.findall(r"^TimeoutStopSec=(\d+)$", UNIT, re.MULTILINE)[0]) > GRACE


# --- the container ------------------------------------------------------------------------------------------


def instruction(name: str) -> str:
    lines = CONTAINER.replace("\\\n", " ").splitlines()
    return "\n".join(line.partition(" ")[2] for line in lines if line.startswith(name + " "))


def test_the_container_installs_extras_that_exist_from_files_that_exist():
    about = tomllib.loads((ROOT / "pyproject.toml").read_text())
    [named] = re.findall(r"pip install .*\"/src\[([a-z0-9,]+)\]\"", instruction("RUN"))
    assert {"service"} <= set(named.split(",")) <= set(about["project"]["optional-dependencies"])
    copied = [word for line in instruction("COPY").splitlines() for word in line.split()[:-1]]
    assert all((ROOT / each).exists() for each in copied), copied
    build = about["tool"]["hatch"]["build"]["targets"]["wheel"]
    wanted = {"pyproject.toml", about["project"]["readme"], *about["project"]["license-files"]}
    assert wanted | set(build["packages"]) | set(build["force-include"]) <= set(copied)


def test_the_container_starts_a_command_that_parses(tmp_path):
    words = json.loads(instruction("ENTRYPOINT"))
    assert words[:2] == ["ewallet", "serve"]
    for place in ("bundle", "state"):
        (tmp_path / place).mkdir()
    given = [word.replace("/var/lib/ewallet", str(tmp_path)) for word in words[2:]]
    context = serve.make_context("serve", given)
    assert context.params["partners"] is not None
    with pytest.raises(click.UsageError):
        serve.make_context("serve", [*given, "--no-such-option"])
    assert str(context.params["port"]) == instruction("EXPOSE")


def test_the_health_check_tells_a_running_service_from_none(land):
    words = json.loads(instruction("HEALTHCHECK").partition("CMD ")[2])
    assert (words[:2], "127.0.0.1:8080/" in words[2]) == (["python", "-c"], True)

    def check(port: int) -> int:
        code = words[2].replace(":8080/", f":{port}/")
        return subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode

    port = free_port()
    assert check(port) != 0
    running = land.serve("31", "--port", str(port), "--quiet", agency=False)
    assert check(port) == 0
    running.stop()
    assert check(port) != 0
