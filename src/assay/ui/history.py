"""What happened in the last hour, in memory: the counters looked at every few seconds.

Counters only say how much there was since the start. Differences of looks say how much there was in a minute, without a
question to the store or to Prometheus.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from assay.contract.document import Contract
from assay.monitor.metrics import OUTCOMES, Figures

__all__ = ["EVERY_S", "Bar", "History", "Live", "Sent"]

#: Seconds between looks.
EVERY_S: Final = 5.0
#: Looks at the totals that are kept: an hour of them.
_TOTALS: Final = 721
#: Whole looks (bins, sources, types of violations) are larger: they are kept every so many seconds, for so long.
_DETAILS_EVERY_S: Final = 30.0
_DETAILS_S: Final = 300.0

#: A minute with so many events says enough about them.
_MINUTE_S: Final = 55.0
_ENOUGH: Final = 500

_Totals: TypeAlias = Mapping[str, tuple[int, int, int]]
_Values: TypeAlias = Mapping[str, Sequence[int]]


@dataclass(frozen=True, slots=True)
class Bar:
    """What came in one stretch of time: events by outcome. `ends_s` is Unix time."""

    ends_s: float
    accepted: int
    flagged: int
    rejected: int


@dataclass(frozen=True, slots=True)
class Sent:
    """What one source sent, by outcome."""

    source: str
    accepted: int
    flagged: int
    rejected: int

    @property
    def events(self) -> int:
        """All of them."""
        return self.accepted + self.flagged + self.rejected


@dataclass(frozen=True, slots=True)
class Live:
    """How many values of each field fell into each bin of a contract, over the last `seconds`."""

    contract: Contract
    seconds: float
    counts: Mapping[str, Sequence[int]]


class History:
    """The looks. For one thread; `look` is called every `EVERY_S` seconds, and whenever somebody wants the newest."""

    def __init__(self) -> None:
        self._totals: deque[tuple[float, _Totals]] = deque(maxlen=_TOTALS)
        self._details: deque[tuple[float, Figures]] = deque(maxlen=int(_DETAILS_S / _DETAILS_EVERY_S) + 1)
        #: The newest look.
        self.figures = Figures({}, {}, {}, {})

    def look(self, now_s: float, figures: Figures) -> None:
        """Take a look at the counters. One that comes soon after the last takes its place."""
        self.figures = figures
        if len(self._totals) > 1 and now_s - self._totals[-2][0] < EVERY_S * 0.9:
            self._totals.pop()
        self._totals.append((now_s, _totals(figures)))
        if not self._details or now_s - self._details[-1][0] >= _DETAILS_EVERY_S or self._has_changed(figures):
            self._details.append((now_s, figures))

    def _has_changed(self, figures: Figures) -> bool:
        """Whether a contract is another one than at the last whole look: what its bins hold by now is its zero."""
        known = self._details[-1][1].values
        return any(dataset not in known or known[dataset][0] is not each[0] for dataset, each in figures.values.items())

    def bars(self, dataset: str, *, bars: int, every_s: float) -> list[Bar]:
        """What came of a dataset in the last stretches of `every_s` seconds, at most `bars`, the oldest first."""
        looks = list(self._totals)
        if len(looks) < 2:
            return []
        found: list[Bar] = []
        place = len(looks) - 1
        end, later = looks[place][0], _of(looks[place][1], dataset)
        for i in range(bars):
            cut = end - every_s * i
            if cut <= looks[0][0]:
                break
            while place > 0 and looks[place][0] > cut - every_s:
                place -= 1
            earlier = _of(looks[place][1], dataset)
            accepted, flagged, rejected = _grown(earlier, later)
            found.append(Bar(cut, accepted, flagged, rejected))
            later = earlier
        return found[::-1]

    def rate(self, dataset: str, window_s: float = 30.0) -> float:
        """Events a second, over the last `window_s` seconds or since looking began."""
        if len(self._totals) < 2:
            return 0.0
        now_s, now = self._totals[-1]
        then_s, then = next((look for look in reversed(self._totals) if look[0] <= now_s - window_s), self._totals[0])
        return sum(_grown(_of(then, dataset), _of(now, dataset))) / max(now_s - then_s, 1e-9)

    def window(self) -> float:
        """How many seconds `sent` and `violations` speak of: five minutes, less soon after the start."""
        return self._totals[-1][0] - self._details[0][0] if self._totals and self._details else 0.0

    def sent(self, dataset: str) -> list[Sent]:
        """What each source sent in the window, the busiest first. Who sent nothing is left out."""
        if not self._details:
            return []
        before = self._details[0][1].events
        rows: dict[str, list[int]] = {}
        for key, value in self.figures.events.items():
            name, source, outcome = key
            if name == dataset and value > before.get(key, 0):
                rows.setdefault(source, [0, 0, 0])[OUTCOMES.index(outcome)] = value - before.get(key, 0)
        found = [Sent(source, *row) for source, row in rows.items()]
        return sorted(found, key=lambda each: (-each.events, each.source))

    def violations(self, dataset: str) -> dict[tuple[str, str], int]:
        """How often each (field, type) was broken in the window, the most frequent first."""
        if not self._details:
            return {}
        before = self._details[0][1].violations
        grown = {key: value - before.get(key, 0) for key, value in self.figures.violations.items() if key[0] == dataset}
        ordered = sorted(grown.items(), key=lambda item: -item[1])
        return {(label, kind): count for (_, label, kind), count in ordered if count > 0}

    def live(self, dataset: str) -> Live | None:
        """The values of the last minute, or of the window where a minute brings few, under the contract that is active now.

        None where none is. Counts go on from one contract to the next: the first look at this one is their zero.
        """
        if dataset not in self.figures.values or not self._totals:
            return None
        contract, counts = self.figures.values[dataset]
        now_s = self._totals[-1][0]
        looks = [
            (seen_s, figures.values[dataset][1])
            for seen_s, figures in self._details
            if dataset in figures.values and figures.values[dataset][0] is contract
        ]
        found = Live(contract, now_s - looks[0][0], _differences(looks[0][1], counts))
        for seen_s, before in reversed(looks):
            if now_s - seen_s >= _MINUTE_S:
                recent = Live(contract, now_s - seen_s, _differences(before, counts))
                if max((sum(own) for own in recent.counts.values()), default=0) >= _ENOUGH:
                    return recent
                break
        return found


def _differences(before: _Values, now: _Values) -> dict[str, list[int]]:
    return {label: [b - a for a, b in zip(before[label], own, strict=True)] for label, own in now.items()}


def _totals(figures: Figures) -> _Totals:
    rows: dict[str, list[int]] = {}
    for (dataset, _, outcome), value in figures.events.items():
        rows.setdefault(dataset, [0, 0, 0])[OUTCOMES.index(outcome)] += value
    return {dataset: (row[0], row[1], row[2]) for dataset, row in rows.items()}


def _of(totals: _Totals, dataset: str) -> tuple[int, int, int]:
    return totals.get(dataset, (0, 0, 0))


def _grown(earlier: tuple[int, int, int], later: tuple[int, int, int]) -> tuple[int, int, int]:
    """Differences; a dataset that began anew counts from zero."""
    if any(b < a for a, b in zip(earlier, later, strict=True)):
        return later
    return later[0] - earlier[0], later[1] - earlier[1], later[2] - earlier[2]
