"""The counter page in a real browser, against the real service."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from statistics import median

import pytest

from ewallet.formats.qr import qr_image
from ewallet.licenses.printed import PrintOrder
from ewallet.licenses.render import Content, Faces, render
from ewallet.reasons import REASONS
from ewallet.service.example import ExampleTown
from tests.browser.conftest import Phone, Served, clock, opened, scan

COLORS = {"green": "rgb(10, 107, 60)", "red": "rgb(176, 32, 26)", "orange": "rgb(173, 78, 0)"}
WORDS = {"ACCEPTED": "通过", "REJECTED": "不通过", "UNDECIDED": "无法判定"}


def outcome(page, expected: str) -> dict[str, str]:
    """Waits for the outcome and reads what stands on the screen."""
    page.wait_for_selector(f'#outcome[data-outcome="{expected}"]:not([hidden])')
    return page.evaluate(
        """() => Object.fromEntries(["outcome-word", "sentence", "advice", "reason", "details", "announce"]
        .map((id) => [id, document.getElementById(id).textContent])
        .concat([["color", getComputedStyle(document.getElementById("outcome")).backgroundColor],
                 ["sign", document.getElementById("sign").getAttribute("d")]]))"""
    )


def shows(page, name: str) -> bool:
    return page.is_visible(f"#{name}")


# --- outcomes -----------------------------------------------------------------------------------------------


def test_each_outcome_has_its_color_shape_word_sentence_and_step(page, phone, screen):
    screen(page, "ready")
    scan(page, phone.code())
    good = outcome(page, "ACCEPTED")
    screen(page, "accepted")
    assert good["outcome-word"] == "通过"
    assert good["color"] == COLORS["green"]
    assert "范**" in good["details"]
    assert "请与本人核对" in good["details"]

    scan(page, "EWCAAAAAAAA")
    bad = outcome(page, "REJECTED")
    screen(page, "rejected")
    assert bad["outcome-word"] == "不通过"
    assert bad["color"] == COLORS["red"]
    reason = REASONS[bad["reason"]]
    assert (bad["sentence"], bad["advice"]) == (reason.zh, reason.advice_zh)
    assert "范**" not in page.content(), "nothing of the person before is left"

    page.route("**/v1/verify", lambda route: route.abort())
    scan(page, phone.code())
    open_ = outcome(page, "UNDECIDED")
    screen(page, "undecided")
    assert open_["outcome-word"] == "无法判定"
    assert open_["color"] == COLORS["orange"]
    assert len({good["sign"], bad["sign"], open_["sign"]}) == 3
    for found in (good, bad, open_):
        assert found["announce"] == (f"{found['outcome-word']}。{found['sentence']}{found['advice']}"), (
            "a screen reader says all of it"
        )


def test_each_outcome_has_its_sound(page, phone):
    page.evaluate(
        """() => {
          window.heard = [];
          const start = OscillatorNode.prototype.start;
          OscillatorNode.prototype.start = function (at) {
            heard.push(Math.round(this.frequency.value));
            return start.call(this, at);
          };
        }"""
    )
    sounds = []
    page.click("#practice")
    for name in WORDS:
        page.click(f'[data-practice="{name}"]')
        outcome(page, name)
        sounds.append(tuple(page.evaluate("heard.splice(0)")))
        page.keyboard.press("Escape")
    assert len(set(sounds)) == 3
    assert all(sounds)
    page.click("#sound")
    page.click('[data-practice="ACCEPTED"]')
    assert page.evaluate("heard.length") == 0


def test_a_code_shown_twice_says_when_it_was_used(page, phone, screen):
    code = phone.code()
    scan(page, code)
    outcome(page, "ACCEPTED")
    scan(page, code)
    found = outcome(page, "REJECTED")
    screen(page, "replayed")
    assert found["reason"] == "code.replayed"
    assert re.fullmatch(r"此码已于 \d\d:\d\d:\d\d 使用过。", found["sentence"])
    page.click("#other-language")
    assert re.fullmatch(r"Already used at \d\d:\d\d:\d\d\.", page.inner_text("#sentence"))


def test_a_license_shows_portrait_and_masked_facts(page, phone, screen):
    fields = ["name", "category", "grade", "card_number", "portrait", "portrait_image"]
    scan(page, phone.license("person", fields))
    found = outcome(page, "ACCEPTED")
    page.wait_for_function("document.querySelector('.who canvas')?.width === 80")
    screen(page, "license")
    assert page.get_attribute(".who canvas", "aria-label") == "持证人照片"
    assert "310***********011342" in found["details"]
    assert "31010119000110011342" not in page.content()
    page.click("#unmask")
    assert "31010119000110011342" in page.inner_text("#details")
    page.keyboard.press("Escape")
    assert shows(page, "ready")
    assert "31010119000110011342" not in page.content()


def test_what_is_no_whole_answer_is_undecided(page, phone):
    layers = {"genuine": "passed", "in force": "open", "accepted here": "passed"}
    parts = {"outcome": "ACCEPTED", "reason": None, "kind": "code", "licenses": [], "notices": []}
    answers = [
        ("{}", 200, "回答不完整"),
        ('{"outcome": "ACCEPTED"}', 200, "回答不完整"),
        (json.dumps({**parts, "layers": layers}), 200, "回答不完整"),
        ("not json", 200, "连不上"),
        ("{}", 500, "回答不完整"),
        ("{}", 429, "繁忙"),
    ]
    for body, status, said in answers:
        page.route("**/v1/verify", answering(body, status))
        scan(page, "EWCAAAAAAAA")
        found = outcome(page, "UNDECIDED")
        assert said in found["sentence"], (body, status)
        assert found["color"] == COLORS["orange"]
        page.keyboard.press("Escape")
        page.unroute("**/v1/verify")


def answering(body: str, status: int):
    """A service that answers only this."""
    return lambda route: route.fulfill(status=status, body=body)


# --- the hand scanner ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["", "pinyin", "azerty"])
@pytest.mark.parametrize("end", [True, False])
def test_a_scanner_types_through_input_method_and_layout(page, phone, method, end):
    scan(page, phone.code(), method=method, end=end)
    outcome(page, "ACCEPTED")


def test_a_scan_needs_no_focus_and_spoils_none(page, phone):
    page.click("#use-number")
    page.fill("#number-field", "12")
    page.focus("#number-field")
    sent = []
    page.on("request", lambda request: sent.append(request.url))
    scan(page, phone.code(), method="pinyin")
    outcome(page, "ACCEPTED")
    assert page.input_value("#number-field") == ""
    assert not [each for each in sent if each.endswith("/v1/number")], "its Enter sent no form"
    page.keyboard.press("Escape")

    page.focus("#practice")
    scan(page, phone.code())
    outcome(page, "ACCEPTED")
    page.keyboard.press("Escape")
    assert not shows(page, "practice-banner"), "its Enter pressed no button"


def compose(page, text: str) -> None:
    """Types through Chromium's own composition: keys arrive as `Process`, the text goes into the field."""
    devtools, composed = page.context.new_cdp_session(page), ""
    for char in text:
        key = {
            "code": f"Digit{char}" if char.isdigit() else f"Key{char}",
            "key": "Process",
            "windowsVirtualKeyCode": 229,
        }
        devtools.send("Input.dispatchKeyEvent", {"type": "rawKeyDown", **key})
        if len(composed) < 3:  # then the page takes the focus away, and with it the composition
            composed += char.lower()
            where = len(composed)
            devtools.send(
                "Input.imeSetComposition",
                {"text": composed, "selectionStart": where, "selectionEnd": where},
            )
        devtools.send("Input.dispatchKeyEvent", {"type": "keyUp", **key})
    page.keyboard.press("Enter")


