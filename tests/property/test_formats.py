"""Formats: any record comes back as issued, no flipped bit verifies, no input raises but `Refused`."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ewallet.errors import Refused
from ewallet.formats import cose, jose, sdcwt, sdjwt, statuslist
from ewallet.formats.statuslist import StatusList, StatusReference
from ewallet.keys import SigningKey

T = 1_767_225_700
NOW = datetime.fromtimestamp(T, UTC)
ISS = "https://sh.ewallet.example/a/market"
ISSUER, DEVICE = SigningKey.generate("ES256"), SigningKey.generate("ES256")
KEY = ISSUER.public_key
REFERENCE = StatusReference(idx=5, uri="https://sh.ewallet.example/status/1")

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NAMES = TEXT.filter(
    lambda name: name not in {*sdjwt.NEVER_REDACTED, "_sd", "...", "_sd_alg", "sub", "aud"} and len(name) < 60
)
LEAVES = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=8,
).filter(lambda value: depth(value) <= 5)
RECORDS = st.dictionaries(NAMES, VALUES, max_size=8)


def depth(value) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


def paths(record):
    """Every claim, every member and every element."""

    def inside(value, path):
        if isinstance(value, dict | list):
            for step, item in value.items() if isinstance(value, dict) else enumerate(value):
                yield (*path, step)
                yield from inside(item, (*path, step))

    return list(inside(record, ()))


def visible(record, disclosable, shown):
    """What a verifier should see: a hidden part is left out, with all that it holds."""

    def of(value, path):
        if isinstance(value, dict):
            return {name: of(item, (*path, name)) for name, item in value.items() if open_at((*path, name))}
        if isinstance(value, list):
            return [of(item, (*path, place)) for place, item in enumerate(value) if open_at((*path, place))]
        return value

    def open_at(path):
        return path not in disclosable or path in shown

    return of(record, ())


def ancestors(chosen, disclosable):
    return {path for path in disclosable for whole in chosen if whole[: len(path)] == path}


@st.composite
def issued(draw):
    record = draw(RECORDS)
    every = paths(record)
    disclosable = draw(st.lists(st.sampled_from(every), unique=True)) if every else []
    chosen = draw(st.lists(st.sampled_from(disclosable), unique=True)) if disclosable else []
    return record, disclosable, chosen, draw(st.integers(0, 3))


@settings(max_examples=60, deadline=None)
@given(issued())
def test_any_record_comes_back_from_an_sd_cwt(given_):
    record, disclosable, chosen, decoys = given_
    token = sdcwt.issue(
        {1: ISS, 4: T + 60, 6: T, **record},
        disclosable=disclosable,
        signer=ISSUER,
        holder_key=DEVICE.public_key,
        decoys=decoys,
    )
    profile = sdcwt.Profile()
    everything = sdcwt.verify(token, KEY, profile, now=NOW)
    assert named(everything.claims) == record
    shown = sdcwt.present(token, DEVICE, audience="v", now=NOW, disclose=chosen)
    facts = sdcwt.verify_kbt(shown, KEY, profile, now=NOW, audience="v").credential
    wanted = ancestors(chosen, disclosable)
    assert named(facts.claims) == visible(record, set(disclosable), wanted)
    found = {path if isinstance(path, tuple) else (path,) for path in facts.disclosed}
    assert len(found) == len(wanted)
    # Others read it too: the same bytes under the looser rules for foreign tokens.
    assert sdcwt.verify(token, KEY, sdcwt.Profile(own=False), now=NOW).claims == everything.claims


@settings(max_examples=60, deadline=None)
@given(issued())
def test_any_record_comes_back_from_an_sd_jwt(given_):
    record, disclosable, chosen, decoys = given_
    token = sdjwt.issue(
        {"iss": ISS, "exp": T + 60, "iat": T, **record},
        disclosable=disclosable,
        signer=ISSUER,
        holder_key=DEVICE.public_key,
        decoys=decoys,
    )
    everything = sdjwt.verify(token, KEY, sdjwt.Profile(key_binding=False), now=NOW)
    assert named(everything.claims) == record
    shown = sdjwt.present(token, DEVICE, audience="v", nonce="n", now=NOW, disclose=chosen)
    facts = sdjwt.verify(shown, KEY, sdjwt.Profile(), now=NOW, audience="v", nonce="n")
    wanted = ancestors(chosen, disclosable)
    assert named(facts.claims) == visible(record, set(disclosable), wanted)
    assert len(facts.disclosed) == len(wanted)


def named(claims):
    """The record among the claims: what the test itself added is left out."""
    added = {"iss", "exp", "iat", "cnf"}
    return {name: value for name, value in claims.items() if isinstance(name, str) and name not in added}


# --- One bit ------------------------------------------------------------------------------------------------

SEAL = cose.Profile(typ="application/ewallet-seal+cwt")
CREDENTIAL = sdcwt.issue(
    {1: ISS, 4: T + 60, 6: T, "name": "喆", "grade": 2, "area": "310115"},
    disclosable=["name", "grade"],
    signer=ISSUER,
    holder_key=DEVICE.public_key,
    decoys=1,
    status=REFERENCE,
    compact=True,
)
CARD = sdjwt.issue(
    {"iss": ISS, "exp": T + 60, "iat": T, "name": "喆", "grade": 2},
    disclosable=["name", "grade"],
    signer=ISSUER,
    holder_key=DEVICE.public_key,
    decoys=1,
)
ENTRIES = StatusList(bits=2, size=64)
ENTRIES.update([(5, 1), (6, 2), (7, 3)])
SUBJECTS = {
    "seal": (
        cose.issue_cwt({1: ISS, 4: T + 60, 6: T, "face": bytes(32)}, ISSUER, typ=SEAL.typ),
        lambda data: cose.verify_cwt(data, KEY, SEAL, now=NOW),
    ),
    "sd-cwt": (CREDENTIAL, lambda data: sdcwt.verify(data, KEY, sdcwt.Profile(), now=NOW)),
    "code": (
        sdcwt.present(CREDENTIAL, DEVICE, audience="v", now=NOW, cnonce=bytes(8), disclose=["name"]),
        lambda data: sdcwt.verify_kbt(data, KEY, sdcwt.Profile(), now=NOW, audience="v", cnonce=bytes(8)),
    ),
    "jwt": (
        jose.issue_jwt({"iss": ISS, "exp": T + 60, "iat": T}, ISSUER, typ="x+jwt").encode(),
        lambda data: jose.verify_jwt(data, KEY, jose.Profile(typ="x+jwt"), now=NOW),
    ),
    "sd-jwt": (
        CARD.encode(),
        lambda data: sdjwt.verify(data, KEY, sdjwt.Profile(key_binding=False), now=NOW),
    ),
    "sd-jwt+kb": (
        sdjwt.present(CARD, DEVICE, audience="v", nonce="n", now=NOW, disclose=["name"]).encode(),
        lambda data: sdjwt.verify(data, KEY, sdjwt.Profile(), now=NOW, audience="v", nonce="n"),
    ),
    "status list": (
        statuslist.issue_cwt(
            ENTRIES, ISSUER, uri=REFERENCE.uri, now=NOW, ttl=60, exp=datetime.fromtimestamp(T + 60, UTC)
        ),
        lambda data: statuslist.verify(data, KEY, uri=REFERENCE.uri, now=NOW),
    ),
}


@pytest.mark.parametrize("name", SUBJECTS)
def test_no_flipped_bit_verifies(name):
    data, verify = SUBJECTS[name]
    verify(data)
    for place in range(len(data)):
        for bit in range(8):
            changed = data[:place] + bytes((data[place] ^ 1 << bit,)) + data[place + 1 :]
            with pytest.raises(Refused):
                verify(changed)


def selection(name, subject) -> bool:
    """An SD-JWT without key binding, cut at a tilde, is one with fewer disclosures, and as good."""
    token, _, _ = subject.partition(b"~")
    original, *disclosures = SUBJECTS["sd-jwt"][0].split(b"~")
    rest = subject.split(b"~")[1:]
    return name == "sd-jwt" and token == original and rest[-1:] == [b""] and set(rest) <= set(disclosures)


@pytest.mark.parametrize("name", SUBJECTS)
def test_no_shortened_or_lengthened_token_verifies(name):
    data, verify = SUBJECTS[name]
    for changed in (*(data[:end] for end in range(len(data))), data + b"\x00", data + b"A", data + data):
        if selection(name, changed):
            verify(changed)
            continue
        with pytest.raises(Refused):
            verify(changed)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(sorted(SUBJECTS)), st.binary(max_size=120), st.data())
def test_nothing_raises_but_refused(name, junk, data):
    token, verify = SUBJECTS[name]
    start = data.draw(st.integers(0, len(token)))
    end = data.draw(st.integers(start, len(token)))
    for subject in (junk, token[:start] + junk + token[end:]):
        if subject != token and not selection(name, subject):
            with pytest.raises(Refused):
                verify(subject)


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=60) | st.text("eyJ.~-_AQ0", max_size=60))
def test_no_text_raises_but_refused(text):
    for verify in (
        lambda: jose.parse_jwt(text, jose.Profile(typ="x")),
        lambda: sdjwt.parse(text, sdjwt.Profile()),
        lambda: statuslist.parse(text),
    ):
        with pytest.raises(Refused):
            verify()


# --- Edges of the window ------------------------------------------------------------------------------------


@given(age=st.integers(-20, 60), max_age=st.integers(0, 40), max_ahead=st.integers(0, 15))
@settings(max_examples=100, deadline=None)
def test_the_window_is_closed_at_both_ends(age, max_age, max_ahead):
    presented = sdcwt.parse_kbt(SUBJECTS["code"][0], sdcwt.Profile())
    arguments = {"audience": "v", "cnonce": bytes(8), "max_age": max_age, "max_ahead": max_ahead}
    now = datetime.fromtimestamp(T + age, UTC)
    if -max_ahead <= age <= max_age:
        sdcwt.check_presentation(presented, now=now, **arguments)
        return
    with pytest.raises(Refused) as caught:
        sdcwt.check_presentation(presented, now=now, **arguments)
    assert caught.value.reason == ("code.expired" if age > 0 else "code.from_future")
