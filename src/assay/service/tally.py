"""What is to be counted of a large request, added up where it is judged: it counts when the log has it, and not before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from assay.ingest.outcome import Outcome
from assay.ingest.validate import Judge
from assay.monitor.bins import Columns
from assay.monitor.metrics import LEARNING, Metrics

__all__ = ["Tally"]


class Tally:
    """Of one request. Its size is that of the contract, whatever the request's is."""

    def __init__(self, judge: Judge | None, columns: Columns | None) -> None:
        """`columns` are those of the judge's contract."""
        self._judge = judge
        self._columns = columns
        self._bins: dict[str, list[int]] = {}
        self._violations: Counter[tuple[str, str]] = Counter()
        self._flags: Counter[tuple[str, str]] = Counter()
        self._unexpected = 0

    def add(self, part: Outcome) -> None:
        """One piece more. Its events are counted and gone then."""
        judge, columns = self._judge, self._columns
        if judge is None or columns is None:
            return
        for rejected in part.rejected:
            self._violations.update((judge.label(reason), reason.type) for reason in rejected.violations)
        self._flags.update((judge.label(reason), reason.type) for reason in part.flags)
        self._unexpected += part.unexpected + sum(map(judge.unexpected, part.values))
        if part.values:
            self._add_bins(columns.count(part.values))
        for each in part.columns:
            self._add_bins(columns.count_columns(each))
        for arrays in part.arrays:
            self._add_bins(columns.count_arrays(arrays))
        part.values, part.columns, part.arrays = [], [], []

    def _add_bins(self, counted: Iterable[tuple[str, list[int]]]) -> None:
        for label, counts in counted:
            so_far = self._bins.get(label)
            self._bins[label] = counts if so_far is None else [a + b for a, b in zip(so_far, counts, strict=True)]

    def count(self, metrics: Metrics, total: Outcome, now: float) -> None:
        """The request counts: `total` is what all its pieces came to."""
        judge = self._judge
        metrics.batch_events.observe(total.accepted + total.refused)
        violations = self._violations if total.atomic and not total.ok else self._violations + self._flags
        metrics.count(
            dataset=LEARNING if judge is None else total.dataset,
            source=total.source,
            accepted=total.accepted - total.flagged,
            flagged=total.flagged,
            rejected=total.refused,
            violations=violations,
            unexpected=self._unexpected,
            now=now,
        )
        if judge is not None:
            metrics.count_binned(judge.contract, self._bins)
