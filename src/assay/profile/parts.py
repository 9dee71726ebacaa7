"""Rows that lie in parts: each part is asked by itself, and the answers make that of the whole.

Nothing of a row leaves its part but what an answer holds: counts, extremes, the registers of an estimate, the hashed sample that
quantiles are taken from. The whole is what DuckDB would say of all rows at once, figure by figure, however they are cut.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final

from assay.profile.engine import Duck, KeyType, Row, Term, quantiles
from assay.profile.measure import FIRST_ROWS

if TYPE_CHECKING:
    import duckdb

__all__ = ["HEAD_ROWS", "ROWS", "START", "Parted"]

#: What the rows of a part are called in SQL; on the driver the first rows of all are called so.
ROWS: Final = "parted_rows"
#: So many rows any question that speaks of the first rows is answered from.
HEAD_ROWS: Final = FIRST_ROWS
#: Stands in SQL for how many rows of the relation there are before those of a run.
START: Final = "{start}"


class Parted(ABC):
    """An engine whose rows are in parts; `head` is a DuckDB that has the first of them, in order, as `parted_rows`."""

    def __init__(self, head: duckdb.DuckDBPyConnection) -> None:
        self.head = Duck(head)

    @abstractmethod
    def answers(self, sql: str) -> list[Row]:
        """The one row that a query gives in each part, in no order."""

    @abstractmethod
    def runs(self, sql: str, starts: Sequence[int] = ()) -> list[list[Row]]:
        """The rows that a query gives in each run, the runs in the order of their rows.

        A run is a piece of a part whose rows follow one another. With `starts` each has its own in the place of `START`.
        """

    @abstractmethod
    def summed(self, sql: str, key_type: KeyType, most: int | None) -> list[tuple[Any, int]]:
        """The columns `k` and `n` of a query in each part, `n` summed up by `k`: the largest first, and `k` ascending."""

    @abstractmethod
    def different(self, sql: str) -> int:
        """How many values of a text `k`, which a query finds in each part, differ."""

    def columns(self, relation: str) -> list[tuple[str, Any]]:
        """See `Engine`."""
        return self.head.columns(relation)

    def ask(self, relation: str, terms: Sequence[Term], *, where: str = "", limit: int | None = None) -> list[Any]:
        """See `Engine`."""
        if limit is not None:
            return self.head.ask(relation, terms, where=where, limit=limit)
        asked = [term for term in terms if term.whole != "distinct"]
        rows = self.answers(f"SELECT {', '.join(map(_of_part, asked))} FROM {relation} {where}") if asked else []
        answers = iter(zip(*rows, strict=True)) if rows else iter(())
        found = []
        for term in terms:
            if term.whole == "distinct":
                condition = f"{where} AND" if where else "WHERE"
                found.append(
                    self.different(
                        f"SELECT ({term.of})::VARCHAR AS k FROM {relation} {condition} {term.of} IS NOT NULL"
                    )
                )
            elif rows:
                found.append(self._whole(term, next(answers)))
            else:  # there are no parts, and so no first rows either
                found += self.head.ask(relation, [term], where=where)
        return found

    def spans(self, relation: str, columns: Sequence[str]) -> list[tuple[int, int] | None]:  # noqa: ARG002
        """See `Engine`. Each part would have to be asked."""
        return [None] * len(columns)

    def counted(
        self, relation: str, key: str, key_type: KeyType, *, where: str = "", most: int | None = None
    ) -> list[tuple[Any, int]]:
        """See `Engine`."""
        sql = f"SELECT ({key})::{key_type} AS k, count(*) AS n FROM {relation} {where} GROUP BY 1"
        return self.summed(sql, key_type, most)

    def first(self, relation: str, exprs: Sequence[str], limit: int) -> list[Row]:
        """See `Engine`. Of a relation that takes rows apart, what the first 2,048 come to at most."""
        return self.head.first(relation, exprs, limit)

    def ends(self, relation: str, exprs: Sequence[str], rows: int, pieces: int) -> list[Row]:
        """See `Engine`."""
        counts = [run[0][0] for run in self.runs(f"SELECT count(*) FROM {relation}")]
        named = ", ".join(f"{expr} AS e{i}" for i, expr in enumerate(exprs))
        asked = ", ".join(f"min(e{i}), max(e{i})" for i in range(len(exprs)))
        position = f"(row_number() OVER () - 1 + {START}) * {pieces} // {rows}"
        found = self.runs(
            f"SELECT piece, {asked} FROM (SELECT {named}, {position} AS piece FROM {relation}) GROUP BY piece",
            list(accumulate(counts, initial=0))[:-1],
        )
        by_piece: dict[int, list[Row]] = {}
        for run in found:
            for piece, *row in run:
                by_piece.setdefault(piece, []).append(tuple(row))
        return [
            tuple(
                None if not (known := [value for value in values if value is not None]) else choose(known)
                for values, choose in zip(zip(*some, strict=True), (min, max) * len(exprs), strict=True)
            )
            for _, some in sorted(by_piece.items())
        ]

    @contextmanager
    def held(self, query: str) -> Iterator[str]:
        """See `Engine`. Each part finds it anew: nothing is left behind there."""
        yield f"({query})"

    def _whole(self, term: Term, answers: Sequence[Any]) -> Any:
        known = [answer for answer in answers if answer is not None]
        if not known:
            return None
        match term.whole:
            case "sum":
                return sum(known)
            case "sums":
                return [sum(value or 0 for value in each) for each in zip(*known, strict=True)]
            case "least":
                return min(known)
            case "greatest":
                return max(known)
            case "lowest" | "highest":
                return sorted((value for each in known for value in each), reverse=term.whole == "highest")[
                    : term.depth
                ]
            case "tally":
                tallied: Counter[Any] = Counter()
                for each in known:
                    tallied.update(each)
                return dict(tallied)
            case "estimate":
                return self._estimate(known)
            case _:
                return self._quantiles(term, [value for each in known for value in each])

    def _estimate(self, states: Sequence[Any]) -> int:
        row = self.head.con.execute(
            "SELECT finalize(combine_aggr(to_aggregate_state(s, 'approx_count_distinct', ['BIGINT']))) FROM"
            ' (SELECT unnest(?::STRUCT("precision" UTINYINT, registers UTINYINT[])[]) AS s)',
            [states],
        ).fetchone()
        assert row is not None
        return int(row[0])

    def _quantiles(self, term: Term, values: Sequence[Any]) -> Any:
        if not values:
            return None
        kind = "DOUBLE" if isinstance(values[0], float) else "HUGEINT"
        asked = quantiles("v", term.shares).sql
        row = self.head.con.execute(f"SELECT {asked} FROM (SELECT unnest(?::{kind}[]) AS v)", [values]).fetchone()
        assert row is not None
        return row[0]


def _of_part(term: Term) -> str:
    """What a part is asked, so that the whole can be told."""
    if term.whole == "estimate":
        return f"{term.sql} EXPORT_STATE"
    if term.whole == "quantiles":
        return f"list({term.of}) FILTER ({term.of} IS NOT NULL)"
    return term.sql
