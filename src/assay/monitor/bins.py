"""Values into bins, from the contract alone, a column at a time."""

from __future__ import annotations

import math
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from assay.contract.document import Contract, Field
from assay.contract.evidence import SPECIAL_BINS, Bins
from assay.monitor.moments import array_seconds, values_seconds

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Binner", "Columns", "LagBinner", "Places", "binned_fields", "binner_of", "count_bins"]

Doubles: TypeAlias = npt.NDArray[np.float64]
Places: TypeAlias = npt.NDArray[np.intp]

#: Below this many values a loop is faster than making an array of them.
_FEW: Final = 32


def count_bins(bins: Bins, values: Sequence[object], now_s: float | None = None) -> list[int]:
    """How many of `values`, decoded JSON, fall into each bin, in the order of `bins.labels`; `now_s` as in `Columns.count`."""
    return binner_of(bins).count(values, now_s)


def binner_of(bins: Bins) -> Binner:
    """What finds the bins of values."""
    return LagBinner(bins) if bins.lag else Binner(bins)


def binned_fields(contract: Contract) -> list[tuple[str, Field]]:
    """The fields whose values are counted, with their labels.

    A label that two fields share (`a.b` inside `a`, and a field named "a.b") is left out: their counts would mix.
    """
    labels = Counter(label for label, _ in contract.root.walk())
    return [(label, field) for label, field in contract.root.walk() if field.bins is not None and labels[label] == 1]


