"""Reconciliation: where paper, e-license and an agency's own list have drifted apart.

The register is read in slices of row numbers, each slice in one pass, by one process or several; findings are
written out as they come, so that memory does not grow with the register. Nothing is repaired here: a finding
names the license, what is wrong and where to look.
"""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
import sqlite3
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import func, select

from ewallet.errors import ConfigError, Malformed, RegisterError
from ewallet.formats import statuslist
from ewallet.licenses import tables
from ewallet.licenses.catalog import Catalog, Field, LicenseType
from ewallet.licenses.differences import exact
from ewallet.licenses.intake import detect_encoding
from ewallet.licenses.license import face_digest
from ewallet.licenses.lifecycle import FIELD_CODES, State
from ewallet.licenses.normal import needed_rules
from ewallet.licenses.printed import IN_FORCE, CopyState
from ewallet.licenses.register import Register
from ewallet.licenses.seal import parse_seal
from ewallet.moments import day_of, instant, seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

_SLICE: Final = 2_500
"""Row numbers of one slice: small enough that its findings fit in memory whatever is wrong."""

_BATCH: Final = 500

_STATE_WORDS: Final[dict[str, State]] = {
    **{code: state for state, code in FIELD_CODES.items()},
    **{state.value: state for state in State},
    **dict.fromkeys(("有效", "正常", "在业"), State.VALID),
    **dict.fromkeys(("失效", "过期"), State.LAPSED),
    **dict.fromkeys(("吊销", "撤销"), State.REVOKED),
    "暂扣": State.SUSPENDED,
    "撤回": State.WITHDRAWN,
    "注销": State.CANCELLED,
    "迁出": State.TRANSFERRED,
}
_STATE_COLUMNS: Final = ("证照状态", "状态", "ZZZT", "status", "state")


class Kind(StrEnum):
    """What can be wrong. Each kind has another remedy."""

    FACE_DIGEST = "face-digest"
    COPY_DIFFERS = "copy-differs"
    COPY_OUTDATED = "copy-outdated"
    COPY_IN_FORCE = "copy-in-force"
    PAPER_MISSING = "paper-missing"
    PRINTED_LATE = "printed-late"
    STATUS_ENTRY = "status-entry"
    MISSING_HERE = "missing-here"
    MISSING_THERE = "missing-there"
    FIELD_DIFFERS = "field-differs"
    STATUS_DIFFERS = "status-differs"
    TWICE_THERE = "twice-there"
    ROW_UNREADABLE = "row-unreadable"


KINDS: Final[Mapping[Kind, tuple[str, str]]] = {
    Kind.FACE_DIGEST: ("证面与其摘要不符", "The recorded face does not have its recorded digest"),
    Kind.COPY_DIFFERS: ("纸质副本与现行证面不符", "A copy's seal is not over the face of its version"),
    Kind.COPY_OUTDATED: ("旧版纸件仍在用", "A copy of an old version still counts as in force"),
    Kind.COPY_IN_FORCE: ("证照已终止而纸件仍在用", "The license has ended, its paper counts as in force"),
    Kind.PAPER_MISSING: ("应有纸质证照而没有", "The license should have paper and has none"),
    Kind.PRINTED_LATE: ("未在当日制证", "The paper was not printed on the day of its order"),
    Kind.STATUS_ENTRY: ("状态列表项与登记不符", "A status entry contradicts the register"),
    Kind.MISSING_HERE: ("部门有而本库没有", "The agency has it, the register does not"),
    Kind.MISSING_THERE: ("本库有而部门没有", "The register has it, the agency does not"),
    Kind.FIELD_DIFFERS: ("字段内容不一致", "A field differs"),
    Kind.STATUS_DIFFERS: ("证照状态不一致", "The states differ"),
    Kind.TWICE_THERE: ("部门数据中重复", "The agency's list has it twice"),
    Kind.ROW_UNREADABLE: ("部门数据行无法读取", "A row of the agency's list cannot be read"),
}
"""One sentence for each kind, in Chinese and English."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        kind: what.
        type_key: type of the license.
        number: license number.
        identifier: identifier of its newest version; empty if the register does not have it.
        area: six digits; empty if unknown.
        day: day of issue of that version; empty if unknown.
        field: which field, or which sheet.
        row: row of the agency's list; 0 if it has nothing to do with it.
    """

    kind: Kind
    type_key: str
    number: str
    identifier: str = ""
    area: str = ""
    day: str = ""
    field: str = ""
    row: int = 0

    def to_json(self) -> str:
        """One line of JSON; it holds no field values, so that a report is not a second register."""
        return json.dumps(
            {
                "kind": self.kind.value, "type": self.type_key, "number": self.number,
                "identifier": self.identifier, "area": self.area, "day": self.day, "field": self.field,
                "row": self.row,
            },
            ensure_ascii=False,
        )  # fmt: skip


