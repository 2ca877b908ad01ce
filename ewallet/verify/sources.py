"""Where a verifier finds status lists: a directory (of a gate bundle), or a mirror over HTTP.

A source gives bytes only; who signed them and whether they are fresh is decided by `ewallet.verify.verifier`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from urllib.request import OpenerDirector

MAX_STATUS_TOKEN: Final = 1 << 20
"""Bytes of one signed list: 2^20 entries of 2 bits are 256 KiB before compression; twice that, twice over."""

TIMEOUT: Final = 5.0
"""Seconds to wait for a mirror: a clerk waits no longer."""


class StatusSource(Protocol):
    """Gives the signed status list of a URI."""

    def fetch(self, uri: str) -> bytes | None:
        """The signed list (CWT) published under a URI, or None if it is not to be had now."""


def path_of(uri: str) -> str | None:
    """Where the list of a URI lies in a directory or mirror: host and path, and `.cwt`.

    Returns None for a URI that names no plain https path: such a list is never fetched.

    >>> path_of("https://sh.ewallet.example/status/1")
    'sh.ewallet.example/status/1.cwt'
    >>> path_of("https://sh.ewallet.example/status/../x") is None
    True
    """
    try:
        parts = urlsplit(uri)
    except ValueError:
        return None
    steps = parts.path.split("/")[1:]
    plain = (
        parts.scheme == "https" and parts.hostname == parts.netloc and not parts.query and not parts.fragment
    )
    if not plain or not steps or any(not s or s.startswith(".") or "\\" in s or "%" in s for s in steps):
        return None
    return f"{parts.netloc}/{'/'.join(steps)}.cwt"


class StatusDirectory:
    """Signed lists in a directory, each at its host and path."""

    def __init__(self, directory: Path) -> None:
        self._root = directory.resolve()

    def fetch(self, uri: str) -> bytes | None:
        """The list of a URI, or None if there is no such file."""
        path = path_of(uri)
        if path is None:
            return None
        file = (self._root / path).resolve()
        if not file.is_relative_to(self._root):
            return None
        try:
            with file.open("rb") as stream:
                return stream.read(MAX_STATUS_TOKEN + 1)
        except OSError:
            return None


class StatusMirror:
    """Signed lists below one base URL; redirects are not followed."""

    def __init__(self, base: str) -> None:
        self._base = base.rstrip("/")
        self._opener: OpenerDirector | None = None

    def fetch(self, uri: str) -> bytes | None:
        """The list of a URI, or None if the mirror does not give it in time."""
        import urllib.request  # noqa: PLC0415  (not needed by a verifier without a network)

        path = path_of(uri)
        if path is None:
            return None
        if self._opener is None:

            class NoRedirect(urllib.request.HTTPRedirectHandler):
                def redirect_request(self, *_: object) -> None:
                    return None

            self._opener = urllib.request.build_opener(NoRedirect)
        try:
            with self._opener.open(f"{self._base}/{path}", timeout=TIMEOUT) as answer:
                body: bytes = answer.read(MAX_STATUS_TOKEN + 1)
                return body
        except (OSError, ValueError):
            return None


def status_source(place: str | Path) -> StatusSource:
    """The source for `--status`: a URL or a directory."""
    text = str(place)
    return StatusMirror(text) if text.startswith(("https://", "http://")) else StatusDirectory(Path(text))
