"""`assay contracts`."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from assay import settings as configuration
from assay.cli.options import JsonOption
from assay.cli.output import app, own_modes, plain, result, say, tell
from assay.contract.history import history, own_mode_since
from assay.contract.versions import Active, Versions, is_dataset_name
from assay.errors import NotASchema, UnknownDataset, UsageError
from assay.workspace import Workspace

__all__ = ["contracts"]


@app.command()
def contracts(
    dataset: Annotated[str | None, typer.Argument(help="Only this one.", metavar="[DATASET]")] = None,
    *,
    past: Annotated[bool, typer.Option("--history", help="Who put which version in force, and when.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List every dataset's versions, and which one is enforced; or who enforced what, and when.

    The exit code is 1 when one of them is no contract.
    """
    workspace = Workspace(configuration.load(), tell=tell)
    workspace.catch_up()
    versions = workspace.versions
    if dataset is not None and (not is_dataset_name(dataset) or not versions.numbers(dataset)):
        raise UnknownDataset(dataset)
    names = versions.datasets() if dataset is None else [dataset]
    if past:
        _history(versions, names, as_json=as_json)
    else:
        _list(versions, names, as_json=as_json)


def _list(versions: Versions, names: list[str], *, as_json: bool) -> None:
    rows: list[dict[str, Any]] = []
    problems: list[str] = []
    for dataset in names:
        active: Active | None = None
        try:
            active = versions.active(dataset)
        except (NotASchema, UsageError) as error:
            problems.append(str(error))
        rows += (_row(versions, dataset, number, active) for number in versions.numbers(dataset))
    problems += (row["problem"] for row in rows if "problem" in row)
    text = "\n".join(map(_line, rows))
    result(text or "no contracts yet: `assay learn DATASET` makes one", rows, as_json=as_json)
    for problem in problems:
        say(f"assay: {plain(problem)}")
    if problems:
        sys.exit(1)


def _row(versions: Versions, dataset: str, number: int, active: Active | None) -> dict[str, Any]:
    mode = active.mode if active is not None and active.contract == number else None
    row: dict[str, Any] = {"dataset": dataset, "version": number, "mode": mode}
    if mode is not None and active is not None and active.fields:
        since = own_mode_since(versions, dataset)
        row["own_modes"] = {
            label: {"mode": own, "since": f"{since[label]:%Y-%m-%dT%H:%M:%SZ}" if label in since else None}
            for label, own in sorted(active.fields.items())
        }
    try:
        contract = versions.load(dataset, number)
    except (NotASchema, UsageError) as error:
        return {**row, "problem": str(error)}
    return {**row, "fields": len(contract.fields), "rows": contract.rows}


def _line(row: dict[str, Any]) -> str:
    what = "no contract: see below"
    if "problem" not in row:
        by = f"learned from {row['rows']:,} rows" if row["rows"] else "written by hand"
        what = f"{row['fields']} fields, {by}"
    modes = {
        label: own["mode"] + (f" since {own['since']}" if own["since"] else "")
        for label, own in row.get("own_modes", {}).items()
    }
    return f"{row['dataset']}@{row['version']}  {what}" + (
        f"  [{row['mode']}{own_modes(modes)}]" if row["mode"] else ""
    )


def _history(versions: Versions, names: list[str], *, as_json: bool) -> None:
    rows: list[dict[str, Any]] = []
    for dataset in names:
        active = versions.active(dataset)
        past = history(versions, dataset)
        rows += [{"dataset": dataset, **each.to_document()} for each in past]
        if past and active is None:
            rows.append({"dataset": dataset, "at": None, "by": None, "how": "active.json is gone", "contract": None})
    rows.sort(key=lambda row: row["at"] or "~")
    result("\n".join(map(_change, rows)) or "nothing was activated yet", rows, as_json=as_json)


def _change(row: dict[str, Any]) -> str:
    if row["contract"] is None:
        return f"now                   {row['dataset']} has no active contract: {row['how']}"
    who = "by nobody knows whom" if row["by"] is None else f"by {plain(row['by'])}"
    return (
        f"{row['at'][:19]}Z  {row['dataset']}@{row['contract']}  {row['mode']}{own_modes(row.get('fields', {}))}"
        f"  {who}, {plain(row['how'])}"
    )
