"""Deciding by hand on the counter page: after UNDECIDED only, recorded, said plainly, never green."""

from __future__ import annotations

import json
import shutil

import pytest

from ewallet.verify.receipts import UseLog
from tests.browser.conftest import Served, opened, scan
from tests.browser.test_counter import COLORS, answering, axe, outcome, shows

FIELDS = ["name", "category"]
WHY = "已看过原件，并与签发机关电话核实"


@pytest.fixture(scope="module")
def status(tmp_path_factory):
    """A directory without status lists: no license can be decided."""
    return tmp_path_factory.mktemp("status")


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module")
def unsure(town, status, state):
    with Served(town, status=str(status), state=state) as url:
        yield url


@pytest.fixture
def window(browser, unsure):
    with opened(browser, unsure) as page:
        yield page


def undecided(page, phone) -> None:
    scan(page, phone.license("person", FIELDS))
    assert outcome(page, "UNDECIDED")["reason"] == "status.unavailable"


def write(page, officer="范例员", why=WHY) -> None:
    page.click("#by-hand")
    page.fill("#decide-officer", officer)
    page.fill("#decide-reason", why)


def every_color(page) -> str:
    return page.evaluate(
        """() => [...document.querySelectorAll("#outcome, .verdict, .verdict *")].map((each) => {
        const {backgroundColor, color, stroke, fill} = getComputedStyle(each);
        return [backgroundColor, color, stroke, fill].join(" ");
        }).join(" ")"""
    )


TITLES = {"go": "人工决定： 继续办理", "stop": "人工决定： 不办理"}


@pytest.mark.parametrize("go", TITLES)
def test_it_is_recorded_and_said_plainly_and_never_green(window, phone, state, screen, go):
    undecided(window, phone)
    write(window)
    screen(window, f"decide-{go}")
    assert axe(window) == []
    window.click(f'[data-decide="{go}"]')
    window.wait_for_selector("#outcome[data-manual]")
    screen(window, f"decided-{go}")
    found = outcome(window, "UNDECIDED")
    assert found["outcome-word"] == TITLES[go]
    assert found["color"] == COLORS["orange"]
    assert "通过" not in found["announce"]
    assert "范例员" in found["sentence"]
    assert COLORS["green"] not in every_color(window)
    assert not shows(window, "by-hand"), "once"
    assert axe(window) == []
    with UseLog(state / "uses.sqlite") as log:
        number, _ = log.check()
        assert [*log.records()][-1]["manual"] is (go == "go")
        assert log.note(number) == {"officer": "范例员", "reason": WHY}
    assert f"第 {number} 号" in found["sentence"]
    window.keyboard.press("Escape")
    assert WHY not in window.content()
    assert window.evaluate("localStorage.length + sessionStorage.length") == 0


def test_nothing_is_decided_without_officer_or_reason(window, phone):
    undecided(window, phone)
    sent = []
    window.on("request", lambda request: sent.append(request.url) if "decisions" in request.url else None)
    write(window, officer="  ")
    window.click('[data-decide="go"]')
    assert "经办人员" in window.inner_text("#decide-alert")
    assert window.evaluate("document.activeElement.id") == "decide-officer"
    window.fill("#decide-officer", "范例员")
    for empty in ("", "   ", "。。。"):
        window.fill("#decide-reason", empty)
        window.click('[data-decide="go"]')
        assert "原因" in window.inner_text("#decide-alert")
    window.focus("#decide-officer")
    window.keyboard.press("Enter")
    assert not sent, "and Enter in a field decides nothing"
    window.click("#other-language")
    assert window.inner_text("#decide-alert").startswith("Write down why")
    assert window.input_value("#decide-officer") == "范例员", "what was written stays"


def test_only_what_is_undecided_has_the_form(window, page, phone, browser, unsure):
    scan(window, "EWCAAAAAAAA")
    outcome(window, "REJECTED")
    assert not shows(window, "by-hand")
    scan(page, phone.code())
    outcome(page, "ACCEPTED")
    assert not shows(page, "by-hand")
    page.route("**/v1/verify", lambda route: route.abort())
    scan(page, phone.code())
    outcome(page, "UNDECIDED")
    assert not shows(page, "by-hand"), "nobody could record it"
    window.keyboard.press("Escape")
    window.click("#practice")
    window.click('[data-practice="UNDECIDED"]')
    assert not shows(window, "by-hand")
    with opened(browser, unsure, "/#lang=zh&kiosk=1") as kiosk:
        undecided(kiosk, phone)
        assert not shows(kiosk, "by-hand"), "no officer sits at a kiosk"