def test_real_input_method_composition_does_not_spoil_a_scan(page):
    sent = []
    page.on("request", lambda request: sent.append(request.post_data) if "verify" in request.url else None)
    for _ in range(5):  # a busy machine may type too slowly for a scanner
        page.keyboard.press("Escape")
        page.click("#use-number")
        page.focus("#number-field")
        compose(page, "EWCAB2D3")
        page.wait_for_timeout(300)
        if sent:
            break
    outcome(page, "REJECTED")
    assert sent[0] == '{"text":"EWCAB2D3"}'
    assert page.input_value("#number-field") == ""


def test_a_person_who_types_is_told_apart(page):
    sent = []
    page.on("request", lambda request: sent.append(request.url) if "verify" in request.url else None)
    scan(page, "EWCAAA", pause=120)
    page.wait_for_timeout(300)
    assert not sent
    assert shows(page, "number"), "typing opens the field for a number"


def test_drawn_within_150_ms_of_the_last_key(page, phone, capsys):
    for _ in range(7):
        scan(page, phone.code())
        outcome(page, "ACCEPTED")
        page.wait_for_timeout(150)
    times = page.evaluate("performance.getEntriesByName('outcome drawn').map((each) => each.duration)")
    with capsys.disabled():
        sys.stdout.write(
            f"\noutcome drawn after the last key: {median(times):.0f} ms, most {max(times):.0f}\n"
        )
    assert len(times) == 7
    assert median(times) <= 150


