"""Documents of the Open Data Contract Standard that others have written."""

from __future__ import annotations

from typing import Any

import pytest

from assay.contract.document import Contract
from assay.errors import NotASchema, UsageError
from assay.exchange.carried import Imported
from assay.exchange.importing import import_contract


def document(*properties: dict[str, Any], **keywords: Any) -> dict[str, Any]:
    objects = [{"name": "orders", "logicalType": "object", "properties": list(properties), **keywords}]
    return {"apiVersion": "v3.1.0", "kind": "DataContract", "id": "1", "version": "1.0.0", "schema": objects}


def read(*properties: dict[str, Any], **keywords: Any) -> Imported:
    return import_contract(document(*properties, **keywords), "d")


def field(**node: Any) -> dict[str, Any]:
    """What a property says, as JSON Schema."""
    found: dict[str, Any] = read({"name": "a", **node}).contract.schema["properties"]["a"]
    return found


@pytest.mark.parametrize(
    ("node", "schema"),
    [
        pytest.param({"logicalType": "string"}, {"type": ["string", "null"]}, id="a column may be null"),
        pytest.param({"logicalType": "string", "required": True}, {"type": "string"}, id="unless it is required"),
        pytest.param({"logicalType": "timestamp", "required": True}, {"type": "string", "format": "date-time"}, id="timestamp"),
        pytest.param({"logicalType": "timestamp", "required": True, "logicalTypeOptions": {"timezone": True, "defaultTimezone": "UTC"}}, {"type": "string", "format": "date-time"}, id="zone"),
        pytest.param({"logicalType": "date", "required": True, "logicalTypeOptions": {"format": "yyyy-MM-dd"}}, {"type": "string", "format": "date"}, id="date"),
        pytest.param({"logicalType": "time", "required": True}, {"type": "string", "format": "time"}, id="time"),
        pytest.param({"logicalType": "integer", "required": True, "logicalTypeOptions": {"minimum": 1, "exclusiveMaximum": 9, "multipleOf": 2}}, {"type": "integer", "minimum": 1, "exclusiveMaximum": 9, "multipleOf": 2}, id="integer"),
        pytest.param({"logicalType": "string", "enum": [{"value": "a", "label": "A"}]}, {"type": ["string", "null"], "enum": ["a", None]}, id="enum"),
        pytest.param({"logicalType": "string", "required": True, "quality": [{"type": "library", "metric": "invalidValues", "arguments": {"validValues": ["a", "b"]}, "mustBe": 0}]}, {"type": "string", "enum": ["a", "b"]}, id="valid values, as before 3.2"),
        pytest.param({"logicalType": "array", "required": True, "items": {"logicalType": "number", "required": True}, "logicalTypeOptions": {"minItems": 1}}, {"type": "array", "minItems": 1, "items": {"type": "number"}}, id="array"),
        pytest.param({"logicalType": "object", "required": True, "properties": [{"name": "b", "logicalType": "boolean", "required": True}]}, {"type": "object", "properties": {"b": {"type": "boolean"}}, "required": ["b"]}, id="object"),
        pytest.param({"physicalType": "VARIANT"}, {}, id="no type"),
        pytest.param({"required": True}, {"type": ["string", "number", "boolean", "array", "object"]}, id="no type, and not null"),
        pytest.param({"businessName": "A", "description": "d", "tags": ["x"], "examples": [1]}, {"title": "A", "description": "d"}, id="words"),
    ],
)  # fmt: skip
def test_a_property(node: dict[str, Any], schema: dict[str, Any]) -> None:
    assert field(**node) == schema


def test_a_required_column_must_be_there() -> None:
    contract = read({"name": "a", "required": True}, {"name": "b", "required": False}, {"name": "c"}).contract
    assert contract.schema["required"] == ["a"]


def test_what_is_claimed_of_more_than_one_event_is_said() -> None:
    found = read(
        {
            "name": "a",
            "logicalType": "integer",
            "unique": True,
            "primaryKey": True,
            "quality": [{"metric": "nullValues"}],
        },
        quality=[{"type": "sql", "query": "SELECT 1"}, {"name": "enough rows", "metric": "rowCount"}],
    )
    assert sorted((each.field, each.rule) for each in found.left_out) == [
        ("", "quality (sql, enough rows)"),
        ("a", "primaryKey"),
        ("a", "quality (nullValues)"),
        ("a", "unique"),
    ]


