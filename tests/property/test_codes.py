"""What holds for every code: bit flips, clocks, and what two venues can compare."""

from __future__ import annotations

from datetime import timedelta
from hashlib import sha256
from itertools import combinations

import pytest
from cbor2 import CBORError, CBORTag, frozendict, loads
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ewallet.code.passes import parse_code
from ewallet.code.rotating import show
from ewallet.errors import Refused
from ewallet.formats import text
from ewallet.reasons import Outcome
from ewallet.verify.replay import (
    FileGuard,
    MemoryGuard,
    challenge_spending,
    code_spending,
    double_entries,
    entry_spending,
)
from ewallet.verify.result import Verification
from tests.office import NOW, VENUE, City, Office, reason_of


@pytest.fixture(scope="module")
def city(tmp_path_factory):
    return City(tmp_path_factory.mktemp("city"))


def test_no_flipped_bit_is_accepted(city):
    ((made, key),) = city.office.passes(attributes={"resident": True})
    shown = show(made, key, audience=VENUE, now=NOW, disclose=["resident"])
    gate = city.verifier()
    _, data = text.decode(shown)
    for bit in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        found = gate.verify(text.encode(text.CODE, bytes(flipped)), now=NOW)
        assert found.outcome is not Outcome.ACCEPTED, bit
    for position in range(len(shown)):
        changed = "A" if shown[position] != "A" else "B"
        found = gate.verify(shown[:position] + changed + shown[position + 1 :], now=NOW)
        assert found.outcome is not Outcome.ACCEPTED, position
    assert reason_of(gate.verify(shown, now=NOW)) == "ACCEPTED"


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    scanned=st.one_of(
        st.text(max_size=600), st.binary(max_size=300).map(lambda b: text.encode("EWC", b or b"x"))
    )
)
def test_nothing_scanned_raises(city, scanned):
    found = city.verifier().verify(scanned, now=NOW)
    assert isinstance(found, Verification)
    assert found.outcome is not Outcome.ACCEPTED


def refusal(guard, item, now) -> str:
    """Reason of a guard's refusal; empty if it accepts."""
    try:
        guard.spend([item], now=now)
    except Refused as refused:
        return refused.reason
    return ""


@settings(max_examples=300, deadline=None)
@given(
    codes=st.lists(st.integers(0, 400), min_size=1, max_size=6, unique=True),
    reads=st.lists(
        st.tuples(st.integers(0, 5), st.integers(-10, 30), st.integers(-15, 15)), min_size=2, max_size=40
    ),
    gap=st.integers(40, 90),
    jumps=st.lists(st.integers(-400, 400), max_size=4),
)
def test_no_schedule_of_skews_makes_one_code_count_twice(codes, reads, gap, jumps):
    """A gate's clock runs wrong by any skew and jumps; each code is read whenever it lies in the window."""
    guard = MemoryGuard(started=NOW - timedelta(minutes=5))
    base = int(NOW.timestamp())
    accepted: list[int] = []
    for turn, (which, age, skew) in enumerate(reads):
        iat = base + codes[which % len(codes)]
        jump = jumps[turn % len(jumps)] if jumps else 0
        clock = NOW + timedelta(seconds=codes[which % len(codes)] + age + skew + jump)
        if not -10 <= int(clock.timestamp()) - iat <= 30:
            continue
        answer = refusal(guard, code_spending(b"p", iat=iat, min_gap=gap), clock)
        assert answer in ("", "code.replayed", "replay.unavailable")
        if not answer:
            accepted.append(iat)
    assert len(set(accepted)) == len(accepted)
    assert all(abs(one - other) >= gap for one, other in combinations(accepted, 2))


