from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import BaseModel, ValidationError

from assay.contract.document import Contract, Field
from assay.contract.models import UNEXPECTED_TYPES, Reasons, live_model, source, violation_types
from assay.contract.violation import Violation
from tests.strategies import BEYOND, contracts, events

law = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


def contract(**properties: Any) -> Contract:
    return Contract.parse({"type": "object", "properties": properties}, dataset="flights", version=3)


def judge(contract: Contract, event: object) -> tuple[Violation, ...]:
    try:
        live_model(contract).model_validate(event)
    except ValidationError as error:
        return Reasons(contract).of(error)
    return ()


def passes(model: type[BaseModel], event: object) -> bool:
    try:
        model.model_validate(event)
    except ValidationError:
        return False
    return True


def reasons(contract: Contract, event: object) -> list[tuple[tuple[str | int, ...], str]]:
    return [(each.loc, each.type) for each in judge(contract, event)]


@pytest.mark.parametrize(
    ("schema", "value", "type_"),
    [
        ({"type": "integer"}, True, "int_type"),
        ({"type": "integer"}, "12", "int_type"),
        ({"type": "integer"}, 1.5, "int_type"),
        ({"type": "integer"}, 10**400, "finite_number"),
        ({"type": "integer"}, None, "int_type"),
        ({"type": "integer", "maximum": 2**53}, 2**53 + 1, "less_than_equal"),
        ({"type": "number"}, "12", "float_type"),
        ({"type": "number"}, False, "float_type"),
        ({"type": "number"}, float("inf"), "finite_number"),
        ({"type": "number", "minimum": 0, "maximum": 5}, float("inf"), "finite_number"),
        ({"type": "number", "maximum": 2**53}, 2**53 + 1, "less_than_equal"),
        ({"type": "number", "exclusiveMinimum": 0}, 0.0, "greater_than"),
        ({"type": "number", "multipleOf": 0.01}, 19.995, "multiple_of"),
        ({"type": "string"}, 1, "string_type"),
        ({"type": "string", "minLength": 1}, "\ud800", "string_type"),
        ({"type": "string", "pattern": r"^\d$"}, "٣", "string_pattern_mismatch"),
        ({"type": "string", "pattern": r"^1$"}, "1\n", "string_pattern_mismatch"),
        ({"type": "string", "maxLength": 1}, "😀😀", "string_too_long"),
        ({"type": "string", "minLength": 1}, "", "string_too_short"),
        ({"type": "string", "format": "date"}, "2023-02-29", "date_parsing"),
        ({"type": "string", "format": "email"}, "nobody", "value_error"),
        ({"type": "string", "format": "ipv4"}, "1.2.3", "ip_v4_address"),
        ({"type": "boolean"}, 1, "bool_type"),
        ({"enum": ["a", "b"]}, "c", "literal_error"),
        ({"enum": [1]}, True, "literal_error"),
        ({"type": "integer", "enum": ["a"]}, "a", "literal_error"),
        ({"type": ["integer", "string"]}, True, "union_tag_invalid"),
        ({"type": ["integer", "string"], "maximum": 3}, 4, "less_than_equal"),
        ({"minimum": 3}, 2, "greater_than_equal"),
        ({"type": "array", "maxItems": 1}, [1, 2], "too_long"),
        ({"type": "array", "minItems": 1}, [], "too_short"),
        ({"type": "array"}, {}, "list_type"),
        ({"type": "object"}, [], "dict_type"),
        ({"type": "object", "properties": {"a": {}}}, [], "model_type"),
        ({}, [{"a": 10**400}], "finite_number"),
    ],
)
def test_the_type_of_a_violation(schema: Any, value: Any, type_: str) -> None:
    assert reasons(contract(x=schema), {"x": value}) == [(("x",), type_)]


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "integer"}, 1.0),
        ({"type": "integer"}, 1e22),
        ({"type": "integer"}, 10**40),
        ({"type": "number", "multipleOf": 0.01}, 19.99),
        ({"type": "number", "maximum": 2**53}, 2**53),
        ({"type": ["number", "null"]}, None),
        ({"enum": [1, {"a": [2.0]}]}, {"a": [2]}),
        ({"minimum": 3}, "three"),
        ({"minimum": 3}, None),
        ({"format": "date"}, 3),
        ({"properties": {"a": {"type": "string"}}}, 3),
    ],
)
def test_what_passes(schema: Any, value: Any) -> None:
    assert judge(contract(x=schema), {"x": value}) == ()


def test_an_integral_float_becomes_an_integer_and_a_string_stays_one() -> None:
    model = live_model(contract(n={"type": "integer"}, at={"type": "string", "format": "date-time"}))
    found = model.model_validate({"n": 1.0, "at": "2024-02-29t12:00:00z"}).model_dump()
    assert found == {"n": 1, "at": "2024-02-29t12:00:00z"}
    assert type(found["n"]) is int


def test_missing_is_not_null() -> None:
    of = contract(x={"type": "string"}, y={"type": ["string", "null"]})
    assert judge(of, {}) == ()
    assert judge(of, {"y": None}) == ()
    assert reasons(of, {"x": None}) == [(("x",), "string_type")]
    assert live_model(of).model_validate({"y": None}).model_fields_set == {"y"}


