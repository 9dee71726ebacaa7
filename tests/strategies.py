"""Hypothesis strategies: contracts, and events that pass, nearly pass, and do not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from assay.contract.document import JSON, Contract, Field

NAMES = (
    *(
        "a",
        "b",
        "salary",
        "model_config",
        "schema",
        "class",
        "_x",
        "",
        "a b",
        "<script>",
        "copy",
        "Field",
        "str",
        "list",
    ),
    *(
        "json",
        "é",
        "A",
        "self",
        "x-y",
        "1st",
        "import",
        "Annotated",
        "Flights",
        "FlightsA",
        "model_validate",
        "__class__",
    ),
    *("value", "None", "'q\"", "back\\slash", "new\nline", "Q0Q", "Q0Q0Q0Q", "id", "type", "datetime", "fields", "_"),
)
DATASETS = ("flights", "exception", "field", "true", "a_b", "event")
NASTY: tuple[JSON, ...] = (
    *(None, True, False, 0, 1, -1, 0.0, -0.0, 1.0, 2.0, 1.5, 0.5, 19.99, 19.995, 1e22, 5e-324, 1e308),
    *(2**53, 2**53 + 1, -(2**53) - 1, 2**63, 2**64, 10**40, 1.7976931348623157e308),
    *("", "a", "b", "1", "12", "1\n", "٣", "ab", "abc", "abcd", "é", "😀", "\u2028", "2024-02-29", "2024-02-30"),
    *("2024-02-29T12:00:00Z", "1998-12-31T23:59:60Z", "2EB8AA08-AA98-11EA-B4AA-73B441D16380", "127.0.0.1"),
    *([], [1], [True], [None], ["a", "b"], {}, {"a": 1}, {"a": True}, {"a": None}),
)
#: Numbers that no double can hold: a violation wherever they stand.
BEYOND: tuple[JSON, ...] = (
    math.inf,
    -math.inf,
    math.nan,
    10**400,
    -(10**400),
    2**1024 - 2**970,
    [math.inf],
    {"a": 10**400},
)
_BOUNDS = (-3, 0, 1, 2, 2.5, 1.5, 0.1, 10, 2**53 - 1, 2**53, 2**53 + 1, -(2**53), 1e300, 2**70)
_PATTERNS = ("b", "^[a-c]", "[0-9]{2}", "a|1")
_STRICT_PATTERNS = ("^[a-c]+$", r"^\d+$", "^.$", r"\s", r"^\w+$", r"\bb", "[^]", "^$")
_FORMATS = ("date", "date-time", "uuid", "ipv4")


def names() -> st.SearchStrategy[str]:
    return st.sampled_from(NAMES) | st.text(st.characters(exclude_categories=["Cs"]), max_size=4)


@st.composite
def _numeric(draw: st.DrawFn, *, plain: bool) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    low, high = sorted((draw(st.sampled_from(_BOUNDS)), draw(st.sampled_from(_BOUNDS))))
    if draw(st.booleans()):
        schema[draw(st.sampled_from(("minimum", "exclusiveMinimum")))] = low
    if draw(st.booleans()):
        schema[draw(st.sampled_from(("maximum", "exclusiveMaximum")))] = high
    if draw(st.integers(0, 4)) == 0:
        # Others divide the double, not the decimal: 1e300 is a multiple of 3 to them.
        schema["multipleOf"] = draw(st.sampled_from((1, 2, 4) if plain else (1, 2, 3, 0.5, 1.5, 0.01, 2.0)))
    return schema


@st.composite
def _textual(draw: st.DrawFn, *, plain: bool) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    low, high = sorted((draw(st.integers(0, 3)), draw(st.integers(0, 4))))
    if draw(st.booleans()):
        schema["minLength"] = low
    if draw(st.booleans()):
        schema["maxLength"] = high
    if draw(st.integers(0, 3)) == 0:
        schema["pattern"] = draw(st.sampled_from(_PATTERNS if plain else _PATTERNS + _STRICT_PATTERNS))
    if not plain and draw(st.integers(0, 3)) == 0:
        schema["format"] = draw(st.sampled_from(_FORMATS))
    return schema


@st.composite
def _object(draw: st.DrawFn, depth: int, *, plain: bool) -> dict[str, Any]:
    properties = draw(st.dictionaries(names(), field_schemas(depth, plain=plain), max_size=4))
    schema: dict[str, Any] = {"properties": properties} if properties else {}
    required = [name for name in properties if draw(st.booleans())]
    if draw(st.booleans()):
        schema["additionalProperties"] = draw(st.booleans())
    if schema.get("additionalProperties", True) and draw(st.integers(0, 5)) == 0:
        required.append(draw(names()))
    if required:
        schema["required"] = list(dict.fromkeys(required))
    return schema


@st.composite
def _array(draw: st.DrawFn, depth: int, *, plain: bool) -> dict[str, Any]:
    schema: dict[str, Any] = {"items": draw(field_schemas(depth, plain=plain))} if draw(st.booleans()) else {}
    low, high = sorted((draw(st.integers(0, 2)), draw(st.integers(0, 3))))
    if draw(st.booleans()):
        schema["minItems"] = low
    if draw(st.booleans()):
        schema["maxItems"] = high
    return schema


@st.composite
def field_schemas(draw: st.DrawFn, depth: int = 2, *, plain: bool = False) -> Any:
    """A schema for one value; `plain` leaves out what other validators are known to judge otherwise."""
    kinds = ["integer", "number", "string", "boolean"] + ["object", "array"] * (depth > 0)
    choice = draw(st.integers(0, 9))
    if choice == 0:
        return draw(st.sampled_from([True, {}, {"description": 'says """ \\ anything'}]))
    types = (
        [draw(st.sampled_from(kinds))]
        if choice < 8
        else draw(st.lists(st.sampled_from(kinds), min_size=1, unique=True))
    )
    schema: dict[str, Any] = {}
    if {"integer", "number"} & set(types):
        schema |= draw(_numeric(plain=plain))
    if "string" in types:
        schema |= draw(_textual(plain=plain))
    if "object" in types:
        schema |= draw(_object(depth - 1, plain=plain))
    if "array" in types:
        schema |= draw(_array(depth - 1, plain=plain))
    if draw(st.integers(0, 5)) == 0:
        values = st.sampled_from(NASTY)
        schema |= draw(
            st.fixed_dictionaries({"enum": st.lists(values, min_size=1, max_size=4)})
            | st.fixed_dictionaries({"const": values})
        )
    nullable = ["null"] if draw(st.booleans()) else []
    if draw(st.integers(0, 7)):
        schema["type"] = (types + nullable) if nullable or len(types) > 1 else types[0]
    return schema


