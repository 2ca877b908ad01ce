"""Requests: asked within a grant, answered by several key-bound presentations, nothing beyond either."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ewallet.code.challenge import About, Wanted, check_question, own_question
from ewallet.errors import Malformed, Refused
from ewallet.formats.qr import qr_image, read_image
from ewallet.licenses.catalog import Catalog
from ewallet.reasons import Outcome
from ewallet.trust.entries import Grant, Service
from ewallet.verify.answering import Card, choices, in_words, respond
from ewallet.verify.coverage import cover
from ewallet.verify.explaining import decide_by_hand, explain
from ewallet.verify.matters import Matters
from ewallet.verify.requests import Shown, ask, asked_fields, fit, from_dcql, to_dcql, wanted_by
from ewallet.verify.result import Kind
from tests.town import BASE, NOW, VENUE, Town, reason_of

CATALOG = Catalog.builtin()
MATTERS = Matters.builtin(CATALOG)
BUSINESS, PERSON = CATALOG["business-license"].code, CATALOG["resident-id"].code
LATER = NOW + timedelta(seconds=5)
ABOUT = About(
    purpose="办理食品经营许可", organization="示例窗口3号", matter="food-business-permit", case="C-1"
)
TWO = (
    Wanted(types=(BUSINESS,), fields=("uscc", "name", "legal_representative")),
    Wanted(types=(PERSON,), fields=("name", "resident_id")),
)


class Counter:
    """A counter that asks, and a phone with two licenses and another person's."""

    def __init__(self, town: Town, scene: str = "counter") -> None:
        self.town = town
        company, person, mother = town.hold("business-license"), town.hold("resident-id"), town.hold("mother")
        self.trust = town.publish()
        self.verifier = town.verifier(scene, trust=self.trust)
        self.held = {"company": company, "person": person, "mother": mother}
        self.cards = [Card.read(each.sd_cwt, each.device) for each in (company, person)]

    def ask(self, licenses=TWO, about=ABOUT, **parts):
        signer = self.town.verifying.signer(Service.VERIFY)
        parts.setdefault("scene", self.verifier.policy.scene)
        return ask(
            signer,
            self.trust,
            issuer=self.town.verifying.uri,
            licenses=licenses,
            about=about,
            now=NOW,
            **parts,
        )

    def checked(self, request):
        return check_question(request.text, self.trust, now=LATER)

    def shown(self, request, *, nonce=None, audience=VENUE, **fields):
        """Presentations by hand: holder -> fields."""
        return [
            self.held[key].show(*names, nonce=nonce or request.digest, audience=audience, now=LATER)
            for key, names in fields.items()
        ]

    def verify(self, answer, request):
        return self.verifier.verify(answer, now=LATER, answering=request)


@pytest.fixture
def counter(town: Town) -> Counter:
    return Counter(town)


def test_a_request_is_shown_read_chosen_and_answered(counter: Counter):
    request = counter.ask()
    [scanned] = read_image(qr_image(request.text))
    asked = check_question(scanned, counter.trust, now=LATER)
    words = "\n".join(in_words(asked, CATALOG, "zh"))
    for part in (
        "示例政务大厅",
        "综合窗口",
        "办理食品经营许可",
        "示例窗口3号",
        "C-1",
        "营业执照",
        "法定代表人",
    ):
        assert part in words
    assert "Business license: Unified social credit code" in "\n".join(in_words(asked, CATALOG, "en"))
    offered = choices(asked, counter.cards)
    answer = respond(asked, [each.cards[0] for each in offered], now=LATER)
    found = counter.verify(answer, request)
    assert found.outcome is Outcome.ACCEPTED
    assert [each.type for each in found.licenses] == [BUSINESS, PERSON]
    assert [set(each.fields) for each in found.licenses] == [set(TWO[0].fields), set(TWO[1].fields)]
    assert found.kind is Kind.PRESENTATION
    assert [check.step for check in found.checks] == sorted({check.step for check in found.checks})
    assert reason_of(counter.verify(answer, request)) == "code.replayed"


def test_the_json_twin_answers_too_and_order_does_not_matter(counter: Counter):
    request = counter.ask()
    asked = counter.checked(request)
    cards = [Card.read(counter.held[key].sd_jwt, counter.held[key].device) for key in ("company", "person")]
    lines = respond(asked, cards, now=LATER).split("\n")
    assert counter.verify([lines[1], lines[0]], request).outcome is Outcome.ACCEPTED


