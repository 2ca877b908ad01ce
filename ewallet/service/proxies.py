"""What a proxy in front says of a caller: its address, and the client certificate that the proxy has checked.

TLS ends at the proxy. Only the proxy sees that a caller holds the key of its certificate, so only the proxy
may say so: the header counts on connections from the proxies' own addresses, and the proxy must overwrite
what a caller sends under that name (examples/deployment/nginx.conf). On other connections nobody looks at it.
"""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error as NotBase64
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_to_bytes

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from ewallet.errors import KeyMaterialError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from ipaddress import IPv4Network, IPv6Network

    from starlette.types import ASGIApp, Receive, Scope, Send

LOOPBACK: Final = ("127.0.0.1", "::1")

CERTIFICATE: Final = "ewallet.certificate"
"""Key of the scope: values of the header with the certificate, from a proxy."""

_MAX: Final = 32 * 1024
_BEGIN: Final = b"-----BEGIN CERTIFICATE-----"
_HEADER: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A client certificate, as far as doors look at it.

    Attributes:
        digest: SHA-256 of its DER, hex.
        start: first moment at which it is valid.
        end: last moment.
    """

    digest: str
    start: datetime
    end: datetime

    def valid(self, now: datetime) -> bool:
        """Whether a moment lies within its dates."""
        return self.start <= now <= self.end


def read_certificate(data: bytes) -> Certificate:
    """Reads one certificate, PEM or DER.

    Raises:
        KeyMaterialError: it is none, or more than one.
    """
    try:
        if _BEGIN in data:
            if data.count(_BEGIN) > 1:
                raise KeyMaterialError("more than one certificate")
            found = x509.load_pem_x509_certificate(data)
        else:
            found = x509.load_der_x509_certificate(data)
        return Certificate(
            digest=sha256(found.public_bytes(Encoding.DER)).hexdigest(),
            start=found.not_valid_before_utc,
            end=found.not_valid_after_utc,
        )
    except (ValueError, TypeError) as error:
        raise KeyMaterialError("not a certificate") from error


@lru_cache(maxsize=1024)
def certificate_of_header(value: bytes) -> Certificate:
    """The certificate in a header.

    Args:
        value: URL-escaped PEM (nginx: `$ssl_client_escaped_cert`), or a byte sequence in colons (RFC 9440,
            `Client-Cert`).

    Raises:
        KeyMaterialError: neither.
    """
    if len(value) > _MAX:
        raise KeyMaterialError("a certificate that is too long")
    value = value.strip()
    if value.startswith(b":") and value.endswith(b":") and len(value) > 1:
        try:
            return read_certificate(b64decode(value[1:-1], validate=True))
        except NotBase64 as error:
            raise KeyMaterialError("not a byte sequence") from error
    plain = unquote_to_bytes(value)
    if not plain.startswith(_BEGIN):
        raise KeyMaterialError("neither PEM nor a byte sequence")
    return read_certificate(plain)


def check_proxies(trusted: Sequence[str], header: str) -> tuple[IPv4Network | IPv6Network, ...]:
    """The networks of the proxies.

    Raises:
        ValueError: not an address, or not the name of a header.
    """
    if header and not _HEADER.fullmatch(header):
        raise ValueError("not the name of a header")
    return tuple(ip_network(each) for each in trusted)


class Proxies:
    """Takes from a proxy's headers who calls, and from nobody else's.

    Args:
        app: the application.
        trusted: addresses and networks of the proxies.
        header: name of the header with the client certificate; empty: there is none.

    Raises:
        ValueError: not an address, or not the name of a header.
    """

    def __init__(self, app: ASGIApp, *, trusted: Sequence[str], header: str = "") -> None:
        self._networks = check_proxies(trusted, header)
        self._header = header.lower().encode()
        # uvicorn's own takes the address; it is added here and not there, where the peer would be lost.
        self._inner = ProxyHeadersMiddleware(app, [str(each) for each in self._networks])  # type: ignore[arg-type]  # the same interface under other names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one call."""
        if self._header and scope["type"] == "http" and self._is_proxy(scope.get("client")):
            scope[CERTIFICATE] = tuple(
                value for name, value in scope["headers"] if name == self._header and value
            )
        await self._inner(scope, receive, send)  # type: ignore[arg-type]  # same

    def _is_proxy(self, peer: tuple[str, int] | None) -> bool:
        try:
            address = ip_address(peer[0]) if peer else None
        except ValueError:
            return False
        return address is not None and any(address in network for network in self._networks)
