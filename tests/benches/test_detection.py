"""The race is fair and about the product: shortcuts agree with its own verdicts, bins and generated rules."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from typing import Any

import numpy as np
import pytest
from benches.detection.__main__ import markdown, thresholds
from benches.detection.column import CLEAN, LOOK, LOOKS, Column, chunks, windows
from benches.detection.corruptions import NUMBERS, TEXTS, corrupted
from benches.detection.data import DATA
from benches.detection.entrants import assay_rules, entrants
from benches.detection.entrants.generated import Constants, expression, floor_rows
from benches.detection.plot import plot
from benches.detection.race import race
from benches.detection.scores import Score, first_alarm

from assay.contract.models import live_model
from assay.monitor.bins import Binner, count_bins
from assay.monitor.promql import count_limit
from assay.monitor.recording import drift_k, reject_share, violation_share
from assay.profile.learn import learn
from assay.profile.relation import profile

FAST = [entrant for entrant in entrants()[0] if not entrant.slow]


@pytest.fixture(scope="module")
def drawn() -> Any:
    """The flights: whole numbers, nulls, texts with patterns and enums."""
    rows, (stream,) = DATA["flights"].draw(np.random.default_rng(1), 1)
    return rows, stream, learn(profile(assay_rules._arrow(rows), dataset="bench"))


def every_corruption(drawn: Any) -> Any:
    rows, stream, contract = drawn
    names = list(stream)
    for i, field in enumerate(contract.fields):
        column = stream[field.name]
        other = next(each for each in names[i + 1 :] + names if stream[each].text == column.text)
        for name in TEXTS if column.text else NUMBERS:
            changed = corrupted(column, name, 0.3, profile=rows[field.name], other=stream[other], seed=i)
            if changed is not None:
                # Enough of each to meet every rule, few enough for Pydantic.
                yield field, name, changed


def test_verdicts_are_those_of_the_contract(drawn: Any) -> None:
    contract = drawn[2]
    validator = live_model(contract).__pydantic_validator__
    good = next(event for event in _events(drawn[1]) if validator.isinstance_python(event))
    for field, name, column in every_corruption(drawn):
        part = column.take(slice(CLEAN, CLEAN + 60))
        own = assay_rules.Judge(field).violations(part) != 0
        for value, refused in zip(part.json(), own, strict=True):
            event = {key: each for key, each in good.items() if key != field.name}
            if value is not None:  # a table does not know missing from null
                event[field.name] = value
            assert validator.isinstance_python(event) is not bool(refused), (field.name, name, value)


def _events(stream: dict[str, Column]) -> Any:
    columns = {name: column.take(slice(0, 200)).json() for name, column in stream.items()}
    for row in zip(*columns.values(), strict=True):
        yield {name: value for name, value in zip(columns, row, strict=True) if value is not None}


def test_bins_are_those_of_the_service(drawn: Any) -> None:
    for field, name, column in every_corruption(drawn):
        counted = assay_rules._bins(Binner(field.bins), column)
        for look in (0, LOOKS - 1):
            part = column.take(slice(look * LOOK, (look + 1) * LOOK)).json()
            assert counted[look].tolist() == count_bins(field.bins, part), (field.name, name)


def test_numbers_come_from_the_generated_rules(drawn: Any) -> None:
    contract = drawn[2]
    constants = Constants(contract)
    assert constants.of("assay:reject_share") == pytest.approx(reject_share(contract), rel=1e-5)
    for field in contract.fields:
        assert constants.of("assay:drift_k", field.name) == pytest.approx(drift_k(field.bins), rel=1e-5)
        assert constants.of("assay:rows", field.name) == contract.rows
        own = max(violation_share(contract), sum(field.evidence["refusals"].values()))
        assert constants.violation_share(field.name) == pytest.approx(own, rel=1e-5)


@pytest.mark.parametrize("expected", [0.0, 0.5, 40.0])
def test_arithmetic_is_that_of_the_generated_text(expected: float) -> None:
    text = count_limit(str(expected))
    limit = eval(text.replace("\n", " "), {"sqrt": math.sqrt})
    rules = expression("assay:rare_limit"), expression("assay:violation_limit"), expression("assay:reject_limit")
    names = "assay_rare_share", "assay_violation_share_field", "assay_reject_share"
    totals = "assay_total", "assay_events", "assay_events"
    for rule, share, total in zip(rules, names, totals, strict=True):
        assert rule(**{share: expected / 600, total: 600}) == pytest.approx(limit)


def test_drift_by_hand() -> None:
    share, expected = np.array([[0.5, 0.5, 0.0]]), np.array([0.25, 0.75, 0.0])
    floored = np.maximum(expected, floor_rows() / 1_000)
    drift = expression("assay:drift")(assay_share=share, assay_expected=expected, assay_expected_floored=floored)
    assert drift == pytest.approx(2 * (0.0625 / 0.75 + 0.0625 / 1.25))
    limit = expression("assay:drift_limit")(assay_drift_base=0.02, assay_drift_k=30, assay_total=600, assay_rows=1_000)
    assert limit == pytest.approx(0.02 + 30 * (1 / 600 + 1 / 1_000))


@pytest.mark.parametrize("record", ["assay:nothing", "assay:expected:floored"])
def test_a_rule_that_is_no_arithmetic_is_refused(record: str) -> None:
    with pytest.raises(ValueError, match="assay"):
        expression(record)


def test_windows_are_sums_over_the_last_events() -> None:
    events = np.random.default_rng(1).integers(0, 2, LOOKS * LOOK)
    seen = windows(chunks(events), 600)
    assert np.isnan(seen[:3]).all()
    for look in (3, 4, 30, LOOKS - 1):
        end = (look + 1) * LOOK
        assert seen[look] == events[end - 600 : end].sum()


def test_only_later_events_are_corrupted() -> None:
    column = Column.of(np.random.default_rng(1).normal(50, 5, LOOKS * LOOK))
    for name in NUMBERS:
        changed = corrupted(column, name, 0.1, profile=column, other=column, seed=1)
        assert changed is not None
        differs = (changed.values != column.values) | (changed.kind != column.kind)
        assert not differs[:CLEAN].any()
        assert 0 < differs.sum() <= 0.12 * (len(differs) - CLEAN), name


def test_scores_survive_the_file() -> None:
    score = Score(looks=10, alarms=1)
    score.add("null", 0.1, 150)
    score.add("null", 0.1, None)
    score.add("sign", 0.1, 450)
    read = Score.read(score.document())
    assert read.recall(0.1) == pytest.approx(2 / 3)
    assert (read.clean_share, read.recall(0.1, "null")) == (0.1, 0.5)
    assert read.median_events(0.1) == 300
    alarms = np.zeros(LOOKS, dtype=bool)
    assert first_alarm(alarms) is None
    alarms[[3, CLEAN // LOOK + 2]] = True
    assert first_alarm(alarms) == 3 * LOOK


def test_a_race() -> None:
    scores = {
        name: race(DATA[name], FAST, redraws=1, clean=3, corruptions=["null", "×1000", "rounded to 2 digits"])
        for name in ("Agrawal", "weather")
    }
    for by in scores.values():
        assert by["assay"].clean_share == 0
        assert by["assay"].recall(1.0, "null") == 1
        assert by["assay"].recall(0.1) > by["PSI > 0.2"].recall(0.1)
    text = markdown(scores, ["Pandera: not here"])
    assert "| ×1000 |" in text
    assert "Not installed" in text
    assert len(thresholds(scores)) == 8
    ET.fromstring(plot(scores, 1e-3))
