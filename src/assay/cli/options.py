"""Options that several commands have."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

__all__ = ["DatasetArgument", "ForceOption", "JsonOption", "StoreOption"]

DatasetArgument: TypeAlias = Annotated[str, typer.Argument(help="The dataset's name.", metavar="DATASET")]
JsonOption: TypeAlias = Annotated[bool, typer.Option("--json", help="Print a machine-readable result.")]
StoreOption: TypeAlias = Annotated[str | None, typer.Option(help="The DuckDB file; by default as in assay.toml.")]
ForceOption: TypeAlias = Annotated[
    bool, typer.Option("--force", help="Overwrite app/contracts.py even if it was edited.")
]
