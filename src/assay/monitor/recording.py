"""Recording rules: what is expected of each field, what came, and how much of a difference chance explains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from assay.contract.document import Contract, Field
from assay.contract.evidence import Bins
from assay.monitor.bins import binned_fields
from assay.monitor.exceptions import exception_records, widened
from assay.monitor.promql import by, count_limit
from assay.monitor.rule_settings import RuleSettings, Window

__all__ = [
    "RARE",
    "Recording",
    "constants",
    "drift_k",
    "drift_mean",
    "exceptions",
    "recordings",
    "reject_share",
    "violation_share",
]

#: The bins that clean data hardly reaches.
RARE: Final = "null|low|high|_other"
#: No rate of false refusals is taken to be below this.
_LEAST_SHARE: Final = 1e-5

_FIELD: Final = ("dataset", "field")
_BIN: Final = ("dataset", "field", "bin")


@dataclass(frozen=True, slots=True)
class Recording:
    """One recording rule. `labels` are plain text: Prometheus takes them as they are."""

    record: str
    expr: str
    labels: dict[str, str] = field(default_factory=dict)


def drift_mean(bins: Bins) -> float:
    """The distance that chance alone makes between a field's sample and its profile, in units of 1/N + 1/M."""
    reached = sum(1 for share in bins.share.values() if share > 0)
    return float(max(reached, 2) - 1)


def drift_k(bins: Bins) -> float:
    """How far chance alone drives the distance of a field's sample from its profile, in units of 1/N + 1/M.

    The triangular distance (Le Cam 1986; Topsoe 2000) of two samples of one distribution is about chi-squared over
    (bins - 1) degrees of freedom; this is its upper 2.5e-7 quantile: 2 bins 26.6, 10 bins 48, 20 bins 67.4.
    """
    from scipy.special import chdtri  # chi2.isf of scipy.stats, which takes half a second to load

    return float(chdtri(drift_mean(bins), 2.5e-7))


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
        _constant("assay:drift_base", settings.drift_base, labels),
        _constant("assay:drift_k", drift_k(field.bins), labels),
        _constant("assay:drift_mean", drift_mean(field.bins), labels),
    ]


def _constant(record: str, value: float, labels: dict[str, str]) -> Recording:
    return Recording(record, f"vector({value:.6g})", labels)


def exceptions(settings: RuleSettings) -> list[Recording]:
    """Which alerts are muted or widened at the moment."""
    return [Recording(*each) for each in exception_records(settings.exceptions)]


def recordings(settings: RuleSettings, *, profiled: bool) -> list[Recording]:
    """What came, for each window; `profiled`: and how it compares to what the profile expects."""
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
        rules += _volume_rules(*volume, settings)
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


def _volume_rules(current: Window, usual: Window, settings: RuleSettings) -> list[Recording]:
    """What the events of the last hour let expect, once an hour of them is known: a fresh start is no surge.

    Four standard deviations of chance, and beyond them a quarter less or half more, are not worth a word.
    """
    c, u = current.text, usual.text
    low = "0.75 * assay:volume_expected - 4 * sqrt(assay:volume_expected)"
    high = "4 + 1.5 * assay:volume_expected + 4 * sqrt(assay:volume_expected)"
    return [
        Recording(f"assay:volume:n{c}", f"sum by (dataset) (assay:events:n{c})"),
        Recording(
            "assay:volume_expected",
            f"{current.length_s * current.gain:.6g} * sum by (dataset) (rate(assay_events_total[{u}] offset {c}))\n"
            f"and on (dataset) (sum by (dataset) (rate(assay_events_total[{c}] offset {u})) > 0)",
        ),
        Recording("assay:volume_low", widened(settings.exceptions, "VolumeDrop", low, lower=True)),
        Recording("assay:volume_high", widened(settings.exceptions, "VolumeSurge", high)),
    ]
