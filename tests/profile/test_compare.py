"""What changed between two profiles: what did is said, and chance is not."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest

from assay.profile.compare import Change, compare
from assay.profile.relation import profile

random = np.random.default_rng(5)
N = 4_000


def frame(**changed: Any) -> pd.DataFrame:
    columns = {
        "real": random.normal(10, 2, N),
        "whole": random.poisson(50, N),
        "few": random.integers(0, 5, N),
        "kind": random.choice(["a", "b", "c"], N),
        "many": random.choice([f"v{i}" for i in range(30)], N),
        "flag": random.random(N) < 0.3,
        "gap": np.where(random.random(N) < 0.05, np.nan, random.normal(0, 1, N)),
        "when": pd.date_range("2026-01-01", periods=N, freq="s", tz="UTC"),
        "tags": [["a"]] * N,
    }
    return pd.DataFrame({name: column for name, column in (columns | changed).items() if column is not None})


def changes(old: pd.DataFrame, new: pd.DataFrame) -> dict[str, Change]:
    return {change.label: change for change in compare(profile(old), profile(new))}


def test_the_same_law_is_no_change() -> None:
    for _ in range(5):
        found = changes(frame(), frame())
        assert {label for label, change in found.items() if change.status != "same"} == set()
        assert all(change.drift is None or change.drift < 0.05 for change in found.values())


@pytest.mark.parametrize(
    ("label", "column", "says"),
    [
        ("real", random.normal(11, 2, N), r"mean .* → .* \(\+0\.\d+ deviations\), spread ×"),
        ("real", random.normal(10, 6, N), "spread ×"),
        ("real", [*random.normal(10, 2, N - 1), 500.0], "up to 500, was"),
        ("real", [*random.normal(10, 2, N - 1), -500.0], "down to -500, was"),
        ("whole", random.poisson(55, N), "mean"),
        ("few", random.integers(0, 7, N), "mean"),
        ("kind", random.choice(["a", "b", "d"], N), "new values: d"),
        ("kind", random.choice(["a", "b"], N), "values gone: c"),
        ("kind", random.choice(["a", "b", "c"], N, p=[0.8, 0.1, 0.1]), "in other shares"),
        ("many", [f"w{i % 30}" for i in range(N)], "and 25 more"),
        ("flag", random.random(N) < 0.6, "in other shares"),
        (
            "gap",
            np.where(random.random(N) < 0.2, np.nan, random.normal(0, 1, N)),
            r"^missing or null \d\.\d% → (19|20|21)",
        ),
        ("whole", [str(i) for i in range(N)], "now string, not integer"),
        ("real", None, "no longer there: was number"),
        ("more", random.normal(size=N), "new: number, in 100.0% of the rows"),
    ],
)
def test_a_change_is_said(label: str, column: Any, says: str) -> None:
    found = changes(frame(), frame(**{label: column}))
    assert {name for name, change in found.items() if change.status != "same"} == {label}
    assert re.search(says, "; ".join(found[label].says)), found[label]
    drift, limit = found[label].drift, found[label].limit
    if drift is not None and limit is not None and "to" not in says.split():
        assert drift > limit


def test_the_most_changed_come_first() -> None:
    new = frame(real=random.normal(11, 2, N), whole=random.poisson(90, N), more=random.normal(size=N), kind=None)
    found = compare(profile(frame()), profile(new))
    assert [(change.label, change.status) for change in found[:4]] == [
        ("more", "new"),
        ("kind", "lost"),
        ("whole", "changed"),
        ("real", "changed"),
    ]
    assert found[2].to_document()["field"] == "whole"


def test_of_nothing() -> None:
    empty = profile(frame().head(0))
    assert all(change.drift is None for change in compare(empty, profile(frame())))
    assert compare(profile(frame()), empty)
