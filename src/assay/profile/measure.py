"""Flat columns of a relation, measured in a few batched queries.

DuckDB's own SUMMARIZE spends nearly all its time on approximate quantiles, and has no extremes beyond one. Here counts,
extremes, distincts and bins are exact, and cost a few scans over all columns at once. The same rows in the same order
give the same result, also on several threads:

- Sums of doubles depend on the order in which threads add. Means and deviations are sums of whole numbers instead: each
  value as a fraction of the largest, in steps of 2**-52.
- Quantiles of columns with at most 1,000 different values come from their counts, and of at most 200,000 rows from all
  of them. Of more rows, a sample: those rows whose content hashes below a limit. That depends on no thread and no seed.
  Equal rows are in it or out of it together, which matters only where rows are few and different, and there the counts
  are used. The bins that are cut at these quantiles are counted over all rows, so their shares are exact anyway.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from assay.profile.document import Number, Numbers

if TYPE_CHECKING:
    import duckdb

__all__ = ["Column", "Columns", "Kind", "literal", "quoted"]

Kind: TypeAlias = Literal["integer", "float", "text", "temporal", "boolean", "count"]

#: How many extreme rows are kept: what the tail fit of `bounds` needs at most.
EXTREMES: Final = 401
DISTINCT_KEPT: Final = 1_000
#: From this estimated share of different values on, they are counted.
NEARLY_ALL: Final = 0.5
SAMPLE_ROWS: Final = 200_000
SHARES: Final = (0.01, 0.05, 0.1, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.9, 0.95, 0.99)
DECILES: Final = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
#: Pieces that the rows are cut into, in order, to see whether a column rises.
PIECES: Final = 20

_STEPS: Final = 2**52


def quoted(name: str) -> str:
    """A name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: Number) -> str:
    """A number as SQL, exactly: DuckDB would read 0.1 as a decimal."""
    return str(value) if isinstance(value, int) else f"'{value!r}'::DOUBLE"


@dataclass(frozen=True, slots=True)
class Column:
    """An SQL expression over a relation, and what it is measured as."""

    name: str
    expr: str
    kind: Kind


