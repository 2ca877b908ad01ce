from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from ewallet.errors import Conflict, NotAllowed, NotFound
from ewallet.formats import statuslist, typeset
from ewallet.licenses.copies import (
    free_stock,
    hand_out_stock,
    recall_list,
    spoil_stock,
    stock_account,
)
from ewallet.licenses.lifecycle import Case
from ewallet.licenses.printed import TRANSITIONS, CopyState, PrintOrder
from ewallet.licenses.render import Content, render
from ewallet.licenses.seal import Role, parse_seal, verify_seal

NOW = datetime(2026, 11, 23, 4, tzinfo=UTC)
LATER = NOW + timedelta(days=30)
ORDER = PrintOrder(originals=1, duplicates=2, stock=("SH-0001", "SH-0002", "SH-0003"))


@pytest.fixture
def handed_out(issue, issuer):
    """A license with one original in the holder's hands and two duplicates not yet printed."""
    issued = issue(printed=ORDER)
    original = issued.printed[0]
    for state in (CopyState.PRINTED, CopyState.HANDED_OUT):
        original = issuer.move_copy(issued.license, original, state, reason="counter", printer="P1", now=NOW)
    return replace(issued, printed=(original, *issued.printed[1:]))


def states(register, license_):
    return [copy.state for copy in register.copies(license_.identifier)]


def test_license_and_paper_are_made_together_and_print(issue, catalog, faces, authority):
    issued = issue(printed=ORDER)
    assert [(c.role, c.number, c.of) for c in issued.printed] == [
        (Role.ORIGINAL, 1, 1),
        (Role.DUPLICATE, 1, 2),
        (Role.DUPLICATE, 2, 2),
    ]
    assert len({c.status.idx for c in issued.printed} | {issued.license.document_status.idx}) == 4
    assert len({parse_seal(c.seal).unverified.salt for c in issued.printed}) == 3
    for copy in issued.printed:
        seal = verify_seal(parse_seal(copy.seal), authority.public_key, now=NOW)
        assert seal.fields["legal_representative"] == "王**"
        pdf = render(Content.of(issued.license, catalog["business-license"]), copy, faces=faces)
        assert issued.document.encode() in typeset.attachments(pdf).values()


def test_amending_recalls_the_paper_in_the_same_transaction(handed_out, issuer, register):
    amended = issuer.amend(
        handed_out.license, {"legal_representative": "李明"}, reason="change", printed=PrintOrder(), now=LATER
    )
    assert states(register, amended.license) == [
        CopyState.RECALLED,
        CopyState.DESTROYED,
        CopyState.DESTROYED,
        CopyState.TO_PRINT,
    ]
    (outstanding,) = recall_list(register)
    assert (outstanding.version, outstanding.current, outstanding.stock) == (1, 2, "SH-0001")
    assert outstanding.identifier == handed_out.license.identifier
    assert register.status_value(handed_out.printed[0].status) == statuslist.SUPERSEDED


def test_revoking_withdraws_and_recalls_the_paper(handed_out, issuer, register):
    revoked = issuer.revoke(handed_out.license, reason="law", case=_two_officers(), now=LATER)
    assert states(register, revoked) == [CopyState.RECALLED, CopyState.DESTROYED, CopyState.DESTROYED]
    assert {register.status_value(copy.status) for copy in handed_out.printed} == {statuslist.INVALID}
    assert [each.state for each in recall_list(register, identifier=revoked.identifier)] == ["revoked"]
    assert not list(recall_list(register, type_code="other"))


def _two_officers():
    return Case(number="c-1", operator="a", second_operator="b")


def test_a_refused_amendment_leaves_the_paper_alone(handed_out, issuer, register):
    with pytest.raises(Conflict):
        issuer.amend(
            handed_out.license,
            {"legal_representative": "李明"},
            reason="change",
            printed=PrintOrder(stock=("SH-0001",)),  # used already
            now=LATER,
        )
    assert states(register, handed_out.license)[0] is CopyState.HANDED_OUT
    assert register.current(handed_out.license.identifier).version == 1
    assert not list(recall_list(register))


