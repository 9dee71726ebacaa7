"""The alerts: when a person is to look, what they are told, and what to do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from assay.monitor.promql import above, by, quoted
from assay.monitor.recording import RARE
from assay.monitor.rule_settings import RuleSettings, Window
from assay.monitor.sentences import DATASET, NAMED_FIELD, Figures, Passed, named, queried

__all__ = ["Alert", "alerts"]

_DATASET: Final = ("dataset",)
_FIELD: Final = ("dataset", "field")
_BIN: Final = ("dataset", "field", "bin")

_PAGE: Final = f"/ui/datasets/{DATASET}"
_FIELD_PAGE: Final = _PAGE + "?field={{ $labels.field | urlquery }}"
_REFUSED: Final = f"{_PAGE}/quarantine"


@dataclass(frozen=True, slots=True)
class Alert:
    """One alerting rule. `summary`, `description` and `page` are Go templates; `hold`: go on for `alert_hold`.

    `figures` say what the summary says, window by window; none for what is not about a dataset. `page` is the path of the
    service's page that shows what is meant.
    """

    name: str
    severity: Literal["page", "warn"]
    expr: str
    summary: str
    description: str
    figures: tuple[Figures, ...] = ()
    wait: str = ""
    hold: bool = True
    page: str = _PAGE


def alerts(settings: RuleSettings, *, profiled: bool) -> list[Alert]:
    """All of them; those that compare with a profile only when there is one."""
    every = [*_profile_alerts(settings)] if profiled else []
    every += _contract_alerts(settings)
    every += _volume_alerts(settings)
    every += _collector_alerts(settings)
    return every


def _over_windows(windows: Sequence[Window], expr: Callable[[Window], str]) -> str:
    """True in any window; the shortest is looked at first, and gives the alert its value."""
    parts = [expr(window) for window in windows]
    return parts[0] if len(parts) == 1 else "\nor\n".join(f"({part})" for part in parts)


def _count_above(
    settings: RuleSettings,
    figure: Callable[[Window], str],
    limit: Callable[[Window], str],
    key: Sequence[str],
    labels: Sequence[str],
) -> str:
    """`figure`, a count by `key`, above `limit`, by `labels`, in any window.

    A long window forgets slowly: it only speaks while the next shorter one still sees some.
    """
    windows = settings.windows()

    def expr(window: Window) -> str:
        over = above(figure(window), limit(window), labels, many=tuple(labels) != tuple(key))
        i = windows.index(window)
        return over if i == 0 or window.length_s < 1800 else f"{over}\nand on {by(key)} {figure(windows[i - 1])} > 0"

    return _over_windows(windows, expr)


def _fresh(window: Window) -> str:
    """Not while the window still holds values that a former contract's bins counted."""
    changed = f"max by {by(_FIELD)} (changes(assay_field_expected_ratio[{window.text}])) > 0"
    return f"unless on {by(_FIELD)} ({changed})"


def _profile_alerts(settings: RuleSettings) -> list[Alert]:
    windows, drift_windows = settings.windows(), settings.drift_windows()
    distance = Passed("assay:drift", "assay:drift_expected", "assay:drift_limit", _FIELD, _FIELD)
    rare = Passed("assay:values", "assay:rare_expected", "assay:rare_limit", _BIN, _BIN)

    def drift(window: Window) -> str:
        w = window.text
        return f"{above(f'assay:drift:n{w}', f'assay:drift_limit:n{w}', _FIELD)}\n{_fresh(window)}"

    return [
        Alert(
            "FieldDrift",
            "page",
            _over_windows(drift_windows, drift),
            f"{NAMED_FIELD} is no longer distributed as in its profile: distance {{{{ printf `%.3f` $value }}}}"
            + distance.text(drift_windows, digits=3),
            "Open the page and compare the field's bins with the profile: a changed unit, a default in place of "
            "values and a new population look different there. If the change is right, learn again and activate.",
            distance.figures(drift_windows),
            page=_FIELD_PAGE,
        ),
        Alert(
            "FieldRareBin",
            "warn",
            _count_above(
                settings,
                lambda w: f'assay:values:n{w.text}{{bin=~"{RARE}"}}',
                lambda w: f"assay:rare_limit:n{w.text}\n{_fresh(w)}",
                _BIN,
                _BIN,
            ),
            f"{NAMED_FIELD}: {{{{ printf `%.0f` $value }}}} values in bin {{{{ $labels.bin }}}}"
            + rare.text(windows)
            + " (null: missing; low, high: beyond all seen, of a time too early, too late; _other: of another kind)",
            "Values that the profile hardly ever saw are coming. Ask the sender what changed; look at the newest "
            "events of the dataset. If the values are right, learn again and activate.",
            rare.figures(windows),
            page=_FIELD_PAGE,
        ),
    ]


