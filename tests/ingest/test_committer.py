"""Group commit: who waits shares a transaction, and a failure is everybody's who shared it."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from assay.errors import LogFailed, Overloaded
from assay.ingest.committer import Committer
from assay.ingest.keys import Kept
from assay.ingest.log import Log
from assay.ingest.outcome import Outcome
from assay.ingest.record import Kind, Piece, Record
from assay.ingest.ticket import Batch
from tests.conftest import until


class Gate(Log):
    """A log that can be made to wait, or to fail, before it writes."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.open = threading.Event()
        self.open.set()
        self.entered = threading.Semaphore(0)
        self.fault: Exception | None = None
        self.transactions: list[int] = []
        self.freed: list[int] = []

    def append(
        self,
        records: Sequence[Record],
        *,
        keys: Sequence[Kept] = (),
        pieces: Sequence[Piece] = (),
        free_through: int = 0,
    ) -> None:
        self.entered.release()
        self.open.wait(10)
        if self.fault is not None:
            raise self.fault
        super().append(records, keys=keys, pieces=pieces, free_through=free_through)
        if records:
            self.transactions.append(len(records))
        if free_through:
            self.freed.append(free_through)

    def free(self, through: int) -> None:
        super().free(through)
        self.freed.append(through)

    def live(self) -> tuple[int, int, int | None]:
        if isinstance(self.fault, sqlite3.Error):
            raise self.fault
        return super().live()

    def probe(self) -> None:
        if self.fault is not None:
            raise self.fault
        super().probe()


class AtOnce:
    """A loop that runs what it is given where it is given it."""

    def call_soon_threadsafe(self, callback: Callable[..., object], *args: Any) -> object:
        return callback(*args)

    call_soon = call_soon_threadsafe


class Turns(AtOnce):
    """A loop that goes on when it is told to."""

    def __init__(self) -> None:
        self.soon: list[Callable[[], object]] = []

    def call_soon(self, callback: Callable[..., object], *args: Any) -> None:
        self.soon.append(partial(callback, *args))

    def turn(self) -> None:
        soon, self.soon = self.soon, []
        for callback in soon:
            callback()


class Desk:
    """A committer on such a log, and what became of each ticket."""

    def __init__(self, folder: Path, loop: AtOnce | None = None, **limits: int) -> None:
        self.log = Gate(folder / "x.log")
        self.ended: dict[int, BaseException | None] = {}
        self.counted: list[int] = []
        self.committer = Committer(
            self.log,
            max_pending_bytes=limits.get("pending", 1 << 20),
            log_max_bytes=limits.get("log", 1 << 20),
            on_committed=self.count,
        )
        self.committer.start(loop or AtOnce())

    def count(self, _: object, batches: Sequence[Batch], took_s: float) -> None:
        assert took_s >= 0
        self.counted.extend(int(batch.outcome.source) for batch in batches)

    def submit(self, number: int, size: int = 10, *, is_alone: bool = False) -> None:
        record = Record(Kind.LEARNING, "d", None, "s", "t", 1_000_000, 1, b"x" * size)
        future: Future[None] = Future()
        future.add_done_callback(lambda done: self.ended.update({number: done.exception()}))
        # What settles it asks for no more of a future than this one has.
        ticket = Batch(Outcome("d", str(number), None), [record], future)  # type: ignore[arg-type]
        self.committer.submit(ticket, is_alone=is_alone)

    def ends(self, *numbers: int) -> bool:
        return until(lambda: set(numbers) <= set(self.ended))

    def shut(self, first: int, size: int = 10) -> None:
        """Have a first ticket on its way into the log, and no further."""
        self.log.open.clear()
        while self.log.entered.acquire(blocking=False):
            pass
        self.submit(first, size)
        assert self.log.entered.acquire(timeout=5)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Desk]]:
    desks: list[Desk] = []

    def desk(loop: AtOnce | None = None, **limits: int) -> Desk:
        desks.append(Desk(tmp_path, loop, **limits))
        return desks[-1]

    yield desk
    for each in desks:
        each.log.fault = None
        each.log.open.set()
        each.committer.stop()
        each.log.close()


