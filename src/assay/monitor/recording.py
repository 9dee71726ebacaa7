"""Recording rules: what is expected of each field, what came, and how much of a difference chance explains."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from assay.contract.document import Contract, Field
from assay.contract.evidence import Bins, chance, degrees
from assay.monitor.bins import binned_fields
from assay.monitor.exceptions import exception_records, widened
from assay.monitor.promql import by, count_limit
from assay.monitor.rule_settings import RuleSettings, Window

__all__ = [
    "RARE",
    "Recording",
    "constants",
    "drift_base",
    "drift_k",
    "drift_mean",
    "exceptions",
    "false_alarms",
    "recordings",
    "reject_share",
    "violation_share",
    "volume_waves",
]

#: The bins that clean data hardly reaches.
RARE: Final = "null|low|high|_other"
#: No rate of false refusals is taken to be below this.
_LEAST_SHARE: Final = 1e-5

#: The most that hours of the day may make of the volume of the hour before.
_MOST_SEASON: Final = 4.0

_FIELD: Final = ("dataset", "field")
_BIN: Final = ("dataset", "field", "bin")


@dataclass(frozen=True, slots=True)
class Recording:
    """One recording rule. `labels` are plain text: Prometheus takes them as they are."""

    record: str
    expr: str
    labels: dict[str, str] = field(default_factory=dict)


def drift_mean(bins: Bins) -> float:
    """The distance that is usual between a field's sample and its profile, in units of 1/N + 1/M."""
    return bins.spread * degrees(bins)


def drift_k(bins: Bins) -> float:
    """How far clean data's distance from its profile goes, in units of 1/N + 1/M: chance, times the field's own spread."""
    return bins.spread * chance(bins)


def false_alarms(contract: Contract, settings: RuleSettings | None = None) -> float:
    """How many alarms `FieldDrift` raises by chance in 30 days, at most, over a stream that is as its profile.

    A limit is crossed in 2.5e-7 of the looks at most. Looks at windows that overlap cross it together: of windows
    one after the other nine times as many have an alarm (simulated: 5 to 9, for 2 to 20 bins and chances of 1e-3 and
    1e-4). What is always tolerated comes on top of the limit, and makes it less.
    """
    windows = (settings or RuleSettings()).drift_windows()
    a_month = sum(30 * 86_400 / window.length_s for window in windows)
    return len(binned_fields(contract)) * a_month * 9 * 2.5e-7


def volume_waves(contract: Contract) -> list[tuple[float, float, float]]:
    """The waves that the dataset's volume follows (see `assay.profile.waves`), as far as the contract has sensible ones."""
    found = contract.evidence.get("waves", [])
    try:
        return [(float(period), float(a), float(b)) for period, a, b in found if float(period) > 0]
    except (TypeError, ValueError):
        return []


def _season(waves: Sequence[tuple[float, float, float]], current: Window, usual: Window) -> str:
    """By how much the volume of the current window is usually that of the one it is compared with, at this time.

    The waves are of the logarithm, at the middles of both windows; their difference is a wave of the same period. The hour
    before says little of a volume that is not of its size: four times up or down is the most that is believed.
    """
    now_s, before_s = current.length_s / 2, current.length_s + usual.length_s / 2
    terms = []
    for period_h, a, b in waves:
        pace = 2 * math.pi / (3600 * period_h)
        now, before = pace * now_s, pace * before_s
        cosine = a * (math.cos(now) - math.cos(before)) - b * (math.sin(now) - math.sin(before))
        sine = a * (math.sin(now) - math.sin(before)) + b * (math.cos(now) - math.cos(before))
        angle = f"({pace!r} * vector(time()))"
        parts = ((cosine, "cos"), (sine, "sin"))
        terms += [f"{'-' if factor < 0 else '+'} {abs(factor):.6g} * {wave}{angle}" for factor, wave in parts]
    total = "\n".join(["0", *terms])
    most = math.log(_MOST_SEASON)
    # promtool's tests begin at time 0: they try the rules without the season.
    return f"exp(clamp_max(clamp_min(\n{total}\n, 0 - {most:.6g}), {most:.6g})) and on () (vector(time()) > 1000000)"


def drift_base(bins: Bins, settings: RuleSettings) -> float:
    """The distance that is always tolerated: what is small, and what stretches of clean data came to."""
    return max(settings.drift_base, bins.tolerance)


def violation_share(contract: Contract) -> float:
    """The share of clean events that breaks one field's rules at most: as far as `rows` rows could show it."""
    return max(_LEAST_SHARE, 1 / contract.rows if contract.rows else 0.0)


