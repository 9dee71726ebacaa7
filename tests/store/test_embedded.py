"""One DuckDB file: held by others, damaged, full; and the errors that say which."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from pathlib import Path

import duckdb
import pytest

from assay.errors import StoreFailed, StoreLocked
from assay.store.embedded import DuckDBStore, open_duckdb
from assay.store.opening import connect
from tests.conftest import held


def test_a_transaction_is_whole_or_nothing(tmp_path: Path) -> None:
    store = DuckDBStore(tmp_path / "s.duckdb")
    with store.write() as transaction:
        transaction.set_mark("log", 5)
    with contextlib.suppress(KeyError), store.write() as transaction:
        transaction.set_mark("log", 6)
        raise KeyError
    with store.write() as transaction:
        assert transaction.marks() == {"log": 5}
    assert store.size_bytes() > 0


def test_a_held_store_names_who_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "s.duckdb"
    with held(path) as holder:
        for attempt in (lambda: DuckDBStore(path).write().__enter__(), lambda: connect(path, timeout_s=0)):
            with pytest.raises(StoreLocked, match=rf"{path}.*process {holder.pid}") as error:
                attempt()
            assert "python" in error.value.holder
    with DuckDBStore(path).write():
        pass


def test_connect_tries_again_until_the_holder_lets_go(tmp_path: Path) -> None:
    path = tmp_path / "s.duckdb"
    with held(path) as holder:
        assert holder.stdin is not None
        timer = threading.Timer(0.2, holder.stdin.close)
        timer.start()
        con = connect(path, timeout_s=10)
        timer.join()
    with pytest.raises(duckdb.InvalidInputException, match="read-only"):
        con.execute("CREATE TABLE t (a INTEGER)")
    con.close()


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="an empty file"),
        pytest.param(b"no database" * 1000, id="another file"),
        pytest.param(b"\0" * 20_000, id="zeros"),
        pytest.param(b"SQLite format 3\0" + b"\0" * 10_000, id="SQLite"),
    ],
)
def test_what_is_no_store_is_named_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "s.duckdb"
    path.write_bytes(content)
    with pytest.raises(StoreFailed, match=r"s\.duckdb"), DuckDBStore(path).write():
        pass
    with pytest.raises(StoreFailed, match=r"s\.duckdb"):
        connect(path, timeout_s=0)
    assert path.read_bytes() == content


@pytest.mark.parametrize("name", ["a/b/s.duckdb", "."], ids=["no such folder", "a folder"])
def test_a_path_that_cannot_be_opened(tmp_path: Path, name: str) -> None:
    with pytest.raises(StoreFailed), DuckDBStore(tmp_path / name).write():
        pass


def test_a_store_that_is_not_there_is_not_made_by_a_reader(tmp_path: Path) -> None:
    with pytest.raises(StoreFailed):
        connect(tmp_path / "s.duckdb", timeout_s=0)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_store_is_named(tmp_path: Path) -> None:
    path = tmp_path / "s.duckdb"
    with duckdb.connect(str(path)) as con:
        con.execute("CREATE TABLE t AS SELECT range AS a, md5(range::VARCHAR) AS b FROM range(100000)")
    content = bytearray(path.read_bytes())
    content[4096 : 4096 * 4] = b"\xff" * (4096 * 3)
    path.write_bytes(content)
    with pytest.raises(StoreFailed, match=r"s\.duckdb"), DuckDBStore(path).write():
        pass


# A limit on the size of files stands for a disk that is full.
_FULL = """
import resource, signal, sys
from pathlib import Path
from assay.errors import StoreFailed
from assay.store.embedded import DuckDBStore
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = DuckDBStore(Path(sys.argv[1]))
with store.write() as transaction:
    transaction.set_mark("log", 1)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))
try:
    with store.write() as transaction:
        transaction.set_mark("log", 2)
        transaction._con.execute("CREATE TABLE t AS SELECT uuid()::VARCHAR AS a FROM range(200000)")
except StoreFailed as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
with store.write() as transaction:
    print(transaction.marks())
"""


def test_a_full_disk_is_a_failed_store_and_nothing_is_half_written(tmp_path: Path) -> None:
    path = tmp_path / "s.duckdb"
    run = subprocess.run([sys.executable, "-c", _FULL, path], capture_output=True, text=True, check=True, timeout=60)
    failed, marks = run.stdout.splitlines()
    assert failed.startswith(f"store {path}: ")
    assert marks == "{'log': 1}"


def test_nothing_is_open_between_transactions(tmp_path: Path) -> None:
    path = tmp_path / "s.duckdb"
    store = DuckDBStore(path)
    with store.write():
        pass
    with held(path):
        pass
    con = open_duckdb(str(path), read_only=True)
    con.close()
