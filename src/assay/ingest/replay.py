"""Judges what is in quarantine again, and moves what passes into its table: each once, a portion at a time.

A portion is read, judged while nobody holds the store, and then stored and marked in one transaction. So a process that is
killed at any moment has done a portion or it has not, and whoever asks again goes on. What is refused again stays as it
is: nothing is put into quarantine here, and the walk ends at the last one that was there when it began.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from assay.contract.versions import Active, Mode, Versions
from assay.contract.violation import Violation, field_label
from assay.ingest.again import Again, judge_again, reasons_of
from assay.ingest.keys import KeyReader, Slot
from assay.ingest.logs import logs_beside
from assay.ingest.sieve import refusal, sieve
from assay.ingest.validate import Judge
from assay.ingest.work import Event, Unpacker, Work
from assay.store.protocol import Conflict, Refused, Reject, Store, Transaction

__all__ = ["Portion", "Reason", "Replayed", "Replayer", "Sample", "Side"]

_AT_ONCE: Final = 5_000
_AT_ONCE_BYTES: Final = 16 << 20
_SAMPLES: Final = 5
_SAMPLE_CHARACTERS: Final = 500
#: Names that clients chose may be any number.
_MOST_KINDS: Final = 1_000
_OTHER: Final = "_other"


class Portion(msgspec.Struct, frozen=True):
    """What is to be judged again: of a dataset, by a version of its contract, in a mode, beyond one id and up to another.

    `through` is empty at first: up to the last one that is there then. `dry`: nothing is moved or marked.
    """

    dataset: str
    contract: int
    mode: Mode = "enforce"
    fields: dict[str, Mode] = msgspec.field(default_factory=dict)
    dry: bool = False
    after: str = ""
    through: str = ""

    @classmethod
    def of(cls, dataset: str, contract: int, active: Active | None, *, dry: bool) -> Portion:
        """All of a dataset's quarantine. `active` says which fields are observed, where it is of the same version."""
        if active is None or active.contract != contract:
            return cls(dataset, contract, dry=dry)
        return cls(dataset, contract, active.mode, dict(active.fields), dry)

    def next(self, done: Replayed) -> Portion:
        """What comes after a portion."""
        return msgspec.structs.replace(self, after=done.after, through=done.through)


class Sample(msgspec.Struct):
    """One body, and why it was refused; or, where it is accepted now, why it was before."""

    quarantine_id: str
    received_at: str
    source: str
    body: str
    errors: list[dict[str, Any]]


class Reason(msgspec.Struct):
    """One kind of violation: how many bodies have it, and one of its messages."""

    events: int
    msg: str


class Side(msgspec.Struct):
    """The bodies that came out one way: how many, why (by field, then type), from whom, and the first few."""

    events: int = 0
    reasons: dict[str, dict[str, Reason]] = msgspec.field(default_factory=dict)
    sources: dict[str, int] = msgspec.field(default_factory=dict)
    sample: list[Sample] = msgspec.field(default_factory=list)

    def note(self, reject: Reject, labelled: Sequence[tuple[str, Violation]]) -> None:
        """Count one body; each kind of its violations once."""
        self.events += 1
        self._from(reject.source, 1)
        for (label, kind), msg in {(label, each.type): each.msg for label, each in reversed(labelled)}.items():
            self._because(label, kind, Reason(1, msg))
        if len(self.sample) < _SAMPLES:
            errors = [each.to_document() for _, each in labelled[:_SAMPLES]]
            moment = reject.received_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            self.sample.append(Sample(reject.id, moment, reject.source, _shortened(reject.body), errors))

    def add(self, other: Side) -> None:
        """Those of another portion, too."""
        self.events += other.events
        for source, count in other.sources.items():
            self._from(source, count)
        for label, kinds in other.reasons.items():
            for kind, reason in kinds.items():
                self._because(label, kind, reason)
        self.sample += other.sample[: _SAMPLES - len(self.sample)]

    def to_document(self) -> dict[str, Any]:
        """As answers show it, the most frequent first."""
        reasons = [
            {"field": label, "type": kind, "events": reason.events, "msg": reason.msg}
            for label, kinds in self.reasons.items()
            for kind, reason in kinds.items()
        ]
        return {
            "events": self.events,
            "reasons": sorted(reasons, key=lambda each: (-each["events"], each["field"], each["type"])),
            "sources": dict(sorted(self.sources.items(), key=lambda each: (-each[1], each[0]))),
            "sample": msgspec.to_builtins(self.sample),
        }

    def _from(self, source: str, count: int) -> None:
        name = source if source in self.sources or len(self.sources) < _MOST_KINDS else _OTHER
        self.sources[name] = self.sources.get(name, 0) + count

    def _because(self, label: str, kind: str, reason: Reason) -> None:
        name = label if label in self.reasons or len(self.reasons) < _MOST_KINDS else _OTHER
        kinds = self.reasons.setdefault(name, {})
        known = kinds.get(kind)
        kinds[kind] = Reason(reason.events + (known.events if known else 0), known.msg if known else reason.msg)


class Replayed(msgspec.Struct):
    """What became of a portion; or would, in a dry run. `flagged` are those of the accepted that observe mode lets in.

    `more`: there are others, beyond `after`. `in_quarantine`: how many are left, where something was moved. `held_s`: for
    how many seconds nobody else could have the store.
    """

    accepted: Side = msgspec.field(default_factory=Side)
    refused: Side = msgspec.field(default_factory=Side)
    flagged: int = 0
    after: str = ""
    through: str = ""
    more: bool = False
    in_quarantine: int | None = None
    held_s: float = 0.0

    def add(self, other: Replayed) -> None:
        """Another portion, too."""
        self.accepted.add(other.accepted)
        self.refused.add(other.refused)
        self.flagged += other.flagged

    def to_document(self, portion: Portion) -> dict[str, Any]:
        """As answers show it."""
        return {
            "dataset": portion.dataset,
            "contract": portion.contract,
            "mode": portion.mode,
            "dry_run": portion.dry,
            "accepted": self.accepted.events,
            "flagged": self.flagged,
            "refused": self.refused.events,
            "accepts": self.accepted.to_document(),
            "refuses": self.refused.to_document(),
        }


