"""What a store is asked while nothing is written: the same for a file and for a lake."""

from __future__ import annotations

import contextlib
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import duckdb

from assay.errors import ServiceError, StoreLocked
from assay.store import quarantine
from assay.store.protocol import Reject

__all__ = ["Reads"]


class Reads(ABC):
    """Asks the quarantine of a store that can be opened for reading."""

    @abstractmethod
    def read(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """A connection for reading, for as long as the block takes."""

    @abstractmethod
    def _translated(self, error: duckdb.Error) -> ServiceError:
        """An error of the engine's as one of ours."""

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
                raise self._translated(error) from error

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
            raise self._translated(error) from error
