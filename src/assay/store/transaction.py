"""What a round of writing may do, in DuckDB's SQL: the same for a file and for a lake."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import duckdb

from assay.contract.document import Contract
from assay.sql import quoted
from assay.store import quarantine
from assay.store.protocol import Expired, Learned, Refused
from assay.store.tables import Tables

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["TABLES", "SQLTransaction"]

#: The tables that are assay's own, by name: their columns.
TABLES: Final = {
    "_store": "id VARCHAR, format INTEGER, created_at TIMESTAMPTZ",
    "_marks": "log VARCHAR, seq BIGINT",
    "_gaps": "log VARCHAR, first BIGINT, last BIGINT, noticed_at TIMESTAMPTZ",
    "_quarantine": "id UUID, dataset VARCHAR, received_at TIMESTAMPTZ, source VARCHAR, contract INTEGER,"
    " content_type VARCHAR, body BLOB, violations JSON, fingerprint VARCHAR, replayed_at TIMESTAMPTZ",
    "_learning": "dataset VARCHAR, received_at TIMESTAMPTZ, source VARCHAR, body VARCHAR, cloudevent JSON",
}

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


class SQLTransaction:
    """What `Store.write` hands out."""

    def __init__(self, con: duckdb.DuckDBPyConnection, tables: Tables) -> None:
        self._con = con
        self._tables = tables

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

    def take_keys(self, stamps: Collection[bytes]) -> set[bytes]:
        """See `Transaction.take_keys`: nobody else writes here, and what came to the log before is known there."""
        del stamps
        return set()

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
            if self._is_trouble(error):
                raise
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

    def forget(self, dataset: str, through_row: int) -> int:
        """See `Transaction.forget`."""
        delete = "DELETE FROM _learning WHERE dataset = ? AND rowid <= ?"
        ((gone,),) = self._con.execute(delete, [dataset, through_row]).fetchall()
        return int(gone)

    def _is_trouble(self, error: duckdb.Error) -> bool:
        """Whether an error that looks like a refusal of rows is none: the store itself has it."""
        del error
        return False

    def _insert(self, table: str, rows: pa.Table) -> None:
        # DuckDB's threads share one large chunk better than many: they come to Python for each.
        self._con.register("_incoming", rows.combine_chunks())
        try:
            self._con.execute(f"INSERT INTO {quoted(table)} BY NAME SELECT * FROM _incoming")
        finally:
            with contextlib.suppress(duckdb.Error):  # an aborted transaction cannot, and is closed anyway
                self._con.unregister("_incoming")
