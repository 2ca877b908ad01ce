"""Every verb of an issuing authority, on SQLite and on PostgreSQL."""

from datetime import date, timedelta

import pytest

from ewallet.errors import Conflict, NotAllowed, NotFound, RecordError, Refused
from ewallet.formats import sdcwt, sdjwt, statuslist
from ewallet.keys import SigningKey
from ewallet.licenses.issuer import Issued, Issuer, Order
from ewallet.licenses.license import face_digest
from ewallet.licenses.lifecycle import Case, EventKind, State
from ewallet.licenses.printed import CopyState, PrintOrder
from ewallet.licenses.register import Register
from ewallet.moments import seconds
from ewallet.verify.claims import DOCUMENT, HOLDER_CWT
from tests.agency import CATALOG, NOW, TWO, Agency, authority, organization, record

LATER = NOW + timedelta(hours=1)


@pytest.mark.parametrize("key", [item.key for item in CATALOG])
def test_every_type_is_issued_and_verifies(agency, key):
    issued = agency.issue(key, printed=PrintOrder())
    type_ = CATALOG[key]
    facts = sdjwt.verify(issued.document, agency.key.public_key, DOCUMENT, now=NOW)
    assert {name: facts.claims[name] for name, _ in issued.license.face} == dict(issued.license.face)
    assert facts.claims["identifier"] == issued.license.identifier
    assert facts.claims["iss"] == agency.issuer.authority.uri
    assert facts.vct == f"https://ewallet.example/vct/{type_.code}/1"
    assert len(sdjwt.parse(issued.document, DOCUMENT).unverified_claims["_sd"]) == type_.digests
    assert issued.license.face_digest == face_digest(issued.license.face, issued.license.salt)
    assert agency.register.current(issued.license.identifier) == issued.license
    copies = agency.register.copies(issued.license.identifier)
    assert copies == issued.printed
    indices = [issued.license.document_status, *(copy.status for copy in copies)]
    assert len(set(indices)) == len(indices)
    assert [event.kind for event in agency.register.history(issued.license.identifier)] == [EventKind.ISSUE]


def test_a_license_of_an_sm2_authority(register):
    agency = Agency(register, suite="SM2SM3")
    issued = agency.issue()
    digest = agency.key.public_key.suite.digest
    assert issued.license.digest_name == "sm3"
    assert issued.license.face_digest == face_digest(issued.license.face, issued.license.salt, digest)
    assert sdjwt.verify(issued.document, agency.key.public_key, DOCUMENT, now=NOW).claims["version"] == 1


def test_one_key_serves_one_service(register):
    key = SigningKey.generate()
    with pytest.raises(ValueError, match="two"):
        Issuer(signer=key, status_signer=key, catalog=CATALOG, register=register, authority=authority())


def test_the_identifier_of_a_card_tells_no_number(agency):
    issued = agency.issue("disability-card")
    assert issued.license.number not in issued.license.identifier
    assert issued.license.holders[0].code not in issued.license.identifier
    assert "样本1" not in repr(issued.license)
    assert issued.license.number not in repr(issued)


def test_one_live_license_for_a_holder(agency):
    first = agency.issue()
    with pytest.raises(Conflict, match="lives"):
        agency.issue()
    agency.issuer.revoke(first.license, reason="closed", case=TWO, now=NOW)
    second = agency.issue()
    assert second.license.identifier != first.license.identifier
    assert second.license.number == first.license.number


def test_the_database_keeps_one_live_license_when_two_come_at_once(agency, monkeypatch):
    """Both looked before either wrote: the table decides."""
    other = Agency(agency.register)
    monkeypatch.setattr("ewallet.licenses.issuing._known_soles", lambda *_: None)
    assert isinstance(agency.issue(), Issued)
    with pytest.raises(Conflict, match="lives for this holder"):
        other.issue()


