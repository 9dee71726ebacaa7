"""What a check found: how many rows break the contract, why, and which they are."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from dataclasses import field as attribute
from typing import TYPE_CHECKING, Any, Final

from assay.contract.violation import Violation

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Report", "Tally"]

_SHOWN: Final = 5


@dataclass(slots=True)
class Tally:
    """One kind of violation: how many rows have it, the first of its messages, and the first few of the rows."""

    field: str
    type: str
    count: int
    msg: str
    first_rows: list[int]

    def add(self, row: int, times: int = 1) -> None:
        """Count a row that has it."""
        self.count += times
        if len(self.first_rows) < _SHOWN:
            self.first_rows.append(row)


@dataclass(slots=True)
class Report:
    """The rows that were judged and the `bad` ones among them; rows count from 0, as the source has them.

    `sources` counts the bad ones by who sent them, where that is known. `soft` counts the rows that break each of the
    contract's soft rules, which are no violations.
    """

    rows_seen: int = 0
    bad: int = 0
    sources: Counter[str] = attribute(default_factory=Counter)
    soft: dict[str, int] = attribute(default_factory=dict)
    _tallies: dict[tuple[str, str], Tally] = attribute(default_factory=dict)
    _kept: list[pa.Table] = attribute(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether every row keeps the contract."""
        return not self.bad

    @property
    def violations(self) -> list[Tally]:
        """The kinds of violations, the most frequent first."""
        return sorted(self._tallies.values(), key=lambda tally: (-tally.count, tally.field, tally.type))

    def rows(self) -> pa.Table:
        """The bad rows as they came, with `_row`, their number, and `_violations`, as JSON text.

        Lines of JSON that came as such stand in `_body`.
        """
        import pyarrow as pa

        if not self._kept:
            return pa.table({"_row": pa.array([], pa.int64()), "_violations": pa.array([], pa.string())})
        return pa.concat_tables(self._kept, promote_options="default")

    def count(self, row: int, labelled: list[tuple[str, Violation]]) -> None:
        """Count one bad row with its violations, each kind of them once."""
        self.bad += 1
        for key, msg in {(label, each.type): each.msg for label, each in reversed(labelled)}.items():
            tally = self._tallies.get(key)
            if tally is None:
                tally = self._tallies[key] = Tally(*key, 0, msg, [])
            tally.add(row)

    def keep(self, rows: pa.Table) -> None:
        """Keep bad rows for `rows`."""
        self._kept.append(rows)

    def to_document(self) -> dict[str, Any]:
        """As `--json` prints it."""
        return {
            "ok": self.ok,
            "rows": self.rows_seen,
            "bad": self.bad,
            "violations": [
                {
                    "field": each.field,
                    "type": each.type,
                    "rows": each.count,
                    "msg": each.msg,
                    "first_rows": each.first_rows,
                }
                for each in self.violations
            ],
            **({"soft": self.soft} if self.soft else {}),
            **({"sources": dict(self.sources.most_common())} if self.sources else {}),
        }
