"""What the pages may ask, and what a person may do from them: the whole seam to the rest of the product."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as attribute
from typing import Any, Protocol

from assay.contract.document import Contract
from assay.contract.versions import Mode, Versions
from assay.ingest.validate import Judge
from assay.monitor.metrics import Figures

__all__ = ["Desk", "Health", "Suggested", "WhatIf"]


@dataclass(frozen=True, slots=True)
class Health:
    """How the collector is. `failure` says why no event can be acknowledged, `note` what is amiss beside that.

    `gauges` are those of the metrics, without their prefix.
    """

    failure: str | None = None
    note: str | None = None
    gauges: Mapping[str, float] = attribute(default_factory=dict)


class Desk(Protocol):
    """A running collector and its workspace, as the pages see them. What blocks is called in a thread."""

    #: Where programs reach the service, for commands to copy.
    url: str
    versions: Versions

    def figures(self) -> Figures:
        """What was counted so far. At once."""

    def judges(self) -> Mapping[str, Judge]:
        """What is enforced, by dataset. At once."""

    def learning(self) -> Mapping[str, int]:
        """The datasets without a contract, and how many bytes they have sent. At once."""

    def health(self) -> Health:
        """How the collector is. At once."""

    def rejects(self, dataset: str, *, limit: int, group: bool, timeout_s: float) -> Mapping[str, Any]:
        """The quarantine, as `Store.rejects` gives it. Blocks.

        Raises:
            StoreLocked, StoreFailed: the store cannot be read now.
        """

    def activate(
        self, dataset: str, number: int, mode: Mode, *, fields: Mapping[str, Mode] | None = None, by: str | None
    ) -> None:
        """Put a version in force, and render what follows from it. Blocks until events are judged by it.

        `fields` gives single fields, by label, a mode of their own; the others stay as they are. `by` is the name of the
        key of who does it; None where keys are not asked for.

        Raises:
            AssayError: that cannot be done; nothing is changed then.
        """

    def learn(self, dataset: str, tell: Callable[[float], object]) -> Contract:
        """Profile a dataset and write the next version of its contract; `tell` gets the share that is done. Blocks.

        Raises:
            AssayError: there is nothing, or too little, to learn from, or the store cannot be read.
        """

    def try_out(self, dataset: str, number: int, tell: Callable[[float], object]) -> WhatIf:
        """Hold what was stored of a dataset in the last day to a version. Blocks.

        Raises:
            AssayError: there is nothing of it, or the store cannot be read.
        """

    def suggest(self, dataset: str, fingerprint: str, tell: Callable[[float], object]) -> Suggested:
        """Write the version that lets refused events of one kind in, by the smallest change. Blocks.

        Raises:
            AssayError: there are none, or no contract is active, or the store cannot be read.
        """

    def replay(self, dataset: str, number: int | None, *, dry_run: bool) -> Mapping[str, Any]:
        """Judge the quarantine again, by a version or the active one; move what passes, or only count it. Blocks.

        Gives what `POST /replay/{dataset}` answers.

        Raises:
            AssayError: there is no such version, or the store is held; what was moved until then stays so.
        """


@dataclass(frozen=True, slots=True)
class Suggested:
    """What would let refused events in: `written`, a version that takes `accepted` of the `events`; None where none does.

    `passed` of them pass by `base` already. `left_out` says why others do not, and how many.
    """

    base: Contract
    written: Contract | None
    events: int
    accepted: int
    passed: int
    left_out: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class WhatIf:
    """What a version would have refused of the events that were accepted: (field, type, message, events) of each kind."""

    number: int
    rows: int
    refused: int
    kinds: Sequence[tuple[str, str, str, int]] = ()
    sources: Mapping[str, int] = attribute(default_factory=dict)
