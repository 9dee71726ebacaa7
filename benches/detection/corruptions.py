"""What goes wrong with a field: 25 ways for numbers, seven for texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

import numpy as np

from benches.detection.column import CLEAN, NULL, OTHER, VALUE, Array, Column

__all__ = ["NUMBERS", "SHARES", "TEXTS", "corrupted"]

#: Of the events after the clean ones.
SHARES: Final = (0.01, 0.1, 1.0)


@dataclass(frozen=True)
class _Field:
    """What a corruption may look at: the profile's column, another field's stream, and dice."""

    profile: Column
    other: Column
    random: np.random.Generator

    @property
    def median(self) -> Any:
        """The middle value, one that was seen; of texts the most frequent."""
        present = self.profile.present
        if self.profile.text:
            values, counts = np.unique(present.astype(str), return_counts=True)
            return values[np.argmax(counts)]
        return np.quantile(present, 0.5, method="lower")

    @property
    def deviation(self) -> float:
        """Of the profile's values."""
        return float(self.profile.present.std())


#: Takes values that are there, and gives what stands in their place.
_Change: TypeAlias = Callable[[Array, _Field], Array]


def _drawn(values: Array, field: _Field) -> Array:
    """As many of these, drawn again."""
    return field.random.choice(values, len(values))


def _half_lost(values: Array, field: _Field) -> Array:
    """Events above the median do not come; others take their place."""
    low = values <= field.median if not field.profile.text else values.astype(str) <= str(field.median)
    if not low.any():
        return values
    return np.where(low, values, field.random.choice(values[low], len(values)))


def _rounded(values: Array, _: _Field) -> Array:
    """To two significant digits."""
    with np.errstate(divide="ignore"):
        step = 10.0 ** (np.floor(np.log10(np.abs(values))) - 1)
    step[~np.isfinite(step) | (step == 0)] = 1
    return np.round(values / step) * step


def _like(values: Array, field: _Field) -> Array:
    """Whole where the field's numbers are."""
    return np.round(values) if field.profile.whole else values


_BOTH: Final[Mapping[str, _Change | int]] = {
    "null": NULL,
    "wrong type": OTHER,
    "stuck at the median": lambda values, field: np.full_like(values, field.median),
    "stuck at the last": lambda values, _: np.full_like(values, values[0]),
    "swapped": lambda values, field: field.random.choice(field.other.present, len(values)),
    "half lost": _half_lost,
    "10 rows repeated": lambda values, field: field.random.choice(values[:10], len(values)),
}
TEXTS: Final[Mapping[str, _Change | int]] = _BOTH
NUMBERS: Final[Mapping[str, _Change | int]] = {
    **_BOTH,
    "×10": lambda values, _: values * 10,
    "×100": lambda values, _: values * 100,
    "×1000": lambda values, _: values * 1_000,
    "÷10": lambda values, _: values / 10,
    "÷1000": lambda values, _: values / 1_000,
    "sign": lambda values, _: -values,
    "-999": lambda values, _: np.full_like(values, -999),
    "-1": lambda values, _: np.full_like(values, -1),
    "9999": lambda values, _: np.full_like(values, 9_999),
    "0": lambda values, _: np.zeros_like(values),
    "2^31-1": lambda values, _: np.full_like(values, 2**31 - 1),
    "+1 sd": lambda values, field: _like(values + field.deviation, field),
    "+0.25 sd": lambda values, field: _like(values + field.deviation / 4, field),
    "noise of 1 sd": lambda values, field: _like(
        values + field.random.normal(0, field.deviation or 1, len(values)), field
    ),
    "+1": lambda values, _: values + 1,
    "+1900": lambda values, _: values + 1_900,
    "clipped to the middle 80%": lambda values, field: np.clip(
        values, *np.quantile(field.profile.present, [0.1, 0.9], method="nearest")
    ),
    "rounded to 2 digits": _rounded,
}


def corrupted(column: Column, name: str, share: float, *, profile: Column, other: Column, seed: int) -> Column | None:
    """The stream with a share of its later events changed; None where that changes nothing.

    Nulls stay what they are. `other` is the stream of the field that is taken for this one in "swapped".
    """
    random = np.random.default_rng(seed)
    at = CLEAN + np.flatnonzero(random.random(len(column.values) - CLEAN) < share)
    at = at[column.kind[at] == VALUE]
    change = (TEXTS if column.text else NUMBERS)[name]
    values, kind = column.values.copy(), column.kind.copy()
    if len(at) < 10:
        return None
    if isinstance(change, int):
        kind[at] = change
    else:
        changed = change(values[at], _Field(profile, other, random))
        if not np.any(changed != values[at]):
            return None
        values[at] = changed
    return replace(column, values=values, kind=kind)
