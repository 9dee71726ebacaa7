"""`assay import`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from assay import settings as configuration
from assay.cli.options import JsonOption
from assay.cli.output import app, plain, result, say, tell
from assay.cli.tables import rules_table
from assay.contract.versions import is_dataset_name
from assay.workspace import Workspace

__all__ = ["import_contract"]


@app.command("import")
def import_contract(
    source: Annotated[
        str,
        typer.Argument(
            help="A JSON Schema or ODCS document, as JSON or YAML, or a Pydantic class: app/contracts.py:Flights.",
            metavar="FILE|MODULE:CLASS",
        ),
    ],
    *,
    dataset: Annotated[str, typer.Option("--dataset", help="The dataset that it is a contract for.", metavar="D")],
    as_json: JsonOption = False,
) -> None:
    """Make the next version of a contract from another format. Each keyword is enforced exactly, or refused by name."""
    from assay.contract.diff import diff as compare

    workspace = Workspace(configuration.load(), tell=tell)
    former = workspace.former(dataset) if is_dataset_name(dataset) else None
    found = workspace.import_(source, dataset)
    contract = found.contract
    change = None if former is None else compare(former, contract)
    document = {
        "dataset": dataset,
        "contract": contract.version,
        "verdict": None if change is None else change.verdict,
        "left_out": [each.to_document() for each in found.left_out],
        "schema": json.loads(contract.to_json()),
    }
    result(rules_table(contract), document, as_json=as_json)
    for each in found.left_out:
        say(f"assay: not carried over: {plain(str(each))}")
    if former is not None and change is not None:
        before = f"{dataset}@{former.version}"
        more = "" if change.verdict == "same" else f"; `assay diff {before} {dataset}@{contract.version}` says how"
        say(f"assay: beside {before}: {change.verdict}{more}")
    edited = workspace.rendering.edited()
    command = f"assay activate {dataset} {contract.version}{' --force' if edited else ''}"
    say(f"assay: {dataset}@{contract.version} is a proposal; `{command}` enforces it")
    if edited:
        say("assay: --force writes app/contracts.py anew: import every class that was edited before")
