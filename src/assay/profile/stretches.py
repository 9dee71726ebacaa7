"""How much a field's values differ from one stretch of time to the next: more than chance, where a stream has its moods.

An alert compares the last minutes with the whole profile, and chance explains so much of a difference between independent
values. Events that come in batches of their kind, or by day and night, differ by more. So the profile is cut in the order of
time into stretches as long as the windows of the alerts, and each is held against the whole.
"""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Final

from assay.contract.evidence import Bins
from assay.profile.document import FieldProfile, Stretches
from assay.profile.histogram import bins
from assay.profile.measure import literal
from assay.sql import sql_text

if TYPE_CHECKING:
    from assay.profile.batch import Batch

__all__ = ["measured"]

#: As long as the windows that whole distributions are compared over, in seconds.
_LENGTHS_S: Final = (60.0, 300.0)
#: Fewer stretches say nothing; what is shorter than that many of a length is cut into that many, and into four times as many.
_FEWEST: Final = 16
#: Enough stretches, and rows, to know: of longer histories every so many stretches are looked at.
_MOST: Final = 500
_ROWS: Final = 2_000_000
#: A stretch of fewer rows is no window that an alert would speak of.
_LEAST_ROWS: Final = 20


def measured(batch: Batch, value: str, field: FieldProfile) -> tuple[Stretches, ...]:
    """The stretches of a field of a table whose rows have a time; `value` is SQL over the relation of `batch`."""
    if not batch.received or (len(field.kinds) > 1 and field.kinds.keys() != {"integer", "number"}):
        return ()
    own = bins(field, batch.rows)
    if own is None or own.lag or sum(share > 0 for share in own.share.values()) < 2:
        return ()
    first, last = batch.span()
    found: list[Stretches] = []
    if last <= first:
        return ()
    longest = max((each for each in _LENGTHS_S if (last - first) / each >= _FEWEST), default=(last - first) / _FEWEST)
    # What shrinks with length is told apart from what does not by two lengths.
    for length in (_LENGTHS_S[0] if longest > _LENGTHS_S[0] else longest / 4, longest):
        found += _cut(batch, value, own, length_s=length)
    return tuple(found)


def _cut(batch: Batch, value: str, own: Bins, *, length_s: float) -> list[Stretches]:
    """The stretches of one length, or none where there are too few."""
    import numpy as np  # which a file needs nothing of: it has no times

    first, last = batch.span()
    count = int((last - first) / length_s) + 1
    every = max(1, -(-count // _MOST), -(-batch.rows // _ROWS))
    stretch = f"least(floor(({batch.received} - {literal(first)}) / {literal(length_s)}), {count - 1})::BIGINT"
    places = len(own.labels)
    counts = np.zeros((count // every + 1, places))
    for key, seen in batch.engine.counted(
        batch.relation, f"{stretch} * {places} + {_place(value, own)}", "BIGINT", where=f"WHERE {stretch} % {every} = 0"
    ):
        counts[key // places // every, key % places] += seen
    sizes = counts.sum(axis=1)
    kept = sizes >= max(_LEAST_ROWS, float(np.median(sizes[sizes > 0])) / 4) if (sizes > 0).any() else sizes > 0
    counts, sizes = counts[kept], sizes[kept]
    if len(sizes) < _FEWEST:
        return []
    expected = np.array([own.share.get(label, 0.0) for label in own.labels])
    share = counts / sizes[:, None]
    distance = 2 * ((share - expected) ** 2 / np.maximum(share + np.maximum(expected, 0.5 / own.rows), 1e-300)).sum(
        axis=1
    )
    # A stretch is a part of the whole: so they differ by less than two samples would.
    chance = np.maximum(1 / sizes - 1 / own.rows, 1e-12)
    worst = int(np.argmax(distance))
    return [
        Stretches(
            seconds=round(length_s, 3),
            count=len(sizes),
            rows=round(float(np.median(sizes))),
            spread=_tidy(median((distance / chance).tolist())),
            worst=_tidy(float(distance[worst])),
            worst_rows=int(sizes[worst]),
        )
    ]


def _place(value: str, own: Bins) -> str:
    """SQL for the place of a value's bin in `own.labels`: what `monitor.bins` finds, for a column of one type."""
    regular = len(own.labels) - 4
    null, low, high, other = (regular + i for i in range(4))
    whens = [f"WHEN ({value}) IS NULL THEN {null}"]
    if own.edges is not None:
        if own.low is not None:
            whens.append(f"WHEN ({value})::DOUBLE < {literal(float(own.low))} THEN {low}")
        if own.high is not None:
            whens.append(f"WHEN ({value})::DOUBLE > {literal(float(own.high))} THEN {high}")
        places = " + ".join(["0", *(f"(({value})::DOUBLE > {literal(edge)})::INTEGER" for edge in own.edges)])
        return f"CASE {' '.join(whens)} ELSE {places} END"
    for place, each in enumerate(own.values or ()):
        if isinstance(each, bool):
            whens.append(f"WHEN ({value}) = {each} THEN {place}")
        elif isinstance(each, str):
            whens.append(f"WHEN ({value})::VARCHAR = {sql_text(each)} THEN {place}")
        else:
            whens.append(f"WHEN ({value})::DOUBLE = {literal(float(each))} THEN {place}")
    return f"CASE {' '.join(whens)} ELSE {other} END"


def _tidy(value: float) -> float:
    return float(f"{value:.4g}")
