"""Licenses at a counter: documents, seals, presentations; every reason they can meet; every flipped bit."""

from __future__ import annotations

import shutil
from datetime import date, timedelta
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ewallet.code.challenge import make_challenge
from ewallet.errors import RecordError
from ewallet.formats import text
from ewallet.keys import SigningKey
from ewallet.licenses.lifecycle import Case
from ewallet.licenses.printed import CopyState, PrintOrder
from ewallet.reasons import REASONS, Layer, Outcome
from ewallet.trust.authoring import Authority as Listed
from ewallet.trust.entries import Grant, Service
from ewallet.trust.statements import make_statement
from ewallet.verify.policy import Policy
from ewallet.verify.replay import MemoryGuard
from ewallet.verify.result import Kind
from ewallet.verify.sources import StatusDirectory
from ewallet.verify.verifier import Verifier
from tests.town import NOW, RECORDS, START, VENUE, Town, reason_of, resident_number

SECOND, MINUTE, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(days=1)
TWO = Case(operator="officer-1", second_operator="officer-2")
SHEETS = PrintOrder(originals=1, duplicates=1)


def issuer_of(town):
    return town.offices["31/market"].issuer


def challenge(town, now=NOW, life=60):
    return make_challenge(
        town.verifying.signer(Service.VERIFY),
        issuer=town.verifying.uri,
        venue=VENUE,
        scene="counter",
        now=now,
        life=life,
    )


# --- what is good -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", ["ES256", "Ed25519", "SM2SM3"])
def test_every_form_of_a_good_license_is_accepted(tmp_path, suite):
    town = Town(tmp_path, suite=suite)
    issued = town.issue("business-license", printed=SHEETS)
    held = town.bind(issued)
    counter, asked = town.verifier(), challenge(town)
    answers = {
        Kind.DOCUMENT: counter.verify(issued.document, now=NOW),
        Kind.SEAL: counter.verify(issued.printed[0].seal, now=NOW),
        Kind.PRESENTATION: counter.verify(held.show("name", "uscc"), now=NOW),
    }
    town.close()
    for kind, found in answers.items():
        assert (found.outcome, found.kind) == (Outcome.ACCEPTED, kind)
        [license_] = found.licenses
        assert (license_.type, license_.province, license_.status) == (
            town.catalog["business-license"].code,
            "31",
            "valid",
        )
    assert dict(answers[Kind.DOCUMENT].licenses[0].fields).items() >= RECORDS["business-license"].items()
    assert set(answers[Kind.PRESENTATION].licenses[0].fields) == {"name", "uscc"}
    assert answers[Kind.PRESENTATION].licenses[0].identifier == ""
    sealed = answers[Kind.SEAL].licenses[0].fields
    assert sealed["legal_representative"] != RECORDS["business-license"]["legal_representative"]  # masked
    codes = {kind: {notice.code for notice in found.notices} for kind, found in answers.items()}
    assert codes[Kind.DOCUMENT] == {"presence.not_checked"}
    assert codes[Kind.SEAL] == {"presence.not_checked", "copy.possible"}
    assert codes[Kind.PRESENTATION] == set()
    for json, reason in ((True, None), (False, None)):
        again = challenge(town)
        shown = held.show("name", nonce=again.digest, json=json, now=NOW + MINUTE / 2)
        found = counter.verify(shown, now=NOW + MINUTE / 2, answering=again)
        assert (found.reason, reason) == (None, None)
    assert asked.digest


def test_bytes_are_taken_as_well_as_text(town: Town):
    held = town.hold("resident-id")
    _, data = text.decode(held.show("name"))
    assert reason_of(town.verifier().verify(data, now=NOW)) == "ACCEPTED"


# --- genuine ------------------------------------------------------------------------------------------------


def test_presence_is_not_proven_by_content(town: Town):
    issued = town.issue("business-license", printed=SHEETS)
    hall = town.verifier("government-hall")
    assert reason_of(hall.verify(issued.document, now=NOW)) == "holder.binding_missing"
    assert reason_of(hall.verify(issued.printed[0].seal, now=NOW)) == "code.static"
    held = town.bind(issued)
    assert reason_of(town.verifier("government-hall").verify(held.show("name"), now=NOW)) == "ACCEPTED"


def test_a_holder_credential_without_its_key_binding(town: Town):
    held = town.hold("business-license")
    counter = town.verifier()
    assert reason_of(counter.verify(held.sd_jwt, now=NOW)) in {
        "holder.binding_missing",
        "credential.malformed",
    }
    assert reason_of(counter.verify(held.sd_cwt, now=NOW)) in {
        "holder.binding_missing",
        "credential.malformed",
    }


