"""From a profile to a contract: what was always so becomes a rule, where enough rows say so. Pure.

Every rule carries what it is expected to cost: the share of clean events that it refuses. What no row contradicts but too few support
is left out, and the contract says how many rows it would take.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as attribute
from typing import Any, Final, Literal, TypeAlias

from assay.contract.document import DIALECT, JSON, Contract
from assay.errors import NotEnoughData
from assay.profile import bounds, shapes
from assay.profile.document import FieldProfile, Numbers, Profile, Strings
from assay.profile.histogram import bins, summary
from assay.profile.roles import crosses_zero, is_identifier, is_key, is_timestamp, known_range
from assay.profile.waves import waves

__all__ = ["NEEDED", "learn"]

#: Rows without which nothing is learned: below, even a type that one row in thirty has may not have shown.
NEEDED: Final = 100
#: Rows for each claim that only never-seen things would break.
CLAIM_ROWS: Final = 1_000
ENUM_ROWS: Final = 10_000
ENUM_VALUES: Final = 100
_DIGITS: Final = re.compile("[0-9]+")
_TYPES: Final = ("boolean", "integer", "number", "string", "array", "object")


def learn(
    profile: Profile,
    *,
    dataset: str | None = None,
    budget: float = 1e-5,
    extra: Literal["allow", "forbid"] = "allow",
) -> Contract:
    """The contract that the rows of a profile support.

    `budget` is the share of clean events, in [0, 1], that all bounds on numbers and lengths together may refuse. With
    `extra="forbid"` an unknown field is a violation, at every level where fields are known. Between 100 and 500 rows
    only JSON types are learned.

    No bound is put on what names or dates a row, since the next row's will be one that was never seen: times in any
    form, years, numbers that rise with the rows, identifiers (so named; or all but different, and dense or spread beyond
    any amount). They are no enums either. A constant, or what was never there, is left open.

    What no single event can break by itself stands in the document's `x-assay`, as advice: `relations` between fields,
    which are counted and refuse nothing, and `keys`, whose values were all different.

    Raises:
        NotEnoughData: fewer than 100 rows. With 95% confidence, less than 3% of the events are then of a kind that was never
            seen (Hanley & Lippman-Hand 1983), and no contract should refuse more than that on its first day.
    """
    name = profile.dataset if dataset is None else dataset
    if profile.rows < NEEDED:
        raise NotEnoughData(name, profile.rows, NEEDED)
    bounded = sum(_has_bounds(field) for _, field in profile.walk())
    learner = _Learner(profile.rows, bounds.epsilon(budget, bounded), extra == "forbid")
    schema: dict[str, Any] = {"$schema": DIALECT, "title": name} if name else {"$schema": DIALECT}
    schema["type"] = "object"
    schema |= learner.properties(profile.fields, "", profile.rows)
    evidence: dict[str, Any] = {"dataset": name, "rows": profile.rows, "budget": budget}
    if profile.first is not None and profile.last is not None:
        evidence |= {"first": profile.first, "last": profile.last}
    if profile.skipped:
        evidence["skipped"] = profile.skipped
    if stretches := _stretches(profile):
        evidence["stretches"] = stretches
    if profile.hours is not None:
        evidence["hours"] = len(profile.hours.counts)
    if found := waves(profile.hours):
        evidence["waves"] = [list(wave) for wave in found]
    if profile.rows < bounds.SOFT_ONLY:
        evidence["says"] = (
            f"Only JSON types were learned: {_rows(profile.rows)} are too few for more. "
            f"Bounds need {bounds.SOFT_ONLY}, other rules {CLAIM_ROWS:,} or more."
        )
    if learner.forbid:
        evidence["refusals"] = {"additionalProperties": _share(bounds.never_seen(profile.rows))}
        evidence["never_seen"] = ["additionalProperties"]
    if profile.relations:
        evidence["relations"] = [relation.to_document() for relation in profile.relations]
    keys = [_key(field) for field in profile.fields if is_key(field, profile.rows)]
    if keys and profile.rows >= CLAIM_ROWS:
        evidence["keys"] = keys
    evidence["left_out"] = learner.left_out
    schema["x-assay"] = evidence
    return Contract.parse(schema, dataset=name)


def _stretches(profile: Profile) -> list[dict[str, Any]]:
    """Into what the profile was cut in the order of time: lengths and how many of each."""
    lengths: dict[float, int] = {}
    for _, field in profile.walk():
        for each in field.stretches:
            lengths[each.seconds] = max(lengths.get(each.seconds, 0), each.count)
    return [{"seconds": length, "count": count} for length, count in sorted(lengths.items())]


_Ends: TypeAlias = "tuple[bounds.Bound | None, bounds.Bound | None]"


@dataclass(slots=True)
class _Rules:
    """What is learned of one field, as it comes together."""

    schema: dict[str, Any] = attribute(default_factory=dict)
    refusals: dict[str, float] = attribute(default_factory=dict)
    never_seen: list[str] = attribute(default_factory=list)
    says: list[str] = attribute(default_factory=list)

    def bound(self, keyword: str, value: JSON, share: float, says: str) -> None:
        """A rule that the budget pays for."""
        self.schema[keyword] = value
        self.refusals[keyword] = _share(share)
        self.says.append(says)

    def add(self, keyword: str, value: JSON, share: float, says: str) -> None:
        """A rule that refuses what was never seen."""
        self.schema[keyword] = value
        self.claim(keyword, share, says)

    def claim(self, rule: str, share: float, says: str) -> None:
        """The same, where the schema says it elsewhere: `required`, `null`."""
        self.refusals[rule] = _share(share)
        self.never_seen.append(rule)
        self.says.append(says)


class _Learner:
    """Walks the fields; knows the budget, and keeps what was left out."""

    def __init__(self, rows: int, eps: float, forbid: bool) -> None:  # noqa: FBT001
        self.rows = rows
        self.eps = eps
        self.forbid = forbid
        self.left_out: list[dict[str, Any]] = []

    def leave_out(self, label: str, claim: str, needed: int) -> None:
        self.left_out.append({"field": label, "claim": claim, "rows_needed": needed})

    def properties(self, fields: tuple[FieldProfile, ...], prefix: str, around: int) -> dict[str, Any]:
        """The keywords of an object. `around` counts the rows of the table that it is in: see `histogram.bins`."""
        document: dict[str, Any] = {"properties": {}}
        required = []
        for field in fields:
            label = f"{prefix}.{field.name}" if prefix else field.name
            schema, is_required = self.field(field, label, around)
            document["properties"][field.name] = schema
            if is_required:
                required.append(field.name)
        if required:
            document["required"] = required
        # An object whose fields are unknown (it was always empty, or a map) may have any.
        document["additionalProperties"] = not (self.forbid and fields)
        return document

    def field(self, field: FieldProfile, label: str, around: int) -> tuple[dict[str, Any], bool]:
        """The schema of one field, and whether it is required."""
        rules = _Rules()
        kinds = field.kinds
        present = sum(kinds.values())
        # A share of the rows that could have it, and of its values, as a share of the events.
        weight, held = max(field.rows, 1) / self.rows, present / self.rows
        is_item = field.name == "[]"
        required = False
        if present and not is_item:
            required = self.presence(field, label, rules, weight)
        nullable = not present or field.null > 0 or field.rows < CLAIM_ROWS
        if present and not nullable:
            rules.claim("null", bounds.never_seen(field.rows) * weight, f"Never null in {_rows(field.rows)}.")
        elif present and not field.null:
            self.leave_out(label, "not null", CLAIM_ROWS)
        self.types(field, rules, nullable=nullable, weight=held)
        if len(rules.schema.get("type", ())) and len(_names(kinds)) == 1:
            self.values(field, label, rules, nullable=nullable, weight=held)
        if "object" in kinds:
            rules.schema |= self.properties(field.fields, label, around)
            if not rules.schema["additionalProperties"]:
                unknown = bounds.never_seen(kinds["object"]) * kinds["object"] / self.rows
                rules.claim("additionalProperties", unknown, "No other field was seen in it.")
        if field.items is not None:
            rules.schema["items"] = self.field(field.items, f"{label}[]", field.items.rows)[0]
        rules.schema["x-assay"] = self.evidence(field, rules, around)
        return rules.schema, required

    def presence(self, field: FieldProfile, label: str, rules: _Rules, weight: float) -> bool:
        if field.missing:
            return False
        if field.rows < CLAIM_ROWS:
            self.leave_out(label, "required", CLAIM_ROWS)
            return False
        rules.claim("required", bounds.never_seen(field.rows) * weight, f"Never missing in {_rows(field.rows)}.")
        return True

    def types(self, field: FieldProfile, rules: _Rules, *, nullable: bool, weight: float) -> None:
        names = _names(field.kinds)
        if not names or "other" in field.kinds:
            return  # nothing was ever there, or nothing that JSON has a type for
        what = " or ".join(names)
        names += ["null"] if nullable else []
        rules.schema["type"] = names[0] if len(names) == 1 else names
        present = sum(field.kinds.values())
        rules.claim("type", bounds.never_seen(present) * weight, f"Never but {what} in {_rows(present)}.")

    def values(self, field: FieldProfile, label: str, rules: _Rules, *, nullable: bool, weight: float) -> None:
        """What the values of a field of one JSON type were like."""
        if is_timestamp(field) or (field.numbers is not None and is_identifier(field)):
            if field.strings is not None:
                self.format(field.strings, label, rules, weight)
            else:
                what = "times or a counter" if is_timestamp(field) else "identifiers"
                rules.says.append(
                    f"Not bounded: the numbers look like {what}, and the next will be one that was never seen."
                )
            return
        if field.numbers is not None:
            ends = self.ends(field.name, field.numbers, label, weight)
            hard = [end is not None and end.rule in {"edge", "name"} for end in ends]
            if not all(hard) and self.enum(field, label, rules, nullable=nullable, weight=weight):
                return
            self.bound(field.numbers, ends, rules, weight)
        elif field.strings is not None:
            if self.enum(field, label, rules, nullable=nullable, weight=weight):
                return
            if not self.format(field.strings, label, rules, weight):
                self.pattern(field.strings, label, rules, weight)
                self.length(field.strings, label, rules, weight)

    def ends(self, name: str, numbers: Numbers, label: str, weight: float, claim: str = "bounds") -> _Ends:
        eps = self.eps / max(1.0, weight)
        low, high = bounds.lower(numbers, eps, crosses_zero=crosses_zero(name)), bounds.upper(numbers, eps)
        if (low is None or high is None) and (needed := bounds.rows_needed(numbers)) is not None:
            self.leave_out(label, claim, needed)
        known = known_range(name, numbers)
        if known is None or numbers.count < bounds.SOFT_ONLY:
            return low, high
        share = bounds.never_seen(numbers.count)
        if known.whole or low is None or low.value < known.low:
            low = bounds.Bound(known.low, "name", share)
        if known.whole or high is None or high.value > known.high:
            high = bounds.Bound(known.high, "name", share)
        return low, high

    def bound(self, numbers: Numbers, ends: _Ends, rules: _Rules, weight: float) -> None:
        sides = (("minimum", "from", numbers.minimum), ("maximum", "to", numbers.maximum))
        for (keyword, preposition, seen), end in zip(sides, ends, strict=True):
            if end is not None:
                reason = f"Seen {preposition} {_number(seen)} in {_rows(numbers.count)}; {_REASONS[end.rule]}."
                add = rules.add if end.rule in {"sign", "name"} else rules.bound
                add(keyword, end.value, end.share * weight, reason)

    def enum(self, field: FieldProfile, label: str, rules: _Rules, *, nullable: bool, weight: float) -> bool:
        """Refuse other values than those seen, if they are few and none of them is rare.

        Not texts that number things, as versions and devices do, since there will be a next one: all are of one shape with digits in
        it, or two differ in their digits alone.
        """
        values: list[tuple[Any, int]]
        if field.numbers is not None:
            if not field.numbers.integral or "number" in field.kinds or field.numbers.values is None:
                return False
            values = list(field.numbers.values)
        elif field.strings is not None and field.strings.complete:
            if len(field.strings.shapes) == 1 and "0" in field.strings.shapes[0][0]:
                return False
            values = sorted(field.strings.values)
            if _are_numbered([value for value, _ in values]):
                return False
        else:
            return False
        rows = sum(seen for _, seen in values)
        if not 2 <= len(values) <= ENUM_VALUES or min(seen for _, seen in values) < max(20, rows / 2000):
            return False
        if rows < ENUM_ROWS:
            self.leave_out(label, "enum", ENUM_ROWS)
            return False
        allowed: list[JSON] = [value for value, _ in values]
        says = f"{_rows(rows)} had these {len(values)} values, the rarest {_rows(min(seen for _, seen in values))}."
        rules.add("enum", [*allowed, None] if nullable else allowed, bounds.never_seen(rows) * weight, says)
        return True

    def format(self, strings: Strings, label: str, rules: _Rules, weight: float) -> bool:
        from assay.types import FORMATS

        for name, matching in strings.formats.items():
            if matching < strings.count or name not in FORMATS:
                continue
            if strings.count < CLAIM_ROWS:
                self.leave_out(label, f"format {name}", CLAIM_ROWS)
                return False
            says = f"All {_rows(strings.count)} had this format."
            rules.add("format", name, bounds.never_seen(strings.count) * weight, says)
            return True
        return False

    def pattern(self, strings: Strings, label: str, rules: _Rules, weight: float) -> None:
        """Refuse other shapes than those seen, if they are few and none of them is rare: as for an enum."""
        rarest = min((seen for _, seen in strings.shapes), default=0)
        if strings.distinct < 2 or rarest < max(20, strings.count / 2000):
            return
        if strings.count < ENUM_ROWS:
            self.leave_out(label, "pattern", ENUM_ROWS)
            return
        kinds = "this shape" if len(strings.shapes) == 1 else f"these {len(strings.shapes)} shapes"
        says = f"{_rows(strings.count)} had {kinds}, the rarest {_rows(rarest)}."
        regex = shapes.pattern([shape for shape, _ in strings.shapes])
        rules.add("pattern", regex, bounds.never_seen(strings.count) * weight, says)

    def length(self, strings: Strings, label: str, rules: _Rules, weight: float) -> None:
        if strings.lengths is None:
            return
        # No wall holds a length: a counter in a text gets one digit more one day.
        _, end = self.ends("", strings.lengths, label, weight, "length")
        if end is not None and end.rule != "edge":
            longest = f"Seen up to {strings.lengths.maximum} characters in {_rows(strings.count)}"
            rules.bound("maxLength", end.value, end.share * weight, f"{longest}; {_REASONS[end.rule]}.")

    def evidence(self, field: FieldProfile, rules: _Rules, around: int) -> dict[str, Any]:
        document: dict[str, Any] = {"rows": field.rows, "evidence": summary(field)}
        if rules.refusals:
            document["refusals"] = rules.refusals
        if rules.never_seen:
            document["never_seen"] = rules.never_seen
        if rules.says:
            document["says"] = " ".join(rules.says)
        histogram = bins(field, around)
        if histogram is not None:
            document["bins"] = histogram.to_document()
        return document


_REASONS: Final[Mapping[str, str]] = {
    "edge": "the values end there as at a wall",
    "tail": "beyond lies what their tail leaves for chance",
    "atom": "beyond lies what the tail of those apart from the commonest value leaves for chance",
    "sign": "never negative",
    "name": "a field of this name goes no further",
}


def _are_numbered(texts: list[str]) -> bool:
    """Whether any two of these texts, which all differ, differ in their digits alone."""
    return len({_DIGITS.sub("0", text) for text in texts}) < len(texts)


def _names(kinds: Mapping[str, int]) -> list[str]:
    """JSON Schema's names for what was seen: the integers are among the numbers."""
    return [name for name in _TYPES if name in kinds and not (name == "integer" and "number" in kinds)]


def _has_bounds(field: FieldProfile) -> bool:
    """Whether the field takes its part of the budget: its numbers or lengths may get bounds."""
    if is_timestamp(field) or len(_names(field.kinds)) != 1:
        return False
    if field.numbers is not None:
        return not is_identifier(field)
    return field.strings is not None and field.strings.lengths is not None


def _key(field: FieldProfile) -> dict[str, Any]:
    return {"field": field.name, "rows": field.rows, "says": f"All different in {_rows(field.rows)}."}


def _share(share: float) -> float:
    """A share with as many digits as it deserves."""
    return float(f"{share:.3g}") if math.isfinite(share) else 1.0


def _rows(rows: int) -> str:
    return f"{rows:,} row" if rows == 1 else f"{rows:,} rows"


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.6g}"
