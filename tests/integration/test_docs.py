"""The venues' guide runs as it stands; every package has its page in the reference; links lead somewhere."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest

from ewallet.code.challenge import check_question
from ewallet.reasons import Outcome
from ewallet.trust.entries import Service
from ewallet.verify.answering import Card, choices, respond
from ewallet.verify.matters import Matters
from tests.town import NOW, Town

ROOT = Path(__file__).resolve().parent.parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(page for page in DOCS.rglob("*.md") if not page.name.startswith("_"))


def test_the_guide_for_venues(tmp_path):
    town = Town(tmp_path)
    held = [town.hold("business-license"), town.hold("resident-id")]
    trust = town.publish()
    text = (DOCS / "guides" / "venues.md").read_text(encoding="utf-8")
    [block] = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    given = {
        "signer": town.verifying.signer(Service.VERIFY),
        "trust": trust,
        "verifier": town.verifier(trust=trust),
        "matters": Matters.builtin(town.catalog),
        "now": NOW,
    }

    def show_as_qr(shown: str) -> None:
        asked = check_question(shown, trust, now=NOW + timedelta(seconds=1))
        cards = [Card.read(each.sd_cwt, each.device) for each in held]
        chosen = [choice.cards[0] for choice in choices(asked, cards)]
        given["answer"] = respond(asked, chosen, now=NOW + timedelta(seconds=1))

    given["show_as_qr"] = show_as_qr
    exec(compile(block, "venues.md", "exec"), given)
    town.close()
    assert given["found"].outcome is Outcome.ACCEPTED
    assert {each.material.id for each in given["coverage"].covered} >= {"business-license", "business-scope"}


def test_every_package_has_a_page_in_the_reference():
    packages = {
        place.parent.name
        for place in (ROOT / "ewallet").glob("*/__init__.py")
        if place.parent.name not in {"cli", "service"}  # described by their guides: not imported by users
    }
    assert packages == {page.stem for page in (DOCS / "api").glob("*.md")} - {"base"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_the_clerks_page_is_one_page_in_both_languages():
    for name in ("clerks.md", "clerks.zh-CN.md"):
        text = (DOCS / "guides" / name).read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 70
        assert text.count(".svg)") + text.count(".png)") >= 3
