"""The commands of a counter without a browser: many files at once, matters, and the doctor."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from datetime import timedelta

import pytest

from ewallet.cli import cli
from ewallet.keys import SigningKey
from ewallet.licenses.printed import PrintOrder
from ewallet.trust.entries import Service
from ewallet.verify.receipts import Use, UseLog
from tests.town import NOW, VENUE, Town

AT = NOW.isoformat()


@pytest.fixture
def town(tmp_path):
    found = Town(tmp_path / "bundle")
    yield found
    found.close()


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    (tmp_path / "bundle").mkdir()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LANG", "C.UTF-8")


@pytest.fixture
def run(town, capsys):
    """Runs a command against the town's bundle: exit code and what it printed."""

    def call(*words, trust=True, now=AT, **policy):
        if trust:
            town.publish()
            (town.directory / "policy.json").write_text(
                json.dumps({"format": 1, "scene": "counter", "venue": VENUE, "province": "31", **policy})
            )
            words = (*words, "--trust", str(town.directory), "--now", now)
        code = cli.main([*map(str, words)], standalone_mode=False)
        return int(code or 0), capsys.readouterr()

    return call


def test_a_folder_and_a_file_of_lines(town, run, tmp_path):
    folder = tmp_path / "inbox"
    (folder / "more").mkdir(parents=True)
    company, person = town.issue("business-license"), town.hold("resident-id")
    (folder / "company.sdjwt").write_text(company.document + "\n")
    (folder / "more" / "junk.txt").write_text("EWLJUNK\n")
    (folder / ".hidden").write_text("x")
    code, said = run("verify", folder, "--json")
    answers = [json.loads(line) for line in said.out.splitlines()]
    assert code == 1
    assert [answer["outcome"] for answer in answers] == ["ACCEPTED", "REJECTED"]
    assert answers[0]["input"].endswith("company.sdjwt")
    lines = tmp_path / "scans.txt"
    lines.write_text(f"{person.show('name')}\n\n{person.show('name', now=NOW - timedelta(minutes=5))}\n")
    code, said = run("verify", lines, "--json")
    answers = [json.loads(line) for line in said.out.splitlines()]
    assert [answer["reason"] for answer in answers] == [None, "code.expired"]
    assert answers[1]["input"] == f"{lines}:2"


def test_a_text_that_is_longer_than_a_name_may_be(town, run):
    """Shorter than a path may be, longer than a name: a seal is no file."""
    seal = town.issue("business-license", printed=PrintOrder()).printed[0].seal
    assert 255 < len(seal) < 1024
    assert run("verify", seal, seal)[0] == 0
    code, said = run("matter", "cover", "employer-social-insurance", seal)
    assert (code, said.err) == (1, "")


def test_a_place_that_asks_first_is_not_for_this_command(run):
    code, said = run("verify", "EWC", challenge=True)
    assert code == 2
    assert "asks first" in said.err


def test_matters_are_listed_shown_and_checked(run, tmp_path):
    code, said = run("matter", "list", "--lang", "en", trust=False)
    assert code == 0
    assert "open-restaurant" in said.out
    code, said = run("matter", "show", "newborn", "--lang", "zh", "--now", AT, trust=False)
    assert "免 1. 出生医学证明" in said.out
    assert "《中华人民共和国户口登记条例》" in said.out
    assert "待部署单位确认" in said.out
    code, said = run("matter", "show", "no-such", trust=False)
    assert (code, "no matter" in said.err) == (2, True)
    code, said = run("matter", "check", trust=False)
    assert (code, "good" in said.out) == (0, True)
    (tmp_path / "wrong.toml").write_text("format = 1\nzh = 1\n")
    code, said = run("matter", "check", tmp_path, trust=False)
    assert code == 1
    assert "wrong.toml:2" in said.err


def test_what_is_shown_covers_a_matter(town, run, tmp_path):
    company, person = town.hold("business-license"), town.hold("resident-id")
    fields = ("uscc", "name", "legal_representative", "address")
    code, said = run("matter", "cover", "employer-social-insurance", company.show(*fields), "--lang", "en")
    assert code == 1
    assert "☐ Legal representative's resident ID: Show the e-license" in said.out
    shown = (company.show(*fields), person.show("name", "resident_id"))
    code, said = run(
        "matter", "cover", "employer-social-insurance", *shown, "--json", "--state", tmp_path / "s"
    )
    found = json.loads(said.out)
    assert code == 0
    assert [each["material"] for each in found["covered"]] == ["business-license", "legal-representative-id"]
    assert found["form"][0]["source"]["field"] == "uscc"
    code, said = run("matter", "cover", "employer-social-insurance", "EWLJUNK", "--lang", "zh")
    assert code == 1
    assert "REJECTED" in said.err


