"""Where in a JSON text a JSON Pointer leads: what an error says to somebody who has the file open."""

from __future__ import annotations

import json
import re
from typing import Final

__all__ = ["place_of"]

_SPACE: Final = re.compile(r"[ \t\n\r]*")
_DECODER: Final = json.JSONDecoder()
_MOST_REFERENCES: Final = 100


def place_of(text: str, pointer: str) -> tuple[int, int]:
    """The line and the column, both from 1, of the name (or the element) that a pointer ends at, or of its nearest parent.

    A pointer may lead through a `$ref` to a place in the same document. `text` is JSON.
    """
    spot = value = _after_space(text, 0)
    parts = pointer.split("/")[1:]
    references = 0
    while parts:
        found = _member(text, value, parts[0].replace("~1", "/").replace("~0", "~"))
        if found is not None:
            spot, value = found
            parts = parts[1:]
            continue
        reference = _member(text, value, "$ref")
        leads = _DECODER.raw_decode(text, reference[1])[0] if reference is not None else None
        references += 1
        if not isinstance(leads, str) or not leads.startswith("#/") or references > _MOST_REFERENCES:
            break
        parts = [*leads.split("/")[1:], *parts]
        value = _after_space(text, 0)
    return text.count("\n", 0, spot) + 1, spot - text.rfind("\n", 0, spot)


def _member(text: str, at: int, name: str) -> tuple[int, int] | None:
    """Where a member of the object or list at `at` begins, and where its value does. Of repeated names the last counts."""
    found = None
    closed = {"{": "}", "[": "]"}.get(text[at : at + 1])
    if closed is None:
        return None
    position = 0
    spot = _after_space(text, at + 1)
    while text[spot] != closed:
        value = spot
        key = str(position)
        if closed == "}":
            key, end = _DECODER.raw_decode(text, spot)
            value = _after_space(text, _after_space(text, end) + 1)  # behind the colon
        if key == name:
            found = spot, value
        _, end = _DECODER.raw_decode(text, value)
        spot = _after_space(text, end)
        if text[spot] == ",":
            spot = _after_space(text, spot + 1)
        position += 1
    return found


def _after_space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    assert match is not None  # it may be empty
    return match.end()
