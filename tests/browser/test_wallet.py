"""The holder page in a real browser: keys in WebCrypto, codes that the counter takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from ewallet.formats.qr import read_image
from ewallet.licenses.catalog import Catalog
from ewallet.service.example import VENUE
from tests.browser.conftest import ROOT, scan
from tests.browser.test_counter import axe, outcome

STATIC = ROOT / "ewallet" / "service" / "static"


@pytest.fixture
def wallet(browser, url):
    """The holder page on a phone's screen, ready with its code."""
    context = browser.new_context(viewport={"width": 480, "height": 960})
    errors: list[str] = []
    page = context.new_page()
    page.set_default_timeout(10_000)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(url + "/holder.html")
    page.wait_for_selector("#code-picture[data-text]")
    yield page
    context.close()
    assert not errors


def code_of(page, selector: str = "#code-picture") -> str:
    """What a camera reads from the page: a picture of the canvas, not its data."""
    picture = page.locator(selector).screenshot()
    (text,) = read_image(picture)
    assert text == page.get_attribute(selector, "data-text")
    return text


def test_it_runs_the_example_byte_for_byte():
    assert (STATIC / "holder.js").read_bytes() == (ROOT / "examples" / "holder.js").read_bytes()


def test_its_code_is_accepted_and_renewed(wallet, page, screen):
    assert "示例" in wallet.inner_text("#example")
    screen(wallet, "wallet-code")
    first = code_of(wallet)
    scan(page, first)
    found = outcome(page, "ACCEPTED")
    assert "范**" not in found["details"], "nothing is disclosed that was not chosen"
    wallet.check("#attributes input[value=masked_name]")
    wallet.wait_for_function(
        "(before) => document.getElementById('code-picture').dataset.text !== before", arg=first
    )
    assert 1 <= int(wallet.inner_text("#left")) <= 10


def test_it_acts_for_the_enterprise(wallet, page):
    before = code_of(wallet)
    wallet.click('[data-whose="enterprise"]')
    wallet.wait_for_function(
        "(before) => document.getElementById('code-picture').dataset.text !== before", arg=before
    )
    scan(page, code_of(wallet))
    assert "企业" in outcome(page, "ACCEPTED")["details"]


def test_its_keys_cannot_leave(wallet):
    told = wallet.evaluate(
        """async () => {
          const {newDeviceKey} = await import("/holder.js");
          const key = await newDeviceKey();
          const taken = await crypto.subtle.exportKey("pkcs8", key.privateKey)
            .then(() => "taken", () => "kept");
          return [taken, localStorage.length, sessionStorage.length, (await indexedDB.databases()).length];
        }"""
    )
    assert told == ["kept", 0, 0, 0]


def test_a_request_shows_who_asks_for_what(wallet, page, url, screen):
    asked = wallet.request.post(url + "/v1/challenge", data={"attributes": ["masked_name"]}).json()
    wallet.click('[data-tab="request"]')
    wallet.fill("#question", asked["text"])
    wallet.click("#read")
    wallet.wait_for_selector("#asked .asker")
    screen(wallet, "wallet-request")
    assert "上海市示例政务服务中心" in wallet.inner_text("#asked")
    assert "姓名" in wallet.inner_text("#wanted")
    wallet.click("#asked .primary")
    wallet.wait_for_selector("#asked canvas")
    answer = code_of(wallet, "#asked canvas")
    found = wallet.request.post(url + "/v1/verify", data={"text": answer, "answering": asked["text"]}).json()
    assert found["outcome"] == "ACCEPTED"
    assert found["subject"]["attributes"] == {"masked_name": "范**"}
    wallet.click('[data-tab="records"]')
    assert "上海市示例政务服务中心" in wallet.inner_text("#uses")


def test_a_request_for_a_license_is_answered_with_that_and_no_more(wallet, page, url, screen):
    wallet.click('[data-tab="request"]')
    with wallet.expect_response("**/v1/request") as made:
        wallet.click("#sample-license")
    question = made.value.json()["text"]
    wallet.wait_for_selector("#asked .asker")
    screen(wallet, "wallet-request-license")
    assert "办理示例事项" in wallet.inner_text("#asked")
    assert wallet.locator("#wanted li").all_inner_texts() == ["姓名", "性别"]
    wallet.click("#asked .primary")
    wallet.wait_for_selector("#asked canvas")
    answer = code_of(wallet, "#asked canvas")
    found = wallet.request.post(url + "/v1/verify", data={"text": answer, "answering": question}).json()
    assert found["outcome"] == "ACCEPTED"
    assert found["licenses"][0]["fields"].keys() == {"name", "sex"}


def asked_for(wallet, url, *wanted) -> str:
    """A request of the counter for several licenses: (owner's license, fields) each."""
    query = {
        "credentials": [
            {
                "id": f"l{place}",
                "format": "dc+sd-jwt",
                "meta": {"vct_values": [f"https://ewallet.example/vct/{type_}/1"]},
                "claims": [{"path": [name]} for name in fields],
            }
            for place, (type_, fields) in enumerate(wanted)
        ]
    }
    said = wallet.request.post(url + "/v1/request", data={"query": query, "about": {"purpose": "两证联办"}})
    assert said.status == 201, said.text()
    return said.json()["text"]


def types(town) -> dict[str, str]:
    return {each.owner: each.issued.license.type_code for each in town.held}


