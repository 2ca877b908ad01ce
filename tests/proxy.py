"""A real nginx, unprivileged, in front of a service: with the configuration of `examples/deployment`."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.services import Answer, free_port
from tests.services_tls import CertificateAuthority, pem, save

if TYPE_CHECKING:
    from collections.abc import Iterator

DEPLOYMENT = Path(__file__).resolve().parents[1] / "examples" / "deployment"

_MAIN = """
daemon off;
worker_processes 1;
pid {place}/pid;
error_log {place}/log/main.log crit;
events {{ worker_connections 256; }}
http {{
    client_body_temp_path {place}/body;
    proxy_temp_path {place}/proxy;
    fastcgi_temp_path {place}/fastcgi;
    uwsgi_temp_path {place}/uwsgi;
    scgi_temp_path {place}/scgi;
    access_log off;
    include {place}/site.conf;
}}
"""


def needed(program: str, package: str) -> str:
    """Path of a program; without it the test is skipped with a notice, and fails in CI."""
    found = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI must run this test: {program} is missing (package {package})")
        pytest.skip(f"notice: {program} is missing (package {package}): the deployment was not tested")
    return found


@dataclass(kw_only=True)
class Proxy:
    """A running nginx, and who may come through it."""

    place: Path
    port: int
    process: subprocess.Popen[bytes]
    partners: CertificateAuthority
    server: CertificateAuthority

    def call(
        self,
        method: str,
        path: str,
        data: Any = None,
        *,
        certificate: Path | None = None,
        headers: list[tuple[str, str]] | None = None,
    ) -> Answer:
        """One call over TLS; dictionaries are sent as JSON."""
        context = ssl.create_default_context(cadata=pem(self.server.certificate).decode())
        if certificate is not None:
            context.load_cert_chain(certificate)
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=20, context=context)
        try:
            connection.putrequest(method, path)
            body = json.dumps(data).encode() if isinstance(data, dict) else data
            given = list(headers or [])
            if isinstance(data, dict):
                given.append(("Content-Type", "application/json"))
            if body is not None:
                given.append(("Content-Length", str(len(body))))
            for name, value in given:
                connection.putheader(name, value)
            connection.endheaders(body)
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, found, response.read())
        finally:
            connection.close()

    def person(self, name: str, **dates: Any) -> Path:
        """File with a certificate of the partners' CA, and its key."""
        return save(self.place, name, *self.partners.issue(name, **dates))

    def logged(self) -> str:
        """Everything that it has logged."""
        return "".join(file.read_text() for file in sorted((self.place / "log").iterdir()))


@contextlib.contextmanager
def nginx_before(upstream: int) -> Iterator[Proxy]:
    """nginx as `examples/deployment` configures it, with other paths and ports, before a service's port."""
    program = needed("nginx", "nginx")
    place = Path(tempfile.mkdtemp(prefix="ewallet-nginx-"))
    try:
        partners, server, port = CertificateAuthority(), CertificateAuthority("Made-up web CA"), free_port()
        _write(place, partners, server, port, upstream)
        given = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}
        if given:
            for each in (place, *place.rglob("*")):
                shutil.chown(each, "nobody", "nogroup")
        command = [program, "-p", str(place), "-c", str(place / "main.conf"), "-e", str(place / "start.log")]
        checked = subprocess.run([*command, "-t"], capture_output=True, text=True, check=False, **given)
        assert checked.returncode == 0, checked.stderr
        assert "warn" not in checked.stderr, checked.stderr
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, **given)
        try:
            _wait(port, process)
            yield Proxy(place=place, port=port, process=process, partners=partners, server=server)
        finally:
            process.terminate()
            process.wait(timeout=20)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _write(
    place: Path, partners: CertificateAuthority, server: CertificateAuthority, port: int, upstream: int
) -> None:
    (place / "log").mkdir()
    (place / "main.conf").write_text(_MAIN.format(place=place))
    text = (DEPLOYMENT / "nginx.conf").read_text()
    for theirs, ours in (
        ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        ("http://127.0.0.1:8080", f"http://127.0.0.1:{upstream}"),
        ("/var/cache/nginx/ewallet", f"{place}/cache"),
        ("/etc/nginx/tls/", f"{place}/"),
        ("/var/log/nginx/", f"{place}/log/"),
    ):
        assert theirs in text, theirs
        text = text.replace(theirs, ours)
    (place / "site.conf").write_text(text)
    own = save(place, "own", *server.issue("sh.ewallet.example"))
    shutil.copy(own, place / "fullchain.pem")
    shutil.copy(own, place / "key.pem")
    (place / "partners-ca.pem").write_bytes(pem(partners.certificate))


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(200):
        assert process.poll() is None, "nginx has ended"
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise AssertionError("nginx does not listen")
