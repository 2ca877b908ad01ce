"""A province's list as signed JWS (TS 119 602, clause on signatures; RFC 7515), for readers without TUF.

The JWS says the same as the list in the repository, byte for byte in its payload. Its key is the province's
own for this purpose. A verifier of ours never relies on the JWS: TUF gives it more (freshness, rollback,
thresholds).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ewallet.errors import Refused
from ewallet.formats import jose
from ewallet.moments import seconds
from ewallet.trust.lote import MAX_LIST, ProvinceList, from_document, to_document, to_json

if TYPE_CHECKING:
    from datetime import datetime

    from ewallet.keys import PublicKey, Signer

LIST_TYP: Final = "ewallet-list+jws"
_PROFILE: Final = jose.Profile(typ=LIST_TYP, exp_required=False, limit=2 * MAX_LIST)


def sign_list(listing: ProvinceList, signer: Signer) -> str:
    """The list as compact JWS.

    Args:
        listing: the list.
        signer: the province's key for this purpose.
    """
    return jose.sign(to_json(to_document(listing)), signer, typ=LIST_TYP, headers={"cty": "lote+json"})


def verify_list(token: str | bytes, key: PublicKey, *, now: datetime) -> ProvinceList:
    """Verifies a list that was published as JWS.

    Args:
        token: the JWS.
        key: the province's key, from a source that is trusted.
        now: the time: `NextUpdate` must hold.

    Raises:
        Refused: form, algorithm, signature; `trust.stale`: past its `NextUpdate`.
    """
    jws = jose.parse(token, _PROFILE)
    jose.verify(jws, key)
    listing = from_document(jws.payload)
    if seconds(now) >= seconds(listing.next_update):
        raise Refused("trust.stale", "the list is past its NextUpdate")
    return listing
