"""The files that data comes in: what each is, by its name, and how it is opened."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from assay.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["TAKEN", "Kind", "arrow_file", "file_kind"]

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
