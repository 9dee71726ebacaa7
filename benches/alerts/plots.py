"""Pictures of the alerts, for their explanation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from statistics import median
from typing import Final

import numpy as np
import numpy.typing as npt

from assay.contract.evidence import Bins, chance
from assay.monitor.rule_settings import RuleSettings
from benches.statistics.plots import logarithmic

__all__ = ["delays_picture", "limits_picture"]

_WIDTH: Final = 720
_LEFT: Final = 150
_RIGHT: Final = 690
_TOP: Final = 40
_ROW: Final = 28
_COLOUR: Final = "#0072B2"
_MEDIAN: Final = "#D55E00"

#: Of the profile that distances are drawn against, and the samples drawn for each size.
_ROWS: Final = 10_000
_DRAWS: Final = 20_000


def delays_picture(delays: Mapping[str, Sequence[float]]) -> str:
    """Each trial's seconds as a dot, and their median as a bar: a row a fault."""
    seen = [s for seconds in delays.values() for s in seconds if math.isfinite(s)]
    end = 10 * math.ceil(max(seen) / 10)
    bottom = _TOP + _ROW * len(delays)

    def place(seconds: float) -> float:
        return _LEFT + seconds / end * (_RIGHT - _LEFT)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {bottom + 50}" font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{bottom + 50}" fill="white"/>',
        f'<text x="{_LEFT}" y="22" font-size="15">Seconds from the first corrupt event to firing</text>',
    ]
    for mark in range(0, end + 1, 10):
        parts.append(f'<path d="M{place(mark):.1f} {_TOP}V{bottom}" stroke="#ddd"/>')
        parts.append(f'<text x="{place(mark):.1f}" y="{bottom + 18}" text-anchor="middle">{mark}</text>')
    for i, (fault, seconds) in enumerate(delays.items()):
        y = _TOP + _ROW * (i + 0.5)
        parts.append(f'<text x="{_LEFT - 10}" y="{y + 4:.1f}" text-anchor="end">{escape(fault)}</text>')
        parts += [
            f'<circle cx="{place(s):.1f}" cy="{y:.1f}" r="3.5" fill="{_COLOUR}" fill-opacity="0.6"/>'
            for s in seconds
            if math.isfinite(s)
        ]
        middle = median(seconds)
        if math.isfinite(middle):
            parts.append(f'<path d="M{place(middle):.1f} {y - 9:.1f}v18" stroke="{_MEDIAN}" stroke-width="3"/>')
    return "\n".join([*parts, "</svg>\n"])


def limits_picture(bins: int = 10) -> str:
    """The distance of clean samples and of a few faults from a profile, and the limit, by the events in the window."""
    rng = np.random.default_rng(5)
    share = np.full(bins, 1 / bins)
    own = Bins(_ROWS, {f"b{i}": 1 / bins for i in range(bins)}, edges=tuple(map(float, range(1, bins))))
    sizes = [round(10 ** (i / 4)) for i in range(6, 21)]
    limit = [RuleSettings().drift_base + chance(own) * (1 / n + 1 / _ROWS) for n in sizes]
    moved = share.copy()
    moved[0] += 0.5 * share[-1]
    moved[-1] *= 0.5
    stuck = 0.9 * share + 0.1 * np.eye(bins)[0]
    curves = {
        "limit": limit,
        "one in 20,000 clean looks": [_distances(rng, share, share, n, 1 - 1 / _DRAWS) for n in sizes],
        "clean, in the middle": [_distances(rng, share, share, n, 0.5) for n in sizes],
        "10% stuck": [_distances(rng, share, stuck, n, 0.5) for n in sizes],
        "half a bin moved": [_distances(rng, share, moved, n, 0.5) for n in sizes],
    }
    return logarithmic(
        "Distance from the profile: ten bins, 10,000 rows",
        {name: list(zip(sizes, values, strict=True)) for name, values in curves.items()},
        x="events in the window",
        y="triangular distance",
        marks=False,
    )


def _distances(
    rng: np.random.Generator, share: npt.NDArray[np.float64], live: npt.NDArray[np.float64], n: int, quantile: float
) -> float:
    """A quantile of the distances of samples of n values from profiles drawn from `share`."""
    profile = rng.multinomial(_ROWS, share, _DRAWS) / _ROWS
    sample = rng.multinomial(n, live, _DRAWS) / n
    distance = 2 * ((sample - profile) ** 2 / (sample + np.maximum(profile, 0.5 / _ROWS))).sum(axis=1)
    return float(np.quantile(distance, quantile))
