"""Certificate chains (RFC 5280): ES256 by `cryptography`'s verifier, SM2 (GB/T 20518) by an own path.

`cryptography` reads SM2 certificates but gives neither their key nor a check of their signature, and OpenSSL
3.0 applies the identifier to the last certificate of a chain only. So SM2 chains are walked here, level by
level, each signature over the bytes of `tbs_certificate_bytes` with the default identifier: a certificate
signed under an empty or another identifier is refused.

Trust comes from the lists; a chain only answers how a listed CA certificate leads to a key.
"""

from __future__ import annotations

from datetime import UTC
from itertools import pairwise
from typing import TYPE_CHECKING, Final, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtensionOID
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from ewallet.errors import KeyMaterialError
from ewallet.keys import der
from ewallet.keys.keys import PublicKey
from ewallet.keys.suites import SM2SM3

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

_Kind = TypeVar("_Kind", bound=x509.ExtensionType)

MAX_CHAIN: Final = 4
"""Certificates from the leaf to the anchor: two levels of intermediates are the most in use."""

_SM2_WITH_SM3: Final = "1.2.156.10197.1.501"
_SM2_WITH_SM3_DER: Final = bytes.fromhex("2a811ccf55018375")
# Critical extensions whose meaning the own path enforces, or that do not restrict what a chain means here.
_UNDERSTOOD: Final = frozenset(
    {ExtensionOID.BASIC_CONSTRAINTS, ExtensionOID.KEY_USAGE, ExtensionOID.SUBJECT_ALTERNATIVE_NAME}
)


def verify_chain(chain: Sequence[bytes], *, anchors: Sequence[bytes], now: datetime) -> PublicKey:
    """Checks that a certificate comes from an anchor and may sign, and gives its key.

    Args:
        chain: certificates in DER, the leaf first, each issued by the next; the anchor may be left out.
        anchors: trusted CA certificates in DER.
        now: the time at which all must be valid, aware.

    Returns:
        The key of the leaf.

    Raises:
        KeyMaterialError: the chain does not hold; the message says which rule.
        ValueError: `now` has no time zone, or there is no anchor.
    """
    if now.tzinfo is None:
        raise ValueError("a moment needs a time zone: use datetime.now(UTC)")
    if not anchors:
        raise ValueError("without an anchor nothing can be trusted")
    if not 0 < len(chain) <= MAX_CHAIN:
        raise KeyMaterialError(f"a chain has 1 to {MAX_CHAIN} certificates")
    certificates, trusted = [_load(data) for data in chain], [_load(data) for data in anchors]
    if len(certificates) > 1 and certificates[-1] in trusted:
        certificates.pop()
    leaf = certificates[0]
    key = PublicKey.from_x509(chain[0])
    try:
        _check_leaf(leaf)
        if leaf.signature_algorithm_oid.dotted_string == _SM2_WITH_SM3:
            _verify_sm2(certificates, trusted, now.astimezone(UTC))
        else:
            _verify_others(certificates, trusted, now)
    except (VerificationError, ValueError, TypeError, x509.DuplicateExtension) as error:
        raise KeyMaterialError("the certificate chain does not hold") from error
    return key


def _load(data: bytes) -> x509.Certificate:
    try:
        return x509.load_der_x509_certificate(data)
    except (ValueError, TypeError) as error:
        raise KeyMaterialError("not a certificate") from error


def _check_leaf(leaf: x509.Certificate) -> None:
    """A leaf is no CA and, if its use is limited, may sign."""
    constraints = _extension(leaf, x509.BasicConstraints)
    if constraints is not None and constraints.ca:
        raise KeyMaterialError("the first certificate of the chain belongs to a CA")
    usage = _extension(leaf, x509.KeyUsage)
    if usage is not None and not usage.digital_signature:
        raise KeyMaterialError("the certificate is not for signatures")


def _extension(certificate: x509.Certificate, kind: type[_Kind]) -> _Kind | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


