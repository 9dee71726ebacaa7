"""The fast way in: says 'accepted', with the values as columns, or 'ask Pydantic'. Never 'rejected'.

Events go through msgspec structs made from the contract (`assay.contract.structs`) to Arrow columns, and no Python object
outlives its batch. Whatever a struct declines, a column cannot hold exactly, or Pydantic must look at, is left to the
ordinary way. A property test holds both ways to one verdict and one row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from assay.contract.document import Contract
from assay.contract.structs import EXACT, Residual, struct_plan
from assay.errors import BadBody
from assay.ingest.decode import decode_event
from assay.ingest.rows import has_beyond, to_json
from assay.store.columns import Column, columns

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["PLAIN_MOMENT", "FastPath", "fast_path"]

#: A date-time that a column holds without a closer look: after year 0, to the microsecond, no leap second.
PLAIN_MOMENT: Final = (
    r"^(000[1-9]|00[1-9]\d|0[1-9]\d\d|[1-9]\d{3})-\d\d-\d\dT\d\d:\d\d:[0-5]\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)$"
)
_astuple: Final = msgspec.structs.astuple
#: What declining looks like.
_DECLINES: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


@dataclass(frozen=True, slots=True)
class FastPath:
    """The decoders of one contract's structs, and the columns that their attributes become."""

    columns: tuple[Column, ...]
    names: tuple[str, ...]
    names_set: frozenset[str]
    allows_unknown: bool
    residuals: tuple[Residual, ...]
    decode: Callable[[bytes], msgspec.Struct]
    decode_lenient: Callable[[bytes], msgspec.Struct]
    decode_array: Callable[[bytes], list[msgspec.Struct]]

    def event(self, body: bytes) -> msgspec.Struct | None:
        """One event as a struct, where the contract surely accepts it and knows all of its fields."""
        try:
            event = self.decode(body)
        except _DECLINES:
            return None
        for residual in self.residuals:
            value = _astuple(event)[residual.index]
            if value is not None and not residual.accepts(value):
                return None
        return event

    def columns_of(self, events: Sequence[msgspec.Struct]) -> dict[str, Sequence[Any]] | None:
        """Structs as plain columns by field name; None where Pydantic would not accept a value that the structs let pass."""
        values = list(zip(*map(_astuple, events), strict=True)) or [()] * len(self.columns)
        if not self._pass(values):
            return None
        return dict(zip(self.names, values, strict=True))

    def _pass(self, values: Sequence[Sequence[Any]]) -> bool:
        """Whether Pydantic accepts what the structs left to it, each distinct value once."""
        for residual in self.residuals:
            distinct = set(values[residual.index])
            distinct.discard(None)
            if not all(map(residual.accepts, distinct)):
                return False
        return True

    def lines(self, lines: Sequence[bytes]) -> list[msgspec.Struct] | None:
        """Lines as structs, where the contract surely accepts every one of them."""
        try:
            return list(map(self.decode, lines))
        except _DECLINES:
            return None

    def array(self, body: bytes) -> list[msgspec.Struct] | None:
        """The elements of a JSON array as structs, where the contract surely accepts every one of them."""
        try:
            return self.decode_array(body)
        except _DECLINES:
            return None

    def table(self, events: Sequence[msgspec.Struct]) -> dict[str, pa.Array] | None:
        """Structs as Arrow columns by field name; None where a column could not hold a value exactly.

        None also where Pydantic would not accept a value that the structs let pass.
        """
        values = list(zip(*map(_astuple, events), strict=True))
        if not self._pass(values):
            return None
        arrays = {}
        for column, cells in zip(self.columns, values, strict=True):
            array = _array(column, cells)
            if array is None:
                return None
            arrays[column.name] = array
        return arrays

    def lenient_table(self, lines: Sequence[bytes], *, keep_unknown: bool) -> tuple[dict[str, pa.Array] | None, int]:
        """The same from lines in which unknown fields may stand, which then are in `_extra`; and how many those are."""
        import pyarrow as pa

        if not self.allows_unknown:
            return None, 0
        try:
            structs = list(map(self.decode_lenient, lines))
            events = list(map(decode_event, lines))  # the structs skip what they do not know, unread
        except (*_DECLINES, BadBody):
            return None, 0
        known = self.names_set
        unknown = 0
        extras: list[str | None] = []
        for event in events:
            names = event.value.keys() - known
            if not names:
                extras.append(None)
                continue
            unknown += len(names)
            left = {name: value for name, value in event.value.items() if name in names}
            if has_beyond(left):
                return None, 0
            extras.append(to_json(left))
        table = self.table(structs)
        if table is not None and unknown and keep_unknown:
            table["_extra"] = pa.array(extras, pa.string())
        return table, unknown


def fast_path(contract: Contract) -> FastPath | None:
    """The contract's fast path, or None where it has none: nested or untyped fields, or one without a column."""
    plan = struct_plan(contract)
    made = columns(contract)
    if plan is None or len(made) != len(plan.fields):
        return None
    names = tuple(column.name for column in made)
    return FastPath(
        made,
        names,
        frozenset(names),
        contract.root.additional,
        plan.residuals,
        msgspec.json.Decoder(plan.strict).decode,
        msgspec.json.Decoder(plan.lenient).decode,
        msgspec.json.Decoder(list[plan.strict]).decode,  # type: ignore[name-defined]
    )


def _array(column: Column, cells: Sequence[Any]) -> pa.Array | None:
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        if column.kind == "TIMESTAMPTZ":
            return _times(pa.array(cells, pa.string()))
        array = pa.array(cells, column.arrow_type())
    except (pa.ArrowInvalid, OverflowError):
        return None
    if column.kind == "DOUBLE":
        # An integer beyond this may have lost its last digits on the way into a double.
        extremes = pc.min_max(array)
        low, high = extremes["min"].as_py(), extremes["max"].as_py()
        if low is not None and (low <= -EXACT or high >= EXACT):
            return None
    return array


def _times(texts: pa.Array) -> pa.Array | None:
    """RFC 3339 date-times as moments; None where one of them needs the closer look of `rows`."""
    import pyarrow as pa
    import pyarrow.compute as pc

    plain = pc.match_substring_regex(texts, PLAIN_MOMENT)
    if not pc.all(plain, min_count=0).as_py():
        return None
    return texts.cast(pa.timestamp("us", tz="UTC"))