def test_a_presentation_to_another_place_too_early_too_late_and_twice(town: Town):
    held = town.hold("business-license")
    counter = town.verifier()
    elsewhere = held.show("name", audience="https://sh.ewallet.example/v/2")
    assert reason_of(counter.verify(elsewhere, now=NOW)) == "code.audience"
    shown = held.show("name")
    assert reason_of(counter.verify(shown, now=NOW + 31 * SECOND)) == "code.expired"
    assert reason_of(counter.verify(shown, now=NOW - 11 * SECOND)) == "code.from_future"
    assert reason_of(counter.verify(shown, now=NOW)) == "ACCEPTED"
    assert reason_of(counter.verify(shown, now=NOW + SECOND)) == "code.replayed"


def test_a_presentation_answers_the_question_that_was_asked(town: Town):
    held = town.hold("business-license")
    counter, asked, other = town.verifier(), challenge(town), challenge(town)
    for json in (False, True):
        answer = held.show("name", nonce=asked.digest, json=json)
        assert reason_of(counter.verify(answer, now=NOW)) == "code.challenge"
        assert reason_of(counter.verify(answer, now=NOW, answering=other)) == "code.challenge"
        assert reason_of(counter.verify(answer, now=NOW + 61 * SECOND, answering=asked)) == "code.challenge"
    assert reason_of(counter.verify(held.show("name"), now=NOW, answering=asked)) == "code.challenge"
    assert (
        reason_of(counter.verify(held.show("name", nonce=asked.digest), now=NOW, answering=asked))
        == "ACCEPTED"
    )
    late = held.show("name", nonce=asked.digest, now=NOW + 45 * SECOND)
    # a question is answered once, also where the presentation by itself would do again
    assert reason_of(counter.verify(late, now=NOW + 45 * SECOND, answering=asked)) == "code.challenge"


def test_another_device_cannot_show_it(town: Town):
    held, other = town.hold("business-license"), town.hold("resident-id")
    held.device = other.device
    with pytest.raises(Exception, match=r"device|key"):
        held.show("name")


@pytest.mark.parametrize("form", ["document", "seal", "presentation"])
def test_an_issuer_that_nobody_lists(town: Town, form):
    uri = "https://sh.ewallet.example/a/stranger"
    stranger = Listed(
        uri=uri,
        names={"zh": "x", "en": "x"},
        province="31",
        status_prefix="https://sh.ewallet.example/status/stranger/",
        signers={Service.LICENSES: SigningKey.generate(), Service.STATUS: SigningKey.generate()},
    )
    town.office_of(stranger, "31/stranger")
    thing = shown_as(town, form, office="31/stranger")
    counter = town.verifier()
    assert reason_of(counter.verify(thing, now=NOW)) == "issuer.unknown"
    # stale lists cannot say that somebody is not listed
    assert reason_of(counter.verify(shown_as_again(thing), now=NOW + 3 * DAY)) in {
        "trust.stale",
        "code.expired",
    }


def shown_as(town, form, *, record="business-license", office="31/market", now=START, at=NOW, **changes):
    """A license in one of its three forms."""
    issued = town.issue(record, office=office, printed=SHEETS, now=now, **changes)
    if form == "document":
        return issued.document
    if form == "seal":
        return issued.printed[0].seal
    return town.bind(issued, office=office, now=now).show("name", now=at)


def shown_as_again(thing):
    return thing


FORMS = pytest.mark.parametrize("form", ["document", "seal", "presentation"])


@FORMS
def test_a_key_that_is_listed_for_something_else(town: Town, form):
    services = (Service.LICENSES, Service.STATUS, Service.REGISTER)
    listed = town.open_office("31", "both", services=services).listed
    listed.signers[Service.LICENSES] = listed.signer(Service.REGISTER)
    town.office_of(listed, "31/mixed")
    thing = shown_as(town, form, office="31/mixed")
    assert reason_of(town.verifier().verify(thing, now=NOW)) == "issuer.service"


@FORMS
def test_a_key_that_its_owner_does_not_have(town: Town, form):
    office = town.offices["31/market"]
    signers = {Service.LICENSES: SigningKey.generate(), Service.STATUS: office.listed.signer(Service.STATUS)}
    listed = Listed(
        uri=office.listed.uri,
        names=office.listed.names,
        province="31",
        status_prefix=office.listed.status_prefix,
        signers=signers,
    )
    town.office_of(listed, "31/other-key")
    thing = shown_as(town, form, office="31/other-key")
    assert reason_of(town.verifier().verify(thing, now=NOW)) == "issuer.key_unknown"


