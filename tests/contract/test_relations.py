"""Rules between fields: what breaks them, how they are written, and that they refuse nothing."""

from __future__ import annotations

from typing import Any

import pytest

from assay.contract.document import Contract
from assay.contract.relations import Relation, relations
from assay.errors import NotASchema

ORDER = Relation("order", ("low", "high"), 5_000, 0.4)
SUM = Relation("sum", ("total", "net", "tax"), 5_000, 0.9995)
TOGETHER = Relation("together", ("a", "b", "c"), 5_000, 0.1, absent=50)
EQUAL = Relation("equal", ("a", "b"), 5_000, 0.5)


@pytest.mark.parametrize(
    ("relation", "event", "breaks"),
    [
        (ORDER, {"low": 1, "high": 1.0}, False),
        (ORDER, {"low": 2, "high": 1}, True),
        (ORDER, {"low": 2}, False),
        (ORDER, {"low": 2, "high": None}, False),
        (ORDER, {"low": True, "high": 0}, False),
        (ORDER, {"low": "2026-01-02T00:00:00+02:00", "high": "2026-01-01T23:00:00Z"}, False),
        (ORDER, {"low": "2026-01-02T00:00:00Z", "high": "2026-01-01T23:00:00Z"}, True),
        (ORDER, {"low": "2026-01-02", "high": "2026-01-01"}, True),
        (ORDER, {"low": "b", "high": "a"}, False),
        (SUM, {"total": 0.3, "net": 0.1, "tax": 0.2}, False),
        (SUM, {"total": 0.31, "net": 0.1, "tax": 0.2}, True),
        (SUM, {"total": 0.31, "net": 0.1}, False),
        (SUM, {"total": 10**400, "net": 0.1, "tax": 0.2}, True),
        (TOGETHER, {"a": 1, "b": "x", "c": []}, False),
        (TOGETHER, {"a": None}, False),
        (TOGETHER, {"a": 1, "c": 2}, True),
        (EQUAL, {"a": 1, "b": 1.0}, False),
        (EQUAL, {"a": 1, "b": 2}, True),
        (EQUAL, {"a": "x", "b": "y"}, False),
    ],
)
def test_what_breaks_it(relation: Relation, event: dict[str, Any], breaks: bool) -> None:  # noqa: FBT001
    assert relation.breaks(event) is breaks


def test_in_words() -> None:
    assert [each.rule for each in (ORDER, SUM, TOGETHER, EQUAL)] == [
        "low ≤ high",
        "net + tax = total",
        "a, b and c are there together or not at all",
        "a = b",
    ]
    assert SUM.says == "So in all 5,000 rows; were the fields unrelated, nearly all would break it."
    assert TOGETHER.says == "So in all 5,000 rows, 50 of them without; were the fields unrelated, 10% would break it."
    assert ORDER.expected == pytest.approx(7.36e-5)


def test_a_contract_carries_them_and_refuses_nothing() -> None:
    given = [ORDER, SUM, TOGETHER, EQUAL]
    evidence = {"relations": [each.to_document() for each in given]}
    contract = Contract.parse({"type": "object", "properties": {"low": {}}, "x-assay": evidence})
    assert relations(contract) == tuple(given)
    assert list(contract.refusals) == []
    assert relations(Contract.parse({"type": "object"})) == ()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "a list is expected"),
        ([1], "a relation is a JSON object"),
        ([{"kind": "product", "fields": ["a", "b"]}], "kind is one of order, equal, sum, together"),
        ([{"kind": ["order"], "fields": ["a", "b"]}], "kind is one of"),
        ([{"kind": "sum", "fields": ["a", "b"]}], "names 3 fields or more"),
        ([{"kind": "order", "fields": ["a", "b", "c"]}], "between two fields"),
        ([{"kind": "order", "fields": ["a", 2]}], "names 2 fields"),
        ([{"kind": "order", "fields": ["a", "b"], "rows": "many"}], "rows are counted"),
    ],
)
def test_one_that_cannot_be_read(given: Any, says: str) -> None:
    with pytest.raises(NotASchema, match=says):
        relations(Contract.parse({"type": "object", "x-assay": {"relations": given}}))
