"""`assay diff`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from assay.cli.options import JsonOption, current_workspace
from assay.cli.output import app, plain, result, say
from assay.errors import UsageError

if TYPE_CHECKING:
    from assay.contract.diff import Diff, Example

__all__ = ["diff"]


@app.command()
def diff(
    old: Annotated[str, typer.Argument(help="A contract: a file, or DATASET@N.", metavar="A")],
    new: Annotated[str, typer.Argument(help="The contract that would take its place.", metavar="B")],
    *,
    fail_on: Annotated[
        list[str] | None,
        typer.Option("--fail-on", help="narrows, widens or incomparable: end with exit code 1 then. May be repeated."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Compare two contracts by the events that they accept: what changes, field by field, and an event to show it."""
    from assay.contract.diff import Verdict, is_at_least
    from assay.contract.diff import diff as compare

    gates: list[Verdict] = [verdict for verdict in get_args(Verdict) if verdict in (fail_on or ())]
    unknown = [each for each in fail_on or () if each not in get_args(Verdict)[1:]]
    if unknown:
        raise UsageError(f"--fail-on {unknown[0]}: narrows, widens or incomparable is expected")
    workspace = current_workspace()
    found = compare(workspace.contract(old), workspace.contract(new))
    result("\n".join(_lines(found, old, new)), {"old": old, "new": new, **found.to_document()}, as_json=as_json)
    stopped = [gate for gate in gates if is_at_least(found.verdict, gate)]
    if stopped:
        say(f"assay: the change from {old} to {new} {_CHANGE[found.verdict]}; --fail-on {stopped[0]} stops it")
        sys.exit(1)


def _lines(found: Diff, old: str, new: str) -> Iterator[str]:
    yield f"{old} to {new}: {_SAYS[found.verdict]}"
    for each in found.fields:
        yield ""
        yield f"{plain(each.label)}: {each.verdict}"
        yield f"    before     {plain(each.before or 'not described')}"
        yield f"    after      {plain(each.after or 'not described')}"
        yield f"    producers  {plain(each.producers)}"
        yield f"    readers    {plain(each.readers)}"
    for example in (found.lost, found.gained):
        if example is not None:
            yield ""
            yield from _example(example, old, new)
    for why in found.undecided:
        yield ""
        yield f"Not decided, and taken as a difference: {why}."


_SAYS = {
    "same": "same. Both accept the same events.",
    "narrows": "narrows. Some events that were accepted are refused.",
    "widens": "widens. All that was accepted still is, and more.",
    "incomparable": "incomparable. Some events that were accepted are refused, and others the other way round.",
}

_CHANGE = {"narrows": "narrows", "widens": "widens", "incomparable": "both narrows and widens"}


def _example(example: Example, old: str, new: str) -> Iterator[str]:
    accepting, refusing = (old, new) if example.refused_by == "new" else (new, old)
    yield f"Accepted by {accepting}, refused by {refusing} ({plain(example.field) or 'the event'}: {plain(example.msg)}):"
    text = json.dumps(example.event, ensure_ascii=False)
    yield plain(text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…")


_LONGEST = 2000
