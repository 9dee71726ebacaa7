"""Values counted into bins: the same counts from every form that a source can have."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assay.contract.document import Contract
from assay.errors import UnknownDataset
from assay.frames.counts import count_source, count_stored
from assay.store.opening import connect
from tests.conftest import Bench

ROWS: list[dict[str, Any]] = [
    {"a": 0.5, "s": "x"},
    {"a": 1.5, "s": "y"},
    {"a": 9.0, "s": None},
    {"a": None, "s": "x"},
]
#: b0, b1, null, low, high, _other; x, null, low, high, _other.
COUNTED = {"a": [1, 1, 1, 0, 1, 0], "s": [2, 1, 0, 0, 1]}


def bins(**document: Any) -> dict[str, Any]:
    return {"bins": {"rows": 10, "share": {}, **document}}


CONTRACT = Contract.parse(
    {
        "type": "object",
        "properties": {
            "a": {"type": ["number", "null"], "x-assay": bins(edges=[1.0], low=0, high=2)},
            "s": {"type": ["string", "null"], "x-assay": bins(values=["x"])},
        },
    },
    dataset="d",
)
NESTED = Contract.parse(
    {
        "type": "object",
        "properties": {"o": {"type": "object", "properties": {"a": {"type": "number", "x-assay": bins(edges=[1.0])}}}},
    }
)


def write(path: Path) -> Path:
    table = pa.Table.from_pylist(ROWS)
    if path.suffix == ".parquet":
        pq.write_table(table, path)
    elif path.suffix == ".ndjson":
        path.write_text("".join(json.dumps(row) + "\n" for row in ROWS) + "[1]\nbroken\n")
    elif path.suffix == ".json":
        path.write_text(json.dumps(ROWS))
    else:
        path.write_text("a,s\n0.5,x\n1.5,y\n9.0,\n,x\n")
    return path


@pytest.mark.parametrize("suffix", ["parquet", "ndjson", "json", "csv"])
def test_a_file(tmp_path: Path, suffix: str) -> None:
    told: list[float] = []
    assert count_source(write(tmp_path / f"rows.{suffix}"), [CONTRACT], progress=told.append) == [COUNTED]
    assert told[-1] == pytest.approx(1)


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(pa.decimal128(5, 1), id="decimals"),
        pytest.param(pa.float32(), id="floats"),
        pytest.param(None, id="a dictionary"),
    ],
)
def test_any_column(kind: pa.DataType | None) -> None:
    plain = pa.array([0.5, 1.5, 9.0, None])
    table = pa.table({"a": plain.dictionary_encode() if kind is None else plain.cast(kind), "s": ["x", "y", None, "x"]})
    assert count_source(table, [CONTRACT]) == [COUNTED]


def test_a_column_that_is_not_there_is_null_in_every_row() -> None:
    ((counts,),) = [count_source(pa.table({"s": ["x"]}), [CONTRACT])]
    assert counts["a"] == [0, 0, 1, 0, 0, 0]


@pytest.mark.parametrize("second", [253_402_300_800, -62_135_596_801], ids=["after 9999", "before 1"])
def test_a_moment_that_python_has_no_value_for(second: int) -> None:
    table = pa.table({"s": pa.array([0, second, None], pa.timestamp("s", "UTC")), "a": [0.5, 1.5, 9.0]})
    (counts,) = count_source(table, [CONTRACT])
    assert counts == {"a": [1, 1, 0, 0, 1, 0], "s": [0, 1, 0, 0, 2]}


NANOSECONDS = [0, 1, None, 1_700_000_000_123_456_789]


@pytest.mark.parametrize("zone", ["UTC", None])
def test_moments_to_the_nanosecond_are_counted_as_those_to_the_microsecond(zone: str | None) -> None:
    lagging = Contract.parse(
        {"type": "object", "properties": {"s": {"x-assay": bins(edges=[10], low=0, high=100, lag="date-time")}}}
    )
    own = pa.array(NANOSECONDS, pa.timestamp("ns", zone))
    for moments in (own, own.cast(pa.timestamp("us", zone), safe=False)):
        flat, of_lag, nested = count_source(
            pa.table({"s": moments, "o": [{"a": 1.0}] * 4}), [CONTRACT, lagging, NESTED]
        )
        assert flat["s"] == [0, 1, 0, 0, 3]
        assert of_lag["s"] == [0, 0, 1, 0, 3, 0]
        assert nested["o.a"] == [4, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("unit", ["ns", "us"])
def test_moments_need_no_pandas(tmp_path: Path, unit: str) -> None:
    # Arrow makes pandas' values of nanoseconds where it can, and without it raises an error.
    moments = pa.array(NANOSECONDS, pa.timestamp("ns", "UTC")).cast(pa.timestamp(unit, "UTC"), safe=False)
    pq.write_table(pa.table({"s": moments}), tmp_path / "rows.parquet")
    contract = {"type": "object", "properties": {"s": {"x-assay": bins(values=["x"])}}}
    program = f"""
