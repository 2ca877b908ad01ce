"""The allow-list of signature suites: one entry each, and nothing outside the table is accepted.

A suite belongs to a key, never to a message: a verifier compares what a message claims with the suite of the
key that the trust list names, and refuses a difference. Adding a suite is one entry here; a new module is
needed only for arithmetic that none of the present ones has.

Sources: RFC 7518 and RFC 9864 (JOSE), RFC 9053 (COSE), RFC 8032 (Ed25519), GB/T 32918 and GB/T 32905 (SM2,
SM3), FIPS 204 (ML-DSA).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, Protocol, cast

from ewallet.errors import KeyMaterialError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Arithmetic(Protocol):
    """What a suite's module provides. `suite` is the entry, `raw` and `secret` have the entry's sizes."""

    def check_public(self, suite: Suite, raw: bytes) -> None:
        """Raises `KeyMaterialError` unless `raw` is a usable public key."""

    def verifier(self, suite: Suite, raw: bytes) -> Callable[[bytes, bytes], bool]:
        """`(signature, message) -> bool` for a checked public key."""

    def decompress(self, suite: Suite, x: bytes, *, odd: bool) -> bytes:
        """X || Y of a compressed point (SEC 1, 2.3.4); raises `KeyMaterialError` if there is none."""

    def generate(self, suite: Suite) -> bytes:
        """A fresh secret."""

    def public_of(self, suite: Suite, secret: bytes) -> bytes:
        """The public key of a secret; raises `KeyMaterialError` for an impossible one."""

    def signer(self, suite: Suite, secret: bytes) -> Callable[[bytes], bytes]:
        """`message -> signature`."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A short Weierstrass curve y^2 = x^3 - 3x + b over a prime field, with cofactor 1.

    Attributes:
        p: the field's prime, 3 modulo 4.
        b: the constant.
        n: the order of the group.
        oid: DER content of the curve's object identifier.
    """

    p: int
    b: int
    n: int
    oid: bytes

    def contains(self, x: int, y: int) -> bool:
        """Whether the affine point lies on the curve, in reduced coordinates."""
        return 0 <= x < self.p and 0 <= y < self.p and (y * y - (x * x - 3) * x - self.b) % self.p == 0


@dataclass(frozen=True, kw_only=True)
class Suite:
    """One way to sign, with its names on the wire.

    Attributes:
        name: our name, used in key files, trust lists and messages.
        jose_alg: what we write as JOSE `alg`; empty where the suite has no place in a credential.
        jose_accepts: JOSE `alg` values that mean this suite.
        cose_alg: what we write as COSE `alg`; 0 where the suite has no place in a credential.
        cose_accepts: COSE `alg` values that mean this suite.
        jwk_kty: JWK key type.
        jwk_crv: JWK curve.
        cose_kty: COSE key type.
        cose_crv: COSE curve.
        public_size: bytes of the public key: X || Y, or the 32 bytes of RFC 8032.
        secret_size: bytes of the secret: the scalar, or the seed.
        signature_size: bytes of a signature: r || s, or as RFC 8032 says.
        can_sign: False where we only verify.
        hash: hash of disclosures and faces that are signed with this suite.
        sd_alg_jose: that hash as SD-JWT's `_sd_alg`.
        sd_alg_cose: that hash as SD-CWT's `sd_alg`.
        oid: DER content of the algorithm's object identifier in a SubjectPublicKeyInfo.
        curve: the curve, for elliptic curves in Weierstrass form.
        module: where the arithmetic is; imported at first use.
        parts: for a hybrid, the suites that it is made of.
    """

    name: str
    jose_alg: str = ""
    jose_accepts: frozenset[str] = frozenset()
    cose_alg: int = 0
    cose_accepts: frozenset[int] = frozenset()
    jwk_kty: str = ""
    jwk_crv: str = ""
    cose_kty: int = 0
    cose_crv: int = 0
    public_size: int
    secret_size: int
    signature_size: int
    can_sign: bool = True
    hash: Literal["sha256", "sm3"] = "sha256"
    sd_alg_jose: str = "sha-256"
    sd_alg_cose: int = -16
    oid: bytes = b""
    curve: Curve | None = field(default=None, repr=False)
    module: str = field(repr=False)
    parts: tuple[Suite, ...] = ()

    @cached_property
    def arithmetic(self) -> Arithmetic:
        """The suite's module, imported at first use."""
        return cast("Arithmetic", import_module(self.module))

    @cached_property
    def digest(self) -> Callable[[bytes], bytes]:
        """The hash of disclosures and faces: `bytes -> 32 bytes`."""
        if self.hash == "sm3":
            from ewallet.keys.sm3 import sm3  # noqa: PLC0415  it may load libcrypto

            return sm3
        return _sha256

    @property
    def in_credentials(self) -> bool:
        """Whether credentials may be signed with it (a hybrid may only sign trust metadata)."""
        return bool(self.jose_alg)

    def __hash__(self) -> int:
        return hash(self.name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Suite) and self.name == other.name


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


