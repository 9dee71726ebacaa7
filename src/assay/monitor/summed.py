"""What all workers have counted, as one: the series of `Metrics`, each the sum over their memories."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from assay.monitor.histogram import Shown
from assay.monitor.memory import Memory, Slot, parts
from assay.monitor.metrics import LAST_EVENT, LEARNING, OTHER, Figures, Metrics, Observer
from assay.monitor.series import Counters

__all__ = ["SummedMetrics"]


class SummedMetrics(Metrics):
    """Shows what others count. What is done once for all (applying, replaying) is counted here, as ever.

    Which series there are is said here alone: a series that goes goes for all workers at once, whichever has heard of the
    new contract already. What is counted meanwhile is kept, and shows when the series is there.
    """

    def __init__(self, memories: Sequence[Memory], *, max_sources: int = 100) -> None:
        self._memories: Final = memories
        self._summed: list[_SummedHistogram] = []
        #: By series, what it had counted whenever it was taken away: it starts at zero again.
        self._gone: defaultdict[Slot, int] = defaultdict(int)
        super().__init__(max_sources=max_sources)
        self._shared: Final = (
            self._events,
            self._violations,
            self._values,
            self._unexpected,
            self._keys_evicted,
            self._refused,
        )
        for counters in self._shared:
            counters.drop = _Remembering(counters, self._gone)  # type: ignore[method-assign]

    def _histogram(self, name: str, documentation: str, buckets: Sequence[float]) -> Observer:
        histogram = _SummedHistogram(name, documentation, buckets)
        self._summed.append(histogram)
        self.registry.register(histogram)
        return histogram

    def exposition(self, accept: str | None) -> tuple[bytes, str]:
        """As of now, over all workers; see `Metrics.exposition`."""
        self._add_up()
        return super().exposition(accept)

    def figures(self) -> Figures:
        """As of now, over all workers; see `Metrics.figures`."""
        self._add_up()
        return super().figures()

    def _add_up(self) -> None:
        counts: defaultdict[Slot, int] = defaultdict(int)
        sums: defaultdict[Slot, float] = defaultdict(float)
        latest: dict[str, float] = {}
        for memory in self._memories:
            for slot, place in list(memory.slots().items()):
                name, labels = slot
                if name == LAST_EVENT:
                    latest[labels[0]] = max(memory.reals[place], latest.get(labels[0], 0.0))
                elif labels == ("sum",):
                    sums[slot] += memory.reals[place]
                else:
                    counts[slot] += memory.counts[place]
        with self._lock:
            self._sum_events(counts)
            for counters in self._shared[1:]:
                for labels, cell in counters.cells.items():
                    slot = counters.name, labels
                    cell.value = max(cell.value, counts[slot] - self._gone[slot])
            for dataset, unix_s in latest.items():
                if self._known(dataset) == dataset or dataset == LEARNING:
                    self._seen(dataset, unix_s)
            for histogram in self._summed:
                histogram.numbers = [
                    sums[part] if part[1] == ("sum",) else counts[part]
                    for part in parts(histogram.name, histogram.buckets)
                ]

    def _sum_events(self, counts: defaultdict[Slot, int]) -> None:
        """Events by source: those beyond the most that are told apart count as one."""
        name = self._events.name
        totals: defaultdict[tuple[str, ...], int] = defaultdict(int)
        for (metric, labels), count in counts.items():
            if metric != name or (labels[0] not in self._watched and labels[0] != LEARNING):
                continue
            dataset, source, outcome = labels
            if source not in self._sources and source != OTHER:
                if not count:
                    continue
                if len(self._sources) < self._max_sources:
                    self._sources[source] = None
                else:
                    source = OTHER
            totals[dataset, source, outcome] += count
        for labels, total in totals.items():
            if total and labels not in self._events.cells:
                self._add_events(*labels[:2])
            cell = self._events.cells.get(labels)
            if cell is not None:
                cell.value = max(cell.value, total - self._gone[name, labels])


class _Remembering:
    """Takes a series away, and remembers what it had counted."""

    def __init__(self, counters: Counters, gone: defaultdict[Slot, int]) -> None:
        self._counters = counters
        self._gone = gone

    def __call__(self, labels: tuple[str, ...]) -> None:
        cell = self._counters.cells.pop(labels)
        self._gone[self._counters.name, labels] += cell.value


class _SummedHistogram(Shown):
    """A histogram that is counted elsewhere. `numbers` are its `parts`."""

    def observe(self, amount: float, times: int = 1) -> None:
        """Nothing is counted here."""
        raise NotImplementedError
