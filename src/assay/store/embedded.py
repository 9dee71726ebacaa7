"""The store in one DuckDB file, held only while it is written to."""

from __future__ import annotations

import contextlib
import re
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import duckdb

from assay.contract.document import Contract
from assay.errors import StoreFailed, StoreLocked
from assay.store import quarantine
from assay.store.columns import quoted
from assay.store.protocol import Expired, Learned, Refused, Reject
from assay.store.tables import Tables

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["DuckDBStore", "connect", "open_duckdb"]

# Nothing is fetched from anywhere, whatever the file turns out to be.
_CONFIG: Final[dict[str, Any]] = {"threads": 2, "autoinstall_known_extensions": False}

_HOLDER: Final = re.compile(r"held in (.+?) \(PID (\d+)\)")
_BUSY: Final = ("could not set lock", "conflicting lock", "being used by another process")

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS _store (id VARCHAR, format INTEGER, created_at TIMESTAMPTZ);
CREATE TABLE IF NOT EXISTS _marks (log VARCHAR, seq BIGINT);
CREATE TABLE IF NOT EXISTS _gaps (log VARCHAR, first BIGINT, last BIGINT, noticed_at TIMESTAMPTZ);
CREATE TABLE IF NOT EXISTS _quarantine (id UUID, dataset VARCHAR, received_at TIMESTAMPTZ, source VARCHAR, contract INTEGER,
    content_type VARCHAR, body BLOB, violations JSON, fingerprint VARCHAR, replayed_at TIMESTAMPTZ);
CREATE TABLE IF NOT EXISTS _learning (dataset VARCHAR, received_at TIMESTAMPTZ, source VARCHAR, body VARCHAR,
    cloudevent JSON);
"""

# When DuckDB lets go of a file it rewrites what was added to it before, so that row groups are full: in a flood that
# takes more time than adding (measured: 1.1 to 1.4 us a row instead of 0.6, 9 instead of 5 where there is text). So it
# tidies one group at a time, and none after a round that brings many rows.
_MANY_ROWS: Final = 4_000

# What a table's owner may have decided: the rows are at fault, not the store.
_REFUSALS: Final = (
    duckdb.ConstraintException,
    duckdb.ConversionException,
    duckdb.InvalidInputException,
    duckdb.OutOfRangeException,
    duckdb.DataError,
    duckdb.BinderException,
    duckdb.CatalogException,
    duckdb.DependencyException,
    duckdb.NotImplementedException,
)


def open_duckdb(path: str, *, read_only: bool = False, memory_limit: str = "1GB") -> duckdb.DuckDBPyConnection:
    """Open a DuckDB file once.

    Raises:
        StoreLocked: another program holds it.
        StoreFailed: it is not a DuckDB file, is damaged, or cannot be reached.
    """
    try:
        return duckdb.connect(path, read_only=read_only, config=_CONFIG | {"memory_limit": memory_limit})
    except duckdb.Error as error:
        raise _translated(path, error) from error


def connect(path: str | Path, *, timeout_s: float = 10.0) -> duckdb.DuckDBPyConnection:
    """A read-only connection to a store, tried again for `timeout_s` seconds while another program writes to it.

    Close it soon: while it is open, events wait in the log.

    Raises:
        StoreLocked, StoreFailed: it could not be opened until then.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            return open_duckdb(str(path), read_only=True)
        except StoreLocked:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


class DuckDBStore:
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

    def size_bytes(self) -> int:
        """The file and its write-ahead log."""
        files = (self.path, self.path.with_name(self.path.name + ".wal"))
        return sum(file.stat().st_size for file in files if file.exists())

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
                raise _translated(self.name, error) from error
            except BaseException:
                self._tables.forget()
                raise
            finally:
                con.close()  # what was not committed is undone

    def rejects(
        self,
        dataset: str,
        *,
        limit: int,
        before: str | None = None,
        group: bool = False,
        newest: int | None = None,
        timeout_s: float = 5.0,
    ) -> dict[str, Any]:
        """See `Store.rejects`."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                with self.read() as con:
                    if group:
                        return quarantine.groups(con, dataset, limit=limit, newest=newest)
                    return quarantine.rejects(con, dataset, limit=limit, before=before)
            except StoreLocked:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
            except duckdb.Error as error:
                raise _translated(self.name, error) from error

    def waiting(
        self,
        dataset: str,
        *,
        after: str = "",
        through: str = "",
        fingerprint: str = "",
        limit: int,
        max_bytes: int,
    ) -> list[Reject]:
        """See `Store.waiting`."""
        with self._asking() as con:
            return quarantine.waiting(
                con,
                dataset,
                after=after,
                through=through,
                fingerprint=fingerprint,
                limit=limit,
                max_bytes=max_bytes,
            )

    def last_waiting(self, dataset: str) -> str:
        """See `Store.last_waiting`."""
        with self._asking() as con:
            return quarantine.last_waiting(con, dataset)

    @contextlib.contextmanager
    def _asking(self) -> Iterator[duckdb.DuckDBPyConnection]:
        try:
            with self.read() as con:
                yield con
        except duckdb.Error as error:
            raise _translated(self.name, error) from error

    @contextlib.contextmanager
    def read(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection for reading, for as long as the block takes."""
        with self._one_at_a_time:
            con = open_duckdb(str(self.path), memory_limit=self._memory_limit)
            try:
                yield con
            finally:
                con.close()


