"""Charts as SVG, drawn here: a few shapes each, coloured by the page's style sheet, so that light and dark need no second one.

No `style` stands in them, which the pages' policy would not allow, and every text is escaped. Measured against Altair with
vl-convert in docs/decisions/0060: a tenth of a millisecond each in place of a tenth of a second.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from markupsafe import Markup, escape

from assay.contract.document import Field
from assay.contract.evidence import SPECIAL_BINS, Bins
from assay.ui.history import Bar
from assay.ui.scales import Scale, percent, scale_for, scale_of, short

__all__ = ["BinRow", "bin_rows", "distribution", "sparkline"]

_WIDTH: Final = 400
_LEFT: Final = 30
_RIGHT: Final = 370
_TOP: Final = 18
_BASE: Final = 108
_HEIGHT: Final = 130
#: Bins narrower than this are drawn this wide: a single value has no width of its own.
_NARROWEST: Final = 5.0
#: A profile has nine inner edges; more are of bins that were made to be drawn.
_COARSE: Final = 12
#: A bin so many times as dense as both its neighbours is a spike.
_SPIKE: Final = 5.0
_ROW: Final = 20
_MOST_ROWS: Final = 10
_LABEL: Final = 118


@dataclass(frozen=True, slots=True)
class BinRow:
    """One bin of a field: what it holds, in words, and its shares in [0, 1]. `live` is None where nothing came."""

    label: str
    what: str
    expected: float
    live: float | None
    count: int = 0

    @property
    def special(self) -> bool:
        """Whether it is one of those that clean data hardly reaches."""
        return self.label in SPECIAL_BINS


def bin_rows(bins: Bins, counts: Sequence[int] | None) -> list[BinRow]:
    """Each bin with what is expected and what came, in the order of `bins.labels`."""
    total = sum(counts) if counts else 0
    rows = []
    for place, label in enumerate(bins.labels):
        count = counts[place] if counts else 0
        rows.append(
            BinRow(
                label, _what(bins, place, label), bins.share.get(label, 0.0), count / total if total else None, count
            )
        )
    return rows


def _what(bins: Bins, place: int, label: str) -> str:
    special = {
        "null": "missing or null",
        "low": "below all that was seen" if bins.low is None else f"below {short(bins.low)}",
        "high": "above all that was seen" if bins.high is None else f"above {short(bins.high)}",
        "_other": "anything else" if bins.values is not None else "of another kind",
    }
    if place >= len(bins.labels) - len(SPECIAL_BINS):
        return special[label]
    if bins.edges is None:
        return label
    ends = [bins.low, *bins.edges, bins.high]
    low, high = ends[place], ends[place + 1]
    if low is None:
        return "" if high is None else f"up to {short(high)}"
    return f"above {short(low)}" if high is None else f"{short(low)} to {short(high)}"


def distribution(field: Field, counts: Sequence[int] | None) -> Markup | None:
    """A field's profile with its live values over it, and the bounds of its contract; None where it has no distribution."""
    bins = field.bins
    if bins is None:
        return None
    rows = bin_rows(bins, counts)
    if bins.edges is not None and bins.low is not None and bins.high is not None:
        return _numbers(field, bins, rows)
    if not bins.values:
        return None
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in bins.values):
        return _columns(field, rows)
    return _categories(field, rows)


# ---- numbers, over an axis of their values


