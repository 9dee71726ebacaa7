"""Group commit: whatever waits when a transaction of the log ends goes into the next one together.

One client alone is answered after one commit of its own; many share one. An fsync costs as much as validating hundreds
of events, so sharing it is what makes the door fast. Every call into SQLite lets other threads run, and the way back
may have to wait for them: so a transaction is one statement wherever it can be.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, Protocol, TypeAlias

from assay.errors import LogFailed, Overloaded
from assay.ingest.keys import Kept
from assay.ingest.log import Log
from assay.ingest.payload import pack_events
from assay.ingest.record import Kind, Piece, Record
from assay.ingest.ticket import Batch, Part, Single, Ticket, settle
from assay.ingest.validate import Judge

__all__ = ["Committer", "Loop", "OnCommitted", "Singles"]

_PROBE_S: Final = 0.5
_MEASURE_S: Final = 0.5
#: A commit that the event loop may wait for.
_QUICK_S: Final = 0.002
#: Of tickets beyond this size as many share a transaction as come to `_ENOUGH_BYTES`: some ten milliseconds' writing.
_LARGE_BYTES: Final = 64 << 10
_ENOUGH_BYTES: Final = 1 << 20

#: Single events of one contract and source that were committed together.
Singles: TypeAlias = tuple[Judge, str, list[Single]]
#: Gets what was committed, as a rule after it was answered: single events in groups, the rest, and the seconds it took.
OnCommitted: TypeAlias = Callable[[Sequence[Singles], Sequence[Batch], float], None]


class Loop(Protocol):
    """The part of an event loop that is needed to answer."""

    def call_soon(self, callback: Callable[..., object], *args: Any) -> object:
        """Have `callback` called in the next turn of the loop."""

    def call_soon_threadsafe(self, callback: Callable[..., object], *args: Any) -> object:
        """Have `callback` called in the loop's thread."""


