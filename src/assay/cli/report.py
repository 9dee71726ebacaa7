"""`assay report`."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from assay import settings as configuration
from assay.cli.options import StoreOption
from assay.cli.output import app, say
from assay.cli.progress import progress
from assay.errors import UsageError
from assay.files import write_atomic
from assay.workspace import Workspace

__all__ = ["report"]


class Format(StrEnum):
    """What a report can be written as."""

    HTML = "html"
    MD = "md"


@app.command()
def report(
    what: Annotated[str, typer.Argument(help="A dataset, or a file that DuckDB reads.", metavar="DATASET|FILE")],
    *,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The file to write; without it Markdown goes to standard output."),
    ] = None,
    against: Annotated[
        str | None, typer.Option(help="A dataset or a file to compare it with: the reference.", metavar="DATASET|FILE")
    ] = None,
    contract: Annotated[
        str | None,
        typer.Option(help="The contract to hold it to: a version's number, DATASET@N, or a file.", metavar="C"),
    ] = None,
    form: Annotated[
        Format | None, typer.Option("--format", help="html or md; by default as the file's name says.")
    ] = None,
    store: StoreOption = None,
) -> None:
    """Write what is in a dataset or a file, field by field: one page that needs nothing else, or Markdown."""
    chosen = form or (Format.MD if output is None or output.suffix.lower() in {".md", ".markdown"} else Format.HTML)
    if output is None and chosen is Format.HTML:
        raise UsageError("name the file to write: -o report.html")
    from assay.reports import gather
    from assay.ui.report import html, markdown

    workspace = Workspace(configuration.load(store=store))
    with progress("looking at the data") as tell:
        found = gather(workspace, what, against=against, contract=contract, progress=tell)
    data = html(found) if chosen is Format.HTML else markdown(found).encode()
    if output is None:
        sys.stdout.write(data.decode())
    else:
        write_atomic(output, data)
        say(f"assay: wrote {output} ({len(data):,} bytes): {found.profile.rows:,} rows of {found.name}")
