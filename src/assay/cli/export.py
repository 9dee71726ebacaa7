"""`assay export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from assay.cli.options import JsonOption, current_workspace
from assay.cli.output import app, plain, result, say
from assay.errors import UsageError

__all__ = ["export"]


@app.command()
def export(
    dataset: Annotated[
        str, typer.Argument(help="A dataset (its active contract), DATASET@N, or a file.", metavar="DATASET")
    ],
    *,
    format_: Annotated[str, typer.Option("--format", help="odcs, jsonschema, pydantic, sql or pandera.")] = "odcs",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write it there.", metavar="FILE", dir_okay=False)
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write a contract in another format, and say by name what that format has no room for."""
    exported = current_workspace().export(dataset, format_)
    if output is not None:
        from assay.files import write_atomic

        try:
            write_atomic(output, exported.text.encode())
        except OSError as error:
            raise UsageError(f"{output} cannot be written: {error}") from error
    left_out = [each.to_document() for each in exported.left_out]
    document = {"contract": dataset, "format": format_, "text": exported.text, "left_out": left_out}
    if output is None or as_json:
        result(exported.text.removesuffix("\n"), document, as_json=as_json)
    for each in exported.left_out:
        say(f"assay: not carried over: {plain(str(each))}")
