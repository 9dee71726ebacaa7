"""Histograms as a few characters: for terminals and for tables in Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

__all__ = ["text_bars"]

_BLOCKS: Final = "▁▂▃▄▅▆▇█"


def text_bars(heights: Sequence[float], *, plain: bool = False) -> str:
    """A bar for each height, the tallest as high as a line: `▁▃█▅`. What is not nothing is seen; nothing is a space.

    `plain`: in ASCII, as digits from 1 to 9.
    """
    top = max(heights, default=0.0)
    if top <= 0:
        return " " * len(heights)
    marks = "123456789" if plain else _BLOCKS
    return "".join(" " if h <= 0 else marks[max(math.ceil(h / top * len(marks)), 1) - 1] for h in heights)
