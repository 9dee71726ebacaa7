"""Contracts of public data sets are printed, and no rule in them is of a kind that a person would laugh at."""

from __future__ import annotations

import pytest
from benches.contracts.__main__ import printed, sets

from assay.errors import NotEnoughData
from assay.profile.learn import learn
from assay.profile.relation import profile

SETS = dict(sets())


@pytest.mark.parametrize("name", sorted(SETS))
def test_it_is_printed(name: str) -> None:
    text = printed(name, SETS[name])
    assert text.startswith(f"{name}, learned from") or "a contract needs at least 100" in text
    assert "None" not in text


@pytest.mark.parametrize("name", sorted(SETS))
def test_nothing_laughable(name: str) -> None:
    try:
        contract = learn(profile(SETS[name], dataset=name))
    except NotEnoughData:
        return
    for label, field in contract.root.walk():
        names_a_row = label in {"tailnum", "faa", "year", "time_hour"} or label.endswith("_id")
        if names_a_row:
            assert (field.minimum, field.maximum, field.enum) == (None, None, None), label
        if label in {"month", "day", "hour", "minute"}:
            assert (field.minimum, field.maximum) in {(1, 12), (1, 31), (0, 23), (0, 59)}, label
        if label in {"lat", "temp", "dewp"}:
            assert field.minimum is None or field.minimum < 0, label
        assert all(refusal.share < 0.01 for refusal in contract.refusals), label
