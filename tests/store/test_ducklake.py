"""What is a lake's own: several writers, one of whom was there first; and one that is not there."""

from __future__ import annotations

import contextlib
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from assay.contract.document import Contract
from assay.errors import StoreUnreachable, UsageError
from assay.ingest.keys import Kept, Slot, digest_of
from assay.ingest.rows import Rows
from assay.store.address import Lake
from assay.store.ducklake import LakeStore, attach
from assay.store.opening import connect
from assay.store.protocol import Conflict, Transaction, reject_rows
from tests.lakes import Postgres
from tests.store.test_quarantine import reject

pytestmark = pytest.mark.lake


@pytest.fixture
def lake(postgres: Postgres, tmp_path: Path) -> Lake:
    pytest.importorskip("duckdb_extension_ducklake")
    return postgres.lake(str(tmp_path / "files"))


def insert(transaction: Transaction, version: int, name: str, *values: object) -> None:
    """Events of a contract with this one field."""
    kind = {int: "integer", str: "string", float: "number"}[type(values[0])]
    contract = Contract.parse({"type": "object", "properties": {name: {"type": kind}}}, dataset="d", version=version)
    count = len(values)
    rows = Rows(contract).table(
        [{name: value} for value in values], [datetime.now(UTC)] * count, ["s"] * count, [None] * count
    )
    transaction.insert(contract, rows)


def test_two_logs_go_together(lake: Lake) -> None:
    one, other = LakeStore(lake, log="one"), LakeStore(lake, log="other")
    for store in (one, other):
        with store.write() as transaction:
            insert(transaction, 1, "a", 0)
            transaction.set_mark("m", 1)
    with one.write() as first:
        first.set_mark("m", 2)
        insert(first, 1, "a", 1)
        first.quarantine(reject_rows([reject(1)]))
        with other.write() as second:
            second.set_mark("m", 20)
            insert(second, 1, "a", 2)
            second.quarantine(reject_rows([reject(2)]))
    with one.write() as first, other.write() as second:
        assert (first.marks(), second.marks()) == ({"m": 2}, {"m": 20})
    with connect(lake) as con:
        assert con.execute("SELECT a FROM d WHERE a > 0 ORDER BY a").fetchall() == [(1,), (2,)]
        assert con.execute("SELECT count(*) FROM _quarantine").fetchall() == [(2,)]


@pytest.mark.parametrize("known", [True, False], ids=["a mark that is there", "the first mark"])
def test_of_two_that_move_the_same_log_one_fails(lake: Lake, *, known: bool) -> None:
    one, again = LakeStore(lake, log="one"), LakeStore(lake, log="one")
    with one.write() as transaction:
        insert(transaction, 1, "a", 0)
        if known:
            transaction.set_mark("m", 1)
    with pytest.raises(Conflict), one.write() as first:  # noqa: PT012  it ends with the block
        insert(first, 1, "a", 1)
        first.set_mark("m", 2)
        with again.write() as second:
            insert(second, 1, "a", 2)
            second.set_mark("m", 2)
    with connect(lake) as con:
        assert con.execute("SELECT a FROM d ORDER BY a").fetchall() == [(0,), (2,)]
    with one.write() as first:
        assert first.marks() == {"m": 2}


def test_a_table_is_altered_while_others_write(lake: Lake) -> None:
    one, other = LakeStore(lake, log="one"), LakeStore(lake, log="other")
    with one.write() as first:
        insert(first, 1, "a", 1)
    with pytest.raises(Conflict), one.write() as first:  # noqa: PT012  it ends with the block
        insert(first, 1, "a", 2)
        with other.write() as second:
            insert(second, 2, "b", "x")
    with one.write() as first:
        insert(first, 1, "a", 2)
    with connect(lake) as con:
        rows = con.execute("SELECT a, b, _contract FROM d ORDER BY a NULLS LAST").fetchall()
        assert rows == [(1, None, 1), (2, None, 1), (None, "x", 2)]


