"""The store that an address names: a file or a lake."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from assay.errors import StoreLocked
from assay.store.address import Lake, is_lake

if TYPE_CHECKING:
    from collections.abc import Callable

    import duckdb

    from assay.store.ducklake import LakeStore
    from assay.store.embedded import DuckDBStore

__all__ = ["AnyStore", "connect", "open_store"]

AnyStore: TypeAlias = "DuckDBStore | LakeStore"


def open_store(where: Path | Lake, *, memory_limit: str, log: Callable[[], str] = str) -> AnyStore:
    """A store. `log` tells the id of the log that is moved there, where one is.

    Raises:
        UsageError: a lake, and what it takes is not installed.
    """
    if isinstance(where, Lake):
        from assay.store.ducklake import LakeStore

        return LakeStore(where, log=log(), memory_limit=memory_limit)
    from assay.store.embedded import DuckDBStore

    return DuckDBStore(where, memory_limit=memory_limit)


def connect(store: str | Path | Lake, *, timeout_s: float = 10.0) -> duckdb.DuckDBPyConnection:
    """A read-only connection to a store, tried again for `timeout_s` seconds while another program writes to the file.

    Close one to a file soon: while it is open, events wait in the log. One to a lake (`ducklake:…`) keeps nobody waiting.

    Raises:
        UsageError: it is a lake, and its name is none, or what it takes is not installed.
        StoreLocked, StoreFailed: it could not be opened until then.
    """
    if isinstance(store, str) and is_lake(store):
        store = Lake.named(store)
    if isinstance(store, Lake):
        from assay.store.ducklake import attach

        return attach(store, read_only=True)
    from assay.store.embedded import open_duckdb

    deadline = time.monotonic() + timeout_s
    while True:
        try:
            return open_duckdb(str(store), read_only=True)
        except StoreLocked:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
