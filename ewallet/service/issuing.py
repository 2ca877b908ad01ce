"""Calls of an agency: issue, bind, amend, renew, correct, suspend, restore, revoke; the feed; bulk jobs.

Every call names operator, matter and case number. The case number (or the header `Idempotency-Key`) makes a
call repeatable: the same content gives the same license again, another content is a conflict.

Where the type wants two officers, a call waits until another partner confirms it
(`ewallet.service.confirming`): a `second_operator` counts only from a partner that attests to one.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from starlette.concurrency import run_in_threadpool

from ewallet.errors import (
    ConfigError,
    Conflict,
    EwalletError,
    KeyMaterialError,
    Malformed,
    NotAllowed,
    NotFound,
    NotWaiting,
    RecordError,
    Refused,
    RegisterError,
    SameOfficer,
    SecondOfficerNeeded,
    SignerError,
)
from ewallet.keys import PublicKey
from ewallet.licenses import bulk
from ewallet.licenses.confirmations import EXPIRED, Act, Confirmations, Pending, expires
from ewallet.licenses.issuer import Issued
from ewallet.licenses.jobs import DONE, FAILED, RUNNING, Job, Jobs
from ewallet.licenses.lifecycle import Case, EventKind, State
from ewallet.licenses.printed import PrintOrder
from ewallet.service.http import LOG, Problem, answer, media_type, member, read_body, read_object
from ewallet.wire import b64u_decode, b64u_encode

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from starlette.requests import Request as Call
    from starlette.responses import Response

    from ewallet.licenses.issuer import Issuer
    from ewallet.licenses.license import License
    from ewallet.licenses.lifecycle import Event
    from ewallet.service.settings import Settings

MAX_EXPORT: Final = 256 * 1024 * 1024
"""Bytes of an export: a hundred thousand records with room."""

_JOB: Final = re.compile(r"[0-9a-f]{64}")
_EXPORTS: Final = {"text/csv": ".csv", "application/jsonl": ".jsonl"}
_PAGE: Final = 1000
_MACHINE: Final = "machine"


def problem_of(error: EwalletError) -> Problem:
    """What an error of the register means over HTTP. Its text names fields and states, never values."""
    if isinstance(error, RecordError):
        return Problem(422, error.problem, field=error.field)
    if isinstance(error, NotFound):
        return Problem(404, str(error))
    if isinstance(error, NotAllowed):
        return Problem(409, str(error), event=error.event, state=error.state)
    if isinstance(error, Conflict):
        return Problem(409, str(error))
    if isinstance(error, SameOfficer):
        return Problem(403, str(error))
    if isinstance(error, NotWaiting):
        status = 410 if error.state == EXPIRED else 409
        return Problem(status, str(error), state=error.state, because=error.because)
    if isinstance(error, Malformed | KeyMaterialError):
        return Problem(422, "not in the exact form")
    if isinstance(error, Refused):
        return Problem(403, error.detail or error.reason, reason=error.reason)
    if isinstance(error, RegisterError | SignerError):
        return Problem(503, "the register or its keys do not answer: nothing was done", headers=_AGAIN)
    return Problem(500, "an error of the service")


_AGAIN: Final = {"Retry-After": "5"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Agency:
    """The calls of one issuing authority.

    Attributes:
        issuer: the authority at work.
        settings: how the process was started.
        confirmations: what waits for a second officer.
        jobs: bulk jobs, as the register tells them; what they made is in the register too.
    """

    issuer: Issuer
    settings: Settings
    confirmations: Confirmations = field(init=False)
    jobs: Jobs = field(init=False)
    _mine: set[str] = field(default_factory=set)
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "bulk"))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        object.__setattr__(self, "confirmations", Confirmations(self.issuer))
        object.__setattr__(self, "jobs", Jobs(self.issuer.register))

    # --- birth ----------------------------------------------------------------------------------------------

    async def issue(self, call: Call) -> Response:
        """POST /v1/licenses."""
        data = await read_object(call)
        type_ = self._type(member(data, "type", str))
        record = _texts(member(data, "record", dict), "record")
        images = _images(member(data, "images", dict, default={}))
        printed, case = _sheets(data), _case(call, data)
        reason = member(data, "reason", str, default="")
        return await self._do(
            call,
            Act(
                kind=EventKind.ISSUE,
                type=type_,
                values=record,
                images=images,
                printed=printed,
                reason=reason,
                case=case,
            ),
        )

    async def change(self, call: Call) -> Response:
        """POST /v1/licenses/{act}: amend, renew, correct, annotate, suspend, restore, revoke."""
        data = await read_object(call)
        act, named = call.path_params["act"], member(data, "identifier", str)
        reason, case = member(data, "reason", str), _case(call, data)
        plain = Act(kind=EventKind.SUSPEND, identifier=named, reason=reason, case=case)
        if act in ("amend", "renew", "correct"):
            changes = _texts(member(data, "changes", dict), "changes")
            images, printed = _images(member(data, "images", dict, default={})), _sheets(data)
            made = replace(plain, kind=EventKind(act), values=changes, images=images, printed=printed)
            return await self._do(call, made)
        if act == "annotate":
            text = member(data, "text", str)
            return await self._do(call, replace(plain, kind=EventKind.ANNOTATE, text=text))
        if act == "revoke":
            kind = _ending(member(data, "kind", str, default="revoked"))
            return await self._do(call, replace(plain, kind=kind))
        if act in ("suspend", "restore"):
            return await self._do(call, replace(plain, kind=EventKind(act)))
        raise Problem(404, "no such act")

    async def _do(self, call: Call, act: Act) -> Response:
        """Does an act, or says that it waits for a second officer."""
        by = call.scope["ewallet.caller"].name
        found = await working(lambda: self.confirmations.do(act, by=by, now=self.settings.now()))
        if isinstance(found, Pending):
            return answer({"pending": found.id, "expires": expires(found).isoformat()}, 202)
        return outcome(found)

    # --- binding --------------------------------------------------------------------------------------------

    async def nonce(self, call: Call) -> Response:
        """POST /v1/bindings/nonce: what a device signs to prove that it holds its key."""
        del call
        nonce = await working(lambda: self.issuer.challenge(self.settings.now()))
        return answer({"authority": self.issuer.authority.uri, "nonce": b64u_encode(nonce)}, 201)

    async def bind(self, call: Call) -> Response:
        """POST /v1/bindings: holder credentials for a device."""
        data = await read_object(call)
        named, index = member(data, "identifier", str), member(data, "holder_index", int, default=0)
        try:
            key = PublicKey.from_jwk(member(data, "key", dict))
            proof = b64u_decode(member(data, "proof", str))
        except (KeyMaterialError, Malformed) as error:
            raise Problem(422, "key or proof is not in the exact form") from error
        made = await working(lambda: self.issuer.bind(named, index, key, proof, now=self.settings.now()))
        return answer({"sd_jwt": made.sd_jwt, "sd_cwt": b64u_encode(made.sd_cwt)}, 201)

    # --- reading --------------------------------------------------------------------------------------------

    async def show(self, call: Call) -> Response:
        """POST /v1/licenses/show: in a body, since addresses are logged and an identifier tells a person."""
        named = member(await read_object(call), "identifier", str)
        return answer(await working(lambda: self._shown(named)))

    def _shown(self, named: str) -> dict[str, Any]:
        register = self.issuer.register
        license_, entry = register.license(named), register.entry(named)
        return {**_license(license_), "state": entry.state.value, "newest_version": entry.version}

    async def feed(self, call: Call) -> Response:
        """GET /v1/events?after=: what changed, in order and without gaps."""
        after, limit = _number(call, "after", 0), _number(call, "limit", _PAGE)
        if not 1 <= limit <= _PAGE:
            raise Problem(422, f"limit: 1 to {_PAGE}", field="limit")
        events = await working(lambda: self._events(after, limit))
        return answer({"events": events, "last": events[-1]["id"] if events else after})

    def _events(self, after: int, limit: int) -> list[dict[str, Any]]:
        register = self.issuer.register
        return [
            _event(each, register.identifier_of(each.license_id, each.version))
            for each in register.feed(after=after, limit=limit)
        ]

    # --- bulk -----------------------------------------------------------------------------------------------

    async def start_job(self, call: Call) -> Response:
        """POST /v1/jobs?type=: an agency's export, issued in the background."""
        suffix = _EXPORTS.get(media_type(call))
        if suffix is None:
            raise Problem(415, "an export is text/csv or application/jsonl")
        type_ = self._type(call.query_params.get("type", ""))
        operator = call.headers.get("x-ewallet-operator", "")
        if not operator:
            raise Problem(422, "X-Ewallet-Operator: who runs the job", field="operator")
        second = call.headers.get("x-ewallet-second-operator", "")
        self._two_for_job(call, type_, Case(operator=operator, second_operator=second))
        content = await read_body(call, MAX_EXPORT)
        job = await working(lambda: self._start(content, suffix, type_, operator, second))
        return answer(job.to_json(), 202)

    def _two_for_job(self, call: Call, type_: str, case: Case) -> None:
        """A job does not wait: where two officers are wanted, both are attested to, or it is refused."""
        if case.second_operator and not call.scope["ewallet.caller"].attests_second_officer:
            raise Problem(
                422,
                "X-Ewallet-Second-Operator: this partner does not attest to a second officer",
                field="second_operator",
            )
        try:
            bulk.check_officers(self.issuer.catalog[type_], case)
        except SecondOfficerNeeded as error:
            raise Problem(
                409,
                "this type wants two officers to issue, and a job does not wait for the second one: send "
                "the licenses one by one (POST /v1/licenses), or let a partner that attests to its second "
                "officer name one in X-Ewallet-Second-Operator",
                event=error.event,
                state=error.state,
            ) from error

    def _start(self, content: bytes, suffix: str, type_: str, operator: str, second: str) -> Job:
        name = sha256(self.issuer.catalog[type_].code.encode() + b"\0" + content).hexdigest()
        place, machine = self._place(name), self._machine()
        with self._lock:
            if name in self._mine:
                return self.jobs.job(name, now=self.settings.now())
            job, ours = self.jobs.take(
                name, machine=machine, here=(place / bulk.RESULTS).exists(), now=self.settings.now()
            )
            if not ours:
                return job
            self._mine.add(name)
        export = place / f"export{suffix}"
        try:
            place.mkdir(parents=True, exist_ok=True)
            export.write_bytes(content)
        except OSError as error:
            self._mine.discard(name)
            self._note(replace(job, state=FAILED, problem="the export cannot be written"))
            raise Problem(503, "the export cannot be written: nothing was done", headers=_AGAIN) from error
        self._pool.submit(self._run, job, export, type_, operator, second)
        return job

    def _run(self, job: Job, export: Path, type_: str, operator: str, second: str) -> None:
        def step(rows: int) -> None:
            nonlocal job
            job = self._note(replace(job, rows=job.rows + rows))

        job = self._note(replace(job, state=RUNNING))
        try:
            done = bulk.run(
                self.issuer,
                export,
                type=type_,
                out=export.parent,
                now=self.settings.now(),
                operator=operator,
                second_operator=second,
                progress=step,
            )
        except (EwalletError, OSError) as error:
            LOG.exception("bulk job %s failed: %s", job.name[:12], type(error).__name__)
            problem = str(error) if isinstance(error, ConfigError | RecordError) else type(error).__name__
            # Started again with the same file, it goes on where it stopped.
            self._note(replace(job, state=FAILED, problem=problem))
        else:
            job = replace(job, issued=done.issued, again=done.again, rejected=done.rejected)
            self._note(replace(job, state=DONE))
            export.unlink(missing_ok=True)
        finally:
            self._mine.discard(job.name)

    def _note(self, job: Job) -> Job:
        """Progress stands in the register; a step that cannot be written there stops no job."""
        try:
            return self.jobs.note(job, now=self.settings.now())
        except RegisterError:
            LOG.error("bulk job %s: its progress cannot be written", job.name[:12])
            return job

    async def job(self, call: Call) -> Response:
        """GET /v1/jobs/{job}: how far it is, whichever process or machine runs it."""
        return answer((await working(lambda: self._job(call.path_params["job"]))).to_json())

    def _job(self, name: str) -> Job:
        if not _JOB.fullmatch(name):
            raise Problem(404, "no such job")
        return self.jobs.job(name, now=self.settings.now())

    def _place(self, name: str) -> Path:
        return self.settings.state / "jobs" / name

    def _machine(self) -> str:
        """Name of where this process keeps its files: the machine's, and which of its state directories."""
        file = self.settings.state / _MACHINE
        with suppress(FileNotFoundError):
            return file.read_text().strip()
        draft = file.with_name(f"{_MACHINE}.{secrets.token_hex(4)}")
        try:
            self.settings.state.mkdir(parents=True, exist_ok=True)
            draft.write_text(f"{socket.gethostname()}-{secrets.token_hex(3)}\n")
            with suppress(FileExistsError):
                os.link(draft, file)  # the first process names it, whole
            draft.unlink()
            return file.read_text().strip()
        except OSError as error:
            raise Problem(503, "the state directory cannot be written", headers=_AGAIN) from error

    async def job_file(self, call: Call) -> Response:
        """GET /v1/jobs/{job}/{file}: results.csv or rejects.csv, where the job ran."""
        name, file = call.path_params["job"], call.path_params["file"]
        if file not in (bulk.RESULTS, bulk.REJECTS):
            raise Problem(404, "no such file")
        found = answer(await working(lambda: self._job_file(name, file)))
        found.headers["content-type"] = "text/csv; charset=utf-8"
        return found

    def _job_file(self, name: str, file: str) -> bytes:
        job = self._job(name)
        if job.machine != self._machine():
            raise Problem(
                409,
                "the files of this job lie where it ran: ask there; or, once it is done, send the export "
                "again here: no license is made twice, and the files are written here",
                machine=job.machine,
            )
        try:
            return (self._place(name) / file).read_bytes()
        except OSError as error:
            raise Problem(404, "no such file") from error

    # --- status by number -----------------------------------------------------------------------------------

    async def number(self, call: Call) -> Response:
        """POST /v1/number: whether a license of that number is in force, and nothing else."""
        data = await read_object(call)
        typed = member(data, "number", str).strip()
        if not 1 <= len(typed) <= 80:
            raise Problem(422, "number: 1 to 80 characters", field="number")
        found = await working(lambda: self._by_number(typed))
        if not found["licenses"]:
            raise Problem(404, "no license of that number")
        return answer(found)

    def _by_number(self, typed: str) -> dict[str, Any]:
        register, now = self.issuer.register, self.settings.now()
        licenses = register.find(number=typed, living=False)
        if not licenses and typed.startswith("1.2.156.3005.2."):
            try:
                licenses = [register.current(typed)]
            except NotFound:
                licenses = []
        found = []
        for license_ in licenses:
            state = register.entry(license_.identifier).state
            ended = license_.ends_at is not None and license_.ends_at <= now
            found.append(
                {
                    "type": license_.type_code,
                    "type_key": license_.type_key,
                    "names": self._names(license_.type_code),
                    "state": "lapsed" if ended and state.lives else state.value,
                    "in_force": state is State.VALID and not ended and license_.starts_at <= now,
                }
            )
        best = max(found, key=lambda each: (each["in_force"], each["state"] == "suspended"), default=None)
        return {"status": best["state"] if best else None, "licenses": found, "at": now.isoformat()}

    def _names(self, code: str) -> dict[str, str]:
        type_ = self.issuer.catalog.get(code)
        return {} if type_ is None else {"zh": type_.zh, "en": type_.en}

    def _type(self, name: str) -> str:
        if self.issuer.catalog.get(name) is None:
            raise Problem(422, "no such type", field="type", code=13)
        return name


