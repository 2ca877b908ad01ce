"""Each line of docs/trust.md "What must fail closed": one fault, one reason (`vectors/trust/lists.json`)."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from tuf.api.metadata import Key, Metadata, TargetFile

from ewallet.errors import Refused, TrustError
from ewallet.moments import seconds
from ewallet.trust.distribution import FileMark
from ewallet.trust.entries import Grant, Service
from ewallet.trust.tuf_keys import tuf_key
from tests.province import AREAS, DAY, HOUR, START, TYPE, Signed, World, decide, new_key, refused

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "trust" / "lists.json").read_text("utf-8"))
CASES = {}


def case(function):
    CASES[function.__name__.replace("_", "-")] = function
    return function


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    made.authority("31", "market")
    made.authority("32", "market")
    return made


@pytest.mark.parametrize("vector", VECTORS["cases"], ids=lambda vector: vector["id"])
def test_each_fault_has_its_reason(vector, world):
    assert CASES[vector["id"]](world) == vector["reason"]


def test_every_case_is_a_vector():
    assert {vector["id"] for vector in VECTORS["cases"]} == set(CASES)


def signed_by(world, province="31", **parts):
    authority = world.authorities[province, "market"]
    return Signed(authority, Service.LICENSES, world.now, area=AREAS[province], **parts)


def key_for_license(world, service):
    """A signature by the key of another service, offered as a license."""
    signed = signed_by(world)
    signed.key = world.authorities["31", "market"].signer(service).public_key
    return decide(world.trust(), signed, world.now)


# --- distribution -------------------------------------------------------------------------------------------


@case
def older_version(world):
    world.publish()
    old = world.fork("old")
    world.publish(at=START + HOUR)
    gate = world.gate()
    gate.refresh(world.repository, world.now)
    reason = refused(gate, old, world.now)
    assert gate.current.versions["timestamp"] == 2
    return reason


@case
def same_version_other_bytes(world):
    world.publish()
    other = world.fork("other")
    world.publish(at=START + HOUR)
    world.publish_fork(other, START + 2 * HOUR)
    gate = world.gate()
    gate.refresh(world.repository, world.now)
    reason = refused(gate, other, START + 2 * HOUR)
    kept = sorted(file.name.partition(".")[2] for file in gate.evidence.iterdir())
    assert kept == ["kept.timestamp.json", "offered.timestamp.json"]
    return reason


@case
def same_version_other_snapshot(world):
    world.publish()
    other = world.fork("other")
    world.consortium.suspend(world.authorities["31", "market"].uri, Service.LICENSES, now=START + HOUR)
    world.publish(at=START + HOUR)
    gate = world.gate()
    gate.refresh(world.repository, world.now)
    # The online keys sign another second snapshot, and then a newer timestamp over it.
    world.publish_fork(other, START + 6 * DAY)
    assert json.loads((other / "metadata" / "2.snapshot.json").read_bytes())["signed"]["version"] == 2
    world.publish_fork(other, START + 6 * DAY)
    return refused(gate, other, START + 6 * DAY)


@case
def expired(world):
    world.publish()
    return refused(world.gate(), world.repository, START + 8 * DAY)


@case
def future_by_two_days(world):
    world.publish(at=START + 2 * DAY)
    gate = world.gate()
    reason = refused(gate, world.repository, START)
    with pytest.raises(TrustError):
        _ = gate.current  # not stored
    return reason


@case
def two_of_four(world):
    world.publish()
    world.consortium.repository.stage("targets", world.now)
    world.sign_with(2, "targets")
    world.force_publish()
    return refused(world.gate(), world.repository, world.now)


@case
def root_by_two_of_four(world):
    world.publish()
    world.consortium.repository.stage("root", world.now)
    world.sign_with(2, "root")
    world.force_publish()
    return refused(world.gate(), world.repository, world.now)


@case
def four_signatures_of_one_province(world):
    world.publish()
    repository = world.consortium.repository
    repository.stage("targets", world.now)
    world.sign_with(1, "targets")
    metadata = repository.roles["targets"]
    for _ in range(3):
        from ewallet.trust.tuf_keys import TufSigner

        metadata.sign(TufSigner(new_key(), owner="31"), append=True)
    assert len(metadata.signatures) == 4
    world.force_publish()
    return refused(world.gate(), world.repository, world.now)


@case
def key_id_used_twice(world):
    world.publish()
    world.consortium.repository.stage("root", world.now)
    world.sign_with(2, "root")
    world.force_publish()
    file = world.repository / "metadata" / "2.root.json"
    root = json.loads(file.read_bytes())
    root["signatures"].append(root["signatures"][0])
    file.write_text(json.dumps(root))
    return refused(world.gate(), world.repository, world.now)


@case
def one_key_under_two_ids(world):
    root = world.consortium.repository.stage("root", world.now)
    keyid = root.roles["root"].keyids[0]
    twin = Key.from_dict("f" * 64, root.keys[keyid].to_dict())
    root.add_key(twin, "root")
    world.sign_with(4, "root")
    world.sign_with(4, "targets")
    sign_others(world)
    world.force_publish()
    return refused(world.gate(), world.repository, world.now)


@case
def extra_key_ids_of_one_province(world):
    world.publish()
    root = world.consortium.repository.stage("root", world.now)
    for _ in range(2):
        root.add_key(tuf_key(new_key().public_key, owner="31"), "root")
    world.sign_with(4, "root")
    world.force_publish()
    return refused(world.gate(), world.repository, world.now)


@case
def root_version_skipped(world):
    world.publish()
    world.consortium.repository.stage("root", world.now)
    world.sign_with(4, "root")
    world.force_publish()
    world.consortium.repository.stage("root", world.now)
    world.sign_with(4, "root")
    world.force_publish()
    metadata = world.repository / "metadata"
    (metadata / "3.root.json").rename(metadata / "2.root.json")
    return refused(world.gate(), world.repository, world.now)


@case
def mixed_and_matched(world):
    world.publish()
    old = (world.repository / "metadata" / "1.31.json").read_bytes()
    world.consortium.suspend(world.authorities["31", "market"].uri, Service.LICENSES, now=world.now)
    world.publish(at=START + HOUR)
    (world.repository / "metadata" / "2.31.json").write_bytes(old)
    return refused(world.gate(), world.repository, world.now)


@case
def file_of_100_megabytes(world):
    world.publish()
    with (world.repository / "metadata" / "timestamp.json").open("r+b") as stream:
        stream.truncate(100 << 20)
    return refused(world.gate(), world.repository, world.now)


@case
def truncated_file(world):
    world.publish()
    file = next((world.repository / "targets" / "31").glob("*.list.json"))
    file.write_bytes(file.read_bytes()[:-7])
    return refused(world.gate(), world.repository, world.now)


@case
def mark_newer_than_the_state(world):
    world.publish()
    mark = FileMark(world.directory / "elsewhere" / "mark.json")
    world.gate(marks=[mark]).refresh(world.repository, world.now)
    disk_image = world.directory / "image"
    (world.directory / "gate").rename(disk_image)
    world.publish(at=START + HOUR)
    world.gate(marks=[mark]).refresh(world.repository, world.now)
    assert mark.read() == (1, 2)
    with pytest.raises(TrustError) as caught:
        world.gate("image", marks=[mark])
    return caught.value.reason


# --- a province's own fault, the others untouched -----------------------------------------------------------


def sign_others(world):
    world.consortium.repository.sign_all(
        item for item in world.consortium.signers if item[0] not in ("root", "targets")
    )


def sign_province(world, province="31"):
    world.consortium.repository.sign_all(
        item for item in world.consortium.signers if item[0].startswith(province)
    )


def only_31_is_at_fault(world):
    trust = world.trust()
    assert decide(trust, signed_by(world, "32"), world.now) == ""
    return decide(trust, signed_by(world, "31"), world.now)


@case
def province_signs_outside_its_path(world):
    world.publish()
    data = b"{}"
    world.consortium.repository.stage("31", world.now).targets["32/list.json"] = TargetFile.from_data(
        "32/list.json", data, ["sha256"]
    )
    world.consortium.repository.files["32/list.json-by-31"] = data
    sign_province(world)
    publish_keeping_files(world)
    return only_31_is_at_fault(world)


def publish_keeping_files(world):
    repository = world.consortium.repository
    files = dict(repository.files)
    for role in repository.roles.values():
        for path in getattr(role.signed, "targets", {}):
            repository.files.setdefault(path, b"{}")
    world.force_publish()
    repository.files = files


@case
def nested_path(world):
    world.publish()
    world.consortium.repository.stage("31", world.now).targets["31/deep/list.json"] = TargetFile.from_data(
        "31/deep/list.json", b"{}", ["sha256"]
    )
    sign_province(world)
    publish_keeping_files(world)
    return only_31_is_at_fault(world)


@case
def unknown_critical_extension(world):
    def add(document):
        information = document["TrustedEntitiesList"][0]["TrustedEntityServices"][0]["ServiceInformation"]
        information["ServiceInformationExtensions"].append({"uri": "urn:x:new", "critical": True, "value": 1})

    world.rewrite_list("31", add)
    world.publish()
    return only_31_is_at_fault(world)


@case
def stale_list_with_a_fresh_timestamp(world):
    world.publish()
    later = START + 31 * DAY
    repository = world.consortium.repository
    for code in ("32", "33", "34"):
        repository.stage(code, later)
        world.consortium._write_list(code, later)
    repository.stage("brake", later)
    world.publish(at=later)
    return only_31_is_at_fault(world)


@case
def next_update_passed(world):
    def soon(document):
        document["ListAndSchemeInformation"]["NextUpdate"] = "2026-05-02T00:00:00Z"

    world.rewrite_list("31", soon)
    world.publish(at=START + 25 * HOUR)
    return only_31_is_at_fault(world)


# --- freshness and brake ------------------------------------------------------------------------------------


def freshness(world, trust, now):
    del world
    try:
        trust.freshness(now)
    except Refused as refusal:
        return refusal.reason
    return ""


@case
def older_than_36_hours(world):
    world.publish()
    trust = world.trust()
    assert freshness(world, trust, START + 36 * HOUR) == ""
    assert trust.freshness(START + 37 * HOUR, max_age=7 * 86400) is True
    return freshness(world, trust, START + 36 * HOUR + timedelta(seconds=1))


@case
def clock_set_back(world):
    world.publish()
    trust = world.trust()
    assert freshness(world, trust, START - timedelta(seconds=60)) == ""
    return freshness(world, trust, START - timedelta(seconds=61))


@case
def brake_missing(world):
    repository = world.consortium.repository
    del repository.roles["brake"].signed.targets["brake/brake.json"]
    world.publish()
    return freshness(world, world.trust(), world.now)


@case
def brake_expired(world):
    world.publish()
    later = START + 8 * DAY
    for code in ("31", "32", "33", "34"):
        world.consortium._write_list(code, later)
    world.publish(at=later)
    return freshness(world, world.trust(), world.now)


@case
def brake_past_its_until(world):
    uri = world.authorities["31", "market"].uri
    world.consortium.brake({"entity": uri}, reason="exercise", now=START, until=START + HOUR)
    world.publish()
    trust = world.trust()
    assert decide(trust, signed_by(world), START) == "issuer.suspended"
    return decide(trust, signed_by(world), START + HOUR)


@case
def braked(world):
    world.consortium.brake({"province": "31", "service": "licenses"}, reason="exercise", now=START)
    world.publish()
    return only_31_is_at_fault(world)


# --- the decision -------------------------------------------------------------------------------------------


@case
def grant_outside_region(world):
    grant = Grant(types=frozenset(("*",)), regions=frozenset(("32",)), start=seconds(START))
    world.authority("31", "eager", grant=grant)
    world.publish()
    signed = Signed(world.authorities["31", "eager"], Service.LICENSES, START, area="320500")
    return decide(world.trust(), signed, START)


@case
def type_not_granted(world):
    grant = Grant(types=frozenset((TYPE,)), regions=frozenset(("31",)), start=seconds(START))
    world.authority("31", "narrow", grant=grant)
    world.publish()
    narrow = world.authorities["31", "narrow"]
    trust = world.trust()
    assert decide(trust, Signed(narrow, Service.LICENSES, START, area="310115"), START) == ""
    other = Signed(narrow, Service.LICENSES, START, area="310115", type_code="310101360000100")
    return decide(trust, other, START)


@case
def service_outside_the_bounds(world):
    bounds = world.consortium.bounds()
    del bounds["31"]["services"]["licenses"]
    world.consortium.set_bounds(bounds, now=START)
    world.publish()
    return only_31_is_at_fault(world)


@case
def pass_key_signs_a_license(world):
    world.publish()
    return key_for_license(world, Service.CODES)


@case
def venue_key_signs_a_license(world):
    world.publish()
    return key_for_license(world, Service.VERIFY)


@case
def register_key_signs_a_pass(world):
    world.publish()
    kid = world.authorities["31", "market"].signer(Service.REGISTER).public_key.kid
    with pytest.raises(Refused) as caught:
        world.trust().require(Service.CODES, kid=kid, now=world.now)
    return caught.value.reason


# --- recognition --------------------------------------------------------------------------------------------


def rule(source, target, name):
    return {
        "id": name,
        "from": {"province": source, "type": f"type-{source}", "version": "1"},
        "to": {"province": target, "type": f"type-{target}", "version": "1"},
        "relation": "exact",
        "conditions": [],
        "field_map": [{"from": "name", "to": "holder"}],
        "scenes": ["counter"],
        "valid": {"from": "2026-01-01T00:00:00Z", "until": "2027-01-01T00:00:00Z"},
    }


def recognized(trust, source, target):
    found = trust.recognize(
        from_province=source,
        to_province=target,
        type=f"type-{source}",
        type_version="1",
        scene="counter",
        now=START,
    )
    return "" if found else "recognition.no_rule"


@case
def chained_rule(world):
    world.consortium.set_rules([rule("31", "32", "a"), rule("32", "33", "b")], now=START)
    world.publish()
    trust = world.trust()
    assert recognized(trust, "31", "32") == ""
    assert recognized(trust, "32", "33") == ""
    return recognized(trust, "31", "33")


@case
def one_sided_rule(world):
    rules = [rule("31", "32", "a"), rule("31", "33", "b")]
    world.consortium.set_rules(rules, now=START)
    world.publish()
    assert recognized(world.trust(), "31", "32") == ""
    from ewallet.trust.recognition import rule_digest

    world.consortium.revoke_approval("32", rule_digest(rules[0]), now=START)
    world.publish(at=START + HOUR)
    trust = world.trust()
    assert recognized(trust, "31", "33") == ""
    return recognized(trust, "31", "32")


def test_the_signed_part_is_read_with_the_pinned_tuf(world):
    world.publish()
    timestamp = Metadata.from_file(str(world.repository / "metadata" / "timestamp.json"))
    assert timestamp.signed.unrecognized_fields["x-ewallet-signed-at"] == seconds(START)
