"""Series that are known from beginning to end as a unit test of promtool: its engine is Prometheus' own.

promtool begins at time 0, and has a sample of each series in every `interval` of the test.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from assay.monitor.evaluate import Firing
from assay.monitor.promtool_case import selector
from assay.monitor.range_functions import Scraped
from assay.monitor.rule_settings import duration_text
from assay.monitor.series_frame import Doubles
from assay.monitor.yaml_text import Line

__all__ = ["replay_test"]


def replay_test(
    scraped: Mapping[str, Sequence[Scraped]], fired: Sequence[Firing], at: Doubles, *, interval_s: float, name: str
) -> dict[str, Any]:
    """A test that passes when promtool fires just the alerts `fired`, at just their evaluations of `at`.

    The times of all scrapes are multiples of `interval_s`. Each time without a break is asked for as a whole: all of its
    evaluations must fire; and all of the test: no other may.
    """
    step_s = float(at[1] - at[0])
    steps = round(float(at[-1]) / interval_s) + 1
    series = [
        Line(series=selector(metric, dict(labels)), values=_values(target, row, interval_s, steps))
        for metric, targets in scraped.items()
        for target in targets
        for labels, row in zip(target.labels, target.values, strict=True)
    ]
    expected: list[dict[str, Any]] = []
    counts: dict[tuple[str, Any], int] = {}
    for each in fired:
        evaluations = round((each.last_s - each.first_s) / step_s) + 1
        counts[each.alert, each.labels] = counts.get((each.alert, each.labels), 0) + evaluations
        wanted = {"alertname": each.alert, "alertstate": "firing", **dict(each.labels)}
        # A range that holds the first and the last evaluation and no other, whichever of its ends belong to it.
        range_s = each.last_s - each.first_s + step_s / 2
        expr = f"count_over_time({selector('ALERTS', wanted)}[{duration_text(range_s)}])"
        expected.append(_expect(f"max({expr})", each.last_s, [Line(labels="{}", value=evaluations)]))
    whole_s = float(at[-1] - at[0]) + step_s / 2
    everything = f'count_over_time(ALERTS{{alertstate="firing"}}[{duration_text(whole_s)}])'
    total = f"sum without (severity, alertstate) ({everything})"
    samples = [
        Line(labels=selector("", {"alertname": alert, **dict(labels)}), value=count)
        for (alert, labels), count in sorted(counts.items())
    ]
    expected.append(_expect(total, float(at[-1]), samples))
    return {
        "name": name,
        "interval": duration_text(interval_s),
        "input_series": series,
        "promql_expr_test": expected,
    }


def _expect(expr: str, at_s: float, samples: list[Line]) -> dict[str, Any]:
    test: dict[str, Any] = {"expr": expr, "eval_time": duration_text(at_s)}
    return test | ({"exp_samples": samples} if samples else {})


def _values(target: Scraped, row: Doubles, interval_s: float, steps: int) -> str:
    """A row in promtool's notation: `_` for no sample, `stale` where a scrape did not show the series any more."""
    places = np.rint(target.times / interval_s).astype(int)
    parts: list[str] = []
    at = 0
    for place, value in zip(places.tolist(), row.tolist(), strict=True):
        if place >= steps:
            break
        if place > at:
            parts.append(f"_x{place - at}")
        parts.append("stale" if value != value else f"{value:.17g}")  # noqa: PLR0124 - NaN is not itself
        at = place + 1
    return " ".join(parts)
