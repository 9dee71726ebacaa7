"""The smallest change of a contract that lets events in: each keyword that refuses one is moved just as far as it must be. Pure."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final

import msgspec
from pydantic import BaseModel, ValidationError

from assay.contract.document import JSON, Contract, json_equal
from assay.contract.models import live_model

__all__ = ["Unmendable", "Widening", "widen"]

#: More than these, one by one, are no rule any more: it goes instead.
_MOST_NEW: Final = 20
_ORDER: Final = ("boolean", "integer", "number", "string", "array", "object", "null")
_SAYS: Final = "Widened since, to let refused events in."

_encode: Final = msgspec.json.Encoder().encode


class Unmendable(Exception):
    """No contract accepts this event; the message says why."""


def widen(contract: Contract, events: Iterable[object]) -> Contract:
    """A contract that accepts all that `contract` does and these events too, and as little else as its keywords can say.

    It is no version yet. What was measured stays in `x-assay`, but for the costs of rules that were moved.

    Raises:
        Unmendable: an event that no contract accepts: no object, or a number beyond a double's range.
    """
    widening = Widening(contract)
    for event in events:
        widening.admit(event)
    return widening.contract()


class Widening:
    """A contract that is widened by one event after another. See `widen`."""

    def __init__(self, contract: Contract) -> None:
        self._dataset = contract.dataset
        self.schema: dict[str, Any] = copy.deepcopy(dict(contract.schema))
        self._new: dict[str, int] = {}  # how many were added one by one, by their place's JSON Pointer

    def contract(self) -> Contract:
        """As it is now."""
        return Contract.parse(copy.deepcopy(self.schema), dataset=self._dataset)

    def admit(self, event: object) -> None:
        """Let an event in.

        Raises:
            Unmendable: no contract does. Nothing has changed then.
        """
        if not isinstance(event, dict):
            raise Unmendable("it is no JSON object")
        _check_numbers(event)
        self._admit(self.schema, event, "")

    def _admit(self, node: Any, value: Any, at: str) -> None:
        if not isinstance(node, dict):  # true: anything
            return
        self._type(node, value)
        self._values(node, value, at)
        if isinstance(value, bool) or value is None:
            return
        if isinstance(value, int | float):
            self._number(node, value)
        elif isinstance(value, str):
            self._text(node, value)
        elif isinstance(value, list):
            self._count(node, "minItems", "maxItems", len(value))
            for each in value:
                self._admit(node.get("items"), each, f"{at}/items")
        else:
            self._object(node, value, at)

    def _type(self, node: dict[str, Any], value: Any) -> None:
        if "type" not in node:
            return
        given = node["type"]
        names = [given] if isinstance(given, str) else list(given)
        kind = _kind(value)
        if kind in names or (kind == "integer" and "number" in names):
            return
        if kind == "number" and "integer" in names:
            names[names.index("integer")] = kind
        else:
            names = sorted([*names, kind], key=_ORDER.index)
        node["type"] = names[0] if len(names) == 1 else names
        _moved(node, "null" if kind == "null" else "type")

    def _values(self, node: dict[str, Any], value: Any, at: str) -> None:
        if "const" in node:
            const = node["const"]
            if json_equal(const, value):
                return
            node["enum"] = [const]
            del node["const"]
            _moved(node, "const")
        listed = node.get("enum")
        if listed is None or any(json_equal(each, value) for each in listed):
            return
        _moved(node, "enum")
        if self._is_one_more(at):
            node["enum"] = [*listed, value]
            return
        del node["enum"]
        if "type" not in node:
            kinds = dict.fromkeys(map(_kind, [*listed, value]))
            node["type"] = [kind for kind in kinds if kind != "integer" or "number" not in kinds]

    def _number(self, node: dict[str, Any], value: float) -> None:
        for keyword, sign in (("minimum", 1), ("maximum", -1)):
            if keyword in node and sign * value < sign * node[keyword]:
                node[keyword] = value
                _moved(node, keyword)
        for keyword, own, sign in (("exclusiveMinimum", "minimum", 1), ("exclusiveMaximum", "maximum", -1)):
            if keyword in node and sign * value <= sign * node[keyword]:
                del node[keyword]
                node.setdefault(own, value)
                _moved(node, keyword)
        if "multipleOf" in node and not _accepts("multipleOf", node["multipleOf"], value):
            del node["multipleOf"]
            _moved(node, "multipleOf")

    def _text(self, node: dict[str, Any], value: str) -> None:
        self._count(node, "minLength", "maxLength", len(value))
        for keyword in ("pattern", "format"):
            if keyword in node and not _accepts(keyword, node[keyword], value):
                del node[keyword]
                _moved(node, keyword)

    def _count(self, node: dict[str, Any], least: str, most: str, count: int) -> None:
        if least in node and count < node[least]:
            node[least] = count
            _moved(node, least)
        if most in node and count > node[most]:
            node[most] = count
            _moved(node, most)

    def _object(self, node: dict[str, Any], value: dict[str, Any], at: str) -> None:
        properties = node.get("properties", {})
        required = node.get("required", ())
        missing = [name for name in required if name not in value]
        if missing:
            node["required"] = [name for name in required if name in value]
            for name in missing:
                _moved(properties.get(name), "required")
        described = properties.keys() | set(required)
        for name, each in value.items():
            if name in properties:
                self._admit(properties[name], each, f"{at}/properties/{name}")
            elif node.get("additionalProperties") is False and name not in described:
                self._describe(node, name, each, at)

    def _describe(self, node: dict[str, Any], name: str, value: Any, at: str) -> None:
        """Allow one more field where unknown ones are forbidden."""
        _moved(node, "additionalProperties")
        if self._is_one_more(f"{at}/additionalProperties"):
            kind = _kind(value)
            node["properties"] = node.get("properties", {}) | {name: {} if kind == "null" else {"type": kind}}
        else:
            node["additionalProperties"] = True

    def _is_one_more(self, at: str) -> bool:
        """Whether one more may be added to a list without its being too many."""
        self._new[at] = self._new.get(at, 0) + 1
        return self._new[at] <= _MOST_NEW


def _kind(value: Any) -> str:
    """JSON Schema's name for a value's type; an integral number is an integer."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return "integer"
    return {float: "number", str: "string", list: "array"}.get(type(value), "object")


