"""Profiles of parts (hours, batches) into the profile of the whole, without a look at any row. Pure.

Counts, extremes and means are exact, and so are values as long as they are few. What no part can know of the others is
estimated: quantiles, and bins between them, by the parts' own cumulative shares; how many values differ, where they are
many, as the sum where each part had nearly all different ones, and else as the largest part's.
"""

from __future__ import annotations

import math
import sys
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import accumulate, pairwise
from typing import Final

from assay.contract.relations import Relation
from assay.errors import UsageError
from assay.profile.document import FieldProfile, Number, Numbers, Profile, Strings
from assay.profile.measure import DECILES, DISTINCT_KEPT, SHARES, cut

__all__ = ["Shares", "merge", "merge_documents"]

_COMMON_KEPT: Final = 100
_SHAPES_KEPT: Final = 20


def merge(parts: Sequence[Profile]) -> Profile:
    """The profile of all rows of the parts, which follow one another in time.

    A field that a part does not have was missing there. Relations are those that held in every part with rows. Stretches
    are left out: each was held against its own part, and not against the whole.

    Raises:
        ValueError: there are no parts.
    """
    if not parts:
        raise ValueError("of no parts there is no whole")
    if len(parts) == 1:
        return parts[0]
    some = [part for part in parts if part.rows] or [parts[0]]
    firsts = [part.first for part in some if part.first is not None]
    lasts = [part.last for part in some if part.last is not None]
    return Profile(
        dataset=parts[0].dataset,
        rows=sum(part.rows for part in parts),
        fields=_fields([(part.fields, part.rows) for part in some]),
        first=min(firsts, default=None),
        last=max(lasts, default=None),
        skipped=sum(part.skipped for part in parts),
        relations=_relations([part.relations for part in some]),
    )


def merge_documents(parts: Sequence[Profile]) -> Profile:
    """The profile of all rows of profiles that come from here and there, as of several collectors.

    They are merged in the order in which their rows came, as far as they know it. What a merged profile cannot know of hours and
    stretches it leaves out.

    Raises:
        UsageError: they are of different datasets.
    """
    names = sorted({part.dataset for part in parts if part.dataset})
    if len(names) > 1:
        raise UsageError(f"these are profiles of different datasets: {', '.join(names)}; merge those of one")
    return replace(merge(sorted(parts, key=lambda part: part.first or "")), dataset=names[0] if names else "")


def _fields(parts: Sequence[tuple[Sequence[FieldProfile], int]]) -> tuple[FieldProfile, ...]:
    """The fields of objects, in the order in which they first appear; with each part, how many objects it had."""
    found: dict[str, list[FieldProfile]] = {}
    rows: dict[str, int] = {}
    for fields, _ in parts:
        for field in fields:
            found.setdefault(field.name, []).append(field)
            rows[field.name] = rows.get(field.name, 0) + field.rows
    around = sum(count for _, count in parts)
    return tuple(_field(name, some, around - rows[name]) for name, some in found.items())


def _field(name: str, parts: Sequence[FieldProfile], without: int) -> FieldProfile:
    """One field; `without` rows are of parts that do not have it."""
    types: Counter[str] = Counter()
    for part in parts:
        types.update(part.types)
    if without > 0:
        types["absent" if types["absent"] else "missing"] += without
    items = [part.items for part in parts if part.items is not None]
    return FieldProfile(
        name=name,
        rows=sum(part.rows for part in parts) + max(without, 0),
        types={kind: count for kind, count in types.items() if count},
        numbers=_numbers([part.numbers for part in parts if part.numbers is not None]),
        strings=_strings([part.strings for part in parts if part.strings is not None]),
        true=sum(part.true for part in parts),
        nonfinite=sum(part.nonfinite for part in parts),
        fields=_fields([(part.fields, part.types.get("object", 0)) for part in parts]),
        items=_field("[]", items, 0) if items else None,
        sizes=_numbers([part.sizes for part in parts if part.sizes is not None]),
        lag=_numbers([part.lag for part in parts if part.lag is not None]),
    )