def test_a_request_for_several_licenses_is_answered_whole(wallet, town, url, screen):
    held = types(town)
    question = asked_for(wallet, url, (held["person"], ["name", "sex"]), (held["enterprise"], ["uscc"]))
    wallet.click('[data-tab="request"]')
    wallet.fill("#question", question)
    wallet.click("#read")
    wallet.wait_for_selector("#asked .asker")
    screen(wallet, "wallet-request-several")
    assert wallet.locator("#wanted h3").all_inner_texts() == ["残疾人证", "营业执照"]
    assert wallet.locator("#wanted li").all_inner_texts() == ["姓名", "性别", "统一社会信用代码"]
    assert "同意就全部出示" in wallet.inner_text("#wanted")
    assert axe(wallet) == []
    wallet.click("#asked .primary")
    wallet.wait_for_selector("#asked canvas")
    screen(wallet, "wallet-answer-several")
    assert "第 1 个码，共 2 个：残疾人证" in wallet.inner_text("#asked")
    first = code_of(wallet, "#asked canvas")
    wallet.click("#asked .primary")
    wallet.wait_for_selector("#asked h3:has-text('第 2 个码')")
    second = code_of(wallet, "#asked canvas")
    verify = {"text": first, "answering": question}
    alone = wallet.request.post(url + "/v1/verify", data=verify).json()
    assert alone["outcome"] == "REJECTED", "a part is no answer"
    verify["text"] = f"{second}\n{first}"
    found = wallet.request.post(url + "/v1/verify", data=verify).json()
    assert found["outcome"] == "ACCEPTED", found
    fields = {each["type"]: set(each["fields"]) for each in found["licenses"]}
    assert fields == {held["person"]: {"name", "sex"}, held["enterprise"]: {"uscc"}}
    wallet.click("#asked .primary")
    wallet.click('[data-tab="records"]')
    assert "营业执照" in wallet.inner_text("#uses"), "what was shown is noted, all of it"


def test_what_the_phone_does_not_hold_is_not_answered_in_part(wallet, town, url):
    held, other = types(town), Catalog.builtin()["food-business-permit"].code
    wallet.click('[data-tab="request"]')
    wallet.fill("#question", asked_for(wallet, url, (held["person"], ["name"]), (other, ["operator"])))
    wallet.click("#read")
    wallet.wait_for_selector("#asked .bad")
    assert "没有对方要的证照" in wallet.inner_text("#asked")
    assert wallet.locator("#asked canvas").count() == 0


@pytest.mark.parametrize("text", ["EWQAAAA", "EWCAAAA", "https://example.invalid/"])
def test_a_strange_request_is_refused(wallet, text):
    wallet.click('[data-tab="request"]')
    wallet.fill("#question", text)
    wallet.click("#read")
    wallet.wait_for_selector("#asked .bad")
    assert "不要出示" in wallet.inner_text("#asked")
    assert wallet.locator("#asked canvas").count() == 0


def test_a_license_shows_only_what_was_chosen(wallet, page, screen):
    wallet.click('[data-tab="licenses"]')
    screen(wallet, "wallet-licenses")
    wallet.click("#cards .primary")
    wallet.check("#fields input[value=category]")
    wallet.check("#fields input[value=grade]")
    wallet.click("#cards .primary")
    wallet.wait_for_selector("#cards canvas")
    text = code_of(wallet, "#cards canvas")
    assert text.startswith("EWL")
    scan(page, text)
    found = outcome(page, "ACCEPTED")
    assert "残疾类别" in found["details"]
    assert "姓名" not in found["details"]
    assert VENUE not in found["details"]


def test_a_receipt_of_the_counter_becomes_a_record(wallet, page, screen):
    scan(page, code_of(wallet))
    outcome(page, "ACCEPTED")
    page.click("#receipt")
    receipt = code_of(page, "#receipt-picture")
    screen(page, "receipt")
    wallet.click('[data-tab="request"]')
    wallet.fill("#question", receipt)
    wallet.click("#read")
    wallet.wait_for_selector("#uses .box")
    screen(wallet, "wallet-records")
    assert "上海市示例政务服务中心" in wallet.inner_text("#uses")
    assert "签名回执第" in wallet.inner_text("#uses")
    wallet.click('[data-tab="request"]')
    wallet.fill("#question", receipt[:-8] + ("A" if receipt[-8] != "A" else "B") + receipt[-7:])
    wallet.click("#read")
    wallet.wait_for_selector("#asked .bad")


def test_both_licenses_and_senior_mode(wallet, screen):
    wallet.click('[data-tab="licenses"]')
    assert "残疾人证" in wallet.inner_text("#cards")
    wallet.click('[data-whose="enterprise"]')
    assert "营业执照" in wallet.inner_text("#cards")
    wallet.click("#senior")
    screen(wallet, "wallet-senior")
    assert wallet.get_attribute("#senior", "aria-pressed") == "true"
    assert wallet.evaluate("parseFloat(getComputedStyle(document.body).fontSize)") >= 24
    assert not wallet.is_visible("#place")
    wallet.wait_for_timeout(300)
    assert code_of(wallet).startswith("EWC")


def test_it_speaks_english(wallet, screen):
    wallet.click("#language")
    assert wallet.get_attribute("html", "lang") == "en"
    assert "example" in wallet.inner_text("#example").lower()
    screen(wallet, "wallet-english")


def test_no_accessibility_violation(wallet):
    for tab in ("code", "request", "licenses", "records"):
        wallet.click(f'[data-tab="{tab}"]')
        assert axe(wallet) == []
    wallet.click("#senior")
    assert axe(wallet) == []


def test_the_words_have_both_languages():
    for name in ("words.js", "wallet_words.js"):
        text = Path(STATIC / name).read_text(encoding="utf-8")
        assert "undefined" not in text
        assert text.count("[") == text.count("]")