class Binner:
    """Finds the bin of a value; what can be worked out from the bins alone is worked out once.

    A number counts as the double nearest to it. None is `null`, whether it was sent or is missing. What is of another
    kind than the bins (text among numbers, an unknown category, a list, a number that no double holds) is `_other`.
    """

    def __init__(self, bins: Bins) -> None:
        self.labels: Final = bins.labels
        own = len(self.labels) - len(SPECIAL_BINS)
        self._null, self._low, self._high, self._other = (own + i for i in range(len(SPECIAL_BINS)))
        self._least = -math.inf if bins.low is None else float(bins.low)
        self._most = math.inf if bins.high is None else float(bins.high)
        self._edges = None if bins.edges is None else list(bins.edges)
        self._edge_array = np.array(bins.edges or (), dtype=np.float64)
        # true is no number, although Python says that it is 1.
        self._values: dict[object, int] = {}
        self._booleans: dict[object, int] = {}
        for i, value in enumerate(bins.values or ()):
            (self._booleans if isinstance(value, bool) else self._values)[value] = i

    def index(self, value: object) -> int:
        """The place of the value's bin in `labels`."""
        if value is None:
            return self._null
        if isinstance(value, bool):
            return self._booleans.get(value, self._other)
        if isinstance(value, int | float):
            if self._edges is None:
                found = self._values.get(value)
                if found is not None:
                    return found
            return self._place(value)
        return self._values.get(value, self._other) if isinstance(value, str) else self._other

    def _place(self, value: float) -> int:
        """Where a number belongs that is no category."""
        try:
            number = float(value)
        except OverflowError:
            return self._other
        if not math.isfinite(number):
            return self._other
        if number < self._least:
            return self._low
        if number > self._most:
            return self._high
        return self._other if self._edges is None else bisect_left(self._edges, number)

    def count(self, values: Sequence[object], now_s: float | None = None) -> list[int]:
        """How many of `values` fall into each bin, in the order of `labels`. `now_s` is of no matter here."""
        del now_s
        counts = [0] * len(self.labels)
        if len(values) < _FEW:
            for value in values:
                counts[self.index(value)] += 1
        elif self._edges is None:
            self._count_categories(values, counts)
        else:
            self._count_numbers(values, counts)
        return counts

    def count_array(self, array: pa.Array, now_s: float | None = None) -> list[int]:
        """The same for an Arrow column of integers, doubles, booleans, strings or times, without a Python object a value."""
        import pyarrow as pa
        import pyarrow.compute as pc

        del now_s
        counts = [0] * len(self.labels)
        counts[self._null] = array.null_count
        present = array.drop_null() if array.null_count else array
        if self._edges is not None and pa.types.is_integer(array.type) | pa.types.is_floating(array.type):
            self._add_places(present.cast(pa.float64()).to_numpy(zero_copy_only=False), counts)
            return counts
        if pa.types.is_temporal(array.type):  # no number, no text
            counts[self._other] = len(present)
            return counts
        for pair in pc.value_counts(present):
            counts[self.index(pair["values"].as_py())] += pair["counts"].as_py()
        return counts

    def places(self, array: pa.Array, at_s: Doubles | None = None) -> Places:
        """The place of each value's bin in `labels`, for such a column. `at_s` is of no matter here."""
        import pyarrow as pa

        del at_s
        if self._edges is not None and pa.types.is_integer(array.type) | pa.types.is_floating(array.type):
            places = self._number_places(array.cast(pa.float64()).fill_null(0).to_numpy(zero_copy_only=False))
            places[array.is_null().to_numpy(zero_copy_only=False)] = self._null
            return places
        coded = array.dictionary_encode()
        own = np.array([*(self.index(value) for value in coded.dictionary.to_pylist()), self._null], dtype=np.intp)
        found: Places = own[coded.indices.fill_null(len(own) - 1).to_numpy(zero_copy_only=False)]
        return found

    def _count_numbers(self, values: Sequence[object], counts: list[int]) -> None:
        numbers: Sequence[Any] = values
        if not _NUMBERS.issuperset(map(type, values)):
            numbers = [value for value in values if type(value) in _NUMBERS]
            for value in values:
                if type(value) not in _NUMBERS:
                    counts[self.index(value)] += 1
        try:
            array = np.array(numbers, dtype=np.float64)
        except OverflowError:  # an integer beyond every double: rare, so one by one
            for value in numbers:
                counts[self.index(value)] += 1
            return
        self._add_places(array, counts)

    def _add_places(self, array: Doubles, counts: list[int]) -> None:
        for i, count in enumerate(np.bincount(self._number_places(array), minlength=len(counts)).tolist()):
            counts[i] += count

    def _number_places(self, array: Doubles) -> Places:
        places = np.searchsorted(self._edge_array, array, side="left")
        places[array > self._most] = self._high
        places[array < self._least] = self._low
        places[~np.isfinite(array)] = self._other
        return places

    def _count_categories(self, values: Sequence[object], counts: list[int]) -> None:
        kinds = set(map(type, values))
        if not _PLAIN.issuperset(kinds) or (bool in kinds and not kinds.isdisjoint(_NUMBERS)):
            for value in values:  # lists have no hash, and a dictionary would take true for 1
                counts[self.index(value)] += 1
            return
        for value, count in Counter(values).items():
            counts[self.index(value)] += count


class LagBinner(Binner):
    """Finds the bin of a moment: that of the seconds from it until its event came, `now_s`; None: until now.

    What tells no moment is `_other`.
    """

    def __init__(self, bins: Bins) -> None:
        super().__init__(bins)
        self._lag = bins.lag

    def count(self, values: Sequence[object], now_s: float | None = None) -> list[int]:
        """How many of `values` fall into each bin, in the order of `labels`."""
        now_s = time.time() if now_s is None else now_s
        if len(values) < _FEW or self._lag != "date-time" or not _TEXTS.issuperset(map(type, values)):
            present = [value for value in values if value is not None]
            seconds = values_seconds(present, self._lag)
        else:
            import pyarrow as pa

            seconds = array_seconds(pa.array(values, pa.string()).drop_null(), self._lag)
        return self._counted(seconds, len(values) - len(seconds), now_s)

    def count_array(self, array: pa.Array, now_s: float | None = None) -> list[int]:
        """The same for an Arrow column of texts, moments or numbers."""
        now_s = time.time() if now_s is None else now_s
        present = array.drop_null() if array.null_count else array
        return self._counted(array_seconds(present, self._lag), array.null_count, now_s)

    def places(self, array: pa.Array, at_s: Doubles | None = None) -> Places:
        """The place of each value's bin; `at_s`: when each of them came, Unix time."""
        now_s: Any = time.time() if at_s is None else at_s
        places = self._number_places(now_s - array_seconds(array, self._lag))
        places[array.is_null().to_numpy(zero_copy_only=False)] = self._null
        return places

    def _counted(self, seconds: Doubles, nulls: int, now_s: float) -> list[int]:
        counts = [0] * len(self.labels)
        counts[self._null] = nulls
        self._add_places(now_s - seconds, counts)
        return counts