def _numbers(field: Field, bins: Bins, rows: Sequence[BinRow]) -> Markup:
    assert bins.edges is not None
    assert bins.low is not None
    assert bins.high is not None
    low, high = _with_bounds(field, bins.low, bins.high)
    made = scale_of if len(bins.edges) > _COARSE else scale_for
    scale = made(bins.low, bins.high, bins.edges)
    if low <= 0 < scale.low and scale.kind == "log":
        low = scale.low
    axis = Scale(scale.kind, low, high, scale.unit)

    def x(value: float) -> float:
        return _LEFT + axis.at(value) * (_RIGHT - _LEFT)

    ends = [bins.low, *bins.edges, bins.high]
    own = [row for row in rows if not row.special]
    spans = [_span(x(a), x(b)) for a, b in pairwise(ends)]
    density = [row.expected / (b - a) for row, (a, b) in zip(own, spans, strict=True)]
    live = [(row.live or 0) / (b - a) for row, (a, b) in zip(own, spans, strict=True)]
    # One spike must not flatten the rest: it is cut, and says its share.
    top = max([*_without_spikes(density), *_without_spikes(live), 1e-9]) * 1.02

    def y(value: float) -> float:
        return _BASE - min(value / top, 1.0) * (_BASE - _TOP)

    parts: list[str] = []
    spikes: list[str] = []
    for (a, b), value, row in zip(spans, density, own, strict=True):
        parts.append(_tag("rect", "expected", x=a, y=y(value), width=b - a, height=_BASE - y(value), title=_said(row)))
        if value > top:
            spikes.append(_text(b + 4, _TOP + 9, percent(row.expected), "note", "start"))
    if own and own[0].live is not None:
        points = "".join(
            f"{'L' if i else 'M'}{a:.1f} {y(v):.1f}H{b:.1f}"
            for i, ((a, b), v) in enumerate(zip(spans, live, strict=True))
        )
        parts.append(_tag("path", "live", d=points))
    parts += [*spikes, *_beyond(rows), *_bounds(field, axis, x), *_axis(axis, x)]
    return _svg(_HEIGHT if axis.kind == "linear" else _HEIGHT + 12, _summary(field, rows), parts)


def _without_spikes(density: Sequence[float]) -> list[float]:
    """Those that do not tower over their neighbours; all, where nothing else is left."""
    ends = [density[1:2] or density[:1], *([a, b] for a, b in zip(density, density[2:], strict=False)), density[-2:-1]]
    kept = [d for d, beside in zip(density, ends, strict=False) if d <= _SPIKE * max(beside, default=d)]
    return kept if any(kept) else list(density)


def _span(a: float, b: float) -> tuple[float, float]:
    if b - a >= _NARROWEST:
        return a, b
    middle = (a + b) / 2
    return middle - _NARROWEST / 2, middle + _NARROWEST / 2


def _with_bounds(field: Field, low: float, high: float) -> tuple[float, float]:
    """The axis: all that was seen, and the bounds where they are not so far out that they would squeeze it."""
    reach = (high - low) or abs(high) or 1.0
    least, most = _minimum(field), _maximum(field)
    if least is not None and low - reach <= least < low:
        low = float(least)
    if most is not None and high < most <= high + reach:
        high = float(most)
    return (low - 0.5, high + 0.5) if low == high else (low, high)


def _minimum(field: Field) -> float | None:
    return field.minimum if field.minimum is not None else field.exclusive_minimum


def _maximum(field: Field) -> float | None:
    return field.maximum if field.maximum is not None else field.exclusive_maximum


def _bounds(field: Field, axis: Scale, x: Callable[[float], float]) -> Iterator[str]:
    for bound, sense, edge in ((_minimum(field), -1, _LEFT), (_maximum(field), 1, _RIGHT)):
        if bound is None:
            continue
        place = axis.at(bound)
        if -0.001 <= place <= 1.001:
            at = x(bound)
            yield _tag("path", "bound", d=f"M{at:.1f} {_TOP - 4}V{_BASE}", title=f"refused beyond {short(bound)}")
            anchor = "start" if place < 0.15 else "end" if place > 0.85 else "middle"
            yield _text(at, _TOP - 7, f"{'≥' if sense < 0 else '≤'} {short(bound)}", "note bound-text", anchor)
        else:
            arrow = f"← ≥ {short(bound)}" if sense < 0 else f"≤ {short(bound)} →"
            yield _text(edge, _TOP - 7, arrow, "note bound-text", "start" if sense < 0 else "end")


