"""Flat columns of a relation, measured in a few batched queries.

DuckDB's own SUMMARIZE spends nearly all its time on approximate quantiles, and has no extremes beyond one. Here counts,
extremes, distincts and bins are exact, and cost a few scans over all columns at once. The same rows in the same order
give the same result, also on several threads:

- Sums of doubles depend on the order in which threads add. Means and deviations are sums of whole numbers instead: each
  value as a fraction of the largest, in steps of 2**-52; for squares, of half the range, in steps of 2**-31.
- Quantiles of columns with at most 1,000 different values come from their counts, and of at most 200,000 rows from all
  of them. Of more rows, a sample: those rows whose content hashes below a limit. That depends on no thread and no seed.
  Equal rows are in it or out of it together, which matters only where rows are few and different, and there the counts
  are used. The bins that are cut at these quantiles are counted over all rows, so their shares are exact anyway.
"""

from __future__ import annotations

import math
import re
import sys
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Final, Literal, TypeAlias

from assay.profile.document import Number, Numbers
from assay.profile.engine import COUNT, Engine, Term, Whole, distinct, estimate, extremes, quantiles, tally

__all__ = ["Column", "Columns", "Kind", "cut", "literal"]

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
#: So many rows tell most columns that do not rise.
FIRST_ROWS: Final = 2_048

_STEPS: Final = 2**52
#: Of squares, so that one still fits 64 bits.
_SQUARE_STEPS: Final = 2**31
#: What a column is asked first. Some more extremes than are kept, so that the last of those are seldom cut off in a tie.
_FIRST: Final = {
    "n": COUNT,
    "top": extremes("{c}", EXTREMES + 79, largest=True),
    "bottom": extremes("{c}", EXTREMES + 79, largest=False),
    "distinct": estimate("{c}"),
}
#: An SQL expression that is a column of the relation, and takes no work to have.
_NAME: Final = re.compile(r'\w+|"(?:[^"]|"")+"')


def literal(value: Number) -> str:
    """A number as SQL, exactly: DuckDB would read 0.1 as a decimal."""
    return str(value) if isinstance(value, int) else f"'{value!r}'::DOUBLE"


@dataclass(frozen=True, slots=True)
class Column:
    """An SQL expression over a relation, and what it is measured as.

    Where it leaves out values of another, `taken_from` is that other: it is less work, if there are none to leave out.
    """

    name: str
    expr: str
    kind: Kind
    taken_from: str = ""


