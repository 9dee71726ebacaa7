"""`assay serve`."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from assay import settings as configuration
from assay.access.keys import KeyFile
from assay.cli.options import StoreOption
from assay.cli.output import app, say
from assay.errors import ServiceError, UsageError
from assay.settings import Settings, is_loopback

if TYPE_CHECKING:
    import uvicorn

__all__ = ["serve"]


@app.command()
def serve(
    *,
    store: StoreOption = None,
    host: Annotated[str | None, typer.Option(help="The address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="The port to listen on.")] = None,
    insecure: Annotated[
        bool | None, typer.Option("--insecure", help="Take events from other machines without a key.")
    ] = None,
) -> None:
    """Start the collection service."""
    settings = configuration.load(store=store, host=host, port=port, insecure=insecure)
    keys = KeyFile(settings.keys_path).read() or ()
    is_known = any(key.revoked_at is None for key in keys)
    if not is_known and not is_loopback(settings.host) and not settings.insecure:
        raise UsageError(
            f"without a key the service listens on this machine alone, not on {settings.host}; "
            "`assay keys create NAME --scope collect` makes one; "
            "--insecure takes events from others all the same (and answers nothing else)"
        )
    if keys and not is_known:
        say(
            f"assay: every key in {settings.keys_path} is revoked: nothing that needs one is answered until there is one"
        )
    what, path = ("store", settings.where) if isinstance(settings.where, Path) else ("log", settings.log_path)
    if _is_temporary(path):
        say(
            f"assay: the {what} is {path}: {tempfile.gettempdir()} may not survive a reboot; set `{what}` in assay.toml"
        )
    stop = _Stop()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(settings, stop))


class _Stop:
    """Takes signals before uvicorn listens to them, and after: it raises them again when it has stopped in good order."""

    def __init__(self) -> None:
        self.is_asked = False
        self.server: uvicorn.Server | None = None

    def __call__(self, *_: object) -> None:
        self.is_asked = True
        if self.server is not None:
            self.server.should_exit = True


async def _serve(settings: Settings, stop: _Stop) -> None:
    import uvicorn

    from assay.assemble import application, collector, http_protocol

    config = uvicorn.Config(
        application(settings, collector(settings)),
        host=settings.host,
        port=settings.port,
        http=http_protocol(),
        access_log=False,
        log_level="critical",
        lifespan="on",
        timeout_graceful_shutdown=settings.shutdown_s,
        server_header=False,
        proxy_headers=False,
    )
    # What is there now stays: looking through it again and again would hold up requests for tens of milliseconds.
    gc.collect()
    gc.freeze()
    sys.setswitchinterval(0.001)  # the thread that commits waits this long, not 5 ms, for a busy loop to let it go on
    stop.server = uvicorn.Server(config)
    stop.server.should_exit = stop.is_asked
    try:
        await stop.server.serve()
    except SystemExit as ended:  # uvicorn's way of saying that the address is taken
        reason = (
            f"cannot listen on {settings.host}:{settings.port}: something is there already, or it is no address here"
        )
        raise ServiceError(reason) from ended
    finally:
        gc.unfreeze()  # or modules in C complain at the end of what was never given back
    if not stop.server.started and not stop.is_asked:
        raise ServiceError("the service could not start; what it said above says why")


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Uvloop where it can be had: half as dear as asyncio's own."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def _is_temporary(path: Path) -> bool:
    folders = {Path(tempfile.gettempdir()).resolve(), Path("/tmp").resolve()}  # noqa: S108
    return any(folder in path.resolve().parents for folder in folders)
