"""`assay replay`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final

import typer

from assay.cli.options import DatasetArgument, JsonOption, StoreOption, current_workspace
from assay.cli.output import app, plain, result

__all__ = ["replay"]

_LONGEST: Final = 100
_SHOWN: Final = 20


@app.command()
def replay(
    dataset: DatasetArgument,
    *,
    contract: Annotated[
        int | None, typer.Option(min=1, help="The version to judge by; by default the active one.", metavar="N")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would pass, and move nothing.")] = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Judge the events in quarantine again. Those that pass go to their table, once; the others stay."""
    from assay.refused import replay as judge_again

    document = judge_again(current_workspace(store), dataset, number=contract, dry_run=dry_run)
    result("\n".join(_lines(document)), document, as_json=as_json)


def _lines(document: Mapping[str, Any]) -> Iterator[str]:
    name = f"{document['dataset']}@{document['contract']}"
    accepted, refused = document["accepted"], document["refused"]
    if not accepted + refused:
        yield f"nothing of {document['dataset']} waits in quarantine"
        return
    would = "would pass" if document["dry_run"] else "passed, and are in their table now"
    flagged = f", {document['flagged']:,} of them flagged" if document["flagged"] else ""
    yield f"{accepted:,} of {accepted + refused:,} refused events {would} by {name}{flagged}"
    if accepted:
        yield from _side("They had been refused for", document["accepts"])
    if refused:
        yield ""
        yield f"{refused:,} {'would still be' if document['dry_run'] else 'are still'} refused"
        yield from _side("For", document["refuses"])


def _side(what: str, side: Mapping[str, Any]) -> Iterator[str]:
    yield f"  {what}"
    for each in side["reasons"][:_SHOWN]:
        yield f"{each['events']:>9,}  {plain(each['field']) or 'the event'}: {plain(each['msg'])}"
    if len(side["reasons"]) > _SHOWN:
        yield f"           and {len(side['reasons']) - _SHOWN:,} other reasons"
    sources = list(side["sources"].items())
    more = f" and {len(sources) - _SHOWN:,} others" if len(sources) > _SHOWN else ""
    yield "  From " + ", ".join(f"{plain(name)} ({count:,})" for name, count in sources[:_SHOWN]) + more
    yield "  Such as"
    for each in side["sample"]:
        yield f"    {each['received_at'][:19]}Z  {plain(each['source'])}  {_shortened(each['body'])}"


def _shortened(body: str) -> str:
    text = plain(body)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
