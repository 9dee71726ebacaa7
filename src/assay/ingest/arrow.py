"""Events that come as an Arrow stream: what surely passes stays in columns, the rest is judged event by event."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from assay.contract.document import Field
from assay.contract.violation import Violation
from assay.errors import BadBody, TooLarge
from assay.ingest.arrow_columns import Sure, sure_rows
from assay.ingest.arrow_stream import read_batches
from assay.ingest.arrow_values import as_text, events, not_finite, prepared
from assay.ingest.validate import Judge

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["ArrowEvent", "ArrowPart", "arrow_parts", "learning_violations", "one_event"]

#: Rows, and values, that one call looks at: other threads wait for a few milliseconds at most.
_ROWS: Final = 8_192
_SLOW_ROWS: Final = 512
_VALUES: Final = 1 << 18
#: How much may be made of a body, in bodies: a refused row is a stream of its own, with a schema of its own.
_MOST_MADE: Final = 8
#: What one row may unpack to.
_ONE_ROW_BYTES: Final = 64 << 20
#: Ends a stream.
_END: Final = b"\xff\xff\xff\xff\0\0\0\0"


@dataclass(frozen=True, slots=True)
class ArrowEvent:
    """One row as an event. `text` makes its JSON text; `own` its own bytes, a stream of one row."""

    index: int
    value: dict[str, Any]
    text: Callable[[], bytes]
    own: Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class ArrowPart:
    """Some rows: those that surely pass, as columns, and the others as events, in order. `index` is the first one's."""

    sure: Sure | None
    rows: int
    events: Iterator[ArrowEvent]


def arrow_parts(body: bytes, judge: Judge | None, *, max_bytes: int, keep_unknown: bool) -> Iterator[ArrowPart]:
    """The rows of a stream, some at a time.

    Raises:
        BadBody: it is no Arrow stream, or a broken one.
        TooLarge: it unpacks to more than `max_bytes`, or what must be kept of it is many times as much.
        UnsupportedType: a column is of a type that is not taken.
    """
    index = 0
    made = _Made(max_bytes)
    fast = None if judge is None else judge.fast
    for whole in read_batches(body, max_bytes):
        with _by_value():
            batch = prepared(whole)
        most = max(64, _VALUES // max(1, batch.num_columns))
        step = min(most, _SLOW_ROWS if fast is None else _ROWS)
        for start in range(0, batch.num_rows, step):
            part = batch.slice(start, step)
            with _by_value():
                sure = None if fast is None else sure_rows(fast, part, keep_unknown=keep_unknown)
            rest = None if sure is None else sure.rest
            yield ArrowPart(sure, part.num_rows, _events(part, rest, judge, index, made))
            index += part.num_rows


def one_event(body: bytes, root: Field) -> dict[str, Any]:
    """The event of a stream of one row, as quarantine keeps them. `root` says where null is null, and where missing.

    Raises:
        BadBody, TooLarge, UnsupportedType: as `arrow_parts`; or it is a stream of more rows, or of none.
    """
    found: list[dict[str, Any]] = []
    for whole in read_batches(body, _ONE_ROW_BYTES):
        if len(found) + whole.num_rows > 1:
            raise BadBody("an Arrow stream of more rows than one")
        with _by_value():
            batch = prepared(whole)
            found += events(dict(zip(batch.schema.names, batch.columns, strict=True)), batch.num_rows, root)
    if not found:
        raise BadBody("an Arrow stream without a row")
    return found[0]


@contextmanager
def _by_value() -> Iterator[None]:
    """What is valid and yet has no value that PyArrow can work out is the sender's fault, not ours."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OverflowError, UnicodeDecodeError) as error:
        raise BadBody(f"not an Arrow stream whose values can be read: {str(error)[:200]}") from error


@dataclass(slots=True)
class _Made:
    """Counts the bytes made of a body."""

    max_bytes: int
    size: int = 0

    def add(self, made: bytes) -> bytes:
        self.size += len(made)
        if self.size > self.max_bytes * _MOST_MADE:
            raise TooLarge(self.max_bytes, "an eighth of what must be kept of the Arrow stream's rows")
        return made


def _events(
    batch: pa.RecordBatch, places: list[int] | None, judge: Judge | None, first: int, made: _Made
) -> Iterator[ArrowEvent]:
    import pyarrow as pa

    if places is not None and not places:
        return
    root = None if judge is None else judge.contract.root
    schema = pa.schema([pa.field(each.name, each.type) for each in batch.schema]).serialize().to_pybytes()
    for start in range(0, batch.num_rows if places is None else len(places), _SLOW_ROWS):
        some = (
            range(batch.num_rows)[start : start + _SLOW_ROWS] if places is None else places[start : start + _SLOW_ROWS]
        )
        rows = batch.slice(some[0], len(some)) if places is None else batch.take(pa.array(some, pa.int64()))
        columns = dict(zip(rows.schema.names, rows.columns, strict=True))
        with _by_value():
            values = list(events(columns, rows.num_rows, root))
        for at, (place, value) in enumerate(zip(some, values, strict=True)):
            yield ArrowEvent(
                first + place, value, partial(_text, value, made), partial(_one_row, rows, schema, made, at)
            )


def _text(value: dict[str, Any], made: _Made) -> bytes:
    return made.add(as_text(value).encode())


def _one_row(rows: pa.RecordBatch, schema: bytes, made: _Made, at: int) -> bytes:
    return made.add(schema + rows.slice(at, 1).serialize().to_pybytes() + _END)


def learning_violations(value: Any) -> tuple[Violation, ...]:
    """Why an event cannot be kept as JSON, whatever its contract will be: a number that JSON has no form for."""
    loc = not_finite(value)
    return () if loc is None else (Violation(loc, "finite_number", "Input should be a finite number"),)
