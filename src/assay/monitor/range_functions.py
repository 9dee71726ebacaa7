"""`increase`, `rate` and `changes` as Prometheus computes them, for many series and evaluations at once.

Prometheus takes the first and the last sample inside the range and goes on from there to the ends of the range: as far
as they are when that is at most 1.1 times the mean distance of samples, else by half of it; and at the start no
further than to where a counter would have been zero (promql/functions.go, extrapolatedRate, as of 2.42).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from assay.monitor.series_frame import Doubles, Labels

__all__ = ["Scraped", "changes", "increase", "newest"]

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

    def whole(self) -> list[tuple[list[int], Doubles, Doubles]]:
        """The rows with the same scrapes together, with those scrapes alone: (rows, times, values)."""
        there = ~np.isnan(self.values)
        if there.all():
            return [(list(range(len(self.labels))), self.times, self.values)]
        groups: dict[bytes, list[int]] = {}
        for i, row in enumerate(there):
            groups.setdefault(row.tobytes(), []).append(i)
        return [(rows, self.times[there[rows[0]]], self.values[rows][:, there[rows[0]]]) for rows in groups.values()]


def increase(scraped: Scraped, at: Doubles, range_s: float) -> Doubles:
    """By how much counters rose in the `range_s` seconds up to each time of `at`; NaN without two samples."""
    result = np.full((len(scraped.labels), len(at)), np.nan)
    for rows, times, values in scraped.whole():
        if len(times) >= 2:
            result[rows] = _increase(times, values, at, range_s)
    return result


def _increase(times: Doubles, values: Doubles, at: Doubles, range_s: float) -> Doubles:
    first, last = _ends(times, at, range_s)
    enough = last > first
    first, last = np.where(enough, first, 0), np.where(enough, last, 1)
    # A counter that falls has begun again at zero: what it had reached before counts on.
    lost = np.where(np.diff(values, axis=1) < 0, values[:, :-1], 0.0)
    rising = values
    if lost.any():
        rising = values.copy()
        rising[:, 1:] += np.cumsum(lost, axis=1)
    begin = values[:, first]
    rise = rising[:, last] - rising[:, first]
    sampled = times[last] - times[first]
    apart = sampled / (last - first)
    to_start = times[first] - (at - range_s)
    to_end = at - times[last]
    with np.errstate(divide="ignore", invalid="ignore"):
        to_zero = np.where((rise > 0) & (begin >= 0), sampled * (begin / rise), np.inf)
    to_start = np.minimum(to_start, to_zero)
    span = sampled + np.where(to_start < 1.1 * apart, to_start, apart / 2)
    span += np.where(to_end < 1.1 * apart, to_end, apart / 2)
    risen: Doubles = rise * (span / sampled)
    risen[:, ~enough] = np.nan
    return risen


def changes(scraped: Scraped, at: Doubles, range_s: float) -> Doubles:
    """How often values changed from one sample to the next within the range; NaN without a sample."""
    result = np.full((len(scraped.labels), len(at)), np.nan)
    for rows, times, values in scraped.whole():
        if not len(times):
            continue
        first, last = _ends(times, at, range_s)
        enough = last >= first
        first, last = np.where(enough, first, 0), np.where(enough, last, 0)
        changed = np.zeros(values.shape)
        np.cumsum(np.diff(values, axis=1) != 0, axis=1, out=changed[:, 1:])
        counted = changed[:, last] - changed[:, first]
        counted[:, ~enough] = np.nan
        result[rows] = counted
    return result


def newest(scraped: Scraped, at: Doubles) -> Doubles:
    """Each series' newest sample; NaN when it is older than five minutes, or the newest scrape did not show it."""
    last = np.searchsorted(scraped.times, at, side="right") - 1
    fresh = (last >= 0) & (scraped.times[np.maximum(last, 0)] > at - _LOOKBACK_S)
    values = scraped.values
    if fresh.all() and values.shape[1] and (values == values[:, :1]).all():
        return values[:, :1]  # constant: one column says it all
    found: Doubles = values[:, np.maximum(last, 0)]
    if not fresh.all():
        found[:, ~fresh] = np.nan
    return found


def _ends(times: Doubles, at: Doubles, range_s: float) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """The places of the first and the last sample in each range, both of whose ends belong to it."""
    return np.searchsorted(times, at - range_s, side="left"), np.searchsorted(times, at, side="right") - 1
