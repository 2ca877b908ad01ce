"""The holder page shows who used the licenses: each use with its ground, for each license, or why not."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from ewallet.licenses.sharing import Use, UseLog
from ewallet.moments import seconds
from ewallet.service.example import ExampleTown
from tests.browser.conftest import Served, clock
from tests.browser.test_counter import answering, axe


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    town = ExampleTown(tmp_path_factory.mktemp("uses"))
    with Served(town) as url:
        yield town, url


@pytest.fixture
def phone_page(browser, place):
    """The holder page on a phone, at its records."""
    context = browser.new_context(viewport={"width": 390, "height": 844})
    errors: list[str] = []
    page = context.new_page()
    page.set_default_timeout(10_000)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(place[1] + "/holder.html")
    page.wait_for_selector("#code-picture[data-text]")
    yield page
    context.close()
    assert not errors


def use(town: ExampleTown, owner: str, **changes) -> None:
    """One more use of the person's or the enterprise's license in the issuer's register."""
    (held,) = (each for each in town.held if each.owner == owner)
    identifier = held.issued.license.identifier
    told = Use(
        at=seconds(clock()), identifier=identifier, side="supplied", code=0, recipient=town.hall.uri,
        organization="示例区政务服务中心", operator="clerk-7", position="w-1", matter="M-1 残疾人补贴申领",
        case="2026-0042", purpose="办理残疾人补贴", ground="consent", until="2026-12-31", trust_version=1,
    )  # fmt: skip
    key = f"license {town.register.entry(identifier).id}"
    UseLog(town.register).record(replace(told, **changes), license_key=key)


def records(page) -> str:
    page.click('[data-tab="records"]')
    page.wait_for_selector("#used-again:not([hidden])")
    return page.inner_text("#records")


def test_nobody_yet_then_each_use_with_its_ground_in_words(phone_page, place, screen):
    town, _ = place
    said = records(phone_page)
    screen(phone_page, "uses-none")
    assert "没有人调取过" in said
    assert axe(phone_page) == []
    now = seconds(clock())
    use(town, "person", at=now - 86_400)
    use(
        town,
        "person",
        at=now - 3600,
        ground="law:example-inspection",
        organization="示例区检查大队",
        until="",
    )
    use(town, "person", at=now - 60, ground="code", case="2026-0043")
    use(town, "person", at=now - 7200, ground="law:repealed", organization="别处")
    use(town, "enterprise", organization="示例银行")
    phone_page.click("#used-again")
    phone_page.wait_for_selector("#used li >> nth=3")
    screen(phone_page, "uses")
    shown = phone_page.locator("#used li").all_inner_texts()
    assert len(shown) == 4
    assert "您出示了用证码" in shown[0]
    assert "依法" in shown[1]
    assert "《示例市场检查办法》第七条" in shown[1]
    assert "repealed" in shown[2], "a law that is not listed any more is still named"
    assert "经您同意" in shown[3]
    for part in (
        "示例区政务服务中心",
        "残疾人证",
        "办理残疾人补贴",
        "残疾人补贴申领",
        "2026-0042",
        "2026-12-31",
    ):
        assert part in shown[3]
    assert "M-1" not in shown[3], "no codes where there are words"
    assert "clerk-7" not in phone_page.inner_text("#used"), "the office answers, not its clerk"
    assert "共 4 次" in phone_page.inner_text("#used-state")
    assert axe(phone_page) == []
    assert phone_page.evaluate("document.documentElement.scrollWidth <= innerWidth")

    phone_page.click('[data-whose="enterprise"]')
    phone_page.wait_for_selector("#used li:has-text('示例银行')")
    assert phone_page.locator("#used li").count() == 1
    phone_page.click("#language")
    phone_page.wait_for_selector("#used li:has-text('With your consent')")
    screen(phone_page, "uses-english")


def test_the_question_is_signed_by_this_phone_and_names_nobody_in_an_address(phone_page):
    with phone_page.expect_request("**/v1/uses") as sent:
        phone_page.click('[data-tab="records"]')
    assert json.loads(sent.value.post_data).keys() == {"proof"}
    assert "?" not in sent.value.url


def test_several_licenses_of_one_holder_stand_in_one_list_and_one_failure_hides_no_other(
    phone_page, place, screen
):
    town, _ = place
    use(town, "enterprise", organization="甲机关", at=seconds(clock()) - 5)
    use(town, "person", organization="乙机关", at=seconds(clock()))
    # The enterprise's license counts as the person's too: two licenses behind one list.
    phone_page.route("**/example/licenses", one_owner)
    phone_page.reload()
    phone_page.wait_for_selector("#code-picture[data-text]")
    said = records(phone_page)
    assert said.index("乙机关") < said.index("甲机关"), "the newest first, whichever license it was"
    assert "营业执照" in phone_page.inner_text("#used")
    asked = []

    def refuse_second(route):
        asked.append(route)
        route.fulfill(status=503, body="{}") if len(asked) == 2 else route.continue_()

    phone_page.route("**/v1/uses", refuse_second)
    phone_page.click("#used-again")
    phone_page.wait_for_selector("#used-failed p")
    screen(phone_page, "uses-one-failed")
    assert "现在查不到" in phone_page.inner_text("#used-failed")
    assert phone_page.locator("#used li").count() > 0


def one_owner(route) -> None:
    answer = route.fetch()
    said = answer.json()
    for each in said["licenses"]:
        each["owner"] = "person"
    route.fulfill(response=answer, body=json.dumps(said))


@pytest.mark.parametrize(
    ("status", "said"), [(503, "请稍后再试"), (429, "请稍后再试"), (403, "不再绑定"), (409, "请稍后再试")]
)
def test_a_record_that_cannot_be_read_is_no_empty_record(phone_page, status, said):
    phone_page.route("**/v1/uses", answering("{}", status))
    shown = records(phone_page)
    assert said in shown
    assert "没有人调取过" not in shown


def test_a_phone_that_was_replaced_is_told_so(phone_page, browser, place):
    _, url = place
    for _ in range(3):  # three further phones: the first one's binding ends
        other = browser.new_page()
        other.goto(url + "/holder.html")
        other.wait_for_selector("#code-picture[data-text]")
        other.close()
    assert "不再绑定" in records(phone_page)


def test_senior_mode_and_keyboard(phone_page):
    phone_page.focus('[data-tab="records"]')
    phone_page.keyboard.press("Enter")
    phone_page.wait_for_selector("#used-again:not([hidden])")
    phone_page.focus("#used-again")
    with phone_page.expect_response("**/v1/uses"):
        phone_page.keyboard.press("Enter")