async def working(work: Callable[[], Any]) -> Any:
    """Runs what may wait for the register beside the loop; its errors become problems."""
    try:
        return await run_in_threadpool(work)
    except EwalletError as error:
        raise problem_of(error) from error


def _case(call: Call, data: dict[str, Any]) -> Case:
    given = member(data, "case", dict)
    if set(given) - {"number", "matter", "operator", "second_operator"}:
        raise Problem(422, "case: number, matter, operator, second_operator", field="case")
    texts: dict[str, Any] = _texts(given, "case")
    case = Case(**texts)
    if not case.operator:
        raise Problem(422, "case.operator: who acts", field="case.operator")
    if case.second_operator and not call.scope["ewallet.caller"].attests_second_officer:
        raise Problem(
            422,
            "case.second_operator: this partner does not attest to a second officer; leave it out, and where "
            "two are wanted another partner confirms the call",
            field="case.second_operator",
        )
    key = call.headers.get("idempotency-key", "")
    if key and not case.number:
        case = replace(case, number=f"idempotency {key}")
    if not case.number:
        raise Problem(422, "a case number or an Idempotency-Key is needed", field="case.number")
    return case


def _texts(given: dict[str, Any], name: str) -> dict[str, str]:
    if not all(type(value) is str for value in given.values()):
        raise Problem(422, f"{name}: values are texts", field=name)
    if any("\0" in value for value in given.values()):  # which PostgreSQL cannot keep
        raise Problem(422, f"{name}: no text has a NUL in it", field=name)
    return given


