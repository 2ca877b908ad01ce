"""Deciding by hand over HTTP: only what stays undecided, always recorded, never over a refusal."""

from __future__ import annotations

import json
from base64 import b64decode

import pytest

from ewallet.licenses.presenting import present
from ewallet.trust.distribution import TrustStore
from ewallet.verify.receipts import UseLog, verify_receipt
from tests.services import Land, clock

pytest.importorskip("fastapi", reason="the extra 'service' is not installed")

SAID = {"officer": "clerk-1", "reason": "原件已核对，签发机关电话确认", "go_ahead": True}


@pytest.fixture(scope="module")
def land(tmp_path_factory):
    made = Land(tmp_path_factory.mktemp("land"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def held(land):
    """A license of which no status list tells anything yet, and its phone."""
    return land.issue("31", 1)


@pytest.fixture(scope="module")
def status(land):
    """The directory of status lists that the windows read: empty until a test publishes into it."""
    place = land.directory / "status"
    place.mkdir()
    return place


@pytest.fixture(scope="module")
def windows(land, held, status):
    """Two processes over one log and one guard."""
    receipts = ("--receipts-key", str(land.place("31") / "receipts.pem"))
    return [land.serve("31", "--status", str(status), *receipts, agency=False) for _ in range(2)]


def decide(window, text, **changes):
    return window.call("POST", "/v1/decisions", {"text": text, **SAID, **changes})


def showing(window, held, disclose=("name",)):
    venue = window.call("GET", "/v1/state").json["policy"]["venue"]
    return present(held[2].sd_cwt, held[1], audience=venue, nonce=None, disclose=list(disclose), now=clock())


def records(land):
    with UseLog(land.place("31") / "state" / "uses.sqlite") as log:
        log.check()
        return list(log.records()), log


def note(land, number):
    with UseLog(land.place("31") / "state" / "uses.sqlite") as log:
        return log.note(number)


def test_what_is_undecided_is_decided_recorded_and_receipted_once(land, windows, held):
    one, other = windows
    text = showing(one, held)
    first = one.call("POST", "/v1/verify", {"text": text}).json
    assert (first["outcome"], first["reason"]) == ("UNDECIDED", "status.unavailable")
    use = {"matter": "M-1", "case": "D-1", "purpose": "办理示例事项"}
    made = decide(other, text, use=use)
    assert made.status == 201, made.body
    said = made.json
    assert said["outcome"] == "UNDECIDED", "whatever was decided"
    assert (said["decided"], said["go_ahead"], said["reason"]) == ("by hand", True, "status.unavailable")
    kept, _ = records(land)
    record = kept[said["recorded"] - 1]
    assert (record["manual"], record["outcome"], record["reason"]) == (
        True,
        "UNDECIDED",
        "status.unavailable",
    )
    assert note(land, said["recorded"]) == {"officer": "clerk-1", "reason": SAID["reason"]}
    trust = TrustStore.open(land.directory / "wallet").refresh(land.bundle, clock())
    receipt = verify_receipt(b64decode(said["receipt"]), trust, now=clock())
    assert (receipt.outcome, receipt.number, receipt.about) == ("UNDECIDED", said["recorded"], use)

    again = decide(one, text, use=use).json
    assert again["recorded"] > said["recorded"], "another call is another act of the officer"
    assert again["receipt"] is None, "a rating for each showing, not for each call"
    fresh = decide(one, showing(one, held), use=use).json
    assert fresh["receipt"] is None, "the same phone a moment later is the same showing"


def test_not_going_on_is_recorded_without_a_receipt(land, windows, held):
    said = decide(windows[0], held[0].document, go_ahead=False).json
    assert (said["go_ahead"], said["receipt"]) == (False, None)
    assert records(land)[0][said["recorded"] - 1]["manual"] is False
    paper = decide(windows[0], held[0].document)
    assert (paper.status, paper.json["receipt"]) == (201, None), "nobody was there to take one"


def test_what_is_rejected_is_never_overridden(land, windows, held):
    before = len(records(land)[0])
    text = showing(windows[0], held)
    forged = text[:-9] + ("B" if text[-9] == "A" else "A") + text[-8:]
    for bad in ("EWCAAAA", "no code", forged, ""):
        refused = decide(windows[0], bad)
        assert refused.status == 409, bad
        assert refused.json["outcome"] == "REJECTED"
        assert refused.json["reason"] == refused.json["found"]["reason"]
        assert "receipt" not in refused.json
        assert not refused.json["found"]["receipt"]
    kept, _ = records(land)
    assert not any("manual" in each for each in kept[before:]), "recorded as what it is: refused"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"reason": ""}, "reason"),
        ({"reason": "   \n\t"}, "reason"),
        ({"reason": "\u200b\u200b"}, "reason"),
        ({"reason": "..."}, "reason"),
        ({"reason": "x" * 501}, "reason"),
        ({"reason": None}, "reason"),
        ({"officer": ""}, "officer"),
        ({"officer": " "}, "officer"),
        ({"officer": "a\nb"}, "officer"),
        ({"officer": "x" * 201}, "officer"),
        ({"go_ahead": "yes"}, "go_ahead"),
        ({"go_ahead": 1}, "go_ahead"),
        ({"use": {"operator": "x"}}, "use"),
    ],
)
def test_who_decides_and_why_is_needed(land, windows, held, changes, field):
    before = len(records(land)[0])
    refused = decide(windows[0], held[0].document, **changes)
    assert (refused.status, refused.json["field"]) == (422, field)
    assert len(records(land)[0]) == before, "and nothing was verified or written"


def test_a_missing_member_is_named(windows, held):
    for name in ("text", "officer", "reason", "go_ahead"):
        given = {"text": held[0].document, **SAID}
        del given[name]
        refused = windows[0].call("POST", "/v1/decisions", given)
        assert (refused.status, refused.json["field"]) == (422, name)


def test_without_a_log_nothing_is_decided_by_hand(land, held, status):
    lone = land.serve("31", "--status", str(status), agency=False)
    refused = decide(lone, held[0].document)
    assert refused.status == 409
    assert "keeps no log" in refused.json["title"]


def test_neither_text_nor_reason_nor_officer_is_logged(windows, held):
    decide(windows[0], held[0].document, officer="纪录员", reason="特别的原因")
    lines = windows[0].log.read_text()
    assert "/v1/decisions" in lines
    for personal in ("纪录员", "特别的原因", held[0].document[:40]):
        assert personal not in lines
        assert json.dumps(personal)[1:-1] not in lines


def test_what_is_accepted_by_now_is_answered_as_accepted(land, windows, held, status):
    """Last: it publishes the status that was missing."""
    text = showing(windows[0], held)
    assert windows[0].call("POST", "/v1/verify", {"text": text}).json["outcome"] == "UNDECIDED"
    issuer = land.open("31")
    issuer.register.publish_status(status, issuer.status_signer, now=clock(), ttl=86400)
    issuer.register.close()
    told = decide(windows[0], text)
    assert (told.status, told.json["outcome"], told.json["reason"]) == (409, "ACCEPTED", None)
    found = told.json["found"]
    assert (found["outcome"], found["licenses"][0]["status"]) == ("ACCEPTED", "valid")
    assert found["receipt"], "it counts, as any verification: this call used the code up"
    assert "manual" not in records(land)[0][found["recorded"] - 1]
    replayed = decide(windows[1], text)
    assert (replayed.status, replayed.json["reason"]) == (409, "code.replayed")
