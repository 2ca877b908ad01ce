"""License credentials and seals, read into one shape for the walk (docs/format.md, "License credentials")."""

from __future__ import annotations

import re
from base64 import b64decode
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from ewallet.errors import Malformed
from ewallet.formats import cose, sdcwt, sdjwt
from ewallet.formats.cose import Sign1
from ewallet.moments import instant
from ewallet.verify.result import LicenseFacts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ewallet.formats.jose import Jws
    from ewallet.formats.sdcwt import SdCwt
    from ewallet.formats.sdjwt import SdJwt
    from ewallet.formats.statuslist import StatusReference
    from ewallet.licenses.seal import Seal
    from ewallet.trust.entries import ListedKey

_YEARS_AHEAD: Final = 10 * 366 * 86400
"""A license may be issued before its first day; `nbf` then lies ahead, and step 9 says "not yet valid"."""

_OPEN: Final = frozenset(("authority", "area", "holder_index"))

DOCUMENT: Final = sdjwt.Profile(
    typ=sdjwt.DOCUMENT_CREDENTIAL,
    key_binding=False,
    exp_required=False,  # a long-term license has no end
    open_claims=_OPEN,
    required=frozenset(("iss", "iat", "vct", "status", "authority", "area")),
    skew=_YEARS_AHEAD,
)
HOLDER_JWT: Final = sdjwt.Profile(
    typ=sdjwt.HOLDER_CREDENTIAL,
    key_binding=True,
    open_claims=_OPEN,
    required=frozenset(("iss", "iat", "exp", "vct", "status", "authority", "area", "holder_index")),
    skew=_YEARS_AHEAD,
)
HOLDER_CWT: Final = sdcwt.Profile(
    open_claims=frozenset((cose.SUB, sdcwt.VCT, sdcwt.STATUS, *_OPEN)),
    required=frozenset(
        (cose.ISS, cose.IAT, cose.EXP, sdcwt.VCT, sdcwt.STATUS, "authority", "area", "holder_index")
    ),
    skew=_YEARS_AHEAD,
)

_VCT: Final = re.compile(r".+/vct/(?P<type>[0-9A-Z]{3,40})/(?P<version>[0-9]{1,4})")
_AREA: Final = re.compile(r"[0-9]{6}")
_OPEN_NAMES: Final = frozenset(
    (
        "iss",
        "sub",
        "iat",
        "nbf",
        "exp",
        "vct",
        "status",
        "cnf",
        "authority",
        "area",
        "holder_index",
        "_sd_alg",
    )
)
_META: Final = _OPEN_NAMES | frozenset(("identifier", "version", "face_digest", "face_salt"))


@dataclass(frozen=True, slots=True, kw_only=True)
class LicenseClaims:
    """What a genuine credential, document or seal says about a license, in one shape.

    Attributes:
        type: type code.
        type_version: version of the type; empty on a seal.
        area: area code.
        authority: name of the issuing authority as on the face; empty on a seal.
        identifier: e-license identifier; empty if not disclosed.
        version: version of the license; None if not disclosed.
        fields: face fields by key, as disclosed; masked on a seal.
        issued_at: seconds since 1970.
        starts_at: first second of the license's term; None if it does not say.
        ends_at: first second after it; None for long-term, or for a holder credential, which ends earlier.
        holder_index: which holder the device key belongs to; None for documents and seals.
        status: its own entry.
        digest: digest of the signed bytes.
        disclosed: names of all disclosable claims that were disclosed.
    """

    type: str
    type_version: str
    area: str
    authority: str
    identifier: str
    version: int | None
    fields: Mapping[str, Any]
    issued_at: int
    starts_at: int | None
    ends_at: int | None
    holder_index: int | None
    status: StatusReference
    digest: bytes
    disclosed: frozenset[str] = frozenset()

    def limited(self, names: frozenset[str]) -> LicenseClaims:
        """The same claims with nothing disclosed beyond some names: what may be kept of an answer."""
        return replace(
            self,
            identifier=self.identifier if "identifier" in names else "",
            version=self.version if "version" in names else None,
            fields=MappingProxyType({key: value for key, value in self.fields.items() if key in names}),
        )

    def to_facts(self, listed: ListedKey) -> LicenseFacts:
        """The facts, with the issuer's names from the trust list."""
        return LicenseFacts(
            type=self.type,
            type_version=self.type_version,
            issuer=listed.entity.uri,
            issuer_names=listed.entity.names,
            province=listed.entity.province,
            area=self.area,
            authority=self.authority,
            identifier=self.identifier,
            version=self.version,
            fields=self.fields,
            issued_at=instant(self.issued_at),
            holder_index=self.holder_index,
        )


