"""The profile: what was measured over a dataset, and the evidence that a contract is learned from.

Everything in it could be merged from the profiles of parts: counts add, extremes are cut again after joining, means and
deviations combine by their counts, value counts add while they are complete.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from dataclasses import field as attribute
from pathlib import Path
from typing import Any, Final, TypeAlias

from assay.contract.relations import Relation
from assay.errors import UsageError

__all__ = ["FORMAT", "FieldProfile", "Hours", "Number", "Numbers", "Profile", "Stretches", "Strings"]

FORMAT: Final = "assay-profile/1"

Number: TypeAlias = int | float


@dataclass(frozen=True, slots=True)
class Numbers:
    """The finite numbers of a field, or the lengths of its strings or arrays.

    `largest` and `smallest` are the most extreme distinct values with how many rows have each, outermost first: at
    least 401 rows, where there are as many, and one distinct value more. `values` has every value with its rows,
    ascending, when there are at most 1,000. `edges` cut the numbers into `len(edges) + 1` bins of `counts` rows, each
    with its upper edge in it. `distinct` is exact with `values` and where most values differ, else an estimate that
    may be a fifth off. `rising` says that the values grew with the order of the rows, as clocks and sequences do.
    """

    count: int
    minimum: Number
    maximum: Number
    mean: float
    deviation: float
    distinct: int
    integral: bool
    rising: bool = False
    quantiles: tuple[tuple[float, Number], ...] = ()
    largest: tuple[tuple[Number, int], ...] = ()
    smallest: tuple[tuple[Number, int], ...] = ()
    values: tuple[tuple[Number, int], ...] | None = None
    edges: tuple[float, ...] = ()
    counts: tuple[int, ...] = ()

    @property
    def median(self) -> Number:
        """The middle value; of many rows it is a sample's."""
        return dict(self.quantiles)[0.5]


@dataclass(frozen=True, slots=True)
class Strings:
    """The strings of a field.

    `values` are the most frequent ones with their rows, and all there are when `complete`. `formats` counts the rows of
    each format that was looked for; `temporal` says that it was a column of dates or times, which has no lengths. `shapes`
    are those of `assay.profile.shapes` with their rows, all of them or none.
    """

    count: int
    distinct: int
    values: tuple[tuple[str, int], ...] = ()
    complete: bool = False
    formats: Mapping[str, int] = attribute(default_factory=dict)
    shapes: tuple[tuple[str, int], ...] = ()
    temporal: bool = False
    lengths: Numbers | None = None


@dataclass(frozen=True, slots=True)
class Stretches:
    """A field's values cut in the order of time into `count` stretches of so many `seconds`, each held against the whole.

    `rows` is how many a stretch has in the middle. `spread` is the median of their distances (the triangular one of the
    alerts, in [0, 4]) in units of 1/N - 1/M, where N are the rows of the stretch and M those of the whole: as many as the
    bins less one, were the values independent. `worst` is the largest distance, of a stretch of `worst_rows`.
    """

    seconds: float
    count: int
    rows: int
    spread: float
    worst: float
    worst_rows: int


@dataclass(frozen=True, slots=True)
class Hours:
    """Events of each whole hour in a row; `first` counts hours since 1970, in UTC."""

    first: int
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class FieldProfile:
    """One field. `rows` could have had it: the events, the objects around it, or the elements of an array.

    `types` counts those rows by JSON type (`integer`: a number written without fraction), `missing`, and `absent`: a
    table's NULL, which is missing or null. `nonfinite` counts NaN and infinities, which JSON has no word for; they are
    among the absent. `fields` describe its objects, `items` the elements of its arrays, `sizes` how many there were. `lag` is
    by how many seconds its events came after the moments that it tells, where both are known.
    """

    name: str
    rows: int
    types: Mapping[str, int]
    numbers: Numbers | None = None
    strings: Strings | None = None
    true: int = 0
    nonfinite: int = 0
    fields: tuple[FieldProfile, ...] = ()
    items: FieldProfile | None = None
    sizes: Numbers | None = None
    lag: Numbers | None = None
    stretches: tuple[Stretches, ...] = ()

    @property
    def missing(self) -> int:
        """Rows without it, as far as the source could tell."""
        return self.types.get("missing", 0) + self.types.get("absent", 0)

    @property
    def null(self) -> int:
        """Rows that have null there, as far as the source could tell."""
        return self.types.get("null", 0) + self.types.get("absent", 0)

    @property
    def kinds(self) -> dict[str, int]:
        """Rows of each JSON type that was seen, null apart."""
        return {name: rows for name, rows in self.types.items() if rows and name not in {"missing", "null", "absent"}}

    def walk(self, label: str) -> Iterator[tuple[str, FieldProfile]]:
        """The field and those below it, with their labels: `a`, `a.b`, `items[]`, `items[].price`."""
        yield label, self
        for child in self.fields:
            yield from child.walk(f"{label}.{child.name}")
        if self.items is not None:
            yield from self.items.walk(f"{label}[]")