def test_several_permits_of_one_holder(agency):
    agency.issue()
    first = agency.issue("food-business-permit", 1)
    again = {
        **record("food-business-permit", 1),
        "permit_number": record("food-business-permit", 7)["permit_number"],
    }
    second = agency.issuer.issue(again, type="food-business-permit", now=NOW)
    found = agency.register.find(holder=organization(1), type_code=first.license.type_code)
    assert {item.identifier for item in found} == {first.license.identifier, second.license.identifier}


def test_a_permit_must_equal_the_business_license(agency):
    agency.issue()
    wrong = {**record("food-business-permit"), "operator": "别的名字"}
    with pytest.raises(RecordError, match="business license") as caught:
        agency.issuer.issue(wrong, type="food-business-permit", now=NOW)
    assert caught.value.field == "operator"
    permit = agency.issue("food-business-permit")
    moved = agency.issuer.amend(
        agency.register.find(number=organization(1), type_code="11100000MB0143028R001")[0],
        {"address": "上海市样例路9号"},
        reason="moved",
        now=LATER,
    )
    assert moved.license.version == 2
    review = agency.register.history(permit.license.identifier)[-1]
    assert (review.kind, review.detail) == (EventKind.REVIEW, {"fields": ["address"]})


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"uscc": "91310101MA0000019X"}, "uscc"),
        ({"name": ""}, "name"),
        ({"issued_on": "2026-13-01"}, "issued_on"),
        ({"issued_on": "2026-11-25"}, "issued_on"),
        ({"valid_until": "2019-01-01"}, "valid_until"),
        ({"valid_until": "2026-11-22"}, "valid_until"),
        ({"nothing": "x"}, "nothing"),
        ({"name": "x" * 121}, "name"),
        ({"name": "a\u202eb"}, "name"),
    ],
)
def test_a_wrong_record_names_its_field(agency, change, field):
    with pytest.raises(RecordError) as caught:
        agency.issuer.issue({**record("business-license"), **change}, type="business-license", now=NOW)
    assert caught.value.field == field
    assert agency.register.feed() == ()


def test_fields_agree_with_the_number(agency):
    for change in ({"grade": "3"}, {"sex": "1"}, {"born_on": "1901-01-02"}):
        with pytest.raises(RecordError) as caught:
            agency.issuer.issue({**record("disability-card", 20), **change}, type="disability-card", now=NOW)
        assert caught.value.field in change


def test_a_case_number_gives_the_same_license_again(agency):
    case = Case(number="310101-2026-1", matter="m1", operator="o")
    first = agency.issue(case=case, printed=PrintOrder())
    again = agency.issue(case=case, printed=PrintOrder())
    assert again.again
    assert (again.license, again.printed) == (first.license, first.printed)
    assert len(agency.register.feed()) == 1
    with pytest.raises(Conflict, match="case number"):
        agency.issue(n=2, case=case)
    with pytest.raises(Conflict, match="case number"):
        agency.issuer.suspend(first.license, reason="x", case=case, now=NOW)
    amend = Case(number="310101-2026-2")
    one = agency.issuer.amend(first.license, {"address": "新址"}, reason="r", case=amend, now=LATER)
    two = agency.issuer.amend(first.license, {"address": "新址"}, reason="r", case=amend, now=LATER)
    assert two.license == one.license
    assert two.again


def test_amending_supersedes_at_the_same_instant(agency):
    first = agency.issue(printed=PrintOrder())
    second = agency.issuer.amend(
        first.license, {"address": "新址"}, reason="moved", printed=PrintOrder(duplicates=1), now=LATER
    )
    assert second.license.replaces == first.license.identifier
    assert second.license.version == 2
    value = agency.register.status_value
    assert value(first.license.document_status) == statuslist.SUPERSEDED
    assert value(first.printed[0].status) == statuslist.SUPERSEDED
    assert value(second.license.document_status) == statuslist.VALID
    assert [value(copy.status) for copy in second.printed] == [statuslist.VALID] * 2
    assert agency.register.license(first.license.identifier) == first.license
    assert agency.register.current(first.license.identifier) == second.license
    with pytest.raises(Conflict, match="newer"):
        agency.issuer.amend(first.license, {"address": "第三"}, reason="r", now=LATER)
    with pytest.raises(RecordError, match="neither number nor holder"):
        agency.issuer.amend(second.license, {"uscc": organization(5)}, reason="r", now=LATER)


