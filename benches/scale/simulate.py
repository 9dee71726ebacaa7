"""Many collectors and one catalogue, simulated: what a commit costs is measured, what many of them do to each other follows.

A commit of DuckLake's is optimistic. A round begins at the newest snapshot; it writes its files; it commits as the next snapshot. Where
another has committed since it began, the catalogue refuses it (the number is taken). It waits, looks at the newest snapshot, and tries
again: at most `retries` times, with waits that grow. Then it fails, and the collector begins the round again.

Time is virtual; a heap of what happens next is all that it takes. The catalogue's processors are shared by whoever wants them at that
moment (processor sharing), and so are those of a machine that everything runs on, which is how the measurements were made.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any, Final, TypeAlias

__all__ = ["DUCKLAKES", "Commits", "Costs", "Ran", "Retries", "as_measured", "elsewhere", "simulate"]


@dataclass(frozen=True, slots=True)
class Costs:
    """What one round takes, in seconds, of the catalogue's processors and of its collector's, and how often both speak.

    `prepare`: from the snapshot that it begins at until its files are there. `attempt`: from there, or from the newest snapshot when it
    tries again, until the catalogue has taken it or refused it. `trip`: of a statement to the catalogue and back.
    """

    prepare_catalogue: float
    prepare_collector: float
    prepare_statements: int
    attempt_catalogue: float
    attempt_collector: float
    attempt_statements: int
    trip: float = 0.0005
    #: Of writing files where that is not the collector's processor: S3.
    files: float = 0.0


@dataclass(frozen=True, slots=True)
class Retries:
    """How a refused commit is tried again: DuckLake's settings, with its defaults."""

    most: int = 10
    wait: float = 0.1
    backoff: float = 1.5


#: Its defaults.
DUCKLAKES: Final = Retries()


@dataclass(frozen=True, slots=True)
class Commits:
    """Who commits: so many collectors, each every so many seconds (0: again at once), to one of so many catalogues."""

    collectors: int
    every: float
    catalogues: int = 1


@dataclass(slots=True)
class Ran:
    """What came of it, in the seconds that counted."""

    seconds: float
    asked: int = 0
    took: list[float] = field(default_factory=list)
    refused: int = 0
    failed: int = 0
    late: int = 0
    busy: float = 0.0

    @property
    def commits_s(self) -> float:
        """Commits a second that were taken."""
        return len(self.took) / self.seconds

    @property
    def refused_each(self) -> float:
        """Refusals for each commit that was taken."""
        return self.refused / max(1, len(self.took))

    def quantile(self, share: float) -> float:
        """Of the seconds that a round took, all its tries together; infinite where there was none."""
        return sorted(self.took)[min(len(self.took) - 1, int(share * len(self.took)))] if self.took else float("inf")

    @property
    def median(self) -> float:
        """Of the seconds that a round took."""
        return median(self.took) if self.took else float("inf")


_Step: TypeAlias = Generator[tuple["Processors | None", float], None, None]


class Clock:
    """What happens next."""

    def __init__(self) -> None:
        self.now = 0.0
        self._next: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def at(self, when: float, act: Callable[[], None]) -> None:
        """Have something done at a moment."""
        heapq.heappush(self._next, (when, next(self._order), act))

    def run(self, until: float) -> None:
        """Let time pass until a moment."""
        while self._next and self._next[0][0] <= until:
            self.now, _, act = heapq.heappop(self._next)
            act()
        self.now = until

    def go(self, process: _Step) -> None:
        """Take a process to its next wait: for processors, or for time alone."""
        try:
            where, seconds = next(process)
        except StopIteration:
            return
        if where is None or seconds <= 0:
            self.at(self.now + max(0.0, seconds), lambda: self.go(process))
        else:
            where.work(seconds, lambda: self.go(process))


