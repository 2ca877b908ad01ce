"""The only door for foreign bytes: limits, strict CBOR, strict JSON, base32 and base64url.

Common decoders are lenient: they take duplicate keys, trailing bytes, indefinite lengths, tags that build
dates or shared references, non-minimal numbers, and base64 with junk in it. What two programs read
differently, an attacker uses. Here each input has one reading or none:

1. a length limit, before anything is parsed;
2. the decoder's strict switches, a bounded depth, and only the tags that the caller names;
3. nothing left over;
4. for our own formats (`own=True`): the bytes equal their deterministic encoding (RFC 8949, 4.2.1).

Everything here raises `ewallet.errors.Malformed` and nothing else for bad input.
"""

from __future__ import annotations

import json
from binascii import Error as BinasciiError
from binascii import a2b_base64, b2a_base64
from functools import lru_cache, partial
from io import BytesIO
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from cbor2 import CBORDecoder, CBORError, CBORSimpleValue, CBORTag, dumps, frozendict, loads

from ewallet.errors import Malformed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MAX_TEXT: Final = 4096
"""Characters of a code or seal as text: a QR code holds at most 4,296 alphanumeric characters."""

MAX_CREDENTIAL: Final = 65_536
"""Bytes of a credential with all its disclosures: tenfold of the largest license seen."""

MAX_DEPTH: Final = 8
"""Levels of arrays and maps in CBOR. A key binding token with nested claims needs six."""

MAX_JSON_DEPTH: Final = 16
"""Levels of arrays and objects in JSON: list documents nest about ten deep."""

REDACTED_KEYS: Final = CBORSimpleValue(59)
"""Map key under which an SD-CWT lists the digests of redacted claims. Beware: `cbor2` makes it equal to the
integer 59, with the same hash; look at the type of a key, never compare."""


def _refuse(*_: object) -> Any:
    raise Malformed("a CBOR tag that does not belong here")


# The tags for which cbor2 has a meaning of its own (dates, big numbers, shared and string references,
# decimals, regular expressions, mail, UUID, addresses, sets, complex numbers, self-description).
_REFUSED_TAGS: Final = dict.fromkeys(
    (0, 1, 2, 3, 4, 5, 25, 28, 29, 30, 35, 36, 37, 52, 54, 100, 256, 258, 260, 261, 1004, 43000, 55799),
    _refuse,
)

_SCALARS: Final = frozenset((int, str, bytes, bool, type(None)))
_AS_IT_IS: Final = _SCALARS - {int}
_KEYS: Final = frozenset((int, str))
_REDACTED_MAP_KEYS: Final = frozenset((int, str, CBORSimpleValue))


@lru_cache(maxsize=4096, typed=True)
def _cached_key_bytes(key: int | str | CBORSimpleValue) -> bytes:
    return dumps(key)


def _key_bytes(key: int | str | CBORSimpleValue) -> bytes:
    # Long keys are not kept: what a stranger sends must not fill the memory.
    return dumps(key) if isinstance(key, str) and len(key) > _SHORT else _cached_key_bytes(key)


@lru_cache(maxsize=64)
def _tag_decoders(allowed: frozenset[int]) -> dict[int, Any]:
    """A tag that the caller names comes back as it stands, whatever the decoder would make of it."""
    if allowed.isdisjoint(_REFUSED_TAGS):
        return _REFUSED_TAGS
    named = {tag: partial(_as_it_stands, tag) for tag in allowed & _REFUSED_TAGS.keys()}
    return {**_REFUSED_TAGS, **named}


def _as_it_stands(tag: int, value: Any, _: object) -> CBORTag:
    return CBORTag(tag, value)


@lru_cache(maxsize=64)
def _tag_hook(allowed: frozenset[int]) -> Any:
    def only_allowed(tag: CBORTag, _: object) -> CBORTag:
        if tag.tag not in allowed:
            raise Malformed("a CBOR tag that does not belong here")
        return tag

    return only_allowed


_SHORT: Final = 64
_SHAPES_KEPT: Final = 4096
_shapes: set[tuple[Any, ...]] = set()
"""Key sequences (with their types and whether simple(59) may occur) that were found in order."""


