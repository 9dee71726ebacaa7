"""Moves the log into the store, each record once.

A round reads what the log has beyond the store's mark, opens the store, inserts and moves the mark in one transaction,
and lets go. After a crash at any point the next round goes on from the mark. Rows that the store refuses are found and
kept in quarantine as `not_storable`: apply never stops at one record.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from dataclasses import field as attribute
from datetime import UTC, datetime
from itertools import pairwise, takewhile
from typing import TYPE_CHECKING, Final

from assay.contract.violation import Violation
from assay.errors import ServiceError, StoreFailed, StoreLocked
from assay.ingest.log_reader import Reader
from assay.ingest.payload import unpack_request
from assay.ingest.record import REJECTS, Kind, Opening, Stored
from assay.ingest.sieve import sieve
from assay.ingest.validate import Judge
from assay.ingest.work import Event, Table, Unpacker, Work, judge_learned
from assay.store.protocol import Conflict, Refused, Reject, Store, Transaction, reject_bytes

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Applied", "Applier", "Books", "Gap", "JudgeFor", "Retention"]

#: A dataset's judge, or None while it has no active contract.
JudgeFor = Callable[[str], Judge | None]

_ROUND_BYTES: Final = 16 << 20
_LEARNED_AT_ONCE: Final = 20_000
#: How often it is looked for what is too old, seconds, and how much goes at once: others wait for the store meanwhile.
_EXPIRE_EVERY_S: Final = 60.0
_EXPIRED_AT_ONCE: Final = 10_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Gap:
    """Records that the store should have had from this log and never will: one of the two is not what it was."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Retention:
    """How long refused bodies are kept, in seconds, and how much of them, in bytes. 0: without a bound."""

    max_age_s: float = 0.0
    max_bytes: int = 0


@dataclass(slots=True)
class Applied:
    """What a round did. `through` is the log's last sequence number that the store has; `others`: of the logs beside it.

    `waiting`: events of a dataset that has a contract now are still in `_learning`. `held_s`: for how many seconds nobody
    else could have the store. `trouble`: what kept some of it from being done.
    """

    through: int = 0
    others: tuple[int, ...] = ()
    events: int = 0
    gaps: list[Gap] = attribute(default_factory=list)
    not_storable: dict[str, int] = attribute(default_factory=dict)
    quarantined: int = 0
    in_quarantine: int = 0
    more: bool = False
    waiting: bool = False
    held_s: float = 0.0
    expired: dict[str, int] = attribute(default_factory=dict)
    trouble: ServiceError | None = None


@dataclass(slots=True)
class Books:
    """What is known of a store: its marks, and what its quarantine holds. All who apply a log to it share it.

    `edition` tells one store from the next that is put in its place.
    """

    marks: dict[str, int] = attribute(default_factory=dict)
    in_quarantine: int = 0
    quarantine_bytes: int | None = None  # once it was asked
    edition: int = 0


