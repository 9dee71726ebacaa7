"""Pandera: the schema that `infer_schema` makes of the profile, and an alert on any error."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd

from benches.detection.column import LOOK, LOOKS, WINDOWS, Array, Column, Table

__all__ = ["NAME", "entrant"]

NAME: Final = "Pandera, inferred schema, any error"


class _Pandera:
    name = NAME
    slow = True
    every = 1

    def __init__(self) -> None:
        import pandera.errors  # type: ignore[import-not-found, unused-ignore]
        import pandera.pandas  # type: ignore[import-not-found, unused-ignore]

        self._library: Any = pandera.pandas
        self._errors: Any = (pandera.errors.SchemaError, pandera.errors.SchemaErrors)

    def learn(self, table: Table) -> _Watch:
        """As its documentation does."""
        frame = pd.DataFrame({name: _series(column) for name, column in table.items()})
        return _Watch(self._library.infer_schema(frame), self._errors)


def entrant() -> _Pandera:
    """It, where it is installed."""
    return _Pandera()


class _Watch:
    def __init__(self, schema: Any, errors: Any) -> None:
        self._schema, self._errors = schema, errors

    def alarms(self, name: str, column: Column, since: int) -> Array:
        """At each look over the last events."""
        schema = self._schema.columns[name]
        found = np.zeros(LOOKS, dtype=bool)
        size = WINDOWS[0] // LOOK
        # A column that passes whole passes in parts.
        if self._passes(schema, name, column):
            return found
        for look in range(max(since, size - 1), LOOKS):
            part = column.take(slice((look + 1 - size) * LOOK, (look + 1) * LOOK))
            found[look] = not self._passes(schema, name, part)
            if since and found[look]:
                break
        return found

    def _passes(self, schema: Any, name: str, column: Column) -> bool:
        try:
            schema.validate(pd.DataFrame({name: _series(column)}))
        except self._errors:
            return False
        return True


def _series(column: Column) -> pd.Series[Any]:
    """As pandas reads JSON: numbers with nulls become floats."""
    return pd.Series(column.json()).infer_objects()
