"""One data set, all entrants: learn, look at clean streams, look at each field corrupted in each way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from benches.detection.column import CLEAN, LOOK, WINDOWS, Column, Table
from benches.detection.corruptions import NUMBERS, SHARES, TEXTS, corrupted
from benches.detection.data import Data
from benches.detection.entrants import Entrant, Watch
from benches.detection.scores import Score, first_alarm

__all__ = ["race"]

_SEED: Final = 20_260_504
#: Clean streams for each redraw, and for slow entrants in all.
_CLEAN: Final = 25
_CLEAN_SLOW: Final = 12
#: Looks before the shortest window is full do not count.
_UNTIL_FULL: Final = WINDOWS[0] // LOOK - 1


def race(
    data: Data,
    entrants: Sequence[Entrant],
    *,
    redraws: int,
    clean: int = _CLEAN,
    clean_slow: int = _CLEAN_SLOW,
    corruptions: Sequence[str] | None = None,
    progress: Callable[[str], object] = lambda _: None,
) -> dict[str, Score]:
    """Each entrant's score. Slow entrants take part in the first redraw alone; `corruptions` leaves out all others."""
    scores = {entrant.name: Score() for entrant in entrants}
    for redraw in range(redraws):
        taking_part = [entrant for entrant in entrants if redraw == 0 or not entrant.slow]
        random = np.random.default_rng([_SEED, redraw])
        profile, (stream, *others) = data.draw(random, 1 + clean)
        watches = {entrant.name: entrant.learn(profile) for entrant in taking_part}
        for entrant in taking_part:
            seen = others[:clean_slow] if entrant.slow else others
            _look_at_clean(watches[entrant.name], entrant.every, seen, scores[entrant.name])
        for number, name in enumerate(profile):
            progress(f"{data.name}: redraw {redraw + 1} of {redraws}, field {name}")
            for key, column in _corrupted(number, profile, stream, only=corruptions, seed=redraw * 1_000 + number):
                for entrant_name, watch in watches.items():
                    alarms = watch.alarms(name, column, CLEAN // LOOK)
                    scores[entrant_name].add(*key, first_alarm(alarms))
    return scores


def _look_at_clean(watch: Watch, every: int, streams: Sequence[Table], score: Score) -> None:
    for stream in streams:
        alarms = np.any([watch.alarms(name, column, 0) for name, column in stream.items()], axis=0)
        alarms = alarms[max(_UNTIL_FULL, every - 1) :: every]
        score.looks += len(alarms)
        score.alarms += int(alarms.sum())


def _corrupted(
    number: int, profile: Table, stream: Table, *, only: Sequence[str] | None, seed: int
) -> Sequence[tuple[tuple[str, float], Column]]:
    """The stream of the field of that number, once for each corruption and share that changes it."""
    names = list(stream)
    name = names[number]
    column = stream[name]
    # The next field of its kind.
    other = next(each for each in names[number + 1 :] + names[: number + 1] if stream[each].text == column.text)
    found = []
    for i, corruption in enumerate(TEXTS if column.text else NUMBERS):
        if only is not None and corruption not in only:
            continue
        for share in SHARES:
            own = (seed * 100 + i) * 10 + SHARES.index(share)
            changed = corrupted(column, corruption, share, profile=profile[name], other=stream[other], seed=own)
            if changed is not None:
                found.append(((corruption, share), changed))
    return found
