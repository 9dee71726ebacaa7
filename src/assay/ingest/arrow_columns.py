"""Arrow's columns against a flat contract, a column at a time: which rows surely pass, and their values as the table has them.

Like the fast path that it stands beside, it says 'accepted' or 'ask Pydantic', and never 'rejected'.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from assay.contract.document import Field
from assay.contract.structs import EXACT, limits
from assay.ingest.arrow_values import YEARS_S, as_text, cleaner, flat_plain, not_finite, per_second
from assay.ingest.fastpath import PLAIN_MOMENT, FastPath
from assay.store.columns import Column

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Sure", "sure_rows"]


@dataclass(frozen=True, slots=True)
class Sure:
    """The rows that surely pass, as columns; `rest` are the places of the others; `unexpected` counts unknown fields of the former."""

    table: dict[str, pa.Array]
    rows: int
    rest: list[int]
    unexpected: int


def sure_rows(path: FastPath, batch: pa.RecordBatch, *, keep_unknown: bool) -> Sure:
    """Judge the columns of a prepared batch (`prepared`) as far as that goes without an event in sight."""
    import pyarrow as pa

    count = batch.num_rows
    given = dict(zip(batch.schema.names, batch.columns, strict=True))
    accepts = {residual.index: residual.accepts for residual in path.residuals}
    table: dict[str, pa.Array] = {}
    passing: pa.Array | None = None  # every row

    for index, column in enumerate(path.columns):
        array = given.pop(column.name, None)
        if array is None:
            cells, passes = (
                pa.nulls(count, column.arrow_type()),
                None if not column.field.required else _all(count, value=False),
            )
        else:
            cells, passes = _judged(column, array, accepts.get(index))
        table[column.name] = cells
        if passes is not None:
            passing = passes if passing is None else _both(passing, passes)
    unexpected = 0
    if given and count:
        unknown = _Unknown(given, count, allowed=path.unknown is not None)
        if unknown.passing is not None:
            passing = unknown.passing if passing is None else _both(passing, unknown.passing)
        keep = [True] * count if passing is None else passing.to_pylist()
        unexpected = sum(each for each, kept in zip(unknown.fields, keep, strict=True) if kept)
        if unexpected and keep_unknown:
            table["_extra"] = pa.array(unknown.texts, pa.string())
    if passing is None:
        return Sure(table, count, [], unexpected)
    import pyarrow.compute as pc  # takes a while to load, and is not needed where all is well

    if pc.all(passing, min_count=0).as_py():
        return Sure(table, count, [], unexpected)
    table = {name: array.filter(passing) for name, array in table.items()}
    rest = pc.indices_nonzero(pc.invert(passing)).to_pylist()
    return Sure(table, count - len(rest), rest, unexpected)


def _both(some: pa.Array, others: pa.Array) -> pa.Array:
    import pyarrow.compute as pc

    return pc.and_(some, others)


class _Unknown:
    """Columns that the contract does not name: what goes to `_extra` row by row, and which rows Pydantic must see."""

    def __init__(self, given: Mapping[str, pa.Array], count: int, *, allowed: bool) -> None:
        import pyarrow as pa

        self.fields = [0] * count
        self.texts: list[str | None] = [None] * count
        self.passing: pa.Array | None = None
        passing = [True] * count
        columns = []
        for name, array in given.items():
            if array.null_count == count:
                continue
            values = flat_plain(array)
            clean = cleaner(values.type, None, keep_nulls=False)
            cells = values.to_pylist()
            columns.append((name, cells if clean is None else list(map(clean, cells))))
        for row in range(count if columns else 0):
            left = {name: cells[row] for name, cells in columns if cells[row] is not None}
            if not left:
                continue
            if not allowed or not_finite(left) is not None:
                passing[row] = False
                continue
            self.fields[row] = len(left)
            self.texts[row] = as_text(left)
        if not all(passing):
            self.passing = pa.array(passing, pa.bool_())


def _all(count: int, *, value: bool) -> pa.Array:
    import pyarrow as pa

    return pa.repeat(pa.scalar(value, pa.bool_()), count)


def _judged(column: Column, array: pa.Array, accepts: Callable[[Any], bool] | None) -> tuple[pa.Array, pa.Array | None]:
    """A column's cells, and which of them surely pass (None: all). A cell that does not may be anything."""
    field = column.field
    if field.multiple_of is None and _all_within(column, array):
        return flat_plain(array), None
    import pyarrow as pa
    import pyarrow.compute as pc

    cells, passes, values = _CASTS[column.kind](field, array)
    if values is not None:
        passes += [_distinct(values, accepts)] if accepts is not None else _within(field, column.kind, values)
    every: pa.Array | None = None
    for each in passes:
        every = each if every is None else pc.and_(every, each)
    if every is not None:
        every = pc.fill_null(every, fill_value=False)  # a null in a check is a no; of null cells it is said below
    if column.kind == "TIMESTAMPTZ" and pa.types.is_string(cells.type):
        cells = pc.if_else(every, cells, pa.scalar(None, pa.string())).cast(column.arrow_type())
    null_passes = field.nullable or not field.required
    if array.null_count and (every is not None or not null_passes):
        every = _all(len(array), value=True) if every is None else every
        every = pc.if_else(pc.is_valid(array), every, pa.scalar(null_passes, pa.bool_()))
    return cells, every


