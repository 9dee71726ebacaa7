"""The running collector: intake, log and counting tied together, without HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final, TypedDict, TypeVar

import structlog
from msgspec import Struct

from assay.contract.versions import is_dataset_name
from assay.errors import AssayError, BadBody, LogFailed, Overloaded, UnknownDataset
from assay.ingest.apart import OnApplied, OnTrouble
from assay.ingest.apply import Applied
from assay.ingest.claims import Claims
from assay.ingest.cloudevents import Opened
from assay.ingest.committer import Committer, Singles
from assay.ingest.enforced import Change, Enforced
from assay.ingest.enveloped import Taken, take_cloudevents
from assay.ingest.intake import Form, take
from assay.ingest.keys import Kept, KeyReader, Slot
from assay.ingest.large import LargeBody
from assay.ingest.log import Log
from assay.ingest.logs import logs_beside
from assay.ingest.outcome import Outcome
from assay.ingest.record import Piece, Record
from assay.ingest.ticket import Batch, Part, Single
from assay.ingest.validate import Judge
from assay.ingest.worker import AnyWorker
from assay.monitor.bins import Columns
from assay.monitor.metrics import LEARNING, Metrics
from assay.service.flights import Flights
from assay.service.following import Following
from assay.service.judging import Judging
from assay.service.large import LargeRequest
from assay.service.office import Office
from assay.service.pending import Pending
from assay.service.rendered import RenderedModels
from assay.service.tally import Tally
from assay.store.protocol import Store

__all__ = ["Asked", "Collector", "Limits", "Shared"]

_log = structlog.get_logger("assay")

#: Bodies beyond this are judged aside, so that small requests pass meanwhile.
_LARGE_BODY_BYTES: Final = 32 << 10
_SWEEP_S: Final = 2.0
_LOOK_AT_CONTRACTS_S: Final = 0.5
#: How long a portion of a replay waits for a store that another program holds.
_REPLAY_S: Final = 5.0

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Limits:
    """The collector's bounds. Sizes are in bytes."""

    max_body_bytes: int
    max_pending_bytes: int
    log_max_bytes: int
    open_datasets: bool
    max_datasets: int
    learning_max_bytes: int
    keep_unknown: bool = True


@dataclass(frozen=True, slots=True)
class Asked:
    """A request: a body, of what form, to which dataset. `open` takes a body of CloudEvents apart; None where it has none."""

    dataset: str
    body: bytes
    form: Form
    source: str = ""
    content_type: str = ""
    atomic: bool = False
    open: Callable[[], Opened] | None = None


@dataclass(frozen=True, slots=True)
class Shared:
    """What workers have in common: who has which key in flight, and the logs of the others."""

    claims: Claims
    logs: Sequence[Path]


class _Given(TypedDict):
    """What judging needs to know beside the body, whatever its form."""

    dataset: str
    judge: Judge | None
    source: str
    content_type: str
    received_us: int
    atomic: bool
    keep_unknown: bool


