"""Which numbers and strings are names or times, not amounts: the next one will be one that was never seen. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from assay.profile.document import FieldProfile, Number, Numbers, Strings

__all__ = ["Range", "crosses_zero", "epoch_unit", "is_identifier", "is_key", "is_timestamp", "known_range"]

_ID_NAME: Final = re.compile(r"(?i:(^|[_\-. ])(id|uuid|guid)$)|[a-z0-9](Id|ID)$")
#: The years 2000 to 2100 as seconds, and as milli-, micro- and nanoseconds, since 1970.
_EPOCHS: Final = {unit: (946_684_800 * unit, 4_102_444_800 * unit) for unit in (1, 10**3, 10**6, 10**9)}
_YEARS: Final = (1900, 2100)
#: Last words of names for what is numbered, one after the other.
_NUMBERED: Final = frozenset(("build", "odometer", "revision", "seq", "sequence", "serial", "version"))
#: Identifiers that hash or encode something fill far more of the number line than any amount of rows.
_FAR: Final = 10**15


@dataclass(frozen=True, slots=True)
class Range:
    """What a name allows; where only `whole` numbers make sense, there is no other way to use all of it."""

    low: int
    high: int
    whole: bool = True


#: What a clock, a calendar and a globe allow, by the last words of a field's name.
_RANGES: Final = {
    "month": Range(1, 12),
    "quarter": Range(1, 4),
    **dict.fromkeys(("week", "week_of_year"), Range(0, 53)),
    "day": Range(1, 31),
    **dict.fromkeys(("day_of_year", "doy", "yday", "yearday"), Range(0, 366)),
    **dict.fromkeys(("weekday", "day_of_week", "dow"), Range(0, 7)),
    "hour": Range(0, 23),
    "minute": Range(0, 59),
    "second": Range(0, 60),
    **dict.fromkeys(("lat", "latitude"), Range(-90, 90, whole=False)),
    **dict.fromkeys(("lon", "lng", "longitude"), Range(-180, 180, whole=False)),
}

#: Words of names for scales that go on below 0, whatever was seen of them so far.
_CROSSING: Final = frozenset(
    (
        *("temp", "temperature", "dewp", "dewpoint", "celsius", "fahrenheit"),
        *("lat", "latitude", "lon", "lng", "longitude", "alt", "altitude", "elev", "elevation"),
        *("tz", "offset", "delta", "change", "diff", "difference", "delay", "lag"),
        *("balance", "profit", "margin", "gain", "rssi", "dbm"),
    )
)
#: Hours and minutes in one number; some write midnight as 2400.
_CLOCK: Final = Range(0, 2400)


def is_identifier(field: FieldProfile) -> bool:
    """Whether a field's numbers, or its strings, name things."""
    if field.numbers is not None:
        return _names_rows(field.name, field.numbers)
    return field.strings is not None and _all_different(field.strings)


def is_timestamp(field: FieldProfile) -> bool:
    """Whether a field says when: a date or time in a string, or a number that counts time."""
    if field.strings is not None:
        strings = field.strings
        return strings.temporal or any(strings.formats.get(name, 0) == strings.count for name in ("date", "date-time"))
    return field.numbers is not None and _tells_time(field.numbers)


def is_key(field: FieldProfile, rows: int) -> bool:
    """Whether each of so many rows has a value of its own there: a whole number or a text, and not just a time."""
    if len(field.kinds) != 1:
        return False
    if field.numbers is not None:
        numbers = field.numbers
        return numbers.integral and numbers.distinct == rows and not _reads_as_time(numbers)
    return field.strings is not None and field.strings.distinct == rows and not is_timestamp(field)


def _names_rows(name: str, numbers: Numbers) -> bool:
    """Whether whole numbers are identifiers: by name, or all but different and dense, or spread beyond any amount."""
    if not numbers.integral:
        return False
    if _ID_NAME.search(name) or _is_numbered(name):
        return True
    if numbers.count < 100 or numbers.distinct < 0.99 * numbers.count:
        return False
    width = numbers.maximum - numbers.minimum
    return width < 4 * numbers.count or width > _FAR


def _is_numbered(name: str) -> bool:
    """Whether the name says that one is numbered after another: `seq`, `build`, `build_number`, but not `version_count`."""
    words = _words(name)
    return not _NUMBERED.isdisjoint(words[-1:] if words[-1] not in {"number", "nr", "no"} else words[-2:-1])


def _tells_time(numbers: Numbers) -> bool:
    """Whether numbers are times: they rise with the rows, or all look like times."""
    return numbers.rising or _reads_as_time(numbers)


def _reads_as_time(numbers: Numbers) -> bool:
    """Whether all look like years, calendar days or epoch times."""
    if epoch_unit(numbers) is not None:
        return True
    if not numbers.integral:
        return False
    if _YEARS[0] <= numbers.minimum and numbers.maximum <= _YEARS[1]:
        return True
    return all(_is_calendar_day(value) for value, _ in (*numbers.largest, *numbers.smallest))


def epoch_unit(numbers: Numbers) -> int | None:
    """How many of the unit make a second, where all numbers read as times since 1970."""
    spans = ((unit, span) for unit, span in _EPOCHS.items() if span[0] <= numbers.minimum)
    return next((unit for unit, span in spans if numbers.maximum < span[1]), None)


def known_range(name: str, numbers: Numbers) -> Range | None:
    """The range that a field's name gives it, where all numbers seen lie in it.

    January to March are no reason to refuse April, nor a tail that reaches hour 27 one to allow it.
    """
    words = _words(name)
    found = _CLOCK if words[-1] == "time" and _is_clock(numbers) else _named(words)
    if found is None or not found.low <= numbers.minimum <= numbers.maximum <= found.high:
        return None
    return found if numbers.integral or not found.whole else None


def _named(words: list[str]) -> Range | None:
    """The range of the longest name that these words end in: `day_of_year` before `year`."""
    names = ("_".join(words[start:]) for start in range(len(words)))
    return next((_RANGES[name] for name in names if name in _RANGES), None)


def crosses_zero(name: str) -> bool:
    """Whether a field of this name may be negative one day, as temperatures and balances may."""
    return not _CROSSING.isdisjoint(_words(name))


def _words(name: str) -> list[str]:
    return re.split(r"[^a-z]", re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower())


def _is_clock(numbers: Numbers) -> bool:
    """Whether whole numbers read as hours and minutes, 23:59 as 2359, and are so many that this is no accident."""
    if not numbers.integral or numbers.maximum <= _CLOCK.high / 2 or numbers.distinct < 60:
        return False
    known = [value for value, _ in (*numbers.largest, *numbers.smallest, *(numbers.values or ()))]
    return all(value % 100 < 60 for value in (*known, *dict(numbers.quantiles).values()))


def _is_calendar_day(value: Number) -> bool:
    """Whether it reads as yyyymmdd."""
    year, rest = divmod(int(value), 10_000)
    month, day = divmod(rest, 100)
    return _YEARS[0] <= year <= _YEARS[1] and 1 <= month <= 12 and 1 <= day <= 31


def _all_different(strings: Strings) -> bool:
    return strings.count >= 50 and strings.distinct >= 0.9 * strings.count
