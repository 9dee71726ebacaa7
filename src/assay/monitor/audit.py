"""The generated rules over what has been counted in the past: which alarms they would have raised.

Where the counts come from is not known here. A day is some 17,000 evaluations, so the past is gone through a piece at a
time: memory does not grow with its length.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from dataclasses import field as attribute
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from assay.contract.document import Contract
from assay.monitor.alerts import alerts
from assay.monitor.bins import binned_fields
from assay.monitor.evaluate import Firing, alert_values, firings, joined, read_rules, recorded
from assay.monitor.exceptions import AlertException
from assay.monitor.metrics import OUTCOMES
from assay.monitor.range_functions import Scraped
from assay.monitor.rule_settings import RuleSettings
from assay.monitor.rules import render_rules
from assay.monitor.sentences import Figures
from assay.monitor.series_frame import Doubles, Frame, Labels, labelled, narrowed

__all__ = ["AUDITED", "Alarm", "Counted", "audit"]

#: The alerts that are about what was sent. The others are about collectors, of whose past nothing is kept.
AUDITED: Final = frozenset(
    (
        "FieldDrift",
        "FieldRareBin",
        "FieldViolations",
        "RejectRate",
        "SourceRejectRate",
        "Silence",
        "VolumeDrop",
        "VolumeSurge",
        "NotStorable",
    )
)
#: Scrapes that are looked at together.
_PIECE: Final = 4_000
#: An alert that would fire and an exception holds back is looked for without the exceptions.
_NONE: Final[tuple[AlertException, ...]] = ()

Counts: TypeAlias = npt.NDArray[np.int64]


@dataclass(slots=True)
class Counted:
    """What was counted from one scrape to the next, in so many `steps` of equal length: an array an entry each.

    `events` by source and outcome; `violations` by field label and type; `values` by field label, with a row for each
    bin; `last` is the time of the newest event of a step (Unix time), 0 where it has none.
    """

    steps: int
    events: dict[tuple[str, str], Counts] = attribute(default_factory=dict)
    violations: dict[tuple[str, str], Counts] = attribute(default_factory=dict)
    values: dict[str, Counts] = attribute(default_factory=dict)
    not_storable: Counts | None = None
    last: Doubles | None = None

    @property
    def total(self) -> int:
        """All events."""
        return int(sum(counts.sum() for counts in self.events.values()))


@dataclass(frozen=True, slots=True)
class Alarm:
    """An alert that would have fired, from the first evaluation to the last (Unix times; None: it fires at the end).

    `field`, `source` and `detail`, the bin or the type of a violation, are empty where the alert has none. `figure`,
    `expected` and `limit` are as of the first evaluation; None: it has none. `held_back` is the exception that mutes the
    alert, or under whose wider limit it stays.
    """

    alert: str
    dataset: str
    field: str
    source: str
    detail: str
    from_s: float
    until_s: float | None
    figure: float
    expected: float | None
    limit: float | None
    held_back: AlertException | None = None

    def to_document(self) -> dict[str, Any]:
        """As `--json` prints it."""
        document: dict[str, Any] = {
            name: getattr(self, name)
            for name in ("alert", "dataset", "field", "source", "detail", "figure", "expected", "limit")
        }
        document |= {"from_s": self.from_s, "until_s": self.until_s}
        if self.held_back is not None:
            document["held_back"] = {
                "exception": self.held_back.name,
                "reason": self.held_back.reason,
                "until": str(self.held_back.until),
            }
        return document


def audit(
    contract: Contract,
    settings: RuleSettings,
    counted: Callable[[int, int], Counted],
    from_s: float,
    until_s: float,
    *,
    progress: Callable[[float], object] | None = None,
) -> tuple[list[Alarm], int]:
    """The alarms that a contract's rules would have raised from `from_s` until `until_s` (Unix times), and the events since.

    `counted(first, last)` gives what was counted in the steps first, first + 1 ... last - 1; step i ends at the scrape at
    (i + 1) times the scrape interval. It is asked for one stretch after the other.
    """
    past = _Past(contract, settings)
    own = [each for each in settings.exceptions if each.dataset == contract.dataset]
    plain = _Replay(contract, replace(settings, exceptions=_NONE))
    ruled = _Replay(contract, replace(settings, exceptions=tuple(own))) if own else plain
    events = 0
    for scraped, at, total, share in past.pieces(counted, from_s, until_s):
        events += total
        for each in {id(plain): plain, id(ruled): ruled}.values():
            each.see(scraped, at)
        if progress is not None:
            progress(share)
    alarms = ruled.alarms()
    if own:
        told = [(alarm.alert, alarm.field, alarm.source, alarm.detail, alarm.from_s, alarm.until_s) for alarm in alarms]
        for alarm in plain.alarms():
            exception = _exception(own, alarm)
            if exception is not None and not any(_within(alarm, each) for each in told):
                alarms.append(replace(alarm, held_back=exception))
    return sorted(alarms, key=lambda alarm: (alarm.from_s, alarm.alert, alarm.field, alarm.source)), events


def _exception(exceptions: Sequence[AlertException], alarm: Alarm) -> AlertException | None:
    """The narrowest exception that is about an alarm."""
    own = {"field": alarm.field, "source": alarm.source}
    about = [
        each
        for each in exceptions
        if each.alert == alarm.alert and all(own.get(k) == v for k, v in each.labels.items() if k != "dataset")
    ]
    return max(about, key=lambda each: (each.widen is None, len(each.labels)), default=None)


def _within(alarm: Alarm, told: tuple[str, str, str, str, float, float | None]) -> bool:
    """Whether the alarm is told already: for a part of its time, where a wider limit was passed later."""
    *what, from_s, until_s = told
    if what != [alarm.alert, alarm.field, alarm.source, alarm.detail]:
        return False
    ends_s = math.inf if alarm.until_s is None else alarm.until_s
    return from_s <= ends_s and (until_s is None or until_s >= alarm.from_s)


class _Past:
    """Counts as a Prometheus would have scraped them, a piece of time after the other."""

    def __init__(self, contract: Contract, settings: RuleSettings) -> None:
        self._dataset = {"dataset": contract.dataset}
        self._settings = settings
        windows = settings.windows()
        # The usual volume is looked up one window before the current one, and silence 45 s before.
        reach_s = windows[-1].length_s + settings.drift_windows()[-1].length_s + 60
        self._warm = math.ceil(reach_s / settings.scrape_interval_s)
        shares = {label: field.bins for label, field in binned_fields(contract)}
        self._bins = {label: (bins.labels, bins.share) for label, bins in shares.items() if bins is not None}

    def pieces(
        self, counted: Callable[[int, int], Counted], from_s: float, until_s: float
    ) -> Iterator[tuple[dict[str, list[Scraped]], Doubles, int, float]]:
        """What was scraped, when rules were evaluated, the events that came, and the share that is done then."""
        scrape_s, evaluation_s = self._settings.scrape_interval_s, self._settings.evaluation_interval_s
        first, last = math.floor(from_s / scrape_s), math.ceil(until_s / scrape_s)
        before = counted(first - self._warm, first)
        for start in range(first, last, _PIECE):
            end = min(start + _PIECE, last)
            piece = counted(start, end)
            both = _joined_counts(before, piece)
            times = np.arange(end - both.steps + 1, end + 1, dtype=np.float64) * scrape_s
            # As a rule scrapes and evaluations are not at the same moments: half an interval apart, here.
            begin, stop = (math.floor((step * scrape_s) / evaluation_s) + 1 for step in (start, end))
            at = np.arange(begin, stop, dtype=np.float64) * evaluation_s + scrape_s / 2
            yield self._scraped(both, times), at, piece.total, (end - first) / (last - first)
            before = _tail(both, self._warm)

    def _scraped(self, counts: Counted, times: Doubles) -> dict[str, list[Scraped]]:
        if not counts.total:
            return {}

        def shown(rows: Sequence[tuple[Mapping[str, str], Any]]) -> list[Scraped]:
            labels = tuple(labelled({**self._dataset, **own}.items()) for own, _ in rows)
            values = [np.broadcast_to(np.asarray(row, dtype=np.float64), times.shape) for _, row in rows]
            return [Scraped(times, labels, np.stack(values))] if rows else []

        events = [
            ({"source": source, "outcome": name}, np.cumsum(counts.events.get((source, name), 0)))
            for source in sorted({source for source, _ in counts.events})
            for name in OUTCOMES
        ]
        values = [
            ({"field": label, "bin": name}, row)
            for label, (names, _) in self._bins.items()
            if label in counts.values
            for name, row in zip(names, np.cumsum(counts.values[label], axis=1), strict=True)
        ]
        expected = [
            ({"field": label, "bin": name}, share.get(name, 0.0))
            for label, (names, share) in self._bins.items()
            for name in names
        ]
        kinds = [({"field": label, "type": kind}, np.cumsum(row)) for (label, kind), row in counts.violations.items()]
        last = np.zeros(counts.steps) if counts.last is None else np.maximum.accumulate(counts.last)
        return {
            "assay_events_total": shown(events),
            "assay_field_values_total": shown(values),
            "assay_field_expected_ratio": shown(expected),
            "assay_violations_total": shown(kinds),
            "assay_last_event_timestamp_seconds": shown([({}, last)]),
            "assay_not_storable_total": shown([({}, 0 if (n := counts.not_storable) is None else np.cumsum(n))]),
        }


class _Replay:
    """The rules of one contract, and what they have said so far."""

    def __init__(self, contract: Contract, settings: RuleSettings) -> None:
        rules = read_rules(render_rules([contract], settings))
        self._rules = [rule for rule in rules if not rule.is_alert or rule.name in AUDITED]
        profiled = bool(binned_fields(contract))
        self._figures = {alert.name: alert.figures for alert in alerts(settings, profiled=profiled)}
        self._dataset = contract.dataset
        self._values: list[dict[str, Frame]] = []
        self._at: list[Doubles] = []
        self._told: dict[tuple[str, Labels, float], tuple[float | None, float | None]] = {}

    def see(self, scraped: Mapping[str, list[Scraped]], at: Doubles) -> None:
        """Evaluate the rules at these times."""
        if scraped:
            values = alert_values(self._rules, scraped, at)
        else:  # nothing has come for so long that there is nothing to say
            values = {rule.name: Frame((), np.empty((0, len(at)))) for rule in self._rules if rule.is_alert}
        begun = [
            (name, labels, int(i))
            for name, frame in values.items()
            for labels, row in zip(frame.labels, frame.values, strict=True)
            for i in _beginnings(row)
        ]
        if begun:
            moments = sorted({i for _, _, i in begun})
            frames = recorded(self._rules, scraped, at[moments])
            for name, labels, i in begun:
                value = float(values[name].values[values[name].labels.index(labels), i])
                found = _expected_and_limit(self._figures[name], frames, labels, moments.index(i), value)
                self._told[name, labels, float(at[i])] = found
        self._values.append(values)
        self._at.append(at)

    def alarms(self) -> list[Alarm]:
        """What would have fired."""
        at = np.concatenate(self._at) if self._at else np.empty(0)
        values = joined(self._values)
        return [self._alarm(each, values[each.alert], at) for each in firings(self._rules, values, at)]

    def _alarm(self, firing: Firing, frame: Frame, at: Doubles) -> Alarm:
        own = dict(firing.labels)
        row = frame.values[frame.labels.index(firing.labels)]
        expected, limit = self._told.get((firing.alert, firing.labels, firing.first_s), (None, None))
        return Alarm(
            alert=firing.alert,
            dataset=self._dataset,
            field=own.get("field", ""),
            source=own.get("source", ""),
            detail=own.get("bin", own.get("type", "")),
            from_s=firing.first_s,
            until_s=None if firing.last_s >= at[-1] else firing.last_s,
            figure=float(row[np.searchsorted(at, firing.first_s)]),
            expected=expected,
            limit=limit,
        )


def _beginnings(row: Doubles) -> npt.NDArray[np.intp]:
    """Where a value is that was not there before."""
    there = ~np.isnan(row)
    return np.flatnonzero(there & ~np.concatenate([[False], there[:-1]]))


def _expected_and_limit(
    figures: Sequence[Figures], frames: Mapping[str, Frame], labels: Labels, i: int, value: float
) -> tuple[float | None, float | None]:
    """What was expected in the window that an alert's value comes from, and the limit there."""
    found: tuple[float | None, float | None] = (None, None)
    for each in figures:
        key = narrowed(labels, each.labels)
        found = (_number(each.expected, frames, key, i), _number(each.limit, frames, key, i))
        seen = _sum(each, frames, labels, i)
        if seen is not None and math.isclose(seen, value, rel_tol=1e-9):
            break
    return found


