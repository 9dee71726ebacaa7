"""How fast files are profiled and checked, into RESULTS.md.

python -m benches.files --rivals PYTHON [--rows 2000000] [--rounds 7]

PYTHON is an interpreter that has `pandera[polars]` and `great_expectations`.
"""

from __future__ import annotations

import argparse
import subprocess
from pathlib import Path
from typing import Final

from benches import check, profile
from benches.machine import machine
from benches.report import Threshold
from benches.turns import Taken, taken_table

__all__ = ["main", "markdown", "thresholds"]

_PACKAGES: Final = ("assay", "duckdb", "numpy", "pyarrow", "pydantic", "typer")
_RIVALS: Final = ("pandera", "polars", "great_expectations", "pandas")
_ASK: Final = "import importlib.metadata as m, sys; print(*map(m.version, sys.argv[1:]), sep=chr(10))"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rivals", required=True, help="an interpreter that has the rivals")
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    given = parser.parse_args()
    versions = subprocess.run([given.rivals, "-c", _ASK, *_RIVALS], check=True, capture_output=True, text=True).stdout
    checked = check.measure(rivals=given.rivals, rows=given.rows, rounds=given.rounds)
    profiled = profile.measure(rows=given.rows, rounds=given.rounds)
    text = markdown(checked, profiled, list(zip(_RIVALS, versions.split(), strict=True)), rows=given.rows)
    (given.out / "RESULTS.md").write_text(text, encoding="utf-8")
    print(text)


def thresholds(checked: dict[str, Taken], profiled: profile.Result) -> list[Threshold]:
    """What is asked, on the clock."""
    assay = checked[check.COMMAND].median_s
    summarize, ours = (profiled.taken[way].median_s for way in (profile.SUMMARIZE, profile.COMMAND))
    return [
        Threshold("`assay check`: Pandera on Polars takes ×", checked[check.PANDERA].median_s / assay, 1),
        Threshold("`assay check`: Great Expectations takes ×", checked[check.EXPECTATIONS].median_s / assay, 10),
        Threshold("`assay profile`: SUMMARIZE takes ×", summarize / ours, 3),
        Threshold("figures: SUMMARIZE's ×", profiled.figures[profile.COMMAND] / profiled.figures[profile.SUMMARIZE], 1),
    ]


def markdown(checked: dict[str, Taken], profiled: profile.Result, rivals: list[tuple[str, str]], *, rows: int) -> str:
    """The whole document."""
    return f"""# Results

Written by `python -m benches.files`. A Parquet file of {rows:,} rows and nine columns of numbers; every command is a fresh process,
timed from start to exit, in turns, page cache warm. Other programs may have used the machine beside them.

{machine(_PACKAGES, rivals)}
## A check

The same rules for all (types, bounds, a list of values, no nulls), which all rows keep.

{taken_table(checked, check.COMMAND)}
## A profile

{taken_table(profiled.taken, profile.COMMAND)}
`assay profile` measures {profiled.figures[profile.COMMAND]:,} figures, SUMMARIZE {profiled.figures[profile.SUMMARIZE]:,}.

## What is asked

{Threshold.table(thresholds(checked, profiled))}"""


if __name__ == "__main__":
    main()