def _all_within(column: Column, array: pa.Array) -> bool:
    """Whether a column of numbers surely passes whole: its least and its largest value do, and none is null.

    The commonest case by far, and several times cheaper than a verdict for each cell.
    """
    import pyarrow as pa

    field, kind = column.field, column.kind
    if array.null_count or not len(array) or kind not in {"BIGINT", "DOUBLE"}:
        return False
    wanted, json_type = (pa.int64(), "integer") if kind == "BIGINT" else (pa.float64(), "number")
    is_number = pa.types.is_integer(array.type) or pa.types.is_floating(array.type)
    ends = limits(field, json_type)
    if field.enum is not None:
        values = sorted({value for value in field.enum if type(value) is int})
        if kind == "DOUBLE" or not values or values[-1] - values[0] >= len(values):
            return False  # not every number between the ends is one of them
        ends = {"ge": max(values[0], ends.get("ge", values[0])), "le": min(values[-1], ends.get("le", values[-1]))}
    if not is_number or (numbers := flat_plain(array)).type != wanted:
        return False
    data = np.frombuffer(
        numbers.buffers()[1], np.int64 if kind == "BIGINT" else np.float64, len(numbers), 8 * numbers.offset
    )
    low, high = data.min().item(), data.max().item()  # NaN, where there is one, which no comparison lets pass
    return (
        math.isfinite(low) and math.isfinite(high) and all(_KEEPS[name](low, high, end) for name, end in ends.items())
    )


#: Whether values between a least and a largest one keep a bound.
_KEEPS: Final[Mapping[str, Callable[[Any, Any, Any], bool]]] = {
    "ge": lambda low, _, end: low >= end,
    "gt": lambda low, _, end: low > end,
    "le": lambda _, high, end: high <= end,
    "lt": lambda _, high, end: high < end,
}


def _distinct(values: pa.Array, accepts: Callable[[Any], bool]) -> pa.Array:
    """Pydantic's verdict on each distinct value."""
    import pyarrow as pa

    coded = values.dictionary_encode()
    verdicts = [accepts(value) for value in coded.dictionary.to_pylist()]
    return pa.array(verdicts, pa.bool_()).take(coded.indices)


