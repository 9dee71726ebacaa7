"""Generated rules over series that are known from beginning to end: what Prometheus would have recorded and alerted.

The rules are read from the generated file: no part of them is written down a second time. Everything is computed for
many evaluations at once; `benches/alerts` holds it against Prometheus' own engine, evaluation by evaluation. A NaN that
Prometheus would compute counts as no value here; generated rules compute none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from assay.monitor.expression import Aggregate, Binary, Call, Expression, Matcher, Number, Selector, parse
from assay.monitor.range_functions import Alike, Scraped, alike, changes, increase, newest
from assay.monitor.rule_settings import seconds
from assay.monitor.series_frame import Doubles, Frame, Labels, aggregate, labelled, narrowed

__all__ = ["Firing", "Rule", "alert_values", "evaluate", "firings", "joined", "read_rules", "recorded"]

#: Evaluations at once: few enough for a processor's cache, enough for numpy.
_AT_ONCE: Final = 2_000


@dataclass(frozen=True, slots=True)
class Rule:
    """A recording rule, or an alert: `name` is the series' or the alert's."""

    name: str
    expression: Expression
    labels: Mapping[str, str]
    is_alert: bool
    wait_s: float = 0.0
    hold_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Firing:
    """One alert that fired without a break, at every evaluation from `first_s` to `last_s` (Unix times)."""

    alert: str
    labels: Labels
    first_s: float
    last_s: float


def read_rules(text: bytes | str) -> list[Rule]:
    """The rules of a generated file, in their order.

    Raises:
        ValueError: an expression uses what generated rules do not.
    """
    import yaml

    document: Any = yaml.safe_load(text)
    return [
        Rule(
            name=rule.get("record") or rule["alert"],
            expression=parse(rule["expr"]),
            labels=rule.get("labels", {}),
            is_alert="alert" in rule,
            wait_s=seconds(rule.get("for", "0s")),
            hold_s=seconds(rule.get("keep_firing_for", "0s")),
        )
        for group in document["groups"]
        for rule in group["rules"]
    ]


def evaluate(
    rules: Sequence[Rule], scraped: Mapping[str, Sequence[Scraped]], at: Doubles
) -> tuple[list[Firing], dict[str, Frame]]:
    """What fires when the rules are evaluated at each time of `at`, and the alerts' values over all evaluations.

    `scraped` has each metric's samples, one for each target; `at` are Unix times in seconds, ascending.
    """
    values = alert_values(rules, scraped, at)
    return firings(rules, values, at), values


def alert_values(rules: Sequence[Rule], scraped: Mapping[str, Sequence[Scraped]], at: Doubles) -> dict[str, Frame]:
    """The alerts' values at each time of `at`, by name."""
    parts: list[dict[str, Frame]] = []
    targets = _Targets(scraped)
    for start in range(0, len(at), _AT_ONCE):
        moment = _Moment(targets, at[start : start + _AT_ONCE])
        parts.append({rule.name: frame for rule in rules if (frame := moment.rule(rule)) is not None})
    return joined(parts)


def firings(rules: Sequence[Rule], values: Mapping[str, Frame], at: Doubles) -> list[Firing]:
    """What fires when the alerts have these values at each time of `at`, the first first."""
    fired = [firing for rule in rules if rule.name in values for firing in _firing(rule, values[rule.name], at)]
    return sorted(fired, key=lambda each: (each.first_s, each.alert, each.labels))


def recorded(rules: Sequence[Rule], scraped: Mapping[str, Sequence[Scraped]], at: Doubles) -> dict[str, Frame]:
    """What the recording rules record at each time of `at`, by name."""
    moment = _Moment(_Targets(scraped), at)
    for rule in rules:
        if not rule.is_alert:
            moment.rule(rule)
    return {
        name: Frame(frame.labels, np.broadcast_to(frame.values, (len(frame.labels), len(at))))
        for name, frame in moment.recorded.items()
    }


def joined(parts: Sequence[Mapping[str, Frame]]) -> dict[str, Frame]:
    """The same alerts at some evaluations, and then at others. Series that never have a value are left out."""
    return {name: _joined([part[name] for part in parts]) for name in (parts[0] if parts else ())}