_EC: Final = bytes.fromhex("2a8648ce3d0201")  # id-ecPublicKey, RFC 5480

P256: Final = Curve(
    p=2**256 - 2**224 + 2**192 + 2**96 - 1,
    b=0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B,
    n=0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    oid=bytes.fromhex("2a8648ce3d030107"),
)
P384: Final = Curve(
    p=2**384 - 2**128 - 2**96 + 2**32 - 1,
    b=0xB3312FA7E23EE7E4988E056BE3F82D19181D9C6EFE8141120314088F5013875AC656398D8A2ED19D2A85C8EDD3EC2AEF,
    n=0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973,
    oid=bytes.fromhex("2b81040022"),
)
SM2_CURVE: Final = Curve(
    p=2**256 - 2**224 - 2**96 + 2**64 - 1,
    b=0x28E9FA9E9D9F5E344D5A9E4BCF6509A7F39789F515AB8F92DDBCBD414D940E93,
    n=0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123,
    oid=bytes.fromhex("2a811ccf5501822d"),
)

ES256: Final = Suite(
    name="ES256",
    jose_alg="ES256",
    jose_accepts=frozenset({"ES256"}),
    cose_alg=-9,
    cose_accepts=frozenset({-9, -7}),
    jwk_kty="EC",
    jwk_crv="P-256",
    cose_kty=2,
    cose_crv=1,
    public_size=64,
    secret_size=32,
    signature_size=64,
    oid=_EC,
    curve=P256,
    module="ewallet.keys.ecdsa",
)
ED25519: Final = Suite(
    name="Ed25519",
    jose_alg="Ed25519",
    jose_accepts=frozenset({"Ed25519", "EdDSA"}),
    cose_alg=-19,
    cose_accepts=frozenset({-19, -8}),
    jwk_kty="OKP",
    jwk_crv="Ed25519",
    cose_kty=1,
    cose_crv=6,
    public_size=32,
    secret_size=32,
    signature_size=64,
    oid=bytes.fromhex("2b6570"),
    module="ewallet.keys.eddsa",
)
ES384: Final = Suite(
    name="ES384",
    jose_alg="ES384",
    jose_accepts=frozenset({"ES384"}),
    cose_alg=-51,
    cose_accepts=frozenset({-51, -35}),
    jwk_kty="EC",
    jwk_crv="P-384",
    cose_kty=2,
    cose_crv=2,
    public_size=96,
    secret_size=48,
    signature_size=96,
    can_sign=False,
    oid=_EC,
    curve=P384,
    module="ewallet.keys.ecdsa",
)
SM2SM3: Final = Suite(
    name="SM2SM3",
    jose_alg="SM2SM3",
    jose_accepts=frozenset({"SM2SM3"}),
    # Private-use numbers: -48, of an expired draft, is ML-DSA-44 today and must never be used for SM2.
    cose_alg=-65537,
    cose_accepts=frozenset({-65537}),
    jwk_kty="EC",
    jwk_crv="SM2",
    cose_kty=2,
    cose_crv=-65538,
    public_size=64,
    secret_size=32,
    signature_size=64,
    hash="sm3",
    sd_alg_jose="sm3",
    sd_alg_cose=-65539,
    oid=_EC,
    curve=SM2_CURVE,
    module="ewallet.keys.sm2",
)
MLDSA65: Final = Suite(
    name="ML-DSA-65",
    public_size=1952,
    secret_size=32,
    signature_size=3309,
    oid=bytes.fromhex("608648016503040312"),
    module="ewallet.keys.mldsa",
)
"""Only ever half of a hybrid key: it is in no table that a key or a message can name."""

HYBRID: Final = Suite(
    name="ES256+ML-DSA-65",
    public_size=ES256.public_size + MLDSA65.public_size,
    secret_size=ES256.secret_size + MLDSA65.secret_size,
    signature_size=ES256.signature_size + MLDSA65.signature_size,
    module="ewallet.keys.hybrid",
    parts=(ES256, MLDSA65),
)
"""For trust metadata only: one key, one signature made of both, and both must verify."""

SUITES: Final[Mapping[str, Suite]] = MappingProxyType(
    {suite.name: suite for suite in (ES256, ED25519, ES384, SM2SM3)}
)
"""What credentials may be signed with."""

TRUST_SUITES: Final[Mapping[str, Suite]] = MappingProxyType({**SUITES, HYBRID.name: HYBRID})
"""What trust metadata may be signed with."""


def suite_named(name: str) -> Suite:
    """The suite of a name, hybrids included.

    Raises:
        KeyMaterialError: no such suite.
    """
    try:
        return TRUST_SUITES[name]
    except (KeyError, TypeError):
        raise KeyMaterialError("no suite of that name") from None