# --- another province ---------------------------------------------------------------------------------------


def test_a_license_of_another_province_with_its_local_view(browser, tmp_path, screen):
    town = ExampleTown(tmp_path, province="32")
    with Served(town) as url, opened(browser, url) as page:
        fields = ["uscc", "name", "legal_representative", "address", "valid_until"]
        scan(page, Phone(town).license("enterprise", fields))
        found = outcome(page, "ACCEPTED")
        screen(page, "other-province")
        assert "上海市" in found["details"]
        assert "本地对应" in found["details"]
        assert "上海样例食品有限公司" in page.inner_text("#details table")


# --- files, camera, number ----------------------------------------------------------------------------------


def drop(page, file: Path, kind: str) -> None:
    """Drops a file onto the page."""
    data = list(file.read_bytes())
    transfer = page.evaluate_handle(
        """([data, name, type]) => {
          const transfer = new DataTransfer();
          transfer.items.add(new File([new Uint8Array(data)], name, {type}));
          return transfer;
        }""",
        [data, file.name, kind],
    )
    page.dispatch_event("#main", "dragover", {"dataTransfer": transfer})
    assert shows(page, "drop")
    page.dispatch_event("#main", "drop", {"dataTransfer": transfer})


def test_a_dropped_pdf_and_picture(page, town, phone, tmp_path, screen):
    (held,) = (each for each in town.held if each.owner == "enterprise")
    order = PrintOrder(originals=1)
    copies = town.issuer.print_copies(held.issued.license, order, reason="test", now=clock())
    town.publish()
    content = Content.of(held.issued.license, town.issuer.catalog[held.issued.license.type_code])
    pdf = tmp_path / "license.pdf"
    pdf.write_bytes(render(content, copies[0], faces=Faces.builtin()))
    drop(page, pdf, "application/pdf")
    found = outcome(page, "ACCEPTED")
    screen(page, "pdf")
    assert "营业执照" in found["details"]
    page.keyboard.press("Escape")
    picture = tmp_path / "code.png"
    qr_image(phone.code()).save(picture)
    drop(page, picture, "image/png")
    outcome(page, "ACCEPTED")


def test_the_camera_reads_a_code(launch, url, phone, tmp_path, screen):
    film = tmp_path / "film.y4m"
    write_film(film, phone.code())
    with opened(launch(f"--use-file-for-fake-video-capture={film}"), url) as page:
        page.click("#use-camera")
        found = outcome(page, "ACCEPTED")
        screen(page, "camera")
        assert "范**" in found["details"]
        page.click("#next")
        page.wait_for_selector("#camera:not([hidden])")
        page.wait_for_timeout(1500)
        screen(page, "camera-open")
        assert shows(page, "camera"), "the code that is still held there does not count again"
        page.keyboard.press("Escape")
        assert page.evaluate("document.getElementById('video').srcObject") is None