import sys
from assay.contract.document import Contract
from assay.frames.counts import count_source
(counts,) = count_source({str(tmp_path / "rows.parquet")!r}, [Contract.parse({contract!r})])
print(counts, "pandas" in sys.modules)
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout == "{'s': [0, 1, 0, 0, 3]} False\n"


@pytest.mark.parametrize(
    "moments", [pa.array([None, 2**40], pa.timestamp("s")), pa.array([1, 1_001], pa.timestamp("ns"))]
)
def test_moments_inside_of_others(moments: pa.Array) -> None:
    inside = pa.StructArray.from_arrays([pa.array([0.5, 200.0]), moments], ["a", "t"])
    table = pa.table({"o": inside, "l": pa.ListArray.from_arrays([0, 1, 2], moments)})
    twice = pa.concat_tables([table, table]).combine_chunks()
    (counts,) = count_source(twice.slice(1, 2), [NESTED])  # it begins within
    assert counts == count_source(pa.table({"o": [{"a": 200.0}, {"a": 0.5}]}), [NESTED])[0]


def test_nanoseconds_inside_of_others_need_no_pandas(tmp_path: Path) -> None:
    inside = pa.array(
        [{"a": 0.5, "t": 1_700_000_000_123_456_789}], pa.struct({"a": pa.float64(), "t": pa.timestamp("ns")})
    )
    pq.write_table(pa.table({"o": inside}), tmp_path / "rows.parquet")
    program = f"""
import sys
sys.modules["pandas"] = type(sys)("pandas")  # Arrow asks whether it is there; it is too old to be used
sys.modules["pandas"].__version__ = "0.1"
from assay.frames.counts import count_source
from tests.frames.test_counts import NESTED
print(count_source({str(tmp_path / "rows.parquet")!r}, [NESTED])[0]["o.a"])
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert run.stdout == "[1, 0, 0, 0, 0, 0]\n", run.stderr


@pytest.mark.parametrize("zone", ["+14:00", "-12:00", None])
@pytest.mark.parametrize("second", [253_402_300_799, -62_135_596_800], ids=["the last of 9999", "the first of 1"])
def test_a_moment_that_python_has_a_value_for_in_some_zones(second: int, zone: str | None) -> None:
    moments = pa.array([0, second, None], pa.timestamp("s", zone))
    for table, contract in (
        (pa.table({"s": moments}), CONTRACT),
        (pa.table({"s": moments, "o": [{"a": 1.0}] * 3}), NESTED),
    ):
        (counts,) = count_source(table, [contract])
        assert counts.get("s", [0, 1, 0, 0, 2]) == [0, 1, 0, 0, 2]
        assert counts.get("o.a", [3, 0, 0, 0, 0, 0]) == [3, 0, 0, 0, 0, 0]


def test_a_column_of_json(tmp_path: Path) -> None:
    with duckdb.connect() as con:
        rows = """SELECT * FROM (VALUES ('{"a": 0.5}'::JSON, '7'::JSON), (NULL, 'true'), ('{"a": 2}', NULL)) t(o, a)"""
        con.execute(f"COPY ({rows}) TO '{tmp_path}/rows.parquet'")
        for source in (tmp_path / "rows.parquet", con.sql(rows)):
            (counts, flat) = count_source(source, [NESTED, CONTRACT])
            assert counts["o.a"][:2] == [1, 1]
            assert flat["a"] == [0, 0, 1, 0, 1, 1]


def test_several_contracts_in_one_pass_and_fields_in_objects() -> None:
    table = pa.table({"o": [{"a": 0.5}, {"a": 2.0}, None], "s": ["x", "x", "x"]})
    flat, nested = count_source(table, [CONTRACT, NESTED])
    assert flat["s"] == [3, 0, 0, 0, 0]
    assert nested["o.a"] == [1, 1, 1, 0, 0, 0]


def test_what_is_stored(bench: Bench) -> None:
    bench.enforce("d", {"a": {"type": ["number", "null"]}, "s": {"type": ["string", "null"]}})
    with bench.service() as service:
        service.lines("/collect/d", *ROWS)
        service.lines("/collect/learner", *ROWS)
    con = connect(bench.store)
    try:
        for dataset in ("d", "learner"):
            assert count_stored(con, dataset, [CONTRACT]) == [COUNTED]
        assert count_stored(con, "other", [CONTRACT]) == [{"a": [0] * 6, "s": [0] * 5}]
    finally:
        con.close()


def test_an_empty_store_has_nothing(tmp_path: Path) -> None:
    import duckdb

    with duckdb.connect(tmp_path / "s.duckdb") as con, pytest.raises(UnknownDataset):
        count_stored(con, "d", [CONTRACT])
