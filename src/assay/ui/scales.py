"""From values to places on a line: linear, or logarithmic where the values are skewed; and numbers as people read them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal

__all__ = ["Scale", "counted", "percent", "scale_for", "scale_of", "short"]

#: A reader is asked to read a logarithm only where a tenth of the values would take so much of a plain axis, and where
#: they lie more evenly on the other.
_CROWDED: Final = 0.6
_WORTH_IT: Final = 0.75


@dataclass(frozen=True, slots=True)
class Scale:
    """An axis from `low` to `high`. `unit` is where a symmetric logarithm turns from lines to logarithms, about 0."""

    kind: Literal["linear", "log", "symlog"]
    low: float
    high: float
    unit: float = 1.0

    def at(self, value: float) -> float:
        """The place of a value: 0 at `low`, 1 at `high`, and beyond them outside."""
        low, high = self._bent(self.low), self._bent(self.high)
        return (self._bent(value) - low) / (high - low) if high > low else 0.5

    def value(self, place: float) -> float:
        """The value at a place between 0 and 1: the way back from `at`."""
        low, high = self._bent(self.low), self._bent(self.high)
        bent = low + place * (high - low)
        if self.kind == "linear":
            return bent
        if self.kind == "log":
            return float(10.0**bent)
        return math.copysign((10.0 ** abs(bent) - 1) * self.unit, bent)

    def ticks(self, wanted: int = 4) -> list[float]:
        """Round values along the axis, about as many as wanted."""
        if self.kind == "linear":
            return _round_values(self.low, self.high, wanted)
        inside = self._powers((1,))
        if len(inside) < 4:
            inside = self._powers((1, 2, 5))
        if len(inside) < 2:
            return _round_values(self.low, self.high, wanted)
        # What lies too near its neighbour to be read is left out, beginning from the largest.
        kept: list[float] = []
        for value in sorted(inside, key=lambda each: (each != 0, -abs(each))):
            if all(abs(self.at(value) - self.at(other)) > 0.5 / (wanted + 1) for other in kept):
                kept.append(value)
        return sorted(kept)

    def _powers(self, digits: Sequence[int]) -> list[float]:
        """Powers of ten times these digits, on both sides of zero where the axis has both, and zero."""
        largest = max(abs(self.low), abs(self.high))
        smallest = self.low if self.kind == "log" else self.unit
        ends = range(math.floor(math.log10(smallest)), math.ceil(math.log10(largest)) + 1)
        sizes = [digit * 10.0**e for e in ends for digit in digits if digit * 10.0**e >= smallest]
        both = sizes if self.kind == "log" else [0.0, *sizes, *(-size for size in sizes)]
        return [value for value in both if self.low <= value <= self.high]

    def _bent(self, value: float) -> float:
        if self.kind == "linear":
            return value
        if self.kind == "log":
            return math.log10(max(value, 1e-300))
        return math.copysign(math.log10(1 + abs(value) / self.unit), value)


def scale_for(low: float, high: float, quantiles: Sequence[float]) -> Scale:
    """The axis on which values between `low` and `high` are seen best: linear, unless they crowd at one end.

    `quantiles` are the inner edges of bins of like shares. An axis is judged by its widest gap between two of them.
    """
    linear, bent, points = _axes(low, high, quantiles)
    if bent is None:
        return linear
    plain = _widest(linear, points)
    return bent if plain > _CROWDED and _widest(bent, points) < _WORTH_IT * plain else linear


def scale_of(low: float, high: float, edges: Sequence[float]) -> Scale:
    """The axis that fine bins were made on: the one on which they are of like width."""
    linear, bent, points = _axes(low, high, edges)
    return bent if bent is not None and _widest(bent, points) < _widest(linear, points) else linear


def _axes(low: float, high: float, inner: Sequence[float]) -> tuple[Scale, Scale | None, list[float]]:
    """The plain axis, the logarithmic one where there can be one, and the points to judge them by."""
    points = sorted({low, *inner, high})
    linear = Scale("linear", low, high)
    if len(points) < 4 or not math.isfinite(high - low) or high <= low:
        return linear, None, points
    if low > 0:
        return linear, Scale("log", low, high), points
    sizes = sorted(abs(point) for point in points if point)
    return linear, Scale("symlog", low, high, unit=sizes[len(sizes) // 4]), points


def _widest(scale: Scale, points: Sequence[float]) -> float:
    return max(scale.at(b) - scale.at(a) for a, b in pairwise(points))


def _round_values(low: float, high: float, wanted: int) -> list[float]:
    span = high - low
    if not span > max(abs(low), abs(high), 1e-300) * 1e-12 or not math.isfinite(span):
        return [low]  # no two numbers between them that a reader could tell apart
    rough = span / max(wanted, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [i * step for i in range(first, math.floor(high / step + 1e-9) + 1)]


def short(value: float) -> str:
    """A number in little room, three digits of it: `0.25`, `2013`, `15k`, `1.5M`."""
    size = abs(value)
    if size >= 1e15 or (0 < size < 1e-3):
        return f"{value:.2g}"
    for factor, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if size >= factor * (10 if letter == "k" else 0.9995):
            return f"{value / factor:.3g}{letter}"
    if value == int(value):
        return str(int(value))
    return f"{value:.3g}" if size < 1000 else f"{value:.0f}"


def counted(count: float) -> str:
    """How many: `9,135`, `1.5M`."""
    return f"{count:,.0f}" if abs(count) < 1e5 else short(count)


def percent(share: float) -> str:
    """A share in [0, 1]: `0%`, `0.02%`, `3.4%`, `57%`."""
    hundredth = share * 100
    if hundredth == 0:
        return "0%"
    if hundredth < 0.01:
        return "<0.01%"
    if hundredth >= 99.95:
        return "100%" if share >= 1 else f"{min(hundredth, 99.99):.2f}%"
    return f"{hundredth:.2f}%" if hundredth < 1 else f"{hundredth:.1f}%" if hundredth < 10 else f"{hundredth:.0f}%"
