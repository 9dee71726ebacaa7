"""`assay check` of a Parquet file beside Pandera on Polars and Great Expectations: each a fresh process, in turns.

python -m benches.check --rivals PYTHON [--rows 2000000] [--rounds 5]

PYTHON is an interpreter that has `pandera[polars]` and `great_expectations`; without it assay runs alone. Rules, file and
verdict are the same for all: types, bounds, a list of values, no nulls. What is timed is the whole process, page cache warm.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benches.report import table

__all__ = ["main"]

_REALS: Final = {
    "salary": (20_000, 150_000),
    "commission": (0, 75_000),
    "hvalue": (0, 1_400_000),
    "loan": (0, 500_000),
}
_WHOLES: Final = {"age": (20, 80), "elevel": (0, 4), "car": (1, 20), "zipcode": (0, 8), "hyears": (1, 30)}
_BOUNDS: Final = _REALS | _WHOLES

_ASSAY: Final = """
import sys, assay
sys.exit(not assay.check(sys.argv[1], assay.Contract.load(sys.argv[2])).ok)
"""
_PANDERA: Final = """
import sys, json, polars as pl, pandera.polars as pa
rules = json.load(open(sys.argv[2]))["properties"]
columns = {}
for name, rule in rules.items():
    whole = rule["type"] == "integer"
    checks = [pa.Check.ge(rule["minimum"]), pa.Check.le(rule["maximum"])]
    if "enum" in rule:
        checks.append(pa.Check.isin(rule["enum"]))
    columns[name] = pa.Column(pl.Int64 if whole else pl.Float64, checks, nullable=False)
pa.DataFrameSchema(columns).validate(pl.read_parquet(sys.argv[1]), lazy=True)
"""
_EXPECTATIONS: Final = """
import sys, json, pandas as pd, great_expectations as gx, great_expectations.expectations as gxe
rules = json.load(open(sys.argv[2]))["properties"]
context = gx.get_context(mode="ephemeral")
batch = context.data_sources.add_pandas("p").add_dataframe_asset("a").add_batch_definition_whole_dataframe("b")
suite = context.suites.add(gx.ExpectationSuite("s"))
for name, rule in rules.items():
    suite.add_expectation(gxe.ExpectColumnValuesToNotBeNull(column=name))
    suite.add_expectation(gxe.ExpectColumnValuesToBeOfType(column=name, type_="int64" if rule["type"] == "integer" else "float64"))
    suite.add_expectation(
        gxe.ExpectColumnValuesToBeBetween(column=name, min_value=rule["minimum"], max_value=rule["maximum"]))
    if "enum" in rule:
        suite.add_expectation(gxe.ExpectColumnValuesToBeInSet(column=name, value_set=rule["enum"]))
validation = gx.ValidationDefinition(name="v", data=batch, suite=suite)
sys.exit(not validation.run(batch_parameters={"dataframe": pd.read_parquet(sys.argv[1])}).success)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rivals", help="an interpreter that has the rivals")
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data, contract = Path(folder) / "rows.parquet", Path(folder) / "contract.json"
        _write(data, contract, given.rows)
        ways = {
            "assay.check": [sys.executable, "-c", _ASSAY],
            "assay check (command)": [str(Path(sys.executable).with_name("assay")), "check"],
        }
        if given.rivals:
            ways["Pandera on Polars"] = [given.rivals, "-c", _PANDERA]
            ways["Great Expectations"] = [given.rivals, "-c", _EXPECTATIONS]
        took: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(given.rounds):
            for way, command in ways.items():
                last = ["--contract", str(contract)] if command[-1] == "check" else [str(contract)]
                begun = time.perf_counter()
                subprocess.run([*command, str(data), *last], check=True, capture_output=True)
                took[way].append(time.perf_counter() - begun)
    medians = {way: statistics.median(each) for way, each in took.items()}
    rows = [
        (way, f"{median:.2f} s", f"{min(took[way]):.2f} s", f"{median / medians['assay.check']:.1f}")
        for way, median in medians.items()
    ]
    print(table(("", "median", "fastest", "times assay's"), rows))


def _write(data: Path, contract: Path, rows: int) -> None:
    dice = np.random.default_rng(1)
    columns = {name: dice.uniform(*bounds, rows) for name, bounds in _REALS.items()}
    wholes = {name: dice.integers(low, high + 1, rows) for name, (low, high) in _WHOLES.items()}
    pq.write_table(pa.table(columns | wholes), data)
    properties: dict[str, dict[str, Any]] = {
        name: {"type": "number" if name in _REALS else "integer", "minimum": low, "maximum": high}
        for name, (low, high) in _BOUNDS.items()
    }
    properties["elevel"]["enum"] = [0, 1, 2, 3, 4]
    contract.write_text(json.dumps({"type": "object", "properties": properties, "required": list(properties)}))


if __name__ == "__main__":
    main()
