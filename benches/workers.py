"""Single JSON events with one, two and more processes that take them, side by side.

python -m benches.workers [--seconds 4] [--rounds 3] [--workers 1 2]
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Final

from benches import servers
from benches.events import agrawal, encoded, learned
from benches.report import table
from benches.singles import arguments
from benches.wrk import Load, script, wrk

__all__ = ["Result", "main", "measure"]

CLIENTS: Final = (1, 64, 256)


@dataclass
class Result:
    """All that was seen, and CPU seconds for each request by what processes do; by number of workers and of clients."""

    loads: dict[tuple[int, int], list[Load]] = field(default_factory=lambda: defaultdict(list))
    cpu_s: dict[tuple[int, int], list[dict[str, float]]] = field(default_factory=lambda: defaultdict(list))

    def markdown(self) -> str:
        """The table."""
        first = min(workers for workers, _ in self.loads)
        rows = []
        for (workers, clients), loads in sorted(self.loads.items(), key=lambda item: (item[0][1], item[0][0])):
            pairs = zip(loads, self.loads[first, clients], strict=True)
            rows.append(
                [
                    str(clients),
                    str(workers),
                    f"{median(load.per_s for load in loads):,.0f}",
                    f"{median(load.per_s / alone.per_s for load, alone in pairs):.2f}",
                    f"{median(load.p50_ms for load in loads):.2f}",
                    f"{median(load.p99_ms for load in loads):.2f}",
                    str(sum(load.refused + load.failed for load in loads)),
                    ", ".join(f"{role} {spent:.0f}" for role, spent in self._cpu_us(workers, clients).items()),
                ]
            )
        head = ["clients", "workers", "requests/s", "of one", "p50 ms", "p99 ms", "not 200", "CPU µs a request"]
        return table(head, rows)

    def _cpu_us(self, workers: int, clients: int) -> dict[str, float]:
        spent = self.cpu_s[workers, clients]
        return {role: 1e6 * median(each.get(role, 0.0) for each in spent) for role in spent[0]}


def measure(*, seconds: float, rounds: int, workers: Sequence[int], distinct: int = 20_000) -> Result:
    """Run all, one loaded at a time, in turns."""
    result = Result()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        root = Path(folder)
        events = agrawal(distinct)
        learned(events, root / "contracts")
        lua = script(root / "single.lua", list(map(encoded, events[:500])))
        running = {
            number: stack.enter_context(
                servers.assay_uvicorn(root / f"workers-{number}", root / "contracts", workers=number)
            )
            for number in workers
        }
        for server in running.values():  # its first requests load what it needs
            wrk(server.port, lua, clients=8, seconds=1)
            server.flush()
        for clients in CLIENTS:
            for _ in range(rounds):
                for number, server in running.items():
                    before = server.cpu_s()
                    load = wrk(server.port, lua, clients=clients, seconds=seconds)
                    server.flush()  # what it has left over must not slow the next one
                    after = server.cpu_s()
                    result.loads[number, clients].append(load)
                    result.cpu_s[number, clients].append(
                        {role: (after[role] - before.get(role, 0.0)) / load.requests for role in after}
                    )
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments(parser)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], help="how many, side by side")
    given = parser.parse_args()
    print(measure(seconds=given.seconds, rounds=given.rounds, workers=given.workers).markdown())


if __name__ == "__main__":
    main()
