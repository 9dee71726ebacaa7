"""The bounds that people put by hand, to compare with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from benches.statistics.laws import Array

__all__ = ["RIVALS", "Ends"]

Ends: TypeAlias = tuple[float, float]


def _seen(values: Array) -> Ends:
    return float(values.min()), float(values.max())


def _three_sigma(values: Array) -> Ends:
    mean, deviation = float(values.mean()), float(values.std())
    return mean - 3 * deviation, mean + 3 * deviation


def _ten_percent(values: Array) -> Ends:
    low, high = _seen(values)
    return low - 0.1 * abs(low), high + 0.1 * abs(high)


RIVALS: Final[Mapping[str, Callable[[Array], Ends]]] = {
    "min/max": _seen,
    "3 sigma": _three_sigma,
    "±10%": _ten_percent,
}