@FORMS
def test_a_type_or_region_that_was_not_granted(town: Town, form):
    wide = {"types": frozenset(("*",)), "regions": frozenset(("31",)), "start": 0}
    type_ = town.catalog["resident-id"].code
    town.open_office("31", "ids", grants={Service.LICENSES: Grant(**{**wide, "types": frozenset((type_,))})})
    town.open_office(
        "31", "west", grants={Service.LICENSES: Grant(**{**wide, "regions": frozenset(("310118",))})}
    )
    things = {name: shown_as(town, form, office=f"31/{name}") for name in ("ids", "west")}
    counter = town.verifier()
    assert reason_of(counter.verify(things["ids"], now=NOW)) == "issuer.type_not_granted"
    assert reason_of(counter.verify(things["west"], now=NOW)) == "issuer.region"


@FORMS
def test_suspended_withdrawn_and_braked_issuers(town: Town, form):
    before = shown_as(town, form)
    uri = town.offices["31/market"].listed.uri
    town.consortium.brake({"entity": uri}, reason="drill", now=NOW)
    assert reason_of(town.verifier().verify(before, now=NOW)) == "issuer.suspended"
    town.consortium.lift_brake(now=NOW)
    town.consortium.suspend(uri, Service.LICENSES, now=NOW, effective=START)
    assert reason_of(town.verifier(trust=town.publish(NOW + SECOND)).verify(before, now=NOW + SECOND)) == (
        "issuer.suspended"
    )


@FORMS
def test_withdrawal_closes_the_future_only(town: Town, form):
    """What was signed after it does not count; what was signed before still does."""
    before = shown_as(town, form)
    after = shown_as(town, form, record="resident-id", now=NOW - MINUTE)
    uri = town.offices["31/market"].listed.uri
    town.consortium.withdraw(uri, Service.LICENSES, now=NOW - 2 * MINUTE)
    counter = town.verifier()
    assert reason_of(counter.verify(after, now=NOW)) == "issuer.withdrawn"
    assert reason_of(counter.verify(before, now=NOW)) == "ACCEPTED"


@FORMS
def test_a_key_whose_window_had_not_begun(town: Town, form):
    listed = town.open_office("31", "young", start=NOW - MINUTE)
    del listed
    thing = shown_as(town, form, office="31/young", now=START)
    assert reason_of(town.verifier().verify(thing, now=NOW)) == "issuer.key_not_valid_then"


def test_a_compromised_key_needs_proof_that_this_credential_existed(town: Town):
    witness = town.consortium.add_authority(
        "32", "register", names={"zh": "示例登记", "en": "x"}, services=(Service.REGISTER,), now=START
    )
    issued = town.issue("business-license")
    office = town.offices["31/market"]
    old = office.listed.signer(Service.LICENSES)
    town.consortium.rotate_key(office.listed.uri, Service.LICENSES, now=NOW - MINUTE)
    town.consortium.compromise(
        office.listed.uri, Service.LICENSES, kid=old.public_key.kid, since=NOW - 2 * MINUTE, now=NOW - MINUTE
    )
    trust = town.publish()
    assert reason_of(town.verifier(trust=trust).verify(issued.document, now=NOW)) == "issuer.proof_missing"
    from ewallet.formats import sdjwt
    from ewallet.verify.claims import DOCUMENT

    digest = sdjwt.parse(issued.document, DOCUMENT).digest
    statement = make_statement(
        digest, signer=witness.signer(Service.REGISTER), iss=witness.uri, now=START + SECOND
    )
    proven = town.verifier(trust=trust, proofs={digest: [statement]})
    assert reason_of(proven.verify(issued.document, now=NOW)) == "ACCEPTED"
    late = make_statement(digest, signer=witness.signer(Service.REGISTER), iss=witness.uri, now=NOW - MINUTE)
    assert reason_of(
        town.verifier(trust=trust, proofs={digest: [late]}).verify(issued.document, now=NOW)
    ) == ("issuer.proof_missing")


