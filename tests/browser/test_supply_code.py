"""A supply code from the holder page to the counter page: scanned, filled in, retrieved; the use is shown."""

from __future__ import annotations

import json
from base64 import b64encode

import pytest

from ewallet.formats.qr import read_image
from ewallet.licenses.supply_code import read_supply_code
from ewallet.service.doors import Role, add_partner
from ewallet.service.example import ExampleTown
from tests.browser.conftest import Served, clock, opened, scan
from tests.browser.test_counter import answering, axe, outcome, shows

FORM = {
    "matter": "M-1",
    "matter_name": "残疾人补贴申领",
    "case": "2026-0042",
    "purpose": "办理残疾人补贴",
    "organization": "示例区政务服务中心",
    "operator": "clerk-7",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    town = ExampleTown(tmp_path_factory.mktemp("supply"))
    with Served(town) as url:
        yield town, url


@pytest.fixture
def wallet(browser, place):
    """The holder page on a phone, at its licenses."""
    context = browser.new_context(viewport={"width": 390, "height": 844})
    errors: list[str] = []
    page = context.new_page()
    page.set_default_timeout(10_000)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(place[1] + "/holder.html")
    page.wait_for_selector("#code-picture[data-text]")
    page.click('[data-tab="licenses"]')
    yield page
    context.close()
    assert not errors


@pytest.fixture
def window(browser, place):
    """The counter page of a window that has the key of its office."""
    town, url = place
    with opened(browser, url) as page:
        page.evaluate("(key) => sessionStorage.setItem('ewallet-key', key)", town.key)
        yield page


def shown(wallet) -> str:
    """What a scanner reads from the holder's screen."""
    wallet.click("#cards button:has-text('用证码')")
    wallet.wait_for_selector("#supply-picture[data-text]")
    (text,) = read_image(wallet.locator("#supply-picture").screenshot())
    return text


def fill(page, **changes) -> None:
    for name, value in {**FORM, **changes}.items():
        page.fill(f"#supply-{name}", value)


def test_the_phone_shows_a_code_that_the_library_reads(wallet, place, screen):
    town, _ = place
    text = shown(wallet)
    screen(wallet, "supply-phone")
    code = read_supply_code(text, now=clock())
    assert (code.authority, code.recipient) == (town.market.uri, "")
    assert code.type == next(each for each in town.held if each.owner == "person").issued.license.type_code
    assert 60 < code.exp - code.iat <= 300
    assert "还可用" in wallet.inner_text("#supply-left")
    assert axe(wallet) == []
    wallet.click("#cards button:has-text('收起')")
    assert not wallet.locator("#supply-picture").count()


def test_a_new_code_comes_when_the_last_one_ends(browser, place):
    page = browser.new_page()
    page.clock.install()
    page.goto(place[1] + "/holder.html")
    page.wait_for_selector("#code-picture[data-text]")
    page.click('[data-tab="licenses"]')
    first = shown(page)
    page.clock.run_for(60_000)
    assert page.get_attribute("#supply-picture", "data-text") == first
    assert 50 < int("".join(filter(str.isdigit, page.inner_text("#supply-left")))) <= 61
    page.clock.run_for(61_000)
    page.wait_for_selector(f'#supply-picture:not([data-text="{first}"])')
    second = page.get_attribute("#supply-picture", "data-text")
    page.click('[data-tab="records"]')
    page.clock.run_for(200_000)
    page.click('[data-tab="licenses"]')
    assert not page.locator("#supply-picture").count(), "put away with its tab"
    assert first != second
    page.close()


def test_a_window_retrieves_a_copy_and_the_holder_sees_it(wallet, window, place, screen):
    _, url = place
    sent = []
    window.on("request", lambda request: sent.append(request) if "/v1/" in request.url else None)
    scan(window, shown(wallet))
    window.wait_for_selector("#supply:not([hidden])")
    assert not [each for each in sent if each.url.endswith("/v1/verify")], "it is not for verifying"
    assert "残疾人证" in window.inner_text("#supply-what")
    fill(window)
    screen(window, "supply-form")
    assert axe(window) == []
    window.click("#supply-go")
    window.wait_for_selector("#supply-got:not([hidden])")
    screen(window, "supply-got")
    assert axe(window) == []
    assert "EWU" not in "".join(each.url for each in sent)
    with window.expect_download() as saved:
        window.click("#supply-save")
    pdf = saved.value.path().read_bytes()
    assert pdf.startswith(b"%PDF")
    assert saved.value.suggested_filename == "license-copy.pdf"
    found = window.request.post(
        url + "/v1/verify", data=pdf, headers={"Content-Type": "application/pdf"}
    ).json()
    assert found["outcome"] in ("ACCEPTED", "UNDECIDED"), "a copy carries its seal"
    with window.context.expect_page() as paper:
        window.click("#supply-open")
    assert paper.value.url.startswith("blob:")
    paper.value.close()
    kept = window.evaluate("JSON.parse(localStorage.getItem('ewallet-window'))")
    assert kept.keys() == {"organization", "operator", "position"}
    window.keyboard.press("Escape")
    assert shows(window, "ready")
    assert FORM["purpose"] not in window.content()
    assert window.get_attribute("#supply-save", "href") is None

    wallet.click('[data-tab="records"]')
    wallet.wait_for_selector("#used li")
    used = wallet.inner_text("#used li >> nth=0")
    for part in (FORM["organization"], FORM["matter_name"], FORM["case"], FORM["purpose"], "您出示了用证码"):
        assert part in used


def test_what_is_missing_is_named_and_office_and_window_are_remembered(wallet, window, screen):
    scan(window, shown(wallet))
    window.wait_for_selector("#supply:not([hidden])")
    assert window.input_value("#supply-position").startswith("https://"), "the counter's own place"
    fill(window, case="  ")
    window.click("#supply-go")
    assert window.inner_text("#supply-alert") == "请填写：办件编号"
    assert window.evaluate("document.activeElement.id") == "supply-case"
    window.fill("#supply-until", "2020-01-01")
    window.fill("#supply-case", "1")
    window.click("#supply-go")
    window.wait_for_selector("#supply-alert:has-text('复印件可用至')")
    window.click("#language")
    assert window.inner_text("#supply-alert") == "Fill in: The copy may be used until"
    assert window.input_value("#supply-case") == "1", "what was written stays"
    window.click("#language")
    window.keyboard.press("Escape")
    wallet.click("#cards button:has-text('收起')")
    scan(window, shown(wallet))
    window.wait_for_selector("#supply:not([hidden])")
    assert window.input_value("#supply-organization") == FORM["organization"]
    assert window.input_value("#supply-purpose") == ""
    assert window.evaluate("document.activeElement.id") == "supply-matter"


def test_a_code_is_for_one_case_and_a_new_one_keeps_what_was_written(wallet, window, screen):
    text = shown(wallet)
    scan(window, text)
    fill(window)
    window.click("#supply-go")
    window.wait_for_selector("#supply-got:not([hidden])")
    scan(window, text)
    window.wait_for_selector("#supply-form:not([hidden])")
    fill(window, case="another")
    window.click("#supply-go")
    window.wait_for_selector("#supply-alert:has-text('应答码')")
    screen(window, "supply-replayed")
    said = window.inner_text("#supply-alert")
    assert said.startswith("应答码 100：")
    assert "别的办件" in said
    wallet.click("#cards button:has-text('收起')")
    scan(window, shown(wallet))
    window.wait_for_selector("#supply-alert[data-calm]")
    assert window.input_value("#supply-case") == "another"
    window.click("#supply-go")
    window.wait_for_selector("#supply-got:not([hidden])")


def test_without_a_key_it_asks_and_then_goes_on_with_what_was_written(browser, place, wallet):
    town, url = place
    with opened(browser, url) as page:
        scan(page, shown(wallet))
        fill(page)
        page.click("#supply-go")
        page.wait_for_selector("#key:not([hidden])")
        assert "已填内容不会丢" in page.inner_text("#key-alert")
        page.fill("#key-field", town.key)
        page.keyboard.press("Enter")
        page.wait_for_selector("#supply-form:not([hidden])")
        assert page.input_value("#supply-case") == FORM["case"]
        page.click("#supply-go")
        page.wait_for_selector("#supply-got:not([hidden])")


def test_a_partner_whom_no_list_names_reads_the_fields_own_words(browser, place, wallet, tmp_path):
    town, _ = place
    file = tmp_path / "partners.json"
    key = add_partner(file, name="nobody", roles=[Role.VERIFIER])
    with Served(town, partners=file, state=tmp_path) as url, opened(browser, url) as page:
        page.evaluate("(key) => sessionStorage.setItem('ewallet-key', key)", key)
        scan(page, shown(wallet))
        fill(page)
        page.click("#supply-go")
        page.wait_for_selector("#supply-alert:has-text('应答码 11')")
        assert "调用方未通过认证" in page.inner_text("#supply-alert")
        assert not shows(page, "key"), "the key is known: another one would not help"


SAID = {"zh": "证照使用受限", "en": "The license is restricted", "detail": ""}


@pytest.mark.parametrize(
    ("body", "status", "expected"),
    [
        (json.dumps({"code": 23, **SAID}), 409, "应答码 23：证照使用受限"),
        (json.dumps({"code": 100, **SAID, "reason": "code.expired"}), 403, "用证码已过期"),
        (json.dumps({"code": 0, **SAID}), 200, "没有取得复印件"),
        (json.dumps({"code": 0, **SAID, "pdf": "*", "statement": ""}), 200, "没有取得复印件"),
        ("not json", 200, "没有取得复印件"),
        ("{}", 503, "没有取得复印件"),
    ],
)
def test_an_answer_that_is_no_copy_says_so(wallet, window, body, status, expected):
    scan(window, shown(wallet))
    fill(window)
    window.route("**/v1/retrieve", answering(body, status))
    window.click("#supply-go")
    window.wait_for_selector(f"#supply-alert:has-text('{expected}')")
    assert not shows(window, "supply-got")
    assert window.input_value("#supply-case") == FORM["case"]


def test_a_copy_from_a_province_without_a_rule_says_take_the_manual_path(wallet, window):
    pdf = b64encode(b"%PDF-1.7").decode()
    answer = {"code": 0, "zh": "成功", "en": "OK", "detail": "", "pdf": pdf, "statement": pdf}
    answer["local"] = {"rule": None, "reason": "recognition.no_rule"}
    scan(window, shown(wallet))
    fill(window)
    window.route("**/v1/retrieve", answering(json.dumps(answer), 200))
    window.click("#supply-go")
    window.wait_for_selector("#supply-got:not([hidden])")
    assert "走人工" in window.inner_text("#supply-alert")


def test_what_is_no_supply_code_and_a_kiosk(browser, place, window):
    scan(window, "EWUAAAAAAAA")
    window.wait_for_selector("#supply-alert:not([hidden])")
    assert "不是完整的用证码" in window.inner_text("#supply-alert")
    with opened(browser, place[1], "/#lang=zh&kiosk=1") as kiosk:
        scan(kiosk, "EWUAAAAAAAA")
        outcome(kiosk, "REJECTED")


def test_the_form_empties_itself_and_fits_a_phone_in_large_english(browser, place, wallet, screen):
    look = {"viewport": {"width": 390, "height": 844}}
    text = shown(wallet)
    with opened(browser, place[1], "/#lang=en&size=26", **look) as page:
        page.clock.install()
        scan(page, text)
        page.wait_for_selector("#supply:not([hidden])")
        screen(page, "supply-narrow-english")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        sizes = (
            "[...document.querySelectorAll('#supply input, #supply button')].map((each) => each.offsetHeight)"
        )
        assert all(each == 0 or each >= 60 for each in page.evaluate(sizes))
        fill(page)
        page.clock.fast_forward(121_000)
        page.wait_for_selector("#ready:not([hidden])")
        assert page.input_value("#supply-case") == ""