class Columns:
    """Columns of a relation on their way through the queries."""

    def __init__(self, con: duckdb.DuckDBPyConnection, relation: str, columns: dict[int, Column]) -> None:
        self.con = con
        self.columns = columns
        named = ", ".join(f"{column.expr} AS {column.name}" for column in columns.values())
        self.source = f"(SELECT {named} FROM {relation})"

    def ask(self, asked: dict[int, str], *, where: str = "") -> dict[int, Any]:
        """One aggregate for each of these columns, `{c}` standing for it, in one scan."""
        if not asked:
            return {}
        terms = ", ".join(term.replace("{c}", self.columns[i].name) for i, term in asked.items())
        row = self.con.execute(f"SELECT {terms} FROM {self.source} {where}").fetchone()
        assert row is not None
        return dict(zip(asked, row, strict=True))

    def numbers(self, rows: int) -> dict[int, Numbers | None]:
        """The statistics of each column, None where it has no value."""
        first = self.ask(
            dict.fromkeys(
                self.columns,
                "{'n': count({c}), 'top': max({c}, %d), 'bottom': min({c}, %d), 'distinct': approx_count_distinct({c})}".replace(
                    "%d", str(EXTREMES)
                ),
            )
        )
        whole = self.ask(
            {i: "count_if({c} = trunc({c}))" for i, column in self.columns.items() if column.kind == "float"}
        )
        live = {i: found for i, found in first.items() if found["n"]}
        kept = {
            i: Numbers(
                count=found["n"],
                minimum=found["bottom"][0],
                maximum=found["top"][0],
                mean=0.0,
                deviation=0.0,
                distinct=min(found["distinct"], found["n"]),
                integral=whole.get(i, found["n"]) == found["n"],
            )
            for i, found in live.items()
        }
        kept = self._values(kept)
        kept = self._extremes(kept, live)
        kept = self._moments(kept)
        kept = self._quantiles(kept)
        kept = self._bins(kept)
        rising = self._rising(kept, rows)
        return dict.fromkeys(self.columns) | {i: replace(n, rising=i in rising) for i, n in kept.items()}

    def _values(self, kept: dict[int, Numbers]) -> dict[int, Numbers]:
        few = {i: "histogram({c})" for i, numbers in kept.items() if numbers.distinct <= 2 * DISTINCT_KEPT}
        # Whether whole numbers are all different decides what they are, and the estimate may be a fifth off.
        many = {
            i: "count(DISTINCT {c})"
            for i, numbers in kept.items()
            if i not in few and self.columns[i].kind == "integer" and numbers.distinct >= NEARLY_ALL * numbers.count
        }
        result = dict(kept)
        for i, values in self.ask(few).items():
            result[i] = replace(kept[i], distinct=len(values))
            if len(values) <= DISTINCT_KEPT:
                result[i] = replace(result[i], values=tuple(sorted(values.items())))
        for i, distinct in self.ask(many).items():
            result[i] = replace(kept[i], distinct=distinct)
        return result

    def _extremes(self, kept: dict[int, Numbers], found: dict[int, Any]) -> dict[int, Numbers]:
        """The extreme values with all their rows: the lists of 401 may end in the middle of a tie."""
        result = dict(kept)
        asked: dict[int, str] = {}
        for i, numbers in kept.items():
            if numbers.values is not None:
                result[i] = replace(
                    numbers,
                    largest=_cut(reversed(numbers.values)),
                    smallest=_cut(numbers.values),
                )
                continue
            top, bottom = found[i]["top"][-1], found[i]["bottom"][-1]
            asked[i] = (
                f"{{'top': count_if({{c}} = {literal(top)}), 'next_top': max({{c}}) FILTER ({{c}} < {literal(top)}), "
                f"'bottom': count_if({{c}} = {literal(bottom)}), "
                f"'next_bottom': min({{c}}) FILTER ({{c}} > {literal(bottom)})}}"
            )
        ties = self.ask(asked)
        following = self.ask(
            {
                i: f"{{'top': count_if({{c}} = {literal(tie['next_top'])}), "
                f"'bottom': count_if({{c}} = {literal(tie['next_bottom'])})}}"
                for i, tie in ties.items()
            }
        )
        for i, tie in ties.items():
            result[i] = replace(
                kept[i],
                largest=_tallied(found[i]["top"], tie["top"], (tie["next_top"], following[i]["top"])),
                smallest=_tallied(found[i]["bottom"], tie["bottom"], (tie["next_bottom"], following[i]["bottom"])),
            )
        return result

    def _moments(self, kept: dict[int, Numbers]) -> dict[int, Numbers]:
        scales = {i: float(max(abs(n.minimum), abs(n.maximum))) or 1.0 for i, n in kept.items()}
        sums = self.ask({i: f"sum(({{c}} / {literal(scale)} * {_STEPS})::BIGINT)" for i, scale in scales.items()})
        means = {
            i: min(
                max(scales[i] * (int(total) / kept[i].count / _STEPS), float(kept[i].minimum)), float(kept[i].maximum)
            )
            for i, total in sums.items()
        }
        # Halves, so that the distance between the ends of the doubles is still one.
        reach = {i: max(kept[i].maximum / 2 - mean / 2, mean / 2 - kept[i].minimum / 2) for i, mean in means.items()}
        squares = self.ask(
            {
                i: f"sum((pow(({{c}} / 2.0::DOUBLE - {literal(means[i] / 2)}) / {literal(float(half))}, 2) * {_STEPS})::BIGINT)"
                for i, half in reach.items()
                if half > 0
            }
        )
        result = dict(kept)
        for i, mean in means.items():
            share = int(squares.get(i, 0)) / kept[i].count / _STEPS
            deviation = min(2 * (reach[i] * math.sqrt(share)), sys.float_info.max)
            result[i] = replace(kept[i], mean=_tidy(mean), deviation=_tidy(deviation))
        return result

    def _quantiles(self, kept: dict[int, Numbers]) -> dict[int, Numbers]:
        result = {i: replace(n, quantiles=_counted(n.values, n.count)) for i, n in kept.items() if n.values is not None}
        term = f"quantile_disc({{c}}, [{', '.join(map(str, SHARES))}])"
        large = [i for i, n in kept.items() if i not in result and n.count > SAMPLE_ROWS]
        found: dict[int, Any] = {}
        if large:
            names = ", ".join(self.columns[i].name for i in large)
            limit = int(2**64 * SAMPLE_ROWS / 2 / max(kept[i].count for i in large))
            found = self.ask(dict.fromkeys(large, term), where=f"WHERE hash({names}) < {limit}::UBIGINT")
        found |= self.ask({i: term for i in kept if i not in result and not found.get(i)})
        for i, values in found.items():
            result[i] = replace(kept[i], quantiles=tuple(zip(SHARES, values, strict=True)))
        return result

    def _bins(self, kept: dict[int, Numbers]) -> dict[int, Numbers]:
        result = {}
        asked: dict[int, str] = {}
        edges: dict[int, tuple[float, ...]] = {}
        for i, numbers in kept.items():
            quantile = dict(numbers.quantiles)
            cut = sorted({float(quantile[share]) for share in DECILES} - {float(numbers.maximum)})
            edges[i] = tuple(edge for edge in cut if edge < numbers.maximum)
            if numbers.values is not None:
                below = [sum(rows for value, rows in numbers.values if float(value) <= edge) for edge in edges[i]]
                result[i] = _binned(numbers, edges[i], below)
            elif edges[i]:
                terms = ", ".join(f"count_if({{c}}::DOUBLE <= {literal(edge)})" for edge in edges[i])
                asked[i] = f"[{terms}]"
            else:
                result[i] = _binned(numbers, (), [])
        for i, below in self.ask(asked).items():
            result[i] = _binned(kept[i], edges[i], below)
        return result

    def _rising(self, kept: dict[int, Numbers], rows: int) -> set[int]:
        """The columns that grow with the row order: a piece of the rows after another, both ends of their range rise.

        Values that do not follow the order would have to fall so by chance in 20 pieces. A few late rows hide nothing
        but in the piece that they are in.
        """
        varied = [i for i, numbers in kept.items() if numbers.minimum < numbers.maximum and numbers.count >= PIECES]
        if not varied or rows < PIECES:
            return set()
        names = [self.columns[i].name for i in varied]
        pieces = self.con.execute(
            f"SELECT {', '.join(f'min({name}), max({name})' for name in names)} FROM "
            f"(SELECT {', '.join(names)}, (row_number() OVER () - 1) * {PIECES} // {rows} AS piece FROM {self.source}) "
            "GROUP BY piece ORDER BY piece"
        ).fetchall()
        rising = set()
        for at, i in enumerate(varied):
            ends = [(piece[2 * at], piece[2 * at + 1]) for piece in pieces if piece[2 * at] is not None]
            if len(ends) < PIECES // 2:
                continue
            if ends[-1][0] > ends[0][1] and all(a[0] <= b[0] and a[1] <= b[1] for a, b in pairwise(ends)):
                rising.add(i)
        return rising