def certificates(message: Jws | Sign1) -> tuple[bytes, ...]:
    """The certificates that travel with a message (`x5c`, `x5chain`): DER, the leaf first; or none.

    Nothing is believed of them here: where no list names the key itself, the trust lists say whether a listed
    CA certificate leads to the leaf; the format checks that the leaf carries the key and names the issuer.
    """
    if isinstance(message, Sign1):
        found = message.protected.get(cose.X5CHAIN, message.unprotected.get(cose.X5CHAIN, ()))
        items = [found] if isinstance(found, bytes) else found
        good = isinstance(items, list | tuple) and all(isinstance(each, bytes) for each in items)
        return tuple(items) if good else ()
    given = message.header.get("x5c", ())
    try:
        return tuple(b64decode(each, validate=True) for each in given)
    except (TypeError, ValueError):
        return ()


def _read(
    claims: Mapping[Any, Any],
    *,
    times: tuple[Any, Any, Any],
    vct: str | None,
    status: StatusReference | None,
    digest: bytes,
    bound: bool,
) -> LicenseClaims:
    named = re.fullmatch(_VCT, vct or "")
    if named is None or status is None:
        raise Malformed("no type of license, or no status reference")
    area, version, index = claims["area"], claims.get("version"), claims.get("holder_index")
    if type(area) is not str or _AREA.fullmatch(area) is None:
        raise Malformed("an area code of another form")
    if version is not None and (type(version) is not int or not 1 <= version <= 999):
        raise Malformed("a version of another form")
    if index is not None and (type(index) is not int or not 0 <= index <= 999):
        raise Malformed("a holder index of another form")
    identifier, authority = claims.get("identifier", ""), claims["authority"]
    if type(identifier) is not str or type(authority) is not str:
        raise Malformed("an identifier or authority of another form")
    issued_at, starts_at, ends_at = times
    return LicenseClaims(
        type=named["type"],
        type_version=named["version"],
        area=area,
        authority=authority,
        identifier=identifier,
        version=version,
        fields=MappingProxyType(
            {key: value for key, value in claims.items() if type(key) is str and key not in _META}
        ),
        issued_at=issued_at,
        starts_at=starts_at,
        ends_at=None if bound else ends_at,
        holder_index=index,
        status=status,
        digest=digest,
        disclosed=frozenset(key for key in claims if type(key) is str and key not in _OPEN_NAMES),
    )


def read_json(verified: SdJwt) -> LicenseClaims:
    """The claims of a verified document or holder credential (SD-JWT).

    Raises:
        Refused: `credential.malformed`.
    """
    claims = verified.claims
    return _read(
        claims,
        times=(claims["iat"], claims.get("nbf"), claims.get("exp")),
        vct=verified.vct,
        status=verified.status,
        digest=verified.digest,
        bound=verified.binding is not None,
    )


def read_cbor(verified: SdCwt) -> LicenseClaims:
    """The claims of a verified holder credential (SD-CWT).

    Raises:
        Refused: `credential.malformed`.
    """
    claims = verified.claims
    return _read(
        claims,
        times=(claims[cose.IAT], claims.get(cose.NBF), claims.get(cose.EXP)),
        vct=verified.vct,
        status=verified.status,
        digest=verified.digest,
        bound=True,
    )


def read_seal(seal: Seal, digest: bytes) -> LicenseClaims:
    """The claims of a verified seal; its type is the one that its identifier begins with.

    Raises:
        Refused: `credential.malformed`.
    """
    parts = seal.identifier.removeprefix("1.2.156.3005.2.").split(".")
    if len(parts) != 5:
        raise Malformed("a seal without an e-license identifier")
    return LicenseClaims(
        type=parts[0],
        type_version="",
        area=seal.area,
        authority="",
        identifier=seal.identifier,
        version=seal.version,
        fields=MappingProxyType(dict(seal.fields)),
        issued_at=seal.issued_at,
        starts_at=None,
        ends_at=seal.expires,
        holder_index=None,
        status=seal.status,
        digest=digest,
    )
