"""The pieces of promtool's unit tests: input series, and what is expected of the alerts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from assay.monitor.promql import by, quoted
from assay.monitor.rule_settings import RuleSettings, Window, duration_text
from assay.monitor.yaml_text import Line

__all__ = ["Case", "Clock", "selector"]


def selector(name: str, labels: Mapping[str, str]) -> str:
    """One series: `name{label="value"}`."""
    return f"{name}{{{', '.join(f'{label}={quoted(value)}' for label, value in labels.items())}}}"


@dataclass(frozen=True, slots=True)
class Clock:
    """When series have samples and rules are evaluated. promtool starts at time 0."""

    settings: RuleSettings

    def scrapes(self, duration_s: float) -> int:
        """How many steps between scrapes a duration has."""
        return max(1, math.floor(duration_s / self.settings.scrape_interval_s))

    def counted(self, per_scrape: float, window: Window) -> float:
        """What the rules count in a window of a series that grows by `per_scrape`."""
        return per_scrape * window.length_s / self.settings.scrape_interval_s * window.gain

    @property
    def evaluation_s(self) -> float:
        """How often the tests evaluate the rules: every 15 s will do, which is three times as quick as every 5 s."""
        interval = self.settings.evaluation_interval_s
        return interval * max(1, round(15 / interval))

    def at(self, time_s: float) -> float:
        """The first evaluation at `time_s` or later, in seconds."""
        return math.ceil(time_s / self.evaluation_s) * self.evaluation_s


@dataclass(slots=True)
class Case:
    """One test: series over `duration_s`, and the alerts that are firing then."""

    name: str
    clock: Clock
    duration_s: float
    series: list[dict[str, Any]] = field(default_factory=list)
    expected: list[dict[str, Any]] = field(default_factory=list)

    @property
    def until_s(self) -> float:
        """When the expectations are looked at: an evaluation."""
        return self.clock.at(self.duration_s)

    def constant(self, name: str, labels: Mapping[str, str], value: float) -> None:
        """A series that stays at `value`."""
        self._add(name, labels, f"{value:.10g}+0x{self._steps(self.until_s)}")

    def counter(
        self, name: str, labels: Mapping[str, str], *phases: tuple[float, float], restarts: bool = False
    ) -> None:
        """A counter that grows by so much a scrape for so many seconds, then ...: (increment, seconds).

        With `restarts` it begins again at zero in each phase.
        """
        parts: list[str] = []
        value = 0.0
        for wanted, duration_s in phases:
            steps = self._steps(duration_s)
            # As binary fractions they add up exactly: a phase that began a trifle lower would be taken for a restart.
            increment = round(wanted * 1024) / 1024
            # "a+bxn" is n + 1 samples: only the first phase has one at its start.
            value = 0.0 if restarts else value
            first, more = (value + increment, steps - 1) if parts else (0.0, steps)
            parts.append(f"{first:.17g}+{increment:.17g}x{more}")
            value += increment * steps
        self._add(name, labels, " ".join(parts))

    def steady(self, name: str, labels: Mapping[str, str], increment: float) -> None:
        """A counter that grows by `increment` at each scrape."""
        self.counter(name, labels, (increment, self.until_s))

    def restarted(self, name: str, labels: Mapping[str, str], increment: float) -> None:
        """The same, beginning again at zero half-way."""
        half = max(1, self._steps(self.until_s) // 2)
        self._add(name, labels, f"0+{increment:.10g}x{half} 0+{increment:.10g}x{half}")

    def shared(self, name: str, labels: Mapping[str, str], increment: float) -> None:
        """A counter that grows by `increment` at each scrape on two collectors together, one of which restarts."""
        self.steady(name, {**labels, "instance": "a"}, increment / 2)
        self.restarted(name, {**labels, "instance": "b"}, increment / 2)

    def _add(self, name: str, labels: Mapping[str, str], values: str) -> None:
        self.series.append(Line(series=selector(name, labels), values=values))

    def _steps(self, duration_s: float) -> int:
        return self.clock.scrapes(duration_s)

    def firing(
        self,
        alert: str,
        by_labels: Sequence[str],
        sets: Sequence[Mapping[str, str]],
        *,
        at_s: float | None = None,
        **only: str,
    ) -> None:
        """Just these label sets of an alert are firing, at the end or when it is said."""
        selected = selector("ALERTS", {"alertname": alert, "alertstate": "firing", **only})
        expr = f"count by {by(by_labels)} ({selected})"
        self._expect(expr, [Line(labels=selector("", labels), value=1) for labels in sets], at_s)

    def silent(self, **only: str) -> None:
        """No alert (of these labels) has been firing at any time."""
        selected = selector("ALERTS", {"alertstate": "firing", **only})
        self._expect(f"count by (alertname) (count_over_time({selected}[{duration_text(self.until_s)}]))", [], None)

    def _expect(self, expr: str, samples: list[dict[str, Any]], at_s: float | None) -> None:
        at = duration_text(self.until_s if at_s is None else self.clock.at(at_s))
        test: dict[str, Any] = {"expr": expr, "eval_time": at}
        if samples:
            test["exp_samples"] = samples
        self.expected.append(test)

    def document(self) -> dict[str, Any]:
        """As promtool reads it."""
        return {
            "name": self.name,
            "interval": duration_text(self.clock.settings.scrape_interval_s),
            "input_series": self.series,
            "promql_expr_test": self.expected,
        }
