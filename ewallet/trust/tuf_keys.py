"""Keys and signers of this package in TUF metadata.

ES256 and Ed25519 keys stand in the metadata as TUF's own key types, so that any TUF client can check them;
the suites that TUF does not know (SM2 with SM3, and the hybrid of ES256 and ML-DSA-65) stand as the key type
`ewallet`. A hybrid key is one key with one key id: both of its signatures must verify.

Every key names its owner (a province, or `online`) beside the key value: thresholds count provinces, and a
province must not hold more key ids in a role than its share.
"""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from securesystemslib.exceptions import UnverifiedSignatureError
from securesystemslib.signer import (
    KEY_FOR_TYPE_AND_SCHEME,
    Key,
    Signature,
    SSlibKey,
)
from securesystemslib.signer import Signer as TufSignerBase

from ewallet.errors import KeyMaterialError
from ewallet.keys import PublicKey
from ewallet.keys.suites import TRUST_SUITES

if TYPE_CHECKING:
    from securesystemslib.signer import SecretsHandler

    from ewallet.keys import Signer

OWNER: Final = "x-ewallet-owner"
"""Member of a key that names whose it is."""

ONLINE: Final = "online"
"""Owner of the snapshot and timestamp keys."""

KEY_TYPE: Final = "ewallet"


class SuiteKey(Key):
    """A TUF key of a suite that TUF does not know: `{"keytype": "ewallet", "scheme": <suite>}`."""

    @classmethod
    def from_dict(cls, keyid: str, key_dict: dict[str, Any]) -> SuiteKey:
        """From the metadata's form (what is left over stays with the key)."""
        keytype, scheme, keyval = cls._from_dict(key_dict)
        key = cls(keyid, keytype, scheme, keyval, key_dict)
        key.public()  # an unusable key is refused when the metadata is read
        return key

    def to_dict(self) -> dict[str, Any]:
        """The metadata's form."""
        return dict(self._to_dict())

    def public(self) -> PublicKey:
        """The key; raises `ValueError` if it is unusable, as TUF's reader expects."""
        try:
            return PublicKey(TRUST_SUITES[self.scheme], bytes.fromhex(self.keyval["public"]))
        except (KeyMaterialError, KeyError, TypeError) as error:
            raise ValueError("unusable key") from error

    def verify_signature(self, signature: Signature, data: bytes) -> None:
        """Raises `UnverifiedSignatureError` unless the signature verifies."""
        try:
            raw = bytes.fromhex(signature.signature)
        except ValueError as error:
            raise UnverifiedSignatureError("not a signature") from error
        if not self.public().verify(raw, data):
            raise UnverifiedSignatureError(f"signature by {signature.keyid} does not verify")


for _suite in TRUST_SUITES.values():
    if _suite.name not in ("ES256", "Ed25519", "ES384"):
        KEY_FOR_TYPE_AND_SCHEME[(KEY_TYPE, _suite.name)] = SuiteKey


def key_id(keytype: str, scheme: str, keyval: dict[str, Any]) -> str:
    """SHA-256 of the canonical JSON of the key, owner left out: one key has one id, whoever lists it."""
    form = {"keytype": keytype, "scheme": scheme, "keyval": keyval}
    return sha256(json.dumps(form, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def tuf_key(public: PublicKey, *, owner: str) -> Key:
    """A key as it stands in TUF metadata.

    Args:
        public: the key.
        owner: two digits of a province, or `online`.
    """
    suite = public.suite.name
    if suite == "ES256":
        point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + public.raw)
        pem = point.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        keytype, scheme, keyval = "ecdsa", "ecdsa-sha2-nistp256", {"public": pem}
    elif suite == "Ed25519":
        keytype, scheme, keyval = "ed25519", "ed25519", {"public": public.raw.hex()}
    else:
        keytype, scheme, keyval = KEY_TYPE, suite, {"public": public.raw.hex()}
    kind = SuiteKey if keytype == KEY_TYPE else SSlibKey
    return kind(key_id(keytype, scheme, keyval), keytype, scheme, keyval, {OWNER: owner})


def owner_of(key: Key) -> str:
    """The owner that the metadata names; empty if it names none."""
    owner = key.unrecognized_fields.get(OWNER, "")
    return owner if isinstance(owner, str) else ""


def is_own_id(key: Key) -> bool:
    """Whether the key id is the digest of the key: a second id of one key is no second key."""
    return bool(key.keyid == key_id(key.keytype, key.scheme, key.keyval))


class TufSigner(TufSignerBase):
    """Lets any of our signers (file, PKCS#11, SM2, hybrid) sign TUF metadata."""

    def __init__(self, signer: Signer, *, owner: str) -> None:
        """Takes the signer and the owner that the metadata names."""
        self._signer = signer
        self._key = tuf_key(signer.public_key, owner=owner)

    @property
    def public_key(self) -> Key:
        """The key as it stands in the metadata."""
        return self._key

    @classmethod
    def from_priv_key_uri(
        cls,
        priv_key_uri: str,
        public_key: Key,
        secrets_handler: SecretsHandler | None = None,
    ) -> TufSigner:
        """Not offered: keys are opened by `ewallet.keys`."""
        raise NotImplementedError("open the key with ewallet.keys")

    def sign(self, payload: bytes) -> Signature:
        """One signature, in the form of the key's type."""
        raw = self._signer.sign(payload)
        if self._key.keytype == "ecdsa":
            half = len(raw) // 2
            raw = encode_dss_signature(int.from_bytes(raw[:half], "big"), int.from_bytes(raw[half:], "big"))
        return Signature(self._key.keyid, raw.hex())
