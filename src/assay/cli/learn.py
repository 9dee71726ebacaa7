"""`assay learn`."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assay import settings as configuration
from assay.cli.options import ForceOption, JsonOption, StoreOption
from assay.cli.output import app, result, say, tell
from assay.cli.progress import progress
from assay.cli.rules import say_rendered
from assay.cli.tables import contract_table
from assay.errors import UsageError
from assay.settings import Settings
from assay.workspace import Workspace

if TYPE_CHECKING:
    from assay.profile.document import Profile

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
    since: Annotated[
        str | None,
        typer.Option(
            help="Learn from what was collected so long ago at most: 7d. Hours are whole.", metavar="DURATION"
        ),
    ] = None,
    exclude_alerts: Annotated[
        bool, typer.Option("--exclude-alerts", help="Leave out hours in which an alert of the dataset was firing.")
    ] = False,
    profile: Annotated[
        list[str] | None,
        typer.Option(
            help="Learn from this profile, as `assay profile --json` prints it, and not from the store. Several are merged.",
            metavar="FILE",
        ),
    ] = None,
    store: StoreOption = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Profile a dataset and write the next version of its contract. It is a proposal until it is activated."""
    from assay.monitor.recording import false_alarms

    settings = configuration.load(store=store)
    workspace = Workspace(settings, tell=tell)
    name = dataset or _default(settings)
    measured = _merged(name, profile, since=since, exclude_alerts=exclude_alerts) if profile else None
    if activate and not force:
        workspace.rendering.refuse_edited()  # before a version is written that could not be activated
    with progress(f"learning {name}") as share:
        contract = workspace.learn(
            name,
            budget=budget,
            since=since,
            exclude_alerts=exclude_alerts,
            tell=tell,
            progress=share,
            profile=measured,
        )
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
        "stretches": contract.evidence.get("stretches", []),
        "false_alarms": false_alarms(contract),
        "schema": json.loads(contract.to_json()),
    }
    result(contract_table(contract), document, as_json=as_json)
    if rendered is not None:
        say_rendered(rendered)
    else:
        say(f"assay: {name}@{contract.version} is a proposal; `assay activate {name} {contract.version}` enforces it")


def _merged(name: str, files: list[str], *, since: str | None, exclude_alerts: bool) -> Profile:
    from assay.profile.document import Profile
    from assay.profile.merge import merge_documents

    if since is not None or exclude_alerts:
        raise UsageError(
            "--since and --exclude-alerts choose from what is stored; with --profile nothing of it is read"
        )
    merged = merge_documents([Profile.load(file) for file in files])
    if merged.dataset not in {"", name}:
        raise UsageError(f"{', '.join(files)}: of the dataset {merged.dataset}, not {name}")
    return replace(merged, dataset=name)


def _default(settings: Settings) -> str:
    if settings.default_dataset is None:
        raise UsageError("name a dataset, or set default_dataset in assay.toml")
    return settings.default_dataset
