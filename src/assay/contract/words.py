"""A contract's rules in words: what a person reads instead of JSON Schema."""

from __future__ import annotations

from collections.abc import Iterator

from assay.contract.document import JSON, Field

__all__ = ["figure", "rule_in_words"]

_ORDER = ("boolean", "integer", "number", "string", "object", "array")
_MOST_VALUES = 8


def rule_in_words(field: Field) -> str:
    """What a value of the field must be: `integer or null, -55 to 2,563; may be missing`."""
    parts = [_kind(field), *_limits(field)]
    return ", ".join(part for part in parts if part) + (
        "" if field.required or field.name == "[]" else "; may be missing"
    )


def figure(value: float) -> str:
    """A number as a person reads it: thousands apart, six significant digits."""
    if isinstance(value, int) or value == int(value):
        return f"{int(value):,}"
    return f"{value:,.0f}" if 1e6 <= abs(value) < 1e15 else f"{value:,.6g}"


def _kind(field: Field) -> str:
    if field.enum is not None:
        return ""
    if not field.types:
        return "anything" if field.nullable else "anything but null"
    names = [name for name in _ORDER if name in field.types]
    if field.format is not None and names == ["string"]:
        names = [field.format]
    elif field.types == {"array"} and field.items is not None:
        names = [f"array of {rule_in_words(field.items)}"]
    return " or ".join([*names, *(["null"] if field.nullable else [])])


def _limits(field: Field) -> Iterator[str]:
    if field.enum is not None:
        shown = ", ".join(_text(value) for value in field.enum[:_MOST_VALUES])
        more = len(field.enum) - _MOST_VALUES
        yield f"one of {shown}" + (f" and {more} more" if more > 0 else "")
    yield _between(field.minimum, field.maximum, "")
    if field.exclusive_minimum is not None:
        yield f"above {figure(field.exclusive_minimum)}"
    if field.exclusive_maximum is not None:
        yield f"below {figure(field.exclusive_maximum)}"
    if field.multiple_of is not None:
        yield f"a multiple of {field.multiple_of}"
    yield _between(field.min_length, field.max_length, " characters")
    if field.pattern is not None:
        yield f"like {field.pattern}"
    yield _between(field.min_items, field.max_items, " items")
    if not field.additional:
        yield "no other fields"


def _between(low: float | None, high: float | None, what: str) -> str:
    if low is not None and high is not None:
        return f"{figure(low)} to {figure(high)}{what}"
    if low is not None:
        return f"{figure(low)}{what} and more"
    return f"up to {figure(high)}{what}" if high is not None else ""


def _text(value: JSON) -> str:
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)
