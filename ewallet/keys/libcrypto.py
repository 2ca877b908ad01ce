"""SM2 and SM3 of the system's OpenSSL (libcrypto >= 3.0), by `ctypes`.

`cryptography` carries an OpenSSL of its own that has no SM2, so the system's one is bound: found, probed and
made to answer a known question at first use. Only what has been checked here reaches it: points on the curve
in their uncompressed form, signatures of the right size with r and s in range. Calls release Python's lock.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import os
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Final

from ewallet.errors import KeyMaterialError

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAMES: Final = ("libcrypto.so.3", "libcrypto.so.4", "libcrypto.3.dylib")
_LEAST: Final = 0x30000000
_VOID, _INT, _SIZE, _BYTES = ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t, ctypes.c_char_p

# name, result, arguments
_FUNCTIONS: Final[tuple[tuple[str, Any, tuple[Any, ...]], ...]] = (
    ("EVP_MD_fetch", _VOID, (_VOID, _BYTES, _BYTES)),
    ("EVP_Digest", _INT, (_BYTES, _SIZE, _VOID, _VOID, _VOID, _VOID)),
    ("EVP_MD_CTX_new", _VOID, ()),
    ("EVP_MD_CTX_free", None, (_VOID,)),
    ("EVP_DigestVerifyInit_ex", _INT, (_VOID, _VOID, _BYTES, _VOID, _BYTES, _VOID, _VOID)),
    ("EVP_DigestVerify", _INT, (_VOID, _BYTES, _SIZE, _BYTES, _SIZE)),
    ("EVP_DigestSignInit_ex", _INT, (_VOID, _VOID, _BYTES, _VOID, _BYTES, _VOID, _VOID)),
    ("EVP_DigestSign", _INT, (_VOID, _VOID, _VOID, _BYTES, _SIZE)),
    ("EVP_PKEY_CTX_set1_id", _INT, (_VOID, _BYTES, _INT)),
    ("EVP_PKEY_free", None, (_VOID,)),
    ("EVP_PKEY_CTX_new_from_name", _VOID, (_VOID, _BYTES, _BYTES)),
    ("EVP_PKEY_CTX_free", None, (_VOID,)),
    ("EVP_PKEY_fromdata_init", _INT, (_VOID,)),
    ("EVP_PKEY_fromdata", _INT, (_VOID, _VOID, _INT, _VOID)),
    ("d2i_AutoPrivateKey", _VOID, (_VOID, _VOID, ctypes.c_long)),
    ("i2d_PUBKEY", _INT, (_VOID, _VOID)),
    ("ERR_clear_error", None, ()),
)

_PUBLIC_KEY: Final = 0x86  # EVP_PKEY_PUBLIC_KEY: the public half with its parameters
_TEXT, _OCTETS = 4, 5  # OSSL_PARAM_UTF8_STRING, OSSL_PARAM_OCTET_STRING


class _Parameter(ctypes.Structure):
    """OSSL_PARAM."""

    _fields_: ClassVar = [
        ("name", ctypes.c_char_p),
        ("kind", ctypes.c_uint),
        ("data", ctypes.c_char_p),
        ("size", ctypes.c_size_t),
        ("returned", ctypes.c_size_t),
    ]


class _Key:
    """An EVP_PKEY that frees itself. The library counts references, so threads may share it."""

    __slots__ = ("_free", "handle")

    def __init__(self, handle: int, free: Any) -> None:
        self.handle, self._free = handle, free

    def __del__(self) -> None:
        self._free(self.handle)


class Libcrypto:
    """The few functions that SM2 needs; every context belongs to one call."""

    def __init__(self, library: ctypes.CDLL) -> None:
        """Binds the functions.

        Raises:
            AttributeError: a function is missing: older than 3.0.
        """
        version = library.OpenSSL_version_num
        version.restype, version.argtypes = ctypes.c_ulong, ()
        self.version: int = version()
        for name, result, arguments in _FUNCTIONS:
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
        self._lib = library
        self._sm3_method = library.EVP_MD_fetch(None, b"SM3", None)

    @property
    def usable(self) -> bool:
        """New enough, and it has SM3."""
        return self.version >= _LEAST and bool(self._sm3_method)

    def sm3(self, data: bytes) -> bytes:
        """The SM3 digest.

        Raises:
            KeyMaterialError: the library has none.
        """
        out = ctypes.create_string_buffer(32)
        if self._lib.EVP_Digest(data, len(data), out, None, self._sm3_method, None) != 1:
            raise self._failure("SM3")
        return out.raw

    def public_key(self, raw: bytes) -> _Key:
        """A key of X || Y that the caller has checked; three times as fast as by its DER form.

        Raises:
            KeyMaterialError: the library does not take it: it has no SM2.
        """
        library = self._lib
        point = b"\x04" + raw
        parameters = (_Parameter * 3)(
            _Parameter(b"group", _TEXT, b"SM2", 3, 0), _Parameter(b"pub", _OCTETS, point, len(point), 0)
        )
        context = library.EVP_PKEY_CTX_new_from_name(None, b"SM2", None)
        key = _VOID()
        try:
            right = (
                context
                and library.EVP_PKEY_fromdata_init(context) == 1
                and library.EVP_PKEY_fromdata(context, ctypes.byref(key), _PUBLIC_KEY, parameters) == 1
            )
        finally:
            library.EVP_PKEY_CTX_free(context)
        if not right or key.value is None:
            raise self._failure("an SM2 key")
        return _Key(key.value, library.EVP_PKEY_free)

    def private_key(self, pkcs8: bytes) -> _Key:
        """A key of a PrivateKeyInfo that the caller has checked.

        Raises:
            KeyMaterialError: the library does not take it: it has no SM2.
        """
        buffer = ctypes.create_string_buffer(pkcs8, len(pkcs8))
        position = _VOID(ctypes.addressof(buffer))
        handle = self._lib.d2i_AutoPrivateKey(None, ctypes.byref(position), len(pkcs8))
        if not handle:
            raise self._failure("an SM2 key")
        return _Key(handle, self._lib.EVP_PKEY_free)

    def public_of(self, key: _Key) -> bytes:
        """The SubjectPublicKeyInfo of a private key.

        Raises:
            KeyMaterialError: the library failed.
        """
        out = ctypes.create_string_buffer(256)
        position = _VOID(ctypes.addressof(out))
        size = self._lib.i2d_PUBKEY(key.handle, ctypes.byref(position))
        if not 0 < size <= len(out):
            raise self._failure("a public key")
        return out.raw[:size]

    def verify(self, key: _Key, signature: bytes, message: bytes, identifier: bytes) -> bool:
        """Verifies a DER signature over a message, SM2 with SM3 under this identifier."""
        library = self._lib
        context = library.EVP_MD_CTX_new()
        inner = _VOID()
        try:
            # Up to 3.0 the identifier is lost when it is set before the digest is known: so after it.
            right: bool = (
                library.EVP_DigestVerifyInit_ex(
                    context, ctypes.byref(inner), b"SM3", None, None, key.handle, None
                )
                == 1
                and library.EVP_PKEY_CTX_set1_id(inner, identifier, len(identifier)) == 1
                and library.EVP_DigestVerify(context, signature, len(signature), message, len(message)) == 1
            )
        finally:
            library.EVP_MD_CTX_free(context)
        if not right:
            library.ERR_clear_error()
        return right

    def sign(self, key: _Key, message: bytes, identifier: bytes) -> bytes:
        """Signs a message, SM2 with SM3 under this identifier; the signature is DER.

        Raises:
            KeyMaterialError: the library failed.
        """
        library = self._lib
        context = library.EVP_MD_CTX_new()
        inner, out = _VOID(), ctypes.create_string_buffer(80)
        size = _SIZE(len(out))
        try:
            right = (
                library.EVP_DigestSignInit_ex(
                    context, ctypes.byref(inner), b"SM3", None, None, key.handle, None
                )
                == 1
                and library.EVP_PKEY_CTX_set1_id(inner, identifier, len(identifier)) == 1
                and library.EVP_DigestSign(context, out, ctypes.byref(size), message, len(message)) == 1
            )
        finally:
            library.EVP_MD_CTX_free(context)
        if not right:
            raise self._failure("signing with SM2")
        return out.raw[: size.value]

    def _failure(self, what: str) -> KeyMaterialError:
        self._lib.ERR_clear_error()
        return KeyMaterialError(f"the system's libcrypto refused: {what}")


def _candidates() -> Iterator[str]:
    named = os.environ.get("EWALLET_LIBCRYPTO")
    if named:
        yield named
        return
    yield from _NAMES
    found = ctypes.util.find_library("crypto")
    if found:
        yield found


@cache
def libcrypto() -> Libcrypto:
    """The first usable libcrypto of this machine; `EWALLET_LIBCRYPTO` names another one.

    Raises:
        KeyMaterialError: there is none of version 3.0 or newer with SM3.
    """
    for name in _candidates():
        try:
            found = Libcrypto(ctypes.CDLL(name))
        except (OSError, AttributeError):
            continue
        if found.usable:
            return found
    raise KeyMaterialError("no libcrypto of OpenSSL 3.0 or newer with SM3 on this machine")
