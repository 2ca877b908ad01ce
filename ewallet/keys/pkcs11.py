"""A signer on a PKCS#11 token: an HSM, a smart card, SoftHSM2. Needs the extra `pkcs11`.

The key is named by a PKCS#11 URI (RFC 7512), for example
`pkcs11:token=issuing;object=licenses-2026?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=/etc/ewallet/pin`.
The secret never leaves the token: it gets a hash (ES256) or the message (Ed25519) and returns the signature.
"""

from __future__ import annotations

import ctypes
import hashlib
import secrets
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, LifoQueue, SimpleQueue
from threading import Lock
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self
from urllib.parse import unquote_to_bytes

from ewallet.errors import KeyMaterialError, MissingExtra, SignerError
from ewallet.keys import der
from ewallet.keys.keys import PublicKey
from ewallet.keys.suites import ED25519, ES256, Suite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import ModuleType

_PATH: Final = frozenset({"token", "serial", "manufacturer", "model", "object", "id", "type", "slot-id"})
_QUERY: Final = frozenset({"module-path", "pin-source"})
_P256: Final = der.item(der.OID, bytes.fromhex("2a8648ce3d030107"))
# RFC 8410's identifier, and the curve's name as PKCS#11 2.40 and 3.0 wrote it.
_EDWARDS: Final = (der.item(der.OID, bytes.fromhex("2b6570")), der.item(0x13, b"edwards25519"))
_PATIENCE: Final = 60.0  # seconds to wait for a session: longer than any signature takes


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyUri:
    """A PKCS#11 URI (RFC 7512) that names one private key.

    Attributes:
        token: label of the token.
        serial: serial number of the token.
        manufacturer: manufacturer of the token.
        model: model of the token.
        slot: number of the slot.
        label: label of the key (`object`).
        identifier: CKA_ID of the key (`id`).
        module: path of the module (`module-path`).
        pin_source: file that holds the PIN (`pin-source`).
    """

    token: str | None = None
    serial: str | None = None
    manufacturer: str | None = None
    model: str | None = None
    slot: int | None = None
    label: str | None = None
    identifier: bytes | None = None
    module: Path | None = None
    pin_source: Path | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, uri: str) -> Self:
        """Reads a URI.

        Raises:
            ValueError: no `pkcs11:` URI, an attribute twice or unknown, a PIN in the URI itself, no key or
                no token named.
        """
        scheme, _, rest = uri.partition(":")
        path, _, query = rest.partition("?")
        if scheme != "pkcs11":
            raise ValueError("a key on a token is named by a pkcs11: URI")
        named, asked = _attributes(path, ";"), _attributes(query, "&")
        if "pin-value" in asked:
            raise ValueError("a PIN in a URI ends up in logs: use pin-source")
        unknown = sorted((named.keys() - _PATH) | (asked.keys() - _QUERY))
        if unknown:
            raise ValueError(f"unknown in a pkcs11: URI: {', '.join(unknown)}")
        if named.get("type", b"private") != b"private":
            raise ValueError("a signer is a key of type private")
        if not named.keys() & {"object", "id"}:
            raise ValueError("the URI names no key: object or id is missing")
        if not named.keys() & {"token", "serial", "slot-id"}:
            raise ValueError("the URI names no token: token, serial or slot-id is missing")
        text = {name: value.decode() for name, value in {**named, **asked}.items() if name != "id"}
        source = text.get("pin-source")
        return cls(
            token=text.get("token"),
            serial=text.get("serial"),
            manufacturer=text.get("manufacturer"),
            model=text.get("model"),
            slot=int(text["slot-id"]) if "slot-id" in text else None,
            label=text.get("object"),
            identifier=named.get("id"),
            module=Path(text["module-path"]) if "module-path" in text else None,
            pin_source=Path(source.removeprefix("file://").removeprefix("file:")) if source else None,
        )


def _attributes(text: str, separator: str) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for part in text.split(separator) if text else ():
        name, equals, value = part.partition("=")
        if not equals or name in found:
            raise ValueError("an attribute of a pkcs11: URI twice, or without a value")
        found[name] = unquote_to_bytes(value)
    return found


def _package() -> ModuleType:
    try:
        import pkcs11  # noqa: PLC0415  this file can be imported without the extra
    except ImportError as error:
        raise MissingExtra("pkcs11", "a signer on a PKCS#11 token") from error
    return pkcs11


@contextmanager
def _device() -> Iterator[None]:
    """The token's exceptions become `SignerError`: it names the kind of failure, never a value."""
    try:
        yield
    except _package().PKCS11Error as error:
        raise SignerError(f"the token failed: {type(error).__name__}") from error


