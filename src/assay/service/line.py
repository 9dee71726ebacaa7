"""A worker's end of what it and the head say to each other."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Final

from assay.errors import ServiceError
from assay.ingest.apply import Applied
from assay.ingest.worker import Status
from assay.service.orders import Order, Report, read_order, written

if TYPE_CHECKING:
    from assay.ingest.apart import OnApplied
    from assay.ingest.replay import Portion, Replayed
    from assay.service.collector import Collector

__all__ = ["Line"]

_REPORT_S: Final = 0.25


class Line:
    """What applies the log, to a worker's collector: it is done elsewhere, and heard of here. Listens once it is made."""

    def __init__(self, inbox: IO[bytes], outbox: IO[bytes], on_stop: Callable[[], object]) -> None:
        """`on_stop` is called when the head wants no more to be taken; from another thread.

        When `inbox` ends, so does the process: the head is gone, and what was acknowledged is in the log.
        """
        self.status = Status()
        self._outbox = outbox
        self._writing = threading.Lock()
        self._on_stop = on_stop
        self._on_applied: OnApplied | None = None
        self._through = 0
        self._running: tuple[Collector, asyncio.AbstractEventLoop] | None = None
        self._ended = threading.Event()
        threading.Thread(target=self._listen, args=[inbox], name="assay-line", daemon=True).start()

    # ---- what a collector wants of it

    def hear(self, on_applied: OnApplied) -> Line:
        """Tell a collector of what was moved."""
        self._on_applied = on_applied
        return self

    def start(self) -> None:
        """Nothing: it listens already."""

    def stop(self) -> None:
        """All is in the log: wait until the head has had it moved."""
        self.report(Report("drained"))
        self._ended.wait()

    def kick(self) -> None:
        """There is something new to move: the process that does it looks by itself."""

    def contracts_changed(self) -> None:
        """A contract was activated: the head has seen it, too."""

    def flush(self, timeout_s: float) -> None:  # noqa: ARG002
        """Never asked of a worker."""
        raise ServiceError("this is for the head to do")

    def replay(self, portion: Portion, timeout_s: float) -> Replayed:  # noqa: ARG002
        """Never asked of a worker."""
        raise ServiceError("this is for the head to do")

    # ---- what the worker tells

    def report(self, report: Report) -> None:
        """Tell the head."""
        with self._writing, contextlib.suppress(OSError):  # it is gone: stdin ends, too
            self._outbox.write(written(report))
            self._outbox.flush()

    async def accompany(self, collector: Collector) -> None:
        """While the collector runs: tell how it is, and pass on what is asked of it."""
        self._running = collector, asyncio.get_running_loop()
        if self._through and self._on_applied is not None:
            self._on_applied(Applied(self._through), 0.0)
        self.report(Report("ready"))
        said = None
        while True:
            failure = collector.failure
            state = Report(
                "state",
                text="" if failure is None else str(failure),
                gauges=collector.log_gauges(),
                learning=collector.own_learning(),
            )
            if state != said:
                self.report(state)
                said = state
            await asyncio.sleep(_REPORT_S)

    def _listen(self, inbox: IO[bytes]) -> None:
        for line in inbox:
            self._obey(read_order(line))
        os._exit(1)

    def _obey(self, order: Order) -> None:
        match order.what:
            case "through" | "end":
                self._through = order.through
                self.status = Status(order.through)
                if order.what == "end":
                    self._ended.set()
                elif self._running is not None and self._on_applied is not None:
                    self._on_applied(Applied(order.through), 0.0)
            case "learning" if self._running is not None:
                self._running[0].learned_elsewhere(order.learning)
            case "look" if self._running is not None:
                collector, loop = self._running
                asyncio.run_coroutine_threadsafe(self._look(collector, order.number), loop)
            case "stop":
                self._on_stop()

    async def _look(self, collector: Collector, number: int) -> None:
        await collector.look()
        self.report(Report("looked", number))