@pytest.mark.parametrize(
    ("node", "pointer"),
    [
        pytest.param({"logicalType": "vector"}, "logicalType", id="vector"),
        pytest.param({"logicalType": "map", "map": {}}, "map", id="map"),
        pytest.param({"logicalType": "array", "logicalTypeOptions": {"uniqueItems": True}}, "logicalTypeOptions/uniqueItems", id="uniqueItems"),
        pytest.param({"logicalType": "object", "logicalTypeOptions": {"minProperties": 1}}, "logicalTypeOptions/minProperties", id="minProperties"),
        pytest.param({"logicalType": "date", "logicalTypeOptions": {"minimum": "2024-01-01"}}, "logicalTypeOptions/minimum", id="a date's bound"),
        pytest.param({"logicalType": "date", "logicalTypeOptions": {"format": "dd.MM.yyyy"}}, "logicalTypeOptions/format", id="another date"),
        pytest.param({"logicalType": "timestamp", "logicalTypeOptions": {"timezone": False}}, "logicalTypeOptions/timezone", id="no zone"),
        pytest.param({"logicalType": "integer", "logicalTypeOptions": {"format": "i32"}}, "logicalTypeOptions/format", id="bits"),
        pytest.param({"logicalType": "string", "enum": [{"label": "a"}]}, "enum/0", id="a value that is none"),
        pytest.param({"logicalType": "string", "items": {}}, "items", id="items of a text"),
        pytest.param({"logicalType": "string", "required": True, "customProperties": [{"property": "assay", "value": {"nullable": True}}]}, "required", id="two that disagree"),
        pytest.param({"logicalType": "string", "customProperties": [{"property": "assay", "value": 3}]}, "customProperties/0/value", id="no custom property of ours"),
        pytest.param({"logicalType": "string", "logicalTypeOptions": {"maxLength": 3}, "customProperties": [{"property": "assay", "value": {"schema": {"maxLength": 9}}}]}, "", id="said twice"),
    ],
)  # fmt: skip
def test_what_is_not_enforced_is_refused_by_name(node: dict[str, Any], pointer: str) -> None:
    with pytest.raises(NotASchema) as caught:
        field(**node)
    assert caught.value.pointer == f"/schema/0/properties/0/{pointer}".rstrip("/")


def test_a_pattern_is_checked_as_everywhere() -> None:
    with pytest.raises(NotASchema, match="look-around"):
        field(logicalType="string", logicalTypeOptions={"pattern": "(?=a)"})


def test_of_several_objects_the_datasets_own_is_taken() -> None:
    both = document({"name": "a", "logicalType": "string"})
    both["schema"].append({"name": "d", "properties": [{"name": "b", "logicalType": "string"}]})
    assert [each.name for each in import_contract(both, "d").contract.fields] == ["b"]
    with pytest.raises(UsageError, match="name the dataset as one of them: orders, d"):
        import_contract(both, "other")


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"apiVersion": "v2.2.2"}, "/apiVersion"),
        ({"schema": []}, "/schema"),
        ({"schema": [3]}, "/schema/0"),
        ({"colour": "red"}, "/colour"),
        ({"schema": [{"name": "d", "properties": [{"name": "a"}, {"name": "a"}]}]}, "/schema/0/properties/1/name"),
        ({"schema": [{"name": "d", "properties": [{"logicalType": "string"}]}]}, "/schema/0/properties/0/name"),
    ],
)
def test_what_is_no_odcs(change: dict[str, Any], pointer: str) -> None:
    with pytest.raises(NotASchema) as caught:
        import_contract({**document(), **change}, "d")
    assert caught.value.pointer == pointer


def test_an_unknown_field_is_let_in_unless_the_custom_property_says_otherwise() -> None:
    assert read().contract.root.additional
    closed = [{"property": "assay", "value": {"schema": {"additionalProperties": False}}}]
    assert not read(customProperties=closed).contract.root.additional
    others = [{"property": "meta", "value": {"schema": 3}}]
    assert read(customProperties=others).contract == Contract.parse(read().contract.schema, dataset="d")