class Applier:
    """Applies one log to one store. Not thread-safe: one round at a time, of all that share their books."""

    def __init__(
        self,
        store: Store,
        log: Reader,
        *,
        keep_unknown: bool = True,
        retention: Retention | None = None,
        books: Books | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`books` are shared where other logs are applied to the same store. `clock` tells Unix time in seconds."""
        self._retention = Retention() if retention is None else retention
        self._clock = clock
        self._expire_at = 0.0
        self._books = Books() if books is None else books
        self._edition = self._books.edition
        self._store = store
        self._log = log
        self._through: int | None = None  # what the store has, once it was asked
        self._openings: list[tuple[Opening, int]] = []  # each with the last number that can be its own
        self._unpack = Unpacker(keep_unknown=keep_unknown)
        self._held_s = 0.0
        self._may_wait = True  # events may wait in `_learning` for a contract that is there

    def contracts_changed(self) -> None:
        """A contract was activated: look whether events waited for it."""
        self._may_wait = True

    def recount(self, in_quarantine: int) -> None:
        """Events were replayed: so many are in quarantine now."""
        self._books.in_quarantine = in_quarantine

    def round(self, judge_for: JudgeFor = lambda _: None) -> Applied:
        """One round: as many records as make a good transaction, and some of the events that waited for a contract.

        Raises:
            StoreLocked, StoreFailed: what had not been committed stays in the log.
            LogFailed: the log could not be read.
        """
        applied = Applied()
        self._held_s = 0.0
        try:
            if self._through is None or self._edition != self._books.edition:
                self._through = None  # until it is matched
                self._edition = self._books.edition
                self._through = self._match(applied)
            last = self._log.last_seq()
            records = self._log.read(self._through, _ROUND_BYTES)
            if records and records[-1].opening != self._openings[-1][0].id:
                self._look_at_openings()  # the log has a new owner, who goes on where the last one ended
            if not records and last > self._through:
                self._note_emptied(last, applied)
            self._advance(records, judge_for, applied)
        except (_Swapped, _Held, Conflict):
            applied.more = True
        # What this round has moved is told of all the same.
        with contextlib.suppress(StoreLocked, StoreFailed, Conflict):
            self._expire(applied)
        applied.through = self._through or 0
        applied.in_quarantine = self._books.in_quarantine
        applied.waiting = self._may_wait
        applied.held_s = self._held_s
        return applied

    @contextlib.contextmanager
    def _write(self) -> Iterator[Transaction]:
        """A transaction of the store, its time counted where it keeps others out."""
        began = time.monotonic()
        try:
            with self._store.write() as transaction:
                yield transaction
        finally:
            if not self._store.is_shared:
                self._held_s += time.monotonic() - began

    def _advance(self, records: Sequence[Stored], judge_for: JudgeFor, applied: Applied) -> None:
        if records and records[0].kind == Kind.REQUEST:
            # A large request is brought in over several rounds: it counts already.
            first = records[0]
            records, others = self._pieces(first), records[1:]
            applied.more = bool(others) or not records[-1].ends
        elif records:
            plain = list(takewhile(lambda record: record.kind != Kind.REQUEST, records))
            applied.more = len(plain) < len(records) or _size_bytes(records) >= _ROUND_BYTES
            records = plain
        if records:
            if any(
                record.contract is None and record.kind not in REJECTS and judge_for(record.dataset)
                for record in records
            ):
                self._may_wait = True
            self._apply(records, applied)
        if self._may_wait:
            self._move_learned(judge_for, applied)

    def _expire(self, applied: Applied) -> None:
        """Take out of the quarantine what is too old or too much: some of it, when it is time to look."""
        retention, now = self._retention, self._clock()
        if not (retention.max_age_s or retention.max_bytes):
            return
        excess = (self._books.quarantine_bytes or 0) - retention.max_bytes if retention.max_bytes else 0
        if now < self._expire_at and excess <= 0:
            return
        before = datetime.fromtimestamp(now - retention.max_age_s, UTC) if retention.max_age_s else None
        with self._write() as transaction:
            if retention.max_bytes:
                if self._books.quarantine_bytes is None:
                    self._books.quarantine_bytes = transaction.quarantine_bytes()
                excess = self._books.quarantine_bytes - retention.max_bytes
            expired = transaction.expire(before, max(excess, 0), _EXPIRED_AT_ONCE)
            in_quarantine = transaction.quarantined()
        self._books.in_quarantine = in_quarantine
        if self._books.quarantine_bytes is not None:
            # Where nothing is left to take out, the count has gone astray: it is asked anew.
            astray = excess > 0 and not expired.events
            self._books.quarantine_bytes = None if astray else self._books.quarantine_bytes - expired.size_bytes
        self._expire_at = now if expired.more else now + _EXPIRE_EVERY_S
        applied.expired = expired.events
        applied.more |= expired.more

    def _pieces(self, last: Stored) -> list[Stored]:
        """The next pieces of a large request."""
        mark = f"{last.opening}/{unpack_request(last.payload).request}"
        return self._log.pieces(last, self._books.marks.get(mark, 0), _ROUND_BYTES)

    def _match(self, applied: Applied) -> int:
        """Compare the store's marks with the log. Where to go on from: the last record that the store surely has.

        The store keeps a mark for each opening of the log. What was freed beyond an opening's mark is lost to this store.
        """
        self._look_at_openings()
        freed = self._log.freed_through()
        with self._write() as transaction:
            self._books.in_quarantine = transaction.quarantined()
            self._books.marks = transaction.marks()
            through = 0
            lost = []
            for opening, end in self._openings:
                known = self._books.marks.get(opening.id, opening.base)
                gone = min(freed, end)
                if gone > known:
                    lost.append(Gap(known + 1, gone))
                if through >= opening.base:  # the store has all before it
                    through = max(known, gone)
            self._note_gaps(transaction, gaps := _joined(lost))
            if lost:
                self._set_marks(transaction, freed)
        applied.gaps += gaps
        return through

    def _look_at_openings(self) -> None:
        openings = self._log.openings()
        ends = [opening.base for opening in openings[1:]] + [sys.maxsize]
        self._openings = list(zip(openings, ends, strict=True))

    def _note_gaps(self, transaction: Transaction, gaps: Sequence[Gap]) -> None:
        for gap in gaps:
            transaction.note_gap(self._openings[-1][0].id, gap.first, gap.last)

    def _set_marks(self, transaction: Transaction, through: int) -> None:
        """Tell the store that it has, or never will have, everything up to `through`."""
        for opening, end in self._openings:
            seq = min(through, end)
            if seq > self._books.marks.get(opening.id, opening.base):
                transaction.set_mark(opening.id, seq)
                self._books.marks[opening.id] = seq

    def _mark_piece(self, transaction: Transaction, last: Stored) -> None:
        """Tell the store how far it came within a large request."""
        if not last.ends:
            transaction.set_mark(last.mark, last.piece)
            self._books.marks[last.mark] = last.piece
        elif self._books.marks.pop(last.mark, None) is not None:
            transaction.forget_mark(last.mark)

    def _note_emptied(self, last: int, applied: Applied) -> None:
        """The log has nothing more, and gave numbers up to `last`: somebody took records out."""
        assert self._through is not None
        self._look_at_openings()
        gaps = [Gap(self._through + 1, last)]
        with self._write() as transaction:
            self._note_gaps(transaction, gaps)
            self._set_marks(transaction, last)
        self._through = last
        applied.gaps += gaps

    def _apply(self, records: Sequence[Stored], applied: Applied, held: frozenset[bytes] = frozenset()) -> None:
        """Bring records into the store, but for those of requests that it holds already: retries that met another collector."""
        # A store that was put together from others may have a later opening's records already.
        fresh = [record for record in records if record.seq > self._books.marks.get(record.opening, 0)]
        fresh = [record for record in fresh if record.key not in held]
        stamps = frozenset(record.key for record in fresh if record.key)
        work = self._unpack.work(fresh)
        try:
            self._commit(work, records, applied, stamps)
        except _Held as found:
            self._apply(records, applied, held | found.stamps)
        except Refused:
            if len(records) > 1:
                middle = len(records) // 2
                self._apply(records[:middle], applied, held)
                self._apply(records[middle:], applied, held)
                return
            work = self._unpack.work(fresh, event_by_event=True)
            work.events, refused = sieve(work.events, self._unpack, self._write)
            work.rejects += _not_storable(refused, applied)
            self._commit(work, records, applied, stamps)

    def _commit(self, work: Work, records: Sequence[Stored], applied: Applied, stamps: frozenset[bytes]) -> None:
        assert self._through is not None
        holes = _holes(self._through, records)
        through = records[-1].seq if records[-1].ends else records[-1].seq - 1
        tables, rejects = self._unpack.tables(work), work.reject_table()
        marks = dict(self._books.marks)
        try:
            with self._write() as transaction:
                self._check_store(transaction)
                _take_keys(transaction, stamps)
                self._bring(transaction, work, tables, rejects)
                self._note_gaps(transaction, holes)
                self._set_marks(transaction, through)
                self._mark_piece(transaction, records[-1])
        except BaseException:
            self._books.marks = marks
            raise
        self._through = through
        applied.gaps += holes
        applied.events += sum(table.num_rows for _, table in tables)
        self._count_quarantined(rejects, applied)

    def _count_quarantined(self, rejects: pa.Table | None, applied: Applied) -> None:
        if rejects is None:
            return
        applied.quarantined += rejects.num_rows
        if self._books.quarantine_bytes is not None:
            self._books.quarantine_bytes += reject_bytes(rejects)

    def _check_store(self, transaction: Transaction) -> None:
        if transaction.marks() != self._books.marks:
            self._through = None  # the store was swapped under us: begin again
            self._books.edition += 1
            raise _Swapped

    def _bring(self, transaction: Transaction, work: Work, tables: Sequence[Table], rejects: pa.Table | None) -> None:
        for contract, table in tables:
            transaction.insert(contract, table)
        if rejects is not None:
            transaction.quarantine(rejects)
            self._books.in_quarantine = transaction.quarantined()
        for each in work.learning:
            transaction.learn(each.dataset, each.received_at, each.source, each.bodies, each.envelopes)

    def _move_learned(self, judge_for: JudgeFor, applied: Applied) -> None:
        """Judge events that waited in `_learning` for a contract which is there now, and move them."""
        self._may_wait, may_wait = False, True
        try:
            with self._write() as transaction:
                waiting = [dataset for dataset in transaction.learning() if judge_for(dataset)]
            may_wait = bool(waiting)
        finally:
            self._may_wait |= may_wait  # set meanwhile, where a contract was activated meanwhile
        for dataset in waiting:
            judge = judge_for(dataset)
            if judge is not None:
                applied.more = True
                self._move(dataset, judge, applied)

    def _move(self, dataset: str, judge: Judge, applied: Applied) -> None:
        """Move some of a dataset's events. They are judged while nobody holds the store: that takes longer than the rest."""
        with self._write() as transaction:
            learned = transaction.learned(dataset, _LEARNED_AT_ONCE)
        reasons: dict[bytes, str] = {}  # the bodies that the store refuses
        while learned:
            work = Work()
            judge_learned(learned, judge, work)
            refused = [(event, reasons[event.body()]) for event in work.events if event.body() in reasons]
            work.events = [event for event in work.events if event.body() not in reasons]
            work.rejects += _not_storable(refused, applied)
            tables, rejects = self._unpack.tables(work), work.reject_table()
            try:
                with self._write() as transaction:
                    self._check_store(transaction)
                    if transaction.forget(dataset, learned[-1].row) != len(learned):
                        raise Conflict(self._store.name)  # others have moved some of them, or taken them out
                    self._bring(transaction, work, tables, rejects)
            except Refused:
                _, sieved = sieve(work.events, self._unpack, self._write)
                reasons.update((event.body(), reason) for event, reason in sieved)
                continue
            applied.events += len(work.events)
            self._count_quarantined(rejects, applied)
            return


class _Held(Exception):
    """The store has requests with these keys from another log."""

    def __init__(self, stamps: Collection[bytes]) -> None:
        self.stamps = frozenset(stamps)
        super().__init__()


class _Swapped(Exception):
    """The store is not the one that it was a moment ago."""


def _take_keys(transaction: Transaction, stamps: frozenset[bytes]) -> None:
    held = transaction.take_keys(stamps) if stamps else None
    if held:
        raise _Held(held)


def _holes(through: int, records: Sequence[Stored]) -> list[Gap]:
    """Sequence numbers are given without a gap: what is missing was taken out of the log by somebody."""
    before = [through, *sorted({record.seq for record in records})]  # pieces of one request share one
    return [Gap(a + 1, b - 1) for a, b in pairwise(before) if b != a + 1]


def _size_bytes(records: Sequence[Stored]) -> int:
    return sum(len(record.payload) for record in records)


def _joined(gaps: Sequence[Gap]) -> list[Gap]:
    """Neighbours as one."""
    joined: list[Gap] = []
    for gap in gaps:
        if joined and joined[-1].last + 1 == gap.first:
            joined[-1] = Gap(joined[-1].first, gap.last)
        else:
            joined.append(gap)
    return joined


def _not_storable(refused: Sequence[tuple[Event, str]], applied: Applied) -> list[Reject]:
    """As the quarantine keeps what the contract accepted and the store refused."""
    rejects = []
    for event, reason in refused:
        rejects.append(event.refused((Violation((), "not_storable", reason),)))
        dataset = event.contract.dataset
        applied.not_storable[dataset] = applied.not_storable.get(dataset, 0) + 1
    return rejects