# --- cryptography's verifier ---


def _verify_others(
    certificates: list[x509.Certificate], anchors: list[x509.Certificate], now: datetime
) -> None:
    authority = (
        ExtensionPolicy.permit_all()
        .require_present(x509.BasicConstraints, Criticality.CRITICAL, None)
        .require_present(x509.KeyUsage, Criticality.AGNOSTIC, _signs_certificates)
    )
    policy = (
        PolicyBuilder()
        .store(Store(anchors))
        .time(now)
        .max_chain_depth(MAX_CHAIN - 2)
        .extension_policies(ca_policy=authority, ee_policy=ExtensionPolicy.permit_all())
    )
    policy.build_client_verifier().verify(certificates[0], certificates[1:])


def _signs_certificates(_: object, __: x509.Certificate, usage: x509.KeyUsage) -> None:
    if not usage.key_cert_sign:
        raise ValueError("a CA certificate that may not sign certificates")


# --- SM2, level by level ---


def _verify_sm2(certificates: list[x509.Certificate], anchors: list[x509.Certificate], now: datetime) -> None:
    for certificate in certificates:
        _check_common(certificate, now)
    for below, (subject, issuer) in enumerate(pairwise(certificates)):
        _check_issued(subject, issuer, below)
    # Several anchors may bear one name (a CA that renews its key): one must fit.
    last, below = certificates[-1], len(certificates) - 1
    refusal: KeyMaterialError | None = None
    for anchor in anchors:
        if anchor.subject != last.issuer:
            continue
        try:
            _check_common(anchor, now)
            _check_issued(last, anchor, below)
        except KeyMaterialError as error:
            refusal = error
        else:
            return
    raise refusal or KeyMaterialError("the chain leads to no anchor")


def _check_common(certificate: x509.Certificate, now: datetime) -> None:
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        raise KeyMaterialError("a certificate outside its dates")
    if certificate.version is not x509.Version.v3:
        raise KeyMaterialError("a certificate that is not of version 3")
    for extension in certificate.extensions:
        if extension.critical and extension.oid not in _UNDERSTOOD:
            raise KeyMaterialError("a certificate with a critical extension that is not understood")


def _check_issued(subject: x509.Certificate, issuer: x509.Certificate, below: int) -> None:
    """Whether `issuer`, with so many CA certificates below it, issued `subject`."""
    if subject.issuer != issuer.subject:
        raise KeyMaterialError("a certificate that does not follow the one before it")
    constraints, usage = _extension(issuer, x509.BasicConstraints), _extension(issuer, x509.KeyUsage)
    if constraints is None or not constraints.ca:
        raise KeyMaterialError("a certificate issued by one that is no CA")
    if constraints.path_length is not None and below > constraints.path_length:
        raise KeyMaterialError("a chain longer than its CA allows")
    if usage is None or not usage.key_cert_sign:
        raise KeyMaterialError("a certificate issued by one that may not sign certificates")
    if not _signed_by(subject, PublicKey.from_x509(_encoded(issuer))):
        raise KeyMaterialError("a signature in the chain does not verify")


def _signed_by(subject: x509.Certificate, key: PublicKey) -> bool:
    if key.suite is not SM2SM3:
        return False
    # The algorithm stands in the signed part and outside of it: the same, without parameters or with NULL.
    outer = der.single(_encoded(subject))
    body = outer.inner()
    if body.tag == 0xA0:  # version
        body.raw()
    body.take(der.INTEGER)
    named = body.raw()
    if outer.raw() != named:
        return False
    algorithm = der.single(named)
    if algorithm.take(der.OID) != _SM2_WITH_SM3_DER or algorithm.rest() not in (b"", b"\x05\x00"):
        return False
    r, s = der.read_signature(subject.signature)
    if max(r, s) >> 256:
        return False
    return key.verify(r.to_bytes(32, "big") + s.to_bytes(32, "big"), subject.tbs_certificate_bytes)


def _encoded(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)
