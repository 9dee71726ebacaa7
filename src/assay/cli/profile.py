"""`assay profile`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from assay.cli.options import JsonOption, StoreOption, open_workspace
from assay.cli.output import app, result
from assay.cli.progress import progress
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
    with progress(f"profiling {what}") as tell:
        if Path(what).exists():
            from assay.profile.relation import profile as profile_file

            measured = profile_file(what, progress=tell)
        elif is_dataset_name(what):
            measured = open_workspace(store).profile(what, progress=tell)
        else:
            raise UsageError(f"{what} is neither a file that is there nor the name of a dataset")
    _show(measured, as_json=as_json)


def _show(measured: Profile, *, as_json: bool) -> None:
    from assay.cli.tables import print_profile, profile_table

    if sys.stdout.isatty() and not as_json:
        print_profile(measured)
        return
    encoding = (sys.stdout.encoding or "ascii").lower().replace("-", "")
    table = "" if as_json else profile_table(measured, plain=not encoding.startswith("utf"))
    result(table, json.loads(measured.to_json()) if as_json else None, as_json=as_json)
