"""How far a number may go before it is refused: from mergeable statistics, not from rows. Pure.

A bound is learned with a budget: `eps` is the expected share of clean values that cross it. The tail beyond a high
threshold follows a generalised Pareto distribution (Pickands 1975); its shape and scale are estimated by probability
weighted moments (Hosking & Wallis 1987) and made wider by their standard error. Values that end at a wall (hard edges),
pile up on one value (atoms) or lie on a grid (integers, halves) break that theory, and are told apart first. A tail with
a gap in it is a cluster apart and no tail: its bound is capped. The caps, atoms and edges are assay's own, tuned and
tested by simulation (`benches/statistics`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np

from assay.profile.document import Number, Numbers

__all__ = ["SOFT_ONLY", "Bound", "epsilon", "lower", "never_seen", "rows_needed", "upper"]

#: Below so many values a field gets no hard bound: the observed extremes only count towards alerts.
SOFT_ONLY: Final = 500
#: From so many values on, a cluster that was never seen is no longer allowed for.
SETTLED: Final = 10_000
#: So many values a tail needs.
_TAIL_ROWS: Final = 100
#: No end of a field gets more of the budget than as one of so many: one field in ten, two ends.
_ENDS: Final = 20
#: From this fitted shape on a tail is heavy: a cap would cost it more than its share of the budget.
_HEAVY: Final = 0.35
#: From this one on not even the mean of the tail is sure to be finite: no bound keeps a budget there.
_BOUNDLESS: Final = 0.9
#: A normalised spacing beyond this one is a gap: 400 of a tail without gaps have none such but once in a thousand times.
_GAP: Final = 13.0

Rule: TypeAlias = Literal["tail", "edge", "atom", "sign", "name"]
Values: TypeAlias = Sequence[tuple[Number, int]]


@dataclass(frozen=True, slots=True)
class Bound:
    """One end of what is allowed. `share` is the expected share of clean values, in [0, 1], that it refuses.

    The rule says why it stands there: `edge`, the values end at a wall; `tail`, a fitted tail; `atom`, a tail fitted
    to the values beyond one that a large part of the rows share; `sign`, nothing negative was ever seen;
    `name`, the field's name says so (`roles.known_range`).
    """

    value: Number
    rule: Rule
    share: float


def epsilon(budget: float, numeric_fields: int) -> float:
    """The share that each end of each numeric field may refuse, for all of them to stay within `budget`."""
    return budget / max(_ENDS, 2 * numeric_fields)


def never_seen(rows: int) -> float:
    """What refusing something that `rows` rows never showed costs at worst, as an expected share.

    A thing of share p is unseen with chance (1-p)^n and then costs p: at most 1/(e*n), at p = 1/n. With 95% confidence
    p < 3/n (Hanley & Lippman-Hand 1983).
    """
    return 1 / (math.e * rows) if rows else 1.0


def upper(numbers: Numbers, eps: float) -> Bound | None:
    """The largest value to allow; None where nothing can be said."""
    return _upper(numbers, numbers.largest, numbers.median, numbers.minimum, eps)


def lower(numbers: Numbers, eps: float, *, crosses_zero: bool = False) -> Bound | None:
    """The smallest value to allow: `upper` of the negated values, and never below 0 where none was negative.

    `crosses_zero` says that the numbers are of a scale on which 0 is a point like any other.
    """
    if numbers.minimum == numbers.maximum or numbers.count < SOFT_ONLY:
        return None
    negated = [(-value, rows) for value, rows in numbers.smallest]
    found = _upper(numbers, negated, -numbers.median, -numbers.maximum, eps)
    if found is not None:
        found = Bound(-found.value if found.value else 0, found.rule, found.share)
        if found.value >= 0:
            return found
    if numbers.minimum < 0 or crosses_zero:
        return found
    return Bound(0, "sign", never_seen(numbers.count))


def rows_needed(numbers: Numbers) -> int | None:
    """How many rows would give a bound to both ends, where one has none for lack of rows; None where it has no such lack.

    That is so with few rows, and where a large part of them share one value and few lie beyond it.
    """
    n = numbers.count
    if numbers.minimum == numbers.maximum:
        return None
    if n < SOFT_ONLY:
        return SOFT_ONLY
    needed = 0
    for largest in (numbers.largest, [(-value, rows) for value, rows in numbers.smallest]):
        split, step = _threshold(largest, n), _step(numbers, largest)
        if isinstance(split, int) and split and not _is_edge(largest, n, step, integer=numbers.integral):
            needed = max(needed, math.ceil(_TAIL_ROWS * n / split))
    return needed or None


def _upper(numbers: Numbers, largest: Values, median: Number, minimum: Number, eps: float) -> Bound | None:
    n, integer = numbers.count, numbers.integral
    top, ties = largest[0]
    if n < SOFT_ONLY or minimum == top:
        return None
    step = _step(numbers, largest)
    if _is_edge(largest, n, step, integer=integer):
        # Were the next value as common as half the last one, it would have been seen but for a chance of exp(-ties/2).
        return Bound(top, "edge", ties / 2 / n * math.exp(-ties / 2))
    split = _threshold(largest, n)
    if isinstance(split, int):
        return None
    threshold, k, rule = split
    u, excesses = _excesses(largest, threshold, k, step)
    tail = _fit(u, excesses, n)
    if tail.boundless:
        return None
    # Python's integers would not follow numpy's floats beyond 2**53; a bound out there need not be exact.
    bound = max(float(top), tail.bound(eps))
    spread = float(top) - float(median)
    if not tail.heavy:
        bound = min(bound, top + 5 * spread)  # gaps, or too little to tell
    if n < SETTLED:
        bound = max(bound, top + spread)  # an unseen far cluster
    if not math.isfinite(bound):
        return None
    value = _rounded_up(bound, spread, 0.0 if integer else step, integer=integer)
    value = max(value, top)
    # Where a cap or a gap holds it nearer than the tail would, it still is beyond all that so many rows showed.
    return Bound(value, rule, min(tail.share_above(value + step / 2), never_seen(n)))


def _step(numbers: Numbers, largest: Values) -> float:
    """Of the grid that the values lie on, or 0."""
    return 1.0 if numbers.integral else _grid(largest)


def _grid(largest: Values) -> float:
    """The step of the grid that the extreme values lie on, as halves and tenths do; 0 where they share none."""
    values = [float(value) for value, _ in largest]
    counts = sorted(rows for _, rows in largest)
    # On a grid most values have company; two of them alone say little, unless both are common.
    if counts[(len(counts) - 1) // 2] < (2 if len(counts) > 2 else 30):
        return 0.0
    gaps = -np.diff(values)
    width, least = values[0] - values[-1], float(gaps.min())
    if not 0 < width < math.inf or width / least > 1e9:
        return 0.0
    step = width / round(width / least)
    return step if bool(np.all(np.abs(gaps / step - np.round(gaps / step)) < 1e-3)) else 0.0


def _is_edge(largest: Values, n: int, step: float, *, integer: bool) -> bool:
    """Whether the values end at a wall: at a value that is as common as one in the middle of the range would be."""
    (top, ties), (following, following_rows) = largest[0], largest[1]
    if ties < 30:
        return False
    if step and (top - following < 1.5 * step) and following_rows <= 2 * ties:
        return True
    return not integer and ties < n / 2 and ties >= 10 * following_rows


def _threshold(largest: Values, n: int) -> tuple[Number, int, Rule] | int:
    """The value beyond which the tail begins, and how many values beyond it to fit.

    Where they are too few, only how many there are: beyond the value that so many rows share.
    """
    above, rule = n, "tail"
    while above >= _TAIL_ROWS:
        k = min(400, max(40, above // 10))
        threshold, ties, seen = _ranked(largest, k + 1)
        if ties <= 0.05 * n:
            return threshold, k, "atom" if rule == "atom" else "tail"
        # A value that a large part of the rows share has no tail: only what lies above it has.
        above, rule = seen, "atom"
    return above


def _ranked(largest: Values, rank: int) -> tuple[Number, int, int]:
    """The value of that rank, counted from the largest as 1; how many rows have it, and how many a larger one."""
    seen = 0
    for value, rows in largest:
        if seen + rows >= rank:
            return value, rows, seen
        seen += rows
    raise ValueError(f"{seen} extreme values are known, not {rank}")


def _excesses(largest: Values, threshold: Number, k: int, step: float) -> tuple[float, np.ndarray]:
    """The start of the tail, and how far the values beyond it reach, ascending. `step`: of their grid, or 0."""
    beyond = [(value, rows) for value, rows in largest if value > threshold]
    if sum(rows for _, rows in beyond) < 40:
        # Ties at the threshold: it moves down to the next value, and they count among those beyond.
        lower_values = [value for value, _ in largest if value < threshold]
        beyond = [(value, rows) for value, rows in largest if value >= threshold]
        threshold = lower_values[0] if lower_values else threshold
    elif not step:
        beyond.append((threshold, k - sum(rows for _, rows in beyond)))
    beyond.reverse()
    u = float(threshold) + step / 2
    rows = np.array([count for _, count in beyond])
    y = np.repeat(np.array([float(value) for value, _ in beyond]) - u, rows)
    if step:
        # Ties on a grid stand for values spread evenly around its point.
        place = np.arange(len(y)) - np.repeat(np.cumsum(rows) - rows, rows)
        y += step * ((place + 0.5) / np.repeat(rows, rows) - 0.5)
    return u, y


@dataclass(frozen=True, slots=True)
class _Tail:
    """A generalised Pareto tail beyond `u`, which a share `beyond` of all values reaches.

    `heavy`: and without gaps; `boundless`: so heavy that no bound can be told.
    """

    u: float
    shape: float
    scale: float
    beyond: float
    heavy: bool = False
    boundless: bool = False

    def bound(self, eps: float) -> float:
        """The value that a share `eps` of all values exceeds."""
        ratio = math.log(self.beyond / eps)
        if abs(self.shape) < 1e-9:
            return self.u + self.scale * ratio
        return self.u + self.scale / self.shape * math.expm1(self.shape * ratio)

    def share_above(self, value: float) -> float:
        """The share of all values that exceeds this one."""
        if self.scale <= 0:
            return 0.0
        reach = (value - self.u) / self.scale
        if abs(self.shape) < 1e-9:
            return self.beyond * math.exp(-reach)
        inside = 1 + self.shape * reach
        return self.beyond * inside ** (-1 / self.shape) if inside > 0 else 0.0


def _fit(u: float, y: np.ndarray, n: int) -> _Tail:
    """Hosking & Wallis' estimates, each made wider by one and a half standard errors."""
    k = len(y)
    weights = 1 - (np.arange(1, k + 1) - 0.35) / k
    a0, a1 = float(np.mean(y)), float(np.mean(y * weights))
    gap = a0 - 2 * a1
    if a0 <= 0 or gap <= 0:
        # Not a tail at all: all the values beyond are alike. Leave the bound to the caps.
        return _Tail(u, 0.7, max(a0, 0.0), k / n)
    shape, scale = 2 - a0 / gap, 2 * a0 * a1 / gap
    error = 1.5 * 1.2 / math.sqrt(k)
    heavy = shape > _HEAVY and _largest_spacing(y, shape, scale) < _GAP
    wider = min(max(shape, -0.3) + error, 1.0 if heavy else 0.7)
    return _Tail(u, wider, scale * (1 + error), k / n, heavy, heavy and shape > _BOUNDLESS)


def _largest_spacing(y: np.ndarray, shape: float, scale: float) -> float:
    """The widest step from one value to the next, in units of what a tail without gaps has there on average.

    Brought to the exponential law that the fit says, the j-th and the (j+1)-th largest lie 1/j apart on average, and
    that times j is again exponential (Renyi 1953).
    """
    levels = np.log1p(shape * np.maximum(y, 0) / scale) / shape
    return float(np.max(np.diff(levels) * np.arange(len(y) - 1, 0, -1)))


def _rounded_up(bound: float, spread: float, grid: float, *, integer: bool) -> Number:
    """A bound that a person can read: outwards, by less than a thousandth of the spread, or to the next point of a grid."""
    if integer:
        step = 10 ** max(0, math.floor(math.log10(spread)) - 3) if spread > 0 else 1
        return math.ceil(math.ceil(bound) / step) * step
    if grid:
        return float(f"{math.ceil(bound / grid - 1e-9) * grid:.12g}")
    if spread <= 0:
        return bound
    digits = 3 - math.floor(math.log10(spread))
    if not -300 < digits < 300:
        return bound
    rounded = round(bound, digits)
    return rounded if rounded >= bound else round(rounded + 10.0**-digits, digits)
