"""`assay quarantine`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from assay import settings as configuration
from assay.cli.options import DatasetArgument, JsonOption, StoreOption, current_workspace
from assay.cli.output import app, plain, result, say
from assay.cli.progress import progress
from assay.errors import UsageError
from assay.workspace import Workspace

if TYPE_CHECKING:
    from assay.contract.diff import FieldDiff
    from assay.contract.document import Contract
    from assay.refused import Group, Proposal

__all__ = ["quarantine"]

_LONGEST: Final = 100


@app.command()
def quarantine(
    dataset: DatasetArgument,
    *,
    group: Annotated[bool, typer.Option("--group", help="By what was wrong with them.")] = False,
    suggest: Annotated[
        bool, typer.Option("--suggest", help="Write the version of the contract that lets the most frequent kind in.")
    ] = False,
    fingerprint: Annotated[
        list[str] | None, typer.Option(help="With --suggest: let this kind in. May be repeated.", metavar="F")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many, at most.")] = 20,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the events that were refused, and why: the newest first, or by kind. Or propose a contract that lets them in."""
    if fingerprint and not suggest:
        raise UsageError("--fingerprint is for --suggest: it says which kinds to let in")
    if suggest:
        _suggest(current_workspace(store), dataset, fingerprint or [], limit, as_json=as_json)
        return
    document = Workspace(configuration.load(store=store)).quarantine(dataset, limit=limit, group=group)
    lines = [_group(each) if group else _one(each) for each in document["items"]]
    result("\n".join(lines) or f"nothing of {dataset} is in quarantine", document, as_json=as_json)


def _suggest(workspace: Workspace, dataset: str, fingerprints: list[str], limit: int, *, as_json: bool) -> None:
    from assay.refused import propose

    with progress("judging what was refused") as tell:
        found = propose(workspace, dataset, fingerprints=fingerprints, limit=limit, progress=tell)
    result("\n\n".join(_proposed(found)), _document(found), as_json=as_json)
    if found.written is not None:
        old, new, number = (
            f"{dataset}@{found.base.version}",
            f"{dataset}@{found.written.version}",
            found.written.version,
        )
        say(
            f"assay: {new} lets in {', '.join(found.let_in)}"
            + ("" if found.is_new else "; it was there already")
            + f". It is a proposal: `assay diff {old} {new}` and `assay replay {dataset} --contract {number} --dry-run`"
            f" say what it changes, `assay activate {dataset} {number}` enforces it"
        )


def _proposed(found: Proposal) -> Iterator[str]:
    if not found.groups:
        yield f"nothing of {found.base.dataset} waits in quarantine"
    for each in found.groups:
        yield "\n".join([f"{each.fingerprint}  {_group(each.listed)}", *_changes(each, found.base)])


def _changes(group: Group, base: Contract) -> Iterator[str]:
    made = group.suggestion
    if made.passed:
        yield f"    {base.dataset}@{base.version} accepts {made.passed:,} of them by now: `assay replay {base.dataset}`"
    for field in _fields(group, base):
        yield f"    {plain(field.label)}: {plain(field.before or 'not described')}"
        yield f"        becomes {plain(field.after or 'not described')}"
    if made.accepted > made.passed:
        yield f"    lets in {made.accepted - made.passed:,} of {made.events:,}"
    for why, count in made.left_out.most_common(3):
        yield f"    no contract lets in {count:,}: {plain(why)}"


def _fields(group: Group, base: Contract) -> Sequence[FieldDiff]:
    from assay.contract.diff import diff

    return diff(base, group.suggestion.contract).fields


def _document(found: Proposal) -> dict[str, Any]:
    items = []
    for group in found.groups:
        made = group.suggestion
        changes = [
            {"field": each.label, "before": each.before, "after": each.after} for each in _fields(group, found.base)
        ]
        suggestion = {
            "events": made.events,
            "passed": made.passed,
            "accepted": made.accepted,
            "left_out": dict(made.left_out.most_common()),
            "changes": changes,
        }
        items.append(group.listed | {"suggestion": suggestion})
    return {
        "dataset": found.base.dataset,
        "contract": found.base.version,
        "items": items,
        "written": None if found.written is None else found.written.version,
        "is_new": found.is_new,
        "lets_in": list(found.let_in),
    }


def _one(reject: Mapping[str, Any]) -> str:
    replayed = f"  (replayed {reject['replayed_at'][:19]}Z)" if reject["replayed_at"] else ""
    return f"{reject['received_at'][:19]}Z  {plain(reject['source'])}  {_reasons(reject)}{replayed}\n    {_shortened(reject)}"


def _group(group: Mapping[str, Any]) -> str:
    sample = group["sample"]
    return (
        f"{group['count']:,} from {plain(', '.join(group['sources']))}, {group['first_seen'][:19]}Z to {group['last_seen'][:19]}Z:"
        f" {_reasons(sample)}\n    {_shortened(sample)}"
    )


def _reasons(reject: Mapping[str, Any]) -> str:
    return "; ".join(
        f"{plain('.'.join(map(str, error['loc']))) or 'the event'}: {plain(error['msg'])}"
        for error in reject["errors"][:3]
    )


def _shortened(reject: Mapping[str, Any]) -> str:
    text = plain(reject.get("body", "(binary)"))
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
