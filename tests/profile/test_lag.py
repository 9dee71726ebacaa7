"""Moments are measured by how long after them their events came."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import duckdb
import pytest

from assay.contract.evidence import Bins
from assay.profile.document import FieldProfile, Profile
from assay.profile.histogram import bins
from assay.profile.learn import learn
from assay.profile.summarize import summarize, summarize_events

#: When the events came: one each 10 s; and each told a moment so many seconds before.
CAME = "to_timestamp(1_750_000_000 + 10 * i)"
LAG = "(1 + hash(i) % 1000 / 500.0)"


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        yield con


def of_table(con: duckdb.DuckDBPyConnection, value: str, rows: int = 2_000) -> FieldProfile:
    con.execute(f"CREATE OR REPLACE TABLE t AS SELECT {value} AS at, {CAME} AS _collected_at FROM range({rows}) r(i)")
    return summarize(con, "t", dataset="t").fields[0]


def of_events(con: duckdb.DuckDBPyConnection, value: str, rows: int = 2_000) -> Profile:
    con.execute(
        "CREATE OR REPLACE TABLE e AS"
        f" SELECT json_object('at', {value}, 'in', json_object('at', {value}))::VARCHAR AS body, {CAME} AS received_at"
        f" FROM range({rows}) r(i)"
    )
    return summarize_events(con, "e", dataset="e")


def bins_of(field: FieldProfile) -> Bins:
    found = bins(field, field.rows)
    assert found is not None
    return found


MOMENT = f"{CAME} - to_microseconds(({LAG} * 1e6)::BIGINT)"
TEXT = f"strftime({MOMENT}, '%Y-%m-%dT%H:%M:%S.%fZ')"


@pytest.mark.parametrize(
    ("value", "unit"),
    [
        pytest.param(MOMENT, "date-time", id="a column of moments"),
        pytest.param(TEXT, "date-time", id="text"),
        pytest.param(f"epoch({MOMENT})", "s", id="seconds"),
        pytest.param(f"epoch_ms({MOMENT})", "ms", id="milliseconds"),
        pytest.param(f"epoch_us({MOMENT})", "us", id="microseconds"),
        pytest.param(f"epoch_ns({MOMENT})", "ns", id="nanoseconds"),
    ],
)
def test_a_tables_moments_have_bins_of_their_lag(con: duckdb.DuckDBPyConnection, value: str, unit: str) -> None:
    field = of_table(con, value)
    assert field.lag is not None
    assert 1 <= field.lag.minimum < field.lag.maximum <= 3
    found = bins_of(field)
    assert found.lag == unit
    assert found.edges is not None
    assert list(found.edges) == pytest.approx([30], abs=0.5)
    assert found.low == -60
    assert found.high == pytest.approx(63, abs=0.1)
    assert found.share == {"b0": 1}
    assert Bins.parse(json.loads(json.dumps(found.to_document()))) == found


def test_events_that_wait_for_a_contract_tell_their_lag_too(con: duckdb.DuckDBPyConnection) -> None:
    profile = of_events(con, TEXT)
    fields = dict(profile.walk())
    for label in ("at", "in.at"):
        assert bins_of(fields[label]).lag == "date-time"
    assert Profile.parse(profile.to_json()) == profile
    contract = learn(profile)
    own = {label: field.bins for label, field in contract.root.walk()}
    assert own["at"] == bins_of(fields["at"])


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(f"strftime({CAME} - INTERVAL 3 YEAR, '%Y-%m-%dT%H:%M:%SZ')", id="an archive"),
        pytest.param("strftime(to_timestamp(1_749_999_000 + i), '%Y-%m-%dT%H:%M:%SZ')", id="a replay: the lag rises"),
        pytest.param(f"strftime({CAME}, '%Y-%m-%d')", id="days"),
        pytest.param("i", id="a counter"),
    ],
)
def test_what_is_no_time_of_the_events_has_none(con: duckdb.DuckDBPyConnection, value: str) -> None:
    found = bins_of(of_table(con, value))
    assert (found.lag, found.values) == ("", ())


def test_late_events_are_counted_apart(con: duckdb.DuckDBPyConnection) -> None:
    late = f"CASE WHEN i % 200 = 7 THEN {CAME} - INTERVAL 10 MINUTE ELSE {MOMENT} END"
    found = bins_of(of_table(con, late))
    assert found.share == {"b0": 0.995, "b1": 0.005}
    assert found.high is not None
    assert 600 < found.high <= 1200


def test_where_nobody_knows_when_rows_came_there_is_no_lag(con: duckdb.DuckDBPyConnection) -> None:
    con.execute(f"CREATE TABLE f AS SELECT {MOMENT} AS at FROM range(2000) r(i)")
    (field,) = summarize(con, "f").fields
    assert field.lag is None
    assert bins_of(field).values == ()


def test_a_lag_of_no_known_moments_is_refused() -> None:
    document: dict[str, Any] = {"rows": 1, "share": {}, "edges": [1], "lag": "minutes"}
    with pytest.raises(ValueError, match="a lag has edges"):
        Bins.parse(document)
