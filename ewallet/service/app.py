"""The application: which call goes where."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request  # noqa: TC002 (FastAPI reads the handlers' annotations)
from starlette.responses import Response
from starlette.routing import Route
from starlette.staticfiles import StaticFiles

from ewallet import __version__
from ewallet.databases import PATIENCE
from ewallet.licenses.deployment import Deployment
from ewallet.licenses.render import Faces
from ewallet.licenses.sharing import Supplier, load_bases
from ewallet.licenses.sharing import UseLog as SharedUses
from ewallet.licenses.trails import Trails
from ewallet.service import examples
from ewallet.service.chores import Chores
from ewallet.service.confirming import SecondOfficer
from ewallet.service.deciding import Decisions
from ewallet.service.doors import COUNTER, ISSUE, READ, SHARE, WATCH, Doors
from ewallet.service.http import Face, Problem
from ewallet.service.issuing import Agency
from ewallet.service.metrics import Metrics
from ewallet.service.objecting import Objections
from ewallet.service.proxies import Proxies
from ewallet.service.publishing import Folder, published_catalog
from ewallet.service.receipting import Desk, Ratings
from ewallet.service.retrieving import Exchange
from ewallet.service.spending import Till
from ewallet.service.verifying import Counter
from ewallet.service.watching import Watch
from ewallet.verify.guards import open_guard
from ewallet.verify.ratings import RatingService
from ewallet.verify.receipts import UseLog
from ewallet.verify.terminal import Place, Terminal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ewallet.licenses.issuer import Issuer
    from ewallet.service.doors import Role
    from ewallet.service.http import Handler
    from ewallet.service.settings import Settings
    from ewallet.verify.replay import ReplayGuard

STATIC: Final = Path(__file__).parent / "static"
"""The pages: counter and holder."""

_KNOWN: Final[list[dict[str, list[str]]]] = [{"key": []}, {"certificate": []}]
"""What makes a partner known, for `/openapi.json`."""


class _Pages(StaticFiles):
    """The pages: nothing of them is kept in a browser."""

    async def get_response(self, path: str, scope: Any) -> Response:
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "no-store"
        return response


def create_app(settings: Settings, *, supplying: Issuer | None = None) -> FastAPI:
    """The service of one process.

    Args:
        settings: how it is started.
        supplying: an authority at work elsewhere in this process, whose licenses are shared here; without it,
            those of `settings.agency`.

    Raises:
        ConfigError: settings that do not fit together.
        RegisterError: the register cannot be opened.
        Refused: `replay.unavailable`: the guard does not answer.
    """
    now = settings.now()
    doors = Doors(settings.partners, open_counter=settings.open_counter, now=settings.now)
    issuer = Deployment.load(settings.agency).open(patience=PATIENCE) if settings.agency else None
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
    desk = None
    if settings.record:
        settings.state.mkdir(parents=True, exist_ok=True)
        desk = Desk(
            log=UseLog(settings.uses or settings.state / "uses.sqlite"), terminal=terminal, settings=settings
        )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        chores = Chores(
            terminal=terminal, doors=doors, settings=settings, issuer=issuer, log=desk.log if desk else None
        )
        task = asyncio.create_task(chores.run())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            if issuer is not None:
                issuer.register.close()

    app = FastAPI(
        title="ewallet",
        version=__version__,
        description="Verify, issue, retrieve and share electronic licenses and identity codes.",
        lifespan=lifespan,
        docs_url=None,  # its page would load scripts of a third party
        redoc_url=None,
    )
    calls = _Calls(app, doors)
    _add_counter(
        calls, Counter(terminal=terminal, settings=settings, metrics=metrics, till=Till(guard), desk=desk)
    )
    decisions = Decisions(terminal=terminal, settings=settings, metrics=metrics, guard=guard, desk=desk)
    calls.add("POST", "/v1/decisions", decisions.decide, roles=COUNTER, tag="counter", **examples.DECIDE)
    if settings.ratings:
        _add_ratings(calls, Ratings(service=RatingService(settings.ratings), settings=settings))
    _add_publishing(calls, settings)
    if issuer is not None:
        _add_agency(calls, Agency(issuer=issuer, settings=settings))
        trails = Trails(issuer.register)
        _add_objections(calls, Objections(terminal=terminal, settings=settings, trails=trails))
    _add_exchange(calls, _exchange(terminal, settings, guard, supplying or issuer))
    _add_operating(
        calls, Watch(terminal=terminal, settings=settings, metrics=metrics, guard=guard, issuer=issuer)
    )
    _add_problems(app)
    _add_scheme(app)
    app.mount("/", _Pages(directory=STATIC, html=True, check_dir=False))
    app.add_middleware(Face, calls=calls.fixed, metrics=metrics, log=settings.log)
    app.add_middleware(Proxies, trusted=settings.proxies, header=settings.certificate_header)
    return app


def _exchange(terminal: Terminal, settings: Settings, guard: ReplayGuard, issuer: Issuer | None) -> Exchange:
    if issuer is None:
        return Exchange(terminal=terminal, settings=settings, guard=guard)
    uses = SharedUses(issuer.register)
    bases = load_bases(settings.bases) if settings.bases else {}
    supplier = Supplier(issuer=issuer, faces=Faces.builtin(), uses=uses, bases=bases)
    return Exchange(terminal=terminal, settings=settings, guard=guard, supplier=supplier, uses=uses)


class _Calls:
    """Adds calls to the application, each behind its door.

    Handlers read their own bodies: the strict reader of the package is the only door for foreign bytes.
    """

    def __init__(self, app: FastAPI, doors: Doors) -> None:
        self._app = app
        self._doors = doors
        self.fixed: dict[tuple[str, str], Handler] = {}

    def add(
        self,
        method: str,
        path: str,
        handler: Handler,
        *,
        roles: frozenset[Role] | None,
        tag: str,
        **documented: Any,
    ) -> None:
        """Adds a call; `roles` None: open to everybody."""
        doors = self._doors

        async def handle(request: Request) -> Response:
            request.scope["ewallet.route"] = path
            if roles is not None:
                doors.admit(request, roles)
            elif method == "POST":
                doors.admit_anybody(request)
            return await handler(request)

        # These answer: FastAPI's own reading of bodies and answers is not used here, and its route below only
        # describes the call in `/openapi.json`.
        if "{" in path:
            self._app.router.routes.append(Route(path, handle, methods=[method]))
        else:
            self.fixed[method, path] = handle
            if method == "GET":
                self.fixed["HEAD", path] = handle  # the server sends no body then
        if roles is not None:
            documented.setdefault("security", [*_KNOWN, {}] if roles is COUNTER else _KNOWN)
        name = path.replace("/", "_").replace("{", "").replace("}", "").replace(":path", "")
        self._app.add_api_route(
            path,
            handle,
            methods=[method],
            tags=[tag],
            operation_id=f"{method.lower()}{name}",
            summary=documented.pop("summary"),
            response_model=None,
            response_class=Response,
            status_code=documented.pop("status", 200),
            responses=documented.pop("responses", {}),
            openapi_extra=documented,
        )


def _add_counter(calls: _Calls, counter: Counter) -> None:
    calls.add("POST", "/v1/verify", counter.verify, roles=COUNTER, tag="counter", **examples.VERIFY)
    calls.add("POST", "/v1/challenge", counter.challenge, roles=COUNTER, tag="counter", **examples.CHALLENGE)
    calls.add("POST", "/v1/request", counter.request, roles=COUNTER, tag="counter", **examples.REQUEST)
    calls.add("GET", "/v1/state", counter.state, roles=COUNTER, tag="counter", **examples.STATE)


def _add_publishing(calls: _Calls, settings: Settings) -> None:
    repository = Folder(settings.bundle / "repository")

    async def lists(request: Request) -> Response:
        return await run_in_threadpool(repository.respond, request, request.path_params["path"])

    async def types(request: Request) -> Response:
        return await run_in_threadpool(published_catalog, request)

    calls.add("GET", "/repository/{path:path}", lists, roles=None, tag="lists", **examples.REPOSITORY)
    calls.add("GET", "/v1/catalog", types, roles=None, tag="lists", **examples.CATALOG)
    if settings.status.startswith(("http://", "https://")):
        return  # a mirror publishes them itself
    status = Folder(Path(settings.status) if settings.status else settings.bundle / "status")

    async def states(request: Request) -> Response:
        return await run_in_threadpool(status.respond, request, request.path_params["path"])

    calls.add("GET", "/status/{path:path}", states, roles=None, tag="lists", **examples.STATUS)


def _add_agency(calls: _Calls, agency: Agency) -> None:
    for method, path, handler, roles, documented in (
        ("POST", "/v1/licenses", agency.issue, ISSUE, examples.ISSUE),
        ("POST", "/v1/licenses/show", agency.show, READ, examples.SHOW),
        ("POST", "/v1/licenses/{act}", agency.change, ISSUE, examples.CHANGE),
        ("POST", "/v1/bindings/nonce", agency.nonce, ISSUE, examples.NONCE),
        ("POST", "/v1/bindings", agency.bind, ISSUE, examples.BIND),
        ("GET", "/v1/events", agency.feed, READ, examples.EVENTS),
        ("POST", "/v1/jobs", agency.start_job, ISSUE, examples.JOB_START),
        ("GET", "/v1/jobs/{job}", agency.job, ISSUE, examples.JOB),
        ("GET", "/v1/jobs/{job}/{file}", agency.job_file, ISSUE, examples.JOB_FILE),
        ("POST", "/v1/number", agency.number, COUNTER, examples.NUMBER),
    ):
        calls.add(method, path, handler, roles=roles, tag="agency", **documented)
    second = SecondOfficer(confirmations=agency.confirmations, settings=agency.settings)
    for path, handler, roles, documented in (
        ("/v1/confirmations", second.waiting, READ, examples.CONFIRMATIONS),
        ("/v1/confirmations/confirm", second.confirm, ISSUE, examples.CONFIRM),
        ("/v1/confirmations/reject", second.reject, ISSUE, examples.REJECT),
    ):
        calls.add("POST", path, handler, roles=roles, tag="agency", **documented)


def _add_objections(calls: _Calls, objections: Objections) -> None:
    for method, path, handler, roles, documented in (
        ("POST", "/v1/objections", objections.start, SHARE, examples.OBJECTION),
        ("GET", "/v1/objections", objections.show, READ, examples.OBJECTIONS),
        ("POST", "/v1/objections/answer", objections.answer, ISSUE, examples.OBJECTION_ANSWER),
        ("POST", "/v1/objections/close", objections.close, SHARE, examples.OBJECTION_CLOSE),
        ("POST", "/v1/objections/send", objections.send, SHARE, examples.OBJECTION_SEND),
        ("POST", "/v1/objections/trails", objections.receive, None, examples.TRAIL),
    ):
        calls.add(method, path, handler, roles=roles, tag="objections", **documented)


def _add_ratings(calls: _Calls, ratings: Ratings) -> None:
    for path, handler, roles, documented in (
        ("/v1/ratings", ratings.rate, None, examples.RATE),
        ("/v1/ratings/mine", ratings.outcome, None, examples.RATING_MINE),
        ("/v1/ratings/tokens", ratings.register, SHARE, examples.RATING_TOKEN),
        ("/v1/ratings/totals", ratings.totals, SHARE | WATCH, examples.RATING_TOTALS),
        ("/v1/ratings/cases", ratings.cases, SHARE | WATCH, examples.RATING_CASES),
        ("/v1/ratings/corrections", ratings.correct, SHARE, examples.RATING_CORRECTION),
    ):
        calls.add("POST", path, handler, roles=roles, tag="ratings", **documented)


def _add_exchange(calls: _Calls, exchange: Exchange) -> None:
    calls.add("POST", "/v1/retrieve", exchange.retrieve, roles=SHARE, tag="sharing", **examples.RETRIEVE)
    # An ask and a proof are signed: the lists and the register say whose they are, and no key is needed.
    calls.add("POST", "/v1/supply", exchange.supply, roles=None, tag="sharing", **examples.SUPPLY)
    calls.add("POST", "/v1/uses", exchange.holder_uses, roles=None, tag="sharing", **examples.USES)


def _add_operating(calls: _Calls, watch: Watch) -> None:
    calls.add("GET", "/healthz", watch.health, roles=None, tag="operating", **examples.HEALTH)
    calls.add("GET", "/metrics", watch.counts, roles=COUNTER, tag="operating", **examples.METRICS)


def _add_problems(app: FastAPI) -> None:
    async def problem(request: Request, error: Exception) -> Response:
        del request
        assert isinstance(error, Problem)
        return error.response()

    async def foreign(request: Request, error: Exception) -> Response:
        del request
        assert isinstance(error, HTTPException)
        return Problem(error.status_code, error.detail, headers=error.headers).response()

    app.add_exception_handler(Problem, problem)
    app.add_exception_handler(HTTPException, foreign)


def _add_scheme(app: FastAPI) -> None:
    """Names the API key and the client certificate in `/openapi.json`."""
    plain = app.openapi

    def described() -> dict[str, Any]:
        schema = plain()
        schema.setdefault("components", {})["securitySchemes"] = {
            "key": {"type": "http", "scheme": "bearer"},
            "certificate": {"type": "mutualTLS"},
        }
        return schema

    app.openapi = described  # type: ignore[method-assign]  # the way that FastAPI documents
