"""Uses written down, receipted, rated, and forgotten when their time is over."""

from __future__ import annotations

import sqlite3
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ewallet.errors import Conflict, NotFound, Refused, UseLogError
from ewallet.formats import cose
from ewallet.keys import SigningKey
from ewallet.trust.entries import Service
from ewallet.verify.explaining import decide_by_hand
from ewallet.verify.ratings import ANSWER_DAYS, RatingService, token_digest
from ewallet.verify.receipts import TYP, Use, UseLog, make_receipt, new_token, verify_receipt
from tests.town import BOSS, NOW, RECORDS, VENUE, Town

USE = Use(
    terminal="window-3", officer="officer-1", matter="food-business-permit", case="C-2026-77", purpose="开店"
)
DAYS = 180
"""Retention of the scene `counter`."""


class Desk:
    """A counter that writes down what it does."""

    def __init__(self, town: Town) -> None:
        self.town = town
        self.person = town.hold("resident-id")
        self.trust = town.publish()
        self.counter = town.verifier(trust=self.trust)
        self.path = town.directory / "uses.sqlite"
        self.log = UseLog(self.path)
        self.signer = town.verifying.signer(Service.RECEIPTS)

    def verified(self, *fields, minutes=0):
        now = NOW + timedelta(minutes=minutes)
        return self.counter.verify(self.person.show(*(fields or ("name", "resident_id")), now=now), now=now)

    def record(self, found=None, use=USE, now=NOW):
        return self.log.record(
            self.verified() if found is None else found,
            scene=self.counter.policy.scene,
            trust=self.trust,
            use=use,
            now=now,
        )

    def receipt(self, recorded=None, token=None):
        return make_receipt(
            recorded or self.record(),
            self.signer,
            issuer=self.town.verifying.uri,
            use=USE,
            token=token or new_token(),
        )


@pytest.fixture
def desk(town: Town):
    found = Desk(town)
    yield found
    found.log.close()


def tamper(path, *statements):
    with sqlite3.connect(path) as database:
        for trigger in ("entry_kept", "entry_same"):
            database.execute(f"drop trigger {trigger}")
        for each in statements:
            database.execute(each)
    database.close()


# --- the log ------------------------------------------------------------------------------------------------


def test_a_record_says_where_for_what_and_by_which_lists(desk: Desk):
    recorded = desk.record()
    [content] = desk.log.records()
    assert content["venue"] == VENUE
    assert content["matter"] == "food-business-permit"
    assert content["outcome"] == "ACCEPTED"
    assert content["lists"] == dict(desk.trust.versions)
    assert (content["n"], recorded.number) == (1, 1)
    assert recorded.until - recorded.at == timedelta(days=DAYS)
    assert desk.log.note(1) == {"officer": "officer-1"}
    type_ = desk.town.catalog["resident-id"].code
    assert desk.log.uses_of(f"{type_}.resident_id", BOSS) == (1,)
    assert desk.log.uses_of("case", USE.case) == (1,)
    assert desk.log.uses_of(f"{type_}.name", BOSS) == ()


def personal_values():
    return [RECORDS["resident-id"]["name"], BOSS, USE.case, USE.officer]


def test_the_file_holds_nothing_personal_in_clear(desk: Desk):
    desk.record()
    data = desk.path.read_bytes()
    for value in personal_values():
        assert value.encode() not in data


def test_after_retention_nothing_personal_can_be_recovered_and_the_chain_verifies(desk: Desk):
    for minute in range(3):
        desk.record(desk.verified(minutes=minute), now=NOW + timedelta(minutes=minute))
    head = desk.log.check()
    with sqlite3.connect(desk.path) as reader:
        keys = [row[0] for row in reader.execute("select value from secret")]
    reader.close()
    assert all(key in desk.path.read_bytes() for key in keys)
    assert desk.log.expire(NOW + timedelta(days=DAYS) - timedelta(seconds=1)) == 0
    assert desk.log.expire(NOW + timedelta(days=DAYS, minutes=1)) == 2
    assert desk.log.uses_of("case", USE.case) == (3,)
    assert desk.log.expire(NOW + timedelta(days=DAYS, minutes=2)) == 1
    type_ = desk.town.catalog["resident-id"].code
    assert desk.log.uses_of(f"{type_}.resident_id", BOSS) == ()
    assert desk.log.note(1) == {}
    left = b"".join(each.read_bytes() for each in desk.path.parent.glob("uses.sqlite*"))
    for key in keys:
        assert key not in left
    for value in personal_values():
        assert value.encode() not in left
    assert desk.log.check() == head
    # the digests of one value in two records have nothing in common: nobody can join them
    first, second, third = ({*each["who"]} for each in desk.log.records())
    assert not first & second
    assert not second & third