def test_a_holder_credential_past_its_end(town: Town):
    """It ends with its license, or after two years, and is then renewed silently."""
    held = town.hold("food-business-permit", issued_on="2021-04-01", valid_until="2026-03-02")
    counter = town.verifier(trust=town.publish())
    midnight = NOW.replace(hour=16, minute=0, second=0)
    town.publish_status(midnight - MINUTE)
    before, after = midnight - SECOND, midnight
    assert reason_of(counter.verify(held.show("operator", now=before), now=before)) == "ACCEPTED"
    late = held.show("operator", now=before)
    assert reason_of(counter.verify(late, now=after)) == "credential.expired"


# --- lists --------------------------------------------------------------------------------------------------


@FORMS
def test_stale_lists_decide_nothing(town: Town, form):
    trust = town.publish()
    later = NOW + timedelta(hours=37)
    thing = shown_as(town, form, at=later)
    town.publish_status(later)
    assert reason_of(town.verifier(trust=trust).verify(thing, now=later)) == "trust.stale"


def test_a_clock_behind_the_lists(town: Town):
    held = town.hold("business-license")
    trust = town.publish(NOW + 5 * MINUTE)
    counter = town.verifier(trust=trust)
    assert reason_of(counter.verify(held.show("name"), now=NOW)) == "clock.unsure"
    # documents use the time that the lists were signed at
    assert reason_of(counter.verify(held.issued.document, now=NOW)) == "ACCEPTED"


@FORMS
def test_status_lists_that_are_missing_or_old(town: Town, form):
    thing = shown_as(town, form, at=NOW)
    trust = town.publish()
    counter = town.verifier(trust=trust)
    shutil.rmtree(town.directory / "status")
    found = counter.verify(thing, now=NOW)
    assert reason_of(found) == "status.unavailable"
    assert found.facts is not None  # what is genuine is shown
    assert found.layers()["genuine"] == "passed"
    town.directory.joinpath("status").mkdir()


@FORMS
def test_status_lists_past_their_time(town: Town, form):
    later = NOW + timedelta(hours=25)
    thing = shown_as(town, form, at=later)
    town.publish()
    town.consortium.renew(later)
    town.consortium.publish(town.directory / "repository", now=later)
    from ewallet.trust.distribution import TrustStore

    trust = TrustStore.open(town.directory / "later").refresh(town.directory, later)
    assert reason_of(town.verifier(trust=trust).verify(thing, now=later)) == "status.stale"


# --- in force -----------------------------------------------------------------------------------------------


@FORMS
@pytest.mark.parametrize(
    ("event", "reasons"),
    [
        ("suspend", ("license.suspended", "license.suspended")),
        ("revoke", ("license.revoked", "printed.withdrawn")),
        ("amend", ("license.superseded", "printed.superseded")),
    ],
)
def test_a_license_that_is_not_in_force_any_more(town: Town, form, event, reasons):
    issued = town.issue("business-license", printed=SHEETS)
    held, issuer = town.bind(issued), issuer_of(town)
    thing = {"document": issued.document, "seal": issued.printed[0].seal, "presentation": held.show("name")}[
        form
    ]
    if event == "amend":
        issuer.amend(
            issued.license,
            {"address": "上海市浦东新区范例大道9号"},
            reason="x",
            printed=SHEETS,
            now=NOW - MINUTE,
        )
    else:
        getattr(issuer, event)(issued.license, reason="x", case=TWO, now=NOW - MINUTE)
    found = town.verifier().verify(thing, now=NOW)
    assert reason_of(found) == reasons[form == "seal"]
    assert found.layers()["genuine"] == "passed"
    assert found.layers()[Layer.IN_FORCE] == "failed"


def test_a_suspension_ends(town: Town):
    issued = town.issue("business-license")
    issuer_of(town).suspend(issued.license, reason="x", case=TWO, now=START)
    issuer_of(town).restore(issued.license, reason="x", case=TWO, now=START + MINUTE)
    assert reason_of(town.verifier().verify(issued.document, now=NOW)) == "ACCEPTED"


def test_a_lost_sheet_is_withdrawn_and_the_license_lives(town: Town):
    issued = town.issue("business-license", printed=SHEETS)
    original, duplicate = issued.printed
    issuer = issuer_of(town)
    for state in (CopyState.PRINTED, CopyState.HANDED_OUT, CopyState.LOST):
        original = issuer.move_copy(issued.license, original, state, reason="x", case=TWO, now=NOW - MINUTE)
    counter = town.verifier()
    assert reason_of(counter.verify(original.seal, now=NOW)) == "printed.withdrawn"
    assert reason_of(counter.verify(duplicate.seal, now=NOW)) == "ACCEPTED"
    assert reason_of(counter.verify(issued.document, now=NOW)) == "ACCEPTED"


