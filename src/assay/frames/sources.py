"""Frames, relations and files as parts to be judged: record batches, or lines of JSON."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from assay.contract.document import Contract, Field
from assay.errors import BadBody, UsageError
from assay.ingest.arrow_stream import texts_of
from assay.ingest.decode import is_array, split_array
from assay.profile.files import BOM, TAKEN, arrow_file, csv_file, file_kind, reason, unpacked
from assay.sql import quoted, sql_text

if TYPE_CHECKING:
    import duckdb
    import pandas as pd
    import pyarrow as pa

__all__ = ["Part", "open_parts"]

_ROWS: Final = 65_536
_BLOCK_BYTES: Final = 1 << 22


@dataclass(frozen=True, slots=True)
class Part:
    """Some rows of a source, the first of them number `first`; `done` is the share of it that has been read by then.

    `batch`, of whose columns `json_columns` hold JSON as text; or else `lines`, JSON in each.
    """

    first: int
    done: float
    batch: pa.RecordBatch | None = None
    lines: list[bytes] | None = None
    json_columns: frozenset[str] = frozenset()


def open_parts(source: Any, contracts: Sequence[Contract]) -> Iterator[Part]:
    """The parts of a source, one after the other.

    Where a file does not say itself what is text (CSV), the contracts that it is read for do.

    Raises:
        UsageError: it cannot be read, or is nothing that can be checked.
    """
    import pyarrow as pa
    import zstandard

    try:
        if isinstance(source, str | Path):
            yield from _of_file(Path(source), contracts)
        else:
            yield from _of_frame(source)
    except (pa.ArrowException, OSError, EOFError, zlib.error, zstandard.ZstdError) as error:
        if isinstance(source, str | Path):
            raise UsageError(f"{source} cannot be read: {error}") from error
        raise UsageError(f"this {type(source).__name__} cannot be read: {error}; take {TAKEN}") from error


# ---- frames


def _of_frame(source: Any) -> Iterator[Part]:
    import pyarrow as pa

    if type(source).__module__.partition(".")[0] == "pandas" and hasattr(source, "columns"):
        return _of_table(*_of_pandas(source))
    if hasattr(source, "collect") and hasattr(source, "collect_schema"):
        source = source.collect()  # a lazy frame of Polars'
    if hasattr(source, "to_arrow_table"):  # a relation of DuckDB's
        names = zip(source.columns, source.types, strict=True)
        texts = frozenset(name for name, kind in names if str(kind).upper() == "JSON")
        return _of_table(source.to_arrow_table(), texts)
    if isinstance(source, pa.RecordBatch):
        source = pa.Table.from_batches([source])
    elif isinstance(source, pa.RecordBatchReader):
        source = source.read_all()
    elif hasattr(source, "__arrow_c_stream__") and not isinstance(source, pa.Table):
        source = pa.table(source)
    if not isinstance(source, pa.Table):
        raise UsageError(f"a {type(source).__name__} cannot be checked; take {TAKEN}")
    return _of_table(source, frozenset())


def _of_table(table: pa.Table, json_columns: frozenset[str]) -> Iterator[Part]:
    _distinct(table.column_names)
    return _numbered(iter(table.to_batches(max_chunksize=_ROWS)), table.num_rows, json_columns)


def _numbered(batches: Iterator[pa.RecordBatch], total: int, json_columns: frozenset[str]) -> Iterator[Part]:
    first = 0
    for each in batches:
        batch, more = _as_taken(each)
        yield Part(first, (first + batch.num_rows) / max(total, 1), batch, json_columns=json_columns.union(more))
        first += batch.num_rows


def _as_taken(batch: pa.RecordBatch) -> tuple[pa.RecordBatch, list[str]]:
    """With texts instead of views of them, of which PyArrow takes no rows out, and of UUIDs and JSON; and which hold JSON.

    Parquet has UUIDs and JSON, and so have Arrow's extensions. Inside of lists and structs they stay what they are.
    """
    import pyarrow as pa

    columns, texts = [], []
    for name, given in zip(batch.schema.names, batch.columns, strict=True):
        array = given
        extension = getattr(array.type, "extension_name", None)
        if extension == "arrow.json":
            array = array.storage
            texts.append(name)
        elif extension == "arrow.uuid":
            cells = array.storage.to_pylist()
            array = pa.array([None if cell is None else str(UUID(bytes=cell)) for cell in cells], pa.string())
        if pa.types.is_string_view(array.type):
            array = texts_of(array)
        columns.append(array)
    if all(array is given for array, given in zip(columns, batch.columns, strict=True)):
        return batch, texts
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names), texts


def _distinct(names: list[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f'two columns are named "{name}"; rename one of them')


def _of_pandas(frame: pd.DataFrame) -> tuple[pa.Table, frozenset[str]]:
    """A frame as Arrow; its NaN are null. A column of objects that are not of one type becomes JSON text."""
    import pyarrow as pa

    columns: dict[str, pa.Array] = {}
    texts = set()
    names = [str(name) for name in frame.columns]
    _distinct(names)
    for i, name in enumerate(names):
        series = frame.iloc[:, i]
        try:
            columns[name] = pa.Array.from_pandas(series)
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
            missing = series.isna()
            cells = [
                None if gone else json.dumps(cell, default=str) for cell, gone in zip(series, missing, strict=True)
            ]
            columns[name] = pa.array(cells, pa.string())
            texts.add(name)
    return pa.table(columns), frozenset(texts)


# ---- files


def _of_file(path: Path, contracts: Sequence[Contract]) -> Iterator[Part]:
    kind = file_kind(path)
    if kind == "parquet":
        import pyarrow.parquet as pq

        with pq.ParquetFile(path) as file:
            _distinct(file.schema_arrow.names)
            yield from _numbered(_ahead(file.iter_batches(_ROWS)), file.metadata.num_rows, frozenset())
    elif kind == "arrow":
        yield from _of_table(arrow_file(path), frozenset())
    elif kind == "csv":
        yield from _of_csv(path, contracts)
    elif kind == "lines":
        yield from _of_lines(path)
    else:
        yield from _of_json(path)


def _ahead(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The same, the next one being read while one is judged: both let go of the interpreter."""
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = reader.submit(next, batches, None)
            yield batch