def test_what_the_wallet_does_not_have_is_not_offered(counter: Counter):
    asked = counter.checked(
        counter.ask([Wanted(types=(CATALOG["disability-card"].code,), fields=("grade",))])
    )
    assert choices(asked, counter.cards)[0].cards == ()
    with pytest.raises(ValueError, match="one card for each"):
        respond(asked, [], now=LATER)
    with pytest.raises(ValueError, match="does not have what is asked"):
        respond(asked, [counter.cards[0]], now=LATER)
    with pytest.raises(Refused, match=r"code\.expired"):
        respond(asked, counter.cards[:1], now=NOW + timedelta(minutes=11))


# --- nothing beyond the request -----------------------------------------------------------------------------


def test_more_than_was_asked_for_is_refused_and_not_kept(counter: Counter):
    request = counter.ask()
    answer = counter.shown(
        request, company=["uscc", "name", "legal_representative", "address"], person=["name", "resident_id"]
    )
    found = counter.verify(answer, request)
    assert reason_of(found) == "policy.scene"
    assert found.facts is not None
    assert all("address" not in each.fields for each in found.facts.licenses)


@pytest.mark.parametrize("extra", ["identifier", "version", "face_digest", "holder_1"])
def test_even_what_is_no_face_field(counter: Counter, extra):
    request = counter.ask(TWO[1:])
    found = counter.verify(counter.shown(request, person=["name", "resident_id", extra]), request)
    assert reason_of(found) == "policy.scene"
    assert found.facts is not None
    assert (found.facts.licenses[0].identifier, found.facts.licenses[0].version) == ("", None)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"company": ["uscc", "name", "legal_representative"]}, "policy.type"),
        ({"company": ["uscc", "name"], "person": ["name", "resident_id"]}, "policy.field_missing"),
        ({"person": ["name", "resident_id"], "mother": ["name", "resident_id"]}, "policy.type"),
        (
            {
                "company": ["uscc", "name", "legal_representative"],
                "person": ["name", "resident_id"],
                "mother": ["name", "resident_id"],
            },
            "policy.type",
        ),
    ],
)
def test_less_or_other_licenses_than_were_asked_for(counter: Counter, fields, reason):
    request = counter.ask()
    assert reason_of(counter.verify(counter.shown(request, **fields), request)) == reason


def test_a_type_nobody_asked_for_tells_nothing(counter: Counter):
    request = counter.ask(TWO[:1])
    found = counter.verify(counter.shown(request, mother=["name", "resident_id"]), request)
    assert reason_of(found) == "policy.type"
    assert found.facts is not None
    assert not found.facts.licenses[0].fields


def test_an_answer_to_another_request_or_for_another_place(counter: Counter):
    request, other = counter.ask(), counter.ask()
    shown = {"company": list(TWO[0].fields), "person": list(TWO[1].fields)}
    mixed = [*counter.shown(request, **shown)[:1], *counter.shown(other, **shown)[1:]]
    assert reason_of(counter.verify(mixed, request)) == "code.challenge"
    elsewhere = counter.shown(request, audience="https://sh.ewallet.example/v/2", **shown)
    assert reason_of(counter.verify(elsewhere, request)) == "code.audience"
    # nothing of all that used the request up, and one good answer does
    assert counter.verify(counter.shown(request, **shown), request).outcome is Outcome.ACCEPTED


def test_documents_and_repetitions_answer_nothing(counter: Counter):
    request = counter.ask(TWO[:1])
    document = counter.held["company"].issued.document
    refused = counter.verify(document, request)
    assert (reason_of(refused), refused.facts) == ("holder.binding_missing", None)
    [one] = counter.shown(request, company=TWO[0].fields)
    assert reason_of(counter.verify([one, one], request)) == "code.unreadable"
    assert reason_of(counter.verify([], request)) == "code.unreadable"
    with pytest.raises(TypeError):
        counter.verify([1], request)  # type: ignore[list-item]
    late = counter.verifier.verify(one, now=NOW + timedelta(minutes=2), answering=request)
    assert reason_of(late) == "code.challenge"


# --- nothing beyond the grant -------------------------------------------------------------------------------


def hotel(town: Town, **grant):
    wide = {"scenes": frozenset(("counter",)), "venues": frozenset((VENUE,)), "types": frozenset((PERSON,))}
    return town.consortium.add_authority(
        "31",
        "hotel",
        names={"zh": "示例旅馆", "en": "Example hotel"},
        services=(Service.VERIFY,),
        grant=Grant(**{**wide, **grant}, regions=frozenset(("31",)), start=0),
        now=NOW - timedelta(hours=1),
    )


