"""What changed between two profiles, field by field. Pure.

How far a distribution moved is the triangular distance (Le Cam 1986; Topsoe 2000) between its shares over the earlier
profile's bins: 0 where they are alike, 4 where they have nothing in common. It is a change where it exceeds what chance
explains: the limit that the drift alert has for as many rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, Literal

from assay.contract.evidence import SPECIAL_BINS, Bins, value_label
from assay.profile.document import FieldProfile, Numbers, Profile
from assay.profile.histogram import bins
from assay.profile.merge import Shares
from assay.profile.roles import is_identifier, is_timestamp

__all__ = ["Change", "compare"]

#: The drift alert's: what a distribution may move without anybody caring, and how seldom chance may exceed the rest.
_BASE: Final = 0.02
_CHANCE: Final = 2.5e-7
#: So many standard errors a share must have moved.
_ERRORS: Final = 5.0
#: A value is missed where so many rows should have had it.
_EXPECTED: Final = 15
_SHOWN: Final = 5
_SLIGHT: Final = 0.05


@dataclass(frozen=True, slots=True)
class Change:
    """One field of either profile. `drift` and `limit` are triangular distances; None where no bins can be compared."""

    label: str
    status: Literal["new", "lost", "changed", "same"]
    drift: float | None
    limit: float | None
    says: tuple[str, ...]

    def to_document(self) -> dict[str, Any]:
        """As `--json` prints it."""
        return {
            "field": self.label,
            "status": self.status,
            "drift": self.drift,
            "limit": self.limit,
            "says": list(self.says),
        }


def compare(old: Profile, new: Profile) -> list[Change]:
    """Every field, those first that changed most."""
    before, after = dict(old.walk()), dict(new.walk())
    found = [
        Change(
            label, "new", None, None, (f"new: {_kinds(field)}, in {_share(1 - _null(field, new.rows))} of the rows",)
        )
        for label, field in after.items()
        if label not in before
    ]
    found += [
        Change(label, "lost", None, None, (f"no longer there: was {_kinds(field)}",))
        for label, field in before.items()
        if label not in after
    ]
    both = [_compared(label, field, after[label], old, new) for label, field in before.items() if label in after]
    both.sort(key=lambda change: (change.status == "same", -(change.drift or 0) / (change.limit or 1)))
    return found + both


def _compared(label: str, old: FieldProfile, new: FieldProfile, before: Profile, after: Profile) -> Change:
    drift, limit = _drift(label, old, new, before, after)
    says = [*_told(old, new, before.rows, after.rows)]
    if drift is not None and limit is not None and drift > limit:
        moved = _moved(old, new)
        if moved or not says:
            says.insert(0, moved or "the same values, or some of them, in other shares")
    status: Literal["changed", "same"] = "changed" if says else "same"
    return Change(label, status, _round(drift), _round(limit), tuple(says))


def _drift(
    label: str, old: FieldProfile, new: FieldProfile, before: Profile, after: Profile
) -> tuple[float | None, float | None]:
    if is_timestamp(old) or is_identifier(old):
        return None, None  # the next is always one that was never seen
    # Items of lists are many or none in a row: their shares are of themselves.
    rows = (old.rows, new.rows) if "[]" in label else (before.rows, after.rows)
    expected = bins(old, rows[0]) if rows[0] else None
    if expected is None or not rows[1]:
        return None, None
    counts = _counts(expected, new, rows[1])
    if counts is None:
        return None, None
    drift = 2 * math.fsum(
        (p - q) ** 2 / (p + q)
        for name in expected.labels
        if (p := counts.get(name, 0) / rows[1]) + (q := expected.share.get(name, 0.0)) > 0
    )
    from scipy.stats import chi2  # type: ignore[attr-defined]

    used = sum(1 for name in expected.labels if expected.share.get(name, 0) or counts.get(name, 0))
    k = float(chi2.isf(_CHANCE, max(used - 1, 1)))
    return drift, _BASE + k * (1 / rows[0] + 1 / rows[1])


def _counts(expected: Bins, new: FieldProfile, rows: int) -> dict[str, float] | None:
    """How many rows of the later profile fall into the earlier one's bins; None where it does not say."""
    counts: dict[str, float] = {"null": rows - sum(new.kinds.values())}
    numbers, strings = new.numbers, new.strings
    if expected.edges is not None:
        if numbers is not None:
            counts |= _in_edges(expected, numbers)
    elif expected.values:
        seen: dict[str, float] = {}
        if isinstance(expected.values[0], bool):
            there = new.kinds.get("boolean", 0)
            seen = {"true": new.true, "false": there - new.true} if there else {}
        elif isinstance(expected.values[0], str):
            if strings is not None:
                seen = {value_label(value): count for value, count in strings.values}
        elif numbers is not None and numbers.values is None:
            return None
        elif numbers is not None and numbers.values is not None:
            for value, count in numbers.values:
                seen[value_label(value)] = seen.get(value_label(value), 0) + count
            counts["low"] = sum(count for value, count in numbers.values if value < (expected.low or 0))
            counts["high"] = sum(count for value, count in numbers.values if value > (expected.high or 0))
        counts |= {label: seen.get(label, 0) for label in expected.labels if label not in SPECIAL_BINS}
    counts["_other"] = max(0.0, rows - math.fsum(counts.values()))
    return counts


