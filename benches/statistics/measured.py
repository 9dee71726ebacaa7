"""The statistics of a column of numbers by numpy: what the profile's SQL gives (a test holds them equal), but in microseconds.

The order of the rows is not looked at, so `rising` stays false: what is drawn here does not follow the rows.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from assay.profile.document import FieldProfile, Number, Numbers
from assay.profile.measure import DECILES, DISTINCT_KEPT, EXTREMES, SHARES
from benches.statistics.laws import Array

__all__ = ["field_of", "numbers_of"]


def numbers_of(values: Array) -> Numbers:
    """Of at least one finite number, and at most 200,000: beyond that the profile samples its quantiles."""
    array = np.sort(values)
    n = len(array)
    starts = np.flatnonzero(np.concatenate(([True], array[1:] != array[:-1])))
    counts = np.diff(np.append(starts, n))
    few = len(starts) <= DISTINCT_KEPT
    middle = array[[_rank(share, n) for share in SHARES]].tolist()
    quantiles = tuple(zip(SHARES, middle, strict=True))
    edges, bins = _bins(array, dict(quantiles))
    return Numbers(
        count=n,
        minimum=array[0].item(),
        maximum=array[-1].item(),
        mean=float(array.mean()),
        deviation=float(array.std()),
        distinct=len(starts),
        integral=array.dtype.kind == "i" or bool(np.all(array == np.trunc(array))),
        quantiles=quantiles,
        largest=_extremes(array, starts[::-1], counts[::-1]),
        smallest=_extremes(array, starts, counts),
        values=tuple(zip(array[starts].tolist(), counts.tolist(), strict=True)) if few else None,
        edges=edges,
        counts=bins,
    )


def field_of(name: str, values: Array) -> FieldProfile:
    """A column of a frame as its profile: NaN stands for a NULL, and makes floats of what were whole numbers."""
    present = values[~np.isnan(values)] if values.dtype.kind == "f" else values
    rows = len(values)
    numbers = numbers_of(present)
    whole = values.dtype.kind == "i" or (numbers.integral and len(present) < rows)
    counted = {"absent": rows - len(present), "integer" if whole else "number": len(present)}
    return FieldProfile(name, rows, {each: count for each, count in counted.items() if count}, numbers)


def _rank(share: float, n: int) -> int:
    """The place of a quantile, as DuckDB's `quantile_disc` has it."""
    return max(0, int(np.ceil(share * n - 1e-9)) - 1)


def _extremes(array: Array, starts: Array, counts: Array) -> tuple[tuple[Number, int], ...]:
    """The first distinct values that make 401 rows, and one more."""
    needed = int(np.searchsorted(np.cumsum(counts[: EXTREMES + 1]), EXTREMES)) + 2
    return tuple(zip(array[starts[:needed]].tolist(), counts[:needed].tolist(), strict=True))


def _bins(array: Array, quantile: dict[float, Number]) -> tuple[tuple[float, ...], tuple[int, ...]]:
    most = float(array[-1])
    edges = tuple(edge for edge in sorted({float(quantile[share]) for share in DECILES}) if edge < most)
    steps = [0, *np.searchsorted(array, edges, side="right").tolist(), len(array)]
    return edges, tuple(b - a for a, b in pairwise(steps))