def test_the_second_of_two_officers_is_told(agency, monkeypatch):
    first = agency.issue()
    stale = agency.register.entry(first.license.identifier)
    agency.issuer.annotate(first.license, text="reviewed", reason="yearly", now=LATER)
    monkeypatch.setattr("ewallet.licenses.issuer.entry_of", lambda *_: stale)
    with pytest.raises(Conflict, match="another officer"):
        agency.issuer.amend(first.license, {"address": "新址"}, reason="r", now=LATER)
    monkeypatch.undo()
    assert agency.register.current(first.license.identifier) == first.license


def test_suspending_and_restoring_reaches_every_entry(agency):
    issued = agency.issue(printed=PrintOrder())
    entries = [issued.license.document_status, issued.printed[0].status]
    agency.issuer.suspend(issued.license, reason="audit", now=LATER)
    assert {agency.register.status_value(entry) for entry in entries} == {statuslist.SUSPENDED}
    with pytest.raises(NotAllowed, match="suspended") as caught:
        agency.issuer.amend(issued.license, {"address": "新址"}, reason="r", now=LATER)
    assert caught.value.state == "suspended"
    corrected = agency.issuer.correct(issued.license, {"address": "新址"}, reason="typo", case=TWO, now=LATER)
    assert agency.register.status_value(corrected.license.document_status) == statuslist.SUSPENDED
    agency.issuer.restore(issued.license, reason="done", now=LATER)
    assert agency.register.status_value(corrected.license.document_status) == statuslist.VALID
    assert {agency.register.status_value(entry) for entry in entries} == {statuslist.SUPERSEDED}


@pytest.mark.parametrize("kind", [State.REVOKED, State.WITHDRAWN, State.CANCELLED])
def test_ending_needs_two_officers_and_is_final(agency, kind):
    issued = agency.issue()
    if kind is not State.CANCELLED:
        for case in (None, Case(operator="a"), Case(operator="a", second_operator="a")):
            with pytest.raises(NotAllowed, match="two officers"):
                agency.issuer.revoke(issued.license, kind=kind, reason="r", case=case, now=LATER)
    agency.issuer.revoke(issued.license, kind=kind, reason="r", case=TWO, now=LATER)
    assert agency.register.entry(issued.license.identifier).state is kind
    assert agency.register.status_value(issued.license.document_status) == statuslist.INVALID
    for act in (agency.issuer.suspend, agency.issuer.restore):
        with pytest.raises(NotAllowed, match=kind.value):
            act(issued.license, reason="r", now=LATER)
    with pytest.raises(ValueError, match="revoked"):
        agency.issuer.revoke(issued.license, kind=State.LAPSED, reason="r", now=LATER)


def test_a_license_lapses_and_is_renewed(agency):
    issued = agency.issue("food-business-permit")
    after = NOW + timedelta(days=365 * 5)
    assert agency.issuer.lapse_due(now=NOW) == ()
    assert agency.issuer.lapse_due(now=after) == (issued.license.identifier,)
    assert agency.register.entry(issued.license.identifier).state is State.LAPSED
    assert agency.register.status_value(issued.license.document_status) == statuslist.INVALID
    renewed = agency.issuer.renew(
        issued.license, {"issued_on": "2031-11-20", "valid_until": "2036-11-19"}, reason="renewed", now=after
    )
    assert agency.register.entry(issued.license.identifier).state is State.VALID
    assert agency.register.status_value(renewed.license.document_status) == statuslist.VALID
    assert agency.register.status_value(issued.license.document_status) == statuslist.SUPERSEDED