def _cut(values: Iterable[tuple[Number, int]]) -> tuple[tuple[Number, int], ...]:
    """The first values that make 401 rows, and one more."""
    kept: list[tuple[Number, int]] = []
    rows = 0
    for value, count in values:
        kept.append((value, count))
        if rows >= EXTREMES:
            break
        rows += count
    return tuple(kept)


def _tallied(extremes: Sequence[Number], last: int, following: tuple[Number, int]) -> tuple[tuple[Number, int], ...]:
    """Sorted extremes as values with their rows; the last value has `last` of them, cut off or not."""
    tally: dict[Number, int] = {}
    for value in extremes:
        tally[value] = tally.get(value, 0) + 1
    tally[extremes[-1]] = last
    return (*tally.items(), following)


def _counted(values: Sequence[tuple[Number, int]], count: int) -> tuple[tuple[float, Number], ...]:
    """Quantiles of ascending values with their rows: the first value with at least that share at or below it."""
    quantiles = []
    below, ascending = 0, iter(values)
    value = values[0][0]
    for share in SHARES:
        while below < share * count:
            value, rows = next(ascending)
            below += rows
        quantiles.append((share, value))
    return tuple(quantiles)


def _binned(numbers: Numbers, edges: tuple[float, ...], below: Sequence[int]) -> Numbers:
    steps = [0, *below, numbers.count]
    return replace(numbers, edges=edges, counts=tuple(b - a for a, b in pairwise(steps)))


def _tidy(value: float) -> float:
    return float(f"{value:.12g}")