@dataclass(slots=True, kw_only=True)
class Summary:
    """What a run found, counted.

    Attributes:
        started_at: time of the run.
        compared_with: `register`, or the name of the agency's file.
        checked: licenses looked at.
        rows: rows of the agency's list.
        kinds: findings by kind.
        types: licenses and findings by type.
        areas: licenses and findings by area.
        days: licenses and findings by day of issue.
        not_compared: fields that the agency's list does not have.
        took: seconds.
    """

    started_at: datetime
    compared_with: str
    checked: int = 0
    rows: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    types: dict[str, Counter[str]] = field(default_factory=dict)
    areas: dict[str, Counter[str]] = field(default_factory=dict)
    days: dict[str, Counter[str]] = field(default_factory=dict)
    not_compared: tuple[str, ...] = ()
    took: float = 0.0

    @property
    def findings(self) -> int:
        """How many findings."""
        return sum(self.kinds.values())

    @property
    def clean(self) -> bool:
        """Nothing was found, and something was looked at."""
        return self.findings == 0 and self.checked > 0

    def count(self, part: _Counts, findings: Iterable[Finding]) -> None:
        """Add one slice."""
        self.checked += sum(part.values())
        for (type_key, area, day), number in part.items():
            for table, key in ((self.types, type_key), (self.areas, area), (self.days, day)):
                table.setdefault(key, Counter())["licenses"] += number
        for finding in findings:
            self.kinds[finding.kind.value] += 1
            for table, key in (
                (self.types, finding.type_key),
                (self.areas, finding.area),
                (self.days, finding.day),
            ):
                table.setdefault(key, Counter())["findings"] += 1


