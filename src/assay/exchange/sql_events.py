"""Events as JSON, judged in DuckDB's SQL: unlike a CHECK, a macro sees values as they came, and may look into lists."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final

from assay.contract.document import Contract, Field
from assay.contract.outside import judge
from assay.exchange.conditions import Condition
from assay.exchange.schemas import schema_of
from assay.exchange.sql_values import number_in_sql, of_integer, of_number, of_text
from assay.sql import quoted, sql_text
from assay.store.columns import Column

__all__ = ["macros"]

_ANYTHING: Final = "TRUE"
_NUMBERS: Final = "json_type({x}) IN ('BIGINT', 'UBIGINT', 'HUGEINT', 'UHUGEINT', 'DOUBLE')"


def macros(contract: Contract, columns: Sequence[Column]) -> str:
    """`<dataset>_accepts(event)`, whether the contract accepts it, and `<dataset>_row(event)`, its row, or an error."""
    accepts, row = (quoted(f"{contract.dataset}_{name}") for name in ("accepts", "row"))
    structure = json.dumps({column.name: _structure(column) for column in columns} or {"_extra": "JSON"})
    # No column's name begins as these do: a macro's parameter stands for whatever has its name.
    names = {column.name: quoted(column.name) for column in columns}
    fields = "".join(f",\n    {_member('_event', name)} AS {alias}" for name, alias in names.items())
    holds = "\n    AND ".join(_object(contract.root, "_event", 0, names))
    refusal = sql_text(f"{contract.dataset} does not accept the event ")
    return (
        f"\nCREATE MACRO {accepts}(_json) AS (\n  SELECT coalesce({holds}, FALSE)\n"
        f"  FROM (SELECT _event{fields}\n  FROM (SELECT TRY_CAST(_json AS JSON) AS _event))\n);\n"
        f"\nCREATE MACRO {row}(_json) AS CASE WHEN {accepts}(_json)\n"
        f"  THEN from_json(_json, {sql_text(structure)})\n"
        f"  ELSE error({refusal} || coalesce(_json::VARCHAR, 'NULL'))\nEND;\n"
    )


def _structure(column: Column) -> Any:
    """A column's type, as `from_json` has it."""
    if column.kind == "STRUCT":
        return {child.name: _structure(child) for child in column.children}
    return [_structure(column.children[0])] if column.kind == "LIST" else column.kind


def _member(x: str, name: str) -> str:
    return f"json_extract({x}, {sql_text('/' + name.replace('~', '~0').replace('/', '~1'))})"


def _holds(field: Field, x: str, depth: int) -> str:
    """Whether a JSON value is one that the field takes; `depth` is that of the lists around it."""
    if field.enum is not None:
        return _listed(field, x)
    if schema_of(field).keys() <= {"title", "description"}:
        return _ANYTHING
    kinds = [f"json_type({x}) = 'NULL'"] if field.nullable else []
    for kind, holds in _KINDS.items():
        if field.allows(kind):
            kinds.append(" AND ".join(holds(field, x, depth)))
    return _any(kinds)


def _any(alternatives: Iterable[str]) -> str:
    found = list(alternatives)
    if not found:
        return "FALSE"
    return found[0] if len(found) == 1 else f"({' OR '.join(f'({each})' for each in found)})"


def _said(conditions: Iterator[Condition]) -> list[str]:
    return [each.text for each in conditions if each.text is not None]


def _text(field: Field, x: str, _depth: int) -> list[str]:
    return [f"json_type({x}) = 'VARCHAR'", *_said(of_text("", field, f"({x} ->> '$')"))]


def _boolean(_field: Field, x: str, _depth: int) -> list[str]:
    return [f"json_type({x}) = 'BOOLEAN'"]


