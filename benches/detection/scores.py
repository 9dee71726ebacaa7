"""What happened, counted: clean looks that alarm, corruptions that are found, and after how many events."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benches.detection.column import CLEAN, LOOK, Array

__all__ = ["Score", "first_alarm"]


@dataclass
class Score:
    """All of one entrant's on one data set. A clean look alarms when any field does.

    `runs` and `found` count corrupted fields by corruption and share; `events` counts, by share, how many events came
    until the alarm.
    """

    looks: int = 0
    alarms: int = 0
    runs: Counter[tuple[str, float]] = field(default_factory=Counter)
    found: Counter[tuple[str, float]] = field(default_factory=Counter)
    events: Counter[tuple[float, int]] = field(default_factory=Counter)

    def add(self, corruption: str, share: float, events: int | None) -> None:
        """One corrupted field; `events` is None where it was not found."""
        self.runs[corruption, share] += 1
        if events is not None:
            self.found[corruption, share] += 1
            self.events[share, events] += 1

    @property
    def clean_share(self) -> float:
        """The share of clean looks that alarm."""
        return self.alarms / self.looks if self.looks else 0.0

    def recall(self, share: float, corruption: str | None = None) -> float:
        """The share of corrupted fields that are found; of one corruption, or of all."""
        keys = [key for key in self.runs if key[1] == share and corruption in {None, key[0]}]
        runs = sum(self.runs[key] for key in keys)
        return sum(self.found[key] for key in keys) / runs if runs else float("nan")

    def median_events(self, share: float) -> float:
        """Until the alarm, where there was one."""
        events = Counter({events: count for (of, events), count in self.events.items() if of == share})
        return float(np.median(list(events.elements()))) if events else float("nan")

    def __add__(self, other: Score) -> Score:
        return Score(
            self.looks + other.looks,
            self.alarms + other.alarms,
            self.runs + other.runs,
            self.found + other.found,
            self.events + other.events,
        )

    def document(self) -> dict[str, Any]:
        """As JSON."""
        kinds = [[*key, count, self.found[key]] for key, count in self.runs.items()]
        events = [[*key, count] for key, count in sorted(self.events.items())]
        return {"looks": self.looks, "alarms": self.alarms, "kinds": kinds, "events": events}

    @classmethod
    def read(cls, document: dict[str, Any]) -> Score:
        """What `document` wrote."""
        return cls(
            document["looks"],
            document["alarms"],
            Counter({(kind, share): runs for kind, share, runs, _ in document["kinds"]}),
            Counter({(kind, share): found for kind, share, _, found in document["kinds"]}),
            Counter({(share, events): count for share, events, count in document["events"]}),
        )


def first_alarm(alarms: Array) -> int | None:
    """Events from the first that may be corrupt to the end of the first look that alarms after it."""
    after = np.flatnonzero(alarms[CLEAN // LOOK :])
    return int((after[0] + 1) * LOOK) if len(after) else None