def test_a_social_verifier_asks_within_its_grant_only(town: Town):
    listed = hotel(town)
    counter = Counter(town)
    signer = listed.signer(Service.VERIFY)
    asked = {"issuer": listed.uri, "scene": counter.verifier.policy.scene, "about": ABOUT, "now": NOW}
    request = ask(signer, counter.trust, licenses=TWO[1:], **asked)
    found = counter.verify(counter.shown(request, person=TWO[1].fields), request)
    assert found.outcome is Outcome.ACCEPTED
    with pytest.raises(Refused, match=r"verifier\.not_granted"):
        ask(signer, counter.trust, licenses=TWO, **asked)
    elsewhere = {
        **asked,
        "scene": replace(counter.verifier.policy.scene, venue="https://sh.ewallet.example/v/9"),
    }
    with pytest.raises(Refused, match=r"verifier\.not_granted"):
        ask(signer, counter.trust, licenses=TWO[1:], **elsewhere)
    with pytest.raises(Refused, match=r"verifier\.unknown"):
        ask(
            signer,
            counter.trust,
            licenses=TWO[1:],
            **{**asked, "issuer": "https://sh.ewallet.example/a/nobody"},
        )


def test_the_scene_bounds_what_may_be_asked(counter: Counter):
    narrow = replace(counter.verifier.policy.scene, types=frozenset((PERSON,)))
    with pytest.raises(Refused, match=r"verifier\.not_granted"):
        counter.ask(scene=narrow)


def test_an_answer_is_not_accepted_after_the_grant_ended(town: Town):
    listed = hotel(town)
    counter = Counter(town)
    request = ask(
        listed.signer(Service.VERIFY),
        counter.trust,
        issuer=listed.uri,
        scene=counter.verifier.policy.scene,
        licenses=TWO[1:],
        about=ABOUT,
        now=NOW,
    )
    answer = counter.shown(request, person=TWO[1].fields)
    town.consortium.withdraw(listed.uri, Service.VERIFY, now=NOW)
    trust = town.publish(NOW + timedelta(seconds=1))
    found = town.verifier(trust=trust).verify(answer, now=LATER, answering=request)
    assert reason_of(found) == "verifier.unknown"


def test_a_request_says_what_it_is_for(counter: Counter):
    with pytest.raises(ValueError, match="what it is for"):
        counter.ask(about=About(case="C-1"))
    with pytest.raises(ValueError, match="printable"):
        About(purpose="two\nlines")
    with pytest.raises(ValueError, match="printable"):
        About(purpose="x" * 201)
    request = counter.ask()
    key = counter.town.verifying.signer(Service.VERIFY).public_key
    assert own_question(request.text, key) == request


# --- DCQL ---------------------------------------------------------------------------------------------------


def test_a_request_is_a_dcql_query_and_back():
    query = to_dcql(TWO, CATALOG, base=BASE)
    first = query["credentials"][0]
    assert first["format"] == "dc+sd-jwt"
    assert first["meta"]["vct_values"] == [f"{BASE}/vct/{BUSINESS}/1"]
    assert first["claims"][0] == {"path": ["uscc"]}
    assert from_dcql(query, CATALOG) == TWO


def good():
    return to_dcql(TWO, CATALOG, base=BASE)


def changed(**members):
    query = good()
    query["credentials"][0].update(members)
    return query