class Columns:
    """Columns of a relation on their way through the queries."""

    def __init__(self, engine: Engine, relation: str, columns: dict[int, Column]) -> None:
        self.engine = engine
        self.relation = relation
        self.columns = columns
        self.source = self._source(complete=())

    def _source(self, *, complete: Collection[int]) -> str:
        """The relation of these columns; of the `complete` ones it is known that they leave nothing out."""
        named = [
            f"{column.taken_from if i in complete else column.expr} AS {column.name}"
            for i, column in self.columns.items()
        ]
        others = [f"{column.taken_from} AS {column.name}_all" for column in self.columns.values() if column.taken_from]
        return f"(SELECT {', '.join(named + others)} FROM {self.relation})"

    def ask(self, asked: dict[int, Term], *, where: str = "", limit: int | None = None) -> dict[int, Any]:
        """One aggregate for each of these columns, in one scan; or of the first rows alone."""
        terms = [term.on(self.columns[i].name) for i, term in asked.items()]
        return dict(zip(asked, self.engine.ask(self.source, terms, where=where, limit=limit), strict=True))

    def numbers(self, rows: int) -> dict[int, Numbers | None]:
        """The statistics of each column, None where it has no value.

        Three scans where it goes well: the extremes, a sample's quantiles, and what rests on those. Whole numbers that
        lie close together need the first alone, which counts their values. What turns out to need another look (a tie
        that is longer than a list, more values than were estimated) gets one of its own.
        """
        first = self._first()
        self.source = self._source(complete=[i for i, found in first.items() if found.get("all") == found["n"]])
        live = {i: found for i, found in first.items() if found["n"]}
        kept = {
            i: Numbers(
                count=found["n"],
                minimum=found["bottom"][0],
                maximum=found["top"][0],
                mean=0.0,
                deviation=0.0,
                distinct=min(found["distinct"], found["n"]),
                integral=found.get("whole", found["n"]) == found["n"],
            )
            for i, found in live.items()
        }
        few = {i for i, numbers in kept.items() if numbers.distinct <= 2 * DISTINCT_KEPT}
        kept |= self._quantiles({i: numbers for i, numbers in kept.items() if i not in few})
        found = self.looks({i: self._second(i, numbers, live[i], few=i in few) for i, numbers in kept.items()})
        found |= {i: {"values": each["values"]} for i, each in live.items() if "values" in each}
        kept = {i: _with_values(numbers, found[i]) for i, numbers in kept.items()}
        late = {i: numbers for i, numbers in kept.items() if i in few and numbers.values is None}
        if late:  # they have too many values for a list of them after all
            late = self._quantiles(late)
            kept |= late
            found |= self.looks({i: self._second(i, numbers, live[i], few=False) for i, numbers in late.items()})
        following = self.looks({i: _following(found[i]) for i in kept})
        kept = {
            i: _with_bins(_with_extremes(_with_moments(numbers, found[i]), live[i], found[i] | following[i]), found[i])
            for i, numbers in kept.items()
        }
        rising = self._rising(kept, rows)
        return dict.fromkeys(self.columns) | {i: replace(n, rising=i in rising) for i, n in kept.items()}

    def _first(self) -> dict[int, dict[str, Any]]:
        """What each column is asked first; of whole numbers that lie close together, how many rows have each value."""
        plain = [i for i, each in self.columns.items() if each.kind == "integer" and _NAME.fullmatch(each.expr)]
        spans = zip(plain, self.engine.spans(self.relation, [self.columns[i].expr for i in plain]), strict=True)
        close = {i for i, span in spans if span is not None and span[1] - span[0] < DISTINCT_KEPT}
        # By themselves: beside lists of extremes DuckDB takes twice as long to count them.
        counted = self.looks({i: {"values": tally("{c}")} for i in close})
        close = {i for i in close if 0 < len(counted[i]["values"] or ()) <= DISTINCT_KEPT}  # a footer may be wrong
        found = self.looks(
            {
                i: _FIRST
                | ({"whole": Term("count_if({c} = trunc({c}))")} if column.kind == "float" else {})
                | ({"all": Term("count({c}_all)")} if column.taken_from else {})
                for i, column in self.columns.items()
                if i not in close
            }
        )
        return {i: _told_by(counted[i]["values"]) if i in close else found[i] for i in self.columns}

    def looks(self, asked: dict[int, dict[str, Term]]) -> dict[int, dict[str, Any]]:
        """Several named aggregates for each of these columns, all in one scan."""
        terms = [term.on(self.columns[i].name) for i, named in asked.items() for term in named.values()]
        answers = iter(self.engine.ask(self.source, terms))
        return {i: {name: next(answers) for name in named} for i, named in asked.items()}

    def _second(self, i: int, numbers: Numbers, first: dict[str, Any], *, few: bool) -> dict[str, Term]:
        """What is asked of a column once its extremes are known; and its quantiles, unless it has few values."""
        if "values" in first:
            return {}
        if few:
            return {"values": tally("{c}")}
        asked = _moments(numbers) | _extremes(first) | _bins(numbers)
        # Whether whole numbers are all different decides what they are, and the estimate may be a fifth off.
        if self.columns[i].kind == "integer" and numbers.distinct >= NEARLY_ALL * numbers.count:
            asked["distinct"] = distinct("{c}")
        return asked

    def _quantiles(self, kept: dict[int, Numbers]) -> dict[int, Numbers]:
        term = quantiles("{c}", SHARES)
        large = [i for i, n in kept.items() if n.count > SAMPLE_ROWS]
        found: dict[int, Any] = {}
        if large:
            names = ", ".join(self.columns[i].name for i in large)
            limit = int(2**64 * SAMPLE_ROWS / 2 / max(kept[i].count for i in large))
            found = self.ask(dict.fromkeys(large, term), where=f"WHERE hash({names}) < {limit}::UBIGINT")
        found |= self.ask({i: term for i in kept if not found.get(i)})
        return {i: replace(kept[i], quantiles=tuple(zip(SHARES, values, strict=True))) for i, values in found.items()}

    def _rising(self, kept: dict[int, Numbers], rows: int) -> set[int]:
        """The columns that grow with the row order: a piece of the rows after another, both ends of their range rise.

        Values that do not follow the order would have to fall so by chance in 20 pieces. A few late rows hide nothing
        but in the piece that they are in. What reaches its last hundredth in the first rows already does not rise.
        Counters of many devices, mixed, rise so too: from piece to piece, though the last row may have less than the first.
        """
        varied = [i for i, numbers in kept.items() if numbers.minimum < numbers.maximum and numbers.count >= PIECES]
        if not varied or rows < PIECES:
            return set()
        begun = self.ask(dict.fromkeys(varied, Term("max({c})", "greatest")), limit=min(FIRST_ROWS, rows // PIECES))
        varied = [
            i
            for i in varied
            if begun[i] is None or (begun[i] < kept[i].maximum and begun[i] <= dict(kept[i].quantiles)[0.99])
        ]
        if not varied:
            return set()
        pieces = self.engine.ends(self.source, [self.columns[i].name for i in varied], rows, PIECES)
        rising = set()
        for at, i in enumerate(varied):
            ends = [(piece[2 * at], piece[2 * at + 1]) for piece in pieces if piece[2 * at] is not None]
            if len(ends) < PIECES // 2:
                continue
            if _rise(ends):
                rising.add(i)
        return rising


def _rise(ends: Sequence[tuple[Any, Any]]) -> bool:
    """Whether both ends of the pieces rise: by more than a piece is wide, or each time."""
    pairs = list(pairwise(ends))
    if ends[-1][0] > ends[0][1]:
        return all(a[0] <= b[0] and a[1] <= b[1] for a, b in pairs)
    return all(a[0] < b[0] and a[1] < b[1] for a, b in pairs)


# ---- what is asked of a column, and what becomes of the answers


def _told_by(values: dict[Number, int]) -> dict[str, Any]:
    """The answers to what is asked first, from how many rows have each value."""
    return {
        "n": sum(values.values()),
        "top": [max(values)],
        "bottom": [min(values)],
        "distinct": len(values),
        "values": values,
    }


def _moments(numbers: Numbers) -> dict[str, Term]:
    """For the mean, fractions of the largest; for the deviation, fractions of half the range, and their squares."""
    scale, (middle, reach) = _scale(numbers), _reach(numbers)
    asked = {"sum": Term(f"sum(({{c}} / {literal(scale)} * {_STEPS})::BIGINT)")}
    if reach > 0:
        steps = f"(({{c}} / 2.0::DOUBLE - {literal(middle)}) / {literal(reach)} * {_SQUARE_STEPS})::BIGINT"
        asked |= {"steps": Term(f"sum({steps})"), "squares": Term(f"sum({steps} * {steps})")}
    return asked


def _scale(numbers: Numbers) -> float:
    return float(max(abs(numbers.minimum), abs(numbers.maximum))) or 1.0


def _reach(numbers: Numbers) -> tuple[float, float]:
    """Half the middle of the range, and a quarter of the range: so the distance between the ends of the doubles is still one."""
    low, high = float(numbers.minimum) / 2, float(numbers.maximum) / 2
    middle = low / 2 + high / 2
    return middle, max(high - middle, middle - low)


def _with_moments(numbers: Numbers, found: dict[str, Any]) -> Numbers:
    if numbers.values is not None:
        return _with_counted_moments(numbers, numbers.values)
    mean = _scale(numbers) * (int(found["sum"]) / numbers.count / _STEPS)
    mean = min(max(mean, float(numbers.minimum)), float(numbers.maximum))
    deviation = 0.0
    if "squares" in found:
        variance = numbers.count * int(found["squares"]) - int(found["steps"]) ** 2
        share = math.sqrt(max(variance, 0) / numbers.count**2) / _SQUARE_STEPS
        deviation = min(2 * (_reach(numbers)[1] * share), sys.float_info.max)
    return replace(numbers, mean=_tidy(mean), deviation=_tidy(deviation))


def _with_counted_moments(numbers: Numbers, values: Sequence[tuple[Number, int]]) -> Numbers:
    scale, (_, reach) = _scale(numbers), _reach(numbers)
    mean = scale * (math.fsum(value / scale * rows for value, rows in values) / numbers.count)
    mean = min(max(mean, float(numbers.minimum)), float(numbers.maximum))
    share = 0.0
    if reach > 0:
        squares = math.fsum(((value / 2 - mean / 2) / (2 * reach)) ** 2 * rows for value, rows in values)
        share = math.sqrt(squares / numbers.count)
    return replace(numbers, mean=_tidy(mean), deviation=_tidy(min(4 * (reach * share), sys.float_info.max)))


def _with_values(numbers: Numbers, found: dict[str, Any]) -> Numbers:
    """With every value and its rows, where they are few; their quantiles come from those."""
    if "values" not in found:
        return replace(numbers, distinct=found.get("distinct", numbers.distinct))
    values = tuple(sorted(found["values"].items()))
    if len(values) > DISTINCT_KEPT:
        return replace(numbers, distinct=len(values))
    return replace(numbers, distinct=len(values), values=values, quantiles=_counted(values, numbers.count))


def _extremes(first: dict[str, Any]) -> dict[str, Term]:
    """Where a list of extremes ends in the middle of a tie, how many rows that has, and what comes next."""
    asked = {}
    ends: tuple[tuple[str, str, str, Whole], ...] = (("top", "max", "<", "greatest"), ("bottom", "min", ">", "least"))
    for end, next_one, beyond, whole in ends:
        if _tallied(first[end], first["n"]) is None:
            last = literal(first[end][EXTREMES - 1])
            asked[end] = Term(f"count_if({{c}} = {last})")
            asked[f"next_{end}"] = Term(f"{next_one}({{c}}) FILTER ({{c}} {beyond} {last})", whole)
    return asked


def _following(found: dict[str, Any]) -> dict[str, Term]:
    """How many rows have what comes next."""
    return {
        f"next_{end}_rows": Term(f"count_if({{c}} = {literal(following)})")
        for end in ("top", "bottom")
        if (following := found.get(f"next_{end}")) is not None
    }


def _with_extremes(numbers: Numbers, first: dict[str, Any], found: dict[str, Any]) -> Numbers:
    if numbers.values is not None:
        return replace(numbers, largest=cut(reversed(numbers.values)), smallest=cut(numbers.values))
    ends = []
    for end in ("top", "bottom"):
        tallied = _tallied(first[end], first["n"])
        if tallied is None:
            tally = Counter(first[end][:EXTREMES])
            tally[first[end][EXTREMES - 1]] = found[end]
            tallied = (*tally.items(), (found[f"next_{end}"], found[f"next_{end}_rows"]))
        ends.append(tallied)
    return replace(numbers, largest=ends[0], smallest=ends[1])


def _tallied(extremes: Sequence[Number], count: int) -> tuple[tuple[Number, int], ...] | None:
    """Sorted extremes of `count` values with their rows, cut; None where the list does not reach far enough."""
    tally = list(Counter(extremes).items())
    if len(extremes) < count:
        tally.pop()  # it may go on beyond the list
    kept = cut(tally)
    reaches = len(extremes) == count or sum(rows for _, rows in kept[:-1]) >= EXTREMES
    return kept if reaches else None


def _bins(numbers: Numbers) -> dict[str, Term]:
    """How many values are at or below each edge."""
    terms = ", ".join(f"count_if({{c}}::DOUBLE <= {literal(edge)})" for edge in _edges(numbers))
    return {"below": Term(f"[{terms}]", "sums")} if terms else {}


def _edges(numbers: Numbers) -> tuple[float, ...]:
    quantile = dict(numbers.quantiles)
    cut = {float(quantile[share]) for share in DECILES}
    return tuple(edge for edge in sorted(cut) if edge < float(numbers.maximum))


def _with_bins(numbers: Numbers, found: dict[str, Any]) -> Numbers:
    edges = _edges(numbers)
    if numbers.values is not None:
        below = [sum(rows for value, rows in numbers.values if float(value) <= edge) for edge in edges]
    else:
        below = found.get("below", [])
    steps = [0, *below, numbers.count]
    return replace(numbers, edges=edges, counts=tuple(b - a for a, b in pairwise(steps)))


def cut(values: Iterable[tuple[Number, int]]) -> tuple[tuple[Number, int], ...]:
    """The first values that make 401 rows, and one more."""
    kept: list[tuple[Number, int]] = []
    rows = 0
    for value, count in values:
        kept.append((value, count))
        if rows >= EXTREMES:
            break
        rows += count
    return tuple(kept)


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


def _tidy(value: float) -> float:
    return float(f"{value:.12g}")
