"""The series: all at zero from the start, label values from contracts and closed lists alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Protocol

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from assay.contract.document import Contract
from assay.contract.models import violation_types
from assay.errors import AssayError
from assay.monitor.bins import Columns
from assay.monitor.histogram import Histogram
from assay.monitor.memory import Memory, SharedHistogram
from assay.monitor.series import Cell, Counters, Gauges, SeriesCollector

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["LAST_EVENT", "LEARNING", "OTHER", "OUTCOMES", "UNEXPECTED", "Figures", "Metrics", "Observer"]

OUTCOMES: Final = ("accepted", "flagged", "rejected")
#: The dataset label of all datasets without an active contract.
LEARNING: Final = "_learning"
#: The field label of names that the contract does not have.
UNEXPECTED: Final = "_unexpected"
#: A source beyond the first `max_sources`, a violation's type that is not in the table.
OTHER: Final = "_other"

#: The answers by which a whole request to `/collect` is turned away, and nothing of it kept.
_TURNED_AWAY: Final = frozenset({401, 403, 404, 413, 415, 421, 503})

LAST_EVENT: Final = "assay_last_event_timestamp_seconds"

_SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0)
_GAUGES: Final = {
    "pending_bytes": "Bytes of requests that are being read, judged or logged.",
    "log_events": "Events in the log that are not in their table yet.",
    "log_bytes": "Size of the log's live records.",
    "log_oldest_seconds": "Age of the oldest event in the log that is not in its table yet.",
    "quarantine_events": "Events in quarantine.",
    "store_bytes": "Size of the store.",
}


@dataclass(frozen=True, slots=True)
class _Watched:
    """What counting the events of one dataset needs: its columns, and the series of each field's bins."""

    contract: Contract
    columns: Columns
    cells: Mapping[str, tuple[Cell, ...]]


@dataclass(frozen=True, slots=True)
class Figures:
    """The counters at one moment, since the start or since the contract became active.

    `events` by (dataset, source, outcome), `violations` by (dataset, field label, type). `values` has each dataset's active
    contract with how many values of each field fell into each of its bins, in the order of `Bins.labels`. `last` is when an
    event came last, Unix time.
    """

    events: Mapping[tuple[str, str, str], int]
    violations: Mapping[tuple[str, str, str], int]
    values: Mapping[str, tuple[Contract, Mapping[str, tuple[int, ...]]]]
    last: Mapping[str, float]


class Observer(Protocol):
    """A histogram, as far as those who count know it."""

    def observe(self, amount: float, times: int = 1) -> None:
        """Count one, or several of the same."""