def _of_csv(path: Path, contracts: Sequence[Contract]) -> Iterator[Part]:
    import duckdb

    known = [{field.name: field for field in contract.fields} for contract in contracts]

    def described(name: str) -> list[Field]:
        return [fields[name] for fields in known if name in fields]

    def is_text(name: str, kind: str) -> bool:
        return bool(fields := described(name)) and all(_is_text(field, kind) for field in fields)

    try:
        with closing(duckdb.connect()) as con:
            con.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
            table, json_columns = _cell_by_cell(con, csv_file(con, path, is_text), described)
    except duckdb.Error as error:
        raise UsageError(f"{path} cannot be read as CSV: {reason(error)}") from error
    yield from _of_table(table, json_columns)


def _is_text(field: Field, kind: str) -> bool:
    """Whether a field takes a column of CSV as text, though its cells may look like numbers, truth values or times.

    Where it wants a time, and DuckDB reads one, in whatever form, it is that: so does the profile that it was learned from.
    """
    if not field.allows("string") or any(map(field.allows, ("integer", "number", "boolean"))):
        return False
    return field.format not in {"date", "date-time"} or not kind.startswith(("DATE", "TIMESTAMP"))


#: The JSON that a cell stands for: a number however it is written, a truth value, or else a text.
_CELL_AS_JSON: Final = r"""CASE WHEN {c} IS NULL THEN NULL
    WHEN regexp_full_match(trim({c}), '-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?') THEN trim({c})
    WHEN isfinite(TRY_CAST({c} AS DOUBLE)) THEN TRY_CAST({c} AS DOUBLE)::VARCHAR
    WHEN lower({c}) IN ('true', 'false') THEN lower({c}) ELSE to_json({c})::VARCHAR END"""
