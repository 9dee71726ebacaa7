"""The FastAPI application: routes, the guard before them, and the collector's life."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
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
from assay.ingest.logs import id_of
from assay.service.collect import Collect
from assay.service.collector import Collector
from assay.service.contracts import contract_routes
from assay.service.errands import Errands
from assay.service.forward import Forward
from assay.service.guard import Door, Guard
from assay.service.line import Line
from assay.service.office import Office
from assay.service.openapi import COLLECT_PATHS, secured
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
    door: Door,
    *,
    log: Path,
    make_pages: Callable[[Office], Pages] | None = None,
    no_pages: str = "",
    default_dataset: str | None = None,
) -> FastAPI:
    """The application. `make_office` is called when it starts: nothing is opened before. `errands` end with it.

    Where the office is a collector, events are taken.

    `door` says who may come in, `log` where the office's log is, or the first of them.

    `make_pages` makes the pages below `/ui`; where there are none, `no_pages` says why.

    Raises (when it starts):
        LogFailed, StoreFailed: the collector cannot begin.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        door.keyring.look()
        office = make_office()
        await office.start()
        if isinstance(office, Collector):
            _take_events(app, office, door, default_dataset)
        app.include_router(reads(office, door.keyring, id_of(log)))
        app.include_router(contract_routes(office, errands))
        watching = asyncio.create_task(door.keyring.watch())
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
            await _ended(watching)

    async def no_ui(_: Request) -> Response:
        return problem(501, no_pages or "this service has no pages")

    app = App(
        title="assay",
        version=__version__,
        summary="Collects events, holds them to their contract, keeps what it refuses.",
        lifespan=lifespan,
    )
    app.add_middleware(Guard, door=door)
    _answer_errors(app)
    describe = app.openapi

    def openapi() -> dict[str, Any]:
        document = describe()
        document["paths"] = COLLECT_PATHS | document["paths"]
        return secured(document, is_asked=door.keyring.is_asked, metrics_key=door.metrics_key)

    app.openapi = openapi  # type: ignore[method-assign]
    return app


def create_worker_app(
    collector: Collector, line: Line, forward: Forward, door: Door, *, default_dataset: str | None = None
) -> FastAPI:
    """The application of one of several workers: it takes events, and hands on all else, for the head to say who may."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        door.keyring.look()
        await collector.start()
        _take_events(app, collector, door, default_dataset)
        app.router.routes.append(Mount("/", forward))
        tasks = [asyncio.create_task(each) for each in (line.accompany(collector), door.keyring.watch())]
        try:
            yield
        finally:
            tasks[0].cancel()
            await collector.stop()
            for task in tasks:
                await _ended(task)

    app = App(lifespan=lifespan, openapi_url=None)
    _answer_errors(app)
    return app


async def _ended(task: asyncio.Task[None]) -> None:
    """A task that goes on for ever is told to end, and does."""
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def _take_events(app: App, collector: Collector, door: Door, default_dataset: str | None) -> None:
    """Add the routes that take events, each behind the guard."""

    def default() -> str | None:
        if default_dataset is not None:
            return default_dataset
        names = list(collector.enforced.judges)
        return names[0] if len(names) == 1 else None

    for name, store in (("collect", True), ("validate", False)):
        collect = Collect(collector, default, store=store)
        endpoint = Guard(collect, door, collector.metrics.count_refused) if store else Guard(collect, door)
        if store:
            app.collect = endpoint
        app.router.routes[:0] = [
            Route(f"/{name}/{{dataset}}", endpoint, methods=["POST"], include_in_schema=False),
            Route(f"/{name}", endpoint, methods=["POST"], include_in_schema=False),
        ]


def _answer_errors(app: FastAPI) -> None:
    """Answer every error with a problem document."""
    app.add_exception_handler(AssayError, _on_assay_error)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(RequestValidationError, _on_bad_parameter)
    app.add_exception_handler(Exception, _on_fault)


class App(FastAPI):
    """FastAPI, with a way past its routing for `POST /collect`: that costs more than all our own work on an event."""

    collect: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request. HEAD is a GET whose body the server leaves out: RFC 9110, section 9.3.2."""
        if scope["type"] == "http" and scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}
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
