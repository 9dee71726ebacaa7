"""Bounds that people put by hand, and an alert on any error: the exercise's smallest and largest, 3 sigma, ±10%."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from benches.detection.column import LOOKS, NULL, OTHER, VALUE, WINDOWS, Array, Column, Table, chunks, windows
from benches.statistics.rivals import RIVALS, Ends

__all__ = ["ENTRANTS", "ByHand"]


class ByHand:
    """A field's type, its bounds, and whether it may be null. Texts have no bounds."""

    slow = False
    every = 1

    def __init__(self, name: str, bounds: Callable[[Array], Ends]) -> None:
        self.name = f"{name}, any error"
        self._bounds = bounds

    def learn(self, table: Table) -> _Watch:
        """Bounds from the profile's values."""
        ends = {
            name: (-np.inf, np.inf) if column.text else self._bounds(column.present) for name, column in table.items()
        }
        return _Watch(ends, {name for name, column in table.items() if np.any(column.kind == NULL)})


class _Watch:
    def __init__(self, ends: dict[str, Ends], nullable: set[str]) -> None:
        self._ends, self._nullable = ends, nullable

    def alarms(self, name: str, column: Column, since: int) -> Array:  # noqa: ARG002 - all looks at once
        """Any error in the last minute, which the shorter window stands for."""
        low, high = self._ends[name]
        bad = column.kind == OTHER
        if name not in self._nullable:
            bad |= column.kind == NULL
        if not column.text:
            bad |= (column.kind == VALUE) & ((column.values < low) | (column.values > high))
        found = windows(chunks(bad), WINDOWS[0]) > 0
        assert len(found) == LOOKS
        return found


ENTRANTS: Final = [ByHand("exercise's min/max" if name == "min/max" else name, rule) for name, rule in RIVALS.items()]
