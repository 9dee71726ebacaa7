"""Names and texts as they stand in SQL, whatever is in them.

https://duckdb.org/docs/stable/sql/dialect/keywords_and_identifiers
https://duckdb.org/docs/stable/sql/data_types/literal_types#string-literals
"""

from __future__ import annotations

__all__ = ["quoted", "sql_text"]


def quoted(name: str) -> str:
    """A name as an identifier."""
    return '"' + name.replace('"', '""') + '"'


def sql_text(value: object) -> str:
    """`str(value)` as a string literal. A NUL would end it where statements are read from a file: it goes by its number."""
    parts = ["'" + part.replace("'", "''") + "'" for part in str(value).split("\0")]
    return parts[0] if len(parts) == 1 else f"({' || chr(0) || '.join(parts)})"