def test_one_alone_is_committed_at_once(make: Callable[..., Desk]) -> None:
    desk = make()
    for number in range(3):
        desk.submit(number)
        assert desk.ends(number)
    assert desk.log.transactions == [1, 1, 1]
    assert until(lambda: desk.counted == [0, 1, 2])
    assert desk.log.last_seq() == 3


def test_of_large_ones_only_some_go_together_and_small_ones_go_before_the_rest(make: Callable[..., Desk]) -> None:
    desk = make(pending=16 << 20, log=16 << 20)
    desk.shut(0)
    for number in (1, 2, 3, 4, 5):
        desk.submit(number, 700_000)
    desk.submit(6)
    desk.log.open.set()
    assert desk.ends(*range(7))
    assert desk.log.transactions == [1, 3, 2, 1]
    assert until(lambda: desk.counted == [0, 1, 2, 6, 3, 4, 5])
    assert until(lambda: desk.committer.gauges()["pending_bytes"] == 0)


def test_one_that_is_alone_is_committed_before_it_is_handed_in(make: Callable[..., Desk]) -> None:
    desk = make()
    at_once = 0
    for number in range(50):
        assert until(lambda: desk.committer._idle)
        desk.submit(number, is_alone=True)
        at_once += number in desk.ended
        assert desk.ends(number)
    assert at_once > 0  # all but the first, and but those after a commit that was slow
    assert until(lambda: desk.counted == list(range(50)))
    assert desk.log.last_seq() == 50
    assert desk.committer.gauges()["pending_bytes"] == 0


def test_one_that_only_seems_alone_waits_for_its_turn(make: Callable[..., Desk]) -> None:
    desk = make()
    desk.shut(0)
    desk.submit(1, is_alone=True)
    assert desk.ended == {}
    desk.log.open.set()
    assert desk.ends(0, 1)
    desk.log.fault = LogFailed(desk.log.path, "no")
    assert until(lambda: desk.committer._idle)
    desk.submit(2, is_alone=True)
    assert desk.ends(2)
    assert isinstance(desk.ended[2], LogFailed)


def alone(desk: Desk, loop: Turns) -> None:
    """One that the loop commits itself, though the machine be slow; the first of all may wake the thread."""
    for number in range(1, 20):
        assert until(lambda: desk.committer._idle)
        desk.committer._is_quick = True
        desk.submit(number, is_alone=True)
        if loop.soon:
            return
        assert desk.ends(number)
    pytest.fail("every one of them was left to the thread")


def test_one_that_is_alone_is_counted_in_the_turn_after_its_answer(make: Callable[..., Desk]) -> None:
    loop = Turns()
    desk = make(loop)
    alone(desk, loop)
    number = max(desk.ended)
    assert number not in desk.counted
    loop.turn()
    assert desk.counted[-1] == number
    assert loop.soon == []


def test_what_the_loop_cannot_count_as_the_thread_commits_is_counted_by_the_thread(make: Callable[..., Desk]) -> None:
    loop = Turns()
    desk = make(loop)
    alone(desk, loop)
    number = max(desk.ended)
    desk.shut(100)
    loop.turn()
    assert number not in desk.counted
    desk.log.open.set()
    assert desk.ends(100)
    assert until(lambda: set(desk.counted) >= {number, 100})
    assert desk.counted.count(number) == 1


def test_what_was_left_to_count_is_counted_at_the_end(make: Callable[..., Desk]) -> None:
    loop = Turns()
    desk = make(loop)
    alone(desk, loop)
    number = max(desk.ended)
    with desk.committer._committing:  # as while it sweeps
        loop.turn()
    desk.committer.stop()
    assert desk.counted[-1] == number