def _contract_alerts(settings: RuleSettings) -> list[Alert]:
    windows = settings.windows()
    kinds, sources, dataset = (*_FIELD, "type"), ("dataset", "source"), _DATASET
    only = 'outcome="rejected"'
    w = settings.drift_windows()[-1].text
    fields = named(f"topk(3, sum by (field) (assay:violations:n{w}{{dataset=%q}}) > 0)", "field", "the event itself")
    broken = Passed("assay:violations", "assay:violation_expected", "assay:violation_limit", kinds, _FIELD)
    refused = Passed("assay:events", "assay:reject_expected", "assay:reject_limit", dataset, dataset, only)
    of_source = Passed(
        "assay:events", "assay:source_reject_expected", "assay:source_reject_limit", sources, sources, only
    )
    senders = named(f"topk(3, sum by (source) (assay:events:n{w}{{dataset=%q,{only}}}) > 0)", "source")

    def rejected(labels: Sequence[str]) -> Callable[[Window], str]:
        return lambda w: f"sum by {by(labels)} (assay:events:n{w.text}{{{only}}})"

    return [
        Alert(
            "FieldViolations",
            "warn",
            _count_above(
                settings,
                lambda w: f"assay:violations:n{w.text}",
                lambda w: f"assay:violation_limit:n{w.text}",
                kinds,
                _FIELD,
            ),
            # A violation of the event itself has no field.
            f"{DATASET}: {{{{ with $labels.field }}}}field {{{{ . }}}}{{{{ else }}}}the event{{{{ end }}}}: "
            "{{ printf `%.0f` $value }} violations of type {{ $labels.type }}" + broken.text(windows),
            "Look at the quarantine, grouped by fingerprint, for examples. Either the sender has a fault, or the "
            "contract is too narrow: then widen the field, activate, and replay the quarantine.",
            broken.figures(windows),
            page=_FIELD_PAGE,
        ),
        Alert(
            "RejectRate",
            "page",
            _count_above(settings, rejected(dataset), lambda w: f"assay:reject_limit:n{w.text}", dataset, dataset),
            f"{DATASET}: {{{{ printf `%.0f` $value }}}} events were rejected" + refused.text(windows),
            # The one page of a fault: it names what FieldViolations and SourceRejectRate would.
            f"Violations in {w}: {fields}. Rejected by source: {senders}. Nothing is lost: rejected events are in "
            "quarantine. Fix the sender or the contract, then replay.",
            refused.figures(windows),
            page=_REFUSED,
        ),
        Alert(
            "SourceRejectRate",
            "warn",
            _count_above(
                settings, rejected(sources), lambda w: f"assay:source_reject_limit:n{w.text}", sources, sources
            ),
            f"{DATASET}: {{{{ printf `%.0f` $value }}}} events of source {{{{ $labels.source }}}} were rejected"
            + of_source.text(windows),
            "This sender's events break the contract: show them the quarantine's examples.",
            of_source.figures(windows),
            page=_REFUSED,
        ),
    ]


