"""Keys in files: SubjectPublicKeyInfo (RFC 5280), PKCS#8 (RFC 5958) and its encryption PBES2 (RFC 8018).

One code for all suites, because `cryptography` cannot write SM2 keys. Files are encrypted with a key that
scrypt (RFC 7914) makes of the password, and AES-256-CBC; OpenSSL reads and writes the same. Reading also
takes PBKDF2, which other software still writes.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from binascii import Error as BinasciiError
from binascii import a2b_base64, b2a_base64
from typing import Final

from ewallet.errors import KeyMaterialError
from ewallet.keys import der
from ewallet.keys.suites import ED25519, ES256, ES384, MLDSA65, SM2SM3, Suite

_PBES2: Final = bytes.fromhex("2a864886f70d01050d")
_PBKDF2: Final = bytes.fromhex("2a864886f70d01050c")
_SCRYPT: Final = bytes.fromhex("2b06010401da47040b")
_AES_CBC: Final = {
    bytes.fromhex("608648016503040102"): 16,
    bytes.fromhex("608648016503040116"): 24,
    bytes.fromhex("60864801650304012a"): 32,
}
_AES256_CBC: Final = bytes.fromhex("60864801650304012a")
_HMACS: Final = {
    bytes.fromhex("2a864886f70d0207"): "sha1",
    bytes.fromhex("2a864886f70d0209"): "sha256",
    bytes.fromhex("2a864886f70d020a"): "sha384",
    bytes.fromhex("2a864886f70d020b"): "sha512",
}
# 16 MiB and about 40 ms a file: the most that OpenSSL reads without being told to (its limit is 32 MiB).
_SCRYPT_COST: Final = (1 << 14, 8, 1)
_MOST_SCRYPT_MEMORY: Final = 64 << 20
_MOST_ROUNDS: Final = 10_000_000
_MOST_TEXT: Final = 65_536

_FILE_SUITES: Final = (ES256, ED25519, ES384, SM2SM3, MLDSA65)
_BLOCK: Final = re.compile(
    r"^-----BEGIN ([A-Z0-9 ]+)-----[ \t]*\r?\n([A-Za-z0-9+/=\s]+?)^-----END \1-----[ \t]*\r?$", re.MULTILINE
)
_BASE64: Final = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")


# --- PEM (RFC 7468) -----------------------------------------------------------------------------------------


def pem(label: str, data: bytes) -> str:
    """One PEM block, lines of 64 characters."""
    text = b2a_base64(data, newline=False).decode("ascii")
    lines = [text[start : start + 64] for start in range(0, len(text), 64)]
    return "\n".join((f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""))


def pem_blocks(text: str | bytes) -> list[tuple[str, bytes]]:
    """All PEM blocks of a text as (label, content); other text around them is ignored.

    Raises:
        KeyMaterialError: no block, or one that is not Base64.
    """
    if len(text) > _MOST_TEXT:
        raise KeyMaterialError("PEM: longer than any key")
    try:
        given = text if isinstance(text, str) else text.decode("utf-8")
        blocks = []
        for label, body in _BLOCK.findall(given):
            packed = "".join(body.split())
            if _BASE64.fullmatch(packed) is None:
                raise KeyMaterialError("PEM: not Base64")
            blocks.append((label, a2b_base64(packed)))
    except (UnicodeDecodeError, BinasciiError) as error:
        raise KeyMaterialError("PEM: not text") from error
    if not blocks:
        raise KeyMaterialError("PEM: no block found")
    return blocks


# --- algorithms and public keys -----------------------------------------------------------------------------


def _algorithm(suite: Suite) -> bytes:
    named = der.item(der.OID, suite.curve.oid) if suite.curve else b""
    return der.item(der.SEQUENCE, der.item(der.OID, suite.oid), named)


def _suite_of(algorithm: der.Reader) -> Suite:
    oid = algorithm.take(der.OID)
    named = algorithm.take(der.OID) if algorithm.tag == der.OID else None
    algorithm.done()
    for suite in _FILE_SUITES:
        if suite.oid == oid and (suite.curve.oid if suite.curve else None) == named:
            return suite
    raise KeyMaterialError("a key of a kind that is on no list")


def raw_point(suite: Suite, encoded: bytes) -> bytes:
    """X || Y of an encoded point (SEC 1, 2.3.4), uncompressed or compressed; the curve is not checked yet.

    Raises:
        KeyMaterialError: another form (hybrid, infinity), or a compressed point that does not exist.
    """
    size = suite.public_size // 2
    head = encoded[:1]
    if head == b"\x04" and len(encoded) == 2 * size + 1:
        return encoded[1:]
    if head in (b"\x02", b"\x03") and len(encoded) == size + 1:
        return suite.arithmetic.decompress(suite, encoded[1:], odd=head == b"\x03")
    raise KeyMaterialError("not a point on the curve")


def public_der(suite: Suite, raw: bytes) -> bytes:
    """A SubjectPublicKeyInfo."""
    point = b"\x04" + raw if suite.curve else raw
    return der.item(der.SEQUENCE, _algorithm(suite), der.bit_string(point))


def read_public_der(data: bytes) -> tuple[Suite, bytes]:
    """Suite and raw key of a SubjectPublicKeyInfo; the key is not checked yet.

    Raises:
        KeyMaterialError: not in that form, or of a kind that is on no list.
    """
    content = der.single(data)
    suite = _suite_of(content.inner())
    bits = content.take(der.BIT_STRING)
    content.done()
    if bits[:1] != b"\0":
        raise KeyMaterialError("DER: a key with unused bits")
    return suite, raw_point(suite, bits[1:]) if suite.curve else bits[1:]


# --- private keys -------------------------------------------------------------------------------------------


def private_der(suite: Suite, secret: bytes, raw: bytes) -> bytes:
    """A PKCS#8 PrivateKeyInfo, not encrypted; without the public key if `raw` is empty."""
    if suite.curve:
        public = der.item(0xA1, der.bit_string(b"\x04" + raw)) if raw else b""
        inner = der.item(der.SEQUENCE, der.integer(1), der.item(der.OCTET_STRING, secret), public)
    elif suite is MLDSA65:
        inner = der.item(0x80, secret)  # RFC 9881: the seed
    else:
        inner = der.item(der.OCTET_STRING, secret)
    return der.item(der.SEQUENCE, der.integer(0), _algorithm(suite), der.item(der.OCTET_STRING, inner))