def test_without_a_log_there_is_no_form(browser, town, phone, status, tmp_path):
    given = {"status": str(status), "state": tmp_path, "record": False, "receipt_signer": None}
    with Served(town, **given) as url, opened(browser, url) as page:
        undecided(page, phone)
        assert not shows(page, "by-hand")


def test_what_ran_out_meanwhile_is_refused_and_the_words_wait_for_a_fresh_code(window, phone, screen):
    undecided(window, phone)
    write(window)
    found = {"outcome": "REJECTED", "reason": "code.expired", "kind": "presentation", "licenses": []}
    sides = {"zh": "此码已过期。", "en": "This code has expired."}
    layers = {"genuine": "failed", "in force": None, "accepted here": None}
    found |= {"sentence": sides, "advice": sides, "layers": layers, "notices": [], "recorded": 7}
    problem = {"status": 409, "title": "x", "outcome": "REJECTED", "reason": "code.expired", "found": found}
    window.route("**/v1/decisions", answering(json.dumps(problem), 409))
    window.click('[data-decide="go"]')
    assert outcome(window, "REJECTED")["color"] == COLORS["red"]
    assert not shows(window, "decide")
    window.unroute("**/v1/decisions")
    undecided(window, phone)
    assert window.input_value("#decide-reason") == WHY
    window.click('[data-decide="go"]')
    window.wait_for_selector("#outcome[data-manual]")
    undecided(window, phone)
    assert not shows(window, "decide"), "not into the next one"

    write(window)
    window.route("**/v1/decisions", answering(json.dumps(problem), 409))
    window.click('[data-decide="go"]')
    outcome(window, "REJECTED")
    window.keyboard.press("Escape")
    undecided(window, phone)
    assert not shows(window, "decide"), "Esc forgets the words too"


@pytest.mark.parametrize(
    ("body", "status_", "said"),
    [
        ("{}", 500, "不算数"),
        ('{"outcome": "ACCEPTED", "recorded": 3, "go_ahead": true, "receipt": null}', 201, "没有收到回答"),
        ("not json", 201, "没有收到回答"),
        ('{"title": "this service keeps no log"}', 409, "不留使用记录"),
    ],
)
def test_an_odd_answer_decides_nothing(window, phone, body, status_, said):
    undecided(window, phone)
    write(window)
    window.route("**/v1/decisions", answering(body, status_))
    window.click('[data-decide="go"]')
    window.wait_for_selector("#decide-alert:not([hidden])")
    assert said in window.inner_text("#decide-alert")
    assert window.input_value("#decide-reason") == WHY
    assert window.get_attribute("#outcome", "data-manual") is None


def test_what_is_accepted_by_now_is_shown_as_accepted(browser, town, phone, tmp_path):
    lists = tmp_path / "lists"
    lists.mkdir()
    with Served(town, status=str(lists), state=tmp_path / "state") as url, opened(browser, url) as page:
        undecided(page, phone)
        write(page)
        shutil.copytree(town.bundle / "status", lists, dirs_exist_ok=True)
        page.click('[data-decide="stop"]')
        found = outcome(page, "ACCEPTED")
        assert found["color"] == COLORS["green"], "verified by the service, in this very call"
        assert page.get_attribute("#outcome", "data-manual") is None


def test_by_keyboard_in_english_on_a_phone_in_large_type(browser, unsure, phone, screen):
    look = {"viewport": {"width": 390, "height": 844}}
    with opened(browser, unsure, "/#lang=en&size=26", **look) as page:
        undecided(page, phone)
        for _ in range(9):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.id") == "by-hand":
                break
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "decide-officer"
        page.keyboard.type("Clerk 1", delay=70)
        page.keyboard.press("Tab")
        page.keyboard.type("seen the paper", delay=70)
        screen(page, "decide-narrow-english")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.wait_for_selector("#outcome[data-manual]")
        screen(page, "decided-narrow-english")
        assert page.inner_text("#outcome-word") == "Decided by hand: go on"
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
