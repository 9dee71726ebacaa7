"""How far live values have moved from the profile: the figure that the rules record, for who has the counts at hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from assay.contract.evidence import Bins
from assay.monitor.recording import drift_k, drift_mean

__all__ = ["DRIFT_BASE", "Drift", "drift"]

#: The distance, in [0, 4], that is always tolerated.
DRIFT_BASE = 0.02


@dataclass(frozen=True, slots=True)
class Drift:
    """The triangular distance between live values and the profile, in [0, 4]; what chance makes of it, and its limit."""

    distance: float
    expected: float
    limit: float

    @property
    def is_over(self) -> bool:
        """Whether it is more than chance and the tolerance explain."""
        return self.distance > self.limit


def drift(bins: Bins, counts: Sequence[int], *, base: float = DRIFT_BASE) -> Drift | None:
    """The drift of values that fell into the bins, in the order of `bins.labels`; None where there are none.

    D = 2 * sum((p - q)^2 / (p + q)), with a bin that the profile never reached taken as half a row of it; as
    `monitor.recording` has it, which says where the limit comes from.
    """
    total = sum(counts)
    if not total:
        return None
    floor = 0.5 / bins.rows
    distance = 0.0
    for label, count in zip(bins.labels, counts, strict=True):
        live, expected = count / total, bins.share.get(label, 0.0)
        distance += 2 * (live - expected) ** 2 / (live + max(expected, floor))
    chance = 1 / total + 1 / bins.rows
    return Drift(distance, drift_mean(bins) * chance, base + drift_k(bins) * chance)
