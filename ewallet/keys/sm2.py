"""SM2 signatures with SM3 (GB/T 32918.2-2016, GB/T 35276), on the curve of GB/T 32918.5.

Two implementations stand behind one door. The system's libcrypto signs, and verifies for keys seen rarely;
it has to answer a known question first. Own tables verify for keys seen often, where that is faster on this
machine, and own plain arithmetic where no libcrypto has SM2. Range checks on r, s and r + s come before
either, and the distinguishing identifier is always given: OpenSSL's default for it changed between versions.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from functools import cache
from threading import Lock
from time import perf_counter
from typing import TYPE_CHECKING, Final

from ewallet.errors import KeyMaterialError
from ewallet.keys import der, keyfile, sm2_tables
from ewallet.keys.libcrypto import Libcrypto, libcrypto
from ewallet.keys.sm3 import sm3
from ewallet.keys.suites import SM2_CURVE, SM2SM3, Suite

if TYPE_CHECKING:
    from collections.abc import Callable

IDENTIFIER: Final = b"1234567812345678"
"""The distinguishing identifier where nothing else is agreed (GM/T 0009-2012, 10)."""

LONGEST_IDENTIFIER: Final = 8190
"""Bytes: its length in bits must fit 16 bits, and OpenSSL refuses the last value that would."""

_N: Final = SM2_CURVE.n
_COMMON: Final = (
    (SM2_CURVE.p - 3).to_bytes(32, "big")
    + SM2_CURVE.b.to_bytes(32, "big")
    + b"".join(coordinate.to_bytes(32, "big") for coordinate in sm2_tables.GENERATOR)
)

FREQUENT = 48
"""How often a key is seen before it gets a table: that pays for itself after about a hundred verifications,
and a key that came this often comes again."""

_MOST_TABLES: Final = 32  # about 1.5 MB each
_MOST_COUNTED: Final = 2048

# The example of GB/T 32918.5, annex A: key, signature, message.
_KNOWN_KEY: Final = bytes.fromhex(
    "09f9df311e5421a150dd7d161e4bc5c672179fad1833fc076bb08ff356f35020"
    "ccea490ce26775a52dc6ea718cc1aa600aed05fbf35e084a6632f6072da9ad13"
)
_KNOWN_SIGNATURE: Final = bytes.fromhex(
    "f5a03b0648d2c4630eeac513e1bb81a15944da3827d5b74143ac7eaceee720b3"
    "b1b6aa29df212fd8763182bc0d421ca1bb9038fd1f7f42d4840b69c485bbc1aa"
)
_KNOWN_MESSAGE: Final = b"message digest"
_KNOWN_SECRET: Final = bytes.fromhex("3945208f7b2144b13f36e38ac6d39f95889393692860b51a42fb81ef4df7c5b8")


# --- what both paths share ----------------------------------------------------------------------------------


def identity_digest(raw: bytes, identifier: bytes = IDENTIFIER) -> bytes:
    """Z of a key and its identifier (GB/T 32918.2, 5.5), 32 bytes.

    Raises:
        ValueError: the identifier is longer than `LONGEST_IDENTIFIER`.
    """
    if len(identifier) > LONGEST_IDENTIFIER:
        raise ValueError(f"an SM2 identifier has at most {LONGEST_IDENTIFIER} bytes")
    return sm3((8 * len(identifier)).to_bytes(2, "big") + identifier + _COMMON + raw)


def message_digest(raw: bytes, message: bytes, identifier: bytes = IDENTIFIER) -> bytes:
    """SM3 over Z and the message (GB/T 32918.2, 6.1: A1, A2): what a device signs that takes a digest.

    Raises:
        ValueError: the identifier is longer than `LONGEST_IDENTIFIER`.
    """
    return sm3(identity_digest(raw, identifier) + message)


def _numbers(signature: bytes) -> tuple[int, int] | None:
    """The r and s of a signature, if they are in range (GB/T 32918.2, 7.1: B1, B2, B5)."""
    if len(signature) != 64:
        return None
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    return (r, s) if 0 < r < _N and 0 < s < _N and r + s != _N else None


def _point(raw: bytes) -> tuple[int, int]:
    return int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")


def check_public(suite: Suite, raw: bytes) -> None:
    """The point must lie on the curve: no backend sees one that does not."""
    if not SM2_CURVE.contains(*_point(raw)):
        raise KeyMaterialError(f"{suite.name}: the point is not on the curve")


def decompress(suite: Suite, x: bytes, *, odd: bool) -> bytes:
    """X || Y by own arithmetic: a backend sees whole points only."""
    y = sm2_tables.lift(int.from_bytes(x, "big"), odd=odd)
    if y is None:
        raise KeyMaterialError(f"{suite.name}: no point of the curve has this x")
    return x + y.to_bytes(32, "big")


# --- own path -----------------------------------------------------------------------------------------------


class _Tables:
    """Tables of the keys seen most lately among those seen often; both memories are bounded."""

    def __init__(self) -> None:
        self.useless = False  # until a key is frequent, nobody has measured
        self._lock = Lock()
        self._counts: OrderedDict[bytes, int] = OrderedDict()
        self._tables: OrderedDict[bytes, sm2_tables.Table] = OrderedDict()

    def get(self, raw: bytes) -> sm2_tables.Table | None:
        """The table of a key, made now if the key has been asked for often enough and a table helps."""
        if self.useless:
            return None
        with self._lock:
            table = self._tables.get(raw)
            if table is not None:
                self._tables.move_to_end(raw)
                return table
            count = self._counts.pop(raw, 0) + 1
            if count < FREQUENT:
                self._counts[raw] = count
                if len(self._counts) > _MOST_COUNTED:
                    self._counts.popitem(last=False)
                return None
        if not tables_are_faster():
            self.useless = True
            return None
        table = sm2_tables.make_table(_point(raw))
        with self._lock:
            self._tables[raw] = table
            if len(self._tables) > _MOST_TABLES:
                self._tables.popitem(last=False)
        return table


_tables: Final = _Tables()


@cache
def _generator_table() -> sm2_tables.Table:
    return sm2_tables.make_table(sm2_tables.GENERATOR)


def _verify_by_table(table: sm2_tables.Table, raw: bytes, r: int, s: int, e: int) -> bool:
    x = sm2_tables.tabled_x(s, (r + s) % _N, _generator_table(), table)
    if x is None:
        return _verify_plainly(raw, r, s, e)
    return (e + x) % _N == r


def _verify_plainly(raw: bytes, r: int, s: int, e: int) -> bool:
    found = sm2_tables.multiply_add(s, (r + s) % _N, _point(raw))
    return found is not None and (e + found[0]) % _N == r


def verify_by_own(raw: bytes, signature: bytes, message: bytes, identifier: bytes = IDENTIFIER) -> bool:
    """Verifies by own arithmetic, tabled where the key has a table (GB/T 32918.2, 7.1)."""
    numbers = _numbers(signature)
    if numbers is None:
        return False
    e = int.from_bytes(message_digest(raw, message, identifier), "big")
    table = _tables.get(raw)
    return _verify_plainly(raw, *numbers, e) if table is None else _verify_by_table(table, raw, *numbers, e)


# --- libcrypto's path ---------------------------------------------------------------------------------------


@cache
def library() -> Libcrypto | None:
    """The system's libcrypto if its SM2 answers the standard's example right, else None."""
    try:
        found = libcrypto()
        key = found.public_key(_KNOWN_KEY)
        secret = found.private_key(keyfile.private_der(SM2SM3, _KNOWN_SECRET, b""))
        r, s = _numbers(_KNOWN_SIGNATURE) or (0, 0)
        known, fresh = der.write_signature(r, s), found.sign(secret, _KNOWN_MESSAGE, IDENTIFIER)
        right = (
            found.verify(key, known, _KNOWN_MESSAGE, IDENTIFIER)
            and found.verify(key, fresh, _KNOWN_MESSAGE, IDENTIFIER)
            and not found.verify(key, known, _KNOWN_MESSAGE, b"")
            and not found.verify(key, known, _KNOWN_MESSAGE + b".", IDENTIFIER)
        )
    except KeyMaterialError:
        return None
    return found if right else None


def _library() -> Libcrypto:
    found = library()
    if found is None:
        raise KeyMaterialError("SM2 keys that sign need the system's libcrypto, 3.0 or newer")
    return found


def verify_by_library(raw: bytes, signature: bytes, message: bytes, identifier: bytes = IDENTIFIER) -> bool:
    """Verifies by libcrypto.

    Raises:
        KeyMaterialError: this machine has none with SM2.
    """
    found = _library()
    key = found.public_key(raw)
    numbers = _numbers(signature)
    return numbers is not None and found.verify(key, der.write_signature(*numbers), message, identifier)


@cache
def tables_are_faster() -> bool:
    """Whether a tabled key verifies faster than libcrypto on this machine: measured once, about 30 ms."""
    found = library()
    if found is None:
        return True
    key = found.public_key(_KNOWN_KEY)
    table = sm2_tables.make_table(_point(_KNOWN_KEY))
    r, s = _numbers(_KNOWN_SIGNATURE) or (0, 0)
    known = der.write_signature(r, s)

    def by_library() -> None:
        found.verify(key, known, _KNOWN_MESSAGE, IDENTIFIER)

    def by_table() -> None:
        e = int.from_bytes(message_digest(_KNOWN_KEY, _KNOWN_MESSAGE), "big")
        _verify_by_table(table, _KNOWN_KEY, r, s, e)

    # A tabled verification holds Python's lock, libcrypto does not: a small gain is none.
    return min(map(_seconds, [by_table] * 9)) < 0.8 * min(map(_seconds, [by_library] * 9))


def _seconds(work: Callable[[], None]) -> float:
    start = perf_counter()
    work()
    return perf_counter() - start


# --- the door -----------------------------------------------------------------------------------------------


def verifier(_: Suite, raw: bytes) -> Callable[[bytes, bytes], bool]:
    """Verifies under the default identifier by whichever path is the right one."""
    return verifier_for(raw, IDENTIFIER)


def verifier_for(raw: bytes, identifier: bytes) -> Callable[[bytes, bytes], bool]:
    """As `verifier`, under another identifier.

    Raises:
        ValueError: the identifier is longer than `LONGEST_IDENTIFIER`.
    """
    digest = identity_digest(raw, identifier)
    found = library()
    key = found.public_key(raw) if found else None

    def verify(signature: bytes, message: bytes) -> bool:
        numbers = _numbers(signature)
        if numbers is None:
            return False
        r, s = numbers
        table = _tables.get(raw)
        if table is not None:
            return _verify_by_table(table, raw, r, s, int.from_bytes(sm3(digest + message), "big"))
        if found is not None and key is not None:
            return found.verify(key, der.write_signature(r, s), message, identifier)
        return _verify_plainly(raw, r, s, int.from_bytes(sm3(digest + message), "big"))

    return verify


def generate(suite: Suite) -> bytes:
    """A fresh scalar, from 1 to n - 2 (GB/T 32918.1, 6.1)."""
    return (secrets.randbelow(_N - 2) + 1).to_bytes(suite.secret_size, "big")


def _check_secret(secret: bytes) -> int:
    scalar = int.from_bytes(secret, "big")
    if not 0 < scalar < _N - 1:
        raise KeyMaterialError("SM2SM3: the secret is out of range")
    return scalar


def public_of(_: Suite, secret: bytes) -> bytes:
    """X || Y of a scalar, by libcrypto."""
    _check_secret(secret)
    found = _library()
    spki = found.public_of(found.private_key(keyfile.private_der(SM2SM3, secret, b"")))
    return keyfile.read_public_der(spki)[1]


def signer(suite: Suite, secret: bytes) -> Callable[[bytes], bytes]:
    """Signs under the default identifier by libcrypto, and returns r || s."""
    found = _library()
    key = found.private_key(keyfile.private_der(suite, secret, public_of(suite, secret)))

    def sign(message: bytes) -> bytes:
        r, s = der.read_signature(found.sign(key, message, IDENTIFIER))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    return sign


def unsafe_variable_time_signer(secret: bytes) -> tuple[bytes, Callable[[bytes], bytes]]:
    """Signs by own arithmetic, whose time depends on the secret: for test vectors, never for real keys.

    Returns:
        The public key X || Y, and `message -> r || s`.

    Raises:
        KeyMaterialError: the secret is out of range.
    """
    scalar = _check_secret(secret)
    found = sm2_tables.multiply_add(scalar, 0, sm2_tables.GENERATOR)
    assert found is not None  # a scalar in range is no multiple of the order
    raw = found[0].to_bytes(32, "big") + found[1].to_bytes(32, "big")

    def sign(message: bytes) -> bytes:
        while True:
            digest = message_digest(raw, message)
            signature = unsafe_sign_with_nonce(scalar, digest, secrets.randbelow(_N - 1) + 1)
            if signature is not None:
                return signature

    return raw, sign


def unsafe_sign_with_nonce(scalar: int, digest: bytes, k: int) -> bytes | None:
    """One signature of a `message_digest` with a given k (GB/T 32918.2, 6.1); None asks for another k.

    A k that is known or used twice gives the secret away: for the standard's example only.
    """
    e = int.from_bytes(digest, "big")
    point = sm2_tables.multiply_add(k, 0, sm2_tables.GENERATOR)
    assert point is not None
    r = (e + point[0]) % _N
    s = pow(1 + scalar, -1, _N) * (k - r * scalar) % _N
    if r == 0 or r + k == _N or s == 0:
        return None
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")
