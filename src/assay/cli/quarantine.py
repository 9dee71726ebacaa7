"""`assay quarantine`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

import typer

from assay import settings as configuration
from assay.cli.options import DatasetArgument, JsonOption, StoreOption
from assay.cli.output import app, plain, result
from assay.workspace import Workspace

__all__ = ["quarantine"]

_LONGEST: Final = 100


@app.command()
def quarantine(
    dataset: DatasetArgument,
    *,
    group: Annotated[bool, typer.Option("--group", help="By what was wrong with them.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="How many, at most.")] = 20,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the events that were refused, and why: the newest first, or by kind."""
    document = Workspace(configuration.load(store=store)).quarantine(dataset, limit=limit, group=group)
    lines = [_group(each) if group else _one(each) for each in document["items"]]
    result("\n".join(lines) or f"nothing of {dataset} is in quarantine", document, as_json=as_json)


def _one(reject: Mapping[str, Any]) -> str:
    return f"{reject['received_at'][:19]}Z  {reject['source']}  {_reasons(reject)}\n    {_shortened(reject)}"


def _group(group: Mapping[str, Any]) -> str:
    sample = group["sample"]
    return (
        f"{group['count']:,} from {', '.join(group['sources'])}, {group['first_seen'][:19]}Z to {group['last_seen'][:19]}Z:"
        f" {_reasons(sample)}\n    {_shortened(sample)}"
    )


def _reasons(reject: Mapping[str, Any]) -> str:
    return "; ".join(
        f"{'.'.join(map(str, error['loc'])) or 'the event'}: {error['msg']}" for error in reject["errors"][:3]
    )


def _shortened(reject: Mapping[str, Any]) -> str:
    text = plain(reject.get("body", "(binary)"))
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