def _check_shape(shape: tuple[Any, ...]) -> None:
    keys, kinds, redacted = shape
    if not _KEYS.issuperset(kinds) and not (redacted and _only_redacted(keys, kinds)):
        raise Malformed("a CBOR map key that is neither integer nor text")
    encoded = [_key_bytes(key) for key in keys]
    if encoded != sorted(encoded):
        raise Malformed("CBOR map keys out of order")
    if len(keys) <= _SHORT and all(len(item) <= _SHORT for item in encoded):
        if len(_shapes) >= _SHAPES_KEPT:
            _shapes.clear()
        _shapes.add(shape)


def _only_redacted(keys: Iterable[Any], kinds: Iterable[type]) -> bool:
    return _REDACTED_MAP_KEYS.issuperset(kinds) and all(
        key.value == 59 for key in keys if type(key) is CBORSimpleValue
    )


def check_deterministic(value: Any, *, redacted: bool = False) -> None:
    """What re-encoding a decoded value does not show: the order of map keys, and types we do not use.

    Raises:
        Malformed: keys out of order or of other types, a floating-point number, another simple value.
    """
    waiting = [value]
    for item in waiting:  # grows while it is walked: no deeper than the decoder allowed
        kind = type(item)
        inner: Any
        if kind is dict or kind is frozendict:
            keys = tuple(item)
            shape = (keys, tuple(map(type, keys)), redacted)
            if shape not in _shapes:
                _check_shape(shape)
            inner = item.values()
        elif kind is list or kind is tuple:
            inner = item
        elif kind is CBORTag:
            inner = (item.value,)
        else:
            raise Malformed("a CBOR type that our formats do not use")
        if not _SCALARS.issuperset(map(type, inner)):
            waiting += [part for part in inner if type(part) not in _SCALARS]


def _check_keys(value: Any, *, redacted: bool) -> None:
    kind = type(value)
    inner: Any
    if kind is dict or kind is frozendict:
        kinds = set(map(type, value))
        if not kinds <= _KEYS and not (redacted and _only_redacted(value, kinds)):
            raise Malformed("a CBOR map key that is neither integer nor text")
        inner = value.values()
    elif kind is list or kind is tuple:
        inner = value
    elif kind is CBORTag:
        inner = (value.value,)
    else:
        return
    for item in inner:
        if type(item) not in _SCALARS:
            _check_keys(item, redacted=redacted)


def first_item(data: bytes, *, limit: int = MAX_CREDENTIAL, tags: frozenset[int] = frozenset()) -> Any:
    """Decodes the first CBOR item of `data` with the strict switches, and looks no further.

    For callers that put the bytes together again and compare: that shows trailing bytes, heads that are too
    long and keys out of order at once.

    Raises:
        Malformed: as `decode_cbor`, save for what only a comparison shows.
    """
    if len(data) > limit:
        raise Malformed(f"longer than {limit} bytes")
    try:
        return _strict(tags)(data)
    except _DECODE_ERRORS as error:
        raise Malformed("not one strict CBOR item") from error


def first_items(parts: Iterable[bytes], *, tags: frozenset[int] = frozenset()) -> list[Any]:
    """`first_item` of each of several byte strings that were measured already."""
    try:
        return list(map(_strict(tags), parts))
    except _DECODE_ERRORS as error:
        raise Malformed("not one strict CBOR item") from error


@lru_cache(maxsize=64)
def _strict(tags: frozenset[int]) -> Callable[[bytes], Any]:
    return partial(
        loads,
        tag_hook=_tag_hook(tags),
        semantic_decoders=_tag_decoders(tags),
        max_depth=MAX_DEPTH,
        allow_indefinite=False,
        allow_duplicate_keys=False,
    )


_DECODE_ERRORS: Final = (CBORError, ValueError, TypeError, OverflowError, RecursionError, MemoryError)


