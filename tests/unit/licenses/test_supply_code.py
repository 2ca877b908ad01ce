"""Supply codes: made on the phone, read at the window, used for one case, and for nothing else."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from threading import Barrier
from time import sleep

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import event, update

from ewallet.errors import Refused
from ewallet.formats import text
from ewallet.formats.qr import matrix
from ewallet.keys import SigningKey
from ewallet.licenses import binding, tables
from ewallet.licenses.asking import Ask, Code, make_consent, read_consent, verify_statement
from ewallet.licenses.catalog import Catalog
from ewallet.licenses.render import Faces
from ewallet.licenses.sharing import LegalBasis, Supplier, Use, UseLog, use_of
from ewallet.licenses.supply_code import (
    MAX_LIFE,
    assemble,
    make_supply_code,
    parse_supply_code,
    prepare,
    read_supply_code,
)
from ewallet.moments import day_of
from ewallet.trust.entries import Service
from tests.agency import TWO
from tests.town import NOW, RECORDS, START, Town, uscc_number

LAW = LegalBasis(
    id="law", zh="示例条例", en="Example act", types=frozenset(("*",)), matters=frozenset(("*",))
)
BUSINESS = Catalog.builtin()["business-license"].code
PURPOSE = "办理示例事项"
SPENT = b"d" * 32


# --- made and read ------------------------------------------------------------------------------------------


def code(device=None, *, now=NOW, **changes) -> str:
    parts = {"authority": "https://sh.ewallet.example/a/market", "type": BUSINESS, **changes}
    return make_supply_code(device or SigningKey.generate(), now=now, **parts)


def reason(work) -> str:
    with pytest.raises(Refused) as refused:
        work()
    return refused.value.reason


@pytest.mark.parametrize("suite", ["ES256", "Ed25519", "SM2SM3"])
def test_a_phone_signs_what_was_prepared(suite):
    device = SigningKey.generate(suite)
    prepared = prepare(
        device.public_key,
        authority="https://a.example",
        type=BUSINESS,
        recipient="https://b.example",
        now=NOW,
    )
    shown = assemble(prepared, device.sign(prepared.to_be_signed))
    found = read_supply_code(shown, now=NOW)
    assert (found.authority, found.type, found.recipient) == (
        "https://a.example",
        BUSINESS,
        "https://b.example",
    )
    assert (found.key, found.exp - found.iat) == (device.public_key, 120)
    stranger = SigningKey.generate(suite)
    assert reason(lambda: assemble(prepared, stranger.sign(prepared.to_be_signed))) == "signature.holder"


def test_a_phone_whose_keystore_gives_der_signs_too():
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

    device = SigningKey.generate()
    prepared = prepare(device.public_key, authority="https://a.example", type=BUSINESS, now=NOW)
    raw = device.sign(prepared.to_be_signed)
    der = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    assert read_supply_code(assemble(prepared, der), now=NOW).key == device.public_key


def test_it_names_neither_license_nor_holder_and_is_new_each_time():
    device = SigningKey.generate()
    first, second = (parse_supply_code(code(device)).cwt for _ in range(2))
    assert set(first.unverified_claims) == {3, 4, 6, 8, "nonce", "type"}
    assert first.digest != second.digest


@pytest.mark.parametrize("life", [0, -1, MAX_LIFE + 1])
def test_a_life_beyond_five_minutes_is_not_made(life):
    with pytest.raises(ValueError, match="at most 300 seconds"):
        code(life=life)
    with pytest.raises(ValueError, match="authority and type"):
        code(type="")


def test_it_is_a_comfortable_picture():
    """The figures of docs/format.md."""
    plain, limited = code(), code(recipient="https://sh.ewallet.example/a/hall")
    assert (len(plain), len(limited)) == (427, 499)
    assert (len(matrix(plain)), len(matrix(limited))) == (61, 65)


def test_its_time_has_two_edges():
    device = SigningKey.generate()
    shown = code(device)
    assert read_supply_code(shown, now=NOW + timedelta(seconds=119))
    for seconds, expected in ((120, "code.expired"), (-61, "code.from_future")):
        later = NOW + timedelta(seconds=seconds)
        assert reason(lambda later=later: read_supply_code(shown, now=later)) == expected
    assert read_supply_code(shown, now=NOW - timedelta(seconds=60))


_FIXED = make_supply_code(
    SigningKey.generate(),
    authority="https://a.example",
    type=BUSINESS,
    recipient="https://b.example",
    now=NOW,
)


@given(st.integers(0, 8 * len(text.decode(_FIXED)[1]) - 1))
@settings(max_examples=300, deadline=None)
def test_no_changed_bit_is_read(bit):
    data = bytearray(text.decode(_FIXED)[1])
    data[bit // 8] ^= 1 << bit % 8
    with pytest.raises(Refused):
        read_supply_code(text.encode(text.SUPPLY, bytes(data)), now=NOW)


@given(st.text(max_size=600) | st.binary(min_size=1, max_size=400).map(lambda data: text.encode("EWU", data)))
@settings(max_examples=200, deadline=None)
def test_whatever_is_scanned_is_refused_and_nothing_else(scanned):
    with pytest.raises(Refused):
        read_supply_code(scanned, now=NOW)


# --- supplied -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    made = Town(tmp_path_factory.mktemp("town"))
    made.other = made.consortium.add_authority(
        "31", "other", names={"zh": "示例机构", "en": "Example"}, services=(Service.VERIFY,), now=START
    )
    made.held = made.hold("business-license")
    made.trust = made.publish()
    office = made.offices["31/market"]
    made.uses = UseLog(office.register)
    made.supplier = Supplier(issuer=office.issuer, faces=Faces.builtin(), uses=made.uses, bases={"law": LAW})
    yield made
    made.close()


def shown(town, held=None, *, now=NOW, **changes) -> str:
    parts = {"authority": town.offices["31/market"].listed.uri, **changes}
    return code((held or town.held).device, now=now, **parts)


def ask(town, scanned: str = "", **changes) -> Ask:
    given_ = Ask(
        code=scanned,
        recipient=town.verifying.uri,
        organization="示例政务大厅",
        operator="clerk-1",
        position="https://sh.ewallet.example/v/1",
        matter="M-1",
        matter_name="示例事项",
        case="C-1",
        purpose=PURPOSE,
        until=day_of(NOW) + timedelta(days=5),
    )
    return replace(given_, **changes)


def supply(town, asked: Ask, *, asker=None, now=NOW, trust=None):
    listed = asker or town.verifying
    key = listed.signer(Service.VERIFY).public_key
    lists = trust or town.trust
    keys = lists.keys(Service.VERIFY, kid=key.kid, iss=listed.uri)
    return town.supplier.supply(asked, keys, lists, now=now)


def hold(town, number: int, record: str = "business-license", *, now=START, **changes):
    return town.bind(
        town.issue(record, uscc=uscc_number(f"91310115MA1K1{number:04}"), now=now, **changes), now=now
    )


def test_a_code_fetches_the_license_of_its_device(town):
    found = supply(town, ask(town, shown(town)))
    assert found.code is Code.OK, found.detail
    said = verify_statement(found.statement, town.trust, recipient=town.verifying.uri, pdf=found.pdf, now=NOW)
    assert said.identifier == town.held.issued.license.identifier
    assert said.fields["name"] == RECORDS["business-license"]["name"]
    use = town.uses.uses(town.supplier.license_key(said.identifier))[0]
    assert (use.ground, use.case, use.recipient) == ("code", "C-1", town.verifying.uri)


@pytest.mark.parametrize(
    ("changes", "code_", "why"),
    [
        ({"authority": "https://js.ewallet.example/a/market"}, Code.NO_PERMISSION, "code.audience"),
        ({"recipient": "https://sh.ewallet.example/a/other"}, Code.NO_PERMISSION, "code.audience"),
        (
            {"type": Catalog.builtin()["food-business-permit"].code},
            Code.NO_PERMISSION,
            "holder.binding_missing",
        ),
        ({"type": "business-license"}, Code.UNKNOWN_TYPE, ""),
        ({"type": "nothing"}, Code.UNKNOWN_TYPE, ""),
        ({"now": NOW - timedelta(seconds=120)}, Code.NO_PERMISSION, "code.expired"),
        ({"now": NOW + timedelta(seconds=61)}, Code.NO_PERMISSION, "code.from_future"),
        ({"recipient": "https://sh.ewallet.example/a/hall"}, Code.OK, ""),
    ],
)
def test_a_code_is_good_for_what_it_says_only(town, changes, code_, why):
    found = supply(town, ask(town, shown(town, **changes)))
    assert (found.code, found.reason) == (code_, why), found.detail
    assert bool(found.pdf) is (code_ is Code.OK)


def test_another_key_fetches_nothing(town):
    stranger = code(SigningKey.generate())
    assert supply(town, ask(town, stranger)).reason == "holder.binding_missing"
    data = bytearray(text.decode(shown(town))[1])
    data[-1] ^= 1
    forged = supply(town, ask(town, text.encode("EWU", bytes(data))))
    assert (forged.code, forged.reason) == (Code.NO_PERMISSION, "signature.holder")


@pytest.mark.parametrize("scanned", ["EWU", "EWUAAAA", "EWCAAAA", "hello", "EWU" + "A" * 5000])
def test_what_is_no_supply_code_is_refused(town, scanned):
    found = supply(town, ask(town, scanned))
    assert found.code is Code.NO_PERMISSION
    assert found.reason


@pytest.mark.parametrize("name", ["type", "holder", "number", "region", "consent", "basis"])
def test_a_code_stands_alone(town, name):
    value = b"consent" if name == "consent" else "x"
    found = supply(town, ask(town, shown(town), **{name: value}))
    assert (found.code, found.detail) == (Code.FIELD_MISSING, f"code: or {name}, not both")


def test_a_code_is_spent_for_one_case_of_one_recipient(town):
    scanned = shown(town)
    first = ask(town, scanned)
    assert supply(town, first).code is Code.OK
    assert supply(town, first).code is Code.OK  # the answer was lost
    assert supply(town, replace(first, matter_name="示例 事项（二）")).code is Code.OK
    for changes in ({"case": "C-2"}, {"matter": "M-2"}, {"purpose": "别的"}):
        again = supply(town, replace(first, **changes))
        assert (again.code, again.reason) == (Code.NO_PERMISSION, "code.replayed"), changes
    elsewhere = supply(town, replace(first, recipient=town.other.uri), asker=town.other)
    assert (elsewhere.code, elsewhere.reason) == (Code.NO_PERMISSION, "code.replayed")
    later = supply(town, first, now=NOW + timedelta(seconds=120))
    assert later.reason == "code.expired"


def test_a_refused_use_spends_nothing(town):
    scanned = shown(town)
    assert supply(town, ask(town, scanned, until=day_of(NOW) - timedelta(days=1))).code is Code.FIELD_MISSING
    assert supply(town, ask(town, scanned, case="C-9")).code is Code.OK


def test_an_ended_binding_fetches_nothing(town):
    held = hold(town, 1)
    issuer = town.offices["31/market"].issuer
    assert supply(town, ask(town, shown(town, held))).code is Code.OK
    issuer.unbind(held.issued.license, held.device.public_key.thumbprint(), reason="lost phone", now=NOW)
    assert supply(town, ask(town, shown(town, held))).reason == "holder.binding_missing"


def test_an_amended_license_is_fetched_in_its_newest_version(town):
    held = hold(town, 2)
    issuer = town.offices["31/market"].issuer
    amended = issuer.amend(
        held.issued.license, {"address": "上海市浦东新区范例大道9号"}, reason="test", now=NOW
    )
    found = supply(town, ask(town, shown(town, held)))
    said = verify_statement(found.statement, town.trust, recipient=town.verifying.uri, pdf=found.pdf, now=NOW)
    assert said.identifier == amended.license.identifier


def test_one_key_for_two_licenses_of_a_type_is_not_guessed(town):
    issuer = town.offices["31/market"].issuer
    held = hold(town, 3)
    twin = town.issue("business-license", uscc=uscc_number("91310115MA1K10004"))
    proof = binding.prove(held.device, authority=issuer.authority.uri, nonce=issuer.challenge(START))
    issuer.bind(twin.license, 0, held.device.public_key, proof, now=START)
    found = supply(town, ask(town, shown(town, held)))
    assert (found.code, found.pdf) == (Code.NO_PERMISSION, b"")
    assert "several licenses" in found.detail
    issuer.revoke(twin.license, reason="test", case=TWO, now=NOW)  # one is left that lives: that one is meant
    found = supply(town, ask(town, shown(town, held)))
    assert found.code is Code.OK


def test_states_of_the_license_have_their_codes(town):
    held = hold(town, 5)
    issuer = town.offices["31/market"].issuer
    for act, expected in (
        (issuer.suspend, Code.RESTRICTED),
        (issuer.restore, Code.OK),
        (issuer.revoke, Code.CANCELLED),
    ):
        act(held.issued.license, reason="test", case=TWO, now=NOW)
        found = supply(town, ask(town, shown(town, held)))
        assert (found.code, bool(found.pdf)) == (expected, expected is Code.OK)


def test_a_license_past_its_last_day_is_expired_by_law_and_by_code(town):
    held = town.bind(
        town.issue("food-business-permit", issued_on="2026-03-01", valid_until="2026-03-05"), now=START
    )
    food = Catalog.builtin()["food-business-permit"].code
    by_law = {"type": "food-business-permit", "number": held.issued.license.number, "region": "31"}
    assert supply(town, ask(town, basis="law", **by_law)).code is Code.OK
    assert supply(town, ask(town, shown(town, held, type=food))).code is Code.OK
    after = NOW + timedelta(days=4)
    until, trust = day_of(after), town.publish(after)
    for asked in (
        ask(town, basis="law", until=until, **by_law),
        ask(town, shown(town, held, type=food, now=after), until=until),
    ):
        found = supply(town, asked, now=after, trust=trust)
        assert (found.code, found.pdf) == (Code.EXPIRED, b""), found.detail


def test_a_binding_past_its_time_fetches_nothing_while_the_license_lives(town):
    held = hold(town, 6)
    thumbprint = held.device.public_key.thumbprint()
    with town.offices["31/market"].register.writing() as connection:
        connection.execute(
            update(tables.device)
            .where(tables.device.c.thumbprint == thumbprint)
            .values(expires_at=int(NOW.timestamp()))
        )
    before = NOW - timedelta(seconds=1)
    assert supply(town, ask(town, shown(town, held, now=before)), now=before).code is Code.OK
    assert supply(town, ask(town, shown(town, held))).reason == "holder.binding_missing"


# --- used at one time ---------------------------------------------------------------------------------------


def use(identifier: str, case: str) -> Use:
    asked = Ask(
        code="EWU",
        recipient="https://sh.ewallet.example/a/hall",
        organization="o",
        operator="p",
        position="q",
        matter="M-1",
        matter_name="m",
        case=case,
        purpose=PURPOSE,
        until=day_of(NOW),
    )
    return use_of(asked, side="supplied", code=Code.OK, identifier=identifier, trust_version=1, now=NOW)


@pytest.mark.parametrize("cases", [("C-1", "C-2", "C-3", "C-4"), ("C-1", "C-1", "C-1", "C-1")])
def test_of_several_uses_at_one_time_one_case_passes(agency, register, cases):
    """Each waits long between looking and writing: without a lock all would pass."""
    identifier = agency.issue(n=1).license.identifier
    log, barrier = UseLog(register), Barrier(len(cases))

    @event.listens_for(register._engine, "before_cursor_execute")
    def slowly(connection, cursor, statement, *rest):
        if statement.startswith("INSERT INTO shared_use"):
            sleep(0.1)

    def one(case: str) -> str:
        barrier.wait()
        try:
            log.record(use(identifier, case), spent=SPENT)
        except Refused as refused:
            return refused.reason
        return "passed"

    with ThreadPoolExecutor(len(cases)) as pool:
        found = sorted(pool.map(one, cases))
    kept = [each.case for each in log.since(0)]
    assert len(set(kept)) == 1
    if len(set(cases)) > 1:
        assert (found, len(kept)) == (["code.replayed"] * 3 + ["passed"], 1)
    else:
        assert (found, len(kept)) == (["passed"] * 4, 4)


def test_a_consent_is_spent_in_the_same_way(town):
    consent = make_consent(
        town.held.device,
        identifier=town.held.issued.license.identifier,
        recipient=town.verifying.uri,
        matter="M-1",
        case="C-1",
        purpose=PURPOSE,
        now=NOW,
    )
    spent, identifier = read_consent(consent, now=NOW).digest, town.held.issued.license.identifier
    town.uses.record(use(identifier, "C-1"), spent=spent)
    with pytest.raises(Refused) as refused:
        town.uses.record(use(identifier, "C-2"), spent=spent)
    assert refused.value.reason == "code.replayed"