class Pkcs11Signer:
    """A `Signer` whose key is on a token; it may be used from several threads.

    A session of a token does one thing at a time: several are opened, and each call takes a free one.

    Attributes:
        public_key: the key under which the signatures verify.
    """

    def __init__(self, uri: KeyUri, *, pin: str | None, sessions: int) -> None:
        """Opens the sessions; use `open`."""
        self._idle: LifoQueue[Any] = LifoQueue()
        self._sessions: list[Any] = []
        self._workers: ThreadPoolExecutor | None = None
        try:
            with _device():
                library, self._turn = _library(uri)
                token = _token(library, uri)
                for number in range(sessions):
                    # The login holds for all sessions that a program has with a token.
                    session = token.open(user_pin=pin if number == 0 else None)
                    self._sessions.append(session)
                    self._idle.put(_private(session, uri))
                self.public_key = _public(self._sessions[0], self._idle.queue[0])
            mechanisms = _package().Mechanism
            hashed = self.public_key.suite is ES256
            self._digest = _sha256 if hashed else _whole
            self._mechanism = mechanisms.ECDSA if hashed else mechanisms.EDDSA
            self._check_pair()
        except BaseException:
            self.close()
            raise

    @classmethod
    def open(cls, uri: str, *, pin: str | None = None, sessions: int = 4) -> Self:
        """Opens a key on a token, and lets it sign once to see that both halves belong together.

        Args:
            uri: the key (RFC 7512), with `module-path`.
            pin: the user's PIN; by default the content of `pin-source`, or no login.
            sessions: how many signatures the token may work on at a time.

        Raises:
            MissingExtra: the extra `pkcs11` is not installed.
            ValueError: a URI that does not name a key, or fewer than one session.
            SignerError: no such module, token or key; a wrong PIN; a key of another kind.
        """
        named = KeyUri.parse(uri)
        if sessions < 1:
            raise ValueError("at least one session is needed")
        if pin is None and named.pin_source is not None:
            try:
                pin = named.pin_source.read_text(encoding="utf-8").rstrip("\r\n")
            except OSError as error:
                raise SignerError("the file with the PIN cannot be read") from error
        return cls(named, pin=pin, sessions=sessions)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Pkcs11Signer({self.public_key!r}, sessions={len(self._sessions)})"

    @property
    def custody(self) -> str:
        """Where the secret is."""
        return "pkcs11"

    def sign(self, message: bytes) -> bytes:
        """Signs a message; the signature has the form of the wire.

        Raises:
            SignerError: the token failed or refused, or was closed.
        """
        with self._session() as key:
            return self._sign_with(key, message)

    def sign_many(self, messages: Iterable[bytes]) -> list[bytes]:
        """Signs messages on all sessions at a time and returns the signatures in the messages' order.

        Each session takes the next message by itself, and calls into the token release Python's lock: the
        token never waits for us.

        Raises:
            SignerError: as `sign`; then nothing is returned.
        """
        work = list(messages)
        waiting: SimpleQueue[int] = SimpleQueue()
        for number in range(len(work)):
            waiting.put(number)
        signatures = [b""] * len(work)

        def serve() -> None:
            with self._session() as key, suppress(Empty):
                try:
                    while True:
                        number = waiting.get_nowait()
                        signatures[number] = self._sign_with(key, work[number])
                except SignerError:
                    with suppress(Empty):
                        while True:  # the other sessions stop as well
                            waiting.get_nowait()
                    raise

        if self._workers is None:
            self._workers = ThreadPoolExecutor(max(len(self._sessions), 1), thread_name_prefix="pkcs11")
        for served in [self._workers.submit(serve) for _ in range(max(len(self._sessions), 1))]:
            served.result()
        return signatures

    @contextmanager
    def _session(self) -> Iterator[Any]:
        """A private key on a session that nobody else uses."""
        try:
            key = self._idle.get(timeout=_PATIENCE if self._sessions else 0.0)
        except Empty as error:
            raise SignerError("no session of the token is free, or the signer was closed") from error
        try:
            yield key
        finally:
            self._idle.put(key)

    def _sign_with(self, key: Any, message: bytes) -> bytes:
        with _device(), self._turn:
            signature: bytes = key.sign(self._digest(message), mechanism=self._mechanism)
        if len(signature) != self.public_key.suite.signature_size:
            raise SignerError("the token returned a signature of another size")
        return signature

    def close(self) -> None:
        """Closes the sessions. Nothing can be signed afterwards."""
        if self._workers is not None:
            self._workers.shutdown()
            self._workers = None
        sessions, self._sessions = self._sessions, []
        while not self._idle.empty():
            self._idle.get_nowait()
        with _device():
            for session in sessions:
                session.close()

    def _check_pair(self) -> None:
        probe = b"ewallet: do both halves of this key belong together?" + secrets.token_bytes(16)
        if not self.public_key.verify(self.sign(probe), probe):
            raise SignerError("the token's public key does not belong to the private key of that name")


def _sha256(message: bytes) -> bytes:
    return hashlib.sha256(message).digest()


def _whole(message: bytes) -> bytes:
    return message


# --- the module ---------------------------------------------------------------------------------------------


