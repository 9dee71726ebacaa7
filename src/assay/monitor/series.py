"""Counters that a scraper first sees at zero, and gauges, as one collector for prometheus-client."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from threading import Lock

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from assay.monitor.memory import Memory

__all__ = ["Cell", "Counters", "Gauges", "SeriesCollector", "SharedCell"]


class Cell:
    """One series of a counter. `shown` is whether a scraper has seen it at zero."""

    __slots__ = ("shown", "value")

    def __init__(self) -> None:
        self.value = 0
        self.shown = False


class SharedCell(Cell):
    """One whose number is in a memory: it goes on where it was, whoever counted there before."""

    __slots__ = ("_counts", "_place")

    def __init__(self, counts: memoryview[int], place: int) -> None:
        self._counts = counts
        self._place = place
        self.shown = False

    @property
    def value(self) -> int:
        """The number."""
        return self._counts[self._place]

    @value.setter
    def value(self, value: int) -> None:
        self._counts[self._place] = value


class Counters:
    """A counter's series by their label values, the dataset first. `memory` is where they count, where it is shared."""

    def __init__(self, name: str, documentation: str, labels: tuple[str, ...], memory: Memory | None = None) -> None:
        self.name = name
        self.documentation = documentation
        self.labels = labels
        self.cells: dict[tuple[str, ...], Cell] = {}
        self._memory = memory

    def cell(self, *labels: str) -> Cell:
        """The series of these label values; made, at zero, when it is new."""
        cell = self.cells.get(labels)
        if cell is None:
            place = None if self._memory is None else self._memory.slot(self.name, labels)
            cell = Cell() if self._memory is None or place is None else SharedCell(self._memory.counts, place)
            self.cells[labels] = cell
        return cell

    def keep(self, dataset: str, wanted: Iterable[tuple[str, ...]] = ()) -> None:
        """Have just the series `wanted` of a dataset: others go, new ones start at zero."""
        keys = set(wanted)
        for key in [key for key in self.cells if key[0] == dataset and key not in keys]:
            self.drop(key)
        for key in wanted:
            self.cell(*key)

    def drop(self, labels: tuple[str, ...]) -> None:
        """The series goes."""
        del self.cells[labels]

    def family(self, *, scraper: bool) -> Metric:
        """As of now. A scraper sees a new series at zero once, whatever it counts, so that its increase shows."""
        family = CounterMetricFamily(self.name, self.documentation, labels=self.labels)
        for labels, cell in self.cells.items():
            family.add_metric(labels, cell.value if cell.shown or not scraper else 0)
            cell.shown = cell.shown or scraper
        return family


class Gauges:
    """A gauge's series by their label values, the dataset first."""

    def __init__(self, name: str, documentation: str, labels: tuple[str, ...]) -> None:
        self.name = name
        self.documentation = documentation
        self.labels = labels
        self.values: dict[tuple[str, ...], float] = {}

    def drop(self, dataset: str) -> None:
        """Forget the series of a dataset."""
        for key in [key for key in self.values if key[0] == dataset]:
            del self.values[key]

    def family(self) -> Metric:
        """As of now."""
        family = GaugeMetricFamily(self.name, self.documentation, labels=self.labels)
        for labels, value in self.values.items():
            family.add_metric(labels, value)
        return family


class SeriesCollector:
    """What a registry asks for the series: one method."""

    def __init__(
        self,
        lock: Lock,
        counters: Iterable[Counters],
        gauges: Iterable[Gauges],
        extra: Callable[[], Iterable[Metric]],
    ) -> None:
        self.scraper = False
        self._lock = lock
        self._counters = tuple(counters)
        self._gauges = tuple(gauges)
        self._extra = extra

    def collect(self) -> Iterator[Metric]:
        """Every family, taken at one moment."""
        with self._lock:
            families = [counters.family(scraper=self.scraper) for counters in self._counters]
            families += [gauges.family() for gauges in self._gauges]
        yield from families
        yield from self._extra()
