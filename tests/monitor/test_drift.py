"""The drift that pages show is the one that the rules record."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.contract.document import Contract
from assay.contract.evidence import Bins
from assay.monitor.drift import DRIFT_BASE, drift
from assay.monitor.evaluate import Rule, read_rules
from assay.monitor.expression import Binary
from assay.monitor.rule_settings import RuleSettings
from assay.monitor.rules import render_rules

BINS = Bins(1_000, {"b0": 0.5, "b1": 0.4, "null": 0.1}, edges=(1.0,), low=0.0, high=2.0)


def test_nothing_is_no_drift() -> None:
    assert drift(BINS, [0] * 6) is None


def test_the_profile_itself_has_not_moved() -> None:
    found = drift(BINS, [500, 400, 100, 0, 0, 0])
    assert found is not None
    assert found.distance == 0
    assert not found.is_over


def test_a_stuck_value_has() -> None:
    found = drift(BINS, [0, 600, 0, 0, 0, 0])
    assert found is not None
    assert found.distance == pytest.approx(2 * (0.5 + 0.36 / 1.4 + 0.1))
    assert found.is_over


@given(st.lists(st.integers(0, 10_000), min_size=6, max_size=6).filter(any))
def test_it_is_the_triangular_distance(counts: list[int]) -> None:
    found = drift(BINS, counts)
    assert found is not None
    total = sum(counts)
    live = np.array(counts) / total
    expected = np.array([BINS.share.get(label, 0.0) for label in BINS.labels])
    floored = np.maximum(expected, 0.5 / BINS.rows)
    assert found.distance == pytest.approx(float(2 * np.sum((live - expected) ** 2 / (live + floored))))
    assert 0 <= found.distance <= 4


def test_the_tolerance_is_that_of_the_rules() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "number", "x-assay": {"bins": BINS.to_document()}}}}
    rules = read_rules(render_rules([Contract.parse(schema, dataset="d", version=1)], RuleSettings()))
    constants = {rule.name: rule for rule in rules if rule.labels}
    found = drift(BINS, [500, 400, 100, 0, 0, 0])
    assert found is not None
    limit = value(constants["assay:drift_base"]) + value(constants["assay:drift_k"]) * (1 / 1_000 + 1 / 1_000)
    assert found.limit == pytest.approx(limit, rel=1e-5)
    assert RuleSettings().drift_base == DRIFT_BASE


def value(rule: Rule) -> float:
    expression = rule.expression
    assert not isinstance(expression, Binary)
    return float(expression.arguments[0].value)  # type: ignore[union-attr]
