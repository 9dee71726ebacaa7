"""What the rules depend on beside the contracts: how often Prometheus looks, and over which windows."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final

from assay.errors import UsageError
from assay.monitor.exceptions import AlertException

__all__ = ["RuleSettings", "Window", "duration_text", "read_intervals", "seconds"]

_UNITS: Final = {"y": 31_536_000, "w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1, "ms": 0.001}
_DURATION: Final = re.compile("".join(rf"(?:([0-9]+){unit})?" for unit in _UNITS))
#: Prometheus' own default for both intervals.
_DEFAULT_INTERVAL: Final = "1m"


def seconds(duration: str) -> float:
    """A duration as Prometheus writes it (`5m`, `1h30m`, `500ms`), in seconds.

    Raises:
        UsageError: it is not one.
    """
    match = _DURATION.fullmatch(duration)
    if match is None or (not duration.endswith(tuple(_UNITS)) and duration != "0"):
        if duration == "0":
            return 0.0
        raise UsageError(f'"{duration}" is no duration; write it as in 30s, 5m or 1h')
    return float(sum(int(count) * unit for count, unit in zip(match.groups(), _UNITS.values(), strict=True) if count))


def duration_text(duration_s: float) -> str:
    """Seconds as Prometheus reads them: `5s`, `500ms`."""
    return f"{duration_s:.0f}s" if duration_s == int(duration_s) else f"{round(duration_s * 1000)}ms"


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """How far back a rule looks. `gain` turns what `increase` extrapolates back into a count (see `RuleSettings`)."""

    length_s: float
    text: str = field(compare=False)
    gain: float = field(compare=False)


@dataclass(frozen=True, slots=True)
class RuleSettings:
    """Settings of the rules. Durations are Prometheus' text (`5m`), or seconds where the name ends in `_s`.

    `alert_hold`: how long an alert goes on after its reason has passed; `0s`: not at all. `drift_base`: the distance
    between two distributions, in [0, 4], that is always tolerated. `exceptions`: the alerts that are muted or widened.
    """

    scrape_interval_s: float = 5
    evaluation_interval_s: float = 5
    alert_hold: str = "5m"
    alert_windows: tuple[str, ...] = ("1m", "5m", "1h")
    job: str = "assay"
    base_url: str = "http://localhost:8080"
    drift_base: float = 0.02
    exceptions: tuple[AlertException, ...] = ()

    def windows(self) -> tuple[Window, ...]:
        """The windows, ascending.

        Prometheus' `increase` sees the steps between the scrapes inside a window, one scrape less than the window is
        long, and scales them up to its length: hence `gain` = (window - scrape) / window.

        Raises:
            UsageError: there is none, or one holds fewer than two scrapes.
        """
        windows: dict[float, Window] = {}
        for text in self.alert_windows:
            length_s = seconds(text)
            if length_s <= 2 * self.scrape_interval_s:
                raise UsageError(
                    f"alert_windows: {text} is not more than two scrapes of {duration_text(self.scrape_interval_s)}; "
                    "take a longer window, or scrape more often"
                )
            windows.setdefault(length_s, Window(length_s, text, (length_s - self.scrape_interval_s) / length_s))
        if not windows:
            raise UsageError("alert_windows: at least one window is needed, such as 1m")
        return tuple(sorted(windows.values()))

    def drift_windows(self) -> tuple[Window, ...]:
        """The windows that whole distributions are compared over: up to 5 minutes, where there are such."""
        windows = self.windows()
        return tuple(window for window in windows if window.length_s <= 300) or windows[:1]

    def volume_windows(self) -> tuple[Window, Window] | None:
        """The window whose volume is judged, and the longer one that says what is usual; None where there are none."""
        current = self.drift_windows()[-1]
        usual = self.windows()[-1]
        return (current, usual) if usual.length_s >= 6 * current.length_s else None


def read_intervals(prometheus_yml: bytes, *, job: str = "assay") -> tuple[float, float]:
    """How often `job` is scraped and rules are evaluated by a Prometheus of this configuration, in seconds.

    Raises:
        UsageError: it is not such a configuration.
    """
    import yaml

    try:
        document: Any = yaml.safe_load(prometheus_yml)
    except yaml.YAMLError as error:
        raise UsageError(f"prometheus.yml is not YAML: {error}") from error
    document = {} if document is None else document
    if not isinstance(document, dict):
        raise UsageError("prometheus.yml: a mapping is expected")
    general = document.get("global") or {}
    scrape = general.get("scrape_interval", _DEFAULT_INTERVAL)
    for config in document.get("scrape_configs") or ():
        if config.get("job_name") == job:
            scrape = config.get("scrape_interval", scrape)
    return seconds(str(scrape)), seconds(str(general.get("evaluation_interval", _DEFAULT_INTERVAL)))
