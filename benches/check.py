"""`assay check` of a Parquet file beside Pandera on Polars and Great Expectations: each a fresh process, in turns.

python -m benches.check --rivals PYTHON [--rows 2000000] [--rounds 5]

PYTHON is an interpreter that has `pandera[polars]` and `great_expectations`; without it assay runs alone. Rules, file and
verdict are the same for all: types, bounds, a list of values, no nulls. What is timed is the whole process, page cache warm.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benches.turns import Taken, in_turns, taken_table

__all__ = ["COMMAND", "EXPECTATIONS", "PANDERA", "main", "measure", "write"]

COMMAND: Final = "assay check"
PANDERA: Final = "Pandera on Polars"
EXPECTATIONS: Final = "Great Expectations"

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
    print(taken_table(measure(**vars(parser.parse_args())), COMMAND))


def measure(*, rivals: str | None, rows: int, rounds: int) -> dict[str, Taken]:
    """What each of them takes to say that all rows are good."""
    with tempfile.TemporaryDirectory() as folder:
        data, contract = Path(folder) / "rows.parquet", Path(folder) / "contract.json"
        write(data, contract, rows)
        files = [str(data), str(contract)]
        command = str(Path(sys.executable).with_name("assay"))
        ways = {
            COMMAND: [command, "check", str(data), "--contract", str(contract)],
            "assay.check": [sys.executable, "-c", _ASSAY, *files],
        }
        if rivals:
            ways[PANDERA] = [rivals, "-c", _PANDERA, *files]
            ways[EXPECTATIONS] = [rivals, "-c", _EXPECTATIONS, *files]
        return in_turns(ways, rounds)


def write(data: Path, contract: Path, rows: int) -> None:
    """A Parquet file of nine columns, and a contract that all of its rows keep."""
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