def _moved(node: Any, rule: str) -> None:
    """Say in a field's evidence that a rule of it was moved: what it was expected to cost is not true any more."""
    evidence = node.get("x-assay") if isinstance(node, dict) else None
    if not isinstance(evidence, dict):
        return
    evidence.get("refusals", {}).pop(rule, None)
    if rule in evidence.get("never_seen", ()):
        evidence["never_seen"] = [each for each in evidence["never_seen"] if each != rule]
    says = str(evidence.get("says", ""))
    if not says.endswith(_SAYS):
        evidence["says"] = f"{says} {_SAYS}".strip()


def _check_numbers(value: object) -> None:
    if isinstance(value, dict):
        for each in value.values():
            _check_numbers(each)
    elif isinstance(value, list):
        for each in value:
            _check_numbers(each)
    elif isinstance(value, int | float) and not _is_finite(value):
        raise Unmendable("it has a number that no double can hold")


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _accepts(keyword: str, limit: JSON, value: JSON) -> bool:
    """Whether one keyword lets a value pass: as the models say."""
    try:
        _model(_encode([keyword, limit])).model_validate({"value": value})
    except ValidationError:
        return False
    return True


@lru_cache(64)
def _model(rule: bytes) -> type[BaseModel]:
    keyword, limit = msgspec.json.decode(rule)
    schema = {"type": "object", "properties": {"value": {keyword: limit}}}
    return live_model(Contract.parse(schema))