def _joined(frames: Sequence[Frame]) -> Frame:
    rows: dict[Labels, list[tuple[int, Doubles]]] = {}
    starts = np.cumsum([0, *(frame.values.shape[1] for frame in frames)])
    for start, frame in zip(starts[:-1], frames, strict=True):
        for labels, row in zip(frame.labels, frame.values, strict=True):
            if not np.isnan(row).all():
                rows.setdefault(labels, []).append((int(start), row))
    values = np.full((len(rows), int(starts[-1])), np.nan)
    for whole, parts in zip(values, rows.values(), strict=True):
        for start, row in parts:
            whole[start : start + len(row)] = row
    return Frame(tuple(rows), values)


def _firing(rule: Rule, frame: Frame, at: Doubles) -> list[Firing]:
    """The alert's state as Prometheus keeps it: pending for `for`, then firing, then kept for `keep_firing_for`."""
    found = []
    for labels, row in zip(frame.labels, frame.values, strict=True):
        active = np.flatnonzero(~np.isnan(row))
        begin = 0
        open_run: tuple[int, int] | None = None  # first and last evaluation of a firing alert that may be kept
        breaks = np.flatnonzero(np.diff(active) > 1)
        for end in [*breaks, len(active) - 1]:
            first, last = int(active[begin]), int(active[end])
            begin = int(end) + 1
            if open_run is not None and at[first - 1] - at[open_run[1] + 1] < rule.hold_s:
                open_run = (open_run[0], last)  # kept until its reason came back
                continue
            if open_run is not None:
                found.append(_kept(rule, labels, open_run, at))
                open_run = None
            waited = int(np.searchsorted(at, at[first] + rule.wait_s))
            if waited <= last:
                open_run = (waited, last)
        if open_run is not None:
            found.append(_kept(rule, labels, open_run, at))
    return found


def _kept(rule: Rule, labels: Labels, run: tuple[int, int], at: Doubles) -> Firing:
    first, last = run
    if rule.hold_s and last + 1 < len(at):
        last = int(np.searchsorted(at, at[last + 1] + rule.hold_s)) - 1
    return Firing(rule.name, labels, float(at[first]), float(at[last]))


Value = Frame | Doubles | float
_ARITHMETIC: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "%": np.fmod,
    "^": np.power,
}
_COMPARISONS: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "==": np.equal,
    "!=": np.not_equal,
    "<=": np.less_equal,
    ">=": np.greater_equal,
    "<": np.less,
    ">": np.greater,
}
_SETS: Final = frozenset(("and", "or", "unless"))
_FUNCTIONS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "abs": np.abs,
    "cos": np.cos,
    "exp": np.exp,
    "floor": np.floor,
    "sin": np.sin,
    "sqrt": np.sqrt,
}


class _Targets:
    """What the targets showed, by what a selector selects of it, made ready for ranges once."""

    def __init__(self, scraped: Mapping[str, Sequence[Scraped]]) -> None:
        self._scraped = scraped
        self._selected: dict[tuple[str, tuple[Matcher, ...]], list[Scraped]] = {}
        self._ready: dict[tuple[str, tuple[Matcher, ...]], list[list[Alike]]] = {}

    def selected(self, node: Selector) -> list[Scraped]:
        """The series that are selected, of each target that has some."""
        key = (node.name, node.matchers)
        if key not in self._selected:
            self._selected[key] = list(self._select(node))
        return self._selected[key]

    def ready(self, node: Selector) -> list[list[Alike]]:
        """The same, for ranges."""
        key = (node.name, node.matchers)
        if key not in self._ready:
            self._ready[key] = [alike(each) for each in self.selected(node)]
        return self._ready[key]

    def _select(self, node: Selector) -> Iterator[Scraped]:
        for target in self._scraped.get(node.name, ()):
            rows = [i for i, own in enumerate(target.labels) if _matches(node, own)]
            if rows:
                yield Scraped(target.times, tuple(target.labels[i] for i in rows), target.values[rows])