class Metrics:
    """Counts what happens to events. Made for one registry; called from any thread.

    A scraper sees each counter at zero once before it sees it grow: an increase is the difference of two scrapes, so a
    series born at 3 would hide 3 events. Whoever reads without naming a version of the format (a person, curl) sees the
    true values and changes nothing.
    """

    def __init__(
        self, registry: CollectorRegistry | None = None, *, max_sources: int = 100, memory: Memory | None = None
    ) -> None:
        """`memory` is where to count what requests bring, where another process shows it (see `SummedMetrics`)."""
        self._memory = memory
        self.registry: Final = CollectorRegistry() if registry is None else registry
        self._max_sources = max_sources
        self._sources: dict[str, None] = {"unknown": None}
        self._watched: dict[str, _Watched] = {}
        self._read_gauges: Callable[[], Mapping[str, float]] | None = None
        self._lock = Lock()
        self._exposing = Lock()

        self._events = Counters(
            "assay_events", "Events, by what became of them.", ("dataset", "source", "outcome"), memory
        )
        self._violations = Counters(
            "assay_violations", "Reasons why events broke their contract.", ("dataset", "field", "type"), memory
        )
        self._values = Counters(
            "assay_field_values",
            "Values of a field, accepted and rejected, by bin.",
            ("dataset", "field", "bin"),
            memory,
        )
        self._unexpected = Counters(
            "assay_unexpected_fields", "Fields that the contract does not name.", ("dataset",), memory
        )
        self._replayed = Counters("assay_replayed", "Events that left quarantine for their table.", ("dataset",))
        self._not_storable = Counters("assay_not_storable", "Events that the store refused.", ("dataset",))
        self._expired = Counters("assay_quarantine_expired", "Events deleted from quarantine.", ("dataset",))
        self._keys_evicted = Counters("assay_keys_evicted", "Idempotency keys forgotten before their time.", (), memory)
        self._keys_evicted.cell()
        self._refused = Counters(
            "assay_requests_refused", "Requests to collect that were turned away whole.", ("status",), memory
        )
        for status in sorted(_TURNED_AWAY):
            self._refused.cell(str(status))
        self._expected = Gauges(
            "assay_field_expected_ratio", "Share of each bin in the contract's profile.", ("dataset", "field", "bin")
        )
        self._info = Gauges("assay_contract_info", "The active contract.", ("dataset", "version", "mode"))
        self._last = Gauges(LAST_EVENT, "When an event came last, Unix time.", ("dataset",))

        self.commit_seconds: Final = self._histogram("assay_commit_seconds", "Log transactions.", _SECONDS)
        self.apply_seconds: Final = self._own_histogram(
            "assay_apply_seconds", "Rounds from the log to the store.", _SECONDS
        )
        self.request_seconds: Final = self._histogram("assay_request_seconds", "Requests to collect.", _SECONDS)
        self.batch_events: Final = self._histogram(
            "assay_batch_events", "Events in a request.", (1, 10, 100, 1_000, 10_000, 100_000)
        )
        self._collector = SeriesCollector(
            self._lock,
            (
                self._events,
                self._violations,
                self._values,
                self._unexpected,
                self._replayed,
                self._not_storable,
                self._expired,
                self._keys_evicted,
                self._refused,
            ),
            (self._expected, self._info, self._last),
            self._collect_gauges,
        )
        self.registry.register(self._collector)
        self._add_dataset(LEARNING)

    def _histogram(self, name: str, documentation: str, buckets: Sequence[float]) -> Observer:
        """One of what requests bring."""
        if self._memory is not None:
            return SharedHistogram(self._memory, name, buckets)
        return self._own_histogram(name, documentation, buckets)

    def _own_histogram(self, name: str, documentation: str, buckets: Sequence[float]) -> Observer:
        histogram = Histogram(name, documentation, buckets)
        self.registry.register(histogram)
        return histogram

    def watch(self, contract: Contract, mode: str, violations: Iterable[tuple[str, str]] | None = None) -> None:
        """Have every series of `contract`, now the active one of its dataset; those of a former version go.

        `violations` are all (field label, type) that judging by it can give, where they are not the models' own.
        """
        dataset = contract.dataset
        columns = Columns(contract)
        table = _violation_table(contract, _model_violations(contract) if violations is None else violations)
        with self._lock:
            self._add_dataset(dataset)
            self._violations.keep(dataset, [(dataset, label, kind) for label, kind in table])
            bins = columns.labels
            self._values.keep(dataset, [(dataset, label, each) for label, own in bins.items() for each in own])
            self._expected.drop(dataset)
            shares = {label: field.bins.share for label, field in contract.root.walk() if field.bins is not None}
            for label, own in bins.items():
                for each in own:
                    self._expected.values[dataset, label, each] = shares[label].get(each, 0.0)
            self._info.drop(dataset)
            self._info.values[dataset, str(contract.version or 0), mode] = 1
            cells = {label: tuple(self._values.cell(dataset, label, b) for b in own) for label, own in bins.items()}
            self._watched[dataset] = _Watched(contract, columns, cells)

    def unwatch(self, dataset: str) -> None:
        """Drop every series of a dataset: it has no active contract any more."""
        with self._lock:
            self._watched.pop(dataset, None)
            for counters in (self._events, self._violations, self._values):
                counters.keep(dataset)
            for counters in (self._unexpected, self._replayed, self._not_storable, self._expired):
                counters.keep(dataset)
            for gauges in (self._expected, self._info, self._last):
                gauges.drop(dataset)

    def _add_dataset(self, dataset: str) -> None:
        for source in self._sources:
            self._add_events(dataset, source)
        for counters in (self._unexpected, self._replayed, self._not_storable, self._expired):
            counters.cell(dataset)

    def _add_events(self, dataset: str, source: str) -> None:
        for outcome in OUTCOMES:
            self._events.cell(dataset, source, outcome)

    def count(
        self,
        *,
        dataset: str,
        source: str,
        now: float,
        accepted: int = 0,
        flagged: int = 0,
        rejected: int = 0,
        violations: Mapping[tuple[str, str], int] = MappingProxyType({}),
        unexpected: int = 0,
    ) -> None:
        """Count what the log has just taken: events by outcome, each violation's (field label, type), unknown fields.

        `now` is Unix time in seconds.
        """
        with self._lock:
            dataset = self._known(dataset)
            if source not in self._sources:
                if len(self._sources) < self._max_sources:
                    self._sources[source] = None
                else:
                    source = OTHER
            if (dataset, source, "accepted") not in self._events.cells:
                self._add_events(dataset, source)
            for outcome, count in zip(OUTCOMES, (accepted, flagged, rejected), strict=True):
                if count:
                    self._events.cell(dataset, source, outcome).value += count
            for (label, kind), count in violations.items():
                self._violation(dataset, label, kind).value += count
            if unexpected:
                self._unexpected.cell(dataset).value += unexpected
            if accepted or flagged or rejected:
                self._seen(dataset, now)

    def _known(self, dataset: str) -> str:
        return dataset if dataset in self._watched else LEARNING

    def _violation(self, dataset: str, label: str, kind: str) -> Cell:
        cells = self._violations.cells
        for key in ((dataset, label, kind), (dataset, label, OTHER), (dataset, UNEXPECTED, kind)):
            cell = cells.get(key)
            if cell is not None:
                return cell
        return self._violations.cell(dataset, UNEXPECTED, OTHER)

    def columns(self, contract: Contract) -> Columns:
        """What puts the values of a contract's events into its bins."""
        watched = self._watched.get(contract.dataset)
        return watched.columns if watched is not None and watched.contract is contract else Columns(contract)

    def count_values(self, contract: Contract, events: Sequence[Mapping[str, Any]]) -> None:
        """Count the values of all fields, of accepted and rejected events alike, into the bins of the active contract.

        A request that began under a former version is counted by the active one's bins: those are what is expected.
        """
        watched = self._watched.get(contract.dataset)
        if watched is not None and events:
            self._add(watched, list(watched.columns.count(events)))

    def count_columns(self, contract: Contract, columns: Mapping[str, Sequence[object]]) -> None:
        """The same for flat events of the active contract that are columns already, by field name."""
        watched = self._watched.get(contract.dataset)
        if watched is not None and watched.contract is contract:
            self._add(watched, list(watched.columns.count_columns(columns)))
        elif watched is not None:  # they began under a former version
            self.count_values(contract, _events(columns))

    def count_arrays(self, contract: Contract, arrays: Mapping[str, pa.Array]) -> None:
        """The same for Arrow columns."""
        watched = self._watched.get(contract.dataset)
        if watched is not None and watched.contract is contract:
            self._add(watched, list(watched.columns.count_arrays(arrays)))
        elif watched is not None:
            self.count_values(contract, _events({name: array.to_pylist() for name, array in arrays.items()}))

    def count_binned(self, contract: Contract, counts: Mapping[str, Sequence[int]]) -> None:
        """The same for values that are in the bins of `contract` already, by field label.

        Where another contract is active by now they are not counted: its bins are others, and the values are gone.
        """
        watched = self._watched.get(contract.dataset)
        if watched is not None and watched.contract is contract:
            self._add(watched, counts.items())

    def _add(self, watched: _Watched, counted: Iterable[tuple[str, Sequence[int]]]) -> None:
        with self._lock:
            for label, counts in counted:
                for cell, count in zip(watched.cells[label], counts, strict=True):
                    if count:
                        cell.value += count

    def count_replayed(self, dataset: str, events: int) -> None:
        """Count events that left quarantine for their table."""
        with self._lock:
            self._replayed.cell(self._known(dataset)).value += events

    def count_not_storable(self, dataset: str, events: int) -> None:
        """Count events that the store refused and that went to quarantine."""
        with self._lock:
            self._not_storable.cell(self._known(dataset)).value += events

    def count_expired(self, dataset: str, events: int) -> None:
        """Count refused events that were deleted from quarantine for their age, or for lack of room."""
        with self._lock:
            self._expired.cell(self._known(dataset)).value += events

    def count_keys_evicted(self, keys: int) -> None:
        """Count idempotency keys that were forgotten before their time, for want of room."""
        with self._lock:
            self._keys_evicted.cell().value += keys

    def count_refused(self, status: int) -> None:
        """Count a request to `/collect` that was answered with this, where that turns it away whole."""
        if status in _TURNED_AWAY:
            with self._lock:
                self._refused.cell(str(status)).value += 1

    def last_event(self, dataset: str, unix_s: float) -> None:
        """Restore when an event came last, at start."""
        with self._lock:
            self._seen(self._known(dataset), unix_s)

    def _seen(self, dataset: str, unix_s: float) -> None:
        values = self._last.values
        latest = values[dataset,] = max(unix_s, values.get((dataset,), 0.0))
        if self._memory is not None and (place := self._memory.slot(LAST_EVENT, (dataset,))) is not None:
            self._memory.reals[place] = max(latest, self._memory.reals[place])

    def figures(self) -> Figures:
        """What was counted so far, taken at one moment. A scraper's view of it is not touched."""
        with self._lock:
            return Figures(
                {
                    (dataset, source, outcome): cell.value
                    for (dataset, source, outcome), cell in self._events.cells.items()
                },
                {(dataset, label, kind): cell.value for (dataset, label, kind), cell in self._violations.cells.items()},
                {
                    dataset: (
                        watched.contract,
                        {label: tuple([c.value for c in own]) for label, own in watched.cells.items()},
                    )
                    for dataset, watched in self._watched.items()
                },
                {dataset: seen for (dataset,), seen in self._last.values.items()},
            )

    def gauges(self, read: Callable[[], Mapping[str, float]]) -> None:
        """Have `read` called at each scrape for `pending_bytes`, `log_events`, `log_bytes`, `log_oldest_seconds`,
        `quarantine_events`, `store_bytes`. What it leaves out, or all when it fails, is not exposed.
        """  # noqa: D205
        self._read_gauges = read

    def _collect_gauges(self) -> Iterator[Metric]:
        if self._read_gauges is None:
            return
        try:
            values = self._read_gauges()
        except (OSError, AssayError):  # a store that cannot be read must not blind the rest
            return
        for name, documentation in _GAUGES.items():
            if name in values:
                yield GaugeMetricFamily(f"assay_{name}", documentation, value=values[name])

    def exposition(self, accept: str | None) -> tuple[bytes, str]:
        """The body and the content type of `GET /metrics`: OpenMetrics when `accept`, the header, asks for it."""
        encode, content_type = choose_encoder(accept or "")
        with self._exposing:
            self._collector.scraper = "version=" in (accept or "")
            try:
                return encode(self.registry), content_type
            finally:
                self._collector.scraper = False


def _events(columns: Mapping[str, Sequence[object]]) -> list[dict[str, object]]:
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _violation_table(contract: Contract, violations: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """All (label, type) that are counted: those given, and where each surprise goes."""
    given = list(violations)
    labels = dict.fromkeys([*(label for label, _ in contract.root.walk()), *(label for label, _ in given)])
    kinds = dict.fromkeys([*(kind for _, kind in given), "extra_forbidden"])
    table = [*given, *((label, OTHER) for label in labels), *((UNEXPECTED, kind) for kind in (*kinds, OTHER))]
    return list(dict.fromkeys(table))


def _model_violations(contract: Contract) -> list[tuple[str, str]]:
    """All (label, type) that the models can give; the event itself has the label ""."""
    fields = [("", contract.root), *contract.root.walk()]
    return [(label, kind) for label, field in fields for kind in violation_types(field)]
