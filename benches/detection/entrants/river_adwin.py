"""River: ADWIN (Bifet and Gavalda 2007) with its defaults, on each field of numbers, as the events come."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from benches.detection.column import LOOK, LOOKS, VALUE, Array, Column, Table

__all__ = ["NAME", "entrant"]

NAME: Final = "River, ADWIN"


class _Adwin:
    name = NAME
    slow = True
    every = 1

    def learn(self, table: Table) -> _Watch:
        """The profile brings values to the range from 0 to 1 or so, which ADWIN expects."""
        ends = {name: (column.present.min(), column.present.max()) for name, column in table.items() if not column.text}
        return _Watch({name: (float(low), float(high - low) or 1.0) for name, (low, high) in ends.items()})


def entrant() -> _Adwin:
    """It, where River is installed."""
    import river.drift  # noqa: F401

    return _Adwin()


class _Watch:
    def __init__(self, scales: dict[str, tuple[float, float]]) -> None:
        self._scales = scales

    def alarms(self, name: str, column: Column, since: int) -> Array:
        """A look alarms when drift was found since the last one. Texts, nulls and other types it does not see."""
        from river.drift import ADWIN

        found = np.zeros(LOOKS, dtype=bool)
        if column.text:
            return found
        low, width = self._scales[name]
        detector: Any = ADWIN()  # type: ignore[no-untyped-call]
        scaled = (column.values - low) / width
        for i in np.flatnonzero(column.kind == VALUE):
            detector.update(scaled[i])
            if detector.drift_detected:
                found[i // LOOK] = True
                if 0 < since <= i // LOOK:
                    break
        return found
