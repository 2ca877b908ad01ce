"""Four eyes between systems, in the library: what waits, who may confirm it, and that it happens once."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256

import pytest
from sqlalchemy import select, update

from ewallet.errors import (
    Conflict,
    NotAllowed,
    NotFound,
    NotWaiting,
    RecordError,
    RegisterError,
    SameOfficer,
    SecondOfficerNeeded,
    SignerError,
)
from ewallet.licenses import tables
from ewallet.licenses.catalog import Catalog
from ewallet.licenses.confirmations import LIFE, Act, Confirmations, Pending
from ewallet.licenses.issuer import Issued, Issuer, Order
from ewallet.licenses.lifecycle import Case, EventKind, State
from ewallet.licenses.printed import PrintOrder
from ewallet.licenses.register import Register, encode_images
from tests.agency import CATALOG, NOW, TWO, Agency, record

LATER = NOW + timedelta(hours=1)
CASE = Case(number="C-9", matter="M-1", operator="clerk-1")


def revoke(issued, **changes) -> Act:
    given = Act(kind=EventKind.REVOKE, identifier=issued.license.identifier, reason="by the law", case=CASE)
    return replace(given, **changes)


@pytest.fixture
def issued(agency):
    return agency.issue()


@pytest.fixture
def waits(agency):
    return Confirmations(agency.issuer)


@pytest.fixture
def pending(waits, issued):
    return waits.do(revoke(issued), by="first", now=NOW)


def confirm(waits, pending, *, now=LATER, **changes):
    given = {"digest": pending.digest, "by": "second", "operator": "clerk-2", **changes}
    return waits.confirm(pending.id, **given, now=now)


def row_of(waits, pending):
    with waits._issuer.register.reading() as connection:
        found = select(tables.confirmation).where(tables.confirmation.c.id == pending.id)
        return connection.execute(found).one()


def state_of(agency, issued) -> State:
    return agency.register.entry(issued.license.identifier).state


def strict_types(*four_eyes: str) -> Catalog:
    """Types for which other acts need four eyes."""
    return Catalog((replace(each, four_eyes=frozenset(four_eyes)) for each in CATALOG), CATALOG.codes)


@pytest.fixture
def strict(agency):
    """An authority whose types ask four eyes for what makes a license or a version."""
    found = Issuer(
        signer=agency.key,
        status_signer=agency.status_key,
        catalog=strict_types("issue", "amend", "annotate", "suspend", "restore"),
        register=agency.register,
        authority=agency.issuer.authority,
    )
    return Confirmations(found)


# --- the way of an act --------------------------------------------------------------------------------------


def test_an_act_waits_and_is_done_with_both_officers(agency, waits, issued, pending):
    assert isinstance(pending, Pending)
    assert state_of(agency, issued) is State.VALID
    assert waits.waiting(now=NOW) == (pending,)
    assert pending.content == {
        "act": "revoke",
        "type": issued.license.type_code,
        "identifier": issued.license.identifier,
        "changes": {},
        "text": "",
        "images": {},
        "printed": None,
        "reason": "by the law",
        "case": {"number": "C-9", "matter": "M-1", "operator": "clerk-1"},
        "authority": agency.issuer.authority.uri,
        "partner": "first",
    }
    assert confirm(waits, pending) == issued.license
    assert state_of(agency, issued) is State.REVOKED
    event = agency.register.history(issued.license.identifier)[-1]
    assert (event.case.operator, event.case.second_operator) == ("clerk-1", "clerk-2")
    assert event.detail == {"partners": ["first", "second"]}
    assert waits.waiting(now=LATER) == ()


def test_what_needs_no_second_officer_is_done_at_once(agency, waits, issued):
    act = Act(kind=EventKind.SUSPEND, identifier=issued.license.identifier, reason="r", case=CASE)
    assert waits.do(act, by="first", now=NOW) == issued.license
    assert state_of(agency, issued) is State.SUSPENDED


def test_who_is_believed_to_have_two_officers_waits_for_nobody(agency, waits, issued):
    act = revoke(issued, case=replace(CASE, second_operator="clerk-2"))
    waits.do(act, by="first", now=NOW)
    assert state_of(agency, issued) is State.REVOKED
    same = revoke(agency.issue(n=2), case=replace(CASE, number="C-10", second_operator="Clerk-1 "))
    with pytest.raises(SecondOfficerNeeded):
        waits.do(same, by="first", now=NOW)
    assert waits.waiting(now=NOW) == ()


def test_content_is_deleted_when_it_is_done_and_who_decided_stays(waits, pending):
    assert row_of(waits, pending).content is not None
    confirm(waits, pending)
    row = row_of(waits, pending)
    assert (row.content, row.images, row.live) == (None, None, None)
    assert (row.state, row.partner, row.confirmer, row.second_operator) == (
        *("done", "first", "second"),
        "clerk-2",
    )


def test_a_license_is_issued_amended_and_annotated_by_two(agency, strict):
    act = Act(
        kind=EventKind.ISSUE,
        type="business-license",
        values=record("business-license", 5),
        printed=PrintOrder(originals=1, duplicates=1, stock=("A1", "A2")),
        reason="established",
        case=CASE,
    )
    pending = strict.do(act, by="first", now=NOW)
    assert agency.register.find(number=record("business-license", 5)["uscc"]) == []
    assert pending.content["record"] == record("business-license", 5)
    made = confirm(strict, pending)
    assert isinstance(made, Issued)
    assert [copy.stock for copy in made.printed] == ["A1", "A2"]
    again = strict.do(act, by="first", now=LATER)
    assert isinstance(again, Issued)
    assert (again.again, again.license.identifier) == (True, made.license.identifier)

    named = {"identifier": made.license.identifier, "reason": "moved"}
    amend = Act(kind=EventKind.AMEND, values={"address": "新址"}, case=replace(CASE, number="C-10"), **named)
    second = confirm(strict, strict.do(amend, by="first", now=NOW))
    assert dict(second.license.face)["address"] == "新址"
    assert strict.do(amend, by="first", now=LATER).again
    named["identifier"] = second.license.identifier
    note = Act(kind=EventKind.ANNOTATE, text="reviewed", case=replace(CASE, number="C-11"), **named)
    assert confirm(strict, strict.do(note, by="first", now=NOW)) == second.license
    assert agency.register.history(second.license.identifier)[-1].detail == {
        "text": "reviewed",
        "partners": ["first", "second"],
    }


def test_an_image_is_kept_while_it_waits_and_shown_as_its_digest(agency, strict):
    image = b"\xff\xd8\xff made up"
    values = {**record("driving-license", 1), "portrait": sha256(image).hexdigest()}
    act = Act(
        kind=EventKind.ISSUE, type="driving-license", values=values, images={"portrait": image}, case=CASE
    )
    pending = strict.do(act, by="first", now=NOW)
    assert pending.content["images"] == {"portrait": values["portrait"]}
    with agency.register.writing() as connection:
        kept = row_of(strict, pending).images
        connection.execute(update(tables.confirmation).values(images=encode_images({"portrait": b"other"})))
    with pytest.raises(Conflict, match="look at it again"):
        confirm(strict, pending)
    with agency.register.writing() as connection:
        connection.execute(update(tables.confirmation).values(images=kept))
    assert confirm(strict, pending).license.images == {"portrait": image}
    assert row_of(strict, pending).images is None


def test_what_is_wrong_is_said_to_who_asks_and_never_waits(agency, waits, strict, issued):
    wrong = {**record("business-license", 6), "uscc": "1"}
    with pytest.raises(RecordError):
        strict.do(
            Act(kind=EventKind.ISSUE, type="business-license", values=wrong, case=CASE), by="a", now=NOW
        )
    again = Act(kind=EventKind.ISSUE, type="business-license", values=record("business-license"), case=CASE)
    with pytest.raises(Conflict, match="lives for this holder"):
        strict.do(again, by="a", now=NOW)
    number = {"uscc": record("business-license", 7)["uscc"]}
    with pytest.raises(RecordError, match="neither number"):
        strict.do(revoke(issued, kind=EventKind.AMEND, values=number), by="a", now=NOW)
    with pytest.raises(NotFound):
        waits.do(revoke(issued, identifier="1.2.156.3005.2.none"), by="a", now=NOW)
    agency.issuer.revoke(issued.license, reason="r", case=TWO, now=NOW)
    with pytest.raises(NotAllowed, match="revoked"):
        waits.do(revoke(issued), by="a", now=NOW)
    assert waits.waiting(now=NOW) == ()


def test_what_is_no_call_of_an_officer_is_a_bug(waits, issued):
    with pytest.raises(ValueError, match="no act"):
        Act(kind=EventKind.BIND, case=CASE)
    for act, by in (
        (revoke(issued, case=Case(operator="a")), "p"),
        (revoke(issued, case=Case(number="1")), "p"),
        (revoke(issued), ""),
    ):
        with pytest.raises(ValueError, match="needs"):
            waits.do(act, by=by, now=NOW)


# --- asking again -------------------------------------------------------------------------------------------


def test_the_same_call_again_waits_once(waits, issued, pending):
    again = waits.do(revoke(issued), by="first", now=LATER)
    assert again == pending
    assert waits.waiting(now=LATER) == (pending,)


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": EventKind.WITHDRAW},
        {"reason": "another"},
        {"case": replace(CASE, operator="clerk-3")},
    ],
)
def test_another_content_under_the_case_is_a_conflict(waits, issued, pending, changes):
    with pytest.raises(Conflict, match="another act waits"):
        waits.do(revoke(issued, **changes), by="first", now=LATER)
    with pytest.raises(Conflict, match="another act waits"):
        waits.do(revoke(issued), by="third", now=LATER)
    assert waits.waiting(now=LATER) == (pending,)


def test_another_content_after_it_is_done_is_a_conflict(waits, issued, pending):
    confirm(waits, pending)
    assert waits.do(revoke(issued), by="first", now=LATER) == issued.license
    with pytest.raises(Conflict, match="case number"):
        waits.do(revoke(issued, kind=EventKind.WITHDRAW), by="first", now=LATER)


def test_nobody_fills_the_register_with_what_waits(agency, waits, monkeypatch):
    monkeypatch.setattr("ewallet.licenses.confirmations.MAX_WAITING", 2)
    for n in range(3):
        act = revoke(agency.issue(n=n + 1), case=replace(CASE, number=f"C-{n}"))
        if n < 2:
            waits.do(act, by="first", now=NOW)
    with pytest.raises(Conflict, match="wait already"):
        waits.do(act, by="first", now=NOW)
    assert isinstance(waits.do(act, by="third", now=NOW), Pending)


# --- who confirms what --------------------------------------------------------------------------------------


def test_who_asked_does_not_confirm(agency, waits, issued, pending):
    with pytest.raises(SameOfficer, match="partner"):
        confirm(waits, pending, by="first")
    for operator in ("clerk-1", "CLERK-1", " clerk-1", "ｃｌｅｒｋ-1"):
        with pytest.raises(SameOfficer, match="officer"):
            confirm(waits, pending, operator=operator)
    for operator in ("", " ", "clerk\u200b-1", "a\nb"):
        with pytest.raises(ValueError, match="operator"):
            confirm(waits, pending, operator=operator)
    assert state_of(agency, issued) is State.VALID
    assert waits.waiting(now=LATER) == (pending,)


def test_another_content_than_the_one_shown_is_not_done(agency, waits, issued, pending):
    with pytest.raises(Conflict, match="look at it again"):
        confirm(waits, pending, digest=b"\0" * 32)
    other = waits.do(revoke(agency.issue(n=2), case=replace(CASE, number="C-10")), by="first", now=NOW)
    with pytest.raises(Conflict, match="look at it again"):
        confirm(waits, other, digest=pending.digest)
    assert {each.id for each in waits.waiting(now=LATER)} == {pending.id, other.id}


@pytest.mark.parametrize("also", [{}, {"digest": True}])
def test_a_content_changed_in_the_database_is_not_what_was_shown(agency, waits, issued, pending, also):
    """Whoever can write into the table cannot have another act done than the one that was seen."""
    victim = agency.issue(n=2)
    kept = json.loads(row_of(waits, pending).content)
    kept["identifier"] = victim.license.identifier
    with agency.register.writing() as connection:
        connection.execute(update(tables.confirmation).values(content=json.dumps(kept)))
        if also:
            connection.execute(update(tables.confirmation).values(digest=waits.waiting(now=NOW)[0].digest))
    with pytest.raises(Conflict, match="look at it again"):
        confirm(waits, pending)
    assert state_of(agency, victim) is state_of(agency, issued) is State.VALID


def test_a_confirmation_counts_once(agency, waits, issued, pending):
    done = confirm(waits, pending)
    assert confirm(waits, pending) == done
    for changes in ({"by": "third"}, {"operator": "clerk-3"}, {"digest": b"\0" * 32}):
        with pytest.raises(NotWaiting) as caught:
            confirm(waits, pending, **changes)
        assert caught.value.state == "done"
    with pytest.raises(SameOfficer):
        confirm(waits, pending, by="first")
    with pytest.raises(NotWaiting):
        waits.reject(pending.id, by="second", operator="clerk-2", reason="r", now=LATER)
    assert [event.kind for event in agency.register.history(issued.license.identifier)] == [
        EventKind.ISSUE,
        EventKind.REVOKE,
    ]


def test_two_confirmations_at_once_are_done_once(agency, waits, issued, pending, database):
    def go(n):
        with Register.open(database) as register:
            other = Agency(register)
            try:
                confirm(Confirmations(other.issuer), pending, operator=f"clerk-{n}", by=f"second-{n % 2}")
            except NotWaiting as error:
                return error.state
            return "200"

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(go, range(2, 6)))
    assert "200" in found
    assert set(found) <= {"200", "confirming", "done"}
    kinds = [event.kind for event in agency.register.history(issued.license.identifier)]
    assert kinds == [EventKind.ISSUE, EventKind.REVOKE]


def test_the_same_call_twice_at_once_waits_once(agency, waits, issued, database):
    def go(_):
        with Register.open(database) as register:
            return Confirmations(Agency(register).issuer).do(revoke(issued), by="first", now=NOW).id

    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(go, range(4)))
    assert found == {each.id for each in waits.waiting(now=NOW)}
    assert len(found) == 1


def test_an_authority_confirms_its_own_acts_only(agency, waits, pending):
    other = Confirmations(Agency(agency.register, name="other").issuer)
    assert other.waiting(now=NOW) == ()
    with pytest.raises(NotFound):
        confirm(other, pending)


# --- when it comes otherwise --------------------------------------------------------------------------------


def test_what_is_no_longer_allowed_is_refused_and_waits_no_more(agency, waits, issued, pending):
    agency.issuer.revoke(issued.license, kind=State.CANCELLED, reason="r", case=TWO, now=NOW)
    with pytest.raises(NotAllowed, match="cancelled"):
        confirm(waits, pending)
    row = row_of(waits, pending)
    assert (row.state, row.content) == ("failed", None)
    assert "cancelled" in row.because
    with pytest.raises(NotWaiting, match="cancelled"):
        confirm(waits, pending)


def test_an_amended_version_is_not_corrected_behind_the_back(agency, waits, issued):
    act = revoke(issued, kind=EventKind.CORRECT, values={"address": "新址"})
    pending = waits.do(act, by="first", now=NOW)
    agency.issuer.amend(issued.license, {"scope": "零售"}, reason="r", now=NOW)
    with pytest.raises(Conflict, match="newer"):
        confirm(waits, pending)
    assert row_of(waits, pending).state == "failed"


def test_its_time_is_over(agency, waits, issued, pending):
    end = NOW + LIFE
    assert waits.waiting(now=end - timedelta(seconds=1)) == (pending,)
    assert waits.waiting(now=end) == ()
    with pytest.raises(NotWaiting, match="expired"):
        confirm(waits, pending, now=end)
    assert row_of(waits, pending).content is None
    assert state_of(agency, issued) is State.VALID
    fresh = waits.do(revoke(issued), by="first", now=end)
    assert fresh.id != pending.id
    assert fresh.digest == pending.digest


def test_content_is_deleted_when_its_time_is_over(waits, pending):
    assert waits.expire(now=LATER) == 0
    assert row_of(waits, pending).content is not None
    assert waits.expire(now=NOW + LIFE) == 1
    assert (row_of(waits, pending).content, row_of(waits, pending).state) == (None, "expired")
    assert waits.expire(now=NOW + LIFE) == 0


def test_a_rejection_is_told_to_who_asked(agency, waits, issued, pending):
    waits.reject(pending.id, by="second", operator="clerk-2", reason="the hearing is missing", now=LATER)
    assert row_of(waits, pending).content is None
    with pytest.raises(NotWaiting, match="hearing") as caught:
        waits.do(revoke(issued), by="first", now=LATER)
    assert caught.value.state == "rejected"
    with pytest.raises(NotWaiting, match="rejected"):
        confirm(waits, pending)
    assert state_of(agency, issued) is State.VALID
    other = waits.do(revoke(issued, reason="after the hearing"), by="first", now=LATER)
    assert isinstance(other, Pending)
    waits.reject(other.id, by="first", operator="clerk-1", reason="withdrawn", now=LATER)
    assert waits.waiting(now=LATER) == ()


@pytest.mark.parametrize("lacking", [{"by": ""}, {"operator": ""}, {"reason": ""}])
def test_a_rejection_has_a_name_and_a_reason(waits, pending, lacking):
    given = {"by": "second", "operator": "clerk-2", "reason": "r", **lacking}
    with pytest.raises(ValueError, match="needs"):
        waits.reject(pending.id, **given, now=LATER)
    with pytest.raises(NotFound):
        waits.reject("0" * 32, by="second", operator="clerk-2", reason="r", now=LATER)


def test_a_register_or_device_that_fails_leaves_it_waiting(agency, waits, issued, pending, monkeypatch):
    for error in (RegisterError("busy"), SignerError("no answer"), ZeroDivisionError()):
        with monkeypatch.context() as patch:
            patch.setattr(Act, "do", _raising(error))
            with pytest.raises(type(error)):
                confirm(waits, pending)
        assert waits.waiting(now=LATER) == (pending,)
        assert row_of(waits, pending).state == "waiting"
    confirm(waits, pending)
    assert state_of(agency, issued) is State.REVOKED


def _raising(error):
    def do(*_, **__):
        raise error

    return do


class _Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_while_it_is_done(waits, issued, pending, monkeypatch, when):
    """Killed before or after the act itself: any later call finds out which, and finishes it once."""
    plain = Act.do

    def killed(*given, **named):
        if when == "after":
            plain(*given, **named)
        raise _Killed

    with monkeypatch.context() as patch:
        patch.setattr(Act, "do", killed)
        with pytest.raises(_Killed):
            confirm(waits, pending)
    assert row_of(waits, pending).state == "confirming"
    with pytest.raises(NotWaiting, match="confirming"):
        confirm(waits, pending, by="third", operator="clerk-3")
    late = LATER + timedelta(minutes=2)
    if when == "after":
        with pytest.raises(NotWaiting, match="done"):
            waits.reject(pending.id, by="third", operator="clerk-3", reason="r", now=late)
    else:
        confirm(waits, pending, by="third", operator="clerk-3", now=late)
    events = waits._issuer.register.history(issued.license.identifier)
    assert [event.kind for event in events] == [EventKind.ISSUE, EventKind.REVOKE]
    # In the names of who had confirmed, not of who found it lying.
    assert events[-1].case.second_operator == "clerk-2"
    assert events[-1].detail == {"partners": ["first", "second"]}
    assert row_of(waits, pending).state == "done"


def test_killed_and_left_until_its_time_is_over(agency, waits, issued, pending, monkeypatch):
    monkeypatch.setattr(Act, "do", _raising(_Killed()))
    with pytest.raises(_Killed):
        confirm(waits, pending)
    monkeypatch.undo()
    assert waits.expire(now=NOW + LIFE) == 1
    assert (row_of(waits, pending).state, row_of(waits, pending).content) == ("expired", None)
    assert state_of(agency, issued) is State.VALID


# --- no way around ------------------------------------------------------------------------------------------


def test_a_batch_is_no_way_around(strict):
    orders = [
        Order(record=record("business-license", 30 + n), case=Case(operator="clerk-1")) for n in range(2)
    ]
    found = strict._issuer.issue_many(orders, type="business-license", now=NOW)
    assert [type(each) for each in found] == [SecondOfficerNeeded] * 2
    named = [replace(order, case=Case(operator="clerk-1", second_operator=" CLERK-1")) for order in orders]
    found = strict._issuer.issue_many(named, type="business-license", now=NOW)
    assert [type(each) for each in found] == [SecondOfficerNeeded] * 2