#: The RFC 3339 text of a moment, as `plain` has it of columns of them; or else the cell as it stands.
_CELL_AS_MOMENT: Final = r"""coalesce(regexp_replace(regexp_replace(
    strftime(timezone('UTC', TRY_CAST({c} AS TIMESTAMPTZ)), '%Y-%m-%dT%H:%M:%S.%fZ'),
    '\.0+Z$', 'Z'), '(\.[0-9]*[1-9])0+Z$', '\1Z'), {c})"""
#: The forms of days that DuckDB looks for in CSV, the one that it prefers first.
_DAYS: Final = tuple(
    form.replace("-", sign)
    for form in ("%y-%m-%d", "%Y-%m-%d", "%d-%m-%y", "%d-%m-%Y", "%m-%d-%y", "%m-%d-%Y")
    for sign in "-/. "
)
#: Cells that tell which of them a column has.
_DAYS_SEEN: Final = 20_480


def _cell_by_cell(
    con: duckdb.DuckDBPyConnection, table: pa.Table, described: Callable[[str], list[Field]]
) -> tuple[pa.Table, frozenset[str]]:
    """With the columns that came as text, though a contract says otherwise, read cell by cell; and which are JSON then.

    One cell that is no number makes all of a column text, and is the only one there that breaks the contract.
    """
    import pyarrow as pa

    con.register("cells", table)
    exprs, json_columns = {}, set()
    for name, kind in zip(table.column_names, table.schema.types, strict=True):
        fields = described(name)
        if not fields or not (pa.types.is_string(kind) or pa.types.is_string_view(kind)):
            continue
        if not any(field.allows("string") for field in fields):
            exprs[name] = _CELL_AS_JSON
            json_columns.add(name)
        elif all(field.format == "date-time" and _is_text(field, "VARCHAR") for field in fields):
            exprs[name] = _CELL_AS_MOMENT
        elif all(field.format == "date" and _is_text(field, "VARCHAR") for field in fields):
            exprs[name] = _cell_as_day(con, name)
    if not exprs:
        return table, frozenset()
    replaced = ", ".join(f"{expr.replace('{c}', quoted(name))} AS {quoted(name)}" for name, expr in exprs.items())
    return con.sql(f"SELECT * REPLACE ({replaced}) FROM cells").to_arrow_table(), frozenset(json_columns)


def _cell_as_day(con: duckdb.DuckDBPyConnection, name: str) -> str:
    """The ISO 8601 text of a day, where a cell is one in the form that most of them have; or else the cell as it stands."""
    counts = ", ".join(f"count(try_strptime(c, {sql_text(form)}))" for form in _DAYS)
    column = quoted(name)
    seen = f"SELECT {column} AS c FROM cells WHERE {column} IS NOT NULL LIMIT {_DAYS_SEEN}"
    found = con.sql(f"SELECT {counts} FROM ({seen})").fetchall()[0]
    form = max(zip(found, _DAYS, strict=True), key=itemgetter(0))[1]
    return f"coalesce(strftime(try_strptime({{c}}, {sql_text(form)}), '%Y-%m-%d'), {{c}})"


def _of_lines(path: Path) -> Iterator[Part]:
    size = max(path.stat().st_size, 1)
    first = 0
    with path.open("rb") as raw, unpacked(path, raw) as file:
        while lines := file.readlines(_BLOCK_BYTES):
            if not first:
                lines[0] = lines[0].removeprefix(BOM)
            yield Part(first, raw.tell() / size, lines=lines)
            first += len(lines)


def _of_json(path: Path) -> Iterator[Part]:
    """One event, an array of them, or lines."""
    with path.open("rb") as raw, unpacked(path, raw) as file:
        body = file.read().removeprefix(BOM)
    try:
        if is_array(body):
            lines = split_array(body)
        elif body.strip().count(b"\n") and not _is_one(body):
            lines = body.splitlines()
        else:
            lines = [body]
    except BadBody as error:
        raise UsageError(f"{path} cannot be read: {error}") from error
    for first in range(0, len(lines), _ROWS):
        yield Part(first, min(first + _ROWS, len(lines)) / len(lines), lines=lines[first : first + _ROWS])


def _is_one(body: bytes) -> bool:
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return False
    return True
