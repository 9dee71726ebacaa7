"""The store in a lake: DuckLake, its catalogue in PostgreSQL (or an SQLite file), its rows in Parquet files.

Several collectors write to one lake. Nobody waits for a lock: a transaction that was overtaken by another one which it does
not go together with is undone, and done again by whoever wanted it.

DuckLake lets two transactions insert into one table, and refuses an insert beside a deletion in the same table. So how far
a log has come stands in a table of the log's own, and each transaction that moves the log writes its first row anew: of two
that would move the same records, as when a collector was killed while it committed, one fails. See docs/decisions/0080.
"""

from __future__ import annotations

import contextlib
import random
import re
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import duckdb

from assay.errors import ServiceError, StoreFailed, StoreUnreachable
from assay.sql import quoted, sql_text
from assay.store.address import Lake
from assay.store.extensions import load
from assay.store.protocol import Conflict, Expired
from assay.store.reads import Reads
from assay.store.tables import Tables
from assay.store.transaction import TABLES, SQLTransaction

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["LAKE_TABLES", "LakeStore", "LakeTransaction", "attach", "is_overtaken", "translated"]

_CONFIG: Final[dict[str, Any]] = {
    "threads": 2,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}

#: What a lake has beside the tables of `transaction.TABLES`: requests with a key, and what two that take keys both change;
#: contracts, who put which in force, and what two that change those both change.
LAKE_TABLES: Final = {
    "_keys": "slot BLOB, digest BLOB, rejected BOOLEAN, log VARCHAR, taken_at TIMESTAMPTZ",
    "_turn": "n BIGINT",
    "_contracts": "dataset VARCHAR, version INTEGER, document VARCHAR, profile VARCHAR, digest VARCHAR,"
    " added_at TIMESTAMPTZ",
    "_activations": "n BIGINT, dataset VARCHAR, done_at TIMESTAMPTZ, who VARCHAR, how VARCHAR, contract INTEGER,"
    " mode VARCHAR, fields VARCHAR",
    "_registry": "n BIGINT",
}
#: How long a request is known by its key.
_KEYS_FOR: Final = timedelta(hours=24)

#: How errors begin that mean: another one was there first.
_OVERTAKEN: Final = (
    "transaction conflict",
    "database is locked",
    "could not serialize",
    "deadlock detected",
    "retry count",
    "duplicate key value",
    "unique constraint failed",
)
_NO_SERVER: Final = re.compile(r'Unable to connect to Postgres at ".*?": (.*)')
_ELSEWHERE: Final = re.compile(r'DATA_PATH parameter "(.*?)" does not match existing data path in the catalog "(.*?)"')
#: So often in a row is something else than bad luck.
_MOST_CONFLICTS: Final = 30
_BEGUN_WITHIN: Final = 8
#: The files of catalogues that were looked at here, with their inodes.
_looked_at: Final[set[tuple[Path, int]]] = set()
_looking: Final = threading.Lock()
#: A lake that was not there is looked for again after so many seconds: to try is dear.
_AGAIN_S: Final = 1.0
#: How old the figures may be that would have all of the lake read, seconds.
_FRESH_S: Final = 60.0
#: Rows up to so many are kept in the catalogue and not in a file of their own. Not for events: PostgreSQL takes no text
#: with a NUL in it.
_INLINED: Final = 10
#: Of these too, beside the marks. JSON text has no NUL.
_IN_CATALOGUE: Final = ("_turn", "_contracts", "_activations", "_registry")


def attach(lake: Lake, *, read_only: bool = False, memory_limit: str = "1GB") -> duckdb.DuckDBPyConnection:
    """A connection to a database in memory with the lake attached, and in use.

    Raises:
        UsageError: an extension that it takes is not installed.
        StoreUnreachable: the lake is not there, or does not answer.
    """
    kind, _, rest = lake.catalogue.partition(":")
    con = duckdb.connect(":memory:", config=_CONFIG | {"memory_limit": memory_limit})
    try:
        con.execute("SET enable_progress_bar = false")
        load(con, "ducklake", f"{kind}_scanner")
        con.execute("SET ducklake_default_data_inlining_row_limit = 0")
        options = ["READ_ONLY"] if read_only else []
        if lake.data and not read_only:
            options.append(f"DATA_PATH {sql_text(lake.data)}")
        if lake.file is not None:
            _look_at(lake, lake.file, read_only=read_only)
        if lake.is_on_s3 or not lake.data:
            _reach_s3(con, lake)
        address = f"ducklake:{kind}:{_patient(rest) if kind == 'postgres' else rest}"
        statement = f"ATTACH {sql_text(address)} AS lake ({', '.join(options)})"
        _in_turn(lambda: con.execute(statement))  # others may be making the same catalogue
        con.execute("USE lake")
    except duckdb.Error as error:
        con.close()
        raise translated(lake, error) from error
    except BaseException:
        con.close()
        raise
    return con


