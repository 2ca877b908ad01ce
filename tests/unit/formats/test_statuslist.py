"""Token Status List: entries, limits, tokens."""

import zlib
from datetime import UTC, datetime, timedelta

import pytest

from ewallet.errors import Malformed, Refused
from ewallet.formats import statuslist
from ewallet.formats.statuslist import StatusList, StatusReference
from ewallet.keys import SigningKey

NOW = datetime(2026, 1, 1, tzinfo=UTC)
URI = "https://sh.ewallet.example/status/1"
SIGNER = SigningKey.generate()


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_entries_keep_to_themselves(bits):
    entries = StatusList(bits=bits, size=40)
    expected = [idx * 7 % 2**bits for idx in range(40)]
    entries.update(enumerate(expected))
    assert [entries.get(idx) for idx in range(40)] == expected
    entries.set(3, 0)
    expected[3] = 0
    assert [entries.get(idx) for idx in range(40)] == expected
    again = StatusList.from_compressed(entries.compressed(), bits=bits)
    assert again == entries
    assert len(again) == 40


def test_the_first_entry_stands_in_the_lowest_bits():
    entries = StatusList(bits=2, size=4)
    entries.set(0, 1)
    entries.set(3, 2)
    assert entries.to_bytes() == bytes([0b10000001])


def test_limits():
    with pytest.raises(ValueError, match="bits"):
        StatusList(bits=3, size=1)
    for size in (0, statuslist.MAX_ENTRIES + 1):
        with pytest.raises(ValueError, match="entries"):
            StatusList(bits=1, size=size)
    entries = StatusList(bits=2, size=4)
    with pytest.raises(IndexError):
        entries.set(4, 0)
    with pytest.raises(ValueError, match="2 bits"):
        entries.set(0, 4)
    for idx in (-1, 4, 2**40):
        with pytest.raises(Refused) as caught:
            entries.get(idx)
        assert caught.value.reason == "status.unavailable"


def test_a_bomb_is_never_inflated():
    bomb = zlib.compress(bytes(2**27), 9)  # 128 MiB in 130 KB
    with pytest.raises(Malformed):
        StatusList.from_compressed(bomb, bits=2)


@pytest.mark.parametrize("issue", [statuslist.issue_jwt, statuslist.issue_cwt])
def test_a_token_is_good_until_the_earlier_end(issue):
    entries = StatusList(bits=2, size=16)
    entries.set(5, statuslist.SUSPENDED)
    key, reference = SIGNER.public_key, StatusReference(idx=5, uri=URI)
    for ttl, days, until in ((3600, 1, 3600), (10**6, 1, 86_400)):
        token = issue(entries, SIGNER, uri=URI, now=NOW, ttl=ttl, exp=NOW + timedelta(days=days))
        found = statuslist.verify(token, key, uri=URI, now=NOW)
        assert found.fresh_until == int(NOW.timestamp()) + until
        assert found.lookup(reference, now=NOW) == statuslist.SUSPENDED
        for check in (
            lambda found=found, until=until: found.lookup(reference, now=NOW + timedelta(seconds=until)),
            lambda token=token, until=until: statuslist.verify(
                token, key, uri=URI, now=NOW + timedelta(seconds=until)
            ),
        ):
            with pytest.raises(Refused) as caught:
                check()
            assert caught.value.reason == "status.stale"
        with pytest.raises(Refused) as caught:
            found.lookup(StatusReference(idx=5, uri=URI + "2"), now=NOW)
        assert caught.value.reason == "status.unavailable"


@pytest.mark.parametrize(
    "claim",
    [
        None,
        1,
        "x",
        [],
        {},
        {"status_list": 1},
        {"status_list": {"idx": 1}},
        {"status_list": {"idx": True, "uri": URI}},
        {"status_list": {"idx": -1, "uri": URI}},
        {"status_list": {"idx": 2**31, "uri": URI}},
        {"status_list": {"idx": 1, "uri": ""}},
        {"status_list": {"idx": 1, "uri": 1}},
    ],
)
def test_references_in_another_form(claim):
    with pytest.raises(Malformed):
        StatusReference.from_claim(claim)


def test_a_reference_reads_back():
    reference = StatusReference(idx=3, uri=URI)
    assert StatusReference.from_claim(reference.to_claim()) == reference
