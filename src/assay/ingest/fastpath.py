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
from assay.ingest.unknown import Extended, UnknownFields
from assay.store.columns import Column, columns

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["PLAIN_MOMENT", "FastPath", "Sifted", "fast_path"]

_CLOCK: Final = r"-\d\d-\d\dT\d\d:\d\d:[0-5]\d(\.\d{1,6})?"
#: A date-time that a column holds without a closer look: of a year from 1 to 9999 in UTC too, to the microsecond, no leap second.
PLAIN_MOMENT: Final = (
    rf"^((000[1-9]|00[1-9]\d|0[1-9]\d\d|[1-9]\d{{3}}){_CLOCK}Z"
    rf"|(000[2-9]|00[1-9]\d|0[1-9]\d\d|[1-8]\d{{3}}|9[0-8]\d\d|99[0-8]\d|999[0-8]){_CLOCK}[+-]\d\d:\d\d)$"
)
_astuple: Final = msgspec.structs.astuple
#: What declining looks like.
_DECLINES: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


#: After so many events in a row were declined, only one of so many is tried: each costs an exception.
_PATIENCE: Final = 16
_TRIED: Final = 8


@dataclass(frozen=True, slots=True)
class Sifted:
    """Events that surely pass, as structs, with their places; and the places of the others, ascending."""

    structs: list[msgspec.Struct]
    places: Sequence[int]
    rest: Sequence[int]


@dataclass(frozen=True, slots=True)
class FastPath:
    """The decoders of one contract's structs, and the columns that their attributes become.

    `unknown` takes events with fields that the contract does not name; None where it allows none.
    """

    columns: tuple[Column, ...]
    names: tuple[str, ...]
    residuals: tuple[Residual, ...]
    decode: Callable[[bytes], msgspec.Struct]
    decode_array: Callable[[bytes], list[msgspec.Struct]]
    unknown: UnknownFields | None

    def event(self, body: bytes) -> msgspec.Struct | None:
        """One event as a struct, where the contract surely accepts it and knows all of its fields."""
        try:
            event = self.decode(body)
        except _DECLINES:
            return None
        for residual in self.residuals:
            value = residual.value_of(event)
            if value is not None and not residual.accepts(value):
                return None
        return event

    def sift(self, raws: Sequence[bytes]) -> Sifted:
        """Part events that the contract surely accepts, and knows all fields of, from the others."""
        return self._without_refused(_sift(self.decode, raws))

    def sift_unknown(self, raws: Sequence[bytes]) -> tuple[Extended, Sifted]:
        """The same for events in which unknown fields may stand, with what has room for those.

        Raises:
            ValueError: the contract allows no unknown field.
        """
        if self.unknown is None:
            raise ValueError("no unknown field is allowed")
        while True:
            extended = self.unknown.extended
            found = _sift(self.unknown.decode, raws)
            if self.unknown.extended is extended:
                return extended, self._without_refused(found)
            # Names were learned on the way: all structs of a batch are to be of one kind.

    def array(self, body: bytes) -> list[msgspec.Struct] | None:
        """The elements of a JSON array as structs, where the contract surely accepts every one of them."""
        try:
            events = self.decode_array(body)
        except _DECLINES:
            return None
        return None if any(_refused(residual, events) for residual in self.residuals) else events

    def columns_of(self, events: Sequence[msgspec.Struct]) -> dict[str, Sequence[Any]]:
        """Structs as plain columns by field name."""
        values = list(zip(*map(_astuple, events), strict=True)) or [()] * len(self.columns)
        return dict(zip(self.names, values, strict=True))

    def table(self, events: Sequence[msgspec.Struct]) -> dict[str, pa.Array] | None:
        """Structs as Arrow columns by field name; None where a column could not hold a value exactly."""
        return self._arrays(list(zip(*map(_astuple, events), strict=True)))

    def table_with_extra(
        self, events: Sequence[msgspec.Struct], extended: Extended, *, keep_unknown: bool
    ) -> tuple[dict[str, pa.Array] | None, int]:
        """The same of structs with room for unknown fields, which then are in `_extra`; and how many those are."""
        import pyarrow as pa

        values = list(zip(*map(_astuple, events), strict=True))
        known = len(self.columns)
        table = self._arrays(values[:known])
        if table is None or len(values) == known:
            return table, 0
        texts, count = extended.texts(values[known:])
        if keep_unknown:
            table["_extra"] = pa.array(texts, pa.string())
        return table, count

    def _arrays(self, values: Sequence[Sequence[Any]]) -> dict[str, pa.Array] | None:
        arrays = {}
        for column, cells in zip(self.columns, values, strict=True):
            array = _array(column, cells)
            if array is None:
                return None
            arrays[column.name] = array
        return arrays

    def _without_refused(self, found: Sifted) -> Sifted:
        """Without the events of which Pydantic does not accept what the structs left to it."""
        for residual in self.residuals:
            refused = _refused(residual, found.structs)
            if refused:
                kept = [
                    (event, place)
                    for event, place in zip(found.structs, found.places, strict=True)
                    if residual.value_of(event) not in refused
                ]
                places = [place for _, place in kept]
                others = set(found.places).difference(places)
                found = Sifted([event for event, _ in kept], places, sorted([*found.rest, *others]))
        return found


def _refused(residual: Residual, events: Sequence[msgspec.Struct]) -> set[Any]:
    """The values of a field, each looked at once, that Pydantic does not surely accept."""
    distinct = set(map(residual.value_of, events))
    distinct.discard(None)
    return {value for value in distinct if not residual.accepts(value)}


def _sift(decode: Callable[[bytes], msgspec.Struct], raws: Sequence[bytes]) -> Sifted:
    try:
        return Sifted(list(map(decode, raws)), range(len(raws)), ())
    except _DECLINES:
        pass
    structs: list[msgspec.Struct] = []
    places: list[int] = []
    rest: list[int] = []
    in_vain = 0
    for place, raw in enumerate(raws):
        if in_vain < _PATIENCE or place % _TRIED == 0:
            try:
                structs.append(decode(raw))
                places.append(place)
                in_vain = 0
                continue
            except _DECLINES:
                in_vain += 1
        rest.append(place)
    return Sifted(structs, places, rest)


def fast_path(contract: Contract) -> FastPath | None:
    """The contract's fast path, or None where it has none: nested or untyped fields, or one without a column."""
    plan = struct_plan(contract)
    made = columns(contract)
    if plan is None or len(made) != len(plan.fields):
        return None
    struct = plan.struct
    return FastPath(
        made,
        tuple(column.name for column in made),
        plan.residuals,
        msgspec.json.Decoder(struct).decode,
        msgspec.json.Decoder(list[struct]).decode,  # type: ignore[valid-type]
        UnknownFields(struct) if contract.root.additional else None,
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
