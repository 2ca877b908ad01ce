"""Bulk issue: an export becomes licenses, a thousand to a transaction, and can be taken up again anywhere.

A job is named by its type and the content of its file: run twice, it makes every license once. Which row
became which license is written in the transaction that makes the license, so that the results file can always
be completed from the register.
"""

from __future__ import annotations

import csv
import heapq
import multiprocessing
from concurrent.futures import ProcessPoolExecutor, wait
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from sqlalchemy import select

from ewallet.errors import EwalletError, RecordError
from ewallet.licenses import intake, tables
from ewallet.licenses.deployment import Deployment
from ewallet.licenses.intake import Reject, Row
from ewallet.licenses.issuer import Issued, Issuer, Order
from ewallet.licenses.issuing import two_officers
from ewallet.licenses.lifecycle import Case, EventKind
from ewallet.licenses.printed import PrintOrder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime
    from pathlib import Path
    from queue import Queue

    from ewallet.licenses.catalog import LicenseType

BATCH: Final = 1000
"""Licenses in one transaction: more gain nothing, and a second process waits longer."""

RESULTS: Final = "results.csv"
REJECTS: Final = "rejects.csv"


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """How a job ended.

    Attributes:
        issued: licenses made now.
        again: rows that had been done before.
        rejected: rows that could not be issued.
    """

    issued: int = 0
    again: int = 0
    rejected: int = 0

    def plus(self, other: Summary) -> Summary:
        """Both together."""
        return Summary(
            issued=self.issued + other.issued,
            again=self.again + other.again,
            rejected=self.rejected + other.rejected,
        )


def job_name(export: Path, type_: LicenseType) -> str:
    """Name of the job: digest of type and file."""
    digest = sha256(type_.code.encode() + b"\0")
    with export.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def check_officers(type_: LicenseType, case: Case) -> None:
    """Whether a job may issue licenses of a type in these officers' names.

    A job does not wait for a second officer: nobody reads a hundred thousand records before confirming them.

    Raises:
        SecondOfficerNeeded: the type wants two to issue.
    """
    two_officers(type_, EventKind.ISSUE, case, "new")


def run(
    issuer: Issuer,
    export: Path,
    *,
    type: str,  # noqa: A002 - the word of the field
    out: Path,
    now: datetime,
    printed: PrintOrder | None = None,
    operator: str = "",
    second_operator: str = "",
    stock_column: str = "",
    part: tuple[int, int] = (0, 1),
    progress: Callable[[int], None] = lambda _: None,
) -> Summary:
    """Issues what an export holds, in one process.

    Args:
        issuer: the authority.
        export: CSV or JSON Lines.
        type: short name or code of the type.
        out: directory for `results.csv` (row, identifier, number, state) and `rejects.csv` (row, column,
            reason).
        now: the time of issue (aware).
        printed: what is printed with each.
        operator: who runs the job.
        second_operator: who has confirmed it, where the type wants four eyes to issue.
        stock_column: header of the column with the number of each license's paper, when existing paper is
            taken into the register; empty: none.
        part: this process's number and how many share the job.
        progress: called with the number of rows that are done with.

    Raises:
        ConfigError: the file as a whole cannot be read.
        SecondOfficerNeeded: the type wants two officers to issue: then not a row is begun.
    """
    type_ = issuer.catalog[type]
    case = Case(operator=operator, second_operator=second_operator)
    check_officers(type_, case)
    job = job_name(export, type_)
    out.mkdir(parents=True, exist_ok=True)
    suffix = f".{part[0]}" if part[1] > 1 else ""
    summary = Summary()
    with (
        (out / (RESULTS + suffix)).open("w", encoding="utf-8", newline="") as good,
        (out / (REJECTS + suffix)).open("w", encoding="utf-8", newline="") as bad,
    ):
        results, rejects = csv.writer(good), csv.writer(bad)
        results.writerow(("row", "identifier", "number", "state"))
        rejects.writerow(("row", "column", "reason"))
        rows = intake.iter_export(
            export, type_, issuer.catalog, wanted=lambda row: row // BATCH % part[1] == part[0]
        )
        for batch in _batches(rows):
            done = _batch(
                issuer,
                batch,
                type_,
                job=job,
                now=now,
                printed=printed,
                case=case,
                stock_column=stock_column,
            )
            for row, identifier, number, state in done.good:
                results.writerow((row, identifier, number, state))
            for reject in done.bad:
                rejects.writerow((reject.row, reject.column, reject.reason))
            summary = summary.plus(done.summary)
            good.flush()
            bad.flush()
            progress(len(batch))
    return summary


