"""`assay profile` of a Parquet file beside DuckDB's SUMMARIZE alone: each a fresh process, in turns.

python -m benches.profile [--rows 2000000] [--rounds 5]

What is timed is the whole process, page cache warm; `assay profile` prints its table, SUMMARIZE's rows are fetched.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import duckdb

from assay.profile.relation import profile
from benches.check import write
from benches.turns import Taken, in_turns, taken_table

__all__ = ["COMMAND", "SUMMARIZE", "Result", "main", "measure"]

COMMAND: Final = "assay profile"
SUMMARIZE: Final = "SUMMARIZE"

_QUERY: Final = "SUMMARIZE FROM read_parquet('{path}')"
_SUMMARIZE: Final = """
import sys, duckdb
con = duckdb.connect()
con.execute("SET enable_progress_bar = false")
con.execute(sys.argv[1]).fetchall()
"""


@dataclass(frozen=True)
class Result:
    """What each took, and how many figures it gave."""

    taken: dict[str, Taken]
    figures: dict[str, int]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    found = measure(**vars(parser.parse_args()))
    print(taken_table(found.taken, COMMAND))
    print(", ".join(f"{way}: {count:,} figures" for way, count in found.figures.items()))


def measure(*, rows: int, rounds: int) -> Result:
    """The profile of a file of nine columns, by both."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "rows.parquet"
        write(data, Path(folder) / "contract.json", rows)
        query = _QUERY.format(path=data)
        ways = {
            COMMAND: [str(Path(sys.executable).with_name("assay")), "profile", str(data)],
            SUMMARIZE: [sys.executable, "-c", _SUMMARIZE, query],
        }
        figures = {
            COMMAND: sum(_figures(field.numbers) for _, field in profile(data).walk()),
            SUMMARIZE: sum(_figures(row[2:]) for row in duckdb.connect().execute(query).fetchall()),
        }
        return Result(in_turns(ways, rounds), figures)


def _figures(value: Any) -> int:
    """How many single figures something holds."""
    if value is None:
        return 0
    if isinstance(value, (list, tuple)):
        return sum(map(_figures, value))
    names = getattr(value, "__slots__", None)
    return sum(_figures(getattr(value, name)) for name in names) if names else 1


if __name__ == "__main__":
    main()
