"""Work that takes longer than a page may: done in a thread, looked at while it runs, its result kept for a while."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

import structlog

from assay.errors import AssayError

__all__ = ["Job", "Jobs"]

_log = structlog.get_logger("assay")
_KEPT: Final = 50


@dataclass(slots=True)
class Job:
    """One piece of work on a dataset. `share` in [0, 1] is done of it; `result` is what it came to, `problem` why it did not."""

    id: int
    kind: str
    dataset: str
    began_s: float
    state: Literal["running", "done", "failed"] = "running"
    share: float = 0.0
    took_s: float = 0.0
    result: Any = None
    problem: str = ""

    @property
    def seconds(self) -> float:
        """How long it has run, or ran."""
        return self.took_s or time.monotonic() - self.began_s


class Jobs:
    """At most one job of a kind and a dataset at a time; the last few are remembered."""

    def __init__(self) -> None:
        self._jobs: OrderedDict[int, Job] = OrderedDict()
        self._numbers = itertools.count(1)
        self._tasks: set[asyncio.Task[None]] = set()

    def get(self, number: int) -> Job | None:
        """A job by its number; None when there never was one, or it is long ago."""
        return self._jobs.get(number)

    def running(self, kind: str, dataset: str) -> Job | None:
        """The one that runs."""
        return next(
            (job for job in self._jobs.values() if (job.kind, job.dataset, job.state) == (kind, dataset, "running")),
            None,
        )

    def start(self, kind: str, dataset: str, work: Callable[[Callable[[float], object]], Any]) -> Job:
        """Do work in a thread; it gets whom to tell the share that is done. Where the same runs already: that."""
        running = self.running(kind, dataset)
        if running is not None:
            return running
        job = Job(next(self._numbers), kind, dataset, time.monotonic())
        self._jobs[job.id] = job
        while len(self._jobs) > _KEPT:
            self._jobs.popitem(last=False)
        task = asyncio.create_task(self._run(job, work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return job

    async def _run(self, job: Job, work: Callable[[Callable[[float], object]], Any]) -> None:
        def tell(share: float) -> None:
            job.share = min(max(share, job.share), 1.0)

        try:
            job.result = await asyncio.to_thread(work, tell)
            job.state, job.share = "done", 1.0
        except AssayError as error:
            job.state, job.problem = "failed", str(error)
        except Exception as fault:  # noqa: BLE001  whoever waits for it must hear of it
            _log.error("a fault of assay's own", job=job.kind, dataset=job.dataset, exc_info=fault)
            job.state, job.problem = "failed", "a fault of assay's own; its log says more"
        finally:
            job.took_s = time.monotonic() - job.began_s