class Replayer:
    """Replays portions. Not thread-safe: one at a time, and none while its store is written to by others here."""

    def __init__(self, store: Store, versions: Versions, *, log: Path | None, keep_unknown: bool = True) -> None:
        """`log` knows the keys of CloudEvents; None where there is no log."""
        self._store = store
        self._versions = versions
        self._log = log
        self._keep_unknown = keep_unknown
        self._unpack = Unpacker(keep_unknown=keep_unknown)
        self._judge: tuple[Portion, Judge] | None = None
        self._keys: KeyReader | None = None
        self._held_s = 0.0

    def replay(self, portion: Portion) -> Replayed:
        """One portion.

        Raises:
            UnknownDataset, UsageError, NotASchema: there is no such contract.
            StoreLocked, StoreFailed, LogFailed: nothing of this portion is done.
        """
        judge = self._judge_of(portion)
        self._held_s = 0.0
        through = portion.through or self._store.last_waiting(portion.dataset)
        done = Replayed(after=portion.after, through=through)
        while through:
            rejects = self._read(portion, through)
            if not rejects:
                break
            judged = [judge_again(each, judge, self._superseded) for each in rejects]
            passing = {id(each.event): each for each in judged if each.event is not None}
            try:
                refused = self._store_all(
                    [each.event for each in judged if each.event is not None], passing, portion, done
                )
            except (_Changed, Conflict):  # by another program: what it left is read again
                continue
            self._note(judged, refused, judge, done)
            done.after, done.more = rejects[-1].id, rejects[-1].id != through
            break
        done.held_s = self._held_s
        return done

    def close(self) -> None:
        """Let go of the log."""
        if self._keys is not None:
            self._keys.close()
            self._keys = None

    def _judge_of(self, portion: Portion) -> Judge:
        """Versions never change: the judge of the last portion will mostly do."""
        key = msgspec.structs.replace(portion, after="", through="", dry=False)
        if self._judge is None or self._judge[0] != key:
            contract = self._versions.load(portion.dataset, portion.contract)
            self._judge = key, Judge(contract, Active(portion.contract, portion.mode, portion.fields))
            self._unpack = Unpacker(keep_unknown=self._keep_unknown)
        return self._judge[1]

    def _read(self, portion: Portion, through: str) -> list[Reject]:
        began = time.monotonic()
        try:
            return self._store.waiting(
                portion.dataset, after=portion.after, through=through, limit=_AT_ONCE, max_bytes=_AT_ONCE_BYTES
            )
        finally:
            if not self._store.is_shared:
                self._held_s += time.monotonic() - began

    @contextlib.contextmanager
    def _write(self) -> Iterator[Transaction]:
        began = time.monotonic()
        try:
            with self._store.write() as transaction:
                yield transaction
        finally:
            if not self._store.is_shared:
                self._held_s += time.monotonic() - began

    def _store_all(
        self, events: list[Event], passing: dict[int, Again], portion: Portion, done: Replayed
    ) -> dict[int, str]:
        """Store the events that the store takes, and mark their bodies. Why it refuses the others, by the events' `id()`."""
        refused: dict[int, str] = {}
        while events:
            if portion.dry:
                if refusal(events, self._unpack, self._write) is None:
                    break
            else:
                with contextlib.suppress(Refused):
                    self._commit(events, [passing[id(event)].reject.id for event in events], done)
                    break
            events, found = sieve(events, self._unpack, self._write)
            refused |= {id(event): reason for event, reason in found}
        return refused

    def _commit(self, events: list[Event], ids: list[str], done: Replayed) -> None:
        tables = self._unpack.tables(Work(events=events))
        with self._write() as transaction:
            for contract, table in tables:
                transaction.insert(contract, table)
            if transaction.mark_replayed(ids, datetime.now(UTC)) != len(ids):
                raise _Changed
            done.in_quarantine = transaction.quarantined()

    def _note(self, judged: Sequence[Again], refused: dict[int, str], judge: Judge, done: Replayed) -> None:
        for each in judged:
            reason = refused.get(id(each.event))
            if each.event is not None and reason is None:
                done.flagged += bool(each.found)
                done.accepted.note(each.reject, [(field_label(why.loc), why) for why in reasons_of(each.reject)])
            elif reason is not None:
                done.refused.note(each.reject, [("", Violation((), "not_storable", reason))])
            else:
                done.refused.note(each.reject, [(judge.label(why), why) for why in each.found])

    def _superseded(self, slot: Slot, digest: bytes) -> bool:
        """Whether what was sent last under a CloudEvent's source and id is stored already, or is another event."""
        if self._log is None:
            return False
        if self._keys is None:
            self._keys = KeyReader(self._log, logs_beside(self._log))
        known = self._keys.get(slot, time.time_ns() // 1_000)
        return known is not None and (not known.rejected or known.digest != digest)


class _Changed(Exception):
    """Another program has replayed some of the portion, or deleted it."""


def _shortened(body: bytes) -> str:
    text = body[: 4 * _SAMPLE_CHARACTERS].decode("utf-8", "replace")
    return (
        text
        if len(text) <= _SAMPLE_CHARACTERS and len(body) <= 4 * _SAMPLE_CHARACTERS
        else f"{text[:_SAMPLE_CHARACTERS]}…"
    )
