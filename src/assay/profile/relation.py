"""The profile of anything that DuckDB scans: frames, Arrow, relations, files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from assay.errors import UsageError
from assay.profile.batch import Progress
from assay.profile.document import Profile
from assay.profile.files import (
    TAKEN,
    Kind,
    arrow_file,
    broken_line,
    csv_file,
    file_kind,
    json_shape,
    parquet_files,
    reason,
)
from assay.profile.summarize import summarize, summarize_events
from assay.sql import sql_text

if TYPE_CHECKING:
    import duckdb
    import pandas as pd
    import pyarrow as pa

__all__ = ["profile", "profile_parquet"]


def profile(source: Any, *, dataset: str = "", progress: Progress | None = None) -> Profile:
    """Measure a frame, a relation, a file or a folder of Parquet files.

    JSON and NDJSON files are read as events, which tell missing from null and `1` from `1.0`; so are their numbers
    profiled. Elsewhere a NULL is either. In pandas NaN is a missing value, and a column of floats that has some is one of
    integers if all the others are whole: pandas made it so.

    Raises:
        UsageError: it cannot be read.
    """
    if isinstance(source, str | Path) and Path(source).is_dir():
        return profile_parquet([source], dataset=dataset, progress=progress)
    if isinstance(source, str | Path):
        with _connected(str(source)) as con:
            return _of_file(con, Path(source), dataset, progress)
    with _connected(f"this {type(source).__name__}", f"; take {TAKEN}") as con:
        return _of_table(con, _arrow_or_pandas(source), dataset, progress, _json_columns(source))


def profile_parquet(paths: Sequence[str | Path], *, dataset: str = "", progress: Progress | None = None) -> Profile:
    """Measure Parquet files, and those in folders, as one: columns are found by name, and a file without one has NULL there.

    Raises:
        UsageError: there are none, or they cannot be read.
    """
    files = ", ".join(sql_text(file) for file in parquet_files(paths))
    with _connected(", ".join(map(str, paths))) as con:
        relation = f"read_parquet([{files}], union_by_name = true)"
        return summarize(con, relation, dataset=dataset, progress=progress)


@contextmanager
def _connected(what: str, hint: str = "") -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB to read this with; its errors are ours, and end with the hint."""
    import duckdb

    with duckdb.connect() as con:
        # On stdout the progress would stand among the results.
        con.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
        try:
            yield con
        except duckdb.Error as error:
            raise UsageError(f"{what} cannot be read: {reason(error)}{hint}") from error


def _of_table(
    con: duckdb.DuckDBPyConnection,
    table: tuple[list[str], Any],
    dataset: str,
    progress: Progress | None,
    json_columns: frozenset[int] = frozenset(),
) -> Profile:
    """A table under names of our own: DuckDB's columns may not differ in case alone, and fields may."""
    names, safe = table
    con.register("source_table", safe)
    # assay's own columns are known by their names, which these are not: so they are left out here.
    own = "_collected_at" in names
    kept = [i for i, name in enumerate(names) if not (own and name.startswith("_"))]
    columns = ", ".join(f"c{i}::JSON AS c{i}" if i in json_columns else f"c{i}" for i in kept)
    relation = f"(SELECT {columns} FROM source_table)"
    return summarize(con, relation, dataset=dataset, progress=progress, names=[names[i] for i in kept])


def _json_columns(source: Any) -> frozenset[int]:
    """The columns of a DuckDB relation that hold JSON: Arrow would only know that they are text."""
    types = getattr(source, "types", None) if hasattr(source, "to_arrow_table") else None
    return frozenset(i for i, sql_type in enumerate(types or ()) if str(sql_type).upper() == "JSON")


def _arrow_or_pandas(source: Any) -> tuple[list[str], Any]:
    """The names of its columns, and the same table with columns `c0`, `c1`, ..."""
    import pyarrow as pa

    if type(source).__module__.partition(".")[0] == "pandas" and hasattr(source, "columns"):
        return _of_pandas(source)
    if hasattr(source, "collect") and hasattr(source, "collect_schema"):
        source = source.collect()  # a lazy frame of Polars'
    if hasattr(source, "to_arrow_table"):
        source = source.to_arrow_table()  # a relation of DuckDB's
    elif isinstance(source, pa.RecordBatch):
        source = pa.Table.from_batches([source])
    elif isinstance(source, pa.RecordBatchReader):
        source = source.read_all()
    elif hasattr(source, "__arrow_c_stream__") and not isinstance(source, pa.Table):
        source = pa.table(source)
    if not isinstance(source, pa.Table):
        raise UsageError(f"a {type(source).__name__} cannot be profiled; take {TAKEN}")
    return _of_arrow(source)


def _of_arrow(table: pa.Table) -> tuple[list[str], pa.Table]:
    names = _distinct(table.column_names)
    return names, table.rename_columns([f"c{i}" for i in range(len(names))])


def _of_pandas(frame: pd.DataFrame) -> tuple[list[str], pd.DataFrame]:
    names = _distinct([str(name) for name in frame.columns])
    columns: dict[str, Any] = {}
    for i in range(len(names)):
        column = frame.iloc[:, i]
        if column.dtype.kind == "f" and column.isna().any() and not column.isna().all():
            present = column.dropna()
            if (present % 1 == 0).all() and (present.abs() < 2**53).all():
                column = column.astype("Int64")
        columns[f"c{i}"] = column
    return names, type(frame)(columns)


def _distinct(names: list[str]) -> list[str]:
    if not names:
        raise UsageError("a table without columns cannot be profiled; is it the right one?")
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f'two columns are named "{name}"; rename one of them')
    return names


def _of_file(con: duckdb.DuckDBPyConnection, path: Path, dataset: str, progress: Progress | None) -> Profile:
    kind = file_kind(path)
    text = sql_text(path)
    if kind in {"json", "lines"}:
        return _of_json(con, path, kind, dataset, progress)
    if kind == "csv":
        return _of_table(con, _of_arrow(csv_file(con, path)), dataset, progress)
    if kind == "parquet":
        return summarize(con, f"read_parquet({text})", dataset=dataset, progress=progress)
    return _of_table(con, _of_arrow(arrow_file(path)), dataset, progress)


def _of_json(
    con: duckdb.DuckDBPyConnection, path: Path, kind: Kind, dataset: str, progress: Progress | None
) -> Profile:
    import duckdb

    read = f"read_json_objects({sql_text(path)}, format = '{json_shape(path, kind)}')"
    try:
        return summarize_events(con, f"(SELECT json AS body FROM {read})", dataset=dataset, progress=progress)
    except duckdb.InvalidInputException as error:
        said = _PLACE.sub(": ", reason(error))
        where = broken_line(con, path) if kind == "lines" else None
        raise UsageError(f"{path} cannot be read: {where or said}") from error


#: Where DuckDB saw malformed JSON; it counts otherwise than people do.
_PLACE: Final = re.compile(r" in file \".*\", at byte \d+ in (?:line|record/value) \d+: ")
