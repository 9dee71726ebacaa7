"""A dataset's rows with what their columns could not hold: an integer beyond 64 bits, a nanosecond, a value of another type.

Such a value stands in the row's `_extra` under its field's name, and its column is NULL. Where there are some, the column is
read as JSON, the others of its values written as they came; where there are none, nothing changes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from assay.profile.engine import Engine
from assay.profile.shred import pointer
from assay.sql import quoted, sql_text

__all__ = ["is_json", "put_together"]

#: A CloudEvent's attributes stand there, and a field of that name gives way to them: neither is told apart here.
_ENVELOPE: Final = re.compile(r"cloudevent_*")


def put_together(
    engine: Engine,
    relation: str,
    columns: Sequence[tuple[str, Any]],
    fields: Sequence[tuple[str, str, Any]],
    extra: str,
) -> str:
    """The relation, of these columns, in which those of a dataset's fields hold all that came of them.

    Each field has its name, its column and that one's type; `extra` is the column of what they could not hold. Objects, and
    lists with objects in them, stay as they are: as JSON they would no longer tell a NULL from a null.
    """
    could = {
        name: (column, sql_type)
        for name, column, sql_type in fields
        if not (_has_object(sql_type) or _ENVELOPE.fullmatch(name))
    }
    if not could:
        return relation
    rest = f"CASE WHEN json_valid({quoted(extra)}) THEN {quoted(extra)}::JSON END"
    keys = f"(SELECT unnest(json_keys({rest})) AS k FROM {relation} WHERE {quoted(extra)} IS NOT NULL)"
    names = ", ".join(map(sql_text, could))
    whole = {
        column: f"coalesce(json_extract({rest}, {pointer(name)}), {_as_json(quoted(column), sql_type)})::JSON AS {quoted(column)}"
        for name, _ in engine.counted(keys, "k", "VARCHAR", where=f"WHERE k IN ({names})")
        for column, sql_type in [could[name]]
    }
    if not whole:
        return relation
    # Each by its name: an engine may look there for those that it has to read.
    return f"(SELECT {', '.join(whole.get(column, quoted(column)) for column, _ in columns)} FROM {relation})"


def is_json(sql_type: Any) -> bool:
    """Whether a column's type is JSON, whose `id` is that of a text."""
    return str(sql_type).upper() == "JSON"


def _has_object(sql_type: Any) -> bool:
    kind = str(sql_type.id).lower()
    if kind in {"list", "array"}:
        return _has_object(dict(sql_type.children)["child"])
    return kind in {"struct", "map", "union"}


def _as_json(column: str, sql_type: Any) -> str:
    """A column's values as JSON: a moment as RFC 3339 has it, in UTC."""
    if is_json(sql_type):
        return column
    if str(sql_type.id).lower().startswith("timestamp"):
        return f"to_json(strftime(make_timestamp(epoch_us({column})), '%Y-%m-%dT%H:%M:%S.%fZ'))"
    return f"to_json({column})"
