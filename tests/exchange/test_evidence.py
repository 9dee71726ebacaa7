"""What was measured stays with the fields that it was measured of."""

from __future__ import annotations

from typing import Any

from assay.contract.document import Contract
from assay.exchange.evidence import with_evidence

BINS = {"rows": 10, "edges": [1.0], "share": {"b0": 0.5, "b1": 0.5}}


def measured(schema: dict[str, Any], refusals: dict[str, float]) -> dict[str, Any]:
    evidence = {
        "rows": 10,
        "evidence": {"min": 1},
        "refusals": refusals,
        "never_seen": ["type"],
        "says": "s",
        "bins": BINS,
    }
    return {**schema, "description": "d", "x-assay": evidence}


def contract(properties: dict[str, Any], **keywords: Any) -> Contract:
    return Contract.parse({"type": "object", "properties": properties, **keywords}, dataset="d")


FORMER = contract(
    {
        "same": measured({"type": "integer", "minimum": 1}, {"minimum": 1e-5}),
        "bound": measured({"type": "integer", "minimum": 1}, {"minimum": 1e-5}),
        "type": measured({"type": "integer"}, {"type": 1e-5}),
        "required": measured({"type": "integer"}, {"required": 1e-5}),
        "below": {"type": "object", "properties": {"a": measured({"type": "integer"}, {})}},
        "list": {"type": "array", "items": measured({"type": "integer"}, {})},
        "gone": measured({"type": "integer"}, {}),
    },
    **{"title": "D", "x-assay": {"dataset": "d", "rows": 10, "budget": 1e-5, "left_out": [], "says": "few"}},
    required=["required"],
)


def test_what_still_holds_is_kept() -> None:
    new = contract(
        {
            "same": {"minimum": 1, "type": "integer"},
            "bound": {"type": "integer", "minimum": 0},
            "type": {"type": "string"},
            "required": {"type": "integer", "description": "mine"},
            "below": {"type": "object", "properties": {"a": {"type": "integer"}, "b": True}},
            "list": {"type": "array", "items": {"type": "integer"}},
            "new": True,
        }
    )
    found = with_evidence(new, FORMER).schema
    assert found["x-assay"] == {"dataset": "d", "rows": 10, "budget": 1e-5}
    assert found["title"] == "D"
    of_values = {"rows": 10, "evidence": {"min": 1}, "bins": BINS}
    fields = found["properties"]
    assert fields["same"]["x-assay"] == FORMER.schema["properties"]["same"]["x-assay"]
    assert fields["same"]["description"] == "d"
    assert fields["bound"]["x-assay"] == of_values
    assert fields["type"]["x-assay"] == {"rows": 10, "evidence": {"min": 1}}
    assert (fields["required"]["x-assay"], fields["required"]["description"]) == (of_values, "mine")
    assert fields["below"]["properties"]["a"]["x-assay"]["bins"] == BINS
    assert fields["list"]["items"]["x-assay"]["bins"] == BINS
    assert (fields["new"], fields["below"]["properties"]["b"]) == (True, True)


def test_evidence_of_its_own_is_not_touched() -> None:
    own = contract({"same": {"type": "integer", "minimum": 1}}, **{"x-assay": {"rows": 99}})
    assert with_evidence(own, FORMER) is own
    by_hand = contract({"same": {"type": "integer"}})
    assert with_evidence(by_hand, contract({"same": {"type": "integer"}})) is by_hand
