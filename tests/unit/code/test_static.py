"""Paper and display codes, portraits, the wallet file, the printed sheet."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

import ewallet
from ewallet.code.display import make_display, parse_display, verify_display
from ewallet.code.paper import check_paper_scene, make_paper, parse_paper, verify_paper
from ewallet.code.passes import parse_code, verify_pass
from ewallet.code.portrait import is_portrait, portrait_digest
from ewallet.code.rotating import show
from ewallet.code.sheet import print_paper
from ewallet.code.wallet import FIRST_LINE, Wallet
from ewallet.errors import KeyMaterialError, Malformed, NotFound, PrintError, RecordError, Refused
from ewallet.formats import cose, text
from ewallet.formats.qr import read_image
from ewallet.formats.statuslist import StatusReference
from ewallet.formats.typeset import Font, page_sizes_mm, page_texts, render_pdf
from ewallet.keys import SigningKey
from ewallet.trust.scenes import builtin_scenes
from tests.office import NOW, VENUE, Office

ISSUER = "https://sh.ewallet.example/a/codes"
STATUS = StatusReference(idx=7, uri="https://sh.ewallet.example/status/3")
SCENES = builtin_scenes()
FONT = Path(ewallet.__file__).parent / "licenses" / "faces" / "fonts" / "ewallet-sans-sc.ttf"


@pytest.fixture(scope="module")
def key():
    return SigningKey.generate()


def paper(key, **changes):
    given = {
        "issuer": ISSUER, "kind": "senior", "masked_name": "王*芳", "status": STATUS,
        "scenes": [SCENES["hospital"], SCENES["library"]],
        "now": NOW, "until": NOW + timedelta(days=365),
    }  # fmt: skip
    return make_paper(key, **{**given, **changes})


def test_a_paper_code_is_read_verified_and_low(key):
    shown = paper(key, portrait=b"jpeg")
    facts = verify_paper(parse_paper(shown), key.public_key, issuer=ISSUER, now=NOW)
    assert (facts.name, facts.kind, facts.status) == ("王*芳", "senior", STATUS)
    assert facts.scenes == {"hospital", "library"}
    assert is_portrait(facts.portrait, b"jpeg")
    assert not is_portrait(facts.portrait, b"other")
    check_paper_scene(facts, SCENES["hospital"])
    for scene, reason in (("metro", "code.static"), ("community", "policy.scene")):
        with pytest.raises(Refused) as caught:
            check_paper_scene(facts, SCENES[scene])
        assert caught.value.reason == reason
    strict = SCENES["hospital"].narrowed(
        {"scene": "hospital", "venue": VENUE, "min_assurance": "substantial"}
    )
    with pytest.raises(Refused, match=r"policy\.assurance"):
        check_paper_scene(facts, strict)
    asking = SCENES["hospital"].narrowed({"scene": "hospital", "venue": VENUE, "demanded": ["resident"]})
    with pytest.raises(Refused, match=r"policy\.field_missing"):
        check_paper_scene(facts, asking)


def test_paper_ends_and_is_its_issuers(key):
    parsed = parse_paper(paper(key))
    for changes, reason in (
        ({"now": NOW + timedelta(days=365)}, "pass.expired"),
        ({"issuer": "https://js.ewallet.example/a"}, "issuer.key_unknown"),
    ):
        with pytest.raises(Refused) as caught:
            verify_paper(parsed, key.public_key, **{"issuer": ISSUER, "now": NOW, **changes})
        assert caught.value.reason == reason
    with pytest.raises(Refused, match=r"signature\.issuer"):
        verify_paper(parsed, SigningKey.generate().public_key, issuer=ISSUER, now=NOW)


@pytest.mark.parametrize(
    "changes",
    [
        {"scenes": [SCENES["metro"]]},
        {"scenes": []},
        {"kind": "enterprise"},
        {"masked_name": ""},
        {"until": NOW + timedelta(days=367)},
        {"until": NOW},
    ],
)
def test_paper_that_no_rule_allows_is_not_made(key, changes):
    with pytest.raises(RecordError):
        paper(key, **changes)


def test_paper_with_other_claims_is_refused(key):
    claims = dict(parse_paper(paper(key)).unverified_claims)
    for change in ({"x": 1}, {"k": 9}, {"s": []}, {"name": ""}, {"portrait": b"short"}, {65535: 1}):
        forged = cose.issue_cwt({**claims, **change}, key, typ="application/ewallet-paper+cwt")
        with pytest.raises(Malformed):
            parse_paper(text.encode(text.PAPER, forged))
    with pytest.raises(Malformed, match=r"code\.unreadable"):
        parse_paper("EWC" + paper(key)[3:])


def test_a_display_code_says_public_facts(key):
    shown = make_display(
        key, issuer=ISSUER, uscc="91310000MA1FL0000X", name="示例餐饮有限公司",
        status=STATUS, now=NOW, until=NOW + timedelta(days=1000),
    )  # fmt: skip
    facts = verify_display(parse_display(shown), key.public_key, issuer=ISSUER, now=NOW)
    assert (facts.uscc, facts.name, facts.status) == ("91310000MA1FL0000X", "示例餐饮有限公司", STATUS)
    with pytest.raises(Refused, match=r"pass\.expired"):
        verify_display(parse_display(shown), key.public_key, now=NOW + timedelta(days=1000))
    with pytest.raises(Malformed):
        parse_display(text.encode(text.DISPLAY, text.decode(paper(key))[1]))
    with pytest.raises(RecordError):
        make_display(
            key, issuer=ISSUER, uscc="", name="n", status=STATUS, now=NOW, until=NOW + timedelta(days=1)
        )


def test_portraits_of_two_passes_have_nothing_in_common():
    office = Office()
    given = {"scenes": ["school"], "attributes": {"portrait_digest": b"jpeg"}}
    digests = [made.attributes["portrait_digest"] for made, _ in office.passes(2, **given)]
    assert digests[0][:16] != digests[1][:16]
    assert digests[0][16:] != digests[1][16:]
    assert all(is_portrait(digest, b"jpeg") for digest in digests)
    with pytest.raises(ValueError, match="at most"):
        portrait_digest(bytes(20_001))
    with pytest.raises(Malformed):
        is_portrait(b"short", b"jpeg")


def test_the_wallet_keeps_passes_apart_and_encrypted(tmp_path):
    office = Office()
    wallet = Wallet()
    for made, key in office.passes(2):
        wallet.add(made, key)
    with pytest.raises(KeyMaterialError, match="another key"):
        wallet.add(wallet.passes[0], SigningKey.generate())
    first, device = wallet.choose("library", audience="v1", now=NOW)
    assert wallet.choose("library", audience="v1", now=NOW)[0] == first
    path = tmp_path / "wallet"
    wallet.save(path, "correct horse")
    assert path.read_bytes().startswith(FIRST_LINE)
    assert path.stat().st_mode & 0o077 == 0
    again = Wallet.open(path, "correct horse")
    second, _ = again.choose("library", audience="v2", now=NOW)
    assert second != first
    with pytest.raises(NotFound):
        again.choose("library", audience="v3", now=NOW)
    same, kept = again.choose("library", audience="v1", now=NOW)
    assert (same, kept.public_key) == (first, device.public_key)
    code = parse_code(show(same, kept, audience="library", now=NOW))
    assert verify_pass(code, office.key.public_key, now=NOW).id == first.id
    assert again.forget(now=NOW + timedelta(days=2)) == 2
    for password in ("wrong", ""):
        with pytest.raises(KeyMaterialError):
            Wallet.open(path, password)
    altered = bytearray(path.read_bytes())
    altered[-1] ^= 1
    path.write_bytes(bytes(altered))
    with pytest.raises(KeyMaterialError):
        Wallet.open(path, "correct horse")
    path.write_bytes(b"else")
    with pytest.raises(KeyMaterialError, match="not a wallet"):
        Wallet.open(path, "correct horse")


@pytest.mark.parametrize(("size", "millimetres"), [("card", (85.6, 54)), ("large", (148, 210))])
def test_the_sheet_is_read_back_from_its_picture(key, size, millimetres):
    shown = paper(key)
    pdf = print_paper(
        shown, issuer_name="示例市身份码中心", scenes=SCENES, fonts=[Font.load(FONT)], size=size, now=NOW
    )
    ((width, height),) = page_sizes_mm(pdf)
    assert (round(width, 1), round(height, 1)) == millimetres
    (image,) = render_pdf(pdf, dpi=200)
    assert read_image(image) == [shown]
    (words,) = page_texts(pdf)
    assert "王*芳" in words
    assert "须核对本人" in words


def test_a_name_that_no_font_draws_is_not_printed(key):
    with pytest.raises(PrintError, match=r"U\+1F600"):
        print_paper(
            paper(key, masked_name="王*😀"),
            issuer_name="示例",
            scenes=SCENES,
            fonts=[Font.load(FONT)],
            now=NOW,
        )