def decode_cbor(
    data: bytes,
    *,
    limit: int = MAX_CREDENTIAL,
    tags: frozenset[int] = frozenset(),
    own: bool = False,
    redacted: bool = False,
) -> Any:
    """Decodes one CBOR item that fills `data` exactly.

    Args:
        data: the bytes.
        limit: most bytes that are looked at.
        tags: the tags that may occur; they come back as `cbor2.CBORTag`.
        own: demand the deterministic form of our own formats: shortest lengths and numbers, map keys in
            bytewise order (RFC 8949, 4.2.1), and no floating-point or other simple values.
        redacted: map keys may be simple(59) (SD-CWT draft, "Redacted Claim Keys").

    Returns:
        The value. Inside a tag, arrays are tuples and maps are frozen.

    Raises:
        Malformed: too long, not one item, duplicate keys at any depth, indefinite lengths, too deep, a tag
            that is not named, map keys other than integers and text, not UTF-8.
    """
    if own:
        value = first_item(data, limit=limit, tags=tags)
        if type(value) not in _SCALARS:
            check_deterministic(value, redacted=redacted)
        # Equal to its own encoding: shortest heads, and nothing left over.
        if dumps(value) != data:
            raise Malformed("not the deterministic CBOR encoding")
        return value
    if len(data) > limit:
        raise Malformed(f"longer than {limit} bytes")
    try:
        stream = BytesIO(data)
        value = CBORDecoder(
            stream,
            tag_hook=_tag_hook(tags),
            semantic_decoders=_tag_decoders(tags),
            max_depth=MAX_DEPTH,
            allow_indefinite=False,
            allow_duplicate_keys=False,
        ).decode()
        left_over = stream.tell() != len(data)
    except _DECODE_ERRORS as error:
        raise Malformed("not one strict CBOR item") from error
    if left_over:
        raise Malformed("bytes after the CBOR item")
    if type(value) not in _SCALARS:
        _check_keys(value, redacted=redacted)
    return value


_orders: dict[tuple[Any, ...], list[Any]] = {}
"""Key sequences (with their types) and their right order: an issuer's maps are alike."""


def _in_order(keys: tuple[Any, ...]) -> list[Any]:
    shape = (keys, tuple(map(type, keys)))
    found = _orders.get(shape)
    if found is None:
        if not _REDACTED_MAP_KEYS.issuperset(shape[1]):
            raise TypeError("CBOR map keys are integers or text")
        found = sorted(keys, key=_key_bytes)
        if len(keys) <= _SHORT and all(not isinstance(key, str) or len(key) <= _SHORT for key in keys):
            if len(_orders) >= _SHAPES_KEPT:
                _orders.clear()
            _orders[shape] = found
    return found


def _ordered(value: Any) -> Any:
    kind = type(value)
    if kind is int and not -(2**64) <= value < 2**64:
        raise ValueError("an integer beyond 64 bits has no CBOR form here")
    if kind in _SCALARS:
        return value
    if isinstance(value, dict | frozendict):
        return {
            key: item if type(item := value[key]) in _AS_IT_IS else _ordered(item)
            for key in _in_order(tuple(value))
        }
    if isinstance(value, list | tuple):
        if _AS_IT_IS.issuperset(map(type, value)):
            return value
        return [_ordered(item) for item in value]
    if kind is CBORTag:
        return CBORTag(value.tag, _ordered(value.value))
    if kind is float:
        return _ShortestFloat(value)
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    if isinstance(value, str):  # a StrEnum member and the like
        return str(value)
    if isinstance(value, int):
        return int(value)
    raise TypeError(f"no CBOR form for {kind.__name__}")


class _ShortestFloat:
    __slots__ = ("encoded",)

    def __init__(self, value: float) -> None:
        self.encoded = dumps(value, canonical=True)


def _write_float(encoder: Any, value: _ShortestFloat) -> None:
    encoder.write(value.encoded)


def encode_cbor(value: Any) -> bytes:
    """Encodes a value deterministically: RFC 8949, 4.2.1, map keys in bytewise order of their encodings.

    (`cbor2`'s own canonical order sorts by length first: RFC 7049, and another result.)

    Args:
        value: integers of at most 64 bits, text, bytes, booleans, None, floats, lists, tuples, dicts with
            integer or text keys, `CBORTag`, simple(59) as a key.

    Raises:
        TypeError: a type that has no place in our formats.
        ValueError: text that is not Unicode (a lone surrogate), an integer beyond 64 bits.
    """
    try:
        if type(value) in _AS_IT_IS:
            return dumps(value)
        return dumps(_ordered(value), default=_write_float)
    except (CBORError, UnicodeEncodeError) as error:
        raise ValueError("not encodable as CBOR") from error


