"""The values of a source, counted into the bins of contracts: how whatever DuckDB scans is spread, in one pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec

from assay.contract.document import Contract
from assay.errors import UnknownDataset
from assay.frames.sources import open_parts
from assay.ingest.arrow_values import YEARS_S, from_its_start, per_second, plain
from assay.monitor.bins import Columns, binned_fields
from assay.sql import quoted
from assay.store.columns import META_COLUMNS

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from assay.profile.batch import Progress

__all__ = ["Counts", "count_source", "count_stored"]

#: How many values of each field, by its label, fell into each of its bins, in the order of `Bins.labels`.
Counts: TypeAlias = dict[str, list[int]]

_ROWS: Final = 65_536
#: Without the first day of the year 1 and the last of 9999: Python has them in every zone.
_IN_EVERY_ZONE_S: Final = YEARS_S[86_400:-86_400]
_OWN: Final = frozenset(name for name, _ in META_COLUMNS)


def count_source(source: Any, contracts: Sequence[Contract], *, progress: Progress | None = None) -> list[Counts]:
    """Count the values of a frame, a relation or a file; lines that are no JSON object are left out.

    Raises:
        UsageError: it cannot be read.
    """
    counters = [_Counter(contract) for contract in contracts]
    for part in open_parts(source, contracts):
        for counter in counters:
            if part.batch is not None:
                counter.add_batch(part.batch, part.json_columns)
            else:
                counter.add_events(list(_events(part.lines or [])))
        if progress is not None:
            progress(part.done)
    return [counter.counts for counter in counters]


def count_stored(
    con: duckdb.DuckDBPyConnection, dataset: str, contracts: Sequence[Contract], *, progress: Progress | None = None
) -> list[Counts]:
    """Count what is stored of a dataset: the rows of its table, or where it has none the events that wait in `_learning`.

    Raises:
        UnknownDataset: there is neither.
    """
    counters = [_Counter(contract) for contract in contracts]
    tables = {name for (name,) in con.execute("SELECT table_name FROM duckdb_tables() WHERE NOT internal").fetchall()}
    table = quoted(dataset)
    if dataset in tables and (total := _count(con, f"SELECT count(*) FROM {table}", [])):
        names = [row[0] for row in con.execute(f"DESCRIBE {table}").fetchall() if row[0] not in _OWN]
        select, values = f"SELECT {', '.join(map(quoted, names))} FROM {table}", []
    elif "_learning" in tables:
        total = _count(con, "SELECT count(*) FROM _learning WHERE dataset = ?", [dataset])
        select, values = "SELECT body FROM _learning WHERE dataset = ?", [dataset]
        names = []
    else:
        raise UnknownDataset(dataset, "nothing of it is stored")
    seen = 0
    with con.sql(select, params=values).to_arrow_reader(_ROWS) as reader:
        for batch in reader:
            for counter in counters:
                if names:
                    counter.add_batch(batch)
                else:
                    counter.add_events(list(_events(batch.column(0).to_pylist())))
            seen += batch.num_rows
            if progress is not None:
                progress(seen / max(total, 1))
    return [counter.counts for counter in counters]


class _Counter:
    """Adds up the bins of one contract."""

    def __init__(self, contract: Contract) -> None:
        self._columns = Columns(contract)
        self._names = [field.name for field in contract.fields if field.bins is not None]
        self._is_flat = all(label in self._names for label, _ in binned_fields(contract))
        self.counts: Counts = {label: [0] * len(bins) for label, bins in self._columns.labels.items()}

    def add_batch(self, batch: pa.RecordBatch, json_columns: frozenset[str] = frozenset()) -> None:
        """Count the rows of a record batch; a column that is not there is null in all of them. `json_columns` hold JSON."""
        import pyarrow as pa

        batch = _with_times_of_python(batch)
        if not self._is_flat or not json_columns.isdisjoint(self._names):
            rows = batch.to_pylist()
            self.add_events([_with_values(row, json_columns) for row in rows] if json_columns else rows)
            return
        there = set(batch.schema.names)
        arrays = {
            name: _plain(batch.column(name)) if name in there else pa.nulls(batch.num_rows) for name in self._names
        }
        self._add(self._columns.count_arrays(arrays))

    def add_events(self, events: Sequence[dict[str, Any]]) -> None:
        """Count decoded events."""
        if events:
            self._add(self._columns.count(events))

    def _add(self, counted: Iterator[tuple[str, list[int]]]) -> None:
        for label, own in counted:
            total = self.counts[label]
            for place, count in enumerate(own):
                total[place] += count


def _plain(array: pa.Array) -> pa.Array:
    """With decimals as doubles, and the values of dictionaries."""
    import pyarrow as pa

    if pa.types.is_decimal(array.type):
        return array.cast(pa.float64())
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array


def _with_times_of_python(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Columns of moments as Python has them: to the microsecond; where it has none for one, their texts."""
    import pyarrow as pa

    columns = [_times_of_python(array) if _holds_times(array.type) else array for array in batch.columns]
    if all(array is given for array, given in zip(columns, batch.columns, strict=True)):
        return batch
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _holds_times(kind: pa.DataType) -> bool:
    import pyarrow as pa

    if pa.types.is_nested(kind):
        return any(_holds_times(kind.field(i).type) for i in range(kind.num_fields))
    return bool(pa.types.is_timestamp(kind))


def _times_of_python(array: pa.Array) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_nested(array.type):
        return plain(from_its_start(array))
    if array.type.unit == "ns":  # they reach from 1677 to 2262 alone
        return array.cast(pa.timestamp("us", array.type.tz), safe=False)
    # Not as Python's values: to make one of them, Arrow would load pandas.
    ends = pc.min_max(array.cast(pa.int64())).as_py()
    times = per_second(array.type)
    is_within = ends["min"] is None or all(ends[end] // times in _IN_EVERY_ZONE_S for end in ("min", "max"))
    return array if is_within else plain(array)


def _with_values(row: dict[str, Any], json_columns: frozenset[str]) -> dict[str, Any]:
    """A row, the JSON in it decoded; what is none is left out."""
    values = {name: cell for name, cell in row.items() if name not in json_columns}
    for name in json_columns:
        try:
            values[name] = None if row[name] is None else msgspec.json.decode(row[name])
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
    return values


def _events(lines: Sequence[bytes | str]) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            event = msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
        if isinstance(event, dict):
            yield event


def _count(con: duckdb.DuckDBPyConnection, query: str, values: list[Any]) -> int:
    ((count,),) = con.execute(query, values).fetchall()
    return int(count)
