"""The contract: a JSON Schema document (draft 2020-12), read into a tree of fields.

Every generator (Pydantic models, table columns, bins, rules) walks this tree, so that nothing is described twice. Only
keywords that assay enforces exactly are read; any other is refused by name, never ignored.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from dataclasses import field as attribute
from pathlib import Path
from typing import Any, Final, TypeAlias

from assay.contract.evidence import Bins
from assay.contract.places import place_of
from assay.errors import NotASchema, UsageError

__all__ = [
    "ANNOTATIONS",
    "DATASET_NAME",
    "DIALECT",
    "JSON",
    "Contract",
    "Field",
    "Refusal",
    "json_equal",
    "no_json",
    "shown_path",
]

JSON: TypeAlias = bool | int | float | str | list[Any] | dict[str, Any] | None

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
DATASET_NAME: Final = r"[a-z][a-z0-9_]{0,62}"

_TYPES: Final = ("null", "boolean", "integer", "number", "string", "array", "object")
ANNOTATIONS: Final = frozenset(
    ("$schema", "$id", "$comment", "title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly")
)
_NUMBERS: Final = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_COUNTS: Final = ("minLength", "maxLength", "minItems", "maxItems")


@dataclass(frozen=True, slots=True)
class Field:
    """What one value must be: one node of a contract.

    `types` holds JSON Schema's type names but null; it is empty where any type will do. `number` includes the integers.
    Bounds are JSON numbers; lengths count Unicode code points, items count elements.
    """

    name: str
    types: frozenset[str] = frozenset()
    nullable: bool = False
    required: bool = False
    minimum: int | float | None = None
    maximum: int | float | None = None
    exclusive_minimum: int | float | None = None
    exclusive_maximum: int | float | None = None
    multiple_of: int | float | None = None
    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None
    format: str | None = None
    enum: tuple[JSON, ...] | None = None
    properties: tuple[Field, ...] = ()
    additional: bool = True
    items: Field | None = None
    min_items: int | None = None
    max_items: int | None = None
    title: str | None = None
    description: str | None = None
    bins: Bins | None = None
    evidence: Mapping[str, Any] = attribute(default_factory=dict)

    def allows(self, json_type: str) -> bool:
        """Whether a value of this JSON type (`integer` for an integral number) may stand here."""
        if json_type == "null":
            return self.nullable
        return not self.types or json_type in self.types or (json_type == "integer" and "number" in self.types)

    def walk(self, prefix: str = "") -> Iterator[tuple[str, Field]]:
        """Every field below this one with its label: `a`, `a.b`, `items[]`, `items[].price`."""
        below = [(f"{prefix}.{child.name}" if prefix else child.name, child) for child in self.properties]
        if self.items is not None:
            below.append((f"{prefix}[]", self.items))
        for label, field in below:
            yield label, field
            yield from field.walk(label)


@dataclass(frozen=True, slots=True)
class Refusal:
    """The share of clean events, in [0, 1], that one rule of a field is expected to refuse.

    `never_seen` says that it refuses what no row showed (a null, another value), which the budget of bounds does not pay.
    """

    label: str
    rule: str
    share: float
    never_seen: bool


@dataclass(frozen=True, slots=True, eq=False)
class Contract:
    """A numbered JSON Schema document for the events of one dataset.

    Two contracts are equal when their documents are. `version` is None until it is written.
    """

    dataset: str
    version: int | None
    schema: Mapping[str, Any]
    root: Field

    @classmethod
    def parse(
        cls, schema: object, *, dataset: str = "", version: int | None = None, where: str | None = None
    ) -> Contract:
        """Read a document. `where` names it in errors.

        Raises:
            NotASchema: it is no contract, contradicts itself, or uses a keyword that assay does not enforce.
        """
        if where is None:
            where = f"contract {dataset}/{version}" if version is not None else f"contract {dataset}".rstrip()
        if not isinstance(schema, dict):
            raise NotASchema("", f"a contract is a JSON object, not {type(schema).__name__}", where=where)
        if schema.get("$schema", DIALECT) != DIALECT:
            raise NotASchema("/$schema", f"only {DIALECT} is understood", where=where)
        if schema.get("type") != "object":
            raise NotASchema("/type", 'an event is a JSON object: say "type": "object"', where=where)
        for keyword in ("enum", "const"):
            if keyword in schema:
                raise NotASchema(f"/{keyword}", "whole events are not listed; say it of their fields", where=where)
        try:
            contract = cls(dataset, version, schema, _Reader(where).read(schema, "", "", required=False))
            contract.to_json().encode()
        except RecursionError as error:
            raise NotASchema("", "it is nested too deeply", where=where) from error
        except (TypeError, ValueError) as error:  # NaN, an infinity, half of a surrogate pair
            raise NotASchema("", f"not a JSON document: {error}", where=where) from error
        return contract

    @classmethod
    def load(cls, path: str | Path, *, dataset: str = "", version: int | None = None) -> Contract:
        """Read a document from a file.

        Raises:
            UsageError: there is no such file.
            NotASchema: it is not JSON, or not a contract; the error says in which line of the file.
        """
        path = Path(path)
        where = shown_path(path)
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{path} cannot be read: {error}") from error
        try:
            schema = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise no_json(error, where) from error
        try:
            return cls.parse(schema, dataset=dataset or schema_dataset(schema), version=version, where=where)
        except NotASchema as error:
            raise error.placed(place_of(text, error.pointer)) from error

    def named(self, dataset: str) -> Contract:
        """The same document for another dataset: a file need not say for which it is."""
        return Contract(dataset, self.version, self.schema, self.root)

    def to_json(self) -> str:
        """The document as canonical text: the same contract gives the same bytes."""
        return json.dumps(self.schema, indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    @property
    def fields(self) -> tuple[Field, ...]:
        """The fields of an event, in the order of the document."""
        return self.root.properties

    @property
    def evidence(self) -> Mapping[str, Any]:
        """The document's own `x-assay`: rows learned from, budget, and what was left out."""
        return self.root.evidence

    @property
    def rows(self) -> int:
        """How many rows it was learned from; 0 when it was written by hand."""
        return int(self.evidence.get("rows", 0))

    @property
    def refusals(self) -> Iterator[Refusal]:
        """What each learned rule is expected to cost."""
        for label, field in (("", self.root), *self.root.walk()):
            never_seen = field.evidence.get("never_seen", ())
            for rule, share in field.evidence.get("refusals", {}).items():
                yield Refusal(label, rule, share, rule in never_seen)

    @property
    def expected_refusals(self) -> float:
        """The share of clean events, in [0, 1], that its rules are expected to refuse: bounds and never-seen claims."""
        return math.fsum(refusal.share for refusal in self.refusals)

    @property
    def bound_refusals(self) -> float:
        """That of them which the budget pays for: bounds on numbers and lengths, never-seen claims apart."""
        return math.fsum(refusal.share for refusal in self.refusals if not refusal.never_seen)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Contract):
            return NotImplemented
        return (self.dataset, self.to_json()) == (other.dataset, other.to_json())

    def __hash__(self) -> int:
        return hash((self.dataset, self.to_json()))

    def __repr__(self) -> str:
        name = self.dataset if self.version is None else f"{self.dataset}@{self.version}"
        return f"<Contract {name}: {len(self.fields)} fields>"


