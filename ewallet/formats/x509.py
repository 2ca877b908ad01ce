"""Binding of an issuer's name to the certificate that travels with a token (`x5c`, `x5chain`).

Trust comes from the lists, never from a certificate: the key is found there. A certificate that a token
carries must then agree with it: same key, `iss` among its URI names (SD-JWT VC, "X.509 certificates"), and
within its dates.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ewallet.errors import KeyMaterialError, Malformed, Refused
from ewallet.moments import instant

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ewallet.keys import PublicKey

MAX_CHAIN: Final = 4
"""Certificates that a token may carry: leaf, two intermediates, root."""


def bind(chain: Sequence[Any], *, key: PublicKey, iss: Any, now: int) -> None:
    """The leaf certificate must carry `key`, name `iss` as URI, and be within its dates.

    Args:
        chain: certificates in DER, the leaf first.
        key: the issuer's key, found on the lists.
        iss: what the token says.
        now: seconds since 1970.

    Raises:
        Refused: `credential.malformed` if it is no certificate; `issuer.key_unknown` if it is another's;
            `credential.expired` outside its dates.
    """
    from cryptography import x509  # noqa: PLC0415 - slow to import, rarely needed

    from ewallet.keys import PublicKey  # noqa: PLC0415

    if not 0 < len(chain) <= MAX_CHAIN or not all(type(item) is bytes for item in chain):
        raise Malformed("not a certificate chain")
    try:
        leaf = x509.load_der_x509_certificate(chain[0])
        carried = PublicKey.from_x509(chain[0])
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    except x509.ExtensionNotFound:
        uris = []
    except (ValueError, TypeError, KeyMaterialError, x509.DuplicateExtension) as error:
        raise Malformed("not a certificate that can be read") from error
    if carried != key:
        raise Refused("issuer.key_unknown", "the certificate carries another key")
    if type(iss) is not str or iss not in uris:
        raise Refused("issuer.key_unknown", "the certificate does not name iss")
    if not leaf.not_valid_before_utc <= instant(now) <= leaf.not_valid_after_utc:
        raise Refused("credential.expired", "outside the dates of the certificate")
