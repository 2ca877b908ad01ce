"""The decision: windows, states, compromise and proof, the brake, verifiers, notices, hot list."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ewallet.errors import Refused
from ewallet.moments import seconds
from ewallet.trust.entries import Entity, Grant, Service
from ewallet.trust.statements import make_statement
from tests.province import AREAS, DAY, HOUR, START, Signed, World, decide, new_key


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    made.authority("31", "market")
    made.authority("31", "archive")
    made.authority("32", "archive")
    return made


@pytest.fixture
def market(world):
    return world.authorities["31", "market"]


def signed(market, at=START):
    return Signed(market, Service.LICENSES, at, area="310115")


def test_a_granted_key_signs_in_its_window_only(world, market):
    world.publish()
    trust = world.trust()
    assert decide(trust, signed(market), START) == ""
    assert decide(trust, signed(market, START - timedelta(seconds=1)), START) == "issuer.key_not_valid_then"


def test_rotation_keeps_what_the_old_key_signed(world, market):
    old = signed(market)
    world.consortium.rotate_key(market.uri, Service.LICENSES, now=START + HOUR)
    world.publish(at=START + HOUR)
    trust = world.trust()
    assert decide(trust, old, world.now) == ""
    assert decide(trust, signed(market, START + HOUR), world.now) == ""
    old.at = START + HOUR  # the old key goes on signing
    assert decide(trust, old, world.now) == "issuer.key_not_valid_then"


def test_suspension_blocks_now_and_history_stays(world, market):
    before = signed(market)
    world.consortium.suspend(market.uri, Service.LICENSES, now=START + HOUR)
    world.publish(at=START + HOUR)
    assert decide(world.trust(), before, world.now) == "issuer.suspended"
    world.consortium.restore(market.uri, Service.LICENSES, now=START + 2 * HOUR)
    world.publish(at=START + 2 * HOUR)
    trust = world.trust()
    assert decide(trust, before, world.now) == ""
    listed = trust.keys(Service.LICENSES, kid=before.key.kid)[0]
    assert [state.status.value for state in listed.states] == ["granted", "suspended", "granted"]


def test_withdrawal_closes_the_future_only(world, market):
    before = signed(market)
    world.consortium.withdraw(market.uri, Service.LICENSES, now=START + HOUR)
    world.publish(at=START + HOUR)
    trust = world.trust()
    assert decide(trust, before, world.now) == ""
    assert decide(trust, signed(market, START + HOUR), world.now) == "issuer.withdrawn"


def test_withdrawal_with_backdating_to_be_feared_needs_proof(world, market):
    proven, unproven = signed(market), signed(market)
    proven.prove(world.authorities["32", "archive"], START + timedelta(minutes=1))
    world.consortium.withdraw(market.uri, Service.LICENSES, now=START + HOUR, proof_needed=True)
    world.publish(at=START + HOUR)
    trust = world.trust()
    assert decide(trust, proven, world.now) == ""
    assert decide(trust, unproven, world.now) == "issuer.proof_missing"


class TestCompromise:
    @pytest.fixture
    def compromised(self, world, market):
        self.genuine = signed(market)
        world.consortium.compromise(
            market.uri,
            Service.LICENSES,
            kid=self.genuine.key.kid,
            since=START + 2 * DAY,
            now=START + 3 * DAY,
        )
        world.publish(at=START + 3 * DAY)
        return world

    def test_nothing_counts_without_proof(self, compromised):
        assert decide(compromised.trust(), self.genuine, compromised.now) == "issuer.proof_missing"

    @pytest.mark.parametrize(
        ("made", "reason"),
        [
            (START + HOUR, ""),
            (START + 2 * DAY - timedelta(seconds=1), ""),
            (START + 2 * DAY, "issuer.proof_missing"),
            (START + 2 * DAY + HOUR, "issuer.proof_missing"),
        ],
        ids=["long before", "just before", "at that second", "after"],
    )
    def test_a_statement_counts_from_before_only(self, compromised, made, reason):
        self.genuine.prove(compromised.authorities["32", "archive"], made)
        assert decide(compromised.trust(), self.genuine, compromised.now) == reason

    def test_the_witness_is_another_entity(self, compromised):
        self.genuine.prove(compromised.authorities["31", "market"], START + HOUR)
        assert decide(compromised.trust(), self.genuine, compromised.now) == "issuer.proof_missing"
        self.genuine.prove(compromised.authorities["31", "archive"], START + HOUR)
        assert decide(compromised.trust(), self.genuine, compromised.now) == ""

    def test_a_statement_about_another_license_proves_nothing(self, compromised):
        other = signed(compromised.authorities["31", "market"], START + timedelta(minutes=5))
        other.key = self.genuine.key
        other.prove(compromised.authorities["32", "archive"], START + HOUR)
        self.genuine.proofs = other.proofs
        assert decide(compromised.trust(), self.genuine, compromised.now) == "issuer.proof_missing"

    def test_a_license_key_makes_no_statement(self, compromised):
        witness = compromised.authorities["32", "archive"]
        self.genuine.proofs = [
            make_statement(
                self.genuine.digest,
                signer=witness.signer(Service.LICENSES),
                iss=witness.uri,
                now=START + HOUR,
            ),
            b"\xd2\x84",
        ]
        assert decide(compromised.trust(), self.genuine, compromised.now) == "issuer.proof_missing"

    def test_a_compromised_witness_proves_nothing(self, compromised):
        witness = compromised.authorities["32", "archive"]
        self.genuine.prove(witness, START + HOUR)
        compromised.consortium.compromise(
            witness.uri,
            Service.REGISTER,
            kid=witness.signer(Service.REGISTER).public_key.kid,
            since=START + 2 * DAY,
            now=START + 3 * DAY,
        )
        compromised.publish(at=START + 3 * DAY + HOUR)
        assert decide(compromised.trust(), self.genuine, compromised.now) == "issuer.proof_missing"

    def test_backdated_after_the_theft(self, compromised):
        self.genuine.at = START + 2 * DAY + HOUR
        self.genuine.prove(compromised.authorities["32", "archive"], START + HOUR)
        assert decide(compromised.trust(), self.genuine, compromised.now) == "issuer.key_not_valid_then"


@pytest.mark.parametrize(
    "target",
    [
        {"entity": "https://sh.ewallet.example/a/market"},
        {"province": "31"},
        {"province": "31", "service": "licenses"},
        {"type": "310100717000200"},
        {"entity": "https://sh.ewallet.example/a/market", "type": "310100717000200"},
    ],
    ids="+".join,
)
def test_the_brake_stops_its_target_for_a_week_at_most(world, market, target):
    other = Signed(
        world.authorities["32", "archive"], Service.LICENSES, START, area=AREAS["32"], type_code="another"
    )
    world.consortium.brake(target, reason="exercise", now=START, until=START + 30 * DAY)
    world.publish()
    trust = world.trust()
    assert decide(trust, signed(market), START) == "issuer.suspended"
    assert decide(trust, other, START) == ""
    world.renew(at=START + 7 * DAY)
    assert decide(world.trust(), signed(market), world.now) == ""  # it ends by itself


def test_the_brake_stops_one_key(world, market):
    thumbprint = market.signer(Service.LICENSES).public_key.thumbprint().hex()
    world.consortium.brake({"key": thumbprint}, reason="exercise", now=START)
    world.publish()
    trust = world.trust()
    assert decide(trust, signed(market), START) == "issuer.suspended"
    assert len(trust.brakes(START)) == 1


def test_a_suspension_of_the_consortium_lasts_until_lifted(world, market):
    from ewallet.trust.authoring import suspension

    entry = suspension({"entity": market.uri}, reason="exercise", now=START, until=None)
    world.consortium.set_suspensions([entry], now=START)
    world.publish()
    world.renew(at=START + 20 * DAY)
    assert decide(world.trust(), signed(market), world.now) == "issuer.suspended"
    world.consortium.set_suspensions([], now=world.now)
    world.publish()
    assert decide(world.trust(), signed(market), world.now) == ""


def test_a_license_is_never_decided_without_type_and_region(world, market):
    world.publish()
    trust = world.trust()
    listed = trust.keys(Service.LICENSES, kid=signed(market).key.kid)[0]
    with pytest.raises(ValueError, match="type and region"):
        trust.decide(listed, signed_at=START, now=START)


@pytest.mark.parametrize(
    ("iss", "key", "reason"),
    [
        ("https://sh.ewallet.example/a/market", None, "issuer.key_unknown"),
        ("https://sh.ewallet.example/a/nobody", None, "issuer.unknown"),
        ("https://sh.ewallet.example/a/archive", "market", "issuer.key_unknown"),
    ],
)
def test_who_signed_is_looked_up_within_its_owner(world, iss, key, reason):
    world.publish()
    signer = world.authorities["31", key].signer(Service.LICENSES) if key else new_key()
    with pytest.raises(Refused) as caught:
        world.trust().require(Service.LICENSES, kid=signer.public_key.kid, iss=iss, now=START)
    assert caught.value.reason == reason


def test_absence_proves_nothing_while_a_list_cannot_be_read(world):
    world.rewrite_list("33", lambda document: document.pop("ListAndSchemeInformation"))
    world.publish()
    trust = world.trust()
    with pytest.raises(Refused) as caught:
        trust.require(Service.LICENSES, kid=b"\0" * 8, iss="https://zj.ewallet.example/a/x", now=START)
    assert caught.value.reason == "trust.invalid"
    assert trust.provinces["33"].fault == "trust.invalid"


class TestVerifiers:
    VENUE = "https://sh.ewallet.example/v/library"

    @pytest.fixture
    def trust(self, world):
        grant = Grant(
            types=frozenset(("t1",)),
            regions=frozenset(("31",)),
            scenes=frozenset(("library",)),
            attributes=frozenset(("age_over_14",)),
            venues=frozenset((self.VENUE,)),
            start=seconds(START),
        )
        world.authority("31", "library", services=(Service.VERIFY,), grant=grant)
        world.publish()
        return world.trust()

    def ask(self, trust, world, **asked):
        library = world.authorities["31", "library"]
        kid = library.signer(Service.VERIFY).public_key.kid
        listed = trust.verifier_key(kid=kid, iss=library.uri, now=START)[0]
        try:
            trust.decide_verifier(listed, now=START, **{"venue": self.VENUE, "scene": "library", **asked})
        except Refused as refusal:
            return refusal.reason
        return ""

    @pytest.mark.parametrize(
        ("asked", "reason"),
        [
            ({"attributes": ["age_over_14"], "types": ["t1"]}, ""),
            ({"attributes": ["age_over_14", "masked_name"]}, "verifier.not_granted"),
            ({"scene": "hotel"}, "verifier.not_granted"),
            ({"venue": "https://sh.ewallet.example/v/bar"}, "verifier.not_granted"),
            ({"types": ["t2"]}, "verifier.not_granted"),
        ],
    )
    def test_may_ask_within_its_grant(self, trust, world, asked, reason):
        assert self.ask(trust, world, **asked) == reason

    def test_an_unlisted_asker(self, trust):
        with pytest.raises(Refused) as caught:
            trust.verifier_key(kid=b"12345678", iss="https://sh.ewallet.example/a/library", now=START)
        assert caught.value.reason == "verifier.unknown"


def test_code_authorities_are_bound_to_scenes_and_assurance(world):
    grant = Grant(
        regions=frozenset(("31",)),
        scenes=frozenset(("metro",)),
        assurance="substantial",
        start=seconds(START),
    )
    codes = world.authority("31", "codes", services=(Service.CODES,), grant=grant)
    world.publish()
    trust = world.trust()
    listed = trust.require(Service.CODES, kid=codes.signer(Service.CODES).public_key.kid, now=START)[0]
    trust.decide(listed, signed_at=START, now=START, scene="metro", assurance="low")
    for beyond in ({"scene": "hotel"}, {"assurance": "high"}):
        with pytest.raises(Refused) as caught:
            trust.decide(listed, signed_at=START, now=START, **beyond)
        assert caught.value.reason == "issuer.service"


def test_notices_of_the_own_province_only(world):
    own, foreign = "https://sh.ewallet.example/status/market/1", "https://js.ewallet.example/status/x/1"
    world.consortium.notice("31", uri=own, idx=7, kind="objection", field="address", now=START)
    world.consortium.notice("31", uri=foreign, idx=7, kind="objection", field="address", now=START)
    world.publish()
    trust = world.trust()
    (notice,) = trust.notices(own, 7)
    assert (notice.kind, notice.field, notice.since) == ("objection", "address", START)
    assert trust.notices(own, 8) == trust.notices(foreign, 7) == ()


def test_the_hot_list_is_padded_and_ends(world):
    revoked = bytes(16)
    world.consortium.set_hot("31", [revoked], now=START)
    world.publish()
    trust = world.trust()
    hot = trust.hot("31", START)
    assert revoked in hot
    assert b"\1" * 16 not in hot
    assert len(hot.passes) == 64
    assert trust.hot("31", START + 36 * HOUR) is None
    assert trust.hot("31", START + 2 * HOUR, max_age=3600) is None
    assert trust.hot("99", START) is None


@pytest.mark.parametrize(
    ("uri", "owned"),
    [
        ("https://sh.ewallet.example/status/market/1", True),
        ("https://sh.ewallet.example/status/marketing/1", False),
        ("https://sh.ewallet.example/status/market/../other/1", False),
        ("https://sh.ewallet.example/status/market/%2e%2e/1", False),
        ("https://sh.ewallet.example/status/market//1", False),
        ("https://sh.ewallet.example/status/market/1?x=1", False),
        ("http://sh.ewallet.example/status/market/1", False),
        ("https://sh.ewallet.example@evil.example/status/market/1", False),
        ("https://sh.ewallet.example/status/market", False),
    ],
)
def test_status_lists_live_under_their_owner(uri, owned):
    entity = Entity(
        uri="https://sh.ewallet.example/a/market",
        names={},
        province="31",
        uscc="",
        status_prefixes=("https://sh.ewallet.example/status/market/",),
    )
    assert entity.owns_status(uri) is owned
