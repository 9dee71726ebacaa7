"""Tables and pictures, by hand: a few lines do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

__all__ = ["Threshold", "chart", "table"]

Point = tuple[float, float]

_WIDTH: Final = 720
_HEIGHT: Final = 400
_LEFT: Final = 80
_RIGHT: Final = 540
_TOP: Final = 40
_BOTTOM: Final = 350
#: Okabe and Ito's colours, which the colour-blind can tell apart.
_COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")


@dataclass(frozen=True)
class Threshold:
    """A ratio and what it should be at least (or, with `at_most`, at most)."""

    what: str
    ratio: float
    limit: float
    at_most: bool = False

    @property
    def holds(self) -> bool:
        """Whether it is what it should be."""
        return self.ratio <= self.limit if self.at_most else self.ratio >= self.limit

    def row(self) -> list[str]:
        """As a row of `what, measured, asked, holds`."""
        sign = "≤" if self.at_most else "≥"
        return [self.what, f"{self.ratio:,.3g}", f"{sign} {self.limit:,.3g}", "yes" if self.holds else "**no**"]

    @staticmethod
    def table(thresholds: Sequence[Threshold]) -> str:
        """All as a Markdown table."""
        return table(["ratio", "measured", "asked", "holds"], [each.row() for each in thresholds])


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; all columns but the first are right-aligned."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def chart(title: str, series: Mapping[str, Sequence[Point]], *, x: str, y: str, categories: bool = False) -> str:
    """Lines as an SVG picture. `categories` places the x values at equal distances."""
    xs = sorted({point[0] for points in series.values() for point in points})
    most = _round_up(max(point[1] for points in series.values() for point in points))
    marks = xs if categories else [_round_up(xs[-1]) * i / 5 for i in range(6)]
    end = max(marks[-1], 1e-9)

    def place(at: float) -> float:
        share = xs.index(at) / max(1, len(xs) - 1) if categories else at / end
        return _LEFT + share * (_RIGHT - _LEFT)

    def height(value: float) -> float:
        return _BOTTOM - value / most * (_BOTTOM - _TOP)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        f'<text x="{_LEFT}" y="22" font-size="15">{escape(title)}</text>',
        f'<text x="{(_LEFT + _RIGHT) / 2:g}" y="{_BOTTOM + 38}" text-anchor="middle">{escape(x)}</text>',
        f'<text transform="translate(16 {(_TOP + _BOTTOM) / 2:g}) rotate(-90)" text-anchor="middle">{escape(y)}</text>',
    ]
    for i in range(5):
        at = height(most * i / 4)
        parts.append(f'<path d="M{_LEFT} {at:.1f}H{_RIGHT}" stroke="#ddd"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{most * i / 4:,.5g}</text>')
    parts += [
        f'<text x="{place(mark):.1f}" y="{_BOTTOM + 18}" text-anchor="middle">{mark:,.5g}</text>' for mark in marks
    ]
    for i, (name, points) in enumerate(series.items()):
        colour = _COLOURS[i % len(_COLOURS)]
        path = "L".join(f"{place(at):.1f} {height(value):.1f}" for at, value in points)
        parts.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        if categories:
            parts += [
                f'<circle cx="{place(at):.1f}" cy="{height(v):.1f}" r="3.5" fill="{colour}"/>' for at, v in points
            ]
        parts.append(f'<path d="M{_RIGHT + 16} {_TOP + 18 * i}h16" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<text x="{_RIGHT + 38}" y="{_TOP + 18 * i + 4}">{escape(name)}</text>')
    return "\n".join([*parts, "</svg>\n"])


def _round_up(value: float) -> float:
    """The next of 1, 2, 2.5 and 5 times a power of ten."""
    power = 1e-3
    while power * 10 < value:
        power *= 10
    return next(power * step for step in (1, 2, 2.5, 5, 10) if power * step >= value)
