"""What is expected of the volume follows the hours, where a contract knows them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from assay.contract.document import Contract
from assay.monitor.audit import Counted, audit
from assay.monitor.evaluate import read_rules, recorded
from assay.monitor.promtool import check_rules, find_promtool, run_rule_tests
from assay.monitor.recording import volume_waves
from assay.monitor.rule_tests import TEST_FILE, render_rule_tests
from assay.monitor.rules import RULES_FILE, RuleSettings, render_rules
from assay.profile.document import Hours
from assay.profile.waves import waves
from tests.monitor.samples import types_only

LOCAL = Path(__file__).parents[2] / ".tools/prometheus/usr/bin"
SETTINGS = RuleSettings()
DAY_S = 86_400
#: A midnight.
FROM_S = 1_700_006_400


def per_second(at_s: float) -> float:
    """From 1 in three seconds at night to 150 at noon."""
    return 7.4 * math.exp(-3 * math.cos(2 * math.pi * at_s / DAY_S))


def seasonal(found: Any, dataset: str = "shop") -> Contract:
    return Contract.parse({"type": "object", "x-assay": {"rows": 10_000, "waves": found}}, dataset=dataset, version=1)


def learned() -> list[tuple[float, float, float]]:
    rng = np.random.default_rng(2)
    first = FROM_S // 3600
    counts = (int(rng.poisson(3600 * per_second((first + hour + 0.5) * 3600))) for hour in range(20 * 24))
    return waves(Hours(first, tuple(counts)))


def counted(begin: int, end: int) -> Counted:
    rng = np.random.default_rng(begin)
    events = rng.poisson([5 * per_second(step * 5) for step in range(begin, end)])
    last = np.arange(begin + 1, end + 1, dtype=np.float64) * 5 - 0.1
    return Counted(end - begin, {("till", "accepted"): events}, last=last)


def test_a_day_is_an_alarm_to_who_knows_no_hours_and_none_to_who_does() -> None:
    span = (FROM_S, FROM_S + DAY_S)
    by_hour_before, _ = audit(seasonal([]), SETTINGS, counted, *span)
    assert {alarm.alert for alarm in by_hour_before} == {"VolumeDrop"}
    by_season, events = audit(seasonal(learned()), SETTINGS, counted, *span)
    assert by_season == []
    assert events > 1_000_000


def test_half_of_it_missing_is_told_all_the_same() -> None:
    def halved(begin: int, end: int) -> Counted:
        found = counted(begin, end)
        late = np.arange(begin, end) * 5 >= FROM_S + DAY_S // 2
        found.events["till", "accepted"] = np.where(
            late, found.events["till", "accepted"] // 2, found.events["till", "accepted"]
        )
        return found

    alarms, _ = audit(seasonal(learned()), SETTINGS, halved, FROM_S, FROM_S + DAY_S)
    assert [alarm.alert for alarm in alarms] == ["VolumeDrop"]
    assert 0 < alarms[0].from_s - (FROM_S + DAY_S // 2) < 300


def test_the_factor_is_what_the_waves_say() -> None:
    found = [(24.0, 0.7, -0.4), (168.0, 0.1, 0.2)]
    rules = read_rules(render_rules([seasonal(found)], SETTINGS))
    at = np.array([FROM_S, FROM_S + 3 * 3600, FROM_S + 30 * 3600], dtype=np.float64)

    def curve(at_s: float) -> float:
        angles = [(a, b, 2 * math.pi * at_s / 3600 / period) for period, a, b in found]
        return sum(a * math.cos(angle) + b * math.sin(angle) for a, b, angle in angles)

    frame = recorded(rules, {}, at)["assay:volume_season"]
    assert frame.labels == ((("dataset", "shop"),),)
    # From the middle of the hour before to the middle of the last five minutes.
    assert frame.values[0] == pytest.approx([math.exp(curve(t - 150) - curve(t - 300 - 1800)) for t in at], rel=1e-4)


def test_no_more_than_fourfold_is_believed() -> None:
    rules = read_rules(render_rules([seasonal([(1.0, 50.0, 0.0)])], SETTINGS))
    values = recorded(rules, {}, np.arange(FROM_S, FROM_S + 3600, 60, dtype=np.float64))["assay:volume_season"].values
    assert (values.min(), values.max()) == pytest.approx((0.25, 4), rel=1e-4)


def test_promtool_takes_them(tmp_path: Path) -> None:
    promtool = find_promtool([LOCAL])
    if promtool is None:
        pytest.skip("promtool is neither on PATH nor in .tools/: bin/test.sh installs it")
    contracts = [seasonal(learned()), types_only()]
    (tmp_path / RULES_FILE).write_bytes(render_rules(contracts, SETTINGS))
    (tmp_path / TEST_FILE).write_bytes(render_rule_tests(contracts, SETTINGS))
    check_rules(tmp_path / RULES_FILE, promtool)
    run_rule_tests(tmp_path / TEST_FILE, promtool)


@pytest.mark.parametrize("found", [None, "24", [[24, 1]], [["a", 1, 2]], [[0, 1, 2]], [[-1, 1, 2]]])
def test_what_are_no_waves_is_left_out(found: Any) -> None:
    assert volume_waves(seasonal(found)) == []
    assert b"season" not in render_rules([seasonal(found)], SETTINGS)