def test_transfer_to_another_authority(agency):
    other = Issuer(
        signer=SigningKey.generate(),
        status_signer=SigningKey.generate(),
        catalog=CATALOG,
        register=agency.register,
        authority=authority("pudong", 2),
    )
    issued = agency.issue()
    with pytest.raises(NotFound, match="this authority"):
        other.suspend(issued.license, reason="r", now=NOW)
    agency.issuer.transfer_out(issued.license, to=other.authority.uri, reason="moved", now=LATER)
    assert agency.register.entry(issued.license.identifier).state is State.TRANSFERRED
    taken = other.transfer_in(
        record("business-license"),
        type="business-license",
        replaces=issued.license.identifier,
        reason="moved",
        now=LATER,
    )
    assert taken.license.replaces == issued.license.identifier
    assert agency.register.history(taken.license.identifier)[0].kind is EventKind.TRANSFER_IN


def test_what_was_in_force_on_a_day(agency):
    issued = agency.issue()
    identifier = issued.license.identifier
    day = timedelta(days=1)
    second = agency.issuer.amend(issued.license, {"address": "新址"}, reason="r", now=NOW + 2 * day)
    agency.issuer.suspend(identifier, reason="r", now=NOW + 4 * day)
    agency.issuer.restore(identifier, reason="r", now=NOW + 6 * day)
    agency.issuer.revoke(identifier, reason="r", case=TWO, now=NOW + 8 * day)
    start = date(2026, 11, 23)
    expected = [1, 1, 2, 2, None, None, 2, 2, None]
    found = [agency.register.in_force(identifier, start + n * day) for n in range(9)]
    assert [item and item.version for item in found] == expected
    assert agency.register.in_force(identifier, start - day) is None
    assert second.license.version == 2


def test_rotating_the_key_breaks_nothing_and_signs_anew(agency):
    issued = agency.issue()
    gone = agency.issue(n=2)
    agency.issuer.revoke(gone.license, reason="r", case=TWO, now=NOW)
    fresh = SigningKey.generate()
    rotated = Issuer(
        signer=fresh,
        status_signer=agency.status_key,
        catalog=CATALOG,
        register=agency.register,
        authority=agency.issuer.authority,
    )
    assert rotated.resign_due(now=LATER) == 1
    assert rotated.resign_due(now=LATER) == 0
    now = agency.register.current(issued.license.identifier)
    assert sdjwt.verify(now.document, fresh.public_key, DOCUMENT, now=LATER).claims["version"] == 1
    assert now.document_status != issued.license.document_status
    assert agency.register.status_value(issued.license.document_status) == statuslist.VALID
    assert agency.register.current(gone.license.identifier).document == gone.document


def test_a_lost_copy_is_replaced(agency):
    issued = agency.issue(printed=PrintOrder(duplicates=1, stock=("S001", "S002")))
    lost = issued.printed[1]
    with pytest.raises(NotAllowed):
        agency.issuer.reissue(issued.license, lost, stock="S003", reason="lost", now=LATER)
    agency.issuer.move_copy(issued.license, lost, CopyState.PRINTED, reason="", printer="p1", now=LATER)
    found = agency.register.copies(issued.license.identifier)[1]
    assert (found.state, found.printer, found.printed_at) == (CopyState.PRINTED, "p1", seconds(LATER))
    fresh = agency.issuer.reissue(issued.license, found, stock="S003", reason="lost", now=LATER)
    assert (fresh.role, fresh.number, fresh.stock) == (lost.role, lost.number, "S003")
    assert agency.register.status_value(lost.status) == statuslist.INVALID
    assert agency.register.status_value(fresh.status) == statuslist.VALID
    with pytest.raises(Conflict, match="stock"):
        agency.issuer.print_copies(issued.license, PrintOrder(stock=("S001",)), reason="more", now=LATER)


