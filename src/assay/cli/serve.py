"""`assay serve`."""

from __future__ import annotations

import signal
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from assay import settings as configuration
from assay.access.keys import KeyFile
from assay.assemble import Stop, serve_alone
from assay.cli.options import StoreOption
from assay.cli.output import app, say
from assay.errors import UsageError
from assay.settings import is_loopback
from assay.workers import serve_by_workers

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
    workers: Annotated[int | None, typer.Option(help="How many processes take events.")] = None,
) -> None:
    """Start the collection service."""
    settings = configuration.load(store=store, host=host, port=port, insecure=insecure, workers=workers)
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
    is_elsewhere = what == "log" and settings.log_stream is not None
    if not is_elsewhere and _is_temporary(path):
        say(
            f"assay: the {what} is {path}: {tempfile.gettempdir()} may not survive a reboot; set `{what}` in assay.toml"
        )
    stop = Stop()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    if settings.workers == 1:
        serve_alone(settings, stop)
    else:
        serve_by_workers(settings, stop)


def _is_temporary(path: Path) -> bool:
    folders = {Path(tempfile.gettempdir()).resolve(), Path("/tmp").resolve()}  # noqa: S108
    return any(folder in path.resolve().parents for folder in folders)
