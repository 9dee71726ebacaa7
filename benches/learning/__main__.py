"""Seconds and memory to learn from long and wide tables, into RESULTS.md: they may grow no faster than the data.

python -m benches.learning [--rows 20000000] [--columns 200] [--out benches/learning]

Each table is made in a DuckDB file and learned from in a process of its own, whose largest resident memory is taken.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb

from benches.machine import machine
from benches.report import Threshold, table

__all__ = ["Learned", "main", "make", "measure", "thresholds"]

_PACKAGES: Final = ("assay", "duckdb", "numpy")
_MIB: Final = 1 << 20
#: Agrawal's nine fields, from the row's number alone: on any number of threads the same. `u(i, k)` is uniform in [0, 1).
_AGRAWAL: Final = {
    "salary": "20000 + 130000 * u(i, 1)",
    "commission": "CASE WHEN u(i, 1) >= 0.423 THEN 0 ELSE 10000 + 75000 * u(i, 2) END",
    "age": "20 + floor(61 * u(i, 3))::BIGINT",
    "elevel": "floor(5 * u(i, 4))::BIGINT",
    "car": "1 + floor(20 * u(i, 5))::BIGINT",
    "zipcode": "floor(9 * u(i, 6))::BIGINT",
    "hvalue": "(8 - floor(9 * u(i, 6))) * 100000 * (0.5 + u(i, 7))",
    "hyears": "1 + floor(30 * u(i, 8))::BIGINT",
    "loan": "500000 * u(i, 9)",
}
#: What the columns of a wide table are, in turn. They cost unlike much: only widths that have as many of each can be compared.
_KINDS: Final = (
    "-ln(1 - u(i, {k}))",
    "floor(1000 * u(i, {k}))::BIGINT",
    "round(100 * u(i, {k}), 2)",
    "['red', 'green', 'blue'][1 + floor(3 * u(i, {k}))::BIGINT]",
    "'N' || floor(40000 * u(i, {k}))::BIGINT",
    "CASE WHEN u(i, {k}) < 0.9 THEN floor(50 * u(i, {k}))::BIGINT END",
    "u(i, {k}) < 0.3",
    "hash(i * 1009 + {k})::VARCHAR",
    "TIMESTAMP '2024-01-01' + to_seconds(floor(31622400 * u(i, {k}))::BIGINT)",
    "DATE '2024-01-01' + floor(366 * u(i, {k}))::INTEGER",
)
#: The widths of the wide tables, as parts of the widest.
_WIDTHS: Final = (4, 2, 1)


@dataclass(frozen=True)
class Learned:
    """What one table took. `most_mib` is resident memory, the interpreter's included; `base_mib` is what that has alone."""

    rows: int
    columns: int
    file_mib: float
    profile_s: float
    learn_s: float
    base_mib: float
    most_mib: float

    @property
    def cells(self) -> int:
        """Rows times columns."""
        return self.rows * self.columns

    @property
    def seconds(self) -> float:
        """Until there is a contract."""
        return self.profile_s + self.learn_s


def make(path: Path, rows: int, columns: int | None = None) -> None:
    """A table `t` in a DuckDB file: Agrawal's nine fields, or that many of all kinds."""
    wide = {f"c{k}": _KINDS[k % len(_KINDS)].format(k=k) for k in range(columns or 0)}
    selected = ", ".join(f"{expr} AS {name}" for name, expr in (wide if columns else _AGRAWAL).items())
    with duckdb.connect(str(path)) as con:
        con.execute("CREATE TEMP MACRO u(i, k) AS hash(i * 1009 + k) / 18446744073709551616.0::DOUBLE")
        con.execute(f"CREATE TABLE t AS SELECT {selected} FROM range({rows}) r(i)")


