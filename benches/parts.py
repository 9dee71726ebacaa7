"""The bare parts of the bulk path, strung together with no HTTP, no quarantine and no service: what ours is held against.

decode -> Arrow -> bins -> one SQLite FULL record -> DuckDB insert, the last two in threads, beside the next batch. Of an
Arrow stream: read -> compare -> bins -> the same.
"""

from __future__ import annotations

import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import duckdb
import msgspec
import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from assay.contract.document import Contract
from assay.contract.models import live_model
from assay.contract.structs import struct_plan

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Parts", "pydantic_errors"]

_astuple: Final = msgspec.structs.astuple
#: A thread that takes longer has failed.
_STUCK_S: Final = 60


class Parts:
    """Each step of the path, for one contract of plain numbers, with files in `folder`."""

    def __init__(self, contract: Contract, folder: Path) -> None:
        import pyarrow as pa

        plan = struct_plan(contract)
        assert plan is not None
        self.decode: Callable[[bytes], list[Any]] = msgspec.json.Decoder(plan.struct).decode_lines
        fields = contract.root.properties
        self._schema = pa.schema(
            [(each.name, pa.int64() if "integer" in each.types else pa.float64()) for each in fields]
        )
        self._limits = [(each.name, each.minimum, each.maximum) for each in fields]
        self._edges: list[npt.NDArray[np.float64]] = []
        for each in fields:
            assert each.bins is not None
            own = each.bins.edges if each.bins.values is None else sorted(map(float, each.bins.values))
            self._edges.append(np.array(own, dtype=np.float64))
        self.counts = [np.zeros(len(edges) + 1, dtype=np.int64) for edges in self._edges]
        self._log = sqlite3.connect(folder / "parts.log", isolation_level=None, check_same_thread=False)
        self._log.execute("PRAGMA journal_mode = WAL")
        self._log.execute("PRAGMA synchronous = FULL")
        self._log.execute("CREATE TABLE record (seq INTEGER PRIMARY KEY, payload BLOB NOT NULL)")
        self._store = duckdb.connect(str(folder / "parts.duckdb"), config={"threads": 2})
        columns = ", ".join(
            f'"{name}" {"BIGINT" if kind == pa.int64() else "DOUBLE"}' for name, kind in _items(self._schema)
        )
        self._store.execute(f"CREATE TABLE event ({columns})").fetchall()

    def arrow(self, events: Sequence[Any]) -> pa.RecordBatch:
        """Structs as columns."""
        import pyarrow as pa

        cells = zip(*map(_astuple, events), strict=True)
        arrays = [pa.array(column, kind) for column, (_, kind) in zip(cells, _items(self._schema), strict=True)]
        return pa.record_batch(arrays, schema=self._schema)

    def rows(self, body: bytes) -> pa.RecordBatch:
        """NDJSON as columns."""
        return self.arrow(self.decode(body))

    def read(self, body: bytes) -> pa.RecordBatch:
        """An Arrow stream of one batch as columns, checked as what comes from outside must be."""
        import pyarrow as pa

        with pa.ipc.open_stream(body) as stream:
            batch = stream.read_next_batch()
        batch.validate(full=True)
        return batch.select(self._schema.names).cast(self._schema)

    def compare(self, batch: pa.RecordBatch) -> None:
        """Hold each column to its two bounds."""
        import pyarrow.compute as pc

        for name, least, most in self._limits:
            column = batch.column(name)
            for limit, holds in ((least, pc.greater_equal), (most, pc.less_equal)):
                assert limit is None or pc.all(holds(column, limit)).as_py()

    def compared(self, body: bytes) -> pa.RecordBatch:
        """An Arrow stream as columns that keep their bounds."""
        batch = self.read(body)
        self.compare(batch)
        return batch

    def bins(self, batch: pa.RecordBatch) -> None:
        """Count each column's values."""
        for i, (edges, column) in enumerate(zip(self._edges, batch.columns, strict=True)):
            places = np.searchsorted(edges, column.to_numpy())
            self.counts[i] += np.bincount(places, minlength=len(edges) + 1)

    def ipc(self, batch: pa.RecordBatch) -> bytes:
        """The record's payload, as the log has it."""
        import pyarrow as pa

        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as writer:
            writer.write_batch(batch)
        return bytes(sink.getvalue())

    def sqlite(self, payload: bytes) -> None:
        """One durable record."""
        self._log.execute("INSERT INTO record (payload) VALUES (?)", [payload])

    def duckdb(self, batches: Sequence[pa.RecordBatch]) -> None:
        """One transaction."""
        import pyarrow as pa

        rows = pa.Table.from_batches(batches)
        self._store.register("rows", rows)
        self._store.execute("INSERT INTO event SELECT * FROM rows").fetchall()
        self._store.unregister("rows")

    def stored(self) -> int:
        """How many rows the table has."""
        [(count,)] = self._store.execute("SELECT count(*) FROM event").fetchall()
        return int(count)

    def run(self, bodies: Sequence[bytes], columns: Callable[[bytes], pa.RecordBatch]) -> float:
        """Seconds for all of it, until the table has all rows; `columns` is `rows` or `compared`, after what the bodies are."""
        before = self.stored()
        began = time.perf_counter()
        records: queue.Queue[pa.RecordBatch | None] = queue.Queue(8)
        rows: queue.Queue[pa.RecordBatch | None] = queue.Queue(32)
        threads = [
            threading.Thread(target=self._logging, args=(records, rows), daemon=True),
            threading.Thread(target=self._storing, args=(rows,), daemon=True),
        ]
        for thread in threads:
            thread.start()
        events = 0
        for body in bodies:
            batch = columns(body)
            events += batch.num_rows
            self.bins(batch)
            records.put(batch, timeout=_STUCK_S)
        records.put(None, timeout=_STUCK_S)
        for thread in threads:
            thread.join(_STUCK_S)
        took = time.perf_counter() - began
        assert self.stored() == before + events
        return took

    def close(self) -> None:
        """Let go of the files."""
        self._log.close()
        self._store.close()

    def _logging(self, records: queue.Queue[pa.RecordBatch | None], rows: queue.Queue[pa.RecordBatch | None]) -> None:
        while (batch := records.get()) is not None:
            self.sqlite(self.ipc(batch))
            rows.put(batch, timeout=_STUCK_S)
        rows.put(None, timeout=_STUCK_S)

    def _storing(self, rows: queue.Queue[pa.RecordBatch | None]) -> None:
        """A transaction takes whatever waits: as large as they come."""
        ended = False
        while not ended:
            waiting = [rows.get()]
            while not rows.empty():
                waiting.append(rows.get())
            ended = waiting[-1] is None
            batches = [batch for batch in waiting if batch is not None]
            if batches:
                self.duckdb(batches)


def pydantic_errors(contract: Contract, lines: Sequence[bytes]) -> float:
    """Seconds that Pydantic alone takes to refuse each line and to say why."""
    validate = live_model(contract).model_validate_json
    refused = 0
    began = time.perf_counter()
    for line in lines:
        try:
            validate(line)
        except ValidationError as error:
            refused += len(error.errors()) > 0
    took = time.perf_counter() - began
    assert refused == len(lines)
    return took


def _items(schema: pa.Schema) -> list[tuple[str, pa.DataType]]:
    return [(each.name, each.type) for each in schema]