def test_the_doctor_finds_a_healthy_counter(town, run):
    town.issue("business-license")
    code, said = run("doctor", "--json")
    found = {each["name"]: each for each in json.loads(said.out)}
    assert code == 0
    for name in ("clock", "lists", "policy", "state", "SM2SM3"):
        assert found[name]["state"] == "good"
    assert VENUE in found["policy"]["text"]


@pytest.mark.parametrize(
    ("later", "code", "name"),
    [
        (timedelta(hours=25), 3, "status lists"),
        (timedelta(hours=40), 3, "lists"),
        (-timedelta(hours=2), 1, "clock"),
    ],
)
def test_the_doctor_finds_what_is_old_or_wrong(town, run, later, code, name):
    town.issue("business-license")
    got, said = run("doctor", now=(NOW + later).isoformat())
    assert got == code
    assert any(line[0] in "!✗" and line[2:].startswith(name) for line in said.out.splitlines())
    assert "→" in said.out


def test_the_doctor_looks_at_keys(town, run, tmp_path):
    def saved(name, key):
        (tmp_path / name).write_bytes(b"encrypted")
        (tmp_path / name).chmod(0o600)
        (tmp_path / f"{name}.jwk.json").write_text(json.dumps(key.public_key.to_jwk()))
        return tmp_path / name

    town.issue("business-license")
    listed = saved("listed", town.verifying.signer(Service.VERIFY))
    code, said = run("doctor", "--key", listed)
    assert code == 0
    assert "listed: verify of https://sh.ewallet.example/a/hall" in said.out
    stranger = saved("stranger", SigningKey.generate())
    stranger.chmod(0o644)
    code, said = run("doctor", "--key", stranger, "--key", tmp_path / "missing")
    assert code == 1
    assert "the lists do not name it" in said.out
    assert (os.name != "posix") or "can be read by others" in said.out
    (tmp_path / "bare").write_bytes(b"x")
    assert "no bare.jwk.json" in run("doctor", "--key", tmp_path / "bare")[1].out


def test_the_doctor_without_lists_and_with_a_broken_bundle(run, tmp_path):
    assert run("doctor", trust=False)[0] == 0
    (tmp_path / "empty").mkdir()
    code, said = run("doctor", "--trust", tmp_path / "empty", trust=False)
    assert code == 1
    assert "✗ lists" in said.out


def test_the_log_of_uses(town, run, tmp_path):
    trust = town.publish()
    scene = trust.scenes["counter"].narrowed({"scene": "counter", "venue": VENUE})
    log = tmp_path / "uses.sqlite"
    with UseLog(log) as uses:
        found = town.verifier(trust=trust).verify("EWL", now=NOW)
        for _ in range(2):
            last = uses.record(found, scene=scene, trust=trust, use=Use(case="C-1"), now=NOW)
    witness = f"{last.number}:{last.hash.hex()}"
    assert run("uses", "check", log, "--witness", witness, trust=False)[0] == 0
    assert run("uses", "find", log, "case", "--value", "C-1", trust=False)[1].out == "1\n2\n"
    later = (NOW + timedelta(days=181)).isoformat()
    assert run("uses", "expire", log, "--now", later, trust=False)[1].out.startswith("2 records")
    assert run("uses", "find", log, "case", "--value", "C-1", trust=False)[1].out == "none\n"
    code, said = run("uses", "check", log, trust=False)
    assert (code, last.hash.hex() in said.out) == (0, True)
    assert run("uses", "check", log, "--witness", "x", trust=False)[0] == 2
    code, said = run("uses", "check", log, "--witness", "2:00", trust=False)
    assert (code, "receipted" in said.err) == (1, True)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_completes_commands(shell):
    environment = {**os.environ, "_EWALLET_COMPLETE": f"{shell}_source"}
    code = "import sys; sys.argv[0] = 'ewallet'; from ewallet.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert "_EWALLET_COMPLETE" in done.stdout


def test_doctor_asks_for_modules_that_the_extra_installs():
    from importlib.metadata import packages_distributions, requires

    from ewallet.cli.doctor_command import _PARTS

    installed = packages_distributions()
    for extra, (modules, _) in _PARTS.items():
        wanted = {
            re.split(r"[^A-Za-z0-9_.-]", each)[0].lower()
            for each in requires("ewallet") or []
            if re.search(rf"extra == ['\"]{extra}['\"]", each)
        }
        for module in modules:
            if module in installed:
                assert wanted & {name.lower() for name in installed[module]}, (extra, module)