def _beyond(rows: Sequence[BinRow]) -> Iterator[str]:
    """What lies below and above all that was seen: a column of its own at either side, as high as its share."""
    for label, left in (("low", 4.0), ("high", _RIGHT + 8.0)):
        row = next(each for each in rows if each.label == label)
        if not (row.expected or row.live):
            continue
        height = max(2.0, (row.live or 0) * (_BASE - _TOP))
        yield _tag("rect", "beyond", x=left, y=_BASE - height, width=18, height=height, title=_said(row))
        yield _text(left + 9, _BASE - height - 4, percent(row.live or 0), "note bad-text", "middle")
        yield _text(left + 9, _BASE + 13, "‹" if label == "low" else "›", "tick", "middle")


def _axis(axis: Scale, x: Callable[[float], float]) -> Iterator[str]:
    yield _tag("path", "axis", d=f"M{_LEFT} {_BASE + 0.5}H{_RIGHT}")
    for value in axis.ticks(4):
        at = x(value)
        yield _tag("path", "axis", d=f"M{at:.1f} {_BASE}v4")
        yield _text(at, _BASE + 15, short(value), "tick", "middle")
    if axis.kind != "linear":
        yield _text(_RIGHT, _BASE + 30, "logarithmic scale", "note", "end")


# ---- a few numbers, and categories


def _columns(field: Field, rows: Sequence[BinRow]) -> Markup:
    """At most twenty numbers: a column each."""
    own = [row for row in rows if not row.special]
    other = next(row for row in rows if row.label == "_other")
    top = max([row.expected for row in own] + [row.live or 0 for row in own] + [1e-9])
    step = (_RIGHT - _LEFT) / len(own)
    each = max(1, math.ceil(len(own) / 12))
    parts: list[str] = []
    for i, row in enumerate(own):
        left, wide = _LEFT + i * step, step * 0.86
        height = row.expected / top * (_BASE - _TOP)
        parts.append(_tag("rect", "expected", x=left, y=_BASE - height, width=wide, height=height, title=_said(row)))
        if row.live is not None:
            at = _BASE - row.live / top * (_BASE - _TOP)
            parts.append(_tag("path", "live", d=f"M{left:.1f} {at:.1f}h{wide:.1f}"))
        if i % each == 0:
            parts.append(_text(left + wide / 2, _BASE + 15, short(float(row.label)), "tick", "middle"))
    if other.live:
        height = max(2.0, other.live * (_BASE - _TOP))
        parts.append(
            _tag("rect", "beyond", x=_RIGHT + 8, y=_BASE - height, width=18, height=height, title=_said(other))
        )
        parts.append(_text(_RIGHT + 17, _BASE - height - 4, percent(other.live), "note bad-text", "middle"))
        parts.append(_text(_RIGHT + 17, _BASE + 15, "else", "tick", "middle"))
    parts += _beyond(rows)
    parts.append(_tag("path", "axis", d=f"M{_LEFT} {_BASE + 0.5}H{_RIGHT}"))
    return _svg(_HEIGHT, _summary(field, rows), parts)


