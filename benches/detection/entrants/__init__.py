"""Who takes part: a small file each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from benches.detection.column import Array, Column, Table

__all__ = ["Entrant", "Watch", "entrants"]


class Watch(Protocol):
    """Somebody who has learned a table."""

    def alarms(self, name: str, column: Column, since: int) -> Array:
        """Whether the field of that name alarms at each of the `LOOKS` over its stream.

        Looks before `since` are not asked for; where there are such, nor is any after the first alarm.
        """


class Entrant(Protocol):
    """Somebody who learns a table.

    `slow`: goes through a library that takes its time, and so gets fewer redraws. `every`: takes part in each so many looks.
    """

    name: str
    slow: bool
    every: int

    def learn(self, table: Table) -> Watch:
        """See the profile's rows, as many as there are, once."""


def entrants() -> tuple[Sequence[Entrant], Sequence[str]]:
    """All that can take part here; and which cannot, and why."""
    from benches.detection.entrants import (
        assay_rules,
        by_hand,
        evidently_drift,
        pandera_schema,
        population_stability,
        river_adwin,
    )

    found: list[Entrant] = [assay_rules.Assay(), *by_hand.ENTRANTS, *population_stability.ENTRANTS]
    missing = []
    for module in (pandera_schema, evidently_drift, river_adwin):
        try:
            found.append(module.entrant())
        except ImportError as error:
            missing.append(f"{module.NAME}: {error}")
    return found, missing
