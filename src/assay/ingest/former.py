"""A log whose worker is no more, as fewer run than before: brought into the store to its end, then deleted.

Where it still knows idempotency keys it stays until they have expired: a repetition may come to any worker.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

from assay.ingest.apply import Applied, Applier, JudgeFor
from assay.ingest.keys import LIFETIME_S
from assay.ingest.log import Log
from assay.ingest.log_reader import Reader

__all__ = ["Former"]


class Former:
    """Owns the log until it is moved. Not thread-safe, but for `last_seq`."""

    def __init__(self, path: Path, make_applier: Callable[[Reader], Applier], *, keys_max_bytes: int) -> None:
        """`make_applier` makes what applies the log to the store."""
        self.path = path
        self._make_applier = make_applier
        self._keys_max_bytes = keys_max_bytes
        self._log: Log | None = None
        self._reader = Reader(path)
        self._applier: Applier | None = None
        self._last = 1  # until it is known, there is something to move
        #: It is moved, and let go of.
        self.is_done = False

    def last_seq(self) -> int:
        """The last sequence number that is to be moved."""
        return self._last

    def contracts_changed(self) -> None:
        """A contract was activated."""
        if self._applier is not None:
            self._applier.contracts_changed()

    def round(self, judge_for: JudgeFor) -> Applied:
        """As `Applier.round`; nothing once it is done.

        Raises:
            LogFailed: it cannot be read, or belongs to another process still.
            StoreLocked, StoreFailed: what had not been committed stays in the log.
        """
        if self.is_done:
            return Applied(self._last)
        if self._log is None:
            self._log = Log(self.path, keys_max_bytes=self._keys_max_bytes)
            self._last = self._log.last_seq()
            self._applier = self._make_applier(self._reader)
        assert self._applier is not None
        applied = self._applier.round(judge_for)
        if applied.through > self._log.freed_through:
            self._log.free(applied.through)
        while not self._log.is_clean:
            self._log.sweep()
        if applied.through >= self._last and not (applied.more or applied.waiting):
            self._end(self._log)
        return applied

    def close(self) -> None:
        """Let go of it as it is."""
        self._reader.close()
        if self._log is not None:
            self._log.close()
            self._log = None

    def _end(self, log: Log) -> None:
        knows_keys = log.has_keys(time.time_ns() // 1000 - LIFETIME_S * 1_000_000)
        if not knows_keys:  # while it is ours: nobody else can have opened it
            for ending in ("", "-wal", "-shm", ".lock"):
                with contextlib.suppress(FileNotFoundError):
                    self.path.with_name(self.path.name + ending).unlink()
        self.close()
        self.is_done = True