def write_film(file: Path, text: str, *, width: int = 1280, height: int = 720) -> None:
    """A short film of a code, as a camera sees it: YUV4MPEG2, grey."""
    from PIL import Image

    frame = Image.new("L", (width, height), 150)
    code = qr_image(text, box=6).convert("L")
    frame.paste(code, ((width - code.width) // 2, (height - code.height) // 2))
    chroma = bytes([128]) * (width * height // 2)
    picture = b"FRAME\n" + frame.tobytes() + chroma
    file.write_bytes(f"YUV4MPEG2 W{width} H{height} F10:1 Ip A1:1 C420jpeg\n".encode() + picture * 10)


def test_a_typed_number_never_turns_green(page, screen):
    license_ = {"state": "valid", "in_force": True, "names": {"zh": "营业执照", "en": "Business license"}}
    said = {
        "valid": ({"licenses": [license_]}, "营业执照，登记状态：有效"),
        "not begun": ({"licenses": [{**license_, "in_force": False}]}, "尚未生效"),
        "revoked": ({"licenses": [{**license_, "state": "revoked", "in_force": False}]}, "已吊销"),
        "odd": ({"licenses": [{**license_, "state": "fine"}]}, "查不到此编号"),
        "none": (None, "查不到此编号"),
    }
    for name, (body, expected) in said.items():
        page.route("**/v1/number", answering(json.dumps(body), 200 if body else 404))
        page.click("#use-number")
        page.fill("#number-field", "91310101MA9X000018")
        page.keyboard.press("Enter")
        found = outcome(page, "STATUS")
        if name == "valid":
            screen(page, "number")
        assert found["outcome-word"] == "仅状态"
        assert expected in found["sentence"]
        assert found["color"] not in COLORS.values()
        page.unroute("**/v1/number")
        page.keyboard.press("Escape")


def test_a_terminal_without_a_register_says_so(page):
    page.click("#use-number")
    page.fill("#number-field", "91310101MA9X000018")
    page.keyboard.press("Enter")
    assert "没有接入登记库" in outcome(page, "STATUS")["sentence"]


# --- offline, language, kiosk, practice ---------------------------------------------------------------------


def test_it_says_when_the_service_or_the_network_is_gone(page, screen):
    assert not shows(page, "banner")
    page.context.set_offline(True)
    page.wait_for_selector("#banner:not([hidden])")
    assert "离线" in page.inner_text("#banner")
    page.context.set_offline(False)
    page.wait_for_selector("#banner", state="hidden")
    page.route("**/v1/state", lambda route: route.abort())
    page.wait_for_selector("#banner[data-bad]")
    screen(page, "offline")
    assert "连不上" in page.inner_text("#banner")
    assert page.get_attribute("#banner", "role") == "alert"


def test_stale_lists_are_undecided(launch, browser, tmp_path, screen):
    from datetime import timedelta

    town = ExampleTown(tmp_path)
    late = Phone(town)
    code = late.code()
    with Served(town, now=lambda: clock() + timedelta(days=3)) as url, opened(browser, url) as page:
        assert "过旧" in page.inner_text("#banner")
        scan(page, code)
        page.wait_for_selector("#outcome:not([hidden])")
        assert page.get_attribute("#outcome", "data-outcome") != "ACCEPTED"


def test_both_languages(page, phone, screen):
    assert page.get_attribute("html", "lang") == "zh-CN"
    page.click("#language")
    assert page.get_attribute("html", "lang") == "en"
    assert "lang=en" in page.url
    scan(page, "EWCAAAAAAAA")
    found = outcome(page, "REJECTED")
    screen(page, "english")
    reason = REASONS[found["reason"]]
    assert (found["outcome-word"], found["sentence"]) == ("Not accepted", reason.en)
    assert not re.search("[\u4e00-\u9fff]", page.inner_text("#details"))
    page.click("#other-language")
    assert page.inner_text("#outcome-word") == "不通过"


def test_kiosk_mode_returns_by_itself(browser, url, phone, screen):
    with opened(browser, url, "/#lang=zh&kiosk=1") as page:
        page.clock.install()
        scan(page, phone.code())
        outcome(page, "ACCEPTED")
        assert page.is_visible("#countdown")
        screen(page, "kiosk")
        assert not page.is_visible("#kiosk")
        page.clock.fast_forward(9_000)
        page.wait_for_selector("#ready:not([hidden])")
        assert "范**" not in page.content()


def test_escape_wipes_and_nothing_is_stored(page, phone):
    scan(page, phone.code())
    outcome(page, "ACCEPTED")
    page.keyboard.press("Escape")
    assert shows(page, "ready")
    assert "范**" not in page.content()
    kept = page.evaluate(
        """async () => [localStorage.length, sessionStorage.length, document.cookie,
        (await indexedDB.databases()).length, (await caches.keys()).length]"""
    )
    assert kept == [0, 0, "", 0, 0]


def test_escape_stops_what_is_on_its_way(page, phone):
    waiting = []
    page.route("**/v1/verify", lambda route: waiting.append(route))  # noqa: PLW0108 (the driver looks at it)
    scan(page, phone.code())
    page.wait_for_timeout(100)
    page.keyboard.press("Escape")
    page.wait_for_timeout(300)
    assert len(waiting) == 1
    assert shows(page, "ready")
    waiting[0].abort()


def test_practice_never_shows_a_real_green(page, phone, screen):
    page.click("#practice")
    assert page.is_visible("#practice-banner")
    sent = []
    page.on("request", lambda request: sent.append(request.url) if "/v1/verify" in request.url else None)
    for expected in WORDS:
        page.click(f'[data-practice="{expected}"]')
        found = outcome(page, expected)
        screen(page, f"practice-{expected.lower()}")
        assert found["outcome-word"].startswith("练习")
        look = page.evaluate(
            """() => [...document.querySelectorAll("#outcome, #outcome *")].map((each) => {
            const {backgroundColor, color, stroke, fill} = getComputedStyle(each);
            return [backgroundColor, color, stroke, fill].join(" ");
            }).join(" ")"""
        )
        assert COLORS["green"] not in look
        page.keyboard.press("Escape")
    scan(page, phone.code())
    found = outcome(page, "ACCEPTED")
    assert found["outcome-word"].startswith("练习")
    assert not sent, "a practice scan asks and spends nothing"


# --- everybody ----------------------------------------------------------------------------------------------


def axe(page) -> list[str]:
    """Violations that axe-core finds (WCAG 2.1 A and AA, best practices)."""
    import axe_playwright_python

    (script,) = Path(axe_playwright_python.__file__).parent.rglob("axe.min.js")
    page.evaluate(script.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [f"{each['id']}: {[node['html'][:120] for node in each['nodes']]}" for each in found["violations"]]


def test_no_accessibility_violation(page, phone):
    assert axe(page) == []
    page.click("#use-number")
    assert axe(page) == []
    page.keyboard.press("Escape")
    fields = ["name", "category", "grade", "card_number", "portrait", "portrait_image"]
    scan(page, phone.license("person", fields))
    outcome(page, "ACCEPTED")
    assert axe(page) == []
    scan(page, "EWCAAAAAAAA")
    outcome(page, "REJECTED")
    assert axe(page) == []
    page.keyboard.press("Escape")
    page.click("#practice")
    assert axe(page) == []
    page.click('[data-practice="ACCEPTED"]')
    assert axe(page) == []


def test_text_grows_and_targets_are_large(page, screen):
    smallest = """() => Math.min(...[...document.querySelectorAll("body *")]
      .filter((each) => each.checkVisibility() && each.textContent.trim())
      .map((each) => parseFloat(getComputedStyle(each).fontSize)))"""
    assert page.evaluate(smallest) >= 18
    for _ in range(8):
        page.click("#larger")
    assert page.evaluate(smallest) >= 30
    screen(page, "large")
    sizes = page.evaluate(
        """() => [...document.querySelectorAll("button, input:not([type=file])")]
        .filter((each) => each.checkVisibility()).map((each) => each.getBoundingClientRect())
        .map(({width, height}) => Math.min(width, height))"""
    )
    assert min(sizes) >= 60
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_by_keyboard_alone(page):
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "use-number":
            break
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "number-field"
    page.keyboard.press("Escape")
    assert shows(page, "ready")


def test_a_scene_that_asks_first(launch, browser, tmp_path, screen):
    town = ExampleTown(tmp_path, scene="police-check")
    shared = f"sqlite:///{tmp_path / 'guard.sqlite'}"
    with Served(town, guard=shared) as url, opened(browser, url) as page:
        page.wait_for_selector("#question:not([hidden])")
        screen(page, "question")
        assert page.evaluate("document.getElementById('question').width") > 300


def test_labels_are_the_catalogs():
    from ewallet.licenses.catalog import Catalog

    root = Path(__file__).resolve().parent.parent.parent
    text = (root / "ewallet" / "service" / "static" / "labels.js").read_text(encoding="utf-8")
    for type_ in Catalog.builtin():
        assert f'"{type_.code}": {{"zh": "{type_.zh}"' in text
        for each in type_.face_fields:
            assert f'"{each.key}": {{"zh": "{each.zh}", "en": "{each.en}"' in text


def test_nothing_is_loaded_from_elsewhere(browser, url):
    seen = []
    with opened(browser, url) as page:
        page.on("request", lambda request: seen.append(request.url))
        answer = page.reload()
        page.wait_for_selector("#state div")
        assert answer.headers["cache-control"] == "no-store"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert seen
    assert all(each.startswith(url) for each in seen)