# ---- numbers


def _numbers(parts: Sequence[Numbers]) -> Numbers | None:
    if len(parts) < 2:
        return parts[0] if parts else None
    count = sum(part.count for part in parts)
    values = _values(parts)
    mean = math.fsum(part.mean * (part.count / count) for part in parts)
    square = math.fsum(
        (part.deviation * part.deviation + (part.mean - mean) * (part.mean - mean)) * (part.count / count)
        for part in parts
    )
    merged = Numbers(
        count=count,
        minimum=min(part.minimum for part in parts),
        maximum=max(part.maximum for part in parts),
        mean=float(f"{mean:.12g}"),
        deviation=float(f"{min(math.sqrt(square), sys.float_info.max):.12g}"),
        distinct=len(values) if values is not None else _distinct([(part.distinct, part.count) for part in parts]),
        integral=all(part.integral for part in parts),
        rising=_rising(parts),
        largest=_extremes([part.largest for part in parts], largest=True),
        smallest=_extremes([part.smallest for part in parts], largest=False),
        values=values,
    )
    shares = Shares(parts)
    merged = replace(merged, quantiles=tuple((share, shares.quantile(share)) for share in SHARES))
    quantile = dict(merged.quantiles)
    edges = sorted({float(quantile[share]) for share in DECILES} - {float(merged.maximum)})
    edges = [edge for edge in edges if edge < float(merged.maximum)]
    steps = [0, *(round(shares.below(edge)) for edge in edges), count]
    return replace(merged, edges=tuple(edges), counts=tuple(b - a for a, b in pairwise(steps)))


def _values(parts: Sequence[Numbers]) -> tuple[tuple[Number, int], ...] | None:
    tally: Counter[Number] = Counter()
    for part in parts:
        if part.values is None:
            return None
        for value, rows in part.values:
            tally[value] += rows
    return tuple(sorted(tally.items())) if len(tally) <= DISTINCT_KEPT else None


def _distinct(parts: Sequence[tuple[int, int]]) -> int:
    """From how many different ones of how many each part had."""
    if all(distinct >= 0.9 * count for distinct, count in parts):
        return sum(distinct for distinct, _ in parts)
    return max(distinct for distinct, _ in parts)


def _rising(parts: Sequence[Numbers]) -> bool:
    return all(part.rising or part.minimum == part.maximum for part in parts) and all(
        a.minimum <= b.minimum and a.maximum <= b.maximum for a, b in pairwise(parts)
    )


def _extremes(parts: Sequence[Sequence[tuple[Number, int]]], *, largest: bool) -> tuple[tuple[Number, int], ...]:
    """Of lists that each reach 401 rows deep, the outermost 401 rows: no list ends before the whole one does."""
    tally: Counter[Number] = Counter()
    for part in parts:
        for value, rows in part:
            tally[value] += rows
    return cut(sorted(tally.items(), reverse=largest))


class Shares:
    """How many numbers lie at or below a value: exactly where that is known, else along a line between what is."""

    def __init__(self, parts: Sequence[Numbers]) -> None:
        self._count = sum(part.count for part in parts)
        self._counted = all(part.values is not None for part in parts)
        self._integral = all(isinstance(part.minimum, int) for part in parts)
        self._parts = [_points(part) for part in parts]
        candidates: set[Number] = set()
        for part, (values, _) in zip(parts, self._parts, strict=True):
            candidates.update(values if part.values is not None else ())
            candidates.update(value for _, value in part.quantiles)
            candidates.update((part.minimum, part.maximum))
        self._candidates = sorted(candidates)

    def below(self, value: float) -> float:
        """How many are at or below it."""
        return math.fsum(_below(points, value) for points in self._parts)

    def quantile(self, share: float) -> Number:
        """The smallest value that has at least that share at or below it: among counted ones, or between known shares."""
        wanted = share * self._count - 1e-6
        at = min(bisect_left(self._candidates, wanted, key=self.below), len(self._candidates) - 1)
        value = self._candidates[at]
        if self._counted or not at:
            return value
        low, high = self.below(self._candidates[at - 1]), self.below(value)
        if high <= low:
            return value
        reached = self._candidates[at - 1] + (wanted - low) / (high - low) * (value - self._candidates[at - 1])
        return min(value, math.ceil(reached) if self._integral else reached)


