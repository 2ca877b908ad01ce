"""What all calls share: bodies within limits and time, problems in one form, headers, the log, the counts."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from traceback import extract_tb
from typing import TYPE_CHECKING, Any, Final

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from ewallet.errors import Malformed
from ewallet.wire import decode_json

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from ewallet.service.metrics import Metrics

    Handler = Callable[[Request], Awaitable[Response]]

LOG: Final = logging.getLogger("ewallet.service")

MAX_BODY: Final = 256 * 1024
"""Bytes of a call's JSON: four times the longest credential, or a record with a portrait."""

BODY_TIME: Final = 15.0
"""Seconds that a body may take to arrive: a slow sender must not hold a place."""

_SOURCES: Final = (
    "default-src 'none'",
    "script-src 'self' 'wasm-unsafe-eval'",  # a browser without `BarcodeDetector` reads codes in WebAssembly
    "style-src 'self'",
    "img-src 'self' blob: data:",
    "media-src 'self' blob:",
    "worker-src 'self' blob:",
    "connect-src 'self'",
    "font-src 'self'",
    "manifest-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
)
"""No third party, and no inline script."""

_HEADERS: Final = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(self), microphone=(), geolocation=()"),
    (
        "Content-Security-Policy",
        "; ".join(_SOURCES),
    ),
)
"""What every answer says to a browser."""


_ENCODED: Final = tuple((name.lower().encode(), value.encode()) for name, value in _HEADERS)


class Problem(Exception):
    """An answer that is not the one asked for, in the form of RFC 9457.

    Attributes:
        status: HTTP status code.
        title: one English sentence; never a personal value.
        more: further members.
        headers: further headers.
    """

    def __init__(
        self, status: int, title: str, *, headers: Mapping[str, str] | None = None, **more: Any
    ) -> None:
        super().__init__(title)
        self.status = status
        self.title = title
        self.more = more
        self.headers = dict(headers or {})

    def response(self) -> Response:
        """The answer, `application/problem+json`."""
        body = {"type": "about:blank", "status": self.status, "title": self.title, **self.more}
        return Response(
            json.dumps(body, ensure_ascii=False),
            self.status,
            media_type="application/problem+json",
            headers={"Cache-Control": "no-store", **self.headers},
        )


def answer(data: str | bytes | Mapping[str, Any] | list[Any], status: int = 200) -> Response:
    """An answer as JSON that no cache keeps: bytes in it as hex."""
    body = data if isinstance(data, str | bytes) else orjson.dumps(data, default=_plain)
    return Response(body, status, media_type="application/json", headers={"Cache-Control": "no-store"})


def _plain(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


async def read_body(request: Request, limit: int = MAX_BODY) -> bytes:
    """The body of a call.

    Raises:
        Problem: 413 longer than `limit`; 408 it did not arrive in time; 400 the caller went away.
    """
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > limit:
        raise Problem(413, "the body is larger than this call takes")
    pieces, size = [], 0
    try:
        async with asyncio.timeout(BODY_TIME):
            async for piece in request.stream():
                size += len(piece)
                if size > limit:
                    raise Problem(413, "the body is larger than this call takes")
                pieces.append(piece)
    except TimeoutError as error:
        raise Problem(408, "the body did not arrive in time") from error
    except ClientDisconnect as error:
        raise Problem(400, "the caller went away") from error
    return b"".join(pieces)


async def read_object(request: Request, limit: int = MAX_BODY) -> dict[str, Any]:
    """The body of a call as a JSON object, read strictly.

    Raises:
        Problem: 415 another content type, 400 not a JSON object, and as `read_body`.
    """
    if media_type(request) != "application/json":
        raise Problem(415, "this call takes application/json")
    try:
        data = decode_json(await read_body(request, limit), limit=limit)
    except Malformed as error:
        raise Problem(400, f"not JSON: {error.detail}") from error
    if not isinstance(data, dict):
        raise Problem(400, "a JSON object is needed")
    return data


def media_type(request: Request) -> str:
    """Content type of a call, without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def member(data: Mapping[str, Any], key: str, kind: type, *, default: Any = ...) -> Any:
    """A member of a JSON object, of one type.

    Raises:
        Problem: 422 missing, or of another type.
    """
    value = data.get(key, default)
    if value is ...:
        raise Problem(422, f"{key} is missing", field=key)
    if value is not default and type(value) is not kind:
        raise Problem(422, f"{key} is of another type", field=key)
    return value


_NOT_ANSWERED: Final = 0


def _note_bug(error: Exception) -> None:
    """Logs where an unexpected error happened; its message may quote what somebody sent, so not that."""
    places = [
        f"{step.filename.rpartition('/ewallet/')[2]}:{step.lineno}"
        for step in extract_tb(error.__traceback__)
    ]
    LOG.error(json.dumps({"bug": type(error).__name__, "at": places[-6:]}))


async def _handle(handler: Handler, scope: Scope, receive: Receive, send: Send) -> None:
    try:
        response = await handler(Request(scope, receive, send))
    except Problem as problem:
        response = problem.response()
    await response(scope, receive, send)


class Face:
    """The outermost layer: security headers, one line of log and one count for each call.

    Calls whose address is fixed are answered from here; the application's own layers and its search through
    all patterns, a third of what a verification costs, are for the others.

    Neither query nor body nor address of a call is logged: they may be personal.

    Args:
        app: the application.
        calls: handlers of calls with a fixed address, by method and address.
        metrics: where calls are counted.
        log: whether calls that went well are logged too.
    """

    def __init__(
        self, app: ASGIApp, *, calls: Mapping[tuple[str, str], Handler], metrics: Metrics, log: bool
    ) -> None:
        self._app = app
        self._calls = calls
        self._metrics = metrics
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one call."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), _NOT_ANSWERED

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                given = message["headers"]
                names = {name for name, _ in given}
                message["headers"] = [*given, *(each for each in _ENCODED if each[0] not in names)]
            await send(message)

        handler = self._calls.get((scope["method"], scope["path"]))
        try:
            if handler is None:
                await self._app(scope, receive, sending)
            else:
                await _handle(handler, scope, receive, sending)
        except Exception as error:  # noqa: BLE001 (the last place: what gets past it would be logged whole)
            _note_bug(error)
            if status == _NOT_ANSWERED:
                await Problem(500, "an error of the service").response()(scope, receive, sending)
        finally:
            self._note(scope, status, time.perf_counter() - began)

    def _note(self, scope: Scope, status: int, took: float) -> None:
        route = scope.get("ewallet.route", "(other)")
        self._metrics.count(scope["method"], route, status, took)
        if self._log or not 200 <= status < 400:
            line = {
                "at": round(time.time(), 3),
                "method": scope["method"],
                "route": route,
                "status": status,
                "ms": round(took * 1000, 2),
                "partner": scope.get("ewallet.partner", ""),
            }
            LOG.log(logging.ERROR if status >= 500 else logging.INFO, json.dumps(line))
