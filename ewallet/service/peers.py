"""Calls to other authorities' services: where they listen, and one call with a limit on time and size."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from ewallet.errors import Malformed
from ewallet.service.http import Problem
from ewallet.wire import decode_json

if TYPE_CHECKING:
    from collections.abc import Mapping

PATIENCE: Final = 10.0
"""Seconds to wait for another authority."""
MAX_ANSWER: Final = 16 * 1024 * 1024
"""Bytes of its answer: a copy with a portrait in full colour, many times."""


def address(owner: str, peers: Mapping[str, str], path: str) -> str:
    """Where the service of an authority listens: configured, or at the origin of its URI.

    Args:
        owner: URI of the authority.
        peers: addresses by the beginning of URIs; the longest beginning that fits counts.
        path: of the call.
    """
    known = [prefix for prefix in peers if owner.startswith(prefix)]
    if known:
        return peers[max(known, key=len)].rstrip("/") + path
    parts = urlsplit(owner)
    return f"{parts.scheme}://{parts.netloc}{path}"


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        """An authority answers itself: who is asked was decided by the lists."""


_OPENER: Final = urllib.request.build_opener(_NoRedirect)


def send(where: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """Calls another service; whatever it answers in JSON comes back, refusals too.

    Raises:
        Problem: 503: it does not answer, or with something else.
    """
    request = urllib.request.Request(  # noqa: S310 (configured, or an origin that the lists name)
        where, json.dumps(data).encode(), {"Content-Type": "application/json"}, method="POST"
    )
    try:
        try:
            with _OPENER.open(request, timeout=PATIENCE) as response:
                content = response.read(MAX_ANSWER + 1)
        except urllib.error.HTTPError as refused:
            content = refused.read(MAX_ANSWER + 1)
        found = decode_json(content, limit=MAX_ANSWER)
    except (OSError, ValueError, Malformed) as error:
        raise Problem(503, "the other authority does not answer") from error
    if not isinstance(found, dict):
        raise Problem(503, "the other authority does not answer")
    return found