def test_a_path_is_the_events_own() -> None:
    of = Contract.parse(
        {
            "type": "object",
            "required": ["class"],
            "properties": {
                "class": {"type": ["object", "string"], "properties": {"model_config": {"type": "integer"}}},
                "items": {
                    "type": "array",
                    "items": {"type": ["array", "null"], "items": {"type": ["integer", "string"], "minimum": 1}},
                },
                "object": {"properties": {"object": {"type": "string"}}, "additionalProperties": False},
            },
        }
    )
    assert reasons(of, {"items": [None, [1, 0, True]]}) == [
        (("class",), "missing"),
        (("items", 1, 1), "greater_than_equal"),
        (("items", 1, 2), "union_tag_invalid"),
    ]
    assert reasons(of, {"class": {"model_config": "x"}, "object": {"object": 1, "other": 2}}) == [
        (("class", "model_config"), "int_type"),
        (("object", "object"), "string_type"),
        (("object", "other"), "extra_forbidden"),
    ]
    assert reasons(of, []) == [((), "model_type")]


def test_an_input_is_shown_only_while_small() -> None:
    of = contract(a={"type": "integer"}, b={"type": "integer"}, c={"type": "integer"}, d={"type": "string"})
    shown = {
        each.loc[0]: each.input for each in judge(of, {"a": "x" * 10_000, "b": [1], "c": float("nan"), "d": 10**200})
    }
    assert shown == {"a": "x" * 99 + "…", "b": None, "c": None, "d": None}
    json.dumps([each.to_document() for each in judge(of, {"a": float("inf")})], allow_nan=False)


def test_at_most_a_hundred_violations_in_order() -> None:
    of = contract(x={"type": "array", "items": {"type": "integer"}})
    found = judge(of, {"x": ["?"] * 250})
    assert [each.loc for each in found] == [("x", i) for i in range(100)]


@pytest.mark.parametrize(
    ("loc", "label"),
    [
        ((), ""),
        (("a",), "a"),
        (("a", "b"), "a.b"),
        (("items", 3), "items[]"),
        (("items", 3, "price"), "items[].price"),
        (("new",), "_unexpected"),
        (("items", 3, "new"), "_unexpected"),
        (("a", "b", "c"), "_unexpected"),
    ],
)
def test_metric_labels_come_from_the_contract(loc: tuple[str | int, ...], label: str) -> None:
    of = contract(
        a={"type": "object", "properties": {"b": {}}},
        items={"type": "array", "items": {"type": "object", "properties": {"price": {}}}},
    )
    assert Reasons(of).label(loc) == label


def test_types_that_a_field_can_yield() -> None:
    of = Contract.parse({"type": "object", "required": ["x"], "properties": {"x": {"type": "integer", "maximum": 3}}})
    assert violation_types(of.fields[0]) == ("finite_number", "int_type", "less_than_equal", "missing")
    assert violation_types(of.root) == ("model_type",)


@law
@given(st.data())
def test_every_violation_is_one_that_was_foretold(data: st.DataObject) -> None:
    of = data.draw(contracts())
    foretold: dict[str, set[str]] = {"": set(violation_types(of.root)), "_unexpected": set(UNEXPECTED_TYPES)}
    for label, field in of.root.walk():
        foretold.setdefault(label, set()).update(violation_types(field))
    for event in data.draw(st.lists(events(of), max_size=5)):
        for violation in judge(of, event):
            label = Reasons(of).label(violation.loc)
            # An unknown name beside a described one of the same label is counted with it.
            assert violation.type in foretold[label] | (set(UNEXPECTED_TYPES) if label == "" else set()), (
                of.schema,
                event,
            )


@law
@given(st.data())
def test_json_schemas_own_validator_agrees(data: st.DataObject) -> None:
    of = data.draw(contracts(plain=True))
    model, peer = live_model(of), Draft202012Validator(dict(of.schema))
    for event in data.draw(st.lists(events(of), max_size=5)):
        assert passes(model, event) == peer.is_valid(event), (of.schema, event)


@law
@given(st.data())
def test_a_number_beyond_a_double_never_passes(data: st.DataObject) -> None:
    of = data.draw(contracts())
    event = data.draw(events(of))
    names = [*event, "unknown"]
    event[data.draw(st.sampled_from(names))] = data.draw(st.sampled_from(BEYOND))
    assert not passes(live_model(of), event), (of.schema, event)


@law
@given(st.data())
def test_json_text_is_judged_as_the_value_is(data: st.DataObject) -> None:
    of = data.draw(contracts())
    event = data.draw(events(of))
    model = live_model(of)
    try:
        model.model_validate_json(json.dumps(event))
    except ValidationError:
        assert not passes(model, event), (of.schema, event)
    else:
        assert passes(model, event), (of.schema, event)


@settings(parent=law, max_examples=60)
@given(st.data())
def test_the_source_gives_the_same_verdict(data: st.DataObject) -> None:
    found = {each.dataset: each for each in data.draw(st.lists(contracts(), min_size=1, max_size=3))}
    module: dict[str, Any] = {"__name__": "generated"}
    exec(compile(source(list(found.values())), "contracts.py", "exec", dont_inherit=True), module)
    assert list(module["MODELS"]) == sorted(found)
    for dataset, of in found.items():
        generated, live = module["MODELS"][dataset], live_model(of)
        for event in data.draw(st.lists(events(of), max_size=8)):
            assert passes(generated, event) == passes(live, event), (of.schema, event)


def test_fields_are_frozen_values() -> None:
    assert Field("a") == Field("a")