def reject_share(contract: Contract) -> float:
    """The share of clean events that all rules together refuse at most."""
    return max(violation_share(contract), contract.expected_refusals)


def constants(contracts: Sequence[Contract], settings: RuleSettings) -> list[Recording]:
    """What the contracts say, as series: `vector(c)` labelled with dataset and field."""
    rules: list[Recording] = []
    for contract in contracts:
        dataset = {"dataset": contract.dataset}
        rules.append(_constant("assay:reject_share", reject_share(contract), dataset))
        rules.append(_constant("assay:violation_share", violation_share(contract), dataset))
        volume = settings.volume_windows()
        if volume is not None and (waves := volume_waves(contract)):
            rules.append(Recording("assay:volume_season", _season(waves, *volume), dataset))
        for label, each in contract.root.walk():
            own = sum(each.evidence.get("refusals", {}).values())
            if own > violation_share(contract):
                rules.append(_constant("assay:violation_share:own", own, {**dataset, "field": label}))
        for label, each in binned_fields(contract):
            rules += _field_constants({**dataset, "field": label}, each, settings)
    return rules


def _field_constants(labels: dict[str, str], field: Field, settings: RuleSettings) -> list[Recording]:
    assert field.bins is not None
    return [
        _constant("assay:rows", field.bins.rows, labels),
        _constant("assay:drift_base", drift_base(field.bins, settings), labels),
        _constant("assay:drift_k", drift_k(field.bins), labels),
        _constant("assay:drift_mean", drift_mean(field.bins), labels),
    ]


def _constant(record: str, value: float, labels: dict[str, str]) -> Recording:
    return Recording(record, f"vector({value:.6g})", labels)


def exceptions(settings: RuleSettings) -> list[Recording]:
    """Which alerts are muted or widened at the moment."""
    return [Recording(*each) for each in exception_records(settings.exceptions)]


def recordings(settings: RuleSettings, *, profiled: bool, seasonal: bool = False) -> list[Recording]:
    """What came, for each window; `profiled`: and how it compares to what the profile expects.

    `seasonal`: of some datasets it is known how their volume goes with the hours.
    """
    rules: list[Recording] = [
        Recording(
            "assay:violation_share:field",
            "assay:violation_share:own\n"
            f"or on {by(_FIELD)}\n"
            f"(0 * sum by {by(_FIELD)} (assay_violations_total) + on (dataset) group_left () assay:violation_share)",
        )
    ]
    for window in settings.windows():
        rules += _event_rules(window, settings)
    if profiled:
        rules += _expected_rules()
        drift_windows = settings.drift_windows()
        for window in settings.windows():
            rules += _value_rules(window, settings)
            if window in drift_windows:
                rules += _drift_rules(window, settings)
    rules += _silence_rules(settings)
    volume = settings.volume_windows()
    if volume is not None:
        rules += _volume_rules(*volume, settings, seasonal=seasonal)
    return rules


def _counted(metric: str, labels: Sequence[str], window: Window) -> str:
    return f"sum by {by(labels)} (increase({metric}[{window.text}])) * {window.gain:.6g}"


def _event_rules(window: Window, settings: RuleSettings) -> list[Recording]:
    w = window.text
    events = f"assay:events:n{w}"
    violations = f"assay:violation_share:field * on (dataset) group_left () sum by (dataset) ({events})"
    rejects = f"assay:reject_share * on (dataset) sum by (dataset) ({events})"
    # The dataset's share on the left would be the "one" side: the sources are the "many".
    source_rejects = f"sum by (dataset, source) ({events}) * on (dataset) group_left () assay:reject_share"
    return [
        Recording(events, _counted("assay_events_total", ("dataset", "source", "outcome"), window)),
        Recording(f"assay:violations:n{w}", _counted("assay_violations_total", ("dataset", "field", "type"), window)),
        *_limited("FieldViolations", f"assay:violation_expected:n{w}", violations, settings),
        *_limited("RejectRate", f"assay:reject_expected:n{w}", rejects, settings),
        *_limited("SourceRejectRate", f"assay:source_reject_expected:n{w}", source_rejects, settings),
    ]


def _limited(alert: str, record: str, expected: str, settings: RuleSettings) -> list[Recording]:
    """A count that is expected, and the limit above which an alert speaks."""
    limit = widened(settings.exceptions, alert, count_limit(record))
    return [Recording(record, expected), Recording(record.replace("_expected:", "_limit:"), limit)]


