"""The population stability index over ten quantile bins, with the two limits that are commonly read into it."""

from __future__ import annotations

from typing import Final

import numpy as np

from benches.detection.column import LOOK, LOOKS, NULL, VALUE, WINDOWS, Array, Column, Table, windows

__all__ = ["ENTRANTS", "Stability"]

#: What an empty bin counts for.
_EMPTY: Final = 1e-4


class Stability:
    """Ten bins of a field's numbers, or a bin for each of at most 20 values; one more for nulls, one for the rest."""

    slow = False
    every = 1

    def __init__(self, limit: float) -> None:
        self.name = f"PSI > {limit:g}"
        self._limit = limit

    def learn(self, table: Table) -> _Watch:
        """Bins, and their shares in the profile."""
        return _Watch(self._limit, {name: _Bins(column) for name, column in table.items()})


class _Bins:
    def __init__(self, profile: Column) -> None:
        present = profile.present.astype(str) if profile.text else profile.present
        values, counts = np.unique(present, return_counts=True)
        self.categories = profile.text or len(values) <= 20
        common = np.sort(values[np.argsort(counts)[::-1][:20]])
        self.edges = common if self.categories else np.unique(np.quantile(present, np.arange(1, 10) / 10))
        self.size = len(self.edges) + 3
        self.share = np.bincount(self.places(profile), minlength=self.size) / len(profile.values)

    def places(self, column: Column) -> Array:
        values = column.values
        if column.text:
            values = np.where(column.kind == VALUE, values, "").astype(str)
        places = np.searchsorted(self.edges, values, side="left")
        if self.categories:
            known = self.edges[np.minimum(places, len(self.edges) - 1)] == values
            places = np.where(known, places, self.size - 2)
        places[column.kind != VALUE] = self.size - 2
        places[column.kind == NULL] = self.size - 1
        return places


class _Watch:
    def __init__(self, limit: float, fields: dict[str, _Bins]) -> None:
        self._limit, self._fields = limit, fields

    def alarms(self, name: str, column: Column, since: int) -> Array:  # noqa: ARG002 - all looks at once
        """Over both windows."""
        bins = self._fields[name]
        places = bins.places(column) + bins.size * (np.arange(len(column.values)) // LOOK)
        counted = np.bincount(places, minlength=bins.size * LOOKS).reshape(LOOKS, bins.size)
        expected = np.maximum(bins.share, _EMPTY)
        found = np.zeros(LOOKS, dtype=bool)
        for window in WINDOWS:
            seen = np.maximum(windows(counted, window) / window, _EMPTY)
            found |= ((seen - expected) * np.log(seen / expected)).sum(axis=1) > self._limit
        return found


ENTRANTS: Final = [Stability(0.1), Stability(0.2)]