def test_a_log_goes_on_after_it_was_closed(desk: Desk):
    first = desk.record()
    desk.log.close()
    desk.log = UseLog(desk.path)
    assert desk.record(desk.verified(minutes=1)).number == 2
    assert desk.log.check(witness=(first.number, first.hash))[0] == 2


def test_two_processes_write_one_chain(desk: Desk):
    with UseLog(desk.path) as other:
        desk.record()
        other.record(
            desk.verified(minutes=1), scene=desk.counter.policy.scene, trust=desk.trust, use=USE, now=NOW
        )
        desk.record(desk.verified(minutes=2))
    assert desk.log.check()[0] == 3


@pytest.mark.parametrize(
    "statement",
    [
        "delete from entry where n = 2",
        "delete from entry where n = 1",
        "update entry set content = (select content from entry where n = 1) where n = 2",
        "update entry set hash = zeroblob(32) where n = 3",
        "insert into entry select 4, content, hash from entry where n = 3",
    ],
)
def test_a_changed_log_does_not_verify(desk: Desk, statement):
    for minute in range(3):
        desk.record(desk.verified(minutes=minute))
    tamper(desk.path, statement)
    with pytest.raises(UseLogError, match="broken"):
        desk.log.check()


def test_a_log_cut_at_its_end_is_noticed_by_a_receipt(desk: Desk):
    desk.record()
    last = desk.record(desk.verified(minutes=1))
    tamper(desk.path, "delete from entry where n = 2")
    assert desk.log.check()[0] == 1  # a shorter chain is a chain
    with pytest.raises(UseLogError, match="receipted"):
        desk.log.check(witness=(last.number, last.hash))


def test_records_cannot_be_changed_by_accident(desk: Desk):
    desk.record()
    with sqlite3.connect(desk.path) as database:
        for statement in ("delete from entry", "update entry set hash = zeroblob(32)"):
            with pytest.raises(sqlite3.IntegrityError, match="never"):
                database.execute(statement)
    database.close()


def test_what_was_refused_and_what_was_decided_by_hand_is_written_down_too(desk: Desk):
    desk.record(desk.counter.verify("EWL", now=NOW))
    stale = desk.counter.verify(desk.person.issued.document, now=NOW + timedelta(days=3))
    desk.record(decide_by_hand(stale, go_ahead=True, reason="原件已核对", officer="officer-2", now=NOW))
    refused, manual = desk.log.records()
    assert (refused["outcome"], refused["reason"]) == ("REJECTED", "code.unreadable")
    assert (manual["outcome"], manual["manual"]) == ("UNDECIDED", True)
    assert desk.log.note(2) == {"officer": "officer-2", "reason": "原件已核对"}
    with pytest.raises(UseLogError, match="no such"):
        desk.log.note(3)


def test_a_log_that_cannot_be_written(town: Town):
    with pytest.raises(UseLogError, match="opened"):
        UseLog(town.directory / "missing" / "uses.sqlite")
    with pytest.raises(ValueError, match="printable"):
        Use(terminal="a\nb")


# --- receipts -----------------------------------------------------------------------------------------------


def test_the_holder_gets_a_receipt_and_reads_it(desk: Desk):
    recorded, token = desk.record(), new_token()
    receipt = verify_receipt(desk.receipt(recorded, token), desk.trust, now=NOW)
    assert receipt.issuer.names["en"] == "Example service hall"
    assert receipt.about == {"purpose": "开店", "matter": "food-business-permit", "case": "C-2026-77"}
    assert receipt.types == (desk.town.catalog["resident-id"].code,)
    assert receipt.rating == token
    assert desk.log.check(witness=(receipt.number, receipt.entry)) == (1, recorded.hash)
    for value in (BOSS, RECORDS["resident-id"]["name"]):
        assert value.encode() not in desk.receipt(recorded, token)


def test_a_receipt_of_another_key_service_or_form_is_refused(desk: Desk):
    recorded, uri = desk.record(), desk.town.verifying.uri
    parts = {"issuer": uri, "use": USE, "token": new_token()}

    def refused(data):
        with pytest.raises(Refused) as caught:
            verify_receipt(data, desk.trust, now=NOW)
        return caught.value.reason

    assert refused(make_receipt(recorded, SigningKey.generate(), **parts)) == "issuer.key_unknown"
    verify = desk.town.verifying.signer(Service.VERIFY)
    assert refused(make_receipt(recorded, verify, **parts)) == "issuer.service"
    assert refused(make_receipt(recorded, desk.signer, **{**parts, "issuer": "https://x.example/a/x"})) == (
        "issuer.unknown"
    )
    assert refused(b"\x00") == "credential.malformed"
    assert (
        refused(cose.issue_cwt({cose.ISS: uri, cose.IAT: 1}, desk.signer, typ=TYP)) == "credential.malformed"
    )
    with pytest.raises(ValueError, match="another size"):
        make_receipt(recorded, desk.signer, **{**parts, "token": b"short"})


