"""`assay learn`."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from assay import settings as configuration
from assay.cli.options import ForceOption, JsonOption, StoreOption
from assay.cli.output import app, result, say
from assay.cli.progress import progress
from assay.cli.rules import say_rendered
from assay.cli.tables import contract_table
from assay.errors import UsageError
from assay.settings import Settings
from assay.workspace import Workspace

__all__ = ["learn"]


@app.command()
def learn(
    dataset: Annotated[
        str | None, typer.Argument(help="The dataset; by default the configured one.", metavar="[DATASET]")
    ] = None,
    *,
    activate: Annotated[bool, typer.Option("--activate", help="Enforce what was learned at once.")] = False,
    budget: Annotated[
        float | None, typer.Option(help="The share of clean events that numeric bounds may refuse.", min=1e-12, max=0.5)
    ] = None,
    store: StoreOption = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Profile a dataset and write the next version of its contract. It is a proposal until it is activated."""
    settings = configuration.load(store=store)
    workspace = Workspace(settings)
    name = dataset or _default(settings)
    if activate and not force:
        workspace.refuse_edited()  # before a version is written that could not be activated
    with progress(f"learning {name}") as tell:
        contract = workspace.learn(name, budget=budget, progress=tell)
    assert contract.version is not None
    rendered = (
        workspace.activate(name, contract.version, force=force, how="assay learn --activate") if activate else None
    )
    document: dict[str, Any] = {
        "dataset": name,
        "contract": contract.version,
        "active": activate,
        "rows": contract.rows,
        "budget": contract.evidence["budget"],
        "expected_refusals": contract.expected_refusals,
        "bound_refusals": contract.bound_refusals,
        "left_out": contract.evidence["left_out"],
        "schema": json.loads(contract.to_json()),
    }
    result(contract_table(contract), document, as_json=as_json)
    if rendered is not None:
        say_rendered(rendered)
    else:
        say(f"assay: {name}@{contract.version} is a proposal; `assay activate {name} {contract.version}` enforces it")


def _default(settings: Settings) -> str:
    if settings.default_dataset is None:
        raise UsageError("name a dataset, or set default_dataset in assay.toml")
    return settings.default_dataset