def _within(field: Field, kind: str, values: pa.Array) -> list[pa.Array]:
    """The checks of a field that leaves nothing to Pydantic."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if field.enum is not None:
        allowed = pa.array([value for value in field.enum if value is not None], values.type)
        return [pc.is_in(values, value_set=allowed)]
    kinds = {"VARCHAR": "string", "BIGINT": "integer", "DOUBLE": "number"}
    if kind not in kinds:
        return []
    checks: list[pa.Array] = []
    for name, bound in limits(field, kinds[kind]).items():
        compare, measured = _COMPARISONS[name]
        measure = getattr(pc, measured)(values) if measured else values
        checks.append(getattr(pc, compare)(measure, float(bound) if kind == "DOUBLE" else bound))
    return checks


#: How each of msgspec's bounds is compared, and what it measures of a value.
_COMPARISONS: Final = {
    "ge": ("greater_equal", ""),
    "le": ("less_equal", ""),
    "gt": ("greater", ""),
    "lt": ("less", ""),
    "min_length": ("greater_equal", "utf8_length"),
    "max_length": ("less_equal", "utf8_length"),
}


# ---- each kind of column: its cells, what they must keep beside the contract, and the values that the contract speaks of

_Cast = tuple["pa.Array", list["pa.Array"], "pa.Array | None"]


def _unlike(kind: pa.DataType, array: pa.Array) -> _Cast:
    """Values of another type than the field's."""
    import pyarrow as pa

    return pa.nulls(len(array), kind), [_all(len(array), value=False)], None


def _booleans(_: Field, array: pa.Array) -> _Cast:
    import pyarrow as pa

    values = flat_plain(array)
    return (values, [], values) if pa.types.is_boolean(values.type) else _unlike(pa.bool_(), array)


def _integers(_: Field, array: pa.Array) -> _Cast:
    import pyarrow as pa
    import pyarrow.compute as pc

    values = flat_plain(array)
    if pa.types.is_int64(values.type):
        return values, [], values
    if not pa.types.is_float64(values.type):
        return _unlike(pa.int64(), array)
    whole = pc.and_(pc.equal(pc.trunc(values), values), pc.less(pc.abs(values), float(EXACT)))
    cells = pc.if_else(whole, values, pa.scalar(None, pa.float64())).cast(pa.int64())
    return cells, [whole], cells


def _numbers(_: Field, array: pa.Array) -> _Cast:
    import pyarrow as pa
    import pyarrow.compute as pc

    values = flat_plain(array)
    if pa.types.is_float64(values.type):
        return values, [pc.is_finite(values)], values
    if not pa.types.is_int64(values.type):
        return _unlike(pa.float64(), array)
    exact = pc.and_(pc.less(values, EXACT), pc.greater(values, -EXACT))
    cells = values.cast(pa.float64(), safe=False)
    return cells, [exact], cells


def _strings(_: Field, array: pa.Array) -> _Cast:
    import pyarrow as pa

    values = flat_plain(array)
    return (values, [], values) if pa.types.is_string(values.type) else _unlike(pa.string(), array)


def _moments(field: Field, array: pa.Array) -> _Cast:
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = pa.timestamp("us", tz="UTC")
    only_format = (field.pattern, field.enum, field.min_length, field.max_length) == (None,) * 4
    if pa.types.is_timestamp(array.type) and only_format:
        unit = array.type.unit
        ticks = array.cast(pa.timestamp(unit, "UTC")).cast(pa.int64())
        times = per_second(array.type)
        fits = _all(len(array), value=True)
        if unit == "ns":  # its years are within 1677 and 2262
            held = array.cast(kind, safe=False)
            return held, [pc.equal(held.cast(pa.timestamp("ns", "UTC")).cast(pa.int64()), ticks)], None
        fits = pc.and_(pc.greater_equal(ticks, YEARS_S.start * times), pc.less(ticks, YEARS_S.stop * times))
        held = pc.if_else(fits, ticks, pa.scalar(None, pa.int64())).cast(pa.timestamp(unit, "UTC")).cast(kind)
        return held, [fits], None
    texts = flat_plain(array)
    if not pa.types.is_string(texts.type):
        return _unlike(kind, array)
    plain_form = pc.match_substring_regex(texts, PLAIN_MOMENT)
    return texts, [plain_form], texts


_CASTS: Final[Mapping[str, Callable[[Field, pa.Array], _Cast]]] = {
    "BOOLEAN": _booleans,
    "BIGINT": _integers,
    "DOUBLE": _numbers,
    "VARCHAR": _strings,
    "TIMESTAMPTZ": _moments,
}
