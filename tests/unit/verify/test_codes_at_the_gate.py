"""Identity codes at a gate: each way to be wrong has its own reason, and what cannot be told is undecided."""

from __future__ import annotations

import socket
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ewallet.code import rotating
from ewallet.errors import Refused
from ewallet.formats import text
from ewallet.keys import SigningKey
from ewallet.reasons import Outcome
from ewallet.trust.entries import Service
from tests.unit.verify.conftest import NOW, VENUE  # type: ignore[import-not-found]

SECOND = timedelta(seconds=1)


def shown(gate, now=NOW, audience=VENUE, disclose=(), **wanted):
    [(made, device)] = gate.passes(**wanted)
    return rotating.show(made, device, audience=audience, now=now, disclose=disclose)


def reason(found):
    return found.reason.code if found.reason else None


def test_a_code_is_accepted_once_and_without_a_network(gate, monkeypatch):
    code, verifier = shown(gate), gate.verifier()

    def no_network(*_args, **_kwargs):
        raise AssertionError("a gate needs no network")

    monkeypatch.setattr(socket, "socket", no_network)
    first = verifier.verify(code, now=NOW)
    assert first.outcome is Outcome.ACCEPTED
    assert [check.name for check in first.checks] == [
        "form", "kind", "moment", "lists", "issuer", "signatures", "grant", "pass", "policy", "replay",
    ]  # fmt: skip
    assert first.subject.kind == "person"
    assert first.actor is None
    assert reason(verifier.verify(code, now=NOW + 5 * SECOND)) == "code.replayed"


@pytest.mark.parametrize(
    ("offset", "expected"),
    [
        (-11, "code.from_future"),
        (-10, None),
        (0, None),
        (30, None),
        (31, "code.expired"),
        (60, "code.expired"),
    ],
)
def test_the_window_has_two_sides(gate, offset, expected):
    assert reason(gate.verifier().verify(shown(gate), now=NOW + offset * SECOND)) == expected


def test_another_venue_is_refused(gate):
    code = shown(gate, audience="https://sh.ewallet.example/v/2")
    assert reason(gate.verifier().verify(code, now=NOW)) == "code.audience"


def test_a_scene_that_is_not_in_the_pass(gate):
    code = shown(gate, scenes=["hospital"])
    assert reason(gate.verifier().verify(code, now=NOW)) == "policy.scene"


def test_an_authority_that_nobody_lists(gate):
    code = shown(gate)
    gate.office._signer = SigningKey.generate()
    forged = shown(gate)
    verifier = gate.verifier()
    assert reason(verifier.verify(forged, now=NOW)) == "issuer.unknown"
    assert reason(verifier.verify(code, now=NOW)) is None


def test_a_key_of_another_service(gate):
    gate.office._signer = gate.codes.signer(Service.STATUS)
    assert reason(gate.verifier().verify(shown(gate), now=NOW)) == "issuer.service"


def test_stale_lists_and_an_unsure_clock_decide_nothing(gate):
    trust = gate.trust(NOW - timedelta(hours=37))
    late = gate.verifier(trust=trust).verify(shown(gate), now=NOW)
    assert (late.outcome, reason(late)) == (Outcome.UNDECIDED, "trust.stale")
    ahead = gate.trust(NOW + timedelta(minutes=5))
    for code in (shown(gate), shown(gate, now=NOW + timedelta(minutes=5))):
        unsure = gate.verifier(trust=ahead).verify(code, now=NOW)
        assert (unsure.outcome, reason(unsure)) == (Outcome.UNDECIDED, "clock.unsure")
    old = gate.verifier(trust=ahead).verify(shown(gate, now=NOW - 60 * SECOND), now=NOW)
    assert reason(old) == "code.expired"  # false even by a clock that is behind


def test_an_unknown_issuer_under_stale_lists_is_undecided(gate):
    trust = gate.trust(NOW - timedelta(hours=37))
    gate.office._signer = SigningKey.generate()
    assert reason(gate.verifier(trust=trust).verify(shown(gate), now=NOW)) == "trust.stale"