def test_many_at_once_begin_a_lake_and_write_each_event_once(lake: Lake) -> None:
    failed: list[BaseException] = []

    def write(name: str) -> None:
        store = LakeStore(lake, log=name)
        try:
            for number in range(5):
                while True:
                    with contextlib.suppress(Conflict):
                        with store.write() as transaction:
                            insert(transaction, 1, "a", f"{name}-{number}")
                            transaction.set_mark("m", number)
                        break
        except BaseException as error:  # noqa: BLE001  it is raised below
            failed.append(error)
        finally:
            store.close()

    threads = [threading.Thread(target=write, args=(f"w{number}",)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    with connect(lake) as con:
        assert con.execute("SELECT count(*), count(DISTINCT a) FROM d").fetchall() == [(15, 15)]
        assert con.execute("SELECT count(*) FROM _store").fetchall() == [(1,)]


def stamp(key: str, body: str, *, rejected: bool = False) -> bytes:
    return Kept(Slot("d", "s", key), digest_of(body.encode()), 0, rejected, 200, b"").stamp


def test_a_request_that_another_log_brought_is_known_by_its_key(lake: Lake) -> None:
    one, other = LakeStore(lake, log="one"), LakeStore(lake, log="other")
    accepted, refused = stamp("k", "b"), stamp("r", "b", rejected=True)
    with one.write() as transaction:
        assert transaction.take_keys([accepted, refused]) == set()
    with one.write() as transaction:  # its own, in a later round
        assert transaction.take_keys([accepted]) == set()
    with other.write() as transaction:
        asked = [accepted, stamp("k", "another body"), stamp("k", "b", rejected=True), stamp("new", "b")]
        assert transaction.take_keys(asked) == set(asked[:3])
    with other.write() as transaction:  # what was rejected may come again, mended, or where the contract takes it
        asked = [refused, stamp("r", "mended"), stamp("r", "b"), stamp("r", "mended", rejected=True)]
        assert transaction.take_keys(asked) == {refused}


def test_of_two_that_take_keys_at_once_one_fails(lake: Lake) -> None:
    one, other = LakeStore(lake, log="one"), LakeStore(lake, log="other")
    for store in (one, other):
        with store.write():
            pass
    with pytest.raises(Conflict), one.write() as first:  # noqa: PT012  it ends with the block
        first.take_keys([stamp("k", "b")])
        with other.write() as second:
            second.take_keys([stamp("k", "b")])
    with one.write() as first:
        assert first.take_keys([stamp("k", "b")]) == {stamp("k", "b")}


def test_text_that_postgresql_would_not_take_is_kept_as_it_is(lake: Lake) -> None:
    with LakeStore(lake, log="one").write() as transaction:
        insert(transaction, 1, "a", "\0", "a\0b", "\U0001f4a7")
    with connect(lake) as con:
        assert con.execute("SELECT a FROM d ORDER BY a").fetchall() == [("\0",), ("a\0b",), ("\U0001f4a7",)]


def test_a_catalogue_that_is_away_is_said_and_found_again(lake: Lake, postgres: Postgres) -> None:
    store = LakeStore(lake, log="one")
    with store.write() as transaction:
        insert(transaction, 1, "a", 1)
    postgres.stop()
    try:
        with pytest.raises(StoreUnreachable, match=r"dbname=\w+: connection to server"):
            connect(lake)
        for _ in range(2):
            with pytest.raises(StoreUnreachable, match="ducklake:postgres"), store.write() as transaction:
                insert(transaction, 1, "a", 2)
        with pytest.raises(StoreUnreachable):
            store.rejects("d", limit=1)
        with pytest.raises(StoreUnreachable):
            connect(lake)
    finally:
        postgres.start()
    time.sleep(1.1)  # it does not ask all the time
    with store.write() as transaction:
        insert(transaction, 1, "a", 3)
    with connect(lake) as con:
        assert con.execute("SELECT a FROM d ORDER BY a").fetchall() == [(1,), (3,)]


def test_a_catalogue_that_goes_away_in_the_middle_leaves_nothing(lake: Lake, postgres: Postgres) -> None:
    store = LakeStore(lake, log="one")
    with store.write() as transaction:
        insert(transaction, 1, "a", 1)
    try:
        with pytest.raises(StoreUnreachable), store.write() as transaction:  # noqa: PT012  it ends with the block
            insert(transaction, 1, "a", 2)
            postgres.stop()
    finally:
        postgres.start()
    with attach(lake) as con:
        assert con.execute("SELECT a FROM d").fetchall() == [(1,)]


def test_files_that_are_elsewhere_than_the_setting_says(lake: Lake, tmp_path: Path) -> None:
    with LakeStore(lake, log="one").write():
        pass
    moved = Lake(lake.catalogue, str(tmp_path / "other/"))
    with (
        pytest.raises(StoreUnreachable, match=r"its files are in .*files/, and lake_data says .*other"),
        LakeStore(moved, log="one").write(),
    ):
        pass


def test_a_reader_does_not_make_a_lake(tmp_path: Path) -> None:
    pytest.importorskip("duckdb_extension_ducklake")
    with pytest.raises(StoreUnreachable, match="no such file"):
        connect(f"ducklake:sqlite:{tmp_path / 'l.sqlite'}")
    assert list(tmp_path.iterdir()) == []


def test_an_extension_for_another_duckdb_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("duckdb_extension_ducklake")
    monkeypatch.setattr("duckdb.__version__", "1.4.0")
    with pytest.raises(UsageError, match=r"DuckDB 1\.4\.0 .* ducklake is for v1\.5.*assay\[lake\]"):
        connect(f"ducklake:sqlite:{tmp_path / 'l.sqlite'}")
