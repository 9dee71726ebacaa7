"""Which rows of a part break a contract, and why: a column at a time where that is certain, the rest by Pydantic.

It is the service's own way of judging Arrow and JSON, and so its verdict: what the columns or the structs are not sure of
is judged event by event.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from assay.contract.document import Contract
from assay.contract.versions import Active
from assay.contract.violation import Violation
from assay.errors import BadBody, UsageError
from assay.ingest.arrow_columns import sure_rows
from assay.ingest.arrow_stream import check_schema
from assay.ingest.arrow_values import events, from_its_start, prepared
from assay.ingest.decode import SPACE, decode_event
from assay.ingest.fastpath import fast_path

if TYPE_CHECKING:
    import pyarrow as pa

    from assay.ingest.fastpath import FastPath
    from assay.ingest.validate import Judge

__all__ = ["Bad", "Verdict"]

#: The place of a row in its part, and every reason why it breaks the contract.
Bad = tuple[int, tuple[Violation, ...]]

_LINES: Final = 8_192
_EVENTS: Final = 4_096


class Verdict:
    """A contract, ready to judge rows. `active` says how it is enforced; by default every field of it is."""

    def __init__(self, contract: Contract, active: Active | None = None) -> None:
        self.contract = contract
        self.fast = fast_path(contract)
        self._active = active
        self._checked: pa.Schema | None = None

    @cached_property
    def judge(self) -> Judge:
        """Who decides what the fast path does not. Where nothing needs it, Pydantic is not even loaded."""
        from assay.ingest.validate import Judge

        return Judge(self.contract, self._active or Active(self.contract.version or 1))

    def label(self, violation: Violation) -> str:
        """The field that a violation is counted under."""
        return self.judge.label(violation)

    # ---- lines of JSON

    def of_lines(self, lines: Sequence[bytes]) -> Iterator[Bad]:
        """The bad ones; empty lines are none."""
        fast = self.fast
        for start in range(0, len(lines), _LINES):
            some = lines[start : start + _LINES]
            for place in range(len(some)) if fast is None else fast.sift(some).rest:
                line = some[place].strip(SPACE)
                if line and (found := self._of_line(line)):
                    yield start + place, found

    def _of_line(self, line: bytes) -> tuple[Violation, ...]:
        try:
            event = decode_event(line).value
        except BadBody as error:
            return (Violation((), "json_invalid", str(error)),)
        return self.judge.judge(event)

    # ---- columns

    def of_batch(
        self, batch: pa.RecordBatch, json_columns: frozenset[str] = frozenset(), extra: pa.Array | None = None
    ) -> Iterator[Bad]:
        """The bad rows of a batch, in order.

        `json_columns` hold JSON as text. `extra` has for some rows a JSON object of fields that have no column.

        Raises:
            UsageError: a column is of a type that has no JSON value; the message names it.
        """
        self._check_types(batch.schema)
        whole = prepared(_from_its_start(batch))
        places = self._unsure(whole, json_columns, extra)
        for place, event in self._rows(whole, places, json_columns, extra):
            if found := self.judge.judge(event):
                yield place, found

    def rows(
        self,
        batch: pa.RecordBatch,
        places: Sequence[int],
        json_columns: frozenset[str] = frozenset(),
        extra: pa.Array | None = None,
    ) -> Iterator[tuple[int, Any]]:
        """Some rows of such a batch as the events that they stand for, each with its place."""
        return self._rows(prepared(_from_its_start(batch)), places, json_columns, extra)

    def _check_types(self, schema: pa.Schema) -> None:
        if self._checked is None or not self._checked.equals(schema):
            check_schema(schema, zoneless=True)
            self._checked = schema

    def _unsure(self, batch: pa.RecordBatch, json_columns: frozenset[str], extra: pa.Array | None) -> Sequence[int]:
        """The rows that must be judged one by one."""
        fast = self.fast
        if fast is None or json_columns:
            return range(batch.num_rows)
        unsure = sure_rows(fast, self._of_interest(batch, fast), keep_unknown=False).rest
        if extra is None or extra.null_count == len(extra):
            return unsure
        import pyarrow.compute as pc

        return sorted({*unsure, *pc.indices_nonzero(extra.is_valid()).to_pylist()})

    def _of_interest(self, batch: pa.RecordBatch, fast: FastPath) -> pa.RecordBatch:
        """Without columns that the contract does not name, allows, and that hold nothing that no event may have."""
        if fast.unknown is None:
            return batch
        kept = [
            i
            for i, (name, array) in enumerate(zip(batch.schema.names, batch.columns, strict=True))
            if name in fast.names or not _harmless(array)
        ]
        return batch if len(kept) == batch.num_columns else batch.select(kept)

    def _rows(
        self, batch: pa.RecordBatch, places: Sequence[int], json_columns: frozenset[str], extra: pa.Array | None
    ) -> Iterator[tuple[int, Any]]:
        for start in range(0, len(places), _EVENTS):
            yield from self._some_rows(batch, places[start : start + _EVENTS], json_columns, extra)

    def _some_rows(
        self, batch: pa.RecordBatch, places: Sequence[int], json_columns: frozenset[str], extra: pa.Array | None
    ) -> Iterator[tuple[int, Any]]:
        import pyarrow as pa

        some = pa.array(places, pa.int64())
        rows = batch.take(some)
        columns = dict(zip(rows.schema.names, rows.columns, strict=True))
        left: Sequence[str | None] = [None] * len(places) if extra is None else extra.take(some).to_pylist()
        for place, event, more in zip(places, events(columns, rows.num_rows, self.contract.root), left, strict=True):
            for name in json_columns & event.keys():
                if event[name] is not None:
                    event[name] = _decoded(event[name])
            yield place, event if more is None else _merged(event, _without_envelope(_decoded(more)))


def _from_its_start(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The same batch, in which no nested column is a slice of a longer one."""
    import pyarrow as pa

    columns = list(map(from_its_start, batch.columns))
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names) if columns else batch


def _harmless(array: pa.Array) -> bool:
    """Whether no value of an unknown column can be a violation: only a number that JSON has no form for could."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = array.type
    if pa.types.is_floating(kind):
        return bool(pc.all(pc.is_finite(array.cast(pa.float64())), min_count=0).as_py())
    return not (kind.num_fields or pa.types.is_decimal(kind))


def _merged(held: Any, left: Any) -> Any:
    """A value with what its column could not hold of it: the parts that stand at the same places in `_extra`."""
    if isinstance(held, dict) and isinstance(left, dict):
        return {**held, **{name: _merged(held.get(name), each) for name, each in left.items()}}
    if isinstance(held, list) and isinstance(left, list) and len(held) == len(left):
        return [_merged(a, b) for a, b in zip(held, left, strict=True)]
    return left


def _without_envelope(extra: dict[str, Any]) -> dict[str, Any]:
    """Without a CloudEvent's own attributes; a field of that name had given way to them."""
    envelope = extra.get("cloudevent")
    if not (isinstance(envelope, dict) and envelope.keys() >= {"id", "source", "type"}):
        return extra
    name = "cloudevent"
    while name in extra:
        name += "_"
    left = {key: value for key, value in extra.items() if key != "cloudevent"}
    if name != "cloudevent_":
        left["cloudevent"] = left.pop(name[:-1])
    return left


def _decoded(text: str) -> Any:
    try:
        return decode_event(text.encode()).value
    except BadBody as error:
        raise UsageError(f"a column of JSON holds {text[:60]!r}, which is none: {error}") from error
