"""The alerts' bench: a day is simulated and evaluated, and the report says what was measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
from benches.alerts import simulate
from benches.alerts.plots import delays_picture, limits_picture
from benches.alerts.results import markdown, pictures, read, thresholds
from benches.alerts.simulate import Episode, mixed_pool, shown_series, truth
from benches.alerts.traffic import FAULTS

from assay.monitor.evaluate import evaluate

RESULTS: list[dict[str, Any]] = [
    {"what": "false alarms", "rate": 1.0, "days": 200, "seed": 1, "alarms": [], "seconds": 1.0},
    {"what": "false alarms", "rate": 1.0, "days": 100, "seed": 2, "alarms": [{"alert": "Silence"}], "seconds": 1.0},
    {"what": "clean", "minutes": 30.0, "sent": {"a": 10}, "rejected": {"a": 0}, "alerts": {}, "broken_rules": []},
    *(
        {"what": "delay", "fault": fault, "round": 0, "seconds": seconds, "alerts": ["RejectRate"], "false": False}
        for fault in FAULTS
        for seconds in (4.0, 5.0, None if fault == "+1 sd" else 6.0)
    ),
    {
        "what": "agreement",
        "table": "t",
        "rate": 1.0,
        "hours": 24,
        "evaluations": 9,
        "fired": {"Silence": 1},
        "agrees": True,
    },
]


def test_a_simulated_hour_is_quiet_and_a_fault_in_it_is_told(monkeypatch: Any) -> None:
    monkeypatch.setattr(simulate, "POOL_ROWS", 20_000)
    rng = np.random.default_rng(3)
    known = truth(mixed_pool(rng), "mixed", rng)
    times = np.arange(2.0, 3600, 5)
    at = np.arange(900.0, 3600, 5)
    clean, _ = evaluate(known.rules, shown_series(known, 100, times, rng), at)
    assert clean == []
    broken = shown_series(known, 100, times, rng, episodes=[Episode("rejects", 2000, 2300)])
    fired, _ = evaluate(known.rules, broken, at)
    assert {each.alert for each in fired} >= {"RejectRate", "SourceRejectRate"}
    assert all(2000 < each.first_s < 2100 for each in fired if each.alert == "RejectRate")


def test_the_report_says_what_was_measured(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in RESULTS))
    results = read(path)
    text = markdown(results, "| machine | |\n")
    assert "| 1 | 300 | 1 | 0.1 | 0.5 |" in text
    assert "| +1 sd | 3 | 4.0 | 5.0 | inf | 24 |" in text
    assert "| silence | 3 | 4.0 | 5.0 | 6.0 | 60, worst 75 |" in text
    assert "| t, 1/s | 24 | 9 | Silence (1) | yes |" in text
    failing = {each.what for each in thresholds(results) if not each.holds}
    assert failing == set()
    assert pictures(results).keys() == {"limits.svg", "delays.svg"}


def test_the_pictures_are_drawn() -> None:
    for picture in (delays_picture({"a & b": [1.0, 2.0, float("inf")]}), limits_picture(bins=4)):
        assert ET.fromstring(picture).tag.endswith("svg")