_Points = tuple[list[Number], list[float]]


def _points(numbers: Numbers) -> _Points:
    """Ascending values, and how many lie at or below each."""
    if numbers.values is not None:
        return _ascending(_running(numbers.values))
    known: dict[Number, float] = {value: share * numbers.count for share, value in numbers.quantiles}
    known |= zip(numbers.edges, _sums(numbers.counts), strict=False)
    known |= _running(numbers.smallest)
    left = numbers.count
    for value, rows in numbers.largest:
        known[value] = left
        left -= rows
    return _ascending(known)


def _running(values: Iterable[tuple[Number, int]]) -> dict[Number, float]:
    found: dict[Number, float] = {}
    total = 0
    for value, rows in values:
        total += rows
        found[value] = total
    return found


def _sums(counts: Sequence[int]) -> Iterator[float]:
    total = 0
    for count in counts:
        total += count
        yield total


def _ascending(known: dict[Number, float]) -> _Points:
    values = sorted(known)
    # A sample's quantile may contradict a count beside it by a little.
    return values, list(accumulate((known[value] for value in values), max))


def _below(points: _Points, value: float) -> float:
    values, counts = points
    at = bisect_right(values, value)
    if not at:
        return 0.0
    if at == len(values) or values[at - 1] == value:
        return counts[at - 1]
    width = values[at] - values[at - 1]
    share = (value - values[at - 1]) / width if width < math.inf else 0.5
    return counts[at - 1] + share * (counts[at] - counts[at - 1])


# ---- strings


def _strings(parts: Sequence[Strings]) -> Strings | None:
    if len(parts) < 2:
        return parts[0] if parts else None
    tally: Counter[str] = Counter()
    formats: Counter[str] = Counter()
    for part in parts:
        tally.update(dict(part.values))
        formats.update(part.formats)
    complete = all(part.complete for part in parts) and len(tally) <= DISTINCT_KEPT
    ordered = sorted(tally.items(), key=lambda pair: (-pair[1], pair[0]))
    lengths = [part.lengths for part in parts if part.lengths is not None]
    estimate = _distinct([(part.distinct, part.count) for part in parts])
    return Strings(
        count=sum(part.count for part in parts),
        distinct=len(tally) if complete else max(estimate, len(tally)),
        values=tuple(ordered if complete else ordered[:_COMMON_KEPT]),
        complete=complete,
        formats=dict(formats),
        shapes=_shapes(parts),
        temporal=all(part.temporal for part in parts),
        lengths=_numbers(lengths),
    )


def _shapes(parts: Sequence[Strings]) -> tuple[tuple[str, int], ...]:
    """The shapes of all; none where a part had too many, or none were looked for in one that is not of another's format."""
    tally: Counter[str] = Counter()
    for part in parts:
        if not part.shapes:
            return ()
        tally.update(dict(part.shapes))
    return tuple(sorted(tally.items(), key=lambda pair: (-pair[1], pair[0]))) if len(tally) <= _SHAPES_KEPT else ()


# ---- relations


def _relations(parts: Sequence[Sequence[Relation]]) -> tuple[Relation, ...]:
    """Those of the first part that all others have; how many rows would break them by chance, as the rows lie."""
    others = [{(each.kind, each.fields): each for each in part} for part in parts[1:]]
    found = []
    for each in parts[0]:
        same = [each, *(known[key] for known in others if (key := (each.kind, each.fields)) in known)]
        if len(same) == len(parts):
            rows = sum(one.rows for one in same)
            chance = math.fsum(one.by_chance * one.rows for one in same) / rows
            absent = sum(one.absent for one in same)
            found.append(replace(each, rows=rows, by_chance=float(f"{chance:.3g}"), absent=absent))
    return tuple(found)
