"""Bodies that are not small are judged aside, so that small requests pass meanwhile.

Judging holds the interpreter nearly all the time that it takes: in a thread it would take turns with the loop that answers
everybody. So large bodies go to processes of their own, which keep an interpreter each. They are started when the first
large body comes. Until they are there, and where one of them has died, threads judge: what a body comes to is a pure
function of it and of its judge, and may be worked out anywhere, and again.
"""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from functools import lru_cache, partial
from typing import Final, TypeAlias, TypeVar

import structlog

from assay.ingest.outcome import Outcome
from assay.ingest.record import Record
from assay.ingest.validate import Judge
from assay.monitor.bins import Columns
from assay.priority import give_way
from assay.service.tally import Sums, Tally

__all__ = ["Judging", "Task"]

_log = structlog.get_logger("assay")

_T = TypeVar("_T")

#: Judges a body, or a part of one: what became of its events, and what to log of them. It can be pickled.
Task: TypeAlias = Callable[[], tuple[Outcome, list[Record]]]

#: Threads take turns with the interpreter and with the event loop: more would only make it wait longer.
_THREADS: Final = 2
_PROCESSES: Final = min(2, os.cpu_count() or 1)
#: From here on, going through two pipes costs little beside the judging.
_WORTH_A_PROCESS_BYTES: Final = 128 << 10
#: The loop that answers comes first.
_NICE: Final = 12


class Judging:
    """Judges aside, for one event loop. `start` may wait for the first large body; `stop` must come in the end."""

    def __init__(self, *, processes: int = _PROCESSES) -> None:
        """`processes`: how many may be started; 0 leaves all to threads."""
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="assay-judge")
        self._may_start = processes
        self._processes: ProcessPoolExecutor | None = None
        self._lock = threading.Lock()

    async def judge(self, judge: Judge | None, task: Task, size_bytes: int, columns: Columns | None) -> _Judged:
        """What became of a body, what to log of it, and what there is to count of it.

        `task` judges by `judge`; `columns` are those of its contract.
        """
        processes = self._ready() if size_bytes >= _WORTH_A_PROCESS_BYTES else None
        if processes is not None:
            try:
                outcome, records, sums = await _run(processes, partial(_judge_apart, task))
            except BrokenProcessPool:
                _log.warning("a process that judges large bodies has ended; they are started again")
                self._forget(processes)
            else:
                outcome.judge = judge
                contract = None if judge is None else judge.contract
                return outcome, [replace(record, contract=contract) for record in records], Tally(judge, columns, sums)
        return await self.aside(partial(_judge_here, judge, task, columns))

    async def aside(self, work: Callable[[], _T]) -> _T:
        """Do some other work in a thread."""
        return await _run(self._threads, work)

    def stop(self) -> None:
        """Wait for what is under way, and end."""
        self._may_start = 0
        self._threads.shutdown()
        with self._lock:
            processes, self._processes = self._processes, None
        if processes is not None:
            processes.shutdown(cancel_futures=True)

    def _ready(self) -> ProcessPoolExecutor | None:
        """The processes, once they run."""
        if self._processes is None and self._may_start:
            count, self._may_start = self._may_start, 0
            self._threads.submit(self._start, count)
        return self._processes

    def _start(self, count: int) -> None:
        processes = ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), _begin)
        try:
            for ready in [processes.submit(_load) for _ in range(count)]:
                ready.result()
        except (BrokenProcessPool, OSError) as error:
            _log.error("no process can be started to judge large bodies; threads go on to do it", problem=str(error))
            processes.shutdown(wait=False)
            return
        with self._lock:
            self._processes = processes

    def _forget(self, processes: ProcessPoolExecutor) -> None:
        """They are broken: others are started when the next large body comes."""
        with self._lock:
            if self._processes is not processes:
                return
            self._processes = None
        self._may_start = _PROCESSES
        processes.shutdown(wait=False, cancel_futures=True)


_Judged: TypeAlias = tuple[Outcome, list[Record], Tally]


async def _run(where: Executor, work: Callable[[], _T]) -> _T:
    return await asyncio.get_running_loop().run_in_executor(where, work)


def _judge_here(judge: Judge | None, task: Task, columns: Columns | None) -> _Judged:
    outcome, records = task()
    tally = Tally(judge, columns)
    tally.add(outcome)
    return outcome, records, tally


# ---- in the other process


def _begin() -> None:
    """A process begins. It ends with its parent, however that ends; a Ctrl-C is the parent's to act on."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    give_way(_NICE)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def end_with_parent() -> None:
        parent.join()
        os._exit(0)

    threading.Thread(target=end_with_parent, daemon=True).start()


def _load() -> None:
    """What the first body would wait for."""
    import pyarrow.compute  # noqa: F401

    import assay.ingest.intake  # noqa: F401

    gc.collect()
    gc.freeze()


def _judge_apart(task: Task) -> tuple[Outcome, list[Record], Sums]:
    """What goes back holds neither events nor the judge."""
    outcome, records = task()
    judge, outcome.judge = outcome.judge, None
    tally = Tally(judge, None if judge is None else _columns(judge))
    tally.add(outcome)
    return outcome, [replace(record, contract=None) for record in records], tally.sums


@lru_cache(64)
def _columns(judge: Judge) -> Columns:
    return Columns(judge.contract)
