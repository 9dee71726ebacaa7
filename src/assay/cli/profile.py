"""`assay profile`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from assay.cli.options import JsonOption, StoreOption, open_workspace
from assay.cli.output import app, plain, result
from assay.cli.progress import progress
from assay.contract.versions import is_dataset_name
from assay.errors import UsageError

if TYPE_CHECKING:
    from assay.profile.batch import Progress
    from assay.profile.document import Profile

__all__ = ["profile"]


@app.command()
def profile(
    what: Annotated[
        str,
        typer.Argument(
            help="A dataset, a file that DuckDB reads, or the profile of a version: DATASET@N or its *.profile.json.",
            metavar="DATASET|FILE",
        ),
    ],
    *,
    against: Annotated[
        str | None, typer.Option(help="Say what changed since this one, named in the same ways.", metavar="B")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(help="Of a dataset, only what was collected so long ago at most: 24h.", metavar="DURATION"),
    ] = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure a dataset or a file: what is there, how often, and how it is spread; or what changed in it."""
    measured = _measured(what, since, store)
    if against is None:
        _show(measured, as_json=as_json)
        return
    from assay.cli.tables import changes_table
    from assay.profile.compare import compare

    old = _measured(against, None, store)
    changes = compare(old, measured)
    document = {
        "old": {"name": against, "rows": old.rows},
        "new": {"name": what, "rows": measured.rows},
        "fields": [change.to_document() for change in changes],
    }
    heading = f"{plain(against)} ({old.rows:,} rows) to {plain(what)} ({measured.rows:,} rows)"
    result(f"{heading}\n\n{changes_table(changes)}", document, as_json=as_json)


def _measured(what: str, since: str | None, store: str | None) -> Profile:
    with progress(f"profiling {what}") as tell:
        return _profile(what, since, store, tell)


def _profile(what: str, since: str | None, store: str | None, tell: Progress) -> Profile:
    dataset, at, number = what.rpartition("@")
    if Path(what).exists():
        if since is not None:
            raise UsageError("--since is for what is stored of a dataset: a file does not say when its rows came")
        if what.endswith(".profile.json"):
            from assay.profile.document import Profile

            return Profile.load(what)
        from assay.profile.relation import profile as profile_file

        return profile_file(what, progress=tell)
    if at and is_dataset_name(dataset) and number.isascii() and number.isdigit():
        return open_workspace(store).learned_from(dataset, int(number))
    if is_dataset_name(what):
        return open_workspace(store).profile(what, since=since, progress=tell)
    raise UsageError(f"{what} is neither a file that is there nor the name of a dataset")


def _show(measured: Profile, *, as_json: bool) -> None:
    from assay.cli.tables import print_profile, profile_table

    if sys.stdout.isatty() and not as_json:
        print_profile(measured)
        return
    encoding = (sys.stdout.encoding or "ascii").lower().replace("-", "")
    table = "" if as_json else profile_table(measured, plain=not encoding.startswith("utf"))
    result(table, json.loads(measured.to_json()) if as_json else None, as_json=as_json)