def test_a_batch_tells_good_from_bad(agency):
    agency.issue(n=3)
    orders = [
        Order(record=record("business-license", 1)),
        Order(record={**record("business-license", 2), "name": ""}),
        Order(record=record("business-license", 3)),
        Order(record=record("business-license", 4)),
        Order(record=record("business-license", 4)),
    ]
    results = agency.issuer.issue_many(orders, type="business-license", now=NOW)
    assert [type(item).__name__ for item in results] == [
        "Issued",
        "RecordError",
        "Conflict",
        "Issued",
        "Conflict",
    ]
    events = agency.register.feed()
    assert [event.id for event in events] == [1, 2, 3]


# --- Devices ----------------------------------------------------------------------------------------------


def test_binding_gives_both_credentials(agency):
    card = agency.issue("disability-card").license
    device = SigningKey.generate()
    found = agency.issuer.bind(card, 0, device.public_key, agency.proof(device), now=NOW)
    shown = sdjwt.present(
        found.sd_jwt, device, audience="https://v.example", nonce="n" * 16, disclose=["category"], now=NOW
    )
    assert "310101" not in shown
    cwt = sdcwt.verify(found.sd_cwt, agency.key.public_key, HOLDER_CWT, now=NOW)
    assert cwt.claims["category"] == "4"
    assert cwt.holder_key == device.public_key
    assert found.expires_at == seconds(NOW + timedelta(days=730))
    proof = agency.proof(device)
    agency.issuer.bind(card, 0, device.public_key, proof, now=NOW)
    with pytest.raises(Conflict, match="nonce"):
        agency.issuer.bind(card, 0, device.public_key, proof, now=NOW)


def test_a_proof_must_hold(agency):
    card = agency.issue("disability-card").license
    device, other = SigningKey.generate(), SigningKey.generate()
    proof = agency.proof(device)
    for bad, key, now, reason in (
        (proof, other.public_key, NOW, "signature.holder"),
        (proof[:-1] + bytes((proof[-1] ^ 1,)), device.public_key, NOW, "signature.holder"),
        (bytes(32) + proof[32:], device.public_key, NOW, "signature.holder"),
        (proof[:10], device.public_key, NOW, "signature.holder"),
        (proof, device.public_key, NOW + timedelta(minutes=11), "code.expired"),
    ):
        with pytest.raises(Refused) as caught:
            agency.issuer.bind(card, 0, key, bad, now=now)
        assert caught.value.reason == reason
    assert agency.register.devices(card.identifier) == ()


def test_new_phone_lost_phone_and_several(agency):
    card = agency.issue("disability-card").license
    phones = [SigningKey.generate() for _ in range(7)]

    def bind(n, **more):
        return agency.issuer.bind(card, 0, phones[n].public_key, agency.proof(phones[n]), now=NOW, **more)

    def status(credential):
        return agency.register.status_value(
            sdcwt.verify(credential.sd_cwt, agency.key.public_key, HOLDER_CWT, now=NOW).status
        )

    first = bind(0)
    renewed = bind(0)
    assert (status(first), status(renewed)) == (statuslist.INVALID, statuslist.VALID)
    second = bind(1, replacing=[phones[0].public_key.thumbprint()])
    assert (status(renewed), status(second)) == (statuslist.INVALID, statuslist.VALID)
    for n in range(2, 6):
        bind(n)
    with pytest.raises(NotAllowed, match="5 devices"):
        bind(6)
    agency.issuer.unbind(card, phones[1].public_key.thumbprint(), reason="lost", now=LATER)
    assert status(second) == statuslist.INVALID
    assert status(bind(6)) == statuslist.VALID
    with pytest.raises(NotFound, match="device"):
        agency.issuer.unbind(card, phones[1].public_key.thumbprint(), reason="lost", now=LATER)
    assert agency.register.status_value(card.document_status) == statuslist.VALID
    agency.issuer.suspend(card, reason="r", now=LATER)
    with pytest.raises(NotAllowed, match="suspended"):
        bind(6)
    assert status(second) == statuslist.INVALID


