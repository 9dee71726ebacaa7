"""What a contract would have to be for refused events to pass: proposed, and tried on those very events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from dataclasses import field as attribute
from typing import TypeAlias

from assay.contract.document import Contract
from assay.contract.versions import Active
from assay.contract.widen import Unmendable, Widening
from assay.ingest.again import judge_again
from assay.ingest.validate import Judge
from assay.store.protocol import Reject

__all__ = ["Read", "Suggestion", "suggest"]

#: The next refused bodies beyond an id; none at the end.
Read: TypeAlias = Callable[[str], Sequence[Reject]]


@dataclass(slots=True)
class Suggestion:
    """A contract, no version yet, that lets refused events in; the one that is there already where that does.

    Of the `events` it was tried on, `passed` before, and it takes `accepted`; `left_out` says why it refuses the others.
    """

    contract: Contract
    is_new: bool
    events: int = 0
    passed: int = 0
    accepted: int = 0
    left_out: Counter[str] = attribute(default_factory=Counter)


def suggest(base: Contract, active: Active, read: Read, note: Callable[[int], object] = lambda _: None) -> Suggestion:
    """The smallest change of `base`, enforced as `active` says, that lets in what `read` gives.

    It reads twice: once to make the change, and once more to judge every body by what was made. `note` is told how many
    were read.
    """
    widening, judge = Widening(base), Judge(base, active)
    for rejects in _portions(read, note):
        refused = [again for each in rejects if (again := judge_again(each, judge)).event is None]
        changed = False
        for again in refused:
            try:
                widening.admit(again.value)
                changed = True
            except Unmendable:
                continue  # it is counted when it is tried
        if changed:
            judge = Judge(widening.contract(), active)
    made = judge.contract
    suggestion = Suggestion(made, made.schema != base.schema)
    before, after = Judge(base, active), Judge(made, active)
    for rejects in _portions(read, note):
        for each in rejects:
            again = judge_again(each, after)
            suggestion.events += 1
            suggestion.accepted += again.event is not None
            if again.event is None:
                suggestion.left_out[again.found[0].msg] += 1
            elif judge_again(each, before).event is not None:
                suggestion.passed += 1
    return suggestion


def _portions(read: Read, note: Callable[[int], object]) -> Iterator[Sequence[Reject]]:
    after = ""
    while rejects := read(after):
        yield rejects
        note(len(rejects))
        after = rejects[-1].id