class Processors:
    """So many, shared alike by all who want one.

    Each job has had `self._share` seconds of a processor since the beginning of time; it is done when that has grown by what it needs.
    """

    def __init__(self, clock: Clock, count: float) -> None:
        self._clock = clock
        self._count = count
        self._jobs: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._share = self._since = 0.0
        self._turn = 0
        self.busy = 0.0

    def work(self, seconds: float, done: Callable[[], None]) -> None:
        """Have a processor for so many seconds, then do something."""
        self._advance()
        heapq.heappush(self._jobs, (self._share + seconds, next(self._order), done))
        self._plan()

    def _speed(self) -> float:
        return min(1.0, self._count / len(self._jobs)) if self._jobs else 0.0

    def _advance(self) -> None:
        passed = self._clock.now - self._since
        self._share += passed * self._speed()
        self.busy += passed * min(self._count, len(self._jobs))
        self._since = self._clock.now

    def _plan(self) -> None:
        self._turn += 1
        if self._jobs:
            turn = self._turn
            wait = max(0.0, self._jobs[0][0] - self._share) / self._speed()
            self._clock.at(self._clock.now + wait, lambda: self._end(turn))

    def _end(self, turn: int) -> None:
        if turn != self._turn:
            return  # somebody has come since
        self._advance()
        _, _, done = heapq.heappop(self._jobs)
        self._plan()
        done()


_SPREAD: Final = 0.35  # of what a step takes: the logarithm's standard deviation


def simulate(
    commits: Commits,
    costs: Costs,
    retries: Retries = DUCKLAKES,
    *,
    processors: float = 8,
    on_one_machine: bool = False,
    seconds: float = 120.0,
    warm_up: float = 30.0,
    seed: int = 1,
) -> Ran:
    """Let them commit for a while.

    `processors`: each catalogue's own; where everything is on one machine, that machine's, and the collectors' work is done there, too.
    A collector whose round is not over when the next is due begins that one late, and with more rows: none is left out.
    """
    dice = random.Random(seed)
    clock = Clock()
    ran = Ran(seconds)
    each = [Processors(clock, processors) for _ in range(1 if on_one_machine else commits.catalogues)]
    newest = [0] * commits.catalogues

    def about(middle: float) -> float:
        return middle * dice.lognormvariate(0.0, _SPREAD)

    def counts() -> bool:
        return clock.now >= warm_up

    def part(catalogue: int, of_catalogue: float, of_collector: float, statements: int) -> _Step:
        machine = each[0 if on_one_machine else catalogue]
        yield None, statements * about(costs.trip)
        yield machine if on_one_machine else None, about(of_collector)
        yield machine, about(of_catalogue)

    def collector(number: int) -> _Step:
        catalogue = number % commits.catalogues
        due = dice.random() * commits.every
        yield None, due
        while True:
            began = clock.now
            if counts():
                ran.asked += 1
                ran.late += began > due + max(commits.every, 1e-9)
            while True:  # until this round is in
                seen = newest[catalogue]
                yield from part(catalogue, costs.prepare_catalogue, costs.prepare_collector, costs.prepare_statements)
                yield None, about(costs.files)
                for attempt in range(retries.most + 1):
                    if attempt:
                        pause = retries.wait * retries.backoff ** (attempt - 1)
                        yield None, pause * dice.uniform(0.5, 1.0)
                        seen = newest[catalogue]
                    yield from part(
                        catalogue, costs.attempt_catalogue, costs.attempt_collector, costs.attempt_statements
                    )
                    if newest[catalogue] == seen:
                        break
                    ran.refused += counts()
                else:
                    ran.failed += counts()
                    continue
                break
            newest[catalogue] += 1
            if counts():
                ran.took.append(clock.now - began)
            due += commits.every
            yield None, max(0.0, due - clock.now)
            due = max(due, clock.now)

    for number in range(commits.collectors):
        clock.go(collector(number))
    clock.run(warm_up)
    before = sum(one.busy for one in each)
    clock.run(warm_up + seconds)
    ran.busy = (sum(one.busy for one in each) - before) / seconds / len(each)
    return ran


def as_measured(measured: Mapping[str, Any]) -> Costs:
    """What a round costs of processors, from a measurement of one writer alone: nobody refuses it, so each step is there once.

    Which part is whose was counted in statements: 8 until the files are there, 12 for an attempt. The collector's own work is mostly
    writing the files.
    """
    prepare, attempt = 8, 12
    share = prepare / (prepare + attempt)
    catalogue, collector = measured["catalogue_cpu_ms"] / 1e3, measured["writer_cpu_ms"] / 1e3
    return Costs(
        prepare_catalogue=share * catalogue,
        prepare_collector=0.6 * collector,
        prepare_statements=prepare,
        attempt_catalogue=(1 - share) * catalogue,
        attempt_collector=0.4 * collector,
        attempt_statements=attempt,
        trip=0.0,
    )


def elsewhere(costs: Costs, *, trip: float, files: float) -> Costs:
    """The same where the catalogue is on a machine of its own, a `trip` away, and files take that long to write."""
    return replace(costs, trip=trip, files=files)
