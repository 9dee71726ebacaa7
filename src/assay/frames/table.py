"""What is stored of a dataset, held to a contract: what it would have refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from assay.contract.document import Contract
from assay.errors import UnknownDataset
from assay.frames.check import note
from assay.frames.report import Report
from assay.frames.soft import Soft
from assay.frames.verdict import Verdict
from assay.sql import quoted
from assay.store.columns import META_COLUMNS
from assay.store.tables import later_columns

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from assay.profile.batch import Progress

__all__ = ["OWN", "check_stored", "column_types", "selections"]

_ROWS: Final = 65_536
#: assay's own columns.
OWN: Final = frozenset(name for name, _ in META_COLUMNS)


def check_stored(
    con: duckdb.DuckDBPyConnection,
    contract: Contract,
    *,
    since: datetime | None = None,
    progress: Progress | None = None,
) -> Report:
    """Judge the rows of the table of the contract's dataset as the events that they were, as far as the table has kept them.

    A column cannot tell null from missing: its NULL is null where the contract lets the field be null, and else missing. A
    date-time counts in UTC. What a column could not hold, and fields without one, are taken from `_extra`.

    Raises:
        UnknownDataset: there is no such table.
    """
    types = column_types(con, contract.dataset)
    if not types:
        raise UnknownDataset(contract.dataset, "nothing of it is stored")
    where, values = ("true", []) if since is None else ("_collected_at >= ?", [since])
    ((total,),) = con.execute(f"SELECT count(*) FROM {quoted(contract.dataset)} WHERE {where}", values).fetchall()
    verdict, report, soft = Verdict(contract), Report(), Soft(contract)
    report.soft = soft.broken
    for select, texts in selections(con, contract, types, where, values):
        with con.sql(select, params=values).to_arrow_reader(_ROWS) as reader:
            for batch in reader:
                _judge(report, verdict, batch, texts)
                soft.add_batch(batch)
                if progress is not None:
                    progress(report.rows_seen / max(total, 1))
    return report


def column_types(con: duckdb.DuckDBPyConnection, table: str) -> dict[str, str]:
    """The columns of a table with their types, in order; none where there is no such table."""
    rows = con.execute(
        "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = ? AND schema_name = 'main'"
        " AND database_name = current_database() ORDER BY column_index",
        [table],
    ).fetchall()
    return dict(rows)


def selections(
    con: duckdb.DuckDBPyConnection,
    contract: Contract,
    types: dict[str, str],
    where: str,
    values: list[Any],
    *,
    meta: Sequence[str] = ("_source", "_extra"),
) -> Iterator[tuple[str, frozenset[str]]]:
    """Queries that give every row once, each field under its own name, and which columns of it hold JSON.

    `meta` are the columns of assay's own that stand behind them. A field whose type has changed may have later columns: a
    row has its value in one of them.
    """
    own = [name for name in types if name not in OWN]
    named = {field.name for field in contract.fields}
    later = {column: name for column, name in later_columns(own).items() if column not in named}
    flags = [f"{quoted(column)} IS NOT NULL" for column in later]
    table = quoted(contract.dataset)
    query = f"SELECT DISTINCT {', '.join(flags)} FROM {table} WHERE {where}"
    for filled in con.execute(query, values).fetchall() if later else [()]:
        place = {name: name for name in own if name not in later}
        place |= {later[column]: column for column, yes in zip(later, filled, strict=True) if yes}
        columns = [f"{quoted(column)} AS {quoted(name)}" for name, column in place.items()]
        holds = [where, *(flag if yes else f"NOT ({flag})" for flag, yes in zip(flags, filled, strict=True))]
        select = f"SELECT {', '.join([*columns, *meta])} FROM {table} WHERE {' AND '.join(holds)}"
        yield select, frozenset(name for name, column in place.items() if types[column] == "JSON")


def _judge(report: Report, verdict: Verdict, batch: pa.RecordBatch, texts: frozenset[str]) -> None:
    import pyarrow as pa

    names = batch.schema.names
    sources, extra = batch.column(names.index("_source")), batch.column(names.index("_extra"))
    events = batch.select([name for name in names if name not in OWN])
    bad = list(verdict.of_batch(events, texts, extra))
    note(report, verdict, batch, bad, report.rows_seen)
    places = pa.array([place for place, _ in bad], pa.int64())
    report.sources += Counter(_text(source) for source in sources.take(places).to_pylist())


def _text(source: Any) -> str:
    return "unknown" if source is None else str(source)
