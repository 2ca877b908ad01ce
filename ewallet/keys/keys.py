"""Keys: `PublicKey` verifies, a `Signer` signs, `SigningKey` is a signer in software.

A key is born checked: a `PublicKey` that exists has the right size and is a usable point of its curve. What
verifies or signs is made at first use and kept.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

from ewallet.errors import KeyMaterialError, Malformed
from ewallet.keys import der, keyfile
from ewallet.keys.suites import ES256, HYBRID, MLDSA65, SUITES, Suite, suite_named
from ewallet.wire import b64u_decode, b64u_encode, cbor_bytes, cbor_head

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_PRIVATE_JWK: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"})
_KTY, _ALG, _KEY_OPS, _CRV, _X, _Y, _D = 1, 3, 4, -1, -2, -3, -4
_VERIFY: Final = 2  # COSE key operation "verify"


class Signer(Protocol):
    """What signs: a software key, a token, a remote device.

    `sign` returns the signature as it stands on the wire: r || s, or 64 bytes of RFC 8032. It may be called
    from several threads. A device that fails or refuses raises `ewallet.errors.SignerError`.
    """

    @property
    def public_key(self) -> PublicKey:
        """The key under which the signatures verify."""

    def sign(self, message: bytes) -> bytes:
        """Signs a message (not its hash)."""


class PublicKey:
    """A public key of one suite, checked when made.

    Attributes:
        suite: the suite; it belongs to the key, whatever a message says.
        raw: X || Y for curves in Weierstrass form, 32 bytes for Ed25519.
    """

    __slots__ = ("_check", "_hash", "_thumbprint", "raw", "suite")

    raw: bytes
    suite: Suite

    def __init__(self, suite: Suite | str, raw: bytes) -> None:
        """Checks the key.

        Raises:
            KeyMaterialError: a wrong size, a point off the curve, a point of small order.
        """
        entry = suite if isinstance(suite, Suite) else suite_named(suite)
        given = bytes(raw)
        if len(given) != entry.public_size:
            raise KeyMaterialError(f"{entry.name}: a public key has {entry.public_size} bytes")
        entry.arithmetic.check_public(entry, given)
        self.suite = entry
        self.raw = given
        self._check: Callable[[bytes, bytes], bool] | None = None
        self._thumbprint: bytes | None = None
        self._hash = hash((entry.name, given))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PublicKey):
            return NotImplemented
        return self.raw == other.raw and self.suite is other.suite

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        return f"PublicKey({self.suite.name}, kid={self.kid.hex()})"

    def __reduce__(self) -> tuple[type[PublicKey], tuple[str, bytes]]:
        return PublicKey, (self.suite.name, self.raw)

    def verify(self, signature: bytes, message: bytes) -> bool:
        """Whether this is a signature of the message by this key. Never raises for bytes.

        Args:
            signature: as on the wire: r || s, or 64 bytes of RFC 8032.
            message: what was signed, not its hash.
        """
        check = self._check
        if check is None:
            check = self._check = self._prepare()
        return check(signature, message)

    def _prepare(self) -> Callable[[bytes, bytes], bool]:
        return self.suite.arithmetic.verifier(self.suite, self.raw)

    # --- names ---

    def thumbprint(self) -> bytes:
        """SHA-256 thumbprint of the COSE_Key, 32 bytes (RFC 9679); of `raw` with its suite for a hybrid."""
        known = self._thumbprint
        if known is None:
            known = self._thumbprint = hashlib.sha256(self._thumbprint_input()).digest()
        return known

    def _thumbprint_input(self) -> bytes:
        suite = self.suite
        if not suite.in_credentials:
            return suite.name.encode() + b"\0" + self.raw
        curve = cbor_head(0, suite.cose_crv) if suite.cose_crv >= 0 else cbor_head(1, -1 - suite.cose_crv)
        head = bytes((1, suite.cose_kty, 0x20)) + curve
        if suite.curve is None:
            return b"\xa3" + head + b"\x21" + cbor_bytes(self.raw)
        size = suite.public_size // 2
        return b"\xa4" + head + b"\x21" + cbor_bytes(self.raw[:size]) + b"\x22" + cbor_bytes(self.raw[size:])

    @property
    def kid(self) -> bytes:
        """The first 8 bytes of the thumbprint: a hint for a lookup, never a proof."""
        return self.thumbprint()[:8]

    def jwk_thumbprint(self) -> str:
        """SHA-256 thumbprint of the JWK in base64url (RFC 7638)."""
        members = ",".join(f'"{name}":"{value}"' for name, value in sorted(self.to_jwk().items()))
        return b64u_encode(hashlib.sha256(f"{{{members}}}".encode()).digest())

    # --- JWK and COSE_Key ---

    def to_jwk(self) -> dict[str, str]:
        """The key as JWK with its required members only (RFC 7517, RFC 7518, RFC 8037)."""
        suite = self._credential_suite()
        if suite.curve is None:
            return {"kty": suite.jwk_kty, "crv": suite.jwk_crv, "x": b64u_encode(self.raw)}
        size = suite.public_size // 2
        return {
            "kty": suite.jwk_kty,
            "crv": suite.jwk_crv,
            "x": b64u_encode(self.raw[:size]),
            "y": b64u_encode(self.raw[size:]),
        }

    @classmethod
    def from_jwk(cls, jwk: Mapping[str, Any]) -> Self:
        """Reads a JWK.

        Raises:
            KeyMaterialError: an unknown curve, coordinates of a wrong form or off the curve, an `alg`, `use`
                or `key_ops` that does not allow verifying with this suite, or a private key.
        """
        suite = _jwk_suite(jwk)
        if _PRIVATE_JWK & jwk.keys():
            raise KeyMaterialError("JWK: a private key where a public one belongs")
        return cls(suite, _jwk_raw(jwk, suite))

    def to_cose(self) -> dict[int, int | bytes]:
        """The key as COSE_Key with its required members only, uncompressed (RFC 9053, 7)."""
        suite = self._credential_suite()
        key: dict[int, int | bytes] = {_KTY: suite.cose_kty, _CRV: suite.cose_crv}
        if suite.curve is None:
            return {**key, _X: self.raw}
        size = suite.public_size // 2
        return {**key, _X: self.raw[:size], _Y: self.raw[size:]}

    def to_cose_compressed(self) -> dict[int, int | bytes | bool]:
        """As `to_cose`, with y as its sign bit where the suite has a y: 33 bytes shorter."""
        key: dict[int, int | bytes | bool] = {**self.to_cose()}
        if _Y in key:
            key[_Y] = bool(self.raw[-1] & 1)
        return key

    @classmethod
    def from_cose(cls, key: Mapping[Any, Any]) -> Self:
        """Reads a COSE_Key; y may be given as its sign bit.

        Raises:
            KeyMaterialError: as `from_jwk`.
        """
        suite = _cose_suite(key)
        if _D in key:
            raise KeyMaterialError("COSE_Key: a private key where a public one belongs")
        operations = key.get(_KEY_OPS)
        if operations is not None and not (_is_list(operations) and _VERIFY in operations):
            raise KeyMaterialError("COSE_Key: not for verifying")
        x, y = key.get(_X), key.get(_Y)
        size = suite.public_size if suite.curve is None else suite.public_size // 2
        if not isinstance(x, bytes) or len(x) != size:
            raise KeyMaterialError("COSE_Key: x is not of the curve's size")
        if suite.curve is None:
            if y is not None:
                raise KeyMaterialError("COSE_Key: a y where none belongs")
            return cls(suite, x)
        if isinstance(y, bool):
            return cls(suite, suite.arithmetic.decompress(suite, x, odd=y))
        if not isinstance(y, bytes) or len(y) != size:
            raise KeyMaterialError("COSE_Key: y is not of the curve's size")
        return cls(suite, x + y)

    def _credential_suite(self) -> Suite:
        if not self.suite.in_credentials:
            raise KeyMaterialError(f"{self.suite.name}: for trust metadata only, it has no JWK or COSE_Key")
        return self.suite

    # --- PEM and X.509 ---

    def to_der(self) -> bytes:
        """The key as DER SubjectPublicKeyInfo (RFC 5480, RFC 8410)."""
        return keyfile.public_der(self._credential_suite(), self.raw)

    @classmethod
    def from_der(cls, data: bytes) -> Self:
        """Reads a DER SubjectPublicKeyInfo.

        Raises:
            KeyMaterialError: another form or kind of key, or an unusable one.
        """
        return cls(*_only_in_credentials(*keyfile.read_public_der(data)))

    def to_pem(self) -> str:
        """The key as PEM; a hybrid key is one block for each part."""
        parts = _parts(self.suite, self.raw, public=True)
        return "".join(keyfile.pem("PUBLIC KEY", keyfile.public_der(suite, raw)) for suite, raw in parts)

    @classmethod
    def from_pem(cls, text: str | bytes) -> Self:
        """Reads PEM public keys: one block, or the blocks of a hybrid key in their order.

        Raises:
            KeyMaterialError: another form or kind of key, or an unusable one.
        """
        blocks = keyfile.pem_blocks(text)
        if any(label != "PUBLIC KEY" for label, _ in blocks):
            raise KeyMaterialError("PEM: not a public key")
        return cls(*_joined([keyfile.read_public_der(data) for _, data in blocks]))

    @classmethod
    def from_x509(cls, certificate: bytes) -> Self:
        """The key of a DER certificate. Nothing about the certificate is checked: see `ewallet.keys.x509`.

        Raises:
            KeyMaterialError: not a certificate, or a key as in `from_der`.
        """
        body = der.single(certificate).inner()
        if body.tag == 0xA0:  # version
            body.raw()
        for _ in range(5):  # serial number, signature, issuer, validity, subject
            body.raw()
        return cls.from_der(body.raw())


class SigningKey:
    """A signing key in software: for development, tests and trials.

    Production keys live in certified devices (`ewallet.keys.pkcs11`, or another `Signer`); a file written
    here says so in its first line.

    Attributes:
        public_key: the key under which the signatures verify.
    """

    __slots__ = ("_secret", "_sign", "public_key")

    public_key: PublicKey

    def __init__(self, suite: Suite | str, secret: bytes) -> None:
        """Makes a key of its secret: the scalar, or the seed.

        Raises:
            KeyMaterialError: a suite that we do not sign with, or an impossible secret.
        """
        entry = suite if isinstance(suite, Suite) else suite_named(suite)
        if not entry.can_sign:
            raise KeyMaterialError(f"{entry.name}: we verify it but do not sign with it")
        if len(secret) != entry.secret_size:
            raise KeyMaterialError(f"{entry.name}: a secret has {entry.secret_size} bytes")
        self._secret = bytes(secret)
        self.public_key = PublicKey(entry, entry.arithmetic.public_of(entry, self._secret))
        self._sign: Callable[[bytes], bytes] | None = None

    def __repr__(self) -> str:
        return f"SigningKey({self.public_key.suite.name}, kid={self.public_key.kid.hex()}, software)"

    def __reduce__(self) -> str | tuple[Any, ...]:
        raise TypeError("a signing key is not pickled: save it encrypted")

    @property
    def custody(self) -> str:
        """Where the secret is: `software` here; other signers name their device."""
        return "software"

    def sign(self, message: bytes) -> bytes:
        """Signs a message; the signature has the form of the wire."""
        sign = self._sign
        if sign is None:
            suite = self.public_key.suite
            sign = self._sign = suite.arithmetic.signer(suite, self._secret)
        return sign(message)

    def sign_many(self, messages: Iterable[bytes]) -> list[bytes]:
        """Signs messages one after another, in their order."""
        return [self.sign(message) for message in messages]

    @classmethod
    def generate(cls, suite: Suite | str = ES256) -> Self:
        """A fresh key.

        Raises:
            KeyMaterialError: a suite that we do not sign with.
        """
        entry = suite if isinstance(suite, Suite) else suite_named(suite)
        if not entry.can_sign:
            raise KeyMaterialError(f"{entry.name}: we verify it but do not sign with it")
        return cls(entry, entry.arithmetic.generate(entry))

    # --- files ---

    def to_pem(self, password: bytes | str) -> str:
        """Encrypted PKCS#8 (RFC 5958) under a label that says what it is; one block for each part.

        Raises:
            ValueError: an empty password.
        """
        secret = _password(password)
        key = self.public_key
        blocks = [
            keyfile.pem("ENCRYPTED PRIVATE KEY", keyfile.encrypt(data, secret)) for data in self._pkcs8()
        ]
        label = (
            "Software key: for development and trials. Production keys belong in a certified device.\n"
            f"Suite: {key.suite.name}\nKey: {key.kid.hex()}\n"
        )
        return label + "".join(blocks)

    def _pkcs8(self) -> list[bytes]:
        suite = self.public_key.suite
        raws = _parts(suite, self.public_key.raw, public=True)
        secrets = _parts(suite, self._secret, public=False)
        return [
            keyfile.private_der(part, secret, raw)
            for (part, raw), (_, secret) in zip(raws, secrets, strict=True)
        ]

    @classmethod
    def from_pem(cls, text: str | bytes, password: bytes | str | None) -> Self:
        """Reads PKCS#8 keys: encrypted with a password, or (password None) not encrypted.

        Raises:
            KeyMaterialError: a wrong password, encrypted without one or the reverse, or a key that cannot
                be used.
        """
        blocks = keyfile.pem_blocks(text)
        label = "PRIVATE KEY" if password is None else "ENCRYPTED PRIVATE KEY"
        if any(found != label for found, _ in blocks):
            raise KeyMaterialError(f"PEM: not a block {label}")
        if password is None:
            parts = [keyfile.read_private_der(data) for _, data in blocks]
        else:
            parts = [_opened(data, _password(password)) for _, data in blocks]
        return cls(*_joined(parts))

    def save(self, path: str | os.PathLike[str], password: bytes | str) -> None:
        """Writes `to_pem` to a new file that only its owner can read.

        Raises:
            FileExistsError: there is one: keys are never overwritten.
            ValueError: an empty password.
        """
        text = self.to_pem(password)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())

    @classmethod
    def load(cls, path: str | os.PathLike[str], password: bytes | str) -> Self:
        """Reads a file of `save`, or any PKCS#8 PEM encrypted with PBES2.

        Raises:
            KeyMaterialError: a wrong password, or a file that cannot be used.
            OSError: the file cannot be read.
        """
        return cls.from_pem(Path(path).read_bytes(), password)

    def unsafe_to_jwk(self) -> dict[str, str]:
        """The key as JWK with its secret in the clear: for test vectors only."""
        return {**self.public_key.to_jwk(), "d": b64u_encode(self._secret)}

    @classmethod
    def from_jwk(cls, jwk: Mapping[str, Any]) -> Self:
        """Reads a private JWK, as test vectors give them.

        Raises:
            KeyMaterialError: no secret, a public part that does not fit it, or as `PublicKey.from_jwk`.
        """
        suite = _jwk_suite(jwk)
        key = cls(suite, _jwk_bytes(jwk, "d", suite.secret_size))
        if key.public_key.raw != _jwk_raw(jwk, suite):
            raise KeyMaterialError("JWK: public and private part do not belong together")
        return key


def sign_many(signer: Signer, messages: Iterable[bytes]) -> list[bytes]:
    """Signs messages with any signer, in their order; a device that has a `sign_many` is kept busy by it."""
    batch = getattr(signer, "sign_many", None)
    return [signer.sign(message) for message in messages] if batch is None else list(batch(messages))


def raw_signature(signature: bytes, suite: Suite) -> bytes:
    """A signature in the form of the wire, from a device that gives either that or DER.

    Phone keystores and most X.509 software return ECDSA signatures in DER. What already has the wire's size
    is taken as it is; one valid DER signature in 2**40 has that size too, and then fails to verify: sign
    again.

    Raises:
        KeyMaterialError: neither form, or r or s too long.
    """
    if len(signature) == suite.signature_size:
        return bytes(signature)
    if suite.curve is None:
        raise KeyMaterialError(f"{suite.name}: a signature has {suite.signature_size} bytes")
    r, s = der.read_signature(signature)
    half = suite.signature_size // 2
    if max(r, s) >> (8 * half):
        raise KeyMaterialError(f"{suite.name}: r or s is too long")
    return r.to_bytes(half, "big") + s.to_bytes(half, "big")


# --- reading parts of keys ----------------------------------------------------------------------------------


def _is_list(value: object) -> bool:
    return isinstance(value, list | tuple)


def _jwk_suite(jwk: Mapping[str, Any]) -> Suite:
    for suite in SUITES.values():
        if jwk.get("kty") == suite.jwk_kty and jwk.get("crv") == suite.jwk_crv:
            break
    else:
        raise KeyMaterialError("JWK: a kind of key that is on no list")
    if "alg" in jwk and not (isinstance(jwk["alg"], str) and jwk["alg"] in suite.jose_accepts):
        raise KeyMaterialError("JWK: for another algorithm")
    operations = jwk.get("key_ops")
    if jwk.get("use", "sig") != "sig" or not (
        operations is None or (_is_list(operations) and {"verify", "sign"} & {*map(str, operations)})
    ):
        raise KeyMaterialError("JWK: not for signatures")
    return suite


def _jwk_bytes(jwk: Mapping[str, Any], name: str, size: int) -> bytes:
    value = jwk.get(name)
    try:
        data = b64u_decode(value) if isinstance(value, str) else b""
    except Malformed as error:
        raise KeyMaterialError(f"JWK: {name} is not base64url") from error
    if len(data) != size:
        raise KeyMaterialError(f"JWK: {name} is not of the curve's size")
    return data


def _jwk_raw(jwk: Mapping[str, Any], suite: Suite) -> bytes:
    if suite.curve is None:
        if "y" in jwk:
            raise KeyMaterialError("JWK: a y where none belongs")
        return _jwk_bytes(jwk, "x", suite.public_size)
    size = suite.public_size // 2
    return _jwk_bytes(jwk, "x", size) + _jwk_bytes(jwk, "y", size)


def _cose_suite(key: Mapping[Any, Any]) -> Suite:
    kty, crv = key.get(_KTY), key.get(_CRV)
    if type(kty) is not int or type(crv) is not int:
        raise KeyMaterialError("COSE_Key: a kind of key that is on no list")
    for suite in SUITES.values():
        if suite.cose_kty == kty and suite.cose_crv == crv:
            break
    else:
        raise KeyMaterialError("COSE_Key: a kind of key that is on no list")
    if _ALG in key and (type(key[_ALG]) is not int or key[_ALG] not in suite.cose_accepts):
        raise KeyMaterialError("COSE_Key: for another algorithm")
    return suite


def _parts(suite: Suite, data: bytes, *, public: bool) -> list[tuple[Suite, bytes]]:
    if not suite.parts:
        return [(suite, data)]
    pieces, start = [], 0
    for part in suite.parts:
        end = start + (part.public_size if public else part.secret_size)
        pieces.append((part, data[start:end]))
        start = end
    return pieces


def _joined(parts: list[tuple[Suite, bytes]]) -> tuple[Suite, bytes]:
    suites = tuple(suite for suite, _ in parts)
    if suites == HYBRID.parts:
        return HYBRID, b"".join(data for _, data in parts)
    if len(parts) != 1:
        raise KeyMaterialError("PEM: several keys that are not the parts of a hybrid")
    return _only_in_credentials(*parts[0])


def _only_in_credentials(suite: Suite, data: bytes) -> tuple[Suite, bytes]:
    if suite is MLDSA65:
        raise KeyMaterialError("ML-DSA-65 serves only as a part of a hybrid key")
    return suite, data


def _password(password: bytes | str) -> bytes:
    return password.encode() if isinstance(password, str) else password


def _opened(data: bytes, password: bytes) -> tuple[Suite, bytes]:
    opened = keyfile.decrypt(data, password)
    try:
        return keyfile.read_private_der(opened)
    except KeyMaterialError as error:
        # One wrong password in 256 leaves a plausible padding.
        if opened[:1] != b"\x30":
            raise KeyMaterialError("the password is wrong, or the key file is damaged") from error
        raise
