"""The seal: the signed barcode on a printed copy.

A CWT of its own type (`docs/format.md`, seal) that says which license, version and copy this sheet is, with a
salted digest of the whole face and a few critical fields in clear (sensitive ones masked). It proves content,
never that this sheet is the original: a perfect photocopy carries the same seal (`PHOTOCOPY_NOTICE`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from stdnum.iso7064 import mod_37_36

from ewallet.errors import Malformed, Refused
from ewallet.formats import cose, text
from ewallet.formats.statuslist import StatusReference
from ewallet.keys import SUITES
from ewallet.licenses.license import face_digest
from ewallet.moments import seconds

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from ewallet.keys import PublicKey, Signer
    from ewallet.licenses.catalog import LicenseType

TYP: Final = "application/ewallet-seal+cwt"

PHOTOCOPY_NOTICE: Final = {
    "zh": "印章码证明内容，不证明这张纸是原件：清晰的复印件带有同样的码。",
    "en": "A seal proves the content, not that this sheet is the original: a clear photocopy carries it too.",
}
"""Said wherever a seal is accepted."""

MAX_FIELDS: Final = 6
"""Critical fields in clear: more would not fit on the back of a card at 0.6 mm a module."""

MAX_VALUE: Final = 40
"""Characters of a critical field in clear: a longer value is cut; the digest has it whole."""

CUT: Final = "…"
"""Last character of a value that was cut."""

PROFILE: Final = cose.Profile(
    typ=TYP,
    exp_required=False,  # a long-term license has no end
    required=frozenset((cose.ISS, cose.IAT, *"aivcshft")),
    limit=1024,
)

_ROOT: Final = "1.2.156.3005.2"
_DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ."
_CLAIMS: Final = frozenset((cose.ISS, cose.EXP, cose.IAT, *"aivcnshft"))
_SALT_SIZE: Final = 16


class Role(IntEnum):
    """What a printed copy is."""

    ORIGINAL = 0
    DUPLICATE = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """What a seal says.

    Attributes:
        iss: URI of the issuing authority.
        area: six digits of the administrative area.
        identifier: GB/T 36904 identifier of this version.
        version: of the license, 1 for the first.
        role: original or duplicate.
        number: which duplicate, from 1; 1 for an original.
        of: how many copies of this role were made.
        stock: stock number of the security paper; empty if none was used.
        salt: this copy's own salt.
        face_digest: digest of the face under that salt.
        fields: critical fields of the face, masked as the type says, by key.
        issued_at: seconds since 1970.
        expires: first second after the license's end; None if it is long-term.
        status: the copy's own entry.
    """

    iss: str
    area: str
    identifier: str
    version: int
    role: Role
    number: int
    of: int
    stock: str
    salt: bytes
    face_digest: bytes
    fields: Mapping[str, str]
    issued_at: int
    expires: int | None
    status: StatusReference

    def check_dates(self, now: datetime) -> None:
        """The license's end.

        Raises:
            Refused: `license.expired`.
        """
        if self.expires is not None and seconds(now) >= self.expires:
            raise Refused("license.expired", "the license on this sheet has ended")


@dataclass(frozen=True, slots=True, kw_only=True)
class UnverifiedSeal:
    """A seal as read: form checked, signature not.

    Attributes:
        cwt: the signed object.
        unverified: what it claims.
    """

    cwt: cose.UnverifiedCwt
    unverified: Seal

    @property
    def kid(self) -> bytes | None:
        """Key identifier, a hint only."""
        return self.cwt.kid

    @property
    def iss(self) -> str:
        """The issuer that it names."""
        return self.unverified.iss

    @property
    def digest(self) -> bytes:
        """SHA-256 of the signed bytes: names this seal in edition statements."""
        return self.cwt.digest

    def covers(self, face: Iterable[tuple[str, str]]) -> bool:
        """Whether the seal's digest is over this face.

        Args:
            face: key and value in catalog order.
        """
        pairs = tuple(face)
        seal = self.unverified
        return any(
            face_digest(pairs, seal.salt, suite.digest) == seal.face_digest
            for suite in SUITES.values()
            if self.cwt.sign1.alg in suite.cose_accepts
        )


def shortened(value: str) -> str:
    """A value as a seal carries it: at most `MAX_VALUE` characters, the last one `CUT` if it was cut."""
    return value if len(value) <= MAX_VALUE else value[: MAX_VALUE - 1] + CUT


def critical_fields(type_: LicenseType, values: Mapping[str, str]) -> dict[str, str]:
    """What the seal of a license carries in clear: the type's critical fields, masked, then cut to length.

    Args:
        type_: says which fields are critical and how they are masked.
        values: the face by key, in exact form.
    """
    return {
        spec.key: shortened(spec.masked(values[spec.key]))
        for spec in type_.seal_fields
        if values.get(spec.key)
    }


def make_seal(seal: Seal, signer: Signer) -> str:
    """Sign a seal.

    Args:
        seal: what it says; `face_digest` uses the hash of the signer's suite.
        signer: key of the issuing authority, service *licenses*.

    Returns:
        The text of the barcode, `EWS...`.

    Raises:
        ValueError: more than `MAX_FIELDS` critical fields, or a salt of another size than 16 bytes.
        SignerError: the signing device refused.
    """
    if len(seal.fields) > MAX_FIELDS:
        raise ValueError(f"{len(seal.fields)} critical fields: at most {MAX_FIELDS} fit")
    if len(seal.salt) != _SALT_SIZE:
        raise ValueError(f"the salt has {_SALT_SIZE} bytes")
    return text.encode(text.SEAL, cose.issue_cwt(_claims(seal), signer, typ=TYP))


def parse_seal(scanned: str) -> UnverifiedSeal:
    """Read a seal; nothing in it is verified.

    Args:
        scanned: the text of the barcode.

    Raises:
        Malformed: `code.*` for the text, `credential.malformed` for what is in it.
    """
    prefix, data = text.decode(scanned)
    if prefix != text.SEAL:
        raise Malformed("not a seal", "code.unreadable")
    cwt = cose.parse_cwt(data, PROFILE)
    return UnverifiedSeal(cwt=cwt, unverified=_seal(cwt.unverified_claims))


def verify_seal(parsed: UnverifiedSeal, key: PublicKey, *, now: datetime) -> Seal:
    """Check the signature of a seal.

    The license's end is not looked at: a genuine seal of an ended license is genuine (`Seal.check_dates`).

    Args:
        parsed: what `parse_seal` gave.
        key: the issuer's key, found by the caller through the trust lists.
        now: time of the check.

    Returns:
        What the seal says, now as facts.

    Raises:
        Refused: `algorithm.not_allowed`, `signature.issuer`, `code.from_future`.
    """
    cose.verify(parsed.cwt.sign1, key)
    seal = parsed.unverified
    if seal.issued_at > seconds(now) + PROFILE.skew:
        raise Refused("code.from_future", "the seal was made after now")
    return seal


def pack_identifier(identifier: str) -> bytes | str:
    """The identifier without root, version and check character as a base-37 number.

    One of another form stays as it is.
    Type, issuer and serial are digits, upper-case letters and dots: 37 signs, which packs 8 characters into
    less than 6 bytes. The version travels on its own and the check character can be computed.
    """
    parts = identifier.removeprefix(_ROOT + ".").split(".")
    if not identifier.startswith(_ROOT + ".") or len(parts) != 5:
        return identifier
    number = 1  # a leading one keeps leading zeros
    for char in ".".join(parts[:3]):
        if char not in _DIGITS:
            return identifier
        number = number * 37 + _DIGITS.index(char)
    packed = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return packed if unpack_identifier(packed, int(parts[3])) == identifier else identifier


def unpack_identifier(packed: bytes | str, version: int) -> str:
    """The identifier again.

    Raises:
        Malformed: not made by `pack_identifier`.
    """
    if isinstance(packed, str):
        return packed
    number = int.from_bytes(packed, "big")
    if not packed or packed[0] == 0 or len(packed) > 128:
        raise Malformed("an identifier in another form")
    chars = []
    while number > 1:
        number, digit = divmod(number, 37)
        chars.append(_DIGITS[digit])
    head = "".join(reversed(chars))
    parts = head.split(".")
    if number != 1 or len(parts) != 3 or not all(parts):
        raise Malformed("an identifier in another form")
    check = mod_37_36.calc_check_digit("".join(parts) + f"{version:03d}")
    return f"{_ROOT}.{head}.{version:03d}.{check}"


def _claims(seal: Seal) -> dict[int | str, Any]:
    claims: dict[int | str, Any] = {
        cose.ISS: seal.iss,
        cose.IAT: seal.issued_at,
        "a": int(seal.area),
        "i": pack_identifier(seal.identifier),
        "v": seal.version,
        "c": [int(seal.role), seal.number, seal.of],
        "s": seal.salt,
        "h": seal.face_digest,
        "f": dict(seal.fields),
        "t": [seal.status.idx, _relative(seal.status.uri, seal.iss)],
    }
    if seal.expires is not None:
        claims[cose.EXP] = seal.expires
    if seal.stock:
        claims["n"] = seal.stock
    return claims


def _seal(claims: Mapping[Any, Any]) -> Seal:
    if not claims.keys() <= _CLAIMS:
        raise Malformed("a claim that seals do not have")
    area, version, stock = claims["a"], claims["v"], claims.get("n", "")
    salt, digest, fields = claims["s"], claims["h"], claims["f"]
    if (
        type(area) is not int
        or not 0 <= area <= 999999
        or type(version) is not int
        or not 1 <= version <= 999
    ):
        raise Malformed("area or version of a seal")
    if type(stock) is not str or ("n" in claims and not stock) or type(claims["i"]) not in {bytes, str}:
        raise Malformed("stock number or identifier of a seal")
    if type(salt) is not bytes or len(salt) != _SALT_SIZE or type(digest) is not bytes or len(digest) != 32:
        raise Malformed("salt or digest of a seal")
    if not isinstance(fields, Mapping) or len(fields) > MAX_FIELDS:
        raise Malformed("fields of a seal")
    if not all(type(key) is str and type(value) is str for key, value in fields.items()):
        raise Malformed("fields of a seal")
    role, number, of = _copy(claims["c"])
    identifier = unpack_identifier(claims["i"], version)
    # A packed one has one form only: a leading one, no leading zero byte. A written one must not be packable.
    if isinstance(claims["i"], str) and not isinstance(pack_identifier(identifier), str):
        raise Malformed("an identifier that is not packed as it should be")
    return Seal(
        iss=claims[cose.ISS],
        area=f"{area:06d}",
        identifier=identifier,
        version=version,
        role=role,
        number=number,
        of=of,
        stock=stock,
        salt=salt,
        face_digest=digest,
        fields=dict(fields),
        issued_at=claims[cose.IAT],
        expires=claims.get(cose.EXP),
        status=_status(claims["t"], claims[cose.ISS]),
    )


def _copy(value: Any) -> tuple[Role, int, int]:
    if type(value) is not list or len(value) != 3 or not all(type(part) is int for part in value):
        raise Malformed("the copy of a seal")
    role, number, of = value
    if role not in {0, 1} or not 1 <= number <= of <= 999:
        raise Malformed("the copy of a seal")
    return Role(role), number, of


# A seal pays for every byte with paper: the status reference is [index, address], and an address on the
# issuer's own host is written as a path.


def _host(iss: str) -> str:
    parts = urlsplit(iss)
    return f"{parts.scheme}://{parts.netloc}" if parts.scheme and parts.netloc else ""


def _relative(uri: str, iss: str) -> str:
    host = _host(iss)
    return uri.removeprefix(host) if host and uri.startswith(host + "/") else uri


def _status(value: Any, iss: str) -> StatusReference:
    if type(value) is not list or len(value) != 2:
        raise Malformed("the status reference of a seal")
    idx, written = value
    if type(written) is not str:
        raise Malformed("the status reference of a seal")
    uri = _host(iss) + written if written.startswith("/") else written
    if _relative(uri, iss) != written:
        raise Malformed("a status address that could be shorter")
    return StatusReference.from_claim({"status_list": {"idx": idx, "uri": uri}})