class Collector(Office):
    """Takes bodies, answers with outcomes that are durable."""

    def __init__(
        self,
        *,
        log: Log,
        store: Store,
        enforced: Enforced,
        metrics: Metrics,
        limits: Limits,
        make_worker: Callable[[OnApplied, OnTrouble], AnyWorker],
        rendered: RenderedModels | None = None,
        following: Following | None = None,
        shared: Shared | None = None,
    ) -> None:
        """See `Office`. `shared` is what it has in common with other workers, where it is one of several."""
        super().__init__(
            store=store,
            enforced=enforced,
            metrics=metrics,
            make_worker=make_worker,
            rendered=rendered,
            following=following,
            is_quiet=shared is not None,
        )
        self.limits = limits
        self._log = log
        self.pending = Pending(limits.max_pending_bytes)
        self._learning = log.learning_bytes()
        self._learning_elsewhere: Mapping[str, int] = {}
        self._committer = Committer(
            log,
            max_pending_bytes=limits.max_pending_bytes,
            log_max_bytes=limits.log_max_bytes,
            on_committed=self._committed,
            counts_first=shared is not None,
        )
        #: Requests with a key, and what the log knows of keys.
        self.flights = Flights(None if shared is None else shared.claims)
        self._keys = KeyReader(log.path, logs_beside(log.path) if shared is None else shared.logs)
        self._evicted = 0
        self._judging = Judging() if shared is None else Judging(processes=1)

    async def start(self) -> None:
        """Begin to collect."""
        self._committer.start(asyncio.get_running_loop())
        await super().start()
        for dataset, last in self._log.last_seen().items():
            self.metrics.last_event(dataset, last)

    async def collect(self, asked: Asked, keep: Callable[[Outcome], list[Kept]] | None = None) -> Outcome:
        """Judge a body; the outcome, once what it says is durable, and with it the keys that `keep` makes of it.

        Raises:
            UnknownDataset: there is no such dataset, and none may be opened.
            Overloaded, LogFailed: nothing of the request is stored, then or later.
        """
        if asked.open is None:
            return await self._collect(asked, None, keep)
        opened = await self.aside(len(asked.body), partial(_opened, asked.open))
        events = () if isinstance(opened, BadBody) else opened.events
        slots = [Slot(asked.dataset, asked.source, event.key) for event in events if event.key is not None]
        return await self.flights.run(slots, lambda: self._collect(asked, opened, keep))

    async def _collect(
        self, asked: Asked, opened: Opened | BadBody | None, keep: Callable[[Outcome], list[Kept]] | None
    ) -> Outcome:
        dataset, size = asked.dataset, len(asked.body)
        judge = self.enforced.get(dataset)
        if judge is None:
            # Counted before it is judged: many may come at once.
            self._may_learn(dataset, size)
            self._add_learning(dataset, size)
        records: Sequence[Record] = []
        try:
            taken, tally = await self._judge(asked, opened, judge, self.known)
            records = taken.records
            keys = taken.keys
            if keep is not None:
                kept = keep(taken.outcome)
                keys = [*keys, *kept]
                records = [replace(record, key=kept[0].stamp) for record in records]
            if judge is None and records and asked.form == "arrow":  # what is kept of it is text
                text = sum(len(record.payload) for record in records)
                self._add_learning(dataset, text - size)
                size = text
            if records or keys:
                await self._commit(taken.outcome, records, keys, tally)
        except AssayError:
            records = []
            raise
        finally:
            if judge is None and not records:
                self._add_learning(dataset, -size)
        return taken.outcome

    def begin(
        self, dataset: str, *, source: str, content_type: str, atomic: bool = False, keep: bool = True
    ) -> LargeRequest:
        """Take a large body of lines piece by piece. `keep` is False to judge alone: nothing stored, nothing counted.

        Raises:
            UnknownDataset, Overloaded: there is no such dataset, and none may be opened.
        """
        judge = self.enforced.get(dataset)
        if judge is None:
            self._may_learn(dataset, 0)
        body = LargeBody(
            dataset=dataset,
            judge=judge,
            source=source,
            content_type=content_type,
            received_us=time.time_ns() // 1000,
            atomic=atomic,
            keep_unknown=self.limits.keep_unknown,
        )
        return LargeRequest(self, body, keep=keep)

    async def judge_lines(self, body: LargeBody, lines: bytes) -> tuple[Outcome, list[Record], Tally]:
        """Judge the next lines of a large body: what became of them, what to log, and what there is to count."""
        judge = body.outcome.judge
        return await self._judging.judge(judge, body.task(lines), len(lines), self._columns(judge))

    async def commit_pieces(self, pieces: Sequence[Piece]) -> None:
        """Make some of a large request durable. It does not count yet.

        Raises:
            Overloaded, LogFailed: they are not.
        """
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._committer.submit(Part(pieces, future))
        await future

    async def commit_last(self, body: LargeBody, tally: Tally, records: Sequence[Record]) -> None:
        """Make all pieces of a large request count.

        Raises:
            Overloaded, LogFailed: none does, and they are taken out again.
        """
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        count = partial(tally.count, self.metrics, body.outcome)

        def settled(done: asyncio.Future[None]) -> None:
            if done.exception() is not None:
                self.drop(body)

        try:
            self._committer.submit(Batch(body.outcome, records, future, count=count))
        except Overloaded:
            self.drop(body)
            raise
        future.add_done_callback(settled)
        await asyncio.shield(future)  # who waits may be cancelled: what is under way ends all the same

    def drop(self, body: LargeBody) -> None:
        """Leave nothing of a large request."""
        self._committer.drop(body.request)

    def learn(self, dataset: str, size_bytes: int) -> None:
        """A dataset without a contract sends so much more.

        Raises:
            UnknownDataset, Overloaded: it may not.
        """
        self._may_learn(dataset, size_bytes)
        self._add_learning(dataset, size_bytes)

    def unlearn(self, dataset: str, size_bytes: int) -> None:
        """It was not kept after all."""
        self._add_learning(dataset, -size_bytes)

    async def validate(self, asked: Asked) -> Outcome:
        """The same verdict; nothing is stored and nothing counted, and keys mean nothing."""
        judge = self.enforced.get(asked.dataset)
        if judge is None:
            self._may_learn(asked.dataset, len(asked.body))
        opened = None
        if asked.open is not None:
            opened = await self.aside(len(asked.body), partial(_opened, asked.open))
        taken, _ = await self._judge(asked, opened, judge, lambda _: None)
        return taken.outcome

    def known(self, slot: Slot) -> Kept | None:
        """What the log knows of a key.

        Raises:
            LogFailed: it cannot be read.
        """
        return self._keys.get(slot, time.time_ns() // 1000)

    async def aside(self, size_bytes: int, work: Callable[[], _T]) -> _T:
        """Do work on a body: at once where it is small, else in a thread."""
        if size_bytes <= _LARGE_BODY_BYTES:
            return work()
        return await self._judging.aside(work)

    @property
    def learning(self) -> Mapping[str, int]:
        """The datasets without a contract, and how many bytes each has sent."""
        return dict(Counter(self._learning) + Counter(self._learning_elsewhere))

    def own_learning(self) -> dict[str, int]:
        """Of that, what came here."""
        return dict(self._learning)

    def learned_elsewhere(self, size_bytes: Mapping[str, int]) -> None:
        """Other workers have taken so much of the datasets without a contract."""
        self._learning_elsewhere = size_bytes

    def gauges(self) -> dict[str, float]:
        """See `Office.gauges`."""
        return self.log_gauges() | {
            "quarantine_events": self._worker.status.in_quarantine,
            "store_bytes": self.store.size_bytes(),
        }

    def log_gauges(self) -> dict[str, float]:
        """Those about what waits and what is logged."""
        return self._committer.gauges() | {"pending_bytes": self.pending.bytes}

    @property
    def failure(self) -> AssayError | None:
        """Why no event can be acknowledged now; None when all can."""
        return self._committer.failure

    async def _judge(
        self,
        asked: Asked,
        opened: Opened | BadBody | None,
        judge: Judge | None,
        remembered: Callable[[Slot], Kept | None],
    ) -> tuple[Taken, Tally | None]:
        """What became of a body; and what there is to count of it, where that was added up already, since it is large."""
        body, size = asked.body, len(asked.body)
        given = _Given(
            dataset=asked.dataset,
            judge=judge,
            source=asked.source,
            content_type=asked.content_type,
            received_us=time.time_ns() // 1000,
            atomic=asked.atomic,
            keep_unknown=self.limits.keep_unknown,
        )
        # A few bytes of an Arrow stream can stand for many.
        is_small = size <= _LARGE_BODY_BYTES and asked.form != "arrow"
        if opened is None:
            task = partial(take, body, asked.form, max_bytes=self.limits.max_body_bytes, **given)
            if is_small:
                outcome, records = task()
                return Taken(outcome, records, ()), None
            outcome, records, tally = await self._judging.judge(judge, task, size, self._columns(judge))
            return Taken(outcome, records, ()), tally

        def with_keys() -> tuple[Taken, Tally | None]:
            taken = take_cloudevents(opened, body, remembered=remembered, **given)
            if is_small:
                return taken, None
            tally = self.tally(judge)
            tally.add(taken.outcome)
            return taken, tally

        return with_keys() if is_small else await self._judging.aside(with_keys)

    def tally(self, judge: Judge | None) -> Tally:
        """What adds up what is to be counted of one request."""
        return Tally(judge, self._columns(judge))

    def _columns(self, judge: Judge | None) -> Columns | None:
        return None if judge is None else self.metrics.columns(judge.contract)

    def _may_learn(self, dataset: str, size_bytes: int) -> None:
        """Whether a dataset without a contract may send this much more."""
        limits = self.limits
        if not is_dataset_name(dataset):
            raise UnknownDataset(dataset, "a name is a-z, then a-z, 0-9 and _, at most 63")
        if not limits.open_datasets:
            raise UnknownDataset(dataset)
        elsewhere = self._learning_elsewhere
        if dataset not in self._learning and len(self._learning.keys() | elsewhere.keys()) >= limits.max_datasets:
            raise Overloaded(
                f"max_datasets = {limits.max_datasets} are learning already; activate a contract, or raise the setting",
                retry_after_s=60,
            )
        if self._learning.get(dataset, 0) + elsewhere.get(dataset, 0) + size_bytes > limits.learning_max_bytes:
            raise Overloaded(
                f'"{dataset}" has sent learning_max_bytes = {limits.learning_max_bytes:,} without a contract; '
                f"learn one: assay learn {dataset} --activate",
                retry_after_s=60,
            )

    def _add_learning(self, dataset: str, size_bytes: int) -> None:
        size = self._learning.get(dataset, 0) + size_bytes
        if size > 0:
            self._learning[dataset] = size
        else:
            self._learning.pop(dataset, None)

    def accept(
        self, judge: Judge, source: str, body: bytes, event: Struct, *, is_alone: bool = False
    ) -> asyncio.Future[None]:
        """Have one event that the fast path accepted made durable; the future tells when it is.

        `is_alone`: nobody else seems to be sending, so nobody is kept waiting.

        Raises:
            Overloaded: nothing of it is stored, then or later.
        """
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._committer.submit(Single(judge, source, body, event, future), is_alone=is_alone)
        return future

    async def _commit(
        self, outcome: Outcome, records: Sequence[Record], keys: Sequence[Kept], tally: Tally | None
    ) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        count = None if tally is None else partial(tally.count, self.metrics, outcome)
        self._committer.submit(Batch(outcome, records, future, keys, count))
        await future

    def _committed(self, singles: Sequence[Singles], batches: Sequence[Batch], took_s: float) -> None:
        """Count what the log has: at once, and whatever the store does."""
        self._worker.kick()
        self._count_evicted()
        now = time.time()
        self.metrics.commit_seconds.observe(took_s)
        try:
            for judge, source, tickets in singles:
                self._count_singles(judge, source, tickets, now)
            for batch in batches:
                if batch.count is not None:
                    batch.count(now)
                else:
                    self._count(batch.outcome, now)
        except Exception:  # noqa: BLE001  events that cannot be counted must not end the thread that commits
            _log.exception("events were stored and not counted")

    def _count_evicted(self) -> None:
        evicted = self._log.keys_evicted
        if evicted != self._evicted:
            self.metrics.count_keys_evicted(evicted - self._evicted)
            self._evicted = evicted

    def _count_singles(self, judge: Judge, source: str, tickets: Sequence[Single], now: float) -> None:
        contract, metrics = judge.contract, self.metrics
        metrics.batch_events.observe(1, len(tickets))
        metrics.count(dataset=contract.dataset, source=source, accepted=len(tickets), now=now)
        if judge.fast is not None:
            columns = judge.fast.columns_of([ticket.event for ticket in tickets])
            if columns is not None:
                metrics.count_columns(contract, columns)

    def _count(self, outcome: Outcome, now: float) -> None:
        judge = outcome.judge
        self.metrics.batch_events.observe(outcome.accepted + outcome.refused)
        label = outcome.dataset if judge is not None else LEARNING
        reasons = [violation for rejected in outcome.rejected for violation in rejected.violations] + outcome.flags
        self.metrics.count(
            dataset=label,
            source=outcome.source,
            accepted=outcome.accepted - outcome.flagged,
            flagged=outcome.flagged,
            rejected=outcome.refused,
            violations={} if judge is None else judge.counted(reasons),
            unexpected=0 if judge is None else outcome.unexpected + sum(map(judge.unexpected, outcome.values)),
            now=now,
        )
        if judge is None:
            return
        if outcome.values:
            self.metrics.count_values(judge.contract, outcome.values)
        for columns in outcome.columns:
            self.metrics.count_columns(judge.contract, columns)
        for arrays in outcome.arrays:
            self.metrics.count_arrays(judge.contract, arrays)

    def _adopted(self, change: Change) -> None:
        for judge in change.activated:
            name = judge.contract.dataset
            self._learning.pop(name, None)
            with contextlib.suppress(LogFailed):  # at the next start it is forgotten again
                self._log.forget_learning(name)

    def _applied(self, applied: Applied, took_s: float) -> None:
        self._committer.free(applied.through)
        super()._applied(applied, took_s)

    def _stop(self) -> None:
        self._committer.stop()
        self._worker.stop()
        self._judging.stop()
        through = self._worker.status.through
        try:
            if through:
                self._log.free(through)
            deadline = time.monotonic() + _SWEEP_S
            while not self._log.is_clean and time.monotonic() < deadline:
                self._log.sweep()
        except LogFailed as failure:  # the store's mark says what may go at the next start
            _log.error("the log could not be emptied", problem=str(failure))
        finally:
            self._keys.close()
            self._log.close()


def _opened(open_: Callable[[], Opened]) -> Opened | BadBody:
    """CloudEvents, or why the body has none."""
    try:
        return open_()
    except BadBody as error:
        return error