def run_parallel(
    deployment: Path,
    export: Path,
    *,
    type: str,  # noqa: A002 - the word of the field
    out: Path,
    now: datetime,
    workers: int,
    printed: PrintOrder | None = None,
    operator: str = "",
    second_operator: str = "",
    stock_column: str = "",
    progress: Callable[[int], None] = lambda _: None,
) -> Summary:
    """Issues what an export holds, in several processes that share one register; see `run`.

    Args:
        deployment: the file that `Deployment.load` reads.
        export: CSV or JSON Lines.
        type: short name or code of the type.
        out: directory for results and rejects.
        now: the time of issue (aware).
        workers: how many processes.
        printed: what is printed with each.
        operator: who runs the job.
        second_operator: see `run`.
        stock_column: see `run`.
        progress: called with the number of rows that are done with.
    """
    out.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager, ProcessPoolExecutor(workers, mp_context=context) as pool:
        steps = manager.Queue()
        waiting = {
            pool.submit(
                _work,
                _Share(
                    deployment=deployment,
                    export=export,
                    type=type,
                    out=out,
                    now=now,
                    printed=printed,
                    operator=operator,
                    second_operator=second_operator,
                    stock_column=stock_column,
                    part=(number, workers),
                ),
                steps,
            )
            for number in range(workers)
        }
        summary = Summary()
        while waiting:
            done, waiting = wait(waiting, timeout=_LOOK)
            for future in done:
                summary = summary.plus(future.result())
            while not steps.empty():
                progress(steps.get())
    for name in (RESULTS, REJECTS):
        _join(out, name, workers)
    return summary


_LOOK: Final = 0.2
"""Seconds between two looks at how far the processes are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Share:
    """What one process of a job has to know."""

    deployment: Path
    export: Path
    type: str
    out: Path
    now: datetime
    printed: PrintOrder | None
    operator: str
    second_operator: str
    stock_column: str
    part: tuple[int, int]


def _work(share: _Share, steps: Queue[int]) -> Summary:
    issuer = Deployment.load(share.deployment).open()
    with issuer.register:
        return run(
            issuer,
            share.export,
            type=share.type,
            out=share.out,
            now=share.now,
            printed=share.printed,
            operator=share.operator,
            second_operator=share.second_operator,
            stock_column=share.stock_column,
            part=share.part,
            progress=steps.put,
        )


@dataclass(slots=True)
class _Done:
    """What became of a batch."""

    good: list[tuple[int, str, str, str]]
    bad: list[Reject]
    summary: Summary


def _batch(
    issuer: Issuer,
    batch: list[Row | Reject],
    type_: LicenseType,
    *,
    job: str,
    now: datetime,
    printed: PrintOrder | None,
    case: Case,
    stock_column: str,
) -> _Done:
    bad = [item for item in batch if isinstance(item, Reject)]
    rows = {item.row: item for item in batch if isinstance(item, Row)}
    before = _done_before(issuer, job, list(rows))
    orders = [
        Order(
            record=row.record,
            images=row.images,
            printed=_paper(row, printed, stock_column),
            case=case,
            row=row.row,
        )
        for row in rows.values()
        if row.row not in before
    ]
    good = [(row, identifier, number, "again") for row, (identifier, number) in before.items()]
    issued = 0
    for order, result in zip(orders, issuer.issue_many(orders, type=type_, job=job, now=now), strict=True):
        if isinstance(result, Issued):
            issued += 1
            good.append((order.row, result.license.identifier, result.license.number, "issued"))
        else:
            bad.append(_reject(order.row, result, type_))
    summary = Summary(issued=issued, again=len(before), rejected=len(bad))
    return _Done(good=sorted(good), bad=sorted(bad, key=lambda item: item.row), summary=summary)


def _paper(row: Row, printed: PrintOrder | None, stock_column: str) -> PrintOrder | None:
    """What belongs to a row on paper: the sheet that the export numbers, or what is ordered for all."""
    stock = row.other.get(stock_column, "") if stock_column else ""
    return PrintOrder(stock=(stock,)) if stock else printed


def _reject(row: int, error: EwalletError, type_: LicenseType) -> Reject:
    if not isinstance(error, RecordError):
        return Reject(row=row, column="", reason=str(error))
    spec = type_.by_key.get(error.field)
    return Reject(row=row, column=error.field if spec is None else spec.zh, reason=error.problem)


def _done_before(issuer: Issuer, job: str, rows: list[int]) -> dict[int, tuple[str, str]]:
    """Rows of the job that have a license: its first identifier and number."""
    table = tables.job.c
    with issuer.register.reading() as connection:
        found = connection.execute(
            select(table.row, tables.version.c.identifier, tables.license_.c.number)
            .join(
                tables.version,
                (tables.version.c.license_id == table.license_id) & (tables.version.c.version == 1),
            )
            .join(tables.license_, tables.license_.c.id == table.license_id)
            .where(table.job == job, table.row.in_(rows))
        ).all()
    return {row: (identifier, number) for row, identifier, number in found}


def _batches(items: Iterable[Row | Reject]) -> Iterator[list[Row | Reject]]:
    batch: list[Row | Reject] = []
    for item in items:
        batch.append(item)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _row_of(cells: list[str]) -> int:
    return int(cells[0])


def _join(out: Path, name: str, workers: int) -> None:
    """The processes' files as one, in the order of rows."""
    parts = [out / f"{name}.{number}" for number in range(workers)]
    streams = [part.open(encoding="utf-8", newline="") for part in parts]
    try:
        readers = [csv.reader(stream) for stream in streams]
        headers = [next(reader) for reader in readers]
        with (out / name).open("w", encoding="utf-8", newline="") as joined:
            writer = csv.writer(joined)
            writer.writerow(headers[0])
            merged: Iterator[list[str]] = heapq.merge(*readers, key=_row_of)
            writer.writerows(merged)
    finally:
        for stream in streams:
            stream.close()
    for part in parts:
        part.unlink()