def test_both_holders_of_a_marriage_certificate(agency):
    certificate = agency.issue("marriage-certificate").license
    keys = []
    for index in range(2):
        device = SigningKey.generate()
        found = agency.issuer.bind(certificate, index, device.public_key, agency.proof(device), now=NOW)
        keys.append(found.holder_index)
    assert keys == [0, 1]
    device = SigningKey.generate()
    with pytest.raises(NotFound, match="holder"):
        agency.issuer.bind(certificate, 2, device.public_key, agency.proof(device), now=NOW)


# --- Status lists, feed, register -------------------------------------------------------------------------


def test_publishing_is_incremental_and_says_what_the_register_says(agency, tmp_path):
    licenses = [agency.issue(n=n).license for n in range(5)]
    agency.issue("disability-card")
    publish = agency.register.publish_status
    assert len(publish(tmp_path, agency.status_key, now=NOW)) == 4
    assert publish(tmp_path, agency.status_key, now=NOW) == ()
    agency.issuer.suspend(licenses[2], reason="r", now=LATER)
    files = publish(tmp_path, agency.status_key, now=LATER)
    assert [file.suffix for file in files] == [".jwt", ".cwt"]
    uri = licenses[2].document_status.uri
    for file in files:
        token = file.read_bytes() if file.suffix == ".cwt" else file.read_text()
        found = statuslist.verify(token, agency.status_key.public_key, uri=uri, now=LATER)
        values = [found.lookup(item.document_status, now=LATER) for item in licenses]
        assert values == [0, 0, statuslist.SUSPENDED, 0, 0]
        assert sum(found.entries.get(n) != 0 for n in range(1024)) == 1
    assert str(files[0]).endswith(uri.removeprefix("https://") + ".jwt")
    assert publish(tmp_path, agency.status_key, now=LATER + timedelta(hours=10)) == ()
    assert len(publish(tmp_path, agency.status_key, now=LATER + timedelta(hours=12))) == 4
    slow = {"ttl": 30 * 86400, "life": timedelta(days=8)}
    assert publish(tmp_path, agency.status_key, now=LATER + timedelta(days=3), **slow) == ()
    assert len(publish(tmp_path, agency.status_key, now=LATER + timedelta(days=5), **slow)) == 4
    assert not list(tmp_path.rglob(".*"))


def test_shards_fill_and_follow(agency):
    agency.register.shard_size = 4
    references = [agency.issue(n=n).license.document_status for n in range(10)]
    assert len(set(references)) == 10
    by_uri = {}
    for reference in references:
        by_uri.setdefault(reference.uri, []).append(reference.idx)
    assert sorted(map(len, by_uri.values())) == [2, 4, 4]
    assert all(0 <= idx < 4 for found in by_uri.values() for idx in found)


def test_the_feed_has_no_gap_and_no_double(agency):
    for n in range(6):
        agency.issue(n=n)
    seen, position = [], agency.register.position("library")
    while events := agency.register.feed(after=position, limit=4):
        seen += [event.id for event in events]
        position = events[-1].id
        agency.register.confirm("library", position)
    assert seen == [1, 2, 3, 4, 5, 6]
    agency.register.confirm("library", 2)
    assert agency.register.position("library") == 6
    with pytest.raises(NotFound):
        agency.register.confirm("library", 7)


def test_the_register_opens_again(agency, database):
    issued = agency.issue()
    with Register.open(database) as again:
        assert again.current(issued.license.identifier) == issued.license
        assert again.secret() == agency.register.secret()
        with pytest.raises(NotFound):
            again.current(issued.license.identifier[:-1] + "?")
        with pytest.raises(ValueError, match="needed"):
            again.find()
