"""Evidently: the drift test that it takes for a column by default, with its default threshold.

Through its own registry of tests, which `DataDriftPreset` goes through as well: a whole report takes a hundred times as long
and says the same. It looks every 600 events.
"""

from __future__ import annotations

import warnings
from typing import Any, Final

import numpy as np
import pandas as pd

from benches.detection.column import LOOK, LOOKS, WINDOWS, Array, Column, Table

__all__ = ["NAME", "entrant"]

NAME: Final = "Evidently, default drift"
_EVERY: Final = 600 // LOOK


class _Evidently:
    name = NAME
    slow = True
    every = _EVERY

    def __init__(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from evidently.legacy.calculations.stattests import (  # type: ignore[import-not-found, unused-ignore]
                get_stattest,
            )
            from evidently.legacy.core import ColumnType  # type: ignore[import-not-found, unused-ignore]
        self._test, self._types = get_stattest, ColumnType

    def learn(self, table: Table) -> _Watch:
        """The profile's rows are its reference."""
        return _Watch(self._test, self._types, table)


def entrant() -> _Evidently:
    """It, where it is installed."""
    return _Evidently()


class _Watch:
    def __init__(self, test: Any, types: Any, table: Table) -> None:
        self._test, self._types = test, types
        self._reference = {name: _series(column) for name, column in table.items()}

    def alarms(self, name: str, column: Column, since: int) -> Array:
        """At every fourth look, over both windows."""
        reference = self._reference[name]
        # As its own guess goes: text, and whole numbers of few values, are categories.
        categories = column.text or reference.nunique() <= 5
        kind = self._types.Categorical if categories else self._types.Numerical
        found = np.zeros(LOOKS, dtype=bool)
        for look in range(_EVERY - 1, LOOKS, _EVERY):
            if look < since:
                continue
            for window in WINDOWS:
                end = (look + 1) * LOOK
                if end >= window:
                    found[look] |= self._drifted(reference, _series(column.take(slice(end - window, end))), kind)
            if since and found[look]:
                break
        return found

    def _drifted(self, reference: pd.Series[Any], current: pd.Series[Any], kind: Any) -> bool:
        if not len(current):
            return True  # it would stop with an error
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            test = self._test(reference, current, kind, None)
            return bool(test.func(reference, current, kind, test.default_threshold)[1])


def _series(column: Column) -> pd.Series[Any]:
    """The values that are there: Evidently leaves out nulls, and what is no number in a column of numbers."""
    return pd.Series(column.present)
