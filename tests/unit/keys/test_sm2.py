"""SM2: two implementations, one answer; what happens where a library or `gmpy2` is missing."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from ewallet.errors import KeyMaterialError
from ewallet.keys import PublicKey, SigningKey, sm2, sm2_tables
from ewallet.keys import sm3 as sm3_module
from ewallet.keys.sm3 import sm3

N = sm2._N
needs_library = pytest.mark.skipif(
    sm2.library() is None and os.environ.get("CI") != "true", reason="notice: no libcrypto with SM2 here"
)


def answers(raw, signature, message, identifier=sm2.IDENTIFIER):
    """What every path says."""
    found = [
        sm2.verify_by_library(raw, signature, message, identifier),
        sm2.verify_by_own(raw, signature, message, identifier),
        sm2.verifier_for(raw, identifier)(signature, message),
    ]
    numbers = sm2._numbers(signature)
    if numbers is not None:
        e = int.from_bytes(sm3(sm2.identity_digest(raw, identifier) + message), "big")
        found.append(sm2._verify_by_table(sm2_tables.make_table(sm2._point(raw)), raw, *numbers, e))
    return set(found)


def test_the_library_is_there_in_ci():
    if os.environ.get("CI") == "true":
        assert sm2.library() is not None


@needs_library
def test_both_paths_agree_on_random_signatures():
    for round_ in range(12):
        key = SigningKey.generate("SM2SM3")
        raw, message = key.public_key.raw, secrets.token_bytes(round_ * 17)
        signature = key.sign(message)
        assert answers(raw, signature, message) == {True}
        assert answers(raw, signature, message, b"") == {False}
        assert answers(raw, signature, message, b"x" * sm2.LONGEST_IDENTIFIER) == {False}
        for _ in range(4):
            bit = secrets.randbelow(512)
            flipped = (int.from_bytes(signature, "big") ^ 1 << bit).to_bytes(64, "big")
            assert answers(raw, flipped, message) == {False}
        assert answers(raw, secrets.token_bytes(64), message) == {False}


@needs_library
def test_own_signatures_verify_in_the_library():
    secret = SigningKey.generate("SM2SM3")._secret
    raw, sign = sm2.unsafe_variable_time_signer(secret)
    assert raw == SigningKey("SM2SM3", secret).public_key.raw
    assert answers(raw, sign(b"m"), b"m") == {True}


@needs_library
def test_numbers_out_of_range_are_refused_everywhere():
    key = SigningKey.generate("SM2SM3")
    good = key.sign(b"m")
    r, s = int.from_bytes(good[:32], "big"), int.from_bytes(good[32:], "big")
    top = 2**256 - 1
    for pair in (
        (0, s),
        (r, 0),
        (0, 0),
        (N, s),
        (r, N),
        (r, N - r),
        (top, s),
        (r, top),
        (top, top),
        (r, N - s),
    ):
        signature = b"".join(number.to_bytes(32, "big") for number in pair)
        assert answers(key.public_key.raw, signature, b"m") == {False}
    for size in (0, 1, 63, 65, 128, 5000):
        assert answers(key.public_key.raw, bytes(size), b"m") == {False}


@needs_library
def test_keys_that_meet_exceptional_sums():
    """P = G, P = -G and P = 2 G bring equal and opposite points together; a forger may choose them."""
    for scalar in (1, 2, 3, 256, N - 2, N - 3, (N + 1) // 2):
        secret = scalar.to_bytes(32, "big")
        raw, sign = sm2.unsafe_variable_time_signer(secret)
        for _ in range(4):
            assert answers(raw, sign(b"m"), b"m") == {True}
        for s, t in ((1, 1), (1, N - 1), (2, 1), (1, 2), (N - 1, 1), (257, 257), (5, N - 5)):
            r = (t - s) % N
            if r == 0:
                continue
            signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
            assert len(answers(raw, signature, b"m")) == 1


def test_tabled_sum_equals_plain_sum():
    base = sm2._generator_table()
    raw, _ = sm2.unsafe_variable_time_signer((12345).to_bytes(32, "big"))
    point = sm2._point(raw)
    table = sm2_tables.make_table(point)
    assert len(table) == 32
    assert all(len(row) == 256 for row in table)
    met = 0
    for s, t in [
        (0, 0),
        (0, 1),
        (1, 0),
        (N - 1, 1),
        (12345, 1),
        (N - 12345, 1),
        (12345 * 256 % N, 256),
        *((secrets.randbelow(N), secrets.randbelow(N)) for _ in range(20)),
    ]:
        plain, tabled = sm2_tables.multiply_add(s, t, point), sm2_tables.tabled_x(s, t, base, table)
        if tabled is None:
            met += 1
        else:
            assert plain is not None
            assert plain[0] == tabled
    assert met >= 2  # nothing at all, and G + P with P = 12345 G in one place
    assert sm2_tables.multiply_add(N - 12345, 1, point) is None


def test_memory_of_tables_is_bounded(monkeypatch):
    monkeypatch.setattr(sm2, "FREQUENT", 2)
    monkeypatch.setattr(sm2, "_MOST_TABLES", 3)
    monkeypatch.setattr(sm2, "_MOST_COUNTED", 5)
    monkeypatch.setattr(sm2_tables, "make_table", lambda point: [point])
    monkeypatch.setattr(sm2, "tables_are_faster", lambda: True)
    tables = sm2._Tables()
    for number in range(1, 40):
        raw = number.to_bytes(64, "big")
        assert tables.get(raw) is None
        assert len(tables._counts) <= 5
    for number in range(1, 10):
        raw = number.to_bytes(64, "big")
        tables.get(raw)
        assert tables.get(raw) is not None
        assert len(tables._tables) <= 3
    assert tables.get((9).to_bytes(64, "big")) is not None
    assert tables.get((1).to_bytes(64, "big")) is None


def test_no_tables_where_the_library_is_as_fast(monkeypatch):
    monkeypatch.setattr(sm2, "FREQUENT", 2)
    monkeypatch.setattr(sm2, "tables_are_faster", lambda: False)
    tables = sm2._Tables()
    assert [tables.get(sm2._KNOWN_KEY) for _ in range(4)] == [None] * 4
    assert not tables._tables


def test_sm3_of_the_library_is_the_same(monkeypatch):
    if sm2.library() is None:
        pytest.skip("notice: no libcrypto with SM2 here")

    def unknown(*_):
        raise ValueError

    monkeypatch.setattr("hashlib.new", unknown)
    by_library = sm3_module._find()
    monkeypatch.undo()
    for data in (b"", b"abc", bytes(1000)):
        assert by_library(data) == sm3(data)


def test_identifier_has_a_limit():
    with pytest.raises(ValueError):
        sm2.identity_digest(sm2._KNOWN_KEY, b"x" * (sm2.LONGEST_IDENTIFIER + 1))


@needs_library
def test_many_threads_one_key():
    key = SigningKey.generate("SM2SM3")
    with ThreadPoolExecutor(8) as pool:
        messages = [str(number).encode() for number in range(160)]
        signatures = list(pool.map(key.sign, messages))
        assert all(pool.map(key.public_key.verify, signatures, messages))
        assert not any(pool.map(key.public_key.verify, signatures, messages[1:] + messages[:1]))


@needs_library
def test_frequent_key_gives_the_same_answers_from_its_table(monkeypatch):
    monkeypatch.setattr(sm2, "_tables", sm2._Tables())
    monkeypatch.setattr(sm2, "FREQUENT", 3)
    monkeypatch.setattr(sm2, "tables_are_faster", lambda: True)
    key = SigningKey.generate("SM2SM3")
    signature = key.sign(b"m")
    for _ in range(6):
        assert key.public_key.verify(signature, b"m")
        assert not key.public_key.verify(signature, b"n")
    assert key.public_key.raw in sm2._tables._tables


PROGRAM = """
import sys
from ewallet.errors import KeyMaterialError
from ewallet.keys import PublicKey, SigningKey, sm2, sm2_tables
from ewallet.keys import sm3 as sm3_module
from ewallet.keys.sm3 import sm3
public = PublicKey("SM2SM3", sm2._KNOWN_KEY)
for _ in range(60):
    assert public.verify(sm2._KNOWN_SIGNATURE, b"message digest")
    assert not public.verify(sm2._KNOWN_SIGNATURE, b"another")