def _number(field: Field, x: str, _depth: int) -> list[str]:
    value = f"TRY_CAST({x} ->> '$' AS DOUBLE)"
    if "number" not in field.types and field.types:
        whole = f"TRY_CAST({x} ->> '$' AS HUGEINT)"
        rules = [f"trunc({value}) = {value}", *_said(of_integer("", field, whole))]
    else:
        rules = _said(of_number("", field, value))
    return [_NUMBERS.format(x=x), f"isfinite({value})", *rules]


def _array(field: Field, x: str, depth: int) -> list[str]:
    found = [f"json_type({x}) = 'ARRAY'"]
    if field.min_items:
        found.append(f"json_array_length({x}) >= {field.min_items}")
    if field.max_items is not None:
        found.append(f"json_array_length({x}) <= {field.max_items}")
    if field.items is not None:
        each = f"e{depth}"
        inner = _holds(field.items, each, depth + 1)
        if inner != _ANYTHING:
            found.append(
                f"len(list_filter(json_extract({x}, '$[*]'), lambda {each}: NOT coalesce({inner}, FALSE))) = 0"
            )
    return found


def _object(field: Field, x: str, depth: int, names: Mapping[str, str] = MappingProxyType({})) -> list[str]:
    """`names` are those of values that have a name of their own already."""
    found = [f"json_type({x}) = 'OBJECT'"]
    for child in field.properties:
        value = names.get(child.name, _member(x, child.name))
        holds = _holds(child, value, depth)
        if child.required:
            found += [f"{value} IS NOT NULL", holds]
        elif holds != _ANYTHING:
            found.append(f"({value} IS NULL OR {holds})")
    if not field.additional:
        known = ", ".join(sql_text(child.name) for child in field.properties)
        found.append(f"list_has_all([{known}], json_keys({x}))" if known else f"len(json_keys({x})) = 0")
    return [each for each in found if each != _ANYTHING]


_KINDS: Final[dict[str, Callable[[Field, str, int], list[str]]]] = {
    "integer": _number,
    "string": _text,
    "boolean": _boolean,
    "array": _array,
    "object": _object,
}


def _listed(field: Field, x: str) -> str:
    """One of the values that pass the field's other rules; lists and objects by their text without blanks."""
    takes = judge(replace(field, required=False))
    passing = [value for value in field.enum or () if takes(value)]
    texts = [sql_text(value) for value in passing if isinstance(value, str)]
    numbers = [value for value in passing if isinstance(value, int | float) and not isinstance(value, bool)]
    kinds = []
    if texts:
        kinds.append(f"json_type({x}) = 'VARCHAR' AND ({x} ->> '$') IN ({', '.join(texts)})")
    if numbers:
        listed = ", ".join(map(number_in_sql, numbers))
        kinds.append(f"{_NUMBERS.format(x=x)} AND TRY_CAST({x} ->> '$' AS DOUBLE) IN ({listed})")
    kinds += [_equal(value, x) for value in passing if value is None or isinstance(value, bool | list | dict)]
    return _any(kinds)


def _equal(value: Any, x: str) -> str:
    """Whether a JSON value is this one: lists and objects part by part, numbers by value."""
    if isinstance(value, list):
        parts = [_equal(each, f"json_extract({x}, '$[{place}]')") for place, each in enumerate(value)]
        return " AND ".join([f"json_type({x}) = 'ARRAY'", f"json_array_length({x}) = {len(value)}", *parts])
    if isinstance(value, dict):
        parts = [_equal(each, _member(x, name)) for name, each in value.items()]
        return " AND ".join([f"json_type({x}) = 'OBJECT'", f"len(json_keys({x})) = {len(value)}", *parts])
    if isinstance(value, str):
        return f"json_type({x}) = 'VARCHAR' AND ({x} ->> '$') = {sql_text(value)}"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{_NUMBERS.format(x=x)} AND TRY_CAST({x} ->> '$' AS DOUBLE) = {number_in_sql(value)}"
    return f"{x}::VARCHAR = {sql_text(json.dumps(value))}"
