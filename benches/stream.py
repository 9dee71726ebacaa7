"""Single JSON events with the log in a file, and in a stream that one or three nats-servers on this machine have, side by side.

python -m benches.stream [--seconds 4] [--rounds 3]

The servers share the processors with what is measured, and each writes what the file would: machines of their own would do better.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Final

from tests.streams import Servers

from benches import servers
from benches.events import agrawal, encoded, learned
from benches.report import table
from benches.singles import arguments
from benches.wrk import Load, script, wrk

__all__ = ["Result", "main", "measure"]

CLIENTS: Final = (1, 64)
COPIES: Final = (1, 3)
FILE: Final = "a file"


@dataclass
class Result:
    """All that was seen, by kind of log and number of clients."""

    loads: dict[tuple[str, int], list[Load]] = field(default_factory=lambda: defaultdict(list))

    def markdown(self) -> str:
        """The table."""
        rows = []
        for (log, clients), loads in sorted(self.loads.items(), key=lambda item: (item[0][1], item[0][0])):
            pairs = zip(loads, self.loads[FILE, clients], strict=True)
            rows.append(
                [
                    str(clients),
                    log,
                    f"{median(load.per_s for load in loads):,.0f}",
                    f"{median(load.per_s / file.per_s for load, file in pairs):.2f}",
                    f"{median(load.p50_ms for load in loads):.2f}",
                    f"{median(load.p99_ms for load in loads):.2f}",
                    str(sum(load.refused + load.failed for load in loads)),
                ]
            )
        return table(["clients", "log", "requests/s", "of the file's", "p50 ms", "p99 ms", "not 200"], rows)


def measure(*, seconds: float, rounds: int, distinct: int = 20_000) -> Result:
    """Run all, one loaded at a time, in turns."""
    result = Result()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        root = Path(folder)
        events = agrawal(distinct)
        learned(events, root / "contracts")
        lua = script(root / "single.lua", list(map(encoded, events[:500])))
        logs: dict[str, dict[str, str]] = {FILE: {}} | {
            f"a stream, {copies} of it": {
                "log": stack.enter_context(Servers(root / f"nats-{copies}", copies)).url("bench")
            }
            for copies in COPIES
        }
        running = {
            name: stack.enter_context(servers.assay_uvicorn(root / name.replace(" ", "-"), root / "contracts", **log))
            for name, log in logs.items()
        }
        for server in running.values():  # its first requests load what it needs
            wrk(server.port, lua, clients=8, seconds=1)
            server.flush()
        for clients in CLIENTS:
            for _ in range(rounds):
                for name, server in running.items():
                    result.loads[name, clients].append(wrk(server.port, lua, clients=clients, seconds=seconds))
                    server.flush()  # what it has left over must not slow the next one
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments(parser)
    given = parser.parse_args()
    print(measure(seconds=given.seconds, rounds=given.rounds).markdown())


if __name__ == "__main__":
    main()
