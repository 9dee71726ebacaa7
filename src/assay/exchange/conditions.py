"""A contract's rules one by one, as a language of conditions has them or has not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from assay.contract.document import Field
from assay.contract.outside import judge
from assay.exchange.carried import LeftOut

__all__ = ["MANY_TYPES", "NO_COLUMN", "Condition", "left_out", "may_be_null", "passing", "rules_below", "rules_of"]

NO_COLUMN: Final = "its name is none that a column can have, or equals another's but for case"
MANY_TYPES: Final = "no column of one type holds its values"

_RULES: Final = {
    "minimum": "minimum",
    "maximum": "maximum",
    "exclusive_minimum": "exclusiveMinimum",
    "exclusive_maximum": "exclusiveMaximum",
    "multiple_of": "multipleOf",
    "min_length": "minLength",
    "max_length": "maxLength",
    "pattern": "pattern",
    "format": "format",
    "min_items": "minItems",
    "max_items": "maxItems",
    "enum": "enum",
}


@dataclass(frozen=True, slots=True)
class Condition:
    """A rule of the field `label`: `text` says it, and null passes it; or `why` nothing does."""

    label: str
    rule: str
    text: str | None = None
    why: str = ""


def left_out(conditions: list[Condition]) -> tuple[LeftOut, ...]:
    """The rules that no text says."""
    return tuple(LeftOut(each.label, each.rule, each.why) for each in conditions if each.text is None)


def may_be_null(field: Field) -> bool:
    """Whether null is a value of the field; where it is not, the NULL of a column stands for a missing field."""
    return field.nullable and (field.enum is None or None in field.enum)


def rules_of(field: Field, *, typed: bool = False) -> Iterator[str]:
    """The keywords that rule a field, those of what is in it apart; `typed`, what a column says by its type is not said."""
    if field.types and not typed:
        yield "type"
    for name, keyword in _RULES.items():
        if getattr(field, name) is not None:
            yield keyword
    if not field.additional:
        yield "additionalProperties"
    if field.required and not (typed and may_be_null(field)):  # a null of a column is there
        yield "required"


def rules_below(
    label: str, field: Field, why: str, *, known: frozenset[str] = frozenset(), typed: bool = False
) -> Iterator[Condition]:
    """Every rule of a field and of what is in it as one that nothing says.

    But those of the field that are `known`; and all types, where the column is `typed`.
    """
    yield from (Condition(label, rule, why=why) for rule in rules_of(field, typed=typed) if rule not in known)
    for below, child in field.walk(label):
        yield from (Condition(below, rule, why=why) for rule in rules_of(child, typed=typed))


def passing(field: Field) -> list[Any]:
    """The listed values that pass the field's other rules, null apart."""
    takes = judge(replace(field, required=False))
    return [value for value in field.enum or () if value is not None and takes(value)]
