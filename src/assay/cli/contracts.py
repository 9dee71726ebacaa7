"""`assay contracts`."""

from __future__ import annotations

import sys
from typing import Any

from assay import settings as configuration
from assay.cli.options import JsonOption
from assay.cli.output import app, plain, result, say
from assay.contract.versions import Active, Versions
from assay.errors import NotASchema, UsageError

__all__ = ["contracts"]


@app.command()
def contracts(*, as_json: JsonOption = False) -> None:
    """List every dataset's versions, and which one is enforced. The exit code is 1 when one of them is no contract."""
    versions = Versions(configuration.load().contracts)
    rows: list[dict[str, Any]] = []
    problems: list[str] = []
    for dataset in versions.datasets():
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
    row = {"dataset": dataset, "version": number, "mode": mode}
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
    return f"{row['dataset']}@{row['version']}  {what}" + (f"  [{row['mode']}]" if row["mode"] else "")
