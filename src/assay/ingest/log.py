"""The ingest log: where an acknowledged event is durable until it is in its table.

One SQLite database (WAL, `synchronous=FULL`), written in transactions that many requests share. Its format is written
down in docs/reference/store.md. One process at a time owns a log: it holds a lock on `<log>.lock`.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import sqlite3
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, ClassVar, Final, Self

from assay.contract.document import Contract
from assay.errors import FateUnknown, LogFailed, LogInUse
from assay.ingest import keys as key_table
from assay.ingest.checkpoint import PAGES_LEFT_TO_COMMITS, Checkpoints
from assay.ingest.keys import Kept
from assay.ingest.payload import unpack_request
from assay.ingest.record import Kind, Piece, Record, connect
from assay.ingest.reserve import Reserve

__all__ = ["Log"]

_FORMAT: Final = 1
_SCHEMA: Final = (
    key_table.SCHEMA
    + """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS opening (n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, base INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS contract (id INTEGER PRIMARY KEY, dataset TEXT NOT NULL, version INTEGER NOT NULL,
    document TEXT NOT NULL, UNIQUE (dataset, version, document));
CREATE TABLE IF NOT EXISTS record (seq INTEGER PRIMARY KEY AUTOINCREMENT, kind INTEGER NOT NULL, dataset TEXT NOT NULL,
    opening INTEGER NOT NULL REFERENCES opening, contract INTEGER REFERENCES contract, source TEXT NOT NULL, content_type TEXT NOT NULL, received_us INTEGER NOT NULL,
    events INTEGER NOT NULL, payload BLOB NOT NULL, key BLOB NOT NULL DEFAULT x'');
CREATE TABLE IF NOT EXISTS piece (id INTEGER PRIMARY KEY, request TEXT NOT NULL, kind INTEGER NOT NULL, events INTEGER NOT NULL,
    payload BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS piece_of ON piece (request, id);
CREATE TABLE IF NOT EXISTS learning (dataset TEXT PRIMARY KEY, bytes INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS seen (dataset TEXT PRIMARY KEY, last_us INTEGER NOT NULL) WITHOUT ROWID;
"""
)
_INSERT: Final = (
    "INSERT INTO record (kind, dataset, opening, contract, source, content_type, received_us, events, payload, key)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_INSERT_PIECE: Final = "INSERT INTO piece (request, kind, events, payload) VALUES (?, ?, ?, ?)"
_LATER: Final = "ALTER TABLE record ADD COLUMN key BLOB NOT NULL DEFAULT x''"
#: Pieces taken out in one transaction: requests wait for it.
_SWEPT_AT_ONCE: Final = 8
#: The same of records: so many, or the first ones that come to so many bytes.
_FREED_AT_ONCE: Final = 1_000
_FREED_BYTES_AT_ONCE: Final = 1 << 20
_PAGES_AT_ONCE: Final = 1024
_SPACE_WORTH_RETURNING: Final = 16 << 20
#: How often it is looked whether the file is still there, seconds: as apply reads it by its open handle, only a crash
#: in between could lose what went into a file that somebody has removed.
_CHECK_S: Final = 0.2
#: I/O errors that come before the log is synced: what was to be written is not in it. After any other one nobody knows:
#: the disk may have all of the transaction, although SQLite has taken it back.
_BEFORE_SYNC: Final = frozenset(
    (sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR_SHORT_READ, sqlite3.SQLITE_IOERR_WRITE)
)


class Log:
    """An open log. Its methods may be called from several threads.

    Raises:
        LogFailed: it cannot be opened or written, is no log, or belongs to another process.
    """

    #: A commit takes as long as this machine's disk does: who must not be held up may wait for a quick one.
    is_near: ClassVar[bool] = True

    def __init__(self, path: Path, *, keys_max_bytes: int = 1 << 30, clock: Callable[[], int] = time.time_ns) -> None:
        """`clock` tells nanoseconds since 1970, UTC: by it keys expire."""
        self.path = path
        self._keys_max_bytes = keys_max_bytes
        self._clock = clock
        #: How many keys were taken out before their time, to keep within `keys_max_bytes`, since the log was opened.
        self.keys_evicted = 0
        self._writing = threading.RLock()  # the committer appends and frees; apply compares with the store
        self._contracts: dict[int, int] = {}  # id() of a living contract -> its row
        self._living: list[Contract] = []
        self._lock_file = _take_lock(path)
        self._reserve = Reserve(path)
        self._is_in_doubt = False
        self._has_space = False  # the log is empty, and its file is large
        self._checkpoints: Checkpoints | None = None
        self._dead: deque[str] = deque()  # requests whose pieces nobody needs
        try:
            try:
                self._con = self._opened()
            except sqlite3.OperationalError as error:
                if not (_is_full(error) and self._reserve.release()):
                    raise
                self._con = self._opened()
            self._inode = path.stat().st_ino
            self._checked_at = 0.0
            self._reserve.make()
            self._dead.extend(self._orphans())
            self._checkpoints = Checkpoints(connect(path))
        except sqlite3.Error as error:
            self._lock_file.close()
            raise LogFailed(path, str(error)) from error
        except LogFailed:
            self._lock_file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file and the lock."""
        if self._checkpoints is not None:
            self._checkpoints.stop()
        self._con.close()
        self._reserve.discard()
        self._lock_file.close()

    def append(
        self,
        records: Sequence[Record],
        *,
        keys: Sequence[Kept] = (),
        pieces: Sequence[Piece] = (),
        free_through: int = 0,
    ) -> None:
        """Make `records` durable, in order, in one transaction, and the keys of the requests that they are from.

        The same transaction takes those out that the store has (`free_through`).

        `pieces` are durable too, and count for nothing until their request's last record is among the records.

        Raises:
            LogFailed: none of them is in the log, nor will be.
            FateUnknown: nobody can say.
        """
        self._check_writable()
        try:
            rows = [self._row(record) for record in records]
            if len(rows) == 1 and not (free_through or keys or pieces) and records[0].contract is not None:
                with self._writing:
                    self._con.execute(_INSERT, rows[0])  # a statement alone is a transaction
                self._committed()
                return
            evicted = 0
            with self._transaction():
                dead = self._free(free_through) if free_through else []
                if keys:
                    key_table.put_keys(self._con, keys)
                if keys or free_through:
                    evicted = self._trim_keys(len(keys))
                self._con.executemany(_INSERT, rows)
                self._con.executemany(_INSERT_PIECE, map(_piece_row, pieces))
                for record in records:
                    if record.contract is None:
                        self._con.execute(
                            "INSERT INTO learning VALUES (?, ?)"
                            " ON CONFLICT (dataset) DO UPDATE SET bytes = bytes + excluded.bytes",
                            [record.dataset, _size_bytes(record)],
                        )
            self._dead.extend(dead)
            self.keys_evicted += evicted
        except sqlite3.Error as error:
            self._forget_contracts()
            raise self._failed(error) from error

    def probe(self) -> None:
        """Write something that changes nothing.

        After a failed sync this settles what became of the transaction: its pages in SQLite's write-ahead log are
        written over, so that no recovery can ever find it whole.

        Raises:
            LogFailed: the log cannot be written.
        """
        self._checked_at = 0.0
        self._is_in_doubt, doubt = False, self._is_in_doubt
        try:
            self._check_writable()
            with self._transaction():
                self._write_meta("freed", self.freed_through)
            doubt = False
        except sqlite3.Error as error:
            raise self._failed(error) from error
        finally:
            self._is_in_doubt |= doubt

    def portion(self, through: int) -> int:
        """Of the records up to `through`, up to which one to take them out in one transaction: requests wait for it.

        SQLite has to find each page of them: 20 MB at once would hold up everybody for 30 ms.
        """
        last = size = 0
        with contextlib.suppress(sqlite3.Error):  # whoever takes them out is told
            rows = self._con.execute(
                "SELECT seq, length(payload) FROM record WHERE seq <= ? ORDER BY seq LIMIT ?",
                [through, _FREED_AT_ONCE + 1],
            )
            for count, (seq, length) in enumerate(rows):
                if count == _FREED_AT_ONCE or size >= _FREED_BYTES_AT_ONCE:
                    return last
                last, size = seq, size + length
        return through

    def free(self, through: int) -> None:
        """Take out the records up to `through`: the store has them. `sweep` gives the space back when the log is empty.

        Raises:
            LogFailed: it could not be done, not even with the room that is set aside for it.
        """
        dead: list[str] = []
        evicted = 0

        def work() -> None:
            nonlocal dead, evicted
            dead = self._free(through)
            evicted = self._trim_keys()

        self._take_out(work)
        self._dead.extend(dead)
        self.keys_evicted += evicted

    def drop(self, request: str) -> None:
        """The request will have no last record: its pieces go with the next `sweep`."""
        self._dead.append(request)

    @property
    def is_clean(self) -> bool:
        """Whether there is nothing to sweep."""
        return not (self._dead or self._has_space)

    @property
    def due_s(self) -> float | None:
        """After how many seconds there will be something to sweep, though nothing happens until then; None: never."""
        return None

    def sweep(self) -> None:
        """Take out some of the pieces that nobody needs, of requests that ended without a last record or are freed.

        Or give back some of the space of a log that is empty: 400 MB at once would hold up everybody for 2 s.

        Raises:
            LogFailed: it could not be done.
        """
        if not self._dead:
            if self._has_space:
                self._give_back()
            return
        request = self._dead[0]
        gone = 0

        def work() -> None:
            nonlocal gone
            gone = self._con.execute(
                "DELETE FROM piece WHERE id IN (SELECT id FROM piece WHERE request = ? ORDER BY id LIMIT ?)",
                [request, _SWEPT_AT_ONCE],
            ).rowcount

        self._take_out(work)
        if gone < _SWEPT_AT_ONCE:
            self._dead.popleft()

    def _give_back(self) -> None:
        try:
            if self.is_empty():
                # `execute` would take one step, one page
                self._con.executescript(f"PRAGMA incremental_vacuum({_PAGES_AT_ONCE})")
                (left,) = self._con.execute("PRAGMA freelist_count").fetchone()
                if left:
                    return
                assert self._checkpoints is not None
                with self._checkpoints.moving:
                    self._con.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            self._has_space = False
        except sqlite3.Error as error:
            self._has_space = False  # it is looked at again when something is taken out
            raise self._failed(error) from error

    def _take_out(self, work: Callable[[], None]) -> None:
        """Do in a transaction what makes room, with the reserve's room if it must be."""
        try:
            try:
                with self._transaction():
                    work()
            except sqlite3.OperationalError as error:
                if not (_is_full(error) and self._reserve.release()):
                    raise
                with self._transaction():
                    work()
            self._has_space = self.file_bytes() > _SPACE_WORTH_RETURNING and self.is_empty()
        except sqlite3.Error as error:
            raise self._failed(error) from error
        if self._reserve.is_missing:
            self._reserve.make()

    @property
    def freed_through(self) -> int:
        """The last sequence number that was taken out."""
        return int(str(self._meta("freed")))

    def last_seq(self) -> int:
        """The last sequence number ever given."""
        row = self._con.execute("SELECT seq FROM sqlite_sequence WHERE name = 'record'").fetchone()
        return max(int(row[0]) if row else 0, self.freed_through)

    def live(self) -> tuple[int, int, int | None]:
        """Of the records still here: events, payload bytes (of all pieces too), and when the oldest was received (microseconds)."""
        events, size, oldest = self._con.execute(
            "SELECT coalesce(sum(events), 0), coalesce(sum(length(payload)), 0), min(received_us) FROM record"
        ).fetchone()
        (pieces,) = self._con.execute("SELECT coalesce(sum(length(payload)), 0) FROM piece").fetchone()
        return events, size + pieces, oldest

    def learning_bytes(self) -> dict[str, int]:
        """How much each dataset without a contract has sent, what was refused included."""
        return dict(self._con.execute("SELECT dataset, bytes FROM learning"))

    def forget_learning(self, dataset: str) -> None:
        """The dataset has a contract now.

        Raises:
            LogFailed: it could not be written down.
        """
        try:
            with self._transaction():
                self._con.execute("DELETE FROM learning WHERE dataset = ?", [dataset])
        except sqlite3.Error as error:
            raise LogFailed(self.path, str(error)) from error

    def last_seen(self) -> dict[str, float]:
        """When each dataset's last event came, Unix time in seconds, as far as the log remembers."""
        rows = self._con.execute(
            "SELECT dataset, max(at) FROM (SELECT dataset, last_us AS at FROM seen UNION ALL"
            " SELECT dataset, max(received_us) FROM record GROUP BY dataset) GROUP BY dataset"
        )
        return {dataset: last_us / 1e6 for dataset, last_us in rows}

    def has_keys(self, after_us: int) -> bool:
        """Whether it knows a key that is younger than that."""
        return self._con.execute("SELECT 1 FROM idempotency WHERE at_us > ? LIMIT 1", [after_us]).fetchone() is not None

    def is_empty(self) -> bool:
        """Whether the store has everything."""
        left = "SELECT 1 FROM record UNION ALL SELECT 1 FROM piece LIMIT 1"
        return self._con.execute(left).fetchone() is None

    def file_bytes(self) -> int:
        """What the log takes on disk."""
        files = (self.path, self.path.with_name(self.path.name + "-wal"))
        return sum(file.stat().st_size for file in files if file.exists())

    def _opened(self) -> sqlite3.Connection:
        self._con = connect(self.path)
        try:
            self._con.execute(f"PRAGMA wal_autocheckpoint = {PAGES_LEFT_TO_COMMITS}")
            self._set_up()
        except BaseException:
            self._con.close()
            raise
        return self._con

    def _set_up(self) -> None:
        self._con.executescript(_SCHEMA)
        if ("key",) not in self._con.execute("SELECT name FROM pragma_table_info('record')").fetchall():
            self._con.execute(_LATER)  # made before requests were known by their keys beyond the log
        with self._transaction():
            if self._meta("format") is None:
                self._write_meta("format", _FORMAT)
                self._write_meta("freed", 0)
            elif self._meta("format") != _FORMAT:
                raise LogFailed(self.path, f"its format is {self._meta('format')}; this assay writes {_FORMAT}")
        self._begin()

    def _begin(self) -> None:
        """Begin an opening: what is written from now on belongs to it."""
        with self._transaction():
            cursor = self._con.execute(
                "INSERT INTO opening (id, base) VALUES (?, ?)", [uuid.uuid4().hex, self.last_seq()]
            )
        assert cursor.lastrowid is not None
        self._opening = cursor.lastrowid

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._writing, self._con:
            self._con.execute("BEGIN IMMEDIATE")
            yield
        self._committed()

    def _committed(self) -> None:
        if self._checkpoints is not None:
            self._checkpoints.wake()

    def _check_writable(self) -> None:
        """What would keep a transaction from being durable, as far as it can be known before."""
        self._check_present()
        if self._is_in_doubt:
            try:
                self.probe()
            except FateUnknown as error:  # of the probe: what comes now is not begun
                raise LogFailed(self.path, f"the disk fails: {error.__cause__}") from error
        if self._reserve.is_missing:
            self._reserve.make()
            if self._reserve.is_missing:
                raise LogFailed(self.path, "the disk is full; what is left is kept for taking records out of the log")

    def _failed(self, error: sqlite3.Error) -> LogFailed:
        """What an error of SQLite's means for who waits for the transaction."""
        # Where Python has no code, the error is the module's own: nothing was written.
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
        if code & 0xFF == sqlite3.SQLITE_IOERR and code not in _BEFORE_SYNC:
            self._is_in_doubt = True
            return FateUnknown(self.path, str(error))
        return LogFailed(self.path, str(error))

    def _check_present(self) -> None:
        """A file removed or replaced under us would take what we write with it."""
        now = time.monotonic()
        if now < self._checked_at + _CHECK_S:
            return
        try:
            present = self.path.stat().st_ino == self._inode
        except OSError:
            present = False
        if present:
            self._checked_at = now
        else:
            raise LogFailed(
                self.path, "was removed or replaced while the service runs; stop the service and start it again"
            )

    def _orphans(self) -> list[str]:
        """Requests that a killed process has left unfinished, or whose last record was freed and the pieces not yet."""
        requests = [row[0] for row in self._con.execute("SELECT DISTINCT request FROM piece")]
        return [request for request in requests if request not in self._requests(self.last_seq())] if requests else []

    def _requests(self, through: int) -> list[str]:
        """The large requests whose last record is here, and not beyond `through`."""
        rows = self._con.execute("SELECT payload FROM record WHERE kind = ? AND seq <= ?", [int(Kind.REQUEST), through])
        return [unpack_request(payload).request for (payload,) in rows]

    def _free(self, through: int) -> list[str]:
        """Take records out; the large requests among them, whose pieces are to go, too."""
        dead = self._requests(through)
        self._con.execute(
            "INSERT INTO seen SELECT dataset, max(received_us) FROM record WHERE seq <= ? GROUP BY dataset"
            " ON CONFLICT (dataset) DO UPDATE SET last_us = max(last_us, excluded.last_us)",
            [through],
        )
        self._con.execute("DELETE FROM record WHERE seq <= ?", [through])
        self._write_meta("freed", max(through, self.freed_through))
        return dead

    def _trim_keys(self, added: int = 0) -> int:
        now_us = self._clock() // 1000
        return key_table.trim_keys(self._con, now_us=now_us, max_bytes=self._keys_max_bytes, added=added)

    def _meta(self, key: str) -> object:
        row = self._con.execute("SELECT value FROM meta WHERE key = ?", [key]).fetchone()
        return None if row is None else row[0]

    def _write_meta(self, key: str, value: object) -> None:
        self._con.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", [key, value])

    def _row(self, record: Record) -> tuple[object, ...]:
        contract = None if record.contract is None else self._contract_row(record.contract)
        return (
            int(record.kind),
            record.dataset,
            self._opening,
            contract,
            record.source,
            record.content_type,
            record.received_us,
            record.events,
            record.payload,
            record.key,
        )

    def _contract_row(self, contract: Contract) -> int:
        """The contract's row: a log can be read without the workspace that it was written in."""
        row = self._contracts.get(id(contract))
        if row is None:
            key = (contract.dataset, contract.version or 0, json.dumps(contract.schema, ensure_ascii=False))
            with self._writing:
                self._con.execute("INSERT OR IGNORE INTO contract (dataset, version, document) VALUES (?, ?, ?)", key)
                (row,) = self._con.execute(
                    "SELECT id FROM contract WHERE dataset = ? AND version = ? AND document = ?", key
                ).fetchone()
            self._contracts[id(contract)] = row
            self._living.append(contract)  # or its id() might be given to another
        return int(row)

    def _forget_contracts(self) -> None:
        self._contracts.clear()
        self._living.clear()


def _piece_row(piece: Piece) -> tuple[object, ...]:
    record = piece.record
    return piece.request, int(record.kind), record.events, record.payload


def _size_bytes(record: Record) -> int:
    return unpack_request(record.payload).size_bytes if record.kind == Kind.REQUEST else len(record.payload)


def _is_full(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", None) in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE}


def _take_lock(path: Path) -> IO[bytes]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.with_name(path.name + ".lock").open("wb")
    except OSError as error:
        raise LogFailed(path, str(error)) from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise LogInUse(path) from error
    return file
