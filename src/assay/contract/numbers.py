"""The numbers that bounds and steps let through, as sets: is one inside another, and if not, which number is not."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from typing import Final

from assay.contract.document import Field
from assay.types import EXACT, LARGEST

__all__ = ["Numbers", "number_outside"]

_MOST: Final = 1000
#: Up to here a double that is whole is what its shortest decimal says.
_AS_WRITTEN: Final = 10**16


@dataclass(frozen=True, slots=True)
class Numbers:
    """The numbers of a field: from `low` to `high`, both included, and where there is a `step`, its multiples alone.

    A `step` of None takes every number that JSON can say: the doubles, and integers of any size below their largest.
    """

    low: int | float
    high: int | float
    step: Fraction | None

    @classmethod
    def of(cls, field: Field) -> Numbers:
        """Those that a field takes, its enum apart."""
        whole = bool(field.types) and "number" not in field.types
        low: int | float = -LARGEST if field.minimum is None else field.minimum
        high: int | float = LARGEST if field.maximum is None else field.maximum
        if field.exclusive_minimum is not None:
            low = max(low, _above(field.exclusive_minimum))
        if field.exclusive_maximum is not None:
            high = min(high, -_above(-field.exclusive_maximum))
        step = None if field.multiple_of is None else _decimal(field.multiple_of)
        if whole:  # the multiples of p/q that are whole are those of p
            step = Fraction(1 if step is None else step.numerator)
        if step is not None and step.denominator == 1:
            if whole or abs(low) < _AS_WRITTEN:
                low = math.ceil(low) + -math.ceil(low) % step.numerator
            if whole or abs(high) < _AS_WRITTEN:
                high = math.floor(high) - math.floor(high) % step.numerator
        return cls(low, high, step)

    def __contains__(self, number: float) -> bool:
        return self.low <= number <= self.high and (self.step is None or _decimal(number) % self.step == 0)

    def within(self, other: Numbers) -> bool:
        """Whether it is certain that each of them is one of the others'."""
        if self.low > self.high:
            return True
        if self.low == self.high:
            return self.low not in self or self.low in other
        fits = other.step is None or (self.step is not None and (self.step / other.step).denominator == 1)
        return fits and other.low <= self.low and self.high <= other.high

    def all(self) -> list[int] | None:
        """Every one of them where they are whole and few, else None."""
        if self.step is None or self.step.denominator != 1:
            return None
        step = self.step.numerator
        first, last = -(-self.low // step), self.high // step
        count = last - first + 1
        return [int(first + i) * step for i in range(max(int(count), 0))] if count <= _MOST else None

    def some(self) -> Iterator[int | float]:
        """Many of them, pleasant ones first; not every one, and some may come twice."""
        return (each for each in self._near(0, self.low, self.high) if each in self)

    def _near(self, *places: float) -> Iterator[int | float]:
        """Numbers about these places, in this set or not."""
        middle = _middle(self.low, self.high)
        for turn in range(_MOST // 4):
            for place in dict.fromkeys((*places, middle)):
                if self.step is not None:
                    times = math.floor(_decimal(place) / self.step)
                    yield from (
                        _number((times + by) * self.step) for by in ((0, 1) if turn == 0 else (turn + 1, -turn))
                    )
                    if turn == 0 and self.step.denominator != 1:
                        yield _number(Fraction(times - times % self.step.denominator) * self.step)
                else:
                    whole = math.floor(place)
                    yield from (whole + turn + 1, whole - turn, *((place,) if turn == 0 else ()))
        if self.step is None:
            for parts in (2, 10, 3, 7):
                yield from (1 / parts, middle / parts if abs(middle) < EXACT else middle)
            for place in places:
                for up in (True, False):
                    yield from _doubles(place, up=up)


def number_outside(a: Numbers, b: Numbers) -> tuple[()] | tuple[int | float]:
    """A number of `a` that is none of `b`'s; () where it is certain that there is none.

    Raises:
        LookupError: none was found, and none was ruled out.
    """
    if a.within(b):
        return ()
    every = a.all()
    places = [_above(b.high), -_above(-b.low), 0, b.low, b.high, a.low, a.high]
    near = [place for place in places if a.low <= place <= a.high]
    for number in every if every is not None else chain(a._near(*near), a.some()):  # noqa: SLF001 - its own module
        if number in a and number not in b:
            return (number,)
    if every is not None:
        return ()
    raise LookupError


def _decimal(number: float) -> Fraction:
    """A number as `multipleOf` reads it: a double by its shortest decimal."""
    return Fraction(number) if isinstance(number, int) else Fraction(repr(number))


def _number(value: Fraction) -> int | float:
    if value.denominator == 1:
        return value.numerator
    try:
        return float(value)
    except OverflowError:
        return value.numerator // value.denominator


def _above(number: float) -> int | float:
    """The smallest number of JSON's above another."""
    following = math.floor(number) + 1
    try:
        near = float(number)
    except OverflowError:
        return following
    double = near if near > number else math.nextafter(near, math.inf)
    return min(following, double) if math.isfinite(double) else following


def _middle(low: float, high: float) -> int | float:
    if abs(low) < EXACT and abs(high) < EXACT:
        middle = (low + high) / 2
        return int(middle) if middle == int(middle) else middle
    return (math.floor(low) + math.floor(high)) // 2


def _doubles(place: float, *, up: bool) -> Iterator[float]:
    try:
        double = float(place)
    except OverflowError:
        return
    for _ in range(4):
        double = math.nextafter(double, math.inf if up else -math.inf)
        if math.isfinite(double):
            yield double
