"""Everything about the alerts, one after the other, and RESULTS.md from it; or RESULTS.md alone, from results that are there.

python -m benches.alerts [--results results.jsonl] [--report-only]

All of it takes some three hours on two cores, most of them waiting. Each part can be run apart, also several times: what is in the file of
results counts together.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Final

from benches.alerts.results import markdown, pictures, read
from benches.machine import machine

__all__ = ["main"]

_FOLDER: Final = Path(__file__).parent
#: Events a second, and chunks of 40 days for each.
_RATES: Final = (1, 10, 100, 1000)
_CHUNKS: Final = 6
_DAYS: Final = 40


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=_FOLDER / "results.jsonl", help="a JSON line for each result")
    parser.add_argument("--report-only", action="store_true", help="measure nothing")
    options = parser.parse_args()
    if not options.report_only:
        _run("live", "clean", "--out", options.results)
        _run("live", "delays", "--out", options.results)
        for seed in range(1, _CHUNKS + 1):
            for rate in _RATES:
                _run("simulate", "--rate", rate, "--days", _DAYS, "--seed", seed, "--out", options.results)
        _run("agree", "--out", options.results)
    results = read(options.results)
    for name, picture in pictures(results).items():
        (_FOLDER / name).write_text(picture, encoding="utf-8")
    ran_on = machine(("assay", "numpy", "scipy", "pyarrow", "duckdb"), [("Prometheus", _prometheus())])
    (_FOLDER / "RESULTS.md").write_text(markdown(results, ran_on), encoding="utf-8")


def _run(module: str, *arguments: object) -> None:
    command = [sys.executable, "-m", f"benches.alerts.{module}", *map(str, arguments)]
    print(" ".join(command[2:]), flush=True)
    subprocess.run(command, check=True)


def _prometheus() -> str:
    from tests.e2e.harness import find_prometheus

    program = find_prometheus()
    if program is None:
        return "not installed"
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    words = (said.stdout or said.stderr).split()
    return words[2] if len(words) > 2 else "?"


if __name__ == "__main__":
    main()
