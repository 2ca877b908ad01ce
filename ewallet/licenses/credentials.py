"""The credentials of a license: what of the record becomes a claim, open or disclosable one by one.

Open: iss, sub, iat, nbf, exp, vct, status, authority, area, and for a holder cnf and holder_index. Everything
else is disclosable. The number of digests is the same for all licenses of a type.
"""

from __future__ import annotations

import os
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from ewallet.formats import cose, sdcwt, sdjwt
from ewallet.moments import day_end, day_start, seconds
from ewallet.wire import b64u_encode

if TYPE_CHECKING:
    from datetime import date, datetime

    from ewallet.formats.statuslist import StatusReference
    from ewallet.keys import PublicKey, Signer
    from ewallet.licenses.catalog import LicenseType
    from ewallet.licenses.license import License

HOLDER_LIFE: Final = timedelta(days=730)
"""Longest life of a holder credential: two years, renewed silently."""


@lru_cache(maxsize=4096)
def _first_second(day: date) -> int:
    return seconds(day_start(day))


@lru_cache(maxsize=4096)
def _second_after(day: date) -> int:
    return seconds(day_end(day))


def _disclosable(license_: License, *, binary: bool) -> dict[str, Any]:
    claims: dict[str, Any] = dict(license_.face)
    for key, content in license_.images.items():
        claims[f"{key}_image"] = content if binary else b64u_encode(content)
    for position, holder in enumerate(license_.holders):
        claims[f"holder_{position + 1}"] = holder.to_claim()
    claims["identifier"] = license_.identifier
    claims["version"] = license_.version
    claims["face_digest"] = license_.face_digest if binary else b64u_encode(license_.face_digest)
    claims["face_salt"] = license_.salt if binary else b64u_encode(license_.salt)
    return claims


def random_subject() -> str:
    """A `sub` that no two credentials share."""
    return b64u_encode(os.urandom(16))


def make_document(license_: License, type_: LicenseType, signer: Signer, *, base: str, now: datetime) -> str:
    """The document credential: proves content, never presence.

    Args:
        license_: the version; its `document_status` is named.
        type_: its type.
        signer: key of the issuing authority, service *licenses*.
        base: URI under which the deployment's types have their names.
        now: time of signing.
    """
    claims = _disclosable(license_, binary=False)
    disclosable = tuple(claims)
    at = seconds(now)
    claims |= {
        "iss": license_.authority,
        "sub": random_subject(),
        "iat": at,
        "authority": license_.authority_name,
        "area": license_.area,
    }
    starts = _first_second(license_.valid_from)
    if starts > at:
        claims["nbf"] = starts
    if license_.valid_until is not None:
        claims["exp"] = _second_after(license_.valid_until)
    return sdjwt.issue(
        claims,
        disclosable=disclosable,
        signer=signer,
        typ=sdjwt.DOCUMENT_CREDENTIAL,
        decoys=type_.digests - len(disclosable),
        vct=type_.vct(base),
        status=license_.document_status,
    )


def holder_end(license_: License, *, now: datetime) -> int:
    """End of a holder credential: two years, or the license's end if that is earlier (seconds since 1970)."""
    end = seconds(now + HOLDER_LIFE)
    return end if license_.valid_until is None else min(end, _second_after(license_.valid_until))


def make_holder_jwt(
    license_: License,
    type_: LicenseType,
    signer: Signer,
    *,
    base: str,
    holder_index: int,
    device_key: PublicKey,
    status: StatusReference,
    now: datetime,
) -> str:
    """The holder credential as SD-JWT VC, for one device key; always presented with key binding."""
    claims = _disclosable(license_, binary=False)
    disclosable = tuple(claims)
    at = seconds(now)
    claims |= {
        "iss": license_.authority,
        "sub": random_subject(),
        "iat": at,
        "exp": holder_end(license_, now=now),
        "authority": license_.authority_name,
        "area": license_.area,
        "holder_index": holder_index,
    }
    starts = _first_second(license_.valid_from)
    if starts > at:
        claims["nbf"] = starts
    return sdjwt.issue(
        claims,
        disclosable=disclosable,
        signer=signer,
        typ=sdjwt.HOLDER_CREDENTIAL,
        holder_key=device_key,
        decoys=type_.digests - len(disclosable),
        vct=type_.vct(base),
        status=status,
    )


def make_holder_cwt(
    license_: License,
    type_: LicenseType,
    signer: Signer,
    *,
    base: str,
    holder_index: int,
    device_key: PublicKey,
    status: StatusReference,
    now: datetime,
) -> bytes:
    """The holder credential as SD-CWT, for one device key; shown as text `EWL`."""
    disclosed = _disclosable(license_, binary=True)
    at = seconds(now)
    claims: dict[int | str, Any] = {key: disclosed[key] for key in disclosed}
    claims |= {
        cose.ISS: license_.authority,
        cose.SUB: random_subject(),
        cose.IAT: at,
        cose.EXP: holder_end(license_, now=now),
        "authority": license_.authority_name,
        "area": license_.area,
        "holder_index": holder_index,
    }
    starts = _first_second(license_.valid_from)
    if starts > at:
        claims[cose.NBF] = starts
    return sdcwt.issue(
        claims,
        disclosable=tuple(disclosed),
        signer=signer,
        holder_key=device_key,
        decoys=type_.digests - len(disclosed),
        vct=type_.vct(base),
        status=status,
    )
