"""Soft rules over data at rest: counted alike in columns and in events, and never a violation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.contract.document import Contract
from assay.contract.relations import Relation
from assay.frames.check import check
from assay.frames.soft import Soft

RELATIONS = [
    Relation("order", ("a", "b"), 5_000, 0.4),
    Relation("equal", ("a", "b"), 5_000, 0.4),
    Relation("sum", ("c", "a", "b"), 5_000, 0.4),
    Relation("together", ("a", "b", "c"), 5_000, 0.4),
]


def contract(*relations: Relation) -> Contract:
    evidence = {"relations": [each.to_document() for each in relations]}
    return Contract.parse({"type": "object", "x-assay": evidence})


CELLS = st.none() | st.integers(-3, 3)
REALS = st.none() | st.sampled_from([-1.5, 0.0, 0.1, 0.2, 0.3, 0.30000000000000004, 1e300])


@given(st.lists(st.tuples(CELLS, CELLS | REALS, REALS), min_size=1))
def test_columns_count_as_events_do(rows: list[tuple[Any, ...]]) -> None:
    soft, expected = Soft(contract(*RELATIONS)), Soft(contract(*RELATIONS))
    columns = {
        "a": pa.array([row[0] for row in rows], pa.int64()),
        "b": pa.array([row[1] for row in rows], pa.float64()),
        "c": pa.array([row[2] for row in rows], pa.float64()),
    }
    soft.add_batch(pa.RecordBatch.from_pydict(columns))
    expected.add_lines([json.dumps(dict(zip("abc", row, strict=True))).encode() for row in rows])
    assert soft.broken == expected.broken


@pytest.mark.parametrize(
    ("first", "second", "broken"),
    [
        pytest.param(pa.array([1, 2], pa.uint8()), pa.array([1.0, 1.0]), 1, id="integers and doubles"),
        pytest.param(pa.array([2**63], pa.uint64()), pa.array([-1], pa.int64()), 1, id="beyond 64 bits"),
        pytest.param(pa.array([1, 2]).cast(pa.decimal128(21, 2)), pa.array([1.5, 1.5]), 1, id="decimals"),
        pytest.param(
            pa.array([1, 9], pa.timestamp("us", "UTC")), pa.array([2, 2], pa.timestamp("us", "UTC")), 1, id="times"
        ),
        pytest.param(pa.array(["2026-01-02", "x"]), pa.array(["2026-01-01", "a"]), 1, id="times as text"),
        pytest.param(pa.array([True]), pa.array([0]), 0, id="other kinds"),
    ],
)
def test_kinds_of_columns(first: pa.Array, second: pa.Array, broken: int) -> None:
    soft = Soft(contract(RELATIONS[0]))
    soft.add_batch(pa.RecordBatch.from_arrays([first, second], names=["a", "b"]))
    assert soft.broken == {"a ≤ b": broken}


def test_a_check_counts_them_and_is_content(tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson"
    path.write_text('{"a": 2, "b": 1}\n{"a": 1, "b": 1}\nno JSON\n[1]\n{"b": 1}\n')
    report = check(path, contract(RELATIONS[0], RELATIONS[3]))
    assert report.soft == {"a ≤ b": 1, "a, b and c are there together or not at all": 3}
    assert report.bad == 2  # the lines that are no events
    assert report.to_document()["soft"] == report.soft
    good = check(pa.table({"a": [2], "b": [1], "c": [0]}), contract(RELATIONS[0]))
    assert (good.ok, good.soft) == (True, {"a ≤ b": 1})
    assert "soft" not in check(pa.table({"a": [2]}), contract()).to_document()
