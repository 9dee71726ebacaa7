"""The profile of the whole, from those of its parts: exact where it says so, close where it estimates."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from assay.profile.document import FieldProfile, Profile
from assay.profile.learn import learn
from assay.profile.merge import merge
from assay.profile.relation import profile

random = np.random.default_rng(11)
N = 30_000
LOW = random.normal(0, 3, N)
FRAME = pd.DataFrame(
    {
        "real": random.lognormal(2, 1, N),
        "whole": random.poisson(2_000, N),
        "few": random.integers(0, 9, N),
        "text": random.choice(["a", "b", "c"], N),
        "code": [f"N{i}" for i in random.integers(0, 5_000, N)],
        "id": np.arange(N),
        "flag": random.random(N) < 0.2,
        "gap": np.where(random.random(N) < 0.1, np.nan, random.normal(5, 1, N)),
        "temp_min": LOW,
        "temp_max": LOW + random.exponential(1, N),
        "when": pd.date_range("2026-01-01", periods=N, freq="min", tz="UTC"),
    }
)
PARTS = [FRAME.iloc[a:b] for a, b in ((0, 9_000), (9_000, 17_000), (17_000, N))]


def test_parts_of_a_frame() -> None:
    whole, merged = profile(FRAME, dataset="d"), merge([profile(part, dataset="d") for part in PARTS])
    assert [(each.rule, each.rows) for each in merged.relations] == [("temp_min ≤ temp_max", N)]
    for expected, found in zip(whole.fields, merged.fields, strict=True):
        assert (found.name, found.rows, found.types, found.true) == (
            expected.name,
            expected.rows,
            expected.types,
            expected.true,
        )
        if expected.numbers is not None:
            _check_numbers(found, expected)
        if expected.strings is not None:
            assert found.strings is not None
            assert found.strings.formats == expected.strings.formats
            assert found.strings.shapes == expected.strings.shapes
            assert found.strings.complete == expected.strings.complete
            if expected.strings.complete:
                assert found.strings.values == expected.strings.values  # noqa: PD011


def _check_numbers(found: FieldProfile, expected: FieldProfile) -> None:
    a, b = found.numbers, expected.numbers
    assert a is not None
    assert b is not None
    assert (a.count, a.minimum, a.maximum, a.integral, a.rising) == (
        b.count,
        b.minimum,
        b.maximum,
        b.integral,
        b.rising,
    )
    assert (a.largest, a.smallest, a.values) == (b.largest, b.smallest, b.values)  # noqa: PD011
    assert a.mean == pytest.approx(b.mean, rel=1e-9, abs=1e-9)
    assert a.deviation == pytest.approx(b.deviation, rel=1e-9)
    assert sum(a.counts) == b.count
    for (_, one), (_, other) in zip(a.quantiles, b.quantiles, strict=True):
        assert one == pytest.approx(other, abs=0.15 * b.deviation)


def test_what_is_learned_is_nearly_the_same() -> None:
    whole, merged = learn(profile(FRAME)), learn(merge([profile(part) for part in PARTS]))
    for expected, found in zip(whole.fields, merged.fields, strict=True):
        rules = ("types", "nullable", "required", "minimum", "maximum", "enum", "format", "pattern", "max_length")
        assert {name: getattr(found, name) for name in rules} == {name: getattr(expected, name) for name in rules}
    assert merged.evidence["keys"] == whole.evidence["keys"]
    assert [each["rule"] for each in merged.evidence["relations"]] == ["temp_min ≤ temp_max"]


VALUES = (
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-9, 9, allow_nan=False) | st.sampled_from(["x", "yy"])
)
EVENTS = st.dictionaries(
    st.sampled_from("abc"),
    VALUES | st.lists(VALUES, max_size=3) | st.dictionaries(st.sampled_from("xy"), VALUES),
    max_size=3,
)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    max_examples=20,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(parts=st.lists(st.lists(EVENTS, min_size=1, max_size=8), min_size=1, max_size=4))
def test_events_are_counted_as_in_one(parts: list[list[Any]], tmp_path: Path) -> None:
    def of(events: list[Any]) -> Profile:
        path = tmp_path / "events.ndjson"
        path.write_text("\n".join(map(json.dumps, events)))
        return profile(path)

    merged, whole = merge([of(part) for part in parts]), of([event for part in parts for event in part])
    labels = dict(whole.walk())
    assert dict(merged.walk()).keys() == labels.keys()
    for label, found in merged.walk():
        expected = labels[label]
        assert (found.rows, dict(found.types), found.true) == (expected.rows, dict(expected.types), expected.true)
        if expected.numbers is not None and found.numbers is not None:
            assert found.numbers.values == expected.numbers.values  # noqa: PD011
            assert found.numbers.largest == expected.numbers.largest
        if expected.strings is not None and found.strings is not None:
            assert found.strings.values == expected.strings.values  # noqa: PD011


def test_a_field_that_begins_later_was_missing_before() -> None:
    old, new = profile(FRAME[["few"]]), profile(FRAME[["few", "text"]])
    text = merge([old, new]).fields[1]
    assert (text.name, text.rows, text.missing) == ("text", 2 * N, N)


def test_of_one_and_of_none() -> None:
    alone = profile(FRAME[["few"]])
    assert merge([alone]) is alone
    empty = replace(alone, rows=0, fields=())
    assert merge([empty, alone]).fields == alone.fields
    with pytest.raises(ValueError, match="no whole"):
        merge([])