def permit(town, form, **changes):
    return shown_as(town, form, record="food-business-permit", at=NOW, **changes)


@pytest.mark.parametrize("form", ["document", "seal"])
def test_the_term_of_a_license_on_its_last_day_and_after(town: Town, form):
    thing = permit(town, form, issued_on="2021-04-01", valid_until="2026-03-02")
    trust = town.publish()
    counter = town.verifier(trust=trust)
    midnight = NOW.replace(hour=16, minute=0, second=0)  # the end of 2 March in Shanghai
    town.publish_status(midnight - MINUTE)
    assert reason_of(counter.verify(thing, now=midnight - SECOND)) == "ACCEPTED"
    found = counter.verify(thing, now=midnight)
    assert reason_of(found) == "license.expired"
    assert found.layers()["genuine"] == "passed"


def test_a_license_before_its_first_day(town: Town):
    document = town.issue("driving-license").document
    found = town.verifier().verify(document, now=NOW)
    assert reason_of(found) == "license.not_yet_valid"


@pytest.mark.parametrize(("kind", "code"), [("objection", "license.objection"), ("review", "license.review")])
def test_a_notice_is_told_and_decides_nothing(town: Town, kind, code):
    issued = town.issue("business-license")
    status = issued.license.document_status
    town.consortium.notice("31", uri=status.uri, idx=status.idx, kind=kind, field="address", now=NOW)
    found = town.verifier().verify(issued.document, now=NOW)
    assert found.outcome is Outcome.ACCEPTED
    assert code in {notice.code for notice in found.notices}


# --- accepted here ------------------------------------------------------------------------------------------


def test_another_type_province_or_scene_than_the_counter_takes(town: Town):
    document = town.issue("business-license").document
    trust, other = town.publish(), town.catalog["resident-id"].code
    assert reason_of(town.verifier(trust=trust, types=[other]).verify(document, now=NOW)) == "policy.type"
    assert (
        reason_of(town.verifier(trust=trust, provinces=["32"]).verify(document, now=NOW)) == "policy.province"
    )
    codes = town.verifier(trust=trust, forms=["rotating"])
    assert reason_of(codes.verify(document, now=NOW)) == "policy.scene"


def test_fields_that_the_counter_demands(town: Town):
    held = town.hold("business-license")
    demanded = {held.issued.license.type_code: frozenset(("name", "uscc"))}
    counter = town.verifier(fields=demanded)
    found = counter.verify(held.show("name"), now=NOW)
    assert reason_of(found) == "policy.field_missing"
    assert "uscc" in found.checks[-1].detail
    assert reason_of(counter.verify(held.show("name", "uscc"), now=NOW)) == "ACCEPTED"


def rule(town, **changes):
    type_ = town.catalog["business-license"]
    ends = {"type": type_.code, "version": str(type_.version)}
    return {
        "id": "31-32-business-license",
        "from": {"province": "31", **ends},
        "to": {"province": "32", **ends},
        "relation": "exact",
        "conditions": [],
        "field_map": [{"from": "name", "to": "title"}, {"from": "uscc", "to": "uscc"}],
        "scenes": ["*"],
        "valid": {"from": "2026-01-01T00:00:00Z", "until": "2027-01-01T00:00:00Z"},
        **changes,
    }


def test_another_provinces_license_needs_a_rule(town: Town):
    held = town.hold("business-license")
    without = town.verifier(province="32").verify(held.show("name", "address"), now=NOW)
    assert reason_of(without) == "recognition.no_rule"
    assert without.facts is not None
    assert without.facts.licenses[0].fields["name"] == RECORDS["business-license"]["name"]
    town.consortium.set_rules([rule(town)], now=NOW)
    [license_] = town.verifier(province="32").verify(held.show("name", "address"), now=NOW).licenses
    assert dict(license_.local.fields) == {"title": RECORDS["business-license"]["name"]}
    assert license_.local.unmapped == ("address",)
    town.consortium.set_rules([rule(town, scenes=["hospital"])], now=NOW + SECOND)
    trust = town.publish(NOW + SECOND)
    again = town.verifier(province="32", trust=trust).verify(held.show("name"), now=NOW + SECOND)
    assert reason_of(again) == "recognition.no_rule"


