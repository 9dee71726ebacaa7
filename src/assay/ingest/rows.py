"""Events to Arrow: exactly, or not at all.

A value that its column cannot hold exactly is NULL there and stands whole in `_extra`, under its name and with its
nesting, beside the fields that the contract does not know.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import msgspec

from assay.contract.document import Contract
from assay.ingest.decode import Beyond
from assay.store.columns import Column, columns

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Rows", "has_beyond", "to_json"]

_INT64: Final = range(-(2**63), 2**63)
_EXACT: Final = 2**53
_NONE: Final = type(None)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_RFC3339: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]+))?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)

_encode: Final = msgspec.json.Encoder().encode


class _Unfit:
    """Stands for 'this column cannot hold it'."""


_UNFIT: Final = _Unfit()


class Rows:
    """Turns events of one contract into rows of its table. Built once for each contract."""

    def __init__(self, contract: Contract, *, keep_unknown: bool = True) -> None:
        """`keep_unknown` is False where fields that the contract does not name are dropped."""
        self.contract = contract
        self._keep_unknown = keep_unknown
        self._columns = columns(contract)
        self._named = frozenset(field.name for field in contract.fields)
        self._known = frozenset(column.name for column in self._columns)
        self._fast = {column.name: _FAST[column.kind] for column in self._columns if column.kind in _FAST}

    def table(
        self,
        events: Sequence[Mapping[str, Any]],
        collected_at: Sequence[datetime],
        sources: Sequence[str],
        violations: Sequence[str | None],
        envelopes: Sequence[Mapping[str, Any] | None] = (),
    ) -> pa.Table:
        """One row for each event, with the contract's columns by field name and assay's own.

        `envelopes` are the attributes of those that came as CloudEvents: `_extra.cloudevent`.
        """
        import pyarrow as pa

        extras: dict[int, dict[str, Any]] = {}
        arrays: dict[str, pa.Array] = {}
        for column in self._columns:
            values = [event.get(column.name) for event in events]
            arrays[column.name] = self._array(column, values, extras)
        self._add_unknown(events, extras)
        _add_envelopes(envelopes, extras)
        count = len(events)
        arrays["_collected_at"] = pa.array(collected_at, pa.timestamp("us", tz="UTC"))
        arrays["_source"] = pa.array(sources, pa.string())
        arrays["_contract"] = pa.array([self.contract.version or 0] * count, pa.int32())
        arrays["_violations"] = pa.array(violations, pa.string())
        kept = [to_json(extras[row]) if row in extras else None for row in range(count)] if extras else [None] * count
        arrays["_extra"] = pa.array(kept, pa.string())
        return pa.table(arrays)

    def _add_unknown(self, events: Sequence[Mapping[str, Any]], extras: dict[int, dict[str, Any]]) -> None:
        columns = self._known
        for row, event in enumerate(events):
            if columns.issuperset(event):
                continue
            # A field that the contract names and that has no column is kept in any case.
            left = event.keys() - columns if self._keep_unknown else (event.keys() & self._named) - columns
            if left:
                extra = extras.setdefault(row, {})
                extra.update((name, value) for name, value in event.items() if name in left)

    def _array(self, column: Column, values: list[Any], extras: dict[int, dict[str, Any]]) -> pa.Array:
        import pyarrow as pa

        arrow = column.arrow_type()
        fast = self._fast.get(column.name)
        if fast is not None and fast(values):
            return pa.array(values, arrow)
        stored: list[Any] = []
        for row, value in enumerate(values):
            held, left = _hold(column, value)
            stored.append(held)
            if left is not _UNFIT:
                extras.setdefault(row, {})[column.name] = left
        return pa.array(stored, arrow)


def to_json(value: Any) -> str:
    """JSON text of a decoded value, exactly: numbers beyond a double's range as they were written."""
    return _written_out(value) if has_beyond(value) else _encode(value).decode()


def has_beyond(value: Any) -> bool:
    """Whether a number beyond a double's range stands anywhere in a decoded value."""
    if isinstance(value, dict):
        return any(map(has_beyond, value.values()))
    if isinstance(value, list):
        return any(map(has_beyond, value))
    return isinstance(value, Beyond)


def _written_out(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(key)}:{_written_out(child)}" for key, child in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_written_out, value)) + "]"
    return value.text if isinstance(value, Beyond) else json.dumps(value)


