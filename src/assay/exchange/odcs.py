"""Contracts in the Open Data Contract Standard, version 3, and back.

A column of ODCS is `required` (never null) or not; an event tells missing from null. And ODCS has no word for some keywords
of JSON Schema. What its own words do not say stands beside them in the custom property `assay`, so that a contract comes
back as it was: `present` and `nullable` where `required` is not both, and under `schema` the keywords that are left.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from assay.contract.document import Contract, Field
from assay.contract.outside import judge
from assay.errors import NotASchema, UsageError
from assay.exchange.carried import Exported, LeftOut
from assay.exchange.schemas import schema_of

__all__ = ["from_odcs", "to_odcs"]

API_VERSION: Final = "v3.2.0"

_NAME: Final = "assay"
_ONE_OBJECT: Final = "several objects are described; name the dataset as one of them: {names}"
#: A string's format that is a logical type of its own.
_LOGICAL: Final = {"date": "date", "date-time": "timestamp", "time": "time"}
_FORMATS: Final = {logical: name for name, logical in _LOGICAL.items()}
_NUMBERS: Final = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
#: The keywords of JSON Schema that each logical type has as options.
_OPTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "string": ("minLength", "maxLength", "pattern", "format"),
    "integer": _NUMBERS,
    "number": _NUMBERS,
    "array": ("minItems", "maxItems"),
    **dict.fromkeys(("boolean", "object", "date", "timestamp", "time"), ()),
}
#: The keywords that say something about values of a type; others have no say there.
_RULES: Final[Mapping[str, tuple[str, ...]]] = {
    "string": ("minLength", "maxLength", "pattern", "format"),
    "integer": _NUMBERS,
    "number": _NUMBERS,
    "boolean": (),
    "array": ("minItems", "maxItems", "items"),
    "object": ("properties", "required", "additionalProperties"),
}
#: Ways to write the ISO format of a date or a time: what a contract means anyway.
_ISO: Final = frozenset(
    {"yyyy-MM-dd", "yyyy-MM-dd'T'HH:mm:ssXXX", "yyyy-MM-dd'T'HH:mm:ss.SSSXXX", "ISO8601", "iso8601"}
)


# ---- out


def to_odcs(contract: Contract) -> Exported:
    """The contract as YAML, valid by the standard's own model.

    Raises:
        UsageError: the package for the standard is not installed.
    """
    import yaml

    standard = _standard()
    words = {"purpose": contract.root.description} if contract.root.description else {}
    document = {
        "apiVersion": API_VERSION,
        "kind": "DataContract",
        "id": contract.dataset,
        "name": contract.dataset,
        "version": str(contract.version or "draft"),
        **({"description": words} if words else {}),
        "schema": [
            {
                "name": contract.dataset,
                "logicalType": "object",
                "physicalType": "table",
                **({"description": contract.root.title} if contract.root.title else {}),
                **_of_object(contract.root),
            }
        ],
    }
    standard.model_validate(document)
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)
    return Exported(text)


def _standard() -> Any:
    try:
        from open_data_contract_standard.model import OpenDataContractStandard
    except ImportError as error:
        message = 'ODCS needs open-data-contract-standard: install it with `pip install "assay[exchange]"`'
        raise UsageError(message) from error
    return OpenDataContractStandard


def _of_object(field: Field) -> dict[str, Any]:
    """The properties of an object, and what ODCS has no word for: whether others may be there, those of no description."""
    left: dict[str, Any] = {} if field.additional else {"additionalProperties": False}
    return {
        **({"properties": [_property(child) for child in field.properties]} if field.properties else {}),
        **_custom({"schema": left} if left else {}),
    }


def _property(field: Field) -> dict[str, Any]:
    """One field; `required` where it must be there and may not be null."""
    found, nullable, left = _value(_simplest(field))
    required = field.required and not nullable
    own = ({"present": True} if nullable else {"nullable": False}) if field.required == nullable else {}
    return {
        "name": field.name,
        **_words(field),
        "required": required,
        **found,
        **_custom({**own, **({"schema": left} if left else {})}),
    }


def _item(field: Field) -> dict[str, Any]:
    found, nullable, left = _value(_simplest(field))
    return {**_words(field), "required": not nullable, **found, **_custom({"schema": left} if left else {})}


def _words(field: Field) -> dict[str, str]:
    words = {"businessName": field.title, "description": field.description}
    return {name: text for name, text in words.items() if text is not None}


def _custom(value: Mapping[str, Any]) -> dict[str, Any]:
    return {"customProperties": [{"property": _NAME, "value": dict(value), "vendor": "assay"}]} if value else {}


def _simplest(field: Field) -> Field:
    """The same values: an enumeration by those that pass, none twice, and the types that they have."""
    if field.enum is None:
        return field
    takes = judge(replace(field, required=False))
    passing: list[Any] = []
    for value in field.enum:
        if takes(value) and not any(judge(Field("", enum=(other,)))(value) for other in passing):
            passing.append(value)
    kinds = frozenset(kind for value in passing if value is not None for kind in [_kind(value)])
    kinds = frozenset({"number"}) if kinds == {"integer", "number"} else kinds
    return Field(
        field.name, kinds, None in passing, enum=tuple(passing), title=field.title, description=field.description
    )


def _kind(value: Any) -> str:
    if isinstance(value, float) and not value.is_integer():
        return "number"
    return {bool: "boolean", int: "integer", float: "integer", str: "string", list: "array", dict: "object"}[
        type(value)
    ]


def _value(field: Field) -> tuple[dict[str, Any], bool, dict[str, Any]]:
    """A value in ODCS's words, whether it may be null, and the keywords that it has no words for."""
    types = field.types - {"integer"} if {"integer", "number"} <= field.types else field.types
    schema = schema_of(field)
    listed = None if field.enum is None else [value for value in field.enum if value is not None]
    if len(types) != 1 or listed == [] or any(isinstance(value, list | dict) for value in listed or ()):
        left = {keyword: rule for keyword, rule in schema.items() if keyword not in {"title", "description"}}
        return {}, field.nullable, left
    (kind,) = types
    if listed is not None:
        return {"logicalType": kind, "enum": [{"value": value} for value in listed]}, field.nullable, {}
    logical = _LOGICAL.get(field.format or "", kind) if kind == "string" else kind
    options = {name: schema[name] for name in _OPTIONS[logical] if name in schema}
    left = {name: schema[name] for name in _RULES[kind] if name in schema and name not in options}
    found: dict[str, Any] = {"logicalType": logical}
    if options:
        found["logicalTypeOptions"] = options
    if logical != kind:
        left.pop("format")
    if kind == "array" and field.items is not None:
        found["items"] = _item(field.items)
        left.pop("items")
    if kind == "object":
        left = {} if field.additional else {"additionalProperties": False}
        if field.properties:
            found["properties"] = [_property(child) for child in field.properties]
    return found, field.nullable, left


