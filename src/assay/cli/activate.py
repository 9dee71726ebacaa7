"""`assay activate`."""

from __future__ import annotations

from typing import Annotated

import typer

from assay import settings as configuration
from assay.cli.options import DatasetArgument, ForceOption
from assay.cli.output import app, own_modes, plain, say, tell
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
    observe: Annotated[
        list[str] | None,
        typer.Option(help="Only observe this field, whatever the mode; may be repeated.", metavar="FIELD"),
    ] = None,
    enforce: Annotated[
        list[str] | None,
        typer.Option(help="Enforce this field, whatever the mode; ends --observe; may be repeated.", metavar="FIELD"),
    ] = None,
    force: ForceOption = False,
) -> None:
    """Make a version the enforced one. A running service takes it up within 2 s, without a restart.

    A field that is observed stays so, in other versions too, until it is enforced.
    """
    modes: dict[str, Mode] = {"enforce": "enforce", "observe": "observe"}
    if mode not in modes:
        raise UsageError(f"--mode {mode}: enforce or observe is expected")
    both = sorted({*(observe or ())} & {*(enforce or ())})
    if both:
        raise UsageError(f"{plain(both[0])} can be observed or enforced: name it with one of --observe and --enforce")
    fields: dict[str, Mode] = {**dict.fromkeys(observe or (), "observe"), **dict.fromkeys(enforce or (), "enforce")}
    workspace = Workspace(configuration.load(), tell=tell)
    rendered = workspace.activate(dataset, number, mode=modes[mode], fields=fields, force=force)
    active = workspace.versions.active(dataset)
    say(f"{dataset}@{number} is active, mode {mode}{own_modes(active.fields if active is not None else {})}")
    say_rendered(rendered)
