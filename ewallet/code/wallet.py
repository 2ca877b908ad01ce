"""A wallet file: passes and their software device keys, encrypted. For development and trials.

On phones the device keys live in the phone's keystore; a file like this one says in its first line that its
keys are software keys. A pass that was shown at one venue is not shown at another: `choose` keeps that rule,
so that two venues never see the same pass.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ewallet.code.passes import Pass
from ewallet.errors import KeyMaterialError, Malformed, NotFound
from ewallet.keys import SigningKey
from ewallet.moments import seconds
from ewallet.wire import b64u_decode, decode_cbor, encode_cbor

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from pathlib import Path

FIRST_LINE: Final = b"ewallet wallet 1, SOFTWARE KEYS, for development and trials only\n"
MAX_FILE: Final = 1 << 24
_SALT, _NONCE, _KEY = 16, 12, 32
_SCRYPT_N: Final = 2**15
"""32 MiB and about 0.1 s for each guess of the password (RFC 7914)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A pass with its device key.

    Attributes:
        made: the pass.
        device: its device key.
        shown_at: venue or scene that it was shown to; empty: not yet shown.
    """

    made: Pass
    device: SigningKey
    shown_at: str = ""


class Wallet:
    """Passes of one person.

    Args:
        held: passes with their device keys.
    """

    def __init__(self, held: Iterable[Held] = ()) -> None:
        self._held = list(held)

    def __len__(self) -> int:
        return len(self._held)

    @property
    def passes(self) -> tuple[Pass, ...]:
        """All passes, used or not."""
        return tuple(each.made for each in self._held)

    @property
    def unshown(self) -> tuple[Pass, ...]:
        """The passes that no venue has seen."""
        return tuple(each.made for each in self._held if not each.shown_at)

    def add(self, made: Pass, device: SigningKey) -> None:
        """Adds a fresh pass.

        Raises:
            KeyMaterialError: the key is not the one that the pass names.
        """
        if device.public_key != made.device_key:
            raise KeyMaterialError("another key than the pass names")
        self._held.append(Held(made=made, device=device))

    def choose(self, scene: str, *, audience: str, now: datetime) -> tuple[Pass, SigningKey]:
        """A pass to show: the one that this audience has seen today, else one that nobody has seen.

        Raises:
            NotFound: none is left for this scene: fetch passes.
        """
        fitting = [
            (position, each)
            for position, each in enumerate(self._held)
            if each.made.covers(now) and scene in each.made.scenes and each.shown_at in ("", audience)
        ]
        if not fitting:
            raise NotFound(f"no pass is left for the scene {scene}")
        # The one this audience knows comes first; among fresh ones, the narrowest.
        position, best = min(fitting, key=lambda item: (not item[1].shown_at, len(item[1].made.scenes)))
        self._held[position] = Held(made=best.made, device=best.device, shown_at=audience)
        return best.made, best.device

    def forget(self, *, now: datetime) -> int:
        """Removes passes that have ended, with their keys; how many."""
        before = len(self._held)
        moment = seconds(now)
        self._held = [each for each in self._held if each.made.ends_at > moment]
        return before - len(self._held)

    def clear(self) -> int:
        """Removes all passes, with their keys; how many."""
        before = len(self._held)
        self._held = []
        return before

    # --- file -----------------------------------------------------------------------------------------------

    def save(self, path: Path, password: str) -> None:
        """Writes the wallet, encrypted with AES-256-GCM under scrypt; readable by its owner only."""
        content = [
            [each.made.credential, each.device.public_key.suite.name, _secret(each.device), each.shown_at]
            for each in self._held
        ]
        salt, nonce = os.urandom(_SALT), os.urandom(_NONCE)
        sealed = _cipher(password, salt).encrypt(nonce, encode_cbor(content), FIRST_LINE)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(FIRST_LINE + salt + nonce + sealed)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)

    @classmethod
    def open(cls, path: Path, password: str) -> Wallet:
        """Reads a wallet file.

        Raises:
            KeyMaterialError: not a wallet file, altered, or a wrong password.
        """
        data = path.read_bytes()
        if not data.startswith(FIRST_LINE) or len(data) > MAX_FILE:
            raise KeyMaterialError("not a wallet file")
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - only who opens a wallet pays

        body = data[len(FIRST_LINE) :]
        salt, nonce, sealed = body[:_SALT], body[_SALT : _SALT + _NONCE], body[_SALT + _NONCE :]
        try:
            content = _cipher(password, salt).decrypt(nonce, sealed, FIRST_LINE)
            rows = decode_cbor(content, limit=MAX_FILE, own=True)
            return cls(_held(row) for row in rows)
        except (InvalidTag, Malformed, ValueError, TypeError) as error:
            raise KeyMaterialError("a wrong password, or an altered wallet file") from error


def _secret(key: SigningKey) -> str:
    return key.unsafe_to_jwk()["d"]


def _held(row: Any) -> Held:
    credential, suite, secret, shown_at = row
    device = SigningKey(suite, b64u_decode(secret))
    return Held(made=Pass(credential), device=device, shown_at=shown_at)


def _cipher(password: str, salt: bytes) -> Any:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - as above
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt  # noqa: PLC0415 - as above

    if not password:
        raise KeyMaterialError("a wallet needs a password")
    kdf = Scrypt(salt=salt, length=_KEY, n=_SCRYPT_N, r=8, p=1)
    return AESGCM(kdf.derive(password.encode()))
