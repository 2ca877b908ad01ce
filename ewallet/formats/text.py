"""The text of a code: three letters that say what it is, then Base32.

Base32 because a QR code packs it in alphanumeric mode, and because a hand scanner that types keys still
delivers it under a Chinese input method or another keyboard layout. `docs/format.md` states the prefixes.
"""

from __future__ import annotations

import re
from typing import Final

from ewallet import wire
from ewallet.errors import Malformed

CODE: Final = "EWC"
LICENSE: Final = "EWL"
QUESTION: Final = "EWQ"
PAPER: Final = "EWP"
DISPLAY: Final = "EWD"
SEAL: Final = "EWS"
SUPPLY: Final = "EWU"

PREFIXES: Final = (CODE, LICENSE, QUESTION, PAPER, DISPLAY, SEAL, SUPPLY)
"""Identity code, license presentation, challenge or request, paper code, display code, seal, supply code."""

_OURS: Final = re.compile(r"EW[A-Z]")
_LINE_ENDS: Final = "\r\n"
# What a hand scanner or a file adds at the end, and nothing else: more would make two texts one code.


def encode(prefix: str, data: bytes) -> str:
    """Write bytes as the text of a code.

    Args:
        prefix: one of `PREFIXES`.
        data: the signed object, at least one byte.

    Returns:
        The prefix and the upper-case Base32 of the data (RFC 4648 clause 6) without padding.

    Raises:
        ValueError: an unknown prefix, no data, or a text above `wire.MAX_TEXT`.
    """
    if prefix not in PREFIXES:
        raise ValueError(f"no such prefix: {prefix!r}")
    if not data:
        raise ValueError("a code without content")
    text = prefix + wire.b32encode(data)
    if len(text) > wire.MAX_TEXT:
        raise ValueError(f"{len(text)} characters are above the limit of {wire.MAX_TEXT}")
    return text


def decode(text: str) -> tuple[str, bytes]:
    """Read the text of a code, strictly.

    One line end (CR, LF or CR LF), as hand scanners append it, is dropped; everything else must be exact, so
    that one code has one text.

    Args:
        text: what was scanned.

    Returns:
        The prefix and the bytes behind it.

    Raises:
        Malformed: `code.too_long`, `code.unreadable` (not one of ours), `code.version_unknown` (one of
            ours, of a kind not known here) or `code.not_canonical` (not exact Base32).
    """
    text = _without_line_end(text)
    if len(text) > wire.MAX_TEXT:
        raise Malformed(f"more than {wire.MAX_TEXT} characters", "code.too_long")
    prefix, body = text[:3], text[3:]
    if prefix not in PREFIXES:
        if _OURS.fullmatch(prefix):
            raise Malformed("unknown prefix", "code.version_unknown")
        raise Malformed("no known prefix", "code.unreadable")
    if not body:
        raise Malformed("nothing after the prefix", "code.unreadable")
    try:
        return prefix, wire.b32decode(body)
    except Malformed as error:
        raise Malformed(error.detail, "code.not_canonical") from error


def _without_line_end(text: str) -> str:
    if text.endswith("\r\n"):
        return text[:-2]
    return text[:-1] if text[-1:] and text[-1] in _LINE_ENDS else text