def read_private_der(data: bytes) -> tuple[Suite, bytes]:
    """Suite and secret of a PKCS#8 PrivateKeyInfo (or OneAsymmetricKey).

    Raises:
        KeyMaterialError: not in that form, or of a kind that is on no list.
    """
    content = der.single(data)
    if content.take_unsigned() > 1:
        raise KeyMaterialError("PKCS#8: an unknown version")
    suite = _suite_of(content.inner())
    inner = content.take(der.OCTET_STRING)
    if suite.curve:
        key = der.single(inner)
        if key.take_unsigned() != 1:
            raise KeyMaterialError("PKCS#8: an unknown version of the EC key")
        secret = key.take(der.OCTET_STRING).rjust(suite.secret_size, b"\0")
    else:
        secret = der.single(inner, 0x80 if suite is MLDSA65 else der.OCTET_STRING).rest()
    if len(secret) != suite.secret_size:
        raise KeyMaterialError("PKCS#8: a secret of the wrong size")
    return suite, secret


def _aes_cbc(key: bytes, vector: bytes, data: bytes, *, decrypt: bool) -> bytes:
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes  # noqa: PLC0415  files only

    cipher = Cipher(algorithms.AES(key), modes.CBC(vector))
    context = cipher.decryptor() if decrypt else cipher.encryptor()
    return context.update(data) + context.finalize()


