"""Relations between two or more fields that held on every row: candidates from a sample, then one scan over all rows.

A relation is only worth saying if it is no accident: what two unrelated fields of the same spread would break in many
rows, and these never do. So it is asked of a sample how many rows would break it if its columns were shuffled.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final, Literal, TypeAlias

from assay.contract.relations import NEAR, Relation
from assay.contract.relations import Kind as RelationKind
from assay.profile.engine import Engine, Term

__all__ = ["Related", "find"]

Kind: TypeAlias = Literal["number", "moment", "day", "other"]
_Sample: TypeAlias = dict[str, Sequence[float | None]]

#: So few rows show no relation.
NEEDED: Final = 1_000
#: A relation that fewer rows would break by chance says too little.
BY_CHANCE: Final = 0.05
#: Without a word that their names share, and not being times, two numbers must be equal in so many rows to be ordered.
MEETING: Final = 0.001
SAMPLE_ROWS: Final = 2_000
#: Of each kind, so that neither a wide table nor a reader has too much of them.
KEPT: Final = 20
COLUMNS_KEPT: Final = 40
#: Columns that sums are looked for among, and how many parts they may have.
ADDENDS: Final = 16
PARTS: Final = 3
#: Sums of fewer different values may be an accident.
SOME_VALUES: Final = 20
#: Missing so seldom, or there so seldom, fields may well be missing together by chance.
SELDOM: Final = 20


@dataclass(frozen=True, slots=True)
class Related:
    """A field that relations are looked for with: its SQL expression, what its values are, how many rows lack it.

    `double` is the expression of its values as doubles, where they can be compared.
    """

    name: str
    expr: str
    kind: Kind
    absent: int
    double: str = ""


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A relation that no row of the sample breaks, and the SQL of what would."""

    kind: RelationKind
    fields: tuple[Related, ...]
    by_chance: float

    @property
    def breaks(self) -> str:
        first, *others = (field.expr for field in self.fields)
        match self.kind:
            case "order":
                return f"{first} > {others[0]}"
            case "equal":
                return f"{first} <> {others[0]}"
            case "sum":
                parts = [f"{expr}::DOUBLE" for expr in others]
                most = ", ".join(f"abs({expr})" for expr in [f"{first}::DOUBLE", *parts])
                return f"abs({first}::DOUBLE - ({' + '.join(parts)})) > {NEAR} * greatest({most})"
            case _:
                return " OR ".join(f"({first} IS NULL) <> ({other} IS NULL)" for other in others)

    @property
    def counts(self) -> str:
        """The SQL of the rows that it speaks of."""
        if self.kind == "together":
            return "true"
        return " AND ".join(f"{field.expr} IS NOT NULL" for field in self.fields)


def find(engine: Engine, relation: str, fields: Sequence[Related], rows: int) -> tuple[Relation, ...]:
    """The relations that no row of a relation (what stands in a FROM clause) breaks."""
    fields = fields[:COLUMNS_KEPT]
    if rows < NEEDED or len(fields) < 2:
        return ()
    candidates = [*_together(fields, rows), *_compared(engine, relation, fields)]
    if not candidates:
        return ()
    asked = [sql for each in candidates for sql in (each.counts, each.breaks)]
    row = engine.ask(relation, [Term(f"count_if({sql})") for sql in asked])
    found = [
        Relation(
            each.kind,
            tuple(field.name for field in each.fields),
            seen,
            float(f"{each.by_chance:.3g}"),
            each.fields[0].absent if each.kind == "together" else 0,
        )
        for each, seen, broken in zip(candidates, row[::2], row[1::2], strict=True)
        if not broken and seen >= NEEDED
    ]
    ordered = {each.fields for each in found if each.kind == "order"}
    # What follows from two others need not be said.
    implied = {(a, d) for a, b in ordered for c, d in ordered if b == c}
    return tuple(each for each in found if each.kind != "order" or each.fields not in implied)


def _together(fields: Sequence[Related], rows: int) -> list[_Candidate]:
    """Fields that are missing in as many rows: it may be the same ones."""
    groups: dict[int, list[Related]] = {}
    for field in fields:
        if SELDOM <= field.absent <= rows - SELDOM:
            groups.setdefault(field.absent, []).append(field)
    found = []
    for absent, group in groups.items():
        if len(group) > 1:
            share = absent / rows
            found.append(_Candidate("together", tuple(group), 2 * share * (1 - share)))
    return found[:KEPT]


