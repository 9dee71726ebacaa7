"""What several commands begin with: options, the workspace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

if TYPE_CHECKING:
    from assay.workspace import Workspace

__all__ = ["DatasetArgument", "ForceOption", "JsonOption", "StoreOption", "current_workspace", "open_workspace"]

DatasetArgument: TypeAlias = Annotated[str, typer.Argument(help="The dataset's name.", metavar="DATASET")]
JsonOption: TypeAlias = Annotated[bool, typer.Option("--json", help="Print a machine-readable result.")]
StoreOption: TypeAlias = Annotated[
    str | None, typer.Option(help="The DuckDB file, or a lake; by default as in assay.toml.")
]
ForceOption: TypeAlias = Annotated[
    bool, typer.Option("--force", help="Overwrite app/contracts.py even if it was edited.")
]


def open_workspace(store: str | None) -> Workspace:
    """The workspace that the command was started in. Commands that may do without have not even loaded it."""
    from assay import settings as configuration
    from assay.workspace import Workspace

    return Workspace(configuration.load(store=store))


def current_workspace(store: str | None = None) -> Workspace:
    """The same, its contracts as the lake has them, where it decides which there are and can be reached."""
    from assay import settings as configuration
    from assay.cli.output import tell
    from assay.workspace import Workspace

    workspace = Workspace(configuration.load(store=store), tell=tell)
    workspace.catch_up()
    return workspace
