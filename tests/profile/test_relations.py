"""Relations between fields: those that are there are found, from columns and from events, and accidents are not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from assay.profile.document import Profile
from assay.profile.relation import profile

random = np.random.default_rng(7)
N = 5_000
NET = random.lognormal(3, 1, N).round(2)
TAX = (NET * 0.19).round(2)
SHIPPING = random.choice([0.0, 4.99], N)
BEGUN = pd.Timestamp("2026-03-01", tz="UTC") + pd.to_timedelta(random.uniform(0, 5e6, N), unit="s")
SOME = random.random(N) < 0.3
LOW = random.normal(0, 5, N)
TEMP = LOW + random.exponential(1, N)


def rules(frame: Any) -> set[str]:
    return {each.rule for each in profile(frame).relations}


FRAME = pd.DataFrame(
    {
        "net": NET,
        "tax": TAX,
        "shipping": SHIPPING,
        "total": (NET + TAX + SHIPPING).round(2),
        "begun_at": BEGUN,
        "ended_at": BEGUN + pd.to_timedelta(random.exponential(1e5, N), unit="s"),
        "coupon": ["SAVE" if some else None for some in SOME],
        "discount": np.where(SOME, random.uniform(1, 5, N).round(2), np.nan),
        "temp_min": LOW,
        "temp": TEMP,
        "temp_max": TEMP + random.exponential(1, N),
        "month": random.integers(1, 13, N),
        "distance": random.integers(10, 5_000, N),
    }
)
RULES = {
    "net + tax + shipping = total",
    "begun_at ≤ ended_at",
    "coupon and discount are there together or not at all",
    "temp_min ≤ temp",
    "temp ≤ temp_max",
}


def test_of_columns() -> None:
    assert rules(FRAME) == RULES
    found = {each.rule: each for each in profile(FRAME).relations}
    coupon = found["coupon and discount are there together or not at all"]
    assert (coupon.rows, coupon.absent) == (N, N - SOME.sum())
    assert found["net + tax + shipping = total"].by_chance > 0.99
    assert found["temp_min ≤ temp"].by_chance == pytest.approx(0.44, abs=0.05)


def test_of_events(tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson"
    path.write_text("\n".join(FRAME.to_json(orient="records", lines=True, date_format="iso").splitlines()))
    events = [json.loads(line) for line in path.read_text().splitlines()]
    for event in events[::2]:  # missing or null: either is not there
        if event["coupon"] is None:
            del event["coupon"]
    path.write_text("\n".join(map(json.dumps, events)))
    assert rules(path) == RULES


def test_one_row_that_breaks_it_is_enough() -> None:
    columns: dict[str, list[Any]] = {str(name): FRAME[name].tolist() for name in FRAME}
    last = {"total": 1e6, "temp_min": 2_000, "temp": 1_000, "coupon": "SAVE", "discount": np.nan}
    last["ended_at"] = columns["begun_at"][-1] - pd.Timedelta(1, "s")
    for name, value in last.items():
        columns[name][-1] = value
    broken = pd.DataFrame(columns)
    assert rules(broken) == set()


def test_what_follows_from_two_others_is_not_said() -> None:
    assert "temp_min ≤ temp_max" not in rules(FRAME)
    assert "temp_min ≤ temp_max" in rules(FRAME.drop(columns="temp"))
    same = pd.DataFrame({"a": LOW, "b": LOW, "other": random.normal(size=N)})
    assert rules(same) == {"a = b"}


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(pd.DataFrame({"a": range(999), "b": range(999)}), id="too few rows"),
        pytest.param(pd.DataFrame({"price": LOW, "weight": LOW + 20}), id="one is always far above"),
        pytest.param(pd.DataFrame({"price": LOW, "weight": LOW + 2}), id="nothing in common but the numbers"),
        pytest.param(pd.DataFrame({"a": [1.0] * N, "b": [1.0] * N}), id="constants"),
        pytest.param(pd.DataFrame({"x": LOW}), id="one column"),
        pytest.param(pd.DataFrame({"x": [np.nan] * N, "y": [None] * N}), id="nothing there"),
        pytest.param(
            pd.DataFrame(
                {
                    "a": np.where(np.arange(N) < 10, np.nan, LOW),
                    "b": np.where(np.arange(N) < 10, np.nan, random.normal(size=N)),
                }
            ),
            id="missing too seldom",
        ),
        pytest.param(
            pd.DataFrame({"a_id": np.arange(N) * 7 % 999, "b_id": np.arange(N) * 7 % 999 + 1}), id="identifiers"
        ),
    ],
)
def test_accidents_are_none(frame: pd.DataFrame) -> None:
    assert rules(frame) == set()


def test_a_profile_keeps_them() -> None:
    found = profile(FRAME)
    assert Profile.parse(found.to_json()) == found
