"""The edition statement: one signed object that joins the paper and the e-license of one version.

It names the version, the digest of its face, its credential, and every printed copy with stock number and
seal digest. An auditor who holds it needs no register: he checks the signature through the trust lists, then
whatever sheet or credential lies before him against the statement (`Edition.check_*`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ewallet.errors import Malformed, Refused
from ewallet.formats import cose
from ewallet.licenses.license import SALT_SIZE, face_digest
from ewallet.licenses.seal import Role, UnverifiedSeal, pack_identifier, unpack_identifier
from ewallet.moments import seconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from ewallet.keys import PublicKey, Signer
    from ewallet.licenses.license import License
    from ewallet.licenses.printed import PrintedCopy

TYP: Final = "application/ewallet-edition+cwt"

PROFILE: Final = cose.Profile(
    typ=TYP, exp_required=False, required=frozenset((cose.ISS, cose.IAT, *"ivshdc"))
)

_CLAIMS: Final = frozenset((cose.ISS, cose.IAT, *"ivshdc"))
_DIGEST_SIZE: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class EditionCopy:
    """One printed copy of an edition.

    Attributes:
        role: original or duplicate.
        number: which of its role.
        of: how many of its role.
        stock: stock number; empty for plain paper.
        seal_digest: SHA-256 of the signed bytes of its seal.
    """

    role: Role
    number: int
    of: int
    stock: str
    seal_digest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Edition:
    """What an edition statement says.

    Attributes:
        iss: URI of the issuing authority.
        identifier: GB/T 36904 identifier of the version.
        version: from 1.
        salt: salt of the face digest.
        face_digest: digest of the face, as in the credential.
        document_digest: digest of the document credential's signed bytes.
        copies: the printed copies.
        stated_at: seconds since 1970.
    """

    iss: str
    identifier: str
    version: int
    salt: bytes
    face_digest: bytes
    document_digest: bytes
    copies: tuple[EditionCopy, ...]
    stated_at: int

    def check_face(self, face: Iterable[tuple[str, str]], key: PublicKey) -> None:
        """A face must be the one of this edition.

        Args:
            face: key and value in catalog order.
            key: the issuer's key; its suite says which hash made the digest.

        Raises:
            Refused: `printed.differs`.
        """
        if face_digest(face, self.salt, key.suite.digest) != self.face_digest:
            raise Refused("printed.differs", "the face is not the one of this edition")

    def check_document(self, digest: bytes) -> None:
        """A document credential must be the one of this edition.

        Args:
            digest: of its signed bytes.

        Raises:
            Refused: `printed.differs`.
        """
        if digest != self.document_digest:
            raise Refused("printed.differs", "the credential is not the one of this edition")

    def copy_of(self, seal: UnverifiedSeal) -> EditionCopy:
        """The printed copy that a seal belongs to.

        Raises:
            Refused: `printed.differs`: none, or its marks contradict the statement.
        """
        for copy in self.copies:
            if copy.seal_digest == seal.digest:
                found = seal.unverified
                if (copy.role, copy.number, copy.of, copy.stock) != (
                    found.role,
                    found.number,
                    found.of,
                    found.stock,
                ):
                    raise Refused("printed.differs", "the marks of the sheet are not those of the statement")
                return copy
        raise Refused("printed.differs", "no printed copy of this edition has this seal")


def make_edition(
    license_: License,
    copies: Sequence[PrintedCopy],
    signer: Signer,
    *,
    document_digest: bytes,
    now: datetime,
) -> bytes:
    """State an edition.

    Args:
        license_: the version.
        copies: its printed copies; those of other versions are refused.
        signer: key of the issuing authority, service *licenses*.
        document_digest: digest of the document credential's signed bytes.
        now: time of the statement.

    Raises:
        ValueError: a copy of another version, or a digest of another size.
        SignerError: the signing device refused.
    """
    if any(copy.identifier != license_.identifier for copy in copies):
        raise ValueError("a copy of another version")
    if len(document_digest) != _DIGEST_SIZE:
        raise ValueError("a document digest has 32 bytes")
    return cose.issue_cwt(
        {
            cose.ISS: license_.authority,
            cose.IAT: seconds(now),
            "i": pack_identifier(license_.identifier),
            "v": license_.version,
            "s": license_.salt,
            "h": license_.face_digest,
            "d": document_digest,
            "c": [
                [int(copy.role), copy.number, copy.of, copy.stock, copy.seal_digest]
                for copy in sorted(copies, key=lambda each: (each.role, each.number, each.stock))
            ],
        },
        signer,
        typ=TYP,
    )


def parse_edition(data: bytes) -> tuple[cose.UnverifiedCwt, Edition]:
    """Read an edition statement; nothing in it is verified.

    Raises:
        Malformed: another form.
    """
    cwt = cose.parse_cwt(data, PROFILE)
    return cwt, _edition(cwt.unverified_claims)


def verify_edition(data: bytes, key: PublicKey, *, now: datetime) -> Edition:
    """Check the signature of an edition statement.

    Args:
        data: the statement.
        key: the issuer's key, found by the caller through the trust lists.
        now: time of the check.

    Raises:
        Refused: `credential.malformed`, `algorithm.not_allowed`, `signature.issuer`, `code.from_future`.
    """
    cwt, edition = parse_edition(data)
    cose.verify(cwt.sign1, key)
    if edition.stated_at > seconds(now) + PROFILE.skew:
        raise Refused("code.from_future", "the statement was made after now")
    return edition


def _edition(claims: Any) -> Edition:
    if not claims.keys() <= _CLAIMS:
        raise Malformed("a claim that edition statements do not have")
    version, salt, copies = claims["v"], claims["s"], claims["c"]
    if type(version) is not int or not 1 <= version <= 999 or type(copies) is not list:
        raise Malformed("version or copies of an edition")
    if type(salt) is not bytes or len(salt) != SALT_SIZE:
        raise Malformed("salt of an edition")
    for digest in (claims["h"], claims["d"]):
        if type(digest) is not bytes or len(digest) != _DIGEST_SIZE:
            raise Malformed("a digest of an edition")
    if type(claims["i"]) not in {bytes, str}:
        raise Malformed("identifier of an edition")
    return Edition(
        iss=claims[cose.ISS],
        identifier=unpack_identifier(claims["i"], version),
        version=version,
        salt=salt,
        face_digest=claims["h"],
        document_digest=claims["d"],
        copies=tuple(_copy(each) for each in copies),
        stated_at=claims[cose.IAT],
    )


def _copy(value: Any) -> EditionCopy:
    kinds = (int, int, int, str, bytes)
    if type(value) is not list or [type(part) for part in value] != list(kinds):
        raise Malformed("a copy of an edition")
    role, number, of, stock, digest = value
    if role not in {0, 1} or not 1 <= number <= of or len(digest) != _DIGEST_SIZE:
        raise Malformed("a copy of an edition")
    return EditionCopy(role=Role(role), number=number, of=of, stock=stock, seal_digest=digest)
