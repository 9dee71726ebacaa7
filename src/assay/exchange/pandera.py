"""Contracts as a Pandera schema for Polars, whose regular expressions are those of Pydantic: the same engine.

Null is null where the contract lets the field be null, and else stands for a missing field. Nothing is coerced.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Final

from assay.contract.document import Contract, Field
from assay.contract.patterns import to_rust
from assay.contract.source import literal
from assay.contract.structs import limits
from assay.contract.words import rule_in_words
from assay.exchange.carried import Exported
from assay.exchange.conditions import MANY_TYPES, NO_COLUMN, Condition, left_out, may_be_null, passing, rules_below
from assay.store.columns import Column, columns
from assay.types import Format

__all__ = ["to_pandera"]

_HEAD: Final = '''\
"""{contract} as a Pandera schema for Polars: `schema.validate(frame)`.

A null is null where the field may be null, and else a missing field. Nothing is coerced.
{unsaid}"""

import pandera.polars as pa
import polars as pl


def rule(name, holds):
    """A check of one rule: `holds` makes of a column whether its values keep the rule; null keeps it."""
    return pa.Check(lambda data: data.lazyframe.select(holds(pl.col(data.key))), name=name, error=name)


'''
_DTYPES: Final = {"BOOLEAN": "pl.Boolean", "BIGINT": "pl.Int64", "DOUBLE": "pl.Float64"}
_NO_DECIMAL: Final = "Polars divides doubles, and the rule is one of decimals"
_PATTERN: Final = "to Polars its name means several columns"
_NO_LIST: Final = "lists and objects are not listed in Polars"


def to_pandera(contract: Contract) -> Exported:
    """A Python module with the schema."""
    made = {column.name: column for column in columns(contract)}
    lines = []
    conditions: list[Condition] = []
    for field in contract.fields:
        column = made.get(field.name)
        if column is None or column.field is not field or _is_pattern(field.name):
            conditions += rules_below(field.name, field, NO_COLUMN if column is None else _PATTERN)
            continue
        own = list(_conditions(field.name, field, column, "x"))
        if column.kind != "JSON" and _dtype(column) == "None":
            own.append(Condition(field.name, "type", why=MANY_TYPES))
        conditions += own
        rules = [(literal(f"{each.label}: {each.rule}"), each.text) for each in own if each.text is not None]
        checks = "".join(f"                rule({name}, lambda x: {text}),\n" for name, text in rules)
        listed = f"[\n{checks}            ]" if checks else "[]"
        nullable = may_be_null(field) or not field.required
        words = "".join(each if each.isprintable() else " " for each in rule_in_words(field))
        lines.append(
            f"        # {words}\n        {literal(field.name)}: pa.Column(\n            {_dtype(column)},\n            {listed},\n"
            f"            nullable={nullable},\n            required={field.required},\n        ),\n"
        )
    closed = not contract.root.additional
    if closed and len(lines) < len(contract.fields):
        closed = False
        conditions.append(Condition("", "additionalProperties", why="not every field is a column here"))
    unsaid = left_out(conditions)
    named = f"{contract.dataset}@{contract.version}" if contract.version else contract.dataset
    told = "".join(f"Not checked: {each}.\n".replace("\\", "\\\\").replace('"', "'") for each in unsaid)
    told = "".join(each if each.isprintable() or each == "\n" else " " for each in told)
    head = _HEAD.format(contract=named, unsaid=f"\n{told}" if told else "")
    body = f"    {{\n{''.join(lines)}    }}," if lines else "    {},"
    return Exported(
        f"{head}schema = pa.DataFrameSchema(\n{body}\n    name={literal(contract.dataset)},\n    strict={closed},\n)\n",
        unsaid,
    )


def _is_pattern(name: str) -> bool:
    """Whether Polars takes a name for several columns."""
    return name == "*" or (name.startswith("^") and name.endswith("$"))


def _dtype(column: Column) -> str:
    if column.kind == "LIST":
        inner = _dtype(column.children[0])
        return "None" if inner == "None" else f"pl.List({inner})"
    if column.kind == "STRUCT":
        parts = {child.name: _dtype(child) for child in column.children}
        if "None" in parts.values():
            return "None"
        return f"pl.Struct({{{', '.join(f'{literal(name)}: {dtype}' for name, dtype in parts.items())}}})"
    return "None" if column.kind == "JSON" else _DTYPES.get(column.kind, "pl.String")


def _conditions(label: str, field: Field, column: Column, x: str) -> Iterator[Condition]:
    """What must hold of `x`, an expression of Polars."""
    if column.kind == "JSON":
        yield from rules_below(label, field, MANY_TYPES, known=frozenset({"required"}))
    elif column.kind in {"STRUCT", "LIST"} and field.enum is not None:
        yield Condition(label, "enum", why=_NO_LIST)
    elif column.kind == "STRUCT":
        yield from _of_struct(label, field, column, x)
    elif column.kind == "LIST":
        yield from _of_list(label, field, column, x)
    elif field.enum is not None:
        kinds = {"BIGINT": int, "DOUBLE": float}
        values = [kinds[column.kind](value) if column.kind in kinds else value for value in passing(field)]
        listed = ", ".join(map(literal, values))
        yield Condition(label, "enum", f"{x}.is_in([{listed}])" if values else f"{x}.is_null()")
    elif column.kind == "BIGINT":
        yield from _of_integer(label, field, x)
    elif column.kind == "DOUBLE":
        yield from _of_number(label, field, x)
    elif column.kind != "BOOLEAN":
        yield from _of_text(label, field, x)


def _of_text(label: str, field: Field, x: str) -> Iterator[Condition]:
    if field.min_length:
        yield Condition(label, "minLength", f"{x}.str.len_chars() >= {field.min_length}")
    if field.max_length is not None:
        yield Condition(label, "maxLength", f"{x}.str.len_chars() <= {field.max_length}")
    if field.pattern is not None:
        yield Condition(label, "pattern", f"{x}.str.contains({literal(to_rust(field.pattern))})")
    if field.format is not None:
        yield Condition(label, "format", f"{x}.str.contains({literal(Format(field.format).patterns[0])})")


def _of_integer(label: str, field: Field, x: str) -> Iterator[Condition]:
    given = limits(field, "integer")
    if "ge" in given:
        rule = "minimum" if field.minimum is not None else "exclusiveMinimum"
        yield Condition(label, rule, _compared(x, ">=", given["ge"]))
    if "le" in given:
        rule = "maximum" if field.maximum is not None else "exclusiveMaximum"
        yield Condition(label, rule, _compared(x, "<=", given["le"]))
    if field.multiple_of is not None:
        step = Fraction(repr(field.multiple_of)).numerator  # those multiples of p/q that are whole are those of p
        yield Condition(label, "multipleOf", f"{x} % {step} == 0" if step < 2**63 else f"{x} == 0")


def _compared(x: str, sign: str, bound: int) -> str:
    """A comparison with a bound that may be beyond every value of the column."""
    if -(2**63) <= bound < 2**63:
        return f"{x} {sign} {bound}"
    always = (bound < 0) == (sign == ">=")
    return f"{x}.is_null() | pl.lit({always})"


def _of_number(label: str, field: Field, x: str) -> Iterator[Condition]:
    yield Condition(label, "type", f"{x}.is_finite()")
    for rule, sign, bound in (
        ("minimum", ">=", field.minimum),
        ("maximum", "<=", field.maximum),
        ("exclusiveMinimum", ">", field.exclusive_minimum),
        ("exclusiveMaximum", "<", field.exclusive_maximum),
    ):
        if bound is not None:
            yield Condition(label, rule, f"{x} {sign} {float(bound)!r}")
    if field.multiple_of is not None:
        yield Condition(label, "multipleOf", why=_NO_DECIMAL)


def _of_struct(label: str, field: Field, column: Column, x: str) -> Iterator[Condition]:
    made = {child.name: child for child in column.children}
    for child in field.properties:
        below = f"{label}.{child.name}"
        part = made.get(child.name)
        if part is None or part.field is not child or _is_pattern(child.name):
            yield from rules_below(below, child, NO_COLUMN if part is None else _PATTERN)
            continue
        inner = f"{x}.struct.field({literal(child.name)})"
        if child.required and not may_be_null(child):
            yield Condition(below, "required", f"{x}.is_null() | {inner}.is_not_null()")
        yield from _conditions(below, child, part, inner)


def _of_list(label: str, field: Field, column: Column, x: str) -> Iterator[Condition]:
    if field.min_items:
        yield Condition(label, "minItems", f"{x}.list.len() >= {field.min_items}")
    if field.max_items is not None:
        yield Condition(label, "maxItems", f"{x}.list.len() <= {field.max_items}")
    item, part = field.items, column.children[0]
    assert item is not None
    below = f"{label}[]"
    if not may_be_null(item) and part.kind != "JSON":
        yield Condition(below, "type", f"{x}.list.eval(pl.element().is_not_null()).list.all()")
    for each in _conditions(below, item, part, "pl.element()"):
        if each.text is None:
            yield each
        else:  # of no elements, all is true; a null is one that the check before looked at
            text = f"{x}.list.eval(({each.text}).fill_null(value=True)).list.all()"
            yield Condition(each.label, each.rule, text)
