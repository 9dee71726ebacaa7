"""False alarms against recall: who stands at the upper left finds much and disturbs nobody."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape
from typing import Final

import numpy as np

from benches.detection.scores import Score

__all__ = ["plot"]

_SHARE: Final = 0.1
_WIDTH: Final = 760
_HEIGHT: Final = 420
_LEFT: Final = 70
_RIGHT: Final = 470
_TOP: Final = 40
_BOTTOM: Final = 360
#: Where nobody alarmed, and the marks of the logarithmic axis after it.
_NONE: Final = -4.5
_MARKS: Final = (-4, -3, -2, -1, 0)
#: Okabe and Ito's colours, which the colour-blind can tell apart.
_COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999", "#8B4513")


def plot(scores: Mapping[str, Mapping[str, Score]], limit: float) -> str:
    """An SVG: one mark for each entrant and data set, at 10% of the events corrupted; a larger one for the means."""
    names = list(dict.fromkeys(name for by in scores.values() for name in by))
    at = _place(math.log10(limit))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        f'<text x="{_LEFT}" y="22" font-size="15">Found, of corruptions in {_SHARE:.0%} of the events</text>',
        f'<rect x="{_LEFT}" y="{_TOP}" width="{at - _LEFT:.1f}" height="{_BOTTOM - _TOP}" fill="#eef6ee"/>',
        f'<text x="{(_LEFT + _RIGHT) / 2:g}" y="{_BOTTOM + 40}" text-anchor="middle">clean looks that alarm</text>',
    ]
    for i in range(6):
        y = _height(i / 5)
        parts.append(f'<path d="M{_LEFT} {y:.1f}H{_RIGHT}" stroke="#ddd"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{i / 5:.0%}</text>')
    marks = [(_NONE, "none"), *((mark, f"{10.0**mark:g}") for mark in _MARKS)]
    parts += [f'<text x="{_place(x):.1f}" y="{_BOTTOM + 18}" text-anchor="middle">{text}</text>' for x, text in marks]
    for i, name in enumerate(names):
        colour = _COLOURS[i % len(_COLOURS)]
        points = [(by[name].clean_share, by[name].recall(_SHARE)) for by in scores.values() if name in by]
        parts += [_mark(clean, found, colour, 3.5) for clean, found in points]
        mean = tuple(np.mean(points, axis=0))
        parts.append(_mark(float(mean[0]), float(mean[1]), colour, 8))
        y = _TOP + 18 * i
        parts.append(f'<circle cx="{_RIGHT + 24}" cy="{y}" r="6" fill="{colour}"/>')
        parts.append(f'<text x="{_RIGHT + 38}" y="{y + 4}">{escape(name)}</text>')
    return "\n".join([*parts, "</svg>\n"])


def _mark(clean: float, found: float, colour: str, radius: float) -> str:
    x = _place(math.log10(clean) if clean else _NONE)
    return f'<circle cx="{x:.1f}" cy="{_height(found):.1f}" r="{radius}" fill="{colour}" fill-opacity="0.7"/>'


def _place(power: float) -> float:
    return _LEFT + 14 + (max(power, _NONE) - _NONE) / -_NONE * (_RIGHT - _LEFT - 28)


def _height(share: float) -> float:
    return _BOTTOM - share * (_BOTTOM - _TOP)
