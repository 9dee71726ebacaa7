"""What an analyst looks at first in a field: fine bins on an axis that suits it, a few figures, and what stands out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Final

from assay.contract.document import Contract, Field
from assay.contract.evidence import Bins
from assay.profile.document import FieldProfile, Numbers, Profile
from assay.profile.histogram import bins
from assay.profile.roles import is_identifier, is_timestamp
from assay.ui.scales import counted, percent, scale_for

__all__ = ["figures", "fine_bins", "heights", "remarks", "shape", "with_shares"]

_FINE: Final = 40
_MOSTLY: Final = 0.5
_SKEWED: Final = 5.0


def shape(profile: Profile, *, fine: bool) -> Contract:
    """A document that has only bins: fields as they were measured, to count the values of any source into.

    `fine`: for drawing. Else the coarse ones that drift is judged by.
    """
    fields = tuple(_shaped(field, profile.rows, fine=fine) for field in profile.fields)
    root = Field("", types=frozenset({"object"}), properties=fields)
    return Contract(profile.dataset, None, {}, root)


def _shaped(field: FieldProfile, rows: int, *, fine: bool) -> Field:
    return Field(
        field.name,
        nullable=True,
        properties=tuple(_shaped(child, rows, fine=fine) for child in field.fields),
        items=None if field.items is None else _shaped(field.items, field.items.rows, fine=fine),
        bins=fine_bins(field, rows) if fine else coarse_bins(field, rows),
    )


def coarse_bins(field: FieldProfile, rows: int) -> Bins | None:
    """The bins that a contract would have. Numbers that rise with the rows have some, too: a sorted file is no clock."""
    if field.numbers is not None and field.numbers.rising:
        field = replace(field, numbers=replace(field.numbers, rising=False))
    return bins(field, rows)


def fine_bins(field: FieldProfile, rows: int) -> Bins | None:
    """Bins to draw a field by: about forty of like width on its axis, where it is numbers; else those of its profile.

    Their shares are still to be counted, except where they are the profile's own.
    """
    coarse = coarse_bins(field, rows)
    numbers = field.numbers
    if coarse is None or coarse.edges is None or numbers is None:
        return coarse
    low, high = float(numbers.minimum), float(numbers.maximum)
    span = high - low
    if not math.isfinite(span) or span <= 0:
        return coarse
    if numbers.integral and span <= 1.5 * _FINE:
        # A bin for each whole number, all of one width.
        return Bins(rows, {}, edges=tuple(low + 0.5 + i for i in range(int(span))), low=low - 0.5, high=high + 0.5)
    scale = scale_for(low, high, coarse.edges)
    edges = [scale.value(i / _FINE) for i in range(1, _FINE)]
    if numbers.integral:
        # Between whole numbers, and as many of them in each bin: else the picture shows the rounding.
        if scale.kind == "linear":
            step = math.ceil((span + 1) / _FINE)
            edges = [low - 0.5 + i * step for i in range(1, math.ceil((span + 1) / step))]
        else:
            edges = [math.floor(edge) + 0.5 for edge in edges]
    unique = [edge for edge in dict.fromkeys(edges) if low < edge < high]
    return Bins(rows, {}, edges=tuple(unique), low=low, high=high) if len(unique) > 5 else coarse


def with_shares(field: Field, counts: Sequence[int] | None) -> Field:
    """The field with the shares that were counted of its own values."""
    if field.bins is None or counts is None or not any(counts):
        return field
    total = sum(counts)
    shares = {label: count / total for label, count in zip(field.bins.labels, counts, strict=True) if count}
    return replace(field, bins=replace(field.bins, share=shares))


def heights(field: FieldProfile, rows: int, columns: int = 12) -> list[float]:
    """A small histogram of a field from its profile alone: densities of numbers, shares of values; empty where it has none."""
    numbers = field.numbers
    if numbers is not None and numbers.values is not None and len(numbers.values) <= columns:
        return [float(seen) for _, seen in numbers.values]
    if numbers is not None and numbers.edges and numbers.maximum > numbers.minimum:
        return _resampled(numbers, columns)
    found = coarse_bins(field, rows)
    if found is None or found.values is None:
        return []
    return sorted((share for label, share in found.share.items() if label not in {"null", "_other"}), reverse=True)[
        :columns
    ]


def _resampled(numbers: Numbers, columns: int) -> list[float]:
    """The rows of each of so many like parts of the axis, those of a bin spread evenly over it."""
    low, high = float(numbers.minimum), float(numbers.maximum)
    scale = scale_for(low, high, numbers.edges)
    ends = [scale.at(value) for value in (low, *numbers.edges, high)]
    found = [0.0] * columns
    for (a, b), count in zip(pairwise(ends), numbers.counts, strict=True):
        first, last = min(columns - 1, int(a * columns)), min(columns - 1, int(b * columns))
        for place in range(first, last + 1):
            inside = min(b, (place + 1) / columns) - max(a, place / columns)
            found[place] += count * (inside / (b - a) if b > a else 1 / (last - first + 1))
    return found


def figures(field: FieldProfile) -> Iterator[tuple[str, str]]:
    """The few figures that say the most: name and text."""
    absent = field.missing + field.types.get("null", 0)
    yield "type", " or ".join(field.kinds) or "nothing"
    if absent:
        yield "missing or null", f"{counted(absent)} ({percent(absent / max(field.rows, 1))})"
    if field.nonfinite:
        yield "NaN or infinite", counted(field.nonfinite)
    if field.numbers is not None:
        yield from _numbers(field.numbers)
    if field.strings is not None:
        yield "distinct", counted(field.strings.distinct)
        if field.strings.lengths is not None:
            lengths = field.strings.lengths
            same = lengths.minimum == lengths.maximum
            yield "length", str(lengths.minimum) if same else f"{lengths.minimum} to {lengths.maximum}"
    if "boolean" in field.kinds:
        yield "true", percent(field.true / max(field.kinds["boolean"], 1))
    if field.sizes is not None:
        yield "items", f"{field.sizes.minimum} to {field.sizes.maximum}, median {exact(field.sizes.median)}"


def exact(value: float) -> str:
    """A number with six significant digits: thousands apart from ten thousand on, as years are none."""
    if abs(value) >= 1e15 or (value != int(value) and abs(value) < 1e5):
        return f"{value:,.6g}"
    return f"{value:,.0f}" if abs(value) >= 10_000 else str(int(value))


def _numbers(numbers: Numbers) -> Iterator[tuple[str, str]]:
    if numbers.distinct == 1:
        yield "always", exact(numbers.minimum)
        return
    quantiles = dict(numbers.quantiles)
    yield "least", exact(numbers.minimum)
    if 0.25 in quantiles and 0.75 in quantiles:
        yield "middle half", f"{exact(quantiles[0.25])} to {exact(quantiles[0.75])}"
    if 0.5 in quantiles:
        yield "median", exact(quantiles[0.5])
    yield "mean", exact(float(f"{numbers.mean:.4g}"))
    yield "greatest", exact(numbers.maximum)
    yield "distinct", counted(numbers.distinct)


def remarks(profile: Profile) -> list[str]:
    """What stands out, a sentence each: what a reader should know before the pictures."""
    found = [text for label, field in profile.walk() for text in _of_field(label, field)]
    if profile.skipped:
        found.insert(0, f"{counted(profile.skipped)} bodies are no JSON object, and in none of the figures.")
    return found


def _of_field(label: str, field: FieldProfile) -> Iterator[str]:
    absent = field.missing + field.types.get("null", 0)
    kinds = field.kinds
    if not kinds:
        yield f"{label} is never there."
        return
    if absent / max(field.rows, 1) > _MOSTLY:
        yield f"{label} is missing or null in {percent(absent / field.rows)} of the rows."
    if len(kinds) > 1 and set(kinds) != {"integer", "number"}:
        shares = ", ".join(f"{name} {percent(rows / sum(kinds.values()))}" for name, rows in kinds.items())
        yield f"{label} has values of several types: {shares}."
    if field.nonfinite:
        yield f"{label} has {counted(field.nonfinite)} values that are NaN or infinite."
    if field.numbers is not None and field.numbers.distinct == 1:
        yield f"{label} is always {exact(field.numbers.minimum)}."
    elif is_timestamp(field):
        yield f"{label} is a time, or rises with the rows as times do: a contract gives it no bounds, which would go stale."
    elif is_identifier(field):
        yield f"{label} looks like an identifier: nearly all of its values differ."
    numbers = field.numbers
    if numbers is None:
        return
    quantiles = dict(numbers.quantiles)
    if {0.25, 0.5, 0.75} <= quantiles.keys():
        below, above = numbers.median - numbers.minimum, numbers.maximum - numbers.median
        spread = max(float(quantiles[0.75] - quantiles[0.25]), 1e-300)
        if above > _SKEWED * max(float(below), spread) and numbers.distinct > 20 and not numbers.rising:
            yield f"{label} has a long tail: half of it is below {exact(numbers.median)}, and it reaches {exact(numbers.maximum)}."
