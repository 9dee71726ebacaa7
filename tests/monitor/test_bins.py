from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.contract.evidence import Bins
from assay.monitor import bins as bins_module
from assay.monitor.bins import Binner, Columns, binned_fields, binner_of, count_bins
from tests.monitor.samples import categories, contract, learned, numbers

EDGES = Bins(rows=100, share={}, edges=(1.0, 2.0), low=0.0, high=3.0)
VALUES = Bins(rows=100, share={}, values=("a", "null", 1, True, 2.5), low=1, high=2.5)


@pytest.mark.parametrize(
    ("value", "label"),
    [
        (None, "null"),
        (0, "b0"),
        (-0.0, "b0"),
        (1, "b0"),
        (1.0, "b0"),
        (math.nextafter(1, 2), "b1"),
        (2, "b1"),
        (3, "b2"),
        (3.5, "high"),
        (-1, "low"),
        (10**30, "high"),
        (-(10**30), "low"),
        (10**400, "_other"),
        (math.inf, "_other"),
        (-math.inf, "_other"),
        (math.nan, "_other"),
        (True, "_other"),
        ("1", "_other"),
        ([], "_other"),
        ({}, "_other"),
    ],
)
@pytest.mark.parametrize("times", [1, 1000])
def test_a_number_has_one_bin(value: object, label: str, times: int) -> None:
    assert dict(zip(EDGES.labels, count_bins(EDGES, [value] * times), strict=True))[label] == times


@pytest.mark.parametrize(
    ("value", "label"),
    [
        (None, "null"),
        ("a", "a"),
        ("null", '"null"'),
        (1, "1"),
        (1.0, "1"),
        (True, "true"),
        (False, "_other"),
        (2.5, "2.5"),
        (2, "_other"),
        (3, "high"),
        (0.5, "low"),
        (10**400, "_other"),
        (math.nan, "_other"),
        (math.inf, "_other"),
        ("b", "_other"),
        ([1], "_other"),
        ({"a": 1}, "_other"),
    ],
)
@pytest.mark.parametrize("times", [1, 1000])
def test_a_category_has_one_bin(value: object, label: str, times: int) -> None:
    assert dict(zip(VALUES.labels, count_bins(VALUES, [value] * times), strict=True))[label] == times


def test_without_extremes_nothing_is_low_or_high() -> None:
    assert count_bins(Bins(rows=1, share={}, edges=(1.0,)), [-1e300, 1e300, 10**300]) == [1, 2, 0, 0, 0, 0]


JSON_VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(2**53 - 3, 2**53 + 3)
    | st.integers(min_value=10**307, max_value=10**310)
    | st.floats()
    | st.sampled_from(["a", "b", "null", "1"])
    | st.lists(st.integers(), max_size=2)
    | st.dictionaries(st.text(max_size=1), st.none(), max_size=1)
)


@given(
    values=st.lists(JSON_VALUES, max_size=80),
    edges=st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.just(2.0**53), max_size=4, unique=True),
    ends=st.tuples(*[st.none() | st.floats(allow_nan=False, allow_infinity=False)] * 2),
    kind=st.sampled_from(["values", "edges"]),
)
def test_the_loop_and_the_array_agree(
    values: list[Any], edges: list[float], ends: tuple[float | None, float | None], kind: str
) -> None:
    low, high = ends
    if kind == "values":
        bins = Bins(rows=1, share={}, values=("a", "null", True, 0, 1, 2**53), low=low, high=high)
    else:
        bins = Bins(rows=1, share={}, edges=tuple(sorted(edges)), low=low, high=high)
    binner = Binner(bins)
    one_by_one = [0] * len(bins.labels)
    for value in values:
        one_by_one[binner.index(value)] += 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bins_module, "_FEW", 0)
        assert binner.count(values) == one_by_one
    assert sum(one_by_one) == len(values)


@given(
    values=st.lists(st.none() | st.integers(-3, 3), max_size=60)
    | st.lists(st.none() | st.floats(), max_size=60)
    | st.lists(st.none() | st.sampled_from(["a", "b", "null"]), max_size=60)
    | st.lists(st.none() | st.booleans(), max_size=60),
    kind=st.sampled_from([VALUES, EDGES]),
)
def test_places_of_a_column_are_those_of_its_values(values: list[Any], kind: Bins) -> None:
    binner = Binner(kind)
    array = pa.array(values, None if any(value is not None for value in values) else pa.float64())
    assert binner.places(array).tolist() == [binner.index(value) for value in values]
    assert binner.count_array(array) == binner.count(values)


