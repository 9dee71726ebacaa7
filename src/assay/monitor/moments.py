"""Moments as events tell them: text of RFC 3339, or numbers since 1970, into seconds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa

__all__ = ["array_seconds", "seconds_of", "values_seconds"]

#: How many of a unit make a second.
_PER_SECOND: Final = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


def seconds_of(value: Any, lag: str) -> float | None:
    """The Unix time that a value tells, told as `lag` says (see `Bins`); None where it tells none."""
    per_second = _PER_SECOND.get(lag)
    if per_second is not None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        try:
            seconds = value / per_second
        except OverflowError:
            return None
        return seconds if math.isfinite(seconds) else None
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if not isinstance(value, datetime) or value.tzinfo is None:
        return None
    return value.timestamp()


def array_seconds(array: pa.Array, lag: str) -> npt.NDArray[np.float64]:
    """The same for an Arrow column of texts, moments or numbers: NaN where a value tells none, or is null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = array.type
    per_second = _PER_SECOND.get(lag)
    if per_second is not None and (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        numbers: npt.NDArray[np.float64] = pc.divide(array.cast(pa.float64()), float(per_second)).to_numpy(
            zero_copy_only=False
        )
        return numbers
    if per_second is None:
        try:
            moments = array.cast(pa.timestamp("us", "UTC"))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            pass  # one of them is none, or told in a way that Arrow does not read
        else:
            seconds: npt.NDArray[np.float64] = pc.divide(
                moments.cast(pa.int64()).cast(pa.float64(), safe=False), 1e6
            ).to_numpy(zero_copy_only=False)
            return seconds
    return values_seconds(array.to_pylist(), lag)


def values_seconds(values: Sequence[object], lag: str) -> npt.NDArray[np.float64]:
    """The same for Python's values."""
    found = (seconds_of(value, lag) for value in values)
    return np.array([math.nan if each is None else each for each in found], dtype=np.float64)