@st.composite
def contracts(draw: st.DrawFn, *, plain: bool = False) -> Contract:
    """Contracts of every shape, nested two deep."""
    schema = {"type": "object", **draw(_object(2, plain=plain))}
    return Contract.parse(schema, dataset=draw(st.sampled_from(DATASETS)), version=draw(st.integers(1, 3)))


def values(field: Field) -> st.SearchStrategy[Any]:
    """Values for a field: good ones, ones at its bounds, and ones of other kinds."""
    found: list[st.SearchStrategy[Any]] = [st.sampled_from(NASTY)]
    if field.enum is not None:
        found.append(st.sampled_from(field.enum or (None,)))
    bounds = (field.minimum, field.maximum, field.exclusive_minimum, field.exclusive_maximum)
    near = [each for bound in bounds if bound is not None for each in _around(bound)]
    if near:
        found += [st.sampled_from(near)] * 2
    if (step := field.multiple_of) is not None:
        found.append(st.integers(-20, 20).map(lambda times: times * step))
    lengths = [length + by for length in (field.min_length, field.max_length) if length for by in (-1, 0, 1)]
    if lengths:
        found.append(st.sampled_from(lengths).map(lambda length: "b😀" * (length // 2) + "a" * (length % 2)))
    if field.properties:
        found += [objects(field)] * 3
    if field.items is not None:
        found += [st.lists(values(field.items), max_size=4)] * 2
    return st.one_of(found)


@st.composite
def objects(draw: st.DrawFn, field: Field) -> dict[str, Any]:
    """Objects for a field that has properties; unknown ones may be among theirs."""
    found = {child.name: draw(values(child)) for child in field.properties if child.required or draw(st.booleans())}
    for child in field.properties:
        if draw(st.integers(0, 15)) == 0:
            found.pop(child.name, None)
    if draw(st.integers(0, 5)) == 0:
        found[draw(names())] = draw(st.sampled_from(NASTY))
    return found


def events(contract: Contract) -> st.SearchStrategy[dict[str, Any]]:
    """Events for a contract, good and bad, many of them at its bounds."""
    return objects(contract.root)


def _around(bound: float) -> list[int | float]:
    around: list[int | float] = [bound, int(bound), int(bound) + 1, int(bound) - 1]
    around += [math.nextafter(bound, math.inf), math.nextafter(bound, -math.inf), float(bound)]
    return [each for each in around if math.isfinite(each)]


@st.composite
def successors(draw: st.DrawFn, contract: Contract) -> Contract:
    """Contracts that could follow a contract: most of it as it was, a keyword or a field otherwise."""
    schema = draw(_changed(contract.schema))
    return Contract.parse({**schema, "type": "object"}, dataset=contract.dataset, version=(contract.version or 0) + 1)


@st.composite
def _changed(draw: st.DrawFn, schema: Any, depth: int = 3) -> Any:
    if not isinstance(schema, Mapping):
        return draw(field_schemas(0))
    found = dict(schema)
    properties = found.get("properties", {})
    choice = draw(st.integers(0, 9))
    if properties and choice < 6 and depth:
        name = draw(st.sampled_from(sorted(properties)))
        found["properties"] = {**properties, name: draw(_changed(properties[name], depth - 1))}
        return found
    if "items" in found and choice < 6 and depth:
        return {**found, "items": draw(_changed(found["items"], depth - 1))}
    if choice == 6 and depth < 3:
        return draw(field_schemas(1))
    if choice == 7 and found.get("additionalProperties", True):
        found["properties"] = {**properties, draw(names()): draw(field_schemas(1))}
        return found
    keywords = sorted(found.keys() - {"properties", "additionalProperties", "type"})
    if keywords and choice == 8:
        keyword = draw(st.sampled_from(keywords))
        return {key: value for key, value in found.items() if key != keyword}
    for keyword, value in found.items():
        if isinstance(value, int | float) and not isinstance(value, bool) and draw(st.booleans()):
            by = draw(st.sampled_from((1, 2, 0.5) if keyword in _REAL else (1, 2)))
            low = keyword.startswith("m") and "in" in keyword
            return {**found, keyword: max(value - by, 0) if low and keyword not in _REAL else value + by}
    if choice == 9 and set(found.get("required", ())) <= set(properties):
        found["required"] = sorted(draw(st.sets(st.sampled_from(sorted(properties))))) if properties else []
    return found


_REAL = frozenset(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"))
