"""What became of a request's events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as attribute
from typing import TYPE_CHECKING, Any

import msgspec

from assay.contract.violation import Violation
from assay.errors import BadBody
from assay.ingest.validate import Judge

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Outcome", "Rejected"]


class Rejected(msgspec.Struct, frozen=True):
    """One event that was refused, and where it is kept. `index` counts the events of the body from 0."""

    index: int
    quarantine_id: str
    violations: Sequence[Violation]


@dataclass(slots=True)
class Outcome:
    """The answer to a request, and what there is to count of it once the log has it.

    `single` says that the body was one event and not a batch; `bad_body` that it was nothing of the kind; `values`
    are the decoded events, accepted and refused alike, and `columns` and `arrays` those that are columns by now.
    `unexpected` counts the unknown fields of the latter. Of a large body only the first of the `rejected` are here,
    `more_rejected` says how many are not, and there are no events. What came before under the same key is answered as it
    was then and counted no more: `repeated` were accepted (`repeated_flagged` of them flagged), `repeated_rejected` were
    not.
    """

    dataset: str
    source: str
    judge: Judge | None
    single: bool = False
    atomic: bool = False
    accepted: int = 0
    flagged: int = 0
    rejected: list[Rejected] = attribute(default_factory=list)
    more_rejected: int = 0
    bad_body: BadBody | None = None
    flags: list[Violation] = attribute(default_factory=list)
    values: list[dict[str, Any]] = attribute(default_factory=list)
    columns: list[Mapping[str, Sequence[object]]] = attribute(default_factory=list)
    arrays: list[Mapping[str, pa.Array]] = attribute(default_factory=list)
    unexpected: int = 0
    repeated: int = 0
    repeated_flagged: int = 0
    repeated_rejected: list[Rejected] = attribute(default_factory=list)

    @property
    def contract(self) -> int | None:
        """The version that judged; None while the dataset is learning."""
        return None if self.judge is None else self.judge.contract.version

    @property
    def refused(self) -> int:
        """How many events were refused."""
        return len(self.rejected) + self.more_rejected

    @property
    def ok(self) -> bool:
        """Whether nothing was refused."""
        return not (self.rejected or self.repeated_rejected)
