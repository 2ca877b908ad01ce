"""Bulk jobs as the register tells them: any process of any machine can say how far one is.

What a job has made stands in the licenses themselves (`ewallet.licenses.bulk`); this is its progress only.
The files of results lie on the machine that ran it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import insert, select, update

from ewallet.errors import Conflict, NotFound
from ewallet.licenses import tables
from ewallet.moments import seconds

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

    from ewallet.licenses.register import Register

QUIET: Final = timedelta(minutes=15)
"""A job that has not moved for so long is taken to have lost its process; a batch takes seconds."""

WAITING, RUNNING, DONE, FAILED, STOPPED = "waiting", "running", "done", "failed", "stopped"
_ALIVE: Final = (WAITING, RUNNING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A bulk job.

    Attributes:
        name: digest of type and file: the same file is the same job.
        state: waiting, running, done, failed, or stopped: nothing was heard of it for `QUIET`.
        rows: rows that are done with.
        issued: licenses made.
        again: rows that had been done before.
        rejected: rows that could not be issued.
        problem: why it failed.
        machine: where it ran: the files of results lie there.
        at: when it last moved, seconds since 1970.
    """

    name: str
    state: str = WAITING
    rows: int = 0
    issued: int = 0
    again: int = 0
    rejected: int = 0
    problem: str = ""
    machine: str = ""
    at: int = 0

    def to_json(self) -> dict[str, Any]:
        """Its progress."""
        found = asdict(self)
        return {"job": found.pop("name"), **found}


class Jobs:
    """Bulk jobs by their names, in the database of a register.

    Args:
        register: the register.
    """

    def __init__(self, register: Register) -> None:
        self._register = register

    def take(self, name: str, *, machine: str, here: bool, now: datetime) -> tuple[Job, bool]:
        """Takes a job on, unless it is being worked on or done.

        Args:
            name: of the job.
            machine: who takes it.
            here: whether files of results lie there. If they do not, or are of a run elsewhere, one that is
                done is run again, which makes no license twice and writes the files.
            now: the time (aware).

        Returns:
            The job, and whether the caller is to run it.

        Raises:
            RegisterError: it cannot be written.
        """
        fresh = Job(name=name, machine=machine, at=seconds(now))
        try:
            with self._register.writing() as connection:
                known = self._find(connection, name, now, lock=True)
                written = here and known is not None and known.machine == machine
                if known is not None and (known.state in _ALIVE or (known.state == DONE and written)):
                    return known, False
                if known is None:
                    connection.execute(insert(tables.bulk_job).values(**asdict(fresh)))
                else:
                    self._write(connection, fresh)
        except Conflict:  # another process took it at the same instant
            return self.job(name, now=now), False
        return fresh, True

    def note(self, job: Job, *, now: datetime) -> Job:
        """Writes down how far a job is.

        Raises:
            RegisterError: it cannot be written.
        """
        job = replace(job, at=seconds(now))
        with self._register.writing() as connection:
            self._write(connection, job)
        return job

    def job(self, name: str, *, now: datetime) -> Job:
        """A job as it stands.

        Raises:
            NotFound: there is none.
        """
        with self._register.reading() as connection:
            found = self._find(connection, name, now)
        if found is None:
            raise NotFound("no such job")
        return found

    @staticmethod
    def _find(connection: Connection, name: str, now: datetime, *, lock: bool = False) -> Job | None:
        asked = select(tables.bulk_job).where(tables.bulk_job.c.name == name)
        row = connection.execute(asked.with_for_update() if lock else asked).one_or_none()
        if row is None:
            return None
        job = Job(**row._mapping)  # noqa: SLF001 (SQLAlchemy's own name for a row as a mapping)
        quiet = job.state in _ALIVE and job.at + QUIET.total_seconds() < seconds(now)
        return replace(job, state=STOPPED) if quiet else job

    @staticmethod
    def _write(connection: Connection, job: Job) -> None:
        values = asdict(job)
        name = values.pop("name")
        connection.execute(update(tables.bulk_job).where(tables.bulk_job.c.name == name).values(**values))
