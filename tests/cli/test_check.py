"""`assay check`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.cli.conftest import Command
from tests.conftest import Bench

INTEGER = {"type": "integer"}


@pytest.fixture
def file(bench: Bench) -> Path:
    """Three rows, of which one breaks the first version, and none the second."""
    bench.contract("d", {"a": INTEGER | {"maximum": 9}})
    bench.contract("d", {"a": INTEGER})
    path = bench.folder / "rows.csv"
    path.write_text("a\n1\n10\n3\n")
    return path


def test_a_file(assay: Command, file: Path) -> None:
    ran = assay("check", str(file), "--contract", "d@1", "--rejects", "bad.parquet")
    assert ran.code == 1
    assert ran.out.startswith("1 of 3 rows are bad (33.33%)")
    assert "a: Input should be less than or equal to 9  (rows 1)" in ran.out
    assert ran.out.endswith('such as\n    {"a": 10, "_row": 1}\n')
    (row,) = pq.read_table(file.with_name("bad.parquet")).to_pylist()
    assert (row["a"], row["_row"]) == (10, 1)
    ran = assay("check", str(file), "--contract", "d@2")
    assert (ran.code, ran.out) == (0, "3 rows, all of them good\n")


def test_as_a_document(assay: Command, file: Path) -> None:
    ran = assay("check", str(file), "--contract", str(file.parent / "contracts/d/1.schema.json"), "--json")
    assert ran.code == 1
    document = ran.document
    assert (document["ok"], document["rows"], document["bad"]) == (False, 3, 1)
    assert document["violations"][0]["first_rows"] == [1]
    assert document["sample"] == [{"a": 10, "_row": 1}]


def test_checking_what_is_good_loads_no_library_that_it_does_not_need(file: Path) -> None:
    path = file.with_name("rows.parquet")
    pq.write_table(pa.table({"a": [1, 3]}), path)
    command = [sys.executable, "-X", "importtime", "-c", "from assay.cli import main\nmain()"]
    command += ["check", "rows.parquet", "--contract", "d@2"]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, cwd=file.parent)
    assert ran.stdout == "2 rows, all of them good\n"
    loaded = {line.rpartition("|")[2].strip() for line in ran.stderr.splitlines()}
    assert "pyarrow.parquet" in loaded
    assert not loaded & {"duckdb", "pyarrow.compute"}


def test_a_moment_that_python_has_no_value_for(assay: Command, file: Path) -> None:
    path = file.with_name("far.parquet")
    table = pa.table({"a": [10], "t": pa.array([253_402_300_800], pa.timestamp("s", "UTC")), "l": [[1, 2]]})
    pq.write_table(table, path)
    ran = assay("check", str(path), "--contract", "d@1")
    assert ran.code == 1
    assert '{"a": 10, "t": "10000-01-01T00:00:00Z", "l": [1, 2], "_row": 0}' in ran.out


def test_a_dataset(assay: Command, bench: Bench, file: Path) -> None:
    bench.activate("d", 2)
    with bench.service() as service:
        service.lines("/collect/d", {"a": 1}, {"a": 11})
    assert assay("check", "d").code == 0
    ran = assay("check", "d", "--contract", "1", "--since", "24h", "--json")
    assert ran.code == 1
    assert (ran.document["contract"], ran.document["bad"], ran.document["sources"]) == ("1", 1, {"unknown": 1})
    ran = assay("check", "d", "--contract", "d@1")
    assert "from unknown (1)" in ran.out
    assert '{"a": 11, "_source": "unknown", "_row": 1}' in ran.out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param(["rows.csv"], "--contract", id="no contract for a file"),
        pytest.param(["rows.csv", "--contract", "d@1", "--since", "1h"], "--since", id="since, of a file"),
        pytest.param(["rows.csv", "--contract", "d@1", "--rejects", "x.csv"], "Parquet", id="rejects as CSV"),
        pytest.param(["nothing.csv", "--contract", "d@1"], "neither a file", id="no file"),
        pytest.param(["d"], "no active contract", id="none active"),
        pytest.param(["d", "--contract", "7"], "no version 7", id="no such version"),
        pytest.param(["d", "--contract", "1", "--since", "soon"], "no duration", id="no duration"),
        pytest.param(["d", "--contract", "1"], "no store", id="no store"),
    ],
)
def test_it_is_used_wrongly(assay: Command, file: Path, arguments: list[str], says: str) -> None:
    ran = assay("check", *arguments)
    assert ran.code == 2
    assert says in ran.err


def test_a_bar_only_for_who_looks(assay: Command, file: Path) -> None:
    assert assay("check", str(file), "--contract", "d@2").err == ""