def encode_key(key: int | str) -> bytes:
    """A map key, encoded; the usual ones are remembered."""
    if type(key) not in _KEYS:
        raise TypeError("CBOR map keys are integers or text")
    return _key_bytes(key)


def cbor_head(major: int, length: int) -> bytes:
    """The head of a CBOR item in its shortest form: `major` type 0 to 7, argument below 2**64."""
    if length < 24:
        return bytes((major << 5 | length,))
    if length < 0x100:
        return bytes((major << 5 | 24, length))
    if length < 0x10000:
        return bytes((major << 5 | 25,)) + length.to_bytes(2, "big")
    if length < 0x1_0000_0000:
        return bytes((major << 5 | 26,)) + length.to_bytes(4, "big")
    return bytes((major << 5 | 27,)) + length.to_bytes(8, "big")


_BYTES_HEADS: Final = tuple(cbor_head(2, length) for length in range(1024))


def cbor_bytes(data: bytes) -> bytes:
    """`data` as a CBOR byte string, head included."""
    length = len(data)
    return (_BYTES_HEADS[length] if length < 1024 else cbor_head(2, length)) + data


# --- JSON ---------------------------------------------------------------------------------------------------


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise Malformed("a JSON object with a member twice")
    return members


def _no_constant(_: str) -> Any:
    raise Malformed("NaN or Infinity in JSON")


def _finite(text: str) -> float:
    number = float(text)
    if number - number != 0.0:  # infinity: 1e999 is well-formed JSON
        raise Malformed("a JSON number beyond all bounds")
    return number


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_object, parse_constant=_no_constant, parse_float=_finite
)
_JSON_SPACE: Final = " \t\n\r"


def _json_depth(value: Any) -> int:
    deepest, level = 0, [value]
    while level:
        deepest += 1
        level = [
            item
            for outer in level
            for item in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(item, dict | list)
        ]
    return deepest


def decode_json(data: bytes | str, *, limit: int = MAX_CREDENTIAL, depth: int = MAX_JSON_DEPTH) -> Any:
    """Decodes one JSON text (RFC 8259) that fills `data`, white space around it apart.

    Args:
        data: UTF-8 bytes without a byte order mark, or text.
        limit: most bytes (or characters) that are looked at.
        depth: most levels of arrays and objects.

    Raises:
        Malformed: too long, not UTF-8, not one JSON value, a member twice at any depth, NaN, infinite
            numbers, too deep, a lone surrogate.
    """
    if len(data) > limit:
        raise Malformed(f"longer than {limit} bytes")
    try:
        text = data if isinstance(data, str) else data.decode()
        text = text.strip(_JSON_SPACE)
        value, end = _DECODER.raw_decode(text)
    except (ValueError, RecursionError) as error:
        raise Malformed("not JSON") from error
    if end != len(text):
        raise Malformed("text after the JSON value")
    if (
        text.count("{") + text.count("[") > depth
        and isinstance(value, dict | list)
        and _json_depth(value) > depth
    ):
        raise Malformed(f"JSON deeper than {depth}")
    if isinstance(data, str) or ("\\" in text and ("\\ud" in text or "\\uD" in text)):
        _check_unicode(value, text)
    return value


def decode_json_arrays(texts: list[bytes], *, depth: int = MAX_JSON_DEPTH) -> list[Any]:
    """Decodes several JSON arrays, each filling its bytes, at less cost than one by one.

    Raises:
        Malformed: as `decode_json`, or one of them is no array.
    """
    together = b"\n,".join(texts)
    # A line break cannot stand inside a JSON string, so all strings end where their text ends. If each text
    # begins with a bracket and none holds another, then the arrays in `together` are the texts, one by one.
    alike = (
        set(map(_first, texts)) == _BRACKET
        and together.count(b"[") == len(texts)
        and together.count(b"{") < depth - 1
        and (b"\\" not in together or b"\\u" not in together)
    )
    try:
        values = _whole(f"[{together.decode()}]") if alike else None
    except (ValueError, RecursionError, StopIteration):
        values = None
    if values is None or len(values) != len(texts):
        values = [decode_json(text, depth=depth) for text in texts]  # says what is wrong, if it is
    if values and set(map(type, values)) != {list}:
        raise Malformed("no JSON array")
    return values


