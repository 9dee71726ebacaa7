"""What the ingest log holds, and how a file of it is opened. The format is written down in docs/reference/store.md."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from dataclasses import field as attribute
from enum import IntEnum
from pathlib import Path
from typing import Final
from urllib.parse import quote

from assay.contract.document import Contract

__all__ = ["REJECTS", "Kind", "Opening", "Piece", "Record", "Stored", "connect"]

#: SQLite's number for `auto_vacuum = INCREMENTAL`.
_INCREMENTAL: Final = 2


class Kind(IntEnum):
    """What a record's payload holds (see `assay.ingest.payload`)."""

    EVENTS = 1
    FLAGGED = 2
    REJECTS = 3
    LEARNING = 4
    COLUMNS = 5
    CLOUDEVENTS = 6
    REQUEST = 7
    REJECT_COLUMNS = 8


#: The kinds of what goes to quarantine.
REJECTS: Final = (Kind.REJECTS, Kind.REJECT_COLUMNS)


@dataclass(frozen=True, slots=True)
class Record:
    """What one request leaves in the log, of one kind. `received_us` is in microseconds since 1970, UTC.

    `key` is what a request with an idempotency key is known by, in a store that several collectors write to; see `Kept.stamp`.
    """

    kind: Kind
    dataset: str
    contract: Contract | None
    source: str
    content_type: str
    received_us: int
    events: int
    payload: bytes
    key: bytes = attribute(default=b"", kw_only=True)


@dataclass(frozen=True, slots=True)
class Piece:
    """Some of what a large request leaves in the log. It counts once the request's last record, a REQUEST, is there."""

    request: str
    record: Record


@dataclass(frozen=True, slots=True)
class Stored(Record):
    """A record with its place in the log, and the id of the opening that it was written in.

    One that is a `piece` of a `request` has the place of that request's last record; `ends`: it is the last piece.
    """

    seq: int
    opening: str
    request: str = ""
    piece: int = 0
    ends: bool = True

    @property
    def mark(self) -> str:
        """Where the store keeps how far it came within the request."""
        return f"{self.opening}/{self.request}"


@dataclass(frozen=True, slots=True)
class Opening:
    """One time that the log was opened: records beyond `base`, up to the next opening's, belong to it.

    Each has a random id of its own, by which the store remembers how far it came. So a copy of the log that is put back
    shares with the store what was written before it was copied, and nothing that is written after.
    """

    id: str
    base: int


def connect(path: Path, *, makes: bool = True) -> sqlite3.Connection:
    """A connection in autocommit mode, durable at each commit. `makes`: the file is made where there is none.

    Raises:
        sqlite3.Error: it is no database, or cannot be opened.
    """
    name = f"file:{quote(str(path))}?mode={'rwc' if makes else 'rw'}"
    con = sqlite3.connect(
        name, timeout=10, isolation_level=None, check_same_thread=False, cached_statements=32, uri=True
    )
    try:
        # To set it is to write, even where it is set already: who reads must not need room, nor wait for who writes.
        if con.execute("PRAGMA auto_vacuum").fetchone() != (_INCREMENTAL,):
            con.execute("PRAGMA auto_vacuum = INCREMENTAL")  # takes effect in a new file alone
        con.execute("PRAGMA journal_mode = WAL")
        con.execute("PRAGMA synchronous = FULL")
        con.execute("PRAGMA journal_size_limit = 67108864")
    except BaseException:
        con.close()
        raise
    return con