assert sm3(b"abc").hex().startswith("66c7f0f462eeedd9")
if sm2.library() is None:
    try:
        SigningKey.generate("SM2SM3")
    except KeyMaterialError:
        pass
    else:
        sys.exit("a key without libcrypto")
print(sm2.library() is not None, sm2_tables.ACCELERATED)
"""


def run(tmp_path, *, library, fast):
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join([str(tmp_path), *sys.path]))
    if not fast:
        (tmp_path / "gmpy2.py").write_text("raise ImportError\n")
    if not library:
        environment["EWALLET_LIBCRYPTO"] = str(tmp_path / "none.so")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_without_libcrypto_it_still_verifies(tmp_path):
    assert run(tmp_path, library=False, fast=True)[0] == "False"


def test_without_gmpy2(tmp_path):
    assert run(tmp_path, library=True, fast=False)[1] == "False"


def test_without_either(tmp_path):
    assert run(tmp_path, library=False, fast=False) == ["False", "False"]


def test_a_library_that_answers_wrong_is_not_used(monkeypatch):
    class Wrong:
        def public_key(self, spki):
            return spki

        private_key = public_key

        def sign(self, key, message, identifier):
            return b""

        def verify(self, key, signature, message, identifier):
            return True

    monkeypatch.setattr(sm2, "libcrypto", Wrong)
    assert sm2.library.__wrapped__() is None
    monkeypatch.setattr(sm2, "library", lambda: None)
    with pytest.raises(KeyMaterialError):
        SigningKey.generate("SM2SM3")
    assert PublicKey("SM2SM3", sm2._KNOWN_KEY).verify(sm2._KNOWN_SIGNATURE, b"message digest")
