"""Identifiers that sort by time."""

from __future__ import annotations

import os
import random
import time
from typing import Final

__all__ = ["uuid7"]

# Seeded by the system, and again in a process that was forked. Asking the system for each identifier lets go of the
# interpreter each time: beside busy threads, the way back took longer than judging the event.
_dice: Final = random.Random()  # noqa: S311  unique is enough: nobody is let in for knowing an identifier
os.register_at_fork(after_in_child=_dice.seed)


def uuid7() -> str:
    """A UUID version 7 (RFC 9562, section 5.7): milliseconds since 1970, then 74 random bits."""
    milliseconds = time.time_ns() // 1_000_000
    dice = _dice.getrandbits(74)
    value = (milliseconds & (1 << 48) - 1) << 80 | 7 << 76 | dice >> 62 << 64 | 2 << 62 | dice & (1 << 62) - 1
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
