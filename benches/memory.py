"""Resident memory of all of the service's processes while events go through, sampled each second.

python -m benches.memory [--ndjson 2000000] [--singles 200000] [--csv memory.csv] [--svg memory.svg]
python -m benches.memory --ndjson 50000000 --singles 5000000     # some minutes
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

import numpy as np

from benches import servers
from benches.bulk import send
from benches.events import LINES, agrawal, bodies, encoded, learned
from benches.report import Threshold, chart, table
from benches.wrk import script, wrk

__all__ = ["Result", "arguments", "main", "measure"]

_MIB: Final = 1 << 20
#: What is sent in one go: wrk is told seconds, not how many.
_WRK_S: Final = 5
_BODIES: Final = 100


@dataclass
class Result:
    """Samples of one phase: seconds since the start, events sent until then, MiB."""

    phases: dict[str, list[tuple[float, int, float]]] = field(default_factory=dict)

    @property
    def most_mib(self) -> float:
        """The largest sample."""
        return max(mib for samples in self.phases.values() for _, _, mib in samples)

    def slope(self, phase: str) -> float:
        """MiB a million events, by least squares over the second half: the first one warms up."""
        samples = self.phases[phase]
        late = samples[len(samples) // 2 :]
        if len(late) < 2 or late[0][1] == late[-1][1]:
            return 0.0
        return float(np.polyfit([events / 1e6 for _, events, _ in late], [mib for _, _, mib in late], 1)[0])

    def thresholds(self) -> list[Threshold]:
        """What is asked of assay."""
        return [Threshold("most resident memory, MiB", self.most_mib, 1024, at_most=True)]

    def markdown(self) -> str:
        """The tables."""
        rows = [
            [
                phase,
                f"{samples[-1][1]:,}",
                f"{samples[-1][0] - samples[0][0]:.0f}",
                f"{samples[0][2]:.0f}",
                f"{max(mib for _, _, mib in samples):.0f}",
                f"{samples[-1][2]:.0f}",
                f"{self.slope(phase):+.2f}",
            ]
            for phase, samples in self.phases.items()
        ]
        head = ["events", "sent", "seconds", "MiB at the start", "most", "at the end", "MiB a million events, 2nd half"]
        return table(head, rows) + "\n" + Threshold.table(self.thresholds())

    def csv(self) -> str:
        """All samples."""
        lines = [
            f"{phase},{at:.1f},{events},{mib:.1f}\n"
            for phase, samples in self.phases.items()
            for at, events, mib in samples
        ]
        return "".join(["phase,seconds,events,mib\n", *lines])

    def picture(self) -> str:
        """Memory over time."""
        series = {phase: [(at, mib) for at, _, mib in samples] for phase, samples in self.phases.items()}
        return chart("Resident memory, all processes", series, x="seconds", y="MiB")


class _Sampler:
    """Looks each second, in a thread of its own."""

    def __init__(self, server: servers.Server, samples: list[tuple[float, int, float]], since: float) -> None:
        self.events = 0
        self._server, self._samples, self._since = server, samples, since
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._look()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._look()

    def _look(self) -> None:
        self._samples.append((time.monotonic() - self._since, self.events, self._server.resident_bytes() / _MIB))

    def _run(self) -> None:
        while not self._ended.wait(1):
            self._look()


def measure(*, ndjson: int, singles: int, distinct: int = 100_000, wrk_s: float = _WRK_S) -> Result:
    """Send NDJSON, then single events, to a fresh service."""
    result = Result()
    since = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        sample = agrawal(distinct)
        learned(sample, root / "contracts")
        pool = bodies(sample)
        lua = script(root / "single.lua", list(map(encoded, sample[:500])))
        with servers.assay_uvicorn(root / "assay", root / "contracts") as server:
            with _Sampler(server, result.phases.setdefault("NDJSON", []), since) as sampler:
                left = itertools.islice(itertools.cycle(pool), max(1, ndjson // LINES))
                while some := list(itertools.islice(left, _BODIES)):
                    send(server, some)
                    sampler.events += sum(body.count(b"\n") for body in some)
                server.flush()
            with _Sampler(server, result.phases.setdefault("single", []), since) as sampler:
                while sampler.events < singles:
                    sampler.events += wrk(server.port, lua, clients=64, seconds=wrk_s).requests
                server.flush()
    return result


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--ndjson", type=int, default=2_000_000, help="events in NDJSON bodies")
    parser.add_argument("--singles", type=int, default=200_000, help="single events")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments(parser)
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--svg", type=Path)
    given = parser.parse_args()
    result = measure(ndjson=given.ndjson, singles=given.singles)
    print(result.markdown())
    if given.csv:
        given.csv.write_text(result.csv())
    if given.svg:
        given.svg.write_text(result.picture())


if __name__ == "__main__":
    main()