class Committer:
    """Owns the log's writing side in a thread of its own. Requests are handed in from one event loop, and answered there."""

    def __init__(
        self,
        log: Log,
        *,
        max_pending_bytes: int,
        log_max_bytes: int,
        on_committed: OnCommitted,
        counts_first: bool = False,
    ) -> None:
        """`counts_first`: nothing is answered before it was counted, where what was counted outlives the process."""
        self._log = log
        self._max_pending_bytes = max_pending_bytes
        self._log_max_bytes = log_max_bytes
        self._on_committed = on_committed
        self._counts_first = counts_first
        self._loop: Loop | None = None
        self._waiting: list[Ticket] = []
        self._later: list[Ticket] = []  # of these, what the last transaction had no room for
        self._free_through = 0  # up to there the store has everything
        self._freed_through = 0  # and up to there it is taken out
        self._measured_at = 0.0
        self._dropped: list[str] = []
        self._idle = False
        self._committing = threading.Lock()  # held by whoever commits or counts: nearly always the thread
        self._uncounted: list[Callable[[], None]] = []  # what the event loop committed and left to the thread to count
        self._is_quick = False  # the last commit was
        self._wake: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._stopping = False
        #: Why the log cannot be written; None while it can.
        self.failure: LogFailed | None = None
        # Each written by one thread alone: what was handed in, and what was dealt with.
        self._taken_bytes = 0
        self._done_bytes = 0
        self._live_events, self._live_bytes, self._oldest_us = log.live()
        self._thread = threading.Thread(target=self._run, name="assay-log", daemon=True)

    def start(self, loop: Loop) -> None:
        """Begin to commit; `loop` is where requests are handed in."""
        self._loop = loop
        self._thread.start()

    def stop(self) -> None:
        """Commit what waits, then end."""
        self._stopping = True
        self._wake.put(None)
        self._thread.join()

    def submit(self, ticket: Ticket, *, is_alone: bool = False) -> None:
        """Hand in what a request leaves in the log. Returns at once; the ticket's future tells the end.

        One that `is_alone`, with nobody to share a transaction with, is committed before it returns while commits are quick:
        to wake a thread, and to be woken by it, takes longer than the commit.

        Raises:
            Overloaded: a bound is reached; nothing of it is kept.
        """
        size = ticket.size_bytes
        pending = self._taken_bytes - self._done_bytes
        if self._stopping:
            raise Overloaded("the service is stopping", retry_after_s=5)
        if pending and pending + size > self._max_pending_bytes:
            raise Overloaded("too much is waiting to be written; try again")
        if self._live_bytes + pending + size > self._log_max_bytes:
            raise Overloaded(
                f"the log holds log_max_bytes = {self._log_max_bytes:,} that the store has not taken yet; "
                "see GET /readyz for what holds it up",
                retry_after_s=5,
            )
        self._taken_bytes += size
        if is_alone and self._is_quick and self._idle and self._committing.acquire(blocking=False):
            try:
                count = self._commit([ticket], 0, settle)
            finally:
                self._committing.release()
            if count is not None:
                assert self._loop is not None
                self._loop.call_soon(self._count, count)  # whoever waits answers in this turn
            return
        self._waiting.append(ticket)
        if self._idle:
            self._idle = False
            self._wake.put(None)

    def free(self, through: int) -> None:
        """The store has the records up to `through`: take them out with the next transactions, or soon."""
        self._free_through = max(self._free_through, through)
        self._wake.put(None)

    def drop(self, request: str) -> None:
        """The request of some parts has ended without its last record: take them out again."""
        self._dropped.append(request)
        self._wake.put(None)

    def gauges(self) -> dict[str, float]:
        """What waits, for the metrics: bytes and events; seconds for the age of the oldest record."""
        oldest = self._oldest_us
        return {
            "pending_bytes": self._taken_bytes - self._done_bytes,
            "log_events": self._live_events,
            "log_bytes": self._live_bytes,
            "log_oldest_seconds": 0.0 if oldest is None else max(0.0, time.time() - oldest / 1e6),
        }

    def _run(self) -> None:
        while True:
            is_busy = self._waiting or self._later or self._is_to_free or self._dropped or self._uncounted
            if not (is_busy or self._stopping or not self._log.is_clean):
                self._sleep()
            with self._committing:
                try:
                    if not self._next():
                        return
                except Exception as fault:  # noqa: BLE001  this thread must not end: everybody would wait for ever
                    self.failure = self._told(fault)
                    if self._stopping and not (self._waiting or self._later):
                        return
                    time.sleep(_PROBE_S)

    def _next(self) -> bool:
        """The next transaction, or whatever else there is to do; False when it was asked to stop, and all is done."""
        dropped, self._dropped = self._dropped, []  # before the tickets: none comes after its request was dropped
        tickets, self._waiting = self._waiting, []
        tickets, self._later = _share(self._later + tickets)
        free_through = self._log.portion(self._free_through) if self._is_to_free else 0
        uncounted, self._uncounted = self._uncounted, []
        for count in uncounted:
            count()
        if tickets:
            committed = self._commit(tickets, free_through, self._settle)
            if committed is not None:
                committed()
        elif free_through:
            self._free(free_through)
        elif self._stopping:
            return False
        elif self.failure is not None:
            self._probe()
        to_come = {piece.request for ticket in self._later if isinstance(ticket, Part) for piece in ticket.pieces}
        for request in dropped:
            if request in to_come:
                self._dropped.append(request)
            else:
                self._log.drop(request)
        if not (self._log.is_clean or self._stopping):
            self._sweep()
        return True

    def _sleep(self) -> None:
        """Until there is something to do; for a while, when the log fails or has something to do later."""
        self._idle = True
        if not self._waiting:  # else it was handed in just before
            with contextlib.suppress(queue.Empty):
                self._wake.get(timeout=_PROBE_S if self.failure else self._log.due_s)
        self._idle = False

    def _settle(self, tickets: Sequence[Ticket], error: LogFailed | None) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(settle, tickets, error)

    def _commit(
        self, tickets: list[Ticket], free_through: int, tell: Callable[[Sequence[Ticket], LogFailed | None], None]
    ) -> Callable[[], None] | None:
        """One transaction; `tell` tells its end to who waits. What is left to do, if anything, is to count it."""
        singles, batches, pieces = _sorted(tickets)
        now_us = time.time_ns() // 1000
        records = [_shared(group, now_us) for group in singles]
        keys: list[Kept] = []
        for batch in batches:
            records += batch.records
            keys += batch.keys
        began = time.perf_counter()
        error: LogFailed | None = None
        try:
            self._log.append(records, keys=keys, pieces=pieces, free_through=free_through)
        except LogFailed as failure:
            error = failure
        except Exception as fault:  # noqa: BLE001  nor must those who wait for this transaction
            error = self._told(fault)
        took = time.perf_counter() - began
        if error is None:
            self._add_live([*records, *(piece.record for piece in pieces)])
        self._done_bytes += sum(ticket.size_bytes for ticket in tickets)
        self.failure = error
        self._is_quick = error is None and took < _QUICK_S and self._log.is_near
        count = partial(self._on_committed, singles, batches, took) if error is None and (singles or batches) else None
        if count is not None and self._counts_first:
            count()
            count = None
        tell(tickets, error)
        if error is not None and free_through:
            self._free(free_through)  # alone: it needs less room, and may have the reserve
        elif free_through:
            self._note_freed(free_through)
        return count

    def _told(self, fault: Exception) -> LogFailed:
        """What nobody thought of, as it is told."""
        return LogFailed(self._log.path, f"{type(fault).__name__}: {fault}")

    def _count(self, count: Callable[[], None]) -> None:
        """In the event loop: count what it committed, unless the thread is at it; never two at once."""
        if self._committing.acquire(blocking=False):
            try:
                count()
            finally:
                self._committing.release()
        else:
            self._uncounted.append(count)
            self._wake.put(None)

    def _probe(self) -> None:
        """Whether the log takes anything again: while it does not, nobody is sent here to find out."""
        try:
            self._log.probe()
            self.failure = None
        except LogFailed as failure:
            self.failure = failure

    def _free(self, through: int) -> None:
        try:
            self._log.free(through)
        except LogFailed as failure:
            self.failure = failure
            if self._stopping:  # at the next start the store's mark says what may go
                self._freed_through = self._free_through
            else:
                time.sleep(_PROBE_S)
            return
        self._note_freed(through)
        if self.failure is not None:
            self._probe()  # there may be room again

    @property
    def _is_to_free(self) -> bool:
        return self._free_through > self._freed_through

    def _note_freed(self, through: int) -> None:
        """It is measured anew at the end of many portions, as that looks at all that is left."""
        self._freed_through = through
        if not self._is_to_free or time.monotonic() > self._measured_at + _MEASURE_S:
            self._measure()

    def _sweep(self) -> None:
        """Take out some of what nobody needs, between two transactions that somebody waits for."""
        try:
            self._log.sweep()
        except LogFailed as failure:
            self.failure = failure
            time.sleep(_PROBE_S)
            return
        if self._log.is_clean:
            self._measure()

    def _add_live(self, records: Sequence[Record]) -> None:
        for record in records:
            self._live_events += record.events
            self._live_bytes += len(record.payload)
            if self._oldest_us is None:
                self._oldest_us = record.received_us

    def _measure(self) -> None:
        self._measured_at = time.monotonic()
        self._live_events, self._live_bytes, self._oldest_us = self._log.live()


