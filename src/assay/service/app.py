"""The FastAPI application: routes, the guard before them, and the collector's life."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from assay import __version__
from assay.errors import AssayError
from assay.service.collect import Collect
from assay.service.collector import Collector
from assay.service.contracts import contract_routes
from assay.service.errands import Errands
from assay.service.forward import Forward
from assay.service.guard import Guard
from assay.service.line import Line
from assay.service.office import Office
from assay.service.openapi import COLLECT_PATHS
from assay.service.problems import problem, problem_of
from assay.service.reads import reads

__all__ = ["Pages", "create_app", "create_worker_app"]

_log = structlog.get_logger("assay")


class Pages(Protocol):
    """Pages for people, beside the API: routes, and a life of their own."""

    def start(self) -> None:
        """Begin; called where the event loop runs."""

    async def stop(self) -> None:
        """End."""

    def routes(self) -> Sequence[BaseRoute]:
        """What to add to the application."""


def create_app(
    make_office: Callable[[], Office],
    errands: Errands,
    *,
    make_pages: Callable[[Office], Pages] | None = None,
    no_pages: str = "",
    default_dataset: str | None = None,
    allowed_hosts: Iterable[str] = (),
    insecure: bool = False,
) -> FastAPI:
    """The application. `make_office` is called when it starts: nothing is opened before. `errands` end with it.

    Where the office is a collector, events are taken.

    `make_pages` makes the pages below `/ui`; where there are none, `no_pages` says why.

    Raises (when it starts):
        LogFailed, StoreFailed: the collector cannot begin.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        office = make_office()
        await office.start()
        if isinstance(office, Collector):
            _take_events(app, office, default_dataset, allowed_hosts, insecure=insecure)
        app.include_router(reads(office))
        app.include_router(contract_routes(office, errands))
        pages = None if make_pages is None else make_pages(office)
        if pages is not None:
            pages.start()
            app.router.routes.extend(pages.routes())
        else:
            app.router.routes.append(Route("/ui{rest:path}", no_ui, include_in_schema=False))
        try:
            yield
        finally:
            if pages is not None:
                await pages.stop()
            errands.stop()
            await office.stop()

    async def no_ui(_: Request) -> Response:
        return problem(501, no_pages or "this service has no pages")

    allowed_hosts = tuple(allowed_hosts)
    app = App(
        title="assay",
        version=__version__,
        summary="Collects events, holds them to their contract, keeps what it refuses.",
        lifespan=lifespan,
    )
    _protect(app, allowed_hosts, insecure=insecure)
    describe = app.openapi

    def openapi() -> dict[str, Any]:
        document = describe()
        document["paths"] = COLLECT_PATHS | document["paths"]
        return document

    app.openapi = openapi  # type: ignore[method-assign]
    return app


def create_worker_app(
    collector: Collector,
    line: Line,
    forward: Forward,
    *,
    default_dataset: str | None = None,
    allowed_hosts: Iterable[str] = (),
    insecure: bool = False,
) -> FastAPI:
    """The application of one of several workers: it takes events, and hands on all else."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await collector.start()
        _take_events(app, collector, default_dataset, allowed_hosts, insecure=insecure)
        app.router.routes.append(Mount("/", forward))
        told = asyncio.create_task(line.accompany(collector))
        try:
            yield
        finally:
            told.cancel()
            await collector.stop()

    allowed_hosts = tuple(allowed_hosts)
    app = App(lifespan=lifespan, openapi_url=None)
    _protect(app, allowed_hosts, insecure=insecure)
    return app


def _take_events(
    app: App, collector: Collector, default_dataset: str | None, allowed_hosts: Iterable[str], *, insecure: bool
) -> None:
    """Add the routes that take events."""

    def default() -> str | None:
        if default_dataset is not None:
            return default_dataset
        names = list(collector.enforced.judges)
        return names[0] if len(names) == 1 else None

    for name, store in (("collect", True), ("validate", False)):
        endpoint = Collect(collector, default, store=store)
        if store:
            app.collect = Guard(endpoint, allowed_hosts=allowed_hosts, insecure=insecure)
        app.router.routes[:0] = [
            Route(f"/{name}/{{dataset}}", endpoint, methods=["POST"], include_in_schema=False),
            Route(f"/{name}", endpoint, methods=["POST"], include_in_schema=False),
        ]


def _protect(app: FastAPI, allowed_hosts: Iterable[str], *, insecure: bool) -> None:
    """Turn away what may not come in, and let no error out as it is."""
    app.add_middleware(Guard, allowed_hosts=allowed_hosts, insecure=insecure)
    app.add_exception_handler(AssayError, _on_assay_error)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(RequestValidationError, _on_bad_parameter)
    app.add_exception_handler(Exception, _on_fault)


class App(FastAPI):
    """FastAPI, with a way past its routing for `POST /collect`: that costs more than all our own work on an event."""

    collect: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if self.collect is not None and scope["type"] == "http" and scope["method"] == "POST":
            path: str = scope["path"]
            if path == "/collect" or (path.startswith("/collect/") and "/" not in path[9:]):
                scope["path_params"] = {"dataset": path[9:]}
                try:
                    await self.collect(scope, receive, send)
                except Exception as fault:  # noqa: BLE001  no traceback reaches a user
                    response = await _on_fault(Request(scope), fault)
                    await response(scope, receive, send)
                return
        await super().__call__(scope, receive, send)


async def _on_assay_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, AssayError)
    return problem_of(error)


async def _on_http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return problem(error.status_code, str(error.detail), headers=error.headers)


async def _on_bad_parameter(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    reasons = (f"{each['loc'][-1]}: {each['msg']}" for each in error.errors())
    return problem(400, "; ".join(reasons))


async def _on_fault(request: Request, error: Exception) -> Response:
    _log.error("a fault of assay's own", path=request.url.path, exc_info=error)
    return problem(500, "a fault of assay's own; its log says more")
