"""A stream that has its moods is measured by cutting it in the order of time; one of independent values shows nothing."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import numpy as np
import pytest

from assay.contract.evidence import Bins
from assay.monitor.bins import Binner
from assay.profile.batch import Batch
from assay.profile.document import FieldProfile, Profile
from assay.profile.engine import Duck
from assay.profile.histogram import bins
from assay.profile.stretches import _place
from assay.profile.summarize import summarize, summarize_events


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        con.execute("SET threads = 1")
        con.execute("SELECT setseed(0.42)")
        yield con


def measured(con: duckdb.DuckDBPyConnection, value: str, rows: int, per_second: float) -> Profile:
    con.execute(
        f"CREATE OR REPLACE TABLE t AS SELECT {value}, to_timestamp(1.75e9 + i / {per_second}) AS _collected_at"
        f" FROM range({rows}) r(i) ORDER BY i"
    )
    return summarize(con, "t", dataset="t")


def bins_of(field: FieldProfile) -> Bins:
    found = bins(field, field.rows)
    assert found is not None
    return found


INDEPENDENT = (
    "random() AS u, random() < 0.2 AS b, ['x', 'y', 'z'][1 + (random() * 3)::INTEGER % 3] AS c,"
    " (random() * 5)::INTEGER AS k, CASE WHEN random() < 0.1 THEN NULL ELSE random() END AS n"
)


@pytest.mark.parametrize(("rows", "per_second"), [(10_000, 100.0), (60_000, 5.0)])
def test_independent_values_leave_the_limits_alone(
    con: duckdb.DuckDBPyConnection, rows: int, per_second: float
) -> None:
    profile = measured(con, INDEPENDENT, rows, per_second)
    for field in profile.fields:
        assert field.stretches, field.name
        assert (bins_of(field).spread, bins_of(field).tolerance) == (1, 0), field.name
    assert Profile.parse(profile.to_json()) == profile


def test_batches_of_one_kind_widen_what_shrinks_with_length(con: duckdb.DuckDBPyConnection) -> None:
    (field,) = measured(con, "(hash(i // 20) % 1000) / 1000.0 + random() * 0.01 AS u", 60_000, 10).fields
    assert [each.seconds for each in field.stretches] == [60, 300]
    # Twenty events count as one.
    assert bins_of(field).spread == pytest.approx(20, rel=0.25)
    assert bins_of(field).tolerance < 0.1


def test_day_and_night_are_tolerated_however_long_one_looks(con: duckdb.DuckDBPyConnection) -> None:
    (field,) = measured(con, "random() + CASE WHEN i // 18000 % 2 = 0 THEN 0.3 ELSE 0 END AS u", 180_000, 5).fields
    found = bins_of(field)
    assert found.spread < 3
    by_day = max(each.worst for each in field.stretches if each.seconds == 300)
    assert by_day < found.tolerance <= 1.5


def test_no_more_is_tolerated_than_a_stuck_value_comes_to(con: duckdb.DuckDBPyConnection) -> None:
    (field,) = measured(con, "i // 6000 AS k", 60_000, 10).fields
    found = bins_of(field)
    assert found.spread >= 1
    assert found.tolerance <= 1.5


def test_events_that_wait_for_a_contract_are_cut_too(con: duckdb.DuckDBPyConnection) -> None:
    con.execute(
        "CREATE TABLE e AS SELECT json_object('b', i // 3000 % 2 = 0, 's', chr(97 + (i // 3000 % 2)::INTEGER))::VARCHAR AS body,"
        " to_timestamp(1.75e9 + i / 10) AS received_at FROM range(60000) r(i) ORDER BY i"
    )
    for field in summarize_events(con, "e").fields:
        assert bins_of(field).tolerance > 0.3, field.name


@pytest.mark.parametrize(
    ("value", "rows", "per_second"),
    [
        pytest.param("random() AS u", 10_000, 1e9, id="all at once"),
        pytest.param("random() AS u", 200, 1.0, id="few rows"),
        pytest.param("1 AS u", 10_000, 100.0, id="a constant"),
        pytest.param("i AS id", 10_000, 100.0, id="an identifier"),
    ],
)
def test_where_nothing_can_be_said_nothing_is(
    con: duckdb.DuckDBPyConnection, value: str, rows: int, per_second: float
) -> None:
    (field,) = measured(con, value, rows, per_second).fields
    assert field.stretches == ()


@pytest.mark.parametrize(
    ("kind", "own"),
    [
        ("DOUBLE", Bins(1, {}, edges=(1.0, 2.5), low=0.0, high=3.0)),
        ("DOUBLE", Bins(1, {}, edges=())),
        ("BIGINT", Bins(1, {}, values=(0, 1, 2), low=0.0, high=2.0)),
        ("VARCHAR", Bins(1, {}, values=("a", "it's", "null"))),
        ("BOOLEAN", Bins(1, {}, values=(True,))),
    ],
)
def test_sql_finds_the_bins_that_the_service_finds(con: duckdb.DuckDBPyConnection, kind: str, own: Bins) -> None:
    values: dict[str, list[object]] = {
        "DOUBLE": [None, 0.0, 1.0, 1.5, 2.5, 2.6, 3.0, *([-1.0, 4.0] if own.low is not None else [])],
        "BIGINT": [None, 0, 1, 2],
        "VARCHAR": [None, "a", "it's", "null", "b", ""],
        "BOOLEAN": [None, True, False],
    }
    binner = Binner(own)
    for value in values[kind]:
        row = con.execute(f"SELECT {_place('v', own)} FROM (SELECT ?::{kind} AS v)", [value]).fetchone()
        assert row == (binner.index(value),), value


def test_the_span_of_a_batch(con: duckdb.DuckDBPyConnection) -> None:
    con.execute("CREATE TABLE s AS SELECT 10 + i AS r FROM range(5) t(i)")
    batch = Batch(Duck(con), "s", 5, received="r")
    assert batch.span() == (10, 14)
    con.execute("DELETE FROM s")
    assert Batch(Duck(con), "s", 0, received="r").span() == (0, 0)
    assert np.isfinite(batch.span()).all()
