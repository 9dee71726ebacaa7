"""Pictures of the simulations, for the explanation of learning."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Final

__all__ = ["claim_costs", "logarithmic"]

_WIDTH: Final = 720
_HEIGHT: Final = 380
_LEFT: Final = 80
_RIGHT: Final = 500
_TOP: Final = 40
_BOTTOM: Final = 320
#: Okabe and Ito's colours, which the colour-blind can tell apart.
_COLOURS: Final = ("#0072B2", "#56B4E9", "#009E73", "#D55E00", "#CC79A7", "#E69F00", "#000000")


def logarithmic(
    title: str, series: Mapping[str, Sequence[tuple[float, float]]], *, x: str, y: str, marks: bool = True
) -> str:
    """Lines over two logarithmic axes, as SVG; dots at the points with `marks`. Points at or below 0 are left out."""
    points = [point for line in series.values() for point in line if point[1] > 0]
    least, most = (math.log10(end([x for x, _ in points])) for end in (min, max))
    low, high = math.floor(math.log10(min(y for _, y in points))), math.ceil(math.log10(max(y for _, y in points)))

    def place(at: float) -> float:
        return _LEFT + (math.log10(at) - least) / (most - least) * (_RIGHT - _LEFT)

    def height(value: float) -> float:
        return _BOTTOM - (math.log10(value) - low) / (high - low) * (_BOTTOM - _TOP)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        f'<text x="{_LEFT}" y="22" font-size="15">{escape(title)}</text>',
        f'<text x="{(_LEFT + _RIGHT) / 2:g}" y="{_BOTTOM + 40}" text-anchor="middle">{escape(x)}</text>',
        f'<text transform="translate(18 {(_TOP + _BOTTOM) / 2:g}) rotate(-90)" text-anchor="middle">{escape(y)}</text>',
    ]
    for power in range(low, high + 1):
        at = height(10.0**power)
        parts.append(f'<path d="M{_LEFT} {at:.1f}H{_RIGHT}" stroke="#ddd"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">1e{power}</text>')
    ticks = sorted({x for x, _ in points}) if marks else [10.0**p for p in range(math.ceil(least), int(most) + 1)]
    parts += [f'<text x="{place(at):.1f}" y="{_BOTTOM + 18}" text-anchor="middle">{at:,.6g}</text>' for at in ticks]
    for i, (name, line) in enumerate(series.items()):
        colour = _COLOURS[i % len(_COLOURS)]
        path = "L".join(f"{place(at):.1f} {height(value):.1f}" for at, value in line if value > 0)
        parts.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        if marks:
            parts += [
                f'<circle cx="{place(at):.1f}" cy="{height(v):.1f}" r="3.5" fill="{colour}"/>'
                for at, v in line
                if v > 0
            ]
        parts.append(f'<path d="M{_RIGHT + 16} {_TOP + 18 * i}h16" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<text x="{_RIGHT + 38}" y="{_TOP + 18 * i + 4}">{escape(name)}</text>')
    return "\n".join([*parts, "</svg>\n"])


def claim_costs(sizes: Sequence[int]) -> str:
    """What a claim about the never-seen costs in expectation, by how common the thing is."""
    shares = [10 ** (i / 8) for i in range(-48, -15)]
    return logarithmic(
        "A claim about what was never seen",
        {f"{n:,} rows": [(p, max(p * (1 - p) ** n, 0)) for p in shares if p * (1 - p) ** n > 1e-9] for n in sizes},
        x="share of events that have it",
        y="expected share refused",
        marks=False,
    )
