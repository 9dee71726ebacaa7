import contextlib
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from assay.contract.document import Contract
from assay.errors import FateUnknown, LogFailed, LogInUse
from assay.ingest import checkpoint
from assay.ingest.log import Log
from assay.ingest.log_reader import Reader
from assay.ingest.record import Kind, Record, connect
from tests.ingest.conftest import MakeLog

CONTRACT = Contract.parse({"type": "object", "properties": {"a": {"type": "integer"}}}, dataset="d", version=3)


def record(payload: bytes = b"[{}]", *, dataset: str = "d", kind: Kind = Kind.EVENTS, at: int = 1_000_000) -> Record:
    contract = None if kind == Kind.LEARNING else CONTRACT
    return Record(kind, dataset, contract, "s", "application/json", at, 1, payload)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.log"


def test_what_was_appended_is_read_in_order_with_its_contract(make_log: MakeLog, path: Path) -> None:
    with make_log(path) as log:
        log.append([record(b"1"), record(b"2")])
        log.append([record(b"3", kind=Kind.LEARNING)])
        reader = Reader(path)
        found = reader.read(0, 1 << 20)
        reader.close()
    assert [(each.seq, each.payload) for each in found] == [(1, b"1"), (2, b"2"), (3, b"3")]
    assert found[0].contract == CONTRACT
    assert found[0].contract is not None
    assert found[0].contract.version == 3
    assert found[2].contract is None


def test_reading_is_bounded_by_bytes_but_gives_at_least_one(make_log: MakeLog, path: Path) -> None:
    with make_log(path) as log:
        log.append([record(b"x" * 100) for _ in range(5)])
        reader = Reader(path)
        assert [each.seq for each in reader.read(0, 1)] == [1]
        assert [each.seq for each in reader.read(1, 250)] == [2, 3, 4]
        reader.close()


def test_who_opens_it_to_read_does_not_wait_for_who_writes(make_log: MakeLog, path: Path) -> None:
    with make_log(path) as log:
        log.append([record(), record()])
        with contextlib.closing(connect(path)) as writer:
            writer.execute("BEGIN IMMEDIATE")
            reader = Reader(path)
            assert reader.last_seq() == 2
            assert len(reader.read(0, 1 << 20)) == 2
            reader.close()


def test_the_sequence_never_restarts(make_log: MakeLog, path: Path) -> None:
    with make_log(path) as log:
        log.append([record(), record()])
        log.append([], free_through=2)
        assert log.is_empty()
    with make_log(path) as log:
        assert log.last_seq() == 2
        log.append([record()])
        assert log.last_seq() == 3


def test_each_opening_has_an_identity_of_its_own(path: Path) -> None:
    with Log(path) as log:
        log.append([record(), record()])
    with Log(path) as log:
        log.append([record()])
        openings = Reader(path).openings()
        reader = Reader(path)
        found = reader.read(0, 1 << 20)
        reader.close()
    assert [opening.base for opening in openings] == [0, 2]
    assert [each.opening for each in found] == [openings[0].id, openings[0].id, openings[1].id]
    for file in path.parent.iterdir():
        file.unlink()
    with Log(path) as log:
        assert not {opening.id for opening in Reader(path).openings()} & {opening.id for opening in openings}


def test_one_process_at_a_time_owns_a_log(make_log: MakeLog, path: Path) -> None:
    with make_log(path), pytest.raises(LogInUse, match="another assay process"):
        make_log(path)
    with make_log(path):
        pass