_TEXTS: Final = frozenset((str, type(None)))
_NUMBERS: Final = frozenset((int, float))
_PLAIN: Final = frozenset((int, float, bool, str, type(None)))


@dataclass(frozen=True, slots=True)
class _Node:
    """One field of the tree: where its counts go, if anywhere, and what lies below it."""

    name: str
    label: str
    binner: Binner | None
    properties: tuple[_Node, ...]
    items: _Node | None


class Columns:
    """The bins of all fields of a contract: events in, counts out, a column at a time.

    A field inside an object that is missing is missing too; the items of all lists make one column.
    """

    def __init__(self, contract: Contract) -> None:
        fields = dict(binned_fields(contract))
        self._binners: dict[str, Binner] = {
            label: binner_of(field.bins) for label, field in fields.items() if field.bins is not None
        }
        self._nodes = self._properties(contract.root, "")

    @property
    def labels(self) -> dict[str, tuple[str, ...]]:
        """The bins of each field that has some."""
        return {label: binner.labels for label, binner in self._binners.items()}

    def count_columns(
        self, columns: Mapping[str, Sequence[object]], now_s: float | None = None
    ) -> Iterator[tuple[str, list[int]]]:
        """The same as `count` for flat events that are columns already: Python sequences, by field name."""
        for node in self._nodes:
            if node.binner is not None:
                yield node.label, node.binner.count(columns[node.name], now_s)

    def count_arrays(
        self, arrays: Mapping[str, pa.Array], now_s: float | None = None
    ) -> Iterator[tuple[str, list[int]]]:
        """The same for Arrow columns, by field name."""
        for node in self._nodes:
            if node.binner is not None:
                yield node.label, node.binner.count_array(arrays[node.name], now_s)

    def places(self, arrays: Mapping[str, pa.Array], at_s: Doubles | None = None) -> Iterator[tuple[str, Places]]:
        """Each field's label and the place of each row's bin in its labels: for Arrow columns of flat events, by name.

        `at_s`: when each of them came, Unix time; None: now.
        """
        for node in self._nodes:
            if node.binner is not None:
                yield node.label, node.binner.places(arrays[node.name], at_s)

    @property
    def is_flat(self) -> bool:
        """Whether every field that has bins is one of the event itself."""
        return not any(node.properties or node.items for node in self._nodes)

    def _properties(self, field: Field, prefix: str) -> tuple[_Node, ...]:
        nodes = (self._node(child, f"{prefix}.{child.name}" if prefix else child.name) for child in field.properties)
        return tuple(node for node in nodes if node is not None)

    def _node(self, field: Field, label: str) -> _Node | None:
        properties = self._properties(field, label)
        items = None if field.items is None else self._node(field.items, f"{label}[]")
        binner = self._binners.get(label)
        return _Node(field.name, label, binner, properties, items) if binner or properties or items else None

    def count(self, events: Sequence[Mapping[str, Any]], now_s: float | None = None) -> Iterator[tuple[str, list[int]]]:
        """Each field's label and how many of its values fall into each of its bins.

        `now_s` is when the events came, Unix time, and None means now: moments are binned by how long ago they are.
        """
        for node in self._nodes:
            name = node.name
            yield from _count(node, [event.get(name) for event in events], now_s)


def _count(node: _Node, column: list[Any], now_s: float | None) -> Iterator[tuple[str, list[int]]]:
    if node.binner is not None:
        yield node.label, node.binner.count(column, now_s)
    for child in node.properties:
        name = child.name
        yield from _count(child, [value.get(name) if isinstance(value, Mapping) else None for value in column], now_s)
    if node.items is not None:
        yield from _count(
            node.items, [item for value in column if isinstance(value, list | tuple) for item in value], now_s
        )
