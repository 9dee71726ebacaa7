"""Idempotency keys: what was answered to a request that carried one, kept in the log in the same transaction as its events.

A key is known for `LIFETIME_S`. The oldest go first where all together take more than they may.
"""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from assay.errors import LogFailed
from assay.ingest.record import connect

__all__ = ["LIFETIME_S", "SCHEMA", "Kept", "KeyReader", "Slot", "digest_of", "put_keys", "trim_keys"]

LIFETIME_S: Final = 24 * 60 * 60

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS idempotency (n INTEGER PRIMARY KEY, dataset TEXT NOT NULL, source TEXT NOT NULL, key TEXT NOT NULL,
    digest BLOB NOT NULL, at_us INTEGER NOT NULL, rejected INTEGER NOT NULL, status INTEGER NOT NULL, answer BLOB NOT NULL,
    size INTEGER NOT NULL, UNIQUE (dataset, source, key));
"""
#: What a row and its place in the index take beside the texts, about.
_OVERHEAD_BYTES: Final = 100
#: Rows that a transaction takes out beyond twice those that it puts in.
_STEP: Final = 64
_BYTES: Final = "SELECT value FROM meta WHERE key = 'key_bytes'"


class Slot(NamedTuple):
    """What a key is unique within, and the key."""

    dataset: str
    source: str
    key: str


@dataclass(frozen=True, slots=True)
class Kept:
    """What is known of a key: of which body (`digest`), when, and what was answered.

    `rejected`: nothing of it was stored but in quarantine, so another body may be judged under the same key.
    """

    slot: Slot
    digest: bytes
    at_us: int
    rejected: bool
    status: int
    answer: bytes

    @property
    def stamp(self) -> bytes:
        """What it is known by beyond this log, 33 bytes: the slot, the body, and whether it was rejected."""
        return digest_of(*(part.encode() for part in self.slot)) + self.digest + bytes([self.rejected])

    @property
    def size_bytes(self) -> int:
        """What it takes in the log, about: the texts stand in the index, too."""
        return 2 * sum(len(part.encode()) for part in self.slot) + len(self.answer) + _OVERHEAD_BYTES


def digest_of(*parts: bytes) -> bytes:
    """Tells one body from another: BLAKE2b, 16 bytes. Where a part ends matters."""
    found = hashlib.blake2b(digest_size=16)
    for part in parts:
        found.update(len(part).to_bytes(8, "big"))
        found.update(part)
    return found.digest()


def put_keys(con: sqlite3.Connection, keys: Iterable[Kept]) -> None:
    """Keep keys, each in the place of what was known of it. Within a transaction of the caller's."""
    rows = []
    size = 0
    for kept in keys:
        own = kept.size_bytes
        gone = con.execute(
            "DELETE FROM idempotency WHERE dataset = ? AND source = ? AND key = ? RETURNING size", kept.slot
        ).fetchall()
        size += own - sum(row[0] for row in gone)
        rows.append((*kept.slot, kept.digest, kept.at_us, kept.rejected, kept.status, kept.answer, own))
    con.executemany(
        "INSERT INTO idempotency (dataset, source, key, digest, at_us, rejected, status, answer, size)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        rows,
    )
    _add_bytes(con, size)


def trim_keys(con: sqlite3.Connection, *, now_us: int, max_bytes: int, added: int = 0) -> int:
    """Take out keys that are too old, and the oldest while all take more than `max_bytes`; how many of the latter.

    Within a transaction of the caller's, which has added some; at most a step beyond twice those goes at once.
    """
    total = _bytes(con)
    last = taken = evicted = 0
    rows = con.execute("SELECT n, at_us, size FROM idempotency ORDER BY n LIMIT ?", [2 * added + _STEP])
    for n, at_us, size in rows:
        expired = at_us <= now_us - LIFETIME_S * 1_000_000
        if not expired and total - taken <= max_bytes:
            break
        last = n
        taken += size
        evicted += not expired
    rows.close()
    if last:
        con.execute("DELETE FROM idempotency WHERE n <= ?", [last])
        _add_bytes(con, -taken)
    return evicted


def _bytes(con: sqlite3.Connection) -> int:
    row = con.execute(_BYTES).fetchone()
    return 0 if row is None else int(row[0])


def _add_bytes(con: sqlite3.Connection, size: int) -> None:
    con.execute("INSERT OR REPLACE INTO meta VALUES ('key_bytes', ?)", [_bytes(con) + size])


class KeyReader:
    """Looks keys up beside those who write them: in one log, and in the `others` that are there. From any thread.

    Raises:
        LogFailed: a log cannot be opened.
    """

    def __init__(self, path: Path, others: Iterable[Path] = ()) -> None:
        self._lock = threading.Lock()
        self._logs: list[tuple[Path, sqlite3.Connection]] = []
        for each in (path, *others):
            try:
                con = connect(each, makes=each == path)  # at once: later the file may be gone, and would be made anew
                con.execute("PRAGMA query_only = ON")
            except sqlite3.Error as error:
                if each != path and not each.exists():  # it was moved, and deleted
                    continue
                self.close()
                raise LogFailed(each, str(error)) from error
            self._logs.append((each, con))

    def get(self, slot: Slot, now_us: int) -> Kept | None:
        """What is known of a key. What was accepted counts before what was refused, else what came later.

        Raises:
            LogFailed: a log cannot be read.
        """
        found = [kept for kept in (self._get(path, con, slot, now_us) for path, con in self._logs) if kept is not None]
        return max(found, key=lambda kept: (not kept.rejected, kept.at_us), default=None)

    def _get(self, path: Path, con: sqlite3.Connection, slot: Slot, now_us: int) -> Kept | None:
        try:
            with self._lock:
                rows = con.execute(  # to its end, or the statement would hold back the log's checkpoints
                    "SELECT digest, at_us, rejected, status, answer FROM idempotency"
                    " WHERE dataset = ? AND source = ? AND key = ? AND at_us > ?",
                    (*slot, now_us - LIFETIME_S * 1_000_000),
                ).fetchall()
        except sqlite3.Error as error:
            raise LogFailed(path, str(error)) from error
        if not rows:
            return None
        digest, at_us, rejected, status, answer = rows[0]
        return Kept(slot, digest, at_us, bool(rejected), status, answer)

    def close(self) -> None:
        """Let go of the files."""
        with self._lock:
            for _, con in self._logs:
                con.close()
