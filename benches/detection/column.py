"""A column of events on their way to the entrants, and when these look at it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = [
    "CLEAN",
    "CORRUPTED",
    "LOOK",
    "LOOKS",
    "NULL",
    "OTHER",
    "VALUE",
    "WINDOWS",
    "Array",
    "Column",
    "Table",
    "chunks",
    "windows",
]

Array: TypeAlias = npt.NDArray[Any]

#: Clean events at the head of a stream, and those after them, of which some are corrupted.
CLEAN: Final = 3_000
CORRUPTED: Final = 6_000
#: Events between two looks, and how far back a look goes.
LOOK: Final = 150
WINDOWS: Final = (600, 3_000)
LOOKS: Final = (CLEAN + CORRUPTED) // LOOK

VALUE, NULL, OTHER = range(3)


@dataclass(frozen=True)
class Column:
    """`values` are doubles, or strings (objects) where `text`. `kind` says of each whether it is there.

    `VALUE`: it is. `NULL`: it is null, or missing. `OTHER`: a value of another JSON type stands in its place.
    """

    values: Array
    kind: npt.NDArray[np.int8]
    text: bool

    @classmethod
    def of(cls, values: Array) -> Column:
        """Clean values: NaN and None are nulls."""
        if values.dtype.kind == "O":
            null = np.array([value is None or value != value for value in values])  # noqa: PLR0124 - NaN
            return cls(values, np.where(null, NULL, VALUE).astype(np.int8), text=True)
        values = values.astype(np.float64)
        return cls(values, np.where(np.isnan(values), NULL, VALUE).astype(np.int8), text=False)

    @property
    def present(self) -> Array:
        """The values that are there."""
        present: Array = self.values[self.kind == VALUE]
        return present

    @property
    def whole(self) -> bool:
        """Whether all numbers are whole."""
        return not self.text and bool(np.all(self.present == np.trunc(self.present)))

    def take(self, at: Array | slice) -> Column:
        """Some of its events."""
        return replace(self, values=self.values[at], kind=self.kind[at])

    def json(self) -> list[Any]:
        """As decoded JSON: whole numbers as integers, of another type as text, or as a number among texts."""
        return [_json(value, kind, text=self.text) for value, kind in zip(self.values, self.kind, strict=True)]


Table: TypeAlias = Mapping[str, Column]


def _json(value: Any, kind: int, *, text: bool) -> Any:
    if kind == NULL:
        return None
    if kind == OTHER:
        return 12 if text else "n/a"
    if text:
        return value
    return int(value) if value == int(value) else float(value)


def windows(chunks: Array, window: int) -> Array:
    """Sums over the last `window` events at each look, of figures for each chunk of `LOOK` events: NaN until it is full."""
    size = window // LOOK
    total: Array = np.cumsum(chunks, axis=0, dtype=np.float64)
    total[size:] -= total[:-size].copy()
    total[: size - 1] = np.nan
    return total


def chunks(events: Array) -> Array:
    """Sums for each chunk of `LOOK` events."""
    sums: Array = events.reshape(-1, LOOK).sum(axis=1)
    return sums
