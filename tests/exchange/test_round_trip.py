"""What goes out comes back in: a contract that accepts the same events."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft201909Validator
from open_data_contract_standard.model import OpenDataContractStandard
from pydantic import ValidationError

from assay.contract.diff import diff
from assay.contract.document import Contract
from assay.contract.models import live_model
from assay.errors import UsageError
from assay.exchange.export import export
from assay.exchange.importing import import_contract
from tests.strategies import contracts, events

law = settings(max_examples=40, suppress_health_check=list(HealthCheck))


def standard() -> Draft201909Validator:
    """ODCS' own schema, as its text means it: what it says of a logical type holds where there is one.

    (As it stands, a property without one would have to be a map and a vector: `if` holds where nothing speaks against it.)
    """
    schema = json.loads(files("open_data_contract_standard").joinpath("schema.json").read_text(encoding="utf-8"))
    for rule in schema["$defs"]["SchemaBaseProperty"]["allOf"]:
        if "if" in rule:
            rule["if"] = {"allOf": [rule["if"]], "required": ["logicalType"]}
    return Draft201909Validator(schema)


STANDARD = standard()

#: A field of every kind, with the rules that it can have.
EVERYTHING: dict[str, Any] = {
    "type": "object",
    "title": "Flights",
    "description": "What left New York",
    "additionalProperties": False,
    "required": ["salary", "origin", "gone", "undescribed"],
    "properties": {
        "salary": {"type": "number", "minimum": 20000, "exclusiveMaximum": 150000, "title": "Pay"},
        "share": {"type": ["number", "null"], "exclusiveMinimum": 0, "multipleOf": 0.01},
        "month": {"type": "integer", "minimum": 1, "maximum": 12, "description": "of the year"},
        "class": {"type": "string", "pattern": r"^[\D\w]\b\s.\.$", "minLength": 2, "maxLength": 5},
        "origin": {"type": ["string", "null"], "enum": ["EWR", 'J"K', None]},
        "label": {"type": "integer", "enum": [0, 1.0]},
        "mixed": {"enum": [True, "a", 2, [1], None]},
        "one": {"const": "x"},
        "day": {"type": "string", "format": "date", "pattern": "^2"},
        "at": {"type": "string", "format": "date-time"},
        "clock": {"type": ["string", "null"], "format": "time"},
        "id": {"type": "string", "format": "uuid"},
        "legs": {
            "type": "array",
            "minItems": 1,
            "maxItems": 9,
            "items": {"type": ["object", "null"], "required": ["n"], "properties": {"n": {"type": "integer"}}},
        },
        "closed": {"type": "object", "additionalProperties": False, "properties": {"a": {}}},
        "extra": {"type": "object"},
        "list": {"type": "array"},
        "either": {"type": ["integer", "string", "boolean", "null"], "minimum": 3, "pattern": "a"},
        "gone": {"type": ["boolean", "null"]},
        "undescribed": {},
        "note": {},
        "something": {"type": ["boolean", "number", "string", "array", "object"]},
        "never": {"type": "string", "enum": [1]},
        "a b/~": {"type": "string"},
    },
}


def by_odcs(contract: Contract) -> Contract:
    return import_contract(yaml.safe_load(export(contract, "odcs").text), contract.dataset).contract


def by_json_schema(contract: Contract) -> Contract:
    return import_contract(json.loads(export(contract, "jsonschema").text), contract.dataset).contract


def by_pydantic(contract: Contract) -> Contract:
    module: dict[str, Any] = {"__name__": "generated"}
    exec(compile(export(contract, "pydantic").text, "contracts.py", "exec", dont_inherit=True), module)
    found = import_contract(module["MODELS"][contract.dataset], contract.dataset)
    assert found.left_out == ()
    return found.contract


WAYS = [pytest.param(way, id=way.__name__) for way in (by_odcs, by_json_schema, by_pydantic)]


@pytest.mark.parametrize("way", WAYS)
def test_every_kind_of_field_comes_back(way: Callable[[Contract], Contract]) -> None:
    contract = Contract.parse(EVERYTHING, dataset="flights", version=3)
    found = diff(contract, way(contract))
    assert (found.verdict, found.undecided) == ("same", ())
    assert [each.label for each in found.fields if each.verdict != "same"] == []


@pytest.mark.parametrize("way", WAYS)
def test_what_comes_back_goes_out_as_it_came(way: Callable[[Contract], Contract]) -> None:
    once = way(Contract.parse(EVERYTHING, dataset="flights", version=3))
    assert way(once).schema == once.schema


@pytest.mark.parametrize("way", WAYS)
@law
@given(data=st.data())
def test_the_same_events_are_accepted(way: Callable[[Contract], Contract], data: st.DataObject) -> None:
    before = data.draw(contracts())
    after = way(before)
    found = diff(before, after)
    assert found.verdict == "same" or found.undecided, (before.schema, after.schema)
    judges = live_model(before), live_model(after)
    for event in data.draw(st.lists(events(before), max_size=4)):
        verdicts = set()
        for model in judges:
            try:
                model.model_validate(event)
                verdicts.add(True)
            except ValidationError:
                verdicts.add(False)
        assert len(verdicts) == 1, (before.schema, after.schema, event)


@law
@given(contracts())
def test_what_goes_out_is_odcs(contract: Contract) -> None:
    document = yaml.safe_load(export(contract, "odcs").text)
    assert OpenDataContractStandard.model_validate(document).schema_ is not None
    assert [error.message for error in STANDARD.iter_errors(document)] == []


def test_words_are_carried_too() -> None:
    contract = by_odcs(Contract.parse(EVERYTHING, dataset="flights"))
    assert (contract.root.title, contract.root.description) == ("Flights", "What left New York")
    fields = {field.name: field for field in contract.fields}
    assert (fields["salary"].title, fields["month"].description) == ("Pay", "of the year")


@pytest.fixture
def no_odcs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "open_data_contract_standard.model", None)


def test_what_is_not_installed_is_named(no_odcs: None, tmp_path: Path) -> None:
    contract = Contract.parse({"type": "object"}, dataset="d")
    with pytest.raises(UsageError, match=r"assay\[exchange\]"):
        export(contract, "odcs")