def encrypt(data: bytes, password: bytes) -> bytes:
    """Wraps a PrivateKeyInfo as EncryptedPrivateKeyInfo: PBES2 with scrypt and AES-256-CBC.

    Raises:
        ValueError: an empty password.
    """
    if not password:
        raise ValueError("an empty password protects nothing")
    salt, vector = secrets.token_bytes(16), secrets.token_bytes(16)
    n, r, p = _SCRYPT_COST
    key = hashlib.scrypt(password, salt=salt, n=n, r=r, p=p, maxmem=_MOST_SCRYPT_MEMORY, dklen=32)
    pad = 16 - len(data) % 16
    sealed = _aes_cbc(key, vector, data + bytes((pad,)) * pad, decrypt=False)
    costs = (der.item(der.OCTET_STRING, salt), der.integer(n), der.integer(r), der.integer(p))
    derivation = der.item(
        der.SEQUENCE, der.item(der.OID, _SCRYPT), der.item(der.SEQUENCE, *costs, der.integer(32))
    )
    cipher = der.item(der.SEQUENCE, der.item(der.OID, _AES256_CBC), der.item(der.OCTET_STRING, vector))
    scheme = der.item(der.SEQUENCE, der.item(der.OID, _PBES2), der.item(der.SEQUENCE, derivation, cipher))
    return der.item(der.SEQUENCE, scheme, der.item(der.OCTET_STRING, sealed))


def decrypt(data: bytes, password: bytes) -> bytes:
    """Opens an EncryptedPrivateKeyInfo: PBES2 with scrypt or PBKDF2, and AES-CBC.

    Raises:
        KeyMaterialError: a wrong password, another scheme, or costs beyond reason.
    """
    content = der.single(data)
    scheme = content.inner()
    sealed = content.take(der.OCTET_STRING)
    content.done()
    if scheme.take(der.OID) != _PBES2:
        raise KeyMaterialError("PKCS#8: encrypted in a way that is on no list")
    parameters = scheme.inner()
    derivation, cipher = parameters.inner(), parameters.inner()
    size = _AES_CBC.get(cipher.take(der.OID))
    vector = cipher.take(der.OCTET_STRING)
    if size is None or len(vector) != 16 or not sealed or len(sealed) % 16:
        raise KeyMaterialError("PKCS#8: encrypted in a way that is on no list")
    padded = _aes_cbc(_derive(derivation, password, size), vector, sealed, decrypt=True)
    pad = padded[-1]
    # Padding, and the form of what is inside, are the only witnesses of a wrong password.
    if not 1 <= pad <= 16 or padded[-pad:] != bytes((pad,)) * pad:
        raise KeyMaterialError("the password is wrong, or the key file is damaged")
    return padded[:-pad]


def _derive(derivation: der.Reader, password: bytes, size: int) -> bytes:
    oid, costs = derivation.take(der.OID), derivation.inner()
    salt = costs.take(der.OCTET_STRING)
    if oid == _SCRYPT:
        n, r, p = costs.take_unsigned(), costs.take_unsigned(), costs.take_unsigned()
        if n < 2 or n & (n - 1) or not r or not 0 < p <= 16 or 128 * n * r > _MOST_SCRYPT_MEMORY // 2:
            raise KeyMaterialError("PKCS#8: scrypt with costs beyond reason")
        return hashlib.scrypt(password, salt=salt, n=n, r=r, p=p, maxmem=_MOST_SCRYPT_MEMORY, dklen=size)
    if oid != _PBKDF2:
        raise KeyMaterialError("PKCS#8: encrypted in a way that is on no list")
    rounds = costs.take_unsigned()
    if costs.tag == der.INTEGER and costs.take_unsigned() != size:
        raise KeyMaterialError("PKCS#8: PBKDF2 with a key of another size")
    name = "sha1" if costs.tag is None else _HMACS.get(costs.inner().take(der.OID))
    if name is None or not 0 < rounds <= _MOST_ROUNDS:
        raise KeyMaterialError("PKCS#8: PBKDF2 with a hash or costs beyond reason")
    return hashlib.pbkdf2_hmac(name, password, salt, rounds, size)
