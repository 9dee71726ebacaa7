"""What granian serves, and the no-op rival under uvicorn: an endpoint that reads the body and answers 200, no more.

It is mounted just as ours is: past FastAPI's routing, behind the same guard.

python -m benches.served PORT
"""

from __future__ import annotations

import asyncio
import gc
import sys
from pathlib import Path

import uvicorn
import uvloop
from fastapi import FastAPI
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from assay.access.keyring import Keyring
from assay.access.keys import KeyFile
from assay.access.sessions import Sessions
from assay.assemble import application
from assay.service.app import App
from assay.service.guard import Door, Guard
from assay.service.protocol import Protocol

__all__ = ["collecting", "idle"]

_ANSWER = Response(b'{"ok":true,"accepted":1}', media_type="application/json")


async def _noop(scope: Scope, receive: Receive, send: Send) -> None:
    while (await receive()).get("more_body", False):
        pass
    await _ANSWER(scope, receive, send)


def idle() -> FastAPI:
    """The application that does nothing."""
    app = App()
    keyring = Keyring(KeyFile(Path("no.keys")))
    app.collect = Guard(_noop, Door(keyring, Sessions(keyring)))
    _settle()
    return app


def collecting() -> FastAPI:
    """The collection service of the workspace that this runs in."""
    app = application()
    _settle()
    return app


def _settle() -> None:
    """As `assay serve` does before it serves."""
    gc.collect()
    gc.freeze()
    sys.setswitchinterval(0.001)


def _serve(port: int) -> None:
    config = uvicorn.Config(
        idle(),
        port=port,
        http=Protocol,
        access_log=False,
        log_level="critical",
        lifespan="on",
        server_header=False,
        proxy_headers=False,
    )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(uvicorn.Server(config).serve())


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
