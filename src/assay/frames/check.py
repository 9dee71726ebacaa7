"""Anything that DuckDB scans, held to a contract."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from assay.contract.document import Contract
from assay.frames.report import Report
from assay.frames.soft import Soft
from assay.frames.sources import open_parts
from assay.frames.verdict import Bad, Verdict

if TYPE_CHECKING:
    import pyarrow as pa

    from assay.profile.batch import Progress

__all__ = ["check", "note"]


def check(source: Any, contract: Contract, *, progress: Progress | None = None) -> Report:
    """Judge every row of a frame, a relation or a file, with the verdict that the service would give it as an event.

    In columns a null is null where the contract lets the field be null, and else a missing field; in pandas NaN is null.
    A time without a zone counts as one in UTC. JSON and NDJSON files are judged as they are.

    Raises:
        UsageError: the source cannot be read, or a column is of a type that has no JSON value.
    """
    verdict = Verdict(contract)
    report, soft = Report(), Soft(contract)
    report.soft = soft.broken
    for part in open_parts(source, [contract]):
        if part.batch is not None:
            soft.add_batch(part.batch)
            note(report, verdict, part.batch, list(verdict.of_batch(part.batch, part.json_columns)), part.first)
        else:
            assert part.lines is not None
            soft.add_lines(part.lines)
            _note_lines(report, verdict, part.lines, part.first)
        if progress is not None:
            progress(part.done)
    return report


def note(report: Report, verdict: Verdict, batch: pa.RecordBatch, bad: list[Bad], first: int) -> None:
    """Count the rows of a batch, the first of them number `first`, and keep the bad ones."""
    import pyarrow as pa

    report.rows_seen += batch.num_rows
    if not bad:
        return
    places = pa.array([place for place, _ in bad], pa.int64())
    rows = pa.Table.from_batches([batch]).take(places)
    _keep(report, verdict, rows, bad, first)


def _note_lines(report: Report, verdict: Verdict, lines: Sequence[bytes], first: int) -> None:
    import pyarrow as pa

    report.rows_seen += sum(1 for line in lines if line.strip())
    bad = list(verdict.of_lines(lines))
    if bad:
        bodies = [lines[place].strip().decode("utf-8", "replace") for place, _ in bad]
        _keep(report, verdict, pa.table({"_body": pa.array(bodies, pa.string())}), bad, first)


def _keep(report: Report, verdict: Verdict, rows: pa.Table, bad: list[Bad], first: int) -> None:
    import pyarrow as pa

    from assay.ingest.validate import violations_json

    for place, found in bad:
        report.count(first + place, [(verdict.label(each), each) for each in found])
    taken = set(rows.column_names)
    for name, cells in (
        ("_row", pa.array([first + place for place, _ in bad], pa.int64())),
        ("_violations", pa.array([violations_json(found) for _, found in bad], pa.string())),
    ):
        while name in taken:
            name += "_"  # noqa: PLW2901 - a column of the source has it
        rows = rows.append_column(name, cells)
    report.keep(rows)
