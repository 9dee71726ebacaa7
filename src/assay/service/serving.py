"""Runs an application under uvicorn until it is asked to stop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn

from assay.errors import ServiceError
from assay.service.protocol import Protocol
from assay.service.stop import Stop

if TYPE_CHECKING:
    from fastapi import FastAPI

__all__ = ["loop_factory", "run", "taken"]


class _Deaf(uvicorn.Server):
    """A server that leaves signals to others."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the handlers as they are."""
        yield


async def run(
    app: FastAPI,
    stop: Stop,
    *,
    shutdown_s: int,
    host: str = "",
    port: int = 0,
    path: Path | None = None,
    listening: list[socket.socket] | None = None,
) -> None:
    """Serve at `host` and `port`; at a `path`, as a Unix socket; or what comes to sockets that are `listening` already.

    Raises:
        ServiceError: it could not start, or the address is taken.
    """
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        uds=None if path is None else str(path),
        http=Protocol,
        access_log=False,
        log_level="critical",
        lifespan="on",
        timeout_graceful_shutdown=shutdown_s,
        server_header=False,
        # What comes by a path comes from our own workers, which say whom it is from.
        proxy_headers=path is not None,
        forwarded_allow_ips="*" if path is not None else "",
    )
    # What is there now stays: looking through it again and again would hold up requests for tens of milliseconds.
    gc.collect()
    gc.freeze()
    sys.setswitchinterval(0.001)  # the thread that commits waits this long, not 5 ms, for a busy loop to let it go on
    server = stop.server = uvicorn.Server(config) if host else _Deaf(config)
    server.should_exit = stop.is_asked and stop.first is None
    try:
        await server.serve(listening)
    except SystemExit as ended:  # uvicorn's way of saying that the address is taken
        raise ServiceError(taken(host, port)) from ended
    finally:
        gc.unfreeze()  # or modules in C complain at the end of what was never given back
    if not server.started and not stop.is_asked:
        raise ServiceError("the service could not start; what it said above says why")


def taken(host: str, port: int) -> str:
    """Why it cannot listen there."""
    return f"cannot listen on {host}:{port}: something is there already, or it is no address here"


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Uvloop where it can be had: half as dear as asyncio's own."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
