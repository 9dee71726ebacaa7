"""Which logs are there."""

from pathlib import Path

import pytest

from assay.errors import LogFailed
from assay.ingest.log import Log
from assay.ingest.logs import check_left, log_of, logs_beside
from assay.ingest.record import Kind, Record


def test_the_first_worker_has_the_log_that_one_alone_has(tmp_path: Path) -> None:
    log = tmp_path / "s.duckdb.log"
    assert [log_of(log, number).name for number in range(3)] == ["s.duckdb.log", "s.duckdb.log.1", "s.duckdb.log.2"]


def test_those_beside_it_are_found_in_order_and_nothing_else(tmp_path: Path) -> None:
    log = tmp_path / "s.log"
    for name in (
        "s.log",
        "s.log.10",
        "s.log.2",
        "s.log.2-wal",
        "s.log.2.lock",
        "s.log.0",
        "s.log.x",
        "t.log.1",
        "s.log.01",
    ):
        (tmp_path / name).touch()
    assert [path.name for path in logs_beside(log)] == ["s.log.2", "s.log.10"]
    assert logs_beside(tmp_path / "nowhere" / "s.log") == []


def test_a_log_from_before_a_stream_is_not_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "s.duckdb.log"
    check_left(path)
    assert not path.exists()
    with Log(path) as log:
        check_left(path)
        log.append([Record(Kind.LEARNING, "d", None, "s", "t", 1, 1, b"[{}]")])
        with pytest.raises(LogFailed, match=r"not in the store yet.*ASSAY_LOG=.* assay flush"):
            check_left(path)
        log.free(1)
        check_left(path)
