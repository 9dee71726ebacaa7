"""The files that data comes in: what each is, by its name, and how it is opened."""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, Literal, TypeAlias

from assay.errors import UsageError

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

__all__ = [
    "BOM",
    "TAKEN",
    "Kind",
    "arrow_file",
    "broken_line",
    "csv_file",
    "file_kind",
    "json_shape",
    "parquet_files",
    "reason",
    "unpacked",
]

Kind: TypeAlias = Literal["json", "lines", "csv", "parquet", "arrow"]

TAKEN: Final = "a pandas or Polars frame, an Arrow table or reader, a DuckDB relation, or the path of a file"
_FILES: Final = "CSV, TSV, JSON, NDJSON, Parquet or Arrow (.arrow, .feather)"
#: A UTF-8 byte order mark. JSON has none, but editors put one at the start of files.
BOM: Final = b"\xef\xbb\xbf"
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
        raise UsageError(f"{path} is no file; take one of {_FILES}")
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in _COMPRESSED:
        suffixes.pop()
    suffix = suffixes[-1] if suffixes else ""
    if not suffix:
        raise UsageError(f"{path}: its name has no ending that tells what it holds; take {_FILES}, compressed or not")
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


#: As many as DuckDB looks at unless it is told otherwise.
_SAMPLE_ROWS: Final = 20_480


def csv_file(
    con: duckdb.DuckDBPyConnection, path: Path, is_text: Callable[[str, str], bool] = lambda _name, _kind: False
) -> pa.Table:
    """A CSV file; an empty cell is null.

    DuckDB tells the type of each column from the first rows, or from all of them where a later cell is none of that
    type: text takes any. A column that `is_text` says so of, by its name and that type in SQL, is text in any case, each
    cell as it stands.
    """
    import duckdb

    try:
        return _csv(con, path, is_text, _SAMPLE_ROWS)
    except duckdb.ConversionException:
        return _csv(con, path, is_text, -1)


def _csv(con: duckdb.DuckDBPyConnection, path: Path, is_text: Callable[[str, str], bool], sample: int) -> pa.Table:
    told = con.read_csv(str(path), sample_size=sample)
    texts = {name: "VARCHAR" for name, kind in zip(told.columns, told.types, strict=True) if is_text(name, str(kind))}
    return (con.read_csv(str(path), dtype=texts, sample_size=sample) if texts else told).to_arrow_table()


def json_shape(path: Path, kind: Kind) -> str:
    """The `format` by which DuckDB reads the events of a file of JSON; its others do not know a byte order mark."""
    import zstandard

    try:
        with path.open("rb") as raw, unpacked(path, raw) as file:
            start = file.read(_START_BYTES)
    except (OSError, EOFError, zlib.error, zstandard.ZstdError):
        start = b""  # DuckDB will say what is wrong with it
    if not start.startswith(BOM):
        return "auto" if kind == "json" else "newline_delimited"
    return "array" if kind == "json" and start.removeprefix(BOM).lstrip()[:1] == b"[" else "unstructured"


_START_BYTES: Final = 4_096


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


def unpacked(path: Path, raw: IO[bytes]) -> AbstractContextManager[IO[bytes]]:
    """The content of a file that is open, whatever it is packed by."""
    make = _UNPACK.get(path.suffix.lower())
    return raw if make is None else make(raw)


def _gzip(raw: IO[bytes]) -> AbstractContextManager[IO[bytes]]:
    import gzip

    return io.BufferedReader(gzip.GzipFile(fileobj=raw))


def _zstd(raw: IO[bytes]) -> AbstractContextManager[IO[bytes]]:
    import zstandard

    return io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True))


_UNPACK: Final[Mapping[str, Callable[[IO[bytes]], AbstractContextManager[IO[bytes]]]]] = {".gz": _gzip, ".zst": _zstd}


# ---- why one cannot be read


def reason(error: duckdb.Error) -> str:
    """What DuckDB says, in a line: without its own name for it, what it tried, and how SQL would be written otherwise."""
    lines = [line.strip() for line in str(error).partition("\n\n")[0].splitlines()]
    told = [line for line in lines if line and not line.startswith("Original Line:")][:2]
    return re.sub(r"^(?:[A-Z][A-Za-z]* )+Error: ", "", ": ".join(told)).rstrip(": .")


def broken_line(con: duckdb.DuckDBPyConnection, path: Path) -> str | None:
    """Which line of a file of JSON lines is none to DuckDB, and why; None where it is not found.

    DuckDB's own number counts no empty lines, and is one too high.
    """
    try:
        with path.open("rb") as raw, unpacked(path, raw) as file:
            for number, line in enumerate(file, 1):
                if body := (line.removeprefix(BOM) if number == 1 else line).strip():
                    why = _why_no_json(con, body)
                    if why is not None:
                        return f"line {number} {why}"
    except (OSError, EOFError, zlib.error):
        pass  # it is not whole, or gone
    return None


def _why_no_json(con: duckdb.DuckDBPyConnection, body: bytes) -> str | None:
    import msgspec  # which a file that is whole needs nothing of

    try:
        msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        try:
            text = body.decode()
        except UnicodeDecodeError as undecodable:
            return f"is not UTF-8 (byte {undecodable.start}); save the file as UTF-8"
        if con.execute("SELECT json_valid(?)", [text]).fetchone() != (True,):  # it takes more, as NaN
            return f"is no JSON: {str(error).removeprefix('JSON is malformed: ')}"
    return None