LAGS = {
    unit: Bins(rows=100, share={}, edges=(10.0,), low=-60.0, high=90.0, lag=unit) for unit in ("date-time", "s", "ms")
}
NOW_S = 1_750_000_000.0
NOW = datetime.fromtimestamp(NOW_S, UTC)


@pytest.mark.parametrize(
    ("unit", "value", "label"),
    [
        ("date-time", "2025-06-15T15:06:39.5Z", "b0"),
        ("date-time", "2025-06-15T17:06:25+02:00", "b1"),
        ("date-time", "2025-06-15T14:06:39Z", "high"),
        ("date-time", "2025-06-15T16:06:39Z", "low"),
        ("date-time", "2025-06-15T15:06:39", "_other"),
        ("date-time", "yesterday", "_other"),
        ("date-time", 1_750_000_000, "_other"),
        ("date-time", datetime(2025, 6, 15, 15, 6, 39, tzinfo=UTC), "b0"),
        ("s", 1_750_000_000, "b0"),
        ("s", 1_749_999_985.5, "b1"),
        ("s", 1_750_000_000_000, "low"),
        ("ms", 1_750_000_000_000, "b0"),
        ("ms", 1_750_000_000, "high"),
        ("ms", "1750000000000", "_other"),
        ("ms", True, "_other"),
        ("ms", 10**400, "_other"),
        ("ms", math.nan, "_other"),
        ("ms", None, "null"),
    ],
)
@pytest.mark.parametrize("times", [1, 1000])
def test_a_moment_is_binned_by_how_long_ago_it_is(unit: str, value: object, label: str, times: int) -> None:
    bins = LAGS[unit]
    assert dict(zip(bins.labels, count_bins(bins, [value] * times, NOW_S), strict=True))[label] == times


@given(
    times=st.lists(
        st.none() | st.integers(-600_000_000, 600_000_000).map(lambda us: NOW + timedelta(microseconds=us)),
        max_size=60,
    ),
    unit=st.sampled_from(["date-time", "s", "ms"]),
)
def test_columns_of_moments_and_their_values_agree(times: list[datetime | None], unit: str) -> None:
    binner = binner_of(LAGS[unit])
    per_second = {"s": 1, "ms": 1000}.get(unit)
    values: list[Any] = [
        None if time is None else time.isoformat() if per_second is None else time.timestamp() * per_second
        for time in times
    ]
    arrays = [pa.array(values, pa.string() if per_second is None else pa.float64())]
    if per_second is None:
        arrays.append(pa.array(times, pa.timestamp("us", "UTC")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bins_module, "_FEW", 1000)
        expected = binner.count(values, NOW_S)
        patch.setattr(bins_module, "_FEW", 0)
        assert binner.count(values, NOW_S) == expected
    assert sum(expected) == len(values)
    for array in arrays:
        assert binner.count_array(array, NOW_S) == expected
        places = binner.places(array, np.full(len(values), NOW_S))
        assert np.bincount(places, minlength=len(expected)).tolist() == expected


def test_columns_of_nested_fields() -> None:
    price = {"type": "number", "x-assay": {"bins": numbers(bins=2)}}
    fields = {
        "a": {"type": "object", "properties": {"b": {"type": "string", "x-assay": {"bins": categories(x=0.5, y=0.5)}}}},
        "items": {"type": "array", "items": {"type": "object", "properties": {"price": price}}},
    }
    events: list[dict[str, Any]] = [
        {"a": {"b": "x"}, "items": [{"price": 1}, {"price": 15.0}, 7]},
        {"a": {"b": "z"}, "items": []},
        {"a": "no object", "items": "no list"},
        {"a": None},
        {},
    ]
    columns = Columns(contract("shop", fields))
    counted = {label: dict(zip(columns.labels[label], counts, strict=True)) for label, counts in columns.count(events)}
    assert counted == {
        "a.b": {"x": 1, "y": 0, "null": 3, "low": 0, "high": 0, "_other": 1},
        "items[].price": {"b0": 1, "b1": 1, "null": 1, "low": 0, "high": 0, "_other": 0},
    }


def test_fields_that_share_a_label_are_not_counted() -> None:
    bins = {"x-assay": {"bins": categories(x=1.0)}}
    fields = {
        "a.b": {"type": "string", **bins},
        "a": {"type": "object", "properties": {"b": {"type": "string", **bins}}},
    }
    assert binned_fields(contract("shop", fields)) == []
    assert [label for label, _ in binned_fields(learned())] == ["price", "age", "city", "member", "to.zip"]
