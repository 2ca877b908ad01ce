"""Opens a replay guard by its name: `memory`, `file`, or the URL of a Redis or of an SQL database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ewallet.errors import ConfigError, MissingExtra
from ewallet.verify.replay import FileGuard, MemoryGuard

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from ewallet.verify.replay import ReplayGuard

_PATIENCE: Final = 2.0
"""Seconds: a clerk waits no longer; what is not confirmed in time is undecided."""


def open_guard(place: str, *, state: Path, name: str, now: datetime) -> ReplayGuard:
    """The guard of a place.

    Args:
        place: `memory`; `file`: in the state directory; `redis://...`, `rediss://...` or `unix://...`; any
            other URL is an SQL database's.
        state: directory of a guard in a file.
        name: of a guard in Redis; gates that share it give the same.
        now: from when a guard in memory remembers.

    Raises:
        ConfigError: no such guard.
        MissingExtra: its driver is not installed.
        Refused: `replay.unavailable`: it does not answer.
    """
    if place == "memory":
        return MemoryGuard(started=now)
    if place == "file":
        state.mkdir(parents=True, exist_ok=True)
        return FileGuard(state / "replay.sqlite")
    if place.startswith(("redis://", "rediss://", "unix://")):
        return _redis(place, name)
    if "://" in place:
        return _sql(place)
    raise ConfigError("memory, file, or a URL", file="--guard")


def _redis(url: str, name: str) -> ReplayGuard:
    try:
        from ewallet.verify.replay_redis import RedisGuard, connect  # noqa: PLC0415 (an extra)
    except ImportError as missing:
        raise MissingExtra("redis", "a replay guard in Redis") from missing
    return RedisGuard(connect(url, timeout=_PATIENCE), name=name)


def _sql(url: str) -> ReplayGuard:
    from sqlalchemy import create_engine, make_url  # noqa: PLC0415 (a gate without SQL loads none)
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError  # noqa: PLC0415

    from ewallet.databases import limit_waiting  # noqa: PLC0415 (same)
    from ewallet.verify.replay import unavailable  # noqa: PLC0415
    from ewallet.verify.replay_sql import SqlGuard  # noqa: PLC0415

    try:
        place = make_url(url)
        waits: dict[str, int] = {}
        if place.get_backend_name() in ("postgresql", "postgres"):
            place = place.set(drivername="postgresql+psycopg")
            waits = {"connect_timeout": int(_PATIENCE)}
        engine = create_engine(place, pool_pre_ping=True, pool_timeout=_PATIENCE, connect_args=waits)
        limit_waiting(engine, _PATIENCE)
        guard = SqlGuard(engine)
        guard.create()
    except (ArgumentError, NoSuchModuleError) as error:
        raise ConfigError("not the URL of a database", file="--guard") from error
    except ModuleNotFoundError as missing:
        raise MissingExtra("postgres", "a replay guard in PostgreSQL") from missing
    except SQLAlchemyError as error:
        raise unavailable("the guard's database does not answer") from error
    return guard
