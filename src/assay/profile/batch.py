"""Everything that is to be known of a relation, asked together: few scans, however many columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeAlias

from assay.profile import formats, shapes
from assay.profile.document import Numbers, Strings
from assay.profile.measure import DISTINCT_KEPT, NEARLY_ALL, Column, Columns, Kind

if TYPE_CHECKING:
    import duckdb

__all__ = ["Batch", "Progress"]

#: Told the share that is done, in [0, 1].
Progress: TypeAlias = Callable[[float], object]

COMMON_KEPT: Final = 100
LONGEST_VALUE: Final = 200
COLUMNS_AT_ONCE: Final = 24


class Batch:
    """The columns of one relation that are to be measured together.

    `ask` takes an SQL expression over the relation and gives a number to fetch its result by, after `run`.
    """

    def __init__(self, con: duckdb.DuckDBPyConnection, relation: str, rows: int, *, received: str = "") -> None:
        """`received` is SQL for when a row came, in seconds since 1970; empty: that is not known."""
        self.con = con
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
            row = self.con.execute(f"SELECT min({self.received}), max({self.received}) FROM {self.relation}").fetchone()
            self._span = (0.0, 0.0) if row is None or row[0] is None else (float(row[0]), float(row[1]))
        return self._span

    def ask(self, expr: str, kind: Kind) -> int:
        """Measure this expression, too."""
        self.columns.append(Column(f"c{len(self.columns)}", expr, kind))
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
            self.numbers |= Columns(self.con, self.relation, numeric).numbers(self.rows)
            self._run_others(others)
            if progress is not None:
                # What is nested comes after.
                progress(0.9 * min(1.0, (start + COLUMNS_AT_ONCE) / len(self.columns)))
        for i, strings in self.strings.items():
            if strings is not None and not strings.temporal:
                self.strings[i] = replace(strings, lengths=self.numbers[i + 1])

    def _run_others(self, columns: dict[int, Column]) -> None:
        measured = Columns(self.con, self.relation, columns)
        asked = {
            "boolean": "count_if({c})",
            "temporal": "approx_count_distinct({c})",
            "text": "[approx_count_distinct({c})::VARCHAR, min({c}), max({c})]",
        }
        counts = measured.ask(dict.fromkeys(columns, "count({c})"))
        found = measured.ask({i: asked[column.kind] for i, column in columns.items() if column.kind != "count"})
        for i, column in columns.items():
            self.counts[i] = counts[i]
            if column.kind == "boolean":
                self.true[i] = found[i]
            elif column.kind == "temporal":
                self.strings[i] = Strings(counts[i], min(found[i], counts[i]), temporal=True) if counts[i] else None
            elif column.kind == "text":
                self.strings[i] = self._text(column, counts[i], found[i])

    def _text(self, column: Column, count: int, found: Sequence[str]) -> Strings | None:
        if not count:
            return None
        distinct = min(int(found[0]), count)
        if distinct > DISTINCT_KEPT and distinct >= NEARLY_ALL * count:
            row = self.con.execute(f"SELECT count(DISTINCT {column.expr}) FROM {self.relation}").fetchone()
            assert row is not None
            distinct = row[0]
        values: list[tuple[str, int]] = []
        complete = False
        if distinct <= max(DISTINCT_KEPT, 0.9 * count):
            values = self.con.execute(
                f"SELECT v, n FROM (SELECT {column.expr} AS v, count(*) AS n FROM {self.relation} GROUP BY 1) "
                f"WHERE v IS NOT NULL AND length(v) <= {LONGEST_VALUE} ORDER BY n DESC, v LIMIT {DISTINCT_KEPT + 1}"
            ).fetchall()
            complete = len(values) <= DISTINCT_KEPT and sum(rows for _, rows in values) == count
        if complete:
            distinct = len(values)
        else:
            values = values[:COMMON_KEPT]
        formatted = formats.counted(self.con, self.relation, column.expr, found[1:])
        return Strings(
            count=count,
            distinct=distinct,
            values=tuple(values),
            complete=complete,
            formats=formatted,
            shapes=() if count in formatted.values() else shapes.counted(self.con, self.relation, column.expr),
        )
