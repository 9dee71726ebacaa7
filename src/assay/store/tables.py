"""Makes and widens a dataset's table, so that it fits a contract and no stored value changes."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Final

import duckdb

from assay.contract.document import Contract
from assay.sql import quoted
from assay.store.columns import META_COLUMNS, Column, columns, sql_type

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

__all__ = ["Tables", "later_columns"]

_EXACT_INTEGER: Final = 2**53
_LATER: Final = re.compile(r"(.+)_v\d+_*", re.DOTALL)


class Tables:
    """Knows which contracts fit their table already. Forget it when a transaction is undone."""

    def __init__(self) -> None:
        self._normal: dict[str, str] = {}

    def forget(self) -> None:
        """Look at the tables anew."""
        self._normal.clear()

    def fit(self, con: DuckDBPyConnection, contract: Contract, rows: pa.Table) -> Mapping[str, str]:
        """Make the contract's table take these rows of it: the table's column for each field.

        Columns are added, and widened where every stored value stays what it is. Where the table cannot be altered (a
        user's index, a view) or the types do not go together, the field gets a column `<field>_v<n>`.
        """
        table = contract.dataset
        present = _present(con, table)
        wanted = columns(contract)
        if not present:
            parts = [f"{quoted(column.name)} {sql_type(column)}" for column in wanted]
            parts += [f"{name} {kind}" for name, kind in META_COLUMNS]
            con.execute(f"CREATE TABLE {quoted(table)} ({', '.join(parts)})")
            return {column.name: column.name for column in wanted}
        for name, kind in META_COLUMNS:
            if name not in present:
                con.execute(f"ALTER TABLE {quoted(table)} ADD COLUMN {name} {kind}")
        return {column.name: self._place(con, contract, column, present, rows) for column in wanted}

    def _place(
        self, con: DuckDBPyConnection, contract: Contract, column: Column, present: dict[str, str], rows: pa.Table
    ) -> str:
        """The column that takes this field, made or widened when there is none."""
        table = contract.dataset
        kind = self._normalised(con, sql_type(column))
        fields = {field.name.casefold() for field in contract.fields} - {column.name.casefold()}
        candidates = [name for name in _candidates(column.name, present) if name.casefold() not in fields]
        for name in candidates:
            if present[name] == kind:
                return name
        # Rows of an older version may come after a newer one has widened the column.
        for name in candidates:
            if _holds(con, present[name], kind, rows.column(column.name)):
                return name
        own = _same_but_case(column.name, present)
        if own is None:
            return _add(con, table, column.name, kind, present)
        if self._widen(con, table, own, present[own], kind):
            present[own] = kind
            return own
        fresh = f"{column.name}_v{contract.version or 0}"
        while _same_but_case(fresh, present) is not None or fresh.casefold() in fields:
            fresh += "_"
        return _add(con, table, fresh, kind, present)

    def _widen(self, con: DuckDBPyConnection, table: str, name: str, old: str, new: str) -> bool:
        identifier, column = quoted(table), quoted(name)
        if (old, new) == ("BIGINT", "DOUBLE"):
            query = f"SELECT coalesce(max(abs({column}::HUGEINT)), 0) FROM {identifier}"
            ((largest,),) = con.execute(query).fetchall()
            if largest > _EXACT_INTEGER:
                return False
        elif not (old.startswith("STRUCT(") and new.startswith("STRUCT(") and _adds_only(con, old, new)):
            return False
        if _is_depended_upon(con, table, name):
            return False
        con.execute(f"ALTER TABLE {identifier} ALTER COLUMN {column} SET DATA TYPE {new}")
        return True

    def _normalised(self, con: DuckDBPyConnection, kind: str) -> str:
        """The type's name as the catalogue has it."""
        if kind not in self._normal:
            ((self._normal[kind],),) = con.execute(f"SELECT typeof(CAST(NULL AS {kind}))").fetchall()
        return self._normal[kind]


def _present(con: DuckDBPyConnection, table: str) -> dict[str, str]:
    rows = con.execute(
        "SELECT column_name, data_type FROM duckdb_columns() WHERE lower(table_name) = ? AND schema_name = 'main'"
        " AND database_name = current_database() ORDER BY column_index",
        [table],
    ).fetchall()
    return dict(rows)


def later_columns(names: Collection[str]) -> dict[str, str]:
    """Of a table's columns, those that were made for later types of a field: the field's first column by each."""
    found = {}
    for name in names:
        match = _LATER.fullmatch(name)
        own = None if match is None else _same_but_case(match[1], names)
        if own is not None:
            found[name] = own
    return found


def _candidates(name: str, present: Mapping[str, str]) -> list[str]:
    """The columns that a field may already have: its own name, then its later ones, the newest first."""
    later = re.compile(re.escape(name) + r"_v(\d+)_*", re.IGNORECASE)
    found = [(int(match[1]), each) for each in present if (match := later.fullmatch(each))]
    own = _same_but_case(name, present)
    return ([own] if own else []) + [each for _, each in sorted(found, reverse=True)]


def _same_but_case(name: str, present: Collection[str]) -> str | None:
    return next((each for each in present if each.casefold() == name.casefold()), None)


def _add(con: DuckDBPyConnection, table: str, name: str, kind: str, present: dict[str, str]) -> str:
    con.execute(f"ALTER TABLE {quoted(table)} ADD COLUMN {quoted(name)} {kind}")
    present[name] = kind
    return name


def _adds_only(con: DuckDBPyConnection, old: str, new: str) -> bool:
    """Whether every field of one STRUCT stands in the other with the same type."""
    before, after = (dict(_children(con, kind)) for kind in (old, new))
    return all(after.get(name) == kind for name, kind in before.items())


def _children(con: DuckDBPyConnection, kind: str) -> list[tuple[str, str]]:
    children = con.sql(f"SELECT CAST(NULL AS {kind}) AS s").types[0].children
    return [(name, str(child)) for name, child in children]


def _holds(con: DuckDBPyConnection, wide: str, narrow: str, values: pa.ChunkedArray) -> bool:
    """Whether a column of one type takes these values of a narrower one as they are."""
    if (wide, narrow) == ("DOUBLE", "BIGINT"):
        import pyarrow.compute as pc

        ends = pc.min_max(values).as_py()
        return ends["min"] is None or (ends["min"] >= -_EXACT_INTEGER and ends["max"] <= _EXACT_INTEGER)
    return wide.startswith("STRUCT(") and narrow.startswith("STRUCT(") and _adds_only(con, narrow, wide)


def _is_depended_upon(con: DuckDBPyConnection, table: str, column: str) -> bool:
    """Whether a user's index, constraint or view would keep a column from being altered, or break."""
    query = (
        "SELECT (SELECT count(*) FROM duckdb_indexes() WHERE lower(table_name) = $table)"
        " + (SELECT count(*) FROM duckdb_constraints()"
        "    WHERE lower(table_name) = $table AND list_contains(constraint_column_names, $column))"
        " + (SELECT count(*) FROM duckdb_views() WHERE NOT internal AND contains(lower(sql), $table))"
    )
    try:
        ((count,),) = con.execute(query, {"table": table, "column": column}).fetchall()
    except duckdb.Error:
        return True
    return bool(count)