def _volume_alerts(settings: RuleSettings) -> list[Alert]:
    known = "and on (dataset) assay:reject_share"
    due = queried("assay:silence_due{dataset=%[1]q}", ("dataset",), "{{ printf `%.0f` $v }}")
    every = [
        Alert(
            "Silence",
            "page",
            f"assay:silent_seconds > 45\nand on (dataset) assay:silence_due > 20\n{known}",
            f"{DATASET}: no event for {{{{ $value | humanizeDuration }}}}, above the limit of 45s, though {due} were due, "
            "above the limit of 20",
            "Nothing arrives. Check the senders, and the network between them and the collector.",
            (Figures("assay:silent_seconds", None, 45, _DATASET, _DATASET),),
        )
    ]
    volume = settings.volume_windows()
    if volume is None:
        return every
    current, longer = volume[0].text, volume[1].text

    def sentence(limit: str, side: str) -> str:
        return (
            f"{DATASET}: {{{{ printf `%.0f` $value }}}} events in {current}"
            + queried("assay:volume_expected{dataset=%[1]q}", ("dataset",), ", expected {{ printf `%.0f` $v }}")
            + f" after the last {longer}"
            + queried(limit + "{dataset=%[1]q}", ("dataset",), f", {side} the limit of {{{{ printf `%.0f` $v }}}}")
        )

    every += [
        Alert(
            "VolumeDrop",
            "page",
            f"assay:volume:n{current} < on (dataset) assay:volume_low\n{known}",
            sentence("assay:volume_low", "below"),
            "A part of the events is missing. Compare the sources on the page: has one of them stopped?",
            (Figures(f"assay:volume:n{current}", "assay:volume_expected", "assay:volume_low", _DATASET, _DATASET),),
        ),
        Alert(
            "VolumeSurge",
            "warn",
            f"assay:volume:n{current} > on (dataset) assay:volume_high\n{known}",
            sentence("assay:volume_high", "above"),
            "Events are sent twice, or there are more of them. Compare the sources; senders that retry should use an "
            "Idempotency-Key.",
            (Figures(f"assay:volume:n{current}", "assay:volume_expected", "assay:volume_high", _DATASET, _DATASET),),
        ),
    ]
    return every


def _collector_alerts(settings: RuleSettings) -> list[Alert]:
    recent = settings.drift_windows()[-1].text
    return [
        Alert(
            "NotStorable",
            "warn",
            f"sum by (dataset) (increase(assay_not_storable_total[{recent}])) > 0",
            f"{DATASET}: the store refused {{{{ printf `%.0f` $value }}}} events that the contract accepts, expected "
            "0, above the limit of 0",
            "They are in quarantine as not_storable, with the store's reason. The table or an index may be in the way.",
            (Figures("assay_not_storable_total", 0, 0, _DATASET, _DATASET),),
            page=_REFUSED,
        ),
        Alert(
            "ContractsDiffer",
            "page",
            # A collector shows one version of a dataset; two of them are two collectors that differ.
            "count by (dataset) (count by (dataset, version, mode) (assay_contract_info)) > 1",
            f"{DATASET}: the collectors enforce {{{{ $value }}}} contracts ("
            "{{ range $i, $s := printf `count by (version, mode) (assay_contract_info{dataset=%q})` "
            '$labels.dataset | query | sortByLabel "version" }}{{ if $i }}, {{ end }}version {{ $s.Labels.version }} in mode '
            "{{ $s.Labels.mode }} on {{ $s.Value }}{{ end }}), expected 1",
            "The same event is judged in two ways. Bring the newer active.json to the collectors that lack it, or look in "
            "their log for why they do not take it.",
            wait="1m",
            hold=False,
            page=f"{_PAGE}/contracts",
        ),
        Alert(
            "LogBacklog",
            "page",
            "max by (instance) (assay_log_oldest_seconds) > 60",
            "Collector {{ $labels.instance }}: the oldest event has waited {{ $value | humanizeDuration }} for its "
            "table, expected 1s, above the limit of 60s",
            "Events are safe in the log. Another program holds the store, or the store fails: /readyz names it.",
            wait="30s",
            hold=False,
            page="/ui",
        ),
        Alert(
            "CollectorDown",
            "page",
            f"absent(up{{job={quoted(settings.job)}}} == 1)",
            "No collector answers Prometheus: 0 are up, expected at least 1",
            "Start it (bin/serve.sh), and check that Prometheus can reach it.",
            wait="30s",
            hold=False,
            page="/ui",
        ),
    ]
