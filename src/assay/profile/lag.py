"""How long after its own time an event came: what times are held against, as the next will be one that was never seen.

Fine bins would speak of every change of a network. So there are few: earlier than a minute before any that was seen, later
than all that was seen and as much again, and in between up to ten times what is usual, and above.
"""

from __future__ import annotations

from typing import Any, Final

from assay.contract.evidence import Bins
from assay.profile.batch import Batch
from assay.profile.document import FieldProfile, Numbers
from assay.profile.roles import epoch_unit

__all__ = ["lag_bins", "measured", "unit_of"]

#: Times that are further from when their events came are not those of the events: days of birth, schedules, an archive.
_DAY_S: Final = 86_400.0
#: By how much clocks are apart, and how much later than ever nobody minds.
_CLOCKS_S: Final = 60.0
_UNITS: Final = {1: "s", 10**3: "ms", 10**6: "us", 10**9: "ns"}


def unit_of(field: FieldProfile) -> str:
    """What a field's moments are told in: `date-time`, `s`, `ms`, `us` or `ns` since 1970; empty: it has none."""
    if len(field.kinds) > 1 and field.kinds.keys() != {"integer", "number"}:
        return ""
    if field.strings is not None:
        strings = field.strings
        return "date-time" if strings.count and strings.formats.get("date-time", 0) == strings.count else ""
    unit = None if field.numbers is None else epoch_unit(field.numbers)
    return "" if unit is None else _UNITS[unit]


def measured(batch: Batch, value: str, field: FieldProfile) -> Numbers | None:
    """The seconds from the moments that `value`, SQL over the relation of `batch`, tells until their rows came."""
    unit = unit_of(field)
    if not unit or not batch.received:
        return None
    per_second = next((count for count, name in _UNITS.items() if name == unit), None)
    moment = f"epoch(TRY_CAST({value} AS TIMESTAMPTZ))" if per_second is None else f"{value}::DOUBLE / {per_second}"
    own = Batch(batch.engine, batch.relation, batch.rows)
    slot = own.ask(f"round({batch.received} - {moment}, 6)", "float")
    own.run()
    return own.numbers[slot]


def lag_bins(field: FieldProfile, rows: int) -> tuple[Bins, dict[str, int]] | None:
    """Bins of a field's lag, and how many of its values are in each; None where the lag says nothing."""
    lag = field.lag
    if lag is None or not lag.count or lag.rising:
        return None
    quantile: dict[float, Any] = dict(lag.quantiles)
    if quantile[0.01] < -_DAY_S or quantile[0.99] > _DAY_S:
        return None
    low = min(lag.minimum, 0.0) - _CLOCKS_S
    high = lag.maximum + max(lag.maximum - lag.median, _CLOCKS_S)
    edge = round(10 * max(quantile[0.99], 1.0), 3)
    # Of more than 401 rows above it nobody knows how many: then it is no rarity that late, and no edge.
    known = edge < high and lag.largest[-1][0] <= edge
    above = sum(seen for value, seen in lag.largest if value > edge) if known else 0
    edges = (edge,) if known else ()
    found = Bins(rows, {}, edges=edges, low=round(low, 3), high=round(high, 3), lag=unit_of(field))
    counts = {"b0": lag.count - above} | ({"b1": above} if known else {})
    return found, counts