def shown_path(path: Path) -> str:
    """A path as a person has it: from the current folder, where it is inside."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except (ValueError, OSError):
        return str(path)


def no_json(error: Exception, where: str) -> NotASchema:
    """What `json.loads` did not take, as an error that says where."""
    if isinstance(error, json.JSONDecodeError):
        return NotASchema("", f"not JSON: {error.msg}", where=where, place=(error.lineno, error.colno))
    return NotASchema("", f"not JSON: {error}", where=where)


def schema_dataset(schema: object) -> str:
    """The dataset that a document says it is for, or nothing."""
    evidence = schema.get("x-assay") if isinstance(schema, dict) else None
    name = evidence.get("dataset", "") if isinstance(evidence, dict) else ""
    return name if isinstance(name, str) else ""


def json_equal(a: JSON, b: JSON) -> bool:
    """JSON Schema's equality: numbers by value (1 is 1.0), and no boolean is a number."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(json_equal(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(json_equal(a[key], b[key]) for key in a)
    return a == b


class _Reader:
    """Reads a document into fields; knows the place in it, for errors."""

    def __init__(self, where: str) -> None:
        self.where = where

    def fail(self, pointer: str, reason: str) -> NotASchema:
        return NotASchema(pointer, reason, where=self.where)

    def read(self, schema: object, name: str, at: str, *, required: bool) -> Field:
        if schema is True:
            return Field(name, nullable=True, required=required)
        if not isinstance(schema, dict):
            raise self.fail(at, "a schema is a JSON object or true")
        known: dict[str, Any] = {}
        for keyword, value in schema.items():
            if keyword in ANNOTATIONS or keyword.startswith("x-"):
                continue
            read = _KEYWORDS.get(keyword)
            if read is None:
                raise self.fail(f"{at}/{keyword}", f'assay does not enforce the keyword "{keyword}"; take it out')
            known.update(read(self, value, f"{at}/{keyword}"))
        if "type" not in schema:
            known["nullable"] = True
        if "const" in known:  # both hold: what is left of the list
            const = known.pop("const")
            known["enum"] = tuple(value for value in known.get("enum", (const,)) if json_equal(value, const))
        required_names = known.pop("required_names", ())
        raw_properties = known.pop("raw_properties", {})
        for key in required_names:
            if key not in raw_properties and not known.get("additional", True):
                raise self.fail(f"{at}/required", f'"{key}" is required, but additionalProperties forbids it')
        properties = [
            self.read(child, key, f"{at}/properties/{_escaped(key)}", required=key in required_names)
            for key, child in raw_properties.items()
        ]
        # A field may be required without being described: then it may be anything, but must be there.
        properties += [Field(key, nullable=True, required=True) for key in required_names if key not in raw_properties]
        evidence, bins = self.evidence(schema.get("x-assay"), f"{at}/x-assay")
        field = Field(
            name,
            required=required,
            properties=tuple(properties),
            title=_text(schema.get("title")),
            description=_text(schema.get("description")),
            evidence=evidence,
            bins=bins,
            **known,
        )
        self.check(field, at)
        return field

    def evidence(self, value: object, at: str) -> tuple[Mapping[str, Any], Bins | None]:
        if value is None:
            return {}, None
        if not isinstance(value, dict):
            raise self.fail(at, "evidence is a JSON object")
        refusals = value.get("refusals", {})
        if not isinstance(refusals, dict) or not all(_is_number(share) for share in refusals.values()):
            raise self.fail(f"{at}/refusals", "an object of rule: share is expected")
        if "bins" not in value:
            return value, None
        try:
            return value, Bins.parse(value["bins"])
        except (ValueError, TypeError, KeyError) as error:
            raise self.fail(f"{at}/bins", str(error)) from error

    def check(self, field: Field, at: str) -> None:
        pairs = (
            ("minimum", field.minimum, "maximum", field.maximum),
            ("exclusiveMinimum", field.exclusive_minimum, "exclusiveMaximum", field.exclusive_maximum),
            ("minLength", field.min_length, "maxLength", field.max_length),
            ("minItems", field.min_items, "maxItems", field.max_items),
        )
        for low_name, low, high_name, high in pairs:
            if low is not None and high is not None and low > high:
                what = f'field "{field.name}": ' if field.name else ""
                raise self.fail(
                    f"{at}/{low_name}", f"{what}{low_name} {low} is above {high_name} {high}; swap them, or learn again"
                )

    def type(self, value: object, at: str) -> dict[str, Any]:
        names = [value] if isinstance(value, str) else value
        if not isinstance(names, list) or not names or not all(name in _TYPES for name in names):
            raise self.fail(at, f"one or several of {', '.join(_TYPES)} are expected")
        types = frozenset(names) - {"null"}
        if not types:
            raise self.fail(at, "a field that may only be null says nothing; leave it out")
        return {"types": types, "nullable": "null" in names}

    def number(self, value: object, at: str) -> dict[str, Any]:
        keyword = at.rpartition("/")[2]
        if not _is_number(value):
            raise self.fail(at, "a number is expected")
        if keyword == "multipleOf" and not value > 0:  # type: ignore[operator]
            raise self.fail(at, "a number above 0 is expected")
        return {_snake(keyword): value}

    def count(self, value: object, at: str) -> dict[str, Any]:
        if not _is_number(value) or not 0 <= value < 2**63 or value != int(value):  # type: ignore[operator, call-overload]
            raise self.fail(at, "a whole number, 0 or more, is expected")
        return {_snake(at.rpartition("/")[2]): int(value)}  # type: ignore[call-overload]

    def pattern(self, value: object, at: str) -> dict[str, Any]:
        if not isinstance(value, str):
            raise self.fail(at, "a regular expression in a string is expected")
        from assay.contract.patterns import check_pattern

        try:
            check_pattern(value)
        except ValueError as error:
            raise self.fail(at, str(error)) from error
        return {"pattern": value}

    def format(self, value: object, at: str) -> dict[str, Any]:
        from assay.types import FORMATS

        if not isinstance(value, str) or value not in FORMATS:
            raise self.fail(at, f"assay does not enforce this format; it knows {', '.join(sorted(FORMATS))}")
        return {"format": value}

    def enum(self, value: object, at: str) -> dict[str, Any]:
        if not isinstance(value, list) or not value:
            raise self.fail(at, "a list of values is expected")
        return {"enum": tuple(value)}

    def const(self, value: JSON, _at: str) -> dict[str, Any]:
        return {"const": value}

    def properties(self, value: object, at: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self.fail(at, "an object of field: schema is expected")
        return {"raw_properties": value}

    def required(self, value: object, at: str) -> dict[str, Any]:
        if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
            raise self.fail(at, "a list of field names is expected")
        return {"required_names": tuple(dict.fromkeys(value))}

    def additional(self, value: object, at: str) -> dict[str, Any]:
        if not isinstance(value, bool):
            raise self.fail(at, "true or false is expected; a schema for unknown fields is not enforced")
        return {"additional": value}

    def items(self, value: object, at: str) -> dict[str, Any]:
        return {"items": self.read(value, "[]", at, required=False)}


_KEYWORDS: Final = {
    "type": _Reader.type,
    **dict.fromkeys(_NUMBERS, _Reader.number),
    **dict.fromkeys(_COUNTS, _Reader.count),
    "pattern": _Reader.pattern,
    "format": _Reader.format,
    "enum": _Reader.enum,
    "const": _Reader.const,
    "properties": _Reader.properties,
    "required": _Reader.required,
    "additionalProperties": _Reader.additional,
    "items": _Reader.items,
}


def _is_number(value: object) -> bool:
    """Whether it is a number that a double can hold, as any in an event must be."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _snake(keyword: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in keyword)


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
