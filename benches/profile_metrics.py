"""What counting costs: its share of the service's time under load, by py-spy where that is installed; and timed apart.

python -m benches.profile_metrics [--seconds 5]
"""

from __future__ import annotations

import argparse
import itertools
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pyarrow as pa

from assay.contract.document import Contract
from assay.contract.versions import Active
from assay.ingest.validate import Judge
from assay.monitor.metrics import Metrics
from benches import servers
from benches.bulk import send
from benches.events import DATASET, agrawal, bodies, encoded, learned
from benches.report import table
from benches.wrk import script, wrk

__all__ = ["Result", "arguments", "main", "measure"]

#: Functions that are nothing but counting, as py-spy names them with their file.
_COUNTING: Final = (
    "_count_singles (assay/service/collector.py",
    "_count (assay/service/collector.py",
    "observe (",
)
_GROUPS: Final = (1, 16, 64, 256)


@dataclass
class Result:
    """Shares of the samples by load and function; CPU microseconds an event of counting alone, by how many at once."""

    shares: dict[str, dict[str, float]] = field(default_factory=dict)
    apart_us: dict[str, float] = field(default_factory=dict)

    def markdown(self) -> str:
        """The tables."""
        rows = [[load, name, f"{share:.1%}"] for load, shares in self.shares.items() for name, share in shares.items()]
        spied = table(["load", "in", "share of the service's samples"], rows) if rows else "py-spy is not installed.\n"
        apart = [[name, f"{spent:.2f}"] for name, spent in self.apart_us.items()]
        return spied + "\n" + table(["counted at once", "CPU µs an event"], apart)


def measure(*, seconds: float, distinct: int = 20_000) -> Result:
    """Both, for single events and for NDJSON."""
    result = Result()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        sample = agrawal(distinct)
        contract = learned(sample, root / "contracts")
        pool = bodies(sample)
        lua = script(root / "single.lua", list(map(encoded, sample[:500])))
        _apart(result, contract, list(map(encoded, sample)))
        spy = shutil.which("py-spy") or shutil.which(Path(sys.executable).with_name("py-spy"))
        if spy is None:
            return result
        with servers.assay_uvicorn(root / "assay", root / "contracts") as server:

            def singles() -> None:
                wrk(server.port, lua, clients=64, seconds=seconds + 2)

            def lines() -> None:
                end = time.monotonic() + seconds + 2
                while time.monotonic() < end:
                    send(server, list(itertools.islice(itertools.cycle(pool), 20)))

            loads: dict[str, Callable[[], None]] = {"single events, 64 clients": singles, "NDJSON": lines}
            for name, load in loads.items():
                loading = threading.Thread(target=load)
                loading.start()
                time.sleep(1)
                result.shares[name] = _shares(_spied(spy, server.pid, seconds, root / "spied.txt"))
                loading.join()
                server.flush()
    return result


def _spied(spy: str, pid: int, seconds: float, out: Path) -> Counter[str]:
    """Stacks, outermost call first, and how often each was seen on a CPU."""
    command = [spy, "record", "--pid", str(pid), "--duration", str(max(1, round(seconds))), "--rate", "200"]
    subprocess.run(
        [*command, "--nonblocking", "--format", "raw", "--output", str(out)],
        check=True,
        capture_output=True,
        timeout=seconds + 60,
    )
    stacks: Counter[str] = Counter()
    for line in out.read_text().splitlines():
        stack, _, seen = line.rpartition(" ")
        stacks[stack] += int(seen)
    return stacks


def _shares(stacks: Counter[str]) -> dict[str, float]:
    """Counting's share, and that of the rest by what is asked of it."""
    groups = {
        "counting": _COUNTING,
        "the log's transaction": ("append (assay/ingest/log.py",),
        "the loop: HTTP, guard, decoding, answers": ("serve (uvicorn/server.py", "run (asyncio/runners.py"),
        "judging of large bodies": ("take (assay/ingest/intake.py",),
    }
    total = sum(stacks.values())
    found: Counter[str] = Counter()
    for stack, seen in stacks.items():
        found[next((name for name, marks in groups.items() if any(mark in stack for mark in marks)), "the rest")] += (
            seen
        )
    return {name: found[name] / total for name in (*groups, "the rest") if found[name]}


def _apart(result: Result, contract: Contract, raws: list[bytes]) -> None:
    """Time counting alone, as the thread that commits does it."""
    assert contract.version is not None
    judge = Judge(contract, Active(contract.version))
    assert judge.fast is not None
    structs = judge.fast.sift(raws).structs
    assert len(structs) == len(raws)
    metrics = Metrics()
    metrics.watch(contract, "enforce", judge.kinds())
    for size in _GROUPS:
        groups = [structs[start : start + size] for start in range(0, min(len(structs), 5000), size)]
        began = time.process_time()
        for group in groups:
            for _ in group:
                metrics.batch_events.observe(1)
            metrics.count(dataset=DATASET, source="unknown", accepted=len(group), now=time.time())
            columns = judge.fast.columns_of(group)
            assert columns is not None
            metrics.count_columns(contract, columns)
        spent = time.process_time() - began
        result.apart_us[f"{size} single events"] = spent / sum(map(len, groups)) * 1e6
    chunk = structs[:1000]
    arrays: dict[str, pa.Array] | None = judge.fast.table(chunk)
    assert arrays is not None
    began = time.process_time()
    for _ in range(50):
        metrics.count_arrays(contract, arrays)
    result.apart_us[f"{len(chunk)} lines of NDJSON, as columns"] = (time.process_time() - began) / 50 / len(chunk) * 1e6


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=5, help="of each profile")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    arguments(parser)
    print(measure(seconds=parser.parse_args().seconds).markdown())


if __name__ == "__main__":
    main()
