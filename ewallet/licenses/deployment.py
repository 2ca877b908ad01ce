"""A deployment's file: which register, keys, types and authority belong together (`authority.toml`)."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from ewallet.errors import ConfigError
from ewallet.keys import SigningKey
from ewallet.licenses.catalog import Catalog
from ewallet.licenses.issuer import Authority, Issuer
from ewallet.licenses.numbers import uscc
from ewallet.licenses.register import Register

if TYPE_CHECKING:
    from pathlib import Path

_KEYS = frozenset({"register", "licenses_key", "status_key", "password_file", "catalog", "authority"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """What an issuing authority has on its disk.

    Attributes:
        register: URL of the register.
        licenses_key: key file for credentials and seals.
        status_key: key file for status lists.
        password_file: holds the password of both on its first line.
        catalog: directories of further types.
        authority: who issues.
    """

    register: str
    licenses_key: Path
    status_key: Path
    password_file: Path
    catalog: tuple[Path, ...]
    authority: Authority

    @classmethod
    def load(cls, file: Path) -> Deployment:
        """Reads the file; paths in it are relative to its own place.

        Raises:
            ConfigError: not TOML, or something is missing or unknown.
        """
        try:
            data = tomllib.loads(file.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"not TOML: {error}", file=str(file)) from error
        if data.keys() - _KEYS:
            raise ConfigError(f"unknown key '{min(data.keys() - _KEYS)}'", file=str(file))
        place = file.resolve().parent
        register = _text(data, "register", file)
        directories = data.get("catalog", [])
        if not isinstance(directories, list) or not all(isinstance(item, str) for item in directories):
            raise ConfigError("'catalog' is a list of directories", file=str(file))
        return cls(
            register=register if "://" in register else f"sqlite:///{place / register}",
            licenses_key=place / _text(data, "licenses_key", file),
            status_key=place / _text(data, "status_key", file),
            password_file=place / _text(data, "password_file", file),
            catalog=tuple(place / item for item in directories),
            authority=_authority(data.get("authority"), file),
        )

    def open(self, *, patience: float | None = None) -> Issuer:
        """The issuer at work: register opened, keys unlocked, types read.

        Args:
            patience: seconds to wait for the register's server; None: for ever.

        Raises:
            ConfigError: a type is wrong, or the password file is missing.
            KeyMaterialError: a key file or the password is wrong.
            RegisterError: the register cannot be opened.
        """
        try:
            password = self.password_file.read_text(encoding="utf-8").splitlines()[0]
        except (OSError, IndexError) as error:
            raise ConfigError("no password to be read", file=str(self.password_file)) from error
        return Issuer(
            signer=SigningKey.load(self.licenses_key, password),
            status_signer=SigningKey.load(self.status_key, password),
            catalog=Catalog.load(*self.catalog),
            register=Register.open(self.register, patience=patience),
            authority=self.authority,
        )


def _text(data: dict[str, Any], key: str, file: Path) -> str:
    value = data.get(key)
    if not isinstance(value, str) or not value:
        raise ConfigError(f"'{key}' is missing", file=str(file))
    return value


def _authority(data: object, file: Path) -> Authority:
    names = [item.name for item in fields(Authority)]
    if not isinstance(data, dict) or set(data) != set(names):
        raise ConfigError(f"[authority] needs {', '.join(names)}", file=str(file))
    authority = Authority(**{name: _text(data, name, file) for name in names})
    if not uscc.is_valid(authority.uscc):
        raise ConfigError("[authority] uscc is not a valid code", file=str(file))
    return authority
