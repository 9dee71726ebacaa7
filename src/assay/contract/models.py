"""The verdict: a contract carried out by Pydantic, and why an event fell short of it.

`live_model` is the reference that every faster path is held to. A violation's type is Pydantic's error type; the types
that a field can yield are known beforehand, so that every metric exists before its first event.
"""

from __future__ import annotations

import heapq
import math
from functools import lru_cache
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from assay.contract.document import Contract, Field
from assay.contract.shapes import cap_words, is_union, model_of, shape_of
from assay.contract.source import source
from assay.contract.violation import Loc, Violation

__all__ = ["UNEXPECTED_TYPES", "Reasons", "live_model", "source", "violation_types"]

#: What a field can yield that the contract does not describe: its metrics' label is `_unexpected`.
UNEXPECTED_TYPES: Final = ("extra_forbidden", "finite_number")

_MOST: Final = 100
_LONGEST_INPUT: Final = 100
_LONGEST_MESSAGE: Final = 300
#: Places in events whose names are remembered, of each contract.
_PLACES: Final = 4096


def live_model(contract: Contract) -> type[BaseModel]:
    """The contract as a Pydantic model: `model_validate(event)` returns, or raises the `ValidationError` that says why."""
    return model_of(contract.root, cap_words(contract.dataset) or "Event")


class Reasons:
    """Why events broke one contract. A place that was seen before is not looked up again: a flood breaks the same few."""

    def __init__(self, contract: Contract) -> None:
        self._root = contract.root
        self._path = lru_cache(_PLACES)(self._find_path)
        #: The label that a violation is counted under, by its path: a field's (`a.b`, `items[].price`), `_unexpected`, "" for the event.
        self.label = lru_cache(_PLACES)(self._find_label)

    def of(self, error: ValidationError) -> tuple[Violation, ...]:
        """Why an event broke the contract, by place and type; at most 100 reasons.

        A path is that of the event, under its fields' own names. A long input is cut, an object or a list not shown.
        """
        found = [
            Violation(
                self._path(each["loc"]),
                # A lone surrogate never gets here from JSON; from Python it is as good as no string.
                "string_type" if each["type"] == "string_unicode" else each["type"],
                _cut(each["msg"], _LONGEST_MESSAGE),
                _shown(each["input"]),
            )
            for each in error.errors(include_url=False, include_context=False)
        ]
        if len(found) == 1:  # as nearly always, and ordering one costs as much as making it
            return (found[0],)
        return tuple(heapq.nsmallest(_MOST, found, key=_order))

    def _find_path(self, loc: Loc) -> Loc:
        """Pydantic's path without the kinds that it says for fields of several."""
        path: list[str | int] = []
        field: Field | None = self._root
        said = False
        for part in loc:
            if field is not None and not said and is_union(field):
                said = True
                continue
            path.append(part)
            field = _below(field, part)
            said = False
        return tuple(path)

    def _find_label(self, loc: Loc) -> str:
        label = ""
        field: Field | None = self._root
        for part in loc:
            field = _below(field, part)
            if field is None:
                return "_unexpected"
            label += "[]" if isinstance(part, int) else f".{part}" if label else part
        return label


def violation_types(field: Field) -> tuple[str, ...]:
    """The closed, sorted list of types that a violation of this field itself can have; of an event's, for the root."""
    return tuple(sorted(shape_of(field).errors | ({"missing"} if field.required else set())))


def _below(field: Field | None, part: str | int) -> Field | None:
    if field is None:
        return None
    if isinstance(part, int):
        return field.items
    return next((child for child in field.properties if child.name == part), None)


def _order(violation: Violation) -> tuple[tuple[tuple[bool, int, str], ...], str]:
    parts = (
        (True, part, "") if isinstance(part, int) else (False, 0, part)  # positions by number, names by letter
        for part in violation.loc
    )
    return tuple(parts), violation.type


def _shown(value: Any) -> Any:
    if isinstance(value, str):
        return _cut(value, _LONGEST_INPUT)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, int):
        return value if abs(value) < 10**_LONGEST_INPUT else None
    return None


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
