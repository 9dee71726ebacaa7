"""`assay rules`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from assay import settings as configuration
from assay.cli.options import ForceOption, JsonOption, StoreOption
from assay.cli.output import app, plain, result, say, tell
from assay.cli.progress import progress
from assay.cli.tables import aligned
from assay.errors import UsageError
from assay.settings import Settings
from assay.workspace import Rendered, Workspace

if TYPE_CHECKING:
    from assay.frames.audit import Audited
    from assay.monitor.audit import Alarm

__all__ = ["rules", "say_rendered"]

_DAYS: Final = 7.0


@app.command()
def rules(
    *,
    audit: Annotated[
        bool, typer.Option("--audit", help="Write nothing: list the alarms that the rules would have raised lately.")
    ] = False,
    days: Annotated[
        float | None, typer.Option(help=f"With --audit: how far back; {_DAYS:g} by default.", min=0.001, max=3660)
    ] = None,
    contract: Annotated[
        str | None,
        typer.Option(help="With --audit: the rules of this version, active or not.", metavar="DATASET@N"),
    ] = None,
    store: StoreOption = None,
    format_: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="Print a resource for Kubernetes in place of files: prometheus-rule or pod-monitor.",
            metavar="FORMAT",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="With --format: write it there.", metavar="FILE", dir_okay=False),
    ] = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Render `promconfig/` and `app/contracts.py` from the active contracts; promtool checks the rules where it is."""
    settings = configuration.load(store=store)
    if audit:
        if format_ is not None or output is not None:
            raise UsageError("an audit lists alarms and renders nothing: leave out --format and --output")
        _audit(settings, _DAYS if days is None else days, contract, as_json=as_json)
        return
    for name, given in (("--days", days), ("--contract", contract), ("--store", store)):
        if given is not None:
            raise UsageError(f"{name} is for an audit: assay rules --audit {name} {given}")
    workspace = Workspace(settings, tell=tell)
    if format_ is not None:
        _resource(workspace, format_, output, as_json=as_json)
        return
    if output is not None:
        raise UsageError(f"--output is for a resource: assay rules --format prometheus-rule --output {output}")
    rendered = workspace.render(force=force, thoroughly=True)
    written, checked = rendered
    text = "\n".join(map(str, written)) if written else "nothing has changed"
    result(text, {"written": [str(path) for path in written], "checked": checked}, as_json=as_json)
    say_rendered(rendered)
    _say_remarks(workspace)


def _resource(workspace: Workspace, kind: str, output: Path | None, *, as_json: bool) -> None:
    """Print a resource for Kubernetes, or write it; nothing else of the workspace is touched."""
    from assay.monitor.operator import RESOURCES

    if kind not in RESOURCES:
        raise UsageError(f'there is no format "{kind}"; take {" or ".join(RESOURCES)}')
    data, checked = workspace.resource(kind)
    text = data.decode()
    if output is not None:
        from assay.files import write_atomic

        try:
            write_atomic(output, data)
        except OSError as error:
            raise UsageError(f"{output} cannot be written: {error}") from error
    if output is None or as_json:
        result(text.removesuffix("\n"), {"format": kind, "text": text, "checked": checked}, as_json=as_json)
    if not checked:
        _say_unchecked()
    _say_remarks(workspace)


def say_rendered(rendered: Rendered) -> None:
    """Tell where nobody has checked the rules."""
    if not rendered[1]:
        _say_unchecked()


def _say_unchecked() -> None:
    say("assay: promtool is not here, so the rules were not checked; it comes with Prometheus")


def _say_remarks(workspace: Workspace) -> None:
    for remark in workspace.rendering.remarks():
        say(f"assay: alert_exceptions: {remark}")


def _audit(settings: Settings, days: float, contract: str | None, *, as_json: bool) -> None:
    """List what the rules would have said; the exit code is 1 when that is anything."""
    workspace = Workspace(settings, tell=tell)
    workspace.catch_up()
    candidate = None if contract is None else workspace.contract(contract)
    if candidate is not None and not candidate.dataset:
        raise UsageError(f"{contract} is of no dataset; name a version as DATASET@N")
    with progress("auditing") as advance:
        found = workspace.audit(days=days, contract=candidate, progress=advance)
    document = {"days": days, "datasets": [each.to_document() for each in found]}
    result("\n\n".join("\n".join(_lines(each, days)) for each in found), document, as_json=as_json)
    _say_remarks(workspace)
    if any(each.raised for each in found):
        sys.exit(1)


def _lines(audited: Audited, days: float) -> Iterator[str]:
    raised = len(audited.raised)
    alarms = "no alarm" if not raised else "1 alarm" if raised == 1 else f"{raised:,} alarms"
    held = len(audited.alarms) - raised
    more = f", {held:,} held back by exceptions" if held else ""
    name = f"{audited.contract.dataset}@{audited.contract.version}"
    yield f"{name}: {audited.events:,} events in the last {days:g} {'day' if days == 1 else 'days'}, {alarms}{more}"
    if audited.alarms:
        yield ""
        yield from aligned([_HEAD, *map(_row, audited.alarms)])
    held_by = {alarm.held_back.name: alarm.held_back for alarm in audited.alarms if alarm.held_back is not None}
    if held_by:
        yield ""
        for exception in held_by.values():
            how = "muted" if exception.widen is None else f"widened by {exception.widen:g}"
            yield f"{exception.name} is {how} until {exception.until}: {plain(exception.reason)}"


_HEAD: Final = ("from (UTC)", "until", "alert", "field", "source", "", "figure", "expected", "limit", "")


def _row(alarm: Alarm) -> Sequence[str]:
    from assay.frames.audit import moment

    def shown(value: float | None) -> str:
        return "" if value is None else f"{value:,.4g}"

    ends = "goes on" if alarm.until_s is None else moment(alarm.until_s)
    return (
        moment(alarm.from_s),
        ends,
        alarm.alert,
        plain(alarm.field),
        plain(alarm.source),
        plain(alarm.detail),
        shown(alarm.figure),
        shown(alarm.expected),
        shown(alarm.limit),
        "held back" if alarm.held_back is not None else "",
    )
