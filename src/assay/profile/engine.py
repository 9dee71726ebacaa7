"""What a profile asks, and who answers it: DuckDB of all rows at once, or another engine of their parts.

Every question is DuckDB's SQL over a relation: what stands in a FROM clause. An engine that has the rows in parts asks each
part the same, and needs to know how their answers make that of the whole: each aggregate says it (`Term.whole`). So two
engines give the same figures, and not figures that were worked out twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    import duckdb

__all__ = [
    "COUNT",
    "Duck",
    "Engine",
    "KeyType",
    "Row",
    "Term",
    "Whole",
    "distinct",
    "estimate",
    "extremes",
    "quantiles",
    "tally",
]

#: How answers of parts make that of the whole: added, also list by list or value by value; the least or the greatest of them;
#: the first of all their lists, ascending or descending; or from what only the rows know: `distinct`, `estimate`, `quantiles`.
Whole: TypeAlias = Literal[
    "sum", "sums", "tally", "least", "greatest", "lowest", "highest", "distinct", "estimate", "quantiles"
]
KeyType: TypeAlias = Literal["VARCHAR", "BIGINT"]
Row: TypeAlias = tuple[Any, ...]

_serial = count()


@dataclass(frozen=True, slots=True)
class Term:
    """An aggregate in SQL, `{c}` standing for a column.

    `of` is what it is taken of and `shares` what is asked of it, where `whole` needs those by themselves; `depth` is how long a
    list of extremes may be.
    """

    sql: str
    whole: Whole = "sum"
    of: str = ""
    shares: tuple[float, ...] = ()
    depth: int = 0

    def on(self, column: str) -> Term:
        """The same, of this column."""
        return replace(self, sql=self.sql.replace("{c}", column), of=self.of.replace("{c}", column))


COUNT: Final = Term("count({c})")


def distinct(of: str) -> Term:
    """How many values differ."""
    return Term(f"count(DISTINCT {of})", "distinct", of)


def estimate(of: str) -> Term:
    """About how many values differ: of HyperLogLog (Flajolet et al. 2007) with 1,024 registers, a standard error of 3%."""
    return Term(f"approx_count_distinct({of})", "estimate", of)


def quantiles(of: str, shares: Sequence[float]) -> Term:
    """The smallest values that have at least these shares at or below them. For some 200,000 values at most."""
    return Term(f"quantile_disc({of}, {list(shares)})", "quantiles", of, tuple(shares))


def extremes(of: str, depth: int, *, largest: bool) -> Term:
    """So many of the largest values, descending, or of the smallest, ascending; each as often as rows have it."""
    return Term(f"{'max' if largest else 'min'}({of}, {depth})", "highest" if largest else "lowest", of, depth=depth)


def tally(of: str) -> Term:
    """How many rows have each value."""
    return Term(f"histogram({of})", "tally", of)


class Engine(Protocol):
    """Where the rows are. A relation's rows have an order, and NULLs are in no aggregate."""

    def columns(self, relation: str) -> list[tuple[str, Any]]:
        """Its columns, each with its type, as DuckDB tells it."""

    def ask(self, relation: str, terms: Sequence[Term], *, where: str = "", limit: int | None = None) -> list[Any]:
        """These aggregates over its rows, or over the first of them alone."""

    def spans(self, relation: str, columns: Sequence[str]) -> list[tuple[int, int] | None]:
        """Least and greatest value of columns of whole numbers; None where there is none, or it takes a scan to know."""

    def counted(
        self, relation: str, key: str, key_type: KeyType, *, where: str = "", most: int | None = None
    ) -> list[tuple[Any, int]]:
        """How many rows have each value of an expression, the most frequent first; those that are alike ascend."""

    def first(self, relation: str, exprs: Sequence[str], limit: int) -> list[Row]:
        """The values of expressions in its first rows."""

    def ends(self, relation: str, exprs: Sequence[str], rows: int, pieces: int) -> list[Row]:
        """Least and greatest value of each expression in each of so many pieces that `rows` rows are cut into, in order."""

    def held(self, query: str) -> AbstractContextManager[str]:
        """A relation of what this query finds, that may be asked more than once."""


class Duck:
    """All rows in DuckDB's hand."""

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        self.con = con

    def columns(self, relation: str) -> list[tuple[str, Any]]:
        """See `Engine`."""
        return [column[:2] for column in self.con.execute(f"SELECT * FROM {relation} LIMIT 0").description or []]

    def ask(self, relation: str, terms: Sequence[Term], *, where: str = "", limit: int | None = None) -> list[Any]:
        """See `Engine`."""
        if not terms:
            return []
        source = relation if limit is None else f"(FROM {relation} LIMIT {limit})"
        row = self.con.execute(f"SELECT {', '.join(term.sql for term in terms)} FROM {source} {where}").fetchone()
        assert row is not None
        return list(row)

    def spans(self, relation: str, columns: Sequence[str]) -> list[tuple[int, int] | None]:
        """See `Engine`. A Parquet file's footer says it, and in memory it is had for a tenth of what a scan takes."""
        if not columns:
            return []
        ends = self.con.execute(
            f"SELECT {', '.join(f'min({column}), max({column})' for column in columns)} FROM {relation}"
        ).fetchone()
        assert ends is not None
        return [None if low is None else (low, high) for low, high in zip(ends[::2], ends[1::2], strict=True)]

    def counted(
        self, relation: str, key: str, key_type: KeyType, *, where: str = "", most: int | None = None
    ) -> list[tuple[Any, int]]:
        """See `Engine`."""
        limit = "" if most is None else f"LIMIT {most}"
        return self.con.execute(
            f"SELECT k, n FROM (SELECT ({key})::{key_type} AS k, count(*) AS n FROM {relation} {where} GROUP BY 1)"
            f" ORDER BY n DESC, k {limit}"
        ).fetchall()

    def first(self, relation: str, exprs: Sequence[str], limit: int) -> list[Row]:
        """See `Engine`."""
        return self.con.execute(f"SELECT {', '.join(exprs)} FROM {relation} LIMIT {limit}").fetchall()

    def ends(self, relation: str, exprs: Sequence[str], rows: int, pieces: int) -> list[Row]:
        """See `Engine`."""
        return self.con.execute(
            f"SELECT {', '.join(f'min(e{i}), max(e{i})' for i in range(len(exprs)))} FROM "
            f"(SELECT {', '.join(f'{expr} AS e{i}' for i, expr in enumerate(exprs))},"
            f" (row_number() OVER () - 1) * {pieces} // {rows} AS piece FROM {relation}) GROUP BY piece ORDER BY piece"
        ).fetchall()

    @contextmanager
    def held(self, query: str) -> Iterator[str]:
        """A temporary table: what is dear to find is found once."""
        name = f"temp._assay_profile_{next(_serial)}"
        self.con.execute(f"CREATE TEMP TABLE {name.removeprefix('temp.')} AS {query}")
        try:
            yield name
        finally:
            self.con.execute(f"DROP TABLE {name}")
