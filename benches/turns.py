"""Commands timed against each other: each a fresh process from start to exit, in turns, so that all see the same machine."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from benches.report import table

__all__ = ["Taken", "in_turns", "taken_table"]


@dataclass
class Taken:
    """What the runs of one command took: seconds on the clock, and seconds of processor time."""

    wall_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)

    @property
    def median_s(self) -> float:
        """On the clock."""
        return statistics.median(self.wall_s)

    @property
    def median_cpu_s(self) -> float:
        """Of the processors, all threads together: what a shared machine shows best."""
        return statistics.median(self.cpu_s)


def in_turns(ways: Mapping[str, Sequence[str]], rounds: int) -> dict[str, Taken]:
    """Run every command once to warm the page cache, and then `rounds` times, A B A B.

    Python keeps what it has compiled, as it does for whoever installs a package.

    Raises:
        subprocess.CalledProcessError: a command failed.
    """
    taken = {way: Taken() for way in ways}
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    for command in ways.values():
        subprocess.run(command, check=True, capture_output=True, env=env)
    for _ in range(rounds):
        for way, command in ways.items():
            before, begun = _cpu_s(), time.perf_counter()
            subprocess.run(command, check=True, capture_output=True, env=env)
            taken[way].wall_s.append(time.perf_counter() - begun)
            taken[way].cpu_s.append(_cpu_s() - before)
    return taken


def taken_table(taken: Mapping[str, Taken], against: str) -> str:
    """As Markdown: each beside the one that the others are held against."""
    head = ("", "median, s", "fastest, s", "processor, s", f"times {against}")
    first = taken[against].median_s
    return table(
        head,
        [
            (
                way,
                f"{each.median_s:.2f}",
                f"{min(each.wall_s):.2f}",
                f"{each.median_cpu_s:.2f}",
                f"{each.median_s / first:.1f}",
            )
            for way, each in taken.items()
        ],
    )


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