class LakeStore(Reads):
    """A lake. It stays attached between rounds; what broke the connection is a reason to attach it anew."""

    def __init__(self, lake: Lake, *, log: str, memory_limit: str = "1GB") -> None:
        """`log` is the id of the log that is moved here; "" where none is, and no mark is asked for."""
        self.lake = lake
        self._log = log
        self._memory_limit = memory_limit
        self._one_at_a_time = threading.Lock()
        self._tables = Tables()
        self._con: duckdb.DuckDBPyConnection | None = None
        self._inode: int | None = None
        self._conflicts = 0
        self._trouble: StoreUnreachable | None = None
        self._again_at = 0.0
        self._waiting = _Count()
        self._size_bytes = 0
        self._measured_at = float("-inf")

    @property
    def name(self) -> str:
        """The catalogue."""
        return str(self.lake)

    @property
    def is_shared(self) -> bool:
        """Yes: that is what it is for."""
        return True

    def size_bytes(self) -> int:
        """What its files take, as of a minute ago; at first nothing. Never waits for the lake."""
        now = time.monotonic()
        if now > self._measured_at + _FRESH_S:
            self._measured_at = now
            threading.Thread(target=self._measure, name="assay-lake-size", daemon=True).start()
        return self._size_bytes

    def close(self) -> None:
        """Let go of the lake."""
        with self._one_at_a_time:
            self._detach()

    @contextlib.contextmanager
    def write(self) -> Iterator[LakeTransaction]:
        """One transaction; see `Store.write`."""
        with self.transaction() as con:
            yield LakeTransaction(con, self._tables, self._log, self._waiting)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """The connection of one transaction, that begins and ends with the block. Raises what `write` does."""
        with self._one_at_a_time:
            con = self._attached()
            try:
                con.execute("BEGIN")
                yield con
                con.execute("COMMIT")
                self._conflicts = 0
            except BaseException as error:
                self._tables.forget()
                self._waiting.forget()
                self._undo(con)
                if isinstance(error, duckdb.Error):
                    raise self._ended_by(error) from error
                raise

    @contextlib.contextmanager
    def read(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection for reading, for as long as the block takes."""
        with self._one_at_a_time:
            con = self._attached()
            try:
                yield con
            except duckdb.Error:
                self._detach()
                raise

    def _attached(self) -> duckdb.DuckDBPyConnection:
        if self._con is not None and _inode(self.lake) != self._inode:
            self._detach()  # the catalogue's file was removed or replaced under us
        if self._con is not None:
            return self._con
        if self._trouble is not None and time.monotonic() < self._again_at:
            raise self._trouble
        try:
            con = attach(self.lake, memory_limit=self._memory_limit)
            try:
                _prepare(con, f"_marks_{self._log}" if self._log else "")
            except duckdb.Error as error:
                con.close()
                raise translated(self.lake, error) from error
        except StoreUnreachable as trouble:
            self._trouble, self._again_at = trouble, time.monotonic() + _AGAIN_S
            raise
        self._con, self._trouble, self._inode = con, None, _inode(self.lake)
        return con

    def _undo(self, con: duckdb.DuckDBPyConnection) -> None:
        """After an error: what was begun is undone. A connection that cannot even do that is given up."""
        try:
            con.execute("ROLLBACK")
        except duckdb.TransactionException:  # the commit that failed has undone it
            pass
        except duckdb.Error:
            self._detach()

    def _detach(self) -> None:
        if self._con is not None:
            self._con.close()
            self._con = None

    def _translated(self, error: duckdb.Error) -> StoreUnreachable:
        return translated(self.lake, error)

    def _ended_by(self, error: duckdb.Error) -> Conflict | StoreFailed:
        """What has ended a transaction. After all but a conflict the lake is attached anew."""
        if not is_overtaken(error):
            self._detach()
            return self._translated(error)
        self._conflicts += 1
        if self._conflicts >= _MOST_CONFLICTS:
            self._conflicts = 0
            return StoreFailed(self.name, f"others were there first, {_MOST_CONFLICTS} times in a row; is it busy?")
        # The others are to have committed before this is tried again.
        time.sleep(random.uniform(0.0, 0.01 * 2 ** min(self._conflicts, 6)))  # noqa: S311  no secret
        return Conflict(str(error))

    def _measure(self) -> None:
        with contextlib.suppress(ServiceError, duckdb.Error), self.read() as con:
            query = "SELECT coalesce(sum(file_size_bytes + delete_file_size_bytes), 0) FROM ducklake_table_info('lake')"
            ((size,),) = con.execute(query).fetchall()
            self._size_bytes = int(size)


class LakeTransaction(SQLTransaction):
    """What `LakeStore.write` hands out."""

    def __init__(self, con: duckdb.DuckDBPyConnection, tables: Tables, log: str, waiting: _Count) -> None:
        super().__init__(con, tables)
        self._log = log
        self._marks = quoted(f"_marks_{log}")
        self._waiting = waiting
        self._has_turn = False

    def marks(self) -> dict[str, int]:
        """See `Transaction.marks`."""
        return dict(self._con.execute(f"SELECT log, seq FROM {self._marks} WHERE log <> ''").fetchall())

    def set_mark(self, log_id: str, seq: int) -> None:
        """See `Transaction.set_mark`."""
        self.forget_mark(log_id)
        self._con.execute(f"INSERT INTO {self._marks} VALUES (?, ?)", [log_id, seq])

    def forget_mark(self, log_id: str) -> None:
        """See `Transaction.forget_mark`."""
        if not self._has_turn:
            self._con.execute(f"UPDATE {self._marks} SET seq = seq + 1 WHERE log = ''")
            self._has_turn = True
        self._con.execute(f"DELETE FROM {self._marks} WHERE log = ?", [log_id])

    def take_keys(self, stamps: Collection[bytes]) -> set[bytes]:
        """See `Transaction.take_keys`. Two that take keys do not go together: both might take the same."""
        import pyarrow as pa

        self._con.execute("UPDATE _turn SET n = n + 1")
        asked = sorted(stamps)
        columns = {
            "slot": pa.array([each[:16] for each in asked], pa.binary()),
            "digest": pa.array([each[16:32] for each in asked], pa.binary()),
            "rejected": pa.array([bool(each[32]) for each in asked], pa.bool_()),
            "stamp": pa.array(asked, pa.binary()),
        }
        now = datetime.now(UTC)
        self._con.register("_asked", pa.table(columns))
        try:
            held = self._con.execute(
                "SELECT DISTINCT a.stamp FROM _asked a JOIN _keys k ON k.slot = a.slot WHERE k.log <> ? AND k.taken_at > ?"
                " AND (NOT k.rejected OR (a.rejected AND k.digest = a.digest))",
                [self._log, now - _KEYS_FOR],
            ).fetchall()
            self._con.execute("INSERT INTO _keys SELECT slot, digest, rejected, ?, ? FROM _asked", [self._log, now])
        finally:
            with contextlib.suppress(duckdb.Error):  # an aborted transaction cannot
                self._con.unregister("_asked")
        return {stamp for (stamp,) in held}

    def quarantine(self, rejects: pa.Table) -> None:
        """See `Transaction.quarantine`."""
        super().quarantine(rejects)
        self._waiting.add(rejects.num_rows)

    def quarantined(self) -> int:
        """See `Transaction.quarantined`: as of a minute ago, and what came from here since."""
        known = self._waiting.value()
        if known is None:
            known = super().quarantined()
            self._waiting.set(known)
        return known

    def expire(self, before: datetime | None, excess_bytes: int, limit: int) -> Expired:
        """See `Transaction.expire`."""
        expired = super().expire(before, excess_bytes, limit)
        self._waiting.add(-sum(expired.events.values()))
        return expired

    def mark_replayed(self, ids: Sequence[str], at: datetime) -> int:
        """See `Transaction.mark_replayed`."""
        count = super().mark_replayed(ids, at)
        self._waiting.add(-count)
        return count

    def _is_trouble(self, error: duckdb.Error) -> bool:
        return is_overtaken(error) or _is_unreachable(error)


class _Count:
    """A figure that is dear to count, kept for a while."""

    def __init__(self) -> None:
        self._value: int | None = None
        self._until = 0.0

    def value(self) -> int | None:
        return self._value if time.monotonic() < self._until else None

    def set(self, value: int) -> None:
        self._value, self._until = value, time.monotonic() + _FRESH_S

    def add(self, more: int) -> None:
        if self._value is not None:
            self._value += more

    def forget(self) -> None:
        self._value = None


def _reach_s3(con: duckdb.DuckDBPyConnection, lake: Lake) -> None:
    """Tell DuckDB where S3 is. Who we are there is found as Amazon's tools find it: environment, profile, role."""
    load(con, "httpfs", "aws")
    options = ["TYPE s3", "PROVIDER credential_chain", "VALIDATION 'none'"]
    if lake.s3_region:
        options.append(f"REGION {sql_text(lake.s3_region)}")
    if lake.s3_endpoint:
        scheme, _, host = lake.s3_endpoint.partition("://")
        options += [f"ENDPOINT {sql_text(host)}", "URL_STYLE 'path'", f"USE_SSL {str(scheme == 'https').lower()}"]
    con.execute(f"CREATE SECRET lake_s3 ({', '.join(options)})")


def _look_at(lake: Lake, file: Path, *, read_only: bool) -> None:
    """See to it that an SQLite catalogue may be read while it is written to.

    Once in a process: whoever closes a file gives up all locks that the process has on it, those of DuckDB's SQLite too.
    """
    if read_only and not file.exists():
        raise StoreUnreachable(str(lake), "there is no such file")
    with _looking:
        inode = _inode(lake)
        if inode is not None and (file, inode) in _looked_at:
            return
        try:
            with contextlib.closing(sqlite3.connect(file, timeout=10)) as con:
                con.execute("PRAGMA journal_mode = WAL")
        except sqlite3.Error as error:
            raise StoreUnreachable(str(lake), str(error)) from error
        inode = _inode(lake)
        if inode is not None:
            _looked_at.add((file, inode))


def _prepare(con: duckdb.DuckDBPyConnection, marks: str) -> None:
    """Make assay's own tables, where another collector has not made them meanwhile."""

    def make() -> None:
        try:
            _make_tables(con, marks)
        except duckdb.Error:
            with contextlib.suppress(duckdb.Error):
                con.execute("ROLLBACK")
            raise

    _in_turn(make)


def _in_turn(work: Callable[[], object]) -> None:
    """Do what several may begin at once: again, where another was first."""
    for left in reversed(range(_BEGUN_WITHIN)):
        try:
            work()
            return
        except duckdb.Error as error:
            if left == 0 or not is_overtaken(error):
                raise
            time.sleep(random.uniform(0.05, 0.3))  # noqa: S311  no secret


def _make_tables(con: duckdb.DuckDBPyConnection, marks: str) -> None:
    query = "SELECT table_name FROM duckdb_tables() WHERE database_name = 'lake'"
    present = {name for (name,) in con.execute(query).fetchall()}
    wanted = {name: columns for name, columns in TABLES.items() if name != "_marks"} | LAKE_TABLES
    if not wanted.keys() <= present:
        con.execute("BEGIN")
        for name in wanted.keys() - present:
            con.execute(f"CREATE TABLE {name} ({wanted[name]})")
        if "_store" not in present:
            con.execute("INSERT INTO _store VALUES (?, 1, ?)", [uuid.uuid4().hex, datetime.now(UTC)])
        for name in {"_turn", "_registry"} - present:
            con.execute(f"INSERT INTO {name} VALUES (0)")
        con.execute("COMMIT")
        for name in set(_IN_CATALOGUE) - present:
            con.execute(f"CALL lake.set_option('data_inlining_row_limit', {_INLINED}, table_name => {sql_text(name)})")
    if marks and marks not in present:
        con.execute("BEGIN")
        con.execute(f"CREATE TABLE {quoted(marks)} ({TABLES['_marks']})")
        con.execute(f"INSERT INTO {quoted(marks)} VALUES ('', 0)")
        con.execute("COMMIT")
        con.execute(f"CALL lake.set_option('data_inlining_row_limit', {_INLINED}, table_name => {sql_text(marks)})")


def _inode(lake: Lake) -> int | None:
    try:
        return None if lake.file is None else lake.file.stat().st_ino
    except OSError:
        return None


def _patient(conninfo: str) -> str:
    """Where to connect, and not to wait for ever there."""
    given = {"connect_timeout": "5", "tcp_user_timeout": "30000"}
    missing = [f"{name}={value}" for name, value in given.items() if name not in conninfo]
    if "://" not in conninfo:
        return " ".join([conninfo, *missing])
    return conninfo + ("&" if "?" in conninfo else "?") + "&".join(missing) if missing else conninfo


def is_overtaken(error: duckdb.Error) -> bool:
    """Whether another writer was there first."""
    text = str(error).lower()
    return any(sign in text for sign in _OVERTAKEN)


def _is_unreachable(error: duckdb.Error) -> bool:
    """Whether it tells of the catalogue or of files, not of rows."""
    return "ducklake" in str(error).lower() or isinstance(error, duckdb.IOException | duckdb.HTTPException)


def translated(lake: Lake, error: duckdb.Error) -> StoreUnreachable:
    """What the engine says of a lake that cannot be reached."""
    text = " ".join(str(error).split())
    if elsewhere := _ELSEWHERE.search(text):
        return StoreUnreachable(
            str(lake), f"its files are in {elsewhere[2]}, and lake_data says {elsewhere[1]}: set it to where they are"
        )
    # What DuckLake and the extension wrap it in says nothing more.
    reason = _NO_SERVER.search(text)
    return StoreUnreachable(str(lake), (reason[1] if reason else text)[:500])
