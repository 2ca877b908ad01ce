"""Fetching passes in the background: when they are due, and what stops it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ewallet.code.renewal import renew
from ewallet.code.wallet import Wallet
from ewallet.errors import KeyMaterialError, NotAllowed
from ewallet.keys import SigningKey
from tests.office import NOW, VENUE, Office

HOUR = timedelta(hours=1)


class Phone:
    """A phone with its wallet and its channel."""

    def __init__(self, office, name, *, subject="p-1", scenes=("library",)):
        self.office, self.phone, self.subject, self.scenes = office, name, subject, scenes
        self.wallet = Wallet()
        self.now = NOW
        self.name = office.authority.name
        self.asked = 0

    def challenge(self):
        return self.office.authority.challenge(self.now)

    def issue(self, devices):
        self.asked += 1
        return self.office.authority.issue_passes(
            devices, subject=self.subject, kind="person", scenes=self.scenes, attributes={},
            phone=self.phone, now=self.now,
        )  # fmt: skip

    def renew(self, now=NOW, **parts):
        self.now = now
        return renew(self.wallet, self, make_key=SigningKey.generate, now=now, **{"count": 2, **parts})


@pytest.fixture
def office():
    return Office()


def test_passes_are_fetched_when_they_are_due_and_not_before(office):
    phone = Phone(office, "a")
    assert phone.renew() == 2
    assert phone.renew(NOW + 17 * HOUR) == 0
    assert phone.asked == 1
    assert phone.renew(NOW + 18 * HOUR) == 2
    assert len(phone.wallet) == 4
    assert phone.renew(NOW + 24 * HOUR) == 0
    assert len(phone.wallet) == 2  # the first two are over and forgotten with their keys


def test_shown_passes_are_replaced(office):
    phone = Phone(office, "a")
    phone.renew()
    phone.wallet.choose("library", audience=VENUE, now=NOW)
    assert phone.renew() == 0
    phone.wallet.choose("library", audience="https://sh.ewallet.example/v/2", now=NOW)
    assert phone.renew() == 2
    assert len(phone.wallet.unshown) == 2
    assert len(phone.wallet) == 4


def test_a_scene_of_the_day_is_not_fetched_over_and_over_before_midnight(office):
    phone = Phone(office, "a", scenes=("park",))
    evening = NOW + 7 * HOUR  # 19:20 in Shanghai
    assert phone.renew(evening, ahead=timedelta(0)) == 2
    assert phone.renew(evening + HOUR, ahead=timedelta(0)) == 0
    assert phone.renew(evening + 5 * HOUR, ahead=timedelta(0)) == 2


def test_a_suspended_person_gets_none_and_fresh_ones_afterwards(office):
    phone, other = Phone(office, "a"), Phone(office, "b", subject="p-2")
    phone.renew()
    office.authority.suspend("p-1", now=NOW)
    with pytest.raises(NotAllowed, match="suspended"):
        phone.renew(NOW + 20 * HOUR)
    assert len(phone.wallet) == 0
    assert other.renew() == 2
    office.authority.restore("p-1")
    assert phone.renew(NOW + 21 * HOUR) == 2


def test_a_new_phone_goes_on_and_the_lost_one_stops(office):
    old, new = Phone(office, "old"), Phone(office, "new")
    old.renew()
    assert new.renew() == 2
    revoked = office.authority.lose_phone("p-1", "old", now=NOW)
    assert {each.id for each in old.wallet.passes} == set(revoked)
    with pytest.raises(NotAllowed, match="lost"):
        old.renew(NOW + 20 * HOUR)
    assert len(old.wallet) == 0
    assert new.renew(NOW + 20 * HOUR) == 2
    office.authority.find_phone("p-1", "old")
    assert old.renew(NOW + 20 * HOUR) == 2


def test_a_pass_called_revoked_is_replaced_at_once(office):
    phone = Phone(office, "a")
    phone.renew()
    before = phone.wallet.passes
    assert phone.renew(force=True) == 2
    assert not set(before) & set(phone.wallet.passes)
    assert len(phone.wallet) == 2


@pytest.mark.parametrize("force", [False, True])
def test_a_failing_network_and_a_wrong_answer_change_nothing(office, force):
    phone = Phone(office, "a")
    phone.renew()
    before = phone.wallet.passes
    later = NOW + 20 * HOUR
    ask = phone.issue

    def offline(_):
        raise ConnectionError

    phone.issue = offline
    with pytest.raises(ConnectionError):
        phone.renew(later, force=force)
    for wrong in (lambda devices: ask(devices)[:1], lambda devices: ask(devices[::-1])):
        phone.issue = wrong
        with pytest.raises(KeyMaterialError):
            phone.renew(later, force=force)
    assert phone.wallet.passes == before