# ---- in


def from_odcs(document: Any, dataset: str, *, where: str) -> tuple[dict[str, Any], list[LeftOut]]:
    """An ODCS document as JSON Schema, and what it claims of more than one event.

    Raises:
        NotASchema: it is no ODCS document, or says of a value what a contract cannot; the error names the place.
        UsageError: it describes several objects, none of the dataset's name; or the package is not installed.
    """
    from pydantic import ValidationError

    standard = _standard()
    try:
        standard.model_validate(document)
    except (ValidationError, TypeError) as error:
        if not isinstance(error, ValidationError):
            raise NotASchema("", "an ODCS document is an object", where=where) from error
        first = error.errors()[0]
        pointer = "".join(f"/{part}" for part in first["loc"])
        raise NotASchema(pointer, f"no ODCS: {first['msg']}", where=where) from error
    if not str(document.get("apiVersion", "")).startswith("v3."):
        raise NotASchema("/apiVersion", "version 3 of the standard is expected (v3.0.0 to v3.2.0)", where=where)
    objects = document.get("schema") or []
    if not objects:
        raise NotASchema("/schema", "no object is described", where=where)
    number = 0
    if len(objects) > 1:
        names = [each.get("name") for each in objects]
        if dataset not in names:
            raise UsageError(f"{where}: {_ONE_OBJECT.format(names=', '.join(map(str, names)))}")
        number = names.index(dataset)
    reader = _Reader(where)
    schema = reader.object(objects[number], f"/schema/{number}", "", _OBJECT)
    purpose = (document.get("description") or {}).get("purpose")
    words = {"title": objects[number].get("description"), "description": purpose}
    return {**{name: text for name, text in words.items() if text}, **schema}, reader.left_out


