"""`increase`, `rate` and `changes` as Prometheus computes them, for many series and evaluations at once.

Prometheus takes the first and the last sample inside the range and goes on from there to the ends of the range: as far
as they are when that is at most 1.1 times the mean distance of samples, else by half of it; and at the start no
further than to where a counter would have been zero (promql/functions.go, extrapolatedRate, as of 2.42).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from assay.monitor.series_frame import Doubles, Labels

__all__ = ["Alike", "Scraped", "alike", "changes", "increase", "newest"]

#: How old the newest sample of a series may be.
_LOOKBACK_S = 300.0


@dataclass(frozen=True, slots=True)
class Scraped:
    """What one target showed of one metric: a row a series, a column a scrape, NaN where it did not show it.

    `times` are Unix times in seconds, ascending.
    """

    times: Doubles
    labels: tuple[Labels, ...]
    values: Doubles


@dataclass(frozen=True, slots=True)
class Alike:
    """Series of a target that were shown at the same scrapes, with those scrapes alone: `rows` of the target's.

    `rising` are the values of counters that never begin again.
    """

    rows: list[int]
    times: Doubles
    values: Doubles
    rising: Doubles


def alike(scraped: Scraped) -> list[Alike]:
    """All series of a target, made ready for ranges. What takes a while is done here, once."""
    there = ~np.isnan(scraped.values)
    groups: dict[bytes, list[int]] = {}
    if there.all():
        groups[b""] = list(range(len(scraped.labels)))
    else:
        for i, row in enumerate(there):
            groups.setdefault(row.tobytes(), []).append(i)
    return [_alike(scraped, rows, there[rows[0]]) for rows in groups.values() if rows]


def _alike(scraped: Scraped, rows: list[int], there: npt.NDArray[np.bool_]) -> Alike:
    values = scraped.values[rows][:, there]
    rising = values
    # A counter that falls has begun again at zero: what it had reached before counts on.
    falls = values[:, 1:] < values[:, :-1]
    if falls.any():
        rising = values.copy()
        rising[:, 1:] += np.cumsum(np.where(falls, values[:, :-1], 0.0), axis=1)
    return Alike(rows, scraped.times[there], values, rising)


def increase(groups: Sequence[Alike], at: Doubles, range_s: float) -> Doubles:
    """By how much counters rose in the `range_s` seconds up to each time of `at`; NaN without two samples."""
    return _each(groups, at, lambda group: _increase(group, at, range_s))


def _increase(group: Alike, at: Doubles, range_s: float) -> Doubles:
    times = group.times
    if len(times) < 2:
        return np.full((len(group.rows), len(at)), np.nan)
    first, last = _ends(times, at, range_s)
    enough = last > first
    first, last = np.where(enough, first, 0), np.where(enough, last, 1)
    begin = group.values[:, first]
    rise = group.rising[:, last] - group.rising[:, first]
    sampled = times[last] - times[first]
    apart = sampled / (last - first)
    to_start = times[first] - (at - range_s)
    to_end = at - times[last]
    extra = np.where(to_end < 1.1 * apart, to_end, apart / 2)
    # Where a counter would have been zero within the range, before its first sample there, its rise began.
    from_zero = (rise > 0) & (begin >= 0) & (begin * sampled < to_start * rise)
    span = sampled + np.where(to_start < 1.1 * apart, to_start, apart / 2) + extra
    risen: Doubles = rise * (span / sampled)
    if from_zero.any():
        series, look = np.nonzero(from_zero)
        to_zero = sampled[look] * (begin[series, look] / rise[series, look])
        near = np.where(to_zero < 1.1 * apart[look], to_zero, apart[look] / 2)
        risen[series, look] = rise[series, look] * ((sampled[look] + near + extra[look]) / sampled[look])
    risen[:, ~enough] = np.nan
    return risen


def changes(groups: Sequence[Alike], at: Doubles, range_s: float) -> Doubles:
    """How often values changed from one sample to the next within the range; NaN without a sample."""
    return _each(groups, at, lambda group: _changes(group, at, range_s))


def _changes(group: Alike, at: Doubles, range_s: float) -> Doubles:
    if not len(group.times):
        return np.full((len(group.rows), len(at)), np.nan)
    first, last = _ends(group.times, at, range_s)
    enough = last >= first
    first, last = np.where(enough, first, 0), np.where(enough, last, 0)
    counted = np.zeros((len(group.rows), len(at)))
    changed = group.values[:, 1:] != group.values[:, :-1]
    rows = changed.any(axis=1)
    if rows.any():
        so_far = np.zeros((int(rows.sum()), len(group.times)), dtype=np.int64)
        np.cumsum(changed[rows], axis=1, out=so_far[:, 1:])
        counted[rows] = so_far[:, last] - so_far[:, first]
    counted[:, ~enough] = np.nan
    return counted


def _each(groups: Sequence[Alike], at: Doubles, compute: Callable[[Alike], Doubles]) -> Doubles:
    if len(groups) == 1:
        return compute(groups[0])
    result = np.full((sum(len(group.rows) for group in groups), len(at)), np.nan)
    for group in groups:
        result[group.rows] = compute(group)
    return result


def newest(scraped: Scraped, at: Doubles) -> Doubles:
    """Each series' newest sample; NaN when it is older than five minutes, or the newest scrape did not show it."""
    last = np.searchsorted(scraped.times, at, side="right") - 1
    fresh = (last >= 0) & (scraped.times[np.maximum(last, 0)] > at - _LOOKBACK_S)
    found: Doubles = scraped.values[:, np.maximum(last, 0)]
    if not fresh.all():
        found[:, ~fresh] = np.nan
    # Where nothing changes, one column says it all.
    return found[:, :1] if (found == found[:, :1]).all() else found


def _ends(times: Doubles, at: Doubles, range_s: float) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """The places of the first and the last sample in each range, both of whose ends belong to it."""
    return np.searchsorted(times, at - range_s, side="left"), np.searchsorted(times, at, side="right") - 1
