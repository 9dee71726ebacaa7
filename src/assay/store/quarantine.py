"""The quarantine: listed, grouped, expired. Functions over a connection, for whoever has one."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import duckdb

from assay.store.protocol import Expired, Reject

__all__ = ["expire", "groups", "kept_bytes", "last_waiting", "mark_replayed", "rejects", "waiting"]

_SIZE = "octet_length(body) + strlen(CAST(violations AS VARCHAR))"


def rejects(con: duckdb.DuckDBPyConnection, dataset: str, *, limit: int, before: str | None = None) -> dict[str, Any]:
    """The newest refused bodies of a dataset, at most `limit`; `next` is what to ask `before` for more, or None."""
    if not _is_there(con):
        return {"dataset": dataset, "items": [], "next": None}
    older = "AND id < CAST(? AS UUID)" if before else ""
    rows = con.execute(
        "SELECT CAST(id AS VARCHAR), epoch_us(received_at), source, contract, content_type, body, violations, fingerprint,"
        f" epoch_us(replayed_at) FROM _quarantine WHERE dataset = ? {older} ORDER BY id DESC LIMIT ?",
        [dataset, *([before] if before else []), limit + 1],
    ).fetchall()
    found = [
        {
            "quarantine_id": id_,
            "received_at": _moment(received_us),
            "source": source,
            "contract": contract,
            "content_type": content_type,
            **_body(body),
            "errors": json.loads(violations),
            "fingerprint": mark,
            "replayed_at": _moment(replayed_us),
        }
        for id_, received_us, source, contract, content_type, body, violations, mark, replayed_us in rows[:limit]
    ]
    return {
        "dataset": dataset,
        "items": found,
        "next": found[-1]["quarantine_id"] if len(rows) > limit else None,
    }


def groups(con: duckdb.DuckDBPyConnection, dataset: str, *, limit: int, newest: int | None = None) -> dict[str, Any]:
    """The refused bodies of a dataset that were not replayed, by fingerprint, the most frequent first.

    Of each kind how many there are, since when, whose, and the last one. `newest` is how many of all refused bodies, those
    of other datasets included, are looked at; None: all. Where there are more than that, the document says so as `within`.
    """
    if not _is_there(con):
        return {"dataset": dataset, "items": [], "next": None}
    ((last,),) = con.execute("SELECT coalesce(max(rowid), -1) FROM _quarantine").fetchall()
    first = 0 if newest is None else max(0, last - newest + 1)
    rows = con.execute(
        "SELECT fingerprint, count(*) AS n, epoch_us(min(received_at)), epoch_us(max(received_at)),"
        " list_sort(list_distinct(list(source)))[:100], max(id) AS newest"
        " FROM _quarantine WHERE dataset = ? AND replayed_at IS NULL AND rowid >= ?"
        " GROUP BY fingerprint ORDER BY n DESC, newest DESC LIMIT ?",
        [dataset, first, limit],
    ).fetchall()
    wanted = [row[-1] for row in rows]
    samples = {
        id_: (body, violations)
        for id_, body, violations in con.execute(
            "SELECT id, body, violations FROM _quarantine WHERE rowid >= ? AND list_contains(?, id)", [first, wanted]
        ).fetchall()
    }
    found = []
    for mark, count, first_us, last_us, sources, id_ in rows:
        body, violations = samples[id_]
        found.append(
            {
                "fingerprint": mark,
                "count": count,
                "first_seen": _moment(first_us),
                "last_seen": _moment(last_us),
                "sources": sources,
                "sample": {"quarantine_id": str(id_), **_body(body), "errors": json.loads(violations)},
            }
        )
    return {"dataset": dataset, "items": found, "next": None, **({"within": newest} if first else {})}


def waiting(
    con: duckdb.DuckDBPyConnection,
    dataset: str,
    *,
    after: str,
    through: str,
    fingerprint: str,
    limit: int,
    max_bytes: int,
) -> list[Reject]:
    """See `Store.waiting`."""
    if not _is_there(con):
        return []
    bounds = [("id > CAST(? AS UUID)", after), ("id <= CAST(? AS UUID)", through), ("fingerprint = ?", fingerprint)]
    given = [(condition, value) for condition, value in bounds if value]
    where = " AND ".join(["dataset = ?", "replayed_at IS NULL", *(condition for condition, _ in given)])
    values = [dataset, *(value for _, value in given)]
    # Which they are, then how much they hold: a body may be as large as a request, and all others need not be looked at.
    ((end,),) = con.execute(
        f"SELECT CAST(max(id) AS VARCHAR) FROM (SELECT id FROM _quarantine WHERE {where} ORDER BY id LIMIT ?)",
        [*values, limit],
    ).fetchall()
    if end is None:
        return []
    sizes = con.execute(
        f"SELECT CAST(id AS VARCHAR), octet_length(body) FROM _quarantine WHERE {where} AND id <= CAST(? AS UUID) ORDER BY id",
        [*values, end],
    ).fetchall()
    last, total = "", 0
    for id_, size in sizes:
        total += size or 0
        if last and total > max_bytes:
            break
        last = id_
    rows = con.execute(
        "SELECT CAST(id AS VARCHAR), dataset, epoch_us(received_at), source, contract, content_type, body,"
        f" CAST(violations AS VARCHAR), fingerprint FROM _quarantine WHERE {where} AND id <= CAST(? AS UUID) ORDER BY id",
        [*values, last],
    ).fetchall()
    return [
        Reject(
            id_,
            dataset,
            datetime.fromtimestamp((received_us or 0) / 1e6, UTC),
            source or "unknown",
            contract,
            content_type or "",
            body or b"",
            violations or "[]",
            mark or "",
        )
        for id_, dataset, received_us, source, contract, content_type, body, violations, mark in rows
    ]


def last_waiting(con: duckdb.DuckDBPyConnection, dataset: str) -> str:
    """See `Store.last_waiting`."""
    if not _is_there(con):
        return ""
    ((last,),) = con.execute(
        "SELECT CAST(max(id) AS VARCHAR) FROM _quarantine WHERE dataset = ? AND replayed_at IS NULL", [dataset]
    ).fetchall()
    return last or ""


def mark_replayed(con: duckdb.DuckDBPyConnection, ids: Sequence[str], at: datetime) -> int:
    """See `Transaction.mark_replayed`."""
    import pyarrow as pa

    con.register("_replayed", pa.table({"id": pa.array(ids, pa.string())}))
    try:
        ((count,),) = con.execute(
            "UPDATE _quarantine SET replayed_at = ? FROM _replayed"
            " WHERE _quarantine.id = CAST(_replayed.id AS UUID) AND replayed_at IS NULL",
            [at],
        ).fetchall()
    finally:
        with contextlib.suppress(duckdb.Error):  # an aborted transaction cannot, and is closed anyway
            con.unregister("_replayed")
    return int(count)


def kept_bytes(con: duckdb.DuckDBPyConnection) -> int:
    """What is kept, bodies and reasons. Reads all of it."""
    ((size,),) = con.execute(f"SELECT coalesce(sum({_SIZE}), 0) FROM _quarantine").fetchall()
    return int(size)


def expire(con: duckdb.DuckDBPyConnection, *, before: datetime | None, excess_bytes: int, limit: int) -> Expired:
    """Delete the oldest, at most `limit`: those received `before`, and as many as make up `excess_bytes`."""
    oldest = con.execute(
        f"SELECT rowid, dataset, epoch_us(received_at), {_SIZE}, replayed_at IS NULL FROM _quarantine WHERE rowid IN"
        " (SELECT rowid FROM _quarantine ORDER BY received_at, id LIMIT ?) ORDER BY received_at, id",
        [limit],
    ).fetchall()
    before_us = None if before is None else round(before.timestamp() * 1e6)
    expired = Expired()
    rows = []
    for row, dataset, received_us, size, waits in oldest:
        if expired.size_bytes >= excess_bytes and (before_us is None or received_us >= before_us):
            break
        rows.append(row)
        if waits:
            expired.events[dataset] = expired.events.get(dataset, 0) + 1
        expired.size_bytes += size
    if rows:
        con.execute("DELETE FROM _quarantine WHERE list_contains(?, rowid)", [rows])
    expired.more = len(rows) == limit
    return expired


def _is_there(con: duckdb.DuckDBPyConnection) -> bool:
    return bool(con.execute("SELECT 1 FROM duckdb_tables() WHERE table_name = '_quarantine'").fetchall())


def _moment(us: int | None) -> str | None:
    if us is None:
        return None
    seconds, rest = divmod(us, 1_000_000)
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{rest:06d}Z"


def _body(body: bytes) -> dict[str, str]:
    """The body as text where it is some."""
    try:
        return {"body": body.decode()}
    except UnicodeDecodeError:
        return {"body_base64": base64.b64encode(body).decode()}
