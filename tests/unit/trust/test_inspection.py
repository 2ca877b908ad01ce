"""Checks, descriptions, differences; what an operator reads before signing; conformance."""

from __future__ import annotations

import json
import sys

import pytest

from ewallet.cli import cli
from ewallet.cli.exits import Exit
from ewallet.errors import ConfigError
from ewallet.trust import ceremony, conformance, lists
from ewallet.trust.authoring import suspension
from ewallet.trust.entries import Service, Status
from ewallet.trust.image import BRAKE
from ewallet.trust.inspection import check, describe, difference
from ewallet.trust.repository import Repository
from ewallet.trust.sandbox import make_sandbox
from ewallet.trust.words import changes
from tests.province import DAY, HOUR, START, World, new_key


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    made.authority("31", "market")
    made.authority("32", "market")
    made.publish()
    return made


def english(words):
    return "\n".join(en for _, en in words)


# --- check --------------------------------------------------------------------------------------------------


def test_a_sandbox_has_no_problems(tmp_path):
    bundle = make_sandbox(tmp_path / "bundle", provinces=("31", "32", "33", "34"), now=START)
    report = check(bundle.directory, now=START)
    assert report.passed, report.problems
    assert check(bundle.directory, now=START + 37 * HOUR).passed is False
    assert bundle.size() < 400_000


def faults(world, **parts):
    return english(check(world.repository, now=world.now, **parts).problems)


def test_check_sees_a_key_listed_twice(world):
    twin = world.authorities["31", "market"].signer(Service.LICENSES)
    world.authority("32", "copycat", services=(Service.LICENSES,), signers={Service.LICENSES: twin})
    world.publish(at=START + HOUR)
    assert "is listed for" in faults(world)


def test_a_list_never_lists_a_key_twice(world):
    twin = world.authorities["31", "market"].signer(Service.LICENSES)
    with pytest.raises(ConfigError):
        world.authority("31", "copycat", services=(Service.LICENSES,), signers={Service.LICENSES: twin})


def test_check_sees_rewritten_history(world):
    uri = world.authorities["31", "market"].uri
    before = world.consortium.listings["31"]
    world.consortium.suspend(uri, Service.LICENSES, now=START + HOUR)
    world.publish(at=START + HOUR)
    world.consortium.listings["31"] = lists.with_state(
        before, uri, Service.LICENSES, Status.GRANTED, effective=START + HOUR, now=START + HOUR
    )
    from dataclasses import replace

    world.consortium.listings["31"] = replace(before, sequence=10)
    world.consortium._write_list("31", START + 2 * HOUR)
    world.publish(at=START + 2 * HOUR)
    assert "its history was rewritten" in faults(world)


def test_check_sees_what_is_beyond_the_bounds(world):
    def wider(document):
        service = document["TrustedEntitiesList"][0]["TrustedEntityServices"][0]
        service["ServiceInformation"]["ServiceInformationExtensions"][0]["value"][0]["regions"] = ["32"]

    world.rewrite_list("31", wider)
    world.publish(at=START + HOUR)
    assert "beyond the bounds of 31" in faults(world)


def test_check_pins_the_root(world, tmp_path):
    other = World(tmp_path / "other", ("31", "32"))
    other.publish()
    root = (other.repository / "metadata" / "1.root.json").read_bytes()
    assert "cannot be used" in faults(world, root=root)


def test_check_warns_before_an_end(world):
    report = check(world.repository, now=START + 30 * HOUR)
    assert "31-hot ends at" in english(report.warnings)


def test_show_names_everything(world):
    told = english(describe(world.trust(), START))
    assert "https://sh.ewallet.example/a/market Issue licenses: key" in told
    assert "31 Shanghai: version 1, usable" in told


# --- difference ---------------------------------------------------------------------------------------------


def test_a_split_view_is_proven(world):
    other = world.fork("other")
    world.publish(at=START + HOUR)
    world.publish_fork(other, START + 2 * HOUR)
    found = difference(world.repository, other)
    assert found.same_anchor
    assert found.contradictions == ("timestamp version 2",)


def test_a_forged_copy_proves_nothing(world):
    other = world.fork("other")
    file = other / "metadata" / "timestamp.json"
    metadata = json.loads(file.read_bytes())
    metadata["signed"]["x-ewallet-signed-at"] += 1
    file.write_text(json.dumps(metadata))
    assert difference(world.repository, other).contradictions == ()


def test_the_difference_of_two_states_in_words(world):
    before = world.fork("before")
    uri = world.authorities["31", "market"].uri
    kid = world.authorities["31", "market"].signer(Service.LICENSES).public_key.kid
    world.consortium.compromise(uri, Service.LICENSES, kid=kid, since=START, now=START + HOUR)
    world.consortium.suspend(uri, Service.CODES, now=START + HOUR)
    world.publish(at=START + HOUR)
    found = difference(before, world.repository)
    told = english(found.changes)
    assert found.contradictions == ()
    assert f"key {kid.hex()} is COMPROMISED from 2026-05-01T00:00:00Z" in told
    assert "Issue identity codes is suspended from 2026-05-01T01:00:00Z" in told


# --- what an operator reads ---------------------------------------------------------------------------------


def test_words_say_what_a_draft_really_does(world):
    before, after = (Repository.load(world.repository) for _ in range(2))
    entry = suspension({"province": "33"}, reason="exercise", now=START, until=START + DAY)
    ceremony.edit_json(after, BRAKE, lambda document: document["entries"].append(entry), now=START)
    told = changes(before, after)
    assert "stops province=33: exercise" in english(told)
    assert any("刹停 province=33：exercise" in zh for zh, _ in told)
    assert "brake version 2" in english(told)


