"""Every keyword of draft 2020-12 by hand-written cases: enforced exactly in every path, or refused at import by name.

`tests/data/keywords.json` is in the form of JSON Schema's own test suite, with `refused`, the pointer of an error, in
place of `tests`; what `imported` says is a contract's only once references and alternatives are written out.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import duckdb
import pytest
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from assay.contract.document import ANNOTATIONS, Contract
from assay.contract.models import live_model, source
from assay.contract.versions import Active
from assay.errors import NotASchema
from assay.exchange.export import export
from assay.exchange.importing import import_contract
from assay.ingest.validate import Judge
from assay.types import FORMATS

GROUPS: Final[list[dict[str, Any]]] = json.loads(
    (Path(__file__).parents[1] / "data/keywords.json").read_text(encoding="utf-8")
)
ENFORCED: Final = [pytest.param(group, id=group["description"]) for group in GROUPS if "tests" in group]
REFUSED: Final = [pytest.param(group, id=group["description"]) for group in GROUPS if "refused" in group]
DEFS: Final = {"positive": {"type": "integer", "exclusiveMinimum": 0}}
KEYWORDS: Final = [
    "$schema",
    "$id",
    "$ref",
    "$anchor",
    "$dynamicRef",
    "$dynamicAnchor",
    "$vocabulary",
    "$comment",
    "$defs",
    "prefixItems",
    "items",
    "contains",
    "additionalProperties",
    "properties",
    "patternProperties",
    "dependentSchemas",
    "propertyNames",
    "if",
    "then",
    "else",
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "unevaluatedItems",
    "unevaluatedProperties",
    "type",
    "enum",
    "const",
    "multipleOf",
    "maximum",
    "exclusiveMaximum",
    "minimum",
    "exclusiveMinimum",
    "maxLength",
    "minLength",
    "pattern",
    "maxItems",
    "minItems",
    "uniqueItems",
    "maxContains",
    "minContains",
    "maxProperties",
    "minProperties",
    "required",
    "dependentRequired",
    "title",
    "description",
    "default",
    "deprecated",
    "readOnly",
    "writeOnly",
    "examples",
    "format",
    "contentEncoding",
    "contentMediaType",
    "contentSchema",
]


def document(schema: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"x": schema}, "$defs": DEFS}


def passes(model: Any, event: Any) -> bool:
    try:
        model.model_validate(event)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize("group", ENFORCED)
def test_a_keyword_is_enforced_exactly(group: dict[str, Any]) -> None:
    of = import_contract(document(group["schema"]), "case").contract
    module: dict[str, Any] = {"__name__": "generated"}
    exec(compile(source([of]), "contracts.py", "exec", dont_inherit=True), module)
    live, generated, judge = live_model(of), module["MODELS"]["case"], Judge(of, Active(1))
    wrong = []
    with duckdb.connect() as con:
        con.execute(export(of, "sql").text)
        for case in group["tests"]:
            event = {"x": case["data"]}
            text = json.dumps(event)
            fast = judge.fast is not None and bool(judge.fast.sift([text.encode()]).structs)
            verdicts = {
                "live": passes(live, event),
                "generated": passes(generated, event),
                "fast": fast or not judge.judge(json.loads(text)),
            }
            if "leap second" not in case["description"] and "large one" not in case["description"]:
                # DuckDB's regular expressions know no calendar, and its integers end.
                verdicts["sql"] = con.execute("SELECT case_accepts(?::JSON)", [text]).fetchall()[0][0]
            if set(verdicts.values()) != {case["valid"]}:
                wrong.append((case["description"], verdicts))
    assert wrong == []


def is_judged_otherwise(group: dict[str, Any]) -> bool:
    """Others divide doubles, search with Python's `re`, and assert a format or not as they like."""
    return "format" in group["schema"] or any(word in group["description"] for word in ("decimal", "pattern"))


@pytest.mark.parametrize(
    "group",
    [
        pytest.param(each, id=each["description"])
        for each in GROUPS
        if "tests" in each and not is_judged_otherwise(each)
    ],
)
def test_an_independent_validator_agrees(group: dict[str, Any]) -> None:
    peer = Draft202012Validator(document(group["schema"]))
    assert [case for case in group["tests"] if peer.is_valid({"x": case["data"]}) != case["valid"]] == []


@pytest.mark.parametrize("group", REFUSED)
def test_a_keyword_is_refused_by_name(group: dict[str, Any]) -> None:
    with pytest.raises(NotASchema) as caught:
        import_contract(document(group["schema"]), "case")
    assert caught.value.pointer == f"/properties/x{group['refused']}"


@pytest.mark.parametrize("group", [*ENFORCED, *REFUSED])
def test_a_contract_written_by_hand_is_read_alike(group: dict[str, Any]) -> None:
    schema = {"type": "object", "properties": {"x": group["schema"]}}
    if "tests" in group and not group.get("imported"):
        Contract.parse(schema)
    elif group["schema"] != {"$id": "https://example.org/a"}:  # a name that nothing refers to says nothing
        with pytest.raises(NotASchema, match="/properties/x"):
            Contract.parse(schema)


def test_every_keyword_has_its_cases() -> None:
    told = {keyword for group in GROUPS if isinstance(group["schema"], dict) for keyword in group["schema"]}
    assert [each for each in KEYWORDS if each not in told | {"$schema", "$defs"}] == []
    assert ANNOTATIONS - told == {"$schema"}
    formats = {group["schema"].get("format") for group in GROUPS if "tests" in group}
    assert FORMATS.keys() <= formats
    for group in GROUPS:
        if "tests" in group and group["description"] != "words":
            assert {case["valid"] for case in group["tests"]} == {True, False}, group["description"]