def _number(given: str | float | None, frames: Mapping[str, Frame], key: Labels, i: int) -> float | None:
    if not isinstance(given, str):
        return given
    frame = frames.get(given)
    if frame is None or key not in frame.labels:
        return None
    value = float(frame.values[frame.labels.index(key), i])
    return None if math.isnan(value) else value


def _sum(each: Figures, frames: Mapping[str, Frame], labels: Labels, i: int) -> float | None:
    frame = frames.get(each.figure)
    if frame is None:
        return None
    only = tuple(each.only.replace('"', "").split("=")) if each.only else None
    wanted = narrowed(labels, each.key)
    values = [
        float(row[i])
        for own, row in zip(frame.labels, frame.values, strict=True)
        if narrowed(own, each.key) == wanted and (only is None or only in own)
    ]
    return math.fsum(values) if values else None


def _joined_counts(a: Counted, b: Counted) -> Counted:
    """One stretch of time and the next."""

    def both(x: Any, y: Any) -> Any:
        x = np.zeros((*y.shape[:-1], a.steps), dtype=y.dtype) if x is None else x
        y = np.zeros((*x.shape[:-1], b.steps), dtype=x.dtype) if y is None else y
        return np.concatenate([x, y], axis=-1)

    def each(x: Mapping[Any, Any], y: Mapping[Any, Any]) -> dict[Any, Any]:
        return {key: both(x.get(key), y.get(key)) for key in {**x, **y}}

    def one(x: Any, y: Any) -> Any:
        return None if x is None and y is None else both(x, y)

    return Counted(
        a.steps + b.steps,
        each(a.events, b.events),
        each(a.violations, b.violations),
        each(a.values, b.values),
        one(a.not_storable, b.not_storable),
        one(a.last, b.last),
    )


def _tail(counts: Counted, steps: int) -> Counted:
    """The last steps, without the series that show nothing in them."""

    def each(of: Mapping[Any, Any]) -> dict[Any, Any]:
        return {key: row[..., -steps:] for key, row in of.items() if row[..., -steps:].any()}

    last = None if counts.last is None else counts.last[-steps:].copy()
    if last is not None and counts.last is not None and steps < counts.steps:
        last[0] = max(last[0], counts.last[: counts.steps - steps + 1].max())
    n = counts.not_storable
    return Counted(
        min(steps, counts.steps),
        each(counts.events),
        each(counts.violations),
        each(counts.values),
        None if n is None else n[-steps:],
        last,
    )