def test_words_shout_when_history_is_rewritten_or_unreadable(world):
    before, after = (Repository.load(world.repository) for _ in range(2))
    after.set_file("31/list.json", b"{}", START)
    assert "31/list.json CANNOT BE READ: DO NOT SIGN" in english(changes(before, after))
    after = Repository.load(world.repository)
    from dataclasses import replace

    ceremony.edit_list(after, "31", lambda listing: replace(listing, entities=()), now=START)
    assert "REWRITES HISTORY" in english(changes(before, after))


def test_sign_refuses_what_takes_history_away(world, tmp_path, capsys):
    after = Repository.load(world.repository)
    from dataclasses import replace

    ceremony.edit_list(after, "31", lambda listing: replace(listing, entities=()), now=START)
    ceremony.save_draft(after, tmp_path / "draft")
    arguments = ["--repo", str(world.repository), "--draft", str(tmp_path / "draft")]
    code = cli.main(
        ["trust", "sign", *arguments, "--province", "31", "--yes", "--key", "x", "--lang", "en"],
        standalone_mode=False,
    )
    assert code == Exit.REJECTED
    assert "do not sign it" in capsys.readouterr().err


def test_a_draft_travels_and_copies_are_merged(world, tmp_path):
    after = Repository.load(world.repository)
    ceremony.edit_list(after, "31", lambda listing: listing, now=START + HOUR)
    assert ceremony.missing_signatures(after) == {"31": 2}
    copies = []
    keys = [signer for role, _, signer in world.consortium.signers if role == "31"]
    for number, key in enumerate(keys[:2]):
        ceremony.save_draft(after, tmp_path / f"draft-{number}")
        copy = ceremony.load_draft(world.repository, tmp_path / f"draft-{number}")
        assert ceremony.sign_draft(copy, key, owner="31") == ["31"]
        assert ceremony.sign_draft(copy, new_key(), owner="31") == []
        copies.append(copy)
    assert ceremony.merge_drafts(copies[0], copies[1:]) == []
    assert ceremony.missing_signatures(copies[0]) == {}
    online = world.consortium.online
    copies[0].publish(
        world.repository, START + HOUR, snapshot=online["snapshot"], timestamp=online["timestamp"]
    )
    assert check(world.repository, now=START + HOUR).passed


def test_copies_of_different_drafts_are_not_merged(world, tmp_path):
    drafts = []
    for hour in (1, 2):
        changed = Repository.load(world.repository)
        ceremony.edit_list(changed, "31", lambda listing: listing, now=START + hour * HOUR)
        drafts.append(changed)
    assert ceremony.merge_drafts(drafts[0], drafts[1:]) == ["31"]


def test_a_draft_with_a_path_that_leaves_it_is_refused(world, tmp_path):
    after = Repository.load(world.repository)
    ceremony.edit_list(after, "31", lambda listing: listing, now=START)
    ceremony.save_draft(after, tmp_path / "draft")
    (tmp_path / "draft" / "draft.json").write_text('{"format": 1, "roles": ["../../secret"]}')
    with pytest.raises(ConfigError):
        ceremony.load_draft(world.repository, tmp_path / "draft")


def test_nothing_is_published_that_no_delegation_covers(world):
    repository = Repository.load(world.repository)
    for path in ("35/list.json", "31/deep/list.json", "31-hot/other.json", "list.json"):
        with pytest.raises(ConfigError):
            repository.set_file(path, b"{}", START)


@pytest.mark.parametrize("suite", ["SM2SM3", "ES256+ML-DSA-65", "Ed25519"])
def test_key_files_of_every_suite_sign(tmp_path, suite):
    from ewallet.keys import SigningKey

    publics = [
        ceremony.make_keys(
            tmp_path / code,
            owner=code,
            names={"zh": code, "en": code},
            base=f"https://{code}.example/",
            password="exercise",
            suite=suite,
        )
        for code in ("31", "32")
    ]
    online = ceremony.make_keys(tmp_path / "on", owner="online", names={}, base="", password="exercise")
    assert ceremony.read_public(tmp_path / "31" / "public.json") == publics[0]
    repository = ceremony.begin(publics, online, now=START)
    for code in ("31", "32"):
        for role in ceremony.ROLES_OF_A_PROVINCE:
            key = SigningKey.load(tmp_path / code / f"{role}.key", "exercise")
            ceremony.sign_draft(repository, key, owner=code)
    assert ceremony.missing_signatures(repository) == {}
    keys = {role: SigningKey.load(tmp_path / "on" / f"{role}.key", "exercise") for role in online.keys}
    repository.publish(tmp_path / "out", START, snapshot=keys["snapshot"], timestamp=keys["timestamp"])
    assert check(tmp_path / "out", now=START).passed


# --- conformance --------------------------------------------------------------------------------------------


def test_our_own_decision_answers_every_case():
    findings = conformance.run(
        lambda case: conformance.answer(conformance.world_trust(case["world"]), case["question"])
    )
    assert len(findings) > 20
    assert [finding.sentence("en") for finding in findings if not finding.passed] == []


@pytest.mark.parametrize(
    ("program", "right"),
    [('import sys\nfor line in sys.stdin: print(\'{"reason": ""}\')', 4), ("print('?')", 0), ("", 0)],
    ids=["always yes", "nonsense", "silent"],
)
def test_a_wrong_program_is_told_what_is_wrong(program, right):
    findings = conformance.by_command([sys.executable, "-c", program])
    assert sum(finding.passed for finding in findings) == right
    assert any("应答 issuer.unknown" in finding.sentence("zh") for finding in findings)