@dataclass(frozen=True, slots=True)
class Profile:
    """The statistics of one dataset. `first` and `last` say when it was collected (RFC 3339), where that is known.

    `skipped` counts bodies that are no JSON object: they are in none of the numbers. `relations` held on every row. `hours`
    are the last whole hours of two weeks or more.
    """

    dataset: str
    rows: int
    fields: tuple[FieldProfile, ...]
    first: str | None = None
    last: str | None = None
    skipped: int = 0
    relations: tuple[Relation, ...] = ()
    hours: Hours | None = None

    def walk(self) -> Iterator[tuple[str, FieldProfile]]:
        """Every field with its label."""
        for field in self.fields:
            yield from field.walk(field.name)

    def to_json(self) -> str:
        """Canonical text, a line for each field: the same profile gives the same bytes."""
        head: dict[str, Any] = {"format": FORMAT, "dataset": self.dataset, "rows": self.rows, "skipped": self.skipped}
        if self.first is not None and self.last is not None:
            head |= {"first": self.first, "last": self.last}
        if self.relations:
            head["relations"] = [relation.to_document() for relation in self.relations]
        if self.hours is not None:
            head["hours"] = asdict(self.hours)
        lines = ",\n".join("    " + _text(_field_document(field)) for field in self.fields)
        body = f"[\n{lines}\n  ]" if lines else "[]"
        return (
            "{\n"
            + "".join(f"  {_text(key)}: {_text(value)},\n" for key, value in head.items())
            + f'  "fields": {body}\n}}\n'
        )

    @classmethod
    def parse(cls, document: str | bytes | Mapping[str, Any], *, where: str = "profile") -> Profile:
        """Read what `to_json` wrote.

        Raises:
            UsageError: it is no profile, or of another format.
        """
        try:
            read = json.loads(document) if isinstance(document, str | bytes) else document
            if read["format"] != FORMAT:
                raise UsageError(f"{where} is of format {read['format']!r}, not {FORMAT!r}; profile again")
            return cls(
                dataset=read["dataset"],
                rows=read["rows"],
                fields=tuple(_read_field(field) for field in read["fields"]),
                first=read.get("first"),
                last=read.get("last"),
                skipped=read["skipped"],
                relations=tuple(map(Relation.parse, read.get("relations", ()))),
                hours=None if "hours" not in read else Hours(read["hours"]["first"], tuple(read["hours"]["counts"])),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UsageError(f"{where} is no profile of assay's: {error!r}; profile again") from error

    @classmethod
    def load(cls, path: str | Path) -> Profile:
        """Read a profile from a file.

        Raises:
            UsageError: it cannot be read, or is no profile.
        """
        try:
            return cls.parse(Path(path).read_bytes(), where=str(path))
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {error}") from error


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(", ", ": "))


def _field_document(field: FieldProfile) -> dict[str, Any]:
    document: dict[str, Any] = {"name": field.name, "rows": field.rows, "types": dict(field.types)}
    if field.true:
        document["true"] = field.true
    if field.nonfinite:
        document["nonfinite"] = field.nonfinite
    if field.numbers is not None:
        document["numbers"] = _numbers_document(field.numbers)
    if field.strings is not None:
        document["strings"] = _strings_document(field.strings)
    if field.sizes is not None:
        document["sizes"] = _numbers_document(field.sizes)
    if field.lag is not None:
        document["lag"] = _numbers_document(field.lag)
    if field.stretches:
        document["stretches"] = [asdict(each) for each in field.stretches]
    if field.fields:
        document["fields"] = [_field_document(child) for child in field.fields]
    if field.items is not None:
        document["items"] = _field_document(field.items)
    return document


def _numbers_document(numbers: Numbers) -> dict[str, Any]:
    return {
        name: value
        for name in Numbers.__slots__
        if (value := getattr(numbers, name)) not in (None, (), False) or name in _NEEDED_NUMBERS
    }


def _strings_document(strings: Strings) -> dict[str, Any]:
    document: dict[str, Any] = {"count": strings.count, "distinct": strings.distinct}
    document |= {name: True for name in ("complete", "temporal") if getattr(strings, name)}
    if strings.formats:
        document["formats"] = dict(strings.formats)
    if strings.shapes:
        document["shapes"] = strings.shapes
    if strings.values:
        document["values"] = strings.values
    if strings.lengths is not None:
        document["lengths"] = _numbers_document(strings.lengths)
    return document


def _read_field(document: Mapping[str, Any]) -> FieldProfile:
    return FieldProfile(
        name=document["name"],
        rows=document["rows"],
        types=dict(document["types"]),
        numbers=_read_numbers(document.get("numbers")),
        strings=_read_strings(document.get("strings")),
        true=document.get("true", 0),
        nonfinite=document.get("nonfinite", 0),
        fields=tuple(_read_field(child) for child in document.get("fields", ())),
        items=_read_field(document["items"]) if "items" in document else None,
        sizes=_read_numbers(document.get("sizes")),
        lag=_read_numbers(document.get("lag")),
        stretches=tuple(Stretches(**each) for each in document.get("stretches", ())),
    )


_NEEDED_NUMBERS: Final = frozenset(("count", "minimum", "maximum", "mean", "deviation", "distinct", "integral"))
_PAIRS: Final = ("quantiles", "largest", "smallest", "values")
_LISTS: Final = ("edges", "counts")


def _read_numbers(document: Mapping[str, Any] | None) -> Numbers | None:
    if document is None:
        return None
    read = dict(document)
    read |= {name: _pairs(document[name]) for name in _PAIRS if name in document}
    read |= {name: tuple(document[name]) for name in _LISTS if name in document}
    return Numbers(**read)


def _read_strings(document: Mapping[str, Any] | None) -> Strings | None:
    if document is None:
        return None
    return Strings(
        count=document["count"],
        distinct=document["distinct"],
        values=_pairs(document.get("values", ())),
        complete=document.get("complete", False),
        formats=dict(document.get("formats", {})),
        shapes=_pairs(document.get("shapes", ())),
        temporal=document.get("temporal", False),
        lengths=_read_numbers(document.get("lengths")),
    )


def _pairs(rows: Sequence[Sequence[Any]]) -> tuple[tuple[Any, Any], ...]:
    return tuple((row[0], row[1]) for row in rows)
