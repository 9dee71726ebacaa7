"""`assay profile`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

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

_NOT_OF_FILES = ": a file does not say when its rows came"


@app.command()
def profile(
    what: Annotated[
        list[str],
        typer.Argument(
            help="A dataset, a file that DuckDB reads, a folder of Parquet files, or a profile: DATASET@N or *.profile.json."
            " Several profiles are merged; several Parquet files are one dataset.",
            metavar="DATASET|FILE...",
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
    engine: Annotated[
        Literal["duckdb", "spark"],
        typer.Option(help="Who measures. spark: Parquet files, by paths as Spark takes them (needs assay[spark])."),
    ] = "duckdb",
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure a dataset or a file: what is there, how often, and how it is spread; or what changed in it."""
    name = ", ".join(what) if len(what) < 4 else f"{what[0]} and {len(what) - 1} more"
    measured = _by_spark(name, what, since) if engine == "spark" else _measured(name, what, since, store)
    if against is None:
        _show(measured, as_json=as_json)
        return
    from assay.cli.tables import changes_table
    from assay.profile.compare import compare

    old = _measured(against, [against], None, store)
    changes = compare(old, measured)
    document = {
        "old": {"name": against, "rows": old.rows},
        "new": {"name": name, "rows": measured.rows},
        "fields": [change.to_document() for change in changes],
    }
    heading = f"{plain(against)} ({old.rows:,} rows) to {plain(name)} ({measured.rows:,} rows)"
    result(f"{heading}\n\n{changes_table(changes)}", document, as_json=as_json)


def _by_spark(name: str, paths: list[str], since: str | None) -> Profile:
    if since is not None:
        raise UsageError(f"--since is for what is stored of a dataset, which DuckDB measures{_NOT_OF_FILES}")
    from assay.profile.spark import profile_by_spark

    with progress(f"profiling {name} by Spark") as tell:
        return profile_by_spark(paths, progress=tell)


def _measured(name: str, what: list[str], since: str | None, store: str | None) -> Profile:
    with progress(f"profiling {name}") as tell:
        return _profile(what[0], since, store, tell) if len(what) == 1 else _together(what, since, store, tell)


def _together(what: list[str], since: str | None, store: str | None, tell: Progress) -> Profile:
    """Of several: profiles merged, or Parquet files as one."""
    profiles = [each for each in what if each.endswith(".profile.json") or ("@" in each and not Path(each).exists())]
    if not profiles:
        from assay.profile.relation import profile_parquet

        if since is not None:
            raise UsageError(f"--since is for what is stored of one dataset{_NOT_OF_FILES}")
        missing = [each for each in what if not Path(each).exists()]
        if missing:
            raise UsageError(f"{missing[0]} is no file that is there; of several, take profiles or Parquet files")
        return profile_parquet(what, progress=tell)
    others = [each for each in what if each not in profiles]
    if others:
        raise UsageError(
            f"{others[0]} is no profile, and {profiles[0]} is one: profiles are merged with profiles alone"
        )
    from assay.profile.merge import merge_documents

    return merge_documents([_profile(each, since, store, tell) for each in what])


def _profile(what: str, since: str | None, store: str | None, tell: Progress) -> Profile:
    dataset, at, number = what.rpartition("@")
    if Path(what).exists():
        if since is not None:
            raise UsageError(f"--since is for what is stored of a dataset{_NOT_OF_FILES}")
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
