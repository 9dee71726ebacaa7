"""`assay check`."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from assay.cli.options import JsonOption, StoreOption, current_workspace
from assay.cli.output import app, plain, result, say
from assay.cli.progress import progress
from assay.contract.document import Contract
from assay.contract.versions import is_dataset_name
from assay.errors import UsageError

if TYPE_CHECKING:
    from assay.frames.report import Report
    from assay.monitor.audit import Alarm

__all__ = ["check"]

_SAMPLES: Final = 5
_LONGEST: Final = 160


@app.command()
def check(
    what: Annotated[str, typer.Argument(help="A file that DuckDB reads, or a dataset.", metavar="FILE|DATASET")],
    *,
    contract: Annotated[
        str | None,
        typer.Option(
            help="A file, DATASET@N, or for a dataset just N. By default the dataset's active one.", metavar="C"
        ),
    ] = None,
    rejects: Annotated[
        Path | None, typer.Option(help="Write the bad rows there, as Parquet.", metavar="FILE", dir_okay=False)
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(help="Of a dataset, only what was collected so long ago at most: 24h.", metavar="DURATION"),
    ] = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Hold data at rest to a contract: a file, or what is stored of a dataset. The exit code is 1 when a row breaks it."""
    if rejects is not None and rejects.suffix.lower() not in {".parquet", ".pq"}:
        raise UsageError(f"--rejects {rejects}: bad rows are written as Parquet; name it *.parquet")
    judge, report, alarms = _checked(what, contract, since, store)
    if rejects is not None:
        _write(rejects, report)
    name = contract if judge.version is None or contract is not None else f"{judge.dataset}@{judge.version}"
    document = {"checked": what, "contract": name, **report.to_document(), "sample": _sample(report)}
    lines = [*_lines(report)]
    if alarms is not None:
        raised = Counter((alarm.alert, alarm.field, alarm.source) for alarm in alarms)
        document["alarms"] = [
            {"alert": alert, "field": field, "source": source, "times": times}
            for (alert, field, source), times in raised.items()
        ]
        lines += _alarm_lines(raised)
    result("\n".join(lines), document, as_json=as_json)
    if rejects is not None and report.bad:
        say(f"assay: the bad rows are in {rejects}")
    if not report.ok:
        sys.exit(1)


def _checked(
    what: str, contract: str | None, since: str | None, store: str | None
) -> tuple[Contract, Report, Sequence[Alarm] | None]:
    """The contract, what was found, and of a span of a dataset the alarms that the contract's rules would have raised."""
    if Path(what).exists():
        from assay.frames.check import check as check_file

        if since is not None:
            raise UsageError("--since is for what is stored of a dataset: a file does not say when its rows came")
        if contract is None:
            raise UsageError(f"name the contract that {what} is held to: --contract")
        judge = Contract.load(contract) if Path(contract).is_file() else current_workspace(store).contract(contract)
        with progress(f"checking {what}") as tell:
            return judge, check_file(what, judge, progress=tell), None
    if not is_dataset_name(what):
        raise UsageError(f"{what} is neither a file that is there nor the name of a dataset")
    workspace = current_workspace(store)
    judge = workspace.candidate(what, contract)
    with progress(f"checking {what}") as tell:
        if since is None:
            return judge, workspace.check(what, judge, progress=tell), None
        ago = _ago(since)
        report = workspace.check(what, judge, since=ago, progress=tell)
    with progress(f"trying the rules of {judge.dataset}@{judge.version}") as tell:
        days = (datetime.now(UTC) - ago) / timedelta(days=1)
        (audited,) = workspace.audit(days=days, contract=judge, progress=tell)
    return judge, report, audited.raised


def _ago(duration: str) -> datetime:
    from assay.monitor.rule_settings import seconds

    return datetime.now(UTC) - timedelta(seconds=seconds(duration))


def _alarm_lines(raised: Counter[tuple[str, str, str]]) -> Iterator[str]:
    yield ""
    if not raised:
        yield "its rules would have raised no alarm in that time"
        return
    yield "alarms that its rules would have raised in that time (assay rules --audit lists them):"
    for (alert, field, source), times in raised.most_common():
        yield f"{times:>9,}  {' '.join(filter(None, (alert, plain(field), plain(source))))}"


def _write(path: Path, report: Report) -> None:
    import pyarrow.parquet as pq

    from assay.files import write_atomic

    try:
        import pyarrow as pa

        sink = pa.BufferOutputStream()
        pq.write_table(report.rows(), sink, compression="zstd")
        write_atomic(path, sink.getvalue().to_pybytes())
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error}") from error


def _lines(report: Report) -> Iterator[str]:
    if report.ok:
        yield f"{report.rows_seen:,} rows, all of them good"
    else:
        yield from _bad_lines(report)
    if broken := {rule: rows for rule, rows in report.soft.items() if rows}:
        yield ""
        yield "soft rules, which refuse nothing:"
        for rule, rows in broken.items():
            yield f"{rows:>9,}  not so: {plain(rule)}"


def _bad_lines(report: Report) -> Iterator[str]:
    share = report.bad / report.rows_seen
    yield f"{report.bad:,} of {report.rows_seen:,} rows are bad ({share:.2%})"
    yield ""
    for each in report.violations:
        rows = ", ".join(f"{row:,}" for row in each.first_rows) + (" …" if each.count > len(each.first_rows) else "")
        yield f"{each.count:>9,}  {plain(each.field) or 'the event'}: {plain(each.msg)}  (rows {rows})"
    if report.sources:
        yield ""
        yield "from " + ", ".join(f"{plain(name)} ({count:,})" for name, count in report.sources.most_common(20))
    yield ""
    yield "such as"
    for row in _sample(report):
        yield f"    {_shortened(row)}"


def _sample(report: Report) -> list[dict[str, Any]]:
    """The first of the bad rows by value, without what they lack."""
    rows = report.rows()
    if not rows.num_rows:
        return []  # nor load what it takes to show one, which takes longer than many a file
    import pyarrow as pa

    from assay.ingest.arrow_values import events, prepared

    first = rows.take(pa.array(range(min(rows.num_rows, _SAMPLES)), pa.int64())).combine_chunks()
    found = []
    for batch in map(prepared, first.to_batches()):
        columns = dict(zip(batch.schema.names, batch.columns, strict=True))
        found += list(events(columns, batch.num_rows, None))
    return [{name: cell for name, cell in row.items() if cell is not None and name != "_violations"} for row in found]


def _shortened(row: dict[str, Any]) -> str:
    text = plain(json.dumps(row, ensure_ascii=False, default=str))
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
