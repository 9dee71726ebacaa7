"""What was measured of a dataset, kept for the next version of its contract when that comes from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from assay.contract.document import Contract, Field
from assay.exchange.schemas import schema_of

__all__ = ["with_evidence"]

_OF_EVENTS: Final = ("dataset", "rows", "budget", "first", "last")
#: What was measured of the values themselves: it holds whatever the rules are.
_OF_VALUES: Final = ("rows", "evidence", "bins")


def with_evidence(contract: Contract, former: Contract) -> Contract:
    """The contract with the bins, evidence and words of a former one, where it has none of its own.

    What a rule was expected to refuse is kept where the field's rules are what they were; bins where its types are.
    """
    if contract.evidence or not former.evidence:
        return contract
    schema = _node(contract.schema, contract.root, former.root)
    evidence = {key: value for key, value in former.evidence.items() if key in _OF_EVENTS}
    words = {key: former.schema[key] for key in ("title", "description") if key in former.schema}
    return Contract.parse({**words, **schema, "x-assay": evidence}, dataset=contract.dataset, version=contract.version)


def _node(schema: Any, field: Field, former: Field) -> dict[str, Any]:
    found = dict(schema) if isinstance(schema, Mapping) else {}
    before = {child.name: child for child in former.properties}
    if "properties" in found:
        now = {child.name: child for child in field.properties}
        found["properties"] = {
            name: _child(child, now[name], before[name]) if name in before else child
            for name, child in found["properties"].items()
        }
    if "items" in found and field.items is not None and former.items is not None:
        found["items"] = _child(found["items"], field.items, former.items)
    return found


def _child(schema: Any, field: Field, former: Field) -> Any:
    found = _node(schema, field, former)
    words = {"title": former.title, "description": former.description}
    found = {**{key: text for key, text in words.items() if text is not None}, **found}
    kept: dict[str, Any] = dict(former.evidence)
    if _rules(field) != _rules(former):
        kept = {key: value for key, value in kept.items() if key in _OF_VALUES}
    if field.types != former.types:
        kept.pop("bins", None)
    if kept and "x-assay" not in found:
        found["x-assay"] = kept
    return found or schema


def _rules(field: Field) -> Mapping[str, Any]:
    rules = {key: value for key, value in schema_of(field).items() if key not in {"title", "description"}}
    return {**rules, "there": field.required}
