"""The formats that strings are looked through for: only where every string has it, and a person would agree."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import duckdb

__all__ = ["counted"]

_DATE: Final = r"[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
_TIME: Final = r"([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]+)?"
_ZONE: Final = r"([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"

#: RFC 3339's dates and times, RFC 9562's identifiers; and what DuckDB must be able to make of them.
_FORMATS: Final = {
    "date": (_DATE, "DATE", "{c}"),
    "date-time": (f"{_DATE}[Tt]{_TIME}{_ZONE}", "DATE", "left({c}, 10)"),
    "uuid": ("[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", "UUID", "{c}"),
}


def counted(con: duckdb.DuckDBPyConnection, relation: str, expr: str, ends: Sequence[str]) -> dict[str, int]:
    """How many strings have each format, for the formats that both `ends`, the first and the last string, have."""
    found = {}
    for name, (pattern, sql_type, part) in _FORMATS.items():
        if all(re.fullmatch(pattern, end) for end in ends):
            row = con.execute(
                f"SELECT count_if(regexp_full_match(c, ?) AND TRY_CAST({part.format(c='c')} AS {sql_type}) IS NOT NULL) "
                f"FROM (SELECT {expr} AS c FROM {relation})",
                [pattern],
            ).fetchone()
            assert row is not None
            found[name] = row[0]
    return found
