"""`assay contracts`."""

from __future__ import annotations

from typing import Any

from assay import settings as configuration
from assay.cli.options import JsonOption
from assay.cli.output import app, result
from assay.contract.versions import Versions

__all__ = ["contracts"]


@app.command()
def contracts(*, as_json: JsonOption = False) -> None:
    """List every dataset's versions, and which one is enforced."""
    versions = Versions(configuration.load().contracts)
    rows: list[dict[str, Any]] = []
    for dataset in versions.datasets():
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
