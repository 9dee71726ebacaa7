"""Why an event broke its contract."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, TypeAlias

import msgspec

__all__ = ["Loc", "Violation", "field_label", "fingerprint"]

Loc: TypeAlias = tuple[str | int, ...]


class Violation(msgspec.Struct, frozen=True):
    """One reason. `type` is Pydantic's error type; `loc` the path to the value; `input` the value, where it is small."""

    loc: Loc
    type: str
    msg: str
    input: Any = None

    def to_document(self) -> dict[str, Any]:
        """As answers and the quarantine show it."""
        return {"loc": list(self.loc), "type": self.type, "msg": self.msg, "input": self.input}


def field_label(loc: Loc) -> str:
    """The path as a metric's label: `a.b`, positions in lists as `items[]`."""
    label = ""
    for part in loc:
        label += "[]" if isinstance(part, int) else f".{part}" if label else part
    return label


def fingerprint(dataset: str, contract: int | None, violations: Iterable[Violation]) -> str:
    """Sixteen hexadecimal digits that rejects of the same kind share: same dataset, contract and set of (field, type)."""
    return _fingerprint(dataset, contract, tuple([(violation.loc, violation.type) for violation in violations]))


@lru_cache(4096)  # a flood of rejects is a flood of the same few kinds
def _fingerprint(dataset: str, contract: int | None, reasons: tuple[tuple[Loc, str], ...]) -> str:
    kinds = sorted({(field_label(loc), type_) for loc, type_ in reasons})
    return hashlib.sha256(json.dumps([dataset, contract, kinds]).encode()).hexdigest()[:16]