def _compared(engine: Engine, relation: str, fields: Sequence[Related]) -> list[_Candidate]:
    """Ordered pairs and sums in a sample."""
    comparable = [field for field in fields if field.double]
    if len(comparable) < 2:
        return []
    found = engine.first(relation, [field.double for field in comparable], SAMPLE_ROWS)
    sample: _Sample = dict(zip((field.name for field in comparable), zip(*found, strict=True), strict=True))
    varied = [field for field in comparable if len(set(sample[field.name]) - {None}) > 1]
    sums = _sums([field for field in varied if field.kind == "number"], sample)
    # What a part and its sum are to each other is said by the sum.
    said = {frozenset((each.fields[0].name, part.name)) for each in sums for part in each.fields[1:]}
    return [*_ordered(varied, sample, said), *sums]


def _ordered(fields: Sequence[Related], sample: _Sample, said: set[frozenset[str]]) -> list[_Candidate]:
    found = []
    for one, other in combinations(fields, 2):
        if one.kind != other.kind or frozenset((one.name, other.name)) in said:
            continue
        is_above, is_below = _order(sample[one.name], sample[other.name])
        if is_above and is_below:
            continue
        pairs = zip(sample[one.name], sample[other.name], strict=True)
        both = [(a, b) for a, b in pairs if a is not None and b is not None]
        if len(both) < SAMPLE_ROWS // 20:
            continue
        if not (is_above or is_below):
            alike = _shares(*zip(*both, strict=True))[1]
            found.append(_Candidate("equal", (one, other), 1 - alike))
            continue
        low, high = (other, one) if is_above else (one, other)
        meeting = sum(a == b for a, b in both) / len(both)
        if one.kind != "number" or meeting >= MEETING or _words(one.name) & _words(other.name):
            lows, highs = zip(*((b, a) if is_above else (a, b) for a, b in both), strict=True)
            above, _ = _shares(lows, highs)
            if above >= BY_CHANCE:
                found.append(_Candidate("order", (low, high), above))
    return sorted(found, key=lambda each: -each.by_chance)[:KEPT]


def _order(some: Sequence[float | None], others: Sequence[float | None]) -> tuple[bool, bool]:
    """Whether some value is above the other of its row, and whether one is below: of most pairs a few rows tell both."""
    is_above = is_below = False
    for a, b in zip(some, others, strict=True):
        if a is not None and b is not None:
            is_above = is_above or a > b
            is_below = is_below or a < b
            if is_above and is_below:
                break
    return is_above, is_below


def _shares(some: Sequence[float], others: Sequence[float]) -> tuple[float, float]:
    """Of all pairs of one of some and one of the others, the shares in which the first is larger, and in which they are equal."""
    ordered = sorted(others)
    larger = equal = 0
    for value in some:
        below = bisect_left(ordered, value)
        larger += below
        equal += bisect_right(ordered, value) - below
    pairs = len(some) * len(others)
    return larger / pairs, equal / pairs


def _sums(fields: Sequence[Related], sample: _Sample) -> list[_Candidate]:
    """Columns that are the sum of two or three others, in every row of the sample that has them all."""
    named = {field.name: field for field in fields[:ADDENDS]}
    # A part that is nearly always 0 adds nothing to what is said.
    parts = [name for name in named if sum(map(bool, sample[name])) >= SAMPLE_ROWS // 100]
    found: list[_Candidate] = []
    taken: set[frozenset[str]] = set()
    for count in range(2, PARTS + 1):
        for some in combinations(parts, count):
            for name, field in named.items():
                members = frozenset((name, *some))
                if name in some or any(earlier <= members for earlier in taken):
                    continue
                there = _adding_up(sample[name], [sample[part] for part in some])
                if len(there) < SAMPLE_ROWS // 20 or len(set(there)) < SOME_VALUES:
                    continue
                taken.add(members)
                alike = _shares(there, there)[1]
                found.append(_Candidate("sum", (field, *(named[part] for part in some)), 1 - alike))
    return found[:KEPT]


def _adding_up(totals: Sequence[float | None], parts: Sequence[Sequence[float | None]]) -> list[float]:
    """The totals of the rows that have all parts, if those add up to them in every one; else none."""
    there: list[float] = []
    for total, *row in zip(totals, *parts, strict=True):
        present = [value for value in row if value is not None]
        if total is None or len(present) < len(row):
            continue
        if abs(total - sum(present)) > NEAR * max(map(abs, (total, *present))):
            return []
        there.append(total)
    return there


_WORD: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
#: Words that say nothing of what is measured.
_SHALLOW: Final = frozenset(
    ("id", "num", "number", "count", "value", "val", "is", "the", "of", "n", "x", "y", "c", "f")
)


def _words(name: str) -> frozenset[str]:
    """The words of a name that say what it is of."""
    return frozenset(word.lower() for word in _WORD.findall(name) if len(word) > 1) - _SHALLOW
