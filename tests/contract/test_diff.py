"""Two contracts compared by the events that each accepts."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from assay.contract.diff import Diff, Verdict, diff, is_at_least
from assay.contract.document import _KEYWORDS, Contract
from assay.contract.models import live_model
from assay.errors import NotASchema
from assay.types import FORMATS
from tests.strategies import contracts, events, successors

INTEGER, NUMBER, STRING = {"type": "integer"}, {"type": "number"}, {"type": "string"}
LIST, OBJECT = {"type": "array"}, {"type": "object"}
DAY = STRING | {"format": "date"}


def contract(properties: Any = None, **keywords: Any) -> Contract:
    return Contract.parse({"type": "object", "properties": properties or {}, **keywords}, dataset="d", version=1)


def accepts(model: type[BaseModel], event: Any) -> bool:
    try:
        model.model_validate(event)
    except ValidationError:
        return False
    return True


def verified(old: Contract, new: Contract) -> Diff:
    """The difference, its examples judged by both models and against its verdict."""
    found = diff(old, new)
    before, after = live_model(old), live_model(new)
    if found.lost is not None:
        assert accepts(before, found.lost.event)
        assert not accepts(after, found.lost.event)
    if found.gained is not None:
        assert accepts(after, found.gained.event)
        assert not accepts(before, found.gained.event)
    assert found.undecided or (found.lost is not None) == (found.verdict in {"narrows", "incomparable"})
    assert found.undecided or (found.gained is not None) == (found.verdict in {"widens", "incomparable"})
    json.dumps(found.to_document())
    return found


# old, new, what the change is; the other way round it must be the opposite
PAIRS: list[tuple[str, dict[str, Any], dict[str, Any], Verdict]] = [
    ("type: a number to an integer", NUMBER, INTEGER, "narrows"),
    ("type: one of two kinds", {"type": ["integer", "string"]}, STRING, "narrows"),
    ("type: another", STRING, INTEGER, "incomparable"),
    ("type: an integer and a number are a number", {"type": ["integer", "number"]}, NUMBER, "same"),
    ("type: anything to something", {}, {"type": "boolean"}, "narrows"),
    ("type: every kind is anything", {"type": ["null", "boolean", "number", "string", "array", "object"]}, {}, "same"),
    ("type: null no more", {"type": ["integer", "null"]}, INTEGER, "narrows"),
    ("minimum raised", NUMBER | {"minimum": 0}, NUMBER | {"minimum": 0.5}, "narrows"),
    ("minimum moved between two integers", INTEGER | {"minimum": 0.1}, INTEGER | {"minimum": 0.9}, "same"),
    ("minimum beyond a double's integers", NUMBER | {"minimum": 2**53}, NUMBER | {"minimum": 2**53 + 1}, "narrows"),
    ("minimum for texts alone", STRING | {"minimum": 1}, STRING | {"minimum": 5}, "same"),
    ("maximum lowered", INTEGER | {"maximum": 9}, INTEGER | {"maximum": 8}, "narrows"),
    ("a window moved", INTEGER | {"minimum": 0, "maximum": 9}, INTEGER | {"minimum": 5, "maximum": 20}, "incomparable"),
    ("exclusiveMinimum for minimum", NUMBER | {"minimum": 0}, NUMBER | {"exclusiveMinimum": 0}, "narrows"),
    ("exclusiveMinimum of an integer", INTEGER | {"exclusiveMinimum": 0}, INTEGER | {"minimum": 1}, "same"),
    ("exclusiveMaximum for maximum", NUMBER | {"maximum": 1}, NUMBER | {"exclusiveMaximum": 1}, "narrows"),
    ("exclusiveMaximum beside maximum", NUMBER | {"maximum": 1}, NUMBER | {"maximum": 1, "exclusiveMaximum": 2}, "same"),
    ("multipleOf added", NUMBER, NUMBER | {"multipleOf": 0.01}, "narrows"),
    ("multipleOf a divisor", NUMBER | {"multipleOf": 6}, NUMBER | {"multipleOf": 3}, "widens"),
    ("multipleOf another", INTEGER | {"multipleOf": 4}, INTEGER | {"multipleOf": 6}, "incomparable"),
    ("multipleOf 1 is an integer", NUMBER | {"multipleOf": 1}, INTEGER, "same"),
    ("multipleOf 1.5 among integers", INTEGER | {"multipleOf": 1.5}, INTEGER | {"multipleOf": 3}, "same"),
    ("minLength added", STRING, STRING | {"minLength": 1}, "narrows"),
    ("minLength 0 says nothing", STRING, STRING | {"minLength": 0}, "same"),
    ("maxLength raised", STRING | {"maxLength": 10}, STRING | {"maxLength": 20}, "widens"),
    ("maxLength far away, under a pattern", STRING | {"pattern": "^a+$", "maxLength": 10**9}, STRING | {"pattern": "^a+$", "maxLength": 20}, "narrows"),
    ("pattern widened", STRING | {"pattern": "^[A-Z]{2}$"}, STRING | {"pattern": "^[A-Z]{2,3}$"}, "widens"),
    ("pattern in other words", STRING | {"pattern": r"^\d+$"}, STRING | {"pattern": "^[0-9][0-9]*$"}, "same"),
    ("pattern crossing", STRING | {"pattern": "^a"}, STRING | {"pattern": "b$"}, "incomparable"),
    ("pattern with a word's edge", STRING | {"pattern": r"\bb"}, STRING | {"pattern": "b"}, "widens"),
    ("pattern that says its length", STRING | {"pattern": "^.{3}$"}, STRING | {"maxLength": 3}, "widens"),
    ("pattern of categories", STRING | {"pattern": r"^\p{Lu}$"}, STRING | {"pattern": r"^\p{L}$"}, "widens"),
    ("format dropped", DAY, STRING, "widens"),
    ("format against a pattern", DAY, STRING | {"pattern": r"^\d{4}-\d\d-\d\d$"}, "widens"),
    ("format against a length", STRING | {"format": "uuid"}, STRING | {"minLength": 36, "maxLength": 36}, "widens"),
    ("format another", STRING | {"format": "date-time"}, DAY, "incomparable"),
    ("format and a pattern", STRING | {"format": "date-time"}, STRING | {"format": "date-time", "pattern": "Z$"}, "narrows"),
    ("enum shortened", {"enum": ["a", "b", "c"]}, {"enum": ["a", "b"]}, "narrows"),
    ("enum changed", {"enum": ["a", "b"]}, {"enum": ["b", "c"]}, "incomparable"),
    ("enum under its field's other rules", STRING | {"enum": ["a", 1]}, STRING | {"enum": ["a"]}, "same"),
    ("enum for a pattern", STRING | {"pattern": "^[ab]$"}, {"enum": ["a", "b"]}, "same"),
    ("enum for whole numbers", INTEGER | {"minimum": 1, "maximum": 3}, {"enum": [1, 2.0, 3]}, "same"),
    ("enum of every boolean", {"type": "boolean"}, {"enum": [True, False]}, "same"),
    ("enum of some numbers", NUMBER, {"enum": [0, 1, 0.5]}, "narrows"),
    ("enum of lists", LIST | {"maxItems": 1}, {"enum": [[], [1]]}, "narrows"),
    ("enum of objects", OBJECT, {"enum": [{"a": 1}, {}]}, "narrows"),
    ("const for an enum of one", {"enum": ["a"]}, {"const": "a"}, "same"),
    ("const another", {"const": 1}, {"const": True}, "incomparable"),
    ("items narrower", LIST | {"items": NUMBER}, LIST | {"items": INTEGER}, "narrows"),
    ("items said", LIST, LIST | {"items": STRING}, "narrows"),
    ("items where there are none", LIST | {"maxItems": 0}, LIST | {"maxItems": 0, "items": STRING}, "same"),
    ("minItems raised", LIST, LIST | {"minItems": 1}, "narrows"),
    ("maxItems raised", LIST | {"items": STRING, "maxItems": 2}, LIST | {"items": STRING, "maxItems": 3}, "widens"),
    ("properties below", OBJECT | {"properties": {"a": INTEGER}}, OBJECT | {"properties": {"a": NUMBER}}, "widens"),
    ("properties of a closed object", OBJECT | {"additionalProperties": False}, OBJECT | {"properties": {"a": {}}, "additionalProperties": False}, "widens"),
    ("required below", OBJECT, OBJECT | {"required": ["a"]}, "narrows"),
    ("additionalProperties closed", OBJECT, OBJECT | {"additionalProperties": False}, "narrows"),
    ("words alone", {"title": "a", "x-assay": {"says": "b"}}, {"description": "c"}, "same"),
]  # fmt: skip
OPPOSITE: dict[Verdict, Verdict] = {"narrows": "widens", "widens": "narrows"}


@pytest.mark.parametrize(("old", "new", "verdict"), [pytest.param(*pair, id=name) for name, *pair in PAIRS])
def test_a_pair(old: dict[str, Any], new: dict[str, Any], verdict: Verdict) -> None:
    a, b = contract({"x": old}), contract({"x": new})
    assert verified(a, b).verdict == verdict
    assert verified(b, a).verdict == OPPOSITE.get(verdict, verdict)
    assert not verified(a, b).undecided


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_every_format_narrows_a_text(name: str) -> None:
    free, ruled = contract({"x": STRING}), contract({"x": STRING | {"format": name}})
    assert verified(free, ruled).verdict == "narrows"
    assert verified(ruled, free).verdict == "widens"
    assert verified(ruled, contract({"x": {"type": ["string", "null"], "format": name}})).verdict == "widens"


def test_the_pairs_cover_every_keyword() -> None:
    text = json.dumps([[old, new] for _, old, new, _ in PAIRS])
    assert [keyword for keyword in _KEYWORDS if f'"{keyword}"' not in text] == []


@pytest.mark.parametrize(
    ("old", "new", "verdict", "label"),
    [
        pytest.param(contract(), contract({"a": INTEGER}), "narrows", "a", id="described"),
        pytest.param(
            contract({"a": INTEGER}, additionalProperties=False),
            contract({"a": INTEGER, "b": INTEGER}, additionalProperties=False, required=["b"]),
            "incomparable",
            "b",
            id="a new required field where no other may be",
        ),
        pytest.param(contract({"a": {}}), contract({"a": {}}, required=["a"]), "narrows", "a", id="required"),
        pytest.param(contract({"a": {}}), contract(), "same", "a", id="described as anything"),
        pytest.param(
            contract({"a": LIST | {"items": OBJECT | {"properties": {"b": NUMBER}}}}),
            contract({"a": LIST | {"items": OBJECT | {"properties": {"b": INTEGER}}}}),
            "narrows",
            "a[].b",
            id="deep down",
        ),
        pytest.param(contract(), contract(additionalProperties=False), "narrows", "the event", id="closed"),
    ],
)
def test_the_field_is_named(old: Contract, new: Contract, verdict: Verdict, label: str) -> None:
    found = verified(old, new)
    assert found.verdict == verdict
    assert [(each.label, each.verdict) for each in found.fields] == [(label, verdict)]


def test_an_object_that_cannot_be_is_in_every_other() -> None:
    never = STRING | {"enum": [1]}
    assert verified(contract({"a": never}, required=["a"]), contract({"b": INTEGER})).verdict == "widens"


def test_it_says_what_it_means() -> None:
    found = diff(contract({"a": INTEGER | {"maximum": 9}}), contract({"a": INTEGER | {"maximum": 5}}))
    (field,) = found.fields
    assert (field.before, field.after) == ("integer, up to 9; may be missing", "integer, up to 5; may be missing")
    assert field.producers == "6 was accepted and is refused now"
    assert field.readers == "nothing new can appear"
    assert found.example is found.lost
    assert found.lost is not None
    assert (found.lost.event, found.lost.field, found.lost.type) == ({"a": 6}, "a", "less_than_equal")


def test_what_takes_too_long_is_said_and_taken_as_a_difference() -> None:
    a, b = ("^[ab]*a[ab]{16}$", "^[ab]*a[ab]{8}[ab]{8}$")
    found = diff(contract({"a": STRING | {"pattern": a}}), contract({"a": STRING | {"pattern": b}}))
    assert found.undecided == ("two patterns take too long to compare",)
    assert (found.verdict, found.example) == ("incomparable", None)
    large = contract({"a": STRING | {"pattern": "^(?:[a-z]{1,900}){1,90}$"}})
    found = diff(large, contract({"a": STRING | {"pattern": "^[a-z]{1,9}$"}}))
    assert found.undecided == ("a pattern is too large to be compared",)
    assert (found.verdict, found.example) == ("incomparable", None)


@pytest.mark.parametrize(
    ("verdict", "stopped"),
    [
        ("same", []),
        ("narrows", ["narrows"]),
        ("widens", ["widens"]),
        ("incomparable", ["narrows", "widens", "incomparable"]),
    ],
)
def test_what_a_gate_stops(verdict: Verdict, stopped: list[str]) -> None:
    gates: tuple[Verdict, ...] = ("narrows", "widens", "incomparable")
    assert [gate for gate in gates if is_at_least(verdict, gate)] == stopped


@given(st.data())
@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
def test_no_event_speaks_against_the_verdict(data: st.DataObject) -> None:
    old = data.draw(contracts())
    try:
        new = data.draw(successors(old) | contracts())
    except NotASchema:
        assume(False)
    found = verified(old, new)
    before, after = live_model(old), live_model(new)
    for event in [*(data.draw(events(old)) for _ in range(3)), *(data.draw(events(new)) for _ in range(3))]:
        was, will = accepts(before, event), accepts(after, event)
        assert not (will and not was and found.verdict in {"same", "narrows"}), event
        assert not (was and not will and found.verdict in {"same", "widens"}), event