# What a property may say without ruling any value.
_SILENT: Final = frozenset(
    (
        *("id", "name", "businessName", "description", "deprecated", "synonyms", "authoritativeDefinitions", "tags"),
        *("physicalType", "physicalName", "classification", "encryptedName", "transformSourceObjects", "examples"),
        *("transformLogic", "transformDescription", "criticalDataElement", "semanticType", "partitioned"),
        *("partitionKeyPosition", "primaryKeyPosition", "dataGranularityDescription", "context"),
    )
)
_CLAIMS: Final = ("primaryKey", "unique", "relationships", "quality")
_OBJECT: Final = _SILENT | {"logicalType", "properties", "customProperties", *_CLAIMS}
_PROPERTY: Final = _OBJECT | {"required", "logicalTypeOptions", "items", "enum"}


class _Reader:
    """Reads properties, and keeps what they claim of more than one event."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.left_out: list[LeftOut] = []

    def fail(self, at: str, reason: str) -> NotASchema:
        return NotASchema(at, reason, where=self.where)

    def object(self, node: Mapping[str, Any], at: str, label: str, known: frozenset[str]) -> dict[str, Any]:
        """An object's own rules: what it describes, and whether others may be there."""
        self.look(node, at, label, known)
        found: dict[str, Any] = {"type": "object"}
        properties: dict[str, Any] = {}
        required = []
        for number, child in enumerate(node.get("properties") or ()):
            name = child["name"] if isinstance(child.get("name"), str) else None
            if name is None or name in properties:
                what = "a name is expected" if name is None else f'"{name}" is described twice'
                raise self.fail(f"{at}/properties/{number}/name", what)
            properties[name], present = self.property(
                child, f"{at}/properties/{number}", f"{label}.{name}" if label else name
            )
            if present:
                required.append(name)
        if properties:
            found["properties"] = properties
        if required:
            found["required"] = required
        return self.beside(found, self.custom(node, at).get("schema", {}), at)

    def look(self, node: Mapping[str, Any], at: str, label: str, known: frozenset[str]) -> None:
        """Refuse what is not known here, and keep what is claimed of more than one event."""
        for name, value in node.items():
            if name not in known and value is not None:
                raise self.fail(f"{at}/{name}", f'assay does not enforce "{name}" of ODCS here; take it out')
            claims = [each for each in value if _valid_values(each) is None] if name == "quality" and value else value
            if name in _CLAIMS and claims:
                what = name if not isinstance(claims, list) else f"{name} ({', '.join(_claims(claims))})"
                self.left_out.append(LeftOut(label, what, "it is no rule for one event by itself"))

    def custom(self, node: Mapping[str, Any], at: str) -> Mapping[str, Any]:
        """What stands in the custom property of ours; those of others are theirs."""
        for number, each in enumerate(node.get("customProperties") or ()):
            if each.get("property") != _NAME:
                continue
            value = each.get("value")
            schema = value.get("schema", {}) if isinstance(value, dict) else None
            if not isinstance(schema, dict) or value.keys() - {"present", "nullable", "schema"}:
                where = f"{at}/customProperties/{number}/value"
                raise self.fail(where, "an object of present, nullable and schema is expected")
            found: Mapping[str, Any] = value
            return found
        return {}

    def beside(self, found: dict[str, Any], left: Mapping[str, Any], at: str) -> dict[str, Any]:
        """With the keywords that ODCS has no words for; one that it has said itself is no longer theirs."""
        for keyword in left:
            if keyword in found:
                raise self.fail(at, f'"{keyword}" is said by ODCS and by the custom property "{_NAME}"; say it once')
        return {**found, **left}

    def property(self, node: Mapping[str, Any], at: str, label: str) -> tuple[dict[str, Any], bool]:
        """A property as JSON Schema, and whether it must be there."""
        required = node.get("required") is True
        custom = self.custom(node, at)
        present, nullable = custom.get("present", required), custom.get("nullable", not required)
        if required and (nullable is not False or present is not True):
            raise self.fail(
                f"{at}/required", f'it is true, and the custom property "{_NAME}" says otherwise; say it once'
            )
        return self.value(node, at, label, nullable=nullable), bool(present)

    def value(self, node: Mapping[str, Any], at: str, label: str, *, nullable: bool) -> dict[str, Any]:
        words = {"title": node.get("businessName"), "description": node.get("description")}
        found = {name: text for name, text in words.items() if text is not None}
        left = self.custom(node, at).get("schema", {})
        logical = node.get("logicalType")
        if logical is None:
            return {**found, **self.untyped(node, at, label, left, nullable=nullable)}
        if logical == "object":
            schema = self.object(node, at, label, _PROPERTY - {"items"})
        else:
            self.look(node, at, label, _PROPERTY - ({"properties"} if logical == "array" else {"properties", "items"}))
            schema = self.beside(self.typed(node, logical, at, label), left, at)
        if self.options(node, at).keys() and logical in {"object", "boolean"}:
            name = min(self.options(node, at))
            raise self.fail(f"{at}/logicalTypeOptions/{name}", f'assay does not enforce "{name}" of ODCS; take it out')
        listed = self.listed(node, at)
        if listed is not None:
            schema["enum"] = [*listed, *([None] if nullable else [])]
        return {**found, **schema, "type": [schema["type"], "null"] if nullable else schema["type"]}

    def untyped(
        self, node: Mapping[str, Any], at: str, label: str, left: Mapping[str, Any], *, nullable: bool
    ) -> dict[str, Any]:
        """A value without a logical type."""
        self.look(node, at, label, _PROPERTY - {"properties", "items", "logicalTypeOptions"})
        listed = self.listed(node, at)
        found: dict[str, Any] = {}
        if listed is not None:
            found["enum"] = [*listed, *([None] if nullable else [])]
        elif not left and not nullable:
            found["type"] = [kind for kind in _RULES if kind != "integer"]
        return self.beside(found, left, at)

    def typed(self, node: Mapping[str, Any], logical: str, at: str, label: str) -> dict[str, Any]:
        if logical not in _OPTIONS:
            raise self.fail(f"{at}/logicalType", f'assay does not enforce the logical type "{logical}"')
        found: dict[str, Any] = {"type": logical}
        if logical in _FORMATS:
            found = {"type": "string", "format": _FORMATS[logical]}
        for name, rule in self.options(node, at).items():
            where = f"{at}/logicalTypeOptions/{name}"
            if logical in _FORMATS and name == "format" and rule in _ISO:
                continue
            if logical == "timestamp" and name in {"timezone", "defaultTimezone"} and rule in {True, "UTC", "Etc/UTC"}:
                continue
            if name not in _OPTIONS[logical]:
                raise self.fail(where, f'assay does not enforce "{name}" of ODCS for a {logical}; take it out')
            found[name] = rule
        if logical == "array" and node.get("items") is not None:
            item = node["items"]
            below = f"{label}[]"
            found["items"] = self.value(item, f"{at}/items", below, nullable=item.get("required") is not True)
        return found

    def options(self, node: Mapping[str, Any], at: str) -> Mapping[str, Any]:
        options = node.get("logicalTypeOptions")
        if options is None:
            return {}
        if not isinstance(options, dict):
            raise self.fail(f"{at}/logicalTypeOptions", "an object is expected")
        return options

    def listed(self, node: Mapping[str, Any], at: str) -> list[Any] | None:
        valid = [values for each in node.get("quality") or () if (values := _valid_values(each)) is not None]
        if node.get("enum") is None and not valid:
            return None
        if len(valid) + (node.get("enum") is not None) > 1:
            raise self.fail(f"{at}/quality", "the valid values are listed twice; list them once")
        values = valid[0] if valid else [each.get("value") for each in node["enum"]]
        for number, value in enumerate(values):
            if not isinstance(value, str | int | float):
                raise self.fail(f"{at}/enum/{number}", "a text, a number or a boolean is expected as its value")
        return values


def _valid_values(check: Any) -> list[Any] | None:
    """The values that a check allows, as they were listed before version 3.2: no value may be another."""
    if not isinstance(check, dict) or "invalidValues" not in {check.get("metric"), check.get("rule")}:
        return None
    arguments = check.get("arguments")
    if not isinstance(arguments, dict) or arguments.keys() != {"validValues"} or check.get("mustBe") != 0:
        return None
    values = arguments["validValues"]
    return values if isinstance(values, list) and values else None


def _claims(value: list[Any]) -> Iterator[str]:
    """What a list of checks or relationships is about."""
    for each in value:
        known = each if isinstance(each, dict) else {}
        yield str(known.get("name") or known.get("metric") or known.get("rule") or known.get("type") or "…")
