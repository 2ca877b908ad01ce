"""The little DER that keys need (ITU-T X.690, 10): strict, one item at a time, nothing guessed.

`cryptography` reads certificates and most keys, but gives neither an SM2 key nor the algorithm fields around
it; what is left to read by ourselves is small and is read here.
"""

from __future__ import annotations

from typing import Final

from ewallet.errors import KeyMaterialError

INTEGER: Final = 0x02
BIT_STRING: Final = 0x03
OCTET_STRING: Final = 0x04
NULL: Final = 0x05
OID: Final = 0x06
SEQUENCE: Final = 0x30


def item(tag: int, *contents: bytes) -> bytes:
    """Encodes one item with a one-byte tag."""
    content = b"".join(contents)
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def integer(value: int) -> bytes:
    """Encodes a non-negative INTEGER."""
    return item(INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


class Reader:
    """Reads the items of one DER content in their order."""

    __slots__ = ("_data", "_end", "_position")

    def __init__(self, data: bytes) -> None:
        self._data, self._position, self._end = data, 0, len(data)

    @property
    def tag(self) -> int | None:
        """The tag of the next item; None at the end."""
        return self._data[self._position] if self._position < self._end else None

    def raw(self) -> bytes:
        """The next item, head included.

        Raises:
            KeyMaterialError: truncated, a long tag, an indefinite or non-minimal length.
        """
        start = self._position
        self._content()
        return self._data[start : self._position]

    def take(self, tag: int) -> bytes:
        """The content of the next item, which must have this tag.

        Raises:
            KeyMaterialError: another tag, or as `raw`.
        """
        if self.tag != tag:
            raise KeyMaterialError("DER: another item was expected")
        return self._content()

    def take_unsigned(self) -> int:
        """The next item as a non-negative INTEGER in its shortest form.

        Raises:
            KeyMaterialError: it is not.
        """
        content = self.take(INTEGER)
        if not content or content[0] & 0x80 or (len(content) > 1 and not content[0] and content[1] < 0x80):
            raise KeyMaterialError("DER: not a non-negative integer in its shortest form")
        return int.from_bytes(content, "big")

    def inner(self, tag: int = SEQUENCE) -> Reader:
        """A reader of the next item's content."""
        return Reader(self.take(tag))

    def rest(self) -> bytes:
        """All that is left, not looked at."""
        data, self._position = self._data[self._position :], self._end
        return data

    def done(self) -> None:
        """Asserts that nothing is left.

        Raises:
            KeyMaterialError: something is.
        """
        if self._position != self._end:
            raise KeyMaterialError("DER: bytes are left over")

    def _content(self) -> bytes:
        data, position = self._data, self._position
        head = data[position : position + 2]
        if len(head) < 2 or head[0] & 0x1F == 0x1F:
            raise KeyMaterialError("DER: truncated, or a tag beyond our use")
        size, position = head[1], position + 2
        if size >= 0x80:
            count = size & 0x7F
            size = int.from_bytes(data[position : position + count], "big")
            # More than four bytes of length, none (indefinite), or one that a shorter form could say.
            if not 0 < count <= 4 or size < 0x80 or size >> (8 * (count - 1)) == 0:
                raise KeyMaterialError("DER: a length not in its shortest form")
            position += count
        if position + size > self._end:
            raise KeyMaterialError("DER: truncated")
        self._position = position + size
        return data[position : position + size]


def single(data: bytes, tag: int = SEQUENCE) -> Reader:
    """A reader of the content of the one item that fills `data`.

    Raises:
        KeyMaterialError: another tag, or bytes after the item.
    """
    outer = Reader(data)
    content = outer.inner(tag)
    outer.done()
    return content


def read_signature(data: bytes) -> tuple[int, int]:
    """Reads an ECDSA-Sig-Value or SM2 signature (RFC 3279, 2.2.3; GM/T 0009): SEQUENCE of r and s.

    Raises:
        KeyMaterialError: not in that form.
    """
    content = single(data)
    r, s = content.take_unsigned(), content.take_unsigned()
    content.done()
    return r, s


def write_signature(r: int, s: int) -> bytes:
    """Encodes r and s as a DER SEQUENCE."""
    return item(SEQUENCE, integer(r), integer(s))


def bit_string(content: bytes) -> bytes:
    """Encodes whole bytes as a BIT STRING."""
    return item(BIT_STRING, b"\0", content)