def test_a_revoked_pass(gate):
    code = shown(gate)
    gate.office.suspend("p-1", now=NOW)
    gate.consortium.set_hot("31", gate.office.hot_list(now=NOW), now=NOW)
    assert reason(gate.verifier().verify(code, now=NOW)) == "pass.revoked"


def test_a_brake_stops_the_authority(gate):
    code = shown(gate)
    gate.consortium.brake({"entity": gate.codes.uri}, reason="drill", now=NOW)
    assert reason(gate.verifier().verify(code, now=NOW)) == "issuer.suspended"


def test_a_refused_code_never_touches_the_guard(gate):
    code, verifier = shown(gate), gate.verifier()
    other = gate.verifier(scene="hospital")
    assert reason(other.verify(code, now=NOW)) == "policy.scene"
    spent = len(verifier._replay)
    for bad in (code[:-8] + "AAAAAAAA", code.lower(), shown(gate, audience="https://else.example/")):
        assert verifier.verify(bad, now=NOW).outcome is Outcome.REJECTED
    assert len(verifier._replay) == spent


def test_pictures_with_no_code_or_two(gate):
    verifier = gate.verifier()
    code, other = shown(gate), shown(gate)
    assert reason(verifier.verify([], now=NOW)) == "code.unreadable"
    assert reason(verifier.verify([code, other], now=NOW)) == "code.ambiguous"
    assert reason(verifier.verify([code], now=NOW)) is None


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (str.lower, {"code.unreadable", "code.not_canonical"}),
        (lambda code: code + " ", {"code.unreadable", "code.not_canonical"}),
        (lambda code: code + "A", {"code.not_canonical", "credential.malformed"}),
        (lambda code: "EWL" + code[3:], {"credential.malformed"}),
        (lambda code: "EWZ" + code[3:], {"code.version_unknown"}),
        (lambda code: code + "A" * 5000, {"code.too_long"}),
        (lambda _: "", {"code.unreadable"}),
        (lambda _: "EWC", {"code.unreadable", "code.not_canonical", "credential.malformed"}),
    ],
)
def test_what_is_not_exactly_a_code(gate, change, expected):
    assert reason(gate.verifier().verify(change(shown(gate)), now=NOW)) in expected


def test_every_flipped_bit_is_refused(gate):
    code, verifier = shown(gate), gate.verifier()
    prefix, data = text.decode(code)
    for position in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[position // 8] ^= 1 << position % 8
        found = verifier.verify(text.encode(prefix, bytes(flipped)), now=NOW)
        assert found.outcome is not Outcome.ACCEPTED, position
    assert verifier.verify(code, now=NOW).outcome is Outcome.ACCEPTED  # and none of them spent it


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.text(), st.binary(), st.from_regex(r"EW[A-Z][A-Z2-7]{0,200}", fullmatch=True)))
def test_nothing_scanned_raises(gate, scanned):
    if not hasattr(gate, "kept"):
        gate.kept = gate.verifier()
    assert gate.kept.verify(scanned, now=NOW).outcome is not Outcome.ACCEPTED


def test_a_caller_s_own_mistakes_do_raise(gate):
    verifier = gate.verifier()
    with pytest.raises(ValueError, match="time zone"):
        verifier.verify("EWC", now=NOW.replace(tzinfo=None))
    with pytest.raises(TypeError):
        verifier.verify([1], now=NOW)  # type: ignore[list-item]
    with pytest.raises(ValueError, match="guard"):
        gate.verifier(scene="metro", guard="file")


def test_more_disclosed_than_the_scene_allows(gate):
    [(made, device)] = gate.passes(
        scenes=["library", "hospital"], attributes={"masked_name": "测*", "resident": True}
    )
    code = rotating.show(made, device, audience=VENUE, now=NOW, disclose=["masked_name"])
    assert reason(gate.verifier().verify(code, now=NOW)) == "policy.scene"
    fine = rotating.show(made, device, audience=VENUE, now=NOW, disclose=["resident"])
    found = gate.verifier().verify(fine, now=NOW)
    assert dict(found.subject.attributes) == {"resident": True}


def test_a_phone_shows_with_its_own_key_only(gate):
    [(made, _), (_, other)] = gate.passes(2)
    with pytest.raises(Refused):
        rotating.show(made, other, audience=VENUE, now=NOW)
