"""A request's body to an outcome and the records that make it durable. Pure: nothing is written here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from dataclasses import field as attribute
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from assay.contract.violation import Violation, fingerprint
from assay.errors import BadBody
from assay.ingest.arrow import ArrowPart, arrow_parts, learning_violations
from assay.ingest.decode import SPACE, Decoded, decode_element, decode_event, decode_line, is_array, split_array
from assay.ingest.fastpath import FastPath
from assay.ingest.identity import uuid7s
from assay.ingest.outcome import Outcome, Rejected
from assay.ingest.payload import (
    LoggedCloudEvent,
    LoggedFlagged,
    LoggedReject,
    joined,
    pack,
    pack_columns,
    pack_events,
    pack_reject_columns,
)
from assay.ingest.record import Kind, Record
from assay.ingest.validate import Judge, violations_json

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Form", "Intake", "judged", "take", "take_lines"]

#: Events judged at a time: little enough that other threads wait for under a millisecond.
_CHUNK: Final = 2_000
#: From this many events on, columns are cheaper than the events' own bytes.
_WORTH_COLUMNS: Final = 64

#: What a body says it is: one JSON value (an event, or an array of them), lines of them, or an Arrow stream's rows.
Form: TypeAlias = Literal["json", "ndjson", "arrow"]

_NOT_AN_OBJECT: Final = Violation((), "model_type", "Input should be an object: an event is a JSON object")


def take(
    body: bytes,
    form: Form,
    *,
    dataset: str,
    judge: Judge | None,
    source: str,
    content_type: str,
    received_us: int,
    atomic: bool = False,
    keep_unknown: bool = True,
    max_bytes: int = 64 << 20,
) -> tuple[Outcome, list[Record]]:
    """Decode and judge a body; what to answer, and what to log first.

    Without a judge the dataset is learning: every object is kept as it came. `atomic` refuses all when one is refused;
    `keep_unknown` is False where fields that the contract does not name are dropped; `max_bytes` bounds what an Arrow
    stream may unpack to.

    Raises:
        TooLarge, UnsupportedType: an Arrow stream that unpacks to more, or has a column that is no JSON value.
    """
    outcome = Outcome(dataset, source, judge, atomic=atomic)
    kept = Intake(outcome, keep_unknown=keep_unknown)
    try:
        if form == "arrow":
            for part in arrow_parts(body, judge, max_bytes=max_bytes, keep_unknown=keep_unknown):
                kept.take_arrow(part)
        else:
            for chunk in _chunks(body, form, outcome):
                kept.take(chunk)
    except BadBody as error:
        # Nothing of a body that is not what it says it is counts.
        outcome = Outcome(dataset, source, judge, single=outcome.single, atomic=atomic, bad_body=error)
        kept = Intake(outcome, keep_unknown=keep_unknown)
        kept.refuse_body(body, error)
    return outcome, kept.records(content_type, received_us)


def take_lines(
    lines: bytes,
    outcome: Outcome,
    *,
    first_index: int,
    first_line: int,
    content_type: str,
    received_us: int,
    keep_unknown: bool,
) -> tuple[Outcome, list[Record]]:
    """Judge some whole lines of a larger body: what became of them, put in `outcome`, and what to log of them.

    `first_index` events and `first_line` lines came before.
    """
    kept = Intake(outcome, keep_unknown=keep_unknown, index=first_index)
    for chunk in _line_chunks(lines, first_line):
        kept.take(chunk)
    return outcome, kept.records(content_type, received_us)


@dataclass(slots=True)
class Intake:
    """What becomes of a body's events, chunk by chunk."""

    outcome: Outcome
    keep_unknown: bool
    index: int = 0
    accepted: list[bytes] = attribute(default_factory=list)
    flagged: list[LoggedFlagged] = attribute(default_factory=list)
    refused: list[LoggedReject] = attribute(default_factory=list)
    ids: Iterator[str] = attribute(default_factory=uuid7s)
    columns: list[dict[str, pa.Array]] = attribute(default_factory=list)
    in_columns: int = 0
    enveloped: list[LoggedCloudEvent] = attribute(default_factory=list)

    def take(self, chunk: _Chunk) -> None:
        """Judge a chunk: what the fast path takes at once, the rest event by event."""
        judge, first, blank = self.outcome.judge, self.index, 0
        fast = None if judge is None else judge.fast
        rest = range(len(chunk.raws)) if fast is None else self.take_fast(fast, chunk.raws)
        for place in rest:
            event = chunk.decoded(place)
            if event is None:
                blank += 1
                continue
            self.index = first + place - blank
            self.keep(event, judged(event, judge))
        self.index = first + len(chunk.raws) - blank

    def take_fast(self, fast: FastPath, raws: Sequence[bytes]) -> Sequence[int]:
        """Take the events that surely pass; the places of the others."""
        found = fast.sift(raws)
        structs, rest = found.structs, found.rest
        if len(structs) >= _WORTH_COLUMNS:
            table = fast.table(structs)
            if table is None:
                return range(len(raws))
            self.take_table(table, len(structs))
        elif structs:
            self.accepted += [raws[place] for place in found.places] if rest else raws
            self.outcome.columns.append(fast.columns_of(structs))
        if fast.unknown is None or len(rest) < _WORTH_COLUMNS:
            return rest
        return self.take_unknown(fast, raws, rest)

    def take_unknown(self, fast: FastPath, raws: Sequence[bytes], places: Sequence[int]) -> Sequence[int]:
        """Of the events at some places, take those that surely pass but for unknown fields; the places of the others."""
        extended, found = fast.sift_unknown([raws[place] for place in places])
        if len(found.structs) < _WORTH_COLUMNS:
            return places
        table, unknown = fast.table_with_extra(found.structs, extended, keep_unknown=self.keep_unknown)
        if table is None:
            return places
        self.take_table(table, len(found.structs))
        self.outcome.unexpected += unknown
        return [places[place] for place in found.rest]

    def take_table(self, table: dict[str, pa.Array], rows: int) -> None:
        """Take accepted events that are columns by now."""
        self.columns.append(table)
        self.in_columns += rows

    def take_arrow(self, part: ArrowPart) -> None:
        """Take rows: columns as they are, the others event by event."""
        first = self.index
        if part.sure is not None and part.sure.rows:
            self.take_table(part.sure.table, part.sure.rows)
            self.outcome.unexpected += part.sure.unexpected
        judge = self.outcome.judge
        for row in part.events:
            self.index = row.index
            found = learning_violations(row.value) if judge is None else judge.judge(row.value)
            raw = row.own() if self.refuses(found) else row.text()
            self.keep(Decoded(raw, row.value), found)
        self.index = first + part.rows

    def refuses(self, found: Sequence[Violation]) -> bool:
        """Whether an event with these violations goes to quarantine."""
        judge = self.outcome.judge
        return bool(found) and (judge is None or judge.rejects(found))

    def keep(self, event: Decoded, found: Sequence[Violation]) -> None:
        """Keep an event where its violations send it."""
        if self.refuses(found):
            self.refuse(event, found)
        elif found:
            self.flagged.append(LoggedFlagged(event.raw, violations_json(found)))
            self.outcome.flags += found
        else:
            self.accepted.append(event.raw)
        if isinstance(event.value, dict):
            self.outcome.values.append(event.value)

    def refuse_body(self, body: bytes, error: BadBody) -> None:
        """Keep a body in quarantine that is not what it says it is."""
        broken = Decoded(body, error=error)
        self.refuse(broken, judged(broken, None))

    def refuse(self, event: Decoded, found: Sequence[Violation]) -> Rejected:
        """Keep an event in quarantine."""
        mark = fingerprint(self.outcome.dataset, self.outcome.contract, found)
        kept = LoggedReject(next(self.ids), event.raw, violations_json(found), mark)
        self.refused.append(kept)
        rejected = Rejected(self.index, kept.id, found)
        self.outcome.rejected.append(rejected)
        return rejected

    def records(self, content_type: str, received_us: int) -> list[Record]:
        """What the log must have before the request is answered; the outcome's counts with it."""
        outcome, judge = self.outcome, self.outcome.judge
        columns = joined(self.columns) if self.columns else {}
        if columns:
            outcome.arrays = [columns]
        if outcome.atomic and not outcome.ok:
            self.accepted, self.flagged, columns, self.in_columns, outcome.flags = [], [], {}, 0, []
            self.enveloped = []
        outcome.accepted = len(self.accepted) + len(self.flagged) + self.in_columns + len(self.enveloped)
        outcome.flagged = len(self.flagged) + sum(each.violations is not None for each in self.enveloped)

        def record(kind: Kind, events: int, payload: bytes) -> Record:
            contract = None if judge is None else judge.contract
            return Record(kind, outcome.dataset, contract, outcome.source, content_type, received_us, events, payload)

        records = []
        if columns:
            records.append(record(Kind.COLUMNS, self.in_columns, pack_columns(columns)))
        if self.accepted:
            kind = Kind.LEARNING if judge is None else Kind.EVENTS
            records.append(record(kind, len(self.accepted), pack_events(self.accepted)))
        if self.flagged:
            records.append(record(Kind.FLAGGED, len(self.flagged), pack(self.flagged)))
        if self.enveloped:
            records.append(record(Kind.CLOUDEVENTS, len(self.enveloped), pack(self.enveloped)))
        if self.refused:
            many = len(self.refused) >= _WORTH_COLUMNS
            kind, pack_ = (Kind.REJECT_COLUMNS, pack_reject_columns) if many else (Kind.REJECTS, pack)
            records.append(record(kind, len(self.refused), pack_(self.refused)))
        return records


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Some of a body's events: the bytes of each, and how to decode the one at a place; None where there is none after all."""

    raws: Sequence[bytes]
    decoded: Callable[[int], Decoded | None]


