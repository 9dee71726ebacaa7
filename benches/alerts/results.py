"""What was measured, as tables and pictures."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

from benches.alerts.plots import delays_picture, limits_picture
from benches.alerts.traffic import FAULTS
from benches.report import Threshold, table

__all__ = ["markdown", "pictures", "read"]

Result = Mapping[str, Any]

#: False alarms, at most: one in so many dataset-days.
_DAYS_OF_ONE: Final = 30
#: What nobody knows of days without an alarm: with 95% confidence there are fewer than 3 in as many (Hanley & Lippman-Hand 1983).
_NONE_SEEN: Final = 3.0

_HEAD: Final = """# Results

Written by `python -m benches.alerts`; the [README](../README.md#alerts) says how it is done.

"""


def read(path: Path) -> list[Result]:
    """The results, a JSON line each."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def markdown(results: Sequence[Result], machine: str) -> str:
    """All of it."""
    parts = [_HEAD + machine]
    if days := _of(results, "false alarms"):
        parts.append("## False alarms, simulated\n\n" + _SIMULATED + _days_table(days) + _alarms(days))
    if clean := _of(results, "clean"):
        parts.append("## False alarms, in a real Prometheus\n\n" + _CLEAN + _clean_table(clean))
    if delays := _of(results, "delay"):
        parts.append(
            "## Seconds until an alert fires\n\n" + _DELAYS + _delay_table(delays) + _FIRST + _first_table(delays)
        )
    if agreed := _of(results, "agreement"):
        parts.append("## The evaluator and Prometheus\n\n" + _AGREEMENT + _agreement_table(agreed))
    parts.append("## What is asked\n\n" + Threshold.table(thresholds(results)))
    return "\n".join(parts)


def thresholds(results: Sequence[Result]) -> list[Threshold]:
    """What was asked for, as far as it was measured."""
    found = []
    for rate, days, alarms in _by_rate(_of(results, "false alarms")):
        found.append(
            Threshold(f"false alarms in 30 days, {rate:g} events/s", alarms / days * _DAYS_OF_ONE, 1, at_most=True)
        )
        found.append(Threshold(f"simulated days, {rate:g} events/s", days, 240))
    for each in _of(results, "clean"):
        found.append(Threshold("alerts over clean traffic", len(each["alerts"]), 0, at_most=True))
        found.append(Threshold("minutes of clean traffic", each["minutes"], 30))
    for fault, seconds in _delays(_of(results, "delay")).items():
        asked = FAULTS[fault]
        found.append(Threshold(f"{fault}: median seconds", median(seconds), asked.median_s, at_most=True))
        if asked.worst_s is not None:
            found.append(Threshold(f"{fault}: worst", max(seconds), asked.worst_s, at_most=True))
    return found


def pictures(results: Sequence[Result]) -> dict[str, str]:
    """SVG by file name."""
    delays = _delays(_of(results, "delay"))
    return {"limits.svg": limits_picture()} | ({"delays.svg": delays_picture(delays)} if delays else {})


def _of(results: Sequence[Result], what: str) -> list[Result]:
    return [each for each in results if each["what"] == what]


def _by_rate(results: Sequence[Result]) -> list[tuple[float, int, int]]:
    """Each rate with its days and alarms."""
    rates = sorted({each["rate"] for each in results})
    return [
        (
            rate,
            sum(each["days"] for each in results if each["rate"] == rate),
            sum(len(each["alarms"]) for each in results if each["rate"] == rate),
        )
        for rate in rates
    ]


def _days_table(results: Sequence[Result]) -> str:
    rows = []
    for rate, days, alarms in _by_rate(results):
        most = (_NONE_SEEN if not alarms else alarms + 2 * math.sqrt(alarms) + 2) / days * _DAYS_OF_ONE
        rows.append([f"{rate:g}", f"{days:,}", str(alarms), f"{alarms / days * _DAYS_OF_ONE:.2g}", f"{most:.2g}"])
    days, alarms = (sum(int(row[i]) for row in _by_rate(results)) for i in (1, 2))
    most = (_NONE_SEEN if not alarms else alarms + 2 * math.sqrt(alarms) + 2) / days * _DAYS_OF_ONE
    rows.append(["all", f"{days:,}", str(alarms), f"{alarms / days * _DAYS_OF_ONE:.2g}", f"{most:.2g}"])
    return table(["events/s", "dataset-days", "false alarms", "in 30 days", "95%: at most"], rows)


def _alarms(results: Sequence[Result]) -> str:
    seen = Counter(alarm["alert"] for each in results for alarm in each["alarms"])
    if not seen:
        return ""
    return "\n" + table(["alert", "false alarms"], [[name, str(count)] for name, count in seen.most_common()])


def _clean_table(results: Sequence[Result]) -> str:
    rows = [
        [
            f"{each['minutes']:g}",
            ", ".join(f"{count:,} ({name})" for name, count in each["sent"].items()),
            f"{sum(each['rejected'].values()):,}",
            str(len(each["alerts"])),
            str(len(each["broken_rules"])),
        ]
        for each in results
    ]
    return table(["minutes", "events", "rejected", "datasets that alarmed", "rules that failed"], rows)


def _delays(results: Sequence[Result]) -> dict[str, list[float]]:
    """Each fault's seconds, as FAULTS has them; a fault that was not found counts as never."""
    found: dict[str, list[float]] = {}
    for fault in FAULTS:
        own = [each for each in results if each["fault"] == fault and not each["false"]]
        if own:
            found[fault] = sorted(math.inf if each["seconds"] is None else each["seconds"] for each in own)
    return found


def _delay_table(results: Sequence[Result]) -> str:
    rows = [
        [fault, str(len(seconds)), *(f"{s:.1f}" for s in (min(seconds), median(seconds), max(seconds))), _asked(fault)]
        for fault, seconds in _delays(results).items()
    ]
    return table(["fault", "trials", "best", "median", "worst", "asked"], rows)


def _asked(name: str) -> str:
    fault = FAULTS[name]
    return f"{fault.median_s:g}" if fault.worst_s is None else f"{fault.median_s:g}, worst {fault.worst_s:g}"


def _first_table(results: Sequence[Result]) -> str:
    rows = []
    for fault in FAULTS:
        seen = Counter(name for each in results if each["fault"] == fault for name in each["alerts"])
        if seen:
            rows.append([fault, ", ".join(f"{name} ({count})" for name, count in seen.most_common())])
    return table(["fault", "alerts that fired at that moment, and in how many trials"], rows)


def _agreement_table(results: Sequence[Result]) -> str:
    rows = [
        [
            f"{each['table']}, {each['rate']:g}/s",
            f"{each['hours']:g}",
            f"{each['evaluations']:,}",
            ", ".join(f"{name} ({count})" for name, count in each["fired"].items()),
            "yes" if each["agrees"] else "**no**",
        ]
        for each in results
    ]
    return table(["stream", "hours", "evaluations", "fired", "promtool agrees"], rows)


_SIMULATED: Final = """All rules, every 5 s, over nine fields; every third day another contract, learned anew from 10,000 rows; each day has a restart. Half of the days are
Agrawal's features, half are nine fields of other kinds.

"""
_CLEAN: Final = """A service, and Prometheus with scrapes and evaluations every 5 s; two datasets of nine fields at 100 and 5 events a second.

"""
_DELAYS: Final = """From the first corrupt event that was sent until Prometheus says `firing`; scrapes and evaluations every 5 s, 100 events a second. Asked every 0.2 s, and the time of the
answer counts. Ten datasets of one service at once, a fault in each; up to three such rounds side by side. Other programs used the machine; the rounds went before them.

"""
_FIRST: Final = """
Half an interval on average is the wait for the next scrape, and another half that from the scrape to the next evaluation.

What spoke first:

"""
_AGREEMENT: Final = """A day of scrapes of two collectors, some of them lost, with an episode of each kind of fault; promtool, which is Prometheus' own engine, is asked at every evaluation which alerts
fire.

"""
