"""Identifier of an electronic license (GB/T 36904-2018).

`root.type.issuer.serial.version.check`: root `1.2.156.3005.2`; the type's code (USCC of the authority that
defines it and three digits, or a 15-digit code of Shanghai's catalog); USCC of the issuing authority; serial
of digits and upper-case letters; three-digit version from `001`; check character ISO/IEC 7064 MOD 37,36 over
type, issuer, serial and version.

>>> text = make("11100000MB0143028R001", "11310000MA1FL00012", "20260000001", 1)
>>> text
'1.2.156.3005.2.11100000MB0143028R001.11310000MA1FL00012.20260000001.001.1'
>>> validate(text) == text
True
>>> parse("1.2.156.3005.2.11100000000013338W009.11330105002500287C.2025052201.002.0").version
2
>>> is_valid(text[:-1] + "2")
False
>>> len(pack(text)), unpack(pack(text)) == text
(36, True)
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from ewallet.errors import Malformed, RecordError
from ewallet.licenses.numbers import uscc

ROOT: Final = "1.2.156.3005.2"
MAX_SERIAL: Final = 63
"""Longest serial: a code's license number or a random one has far fewer characters."""

_DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_VALUES: Final = {character: value for value, character in enumerate(_DIGITS)}
_TYPE: Final = re.compile(r"[0-9A-HJ-NP-RTUWXY]{18}[0-9]{3}|[0-9]{15}", re.ASCII)
_ISSUER: Final = re.compile(r"[0-9A-HJ-NP-RTUWXY]{18}", re.ASCII)
_SERIAL: Final = re.compile(r"[0-9A-Z]{1,63}", re.ASCII)
_FORM: Final = re.compile(
    r"1\.2\.156\.3005\.2\.(?P<type>[0-9A-Z]{15}|[0-9A-Z]{21})\.(?P<issuer>[0-9A-Z]{18})"
    r"\.(?P<serial>[0-9A-Z]{1,63})\.(?P<version>[0-9]{3})\.(?P<check>[0-9A-Z])",
    re.ASCII,
)
_START: Final = 18  # half the modulus, as ISO/IEC 7064 begins a hybrid system
_LONG_TYPE: Final = 0x80  # first byte of the packed form: 21-character type code
_TYPE_LENGTHS: Final = {0: 15, _LONG_TYPE: 21}


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What an identifier says."""

    type_code: str
    issuer: str
    serial: str
    version: int


@lru_cache(maxsize=256)
def _state(text: str, state: int) -> int:
    for character in text:
        state = ((state or 36) * 2 % 37 + _VALUES[character]) % 36
    return state


def _check(type_code: str, issuer: str, rest: str) -> str:
    # All licenses of one type and issuer share the first characters: their state is kept.
    state = _state(type_code + issuer, _START)
    for character in rest:
        state = ((state or 36) * 2 % 37 + _VALUES[character]) % 36
    return _DIGITS[(1 - (state or 36) * 2 % 37) % 36]


def check_character(payload: str) -> str:
    """Check character MOD 37,36 of type, issuer, serial and version written without dots (GB/T 17710)."""
    return _check(payload[:15], payload[15:33], payload[33:])


def is_type_code(code: str) -> bool:
    """Whether a text is a type code: defining authority's valid USCC and three digits, or 15 digits."""
    if _TYPE.fullmatch(code) is None:
        return False
    return len(code) == 15 or uscc.is_valid(code[:18])


def make(type_code: str, issuer: str, serial: str, version: int) -> str:
    """The identifier of one version of one license.

    Raises:
        RecordError: a part is not in its form, or the version is not 1 to 999.
    """
    prefix = _prefix(type_code, issuer)
    if _SERIAL.fullmatch(serial) is None:
        raise RecordError("a serial has 1 to 63 digits and upper-case letters")
    if not 1 <= version <= 999:
        raise RecordError("a version is 1 to 999")
    return f"{prefix}{serial}.{version:03}.{_check(type_code, issuer, f'{serial}{version:03}')}"


@lru_cache(maxsize=256)
def _prefix(type_code: str, issuer: str) -> str:
    if _TYPE.fullmatch(type_code) is None or _ISSUER.fullmatch(issuer) is None:
        raise RecordError("type code or issuer is not in the form of an identifier")
    return f"{ROOT}.{type_code}.{issuer}."


def validate(number: str) -> str:
    """The identifier itself, when form and check character hold (GB/T 36904-2018).

    The two social credit codes inside are not checked: an authority may have had another kind of code.

    Raises:
        RecordError: they do not.
    """
    parse(number)
    return number


def is_valid(number: str) -> bool:
    """Whether form and check character hold."""
    try:
        parse(number)
    except RecordError:
        return False
    return True


def parse(number: str) -> Parts:
    """The parts of an identifier.

    Raises:
        RecordError: form or check character do not hold.
    """
    found = _FORM.fullmatch(number)
    if found is None or found["version"] == "000":
        raise RecordError("not a license identifier")
    type_code, issuer, serial, version, check = found.groups()
    if _check(type_code, issuer, serial + version) != check:
        raise RecordError("the check character of the license identifier is wrong")
    return Parts(type_code=type_code, issuer=issuer, serial=serial, version=int(version))


def pack(number: str) -> bytes:
    """The identifier in few bytes, for the seal.

    One byte (bit 7: 21-character type code; bits 0 to 5: length of the serial), then type, issuer, serial and
    version read as one number to base 36, big-endian, in as many bytes as the largest such number needs. Root
    and check character are implied.

    Raises:
        RecordError: not an identifier.
    """
    parts = parse(number)
    head = len(parts.serial) | (_LONG_TYPE if len(parts.type_code) == 21 else 0)
    text = f"{parts.type_code}{parts.issuer}{parts.serial}{parts.version:03}"
    return bytes((head,)) + int(text, 36).to_bytes(_packed_size(len(text)), "big")


def unpack(data: bytes) -> str:
    """The identifier from its packed form.

    Raises:
        Malformed: not what `pack` makes.
    """
    length = data[0] & 0x3F if data else 0
    type_length = _TYPE_LENGTHS.get(data[0] & 0xC0 if data else -1)
    if type_length is None or not length:
        raise Malformed("not a packed identifier")
    size = type_length + 18 + length + 3
    number = int.from_bytes(data[1:], "big")
    if len(data) != 1 + _packed_size(size) or number >= 36**size:
        raise Malformed("not a packed identifier")
    text = _base36(number, size)
    type_code, issuer = text[:type_length], text[type_length : type_length + 18]
    serial, version = text[type_length + 18 : -3], text[-3:]
    full = f"{ROOT}.{type_code}.{issuer}.{serial}.{version}.{_check(type_code, issuer, serial + version)}"
    if not is_valid(full):
        raise Malformed("not a packed identifier")
    return full


@lru_cache(maxsize=128)
def _packed_size(characters: int) -> int:
    largest = int("Z" * characters, 36)
    return (largest.bit_length() + 7) // 8


def _base36(number: int, size: int) -> str:
    characters = []
    for _ in range(size):
        number, digit = divmod(number, 36)
        characters.append(_DIGITS[digit])
    return "".join(reversed(characters))
