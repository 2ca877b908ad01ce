"""Hostile list files: a refusal with a reason or a province at fault, never another exception."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ewallet.errors import TrustError
from ewallet.reasons import REASONS
from ewallet.trust.distribution import TrustStore
from ewallet.trust.entries import Service
from tests.province import AREAS, START, Signed, World, decide

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with mock.patch.object(os, "fsync", return_value=None):
        made = World(tmp_path_factory.mktemp("world"), ("31", "32"))
        for code in ("31", "32"):
            made.authority(code, "market")
        made.publish()
        yield made


def refreshed(repository: Path):
    with tempfile.TemporaryDirectory() as place:
        return TrustStore.open(place).refresh(repository, START)


@QUICK
@given(data=st.data())
def test_a_changed_byte_is_refused_or_changes_nothing(world, data):
    files = sorted(file for file in world.repository.rglob("*") if file.is_file())
    file = data.draw(st.sampled_from(files))
    content = bytearray(file.read_bytes())
    position = data.draw(st.integers(0, len(content) - 1))
    original = bytes(content)
    content[position] ^= data.draw(st.integers(1, 255))
    file.write_bytes(content)
    try:
        trust = refreshed(world.repository)
    except TrustError as refusal:
        assert refusal.reason in REASONS  # noqa: PT017 -- the other branch is a result too
    else:
        # What is not signed (the signatures of others beyond the threshold, white space) may change.
        assert dict(trust.versions)["root"] == 1
        assert trust.provinces["31"].until == refreshed_until(world)
    finally:
        file.write_bytes(original)


def refreshed_until(world):
    listing = world.consortium.listings["31"]
    return int(listing.next_update.timestamp())


def places(value, path=()):
    yield path
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*path, key))


def put(value, path, new):
    if not path:
        return new
    holder = value
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = new
    return value


@QUICK
@given(
    data=st.data(),
    name=st.sampled_from(("list.json", "recognition.json", "notices.json", "hot.json", "brake.json")),
    new=JSON,
)
def test_what_a_province_signs_can_hurt_itself_only(data, name, new):
    with mock.patch.object(os, "fsync", return_value=None):
        place = Path(tempfile.mkdtemp())
        try:
            world = World(place, ("31", "32"))
            for code in ("31", "32"):
                world.authority(code, "market")
            home = {"hot.json": "31-hot", "brake.json": "brake"}.get(name, "31")
            path = f"{home}/{name}"
            document = json.loads(world.consortium.repository.files[path])
            spot = data.draw(st.sampled_from(list(places(document))))
            spoiled = json.dumps(put(document, spot, new)).encode()
            world.consortium.repository.set_file(path, spoiled, START)
            world.publish()
            trust = refreshed(world.repository)
            other = Signed(world.authorities["32", "market"], Service.LICENSES, START, area=AREAS["32"])
            reason = decide(trust, other, START)
            assert reason == "" or (name == "brake.json" and reason in ("trust.stale", "issuer.suspended"))
            own = Signed(world.authorities["31", "market"], Service.LICENSES, START, area=AREAS["31"])
            assert decide(trust, own, START) in {"", *REASONS}
            hot = trust.hot("31", START)
            assert hot is None or all(hot.passes)
            list(trust.all_keys())
        finally:
            shutil.rmtree(place)
