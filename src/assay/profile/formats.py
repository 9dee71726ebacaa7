"""The formats that strings are looked through for: only where every string has it, and a person would agree."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from assay.profile.engine import Engine, Term
from assay.sql import sql_text
from assay.types import format_pattern

__all__ = ["counted"]

#: What a string of each format looks like at a glance, which spares a look at all of them. Not among them: `uri`, which
#: any text with a colon is, nor `duration` and `time`, which hardly anybody writes that way.
_GLANCE: Final = {
    "date": "[0-9]{4}-[0-9]{2}-[0-9]{2}",
    "date-time": "[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9:]{8}.*",
    "uuid": "[0-9a-fA-F-]{36}",
    "email": r"[^@]+@[^@]+",
    "ipv4": r"[0-9]{1,3}(\.[0-9]{1,3}){3}",
    "ipv6": "[0-9a-fA-F:.]*:[0-9a-fA-F:.]*",
}


def counted(engine: Engine, relation: str, expr: str, ends: Sequence[str]) -> dict[str, int]:
    """How many strings have each format, for the formats that both `ends`, the first and the last string, have."""
    found = {}
    for name, glance in _GLANCE.items():
        if all(re.fullmatch(glance, end) for end in ends):
            matches = f"regexp_full_match({expr}, {sql_text(format_pattern(name))})"
            (found[name],) = engine.ask(relation, [Term(f"count_if({matches})")])
    return found
