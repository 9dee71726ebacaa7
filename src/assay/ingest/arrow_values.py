"""Arrow's columns by value: as the JSON values that they stand for.

After `plain` there are eight types left: null, bool, int64, uint64, double, string, lists and structs of them (and a decimal where
integers go beyond 64 bits). A time is its RFC 3339 text: a moment in UTC with `Z`, a date as `full-date`, a time of day as
`partial-time`; a fraction without zeros at its end.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from assay.contract.document import Field
from assay.contract.violation import Loc
from assay.ingest.arrow_stream import is_list, texts_of
from assay.ingest.rows import to_json

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "YEARS_S",
    "as_text",
    "cleaner",
    "events",
    "flat_plain",
    "from_its_start",
    "not_finite",
    "per_second",
    "plain",
    "prepared",
]

#: The years 1 to 9999 in UTC, seconds since 1970: those that RFC 3339 and Python have.
YEARS_S: Final = range(-62_135_596_800, 253_402_300_800)

_MOMENT: Final = r"^([0-9-]+) ([0-9:]+)(?:\.0+|(\.[0-9]*[1-9])0*)?Z$"
_CLOCK: Final = r"^([0-9:]+)(?:\.0+|(\.[0-9]*[1-9])0*)$"


def per_second(kind: pa.TimestampType) -> int:
    """How many of its units a second has."""
    return {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[kind.unit]


def from_its_start(array: pa.Array) -> pa.Array:
    """The same array; one with children is no slice of a longer one, and neither are they: each begins at its own beginning."""
    import pyarrow as pa

    return array.take(pa.array(range(len(array)), pa.int64())) if _is_slice(array) else array


def _is_slice(array: pa.Array) -> bool:
    """Whether it, or what it holds, has children and begins within them."""
    import pyarrow as pa

    if not array.type.num_fields:
        return False
    if array.offset:
        return True
    if pa.types.is_struct(array.type):
        return any(map(_is_slice, map(array.field, range(array.type.num_fields))))
    return _is_slice(array.values) if is_list(array.type) else False


def plain(array: pa.Array) -> pa.Array:
    """An array by value. One with children must begin at their beginning (`from_its_start`)."""
    import pyarrow as pa

    kind, is_ = array.type, pa.types
    if is_.is_int64(kind) or is_.is_float64(kind):
        return array
    import pyarrow.compute as pc

    if is_.is_string_view(kind):
        return texts_of(array)
    if is_.is_dictionary(kind):
        if is_.is_string_view(kind.value_type):
            return pa.DictionaryArray.from_arrays(array.indices, texts_of(array.dictionary)).dictionary_decode()
        return plain(array.dictionary_decode())
    if is_.is_integer(kind):
        if not is_.is_uint64(kind):
            return array.cast(pa.int64())
        most = pc.max(array).as_py()
        return array if most is not None and most >= 2**63 else array.cast(pa.int64())
    if is_.is_floating(kind):
        return array.cast(pa.float64())
    if is_.is_large_string(kind) or is_.is_date(kind):
        return array.cast(pa.string())
    if is_.is_time(kind):
        return pc.replace_substring_regex(array.cast(pa.string()), _CLOCK, r"\1\2")
    if is_.is_timestamp(kind):
        texts = array.cast(pa.timestamp(kind.unit, "UTC")).cast(pa.string())
        return pc.replace_substring_regex(texts, _MOMENT, r"\1T\2\3Z")
    if is_.is_decimal(kind):
        return _decimals(array)
    if is_.is_struct(kind):
        # What is inside may be longer than what it is inside of.
        children = [plain(array.field(i).slice(0, len(array))) for i in range(kind.num_fields)]
        fields = [pa.field(kind.field(i).name, child.type) for i, child in enumerate(children)]
        if not children:
            return array
        return pa.StructArray.from_arrays(children, fields=fields, mask=array.is_null())
    if is_list(kind):
        inside = array.values
        values = plain(inside.slice(0, len(array) * kind.list_size) if is_.is_fixed_size_list(kind) else inside)
        if is_.is_fixed_size_list(kind):
            return pa.FixedSizeListArray.from_arrays(
                values, type=pa.list_(values.type, kind.list_size), mask=array.is_null()
            )
        make = pa.LargeListArray if is_.is_large_list(kind) else pa.ListArray
        return make.from_arrays(array.offsets, values, mask=array.is_null())
    return array


def prepared(batch: pa.RecordBatch) -> pa.RecordBatch:
    """A whole batch with what cannot be sliced, or would drag along more than a slice, by value: nested types, dictionaries, views."""
    import pyarrow as pa

    columns = []
    for array in batch.columns:
        kind = array.type
        if pa.types.is_dictionary(kind) and not pa.types.is_string_view(kind.value_type):
            columns.append(array.dictionary_decode())
        else:
            columns.append(
                plain(array)
                if kind.num_fields or pa.types.is_string_view(kind) or pa.types.is_dictionary(kind)
                else array
            )
    if not columns:
        return batch
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def flat_plain(array: pa.Array) -> pa.Array:
    """A column of a prepared batch, or a slice of one, by value."""
    return array if array.type.num_fields else plain(array)


def _decimals(array: pa.Array) -> pa.Array:
    """As JSON would have them: integers exactly, others as the nearest double."""
    import pyarrow as pa

    if array.type.scale:
        return array.cast(pa.string()).cast(pa.float64())
    try:
        return array.cast(pa.int64())
    except pa.ArrowInvalid:
        return array


def events(arrays: Mapping[str, pa.Array], count: int, root: Field | None) -> Iterator[dict[str, Any]]:
    """Rows of prepared columns as decoded events.

    A null is a null where the contract's field may be null, else it is missing. Without a contract (`root` is None)
    every null is one.
    """
    known = {} if root is None else {field.name: field for field in root.properties}
    columns: list[Sequence[Any]] = []
    keeps: list[bool] = []
    for name, given in arrays.items():
        array = flat_plain(given)
        field = known.get(name)
        clean = cleaner(array.type, field, keep_nulls=root is None)
        values = array.to_pylist()
        columns.append(values if clean is None else list(map(clean, values)))
        keeps.append(root is None or (field is not None and field.nullable))
    names = list(zip(arrays, keeps, strict=True))
    if not columns:
        yield from ({} for _ in range(count))
        return
    for row in zip(*columns, strict=True):
        yield {name: cell for (name, keep), cell in zip(names, row, strict=True) if keep or cell is not None}


def cleaner(kind: pa.DataType, field: Field | None, *, keep_nulls: bool) -> Callable[[Any], Any] | None:
    """What makes a JSON value of a cell as PyArrow hands it over; None where it is one."""
    import pyarrow as pa

    if pa.types.is_decimal(kind):
        return _whole
    if is_list(kind):
        item = cleaner(kind.value_type, None if field is None else field.items, keep_nulls=keep_nulls)
        return None if item is None else lambda cell: None if cell is None else list(map(item, cell))
    if not pa.types.is_struct(kind):
        return None
    known = {} if field is None else {child.name: child for child in field.properties}
    parts: dict[str, tuple[Callable[[Any], Any] | None, bool]] = {}
    for i in range(kind.num_fields):
        child = known.get(kind.field(i).name)
        keep = keep_nulls or (child is not None and child.nullable)
        parts[kind.field(i).name] = (cleaner(kind.field(i).type, child, keep_nulls=keep_nulls), keep)

    def clean(cell: Any) -> Any:
        if cell is None:
            return None
        made = {}
        for name, value in cell.items():
            part, keep = parts[name]
            if keep or value is not None:
                made[name] = value if part is None else part(value)
        return made

    return clean


def _whole(value: Decimal | None) -> int | None:
    return None if value is None else int(value)


def not_finite(value: Any, loc: Loc = ()) -> Loc | None:
    """Where in a value the first number stands that JSON has no form for."""
    if isinstance(value, dict):
        parts: Any = value.items()
    elif isinstance(value, list):
        parts = enumerate(value)
    else:
        return loc if isinstance(value, float) and not math.isfinite(value) else None
    return next((found for key, each in parts if (found := not_finite(each, (*loc, key))) is not None), None)


def as_text(event: Mapping[str, Any]) -> str:
    """JSON text of an event. What JSON has no number for is said as text: "NaN", "Infinity", "-Infinity"."""
    return to_json(_spelled(event) if not_finite(event) is not None else event)


def _spelled(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _spelled(each) for name, each in value.items()}
    if isinstance(value, list):
        return list(map(_spelled, value))
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value