def test_a_back_office_checks_content(town: Town):
    document = town.issue("business-license").document
    trust = town.publish()
    office = Verifier(
        trust=trust,
        policy=Policy.content(province="31"),
        status=StatusDirectory(town.directory / "status"),
        replay=MemoryGuard(started=NOW),
    )
    assert reason_of(office.verify(document, now=NOW)) == "ACCEPTED"


# --- every single bit ---------------------------------------------------------------------------------------


def flips(data: bytes):
    for bit in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        yield bit, bytes(flipped)


def test_no_flipped_bit_of_a_seal_is_accepted(town: Town):
    seal = town.issue("business-license", printed=SHEETS).printed[0].seal
    counter = town.verifier()
    prefix, data = text.decode(seal)
    for bit, flipped in flips(data):
        assert counter.verify(text.encode(prefix, flipped), now=NOW).outcome is not Outcome.ACCEPTED, bit
    assert reason_of(counter.verify(seal, now=NOW)) == "ACCEPTED"


def test_no_flipped_bit_of_a_presentation_is_accepted(town: Town):
    shown = town.hold("resident-id").show("name")
    counter = town.verifier()
    prefix, data = text.decode(shown)
    for bit, flipped in flips(data):
        assert counter.verify(text.encode(prefix, flipped), now=NOW).outcome is not Outcome.ACCEPTED, bit
    assert reason_of(counter.verify(shown, now=NOW)) == "ACCEPTED"  # and none of them spent it


def test_no_flipped_bit_of_a_document_is_accepted(town: Town):
    document = town.issue("social-security-card").document
    counter = town.verifier()
    for bit, flipped in flips(document.encode()):
        try:
            changed = flipped.decode("ascii")
        except UnicodeDecodeError:
            changed = flipped.decode("latin-1")
        assert counter.verify(changed, now=NOW).outcome is not Outcome.ACCEPTED, bit
    assert reason_of(counter.verify(document, now=NOW)) == "ACCEPTED"


def test_no_flipped_bit_of_a_key_bound_jwt_is_accepted(town: Town):
    held, asked = town.hold("social-security-card"), challenge(town)
    shown = held.show("name", nonce=asked.digest, json=True)
    counter = town.verifier()
    for bit, flipped in flips(shown.encode()):
        found = counter.verify(flipped.decode("latin-1"), now=NOW, answering=asked)
        assert found.outcome is not Outcome.ACCEPTED, bit
    assert reason_of(counter.verify(shown, now=NOW, answering=asked)) == "ACCEPTED"


# --- properties ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def standing(tmp_path_factory):
    town = Town(tmp_path_factory.mktemp("standing"))
    yield town
    town.close()


WORDS = st.text(
    st.characters(codec="utf-8", categories=("Lo", "Lu", "Ll", "Nd")), min_size=1, max_size=40
).filter(lambda found: found.strip() == found)


PERSONS = count()
"""Every example is another person: one has one ID card."""


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=WORDS,
    address=WORDS,
    sex=st.integers(min_value=1, max_value=9),
    chosen=st.sets(st.sampled_from(["name", "address", "resident_id", "born_on"])),
)
def test_any_record_comes_back_as_it_was_issued(standing, name, address, sex, chosen):
    born = (date(1950, 1, 1) + next(PERSONS) * DAY).isoformat()
    number = resident_number(born, sex=sex)
    try:
        issued = standing.issue(
            "resident-id",
            name=name,
            address=address,
            resident_id=number,
            born_on=born,
            sex="1" if sex % 2 else "2",
            printed=SHEETS,
        )
    except RecordError:
        return  # the text is not in its one exact form: intake would have said so
    held = standing.bind(issued)
    counter = standing.verifier()
    expected = {"name": name, "address": address, "resident_id": number}
    assert dict(counter.verify(issued.document, now=NOW).licenses[0].fields).items() >= expected.items()
    found = counter.verify(held.show(*chosen), now=NOW)
    assert dict(found.licenses[0].fields) == {key: issued.license.fields[key] for key in chosen}
    assert counter.verify(issued.printed[0].seal, now=NOW).outcome is Outcome.ACCEPTED


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.one_of(
        st.text(), st.binary(), st.from_regex(r"EW[LS][A-Z2-7]{0,300}", fullmatch=True), st.just("~" * 9)
    )
)
def test_nothing_scanned_raises_and_every_refusal_has_words(standing, scanned):
    if not hasattr(standing, "counter"):
        standing.counter = standing.verifier()
    found = standing.counter.verify(scanned, now=NOW)
    assert found.outcome is not Outcome.ACCEPTED
    assert REASONS[reason_of(found)].advice("zh")
