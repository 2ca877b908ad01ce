"""Signed lists as static files, with ETag and cache rules, so that a CDN can stand before the service.

What a name fixes for ever (a version or a digest in it) may be kept for ever; everything else is asked for
again after a minute, or always. Nothing here needs to be secret or believed: every file is signed.
"""

from __future__ import annotations

import json
import re
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final

from starlette.responses import Response

from ewallet.licenses.catalog import Catalog
from ewallet.service.http import Problem

if TYPE_CHECKING:
    from starlette.requests import Request

_FOR_EVER: Final = "public, max-age=31536000, immutable"
_MINUTE: Final = "public, max-age=60, must-revalidate"
_ALWAYS: Final = "public, no-cache"

_VERSIONED: Final = re.compile(r"(?:[0-9]+\.[0-9a-z_-]+\.json|[0-9a-f]{64}\..+)")
_STEP: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_TYPES: Final = {
    ".json": "application/json",
    ".cwt": "application/statuslist+cwt",
    ".toml": "application/toml",
}
_MAX_FILE: Final = 64 * 1024 * 1024


class Folder:
    """A directory of public files.

    Args:
        directory: the directory.
        cache: rule for a name that is not fixed for ever.
    """

    def __init__(self, directory: Path, *, cache: str = _MINUTE) -> None:
        self._directory = directory
        self._cache = cache
        self._tags: dict[str, tuple[int, int, str]] = {}

    def respond(self, request: Request, path: str) -> Response:
        """The file at a path below the directory.

        Raises:
            Problem: 404: there is no such file, or no such name is ever published.
        """
        steps = path.split("/")
        if not all(_STEP.fullmatch(step) for step in steps):
            raise Problem(404, "there is no such file")
        file = self._directory.joinpath(*steps)
        try:
            about = file.stat()
            if not file.is_file() or about.st_size > _MAX_FILE:
                raise Problem(404, "there is no such file")
            content = file.read_bytes()
        except OSError as error:
            raise Problem(404, "there is no such file") from error
        known = self._tags.get(path)
        if known is None or known[:2] != (about.st_mtime_ns, about.st_size):
            known = (about.st_mtime_ns, about.st_size, _tag(content))
            self._tags[path] = known
        kind = _TYPES.get(Path(path).suffix, "application/octet-stream")
        return _fresh(request, content, known[2], kind, self._rule(steps[-1]))

    def _rule(self, name: str) -> str:
        if name == "timestamp.json":
            return _ALWAYS
        return _FOR_EVER if _VERSIONED.fullmatch(name) else self._cache


@cache
def _catalog() -> tuple[bytes, str]:
    types = [
        {
            "key": type_.key,
            "code": type_.code,
            "version": type_.version,
            "names": {"zh": type_.zh, "en": type_.en},
            "fields": [
                {"key": spec.key, "zh": spec.zh, "en": spec.en, "type": spec.type.value}
                for spec in type_.fields
            ],
        }
        for type_ in Catalog.builtin()
    ]
    content = json.dumps({"types": types}, ensure_ascii=False).encode()
    return content, _tag(content)


def published_catalog(request: Request) -> Response:
    """The types of the built-in catalog: codes, names, fields."""
    content, tag = _catalog()
    return _fresh(request, content, tag, "application/json", _MINUTE)


def _tag(content: bytes) -> str:
    return f'"{sha256(content).hexdigest()[:32]}"'


def _fresh(request: Request, content: bytes, tag: str, kind: str, cache_rule: str) -> Response:
    """The content, or 304 for who has it already."""
    headers = {
        "ETag": tag,
        "Cache-Control": cache_rule,
        "Access-Control-Allow-Origin": "*",
        "Cross-Origin-Resource-Policy": "cross-origin",
    }
    if tag in re.split(r"\s*,\s*", request.headers.get("if-none-match", "")):
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=kind, headers=headers)
