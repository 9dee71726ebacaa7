"""What is stored, held to another contract."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from assay.contract.document import Contract
from assay.errors import UnknownDataset
from assay.frames.report import Report
from assay.frames.table import check_stored
from assay.store.embedded import open_duckdb
from tests.conftest import Bench

INTEGER = {"type": "integer"}
NESTED = {"type": "object", "properties": {"k": INTEGER, "l": {"type": "array", "items": INTEGER}}}


def held_to(bench: Bench, properties: Any, since: datetime | None = None, **keywords: Any) -> Report:
    contract = Contract.parse({"type": "object", "properties": properties, **keywords}, dataset="d", version=2)
    con = open_duckdb(str(bench.store), read_only=True)
    try:
        return check_stored(con, contract, since=since)
    finally:
        con.close()


def bad(report: Report) -> list[tuple[Any, ...]]:
    rows = report.rows()
    return [
        (source, ".".join(map(str, each["loc"])), each["type"])
        for source, text in zip(rows["_source"].to_pylist(), rows["_violations"].to_pylist(), strict=True)
        for each in json.loads(text)
    ]


def store(bench: Bench, *events: Any) -> None:
    """Send events, each from a source of its own: `s0`, `s1`, ..."""
    with bench.service() as service:
        for number, event in enumerate(events):
            answer = service.send("/collect/d", event, X_Assay_Source=f"s{number}")
            assert answer.status_code == 200, answer.text
        service.flush()


def test_it_says_what_a_candidate_would_have_refused(bench: Bench) -> None:
    bench.enforce("d", {"a": INTEGER, "t": {"type": "string", "format": "date-time"}})
    store(bench, {"a": 1}, {"a": 11, "t": "2026-01-01T00:00:00+01:00"}, {"b": 1}, {"a": 12})
    report = held_to(bench, {"a": INTEGER | {"maximum": 10}}, required=["a"])
    assert bad(report) == [("s1", "a", "less_than_equal"), ("s2", "a", "missing"), ("s3", "a", "less_than_equal")]
    assert report.sources == {"s1": 1, "s2": 1, "s3": 1}
    assert held_to(bench, {"a": INTEGER, "t": {"type": "string", "format": "date-time"}}).ok


def test_moments_at_the_ends_of_time_are_judged_as_when_they_came(bench: Bench) -> None:
    properties = {"t": {"type": "string", "format": "date-time"}}
    bench.enforce("d", properties)
    ends = ("9999-12-31T23:59:59-23:59", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00+23:59", "0000-01-01T00:00:00Z")
    store(bench, *({"t": moment} for moment in ends))
    report = held_to(bench, properties)
    assert (report.rows_seen, report.ok) == (4, True)
    refusing = held_to(bench, {"t": INTEGER})
    assert [row["_row"] for row in refusing.rows().to_pylist()] == [0, 1, 2, 3]


def test_it_judges_the_event_and_not_the_row(bench: Bench) -> None:
    """What a column could not hold stands in `_extra`, at its own place."""
    properties = {"a": INTEGER, "o": NESTED, "any": {}, "_own": INTEGER}
    bench.enforce("d", properties)
    store(
        bench,
        {"a": 2**70, "_own": 1, "o": {"k": 1, "l": [1, 2], "more": "x"}, "any": {"x": [1, None]}},
        {"a": 5, "any": "text", "o": {"k": 2**64}, "unknown": {"z": 1}},
        {"any": None},
    )
    same = held_to(bench, properties)
    assert (same.ok, same.rows_seen) == (True, 3)
    strict = {
        "a": INTEGER | {"maximum": 2**69},
        "o": {"type": "object", "properties": {"k": INTEGER | {"maximum": 9}, "more": INTEGER}},
        "any": {"type": ["object", "null"]},
        "unknown": {"type": "object", "properties": {"z": {"type": "string"}}},
    }
    assert bad(held_to(bench, strict)) == [
        ("s0", "a", "less_than_equal"),
        ("s0", "o.more", "int_type"),
        ("s1", "any", "dict_type"),
        ("s1", "o.k", "less_than_equal"),
        ("s1", "unknown.z", "string_type"),
    ]


def test_a_cloud_events_attributes_are_no_field(bench: Bench) -> None:
    bench.enforce("d", {"a": INTEGER})
    envelope = {"specversion": "1.0", "id": "1", "source": "s", "type": "t"}
    with bench.service() as service:
        kind = "application/cloudevents+json"
        for number, data in enumerate(({"a": 1}, {"a": 2, "cloudevent": 5})):
            body = {**envelope, "id": str(number), "data": data}
            assert service.send("/collect/d", body, kind).status_code == 200
        service.flush()
    assert held_to(bench, {"a": INTEGER, "cloudevent": INTEGER}, additionalProperties=False).ok
    assert not held_to(bench, {"a": INTEGER, "cloudevent": {"type": "string"}}).ok


def test_a_field_whose_type_has_changed_is_one_field(bench: Bench) -> None:
    bench.enforce("d", {"a": INTEGER})
    store(bench, {"a": 5})
    bench.activate("d", bench.contract("d", {"a": {"type": "string"}}))
    store(bench, {"a": "x"})
    assert "a_v2" in bench.rows("SELECT column_name FROM duckdb_columns() WHERE table_name = 'd'")
    assert held_to(bench, {"a": {"type": ["integer", "string"]}}, additionalProperties=False).ok
    assert [each[2] for each in bad(held_to(bench, {"a": INTEGER}))] == ["int_type"]
    assert [each[2] for each in bad(held_to(bench, {"a": {"type": "string"}}))] == ["string_type"]


def test_only_what_came_since(bench: Bench) -> None:
    bench.enforce("d", {"a": INTEGER})
    store(bench, {"a": 5}, {"a": 6})
    con = open_duckdb(str(bench.store))
    con.execute("UPDATE d SET _collected_at = TIMESTAMPTZ '2020-01-01 00:00:00Z' WHERE a = 5")
    con.close()
    report = held_to(bench, {"a": {"type": "string"}}, since=datetime(2024, 1, 1, tzinfo=UTC))
    assert (report.rows_seen, report.sources) == (1, {"s1": 1})


def test_nothing_stored_is_said(bench: Bench) -> None:
    bench.enforce("e", {"a": INTEGER})
    with bench.service() as service:
        service.send("/collect/e", {"a": 1})
        service.flush()
    with pytest.raises(UnknownDataset, match="nothing of it is stored"):
        held_to(bench, {"a": INTEGER})