def test_two_papers_never_have_one_stock_number(issue):
    issue(printed=PrintOrder(stock=("SH-0001",)))
    with pytest.raises(Conflict, match="stock number"):
        issue(place=2, printed=PrintOrder(stock=("SH-0001",)))
    with pytest.raises(ValueError, match="twice"):
        PrintOrder(originals=2, stock=("SH-0001", "SH-0001"))


def test_a_lost_copy_is_withdrawn_and_replaced(handed_out, issuer, register):
    lost = handed_out.printed[0]
    fresh = issuer.reissue(handed_out.license, lost, stock="SH-0009", reason="lost", now=LATER)
    assert (fresh.role, fresh.number, fresh.stock) == (lost.role, lost.number, "SH-0009")
    assert register.status_value(lost.status) == statuslist.INVALID
    assert register.status_value(fresh.status) == statuslist.VALID
    assert [each.sheet for each in recall_list(register, lost=True)] == [CopyState.LOST]
    assert not list(recall_list(register))


def test_no_state_leads_back_into_force():
    for before, after in TRANSITIONS.items():
        if before in (CopyState.RECALLED, CopyState.RETURNED, CopyState.LOST, CopyState.DESTROYED):
            assert not after & {CopyState.TO_PRINT, CopyState.PRINTED, CopyState.HANDED_OUT}


def test_a_sheet_that_was_destroyed_stays_destroyed(handed_out, issuer):
    spoiled = issuer.move_copy(
        handed_out.license, handed_out.printed[1], CopyState.DESTROYED, reason="jam", now=NOW
    )
    with pytest.raises(NotAllowed):
        issuer.move_copy(handed_out.license, spoiled, CopyState.PRINTED, reason="again", now=NOW)


# --- Security paper -----------------------------------------------------------------------------------------


def test_security_paper_is_accounted_for(issue, register):
    hand_out_stock(register, "SH2026-00000001", "SH2026-00000010", office="Pudong", now=NOW)
    numbers = free_stock(register, 2, office="Pudong")
    assert numbers == ("SH2026-00000001", "SH2026-00000002")
    issue(printed=PrintOrder(duplicates=1, stock=numbers))
    spoil_stock(register, "SH2026-00000004", reason="jam", now=NOW)
    assert free_stock(register, 2, office="Pudong") == ("SH2026-00000003", "SH2026-00000005")
    (account,) = stock_account(register, office="Pudong")
    assert (account.sheets, account.used, account.spoiled, account.free) == (10, 2, 1, 7)
    assert stock_account(register, office="Minhang") == ()


def test_only_paper_that_was_handed_out_and_is_whole_is_used(issue, register):
    hand_out_stock(register, "SH-0001", "SH-0010", office="Pudong", now=NOW)
    spoil_stock(register, "SH-0002", reason="jam", now=NOW)
    for number in ("SH-0002", "SH-0011", "SH-00001", "XX-0001", "none"):
        with pytest.raises(Conflict):
            issue(printed=PrintOrder(stock=(number,)))
    assert issue(printed=PrintOrder(stock=("SH-0010",))).printed[0].stock == "SH-0010"


def test_what_cannot_be_true_of_paper_is_refused(issue, register):
    hand_out_stock(register, "SH-0001", "SH-0010", office="Pudong", now=NOW)
    issue(printed=PrintOrder(stock=("SH-0001",)))
    with pytest.raises(Conflict, match="handed out"):
        hand_out_stock(register, "SH-0010", "SH-0020", office="Minhang", now=NOW)
    with pytest.raises(Conflict, match="carries"):
        spoil_stock(register, "SH-0001", reason="jam", now=NOW)
    with pytest.raises(NotFound):
        spoil_stock(register, "SH-0011", reason="jam", now=NOW)
    spoil_stock(register, "SH-0002", reason="jam", now=NOW)
    with pytest.raises(Conflict, match="before"):
        spoil_stock(register, "SH-0002", reason="jam", now=NOW)
    for first, last in (("SH-2", "SH-1"), ("SH-1", "SH-02"), ("SH", "SH")):
        with pytest.raises(ValueError, match=r"range|digits"):
            hand_out_stock(register, first, last, office="Pudong", now=NOW)
    with pytest.raises(NotFound, match="too little"):
        free_stock(register, 9, office="Pudong")
