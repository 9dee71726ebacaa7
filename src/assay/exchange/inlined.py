"""Other people's JSON Schema in the words that a contract has: references followed, alternatives of different types joined.

Each step leaves the set of values as it was. Where that is not certain, the keyword is refused by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from typing import Any, Final

from assay.contract.document import ANNOTATIONS, DIALECT, json_equal
from assay.errors import NotASchema
from assay.exchange.schemas import NEVER

__all__ = ["inlined"]

_DRAFT: Final = "http://json-schema.org/draft-0{}/schema"
#: Dialects in which a contract's keywords mean the same; before 2019-09, what stands beside `$ref` is ignored.
_SAME: Final = {DIALECT: False, "https://json-schema.org/draft/2019-09/schema": False}
_SAME_BUT_REF: Final = {_DRAFT.format(6): True, _DRAFT.format(7): True}
_SCOPES: Final[Mapping[str, frozenset[str]]] = {
    "number": frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}),
    "string": frozenset({"minLength", "maxLength", "pattern", "format"}),
    "array": frozenset({"items", "minItems", "maxItems"}),
    "object": frozenset({"properties", "required", "additionalProperties"}),
    "boolean": frozenset(),
    "null": frozenset(),
}
_TYPES: Final = ("boolean", "integer", "number", "string", "array", "object", "null")
_MOST: Final = 100_000
_FINITE: Final[Mapping[str, tuple[Any, ...]]] = {"null": (None,), "boolean": (True, False)}


def inlined(schema: object, *, where: str) -> dict[str, Any]:
    """The same schema without `$ref`, `$defs`, `allOf`, `anyOf` and `oneOf`.

    Raises:
        NotASchema: one of them says what a contract cannot, or it is no schema; the error names the place.
    """
    if not isinstance(schema, dict):
        raise NotASchema("", f"a schema is a JSON object, not {type(schema).__name__}", where=where)
    dialect = str(schema.get("$schema", DIALECT)).removesuffix("#")
    dialects = _SAME | _SAME_BUT_REF
    if dialect not in dialects:
        raise NotASchema("/$schema", "draft 2020-12, 2019-09, 7 or 6 of JSON Schema is expected", where=where)
    found = _Reader(schema, where, alone=dialects[dialect]).read(schema, "", ())
    assert isinstance(found, dict)
    return {keyword: value for keyword, value in found.items() if keyword not in {"$schema", "$id"}}


class _Reader:
    """Reads one document; `alone` says that `$ref` stands alone, whatever is beside it."""

    def __init__(self, root: dict[str, Any], where: str, *, alone: bool) -> None:
        self.root = root
        self.where = where
        self.alone = alone
        self.left = _MOST

    def fail(self, at: str, reason: str) -> NotASchema:
        return NotASchema(at, reason, where=self.where)

    def read(self, schema: Any, at: str, inside: tuple[str, ...]) -> Any:
        """`inside` are the references that led here: one that comes twice never ends."""
        if not isinstance(schema, dict):
            return schema
        self.left -= 1
        if not self.left:
            raise self.fail(at, f"its references make more than {_MOST:,} schemas of it")
        if at and "$id" in schema:
            raise self.fail(f"{at}/$id", "a schema inside that has a name of its own is not enforced; take the $id out")
        own = {
            keyword: self.below(keyword, value, f"{at}/{keyword}", inside)
            for keyword, value in schema.items()
            if keyword not in {"$ref", "$defs", "definitions", "allOf", "anyOf", "oneOf"}
        }
        if own.get("enum") == []:
            own = dict(NEVER)
        parts = []
        if "$ref" in schema:
            rules = own.keys() - ANNOTATIONS
            if self.alone and rules:
                beside = f'"{min(rules)}" stands beside $ref, where this draft ignores it; take it out'
                raise self.fail(f"{at}/$ref", beside)
            parts.append(self.referred(schema["$ref"], f"{at}/$ref", inside))
        for number, part in enumerate(self.listed(schema, "allOf", at)):
            parts.append((f"{at}/allOf", self.read(part, f"{at}/allOf/{number}", inside)))
        for keyword in ("anyOf", "oneOf"):
            if keyword in schema:
                choices = [
                    self.read(part, f"{at}/{keyword}/{number}", inside)
                    for number, part in enumerate(self.listed(schema, keyword, at))
                ]
                parts.append((f"{at}/{keyword}", self.one_of(choices, f"{at}/{keyword}", exactly=keyword == "oneOf")))
        return reduce(lambda found, part: self.both(found, part[1], part[0]), parts, own)

    def below(self, keyword: str, value: Any, at: str, inside: tuple[str, ...]) -> Any:
        if keyword == "properties" and isinstance(value, dict):
            return {name: self.read(child, f"{at}/{_escaped(name)}", inside) for name, child in value.items()}
        if keyword == "items":
            return self.read(value, at, inside)
        if keyword == "additionalProperties" and isinstance(value, dict):
            found = self.read(value, at, inside)
            return True if found.keys() <= ANNOTATIONS else found
        return value

    def listed(self, schema: Mapping[str, Any], keyword: str, at: str) -> list[Any]:
        parts = schema.get(keyword, [])
        if not isinstance(parts, list) or (keyword in schema and not parts):
            raise self.fail(f"{at}/{keyword}", "a list of schemas is expected")
        return parts

    def referred(self, reference: Any, at: str, inside: tuple[str, ...]) -> tuple[str, Any]:
        if not isinstance(reference, str) or not reference.startswith("#") or reference[1:2] not in {"", "/"}:
            raise self.fail(at, "only references to a place in the same document (#/$defs/…) are followed")
        if reference in inside:
            raise self.fail(at, f'"{reference}" leads to itself: a schema without end is not enforced')
        found: Any = self.root
        for part in reference[1:].split("/")[1:]:
            key = part.replace("~1", "/").replace("~0", "~")
            if isinstance(found, list) and key.isdigit() and int(key) < len(found):
                found = found[int(key)]
            elif isinstance(found, dict) and key in found:
                found = found[key]
            else:
                raise self.fail(at, f'"{reference}" leads nowhere')
        return at, self.read(found, reference[1:], (*inside, reference))

    def both(self, a: Any, b: Any, at: str) -> Any:
        """What passes both: `a` has the words."""
        if a is True or b is True:
            return b if a is True else a
        if not isinstance(a, dict) or not isinstance(b, dict):
            raise self.fail(at, "a schema is a JSON object or true")
        found = {**a, **{keyword: rule for keyword, rule in b.items() if keyword not in a}}
        for keyword in a.keys() & b.keys():
            if keyword in ANNOTATIONS or keyword.startswith("x-") or json_equal(a[keyword], b[keyword]):
                continue
            if keyword == "required":
                found[keyword] = list(dict.fromkeys([*a[keyword], *b[keyword]]))
            elif keyword == "properties":
                shared = {
                    name: self.both(a[keyword][name], b[keyword][name], at)
                    for name in a[keyword].keys() & b[keyword].keys()
                }
                found[keyword] = {**a[keyword], **b[keyword], **shared}
            else:
                raise self.fail(at, f'"{keyword}" is said twice, in different ways; say it once')
        for one, other in ((a, b), (b, a)):
            beyond = other.get("properties", {}).keys() - one.get("properties", {}).keys()
            if one.get("additionalProperties", True) is not True and beyond:
                raise self.fail(at, f'"{min(beyond)}" is described by one part, and no field of another; say it once')
        return found

    def one_of(self, choices: Sequence[Any], at: str, *, exactly: bool) -> Any:
        """Alternatives as one schema: exact where no value could be of two of them."""
        name = at.rpartition("/")[2]
        if len(choices) == 1:
            return choices[0]
        if not exactly and any(
            choice is True or (isinstance(choice, dict) and not _rules(choice)) for choice in choices
        ):
            return {}
        apart = [self.kinds(choice, at) for choice in choices]
        kinds = [kind for each in apart for kind in each]
        if len(set(kinds)) < len(kinds):
            raise self.fail(at, f'assay does not enforce "{name}" of alternatives that share a type; make them one')
        found: dict[str, Any] = {}
        for choice, own in zip(choices, apart, strict=True):
            scope = frozenset[str]().union(*(_SCOPES[kind] for kind in own))
            found |= {keyword: rule for keyword, rule in choice.items() if keyword in scope}
        if any("enum" in choice or "const" in choice for choice in choices):
            found["enum"] = [
                value for choice, own in zip(choices, apart, strict=True) for value in self.values(choice, own, at)
            ]
        types = frozenset[str]().union(*map(_types, choices))
        return {"type": [each for each in _TYPES if each in types], **found}

    def kinds(self, choice: Any, at: str) -> frozenset[str]:
        """The kinds of values that an alternative may be."""
        if not isinstance(choice, dict):
            raise self.fail(at, "a schema is a JSON object or true")
        unknown = _rules(choice) - frozenset({"type", "enum", "const"}).union(*_SCOPES.values())
        if unknown:
            raise self.fail(f"{at}/{min(unknown)}", f'assay does not enforce the keyword "{min(unknown)}"; take it out')
        types = _types(choice)
        if not types or not types <= {*_TYPES}:
            raise self.fail(at, f'each alternative of "{at.rpartition("/")[2]}" must say its type')
        return frozenset("number" if each == "integer" else each for each in types)

    def values(self, choice: Mapping[str, Any], kinds: frozenset[str], at: str) -> Iterator[Any]:
        """Every value of an alternative that lists them."""
        if "enum" in choice or "const" in choice:
            listed = choice.get("enum", [choice.get("const")])
            if "const" in choice:
                listed = [value for value in listed if json_equal(value, choice["const"])]
            yield from (value for value in listed if _kind(value) in kinds)
        elif kinds <= _FINITE.keys():
            for kind in sorted(kinds):
                yield from _FINITE[kind]
        else:
            raise self.fail(at, "alternatives that list values stand beside one that does not; list all or none")


def _rules(schema: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(keyword for keyword in schema if keyword not in ANNOTATIONS and not keyword.startswith("x-"))


def _types(schema: Mapping[str, Any]) -> frozenset[str]:
    if "type" in schema:
        types = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
        return frozenset(each for each in types if isinstance(each, str)) if isinstance(types, list) else frozenset()
    listed = schema.get("enum", [schema["const"]] if "const" in schema else [])
    return frozenset(_kind(value) for value in listed)


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    names = {bool: "boolean", int: "number", float: "number", str: "string", list: "array"}
    return names.get(type(value), "object")


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