class _InitializeArguments(ctypes.Structure):
    """CK_C_INITIALIZE_ARGS (PKCS#11 3.0, 5.4)."""

    _fields_: ClassVar = [
        ("functions", ctypes.c_void_p * 4),
        ("flags", ctypes.c_ulong),
        ("reserved", ctypes.c_void_p),
    ]


_OS_LOCKING: Final = 2  # CKF_OS_LOCKING_OK
_loading: Final = Lock()
_turns: Final[dict[Path, AbstractContextManager[object]]] = {}


def _library(uri: KeyUri) -> tuple[Any, AbstractContextManager[object]]:
    """The module, and what to hold during a call: nothing if the module locks by itself.

    `python-pkcs11` initializes a module for one thread only. So that several sessions can work at a time, a
    module that nobody else in this program uses is initialized again, with locking by the operating system.
    Where that is not possible, calls take turns.
    """
    package, path = _package(), uri.module
    if path is None:
        raise SignerError("the URI names no module: module-path is missing")
    with _loading:
        known = _turns.get(path)
        try:
            unused = known is None and _initialize(path)
            library = package.lib(str(path))
        except (RuntimeError, OSError, AttributeError) as error:
            raise SignerError("the PKCS#11 module cannot be loaded") from error
        if known is None:
            ready = unused and _initialize(path, again=True)
            known = _turns[path] = nullcontext() if ready else Lock()
        return library, known


def _initialize(path: Path, *, again: bool = False) -> bool:
    """Tries to initialize for threads; leaves the module as it was unless `again`."""
    module = ctypes.CDLL(str(path))
    arguments = _InitializeArguments(flags=_OS_LOCKING)
    if again:
        module.C_Finalize(None)
    done: bool = module.C_Initialize(ctypes.byref(arguments)) == 0
    if again and not done:
        module.C_Initialize(None)
    elif done and not again:
        module.C_Finalize(None)
    return done


# --- finding things on a token ------------------------------------------------------------------------------


def _token(library: Any, uri: KeyUri) -> Any:
    wanted: tuple[tuple[str | None, Callable[[Any], Any]], ...] = (
        (uri.token, lambda token: token.label),
        (uri.serial, lambda token: token.serial),
        (uri.manufacturer, lambda token: token.manufacturer_id),
        (uri.model, lambda token: token.model),
    )
    found = [
        token
        for slot in library.get_slots(token_present=True)
        if uri.slot is None or slot.slot_id == uri.slot
        for token in (slot.get_token(),)
        if all(value is None or value == _text(read(token)) for value, read in wanted)
    ]
    if len(found) != 1:
        raise SignerError(f"{len(found)} tokens fit the URI: exactly one must")
    return found[0]


def _text(value: Any) -> str:
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return text.rstrip("\0 ")


def _private(session: Any, uri: KeyUri) -> Any:
    attributes, classes = _package().Attribute, _package().ObjectClass
    wanted = {attributes.CLASS: classes.PRIVATE_KEY}
    if uri.label is not None:
        wanted[attributes.LABEL] = uri.label
    if uri.identifier is not None:
        wanted[attributes.ID] = uri.identifier
    found = list(session.get_objects(wanted))
    if len(found) != 1:
        raise SignerError(f"{len(found)} private keys fit the URI: exactly one must")
    return found[0]


def _public(session: Any, private: Any) -> PublicKey:
    """The public key beside a private one: same CKA_ID."""
    attributes, classes = _package().Attribute, _package().ObjectClass
    wanted = {attributes.CLASS: classes.PUBLIC_KEY, attributes.ID: private[attributes.ID]}
    found = list(session.get_objects(wanted))
    if len(found) != 1:
        raise SignerError(f"{len(found)} public keys have the private key's id: exactly one must")
    suite = _suite(private.key_type, private[attributes.EC_PARAMS])
    try:
        return PublicKey(suite, _raw(suite, found[0][attributes.EC_POINT]))
    except KeyMaterialError as error:
        raise SignerError("the token's public key cannot be used") from error


def _suite(kind: Any, parameters: bytes) -> Suite:
    kinds = _package().KeyType
    if kind is kinds.EC and parameters == _P256:
        return ES256
    if kind is kinds.EC_EDWARDS and parameters in _EDWARDS:
        return ED25519
    raise SignerError("a key of a kind that we do not use on tokens: neither P-256 nor Ed25519")


def _raw(suite: Suite, point: bytes) -> bytes:
    """CKA_EC_POINT is DER; some tokens give an Ed25519 key bare."""
    if suite is ED25519 and len(point) == suite.public_size:
        return point
    outer = der.Reader(point)
    encoded = outer.take(der.OCTET_STRING)
    outer.done()
    if suite is ED25519:
        return encoded
    if encoded[:1] != b"\x04":
        raise KeyMaterialError("not an uncompressed point")
    return encoded[1:]
