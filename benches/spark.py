"""`assay profile --engine spark` beside DuckDB's, of the same Parquet files: whether contracts agree to the byte, and what each takes.

python -m benches.spark [--rows 20000000] [--files 20] [--rounds 1]

Rows are drawn as River's Agrawal generator defines them, by NumPy, as River would take an hour. What is timed is the whole command, Spark's start
in it. Spark runs on this machine, where it can only lose; the same command runs on a cluster.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from assay.profile.document import Profile
from assay.profile.learn import learn
from benches.report import table

__all__ = ["ENGINES", "Result", "main", "measure", "write"]

ENGINES: Final = ("duckdb", "spark")


@dataclass
class Result:
    """Seconds of each run by engine, and what each found."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    profiles: dict[str, Profile] = field(default_factory=dict)

    def differences(self) -> list[str]:
        """The lines of contract and profile that are not the same, by both."""
        texts = [
            [*learn(profile, dataset="agrawal").to_json().splitlines(), *profile.to_json().splitlines()]
            for profile in self.profiles.values()
        ]
        return [line for pair in zip(*texts, strict=True) if len(set(pair)) > 1 for line in pair]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--files", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=1)
    found = measure(**vars(parser.parse_args()))
    rows = [(engine, f"{min(seconds):.1f}", f"{max(seconds):.1f}") for engine, seconds in found.seconds.items()]
    print(table(("engine", "fastest, s", "slowest, s"), rows))
    differences = found.differences()
    print("\ncontract and profile: " + ("the same bytes" if not differences else f"{len(differences)} lines differ"))
    print("\n".join(differences))


def measure(*, rows: int, files: int, rounds: int) -> Result:
    """Both engines in turns, each a fresh process."""
    found = Result()
    command = str(Path(sys.executable).with_name("assay"))
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), rows, files)
        for _ in range(rounds):
            for engine in ENGINES:
                begun = time.perf_counter()
                done = subprocess.run(
                    [command, "profile", folder, "--engine", engine, "--json"], check=True, capture_output=True
                )
                found.seconds.setdefault(engine, []).append(time.perf_counter() - begun)
                found.profiles[engine] = Profile.parse(done.stdout)
    return found


def write(folder: Path, rows: int, files: int) -> None:
    """Agrawal's rows (Agrawal, Imielinski, Swami 1993), classified by its first function, in so many files."""
    dice = np.random.default_rng(1)
    for i in range(files):
        count = rows // files + (i < rows % files)
        salary = dice.uniform(20_000, 150_000, count)
        zipcode = dice.integers(0, 9, count)
        age = dice.integers(20, 81, count)
        columns = {
            "salary": salary,
            "commission": np.where(salary >= 75_000, 0.0, dice.uniform(10_000, 75_000, count)),
            "age": age,
            "elevel": dice.integers(0, 5, count),
            "car": dice.integers(1, 21, count),
            "zipcode": zipcode,
            "hvalue": (9 - zipcode) * 100_000 * dice.uniform(0.5, 1.5, count),
            "hyears": dice.integers(1, 31, count),
            "loan": dice.uniform(0, 500_000, count),
            "label": ((age >= 40) & (age < 60)).astype(np.int64),
        }
        pq.write_table(pa.table(columns), folder / f"{i:04d}.parquet")


if __name__ == "__main__":
    main()
