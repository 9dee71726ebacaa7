"""A log that is a stream of NATS JetStream's: an event is acknowledged once the stream has it on a majority of its servers.

The stream is the log. The SQLite log beside it is its copy on this machine, from which everything else goes on as with a
log that is a file: reading, keys, pieces, freeing. Whatever is written goes into the stream first, and from there into
the copy, the same way whether it was written here a moment ago or is read again: a copy that is behind, damaged or
missing is made whole from the stream, with the same sequence numbers. Its format is written down in docs/reference/store.md.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar, Final

import msgspec

from assay.contract.document import Contract
from assay.errors import FateUnknown, LogFailed, LogInUse
from assay.ingest import keys as key_table
from assay.ingest.keys import Kept, Slot
from assay.ingest.log import Log
from assay.ingest.payload import unpack_request
from assay.ingest.record import Kind, Piece, Record
from assay.ingest.stream import Message, Moved, Stream, StreamFailed, Unsettled
from assay.ingest.stream_address import StreamAddress
from assay.ingest.stream_codec import (
    Assembler,
    Begun,
    Document,
    Envelope,
    KeyRow,
    PieceRow,
    Row,
    State,
    Transaction,
    open_envelope,
    pack,
    split,
    unpack_begun,
    unpack_document,
    unpack_keys,
    unpack_state,
    unpack_transaction,
)

__all__ = ["StreamLog"]

#: `batch`: where in the stream a transaction begins, and the last record and piece when it was in.
#: `saved`: messages of keys, and the last row of the keys' table that they hold.
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS batch (first INTEGER PRIMARY KEY, last_seq INTEGER NOT NULL, last_piece INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS saved (seq INTEGER PRIMARY KEY, n INTEGER NOT NULL);
"""
_INSERT: Final = (
    "INSERT INTO record (seq, kind, dataset, opening, contract, source, content_type, received_us, events, payload, key)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_INSERT_PIECE: Final = "INSERT INTO piece (id, request, kind, events, payload) VALUES (?, ?, ?, ?, ?)"
_KEYS: Final = "SELECT dataset, source, key, digest, at_us, rejected, status, answer FROM idempotency WHERE n > ? ORDER BY n LIMIT ?"
_KEYS_AT_ONCE: Final = 5_000
#: Where the first batch begins of which the store has not everything, or a large request's pieces are still needed.
_FIRST_NEEDED: Final = "SELECT (SELECT first FROM batch WHERE last_seq > ? OR last_piece >= (SELECT min(id) FROM piece) ORDER BY first LIMIT 1)"
#: The last message of keys that are all forgotten by now.
_LAST_FORGOTTEN: Final = "SELECT max(seq) FROM saved WHERE n < coalesce((SELECT min(n) FROM idempotency), 1 << 62)"
_TABLES: Final = ("record", "piece", "opening", "contract", "idempotency", "learning", "seen", "batch", "saved")
#: How long an answer waits for the stream: longer than its servers take to agree on another leader.
_PATIENCE_S: Final = 15.0
#: While it is known to be out of reach.
_SHORT_S: Final = 1.0
_PAUSE_S: Final = 0.2
_PURGE_EVERY_S: Final = 1.0
_OPENED_AGAIN: Final = 3
_DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


class StreamLog(Log):
    """An open log in a stream, and its copy at `path`.

    Raises:
        UsageError: the client library is not installed.
        LogFailed: the stream cannot be had, or is not the one that the copy is of.
        LogInUse: another collector has the log.
    """

    is_near: ClassVar[bool] = False

    def __init__(
        self,
        path: Path,
        address: StreamAddress,
        *,
        keys_max_bytes: int = 1 << 30,
        clock: Callable[[], int] = time.time_ns,
        patience_s: float = _PATIENCE_S,
    ) -> None:
        """`patience_s`: for how long it is tried to settle what became of something that was published."""
        self.where = str(address)
        self._patience_s = patience_s
        self._turn = threading.RLock()  # one at a time writes into the stream
        self._fenced: LogInUse | None = None
        self._mine = uuid.uuid4()  # this opening
        self._last = 0  # the stream's last message, as far as we know
        self._taken = b""  # the batch that the copy took last
        self._late: set[Slot] = set()  # keys that came into the copy after those who now wait had looked
        self._to_purge = True
        self._purge_at = 0.0
        try:
            self._stream = Stream(address)
        except StreamFailed as failed:
            raise LogFailed(self.where, str(failed)) from failed
        try:
            try:
                super().__init__(path, keys_max_bytes=keys_max_bytes, clock=clock)
            except LogFailed as failed:
                if getattr(failed.__cause__, "sqlite_errorcode", None) not in _DAMAGED:
                    raise
                _put_aside(path)
                super().__init__(path, keys_max_bytes=keys_max_bytes, clock=clock)
        except BaseException:
            self._stream.close()
            raise

    def close(self) -> None:
        """Let go of the copy, its lock, and the stream."""
        super().close()
        self._stream.close()

    def append(
        self,
        records: Sequence[Record],
        *,
        keys: Sequence[Kept] = (),
        pieces: Sequence[Piece] = (),
        free_through: int = 0,
    ) -> None:
        """As `Log.append`; durable is what the stream has replicated.

        Raises:
            LogFailed: none of them is in the log, nor will be.
            FateUnknown: nobody can say.
        """
        with self._turn:
            self._check_writable()
            self._check_keys(keys)
            if records or keys or pieces:
                rows = [self._wire(record) for record in records]
                transaction = Transaction(
                    self._seq + 1,
                    self._piece + 1,
                    rows,
                    [
                        PieceRow(each.request, int(each.record.kind), each.record.events, each.record.payload)
                        for each in pieces
                    ],
                    [
                        KeyRow(*each.slot, each.digest, each.at_us, each.rejected, each.status, each.answer)
                        for each in keys
                    ],
                )
                self._put("log", pack(transaction), patience_s=self._patience_s)
            if free_through:
                with contextlib.suppress(LogFailed):  # what was asked for is durable; it is freed another time
                    self.free(free_through)

    def probe(self) -> None:
        """Settle what became of what was published last, and see whether the log takes anything.

        What the stream has comes into the copy. Then something that changes nothing is put behind it: whatever was on its
        way before can no longer get in, as another message stands where it was to stand.

        Raises:
            LogFailed: the log cannot be written.
        """
        with self._turn:
            self._is_in_doubt = True  # until the end
            try:
                self._catch_up(self._stream.last_seq())
                self._put("probe", b"", patience_s=_SHORT_S)
            except StreamFailed as failed:
                raise LogFailed(self.where, str(failed)) from failed
            except FateUnknown as unknown:
                raise LogFailed(self.where, str(unknown.__cause__)) from unknown
            except sqlite3.Error as error:
                raise LogFailed(self.path, str(error)) from error
            super().probe()

    @property
    def is_clean(self) -> bool:
        """Whether there is nothing to sweep, here or in the stream."""
        return super().is_clean and not (self._to_purge and time.monotonic() >= self._purge_at)

    @property
    def due_s(self) -> float | None:
        """When the stream is to drop what the store has, if it is."""
        return max(0.0, self._purge_at - time.monotonic()) if self._to_purge else None

    def sweep(self) -> None:
        """As `Log.sweep`; and now and then have that taken out of the stream which the store has.

        Raises:
            LogFailed: it could not be done.
        """
        if not super().is_clean:
            super().sweep()
            self._to_purge = True
            return
        with self._turn:
            self._purge_at = time.monotonic() + _PURGE_EVERY_S
            if not self._is_in_doubt:
                self._purge()

    # ---- opening

    def _begin(self) -> None:
        """Bring the copy in step with the stream, then begin an opening there."""
        self._con.execute("PRAGMA synchronous = NORMAL")  # what it loses in a crash is in the stream
        self._con.executescript(_SCHEMA)
        self._assembler = Assembler()
        try:
            self._compare()
            stated = self._stated()
            if stated is not None:
                with self._transaction():
                    self._note_known(stated)
            if self._stream.has_owner():
                raise LogInUse(
                    self.where, "another collector has it, and is there; stop that one, or name another stream"
                )
            for _ in range(_OPENED_AGAIN):
                self._catch_up(self._stream.last_seq(), is_opening=True)
                (n,) = self._con.execute("SELECT coalesce(max(n), 0) + 1 FROM opening").fetchone()
                try:
                    self._put("opening", pack(Begun(n, self._mine.hex, self._seq)), patience_s=self._patience_s)
                    break
                except _Overtaken:
                    continue  # the former owner was still at it
            else:
                raise LogInUse(self.where, "another collector writes into it")
        except StreamFailed as failed:
            raise LogFailed(self.where, str(failed)) from failed
        self._is_in_doubt = False
        self._opening = n

    def _compare(self) -> None:
        """Whether the copy is one of this stream.

        Raises:
            LogFailed: it is not, or the stream has not what the copy has; and the store may not have it either.
        """
        at = self._meta("stream_at")
        is_there = self._stream.exists()
        if at is not None and not is_there:
            raise self._estranged("the stream is not there any more")
        last = self._stream.open()
        self._load()
        if at is None:
            if self._seq or not self.is_empty():
                raise LogFailed(self.path, f"is a log of its own, and no copy of {self.where}; name another store")
            return
        deadline = time.monotonic() + self._patience_s
        while int(str(at)) > last and time.monotonic() < deadline:  # who leads since a moment ago may lag behind
            time.sleep(_PAUSE_S)
            last = self._stream.last_seq()
        if int(str(at)) > last:
            raise self._estranged(f"the stream ends at message {last}, and the copy has it up to {at}")
        stated = self._stated()
        first = self._stream.first("opening")
        own = [str(row[0]) for row in self._con.execute("SELECT id FROM opening ORDER BY n")]
        known = unpack_begun(open_envelope(first.body).data).id if first is not None else ""
        known = stated.openings[0].id if stated is not None else known
        if own[:1] == [known] and own[-1] == self._meta("stream_opening"):
            return
        if not self.is_empty():
            raise self._estranged("the copy is of another stream, or was written without it")
        self._wipe()
        self._load()

    def _estranged(self, reason: str) -> LogFailed:
        return LogFailed(
            self.where,
            f"{reason}. {self.path} has what was acknowledged and is not in the store yet: "
            f"`ASSAY_LOG={self.path} assay flush` brings it in; then remove that file, and start again",
        )

    def _wipe(self) -> None:
        with self._transaction():
            for table in _TABLES:
                self._con.execute(f"DELETE FROM {table}")
            self._con.execute("DELETE FROM sqlite_sequence")
            self._con.execute("DELETE FROM meta WHERE key != 'format'")
            self._write_meta("freed", 0)

    def _load(self) -> None:
        """What is kept in memory of the copy."""
        self._at = int(str(self._meta("stream_at") or 0))
        self._seq = self.last_seq()
        self._piece = int(str(self._meta("last_piece") or 0))
        self._rows = {
            Document(*document).digest: int(row)
            for row, *document in self._con.execute("SELECT id, dataset, version, document FROM contract")
        }
        self._digests: dict[int, bytes] = {}
        self._openings = {str(id_): int(n) for id_, n in self._con.execute("SELECT id, n FROM opening")}

    # ---- into the stream

    def _check_writable(self) -> None:
        if self._fenced is not None:
            raise self._fenced
        super()._check_writable()

    def _check_keys(self, keys: Sequence[Kept]) -> None:
        """What was judged before its key came to be known is to be judged again."""
        known = {each.slot for each in keys} & self._late
        if known:
            self._late -= known
            raise LogFailed(self.where, "it was settled only now what became of an earlier request with this key")

    def _wire(self, record: Record) -> Row:
        return Row(
            int(record.kind),
            record.dataset,
            b"" if record.contract is None else self._digest(record.contract),
            record.source,
            record.content_type,
            record.received_us,
            record.events,
            record.payload,
            record.key,
        )

    def _digest(self, contract: Contract) -> bytes:
        """The contract's digest; its document is in the stream before the first record that needs it."""
        digest = self._digests.get(id(contract))
        if digest is None:
            text = json.dumps(contract.schema, ensure_ascii=False)
            document = Document(contract.dataset, contract.version or 0, text)
            digest = document.digest
            if digest not in self._rows:
                try:
                    self._put(f"contract.{digest.hex()}", pack(document), patience_s=self._patience_s)
                except FateUnknown as unknown:  # of the contract: the records are not on their way yet
                    raise LogFailed(self.where, str(unknown.__cause__)) from unknown
            self._digests[id(contract)] = digest
            self._living.append(contract)  # or its id() might be given to another
        return digest

    def _put(self, kind: str, data: bytes, *, patience_s: float) -> None:
        """Put a batch into the stream, and what it holds into the copy.

        Raises:
            LogFailed: it is not there, nor will be.
            FateUnknown: nobody can say; or it is there, and the copy could not take it.
        """
        batch = uuid.uuid4().bytes
        bodies = split(self._mine.bytes, batch, data, self._stream.max_bytes)
        was_in_doubt, self._is_in_doubt = self._is_in_doubt, True
        try:
            self._stream.publish(kind, batch.hex(), bodies, after=self._last, patience_s=patience_s)
        except Moved as moved:
            self._look(batch, moved, is_opening=kind == "opening")
            self._is_in_doubt = was_in_doubt
            return
        except Unsettled as unsettled:
            raise FateUnknown(self.where, str(unsettled)) from unsettled
        except StreamFailed as failed:
            self._is_in_doubt = was_in_doubt or len(bodies) > 1  # some of its parts may be there
            raise LogFailed(self.where, str(failed)) from failed
        try:
            for body in bodies:
                self._last += 1
                self._take(Message(self._last, kind, body), is_own=True)
        except (sqlite3.Error, StreamFailed) as error:
            raise FateUnknown(self.path, f"the stream has it, and its copy here could not take it: {error}") from error
        self._is_in_doubt = was_in_doubt

    def _look(self, batch: bytes, moved: Moved, *, is_opening: bool) -> None:
        """Something stands in the place of a batch: the batch itself, whose acknowledgement was lost; or another's.

        Raises:
            LogInUse: another collector's.
            FateUnknown: it could not be seen.
        """
        late = set(self._late)
        try:
            self._catch_up(self._stream.last_seq(), is_opening=is_opening)
        except (StreamFailed, sqlite3.Error) as error:
            raise FateUnknown(self.where, str(error)) from error
        if self._taken == batch:
            self._late = late  # who waits for it is told
        elif is_opening:
            raise _Overtaken
        else:
            raise FateUnknown(self.where, str(moved)) from moved

    # ---- out of the stream, into the copy

    def _catch_up(self, through: int, *, is_opening: bool = False) -> None:
        """Bring what the stream has, up to a message, into the copy; `is_opening`: whoever has written it."""
        if through < self._at:
            raise StreamFailed(f"it ends at message {through}, and had {self._at} before")
        for message in self._stream.read(self._at, through):
            self._take(message, is_opening=is_opening)
        self._last = through

    def _take(self, message: Message, *, is_own: bool = False, is_opening: bool = False) -> None:
        """A message of the stream's, in its turn. `is_own`: it was published a moment ago."""
        try:
            envelope = open_envelope(message.body)
            if not (is_opening or envelope.opening == self._mine.bytes):
                self._fenced = LogInUse(
                    self.where, "another collector has taken it over; stop this one, or start it again to take it back"
                )
                raise self._fenced
            data = self._assembler.feed(message.seq, envelope)
            if data is not None:
                with self._transaction():
                    self._note(message, envelope, data, is_own=is_own, is_opening=is_opening)
                    self._write_meta("stream_at", message.seq)
                self._at = message.seq
                self._taken = envelope.batch
        except KeyError as error:
            raise StreamFailed(
                f"message {message.seq} needs one that is gone: something was taken out of the stream by hand"
            ) from error
        except msgspec.DecodeError as error:
            raise StreamFailed(
                f"message {message.seq} is none of assay's: somebody else publishes to its subjects; "
                "keep them from it, and start with another stream"
            ) from error

    def _note(self, message: Message, envelope: Envelope, data: bytes, *, is_own: bool, is_opening: bool) -> None:
        """Within a transaction. What is kept in memory is set to what it is then: it may be done again."""
        match message.kind:
            case "log":
                transaction = unpack_transaction(data)
                self._note_transaction(transaction, envelope)
                if not (is_own or is_opening):
                    self._late |= {Slot(key.dataset, key.source, key.key) for key in transaction.keys}
            case "opening":
                begun = unpack_begun(data)
                self._con.execute("INSERT OR REPLACE INTO opening VALUES (?, ?, ?)", [begun.n, begun.id, begun.base])
                self._write_meta("stream_opening", begun.id)
                self._openings[begun.id] = begun.n
            case "keys":
                self._note_saved(message.seq, unpack_keys(data))
            case "state" if not is_own:
                self._note_state(unpack_state(data))
            case "state" | "probe":
                pass
            case _:
                self._note_document(unpack_document(data))

    def _note_transaction(self, transaction: Transaction, envelope: Envelope) -> None:
        opening = self._openings[envelope.opening.hex()]
        seq, piece = transaction.first - 1, transaction.first_piece - 1
        rows = []
        for seq, row in enumerate(transaction.rows, transaction.first):
            contract = self._rows[row.contract] if row.contract else None
            rows.append((seq, row.kind, row.dataset, opening, contract, *msgspec.structs.astuple(row)[3:]))
            if contract is None:
                size = unpack_request(row.payload).size_bytes if row.kind == Kind.REQUEST else len(row.payload)
                self._con.execute(
                    "INSERT INTO learning VALUES (?, ?) ON CONFLICT (dataset) DO UPDATE SET bytes = bytes + excluded.bytes",
                    [row.dataset, size],
                )
        self._con.executemany(_INSERT, rows)
        if transaction.pieces:
            pieces = enumerate(transaction.pieces, transaction.first_piece)
            piece += len(transaction.pieces)
            self._con.executemany(_INSERT_PIECE, [(id_, *msgspec.structs.astuple(each)) for id_, each in pieces])
            self._write_meta("last_piece", piece)
        if transaction.keys:
            if self._con.execute("SELECT 1 FROM idempotency LIMIT 1").fetchone() is None:
                self._write_meta("saved_n", 0)  # rows are numbered from 1 again
                self._con.execute("DELETE FROM saved")
            key_table.put_keys(self._con, map(_kept, transaction.keys))
            self.keys_evicted += self._trim_keys(len(transaction.keys))
        self._con.execute("INSERT INTO batch VALUES (?, ?, ?)", [self._assembler.first, seq, piece])
        self._seq, self._piece = seq, piece

    def _note_saved(self, seq: int, keys: Sequence[KeyRow]) -> None:
        """Keys that outlive what they came with. Those that the copy knows already keep their place."""
        known = "SELECT n FROM idempotency WHERE dataset = ? AND source = ? AND key = ? AND at_us >= ?"
        last = 0
        for key in keys:
            slot = (key.dataset, key.source, key.key, key.at_us)
            row = self._con.execute(known, slot).fetchone()
            if row is None:
                key_table.put_keys(self._con, [_kept(key)])
                row = self._con.execute(known, slot).fetchone()
            last = max(last, row[0])
        self._trim_keys(len(keys))
        self._con.execute("INSERT INTO saved VALUES (?, ?)", [seq, last])
        self._write_meta("saved_n", last)

    def _stated(self) -> State | None:
        """The last message of what is to be known; None where there is none whole."""
        last = self._stream.last("state")
        try:
            envelope = None if last is None else open_envelope(last.body)
            return None if envelope is None or envelope.of > 1 else unpack_state(envelope.data)
        except msgspec.DecodeError:
            return None

    def _note_known(self, state: State) -> None:
        """Openings and contracts, wherever their own messages are."""
        for begun in state.openings:
            self._con.execute("INSERT OR IGNORE INTO opening VALUES (?, ?, ?)", [begun.n, begun.id, begun.base])
            self._openings[begun.id] = begun.n
        for document in state.documents:
            self._note_document(document)

    def _note_document(self, document: Document) -> None:
        key = (document.dataset, document.version, document.document)
        self._con.execute("INSERT OR IGNORE INTO contract (dataset, version, document) VALUES (?, ?, ?)", key)
        (self._rows[document.digest],) = self._con.execute(
            "SELECT id FROM contract WHERE dataset = ? AND version = ? AND document = ?", key
        ).fetchone()

    def _note_state(self, state: State) -> None:
        if state.freed > self.freed_through:
            self._dead.extend(self._free(state.freed))
        self._con.execute("DELETE FROM learning")
        self._con.executemany("INSERT INTO learning VALUES (?, ?)", state.learning.items())
        self._con.executemany(
            "INSERT INTO seen VALUES (?, ?) ON CONFLICT (dataset) DO UPDATE SET last_us = max(last_us, excluded.last_us)",
            state.seen.items(),
        )
        self._piece = max(self._piece, state.last_piece)
        self._seq = max(self._seq, state.freed)
        self._write_meta("last_piece", self._piece)

    # ---- out of the stream, once the store has it

    def _free(self, through: int) -> list[str]:
        self._to_purge = True
        return super()._free(through)

    def _purge(self) -> None:
        """Have the stream drop the batches that the store has; what is to be known beyond them is put into it before.

        Raises:
            LogFailed: it could not be.
        """
        self._to_purge = False
        try:
            while keys := self._con.execute(_KEYS, [int(str(self._meta("saved_n") or 0)), _KEYS_AT_ONCE]).fetchall():
                saved = [
                    KeyRow(dataset, source, key, digest, at_us, bool(rejected), status, answer)
                    for dataset, source, key, digest, at_us, rejected, status, answer in keys
                ]
                self._put("keys", pack(saved), patience_s=self._patience_s)
            state = State(
                self.freed_through,
                self._piece,
                self.learning_bytes(),
                dict(self._con.execute("SELECT dataset, last_us FROM seen")),
                [Begun(*row) for row in self._con.execute("SELECT n, id, base FROM opening ORDER BY n")],
                [Document(*row) for row in self._con.execute("SELECT dataset, version, document FROM contract")],
            )
            self._put("state", pack(state), patience_s=self._patience_s)
            (bound,) = self._con.execute(_FIRST_NEEDED, [state.freed]).fetchone()
            (kept,) = self._con.execute(_LAST_FORGOTTEN).fetchone()
            with self._transaction():
                self._con.execute("DELETE FROM batch WHERE first < ?", [bound or self._at])
                self._con.execute("DELETE FROM saved WHERE seq <= ?", [kept or 0])
        except sqlite3.Error as error:
            self._to_purge = True
            raise self._failed(error) from error
        except LogFailed:
            self._to_purge = True
            raise
        self._stream.purge("log", bound or self._at)
        for kind in ("state", "probe"):
            self._stream.purge(kind, self._at)
        if kept:
            self._stream.purge("keys", kept + 1)


class _Overtaken(Exception):
    """Another collector has written into the stream meanwhile."""


def _kept(key: KeyRow) -> Kept:
    slot = Slot(key.dataset, key.source, key.key)
    return Kept(slot, key.digest, key.at_us, key.rejected, key.status, key.answer)


def _put_aside(path: Path) -> None:
    """A damaged copy, for whoever wants to look at it; the stream has all of it."""
    for ending in ("", "-wal", "-shm"):
        file = path.with_name(path.name + ending)
        with contextlib.suppress(FileNotFoundError):
            file.rename(path.with_name(f"{path.name}.damaged{ending}"))
