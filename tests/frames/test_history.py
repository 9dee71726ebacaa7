"""What is counted from the store and from quarantine is what the service counted when it came."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from assay.contract.document import Contract
from assay.contract.versions import Active
from assay.frames.history import History
from assay.store.embedded import open_duckdb
from tests.conftest import Bench, Service, until

BINS = {"rows": 1000, "edges": [1.0, 2.0], "share": {"b0": 0.5, "b1": 0.5}, "low": 0.0, "high": 3.0}
NAMES = {"rows": 1000, "values": ["x", "y"], "share": {"x": 0.5, "y": 0.5}}
FLAGS = {"rows": 1000, "values": [False, True], "share": {"true": 1.0}}
LAGS = {"rows": 1000, "edges": [10.0], "share": {"b0": 1.0}, "low": -60.0, "high": 3600.0, "lag": "date-time"}
FLAT: dict[str, Any] = {
    "t": {"type": "string", "format": "date-time", "x-assay": {"bins": LAGS}},
    "a": {"type": "number", "minimum": 0, "maximum": 9, "x-assay": {"bins": BINS}},
    "n": {"type": ["integer", "null"], "x-assay": {"bins": BINS}},
    "s": {"type": "string", "x-assay": {"bins": NAMES}},
    "_own": {"type": "boolean", "x-assay": {"bins": FLAGS}},
    "any": {"x-assay": {"bins": NAMES}},
}
NESTED: dict[str, Any] = {
    "a": FLAT["a"],
    "o": {"type": "object", "properties": {"s": FLAT["s"]}},
    "items": {"type": "array", "items": FLAT["a"]},
}
NOW = datetime.now(UTC)
EVENTS: list[dict[str, Any]] = [
    {"a": 0.5, "n": 1, "s": "x", "t": (NOW - timedelta(minutes=5)).isoformat()},
    {"a": 1, "n": None, "s": "y", "_own": True, "more": 1, "t": (NOW + timedelta(hours=1)).isoformat()},
    {"a": 1, "t": "2016-12-31T23:59:60Z"},
    {"a": 1, "t": "2016-12-31"},
    {"a": 2.5, "n": 2**70, "s": "z", "any": 7},
    {"a": 8, "any": "x", "_own": False, "o": {"s": "x", "more": 1}, "items": [1, 2, 5]},
    {"a": -1, "s": "x", "items": []},
    {"a": "1", "n": True, "s": 3, "o": {"s": 7}},
    {"n": 3, "o": {}, "items": [None]},
]


def counts_of(service: Service, dataset: str) -> dict[str, float]:
    """The service's series about data that are not 0, those that the history has too."""
    names = ("assay_events_total", "assay_violations_total", "assay_field_values_total")
    return {
        name: value
        for name, value in service.metrics().items()
        if name.startswith(names) and f'dataset="{dataset}"' in name and value
    }


def history_of(service: Service, contract: Contract, active: Active) -> dict[str, float]:
    """The same from the store, summed over its steps."""
    service.flush()
    con = open_duckdb(str(service.bench.store))
    try:
        history = History(con, contract, active, step_s=2)
        now = int(time.time() / 2)
        # In two stretches, none of which may have an event of the other.
        parts = [history.counted(now - 100, now - 1), history.counted(now - 1, now + 5)]
    finally:
        con.close()
    found: dict[str, float] = {}

    def add(name: str, counts: np.ndarray[Any, Any], **labels: str) -> None:
        text = ",".join(f"{key}={json.dumps(value)}" for key, value in sorted(labels.items()))
        if counts.sum():
            full = f"{name}{{{text}}}"
            found[full] = found.get(full, 0) + float(counts.sum())

    columns = history._columns.labels
    for part in parts:
        for (source, outcome), counts in part.events.items():
            add("assay_events_total", counts, dataset=contract.dataset, source=source, outcome=outcome)
        for (label, kind), counts in part.violations.items():
            add("assay_violations_total", counts, dataset=contract.dataset, field=label, type=kind)
        for label, rows in part.values.items():
            for name, row in zip(columns[label], rows, strict=True):
                add("assay_field_values_total", row, dataset=contract.dataset, field=label, bin=name)
    return found


@pytest.mark.parametrize("properties", [pytest.param(FLAT, id="flat"), pytest.param(NESTED, id="nested")])
@pytest.mark.parametrize("mode", ["enforce", "observe"])
def test_the_store_says_what_the_service_counted(bench: Bench, properties: dict[str, Any], mode: Any) -> None:
    bench.contract("d", properties, required=["a"])
    bench.activate("d", mode=mode)
    contract = bench.versions.load("d", 1)
    with bench.service() as service:
        service.lines("/collect/d", *EVENTS, b'{"a": ', b"[1]")
        for event in EVENTS:
            service.send("/collect/d", event, X_Assay_Source="till")
        for kind, data in (("good", {"a": 1.5}), ("bad", {"a": -3})):
            envelope = {"specversion": "1.0", "id": kind, "source": "/s", "type": "t", "data": data}
            service.send("/collect/d", envelope, "application/cloudevents+json")
        service.send("/collect/d", {"a": 1.5, "s": "x"}, "application/cloudevents-batch+json")  # no batch: no event
        sink = pa.BufferOutputStream()
        rows = pa.table({"a": [0.5, 2.5]})
        with pa.ipc.new_stream(sink, rows.schema) as writer:
            writer.write_table(rows)
        service.send("/collect/d", sink.getvalue().to_pybytes(), "application/vnd.apache.arrow.stream")
        service.flush()  # what was answered is counted a moment later

        def events() -> float:
            return sum(value for name, value in counts_of(service, "d").items() if name.startswith("assay_events"))

        assert until(lambda: events() == 2 * len(EVENTS) + 7)
        assert history_of(service, contract, Active(1, mode)) == counts_of(service, "d")


def test_another_contract_judges_what_came(bench: Bench) -> None:
    bench.enforce("d", FLAT, required=["a"])
    with bench.service() as service:
        service.lines("/collect/d", *EVENTS)
        wider = Contract.parse(
            {"type": "object", "properties": {"a": {"x-assay": {"bins": BINS}}}}, dataset="d", version=2
        )
        found = history_of(service, wider, Active(2))
    assert found == {
        'assay_events_total{dataset="d",outcome="accepted",source="unknown"}': 9,
        'assay_field_values_total{bin="_other",dataset="d",field="a"}': 1,
        'assay_field_values_total{bin="b0",dataset="d",field="a"}': 4,
        'assay_field_values_total{bin="b2",dataset="d",field="a"}': 1,
        'assay_field_values_total{bin="high",dataset="d",field="a"}': 1,
        'assay_field_values_total{bin="low",dataset="d",field="a"}': 1,
        'assay_field_values_total{bin="null",dataset="d",field="a"}': 1,
    }


def test_nothing_is_counted_of_what_is_not_there(bench: Bench) -> None:
    con = open_duckdb(str(bench.store))
    try:
        counted = History(con, Contract.parse({"type": "object"}, dataset="d"), None, step_s=5).counted(0, 10)
    finally:
        con.close()
    assert (counted.steps, counted.total, counted.last) == (10, 0, None)