@pytest.mark.parametrize(
    "content", [pytest.param(b"no database" * 100, id="another file"), pytest.param(b"\0" * 4096, id="zeros")]
)
def test_a_file_that_is_no_log_is_left_alone_and_named(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(LogFailed, match=r"x\.log"):
        Log(path)
    assert path.read_bytes() == content


def test_a_log_of_a_later_format_is_refused(make_log: MakeLog, path: Path) -> None:
    with make_log(path):
        pass
    with sqlite3.connect(path) as con:
        con.execute("UPDATE meta SET value = 99 WHERE key = 'format'")
    con.close()
    with pytest.raises(LogFailed, match="its format is 99"):
        make_log(path)


def test_a_file_taken_away_under_it_is_noticed(make_log: MakeLog, path: Path) -> None:
    with make_log(path) as log:
        log.append([record()])
        path.unlink()
        time.sleep(0.25)  # it is looked at a few times a second
        with pytest.raises(LogFailed, match="removed or replaced"):
            log.append([record()])


def test_live_counts_what_the_store_has_not(make_log: MakeLog, path: Path) -> None:
    with make_log(path) as log:
        log.append([record(b"12345", at=7), record(b"678", at=9)])
        assert log.live() == (2, 8, 7)
        log.free(1)
        assert log.live() == (1, 3, 9)
        log.free(2)
        assert log.live() == (0, 0, None)


def test_records_are_taken_out_in_portions_that_nobody_notices(make_log: MakeLog, path: Path) -> None:
    with make_log(path) as log:
        log.append([record(b"x" * (600 << 10)) for _ in range(5)])
        assert [log.portion(through) for through in (5, 3, 2, 1)] == [2, 2, 2, 1]
        log.free(2)
        assert log.portion(5) == 4
        log.free(4)
        assert log.portion(9) == 9  # it is the last
        log.append([record(b"x") for _ in range(1_500)])
        assert log.portion(1_505) == 5 + 999
        log.free(1_004)
        assert log.portion(1_505) == 1_505


def test_an_emptied_log_gives_its_space_back(make_log: MakeLog, path: Path) -> None:
    with make_log(path) as log:
        for _ in range(24):
            log.append([record(b"x" * (1 << 20))])
        assert log.file_bytes() > 20 << 20
        log.free(24)
        while not log.is_clean:
            log.sweep()
        assert log.file_bytes() < 1 << 20


def test_an_emptied_log_gives_its_space_back_while_its_pages_are_moved(
    make_log: MakeLog, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "_PAUSE_S", 0.0)
    ended = threading.Event()

    def move(log: Log) -> None:
        while not ended.is_set():
            log._checkpoints.wake()  # type: ignore[union-attr]

    with make_log(path) as log:
        mover = threading.Thread(target=move, args=[log])
        mover.start()
        try:
            for _ in range(5):
                log.append([record(b"x" * (1 << 20)) for _ in range(8)])
                log.free(log.last_seq())
                while not log.is_clean:
                    log.sweep()
                assert log.file_bytes() < 1 << 20
        finally:
            ended.set()
            mover.join()


def test_it_remembers_when_each_dataset_was_last_heard(make_log: MakeLog, path: Path) -> None:
    with make_log(path) as log:
        log.append([record(at=5_000_000), record(dataset="e", at=7_000_000)])
        log.free(2)
        log.append([record(at=6_000_000)])
        assert log.last_seen() == {"d": 6.0, "e": 7.0}
    with make_log(path) as log:
        assert log.last_seen() == {"d": 6.0, "e": 7.0}


def test_learning_bytes_are_counted_with_the_records(make_log: MakeLog, path: Path) -> None:
    with make_log(path) as log:
        log.append([record(b"123", kind=Kind.LEARNING), record(b"45", kind=Kind.LEARNING), record(b"x")])
    with make_log(path) as log:
        assert log.learning_bytes() == {"d": 5}
        log.forget_learning("d")
        assert log.learning_bytes() == {}


def test_several_threads_may_write(make_log: MakeLog, path: Path) -> None:
    with make_log(path) as log:

        def work() -> None:
            for _ in range(20):
                log.append([record()])
                log.free(0)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert log.live()[0] == 80


class Failing:
    """A connection whose next commit, or statement alone, ends as SQLite ends it when the disk fails."""

    def __init__(self, con: sqlite3.Connection, code: int) -> None:
        self._con = con
        self._code = code
        self.fails = 1

    def __getattr__(self, name: str) -> Any:
        return getattr(self._con, name)

    def __enter__(self) -> None:
        self._con.__enter__()

    def __exit__(self, *error: object) -> None:
        if self.fails:
            self.fails -= 1
            self._con.rollback()
            failure = sqlite3.OperationalError("disk I/O error")
            failure.sqlite_errorcode = self._code
            raise failure
        self._con.__exit__(*error)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("code", "is_unknown"),
    [
        pytest.param(sqlite3.SQLITE_FULL, False, id="full"),
        pytest.param(sqlite3.SQLITE_IOERR_WRITE, False, id="a write failed"),
        pytest.param(sqlite3.SQLITE_IOERR_FSYNC, True, id="a sync failed"),
        pytest.param(sqlite3.SQLITE_IOERR_SHMSIZE, True, id="synced, then no room for the index of it"),
    ],
)
def test_a_failed_commit_is_a_no_only_where_it_is_surely_one(path: Path, code: int, *, is_unknown: bool) -> None:
    with Log(path) as log:
        log.append([record(b"1"), record(b"2")])
        real = log._con
        log._con = Failing(real, code)  # type: ignore[assignment]
        with pytest.raises(LogFailed) as failed:
            log.append([record(b"3"), record(b"4")])
        assert isinstance(failed.value, FateUnknown) is is_unknown
        log.append([record(b"5"), record(b"6")])
        log._con = real
        with contextlib.closing(Reader(path)) as reader:
            assert [each.payload for each in reader.read(0, 1 << 20)] == [b"1", b"2", b"5", b"6"]


def test_while_a_sync_fails_nothing_else_is_begun(path: Path) -> None:
    with Log(path) as log:
        log.append([record(b"1"), record(b"2")])
        real = log._con
        failing = Failing(real, sqlite3.SQLITE_IOERR_FSYNC)
        failing.fails = 3
        log._con = failing  # type: ignore[assignment]
        with pytest.raises(FateUnknown):
            log.append([record(), record()])
        with pytest.raises(LogFailed, match="the disk fails") as second:
            log.append([record(), record()])
        assert not isinstance(second.value, FateUnknown)
        with pytest.raises(LogFailed):
            log.probe()
        log.probe()
        log._con = real
        assert log.live()[0] == 2
