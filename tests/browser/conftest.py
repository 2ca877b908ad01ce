"""A real headless Chromium, the real service of an example town, and what a scanner types.

Without Chromium or its driver these tests are skipped with a notice; in CI (`CI=true`) they must run. The
screens are kept in `build/screens`, for people to look at.
"""

from __future__ import annotations

import os
import shutil
import socket
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import uvicorn

from ewallet.code import possession, rotating
from ewallet.keys import SigningKey
from ewallet.licenses import binding
from ewallet.licenses.presenting import present
from ewallet.service.example import VENUE, ExampleTown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

ROOT = Path(__file__).resolve().parent.parent.parent
SCREENS = ROOT / "build" / "screens"
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream", "--force-color-profile=srgb",
]  # fmt: skip


def missing(what: str) -> None:
    """Skips with a notice; in CI, fails."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI must run the browser tests: {what}")
    pytest.skip(f"notice: the browser tests are skipped: {what}")


def clock() -> datetime:
    return datetime.now(UTC)


class Phone:
    """The holder's side: passes, codes and presentations of the example town."""

    def __init__(self, town: ExampleTown) -> None:
        self.town = town
        self.bound: dict[str, tuple[bytes, SigningKey]] = {}

    def code(self, *, audience: str = VENUE, disclose: tuple[str, ...] = ("masked_name",)) -> str:
        """A fresh code of a fresh pass."""
        office, now, key = self.town.office, clock(), SigningKey.generate()
        proof = possession.prove(key, authority=office.name, nonce=office.challenge(now))
        (made,) = office.issue_passes(
            [(key.public_key, proof)],
            subject="p-1", kind="person", scenes=["counter", "government-hall"],
            attributes={"masked_name": "范**", "resident": True}, now=now,
        )  # fmt: skip
        return rotating.show(made, key, audience=audience, now=clock(), disclose=disclose)

    def license(self, owner: str, disclose: list[str]) -> str:
        """A presentation of the person's or the enterprise's license."""
        if owner not in self.bound:
            (held,) = (each for each in self.town.held if each.owner == owner)
            issuer, key, now = self.town.issuer, SigningKey.generate(), clock()
            proof = binding.prove(key, authority=self.town.market.uri, nonce=issuer.challenge(now))
            given = issuer.bind(held.issued.license, 0, key.public_key, proof, now=now)
            self.town.publish()
            self.bound[owner] = (given.sd_cwt, key)
        credential, key = self.bound[owner]
        return present(credential, key, audience=VENUE, nonce=None, disclose=disclose, now=clock())


class Served:
    """The service on a free port, in a thread."""

    def __init__(self, town: ExampleTown, **settings) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        config = uvicorn.Config(town.app(**settings), log_config=None, lifespan="on")
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.socket]})

    def __enter__(self) -> str:
        self.thread.start()
        while not self.server.started:
            time.sleep(0.02)
        return self.url

    def __exit__(self, *_: object) -> None:
        self.server.should_exit = True
        self.thread.join()
        self.socket.close()


def fonts(directory: Path) -> dict[str, str]:
    """A font configuration with a Chinese face from the development environment, for the pictures."""
    import justmytype_intl_cjk

    place = Path(justmytype_intl_cjk.__file__).parent / "fonts"
    file = directory / "fonts.conf"
    file.write_text(
        f"<?xml version='1.0'?><fontconfig><dir>/usr/share/fonts</dir><dir>{place}</dir>"
        f"<cachedir>{directory}/cache</cachedir></fontconfig>"
    )
    return {"FONTCONFIG_FILE": str(file)}


@pytest.fixture(scope="session")
def launch(tmp_path_factory):
    """Starts a Chromium with further flags; all end with the session."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("Playwright for Python is not installed")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        missing("there is no Chromium; on Debian: apt-get install chromium")
    environment = {**os.environ, **fonts(tmp_path_factory.mktemp("fonts"))}
    with sync_playwright() as playwright:
        started: list[Browser] = []

        def start(*flags: str) -> Browser:
            browser = playwright.chromium.launch(
                executable_path=chromium, args=[*FLAGS, *flags], env=environment
            )
            started.append(browser)
            return browser

        yield start
        for browser in started:
            browser.close()


@pytest.fixture(scope="session")
def browser(launch) -> Browser:
    return launch()


@pytest.fixture(scope="session")
def town(tmp_path_factory) -> ExampleTown:
    return ExampleTown(tmp_path_factory.mktemp("town"))


@pytest.fixture(scope="session")
def phone(town) -> Phone:
    return Phone(town)


@pytest.fixture(scope="session")
def url(town) -> Iterator[str]:
    with Served(town) as url:
        yield url


@pytest.fixture
def page(browser, url) -> Iterator[Page]:
    """A fresh page of the counter; an error of its script or a refused resource fails the test."""
    with opened(browser, url) as page:
        yield page


class opened:  # noqa: N801 (reads as a verb)
    """A page in a context of its own."""

    def __init__(self, browser: Browser, url: str, path: str = "/#lang=zh", **context) -> None:
        self.context = browser.new_context(
            **{"viewport": {"width": 1280, "height": 800}, "permissions": ["camera"], **context}
        )
        self.address = url + path
        self.errors: list[str] = []

    def __enter__(self) -> Page:
        page = self.context.new_page()
        page.set_default_timeout(10_000)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", self._heard)
        page.goto(self.address)
        page.wait_for_selector("#state div")
        return page

    def _heard(self, message) -> None:
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.errors.append(message.text)

    def __exit__(self, kind: object, *_: object) -> None:
        self.context.close()
        assert kind is not None or not self.errors, self.errors


@pytest.fixture(scope="session")
def screen():
    """Keeps a picture of a page under a name."""
    SCREENS.mkdir(parents=True, exist_ok=True)

    def keep(page: Page, name: str) -> Path:
        page.wait_for_timeout(150)
        file = SCREENS / f"{name}.png"
        page.screenshot(path=file)
        return file

    return keep


def scan(page: Page, text: str, *, pause: float = 1, method: str = "", end: bool = True) -> None:
    """Types a text as a hand scanner does, by the places of keys, with real timing, in one go.

    Args:
        page: the page.
        text: capital letters and digits.
        pause: milliseconds between two keys.
        method: what is in the way: `pinyin` (an input method takes every key), `azerty` (another layout).
        end: whether the scanner ends with Enter.
    """
    page.evaluate(_TYPE, {"text": text, "pause": pause, "method": method, "end": end})


_TYPE = """async ({text, pause, method, end}) => {
  const azerty = {A: "q", Q: "a", Z: "w", W: "z", M: ","};
  // A keyboard stamps its keys itself: a busy machine delivers them late, but with their own times.
  const send = (code, key, at) => {
    const target = document.activeElement ?? document.body;
    const about = {code, key, bubbles: true, cancelable: true, composed: true};
    if (method === "pinyin" && code !== "Enter") {
      Object.assign(about, {key: "Process", keyCode: 229, isComposing: true});
    }
    for (const kind of ["keydown", "keyup"]) {
      const event = new KeyboardEvent(kind, about);
      Object.defineProperty(event, "timeStamp", {value: at});
      target.dispatchEvent(event);
    }
  };
  let next = performance.now();
  for (const char of text) {
    const code = /[0-9]/.test(char) ? `Digit${char}` : `Key${char}`;
    send(code, method === "azerty" ? azerty[char] ?? char.toLowerCase() : char, next);
    next += pause;
    while (performance.now() < next) if (pause > 20) await new Promise((done) => setTimeout(done, 1));
  }
  if (end) send("Enter", "Enter", next);
}"""
