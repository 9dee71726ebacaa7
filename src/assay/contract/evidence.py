"""What a contract remembers of the data that it was learned from, in the form that its documents carry it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

__all__ = ["LAGS", "SPECIAL_BINS", "Bins", "chance", "degrees", "value_label"]

#: Bins that every field has beside its own: missing or null; below and above all that was seen; of another kind.
SPECIAL_BINS: Final = ("null", "low", "high", "_other")
#: How the moments of a lag are told; empty: the bins are of the values themselves.
LAGS: Final = ("", "date-time", "s", "ms", "us", "ns")


@dataclass(frozen=True, slots=True)
class Bins:
    """The histogram that live values of a field are held against.

    Numbers have `edges`: n inner edges, ascending, make n + 1 bins `b0` ... `bn`; bin i holds edges[i-1] < v <= edges[i].
    Values below `low` or above `high`, the extremes seen, are counted in the bins of those names instead. Categories
    have `values` (strings, booleans or numbers), one bin each. `share` gives each label's share of the profile's rows,
    in [0, 1], summing to 1; `rows` is how many rows that were.

    With `lag` the field's values are moments, and what is in the bins are the seconds until the event came. It says how the
    moments are told: `date-time` (RFC 3339), or `s`, `ms`, `us`, `ns` since 1970.

    `spread` is how many times as far as chance alone a stretch of the stream is from the whole, 1 or more; `tolerance` the
    distance, in [0, 2], that stretches of clean data came to beyond that.
    """

    rows: int
    share: Mapping[str, float]
    edges: tuple[float, ...] | None = None
    values: tuple[str | bool | int | float, ...] | None = None
    low: float | None = None
    high: float | None = None
    lag: str = ""
    spread: float = 1.0
    tolerance: float = 0.0

    @property
    def labels(self) -> tuple[str, ...]:
        """Every bin's label: the field's own, in order, then the special ones."""
        if self.values is not None:
            own = tuple(value_label(value) for value in self.values)
        else:
            own = tuple(f"b{i}" for i in range(len(self.edges or ()) + 1))
        return own + SPECIAL_BINS

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Bins:
        """Read what `to_document` wrote.

        Raises:
            ValueError: it has neither edges nor values, edges that do not ascend, shares of no known label, or a lag of
                no known moments.
        """
        edges = tuple(float(edge) for edge in document["edges"]) if "edges" in document else None
        values = tuple(document["values"]) if "values" in document else None
        if (edges is None) == (values is None):
            raise ValueError("bins have either edges or values")
        if edges is not None and any(not a < b for a, b in pairwise(edges)):
            raise ValueError("the edges of bins ascend")
        bins = cls(
            rows=int(document["rows"]),
            share={str(label): float(share) for label, share in document["share"].items()},
            edges=edges,
            values=values,
            low=document.get("low"),
            high=document.get("high"),
            lag=str(document.get("lag", "")),
            spread=float(document.get("spread", 1)),
            tolerance=float(document.get("tolerance", 0)),
        )
        if not 1 <= bins.spread < math.inf or not 0 <= bins.tolerance <= 2:
            raise ValueError("a spread is a number from 1, a tolerance one in [0, 2]")
        if bins.lag not in LAGS or (bins.lag and edges is None):
            raise ValueError(f"a lag has edges, and is of one of {', '.join(LAGS[1:])}")
        unknown = set(bins.share) - set(bins.labels)
        if unknown:
            raise ValueError(f"a share for {min(unknown)!r}, which is no bin")
        if any(not 0 <= share <= 1 for share in bins.share.values()) or bins.rows < 1:
            raise ValueError("shares lie in [0, 1], over at least one row")
        return bins

    def to_document(self) -> dict[str, Any]:
        """As a contract carries it: JSON values, the same bins giving the same document."""
        document: dict[str, Any] = {"rows": self.rows}
        if self.lag:
            document["lag"] = self.lag
        if self.edges is not None:
            document["edges"] = list(self.edges)
        if self.values is not None:
            document["values"] = list(self.values)
        if self.low is not None:
            document["low"] = self.low
        if self.high is not None:
            document["high"] = self.high
        if self.spread > 1:
            document["spread"] = self.spread
        if self.tolerance > 0:
            document["tolerance"] = self.tolerance
        document["share"] = {label: self.share[label] for label in self.labels if self.share.get(label, 0) > 0}
        return document


def degrees(bins: Bins) -> int:
    """The degrees of freedom of a sample's distance from the profile: its filled bins, less one."""
    return max(sum(1 for share in bins.share.values() if share > 0), 2) - 1


def chance(bins: Bins) -> float:
    """How far chance drives the distance of a sample from the profile, in units of 1/N + 1/M, once in four million looks.

    The triangular distance (Le Cam 1986; Topsoe 2000) of two samples of one distribution is about chi-squared over
    (bins - 1) degrees of freedom; this is its upper 2.5e-7 quantile: 2 bins 26.6, 10 bins 48, 20 bins 67.4.
    """
    from scipy.special import chdtri  # chi2.isf of scipy.stats, which takes half a second to load

    return float(chdtri(degrees(bins), 2.5e-7))


def value_label(value: str | bool | float) -> str:  # noqa: FBT001 - a category may be a boolean
    """A category as a label value: text as it is, where it cannot be taken for a special bin."""
    if isinstance(value, str):
        return f'"{value}"' if value in SPECIAL_BINS or value.startswith('"') else value
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(int(value)) if math.isfinite(value) and value == int(value) else repr(value)
