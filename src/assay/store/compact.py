"""Keeps a lake quick: small files made large, old states forgotten, files that nobody needs deleted."""

from __future__ import annotations

import contextlib
import random
import time
from dataclasses import dataclass
from typing import Any, Final

import duckdb

from assay.sql import sql_text
from assay.store.address import Lake
from assay.store.ducklake import attach, is_overtaken, translated

__all__ = ["Compacted", "compact"]

#: A file that was replaced may be read by who began before: it is deleted an hour later, or by a later call.
_READ_FOR_S: Final = 3600
#: A file that no transaction has entered yet may be of one that will.
_WRITTEN_FOR_S: Final = 24 * 3600
#: DuckLake compares moments in an SQLite catalogue as text that agrees in the date alone: a day later is never too early.
_SLACK_S: Final = 24 * 3600
_ATTEMPTS: Final = 10


@dataclass(frozen=True, slots=True)
class Compacted:
    """What was done: `files` became `into`, `states` of the lake were forgotten, `deleted` files removed."""

    files: int
    into: int
    states: int
    deleted: int


def compact(lake: Lake, *, history_s: float, memory_limit: str = "1GB") -> Compacted:
    """Tidy a lake, while others write to it. States older than `history_s` seconds cannot be read any more.

    Raises:
        StoreUnreachable: it is not there, does not answer, or others were there first again and again. What was done stays done.
    """
    slack_s = 0 if lake.file is None else _SLACK_S
    attach(lake, read_only=True).close()  # one that is not there is not made
    with contextlib.closing(attach(lake, memory_limit=memory_limit)) as con:
        try:
            _call(con, "DELETE FROM _keys WHERE taken_at < now() - INTERVAL 24 HOURS")
            for table in _marks(con):  # their old states pile up in the catalogue
                _call(con, f"CALL ducklake_flush_inlined_data('lake', table_name => {sql_text(table)})")
            states = _call(
                con, "CALL ducklake_expire_snapshots('lake', older_than => now() - to_seconds(?))", history_s + slack_s
            )
            merged = _call(con, "CALL ducklake_merge_adjacent_files('lake')")
            rewritten = _call(con, "CALL ducklake_rewrite_data_files('lake')")
            gone = _call(
                con,
                "CALL ducklake_cleanup_old_files('lake', older_than => now() - to_seconds(?))",
                _READ_FOR_S + slack_s,
            )
            lost = _call(
                con, "CALL ducklake_delete_orphaned_files('lake', older_than => now() - to_seconds(?))", _WRITTEN_FOR_S
            )
        except duckdb.Error as error:
            raise translated(lake, error) from error
    tables = [*merged, *rewritten]
    return Compacted(sum(row[2] for row in tables), sum(row[3] for row in tables), len(states), len(gone) + len(lost))


def _marks(con: duckdb.DuckDBPyConnection) -> list[str]:
    """The tables in the catalogue that are written again and again. What the registry has stays there."""
    query = "SELECT table_name FROM duckdb_tables() WHERE database_name = 'lake' AND regexp_matches(table_name, '^_(turn$|marks_)')"
    return [name for (name,) in con.execute(query).fetchall()]


def _call(con: duckdb.DuckDBPyConnection, what: str, *seconds: float) -> list[tuple[Any, ...]]:
    """One step, in a transaction of its own; again where another writer was there first."""
    for left in reversed(range(_ATTEMPTS)):
        try:
            # The functions take values, no parameters.
            return con.execute(what.replace("?", str(float(*seconds or (0,))))).fetchall()
        except duckdb.Error as error:
            if left == 0 or not is_overtaken(error):
                raise
            time.sleep(random.uniform(0.1, 1.0))  # noqa: S311  no secret
    raise AssertionError