WRONG = {
    "no object": [],
    "empty": {"credentials": []},
    "sets of credentials are not understood": {**good(), "credential_sets": []},
    "another format": changed(format="mso_mdoc"),
    "an id twice": changed(id="license_2"),
    "an id of another form": changed(id="a b"),
    "an option that is not understood": changed(multiple=True),
    "no types": changed(meta={"vct_values": []}),
    "an unknown type": changed(meta={"vct_values": [f"{BASE}/vct/000000000000000/1"]}),
    "no name of a type": changed(meta={"vct_values": ["x"]}),
    "no claims": changed(claims=[]),
    "a field that the type does not have": changed(claims=[{"path": ["nose"]}]),
    "a deeper path": changed(claims=[{"path": ["name", 0]}]),
    "values": changed(claims=[{"path": ["name"], "values": ["x"]}]),
    "a field twice": changed(claims=[{"path": ["name"]}, {"path": ["name"]}]),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_query_beyond_the_profile_is_refused_not_skipped(name):
    with pytest.raises(Malformed):
        from_dcql(WRONG[name], CATALOG)


# --- matters as requests ------------------------------------------------------------------------------------


def test_a_matter_asks_once_for_all_that_covers_it(counter: Counter):
    matter = MATTERS["open-restaurant"]
    wanted = wanted_by(matter)
    assert [each.types for each in wanted] == [(BUSINESS,), (PERSON,)]
    request = counter.ask(wanted, ABOUT)
    asked = counter.checked(request)
    answer = respond(asked, [each.cards[0] for each in choices(asked, counter.cards)], now=LATER)
    found = cover(matter, [counter.verify(answer, request)], now=LATER)
    assert len(found.covered) == 3
    assert not [each for each in found.needed if each.material.types]
    assert all(each.value for each in found.form)


def test_mothers_and_fathers_cards_are_two_wishes():
    wanted = wanted_by(MATTERS["newborn"])
    assert [each.types for each in wanted].count((PERSON,)) == 2


# --- properties ---------------------------------------------------------------------------------------------

FIELDS = st.sets(st.sampled_from("abc"), min_size=1).map(lambda found: tuple(sorted(found)))
WISH = st.builds(
    Wanted, types=st.sets(st.sampled_from("XYZ"), min_size=1).map(lambda s: tuple(sorted(s))), fields=FIELDS
)


@given(st.lists(WISH, min_size=1, max_size=4), st.randoms())
def test_what_answers_each_wish_exactly_fits_in_any_order(wishes, random):
    answers = [Shown(type=random.choice(wish.types), disclosed=frozenset(wish.fields)) for wish in wishes]
    random.shuffle(answers)
    fit(wishes, answers)
    with pytest.raises(Refused):
        fit(wishes, answers[1:])
    with pytest.raises(Refused):
        fit(wishes, [*answers, answers[0]])


@given(
    st.lists(WISH, min_size=1, max_size=3),
    st.lists(
        st.builds(Shown, type=st.sampled_from("XYZW"), disclosed=st.frozensets(st.sampled_from("abcd")))
    ),
)
def test_what_fits_discloses_nothing_that_was_not_asked_for(wishes, answers):
    try:
        fit(wishes, answers)
    except Refused:
        return  # which reason: the tests above
    assert len(answers) == len(wishes)
    for each in answers:
        assert each.disclosed <= asked_fields(wishes, each.type)


# --- in words, and by hand ----------------------------------------------------------------------------------


def test_every_answer_is_explained_with_one_next_step(counter: Counter):
    good_ = counter.verifier.verify(counter.held["person"].show("name"), now=NOW)
    assert str(explain(good_, "zh")) == "通过 · 核验通过。 → 可以办理。"
    document = counter.verifier.verify(counter.held["person"].issued.document, now=NOW)
    assert "Content only" in explain(document, "en").next_step
    bad = counter.verifier.verify("EWL", now=NOW)
    assert explain(bad, "en").outcome == "Rejected"
    assert explain(bad, "zh").layers == (("真实", "否"), ("有效", "未核验"), ("此处可用", "未核验"))
    with pytest.raises(ValueError, match="zh or en"):
        explain(bad, "fr")


def test_a_decision_by_hand_never_turns_green(counter: Counter):
    stale = counter.verifier.verify(counter.held["person"].issued.document, now=NOW + timedelta(days=3))
    assert stale.outcome is Outcome.UNDECIDED
    decided = decide_by_hand(stale, go_ahead=True, reason="纸质原件已核对", officer="officer-1", now=NOW)
    assert decided.outcome is Outcome.UNDECIDED
    assert decided.go_ahead
    fine = counter.verifier.verify(counter.held["person"].show("name"), now=NOW)
    bad = counter.verifier.verify("EWL", now=NOW)
    for other in (fine, bad):
        with pytest.raises(ValueError, match="could not be decided"):
            decide_by_hand(other, go_ahead=True, reason="x", officer="officer-1", now=NOW)
    for parts in (
        {"reason": " "},
        {"officer": ""},
        {"reason": "x" * 501},
        {"reason": "—"},
        {"officer": "a\nb"},
    ):
        given_ = {"reason": "x", "officer": "officer-1", **parts}
        with pytest.raises(ValueError, match=f"^{next(iter(parts))}:"):
            decide_by_hand(stale, go_ahead=True, **given_, now=NOW)
