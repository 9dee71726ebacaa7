from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from assay.contract.document import Contract, Field, json_equal
from assay.errors import NotASchema, UsageError
from tests.strategies import NASTY, contracts


def field(schema: Any) -> Field:
    return Contract.parse({"type": "object", "properties": {"x": schema}}).fields[0]


def test_a_tree_of_fields() -> None:
    contract = Contract.parse(
        {
            "type": "object",
            "required": ["a", "b"],
            "properties": {
                "a": {"type": ["number", "null"], "minimum": 0, "exclusiveMaximum": 5.5, "title": "A"},
                "items": {"type": "array", "items": {"type": "object", "properties": {"price": {"type": "number"}}}},
            },
        },
        dataset="flights",
        version=3,
    )
    assert [label for label, _ in contract.root.walk()] == ["a", "items", "items[]", "items[].price", "b"]
    a, items, b = contract.fields
    assert (a.types, a.nullable, a.required, a.minimum, a.exclusive_maximum) == (
        frozenset({"number"}),
        True,
        True,
        0,
        5.5,
    )
    assert a.allows("integer")
    assert a.allows("null")
    assert not a.allows("string")
    assert not items.required
    assert (b.types, b.nullable, b.required) == (frozenset(), True, True)
    assert repr(contract) == "<Contract flights@3: 3 fields>"


@given(contracts())
def test_the_text_reads_back_the_same(contract: Contract) -> None:
    again = Contract.parse(json.loads(contract.to_json()), dataset=contract.dataset, version=contract.version)
    assert again == contract
    assert again.to_json() == contract.to_json()
    assert again.root == contract.root


@pytest.mark.parametrize(
    ("schema", "pointer"),
    [
        ({"type": "integers"}, "/type"),
        ({"type": []}, "/type"),
        ({"type": "null"}, "/type"),
        ({"minimum": "1"}, "/minimum"),
        ({"minimum": True}, "/minimum"),
        ({"minimum": 10**400}, "/minimum"),
        ({"multipleOf": 0}, "/multipleOf"),
        ({"minLength": -1}, "/minLength"),
        ({"maxItems": 1.5}, "/maxItems"),
        ({"maxLength": 2**63}, "/maxLength"),
        ({"minimum": 5, "maximum": 1}, "/minimum"),
        ({"minLength": 5, "maxLength": 1}, "/minLength"),
        ({"enum": []}, "/enum"),
        ({"pattern": "("}, "/pattern"),
        ({"format": "colour"}, "/format"),
        ({"properties": []}, "/properties"),
        ({"properties": {"a/b": {"type": 1}}}, "/properties/a~1b/type"),
        ({"required": "a"}, "/required"),
        ({"required": ["a"], "additionalProperties": False}, "/required"),
        ({"additionalProperties": {}}, "/additionalProperties"),
        ({"items": [{}]}, "/items"),
        ({"$ref": "#"}, "/$ref"),
        ({"x-assay": 1}, "/x-assay"),
        ({"x-assay": {"refusals": {"enum": "many"}}}, "/x-assay/refusals"),
        ({"x-assay": {"bins": {}}}, "/x-assay/bins"),
        (False, ""),
    ],
)
def test_what_is_no_contract_says_where(schema: Any, pointer: str) -> None:
    with pytest.raises(NotASchema) as caught:
        field(schema)
    assert caught.value.pointer == f"/properties/x{pointer}"


@pytest.mark.parametrize(
    "document",
    [
        [],
        {},
        {"type": "array"},
        {"type": "object", "$schema": "http://json-schema.org/draft-07/schema#"},
        {"type": "object", "enum": [{}]},
        {"type": "object", "const": {}},
        {"type": "object", "title": float("nan")},
        {"type": "object", "title": "\ud800"},
    ],
)
def test_what_is_no_contract_at_all(document: Any) -> None:
    with pytest.raises(NotASchema):
        Contract.parse(document)


def test_a_document_that_nests_without_end_is_refused() -> None:
    schema: dict[str, Any] = {}
    for _ in range(100_000):
        schema = {"items": schema}
    with pytest.raises(NotASchema, match="too deeply"):
        field(schema)


def test_enum_and_const_both_hold() -> None:
    assert field({"enum": [1, 2, True], "const": 1.0}).enum == (1,)
    assert field({"const": 3, "enum": [1, 2]}).enum == ()
    assert field({"const": None}).enum == (None,)


def test_expected_refusals_add_up() -> None:
    evidence = {"x-assay": {"refusals": {"bounds": 1e-5, "required": 2e-5}}}
    contract = Contract.parse({"type": "object", "properties": {"a": evidence, "b": evidence}})
    assert contract.expected_refusals == pytest.approx(6e-5)


def test_a_file_is_read_or_the_reason_told(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text('{"type": "object", "x-assay": {"dataset": "flights", "rows": 7}}', encoding="utf-8")
    bad.write_text("{", encoding="utf-8")
    contract = Contract.load(good)
    assert (contract.dataset, contract.rows) == ("flights", 7)
    with pytest.raises(NotASchema, match="not JSON"):
        Contract.load(bad)
    with pytest.raises(UsageError):
        Contract.load(tmp_path / "none.json")


def test_equality_is_json_schemas() -> None:
    assert json_equal({"a": [1, None]}, {"a": [1.0, None]})
    assert not json_equal([True], [1])
    assert not json_equal(False, 0)
    assert not json_equal("1", 1)
    assert [each for each in NASTY if not json_equal(each, each)] == []