def test_all_who_wait_share_the_next_transaction(make: Callable[..., Desk]) -> None:
    desk = make()
    desk.shut(0)
    for number in range(1, 40):
        desk.submit(number)
    assert desk.ended == {}
    desk.log.open.set()
    assert desk.ends(*range(40))
    assert desk.log.transactions == [1, 39]
    assert until(lambda: desk.counted == list(range(40)))
    gauges = desk.committer.gauges()
    assert (gauges["log_events"], gauges["pending_bytes"]) == (40, 0)


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(LogFailed(Path("x.log"), "the disk is full"), id="the log fails"),
        pytest.param(RuntimeError("what nobody thought of"), id="a fault of our own"),
    ],
)
def test_a_failure_is_told_to_all_and_the_next_succeeds(make: Callable[..., Desk], fault: Exception) -> None:
    desk = make()
    desk.shut(0)
    for number in (1, 2, 3):
        desk.submit(number)
    desk.log.fault = fault
    desk.log.open.set()
    assert desk.ends(0, 1, 2, 3)
    assert all(isinstance(error, LogFailed) for error in desk.ended.values())
    assert until(lambda: desk.committer.failure is not None)
    desk.log.fault = None
    desk.submit(4)
    assert desk.ends(4)
    assert desk.ended[4] is None
    assert until(lambda: desk.committer.failure is None)
    assert desk.log.live()[0] == 1
    assert until(lambda: desk.counted == [4])
    assert desk.committer.gauges()["pending_bytes"] == 0


def test_it_notices_by_itself_that_the_log_is_well_again(make: Callable[..., Desk]) -> None:
    desk = make()
    desk.log.fault = LogFailed(Path("x.log"), "gone")
    desk.submit(0)
    assert desk.ends(0)
    assert until(lambda: desk.committer.failure is not None)
    desk.log.fault = None
    assert until(lambda: desk.committer.failure is None, 3)


def test_a_fault_beside_a_transaction_does_not_end_it(make: Callable[..., Desk]) -> None:
    desk = make()
    desk.submit(1)
    assert until(lambda: 1 in desk.ended)
    desk.log.fault = sqlite3.OperationalError("disk I/O error")  # when it looks at what is left
    desk.committer.free(1)
    assert until(lambda: "disk I/O error" in str(desk.committer.failure))
    desk.log.fault = None
    assert until(lambda: desk.committer.failure is None)
    desk.submit(2)
    assert until(lambda: desk.ended.get(2, desk) is None)


def test_what_waits_is_bounded_and_one_alone_is_taken(make: Callable[..., Desk]) -> None:
    desk = make(pending=1_000)
    desk.shut(0, size=5_000)
    with pytest.raises(Overloaded):
        desk.submit(1)
    desk.log.open.set()
    assert desk.ends(0)
    desk.submit(2)
    assert desk.ends(2)
    assert 1 not in desk.ended


def test_what_the_log_holds_is_bounded_until_it_is_freed(make: Callable[..., Desk]) -> None:
    desk = make(log=1_000)
    desk.submit(0, size=700)
    assert desk.ends(0)
    with pytest.raises(Overloaded, match="log_max_bytes = 1,000") as refused:
        desk.submit(1, size=400)
    assert refused.value.retry_after_s >= 1
    desk.committer.free(desk.log.last_seq())
    assert until(lambda: desk.committer.gauges()["log_events"] == 0)
    desk.submit(2, size=400)
    assert desk.ends(2)


def test_what_is_taken_out_waits_in_portions_for_whoever_sends(make: Callable[..., Desk]) -> None:
    desk = make(log=1 << 30, pending=1 << 30)
    for number in range(6):
        desk.submit(number, size=1 << 20)
    assert desk.ends(*range(6))
    desk.shut(6)
    desk.committer.free(5)
    desk.submit(7)
    desk.log.open.set()
    assert desk.ends(6, 7)
    assert until(lambda: desk.committer.gauges()["log_events"] == 3)
    assert desk.log.freed == [1, 2, 3, 4, 5]


def test_a_stop_takes_out_what_is_left(make: Callable[..., Desk]) -> None:
    desk = make(log=1 << 30, pending=1 << 30)
    for number in range(3):
        desk.submit(number, size=1 << 20)
    assert desk.ends(0, 1, 2)
    desk.committer.free(3)
    desk.committer.stop()
    assert desk.log.live() == (0, 0, None)


def test_a_stop_commits_what_waits_and_takes_nothing_more(make: Callable[..., Desk]) -> None:
    desk = make()
    desk.shut(0)
    desk.submit(1)
    stopping = threading.Thread(target=desk.committer.stop)
    stopping.start()

    def refused() -> Any:
        try:
            desk.submit(99)
        except Overloaded as error:
            return "stopping" in str(error)
        return False

    assert until(refused)
    desk.log.open.set()
    stopping.join(5)
    assert {0, 1} <= set(desk.ended)
    assert set(desk.ended.values()) == {None}