def _expected_rules() -> list[Recording]:
    rows = f"on {by(_FIELD)} group_left ()"
    rare = f'assay:expected{{bin=~"{RARE}"}}'
    return [
        Recording("assay:expected", f"max by {by(_BIN)} (assay_field_expected_ratio)"),
        # A bin that the profile never reached counts as half a row of it.
        Recording(
            "assay:expected:floored",
            f"(assay:expected >= {rows} (0.5 / assay:rows))\n"
            f"or on {by(_BIN)}\n"
            f"(0 * assay:expected + {rows} (0.5 / assay:rows))",
        ),
        # The share of a rare bin, with what M rows may have missed of it.
        Recording(
            "assay:rare_share",
            f"{rare}\n+ 6 * sqrt({rare} / {rows} assay:rows)\n+ {rows} (8 / assay:rows)",
        ),
    ]


def _value_rules(window: Window, settings: RuleSettings) -> list[Recording]:
    w = window.text
    values, total = f"assay:values:n{w}", f"assay:total:n{w}"
    return [
        Recording(values, _counted("assay_field_values_total", _BIN, window)),
        Recording(total, f"sum by {by(_FIELD)} ({values}) > 0"),
        *_limited(
            "FieldRareBin",
            f"assay:rare_expected:n{w}",
            f"assay:rare_share * on {by(_FIELD)} group_left () {total}",
            settings,
        ),
    ]


def _drift_rules(window: Window, settings: RuleSettings) -> list[Recording]:
    w = window.text
    total, share = f"assay:total:n{w}", f"assay:share:n{w}"
    chance = f"(1 / {total} + on {by(_FIELD)} 1 / assay:rows)"
    return [
        Recording(share, f"assay:values:n{w} / on {by(_FIELD)} group_left () {total}"),
        Recording(
            f"assay:drift:n{w}",
            f"2 * sum by {by(_FIELD)} (\n"
            f"  ({share} - on {by(_BIN)} assay:expected) ^ 2\n"
            f"  / on {by(_BIN)} ({share} + on {by(_BIN)} assay:expected:floored)\n"
            ")",
        ),
        Recording(f"assay:drift_expected:n{w}", f"assay:drift_mean * on {by(_FIELD)} {chance}"),
        Recording(
            f"assay:drift_limit:n{w}",
            widened(
                settings.exceptions,
                "FieldDrift",
                f"assay:drift_base + on {by(_FIELD)} assay:drift_k * on {by(_FIELD)} {chance}",
            ),
        ),
    ]


def _silence_rules(settings: RuleSettings) -> list[Recording]:
    """How long nothing has come, and how many events were due since then."""
    # The rate as it was before the silence: a short window would forget it while it lasts.
    rate = f"sum by (dataset) (rate(assay_events_total[{settings.windows()[-1].text}] offset 45s))"
    return [
        Recording("assay:silent_seconds", "time() - (max by (dataset) (assay_last_event_timestamp_seconds) > 0)"),
        Recording("assay:silence_due", f"assay:silent_seconds * on (dataset) {rate}"),
    ]


def _volume_rules(current: Window, usual: Window, settings: RuleSettings, *, seasonal: bool) -> list[Recording]:
    """What the events of the last hour let expect, once an hour of them is known: a fresh start is no surge.

    Four standard deviations of chance, and beyond them a quarter less or half more, are not worth a word.
    """
    c, u = current.text, usual.text
    low = "0.75 * assay:volume_expected - 4 * sqrt(assay:volume_expected)"
    high = "4 + 1.5 * assay:volume_expected + 4 * sqrt(assay:volume_expected)"
    expected = (
        f"{current.length_s * current.gain:.6g} * sum by (dataset) (rate(assay_events_total[{u}] offset {c}))\n"
        f"and on (dataset) (sum by (dataset) (rate(assay_events_total[{c}] offset {u})) > 0)"
    )
    lately = [Recording("assay:volume_lately", expected)] if seasonal else []
    if seasonal:
        expected = "assay:volume_lately * on (dataset) assay:volume_season\nor\nassay:volume_lately"
    return [
        Recording(f"assay:volume:n{c}", f"sum by (dataset) (assay:events:n{c})"),
        *lately,
        Recording("assay:volume_expected", expected),
        Recording("assay:volume_low", widened(settings.exceptions, "VolumeDrop", low, lower=True)),
        Recording("assay:volume_high", widened(settings.exceptions, "VolumeSurge", high)),
    ]
