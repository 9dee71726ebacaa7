"""What a contract keeps of a field's profile: its bins, which live values are held against, and a summary. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from assay.contract.evidence import Bins, chance, degrees, value_label
from assay.profile.document import FieldProfile, Number, Numbers, Stretches
from assay.profile.lag import lag_bins
from assay.profile.roles import is_identifier, is_timestamp

__all__ = ["bins", "summary"]

CATEGORIES: Final = 20
#: The largest distance that may be tolerated, and the one that the rules tolerate of any field.
_MOST: Final = 1.5
_ALWAYS_TOLERATED: Final = 0.02
LONGEST_CATEGORY: Final = 100


def bins(field: FieldProfile, rows: int) -> Bins | None:
    """Ten bins between the deciles, or one for each of at most 20 values; none for objects and arrays.

    `rows` counts those of the table around it: a field of an object that is missing is missing, too. Identifiers and
    times have no bins of their own: there only `null` and `_other`, which is the rest, mean something. But of the times that events
    are given by who sends them there are bins of their lag.
    """
    kinds = field.kinds
    if not rows or kinds.keys() & {"object", "array"}:
        return None
    numeric = kinds.get("integer", 0) + kinds.get("number", 0)
    boolean, text = kinds.get("boolean", 0), kinds.get("string", 0)
    most = max(numeric, boolean, text)
    found = Bins(rows, {}, values=())
    counts: dict[str, int] = {}
    if (of_lag := lag_bins(field, rows)) is not None:
        found, counts = of_lag
    elif not most or is_identifier(field) or is_timestamp(field):
        pass
    elif most == numeric and field.numbers is not None:
        found, counts = _of_numbers(field.numbers, rows)
    elif most == boolean:
        values = tuple(value for value, seen in ((False, boolean - field.true), (True, field.true)) if seen)
        found, counts = Bins(rows, {}, values=values), {"false": boolean - field.true, "true": field.true}
    elif field.strings is not None:
        found, counts = _of_strings(field, rows)
    counts["null"] = rows - sum(kinds.values())
    counts["_other"] = rows - sum(counts.values())
    share = {label: counts[label] / rows for label in found.labels if counts.get(label)}
    return _as_the_stream_is(replace(found, share=share), field.stretches)


def _as_the_stream_is(found: Bins, stretches: Sequence[Stretches]) -> Bins:
    """The bins with what is to be tolerated beyond chance, where stretches of the stream differ by more.

    What shrinks as stretches get longer is `spread`: values that depend on one another. What the worst stretch came to
    beyond that, and half as much again, is `tolerance`: day and night differ by the same, however long one looks. But all
    in all no more than _MOST: a value that is stuck comes to 1.86 and more.
    """
    if not stretches:
        return found
    k = chance(found)
    longest = max(stretches, key=lambda each: each.seconds)
    spread = min(_spread_of(found, stretches), max(1.0, _MOST / (k * (1 / longest.rows + 1 / found.rows))))
    tolerance = 0.0
    for each in stretches:
        by_chance = spread * k * (1 / each.worst_rows + 1 / found.rows)
        tolerance = max(tolerance, min(1.5 * each.worst, _MOST) - by_chance)
    return replace(
        found,
        spread=float(f"{spread:.3g}"),
        tolerance=float(f"{tolerance:.3g}") if tolerance > _ALWAYS_TOLERATED else 0.0,
    )


def _spread_of(found: Bins, stretches: Sequence[Stretches]) -> float:
    """How many times as far as by chance stretches are from the whole because their values depend on one another."""
    free = degrees(found)
    usual = free * (1 - 2 / (9 * free)) ** 3  # the median of chi-squared (Wilson & Hilferty 1931)
    # Of so many stretches the median is so far off by chance: 1.25 standard errors of a mean, four times.
    ratios = [
        each.spread / usual
        for each in stretches
        if each.spread / usual > 1 + 4 * 1.2533 * math.sqrt(2 / free / each.count)
    ]
    if not ratios:
        return 1.0
    short, long = (choose(stretches, key=lambda each: each.seconds) for choose in (min, max))
    if short.rows >= long.rows:
        return max(ratios)
    # A distance of a + b/N: b is what we want, and twice measured.
    slope = (short.spread / short.rows - long.spread / long.rows) / (1 / short.rows - 1 / long.rows)
    return min(max(slope / usual, 1.0), max(ratios))


def _of_numbers(numbers: Numbers, rows: int) -> tuple[Bins, dict[str, int]]:
    low, high = float(numbers.minimum), float(numbers.maximum)
    if numbers.values is not None and len(numbers.values) <= CATEGORIES:
        merged: dict[str, int] = {}
        values: list[Number] = []
        for value, seen in numbers.values:
            label = value_label(value)
            if label not in merged:
                values.append(value)
            merged[label] = merged.get(label, 0) + seen
        return Bins(rows, {}, values=tuple(values), low=low, high=high), merged
    found = Bins(rows, {}, edges=numbers.edges, low=low, high=high)
    return found, {f"b{i}": count for i, count in enumerate(numbers.counts)}


def _of_strings(field: FieldProfile, rows: int) -> tuple[Bins, dict[str, int]]:
    strings = field.strings
    assert strings is not None
    few = strings.complete and len(strings.values) <= CATEGORIES
    kept = [
        (value, seen)
        for value, seen in (strings.values if few else strings.values[: CATEGORIES - 1])
        if len(value) <= LONGEST_CATEGORY
    ]
    return Bins(rows, {}, values=tuple(value for value, _ in kept)), {value_label(value): seen for value, seen in kept}


def summary(field: FieldProfile) -> dict[str, Any]:
    """What a person wants to see beside a field's rules; the whole is in the profile."""
    document: dict[str, Any] = dict(field.types)
    if field.nonfinite:
        document["nonfinite"] = field.nonfinite
    if (numbers := field.numbers) is not None:
        document |= _spread(numbers) | {"mean": numbers.mean, "deviation": numbers.deviation}
        document |= {"distinct": numbers.distinct}
        if numbers.rising:
            document["rising"] = True
    if (strings := field.strings) is not None:
        document["distinct"] = strings.distinct
        if strings.lengths is not None:
            document["lengths"] = _spread(strings.lengths)
    if field.kinds.get("boolean"):
        document["true"] = field.true
    if field.lag is not None:
        document["lag"] = _spread(field.lag)
    if field.sizes is not None:
        document["items"] = _spread(field.sizes)
    return document


def _spread(numbers: Numbers) -> dict[str, Any]:
    return {"min": numbers.minimum, "median": numbers.median, "max": numbers.maximum}