def test_no_flipped_bit_of_a_receipt_verifies(desk: Desk):
    data = desk.receipt()
    verify_receipt(data, desk.trust, now=NOW)
    for bit in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(Refused):
            verify_receipt(bytes(flipped), desk.trust, now=NOW)


# --- ratings ------------------------------------------------------------------------------------------------


@pytest.fixture
def ratings(tmp_path):
    with RatingService(tmp_path / "ratings.sqlite", k=5) as found:
        yield found


def tokens(ratings, count):
    found = [new_token() for _ in range(count)]
    for each in found:
        ratings.register(token_digest(each), venue=VENUE)
    return found


def test_a_token_rates_once(desk: Desk, ratings):
    token = new_token()
    ratings.register(token_digest(token), venue=VENUE)
    given_ = verify_receipt(desk.receipt(token=token), desk.trust, now=NOW).rating
    assert ratings.rate(given_, good=True, now=NOW) is None
    with pytest.raises(Conflict):
        ratings.rate(given_, good=False, now=NOW)
    with pytest.raises(NotFound):
        ratings.rate(new_token(), good=True, now=NOW)
    with pytest.raises(Conflict):
        ratings.register(token_digest(token), venue=VENUE)
    with pytest.raises(ValueError, match="at most"):
        ratings.rate(new_token(), good=False, text="x" * 1001, now=NOW)


def test_totals_come_in_batches_of_at_least_k(ratings):
    seen = []
    for place, token in enumerate(tokens(ratings, 12)):
        ratings.rate(token, good=place % 3 != 0, now=NOW)
        totals = ratings.totals(VENUE)
        seen.append(None if totals is None else totals.good + totals.bad)
    assert seen == [None] * 4 + [5] * 5 + [10] * 3
    assert ratings.totals("https://sh.ewallet.example/v/2") is None


def test_k_is_at_least_two(tmp_path):
    with pytest.raises(ValueError, match="totals of one"):
        RatingService(tmp_path / "r.sqlite", k=1)


def test_a_bad_rating_opens_a_case_that_must_be_answered(ratings):
    [token, other] = tokens(ratings, 2)
    number = ratings.rate(token, good=False, text="等了很久", now=NOW)
    ratings.rate(other, good=True, now=NOW)
    [case] = ratings.cases(VENUE)
    assert (case.number, case.text, case.answer) == (number, "等了很久", "")
    assert case.opened == (NOW + timedelta(hours=8)).date()  # a day and no hour
    assert ratings.overdue(NOW + timedelta(days=ANSWER_DAYS)) == ()
    assert ratings.overdue(NOW + timedelta(days=ANSWER_DAYS + 1)) == (case,)
    with pytest.raises(ValueError, match="in words"):
        ratings.answer(number, " ", officer="officer-1", now=NOW)
    answered = ratings.answer(number, "已增开窗口", officer="officer-1", now=NOW)
    assert ratings.answer_to(token) == answered
    assert ratings.overdue(NOW + timedelta(days=99)) == ()
    with pytest.raises(Conflict):
        ratings.answer(number, "again", officer="officer-1", now=NOW)
    with pytest.raises(NotFound):
        ratings.answer(99, "x", officer="officer-1", now=NOW)
    with pytest.raises(NotFound):
        ratings.answer_to(other)


def test_the_rating_service_learns_no_record_and_the_log_no_token(desk: Desk, tmp_path):
    token = new_token()
    with RatingService(tmp_path / "ratings.sqlite") as ratings:
        ratings.register(token_digest(token), venue=VENUE)
        recorded = desk.record()
        desk.receipt(recorded, token)
        ratings.rate(token, good=False, text="x", now=NOW)
    kept = (tmp_path / "ratings.sqlite").read_bytes()
    assert recorded.hash not in kept
    assert token not in kept
    assert token not in desk.path.read_bytes()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=30), st.integers(min_value=2, max_value=6))
def test_any_two_totals_differ_by_at_least_k_ratings(tmp_path, marks, k):
    with RatingService(tmp_path / new_token().hex(), k=k) as ratings:
        shown = {0}
        for token, good in zip(tokens(ratings, len(marks)), marks, strict=True):
            ratings.rate(token, good=good, now=NOW)
            totals = ratings.totals(VENUE)
            shown.add(0 if totals is None else totals.good + totals.bad)
        steps = sorted(shown)
        assert all(later - earlier >= k for earlier, later in pairwise(steps))
