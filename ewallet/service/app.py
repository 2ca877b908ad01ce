"""The application: which call goes where."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request  # noqa: TC002 (FastAPI reads the handlers' annotations)
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from ewallet import __version__
from ewallet.errors import EwalletError
from ewallet.service import examples
from ewallet.service.http import LOG, Face, Problem, answer
from ewallet.service.metrics import Metrics
from ewallet.service.publishing import Folder
from ewallet.service.verifying import Counter
from ewallet.verify.guards import open_guard
from ewallet.verify.terminal import Place, Terminal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from ewallet.service.settings import Settings

    Handler = Callable[[Request], Awaitable[Response]]

STATIC: Final = Path(__file__).parent / "static"
"""The pages: counter and holder."""


class _Pages(StaticFiles):
    """The pages: nothing of them is kept in a browser."""

    async def get_response(self, path: str, scope: Any) -> Response:
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "no-store"
        return response


def create_app(settings: Settings) -> FastAPI:
    """The service of one process.

    Raises:
        ConfigError: settings that do not fit together.
        Refused: `replay.unavailable`: the guard does not answer.
    """
    now = settings.now()
    guard = open_guard(settings.guard, state=settings.state, name="ewallet", now=now)
    terminal = Terminal(
        Place(
            bundle=settings.bundle,
            state=settings.state,
            policy=settings.policy,
            root=settings.root,
            status=settings.status,
        ),
        guard=guard,
        name=settings.name,
        now=now,
    )
    metrics = Metrics()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        task = asyncio.create_task(_keep_fresh(terminal, settings))
        try:
            yield
        finally:
            task.cancel()

    app = FastAPI(
        title="ewallet",
        version=__version__,
        description="Verify, issue, retrieve and share electronic licenses and identity codes.",
        lifespan=lifespan,
        docs_url=None,  # its page would load scripts of a third party
        redoc_url=None,
    )
    _add_counter(app, Counter(terminal=terminal, settings=settings, metrics=metrics))
    _add_publishing(app, settings)
    _add_operating(app, terminal, settings, metrics)
    _add_problems(app)
    app.mount("/", _Pages(directory=STATIC, html=True, check_dir=False))
    app.add_middleware(Face, metrics=metrics, log=settings.log)
    return app


async def _keep_fresh(terminal: Terminal, settings: Settings) -> None:
    while True:
        await asyncio.sleep(settings.refresh)
        try:
            fresh = await run_in_threadpool(terminal.refresh, settings.now())
        except EwalletError as error:
            LOG.error("the policy does not fit the lists: %s", error)
            continue
        if not fresh:
            LOG.warning("the newest lists were not taken: %s", terminal.problem)


def _route(app: FastAPI, method: str, path: str, handler: Handler, *, tag: str, **documented: Any) -> None:
    """Adds a call. Handlers read their own bodies: the strict reader of the package is the only door."""

    async def handle(request: Request) -> Response:
        return await handler(request)

    handle.__doc__ = handler.__doc__
    app.add_api_route(
        path,
        handle,
        methods=[method],
        tags=[tag],
        operation_id=f"{method.lower()}{path.replace('/', '_').replace('{', '').replace('}', '')}",
        summary=documented.pop("summary"),
        response_model=None,
        response_class=Response,
        status_code=documented.pop("status", 200),
        responses=documented.pop("responses", {}),
        openapi_extra=documented,
    )


def _add_counter(app: FastAPI, counter: Counter) -> None:
    _route(app, "POST", "/v1/verify", counter.verify, tag="counter", **examples.VERIFY)
    _route(app, "POST", "/v1/challenge", counter.challenge, tag="counter", **examples.CHALLENGE)
    _route(app, "GET", "/v1/state", counter.state, tag="counter", **examples.STATE)


def _add_publishing(app: FastAPI, settings: Settings) -> None:
    repository = Folder(settings.bundle / "repository")
    status = Folder(settings.bundle / "status")

    async def lists(request: Request) -> Response:
        return await run_in_threadpool(repository.respond, request, request.path_params["path"])

    async def states(request: Request) -> Response:
        return await run_in_threadpool(status.respond, request, request.path_params["path"])

    _route(app, "GET", "/repository/{path:path}", lists, tag="lists", **examples.REPOSITORY)
    if not settings.status.startswith(("http://", "https://")):
        if settings.status:
            status = Folder(Path(settings.status))
        _route(app, "GET", "/status/{path:path}", states, tag="lists", **examples.STATUS)


def _add_operating(app: FastAPI, terminal: Terminal, settings: Settings, metrics: Metrics) -> None:
    async def healthz(request: Request) -> Response:
        del request
        state = await run_in_threadpool(terminal.describe, settings.now())
        return answer({"status": "degraded" if state["degraded"] else "ok", **state})

    async def counts(request: Request) -> Response:
        del request
        return Response(metrics.text(), media_type="text/plain; version=0.0.4")

    _route(app, "GET", "/healthz", healthz, tag="operating", **examples.HEALTH)
    _route(app, "GET", "/metrics", counts, tag="operating", **examples.METRICS)


def _add_problems(app: FastAPI) -> None:
    async def problem(request: Request, error: Exception) -> Response:
        del request
        assert isinstance(error, Problem)
        return error.response()

    async def foreign(request: Request, error: Exception) -> Response:
        del request
        assert isinstance(error, HTTPException)
        return Problem(error.status_code, error.detail, headers=error.headers).response()

    async def bug(request: Request, error: Exception) -> Response:
        # The message of an unexpected error may quote what somebody sent: only its type is logged.
        LOG.error(
            "unexpected %s in %s", type(error).__name__, getattr(request.scope.get("route"), "path", "")
        )
        return Problem(500, "an error of the service").response()

    app.add_exception_handler(Problem, problem)
    app.add_exception_handler(HTTPException, foreign)
    app.add_exception_handler(Exception, bug)
