"""Histograms: prometheus-client's counts one at a time, and a transaction brings a hundred requests of one event each."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate
from threading import Lock

from prometheus_client.metrics_core import HistogramMetricFamily, Metric

__all__ = ["Histogram", "Shown"]


class Shown:
    """A histogram as a registry shows it. `numbers` are how many fell into each bucket alone, the last for all beyond; then their sum."""

    def __init__(self, name: str, documentation: str, buckets: Sequence[float]) -> None:
        """`buckets` are the upper bounds, in order, without the last one."""
        self.name = name
        self.buckets = [float(bound) for bound in buckets]
        self.numbers: list[float] = [0] * (len(self.buckets) + 2)
        self._documentation = documentation

    def collect(self) -> Iterator[Metric]:
        """What a registry asks for."""
        family = HistogramMetricFamily(self.name, self._documentation)
        *counts, total = self.numbers
        bounds = [*map(str, self.buckets), "+Inf"]
        family.add_metric([], list(zip(bounds, accumulate(counts), strict=True)), total)
        yield family


class Histogram(Shown):
    """One that is counted here, from any thread."""

    def __init__(self, name: str, documentation: str, buckets: Sequence[float]) -> None:
        super().__init__(name, documentation, buckets)
        self._lock = Lock()

    def observe(self, amount: float, times: int = 1) -> None:
        """Count one, or several of the same."""
        place = bisect_left(self.buckets, amount)
        with self._lock:
            self.numbers[place] += times
            self.numbers[-1] += amount * times

    def collect(self) -> Iterator[Metric]:
        """What a registry asks for, at one moment."""
        with self._lock:
            shown = list(super().collect())
        yield from shown
