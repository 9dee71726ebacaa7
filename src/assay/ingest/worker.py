"""The thread that applies the log to the store, again and again, and gives the store to others in between."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from dataclasses import field as attribute
from operator import ge
from typing import Final, Protocol

from assay.errors import AssayError, LogFailed, ServiceError, StoreFailed, StoreLocked
from assay.ingest.appliers import Rounds
from assay.ingest.apply import Applied, JudgeFor
from assay.ingest.replay import Portion, Replayed, Replayer

__all__ = ["INTERVAL_S", "AnyWorker", "Status", "Worker"]

#: Rounds begin this far apart, seconds: an event is in its table within a second, in transactions worth their price.
INTERVAL_S: Final = 0.4
_RETRY_S: Final = 0.2
#: With nothing to move there is a round all the same: what was refused long ago may have to go.
_IDLE_S: Final = 60.0
#: How long a flush waits for the next thing to be moved when nothing is known to be in the way: a machine may be slow.
_SLOW_S: Final = 45.0


@dataclass(frozen=True, slots=True)
class Status:
    """How applying goes: `trouble` is None when all is well, else what keeps the store from taking events.

    `through` and `others` are as in `Applied`. `waiting`: events of a dataset that has a contract now are still in `_learning`.
    """

    through: int = 0
    in_quarantine: int = 0
    waiting: bool = False
    trouble: ServiceError | None = None
    others: tuple[int, ...] = ()

    def has(self, last: int, others: Sequence[int]) -> bool:
        """Whether the store has each log up to a number."""
        return self.through >= last and all(map(ge, self.others or [0] * len(others), others))


@dataclass(frozen=True, slots=True)
class _Done:
    """What comes after a round: whether there is more to do, whether that would make a whole round, how long the store was held."""

    more: bool = True
    is_behind: bool = False
    held_s: float = 0.0


class AnyWorker(Protocol):
    """What applies the log to the store, in a thread here or in a process of its own."""

    status: Status

    def start(self) -> None:
        """Begin."""

    def stop(self) -> None:
        """Try once more to move everything, then end. What could not be moved stays in the log."""

    def kick(self) -> None:
        """There is something new to move."""

    def contracts_changed(self) -> None:
        """A contract was activated: events may have waited for it."""

    def flush(self, timeout_s: float) -> None:
        """Wait until everything that is durable now is in its table."""

    def replay(self, portion: Portion, timeout_s: float) -> Replayed:
        """Replay a portion of the quarantine; what became of it."""


@dataclass(slots=True)
class _Job:
    """A portion that somebody waits for, until `deadline` by the monotonic clock."""

    portion: Portion
    deadline: float
    done: Replayed | None = None
    failure: AssayError | None = None
    ended: threading.Event = attribute(default_factory=threading.Event)


class Worker:
    """Runs rounds while there is something to move. At least half of the time the store is nobody's."""

    def __init__(
        self,
        applier: Rounds,
        *,
        judge_for: JudgeFor,
        last_seq: Callable[[], int],
        last_of_others: Callable[[], Sequence[int]] = tuple,
        on_applied: Callable[[Applied, float], None],
        on_trouble: Callable[[ServiceError | None], None] = lambda _: None,
        on_status: Callable[[Status], None] = lambda _: None,
        replayer: Replayer | None = None,
        interval_s: float = INTERVAL_S,
    ) -> None:
        """`last_seq` asks the log how far it is, `last_of_others` those beside it. `on_applied` gets each round that moved something and the seconds it took.

        `on_trouble` gets each change of what keeps the store from taking events, `on_status` each change of the status.
        Rounds begin `interval_s` apart, unless more waits than one takes.
        """
        self._applier = applier
        self._replayer = replayer
        self._jobs: list[_Job] = []
        self._judge_for = judge_for
        self._last_seq = last_seq
        self._last_of_others = last_of_others
        self._on_applied = on_applied
        self._on_trouble = on_trouble
        self._on_status = on_status
        self._interval_s = interval_s
        self._changed = threading.Condition()
        self._kicked = True  # the first round compares the log with the store
        self._hurry = False
        self._stopping = False
        self._rounds = 0
        self._moved_at = 0.0
        self.status = Status()
        self._thread = threading.Thread(target=self._run, name="assay-apply", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Try once more to move everything, then end. What could not be moved stays in the log."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._thread.join()

    def kick(self) -> None:
        """There is something new to move."""
        with self._changed:
            if not self._kicked:
                self._kicked = True
                self._changed.notify_all()

    def contracts_changed(self) -> None:
        """A contract was activated: events may have waited for it."""
        self._applier.contracts_changed()
        self.kick()

    def flush(self, timeout_s: float) -> None:
        """Wait until everything that is durable now is in its table.

        Raises:
            ServiceError: it is not: something is in the way, and for `timeout_s` seconds nothing was moved.
        """
        self._applier.contracts_changed()  # whoever saw a contract active may flush before this thread was told of it
        target = self._last_seq(), self._last_of_others()
        began = time.monotonic()
        with self._changed:
            rounds = self._rounds
            # Even with nothing to move, one whole round must have gone by: it may be moving what was learning.
            while self._rounds <= rounds or not self._has(*target):
                patience_s = _SLOW_S if self.status.trouble is None else timeout_s
                left = max(began, self._moved_at) + patience_s - time.monotonic()
                if left <= 0:
                    raise self.status.trouble or ServiceError(f"nothing was moved to the store for {patience_s:g} s")
                self._kicked = self._hurry = True
                self._changed.notify_all()
                self._changed.wait(left)

    def replay(self, portion: Portion, timeout_s: float) -> Replayed:
        """Replay a portion of the quarantine, between two rounds; what became of it.

        Raises:
            StoreLocked: another program held the store for `timeout_s` seconds.
            AssayError: as `Replayer.replay`; or this ends.
        """
        job = _Job(portion, time.monotonic() + timeout_s)
        with self._changed:
            if self._replayer is None or self._stopping:
                raise ServiceError("the service stops: nothing is replayed any more")
            self._jobs.append(job)
            self._kicked = True
            self._changed.notify_all()
        job.ended.wait()
        if job.done is None:
            raise job.failure or ServiceError("the portion was not replayed")
        return job.done

    @property
    def is_behind(self) -> bool:
        """Whether there is something to move.

        Raises:
            LogFailed: nobody knows: a log cannot be read.
        """
        return not self.status.has(self._last_seq(), self._last_of_others())

    def _has(self, last: int, others: Sequence[int]) -> bool:
        """Whether the store has everything up to there, and nothing waits in `_learning` that need not."""
        status = self.status
        return status.trouble is None and status.has(last, others) and not status.waiting

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._kicked or self._stopping, timeout=_IDLE_S)
                stopping = self._stopping
                self._kicked = self._hurry = False
            began = time.monotonic()
            done = self._round()
            held_s = done.held_s + self._replay(stopping=stopping)
            took = time.monotonic() - began
            with self._changed:
                self._kicked |= (done.more or bool(self._jobs)) and not (stopping and self.status.trouble)
                if stopping and not self._kicked:
                    return
                # Nobody else could open the store for `held_s`: now it is theirs for at least as long. What the next
                # round does before it opens the store takes about what it took in this one.
                interval_s = 0.0 if done.is_behind or self._jobs else self._interval_s
                pause = _RETRY_S if self.status.trouble else max(interval_s, 2 * held_s) - took
                if not stopping:
                    self._changed.wait_for(lambda: self._hurry or self._stopping, timeout=pause)

    def _round(self) -> _Done:
        began = time.perf_counter()
        try:
            applied = self._applier.round(self._judge_for)
            if (
                applied.events
                or applied.quarantined
                or applied.gaps
                or applied.expired
                or (applied.through, applied.others) != (self.status.through, self.status.others)
            ):
                self._moved_at = time.monotonic()
                self._on_applied(applied, time.perf_counter() - began)
            self._say(Status(applied.through, applied.in_quarantine, applied.waiting, applied.trouble, applied.others))
            more = applied.more or applied.trouble is not None or self.is_behind
            return _Done(more, applied.more, applied.held_s)
        except (StoreLocked, StoreFailed, LogFailed) as trouble:
            self._say(replace(self.status, trouble=trouble))
        except Exception as fault:  # noqa: BLE001  this thread must not end: events would wait for ever, and nobody would be told
            self._say(replace(self.status, trouble=ServiceError(f"{type(fault).__name__}: {fault}")))
        return _Done()

    def _replay(self, *, stopping: bool) -> float:
        """Replay the portion that has waited longest, if there is one; for how many seconds the store was held."""
        with self._changed:
            jobs, self._jobs = self._jobs, []
        if stopping:
            for job in jobs:
                job.failure = ServiceError("the service stops: what was not replayed stays in quarantine")
                job.ended.set()
            return 0.0
        if not jobs:
            return 0.0
        job, *others = jobs
        held_s = 0.0
        try:
            assert self._replayer is not None
            job.done = self._replayer.replay(job.portion)
            held_s = job.done.held_s
        except StoreLocked as locked:
            if time.monotonic() < job.deadline:
                others = jobs
            else:
                job.failure = locked
        except AssayError as failure:
            job.failure = failure
        except Exception as fault:  # noqa: BLE001  this thread must not end
            job.failure = ServiceError(f"{type(fault).__name__}: {fault}")
        with self._changed:
            self._jobs = others + self._jobs
        if job.done is not None and job.done.in_quarantine is not None:
            self._applier.recount(job.done.in_quarantine)
            self._say(replace(self.status, in_quarantine=job.done.in_quarantine), of_round=False)
        if job.done is not None or job.failure is not None:
            job.ended.set()
        return held_s

    def _say(self, status: Status, *, of_round: bool = True) -> None:
        before = self.status
        with self._changed:
            self.status = status
            self._rounds += of_round
            self._changed.notify_all()
        if status != before:
            self._on_status(status)
        if str(status.trouble) != str(before.trouble):
            self._on_trouble(status.trouble)
