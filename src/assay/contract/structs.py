"""A contract as a msgspec struct: the fast way to say 'accepted', and to say nothing else.

What the struct cannot judge exactly as the Pydantic model does (formats, patterns, `multipleOf`, mixed enumerations) is
left to be checked value by value by Pydantic: each distinct value once. What it cannot hold at all is declined.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from operator import attrgetter
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from assay.contract.document import Contract, Field

if TYPE_CHECKING:
    from pydantic import BaseModel

__all__ = ["EXACT", "Residual", "StructPlan", "limits", "struct_plan"]

_INT64: Final = range(-(2**63), 2**63)
#: From here on a double cannot tell neighbouring integers apart.
EXACT: Final = 2**53


@dataclass(frozen=True, slots=True)
class Residual:
    """A field that Pydantic must still look at: `accepts` says of one of its values (not None) that it surely passes.

    `value_of` takes the value out of a struct.
    """

    index: int
    value_of: Callable[[Any], Any]
    accepts: Callable[[Any], bool]


@dataclass(frozen=True, slots=True)
class StructPlan:
    """Structs with one attribute a field, in the contract's order; a field that is missing or null is None.

    The struct has no room for a field that the contract does not name. It declines with an exception.
    """

    fields: tuple[Field, ...]
    struct: type[msgspec.Struct]
    residuals: tuple[Residual, ...]


def struct_plan(contract: Contract) -> StructPlan | None:
    """The contract as structs, or None where it holds something that they cannot: nested or untyped fields, odd names."""
    kinds = [_kind(field) for field in contract.fields]
    if not contract.fields or any(kind is None for kind in kinds):
        return None
    members: list[Any] = []
    residuals = []
    for index, (field, kind) in enumerate(zip(contract.fields, kinds, strict=True)):
        assert kind is not None
        annotation, exact = _annotation(field, kind)
        if not exact:
            residuals.append(Residual(index, attrgetter(f"f{index}"), _accepts(field)))
        if field.nullable:
            annotation = annotation | None
        members.append((f"f{index}", annotation) if field.required else (f"f{index}", annotation, None))
    names = {f"f{index}": field.name for index, field in enumerate(contract.fields)}
    try:
        struct = msgspec.defstruct(
            "Event", members, rename=names, forbid_unknown_fields=True, gc=False, kw_only=True, module=__name__
        )
        msgspec.json.Decoder(struct)
    except (TypeError, ValueError):  # a name that it cannot have
        return None
    return StructPlan(contract.fields, struct, tuple(residuals))


def _kind(field: Field) -> str | None:
    types = field.types
    if not types and field.enum is not None:
        return None
    kinds = {"number"} if types == {"integer", "number"} else set(types)
    if len(kinds) != 1 or (field.enum is not None and (None in field.enum) != field.nullable):
        return None
    (kind,) = kinds
    return kind if kind in {"boolean", "integer", "number", "string"} else None


def _annotation(field: Field, kind: str) -> tuple[Any, bool]:
    """The type, and whether it judges exactly as the contract does. It never refuses less than what is said here."""
    exact = field.pattern is None and field.format is None and field.multiple_of is None
    if field.enum is not None:
        values = tuple(value for value in field.enum if value is not None)
        wanted = str if kind == "string" else int
        plain = all(type(value) is wanted and (wanted is str or value in _INT64) for value in values)
        if values and plain and kind in {"string", "integer"} and not limits(field, kind):
            return Literal[values], exact
        exact = False
    match kind:
        case "boolean":
            return bool, exact
        case "string":
            given = limits(field, kind)
            return (Annotated[str, Meta(**given)] if given else str), exact
        case "integer":
            given = limits(field, kind)
            if any(value not in _INT64 for value in given.values()):
                return int, False
            return (Annotated[int, Meta(**given)] if given else int), exact
        case _:
            given = limits(field, kind)
            if (
                any(abs(value) >= EXACT for value in given.values())
                or {"ge", "gt"} <= given.keys()
                or {"le", "lt"} <= given.keys()
            ):
                return float, False
            return (Annotated[float, Meta(**given)] if given else float), exact


def limits(field: Field, kind: str) -> dict[str, Any]:
    """A field's bounds in msgspec's words; an integer's as integers, so that neither `gt` nor `lt` is among them."""
    if kind == "string":
        given: dict[str, Any] = {"min_length": field.min_length, "max_length": field.max_length}
    elif kind == "number":
        given = {
            "ge": field.minimum,
            "le": field.maximum,
            "gt": field.exclusive_minimum,
            "lt": field.exclusive_maximum,
        }
    else:
        # An integer at least 0.5 is at least 1; msgspec takes one of ge and gt alone.
        lows = [math.ceil(field.minimum)] if field.minimum is not None else []
        lows += [math.floor(field.exclusive_minimum) + 1] if field.exclusive_minimum is not None else []
        highs = [math.floor(field.maximum)] if field.maximum is not None else []
        highs += [math.ceil(field.exclusive_maximum) - 1] if field.exclusive_maximum is not None else []
        given = {"ge": max(lows, default=None), "le": min(highs, default=None)}
    return {name: value for name, value in given.items() if value is not None}


def _accepts(field: Field) -> Callable[[Any], bool]:
    """Pydantic's verdict on one value of one field. Pydantic is loaded with the first: not every check comes to one."""

    @cache
    def model() -> type[BaseModel]:
        from assay.contract.models import live_model

        alone = replace(field, name="x", required=True)
        return live_model(Contract("", None, {}, Field("", frozenset({"object"}), properties=(alone,))))

    def accepts(value: Any) -> bool:
        if type(value) is float and abs(value) >= EXACT:
            return False  # it may have been an integer with more digits: Pydantic must see that
        try:
            model().__pydantic_validator__.validate_python({"x": value})
        except ValueError:  # Pydantic's ValidationError is one
            return False
        return True

    return accepts
