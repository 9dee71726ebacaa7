"""Single JSON events: the exercise's way, a server that does nothing, and assay; uvicorn and granian side by side.

python -m benches.singles [--seconds 4] [--rounds 3]
"""

from __future__ import annotations

import argparse
import sqlite3
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Final

from benches import servers
from benches.events import agrawal, encoded, learned
from benches.report import Threshold, chart, table
from benches.wrk import Load, script, wrk

__all__ = ["Result", "arguments", "main", "measure"]

CLIENTS: Final = (1, 64, 256)
EXERCISE: Final = "exercise"
OURS: Final = "assay-uvicorn"
NOOP: Final = "noop-uvicorn"


@dataclass
class Result:
    """All that was seen, by server and number of clients; milliseconds of bare commits; seconds that apply was behind."""

    loads: dict[tuple[str, int], list[Load]] = field(default_factory=lambda: defaultdict(list))
    commits_ms: list[float] = field(default_factory=list)
    behind_s: dict[tuple[str, int], list[float]] = field(default_factory=lambda: defaultdict(list))

    def median(self, name: str, clients: int, what: Callable[[Load], float]) -> float:
        """The median of the rounds."""
        return median(map(what, self.loads[name, clients]))

    def ratio(self, name: str, rival: str, clients: int, what: Callable[[Load], float]) -> float:
        """The median of the rounds' ratios: what was measured next to each other is divided."""
        pairs = zip(self.loads[name, clients], self.loads[rival, clients], strict=True)
        return median(what(ours) / what(theirs) for ours, theirs in pairs)

    def thresholds(self) -> list[Threshold]:
        """What is asked of assay."""
        return [
            Threshold("64 clients, requests/s: assay / the exercise's way", self._rate(OURS, EXERCISE, 64), 20),
            Threshold(
                "64 clients, p99: assay / the exercise's way",
                self.ratio(OURS, EXERCISE, 64, lambda load: load.p99_ms),
                0.1,
                at_most=True,
            ),
            Threshold("256 clients, requests/s: assay / no-op, uvicorn", self._rate(OURS, NOOP, 256), 0.4),
            Threshold(
                "256 clients, requests/s: assay / no-op, granian", self._rate("assay-granian", "noop-granian", 256), 0.4
            ),
            Threshold("1 client, median: assay / a bare commit", self._one("assay-uvicorn"), 2.5, at_most=True),
            Threshold(
                "1 client, median: assay under granian / a bare commit", self._one("assay-granian"), 2.5, at_most=True
            ),
        ]

    def _rate(self, name: str, rival: str, clients: int) -> float:
        return self.ratio(name, rival, clients, lambda load: load.per_s)

    def _one(self, name: str) -> float:
        return self.median(name, 1, lambda load: load.p50_ms) / median(self.commits_ms)

    def markdown(self) -> str:
        """The tables."""
        rows = [
            [
                name,
                str(clients),
                f"{self.median(name, clients, lambda load: load.per_s):,.0f}",
                f"{self.median(name, clients, lambda load: load.p50_ms):.2f}",
                f"{self.median(name, clients, lambda load: load.p99_ms):.2f}",
                str(sum(load.refused + load.failed for load in loads)),
                f"{max(self.behind_s[name, clients]):.1f}" if (name, clients) in self.behind_s else "",
            ]
            for (name, clients), loads in sorted(self.loads.items(), key=lambda item: (item[0][1], item[0][0]))
        ]
        head = ["server", "clients", "requests/s", "p50 ms", "p99 ms", "not 200", "applied after s"]
        bare = f"\nA bare SQLite `FULL` commit of one 200-byte record: {median(self.commits_ms):.2f} ms (median).\n\n"
        return table(head, rows) + bare + Threshold.table(self.thresholds())

    def picture(self) -> str:
        """Throughput against clients."""
        names = list(dict.fromkeys(name for name, _ in self.loads))
        series = {
            name: [(float(clients), self.median(name, clients, lambda load: load.per_s)) for clients in CLIENTS]
            for name in names
        }
        return chart("Single events", series, x="clients", y="requests/s", categories=True)


def measure(*, seconds: float, rounds: int, distinct: int = 20_000) -> Result:
    """Run all servers, one loaded at a time, in turns."""
    result = Result()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        root = Path(folder)
        events = agrawal(distinct)
        learned(events, root / "contracts")
        lua = script(root / "single.lua", list(map(encoded, events[:500])))
        rivals = [
            stack.enter_context(server)
            for server in (
                servers.exercise(root / "exercise"),
                servers.assay_uvicorn(root / "assay-uvicorn", root / "contracts"),
                servers.noop_uvicorn(root / "noop"),
                servers.assay_granian(root / "assay-granian", root / "contracts"),
                servers.noop_granian(root / "noop"),
            )
        ]
        for server in rivals:  # its first requests load what it needs
            wrk(server.port, lua, clients=8, seconds=1)
        for clients in CLIENTS:
            for _ in range(rounds):
                for server in rivals:
                    result.loads[server.name, clients].append(wrk(server.port, lua, clients=clients, seconds=seconds))
                    if server.name.startswith("assay"):  # what it has left over must not slow the next one
                        result.behind_s[server.name, clients].append(server.flush())
                    if clients == 1:
                        result.commits_ms += _commits_ms(root / "bare.sqlite", seconds / 4)
    return result


def _commits_ms(path: Path, seconds: float) -> list[float]:
    """How long commits of one 200-byte record take, one after the other."""
    con = sqlite3.connect(path, isolation_level=None)
    try:
        con.execute("PRAGMA journal_mode = WAL")
        con.execute("PRAGMA synchronous = FULL")
        con.execute("CREATE TABLE IF NOT EXISTS record (seq INTEGER PRIMARY KEY, payload BLOB NOT NULL)")
        payload = bytes(200)
        took = []
        end = time.perf_counter() + seconds
        while (began := time.perf_counter()) < end:
            con.execute("INSERT INTO record (payload) VALUES (?)", [payload])
            took.append((time.perf_counter() - began) * 1e3)
        return took
    finally:
        con.close()


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=4, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    arguments(parser)
    given = parser.parse_args()
    print(measure(seconds=given.seconds, rounds=given.rounds).markdown())


if __name__ == "__main__":
    main()
