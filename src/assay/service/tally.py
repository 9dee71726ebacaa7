"""What is to be counted of a large request, added up where it is judged: it counts when the log has it, and not before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from dataclasses import field as attribute
from typing import Final

from assay.ingest.outcome import Outcome
from assay.ingest.validate import Judge
from assay.monitor.bins import Columns
from assay.monitor.metrics import LEARNING, Metrics

__all__ = ["Sums", "Tally"]

#: As many rejected events are remembered as can be named in an answer: each has one violation at least.
_MOST_REMEMBERED: Final = 100


@dataclass(slots=True)
class Sums:
    """Values by field and bin; violations that refused and that flagged, by (field label, type); unknown fields."""

    bins: dict[str, list[int]] = attribute(default_factory=dict)
    violations: Counter[tuple[str, str]] = attribute(default_factory=Counter)
    flags: Counter[tuple[str, str]] = attribute(default_factory=Counter)
    unexpected: int = 0

    def add(self, other: Sums) -> None:
        """What another part came to."""
        self.violations += other.violations
        self.flags += other.flags
        self.unexpected += other.unexpected
        self.add_bins(other.bins.items())

    def add_bins(self, counted: Iterable[tuple[str, list[int]]]) -> None:
        """Fields with how many values fell into each bin."""
        for label, counts in counted:
            so_far = self.bins.get(label)
            self.bins[label] = counts if so_far is None else [a + b for a, b in zip(so_far, counts, strict=True)]


class Tally:
    """Of one request. Its size is that of the contract, whatever the request's is."""

    def __init__(self, judge: Judge | None, columns: Columns | None, sums: Sums | None = None) -> None:
        """`columns` are those of the judge's contract; `sums` is what was added up elsewhere."""
        self._judge = judge
        self._columns = columns
        self.sums = Sums() if sums is None else sums

    def add(self, part: Outcome) -> None:
        """One piece more. Its events are counted and gone then, and of those that were refused only the first are left."""
        judge, columns, sums = self._judge, self._columns, self.sums
        if judge is not None and columns is not None:
            sums.violations += judge.counted(reason for each in part.rejected for reason in each.violations)
            sums.flags += judge.counted(part.flags)
            sums.unexpected += part.unexpected + sum(map(judge.unexpected, part.values))
            if part.values:
                sums.add_bins(columns.count(part.values))
            for each in part.columns:
                sums.add_bins(columns.count_columns(each))
            for arrays in part.arrays:
                sums.add_bins(columns.count_arrays(arrays))
        part.values, part.columns, part.arrays, part.flags = [], [], [], []
        part.more_rejected += len(part.rejected[_MOST_REMEMBERED:])
        del part.rejected[_MOST_REMEMBERED:]

    def count(self, metrics: Metrics, total: Outcome, now: float) -> None:
        """The request counts: `total` is what all its pieces came to."""
        judge = self._judge
        metrics.batch_events.observe(total.accepted + total.refused)
        sums = self.sums
        violations = sums.violations if total.atomic and not total.ok else sums.violations + sums.flags
        metrics.count(
            dataset=LEARNING if judge is None else total.dataset,
            source=total.source,
            accepted=total.accepted - total.flagged,
            flagged=total.flagged,
            rejected=total.refused,
            violations=violations,
            unexpected=sums.unexpected,
            now=now,
        )
        if judge is not None:
            metrics.count_binned(judge.contract, sums.bins)
