"""Other people's JSON Schema: joined and followed exactly, or refused by name."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator
from jsonschema.validators import validator_for

from assay.contract.models import live_model
from assay.errors import NotASchema
from assay.exchange.importing import import_contract

INTEGER, TEXT, NULL = {"type": "integer"}, {"type": "string"}, {"type": "null"}
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, 5, 2.5, -1, "", "a", "ab", "b", [], [1], ["a"], {}, {"a": 1}, {"a": "x"}, {"b": 1}),
    *({"a": 1, "b": "x"}, [None]),
)

# A schema for the field x, and what a contract says in its place.
SAME: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("$ref", {"$ref": "#/$defs/id"}, INTEGER | {"minimum": 1}),
    ("$ref with words beside it", {"$ref": "#/$defs/id", "description": "d"}, INTEGER | {"minimum": 1, "description": "d"}),
    ("$ref with rules beside it", {"$ref": "#/$defs/id", "maximum": 4}, INTEGER | {"minimum": 1, "maximum": 4}),
    ("$ref to a $ref", {"$ref": "#/$defs/again"}, INTEGER | {"minimum": 1}),
    ("anyOf with null", {"anyOf": [INTEGER, NULL]}, {"type": ["integer", "null"]}),
    ("oneOf with null", {"oneOf": [{"$ref": "#/$defs/id"}, NULL]}, {"type": ["integer", "null"], "minimum": 1}),
    ("anyOf of two kinds", {"anyOf": [INTEGER | {"minimum": 3}, TEXT | {"minLength": 2}]}, {"type": ["integer", "string"], "minimum": 3, "minLength": 2}),
    ("anyOf, each rule for its kind", {"anyOf": [INTEGER | {"minLength": 9}, TEXT]}, {"type": ["integer", "string"]}),
    ("anyOf of lists", {"anyOf": [{"enum": ["a"]}, {"const": 1}, NULL, {"type": "boolean"}]}, {"type": ["boolean", "number", "string", "null"], "enum": ["a", 1, None, True, False]}),
    ("anyOf, a list with a type", {"anyOf": [TEXT | {"enum": ["a", 1]}, NULL]}, {"type": ["string", "null"], "enum": ["a", None]}),
    ("anyOf of one", {"anyOf": [INTEGER]}, INTEGER),
    ("anyOf of anything", {"anyOf": [{}, INTEGER]}, {}),
    ("anyOf beside a rule", {"anyOf": [INTEGER, NULL], "description": "d", "maximum": 4}, {"type": ["integer", "null"], "maximum": 4, "description": "d"}),
    ("allOf", {"allOf": [INTEGER, {"minimum": 1}, {"maximum": 4}]}, INTEGER | {"minimum": 1, "maximum": 4}),
    ("allOf, twice the same", {"allOf": [INTEGER, INTEGER | {"minimum": 1}]}, INTEGER | {"minimum": 1}),
    ("allOf of objects", {"allOf": [{"type": "object", "properties": {"a": INTEGER}, "required": ["a"]}, {"properties": {"b": TEXT}, "required": ["b"]}]}, {"type": "object", "properties": {"a": INTEGER, "b": TEXT}, "required": ["a", "b"]}),
    ("additionalProperties of anything", {"type": "object", "additionalProperties": {}}, {"type": "object", "additionalProperties": True}),
    ("items behind a $ref", {"type": "array", "items": {"$ref": "#/$defs/id"}}, {"type": "array", "items": INTEGER | {"minimum": 1}}),
    ("an empty enum", {"enum": []}, {"type": "string", "enum": [False]}),
]  # fmt: skip
DEFS = {
    "id": INTEGER | {"minimum": 1},
    "again": {"$ref": "#/$defs/id"},
    "loop": {"type": "array", "items": {"$ref": "#/$defs/loop"}},
}


def event(field: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"x": field}, "$defs": DEFS}


@pytest.mark.parametrize(("foreign", "own"), [pytest.param(*pair, id=name) for name, *pair in SAME])
def test_it_is_the_same_set(foreign: dict[str, Any], own: dict[str, Any]) -> None:
    contract = import_contract(event(foreign), "d").contract
    assert contract.schema["properties"]["x"] == own
    model, peer = live_model(contract), Draft202012Validator(event(foreign))
    for value in VALUES:
        try:
            model.model_validate({"x": value})
            found = True
        except ValueError:
            found = False
        assert found == peer.is_valid({"x": value}), value


@pytest.mark.parametrize(
    ("foreign", "pointer", "said"),
    [
        ({"anyOf": [INTEGER, {"type": "number"}]}, "/anyOf", "share a type"),
        ({"anyOf": [INTEGER | {"minimum": 1}, INTEGER | {"maximum": -1}]}, "/anyOf", '"anyOf" of alternatives that share a type'),
        ({"oneOf": [{}, INTEGER]}, "/oneOf", 'each alternative of "oneOf" must say its type'),
        ({"anyOf": [INTEGER, {"minLength": 1}]}, "/anyOf", "must say its type"),
        ({"anyOf": [TEXT, {"type": "integer", "enum": [1]}]}, "/anyOf", "list all or none"),
        ({"anyOf": [TEXT | {"not": {}}, NULL]}, "/anyOf/not", '"not"'),
        ({"anyOf": []}, "/anyOf", "a list of schemas is expected"),
        ({"allOf": [{"minimum": 1}, {"minimum": 2}]}, "/allOf", '"minimum" is said twice'),
        ({"allOf": [{"properties": {"a": {}}, "additionalProperties": False}, {"properties": {"b": {}}}]}, "/allOf", '"b" is described by one part'),
        ({"$ref": "#/$defs/none"}, "/$ref", "leads nowhere"),
        ({"$ref": "https://example.org/a.json"}, "/$ref", "only references to a place in the same document"),
        ({"$ref": "#anchor"}, "/$ref", "only references to a place in the same document"),
        ({"$id": "a", "type": "integer"}, "/$id", "a name of its own"),
        ({"not": {"type": "null"}}, "/not", '"not"'),
        ({"if": {}, "then": {}}, "/if", '"if"'),
        ({"dependentRequired": {}}, "/dependentRequired", '"dependentRequired"'),
        ({"additionalProperties": {"type": "integer"}}, "/additionalProperties", "a schema for unknown fields"),
        ({"nullable": True}, "/nullable", '"nullable"'),
        ({"prefixItems": []}, "/prefixItems", '"prefixItems"'),
        ({"unevaluatedProperties": False}, "/unevaluatedProperties", '"unevaluatedProperties"'),
        ({"$dynamicRef": "#a"}, "/$dynamicRef", '"$dynamicRef"'),
        ({"discriminator": {}}, "/discriminator", '"discriminator"'),
    ],
)  # fmt: skip
def test_what_is_not_exact_is_refused_by_name(foreign: dict[str, Any], pointer: str, said: str) -> None:
    with pytest.raises(NotASchema) as caught:
        import_contract(event(foreign), "d")
    assert caught.value.pointer == f"/properties/x{pointer}"
    assert said in caught.value.reason


@pytest.mark.parametrize(
    "dialect",
    [
        "https://json-schema.org/draft/2019-09/schema",
        "http://json-schema.org/draft-07/schema#",
        "http://json-schema.org/draft-06/schema#",
    ],
)
def test_older_dialects_in_which_the_keywords_mean_the_same(dialect: str) -> None:
    schema = {"$schema": dialect, "type": "object", "properties": {"x": {"type": ["integer", "null"], "minimum": 1}}}
    assert validator_for(schema).META_SCHEMA["$id"].rstrip("#") == dialect.rstrip("#")
    assert import_contract(schema, "d").contract.fields[0].minimum == 1


def test_a_schema_without_end_is_refused_where_it_turns() -> None:
    with pytest.raises(NotASchema, match=r"at /\$defs/loop/items/\$ref: .*leads to itself"):
        import_contract(event({"$ref": "#/$defs/loop"}), "d")


def test_before_2019_a_reference_stands_alone() -> None:
    schema = event({"$ref": "#/$defs/id", "maximum": 4}) | {"$schema": "http://json-schema.org/draft-07/schema#"}
    with pytest.raises(NotASchema, match='"maximum" stands beside'):
        import_contract(schema, "d")


def test_draft_4_has_other_integers() -> None:
    with pytest.raises(NotASchema, match=r"\$schema: draft 2020-12"):
        import_contract({"$schema": "http://json-schema.org/draft-04/schema#", "type": "object"}, "d")


def test_references_that_multiply_are_stopped() -> None:
    defs: dict[str, Any] = {"0": {"type": "integer"}}
    for level in range(1, 40):
        below = {"$ref": f"#/$defs/{level - 1}"}
        defs[str(level)] = {"type": "object", "properties": {"a": below, "b": below}}
    with pytest.raises(NotASchema, match="its references make more than"):
        import_contract({"type": "object", "properties": {"x": {"$ref": "#/$defs/39"}}, "$defs": defs}, "d")
    deep: Any = {"type": "array"}
    for _ in range(5_000):
        deep = {"type": "array", "items": deep}
    with pytest.raises(NotASchema, match="nested too deeply"):
        import_contract({"type": "object", "properties": {"x": deep}}, "d")