class DuckDBTransaction:
    """What `Store.write` hands out."""

    def __init__(self, con: duckdb.DuckDBPyConnection, tables: Tables) -> None:
        self._con = con
        self._tables = tables
        self._rows = 0

    def marks(self) -> dict[str, int]:
        """See `Transaction.marks`."""
        return dict(self._con.execute("SELECT log, seq FROM _marks").fetchall())

    def set_mark(self, log_id: str, seq: int) -> None:
        """See `Transaction.set_mark`."""
        self._con.execute("DELETE FROM _marks WHERE log = ?", [log_id])
        self._con.execute("INSERT INTO _marks VALUES (?, ?)", [log_id, seq])

    def forget_mark(self, log_id: str) -> None:
        """See `Transaction.forget_mark`."""
        self._con.execute("DELETE FROM _marks WHERE log = ?", [log_id])

    def note_gap(self, log_id: str, first: int, last: int) -> None:
        """See `Transaction.note_gap`."""
        self._con.execute("INSERT INTO _gaps VALUES (?, ?, ?, ?)", [log_id, first, last, datetime.now(UTC)])

    def insert(self, contract: Contract, rows: pa.Table) -> None:
        """See `Transaction.insert`."""
        try:
            names = self._tables.fit(self._con, contract, rows)
            placed = rows.rename_columns([names.get(name, name) for name in rows.column_names])
            self._insert(contract.dataset, placed)
        except _REFUSALS as error:
            raise Refused(str(error)) from error

    def quarantine(self, rejects: pa.Table) -> None:
        """See `Transaction.quarantine`."""
        self._insert("_quarantine", rejects)

    def quarantined(self) -> int:
        """See `Transaction.quarantined`."""
        ((count,),) = self._con.execute("SELECT count(*) FROM _quarantine WHERE replayed_at IS NULL").fetchall()
        return int(count)

    def quarantine_bytes(self) -> int:
        """See `Transaction.quarantine_bytes`."""
        return quarantine.kept_bytes(self._con)

    def expire(self, before: datetime | None, excess_bytes: int, limit: int) -> Expired:
        """See `Transaction.expire`."""
        return quarantine.expire(self._con, before=before, excess_bytes=excess_bytes, limit=limit)

    def mark_replayed(self, ids: Sequence[str], at: datetime) -> int:
        """See `Transaction.mark_replayed`."""
        return quarantine.mark_replayed(self._con, ids, at)

    def learn(
        self,
        dataset: str,
        received_at: datetime,
        source: str,
        bodies: Sequence[str],
        envelopes: Sequence[str] | None = None,
    ) -> None:
        """See `Transaction.learn`."""
        import pyarrow as pa

        count = len(bodies)
        rows = pa.table(
            {
                "dataset": pa.array([dataset] * count, pa.string()),
                "received_at": pa.array([received_at] * count, pa.timestamp("us", tz="UTC")),
                "source": pa.array([source] * count, pa.string()),
                "body": pa.array(bodies, pa.string()),
                "cloudevent": pa.array(envelopes if envelopes is not None else [None] * count, pa.string()),
            }
        )
        self._insert("_learning", rows)

    def learning(self) -> list[str]:
        """See `Transaction.learning`."""
        rows = self._con.execute("SELECT DISTINCT dataset FROM _learning ORDER BY dataset").fetchall()
        return [row[0] for row in rows]

    def learned(self, dataset: str, limit: int) -> list[Learned]:
        """See `Transaction.learned`."""
        rows = self._con.execute(
            "SELECT rowid, epoch_us(received_at), source, body, cloudevent::VARCHAR FROM _learning"
            " WHERE dataset = ? ORDER BY rowid LIMIT ?",
            [dataset, limit],
        ).fetchall()
        return [
            Learned(row, datetime.fromtimestamp(us / 1e6, UTC), source, body, cloudevent)
            for row, us, source, body, cloudevent in rows
        ]

    def forget(self, dataset: str, through_row: int) -> None:
        """See `Transaction.forget`."""
        self._con.execute("DELETE FROM _learning WHERE dataset = ? AND rowid <= ?", [dataset, through_row])

    def _insert(self, table: str, rows: pa.Table) -> None:
        self._rows += rows.num_rows
        if self._rows >= _MANY_ROWS:
            self._con.execute("SET max_vacuum_tasks = 0")
        # DuckDB's threads share one large chunk better than many: they come to Python for each.
        self._con.register("_incoming", rows.combine_chunks())
        try:
            self._con.execute(f"INSERT INTO {quoted(table)} BY NAME SELECT * FROM _incoming")
        finally:
            with contextlib.suppress(duckdb.Error):  # an aborted transaction cannot, and is closed anyway
                self._con.unregister("_incoming")


def _prepare(con: duckdb.DuckDBPyConnection) -> None:
    con.execute(_TABLES)
    columns = con.execute("SELECT column_name FROM duckdb_columns() WHERE table_name = '_learning'").fetchall()
    if ("cloudevent",) not in columns:  # made before there were CloudEvents
        con.execute("ALTER TABLE _learning ADD COLUMN cloudevent JSON")
    if not con.execute("SELECT 1 FROM _store").fetchall():
        con.execute("INSERT INTO _store VALUES (?, 1, ?)", [uuid.uuid4().hex, datetime.now(UTC)])


def _translated(path: str, error: duckdb.Error) -> StoreLocked | StoreFailed:
    text: Any = str(error)
    if any(sign in text.lower() for sign in _BUSY):
        holder = _HOLDER.search(text)
        return StoreLocked(path, f"{Path(holder[1]).name} (process {holder[2]})" if holder else "")
    return StoreFailed(path, text.splitlines()[0])
