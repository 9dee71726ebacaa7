"""What the tests of profiles share: statistics worked out from rows in plain Python, which the SQL must agree with.

Fixtures, as a package named `profile` would hide the standard library's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import duckdb
import numpy as np
import pytest

from assay.profile.document import Numbers


def numbers_of(values: Any) -> Numbers:
    """Of at least one number; bins and the row order left out."""
    array = np.sort(np.asarray(values))
    distinct, counts = np.unique(array, return_counts=True)
    pairs = list(zip(distinct.tolist(), counts.tolist(), strict=True))
    n = len(array)
    return Numbers(
        count=n,
        minimum=pairs[0][0],
        maximum=pairs[-1][0],
        mean=float(array.mean()),
        deviation=float(array.std()),
        distinct=len(pairs),
        integral=bool(np.all(array == np.trunc(array))),
        quantiles=((0.5, array[int(np.ceil(0.5 * n)) - 1].item()),),
        largest=extremes(pairs[::-1]),
        smallest=extremes(pairs),
        values=tuple(pairs) if len(pairs) <= 1_000 else None,
    )


def extremes(pairs: list[tuple[Any, int]]) -> tuple[tuple[Any, int], ...]:
    """The first values that make 401 rows, and one more."""
    kept, rows = [], 0
    for value, count in pairs:
        kept.append((value, count))
        if rows >= 401:
            break
        rows += count
    return tuple(kept)


@pytest.fixture(name="numbers_of")
def _numbers_of() -> Callable[[Any], Numbers]:
    return numbers_of


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        yield connection