def _in_edges(expected: Bins, numbers: Numbers) -> dict[str, float]:
    shares = Shares([numbers])
    assert expected.edges is not None
    low, high = (
        0.0 if expected.low is None else shares.below(math.nextafter(expected.low, -math.inf)),
        numbers.count if expected.high is None else shares.below(expected.high),
    )
    steps = [low, *(min(max(shares.below(edge), low), high) for edge in expected.edges), high]
    inside = {f"b{i}": b - a for i, (a, b) in enumerate(pairwise(steps))}
    return inside | {"low": low, "high": numbers.count - high}


def _moved(old: FieldProfile, new: FieldProfile) -> str:
    """How numbers moved, in their own deviations; nothing where neither their mean nor their spread did."""
    a, b = old.numbers, new.numbers
    if a is None or b is None or not a.deviation:
        return ""
    shift = (b.mean - a.mean) / a.deviation
    spread = b.deviation / a.deviation
    if abs(shift) < _SLIGHT and abs(spread - 1) < _SLIGHT:
        return ""
    return f"mean {_number(a.mean)} → {_number(b.mean)} ({shift:+.2g} deviations), spread ×{spread:.3g}"


def _told(old: FieldProfile, new: FieldProfile, rows: int, later: int) -> Iterator[str]:
    kinds = [kind for kind in new.kinds if kind not in old.kinds]
    if kinds:
        yield (
            f"now {' and '.join(kinds)}, too"
            if set(old.kinds) <= set(new.kinds)
            else f"now {_kinds(new)}, not {_kinds(old)}"
        )
    p, q = _null(old, rows), _null(new, later)
    middle = (p * rows + q * later) / max(rows + later, 1)
    error = math.sqrt(middle * (1 - middle) * (1 / max(rows, 1) + 1 / max(later, 1))) if 0 < middle < 1 else 0.0
    if abs(p - q) > _ERRORS * error and p != q:
        yield f"missing or null {_share(p)} → {_share(q)}"
    a, b = old.numbers, new.numbers
    if a is not None and b is not None and a.count and b.count:
        reach = max(float(a.maximum) - float(a.minimum), 1e-300)
        if float(b.maximum) - float(a.maximum) > reach:
            yield f"up to {_number(b.maximum)}, was {_number(a.maximum)}"
        if float(a.minimum) - float(b.minimum) > reach:
            yield f"down to {_number(b.minimum)}, was {_number(a.minimum)}"
    if old.strings is not None and new.strings is not None and old.strings.complete and new.strings.complete:
        names, now = {value for value, _ in old.strings.values}, {value for value, _ in new.strings.values}
        if len(names) <= max(20, old.strings.count // 100):
            yield from _named("new values", sorted(now - names))
            gone = [
                value for value, count in old.strings.values if value not in now and count / rows * later >= _EXPECTED
            ]
            yield from _named("values gone", sorted(gone))


def _named(what: str, values: Sequence[str]) -> Iterator[str]:
    if values:
        shown = ", ".join(value if len(value) <= 40 else f"{value[:39]}…" for value in values[:_SHOWN])
        more = len(values) - _SHOWN
        yield f"{what}: {shown}" + (f" and {more} more" if more > 0 else "")


def _null(field: FieldProfile, rows: int) -> float:
    """The share of rows without a value: of its own, for items of lists."""
    around = field.rows if field.name == "[]" else rows
    return 1 - min(sum(field.kinds.values()) / around, 1) if around else 0.0


def _kinds(field: FieldProfile) -> str:
    return " or ".join(field.kinds) or "nothing"


def _share(share: float) -> str:
    return f"{share:.3%}" if 0 < share < 0.01 else f"{share:.1%}"


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.5g}"


def _round(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")