def _add_envelopes(envelopes: Sequence[Mapping[str, Any] | None], extras: dict[int, dict[str, Any]]) -> None:
    for row, envelope in enumerate(envelopes):
        if envelope is None:
            continue
        extra = extras.setdefault(row, {})
        name = "cloudevent"
        while name in extra:  # a field of the event's has that name: it gives way
            name += "_"
        if name != "cloudevent":
            extra[name] = extra["cloudevent"]
        extra["cloudevent"] = envelope


def _hold(column: Column, value: Any) -> tuple[Any, Any]:
    """What the column holds of a value, and what must go to `_extra` (`_UNFIT`: nothing)."""
    if value is None:
        return None, _UNFIT
    match column.kind:
        case "STRUCT":
            return _hold_struct(column, value) if isinstance(value, dict) else (None, value)
        case "LIST":
            if not isinstance(value, list):
                return None, value
            pairs = [_hold(column.children[0], item) for item in value]
            if all(left is _UNFIT for _, left in pairs):
                return [held for held, _ in pairs], _UNFIT
            if any(held is None and left is not _UNFIT for held, left in pairs):
                return None, value  # an item does not fit at all: no list with a hole in it
            # Objects that fit but for some of their fields: those stand at the same places in `_extra`.
            return [held for held, _ in pairs], [{} if left is _UNFIT else left for _, left in pairs]
        case kind:
            held = _SCALARS[kind](value)
            return (None, value) if held is _UNFIT else (held, _UNFIT)


def _hold_struct(column: Column, value: Mapping[str, Any]) -> tuple[Any, Any]:
    held: dict[str, Any] = {}
    left: dict[str, Any] = {}
    known = {child.name for child in column.children}
    for child in column.children:
        held[child.name], rest = _hold(child, value.get(child.name))
        if rest is not _UNFIT:
            left[child.name] = rest
    left.update((name, each) for name, each in value.items() if name not in known)
    return held, left or _UNFIT


def _integer(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if type(value) is int and value in _INT64 else _UNFIT


def _number(value: Any) -> Any:
    if type(value) is float:
        return value if abs(value) != float("inf") else _UNFIT
    if type(value) is not int:
        return _UNFIT
    if -_EXACT <= value <= _EXACT:
        return float(value)
    try:
        as_float = float(value)
    except OverflowError:
        return _UNFIT
    return as_float if int(as_float) == value else _UNFIT


def _boolean(value: Any) -> Any:
    return value if isinstance(value, bool) else _UNFIT


def _string(value: Any) -> Any:
    return value if isinstance(value, str) else _UNFIT


def _timestamp(value: Any) -> Any:
    """Microseconds since 1970 of an RFC 3339 date-time.

    Finer fractions and leap seconds do not fit, and neither do years in UTC other than 1 to 9999, which few who read the
    column could take.
    """
    match = _RFC3339.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return _UNFIT
    date, clock, fraction, offset = match.groups()
    digits = (fraction or "").rstrip("0")
    if len(digits) > 6:
        return _UNFIT
    try:
        moment = datetime.fromisoformat(f"{date}T{clock}{'+00:00' if offset in 'Zz' else offset}")
        elapsed = moment.astimezone(UTC) - _EPOCH
    except (ValueError, OverflowError):
        return _UNFIT
    return elapsed // timedelta(microseconds=1) + int(digits.ljust(6, "0"))


_SCALARS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "BIGINT": _integer,
    "DOUBLE": _number,
    "BOOLEAN": _boolean,
    "VARCHAR": _string,
    "TIMESTAMPTZ": _timestamp,
    "JSON": to_json,
}


def _all_int64(values: list[Any]) -> bool:
    if not set(map(type, values)) <= {int, _NONE}:
        return False
    present = [value for value in values if value is not None]
    return not present or (min(present) in _INT64 and max(present) in _INT64)


def _all_doubles(values: list[Any]) -> bool:
    kinds = set(map(type, values))
    if not kinds <= {float, int, _NONE}:
        return False
    present = [value for value in values if value is not None]
    if not present:
        return True
    low, high = min(present), max(present)
    limit = float(_EXACT) if int in kinds else sys.float_info.max
    return bool(low >= -limit and high <= limit)


def _all_strings(values: list[Any]) -> bool:
    return set(map(type, values)) <= {str, _NONE}


def _all_booleans(values: list[Any]) -> bool:
    return set(map(type, values)) <= {bool, _NONE}


#: Whether a whole column can go into Arrow in one call.
_FAST: Final[Mapping[str, Callable[[list[Any]], bool]]] = {
    "BIGINT": _all_int64,
    "DOUBLE": _all_doubles,
    "VARCHAR": _all_strings,
    "BOOLEAN": _all_booleans,
}
