"""The write-ahead log is moved into the database by a thread of its own, which outlives whatever goes wrong."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from assay.ingest.checkpoint import Checkpoints
from assay.ingest.log import Log
from assay.ingest.record import Kind, Record
from tests.conftest import until


def test_what_was_committed_is_moved_while_nobody_writes(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    record = Record(Kind.LEARNING, "d", None, "s", "t", 1, 1, bytes(10_000))
    with Log(path) as log:
        before = path.stat().st_size
        for _ in range(50):  # far fewer pages than a commit would move by itself
            log.append([record])
        assert until(lambda: path.stat().st_size >= before + 50 * 10_000)
        log.append([record])
        assert log.last_seq() == 51
    with Log(path) as log:
        assert log.live()[0] == 51


class Failing:
    """A connection that fails at first."""

    def __init__(self) -> None:
        self.asked = 0
        self.closed = False

    def execute(self, _: str) -> Any:
        self.asked += 1
        if self.asked == 1:
            raise sqlite3.OperationalError("disk I/O error")
        return self

    def fetchall(self) -> list[Any]:
        return []

    def close(self) -> None:
        self.closed = True


def test_a_failure_is_tried_again() -> None:
    con = Failing()
    checkpoints = Checkpoints(con)  # type: ignore[arg-type]
    checkpoints.wake()
    assert until(lambda: con.asked == 1)
    checkpoints.wake()
    assert until(lambda: con.asked == 2)
    checkpoints.stop()
    assert con.closed
