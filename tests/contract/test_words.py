from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from assay.contract.document import Contract
from assay.contract.words import figure, rule_in_words
from tests.strategies import contracts


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "integer", "minimum": -55, "maximum": 2563}, "integer, -55 to 2,563"),
        ({"type": ["number", "null"], "minimum": 0}, "number or null, 0 and more"),
        ({"type": "number", "exclusiveMinimum": 0, "multipleOf": 0.01}, "number, above 0, a multiple of 0.01"),
        ({"type": "string", "enum": ["EWR", "JFK"]}, "one of EWR, JFK"),
        ({"enum": [0, None, True]}, "one of 0, null, true"),
        ({"type": "integer", "enum": list(range(12))}, "one of 0, 1, 2, 3, 4, 5, 6, 7 and 4 more"),
        ({"type": "string", "format": "date-time"}, "date-time"),
        ({"type": "string", "maxLength": 3}, "string, up to 3 characters"),
        (
            {"type": "string", "minLength": 1, "maxLength": 3, "pattern": "^[A-Z]"},
            "string, 1 to 3 characters, like ^[A-Z]",
        ),
        ({"type": "array", "items": {"type": "integer"}, "maxItems": 9}, "array of integer, up to 9 items"),
        ({"type": ["integer", "string"]}, "integer or string"),
        ({}, "anything"),
    ],
)
def test_a_rule_reads_as_a_person_would_say_it(schema: dict[str, Any], words: str) -> None:
    document = {"type": "object", "properties": {"x": schema}, "required": ["x"]}
    assert rule_in_words(Contract.parse(document).fields[0]) == words


def test_a_field_that_may_be_missing_says_so() -> None:
    contract = Contract.parse({"type": "object", "properties": {"x": {"type": "boolean"}}})
    assert rule_in_words(contract.fields[0]) == "boolean; may be missing"


@pytest.mark.parametrize(
    ("value", "text"), [(2563, "2,563"), (0.1, "0.1"), (1.5e6, "1,500,000"), (1190.1234567, "1,190.12")]
)
def test_figures_are_readable(value: float, text: str) -> None:
    assert figure(value) == text


@given(contracts())
def test_every_contract_has_words(contract: Contract) -> None:
    for _, field in contract.root.walk():
        assert rule_in_words(field)
