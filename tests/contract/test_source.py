from __future__ import annotations

import sys
from typing import Any

import pytest
from hypothesis import given, settings

from assay.contract.document import Contract
from assay.contract.models import source
from assay.errors import UsageError
from tests.strategies import contracts

FLIGHTS: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["salary", "class"],
    "properties": {
        "salary": {"type": "number", "minimum": 20000, "maximum": 150000},
        "share": {"type": ["number", "null"], "minimum": 0, "multipleOf": 0.01},
        "month": {"type": "integer", "minimum": 1, "maximum": 12},
        "class": {"type": "string", "pattern": r"^\d\.$"},
        "origin": {"type": ["string", "null"], "enum": ["EWR", 'J"K', None]},
        "label": {"type": "integer", "enum": [0, 1]},
        "legs": {"type": "array", "maxItems": 9, "items": {"type": "object", "properties": {"at": {"format": "date"}}}},
        "extra": {"type": "object"},
        "note": {},
    },
}

TEXT = '''"""The Pydantic models of the active contracts: flights@3.

Generated from them: what is enforced is the contract, not this file. To change one, write the next version in
`contracts/flights/` and activate it: `assay activate flights N`. A field with a default may be missing; it may be
null only where its type says `| None`.
"""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from assay.types import Event, Format, Integer, Json, Number, OneOf


class FlightsLegsItem(Event):
    at: Annotated[str, Format("date")] = None


class Flights(Event):
    model_config = ConfigDict(extra="forbid")

    salary: Annotated[float, Field(ge=20000, le=150000)]
    share: Annotated[float, Number(ge=0, multiple_of=0.01)] | None = None
    month: Annotated[int, Integer(ge=1, le=12)] = None
    class_: Annotated[str, Field(alias="class", pattern=r"^[0-9]\\.$")]
    origin: Literal["EWR", 'J"K'] | None = None
    label: Annotated[Any, OneOf(0, 1)] = None
    legs: Annotated[list[FlightsLegsItem], Field(max_length=9)] = None
    extra: dict[str, Json] = None
    note: Json = None


MODELS = {
    "flights": Flights,
}
'''


def parse(schema: dict[str, Any], dataset: str = "flights") -> Contract:
    return Contract.parse(schema, dataset=dataset, version=3)


def run(text: bytes) -> dict[str, Any]:
    module: dict[str, Any] = {"__name__": "generated"}
    exec(compile(text, "contracts.py", "exec", dont_inherit=True), module)
    return module


def test_it_reads_well() -> None:
    schema = {**FLIGHTS, "properties": {**FLIGHTS["properties"]}}
    schema["properties"]["legs"]["items"]["properties"]["at"] = {"type": "string", "format": "date"}
    assert source([parse(schema)]).decode() == TEXT


def test_a_class_for_each_dataset_in_order_of_name() -> None:
    datasets = ["true", "exception", "field", "a_b", "a__b", "flights", "models", "none"]
    contracts = [parse({"type": "object", "properties": {"x": {"properties": {"y": {}}}}}, name) for name in datasets]
    text = source(contracts)
    assert text == source(contracts[::-1])
    models = run(text)["MODELS"]
    assert {dataset: model.__name__ for dataset, model in models.items()} == {
        "a__b": "AB",
        "a_b": "AB_",
        "exception": "Exception_",
        "field": "Field_",
        "flights": "Flights",
        "models": "Models",
        "none": "None_",
        "true": "True_",
    }


def test_no_contract_is_a_module_too() -> None:
    assert run(source([]))["MODELS"] == {}


@settings(max_examples=20, deadline=None)
@given(contracts())
def test_the_same_contract_gives_the_same_bytes(contract: Contract) -> None:
    again = Contract.parse(contract.schema, dataset=contract.dataset, version=contract.version)
    assert source([contract]) == source([again])


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datamodel_code_generator", None)
    with pytest.raises(UsageError, match=r"assay\[profile\]"):
        source([])
