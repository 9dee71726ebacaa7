"""Rules between the fields of one event, which only count: they stand in a contract's `x-assay`, and refuse nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal, TypeAlias, cast

from assay.contract.document import Contract
from assay.errors import NotASchema

__all__ = ["NEAR", "Kind", "Relation", "relations"]

Kind: TypeAlias = Literal["order", "equal", "sum", "together"]

#: How far a sum may be off, as a share of its largest part: doubles do not add up exactly.
NEAR: Final = 1e-9
_LEAST: Final[Mapping[Any, int]] = {"order": 2, "equal": 2, "sum": 3, "together": 2}


@dataclass(frozen=True, slots=True)
class Relation:
    """What held between top-level fields in every one of `rows` rows that had them all.

    `order`: the first is at most the second. `equal`: they are the same. `sum`: the first is what the others add up to.
    `together`: one is there exactly when the others are; there `absent` rows had none of them. `by_chance` is the share
    of rows, in [0, 1], that would break it were the fields unrelated.
    """

    kind: Kind
    fields: tuple[str, ...]
    rows: int
    by_chance: float
    absent: int = 0

    @property
    def expected(self) -> float:
        """The share of clean events that is expected to break it, at worst: what so many rows never showed."""
        return float(f"{1 / (math.e * self.rows):.3g}") if self.rows else 1.0

    @property
    def rule(self) -> str:
        """In words: `subtotal + tax = total`."""
        first, *others = self.fields
        match self.kind:
            case "order":
                return f"{first} ≤ {others[0]}"
            case "equal":
                return f"{first} = {others[0]}"
            case "sum":
                return f"{' + '.join(others)} = {first}"
            case _:
                return f"{', '.join([first, *others[:-1]])} and {others[-1]} are there together or not at all"

    @property
    def says(self) -> str:
        """On what it rests, for a person."""
        also = f", {self.absent:,} of them without" if self.absent else ""
        chance = f"{self.by_chance:.0%}" if self.by_chance < 0.995 else "nearly all"
        return f"So in all {self.rows:,} rows{also}; were the fields unrelated, {chance} would break it."

    def breaks(self, event: Mapping[str, Any]) -> bool:
        """Whether a decoded event breaks it. One that lacks a field, or has another kind of value there, does not."""
        values: list[Any] = [event.get(name) for name in self.fields]
        if self.kind == "together":
            return len({value is None for value in values}) > 1
        if all(type(value) is str for value in values):
            values = [_moment(value) for value in values]
            return self.kind == "order" and None not in values and values[0] > values[1]
        if not all(type(value) in {int, float} for value in values):
            return False
        first, *others = values
        if self.kind == "order":
            return bool(first > others[0])
        if self.kind == "equal":
            return bool(first != others[0])
        try:
            return bool(abs(first - math.fsum(others)) > NEAR * max(map(abs, values)))
        except OverflowError:  # an integer beyond every double, which no sum of others is near
            return True

    def to_document(self) -> dict[str, Any]:
        """As a contract and a profile carry it."""
        absent = {"absent": self.absent} if self.absent else {}
        return {
            "kind": self.kind,
            "fields": list(self.fields),
            "rows": self.rows,
            **absent,
            "by_chance": self.by_chance,
            "expected": self.expected,
            "rule": self.rule,
            "says": self.says,
        }

    @classmethod
    def parse(cls, document: object) -> Relation:
        """Read what `to_document` wrote.

        Raises:
            ValueError: it is none.
        """
        if not isinstance(document, Mapping):
            raise ValueError("a relation is a JSON object")  # noqa: TRY004  (what is wrong with a document)
        kind, fields = document.get("kind"), document.get("fields")
        if type(kind) is not str or kind not in _LEAST:
            raise ValueError(f"a relation's kind is one of {', '.join(_LEAST)}")
        if not isinstance(fields, list) or len(fields) < _LEAST[kind] or not all(type(name) is str for name in fields):
            raise ValueError(f"a relation of kind {kind} names {_LEAST[kind]} fields or more")
        if kind in {"order", "equal"} and len(fields) != 2:
            raise ValueError(f"a relation of kind {kind} is between two fields")
        rows, absent, chance = (document.get(name, 0) for name in ("rows", "absent", "by_chance"))
        if type(rows) is not int or type(absent) is not int or type(chance) not in {int, float}:
            raise ValueError("a relation's rows are counted, and by_chance is a share")
        return cls(cast("Kind", kind), tuple(fields), rows, float(chance), absent)


def _moment(text: str) -> datetime | None:
    """A date or a time of RFC 3339 as a moment; None where it is neither."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def relations(contract: Contract) -> tuple[Relation, ...]:
    """The soft rules of a contract.

    Raises:
        NotASchema: one of them cannot be read.
    """
    found = contract.evidence.get("relations", [])
    if not isinstance(found, list):
        raise NotASchema("/x-assay/relations", "a list is expected", where=f"contract {contract.dataset}".rstrip())
    read = []
    for i, each in enumerate(found):
        try:
            read.append(Relation.parse(each))
        except ValueError as error:
            raise NotASchema(
                f"/x-assay/relations/{i}", str(error), where=f"contract {contract.dataset}".rstrip()
            ) from error
    return tuple(read)
