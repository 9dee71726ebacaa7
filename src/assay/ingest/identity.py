"""Identifiers that sort by time."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from typing import Final

__all__ = ["uuid7", "uuid7s"]

# Seeded by the system, and again in a process that was forked. Asking the system for each identifier lets go of the
# interpreter each time: beside busy threads, the way back took longer than judging the event.
_dice: Final = random.Random()  # noqa: S311  unique is enough: nobody is let in for knowing an identifier
os.register_at_fork(after_in_child=_dice.seed)


_VARIANTS: Final = {digit: "89ab"[int(digit, 16) % 4] for digit in "0123456789abcdef"}
#: Identifiers made at a time, at most: they share their milliseconds.
_AT_ONCE: Final = 256


def uuid7() -> str:
    """A UUID version 7 (RFC 9562, section 5.7): milliseconds since 1970, then 74 random bits."""
    return next(uuid7s())


def uuid7s() -> Iterator[str]:
    """Any number of them, for use now: the first alone, then ever more at once."""
    count = 1
    while True:
        stamp = f"{time.time_ns() // 1_000_000 & (1 << 48) - 1:012x}"
        start = f"{stamp[:8]}-{stamp[8:]}-7"
        dice = _dice.randbytes(10 * count).hex()
        for i in range(0, len(dice), 20):
            # The first two bits behind the second dash are the variant, 0b10.
            yield f"{start}{dice[i : i + 3]}-{_VARIANTS[dice[i + 3]]}{dice[i + 4 : i + 7]}-{dice[i + 7 : i + 19]}"
        count = min(2 * count, _AT_ONCE)
