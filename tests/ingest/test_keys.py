"""Keys in the log: written with their records or not at all, known for a day, bounded."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from assay.contract.document import Contract
from assay.errors import LogFailed
from assay.ingest import keys as key_table
from assay.ingest.keys import LIFETIME_S, Kept, KeyReader, Slot, digest_of
from assay.ingest.log import Log
from assay.ingest.log_reader import Reader
from assay.ingest.record import Kind, Record
from tests.ingest.conftest import MakeLog

CONTRACT = Contract.parse({"type": "object"}, dataset="d", version=1)
RECORD = Record(Kind.EVENTS, "d", CONTRACT, "s", "", 1_000_000, 1, b"[{}]")
DAY_US = LIFETIME_S * 1_000_000


def kept(key: str = "k", *, at_us: int = 1, source: str = "s", dataset: str = "d", **more: Any) -> Kept:
    values = {"digest": b"x", "rejected": False, "status": 200, "answer": b"{}", **more}
    return Kept(Slot(dataset, source, key), at_us=at_us, **values)


class Bench:
    """A log whose clock stands where it is put."""

    def __init__(self, path: Path, keys_max_bytes: int = 1 << 30, make_log: MakeLog = Log) -> None:
        self.path = path
        self.now_us = 1
        self.make_log = make_log
        self.log = make_log(path, keys_max_bytes=keys_max_bytes, clock=lambda: self.now_us * 1000)
        self.reader = KeyReader(path)

    def get(self, key: str = "k", source: str = "s", dataset: str = "d") -> Kept | None:
        return self.reader.get(Slot(dataset, source, key), self.now_us)

    def rows(self) -> list[str]:
        con = sqlite3.connect(self.path)
        try:
            return [key for (key,) in con.execute("SELECT key FROM idempotency ORDER BY n")]
        finally:
            con.close()

    def counted_bytes(self) -> tuple[int, int]:
        """What the log thinks that keys take, and what their rows say."""
        con = sqlite3.connect(self.path)
        try:
            (said,) = con.execute("SELECT value FROM meta WHERE key = 'key_bytes'").fetchone()
            (true,) = con.execute("SELECT coalesce(sum(size), 0) FROM idempotency").fetchone()
        finally:
            con.close()
        return said, true

    def close(self) -> None:
        self.reader.close()
        self.log.close()


@pytest.fixture
def bench(tmp_path: Path, make_log: MakeLog) -> Any:
    made = Bench(tmp_path / "x.log", make_log=make_log)
    yield made
    made.close()


def test_a_key_is_written_with_its_records_and_found(bench: Bench) -> None:
    assert bench.get() is None
    bench.log.append([RECORD], keys=[kept(answer=b"first", status=422, rejected=True)])
    assert bench.get() == kept(answer=b"first", status=422, rejected=True)
    assert bench.get(source="other") is None
    assert bench.get(dataset="other") is None
    assert bench.log.live()[0] == 1


def test_a_key_alone_is_written_too(bench: Bench) -> None:
    bench.log.append([], keys=[kept()])
    assert bench.get() is not None


def test_a_key_survives_freeing_and_opening_again(bench: Bench) -> None:
    bench.log.append([RECORD], keys=[kept()])
    bench.log.free(1)
    bench.log.append([], free_through=1)
    bench.log.close()
    bench.log = bench.make_log(bench.path)
    assert bench.log.is_empty()
    assert bench.get() is not None


@pytest.mark.parametrize("where", ["records", "keys"])
def test_a_failed_transaction_leaves_neither_records_nor_keys(tmp_path: Path, where: str) -> None:
    bench = Bench(tmp_path / "x.log")
    trigger = {"records": "record", "keys": "idempotency"}[where]
    bench.log._con.execute(f"CREATE TRIGGER no BEFORE INSERT ON {trigger} BEGIN SELECT RAISE(ABORT, 'no room'); END")
    with pytest.raises(LogFailed, match="no room"):
        bench.log.append([RECORD], keys=[kept()])
    bench.log._con.execute("DROP TRIGGER no")
    reader = Reader(bench.path)
    assert reader.read(0, 1 << 20) == []
    reader.close()
    assert bench.get() is None
    bench.log.append([RECORD], keys=[kept()])
    said, true = bench.counted_bytes()
    assert said == true
    bench.close()


def test_a_key_takes_the_place_of_what_was_known_of_it(bench: Bench) -> None:
    bench.log.append([], keys=[kept(answer=b"first" * 100, rejected=True), kept("other")])
    bench.log.append([], keys=[kept(answer=b"second")])
    assert bench.get() == kept(answer=b"second")
    assert bench.rows() == ["other", "k"]
    said, true = bench.counted_bytes()
    assert said == true


def test_a_key_is_known_for_a_day_and_then_goes_with_another_write(bench: Bench) -> None:
    bench.log.append([], keys=[kept(at_us=1)])
    bench.now_us = DAY_US
    assert bench.get() is not None
    bench.now_us = DAY_US + 1
    assert bench.get() is None
    assert bench.rows() == ["k"]
    bench.log.append([], keys=[kept("new", at_us=bench.now_us)])
    assert bench.rows() == ["new"]
    assert bench.log.keys_evicted == 0  # its time was over


def test_freeing_takes_old_keys_out_too(bench: Bench) -> None:
    bench.log.append([RECORD], keys=[kept(at_us=1)])
    bench.now_us = DAY_US + 1
    bench.log.free(1)
    assert bench.rows() == []
    assert bench.counted_bytes() == (0, 0)


def test_the_oldest_go_first_where_there_is_no_room_and_are_counted(tmp_path: Path) -> None:
    one = kept("k0").size_bytes
    bench = Bench(tmp_path / "x.log", keys_max_bytes=3 * one)
    for number in range(5):
        bench.log.append([], keys=[kept(f"k{number}")])
    assert bench.rows() == ["k2", "k3", "k4"]
    assert bench.log.keys_evicted == 2
    said, true = bench.counted_bytes()
    assert said == true <= 3 * one
    bench.close()


def test_work_of_a_transaction_is_bounded(bench: Bench) -> None:
    bench.log.append([], keys=[kept(f"k{number}") for number in range(500)])
    bench.now_us = DAY_US + 1
    bench.log.append([], keys=[kept("new", at_us=bench.now_us)])
    left = len(bench.rows())
    assert 500 - key_table._STEP - 2 < left < 500
    for _ in range(10):
        bench.log.append([], keys=[kept("new", at_us=bench.now_us)])
    assert bench.rows() == ["new"]


def test_many_keys_at_once_stay_within_the_bound(tmp_path: Path) -> None:
    one = kept("k000").size_bytes
    bench = Bench(tmp_path / "x.log", keys_max_bytes=100 * one)
    for start in range(0, 1000, 250):
        bench.log.append([], keys=[kept(f"k{number:03}") for number in range(start, start + 250)])
    assert bench.rows() == [f"k{number}" for number in range(900, 1000)]
    bench.close()


def test_a_log_of_before_there_were_keys_opens(bench: Bench) -> None:
    bench.log._con.execute("DROP TABLE idempotency")
    bench.log.close()
    bench.log = bench.make_log(bench.path, clock=lambda: 1000)
    bench.log.append([RECORD], keys=[kept()])
    assert bench.get() is not None


def test_a_log_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    (tmp_path / "x.log").write_bytes(b"no database, but long enough to look like one" * 100)
    with pytest.raises(LogFailed):
        KeyReader(tmp_path / "x.log")
    with Log(tmp_path / "y.log") as log:
        reader = KeyReader(log.path)
        log._con.execute("DROP TABLE idempotency")
        with pytest.raises(LogFailed, match="no such table"):
            reader.get(Slot("d", "s", "k"), 1)
        reader.close()


def test_a_digest_knows_where_a_part_ends() -> None:
    assert digest_of(b"ab", b"c") != digest_of(b"a", b"bc")
    assert digest_of(b"ab", b"c") == digest_of(b"ab", b"c")
    assert len(digest_of()) == 16


def test_of_several_logs_what_was_accepted_counts_then_what_came_last(tmp_path: Path) -> None:
    paths = [tmp_path / f"log.{number}" for number in range(3)]
    known = [
        [kept("a", at_us=5, rejected=True), kept("b", at_us=3, rejected=True, answer=b"early")],
        [kept("a", at_us=4), kept("b", at_us=9, rejected=True, answer=b"late")],
    ]
    for path, keys in zip(paths, known, strict=False):
        with Log(path, clock=lambda: 1) as log:
            log.append([RECORD], keys=keys)
    reader = KeyReader(paths[0], paths[1:])  # the last of them is not there
    found = {key: reader.get(Slot("d", "s", key), 10) for key in ("a", "b", "c")}
    reader.close()
    assert not paths[2].exists()
    assert found["c"] is None
    assert (found["a"] == kept("a", at_us=4), found["b"] and found["b"].answer) == (True, b"late")