def measure(rows: int, columns: int | None = None) -> Learned:
    """Make a table, and learn from it in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.duckdb"
        make(path, rows, columns)
        said = subprocess.run(
            [sys.executable, "-m", "benches.learning", "--learn", str(path)], capture_output=True, text=True, check=True
        ).stdout
        found = json.loads(said)
        file_mib = path.stat().st_size / _MIB
    return Learned(rows=rows, columns=columns or len(_AGRAWAL), file_mib=file_mib, **found)


def _learn(path: Path) -> dict[str, float]:
    """In the child: what `assay learn` does with a dataset's table."""
    from assay.profile.learn import learn
    from assay.profile.summarize import summarize
    from assay.store.embedded import open_duckdb

    base = _resident_mib()
    with open_duckdb(str(path), read_only=True) as con:
        start = time.perf_counter()
        profile = summarize(con, "t", dataset="t")
        profiled = time.perf_counter()
    learn(profile)
    return {
        "profile_s": profiled - start,
        "learn_s": time.perf_counter() - profiled,
        "base_mib": base,
        "most_mib": _resident_mib(),
    }


def _resident_mib() -> float:
    """The most so far, of this program alone: Linux' getrusage would tell the parent's, where that had more."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(next(line for line in status.read_text().splitlines() if line.startswith("VmHWM")).split()[1]) / 1024
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (_MIB if sys.platform == "darwin" else 1024)


def thresholds(longer: Sequence[Learned], wider: Sequence[Learned]) -> list[Threshold]:
    """Seconds and memory of the largest table over those of the next smaller one, against how much more data that is."""
    found = []
    for name, (*_, before, after) in (("rows", longer), ("columns", wider)):
        more = after.cells / before.cells
        # A tenth for what a shared machine does to two timings.
        found.append(Threshold(f"{name} × {more:.3g}: seconds ×", after.seconds / before.seconds, 1.1 * more, True))
        memory = after.most_mib / before.most_mib
        found.append(Threshold(f"{name} × {more:.3g}: memory ×", memory, 1.1 * more, True))
    return found


def _markdown(learned: Sequence[Learned]) -> str:
    rows = [
        [
            f"{each.rows:,}",
            str(each.columns),
            f"{each.file_mib:,.0f}",
            f"{each.profile_s:.2f}",
            f"{each.learn_s:.2f}",
            f"{each.cells / each.seconds / 1e6:.1f}",
            f"{each.base_mib:.0f}",
            f"{each.most_mib:,.0f}",
        ]
        for each in learned
    ]
    head = ["rows", "columns", "file, MiB", "profile, s", "learn, s", "M values a second", "MiB before", "MiB at most"]
    return table(head, rows)


_HEAD: Final = """# Results

Written by `python -m benches.learning`. DuckDB may use 1 GB, its default here, and all cores; other programs may have used them
beside us. Wide tables have columns of all kinds in turn: floats, whole numbers, decimals, categories, codes, nulls, booleans, identifiers,
moments, dates: as many of each.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000_000, help="of the longest table, with nine columns")
    parser.add_argument("--columns", type=int, default=200, help="of the widest table")
    parser.add_argument("--wide-rows", type=int, default=1_000_000, help="of the wide tables")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    parser.add_argument("--learn", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.columns < 1 or given.columns % (least := max(_WIDTHS) * len(_KINDS)):
        parser.error(f"--columns must be a multiple of {least}, so that each table has as many columns of each kind")
    if given.learn:
        print(json.dumps(_learn(given.learn)))
        return
    longer = [measure(given.rows // part) for part in (16, 4, 1)]
    wider = [measure(given.wide_rows, given.columns // part) for part in _WIDTHS]
    parts = [
        _HEAD,
        machine(_PACKAGES),
        "## Longer\n\n" + _markdown(longer),
        "## Wider\n\n" + _markdown(wider),
        "## What is asked\n\n" + Threshold.table(thresholds(longer, wider)),
    ]
    text = "\n".join(parts)
    (given.out / "RESULTS.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
