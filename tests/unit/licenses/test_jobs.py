"""Progress of bulk jobs in the register: one process takes a job; one without a process is taken again."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from ewallet.errors import NotFound, SecondOfficerNeeded
from ewallet.licenses import bulk
from ewallet.licenses.catalog import Catalog
from ewallet.licenses.jobs import DONE, FAILED, QUIET, RUNNING, STOPPED, Jobs
from ewallet.licenses.register import Register
from tests.agency import CATALOG, NOW, record

NAME = "a" * 64


@pytest.fixture
def jobs(register):
    return Jobs(register)


def take(jobs, *, machine="one", here=True, now=NOW):
    return jobs.take(NAME, machine=machine, here=here, now=now)


def test_a_job_is_taken_once(jobs):
    job, ours = take(jobs)
    assert ours
    assert take(jobs, machine="two") == (job, False)
    running = jobs.note(replace(job, state=RUNNING, rows=1000), now=NOW)
    assert take(jobs) == (running, False)
    assert jobs.job(NAME, now=NOW) == running
    with pytest.raises(NotFound):
        jobs.job("b" * 64, now=NOW)


def test_one_process_of_many_takes_it(database):
    def go(n):
        with Register.open(database) as register:
            return take(Jobs(register), machine=str(n))

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(go, range(4)))
    assert [ours for _, ours in found].count(True) == 1
    assert len({job.machine for job, _ in found}) == 1


def test_what_is_done_is_run_again_only_where_its_files_are_missing(jobs):
    job, _ = take(jobs)
    done = jobs.note(replace(job, state=DONE, issued=5), now=NOW)
    assert take(jobs) == (done, False)
    for machine, here in (("one", False), ("two", True)):
        jobs.note(done, now=NOW)
        again, ours = take(jobs, machine=machine, here=here)
        assert ours
        assert (again.machine, again.issued, again.state) == (machine, 0, "waiting")


def test_a_failed_or_silent_job_is_taken_again(jobs):
    job, _ = take(jobs)
    jobs.note(replace(job, state=FAILED, problem="disk"), now=NOW)
    assert take(jobs, machine="two")[1]
    jobs.note(replace(job, state=RUNNING), now=NOW)
    just = NOW + QUIET
    assert take(jobs, now=just)[1] is False
    late = just + timedelta(seconds=1)
    assert jobs.job(NAME, now=late).state == STOPPED
    assert take(jobs, now=late)[1]
    assert jobs.job(NAME, now=late).state == "waiting"


def test_a_job_of_a_type_that_wants_two_officers_begins_no_row(agency, tmp_path):
    strict = (replace(each, four_eyes=frozenset({"issue"})) for each in CATALOG)
    agency.issuer.catalog = Catalog(strict, CATALOG.codes)
    export = tmp_path / "export.csv"
    given = record("business-license")
    columns = {spec.key: spec.zh for spec in CATALOG["business-license"].fields}
    lines = [
        ",".join(columns[key] for key in given),
        ",".join(value.replace("\n", "") for value in given.values()),
    ]
    export.write_text("\n".join(lines), encoding="utf-8")
    for officers in ({}, {"operator": "a"}, {"operator": "a", "second_operator": "A"}):
        with pytest.raises(SecondOfficerNeeded):
            bulk.run(agency.issuer, export, type="business-license", out=tmp_path / "o", now=NOW, **officers)
    assert not (tmp_path / "o").exists()
    both = {"operator": "a", "second_operator": "b"}
    made = bulk.run(agency.issuer, export, type="business-license", out=tmp_path / "o", now=NOW, **both)
    assert (made.issued, made.rejected) == (1, 0)
    [event] = agency.register.feed()
    assert (event.case.operator, event.case.second_operator) == ("a", "b")
