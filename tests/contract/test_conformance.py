"""JSON Schema's official cases: each schema is refused by its keyword's name, or every case's verdict holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest
from pydantic import BaseModel, ValidationError

from assay.contract.document import Contract
from assay.contract.models import live_model, source
from assay.errors import NotASchema

CASES: Final = Path(__file__).parents[3] / "shared" / "conformance"
ENFORCED: Final = 108  # as many groups as this must be carried out; the others are refused


def groups() -> list[dict[str, Any]]:
    found = []
    for path in sorted(CASES.glob("*.json")):
        found += json.loads(path.read_text(encoding="utf-8"))
    return found


def parsed(group: dict[str, Any], number: int, refused: list[str]) -> Contract | None:
    schema = {"type": "object", "properties": {"x": group["schema"]}}
    try:
        return Contract.parse(schema, dataset=f"case{number}", version=1)
    except NotASchema as error:
        refused.append(error.pointer)
        return None


def accepts(model: type[BaseModel], value: Any) -> bool:
    try:
        model.model_validate({"x": value})
    except ValidationError:
        return False
    return True


def accepts_text(model: type[BaseModel], value: Any) -> bool:
    try:
        model.model_validate_json(json.dumps({"x": value}))
    except ValidationError:
        return False
    return True


@pytest.mark.skipif(not CASES.is_dir(), reason="JSON Schema's official cases are not beside this checkout")
def test_every_verdict_holds() -> None:
    refused: list[str] = []
    enforced = [
        (group, contract)
        for number, group in enumerate(groups())
        if (contract := parsed(group, number, refused)) is not None
    ]
    module: dict[str, Any] = {"__name__": "generated"}
    exec(compile(source([contract for _, contract in enforced]), "contracts.py", "exec", dont_inherit=True), module)
    wrong = []
    for group, contract in enforced:
        live, generated = live_model(contract), module["MODELS"][contract.dataset]
        for case in group["tests"]:
            verdicts = accepts(live, case["data"]), accepts(generated, case["data"]), accepts_text(live, case["data"])
            if set(verdicts) != {case["valid"]}:
                wrong.append((group["description"], case["description"], verdicts))
    assert wrong == []
    assert len(enforced) >= ENFORCED
    assert all(pointer.startswith("/properties/x") for pointer in refused)


@pytest.mark.parametrize(
    ("schema", "pointer"),
    [
        ({"anyOf": [{"type": "integer"}]}, "/properties/x/anyOf"),
        ({"patternProperties": {"^a": {}}}, "/properties/x/patternProperties"),
        ({"additionalProperties": {"type": "integer"}}, "/properties/x/additionalProperties"),
        ({"items": False}, "/properties/x/items"),
        ({"format": "hostname"}, "/properties/x/format"),
        ({"pattern": "(?=a)"}, "/properties/x/pattern"),
        ({"uniqueItems": True}, "/properties/x/uniqueItems"),
        ({"colour": "red"}, "/properties/x/colour"),
    ],
)
def test_what_is_not_enforced_is_refused_by_name(schema: dict[str, Any], pointer: str) -> None:
    with pytest.raises(NotASchema) as caught:
        Contract.parse({"type": "object", "properties": {"x": schema}})
    assert caught.value.pointer == pointer
