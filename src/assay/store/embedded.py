"""The store in one DuckDB file, held only while it is written to."""

from __future__ import annotations

import contextlib
import re
import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import duckdb

from assay.errors import StoreFailed, StoreLocked
from assay.store.reads import Reads
from assay.store.tables import Tables
from assay.store.transaction import TABLES, SQLTransaction

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["DuckDBStore", "open_duckdb"]

# Nothing is fetched from anywhere, whatever the file turns out to be.
_CONFIG: Final[dict[str, Any]] = {"threads": 2, "autoinstall_known_extensions": False}

_HOLDER: Final = re.compile(r"held in (.+?) \(PID (\d+)\)")
_BUSY: Final = ("could not set lock", "conflicting lock", "being used by another process")

# When DuckDB lets go of a file it rewrites what was added to it before, so that row groups are full: in a flood that
# takes more time than adding (measured: 1.1 to 1.4 us a row instead of 0.6, 9 instead of 5 where there is text). So it
# tidies one group at a time, and none after a round that brings many rows.
_MANY_ROWS: Final = 4_000


def open_duckdb(path: str, *, read_only: bool = False, memory_limit: str = "1GB") -> duckdb.DuckDBPyConnection:
    """Open a DuckDB file once.

    Raises:
        StoreLocked: another program holds it.
        StoreFailed: it is not a DuckDB file, is damaged, or cannot be reached.
    """
    try:
        con = duckdb.connect(path, read_only=read_only, config=_CONFIG | {"memory_limit": memory_limit})
        con.execute("SET enable_progress_bar = false")  # it would stand on stdout, among a command's results
        return con
    except duckdb.Error as error:
        raise _translated(path, error) from error


class DuckDBStore(Reads):
    """The embedded store. One round at a time in this process; other programs may open the file between rounds."""

    def __init__(self, path: Path, *, memory_limit: str = "1GB") -> None:
        self.path = path
        self._memory_limit = memory_limit
        self._one_at_a_time = threading.Lock()
        self._tables = Tables()

    @property
    def name(self) -> str:
        """The file."""
        return str(self.path)

    @property
    def is_shared(self) -> bool:
        """No: one program at a time has the file."""
        return False

    def size_bytes(self) -> int:
        """The file and its write-ahead log."""
        files = (self.path, self.path.with_name(self.path.name + ".wal"))
        return sum(file.stat().st_size for file in files if file.exists())

    def close(self) -> None:
        """Nothing: the file is nobody's between rounds."""

    @contextlib.contextmanager
    def write(self) -> Iterator[DuckDBTransaction]:
        """One transaction; see `Store.write`."""
        with self._one_at_a_time:
            con = open_duckdb(str(self.path), memory_limit=self._memory_limit)
            try:
                con.execute("SET max_vacuum_tasks = 1")
                con.execute("BEGIN")
                _prepare(con)
                transaction = DuckDBTransaction(con, self._tables)
                yield transaction
                con.execute("COMMIT")
            except duckdb.Error as error:
                self._tables.forget()
                raise self._translated(error) from error
            except BaseException:
                self._tables.forget()
                raise
            finally:
                con.close()  # what was not committed is undone

    @contextlib.contextmanager
    def read(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection for reading, for as long as the block takes."""
        with self._one_at_a_time:
            con = open_duckdb(str(self.path), memory_limit=self._memory_limit)
            try:
                yield con
            finally:
                con.close()

    def _translated(self, error: duckdb.Error) -> StoreLocked | StoreFailed:
        return _translated(self.name, error)


class DuckDBTransaction(SQLTransaction):
    """What `Store.write` hands out."""

    def __init__(self, con: duckdb.DuckDBPyConnection, tables: Tables) -> None:
        super().__init__(con, tables)
        self._rows = 0

    def _insert(self, table: str, rows: pa.Table) -> None:
        self._rows += rows.num_rows
        if self._rows >= _MANY_ROWS:
            self._con.execute("SET max_vacuum_tasks = 0")
        super()._insert(table, rows)


def _prepare(con: duckdb.DuckDBPyConnection) -> None:
    for name, columns in TABLES.items():
        con.execute(f"CREATE TABLE IF NOT EXISTS {name} ({columns})")
    present = con.execute("SELECT column_name FROM duckdb_columns() WHERE table_name = '_learning'").fetchall()
    if ("cloudevent",) not in present:  # made before there were CloudEvents
        con.execute("ALTER TABLE _learning ADD COLUMN cloudevent JSON")
    if not con.execute("SELECT 1 FROM _store").fetchall():
        con.execute("INSERT INTO _store VALUES (?, 1, ?)", [uuid.uuid4().hex, datetime.now(UTC)])


def _translated(path: str, error: duckdb.Error) -> StoreLocked | StoreFailed:
    text: Any = str(error)
    if any(sign in text.lower() for sign in _BUSY):
        holder = _HOLDER.search(text)
        return StoreLocked(path, f"{Path(holder[1]).name} (process {holder[2]})" if holder else "")
    return StoreFailed(path, text.splitlines()[0])
