"""Passes, codes, challenges: made and read."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ewallet.code import passes, possession
from ewallet.code.authority import CodeAuthority, Event, renewal_due
from ewallet.code.challenge import Wanted, make_challenge, make_request, parse_question
from ewallet.code.delegation import Delegation
from ewallet.code.passes import (
    KINDS,
    LEVELS,
    PROFILE,
    Pass,
    check_code_audience,
    check_code_times,
    check_scene,
    hot_entry,
    parse_code,
    verify_holder,
    verify_pass,
)
from ewallet.code.rotating import assemble, audience_of, check_showing, prepare, show
from ewallet.errors import Malformed, NotAllowed, RecordError, Refused
from ewallet.formats import cose, sdcwt, text
from ewallet.keys import SigningKey
from ewallet.keys.der import write_signature
from ewallet.moments import seconds
from ewallet.trust import scenes
from ewallet.trust.scenes import builtin_scenes
from ewallet.wire import encode_cbor
from tests.office import NOW, VENUE, Office

SCENES = builtin_scenes()


def at(scene: str):
    return SCENES[scene].narrowed({"scene": scene, "venue": VENUE})


@pytest.fixture(scope="module", params=["ES256", "Ed25519", "SM2SM3"])
def office(request):
    return Office(suite=request.param)


@pytest.fixture(scope="module")
def city():
    return Office()


def reason(call, *args, **kwargs) -> str:
    with pytest.raises(Refused) as caught:
        call(*args, **kwargs)
    return caught.value.reason


def test_a_code_verifies_in_all_suites(office):
    ((made, key),) = office.passes(attributes={"resident": True, "masked_name": "张*"})
    code = parse_code(show(made, key, audience=VENUE, now=NOW, disclose=["resident"]))
    check_code_times(code, at("library"), now=NOW)
    check_code_audience(code, at("library"))
    facts = verify_pass(code, office.key.public_key, now=NOW)
    verify_holder(code, facts)
    check_scene(facts, at("library"), now=NOW)
    assert facts.attributes == {"resident": True}
    assert (facts.kind, facts.assurance, facts.scenes) == ("person", "substantial", {"library"})
    assert facts.hot_entry == facts.hot_entry[:9]


def test_names_of_kinds_and_levels_are_those_of_the_scenes():
    assert set(KINDS) == set(scenes.KINDS)
    assert tuple(LEVELS) == scenes.ASSURANCE


def test_the_code_of_one_scene_fits_520_characters(city):
    ((made, key),) = city.passes(scenes=["metro"])
    assert len(show(made, key, audience=audience_of(SCENES["metro"]), now=NOW)) <= 520
    assert len(show(made, key, audience=VENUE, now=NOW)) <= 520


def test_the_device_key_stays_on_its_device(city):
    ((made, key),) = city.passes()
    prepared = prepare(made, audience=VENUE, now=NOW)
    raw = key.sign(prepared.to_be_signed)
    der = write_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    assert assemble(prepared, raw) == assemble(prepared, der)
    other = SigningKey.generate()
    assert reason(assemble, prepared, other.sign(prepared.to_be_signed)) == "signature.holder"
    assert reason(show, made, other, audience=VENUE, now=NOW) == "signature.holder"


def test_the_fast_way_to_a_code_gives_the_same_bytes_to_sign(city):
    ((made, _),) = city.passes(attributes={"resident": True})
    slow = sdcwt.prepare(made.credential, audience=VENUE, now=NOW)
    assert prepare(made, audience=VENUE, now=NOW).to_be_signed == slow.to_be_signed


def test_passes_of_an_hour_are_alike_and_whole(city):
    early = city.passes(1, now=NOW)[0][0]
    late = city.passes(1, now=NOW + timedelta(minutes=30))[0][0]
    assert early.issued_at == late.issued_at == seconds(NOW) // 3600 * 3600
    assert early.ends_at == late.ends_at == early.issued_at + 24 * 3600
    assert not renewal_due([early], now=NOW)
    assert renewal_due([early], now=NOW + timedelta(hours=18))


def test_only_what_the_scenes_may_ask_for_is_carried(city):
    given = {"resident": True, "masked_name": "张*", "age_over_14": True}
    ((made, _),) = city.passes(attributes=given)
    assert made.attributes == {"resident": True, "age_over_14": True}


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({"scenes": []}, "scenes"),
        ({"scenes": ["moon"]}, "scenes"),
        ({"scenes": ["park", "library"]}, "scenes"),
        ({"kind": "enterprise"}, "kind"),
        ({"attributes": {"income": 1}}, "attributes"),
        ({"scenes": ["event"]}, "event"),
        (
            {
                "event": Event(
                    name="x",
                    start=NOW.replace(minute=0, second=0),
                    end=NOW.replace(hour=9, minute=0, second=0),
                )
            },
            "event",
        ),
    ],
)
def test_what_does_not_fit_is_not_issued(city, wanted, field):
    with pytest.raises(RecordError) as caught:
        city.passes(**wanted)
    assert caught.value.field == field


def test_proofs_must_hold(city):
    key, other = SigningKey.generate(), SigningKey.generate()
    nonce = city.authority.challenge(NOW)
    name = city.authority.name
    good = possession.prove(key, authority=name, nonce=nonce)

    def ask(public, proof, now=NOW, authority=city.authority):
        return authority.issue_passes(
            [(public, proof)], subject="p", kind="person", scenes=["library"], attributes={}, now=now
        )

    assert len(ask(key.public_key, good)) == 1
    assert reason(ask, other.public_key, good) == "signature.holder"
    assert reason(ask, key.public_key, bytes(32) + good[32:]) == "signature.holder"
    assert reason(ask, key.public_key, b"") == "signature.holder"
    assert reason(ask, key.public_key, nonce + b"junk") == "signature.holder"
    assert reason(ask, key.public_key, good, NOW + timedelta(minutes=11)) == "code.expired"
    elsewhere = CodeAuthority(signer=city.key, name="https://js.ewallet.example/a/codes")
    assert reason(ask, key.public_key, good, NOW, elsewhere) == "signature.holder"
    with pytest.raises(RecordError, match="twice"):
        city.authority.issue_passes(
            [(key.public_key, good)] * 2,
            subject="p", kind="person", scenes=["library"], attributes={}, now=NOW,
        )  # fmt: skip


def test_a_day_scene_spends_one_pseudonym_for_all_passes_of_the_day(city):
    made = [each for each, _ in city.passes(3, scenes=["park"])]
    entries = {each.entry for each in made}
    assert len(entries) == 1
    (entry,) = entries
    assert entry.event == "park"
    assert entry.end - entry.start == 86400
    assert made[0].ends_at == entry.end  # midnight in Shanghai
    ((tomorrow, _),) = city.passes(scenes=["park"], now=NOW + timedelta(days=1))
    ((somebody, _),) = city.passes(scenes=["park"], subject="p-2")
    assert len({entry.pseudonym, tomorrow.entry.pseudonym, somebody.entry.pseudonym}) == 3


def test_an_event_has_its_own_pseudonym(city):
    def opening(name):
        whole = NOW.replace(minute=0, second=0)
        return Event(name=name, start=whole, end=whole + timedelta(hours=6))

    ((one, key),) = city.passes(scenes=["event"], event=opening("a"))
    ((two, _),) = city.passes(scenes=["event"], event=opening("b"))
    assert one.entry.pseudonym != two.entry.pseudonym
    assert one.ends_at == one.entry.end
    facts = verify_pass(parse_code(show(one, key, audience=VENUE, now=NOW)), city.key.public_key, now=NOW)
    check_scene(facts, at("event"), now=NOW)
    assert reason(check_scene, facts, at("library"), now=NOW) == "policy.scene"


def test_a_guardian_shows_the_code_of_a_minor(city):
    delegation = Delegation(
        role="guardian",
        actor="p-9",
        subject_name="李*明",
        actor_name="李*",
        scenes=frozenset(("hospital",)),
        until=NOW + timedelta(hours=3),
    )
    wanted = {"kind": "minor", "delegation": delegation, "attributes": {"masked_name": "李*明"}}
    ((made, key),) = city.passes(scenes=["hospital"], **wanted)
    assert made.ends_at <= seconds(delegation.until)
    code = parse_code(show(made, key, audience=VENUE, now=NOW, disclose=["subject", "actor"]))
    facts = verify_pass(code, city.key.public_key, now=NOW)
    check_scene(facts, at("hospital"), now=NOW)
    assert (facts.kind, facts.acting.role) == ("minor", "guardian")
    assert (facts.subject_name, facts.actor_name) == ("李*明", "李*")
    with pytest.raises(RecordError, match="beyond"):
        city.passes(scenes=["library"], **wanted)
    with pytest.raises(RecordError, match="over"):
        city.passes(scenes=["hospital"], now=NOW + timedelta(hours=4), **wanted)


def test_suspension_and_a_lost_phone():
    city = Office()
    city.passes(2, phone="old")
    city.passes(1, phone="new")
    lost = city.authority.lose_phone("p-1", "old", now=NOW)
    assert len(lost) == 2
    hot = city.authority.hot_list(now=NOW)
    assert len(hot) == 64
    assert hot == sorted(hot)
    assert {text_id for text_id in lost if hot_entry(text_id) in hot} == set(lost)
    assert len(city.authority.suspend("p-1", now=NOW)) == 3
    with pytest.raises(NotAllowed):
        city.passes()
    city.authority.restore("p-1")
    assert len(city.passes()) == 1
    assert city.authority.ledger.forget(now=NOW + timedelta(days=2)) == 4
    assert city.authority.hot_list(now=NOW + timedelta(days=2)) == []


def test_times_and_audience(city):
    ((made, key),) = city.passes()
    code = parse_code(show(made, key, audience=VENUE, now=NOW))
    library = at("library")
    for offset, wanted in ((-10, None), (-11, "code.from_future"), (30, None), (31, "code.expired")):
        now = NOW + timedelta(seconds=offset)
        if wanted is None:
            check_code_times(code, library, now=now)
        else:
            assert reason(check_code_times, code, library, now=now) == wanted
    assert reason(show, made, key, audience=VENUE, now=NOW + timedelta(days=1)) == "pass.expired"
    end = NOW.replace(minute=59, second=55) + timedelta(hours=23)
    last = parse_code(show(made, key, audience=VENUE, now=end))
    assert reason(check_code_times, last, library, now=end + timedelta(seconds=5)) == "pass.expired"
    other = SCENES["library"].narrowed({"scene": "library", "venue": "https://sh.ewallet.example/v/2"})
    assert reason(check_code_audience, code, other) == "code.audience"
    assert reason(check_code_audience, code, library, cnonce=b"q" * 32) == "code.challenge"
    wide = parse_code(show(made, key, audience="library", now=NOW))
    check_code_audience(wide, library)
    strict = SCENES["library"].narrowed({"scene": "library", "venue": VENUE, "audience": "venue"})
    assert reason(check_code_audience, wide, strict) == "code.audience"


def test_a_wallet_shows_no_more_than_the_scene_allows(city):
    ((made, _),) = city.passes(
        scenes=["metro", "library"], attributes={"resident": True, "age_over_65": True}
    )
    check_showing(made, SCENES["library"], disclose=["resident"], now=NOW)
    assert reason(check_showing, made, SCENES["metro"], disclose=["resident"], now=NOW) == "policy.scene"
    assert reason(check_showing, made, SCENES["school"], disclose=[], now=NOW) == "policy.scene"
    assert reason(audience_of, SCENES["school"]) == "code.audience"
    later = NOW + timedelta(days=1)
    assert reason(check_showing, made, SCENES["metro"], disclose=[], now=later) == "pass.expired"


def test_a_scene_refuses_what_does_not_fit(city):
    ((made, key),) = city.passes(scenes=["library"], attributes={"resident": True}, assurance="low")
    facts = verify_pass(parse_code(show(made, key, audience=VENUE, now=NOW)), city.key.public_key, now=NOW)
    check_scene(facts, at("library"), now=NOW)
    strict = SCENES["library"].narrowed({"scene": "library", "venue": VENUE, "min_assurance": "substantial"})
    assert reason(check_scene, facts, strict, now=NOW) == "policy.assurance"
    demanding = SCENES["library"].narrowed({"scene": "library", "venue": VENUE, "demanded": ["resident"]})
    assert reason(check_scene, facts, demanding, now=NOW) == "policy.field_missing"
    shown = parse_code(show(made, key, audience=VENUE, now=NOW, disclose=["resident"]))
    more = verify_pass(shown, city.key.public_key, now=NOW)
    closed = SCENES["library"].narrowed({"scene": "library", "venue": VENUE, "attributes": []})
    assert reason(check_scene, more, closed, now=NOW) == "policy.scene"


def test_what_is_no_code_is_refused(city):
    ((made, key),) = city.passes()
    shown = show(made, key, audience=VENUE, now=NOW)
    assert reason(parse_code, "EWL" + shown[3:]) == "code.unreadable"
    assert reason(parse_code, text.encode(text.CODE, made.credential)) == "holder.binding_missing"
    assert reason(parse_code, shown.lower()) == "code.unreadable"
    assert reason(parse_code, shown + "A") in ("code.not_canonical", "credential.malformed")
    with pytest.raises(Malformed):
        Pass(b"\x00").parsed  # noqa: B018 - reading is what is tested


def test_questions_are_read_as_they_were_made():
    key = SigningKey.generate()
    asked = make_challenge(
        key, issuer="https://sh.ewallet.example/o/hotel", venue=VENUE, scene="hotel",
        attributes=["masked_name", "age_over_18"], now=NOW,
    )  # fmt: skip
    read = parse_question(asked.text)
    assert (read.is_request, read.cwt.digest) == (False, asked.digest)
    assert asked.exp - asked.iat == 60
    request = make_request(
        key, issuer="https://sh.ewallet.example/o/hotel", venue=VENUE, scene="hotel",
        licenses=[Wanted(types=("310101360000100",), fields=("name",))], now=NOW,
    )  # fmt: skip
    assert parse_question(request.text).is_request
    assert request.types == {"310101360000100"}
    assert request.attributes == frozenset()
    with pytest.raises(ValueError, match="at most"):
        make_challenge(key, issuer="i", venue=VENUE, scene="hotel", now=NOW, life=601)
    with pytest.raises(ValueError, match="names what it wants"):
        make_request(key, issuer="i", venue=VENUE, scene="hotel", licenses=[], now=NOW)
    assert reason(parse_question, "EWC" + asked.text[3:]) == "code.unreadable"


def test_the_mint_makes_what_the_general_encoder_makes(office):
    ((made, key),) = office.passes(
        scenes=["hospital"], attributes={"resident": True, "masked_name": "张*", "age_over_14": False}
    )
    parsed = made.parsed
    claims = dict(parsed.unverified_claims)
    carried = dict(made.attributes)
    again = sdcwt.issue(
        {name: value for name, value in claims.items() if name in (2, 4, 6) or isinstance(name, str)}
        | carried,
        disclosable=tuple(carried),
        signer=office.key,
        holder_key=made.device_key,
        vct=claims[11],
        compact=True,
    )
    other = sdcwt.parse(again, PROFILE)
    digests = [claim for claim in claims if type(claim) not in (int, str)]
    for claim, value in other.unverified_claims.items():
        if claim in digests:
            assert len(value) == len(claims[claim])
        else:
            assert claims[claim] == value
    assert other.sign1.protected == parsed.sign1.protected
    assert len(again) == len(made.credential)
    facts = verify_pass(
        parse_code(show(made, key, audience=VENUE, now=NOW, disclose=["resident"])),
        office.key.public_key,
        now=NOW,
    )
    assert facts.attributes == {"resident": True}


@pytest.mark.parametrize("position", range(6))
def test_a_header_read_before_saves_no_check(city, position):
    """A reader that has seen a pass answers for every further code as one that has not."""
    ((made, key),) = city.passes()
    shown = show(made, key, audience=VENUE, now=NOW)
    parse_code(shown)
    claims = {3: VENUE, 6: seconds(NOW)}
    payloads = (
        encode_cbor({**claims, 6: 70_000}),  # before its pass
        b"\xa2\x03" + encode_cbor(VENUE) + b"\x06\x1a\x00\x00\x00\x05",  # not the shortest form
        encode_cbor({**claims, 6: made.ends_at}),  # at the end of its pass
        encode_cbor({**claims, 4: seconds(NOW) + 9}),  # a claim that does not belong
        encode_cbor({**claims, 39: b"c" * 32}),
        encode_cbor(claims),
    )
    header = prepare(made, audience=VENUE, now=NOW).protected
    token = cose.assemble(header, payloads[position], key.sign(cose.signed_bytes(header, payloads[position])))
    answers = []
    for forget in (False, True):
        if forget:
            passes.forget_known()
        try:
            answers.append(dict(passes.parse_code_bytes(token).kbt.unverified_claims))
        except Refused as refused:
            answers.append(refused.reason)
    assert answers[0] == answers[1]
    assert (answers[0] in ("credential.malformed", "pass.expired")) is (position < 4)