def _chunks(body: bytes, form: Form, outcome: Outcome) -> Iterator[_Chunk]:
    if form == "ndjson":
        yield from _line_chunks(body)
    elif is_array(body):
        slices = split_array(body)
        for start in range(0, len(slices), _CHUNK):
            part = slices[start : start + _CHUNK]
            yield _Chunk(part, partial(_element, body, part))
    else:
        outcome.single = True
        yield _Chunk([body], lambda _: decode_event(body))


def _element(body: bytes, elements: Sequence[bytes], place: int) -> Decoded:
    return decode_element(body, elements[place])


def _line_chunks(body: bytes, before: int = 0) -> Iterator[_Chunk]:
    lines = body.split(b"\n")
    for start in range(0, len(lines), _CHUNK):
        part = lines[start : start + _CHUNK]
        some = [line for line in part if line]
        yield _Chunk(some, partial(_line, part, some, before + start + 1))


def _line(lines: Sequence[bytes], some: Sequence[bytes], first: int, place: int) -> Decoded | None:
    """One of the lines that are not empty."""
    try:
        return decode_line(some[place])
    except BadBody as error:
        number = first + next(islice((i for i, line in enumerate(lines) if line), place, None))
        return Decoded(some[place].strip(SPACE), error=BadBody(error.reason, line=number))


def judged(event: Decoded, judge: Judge | None) -> tuple[Violation, ...]:
    """Why an event is refused, or flagged; nothing where it is neither."""
    if event.error is not None:
        return (Violation((), "json_invalid", str(event.error)),)
    if not isinstance(event.value, dict):
        return (_NOT_AN_OBJECT,)
    return judge.judge(event.value) if judge is not None else ()