class _Moment:
    """Some evaluations in a row: what the rules so far have recorded, and what the targets showed."""

    def __init__(self, targets: _Targets, at: Doubles) -> None:
        self.at = at
        self.recorded: dict[str, Frame] = {}
        self._targets = targets

    def rule(self, rule: Rule) -> Frame | None:
        """An alert's value, a column an evaluation. What a recording rule gives is kept for those behind it."""
        frame = self._evaluate(rule.expression)
        if rule.is_alert:
            return Frame(frame.labels, np.broadcast_to(frame.values, (len(frame.labels), len(self.at))))
        self._record(rule, frame)
        return None

    def _record(self, rule: Rule, frame: Frame) -> None:
        if rule.labels:
            own = tuple(labelled({**dict(labels), **rule.labels}.items()) for labels in frame.labels)
            frame = Frame(own, frame.values)
        before = self.recorded.get(rule.name)
        if before is not None:
            width = max(before.values.shape[1], frame.values.shape[1])
            both = [np.broadcast_to(each.values, (len(each.labels), width)) for each in (before, frame)]
            frame = Frame(before.labels + frame.labels, np.concatenate(both))
        self.recorded[rule.name] = frame

    def _evaluate(self, expression: Expression) -> Frame:
        with np.errstate(all="ignore"):
            value = self._value(expression)
        return value if isinstance(value, Frame) else Frame(((),), np.atleast_2d(value))

    def _value(self, node: Expression) -> Value:
        if isinstance(node, Number):
            return node.value
        if isinstance(node, Selector):
            return self._select(node)
        if isinstance(node, Aggregate):
            return aggregate(self._frame(node.of), node.by, node.function)
        if isinstance(node, Call):
            return self._call(node)
        return self._binary(node)

    def _frame(self, node: Expression) -> Frame:
        value = self._value(node)
        if not isinstance(value, Frame):
            raise ValueError("PromQL: series are expected, not a number")  # noqa: TRY004 - the text is wrong
        return value

    # ---- series

    def _select(self, node: Selector) -> Frame:
        recorded = self.recorded.get(node.name)
        if recorded is not None:
            rows = [i for i, labels in enumerate(recorded.labels) if _matches(node, labels)]
            return Frame(tuple(recorded.labels[i] for i in rows), recorded.values[rows])
        at = self.at - node.offset_s
        return self._gathered(node, [newest(each, at) for each in self._targets.selected(node)])

    def _gathered(self, node: Selector, values: Sequence[Doubles]) -> Frame:
        """What was computed of each target's series that are selected."""
        labels = tuple(own for each in self._targets.selected(node) for own in each.labels)
        width = max((each.shape[1] for each in values), default=1)
        whole = [np.broadcast_to(each, (len(each), width)) for each in values]
        return Frame(labels, np.concatenate(whole) if whole else np.empty((0, 1)))

    # ---- functions

    def _call(self, node: Call) -> Value:
        name = node.function
        if name == "time":
            return self.at
        first = node.arguments[0]
        if name in {"increase", "rate", "changes"}:
            if not isinstance(first, Selector) or first.range_s is None:
                raise ValueError(f"PromQL: {name} is of a range of series")
            compute = changes if name == "changes" else increase
            at = self.at - first.offset_s
            found = self._gathered(first, [compute(each, at, first.range_s) for each in self._targets.ready(first)])
            return Frame(found.labels, found.values / first.range_s) if name == "rate" else found
        if name == "vector":
            return Frame(((),), np.atleast_2d(np.asarray(self._value(first), dtype=np.float64)))
        if name == "absent":
            return self._absent(first)
        value = self._value(first)
        function: Callable[[Any], Any]
        if name in {"clamp_min", "clamp_max"}:
            limit: Any = self._value(node.arguments[1])
            function = partial(np.maximum if name == "clamp_min" else np.minimum, limit)
        else:
            function = _FUNCTIONS[name]
        return Frame(value.labels, function(value.values)) if isinstance(value, Frame) else function(value)

    def _absent(self, node: Expression) -> Frame:
        frame = self._frame(node)
        gone = np.isnan(frame.values).all(axis=0) if len(frame.labels) else np.ones(1, dtype=bool)
        matchers = node.matchers if isinstance(node, Selector) else ()
        labels = labelled((each.label, each.value) for each in matchers if each.operator == "=")
        return Frame((labels,), np.where(gone, 1.0, np.nan)[None, :])

    # ---- two sides

    def _binary(self, node: Binary) -> Value:
        left, right = self._value(node.left), self._value(node.right)
        if node.operator in _SETS:
            if not isinstance(left, Frame) or not isinstance(right, Frame):
                raise ValueError(f"PromQL: {node.operator} is of series")
            return _set_operation(node, left, right)
        if isinstance(left, Frame) and isinstance(right, Frame):
            return _matched(node, left, right)
        if not isinstance(left, Frame) and not isinstance(right, Frame):
            if node.operator in _COMPARISONS:
                raise ValueError("PromQL: two numbers are not compared")
            number: Doubles = _ARITHMETIC[node.operator](left, right)
            return number
        of, other = (left, right) if isinstance(left, Frame) else (right, left)
        assert isinstance(of, Frame)
        values = (of.values, other) if of is left else (other, of.values)
        return Frame(of.labels, _apply(node.operator, *values, kept=of.values))


