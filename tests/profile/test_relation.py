from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest

from assay.errors import UsageError
from assay.profile.document import Profile
from assay.profile.relation import profile

ROWS = [{"a": i, "A": i / 2, "t": f"x{i % 3}", "b": i % 2 == 0} for i in range(150)]


def types(found: Profile) -> dict[str, dict[str, int]]:
    return {label: dict(field.types) for label, field in found.walk()}


FULL = {"a": {"integer": 150}, "A": {"number": 150}, "t": {"string": 150}, "b": {"boolean": 150}}


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(pd.DataFrame, id="pandas"),
        pytest.param(pa.Table.from_pylist, id="table"),
        pytest.param(pa.RecordBatch.from_pylist, id="batch"),
        pytest.param(lambda rows: pa.Table.from_pylist(rows).to_reader(), id="reader"),
    ],
)
def test_frames(make: Any) -> None:
    assert types(profile(make(ROWS))) == FULL


def test_polars() -> None:
    polars = pytest.importorskip("polars")
    assert types(profile(polars.DataFrame(ROWS))) == FULL
    assert types(profile(polars.DataFrame(ROWS).lazy())) == FULL


def test_duckdb_relation() -> None:
    with duckdb.connect() as con:
        found = profile(con.sql("""SELECT i AS a, '{"b": [1, "x"]}'::JSON AS j FROM range(3) AS r(i)"""))
    expected = {"a": {"integer": 3}, "j": {"object": 3}, "j.b": {"array": 3}, "j.b[]": {"integer": 3, "string": 3}}
    assert types(found) == expected


def test_files(tmp_path: Path) -> None:
    table = pa.Table.from_pylist(ROWS).rename_columns(["a", "c", "t", "b"])
    full = {"c" if name == "A" else name: found for name, found in FULL.items()}
    lines = [json.dumps({"a": row["a"], "c": row["A"], "t": row["t"], "b": row["b"]}) for row in ROWS]
    table.to_pandas().to_csv(tmp_path / "x.csv", index=False)
    pyarrow.parquet.write_table(table, tmp_path / "it's.parquet")
    pyarrow.feather.write_feather(table, tmp_path / "x.feather")
    with pa.OSFile(str(tmp_path / "x.arrow"), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    (tmp_path / "x.json").write_text(f"[{', '.join(lines)}]")
    (tmp_path / "x.ndjson").write_text("\n".join(lines))
    (tmp_path / "x.jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    for path in tmp_path.iterdir():
        assert types(profile(path)) == full, path


def test_missing_values_do_not_make_integers_real() -> None:
    found = profile(pd.DataFrame({"whole": [1.0, np.nan, 3.0], "real": [1.5, np.nan, 2.0], "none": [np.nan] * 3}))
    assert types(found) == {
        "whole": {"absent": 1, "integer": 2},
        "real": {"absent": 1, "number": 2},
        "none": {"absent": 3},
    }


def test_the_frame_is_left_as_it_was() -> None:
    frame = pd.DataFrame({"x": [1.0, np.nan]})
    profile(frame)
    assert frame["x"].dtype == np.float64


def test_what_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(b"")
    (tmp_path / "x.parquet").write_bytes(b"no")
    (tmp_path / "x.arrow").write_bytes(b"no")
    twice = pd.DataFrame([[1, 2]], columns=["a", "a"])
    sources = [3, [1], tmp_path, tmp_path / "none.csv", twice, pd.DataFrame(), *sorted(tmp_path.iterdir())]
    for source in sources:
        with pytest.raises(UsageError):
            profile(source)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        pytest.param("x.ndjson", b'{"a":"caf\xe9"}\n{"a":1}\n', "line 1 is not UTF-8 (byte 9)", id="Latin-1"),
        pytest.param(
            "x.ndjson", b'\xef\xbb\xbf{"a":1}\nxx\n', "line 2 is no JSON", id="a byte order mark, and no JSON"
        ),
        pytest.param("x.ndjson", b'{"a":1}\n{"a":', "line 2 is no JSON: Input data was truncated", id="cut off"),
        pytest.param(
            "x.ndjson", b'{"a":1}\n\n \nxx\n', "line 4 is no JSON: invalid character (byte 0)", id="empty lines"
        ),
        pytest.param("x.ndjson", b'{"a":NaN}\n' * 3 + b"{\n", "line 4 is no JSON", id="NaN, which DuckDB takes"),
        pytest.param("x.json", b'[{"a":1},{"a":', "Malformed JSON: unexpected end of data", id="an array"),
        pytest.param("x.csv", b"a,b\n" + b"1,2\n" * 30_000 + b"1,2,3\n", "CSV Error on Line: 30002", id="CSV"),
        pytest.param("x", b"", "its name has no ending that tells what it holds; take CSV, TSV", id="no ending"),
        pytest.param("x.png", b"", 'files named "*.png" are not known; take CSV, TSV', id="another ending"),
    ],
)
def test_why_a_file_cannot_be_read_is_said_in_a_line(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError) as caught:
        profile(tmp_path / name)
    assert says in str(caught.value)
    assert "frame" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_copy_of_a_dataset_s_table() -> None:
    frame = pd.DataFrame({"a": [1], "_collected_at": pd.to_datetime(["2024-01-01T00:00:00Z"]), "_source": ["x"]})
    assert types(profile(frame)) == {"a": {"integer": 1}}
