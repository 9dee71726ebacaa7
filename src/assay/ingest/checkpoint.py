"""Moves what SQLite's write-ahead log holds into the database, beside those who write it.

By default SQLite does so within a commit, whenever a thousand pages have come together: tens of milliseconds, that whoever
is in that transaction waits for. Here a thread with a connection of its own does it (`PRAGMA wal_checkpoint(PASSIVE)`,
which waits for nobody and keeps nobody waiting), and a commit does only what is left when it has fallen far behind.
https://www.sqlite.org/wal.html#checkpointing
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from typing import Final

__all__ = ["PAGES_LEFT_TO_COMMITS", "Checkpoints"]

#: With so many pages in the write-ahead log a commit moves them itself, and the log begins anew: 32 MiB.
PAGES_LEFT_TO_COMMITS: Final = 8_192
#: How long it waits after one move for more to move, seconds.
_PAUSE_S: Final = 0.05
_RETRY_S: Final = 1.0


class Checkpoints:
    """The thread. `wake` it after each commit; `stop` it before the database is closed."""

    def __init__(self, con: sqlite3.Connection) -> None:
        """`con` is its own from now on."""
        self._con = con
        #: Held while it moves: SQLite turns away whoever would do so at the same time.
        self.moving = threading.Lock()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="assay-checkpoint", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """There is something to move."""
        self._wake.set()

    def stop(self) -> None:
        """End, after the move that is under way."""
        self._stopping.set()
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        with contextlib.closing(self._con) as con:
            while self._wake.wait() and not self._stopping.is_set():
                self._wake.clear()
                try:
                    with self.moving:
                        con.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
                except sqlite3.Error:  # a full or failing disk: those who write are told, and it is tried again
                    self._stopping.wait(_RETRY_S)
                self._stopping.wait(_PAUSE_S)
