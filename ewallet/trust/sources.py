"""Where list files come from: a directory, a bundle as zip, or a web server. Bytes only, nothing trusted.

`tuf.ngclient` asks for files through a fetcher; these are ours. Each remembers the last file asked for, so
that a refusal can say which file it was about.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import unquote, urlsplit

from ewallet.errors import TrustError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tuf.ngclient.fetcher import FetcherInterface

CHUNK: Final = 1 << 16
LOCAL: Final = "local:"
"""Prefix of the URLs under which a local source is asked for its files."""


class Source(Protocol):
    """Gives files of a repository by path: `metadata/timestamp.json`, `targets/31/<hash>.list.json`."""

    def read(self, path: str, limit: int) -> bytes | None:
        """At most `limit` bytes of a file; None if there is no such file.

        Raises:
            TrustError: `trust.stale`: the source cannot be reached; `trust.invalid`: the file is longer.
        """

    def fetcher(self) -> tuple[FetcherInterface, str]:
        """A fetcher for `tuf.ngclient` and the base URL of the repository, with a trailing slash."""


def _too_long(path: str) -> TrustError:
    return TrustError("trust.invalid", f"{path} is longer than any genuine file")


class DirectorySource:
    """A repository as a directory: `metadata/` and `targets/` inside, or inside `repository/` (a bundle)."""

    def __init__(self, directory: Path) -> None:
        """Takes the directory of a repository or of a gate bundle."""
        inner = directory / "repository"
        self._root = inner if inner.is_dir() else directory

    def chunks(self, path: str) -> Iterator[bytes] | None:
        """The file piece by piece; None if there is none."""
        # Paths come from signed metadata, but they are still only names under the root.
        place = self._root / path
        if ".." in Path(path).parts or not place.is_file():
            return None
        return _pieces(place)

    def read(self, path: str, limit: int) -> bytes | None:
        """See `Source`."""
        place = self._root / path
        if not place.is_file():
            return None
        if place.stat().st_size > limit:
            raise _too_long(path)
        return place.read_bytes()

    def fetcher(self) -> tuple[FetcherInterface, str]:
        """See `Source`."""
        return _local_fetcher(self), LOCAL


def _pieces(place: Path) -> Iterator[bytes]:
    with place.open("rb") as stream:
        while piece := stream.read(CHUNK):
            yield piece


class ZipSource:
    """A gate bundle as one zip file."""

    def __init__(self, file: Path) -> None:
        """Opens the zip.

        Raises:
            TrustError: `trust.invalid`: not a zip, or names that leave it.
        """
        try:
            self._zip = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, OSError) as error:
            raise TrustError("trust.invalid", "the bundle is not a zip file") from error
        self._names = frozenset(self._zip.namelist())
        if any(name.startswith("/") or ".." in name.split("/") for name in self._names):
            raise TrustError("trust.invalid", "the bundle has names that leave it")
        inner = "repository/metadata/timestamp.json" in self._names
        self._prefix = "repository/" if inner else ""

    def chunks(self, path: str) -> Iterator[bytes] | None:
        """The file piece by piece; None if there is none."""
        name = self._prefix + path
        if name not in self._names:
            return None
        return self._pieces(name)

    def _pieces(self, name: str) -> Iterator[bytes]:
        with self._zip.open(name) as stream:
            while piece := stream.read(CHUNK):
                yield piece

    def read(self, path: str, limit: int) -> bytes | None:
        """See `Source`."""
        name = self._prefix + path
        if name not in self._names:
            return None
        with self._zip.open(name) as stream:
            data = stream.read(limit + 1)
        if len(data) > limit:
            raise _too_long(path)
        return data

    def fetcher(self) -> tuple[FetcherInterface, str]:
        """See `Source`."""
        return _local_fetcher(self), LOCAL


def _local_fetcher(source: DirectorySource | ZipSource) -> FetcherInterface:
    from tuf.api.exceptions import DownloadHTTPError  # noqa: PLC0415 -- only a refresh needs TUF
    from tuf.ngclient.fetcher import FetcherInterface  # noqa: PLC0415

    class LocalFetcher(FetcherInterface):
        last = ""

        def _fetch(self, url: str) -> Iterator[bytes]:
            self.last = path = unquote(url.removeprefix(LOCAL))
            chunks = source.chunks(path)
            if chunks is None:
                raise DownloadHTTPError(f"{path} is not there", 404)
            return chunks

    return LocalFetcher()


class WebSource:
    """A repository on a web server: `<url>/metadata/...`, `<url>/targets/...`.

    Retries, with growing pauses, what a second try may cure; waits at most `timeout` for each step; uses the
    proxy it is given, or the one that the environment names (`https_proxy`, `no_proxy`).
    """

    def __init__(
        self, url: str, *, timeout: float = 10.0, retries: int = 3, proxy: str | None = None
    ) -> None:
        """Takes the URL of the repository and how to behave on the way."""
        self._url = url if url.endswith("/") else url + "/"
        self._timeout = timeout
        self._retries = retries
        self._proxy = proxy
        self._fetcher: FetcherInterface | None = None

    def close(self) -> None:
        """Closes its connections."""
        close = getattr(self._fetcher, "close", None)
        if close is not None:
            close()
        self._fetcher = None

    def read(self, path: str, limit: int) -> bytes | None:
        """See `Source`."""
        from tuf.api import exceptions  # noqa: PLC0415 -- only a refresh needs TUF

        fetcher, base = self.fetcher()
        try:
            return bytes(fetcher.download_bytes(base + path, limit))
        except exceptions.DownloadLengthMismatchError as error:
            raise _too_long(path) from error
        except exceptions.DownloadHTTPError as error:
            if error.status_code in (403, 404):
                return None
            raise TrustError("trust.stale", f"{path}: the server answers {error.status_code}") from error
        except exceptions.DownloadError as error:
            raise TrustError("trust.stale", f"{path}: the source cannot be reached") from error

    def fetcher(self) -> tuple[FetcherInterface, str]:
        """See `Source`."""
        if self._fetcher is None:
            proxy = _proxy_for(self._url) if self._proxy is None else self._proxy
            self._fetcher = _web_fetcher(self._timeout, self._retries, proxy)
        return self._fetcher, self._url


def _proxy_for(url: str) -> str:
    """The proxy that the environment names for a URL; empty if none."""
    from urllib.request import getproxies, proxy_bypass  # noqa: PLC0415 -- only the web needs it

    parts = urlsplit(url)
    return "" if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme, "")


def _web_fetcher(timeout: float, retries: int, proxy: str) -> FetcherInterface:
    import urllib3  # noqa: PLC0415 -- only the web needs it
    from tuf.api.exceptions import (  # noqa: PLC0415
        DownloadError,
        DownloadHTTPError,
        SlowRetrievalError,
    )
    from tuf.ngclient.fetcher import FetcherInterface  # noqa: PLC0415

    headers = {"User-Agent": "ewallet", "Accept-Encoding": "identity"}
    pool = urllib3.ProxyManager(proxy, headers=headers) if proxy else urllib3.PoolManager(headers=headers)
    policy = urllib3.Retry(
        total=retries,
        redirect=0,
        backoff_factor=0.2,
        status_forcelist=(429, 502, 503, 504),
        raise_on_status=False,
    )

    class WebFetcher(FetcherInterface):
        last = ""

        def close(self) -> None:
            pool.clear()

        def _fetch(self, url: str) -> Iterator[bytes]:
            self.last = url
            try:
                response = pool.request(
                    "GET", url, preload_content=False, timeout=urllib3.Timeout(timeout), retries=policy
                )
            except urllib3.exceptions.HTTPError as error:
                raise DownloadError(f"{url} cannot be reached") from error
            if response.status != 200:
                response.release_conn()
                raise DownloadHTTPError(f"the server answers {response.status}", response.status)
            return self._pieces(response)

        @staticmethod
        def _pieces(response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
            try:
                yield from response.stream(CHUNK)
            except urllib3.exceptions.TimeoutError as error:
                raise SlowRetrievalError("the server is too slow") from error
            except urllib3.exceptions.HTTPError as error:
                raise DownloadError("the connection broke") from error
            finally:
                response.release_conn()

    return WebFetcher()


def open_source(place: str | Path | Source) -> Source:
    """The source for a directory, a zip file or a URL.

    Raises:
        TrustError: `trust.invalid`: nothing is there, or not a zip.
    """
    if not isinstance(place, str | Path):
        return place
    if isinstance(place, str) and place.startswith(("https://", "http://")):
        return WebSource(place)
    path = Path(place)
    if path.is_dir():
        return DirectorySource(path)
    if path.is_file():
        return ZipSource(path)
    raise TrustError("trust.invalid", "no trust lists are there")
