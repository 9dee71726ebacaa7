"""Records of the log in the form that the store takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as attribute
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from assay.contract.document import Contract
from assay.contract.violation import Violation, fingerprint
from assay.errors import BadBody
from assay.ingest import payload
from assay.ingest.cloudevents import STRUCTURED, wrap
from assay.ingest.decode import decode_event
from assay.ingest.fastpath import FastPath, fast_path
from assay.ingest.identity import uuid7
from assay.ingest.record import Kind, Stored
from assay.ingest.rows import Rows, to_json
from assay.ingest.validate import Judge, violations_json
from assay.store.protocol import Learned, Reject, reject_rows, same_for_all

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Event", "Table", "Unpacker", "Waiting", "Work", "judge_learned"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

#: Rows of a contract's table, with all of its columns.
Table: TypeAlias = "tuple[Contract, pa.Table]"


@dataclass(frozen=True, slots=True)
class Event:
    """One event on its way into its table. `body` gives its own bytes, should the store refuse it.

    `envelope` has the attributes of the CloudEvent that it came in.
    """

    contract: Contract
    value: Any
    received_at: datetime
    source: str
    violations: str | None
    body: Callable[[], bytes]
    content_type: str = "application/json"
    envelope: Mapping[str, Any] | None = None

    def refused(self, found: tuple[Violation, ...]) -> Reject:
        """As the quarantine keeps it."""
        return _reject(self.contract, self.received_at, self.source, self.body(), found, content_type=self.content_type)


@dataclass(frozen=True, slots=True)
class Waiting:
    """Events of a dataset without a contract. `envelopes` has the attributes of those that were CloudEvents, as JSON."""

    dataset: str
    received_at: datetime
    source: str
    bodies: list[str]
    envelopes: list[str] | None = None


@dataclass(slots=True)
class Work:
    """What one transaction brings into the store: rows that are columns already, events that are not yet, the rest."""

    columns: list[Table] = attribute(default_factory=list)
    events: list[Event] = attribute(default_factory=list)
    rejects: list[Reject] = attribute(default_factory=list)
    reject_columns: list[pa.Table] = attribute(default_factory=list)
    learning: list[Waiting] = attribute(default_factory=list)

    def reject_table(self) -> pa.Table | None:
        """All that goes to quarantine; None where nothing does."""
        import pyarrow as pa

        parts = [reject_rows(self.rejects), *self.reject_columns] if self.rejects else self.reject_columns
        return pa.concat_tables(parts) if parts else None


class Unpacker:
    """Turns records into work, and work into tables. Keeps what it made for each contract."""

    def __init__(self, *, keep_unknown: bool) -> None:
        self._keep_unknown = keep_unknown
        self._rows: dict[int, Rows] = {}
        self._paths: dict[int, FastPath | None] = {}

    def work(self, records: Sequence[Stored], *, event_by_event: bool = False) -> Work:
        """Unpack records; `event_by_event` where the store has refused them as a whole."""
        work = Work()
        plain: dict[int, list[Stored]] = {}
        for record in records:
            received_at = _received_at(record)
            match record.kind:
                case Kind.EVENTS if event_by_event:
                    work.events += _events(record)
                case Kind.EVENTS:
                    plain.setdefault(id(record.contract), []).append(record)
                case Kind.COLUMNS if event_by_event:
                    work.events += _rows_as_events(record)
                case Kind.COLUMNS:
                    work.columns.append((_contract(record), _columns(record)))
                case Kind.FLAGGED:
                    work.events += _flagged(record)
                case Kind.REJECTS:
                    work.rejects += _rejects(record)
                case Kind.REJECT_COLUMNS:
                    work.reject_columns.append(_reject_columns(record))
                case Kind.REQUEST:
                    pass  # its pieces are records of their own
                case Kind.LEARNING:
                    bodies = [body.decode() for body in payload.unpack_bodies(record.payload)]
                    work.learning.append(Waiting(record.dataset, received_at, record.source, bodies))
                case Kind.CLOUDEVENTS if record.contract is None:
                    found = payload.unpack_cloudevents(record.payload)
                    bodies, envelopes = [each.body.decode() for each in found], [each.attributes for each in found]
                    work.learning.append(Waiting(record.dataset, received_at, record.source, bodies, envelopes))
                case Kind.CLOUDEVENTS:
                    work.events += _cloudevents(record)
        for group in plain.values():
            table = self._fast(group)
            if table is not None:
                work.columns.append((_contract(group[0]), table))
            else:
                work.events += [event for record in group for event in _events(record)]
        return work

    def tables(self, work: Work) -> list[Table]:
        """Arrow tables, one for each contract, in the order in which the contracts come."""
        import pyarrow as pa

        parts: dict[int, list[Table]] = {}
        for contract, table in work.columns:
            parts.setdefault(id(contract), []).append((contract, table))
        by_contract: dict[int, list[Event]] = {}
        for event in work.events:
            by_contract.setdefault(id(event.contract), []).append(event)
        for key, events in by_contract.items():
            parts.setdefault(key, []).append((events[0].contract, self._table(events)))
        return [
            (group[0][0], pa.concat_tables([table.select(group[0][1].column_names) for _, table in group]))
            for group in parts.values()
        ]

    def _fast(self, records: Sequence[Stored]) -> pa.Table | None:
        """Events of one contract as a table, where the fast path takes them all."""
        contract = _contract(records[0])
        key = id(contract)
        if key not in self._paths:
            self._paths[key] = fast_path(contract)
            self._rows[key] = Rows(contract, keep_unknown=self._keep_unknown)  # keeps the contract, and so its id()
        path = self._paths[key]
        if path is None:
            return None
        structs: list[Any] = []
        for record in records:
            found = path.array(record.payload)
            if found is None:
                return None
            structs += found
        arrays = path.table(structs)
        if arrays is None:
            return None
        return _with_meta(
            contract, arrays, [(record.events, _received_at(record), record.source) for record in records]
        )

    def _table(self, events: Sequence[Event]) -> pa.Table:
        contract = events[0].contract
        rows = self._rows.get(id(contract))
        if rows is None:
            rows = self._rows[id(contract)] = Rows(contract, keep_unknown=self._keep_unknown)
        return rows.table(
            [event.value for event in events],
            [event.received_at for event in events],
            [event.source for event in events],
            [event.violations for event in events],
            [event.envelope for event in events],
        )


def judge_learned(learned: Sequence[Learned], judge: Judge, work: Work) -> None:
    """Part events that waited for a contract into those that keep it and the misfits."""
    contract = judge.contract
    for each in learned:
        raw, content_type, envelope = each.body.encode(), "application/json", None
        if each.envelope is not None:
            envelope = decode_event(each.envelope.encode()).value

        own = raw if each.envelope is None else wrap(raw, each.envelope)
        if envelope is not None:
            content_type = STRUCTURED

        def body(own: bytes = own) -> bytes:
            return own

        try:
            value = decode_event(raw).value
            found = judge.judge(value)
            misfit = judge.rejects(found)
        except BadBody as error:  # somebody has edited the row
            value, misfit = None, True
            found = (Violation((), "json_invalid", str(error)),)
        if misfit:
            work.rejects.append(_reject(contract, each.received_at, each.source, own, found, content_type=content_type))
        else:
            noted = violations_json(found) if found else None
            work.events.append(
                Event(contract, value, each.received_at, each.source, noted, body, content_type, envelope)
            )


def _received_at(record: Stored) -> datetime:
    return _EPOCH + timedelta(microseconds=record.received_us)


def _contract(record: Stored) -> Contract:
    assert record.contract is not None
    return record.contract


def _events(record: Stored) -> Iterator[Event]:
    received_at = _received_at(record)
    for index, value in enumerate(payload.unpack_events(record.payload)):

        def body(index: int = index) -> bytes:
            return payload.unpack_bodies(record.payload)[index]

        yield Event(_contract(record), value, received_at, record.source, None, body)


def _flagged(record: Stored) -> Iterator[Event]:
    received_at = _received_at(record)
    for each in payload.unpack_flagged(record.payload):

        def body(raw: bytes = each.body) -> bytes:
            return raw

        value = decode_event(each.body).value
        yield Event(_contract(record), value, received_at, record.source, each.violations, body)


def _cloudevents(record: Stored) -> Iterator[Event]:
    received_at = _received_at(record)
    for each in payload.unpack_cloudevents(record.payload):

        def body(each: payload.LoggedCloudEvent = each) -> bytes:
            return wrap(each.body, each.attributes)

        value, attributes = decode_event(each.body).value, decode_event(each.attributes.encode()).value
        contract, source = _contract(record), record.source
        yield Event(contract, value, received_at, source, each.violations, body, STRUCTURED, attributes)


def _rejects(record: Stored) -> Iterator[Reject]:
    version = None if record.contract is None else record.contract.version
    received_at = _received_at(record)
    for each in payload.unpack_rejects(record.payload):
        yield Reject(
            each.id,
            record.dataset,
            received_at,
            record.source,
            version,
            record.content_type,
            each.body,
            each.violations,
            each.fingerprint,
        )


def _reject_columns(record: Stored) -> pa.Table:
    arrays = payload.unpack_columns(record.payload)
    return same_for_all(
        arrays,
        dataset=record.dataset,
        received_at=_received_at(record),
        source=record.source,
        contract=None if record.contract is None else record.contract.version,
        content_type=record.content_type,
    )


def _columns(record: Stored) -> pa.Table:
    arrays = payload.unpack_columns(record.payload)
    return _with_meta(_contract(record), arrays, [(record.events, _received_at(record), record.source)])


def _rows_as_events(record: Stored) -> Iterator[Event]:
    """Events that were logged as columns: their bytes are made anew, the values are theirs."""
    arrays = payload.unpack_columns(record.payload)
    extras = arrays.pop("_extra", None)
    names = list(arrays)
    received_at = _received_at(record)
    rows = zip(*(array.to_pylist() for array in arrays.values()), strict=True)
    for index, row in enumerate(rows):
        value = {name: _as_sent(cell) for name, cell in zip(names, row, strict=True) if cell is not None}
        extra = None if extras is None else extras[index].as_py()
        if extra is not None:
            value |= decode_event(extra.encode()).value

        def body(value: dict[str, Any] = value) -> bytes:
            return to_json(value).encode()

        yield Event(_contract(record), value, received_at, record.source, None, body)


def _as_sent(cell: Any) -> Any:
    return cell.isoformat().replace("+00:00", "Z") if isinstance(cell, datetime) else cell


def _with_meta(contract: Contract, arrays: dict[str, pa.Array], parts: Sequence[tuple[int, datetime, str]]) -> pa.Table:
    """Columns of the contract with assay's own behind them; `parts` are (rows, received at, source) in order."""
    import pyarrow as pa

    count = sum(rows for rows, _, _ in parts)
    moment = pa.timestamp("us", tz="UTC")
    table = dict(arrays)
    extras = table.pop("_extra", None)
    table["_collected_at"] = pa.chunked_array([pa.repeat(pa.scalar(at, moment), rows) for rows, at, _ in parts])
    table["_source"] = pa.chunked_array([pa.repeat(pa.scalar(source, pa.string()), rows) for rows, _, source in parts])
    table["_contract"] = pa.repeat(pa.scalar(contract.version or 0, pa.int32()), count)
    table["_violations"] = pa.nulls(count, pa.string())
    table["_extra"] = pa.nulls(count, pa.string()) if extras is None else extras
    return pa.table(table)


def _reject(
    contract: Contract,
    received_at: datetime,
    source: str,
    body: bytes,
    found: tuple[Violation, ...],
    *,
    content_type: str,
) -> Reject:
    return Reject(
        uuid7(),
        contract.dataset,
        received_at,
        source,
        contract.version,
        content_type,
        body,
        violations_json(found),
        fingerprint(contract.dataset, contract.version, found),
    )
