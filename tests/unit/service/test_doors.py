"""Doors: keys are kept as hashes, roles open their calls only, and nobody calls too often."""

from __future__ import annotations

import json

import pytest

from ewallet.errors import ConfigError, Conflict, NotFound

pytest.importorskip("fastapi", reason="the extra 'service' is not installed")

from starlette.requests import Request

from ewallet.service import doors
from ewallet.service.doors import COUNTER, ISSUE, Doors, Role, add_partner, load_partners, remove_partner
from ewallet.service.http import Problem
from ewallet.service.metrics import Metrics


def call(key: str = "", address: str = "192.0.2.1") -> Request:
    headers = [(b"authorization", f"Bearer {key}".encode())] if key else []
    return Request({"type": "http", "headers": headers, "client": (address, 1)})


@pytest.fixture
def file(tmp_path):
    return tmp_path / "partners.json"


def test_a_key_is_shown_once_and_kept_as_a_hash(file):
    key = add_partner(file, name="hall", roles=[Role.VERIFIER], entity="https://sh.ewallet.example/a/hall")
    assert key not in file.read_text()
    assert file.stat().st_mode & 0o077 == 0
    call_ = call(key)
    partner = Doors(file).admit(call_, COUNTER)
    assert partner is not None
    assert (partner.name, call_.scope["ewallet.entity"]) == ("hall", "https://sh.ewallet.example/a/hall")


@pytest.mark.parametrize(("key", "status"), [("", 401), ("ewk_other", 401), (None, 403)])
def test_other_keys_and_other_roles_stay_out(file, key, status):
    own = add_partner(file, name="hall", roles=[Role.VERIFIER])
    with pytest.raises(Problem) as refused:
        Doors(file).admit(call(own if key is None else key), ISSUE)
    assert refused.value.status == status


def test_a_removed_partner_is_out_after_the_next_look(file):
    key = add_partner(file, name="hall", roles=[Role.ISSUER])
    opened = Doors(file)
    assert opened.admit(call(key), ISSUE) is not None
    remove_partner(file, "hall")
    opened.refresh()
    with pytest.raises(Problem):
        opened.admit(call(key), ISSUE)
    with pytest.raises(NotFound):
        remove_partner(file, "hall")


def test_without_keys_only_the_counter_is_open():
    opened = Doors(None)
    assert opened.admit(call(), COUNTER) is None
    with pytest.raises(Problem):
        opened.admit(call(), ISSUE)


def test_who_calls_too_often_waits_and_others_do_not(file):
    key = add_partner(file, name="busy", roles=[Role.VERIFIER], rate=3)
    opened = Doors(file, open_counter=True)
    for _ in range(3):
        opened.admit(call(key), COUNTER)
    with pytest.raises(Problem) as refused:
        opened.admit(call(key), COUNTER)
    assert refused.value.status == 429
    assert int(refused.value.headers["Retry-After"]) >= 1
    assert opened.admit(call(), COUNTER) is None


def test_signed_calls_are_paced_by_address(monkeypatch):
    monkeypatch.setattr(doors, "OPEN_RATE", 2)
    opened = Doors(None)
    for _ in range(2):
        opened.admit_anybody(call())
    with pytest.raises(Problem):
        opened.admit_anybody(call())
    opened.admit_anybody(call(address="192.0.2.2"))


def test_names_are_unique(file):
    add_partner(file, name="hall", roles=[Role.VERIFIER])
    with pytest.raises(Conflict):
        add_partner(file, name="hall", roles=[Role.VERIFIER])


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        '{"format": 2, "partners": []}',
        '{"format": 1, "partners": [{"name": "x"}]}',
        json.dumps({"format": 1, "partners": [{"name": "x", "roles": ["king"], "digest": "00"}]}),
        json.dumps({"format": 1, "partners": [{"name": "x", "roles": [], "digest": "00", "rate": 0}]}),
        json.dumps({"format": 1, "partners": [{"name": "x", "roles": []}]}),
        json.dumps({"format": 1, "partners": [{"name": "x", "roles": [], "certificates": "0" * 64}]}),
        json.dumps({"format": 1, "partners": [{"name": "x", "roles": [], "certificates": ["0" * 63]}]}),
        json.dumps({"format": 1, "partners": [{"name": "x", "roles": [], "certificates": ["0" * 64] * 2}]}),
        json.dumps({"format": 1, "partners": [{"name": x, "roles": [], "digest": "0" * 64} for x in "xy"]}),
    ],
)
def test_a_wrong_file_is_told(file, content):
    file.write_text(content)
    with pytest.raises(ConfigError):
        load_partners(file)


def test_counts_are_bounded_and_add_up():
    metrics = Metrics()
    for took in (0.0005, 0.02, 9.0):
        metrics.count("POST", "/v1/verify", 200, took)
    metrics.outcome("ACCEPTED", "")
    text = metrics.text()
    assert 'ewallet_calls_total{method="POST",route="/v1/verify",status="200"} 3' in text
    assert 'ewallet_call_seconds_bucket{route="/v1/verify",le="+Inf"} 3' in text
    assert 'ewallet_call_seconds_bucket{route="/v1/verify",le="0.001"} 1' in text
    assert 'ewallet_verifications_total{outcome="ACCEPTED",reason=""} 1' in text
