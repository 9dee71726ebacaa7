"""Which share of corrupted values learned bounds refuse: the price of refusing few clean ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

from assay.contract.document import Field
from assay.profile.document import Profile
from assay.profile.learn import learn
from benches.statistics.laws import Array, Table
from benches.statistics.measured import field_of

__all__ = ["CORRUPTIONS", "caught"]

#: Made of a field's clean values and those of another field.
CORRUPTIONS: Final[Mapping[str, Callable[[Array, Array], Array]]] = {
    "×10": lambda values, _: values * 10,
    "×100": lambda values, _: values * 100,
    "×1000": lambda values, _: values * 1000,
    "sign": lambda values, _: -values,
    "-999": lambda values, _: np.full(len(values), -999.0),
    "9999": lambda values, _: np.full(len(values), 9999.0),
    "+1900": lambda values, _: values + 1900,
    "÷10": lambda values, _: values / 10,
    "+1": lambda values, _: values + 1,
    "swap": lambda _, other: other,
}


def caught(draw: Table, *, n: int, trials: int, seed: int) -> dict[str, tuple[float, float]]:
    """For each corruption the share of changed values that are refused, over all fields: by the recipe, by min/max."""
    random = np.random.default_rng([seed, n])
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in CORRUPTIONS}
    for _ in range(trials):
        columns, _laws = draw(random, n)
        fresh, _laws = draw(random, n)
        contract = learn(Profile("t", n, tuple(field_of(name, values) for name, values in columns.items())))
        names = list(columns)
        for i, field in enumerate(contract.fields):
            clean, seen = _present(fresh[field.name]), _present(columns[field.name])
            other = _present(fresh[names[(i + 1) % len(names)]])
            size = min(len(clean), len(other))
            for name, corrupt in CORRUPTIONS.items():
                values = corrupt(clean[:size], other[:size])
                changed = values != clean[:size]
                if changed.any():
                    bad = values[changed]
                    raw = (bad < seen.min()) | (bad > seen.max())
                    found[name].append((float(np.mean(_refused(field, bad))), float(np.mean(raw))))
    return {
        name: (float(np.mean([a for a, _ in pairs])), float(np.mean([b for _, b in pairs])))
        for name, pairs in found.items()
    }


def _present(values: Array) -> Array:
    return values[~np.isnan(values)].astype(np.float64)


def _refused(field: Field, values: Array) -> Array:
    refused = np.zeros(len(values), dtype=bool)
    if field.minimum is not None:
        refused |= values < field.minimum
    if field.maximum is not None:
        refused |= values > field.maximum
    if field.enum is not None:
        refused |= ~np.isin(values, [value for value in field.enum if isinstance(value, int | float)])
    if field.types == {"integer"}:
        refused |= values != np.trunc(values)
    return refused
