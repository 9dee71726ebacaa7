"""From a contract's fields to the columns of its table."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from assay.contract.document import Contract, Field
from assay.sql import quoted

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["META_COLUMNS", "Column", "columns", "sql_type"]

#: The columns that assay adds behind a contract's own: name, SQL type.
META_COLUMNS: Final = (
    ("_collected_at", "TIMESTAMPTZ"),
    ("_source", "VARCHAR"),
    ("_contract", "INTEGER"),
    ("_violations", "JSON"),
    ("_extra", "JSON"),
)

_BY_TYPE: Final = {"boolean": "BOOLEAN", "integer": "BIGINT", "number": "DOUBLE", "string": "VARCHAR"}


@dataclass(frozen=True, slots=True)
class Column:
    """A field that has a column of its own. `kind` is an SQL type's name, `STRUCT` or `LIST`, then with `children`."""

    field: Field
    kind: str
    children: tuple[Column, ...] = ()

    @property
    def name(self) -> str:
        """The field's name: the column's too, unless an older column of that name holds another type."""
        return self.field.name

    def arrow_type(self) -> pa.DataType:
        """The Arrow type that goes into the column without a cast that could change a value."""
        import pyarrow as pa

        match self.kind:
            case "STRUCT":
                return pa.struct([(child.name, child.arrow_type()) for child in self.children])
            case "LIST":
                return pa.list_(self.children[0].arrow_type())
            case "BOOLEAN":
                return pa.bool_()
            case "BIGINT":
                return pa.int64()
            case "DOUBLE":
                return pa.float64()
            case "TIMESTAMPTZ":
                return pa.timestamp("us", tz="UTC")
            case _:
                return pa.string()


def columns(contract: Contract) -> tuple[Column, ...]:
    """The columns of a contract's table, in the order of the document, assay's own apart.

    A field has none where its name cannot be a column's (empty, with a NUL, beginning with `_`) or equals another's but
    for case: it lives in `_extra`.
    """
    return _columns(contract.fields)


def sql_type(column: Column) -> str:
    """The column's type as DuckDB writes it."""
    match column.kind:
        case "STRUCT":
            inner = ", ".join(f"{quoted(child.name)} {sql_type(child)}" for child in column.children)
            return f"STRUCT({inner})"
        case "LIST":
            return f"{sql_type(column.children[0])}[]"
        case _:
            return column.kind


def _columns(fields: tuple[Field, ...]) -> tuple[Column, ...]:
    taken: set[str] = set()
    found = []
    for field in fields:
        key = field.name.casefold()
        if not field.name or field.name.startswith("_") or "\0" in field.name or key in taken:
            continue
        taken.add(key)
        found.append(_column(field))
    return tuple(found)


def _column(field: Field) -> Column:
    types = field.types or _types_of(field.enum)
    if types == {"integer", "number"}:
        types = frozenset({"number"})
    if len(types) != 1:
        return Column(field, "JSON")
    (kind,) = types
    if kind == "object":
        children = _columns(field.properties)
        return Column(field, "STRUCT", children) if children else Column(field, "JSON")
    if kind == "array":
        return Column(field, "LIST", (_column(field.items),)) if field.items else Column(field, "JSON")
    if kind == "string" and field.format == "date-time":
        return Column(field, "TIMESTAMPTZ")
    return Column(field, _BY_TYPE[kind])


def _types_of(values: tuple[Any, ...] | None) -> frozenset[str]:
    """The JSON types that an enumeration without a type admits."""
    names = {bool: "boolean", str: "string", dict: "object", list: "array"}
    found = set()
    for value in values or ():
        if isinstance(value, int | float) and not isinstance(value, bool):
            found.add("integer" if math.isfinite(value) and value == int(value) else "number")
        elif value is not None:
            found.add(names[type(value)])
    return frozenset(found)
