"""Plain JSON Schema: a contract without its evidence, and a field as the keywords that rule it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from assay.contract.document import DIALECT, Contract, Field

__all__ = ["NEVER", "plain_schema", "schema_of"]

#: A schema that no value passes, as nobody writes it: the list of an `enum` may not be empty, and `false` is not taken.
NEVER: Final[Mapping[str, Any]] = {"type": "string", "enum": [False]}

_ORDER: Final = ("boolean", "integer", "number", "string", "array", "object")
_RULES: Final = {
    "minimum": "minimum",
    "maximum": "maximum",
    "exclusiveMinimum": "exclusive_minimum",
    "exclusiveMaximum": "exclusive_maximum",
    "multipleOf": "multiple_of",
    "minLength": "min_length",
    "maxLength": "max_length",
    "pattern": "pattern",
    "format": "format",
    "minItems": "min_items",
    "maxItems": "max_items",
}


def plain_schema(contract: Contract) -> dict[str, Any]:
    """The document as any validator reads it: without `x-` keywords, and saying which dialect it is in."""
    found: dict[str, Any] = _plain(contract.schema)
    return {"$schema": DIALECT, **found}


def schema_of(field: Field) -> dict[str, Any]:
    """The keywords that say of a value what `field` does. Whether it must be there is said where it stands."""
    if field.enum == ():
        return dict(NEVER)
    schema: dict[str, Any] = {}
    names = [name for name in _ORDER if name in field.types] + ["null"] * (bool(field.types) and field.nullable)
    if names:
        schema["type"] = names[0] if len(names) == 1 else names
    schema |= {keyword: rule for keyword, name in _RULES.items() if (rule := getattr(field, name)) is not None}
    if field.enum is not None:
        schema["enum"] = list(field.enum)
    if field.items is not None:
        schema["items"] = schema_of(field.items)
    if field.properties:
        schema["properties"] = {child.name: schema_of(child) for child in field.properties}
        if required := [child.name for child in field.properties if child.required]:
            schema["required"] = required
    if not field.additional:
        schema["additionalProperties"] = False
    words = {"title": field.title, "description": field.description}
    return {**{keyword: text for keyword, text in words.items() if text is not None}, **schema}


def _plain(schema: Any) -> Any:
    if not isinstance(schema, Mapping):
        return schema
    found = {keyword: value for keyword, value in schema.items() if not keyword.startswith("x-")}
    if "properties" in found:
        found["properties"] = {name: _plain(child) for name, child in found["properties"].items()}
    if "items" in found:
        found["items"] = _plain(found["items"])
    return found
