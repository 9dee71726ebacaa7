"""JSON Schema's official cases, imported: each schema is refused by name, or every case's verdict holds."""

from __future__ import annotations

from typing import Any, Final

import pytest

from assay.contract.document import Contract
from assay.contract.models import live_model
from assay.errors import NotASchema
from assay.exchange.importing import import_contract
from tests.contract.test_conformance import CASES, accepts, groups

ENFORCED: Final = 112  # as many groups as this must be carried out; the others are refused


@pytest.mark.skipif(not CASES.is_dir(), reason="JSON Schema's official cases are not beside this checkout")
def test_every_verdict_holds() -> None:
    enforced: list[tuple[dict[str, Any], Contract]] = []
    for group in groups():
        schema = group["schema"]
        defs = {name: schema[name] for name in ("$defs", "definitions") if isinstance(schema, dict) and name in schema}
        try:
            # Where references begin at the root, that is the event's own now.
            found = import_contract({"type": "object", "properties": {"x": schema}, **defs}, "case").contract
        except NotASchema:
            continue
        enforced.append((group, found))
    wrong = [
        (group["description"], case["description"])
        for group, contract in enforced
        for model in [live_model(contract)]
        for case in group["tests"]
        if accepts(model, case["data"]) != case["valid"]
    ]
    assert wrong == []
    assert len(enforced) >= ENFORCED
