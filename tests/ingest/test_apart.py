"""Applying in a process of its own: what it tells, what it survives, and that it does not outlive its parent."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from assay import settings as configuration
from assay.assemble import apply_command
from assay.contract.document import Contract
from assay.contract.versions import Active, Versions
from assay.errors import ServiceError, StoreLocked
from assay.ingest.apart import ApartWorker
from assay.ingest.apply import Applied
from assay.ingest.intake import take
from assay.ingest.log import Log
from assay.ingest.replay import Portion
from assay.ingest.validate import Judge
from tests.conftest import held, until

JUDGE = Judge(
    Contract.parse({"type": "object", "properties": {"id": {"type": "integer"}}}, dataset="d", version=1), Active(1)
)


class Place:
    """A log, a store, and the process between them."""

    def __init__(self, folder: Path) -> None:
        self.settings = configuration.load(store=folder / "s.duckdb", contracts=folder / "contracts")
        self.log = Log(self.settings.log_path)
        self.applied: list[Applied] = []
        self.troubles: list[ServiceError | None] = []
        self.worker = ApartWorker(
            apply_command(self.settings),
            on_applied=lambda applied, _: self.applied.append(applied),
            on_trouble=self.troubles.append,
        )
        self.worker.start()

    def send(self, *numbers: int, by: Judge | None = JUDGE) -> None:
        body = json.dumps([{"id": number} for number in numbers]).encode()
        _, records = take(body, "json", dataset="d", judge=by, source="s", content_type="t", received_us=10**15)
        self.log.append(records)

    def rows(self) -> list[int]:
        with duckdb.connect(str(self.settings.store), read_only=True) as con:
            return [row[0] for row in con.execute("SELECT id FROM d ORDER BY id").fetchall()]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    yield place
    place.worker.stop()
    place.log.close()


def test_it_sees_by_itself_that_there_is_something_to_move(place: Place) -> None:
    place.send(1, 2)
    assert until(lambda: place.worker.status.through == 1, 20)
    assert place.rows() == [1, 2]
    assert place.applied[-1].through == 1


def test_a_flush_is_answered_when_everything_is_there(place: Place) -> None:
    place.send(1)
    place.send(2)
    place.worker.flush(20)
    assert place.rows() == [1, 2]


def test_a_held_store_is_told_with_its_holder(place: Place) -> None:
    place.send(1)
    place.worker.flush(20)
    with held(Path(place.settings.store)) as holder:
        place.send(2)
        with pytest.raises(StoreLocked) as error:
            place.worker.flush(0.3)
        assert str(holder.pid) in str(error.value)
        assert isinstance(place.worker.status.trouble, StoreLocked)
    assert until(lambda: place.worker.status.trouble is None and place.worker.status.through == 2, 20)
    assert place.rows() == [1, 2]


def test_events_that_learned_move_when_their_contract_is_there(place: Place) -> None:
    place.send(1, 2, by=None)
    place.worker.flush(20)
    versions = Versions(place.settings.contracts)
    versions.add(Contract.parse(JUDGE.contract.schema, dataset="d"))
    versions.activate("d", Active(1))
    place.worker.contracts_changed()
    place.worker.flush(20)
    assert place.rows() == [1, 2]


def test_a_replay_goes_there_and_back(place: Place) -> None:
    versions = Versions(place.settings.contracts)
    versions.add(Contract.parse({"type": "object", "properties": {"id": {"type": "number"}}}, dataset="d"))
    body = json.dumps([{"id": 1.5}, {"id": "x"}]).encode()
    now_us = time.time_ns() // 1_000  # what is old would leave the quarantine
    _, records = take(body, "json", dataset="d", judge=JUDGE, source="s", content_type="t", received_us=now_us)
    place.log.append(records)
    place.worker.flush(20)
    assert until(lambda: place.worker.status.in_quarantine == 2, 20)
    dry = place.worker.replay(Portion("d", 1, dry=True), 20)
    assert (dry.accepted.events, dry.refused.events, dry.in_quarantine) == (1, 1, None)
    done = place.worker.replay(Portion("d", 1), 20)
    assert (done.accepted.events, done.more, done.in_quarantine) == (1, False, 1)
    assert done.accepted.sample[0].body == '{"id": 1.5}'
    assert until(lambda: place.worker.status.in_quarantine == 1, 20)
    with pytest.raises(ServiceError, match="no version 7"):
        place.worker.replay(Portion("d", 7), 20)


def test_a_replay_by_a_process_that_ends_is_told_and_may_be_asked_for_again(place: Place) -> None:
    process = place.worker._process
    assert process is not None
    process.kill()
    process.wait()
    with pytest.raises(ServiceError, match="started again"):
        place.worker.replay(Portion("d", 1), 20)
    Versions(place.settings.contracts).add(Contract.parse(JUDGE.contract.schema, dataset="d"))

    def works() -> bool:
        try:
            return place.worker.replay(Portion("d", 1), 20).accepted.events == 0
        except ServiceError:
            return False

    assert until(works, 30)


def test_it_is_started_again_when_it_is_killed(place: Place) -> None:
    place.send(1)
    place.worker.flush(20)
    process = place.worker._process
    assert process is not None
    process.kill()
    place.send(2)
    assert until(lambda: any(trouble is not None for trouble in place.troubles), 20)
    assert until(lambda: place.worker.status.through == 2, 20)
    assert place.rows() == [1, 2]


def test_where_it_cannot_be_started_again_that_is_told_and_tried_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.send(1)
    place.worker.flush(20)
    monkeypatch.setattr(place.worker, "_command", ["/no/such/program"])
    process = place.worker._process
    assert process is not None
    process.kill()
    place.send(2)
    assert until(lambda: "cannot be started" in str(place.worker.status.trouble), 20)
    monkeypatch.undo()
    assert until(lambda: place.worker.status.through == 2, 20)


def test_a_stop_just_after_it_was_killed_moves_what_it_can(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.send(1)
    place.worker.flush(20)
    process = place.worker._process
    assert process is not None
    place.send(2)
    process.kill()
    assert until(lambda: any(trouble is not None for trouble in place.troubles), 20)
    place.worker.stop()
    place.log.close()
    assert place.rows() == [1, 2]


def test_it_does_not_outlive_its_parent(tmp_path: Path) -> None:
    code = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from tests.ingest.test_apart import Place\n"
        "place = Place(Path(sys.argv[1]))\n"
        "place.send(1)\n"
        "place.worker.flush(20)\n"
        "print(place.worker._process.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
    assert until(lambda: not _runs(child), 20)


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_a_stop_moves_what_it_can(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.send(1)
    place.worker.stop()
    place.log.close()
    assert place.rows() == [1]
    assert place.worker.status.through == 1
