"""How a stream's volume goes with the hours of the day and the days of the week, where its history is long enough.

The volume of the last minutes is compared with that of the hour before. Where shops open at nine, that is wrong every morning. So
the logarithm of the hourly counts is fitted by a few waves of a day and of a week, and what these say of the way from the hour
before to now is a factor on what is expected (`waves`).
"""

from __future__ import annotations

from typing import Final

from assay.profile.document import Hours
from assay.profile.engine import Engine

__all__ = ["DAYS", "WEEKDAYS_DAYS", "measured"]

#: Days of history from which on hours of the day are told apart, and days of the week.
DAYS: Final = 14
WEEKDAYS_DAYS: Final = 28
#: The last hours that are looked at: eight weeks.
_HOURS: Final = 8 * 168


def measured(engine: Engine, relation: str, received: str) -> Hours | None:
    """The events of each of the last whole hours; `received` is SQL for when a row came, in seconds since 1970."""
    hour = f"floor({received} / 3600)"
    every = engine.counted(relation, hour, "BIGINT", where=f"WHERE {received} IS NOT NULL")
    counted = dict(sorted(every, reverse=True)[: _HOURS + 1])
    # The first hour and the last are not whole.
    last, first = max(counted, default=0) - 1, min(counted, default=0) + 1
    first = max(first, last - _HOURS + 1)
    if last - first + 1 < DAYS * 24:
        return None
    return Hours(first, tuple(int(counted.get(hour, 0)) for hour in range(first, last + 1)))
