"""`assay profile`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from assay.cli.options import JsonOption, StoreOption, open_workspace
from assay.cli.output import app, result
from assay.contract.versions import is_dataset_name
from assay.errors import UsageError

if TYPE_CHECKING:
    from assay.profile.document import Profile

__all__ = ["profile"]


@app.command()
def profile(
    what: Annotated[str, typer.Argument(help="A dataset, or a file that DuckDB reads.", metavar="DATASET|FILE")],
    *,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure a dataset or a file: what is there, how often, and how it is spread."""
    if Path(what).exists():
        from assay.profile.relation import profile as profile_file

        measured = profile_file(what)
    elif is_dataset_name(what):
        measured = open_workspace(store).profile(what)
    else:
        raise UsageError(f"{what} is neither a file that is there nor the name of a dataset")
    result(_table(measured), json.loads(measured.to_json()), as_json=as_json)


def _table(profile: Profile) -> str:
    from assay.cli.tables import profile_table

    return profile_table(profile)
