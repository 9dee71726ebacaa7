"""What follows from a verdict: refused or flagged, counted under which field."""

from __future__ import annotations

from typing import Any

import pytest

from assay.contract.document import Contract
from assay.contract.versions import Active
from assay.ingest.validate import Judge, violations_json

TEXT = {"type": "string"}
CONTRACT = Contract.parse(
    {
        "type": "object",
        "properties": {
            "a": {"type": "integer", "maximum": 9},
            "o": {"type": "object", "properties": {"x": TEXT}, "additionalProperties": False},
            "items": {"type": "array", "items": {"type": "object", "properties": {"p": {"type": "number"}}}},
        },
        "required": ["a"],
    },
    dataset="d",
    version=1,
)
JUDGE = Judge(CONTRACT, Active(1))


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        pytest.param({"a": 1}, [], id="kept"),
        pytest.param({}, [("a", "missing")], id="missing"),
        pytest.param({"a": True}, [("a", "int_type")], id="true is no integer"),
        pytest.param({"a": 1.0}, [], id="1.0 is one"),
        pytest.param({"a": 99, "o": {"x": 5}}, [("a", "less_than_equal"), ("o.x", "string_type")], id="two"),
        pytest.param({"a": 1, "o": {"x": "", "new": 1}}, [("_unexpected", "extra_forbidden")], id="unknown"),
        pytest.param({"a": 1, "items": [{"p": 1}, {"p": ""}]}, [("items[].p", "float_type")], id="in a list"),
        pytest.param(5, [("", "model_type")], id="no event"),
    ],
)
def test_violations_and_their_labels(event: Any, expected: list[tuple[str, str]]) -> None:
    found = JUDGE.judge(event)
    told = [(JUDGE.label(violation), violation.type) for violation in found]
    assert told == expected
    assert set(told) <= set(JUDGE.kinds())
    assert JUDGE.rejects(found) is bool(expected)


@pytest.mark.parametrize(
    ("event", "unexpected"),
    [
        ({"a": 1}, 0),
        ({"b": 1, "c": {"d": 1}}, 2),
        ({"o": {"x": 1, "y": 1}, "z": 1}, 2),
        ({"items": [{"p": 1, "q": 1}, {"q": 1}, 5]}, 2),
        ({"o": 5, "items": "x"}, 0),
    ],
)
def test_unknown_fields_are_counted_at_every_level(event: dict[str, Any], unexpected: int) -> None:
    assert JUDGE.unexpected(event) == unexpected


def test_violations_are_json_whatever_the_input() -> None:
    found = JUDGE.judge({"a": float("inf"), "o": {"x": float("nan")}})
    assert found
    assert "Infinity" not in violations_json(found)
    assert "NaN" not in violations_json(found)
