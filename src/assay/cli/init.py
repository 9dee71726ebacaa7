"""`assay init`."""

from __future__ import annotations

from importlib.resources import files as resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated

import typer

from assay.cli.output import app, say
from assay.errors import UsageError
from assay.files import write_new

__all__ = ["init"]


@app.command()
def init(folder: Annotated[Path, typer.Argument(help="Where to make it.", metavar="DIR")] = Path()) -> None:
    """Make a workspace: settings, an application to serve, a place for contracts, and what Prometheus needs."""
    template = resources("assay.cli") / "workspace"
    paths = list(_paths(template, Path()))
    present = [str(path) for path in paths if (folder / path).exists()]
    if present:
        raise UsageError(f"{folder.resolve()} has {', '.join(present)} already; nothing was written")
    for path in paths:
        write_new(folder / path, (template / str(path)).read_bytes())
    (folder / "contracts").mkdir(exist_ok=True)
    say(f"made {', '.join(map(str, paths))} in {folder.resolve()}; next: assay serve")


def _paths(folder: Traversable, prefix: Path) -> list[Path]:
    found = []
    for entry in sorted(folder.iterdir(), key=lambda each: each.name):
        if entry.is_dir():
            found += _paths(entry, prefix / entry.name) if entry.name != "__pycache__" else []
        else:
            found.append(prefix / entry.name)
    return found