_Counts = Counter[tuple[str, str, str]]
_Part = tuple[_Counts, list[Finding]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    """One slice for one process: everything that it needs, in plain values."""

    url: str
    catalog: tuple[str, ...]
    now: datetime
    first: int
    last: int
    paper_types: frozenset[str] = frozenset()
    type_key: str = ""
    rows: str = ""
    columns: tuple[tuple[str, int], ...] = ()
    state_column: int = -1


# --- Runs ---------------------------------------------------------------------------------------------------


def reconcile(
    url: str | Path,
    *,
    now: datetime,
    findings: Callable[[Finding], None],
    catalog: Sequence[Path] = (),
    paper_types: Iterable[str] = (),
    processes: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Summary:
    """The register against itself: paper and e-license of every living license.

    Args:
        url: the register; each process opens it for itself.
        now: time of the run; decides what is late.
        findings: is given each finding, in the order of the register.
        catalog: directories of a deployment's own types.
        paper_types: types of which every license must have paper; for others, paper must exist where an
            earlier version had it.
        processes: how many processes read.
        progress: is told how many row numbers are done, of how many.
    """
    summary = Summary(started_at=now, compared_with="register")
    began = time.monotonic()
    tasks = [
        _Task(
            url=str(url),
            catalog=tuple(map(str, catalog)),
            now=now,
            first=first,
            last=last,
            paper_types=frozenset(paper_types),
        )
        for first, last in _slices(url)
    ]
    _run(_check_slice, tasks, summary, processes=processes, findings=findings, progress=progress)
    summary.took = time.monotonic() - began
    return summary


def reconcile_export(
    url: str | Path,
    export: Path,
    type_key: str,
    *,
    now: datetime,
    findings: Callable[[Finding], None],
    catalog: Sequence[Path] = (),
    processes: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Summary:
    """The register against an agency's own list of one type.

    Compared are the fields that the list has columns for, under the rules of `normal`; the others are named
    in the summary. Of several licenses with one number the newest counts; one that has ended may be missing
    there.

    Args:
        url: the register.
        export: CSV with Chinese headers, UTF-8 or GB18030, one column of it the license number.
        type_key: the type of its rows.
        now: time of the run.
        findings: is given each finding.
        catalog: directories of a deployment's own types.
        processes: how many processes compare.
        progress: is told how much is done, of how much.

    Raises:
        ConfigError: the list cannot be read, or has no column for the license number.
    """
    summary = Summary(started_at=now, compared_with=export.name)
    began = time.monotonic()
    type_ = _catalog(tuple(map(str, catalog)))[type_key]
    with tempfile.TemporaryDirectory(prefix="ewallet-reconcile-") as folder:
        rows = Path(folder) / "rows.db"
        header = _load_rows(export, type_, rows, summary, findings)
        columns, state_column = _export_columns(header, type_)
        compared = {key for key, _ in columns}
        summary.not_compared = tuple(spec.zh for spec in type_.face_fields if spec.key not in compared)
        tasks = [
            _Task(
                url=str(url),
                catalog=tuple(map(str, catalog)),
                now=now,
                first=first,
                last=last,
                type_key=type_.key,
                rows=str(rows),
                columns=columns,
                state_column=state_column,
            )
            for first, last in _slices(url)
        ]
        _run(_compare_slice, tasks, summary, processes=processes, findings=findings, progress=progress)
        with Register.open(url) as register:
            missing = list(_missing_here(register, rows, type_))
    summary.count(Counter(), missing)
    for finding in missing:
        findings(finding)
    summary.took = time.monotonic() - began
    return summary


def _run(
    work: Callable[[_Task], _Part],
    tasks: list[_Task],
    summary: Summary,
    *,
    processes: int,
    findings: Callable[[Finding], None],
    progress: Callable[[int, int], None] | None,
) -> None:
    with _mapping(processes) as apply:
        for done, (counts, found) in enumerate(apply(work, tasks), 1):
            summary.count(counts, found)
            for finding in found:
                findings(finding)
            if progress is not None:
                progress(done, len(tasks))


@contextmanager
def _mapping(processes: int) -> Iterator[Callable[..., Iterator[_Part]]]:
    if processes <= 1:
        yield map
        return
    # Spawned, not forked: a forked database connection belongs to two processes at once. And an executor, not
    # a pool: when a worker dies, this one says so, and a pool would wait for it for ever.
    try:
        with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as executor:
            yield executor.map
    except BrokenProcessPool as error:
        raise RegisterError("a process of the reconciliation ended before its work was done") from error


def _slices(url: str | Path) -> list[tuple[int, int]]:
    with Register.open(url) as register, register.reading() as connection:
        last = connection.execute(select(func.max(tables.license_.c.id))).scalar() or 0
        first = connection.execute(select(func.min(tables.license_.c.id))).scalar() or 0
    return (
        [(start, min(start + _SLICE - 1, last)) for start in range(first, last + 1, _SLICE)] if last else []
    )


_OPENED: dict[tuple[int, str], Register] = {}
_CATALOGS: dict[tuple[str, ...], Catalog] = {}


def _register(url: str) -> Register:
    """The register of this process, opened once for all of its slices."""
    key = (os.getpid(), url)
    if key not in _OPENED:
        _OPENED[key] = Register.open(url)
    return _OPENED[key]


def _catalog(directories: tuple[str, ...]) -> Catalog:
    if directories not in _CATALOGS:
        _CATALOGS[directories] = Catalog.load(*map(Path, directories)) if directories else Catalog.builtin()
    return _CATALOGS[directories]


# --- The register against itself ----------------------------------------------------------------------------

_LICENSES: Final = select(
    tables.license_.c.id,
    tables.license_.c.type_key,
    tables.license_.c.number,
    tables.license_.c.state,
    tables.license_.c.version,
    tables.version.c.identifier,
    tables.version.c.area,
    tables.version.c.face,
    tables.version.c.salt,
    tables.version.c.digest_name,
    tables.version.c.face_digest,
    tables.version.c.issued_at,
).join(
    tables.version,
    (tables.version.c.license_id == tables.license_.c.id)
    & (tables.version.c.version == tables.license_.c.version),
)

_COPIES: Final = select(
    tables.copy.c.license_id,
    tables.copy.c.version,
    tables.copy.c.stock,
    tables.copy.c.state,
    tables.copy.c.seal,
    tables.copy.c.printed_at,
    tables.copy.c.idx,
    tables.slot.c.value,
).outerjoin(
    tables.slot, (tables.slot.c.shard == tables.copy.c.shard) & (tables.slot.c.idx == tables.copy.c.idx)
)


def _check_slice(task: _Task) -> _Part:
    counts: _Counts = Counter()
    found: list[Finding] = []
    with _register(task.url).reading() as connection:
        copies: dict[int, list[Any]] = {}
        wanted = _COPIES.where(tables.copy.c.license_id.between(task.first, task.last))
        for copy in connection.execute(wanted.order_by(tables.copy.c.license_id, tables.copy.c.id)):
            copies.setdefault(copy.license_id, []).append(copy)
        for row in _licenses(connection, task):
            day = day_of(instant(row.issued_at)).isoformat()
            counts[row.type_key, row.area, day] += 1
            found += (
                Finding(
                    kind=kind,
                    type_key=row.type_key,
                    number=row.number,
                    identifier=row.identifier,
                    area=row.area,
                    day=day,
                    field=where,
                )
                for kind, where in _check_license(row, copies.get(row.id, ()), task)
            )
    return counts, found


def _licenses(connection: Connection, task: _Task) -> Iterator[Any]:
    wanted = _LICENSES.where(tables.license_.c.id.between(task.first, task.last))
    return iter(connection.execute(wanted.order_by(tables.license_.c.id).execution_options(yield_per=1000)))


def _check_license(row: Any, copies: Sequence[Any], task: _Task) -> Iterator[tuple[Kind, str]]:
    state = State(row.state)
    face = tuple(json.loads(row.face).items())
    if face_digest(face, bytes(row.salt), _hash(row.digest_name)) != bytes(row.face_digest):
        yield Kind.FACE_DIGEST, ""
    in_force = 0
    for copy in copies:
        where = copy.stock or f"#{copy.idx}"
        counts_as_in_force = CopyState(copy.state) in IN_FORCE
        current = copy.version == row.version
        if counts_as_in_force and not state.lives:
            yield Kind.COPY_IN_FORCE, where
        elif counts_as_in_force and not current:
            yield Kind.COPY_OUTDATED, where
        elif counts_as_in_force:
            in_force += 1
            yield from _check_copy(row, face, copy, where, task.now)
        if not _status_agrees(copy.value, state, in_force=counts_as_in_force and current):
            yield Kind.STATUS_ENTRY, where
    should = row.type_key in task.paper_types or any(copy.version < row.version for copy in copies)
    if state.lives and should and not in_force and not any(copy.version == row.version for copy in copies):
        yield Kind.PAPER_MISSING, ""


def _check_copy(
    row: Any, face: tuple[tuple[str, str], ...], copy: Any, where: str, now: datetime
) -> Iterator[tuple[Kind, str]]:
    try:
        parsed = parse_seal(copy.seal)
    except Malformed:
        yield Kind.COPY_DIFFERS, where
        return
    seal = parsed.unverified
    same = (seal.identifier, seal.version, seal.stock) == (row.identifier, row.version, copy.stock or "")
    hashed = face_digest(face, seal.salt, _hash(row.digest_name))
    if not same or hashed != seal.face_digest:
        yield Kind.COPY_DIFFERS, where
    # The same day is the law's measure; a sheet not printed yet is late once that day is over.
    done_at = seconds(now) if copy.printed_at is None else copy.printed_at
    if day_of(instant(done_at)) > day_of(instant(seal.issued_at)):
        yield Kind.PRINTED_LATE, where


def _status_agrees(value: int | None, state: State, *, in_force: bool) -> bool:
    if value is None:
        return False
    if in_force and state is State.VALID:
        return value == statuslist.VALID
    if in_force and state is State.SUSPENDED:
        return value == statuslist.SUSPENDED
    return value != statuslist.VALID


def _hash(name: str) -> Callable[[bytes], bytes]:
    from ewallet.keys import SUITES  # noqa: PLC0415 - each process loads keys once, when it first needs them

    return next(suite.digest for suite in SUITES.values() if suite.hash == name)


# --- The register against an agency's list ------------------------------------------------------------------


def _load_rows(
    export: Path,
    type_: LicenseType,
    target: Path,
    summary: Summary,
    findings: Callable[[Finding], None],
) -> list[str]:
    """Put the rows of a list into a table on disk, by license number; gives the header."""
    with (
        closing(sqlite3.connect(target, isolation_level=None)) as rows,
        export.open(encoding=detect_encoding(export), newline="") as stream,
    ):
        rows.execute("PRAGMA journal_mode=OFF")
        rows.execute("PRAGMA synchronous=OFF")
        rows.execute("CREATE TABLE there (number TEXT PRIMARY KEY, row INT, cells TEXT) WITHOUT ROWID")
        reader = csv.reader(stream)
        header = [cell.strip() for cell in next(reader, [])]
        place = _number_column(header, type_, export)
        rows.execute("BEGIN")
        for line, cells in _lines(reader):
            summary.rows += 1
            number = cells[place].strip() if cells is not None and len(cells) > place else ""
            kind = None
            if cells is None or not number or len(cells) > len(header):
                kind = Kind.ROW_UNREADABLE
            else:
                number = exact(type_.by_key[type_.number], number)
                added = rows.execute(
                    "INSERT OR IGNORE INTO there VALUES (?, ?, ?)",
                    (number, line, json.dumps(cells, ensure_ascii=False)),
                )
                kind = None if added.rowcount else Kind.TWICE_THERE
            if kind is not None:
                finding = Finding(kind=kind, type_key=type_.key, number=number, row=line)
                summary.count(Counter(), [finding])
                findings(finding)
        rows.execute("COMMIT")
    return header


def _lines(reader: Any) -> Iterator[tuple[int, list[str] | None]]:
    line = 1
    while True:
        line += 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            yield line, None
            continue
        if any(cell.strip() for cell in cells):
            yield line, cells


def _number_column(header: list[str], type_: LicenseType, export: Path) -> int:
    spec = type_.by_key[type_.number]
    for name in (*spec.columns, spec.key):
        if name in header:
            return header.index(name)
    raise ConfigError(f"no column '{spec.zh}': it holds the license number", file=str(export), line=1)


def _export_columns(header: list[str], type_: LicenseType) -> tuple[tuple[tuple[str, int], ...], int]:
    columns = []
    for spec in type_.face_fields:
        place = next((header.index(name) for name in (*spec.columns, spec.key) if name in header), None)
        if place is not None and spec.key not in (type_.number, type_.portrait):
            columns.append((spec.key, place))
    state = next((header.index(name) for name in _STATE_COLUMNS if name in header), -1)
    return tuple(columns), state


def _compare_slice(task: _Task) -> _Part:
    counts: _Counts = Counter()
    found: list[Finding] = []
    type_ = _catalog(task.catalog)[task.type_key]
    specs = [(type_.by_key[key], place) for key, place in task.columns]
    newer = tables.license_.alias()
    wanted = (
        _LICENSES.where(
            tables.license_.c.id.between(task.first, task.last),
            tables.license_.c.type_code == type_.code,
            ~select(newer.c.id)
            .where(
                newer.c.type_code == tables.license_.c.type_code,
                newer.c.number == tables.license_.c.number,
                newer.c.id > tables.license_.c.id,
            )
            .exists(),
        )
        .order_by(tables.license_.c.id)
        .execution_options(yield_per=1000)
    )
    with (
        _register(task.url).reading() as connection,
        closing(sqlite3.connect(f"file:{task.rows}?mode=ro", uri=True)) as there,
    ):
        for row in connection.execute(wanted):
            day = day_of(instant(row.issued_at)).isoformat()
            counts[row.type_key, row.area, day] += 1
            match = there.execute("SELECT row, cells FROM there WHERE number = ?", (row.number,)).fetchone()
            for kind, where in _compare_row(row, match, specs, task.state_column):
                found.append(
                    Finding(
                        kind=kind,
                        type_key=row.type_key,
                        number=row.number,
                        identifier=row.identifier,
                        area=row.area,
                        day=day,
                        field=where,
                        row=match[0] if match else 0,
                    )
                )
    return counts, found


def _compare_row(
    row: Any, match: tuple[int, str] | None, specs: Sequence[tuple[Field, int]], state_column: int
) -> Iterator[tuple[Kind, str]]:
    state = State(row.state)
    if match is None:
        if state.lives:
            yield Kind.MISSING_THERE, ""
        return
    cells = json.loads(match[1])
    face = json.loads(row.face)
    for spec, place in specs:
        theirs = cells[place].strip() if place < len(cells) else ""
        ours = face.get(spec.key, "")
        if theirs != ours and not _same(spec, ours, theirs):
            yield Kind.FIELD_DIFFERS, spec.key
    if state_column >= 0:
        said = _STATE_WORDS.get(cells[state_column].strip() if state_column < len(cells) else "")
        if said is not state:
            yield Kind.STATUS_DIFFERS, ""


def _same(spec: Field, ours: str, theirs: str) -> bool:
    if not ours or not theirs:
        return False  # one side is empty, the other is not
    if theirs == spec.display(ours):
        return True
    written = exact(spec, theirs)
    return written == ours or needed_rules(written, ours) is not None


def _missing_here(register: Register, rows: Path, type_: LicenseType) -> Iterator[Finding]:
    table = tables.license_.c
    with (
        closing(sqlite3.connect(f"file:{rows}?mode=ro", uri=True)) as there,
        register.reading() as connection,
    ):
        cursor = there.execute("SELECT number, row FROM there ORDER BY number")
        while part := cursor.fetchmany(_BATCH):
            numbers = [number for number, _ in part]
            known = set(
                connection.execute(
                    select(table.number).where(table.type_code == type_.code, table.number.in_(numbers))
                ).scalars()
            )
            for number, line in part:
                if number not in known:
                    yield Finding(kind=Kind.MISSING_HERE, type_key=type_.key, number=number, row=line)
