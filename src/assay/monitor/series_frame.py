"""Vectors of PromQL over many evaluations at once: a row a series, a column an evaluation, NaN where there is nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["Doubles", "Frame", "Labels", "aggregate", "labelled", "narrowed"]

Doubles: TypeAlias = npt.NDArray[np.float64]
#: A series' labels: sorted pairs, none of them empty, the name not among them.
Labels: TypeAlias = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Frame:
    """Some series: `values` has a row for each of `labels`. One column alone stands for all of them."""

    labels: tuple[Labels, ...]
    values: Doubles


def labelled(pairs: Iterable[tuple[str, str]]) -> Labels:
    """Labels in their form: an empty one is none."""
    return tuple(sorted((name, value) for name, value in pairs if value))


def narrowed(labels: Labels, names: Sequence[str] | None) -> Labels:
    """Only the labels of these names; None: all."""
    return labels if names is None else tuple(pair for pair in labels if pair[0] in names)


def aggregate(frame: Frame, by: Sequence[str], function: str) -> Frame:
    """`sum`, `max`, `min` or `count` of the rows whose labels `by` are the same; nothing where no row has a value."""
    rows: dict[Labels, list[int]] = {}
    for i, labels in enumerate(frame.labels):
        rows.setdefault(narrowed(labels, by), []).append(i)
    if not rows:
        return Frame((), np.empty((0, 1)))
    order = [i for group in rows.values() for i in group]
    starts = np.cumsum([0, *(len(group) for group in rows.values())])[:-1]
    values = frame.values[order]
    absent = np.isnan(values)
    if function == "count":
        result = np.add.reduceat(~absent, starts, axis=0).astype(np.float64)
        result[result == 0] = np.nan
        return Frame(tuple(rows), result)
    reduce = {"sum": np.add, "max": np.maximum, "min": np.minimum}[function]
    if not absent.any():
        return Frame(tuple(rows), reduce.reduceat(values, starts, axis=0))
    neutral = {"sum": 0.0, "max": -np.inf, "min": np.inf}[function]
    result = reduce.reduceat(np.where(absent, neutral, values), starts, axis=0)
    result[~np.logical_or.reduceat(~absent, starts, axis=0)] = np.nan
    return Frame(tuple(rows), result)