def _images(given: dict[str, Any]) -> dict[str, bytes]:
    try:
        return {key: b64u_decode(value) for key, value in _texts(given, "images").items()}
    except Malformed as error:
        raise Problem(422, "images: base64url", field="images") from error


def _sheets(data: dict[str, Any]) -> PrintOrder | None:
    given = member(data, "printed", dict, default=None)
    if given is None:
        return None
    stock = member(given, "stock", list, default=[])
    if not all(type(each) is str for each in stock):
        raise Problem(422, "printed.stock: texts", field="printed")
    try:
        return PrintOrder(
            originals=member(given, "originals", int, default=1),
            duplicates=member(given, "duplicates", int, default=0),
            stock=tuple(stock),
        )
    except ValueError as error:
        raise Problem(422, str(error), field="printed") from error


_ENDINGS: Final = {
    State.REVOKED.value: EventKind.REVOKE,
    State.WITHDRAWN.value: EventKind.WITHDRAW,
    State.CANCELLED.value: EventKind.CANCEL,
}


def _ending(kind: str) -> EventKind:
    if kind not in _ENDINGS:
        raise Problem(422, "kind: revoked, withdrawn or cancelled", field="kind")
    return _ENDINGS[kind]


def _number(call: Call, key: str, default: int) -> int:
    text = call.query_params.get(key, str(default))
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise Problem(422, f"{key} is a number", field=key)
    return int(text)


