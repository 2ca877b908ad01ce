"""Self-signed certificates for keys that the list schema cannot hold as JWK (Ed25519).

The certificate only carries the key: who may use it for what is the list's to say.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from ewallet.errors import KeyMaterialError
from ewallet.moments import seconds

if TYPE_CHECKING:
    from datetime import datetime

    from ewallet.keys import Signer


def self_signed(signer: Signer, uri: str, now: datetime) -> bytes:
    """DER of a certificate for an Ed25519 key, signed by that key (RFC 5280, RFC 8410).

    Args:
        signer: the key; it may live in a device, since only `sign` is called.
        uri: of the entity, as subject and as alternative name.
        now: start of the certificate.
    """
    public = signer.public_key
    if public.suite.name != "Ed25519":
        raise KeyMaterialError("only Ed25519 keys are listed by certificate")
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, uri[-64:])])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(Ed25519PublicKey.from_public_bytes(public.raw))
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=3650))
        .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), critical=False)
    )
    # The builder wants a private key object: it gets a throw-away one of the same type, and the 64 bytes of
    # its signature, which end the DER, are replaced by the signer's.
    draft = builder.sign(Ed25519PrivateKey.generate(), None)
    return draft.public_bytes(Encoding.DER)[:-64] + signer.sign(draft.tbs_certificate_bytes)


def dates_of(certificate: bytes) -> tuple[int, int]:
    """First second of a certificate, and the first second after it.

    Raises:
        KeyMaterialError: not a certificate.
    """
    try:
        read = x509.load_der_x509_certificate(certificate)
    except ValueError as error:
        raise KeyMaterialError("not a certificate") from error
    return seconds(read.not_valid_before_utc), seconds(read.not_valid_after_utc) + 1


def is_authority(certificate: bytes) -> bool:
    """Whether a certificate is a CA's (RFC 5280, 4.2.1.9): then it leads to keys instead of carrying one."""
    if not certificate:
        return False
    try:
        read = x509.load_der_x509_certificate(certificate)
        return read.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension):
        return False


def names_uri(certificate: bytes, uri: str) -> bool:
    """Whether a certificate names a URI among its alternative names (RFC 5280, 4.2.1.6)."""
    try:
        read = x509.load_der_x509_certificate(certificate)
        names = read.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return uri in names.get_values_for_type(x509.UniformResourceIdentifier)
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension):
        return False
