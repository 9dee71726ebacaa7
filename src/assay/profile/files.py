"""The files that data comes in: what each is, by its name, and how it is opened."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from assay.errors import UsageError

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

__all__ = ["TAKEN", "Kind", "arrow_file", "csv_file", "file_kind", "parquet_files"]

Kind: TypeAlias = Literal["json", "lines", "csv", "parquet", "arrow"]

TAKEN: Final = "a pandas or Polars frame, an Arrow table or reader, a DuckDB relation, or the path of a file"
_FILES: Final = "CSV, TSV, JSON, NDJSON, Parquet or Arrow (.arrow, .feather)"
_COMPRESSED: Final = (".gz", ".zst")
_KINDS: Final[dict[str, Kind]] = {
    ".json": "json",
    ".ndjson": "lines",
    ".jsonl": "lines",
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
}


def file_kind(path: Path) -> Kind:
    """What a file holds; `json` may be one value, an array or lines.

    Raises:
        UsageError: there is no such file, or its name says nothing that is known.
    """
    if not path.is_file():
        raise UsageError(f"{path} is no file; take {TAKEN}")
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in _COMPRESSED:
        suffixes.pop()
    suffix = suffixes[-1] if suffixes else ""
    if suffix not in _KINDS:
        raise UsageError(f'{path}: files named "*{suffix}" are not known; take {_FILES}, compressed or not')
    return _KINDS[suffix]


def parquet_files(paths: Sequence[str | Path]) -> list[Path]:
    """Parquet files: these, and those below these folders, in the order of their names.

    Raises:
        UsageError: there are none; or one of the paths is something else.
    """
    found = []
    for path in map(Path, paths):
        if path.is_dir():
            inside = [file for file in path.rglob("*.parquet") if file.is_file() and not _is_hidden(file, path)]
            if not inside:
                raise UsageError(f"{path} holds no Parquet files (*.parquet)")
            found += inside
        elif file_kind(path) == "parquet":
            found.append(path)
        else:
            raise UsageError(f"{path} is no Parquet file; only those are read together")
    return sorted(found, key=str)


def _is_hidden(file: Path, folder: Path) -> bool:
    """Whether writers keep it from readers, as Spark and Hive do: what they are not done with, and their notes."""
    return any(part.startswith((".", "_")) for part in file.relative_to(folder).parts)


def csv_file(
    con: duckdb.DuckDBPyConnection, path: Path, is_text: Callable[[str, str], bool] = lambda _name, _kind: False
) -> pa.Table:
    """A CSV file; an empty cell is null.

    DuckDB tells the type of each column from its cells. One that `is_text` says so of, by its name and that type in SQL, is
    text instead, each cell as it stands.
    """
    told = con.read_csv(str(path))
    texts = {name: "VARCHAR" for name, kind in zip(told.columns, told.types, strict=True) if is_text(name, str(kind))}
    return (con.read_csv(str(path), dtype=texts) if texts else told).to_arrow_table()


def arrow_file(path: Path) -> pa.Table:
    """An Arrow file, or a stream in one.

    Raises:
        UsageError: it is neither.
    """
    import pyarrow as pa

    try:
        with pa.memory_map(str(path)) as mapped:
            try:
                return pa.ipc.open_file(mapped).read_all()
            except pa.ArrowInvalid:
                mapped.seek(0)
                return pa.ipc.open_stream(mapped).read_all()
    except (pa.ArrowInvalid, OSError) as error:
        raise UsageError(f"{path} cannot be read as Arrow: {error}") from error
