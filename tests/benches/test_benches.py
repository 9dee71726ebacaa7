"""Each bench runs to its end with tiny settings, and says what it measured."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from benches import beside, bulk, memory, profile_metrics, singles, stream
from benches.lake import measure
from benches.report import Threshold, chart, table

from assay.store.address import Lake
from assay.store.opening import connect
from tests.streams import missing

needs_wrk = pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
needs_granian = pytest.mark.skipif(importlib.util.find_spec("granian") is None, reason="granian is not installed")


@pytest.mark.e2e
@needs_wrk
@needs_granian
def test_single_events() -> None:
    result = singles.measure(seconds=1, rounds=1, distinct=3_000)
    text = result.markdown()
    for name in ("exercise", "assay-uvicorn", "assay-granian", "noop-uvicorn", "noop-granian"):
        assert sum(load.requests for load in result.loads[name, 64]) > 0
        assert f"| {name} | 256 |" in text
    assert not [each for loads in result.loads.values() for each in loads if each.refused]
    assert len(result.thresholds()) == 6
    ET.fromstring(result.picture())


@pytest.mark.e2e
@needs_wrk
@pytest.mark.skipif(bool(missing()), reason=missing())
def test_a_stream_beside_a_file() -> None:
    result = stream.measure(seconds=1, rounds=1, distinct=3_000)
    text = result.markdown()
    for name in ("a file", "a stream, 1 of it", "a stream, 3 of it"):
        assert f"| 64 | {name} |" in text
        assert sum(load.requests for load in result.loads[name, 64]) > 0
    assert not [each for loads in result.loads.values() for each in loads if each.refused]


@pytest.mark.e2e
def test_bulk() -> None:
    text = bulk.measure(events=20_000, rounds=1, distinct=20_000).markdown()
    for step in (
        "decode",
        "Arrow IPC",
        "DuckDB insert",
        "HTTP read",
        "all bad: assay / Pydantic alone",
        "Arrow: compare",
    ):
        assert step in text


@pytest.mark.e2e
@needs_wrk
def test_beside() -> None:
    result = beside.measure(seconds=1, rounds=1, distinct=10_000, large_bytes=8 << 20)
    assert all(load.requests for loads in result.loads.values() for load in loads)
    assert len(result.thresholds()) == 2
    assert "| p99 of small requests: beside a flood of bad NDJSON, four senders / alone |" in result.markdown()


@pytest.mark.e2e
@needs_wrk
def test_memory() -> None:
    result = memory.measure(ndjson=20_000, singles=100, distinct=10_000, wrk_s=1)
    assert 10 < result.most_mib < 4096
    assert result.csv().startswith("phase,seconds,events,mib\nNDJSON,")
    assert "| single |" in result.markdown()
    ET.fromstring(result.picture())


@pytest.mark.e2e
@needs_wrk
def test_price_of_counting() -> None:
    result = profile_metrics.measure(seconds=1, distinct=3_000)
    assert result.apart_us["64 single events"] > 0
    assert all(shares["counting"] < 1 for shares in result.shares.values() if "counting" in shares)
    assert "CPU µs an event" in result.markdown()


def test_a_threshold_says_whether_it_holds() -> None:
    assert Threshold("a / b", 0.61, 0.6).holds
    assert not Threshold("a / b", 2.6, 2.5, at_most=True).holds
    assert "| a / b | 2.6 | ≤ 2.5 | **no** |" in Threshold.table([Threshold("a / b", 2.6, 2.5, at_most=True)])


def test_a_chart_is_xml_and_a_table_markdown() -> None:
    ET.fromstring(chart("a < b", {"one & two": [(1, 10), (64, 1234)]}, x="x", y="y", categories=True))
    ET.fromstring(chart("one point", {"a": [(0, 0.5)]}, x="x", y="y"))
    assert table(["a", "b"], [["x", "1"]]) == "| a | b |\n| --- | ---: |\n| x | 1 |\n"


@pytest.mark.lake
def test_a_lake_is_measured_against_ducklake_itself(tmp_path: Path) -> None:
    pytest.importorskip("duckdb_extension_ducklake")
    lake = Lake.parse("ducklake:sqlite:l.sqlite", root=tmp_path)
    (rate,) = measure(lake, rows=1, writers=[1], rounds=1)
    assert (rate.writers, len(rate.raw), len(rate.assay)) == (1, 1, 1)
    with connect(lake) as con:
        assert con.execute("SELECT (SELECT count(*) FROM raw), (SELECT count(*) FROM agrawal)").fetchall() == [
            (50_000, 50_000)
        ]