def _categories(field: Field, rows: Sequence[BinRow]) -> Markup:
    """Texts and booleans: a row each, the most frequent first."""
    own = sorted((row for row in rows if not row.special), key=lambda row: -max(row.expected, row.live or 0))
    shown = own if len(own) <= _MOST_ROWS else own[: _MOST_ROWS - 1]
    rest = own[len(shown) :]
    other = next(row for row in rows if row.label == "_other")
    if rest:
        seen = None if rest[0].live is None else sum(row.live or 0 for row in rest)
        shown = [*shown, BinRow("", f"{len(rest)} others", sum(row.expected for row in rest), seen)]
    if other.expected or other.live:
        shown = [*shown, other]
    top = max([row.expected for row in shown] + [row.live or 0 for row in shown] + [1e-9])
    room = _RIGHT - 20 - _LABEL
    parts: list[str] = []
    for i, row in enumerate(shown):
        y = 4 + i * _ROW
        label = row.what if len(row.what) <= 17 else f"{row.what[:16]}…"
        parts.append(_text(_LABEL - 8, y + 12, label, "tick", "end"))
        parts.append(
            _tag("rect", "expected", x=_LABEL, y=y, width=row.expected / top * room, height=15, title=_said(row))
        )
        if row.live is not None:
            kind = "beyond" if row.label == "_other" and row.live > 1.2 * row.expected + 0.01 else "live-bar"
            parts.append(_tag("rect", kind, x=_LABEL, y=y + 5, width=max(row.live / top * room, 0.5), height=5))
        end = _LABEL + max(row.expected, row.live or 0) / top * room
        parts.append(_text(end + 6, y + 12, percent(row.expected if row.live is None else row.live), "note", "start"))
    return _svg(8 + len(shown) * _ROW, _summary(field, rows), parts)


# ---- events over time


def sparkline(bars: Sequence[Bar], slots: int, title: str) -> Markup:
    """What was accepted, upwards, and what was refused, downwards: a bar for each stretch of time, the newest at the right."""
    most = max([bar.accepted + bar.flagged for bar in bars] + [bar.rejected for bar in bars] + [1])
    step, height, floor = _WIDTH / slots, 44.0, 62.0
    parts: list[str] = []
    for i, bar in enumerate(bars):
        x = (slots - len(bars) + i) * step
        said = f"{bar.accepted:,} accepted, {bar.flagged:,} flagged, {bar.rejected:,} refused"
        up = (bar.accepted + bar.flagged) / most * height
        down = max(2.0, bar.rejected / most * height) if bar.rejected else 0.0
        if up:
            parts.append(_tag("rect", "accepted", x=x, y=floor - up, width=step * 0.8, height=up, title=said))
        if bar.flagged:
            flagged = max(1.5, bar.flagged / most * height)
            parts.append(_tag("rect", "flagged", x=x, y=floor - flagged, width=step * 0.8, height=flagged))
        if down:
            parts.append(_tag("rect", "refused", x=x, y=floor + 1, width=step * 0.8, height=down, title=said))
    parts.append(_tag("path", "axis", d=f"M0 {floor + 0.5}H{_WIDTH}"))
    below = max((bar.rejected for bar in bars), default=0)
    return _svg(int(floor + 4 + (below / most * height if below else 0)), title, parts)


# ---- the pieces


def _summary(field: Field, rows: Sequence[BinRow]) -> str:
    """What the picture shows, for who does not see it."""
    largest = max(rows, key=lambda row: row.expected)
    text = f"Distribution of {field.name}: most expected {largest.what}, {percent(largest.expected)}"
    seen = [row for row in rows if row.live is not None]
    if seen:
        live = max(seen, key=lambda row: row.live or 0)
        text += f"; most live {live.what}, {percent(live.live or 0)}"
    return text + ". The figures are in the table below."


def _said(row: BinRow) -> str:
    live = "" if row.live is None else f", live {percent(row.live)}"
    return f"{row.what}: expected {percent(row.expected)}{live}"


def _svg(height: int, label: str, parts: Sequence[str]) -> Markup:
    head = f'<svg class="chart" viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{escape(label)}">'
    return Markup(head + "".join(parts) + "</svg>")  # noqa: S704 - numbers and escaped text


def _tag(name: str, kind: str, *, title: str = "", **attributes: float | str) -> str:
    """An element of the page's own: `attributes` are numbers and paths, and only `title` is anybody's text."""
    shown = " ".join(
        f'{key}="{value:.1f}"' if isinstance(value, float) else f'{key}="{value}"' for key, value in attributes.items()
    )
    inside = f"<title>{escape(title)}</title>" if title else ""
    return f'<{name} class="{kind}" {shown}>{inside}</{name}>'


def _text(x: float, y: float, text: str, kind: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(text)}</text>'