def outcome(found: Issued | License) -> Response:
    """What an act has made, as its call answers it: 201 for a new license."""
    if not isinstance(found, Issued):
        return answer(_license(found))
    return answer(_issued(found), 201 if found.license.version == 1 and not found.again else 200)


def _issued(issued: Issued) -> dict[str, Any]:
    return {
        **_license(issued.license),
        "document": issued.document,
        "again": issued.again,
        "printed": [
            {
                "role": copy.role.name.lower(),
                "number": copy.number,
                "of": copy.of,
                "stock": copy.stock,
                "seal": copy.seal,
            }
            for copy in issued.printed
        ],
    }


def _license(license_: License) -> dict[str, Any]:
    return {
        "identifier": license_.identifier,
        "type": license_.type_code,
        "number": license_.number,
        "version": license_.version,
        "replaces": license_.replaces,
        "area": license_.area,
        "valid_from": license_.valid_from.isoformat(),
        "valid_until": license_.valid_until.isoformat() if license_.valid_until else None,
        "issued_on": license_.issued_on.isoformat(),
        "face": dict(license_.face),
    }


def _event(event: Event, identifier: str) -> dict[str, Any]:
    return {
        "id": event.id,
        "identifier": identifier,
        "version": event.version,
        "kind": event.kind.value,
        "state": event.state.value,
        "at": event.at,
        "reason": event.reason,
        "case": {
            "number": event.case.number,
            "matter": event.case.matter,
            "operator": event.case.operator,
            "second_operator": event.case.second_operator,
        },
        "detail": json.loads(json.dumps(event.detail, default=str)),
    }
