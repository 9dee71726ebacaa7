"""A contract is widened by what it refused, and by as little else as its keywords can say."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from assay.contract.diff import diff
from assay.contract.document import Contract
from assay.contract.models import live_model
from assay.contract.widen import Unmendable, widen
from tests.strategies import contracts, events

law = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))


def contract(**properties: Any) -> Contract:
    return Contract.parse({"type": "object", "properties": properties}, dataset="d", version=1)


def passes(contract: Contract, event: object) -> bool:
    try:
        live_model(contract).model_validate(event)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize(
    ("node", "values", "widened"),
    [
        pytest.param({"type": "integer"}, [None], {"type": ["integer", "null"]}, id="null"),
        pytest.param({"type": "integer"}, ["x"], {"type": ["integer", "string"]}, id="another type"),
        pytest.param({"type": "integer"}, [1.5], {"type": "number"}, id="a fraction"),
        pytest.param({"type": ["integer", "null"]}, [1.5], {"type": ["number", "null"]}, id="a fraction beside null"),
        pytest.param({"type": "number"}, [1], {"type": "number"}, id="an integer is a number"),
        pytest.param({"type": "string"}, [1.0], {"type": ["integer", "string"]}, id="1.0 is an integer"),
        pytest.param({"type": "string"}, [True], {"type": ["boolean", "string"]}, id="true is no number"),
        pytest.param({"minimum": 0, "maximum": 9}, [12, -1, 11], {"minimum": -1, "maximum": 12}, id="bounds"),
        pytest.param({"exclusiveMaximum": 9}, [9], {"maximum": 9}, id="an exclusive bound"),
        pytest.param(
            {"exclusiveMinimum": 0, "minimum": -5}, [-1], {"minimum": -5}, id="an exclusive bound beside another"
        ),
        pytest.param({"multipleOf": 0.01}, [19.99], {"multipleOf": 0.01}, id="a multiple in decimal"),
        pytest.param({"multipleOf": 0.01}, [19.995], {}, id="no multiple"),
        pytest.param({"minLength": 2, "maxLength": 3}, ["", "😀" * 4], {"minLength": 0, "maxLength": 4}, id="lengths"),
        pytest.param({"pattern": "^a", "maxLength": 9}, ["b"], {"maxLength": 9}, id="a pattern"),
        pytest.param({"type": "string", "format": "date"}, ["2024-02-30"], {"type": "string"}, id="a format"),
        pytest.param({"enum": ["a", "b"]}, ["c", "c", "a"], {"enum": ["a", "b", "c"]}, id="a value"),
        pytest.param({"enum": [1]}, [True], {"enum": [1, True]}, id="true is not 1"),
        pytest.param({"const": "a"}, ["b"], {"enum": ["a", "b"]}, id="a constant"),
        pytest.param(
            {"type": "string", "enum": ["a"]}, [None], {"type": ["string", "null"], "enum": ["a", None]}, id="both"
        ),
        pytest.param({"enum": ["a", 1.5]}, list(range(30)), {"type": ["string", "number"]}, id="too many values"),
        pytest.param({"minItems": 1, "maxItems": 1}, [[], [1, 2]], {"minItems": 0, "maxItems": 2}, id="items"),
        pytest.param({"items": {"maximum": 1}}, [[0, 5]], {"items": {"maximum": 5}}, id="an item"),
        pytest.param(
            {"properties": {"x": {"type": "string"}}, "required": ["x", "y"]},
            [{"y": 1}, {"x": 1, "y": 2}],
            {"properties": {"x": {"type": ["integer", "string"]}}, "required": ["y"]},
            id="an object",
        ),
        pytest.param(
            {"properties": {}, "additionalProperties": False},
            [{"n": 1, "z": None, "o": {"p": 1}}],
            {"properties": {"n": {"type": "integer"}, "z": {}, "o": {"type": "object"}}, "additionalProperties": False},
            id="unknown fields",
        ),
        pytest.param(
            {"additionalProperties": False, "properties": {"a": {}}},
            [{f"n{i}": 1 for i in range(30)}],
            {"additionalProperties": True},
            id="too many unknown fields",
        ),
        pytest.param(True, [1, "x"], True, id="anything"),
    ],
)
def test_as_little_as_must_be(node: Any, values: list[Any], widened: Any) -> None:
    found = widen(contract(f=node), [{"f": value} for value in values])
    made = found.schema["properties"]["f"]
    if isinstance(widened, dict) and widened.get("additionalProperties") is True:
        made = {"additionalProperties": made["additionalProperties"]}
    assert made == widened
    assert all(passes(found, {"f": value}) for value in values)


@law
@given(contracts(), st.data())
def test_what_it_lets_in_is_let_in_and_nothing_that_was_is_lost(old: Contract, data: st.DataObject) -> None:
    wanted = data.draw(st.lists(events(old), min_size=1, max_size=3))
    before = [event for event in wanted if passes(old, event)]
    try:
        found = widen(old, wanted)
    except Unmendable:
        assume(False)
        raise
    assert [event for event in wanted if not passes(found, event)] == []
    assert diff(old, found).verdict in ({"same"} if len(before) == len(wanted) else {"widens"})
    assert json.loads(found.to_json()) == json.loads(widen(found, wanted).to_json())  # a second time nothing changes


@pytest.mark.parametrize("event", [5, None, [], {"a": float("inf")}, {"a": [{"b": 10**400}]}])
def test_what_no_contract_lets_in(event: object) -> None:
    with pytest.raises(Unmendable):
        widen(contract(), [event])


def test_the_evidence_says_what_was_moved() -> None:
    evidence = {
        "says": "Seen to 9.",
        "refusals": {"maximum": 1e-6, "null": 1e-5, "required": 1e-5},
        "never_seen": ["null", "required"],
    }
    old = Contract.parse(
        {
            "type": "object",
            "properties": {"a": {"type": "integer", "maximum": 9, "x-assay": evidence}, "b": {"type": "string"}},
            "required": ["a"],
        }
    )
    found = widen(old, [{"a": 12}, {}])
    assert found.schema["properties"]["a"]["x-assay"] == {
        "says": "Seen to 9. Widened since, to let refused events in.",
        "refusals": {"null": 1e-5},
        "never_seen": ["null"],
    }
    assert old.schema["properties"]["a"]["x-assay"] == evidence
    assert "required" in old.schema
