"""License: the immutable record of one version; its face and the digest of its face.

A license is a record; credentials, seals and printed copies are made from it and never the reverse.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from cbor2 import dumps

from ewallet.moments import day_end, day_start

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import date, datetime

    from ewallet.formats.statuslist import StatusReference

FACE_CONTEXT: Final = b"ewallet-face-v1"
"""First bytes of what a face digest is made over: no other digest of this package begins so."""

SALT_SIZE: Final = 16
"""128 bits: a face has few values, and without a salt they could be guessed from the digest."""

LONG_TERM: Final = "long-term"
"""The value of an end date that never comes; a face shows 长期."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Holder:
    """One holder of a license.

    Attributes:
        name: as on the face.
        code: number of the holder under its kind; empty where the holder has none yet (a newborn).
        kind: holder code type of GB/T 36903: `001` organization, `111` resident ...
    """

    name: str
    code: str
    kind: str

    def __repr__(self) -> str:
        return f"Holder(kind={self.kind})"

    def to_claim(self) -> dict[str, str]:
        """The holder as it stands in a credential."""
        return {"name": self.name, "code": self.code, "kind": self.kind}

    @classmethod
    def from_claim(cls, claim: Mapping[str, str]) -> Holder:
        """The holder from its stored form."""
        return cls(name=claim["name"], code=claim["code"], kind=claim["kind"])


@dataclass(frozen=True, kw_only=True, repr=False)
class License:
    """One version of one license, as issued; never changed afterwards.

    Attributes:
        type_code: code of the type, the first part of the identifier.
        type_key: the type's short name in the catalog (`business-license`).
        type_version: version of the type's catalog entry under which the face was made.
        identifier: GB/T 36904 identifier of this version.
        number: license number.
        version: 1 for the first, +1 with each amendment or renewal.
        replaces: identifier of the version that this one replaces; None for the first.
        authority: URI of the issuing authority, `iss`.
        authority_name: its Chinese name as on the face.
        area: six-digit area code.
        holders: one or more.
        face: key and value of each field on the face, in catalog order; an image is its digest.
        images: content of image fields (JPEG), by key.
        valid_from: first day on which it is valid (Asia/Shanghai).
        valid_until: last day; None: long-term.
        issued_on: the day of issue on its face.
        issued_at: when this version was made, seconds since 1970.
        salt: 16 random bytes of the face digest.
        digest_name: `sha256` or `sm3`: the hash of the issuer's suite.
        face_digest: digest of salt and face, see `face_digest`.
        document_status: where the status of its document credential stands.
        document: the document credential; None until signed.
    """

    type_code: str
    type_key: str
    type_version: int
    identifier: str
    number: str
    version: int
    replaces: str | None
    authority: str
    authority_name: str
    area: str
    holders: tuple[Holder, ...]
    face: tuple[tuple[str, str], ...]
    images: Mapping[str, bytes] = field(default_factory=dict)
    valid_from: date
    valid_until: date | None
    issued_on: date
    issued_at: int
    salt: bytes
    digest_name: str
    face_digest: bytes
    document_status: StatusReference
    document: str | None = None

    def __repr__(self) -> str:
        return f"License({self.type_key} {self.identifier})"  # a record is personal: not for logs

    def signed(self, document: str, status: StatusReference | None = None) -> License:
        """The same version with its document credential, and that credential's status entry."""
        made = object.__new__(License)
        made.__dict__.update(self.__dict__, document=document)
        if status is not None:
            made.__dict__["document_status"] = status
        return made

    @cached_property
    def fields(self) -> dict[str, str]:
        """The face by key."""
        return dict(self.face)

    @property
    def starts_at(self) -> datetime:
        """The first moment of its validity: the beginning of the first day in Asia/Shanghai."""
        return day_start(self.valid_from)

    @property
    def ends_at(self) -> datetime | None:
        """The first moment after its validity: the end of the last day in Asia/Shanghai; None: long-term."""
        return None if self.valid_until is None else day_end(self.valid_until)


def encode_face(face: Iterable[tuple[str, str]]) -> bytes:
    """Deterministic CBOR of a face: an array of [key, value], in catalog order (RFC 8949, 4.2.1).

    Arrays of text have one encoding with shortest heads, so that the encoder needs no ordering: a register
    issues a hundred thousand at a time. A test compares this with `ewallet.wire.encode_cbor`.
    """
    return dumps([[key, value] for key, value in face])


def _sha256(data: bytes) -> bytes:
    return sha256(data).digest()


def face_digest(
    face: Iterable[tuple[str, str]], salt: bytes, digest: Callable[[bytes], bytes] = _sha256
) -> bytes:
    """Digest of a face: H("ewallet-face-v1" || salt || CBOR array of [key, value]).

    Args:
        face: key and value in catalog order.
        salt: 16 random bytes.
        digest: `Suite.digest` of the key that signs: SM3 for SM2, SHA-256 otherwise.

    Raises:
        ValueError: a salt of another length.
    """
    if len(salt) != SALT_SIZE:
        raise ValueError("a face salt has 16 bytes")
    return digest(FACE_CONTEXT + salt + encode_face(face))
