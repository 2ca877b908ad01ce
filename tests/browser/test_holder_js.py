"""`examples/holder.js` makes codes that verify, under Node and in a browser."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from unittest import mock

import pytest

from ewallet.code.passes import Pass
from ewallet.errors import Refused
from ewallet.formats import cose
from ewallet.formats.text import decode
from ewallet.keys import PublicKey, SigningKey
from ewallet.licenses import asking, supply_code
from ewallet.licenses.asking import make_consent, read_consent
from ewallet.licenses.supply_code import read_supply_code
from ewallet.moments import seconds
from ewallet.trust.entries import Service
from tests.office import NOW, VENUE, City, reason_of

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = """<!doctype html><title>running</title><script type="module">
import {session} from "/session.js";
session("").then((done) => { document.title = JSON.stringify(done); },
                 (error) => { document.title = String(error.stack); });
</script>"""
CHROMIUM_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


class Server(ThreadingHTTPServer):
    """The authority, and what a venue would show."""

    daemon_threads = True

    def __init__(self, city: City) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.city, self.result = city, None
        self.question = city.ask("hospital", ("masked_name",))

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def start(self) -> dict:
        authority = self.city.office.authority
        listed = self.city.listed
        return {
            "authority": authority.name,
            "nonce": authority.challenge(NOW).hex(),
            "now": seconds(NOW) * 1000,
            "verifiers": [
                {
                    "uri": listed.uri,
                    "name": listed.names["en"],
                    "jwk": listed.signer(Service.VERIFY).public_key.to_jwk(),
                    "scenes": ["*"],
                    "attributes": ["*"],
                    "venues": [VENUE],
                }
            ],
            "scenes": {
                key: {"attributes": sorted(scene.attributes)} for key, scene in self.city.trust.scenes.items()
            },
        }

    def issue(self, asked: dict) -> dict:
        (made,) = self.city.office.authority.issue_passes(
            [(PublicKey.from_jwk(asked["jwk"]), bytes.fromhex(asked["proof"]))],
            subject="p-js", kind="person", scenes=["hospital", "library"],
            attributes={"resident": True, "masked_name": "张*"}, now=NOW,
        )  # fmt: skip
        self.device = PublicKey.from_jwk(asked["jwk"])
        assert Pass(made.credential).attributes["masked_name"] == "张*"
        return {"pass": made.credential.hex()}

    def questions(self) -> dict:
        return {
            "audience": VENUE,
            "question": self.question.text,
            "stranger": self.city.ask("hospital", signer=SigningKey.generate()).text,
            "greedy": self.city.ask("hospital", ("district",)).text,
        }


class Handler(BaseHTTPRequestHandler):
    """Static files of the session, and the few calls that it makes."""

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        pages = {"/": ("text/html", PAGE.encode())}
        for name, folder in (("session.js", "tests/browser"), ("holder.js", "examples")):
            pages[f"/{name}"] = ("text/javascript", (ROOT / folder / name).read_bytes())
        if self.path in pages:
            self._send(*pages[self.path])
        elif self.path == "/start":
            self._json(self.server.start())
        elif self.path == "/questions":
            self._json(self.server.questions())
        else:
            self.send_error(404)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/pass":
            self._json(self.server.issue(body))
        else:
            self.server.result = body
            self._json({"done": True})

    def _json(self, value: object) -> None:
        self._send("application/json", json.dumps(value).encode())

    def _send(self, kind: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def server(tmp_path):
    server = Server(City(tmp_path))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def check(server: Server) -> None:
    result, city = server.result, server.city
    assert result is not None
    assert result["extractable"] is False
    assert result["asker"] == "Example authority codes"
    found = city.verifier("library").verify(result["code"], now=NOW)
    assert reason_of(found) == "ACCEPTED"
    assert found.subject.attributes == {"resident": True}
    found = city.verifier("hospital").verify(result["answer"], now=NOW, answering=server.question)
    assert reason_of(found) == "ACCEPTED"
    assert found.subject.attributes == {"masked_name": "张*"}
    other = city.ask("hospital", ("masked_name",))
    found = city.verifier("hospital").verify(result["answer"], now=NOW, answering=other)
    assert reason_of(found) == "code.challenge"
    check_sharing(server, result)
    assert result["refused"] == [
        "verifier.unknown",
        "verifier.not_granted",
        "code.expired",
        "verifier.not_granted",
        "pass.expired",
    ]


class Pen:
    """Stands in for a device key: keeps what it is asked to sign."""

    def __init__(self, key: PublicKey) -> None:
        self.public_key = key
        self.message = b""

    def sign(self, message: bytes) -> bytes:
        self.message = message
        return bytes(64)


def check_sharing(server: Server, result: dict) -> None:
    """Consents and supply codes: the library reads them, and would have signed the very same bytes."""
    device, hall = server.device, "https://sh.ewallet.example/a/hall"
    told = [
        {"matter": "M-1", "case": "C-1", "purpose": "办理示例事项", "life": 600},
        {"matter": "", "case": "", "purpose": "uses", "life": 3600},
    ]
    for text, more in zip(result["consents"], told, strict=True):
        token, pen = bytes.fromhex(text), Pen(device)
        assert read_consent(token, now=NOW).key == device
        with the_nonce_of(token, asking._CONSENT):
            make_consent(pen, recipient=hall, identifier="1.2.156.3005.2.1", **more, now=NOW)
        assert cose.parse(token, asking._CONSENT).signed == pen.message
    about = {"authority": "https://sh.ewallet.example/a/market", "type": "310100123000100"}
    for text, recipient, life in zip(result["supplies"], ("", hall), (120, 300), strict=True):
        code, pen = read_supply_code(text, now=NOW), Pen(device)
        assert (code.key, code.recipient, code.exp - code.iat) == (device, recipient, life)
        _, token = decode(text)
        with the_nonce_of(token, supply_code._PROFILE):
            own = supply_code.prepare(device, **about, recipient=recipient, life=life, now=NOW)
        assert cose.parse(token, supply_code._PROFILE).signed == own.to_be_signed
        spoiled = text[:-10] + ("A" if text[-10] != "A" else "B") + text[-9:]
        with pytest.raises(Refused, match=r"signature\.holder"):
            read_supply_code(spoiled, now=NOW)


def the_nonce_of(token: bytes, profile: cose.Profile):
    """Lets the library draw the nonce that the phone drew."""
    nonce = cose.parse_cwt(token, profile).unverified_claims["nonce"]
    return mock.patch("os.urandom", return_value=nonce)


def test_under_node(server, tmp_path):
    node = shutil.which("node")
    if node is None:
        pytest.skip("no Node")
    for name, folder in (("session.js", "tests/browser"), ("holder.js", "examples")):
        shutil.copy(ROOT / folder / name, tmp_path / name)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "run.js").write_text(
        f'import {{session}} from "./session.js"; await session("{server.base}");'
    )
    done = subprocess.run(
        [node, str(tmp_path / "run.js")], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    check(server)


def test_in_a_browser(server, tmp_path):
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium")
    done = subprocess.run(
        [
            browser, *CHROMIUM_FLAGS, f"--user-data-dir={tmp_path / 'profile'}",
            "--virtual-time-budget=15000", "--dump-dom", server.base + "/",
        ],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert server.result is not None, done.stdout + done.stderr
    check(server)
