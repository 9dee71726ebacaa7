"""`assay contracts`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from assay import settings as configuration
from assay.cli.options import JsonOption
from assay.cli.output import app, plain, result
from assay.contract.history import history
from assay.contract.versions import Versions, is_dataset_name
from assay.errors import UnknownDataset

__all__ = ["contracts"]


@app.command()
def contracts(
    dataset: Annotated[str | None, typer.Argument(help="Only this one.", metavar="[DATASET]")] = None,
    *,
    past: Annotated[bool, typer.Option("--history", help="Who put which version in force, and when.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List every dataset's versions, and which one is enforced; or who enforced what, and when."""
    versions = Versions(configuration.load().contracts)
    if dataset is not None and (not is_dataset_name(dataset) or not versions.numbers(dataset)):
        raise UnknownDataset(dataset)
    names = versions.datasets() if dataset is None else [dataset]
    if past:
        _history(versions, names, as_json=as_json)
    else:
        _list(versions, names, as_json=as_json)


def _list(versions: Versions, names: list[str], *, as_json: bool) -> None:
    rows: list[dict[str, Any]] = []
    for dataset in names:
        active = versions.active(dataset)
        for number in versions.numbers(dataset):
            contract = versions.load(dataset, number)
            rows.append(
                {
                    "dataset": dataset,
                    "version": number,
                    "fields": len(contract.fields),
                    "rows": contract.rows,
                    "mode": active.mode if active is not None and active.contract == number else None,
                }
            )
    lines = [
        f"{row['dataset']}@{row['version']}  {row['fields']} fields, "
        + (f"learned from {row['rows']:,} rows" if row["rows"] else "written by hand")
        + (f"  [{row['mode']}]" if row["mode"] else "")
        for row in rows
    ]
    result("\n".join(lines) or "no contracts yet: `assay learn DATASET` makes one", rows, as_json=as_json)


def _history(versions: Versions, names: list[str], *, as_json: bool) -> None:
    rows: list[dict[str, Any]] = []
    for dataset in names:
        active = versions.active(dataset)
        past = history(versions, dataset)
        rows += [{"dataset": dataset, **each.to_document()} for each in past]
        if past and active is None:
            rows.append({"dataset": dataset, "at": None, "by": None, "how": "active.json is gone", "contract": None})
    rows.sort(key=lambda row: row["at"] or "~")
    result("\n".join(map(_line, rows)) or "nothing was activated yet", rows, as_json=as_json)


def _line(row: dict[str, Any]) -> str:
    if row["contract"] is None:
        return f"now                   {row['dataset']} has no active contract: {row['how']}"
    fields = ", ".join(f"{plain(label)}: {mode}" for label, mode in row.get("fields", {}).items())
    who = "by nobody knows whom" if row["by"] is None else f"by {plain(row['by'])}"
    return (
        f"{row['at'][:19]}Z  {row['dataset']}@{row['contract']}  {row['mode']}"
        + (f" ({fields})" if fields else "")
        + f"  {who}, {plain(row['how'])}"
    )
