"""DDL and a Pandera schema, held to the contract's verdict on rows."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from pandera.errors import SchemaError
from pydantic import ValidationError

from assay.contract.document import Contract, Field
from assay.contract.models import live_model
from assay.exchange.conditions import may_be_null
from assay.exchange.export import export
from assay.store.columns import Column, columns
from tests.exchange.test_round_trip import EVERYTHING
from tests.strategies import contracts, events

law = settings(max_examples=40, suppress_health_check=list(HealthCheck))


def contract(properties: Mapping[str, Any], **keywords: Any) -> Contract:
    return Contract.parse({"type": "object", "properties": properties, **keywords}, dataset="d", version=1)


def accepts(of: Contract, event: Any) -> bool:
    try:
        live_model(of).model_validate(event)
    except ValidationError:
        return False
    return True


def as_text(column: Column) -> Column:
    """As an exported column is: texts in a format are texts, and JSON is text too."""
    kind = "VARCHAR" if column.kind in {"TIMESTAMPTZ", "JSON"} else column.kind
    return replace(column, kind=kind, children=tuple(map(as_text, column.children)))


def fits(value: Any, field: Field, column: Column) -> bool:
    """Whether a column has the value as it is."""
    if value is None:
        return True
    match column.kind:
        case "BOOLEAN":
            return isinstance(value, bool)
        case "BIGINT":
            return type(value) is int and -(2**63) <= value < 2**63
        case "DOUBLE":
            return isinstance(value, float) or (type(value) is int and abs(value) <= 2**53)
        case "STRUCT":
            made = {child.name: child for child in column.children}
            fields = {child.name: child for child in field.properties}
            return (
                isinstance(value, dict)
                and value.keys() <= made.keys()
                and all(fits(each, fields[name], made[name]) for name, each in value.items())
            )
        case "LIST":
            assert field.items is not None
            item = field.items
            return isinstance(value, list) and all(fits(each, item, column.children[0]) for each in value)
        case "JSON":
            return True
        case _:
            return isinstance(value, str) and ":60" not in value and "\0" not in value


def stored(value: Any, column: Column) -> Any:
    if value is None:
        return None
    if column.kind == "JSON":
        return json.dumps(value)
    if column.kind == "DOUBLE":
        return float(value)
    if column.kind == "STRUCT":
        made = {child.name: child for child in column.children}
        return {name: stored(each, made[name]) for name, each in value.items()}
    return [stored(each, column.children[0]) for each in value] if column.kind == "LIST" else value


def as_read(value: Any, field: Field) -> Any:
    """What a row says: a null that may not be one is a missing field."""
    if isinstance(value, dict) and field.properties:
        fields = {child.name: child for child in field.properties}
        return {
            name: as_read(each, fields[name])
            for name, each in value.items()
            if each is not None or may_be_null(fields[name])
        }
    if isinstance(value, list) and field.items is not None:
        return [as_read(each, field.items) for each in value]
    return value


def row(of: Contract, event: Mapping[str, Any]) -> pa.Table:
    made = {column.name: column for column in columns(of)}
    cells = {name: stored(event.get(name), column) for name, column in made.items()}
    return pa.table({name: pa.array([cell], as_text(made[name]).arrow_type()) for name, cell in cells.items()})


def sql_takes(of: Contract, event: Mapping[str, Any]) -> bool:
    with duckdb.connect() as con:
        con.execute(export(of, "sql").text)
        con.register("incoming", row(of, event))
        try:
            con.execute(f'INSERT INTO "{of.dataset}" BY NAME SELECT * FROM incoming')
        except duckdb.ConstraintException:
            return False
    return True


def pandera_takes(of: Contract, event: Mapping[str, Any]) -> bool:
    module: dict[str, Any] = {}
    exec(export(of, "pandera").text, module)
    frame = pl.from_arrow(row(of, event))
    assert isinstance(frame, pl.DataFrame)
    try:
        module["schema"].validate(frame)
    except SchemaError:
        return False
    return True


TAKES = {"sql": sql_takes, "pandera": pandera_takes}


@pytest.mark.parametrize("format_", TAKES)
@law
@given(data=st.data())
def test_a_row_gets_the_verdict_of_its_event(format_: str, data: st.DataObject) -> None:
    of = data.draw(contracts())
    made = {column.name: column for column in columns(of)}
    assume(made)
    fields = {field.name: field for field in of.fields}
    event = {
        name: value
        for name, value in data.draw(events(of)).items()
        if name in made and fits(value, fields[name], made[name])
    }
    exported = export(of, format_)
    found = TAKES[format_](of, event)
    event = {
        name: value if made[name].kind == "JSON" else as_read(value, fields[name])
        for name, value in event.items()
        if value is not None or may_be_null(fields[name])
    }
    event |= {
        name: None
        for name, field in fields.items()
        if name in made and name not in event and may_be_null(field) and field.required
    }
    if found:  # what is not checked may break the contract; nothing else may
        assert accepts(of, event) or exported.left_out, (of.schema, event)
    else:
        assert not accepts(of, event), (of.schema, event)


def clean(value: Any) -> bool:
    """Whether DuckDB reads it as JSON says: 64 bits for integers, no NUL, one of each name; leap seconds are refused."""
    text = json.dumps(value)
    return (
        not any(len(digits) > 15 for digits in re.findall("[0-9]+", text)) and ":60" not in text and "u0000" not in text
    )


@law
@given(data=st.data())
def test_an_event_as_json_gets_its_verdict(data: st.DataObject) -> None:
    of = data.draw(contracts())
    with duckdb.connect() as con:
        con.execute(export(of, "sql").text)
        for event in data.draw(st.lists(events(of), min_size=1, max_size=6)):
            if not clean(event) or not clean(dict(of.schema)):
                continue
            ((found,),) = con.execute(f'SELECT "{of.dataset}_accepts"(?::JSON)', [json.dumps(event)]).fetchall()
            assert found == accepts(of, event), (of.schema, event)
            if found and len(columns(of)) == len(of.fields):
                row_of = f'SELECT "{of.dataset}_row"(?::JSON) AS r'
                con.execute(f'INSERT INTO "{of.dataset}" SELECT unnest(r) FROM ({row_of})', [json.dumps(event)])


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        pytest.param({"type": "number", "multipleOf": 0.01}, [19.99, 0.0, -0.07, 1e22, 1e16], [19.995, 1e-300], id="decimal"),
        pytest.param({"type": "number", "multipleOf": 2.5}, [7.5, -2.5, 1e22], [1.0, 7.4, 1.25], id="halves"),
        pytest.param({"type": "number", "multipleOf": 3}, [3.0, -9.0, 3e20], [1.0, 1e20, 1e22, 3.5], id="whole"),
        pytest.param({"type": "integer", "multipleOf": 1.5}, [3, 0, -6], [1, 4], id="integers"),
        pytest.param({"type": "string", "pattern": r"^[\D]\b"}, ["a"], ["1", " "], id="a set in a set"),
        pytest.param({"type": "string", "pattern": "^é?.$"}, ["é", "éa", "😀"], ["\u2028", "aa"], id="beyond ASCII"),
        pytest.param({"type": "string", "maxLength": 1}, ["😀", "é"], ["e\u0301"], id="code points"),
        pytest.param({"enum": ["it's", 'a"b', "\n"]}, ["it's", 'a"b', "\n"], ["its"], id="quotes"),
    ],
)  # fmt: skip
def test_sql_judges_as_the_contract_does(schema: dict[str, Any], good: list[Any], bad: list[Any]) -> None:
    of = contract({"a": schema})
    assert export(of, "sql").left_out == ()
    for value in good + bad:
        assert accepts(of, {"a": value}) == sql_takes(of, {"a": value}) == (value in good), value


def test_what_sql_does_not_check_is_named() -> None:
    exported = export(Contract.parse(EVERYTHING, dataset="flights", version=3), "sql")
    named = {(each.field, each.rule) for each in exported.left_out}
    assert named == {("mixed", "enum"), ("legs[].n", "required"), ("either", "minimum"), ("either", "pattern")}
    for each in exported.left_out:
        assert f"-- Not checked of a row: {each}." in exported.text


def test_nan_is_no_number_of_json() -> None:
    of = contract({"a": {"type": "number"}, "b": {"type": "array", "items": {"type": "number"}}})
    for format_, takes in TAKES.items():
        assert not takes(of, {"a": math.nan}), format_
        assert not takes(of, {"a": -math.inf}), format_
        assert not takes(of, {"b": [1.0, math.nan]}), format_
        assert takes(of, {"b": [1.0], "a": 1.0}), format_


def test_a_name_that_means_several_columns_to_polars_is_left_out() -> None:
    text = {"type": "string", "minLength": 1}
    of = contract(
        {"*": text, "^a$": text, "o": {"type": "object", "properties": {"*": text}}}, additionalProperties=False
    )
    named = {(each.field, each.rule) for each in export(of, "pandera").left_out}
    assert named >= {("*", "minLength"), ("^a$", "minLength"), ("o.*", "minLength"), ("", "additionalProperties")}
    assert pandera_takes(of, {"o": {"*": ""}})
    assert not sql_takes(of, {"*": ""})


def test_a_contract_without_fields_is_a_table_too() -> None:
    with duckdb.connect() as con:
        con.execute(export(contract({}), "sql").text)
    module: dict[str, Any] = {}
    exec(export(contract({}), "pandera").text, module)


def test_the_same_contract_gives_the_same_text() -> None:
    for format_ in ("odcs", "jsonschema", "sql", "pandera", "pydantic"):
        one, other = (Contract.parse(EVERYTHING, dataset="flights", version=3) for _ in range(2))
        assert export(one, format_) == export(other, format_)