_ACT = st.tuples(
    st.sampled_from(["code", "entry", "challenge"]),
    st.integers(0, 2),
    st.integers(0, 300),
    st.integers(-60, 60),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(acts=st.lists(_ACT, max_size=25))
def test_a_file_and_a_model_agree(tmp_path_factory, acts):
    """The file guard against the rule, written down plainly."""
    guard = FileGuard(tmp_path_factory.mktemp("guard") / "g")
    base = int(NOW.timestamp())
    after: dict[object, float] = {}
    horizon = 0
    for kind, who, offset, skew in acts:
        now = base + offset + skew
        if kind == "code":
            item = code_spending(b"%d" % who, iat=base + offset, min_gap=40)
        elif kind == "entry":
            item = entry_spending(pseudonym=b"%d" % who, event="e", start=base - 60, end=base + 900)
        else:
            item = challenge_spending(b"%d" % who, iat=base - 60, exp=base + 900)
        seen = after.get((kind, who), 0)
        horizon = max(horizon, now)
        answer = refusal(guard, item, NOW + timedelta(seconds=now - base))
        if not answer:
            assert item.at >= seen
            after[kind, who] = item.at + 40 if kind == "code" else float("inf")
        else:
            assert answer == "replay.unavailable" or item.at < seen
    guard.close()
    assert double_entries([]) == []


def leaves(value) -> set:
    """Every value in a code that is long enough to recognize somebody by."""
    if isinstance(value, CBORTag):
        return leaves(value.value)
    if isinstance(value, dict | frozendict):
        return set().union(*(leaves(each) for pair in value.items() for each in pair))
    if isinstance(value, list | tuple):
        return set().union(*map(leaves, value))
    if isinstance(value, bytes):
        try:
            inner = loads(value)
        except CBORError:
            return {value}
        # A string of chance bytes may decode to something: it is a value of its own all the same.
        return {value} | (leaves(inner) if isinstance(inner, dict | list | frozendict | tuple) else set())
    return {value} if isinstance(value, str) or (isinstance(value, int) and abs(value) > 1000) else set()


def test_two_venues_cannot_link_a_day():
    """All that two venues see of a person: what two codes of hers share, codes of strangers share too."""
    office = Office()
    seen: dict[str, list[set]] = {}
    for subject in ("p-1", "p-2", "p-3"):
        attributes = {"resident": True, "age_over_14": True}
        held = office.passes(4, subject=subject, attributes=attributes)
        seen[subject] = [
            leaves(loads(text.decode(show(made, key, audience=VENUE, now=NOW, disclose=["resident"]))[1]))
            for made, key in held
        ]
    strangers = set.intersection(*(code for codes in seen.values() for code in codes))
    for codes in seen.values():
        for one, other in combinations(codes, 2):
            assert one & other == strangers
        assert all(len(code - strangers) >= 7 for code in codes)  # id, key, signatures, digests, salt
    assert "library" in strangers
    assert int(NOW.timestamp()) in strangers


def test_the_order_and_number_of_digests_tell_nothing():
    office = Office()
    yes, no = {"resident": True, "age_over_14": True}, {"resident": False, "age_over_14": False}
    sizes = set()
    for given_attributes in (yes, no):
        for made, key in office.passes(3, attributes=given_attributes):
            code = parse_code(show(made, key, audience=VENUE, now=NOW))
            payload = code.kbt.credential.sign1.payload
            digests = payload[payload.index(b"\xf8\x3b") :]
            assert digests[2] == 0x82
            first, second = digests[5:37], digests[39:71]
            assert first < second
            sizes.add(len(payload))
            for value in (b"resident", b"age_over_14"):
                assert value not in payload
                assert sha256(value).digest() not in digests
    assert len(sizes) <= 2  # a device key's sign bit is one byte either way; booleans too


def test_a_pseudonym_is_unlinkable_beyond_its_scene_and_day():
    office = Office()
    entries = [
        office.passes(scenes=["park"], subject=subject, now=NOW + timedelta(days=day))[0][0].entry
        for subject in ("p-1", "p-2")
        for day in range(3)
    ]
    assert len({entry.pseudonym for entry in entries}) == 6
