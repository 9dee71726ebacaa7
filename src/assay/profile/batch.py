"""Everything that is to be known of a relation, asked together: few scans, however many columns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, TypeAlias

from assay.profile import formats, shapes
from assay.profile.document import Numbers, Strings
from assay.profile.engine import COUNT, Engine, Term, distinct, estimate
from assay.profile.measure import DISTINCT_KEPT, NEARLY_ALL, Column, Columns, Kind

__all__ = ["Batch", "Progress"]

#: Told the share that is done, in [0, 1].
Progress: TypeAlias = Callable[[float], object]

COMMON_KEPT: Final = 100
LONGEST_VALUE: Final = 200
COLUMNS_AT_ONCE: Final = 24
#: What is asked of a column that holds no numbers, besides in how many rows there is something.
_ASKED: Final[dict[Kind, dict[str, Term]]] = {
    "boolean": {"true": Term("count_if({c})")},
    "temporal": {"distinct": estimate("{c}")},
    "text": {
        "distinct": estimate("{c}"),
        "first": Term("min({c})", "least"),
        "last": Term("max({c})", "greatest"),
    },
}


class Batch:
    """The columns of one relation that are to be measured together.

    `ask` takes an SQL expression over the relation and gives a number to fetch its result by, after `run`.
    """

    def __init__(self, engine: Engine, relation: str, rows: int, *, received: str = "") -> None:
        """`received` is SQL for when a row came, in seconds since 1970; empty: that is not known."""
        self.engine = engine
        self.received = received
        self._span: tuple[float, float] | None = None
        self.relation = relation
        self.rows = rows
        self.columns: list[Column] = []
        self.counts: dict[int, int] = {}
        self.numbers: dict[int, Numbers | None] = {}
        self.strings: dict[int, Strings | None] = {}
        self.true: dict[int, int] = {}

    def span(self) -> tuple[float, float]:
        """When the first row came and when the last, Unix time."""
        if self._span is None:
            terms = [Term(f"min({self.received})", "least"), Term(f"max({self.received})", "greatest")]
            first, last = self.engine.ask(self.relation, terms)
            self._span = (0.0, 0.0) if first is None else (float(first), float(last))
        return self._span

    def ask(self, expr: str, kind: Kind, taken_from: str = "") -> int:
        """Measure this expression, too; see `Column`."""
        self.columns.append(Column(f"c{len(self.columns)}", expr, kind, taken_from))
        if kind == "text":
            # The lengths of strings are numbers like any other. They come right behind.
            self.columns.append(Column(f"c{len(self.columns)}", f"length({expr})", "integer"))
            return len(self.columns) - 2
        return len(self.columns) - 1

    def run(self, progress: Progress | None = None) -> None:
        """Measure all that was asked."""
        for start in range(0, len(self.columns), COLUMNS_AT_ONCE):
            part = self.columns[start : start + COLUMNS_AT_ONCE]
            numeric = {start + i: column for i, column in enumerate(part) if column.kind in {"integer", "float"}}
            others = {start + i: column for i, column in enumerate(part) if start + i not in numeric}
            self.numbers |= Columns(self.engine, self.relation, numeric).numbers(self.rows)
            self._run_others(others)
            if progress is not None:
                # What is nested comes after.
                progress(0.9 * min(1.0, (start + COLUMNS_AT_ONCE) / len(self.columns)))
        for i, strings in self.strings.items():
            if strings is not None and not strings.temporal:
                self.strings[i] = replace(strings, lengths=self.numbers[i + 1])

    def _run_others(self, columns: dict[int, Column]) -> None:
        measured = Columns(self.engine, self.relation, columns)
        found = measured.looks({i: {"count": COUNT} | _ASKED.get(column.kind, {}) for i, column in columns.items()})
        for i, column in columns.items():
            count = self.counts[i] = found[i]["count"]
            if column.kind == "boolean":
                self.true[i] = found[i]["true"]
            elif column.kind == "temporal":
                self.strings[i] = Strings(count, min(found[i]["distinct"], count), temporal=True) if count else None
            elif column.kind == "text":
                self.strings[i] = self._text(column, found[i])

    def _text(self, column: Column, found: dict[str, Any]) -> Strings | None:
        count: int = found["count"]
        if not count:
            return None
        different: int = min(found["distinct"], count)
        if different > DISTINCT_KEPT and different >= NEARLY_ALL * count:
            (different,) = self.engine.ask(self.relation, [distinct(column.expr)])
        values: list[tuple[str, int]] = []
        complete = False
        if different <= max(DISTINCT_KEPT, 0.9 * count):
            kept = f"WHERE {column.expr} IS NOT NULL AND length({column.expr}) <= {LONGEST_VALUE}"
            values = self.engine.counted(self.relation, column.expr, "VARCHAR", where=kept, most=DISTINCT_KEPT + 1)
            complete = len(values) <= DISTINCT_KEPT and sum(rows for _, rows in values) == count
        if complete:
            different = len(values)
        else:
            values = values[:COMMON_KEPT]
        formatted = formats.counted(self.engine, self.relation, column.expr, (found["first"], found["last"]))
        return Strings(
            count=count,
            distinct=different,
            values=tuple(values),
            complete=complete,
            formats=formatted,
            shapes=() if count in formatted.values() else shapes.counted(self.engine, self.relation, column.expr),
        )