def _matches(node: Selector, labels: Labels) -> bool:
    own = dict(labels)
    for matcher in node.matchers:
        value = own.get(matcher.label, "")
        equal = (
            value == matcher.value if "~" not in matcher.operator else re.fullmatch(matcher.value, value) is not None
        )
        if equal is matcher.operator.startswith("!"):
            return False
    return True


def _apply(operator: str, left: Any, right: Any, *, kept: Doubles) -> Doubles:
    """An operator's values; a comparison keeps `kept` where it holds."""
    if operator in _ARITHMETIC:
        computed: Doubles = _ARITHMETIC[operator](left, right)
        return computed
    return np.where(_COMPARISONS[operator](left, right), kept, np.nan)


def _matched(node: Binary, left: Frame, right: Frame) -> Frame:
    """Each series of the left with the one on the right that has the same labels."""
    partners: dict[Labels, int] = {}
    for i, labels in enumerate(right.labels):
        key = narrowed(labels, node.on)
        if key in partners:
            raise ValueError(f"PromQL: two series on the right are {dict(key)}")
        partners[key] = i
    pairs = [
        (i, partners[key], labels if node.many or node.on is None else key)
        for i, labels in enumerate(left.labels)
        if (key := narrowed(labels, node.on)) in partners
    ]
    if len({labels for _, _, labels in pairs}) < len(pairs):
        raise ValueError(
            "PromQL: several series on the left share one on the right; group_left says that this is meant"
        )
    rows = [i for i, _, _ in pairs]
    mine, others = left.values[rows], right.values[[j for _, j, _ in pairs]]
    return Frame(tuple(labels for _, _, labels in pairs), _apply(node.operator, mine, others, kept=mine))


def _set_operation(node: Binary, left: Frame, right: Frame) -> Frame:
    """`and`, `or`, `unless`: by labels, at each evaluation."""
    if node.operator == "or":
        return _either(node, left, right)
    present = _presence(right, node.on)
    nothing = np.zeros((1, 1), dtype=bool)
    kept = []
    for labels, row in zip(left.labels, left.values, strict=True):
        there = present.get(narrowed(labels, node.on), nothing[0])
        kept.append(np.where(there == (node.operator == "and"), row, np.nan))
    return Frame(left.labels, _stacked(kept))


def _either(node: Binary, left: Frame, right: Frame) -> Frame:
    present = _presence(left, node.on)
    rows: dict[Labels, Doubles] = dict(zip(left.labels, left.values, strict=True))
    for labels, row in zip(right.labels, right.values, strict=True):
        there = present.get(narrowed(labels, node.on))
        extra = row if there is None else np.where(there, np.nan, row)
        mine = rows.get(labels)
        rows[labels] = extra if mine is None else np.where(np.isnan(mine), extra, mine)
    return Frame(tuple(rows), _stacked(list(rows.values())))


def _presence(frame: Frame, on: tuple[str, ...] | None) -> dict[Labels, npt.NDArray[np.bool_]]:
    """Where some series of these labels has a value."""
    found: dict[Labels, npt.NDArray[np.bool_]] = {}
    for labels, row in zip(frame.labels, frame.values, strict=True):
        key = narrowed(labels, on)
        there = ~np.isnan(row)
        found[key] = found[key] | there if key in found else there
    return found


def _stacked(rows: Sequence[Doubles]) -> Doubles:
    if not rows:
        return np.empty((0, 1))
    width = max(len(row) for row in rows)
    return np.stack([np.broadcast_to(row, (width,)) for row in rows])