_first: Final = itemgetter(slice(1))
_BRACKET: Final = {b"["}
# The decoder's own scanner: what `raw_decode` calls, without the wrapping.
_scan: Final[Any] = getattr(_DECODER, "scan_once")  # noqa: B009 - not in the type stubs


def _whole(text: str) -> Any:
    value, end = _scan(text, 0)
    if end != len(text):
        raise ValueError("text after the JSON value")
    return value


def _check_unicode(value: Any, text: str) -> None:
    try:
        text.encode()
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise Malformed("a lone surrogate in JSON") from error


# --- base64url and base32 -----------------------------------------------------------------------------------

_TO_STANDARD: Final = bytes.maketrans(b"-_", b"+/")
_TO_URL: Final = bytes.maketrans(b"+/", b"-_")


def b64u_encode(data: bytes) -> str:
    """base64url without padding (RFC 4648, 5; RFC 7515, 2)."""
    return b2a_base64(data, newline=False).translate(_TO_URL).rstrip(b"=").decode("ascii")


def b64u_decode(text: str | bytes) -> bytes:
    """Strict base64url without padding: exact alphabet, possible lengths, zero pad bits.

    Raises:
        Malformed: anything else.
    """
    try:
        given = text if isinstance(text, bytes) else text.encode("ascii")
        data = a2b_base64(given.translate(_TO_STANDARD) + b"==="[: -len(given) % 4])
    except (BinasciiError, UnicodeEncodeError) as error:
        raise Malformed("not base64url") from error
    # The decoder skips junk; only what encodes back to itself was written in the one right way.
    if b2a_base64(data, newline=False).translate(_TO_URL).rstrip(b"=") != given:
        raise Malformed("not base64url in its only form")
    return data


_BASE32: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_BASE32_DIGITS: Final = bytes(
    b"0123456789abcdefghijklmnopqrstuv"[_BASE32.index(chr(code))] if chr(code) in _BASE32 else ord("!")
    for code in range(256)
)
"""Digits for `int`; a character outside the alphabet becomes one that no number has."""
_BASE32_BYTES: Final = _BASE32.encode().ljust(256, b"?")
_BASE32_PAD_BITS: Final = {0: 0, 2: 2, 4: 4, 5: 1, 7: 3}  # length mod 8 -> bits that must be zero


@lru_cache(maxsize=16)
def _spreading(digits: int) -> tuple[tuple[int, int, int], ...]:
    """Steps that move `digits` groups of 5 bits apart to 8 bits each: (low mask, high mask, shift).

    Each step halves fields of 2k groups, at distances of 16k bits, into fields of k groups.
    """
    steps = []
    groups = digits // 2
    while groups:
        ones = (1 << 5 * groups) - 1
        low = sum(ones << position * 8 for position in range(0, digits, 2 * groups))
        steps.append((low, low << 5 * groups, 3 * groups))
        groups //= 2
    return tuple(steps)


def b32encode(data: bytes) -> str:
    """Base32 (RFC 4648, 6), upper case, without padding: what a QR code packs best."""
    length = -(-len(data) * 8 // 5)
    if not length:
        return ""
    digits = 1 << (length - 1).bit_length()
    number = int.from_bytes(data, "big") << length * 5 - len(data) * 8
    # Whole numbers of hundreds of bytes, a few operations each: faster than a loop over the groups.
    for low, high, shift in _spreading(digits):
        number = number & low | (number & high) << shift
    return number.to_bytes(length, "big").translate(_BASE32_BYTES).decode("ascii")


def b32decode(text: str) -> bytes:
    """Strict Base32 without padding: exact alphabet, no lower case, possible lengths, zero pad bits.

    Raises:
        Malformed: anything else.
    """
    pad_bits = _BASE32_PAD_BITS.get(len(text) % 8)
    if pad_bits is None:
        raise Malformed("not Base32")
    if not text:
        return b""
    try:
        number = int(text.encode("ascii").translate(_BASE32_DIGITS), 32)
    except ValueError as error:
        raise Malformed("not Base32") from error
    if number & ((1 << pad_bits) - 1):
        raise Malformed("Base32 with pad bits set")
    return (number >> pad_bits).to_bytes(len(text) * 5 // 8, "big")
