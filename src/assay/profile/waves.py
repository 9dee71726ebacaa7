"""The waves of a day and of a week that a stream's volume follows, fitted to the hours that `seasons` has counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from assay.profile.document import Hours
from assay.profile.seasons import DAYS, WEEKDAYS_DAYS

__all__ = ["Wave", "waves"]

#: A period in hours, and the amplitudes of its cosine and sine in the logarithm of the volume; Unix time is 0 at their start.
Wave: TypeAlias = tuple[float, float, float]

#: Below so many events in an hour chance is all there is to see.
_FEW: Final = 50
#: Parts of a day and of a week that have a wave of their own.
_OF_A_DAY: Final = 5
_OF_A_WEEK: Final = 6
#: The waves must make the worst errors smaller by so much, or they are left out.
_BETTER: Final = 0.8


def waves(hours: Hours | None) -> list[Wave]:
    """The waves that the volume follows; none where there is too little to tell, or where they would not help."""
    if hours is None or len(hours.counts) < DAYS * 24 or float(np.median(hours.counts)) < _FEW:
        return []
    counts = np.array(hours.counts, dtype=np.float64)
    at = np.arange(hours.first, hours.first + len(counts), dtype=np.float64) + 0.5
    weekly = len(counts) >= WEEKDAYS_DAYS * 24
    # Each hour of the week as it is in the middle of all weeks: an outage is none of its habits.
    cycle = 168 if weekly else 24
    place = (hours.first + np.arange(len(counts))) % cycle
    usual = np.array([float(np.median(counts[place == each])) for each in range(cycle)], dtype=np.float64)
    periods = [24.0 / part for part in range(1, _OF_A_DAY + 1)]
    if weekly:
        periods += [168.0 / part for part in range(1, _OF_A_WEEK + 1)]
    known = np.log(np.maximum(usual, 1.0))
    solution = np.linalg.lstsq(_waves_at(np.arange(cycle, dtype=np.float64) + 0.5, periods), known, rcond=None)[0]
    found = [(period, _tidy(solution[1 + 2 * i]), _tidy(solution[2 + 2 * i])) for i, period in enumerate(periods)]
    return found if _helps(found, at, counts) else []


def _waves_at(hours: npt.NDArray[np.float64], periods: Sequence[float]) -> npt.NDArray[np.float64]:
    """A column of ones, then a cosine and a sine for each period."""
    angles = [2 * np.pi * hours / period for period in periods]
    return np.stack(
        [np.ones(len(hours)), *(wave for angle in angles for wave in (np.cos(angle), np.sin(angle)))], axis=1
    )


def _helps(found: Sequence[Wave], at: npt.NDArray[np.float64], counts: npt.NDArray[np.float64]) -> bool:
    """Whether the waves tell an hour from the one before better than that hour alone does."""
    curve = sum(a * np.cos(2 * np.pi * at / period) + b * np.sin(2 * np.pi * at / period) for period, a, b in found)
    busy = (counts[1:] >= _FEW) & (counts[:-1] >= _FEW)
    step = np.diff(np.log(np.maximum(counts, 1.0)))[busy]
    if len(step) < DAYS * 12:
        return False
    left = step - np.diff(np.asarray(curve))[busy]
    worst, worst_left = (float(np.quantile(np.abs(each), 0.95)) for each in (step, left))
    return worst_left < _BETTER * worst


def _tidy(value: float) -> float:
    return float(f"{value:.4g}")
