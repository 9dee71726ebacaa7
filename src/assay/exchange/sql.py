"""Contracts as DDL for DuckDB: a table whose CHECKs give each row the contract's verdict.

The columns are typed as the store's are, but that a text in a format stays text: a TIMESTAMPTZ would be read from more
forms than RFC 3339 has. NULL is null where the contract lets the field be null, and else stands for a missing field.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from assay.contract.document import Contract, Field
from assay.contract.words import rule_in_words
from assay.exchange.carried import Exported
from assay.exchange.conditions import MANY_TYPES, NO_COLUMN, Condition, left_out, may_be_null, passing, rules_below
from assay.exchange.sql_events import macros
from assay.exchange.sql_values import literal_in, of_integer, of_number, of_text
from assay.sql import quoted, sql_text
from assay.store.columns import Column, columns, sql_type

__all__ = ["to_sql"]

_HEAD: Final = """\
-- {contract}, for DuckDB: a table whose CHECKs refuse the rows that the contract refuses, and two macros for events.
-- NULL is null where a field may be null, and else a missing field. DuckDB makes what it is given into a column's type
-- before a CHECK sees it: '12' becomes 12 in a column of numbers, and 1.5 becomes 2 in one of integers. The macros judge
-- events as they are, as JSON:
--   INSERT INTO {table} SELECT unnest(r) FROM (SELECT {row}(json) AS r FROM read_ndjson_objects('events.ndjson'));
"""
_NO_LAMBDA: Final = "a CHECK of DuckDB takes no function over the elements of a list"


def to_sql(contract: Contract) -> Exported:
    """The table of a contract, as one CREATE TABLE."""
    made = {column.name: column for column in columns(contract)}
    lines = []
    checks: list[Condition] = []
    for field in contract.fields:
        column = made.get(field.name)
        if column is None or column.field is not field:
            checks += rules_below(field.name, field, NO_COLUMN)
            continue
        column = _as_text(column)
        own = list(_checks(field.name, field, column, quoted(field.name)))
        checks += own
        needed = " NOT NULL" if field.required and not may_be_null(field) else ""
        ruled = "".join(f"\n    CHECK ({check.text})" for check in own if check.text is not None)
        words = _comment(rule_in_words(field))
        lines.append(f"  -- {words}\n  {quoted(field.name)} {sql_type(column)}{needed}{ruled}")
    unsaid = left_out(checks)
    name = f"{contract.dataset}@{contract.version}" if contract.version else contract.dataset
    head = _HEAD.format(contract=name, table=quoted(contract.dataset), row=quoted(f"{contract.dataset}_row"))
    head += "".join(f"-- Not checked of a row: {_comment(str(each))}.\n" for each in unsaid)
    if not lines:  # a table has a column, a contract need not have a field
        lines.append("  -- the contract describes no field\n  _extra JSON")
    body = ",\n".join(lines)
    table = f"CREATE TABLE {quoted(contract.dataset)} (\n{body}\n);\n"
    return Exported(f"{head}{table}{macros(contract, [_as_text(column) for column in made.values()])}", unsaid)


def _comment(text: str) -> str:
    return "".join(each if each.isprintable() else " " for each in text)


def _as_text(column: Column) -> Column:
    kind = "VARCHAR" if column.kind == "TIMESTAMPTZ" else column.kind
    return replace(column, kind=kind, children=tuple(map(_as_text, column.children)))


# ---- a field's rules, of the values of its column


def _checks(label: str, field: Field, column: Column, x: str) -> Iterator[Condition]:
    if column.kind == "JSON":
        yield from _of_json(label, field, x)
    elif column.kind == "STRUCT":
        yield from _of_struct(label, field, column, x)
    elif column.kind == "LIST":
        yield from _of_list(label, field, column, x)
    elif field.enum is not None:
        yield _listed(label, field, column.kind, x)
    elif column.kind == "VARCHAR":
        yield from of_text(label, field, x)
    elif column.kind == "BIGINT":
        yield from of_integer(label, field, x)
    elif column.kind == "DOUBLE":
        yield Condition(label, "type", f"isfinite({x})")
        yield from of_number(label, field, x)


def _listed(label: str, field: Field, kind: str, x: str) -> Condition:
    values = [text for value in passing(field) if (text := literal_in(value, kind)) is not None]
    return Condition(label, "enum", f"{x} IN ({', '.join(dict.fromkeys(values))})" if values else f"{x} IS NULL")


# ---- what has parts


def _of_struct(label: str, field: Field, column: Column, x: str) -> Iterator[Condition]:
    if field.enum is not None:
        yield Condition(label, "enum", why="objects are not listed in SQL")
        return
    made = {child.name: child for child in column.children}
    for child in field.properties:
        below = f"{label}.{child.name}"
        part = made.get(child.name)
        if part is None or part.field is not child:
            yield from rules_below(below, child, NO_COLUMN)
            continue
        inner = f"struct_extract({x}, {sql_text(child.name)})"
        if child.required and not may_be_null(child):
            yield Condition(below, "required", f"{x} IS NULL OR {inner} IS NOT NULL")
        yield from _checks(below, child, part, inner)


def _of_list(label: str, field: Field, column: Column, x: str) -> Iterator[Condition]:
    if field.enum is not None:
        yield Condition(label, "enum", why="lists are not listed in SQL")
        return
    if field.min_items:
        yield Condition(label, "minItems", f"len({x}) >= {field.min_items}")
    if field.max_items is not None:
        yield Condition(label, "maxItems", f"len({x}) <= {field.max_items}")
    item, part = field.items, column.children[0]
    assert item is not None
    below = f"{label}[]"
    if not may_be_null(item):
        yield Condition(below, "type", f"list_count({x}) = len({x})")
    if item.enum is not None or part.kind not in {"BIGINT", "DOUBLE"}:
        if part.kind != "BOOLEAN":
            yield from rules_below(below, item, _NO_LAMBDA, typed=True)
        return
    for check in _checks(below, item, part, "\0"):
        # What holds at both ends of an interval holds between them.
        ends = [f"list_min({x})", f"list_max({x})"] if check.rule in _INTERVALS else None
        if check.text is None or ends is None:
            yield replace(check, text=None, why=check.why or _NO_LAMBDA)
        else:
            yield replace(check, text=" AND ".join(check.text.replace("\0", end) for end in ends))


_INTERVALS: Final = frozenset({"type", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"})


_JSON_TYPES: Final = {
    "boolean": ("BOOLEAN",),
    "number": ("BIGINT", "UBIGINT", "HUGEINT", "UHUGEINT", "DOUBLE"),
    "integer": ("BIGINT", "UBIGINT", "HUGEINT", "UHUGEINT"),
    "string": ("VARCHAR",),
    "array": ("ARRAY",),
    "object": ("OBJECT",),
    "null": ("NULL",),
}


def _of_json(label: str, field: Field, x: str) -> Iterator[Condition]:
    if field.types:
        names = sorted(field.types | ({"null"} if field.nullable else set()))
        listed = ", ".join(f"'{each}'" for each in dict.fromkeys(each for name in names for each in _JSON_TYPES[name]))
        whole = f" OR (json_type({x}) = 'DOUBLE' AND trunc({x}::DOUBLE) = {x}::DOUBLE)"
        also = whole if "integer" in names and "number" not in names else ""
        yield Condition(label, "type", f"json_type({x}) IN ({listed}){also}")
    known = {"type", "required"}
    if field.types == {"array"}:
        known |= {"minItems", "maxItems"}
        if field.min_items:
            yield Condition(label, "minItems", f"json_array_length({x}) >= {field.min_items}")
        if field.max_items is not None:
            yield Condition(label, "maxItems", f"json_array_length({x}) <= {field.max_items}")
    if field.types == {"object"} and not field.additional and not field.properties:
        known |= {"additionalProperties"}
        yield Condition(label, "additionalProperties", f"len(json_keys({x})) = 0")
    yield from rules_below(label, field, MANY_TYPES, known=frozenset(known))
