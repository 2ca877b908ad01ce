"""The counter page's API key: kept for the tab only, sent with every call, asked for after a 401."""

from __future__ import annotations

import pytest

from ewallet.service.doors import Role, add_partner, remove_partner
from tests.browser.conftest import Served, opened, scan
from tests.browser.test_counter import axe, outcome, shows


@pytest.fixture(scope="module")
def partners(tmp_path_factory):
    """A file of partners with one window; its key."""
    file = tmp_path_factory.mktemp("partners") / "partners.json"
    return file, add_partner(file, name="window 1", roles=[Role.VERIFIER])


@pytest.fixture(scope="module")
def locked(town, partners):
    """The service behind keys, looking at its file of partners often."""
    with Served(town, partners=partners[0], open_counter=False, refresh=0.2) as url:
        yield url


@pytest.fixture
def window(browser, locked):
    """A page of a service that asks for a key."""
    with opened(browser, locked) as page:
        page.wait_for_selector("#key:not([hidden])")
        yield page


def enter(page, key: str) -> None:
    page.fill("#key-field", key)
    page.keyboard.press("Enter")


def test_it_asks_for_the_key_and_sends_it_with_every_call(window, phone, partners, screen):
    screen(window, "key-needed")
    assert "要求接口密钥" in window.inner_text("#key-alert")
    assert "密钥" in window.inner_text("#banner")
    assert window.evaluate("document.activeElement.id") == "key-field"
    sent = []
    window.on("request", lambda request: sent.append(request) if "/v1/" in request.url else None)
    enter(window, partners[1])
    window.wait_for_selector("#ready:not([hidden])")
    assert not shows(window, "banner")
    scan(window, phone.code())
    outcome(window, "ACCEPTED")
    window.keyboard.press("Escape")
    assert len(sent) > 1
    assert {each.headers["authorization"] for each in sent} == {f"Bearer {partners[1]}"}
    assert not [each for each in sent if "ewk_" in each.url]
    assert "ewk_" not in window.url
    window.reload()
    window.wait_for_selector("#use-key:not([hidden])")
    assert shows(window, "ready"), "a reload of the tab asks for nothing"


def test_it_is_kept_in_the_tab_only_masked_and_can_be_removed(window, partners, screen):
    key = partners[1]
    enter(window, key)
    window.wait_for_selector("#ready:not([hidden])")
    kept = "() => [localStorage.length, document.cookie, sessionStorage.length]"
    assert window.evaluate(kept) == [0, "", 1]
    window.click("#use-key")
    screen(window, "key-kept")
    assert window.inner_text("#key-kept") == f"正在使用 ewk_••••••{key[-4:]}"
    assert key not in window.content()
    assert window.get_attribute("#key-field", "type") == "password"
    assert axe(window) == []
    other = window.context.new_page()
    other.goto(window.url)
    other.wait_for_selector("#key:not([hidden])")
    other.close()
    window.click("#key-remove")
    window.wait_for_selector("#key-kept", state="hidden")
    assert window.evaluate("sessionStorage.length") == 0
    window.wait_for_selector("#banner:not([hidden])")
    assert "要求接口密钥" in window.inner_text("#key-alert")


def test_a_wrong_key_is_told_and_nothing_is_verified(window, phone, screen):
    enter(window, "12345")
    assert "47 个字符" in window.inner_text("#key-alert")
    assert window.evaluate("sessionStorage.length") == 0
    enter(window, "ewk_" + "A" * 43)
    window.wait_for_selector("#key-alert:has-text('不认识')")
    screen(window, "key-unknown")
    window.keyboard.press("Escape")
    scan(window, phone.code())
    window.wait_for_selector("#key:not([hidden])")
    assert "不认识这个密钥" in window.inner_text("#key-alert")
    assert not shows(window, "outcome")


def test_a_key_that_is_taken_away_is_noticed_at_the_next_scan(browser, town, phone, tmp_path):
    file = tmp_path / "partners.json"
    add_partner(file, name="other", roles=[Role.VERIFIER])
    key = add_partner(file, name="window", roles=[Role.VERIFIER])
    given = {"partners": file, "open_counter": False, "refresh": 0.1}
    with Served(town, **given) as url, opened(browser, url) as page:
        page.wait_for_selector("#key:not([hidden])")
        enter(page, key)
        page.wait_for_selector("#ready:not([hidden])")
        remove_partner(file, "window")
        page.wait_for_timeout(600)
        scan(page, phone.code())
        page.wait_for_selector("#key:not([hidden])")
        assert "不认识这个密钥" in page.inner_text("#key-alert")


def test_a_scanned_key_is_sent_to_nobody_and_goes_only_where_it_is_asked_for(page, window, partners):
    sent = []
    page.on("request", lambda request: sent.append(request.post_data) if request.post_data else None)
    for shown in (page, window):
        shown.evaluate(
            """(text) => {
              for (const [n, key] of [...text, "Enter"].entries()) {
                const code = key === "Enter" ? key : "", about = {bubbles: true, cancelable: true};
                const event = new KeyboardEvent("keydown", {key, code, ...about});
                Object.defineProperty(event, "timeStamp", {value: 5000 + n * 5});
                (document.activeElement ?? document.body).dispatchEvent(event);
              }
            }""",
            partners[1],
        )
    window.wait_for_selector("#ready:not([hidden])")
    page.wait_for_timeout(300)
    assert not sent
    assert page.evaluate("sessionStorage.length") == 0, "a person's screen gives a terminal no key"


@pytest.mark.parametrize("given", [{"partners": None, "open_counter": False}, {}])
def test_where_the_counter_is_open_nothing_is_asked(browser, town, phone, given):
    with Served(town, **given) as url, opened(browser, url) as page:
        scan(page, phone.code())
        outcome(page, "ACCEPTED")
        page.keyboard.press("Escape")
        assert shows(page, "ready")
        assert not shows(page, "use-key")
        assert page.evaluate("sessionStorage.length") == 0


def test_in_english_by_keyboard_narrow_and_large(browser, locked, partners, screen):
    look = {"viewport": {"width": 390, "height": 844}}
    with opened(browser, locked, "/#lang=en&size=30", **look) as page:
        page.wait_for_selector("#key:not([hidden])")
        screen(page, "key-narrow-english")
        assert "asks for an API key" in page.inner_text("#key-alert")
        assert page.evaluate("document.getElementById('key-alert').getBoundingClientRect().top >= 0")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.keyboard.type(partners[1], delay=60)
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.wait_for_selector("#ready:not([hidden])")
