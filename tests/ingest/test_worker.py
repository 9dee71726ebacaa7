"""The thread that applies: what a flush waits for, and contracts that are activated meanwhile."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import duckdb
import pytest

from assay.contract.document import Contract
from assay.contract.versions import Active
from assay.errors import LogFailed, ServiceError
from assay.ingest.apply import Applied, Applier
from assay.ingest.intake import take
from assay.ingest.log import Log
from assay.ingest.log_reader import Reader
from assay.ingest.validate import Judge
from assay.ingest.worker import Worker
from assay.store.embedded import DuckDBStore
from tests.conftest import until

JUDGE = Judge(
    Contract.parse({"type": "object", "properties": {"id": {"type": "integer"}}}, dataset="d", version=1), Active(1)
)


class Place:
    """A log, a store, and a dataset that waits for its contract."""

    def __init__(self, folder: Path) -> None:
        self.store = folder / "s.duckdb"
        self.log = Log(folder / "s.log")
        self.reader = Reader(folder / "s.log")
        self.applier = Applier(DuckDBStore(self.store), self.reader)
        self.judge: Judge | None = None
        self.worker = Worker(
            self.applier,
            judge_for=lambda _: self.judge,
            last_seq=self.log.last_seq,
            on_applied=lambda *_: None,
        )

    def learn(self, count: int) -> None:
        body = json.dumps([{"id": number} for number in range(count)]).encode()
        _, records = take(
            body, "json", dataset="d", judge=None, source="s", content_type="t", received_us=1_700_000_000_000_000
        )
        self.log.append(records)

    def count(self, table: str) -> int:
        with duckdb.connect(str(self.store), read_only=True) as con:
            return int(con.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0])


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    yield place
    place.reader.close()
    place.log.close()


def test_a_flush_waits_until_what_learned_is_in_its_table(place: Place) -> None:
    place.learn(12_000)
    place.worker.start()
    try:
        place.worker.flush(10)
        assert place.count("_learning") == 12_000
        place.judge = JUDGE
        place.worker.contracts_changed()
        place.worker.flush(20)
        assert (place.count("_learning"), place.count("d")) == (0, 12_000)
    finally:
        place.worker.stop()


def test_a_contract_that_is_activated_while_apply_looks_for_one_is_not_missed(place: Place) -> None:
    place.learn(3)

    def too_early(_: str) -> None:
        place.applier.contracts_changed()

    place.applier.round(too_early)
    while place.applier.round(lambda _: JUDGE).more:
        pass
    assert place.count("d") == 3


class Rounds:
    """In an applier's place: rounds that take a while, and when each began and ended."""

    def __init__(self, takes_s: float, fails: int = 0) -> None:
        self.takes_s = takes_s
        self.fails = fails
        self.times: list[tuple[float, float]] = []

    def contracts_changed(self) -> None:
        """Nothing to look for."""

    def recount(self, in_quarantine: int) -> None:
        """Nothing is replayed."""

    def round(self, _: object) -> Applied:
        began = time.monotonic()
        time.sleep(self.takes_s)
        ended = time.monotonic()
        self.times.append((began, ended))
        if self.fails:
            self.fails -= 1
            raise KeyError("what nobody thought of")
        return Applied(through=len(self.times), events=1, more=True, held_s=ended - began)


@contextmanager
def working(rounds: Rounds, last_seq: Callable[[], int] = lambda: 0) -> Iterator[Worker]:
    """A worker that never comes to an end."""
    worker = Worker(
        rounds,
        judge_for=lambda _: None,
        last_seq=last_seq,
        on_applied=lambda *_: None,
    )
    worker.start()
    try:
        yield worker
    finally:
        rounds.round = lambda _: Applied()  # type: ignore[method-assign]
        worker.stop()


def test_the_store_is_free_at_least_as_long_as_it_was_held() -> None:
    rounds = Rounds(0.25)
    with working(rounds):
        assert until(lambda: len(rounds.times) >= 4)
    for (began, ended), (again, _) in pairwise(rounds.times):
        assert again - ended >= 0.9 * (ended - began)


def test_a_fault_ends_no_thread_and_is_told() -> None:
    rounds = Rounds(0.01, fails=2)
    with working(rounds) as worker:
        assert until(lambda: "what nobody thought of" in str(worker.status.trouble))
        assert until(lambda: worker.status.trouble is None and worker.status.through > 2)


def test_a_log_that_cannot_be_read_after_a_round_ends_no_thread_and_is_told(tmp_path: Path) -> None:
    failing = [True]

    def last_seq() -> int:
        if failing[0]:
            raise LogFailed(tmp_path / "s.log", "database or disk is full")
        return 0

    class Idle(Rounds):
        def round(self, _: object) -> Applied:
            super().round(_)
            return Applied()  # with nothing more that it knows of, the log is asked

    with working(Idle(0.01), last_seq) as worker:
        assert until(lambda: "disk is full" in str(worker.status.trouble))
        failing[0] = False
        worker.flush(10)
        assert worker.status.trouble is None


def test_a_flush_that_waits_for_nothing_that_moves_gives_up() -> None:
    rounds = Rounds(0.01, fails=10_000)
    with working(rounds) as worker, pytest.raises(ServiceError, match="what nobody thought of"):
        worker.flush(0.3)


def test_a_flush_is_patient_where_nothing_is_in_the_way() -> None:
    with working(Rounds(0.6)) as worker:
        worker.flush(0.1)


def test_a_stop_moves_what_is_there(place: Place) -> None:
    place.learn(10)
    place.worker.start()
    place.worker.flush(10)
    place.judge = JUDGE
    place.learn(12_000)
    place.worker.contracts_changed()
    place.worker.stop()
    assert (place.count("_learning"), place.count("d")) == (0, 12_010)
    assert place.worker.status.through == place.log.last_seq()
