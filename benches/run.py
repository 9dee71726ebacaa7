"""All benches, one after the other, into RESULTS.md and the pictures beside it.

python -m benches.run [--seconds 4] [--events 1000000] [--rounds 3] [--ndjson 2000000] [--singles 200000] [--out benches]
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Final

from benches import beside, bulk, memory, profile_metrics, singles
from benches.machine import machine

__all__ = ["main"]

_PACKAGES: Final = ("assay", "duckdb", "fastapi", "granian", "msgspec", "pyarrow", "pydantic", "uvicorn", "uvloop")
_QUIET: Final = 1.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    singles.arguments(parser)
    parser.add_argument("--events", type=int, default=1_000_000, help="of each run in bulk")
    memory.arguments(parser)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    given = parser.parse_args()
    out: Path = given.out

    parts = [_HEAD, machine(_PACKAGES, [("wrk", "2 threads, on the same cores")])]

    def add(title: str, about: str, measured: str) -> None:
        """One part more: written at once, so that an interrupted run leaves what it has."""
        parts.append(f"## {title}\n\n{about}\n\n{measured}")
        (out / "RESULTS.md").write_text("\n".join(parts))
        print(parts[-1], flush=True)

    load = _quiet()
    one = singles.measure(seconds=given.seconds, rounds=given.rounds)
    (out / "singles.svg").write_text(one.picture())
    add(
        "Single events",
        f"{given.rounds} rounds of {given.seconds:g} s, in turns; medians, and medians of the rounds' ratios. {load}",
        f"{one.markdown()}\n![requests a second against clients](singles.svg)\n",
    )
    load = _quiet()
    many = bulk.measure(events=given.events, rounds=given.rounds)
    add(
        "Bodies of 10,000 events",
        f"{given.rounds} rounds of {given.events:,} events (all bad: a quarter), in turns. {load}",
        many.markdown(),
    )
    load = _quiet()
    small = beside.measure(seconds=given.seconds, rounds=given.rounds)
    add(
        "Small requests beside large ones",
        f"{given.rounds} rounds of {given.seconds:g} s, in turns; medians, and medians of the rounds' ratios. {load}",
        small.markdown(),
    )
    load = _quiet()
    counting = profile_metrics.measure(seconds=given.seconds)
    add("What counting costs", load, counting.markdown())
    load = _quiet()
    held = memory.measure(ndjson=given.ndjson, singles=given.singles)
    (out / "memory.svg").write_text(held.picture())
    (out / "memory.csv").write_text(held.csv())
    add(
        "Memory",
        f"Each second, all processes; what they share is counted for each. {load}",
        f"{held.markdown()}\n![resident memory over time](memory.svg)\n",
    )


_HEAD: Final = """# Results

Written by `python -m benches.run`. The figures are one machine's on one day, and others may have used it beside us: what
counts are the ratios, of things measured next to each other.
"""


def _quiet(patience_s: float = 20) -> str:
    """Wait a while for others to be done; the load that was there."""
    end = time.monotonic() + patience_s
    while os.getloadavg()[0] > _QUIET and time.monotonic() < end:
        time.sleep(2)
    load = os.getloadavg()[0]
    if load > _QUIET:
        print(f"benches: others use this machine (load {load:.1f})", file=sys.stderr)
    return f"Load of the machine before: {load:.1f}."


if __name__ == "__main__":
    main()
