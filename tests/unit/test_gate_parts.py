"""What a gate is told on its command line."""

from __future__ import annotations

import os
import termios

import pytest

from ewallet.cli.gate import open_guard, questioner, set_up_serial
from ewallet.errors import ConfigError, Refused
from ewallet.keys import SigningKey
from ewallet.trust.scenes import builtin_scenes
from ewallet.verify.replay import FileGuard, MemoryGuard, code_spending
from ewallet.verify.replay_sql import SqlGuard
from tests.office import NOW, VENUE


def test_each_guard_has_its_url(tmp_path):
    memory = open_guard("memory", tmp_path, now=NOW)
    file = open_guard("file", tmp_path, now=NOW)
    shared = open_guard(f"sqlite:///{tmp_path / 'guard.db'}", tmp_path, now=NOW)
    assert isinstance(memory, MemoryGuard)
    assert isinstance(file, FileGuard)
    assert isinstance(shared, SqlGuard)
    assert [guard.level for guard in (memory, file, shared)] == ["memory", "file", "shared"]
    assert [guard.durable for guard in (memory, file, shared)] == [False, True, True]
    file.close()
    shared.close()


def test_a_redis_that_is_not_there_is_unavailable(tmp_path):
    pytest.importorskip("redis")
    guard = open_guard(f"unix://{tmp_path}/nothing", tmp_path, now=NOW)
    with pytest.raises(Refused, match=r"replay\.unavailable"):
        guard.spend([code_spending(b"a", iat=int(NOW.timestamp()), min_gap=40)], now=NOW)


def test_a_serial_port_is_set_to_raw_bytes(tmp_path):
    leader, port = os.openpty()
    try:
        set_up_serial(port, 115200)
        os.write(leader, b"EWC\r")
        assert os.read(port, 10) == b"EWC\r"  # no line discipline: the CR of a scanner stays
        assert termios.tcgetattr(port)[5] == termios.B115200
        with pytest.raises(ConfigError, match="baud"):
            set_up_serial(port, 12345)
    finally:
        os.close(leader)
        os.close(port)
    with (tmp_path / "pipe").open("wb") as plain:
        set_up_serial(plain.fileno(), 12345)  # nothing to set


def test_questions_name_their_verifier(tmp_path):
    file = tmp_path / "venue.pem"
    SigningKey.generate().save(file, "correct horse")
    with pytest.raises(ConfigError, match="issuer"):
        questioner(file, "correct horse", "")
    ask = questioner(file, "correct horse", "https://sh.ewallet.example/a/library")
    scene = builtin_scenes()["police-check"].narrowed(
        {"scene": "police-check", "venue": VENUE, "demanded": ["masked_name"]}
    )
    asked = ask(scene, NOW)
    assert (asked.venue, asked.scene, asked.attributes) == (VENUE, "police-check", {"masked_name"})