def _share(tickets: list[Ticket]) -> tuple[list[Ticket], list[Ticket]]:
    """What makes the next transaction, and what waits for the one after: of large ones as many as are written soon.

    Whoever sends little waits for one of the large ones, and not for all that came at the same moment.
    """
    large = [ticket for ticket in tickets if not isinstance(ticket, Single) and ticket.size_bytes > _LARGE_BYTES]
    if len(large) < 2:
        return tickets, []
    later: list[Ticket] = []
    size = 0
    for ticket in large:
        if size >= _ENOUGH_BYTES:
            later.append(ticket)
        size += ticket.size_bytes
    if not later:
        return tickets, []
    put_off = set(map(id, later))
    return [ticket for ticket in tickets if id(ticket) not in put_off], later


def _sorted(tickets: Sequence[Ticket]) -> tuple[list[Singles], list[Batch], list[Piece]]:
    """Single events by contract and source; the others as they came."""
    pieces: list[Piece] = []
    groups: dict[tuple[int, str], Singles] = {}
    batches: list[Batch] = []
    for ticket in tickets:
        if isinstance(ticket, Single):
            key = (id(ticket.judge), ticket.source)
            group = groups.get(key)
            if group is None:
                groups[key] = (ticket.judge, ticket.source, [ticket])
            else:
                group[2].append(ticket)
        elif isinstance(ticket, Part):
            pieces += ticket.pieces
        else:
            batches.append(ticket)
    return list(groups.values()), batches, pieces


def _shared(group: Singles, now_us: int) -> Record:
    judge, source, tickets = group
    contract = judge.contract
    payload = pack_events([ticket.body for ticket in tickets])
    return Record(Kind.EVENTS, contract.dataset, contract, source, "", now_us, len(tickets), payload)
