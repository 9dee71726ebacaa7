"""`assay activate`."""

from __future__ import annotations

from typing import Annotated

import typer

from assay import settings as configuration
from assay.cli.options import DatasetArgument, ForceOption
from assay.cli.output import app, say, tell
from assay.cli.rules import say_rendered
from assay.contract.versions import Mode
from assay.errors import UsageError
from assay.workspace import Workspace

__all__ = ["activate"]


@app.command()
def activate(
    dataset: DatasetArgument,
    number: Annotated[int, typer.Argument(help="The version to enforce.", metavar="N")],
    *,
    mode: Annotated[
        str, typer.Option(help="enforce, or observe: store what breaks the contract, and flag it.")
    ] = "enforce",
    force: ForceOption = False,
) -> None:
    """Make a version the enforced one. A running service takes it up within 2 s, without a restart."""
    modes: dict[str, Mode] = {"enforce": "enforce", "observe": "observe"}
    if mode not in modes:
        raise UsageError(f"--mode {mode}: enforce or observe is expected")
    workspace = Workspace(configuration.load(), tell=tell)
    rendered = workspace.activate(dataset, number, mode=modes[mode], force=force)
    say(f"{dataset}@{number} is active, mode {mode}")
    say_rendered(rendered)
